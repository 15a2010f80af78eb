// The observer of the tap: what two streams of bytes are told to be, however they are cut, and whatever they are.

#include "websocket/protocol/observer.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/memory.hpp"
#include "tests/support/text.hpp"
#include "tests/support/wire.hpp"
#include "websocket/protocol/deflate.hpp"
#include "websocket/tap_pcap.hpp"
#include "websocket/tap_record.hpp"
#include "websocket/tap_watch.hpp"

#include <map>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>

using namespace websocket;
using namespace wire::literals;
using wire::close_body;
using wire::frame;
using wire::masked;

namespace {

using Records = std::vector<Record>;
constexpr Direction up = Direction::up, down = Direction::down;

std::string request(const std::string& fields = "") {
    return "GET /chat HTTP/1.1\r\nHost: example\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
           "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
           fields + "\r\n";
}

std::string response(const std::string& fields = "", const std::string& accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") {
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
           accept + "\r\n" + fields + "\r\n";
}

const std::string offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n";
const std::string answer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

struct Part {
    Direction direction;
    std::string bytes;
};

/// Everything of a connection, a millisecond apart; cut further where there are cuts: every so many bytes.
Records observe(const std::vector<Part>& parts, std::size_t piece = 0) {
    Records records;
    Observer observer([&](Record&& record) { records.push_back(std::move(record)); });
    std::int64_t time = 1000;
    observer.open("a", "b", time);
    for (const auto& [direction, bytes] : parts) {
        time += 1000;
        const std::size_t step = piece == 0 ? std::max<std::size_t>(bytes.size(), 1) : piece;
        for (std::size_t at = 0; at < bytes.size(); at += step)
            observer.bytes(direction, std::string_view(bytes).substr(at, step), time);
    }
    return records;
}

Records of_kind(const Records& records, Record::Kind kind) {
    Records found;
    for (const Record& record : records)
        if (record.kind == kind) found.push_back(record);
    return found;
}

Records frames(const Records& records) { return of_kind(records, Record::Kind::frame); }
Records messages(const Records& records) { return of_kind(records, Record::Kind::message); }

std::vector<std::string> problems(const Records& records) {
    std::vector<std::string> all;
    for (const Record& record : records)
        all.insert(all.end(), record.problems.begin(), record.problems.end());
    return all;
}

/// What must not depend on the cuts: all but segments, and the pieces in which raw bytes are told.
std::vector<std::string> story(const Records& records) {
    std::vector<std::string> lines;
    std::map<Direction, std::uint64_t> raw;
    for (Record record : records) {
        if (record.kind == Record::Kind::segment) continue;
        if (record.kind == Record::Kind::raw) {
            raw[record.direction] += record.size;
            continue;
        }
        record.first_segment = record.last_segment = 0;
        lines.push_back(json_of(record));
    }
    for (const auto& [direction, bytes] : raw)
        lines.push_back(fmt::format("{} raw bytes", bytes));
    return lines;
}

/// The story, and that it is the same byte by byte, and cut in two at every byte (of long parts: at some).
Records check_cuts(const std::vector<Part>& parts) {
    const Records whole = observe(parts);
    const std::vector<std::string> expected = story(whole);
    CHECK(story(observe(parts, 1)) == expected);
    CHECK(story(observe(parts, 7)) == expected);
    for (std::size_t part = 0; part < parts.size(); ++part) {
        bool same = true;
        const std::size_t size = parts[part].bytes.size();
        const bool is_head = part < 2 && parts.size() > 2;  // cut in the test of the handshake
        const std::size_t step = is_head ? 29 : size > 2000 ? 997 : 1;
        for (std::size_t at = 1; at < size; at += at < 30 && !is_head ? 1 : step) {
            std::vector<Part> cut = parts;
            cut[part].bytes.resize(at);
            cut.insert(cut.begin() + static_cast<long>(part) + 1,
                       {parts[part].direction, parts[part].bytes.substr(at)});
            Records records;
            Observer observer([&](Record&& record) { records.push_back(std::move(record)); });
            std::int64_t time = 1000;
            observer.open("a", "b", time);
            for (std::size_t i = 0; i < cut.size(); ++i) {
                if (i != part + 1) time += 1000;
                observer.bytes(cut[i].direction, cut[i].bytes, time);
            }
            same = same && story(records) == expected;
        }
        CHECK(same);
    }
    return whole;
}

std::vector<Part> shaken(std::vector<Part> parts) {
    parts.insert(parts.begin(), {{up, request()}, {down, response()}});
    return parts;
}

std::vector<Part> compressed(std::vector<Part> parts, const std::string& agreed = answer) {
    parts.insert(parts.begin(), {{up, request(offer)}, {down, response(agreed)}});
    return parts;
}

std::string deflated(Deflater& deflater, std::string_view text) {
    Buffer out;
    deflater.compress(text, true, out);
    return std::string(out.view());
}

}  // namespace

TEST_CASE("observer: the handshake of RFC 6455, section 1.3", "[unit][websocket][observer]") {
    const Records records = check_cuts(shaken({}));
    const Records found = of_kind(records, Record::Kind::handshake);
    REQUIRE(found.size() == 1);
    CHECK(found[0].accepted);
    CHECK(found[0].key == "dGhlIHNhbXBsZSBub25jZQ==");
    CHECK(found[0].accept == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    CHECK(found[0].expected == found[0].accept);
    CHECK(found[0].problems.empty());
    const Records heads = of_kind(records, Record::Kind::http);
    REQUIRE(heads.size() == 2);
    CHECK(heads[0].line == "GET /chat HTTP/1.1");
    CHECK(heads[0].fields.at(0) == "Host: example");
    CHECK(heads[1].line == "HTTP/1.1 101 Switching Protocols");
}

TEST_CASE("observer: what is wrong with a handshake", "[unit][websocket][observer]") {
    const auto complaint = [](const std::string& asked, const std::string& answered) {
        return problems(observe({{up, asked}, {down, answered}}));
    };
    const auto replaced = [](std::string text, const std::string& what, const std::string& by) {
        return text.replace(text.find(what), what.size(), by);
    };
    using List = std::vector<std::string>;
    CHECK(complaint(request(), response("", "s3pPLMBiTxaQ9kYGzzhZRbK+xOO=")) ==
          List{"Sec-WebSocket-Accept is not the one that belongs to the key (4.2.2)"});
    CHECK(complaint(replaced(request(), "Version: 13", "Version: 8"), response()) ==
          List{"the request's Sec-WebSocket-Version is not 13 (4.1)"});
    CHECK(complaint(replaced(request(), "GET", "POST"), response()) == List{"the request is no GET (4.1)"});
    CHECK(complaint(replaced(request(), "keep-alive, Upgrade", "close"), response()) ==
          List{"the request has no Connection: Upgrade (4.1)"});
    CHECK(complaint(request(), replaced(response(), "Upgrade: websocket", "Upgrade: web")) ==
          List{"the answer has no Upgrade: websocket (4.2.2)"});
    CHECK(complaint(request(), replaced(response(), "Connection: Upgrade", "Connection: x")) ==
          List{"the answer has no Connection: Upgrade (4.2.2)"});
    CHECK(complaint(replaced(request(), "dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZQ=="),
                    response("", accept_value("dGhlIHNhbXBsZQ=="))) ==
          List{"Sec-WebSocket-Key is not base64 of 16 bytes (4.1)"});
    CHECK(complaint(request("Sec-WebSocket-Protocol: chat\r\n"), response("Sec-WebSocket-Protocol: mqtt\r\n")) ==
          List{"the answer's subprotocol was not offered (4.1)"});
    CHECK(complaint(request("Sec-WebSocket-Protocol: chat\r\n"), response("Sec-WebSocket-Protocol: chat\r\n")).empty());
    CHECK(complaint(request(), response(answer)) ==
          List{"permessage-deflate: the answer does not fit the offer (RFC 7692, 7.1)"});
    CHECK(complaint(request(offer), response(answer)).empty());
    CHECK(complaint(request("Sec-WebSocket-Extensions: permessage-deflate\r\n"), response(answer)).empty());
    CHECK(complaint(request(), response("Sec-WebSocket-Extensions: x-own\r\n")) ==
          List{"an extension that is not known here"});
}

TEST_CASE("observer: the frames of RFC 6455, section 5.7", "[unit][websocket][observer]") {
    const Records records = check_cuts(shaken({{down, "81 05 48656c6c6f"_hex},
                                               {up, "81 85 37fa213d 7f9f4d5158"_hex},
                                               {down, "01 03 48656c"_hex},
                                               {down, "89 05 48656c6c6f"_hex},
                                               {up, "8a 85 37fa213e 7f9f4d5258"_hex},
                                               {down, "80 02 6c6f"_hex},
                                               {down, "82 7e 0100"_hex + std::string(256, 'x')},
                                               {down, "82 7f 0000000000010000"_hex + std::string(65536, 'y')}}));
    CHECK(problems(records).empty());
    const Records all = frames(records);
    REQUIRE(all.size() == 8);
    CHECK(all[0].head == "8105"_hex);
    CHECK(all[0].plain == "Hello");
    CHECK(all[1].header.masked);
    CHECK(all[1].payload == "7f9f4d5158"_hex);
    CHECK(all[1].plain == "Hello");
    CHECK(all[2].message == 2);
    CHECK(all[2].fragment == 1);
    CHECK(all[3].message == 2);  // within it
    CHECK(all[3].fragment == 0);
    CHECK(all[4].answers == all[3].index);
    CHECK(all[4].round_trip == 1000);
    CHECK(all[5].fragment == 2);
    CHECK(all[6].header.length == 256);
    CHECK(all[6].payload == std::string(256, 'x'));
    CHECK(all[7].header.length == 65536);
    CHECK(all[7].payload.size() == Observer::kept_of_frame);
    const Records whole = messages(records);
    REQUIRE(whole.size() == 5);
    CHECK(whole[2].plain == "Hello");
    CHECK(whole[2].fragments == 2);
    CHECK(whole[2].between == 1);
    CHECK(whole[4].size == 65536);
}

TEST_CASE("observer: segments and frames that do not line up", "[unit][websocket][observer]") {
    const std::string two = frame(0x81, "one") + frame(0x81, "two");
    const Records records =
        observe(shaken({{down, two.substr(0, 6)}, {down, two.substr(6, 2)}, {down, two.substr(8)}}));
    const Records segments = of_kind(records, Record::Kind::segment);
    REQUIRE(segments.size() == 5);
    CHECK(segments[2].begins.empty());
    CHECK(segments[2].ends == "header");
    CHECK(segments[2].whole == 1);
    CHECK(segments[3].begins == "header");
    CHECK(segments[3].ends == "payload");
    CHECK(segments[3].missing == 2);
    CHECK(segments[4].begins == "payload");
    CHECK(segments[4].ends.empty());
    CHECK(segments[4].whole == 1);
    CHECK(frames(records).at(1).first_segment == 2);
    CHECK(frames(records).at(1).last_segment == 4);
    CHECK(frames(records).at(1).offset == response().size() + 5);
    // A segment stands before what is in it.
    CHECK(segments[2].offset == response().size());
}

TEST_CASE("observer: compression, with and without context takeover", "[unit][websocket][observer]") {
    const std::string text = "the same words, and the same words again, and the same words again";
    const bool forgets = GENERATE(false, true);
    const std::string agreed = forgets ? "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; "
                                         "client_no_context_takeover\r\n"
                                       : answer;
    Deflater client(15, forgets), server(15, forgets);
    const std::string one = deflated(client, text), two = deflated(client, text), three = deflated(server, text);
    CHECK((two.size() < one.size()) == !forgets);
    const Records records = check_cuts(compressed({{up, masked(0xC1, one)},
                                                   {up, masked(0x41, two.substr(0, 3), 1)},
                                                   {up, masked(0x89, "now", 2)},
                                                   {down, frame(0xC1, three)},
                                                   {up, masked(0x80, two.substr(3), 3)},
                                                   {up, masked(0x81, "plain", 4)}},
                                                  agreed));
    CHECK(problems(records).empty());
    const Records whole = messages(records);
    REQUIRE(whole.size() == 4);
    CHECK(whole[0].compressed);
    CHECK(whole[0].size == one.size());
    CHECK(whole[0].inflated == text.size());
    CHECK(whole[0].plain == text);
    CHECK(whole[1].direction == down);
    CHECK(whole[1].plain == text);
    CHECK(whole[2].fragments == 2);
    CHECK(whole[2].between == 1);
    CHECK(whole[2].size == two.size());
    CHECK(whole[2].plain == text);
    CHECK_FALSE(whole[3].compressed);
    CHECK(whole[3].plain == "plain");
    CHECK(frames(records)[0].plain == one);  // unmasked, and still compressed
}

TEST_CASE("observer: what can't be inflated costs only what refers back to it", "[unit][websocket][observer]") {
    Deflater deflater(15, false);
    const std::string one = deflated(deflater, "hello hello"), two = deflated(deflater, "hello hello");
    const Records broken = observe(
        compressed({{down, frame(0xC1, "\xFF\xFF\xFF")}, {down, frame(0xC1, two)}, {down, frame(0x81, "plain")}}));
    CHECK(problems(broken) == std::vector<std::string>{"is no DEFLATE data (RFC 7692, 7.2.2)",
                                                       "can't be inflated: what it refers back to was not seen"});
    CHECK(messages(broken).at(2).plain == "plain");
    const std::string forgets = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n";
    const Records next = observe(compressed({{down, frame(0xC1, "\xFF\xFF\xFF")}, {down, frame(0xC1, one)}}, forgets));
    CHECK(problems(next).size() == 1);
    CHECK(messages(next).at(1).plain == "hello hello");
}

TEST_CASE("observer: a bomb is not inflated to its end, and costs little memory", "[unit][websocket][observer]") {
    Deflater deflater(15, false);
    const std::string bomb = deflated(deflater, std::string(std::size_t{80} << 20U, '\0'));
    const MemoryWatch watch;
    Records records = observe(compressed({{up, masked(0xC2, bomb)}, {up, masked(0x89, "still there", 7)}}), 30'000);
    CHECK(watch.peak() < (6 << 20));
    CHECK(messages(records).at(0).problems == std::vector<std::string>{"inflates to more than 67108864 bytes"});
    CHECK(frames(records).back().plain == "still there");
}

TEST_CASE("observer: rules that are broken are told, and what follows, too", "[unit][websocket][observer]") {
    struct Case {
        std::string bytes;
        Direction direction;
        std::string problem;
    };
    const std::vector<Case> cases{
        {frame(0x81, "x"), up, "a client's frame without a mask (5.1)"},
        {masked(0x81, "x"), down, "a server's frame with a mask (5.1)"},
        {frame(0x83, "x"), down, "an opcode that means nothing (5.2)"},
        {frame(0xA1, "x"), down, "RSV2 or RSV3 is set, and no extension uses them (5.2)"},
        {frame(0xC1, "x"), down, "RSV1 is set, and no extension was agreed on (5.2)"},
        {frame(0x09, "x"), down, "a control frame in fragments (5.5)"},
        {frame(0x89, std::string(126, 'x')), down, "a control frame of more than 125 bytes (5.5)"},
        {frame(0x80, "x"), down, "a continuation of no message (5.4)"},
        {frame(0x01, "x") + frame(0x81, "y"), down, "a new message before the last fragment of the one before (5.4)"},
        {frame(0x81, "\xFF"), down, "text that is not UTF-8 (8.1)"},
        {frame(0x81, "\xED\x95"), down, "text that is not UTF-8 (8.1)"},
        {"81 7e 0001 78"_hex, down, "the length is not in its shortest form (5.2)"},
        {"81 7f 0000000000000001 78"_hex, down, "the length is not in its shortest form (5.2)"},
        {"81 fe 0001 01020304 79"_hex, up, "the length is not in its shortest form (5.2)"},
        {frame(0x88, "x"), down, "a Close frame with half a code (5.5.1)"},
        {frame(0x88, close_body(1005)), down, "a close code that must not travel (7.4)"},
        {frame(0x88, close_body(1000, "\xFF")), down, "a reason that is not UTF-8 (5.5.1)"},
        {masked(0x81, "x") + masked(0x81, "y"), up,
         "the same masking key as the frame before: it must be new and unpredictable (5.3)"},
    };
    for (const Case& one : cases) {
        const bool is_close = (static_cast<unsigned char>(one.bytes[0]) & 0x0F) == 8;
        const std::string next = one.direction == down ? frame(0x89, "next") : masked(0x89, "next", 0x01234567);
        const Records records = check_cuts(shaken({{one.direction, one.bytes + (is_close ? "" : next)}}));
        INFO(one.problem << " " << wire::to_hex(one.bytes));
        CHECK(problems(records) == std::vector<std::string>{one.problem});
        if (!is_close) CHECK(frames(records).back().plain == "next");
    }
    const Records behind = observe(shaken({{down, frame(0x88, close_body(1000)) + frame(0x81, "still")}}));
    CHECK(problems(behind) == std::vector<std::string>{"behind a Close frame (5.5.1)"});
}

TEST_CASE("observer: a header that can't be one, and from there on bytes", "[unit][websocket][observer]") {
    const std::string wrong = "82 ff ffffffffffffffff 01020304"_hex + std::string(1000, 'z');
    const Records records = check_cuts(shaken({{up, masked(0x81, "fine") + wrong}, {down, frame(0x81, "also fine")}}));
    CHECK(frames(records).size() == 2);
    const Records notes = of_kind(records, Record::Kind::note);
    REQUIRE(notes.size() == 2);
    CHECK(notes[0].text == "82 ff ff ff ff ff ff ff ff ff is no frame's header: the length has its top bit set (5.2)");
    std::uint64_t raw = 0;
    for (const Record& record : of_kind(records, Record::Kind::raw)) {
        CHECK(record.offset == request().size() + masked(0x81, "fine").size() + raw);
        raw += record.size;
    }
    CHECK(raw == wrong.size());
}

TEST_CASE("observer: what is no WebSocket", "[unit][websocket][observer]") {
    const std::string tls = "16 03 01 02 00 01 00 01 fc 03 03"_hex;
    Records records = check_cuts({{up, tls}, {down, "whatever"}});
    REQUIRE(of_kind(records, Record::Kind::note).size() == 2);
    CHECK(of_kind(records, Record::Kind::note)[0].text == "no HTTP from the client: from here on only bytes");
    // HTTP with bodies, and a WebSocket behind it on the same connection.
    records = check_cuts({{up, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
                          {down, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
                          {up, "POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"},
                          {down, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n"},
                          {up, "HEAD / HTTP/1.1\r\n\r\n"},
                          {down, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"},
                          {up, request()},
                          {down, response() + frame(0x81, "hi")}});
    CHECK(of_kind(records, Record::Kind::http).size() == 9);
    REQUIRE(frames(records).size() == 1);
    // An upgrade to something else.
    records = check_cuts({{up, "GET / HTTP/1.1\r\nUpgrade: h2c\r\n\r\n"},
                          {down, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n" + tls},
                          {up, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"}});
    CHECK(problems(records).empty());
    CHECK(of_kind(records, Record::Kind::http).size() == 2);
    REQUIRE(of_kind(records, Record::Kind::note).size() == 2);
    CHECK(of_kind(records, Record::Kind::note)[0].text == "another protocol (h2c): from here on only bytes");
    // A refusal.
    records = check_cuts(
        {{up, request() + frame(0x81, "early")}, {down, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"}});
    REQUIRE(of_kind(records, Record::Kind::handshake).size() == 1);
    CHECK(of_kind(records, Record::Kind::handshake)[0].text == "refused: HTTP/1.1 403 Forbidden");
    CHECK(frames(records).empty());
}

TEST_CASE("observer: bodies in chunks, both ways, and a WebSocket behind them", "[unit][websocket][observer]") {
    const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n";
    const std::string post = "5\r\nhello\r\n00a ; x=y\r\n0\r\n\r\nGET /\r\n0\r\nTrailer: x\r\n\r\n";
    const std::string page = "3\r\nabc\r\n0\r\n\r\n";
    Records records = check_cuts({{up, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
                                  {down, "HTTP/1.1 200 OK\r\n" + chunked + page},
                                  {up, "POST /form HTTP/1.1\r\nHost: x\r\n" + chunked + post},
                                  {down, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, Chunked\r\n\r\n" + page},
                                  {up, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n"},
                                  {down, "HTTP/1.1 200 OK\r\n" + chunked},
                                  {up, request()},
                                  {down, response() + frame(0x81, "hi")}});
    CHECK(of_kind(records, Record::Kind::http).size() == 8);
    CHECK(of_kind(records, Record::Kind::note).empty());
    REQUIRE(frames(records).size() == 1);
    CHECK(frames(records)[0].plain == "hi");
    const Records bodies = of_kind(records, Record::Kind::raw);
    REQUIRE(bodies.size() == 3);
    CHECK(bodies[1].text == "a body in chunks");
    CHECK(bodies[1].direction == up);
    CHECK(bodies[1].plain == post);
    CHECK(bodies[1].size == post.size());

    // A refusal with a body, and another try; the request has one, too, and it came before the answer.
    records = check_cuts({{up, request("Transfer-Encoding: chunked\r\n") + page},
                          {down, "HTTP/1.1 401 Unauthorized\r\n" + chunked + page},
                          {up, request()},
                          {down, response() + frame(0x81, "hi")}});
    CHECK(of_kind(records, Record::Kind::handshake).size() == 2);
    CHECK(of_kind(records, Record::Kind::note).empty());
    CHECK(frames(records).size() == 1);

    for (const auto& [body, why] : std::vector<std::pair<std::string, std::string>>{
             {"x\r\n", "no such chunk size"},
             {"1\r\nhello\r\n", "a chunk is longer than it says"},
             {"1\nh\n0\n\n", "a line of the body's framing does not end in CR LF"},
             {std::string(2000, '0'), "a line of the body's framing is too long"}}) {
        records = check_cuts({{up, "GET / HTTP/1.1\r\n\r\n"},
                              {down, "HTTP/1.1 200 OK\r\n" + chunked},
                              {down, body + "what follows is nobody's"}});
        const Records notes = of_kind(records, Record::Kind::note);
        REQUIRE(notes.size() == 1);
        CHECK(notes[0].text == why + ": from here on only bytes");
    }
    for (const char* field : {"Transfer-Encoding: gzip", "Content-Length: 5, 5", "Content-Length: -1"}) {
        records = check_cuts({{up, "POST / HTTP/1.1\r\n" + std::string(field) + "\r\n\r\nhello"}});
        const Records notes = of_kind(records, Record::Kind::note);
        REQUIRE(notes.size() == 1);
        CHECK(notes[0].text == "where the body ends can't be told: from here on only bytes");
    }
}

TEST_CASE("observer: a client that does not wait for the answer", "[unit][websocket][observer]") {
    const Records records = check_cuts({{up, request() + masked(0x81, "early")},
                                        {up, masked(0x81, "too", 1)},
                                        {down, response() + frame(0x81, "answer")}});
    CHECK(problems(records).empty());
    REQUIRE(frames(records).size() == 3);
    std::vector<Part> flood{{up, request()}};
    for (int i = 0; i < 100; ++i)
        flood.push_back({up, std::string(10'000, 'x')});
    const Records lost = observe(flood);
    REQUIRE(of_kind(lost, Record::Kind::note).size() == 1);
    CHECK(of_kind(lost, Record::Kind::note)[0].text ==
          "the server has not answered, and the client goes on: from here on only bytes");
}

TEST_CASE("observer: ends, and who was first", "[unit][websocket][observer]") {
    Records records;
    Observer observer([&](Record&& record) { records.push_back(std::move(record)); });
    observer.open("a", "b", 1);
    observer.bytes(up, request(), 2);
    observer.bytes(down, response(), 3);
    const auto over = [&] {
        CHECK(observer.is_over());
        return records.back();
    };
    SECTION("as it should be") {
        observer.bytes(up, masked(0x88, close_body(1000)), 4);
        observer.bytes(down, frame(0x88, close_body(1000)), 5);
        observer.fin(down, 6);
        observer.fin(up, 7);
        CHECK(over().problems.empty());
        CHECK_THAT(over().text, StartsWith("Close 1000 from the client, Close 1000 from the server; messages: 0 up, 0 "
                                           "down; TCP ended first by the server; bytes: "));
    }
    SECTION("the client ends TCP first") {
        observer.bytes(down, frame(0x88, ""), 4);
        observer.bytes(up, masked(0x88, ""), 5);
        observer.fin(up, 6);
        observer.fin(down, 7);
        CHECK_THAT(over().text,
                   StartsWith("Close without a code from the server, Close without a code from the client"));
        REQUIRE(over().problems.size() == 1);
        CHECK_THAT(over().problems[0], StartsWith("the client has ended TCP first"));
    }
    SECTION("no Close") {
        observer.fin(up, 4);
        observer.fin(up, 5);
        CHECK_FALSE(observer.is_over());
        observer.fin(down, 6);
        CHECK(over().problems == std::vector<std::string>{"no Close frame: both sides are told 1006 (7.1.5)"});
    }
    SECTION("reset within a frame") {
        observer.bytes(down, "81 05 4865"_hex, 4);
        observer.reset(down, 5);
        CHECK_THAT(over().text, StartsWith("reset by the server; "));
        const Records cut = frames(records);
        REQUIRE(cut.size() == 1);
        CHECK(cut[0].missing == 3);
        CHECK(cut[0].plain == "He");
        CHECK(cut[0].problems == std::vector<std::string>{"the stream ends with 3 of its bytes missing"});
    }
    SECTION("within a body") {
        Observer other([&](Record&& record) { records.push_back(std::move(record)); });
        other.open("a", "b", 1);
        other.bytes(up, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel", 2);
        other.fin(up, 3);
        CHECK(of_kind(records, Record::Kind::note).at(0).text == "the stream ends within a body");
        observer.reset(up, 4);
    }
    SECTION("a Close without an answer") {
        observer.bytes(up, masked(0x88, close_body(1001)), 4);
        observer.fin(up, 5);
        observer.fin(down, 6);
        CHECK(over().problems == std::vector<std::string>{"a Close frame was not answered (5.5.1)"});
    }
    observer.bytes(up, "more", 9);  // is nobody's any more
    observer.fin(up, 9);
    observer.reset(down, 9);
    CHECK(records.back().kind == Record::Kind::over);
}

TEST_CASE("observer: bytes that nobody has seen", "[unit][websocket][observer]") {
    Records records;
    Observer observer([&](Record&& record) { records.push_back(std::move(record)); });
    observer.open("a", "b", 1);
    observer.bytes(up, request(offer), 2);
    observer.bytes(down, response(answer), 3);
    const std::string large = frame(0x82, std::string(1000, 'x'));
    SECTION("within a payload, the next frame is found") {
        observer.bytes(down, large.substr(0, 100), 4);
        observer.gap(down, 800, 5);
        observer.gap(down, 50, 5);
        observer.bytes(down, large.substr(950) + frame(0x81, "next"), 6);
        REQUIRE(frames(records).size() == 2);
        CHECK(frames(records)[0].payload.size() == 96);
        CHECK(frames(records)[0].problems == std::vector<std::string>{"a part of it was not seen"});
        CHECK(frames(records)[1].plain == "next");
        CHECK(messages(records)[0].size == 1000);
    }
    SECTION("up to its end") {
        observer.bytes(down, large.substr(0, 100), 4);
        observer.gap(down, large.size() - 100, 5);
        observer.bytes(down, frame(0x81, "next"), 6);
        CHECK(frames(records).size() == 2);
    }
    SECTION("within a body, the next head is found") {
        Observer other([&](Record&& record) { records.push_back(std::move(record)); });
        const std::string fields =
            GENERATE("Content-Length: 10\r\n\r\n12", "Transfer-Encoding: chunked\r\n\r\na\r\n12");
        const bool chunked = fields.starts_with("T");
        other.open("a", "b", 1);
        other.bytes(up, "POST / HTTP/1.1\r\n" + fields, 2);
        other.gap(up, 8, 3);
        other.bytes(up, (chunked ? "\r\n0\r\n\r\n" : "") + request(), 4);
        CHECK(of_kind(records, Record::Kind::http).back().line == "GET /chat HTTP/1.1");
        CHECK(of_kind(records, Record::Kind::note).empty());
        other.bytes(down, "HTTP/1.1 200 OK\r\n" + fields, 5);
        other.gap(down, 9, 6);  // and a part of what comes behind it
        CHECK(of_kind(records, Record::Kind::note).size() == 2);
    }
    SECTION("over a header, it is not") {
        observer.gap(down, 10, 5);
        observer.bytes(down, frame(0x81, "next"), 6);
        CHECK(frames(records).empty());
        CHECK(of_kind(records, Record::Kind::raw).size() == 1);
        CHECK(of_kind(records, Record::Kind::gap).at(0).size == 10);
    }
}

TEST_CASE("observer: pings answered late, twice and never", "[unit][websocket][observer]") {
    const Records records = observe(shaken({{down, frame(0x89, "a")},
                                            {down, frame(0x89, "b")},
                                            {up, masked(0x8A, "b", 1)},
                                            {up, masked(0x8A, "b", 2)},
                                            {up, masked(0x8A, "a", 3)},
                                            {down, frame(0x8A, "")}}));
    const Records all = frames(records);
    CHECK(all[2].answers == 2);
    CHECK(all[2].round_trip == 1000);
    CHECK(all[3].round_trip == -1);
    CHECK(all[4].round_trip == -1);  // the later answer was one to both (5.5.3)
    CHECK(all[5].round_trip == -1);
}

TEST_CASE("observer: whatever comes, memory is bounded", "[unit][websocket][observer]") {
    const auto most = [](const std::string& first, const std::string& repeated, Direction direction) {
        Observer observer([](Record&&) {});
        observer.open("a", "b", 1);
        const MemoryWatch watch;
        if (first.empty()) {
            observer.bytes(up, request(offer), 1);
            observer.bytes(down, response(answer), 1);
        } else {
            observer.bytes(direction, first, 1);
        }
        for (int i = 0; i < 2000; ++i)
            observer.bytes(direction, repeated, 2);
        return watch.live();
    };
    CHECK(most("GET / HTTP/1.1\r\n", "X: " + std::string(1000, 'y') + "\r\n", up) < 200'000);
    CHECK(most(request(), std::string(1000, 'x'), up) < 200'000);
    CHECK(most("", frame(0x02, std::string(1000, 'x')), down) < 200'000);
    CHECK(most("", frame(0x89, random_bytes(100)), down) < 200'000);
    CHECK(most("", std::string(1000, '\xC1'), down) < 200'000);
    CHECK(most("HEAD / HTTP/1.1\r\n\r\n", "HEAD / HTTP/1.1\r\n\r\n", up) < 200'000);
}

// ---- Records as lines

TEST_CASE("tap records: JSON and back", "[unit][websocket][observer]") {
    Deflater deflater(15, false);
    const Records records = observe(compressed({{up, masked(0xC1, deflated(deflater, "안녕 \x01 \\ \""))},
                                                {down, "82 7f 0000000000010000"_hex + random_bytes(65536)},
                                                {down, frame(0x89, "x")},
                                                {up, masked(0x8A, "x", 5)},
                                                {down, frame(0x88, close_body(1001, "\xFF\x1b"))}}));
    CHECK(records.size() > 15);
    for (const Record& record : records) {
        const std::string line = json_of(record);
        CHECK(line.find('\n') == std::string::npos);
        CHECK(json_of(record_of_json(line)) == line);
        for (const TextWishes& wishes : {TextWishes{}, TextWishes{true}, TextWishes{false, true, true}}) {
            const std::string text = text_of(record, 1000, wishes);
            CHECK(text == text_of(record_of_json(line), 1000, wishes));
            CHECK(text.find('\x1b') == std::string::npos);
            CHECK((text.empty() || text.back() == '\n'));
        }
    }
}

TEST_CASE("tap records: lines that are none", "[unit][websocket][observer]") {
    for (const char* line :
         {"", "x", "{}", "[]", "{\"kind\":1}", "{\"kind\":\"frames\"}", "{\"kind\":\"frame\"}",
          "{\"kind\":\"frame\",\"head\":\"81\"}", "{\"kind\":\"frame\",\"head\":\"8185\"}",
          "{\"kind\":\"frame\",\"head\":\"8\"}", "{\"kind\":\"frame\",\"head\":\"zz\"}",
          "{\"kind\":\"note\",\"text\":1}", "{\"kind\":\"note\",\"problems\":\"x\"}",
          "{\"kind\":\"note\",\"time\":\"x\"}", "{\"kind\":\"frame\",\"head\":\"8105\",\"masking_key\":\"00\"}"})
        CHECK_THROWS_AS(record_of_json(line), std::runtime_error);
    // Nothing in a file reaches the terminal as it is.
    const Record evil = record_of_json("{\"kind\":\"note\",\"text\":\"\\u001b[2J \\\\x1b\"}");
    CHECK_THAT(text_of(evil, 0, {}), ContainsSubstring("\\x1b[2J \\x1b\n"));
}

// ---- Packets

namespace {

Address loopback(std::uint16_t port, bool six) {
    return six ? pcap::address_of(std::string(15, '\0') + '\x01', port)
               : pcap::address_of(std::string("\x7F\x00\x00\x01", 4), port);
}

std::vector<Happening> sample(bool six) {
    const auto ends =
        std::make_shared<const Happening::Ends>(Happening::Ends{loopback(5000, six), loopback(7000, six)});
    using Kind = Happening::Kind;
    return {{Kind::open, 1, 1'000'001, up, "", 0, ends},
            {Kind::bytes, 1, 1'000'002, up, request()},
            {Kind::bytes, 1, 1'000'003, down, response()},
            {Kind::bytes, 1, 1'000'004, down, frame(0x82, std::string(61'000, 'x'))},
            {Kind::bytes, 1, 2'000'005, up, masked(0x81, "hello")},
            {Kind::fin, 1, 2'000'006, down},
            {Kind::bytes, 1, 2'000'007, up, masked(0x81, "more", 1)},
            {Kind::fin, 1, 2'000'008, up}};
}

std::string told_by(const std::string& file, std::vector<Happening>* all = nullptr) {
    std::string text;
    Desk desk([&](const Record& record) { text += json_of(record) + "\n"; });
    std::istringstream in(file);
    PcapReader([&](Happening&& happening) {
        desk.take(happening);
        if (all != nullptr) all->push_back(std::move(happening));
    }).read(in);
    return text;
}

std::string told_of(const std::vector<Happening>& happenings) {
    std::string text;
    Desk desk([&](const Record& record) { text += json_of(record) + "\n"; });
    for (const Happening& happening : happenings)
        desk.take(happening);
    return text;
}

std::string file_of(const std::vector<Happening>& happenings) {
    PcapWriter writer;
    std::string file = PcapWriter::head();
    for (const Happening& happening : happenings)
        file += writer.take(happening);
    return file;
}

/// The packets of a file, each with its header, after the file's own 24 bytes.
std::vector<std::string> packets_of(const std::string& file) {
    std::vector<std::string> packets;
    for (std::size_t at = 24; at < file.size();) {
        const std::size_t size = 16 + FieldReader(std::string_view(file).substr(at + 8)).u32();
        packets.push_back(file.substr(at, size));
        at += size;
    }
    return packets;
}

std::string joined(const std::vector<std::string>& packets) {
    std::string file = PcapWriter::head();
    for (const std::string& packet : packets)
        file += packet;
    return file;
}

}  // namespace

TEST_CASE("tap packets: written and read, the same is told", "[unit][websocket][observer]") {
    for (const bool six : {false, true}) {
        CHECK(told_by(file_of(sample(six))) == told_of(sample(six)));
        // Ended by resets, and one that never was.
        std::vector<Happening> reset = sample(six);
        reset.resize(5);
        reset.push_back({Happening::Kind::reset, 1, 3'000'000, down});
        CHECK(told_by(file_of(reset)) == told_of(reset));
        std::vector<Happening> refused = sample(six);
        refused.resize(1);
        refused.push_back({Happening::Kind::refused, 1, 3'000'000, down});
        CHECK(told_by(file_of(refused)) == told_of(refused));
        // Unseen bytes are a gap in the numbers, which the next segment shows.
        std::vector<Happening> gap = sample(six);
        gap.insert(gap.begin() + 4, {Happening::Kind::gap, 1, 1'000'004, down, "", 5000});
        CHECK_THAT(told_by(file_of(gap)), ContainsSubstring("\"kind\":\"gap\"") && ContainsSubstring("\"size\":5000"));
    }
}

TEST_CASE("tap packets: twice, and out of order, as a network may bring them", "[unit][websocket][observer]") {
    std::vector<std::string> packets = packets_of(file_of(sample(false)));
    const auto without_times = [](std::string text) {
        // who comes late is told at the time of the file
        for (std::size_t at = text.find("\"time\":"); at != std::string::npos; at = text.find("\"time\":", at + 1))
            text.erase(at + 7, text.find(',', at) - at - 7);
        return text;
    };
    const std::string expected = without_times(told_by(joined(packets)));
    std::vector<std::string> twice;
    for (const std::string& packet : packets)
        twice.insert(twice.end(), {packet, packet});
    CHECK(without_times(told_by(joined(twice))) == expected);
    // The server's two segments the other way round; nothing has acknowledged them in between.
    const std::vector<Happening> happenings = sample(false);
    std::vector<std::string> swapped = packets;
    REQUIRE(swapped.size() == 10);
    std::swap(swapped[4], swapped[5]);
    CHECK(without_times(told_by(joined(swapped))) == expected);
}

TEST_CASE("tap packets: files that are none, or broken", "[unit][websocket][observer]") {
    const std::string file = file_of(sample(false));
    const auto complaint = [](const std::string& bytes) -> std::string {
        try {
            told_by(bytes);
            return "";
        } catch (const std::runtime_error& error) {
            return error.what();
        }
    };
    CHECK(complaint("") == "this is no pcap file");
    CHECK(complaint("GIF89a") == "this is no pcap file");
    CHECK(complaint(file.substr(0, 20)) == "this is no pcap file");
    CHECK_THAT(complaint("\x0a\x0d\x0d\x0a" + file), StartsWith("this is pcapng"));
    CHECK(complaint(file.substr(0, 24)).empty());
    CHECK(complaint(file.substr(0, 30)) == "it ends in the middle of a packet's header");
    CHECK(complaint(file.substr(0, file.size() - 1)) == "it ends in the middle of a packet");
    std::string huge = file;
    huge[32] = '\x7F';
    CHECK_THAT(complaint(huge), ContainsSubstring("this file is broken"));
    // Any byte may be another, and what then comes out is something, or a complaint.
    const std::string small = file_of({sample(false)[0]});
    for (const std::string& one : {small, joined({packets_of(file)[0], packets_of(file)[3]})}) {
        for (std::size_t at = 0; at < one.size(); ++at) {
            for (const int change : {1, 0x80, 0xFF}) {
                std::string changed = one;
                changed[at] = static_cast<char>(changed[at] ^ change);
                complaint(changed);
            }
        }
    }
}

TEST_CASE("tap: what is kept for a file of packets is bounded, and begins at the beginning",
          "[unit][websocket][observer]") {
    Kept kept;
    const auto ends = sample(false)[0].ends;
    const MemoryWatch watch;
    for (std::uint64_t connection = 1; connection <= 20; ++connection) {
        kept.keep({Happening::Kind::open, connection, 1, up, "", 0, ends});
        for (int i = 0; i < 200; ++i)
            kept.keep({Happening::Kind::bytes, connection, 2, up, std::string(60'000, 'x')});
    }
    CHECK(watch.live() < 40'000'000);
    const std::string file = kept.as_pcap();
    CHECK(file.size() > 20'000'000);
    CHECK(file.size() < 34'000'000);
    std::vector<Happening> all;
    told_by(file, &all);
    CHECK(all.front().kind == Happening::Kind::open);
}

TEST_CASE("tap: the mailbox takes no more than it may, but every end", "[unit][websocket][observer]") {
    Mailbox mailbox;
    std::size_t taken = 0;
    while (mailbox.put({Happening::Kind::bytes, 1, 1, up, std::string(60'000, 'x')}))
        ++taken;
    CHECK(taken > 1000);
    CHECK(taken * 60'000 <= Mailbox::most_bytes);
    CHECK_FALSE(mailbox.put({Happening::Kind::bytes, 1, 1, up, std::string(60'000, 'x')}));
    CHECK(mailbox.put({Happening::Kind::fin, 1, 1, up}, true));
    bool ended = true;
    CHECK(mailbox.take(ended).size() == taken + 1);
    CHECK_FALSE(ended);
    CHECK(mailbox.put({Happening::Kind::bytes, 1, 1, up, "x"}));
    mailbox.end();
    CHECK(mailbox.take(ended).size() == 1);
    CHECK(ended);
}
