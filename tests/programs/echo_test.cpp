// The pairs as they are meant to be used: typed and piped.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <sys/socket.h>

namespace {

const std::string korean = "안녕하세요, 소켓!\n";

}  // namespace

TEST_CASE("echo: typed", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process client(server.client(pair.client), {.terminal = Terminal::all});
    for (const std::string& line : {std::string("hello"), std::string("a second line"), std::string("한글")}) {
        client.type(line + "\n");
        // First the terminal's echo of what is typed, then the server's.
        CHECK(client.expect(Stream::terminal, line + "\r\n" + line + "\r\n") == line + "\r\n" + line + "\r\n");
    }
    client.type("\x04");
    client.expect_exit(0);
}

TEST_CASE("echo: piped", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    const auto echo = [&](const std::string& input) { return run(server.client(pair.client), input); };
    CHECK(echo("") == "");
    CHECK(echo("x") == "x");
    CHECK(echo("\n") == "\n");
    CHECK(echo("one line\n") == "one line\n");
    CHECK(echo("no newline at its end") == "no newline at its end");
    CHECK(echo("one\n\n\nfour\nfive, without a newline") == "one\n\n\nfour\nfive, without a newline");
    CHECK(echo(korean) == korean);
    const std::string zeros("\0a\0\n\0\0", 6);
    CHECK(echo(zeros) == zeros);
}

TEST_CASE("echo: a piped client prints each answer as it comes", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process client(server.client(pair.client));
    client.feed("first\n");
    client.expect(Stream::out, "first\n");
    client.feed("second\n");
    client.expect(Stream::out, "second\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.err().empty());
}

TEST_CASE("echo: bytes of all values", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    const std::string bytes = random_bytes(300'001);
    CHECK((run(server.client(pair.client), bytes) == bytes));
}

TEST_CASE("echo: one client after the other", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    Server server = pair.start();
    for (int i = 0; i < 20; ++i) {
        const std::string line = "client " + std::to_string(i) + "\n";
        REQUIRE(run(server.client(pair.client), line) == line);
    }
    CHECK(server.is_running());
    CHECK(server.err().empty());
    CHECK(lines_of(server.out()).size() == 1);  // "listening on", and no more
}

TEST_CASE("echo: a second client waits until the first is done", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    Process first(server.client(pair.client)), second(server.client(pair.client));
    first.feed("1\n");
    second.feed("2\n");
    // One of them is served; which one is the kernel's choice.
    wait_until([&] { return !first.out().empty() || !second.out().empty(); }, "an answer");
    Process& served = first.out().empty() ? second : first;
    Process& waiting = first.out().empty() ? first : second;
    CHECK(waiting.out().empty());
    served.close_input();
    served.expect_exit(0);
    waiting.expect(Stream::out, "\n");
    waiting.close_input();
    waiting.expect_exit(0);
}

TEST_CASE("echo: UDP serves two clients at once", "[programs][echo][udp]") {
    const Server server = start_server("udp/echo_server");
    Process first(server.client("udp/echo_client")), second(server.client("udp/echo_client"));
    first.feed("1\n");
    first.expect(Stream::out, "1\n");
    second.feed("2\n");
    second.expect(Stream::out, "2\n");
    first.feed("3\n");
    first.expect(Stream::out, "3\n");
}

TEST_CASE("echo: a large file through TCP, byte for byte", "[programs][echo][tcp][large]") {
    const size_t size = is_sanitized() ? 20'000'000 : 100'000'000;
    const TempDir directory;
    const std::string bytes = random_bytes(size);
    write_file(directory / "large", bytes);
    const Server server = start_server("tcp/echo_server");
    Process client(server.client("tcp/echo_client"), {.input_file = directory / "large"});
    client.expect_exit(0);
    CHECK((client.out() == bytes));
}

TEST_CASE("echo: a large file through a Unix socket, byte for byte", "[programs][echo][unix][large]") {
    const std::string bytes = random_bytes(20'000'000);
    const Server server = start_server("unix/echo_server");
    CHECK((run(server.client("unix/echo_client"), bytes) == bytes));
}

TEST_CASE("echo: the largest datagram, and one byte more", "[programs][echo][udp]") {
    const Server server = start_server("udp/echo_server");
    const std::string largest = std::string(65'506, 'x') + "\n";  // 65,507 bytes in all (udp(7))
    CHECK((run(server.client("udp/echo_client"), largest) == largest));

    Process client(server.client("udp/echo_client"));
    client.feed("x" + largest);
    client.close_input();
    client.expect_exit(1);
    REQUIRE(lines_of(client.err()).size() == 1);
    CHECK_THAT(client.err(), StartsWith("udp/echo_client.cpp:"));
    CHECK_THAT(client.err(), ContainsSubstring("sendto(") && ContainsSubstring("(EMSGSIZE)"));
}

TEST_CASE("echo: UDP returns an empty datagram", "[programs][echo][udp]") {
    const Server server = start_server("udp/echo_server");
    Peer peer = Peer::bound(SOCK_DGRAM);
    const Address address =
        resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_DGRAM).front();
    Address sender;
    peer.send_to(address, "");
    CHECK(peer.receive_from(sender).empty());
    CHECK(sender == address);
    peer.send_to(address, "text");
    CHECK(peer.receive_from(sender) == "text");
}

TEST_CASE("echo: --host localhost finds a server at 127.0.0.1", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    if (pair.host != "127.0.0.1") return;
    INFO(pair.name());
    const Server server = pair.start();
    CHECK(run({program(pair.client), "--host", "localhost", "--port", server.port()}, "hello\n") == "hello\n");
}

TEST_CASE("echo: bytes that could command a terminal are escaped on one", "[programs][echo]") {
    const Pair pair = GENERATE(from_range(stream_pairs()));
    INFO(pair.name());
    const Server server = pair.start();
    // Piped in, shown on a terminal: a hostile server could send the same.
    Process client(server.client(pair.client), {.terminal = Terminal::output});
    client.feed(
        "\x1b[2Jcleared\x07 \x1b]0;title\x07 \xc2\x9b"
        "31m 한글\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.all(Stream::terminal) == "\\x1b[2Jcleared\\x07 \\x1b]0;title\\x07 \\xc2\\x9b31m 한글\r\n");
    // And as they are into a pipe.
    CHECK(run(server.client(pair.client), "\x1b[2J") == "\x1b[2J");
}
