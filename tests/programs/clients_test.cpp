// What a client does when the server fails it: one clear line, and status 1. The tests play the server.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <memory>
#include <sys/ioctl.h>
#include <sys/socket.h>

#ifdef __linux__
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>
#endif

namespace {

/// A listening socket of ours, and a client that connects to it.
struct Stage {
    TempDir directory;
    Peer listener;
    Process client;
    Peer connection;

    explicit Stage(const Pair& pair, const Surroundings& surroundings = {})
        : listener(pair.host.empty() ? Peer::bound_to_path(directory / "socket") : Peer::bound(SOCK_STREAM, pair.host)),
          client(pair.host.empty()
                     ? Process::Command{program(pair.client), "--path", directory / "socket"}
                     : Process::Command{program(pair.client), "--host", pair.host, "--port", listener.port()},
                 surroundings),
          connection(listener.accept()) {}

    /// Waits for the client's end by a failure, and returns the one line that it said.
    std::string failure() {
        client.expect_exit(1);
        const std::vector<std::string> lines = lines_of(client.err());
        return lines.size() == 1 ? lines[0] : "not one line: " + client.describe();
    }
};

}  // namespace

TEST_CASE("clients: the server ends the connection in the middle", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Stage stage(pair);
    stage.client.feed("hello\n");
    stage.connection.receive(6);
    stage.connection.send("hel");
    SECTION("by closing") {
        stage.connection.close();
        CHECK(stage.failure() == "the server ended the connection after 3 of 6 bytes had come back");
    }
    SECTION("by sending no more") {
        stage.connection.end_sending();
        CHECK(stage.failure() == "the server ended the connection after 3 of 6 bytes had come back");
    }
    SECTION("by closing, when all is sent") {
        stage.client.close_input();
        CHECK(stage.connection.receive_to_end().empty());
        stage.connection.close();
        CHECK(stage.failure() == "the server ended the connection after 3 of 6 bytes had come back");
    }
    SECTION("by a reset") {
        if (pair.host.empty()) return;  // Unix sockets know none
        stage.connection.reset();
        CHECK_THAT(stage.failure(), ContainsSubstring(".cpp:") && ContainsSubstring("(ECONNRESET)"));
    }
    CHECK(stage.client.out() == "hel");
}

TEST_CASE("clients: the server ends the connection before the client has said anything", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Stage stage(pair);
    stage.connection.close();
    CHECK_THAT(stage.failure(), ContainsSubstring("the server ended the connection after 0 of 0 bytes"));
}

TEST_CASE("clients: the server is killed", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    Process client(server.client(pair.client));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    server.signal(SIGKILL);
    client.expect_exit(1);
    CHECK(client.err() == "the server ended the connection after 6 of 6 bytes had come back\n");
}

TEST_CASE("clients: the server stops reading, and then closes", "[programs][clients]") {
    // Much is on its way then: the client meets a reset while it sends.
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Stage stage(pair);
    stage.client.feed(std::string(10'000'000, 'x'));
    stage.connection.receive(1000);
    stage.connection.close();
    const std::string line = stage.failure();
    CHECK_THAT(line, ContainsSubstring("(ECONNRESET)") || ContainsSubstring("(EPIPE)") ||
                         ContainsSubstring("the server ended the connection after 0 of"));
}

TEST_CASE("clients: a slow server gets everything", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const std::string bytes = random_bytes(3'000'000);
    Stage stage(pair);
    stage.client.feed(bytes);
    stage.client.close_input();
    std::string all;
    while (all.size() < bytes.size()) {  // each piece goes back before the next is taken
        const std::string piece = stage.connection.receive(std::min<size_t>(bytes.size() - all.size(), 100'000));
        stage.connection.send(piece);
        all += piece;
    }
    CHECK(stage.connection.receive_to_end().empty());
    stage.connection.close();
    stage.client.expect_exit(0);
    CHECK((all == bytes));
    CHECK((stage.client.out() == bytes));
}

TEST_CASE("clients: one that can send no more goes on reading", "[programs][clients]") {
    // Or two that wait for each other would wait for ever.
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    Stage stage(pair);
    stage.client.feed(std::string(30'000'000, 'x'));  // more than all buffers hold, and nobody reads it
    int unread = 0;
    for (int rounds_without_news = 0; rounds_without_news < 50; ++rounds_without_news) {
        stage.connection.send("y");
        stage.client.expect(Stream::out, "y");
        int now = 0;
        REQUIRE(ioctl(stage.connection.fd(), FIONREAD, &now) == 0);
        if (now != unread) rounds_without_news = 0;
        unread = now;
    }
    CHECK(unread > 0);
}

TEST_CASE("clients: nobody listens", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const TempDir directory;
    const std::unique_ptr<FreePort> port =
        pair.host.empty() ? nullptr : std::make_unique<FreePort>(SOCK_STREAM, pair.host);
    Process client(port ? Process::Command{program(pair.client), "--host", pair.host, "--port", port->text()}
                        : Process::Command{program(pair.client), "--path", directory / "socket"});
    client.expect_exit(1);
    CHECK(client.out().empty());
    CHECK(lines_of(client.err()).size() == 1);
    CHECK_THAT(client.err(), StartsWith(pair.client + ".cpp:"));
    CHECK_THAT(client.err(),
               ContainsSubstring(port ? "(ECONNREFUSED): nobody listens there" : "(ENOENT): there is no"));
}

TEST_CASE("clients: what a hostile server sends is escaped on a terminal, and raw in a pipe", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const std::string hostile(
        "\x1b[2J\x1b]52;c;cm0gLXJmIH4=\x07\xc2\x9b"
        "6n\0\r한글\xff\n",
        38);
    const std::string harmless = "\\x1b[2J\\x1b]52;c;cm0gLXJmIH4=\\x07\\xc2\\x9b6n\\x00\\r한글\\xff\r\n";
    SECTION("on a terminal, however it is cut") {
        Stage stage(pair, {.terminal = Terminal::output});
        for (const char byte : hostile)
            stage.connection.send({&byte, 1});
        stage.connection.close();
        stage.client.expect_exit(1);
        CHECK(stage.client.all(Stream::terminal) == harmless);
    }
    SECTION("in a pipe") {
        Stage stage(pair);
        stage.connection.send(hostile);
        stage.connection.close();
        stage.client.expect_exit(1);
        CHECK(stage.client.out() == hostile);
    }
}

TEST_CASE("clients: interrupted by Ctrl-C", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    Process client(server.client(pair.client), {.terminal = Terminal::all});
    client.type("hello\n");
    client.expect(Stream::terminal, "hello\r\nhello\r\n");
    client.type("\x03");
    CHECK(client.wait().signal == SIGINT);
    must_serve(server, pair.client);
}

TEST_CASE("clients: a standard output that nobody reads any more", "[programs][clients]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    std::string shell_command = "{ ";
    for (const std::string& word : server.client(pair.client))
        shell_command += word + " ";
    shell_command += "; echo status $? >&2; } | true";
    Process shell({"sh", "-c", shell_command});
    // Its pipe may not be closed yet when the first line comes back.
    std::string printed;
    while (printed.find("status") == std::string::npos && shell.is_running()) {
        shell.feed("hello\n");
        serve_processes(Milliseconds(10));
        printed = shell.err();
    }
    shell.expect(Stream::err, "status 1\n");
    CHECK_THAT(shell.err(), ContainsSubstring("write(") && ContainsSubstring("(EPIPE)"));
}

#ifdef __linux__
TEST_CASE("clients: a name with two addresses, and the server at the second", "[programs][clients]") {
    if (geteuid() != 0) return skip("only root can replace /etc/hosts for one program");
    const Pair pair = GENERATE(from_range(echo_pairs()));
    if (pair.host != "127.0.0.1") return;
    if (!has_ipv6()) return;
    INFO(pair.name());
    const Server server = pair.start();
    const TempDir directory;
    const std::string hosts = directory / "hosts";
    write_file(hosts, "::1 localhost\n127.0.0.1 localhost\n");
    const std::string client = program(pair.client);
    Process process([&] {
        // In a mount namespace of its own (mount_namespaces(7)), which ends with the process.
        if (unshare(CLONE_NEWNS) == -1 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == -1 ||
            mount(hosts.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == -1) {
            _exit(77);
        }
        execl(client.c_str(), client.c_str(), "--host", "localhost", "--port", server.port().c_str(), nullptr);
    });
    process.feed("hello\n");
    process.close_input();
    if (process.wait().status == 77) return skip("no mount namespaces here");
    CHECK(process.out() == "hello\n");
    process.expect_exit(0);
}
#endif
