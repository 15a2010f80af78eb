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

/// Machines with cables between them, which scripts/machines.sh makes. They live as long as this does.
class Machines {
public:
    /// Skips the test if this computer does not allow them.
    bool are_there();
    /// The same command, to be run on the machine of this name.
    Process::Command on(const std::string& machine, const Process::Command& command) const;

protected:
    /// A command that makes them, prints "ready" and the number of a process that lives there, and ends with its input.
    explicit Machines(const Process::Command& command);

private:
    Process keeper_;
    std::string pid_;
};

/// Two hosts, and a cable between them: on each an interface `cable`, on the left one with the addresses 10.7.0.1/24,
/// fd07::1/64 and fe80::1/64, on the right one with those that end in 2; and a loopback. Where only one is needed, left
/// is a host with a network card.
class TwoHosts : public Machines {
public:
    TwoHosts();
    Process::Command on_left(const Process::Command& command) const { return on("here", command); }
    Process::Command on_right(const Process::Command& command) const { return on("there", command); }
};

/// The machines of scripts/hops: here, router1, router2, router3 and host.
class Hops : public Machines {
public:
    Hops();
};
