#pragma once
// A network of a test's own: a loopback with all its ports free, and nothing else on it (network_namespaces(7)).

#include "tests/support/process.hpp"

/// Lives as long as this does.
class Network {
public:
    Network();
    /// Skips the test if this machine does not allow one.
    bool is_there();
    /// The same command, to be run there.
    Process::Command inside(const Process::Command& command) const;

private:
    Process keeper_;
};
