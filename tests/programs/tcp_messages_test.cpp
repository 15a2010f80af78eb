// tcp/message_server and tcp/message_client: messages in a stream, and peers that mark them otherwise, or lie.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>

namespace {

using namespace std::string_literals;

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

Server message_server(const std::string& framing, Process::Command arguments = {}) {
    arguments.insert(arguments.end(), {"--framing", framing});
    return start_server("tcp/message_server", arguments);
}

/// Throws Unexpected unless another client is served.
void must_serve(const Server& server, const std::string& framing) {
    const std::string answer = run(server.client("tcp/message_client", {"--framing", framing}), "still there?\n");
    if (answer != "still there?\n") throw Unexpected("a client got back: " + answer + "\n" + server.describe());
}

const std::string left(const std::string& count, std::string bytes) {
    bytes.resize(40, ' ');
    return std::string(5 - count.size(), ' ') + count + "  " + bytes + "  ";
}

}  // namespace

TEST_CASE("messages: each line of the input comes back", "[programs][tcp][messages]") {
    const std::string host = GENERATE(from_range(hosts()));
    const std::string framing = GENERATE("line", "length");
    INFO(framing << " at " << host);
    Server server = message_server(framing, {"--host", host});
    const auto exchange = [&](const std::string& input) {
        return run(server.client("tcp/message_client", {"--framing", framing}), input);
    };
    CHECK(exchange("") == "");
    CHECK(exchange("\n") == "\n");
    CHECK(exchange("one\n") == "one\n");
    CHECK(exchange("one\n\n\n한글\nfive, without a newline") == "one\n\n\n한글\nfive, without a newline\n");
    CHECK(exchange("a\r\nb\r\n") == (framing == "line" ? "a\nb\n" : "a\r\nb\r\n"));
    if (framing == "length") CHECK(exchange("\0\x1b\xff\0\n\0\n"s) == "\0\x1b\xff\0\n\0\n"s);
    std::string many;
    for (int i = 0; i < 5000; ++i)
        many += std::to_string(i) + std::string(static_cast<size_t>(i % 97), 'x') + "\n";
    CHECK((exchange(many) == many));
    const std::string longest = std::string(65536, 'y') + "\n";
    CHECK((exchange(longest) == longest));
    CHECK(server.err().empty());
}

TEST_CASE("messages: typed, each answer comes at once", "[programs][tcp][messages]") {
    const std::string framing = GENERATE("line", "length");
    const Server server = message_server(framing);
    Process client(server.client("tcp/message_client", {"--framing", framing}), {.terminal = Terminal::all});
    for (const std::string& line : {"hello"s, "한글"s}) {
        client.type(line + "\n");
        CHECK(client.expect(Stream::terminal, line + "\r\n" + line + "\r\n") == line + "\r\n" + line + "\r\n");
    }
    client.type("\x04");
    client.expect_exit(0);
}

TEST_CASE("messages: the server shows what each recv brought", "[programs][tcp][messages]") {
    Server server = message_server("line");
    Peer peer = Peer::connected_to(server);
    peer.send("one\ntw");
    server.expect_line(Stream::out, "... 2 bytes of the next");
    peer.send("o\r\n\n\x1b[2J한글\n");
    CHECK(peer.receive(8) == "one\ntwo\n");
    peer.send("last");
    server.expect_line(Stream::out, "... 4 bytes of the next");
    peer.end_sending();
    CHECK(peer.receive_to_end() == "\n\x1b[2J한글\nlast\n");
    const std::vector<std::string> expected{
        left("recv", "bytes") + "messages",
        left("6", "one\\ntw") + "\"one\"",
        left("", "") + "... 2 bytes of the next",
    };
    const std::vector<std::string> lines = lines_of(server.out());
    REQUIRE(lines.size() == 9);
    CHECK(lines[1] == expected[0]);
    CHECK(lines[2] == expected[1]);
    CHECK(lines[3] == expected[2]);
    CHECK(lines[4] == "   15  o\\r\\n\\n\\x1b[2J한글\\n" + std::string(22, ' ') + "\"two\"");
    CHECK(lines[5] == left("", "") + "\"\"");
    CHECK(lines[6] == left("", "") + "\"\\x1b[2J한글\"");
    CHECK(lines[7] == left("4", "last") + "... 4 bytes of the next");
    CHECK(lines[8] == left("0", "") + "\"last\", which no newline ended");
}

TEST_CASE("messages: what is hostile gets a clear end, and the next is served", "[programs][tcp][messages]") {
    struct Row {
        std::string framing, bytes, answers, complaint;
    };
    const Row row = GENERATE(from_range(std::vector<Row>{
        {"length", "\xff\xff\xff\xff", "", "a message of 4294967295 bytes is announced, and --limit is 100"},
        {"length", "\0\0\0\1a\0\0\0\x65"s, "\0\0\0\1a"s, "a message of 101 bytes is announced"},
        {"length", "\x80\0\0\0"s, "", "a message of 2147483648 bytes is announced"},
        {"length", "GET / HTTP/1.1\r\n\r\n", "", "the text \"GET \": --framing line at the other end?"},
        {"line", "a\n" + std::string(101, 'x') + "\n", "a\n", "a line of more than 100 bytes"},
        {"line", std::string(1'000'000, 'x'), "", "a line of more than 100 bytes"},
        {"line", "a\nb\n\0c\n"s, "a\nb\n", "--framing length at the other end?"},
    }));
    INFO(row.framing << ", " << row.complaint);
    Server server = message_server(row.framing, {"--limit", "100"});
    Peer peer = Peer::connected_to(server);
    peer.send(row.bytes);
    CHECK(peer.receive_to_end() == row.answers);
    server.expect_line(Stream::err, row.complaint);
    CHECK(lines_of(server.err()).size() == 1);
    peer.close();
    must_serve(server, row.framing);
}

TEST_CASE("messages: a length of 0 is an empty message, and the limit itself may be", "[programs][tcp][messages]") {
    Server server = message_server("length", {"--limit", "100"});
    Peer peer = Peer::connected_to(server);
    const std::string bytes = "\0\0\0\0\0\0\0\0\0\0\0\x64"s + random_bytes(100);
    peer.send(bytes);
    peer.end_sending();
    CHECK((peer.receive_to_end() == bytes));
    CHECK(server.err().empty());
}

TEST_CASE("messages: answers are not destroyed by the end that follows them", "[programs][tcp][messages]") {
    // The client goes on sending after its error: closing with that unread would reset the connection.
    Server server = message_server("line");
    Peer peer = Peer::connected_to(server);
    peer.send("one\n\0"s + std::string(500'000, 'x'));
    CHECK(peer.receive_to_end() == "one\n");
    peer.send("more");  // would fail after a reset
    peer.close();
    must_serve(server, "line");
}

TEST_CASE("messages: an end within a message", "[programs][tcp][messages]") {
    Server server = message_server("length");
    Peer peer = Peer::connected_to(server);
    peer.send("\0\0\0\1a\0\0\0\5bc"s);
    peer.end_sending();
    CHECK(peer.receive_to_end() == "\0\0\0\1a"s);
    server.expect_line(Stream::err, "the stream ends within a message: there are 6 bytes of a message of 9");
    must_serve(server, "length");
}

TEST_CASE("messages: client and server with different framings", "[programs][tcp][messages]") {
    const std::string client_has = GENERATE("line", "length");
    const std::string server_has = client_has == "line" ? "length" : "line";
    INFO("client: " << client_has);
    Server server = message_server(server_has);
    Process client(server.client("tcp/message_client", {"--framing", client_has}));
    client.feed("hello\nagain\n");
    client.expect_exit(1);
    CHECK(client.out().empty());
    CHECK(client.err() ==
          "the server ended the connection after 0 of 2 messages had come back: does it use another "
          "framing than " +
              client_has + "?\n");
    server.expect_line(Stream::err, "--framing " + client_has + " at the other end?");
    must_serve(server, server_has);
}

TEST_CASE("messages: one of too few bytes for a length", "[programs][tcp][messages]") {
    Server server = message_server("length");
    Process client(server.client("tcp/message_client"));
    client.feed("x\n");
    server.expect_line(Stream::out, "... 2 bytes of the next");
    client.close_input();
    client.expect_exit(1);
    server.expect_line(Stream::err, "there are 2 bytes of a length, and they look like text: --framing line");
}

TEST_CASE("messages: what the client can't send", "[programs][tcp][messages]") {
    const Server server = message_server("line");
    const auto refusal = [&](const std::string& input, const Process::Command& arguments) {
        Process client(server.client("tcp/message_client", arguments));
        client.feed(input);
        client.expect_exit(1);
        CHECK(lines_of(client.err()).size() == 1);
        return client.err();
    };
    CHECK_THAT(refusal("a\0b\n"s, {}), ContainsSubstring("--framing length can carry it"));
    CHECK_THAT(refusal("12345678901\n", {"--limit", "10"}), ContainsSubstring("a message of 11 bytes is not sent"));
    CHECK_THAT(refusal(std::string(200'000, 'x'), {}), ContainsSubstring("longer than --limit 65536"));
    must_serve(server, "line");
}

TEST_CASE("messages: a client with a hostile server", "[programs][tcp][messages]") {
    struct Row {
        std::string framing, answer, printed, complaint;
    };
    const Row row = GENERATE(from_range(std::vector<Row>{
        {"length", "\xff\xff\xff\xff", "", "a message of 4294967295 bytes is announced"},
        {"length", "\0\0\0\2hi\0\0\0\6hel"s, "hi\n", "the stream ends within a message"},
        {"line", std::string(70'000, 'x'), "", "a line of more than 65536 bytes"},
        {"line", "hi\n", "hi\n", "after 1 of 2 messages had come back\n"},
        {"line", "", "", "after 0 of 2 messages had come back: does it use another framing than line?"},
    }));
    INFO(row.complaint);
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program("tcp/message_client"), "--port", listener.port(), "--framing", row.framing});
    client.feed("one\ntwo\n");
    Peer peer = listener.accept();
    peer.receive(8);
    peer.send(row.answer);
    peer.end_sending();
    client.expect_exit(1);
    CHECK(client.out() == row.printed);
    CHECK_THAT(client.err(), ContainsSubstring(row.complaint));
    CHECK(lines_of(client.err()).size() == 1);
}

TEST_CASE("messages: a server's bytes are escaped on a terminal", "[programs][tcp][messages]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program("tcp/message_client"), "--port", listener.port(), "--framing", "length"},
                   {.terminal = Terminal::output});
    Peer peer = listener.accept();
    peer.send("\0\0\0\4\x1b[2J"s);
    client.expect(Stream::terminal, "\\x1b[2J\r\n");
    CHECK(client.all(Stream::terminal).find('\x1b') == std::string::npos);
}

TEST_CASE("messages: a framing that does not exist", "[programs][tcp][messages]") {
    for (const char* name : {"tcp/message_server", "tcp/message_client"}) {
        Process process({program(name), "--port", "0", "--framing", "words\x1b"});
        process.expect_exit(2);
        CHECK(process.err() == "--framing words\\x1b: expected line or length\n");
    }
}

TEST_CASE("messages: foreign peers", "[programs][tcp][messages][foreign]") {
    if (!has_tool("socat") || !has_tool("ncat")) return;
    const Server lines = message_server("line");
    const std::string where = lines.host() + ":" + lines.port();
    CHECK(run({"ncat", "-C", lines.host(), lines.port()}, "one\ntwo\n") == "one\ntwo\n");  // it sends CR LF
    CHECK(run({"socat", "-t", "10", "-", "TCP:" + where}, "one\r\n\nlast") == "one\n\nlast\n");
    const Server lengths = message_server("length");
    const std::string bytes = "\0\0\0\0\0\0\0\5a\0b\nc"s;
    CHECK(run({"socat", "-t", "10", "-", "TCP:" + lengths.host() + ":" + lengths.port()}, bytes) == bytes);

    // To echo bytes is to echo messages, whatever their framing.
    Process theirs({"socat", "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat"});
    const std::string line = theirs.expect_line(Stream::err, "listening on");
    const std::string port = line.substr(line.rfind(':') + 1);
    for (const char* framing : {"line", "length"})
        CHECK(run({program("tcp/message_client"), "--port", port, "--framing", framing}, "a\n\n한글\n") ==
              "a\n\n한글\n");
}
