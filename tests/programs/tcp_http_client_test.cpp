// The HTTP client from outside: servers that others wrote, and servers that mean no good.

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <memory>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

const std::string http_client = "tcp/http_client";

/// Lets the client fetch a URL of a server that answers with these bytes, in pieces, and then ends the connection.
struct Talk {
    std::string request;
    std::unique_ptr<Process> client;
};

Talk talk(const std::string& answer, Process::Command arguments = {}, const Surroundings& surroundings = {},
          bool ends = true, size_t piece = 100'000) {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process::Command command{program(http_client)};
    command.insert(command.end(), arguments.begin(), arguments.end());
    command.push_back("http://127.0.0.1:" + listener.port() + "/page");
    Talk result;
    result.client = std::make_unique<Process>(command, surroundings);
    Peer peer = listener.accept();
    result.request = read_head(peer);
    try {
        for (size_t begin = 0; begin < answer.size(); begin += piece)
            peer.send(answer.substr(begin, piece));
        if (ends) peer.end_sending();
    } catch (const SocketError&) {  // the client has had enough
    }
    result.client->wait();
    return result;
}

const std::string ok = "HTTP/1.1 200 OK\r\n";

}  // namespace

TEST_CASE("http client: the three ways in which a body ends", "[programs][tcp][http]") {
    for (const size_t piece : {size_t{100'000}, size_t{1}}) {
        for (const std::string& answer :
             {ok + "Content-Length: 5\r\n\r\nhello", ok + "\r\nhello",
              ok + "Transfer-Encoding: chunked\r\n\r\n2;x\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n",
              "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + ok +
                  "Content-Length: 5\r\n\r\nhello",
              std::string("HTTP/1.0 200\r\n\r\nhello")}) {
            INFO(answer);
            const Talk whole = talk(answer, {}, {}, true, piece);
            whole.client->expect_exit(0);
            CHECK(whole.client->out() == "hello");
            CHECK(whole.client->err().empty());
            CHECK_THAT(whole.request, StartsWith("GET /page HTTP/1.1\r\nHost: 127.0.0.1:") &&
                                          ContainsSubstring("\r\nConnection: close\r\n"));
        }
    }
    // It does not wait for the end of the connection where it needs none.
    talk(ok + "Content-Length: 5\r\n\r\nhello and more", {}, {}, false).client->expect_exit(0);
    talk(ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {}, {}, false).client->expect_exit(0);
    talk("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", {}, {}, false).client->expect_exit(0);
    const Talk head = talk(ok + "Content-Length: 5\r\n\r\n", {"--head"}, {}, false);
    head.client->expect_exit(0);
    CHECK_THAT(head.request, StartsWith("HEAD /page "));
    CHECK(head.client->out() == "< HTTP/1.1 200 OK\n< Content-Length: 5\n< \n");
}

TEST_CASE("http client: servers that mean no good", "[programs][tcp][http]") {
    struct Row {
        std::string answer, complaint;
    };
    std::string fields, interim;
    for (int i = 0; i < 101; ++i)
        fields += "A: b\r\n";
    for (int i = 0; i < 1000; ++i)
        interim += "HTTP/1.1 102 Processing\r\n\r\n";
    const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";
    for (const Row& row : std::vector<Row>{
             {"", "the server ended the connection before the head of its answer did"},
             {"HTTP/1.1 200 OK\r\nA", "the server ended the connection before the head of its answer did"},
             {"hello\r\n\r\n", "not HTTP: the first line is not one of HTTP"},
             {"HTTP/2.0 200 OK\r\n\r\n", "not HTTP: this is HTTP/1"},
             {"HTTP/1.1 2x0 OK\r\n\r\n", "not HTTP: no status of three digits"},
             {"HTTP/1.1 200 OK\n\n", "not HTTP: a line ends in LF without CR"},
             {ok + fields + "\r\n", "not HTTP: more than 100 fields"},
             {ok + "A: " + std::string(10'000'000, 'x'), "not HTTP: the head is larger than 65536"},
             {interim, "the server says 1xx for ever"},
             {"HTTP/1.1 101 Switching Protocols\r\n\r\n", "changes the protocol"},
             {ok + "Content-Length: -5\r\n\r\nhello", "not HTTP: Content-Length is no number"},
             {ok + "Content-Length: 99999999999999999999999\r\n\r\nhello", "beyond all bounds"},
             {ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "not HTTP: Content-Length is there twice"},
             {ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", "both Content-Length and"},
             {ok + "Transfer-Encoding: gzip\r\n\r\nhello", "a transfer coding other than chunked"},
             {ok + "Content-Length: 6\r\n\r\nhello", "before the body was complete"},
             {ok + "Content-Length: 9223372036854775807\r\n\r\nhello", "before the body was complete"},
             {chunked + "5\r\nhello\r\n", "before the body was complete"},
             {chunked + "x\r\n", "a chunk without a size"},
             {chunked + "-1\r\n", "a chunk without a size"},
             {chunked + "ffffffffffffffffff\r\n", "beyond all bounds"},
             {chunked + "5\r\nhello!\r\n", "does not end where its size says"},
             {chunked + "5;" + std::string(100'000, 'x'), "is too long"},
             {chunked + "0\r\nA: " + std::string(100'000, 'x'), "is too long"},
             {"HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-4/9\r\nContent-Length: 5\r\n\r\nhello",
              "the server sends a part, and was asked for the whole"},
             {"HTTP/1.1 404 No\x1b[2J\r\nContent-Length: 0\r\n\r\n", "answered 404 No\\x1b[2J"},
             {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "the server answered 404 Not Found"},
             {"HTTP/1.1 301 Moved\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", "301 Moved: it is at /a; --redirects"},
         }) {
        INFO(row.answer.substr(0, 100));
        const Talk whole = talk(row.answer);
        CHECK(whole.client->wait() == Ending{1, 0});
        CHECK(count_of(whole.client->err(), "\n") == 1);
        CHECK_THAT(whole.client->err(), ContainsSubstring(row.complaint));
        CHECK(whole.client->err().find('\x1b') == std::string::npos);
    }
}

TEST_CASE("http client: nothing of a server's moves a terminal's cursor", "[programs][tcp][http]") {
    const Talk whole = talk(ok + "A: \xc2\x9b"
                                 "31m\r\n\r\nbo\x1b[2Jdy",
                            {"--verbose"}, {.terminal = Terminal::all});
    const std::string& seen = whole.client->all(Stream::terminal);
    CHECK_THAT(seen, ContainsSubstring("bo\\x1b[2Jdy") && ContainsSubstring("< A: \\xc2\\x9b31m"));
    CHECK(seen.find('\x1b') == std::string::npos);
}

TEST_CASE("http client: it does not wait for ever", "[programs][tcp][http]") {
    Peer silent = Peer::bound(SOCK_STREAM), stops = Peer::bound(SOCK_STREAM);
    const auto client = [](Peer& peer) {
        return Process::Command{program(http_client), "--timeout", "1", "http://127.0.0.1:" + peer.port()};
    };
    Process first(client(silent)), second(client(stops));
    Peer connection = stops.accept();
    read_head(connection);
    connection.send(ok + "Content-Length: 10\r\n\r\nhello");
    first.expect_exit(1);
    second.expect_exit(1);
    CHECK(first.err() == "the server let us wait too long: for the head of the answer\n");
    CHECK(second.err() == "the server let us wait too long: for more of the body\n");
    CHECK(second.out() == "hello");
}

TEST_CASE("http client: Host for IPv6, without the zone, which is ours alone", "[programs][tcp][http]") {
    if (!has_ipv6()) return;
    Peer listener = Peer::bound(SOCK_STREAM, "::1");
    const std::string end = "]:" + listener.port();
    for (const std::string& host : {"[::1" + end, "[::1%1" + end}) {
        Process client({program(http_client), "--redirects", "1", "http://" + host + "/a"});
        for (const std::string& answer :
             {std::string("HTTP/1.1 302 Found\r\nLocation: /b\r\n\r\n"), ok + "Content-Length: 0\r\n\r\n"}) {
            Peer peer = listener.accept();
            CHECK_THAT(read_head(peer), ContainsSubstring("\r\nHost: [::1" + end + "\r\n"));
            peer.send(answer);
        }
        client.expect_exit(0);
    }
}

TEST_CASE("http client: redirects", "[programs][tcp][http]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    const std::string origin = "http://127.0.0.1:" + listener.port();
    const auto follows = [&](const std::string& location, const std::string& target) {
        INFO(location);
        Process client({program(http_client), "--redirects", "2", origin + "/a/b?c"});
        Peer first = listener.accept();
        read_head(first);
        first.send("HTTP/1.1 302 Found\r\nLocation: " + location + "\r\nContent-Length: 0\r\n\r\n");
        Peer second = listener.accept();
        CHECK_THAT(read_head(second), StartsWith("GET " + target + " HTTP/1.1\r\n"));
        second.send(ok + "Content-Length: 2\r\n\r\nok");
        client.expect_exit(0);
        CHECK(client.out() == "ok");
    };
    follows("/x", "/x");
    follows("x", "/a/x");
    follows("?x", "/a/b?x");
    follows("//127.0.0.1:" + listener.port() + "/x", "/x");
    follows(origin + "/x?y=http://z", "/x?y=http://z");
    follows("/x y#z", "/x%20y");

    Process loops({program(http_client), "--redirects", "3", origin});
    for (int i = 0; i < 4; ++i) {
        Peer peer = listener.accept();
        read_head(peer);
        peer.send("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n");
    }
    loops.expect_exit(1);
    for (const char* location : {"ftp://x/", "https://x/", "http://", "http://x:99999/", "http://a@b/"}) {
        const Talk led =
            talk("HTTP/1.1 302 Found\r\nLocation: " + std::string(location) + "\r\n\r\n", {"--redirects", "1"});
        CHECK(led.client->wait() == Ending{1, 0});
        CHECK_THAT(led.client->err(), StartsWith("the server leads us where we can't go: "));
    }
}

TEST_CASE("http client: a file is fetched, and fetched on", "[programs][tcp][http]") {
    const TempDir folder;
    mkdir((folder / "site").c_str(), 0755);
    const std::string bytes = random_bytes(1'000'000);
    write_file(folder / "site/file", bytes);
    const Server server = start_server("tcp/http_server", {"--directory", folder / "site"});
    const std::string url = "http://" + server.address() + "/file", file = folder / "copy";
    const auto fetch = [&](const Process::Command& more, int status = 0) {
        Process::Command command{program(http_client), "--verbose", "--output", file};
        command.insert(command.end(), more.begin(), more.end());
        Process client(command);
        client.expect_exit(status);
        return client.err();
    };
    fetch({url});
    CHECK((read_file(file) == bytes));

    // A part of it is there, dated as the server dated it.
    struct stat about {};
    REQUIRE(stat(file.c_str(), &about) == 0);
    const timespec times[] = {{0, UTIME_OMIT}, {about.st_mtime, 0}};
    REQUIRE(truncate(file.c_str(), 400'000) == 0);
    REQUIRE(utimensat(AT_FDCWD, file.c_str(), times, 0) == 0);
    CHECK_THAT(fetch({"--resume", url}), ContainsSubstring("< HTTP/1.1 206 ") && ContainsSubstring("> If-Range: "));
    CHECK((read_file(file) == bytes));
    CHECK_THAT(fetch({"--resume", url}), ContainsSubstring("< HTTP/1.1 416 "));  // nothing is missing
    CHECK((read_file(file) == bytes));

    // A part of another version does not get mixed up with this one.
    write_file(file, "something else");
    const timespec earlier[] = {{0, UTIME_OMIT}, {about.st_mtime - 100, 0}};
    REQUIRE(utimensat(AT_FDCWD, file.c_str(), earlier, 0) == 0);
    CHECK_THAT(fetch({"--resume", url}), ContainsSubstring("< HTTP/1.1 200 "));
    CHECK((read_file(file) == bytes));

    fetch({"http://" + server.address() + "/none"}, 1);
    CHECK((read_file(file) == bytes));
    CHECK(run({program(http_client), "--range", "10-19", url}) == bytes.substr(10, 10));

    // A part that was asked for takes the place of what was there, and is not taken for the file's beginning later.
    REQUIRE(utimensat(AT_FDCWD, (folder / "site/file").c_str(), earlier, 0) == 0);  // not of this very second
    fetch({"--range", "10-19", url});
    CHECK(read_file(file) == bytes.substr(10, 10));
    fetch({"--range", "0-4", url});
    CHECK(read_file(file) == bytes.substr(0, 5));
    fetch({"--range", "10-19", url});
    CHECK_THAT(fetch({"--resume", url}), ContainsSubstring("< HTTP/1.1 200 "));
    CHECK((read_file(file) == bytes));
}

TEST_CASE("http client: wrong command lines", "[programs][tcp][http]") {
    for (const Process::Command& wrong :
         std::vector<Process::Command>{{"ftp://x/"},
                                       {"127.0.0.1"},
                                       {"http://"},
                                       {"http:///x"},
                                       {"http://a@b/"},
                                       {"http://x:0/"},
                                       {"http://x:y/"},
                                       {"http://[::1/"},
                                       {"http://[::1]x/"},
                                       {"http://[::1]x:80/"},
                                       {"http://a b/"},
                                       {"--resume", "http://x/"},
                                       {"--range", "a", "http://x/"},
                                       {"--resume", "--output", "f", "--range", "1-2", "http://x/"}}) {
        Process::Command command{program(http_client)};
        command.insert(command.end(), wrong.begin(), wrong.end());
        Process client(command);
        CHECK(client.wait() == Ending{2, 0});
        CHECK(count_of(client.err(), "\n") == 1);
    }
}

TEST_CASE("http client: a server of Python's", "[programs][tcp][http][foreign]") {
    const TempDir folder;
    write_file(folder / "page", "hello\n");
    if (has_tool("python3")) {
        const std::string host = GENERATE("127.0.0.1", "::1");
        if (host == "::1" && !has_ipv6()) return;
        Process server({"python3", "-u", "-m", "http.server", "0", "--bind", host, "--directory", folder.path()});
        const std::string line = server.expect_line(Stream::out, "Serving HTTP on ");
        const size_t begin = line.find("(http://") + 1;
        const std::string url = line.substr(begin, line.find("/)") - begin);
        CHECK(run({program(http_client), url + "/page"}) == "hello\n");
        CHECK_THAT(run({program(http_client), url}),
                   ContainsSubstring("page</a>"));  // until the connection ends, or by length
        run({program(http_client), url + "/none"}, "", 1);
        CHECK_THAT(run({program(http_client), "--head", url + "/page"}), StartsWith("< HTTP/1.0 200 OK\n"));
    }
}
