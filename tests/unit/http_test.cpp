// What HTTP's text means: tcp/http.hpp and tcp/http_files.hpp, without a socket.

#include "tcp/http.hpp"
#include "tcp/http_files.hpp"
#include "tests/catch.hpp"

using namespace http;

namespace {

/// The status of the Error that this throws; 0 if it throws none.
template <typename Work>
int status_of(const Work& work) {
    try {
        work();
    } catch (const Error& error) {
        return error.status();
    }
    return 0;
}

Head head_of(std::string_view bytes) {
    Head head;
    read_head(bytes, head);
    return head;
}

/// The content of a body that comes in pieces of this size; "?" if it is not complete at the end, and what follows it.
std::string read_body(Body body, std::string_view bytes, std::size_t piece) {
    BodyReader reader(body);
    std::string content;
    while (!bytes.empty() && !reader.complete()) {
        std::string_view now = bytes.substr(0, piece);
        const std::size_t offered = now.size();
        for (std::string_view part = reader.next(now); !part.empty(); part = reader.next(now))
            content += part;
        bytes.remove_prefix(offered - now.size());
    }
    return content + (reader.complete() ? "|" : "?") + std::string(bytes);
}

std::string part_of(const std::string& range, std::uint64_t size, const std::string& if_range = "") {
    const std::string text = "GET / HTTP/1.1\r\nRange: " + range + "\r\n" +
                             (if_range.empty() ? "" : "If-Range: " + if_range + "\r\n") + "\r\n";
    const auto part = requested_part(head_of(text), {"\"v1\"", 784111777}, size);
    return part ? std::to_string(part->begin) + "," + std::to_string(part->end) : "all";
}

std::string path_text(std::string_view target) {
    Path path;
    const int status = status_of([&] { read_path(target, path); });
    return status != 0 ? std::to_string(status) : path.text + (path.has_slash ? "|" : "");
}

}  // namespace

TEST_CASE("http: where a head ends, however it is cut", "[unit][http]") {
    const std::string text = "GET / HTTP/1.1\r\nHost: a\r\nX: \r\n\r\nbehind";
    const std::size_t whole = text.size() - 6;
    std::size_t line = 0;
    for (std::size_t have = 0; have <= text.size(); ++have) {
        INFO(have);
        CHECK(head_length(text.substr(0, have), line) == (have < whole ? 0 : whole));
    }
}

TEST_CASE("http: heads that are refused", "[unit][http]") {
    const auto status = [](const std::string& text) {
        return status_of([&] {
            std::size_t line = 0;
            const std::size_t length = head_length(text, line);
            if (length != 0) head_of(text.substr(0, length));
        });
    };
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\n\r\n") == 0);
    CHECK(status("GET / HTTP/1.1\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\n\r\n") == 400);
    CHECK(status("\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost : a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\n Host: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nHost\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\n: a\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nA: b\rc\r\n\r\n") == 400);
    CHECK(status(std::string("GET / HTTP/1.1\r\nA: b\0c\r\n\r\n", 27)) == 400);
    CHECK(status("GET / HTTP/1.1\r\nA: \x1b[2J\r\n\r\n") == 400);
    CHECK(status("GET / HTTP/1.1\r\nA: 한글\tand a tab\r\n\r\n") == 0);
    CHECK(status("GET /" + std::string(8187, 'a')) == 0);
    CHECK(status("GET /" + std::string(8188, 'a')) == 414);
    CHECK(status("GET / HTTP/1.1\r\nA: " + std::string(8192, 'a')) == 431);
    std::string fields;
    for (int i = 0; i < 100; ++i)
        fields += "A: b\r\n";
    CHECK(status("GET / HTTP/1.1\r\n" + fields + "\r\n") == 0);
    CHECK(status("GET / HTTP/1.1\r\nA: b\r\n" + fields + "\r\n") == 431);
    const std::string exactly = "GET / HTTP/1.1\r\nA: ";
    CHECK(status(exactly + std::string(8192 - exactly.size() - 4, 'a') + "\r\n\r\n") == 0);
    CHECK(status(exactly + std::string(8193 - exactly.size() - 4, 'a') + "\r\n\r\n") == 431);
}

TEST_CASE("http: the first lines", "[unit][http]") {
    const RequestLine request = read_request_line("GET /a?b HTTP/1.0");
    CHECK(request.method == "GET");
    CHECK(request.target == "/a?b");
    CHECK(request.minor == 0);
    for (const char* wrong :
         {"", "GET", "GET /", "GET / HTTP/1.1 ", "GET  / HTTP/1.1", "GET / a HTTP/1.1", "GET /\tHTTP/1.1",
          " GET / HTTP/1.1", "G@T / HTTP/1.1", "GET / http/1.1", "GET / HTTP/1.10", "GET / HTTP/1",
          "GET /\x80 HTTP/1.1", "GET /# HTTP/1.1", "GET / HTTP/1.1\r"}) {
        INFO(wrong);
        CHECK(status_of([&] { read_request_line(wrong); }) == 400);
    }
    CHECK(status_of([] { read_request_line("GET / HTTP/2.0"); }) == 505);
    CHECK(read_request_line("GET / HTTP/1.9").minor == 9);

    CHECK(read_status_line("HTTP/1.1 200 OK").code == 200);
    CHECK(read_status_line("HTTP/1.0 404 Not  found").reason == "Not  found");
    CHECK(read_status_line("HTTP/1.1 200").code == 200);
    CHECK(read_status_line("HTTP/1.1 204 ").reason.empty());
    for (const char* wrong : {"", "HTTP/1.1", "HTTP/1.1 ", "HTTP/1.1 20", "HTTP/1.1 2000", "HTTP/1.1 099 x",
                              "HTTP/1.1  200", "HTTP/1.1 -20 x", "ICY 200 OK", "<html>"}) {
        INFO(wrong);
        CHECK(status_of([&] { read_status_line(wrong); }) == 400);
    }
}

TEST_CASE("http: how long a body is", "[unit][http]") {
    const auto status = [](const std::string& fields, int minor = 1) {
        const std::string text = "POST / HTTP/1.1\r\n" + fields + "\r\n";
        return status_of([&] { request_body(head_of(text), minor); });
    };
    CHECK(status("Content-Length: 5\r\n") == 0);
    CHECK(status("Content-Length: 9223372036854775807\r\n") == 0);
    for (const char* wrong :
         {"", "-1", "+5", "5 5", "5, 5", "0x5", "5.", "9223372036854775808", "99999999999999999999999"}) {
        INFO(wrong);
        CHECK(status(std::string("Content-Length: ") + wrong + "\r\n") == 400);
    }
    CHECK(status("Content-Length: 5\r\nContent-Length: 6\r\n") == 400);
    CHECK(status("Content-Length: 5\r\nContent-Length: 5\r\n") == 400);
    CHECK(status("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n") == 400);
    CHECK(status("Transfer-Encoding: Chunked\r\n") == 0);
    CHECK(status("Transfer-Encoding: chunked\r\n", 0) == 400);
    CHECK(status("Transfer-Encoding: gzip, chunked\r\n") == 501);
    CHECK(status("Transfer-Encoding: gzip\r\n") == 400);
    CHECK(status("Transfer-Encoding: chunked, gzip\r\n") == 400);
    CHECK(status("Transfer-Encoding: chunked, chunked\r\n") == 400);
    CHECK(status("Transfer-Encoding: xchunked\r\n") == 400);
    CHECK(status("Transfer-Encoding: \x0b"
                 "chunked\r\n") == 400);

    const auto framing = [](const std::string& first, const std::string& fields, bool head = false) {
        const std::string text = first + "\r\n" + fields + "\r\n";
        const Head read = head_of(text);
        return response_body(read, read_status_line(read.first_line), head);
    };
    CHECK(framing("HTTP/1.1 200 OK", "").framing == Framing::until_close);
    CHECK(framing("HTTP/1.1 200 OK", "Transfer-Encoding: chunked\r\n").framing == Framing::chunked);
    CHECK(framing("HTTP/1.1 200 OK", "Content-Length: 7\r\n").length == 7);
    CHECK(framing("HTTP/1.1 200 OK", "Content-Length: 7\r\n", true).length == 0);
    for (const char* bodiless : {"HTTP/1.1 204 No", "HTTP/1.1 304 No", "HTTP/1.1 100 No"}) {
        CHECK(framing(bodiless, "Content-Length: 7\r\n").length == 0);
        CHECK(framing(bodiless, "").framing == Framing::length);
    }
}

TEST_CASE("http: bodies, however they are cut", "[unit][http]") {
    const std::string chunks =
        "5\r\nhello\r\n1A;name=\"value\" ; x\r\nabcdefghijklmnopqrstuvwxyz\r\n003  ;y\r\n\r\n!\r\n0\r\nTrailer: "
        "x\r\n\r\n";
    for (std::size_t piece = 1; piece <= chunks.size(); ++piece) {
        INFO(piece);
        CHECK(read_body({Framing::chunked}, chunks + "GET", piece) == "helloabcdefghijklmnopqrstuvwxyz\r\n!|GET");
        CHECK(read_body({Framing::length, 7}, "1234567GET", piece) == "1234567|GET");
        CHECK(read_body({Framing::until_close}, "1234567", piece) == "1234567?");
    }
    for (std::size_t have = 0; have < chunks.size(); ++have)
        CHECK(read_body({Framing::chunked}, chunks.substr(0, have), 3).back() == '?');
    for (const std::string& wrong : {std::string("\r\n"),
                                     std::string("x\r\n"),
                                     std::string("-1\r\n"),
                                     std::string("5x\r\n"),
                                     std::string("0x5\r\n"),
                                     std::string("5\n"),
                                     std::string("5\rx"),
                                     std::string("5 \r\n"),
                                     std::string("5 5\r\n"),
                                     std::string(" 5\r\n"),
                                     std::string("1\r\nab\r\n"),
                                     std::string("1\r\na\n"),
                                     std::string("5;\n"),
                                     std::string("5;\x01\r\n"),
                                     std::string("8000000000000000\r\n"),
                                     std::string("fffffffffffffffff\r\n"),
                                     std::string("0\r\nA: b\n\r\n"),
                                     std::string("0\r\nA: b\r\n\rx"),
                                     std::string("0\r\nno field\r\n\r\n"),
                                     std::string("0\r\nA : b\r\n\r\n"),
                                     std::string("0\r\n: b\r\n\r\n"),
                                     std::string("0\r\nA: b\r\n folded\r\n\r\n"),
                                     std::string("0\r\nA\r\n\r\n"),
                                     "5;" + std::string(300, 'x'),
                                     std::string(300, '0') + "5\r\n",
                                     "0\r\n" + std::string(9000, 'x'),
                                     "0\r\n" + std::string(9000, 'x')}) {
        INFO(wrong.substr(0, 40));
        CHECK(status_of([&] { read_body({Framing::chunked}, wrong, 1); }) == 400);
        CHECK(status_of([&] { read_body({Framing::chunked}, wrong, wrong.size()); }) == 400);
    }
}

TEST_CASE("http: which part a Range means", "[unit][http]") {
    CHECK(part_of("bytes=0-0", 10) == "0,1");
    CHECK(part_of("bytes=0-9", 10) == "0,10");
    CHECK(part_of("bytes=0-10", 10) == "0,10");
    CHECK(part_of("bytes=9-9", 10) == "9,10");
    CHECK(part_of("bytes=3-", 10) == "3,10");
    CHECK(part_of("Bytes=3-4", 10) == "3,5");
    CHECK(part_of("bytes= 3-4", 10) == "3,5");
    CHECK(part_of("bytes=-1", 10) == "9,10");
    CHECK(part_of("bytes=-10", 10) == "0,10");
    CHECK(part_of("bytes=-11", 10) == "0,10");
    CHECK(part_of("bytes=0-99999999999999999999999", 10) == "0,10");
    CHECK(part_of("bytes=-99999999999999999999999", 10) == "0,10");
    for (const char* missing : {"bytes=10-", "bytes=10-20", "bytes=-0", "bytes=99999999999999999999999-"})
        CHECK(part_of(missing, 10) == "10,10");
    CHECK(part_of("bytes=0-", 0) == "0,0");
    CHECK(part_of("bytes=-5", 0) == "all");
    for (const char* ignored : {"bytes=5-4", "bytes=-", "bytes=", "bytes=a-b", "bytes=1-2,4-5", "bytes=1-2,",
                                "lines=1-2", "bytes=+1-2", "bytes=1--2", "bytes 1-2", "bytes=0x1-2", "1-2", "bytes=5"})
        CHECK(part_of(ignored, 10) == "all");
    CHECK(part_of("bytes=3-", 10, "\"v1\"") == "3,10");
    CHECK(part_of("bytes=3-", 10, "\"v2\"") == "all");
    CHECK(part_of("bytes=3-", 10, "W/\"v1\"") == "all");
    CHECK(part_of("bytes=3-", 10, "Sun, 06 Nov 1994 08:49:37 GMT") == "3,10");
    CHECK(part_of("bytes=3-", 10, "Sun, 06 Nov 1994 08:49:38 GMT") == "all");
    CHECK(part_of("bytes=3-", 10, "nonsense") == "all");
}

TEST_CASE("http: paths stay below the folder", "[unit][http]") {
    CHECK(path_text("/").empty() == false);
    CHECK(path_text("/") == "|");
    CHECK(path_text("/a/b.txt?c=/../d") == "a/b.txt");
    CHECK(path_text("//a///b//") == "a/b|");
    CHECK(path_text("/%41%20%ed%95%9c") == "A 한");
    CHECK(path_text("/a%3fb") == "a?b");
    CHECK(path_text("/%2541") == "%41");
    CHECK(path_text("http://host/a") == "a");
    CHECK(path_text("HTTP://host") == "|");
    CHECK(path_text("http://host?x") == "|");
    CHECK(path_text("/...") == "404");
    CHECK(path_text("/.git/config") == "404");
    CHECK(path_text("/a%2fb") == "404");
    CHECK(path_text("/a/%2e%2e%2fb") == "404");
    for (const char* wrong :
         {"/..",     "/../a",         "/a/..",    "/a/../b", "/%2e%2e/a", "/.%2E/a",   "/a/%2e/b",  "/.",
          "/%00",    "/a%00.html",    "/%",       "/%4",     "/%g0",      "/%+1",      "*",         "a",
          "host:80", "https://host/", "ftp://x/", "?a",      "\\..\\a",   "http:///a", "http://?a", "http://"})
        CHECK(path_text(wrong) == "400");
}

TEST_CASE("http: preconditions", "[unit][http]") {
    const auto status = [](const std::string& fields) {
        const std::string text = "GET / HTTP/1.1\r\n" + fields + "\r\n\r\n";
        return check_preconditions(head_of(text), {"\"v1\"", 784111777});
    };
    const std::string at = "Sun, 06 Nov 1994 08:49:37 GMT", before = "Sun, 06 Nov 1994 08:49:36 GMT";
    CHECK(status("A: b") == 200);
    CHECK(status("If-None-Match: \"v1\"") == 304);
    CHECK(status("If-None-Match: \"a,b\", W/\"v1\"") == 304);
    CHECK(status("If-None-Match: *") == 304);
    CHECK(status("If-None-Match: \"v2\"") == 200);
    CHECK(status("If-None-Match: \"V1\"") == 200);
    CHECK(status("If-None-Match: w/\"v1\"") == 200);
    CHECK(status("If-None-Match: v1") == 200);
    CHECK(status("If-Match: \"V1\"") == 412);
    CHECK(status("If-Match: \"v2\"\r\nIf-Match: \"a,b\", \"v1\"") == 200);
    CHECK(status("If-None-Match: \"v2\"\r\nIf-Modified-Since: " + at) == 200);  // the tag decides
    CHECK(status("If-Modified-Since: " + at) == 304);
    CHECK(status("If-Modified-Since: " + before) == 200);
    CHECK(status("If-Modified-Since: Sunday, 06-Nov-94 08:49:37 GMT") == 304);
    CHECK(status("If-Modified-Since: Sun Nov  6 08:49:37 1994") == 304);
    CHECK(status("If-Modified-Since: yesterday") == 200);
    CHECK(status("If-Match: \"v1\"") == 200);
    CHECK(status("If-Match: W/\"v1\"") == 412);
    CHECK(status("If-Match: \"v2\"") == 412);
    CHECK(status("If-Match: *") == 200);
    CHECK(status("If-Unmodified-Since: " + at) == 200);
    CHECK(status("If-Unmodified-Since: " + before) == 412);
    CHECK(date_text(784111777) == at);
}

TEST_CASE("http: small things", "[unit][http]") {
    CHECK(persists(head_of("x\r\nConnection: a, Close\r\n\r\n"), 1) == false);
    CHECK(persists(head_of("x\r\nConnection: closer\r\n\r\n"), 1));
    CHECK(persists(head_of("x\r\n\r\n"), 0) == false);
    CHECK(persists(head_of("x\r\nConnection: Keep-Alive\r\n\r\n"), 0));
    CHECK(html_escaped("<a href=\"x\">&'") == "&lt;a href=&quot;x&quot;&gt;&amp;&#39;");
    CHECK(percent_encoded("a b/한?", "") == "a%20b%2F%ED%95%9C%3F");
    CHECK(media_type("a.HTML") == "text/html; charset=utf-8");
    CHECK(media_type("a.tar.gz") == "application/gzip");
    CHECK(media_type("html") == "application/octet-stream");
    CHECK(status_of([] { check_host(head_of("x\r\nHost: a/b\r\n\r\n"), 1); }) == 400);
    CHECK(status_of([] { check_host(head_of("x\r\nHost: \r\n\r\n"), 1); }) == 0);
    CHECK(status_of([] { check_host(head_of("x\r\nHost: [::1]:80\r\n\r\n"), 1); }) == 0);
}
