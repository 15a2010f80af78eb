// The event server under fire: ten thousand idle clients, a thousand silent ones, slow readers, clients killed at
// random, no descriptors left. Its figures are printed.

#ifdef __linux__

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "websocket/protocol/deflate.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

using wire::close_body;
using wire::masked;
using Clock = std::chrono::steady_clock;
using Frames = std::vector<std::string>;

namespace {

const std::string event_server = "websocket/event_server";

double milliseconds_since(Clock::time_point begin) {
    return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

/// Lets this process, and those that it starts, have more descriptors; as long as it lives.
class MoreDescriptors {
public:
    explicit MoreDescriptors(rlim_t wanted) {
        CALL(getrlimit(RLIMIT_NOFILE, &before_));
        rlimit limit = before_;
        limit.rlim_cur = std::max(before_.rlim_cur, std::min(wanted, before_.rlim_max));
        CALL(setrlimit(RLIMIT_NOFILE, &limit));
        now_ = limit.rlim_cur;
    }
    ~MoreDescriptors() { setrlimit(RLIMIT_NOFILE, &before_); }
    MoreDescriptors(const MoreDescriptors&) = delete;
    MoreDescriptors& operator=(const MoreDescriptors&) = delete;
    rlim_t now() const { return now_; }

private:
    rlimit before_{};
    rlim_t now_ = 0;
};

/// Many clients, as plain descriptors: no more than what a connection costs us.
class Crowd {
public:
    explicit Crowd(const Server& server)
        : address_(resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_STREAM).front()) {}
    ~Crowd() {
        const linger at_once{.l_onoff = 1, .l_linger = 0};  // by RST: ten thousand in TIME_WAIT are in everybody's way
        for (const int fd : fds_) {
            setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
            close(fd);
        }
    }
    Crowd(const Crowd&) = delete;
    Crowd& operator=(const Crowd&) = delete;

    /// Connects so many more, each of which sends this at once.
    void connect(size_t count, std::string_view bytes = "") {
        for (size_t i = 0; i < count; ++i) {
            const int fd = CALL(socket(address_.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
            fds_.push_back(fd);
            const timeval limit{.tv_sec = patience.count() / 1000, .tv_usec = 0};
            CALL(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
            CALL(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
            CALL(::connect(fd, address_.get(), address_.length()));
            send(fds_.size() - 1, bytes);
        }
    }

    void send(size_t which, std::string_view bytes) const {
        if (!bytes.empty()) CALL(::send(fds_.at(which), bytes.data(), bytes.size(), MSG_NOSIGNAL));
    }

    /// Waits for what one is sent: until it has this at its end.
    std::string receive_until(size_t which, std::string_view end) const {
        std::string all;
        char piece[1024];
        while (!all.ends_with(end)) {
            const ssize_t count = CALL(recv(fds_.at(which), piece, sizeof piece, 0));
            if (count == 0) throw Unexpected("the server ended a connection after: " + wire::shown(all));
            all.append(piece, static_cast<size_t>(count));
        }
        return all;
    }

    /// All that one is sent until the server ends its connection.
    std::string receive_to_end(size_t which) const {
        std::string all;
        char piece[1024];
        while (const ssize_t count = CALL(recv(fds_.at(which), piece, sizeof piece, 0)))
            all.append(piece, static_cast<size_t>(count));
        return all;
    }

    void shake_hands(size_t count) {
        constexpr size_t at_a_time = 50;  // what handshakes take meanwhile is not what idle clients take
        while (count > 0) {
            const size_t now = std::min(count, at_a_time);
            connect(now, upgrade_request());
            for (size_t i = fds_.size() - now; i < fds_.size(); ++i)
                receive_until(i, "\r\n\r\n");
            count -= now;
        }
    }

    size_t size() const { return fds_.size(); }

private:
    Address address_;
    std::vector<int> fds_;
};

/// A message of one client and back, in milliseconds.
double round_trip(WebSocketPeer& peer, const std::string& message = "are you there?") {
    const auto begin = Clock::now();
    peer.send_frame(0x81, message);
    if (peer.payload(0x81) != message) throw Unexpected("another message came back");
    return milliseconds_since(begin);
}

/// What memory is given back to and taken from is not touched by sanitizers' own, so it tells nothing there.
void check_growth(long before, long after, long most_kilobytes) {
    fmt::print("  memory: {} KiB, then {} KiB\n", before, after);
    if (!is_sanitized()) CHECK(after - before < most_kilobytes);
}

}  // namespace

TEST_CASE("websocket fire: ten thousand idle clients, and others that echo", "[programs][websocket][fire]") {
    const size_t wanted = is_sanitized() ? 1000 : 10'000;
    const MoreDescriptors limit(wanted + 200);
    if (limit.now() < wanted + 100) return skip(fmt::format("no more than {} descriptors can be had", limit.now()));
    Server server = start_server(event_server, {"--connections", "20000", "--idle", "3600"});
    must_serve(server, "websocket/echo_client");
    const long before = resident_kilobytes(server.pid());

    const auto begin = Clock::now();
    Crowd crowd(server);
    crowd.shake_hands(wanted);
    const double connecting = milliseconds_since(begin);
    const long idle = resident_kilobytes(server.pid());
    const double each = static_cast<double>(idle - before) * 1024 / static_cast<double>(wanted);
    fmt::print("{} idle clients: connected in {:.0f} ms, {:.0f} bytes of the server's memory for each\n", wanted,
               connecting, each);
    if (!is_sanitized()) CHECK(each < 2048);

    const double cpu = cpu_seconds(server.pid());
    const std::string out = run(server.client("websocket/load", {"--connections", "20", "--messages", "20000"}));
    fmt::print("  and 20 others: {}", out);
    CHECK_THAT(out, StartsWith("20000 messages "));
    CHECK(cpu_seconds(server.pid()) > cpu);

    for (size_t i = 0; i < crowd.size(); i += crowd.size() / 50) {  // they are still there
        crowd.send(i, masked(0x81, "hello"));
        CHECK(crowd.receive_until(i, "hello") == wire::frame(0x81, "hello"));
    }
    server.signal(SIGINT);
    const std::string end = wire::frame(0x88, close_body(1001, "the server ends"));
    for (size_t i = 0; i < crowd.size(); ++i) {
        REQUIRE(crowd.receive_until(i, end) == end);
        crowd.send(i, masked(0x88, close_body(1001)));
    }
    for (size_t i = 0; i < crowd.size(); ++i)
        REQUIRE(crowd.receive_to_end(i).empty());
    CHECK(server.is_running());
}

TEST_CASE("websocket fire: a thousand clients that connect and say nothing", "[programs][websocket][fire]") {
    const MoreDescriptors limit(1200);
    if (limit.now() < 1100) return skip(fmt::format("no more than {} descriptors can be had", limit.now()));
    Server server = start_server(event_server, {"--handshake", "1"});
    must_serve(server, "websocket/echo_client");
    const long before = resident_kilobytes(server.pid());
    const auto begin = Clock::now();
    {
        Crowd crowd(server);
        crowd.connect(1000);
        must_serve(server, "websocket/echo_client");  // meanwhile
        for (size_t i = 0; i < crowd.size(); ++i)
            REQUIRE(crowd.receive_to_end(i).starts_with("HTTP/1.1 408 "));
    }
    wait_until([&] { return serve_processes(Milliseconds(10)), open_sockets(server.pid()) == 1; },
               "only the listener to be left");
    fmt::print("1000 silent clients: gone after {:.0f} ms (the limit: 1000)\n", milliseconds_since(begin));
    check_growth(before, resident_kilobytes(server.pid()), 4096);
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket fire: a slow reader with a fast sender, and others that are served",
          "[programs][websocket][fire]") {
    Server server = start_server(event_server);
    must_serve(server, "websocket/echo_client");
    WebSocketPeer slow(server), other(server);
    const long before = resident_kilobytes(server.pid());
    const std::string payload = random_bytes(100'000);
    const std::string message = masked(0x82, payload);
    size_t sent = 0;
    double slowest = 0;
    // Until nothing has found room for a while, though the server answers others: it reads no more of this one.
    for (int idle_rounds = 0; idle_rounds < 100; ++idle_rounds) {
        for (;;) {
            const size_t at = sent % message.size();
            const ssize_t count = ::send(slow.socket().fd(), message.data() + at, message.size() - at, MSG_NOSIGNAL);
            if (count <= 0) break;
            sent += static_cast<size_t>(count);
            idle_rounds = 0;
        }
        slowest = std::max(slowest, round_trip(other));
    }
    fmt::print("a slow reader: {:.1f} MB sent and none read; the others' slowest answer took {:.1f} ms\n",
               static_cast<double>(sent) / 1e6, slowest);
    check_growth(before, most_resident_kilobytes(server.pid()), 8192);
    CHECK(slowest < 2000);

    // Now it reads, and nothing is missing.
    for (size_t i = 0; i < sent / message.size(); ++i)
        REQUIRE((slow.payload(0x82) == payload));
    slow.send(std::string_view(message).substr(sent % message.size()));
    REQUIRE((slow.payload(0x82) == payload));
    CHECK(round_trip(slow) < 2000);
}

TEST_CASE("websocket fire: clients that are reset with much unread are forgotten, and not served to the end",
          "[programs][websocket][fire]") {
    Server server = start_server(event_server);
    must_serve(server, "websocket/echo_client");
    WebSocketPeer other(server);
    const std::string message = masked(0x82, random_bytes(100'000));
    std::vector<std::unique_ptr<WebSocketPeer>> peers;
    size_t sent = 0;
    for (int i = 0; i < 8; ++i) {
        peers.push_back(std::make_unique<WebSocketPeer>(server));
        size_t at = 0;
        for (int idle_rounds = 0; idle_rounds < 50; ++idle_rounds) {
            for (ssize_t count = 0; count >= 0; at += static_cast<size_t>(count)) {
                const size_t begin = at % message.size();
                count = ::send(peers.back()->socket().fd(), &message[begin], message.size() - begin, MSG_NOSIGNAL);
                if (count <= 0) break;
                idle_rounds = 0;
            }
            round_trip(other);
        }
        sent += at;
    }
    fmt::print("8 clients: {} MB sent, none read, then reset\n", sent / 1'000'000);
    const long before = most_resident_kilobytes(server.pid());
    for (auto& peer : peers)
        peer->socket().reset();
    CHECK(round_trip(other) < 5000);
    wait_until([&] { return open_sockets(server.pid()) <= 2; }, "the server to forget them");
    check_growth(before, most_resident_kilobytes(server.pid()), 2048);
}

TEST_CASE("websocket fire: small messages that inflate to large ones, for a client that does not read",
          "[programs][websocket][fire]") {
    // The client may use a window of 32 KiB and lets the server have one of 256 bytes: what repeats after a kilobyte is
    // nothing to send for the one, and everything for the other.
    Server server = start_server(event_server);
    must_serve(server, "websocket/echo_client");
    const long before = resident_kilobytes(server.pid());
    WebSocketPeer greedy(server, "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=8\r\n");
    WebSocketPeer other(server);
    const std::string unit = random_bytes(1000);
    std::string payload;
    while (payload.size() < 2'000'000)
        payload += unit;
    websocket::Deflater deflater(15, false);
    std::string all;
    const size_t messages = 8;
    for (size_t i = 0; i < messages; ++i) {
        websocket::Buffer compressed;
        deflater.compress(payload, true, compressed);
        all += masked(0xC2, compressed.view());
    }
    server.signal(SIGSTOP);  // all of it is there when the server looks
    greedy.send(all);
    server.signal(SIGCONT);
    double slowest = 0;
    for (int i = 0; i < 200; ++i)
        slowest = std::max(slowest, round_trip(other));
    fmt::print("{} KB that inflate to {} MB: the others' slowest answer took {:.1f} ms\n", all.size() / 1000,
               messages * payload.size() / 1'000'000, slowest);
    check_growth(before, most_resident_kilobytes(server.pid()), 12'288);
    CHECK(slowest < 5000);
    // Nothing is lost by it.
    websocket::Inflater inflater(8, false);
    for (size_t i = 0; i < messages; ++i) {
        websocket::Buffer message;
        REQUIRE(inflater.decompress(greedy.payload(0xC2), true, payload.size(), message) ==
                websocket::Inflater::Result::done);
        REQUIRE((message.view() == payload));
    }
}

namespace {

/// Two hundred clients, of which a hundred end in the middle of whatever they do: by closing, by a reset, within a
/// frame. Throws Unexpected unless the others get back all that they send.
void churn(const Server& server, unsigned seed) {
    std::mt19937 random(seed);
    const auto below = [&](size_t limit) { return std::uniform_int_distribution<size_t>(0, limit - 1)(random); };
    const auto must_get = [](WebSocketPeer& peer, const Frames& frames) {
        for (const std::string& frame : frames)
            if (const std::string got = peer.frame(); got != frame) throw Unexpected("got " + got + ", not " + frame);
    };
    constexpr size_t clients = 200;
    const std::string source = random_bytes(10'000, seed);
    std::vector<std::unique_ptr<WebSocketPeer>> peers;
    std::vector<Frames> expected(clients);
    for (size_t i = 0; i < clients; ++i)
        peers.push_back(std::make_unique<WebSocketPeer>(server));
    for (size_t alive = clients; alive > clients / 2;) {
        const size_t which = below(clients);
        WebSocketPeer* peer = peers[which].get();
        if (peer == nullptr) continue;
        const std::string payload = source.substr(below(source.size()), below(3000));
        const std::string frame = masked(0x82, payload);
        if (which % 2 == 0 && below(5) == 0) {
            peer->send(std::string_view(frame).substr(0, below(frame.size() + 1)));
            if (below(2) == 0) peer->socket().reset();
            peers[which].reset();
            --alive;
        } else if (expected[which].size() < 20) {
            peer->send(frame);
            expected[which].push_back("82 " + wire::shown(payload));
        } else {
            must_get(*peer, expected[which]);
            expected[which].clear();
        }
    }
    for (size_t i = 1; i < clients; i += 2) {
        must_get(*peers[i], expected[i]);
        peers[i]->send_frame(0x88, close_body(1000));
        must_get(*peers[i], {"88 " + wire::shown(close_body(1000))});
    }
}

}  // namespace

TEST_CASE("websocket fire: floods of pings, empty fragments and bombs", "[programs][websocket][fire]") {
    Server server = start_server(event_server);
    must_serve(server, "websocket/echo_client");
    WebSocketPeer other(server);
    const long before = resident_kilobytes(server.pid());
    {
        // Pings of a client that does not read its pongs: it is answered less and less, and then read no more.
        WebSocketPeer peer(server);
        std::string pings;
        for (int i = 0; i < 8000; ++i)
            pings += masked(0x89, std::string(125, 'p'));
        size_t sent = 0;
        for (int idle_rounds = 0; idle_rounds < 50 && sent < 50 * pings.size(); ++idle_rounds) {
            const ssize_t count = ::send(peer.socket().fd(), &pings[sent % pings.size()],
                                         pings.size() - sent % pings.size(), MSG_NOSIGNAL);
            if (count > 0) {
                sent += static_cast<size_t>(count);
                idle_rounds = 0;
            }
            round_trip(other);
        }
        fmt::print("a flood of {} pings\n", sent / (pings.size() / 8000));
        check_growth(before, most_resident_kilobytes(server.pid()), 4096);
        CHECK(peer.payload(0x8A) == std::string(125, 'p'));
    }
    {
        WebSocketPeer peer(server);
        std::string fragments = masked(0x01, "");
        for (int i = 0; i < (1 << 17); ++i)
            fragments += masked(0x00, "");
        peer.send(fragments);
        CHECK_THAT(peer.frame(), StartsWith("88 " + wire::shown(close_body(1008))));
        check_growth(before, most_resident_kilobytes(server.pid()), 4096);
    }
    {
        // A quarter of a gigabyte of zeros, in 250 KB.
        WebSocketPeer peer(server, "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        websocket::Buffer bomb;
        websocket::Deflater deflater(15, false);
        const std::string zeros(1U << 20U, '\0');
        for (int i = 0; i < 256; ++i)
            deflater.compress(zeros, i == 255, bomb);
        peer.send_frame(0xC2, bomb.view());
        CHECK_THAT(peer.frame(), StartsWith("88 " + wire::shown(close_body(1009))));
        fmt::print("a bomb of {} KB\n", bomb.size() / 1000);
        check_growth(before, most_resident_kilobytes(server.pid()), 48L << 10U);
    }
    CHECK(round_trip(other) < 5000);
}

TEST_CASE("websocket fire: half of the clients are killed at random times", "[programs][websocket][fire]") {
    Server server = start_server(event_server);
    {
        // Of six programs, three are killed, and the others are to come to their end.
        std::vector<std::unique_ptr<Process>> loads;
        for (int i = 0; i < 6; ++i) {
            loads.push_back(std::make_unique<Process>(
                server.client("websocket/load", {"--connections", "10", "--in-flight", "4", "--size",
                                                 std::to_string(1 + i * 900), "--messages", "3000"})));
        }
        for (size_t i = 0; i < 3; ++i) {
            churn(server, static_cast<unsigned>(i));
            loads[i]->signal(SIGKILL);
        }
        for (size_t i = 3; i < loads.size(); ++i) {
            loads[i]->expect_exit(0);
            CHECK_THAT(loads[i]->out(), StartsWith("3000 messages "));
        }
    }
    wait_until([&] { return serve_processes(Milliseconds(10)), open_sockets(server.pid()) == 1; },
               "only the listener to be left");
    CHECK(server.is_running());
    CHECK(server.err().empty());
    must_serve(server, "websocket/echo_client");
}

// Not part of make test: TWO_TERMINALS_SOAK=3600 make test ONLY='[soak]'
TEST_CASE("soak: the event server for a long time", "[.][soak]") {
    const char* seconds = std::getenv("TWO_TERMINALS_SOAK");
    const auto end = Clock::now() + std::chrono::seconds(seconds != nullptr ? std::stol(seconds) : 60);
    Server server = start_server(event_server);
    Process load(server.client("websocket/load", {"--connections", "20", "--seconds", "86400"}));
    long after_warming_up = 0;
    for (unsigned round = 0; Clock::now() < end; ++round) {
        churn(server, round);
        if (round == 5) after_warming_up = resident_kilobytes(server.pid());
        if (round % 20 == 0) fmt::print("round {}: {} KiB\n", round, resident_kilobytes(server.pid()));
    }
    CHECK(load.is_running());
    CHECK(server.err().empty());
    REQUIRE(after_warming_up > 0);
    check_growth(after_warming_up, resident_kilobytes(server.pid()), 1024);
}

TEST_CASE("websocket fire: out of descriptors, it rests, and serves again when there are some",
          "[programs][websocket][fire]") {
    Server server = start_server(event_server, {}, {.limits = {{RLIMIT_NOFILE, 40}}});
    Crowd crowd(server);
    crowd.connect(60, upgrade_request() + masked(0x81, "hello"));
    const std::string line = server.expect_line(Stream::err, "no new clients for now");
    CHECK_THAT(line, ContainsSubstring("(EMFILE)"));
    const size_t served = open_sockets(server.pid()) - 1;  // without the listener
    CHECK(served > 20);
    CHECK(served < 40);
    for (size_t i = 0; i < served; ++i)
        crowd.receive_until(i, "\x81\x05hello");

    const double cpu = cpu_seconds(server.pid());
    const auto begin = Clock::now();
    server.expect_line(Stream::err, "no new clients for now");  // it tries again
    const double waited = milliseconds_since(begin);
    const double used = cpu_seconds(server.pid()) - cpu;
    fmt::print("out of descriptors: {:.1f} ms of CPU time in {:.0f} ms\n", used * 1000, waited);
    CHECK(waited > 900);
    CHECK(used < waited / 1000 / 20);
    for (size_t i = 0; i < served; ++i) {  // meanwhile, those that it has are served
        crowd.send(i, masked(0x81, "again"));
        crowd.receive_until(i, "again");
    }
    // As some leave, those that wait take their places.
    for (size_t i = 0; i < 60 - served; ++i)
        crowd.send(i, masked(0x88, close_body(1000)));
    for (size_t i = served; i < 60; ++i)
        crowd.receive_until(i, "\x81\x05hello");
    CHECK(server.is_running());
}

#endif
