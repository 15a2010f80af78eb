#include "tests/support/network.hpp"

#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

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

Machines::Machines(const Process::Command& command) : keeper_(command) {
    const auto line_of = [&] { return lines_with(keeper_.out(), "ready "); };
    wait_until([&] { return !line_of().empty() || !keeper_.is_running(); }, "machines of our own");
    if (!line_of().empty()) pid_ = line_of().front().substr(6);
}

bool Machines::are_there() {
    if (!pid_.empty()) return true;
    skip("no machines of our own here: " + keeper_.err());
    return false;
}

Process::Command Machines::on(const std::string& machine, const Process::Command& command) const {
    Process::Command whole{
        "nsenter", "-t", pid_, "-U", "--preserve-credentials", "--net=/proc/" + pid_ + "/root/run/netns/" + machine};
    whole.insert(whole.end(), command.begin(), command.end());
    return whole;
}

TwoHosts::TwoHosts()
    : Machines({"sh", "-c", "exec unshare -Urnm sh -euc \"$0\"",
                ". scripts/machines.sh; machines here there; cable here cable there cable 10.7.0 fd07 1500; "
                "wait_for_cables; echo ready $$; exec cat"}) {}

Hops::Hops() : Machines({"scripts/hops", "sh", "-c", "echo ready $$; exec cat"}) {}
