// --trace-log: one line per event, for scripts/wire.

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/narration.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <ctime>
#include <map>
#include <sys/socket.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

namespace {

struct Entry {
    long long time = 0;  ///< nanoseconds since 1970
    int pid = 0, thread = 0;
    std::string kind, place, text;
};

/// Reads a log; throws std::runtime_error at a line that is not as it should be.
std::vector<Entry> read_log(const std::string& path) {
    std::vector<Entry> entries;
    for (const std::string& line : lines_of(read_file(path))) {
        std::vector<std::string> fields;
        for (size_t begin = 0; begin <= line.size();) {
            const size_t end = std::min(line.find('\t', begin), line.size());
            fields.push_back(line.substr(begin, end - begin));
            begin = end + 1;
        }
        if (fields.size() != 6) throw std::runtime_error("not six fields: " + line);
        entries.push_back(
            {std::stoll(fields[0]), std::stoi(fields[1]), std::stoi(fields[2]), fields[3], fields[4], fields[5]});
    }
    return entries;
}

narrator::Settings log_to(const std::string& path) {
    narrator::Settings settings;
    settings.log = path;
    return settings;
}

long long now() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return time.tv_sec * 1'000'000'000LL + time.tv_nsec;
}

}  // namespace

TEST_CASE("log: time, process, thread, kind, place and text of each event", "[unit][log]") {
    const TempDir directory;
    const std::string path = directory / "log";
    const int line = __LINE__ + 5;
    const long long before = now();
    Process child([&] {
        narrator::start(log_to(path));
        fmt::print("before ");
        CALL(socket(AF_INET, SOCK_STREAM, 0));
        TRY(listen(-1, 1));
        fmt::print("after");
    });
    child.expect_exit(0);
    const long long after = now();
    CHECK(child.out() == "before after");
    CHECK(child.err().empty());  // only --trace speaks

    const std::vector<Entry> log = read_log(path);
    REQUIRE(log.size() == 5);
    const std::string place = "tests/unit/narrator_log_test.cpp:";
    const std::vector<std::pair<std::string, std::string>> expected{{"call", "socket(AF_INET, SOCK_STREAM, 0)"},
                                                                    {"result", "= 3"},
                                                                    {"state", "fd 3  new TCP socket: CLOSED"},
                                                                    {"call", "listen(-1, 1)"},
                                                                    {"result", "= -1 EBADF (Bad file descriptor)"}};
    long long last = before;
    for (size_t i = 0; i < expected.size(); ++i) {
        INFO(expected[i].second);
        CHECK(log[i].kind == expected[i].first);
        CHECK(log[i].text == expected[i].second);
        CHECK(log[i].pid == child.pid());
        CHECK(log[i].thread == 0);
        CHECK(log[i].place == place + std::to_string(i < 3 ? line : line + 1));
        CHECK(log[i].time >= last);
        last = log[i].time;
    }
    CHECK(last <= after);
    CHECK(read_file(path).find("\x1b") == std::string::npos);
}

TEST_CASE("log: has no colours, and the narration is the same beside it", "[unit][log]") {
    const TempDir directory;
    const std::string path = directory / "log";
    Process child(
        [&] {
            narrator::Settings settings = log_to(path);
            settings.trace = true;
            narrator::start(settings);
            CALL(socket(AF_INET, SOCK_STREAM, 0));
        },
        {.terminal = Terminal::all});
    child.expect_exit(0);
    CHECK_THAT(child.all(Stream::terminal), ContainsSubstring("\x1b[1msocket(AF_INET, SOCK_STREAM, 0)\x1b[0m\r\n"));
    CHECK(read_log(path).size() == 3);
    CHECK(read_file(path).find("\x1b") == std::string::npos);
}

TEST_CASE("log: threads and children write whole lines into the same file, each in the order of time", "[unit][log]") {
    const TempDir directory;
    const std::string path = directory / "log";
    Process child([&] {
        narrator::start(log_to(path));
        const auto work = [] {
            for (int i = 0; i < 50; ++i)
                TRY(listen(-1, 1));
        };
        std::vector<std::thread> threads;
        for (int i = 0; i < 3; ++i)
            threads.emplace_back(work);
        for (std::thread& thread : threads)
            thread.join();
        if (fork() == 0) {
            work();
            _exit(0);
        }
        wait(nullptr);
    });
    child.expect_exit(0);
    const std::vector<Entry> log = read_log(path);
    CHECK(log.size() == 4 * 50 * 2);
    size_t of_child = 0;
    std::vector<size_t> of_thread(4);
    std::map<std::pair<pid_t, int>, decltype(Entry::time)> last;  // of two, one may be overtaken on its way to the file
    for (size_t i = 0; i < log.size(); ++i) {
        auto& before = last[{log[i].pid, static_cast<int>(log[i].thread)}];
        CHECK(log[i].time >= before);
        before = log[i].time;
        if (log[i].pid != child.pid()) {
            ++of_child;
        } else {
            ++of_thread.at(static_cast<size_t>(log[i].thread));
        }
    }
    CHECK(of_child == 100);
    CHECK(of_thread == std::vector<size_t>{0, 100, 100, 100});
}

TEST_CASE("log: begins anew", "[unit][log]") {
    const TempDir directory;
    const std::string path = directory / "log";
    write_file(path, "old\n");
    Process child([&] {
        narrator::start(log_to(path));
        TRY(listen(-1, 1));
    });
    child.expect_exit(0);
    CHECK(read_log(path).size() == 2);
}

TEST_CASE("log: its descriptor is none of the program's first numbers", "[unit][log]") {
    const TempDir directory;
    Process child([&] {
        narrator::start(log_to(directory / "log"));
        fmt::print("{}", CALL(socket(AF_INET, SOCK_STREAM, 0)));
    });
    child.expect_exit(0);
    CHECK(child.out() == "3");
}

TEST_CASE("log: can't be written", "[unit][log]") {
    Process child([] { narrator::start(log_to("/no/such/directory/log")); });
    child.expect_exit(99);
    CHECK_THAT(child.err(),
               ContainsSubstring("--trace-log /no/such/directory/log: No such file or directory (ENOENT)"));
}
