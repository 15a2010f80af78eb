// What the echo client does with a hostile, broken or dying server, which the test plays: it ends by itself, with one
// clear line and the right status, tells the server with the right code, and lets nothing through to the terminal.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <functional>
#include <memory>

#include <sys/socket.h>

using wire::close_body;
using wire::frame;
using wire::operator""_hex;
using Frames = std::vector<std::string>;

namespace {

/// A client that connects to a socket of the test's.
struct Stage {
    Peer listener;
    Process client;

    explicit Stage(const Process::Command& arguments = {}, const Surroundings& surroundings = {})
        : listener(Peer::bound(SOCK_STREAM)), client(command(arguments), surroundings) {}

    /// The line that the client ends with, which must be the last that it says on standard error.
    std::string failure() {
        client.expect_exit(1);
        return lines_of(client.err()).empty() ? "" : lines_of(client.err()).back();
    }

private:
    Process::Command command(const Process::Command& arguments) const {
        Process::Command all{program("websocket/echo_client"), "--port", listener.port()};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }
};

bool is_harmless(std::string_view text) {
    return std::none_of(
               text.begin(), text.end(),
               [](char c) { return c != '\n' && c != '\r' && (static_cast<unsigned char>(c) < 0x20 || c == 0x7F); }) &&
           text.find("\xc2\x9b") == std::string_view::npos;
}

const std::string hostile =
    "\x1b[2J\x1b]52;c;cm0gLXJmIH4=\x07\xc2\x9b"
    "6n 한글";
const std::string harmless = "\\x1b[2J\\x1b]52;c;cm0gLXJmIH4=\\x07\\xc2\\x9b6n 한글";

}  // namespace

// ---- The handshake

TEST_CASE("websocket client: answers that are no WebSocket handshake", "[programs][websocket]") {
    struct Case {
        std::string from, to;  // what is replaced in the right answer; empty: all of it
        std::string says;
    };
    const std::string accept = "Sec-WebSocket-Accept: ";
    const std::string upgrade = "Upgrade: websocket\r\n";
    const std::string connection = "Connection: Upgrade\r\n";
    const std::string end = "\r\n\r\n";
    for (const Case& one : {
             Case{accept, accept + "x", "Sec-WebSocket-Accept does not belong to the key that was sent"},
             Case{accept, fmt::format("{}{}\r\nX: ", accept, sample_accept),
                  "Sec-WebSocket-Accept does not belong to the key that was sent"},
             Case{accept, "X: ", "Sec-WebSocket-Accept is missing"},
             Case{accept, fmt::format("{}{}\r\n{}", accept, sample_accept, accept), "more than once"},
             Case{upgrade, "", "Upgrade is not websocket"},
             Case{upgrade, "Upgrade: h2c\r\n", "Upgrade is not websocket"},
             Case{upgrade, "Upgrade: websockets\r\n", "Upgrade is not websocket"},
             Case{upgrade, upgrade + upgrade, "more than once"},
             Case{connection, "", "Connection does not name Upgrade"},
             Case{connection, "Connection: close\r\n", "Connection does not name Upgrade"},
             Case{end, "\r\nSec-WebSocket-Protocol: chat" + end, "a subprotocol that was not offered"},
             Case{end, "\r\nSec-WebSocket-Extensions: permessage-deflate" + end, "that was not offered"},
             Case{end, "\r\nSec-WebSocket-Extensions: x-unknown" + end, "that was not offered"},
             Case{end, "\r\nX: a\r\n b" + end, "the server's answer is not HTTP: a field is folded"},
             Case{end, "\r\nX: " + hostile + end, "the server's answer is not HTTP: a control character"},
             Case{end, "\r\nX: " + std::string(65'536, 'x') + end, "too large a header"},
             Case{"HTTP/1.1", "HTTP/1.0", "the server's answer is not HTTP/1.1"},
             Case{"101", "200", "the server did not switch to WebSocket: HTTP/1.1 200"},
             Case{"101", "100", "the server ended the connection without an answer"},
             Case{"101", "1010", "the server did not switch to WebSocket: HTTP/1.1 1010"},
             Case{"", "hello\r\n\r\n", "the server does not speak HTTP: hello"},
             Case{"", "SSH-2.0-OpenSSH_9.2\r\n", "the server does not speak HTTP: SSH-2.0-OpenSSH_9.2"},
             Case{"", "hello\n", "the server's answer is not HTTP: a line ends with LF alone"},
             Case{"", "", "the server ended the connection without an answer"},
             Case{"", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: webs",
                  "the server's answer is incomplete: HTTP/1.1 101"},
             Case{"", std::string(100'000, 'x'), "too large a header"},
             Case{"", "15030100020246 0d0a"_hex, "the server's answer is not HTTP"},
             Case{"", "HTTP/1.1 404 Not Found\r\nContent-Length: 14\r\n\r\n<h1>none</h1>\n",
                  "the server did not switch to WebSocket: HTTP/1.1 404 Not Found: <h1>none</h1>"},
             Case{"", "HTTP/1.1 301 Moved\r\nLocation: /x\r\n\r\n", "HTTP/1.1 301 Moved"},
             Case{"", "HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nlater\r\n0\r\n\r\n",
                  "the server did not switch to WebSocket: HTTP/1.1 503 Busy: later"},
             Case{"", "HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\nbroken off", "HTTP/1.1 500 Oh: broken off"},
             Case{"", "HTTP/1.1 500 Oh\r\nContent-Length: 99999999999999999999\r\n\r\nendless", "HTTP/1.1 500 Oh"},
             Case{"", fmt::format("HTTP/1.1 403 No\r\nContent-Length: {}\r\n\r\n{}", hostile.size(), hostile),
                  harmless},
             Case{"", "HTTP/1.1 403 \xff\xfe\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 403 \\xff\\xfe"},
         }) {
        INFO(wire::shown(one.from) << " -> " << wire::shown(one.to));
        Stage stage;
        WebSocketPeer peer(stage.listener, false);
        std::string answer = one.to;
        if (!one.from.empty()) {
            answer = switching_protocols(peer.head());
            answer.replace(answer.find(one.from), one.from.size(), one.to);
        }
        // It may have seen enough and left before all of it is sent.
        (void)send(peer.socket().fd(), answer.data(), answer.size(), 0);
        (void)shutdown(peer.socket().fd(), SHUT_WR);
        CHECK_THAT(stage.failure(), ContainsSubstring(one.says));
        CHECK(lines_of(stage.client.err()).size() == 1);
        CHECK(is_harmless(stage.client.err()));
        CHECK(stage.client.err().size() < 2000);
        CHECK(stage.client.out().empty());
    }
}

TEST_CASE("websocket client: answers to what it offered", "[programs][websocket]") {
    const std::string extensions = "Sec-WebSocket-Extensions: ", protocol = "Sec-WebSocket-Protocol: ";
    for (const std::string& wrong : {
             extensions + "permessage-deflate; server_max_window_bits=16\r\n",
             extensions + "permessage-deflate; server_max_window_bits=7\r\n",
             extensions + "permessage-deflate; server_max_window_bits\r\n",
             extensions + "permessage-deflate; client_max_window_bits\r\n",
             extensions + "permessage-deflate; client_max_window_bits=abc\r\n",
             extensions + "permessage-deflate; client_no_context_takeover; client_no_context_takeover\r\n",
             extensions + "permessage-deflate; unknown=1\r\n",
             extensions + "permessage-deflate, permessage-deflate\r\n",
             extensions + "permessage-deflate\r\n" + extensions + "permessage-deflate\r\n",
             extensions + "permessage-deflate; a=\"unclosed\r\n",
             extensions + "permessage-bzip2\r\n",
             protocol + "superchat\r\n",
             protocol + "CHAT\r\n",
             protocol + "chat, other\r\n",
             protocol + "\r\n",
             protocol + "chat\r\n" + protocol + "chat\r\n",
         }) {
        INFO(wrong);
        Stage stage({"--deflate", "--subprotocol", "chat,other"});
        const WebSocketPeer peer(stage.listener, true, wrong);
        stage.failure();
        CHECK(lines_of(stage.client.err()).size() == 1);
    }
    for (const std::string& right : {
             std::string(),
             extensions + "permessage-deflate\r\n",
             extensions + "permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n",
             extensions + "permessage-deflate; server_max_window_bits=8; client_max_window_bits=8\r\n",
             extensions + "permessage-deflate; client_max_window_bits=\"15\"\r\n",
             protocol + "chat\r\n",
             protocol + "other\r\n",
             std::string("connection: keep-alive, UPGRADE\r\n"),
         }) {
        INFO(right);
        Stage stage({"--deflate", "--subprotocol", "chat,other"});
        WebSocketPeer peer(stage.listener, true, right);
        stage.client.close_input();
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1000)));
        peer.send_frame(0x88, close_body(1000));
        peer.socket().close();
        stage.client.expect_exit(0);
        const std::string chosen = right.rfind(protocol, 0) == 0 ? right.substr(protocol.size()) : "none\r\n";
        CHECK(stage.client.err() == "subprotocol: " + chosen.substr(0, chosen.size() - 2) + "\n");
    }
}

TEST_CASE("websocket client: the answer comes byte by byte, or with the first frames behind it",
          "[programs][websocket]") {
    Stage slow, quick;
    WebSocketPeer peer(slow.listener, false), other(quick.listener, false);
    const std::string frames = frame(0x81, "hello") + frame(0x89, "p") + frame(0x88, close_body(1001, "bye"));
    for (const char byte : switching_protocols(peer.head()) + frames)
        peer.send({&byte, 1});
    other.send(switching_protocols(other.head()) + frames);
    for (WebSocketPeer* one : {&peer, &other}) {
        CHECK(one->frame() == "8a p");
        CHECK(one->frame() == "88 " + wire::shown(close_body(1001)));
        one->socket().close();
    }
    for (Stage* stage : {&slow, &quick}) {
        stage->client.expect_exit(0);
        CHECK(stage->client.out() == "hello\n");
        CHECK(stage->client.err() == "closed: 1001 bye\n");
    }
}

// ---- Frames

TEST_CASE("websocket client: each fault of a frame is answered with Close, and told", "[programs][websocket]") {
    struct Fault {
        const char* what;
        std::string bytes;
        unsigned code = 1002;
    };
    std::vector<Fault> faults = {
        {"a mask", wire::masked(0x81, "hello")},
        {"a mask on an empty frame", wire::masked(0x81, "")},
        {"RSV1", frame(0xC1, "")},
        {"RSV2", frame(0xA1, "")},
        {"RSV3 on a ping", frame(0x99, "")},
        {"a reserved opcode", frame(0x83, "")},
        {"a reserved control opcode", frame(0x8B, "")},
        {"a ping in fragments", frame(0x09, "")},
        {"a ping of 126 bytes", frame(0x89, std::string(126, 'x'))},
        {"a Close frame of 126 bytes", frame(0x88, close_body(1000, std::string(124, 'x')))},
        {"a continuation of nothing", frame(0x80, "")},
        {"a text within a text", frame(0x01, "a") + frame(0x81, "b")},
        {"a length of 5 in 16 bits", "817e0005"_hex},
        {"a length of 2^63", "827f8000000000000000"_hex},
        {"a length of 16 MiB and 1", "827f0000000001000001"_hex, 1009},
        {"a text that is not UTF-8", frame(0x81, "\xff"), 1007},
        {"a text that ends within a character", frame(0x81, "\xed\x95"), 1007},
        {"half a close code", frame(0x88, "\x03")},
        {"a reason that is not UTF-8", frame(0x88, close_body(1000, "\xff")), 1007},
    };
    for (const unsigned code : {0U, 999U, 1004U, 1005U, 1006U, 1015U, 2999U, 5000U, 65535U})
        faults.push_back({"a close code that may not travel", frame(0x88, close_body(code, "why"))});
    for (const Fault& fault : faults) {
        INFO(fault.what);
        Stage stage;
        WebSocketPeer peer(stage.listener);
        stage.client.feed("hello\n");
        CHECK(peer.frame() == "81 hello");
        peer.send(fault.bytes + frame(0x81, "behind it"));
        const std::string answer = peer.frame();
        CHECK_THAT(answer, StartsWith("88 " + wire::shown(close_body(fault.code))));
        peer.socket().close();
        CHECK_THAT(stage.failure(), StartsWith("the connection ended after 0 of 1 messages had come back"));
        const std::vector<std::string> lines = lines_of(stage.client.err());
        REQUIRE(lines.size() == 2);
        CHECK_THAT(lines[0], StartsWith(fmt::format("closed: {} ", fault.code)));
        CHECK(stage.client.out().empty());
    }
}

TEST_CASE("websocket client: fragments, pings and pongs of a server", "[programs][websocket]") {
    Stage stage;
    WebSocketPeer peer(stage.listener);
    stage.client.feed("hello\n");
    CHECK(peer.frame() == "81 hello");
    peer.send(frame(0x01, "one, ") + frame(0x89, "1") + frame(0x00, "") + frame(0x8A, hostile) + frame(0x89, "2") +
              frame(0x80, "two"));
    CHECK(peer.frame() == "8a 1");
    CHECK(peer.frame() == "8a 2");
    stage.client.expect(Stream::out, "one, two\n");
    // A flood of pings while it reads: answered, though perhaps not each of them.
    std::string flood;
    for (int i = 0; i < 5000; ++i)
        flood += frame(0x89, fmt::format("{}", i));
    peer.send(flood);
    for (std::string pong; pong != "8a 4999";)
        pong = peer.frame();
    stage.client.close_input();
    CHECK(peer.frame() == "88 " + wire::shown(close_body(1000)));
    peer.send_frame(0x88, close_body(1000));
    peer.socket().close();
    stage.client.expect_exit(0);
    CHECK(stage.client.err() == "pong " + harmless + "\n");
}

// ---- What it prints

TEST_CASE("websocket client: what a hostile server sends is escaped on a terminal, and raw in a pipe",
          "[programs][websocket]") {
    const std::string frames = frame(0x81, hostile) + frame(0x82, hostile + "\xff") + frame(0x8A, hostile) +
                               frame(0x88, close_body(4000, hostile));
    for (const Terminal terminal : {Terminal::output, Terminal::none}) {
        Stage stage({}, {.terminal = terminal});
        WebSocketPeer peer(stage.listener);
        peer.send(frames);
        CHECK(peer.frame() == "88 " + wire::shown(close_body(4000)));
        peer.socket().close();
        stage.client.expect_exit(0);
        CHECK(stage.client.err() == "pong " + harmless + "\nclosed: 4000 " + harmless + "\n");
        if (terminal == Terminal::output) {
            CHECK(stage.client.all(Stream::terminal) == harmless + "\r\n" + harmless + "\\xff\r\n");
        } else {
            CHECK(stage.client.out() == hostile + "\n" + hostile + "\xff\n");
        }
    }
    // --frames shows the same bytes once more.
    Stage stage({"--frames"});
    WebSocketPeer peer(stage.listener);
    peer.send(frames);
    peer.frame();
    peer.socket().close();
    stage.client.expect_exit(0);
    CHECK(is_harmless(stage.client.err()));
}

TEST_CASE("websocket client: more, less and something else comes back", "[programs][websocket]") {
    Stage stage;
    WebSocketPeer peer(stage.listener);
    stage.client.feed("one\ntwo\n");
    CHECK(peer.frame() == "81 one");
    CHECK(peer.frame() == "81 two");
    peer.send(frame(0x81, "eins") + frame(0x82, "zwei") + frame(0x81, "") + frame(0x81, "vier"));
    stage.client.expect(Stream::out, "eins\nzwei\n\nvier\n");
    peer.send_frame(0x88, close_body(1000));
    peer.frame();
    peer.socket().close();
    stage.client.expect_exit(0);

    Stage less;
    WebSocketPeer stingy(less.listener);
    less.client.feed("one\ntwo\nthree\n");
    for (int i = 0; i < 3; ++i)
        stingy.frame();
    stingy.send(frame(0x81, "one") + frame(0x88, close_body(1013, "enough")));
    stingy.frame();
    stingy.socket().close();
    CHECK(less.failure() == "the connection ended after 1 of 3 messages had come back");
    CHECK_THAT(less.client.err(), StartsWith("closed: 1013 enough\n"));
    CHECK(less.client.out() == "one\n");
}

// ---- The end

TEST_CASE("websocket client: the server dies in the middle", "[programs][websocket]") {
    Stage stage;
    WebSocketPeer peer(stage.listener);
    stage.client.feed("one\ntwo\n");
    CHECK(peer.frame() == "81 one");
    CHECK(peer.frame() == "81 two");
    peer.send(frame(0x81, "one") + frame(0x81, "two").substr(0, 3));
    stage.client.expect(Stream::out, "one\n");
    SECTION("by closing") {
        peer.socket().close();
        CHECK(stage.failure() ==
              "the connection ended after 1 of 2 messages had come back, and without a closing handshake");
        CHECK(lines_of(stage.client.err()) ==
              Frames{"closed: 1006",
                     "the connection ended after 1 of 2 messages had come back, and without a closing handshake"});
    }
    SECTION("by a reset") {
        peer.socket().reset();
        CHECK_THAT(stage.failure(), ContainsSubstring(".cpp:") && ContainsSubstring("(ECONNRESET)"));
    }
    CHECK(stage.client.out() == "one\n");
}

TEST_CASE("websocket client: the server is killed", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name);
    Process client(server.client("websocket/echo_client"));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    server.signal(SIGKILL);
    client.expect_exit(1);
    CHECK_THAT(client.err(), ContainsSubstring("1 of 1 messages had come back, and without a closing handshake"));
}

TEST_CASE("websocket client: a standard output that nobody reads any more", "[programs][websocket]") {
    const Server server = start_server("websocket/echo_server");
    const std::string command = fmt::format("yes | {} --port {} | head -n 1; echo status ${{PIPESTATUS[1]}} >&2",
                                            program("websocket/echo_client"), server.port());
    Process shell({"bash", "-c", command});
    shell.expect(Stream::err, "status 1\n");
    CHECK(shell.out() == "y\n");
    CHECK_THAT(shell.err(), ContainsSubstring("write(") && ContainsSubstring("(EPIPE)"));
}

TEST_CASE("websocket client: servers that keep it waiting", "[programs][websocket]") {
    // All at the same time, since it is waiting that they have in common.
    const Process::Command impatient{"--patience", "1"};
    struct Act {
        const char* what;
        std::function<void(Stage&)> play;
        int status;
        std::string says;
        std::unique_ptr<Stage> stage = {};
    };
    std::vector<WebSocketPeer> peers;
    const auto peer_of = [&](Stage& stage, bool answers = true) -> WebSocketPeer& {
        return peers.emplace_back(stage.listener, answers);
    };
    std::vector<Act> acts;
    acts.push_back({"it does not answer the handshake", [&](Stage& stage) { peer_of(stage, false); }, 1,
                    "no answer within 1 seconds"});
    acts.push_back(
        {"it refuses, and its body does not end",
         [&](Stage& stage) { peer_of(stage, false).send("HTTP/1.1 503 Busy\r\nContent-Length: 100\r\n\r\nsoon"); }, 1,
         "the server did not switch to WebSocket: HTTP/1.1 503 Busy: soon"});
    acts.push_back({"its header does not end",
                    [&](Stage& stage) { peer_of(stage, false).send("HTTP/1.1 101 Switching Protocols\r\nX: "); }, 1,
                    "the server's answer is incomplete: HTTP/1.1 101 Switching Protocols"});
    acts.push_back(
        {"it does not answer Close", [&](Stage& stage) { peer_of(stage); }, 1, "the server does not answer our Close"});
    acts.push_back({"it returns nothing",
                    [&](Stage& stage) {
                        stage.client.feed("hello\n");
                        peer_of(stage);
                    },
                    1, "the server does not answer our Close"});
    acts.push_back({"it reads nothing",
                    [&](Stage& stage) {
                        peer_of(stage);
                        stage.client.feed(std::string(50'000'000, 'x'));
                    },
                    1, "the server does not answer our Close"});
    acts.push_back({"it answers Close, and does not end TCP",
                    [&](Stage& stage) { peer_of(stage).send_frame(0x88, close_body(1000)); }, 0, ""});
    for (Act& act : acts) {
        act.stage = std::make_unique<Stage>(impatient);
        act.play(*act.stage);
        act.stage->client.close_input();
    }
    // And one that never rests: it sends pings and no answers, and after Close whatever it likes.
    Stage pings(impatient), talks(impatient);
    pings.client.feed("hello\n");
    WebSocketPeer pinging(pings.listener), talking(talks.listener);
    talking.send_frame(0x88, close_body(1000));
    pings.client.close_input();
    talks.client.close_input();
    const auto never_rests = [&] {
        (void)send(pinging.socket().fd(), "\x89\0", 2, MSG_DONTWAIT);
        (void)send(talking.socket().fd(), "\x81\1x", 3, MSG_DONTWAIT);
        serve_processes(Milliseconds(10));
        return !pings.client.is_running() && !talks.client.is_running();
    };
    wait_until(never_rests, "the clients to give up");
    talks.client.expect_exit(0);
    CHECK(pings.failure() == "the server does not answer our Close");
    for (Act& act : acts) {
        INFO(act.what);
        const Ending ending = act.stage->client.wait();
        INFO(act.stage->client.describe());
        CHECK(ending == Ending{act.status, 0});
        CHECK(act.stage->client.err() == (act.says.empty() ? "" : act.says + "\n"));
    }
}

TEST_CASE("websocket client: a server that pings without end and reads no pong is read no more",
          "[programs][websocket]") {
    Stage stage({"--patience", "2"});
    WebSocketPeer peer(stage.listener);
    std::string pings;
    for (int i = 0; i < 500; ++i)
        pings += frame(0x89, std::string(125, 'p'));
    constexpr size_t most = 64 << 20U;  // far more than the kernel holds for the two of them
    size_t sent = 0;
    for (int idle_rounds = 0; idle_rounds < 50 && sent < most; ++idle_rounds) {
        const size_t at = sent % pings.size();
        const ssize_t count = ::send(peer.socket().fd(), &pings[at], pings.size() - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (count > 0) {
            sent += static_cast<size_t>(count);
            idle_rounds = 0;
        } else {
            serve_processes(Milliseconds(10));
        }
    }
    CHECK(sent < most);
#ifdef __linux__
    if (!is_sanitized() && stage.client.is_running()) CHECK(most_resident_kilobytes(stage.client.pid()) < 16 * 1024);
#endif
    CHECK(stage.failure() == "the server does not answer our Close");
}
