// With narration off a program makes the socket calls that stand in its source, in that order, and no others: CALL and
// TRY add none. Seen with strace(1).

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>

namespace {

using Calls = std::vector<std::string>;

/// Is strace there, allowed to trace, and would it see nothing but the program? Skips if not.
bool has_strace() {
    if (!has_tool("strace")) return false;
    if (is_sanitized()) {
        skip("sanitizers make system calls of their own");
        return false;
    }
    Process strace({"strace", "-o", "/dev/null", "true"});
    if (strace.wait() == Ending{0, 0}) return true;
    skip("strace may not trace here: " + strace.err());
    return false;
}

Process::Command traced(const std::string& log, const Process::Command& command) {
    Process::Command whole{"strace", "-o", log, "-e", "trace=%network,close", "-e", "signal=none"};
    whole.insert(whole.end(), command.begin(), command.end());
    return whole;
}

/// The socket calls in strace's log: "socket(3)", with the descriptor that they are made on, or that socket() returns.
/// What the start of the program closed before its first socket doesn't count.
Calls calls_in(const std::string& log) {
    Calls calls;
    for (const std::string& line : lines_of(read_file(log))) {
        const size_t open = line.find('(');
        if (open == std::string::npos || line[0] == '+' || line[0] == '-') continue;
        const std::string name = line.substr(0, open);
        if (calls.empty() && name != "socket") continue;
        const std::string fd = name == "socket" ? line.substr(line.rfind(' ') + 1)
                                                : line.substr(open + 1, line.find_first_of(",)", open) - open - 1);
        calls.push_back(name + "(" + fd + ")");
    }
    return calls;
}

/// Serves one client that sends a line, and returns the server's calls from its first socket() to its end.
Calls server_calls(const std::string& server, const std::string& client) {
    const TempDir directory;
    const std::string log = directory / "log";
    Process::Command command{program(server)};
    if (takes_path(server)) {
        command.insert(command.end(), {"--path", directory / "socket"});
    } else {
        command.insert(command.end(), {"--port", "0"});
    }
    Process strace(traced(log, command));
    const std::string line = strace.expect_line(Stream::out, "listening on ");
    Process::Command client_command{program(client)};
    if (takes_path(server)) {
        client_command.insert(client_command.end(), {"--path", directory / "socket"});
    } else {
        client_command.insert(client_command.end(), {"--port", line.substr(line.rfind(':') + 1)});
    }
    const std::string reply = run(client_command, "hello\n");
    if (reply != "hello\n") throw Unexpected("not the right answer: " + reply);
    // It waits for the next client when it says so; then both end, strace when the program has.
    const std::string last = server == "udp/echo_server" ? "recvfrom(3," : "accept(3,";
    wait_until([&] { return count_of(read_file(log), last) == 2; }, "the server to wait for the next client");
    kill(-strace.pid(), SIGTERM);
    strace.expect_exit(0);
    return calls_in(log);
}

Calls client_calls(const std::string& client, const Server& server) {
    const TempDir directory;
    const std::string log = directory / "log";
    Process strace(traced(log, server.client(client)));
    strace.feed("hello\n");
    strace.expect(Stream::out, "hello\n");
    strace.close_input();
    strace.expect_exit(0);
    return calls_in(log);
}

}  // namespace

TEST_CASE("strace: the TCP pair makes the calls of its source", "[programs][strace][tcp]") {
    if (!has_strace()) return;
    CHECK(server_calls("tcp/echo_server", "tcp/echo_client") ==
          Calls{"socket(3)", "setsockopt(3)", "bind(3)", "listen(3)", "getsockname(3)", "accept(3)", "setsockopt(4)",
                "setsockopt(4)", "recvfrom(4)", "sendto(4)", "recvfrom(4)", "close(4)", "accept(3)"});
    const Server server = start_server("tcp/echo_server");
    // With a numeric host, getaddrinfo() asks nobody.
    CHECK(client_calls("tcp/echo_client", server) ==
          Calls{"socket(3)", "connect(3)", "sendto(3)", "recvfrom(3)", "shutdown(3)", "recvfrom(3)", "close(3)"});
}

TEST_CASE("strace: the UDP pair makes the calls of its source", "[programs][strace][udp]") {
    if (!has_strace()) return;
    CHECK(server_calls("udp/echo_server", "udp/echo_client") ==
          Calls{"socket(3)", "bind(3)", "getsockname(3)", "recvfrom(3)", "sendto(3)", "recvfrom(3)"});
    const Server server = start_server("udp/echo_server");
    CHECK(client_calls("udp/echo_client", server) == Calls{"socket(3)", "sendto(3)", "recvfrom(3)", "close(3)"});
}

TEST_CASE("strace: the Unix pair makes the calls of its source", "[programs][strace][unix]") {
    if (!has_strace()) return;
    CHECK(server_calls("unix/echo_server", "unix/echo_client") ==
          Calls{"socket(3)", "bind(3)", "listen(3)", "getsockname(3)", "accept(3)", "setsockopt(4)", "setsockopt(4)",
                "recvfrom(4)", "sendto(4)", "recvfrom(4)", "close(4)", "accept(3)"});
    const Server server = start_server("unix/echo_server");
    CHECK(client_calls("unix/echo_client", server) ==
          Calls{"socket(3)", "connect(3)", "sendto(3)", "recvfrom(3)", "shutdown(3)", "recvfrom(3)", "close(3)"});
}
