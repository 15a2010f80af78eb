// tcp/nagle, keepalive, buffers and urgent: what they measure, and what they claim of the kernel.

#include "tests/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <memory>
#include <regex>

namespace {

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

/// The numbers that stand where the pattern has a group, of every match in the text.
[[maybe_unused]] std::vector<double> numbers_in(const std::string& text, const std::string& pattern) {
    std::vector<double> numbers;
    const std::regex regex(pattern);
    for (auto match = std::sregex_iterator(text.begin(), text.end(), regex); match != std::sregex_iterator(); ++match) {
        for (size_t i = 1; i < match->size(); ++i)
            numbers.push_back(std::stod((*match)[i]));
    }
    return numbers;
}

std::unique_ptr<Process> start(const std::string& name, const std::string& host, Process::Command arguments = {}) {
    arguments.insert(arguments.begin(), {program(name), "--host", host, "--port", "0"});
    return std::make_unique<Process>(arguments);
}

}  // namespace

#ifdef __linux__  // elsewhere an ACK is delayed otherwise, and the kernel tells less
TEST_CASE("nagle: two writes wait for the delayed ACK, and three remedies end that", "[programs][tcp][nagle]") {
    std::vector<std::unique_ptr<Process>> runs;
    for (const std::string& host : hosts())
        runs.push_back(start("tcp/nagle", host, {"--rounds", "6"}));
    for (const auto& process : runs) {
        process->expect_exit(0);
        INFO(process->describe());
        const std::string& out = process->out();
        const std::vector<double> medians = numbers_in(out, "half of the rounds took up to ([\\d.]+) ms");
        REQUIRE(medians.size() == 4);
        CHECK(medians[0] > 35);
        for (size_t way = 1; way < 4; ++way)
            CHECK(medians[way] < 35);
        CHECK(numbers_in(out, "segments a request: ([\\d.]+)") == std::vector<double>{2, 2, 2, 1});
        CHECK(count_of(out, "the server's kernel delays an ACK by 40 ms") == 1);
        const std::vector<double> bars = numbers_in(out, " (?:ms|on) +(\\d+)  #+\n");
        double rounds = 0;
        for (const double count : bars)
            rounds += count;
        CHECK(rounds == 4 * 6);
    }
}

TEST_CASE("nagle: what fills segments is not held back", "[programs][tcp][nagle]") {
    const auto process = start("tcp/nagle", "127.0.0.1", {"--rounds", "6", "--body", "70000"});
    process->expect_exit(0);
    INFO(process->describe());
    for (const double median : numbers_in(process->out(), "half of the rounds took up to ([\\d.]+) ms"))
        CHECK(median < 35);
    for (const double segments : numbers_in(process->out(), "segments a request: ([\\d.]+)"))
        CHECK(segments >= 2);
}

TEST_CASE("keepalive: a dead peer is found by probes, and by TCP_USER_TIMEOUT", "[programs][tcp][keepalive]") {
    std::vector<std::unique_ptr<Process>> runs;
    for (const std::string& host : hosts())
        runs.push_back(start("tcp/keepalive", host, {"--count", "3", "--user-timeout", "3000"}));
    for (const auto& process : runs) {
        process->expect_exit(0);
        INFO(process->describe());
        const std::string& out = process->out();
        if (out.find("can't be shown") != std::string::npos) return skip("no SO_ATTACH_FILTER, and no user namespaces");
        CHECK_THAT(out, ContainsSubstring("its peer is alive") && ContainsSubstring("the probe was answered"));
        CHECK_THAT(out, ContainsSubstring("by default: keepalive off, first probe after ") &&
                            ContainsSubstring("as set: keepalive on, first probe after 1 s, then every 1 s, lost after "
                                              "3 without an answer"));
        CHECK(std::regex_search(out, std::regex("unanswered: [1-3] probes, 0 retransmissions")));
        CHECK(std::regex_search(out, std::regex("unanswered: 0 probes, [1-9] retransmissions")));
        CHECK_THAT(out, ContainsSubstring("keepalive timer: ") && ContainsSubstring("retransmission timer: "));
        const std::vector<double> ends = numbers_in(out, "([\\d.]+) s  recv\\(\\) = -1 ETIMEDOUT, CLOSED");
        REQUIRE(ends.size() == 2);
        CHECK(ends[0] > 3.9);  // a second of quiet, and three without an answer to the probe
        CHECK(ends[0] < 15);
        CHECK(ends[1] > 2.99);
        CHECK(ends[1] < 15);
    }
}

TEST_CASE("keepalive: where a filter is not allowed, it goes into a namespace of its own",
          "[programs][tcp][keepalive]") {
    const std::string host = GENERATE(from_range(hosts()));
    const auto process =
        start("tcp/keepalive", host, {"--idle", "0", "--user-timeout", "1", "--fault", "setsockopt:EPERM"});
    process->expect_exit(0);
    const std::string& out = process->out();
    INFO(out);
    if (out.find("can't be shown") != std::string::npos) return skip("no user namespaces here");
    CHECK_THAT(out, StartsWith("setsockopt(SO_ATTACH_FILTER) = -1 EPERM\nin a network namespace of its own:\n"));
    CHECK(count_of(out, "recv() = -1 ETIMEDOUT, CLOSED") == 1);
}

TEST_CASE("keepalive: where that is not allowed either, it says so", "[programs][tcp][keepalive]") {
    const auto process =
        start("tcp/keepalive", "127.0.0.1", {"--idle", "0", "--fault", "setsockopt:EPERM", "--fault", "unshare:EPERM"});
    process->expect_exit(0);
    CHECK(process->out() ==
          "setsockopt(SO_ATTACH_FILTER) = -1 EPERM\nunshare(CLONE_NEWUSER | CLONE_NEWNET) = -1 EPERM\n"
          "no peer can be made to die here, on one machine: the rest can't be shown\n");
}

TEST_CASE("buffers: where the bytes are that nobody reads", "[programs][tcp][buffers]") {
    std::vector<std::unique_ptr<Process>> runs;
    for (const std::string& host : hosts())
        runs.push_back(start("tcp/buffers", host, {"--limit", "50"}));
    for (const auto& process : runs) {
        process->expect_exit(0);
        INFO(process->describe());
        const std::string& out = process->out();
        CHECK_THAT(out, ContainsSubstring("asked for 20000, is 40000\n") &&  // twice as much (socket(7))
                            ContainsSubstring("asked for 50000, is 100000\n"));
        CHECK_THAT(out, ContainsSubstring("timer: zero window probe"));
        // What send() took is there, on this side or that.
        const std::vector<double> taken =
            numbers_in(out, "send\\(\\) of 3000 bytes = (\\d+)(?:, a part)?, (\\d+) times?\n");
        double total = 0;
        for (size_t i = 0; i + 1 < taken.size(); i += 2)
            total += taken[i] * taken[i + 1];
        CHECK(numbers_in(out, "= -1 EAGAIN; (\\d+) bytes went before") == std::vector<double>{total});
        const std::vector<double> where =
            numbers_in(out, "in the client's buffer (\\d+) \\((\\d+) not even sent\\), in the server's (\\d+)");
        REQUIRE(where.size() == 9);
        CHECK(where[0] + where[2] == total);
        CHECK(where[1] <= where[0]);
        CHECK(where[2] > 0);
        // Then the server has read, and the rest is still there.
        const std::vector<double> read = numbers_in(out, "when it has read (\\d+) bytes");
        REQUIRE(read.size() == 1);
        CHECK(where[3] + where[5] == total - read[0]);
        // A send() that waits takes a part within the time, and nothing once there is no room at all.
        const std::vector<double> part = numbers_in(out, "send\\(\\) of 8\\d+ bytes = (\\d+), after (\\d+) ms");
        REQUIRE(part.size() >= 2);
        CHECK(part[0] > 0);
        CHECK(part[1] >= 50);
        CHECK(where[6] + where[8] >= total - read[0] + part[0]);
        CHECK_THAT(out, ContainsSubstring("= -1 EAGAIN, after "));
    }
}

TEST_CASE("buffers: sizes of the kernel's choice, and the smallest", "[programs][tcp][buffers]") {
    const auto free = start("tcp/buffers", "127.0.0.1",
                            {"--send-buffer", "0", "--receive-buffer", "0", "--piece", "100000", "--limit", "20"});
    const auto small =
        start("tcp/buffers", "127.0.0.1", {"--send-buffer", "1", "--receive-buffer", "1", "--limit", "20"});
    free->expect_exit(0);
    small->expect_exit(0);
    CHECK_THAT(free->out(), ContainsSubstring("and the kernel may change that as it sees fit"));
    const std::vector<double> much = numbers_in(free->out(), "(\\d+) bytes went before");
    const std::vector<double> little = numbers_in(small->out(), "(\\d+) bytes went before");
    REQUIRE(much.size() == 1);
    REQUIRE(little.size() == 1);
    CHECK(much[0] > 100'000);
    CHECK(little[0] < 20'000);
}
#endif

TEST_CASE("urgent: the story of the urgent byte", "[programs][tcp][urgent]") {
    const std::string host = GENERATE(from_range(hosts()));
    const auto process = start("tcp/urgent", host);
    process->expect_exit(0);
    const std::string& out = process->out();
    INFO(out);
    [[maybe_unused]] const size_t inlined = out.find("with SO_OOBINLINE"), two = out.find("two: "),
                                  lost = out.find("the first is lost"), marked = out.find("the same with SO_OOBINLINE");
    REQUIRE(marked != std::string::npos);
    const std::string apart = out.substr(0, inlined);
    CHECK_THAT(apart, ContainsSubstring("SIGURG came; poll(): POLLIN POLLPRI\n") &&
                          ContainsSubstring("recv(MSG_OOB) = 1: \"!\"\n  server  recv() = 3: \"abc\"\n"
                                            "  server  at the mark: recv() = 3: \"def\"\n") &&
                          ContainsSubstring("recv(MSG_OOB) = -1 EINVAL\n"));
    CHECK_THAT(out.substr(inlined, two - inlined),
               ContainsSubstring("recv(MSG_OOB) = -1 EINVAL\n  server  recv() = 3: \"abc\"\n"
                                 "  server  at the mark: recv() = 4: \"!def\"\n"));
#ifdef __linux__
    CHECK_THAT(out.substr(two, lost - two),
               ContainsSubstring("recv(MSG_OOB) = 1: \"2\"\n  server  recv() = 5: \"abc1d\"\n"
                                 "  server  at the mark: recv() = 2: \"ef\"\n"));
    CHECK_THAT(out.substr(lost, marked - lost),
               ContainsSubstring("recv(MSG_OOB) = 1: \"2\"\n  server  at the mark: recv() = 2: \"ef\"\n") &&
                   !ContainsSubstring("= 1: \"1\""));
    CHECK_THAT(out.substr(marked),
               ContainsSubstring("recv() = 1: \"1\"\n  server  at the mark: recv() = 3: \"2ef\"\n"));
#endif
}
