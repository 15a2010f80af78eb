// --step, with a terminal that the test types at.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <termios.h>
#include <unistd.h>

namespace {

/// A server that stands before its first call.
Process stepped(const std::string& name, const std::vector<std::string>& environment = {}) {
    return Process({program(name), "--port", "0", "--step"}, {.environment = environment, .terminal = Terminal::keys});
}

const std::string prompt = "    > ";

/// Waits until the program asks before this call.
void stop_at(Process& process, const std::string& call) {
    process.expect_line(Stream::err, call);
    process.expect(Stream::terminal, prompt);
}

/// What the terminal's owner cares about.
std::string settings_of(const Process& process) {
    termios settings{};
    REQUIRE(tcgetattr(process.terminal(), &settings) == 0);
    std::string text;
    for (const tcflag_t flags : {settings.c_iflag, settings.c_oflag, settings.c_cflag, settings.c_lflag})
        text += std::to_string(flags) + " ";
    for (const cc_t key : settings.c_cc)
        text += std::to_string(key) + " ";
    return text;
}

bool waits_for_lines(const Process& process) {
    termios settings{};
    REQUIRE(tcgetattr(process.terminal(), &settings) == 0);
    return (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0;
}

/// Presses Enter until the program has ended.
void step_to_the_end(Process& process) {
    for (;;) {
        try {
            process.expect(Stream::terminal, prompt);
        } catch (const Unexpected&) {
            if (process.is_running()) throw;
            return;
        }
        process.type("\n");
    }
}

}  // namespace

TEST_CASE("step: each call waits for Enter", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    server.expect(Stream::terminal,
                  "[Enter: make the call  n: run to the next of its name  c: run on  ?: explain  q: quit]");
    stop_at(server, "getaddrinfo(");
    for (const char* call : {"socket(", "setsockopt(", "bind(", "listen("}) {
        INFO(call);
        CHECK(server.err().find(call) == std::string::npos);  // nothing is told before its time
        server.type("\n");
        stop_at(server, call);
    }
    CHECK(server.err().find("LISTEN") == std::string::npos);
    CHECK(server.out().empty());
    server.type("\n");
    server.expect_line(Stream::err, "fd 3  CLOSED -> LISTEN");
    stop_at(server, "getsockname(");
    server.type("\r");  // a terminal in raw mode sends this for Enter
    CHECK_THAT(server.expect_line(Stream::out, "listening on"), StartsWith("listening on 127.0.0.1:"));
    stop_at(server, "accept(");
    CHECK(count_of(server.all(Stream::terminal), "[Enter:") == 1);  // the legend is told once
}

TEST_CASE("step: other keys do nothing", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    stop_at(server, "getaddrinfo(");
    server.type("x");
    server.expect(Stream::terminal, prompt);
    CHECK(server.err().find("=") == std::string::npos);
    CHECK(server.is_running());
}

TEST_CASE("step: c runs on, and goes on telling", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    stop_at(server, "getaddrinfo(");
    server.type("\n");
    stop_at(server, "socket(");
    server.type("c");
    server.expect_line(Stream::out, "listening on");
    server.expect_line(Stream::err, "accept(");
    CHECK(count_of(server.all(Stream::terminal), prompt) == 2);
}

TEST_CASE("step: n runs to the next call of the same name", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    stop_at(server, "getaddrinfo(");
    server.type("\n");
    stop_at(server, "socket(");
    server.type("\n");
    stop_at(server, "setsockopt(listener, SOL_SOCKET, SO_REUSEADDR");
    server.type("n");
    const std::string line = server.expect_line(Stream::out, "listening on");
    server.expect_line(Stream::err, "accept(");
    CHECK(count_of(server.all(Stream::terminal), prompt) == 3);

    Process client({program("tcp/echo_client"), "--port", line.substr(line.rfind(':') + 1)});
    stop_at(server, "setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO");
    CHECK(count_of(server.all(Stream::terminal), prompt) == 4);
    server.type("\n");
    stop_at(server, "setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO");  // and then each call again
    server.type("\n");
    stop_at(server, "recv(");
}

TEST_CASE("step: ? explains the call, in the reader's language", "[programs][step]") {
    SECTION("English") {
        Process server = stepped("tcp/echo_server");
        stop_at(server, "getaddrinfo(");
        server.type("\n");
        stop_at(server, "socket(");
        server.type("?");
        const std::string text = server.expect(Stream::terminal, "\n" + prompt);
        CHECK_THAT(text, ContainsSubstring("    socket: asks the kernel for a new socket"));
        CHECK_FALSE(has_hangul(server.all(Stream::terminal)));
        CHECK(server.err().find("= 3") == std::string::npos);  // the call still waits
    }
    SECTION("Korean") {
        Process server = stepped("tcp/echo_server", {"LANG=ko_KR.UTF-8"});
        CHECK(has_hangul(server.expect(Stream::terminal, "]")));  // the legend
        stop_at(server, "getaddrinfo(");
        server.type("?");
        const std::string text = server.expect(Stream::terminal, "\n" + prompt);
        CHECK_THAT(text, ContainsSubstring("    getaddrinfo: "));
        CHECK(has_hangul(text));
    }
}

TEST_CASE("step: q ends the program with status 0, and the call is not made", "[programs][step]") {
    for (const int steps : {0, 1, 4}) {
        INFO("after " << steps);
        Process server = stepped("tcp/echo_server");
        stop_at(server, "getaddrinfo(");
        for (int i = 0; i < steps; ++i) {
            server.type("\n");
            server.expect(Stream::terminal, prompt);
        }
        server.type("q");
        server.expect_exit(0);
        CHECK(count_of(server.err(), "    = ") == static_cast<size_t>(steps));
    }
}

TEST_CASE("step: q removes a Unix server's socket", "[programs][step][unix]") {
    const TempDir directory;
    Process server({program("unix/echo_server"), "--path", directory / "socket", "--step"},
                   {.terminal = Terminal::keys});
    for (const char* call : {"socket(", "bind(", "listen(", "getsockname("}) {
        stop_at(server, call);
        server.type("\n");
    }
    stop_at(server, "accept(");
    CHECK(access((directory / "socket").c_str(), F_OK) == 0);
    server.type("q");
    server.expect_exit(0);
    CHECK(access((directory / "socket").c_str(), F_OK) == -1);
}

TEST_CASE("step: the terminal is as it was, however the program ends", "[programs][step]") {
    // The shell waits until we have seen what the settings were, and then becomes the server.
    Process server({"sh", "-c", "read go; exec \"$@\"", "sh", program("tcp/echo_server"), "--port", "0", "--step"},
                   {.terminal = Terminal::keys});
    const std::string before = settings_of(server);
    server.feed("go\n");
    stop_at(server, "getaddrinfo(");
    // The prompt is printed just before the settings change.
    wait_until([&] { return !waits_for_lines(server); }, "the terminal to be set for keys");
    SECTION("Ctrl-C before the server is ready") {
        server.type("\x03");
        CHECK(server.wait() == Ending{-1, SIGINT});
    }
    SECTION("q") {
        server.type("q");
        server.expect_exit(0);
    }
    SECTION("while a call is made") {
        server.type("c");
        server.expect_line(Stream::err, "accept(");
        CHECK(waits_for_lines(server));
    }
    SECTION("Ctrl-C and signals when the server is ready") {
        for (const char* call : {"socket(", "setsockopt(", "bind(", "listen(", "getsockname(", "accept("}) {
            server.type("\n");
            stop_at(server, call);
        }
        const std::string by = GENERATE("Ctrl-C", "SIGTERM", "SIGINT");
        INFO(by);
        if (by == "Ctrl-C") server.type("\x03");
        if (by == "SIGTERM") server.signal(SIGTERM);
        if (by == "SIGINT") server.signal(SIGINT);
        server.expect_exit(0);
    }
    CHECK(settings_of(server) == before);
}

TEST_CASE("step: keys come from the terminal, and standard input from a pipe", "[programs][step]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process client(server.client(pair.client, {"--step"}), {.terminal = Terminal::keys});
    client.feed("c\nq\n");  // which are no keys
    client.close_input();
    client.expect(Stream::terminal, prompt);
    CHECK(client.err().find("=") == std::string::npos);
    client.type("\n");
    step_to_the_end(client);
    client.expect_exit(0);
    CHECK(client.out() == "c\nq\n");
    // Every call was asked for.
    CHECK(count_of(client.all(Stream::terminal), prompt) == lines_with(client.err(), ".cpp:").size());
}

TEST_CASE("step: both sides by hand", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    for (const char* call : {"getaddrinfo(", "socket(", "setsockopt(", "bind(", "listen(", "getsockname("}) {
        stop_at(server, call);
        server.type("\n");
    }
    const std::string line = server.expect_line(Stream::out, "listening on");
    stop_at(server, "accept(");
    Process client({program("tcp/echo_client"), "--port", line.substr(line.rfind(':') + 1), "--step"},
                   {.terminal = Terminal::keys});
    for (const char* call : {"getaddrinfo(", "socket(", "connect("}) {
        stop_at(client, call);
        client.type("\n");
    }
    // The kernel has made the connection, although the server has not accepted it yet.
    client.expect_line(Stream::err, "fd 3  CLOSED -> ESTABLISHED");
    server.type("\n");
    server.expect_line(Stream::err, "fd 4  new TCP socket: ESTABLISHED");
}

TEST_CASE("step: without a terminal it is --trace", "[programs][step]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    Server server = pair.start({"--step"});
    Process client(server.client(pair.client, {"--step"}));
    client.feed("hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == "hello\n");
    for (Process* process : {static_cast<Process*>(&server), &client}) {
        CHECK_THAT(process->err(), ContainsSubstring("socket("));
        CHECK_THAT(process->err(), ContainsSubstring("    = 3\n"));
        CHECK(process->err().find(prompt) == std::string::npos);
    }
}

TEST_CASE("step: the log tells a call that waits for its key from one that is made", "[programs][step]") {
    const TempDir directory;
    Process server({program("tcp/echo_server"), "--port", "0", "--step", "--trace-log", directory / "log"},
                   {.terminal = Terminal::keys});
    const auto last = [&] { return lines_of(read_file(directory / "log")).back(); };
    stop_at(server, "getaddrinfo(");
    CHECK_THAT(last(), ContainsSubstring("\twait\t") && ContainsSubstring("\tgetaddrinfo("));
    server.type("\n");
    stop_at(server, "socket(");
    const std::string log = read_file(directory / "log");
    CHECK(lines_with(log, "\tcall\t").size() == 1);
    CHECK(lines_with(log, "\twait\t").size() == 2);
    CHECK(log.find("\twait\t") < log.find("\tcall\t"));
    server.type("c");
    server.expect_line(Stream::err, "accept(");
    wait_until([&] { return last().find("\tcall\t") != std::string::npos; }, "accept to be called");
    CHECK(lines_with(read_file(directory / "log"), "\twait\t").size() == 2);
}

TEST_CASE("step: a terminal that goes away ends the program", "[programs][step]") {
    Process server = stepped("tcp/echo_server");
    stop_at(server, "getaddrinfo(");
    server.hang_up();
    const Ending ending = server.wait();
    CHECK((ending == Ending{0, 0} || ending == Ending{-1, SIGHUP}));
}
