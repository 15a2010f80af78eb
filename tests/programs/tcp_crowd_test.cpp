// The crowd: what it counts and what it says, with servers that echo and with some that do not.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <csignal>
#include <memory>

#include <sys/socket.h>

namespace {

double figure(const std::string& json, const std::string& name) {
    const size_t at = json.find("\"" + name + "\": ");
    if (at == std::string::npos) throw Unexpected("no " + name + " in " + json);
    return std::stod(json.substr(at + name.size() + 4));
}

#ifdef __linux__
constexpr bool tells_cpu_time = true;
#else
constexpr bool tells_cpu_time = false;
#endif

/// Ends it with status 1 and one line on standard error; returns that.
std::string failure_of(Process& crowd) {
    crowd.expect_exit(1);
    CHECK(lines_of(crowd.err()).size() == 1);
    return crowd.err();
}

}  // namespace

TEST_CASE("crowd: counts every message, of each size", "[programs][tcp][crowd]") {
    const Server server = start_server("tcp/poll_server");
    for (const size_t size : {1UL, 64UL, 65'521UL, 65'536UL, 200'001UL}) {
        for (const char* in_flight : {"1", "3"}) {
            INFO(size << " x " << in_flight);
            const std::string json =
                run(server.client("tcp/crowd", {"--connections", "7", "--messages", "5", "--size", std::to_string(size),
                                                "--in-flight", in_flight, "--json"}));
            CHECK(lines_of(json).size() == 1);
            CHECK(figure(json, "messages") == 35);
            CHECK(figure(json, "failed") == 0);
            CHECK(figure(json, "min_us") > 0);
            for (const auto& [less, more] : {std::pair{"min_us", "p50_us"}, std::pair{"p50_us", "p90_us"},
                                             std::pair{"p90_us", "p99_us"}, std::pair{"p99_us", "p999_us"},
                                             std::pair{"p999_us", "max_us"}, std::pair{"first_p50_us", "first_max_us"}})
                CHECK(figure(json, less) <= figure(json, more));
        }
    }
}

TEST_CASE("crowd: for a time, told as a table, with the server's CPU time", "[programs][tcp][crowd]") {
    const Server server = start_server("tcp/fork_server");
    const std::string out = run(server.client("tcp/crowd", {"--connections", "20", "--active", "3", "--seconds", "1",
                                                            "--pid", std::to_string(server.pid())}));
    INFO(out);
    const std::vector<std::string> lines = lines_of(out);
    REQUIRE(lines.size() == 5);
    CHECK_THAT(lines[0], ContainsSubstring("count") && ContainsSubstring("p99.9"));
    CHECK_THAT(lines[1], StartsWith("first answers") && ContainsSubstring("20 "));
    CHECK_THAT(lines[2], StartsWith("later answers"));
    CHECK_THAT(lines[3], ContainsSubstring("messages/s of 64 bytes, ") && ContainsSubstring("for 1.0"));
    if (tells_cpu_time) CHECK_THAT(lines[4], StartsWith("the server's CPU time: ") && !ContainsSubstring(" 0.00 us"));
}

TEST_CASE("crowd: a server that serves one client at a time", "[programs][tcp][crowd]") {
    const Server server = start_server("tcp/echo_server");
    Process crowd(server.client("tcp/crowd", {"--connections", "5", "--messages", "3", "--timeout", "1", "--json"}));
    CHECK_THAT(failure_of(crowd), StartsWith("4 of 5 connections failed (number 2 at 127.0.0.1:") &&
                                      ContainsSubstring(" and 1 more): no answer within 1 s\n"));
    CHECK(figure(crowd.out(), "failed") == 4);
    CHECK(figure(crowd.out(), "messages") == 3);
    CHECK(run(server.client("tcp/crowd", {"--connections", "1", "--messages", "3", "--json"})).find("\"failed\": 0") !=
          std::string::npos);
}

TEST_CASE("crowd: with a server that others wrote, and one found by its name", "[programs][tcp][crowd][foreign]") {
    if (!has_tool("socat")) return;
    Process socat({"socat", "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1,fork,backlog=50", "EXEC:cat"});
    const std::string line = socat.expect_line(Stream::err, "listening on");
    const std::string port = line.substr(line.rfind(':') + 1);
    run({program("tcp/crowd"), "--port", port, "--connections", "5", "--messages", "10"});
    run({program("tcp/crowd"), "--host", "localhost", "--port", port, "--connections", "2", "--messages", "3", "--size",
         "100000", "--in-flight", "2"});
}

TEST_CASE("crowd: servers that do not echo", "[programs][tcp][crowd]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process crowd({program("tcp/crowd"), "--port", listener.port(), "--connections", "1", "--messages", "2", "--size",
                   "4", "--timeout", "1"});
    Peer peer = listener.accept();
    const std::string message = peer.receive(4);
    const auto says = [&](const std::string& why) {
        CHECK_THAT(failure_of(crowd),
                   StartsWith("1 of 1 connections failed (number 1 at 127.0.0.1:") && ContainsSubstring("): " + why));
    };
    SECTION("other bytes") {
        peer.send(message.substr(0, 3) + static_cast<char>(message[3] + 1));
        says("what came back is not what was sent\n");
    }
    SECTION("too much") {
        peer.send(message + "x");
        says("more came back than was sent\n");
    }
    SECTION("an early end") {
        peer.send(message);
        peer.receive(4);
        peer.close();
        says("the server has ended the connection\n");
    }
    SECTION("a reset") {
        peer.reset();
        says("tcp/crowd.cpp:");
        CHECK_THAT(crowd.err(), ContainsSubstring("(ECONNRESET)"));
    }
    SECTION("something at the end") {
        peer.send(message);
        peer.send(peer.receive(4));
        CHECK(peer.receive_to_end().empty());
        peer.send("one more thing");
        says("more came back than was sent\n");
    }
    SECTION("no end") {
        peer.send(message);
        peer.send(peer.receive(4));
        says("all was back, but no end of the connection within 1 s\n");
    }
    SECTION("all is well") {
        peer.send(message);
        peer.send(peer.receive(4));
        CHECK(peer.receive_to_end().empty());
        peer.close();
        crowd.expect_exit(0);
    }
}

TEST_CASE("crowd: a server that dies, silent connections that are dropped", "[programs][tcp][crowd]") {
    Server server = start_server("tcp/poll_server", {"--trace"});
    Process crowd(server.client("tcp/crowd", {"--connections", "3", "--seconds", "60"}));
    server.expect(Stream::err, "recv(");
    server.signal(SIGKILL);
    crowd.expect_exit(1);
    CHECK_THAT(crowd.err(), ContainsSubstring(" of 3 connections failed ("));

    const Server idle = start_server("tcp/poll_server", {"--idle", "1"});
    Process silent(idle.client("tcp/crowd", {"--connections", "3", "--active", "0", "--seconds", "2"}));
    CHECK_THAT(failure_of(silent), StartsWith("3 of 3 connections failed (") &&
                                       ContainsSubstring("): the server has ended the connection\n"));
}

TEST_CASE("crowd: nobody there, wrong use", "[programs][tcp][crowd]") {
    const FreePort port;
    Process crowd({program("tcp/crowd"), "--port", port.text()});
    CHECK_THAT(failure_of(crowd), ContainsSubstring("(ECONNREFUSED)"));
    CHECK(crowd.out().empty());
#ifdef __linux__
    const Server server = start_server("tcp/poll_server");
    Process no_process(server.client("tcp/crowd", {"--pid", "999999999"}));
    CHECK(failure_of(no_process) == "--pid 999999999: there is no such process\n");
#endif
    for (const char* wrong : {"--connections=0", "--size=0", "--in-flight=0", "--json=1", "--timeout=0"}) {
        Process refused({program("tcp/crowd"), wrong});
        refused.expect_exit(2);
        CHECK(lines_of(refused.err()).size() == 1);
    }
}
