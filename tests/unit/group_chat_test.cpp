// udp/chat.hpp without sockets, with a clock that only this test moves.

#include "udp/chat.hpp"

#include "tests/catch.hpp"

#include <string>
#include <vector>

using namespace group_chat;
using namespace std::chrono_literals;
using Lines = std::vector<std::string>;

namespace {

const std::string there = "10.0.0.1:4000", elsewhere = "10.0.0.2:4000";

Message of(Kind kind, std::uint32_t lines, std::string_view text = {}, std::uint32_t peer = 2,
           std::string_view name = "bob") {
    return {kind, peer, lines, name, text};
}

}  // namespace

TEST_CASE("group chat room: comes, speaks, leaves", "[unit][udp][chat]") {
    Room room("anna", 1);
    const Time now{};
    CHECK(room.who() == "* here: anna (you)");
    CHECK(room.hear(there, of(Kind::join, 0), now) == Lines{"* bob has come"});
    CHECK(room.wants_answer());
    CHECK_FALSE(room.wants_answer());
    CHECK(room.hear(there, of(Kind::beat, 0), now).empty());
    CHECK(room.hear(there, of(Kind::line, 1, "hello"), now) == Lines{"<bob> hello"});
    CHECK(room.hear(there, of(Kind::line, 1, "hello"), now).empty());
    CHECK(room.hear(there, of(Kind::line, 4, "\x1b[2J"), now) ==
          Lines{"* 2 of bob's lines got lost", "<bob> \\x1b[2J"});
    CHECK(room.hear(there, of(Kind::line, 2, "late"), now).empty());
    CHECK(room.hear(there, of(Kind::beat, 5), now) == Lines{"* 1 of bob's lines got lost"});
    CHECK(room.hear(elsewhere, of(Kind::beat, 9, "", 2, "carl"), now) == Lines{"* carl is here"});
    CHECK(room.who() == "* here: anna (you), bob, carl");
    CHECK(room.hear(there, of(Kind::leave, 5), now) == Lines{"* bob has left"});
    CHECK(room.hear(there, of(Kind::leave, 5), now).empty());
    CHECK(room.hear(there, of(Kind::line, 1, "our own", 1, "anna"), now).empty());
    CHECK_FALSE(room.wants_answer());
    CHECK(room.who() == "* here: anna (you), carl");
}

TEST_CASE("group chat room: silence", "[unit][udp][chat]") {
    Room room("anna", 1);
    Time now{};
    room.hear(there, of(Kind::join, 0), now);
    now += 7s;
    CHECK(room.notice_silence(7s, now).empty());
    room.hear(there, of(Kind::beat, 0), now);
    now += 7s;
    CHECK(room.notice_silence(7s, now).empty());
    CHECK(room.notice_silence(7s, now + 1ms) == Lines{"* bob was silent for 7 s: gone, it seems"});
    CHECK(room.size() == 0);
}

TEST_CASE("group chat room: too much of one, and too many", "[unit][udp][chat]") {
    Room room("anna", 1);
    Time now{};
    std::size_t shown = 0;
    std::uint32_t number = 0;
    Lines last;
    for (int i = 0; i < 1000; ++i) {
        last = room.hear(there, of(Kind::line, ++number, "x"), now);
        shown += last.size();
    }
    CHECK(shown == 1 + 40 + 1);  // that it is here, so many lines, and that it is too much
    CHECK(last.empty());
    now += 100ms;
    CHECK(room.hear(there, of(Kind::line, ++number, "y"), now) ==
          Lines{"* 960 of bob's lines were passed over", "<bob> y"});
    CHECK(room.hear(elsewhere, of(Kind::line, 1, "x", 3, "carl"), now) == Lines{"* carl is here", "<carl> x"});

    // Whoever makes up peers makes up no more than can be read.
    shown = 0;
    for (std::uint32_t peer = 100; peer < 20'000; ++peer) {
        shown += room.hear(there, of(Kind::join, 0, "", peer), now).size();
        shown += room.hear(there, of(Kind::leave, 0, "", peer), now).size();
    }
    CHECK(shown <= 64);
    for (std::uint32_t peer = 100; peer < 1000; ++peer)
        room.hear(there, of(Kind::join, 0, "", peer), now);
    CHECK(room.size() == most_peers);
}

TEST_CASE("group chat: names", "[unit][udp][chat]") {
    for (const char* good :
         {"a", "anna", "A-b_9", "철수", "01234567890123456789", "힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣힣"})
        CHECK(complaint_about(good).empty());
    for (const char* wrong : {"", " ", "a b", "* a", "<a>", "\x1b[2J", "\xff", "\xea\xb0", "é", "한 글",
                              "김\xed\xa0\x80", "\xed\x9e\xa4", "012345678901234567890", "a\n"}) {
        INFO(wrong);
        CHECK_FALSE(complaint_about(wrong).empty());
    }
}

TEST_CASE("group chat: messages there and back", "[unit][udp][chat]") {
    const std::string bytes = to_bytes(of(Kind::line, 0x01020304, "hi", 0x0a0b0c0d));
    CHECK(bytes == std::string("2TC1\x03\x03\x0a\x0b\x0c\x0d\x01\x02\x03\x04"
                               "bobhi"));
    const auto read = parse(bytes);
    REQUIRE(read);
    CHECK((read->kind == Kind::line && read->peer == 0x0a0b0c0d && read->lines == 0x01020304));
    CHECK((read->name == "bob" && read->text == "hi"));
    for (std::size_t size = 0; size < bytes.size() - 1; ++size)
        CHECK_FALSE(parse(bytes.substr(0, size)));
    CHECK(parse(to_bytes(of(Kind::line, 1, std::string(longest_line, 'x')))));
    CHECK_FALSE(parse(to_bytes(of(Kind::line, 1, std::string(longest_line + 1, 'x')))));
    CHECK_FALSE(parse(to_bytes(of(Kind::line, 0, "line number 0"))));
    CHECK_FALSE(parse(to_bytes(of(Kind::line, 1))));
    CHECK_FALSE(parse(to_bytes(of(Kind::beat, 1, "text"))));
}
