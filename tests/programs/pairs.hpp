#pragma once
// The echo pairs that work on bytes or lines alike, each with the addresses at which it is tested.

#include "tests/support/process.hpp"

#include <string>
#include <vector>

struct Pair {
    std::string server, client;  ///< "tcp/echo_server"
    std::string host;            ///< "127.0.0.1", "::1"; "" of a Unix socket
    std::string name() const { return server + (host.empty() ? "" : " at " + host); }

    /// Starts the server there.
    Server start(Process::Command arguments = {}, const Surroundings& surroundings = {}) const;
};

/// Those of TCP and Unix streams: what is sent comes back, in no particular pieces. IPv6 only where this machine has
/// it; where it has not, the first to ask is told.
std::vector<Pair> stream_pairs();

/// Those and that of UDP, which sends line by line.
std::vector<Pair> echo_pairs();

/// Lets another client of the server send a line, and throws Unexpected unless it gets that line back.
void must_serve(const Server& server, const std::string& client);
