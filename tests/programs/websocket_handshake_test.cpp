// What the servers say to requests that are none, over real sockets: the right status, the reason in the body, and the
// end of the connection. The next client is served in any case.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <chrono>
#include <memory>

using wire::operator""_hex;

namespace {

struct Answer {
    int status = 0;
    std::string head, body;
    bool reset = false;
};

Answer parsed(const Rest& rest) {
    const size_t end = rest.bytes.find("\r\n\r\n");
    if (!rest.bytes.starts_with("HTTP/1.1 ") || end == std::string::npos)
        throw Unexpected("the answer is not HTTP: " + wire::shown(rest.bytes));
    return {std::stoi(rest.bytes.substr(9)), rest.bytes.substr(0, end + 2), rest.bytes.substr(end + 4), rest.reset};
}

/// Sends a request and reads until the server ends the connection.
Answer ask(const Server& server, std::string_view request) {
    Peer peer = Peer::connected_to(server);
    peer.send(request);
    return parsed(read_to_end(peer));
}

void check_refusal(const Answer& answer, int status) {
    INFO(answer.head << answer.body);
    CHECK(answer.status == status);
    CHECK(answer.body.size() > 5);
    CHECK(answer.body.back() == '\n');
    CHECK(lines_of(answer.body).size() == 1);
    CHECK_THAT(answer.head, ContainsSubstring(fmt::format("\r\nContent-Length: {}\r\n", answer.body.size())));
    CHECK_THAT(answer.head, ContainsSubstring("\r\nContent-Type: text/plain"));
    CHECK(answer.head.find("Sec-WebSocket-Accept") == std::string::npos);
    CHECK(lines_with(answer.head, "Connection: ").size() == 1);
    CHECK_THAT(lines_with(answer.head, "Connection: ").at(0), ContainsSubstring("close"));
    CHECK_FALSE(answer.reset);
}

/// The sample request with a part of it replaced.
std::string edited(const std::string& part, const std::string& by) {
    std::string request = upgrade_request();
    const size_t at = request.find(part);
    if (at == std::string::npos) throw Unexpected("the sample request has no " + part);
    return request.replace(at, part.size(), by);
}

const std::string host_line = "Host: 127.0.0.1\r\n";
const std::string upgrade_line = "Upgrade: websocket\r\n";
const std::string connection_line = "Connection: Upgrade\r\n";
const std::string key_line = fmt::format("Sec-WebSocket-Key: {}\r\n", sample_key);
const std::string version_line = "Sec-WebSocket-Version: 13\r\n";

}  // namespace

TEST_CASE("websocket handshake: 400 for what is no upgrade request", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name, {"--subprotocol", "chat"});
    const std::vector<std::string> requests = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: curl\r\nAccept: */*\r\n\r\n",
        "\r\nhello\r\n\r\n",
        "hello\n",
        "\n",
        "GET / HTTP/1.1\n\n",
        std::string("\0\0\0\0\r\n", 6),
        // The first line
        edited("GET /", "POST /"),
        edited("GET /", "get /"),
        edited("GET /", "GET  /"),
        edited("GET / ", "GET "),
        edited("GET /", "GET *"),
        edited("GET /", "GET chat"),
        edited("GET /", "GET /#top"),
        edited("GET /", "GET http://a b/"),
        edited("GET /", "GET ftp://127.0.0.1/"),
        edited("GET /", "GET http:///"),
        edited("HTTP/1.1", "HTTP/1.0"),
        edited("HTTP/1.1", "HTTP/0.9"),
        edited("HTTP/1.1", "HTTP/1.10"),
        edited("HTTP/1.1", "http/1.1"),
        edited("HTTP/1.1", "HTTP/1.1 "),
        edited(" HTTP/1.1", ""),
        // Host
        edited(host_line, ""),
        edited(host_line, host_line + host_line),
        edited(host_line, "Host:\r\n"),
        edited(host_line, "Host: a b\r\n"),
        edited(host_line, "Host: a@b\r\n"),
        edited(host_line, "Host: a/b\r\n"),
        edited(host_line, "Host: [::1\r\n"),
        edited(host_line, "Host: 127.0.0.1:65536\r\n"),
        edited(host_line, "Host: 127.0.0.1:-1\r\n"),
        // Upgrade, Connection, version, key
        edited(upgrade_line, ""),
        edited(upgrade_line, "Upgrade: websocket2\r\n"),
        edited(upgrade_line, "Upgrade: web socket\r\n"),
        edited(upgrade_line, "Upgrade: h2c\r\n"),
        edited(upgrade_line, "Upgrade: \"websocket\"\r\n"),
        edited(connection_line, ""),
        edited(connection_line, "Connection: keep-alive\r\n"),
        edited(connection_line, "Connection: Upgrades\r\n"),
        edited(version_line, ""),
        edited(version_line, version_line + version_line),
        edited(version_line, version_line + "Sec-WebSocket-Version: 8\r\n"),
        edited(key_line, ""),
        edited(key_line, key_line + key_line),
        edited(key_line, "Sec-WebSocket-Key:\r\n"),
        edited(key_line, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j\r\n"),
        edited(key_line, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n"),
        edited(key_line, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl\r\n"),
        edited(key_line, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ!==\r\n"),
        edited(key_line, fmt::format("Sec-WebSocket-Key: {}, {}\r\n", sample_key, sample_key)),
        // A body
        upgrade_request("Content-Length: 5\r\n") + "hello",
        upgrade_request("Content-Length: 0\r\nContent-Length: 5\r\n"),
        upgrade_request("Transfer-Encoding: chunked\r\n") + "0\r\n\r\n",
        // The form of fields
        edited("127.0.0.1\r\n", "127.0.0.1\n"),
        upgrade_request("X: a\r\n b\r\n"),
        upgrade_request("X: a\r\n\tb\r\n"),
        upgrade_request(std::string("X: a\0b\r\n", 8)),
        upgrade_request("X: a\rb\r\n"),
        upgrade_request("X: a\x7f\r\n"),
        upgrade_request("X: \x1b[2J\r\n"),
        upgrade_request("no colon\r\n"),
        upgrade_request(": no name\r\n"),
        upgrade_request("X : a\r\n"),
        upgrade_request("X(: a\r\n"),
        upgrade_request(" X: a\r\n"),
        // Subprotocols and extensions
        upgrade_request("Sec-WebSocket-Protocol: a b\r\n"),
        upgrade_request("Sec-WebSocket-Protocol: chat, chat\r\n"),
        upgrade_request("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: a; b=\"c\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: a;\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: a; =1\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: a b\r\n"),
        upgrade_request("Sec-WebSocket-Extensions: a; b=\"c d\"\r\n"),
        upgrade_request("Origin: http://127.0.0.1\r\nOrigin: http://127.0.0.1\r\n"),
    };
    for (const std::string& request : requests) {
        INFO(wire::shown(request));
        check_refusal(ask(server, request), 400);
    }
    must_serve(server, "websocket/echo_client");
    CHECK(server.err().find('\x1b') == std::string::npos);
}

TEST_CASE("websocket handshake: 403 for pages from elsewhere", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (const char* origin :
         {"http://example.org", "null", "", "http://", "http://127.0.0.1.example.org", "http://127.0.0.10",
          "http://127.0.0.1:8080", "http://127.0.0.1@example.org", "http://example.org#127.0.0.1", "file://",
          "127.0.0.1", "http://127.0.0.1 http://example.org", "ws://127.0.0.1", "http://127.0.0.1/x"}) {
        INFO(origin);
        check_refusal(ask(server, upgrade_request(fmt::format("Origin: {}\r\n", origin))), 403);
    }
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket handshake: 426 for another version", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (const char* version : {"0", "8", "12", "14", "25", "130", "013", "13, 8", "thirteen", ""}) {
        INFO(version);
        const Answer answer = ask(server, edited("Version: 13", fmt::format("Version: {}", version)));
        check_refusal(answer, 426);
        CHECK_THAT(answer.head, ContainsSubstring("\r\nSec-WebSocket-Version: 13\r\n"));
        CHECK_THAT(answer.head, ContainsSubstring("\r\nUpgrade: websocket\r\n"));
        CHECK_THAT(lines_with(answer.head, "Connection: ").at(0), ContainsSubstring("Upgrade"));  // RFC 9110, 7.8
    }
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket handshake: 431 for a header without measure", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    const auto fields = [](size_t count) {
        std::string text;
        for (size_t i = 0; i < count; ++i)
            text += "X: y\r\n";
        return text;
    };
    const size_t others = 5;
    check_refusal(ask(server, upgrade_request(fields(100 - others + 1))), 431);
    check_refusal(ask(server, upgrade_request(fields(10'000))), 431);
    check_refusal(ask(server, edited(key_line, "Sec-WebSocket-Key: " + std::string(65'536, 'A') + "\r\n")), 431);
    check_refusal(ask(server, std::string(10'000, 'A')), 431);
    const size_t room = 8192 - upgrade_request("X: \r\n").size();
    check_refusal(ask(server, upgrade_request("X: " + std::string(room + 1, 'y') + "\r\n")), 431);
    // And those that are just as large as they may be.
    WebSocketPeer(server, fields(100 - others)).socket().close();
    WebSocketPeer(server, "X: " + std::string(room, 'y') + "\r\n").socket().close();
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket handshake: a refused client that goes on sending still gets the answer", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (int i = 0; i < 20; ++i) {
        const std::string request = edited("GET /", "POST /") + std::string(300'000, 'x');
        check_refusal(ask(server, request), 400);
    }
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket handshake: a request must end in time", "[programs][websocket]") {
    // Both servers at the same time, and the event server's clients, too: most of it is waiting.
    const Server blocking = start_server("websocket/echo_server", {"--handshake", "1"});
    const Server event = start_server("websocket/event_server", {"--handshake", "1"});
    struct Slow {
        Peer peer;
        std::string all;  // that it sends, byte by byte
        size_t sent = 0;
    };
    const std::string request = upgrade_request("X: " + std::string(7000, 'y') + "\r\n");
    const std::string half = request.substr(0, 50);
    std::vector<Slow> clients;
    clients.push_back({Peer::connected_to(blocking), request});
    clients.push_back({Peer::connected_to(event), ""});
    clients.push_back({Peer::connected_to(event), half});
    clients.push_back({Peer::connected_to(event), request});
    // A ClientHello as curl sends it, without its last byte: TLS, where none is spoken.
    const std::string hello =
        "16030100c5010000c10303"
        "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"_hex;
    clients.push_back({Peer::connected_to(event), hello});

    const auto began = std::chrono::steady_clock::now();
    for (Slow& client : clients) {
        pollfd watched{client.peer.fd(), POLLIN, 0};
        while (watched.revents == 0) {  // the others have been sending as well when its turn comes
            if (std::chrono::steady_clock::now() - began > patience)
                throw Unexpected("a slow client is never given up");
            for (Slow& one : clients) {
                if (one.sent == one.all.size()) continue;
                if (send(one.peer.fd(), &one.all[one.sent], 1, 0) == 1) ++one.sent;
            }
            serve_processes(Milliseconds(20), &watched);
        }
        check_refusal(parsed(read_to_end(client.peer)), 408);
        client.peer.close();
    }
    const auto took = std::chrono::steady_clock::now() - began;
    CHECK(took > Milliseconds(900));
    CHECK(took < Milliseconds(is_sanitized() ? 10'000 : 4'000));
    must_serve(blocking, "websocket/echo_client");
    must_serve(event, "websocket/echo_client");
}

TEST_CASE("websocket handshake: by curl", "[programs][websocket]") {
    if (!has_tool("curl")) return;
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name, {"--handshake", "1"});
    const std::string place = "//127.0.0.1:" + server.port() + "/";
    const std::string out = run({"curl", "--silent", "--show-error", "--include", "http:" + place});
    INFO(out);
    CHECK_THAT(out, StartsWith("HTTP/1.1 400 Bad Request\r\n"));
    CHECK_THAT(out, ContainsSubstring("\r\n\r\nUpgrade does not name websocket\n"));
    CHECK_THAT(run({"curl", "--silent", "--include", "--data", "a=b", "http:" + place}), StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(run({"curl", "--silent", "--include", "--http1.0", "http:" + place}), StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(run({"curl", "--silent", "--include", "--http2", "http:" + place}), StartsWith("HTTP/1.1 400 "));
    run({"curl", "--silent", "--insecure", "https:" + place}, "", 35);  // "a TLS/SSL connect error"
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket handshake: what must be accepted", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name, {"--subprotocol", "chat", "--origin", "https://example.org"});
    struct Case {
        std::string request;
        std::string subprotocol = {};
    };
    const std::vector<Case> cases = {
        {upgrade_request()},
        {"\r\n" + upgrade_request()},
        {edited("GET /", "GET /chat?a=b&c=%20")},
        {edited("GET /", "GET http://127.0.0.1/chat")},
        {edited("HTTP/1.1", "HTTP/1.2")},
        {edited(host_line, "host: LOCALHOST:7000\r\n")},
        {edited(host_line, "HOST:\t[::1]:7000 \r\n")},
        {edited(upgrade_line, "UPGRADE: WebSocket\r\n")},
        {edited(upgrade_line, "Upgrade: h2c, websocket\r\n")},
        {edited(upgrade_line, "Upgrade: h2c\r\nUpgrade: ,WEBSOCKET,\r\n")},
        {edited(connection_line, "Connection: keep-alive, Upgrade\r\n")},  // Firefox
        {edited(connection_line, "Connection: keep-alive\r\nconnection:upgrade\r\n")},
        {edited(key_line, fmt::format("sec-websocket-key:{}   \r\n", sample_key))},
        {upgrade_request("Content-Length: 0\r\n")},
        {upgrade_request("Origin: http://127.0.0.1\r\n")},
        {upgrade_request("Origin: http://127.0.0.1:80\r\n")},
        {upgrade_request("origin: HTTPS://EXAMPLE.ORG\r\n")},
        {upgrade_request("X-Empty:\r\nX-Latin: \xe9\r\nX-Korean: 한글\r\n")},
        {upgrade_request("Sec-WebSocket-Protocol: chat\r\n"), "chat"},
        {upgrade_request("Sec-WebSocket-Protocol: superchat, chat\r\n"), "chat"},
        {upgrade_request("Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Protocol: chat\r\n"), "chat"},
        {upgrade_request("Sec-WebSocket-Protocol: superchat, CHAT\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: x-unknown; a=1; b=\"2\", another\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=7\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=16\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=abc\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: permessage-deflate; unknown\r\n")},
        {upgrade_request("Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                         "server_no_context_takeover\r\n")},
    };
    for (const Case& one : cases) {
        INFO(one.request);
        Peer peer = Peer::connected_to(server);
        peer.send(one.request + wire::masked(0x81, "hello") + wire::masked(0x88, ""));
        const Rest rest = read_to_end(peer);
        const size_t end = rest.bytes.find("\r\n\r\n") + 4;
        const std::string head = rest.bytes.substr(0, end);
        INFO(head);
        CHECK_THAT(head, StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
        CHECK_THAT(head, ContainsSubstring(fmt::format("\r\nSec-WebSocket-Accept: {}\r\n", sample_accept)));
        CHECK_THAT(head, ContainsSubstring("\r\nUpgrade: websocket\r\n"));
        CHECK_THAT(head, ContainsSubstring("\r\nConnection: Upgrade\r\n"));
        CHECK(head.find("Content-") == std::string::npos);
        CHECK(head.find("Extensions") == std::string::npos);
        const std::vector<std::string> chosen = lines_with(head, "Sec-WebSocket-Protocol");
        CHECK(chosen == (one.subprotocol.empty()
                             ? std::vector<std::string>{}
                             : std::vector<std::string>{"Sec-WebSocket-Protocol: " + one.subprotocol + "\r"}));
        // What stands behind the request are the first frames.
        CHECK(wire::frames_of(wire::Role::server, rest.bytes.substr(end)) ==
              std::vector<std::string>{"81 hello", "88 "});
        CHECK_FALSE(rest.reset);
    }
}

TEST_CASE("websocket handshake: compression is answered as it was asked for", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    struct Case {
        std::string offer, answer;
    };
    for (const Case& one : {
             Case{"permessage-deflate", "permessage-deflate"},
             Case{"Permessage-Deflate", "permessage-deflate"},
             Case{"permessage-deflate; client_max_window_bits", "permessage-deflate"},
             Case{"permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_max_window_bits=10"},
             Case{"permessage-deflate; server_max_window_bits=\"8\"", "permessage-deflate; server_max_window_bits=8"},
             Case{"permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                  "permessage-deflate; server_no_context_takeover; client_no_context_takeover"},
             Case{"x-unknown, permessage-deflate", "permessage-deflate"},
             Case{"permessage-deflate; server_max_window_bits=7, permessage-deflate; server_max_window_bits=9, "
                  "permessage-deflate",
                  "permessage-deflate; server_max_window_bits=9"},
             Case{"permessage-deflate; server_max_window_bits, permessage-deflate", "permessage-deflate"},
         }) {
        INFO(one.offer);
        const WebSocketPeer peer(server, "Sec-WebSocket-Extensions: " + one.offer + "\r\n");
        CHECK(lines_with(peer.head(), "Sec-WebSocket-Extensions") ==
              std::vector<std::string>{"Sec-WebSocket-Extensions: " + one.answer + "\r"});
    }
}

TEST_CASE("websocket handshake: the request comes byte by byte, and two at once do not mix", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    Peer peer = Peer::connected_to(server);
    const std::string all = upgrade_request() + wire::masked(0x81, "hello") + wire::masked(0x88, "");
    for (const char byte : all)
        peer.send({&byte, 1});
    const Rest rest = read_to_end(peer);
    CHECK_THAT(rest.bytes, StartsWith("HTTP/1.1 101 "));
    CHECK(wire::frames_of(wire::Role::server, rest.bytes.substr(rest.bytes.find("\r\n\r\n") + 4)) ==
          std::vector<std::string>{"81 hello", "88 "});
    // A second request behind the first is no request any more: G and E would be RSV1, opcode 7 and no mask.
    peer.close();
    Peer second = Peer::connected_to(server);
    second.send(upgrade_request() + upgrade_request());
    const Rest twice = read_to_end(second);
    const std::string frames = twice.bytes.substr(twice.bytes.find("\r\n\r\n") + 4);
    CHECK_THAT(frames, StartsWith("\x88") && ContainsSubstring(wire::close_body(1002)));
}

TEST_CASE("websocket handshake: a client that leaves in the middle of its request", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name);
    const std::string request = upgrade_request();
    for (size_t cut = 0; cut < request.size(); cut += 7) {
        Peer closing = Peer::connected_to(server);
        closing.send(request.substr(0, cut));
        closing.close();
        Peer resetting = Peer::connected_to(server);
        resetting.send(request.substr(0, cut));
        resetting.reset();
    }
    must_serve(server, "websocket/echo_client");
    CHECK(server.is_running());
}
