// --fault: a chosen call fails without being made.

#include "common/call.hpp"
#include "common/narrator.hpp"
#include "tests/catch.hpp"
#include "tests/support/narration.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Lines = std::vector<std::string>;

int made = 0;

int work() { return ++made; }
int other_work() { return ++made; }

/// Calls work() and other_work() in turn, six calls in all, and returns their results and how many were made.
std::string results(std::vector<narrator::Fault> faults) {
    Process child([&] {
        narrator::start(trace_settings(false, std::move(faults)));
        for (int i = 0; i < 3; ++i) {
            errno = 0;
            const int first = TRY(work());
            fmt::print("{}{} ", first, first == -1 ? fmt::format(":{}", errno) : "");
            const int second = TRY(other_work());
            fmt::print("{}{} ", second, second == -1 ? fmt::format(":{}", errno) : "");
        }
        fmt::print("made {}", made);
    });
    child.expect_exit(0);
    return child.out();
}

}  // namespace

TEST_CASE("faults: the Nth call of a name is not made", "[unit][faults]") {
    CHECK(results({}) == "1 2 3 4 5 6 made 6");
    CHECK(results({{"work", EDOM, 1}}) == fmt::format("-1:{} 1 2 3 4 5 made 5", EDOM));
    CHECK(results({{"work", EDOM, 2}}) == fmt::format("1 2 -1:{} 3 4 5 made 5", EDOM));
    CHECK(results({{"work", EDOM, 4}}) == "1 2 3 4 5 6 made 6");
    CHECK(results({{"never", EDOM, 1}}) == "1 2 3 4 5 6 made 6");
}

TEST_CASE("faults: any counts all calls", "[unit][faults]") {
    CHECK(results({{"any", EDOM, 4}}) == fmt::format("1 2 3 -1:{} 4 5 made 5", EDOM));
    CHECK(results({{"any", EDOM, 7}}) == "1 2 3 4 5 6 made 6");
}

TEST_CASE("faults: several at once, each call counted whether it failed or not", "[unit][faults]") {
    CHECK(results({{"work", EDOM, 1}, {"work", ERANGE, 2}, {"other_work", EDOM, 3}}) ==
          fmt::format("-1:{} 1 -1:{} 2 3 -1:{} made 3", EDOM, ERANGE, EDOM));
}

TEST_CASE("faults: are told, even where nothing else is", "[unit][faults]") {
    const int line = __LINE__ + 3;
    Process child([] {
        narrator::start(trace_settings(false, {{"work", EDOM, 1}}));
        TRY(work());
    });
    child.expect_exit(0);
    CHECK(child.err() ==
          fmt::format("tests/unit/faults_test.cpp:{}: --fault: work is not made, and fails with EDOM\n", line));
}

TEST_CASE("faults: are told in the narration", "[unit][faults]") {
    const Lines lines =
        narrated([] { TRY(socket(AF_INET, SOCK_STREAM, 0)); }, trace_settings(true, {{"socket", EMFILE, 1}}));
    REQUIRE(lines.size() == 3);
    CHECK(lines[0] == "socket(AF_INET, SOCK_STREAM, 0)");
    CHECK_THAT(lines[1], ContainsSubstring(": --fault: socket is not made, and fails with EMFILE"));
    CHECK(lines[2] == "= -1 EMFILE (Too many open files)  (injected)");
}

TEST_CASE("faults: CALL throws, and repeats what failed with EINTR", "[unit][faults]") {
    Process child([] {
        narrator::start(trace_settings(false, {{"work", EINTR, 1}, {"work", EDOM, 3}}));
        fmt::print("{} ", CALL(work()));
        try {
            CALL(work());
        } catch (const SocketError& error) {
            fmt::print("{} ", error.code().value() == EDOM);
        }
        fmt::print("made {}", made);
    });
    child.expect_exit(0);
    CHECK(child.out() == "1 true made 1");
}

TEST_CASE("faults: a descriptor that was not closed stays open", "[unit][faults]") {
    Process child([] {
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        narrator::start(trace_settings(false, {{"close", EIO, 1}}));
        const bool failed = TRY(close(fd)) == -1 && errno == EIO;
        fmt::print("{} ", failed);
        fmt::print("{}", TRY(close(fd)));
    });
    child.expect_exit(0);
    CHECK(child.out() == "true 0");
}
