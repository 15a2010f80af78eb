// tcp/trouble: what it does to the bytes, and that it does nothing else.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <deque>
#include <memory>
#include <regex>

#include <poll.h>
#include <sys/socket.h>

namespace {

using namespace std::string_literals;
using Clock = std::chrono::steady_clock;

/// A proxy in front of a server at this address.
Server trouble(const std::string& address, Process::Command arguments = {}, const Surroundings& surroundings = {}) {
    arguments.insert(arguments.end(), {"--to", address});
    return start_server("tcp/trouble", arguments, surroundings);
}

/// A proxy between a client and a server that are both played by the test.
struct Stage {
    explicit Stage(const Process::Command& arguments)
        : listener(Peer::bound(SOCK_STREAM)),
          proxy(trouble(listener.address().text(), arguments)),
          client(Peer::connected_to(proxy)),
          server(listener.accept()) {}

    Peer listener;
    Server proxy;
    Peer client, server;
};

/// How a connection ends for one who receives: the errno of recv(), 0 for a FIN; bytes before it are thrown away.
int end_of(Peer& peer) {
    for (;;) {
        pollfd watched{peer.fd(), POLLIN, 0};
        wait_until([&] { return poll(&watched, 1, 0) > 0; }, "the end of a connection", patience, &watched);
        char bytes[4096];
        const ssize_t received = recv(peer.fd(), bytes, sizeof bytes, MSG_DONTWAIT);
        if (received == 0) return 0;
        if (received == -1 && errno != EAGAIN && errno != EINTR) return errno;
    }
}

bool is_readable(Peer& peer) {
    pollfd watched{peer.fd(), POLLIN, 0};
    return poll(&watched, 1, 0) > 0;
}

/// What it told of these lines: "-> server        1  o" becomes "1 o".
std::vector<std::string> told(Server& proxy, const std::string& where) {
    std::vector<std::string> all;
    for (const std::string& line : lines_with(proxy.out(), where)) {
        const std::string rest = line.substr(line.find(where) + where.size());
        all.push_back(std::regex_replace(rest, std::regex("^ +(\\S+) *"), "$1 "));
    }
    return all;
}

std::string line_numbers(size_t count) {
    std::string text;
    for (size_t i = 0; i < count; ++i)
        text += std::to_string(i) + "\n";
    return text;
}

}  // namespace

TEST_CASE("trouble: programs on both sides notice nothing but time", "[programs][tcp][trouble]") {
    struct Row {
        std::string server, client;
        Process::Command options;
        size_t lines;
    };
    const Row row = GENERATE(from_range(std::vector<Row>{
        {"tcp/echo_server", "tcp/echo_client", {}, 100'000},
        {"tcp/echo_server", "tcp/echo_client", {"--chunk", "1", "--pause", "0"}, 300},
        {"tcp/echo_server", "tcp/echo_client", {"--chunk", "1000", "--pause", "0", "--merge", "3"}, 20'000},
        {"tcp/echo_server", "tcp/echo_client", {"--delay", "20", "--merge", "5", "--chunk", "7"}, 50},
        {"tcp/message_server", "tcp/message_client", {"--chunk", "1", "--pause", "0"}, 300},
        {"tcp/message_server", "tcp/message_client", {"--merge", "10"}, 1000},
        {"tcp/half_close_server", "tcp/half_close_client", {"--delay", "30"}, 100'000},
        {"websocket/echo_server", "websocket/echo_client", {"--chunk", "1", "--pause", "0"}, 30},
        {"websocket/echo_server", "websocket/echo_client", {"--merge", "5", "--delay", "5"}, 100},
    }));
    std::string options;
    for (const std::string& word : row.options)
        options += " " + word;
    INFO(row.server << options);
    const Server server = start_server(row.server);
    Server proxy = trouble(server.address(), row.options);
    const std::string input = line_numbers(row.lines);
    const std::string direct = run(server.client(row.client), input);
    CHECK((run(proxy.client(row.client), input) == direct));
    CHECK((run(proxy.client(row.client), "x") == run(server.client(row.client), "x")));
    CHECK(proxy.err().empty());
}

TEST_CASE("trouble: over IPv6, and from one IP version to the other", "[programs][tcp][trouble]") {
    if (!has_ipv6()) return;
    const Server server = start_server("tcp/echo_server", {"--host", "::1"});
    CHECK(run(trouble(server.address(), {"--host", "::1"}).client("tcp/echo_client"), "hello\n") == "hello\n");
    CHECK(run(trouble(server.address()).client("tcp/echo_client"), "hello\n") == "hello\n");
    // Of several addresses, the first that answers.
    const Server older = start_server("tcp/echo_server");
    CHECK(run(trouble("localhost:" + older.port()).client("tcp/echo_client"), "hello\n") == "hello\n");
}

TEST_CASE("trouble: --chunk cuts", "[programs][tcp][trouble]") {
    Stage stage({"--chunk", "2", "--pause", "1"});
    stage.client.send("hello");
    CHECK(stage.server.receive(5) == "hello");
    stage.server.send("\r\n\x1b");
    CHECK(stage.client.receive(3) == "\r\n\x1b");
    stage.proxy.expect(Stream::out, "\\x1b\n");
    stage.proxy.expect(Stream::out, "\\x1b\n");
    CHECK(told(stage.proxy, " client -> ").at(1) == "5 hello");
    CHECK(told(stage.proxy, " -> server ") ==
          std::vector<std::string>{"open to " + stage.listener.address().text(), "2 he", "2 ll", "1 o"});
    CHECK(told(stage.proxy, " <- server ") == std::vector<std::string>{"3 \\r\\n\\x1b"});
    CHECK(told(stage.proxy, " client <- ") == std::vector<std::string>{"2 \\r\\n", "1 \\x1b"});
    CHECK(std::regex_search(stage.proxy.out(), std::regex("\n +\\d+\\.\\d{3}  #1 +client -> +5  hello\n")));
}

TEST_CASE("trouble: --merge joins", "[programs][tcp][trouble]") {
    Stage stage({"--merge", "300"});
    for (const char* piece : {"a", "b", "c"}) {
        stage.client.send(piece);
        stage.proxy.expect(Stream::out, "1  "s + piece + "\n");
    }
    CHECK(stage.server.receive(3) == "abc");
    stage.proxy.expect(Stream::out, "3  abc\n");
    CHECK(told(stage.proxy, " -> server ").at(1) == "3 abc");
}

TEST_CASE("trouble: --delay holds back, each way, and keeps the distances", "[programs][tcp][trouble]") {
    Stage stage({"--delay", "100"});
    const auto begin = Clock::now();
    stage.client.send("a");
    stage.proxy.expect(Stream::out, "1  a\n");
    stage.client.send("b");
    CHECK(stage.server.receive(2) == "ab");
    CHECK(Clock::now() - begin >= Milliseconds(100));
    stage.server.send("c");
    CHECK(stage.client.receive(1) == "c");
    CHECK(Clock::now() - begin >= Milliseconds(200));
    stage.proxy.expect(Stream::out, "client <-             1  c\n");
    CHECK(told(stage.proxy, " -> server ").size() == 3);  // two pieces came, and two were passed on
}

TEST_CASE("trouble: --stall keeps the connection and passes nothing", "[programs][tcp][trouble]") {
    Stage stage({"--stall", "8"});
    stage.client.send("hello");
    CHECK(stage.server.receive(5) == "hello");
    stage.server.send("hello");
    CHECK(stage.client.receive(3) == "hel");
    stage.proxy.expect_line(Stream::out, "stall  nothing passes from now on");
    stage.client.end_sending();
    // Another connection shows that it goes on, and that time has passed.
    Peer other = Peer::connected_to(stage.proxy);
    Peer other_server = stage.listener.accept();
    other.send("x");
    CHECK(other_server.receive(1) == "x");
    CHECK_FALSE(is_readable(stage.client));
    CHECK_FALSE(is_readable(stage.server));
    stage.server.reset();
    other.send("y");
    CHECK(other_server.receive(1) == "y");
    CHECK_FALSE(is_readable(stage.client));
    CHECK(count_of(stage.proxy.out(), "nothing passes") == 1);
    stage.proxy.signal(SIGTERM);
    stage.proxy.expect_exit(0);
    CHECK(is_readable(stage.client));
}

TEST_CASE("trouble: --reset-after resets both sides", "[programs][tcp][trouble]") {
    Stage stage({"--reset-after", "7"});
    stage.client.send("hello");
    CHECK(stage.server.receive(5) == "hello");
    stage.server.send("hello");
    CHECK(stage.client.receive(2) == "he");
    CHECK(end_of(stage.client) == ECONNRESET);
    CHECK(end_of(stage.server) == ECONNRESET);
    stage.proxy.expect_line(Stream::out, "RST  to both sides (--reset-after)");
    Peer next = Peer::connected_to(stage.proxy);  // each connection has a count of its own
    Peer next_server = stage.listener.accept();
    next.send("1234567");
    CHECK(next_server.receive(7) == "1234567");
    CHECK(end_of(next_server) == ECONNRESET);
}

TEST_CASE("trouble: --corrupt changes about one byte in N, the same ones for the same seed",
          "[programs][tcp][trouble]") {
    const Server server = start_server("tcp/half_close_server");
    const Server echo = start_server("tcp/echo_server");
    const std::string input = random_bytes(20'000);
    const auto through = [&](const Process::Command& options) {
        return run(trouble(echo.address(), options).client("tcp/echo_client"), input);
    };
    const std::string first = through({"--corrupt", "100", "--seed", "7"});
    CHECK((through({"--corrupt", "100", "--seed", "7"}) == first));
    CHECK((through({"--corrupt", "100", "--seed", "7", "--chunk", "997", "--pause", "0"}) == first));
    CHECK((through({"--corrupt", "100", "--seed", "8"}) != first));
    CHECK((through({"--corrupt", "0"}) == input));
    REQUIRE(first.size() == input.size());
    size_t changed = 0;
    for (size_t i = 0; i < input.size(); ++i)
        changed += first[i] != input[i] ? 1 : 0;
    CHECK(changed > 250);  // about 400: it passes twice
    CHECK(changed < 600);

    // What it says is what it does.
    Stage stage({"--corrupt", "2"});
    stage.client.send("aaa");
    const std::string got = stage.server.receive(3);
    const std::string line = stage.proxy.expect_line(Stream::out, " --> ");
    CHECK_THAT(line, ContainsSubstring("change  byte "));
    const std::regex change(" (\\d+): 61 -> ([0-9a-f]{2})");
    std::string expected = "aaa";
    for (std::sregex_iterator match(line.begin(), line.end(), change), end; match != end; ++match)
        expected[std::stoul((*match)[1]) - 1] = static_cast<char>(std::stoul((*match)[2], nullptr, 16));
    CHECK(expected != "aaa");
    CHECK(expected == got);
}

TEST_CASE("trouble: ends are passed on as they are", "[programs][tcp][trouble]") {
    SECTION("FIN, and what comes after it the other way") {
        Stage stage({});
        stage.client.send("that is all");
        stage.client.end_sending();
        CHECK(stage.server.receive_to_end() == "that is all");
        stage.server.send("thank you");
        CHECK(stage.client.receive(9) == "thank you");
        stage.server.end_sending();
        CHECK(end_of(stage.client) == 0);
        stage.proxy.expect_line(Stream::out, "closed  11 bytes to the server, 9 to the client");
    }
    SECTION("RST by the client, behind what it sent") {
        Stage stage({"--delay", "50"});
        stage.client.send("hello");
        stage.proxy.expect(Stream::out, "5  hello");
        stage.client.reset();
        CHECK(stage.server.receive(5) == "hello");
        CHECK(end_of(stage.server) == ECONNRESET);
    }
    SECTION("RST by the server") {
        Stage stage({});
        stage.server.reset();
        CHECK(end_of(stage.client) == ECONNRESET);
    }
    SECTION("an answer that stands before a reset, which comes because the request is not read") {
        Stage stage({});
        stage.client.send("a request");
        stage.proxy.expect(Stream::out, "-> server      9  a request");
        stage.server.send("an answer");
        stage.server.close();
        CHECK(stage.client.receive(9) == "an answer");
        CHECK(end_of(stage.client) == ECONNRESET);
    }
    SECTION("sending into what the other has closed") {
        Stage stage({});
        stage.server.close();
        CHECK(end_of(stage.client) == 0);
        stage.client.send("is anybody there?");
        stage.proxy.expect_line(Stream::out, "-> server     17  is anybody there?");
        stage.client.send("hello?");
        stage.proxy.expect_line(Stream::out, "closed");
        wait_until([&] { return send(stage.client.fd(), "x", 1, MSG_DONTWAIT) == -1; }, "the reset");
    }
}

TEST_CASE("trouble: nobody listens at the other side", "[programs][tcp][trouble]") {
    const FreePort nobody;
    Server proxy = trouble("127.0.0.1:" + nobody.text());
    for (int i = 0; i < 2; ++i) {
        Peer client = Peer::connected_to(proxy);
        CHECK(end_of(client) == ECONNRESET);
        proxy.expect_line(Stream::out, "client <-           RST  127.0.0.1:" + nobody.text() + ": Connection refused");
    }
    CHECK(proxy.is_running());
}

TEST_CASE("trouble: many at once, and a slow one keeps nobody waiting", "[programs][tcp][trouble]") {
    Stage slow({});
    const auto fill = [&] {
        const std::string piece = random_bytes(50'000);
        while (send(slow.client.fd(), piece.data(), piece.size(), MSG_DONTWAIT) > 0) {
        }
    };
    fill();
    std::deque<Peer> clients, servers;
    for (int i = 0; i < 50; ++i) {
        clients.push_back(Peer::connected_to(slow.proxy));
        servers.push_back(slow.listener.accept());
    }
    for (size_t i = 0; i < clients.size(); ++i)
        clients[i].send(fmt::format("client {:2}", i));
    for (size_t i = 0; i < clients.size(); ++i)
        CHECK(servers[i].receive(9) == fmt::format("client {:2}", i));
}

#ifdef __linux__
TEST_CASE("trouble: what waits in it is bounded, and nothing is lost", "[programs][tcp][trouble]") {
    Stage stage({"--delay", "1"});
    const auto memory = [&] {
        const std::string status = read_file(fmt::format("/proc/{}/status", stage.proxy.pid()));
        return std::stol(status.substr(status.find("VmRSS:") + 6));  // kB
    };
    std::string sent;
    pollfd room{stage.client.fd(), POLLOUT, 0};
    const auto begin = Clock::now();
    const auto last_progress = std::make_shared<Clock::time_point>(begin);
    wait_until(
        [&] {
            for (;;) {
                const std::string piece = random_bytes(100'000, static_cast<unsigned>(sent.size()));
                const ssize_t count = send(stage.client.fd(), piece.data(), piece.size(), MSG_DONTWAIT);
                if (count <= 0) break;
                sent += piece.substr(0, static_cast<size_t>(count));
                *last_progress = Clock::now();
            }
            return Clock::now() - *last_progress > Milliseconds(100) || sent.size() > 100'000'000;
        },
        "the client to be stopped", patience, &room);
    CHECK(sent.size() < 50'000'000);  // buffers of the kernel, mostly
    if (!is_sanitized()) CHECK(memory() < 20'000);
    stage.client.end_sending();
    CHECK((stage.server.receive_to_end() == sent));
}

TEST_CASE("trouble: out of descriptors it says so, rests, and goes on when there are some",
          "[programs][tcp][trouble]") {
    if (is_sanitized()) return skip("sanitizers need descriptors themselves");
    Peer listener = Peer::bound(SOCK_STREAM);
    // 0, 1, 2, the listener, and one connection of two.
    Server proxy = trouble(listener.address().text(), {}, {.limits = {{RLIMIT_NOFILE, 6}}});
    Peer first = Peer::connected_to(proxy);
    Peer first_server = listener.accept();
    first.send("x");
    CHECK(first_server.receive(1) == "x");
    Peer second = Peer::connected_to(proxy);
    proxy.expect_line(Stream::err, "(EMFILE)");
    for (int i = 0; i < 20; ++i) {  // the others are served as ever
        first.send("y");
        CHECK(first_server.receive(1) == "y");
    }
    CHECK(count_of(proxy.err(), "(EMFILE)") <= 2);  // again in a second, or when there is room, and not at once
    first.close();
    CHECK(end_of(first_server) == 0);
    first_server.close();
    Peer second_server = listener.accept();
    second.send("z");
    CHECK(second_server.receive(1) == "z");
}
#endif

TEST_CASE("trouble: --connections and --idle", "[programs][tcp][trouble]") {
    Stage stage({"--connections", "1", "--idle", "1"});
    Peer second = Peer::connected_to(stage.proxy);
    second.send("x");
    stage.proxy.expect_line(Stream::out, "closed  nothing has happened for 1 s (--idle)");
    CHECK(end_of(stage.client) == ECONNRESET);
    Peer second_server = stage.listener.accept();
    CHECK(second_server.receive(1) == "x");
}

TEST_CASE("trouble: wrong use", "[programs][tcp][trouble]") {
    const auto refusal = [](const Process::Command& arguments) {
        Process::Command command{program("tcp/trouble")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
        return process.err();
    };
    CHECK_THAT(refusal({"--to", "localhost"}), ContainsSubstring("expected HOST:PORT"));
    CHECK_THAT(refusal({"--to", ":7000"}), ContainsSubstring("expected HOST:PORT"));
    CHECK_THAT(refusal({"--to", "localhost:http\x1b"}), ContainsSubstring("expected a number from 1 to 65535"));
    CHECK_THAT(refusal({"--to", "127.0.0.1:7001"}), ContainsSubstring("where this program listens itself"));
    CHECK_THAT(refusal({"--stall", "-1"}), ContainsSubstring("--stall -1: expected a number from 0"));
    CHECK_THAT(refusal({"--reset-after", "x"}), ContainsSubstring("--reset-after x: expected a number from 0"));
}

TEST_CASE("trouble: foreign peers", "[programs][tcp][trouble][foreign]") {
    if (has_tool("socat")) {
        Process theirs({"socat", "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat"});
        const std::string line = theirs.expect_line(Stream::err, "listening on");
        const Server proxy = trouble(line.substr(line.rfind(' ') + 1), {"--chunk", "100", "--pause", "0"});
        const std::string bytes = random_bytes(50'000);
        const std::string where = "TCP:127.0.0.1:" + proxy.port();
        CHECK((run({"socat", "-t", "10", "-", where}, bytes) == bytes));
    }
    if (has_tool("curl")) {
        Stage stage({"--chunk", "1", "--pause", "0"});
        Process curl({"curl", "-sS", "--noproxy", "*", "http://127.0.0.1:" + stage.proxy.port() + "/page"});
        Peer connection = stage.listener.accept();
        std::string request;
        while (request.find("\r\n\r\n") == std::string::npos)
            request += connection.receive(1);
        CHECK_THAT(request, StartsWith("GET /page HTTP/1.1\r\n"));
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nhello\n");
        connection.close();
        curl.expect_exit(0);
        CHECK(curl.out() == "hello\n");
    }
}
