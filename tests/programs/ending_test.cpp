// How servers end, and what becomes of a Unix socket's file.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <sys/stat.h>
#include <unistd.h>

namespace {

bool exists(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0;
}

/// A Unix echo server or client where --path is not given.
Process by_default(const std::string& name, const std::string& runtime_directory) {
    return Process({program(name)}, {.environment = {"XDG_RUNTIME_DIR=" + runtime_directory}, .umask = 0});
}

}  // namespace

TEST_CASE("ending: SIGINT and SIGTERM end a server with status 0", "[programs][ending]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    const int signal = GENERATE(SIGINT, SIGTERM);
    INFO(pair.name() << ", signal " << signal);
    SECTION("while it waits") {
        Server server = pair.start();
        server.signal(signal);
        server.expect_exit(0);
        CHECK(server.err().empty());
    }
    SECTION("while it serves") {
        Server server = pair.start();
        Process client(server.client(pair.client));
        client.feed("hello\n");
        client.expect(Stream::out, "hello\n");
        server.signal(signal);
        server.expect_exit(0);
        CHECK(server.err().empty());
    }
}

TEST_CASE("ending: Ctrl-C at its terminal ends a server with status 0", "[programs][ending]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    Server server = pair.start({}, {.terminal = Terminal::all});
    server.type("\x03");
    server.expect_exit(0);
}

TEST_CASE("ending: a server can be started again at once at the same port", "[programs][ending][tcp]") {
    const std::string port = lasting_port();
    for (int i = 0; i < 3; ++i) {
        Server server = start_server("tcp/echo_server", {"--port", port});
        // The server closes first: its side of the connection stays in TIME_WAIT.
        Peer peer = Peer::connected_to(server);
        peer.send("x");
        peer.receive(1);
        server.signal(SIGTERM);
        server.expect_exit(0);
        peer.receive_to_end();
    }
}

TEST_CASE("ending: a Unix server removes its socket", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    for (const int signal : {SIGINT, SIGTERM}) {
        Server server = start_server("unix/echo_server", {"--path", path});
        CHECK(exists(path));
        server.signal(signal);
        server.expect_exit(0);
        CHECK_FALSE(exists(path));
    }
}

TEST_CASE("ending: a Unix server replaces the socket of one that was killed", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    {
        Server killed = start_server("unix/echo_server", {"--path", path});
        killed.signal(SIGKILL);
        killed.wait();
    }
    CHECK(exists(path));
    const Server server = start_server("unix/echo_server", {"--path", path});
    must_serve(server, "unix/echo_client");
}

TEST_CASE("ending: a Unix server leaves the place to one that is alive", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    const Server alive = start_server("unix/echo_server", {"--path", path});
    Process second({program("unix/echo_server"), "--path", path});
    second.expect_exit(1);
    CHECK(second.out().empty());
    CHECK(lines_of(second.err()).size() == 1);
    CHECK_THAT(second.err(), ContainsSubstring("bind(") && ContainsSubstring("(EADDRINUSE)"));
    CHECK(exists(path));
    must_serve(alive, "unix/echo_client");
}

TEST_CASE("ending: a Unix server leaves the place to one that is too busy to answer", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    const Peer busy = Peer::bound_to_path(path);  // it never accepts
    Process second({program("unix/echo_server"), "--path", path});
    second.expect_exit(1);
    CHECK_THAT(second.err(), ContainsSubstring("(EADDRINUSE)"));
    CHECK(exists(path));
}

TEST_CASE("ending: a Unix server removes no file that is not a socket", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "letter";
    SECTION("a file") { write_file(path, "dear reader"); }
    SECTION("a directory") { REQUIRE(mkdir(path.c_str(), 0700) == 0); }
    SECTION("a link to a socket that nobody listens at") {
        {
            Server killed = start_server("unix/echo_server", {"--path", directory / "socket"});
            killed.signal(SIGKILL);
            killed.wait();
        }
        REQUIRE(symlink((directory / "socket").c_str(), path.c_str()) == 0);
    }
    Process server({program("unix/echo_server"), "--path", path});
    server.expect_exit(1);
    CHECK(lines_of(server.err()).size() == 1);
    CHECK_THAT(server.err(), ContainsSubstring("(EADDRINUSE)"));
    CHECK(exists(path));
}

TEST_CASE("ending: two Unix servers at once, and one of them remains", "[programs][ending][unix]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    for (int i = 0; i < 10; ++i) {
        Server killed = start_server("unix/echo_server", {"--path", path});
        killed.signal(SIGKILL);
        killed.wait();
        Process first({program("unix/echo_server"), "--path", path});
        Process second({program("unix/echo_server"), "--path", path});
        wait_until(
            [&] {
                return !first.is_running() || !second.is_running() || (!first.out().empty() && !second.out().empty());
            },
            "one of them to give up, or both to listen");
        // Whichever listens is found by a client.
        Process& alive = first.is_running() ? first : second;
        alive.expect(Stream::out, "listening on");
        CHECK(run({program("unix/echo_client"), "--path", path}, "hello\n") == "hello\n");
        unlink(path.c_str());
    }
}

TEST_CASE("ending: the default path, in a directory of one's own", "[programs][ending][unix]") {
    const TempDir runtime;
    const std::string directory = runtime / "two-terminals";
    Process server = by_default("unix/echo_server", runtime.path());
    CHECK(server.expect_line(Stream::out, "listening on") == "listening on " + directory + "/echo");
    struct stat status {};
    REQUIRE(stat(directory.c_str(), &status) == 0);
    CHECK((status.st_mode & 07777U) == 0700);

    Process client = by_default("unix/echo_client", runtime.path());
    client.feed("hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == "hello\n");
}

TEST_CASE("ending: a default directory that others can enter is refused", "[programs][ending][unix]") {
    const TempDir runtime;
    const std::string directory = runtime / "two-terminals";
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    REQUIRE(chmod(directory.c_str(), 0755) == 0);
    for (const char* name : {"unix/echo_server", "unix/echo_client"}) {
        INFO(name);
        Process refused = by_default(name, runtime.path());
        refused.expect_exit(1);
        CHECK(refused.out().empty());
        CHECK(count_of(refused.err(), "\n") == 1);
        CHECK_THAT(refused.err(), StartsWith(directory + " is not a directory that only you can enter"));
    }
}
