// tcp/half_close_server and tcp/half_close_client: an answer to what is whole only when its sender says so.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <sstream>

#include <poll.h>

namespace {

using namespace std::string_literals;

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

/// What wc and sha256sum say of an input, in the words of the server.
std::string expected(const std::string& input) {
    std::istringstream counts(run({"wc"}, input, 0, {.environment = {"LC_ALL=C.UTF-8"}}));
    std::string lines, words, bytes;
    counts >> lines >> words >> bytes;
    return lines + " lines, " + words + " words, " + bytes + " bytes\n" + run({"sha256sum"}, input);
}

}  // namespace

TEST_CASE("half-close: what wc and sha256sum say", "[programs][tcp][half_close]") {
    if (!has_tool("wc") || !has_tool("sha256sum")) return;
    const std::string host = GENERATE(from_range(hosts()));
    INFO(host);
    Server server = start_server("tcp/half_close_server", {"--host", host});
    std::string spaces = "one  two\tthree\vfour\ffive\rsix\r\n\n  seven\n";
    for (const std::string& input : {""s, "\n"s, "x"s, "one\n"s, "no newline"s, "한글 두 낱말\n"s, spaces,
                                     read_file("README.md"), read_file("tcp/README.md")}) {
        CHECK(run(server.client("tcp/half_close_client"), input) == expected(input));
    }
    CHECK(server.err().empty());
}

TEST_CASE("half-close: a large file of any bytes", "[programs][tcp][half_close]") {
    if (!has_tool("sha256sum")) return;
    const Server server = start_server("tcp/half_close_server");
    const std::string input = random_bytes(20'000'000);
    const std::string answer = run(server.client("tcp/half_close_client"), input);
    CHECK_THAT(answer, ContainsSubstring(" 20000000 bytes\n" + run({"sha256sum"}, input)));
}

TEST_CASE("half-close: the answer comes after FIN and not before", "[programs][tcp][half_close]") {
    SECTION("the server waits for it") {
        const Server server = start_server("tcp/half_close_server");
        Peer peer = Peer::connected_to(server);
        peer.send("one two\n");
        Peer other = Peer::connected_to(server);  // waits its turn
        other.send("x");
        other.end_sending();
        pollfd watched{peer.fd(), POLLIN, 0};
        CHECK(poll(&watched, 1, 0) == 0);
        peer.end_sending();
        CHECK_THAT(peer.receive_to_end(), StartsWith("1 lines, 2 words, 8 bytes\n"));
        CHECK_THAT(other.receive_to_end(), StartsWith("0 lines, 1 words, 1 bytes\n"));
    }
    SECTION("the client sends it, and then still receives") {
        Peer listener = Peer::bound(SOCK_STREAM);
        Process client({program("tcp/half_close_client"), "--port", listener.port(), "--trace"});
        client.feed("all of it");
        Peer peer = listener.accept();
        CHECK(peer.receive(9) == "all of it");
        client.close_input();
        CHECK(peer.receive_to_end().empty());
        client.expect_line(Stream::err, "ESTABLISHED -> FIN_WAIT_");
        CHECK(client.is_running());
        for (const char* piece : {"an ", "answer", "\n"}) {
            peer.send(piece);
            client.expect(Stream::out, piece);
        }
        peer.close();
        client.expect_exit(0);
    }
}

TEST_CASE("half-close: an answer that is missing or cut off", "[programs][tcp][half_close]") {
    const std::string answer = GENERATE("", "12 lines, 3 wo");
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program("tcp/half_close_client"), "--port", listener.port()});
    client.feed("x");
    client.close_input();
    Peer peer = listener.accept();
    CHECK(peer.receive_to_end() == "x");
    peer.send(answer);
    peer.close();
    client.expect_exit(1);
    CHECK(client.err() == "the server ended the connection before its answer was whole\n");
}

TEST_CASE("half-close: the server goes away while much is sent", "[programs][tcp][half_close]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program("tcp/half_close_client"), "--port", listener.port()});
    client.feed(std::string(20'000'000, 'x'));
    Peer peer = listener.accept();
    peer.receive(1000);
    peer.close();
    client.expect_exit(1);
    CHECK(lines_of(client.err()).size() == 1);
    CHECK_THAT(client.err(), ContainsSubstring("(ECONNRESET)") || ContainsSubstring("(EPIPE)"));
}

TEST_CASE("half-close, messages: silent, reset and vanished clients", "[programs][tcp][half_close][messages]") {
    Server counts = start_server("tcp/half_close_server", {"--idle", "1"});
    Server messages = start_server("tcp/message_server", {"--idle", "1"});
    Peer silent_one = Peer::connected_to(counts), silent_two = Peer::connected_to(messages);
    silent_one.send("and then nothing more");
    silent_two.send("half a li");
    for (const Server* server : {&counts, &messages}) {
        Peer reset = Peer::connected_to(*server);
        reset.send("x");
        reset.reset();
        Peer gone = Peer::connected_to(*server);
        gone.send("x");
    }
    CHECK(silent_one.receive_to_end().empty());
    CHECK(silent_two.receive_to_end().empty());
    CHECK_THAT(counts.expect_line(Stream::err, "recv("), ContainsSubstring("(EAGAIN)"));
    CHECK_THAT(messages.expect_line(Stream::err, "recv("), ContainsSubstring("(EAGAIN)"));
    CHECK_THAT(run(counts.client("tcp/half_close_client"), "x"), StartsWith("0 lines, 1 words, 1 bytes\n"));
    CHECK(run(messages.client("tcp/message_client"), "x") == "x\n");
}

TEST_CASE("half-close: a server's bytes are escaped on a terminal", "[programs][tcp][half_close]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program("tcp/half_close_client"), "--port", listener.port()}, {.terminal = Terminal::output});
    client.close_input();
    Peer peer = listener.accept();
    peer.send("\x1b[2J\n");
    client.expect(Stream::terminal, "\\x1b[2J\r\n");
    CHECK(client.all(Stream::terminal).find('\x1b') == std::string::npos);
}

TEST_CASE("half-close: foreign peers", "[programs][tcp][half_close][foreign]") {
    if (!has_tool("socat") || !has_tool("ncat")) return;
    const Server server = start_server("tcp/half_close_server");
    const std::string input = "three little words\n";
    const std::string answer = run(server.client("tcp/half_close_client"), input);
    CHECK(run({"socat", "-t", "10", "-", "TCP:" + server.host() + ":" + server.port()}, input) == answer);
    CHECK(run({"ncat", server.host(), server.port()}, input) == answer);

    Process theirs({"socat", "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:sha256sum"});
    const std::string line = theirs.expect_line(Stream::err, "listening on");
    const std::string port = line.substr(line.rfind(':') + 1);
    CHECK(run({program("tcp/half_close_client"), "--port", port}, input) == run({"sha256sum"}, input));
}
