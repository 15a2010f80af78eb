// tcp/states: each state that it claims is what ss(8) says at that moment, too.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <regex>
#include <set>

namespace {

/// How ss calls the states; it does not show CLOSED.
const std::map<std::string, std::string> names_in_ss{
    {"LISTEN", "LISTEN"},         {"SYN_SENT", "SYN-SENT"},     {"SYN_RECEIVED", "SYN-RECV"}, {"ESTABLISHED", "ESTAB"},
    {"FIN_WAIT_1", "FIN-WAIT-1"}, {"FIN_WAIT_2", "FIN-WAIT-2"}, {"CLOSE_WAIT", "CLOSE-WAIT"}, {"CLOSING", "CLOSING"},
    {"LAST_ACK", "LAST-ACK"},     {"TIME_WAIT", "TIME-WAIT"}};

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

std::string port_of(const std::string& hex) { return std::to_string(std::stoi(hex, nullptr, 16)); }

/// What ss says of a pair of ports: the first word of its line, "" without one.
std::string ask_ss(const std::string& state, const std::string& local, const std::string& peer) {
    std::string filter = "sport = " + local;
    if (peer != "0") filter += " and dport = " + peer;
    const std::vector<std::string> all = lines_of(run({"ss", "-tanH", filter}));
    // Of a listener's port only the listener counts: once it is closed, the kernel may give the port to anybody.
    if (state == "LISTEN" || peer == "0")
        return lines_with(fmt::format("{}\n", fmt::join(all, "\n")), "LISTEN").empty() ? "" : "LISTEN";
    return all.empty() ? "" : all[0].substr(0, all[0].find(' '));
}

/// The numbers of the arrows that a text has ticked with this sign.
std::set<int> ticked(const std::string& text, const std::string& sign) {
    std::set<int> numbers;
    const std::regex tick("^ +" + sign + " (\\d+) .* -> ");
    for (const std::string& line : lines_of(text)) {
        std::smatch match;
        if (std::regex_search(line, match, tick)) numbers.insert(std::stoi(match[1]));
    }
    return numbers;
}

/// 1 to 20 without the one that no socket call takes.
std::set<int> all_but_time() {
    std::set<int> numbers;
    for (int i = 1; i <= 20; ++i)
        if (i != 6) numbers.insert(i);
    return numbers;
}

const Surroundings ascii{.environment = {"LC_ALL=C"}};
const Surroundings utf8{.environment = {"LC_ALL=C.UTF-8"}};

size_t columns(const std::string& line) {
    return static_cast<size_t>(std::count_if(line.begin(), line.end(),
                                             [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80; }));
}

}  // namespace

TEST_CASE("states: all eleven, each as ss sees it", "[programs][tcp][states]") {
    const std::string host = GENERATE(from_range(hosts()));
    INFO(host);
    if (!has_tool("ss")) return;
    Process states({program("tcp/states"), "--hold", "--host", host}, ascii);
    const std::regex told(R"((?:-> )?(\w+)\s+\d+: ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]+):([0-9A-F]{4}) ([0-9A-F]{2}) )");
    const std::string prompt = "Enter goes on > ";
    std::set<std::string> seen;
    std::string local, peer;
    for (size_t prompts = 1;; ++prompts) {
        wait_until([&] { return count_of(states.out(), prompt) == prompts || !states.is_running(); }, "a state");
        if (count_of(states.out(), prompt) < prompts) break;
        const std::string step = states.expect(Stream::out, prompt);
        INFO(step);
        std::smatch match;
        if (std::regex_search(step, match, told)) {
            local = port_of(match[3]), peer = port_of(match[5]);
            const bool is_first = seen.insert(match[1]).second;  // ss takes its time
            if (is_first) CHECK(ask_ss(match[1], local, peer) == names_in_ss.at(match[1]));
        } else {
            REQUIRE_THAT(step, ContainsSubstring("CLOSED "));
            seen.insert("CLOSED");
            const bool is_forgotten = step.find("the kernel knows it no more") != std::string::npos;
            if (is_forgotten) CHECK(ask_ss("CLOSED", local, peer).empty());
        }
        states.feed("\n");
    }
    states.expect_exit(0);
    CHECK(states.err().empty());
    CHECK(seen.size() == 11);
    CHECK(ticked(states.out(), "\\*") == all_but_time());
    CHECK_THAT(states.out(), ContainsSubstring("11 states and 19 arrows seen\n6  LISTEN -> SYN_SENT: connect() of a "
                                               "listener: EISCONN\n21  TIME_WAIT -> CLOSED: takes a minute"));
}

TEST_CASE("states: the diagram, in both ways of writing", "[programs][tcp][states]") {
    const Process::Command command{program("tcp/states"), "--diagram", "--scene", "goodbye"};
    const std::string boxes = run(command, "", 0, utf8), plain = run(command, "", 0, ascii);
    CHECK_THAT(boxes, ContainsSubstring("│ ✓ FIN_WAIT_1   ├"));
    CHECK_THAT(boxes, ContainsSubstring("┤ · SYN_SENT     │"));
    CHECK_THAT(boxes, ContainsSubstring("✓ 12  shutdown(): FIN goes"));
    CHECK_THAT(plain, ContainsSubstring("| * FIN_WAIT_1   +"));
    CHECK_THAT(plain, ContainsSubstring("+ . SYN_SENT     |"));
    CHECK(std::all_of(plain.begin(), plain.end(), [](char c) { return static_cast<unsigned char>(c) < 0x80; }));
    CHECK(lines_of(boxes).size() == lines_of(plain).size());
    for (size_t i = 0; i < lines_of(boxes).size(); ++i) {
        CHECK(columns(lines_of(boxes)[i]) <= 100);
        CHECK(columns(lines_of(boxes)[i]) == lines_of(plain)[i].size());
    }
    CHECK_THAT(boxes, ContainsSubstring("\n7 states and 6 arrows seen\n"));
    CHECK(boxes.find("\x1b[") == std::string::npos);

    Process coloured(command, {.environment = {"LC_ALL=C.UTF-8"}, .terminal = Terminal::all});
    coloured.expect_exit(0);
    CHECK_THAT(coloured.all(Stream::terminal), ContainsSubstring("\x1b[32m✓\x1b[0m FIN_WAIT_1"));
    Process without(command, {.environment = {"LC_ALL=C.UTF-8", "NO_COLOR=1"}, .terminal = Terminal::all});
    without.expect_exit(0);
    CHECK(without.all(Stream::terminal).find("\x1b[") == std::string::npos);
}

TEST_CASE("states: scenes by name", "[programs][tcp][states]") {
    const std::vector<std::string> list = lines_of(run({program("tcp/states"), "--list"}));
    REQUIRE(list.size() == 8);
    for (const std::string& line : list) {
        const std::string name = line.substr(0, line.find(' '));
        if (name == "minute" || name == "connect") continue;  // a minute and a second: the first is for who asks for it
        INFO(line);
        const std::string out = run({program("tcp/states"), "--scene", name}, "", 0, ascii);
        std::set<int> promised;
        const std::regex number("\\d+");
        const std::string numbers = line.substr(line.find("arrows"));
        for (std::sregex_iterator i(numbers.begin(), numbers.end(), number), end; i != end; ++i)
            promised.insert(std::stoi(i->str()));
        CHECK(ticked(out, "\\*") == promised);
    }
    Process unknown({program("tcp/states"), "--scene", "go", "--wait"});
    unknown.expect_exit(2);
    CHECK(unknown.err() ==
          "--scene go: expected one of listen, connect, accept, goodbye, both, at-once, crossing, minute\n");
    Process elsewhere({program("tcp/states"), "--host", "203.0.113.7"});  // TEST-NET-3, whose addresses nobody has
    elsewhere.expect_exit(1);
    CHECK_THAT(elsewhere.err(), ContainsSubstring("(EADDRNOTAVAIL)"));
}

TEST_CASE("states: what was not seen is named", "[programs][tcp][states]") {
    Process states({program("tcp/states"), "--diagram", "--scene", "goodbye", "--fault", "send:EAGAIN:1"}, ascii);
    states.expect_exit(1);
    CHECK_THAT(states.err(), ContainsSubstring("goodbye: the client's send buffer took too little\n"));
    for (const char* arrow : {"12  ESTABLISHED -> FIN_WAIT_1", "19  CLOSE_WAIT -> LAST_ACK", "20  LAST_ACK -> CLOSED"})
        CHECK_THAT(states.err(), ContainsSubstring(std::string("not seen: ") + arrow + " (scene goodbye)\n"));
    CHECK_THAT(states.out(), ContainsSubstring("| . FIN_WAIT_1   +") && ContainsSubstring("| * ESTABLISHED  |"));
}
