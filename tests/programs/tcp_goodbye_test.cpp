// tcp/goodbye: its stories word by word, and whether the kernel is of the same opinion.

#include "tests/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <cctype>
#include <csignal>
#include <fstream>
#include <regex>

#ifdef __linux__  // macOS tells no program of TIME_WAIT
namespace {

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

/// The table of a scene, with one blank where there are several, and a bar for each column.
std::vector<std::string> table_of(const std::string& scene, const std::string& host) {
    std::vector<std::string> rows;
    for (const std::string& line : lines_of(run({program("tcp/goodbye"), "--host", host, "--scene", scene}))) {
        if (line.rfind("  ", 0) != 0) continue;
        if (std::isupper(static_cast<unsigned char>(line.at(2))) != 0) break;  // the moral of the story
        if (line.size() < 48) throw Unexpected("no row of a table: " + line);
        const std::string what = std::regex_replace(line.substr(2, 45), std::regex(" +$"), "");
        rows.push_back(what + " | " + std::regex_replace(line.substr(47), std::regex("  +"), " | "));
    }
    return rows;
}

using Rows = std::vector<std::string>;

}  // namespace

TEST_CASE("goodbye: each scene", "[programs][tcp][goodbye]") {
    const std::string host = GENERATE(from_range(hosts()));
    INFO(host);
    const std::string head = " | client | server", open = "connect(client), accept() | ESTABLISHED | ESTABLISHED";
    CHECK(table_of("client-first", host) == Rows{head, open, "close(client): FIN | FIN_WAIT_2 | CLOSE_WAIT",
                                                 "recv(server) = 0 | FIN_WAIT_2 | CLOSE_WAIT",
                                                 "close(server): FIN | TIME_WAIT | no more"});
    CHECK(table_of("server-first", host) == Rows{head, open, "close(server): FIN | CLOSE_WAIT | FIN_WAIT_2",
                                                 "recv(client) = 0 | CLOSE_WAIT | FIN_WAIT_2",
                                                 "close(client): FIN | no more | TIME_WAIT"});
    CHECK(table_of("unread", host) == Rows{head, open, "send(client, \"hello\") = 5 | ESTABLISHED | ESTABLISHED",
                                           "close(server), 5 bytes unread: RST | CLOSED | no more",
                                           "recv(client) = -1 ECONNRESET | CLOSED | no more",
                                           "close(client) | no more | no more"});
    CHECK(table_of("linger", host) ==
          Rows{head, open, "setsockopt(client, SO_LINGER, 0 seconds) | ESTABLISHED | ESTABLISHED",
               "close(client): RST | no more | CLOSED", "recv(server) = -1 ECONNRESET | no more | CLOSED",
               "close(server) | no more | no more"});
    CHECK(table_of("late", host) == Rows{head, open, "close(server): FIN | CLOSE_WAIT | FIN_WAIT_2",
                                         "send(client, \"hello\") = 5 | CLOSED | no more",
                                         "send(client, \"hello\") = -1 EPIPE | CLOSED | no more",
                                         "close(client) | no more | no more"});
    CHECK(table_of("sigpipe", host) == Rows{"what the sender does about it | what becomes of the sender",
                                            fmt::format("nothing | killed by signal {}: Broken pipe", SIGPIPE),
                                            "signal(SIGPIPE, SIG_IGN) | send() = -1 EPIPE, and it lives",
                                            "send(..., MSG_NOSIGNAL): not on macOS | send() = -1 EPIPE, and it lives"});
}

namespace {

/// "client", "server" or "": which end of the connection that was made is left in TIME_WAIT, as the kernel's own table
/// has it after the process has ended (proc(5): 06). The ports are from the narration.
std::string left_in_time_wait(const std::string& scene) {
    Process process({program("tcp/goodbye"), "--scene", scene, "--trace"});
    process.expect_exit(0);
    std::smatch match;
    const std::regex connected("ESTABLISHED  127\\.0\\.0\\.1:(\\d+) <-> 127\\.0\\.0\\.1:(\\d+)");
    if (!std::regex_search(process.err(), match, connected)) throw Unexpected("no connection: " + process.describe());
    const std::string client = fmt::format("0100007F:{:04X}", std::stoi(match[1]));
    const std::string server = fmt::format("0100007F:{:04X}", std::stoi(match[2]));
    std::ifstream table("/proc/net/tcp");
    std::string left;
    for (std::string line; std::getline(table, line);) {
        if (line.find(client + " " + server + " 06") != std::string::npos) left += "client";
        if (line.find(server + " " + client + " 06") != std::string::npos) left += "server";
    }
    return left;
}

}  // namespace

TEST_CASE("goodbye: who is left in TIME_WAIT, by the kernel's table", "[programs][tcp][goodbye]") {
    if (!std::ifstream("/proc/net/tcp").good()) return skip("no /proc/net/tcp");
    CHECK(left_in_time_wait("client-first") == "client");
    CHECK(left_in_time_wait("server-first") == "server");
    CHECK(left_in_time_wait("unread") == "");
    CHECK(left_in_time_wait("linger") == "");
    CHECK(left_in_time_wait("late") == "");
}
#endif

TEST_CASE("goodbye: without an argument, all scenes in their order", "[programs][tcp][goodbye]") {
    const std::string all = run({program("tcp/goodbye")});
    std::vector<std::string> titles;
    for (const std::string& line : lines_of(all))
        if (!line.empty() && line[0] != ' ') titles.push_back(line.substr(0, line.find(':')));
    CHECK(titles == std::vector<std::string>{"client-first", "server-first", "unread", "linger", "late", "sigpipe"});
    CHECK_THAT(all, ContainsSubstring(run({program("tcp/goodbye"), "--scene", "unread"})));
}

TEST_CASE("goodbye: wrong use", "[programs][tcp][goodbye]") {
    Process process({program("tcp/goodbye"), "--scene", "tears\x1b"});
    process.expect_exit(2);
    CHECK(process.err() ==
          "--scene tears\\x1b: expected one of: client-first, server-first, unread, linger, late, sigpipe\n");
}

TEST_CASE("goodbye: the child is told apart in the narration", "[programs][tcp][goodbye]") {
    Process process({program("tcp/goodbye"), "--scene", "sigpipe", "--trace"});
    process.expect_exit(0);
    const std::regex child("\\[child \\d+\\] tcp/goodbye\\.cpp:\\d+  send\\(ends\\.client, \"hello\", 5, flags\\)\n");
    CHECK(std::regex_search(process.err(), child));
    CHECK(count_of(process.err(), "= -1 EPIPE (Broken pipe)") == 2);  // the first did not live to tell
}
