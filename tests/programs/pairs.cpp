#include "tests/programs/pairs.hpp"

#include "tests/support/skip.hpp"

#include <algorithm>

Server Pair::start(Process::Command arguments, const Surroundings& surroundings) const {
    if (!host.empty() && std::find(arguments.begin(), arguments.end(), "--host") == arguments.end()) {
        arguments.insert(arguments.end(), {"--host", host});
    }
    return start_server(server, arguments, surroundings);
}

namespace {

std::vector<Pair> only_available(std::vector<Pair> pairs) {
    static const bool ipv6 = has_ipv6();
    if (!ipv6) std::erase_if(pairs, [](const Pair& pair) { return pair.host == "::1"; });
    return pairs;
}

}  // namespace

std::vector<Pair> stream_pairs() {
    return only_available({{"tcp/echo_server", "tcp/echo_client", "127.0.0.1"},
                           {"tcp/echo_server", "tcp/echo_client", "::1"},
                           {"unix/echo_server", "unix/echo_client", ""}});
}

std::vector<Pair> echo_pairs() {
    std::vector<Pair> pairs = stream_pairs();
    for (const Pair& pair : only_available(
             {{"udp/echo_server", "udp/echo_client", "127.0.0.1"}, {"udp/echo_server", "udp/echo_client", "::1"}})) {
        pairs.push_back(pair);
    }
    return pairs;
}

void must_serve(const Server& server, const std::string& client) {
    const std::string text = "is anybody there?\n";
    const std::string reply = run(server.client(client), text);
    if (reply != text) throw Unexpected("a client of " + server.describe() + "got back: " + reply);
}
