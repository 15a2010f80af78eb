// The event server's own promises: many clients at a time and no more than it was told, and an end that tells them all.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <csignal>

#include <sys/socket.h>

using Catch::Matchers::EndsWith;
using wire::close_body;
using Frames = std::vector<std::string>;

namespace {

const std::string event_server = "websocket/event_server";
const std::string going_away = "88 " + wire::shown(close_body(1001, "the server ends"));

}  // namespace

TEST_CASE("websocket event: no more clients than --connections, and the next when one leaves",
          "[programs][websocket]") {
    const Server server = start_server(event_server, {"--connections", "2"});
    WebSocketPeer first(server), second(server);
    Peer third = Peer::connected_to(server);  // by the kernel
    third.send(upgrade_request() + wire::masked(0x81, "third") + wire::masked(0x88, ""));
    for (int i = 0; i < 10; ++i) {
        for (WebSocketPeer* peer : {&first, &second}) {
            peer->send_frame(0x81, "hello");
            CHECK(peer->frame() == "81 hello");
        }
    }
    char byte = 0;
    CHECK(recv(third.fd(), &byte, 1, MSG_PEEK) == -1);  // nothing: it waits
    first.send_frame(0x88, close_body(1000));
    CHECK(first.frames_to_end().size() == 1);
    first.socket().close();
    const Rest rest = read_to_end(third);
    CHECK_THAT(rest.bytes, StartsWith("HTTP/1.1 101 ") && ContainsSubstring("\x81\x05third"));
    third.close();
    second.socket().reset();
    must_serve(server, "websocket/echo_client");
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket event: what is reported once only is read to its end", "[programs][websocket]") {
    // All of it, more than one recv() takes, and the end behind it, is there when the server looks.
    const bool deflate = GENERATE(false, true);
    const size_t messages = GENERATE(size_t{1}, size_t{600}, size_t{2500});
    CAPTURE(deflate, messages);
    const Server server = start_server(event_server);
    const std::string request = upgrade_request(deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    std::string frames;
    std::string answers;
    for (size_t i = 0; i < messages; ++i) {
        const std::string payload = fmt::format("message {:12}", i);
        frames += wire::masked(0x82, payload);
        answers += deflate ? "" : wire::frame(0x82, payload);
    }
    Peer at_once = Peer::connected_to(server);
    WebSocketPeer known(server);
    WebSocketPeer stays(server, deflate ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "");
    server.signal(SIGSTOP);
    at_once.send(request + frames);
    at_once.end_sending();
    known.send(frames);
    known.socket().end_sending();
    stays.send(frames);
    server.signal(SIGCONT);
    const std::string got = read_to_end(at_once).bytes;
    const size_t head = got.find("\r\n\r\n") + 4;
    if (deflate) {  // compressed: only counted
        CHECK(wire::frames_of(wire::Role::server, std::string_view(got).substr(head)).size() == messages);
    } else {
        CHECK((got.substr(head) == answers));
    }
    CHECK(known.frames_to_end().size() == messages);
    for (size_t i = 0; i < messages; ++i)
        REQUIRE(stays.frame().substr(0, 3) == (deflate ? "c2 " : "82 "));
}

TEST_CASE("websocket event: of hundreds that connect at the same time none is forgotten", "[programs][websocket]") {
    const Server server = start_server(event_server);
    must_serve(server, "websocket/echo_client");
    server.signal(SIGSTOP);
    std::vector<Peer> peers;
    for (int i = 0; i < 300; ++i) {
        peers.push_back(Peer::connected_to(server));
        peers.back().send(upgrade_request() + wire::masked(0x81, "hello") + wire::masked(0x88, ""));
    }
    server.signal(SIGCONT);
    for (Peer& peer : peers)
        CHECK_THAT(read_to_end(peer).bytes, EndsWith("\x81\x05hello\x88" + std::string(1, '\0')));
}

TEST_CASE("websocket event: ended by a signal, it tells every client", "[programs][websocket]") {
    const int signal = GENERATE(SIGINT, SIGTERM);
    Server server = start_server(event_server);
    std::vector<WebSocketPeer> peers;
    for (int i = 0; i < 50; ++i)
        peers.emplace_back(server, i % 2 == 0 ? "" : "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    peers[7].send(wire::masked(0x01, "a message has begun"));
    peers[8].send(wire::masked(0x82, std::string(100'000, 'x')).substr(0, 90'000));
    Peer in_handshake = Peer::connected_to(server);
    in_handshake.send("GET / HTTP/1.1\r\n");
    for (WebSocketPeer& peer : peers) {  // so all of them have been accepted
        if (&peer != &peers[8]) {
            peer.send_frame(0x89, "");
            CHECK(peer.frame() == "8a ");
        }
    }
    server.signal(signal);
    for (WebSocketPeer& peer : peers) {
        CHECK(peer.frame() == going_away);
        if (&peer != &peers[8]) peer.send_frame(0x88, close_body(1001));
    }
    peers[8].socket().close();  // it can't, in the middle of a frame
    CHECK(read_to_end(in_handshake).bytes.empty());
    for (WebSocketPeer& peer : peers)
        if (&peer != &peers[8]) CHECK(peer.frames_to_end().empty());
    peers.clear();
    server.expect_exit(0, Milliseconds(3000));  // without waiting for any time limit
    CHECK(server.err().empty());
}

TEST_CASE("websocket event: ended by a signal, it takes nobody who still waits to be accepted",
          "[programs][websocket]") {
    Server server = start_server(event_server);
    WebSocketPeer peer(server);
    server.signal(SIGSTOP);
    std::vector<Peer> silent;
    for (int i = 0; i < 300; ++i)  // more than it accepts in one turn
        silent.push_back(Peer::connected_to(server));
    server.signal(SIGINT);
    server.signal(SIGCONT);
    CHECK(peer.frame() == going_away);
    peer.send_frame(0x88, close_body(1001));
    CHECK(peer.frames_to_end().empty());
    peer.socket().close();
    server.expect_exit(0, Milliseconds(3000));
}

TEST_CASE("websocket event: clients that do not answer do not keep it from ending", "[programs][websocket]") {
    // Four servers at the same time: each with a client that is awkward in another way.
    const auto start = [] { return start_server(event_server, {"--closing", "1", "--pong", "1"}); };
    std::array<Server, 4> servers{start(), start(), start(), start()};
    WebSocketPeer silent(servers[0]), chatty(servers[1]), deaf(servers[2]), stays(servers[3]);
    const std::string message(1'000'000, 'x');
    for (int i = 0; i < 8; ++i)
        (void)send(deaf.socket().fd(), message.data(), message.size(), 0);
    for (Server& server : servers)
        server.signal(SIGINT);
    CHECK(silent.frame() == going_away);
    CHECK(chatty.frame() == going_away);
    stays.send_frame(0x88, close_body(1001));  // and keeps its TCP connection open

    const auto began = std::chrono::steady_clock::now();
    const std::string ping = wire::masked(0x89, "I go on");
    const auto all_ended = [&] {
        (void)send(chatty.socket().fd(), ping.data(), ping.size(), 0);
        serve_processes(Milliseconds(20));
        return std::none_of(servers.begin(), servers.end(), [](Server& server) { return server.is_running(); });
    };
    wait_until(all_ended, "the servers to end", Milliseconds(20'000));
    CHECK(std::chrono::steady_clock::now() - began < Milliseconds(is_sanitized() ? 15'000 : 5'000));
    for (Server& server : servers) {
        server.expect_exit(0);
        CHECK(server.err().empty());
    }
}

TEST_CASE("websocket event: a second signal ends it at once", "[programs][websocket]") {
    Server server = start_server(event_server, {"--closing", "600"});
    WebSocketPeer peer(server);
    server.signal(SIGINT);
    CHECK(peer.frame() == going_away);
    server.signal(SIGINT);
    CHECK(server.wait() == Ending{-1, SIGINT});
}

TEST_CASE("websocket event: a client that reads nothing is dropped in time", "[programs][websocket]") {
    Server server = start_server(event_server, {"--pong", "1", "--queue", "100000"});
    WebSocketPeer deaf(server);
    const std::string message = wire::masked(0x82, std::string(1'000'000, 'x'));
    pollfd room{deaf.socket().fd(), POLLOUT, 0};
    const auto is_dropped = [&] {
        for (;;) {
            const ssize_t sent = send(deaf.socket().fd(), message.data(), message.size(), 0);
            if (sent == -1) return errno == ECONNRESET || errno == EPIPE;
        }
    };
    wait_until(is_dropped, "the server to give the client up", patience, &room);
    must_serve(server, "websocket/echo_client");
    CHECK(server.err().empty());
}
