#include "common/stream.hpp"

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/narration.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

struct Pair {
    int ends[2];
    explicit Pair(int send_buffer = 0) {
        CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        if (send_buffer != 0) CALL(setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer));
    }
    ~Pair() {
        close(ends[0]);
        close(ends[1]);
    }
    Pair(const Pair&) = delete;
    Pair& operator=(const Pair&) = delete;
};

/// Reads in odd pieces until the end.
std::string read_slowly(int fd) {
    std::string all;
    std::array<char, 777> piece;
    for (ssize_t count = 0; (count = read(fd, piece.data(), piece.size())) > 0;)
        all.append(piece.data(), static_cast<size_t>(count));
    return all;
}

/// What a terminal gets when these pieces are written to it, one by one; without the \r that it puts before \n itself.
std::string on_terminal(const std::vector<std::string>& pieces) {
    Process child(
        [&] {
            Output output;
            for (const std::string& piece : pieces)
                output.write(piece);
        },
        {.terminal = Terminal::output});
    child.expect_exit(0);
    std::string text = child.all(Stream::terminal);
    std::erase(text, '\r');
    return text;
}

}  // namespace

TEST_CASE("stream: send_all() through a tiny buffer to a slow reader", "[unit][stream]") {
    const std::string bytes = random_bytes(1'000'000);
    Pair pair(1);  // the kernel's least
    std::string received;
    std::thread reader([&] { received = read_slowly(pair.ends[1]); });
    send_all(pair.ends[0], bytes.data(), bytes.size());
    shutdown(pair.ends[0], SHUT_WR);
    reader.join();
    CHECK((received == bytes));
}

TEST_CASE("stream: send_all() of nothing calls nothing", "[unit][stream]") {
    send_all(-1, nullptr, 0);
    write_all(-1, "");
    SUCCEED();
}

TEST_CASE("stream: send_all() makes as many calls as the kernel asks for", "[unit][stream]") {
    const std::vector<std::string> lines = narrated([] {
        Pair pair(1);
        const int large = 1 << 20;
        setsockopt(pair.ends[1], SOL_SOCKET, SO_RCVBUF, &large, sizeof large);
        fcntl(pair.ends[0], F_SETFL, O_NONBLOCK);
        try {
            const std::string bytes(1'000'000, 'x');
            send_all(pair.ends[0], bytes.data(), bytes.size());
        } catch (const SocketError& error) {  // the buffer is full, and nobody reads
            if (error.code().value() != EAGAIN) throw;
        }
    });
    size_t calls = 0;
    for (const std::string& line : lines)
        calls += line == "send(connection, next, count, 0)" ? 1 : 0;
    CHECK(calls >= 2);
}

TEST_CASE("stream: errors are thrown, with what was sent before", "[unit][stream]") {
    signal(SIGPIPE, SIG_IGN);
    Pair pair;
    shutdown(pair.ends[1], SHUT_RD);
    try {
        send_all(pair.ends[0], "x", 1);
        FAIL("nothing thrown");
    } catch (const SocketError& error) {
        CHECK(error.code().value() == EPIPE);
    }
    CHECK_THROWS_AS(write_all(-1, "x"), SocketError);
}

TEST_CASE("stream: write_all() to a pipe whose reader is slow", "[unit][stream]") {
    const std::string bytes = random_bytes(1'000'000);
    int ends[2];
    REQUIRE(pipe(ends) == 0);
    std::string received;
    std::thread reader([&] { received = read_slowly(ends[0]); });
    write_all(ends[1], bytes);
    close(ends[1]);
    reader.join();
    close(ends[0]);
    CHECK((received == bytes));
}

TEST_CASE("stream: limit_waiting() ends a recv() and a send() that wait too long", "[unit][stream]") {
    Pair pair(1);
    limit_waiting(pair.ends[0], 1);
    timeval limit{};
    socklen_t length = sizeof limit;
    for (const int option : {SO_RCVTIMEO, SO_SNDTIMEO}) {
        REQUIRE(getsockopt(pair.ends[0], SOL_SOCKET, option, &limit, &length) == 0);
        CHECK(limit.tv_sec == 1);
        CHECK(limit.tv_usec == 0);
    }
    const auto begin = std::chrono::steady_clock::now();
    char byte = 0;
    CHECK(recv(pair.ends[0], &byte, 1, 0) == -1);
    CHECK(errno == EAGAIN);
    const auto waited = std::chrono::steady_clock::now() - begin;
    CHECK(waited >= std::chrono::milliseconds(990));
    CHECK_THROWS_AS(limit_waiting(-1, 1), SocketError);
}

TEST_CASE("stream: Output to a file or pipe changes nothing", "[unit][stream]") {
    const std::string bytes = std::string("\0\x1b[2J\n\xff\xc2", 8) + random_bytes(100'000);
    Process child([&] {
        Output output;
        output.write(std::string_view(bytes).substr(0, 5000));
        output.write(std::string_view(bytes).substr(5000));
    });
    child.expect_exit(0);
    CHECK((child.out() == bytes));
}

TEST_CASE("stream: Output to a terminal lets newline, tab and text through, and nothing else", "[unit][stream]") {
    CHECK(on_terminal({"text\n\ttab\n"}) == "text\n\ttab\n");
    CHECK(on_terminal({"안녕 😀 ü\n"}) == "안녕 😀 ü\n");
    CHECK(on_terminal({"\x1b[2J\x1b]0;title\x07"}) == "\\x1b[2J\\x1b]0;title\\x07");
    CHECK(on_terminal({std::string("\0\b\x7f", 3)}) == "\\x00\\x08\\x7f");
    CHECK(on_terminal({"a\rb"}) == "a\\rb");  // the start of a line could be overwritten
    CHECK(on_terminal({"\xc2\x9b"
                       "31m"}) == "\\xc2\\x9b31m");  // ESC [ in one C1 control
    CHECK(on_terminal({"a\\b"}) == "a\\b");          // a backslash does no harm
    CHECK(on_terminal({"\xff\xfe\n"}) == "\\xff\\xfe\n");
    CHECK(on_terminal({""}).empty());
    CHECK(on_terminal({}).empty());
}

TEST_CASE("stream: Output completes a character that was cut, at each of its bytes", "[unit][stream]") {
    const std::string text = "a한😀ü\n";
    std::vector<std::vector<std::string>> cuts;
    for (size_t i = 0; i <= text.size(); ++i)
        cuts.push_back({text.substr(0, i), text.substr(i)});
    std::vector<std::string> bytes;
    for (const char byte : text)
        bytes.emplace_back(1, byte);
    cuts.push_back(bytes);
    for (const auto& pieces : cuts) {
        INFO(pieces.size() << " pieces, the first of " << pieces[0].size() << " bytes");
        CHECK(on_terminal(pieces) == text);
    }
}

TEST_CASE("stream: Output escapes what is cut, and then goes on otherwise", "[unit][stream]") {
    CHECK(on_terminal({"\xed\x95", "x\n"}) == "\\xed\\x95x\n");
    CHECK(on_terminal({"\xf0", "\xf0\x9f\x98\x80\n"}) == "\\xf0😀\n");
    CHECK(on_terminal({"\xc2", "\x9b\n"}) == "\\xc2\\x9b\n");  // a C1 control, cut to pass unseen
    CHECK(on_terminal({"\x1b", "[2J\n"}) == "\\x1b[2J\n");
}

TEST_CASE("stream: Output keeps nothing back for ever", "[unit][stream]") {
    // Bytes that no character can begin or continue with are not kept for a rest that can't come.
    CHECK(on_terminal({"\xff"}) == "\\xff");
    CHECK(on_terminal({"\x80"}) == "\\x80");
    CHECK(on_terminal({"\x80\x80\x80\x80\x80"}) == "\\x80\\x80\\x80\\x80\\x80");
}

TEST_CASE("stream: connect_to_any() tries one address after the other", "[unit][stream]") {
    const Peer server = Peer::bound(SOCK_STREAM);
    const FreePort nobody, nobody_else;
    const auto address = [](const std::string& port) {
        return resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(port)), SOCK_STREAM).front();
    };
    const int fd = connect_to_any({address(nobody.text()), address(server.port())});
    Address peer;
    CHECK(getpeername(fd, peer.out(), peer.out_length()) == 0);
    CHECK(peer == server.address());
    close(fd);

    try {
        connect_to_any({address(nobody.text()), address(nobody_else.text())});
        FAIL("nothing thrown");
    } catch (const SocketError& error) {
        CHECK(error.code().value() == ECONNREFUSED);
    }
    const int next = dup(0);  // and left no descriptor behind
    CHECK(next == fd);
    close(next);
}
