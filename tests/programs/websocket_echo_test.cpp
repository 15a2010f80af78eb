// The WebSocket echo pair as it is meant to be used, with either server: typed and piped, its commands, its options,
// files byte for byte.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>

namespace {

const std::string echo_client = "websocket/echo_client";

/// What a run of the client printed, and its status.
struct Run {
    std::string out, err;
    int status;
};

Run run_client(const Server& server, const Process::Command& arguments, std::string_view input) {
    Process client(server.client(echo_client, arguments));
    client.feed(input);
    client.close_input();
    const int status = client.wait().status;
    return {client.out(), client.err(), status};
}

/// The numbers of the lines that begin with this, in what --frames tells: "client -> server: text frame".
size_t frames_told(const Run& run, const std::string& what) { return count_of(run.err, what); }

}  // namespace

TEST_CASE("websocket echo: typed", "[programs][websocket]") {
    const Pair pair = GENERATE(from_range(websocket_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process client(server.client(pair.client), {.terminal = Terminal::all});
    for (const std::string& line : {std::string("hello"), std::string("a second line"), std::string("한글 👋")}) {
        client.type(line + "\n");
        // First the terminal's echo of what is typed, then the server's.
        CHECK(client.expect(Stream::terminal, line + "\r\n" + line + "\r\n") == line + "\r\n" + line + "\r\n");
    }
    client.type("/ping\n");
    CHECK(client.expect_line(Stream::terminal, "pong") == "pong \r");
    client.type("/ping are you there? 네\n");
    CHECK(client.expect_line(Stream::terminal, "pong") == "pong are you there? 네\r");
    client.type("/binary 48 65:6c,6C 6f\n");
    client.expect(Stream::terminal, "\r\nHello\r\n");
    client.type("/close 1000 bye\n");
    client.expect_exit(0);
    must_serve(server, pair.client);
}

TEST_CASE("websocket echo: typed, ended by Ctrl-D", "[programs][websocket]") {
    const Pair pair = GENERATE(from_range(websocket_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    Process client(server.client(pair.client), {.terminal = Terminal::all});
    client.type("hello\n");
    client.expect(Stream::terminal, "hello\r\nhello\r\n");
    client.type("\x04");
    client.expect_exit(0);
    CHECK(client.all(Stream::terminal) == "hello\r\nhello\r\n");
    CHECK(server.err().empty());
}

TEST_CASE("websocket echo: piped, byte for byte", "[programs][websocket]") {
    const Pair pair = GENERATE(from_range(websocket_pairs()));
    const bool deflate = GENERATE(false, true);
    if (deflate && pair.host == "::1") return;  // that makes no difference to it
    INFO(pair.name() << (deflate ? " with --deflate" : ""));
    Server server = pair.start();
    const auto echo = [&](const std::string& input) {
        return run(server.client(pair.client, deflate ? Process::Command{"--deflate"} : Process::Command{}), input);
    };
    const std::string zeros("\0a\0\n\0\0", 6);
    for (const std::string& input :
         {std::string(), std::string("x"), std::string("\n"), std::string("one line\n"), std::string("no newline"),
          std::string("\n\n\n"), std::string("one\n\n\nfour\nfive, without a newline"),
          std::string("안녕하세요, 소켓!\n한글"), std::string("a carriage return\r\n\r\n"), zeros,
          std::string("\xff\xfe not UTF-8 \xc3\n\xed\xa0\x80\n"),
          std::string(70000, 'x') + "\n" + std::string(125, 'y') + "\n" + std::string(126, 'z')}) {
        INFO(wire::shown(input));
        CHECK((echo(input) == input));
    }
    CHECK(server.err().empty());
    CHECK(lines_of(server.out()).size() == 1);  // "listening on", and no more
}

TEST_CASE("websocket echo: a large file, byte for byte", "[programs][websocket][large]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    const bool deflate = GENERATE(false, true);
    INFO(name << (deflate ? " with --deflate" : ""));
    const TempDir directory;
    const std::string bytes = random_bytes(is_sanitized() || deflate ? 2'000'000 : 20'000'000);
    write_file(directory / "random", bytes);
    const Server server = start_server(name);
    Process::Command command = server.client(echo_client, {"--plain"});
    if (deflate) command.emplace_back("--deflate");
    Process client(command, {.input_file = directory / "random"});
    client.expect_exit(0);
    CHECK((client.out() == bytes));
    CHECK(client.err().empty());
}

TEST_CASE("websocket echo: a piped client prints each answer as it comes", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    Process client(server.client(echo_client));
    client.feed("first\n");
    client.expect(Stream::out, "first\n");
    client.feed("sec");
    client.feed("ond\n");
    client.expect(Stream::out, "second\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.err().empty());
}

TEST_CASE("websocket echo: the blocking server lets a second client wait, the event server does not",
          "[programs][websocket]") {
    const Server blocking = start_server("websocket/echo_server");
    {
        WebSocketPeer first(blocking);  // has shaken hands: it is being served
        Process second(blocking.client(echo_client));
        second.feed("2\n");
        first.send_frame(0x81, "1");
        CHECK(first.frame() == "81 1");
        CHECK(second.out().empty());
        first.send_frame(0x88, "");
        CHECK(first.frames_to_end() == std::vector<std::string>{"88 "});
        first.socket().close();
        second.expect(Stream::out, "2\n");
        second.close_input();
        second.expect_exit(0);
    }
    const Server event = start_server("websocket/event_server");
    WebSocketPeer first(event);
    Process second(event.client(echo_client));
    second.feed("2\n");
    second.expect(Stream::out, "2\n");
    first.send_frame(0x81, "1");
    CHECK(first.frame() == "81 1");
}

TEST_CASE("websocket echo: --host localhost", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    const Server server = start_server(name, {"--host", "localhost"});
    CHECK(run({program(echo_client), "--host", "localhost", "--port", server.port()}, "hello\n") == "hello\n");
}

// ---- Commands

TEST_CASE("websocket echo: commands", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);

    const Run ping = run_client(server, {}, "/ping\n/ping a b\nx\n");
    CHECK(ping.out == "x\n");
    CHECK(ping.err == "pong \npong a b\n");
    CHECK(ping.status == 0);

    const Run long_ping = run_client(server, {}, "/ping " + std::string(200, 'p') + "\n");
    CHECK(long_ping.err == "pong " + std::string(125, 'p') + "\n");

    const Run escaped_ping = run_client(server, {}, "/ping \x1b[2J\n");
    CHECK(escaped_ping.err == "pong \\x1b[2J\n");

    const Run close = run_client(server, {}, "before\n/close 1000 bye\nafter\n");
    CHECK(close.out == "before\n");
    CHECK(close.err.empty());
    CHECK(close.status == 0);

    const Run bare_close = run_client(server, {}, "/close\nafter\n");
    CHECK(bare_close.out.empty());
    CHECK(bare_close.err.empty());
    CHECK(bare_close.status == 0);

    const Run binary = run_client(server, {"--frames"}, "/binary 00 ff\n");
    CHECK(binary.out == std::string("\0\xff\n", 3));
    CHECK(frames_told(binary, "client -> server: binary frame, 2 bytes") == 1);
    CHECK(frames_told(binary, "server -> client: binary frame, 2 bytes") == 1);

    const Run empty = run_client(server, {"--frames"}, "/binary\n");
    CHECK(empty.out == "\n");
    CHECK(frames_told(empty, "client -> server: binary frame, 0 bytes") == 1);
}

TEST_CASE("websocket echo: each close code that may travel comes back", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (const int code : {1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999}) {
        const Run run = run_client(server, {}, fmt::format("/close {} because\n", code));
        INFO(run.err);
        CHECK(lines_of(run.err).size() == 1);
        CHECK_THAT(run.err, StartsWith(fmt::format("closed: {}", code)));
        CHECK(run.status == 0);
    }
}

TEST_CASE("websocket echo: wrong commands are told, and nothing is sent", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    const std::vector<std::string> wrong = {"/close abc",  "/close 999",  "/close 0",     "/close 1004",
                                            "/close 1005", "/close 1006", "/close 1015",  "/close 1016",
                                            "/close 2999", "/close 5000", "/close 65536", "/close -1",
                                            "/binary 0",   "/binary 0x0", "/binary hi",   "/close 1000 \xff\xfe"};
    std::string input;
    for (const std::string& line : wrong)
        input += line + "\n";
    const Run all = run_client(server, {"--frames"}, input + "still here\n");
    CHECK(all.out == "still here\n");
    CHECK(all.status == 0);
    CHECK(frames_told(all, "client -> server: ") == 2);  // the text, and Close
    CHECK(frames_told(run_client(server, {"--frames"}, "still here\n"), "\n") ==
          frames_told(all, "\n") - wrong.size());  // each is told in one line
    // As the input's last line, without a newline.
    for (const std::string& line :
         {std::string("/close abc"), std::string("/close 1005"), std::string("/binary 00 f")}) {
        INFO(line);
        const Run last = run_client(server, {}, line);
        CHECK(last.out.empty());
        CHECK(last.status == 0);
        CHECK(lines_of(last.err).size() == 1);
    }
    const Run other = run_client(server, {}, "/pingpong\n/closed\n/ close 1000\n/help\n//\n");
    CHECK(other.out == "/pingpong\n/closed\n/ close 1000\n/help\n//\n");
    CHECK(other.err.empty());
    const Run plain = run_client(server, {"--plain"}, "/ping x\n/close 1005\n/binary zz\n/close");
    CHECK(plain.out == "/ping x\n/close 1005\n/binary zz\n/close");
    CHECK(plain.err.empty());
}

// ---- Options

TEST_CASE("websocket echo: --frames tells every frame to the bit", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    const Run run = run_client(server, {"--frames"}, "Hello\nHello\n/ping x\n" + std::string(300, 'l') + "\n");
    CHECK(run.out == "Hello\nHello\n" + std::string(300, 'l') + "\n");
    CHECK(run.status == 0);
    for (const char* direction : {"client -> server: ", "server -> client: "}) {
        INFO(direction);
        CHECK(frames_told(run, direction + std::string("text frame, 5 bytes of payload\n")) == 2);
        CHECK(frames_told(run, direction + std::string("text frame, 300 bytes of payload\n")) == 1);
        CHECK(frames_told(run, direction + std::string("close frame, 2 bytes of payload\n")) == 1);
    }
    CHECK(frames_told(run, "client -> server: ping frame, 1 byte of") == 1);
    CHECK(frames_told(run, "server -> client: pong frame, 1 byte of") == 1);
    CHECK(count_of(run.err, "MASK: as every frame of a client (5.3)") == 5);
    CHECK(count_of(run.err, "MASK 0: as every frame of a server (5.1)") == 5);
    CHECK(count_of(run.err, "as text              \"Hello\"") == 4);
    CHECK_THAT(run.err, ContainsSubstring("01 2c        length 300, in network byte order"));

    // A fresh mask for every frame.
    std::vector<std::string> keys = lines_with(run.err, "masking key");
    CHECK(keys.size() == 5);
    std::sort(keys.begin(), keys.end());
    CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}

TEST_CASE("websocket echo: --deflate, refused and agreed on", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const std::string line = std::string(100'000, 'x') + "\n";
    SECTION("agreed on: few bytes travel, and the window is kept from one message to the next") {
        const Server server = start_server(name);
        const std::string words = "no two words of this sentence are equal";
        const Run run = run_client(server, {"--deflate", "--frames"}, line + words + "\n" + words + "\n");
        CHECK((run.out == line + words + "\n" + words + "\n"));
        CHECK(count_of(run.err, "RSV1: the message is compressed") == 6);
        std::vector<size_t> sizes;
        for (const std::string& told : lines_with(run.err, "server -> client: text frame, "))
            sizes.push_back(std::stoul(told.substr(told.find(", ") + 2)));
        REQUIRE(sizes.size() == 3);
        CHECK(sizes[0] < 200);
        CHECK(sizes[2] < sizes[1] / 2);
    }
    SECTION("refused by --no-deflate: the same messages, as they are") {
        const Server server = start_server(name, {"--no-deflate"});
        const Run run = run_client(server, {"--deflate", "--frames"}, line);
        CHECK((run.out == line));
        CHECK(count_of(run.err, "RSV1: the message") == 0);
        CHECK(frames_told(run, "server -> client: text frame, 100000 bytes") == 1);
    }
    SECTION("not asked for") {
        const Server server = start_server(name);
        const Run run = run_client(server, {"--frames"}, line);
        CHECK((run.out == line));
        CHECK(count_of(run.err, "RSV1: the message") == 0);
    }
}

TEST_CASE("websocket echo: --deflate-with each parameter", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    const std::string words = "no two words of this sentence are equal, and it is longer than sixteen bytes";
    const std::string input = words + "\n" + words + "\n" + random_bytes(20'000) + "\n";
    const auto sizes = [&](const std::string& parameters) {  // of the second message, on its way there and back
        const Run run = run_client(server, {"--plain", "--frames", "--deflate-with", parameters}, input);
        INFO(parameters << "\n" << run.err.substr(0, 2000));
        CHECK((run.out == input));
        CHECK(run.status == 0);
        std::vector<size_t> found;
        for (const char* direction : {"client -> server: text frame, ", "server -> client: text frame, "}) {
            const std::vector<std::string> lines = lines_with(run.err, direction);
            REQUIRE(lines.size() >= 2);
            found.push_back(std::stoul(lines[1].substr(std::string_view(direction).size())));
        }
        return found;
    };
    const size_t most = 20;  // of a sentence that the other side still has, from the message before
    for (int bits = 8; bits <= 15; ++bits) {
        const std::vector<size_t> both =
            sizes(fmt::format("server_max_window_bits={}; client_max_window_bits={}", bits, bits));
        CHECK(both[0] < most);
        CHECK(both[1] < most);
    }
    CHECK(sizes("client_no_context_takeover")[0] > most);
    CHECK(sizes("client_no_context_takeover")[1] < most);
    CHECK(sizes("server_no_context_takeover")[1] > most);
    CHECK(sizes("server_no_context_takeover; client_no_context_takeover; client_max_window_bits")[0] > most);
    CHECK(sizes("")[0] < most);
}

TEST_CASE("websocket echo: --origin and --subprotocol", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const auto status = [&](const Server& server, const Process::Command& arguments, const std::string& told = "") {
        const Run run = run_client(server, arguments, "hello\n");
        INFO(run.err);
        if (run.status == 0) {
            CHECK(run.out == "hello\n");
            CHECK(run.err == told);
        } else {
            CHECK(run.out.empty());
            CHECK(run.err ==
                  "the server did not switch to WebSocket: HTTP/1.1 403 Forbidden: "
                  "pages of this origin may not connect here\n");
        }
        return run.status;
    };
    const Server strict = start_server(name);
    const std::string own = "http://127.0.0.1:" + strict.port();
    CHECK(status(strict, {"--origin", own}) == 0);
    CHECK(status(strict, {"--origin", "HTTP://127.0.0.1:" + strict.port()}) == 0);
    for (const std::string& foreign :
         {std::string("http://example.org"), std::string("null"), std::string("http://127.0.0.1"), own + "0",
          own + ".example.org", "http://x127.0.0.1:" + strict.port(), "file://127.0.0.1:" + strict.port(),
          "http://localhost:" + strict.port(), "http://user@127.0.0.1:" + strict.port(), own + "/"}) {
        INFO(foreign);
        CHECK(status(strict, {"--origin", foreign}) == 1);
    }
    const Server friendly = start_server(name, {"--origin", "https://example.org"});
    CHECK(status(friendly, {"--origin", "https://example.org"}) == 0);
    CHECK(status(friendly, {"--origin", "http://example.org"}) == 1);
    CHECK(status(friendly, {"--origin", "https://example.org.evil.example"}) == 1);
    CHECK(status(friendly, {}) == 0);
    const Server open = start_server(name, {"--origin", "*", "--subprotocol", "chat"});
    CHECK(status(open, {"--origin", "null"}) == 0);
    CHECK(status(open, {"--origin", "http://example.org"}) == 0);

    CHECK(status(open, {"--subprotocol", "chat"}, "subprotocol: chat\n") == 0);
    CHECK(status(open, {"--subprotocol", "superchat,chat"}, "subprotocol: chat\n") == 0);
    CHECK(status(open, {"--subprotocol", "another"}, "subprotocol: none\n") == 0);
    CHECK(status(open, {}) == 0);
    CHECK(status(strict, {"--subprotocol", "chat"}, "subprotocol: none\n") == 0);
}

TEST_CASE("websocket echo: the request says what the options ask for", "[programs][websocket]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program(echo_client), "--port", listener.port(), "--resource", "/chat?room=1&name=%ED%95%9C",
                    "--origin", "http://example.org", "--subprotocol", "chat,superchat", "--deflate"});
    client.feed("hello\n");
    WebSocketPeer peer(listener, true, "Sec-WebSocket-Protocol: superchat\r\n");
    const std::vector<std::string> lines = lines_of(peer.head());
    CHECK(lines.front() == "GET /chat?room=1&name=%ED%95%9C HTTP/1.1\r");
    for (const std::string& field :
         {"Host: 127.0.0.1:" + listener.port(), std::string("Origin: http://example.org"),
          std::string("Sec-WebSocket-Protocol: chat, superchat"), std::string("Upgrade: websocket"),
          std::string("Connection: Upgrade"), std::string("Sec-WebSocket-Version: 13")}) {
        INFO(peer.head());
        CHECK(lines_with(peer.head(), field + "\r").size() == 1);
    }
    CHECK_THAT(peer.head(), ContainsSubstring("Sec-WebSocket-Extensions: permessage-deflate"));
    CHECK(peer.payload(0x81) == "hello");
}

TEST_CASE("websocket echo: Host as it must stand there for IPv6", "[programs][websocket]") {
    if (!has_ipv6()) return;
    Peer listener = Peer::bound(SOCK_STREAM, "::1");
    const std::string host = GENERATE("::1", "::1%1");  // the zone, an interface of ours, is no part of it
    Process client({program(echo_client), "--host", host, "--port", listener.port()});
    const WebSocketPeer peer(listener);
    CHECK_THAT(peer.head(), ContainsSubstring("\r\nHost: [::1]:" + listener.port() + "\r\n"));
    CHECK(lines_with(peer.head(), "Origin").empty());
    CHECK(lines_with(peer.head(), "Extensions").empty());
    CHECK(lines_with(peer.head(), "Protocol").empty());
}

TEST_CASE("websocket echo: a key for every handshake", "[programs][websocket]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    std::vector<std::string> keys;
    for (int i = 0; i < 5; ++i) {
        Process client({program(echo_client), "--port", listener.port()});
        const WebSocketPeer peer(listener);
        const std::vector<std::string> lines = lines_with(peer.head(), "Sec-WebSocket-Key: ");
        REQUIRE(lines.size() == 1);
        CHECK(lines[0].size() == std::string("Sec-WebSocket-Key: ").size() + 24 + 1);
        keys.push_back(lines[0]);
    }
    std::sort(keys.begin(), keys.end());
    CHECK(std::adjacent_find(keys.begin(), keys.end()) == keys.end());
}

TEST_CASE("websocket echo: wrong use, in one line", "[programs][websocket]") {
    // Nobody listens: the options are judged before anything is connected.
    const FreePort port;
    const std::vector<Process::Command> wrong = {{"--resource", "chat"},
                                                 {"--resource", ""},
                                                 {"--resource", "/a b"},
                                                 {"--resource", "/a\r\nX: y"},
                                                 {"--resource", "/a#b"},
                                                 {"--origin", "a b"},
                                                 {"--origin", "http://a\r\nX: y"},
                                                 {"--subprotocol", "a b"},
                                                 {"--subprotocol", "a,,b"},
                                                 {"--subprotocol", "a,a"},
                                                 {"--subprotocol", "한글"},
                                                 {"--deflate=yes"},
                                                 {"--deflate-with", "server_max_window_bits"},
                                                 {"--deflate-with", "client_max_window_bits=7"},
                                                 {"--deflate-with", "client_max_window_bits=16"},
                                                 {"--deflate-with", "unknown"},
                                                 {"--deflate-with", "client_no_context_takeover=1"},
                                                 {"--deflate-with", "\x1b[2J\r\n"},
                                                 {"--patience", "0"},
                                                 {"--port", "70000"},
                                                 {"--unknown"},
                                                 {"hello"}};
    for (const Process::Command& arguments : wrong) {
        Process::Command command{program(echo_client), "--port", port.text()};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process client(command);
        client.wait();
        INFO(client.describe());
        CHECK(client.wait() == Ending{2, 0});
        CHECK(lines_of(client.err()).size() == 1);
        CHECK(client.out().empty());
    }
    for (const std::string& server : websocket_servers()) {
        for (const Process::Command& arguments : std::vector<Process::Command>{{"--message", "0"},
                                                                               {"--message", "-1"},
                                                                               {"--message", "99999999999"},
                                                                               {"--handshake", "0"},
                                                                               {"--idle", "soon"},
                                                                               {"--pong", ""},
                                                                               {"--subprotocol", "a b"},
                                                                               {"--subprotocol", "a\r\nX: y"},
                                                                               {"--no-deflate=1"},
                                                                               {"--host"},
                                                                               {"hello"}}) {
            Process::Command command{program(server), "--port", "0"};
            command.insert(command.end(), arguments.begin(), arguments.end());
            Process process(command);
            process.wait(Milliseconds(5000));
            INFO(process.describe());
            CHECK(process.wait() == Ending{2, 0});
            CHECK(lines_of(process.err()).size() == 1);
            CHECK(process.out().empty());
        }
    }
}

TEST_CASE("websocket echo: nobody listens", "[programs][websocket]") {
    const FreePort port;
    Process client({program(echo_client), "--port", port.text()});
    client.expect_exit(1);
    CHECK(lines_of(client.err()).size() == 1);
    CHECK_THAT(client.err(), ContainsSubstring("(ECONNREFUSED): nobody listens there"));
}

#ifdef __linux__
TEST_CASE("websocket echo: the server ends TCP first, as the kernel tells", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name, {"--trace"});
    const Run run = run_client(server, {"--trace"}, "hello\n");
    CHECK(run.out == "hello\n");
    CHECK(lines_with(run.err, "ESTABLISHED -> CLOSE_WAIT").size() == 1);
    CHECK(lines_with(run.err, "TIME_WAIT").empty());
    // Of the two, it keeps the connection in mind for a minute (RFC 6455, section 7.1.1).
    CHECK_THAT(server.expect_line(Stream::err, ", the connection: "), ContainsSubstring("TIME_WAIT"));
}
#endif

// ---- Limits

TEST_CASE("websocket echo: a message of the largest size, and one byte more", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    const bool deflate = GENERATE(false, true);
    INFO(name << (deflate ? " with --deflate" : ""));
    const Server server = start_server(name, {"--message", "100000"});
    Process::Command arguments;
    if (deflate) arguments.emplace_back("--deflate");
    const std::string largest(100'000, 'x');
    const Run fits = run_client(server, arguments, largest);
    CHECK(fits.out == largest);
    CHECK(fits.status == 0);
    const Run too_big = run_client(server, arguments, "before\n" + largest + "x\nafter\n");
    CHECK(too_big.out == "before\n");
    CHECK(too_big.status == 1);
    REQUIRE(lines_of(too_big.err).size() == 2);
    CHECK(lines_of(too_big.err)[0] == "closed: 1009 a message is too big");
    CHECK_THAT(lines_of(too_big.err)[1], ContainsSubstring("after 1 of "));
    must_serve(server, echo_client);
}

TEST_CASE("websocket echo: 16 MiB, the default limit, and one byte more", "[programs][websocket][large]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    const std::string largest((16U << 20U), 'x');
    const Run fits = run_client(server, {}, largest + "\nafter\n");
    CHECK((fits.out == largest + "\nafter\n"));
    CHECK(fits.status == 0);
    const Run too_big = run_client(server, {}, largest + "x\n");
    CHECK(too_big.status == 1);
    CHECK_THAT(too_big.err, StartsWith("closed: 1009"));
}

TEST_CASE("websocket echo: a silent client is pinged, and left when it does not answer", "[programs][websocket]") {
    // Both servers at the same time, and all their clients, since most of it is waiting.
    const Process::Command options{"--idle", "1", "--pong", "1"};
    const Server blocking = start_server("websocket/echo_server", options);
    const Server event = start_server("websocket/event_server", options);
    WebSocketPeer deaf(blocking), deaf_too(event), alive(event);
    Process program(event.client(echo_client, {"--frames"}));
    const auto begin = std::chrono::steady_clock::now();
    CHECK(deaf.frame() == "89 ");
    CHECK(deaf_too.frame() == "89 ");
    CHECK(alive.frame() == "89 ");
    CHECK(std::chrono::steady_clock::now() - begin < Milliseconds(is_sanitized() ? 9000 : 4000));
    alive.send_frame(0x8A, "");
    CHECK(deaf.frames_to_end().empty());
    deaf.socket().close();
    CHECK(deaf_too.frames_to_end().empty());
    CHECK(alive.frame() == "89 ");  // a second later it is asked again
    alive.send_frame(0x81, "anything that comes shows that it is there");
    CHECK(alive.payload(0x81) == "anything that comes shows that it is there");
    // Our client answers by itself, and so is not left.
    program.expect(Stream::err, "client -> server: pong frame");
    program.expect(Stream::err, "client -> server: pong frame");
    program.feed("hello\n");
    program.expect(Stream::out, "hello\n");
    must_serve(blocking, echo_client);
    must_serve(event, echo_client);
}

TEST_CASE("websocket echo: interrupted by Ctrl-C", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name);
    Process client(server.client(echo_client), {.terminal = Terminal::all});
    client.type("hello\n");
    client.expect(Stream::terminal, "hello\r\nhello\r\n");
    client.type("\x03");
    CHECK(client.wait().signal == SIGINT);
    must_serve(server, echo_client);
    for (const int signal : {SIGINT, SIGTERM}) {
        Server other = start_server(name);
        other.signal(signal);
        other.expect_exit(0);
        CHECK(other.err().empty());
    }
}
