// The changes in the kernel that the narrator tells of. Each test makes a few calls in a child, and reads what was told
// after one of them. Ports become letters, in the order in which they occur.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/socket_path.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/narration.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <arpa/inet.h>
#include <cstring>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Lines = std::vector<std::string>;

int listen_on(const char* host, int backlog) {
    const Address address = resolve(host, 0, SOCK_STREAM).front();
    const int listener = socket(address.family(), SOCK_STREAM, 0);
    if (bind(listener, address.get(), address.length()) == -1 || listen(listener, backlog) == -1) _exit(98);
    return listener;
}

Address name_of(int fd) {
    Address address;
    getsockname(fd, address.out(), address.out_length());
    return address;
}

int connect_to(const Address& address) {
    const int fd = socket(address.family(), SOCK_STREAM, 0);
    if (connect(fd, address.get(), address.length()) == -1) _exit(97);
    return fd;
}

/// Waits, untold, until a socket has something to say.
void wait_for(int fd, short events = POLLIN) {
    pollfd watched{fd, events, 0};
    poll(&watched, 1, static_cast<int>(patience.count()));
}

/// A call that does nothing, after which the narrator looks at what has changed meanwhile.
int nothing() { return 0; }

Lines told(const std::string& call, const std::function<void()>& body) {
    return told_after(with_lettered_ports(narrated(body)), call);
}

std::string joined(const Lines& lines) {
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    return text;
}

}  // namespace

TEST_CASE("states: a TCP listener and its queue", "[unit][states]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const std::string shown = host == "::1" ? "[::1]" : host;
    const Lines lines = with_lettered_ports(narrated([&] {
        const Address any = resolve(host, 0, SOCK_STREAM).front();
        const int listener = CALL(socket(any.family(), SOCK_STREAM, 0));
        CALL(bind(listener, any.get(), any.length()));
        CALL(listen(listener, 5));
        const Address address = name_of(listener);
        const int client = socket(address.family(), SOCK_STREAM, 0);
        CALL(connect(client, address.get(), address.length()));
        wait_for(listener);
        CALL(nothing());
        const int connection = CALL(accept(listener, nullptr, nullptr));
        (void)connection;
    }));
    CHECK(told_after(lines, "socket(any.family(), SOCK_STREAM, 0)") == Lines{"= 3", "fd 3  new TCP socket: CLOSED"});
    CHECK(told_after(lines, "bind(listener, any.get(), any.length())") ==
          Lines{"= 0", "fd 3  CLOSED  " + shown + ":A"});
    CHECK(told_after(lines, "listen(listener, 5)") ==
          Lines{"= 0", "fd 3  CLOSED -> LISTEN  " + shown + ":A  queue 0/5"});
    // The kernel puts the connection into the queue before or after connect() has returned.
    CHECK_THAT(joined(lines), ContainsSubstring("fd 4  CLOSED -> ESTABLISHED  " + shown + ":B <-> " + shown + ":A\n"));
    CHECK_THAT(joined(lines), ContainsSubstring("fd 3  LISTEN  " + shown + ":A  queue 0 -> 1/5"));
    const Lines accepted = told_after(lines, "accept(listener, nullptr, nullptr)");
    REQUIRE(accepted.size() == 3);
    CHECK(accepted[1] == "fd 3  LISTEN  " + shown + ":A  queue 1 -> 0/5");
    CHECK(accepted[2] == "fd 5  new TCP socket: ESTABLISHED  " + shown + ":A <-> " + shown + ":B");
}

TEST_CASE("states: bytes that wait to be read", "[unit][states]") {
    const Lines lines = with_lettered_ports(narrated([] {
        const int listener = listen_on("127.0.0.1", 1);
        const int client = connect_to(name_of(listener));
        const int connection = accept(listener, nullptr, nullptr);
        CALL(poll(nullptr, 0, 0));
        [[maybe_unused]] const auto sent = send(client, "hello", 5, 0);
        wait_for(connection);
        CALL(nothing());
        char bytes[3];
        CALL(recv(connection, bytes, sizeof bytes, 0));
        CALL(recv(connection, bytes, sizeof bytes, 0));
    }));
    // What no call of ours has done is told of before the next one, and not again after it.
    const std::string news = "fd 5  ESTABLISHED  127.0.0.1:A <-> 127.0.0.1:B  unread 0 -> 5  (meanwhile)\n";
    CHECK_THAT(joined(lines), ContainsSubstring(news + "nothing()\n= 0\n"));
    CHECK(told_after(lines, "recv(connection, bytes, sizeof bytes, 0)") ==
          Lines{"= 3", "fd 5  ESTABLISHED  127.0.0.1:A <-> 127.0.0.1:B  unread 5 -> 2"});
    CHECK(lines.back() == "fd 5  ESTABLISHED  127.0.0.1:A <-> 127.0.0.1:B  unread 2 -> 0");
}

TEST_CASE("states: bytes that the peer has not acknowledged", "[unit][states]") {
    // The peer reads nothing and its buffers are small: some of this must stay in ours.
    const Lines lines = told("send(client, much.data(), much.size(), MSG_DONTWAIT)", [] {
        const int listener = socket(AF_INET, SOCK_STREAM, 0);
        const int small = 4096;
        setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        const Address any = resolve("127.0.0.1", 0, SOCK_STREAM).front();
        if (bind(listener, any.get(), any.length()) == -1 || listen(listener, 1) == -1) _exit(98);
        const int client = connect_to(name_of(listener));
        CALL(nothing());
        const std::string much(200'000, 'x');
        CALL(send(client, much.data(), much.size(), MSG_DONTWAIT));
    });
    bool found = false;
    for (const std::string& line : lines)
        found = found || line.find("fd 4  ESTABLISHED") == 0;
    REQUIRE(found);
    CHECK_THAT(lines.back(), ContainsSubstring("  unacknowledged 0 -> "));
}

TEST_CASE("states: TCP's goodbye, the active side down to TIME_WAIT", "[unit][states]") {
    const Lines lines = with_lettered_ports(narrated([] {
        const int listener = listen_on("127.0.0.1", 1);
        const int client = connect_to(name_of(listener));
        const int connection = accept(listener, nullptr, nullptr);
        close(listener);
        CALL(nothing());
        CALL(shutdown(client, SHUT_WR));
        char byte = 0;
        CALL(recv(connection, &byte, 1, 0));
        CALL(close(connection));
        CALL(recv(client, &byte, 1, 0));
        CALL(close(client));
    }));
    const std::string client = "  127.0.0.1:A <-> 127.0.0.1:B";
    const std::string connection = "  127.0.0.1:B <-> 127.0.0.1:A";
    // Which of the states between are seen depends on when the kernel gets to them.
    CHECK_THAT(joined(lines), ContainsSubstring("fd 4  ESTABLISHED -> FIN_WAIT_"));
    CHECK_THAT(joined(lines), ContainsSubstring("fd 5  ESTABLISHED -> CLOSE_WAIT" + connection));
    CHECK_THAT(joined(lines), ContainsSubstring("fd 5  CLOSE_WAIT -> closed" + connection));
    CHECK_THAT(joined(lines), ContainsSubstring(" -> TIME_WAIT" + client));
    CHECK(lines.back() == "fd 4  TIME_WAIT -> closed" + client + ", the connection: TIME_WAIT");
}

TEST_CASE("states: a connection outlives its descriptor, and is followed by its pair of addresses", "[unit][states]") {
    const Lines lines = with_lettered_ports(narrated([] {
        const int listener = listen_on("127.0.0.1", 1);
        const int client = connect_to(name_of(listener));
        const int connection = accept(listener, nullptr, nullptr);
        close(listener);
        CALL(nothing());
        CALL(close(client));
        wait_for(connection);  // the FIN
        CALL(nothing());
        CALL(close(connection));
        CALL(nothing());
    }));
    const std::string pair = "  127.0.0.1:A <-> 127.0.0.1:B";
    const std::string told = joined(lines);
    CHECK_THAT(told, ContainsSubstring("fd 4  ESTABLISHED -> closed" + pair + ", the connection: FIN_WAIT_"));
    CHECK_THAT(told, ContainsSubstring("(closed)  FIN_WAIT_"));
    CHECK_THAT(told, ContainsSubstring(" -> TIME_WAIT" + pair));
    CHECK(told.rfind("TIME_WAIT") == told.find("TIME_WAIT"));  // and that is the end of the story
}

TEST_CASE("states: a reset", "[unit][states]") {
    const Lines lines = told("recv(connection, &byte, 1, 0)", [] {
        const int listener = listen_on("127.0.0.1", 1);
        const int client = connect_to(name_of(listener));
        const int connection = accept(listener, nullptr, nullptr);
        CALL(nothing());
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        close(client);
        wait_for(connection);
        char byte = 0;
        TRY(recv(connection, &byte, 1, 0));
    });
    REQUIRE(!lines.empty());
    CHECK_THAT(lines[0], StartsWith("= -1 ECONNRESET"));
}

TEST_CASE("states: a refused connection", "[unit][states]") {
    const Lines lines = told("connect(fd, address.get(), address.length())", [] {
        const int holder = socket(AF_INET, SOCK_STREAM, 0);  // bound, but it doesn't listen
        const Address any = resolve("127.0.0.1", 0, SOCK_STREAM).front();
        if (bind(holder, any.get(), any.length()) == -1) _exit(98);
        const Address address = name_of(holder);
        const int fd = socket(AF_INET, SOCK_STREAM, 0);
        CALL(nothing());
        TRY(connect(fd, address.get(), address.length()));
    });
    REQUIRE(!lines.empty());
    CHECK_THAT(lines[0], StartsWith("= -1 ECONNREFUSED (Connection refused)"));
    for (const std::string& line : lines)
        CHECK(line.find("ESTABLISHED") == std::string::npos);
}

TEST_CASE("states: UDP", "[unit][states]") {
    const Lines lines = with_lettered_ports(narrated([] {
        const int server = CALL(socket(AF_INET, SOCK_DGRAM, 0));
        const Address any = resolve("127.0.0.1", 0, SOCK_DGRAM).front();
        CALL(bind(server, any.get(), any.length()));
        const Address address = name_of(server);
        const int client = CALL(socket(AF_INET, SOCK_DGRAM, 0));
        CALL(sendto(client, "hello", 5, 0, address.get(), address.length()));
        wait_for(server);
        CALL(nothing());
        CALL(connect(client, address.get(), address.length()));
        char bytes[10];
        CALL(recv(server, bytes, sizeof bytes, 0));
        CALL(close(client));
    }));
    CHECK(told_after(lines, "socket(AF_INET, SOCK_DGRAM, 0)") == Lines{"= 3", "fd 3  new UDP socket: unbound"});
    CHECK(told_after(lines, "bind(server, any.get(), any.length())") ==
          Lines{"= 0", "fd 3  unbound -> bound  127.0.0.1:A"});
    // The first datagram makes the kernel choose a port.
    CHECK_THAT(told_after(lines, "sendto(client, \"hello\", 5, 0, address.get(), address.length())").back(),
               ContainsSubstring("fd 4  unbound -> bound  0.0.0.0:B"));
    CHECK(told_after(lines, "connect(client, address.get(), address.length())").back() ==
          "fd 4  bound -> connected  127.0.0.1:B <-> 127.0.0.1:A");
    CHECK(told_after(lines, "recv(server, bytes, sizeof bytes, 0)").back() ==
          "fd 3  bound  127.0.0.1:A  unread 5 -> 0");
    CHECK(lines.back() == "fd 4  connected -> closed  127.0.0.1:B <-> 127.0.0.1:A");
}

TEST_CASE("states: Unix stream sockets", "[unit][states]") {
    const TempDir directory;
    const std::string path = directory / "s";
    const Lines lines = narrated([&] {
        const Address address = unix_address(path);
        const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
        CALL(bind(listener, address.get(), address.length()));
        CALL(listen(listener, 5));
        const int client = socket(AF_UNIX, SOCK_STREAM, 0);
        CALL(connect(client, address.get(), address.length()));
        const int connection = CALL(accept(listener, nullptr, nullptr));
        CALL(send(client, "hi", 2, 0));
        CALL(shutdown(client, SHUT_WR));
        CALL(close(connection));
        CALL(close(client));
    });
    CHECK(told_after(lines, "socket(AF_UNIX, SOCK_STREAM, 0)") ==
          Lines{"= 3", "fd 3  new Unix stream socket: unbound"});
    CHECK(told_after(lines, "bind(listener, address.get(), address.length())") ==
          Lines{"= 0", "fd 3  unbound -> bound  " + path});
    CHECK(told_after(lines, "listen(listener, 5)")[1].find("fd 3  bound -> listening  " + path) == 0);
    CHECK(told_after(lines, "connect(client, address.get(), address.length())").back() ==
          "fd 4  unbound -> connected  (no name) <-> " + path);
    CHECK_THAT(told_after(lines, "accept(listener, nullptr, nullptr)").back(),
               StartsWith("fd 5  new Unix stream socket: connected  " + path));
    CHECK_THAT(told_after(lines, "send(client, \"hi\", 2, 0)").back(), ContainsSubstring("fd 5  connected  " + path));
    CHECK_THAT(told_after(lines, "send(client, \"hi\", 2, 0)").back(), ContainsSubstring("unread 0 -> 2"));
    CHECK_THAT(told_after(lines, "shutdown(client, SHUT_WR)").back(),
               ContainsSubstring("fd 5  connected -> peer sends no more"));
    const Lines closed = told_after(lines, "close(connection)");
    CHECK_THAT(closed[1], ContainsSubstring("fd 5  peer sends no more -> closed"));
    CHECK_THAT(closed[2], ContainsSubstring("fd 4  connected -> closed by peer"));
    CHECK_THAT(lines.back(), StartsWith("fd 4  closed by peer -> closed"));
}

TEST_CASE("states: Unix datagram and seqpacket sockets, and socketpair()", "[unit][states]") {
    const Lines lines = narrated([] {
        int pair[2];
        CALL(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair));
        CALL(send(pair[0], "hello", 5, 0));
#ifdef __linux__
        CALL(socket(AF_UNIX, SOCK_SEQPACKET, 0));
#endif
    });
    CHECK(told_after(lines, "socketpair(AF_UNIX, SOCK_DGRAM, 0, pair)") ==
          Lines{"= 0", "fd 3  new Unix datagram socket: connected", "fd 4  new Unix datagram socket: connected"});
    CHECK(told_after(lines, "send(pair[0], \"hello\", 5, 0)") == Lines{"= 5", "fd 4  connected  unread 0 -> 5"});
#ifdef __linux__
    CHECK(lines.back() == "fd 5  new Unix seqpacket socket: unbound");
#endif
}

TEST_CASE("states: dup() is a second descriptor of the same socket", "[unit][states]") {
    const Lines lines = with_lettered_ports(narrated([] {
        const int listener = listen_on("127.0.0.1", 1);
        const int client = connect_to(name_of(listener));
        CALL(nothing());
        const int second = CALL(dup(client));
        CALL(close(client));
        CALL(close(second));
    }));
    CHECK(told_after(lines, "dup(client)") ==
          Lines{"= 5", "fd 5  new TCP socket: ESTABLISHED  127.0.0.1:B <-> 127.0.0.1:A"});
    // The connection lives on in the other descriptor: nothing is said of its end.
    CHECK(told_after(lines, "close(client)") ==
          Lines{"= 0", "fd 4  ESTABLISHED -> closed  127.0.0.1:B <-> 127.0.0.1:A"});
    CHECK_THAT(told_after(lines, "close(second)").back(),
               StartsWith("fd 5  ESTABLISHED -> closed  127.0.0.1:B <-> 127.0.0.1:A, the connection: FIN_WAIT_"));
}

TEST_CASE("states: a number that is used again is another socket", "[unit][states]") {
    const Lines lines = told("dup2(datagrams, stream)", [] {
        const int stream = socket(AF_INET, SOCK_STREAM, 0);
        const int datagrams = socket(AF_INET, SOCK_DGRAM, 0);
        CALL(nothing());
        CALL(dup2(datagrams, stream));
    });
    CHECK(lines == Lines{"= 3", "fd 3  CLOSED -> closed", "fd 3  new UDP socket: unbound"});
}

TEST_CASE("states: a descriptor that comes over a Unix socket appears by itself", "[unit][states]") {
    const Lines lines = told("recvmsg(pair[1], &message, 0)", [] {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == -1) _exit(98);
        const int sent = socket(AF_INET, SOCK_DGRAM, 0);
        char byte = 'x';
        iovec part{&byte, 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof sent)] = {};
        msghdr message{};
        message.msg_iov = &part;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof sent);
        std::memcpy(CMSG_DATA(header), &sent, sizeof sent);
        if (sendmsg(pair[0], &message, 0) != 1) _exit(97);
        close(sent);
        CALL(nothing());
        CALL(recvmsg(pair[1], &message, 0));
    });
    REQUIRE(lines.size() >= 2);
    CHECK(lines[0] == "= 1");
    CHECK(lines.back() == "fd 5  new UDP socket: unbound");
}

TEST_CASE("states: sockets that the process was born with are no news", "[unit][states]") {
    const Lines lines = narrated([] { CALL(nothing()); });
    CHECK(lines == Lines{"nothing()", "= 0"});
    Process child([] {
        [[maybe_unused]] const int fd = socket(AF_INET, SOCK_STREAM, 0);
        narrator::start(trace_settings());
        CALL(nothing());
    });
    child.expect_exit(0);
    CHECK(child.err().find("new") == std::string::npos);
}
