// Bad frames on purpose: our servers do what the RFC demands, and answer as strictly as they may; what servers that
// nobody here wrote do is told alike each time; and servers that the test plays are found out.

#include "common/address.hpp"
#include "common/stream.hpp"
#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "websocket/protocol/provocation.hpp"

#include <fmt/core.h>

#include <csignal>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <sys/socket.h>

namespace {

const std::string provoke = "websocket/provoke";

Process::Command asking(const std::string& address, const std::string& name, Process::Command more = {}) {
    more.insert(more.begin(), {program(provoke), address, name});
    return more;
}

/// The line of `all` that a server of ours has for a case: it fails whatever it may fail.
std::string strict_line(const websocket::Provocation& it) {
    using websocket::Demand;
    const bool request = *it.bytes == '\0';
    std::string answer;
    if (request) {
        answer = fmt::format("HTTP {}", it.code);
    } else if (it.demand == Demand::pong) {
        answer = "pong";
    } else if (it.code == 0) {
        answer = "FIN";
    } else {
        answer = it.code == 1005 ? "Close, FIN" : fmt::format("Close {}, FIN", it.code);
    }
    const bool left_open = it.demand == Demand::may_fail || it.demand == Demand::may_refuse;
    return fmt::format("{:<21} {:<24} {:<16}", it.name, answer, left_open ? "allowed" : "as demanded");
}

/// A server that says its address only by the port that it prints: npm's ws or Python's websockets.
std::string port_of(Process& process) {
    const std::string line = process.expect_line(Stream::out, "listening on ", 2 * patience);
    return line.substr(line.rfind(' ') + 1);
}

}  // namespace

TEST_CASE("provoke: our servers do all that is demanded", "[programs][websocket][provoke]") {
    const std::string name = GENERATE("websocket/echo_server", "websocket/event_server", "websocket/chat_server",
                                      "websocket/feed_server", "websocket/bridge");
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && (name != "websocket/event_server" || !has_ipv6())) return;
    INFO(name);
    const Server target = start_server("tcp/poll_server");
    const Process::Command options =
        name == "websocket/bridge" ? Process::Command{"--to", target.address()} : Process::Command{};
    Process::Command all = options;
    all.insert(all.end(), {"--host", host});
    const Server server = start_server(name, all);
    const std::string resource = name == "websocket/feed_server" ? "/control" : "/";
    const std::vector<std::string> lines =
        lines_of(run(asking(server.address(), "all", {"--timeout", "30", "--resource", resource})));
    REQUIRE(lines.size() == websocket::provocations().size() + 1);
    const bool strict = name == "websocket/echo_server" || name == "websocket/event_server";
    for (std::size_t i = 1; i < lines.size(); ++i) {
        const websocket::Provocation& it = websocket::provocations()[i - 1];
        INFO(lines[i]);
        CHECK(lines[i].find("NOT") == std::string::npos);
        if (strict) CHECK_THAT(lines[i], StartsWith(strict_line(it)));
        // The others serve pages, too, and some of them do not compress.
        if (!strict && it.demand == websocket::Demand::fail && !it.deflate)
            CHECK_THAT(lines[i], StartsWith(strict_line(it)));
    }
}

TEST_CASE("provoke: one case, its bytes and the answer", "[programs][websocket][provoke]") {
    const Server server = start_server("websocket/event_server");
    CHECK(run(asking(server.address(), "unmasked")) ==
          "unmasked: a text frame without a mask\n"
          "sent     81 05 48 65 6c 6c 6f                             ..Hello\n"
          "RFC      MUST fail the connection; the code for it is 1002 (RFC 6455, 5.1)\n"
          "answer   Close 1002 (protocol error) \"a client must mask its frames\"\n"
          "         TCP: FIN from the server first\n"
          "verdict  as demanded: failed\n");
    CHECK_THAT(run(asking(server.address(), "no-key")),
               ContainsSubstring("sent     47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a  GET / HTTP/1.1..\n") &&
                   ContainsSubstring("answer   HTTP/1.1 400 Bad Request\n") &&
                   ContainsSubstring("verdict  as demanded: it is refused\n"));
    const std::string list = run({program(provoke), "--list"});
    CHECK(count_of(list, "\n") == websocket::provocations().size());
    CHECK_THAT(list, ContainsSubstring("unmasked              a text frame without a mask "));
}

TEST_CASE("provoke: servers that do otherwise are found out", "[programs][websocket][provoke]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    const std::string address = "127.0.0.1:" + listener.port();
    const auto asked = [&](const std::string& name, const std::function<void(WebSocketPeer&)>& answer, int status,
                           const std::string& timeout = "30") {
        Process process(asking(address, name, {"--timeout", timeout}));
        {
            WebSocketPeer peer(listener);
            answer(peer);
        }
        process.expect_exit(status);
        CHECK(count_of(process.err(), "\n") == (status == 0 ? 0 : 1));
        return process.out() + process.err();
    };
    SECTION("it goes on") {
        const auto serve = [&](WebSocketPeer& peer) {
            CHECK(peer.socket().receive(7) == wire::from_hex("81 05 48656c6c6f"));
            peer.send(wire::frame(0x81, "Hello"));
            CHECK(peer.frame() == "89 still there?");
            peer.send(wire::frame(0x8A, "still there?"));
            peer.socket().receive_to_end();
        };
        const std::string told = asked("unmasked", serve, 1);
        CHECK_THAT(told, ContainsSubstring("text, 5 bytes: \"Hello\"\n") &&
                             ContainsSubstring("verdict  NOT AS DEMANDED: it goes on\n") &&
                             ContainsSubstring("unmasked: not as RFC 6455 demands: it goes on\n"));
    }
    SECTION("it says nothing") {
        const auto serve = [&](WebSocketPeer& peer) { peer.socket().receive_to_end(); };
        const std::string told = asked("utf8", serve, 1, "1");
        CHECK_THAT(told, ContainsSubstring("answer   nothing\n") &&
                             ContainsSubstring("TCP: the server leaves it open; we end it\n") &&
                             ContainsSubstring("NOT AS DEMANDED: TCP stays open"));
    }
    SECTION("it resets") {
        const auto serve = [&](WebSocketPeer& peer) {
            peer.socket().receive(7);
            peer.socket().reset();
        };
        CHECK_THAT(asked("unmasked", serve, 0),
                   ContainsSubstring("TCP: RST from the server\n") && ContainsSubstring("verdict  allowed: failed"));
    }
    SECTION("what it says can't move the cursor") {
        const auto serve = [&](WebSocketPeer& peer) {
            peer.socket().receive(7);
            peer.send(wire::frame(0x81, "\x1b[2J") + wire::frame(0x88, wire::close_body(1002, "\x1b[31m")));
            peer.socket().end_sending();
            peer.socket().receive_to_end();
        };
        const std::string told = asked("unmasked", serve, 0);
        CHECK(told.find('\x1b') == std::string::npos);
        CHECK_THAT(told, ContainsSubstring("\"\\x1b[2J\"") && ContainsSubstring("\"\\x1b[31m\""));
    }
    SECTION("it talks without end") {
        const auto serve = [&](WebSocketPeer& peer) {
            peer.socket().receive(7);
            std::string many;
            for (int i = 0; i < 10'000; ++i)
                many += wire::frame(0x82, std::string(200, 'x'));
            peer.send(many + wire::frame(0x88, wire::close_body(1002)));
            peer.socket().end_sending();
            peer.socket().receive_to_end();
        };
        CHECK_THAT(asked("unmasked", serve, 0), ContainsSubstring("and 9993 more frames\n"));
    }
}

TEST_CASE("provoke: what is no WebSocket server", "[programs][websocket][provoke]") {
    const std::string name = GENERATE("unmasked", "all");
    Peer listener = Peer::bound(SOCK_STREAM);
    Process process(asking("127.0.0.1:" + listener.port(), name));
    Peer peer = listener.accept();
    read_head(peer);
    const std::string answer = GENERATE("HTTP/1.1 404 Not\x1b[2J Found\r\n\r\n", "220 mail\r\n\r\n", "");
    peer.send(answer);
    peer.end_sending();
    process.expect_exit(1);
    CHECK(count_of(process.err(), "\n") == 1);
    CHECK_THAT(process.err(), ContainsSubstring("did not accept a good handshake"));
    CHECK(process.err().find('\x1b') == std::string::npos);
}

TEST_CASE("provoke: wrong command lines, and nobody there", "[programs][websocket][provoke]") {
    const FreePort nobody;
    for (const Process::Command& wrong : std::vector<Process::Command>{{"127.0.0.1:7000", "nonsense\x1b[2J"},
                                                                       {"7000", "all"},
                                                                       {"127.0.0.1:0", "all"},
                                                                       {"--list", "127.0.0.1:7000"},
                                                                       {"127.0.0.1:7000", "all", "--timeout", "0"},
                                                                       {"127.0.0.1:7000", "all", "--resource", "x"},
                                                                       {"127.0.0.1:7000"}}) {
        Process::Command command{program(provoke)};
        command.insert(command.end(), wrong.begin(), wrong.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(count_of(process.err(), "\n") == 1);
        CHECK(process.err().find('\x1b') == std::string::npos);
    }
    Process process(asking("127.0.0.1:" + nobody.text(), "unmasked"));
    process.expect_exit(1);
    CHECK_THAT(process.err(), ContainsSubstring("ECONNREFUSED"));
}

TEST_CASE("provoke: what npm's ws and Python's websockets do is told alike each time",
          "[programs][websocket][provoke][interop]") {
    const std::string which = GENERATE("python", "node");
    std::optional<Surroundings> surroundings = Surroundings{};
    if (which == "node") surroundings = npm_packages();
    if (!surroundings || !has_tool("python3")) return;
    if (which == "python" && Process({"/usr/bin/python3", "-c", "import websockets"}).wait().status != 0)
        return skip("python3-websockets is not installed (sh scripts/setup)");
    Process server(which == "node" ? Process::Command{"node", "tests/interop/server.mjs"}
                                   : Process::Command{"/usr/bin/python3", "tests/interop/server.py"},
                   *surroundings);
    const std::string address = port_of(server);
    // What is right in any case. What else they do is theirs; it is told line by line, and the status is of the lines.
    for (const char* name : {"ping", "close-1000", "unmasked", "rsv2", "opcode-3", "utf8", "no-key", "extension"}) {
        const std::string told = run(asking(address, name, {"--timeout", "30"}));
        CHECK_THAT(told, ContainsSubstring("\nverdict  as demanded: "));
    }
    for (const char* name : {"continuation", "length-16", "no-host", "host-twice", "http-1.0", "version-12"}) {
        INFO(name);
        std::vector<std::string> told;
        for (int i = 0; i < 2; ++i) {
            Process process(asking(address, name, {"--timeout", "30"}));
            const Ending ending = process.wait();
            const bool wrong = process.out().find("\nverdict  NOT AS DEMANDED: ") != std::string::npos;
            CHECK(ending == Ending{.status = wrong ? 1 : 0});
            CHECK(count_of(process.err(), "not as RFC 6455 demands") == (wrong ? 1 : 0));
            std::string out = process.out();
            told.push_back(out.substr(out.find("\nverdict")));
        }
        CHECK(told[0] == told[1]);
    }
    server.signal(SIGTERM);
    server.wait();
}

// ---- By way of the tap's page

TEST_CASE("provoke: the tap does it for its own page, and for no other", "[programs][websocket][provoke][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    const std::string to = "127.0.0.1:" + target.port();
    Server tap = start_server("websocket/tap", {"--to", to, "--page", "0", "--quiet"});
    const std::string line = tap.expect_line(Stream::out, "the page: ");
    const auto port = static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
    const auto page_with = [&](const std::string& request) {
        Peer peer(connect_to_any(resolve("127.0.0.1", port, SOCK_STREAM)));
        peer.send(request);
        return peer;
    };
    const auto status = [&](const std::string& request) {
        Peer peer = page_with(request);
        return read_head(peer).substr(9, 3);
    };
    CHECK(status(upgrade_request("Origin: http://elsewhere.example\r\n")) == "403");
    CHECK(status("GET /provocations HTTP/1.1\r\nHost: elsewhere.example\r\n\r\n") == "421");
    CHECK(status("GET /provocations HTTP/1.1\r\nHost: localhost\r\n\r\n") == "200");
    CHECK(status("POST /provocations HTTP/1.1\r\nHost: localhost\r\n\r\n") == "405");

    Peer page = page_with(upgrade_request());
    CHECK_THAT(read_head(page), StartsWith("HTTP/1.1 101 "));
    std::string told;
    const auto wait_for = [&](const std::string& text) {
        const auto found = [&] { return told.find(text) != std::string::npos; };
        const auto more = [&] {
            char bytes[4096];
            const ssize_t count = recv(page.fd(), bytes, sizeof bytes, MSG_DONTWAIT);
            if (count > 0) told.append(bytes, static_cast<size_t>(count));
            return found();
        };
        wait_until(more, text);
        told.clear();
    };
    const auto ask = [&](const std::string& text) { page.send(wire::masked(0x81, text)); };
    for (const char* nonsense : {"", "{", "[]", "{\"provoke\":1}", "{\"provoke\":\"nonsense\",\"resource\":\"/\"}"}) {
        ask(nonsense);
        wait_for("\"error\":\"there is no such case\"");
    }
    ask(R"({"provoke":"unmasked","resource":"/ HTTP/1.1\r\nX: y"})");
    wait_for("\"error\":\"the path begins with / and has no blanks\"");

    // It goes to the tap's target, whatever else is asked for, and one at a time.
    ask(R"({"provoke":"unmasked","resource":"/chat","to":"127.0.0.1:1","host":"127.0.0.1:1"})");
    WebSocketPeer server(target);
    CHECK_THAT(server.head(), StartsWith("GET /chat HTTP/1.1\r\nHost: " + to + "\r\n"));
    CHECK(server.socket().receive(7) == wire::from_hex("81 05 48656c6c6f"));
    ask(R"({"provoke":"unmasked","resource":"/chat"})");
    wait_for("\"error\":\"one at a time\"");
    server.send(wire::frame(0x88, wire::close_body(1002, "\x1b[2J")));
    server.socket().end_sending();
    wait_for("\"verdict\":\"as demanded\"");
    // The server is gone.
    target.close();
    ask(R"({"provoke":"no-key","resource":"/"})");
    wait_for("\"verdict\":\"NOT AS DEMANDED\"");
    page.close();
    tap.signal(SIGINT);
    tap.expect_exit(0);
}

TEST_CASE("provoke: in the tap's page", "[programs][websocket][provoke][tap][browser]") {
    if (!can_test_pages()) return;
    const Server echo = start_server("websocket/event_server");
    Server tap = start_server("websocket/tap", {"--to", echo.address(), "--page", "0", "--quiet"});
    const std::string line = tap.expect_line(Stream::out, "the page: ");
    const std::string port = line.substr(line.rfind(':') + 1, line.size() - line.rfind(':') - 2);
    PageTest("tap_provoke.mjs", {port}).finish();
}
