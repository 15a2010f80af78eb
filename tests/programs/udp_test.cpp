// What UDP leaves to the client: lost, late and foreign answers. The tests play the server.

#include "tests/catch.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <chrono>
#include <memory>
#include <sys/socket.h>

namespace {

Process::Command client_of(const std::string& host, const std::string& port, const Process::Command& more = {}) {
    Process::Command command{program("udp/echo_client"), "--host", host, "--port", port};
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

}  // namespace

TEST_CASE("udp: a lost answer is asked for again, and reported", "[programs][udp]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    Peer server = Peer::bound(SOCK_DGRAM, host);
    Process client(client_of(host, server.port(), {"--timeout", "20", "--tries", "1000"}));
    client.feed("hello\n");
    Address address;
    CHECK(server.receive_from(address) == "hello\n");
    CHECK(server.receive_from(address) == "hello\n");  // again, since the first got no answer
    CHECK(client.expect_line(Stream::err, "no answer") == "no answer within 20 ms, try 1 of 1000");
    server.send_to(address, "hello\n");
    client.expect(Stream::out, "hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == "hello\n");
}

TEST_CASE("udp: a lost line is sent again", "[programs][udp]") {
    // Nobody is there for the first try; then the server comes.
    auto nobody = std::make_unique<FreePort>(SOCK_DGRAM);
    const std::string port = nobody->text();
    Process client(client_of("127.0.0.1", port, {"--timeout", "20", "--tries", "1000"}));
    client.feed("hello\n");
    client.expect_line(Stream::err, "no answer within 20 ms, try 2 of 1000");
    nobody.reset();
    const Server server = start_server("udp/echo_server", {"--port", port});
    client.expect(Stream::out, "hello\n");
    client.close_input();
    client.expect_exit(0);
}

TEST_CASE("udp: nobody answers", "[programs][udp]") {
    const FreePort nobody(SOCK_DGRAM);
    const auto begin = std::chrono::steady_clock::now();
    Process client(client_of("127.0.0.1", nobody.text(), {"--timeout", "30", "--tries", "3"}));
    client.feed("hello\n");
    client.expect_exit(1);
    const auto waited = std::chrono::steady_clock::now() - begin;
    CHECK(client.out().empty());
    CHECK(lines_of(client.err()) == std::vector<std::string>{"no answer within 30 ms, try 1 of 3",
                                                             "no answer within 30 ms, try 2 of 3",
                                                             "no answer within 30 ms, try 3 of 3",
                                                             "nobody answers at 127.0.0.1:" + nobody.text()});
    CHECK(waited >= Milliseconds(90));
}

TEST_CASE("udp: an answer from another address is passed over, and said", "[programs][udp]") {
    Peer server = Peer::bound(SOCK_DGRAM);
    Peer other_port = Peer::bound(SOCK_DGRAM);
    Process client(client_of("127.0.0.1", server.port(), {"--timeout", "60000"}));
    client.feed("hello\n");
    Address address;
    server.receive_from(address);
    other_port.send_to(address, "hello\n");
    CHECK(client.expect_line(Stream::err, "passed over") ==
          "passed over 6 bytes from " + other_port.address().text() + ", which is not the server");
    CHECK(client.out().empty());
    server.send_to(address, "hello\n");
    client.expect(Stream::out, "hello\n");
}

TEST_CASE("udp: foreign answers don't prolong the waiting", "[programs][udp]") {
    Peer server = Peer::bound(SOCK_DGRAM);
    Process client(client_of("127.0.0.1", server.port(), {"--timeout", "100", "--tries", "1"}));
    client.feed("hello\n");
    Address address;
    server.receive_from(address);
    const auto begin = std::chrono::steady_clock::now();
    Peer other = Peer::bound(SOCK_DGRAM);
    while (client.is_running() && std::chrono::steady_clock::now() - begin < patience) {
        other.send_to(address, "hello\n");
        serve_processes(Milliseconds(10));
    }
    client.expect_exit(1);
    CHECK(std::chrono::steady_clock::now() - begin < patience);
}

TEST_CASE("udp: late duplicates and wrong answers are passed over", "[programs][udp]") {
    Peer server = Peer::bound(SOCK_DGRAM);
    Process client(client_of("127.0.0.1", server.port(), {"--timeout", "60000"}));
    Address address;
    client.feed("first\n");
    server.receive_from(address);
    server.send_to(address, "first\n");
    server.send_to(address, "first\n");
    client.expect(Stream::out, "first\n");

    client.feed("2\n");
    server.receive_from(address);
    CHECK(client.expect_line(Stream::err, "passed over") == "passed over 6 bytes that are not the answer to this line");
    server.send_to(address, "");
    CHECK(client.expect_line(Stream::err, "passed over") == "passed over 0 bytes that are not the answer to this line");
    server.send_to(address, "2\nand more");
    CHECK(client.expect_line(Stream::err, "passed over") ==
          "passed over 10 bytes that are not the answer to this line");
    server.send_to(address, "2\n");
    client.expect(Stream::out, "2\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == "first\n2\n");
}
