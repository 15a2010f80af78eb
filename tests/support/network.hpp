#pragma once
// A network of a test's own: a loopback with all its ports free, and nothing else on it (network_namespaces(7)).

#include "tests/support/process.hpp"

#include <memory>

/// Lives as long as this does.
class Network {
public:
    Network();
    /// Skips the test if this machine does not allow one.
    bool is_there();
    /// The same command, to be run there.
    Process::Command inside(const Process::Command& command) const;

    bool is_running() { return keeper_.is_running(); }

private:
    Process keeper_;
};

/// Two hosts, and a cable between them: on each an interface `cable`, on the left one with the addresses 10.7.0.1/24,
/// fd77::1/64 and fe80::1/64, on the right one with those that end in 2; and a loopback. Where only one is needed, left
/// is a host with a network card.
class TwoHosts {
public:
    TwoHosts();
    /// Skips the test if this machine does not allow them.
    bool are_there();
    /// The same command, to be run there.
    Process::Command on_left(const Process::Command& command) const { return left_.inside(command); }
    Process::Command on_right(const Process::Command& command) const;

private:
    Network left_;
    std::unique_ptr<Process> right_;
    std::string trouble_;
};
