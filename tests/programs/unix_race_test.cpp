// race: what it prints can be read by people, by programs and by browsers.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <regex>

namespace {

const std::vector<std::string> keys{"tcp",  "udp",       "unix-stream", "unix-datagram", "unix-seqpacket",
                                    "pipe", "socketpair"};

Process::Command race(const Process::Command& arguments) {
    Process::Command command{program("unix/race"), "--rounds", "20"};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

/// How many columns a line takes on a terminal, where each of its characters takes one.
size_t columns(const std::string& line) {
    return static_cast<size_t>(std::count_if(line.begin(), line.end(), [](char byte) {
        return (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;  // not a byte that continues a character
    }));
}

bool is_ascii(const std::string& text) {
    return std::all_of(text.begin(), text.end(), [](char byte) { return static_cast<unsigned char>(byte) < 0x80; });
}

std::string refusal(const Process::Command& arguments, int status = 2) {
    Process process(race(arguments));
    process.expect_exit(status);
    CHECK(process.out().empty());
    CHECK(lines_of(process.err()).size() == 1);
    return process.err();
}

}  // namespace

TEST_CASE("race: a table and bars of 80 columns, in the characters of the locale", "[programs][unix]") {
    const bool utf8 = GENERATE(true, false);
    const TempDir directory;
    Process process(race({"--sizes", "1,4096,70000"}),
                    {.environment = {utf8 ? "LC_ALL=C.UTF-8" : "LC_ALL=C", "XDG_RUNTIME_DIR=" + directory.path()}});
    process.expect_exit(0);
    CHECK(process.err().empty());
    const std::string& text = process.out();
    for (const std::string& line : lines_of(text)) {
        INFO(line);
        CHECK(columns(line) <= 80);
    }
    CHECK(is_ascii(text) != utf8);
    CHECK_THAT(text, ContainsSubstring(utf8 ? "█" : "####"));
    for (const char* who : {"TCP loopback", "UDP loopback", "Unix stream", "Unix datagram", "pipe", "socketpair"}) {
        INFO(who);
        CHECK(count_of(text, std::string("\n") + who) == 9);  // 3 sizes, in the table and twice as bars
    }
    CHECK_THAT(text, ContainsSubstring("UDP loopback      too large for one message (EMSGSIZE)"));
    // Its sockets' names are gone.
    CHECK(files_in(directory / "two-terminals", "").empty());
}

TEST_CASE("race: JSON", "[programs][unix]") {
    const std::string text = run(race({"--sizes", "64,70000", "--json"}));
    for (const std::string& key : keys) {
        INFO(key);
        const std::vector<std::string> lines = lines_with(text, "\"contestant\": \"" + key + "\"");
        REQUIRE(lines.size() == 2);
#ifdef __linux__
        const std::regex line("    \\{\"contestant\": \"" + key +
                              "\", \"size\": 64, \"rounds\": 20, \"p50_us\": ([\\d.]+), \"p90_us\": ([\\d.]+), "
                              "\"p99_us\": ([\\d.]+), \"most_us\": ([\\d.]+), \"bytes_per_second\": (\\d+), "
                              "\"messages_per_second\": (\\d+), \"lost\": 0\\.0000\\},?");
        std::smatch match;
        REQUIRE(std::regex_match(lines[0], match, line));
        const auto value = [&](size_t i) { return std::stod(match[i].str()); };
        CHECK(value(1) > 0.1);
        CHECK(value(1) <= value(2));
        CHECK(value(2) <= value(3));
        CHECK(value(3) <= value(4));
        CHECK(std::abs(value(5) / value(6) - 64) < 1);  // the same messages, in bytes
        const bool too_large = lines[1].find("\"error\": \"EMSGSIZE\"") != std::string::npos;
        CHECK(too_large == (key == "udp"));
#endif
    }
    if (!has_tool("python3")) return;
    run({"python3", "-m", "json.tool"}, text);
}

TEST_CASE("race: a chart", "[programs][unix]") {
    const TempDir directory;
    run(race({"--sizes", "64,70000", "--svg", directory / "race.svg"}));
    const std::string svg = read_file(directory / "race.svg");
    CHECK_THAT(svg, StartsWith("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 "));
    CHECK(svg.rfind("</svg>\n") == svg.size() - 7);
    CHECK_THAT(svg, ContainsSubstring(">Unix seqpacket</text>") && ContainsSubstring(">too large</text>") &&
                        ContainsSubstring(">70,000 bytes</text>"));
    CHECK(count_of(svg, "<rect ") >= 1 + 2 * (7 + 5));
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    if (!has_tool("xmllint")) return;
    run({"xmllint", "--noout", directory / "race.svg"});
}

TEST_CASE("race: some contestants, and an end after the time that it was given", "[programs][unix]") {
    const auto begin = std::chrono::steady_clock::now();
    const std::string text =
        run({program("unix/race"), "--contestants", "pipe,tcp", "--sizes", "1", "--milliseconds", "20"});
    CHECK(std::chrono::steady_clock::now() - begin < Milliseconds(is_sanitized() ? 20'000 : 5'000));
    CHECK_THAT(text, ContainsSubstring("TCP loopback") && ContainsSubstring("pipe") && !ContainsSubstring("UDP"));
    CHECK(text.find("TCP") < text.find("pipe"));
}

TEST_CASE("race: what it can't measure", "[programs][unix]") {
    CHECK_THAT(refusal({"--sizes", "0"}), ContainsSubstring("--sizes 0: expected a number from 1"));
    CHECK_THAT(refusal({"--sizes", "64,,1"}), ContainsSubstring("--sizes : expected a number"));
    CHECK_THAT(refusal({"--sizes", ""}), ContainsSubstring("--sizes : expected 1 to 6 numbers"));
    CHECK_THAT(refusal({"--sizes", "1,2,3,4,5,6,7"}), ContainsSubstring("expected 1 to 6 numbers"));
    CHECK_THAT(refusal({"--contestants", "tcp,un"}), ContainsSubstring("--contestants un: expected some of tcp, udp,"));
    CHECK_THAT(refusal({"--contestants", ""}), ContainsSubstring("expected some of tcp, udp,"));
    CHECK_THAT(refusal({"--contestants", "x\x1b[2J"}), !ContainsSubstring("\x1b"));
    CHECK_THAT(refusal({"--contestants", "pipe", "--sizes", "1", "--svg", "/no/such/directory/x.svg"}, 1),
               ContainsSubstring("(ENOENT)"));
}
