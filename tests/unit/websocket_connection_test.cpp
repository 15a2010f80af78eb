// Connections without compression: what a peer may send and what not (RFC 6455, sections 5 to 8), and what is sent.
// Everything arrives at once, in two pieces cut at every byte, byte by byte, and directly (see wire::replay()).

#include "websocket/protocol/connection.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <fmt/core.h>

#include <limits>
#include <set>
#include <string>
#include <vector>

using namespace websocket;
using wire::close_body;
using wire::failed;
using wire::masked;
using wire::play;
using wire::replay;
using wire::Setup;
using wire::Story;
using wire::to;
using namespace wire::literals;

namespace {

const Setup server{Role::server, {}, {}};
const Setup client{Role::client, {}, {}};

Setup limited(Role role, std::size_t message_bytes, std::uint32_t fragments = 1000) {
    return {role, {message_bytes, fragments}, {}};
}

/// The story of a connection on which this happened and that then just ended.
Story open(std::vector<std::string> events, std::vector<std::string> sent = {}) {
    return {std::move(events), std::move(sent), false};
}

/// The story of one that was closed by a Close frame with this body, which has been answered with this code alone.
Story closed(const std::string& event, std::string_view answer) {
    return {{event}, {"88 " + wire::shown(answer)}, true};
}

/// After how many bytes of input the connection is over.
std::size_t bytes_until_finished(const Setup& setup, std::string_view input) {
    Buffer output;
    Connection connection(setup.role, output, setup.limits, setup.deflate);
    for (std::size_t i = 0; i < input.size(); ++i) {
        char byte = input[i];
        connection.receive(&byte, 1);
        while (connection.next()) {
        }
        if (connection.finished()) return i + 1;
    }
    return 0;
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

}  // namespace

// ---- The examples of RFC 6455, section 5.7

TEST_CASE("connection: the RFC's examples are understood", "[unit][websocket][connection]") {
    CHECK(replay(client, "81 05 48656c6c6f"_hex) == open({"text Hello"}));
    CHECK(replay(server, "81 85 37fa213d 7f9f4d5158"_hex) == open({"text Hello"}));
    CHECK(replay(client, "01 03 48656c  80 02 6c6f"_hex) == open({"text Hello"}));
    CHECK(replay(client, "89 05 48656c6c6f"_hex) == open({"ping Hello"}, {"8a Hello"}));
    CHECK(replay(server, "8a 85 37fa213d 7f9f4d5158"_hex) == open({"pong Hello"}));
    const std::string bytes256(256, 'x');
    CHECK(replay(client, "82 7e 0100"_hex + bytes256) == open({"binary " + wire::shown(bytes256)}));
    const std::string bytes65536(65536, 'x');
    CHECK(replay(client, "82 7f 0000000000010000"_hex + bytes65536) == open({"binary " + wire::shown(bytes65536)}));
}

TEST_CASE("connection: the RFC's examples are written", "[unit][websocket][connection]") {
    Buffer output;
    const auto written = [&] {
        std::string bytes(output.view());
        output.clear();
        return bytes;
    };
    Connection peer(Role::server, output);
    CHECK(peer.send(Opcode::text, "Hello"));
    CHECK(written() == "81 05 48656c6c6f"_hex);
    CHECK(peer.send_fragment(Opcode::text, "Hel", false));
    CHECK(peer.send_fragment(Opcode::text, "lo", true));
    CHECK(written() == "01 03 48656c  80 02 6c6f"_hex);
    CHECK(peer.ping("Hello"));
    CHECK(written() == "89 05 48656c6c6f"_hex);
    CHECK(peer.pong("Hello"));
    CHECK(written() == "8a 05 48656c6c6f"_hex);
    CHECK(peer.send(Opcode::binary, std::string(256, 'x')));
    CHECK(written() == "82 7e 0100"_hex + std::string(256, 'x'));
    CHECK(peer.send(Opcode::binary, std::string(65536, 'x')));
    CHECK(written() == "82 7f 0000000000010000"_hex + std::string(65536, 'x'));
    CHECK(peer.send(Opcode::text, ""));
    CHECK(written() == "81 00"_hex);
    peer.close(1000, "bye");
    CHECK(written() == "88 05 03e8 627965"_hex);

    Connection other(Role::client, output);
    CHECK(other.send(Opcode::text, "Hello"));
    const std::string bytes = written();
    REQUIRE(bytes.size() == 11);
    CHECK(bytes.substr(0, 2) == "81 85"_hex);
    CHECK(wire::frames_of(Role::client, bytes) == std::vector<std::string>{"81 Hello"});
}

TEST_CASE("connection: lengths where their forms meet, both ways and both roles", "[unit][websocket][connection]") {
    for (const std::size_t length : {0U, 1U, 124U, 125U, 126U, 127U, 128U, 65534U, 65535U, 65536U, 65537U}) {
        const std::string payload = repeated("abcdefghij", length / 10) + std::string(length % 10, 'z');
        const std::string event = "text " + wire::shown(payload);
        const auto echo = [](Connection& peer, const Event& arrived) { peer.send(arrived.opcode, arrived.payload); };
        for (const Role role : {Role::server, Role::client}) {
            INFO(length << " bytes");
            CHECK(replay({role, {}, {}}, to(role, 0x81, payload), echo) ==
                  open({event}, {"81 " + wire::shown(payload)}));
        }
    }
}

// ---- Headers

TEST_CASE("connection: a client masks, a server does not; else 1002", "[unit][websocket][connection]") {
    for (const unsigned first : {0x81U, 0x82U, 0x01U, 0x88U, 0x89U, 0x8AU}) {
        const std::string payload = first == 0x88 ? close_body(1000) : "x";
        INFO(first);
        CHECK(replay(server, wire::frame(first, payload)) == failed(1002, "a client must mask its frames"));
        CHECK(replay(client, masked(first, payload)) == failed(1002, "a server must not mask its frames"));
        // It is known after two bytes.
        CHECK(bytes_until_finished(server, wire::frame(first, payload)) == 2);
        CHECK(bytes_until_finished(client, masked(first, payload)) == 2);
    }
    // A mask is a mask also where there is nothing to hide, or if it hides nothing.
    CHECK(replay(server, wire::frame(0x81, "")) == failed(1002, "a client must mask its frames"));
    CHECK(replay(client, masked(0x81, "")) == failed(1002, "a server must not mask its frames"));
    CHECK(replay(server, masked(0x81, "Hello", 0)) == open({"text Hello"}));
    // The second frame of a message, too.
    CHECK(replay(server, masked(0x01, "a") + wire::frame(0x80, "b")) == failed(1002, "a client must mask its frames"));
}

TEST_CASE("connection: any first byte, outside of a message and within", "[unit][websocket][connection]") {
    // What section 5.2 and 5.4 say of it, as a function of the bits.
    const auto verdict = [](unsigned first, bool in_message) -> std::string {
        const bool fin = (first & 0x80U) != 0;
        const unsigned opcode = first & 0x0FU;
        if ((first & 0x30U) != 0) return "a reserved bit is set";
        if ((first & 0x40U) != 0) return "RSV1 is set where no compressed message begins";
        if ((opcode > 2 && opcode < 8) || opcode > 10) return "a reserved opcode";
        if (opcode >= 8) return fin ? "" : "a control frame is fragmented";
        if (opcode == 0) return in_message ? "" : "a continuation of no message";
        return in_message ? "a message begins within another" : "";
    };
    for (unsigned first = 0; first < 256; ++first) {
        for (const bool in_message : {false, true}) {
            for (const Role role : {Role::server, Role::client}) {
                INFO(first << (in_message ? " in a message" : ""));
                const std::string begun = in_message ? to(role, 0x01, "a") : "";
                const std::string wrong = verdict(first, in_message);
                const std::string input = begun + to(role, first, "");
                const Story story = replay({role, {}, {}}, input);
                if (!wrong.empty()) {
                    CHECK(story == failed(1002, wrong));
                    CHECK(bytes_until_finished({role, {}, {}}, input) == begun.size() + 2);
                } else if ((first & 0x0FU) == 8) {
                    CHECK(story == closed("close 1005 ", ""));
                } else if (first == 0x80) {
                    CHECK(story == open({"text a"}));
                } else {
                    const std::string name = opcode_name(static_cast<Opcode>(first & 0x0FU));
                    const bool event = (first & 0x80U) != 0;
                    CHECK(story.events == (event ? std::vector<std::string>{name + " "} : std::vector<std::string>{}));
                    CHECK(story.sent == (first == 0x89 ? std::vector<std::string>{"8a "} : std::vector<std::string>{}));
                }
            }
        }
    }
}

TEST_CASE("connection: lengths not in their shortest form, or with the top bit set", "[unit][websocket][connection]") {
    struct Case {
        std::string input;
        Story story;
    };
    const Story longer = failed(1002, "a length is not in its shortest form");
    const Story top = failed(1002, "a length has its top bit set");
    const std::vector<Case> cases = {
        {"82 fe 0000"_hex, longer},
        {"82 fe 007d"_hex, longer},
        {"02 fe 0001"_hex, longer},
        {"82 ff 0000000000000000"_hex, longer},
        {"82 ff 000000000000007d"_hex, longer},
        {"82 ff 000000000000ffff"_hex, longer},
        {"82 ff 8000000000000000"_hex, top},
        {"82 ff 8000000000000001"_hex, top},
        {"82 ff ffffffffffffffff"_hex, top},
        {"02 ff ffffffffffffffff"_hex, top},
    };
    for (const Case& one : cases) {
        INFO(wire::to_hex(one.input));
        CHECK(replay(server, one.input + "01020304 00"_hex) == one.story);
        CHECK(bytes_until_finished(server, one.input) == one.input.size());  // not waiting for the key
        std::string unmasked = one.input;
        unmasked[1] = static_cast<char>(unmasked[1] & 0x7F);
        CHECK(replay(client, unmasked) == one.story);
    }
}

TEST_CASE("connection: control frames", "[unit][websocket][connection]") {
    const std::string most(125, 'p');
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        CHECK(replay(setup, to(role, 0x89, most)) == open({"ping " + most}, {"8a " + most}));
        CHECK(replay(setup, to(role, 0x8A, most)) == open({"pong " + most}));
        CHECK(replay(setup, to(role, 0x89, "")) == open({"ping "}, {"8a "}));
        CHECK(replay(setup, to(role, 0x8A, "")) == open({"pong "}));
        for (const unsigned first : {0x88U, 0x89U, 0x8AU}) {
            const Story too_long = failed(1002, "a control frame has more than 125 bytes");
            CHECK(replay(setup, to(role, first, std::string(126, 'p'))) == too_long);
            CHECK(replay(setup, to(role, first, std::string(65536, 'p'))) == too_long);
            CHECK(bytes_until_finished(setup, to(role, first, std::string(126, 'p'))) == 2);
        }
        // Whatever bytes a ping has, they come back.
        const std::string bytes = "00 ff 80 0a 0d 7f"_hex;
        CHECK(replay(setup, to(role, 0x89, bytes)) ==
              open({"ping " + wire::shown(bytes)}, {"8a " + wire::shown(bytes)}));
    }
}

// ---- Messages

TEST_CASE("connection: fragments, with control frames between them", "[unit][websocket][connection]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        CHECK(replay(setup, in(0x01, "a") + in(0x00, "b") + in(0x80, "c")) == open({"text abc"}));
        CHECK(replay(setup, in(0x02, "a") + in(0x89, "?") + in(0x00, "b") + in(0x8A, "!") + in(0x80, "c")) ==
              open({"ping ?", "pong !", "binary abc"}, {"8a ?"}));
        CHECK(replay(setup, in(0x01, "") + in(0x00, "") + in(0x80, "")) == open({"text "}));
        CHECK(replay(setup, in(0x01, "") + in(0x00, "a") + in(0x00, "") + in(0x80, "")) == open({"text a"}));
        CHECK(replay(setup, in(0x01, "") + in(0x80, "late")) == open({"text late"}));
        CHECK(replay(setup, in(0x01, "early") + in(0x80, "")) == open({"text early"}));
        CHECK(replay(setup, in(0x01, "a") + in(0x80, "b") + in(0x82, "c") + in(0x01, "d") + in(0x80, "e")) ==
              open({"text ab", "binary c", "text de"}));
        CHECK(replay(setup, in(0x01, "a") + in(0x80, "b") + in(0x80, "c")) ==
              failed(1002, "a continuation of no message", {"text ab"}));
        CHECK(replay(setup, in(0x01, "a") + in(0x89, "?") + in(0x81, "b")).events ==
              std::vector<std::string>{"ping ?", "close 1002 a message begins within another"});
        // Closed in the middle of a message: it is not delivered.
        CHECK(replay(setup, in(0x01, "a") + in(0x88, close_body(1001)) + in(0x80, "b")) ==
              closed("close 1001 ", close_body(1001)));
    }
}

TEST_CASE("connection: text is failed at its first impossible byte", "[unit][websocket][connection]") {
    struct Case {
        std::string text;
        std::size_t at;  // offset of the impossible byte; the text's length: it ends within a character
    };
    const std::vector<Case> cases = {
        {"80"_hex, 0},
        {"6162 ff 63"_hex, 2},
        {"e0 9f 80"_hex, 1},
        {"ed a0 80"_hex, 1},
        {"f4 90 80 80"_hex, 1},
        {"c3"_hex, 1},
        {"61 e2 82"_hex, 3},
        {"f0 9f 98"_hex, 3},
        {"c3 28"_hex, 1},
        {"ce ba e1 bd b9 cf 83 ce bc ce b5 ed a0 80 65"_hex, 12},
        {"c0 af"_hex, 0},
        // At both sides of the blocks that ASCII is passed over by.
        {std::string(31, 'a') + "80"_hex, 31},
        {std::string(32, 'a') + "80"_hex, 32},
        {std::string(100, 'a') + "f8 61"_hex, 100},
    };
    const Story not_text = failed(1007, "a text message is not UTF-8");
    for (const Case& one : cases) {
        INFO(wire::to_hex(one.text));
        for (const Role role : {Role::server, Role::client}) {
            const Setup setup{role, {}, {}};
            const std::string whole = to(role, 0x81, one.text);
            CHECK(replay(setup, whole) == not_text);
            const std::size_t head = whole.size() - one.text.size();
            CHECK(bytes_until_finished(setup, whole) == std::min(head + one.at + 1, whole.size()));
            // As binary it is welcome.
            CHECK(replay(setup, to(role, 0x82, one.text)) == open({"binary " + wire::shown(one.text)}));
            // In two fragments, cut at every byte.
            for (std::size_t cut = 0; cut <= one.text.size(); ++cut) {
                const std::string first = to(role, 0x01, one.text.substr(0, cut));
                CHECK(replay(setup, first + to(role, 0x80, one.text.substr(cut))) == not_text);
                if (one.at < cut) CHECK(bytes_until_finished(setup, first) == first.size() - cut + one.at + 1);
            }
        }
    }
    // Characters may be cut by fragments; what one message leaves behind is not the next one's.
    CHECK(replay(server, masked(0x01, "\xED\x95") + masked(0x89, "\xFF") + masked(0x80, "\x9C")) ==
          open({"ping \\xff", "text \xED\x95\x9C"}, {"8a \\xff"}));
    CHECK(replay(server, masked(0x82, "\xED\x95") + masked(0x81, "a")) == open({"binary \\xed\\x95", "text a"}));
    CHECK(replay(server, masked(0x81, "\xED\x95\x9C") + masked(0x81, "\x9C")) ==
          failed(1007, "a text message is not UTF-8", {"text \xED\x95\x9C"}));
}

TEST_CASE("connection: the limit of a message", "[unit][websocket][connection]") {
    const Story too_big = failed(1009, "a message is too big");
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup = limited(role, 1000);
        const auto in = [&](unsigned first, std::size_t count) { return to(role, first, std::string(count, 'm')); };
        const std::string limit = "binary " + wire::shown(std::string(1000, 'm'));
        CHECK(replay(setup, in(0x82, 1000)) == open({limit}));
        CHECK(replay(setup, in(0x82, 1001)) == too_big);
        // The header is enough to tell.
        const std::size_t header = in(0x82, 1001).size() - 1001;
        CHECK(bytes_until_finished(setup, in(0x82, 1001)) == header);
        CHECK(replay(setup, in(0x82, 1000) + in(0x82, 1000)) == open({limit, limit}));
        // Accumulated over fragments, of which those that are empty change nothing.
        CHECK(replay(setup, in(0x02, 600) + in(0x00, 0) + in(0x00, 399) + in(0x80, 1)) == open({limit}));
        CHECK(replay(setup, in(0x02, 600) + in(0x80, 401)) == too_big);
        CHECK(replay(setup, in(0x02, 1000) + in(0x80, 0)) == open({limit}));
        CHECK(replay(setup, in(0x02, 1000) + in(0x00, 1)) == too_big);
        // What one message took does not count for the next.
        CHECK(replay(setup, in(0x02, 600) + in(0x80, 400) + in(0x02, 600) + in(0x80, 400)) == open({limit, limit}));
        // Control frames don't count.
        const Setup small = limited(role, 1);
        CHECK(replay(small, in(0x02, 1) + in(0x8A, 125) + in(0x80, 0)).events.size() == 2);
        CHECK(replay(limited(role, 0), in(0x81, 0)) == open({"text "}));
        CHECK(replay(limited(role, 0), in(0x81, 1)) == too_big);
    }
    // The default is 16 MiB.
    CHECK(Connection::default_limits().message_bytes == 16U << 20U);
    CHECK(play(client, "82 7f 0000000001000000"_hex) == open({}));
    CHECK(play(client, "82 7f 0000000001000001"_hex) == too_big);
}

TEST_CASE("connection: lengths near 2^63 overflow nothing", "[unit][websocket][connection]") {
    const Story too_big = failed(1009, "a message is too big");
    const std::string huge = "7f 7fffffffffffffff"_hex;
    CHECK(replay(client, "82"_hex + huge) == too_big);
    CHECK(replay(client, "02 01 61 00"_hex + huge) == too_big);
    CHECK(replay(client, "02 05 6161616161 00 00 80"_hex + huge) == too_big);
    // Even where the limit is none.
    const Setup unlimited = limited(Role::client, std::numeric_limits<std::size_t>::max());
    CHECK(replay(unlimited, "82"_hex + huge + "abc") == open({}));
    CHECK(replay(unlimited, "02 01 61 00"_hex + huge + "abc") == open({}));
    const Setup half = limited(Role::client, std::size_t{1} << 63U);
    CHECK(replay(half, "02 01 61 00"_hex + huge + "abc") == open({}));
    CHECK(replay(half, "02 02 6161 00"_hex + huge) == too_big);
}

TEST_CASE("connection: the limit of fragments", "[unit][websocket][connection]") {
    const Story too_many = failed(1008, "a message has too many fragments");
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup = limited(role, 1000, 4);
        const std::string begin = to(role, 0x01, "a");
        const std::string more = to(role, 0x00, "");
        const std::string end = to(role, 0x80, "");
        CHECK(replay(setup, begin + more + more + end) == open({"text a"}));
        CHECK(replay(setup, begin + more + more + more + end) == too_many);
        CHECK(replay(setup, begin + more + more + more + more) == too_many);
        CHECK(replay(setup, begin + more + more + end + begin + more + more + end) == open({"text a", "text a"}));
        CHECK(replay(setup, repeated(to(role, 0x81, "a"), 10)).events.size() == 10);
        CHECK(replay(setup, begin + repeated(to(role, 0x8A, "x"), 10) + end).events.size() == 11);
    }
    // The default: a flood of empty fragments ends after 2^17.
    std::string flood = masked(0x02, "") + repeated(masked(0x00, ""), (1U << 17U) - 1);
    CHECK(play(server, flood) == open({}));
    CHECK(play(server, flood + masked(0x80, "")) == too_many);
}

TEST_CASE("connection: what looks like a frame where none begins", "[unit][websocket][connection]") {
    // In a masking key, in a length, in the payload of a message and of a control frame. With the key 0 the payload
    // stands on the wire as it is.
    const std::string inner = masked(0x81, "trap");
    CHECK(replay(server, masked(0x81, "Hello", 0x81808280)) == open({"text Hello"}));
    CHECK(replay(server, masked(0x82, inner, 0)) == open({"binary " + wire::shown(inner)}));
    CHECK(replay(server, masked(0x89, inner + inner, 0)) ==
          open({"ping " + wire::shown(inner + inner)}, {"8a " + wire::shown(inner + inner)}));
    CHECK(replay(server, masked(0x02, inner, 0) + masked(0x80, inner, 0)) ==
          open({"binary " + wire::shown(inner + inner)}));
    const std::string unmasked = wire::frame(0x81, "trap");
    const std::string long_one(0x8105, 'x');  // 82 7e 81 05 ...
    CHECK(replay(client, wire::frame(0x82, long_one)) == open({"binary " + wire::shown(long_one)}));
    CHECK(replay(client, wire::frame(0x8A, unmasked)) == open({"pong " + wire::shown(unmasked)}));
    CHECK(replay(client, wire::frame(0x02, unmasked) + wire::frame(0x80, unmasked)) ==
          open({"binary " + wire::shown(unmasked + unmasked)}));
}

// ---- Close

TEST_CASE("connection: every code that a Close frame may have, and every other", "[unit][websocket][connection]") {
    const auto allowed = [](unsigned code) {
        // Sections 7.4.1 and 7.4.2 and the registry: 1004 to 1006 and 1015 are reserved; 1016 to 2999 are nobody's yet.
        static const std::set<unsigned> named = {1000, 1001, 1002, 1003, 1007, 1008,
                                                 1009, 1010, 1011, 1012, 1013, 1014};
        return named.count(code) > 0 || (code >= 3000 && code < 5000);
    };
    const Story wrong = failed(1002, "a Close frame has a code that may not travel");
    for (unsigned code = 0; code <= 65535; code += code < 5100 ? 1 : 1009) {
        INFO(code);
        for (const Role role : {Role::server, Role::client}) {
            const Story story = play({role, {}, {}}, to(role, 0x88, close_body(code, "why")));
            CHECK(story == (allowed(code) ? closed(fmt::format("close {} why", code), close_body(code)) : wrong));
        }
        CHECK(may_travel(code) == allowed(code));
    }
    for (const unsigned code :
         {0U, 999U, 1000U, 1004U, 1005U, 1006U, 1014U, 1015U, 2999U, 3000U, 4999U, 5000U, 65535U}) {
        const Story story = replay(server, masked(0x88, close_body(code)));
        CHECK(story == (allowed(code) ? closed(fmt::format("close {} ", code), close_body(code)) : wrong));
    }
}

TEST_CASE("connection: Close frames of every kind", "[unit][websocket][connection]") {
    const std::string most(123, 'r');
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        const auto in = [&](std::string_view body) { return replay(setup, to(role, 0x88, body)); };
        CHECK(in("") == closed("close 1005 ", ""));
        CHECK(in("\x03") == failed(1002, "a Close frame has half a code"));
        CHECK(in(close_body(1000)) == closed("close 1000 ", close_body(1000)));
        CHECK(in(close_body(1000, most)) == closed("close 1000 " + most, close_body(1000)));
        CHECK(in(close_body(4000, "\xEC\x95\x88\xEB\x85\x95")) ==
              closed("close 4000 \xEC\x95\x88\xEB\x85\x95", close_body(4000)));
        const Story not_text = failed(1007, "a Close frame has a reason that is not UTF-8");
        CHECK(in(close_body(1000, "\xFF")) == not_text);
        CHECK(in(close_body(1000, "ok\xC0\xAF")) == not_text);
        CHECK(in(close_body(1000, "\xED\xA0\x80")) == not_text);
        CHECK(in(close_body(1000, "cut \xEC\x95")) == not_text);
        CHECK(in(close_body(1000, "bye" + std::string(1, '\0'))) ==
              closed("close 1000 " + wire::shown(std::string("bye\0", 4)), close_body(1000)));
        // What stands behind a Close frame is not looked at.
        const std::string behind = to(role, 0x81, "x") + to(role, 0x88, close_body(1001)) + "ff ff ff"_hex;
        CHECK(replay(setup, to(role, 0x88, close_body(1000)) + behind) == closed("close 1000 ", close_body(1000)));
        // And what stood in front of it is delivered.
        CHECK(replay(setup, to(role, 0x81, "x") + to(role, 0x88, close_body(1000))) ==
              Story{{"text x", "close 1000 "}, {"88 \\x03\\xe8"}, true});
    }
}

TEST_CASE("connection: after our Close the peer is heard, but nothing more is sent", "[unit][websocket][connection]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        int refused = 0;
        const auto close_at_first = [&refused](Connection& peer, const Event& event) {
            if (peer.close_sent()) {
                refused += peer.send(event.opcode, "no") ? 0 : 1;
                refused += peer.send_fragment(event.opcode, "no", true) ? 0 : 1;
                refused += peer.ping() ? 0 : 1;
                refused += peer.pong() ? 0 : 1;
                std::array<char, most_header_bytes> header;
                refused += peer.message_header(Opcode::text, 2, header.data()) == 0 ? 1 : 0;
            }
            peer.close(3001, "enough");
        };
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const std::string input =
            in(0x81, "one") + in(0x01, "tw") + in(0x89, "unanswered") + in(0x80, "o") + in(0x88, close_body(3001));
        const Story story = play(setup, input, {}, close_at_first);
        CHECK(story ==
              Story{{"text one", "ping unanswered", "text two", "close 3001 "}, {"88 \\x0b\\xb9enough"}, true});
        CHECK(refused == 10);
        CHECK(replay(setup, input, close_at_first) == story);
        // The peer may give another code; and it may end without one, or break the rules even now.
        CHECK(replay(setup, in(0x81, "one") + in(0x88, ""), close_at_first) ==
              Story{{"text one", "close 1005 "}, {"88 \\x0b\\xb9enough"}, true});
        CHECK(replay(setup, in(0x81, "one"), close_at_first) == Story{{"text one"}, {"88 \\x0b\\xb9enough"}, false});
        CHECK(replay(setup, in(0x81, "one") + in(0x83, ""), close_at_first) ==
              Story{{"text one", "close 1002 a reserved opcode"}, {"88 \\x0b\\xb9enough"}, false});
    }
}

TEST_CASE("connection: close() writes a code and as much of the reason as fits", "[unit][websocket][connection]") {
    const auto sent = [](std::uint16_t code, const std::string& reason) {
        Buffer output;
        Connection peer(Role::server, output);
        CHECK_FALSE(peer.close_sent());
        peer.close(code, reason);
        CHECK(peer.close_sent());
        CHECK_FALSE(peer.finished());
        peer.close(1011, "not twice");
        std::string bytes(output.view());
        REQUIRE(bytes.size() >= 2);
        CHECK(bytes[0] == static_cast<char>(0x88));
        CHECK(bytes[1] == static_cast<char>(bytes.size() - 2));
        return bytes.substr(2);
    };
    CHECK(sent(1000, "") == close_body(1000));
    CHECK(sent(4999, "bye") == close_body(4999, "bye"));
    CHECK(sent(close_code::none, "not sent").empty());
    CHECK(sent(1000, std::string(123, 'r')) == close_body(1000, std::string(123, 'r')));
    CHECK(sent(1000, std::string(124, 'r')) == close_body(1000, std::string(123, 'r')));
    CHECK(sent(1000, std::string(5000, 'r')) == close_body(1000, std::string(123, 'r')));
    // Characters stay whole: 41 of three bytes are 123, and after one, two or three other bytes, fewer fit.
    const std::string korean = repeated("\xED\x95\x9C", 50);
    for (std::size_t before = 0; before < 7; ++before) {
        const std::string front(before, 'a');
        const std::size_t fit = (123 - before) / 3 * 3;
        CHECK(sent(1000, front + korean) == close_body(1000, front + korean.substr(0, fit)));
    }
    const std::string emoji = repeated("\xF0\x9F\x98\x80", 50);
    CHECK(sent(1000, emoji) == close_body(1000, emoji.substr(0, 120)));
    CHECK(sent(1000, "abc" + emoji) == close_body(1000, "abc" + emoji.substr(0, 120)));
}

TEST_CASE("connection: the end of input", "[unit][websocket][connection]") {
    Buffer output;
    SECTION("without Close frames: 1006, unclean, and nothing is sent") {
        Connection peer(Role::server, output);
        CHECK(peer.closing().code == close_code::abnormal);
        CHECK_FALSE(peer.finished());
        peer.end_of_input();
        CHECK(peer.finished());
        CHECK(peer.closing().code == close_code::abnormal);
        CHECK(peer.closing().reason.empty());
        CHECK_FALSE(peer.closing().clean);
        CHECK_FALSE(peer.next());
        CHECK(output.empty());
    }
    SECTION("after our Close alone: still 1006 and unclean") {
        Connection peer(Role::client, output);
        peer.close(1000);
        peer.end_of_input();
        CHECK(peer.closing().code == close_code::abnormal);
        CHECK_FALSE(peer.closing().clean);
    }
    SECTION("after both: clean") {
        Connection peer(Role::client, output);
        peer.close(1000);
        std::string answer = "88 05 03e8 627965"_hex;
        peer.receive(answer.data(), answer.size());
        const auto event = peer.next();
        REQUIRE(event);
        CHECK(event->opcode == Opcode::close);
        CHECK(event->payload == "bye");
        CHECK_FALSE(peer.next());
        peer.end_of_input();
        CHECK(peer.closing().code == 1000);
        CHECK(peer.closing().reason == "bye");
        CHECK(peer.closing().clean);
    }
    SECTION("what is received after the end is not looked at") {
        Connection peer(Role::client, output);
        for (std::string bytes : {"88 00"_hex, "81 05 48656c6c6f"_hex, "89 00 81 00 83 00"_hex}) {
            peer.receive(bytes.data(), bytes.size());
            const bool first = !peer.finished();
            CHECK(peer.next().has_value() == first);
            CHECK_FALSE(peer.next());
        }
        CHECK(wire::frames_of(Role::client, output.view()) == std::vector<std::string>{"88 "});
    }
    SECTION("in the middle of a frame: what came is not delivered") {
        for (std::size_t cut = 1; cut < masked(0x81, "Hello").size(); ++cut)
            CHECK(play(server, masked(0x81, "Hello").substr(0, cut)) == open({}));
    }
}

// ---- Pings

TEST_CASE("connection: of a flood of pings that come together, 64 are answered and the last",
          "[unit][websocket][connection]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        for (const unsigned count : {1U, 63U, 64U, 65U, 66U, 1000U, 10000U}) {
            std::string flood;
            std::vector<std::string> events;
            std::vector<std::string> pongs;
            for (unsigned i = 1; i <= count; ++i) {
                flood += to(role, 0x89, std::to_string(i));
                events.push_back("ping " + std::to_string(i));
                if (i <= 64 || i == count) pongs.push_back("8a " + std::to_string(i));
            }
            INFO(count << " pings");
            CHECK(play(setup, flood) == open(events, pongs));
            // A Close frame comes after the pong that is owed, a message's answer before it.
            events.emplace_back("close 1000 ");
            pongs.emplace_back("88 \\x03\\xe8");
            CHECK(play(setup, flood + to(role, 0x88, close_body(1000))) == Story{events, pongs, true});
        }
    }
}

TEST_CASE("connection: the count of pings begins anew with each piece", "[unit][websocket][connection]") {
    const std::string half = repeated(masked(0x89, "x"), 50);
    CHECK(play(server, half + half).sent.size() == 65);
    CHECK(play(server, half + half, {{half.size()}}).sent.size() == 100);
    CHECK(play(server, half + half, {{half.size() + 3}}).sent.size() == 100);
    // Cut within the last ping of a flood: the pong that is owed then is the one before, and both are sent.
    std::string flood;
    for (int i = 1; i <= 100; ++i)
        flood += masked(0x89, fmt::format("{:03}", i));
    for (std::size_t back = 1; back < 9; ++back) {
        const Story story = play(server, flood, {{flood.size() - back}});
        REQUIRE(story.sent.size() == 66);
        CHECK(story.sent[63] == "8a 064");
        CHECK(story.sent[64] == "8a 099");
        CHECK(story.sent[65] == "8a 100");
    }
    // A flood within a message, and a flood before a frame that fails the connection: after Close nothing is sent.
    const Story within = play(server, masked(0x01, "a") + repeated(masked(0x89, "x"), 100) + masked(0x80, "b"));
    CHECK(within.sent.size() == 65);
    CHECK(within.events.back() == "text ab");
    const Story before = play(server, repeated(masked(0x89, "x"), 100) + masked(0x83, ""));
    CHECK(before.sent.size() == 65);
    CHECK(before.sent.back() == "88 " + wire::shown(close_body(1002, "a reserved opcode")));
}

// ---- Received directly

TEST_CASE("connection: room() is offered within large messages only", "[unit][websocket][connection]") {
    Buffer output;
    Connection peer(Role::server, output);
    const auto feed = [&](std::string bytes) {
        peer.receive(bytes.data(), bytes.size());
        while (peer.next()) {
        }
    };
    CHECK_FALSE(peer.room());
    const std::string large = masked(0x02, std::string(200'000, 'd'));
    feed(large.substr(0, 10));
    CHECK_FALSE(peer.room());  // the header is not complete
    feed(large.substr(10, 4));
    const auto room = peer.room();
    REQUIRE(room);
    CHECK(room->count >= 65536);
    CHECK(room->count <= 200'000);
    std::copy_n(large.begin() + 14, 1000, room->bytes);
    peer.received_directly(1000);
    CHECK_FALSE(peer.next());
    feed(large.substr(1014, 150'000));
    CHECK_FALSE(peer.room());  // less than is worth it
    feed(large.substr(151'014));
    CHECK_FALSE(peer.room());  // between frames
    feed(masked(0x89, "") + "89 85 00000000 61"_hex);
    CHECK_FALSE(peer.room());  // in a control frame
    feed("62636465"_hex + masked(0x80, std::string(100'000, 'e')).substr(0, 20));
    CHECK(peer.room());
    peer.end_of_input();
    CHECK_FALSE(peer.room());
}

TEST_CASE("connection: received directly or not, the same comes out", "[unit][websocket][connection]") {
    const std::string text = repeated("\xED\x95\x9C\xEA\xB8\x80 text ", 20'000);  // 240 kB
    std::string broken = text;
    broken[200'001] = '\xFF';
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, {}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const std::string ping = in(0x89, "p");
        const auto check = [&](const std::string& input, const Story& story) {
            CHECK(play(setup, input) == story);
            for (const std::size_t step : {1U << 12U, 65535U, 65536U, 100'003U, 131'072U, 131'086U}) {
                std::vector<std::size_t> cuts;
                for (std::size_t at = 14; at < input.size(); at += step)
                    cuts.push_back(at);
                CHECK(play(setup, input, {cuts, true}) == story);
                CHECK(play(setup, input, {cuts, false}) == story);
            }
        };
        check(in(0x81, text), open({"text " + wire::shown(text)}));
        check(in(0x01, text) + ping + in(0x80, text), open({"ping p", "text " + wire::shown(text + text)}, {"8a p"}));
        check(in(0x81, text) + in(0x81, text) + ping,
              open({"text " + wire::shown(text), "text " + wire::shown(text), "ping p"}, {"8a p"}));
        check(in(0x81, broken), failed(1007, "a text message is not UTF-8"));
        check(in(0x01, text) + in(0x80, text.substr(0, text.size() - 6)),
              open({"text " + wire::shown(text + text.substr(0, text.size() - 6))}));
        check(in(0x01, text.substr(0, 100'001)) + in(0x80, text.substr(100'001)), open({"text " + wire::shown(text)}));
        check(in(0x81, text + "\xED\x95"), failed(1007, "a text message is not UTF-8"));
        check(in(0x81, text).substr(0, 200'000), open({}));
    }
}

TEST_CASE("connection: a direct failure is told by next()", "[unit][websocket][connection]") {
    Buffer output;
    Connection peer(Role::client, output);
    std::string header = "81 7f 0000000000020000"_hex;
    peer.receive(header.data(), header.size());
    CHECK_FALSE(peer.next());
    const auto room = peer.room();
    REQUIRE(room);
    room->bytes[0] = 'a';
    room->bytes[1] = '\x80';
    peer.received_directly(2);
    const auto event = peer.next();
    REQUIRE(event);
    CHECK(event->opcode == Opcode::close);
    CHECK(peer.finished());
    CHECK(peer.closing().code == close_code::invalid_data);
    CHECK_FALSE(peer.room());
    CHECK_FALSE(peer.next());
}

// ---- What is sent

TEST_CASE("connection: streaming send", "[unit][websocket][connection]") {
    for (const Role role : {Role::server, Role::client}) {
        Buffer output;
        Connection peer(role, output);
        CHECK(peer.send_fragment(Opcode::binary, "a", false));
        CHECK(peer.send_fragment(Opcode::text, "b", false));  // the opcode is the first one's
        CHECK_FALSE(peer.send(Opcode::text, "within"));
        CHECK(peer.ping("between"));
        CHECK(peer.send_fragment(Opcode::binary, "", false));
        CHECK(peer.send_fragment(Opcode::binary, "c", true));
        CHECK(peer.send(Opcode::text, "next"));
        CHECK(peer.send_fragment(Opcode::text, "alone", true));
        CHECK(peer.send_fragment(Opcode::text, "unfinished", false));
        peer.close(1001);
        CHECK_FALSE(peer.send_fragment(Opcode::text, "more", true));
        CHECK(wire::frames_of(role, output.view()) == std::vector<std::string>{"02 a", "00 b", "89 between", "00 ",
                                                                               "80 c", "81 next", "81 alone",
                                                                               "01 unfinished", "88 \\x03\\xe9"});
    }
}

TEST_CASE("connection: control payloads are cut at 125 bytes", "[unit][websocket][connection]") {
    Buffer output;
    Connection peer(Role::server, output);
    CHECK(peer.ping(std::string(125, 'p')));
    CHECK(peer.pong(std::string(126, 'q')));
    CHECK(wire::frames_of(Role::server, output.view()) ==
          std::vector<std::string>{"89 " + std::string(125, 'p'), "8a " + std::string(125, 'q')});
}

TEST_CASE("connection: every frame of a client has a mask of its own", "[unit][websocket][connection]") {
    Buffer output;
    Connection peer(Role::client, output);
    std::set<std::string> keys;
    std::size_t frames = 0;
    for (int i = 0; i < 1000; ++i) {
        const auto take_key = [&] {
            keys.insert(std::string(output.view().substr(2, 4)));
            output.clear();
            ++frames;
        };
        peer.send(Opcode::text, "the same text");
        take_key();
        peer.send_fragment(Opcode::text, "a", false);
        take_key();
        peer.send_fragment(Opcode::text, "a", true);
        take_key();
        peer.ping("a");
        take_key();
        peer.pong("");
        take_key();
    }
    CHECK(frames == 5000);
    CHECK(keys.size() > 4995);  // see "masks: a fresh key each time"
}

TEST_CASE("connection: the header alone, for payloads that are sent from where they are",
          "[unit][websocket][connection]") {
    Buffer output;
    std::array<char, most_header_bytes> header;
    Connection peer(Role::server, output);
    REQUIRE(peer.message_header(Opcode::text, 5, header.data()) == 2);
    CHECK(std::string(header.data(), 2) == "81 05"_hex);
    REQUIRE(peer.message_header(Opcode::binary, 65536, header.data()) == 10);
    CHECK(std::string(header.data(), 10) == "82 7f 0000000000010000"_hex);
    CHECK(output.empty());
    peer.send_fragment(Opcode::text, "a", false);
    CHECK(peer.message_header(Opcode::text, 5, header.data()) == 0);  // within another message
    peer.send_fragment(Opcode::text, "a", true);
    CHECK(peer.message_header(Opcode::text, 5, header.data()) == 2);
    peer.close(1000);
    CHECK(peer.message_header(Opcode::text, 5, header.data()) == 0);
    Connection other(Role::client, output);
    CHECK(other.message_header(Opcode::text, 5, header.data()) == 0);  // a mask would be needed
    Connection compressing(Role::server, output, Connection::default_limits(), DeflateParameters{});
    CHECK(compressing.message_header(Opcode::text, 5, header.data()) == 0);
}

TEST_CASE("connection: an output that serves several connections in turn", "[unit][websocket][connection]") {
    Buffer output;
    Connection first(Role::server, output);
    Connection second(Role::server, output);
    first.send(Opcode::text, "1");
    second.send(Opcode::text, "2");
    first.send(Opcode::text, "3");
    CHECK(output.view() == "810131 810132 810133"_hex);
}

// ---- In few steps

namespace {

/// That return_short_messages() makes no difference, however the input is cut.
void check_echo_in_few_steps(const Setup& setup, const std::string& input) {
    const auto check = [&](const std::vector<std::size_t>& cuts) {
        const std::string usual = wire::echo(setup, input, cuts, false);
        if (wire::echo(setup, input, cuts, true) != usual) FAIL("another echo of " << wire::shown(input));
    };
    for (std::size_t cut = 0; cut <= input.size(); ++cut)
        check({cut});
    std::vector<std::size_t> every(input.size());
    for (std::size_t i = 0; i < every.size(); ++i)
        every[i] = i;
    check(every);
}

}  // namespace

TEST_CASE("connection: short messages returned in few steps are those of next() and send()",
          "[unit][websocket][connection]") {
    const std::string a = masked(0x81, "a");
    for (std::size_t length = 0; length <= 130; ++length) {
        std::string payload;
        for (std::size_t i = 0; i < length; ++i)
            payload += static_cast<char>('!' + i % 90);
        check_echo_in_few_steps(server, masked(0x81, payload) + masked(0x82, payload + "\xFF"));
        if (length == 0) continue;
        // One byte that is not ASCII, anywhere: alone, in text and binary, and as one of a character that is whole.
        payload[length * 7 / 10] = '\xC3';
        check_echo_in_few_steps(server, a + masked(0x82, payload) + masked(0x81, payload) + a);
        if (length * 7 / 10 + 1 < length) payload[length * 7 / 10 + 1] = '\xA4';
        check_echo_in_few_steps(server, masked(0x81, payload) + masked(0x81, "") + a);
    }
    const std::vector<std::string> others = {
        masked(0x89, "ping"),
        masked(0x8A, ""),
        masked(0x88, close_body(1000, "bye")),
        masked(0x01, "one") + masked(0x80, "two"),
        masked(0x01, "one") + masked(0x81, "a"),
        masked(0x80, "two"),
        masked(0xC1, "compressed"),
        masked(0xA1, "reserved"),
        masked(0x83, "unknown"),
        wire::frame(0x81, "not masked"),
        masked(0x82, std::string(126, 'x')),
        "81fe0005 01020304 1112131415"_hex,  // 5 as a length of 16 bits
        "8180010203"_hex,                    // cut off
    };
    for (const std::string& other : others) {
        check_echo_in_few_steps(server, a + a + other + a + masked(0x82, "binary") + a);
        check_echo_in_few_steps({Role::server, {}, DeflateParameters{}}, a + other + a);
        check_echo_in_few_steps(client, wire::frame(0x81, "a") + other + wire::frame(0x81, "a"));
    }
    check_echo_in_few_steps(server, repeated(masked(0x89, "p"), 100) + a);  // of which the last pong is owed
    for (std::size_t limit = 0; limit <= 3; ++limit)
        check_echo_in_few_steps(limited(Role::server, limit), masked(0x81, "x") + masked(0x82, "xy") + a);
}

TEST_CASE("connection: nothing is returned in few steps within a message of ours, and behind our Close",
          "[unit][websocket][connection]") {
    Buffer output;
    Connection peer(Role::server, output);
    std::string bytes = masked(0x81, "a") + masked(0x81, "b");
    peer.send_fragment(Opcode::text, "begun", false);
    output.clear();
    peer.receive(bytes.data(), bytes.size());
    CHECK_FALSE(peer.return_short_messages());
    CHECK(output.empty());
    CHECK(peer.next()->payload == "a");
    peer.send_fragment(Opcode::text, "", true);
    output.clear();
    CHECK(peer.return_short_messages());
    CHECK(output.view() == "810162"_hex);
    CHECK_FALSE(peer.next());

    bytes = masked(0x81, "c");
    peer.close(1000);
    output.clear();
    peer.receive(bytes.data(), bytes.size());
    CHECK_FALSE(peer.return_short_messages());
    CHECK(output.empty());
    CHECK(peer.next()->payload == "c");
}

TEST_CASE("connection: may be moved in the middle of anything", "[unit][websocket][connection]") {
    const std::string input =
        masked(0x01, "a") + masked(0x89, "ping") + masked(0x80, "\xED\x95\x9C") + masked(0x88, close_body(1000));
    for (std::size_t cut = 0; cut <= input.size(); ++cut) {
        Buffer output;
        Connection before(Role::server, output);
        std::vector<std::string> events;
        const auto drain = [&](Connection& peer, std::string bytes) {
            peer.receive(bytes.data(), bytes.size());
            while (const auto event = peer.next())
                events.emplace_back(std::string(opcode_name(event->opcode)) + " " + std::string(event->payload));
        };
        drain(before, input.substr(0, cut));
        Connection after(std::move(before));
        drain(after, input.substr(cut));
        CHECK(events == std::vector<std::string>{"ping ping", "text a\xED\x95\x9C", "close "});
        CHECK(wire::frames_of(Role::server, output.view()) == std::vector<std::string>{"8a ping", "88 \\x03\\xe8"});
        CHECK(after.closing().clean);
    }
}
