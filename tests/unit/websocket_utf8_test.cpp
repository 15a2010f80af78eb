// UTF-8, checked as it arrives (RFC 3629; RFC 6455, section 8.1).

#include "websocket/protocol/utf8.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <array>
#include <string>
#include <vector>

using websocket::is_utf8;
using websocket::Utf8;
using namespace wire::literals;

namespace {

constexpr std::size_t never = static_cast<std::size_t>(-1);

/// The offset of the first byte that can't be: the number of bytes after which accept() still says yes.
std::size_t first_impossible(std::string_view text) {
    Utf8 check;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (!check.accept(text.substr(i, 1))) return i;
    }
    return never;
}

/// The same in two pieces, at every cut: whatever of text stands in front of its first impossible byte is accepted, and
/// all that reaches to it is not.
void check_at_every_cut(const std::string& text, std::size_t impossible) {
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        for (std::size_t end = cut; end <= text.size(); ++end) {
            Utf8 check;
            const bool first = check.accept(std::string_view(text).substr(0, cut));
            if (first != (impossible == never || cut <= impossible)) FAIL("cut at " << cut);
            if (!first) break;
            const bool second = check.accept(std::string_view(text).substr(cut, end - cut));
            if (second != (impossible == never || end <= impossible)) FAIL("cut at " << cut << ", end at " << end);
        }
    }
}

struct Edge {
    std::string bytes;
    std::size_t impossible;  ///< never: the bytes are, or could become, UTF-8
    bool complete = true;
};

std::vector<Edge> edges() {
    return {
        // The first and the last of each length.
        {"00"_hex, never},
        {"7f"_hex, never},
        {"c280"_hex, never},
        {"dfbf"_hex, never},
        {"e0a080"_hex, never},
        {"efbfbf"_hex, never},
        {"f0908080"_hex, never},
        {"f48fbfbf"_hex, never},
        // Both sides of the surrogates; noncharacters are characters enough; a byte order mark.
        {"ed9fbf"_hex, never},
        {"ee8080"_hex, never},
        {"efb790"_hex, never},
        {"f09fbfbe"_hex, never},
        {"efbbbf"_hex, never},
        // Overlong: found at the lead where no continuation would do, else at the second byte.
        {"c0af"_hex, 0},
        {"c080"_hex, 0},
        {"c1bf"_hex, 0},
        {"e080af"_hex, 1},
        {"e09fbf"_hex, 1},
        {"f08080af"_hex, 1},
        {"f08fbfbf"_hex, 1},
        {"f8888080af"_hex, 0},
        {"fc8480808080"_hex, 0},
        // Surrogates.
        {"eda080"_hex, 1},
        {"edadbf"_hex, 1},
        {"edbfbf"_hex, 1},
        // Above U+10FFFF.
        {"f4908080"_hex, 1},
        {"f5808080"_hex, 0},
        {"f7bfbfbf"_hex, 0},
        {"fe"_hex, 0},
        {"ff"_hex, 0},
        // Continuations that nothing began, and beginnings that nothing continues.
        {"80"_hex, 0},
        {"bf"_hex, 0},
        {"4180"_hex, 1},
        {"c241"_hex, 1},
        {"c2c2"_hex, 1},
        {"e1a041"_hex, 2},
        {"e1c0"_hex, 1},
        {"f1808041"_hex, 3},
        {"f180c0"_hex, 2},
        {"e0a0c0"_hex, 2},
        {"ed9fe0"_hex, 2},
        {"f09080ff"_hex, 3},
        {"f48f8020"_hex, 3},
        {"c28080"_hex, 2},
        // Cut off.
        {"c2"_hex, never, false},
        {"e0"_hex, never, false},
        {"e0a0"_hex, never, false},
        {"ed"_hex, never, false},
        {"ed9f"_hex, never, false},
        {"f0"_hex, never, false},
        {"f090"_hex, never, false},
        {"f09080"_hex, never, false},
        {"f4"_hex, never, false},
        {"f48f"_hex, never, false},
        {"f48fbf"_hex, never, false},
    };
}

/// What RFC 3629 says in words: shortest form, no surrogates, up to U+10FFFF.
std::string encoded(unsigned code) {
    const auto byte = [](unsigned value) { return static_cast<char>(value); };
    if (code < 0x80) return {byte(code)};
    if (code < 0x800) return {byte(0xC0 | code >> 6U), byte(0x80 | (code & 0x3FU))};
    if (code < 0x10000)
        return {byte(0xE0 | code >> 12U), byte(0x80 | (code >> 6U & 0x3FU)), byte(0x80 | (code & 0x3FU))};
    return {byte(0xF0 | code >> 18U), byte(0x80 | (code >> 12U & 0x3FU)), byte(0x80 | (code >> 6U & 0x3FU)),
            byte(0x80 | (code & 0x3FU))};
}

}  // namespace

TEST_CASE("UTF-8: every edge, alone and within text of any kind, at every cut", "[unit][websocket][utf8]") {
    // What stands before decides which of the fast paths is taken: none, ASCII by the block, three-byte characters.
    const std::vector<std::string> fronts = {"",
                                             "a",
                                             std::string(7, 'a'),
                                             std::string(31, 'a'),
                                             std::string(32, 'a'),
                                             std::string(64, 'a'),
                                             std::string(160, 'a'),
                                             "\xED\x95\x9C\xEA\xB8\x80",
                                             "\xE1\x84\x92\xE1\x85\xA1" + std::string(30, 'a'),
                                             "\xF0\x9F\x98\x80\xC3\xA9"};
    for (const Edge& edge : edges()) {
        INFO(wire::to_hex(edge.bytes));
        for (const std::string& front : fronts) {
            INFO("behind " << wire::to_hex(front));
            const std::string text = front + edge.bytes;
            const std::size_t impossible = edge.impossible == never ? never : front.size() + edge.impossible;
            CHECK(first_impossible(text) == impossible);
            check_at_every_cut(text, impossible);
            CHECK(is_utf8(text) == (impossible == never && edge.complete));
            Utf8 check;
            if (check.accept(text)) CHECK(check.complete() == edge.complete);
            if (!edge.complete) {  // what is begun must be continued
                check_at_every_cut(text + "z", text.size());
                for (const std::size_t blocks :
                     {8U, 16U, 32U, 64U, 128U, 256U}) {  // also where ASCII is passed over by the block
                    const std::string ascii(blocks, 'z');
                    Utf8 at_once;
                    CHECK_FALSE(at_once.accept(text + ascii + "\x80\x80\x80"));
                    Utf8 in_two;
                    CHECK(in_two.accept(text));
                    CHECK_FALSE(in_two.accept(ascii));
                }
                CHECK_FALSE(is_utf8(text + std::string(100, 'z')));
                CHECK_FALSE(is_utf8(text + "\xED\x95\x9C"));
            }
            if (edge.complete) {  // behind it, too, nothing changes
                CHECK(is_utf8(text + std::string(100, 'z')) == (impossible == never));
                CHECK(is_utf8(text + "\xED\x95\x9C") == (impossible == never));
            }
        }
    }
}

TEST_CASE("UTF-8: every edge, anywhere in long text, which is checked in two places at once",
          "[unit][websocket][utf8]") {
    for (const Edge& edge : edges()) {
        INFO(wire::to_hex(edge.bytes));
        for (const std::string unit : {"\xED\x95\x9C", "\xC3\xA9", "\xF0\x9F\x98\x80", "\xED\x95\x9C a\xC3\xA9"}) {
            for (const std::size_t units : {22U, 60U, 130U}) {
                for (std::size_t front = 0; front <= units; ++front) {
                    std::string text;
                    for (std::size_t i = 0; i < units; ++i)
                        text += (i == front ? edge.bytes : "") + unit;
                    if (front == units) text += edge.bytes;
                    Utf8 at_once;
                    const bool accepted = at_once.accept(text);
                    Utf8 byte_by_byte;
                    bool expected = true;
                    for (const char byte : text)
                        expected = expected && byte_by_byte.accept({&byte, 1});
                    if (accepted != expected || (accepted && at_once.complete() != byte_by_byte.complete()))
                        FAIL("behind " << front << " of " << units << " times " << wire::to_hex(unit));
                }
            }
        }
    }
}

TEST_CASE("UTF-8: every code point, and no other", "[unit][websocket][utf8]") {
    std::string all;
    for (unsigned code = 0; code <= 0x10FFFF; ++code) {
        const bool surrogate = code >= 0xD800 && code <= 0xDFFF;
        const std::string bytes = encoded(code);
        if (is_utf8(bytes) == surrogate) FAIL("U+" << std::hex << code);
        if (!surrogate) all += bytes;
    }
    CHECK(is_utf8(all));
    for (unsigned code = 0x110000; code < 0x200000; code += 0x101)
        if (is_utf8(encoded(code))) FAIL("U+" << std::hex << code);
}

TEST_CASE("UTF-8: of all strings of three bytes, those that RFC 3629's grammar derives", "[unit][websocket][utf8]") {
    // UTF8-octets of section 4: which second byte after which first; all further ones are 80 to BF.
    struct Row {
        unsigned first, last, low, high;
        std::size_t length;
    };
    constexpr std::array<Row, 9> table = {{{0x00, 0x7F, 0, 0, 1},
                                           {0xC2, 0xDF, 0x80, 0xBF, 2},
                                           {0xE0, 0xE0, 0xA0, 0xBF, 3},
                                           {0xE1, 0xEC, 0x80, 0xBF, 3},
                                           {0xED, 0xED, 0x80, 0x9F, 3},
                                           {0xEE, 0xEF, 0x80, 0xBF, 3},
                                           {0xF0, 0xF0, 0x90, 0xBF, 4},
                                           {0xF1, 0xF3, 0x80, 0xBF, 4},
                                           {0xF4, 0xF4, 0x80, 0x8F, 4}}};
    const auto row_of = [&](unsigned byte) -> const Row* {
        for (const Row& row : table)
            if (byte >= row.first && byte <= row.last) return &row;
        return nullptr;
    };
    // The continuations are taken from where the classes of the table meet.
    const std::array<unsigned, 14> edges = {0x00, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0,
                                            0xBF, 0xC0, 0xC2, 0xE0, 0xED, 0xF4, 0xFF};
    for (unsigned first = 0; first < 256; ++first) {
        for (const unsigned second : edges) {
            for (const unsigned third : edges) {
                const std::array<unsigned, 3> bytes = {first, second, third};
                std::size_t impossible = never;
                for (std::size_t i = 0; i < 3 && impossible == never;) {
                    const Row* row = row_of(bytes[i]);
                    if (row == nullptr) {
                        impossible = i;
                        break;
                    }
                    for (std::size_t j = 1; j < row->length && i + j < 3; ++j) {
                        const unsigned low = j == 1 ? row->low : 0x80;
                        const unsigned high = j == 1 ? row->high : 0xBF;
                        if (bytes[i + j] >= low && bytes[i + j] <= high) continue;
                        impossible = i + j;
                        break;
                    }
                    i += row->length;
                }
                const std::string text = {static_cast<char>(first), static_cast<char>(second),
                                          static_cast<char>(third)};
                if (first_impossible(text) != impossible) FAIL(wire::to_hex(text));
            }
        }
    }
}

TEST_CASE("UTF-8: reset() forgets what was begun", "[unit][websocket][utf8]") {
    Utf8 check;
    CHECK(check.complete());
    CHECK(check.accept("\xE1\x80"));
    CHECK_FALSE(check.complete());
    check.reset();
    CHECK(check.complete());
    CHECK(check.accept("a"));
    CHECK_FALSE(check.accept("\x80"));
    CHECK_FALSE(check.accept("a"));  // once wrong, wrong for ever
    check.reset();
    CHECK(check.accept("a"));
}
