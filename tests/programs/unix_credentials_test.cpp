// Who is there? What the kernel says of clients, of other users, and of those who lie.

#include "common/call.hpp"
#include "common/socket_path.hpp"
#include "tests/catch.hpp"
#include "tests/programs/other_user.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <cstring>
#include <filesystem>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

const std::string server_program = "unix/credentials_server", client_program = "unix/credentials_client";

std::string name_of(uid_t user) {
    const passwd* entry = getpwuid(user);
    return entry != nullptr ? entry->pw_name : "uid " + std::to_string(user);
}

/// A server in a directory through which everybody may go.
struct Stage {
    TempDir directory;
    Server server;

    explicit Stage(Process::Command arguments = {}) : server(start(std::move(arguments))) {}

    Server start(Process::Command arguments) {
        chmod(directory.path().c_str(), 0711);
        arguments.insert(arguments.end(), {"--path", directory / "socket"});
        return start_server(server_program, arguments);
    }

    Process::Command client(const Process::Command& arguments = {}) const {
        return server.client(client_program, arguments);
    }
};

/// Lets a client send a line, whatever becomes of it.
void say_hello(Process& client, int status) {
    client.feed("hello\n");
    client.close_input();
    client.expect_exit(status);
}

void must_greet_us(const Stage& stage) {
    const std::string expected = "hello, " + name_of(geteuid()) + "\nhello\n";
    if (run(stage.client(), "hello\n") != expected) throw Unexpected("we were not greeted");
}

}  // namespace

TEST_CASE("unix credentials: the server knows us", "[programs][unix]") {
    Stage stage;
    const std::string us = name_of(geteuid());
    Process client(stage.client(), {.terminal = Terminal::all});
    client.expect(Stream::terminal, "hello, " + us + "\r\n");
    client.type("안녕\n");
    client.expect(Stream::terminal, "안녕\r\n안녕\r\n");
    client.type("\x04");
    client.expect_exit(0);
#ifdef __linux__
    const std::string pid = std::to_string(client.pid());
    CHECK(lines_of(stage.server.err()) ==
          std::vector<std::string>{"connected by " + us + ", pid " + pid, "7 bytes by " + us + ", pid " + pid});
#endif
    const std::string bytes = random_bytes(100'000);
    CHECK((run(stage.client(), bytes) == "hello, " + us + "\n" + bytes));
}

TEST_CASE("unix credentials: another user is refused, unless allowed", "[programs][unix]") {
    if (!has_other_user()) return;
    const std::string other = name_of(other_user);
    {
        Stage stage;
        Process client = by_other_user(stage.client());
        say_hello(client, 1);
        CHECK(client.out().empty());
        CHECK(client.err() == "the server: not for you, " + other + "\n");
        stage.server.expect_line(Stream::err, "refused: " + other);
        must_greet_us(stage);
    }
    for (const std::string& allowed : {other, std::to_string(other_user)}) {
        Stage stage({"--allow", allowed});
        Process client = by_other_user(stage.client());
        say_hello(client, 0);
        CHECK(client.out() == "hello, " + other + "\nhello\n");
        must_greet_us(stage);
    }
    // The directory alone keeps others away, too, before any of this.
    Stage stage({"--allow", other});
    chmod(stage.directory.path().c_str(), 0700);
    Process client = by_other_user(stage.client());
    say_hello(client, 1);
    CHECK_THAT(client.err(), ContainsSubstring("connect(") && ContainsSubstring("(EACCES)"));
}

TEST_CASE("unix credentials: users that there are not", "[programs][unix]") {
    for (const char* user : {"no such user", "", "-1", "4294967295", "\x1b[2J"}) {
        Process server({program(server_program), "--path", "/tmp/unused", "--allow", user});
        server.expect_exit(2);
        CHECK(lines_of(server.err()).size() == 1);
        CHECK_THAT(server.err(), StartsWith("--allow") && ContainsSubstring("expected a number"));
        CHECK(server.err().find('\x1b') == std::string::npos);
        for (const char* option : {"--claim", "--become"}) {
            Process client({program(client_program), "--path", "/tmp/unused", option, user});
            client.expect_exit(2);
            CHECK(lines_of(client.err()).size() == 1);
        }
    }
}

#ifdef __linux__
TEST_CASE("unix credentials: who lies is refused by the kernel", "[programs][unix]") {
    if (!has_other_user()) return;
    const std::string other = name_of(other_user), root = name_of(0);
    Stage stage({"--allow", other});
    SECTION("an ordinary user") {
        Process liar = by_other_user(stage.client({"--claim", "0"}));
        say_hello(liar, 1);
        CHECK_THAT(liar.err(), StartsWith("unix/credentials_client.cpp:") && ContainsSubstring("sendmsg(") &&
                                   ContainsSubstring("(EPERM)"));
        CHECK(liar.out() == "hello, " + other + "\n");
        CHECK(stage.server.err().find("bytes by") == std::string::npos);  // it never arrived
        Process honest = by_other_user(stage.client({"--claim", other}));
        say_hello(honest, 0);
        stage.server.expect_line(Stream::err, "6 bytes by " + other);
        Process climber = by_other_user(stage.client({"--become", "0"}));
        say_hello(climber, 1);
        CHECK_THAT(climber.err(), ContainsSubstring("(EPERM)"));
    }
    SECTION("root may say anything") {
        CHECK(run(stage.client({"--claim", other}), "hello\n") == "hello, " + root + "\nhello\n");
        stage.server.expect_line(Stream::err, "6 bytes by " + other + ", pid ");
    }
    must_greet_us(stage);
}

TEST_CASE("unix credentials: who connected is not always who speaks", "[programs][unix]") {
    if (!has_other_user()) return;
    const std::string other = name_of(other_user), us = name_of(geteuid());
    {
        Stage stage({"--allow", other});
        CHECK(run(stage.client({"--become", other}), "hello\n") == "hello, " + us + "\nhello\n");
        stage.server.expect_line(Stream::err, "connected by " + us);
        stage.server.expect_line(Stream::err, "6 bytes by " + other);
    }
    Stage stage;
    Process client(stage.client({"--become", other}));
    say_hello(client, 1);
    CHECK(client.out() == "hello, " + us + "\n");
    stage.server.expect_line(Stream::err, "refused: " + other);
    must_greet_us(stage);
}

TEST_CASE("unix credentials: descriptors that nobody asked for are closed", "[programs][unix]") {
    Stage stage;
    Peer peer = Peer::connected_to(stage.server);
    const std::string greeting = "hello, " + name_of(geteuid()) + "\n";
    CHECK(peer.receive(greeting.size()) == greeting);
    const auto open_descriptors = [&] {
        const std::filesystem::directory_iterator all("/proc/" + std::to_string(stage.server.pid()) + "/fd");
        return std::distance(begin(all), end(all));
    };
    const auto before = open_descriptors();
    for (int i = 0; i < 10; ++i) {
        const int passed[] = {0, 1, 2};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof passed)] = {};
        char byte = 'x';
        iovec content{.iov_base = &byte, .iov_len = 1};
        msghdr message{};
        message.msg_iov = &content;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* part = CMSG_FIRSTHDR(&message);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof passed);
        std::memcpy(CMSG_DATA(part), passed, sizeof passed);
        CALL(sendmsg(peer.fd(), &message, 0));
        CHECK(peer.receive(1) == "x");
    }
    CHECK(open_descriptors() == before);
}
#endif

TEST_CASE("unix credentials: clients that come and go", "[programs][unix]") {
    Stage stage;
    for (int i = 0; i < 50; ++i)
        Peer::connected_to(stage.server);
    Process killed(stage.client());
    killed.expect(Stream::out, "hello, ");
    killed.signal(SIGKILL);
    must_greet_us(stage);
    CHECK(stage.server.is_running());
}

TEST_CASE("unix credentials: servers that are none of ours", "[programs][unix]") {
    const TempDir directory;
    Peer listener = Peer::bound_to_path(directory / "socket");
    Process client({program(client_program), "--path", directory / "socket"}, {.terminal = Terminal::output});
    Peer connection = listener.accept();
    SECTION("hostile words") {
        connection.send("go away\x1b[2J\n");
        client.expect_exit(1);
        CHECK(client.err() == "the server: go away\\x1b[2J\n");
    }
    SECTION("no end of the greeting") {
        connection.send(std::string(100'000, 'x'));
        client.expect_exit(1);
        CHECK(client.err().size() < 1000);
    }
    SECTION("no greeting") {
        connection.close();
        client.expect_exit(1);
        CHECK(client.err() == "the server ended the connection\n");
    }
    SECTION("an end in the middle") {
        connection.send("hello, you\n");
        client.feed("hello\n");
        connection.receive(6);
        connection.send("hel");
        connection.close();
        client.expect_exit(1);
        CHECK(client.err() == "the server ended the connection\n");
    }
}

TEST_CASE("unix credentials: with socat", "[programs][unix][foreign]") {
    if (!has_tool("socat")) return;
    const Stage stage;
    CHECK(run({"socat", "-t", "30", "-", "UNIX-CONNECT:" + stage.server.path()}, "x\n") ==
          "hello, " + name_of(geteuid()) + "\nx\n");
}
