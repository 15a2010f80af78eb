// Frames told to a reader.

#include "websocket/protocol/explain.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <stdexcept>
#include <string>
#include <vector>

using namespace websocket;
using namespace wire::literals;

namespace {

std::string told(const std::string& bytes, const std::vector<std::size_t>& cuts = {}) {
    FrameTeller teller("them");
    std::string text;
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : bytes.size();
        text += teller.take(bytes.substr(at, end - at));
        at = end;
    }
    return text + "end: " + teller.end();
}

std::string complaint(const std::string& text) {
    try {
        bytes_of_hex(text);
        return "";
    } catch (const std::invalid_argument& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("explain: hexadecimal digits, both ways", "[unit][websocket][explain]") {
    CHECK(hex("").empty());
    CHECK(hex("00 7f 80 ff"_hex) == "00 7f 80 ff");
    CHECK(bytes_of_hex("007f80FF") == "00 7f 80 ff"_hex);
    CHECK(bytes_of_hex(" 81:05,48\r\n\t65 ") == "81 05 48 65"_hex);
    CHECK(bytes_of_hex("aAfF09") == "aa ff 09"_hex);
    CHECK(bytes_of_hex("").empty());
    for (const char* odd : {"8", "818", "8 1", "81 0", "8:1", "81 5 05"})
        CHECK(complaint(odd) == "a byte has one hexadecimal digit, expected two");
    CHECK(complaint("0x81") == "'x' is no hexadecimal digit");
    CHECK(complaint("8g") == "'g' is no hexadecimal digit");
    CHECK(complaint("81\x1b") == "'\\x1b' is no hexadecimal digit");
    CHECK(complaint("@@") == "'@' is no hexadecimal digit");
    CHECK(complaint("``") == "'`' is no hexadecimal digit");
    CHECK(complaint("//") == "'/' is no hexadecimal digit");
    CHECK(complaint("G0") == "'G' is no hexadecimal digit");
}

TEST_CASE("explain: each close code has a meaning, and says so if it may not travel", "[unit][websocket][explain]") {
    for (unsigned code = 0; code < 5100; ++code) {
        const std::string meaning = close_code_meaning(code);
        INFO(code << " " << meaning);
        CHECK((meaning.find("must not travel") == std::string::npos) == may_travel(code));
    }
}

TEST_CASE("explain: the RFC's example", "[unit][websocket][explain]") {
    const std::string text = told("81 85 37fa213d 7f9f4d5158"_hex);
    for (const char* part :
         {"them: text frame, 5 bytes of payload", "81 ", "1... ....  FIN", ".... 0001", "opcode 1: text", "85 ",
          "1... ....  MASK", ".000 0101  5", "37 fa 21 3d", "7f 9f 4d 51 58", "48 65 6c 6c 6f", "\"Hello\"", "end: "})
        CHECK_THAT(text, ContainsSubstring(part));
    CHECK_THAT(text, !ContainsSubstring("!!"));
}

TEST_CASE("explain: the same is told however the bytes are cut", "[unit][websocket][explain]") {
    const std::string frames = wire::masked(0x01, "Hel") + wire::frame(0x80, "lo") + wire::frame(0x89, "") +
                               wire::frame(0x88, wire::close_body(1000, "bye")) +
                               wire::masked(0x82, std::string(300, 'x')) + wire::frame(0xC1, "f248cdc9c90700"_hex) +
                               wire::frame(0x83, "?") + wire::frame(0x09, "?");
    for (const std::string& behind : {""_hex, "82"_hex, "82 7e 01"_hex, "82 05 61 62"_hex, "82 7e 0001 6162"_hex,
                                      "82 7f ffffffffffffffff 6162"_hex, "82 7f 7fffffffffffffff 6162"_hex}) {
        const std::string bytes = frames + behind;
        const std::string whole = told(bytes);
        std::vector<std::size_t> every;
        for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
            every.push_back(cut);
            REQUIRE(told(bytes, {cut}) == whole);
        }
        REQUIRE(told(bytes, every) == whole);
    }
}

TEST_CASE("explain: what breaks the rules is marked, and nothing is told beyond it", "[unit][websocket][explain]") {
    for (const std::string& wrong :
         {"83 00"_hex, "8b 00"_hex, "09 00"_hex, "a1 00"_hex, "91 00"_hex, "82 7e 0001"_hex,
          "82 7f 000000000000ffff"_hex, "82 7f 8000000000000000"_hex, "89 7e 007e"_hex + std::string(126, 'p')}) {
        INFO(wire::to_hex(wrong));
        CHECK_THAT(told(wrong), ContainsSubstring("!!"));
    }
    CHECK(told("82 7e 0001 81 05 48656c6c6f"_hex).find("Hello") == std::string::npos);
    CHECK_THAT(told("82 05 61"_hex), ContainsSubstring("end: them: 4 bytes of the payload are missing"));
    CHECK_THAT(told("82 7e 01"_hex), ContainsSubstring("end: them: the header is not whole: 82 7e 01"));
    CHECK(told("81 00"_hex).substr(told("81 00"_hex).size() - 5) == "end: ");
}

TEST_CASE("explain: no byte of a peer reaches the terminal as it is", "[unit][websocket][explain]") {
    std::string nasty;
    for (int byte = 0; byte < 32; ++byte)
        nasty += static_cast<char>(byte);
    nasty += "\x7f\xc2\x9b\xff\x1b[31m";
    for (const std::string& frame :
         {wire::frame(0x81, nasty), wire::frame(0x88, wire::close_body(1000, nasty)), wire::frame(0x89, nasty)}) {
        for (const char c : told(frame))
            REQUIRE((c == '\n' || (c >= 0x20 && c < 0x7F)));
    }
}

TEST_CASE("explain: of a long payload little is kept", "[unit][websocket][explain]") {
    FrameTeller teller("them");
    std::size_t length = teller.take("82 7f 7fffffffffffffff"_hex).size();
    for (int i = 0; i < 1000; ++i)
        length += teller.take(std::string(100'000, 'x')).size();
    CHECK(length == 0);
    CHECK(teller.end() == "them: 9223372036754775807 bytes of the payload are missing");
    CHECK(told(wire::frame(0x82, std::string(10'000, 'x'))).size() < 2000);
}
