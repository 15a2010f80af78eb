// The table of bad frames: what is sent, to the byte, and how what comes back is judged.

#include "websocket/protocol/provocation.hpp"

#include "tests/catch.hpp"
#include "tests/support/text.hpp"
#include "tests/support/wire.hpp"

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

using namespace websocket;
using namespace wire::literals;
using wire::close_body;

namespace {

const std::string switching =
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

const Provocation& named(const std::string& name) {
    const Provocation* const found = find_provocation(name);
    if (found == nullptr) throw std::runtime_error("no case " + name);
    return *found;
}

/// The verdict on these bytes from the server, however they are cut.
std::string verdict(const std::string& name, const std::string& bytes, Reaction::End end = Reaction::End::fin,
                    bool asked = false) {
    const Provocation& it = named(name);
    std::set<std::string> verdicts;
    for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, bytes.size() + 1}) {
        Reaction reaction(it);
        if (asked) reaction.asked();
        for (std::size_t at = 0; at < bytes.size(); at += piece)
            reaction.take(std::string_view(bytes).substr(at, piece));
        reaction.end(end);
        const Judgement judgement = judge(it, reaction);
        verdicts.insert(std::string(verdict_name(judgement.verdict)) + ": " + judgement.why + " [" + reaction.brief() +
                        "]");
    }
    CHECK(verdicts.size() == 1);
    return *verdicts.begin();
}

std::string frames(const std::string& bytes) { return switching + "\r\n" + bytes; }

std::string by_hand(unsigned first, std::string_view payload) { return wire::masked(first, payload, 0); }

}  // namespace

TEST_CASE("websocket provocation: each case's bytes", "[websocket][provoke]") {
    const std::map<std::string, std::string> expected{
        {"ping", "898500000000 48656c6c6f"_hex},
        {"ping-125", by_hand(0x89, std::string(125, 'x'))},
        {"ping-inside", "018200000000 6f6e 898500000000 48656c6c6f"_hex},
        {"close-1000", "888200000000 03e8"_hex},
        {"close-empty", "888000000000"_hex},
        {"data-after-close", "888200000000 03e8 818500000000 48656c6c6f"_hex},
        {"ping-after-close", "888200000000 03e8 898500000000 48656c6c6f"_hex},
        {"unmasked", "8105 48656c6c6f"_hex},
        {"unmasked-ping", "8905 48656c6c6f"_hex},
        {"rsv1", "c18500000000 48656c6c6f"_hex},
        {"rsv2", "a18500000000 48656c6c6f"_hex},
        {"rsv3", "918500000000 48656c6c6f"_hex},
        {"opcode-3", "838500000000 48656c6c6f"_hex},
        {"opcode-7", "878000000000"_hex},
        {"opcode-11", "8b8000000000"_hex},
        {"opcode-15", "8f8500000000 48656c6c6f"_hex},
        {"continuation", "808500000000 48656c6c6f"_hex},
        {"message-inside", "018200000000 6f6e 818500000000 48656c6c6f"_hex},
        {"ping-fragments", "098300000000 48656c 808200000000 6c6f"_hex},
        {"ping-126", by_hand(0x89, std::string(126, 'x'))},
        {"length-16", "81fe0005 00000000 48656c6c6f"_hex},
        {"length-64", "81ff0000000000000005 00000000 48656c6c6f"_hex},
        {"length-top-bit", "82ff8000000000000005 00000000 48656c6c6f"_hex},
        {"length-huge", "82ff7fffffffffffffff 00000000 48656c6c6f"_hex},
        {"length-lie", "81e400000000 48656c6c6f"_hex},
        {"utf8", "818300000000 41c328"_hex},
        {"utf8-cut", "818500000000 68ed959cea"_hex},
        {"utf8-overlong", "818200000000 c0af"_hex},
        {"utf8-surrogate", "818300000000 eda080"_hex},
        {"utf8-beyond", "818400000000 f4908080"_hex},
        {"utf8-fragments", "018100000000 c3 808100000000 28"_hex},
        {"close-1005", "888200000000 03ed"_hex},
        {"close-1006", "888200000000 03ee"_hex},
        {"close-1015", "888200000000 03f7"_hex},
        {"close-999", "888200000000 03e7"_hex},
        {"close-5000", "888200000000 1388"_hex},
        {"close-1-byte", "888100000000 03"_hex},
        {"close-utf8", "888400000000 03e8c328"_hex},
        {"deflate-data", "c18400000000 ffffffff"_hex},
        {"deflate-continuation", "418300000000 f248cd c08400000000 c9c90700"_hex},
        {"deflate-ping", "c98500000000 48656c6c6f"_hex},
    };
    std::set<std::string> names;
    for (const Provocation& it : provocations()) {
        INFO(it.name);
        CHECK(names.insert(it.name).second);
        CHECK(find_provocation(it.name) == &it);
        const auto found = expected.find(it.name);
        CHECK((found != expected.end()) == (*it.bytes != '\0'));
        if (found != expected.end()) CHECK(wire::to_hex(provoking_bytes(it)) == wire::to_hex(found->second));
        // The request of a case that has bytes is a good one.
        ServerPolicy policy;
        policy.deflate.emplace();
        ServerHandshake handshake(policy);
        const std::string request = provoking_request(it, "127.0.0.1:7000", "/");
        std::string_view input = request;
        const auto status = handshake.take(input);
        const bool good = *it.bytes != '\0' || it.demand == Demand::decline;
        CHECK((status == ServerHandshake::Status::accepted) == good);
        if (!good) CHECK(static_cast<unsigned>(handshake.status_code()) == it.code);
        CHECK(handshake.agreement().deflate.has_value() == it.deflate);
    }
    CHECK(find_provocation("all") == nullptr);
    CHECK(find_provocation("") == nullptr);
    for (const auto& [name, bytes] : expected)
        CHECK(names.count(name) == 1);
    CHECK(asking_ping() == by_hand(0x89, "still there?"));
    CHECK(answering_close(1002) == by_hand(0x88, close_body(1002)));
    CHECK(answering_close(1006) == by_hand(0x88, ""));
}

TEST_CASE("websocket provocation: the requests", "[websocket][provoke]") {
    const auto request = [](const char* name) { return provoking_request(named(name), "[::1]:7", "/chat"); };
    const std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    const std::string begin = "GET /chat HTTP/1.1\r\nHost: [::1]:7\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    const std::string good = begin + key + "Sec-WebSocket-Version: 13\r\n";
    CHECK(request("ping") == good + "\r\n");
    CHECK(request("deflate-data") == good + "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n");
    CHECK(request("no-key") == begin + "Sec-WebSocket-Version: 13\r\n\r\n");
    CHECK(request("version-12") == begin + key + "Sec-WebSocket-Version: 12\r\n\r\n");
    CHECK(request("key-twice") == good + "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n");
    CHECK(request("folded") == good + "X-Extra: one\r\n two\r\n\r\n");
    CHECK(request("http-1.0") == "GET /chat HTTP/1.0" + good.substr(good.find('\r')) + "\r\n");
    CHECK(request("body") == good + "Content-Length: 5\r\n\r\nHello");
    CHECK(request("bare-lf").find('\r') == std::string::npos);
    CHECK(request("origin") == good + "Origin: http://elsewhere.example\r\n\r\n");
}

TEST_CASE("websocket provocation: verdicts on what must fail", "[websocket][provoke]") {
    const std::string close = wire::frame(0x88, close_body(1002, "no"));
    using End = Reaction::End;
    CHECK(verdict("unmasked", frames(close)) == "as demanded: failed [Close 1002, FIN]");
    CHECK(verdict("unmasked", frames(close), End::reset) == "as demanded: failed [Close 1002, RST]");
    CHECK(verdict("unmasked", frames(close), End::open) == "NOT AS DEMANDED: TCP stays open [Close 1002]");
    CHECK(verdict("unmasked", frames("")) == "allowed: failed; a Close frame SHOULD come before (7.1.7) [FIN]");
    CHECK(verdict("unmasked", frames(""), End::open) == "NOT AS DEMANDED: TCP stays open [silence]");
    CHECK(verdict("unmasked", frames(wire::frame(0x88, close_body(1000)))) ==
          "allowed: failed; the code for it is 1002 (7.4.1) [Close 1000, FIN]");
    CHECK(verdict("unmasked", frames(wire::frame(0x8A, "still there?")), End::open, true) ==
          "NOT AS DEMANDED: it goes on [goes on]");
    CHECK_THAT(verdict("unmasked", frames(wire::frame(0x88, close_body(1006)))), ContainsSubstring("1006 MUST NOT"));
    CHECK_THAT(verdict("unmasked", frames(wire::frame(0x88, close_body(1005)))), ContainsSubstring("1005 MUST NOT"));
    CHECK_THAT(verdict("close-1015", frames(wire::frame(0x88, close_body(1015)))), ContainsSubstring("1015 MUST NOT"));
    CHECK_THAT(verdict("unmasked", frames(wire::masked(0x88, close_body(1002)))),
               StartsWith("NOT AS DEMANDED: a server MUST NOT mask"));
    CHECK_THAT(verdict("unmasked", frames(close + wire::frame(0x81, "late"))),
               StartsWith("NOT AS DEMANDED: nothing MUST be sent behind"));
    CHECK_THAT(verdict("unmasked", frames("81ff8000000000000000"_hex)),
               StartsWith("NOT AS DEMANDED: what came back is not WebSocket"));
    CHECK_THAT(verdict("unmasked", "HTTP/1.1 101 Go\r\nSec-WebSocket-Accept: x\r\n\r\n" + close),
               ContainsSubstring("Sec-WebSocket-Accept is wrong"));
    // Before the Close frame there may be whatever the server has to say, also much of it.
    CHECK(verdict("utf8", frames(wire::frame(0x82, std::string(70'000, 'z')) + wire::frame(0x81, "x") +
                                 wire::frame(0x88, close_body(1007)))) == "as demanded: failed [Close 1007, FIN]");
}

TEST_CASE("websocket provocation: verdicts on what is left open, and on what is good", "[websocket][provoke]") {
    using End = Reaction::End;
    CHECK(verdict("continuation", frames(wire::frame(0x88, close_body(1002)))) ==
          "allowed: failed (10.7) [Close 1002, FIN]");
    CHECK(verdict("length-16", frames(wire::frame(0x81, "Hello") + wire::frame(0x8A, "still there?")), End::open,
                  true) == "allowed: it goes on [goes on]");
    CHECK(verdict("length-huge", frames(""), End::open) == "allowed: it waits [silence]");
    CHECK(verdict("ping", frames(wire::frame(0x8A, "Hello")), End::open) ==
          "as demanded: the pong has the ping's payload [pong]");
    CHECK_THAT(verdict("ping", frames(wire::frame(0x8A, "Hallo")), End::open), StartsWith("NOT AS DEMANDED: no pong"));
    CHECK(verdict("close-1000", frames(wire::frame(0x88, close_body(1000)))) ==
          "as demanded: closed by both [Close 1000, FIN]");
    CHECK(verdict("close-empty", frames(wire::frame(0x88, ""))) == "as demanded: closed by both [Close, FIN]");
    CHECK_THAT(verdict("close-1000", frames(wire::frame(0x88, close_body(1000))), End::open),
               ContainsSubstring("MUST end TCP at once"));
    CHECK_THAT(verdict("close-1000", frames("")), StartsWith("NOT AS DEMANDED: no Close frame"));
    CHECK_THAT(verdict("ping-after-close", frames(wire::frame(0x8A, "Hello") + wire::frame(0x88, close_body(1000)))),
               StartsWith("NOT AS DEMANDED: what is behind a Close frame"));
    CHECK(verdict("deflate-data", frames(""), End::open) ==
          "not tried: the server does not compress [no permessage-deflate]");
}

TEST_CASE("websocket provocation: verdicts on answers to a request", "[websocket][provoke]") {
    const auto http = [](const char* status, const std::string& fields = "") {
        return "HTTP/1.1 " + std::string(status) + "\r\n" + fields + "Content-Length: 5\r\n\r\nnope\n";
    };
    CHECK(verdict("no-key", http("400 Bad Request")) == "as demanded: it is refused [HTTP 400]");
    CHECK_THAT(verdict("no-key", frames("")), StartsWith("NOT AS DEMANDED: MUST NOT be accepted"));
    CHECK_THAT(verdict("no-key", ""), StartsWith("NOT AS DEMANDED: MUST be refused with an HTTP error"));
    CHECK_THAT(verdict("no-key", http("200 OK")), StartsWith("NOT AS DEMANDED: that is no error"));
    CHECK_THAT(verdict("no-key", http("500 Oh")), StartsWith("allowed"));
    CHECK_THAT(verdict("no-key", "SSH-2.0-x\r\n\r\n"), ContainsSubstring("[no HTTP]"));
    CHECK_THAT(verdict("version-12", http("426 Upgrade Required")), ContainsSubstring("MUST name the versions"));
    CHECK_THAT(verdict("version-12", http("426 Upgrade Required", "Sec-WebSocket-Version: 13\r\n")),
               StartsWith("as demanded"));
    CHECK_THAT(verdict("no-upgrade", http("200 OK")), StartsWith("as demanded: answered as plain HTTP"));
    CHECK_THAT(verdict("origin", frames("")), StartsWith("allowed: accepted"));
    CHECK_THAT(verdict("origin", http("403 Forbidden")), StartsWith("allowed: refused"));
    CHECK_THAT(verdict("extension", frames("")), StartsWith("as demanded: accepted, without"));
    CHECK_THAT(verdict("extension", switching + "Sec-WebSocket-Extensions: x-no-such-extension\r\n\r\n"),
               StartsWith("NOT AS DEMANDED: MUST NOT agree"));
    CHECK_THAT(verdict("extension", http("400 Bad Request")), StartsWith("allowed"));
}
