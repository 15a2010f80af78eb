// The bridge, and by it the ground of all servers of pages (websocket/web_server.hpp): HTTP beside WebSocket at one
// port, a byte stream that is the same at both ends, and neither side ever ahead of the other by more than a few
// buffers.

#include "common/stream.hpp"
#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/socket.h>

using wire::close_body;
using Frames = std::vector<std::string>;

namespace {

const std::string bridge = "websocket/bridge";

Server start_bridge(const std::string& to, Process::Command more = {}) {
    more.insert(more.end(), {"--to", to});
    return start_server(bridge, more);
}

/// What the server answers to these bytes, when they are all that it gets.
std::string answer(const Server& server, const std::string& bytes) {
    Peer peer = Peer::connected_to(server);
    peer.send(bytes);
    peer.end_sending();
    return peer.receive_to_end();
}

std::string request(const std::string& line, const std::string& fields = "Host: localhost\r\n") {
    return line + "\r\n" + fields + "\r\n";
}

/// Sends a piece again and again until nothing moves any more: the buffers on the way are full, and what is left waits
/// with the sender. Returns how many bytes that were.
size_t fill(int fd, const std::string& piece) {
    size_t total = 0;
    for (int idle = 0; idle < 20;) {
        const size_t begin = total % piece.size();  // where the last send() stopped
        const ssize_t sent = send(fd, piece.data() + begin, piece.size() - begin, MSG_DONTWAIT);
        if (sent > 0) {
            total += static_cast<size_t>(sent);
            idle = 0;
        } else {
            ++idle;
            serve_processes(Milliseconds(20));
        }
        if (total > 200'000'000) throw Unexpected("it takes everything");
    }
    return total;
}

/// Bytes from a client's binary messages, so many.
std::string receive(WebSocketPeer& peer, size_t count) {
    std::string bytes;
    while (bytes.size() < count)
        bytes += peer.payload(0x82);
    return bytes;
}

}  // namespace

// ---- Pages

TEST_CASE("web server: a page, and what is none", "[programs][websocket][pages]") {
    const Server server = start_bridge("127.0.0.1:1");
    const std::string page = answer(server, request("GET / HTTP/1.1"));
    CHECK_THAT(page, StartsWith("HTTP/1.1 200 OK\r\nDate: ") &&
                         ContainsSubstring("\r\nContent-Type: text/html; charset=utf-8\r\nContent-Length: ") &&
                         ContainsSubstring("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n"
                                           "Content-Security-Policy: default-src 'none'; ") &&
                         ContainsSubstring("\r\n\r\n<!doctype html>"));
    CHECK(page.substr(page.find("\r\n\r\n") + 4) == read_file("websocket/page/bridge.html"));
    const std::string head = answer(server, request("HEAD / HTTP/1.1"));
    CHECK_THAT(head, ContainsSubstring("\r\nContent-Length: ") && Catch::Matchers::EndsWith("\r\n\r\n"));
    CHECK_THAT(answer(server, request("GET /style.css HTTP/1.1")), ContainsSubstring("Content-Type: text/css"));
    CHECK_THAT(answer(server, request("GET /bridge.js?x=1 HTTP/1.1")),
               ContainsSubstring("Content-Type: text/javascript"));
    for (const char* path : {"/nothing.html", "/../LICENSE", "/%2e%2e/LICENSE", "/page/../../LICENSE", "//etc/passwd",
                             "/.", "/..", "/.git", "/README", "/bridge", "/bridge.cpp", "/a/b.html", "/bridge.html/"})
        CHECK_THAT(answer(server, request("GET " + std::string(path) + " HTTP/1.1")), StartsWith("HTTP/1.1 404 "));
    CHECK_THAT(answer(server, request("POST / HTTP/1.1", "Host: localhost\r\nContent-Length: 0\r\n")),
               StartsWith("HTTP/1.1 405 ") && ContainsSubstring("\r\nAllow: GET, HEAD\r\n"));
}

TEST_CASE("web server: what is no request, or not for us", "[programs][websocket][pages]") {
    const Server server = start_bridge("127.0.0.1:1");
    for (const char* line : {"GET /", "GET  HTTP/1.1", "GET http://x/ HTTP/1.1", "GET / HTTP/2.0", "GET / / HTTP/1.1",
                             "nonsense", "GET /\x01 HTTP/1.1", " GET / HTTP/1.1"})
        CHECK_THAT(answer(server, request(line)), StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", "Host: localhost\r\nContent-Length: 3\r\n") + "abc"),
               StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", "Host: localhost\r\nTransfer-Encoding: chunked\r\n")),
               StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", "Host: localhost\r\n folded\r\n")),
               StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(answer(server, "GET / HTTP/1.1\r\n" + std::string(9000, 'x')), StartsWith("HTTP/1.1 431 "));
    std::string many;
    for (int i = 0; i < 200; ++i)
        many += "X: y\r\n";
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", many)), StartsWith("HTTP/1.1 431 "));
    // A name that somebody made to mean this machine.
    for (const char* host :
         {"evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7000", "", "[::1", "2130706433"}) {
        const std::string field = "Host: " + std::string(host) + "\r\n";
        CHECK_THAT(answer(server, request("GET / HTTP/1.1", field)), StartsWith("HTTP/1.1 421 "));
        CHECK_THAT(answer(server, request("GET / HTTP/1.1",
                                          field + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: " +
                                              std::string(sample_key) + "\r\nSec-WebSocket-Version: 13\r\n")),
                   StartsWith("HTTP/1.1 4"));
    }
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", "")), StartsWith("HTTP/1.1 421 "));
    CHECK_THAT(answer(server, request("GET / HTTP/1.1", "Host: a\r\nHost: localhost\r\n")), StartsWith("HTTP/1.1 4"));
    for (const char* host :
         {"localhost", "LOCALHOST:7000", "127.0.0.1", "127.0.0.1:7000", "[::1]", "[::1]:7000", "192.0.2.1:7000"})
        CHECK_THAT(answer(server, request("GET / HTTP/1.1", "Host: " + std::string(host) + "\r\n")),
                   StartsWith("HTTP/1.1 200 "));
}

TEST_CASE("web server: several requests on one connection", "[programs][websocket][pages]") {
    const Server server = start_bridge("127.0.0.1:1");
    const std::string one = request("GET /style.css HTTP/1.1");
    // At once, and byte by byte; and the last may be a WebSocket.
    const std::string three = answer(server, one + request("HEAD / HTTP/1.1") + one);
    CHECK(count_of(three, "HTTP/1.1 200 OK\r\n") == 3);
    CHECK(count_of(three, read_file("websocket/page/style.css")) == 2);
    CHECK(count_of(answer(server, one + request("GET / HTTP/1.1", "Host: x.example\r\n") + one), "HTTP/1.1 ") == 2);
    CHECK(count_of(answer(server, one + request("GET / HTTP/1.1", "Host: localhost\r\nConnection: close\r\n") + one),
                   "HTTP/1.1 ") == 2);
    CHECK(count_of(answer(server, request("GET / HTTP/1.0") + one), "HTTP/1.1 ") == 1);
    Peer slow = Peer::connected_to(server);
    for (const char byte : one)
        slow.send({&byte, 1});
    const std::string head = read_head(slow);
    CHECK_THAT(head, StartsWith("HTTP/1.1 200 "));
    CHECK(slow.receive(read_file("websocket/page/style.css").size()) == read_file("websocket/page/style.css"));
    slow.send(upgrade_request());
    CHECK_THAT(read_head(slow), StartsWith("HTTP/1.1 101 "));
}

TEST_CASE("web server: one who begins a request and says no more", "[programs][websocket][pages]") {
    // Ten seconds by default, which no option of the bridge changes: the limit itself is in websocket_chat_test.cpp.
    Server server = start_bridge("127.0.0.1:1");
    Peer half = Peer::connected_to(server);
    half.send("GET / HTTP/1.1\r\nHost: loc");
    must_serve(start_server("websocket/echo_server"), "websocket/echo_client");  // time passes
    CHECK_THAT(answer(server, request("GET / HTTP/1.1")), StartsWith("HTTP/1.1 200 "));
    server.signal(SIGINT);
    CHECK(half.receive_to_end().empty());
    server.expect_exit(0);
}

TEST_CASE("web server: started somewhere else, it says what is missing", "[programs][websocket][pages]") {
    const TempDir empty;
    const Server server = start_bridge("127.0.0.1:1", {"--page", empty.path()});
    CHECK_THAT(answer(server, request("GET / HTTP/1.1")),
               StartsWith("HTTP/1.1 404 ") && ContainsSubstring("there is no bridge.html in " + empty.path()));
}

// ---- The stream

TEST_CASE("bridge: bytes come and go as they are", "[programs][websocket][bridge]") {
    const std::string host = GENERATE("127.0.0.1", "::1", "unix");
    if (host == "::1" && !has_ipv6()) return;
    const bool is_unix = host == "unix";
    const Server target =
        is_unix ? start_server("unix/echo_server") : start_server("tcp/echo_server", {"--host", host});
    const Server server = start_bridge(target.address(), {"--host", is_unix ? "127.0.0.1" : host});
    WebSocketPeer peer(server, "Sec-WebSocket-Protocol: chat, binary\r\n");
    CHECK_THAT(peer.head(), ContainsSubstring("\r\nSec-WebSocket-Protocol: binary\r\n"));
    const std::string bytes = random_bytes(300'000);
    size_t sent = 0;
    for (const size_t piece : {size_t{1}, size_t{125}, size_t{126}, size_t{65'536}, bytes.size()}) {
        const std::string part = bytes.substr(sent, piece);
        peer.send_frame(0x82, part);
        sent += part.size();
    }
    CHECK(receive(peer, bytes.size()) == bytes);
    peer.send_frame(0x02, "in ");  // a message in fragments is a piece of the stream like any other
    peer.send_frame(0x89, "between");
    peer.send_frame(0x80, "parts");
    CHECK(peer.payload(0x8A) == "between");
    CHECK(receive(peer, 8) == "in parts");
    // "I send no more": the target hears of it, and its end comes back as Close.
    peer.send_frame(0x82, "");
    CHECK(peer.frame() == "88 " + wire::shown(close_body(1000, "the target has ended")));
    peer.send_frame(0x88, close_body(1000));
    CHECK(peer.frames_to_end().empty());
}

TEST_CASE("bridge: no subprotocol that was not offered", "[programs][websocket][bridge]") {
    const Server target = start_server("tcp/echo_server");
    const Server server = start_bridge(target.address());
    WebSocketPeer peer(server);
    CHECK_THAT(peer.head(), !ContainsSubstring("Sec-WebSocket-Protocol"));
    WebSocketPeer other(server, "Sec-WebSocket-Protocol: base64\r\n");
    CHECK_THAT(other.head(), !ContainsSubstring("Sec-WebSocket-Protocol"));
}

TEST_CASE("bridge: a client that has sent all still gets all", "[programs][websocket][bridge]") {
    const Server target = start_server("tcp/half_close_server");
    const Server server = start_bridge(target.address());
    WebSocketPeer peer(server);
    peer.send_frame(0x82, "one two\nthree\n");
    peer.send_frame(0x82, "");
    std::string answer;
    for (std::string frame = peer.frame(); frame.substr(0, 2) == "82"; frame = peer.frame())
        answer += frame.substr(3);
    CHECK_THAT(answer, ContainsSubstring("3") && ContainsSubstring("14"));  // words and bytes
}

TEST_CASE("bridge: a client's Close is the target's end, behind all bytes", "[programs][websocket][bridge]") {
    Peer target = Peer::bound(SOCK_STREAM);
    const Server server = start_bridge("127.0.0.1:" + target.port());
    const std::string way = GENERATE("close", "fin", "reset");
    WebSocketPeer peer(server);
    Peer accepted = target.accept();
    const std::string bytes = random_bytes(200'000);
    peer.send_frame(0x82, bytes);
    if (way == "close") {
        peer.send_frame(0x88, close_body(1000));
        CHECK(peer.frames_to_end().size() == 1);
    } else if (way == "fin") {
        peer.socket().end_sending();
    } else {
        CHECK(accepted.receive(bytes.size()) == bytes);
        peer.socket().reset();
    }
    CHECK(accepted.receive_to_end() == (way == "reset" ? "" : bytes));
    accepted.send("too late");  // into nothing, and no harm to others
    WebSocketPeer next(server);
    Peer again = target.accept();
    next.send_frame(0x82, "hello");
    CHECK(again.receive(5) == "hello");
}

TEST_CASE("bridge: what the target does", "[programs][websocket][bridge]") {
    const TempDir folder;
    const bool is_unix = GENERATE(false, true);
    Peer target = is_unix ? Peer::bound_to_path(folder / "target") : Peer::bound(SOCK_STREAM);
    Server server = start_bridge(is_unix ? folder / "target" : "127.0.0.1:" + target.port(), {"--closing", "1"});
    WebSocketPeer peer(server);
    Peer accepted = target.accept();
    SECTION("sends and ends: all of it, and then Close") {
        const std::string bytes = random_bytes(1'000'000);
        accepted.send(bytes);
        accepted.close();
        CHECK(receive(peer, bytes.size()) == bytes);
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1000, "the target has ended")));
    }
    SECTION("ends its side only: what we still send arrives until our Close") {
        accepted.end_sending();
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1000, "the target has ended")));
        peer.send_frame(0x82, "said before we knew");
        CHECK(accepted.receive(19) == "said before we knew");
        peer.send_frame(0x82, ", all of it");
        peer.send_frame(0x88, close_body(1000));
        CHECK(accepted.receive_to_end() == ", all of it");
        CHECK(peer.frames_to_end().empty());
    }
    SECTION("ends, and nobody hears of it: that costs nothing") {
        accepted.close();
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1000, "the target has ended")));
        const double before = cpu_seconds(server.pid());
        CHECK(peer.rest().bytes.empty());  // until its patience with us is over
        CHECK(cpu_seconds(server.pid()) < before + 0.5);
    }
    SECTION("resets: no orderly end") {
        if (is_unix) return;
        peer.send_frame(0x82, "x");  // so the bridge knows that it is connected
        CHECK(accepted.receive(1) == "x");
        accepted.reset();
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1011, "the target: ECONNRESET")));
    }
}

TEST_CASE("bridge: nobody there", "[programs][websocket][bridge]") {
    const FreePort nobody;
    const TempDir folder;
    const std::string to = GENERATE_REF(std::string("127.0.0.1:") + nobody.text(), folder / "none");
    const Server server = start_bridge(to);
    WebSocketPeer peer(server);
    peer.send_frame(0x82, "hello?");
    const std::string reason = to.find('/') == std::string::npos ? "ECONNREFUSED" : "ENOENT";
    CHECK(peer.frame() == "88 " + wire::shown(close_body(1014, "no connection to the target: " + reason)));
}

TEST_CASE("bridge: text, and a message too large", "[programs][websocket][bridge]") {
    const Server target = start_server("tcp/poll_server");
    const Server server = start_bridge(target.address(), {"--message", "1000"});
    WebSocketPeer text(server);
    text.send_frame(0x81, "hello");
    CHECK(text.frame() == "88 " + wire::shown(close_body(1003, "bytes come in binary messages")));
    WebSocketPeer large(server);
    large.send_frame(0x82, std::string(1001, 'x'));
    CHECK_THAT(large.frame(), StartsWith("88 " + wire::shown(close_body(1009))));
    WebSocketPeer fitting(server);
    fitting.send_frame(0x82, std::string(1000, 'x'));
    CHECK(receive(fitting, 1000).size() == 1000);
}

TEST_CASE("bridge: a page from elsewhere", "[programs][websocket][bridge]") {
    const Server target = start_server("tcp/echo_server");
    const Server server = start_bridge(target.address(), {"--origin", "http://friend.example"});
    const auto status = [&](const std::string& origin) {
        Peer peer = Peer::connected_to(server);
        peer.send(upgrade_request("Origin: " + origin + "\r\n"));
        return read_head(peer).substr(9, 3);
    };
    CHECK(status("http://evil.example") == "403");
    CHECK(status("null") == "403");
    CHECK(status("http://friend.example") == "101");
}

TEST_CASE("bridge: whoever does not read is waited for, and costs no memory", "[programs][websocket][bridge]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_bridge("127.0.0.1:" + target.port());
    WebSocketPeer other(server);
    Peer others_target = target.accept();
    WebSocketPeer peer(server);
    Peer accepted = target.accept();
    const long before = resident_kilobytes(server.pid());
    const std::string message = wire::masked(0x82, std::string(10'000, 'x'));
    const std::string way = GENERATE("to the target", "to the client");
    const size_t held =
        way == "to the target" ? fill(peer.socket().fd(), message) : fill(accepted.fd(), std::string(100'000, 'y'));
    CHECK(held > 100'000);
    if (before > 0 && !is_sanitized()) CHECK(most_resident_kilobytes(server.pid()) < before + 8'000);
    // The others do not notice.
    for (int i = 0; i < 3; ++i) {
        other.send_frame(0x82, "hello");
        CHECK(others_target.receive(5) == "hello");
        others_target.send("world");
        CHECK(other.payload(0x82) == "world");
    }
}

TEST_CASE("bridge: a connection that takes its time costs no memory, and loses nothing",
          "[programs][websocket][bridge]") {
    Peer target = Peer::bound(SOCK_STREAM);
    listen(target.fd(), 0);
    // One waits to be accepted, and so the kernel answers nobody else: the bridge's connect() goes on and on.
    Peer first(connect_to_any({target.address()}));
    Server server = start_bridge("127.0.0.1:" + target.port());
    WebSocketPeer peer(server);
    const long before = resident_kilobytes(server.pid());
    const std::string message = wire::masked(0x82, std::string(10'000, 'x'));
    const size_t sent = fill(peer.socket().fd(), message);
    if (before > 0 && !is_sanitized()) CHECK(most_resident_kilobytes(server.pid()) < before + 8'000);
    peer.socket().end_sending();
    const Peer held = target.accept();
    Peer accepted = target.accept();  // when the bridge's SYN has come once more
    CHECK(accepted.receive_to_end().size() == sent / message.size() * 10'000);
}

TEST_CASE("bridge: a Unix socket with a full queue", "[programs][websocket][bridge]") {
    const TempDir folder;
    const Peer target = Peer::bound_to_path(folder / "target");
    listen(target.fd(), 0);
    const Server server = start_bridge(folder / "target");
    WebSocketPeer first(server), second(server);
    CHECK(second.frame() == "88 " + wire::shown(close_body(1013, "no connection to the target: EAGAIN")));
}

TEST_CASE("bridge: ended by a signal while its target does not read", "[programs][websocket][bridge]") {
    const Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_bridge("127.0.0.1:" + target.port(), {"--closing", "1"});
    WebSocketPeer peer(server);
    fill(peer.socket().fd(), wire::masked(0x82, std::string(100'000, 'x')));  // it is not read any more
    server.signal(SIGINT);
    server.expect_exit(0);
}

TEST_CASE("bridge: ended by a signal, it tells every client", "[programs][websocket][bridge]") {
    const Server target = start_server("tcp/poll_server");
    Server server = start_bridge(target.address());
    std::vector<WebSocketPeer> peers;
    for (int i = 0; i < 5; ++i)
        peers.emplace_back(server);
    server.signal(SIGTERM);
    for (WebSocketPeer& peer : peers) {
        CHECK(peer.frame() == "88 " + wire::shown(close_body(1001, "the server ends")));
        peer.send_frame(0x88, close_body(1001));
        CHECK(peer.frames_to_end().empty());
    }
    server.expect_exit(0);
}

TEST_CASE("bridge: wrong command lines", "[programs][websocket][bridge]") {
    for (const char* to :
         {"7000", "127.0.0.1", ":7000", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:http"}) {
        Process process({program(bridge), "--to", to});
        process.expect_exit(2);
        CHECK_THAT(process.err(), ContainsSubstring("--to "));
    }
    Process listen({program(bridge), "--listen", "x"});
    listen.expect_exit(2);
    CHECK_THAT(listen.err(), ContainsSubstring("--listen"));
}

// ---- What nobody here wrote

TEST_CASE("bridge: a pair with websockify, both ways round", "[programs][websocket][bridge][interop]") {
    if (!has_tool("websockify")) return;
    // A client of theirs (python3-websockets) with our bridge, and the same client with their bridge, before our
    // server.
    const Server target = start_server("tcp/poll_server");
    const Server ours = start_bridge(target.address());
    // It can't say which port the kernel picked for it, so it gets one that nobody had a moment ago.
    const std::string theirs_at = "127.0.0.1:" + lasting_port();
    Process theirs({"websockify", theirs_at, target.address()});
    theirs.expect(Stream::err, "proxying from", Milliseconds(20'000));
    for (const std::string& address : {ours.address(), theirs_at}) {
        Process client({"/usr/bin/python3", "tests/interop/bridge_client.py", address});
        client.expect_exit(0);
        CHECK(client.out() == "1000000 bytes came back the same\n");
    }
    // And a client of ours with their bridge. (Their own client fails in Debian 12: it adds an int to bytes.)
    Process client({program("websocket/echo_client"), "--port", theirs_at.substr(theirs_at.rfind(':') + 1),
                    "--subprotocol", "binary"});
    client.feed("/binary 68656c6c6f00ff0a\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == std::string("hello\0\xff\n\n", 9));
    CHECK_THAT(client.err(), ContainsSubstring("subprotocol: binary"));
    theirs.signal(SIGTERM);
    theirs.wait();
}

TEST_CASE("bridge: its page", "[programs][websocket][bridge][browser]") {
    if (!can_test_pages()) return;
    const Server echo = start_server("tcp/poll_server"), chat = start_server("tcp/chat_server"),
                 local = start_server("unix/echo_server");
    const FreePort nobody;
    const Server a = start_bridge(echo.address()), b = start_bridge(chat.address()), c = start_bridge(local.address()),
                 d = start_bridge("127.0.0.1:" + nobody.text());
    PageTest page("bridge_page.mjs", {a.port(), b.port(), c.port(), d.port()});
    page.process().expect(Stream::out, "anna is here", 2 * patience);
    Process peter(chat.client("tcp/chat_client", {"--name", "peter"}));
    peter.expect(Stream::out, "hello peter", 2 * patience);
    peter.feed("hello anna\n");
    page.finish();
}

TEST_CASE("bridge: noVNC's page and a VNC server", "[programs][websocket][bridge][interop][browser]") {
    const std::string novnc = "/usr/share/novnc";  // Debian's package
    if (!has_tool("Xtigervnc") || !has_tool("python3")) return;
    if (!std::filesystem::exists(novnc + "/vnc_lite.html"))
        return skip("novnc is not installed (sh scripts/setup --dev)");
    if (!can_test_pages()) return;
    const TempDir folder;
    const std::string path = folder / "vnc";
    // It listens at a Unix socket alone. Which display it is, it finds out itself, and then says.
    Process desktop({"Xtigervnc", "-displayfd", "1", "-rfbport", "-1", "-rfbunixpath", path, "-SecurityTypes", "None",
                     "-geometry", "320x240", "-desktop", "a small desktop", "-nolisten", "tcp"});
    desktop.expect(Stream::out, "\n", 2 * patience);
    // The page comes from another port, and so from another origin than the bridge's.
    Process pages({"python3", "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", novnc, "0"});
    std::string port = pages.expect(Stream::out, " (http", 2 * patience);
    port = port.substr(0, port.rfind(' '));
    port = port.substr(port.rfind(' ') + 1);
    const Server server = start_bridge(path, {"--origin", "http://127.0.0.1:" + port});
    std::filesystem::create_directories(program("screenshots"));
    PageTest("novnc.mjs", {port, server.port(), "a small desktop"}).finish();
    desktop.signal(SIGTERM);  // so that it takes its lock file in /tmp with it
    desktop.wait();
}
