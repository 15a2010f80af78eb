// What the narrator says of a call, and that the call doesn't notice.

#include "common/narrator.hpp"

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/support/narration.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <type_traits>
#include <unistd.h>

namespace {

using Lines = std::vector<std::string>;

// Calls of these names that fail as often as they are told to, with EINTR.
int failures = 0;
int made = 0;

int interrupted() {
    ++made;
    if (failures-- <= 0) return 7;
    errno = EINTR;
    return -1;
}

namespace fake {
int close(int) { return interrupted(); }
int connect(int) { return interrupted(); }
int recv(int) { return interrupted(); }
}  // namespace fake

/// Runs a function in a child, and returns what it prints on standard output.
std::string printed(const std::function<void()>& body) {
    Process child(body);
    child.expect_exit(0);
    return child.out();
}

}  // namespace

TEST_CASE("narrator: a call's text as it is written, its place, its result", "[unit][narrator]") {
    Process child([] {
        narrator::start(trace_settings());
        CALL(socket(AF_INET, SOCK_STREAM, 0));
        const int line = __LINE__ - 1;
        fmt::print("{}", line);
    });
    child.expect_exit(0);
    // Neither AF_INET nor SOCK_STREAM has become its number.
    CHECK(lines_of(child.err()) ==
          Lines{"tests/unit/narrator_test.cpp:" + child.out() + "  socket(AF_INET, SOCK_STREAM, 0)", "    = 3",
                "    fd 3  new TCP socket: CLOSED"});
}

TEST_CASE("narrator: errors by name", "[unit][narrator]") {
    const Lines lines = narrated([] { TRY(listen(-1, SOMAXCONN)); });
    CHECK(lines == Lines{"listen(-1, SOMAXCONN)", "= -1 EBADF (Bad file descriptor)"});
}

TEST_CASE("narrator: getaddrinfo's errors are its own", "[unit][narrator]") {
    const Lines lines = narrated([] {
        errno = 0;
        try {
            resolve(std::string(64, 'a'), 1, SOCK_STREAM);
        } catch (const ResolveError&) {
        }
    });
    REQUIRE(lines.size() == 2);
    CHECK_THAT(lines[0], ContainsSubstring("getaddrinfo(host.c_str(), service.c_str(), &hints, &list)"));
    CHECK_THAT(lines[1], StartsWith("= "));
    CHECK_THAT(lines[1], ContainsSubstring("("));
}

TEST_CASE("narrator: is silent unless it was woken", "[unit][narrator]") {
    Process child([] {
        CALL(socket(AF_INET, SOCK_STREAM, 0));
        TRY(listen(-1, SOMAXCONN));
        narrator::start({});
        CALL(socket(AF_INET, SOCK_STREAM, 0));
    });
    child.expect_exit(0);
    CHECK(child.out().empty());
    CHECK(child.err().empty());
}

TEST_CASE("narrator: result and errno come through untouched", "[unit][narrator]") {
    for (const bool trace : {false, true}) {
        INFO("trace " << trace);
        const std::string results = printed([=] {
            narrator::start(trace_settings(trace));
            // The narrator looks at them with getsockopt() and getpeername(), which fail on most of these.
            int pair[2];
            CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
            CALL(socket(AF_INET, SOCK_DGRAM, 0));
            errno = 4711;
            fmt::print("{} ", CALL(socket(AF_INET, SOCK_STREAM, 0)));
            fmt::print("{} ", errno);
            errno = 4711;
            fmt::print("{} ", TRY(listen(-1, 1)));
            fmt::print("{} ", errno);
            errno = 4711;
            char byte = 0;
            fmt::print("{} ", TRY(recv(6, &byte, 1, 0)));
            fmt::print("{} ", errno);
        });
        CHECK(results == fmt::format("6 4711 -1 {} -1 {} ", EBADF, ENOTCONN));
    }
    char byte = 0;
    const auto received = TRY(recv(-1, &byte, 1, 0));
    static_assert(std::is_same_v<decltype(received), const ssize_t>);
}

TEST_CASE("narrator: arguments are evaluated once", "[unit][narrator]") {
    for (const bool trace : {false, true}) {
        INFO("trace " << trace);
        const std::string evaluations = printed([=] {
            narrator::start(trace_settings(trace));
            int count = 0;
            TRY(listen(-1, ++count));
            CALL(socket(AF_INET, SOCK_STREAM, (++count, 0)));
            fmt::print("{}", count);
        });
        CHECK(evaluations == "2");
    }
}

TEST_CASE("narrator: CALL makes an interrupted call again, but not close and connect", "[unit][narrator]") {
    failures = 2, made = 0;
    CHECK(CALL(fake::recv(1)) == 7);
    CHECK(made == 3);

    failures = 1, made = 0;
    CHECK_THROWS_AS(CALL(fake::close(1)), SocketError);
    CHECK(made == 1);

    failures = 1, made = 0;
    CHECK_THROWS_AS(CALL(fake::connect(1)), SocketError);
    CHECK(made == 1);
}

TEST_CASE("narrator: TRY returns every failure, EINTR too", "[unit][narrator]") {
    failures = 1, made = 0;
    CHECK(TRY(fake::recv(1)) == -1);
    CHECK(errno == EINTR);
    CHECK(made == 1);
}

TEST_CASE("narrator: each try of an interrupted call is told", "[unit][narrator]") {
    const Lines lines = narrated([] {
        failures = 1;
        CALL(fake::recv(1));
    });
    CHECK(lines == Lines{"fake::recv(1)", "= -1 EINTR (Interrupted system call)", "fake::recv(1)", "= 7"});
}

TEST_CASE("narrator: a call that had to succeed throws where, what, why and what to do", "[unit][narrator]") {
    const int line = __LINE__ + 2;
    try {
        CALL(bind(-1, nullptr, 0));
        FAIL("no exception");
    } catch (const SocketError& error) {
        CHECK(error.code().value() == EBADF);
        CHECK(std::string(error.what()) ==
              fmt::format("tests/unit/narrator_test.cpp:{}: bind(-1, nullptr, 0): Bad file descriptor (EBADF): this "
                          "descriptor is not open: was it closed already?",
                          line));
    }
}

TEST_CASE("narrator: names of calls", "[unit][narrator]") {
    const auto name = [](const char* text) { return narrator::name_of({text, "", 0}); };
    CHECK(name("bind(listener, address, length)") == "bind");
    CHECK(name("::bind(a, b(c))") == "bind");
    CHECK(name("std::chrono::now ()") == "now");
    CHECK(name("variable") == "variable");
    CHECK(name("") == "");
}

TEST_CASE("narrator: a call that blocked says how long", "[unit][narrator]") {
    const Lines lines = narrated([] { CALL(poll(nullptr, 0, 30)); });
    REQUIRE(lines.size() == 2);
    double milliseconds = 0;
    char rest = 0;
    REQUIRE(sscanf(lines[1].c_str(), "= 0  (blocked %lf ms%c", &milliseconds, &rest) == 2);
    CHECK(rest == ')');
    CHECK(milliseconds >= 29.9);
    CHECK(milliseconds < 5000);
}

TEST_CASE("narrator: a call that did not block says nothing of it", "[unit][narrator]") {
    const Lines lines = narrated([] {
        for (int i = 0; i < 20; ++i)
            TRY(listen(-1, 1));
    });
    int blocked = 0;  // the kernel may have put us to sleep for a reason of its own, but not each time
    for (const std::string& line : lines)
        blocked += line.find("blocked") != std::string::npos ? 1 : 0;
    CHECK(lines.size() == 40);
    CHECK(blocked < 10);
}

TEST_CASE("narrator: threads and forked children are labelled", "[unit][narrator]") {
    const Lines lines = narrated([] {
        TRY(listen(-1, 1));
        std::thread second([] { TRY(listen(-1, 2)); });
        second.join();
        const pid_t child = fork();
        if (child == 0) {
            TRY(listen(-1, 3));
            _exit(0);
        }
        waitpid(child, nullptr, 0);
        fmt::print(stderr, "pid {}\n", child);
    });
    REQUIRE(lines.size() == 7);
    const std::string pid = lines.back().substr(4);
    CHECK(lines[0] == "listen(-1, 1)");
    CHECK(lines[2] == "[thread 1] listen(-1, 2)");
    CHECK_THAT(lines[3], StartsWith("[thread 1] = -1 EBADF"));
    CHECK(lines[4] == "[child " + pid + "] listen(-1, 3)");
    CHECK_THAT(lines[5], StartsWith("[child " + pid + "] = -1 EBADF"));
}

TEST_CASE("narrator: many threads at once keep the lines of one call together", "[unit][narrator]") {
    const Lines lines = narrated([] {
        std::vector<std::thread> threads;
        for (int i = 0; i < 4; ++i) {
            threads.emplace_back([] {
                for (int j = 0; j < 50; ++j)
                    close(CALL(socket(AF_INET, SOCK_DGRAM, 0)));
            });
        }
        for (std::thread& thread : threads)
            thread.join();
    });
    int calls = 0;
    for (const std::string& line : lines) {
        CHECK(line.rfind("[thread ", 0) == 0);
        calls += line.find("socket(AF_INET, SOCK_DGRAM, 0)") != std::string::npos ? 1 : 0;
    }
    CHECK(calls == 200);
}

TEST_CASE("narrator: Korean is chosen by LC_ALL, or else LANG", "[unit][narrator]") {
    const auto korean = [](std::vector<std::string> environment) {
        Process child([] { fmt::print("{}", narrator::speaks_korean()); }, {.environment = std::move(environment)});
        child.expect_exit(0);
        return child.out() == "true";
    };
    CHECK_FALSE(korean({}));
    CHECK(korean({"LANG=ko_KR.UTF-8"}));
    CHECK(korean({"LANG=ko"}));
    CHECK(korean({"LANG=en_US.UTF-8", "LC_ALL=ko_KR.UTF-8"}));
    CHECK_FALSE(korean({"LANG=ko_KR.UTF-8", "LC_ALL=C"}));
    CHECK(korean({"LANG=ko_KR.UTF-8", "LC_ALL="}));
}

TEST_CASE("narrator: colours are for terminals, unless NO_COLOR is set", "[unit][narrator]") {
    const auto said = [](Terminal terminal, std::vector<std::string> environment) {
        Process child(
            [] {
                narrator::start(trace_settings());
                CALL(socket(AF_INET, SOCK_DGRAM, 0));
            },
            {.environment = std::move(environment), .terminal = terminal});
        child.expect_exit(0);
        return child.all(terminal == Terminal::all ? Stream::terminal : Stream::err);
    };
    CHECK_THAT(said(Terminal::all, {}), ContainsSubstring("\x1b[1msocket(AF_INET, SOCK_DGRAM, 0)\x1b[0m"));
    CHECK(said(Terminal::all, {"NO_COLOR=1"}).find('\x1b') == std::string::npos);
    CHECK(said(Terminal::none, {}).find('\x1b') == std::string::npos);
}
