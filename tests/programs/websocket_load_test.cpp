// The load generator: what it counts and what it prints, with our servers and with servers that fail it.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <csignal>
#include <map>

using wire::close_body;
using wire::frame;

namespace {

Process::Command load(const Server& server, const Process::Command& arguments) {
    return server.client("websocket/load", arguments);
}

/// A flat JSON object: {"name": 1, "other": "text"}. Throws Unexpected if it is anything else.
std::map<std::string, std::string> json_object(const std::string& text) {
    std::map<std::string, std::string> members;
    size_t at = 0;
    const auto expect = [&](std::string_view token) {
        if (text.compare(at, token.size(), token) != 0) throw Unexpected("no JSON: " + text);
        at += token.size();
    };
    const auto token = [&] {
        const bool quoted = text.at(at) == '"';
        const size_t end = quoted ? text.find('"', at + 1) + 1 : text.find_first_of(",}", at);
        const std::string value = quoted ? text.substr(at + 1, end - at - 2) : text.substr(at, end - at);
        at = end;
        return value;
    };
    expect("{");
    for (bool more = true; more;) {
        const std::string name = token();
        expect(": ");
        members[name] = token();
        more = text.at(at) == ',';
        if (more) expect(", ");
    }
    expect("}\n");
    if (at != text.size()) throw Unexpected("something behind the JSON: " + text);
    return members;
}

}  // namespace

TEST_CASE("websocket load: counts every message, of each kind", "[programs][websocket]") {
    const Server server = start_server("websocket/event_server");
    for (const std::string& kind : {std::string("text"), std::string("korean"), std::string("binary")}) {
        for (const size_t size : {0UL, 1UL, 20UL, 125UL, 126UL, 1000UL, 65'535UL, 65'536UL, 200'000UL}) {
            INFO(kind << " of " << size);
            const std::string messages = size < 1000 ? "500" : "20";
            const auto json =
                json_object(run(load(server, {"--kind", kind, "--size", std::to_string(size), "--messages", messages,
                                              "--connections", "5", "--in-flight", "3", "--json"})));
            CHECK(json.at("kind") == kind);
            CHECK(json.at("size") == std::to_string(size));
            CHECK(json.at("connections") == "5");
            CHECK(json.at("in_flight") == "3");
            CHECK(json.at("messages") == messages);
            CHECK(std::stod(json.at("p50_us")) <= std::stod(json.at("p99_us")));
            CHECK(std::stod(json.at("messages_per_second")) > 0);
        }
    }
}

TEST_CASE("websocket load: fewer messages than there is room for", "[programs][websocket]") {
    const Server server = start_server("websocket/event_server");
    for (const char* messages : {"1", "7", "10", "11"}) {
        INFO(messages);
        const auto json = json_object(
            run(load(server, {"--messages", messages, "--connections", "2", "--in-flight", "5", "--json"})));
        CHECK(json.at("messages") == messages);
    }
}

TEST_CASE("websocket load: with the blocking server, and with plain TCP", "[programs][websocket]") {
    const Server blocking = start_server("websocket/echo_server");
    CHECK(json_object(run(load(blocking, {"--messages", "1000", "--json"}))).at("messages") == "1000");
    const Server tcp = start_server("tcp/echo_server");
    const auto json =
        json_object(run(load(tcp, {"--tcp", "--messages", "1000", "--size", "20", "--in-flight", "4", "--json"})));
    CHECK(json.at("messages") == "1000");
    CHECK(json.at("kind") == "tcp");
}

TEST_CASE("websocket load: for a time, told in words, and with the server's CPU time", "[programs][websocket]") {
    const Server server = start_server("websocket/event_server");
    const std::string out = run(load(
        server, {"--seconds", "1", "--connections", "10", "--size", "100", "--pid", std::to_string(server.pid())}));
    INFO(out);
    const std::vector<std::string> lines = lines_of(out);
    CHECK_THAT(lines.at(0), ContainsSubstring(" messages of 100 bytes in 1.") &&
                                ContainsSubstring(" s over 10 connections, 1 in flight on each"));
    CHECK(std::stol(out) > 100);
    CHECK_THAT(out, ContainsSubstring("(99 of 100)\n"));
#ifdef __linux__
    CHECK_THAT(out, ContainsSubstring("the server's CPU time: "));
#endif
}

#ifdef __linux__
TEST_CASE("websocket load: the server dies in the middle", "[programs][websocket]") {
    for (const std::string& name : {std::string("websocket/event_server"), std::string("tcp/echo_server")}) {
        INFO(name);
        Server server = start_server(name);
        Process::Command arguments{"--seconds", "60", "--in-flight", "64", "--size", "5000"};
        if (name == "tcp/echo_server") {
            arguments.emplace_back("--tcp");
        } else {
            arguments.insert(arguments.end(), {"--connections", "20"});
        }
        Process process(load(server, arguments));
        const double before = cpu_seconds(server.pid());
        wait_until([&] { return serve_processes(Milliseconds(10)), cpu_seconds(server.pid()) > before + 0.1; },
                   "the load to be under way");
        server.signal(SIGKILL);
        process.expect_exit(1);
        CHECK(process.out().empty());
        CHECK(lines_of(process.err()).size() == 1);
        CHECK_THAT(process.err(),
                   ContainsSubstring("(ECONNRESET)") || ContainsSubstring("the server has closed a connection"));
    }
}

TEST_CASE("websocket load: the server ends while it is under way", "[programs][websocket]") {
    Server server = start_server("websocket/event_server");
    Process process(load(server, {"--seconds", "60", "--connections", "20"}));
    const double before = cpu_seconds(server.pid());
    wait_until([&] { return serve_processes(Milliseconds(10)), cpu_seconds(server.pid()) > before + 0.05; },
               "the load to be under way");
    server.signal(SIGINT);
    process.expect_exit(1);
    CHECK(process.err() == "the connection was closed: 1001 the server ends\n");
    server.expect_exit(0);
}
#endif

TEST_CASE("websocket load: servers that do not echo", "[programs][websocket]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    const auto start = [&](const Process::Command& arguments = {}) {
        Process::Command command{
            program("websocket/load"), "--port", listener.port(), "--messages", "2", "--size", "5"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        return std::make_unique<Process>(command);
    };
    const auto failure = [](Process& process) {
        process.expect_exit(1);
        CHECK(process.out().empty());
        CHECK(lines_of(process.err()).size() == 1);
        CHECK(process.err().find('\x1b') == std::string::npos);
        return process.err();
    };
    SECTION("it refuses") {
        const auto process = start();
        WebSocketPeer peer(listener, false);
        peer.send("HTTP/1.1 404 \x1b[2J\r\nContent-Length: 0\r\n\r\n");
        CHECK_THAT(failure(*process), ContainsSubstring("the server's answer is not HTTP"));
    }
    SECTION("it answers something else") {
        const auto process = start();
        WebSocketPeer peer(listener);
        CHECK(peer.payload(0x81).size() == 5);
        peer.send(frame(0x81, "other"));
        CHECK(failure(*process) == "an answer is not what was sent\n");
    }
    SECTION("a plain TCP server returns other bytes, cut in other places") {
        const auto process = start({"--tcp", "--messages", "3"});
        Peer peer = listener.accept();
        const std::string first = peer.receive(11);
        peer.send(first.substr(0, 3));
        peer.send(first.substr(3));
        std::string second = peer.receive(11);
        CHECK(second.substr(0, 2) == first.substr(0, 2));
        CHECK(second != first);  // it has a mask of its own
        second.back() ^= 1;
        peer.send(second);
        CHECK(failure(*process) == "an answer is not what was sent\n");
    }
    SECTION("it answers more than it was asked") {
        const auto process = start({"--messages", "1"});
        WebSocketPeer peer(listener);
        const std::string text = peer.payload(0x81);
        peer.send(frame(0x81, text) + frame(0x81, text));
        CHECK(failure(*process) == "an answer came that nothing was sent for\n");
    }
    SECTION("it speaks first") {
        const auto process = start({"--size", "0", "--in-flight", "0"});
        WebSocketPeer peer(listener, false);
        peer.send(switching_protocols(peer.head()) + frame(0x81, ""));
        CHECK(failure(*process) == "an answer came that nothing was sent for\n");
    }
    SECTION("it closes, with a reason that could command a terminal") {
        const auto process = start();
        WebSocketPeer peer(listener);
        peer.send(frame(0x88, close_body(4000, "\x1b[2J")));
        CHECK(failure(*process) == "the connection was closed: 4000 \\x1b[2J\n");
    }
    SECTION("it masks its frames") {
        const auto process = start();
        WebSocketPeer peer(listener);
        peer.send(wire::masked(0x81, "hello"));
        CHECK_THAT(failure(*process), ContainsSubstring("the connection was closed: 1002"));
    }
    SECTION("it pings with the handshake and in the middle, and gets its pongs between whole frames") {
        const auto process = start({"--messages", "50", "--size", "100000", "--in-flight", "20", "--json"});
        WebSocketPeer peer(listener, false);
        peer.send(switching_protocols(peer.head()) + frame(0x89, "at once"));
        std::string text;
        while (text.size() + 27 <= 100'000)
            text += "The quick brown fox jumps. ";
        text.resize(100'000, '.');
        size_t pongs = 0, messages = 0;
        while (messages < 50) {
            const std::string got = peer.frame();  // throws unless what comes are whole frames
            if (got.starts_with("8a ")) {
                ++pongs;
                continue;
            }
            CHECK(got == "81 " + wire::shown(text));
            ++messages;
            peer.send(frame(0x81, text) + frame(0x89, "in the middle"));
        }
        process->expect_exit(0);
        CHECK(json_object(process->out()).at("messages") == "50");
        CHECK(pongs >= 10);
    }
}

TEST_CASE("websocket load: wrong use, and nobody there", "[programs][websocket]") {
    const FreePort port;
    for (const Process::Command& arguments : std::vector<Process::Command>{{"--kind", "emoji"},
                                                                           {"--kind", "\x1b[2J"},
                                                                           {"--connections", "0"},
                                                                           {"--connections", "many"},
                                                                           {"--size", "-1"},
                                                                           {"--in-flight", "-1"},
                                                                           {"--seconds", "0"},
                                                                           {"--messages", "-1"},
                                                                           {"--json=1"},
                                                                           {"127.0.0.1"}}) {
        Process::Command command{program("websocket/load"), "--port", port.text()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.wait();
        INFO(process.describe());
        CHECK(process.wait() == Ending{2, 0});
        CHECK(lines_of(process.err()).size() == 1);
        CHECK(process.err().find('\x1b') == std::string::npos);
    }
    Process process({program("websocket/load"), "--port", port.text()});
    process.expect_exit(1);
    CHECK(lines_of(process.err()).size() == 1);
    CHECK_THAT(process.err(), ContainsSubstring("(ECONNREFUSED)"));
}
