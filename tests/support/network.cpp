#include "tests/support/network.hpp"

#include "tests/support/skip.hpp"

Network::Network() : keeper_({"unshare", "-Urn", "sh", "-c", "ip link set lo up && echo ready && exec cat"}) {
    wait_until([&] { return keeper_.out() == "ready\n" || !keeper_.is_running(); }, "a network of our own");
}

bool Network::is_there() {
    if (keeper_.is_running()) return true;
    skip("no namespaces of our own here: " + keeper_.err());
    return false;
}

Process::Command Network::inside(const Process::Command& command) const {
    Process::Command whole{"nsenter", "-t", std::to_string(keeper_.pid()), "-U", "-n", "--preserve-credentials"};
    whole.insert(whole.end(), command.begin(), command.end());
    return whole;
}

namespace {

/// A host's end of the cable. Without nodad, an IPv6 address may not be used until nobody else is found to have it (RFC
/// 4862, section 5.4), and the interface gives itself one.
std::string end_of_cable(const std::string& number) {
    return "ip link set cable addrgenmode none && ip address add 10.7.0." + number +
           "/24 broadcast + dev cable && ip address add fd77::" + number +
           "/64 dev cable nodad && ip address add fe80::" + number +
           "/64 dev cable nodad && ip link set lo up && ip link set cable up";
}

/// The kernel finishes that a moment later.
const std::string until_it_is_up =
    "for i in $(seq 1000); do ip -6 route show table local | grep -q \"^multicast.* dev cable\" && exit 0; "
    "sleep 0.02; done; exit 1";

}  // namespace

TwoHosts::TwoHosts() {
    if (!left_.is_running()) return;
    right_ = std::make_unique<Process>(left_.inside({"unshare", "-n", "sh", "-c", "echo ready && exec cat"}));
    wait_until([&] { return right_->out() == "ready\n" || !right_->is_running(); }, "a second network of our own");
    try {
        run(left_.inside(
            {"ip", "link", "add", "cable", "type", "veth", "peer", "cable", "netns", std::to_string(right_->pid())}));
        run(on_left({"sh", "-c", end_of_cable("1")}));
        run(on_right({"sh", "-c", end_of_cable("2")}));
        run(on_left({"sh", "-c", until_it_is_up}));
        run(on_right({"sh", "-c", until_it_is_up}));
    } catch (const Unexpected& error) {
        trouble_ = error.what();
    }
}

bool TwoHosts::are_there() {
    if (!left_.is_there()) return false;
    if (trouble_.empty()) return true;
    skip("no two hosts here: " + trouble_);
    return false;
}

Process::Command TwoHosts::on_right(const Process::Command& command) const {
    Process::Command whole{"nsenter", "-t", std::to_string(right_->pid()), "-U", "-n", "--preserve-credentials"};
    whole.insert(whole.end(), command.begin(), command.end());
    return whole;
}
