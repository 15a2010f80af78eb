// Datagrams and messages over Unix sockets: boundaries, names, what blocks, what is cut off, and peers that misbehave.

#include "common/call.hpp"
#include "common/socket_path.hpp"
#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <csignal>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

const std::string datagram_server = "unix/datagram_server", datagram_client = "unix/datagram_client";
const std::string seqpacket_server = "unix/seqpacket_server", seqpacket_client = "unix/seqpacket_client";

/// A datagram socket of the test's own, at a path, or without a name.
Peer datagram_peer(const std::string& path = "") {
    Peer peer(CALL(socket(AF_UNIX, SOCK_DGRAM, 0)));
    if (path.empty()) return peer;
    const Address address = unix_address(path);
    CALL(bind(peer.fd(), address.get(), address.length()));
    return peer;
}

/// A connection for messages.
Peer message_peer(const Server& server) {
    const int fd = CALL(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    const Address address = unix_address(server.path());
    CALL(connect(fd, address.get(), address.length()));
    return Peer(fd);
}

/// The next message, which is shorter than that.
std::string next_message(Peer& peer) {
    std::string message(65536, '\0');
    pollfd watched{peer.fd(), POLLIN, 0};
    wait_until([&] { return watched.revents != 0; }, "a message", patience, &watched);
    message.resize(static_cast<size_t>(CALL(recv(peer.fd(), message.data(), message.size(), 0))));
    return message;
}

bool has_seqpacket() {
#ifdef __linux__
    return true;
#else
    skip("this system has no SOCK_SEQPACKET for Unix sockets");
    return false;
#endif
}

std::vector<std::string> files_at(const std::string& directory) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        names.push_back(entry.path().filename().string());
    return names;
}

/// The pairs of this file, as they are here.
std::vector<Pair> message_pairs() {
    std::vector<Pair> pairs{{datagram_server, datagram_client, ""}};
#ifdef __linux__
    pairs.push_back({seqpacket_server, seqpacket_client, ""});
#endif
    return pairs;
}

}  // namespace

TEST_CASE("unix messages: typed and piped, line by line", "[programs][unix]") {
    const Pair pair = GENERATE(from_range(message_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    {
        Process client(server.client(pair.client), {.terminal = Terminal::all});
        for (const std::string line : {"hello", "안녕"}) {
            client.type(line + "\n");
            client.expect(Stream::terminal, line + "\r\n" + line + "\r\n");
        }
        client.type("\x04");
        client.expect_exit(0);
    }
    const auto echo = [&](const std::string& input) { return run(server.client(pair.client), input); };
    CHECK(echo("") == "");
    CHECK(echo("\n") == "\n");
    CHECK(echo("one\n\n\nfour\nfive, without a newline") == "one\n\n\nfour\nfive, without a newline");
    CHECK(echo(std::string("\0a\0\n\0\0", 6)) == std::string("\0a\0\n\0\0", 6));
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += std::to_string(i) + "\n";
    CHECK((echo(many) == many));
    CHECK(server.err().empty());
    for (const int signal : {SIGINT, SIGTERM}) {
        Server other = pair.start();
        other.signal(signal);
        other.expect_exit(0);
        CHECK(access(other.path().c_str(), F_OK) == -1);
    }
}

TEST_CASE("unix messages: clients that vanish", "[programs][unix]") {
    const Pair pair = GENERATE(from_range(message_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    for (int i = 0; i < 3; ++i) {
        Process client(server.client(pair.client));
        client.feed("hello\n");
        client.expect(Stream::out, "hello\n");
        client.signal(SIGKILL);
        client.wait();
        must_serve(server, pair.client);
    }
    CHECK(server.is_running());
}

TEST_CASE("unix messages: names that are taken", "[programs][unix]") {
    const Pair pair = GENERATE(from_range(message_pairs()));
    INFO(pair.name());
    const TempDir directory;
    const std::string path = directory / "socket";
    const auto refusal = [&] {
        Process server({program(pair.server), "--path", path});
        server.expect_exit(1);
        CHECK(lines_of(server.err()).size() == 1);
        return server.err();
    };
    SECTION("by a server that was killed") {
        {
            Server killed = pair.start({"--path", path});
            killed.signal(SIGKILL);
            killed.wait();
        }
        CHECK(access(path.c_str(), F_OK) == 0);
        must_serve(pair.start({"--path", path}), pair.client);
    }
    SECTION("by a server that lives") {
        const Server alive = pair.start({"--path", path});
        CHECK_THAT(refusal(), ContainsSubstring("bind(") && ContainsSubstring("(EADDRINUSE)"));
        must_serve(alive, pair.client);
    }
    SECTION("by a server of another type") {
        const Server alive = start_server("unix/echo_server", {"--path", path});
        CHECK_THAT(refusal(), ContainsSubstring("(EADDRINUSE)"));
        must_serve(alive, "unix/echo_client");
        Process client({program(pair.client), "--path", path});
        client.feed("hello\n");
        client.expect_exit(1);
        CHECK_THAT(client.err(), ContainsSubstring("(EPROTOTYPE): a socket of another type has this name"));
    }
    SECTION("by a file that is no socket") {
        write_file(path, "dear reader");
        CHECK_THAT(refusal(), ContainsSubstring("(EADDRINUSE)"));
        CHECK(read_file(path) == "dear reader");
        Process client({program(pair.client), "--path", path});
        client.feed("hello\n");
        client.expect_exit(1);
        CHECK_THAT(client.err(), ContainsSubstring("(ECONNREFUSED)"));
    }
    SECTION("by nobody") {
        Process client({program(pair.client), "--path", path});
        client.feed("hello\n");
        client.expect_exit(1);
        CHECK_THAT(client.err(), StartsWith(pair.client + ".cpp:") && ContainsSubstring("(ENOENT)"));
        CHECK(lines_of(client.err()).size() == 1);
    }
}

TEST_CASE("unix messages: a server that does not answer is waited for no longer than --timeout", "[programs][unix]") {
    std::vector<std::unique_ptr<Process>> clients;  // all of them wait at the same time
    std::vector<std::unique_ptr<Server>> servers;
    for (const Pair& pair : message_pairs()) {
        servers.emplace_back(new Server(pair.start()));  // which can be neither copied nor moved
        servers.back()->signal(SIGSTOP);
        clients.push_back(std::make_unique<Process>(servers.back()->client(pair.client, {"--timeout", "1"})));
        clients.back()->feed("hello\n");
    }
    for (const auto& client : clients) {
        client->expect_exit(1);
        CHECK(lines_of(client->err()).size() == 1);
        CHECK_THAT(client->err(), ContainsSubstring("recv") && ContainsSubstring("(EAGAIN)"));
    }
}

TEST_CASE("unix messages: a message larger than the sender's buffer", "[programs][unix]") {
    const Pair pair = GENERATE(from_range(message_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process client(server.client(pair.client));
    client.feed(std::string(3'000'000, 'x') + "\n");
    client.expect_exit(1);
    CHECK_THAT(client.err(), ContainsSubstring("send") && ContainsSubstring("(EMSGSIZE)"));
    must_serve(server, pair.client);
}

TEST_CASE("unix: silent clients, and clients that never read, are given up", "[programs][unix]") {
    struct Trouble {
        std::string program;
        Server idle = start_server(program, {"--idle", "1"}), stuck = start_server(program, {"--idle", "1"});
        Peer silent = connected(idle), deaf = connected(stuck);

        explicit Trouble(std::string name) : program(std::move(name)) {}
        Peer connected(const Server& server) const {
            const int type = program == seqpacket_server ? SOCK_SEQPACKET : SOCK_STREAM;
            Peer peer(CALL(socket(AF_UNIX, type, 0)));
            sockaddr_un address{};
            address.sun_family = AF_UNIX;
            const bool abstract = server.address().front() == '@';
            server.path().copy(address.sun_path + (abstract ? 1 : 0), sizeof address.sun_path - 1);
            const auto length = offsetof(sockaddr_un, sun_path) + server.path().size() + 1;  // a 0 before, or behind
            CALL(connect(peer.fd(), reinterpret_cast<sockaddr*>(&address), static_cast<socklen_t>(length)));
            return peer;
        }
    };
    std::vector<std::unique_ptr<Trouble>> troubles;  // all of them at the same time
    for (const std::string name : {"unix/seqpacket_server", "unix/abstract_server", "unix/credentials_server"}) {
        if (access(program(name).c_str(), X_OK) != 0) continue;  // of another system
        if (name == seqpacket_server && !has_seqpacket()) continue;
        troubles.push_back(std::make_unique<Trouble>(name));
    }
    const std::string piece(4096, 'x');
    const auto are_given_up = [&] {
        bool all = true;
        for (const auto& trouble : troubles) {
            while (send(trouble->deaf.fd(), piece.data(), piece.size(), MSG_DONTWAIT) > 0) {
            }
            all = all && trouble->stuck.err().find("send(") != std::string::npos;
        }
        return all;
    };
    wait_until(are_given_up, "the servers to give the clients up");
    for (const auto& trouble : troubles) {
        INFO(trouble->program);
        CHECK_THAT(lines_with(trouble->stuck.err(), "send(").back(), ContainsSubstring("(EAGAIN)"));
        trouble->silent.receive_to_end();
        CHECK_THAT(trouble->idle.expect_line(Stream::err, "recv"), ContainsSubstring("(EAGAIN)"));
        const std::string client = trouble->program.substr(0, trouble->program.find("_server")) + "_client";
        for (const Server* server : {&trouble->idle, &trouble->stuck})
            CHECK_THAT(run(server->client(client), "is anybody there?\n"), ContainsSubstring("is anybody there?\n"));
    }
}

// ---- Datagrams

TEST_CASE("unix datagrams: the client has a name while it runs, and takes it away", "[programs][unix]") {
    const TempDir directory;
    const Server server = start_server(datagram_server);
    const Surroundings at_home{.environment = {"XDG_RUNTIME_DIR=" + directory.path()}};
    for (const int signal : {0, SIGINT, SIGTERM}) {
        INFO("signal " << signal);
        Process client(server.client(datagram_client), at_home);
        client.feed("hello\n");
        client.expect(Stream::out, "hello\n");
        CHECK(files_at(directory / "two-terminals") ==
              std::vector<std::string>{"datagram." + std::to_string(client.pid())});
        if (signal == 0) {
            client.close_input();
        } else {
            client.signal(signal);
        }
        CHECK(client.wait().signal == signal);
        CHECK(files_at(directory / "two-terminals").empty());
    }
    // Two of one name can't be; a name of one's own choice may be.
    const Peer taken = datagram_peer(directory / "mine");
    Process client(server.client(datagram_client, {"--own-path", directory / "mine"}));
    client.expect_exit(1);
    CHECK_THAT(client.err(), ContainsSubstring("(EADDRINUSE)"));
    CHECK(run(server.client(datagram_client, {"--own-path", directory / "other"}), "x") == "x");
}

TEST_CASE("unix datagrams: without a name there is no answer", "[programs][unix]") {
    Server server = start_server(datagram_server);
    CHECK(run(server.client(datagram_client, {"--no-name"}), "hello\n") == "");
    CHECK(server.expect_line(Stream::err, "without a name") ==
          "6 bytes from a socket without a name: there is nowhere to answer to");
    must_serve(server, datagram_client);
}

TEST_CASE("unix datagrams: nothing is lost, and the sender waits", "[programs][unix]") {
    Server server = start_server(datagram_server);
    server.signal(SIGSTOP);
    std::string input;
    std::vector<std::string> expected;
    for (size_t i = 1; i <= 100; ++i) {
        input += std::string(i - 1, 'x') + "\n";
        expected.push_back(std::to_string(i) + " bytes from a socket without a name: there is nowhere to answer to");
    }
    Process client(server.client(datagram_client, {"--no-name", "--trace"}));
    client.feed(input);
    client.close_input();
    const auto taken = [&] { return count_of(client.err(), "\n    = ") - 3; };  // socket and setsockopt aside
#ifdef __linux__
    const auto room = std::stoul(read_file("/proc/sys/net/unix/max_dgram_qlen")) + 1;
    if (room >= 100) return skip("the queue of a datagram socket has room for " + std::to_string(room));
    const auto is_asleep = [&] {
        return read_file(fmt::format("/proc/{}/stat", client.pid())).find(") S ") != std::string::npos;
    };
    wait_until([&] { return count_of(client.err(), "  sendto(") == room + 1 && taken() == room && is_asleep(); },
               "a sender that waits for a full queue");
#else
    wait_until([&] { return taken() > 0; }, "the first datagrams");
#endif
    server.signal(SIGCONT);
#ifndef __linux__
    return;  // macOS says ENOBUFS instead of waiting
#endif
    client.expect_exit(0);
    CHECK_THAT(client.err(), ContainsSubstring("(blocked"));
    CHECK(taken() == 101);  // and close()
    wait_until([&] { return lines_of(server.err()).size() == 100; }, "all datagrams");
    CHECK(lines_of(server.err()) == expected);
}

TEST_CASE("unix datagrams: clients that never read, are gone, say nothing or too much", "[programs][unix]") {
    Server server = start_server(datagram_server);
    const Address address = unix_address(server.path());
    const TempDir directory;
    SECTION("never reads") {
        Peer deaf = datagram_peer(directory / "deaf");
        pollfd room{deaf.fd(), POLLOUT, 0};
        const auto is_given_up = [&] {
            const std::string large(4096, 'x');
            while (sendto(deaf.fd(), large.data(), large.size(), 0, address.get(), address.length()) > 0) {
            }
            return server.err().find("(EAGAIN)") != std::string::npos;
        };
        wait_until(is_given_up, "the server to go on without it", patience, &room);
        CHECK_THAT(server.err(), StartsWith("unix/datagram_server.cpp:") && ContainsSubstring("sendto("));
    }
    SECTION("is gone") {
        server.signal(SIGSTOP);
        {
            Peer gone = datagram_peer(directory / "gone");
            gone.send_to(address, "hello");
            Peer removed = datagram_peer(directory / "removed");
            removed.send_to(address, "hello");
            unlink((directory / "removed").c_str());
        }
        server.signal(SIGCONT);
        CHECK_THAT(server.expect_line(Stream::err, "sendto("), ContainsSubstring("(ECONNREFUSED)"));
        CHECK_THAT(server.expect_line(Stream::err, "sendto("), ContainsSubstring("(ENOENT)"));
    }
    SECTION("says nothing") {
        Peer peer = datagram_peer(directory / "peer");
        peer.send_to(address, "");
        Address sender;
        CHECK(peer.receive_from(sender).empty());
        CHECK(sender == address);
        Peer nameless = datagram_peer();
        nameless.send_to(address, "");
        server.expect_line(Stream::err, "0 bytes from a socket without a name");
    }
    SECTION("says too much, under a name that could command a terminal") {
        const std::string name = directory / "\x1b[2J\n";
        Peer peer = datagram_peer(name);
        Address sender;
        peer.send_to(address, std::string(4096, 'x'));
        CHECK(peer.receive_from(sender) == std::string(4096, 'x'));
        peer.send_to(address, std::string(4097, 'x'));
        CHECK(peer.receive_from(sender) == std::string(4096, 'x'));
        CHECK(server.expect_line(Stream::err, "cut off") ==
              "cut off after 4096 bytes, the rest is lost: from " + directory / "\\x1b[2J\\n");
        CHECK(lines_of(server.err()).size() == 1);
    }
    must_serve(server, datagram_client);
    CHECK(server.is_running());
}

TEST_CASE("unix datagrams: an answer by somebody else is passed over", "[programs][unix]") {
    const TempDir directory;
    Peer server = datagram_peer(directory / "server");
    Peer other = datagram_peer(directory / "other\x1b");
    Peer nameless = datagram_peer();
    Process client({program(datagram_client), "--path", directory / "server", "--own-path", directory / "client"},
                   {.terminal = Terminal::output});
    client.feed("hello\n");
    Address address;
    CHECK(server.receive_from(address) == "hello\n");
    CHECK(address.text() == directory / "client");
    other.send_to(address, "wrong\n");
    nameless.send_to(address, "wrong\n");
    CHECK(client.expect_line(Stream::err, "passed") ==
          "passed over 6 bytes from " + directory / "other\\x1b, which is not the server");
    client.expect_line(Stream::err, "passed over 6 bytes from a socket without a name, which is not the server");
    server.send_to(address, "he\x1b[2Jllo\n");
    CHECK(client.expect(Stream::terminal, "\n") == "he\\x1b[2Jllo\r\n");
    client.close_input();
    client.expect_exit(0);
}

TEST_CASE("unix datagrams: with socat", "[programs][unix][foreign]") {
    if (!has_tool("socat")) return;
    const TempDir directory;
    Server server = start_server(datagram_server);
    SECTION("as a client, with a name") {
        Process client({"socat", "-", "UNIX-SENDTO:" + server.path() + ",bind=" + directory / "socat"});
        for (const char* line : {"hello\n", "안녕\n"}) {
            client.feed(line);
            CHECK(client.expect(Stream::out, line) == line);
        }
    }
    SECTION("as a client, without one") {
        CHECK(run({"socat", "-u", "-", "UNIX-SENDTO:" + server.path()}, "hello\n") == "");
        server.expect_line(Stream::err, "6 bytes from a socket without a name");
    }
    SECTION("as the server") {
        Process theirs({"socat", "-d", "-d", "UNIX-RECVFROM:" + directory / "socat" + ",fork", "EXEC:cat"});
        wait_until([&] { return access((directory / "socat").c_str(), F_OK) == 0; }, "socat's socket");
        CHECK(run({program(datagram_client), "--path", directory / "socat"}, "hello\n안녕\n") == "hello\n안녕\n");
    }
}

// ---- Messages on a connection

TEST_CASE("unix seqpacket: boundaries are kept", "[programs][unix]") {
    if (!has_seqpacket()) return;
    const Server server = start_server(seqpacket_server);
    Peer peer = message_peer(server);
    const std::vector<std::string> messages{"a", "hello", std::string(4096, 'x'), "b"};
    for (const std::string& message : messages)
        CALL(send(peer.fd(), message.data(), message.size(), 0));
    for (const std::string& message : messages)
        CHECK(next_message(peer) == message);
    peer.end_sending();
    CHECK(next_message(peer).empty());
    peer.close();
    const std::string lines = "1\n22\n333\n4444\n5\n6\n7\n8";
    CHECK(run(server.client(seqpacket_client, {"--ahead", "5"}), lines) == lines);
}

TEST_CASE("unix seqpacket: what does not fit is lost, and the next message is whole", "[programs][unix]") {
    if (!has_seqpacket()) return;
    Server server = start_server(seqpacket_server, {"--room", "5"});
    CHECK(run(server.client(seqpacket_client), "12345\nab\n123456789\ncd\n") == "12345ab\n12345cd\n");
    CHECK(count_of(server.err(), "a message was cut off after 5 bytes, and the rest is lost\n") == 2);
    CHECK(run(server.client(seqpacket_client), "1234\n") == "1234\n");  // just fits
    CHECK(count_of(server.err(), "cut off") == 2);
}

TEST_CASE("unix seqpacket: an empty message is an end; clients that come and go", "[programs][unix]") {
    if (!has_seqpacket()) return;
    Server server = start_server(seqpacket_server);
    Peer empty = message_peer(server);
    CALL(send(empty.fd(), "", 0, 0));
    CHECK(next_message(empty).empty());  // which the server took for the end
    for (int i = 0; i < 100; ++i)
        message_peer(server);
    must_serve(server, seqpacket_client);
    CHECK(server.err().empty());
}

TEST_CASE("unix seqpacket: the server ends the connection", "[programs][unix]") {
    if (!has_seqpacket()) return;
    Server server = start_server(seqpacket_server);
    Process client(server.client(seqpacket_client));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    server.signal(SIGSTOP);
    Process waiting(server.client(seqpacket_client, {"--trace"}));
    waiting.feed("hello\n");
    waiting.expect_line(Stream::err, "recv(");  // sent, and still in the queue of connections
    client.feed("hello\n");
    server.signal(SIGKILL);
    client.expect_exit(1);
    waiting.expect_exit(1);
    CHECK(lines_of(client.err()).size() == 1);
}

TEST_CASE("unix seqpacket: a system that has none says so", "[programs][unix]") {
    for (const std::string& name : {seqpacket_server, seqpacket_client}) {
        Process process({program(name), "--path", "/tmp/unused", "--fault", "socket:EPROTONOSUPPORT"});
        process.expect_exit(1);
        CHECK_THAT(lines_of(process.err()).back(), StartsWith(name + ".cpp:") && ContainsSubstring("EPROTONOSUPPORT") &&
                                                       ContainsSubstring("use SOCK_STREAM with lengths"));
    }
}

TEST_CASE("unix seqpacket: with socat", "[programs][unix][foreign]") {
    if (!has_seqpacket() || !has_tool("socat")) return;
    const Server server = start_server(seqpacket_server);
    CHECK(run({"socat", "-t", "30", "-", "UNIX-CONNECT:" + server.path() + ",type=5"}, "hello") == "hello");

    const TempDir directory;
    Process theirs({"socat", "UNIX-LISTEN:" + directory / "socat" + ",type=5,fork", "EXEC:cat"});
    wait_until([&] { return access((directory / "socat").c_str(), F_OK) == 0; }, "socat's socket");
    Process client({program(seqpacket_client), "--path", directory / "socat"});
    for (const char* line : {"hello\n", "안녕\n"}) {
        client.feed(line);
        CHECK(client.expect(Stream::out, line) == line);
    }
    client.close_input();
    client.expect_exit(0);
}
