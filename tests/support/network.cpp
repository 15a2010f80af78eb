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
