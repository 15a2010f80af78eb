// A server outlives any client: reset, vanished, silent, deaf or hostile. After each the next one is served.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <ctime>
#include <regex>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

TEST_CASE("survival: a client that resets the connection", "[programs][survival]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    Peer peer = Peer::connected_to(server);
    peer.send("hello");
    CHECK(peer.receive(5) == "hello");
    peer.send("these are not read");
    peer.reset();
    must_serve(server, pair.client);
    CHECK(server.is_running());
    // If it met the reset, and not only the end before it: in one line, which says where and why.
    for (const std::string& line : lines_of(server.err())) {
        CHECK_THAT(line, ContainsSubstring(".cpp:"));
        CHECK_THAT(line, ContainsSubstring("(ECONNRESET)") || ContainsSubstring("(EPIPE)"));
    }
}

TEST_CASE("survival: a client that resets while it waits to be accepted", "[programs][survival]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    {
        Peer first = Peer::connected_to(server);  // keeps the server busy
        first.send("x");
        first.receive(1);
        for (int i = 0; i < 10; ++i) {
            Peer waiting = Peer::connected_to(server);
            waiting.send("y");
            waiting.reset();
        }
    }
    must_serve(server, pair.client);
    CHECK(server.is_running());
}

TEST_CASE("survival: a client that is killed", "[programs][survival]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    Process client(server.client(pair.client));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    client.signal(SIGKILL);
    client.wait();
    must_serve(server, pair.client);
    CHECK(server.is_running());
}

TEST_CASE("survival: clients that connect and close at once", "[programs][survival]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    for (int i = 0; i < 200; ++i)
        Peer::connected_to(server);
    must_serve(server, pair.client);
    CHECK(server.err().empty());  // nothing is wrong with it
}

TEST_CASE("survival: silent clients, and clients that never read", "[programs][survival]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    if (pair.host == "::1") return;
    INFO(pair.name());
    Server idle = pair.start({"--idle", "1"}), stuck = pair.start({"--idle", "1"});
    Peer silent = Peer::connected_to(idle);
    Peer deaf = Peer::connected_to(stuck);
    const std::string piece(65536, 'x');
    pollfd room{deaf.fd(), POLLOUT, 0};
    const auto says_it_is_stuck = [&] {
        // Until the server's buffers and ours are full, and it waits in send().
        while (send(deaf.fd(), piece.data(), piece.size(), MSG_DONTWAIT) > 0) {
        }
        return stuck.err().find("send(") != std::string::npos;
    };
    wait_until(says_it_is_stuck, "the server to give the client up", patience, &room);
    CHECK_THAT(stuck.err(), ContainsSubstring("(EAGAIN)"));
    CHECK(lines_of(stuck.err()).size() == 1);

    CHECK(silent.receive_to_end().empty());
    CHECK_THAT(idle.expect_line(Stream::err, "recv("), ContainsSubstring("(EAGAIN)"));
    must_serve(idle, pair.client);
    must_serve(stuck, pair.client);
}

TEST_CASE("survival: a client that stops reading for a while loses nothing", "[programs][survival][tcp]") {
    // A send() that waits for room too long returns with a part of the bytes, if it got rid of any (socket(7),
    // SO_SNDTIMEO). The server has to send the rest, and this test sees that it does.
    Server server = start_server("tcp/echo_server", {"--idle", "1", "--trace"});
    Peer deaf = Peer::connected_to(server);
    std::string sent;
    const auto send_more = [&] {
        for (;;) {
            const std::string piece = random_bytes(50'000, static_cast<unsigned>(sent.size()));
            const ssize_t count = send(deaf.fd(), piece.data(), piece.size(), MSG_DONTWAIT);
            if (count <= 0) return;
            sent += piece.substr(0, static_cast<size_t>(count));
        }
    };
    // Its recv() and send() take turns; the result of the last send() is a part of what the last recv() brought.
    const std::regex in_part("= 4096[^\\n]*\\n(?:    fd[^\\n]*\\n)*[^\\n]*  send\\([^\\n]*\\n    = (?!4096)\\d+ ");
    const auto has_sent_a_part = [&] {
        send_more();
        const std::string& told = server.err();
        const std::string last = told.substr(told.size() - std::min<size_t>(told.size(), 3000));
        return std::regex_search(last, in_part) || last.find("(EAGAIN)") != std::string::npos;
    };
    pollfd room{deaf.fd(), POLLOUT, 0};
    wait_until(has_sent_a_part, "the server to send a part", patience, &room);
    if (server.err().find("(EAGAIN)") != std::string::npos) return skip("no send() returned a part of its bytes");
    std::string received = deaf.receive(sent.size());
    deaf.end_sending();
    received += deaf.receive_to_end();
    CHECK((received == sent));
}

TEST_CASE("survival: UDP, after garbage of all sizes from somebody who is gone", "[programs][survival][udp]") {
    Server server = start_server("udp/echo_server");
    const Address address =
        resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_DGRAM).front();
    for (unsigned i = 0; i <= 40; ++i) {
        Peer peer = Peer::bound(SOCK_DGRAM);
        peer.send_to(address, random_bytes(i * i * i, i));  // the answer meets a closed port
    }
    must_serve(server, "udp/echo_client");
    CHECK(server.is_running());
}

TEST_CASE("survival: a call that fails for one client ends no server", "[programs][survival]") {
    struct Row {
        std::string chapter, fault;
    };
    const Row row = GENERATE(from_range(std::vector<Row>{{"tcp", "accept:ECONNABORTED"},
                                                         {"tcp", "accept:EMFILE"},
                                                         {"tcp", "setsockopt:EINVAL:2"},
                                                         {"tcp", "recv:ECONNRESET"},
                                                         {"tcp", "recv:ETIMEDOUT:2"},
                                                         {"tcp", "send:EPIPE"},
                                                         {"tcp", "close:EIO"},
                                                         {"udp", "sendto:EPERM"},
                                                         {"udp", "sendto:ENETUNREACH"},
                                                         {"unix", "accept:ENOMEM"},
                                                         {"unix", "setsockopt:EINVAL"},
                                                         {"unix", "recv:ECONNRESET"},
                                                         {"unix", "send:EPIPE"},
                                                         {"unix", "close:EIO"}}));
    INFO(row.chapter << " " << row.fault);
    Server server = start_server(row.chapter + "/echo_server", {"--fault", row.fault});
    Process client(server.client(row.chapter + "/echo_client"));
    client.feed("hello\n");
    client.close_input();  // it may be served, or not
    server.expect_line(Stream::err, "--fault: ");
    must_serve(server, row.chapter + "/echo_client");
    CHECK(server.is_running());
}

#ifdef __linux__
namespace {

/// How long a process has run on a processor.
double seconds_of_work(pid_t pid) {
    clockid_t clock{};
    timespec time{};
    REQUIRE(clock_getcpuclockid(pid, &clock) == 0);
    REQUIRE(clock_gettime(clock, &time) == 0);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void limit_descriptors(pid_t pid, rlim_t most) {
    rlimit limit{};
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) == 0);
    limit.rlim_cur = most;
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0);
}

}  // namespace

TEST_CASE("survival: out of descriptors, it says so, rests, and serves again when there are some",
          "[programs][survival]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    if (pair.host == "::1") return;
    if (is_sanitized())
        return skip("UndefinedBehaviorSanitizer needs descriptors itself, and sees errors without them");
    INFO(pair.name());
    Server server = pair.start();
    const auto begin = std::chrono::steady_clock::now();
    // An accept() that waits has its descriptor already, and still serves the first client.
    const auto is_asleep = [&] {
        return read_file("/proc/" + std::to_string(server.pid()) + "/stat").find(") S ") != std::string::npos;
    };
    wait_until(is_asleep, "the server to wait in accept()");
    limit_descriptors(server.pid(), 3);  // 0, 1 and 2; the listener is there already
    Process first(server.client(pair.client));
    first.feed("hello\n");
    first.close_input();
    server.expect_line(Stream::err, "(EMFILE)");

    Process client(server.client(pair.client));
    client.feed("hello\n");
    const double work_before = seconds_of_work(server.pid());
    for (int i = 0; i < 4; ++i)
        CHECK_THAT(server.expect_line(Stream::err, "(EMFILE)"), StartsWith(pair.server + ".cpp:"));
    const auto tries = static_cast<long>(count_of(server.err(), "(EMFILE)"));
    CHECK(std::chrono::steady_clock::now() - begin >= Milliseconds(95 * (tries - 1)));  // it rests between them
    CHECK(seconds_of_work(server.pid()) - work_before < 0.05);
    CHECK(server.is_running());
    CHECK(client.out().empty());

    limit_descriptors(server.pid(), 100);
    first.expect_exit(0);
    client.expect(Stream::out, "hello\n");
    client.close_input();
    client.expect_exit(0);
    must_serve(server, pair.client);
}
#endif
