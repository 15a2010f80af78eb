// The HTTP server from outside: raw bytes, and clients that others wrote.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <memory>

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

using Catch::Matchers::EndsWith;

namespace {

const std::string http_server = "tcp/http_server";

/// What is served, and beside it what must not be: each of these files says "secret".
class Site {
public:
    Site() {
        for (const char* folder : {"site", "site/sub", "site/sub/.hidden", "site/empty", "site-secret", "other"})
            mkdir((root_ / folder).c_str(), 0755);
        write_file(root_ / "site/index.html", "<h1>Hello</h1>\n");
        write_file(root_ / "site/1k", random_bytes(1024));
        write_file(root_ / "site/large", large_);
        write_file(root_ / "site/ten", "0123456789");
        write_file(root_ / "site/nothing", "");
        write_file(root_ / "site/sub/page.html", "<p>page</p>");
        write_file(root_ / "site/sub/<b>&\"' c.txt", "x");
        write_file(root_ / "site/sub/한글", "x");
        for (const char* file : {"site-secret/file", "other/file", "file", "site/sub/.hidden/file", "site/.hidden"})
            write_file(root_ / file, "secret");
        (void)symlink((root_ / "other").c_str(), (root_ / "site/link").c_str());
        (void)symlink((root_ / "other/file").c_str(), (root_ / "site/link.txt").c_str());
        (void)symlink("../..", (root_ / "site/sub/up").c_str());
        (void)mkfifo((root_ / "site/fifo").c_str(), 0644);
    }
    std::string path() const { return root_ / "site"; }
    std::string operator/(const std::string& name) const { return root_ / ("site/" + name); }
    const std::string& large() const { return large_; }

private:
    TempDir root_;
    std::string large_ = random_bytes(3'000'000);
};

const Site& site() {
    static const Site the_one;
    return the_one;
}

Server start(Process::Command arguments = {}, const Surroundings& surroundings = {}) {
    arguments.insert(arguments.end(), {"--directory", site().path()});
    return start_server(http_server, arguments, surroundings);
}

std::string request(const std::string& line, const std::string& fields = "") {
    return line + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n";
}

/// Sends this and then FIN, and returns all that comes back.
std::string ask(const Server& server, const std::string& bytes) {
    Peer peer = Peer::connected_to(server);
    peer.send(bytes);
    peer.end_sending();
    return read_to_end(peer).bytes;
}

/// All of it, but for the time of day.
std::string without_date(std::string text) {
    const std::string name = "\r\nDate: ";
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at))
        text.erase(at, text.find("\r\n", at + 2) - at);
    return text;
}

std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

std::string field_of(const std::string& answer, const std::string& name) {
    const size_t at = answer.find("\r\n" + name + ": ");
    if (at == std::string::npos || at > answer.find("\r\n\r\n")) return "";
    const size_t begin = at + name.size() + 4;
    return answer.substr(begin, answer.find("\r\n", begin) - begin);
}

/// The statuses of the answers, in their order: "200 404". Bodies of our files have no such line in them.
std::string statuses(const std::string& answers) {
    const std::string line = "HTTP/1.1 ";
    std::string all;
    for (size_t at = answers.find(line); at != std::string::npos; at = answers.find(line, at + 1))
        all += (all.empty() ? "" : " ") + answers.substr(at + line.size(), 3);
    return all;
}

/// One answer to the end of its body, which has a length.
std::string receive_answer(Peer& peer) {
    const std::string head = read_head(peer);
    const std::string length = field_of(head, "Content-Length");
    return head + (length.empty() ? "" : peer.receive(std::stoul(length)));
}

void must_answer(const Server& server) {
    if (statuses(ask(server, request("GET /ten"))) != "200")
        throw Unexpected("it serves no more: " + server.describe());
}

}  // namespace

TEST_CASE("http server: files, whole and in parts", "[programs][tcp][http]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    Server server = start({"--host", host});
    const std::string index = ask(server, request("GET /"));
    CHECK(statuses(index) == "200");
    CHECK(body_of(index) == "<h1>Hello</h1>\n");
    CHECK(field_of(index, "Content-Type") == "text/html; charset=utf-8");
    CHECK_THAT(field_of(index, "Date"), ContainsSubstring(" GMT"));

    const std::string large = ask(server, request("GET /large"));
    CHECK((body_of(large) == site().large()));
    CHECK(field_of(large, "Content-Length") == "3000000");
    CHECK(field_of(large, "Content-Type") == "application/octet-stream");
    CHECK((body_of(ask(server, request("GET /large", "Range: bytes=100000-2999998\r\n"))) ==
           site().large().substr(100000, 2899999)));
    CHECK((body_of(ask(server, request("GET /1k"))) == read_file(site() / "1k")));
    CHECK(body_of(ask(server, request("GET /nothing"))).empty());
    CHECK(body_of(ask(server, request("GET http://elsewhere/sub/page.html?a=b"))) == "<p>page</p>");
    CHECK(body_of(ask(server, "\r\n\r\n" + request("GET /%74en"))) == "0123456789");
    CHECK(body_of(ask(server, "GET /ten HTTP/1.0\r\n\r\n")) == "0123456789");

    for (const char* path : {"/", "/large", "/nothing", "/none"}) {
        const std::string get = without_date(ask(server, request(std::string("GET ") + path)));
        const std::string head = without_date(ask(server, request(std::string("HEAD ") + path)));
        CHECK(head == get.substr(0, get.find("\r\n\r\n") + 4));
    }
    CHECK(body_of(ask(server, request("HEAD /sub/"))).empty());
    CHECK(server.err().empty());
}

TEST_CASE("http server: ranges and versions", "[programs][tcp][http]") {
    const Server server = start();
    struct Row {
        std::string range, status, body, content_range;
    };
    for (const Row& row :
         std::vector<Row>{{"bytes=0-0", "206", "0", "bytes 0-0/10"},
                          {"bytes=9-", "206", "9", "bytes 9-9/10"},
                          {"bytes=2-5", "206", "2345", "bytes 2-5/10"},
                          {"bytes=0-10", "206", "0123456789", "bytes 0-9/10"},
                          {"bytes=-3", "206", "789", "bytes 7-9/10"},
                          {"bytes=-30", "206", "0123456789", "bytes 0-9/10"},
                          {"bytes=10-", "416", "416 Range Not Satisfiable: that part is not there\n", "bytes */10"},
                          {"bytes=-0", "416", "416 Range Not Satisfiable: that part is not there\n", "bytes */10"},
                          {"bytes=5-4", "200", "0123456789", ""},
                          {"bytes=0-1,3-4", "200", "0123456789", ""},
                          {"parts=0-1", "200", "0123456789", ""}}) {
        INFO(row.range);
        const std::string answer = ask(server, request("GET /ten", "Range: " + row.range + "\r\n"));
        CHECK(statuses(answer) == row.status);
        CHECK(body_of(answer) == row.body);
        CHECK(field_of(answer, "Content-Range") == row.content_range);
    }
    CHECK(statuses(ask(server, request("HEAD /ten", "Range: bytes=0-1\r\n"))) == "200");
    CHECK(statuses(ask(server, request("GET /nothing", "Range: bytes=0-\r\n"))) == "416");

    const std::string first = ask(server, request("GET /ten"));
    const std::string tag = field_of(first, "ETag"), modified = field_of(first, "Last-Modified");
    const auto with = [&](const std::string& fields) { return ask(server, request("GET /ten", fields + "\r\n")); };
    for (const std::string& same :
         {"If-None-Match: " + tag, "If-None-Match: \"x\", W/" + tag, "If-Modified-Since: " + modified}) {
        const std::string answer = with(same);
        CHECK(statuses(answer) == "304");
        CHECK(body_of(answer).empty());
        CHECK(field_of(answer, "ETag") == tag);
    }
    CHECK(statuses(with("If-None-Match: \"x\"")) == "200");
    CHECK(statuses(with("If-Match: \"x\"")) == "412");
    CHECK(statuses(with("Range: bytes=1-2\r\nIf-Range: " + tag)) == "206");
    CHECK(statuses(with("Range: bytes=1-2\r\nIf-Range: " + modified)) == "206");
    CHECK(statuses(with("Range: bytes=1-2\r\nIf-Range: \"x\"")) == "200");

    write_file(site() / "changing", "one");
    const std::string old = field_of(ask(server, request("GET /changing")), "ETag");
    write_file(site() / "changing", "other");
    CHECK(body_of(ask(server, request("GET /changing", "If-None-Match: " + old + "\r\n"))) == "other");
}

TEST_CASE("http server: what it refuses, and whether the connection lives on", "[programs][tcp][http]") {
    const Server server = start({"--body", "1000"});
    struct Row {
        std::string bytes, status;
        bool closes;
    };
    const std::string body = "Content-Length: 5\r\n";
    for (const Row& row : std::vector<Row>{
             {request("GET /none"), "404", false},
             {request("GET /ten/"), "404", false},
             {request("GET /ten/x"), "404", false},
             {request("GET /fifo"), "404", false},
             {request("GET /" + std::string(5000, 'x')), "404", false},
             {request("GET /" + std::string(9000, 'x')), "414", true},
             {request("GET /ten", "A: " + std::string(9000, 'x') + "\r\n"), "431", true},
             {request("GET /ten",
                      [] {
                          std::string all;
                          for (int i = 0; i < 100; ++i)
                              all += "A: b\r\n";
                          return all;
                      }()),
              "431", true},
             {request("POST /ten", body) + "12345", "405", false},
             {request("DELETE /ten"), "405", false},
             {request("OPTIONS *"), "405", false},
             {request("BREW /ten"), "501", false},
             {request("get /ten"), "501", false},
             {"GET /ten HTTP/1.1\r\n\r\n", "400", true},
             {"GET /ten HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400", true},
             {"GET /ten HTTP/1.1\r\nHost: a b\r\n\r\n", "400", true},
             {"GET /ten HTTP/2.0\r\nHost: a\r\n\r\n", "505", true},
             {"GET /ten\r\n\r\n", "400", true},
             {"GET /ten HTTP/1.1\nHost: a\n\n", "400", true},
             {std::string("\x16\x03\x01\x02\x00\x01\x00\n", 8), "400", true},  // somebody speaks TLS
             {request("GET /ten", " folded: x\r\n"), "400", true},
             {request("GET /ten", "A : x\r\n"), "400", true},
             {request("GET /ten", "Expect: miracles\r\n" + body) + "12345", "417", true},
             {request("GET /ten", "Content-Length: 1001\r\n"), "413", true},
             {request("GET /ten", "Content-Length: 99999999999999999999\r\n"), "400", true},
             {request("GET /ten", "Transfer-Encoding: gzip, chunked\r\n"), "501", true},
             {request("GET /ten", "Transfer-Encoding: gzip\r\n"), "400", true},
             {request("GET /ten", "Transfer-Encoding: chunked\r\n") + "x\r\n", "400", true},
             {request("GET /ten", "Transfer-Encoding: chunked\r\n") + "7D0\r\n" + std::string(1001, 'x'), "413", true},
             {request("GET /../file"), "400", false},
         }) {
        INFO(row.bytes.substr(0, 200));
        const std::string answers = ask(server, row.bytes + request("GET /ten"));
        CHECK(statuses(answers) == row.status + (row.closes ? "" : " 200"));
        CHECK((field_of(answers, "Connection") == "close") == row.closes);
        if (row.status == "405") CHECK(field_of(answers, "Allow") == "GET, HEAD");
    }
}

TEST_CASE("http server: no request is smuggled in the body of another", "[programs][tcp][http]") {
    const Server server = start();
    const std::string hidden = request("GET /ten");
    for (const std::string& fields :
         {std::string("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
          std::string("Content-Length: 5\r\nContent-Length: 6\r\n"),
          std::string("Content-Length: 5\r\nContent-Length: 5\r\n"), std::string("Content-Length: 5, 6\r\n"),
          std::string("Content-Length: +5\r\n"), std::string("Content-Length : 5\r\n"),
          std::string("Content-Length: 5\n"), std::string("Content-Length:\r\n 5\r\n"),
          std::string("Transfer-Encoding : chunked\r\n"), std::string("Transfer-Encoding: xchunked\r\n"),
          std::string("Transfer-Encoding: chunked, identity\r\n"), std::string("Transfer-Encoding:\r\n chunked\r\n"),
          std::string("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
          std::string("Transfer-Encoding: \x0b"
                      "chunked\r\n"),
          std::string("A: b\rContent-Length: 5\r\n")}) {
        INFO(fields);
        const std::string answers = ask(server, "GET /1k HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n0\r\n\r\n" + hidden);
        CHECK(statuses(answers) == "400");
        CHECK(field_of(answers, "Connection") == "close");
    }
    CHECK(statuses(ask(server, "GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden)) == "400");
}

TEST_CASE("http server: request bodies are passed over", "[programs][tcp][http]") {
    const Server server = start();
    const std::string next = request("GET /ten");
    CHECK(statuses(ask(server, request("GET /1k", "Content-Length: 300000\r\n") + std::string(300'000, 'x') + next)) ==
          "200 200");
    CHECK(statuses(ask(server, request("POST /1k", "Transfer-Encoding: chunked\r\n") +
                                   "5;a=b\r\nhello\r\n10\r\n0123456789abcdef\r\n0\r\nTrailer: x\r\n\r\n" + next)) ==
          "405 200");
    CHECK(statuses(ask(server, request("GET /1k", "Content-Length: 5\r\n") + "1234")).empty());

    Peer peer = Peer::connected_to(server);
    const std::string expecting = "Expect: 100-continue\r\nContent-Length: 5\r\n";
    peer.send(request("GET /ten", expecting));
    CHECK(read_head(peer) == "HTTP/1.1 100 Continue\r\n\r\n");
    peer.send("12345");
    CHECK(body_of(receive_answer(peer)) == "0123456789");
    peer.send(request("POST /ten", expecting));
    const std::string refused = receive_answer(peer);
    CHECK(statuses(refused) == "405");
    CHECK(field_of(refused, "Connection") == "close");
}

TEST_CASE("http server: requests cut at every byte", "[programs][tcp][http]") {
    const Server server = start();
    Peer other = Peer::connected_to(server);
    for (const std::string& whole :
         {request("GET /ten", "Connection: close\r\n"),
          request("POST /x", "Transfer-Encoding: chunked\r\nConnection: close\r\n") + "3\r\nabc\r\n0\r\n\r\n",
          request("HEAD /none") + request("GET /ten", "Range: bytes=1-2\r\nConnection: close\r\n")}) {
        const std::string expected = without_date(ask(server, whole));
        CHECK_FALSE(expected.empty());
        for (size_t cut = 1; cut < whole.size(); ++cut) {
            INFO(cut);
            Peer peer = Peer::connected_to(server);
            peer.send(whole.substr(0, cut));
            other.send(request("GET /ten"));  // when this is answered, the server has seen the first piece, too
            receive_answer(other);
            peer.send(whole.substr(cut));
            CHECK(without_date(read_to_end(peer).bytes) == expected);
        }
    }
}

TEST_CASE("http server: one connection, many requests", "[programs][tcp][http]") {
    const Server server = start();
    std::string requests, expected;
    for (int i = 0; i < 100; ++i) {
        requests += request(i % 3 == 0 ? "GET /ten" : i % 3 == 1 ? "GET /none" : "HEAD /large");
        expected += i % 3 == 1 ? "404 " : "200 ";
    }
    CHECK(statuses(ask(server, requests)) + " " == expected);  // pipelined: in their order
    const std::string mixed = ask(server, request("GET /large") + request("GET /ten") + request("GET /sub/"));
    CHECK((mixed.find(site().large()) != std::string::npos));
    CHECK(mixed.ends_with("\r\n0\r\n\r\n"));
    CHECK(statuses(ask(server, request("GET /ten", "Connection: x, CLOSE\r\n") + request("GET /ten"))) == "200");
    const std::string old = "GET /ten HTTP/1.0\r\n";
    CHECK(statuses(ask(server, old + "\r\n" + old + "\r\n")) == "200");
    const std::string kept = ask(server, old + "Connection: keep-alive\r\n\r\n" + old + "\r\n");
    CHECK(statuses(kept) == "200 200");
    CHECK(field_of(kept, "Connection") == "keep-alive");
}

TEST_CASE("http server: nothing outside the folder, in no disguise", "[programs][tcp][http]") {
    const Server server = start();
    for (const char* target : {"/../file",
                               "/../site-secret/file",
                               "/../other/file",
                               "/sub/../../file",
                               "/%2e%2e/file",
                               "/%2e./file",
                               "/.%2E/file",
                               "/%2e%2e%2ffile",
                               "/..%2ffile",
                               "/sub/%2e%2e/%2e%2e/file",
                               "/%252e%252e/file",
                               "/..;/file",
                               "/....//file",
                               "/..\\file",
                               "/%5c..%5cfile",
                               "/%c0%ae%c0%ae/file",
                               "/%00/../file",
                               "/../file%00.html",
                               "/sub/..%00/file",
                               "//../file",
                               "/./../file",
                               "http://x/../file",
                               "/link/file",
                               "/link.txt",
                               "/link",
                               "/link/",
                               "/sub/up/file",
                               "/sub/up/",
                               "/sub/.hidden/file",
                               "/.hidden",
                               "/-secret/file",
                               "/site-secret/file",
                               "//etc/passwd",
                               "/%2fetc/passwd",
                               "/etc/passwd"}) {
        INFO(target);
        const std::string answer = ask(server, request(std::string("GET ") + target));
        CHECK((statuses(answer) == "404" || statuses(answer) == "400"));
        CHECK(answer.find("secret") == std::string::npos);
    }
    CHECK(statuses(ask(server, request("GET /sub/%2e%2e/ten"))) == "400");
}

TEST_CASE("http server: listings", "[programs][tcp][http]") {
    const Server server = start();
    const std::string moved = ask(server, request("GET //sub?a=b"));
    CHECK(statuses(moved) == "301");
    CHECK(field_of(moved, "Location") == "/sub/?a=b");
    CHECK(field_of(ask(server, request("GET //elsewhere.example/..%2f")), "Location").empty());

    const std::string listing = ask(server, request("GET /sub/"));
    CHECK(field_of(listing, "Transfer-Encoding") == "chunked");
    CHECK(listing.ends_with("\r\n0\r\n\r\n"));
    CHECK_THAT(listing,
               ContainsSubstring("<li><a href=\"%3Cb%3E%26%22%27%20c.txt\">&lt;b&gt;&amp;&quot;&#39; c.txt</a> 1\n"));
    CHECK_THAT(listing, ContainsSubstring("<li><a href=\"%ED%95%9C%EA%B8%80\">한글</a> 1\n"));
    CHECK(count_of(listing, "<li>") == 3);  // no link, nothing hidden
    CHECK(body_of(ask(server, request("GET /sub/%3Cb%3E%26%22%27%20c.txt"))) == "x");

    const std::string old = ask(server, "GET /sub/ HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    CHECK(field_of(old, "Transfer-Encoding").empty());
    CHECK(field_of(old, "Connection") == "close");
    CHECK(old.ends_with("</ul>\n"));

    const TempDir many;
    for (int i = 0; i < 600; ++i)
        write_file(many / fmt::format("file{}", i), "");
    const Server other = start_server(http_server, {"--directory", many.path()});
    CHECK(count_of(ask(other, request("GET /")), "<li>") == 600);
    Server client(start_server(http_server, {"--directory", many.path()}));
    CHECK(count_of(run({program("tcp/http_client"), "http://" + client.address() + "/"}), "<li>") == 600);
}

TEST_CASE("http server: slow, silent and deaf clients have their time, and cost the others nothing",
          "[programs][tcp][http]") {
    write_file(site() / "huge", std::string(20'000'000, 'x'));
    Server server = start({"--request", "1", "--idle", "1", "--stall", "1"});
    must_answer(server);
    const auto begin = std::chrono::steady_clock::now();
    Peer slow = Peer::connected_to(server), slow_body = Peer::connected_to(server), silent = Peer::connected_to(server);
    Peer deaf = Peer::connected_to(server), kept = Peer::connected_to(server);
    deaf.send(request("GET /huge"));
    kept.send(request("GET /ten"));
    CHECK(statuses(receive_answer(kept)) == "200");
    slow_body.send(request("GET /ten", "Content-Length: 5\r\n") + "1");
    const std::string head = request("GET /ten", "A: " + std::string(2000, 'x') + "\r\n");
    size_t sent = 0;
    pollfd answered{slow.fd(), POLLIN, 0};
    while (answered.revents == 0 && sent < head.size()) {
        slow.send(head.substr(sent++, 1));  // one byte and one byte and one byte
        must_answer(server);
        poll(&answered, 1, 3);
    }
    CHECK(sent < head.size());
    CHECK(statuses(read_to_end(slow).bytes) == "408");
    CHECK(statuses(read_to_end(slow_body).bytes) == "408");
    slow.close();
    slow_body.close();
    CHECK(read_to_end(silent).bytes.empty());
    CHECK(read_to_end(kept).bytes.empty());
#ifdef __linux__
    wait_until([&] { return open_sockets(server.pid()) <= 1; }, "the deaf one to be dropped");
    if (!is_sanitized()) CHECK(most_resident_kilobytes(server.pid()) < 16 * 1024);
#endif
    CHECK((read_to_end(deaf).bytes.size() < 20'000'000));
    CHECK(std::chrono::steady_clock::now() - begin < Milliseconds(is_sanitized() ? 20'000 : 6'000));
    must_answer(server);
    CHECK(server.err().empty());
}

TEST_CASE("http server: clients that vanish", "[programs][tcp][http]") {
    Server server = start();
    for (const std::string& bytes :
         {std::string(), std::string("GET /te"), request("GET /ten"), request("GET /large"),
          request("GET /large") + request("GET /sub/"), request("GET /sub/") + request("GET /"),
          request("GET /1k", "Content-Length: 10\r\n") + "1"}) {
        for (int i = 0; i < 10; ++i) {
            Peer peer = Peer::connected_to(server);
            peer.send(bytes);
            if (i % 2 == 0 && bytes.ends_with("\r\n\r\n")) peer.receive(10);
            if (i % 3 == 0) peer.close();
            if (i % 3 == 1) peer.reset();
        }
        must_answer(server);
    }
    CHECK(server.err().empty());
#ifdef __linux__
    wait_until([&] { return open_sockets(server.pid()) <= 1; }, "all connections to be closed");
#endif
}

TEST_CASE("http server: no more clients than it was told", "[programs][tcp][http]") {
    const Server server = start({"--connections", "2"});
    Peer first = Peer::connected_to(server), second = Peer::connected_to(server), third = Peer::connected_to(server);
    third.send(request("GET /ten"));
    for (Peer* peer : {&first, &second}) {
        peer->send(request("GET /ten"));
        CHECK(statuses(receive_answer(*peer)) == "200");
    }
    char byte = 0;
    CHECK(recv(third.fd(), &byte, 1, MSG_PEEK) == -1);  // it waits
    first.close();
    CHECK(statuses(receive_answer(third)) == "200");
}

#ifdef __linux__
TEST_CASE("http server: out of descriptors, it rests, and serves again", "[programs][tcp][http]") {
    if (is_sanitized()) return skip("UndefinedBehaviorSanitizer needs descriptors itself");
    Server server = start({}, {.limits = {{RLIMIT_NOFILE, 12}}});
    std::vector<Peer> peers;
    for (int i = 0; i < 20; ++i)
        peers.push_back(Peer::connected_to(server));
    server.expect_line(Stream::err, "no new clients for now: Too many open files (EMFILE)");
    peers[0].send(request("GET /ten"));  // a descriptor for the file is missing, too
    CHECK(statuses(receive_answer(peers[0])) == "503");
    const double before = cpu_seconds(server.pid());
    for (int i = 0; i < 20; ++i) {
        peers[0].send(request("HEAD /none"));
        read_head(peers[0]);
        serve_processes(Milliseconds(10));
    }
    CHECK(cpu_seconds(server.pid()) - before < 0.1);
    peers.clear();
    must_answer(server);
    CHECK(count_of(server.err(), "\n") <= 30);  // it may have to rest again behind each of the 20 that leave
}
#endif

TEST_CASE("http server: curl, wrk and a browser", "[programs][tcp][http][foreign]") {
    Server server = start();
    const std::string url = "http://" + server.address();
    if (has_tool("curl")) {
        CHECK(run({"curl", "-s", "--http1.1", url + "/ten", url + "/sub/page.html"}) == "0123456789<p>page</p>");
        CHECK((run({"curl", "-s", url + "/large"}) == site().large()));
        CHECK(run({"curl", "-s", "-0", url + "/sub/"}) == run({"curl", "-s", url + "/sub/"}));
        CHECK(run({"curl", "-s", "-r", "2-4", url + "/ten"}) == "234");
        CHECK(run({"curl", "-sL", url + "/sub", "-o", "/dev/null", "-w", "%{http_code} %{num_redirects}"}) == "200 1");
        CHECK(run({"curl", "-s", "-T", "-", url + "/ten", "-o", "/dev/null", "-w", "%{http_code}"}, "chunks") == "405");
        CHECK(run({"curl", "-s", "-d", std::string(3000, 'x'), "-H", "Expect: 100-continue", url + "/ten", "-o",
                   "/dev/null", "-w", "%{http_code}"}) == "405");
        CHECK_THAT(run({"curl", "-sI", url + "/ten"}), ContainsSubstring("Content-Length: 10\r\n"));
        CHECK(run({"curl", "-s", "--path-as-is", url + "/../file", "-o", "/dev/null", "-w", "%{http_code}"}) == "400");
    }
    if (has_tool("wrk")) {
        const std::string said = run({"wrk", "-t1", "-c50", "-d1s", url + "/1k"});
        CHECK_THAT(said, ContainsSubstring("requests in"));
        CHECK_THAT(said, !ContainsSubstring("Non-2xx") && !ContainsSubstring("Socket errors"));
    }
    if (has_tool("chromium")) {
        const TempDir home;
        Process browser({"chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir=" + home.path(),
                         "--dump-dom", url + "/sub/"});
        browser.expect(Stream::out, "&lt;b&gt;&amp;\"' c.txt</a> 1");
        browser.expect(Stream::out, "</html>");
    }
    CHECK(server.err().empty());
}

TEST_CASE("http server: a line for each request, without control characters", "[programs][tcp][http]") {
    Server server = start({"--log"});
    ask(server, request("GET /ten") + "GET /\x1b[2J HTTP/1.1\r\n\r\n");
    CHECK_THAT(server.expect_line(Stream::out, "  400  "), ContainsSubstring("GET /\\x1b[2J HTTP/1.1"));
    CHECK_THAT(server.out(), ContainsSubstring("  200  GET /ten HTTP/1.1\n"));
}

TEST_CASE("http server: the line of a request that is not whole is its own, and of no other client",
          "[programs][tcp][http]") {
    Server server = start({"--log", "--request", "1"});
    const auto is_logged = [&](const std::string& bytes, const std::string& line) {
        INFO(bytes.substr(0, 40));
        Peer peer = Peer::connected_to(server);
        peer.send(bytes.substr(0, 20));
        peer.send(bytes.substr(20));
        must_answer(server);  // what another client has asked meanwhile, and is gone again
        CHECK_THAT(server.expect_line(Stream::out, "  200  "), EndsWith("  200  GET /ten HTTP/1.1"));
        CHECK_THAT(server.expect_line(Stream::out, line.substr(0, 7)), EndsWith(line));
        read_to_end(peer);
    };
    is_logged("GET /slow HTTP/1.1\r\nHost: x\r\n", "  408  GET /slow HTTP/1.1");
    is_logged("GET /slow-target-of-a-request", "  408  GET /slow-target-of-a-request");
    is_logged(request("GET /body", "Content-Length: 5\r\n") + "1", "  408  GET /body HTTP/1.1");
    ask(server, request("GET /chunk", "Transfer-Encoding: chunked\r\n") + "x");
    CHECK_THAT(server.expect_line(Stream::out, "  400  "), EndsWith("  400  GET /chunk HTTP/1.1"));
    ask(server, request("GET /fields", "A: " + std::string(9000, 'x') + "\r\n"));
    CHECK_THAT(server.expect_line(Stream::out, "  431  "), EndsWith("  431  GET /fields HTTP/1.1"));
    ask(server, "GET /" + std::string(9000, 'y'));
    CHECK_THAT(server.expect_line(Stream::out, "  414  "), EndsWith("  414  GET /" + std::string(195, 'y')));
}

TEST_CASE("http server: a folder that is not there", "[programs][tcp][http]") {
    Process server({program(http_server), "--directory", "/no/such/folder", "--port", "0"});
    server.expect_exit(1);
    CHECK_THAT(server.err(), ContainsSubstring("(ENOENT)"));
}
