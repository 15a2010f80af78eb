// The harness itself: all other tests of programs stand on it.

#include "tests/support/process.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"

#include <cerrno>
#include <csignal>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// The text of the Unexpected that this throws; "" if it throws none.
template <typename Function>
std::string complaint(Function function) {
    try {
        function();
        return "";
    } catch (const Unexpected& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("process: input, output, exit status", "[unit][process]") {
    Process shell({"sh", "-c", "read line; echo \"got $line\"; echo trouble >&2; exit 3"});
    shell.feed("this\n");
    shell.expect_exit(3);
    CHECK(shell.out() == "got this\n");
    CHECK(shell.err() == "trouble\n");
    CHECK_FALSE(shell.is_running());
    CHECK(complaint([&] { shell.expect_exit(0); }).find("expected exit status 0, got: exit status 3") == 0);
}

TEST_CASE("process: much data in both directions at once", "[unit][process]") {
    const std::string data = random_bytes(20'000'000);
    Process cat({"cat"});
    cat.feed(data);
    cat.close_input();
    cat.expect_exit(0);
    CHECK((cat.out() == data));
}

TEST_CASE("process: one that prints much does not stand still while another is waited for", "[unit][process]") {
    TempDir directory;
    Process printer({"sh", "-c", "head -c 1000000 /dev/zero; echo done > '" + directory / "done" + "'"});
    Process other({"sh", "-c", "until test -e '" + directory / "done" + "'; do :; done"});
    other.expect_exit(0);
    CHECK(printer.out().size() == 1'000'000);
}

TEST_CASE("process: expect() goes through the output piece by piece", "[unit][process]") {
    Process shell({"sh", "-c", "printf 'a b\\nc d\\ne f'"});
    CHECK(shell.expect(Stream::out, "b") == "a b");
    CHECK(shell.expect_line(Stream::out, "d") == "c d");
    CHECK(shell.expect(Stream::out, "f") == "e f");
    CHECK(shell.all(Stream::out) == "a b\nc d\ne f");
}

TEST_CASE("process: what goes wrong is told with the command and its output", "[unit][process]") {
    Process silent({"sh", "-c", "printf 'half \\033 line'; echo oh >&2; read never"});
    silent.expect(Stream::err, "oh");
    const std::string text = complaint([&] { silent.expect(Stream::out, "the rest", Milliseconds(20)); });
    CHECK_THAT(text, ContainsSubstring("waited 20 ms for \"the rest\" on standard output"));
    CHECK_THAT(text, ContainsSubstring("$ sh -c printf"));
    CHECK_THAT(text, ContainsSubstring("still runs"));
    CHECK_THAT(text, ContainsSubstring("| half \\x1b line (no newline)"));
    CHECK_THAT(text, ContainsSubstring("| oh"));
    CHECK_THAT(complaint([&] { silent.wait(Milliseconds(0)); }), ContainsSubstring("waited 0 ms for the end of sh"));
    silent.signal(SIGTERM);
    CHECK(silent.wait() == Ending{-1, SIGTERM});
    CHECK_THAT(complaint([&] { silent.expect(Stream::out, "the rest"); }), ContainsSubstring("ended without"));
    CHECK_THAT(complaint([&] { silent.expect_exit(0); }), ContainsSubstring("got: killed by signal 15"));

    CHECK_THAT(complaint([] {
                   Process({"/no/such/program", "x"});
               }),
               ContainsSubstring("cannot start /no/such/program x: execve failed"));
    CHECK_THAT(complaint([] { Process({"true"}, {.directory = "/no/such"}); }), ContainsSubstring("chdir failed"));
}

TEST_CASE("process: is killed with its object, and with what it has forked", "[unit][process]") {
    const TempDir directory;
    const std::string fifo = directory / "fifo";
    REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
    const int end = open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    REQUIRE(end != -1);
    // As long as somebody has the other end open, there is nothing to read; then there is the end (fifo(7)).
    const auto is_open_elsewhere = [&] {
        char byte = 0;
        return read(end, &byte, 1) == -1 && errno == EAGAIN;
    };
    pid_t pid = 0;
    {
        Process shell({"sh", "-c", "trap '' TERM; cat <&2 >'" + fifo + "' & read never"}, {.terminal = Terminal::all});
        wait_until(is_open_elsewhere, "the child to open the FIFO");
        pid = shell.pid();
        CHECK(kill(pid, 0) == 0);
    }
    CHECK(kill(pid, 0) == -1);
    wait_until([&] { return !is_open_elsewhere(); }, "the end of the child");
    close(end);
}

TEST_CASE("process: surroundings", "[unit][process]") {
    TempDir directory;
    write_file(directory / "input", "from a file\n");
    Process shell({"sh", "-c", "umask; ulimit -n; pwd; echo $WORD; echo \"$LANG\"; cat"},
                  {.environment = {"WORD=a=b"},
                   .directory = directory.path(),
                   .umask = 027,
                   .limits = {{RLIMIT_NOFILE, 17}},
                   .input_file = directory / "input"});
    shell.expect_exit(0);
    CHECK(shell.out() == "0027\n17\n" + directory.path() + "\na=b\n\nfrom a file\n");
}

TEST_CASE("process: a program of ours in another directory", "[unit][process]") {
    const TempDir directory;
    CHECK_THAT(run({program("tcp/echo_server"), "--help"}, "", 0, {.directory = directory.path()}),
               StartsWith("usage: echo_server"));
    CHECK_THAT(complaint([&] { Process({"no-such-tool"}, {.directory = directory.path()}); }),
               ContainsSubstring("cannot start no-such-tool"));
}

TEST_CASE("process: terminals", "[unit][process]") {
    const std::string question = "tty; (echo hello > /dev/tty) 2>/dev/null || echo no /dev/tty";
    SECTION("none") {
        Process shell({"sh", "-c", question});
        shell.expect_exit(0);
        CHECK(shell.out() == "not a tty\nno /dev/tty\n");
    }
    SECTION("for keys") {
        Process shell({"sh", "-c", question}, {.terminal = Terminal::keys});
        shell.expect_exit(0);
        CHECK(shell.out() == "not a tty\n");
        CHECK(shell.all(Stream::terminal) == "hello\r\n");
    }
    SECTION("for output") {
        Process shell({"sh", "-c", "test -t 1 && ! test -t 0 && cat"}, {.terminal = Terminal::output});
        shell.feed("text\n");
        shell.close_input();
        shell.expect_exit(0);
        CHECK(shell.all(Stream::terminal) == "text\r\n");
    }
    SECTION("for everything: what is typed is echoed, Ctrl-D ends the input") {
        Process cat({"cat"}, {.terminal = Terminal::all});
        cat.feed("text\n");
        CHECK(cat.expect(Stream::terminal, "text\r\ntext\r\n") == "text\r\ntext\r\n");
        cat.close_input();
        cat.expect_exit(0);
    }
    SECTION("for everything: Ctrl-C interrupts") {
        Process cat({"cat"}, {.terminal = Terminal::all});
        cat.feed("text\n");
        cat.expect(Stream::terminal, "text\r\ntext\r\n");
        cat.type("\x03");
        CHECK(cat.wait().signal == SIGINT);
    }
}

TEST_CASE("process: a function in a child", "[unit][process]") {
    Process child([] {
        printf("descriptor %d\n", dup(0));
        fprintf(stderr, "trouble\n");
    });
    child.expect_exit(0);
    CHECK(child.out() == "descriptor 3\n");
    CHECK(child.err() == "trouble\n");

    Process throws([] { throw std::runtime_error("no"); });
    throws.expect_exit(99);
    CHECK(throws.err() == "the function threw: no\n");
}

TEST_CASE("process: in several threads, without descriptors that leak from one child into another", "[unit][process]") {
    std::vector<Task> tasks;
    for (int i = 0; i < 40; ++i) {
        tasks.push_back({"cat", [] {
                             // With a copy of this pipe's end in another child, cat would wait for its end in vain.
                             Process cat({"cat"});
                             cat.feed("x");
                             cat.close_input();
                             cat.expect_exit(0);
                         }});
    }
    tasks.push_back({"one that fails", [] { throw Unexpected("on purpose"); }});
    CHECK(run_in_parallel(tasks) == "one that fails: on purpose\n");
}

TEST_CASE("process: a run in one line", "[unit][process]") {
    CHECK(run({"cat"}, "text") == "text");
    CHECK_THAT(complaint([] { run({"sh", "-c", "echo oh >&2; exit 1"}); }), ContainsSubstring("| oh"));
}
