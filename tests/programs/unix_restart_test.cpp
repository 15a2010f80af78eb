// restart_server: replaced while clients transfer, not replaced by what can't replace it, and started by others.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <memory>

#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

const std::string name = "unix/restart_server";

/// "4711" of "... process 4711: ...".
pid_t process_in(const std::string& line) {
    return static_cast<pid_t>(std::stol(line.substr(line.find("process ") + 8)));
}

/// Waits until it has handed over, and returns its successor's process.
pid_t wait_for_successor(Process& server) {
    return process_in(server.expect_line(Stream::err, "handed over to process "));
}

/// The server and its successors. They belong to a shell that outlives them, and takes them with it.
class Chain {
public:
    explicit Chain(const std::string& path = program(name), const Process::Command& arguments = {})
        : shell_(command(path, arguments)) {
        current_ = process_in(shell_.expect_line(Stream::err, "process "));
        const std::string line = shell_.expect_line(Stream::out, "listening on ");
        address_ = line.substr(line.rfind(' ') + 1);
        port_ = address_.substr(address_.rfind(':') + 1);
    }

    pid_t current() const { return current_; }
    const std::string& port() const { return port_; }
    const std::string& address() const { return address_; }
    Process& shell() { return shell_; }
    Process::Command client() const { return {program("tcp/echo_client"), "--port", port_}; }
    void signal(int number) const { REQUIRE(kill(current_, number) == 0); }
    void wait_for_next() { current_ = wait_for_successor(shell_); }

    Peer connect() const {
        const Address address = resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(port_)), SOCK_STREAM).front();
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(::connect(fd, address.get(), address.length()) == 0);
        return Peer(fd);
    }

private:
    static Process::Command command(const std::string& path, const Process::Command& arguments) {
        Process::Command all{
            "sh", "-c",     "\"$0\" \"$@\" & echo process $! >&2; wait $!; echo ended with $? >&2; cat",
            path, "--port", "0"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }

    Process shell_;
    pid_t current_ = -1;
    std::string address_, port_;
};

/// The program in a file of its own, which can be replaced.
struct OwnFile {
    OwnFile() { restore(); }

    void replace_by_script(const std::string& script) const {
        std::filesystem::remove(path);
        write_file(path, "#!/bin/sh\n" + script + "\n");
        REQUIRE(chmod(path.c_str(), 0700) == 0);
    }

    void restore() const {
        std::filesystem::remove(path);
        std::filesystem::copy_file(program(name), path);
    }

    TempDir directory;
    std::string path = directory / "server";
};

[[maybe_unused]] size_t descriptors_of(pid_t pid) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
        (void)entry;
        ++count;
    }
    return count;
}

}  // namespace

TEST_CASE("restart: twenty times under load, no byte is lost and no connection refused", "[programs][unix]") {
    Chain chain;
#ifdef __linux__
    const size_t before = descriptors_of(chain.current());
#endif
    const int clients = is_sanitized() ? 2 : 4;
    std::vector<std::unique_ptr<Process>> transfers;
    std::vector<std::string> sent(static_cast<size_t>(clients));
    for (int i = 0; i < clients; ++i)
        transfers.push_back(std::make_unique<Process>(chain.client()));
    std::vector<Peer> others;
    for (unsigned restart = 0; restart < 20; ++restart) {
        for (size_t i = 0; i < transfers.size(); ++i) {
            const std::string piece = random_bytes(300'000, restart * 10 + static_cast<unsigned>(i));
            transfers[i]->feed(piece);
            sent[i] += piece;
        }
        transfers[0]->expect(Stream::out, sent[0].substr(sent[0].size() - 300'000, 20));  // it is under way
        chain.signal(SIGHUP);
        Peer peer = chain.connect();  // whoever of the two takes it
        peer.send("hello");
        CHECK(peer.receive(5) == "hello");
        chain.wait_for_next();
        peer.send("again");
        CHECK(peer.receive(5) == "again");
        others.push_back(std::move(peer));
    }
    for (size_t i = 0; i < transfers.size(); ++i) {
        transfers[i]->close_input();
        transfers[i]->expect_exit(0);
        CHECK((transfers[i]->out() == sent[i]));
    }
    for (Peer& peer : others) {
        peer.send("the first is not the last");
        CHECK(peer.receive(25) == "the first is not the last");
        peer.end_sending();
        CHECK(peer.receive_to_end().empty());
    }
    Process& shell = chain.shell();
    CHECK(lines_of(shell.out()) == std::vector<std::string>(21, "listening on " + chain.address()));
    CHECK(count_of(shell.err(), "handed over") == 20);
    CHECK_THAT(shell.err(), ContainsSubstring("\nended with 0\n"));  // the first of them, long ago
    CHECK(lines_of(shell.err()).size() == 22);                       // and not a word of complaint
#ifdef __linux__
    CHECK(descriptors_of(chain.current()) == before);
#endif
}

TEST_CASE("restart: what a slow reader is owed goes with it", "[programs][unix]") {
    Chain chain;
    Peer slow = chain.connect();
    std::string sent;
    pollfd room{slow.fd(), POLLOUT, 0};
    int full = 0;
    // Until nothing moves any more: all buffers are full, the server's own, too.
    while (full < 3) {
        const std::string piece = random_bytes(65536, static_cast<unsigned>(sent.size()));
        const ssize_t count = send(slow.fd(), piece.data(), piece.size(), MSG_DONTWAIT);
        if (count > 0) {
            sent += piece.substr(0, static_cast<size_t>(count));
            full = 0;
        } else if (poll(&room, 1, 50) == 0) {
            ++full;
        }
    }
    for (int restart = 0; restart < 2; ++restart) {
        chain.signal(SIGHUP);
        chain.wait_for_next();
    }
    slow.end_sending();
    CHECK((slow.receive(sent.size()) == sent));
    CHECK(slow.receive_to_end().empty());
}

TEST_CASE("restart: with no successor, or a bad one, the old one goes on", "[programs][unix]") {
    const OwnFile own;
    Chain chain(own.path, {"--patience", "1"});
    Process client(chain.client());
    const auto must_go_on = [&](const std::string& line) {
        client.feed(line + "\n");
        CHECK(client.expect(Stream::out, line + "\n") == line + "\n");
        CHECK(run(chain.client(), line) == line);
    };
    must_go_on("before");
    const std::string to_us = "$TWO_TERMINALS_PREDECESSOR";
    const std::vector<std::string> scripts{"",  // none
                                           "exit 3",
                                           "exec sleep 100",
                                           "printf x >&" + to_us,
                                           "printf r >&" + to_us + "; head -c 20 <&" + to_us + " >/dev/null",
                                           "printf rz >&" + to_us + "; exec sleep 100"};
    for (const std::string& script : scripts) {
        INFO("script: " << script);
        if (script.empty()) {
            std::filesystem::remove(own.path);
        } else {
            own.replace_by_script(script);
        }
        chain.signal(SIGHUP);
        chain.signal(SIGHUP);
        chain.shell().expect_line(Stream::err, ": going on");
        must_go_on(fmt::format("after a script of {} bytes", script.size()));
    }
    own.restore();
    chain.signal(SIGHUP);
    chain.wait_for_next();
    must_go_on("at last");
    client.close_input();
    client.expect_exit(0);
}

TEST_CASE("restart: silent clients, resets, and a full house", "[programs][unix]") {
    Server server = start_server(name, {"--idle", "1", "--clients", "2"});
    Peer silent = Peer::connected_to(server), deaf = Peer::connected_to(server);
    const std::string piece(65536, 'x');
    while (send(deaf.fd(), piece.data(), piece.size(), MSG_DONTWAIT) > 0) {
    }
    Process third(server.client("tcp/echo_client"));  // has to wait for the others' end
    third.feed("hello\n");
    third.expect(Stream::out, "hello\n");
    CHECK(silent.receive_to_end().empty());
    deaf.reset();
    Peer rude = Peer::connected_to(server);
    rude.send("hello");
    rude.reset();
    third.close_input();
    third.expect_exit(0);
    must_serve(server, "tcp/echo_client");
    CHECK(server.is_running());
}

TEST_CASE("restart: a predecessor that is none", "[programs][unix]") {
    for (const std::string value : {"x", "-1", "", "2", "4711"}) {
        INFO(value);
        Process server({program(name), "--port", "0"}, {.environment = {"TWO_TERMINALS_PREDECESSOR=" + value}});
        const Ending ending = server.wait();
        CHECK(ending == Ending{value == "4711" ? 1 : 2, 0});
        CHECK(lines_of(server.err()).size() == 1);
        CHECK(server.out().empty());
    }
}

// ---- Socket activation

namespace {

struct Handed {
    bool listening = true;
    bool open = true;
    std::string pid = {};  ///< "": the right one
    std::string count = "1";
};

/// As systemd starts a service: with a socket at descriptor 3. It is bound to 127.0.0.2, to be recognized.
std::unique_ptr<Process> activated(const Handed& handed) {
    const std::string path = program(name);
    return std::make_unique<Process>([=] {
        const Address address = resolve("127.0.0.2", 0, SOCK_STREAM).front();
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        if (bind(fd, address.get(), address.length()) != 0) _exit(98);
        if (handed.listening && listen(fd, 5) != 0) _exit(98);
        if (fd != 3) {
            dup2(fd, 3);
            close(fd);
        }
        if (!handed.open) close(3);
        setenv("LISTEN_PID", handed.pid.empty() ? std::to_string(getpid()).c_str() : handed.pid.c_str(), 1);
        setenv("LISTEN_FDS", handed.count.c_str(), 1);
        execl(path.c_str(), path.c_str(), "--port", "0", nullptr);
    });
}

}  // namespace

TEST_CASE("activation: the socket that it was handed", "[programs][unix]") {
    const auto server = activated({});
    const std::string line = server->expect_line(Stream::out, "listening on ");
    CHECK_THAT(line, StartsWith("listening on 127.0.0.2:"));
    const std::string port = line.substr(line.rfind(':') + 1);
    const Process::Command client{program("tcp/echo_client"), "--host", "127.0.0.2", "--port", port};
    CHECK(run(client, "hello") == "hello");
    server->signal(SIGHUP);  // its successor is handed it by another way, and must not be confused
    const pid_t successor = wait_for_successor(*server);
    CHECK(run(client, "again") == "again");
    CHECK(kill(successor, SIGTERM) == 0);
}

TEST_CASE("activation: what is meant for somebody else is left alone", "[programs][unix]") {
    for (const Handed& handed : {Handed{.pid = "1"}, Handed{.count = "0"}}) {
        INFO(handed.pid << " " << handed.count);
        const auto server = activated(handed);
        CHECK_THAT(server->expect_line(Stream::out, "listening on "), StartsWith("listening on 127.0.0.1:"));
        server->signal(SIGTERM);
        server->expect_exit(0);
    }
}

TEST_CASE("activation: what makes no sense is refused", "[programs][unix]") {
    const std::vector<std::pair<Handed, std::string>> wrong{
        {{.count = "x"}, "LISTEN_FDS x: expected a number"}, {{.count = "-1"}, "LISTEN_FDS -1: expected a number"},
        {{.count = ""}, "LISTEN_FDS : expected a number"},   {{.count = "2"}, "LISTEN_FDS 2: this server needs one"},
        {{.pid = "me"}, "LISTEN_PID me: expected a number"}, {{.listening = false}, "not a stream socket that listens"},
        {{.listening = false, .open = false}, "(EBADF)"},
    };
    for (const auto& [handed, message] : wrong) {
        INFO(message);
        const auto server = activated(handed);
        CHECK(server->wait() == Ending{handed.open ? 2 : 1, 0});
        CHECK_THAT(server->err(), ContainsSubstring(message));
        CHECK(lines_of(server->err()).size() == 1);
    }
}

TEST_CASE("activation: by systemd-socket-activate", "[programs][unix][foreign]") {
    if (!has_tool("systemd-socket-activate")) return;
    for (int tries = 1;; ++tries) {
        const std::string port = FreePort().text();
        Process launcher({"systemd-socket-activate", "-l", "127.0.0.1:" + port, program(name)});
        try {
            launcher.expect_line(Stream::err, "Listening on");
        } catch (const Unexpected&) {  // somebody else has got the port meanwhile
            if (tries == 5) throw;
            continue;
        }
        CHECK(run({program("tcp/echo_client"), "--port", port}, "hello") == "hello");  // which starts it
        CHECK(launcher.expect_line(Stream::out, "listening on ") == "listening on 127.0.0.1:" + port);
        launcher.signal(SIGTERM);
        launcher.expect_exit(0);
        break;
    }
}
