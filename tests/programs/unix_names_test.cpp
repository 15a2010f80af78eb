// Unix sockets with names of other kinds, and without: pairs, abstract names, and what can happen to a path.

#include "common/errors.hpp"
#include "tests/catch.hpp"
#include "tests/programs/other_user.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/un.h>
#endif

namespace {

const std::string socketpair_program = "unix/socketpair", paths_program = "unix/paths";

std::vector<std::string> left_by_paths() {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator("/tmp"))
        if (entry.path().filename().string().rfind("two-terminals-paths-", 0) == 0) names.push_back(entry.path());
    return names;
}

/// What a scene says of an action: what stands behind these words in its line.
std::string told(const std::string& story, const std::string& action) {
    const std::vector<std::string> lines = lines_with(story, action);
    if (lines.size() != 1) throw Unexpected("not one line with \"" + action + "\" in:\n" + story);
    return lines[0].substr(lines[0].rfind(' ') + 1);
}

std::string play(const std::string& scene) {
    Process process({program(paths_program), "--scene", scene});
    process.expect_exit(0);
    if (!process.err().empty()) throw Unexpected("it complained:\n" + process.describe());
    return process.out();
}

}  // namespace

// ---- A pair

TEST_CASE("unix socketpair: parent and child talk", "[programs][unix]") {
    const std::string end = "child: recv() returned 0: nobody has the other end open any more\n";
    SECTION("piped") {
        Process pair({program(socketpair_program)});
        pair.feed("hello\n");
        pair.expect(Stream::out, "HELLO\n");
        pair.feed("안녕, socket");
        pair.close_input();
        pair.expect_exit(0);
        CHECK(pair.out() == "HELLO\n안녕, SOCKET");
        CHECK(pair.err() == end);
    }
    SECTION("typed") {
        Process pair({program(socketpair_program)}, {.terminal = Terminal::all});
        pair.type("hello\n");
        pair.expect(Stream::terminal, "hello\r\nHELLO\r\n");
        pair.type("\x04");
        pair.expect_exit(0);
    }
    SECTION("nothing, and much") {
        CHECK(run({program(socketpair_program)}) == "");
        const std::string much(3'000'000, '\0');
        CHECK((run({program(socketpair_program)}, much) == much));
    }
}

TEST_CASE("unix socketpair: a copy of the end that nobody closed", "[programs][unix]") {
    const auto talk = [](Process& pair) {
        pair.feed("hello\n");
        pair.close_input();
        pair.expect_exit(0);
        CHECK(pair.out() == "HELLO\n");
        return pair.err();
    };
    SECTION("the child waits for itself") {
        Process pair({program(socketpair_program), "--forget"});
        CHECK(talk(pair) ==
              "parent: I have closed my end, and the child waits on: it has a copy of that end itself, as fd 3\n");
    }
    SECTION("shutdown() ends the socket, whoever has it") {
        Process pair({program(socketpair_program), "--forget", "--shutdown"});
        CHECK_THAT(talk(pair), StartsWith("child: recv() returned 0"));
    }
    SECTION("each closes what is not its own") {
        Process pair({program(socketpair_program), "--trace"});
        const std::string told = talk(pair);
        CHECK(lines_with(told, "] unix/socketpair.cpp").size() > 3);
        CHECK(lines_with(told, "close(parent_end)").size() == 2);  // by both
        CHECK(lines_with(told, "close(child_end)").size() == 1);
        CHECK_THAT(told, ContainsSubstring("fd 4  connected -> closed by peer"));
    }
}

TEST_CASE("unix socketpair: the child is killed", "[programs][unix]") {
    Process pair({program(socketpair_program), "--trace"});
    pair.feed("hello\n");
    pair.expect(Stream::out, "HELLO\n");
    const std::string line = lines_with(pair.err(), "[child ").front();
    const auto child = static_cast<pid_t>(std::stol(line.substr(7)));
    REQUIRE(child > 1);
    kill(child, SIGKILL);
    pair.feed("hello\n");
    pair.expect_exit(1);
    CHECK_THAT(lines_of(pair.err()).back(), ContainsSubstring("the child has ended") || ContainsSubstring("(EPIPE)") ||
                                                ContainsSubstring("(ECONNRESET)"));
}

// ---- Paths

TEST_CASE("unix paths: what the scenes show", "[programs][unix]") {
    SECTION("a stale file") {
        const std::string story = play("stale");
        CHECK(told(story, "a name, and nobody behind it") == "ECONNREFUSED");
        CHECK(told(story, "the next server binds") == "EADDRINUSE");
        CHECK(told(story, "unlink(), and bind() once more") == "ok");
        CHECK(told(story, "bound, but not listening") == "ECONNREFUSED");
        CHECK(told(story, "listen(), and a client connects") == "ok");
        CHECK(told(story, "no file at all") == "ENOENT");
    }
    SECTION("something else there") {
        const std::string story = play("occupied");
        CHECK(told(story, "where a letter lies") == "EADDRINUSE");
        CHECK(told(story, "where a directory is") == "EADDRINUSE");
        CHECK(told(story, "that does not exist") == "ENOENT");
    }
    SECTION("permissions") {
        const std::string story = play("permissions");
        CHECK(told(story, "with umask 022") == "srwxr-xr-x");
        CHECK(told(story, "the file is srw-rw-rw-") == "ok");
        CHECK(told(story, "the file is s-w--w--w-") == "ok");
        CHECK(told(story, "directory d--x--x--x") == "ok");
        CHECK(told(story, "directory d---------") == "EACCES");
        CHECK(told(story, "directory dr--r--r--") == "EACCES");
#ifdef __linux__
        CHECK(told(story, "the file is sr--r--r--") == "EACCES");
        CHECK(told(story, "the file is s---------") == "EACCES");
#endif
    }
    SECTION("too long") {
        const std::string story = play("long");
#ifdef __linux__
        CHECK(told(story, "sun_path has room") == "108");
        CHECK(told(story, "as long as that") == "EINVAL");
#endif
        CHECK(told(story, "cut off where the room ends") == "ok");
        CHECK(told(story, "bind() to \"socket\"") == "ok");
        CHECK(told(story, "connects to \"socket\"") == "ok");
    }
    SECTION("unlinked") {
        const std::string story = play("unlinked");
        CHECK(told(story, "to the old name") == "ENOENT");
        CHECK(told(story, "to the new name") == "ok");
        CHECK(told(story, "who waits at the first server") == "2");
        CHECK(told(story, "who waits at the second") == "1");
    }
    SECTION("the race, and the lock") {
        const std::string story = play("race");
        CHECK(told(story, "who waits at A") == "0");
        CHECK(told(story, "who waits at B") == "1");
        const std::string end = play("lock");
        CHECK(told(end, "A: flock") == "ok");
        CHECK(told(end, "it must not touch the name") == "EAGAIN");
        CHECK(told(end, "the kernel unlocks") == "ok");
    }
}

TEST_CASE("unix paths: all scenes are the same for root and others, and nothing is left", "[programs][unix]") {
    const std::vector<std::string> before = left_by_paths();
    const std::string all = run({program(paths_program)});
    size_t titles = 0;
    for (const std::string& line : lines_of(all))
        titles += !line.empty() && line[0] != ' ' ? 1 : 0;
    CHECK(titles == 7);
    CHECK(left_by_paths() == before);
    Process wrong({program(paths_program), "--scene", "none\x1b"});
    wrong.expect_exit(2);
    CHECK_THAT(wrong.err(), StartsWith("--scene none\\x1b: expected one of: stale, "));
    if (!has_other_user()) return;
    Process other = by_other_user({program(paths_program)});
    other.expect_exit(0);
    CHECK(other.out() == all);
    CHECK(left_by_paths() == before);
}

TEST_CASE("unix paths: interrupted in the middle, it leaves nothing either", "[programs][unix]") {
    struct Row {
        std::string scene, call;
        int signal;
    };
    const Row row = GENERATE(Row{"stale", "unlink(\"socket\")", SIGTERM}, Row{"occupied", "rmdir(\"room\")", SIGINT},
                             Row{"permissions", "chmod(\"room/socket\", mode)", SIGTERM}, Row{"long", "lstat(", SIGINT},
                             Row{"long", "chdir(stage)", SIGINT}, Row{"unlinked", "unlink(\"other\")", SIGINT},
                             Row{"lock", "flock(", SIGINT});
    INFO(row.scene << " before " << row.call);
    const std::vector<std::string> before = left_by_paths();
    Process paths({program(paths_program), "--scene", row.scene, "--step"}, {.terminal = Terminal::keys});
    paths.expect(Stream::terminal, "> ");
    while (paths.err().find(row.call) == std::string::npos) {
        paths.type("\n");
        paths.expect(Stream::terminal, "> ");
    }
    paths.signal(row.signal);
    CHECK(paths.wait().signal == row.signal);
    CHECK(left_by_paths() == before);
}

// ---- Abstract names

#ifdef __linux__
namespace {

const std::string abstract_server = "unix/abstract_server", abstract_client = "unix/abstract_client";

}  // namespace

TEST_CASE("unix abstract: typed and piped, without a file", "[programs][unix]") {
    Server server = start_server(abstract_server);
    CHECK_THAT(server.address(), StartsWith("@/"));
    CHECK(access(server.path().c_str(), F_OK) == -1);
    Process client(server.client(abstract_client), {.terminal = Terminal::all});
    client.type("hello\n");
    client.expect(Stream::terminal, "hello\r\nhello\r\n");
    client.type("\x04");
    client.expect_exit(0);
    const std::string bytes = random_bytes(300'001);
    CHECK((run(server.client(abstract_client), bytes) == bytes));
    CHECK(server.err().empty());
    server.signal(SIGTERM);
    server.expect_exit(0);
}

TEST_CASE("unix abstract: the name is gone with its server, however that ended", "[programs][unix]") {
    const TempDir directory;  // for a name that nobody else has
    const std::string name = directory / "name";
    {
        Server first = start_server(abstract_server, {"--path", name});
        Process second({program(abstract_server), "--path", name});
        second.expect_exit(1);
        CHECK_THAT(second.err(), ContainsSubstring("bind(") && ContainsSubstring("(EADDRINUSE)"));
        // A path is another name, if it has the same letters.
        const Server file = start_server("unix/echo_server", {"--path", name});
        must_serve(file, "unix/echo_client");
        must_serve(first, abstract_client);
        first.signal(SIGKILL);
        first.wait();
    }
    Process nobody({program(abstract_client), "--path", name});
    nobody.expect_exit(1);
    CHECK_THAT(nobody.err(), ContainsSubstring("connect(") && ContainsSubstring("(ECONNREFUSED)"));
    must_serve(start_server(abstract_server, {"--path", name}), abstract_client);
}

TEST_CASE("unix abstract: names of 1 and 107 bytes, with bytes that are no letters", "[programs][unix]") {
    const std::string own = std::to_string(getpid());
    for (const std::string& name : {own, own + std::string(107 - own.size(), 'x'), own + "\x1b[2J\n"}) {
        INFO(escaped(name));
        Process server({program(abstract_server), "--path", name});
        CHECK(server.expect_line(Stream::out, "listening on") == "listening on @" + escaped(name));
        CHECK(run({program(abstract_client), "--path", name}, "hello\n") == "hello\n");
    }
}

TEST_CASE("unix abstract: the client's name is the kernel's choice", "[programs][unix]") {
    Server server = start_server(abstract_server, {"--trace"});
    Process client(server.client(abstract_client, {"--trace"}));
    client.feed("x");
    client.close_input();
    client.expect_exit(0);
    const std::string line = lines_with(client.err(), "unbound -> bound  @").front();
    const std::string name = line.substr(line.rfind('@'));
    CHECK(name.size() == 6);
    CHECK(name.find_first_not_of("@0123456789abcdef") == std::string::npos);
    server.expect(Stream::err, server.address() + " <-> " + name);
}

TEST_CASE("unix abstract: a client that is killed", "[programs][unix]") {
    Server server = start_server(abstract_server);
    Process killed(server.client(abstract_client));
    killed.feed("hello\n");
    killed.expect(Stream::out, "hello\n");
    killed.signal(SIGKILL);
    must_serve(server, abstract_client);
    CHECK(server.is_running());
}

TEST_CASE("unix abstract: no permissions, but network namespaces", "[programs][unix]") {
    const Server server = start_server(abstract_server);
    const Server file = start_server("unix/echo_server");
    if (!has_other_user()) return;
    // Its name looks like that of a file in a directory that only we can enter; it is no file.
    Process other = by_other_user(server.client(abstract_client));
    other.feed("hello\n");
    other.close_input();
    other.expect_exit(0);
    CHECK(other.out() == "hello\n");
    Process shut_out = by_other_user(file.client("unix/echo_client"));
    shut_out.expect_exit(1);
    CHECK_THAT(shut_out.err(), ContainsSubstring("connect(") && ContainsSubstring("(EACCES)"));

    const auto from_another_network = [](const Process::Command& command) {
        return Process([=] {
            if (unshare(CLONE_NEWNET) == -1) _exit(77);
            std::vector<char*> arguments;
            for (const std::string& word : command)
                arguments.push_back(const_cast<char*>(word.c_str()));
            arguments.push_back(nullptr);
            execv(arguments[0], arguments.data());
        });
    };
    Process outside = from_another_network(server.client(abstract_client));
    if (outside.wait().status == 77) return skip("no network namespaces here");
    outside.expect_exit(1);
    CHECK_THAT(outside.err(), ContainsSubstring("connect(") && ContainsSubstring("(ECONNREFUSED)"));
    // The file system is another matter: a path leads there from any network.
    Process through_file = from_another_network(file.client("unix/echo_client"));
    through_file.feed("hello\n");
    through_file.close_input();
    through_file.expect_exit(0);
    CHECK(through_file.out() == "hello\n");
}

TEST_CASE("unix abstract: with socat", "[programs][unix][foreign]") {
    if (!has_tool("socat")) return;
    const Server server = start_server(abstract_server);
    const std::string text = "hello\nan empty line follows\n\n안녕 without a newline";
    CHECK(run({"socat", "-t", "30", "-", "ABSTRACT-CONNECT:" + server.path()}, text) == text);

    const TempDir directory;
    Process theirs({"socat", "-d", "-d", "ABSTRACT-LISTEN:" + directory / "socat" + ",fork", "EXEC:cat"});
    theirs.expect_line(Stream::err, "listening on");
    CHECK(run({program(abstract_client), "--path", directory / "socat"}, text) == text);
}
#endif
