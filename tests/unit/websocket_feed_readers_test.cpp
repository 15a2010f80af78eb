// What the feed's client reads: HTTP responses and event streams, each also cut at every byte.

#include "tests/catch.hpp"
#include "tests/support/text.hpp"
#include "websocket/protocol/event_stream.hpp"
#include "websocket/protocol/http_response.hpp"

#include <string>
#include <vector>

using namespace websocket;
using Status = HttpResponseReader::Status;

namespace {

struct Read {
    Status status = Status::head;
    int code = 0;
    std::string body, left, problem;
    bool keeps_alive = false;
    bool operator==(const Read&) const = default;
};

Read read_in_two(const std::string& text, std::size_t cut, std::size_t most) {
    HttpResponseReader reader(most);
    Read read;
    for (const std::string& piece : {text.substr(0, cut), text.substr(cut)}) {
        std::string_view input = piece;
        read.status = reader.take(input);
        read.left += input;
    }
    read.code = reader.status_code();
    read.body = reader.body();
    read.problem = reader.problem();
    read.keeps_alive = reader.keeps_alive();
    return read;
}

Read read(const std::string& text, std::size_t most = 1000) {
    const Read whole = read_in_two(text, text.size(), most);
    for (std::size_t cut = 0; cut < text.size(); ++cut) {
        const Read other = read_in_two(text, cut, most);
        INFO("cut at " << cut);
        CHECK(other.status == whole.status);
        CHECK(other.problem == whole.problem);
        if (whole.status != Status::malformed) CHECK(other == whole);
    }
    return whole;
}

std::string problem_of(const std::string& text, std::size_t most = 1000) {
    const Read one = read(text, most);
    CHECK(one.status == Status::malformed);
    CHECK_FALSE(one.keeps_alive);
    return one.problem;
}

const std::string ok = "HTTP/1.1 200 OK\r\n";
const std::string chunked = ok + "Transfer-Encoding: chunked\r\n\r\n";

std::vector<StreamEvent> events(const std::string& text) {
    const auto in_two = [&](std::size_t cut) {
        EventStreamReader reader;
        std::vector<StreamEvent> all;
        for (const std::string& piece : {text.substr(0, cut), text.substr(cut)}) {
            std::string_view input = piece;
            while (auto event = reader.next(input))
                all.push_back(*event);
        }
        CHECK_FALSE(reader.failed());
        return all;
    };
    const auto whole = in_two(text.size());
    for (std::size_t cut = 0; cut < text.size(); ++cut)
        CHECK(in_two(cut) == whole);
    return whole;
}

StreamEvent message(const std::string& data, const std::string& id = "") { return {"message", data, id}; }

}  // namespace

TEST_CASE("http response: where the body ends", "[unit][websocket][feed]") {
    Read one = read(ok + "Content-Length: 5\r\n\r\nhello" + ok);
    CHECK((one.status == Status::complete && one.body == "hello" && one.left == ok && one.keeps_alive));
    one = read(ok + "Content-Length: 5\r\n\r\nhell");
    CHECK((one.status == Status::body && one.body == "hell" && one.code == 200));
    one = read(chunked + "5\r\nhello\r\n00A ; x=\"y\"\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nHTTP");
    CHECK((one.status == Status::complete && one.body == "hello0123456789" && one.left == "HTTP" && one.keeps_alive));
    one = read(chunked + "5\r\nhello\r\n");
    CHECK((one.status == Status::body && one.body == "hello"));
    for (const char* status : {"204 No Content", "304 Not Modified"}) {
        one = read("HTTP/1.1 " + std::string(status) + "\r\nContent-Length: 5\r\n\r\nhello");
        CHECK((one.status == Status::complete && one.body.empty() && one.left == "hello" && one.keeps_alive));
    }
    CHECK(read("HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n").status == Status::complete);  // no phrase
    CHECK_FALSE(read("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").keeps_alive);
    CHECK_FALSE(read(ok + "Connection: x, Close\r\nContent-Length: 0\r\n\r\n").keeps_alive);
    one = read("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n" + ok +
               "Content-Length: 2\r\n\r\nhi");
    CHECK((one.status == Status::complete && one.code == 200 && one.body == "hi"));

    HttpResponseReader reader;
    const std::string until_end = ok + "\r\nall of it";
    std::string_view input = until_end;
    CHECK(reader.take(input) == Status::body);
    CHECK(reader.end_of_input() == Status::complete);
    CHECK((reader.body() == "all of it" && !reader.keeps_alive()));
    HttpResponseReader cut_off;
    input = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell";
    cut_off.take(input);
    CHECK(cut_off.end_of_input() == Status::body);
}

TEST_CASE("http response: what two could read differently", "[unit][websocket][feed]") {
    CHECK(problem_of("HTTP/2 200 OK\r\n\r\n") == "no such status line");
    CHECK(problem_of("HTTP/1.1 2x0 OK\r\n\r\n") == "no such status line");
    CHECK(problem_of("HTTP/1.1 999 OK\r\n\r\n") == "no such status line");
    CHECK(problem_of("HTTP/1.1 20 0OK\r\n\r\n") == "no such status line");
    CHECK(problem_of("HTTP/1.1 200\r\n\r\n") == "no such status line");
    for (const char* length : {"5, 5", "+5", "-5", "0x5", "5 5", "", "99999999999999999999"})
        CHECK(problem_of(ok + "Content-Length: " + length + "\r\n\r\n") == "Content-Length is not one number");
    CHECK(problem_of(ok + "Content-Length: 5\r\nContent-Length: 5\r\n\r\n") == "Content-Length is not one number");
    CHECK(problem_of(ok + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n") ==
          "two lengths: Content-Length and Transfer-Encoding");
    for (const char* coding : {"gzip, chunked", "identity", "chunked, chunked", "chunked2", ""})
        CHECK(problem_of(ok + "Transfer-Encoding: " + coding + "\r\n\r\n") ==
              "a Transfer-Encoding that is not chunked");
    CHECK(problem_of("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") ==
          "a Transfer-Encoding that is not chunked");
    for (const char* size : {"", "x", "-1", "+1", "0x1", "1 1", ";x", "10000000000000000"})
        CHECK(problem_of(chunked + size + "\r\n") == "no such chunk size");
    CHECK(problem_of(chunked + "2\r\nhello\r\n") == "a chunk is longer than it says");
    for (const char* line : {"2\n", "2\r\nhi\n", "2\r\r\n", "2\r\nhi\rx\r\n"})
        CHECK(problem_of(chunked + line) == "a line of the body's framing does not end in CR LF");
}

TEST_CASE("http response: limits", "[unit][websocket][feed]") {
    CHECK(read(ok + "Content-Length: 20\r\n\r\n", 20).status == Status::body);
    CHECK(problem_of(ok + "Content-Length: 21\r\n\r\n", 20) == "the body is too large");
    CHECK(problem_of(ok + "\r\n" + std::string(21, 'x'), 20) == "the body is too large");
    CHECK(problem_of(chunked + "ffffffffffffffff\r\n" + std::string(21, 'x'), 20) == "the body is too large");
    CHECK(problem_of(ok + "X: " + std::string(9000, 'x') + "\r\n") == "the head is too large");
    CHECK(problem_of(chunked + "1;" + std::string(1100, 'x')) == "a line of the body's framing is too long");
    std::string trailer = chunked + "0\r\n";
    for (int i = 0; i < 90; ++i)
        trailer += "X: " + std::string(100, 'x') + "\r\n";
    CHECK(read_in_two(trailer, trailer.size(), 20).problem == "the trailer is too large");
    std::string interim;
    for (int i = 0; i < 11; ++i)
        interim += "HTTP/1.1 100 Continue\r\n\r\n";
    CHECK(problem_of(interim) == "interim responses without end");
    // A body without end, taken out as it comes, is none too large.
    HttpResponseReader endless(20);
    std::string_view head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    endless.take(head);
    for (int i = 0; i < 100; ++i) {
        std::string_view chunk = "a\r\n0123456789\r\n";
        REQUIRE(endless.take(chunk) == Status::body);
        CHECK(endless.body() == "0123456789");
        endless.body().clear();
    }
}

TEST_CASE("event stream: the standard's own examples", "[unit][websocket][feed]") {
    // The HTML standard, section 9.2.6.
    CHECK(events("data: YHOO\ndata: +2\ndata: 10\n\n") == std::vector{message("YHOO\n+2\n10")});
    CHECK(events(": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n") ==
          std::vector{message("first event", "1"), message("second event"), message(" third event")});
    CHECK(events("data\n\ndata\ndata\n\ndata:") == std::vector{message(""), message("\n")});
    CHECK(events("data:test\n\ndata: test\n\n") == std::vector{message("test"), message("test")});
    CHECK(events("event: add\ndata: 73857293\n\nevent: remove\ndata: 2153\n\n") ==
          std::vector<StreamEvent>{{"add", "73857293", ""}, {"remove", "2153", ""}});
}

TEST_CASE("event stream: ends of lines, marks and ids", "[unit][websocket][feed]") {
    for (const char* end : {"\n", "\r\n", "\r"}) {
        const std::string text = std::string("id: 1") + end + "data: a" + end + end + "data: b" + end + end;
        // A lone CR may be the first half of CR LF; but the line is over in both cases.
        CHECK(events(text) == std::vector{message("a", "1"), message("b", "1")});
    }
    CHECK(events("\xEF\xBB\xBF"
                 "data: a\n\n") == std::vector{message("a")});
    CHECK(events("\xEF\xBB\xBF\xEF\xBB\xBF"
                 "data: a\n\n")
              .empty());
    CHECK(events("id: 5\ndata: a\n\nid: 6\ndata: b\n") == std::vector{message("a", "5")});  // no blank line, no event
    CHECK(events(std::string("id: 5\nid: 6\0\ndata: a\n\n", 22)) == std::vector{message("a", "5")});
    CHECK(events("Data: a\n data: b\nfoo: c\n\n").empty());

    EventStreamReader reader;
    std::string_view input = "retry: 250\nretry: -1\nretry: 1x\nretry: 99999999999999999999\nretry\nid: 9\n\n";
    CHECK_FALSE(reader.next(input));
    CHECK((reader.retry_milliseconds() == 250 && reader.last_id() == "9"));
}

TEST_CASE("event stream: limits", "[unit][websocket][feed]") {
    const auto fails = [](const std::string& text) {
        EventStreamReader reader(20);
        std::string_view input = text;
        while (reader.next(input)) {
        }
        return reader.failed() && input.empty();
    };
    CHECK_FALSE(fails("data: 1234567890\n\n"));
    CHECK(fails("data: 123456789012345\n\n"));
    CHECK(fails(std::string(21, ':')));  // also one that never ends
    CHECK(fails("data: 1234567890\ndata: 1234567890\n\n"));
    std::string many;
    for (int i = 0; i < 100; ++i)
        many += "data: x\n\n";
    CHECK_FALSE(fails(many));
}
