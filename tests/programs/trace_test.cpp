// --trace of the TCP pair: the whole life of a connection, as both kernels' ends of it go through the states.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <regex>

namespace {

using States = std::vector<std::string>;

/// The states that a narration tells of for a descriptor, in order, each once: {"CLOSED", "LISTEN"}.
States states_of(const std::string& narration, const std::string& fd) {
    static const std::regex told(
        "    fd (\\d+)  (?:new TCP socket: )?(?:([A-Z_0-9]+) -> )?([A-Z_0-9]+|closed)(?: .*|,.*)?");
    static const std::regex connection(".*, the connection: ([A-Z_0-9]+).*");
    States states;
    const auto add = [&](const std::string& state) {
        if (!state.empty() && (states.empty() || states.back() != state)) states.push_back(state);
    };
    for (const std::string& line : lines_of(narration)) {
        std::smatch match;
        if (!std::regex_match(line, match, told) || match[1] != fd) continue;
        add(match[2]);
        add(match[3]);
        if (std::regex_match(line, match, connection)) add(match[1]);
    }
    return states;
}

std::string joined(const States& states) {
    std::string text;
    for (const std::string& state : states)
        text += (text.empty() ? "" : " ") + state;
    return text;
}

}  // namespace

TEST_CASE("trace: a TCP connection from CLOSED to TIME_WAIT", "[programs][trace][tcp]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    Server server = start_server("tcp/echo_server", {"--host", host, "--trace"});
    server.expect(Stream::err, "accept(listener, nullptr, nullptr)\n");
    Process client(server.client("tcp/echo_client", {"--trace"}));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    // Only when the server has seen the connection established may the client end it.
    server.expect(Stream::err, "= 6");
    client.close_input();
    client.expect_exit(0);
    server.expect(Stream::err, "close(connection)\n");
    server.expect(Stream::err, "accept(listener, nullptr, nullptr)\n");

    INFO(server.describe() << client.describe());
    CHECK(joined(states_of(server.err(), "3")) == "CLOSED LISTEN");
    // LAST_ACK is seen if the kernel hasn't got the client's last ACK by the time that the narrator looks.
    const std::string accepted = joined(states_of(server.err(), "4"));
    CHECK((accepted == "ESTABLISHED CLOSE_WAIT closed" || accepted == "ESTABLISHED CLOSE_WAIT closed LAST_ACK"));

    // The client's side of the same goodbye. Which states it is seen in depends on who is faster, their order doesn't.
    const std::string own = joined(states_of(client.err(), "3"));
    const std::regex life(
        "CLOSED ESTABLISHED( FIN_WAIT_1)?( FIN_WAIT_2)?( TIME_WAIT)? closed( FIN_WAIT_2| TIME_WAIT)?");
    INFO(own);
    CHECK(std::regex_match(own, life));
    CHECK((own.find("TIME_WAIT") != std::string::npos || own.find("FIN_WAIT_2") != std::string::npos));

    // And the calls stand in the order of the program.
    size_t at = 0;
    for (const char* call :
         {"socket(", "= 3", "connect(", "= 0", "poll(", "read(", "= 6", "send(", "= 6", "recv(", "= 6", "read(", "= 0",
          "shutdown(connection, SHUT_WR)", "= 0", "recv(", "= 0", "close(connection)", "= 0"}) {
        INFO(call);
        at = client.err().find(call, at);
        REQUIRE(at != std::string::npos);
    }
}

TEST_CASE("trace: a UDP server's address, and the port that the kernel gives a client", "[programs][trace][udp]") {
    Server server = start_server("udp/echo_server", {"--trace"});
    Process client(server.client("udp/echo_client", {"--trace"}));
    client.feed("hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK_THAT(server.err(), ContainsSubstring("    fd 3  new UDP socket: unbound\n"));
    CHECK_THAT(server.err(), ContainsSubstring("    fd 3  unbound -> bound  " + server.address() + "\n"));
    CHECK_THAT(client.err(), ContainsSubstring("    fd 3  new UDP socket: unbound\n"));
    CHECK_THAT(client.err(), ContainsSubstring("    fd 3  unbound -> bound  0.0.0.0:"));
}

TEST_CASE("trace: a Unix connection", "[programs][trace][unix]") {
    Server server = start_server("unix/echo_server", {"--trace"});
    server.expect(Stream::err, "accept(listener, nullptr, nullptr)\n");
    Process client(server.client("unix/echo_client", {"--trace"}));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    client.close_input();
    client.expect_exit(0);
    server.expect(Stream::err, "close(connection)\n");
    server.expect(Stream::err, "accept(listener, nullptr, nullptr)\n");
    CHECK_THAT(server.err(), ContainsSubstring("    fd 3  unbound -> bound  " + server.path() + "\n"));
    CHECK_THAT(server.err(), ContainsSubstring("    fd 3  bound -> listening  " + server.path()));
    CHECK_THAT(server.err(), ContainsSubstring("    fd 4  new Unix stream socket: connected  " + server.path()));
    CHECK_THAT(client.err(), ContainsSubstring("    fd 3  unbound -> connected  (no name) <-> " + server.path()));
}

TEST_CASE("trace: what a program prints is the same without it", "[programs][trace]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start({"--trace"});
    CHECK(run(server.client(pair.client, {"--trace"}), "hello\n한글\n") == "hello\n한글\n");
}

TEST_CASE("trace: --trace-log writes a line per event, and prints nothing", "[programs][trace]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const TempDir directory;
    Server server = pair.start({"--trace-log", directory / "server"});
    Process client(server.client(pair.client, {"--trace-log", directory / "client"}));
    client.feed("hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.err().empty());
    server.signal(SIGTERM);
    server.expect_exit(0);
    CHECK(server.err().empty());
    const std::regex line("\\d{19}\t\\d+\t0\t(call|result|state)\t[a-z_/]+\\.cpp:\\d+\t[^\t]+");
    for (const char* log : {"server", "client"}) {
        const std::vector<std::string> lines = lines_of(read_file(directory / log));
        CHECK(lines.size() > 10);
        for (const std::string& event : lines) {
            INFO(event);
            CHECK(std::regex_match(event, line));
        }
    }
}
