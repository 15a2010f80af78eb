// tcp/framing.hpp: messages come out as they went in, however the bytes are cut, and nothing that a peer claims is
// believed beyond the limit.

#include "tcp/framing.hpp"

#include "tcp/columns.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"

#include <string>
#include <vector>

namespace {

using namespace std::string_literals;

/// All messages of a stream that arrives in these pieces, and "!" with the text of the error where there is one.
std::vector<std::string> read_all(Framing framing, size_t limit, const std::vector<std::string>& pieces) {
    MessageReader reader(framing, limit);
    std::vector<std::string> messages;
    try {
        for (const std::string& piece : pieces) {
            reader.add(piece);
            while (const auto message = reader.next())
                messages.push_back(*message);
        }
        if (const auto message = reader.last()) messages.push_back(*message);
    } catch (const FramingError& error) {
        messages.push_back("!"s + error.what());
    }
    return messages;
}

/// The same in one piece, cut into two anywhere, and byte by byte; throws if these differ.
std::vector<std::string> read_cut(Framing framing, size_t limit, const std::string& bytes) {
    std::vector<std::string> whole = read_all(framing, limit, {bytes});
    std::vector<std::string> single;
    for (const char byte : bytes)
        single.push_back({byte});
    if (read_all(framing, limit, single) != whole) throw std::runtime_error("byte by byte it is not the same");
    for (size_t cut = 1; cut < bytes.size(); ++cut) {
        if (read_all(framing, limit, {bytes.substr(0, cut), bytes.substr(cut)}) != whole)
            throw std::runtime_error("cut at " + std::to_string(cut) + " it is not the same");
    }
    return whole;
}

using Messages = std::vector<std::string>;

}  // namespace

TEST_CASE("framing: lines", "[unit][framing][tcp]") {
    const auto read = [](const std::string& bytes) { return read_cut(Framing::line, 8, bytes); };
    CHECK(read("").empty());
    CHECK(read("one\n") == Messages{"one"});
    CHECK(read("one\ntwo\r\n\n\r\n안녕\nlast") == Messages{"one", "two", "", "", "안녕", "last"});
    CHECK(read("a\rb\r\r\n") == Messages{"a\rb\r"});
    CHECK(read("12345678\n12345678\r\n12345678") == Messages{"12345678", "12345678", "12345678"});
    CHECK_THAT(read("x\n123456789\n").at(1), StartsWith("!a line of more than 8 bytes"));
    CHECK_THAT(read("12345678901234567890").at(0), StartsWith("!a line of more than 8 bytes"));
    CHECK_THAT(read("x\nab\0c\n"s).at(1), ContainsSubstring("--framing length at the other end?"));
    CHECK_THAT(read("\0\0\0\5hello"s).at(0), ContainsSubstring("--framing length at the other end?"));
    CHECK(read("x\nab\0c\n"s).at(0) == "x");
}

TEST_CASE("framing: lengths", "[unit][framing][tcp]") {
    const auto read = [](const std::string& bytes) { return read_cut(Framing::length, 8, bytes); };
    CHECK(read("").empty());
    CHECK(read("\0\0\0\3one\0\0\0\0\0\0\0\5\n\0\xff\r\n"s) == Messages{"one", "", "\n\0\xff\r\n"s});
    CHECK(read("\0\0\0\x08"
               "12345678"s) == Messages{"12345678"});
    CHECK_THAT(read("\0\0\0\x09"
                    "123456789"s)
                   .at(0),
               StartsWith("!a message of 9 bytes is announced, and --limit is 8"));
    CHECK_THAT(read("\0\0\0\1a\xff\xff\xff\xff"s).at(1), StartsWith("!a message of 4294967295 bytes is announced"));
    CHECK(read("\0\0\0\1a\xff\xff\xff\xff"s).at(0) == "a");
    CHECK(read("\xff\xff\xff\xff"s).at(0).find("--framing") == std::string::npos);
    CHECK_THAT(read("안녕"s).at(0), ContainsSubstring("--framing line at the other end?"));
    CHECK_THAT(read("GET / HTTP/1.1\r\n").at(0), ContainsSubstring("the text \"GET \": --framing line at the other"));
    CHECK_THAT(read("\0\0"s).at(0), StartsWith("!the stream ends within a message: there are 2 bytes of a length"));
    CHECK_THAT(read("\0\0\0\3ab"s).at(0), ContainsSubstring("there are 6 bytes of a message of 7"));
    CHECK(read("\0\0\0\3ab"s).at(0).find("--framing") == std::string::npos);
    CHECK_THAT(read("hi\n").at(0), ContainsSubstring("--framing line at the other end?"));
}

TEST_CASE("framing: there and back", "[unit][framing][tcp]") {
    for (const std::string& message : {""s, "x"s, "한글 and more"s, std::string(100, 'y')}) {
        for (const Framing framing : {Framing::line, Framing::length})
            CHECK(read_cut(framing, 100, framed(framing, message, 100)) == Messages{message});
    }
    const std::string binary = random_bytes(1000);
    CHECK((read_cut(Framing::length, 1000, framed(Framing::length, binary, 1000)) == Messages{binary}));
    CHECK_THROWS_AS(framed(Framing::line, "a\nb", 100), FramingError);
    CHECK_THROWS_AS(framed(Framing::line, "a\0b"s, 100), FramingError);
    CHECK_THROWS_AS(framed(Framing::line, "123456789", 8), FramingError);
    CHECK_THROWS_AS(framed(Framing::length, "123456789", 8), FramingError);
    CHECK_THROWS_AS(parse_framing("words"), UsageError);
}

TEST_CASE("columns: what is shown of a peer's bytes keeps its place", "[unit][columns][tcp]") {
    CHECK(columns_of("abc") == 3);
    CHECK(columns_of("한글 é") == 6);
    CHECK(shortened("a\n\x1b", 10) == "a\\n\\x1b");
    CHECK(shortened("abcdefghij", 10) == "abcdefghij");
    CHECK(shortened("abcdefghijk", 10) == "abcdefg...");
    CHECK(shortened("안녕하세요 여러분", 10) == "안녕하...");
    CHECK(shortened("\0\0\0\0\0"s, 10) == "\\x00...");
    CHECK(shortened("", 10).empty());
    CHECK(shortened(std::string(100'000, '\xea'), 10).size() <= 10);
    CHECK(padded("한글", 6) == "한글  ");
    CHECK(padded("too long", 3) == "too long");
}
