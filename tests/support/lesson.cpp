#include "tests/support/lesson.hpp"

#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>
#include <regex>

namespace {

std::string trimmed(const std::string& text) {
    const size_t begin = text.find_first_not_of(' ');
    return begin == std::string::npos ? "" : text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

/// Reads "replay NAME client, own network: hello | bye ^D"; nothing if it is no such thing.
std::optional<Block> read_marker(const std::string& line) {
    static const std::regex marker(
        "<!-- replay (\\S+) (server|command|client)"
        "((, own network|, any numbers|, any order|, some lines|, as a diagram|, own name|, as root|, without "
        "sanitizers|"
        ", beside [^,:>]+|, after \\w+|, with [^ ,:]+|, needs [\\w-]+)*)"
        "(: *(.*?))? -->");
    std::smatch match;
    if (!std::regex_match(line, match, marker)) return {};
    if ((match[2] == "client") != match[5].matched) return {};  // a client types, be it nothing; others do not
    Block block;
    block.name = match[1];
    block.kind = match[2] == "server"    ? Block::Kind::server
                 : match[2] == "command" ? Block::Kind::command
                                         : Block::Kind::client;
    const std::string ways = match[3];
    block.own_network = ways.find("own network") != std::string::npos;
    static const std::regex beside(", beside ([^,]+)");
    if (std::smatch server; std::regex_search(ways, server, beside)) block.beside = server[1];
    static const std::regex after(", after (\\w+)");
    if (std::smatch scene; std::regex_search(ways, scene, after)) block.after = scene[1];
    static const std::regex with(", with ([^ ,:]+)");
    if (std::smatch other; std::regex_search(ways, other, with)) block.with = other[1];
    static const std::regex needs(", needs ([\\w-]+)");
    if (std::smatch tool; std::regex_search(ways, tool, needs)) block.needs = tool[1];
    block.some_lines = ways.find("some lines") != std::string::npos;
    block.own_name = ways.find("own name") != std::string::npos;
    block.as_root = ways.find("as root") != std::string::npos;
    block.any_numbers = ways.find("any numbers") != std::string::npos;
    block.any_order = ways.find("any order") != std::string::npos;
    block.as_diagram = ways.find("as a diagram") != std::string::npos;
    block.without_sanitizers = ways.find("without sanitizers") != std::string::npos;
    std::string typed = match[6];
    if (typed.size() >= 2 && typed.substr(typed.size() - 2) == "^D") {
        block.ends_input = true;
        typed.resize(typed.size() - 2);
    }
    for (size_t begin = 0; !trimmed(typed).empty() && begin <= typed.size();) {
        const size_t end = std::min(typed.find(" | ", begin), typed.size());
        block.typed.push_back(trimmed(typed.substr(begin, end - begin)));
        begin = end + 3;
    }
    return block;
}

bool is_between_fins(const std::string& state) {
    static const std::array between{"FIN_WAIT_1", "FIN_WAIT_2", "CLOSING", "LAST_ACK"};
    return std::find(between.begin(), between.end(), state) != between.end();
}

std::string without_what_varies(std::string line, int port) {
    const auto replace = [&](const std::regex& pattern, const char* by) {
        line = std::regex_replace(line, pattern, by);
    };
    if (port != 0) {
        replace(std::regex(fmt::format("([:\\s]){}\\b", port)), "$017000");  // group 01, and 7000
    }
    static const std::regex blocked("  \\(blocked [^)]*\\)"), meanwhile("  \\(meanwhile\\)");
    static const std::regex time(" *\\b\\d+\\.\\d+ (m?s)\\b");
    static const std::regex other_port("([0-9\\]]):(?!7000\\b)\\d{4,5}\\b"), child("\\b(child|pid[ =])\\s*\\d+");
    static const std::regex directory(
        "(/run/user/\\d+/two-terminals|/tmp/two-terminals-\\d+|/tmp/[\\w-]+/two-terminals)(/|$)");
    // A client's own socket has its process number in its name; an abstract one that the kernel picked has five digits.
    static const std::regex own_name("(DIRECTORY/[a-z]+)\\.\\d+"), autobound("@[0-9a-f]{5}\\b");
    replace(blocked, "");
    replace(meanwhile, "");
    replace(time, " TIME $1");
    replace(other_port, "$1:PORT");
    replace(child, "$1 PID");
    replace(directory, "DIRECTORY/");
    static const std::regex http_date("\\bDate: \\w+, \\d+ \\w+ \\d+ [\\d:]+ GMT");
    replace(http_date, "Date: NOW");
    replace(own_name, "$1.PID");
    replace(autobound, "@PICKED");
    return line;
}

/// For blocks that measure: what is measured may differ, and with it how wide the columns are.
std::string without_numbers(const std::string& line) {
    static const std::regex identifier("\\b([0-9a-f]{16}|[0-9A-F]{8}:[0-9A-F]{4,8})\\b");
    static const std::regex number("\\b(TIME|\\d[\\d,]*(\\.\\d+)?)( ?(ns|us|ms|s|sec|min)\\b)?"), blanks(" {2,}");
    static const std::regex memory("\\b([a-z]{1,2})\\d+(?=[,)])");  // as ss -m shows it: skmem:(r212992,rb212992, ...)
    // Of a debugger, of a random mask, of ls, and of progress that is shown while it is made.
    static const std::regex address("\\b0x[0-9a-f]+"), bytes("\\b([0-9a-f]{2} ){2,}[0-9a-f]{2}\\b");
    static const std::regex key("(-Key: )[\\w+/]{22}=="),
        binary("\"(?:[^\"\\\\]|\\\\.)*?\\\\[0-7](?:[^\"\\\\]|\\\\.)*\"");
    static const std::regex month("\\b(Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\\b"), unit("\\b[KMG]iB\\b");
    std::string known = std::regex_replace(std::regex_replace(line, identifier, "ID"), memory, "$1N");
    known = std::regex_replace(std::regex_replace(known, address, "ID"), bytes, "BYTES");
    known = std::regex_replace(std::regex_replace(known, key, "$1KEY"), binary, "BINARY");
    known = std::regex_replace(std::regex_replace(known, month, "MONTH"), unit, "B");
    static const std::regex temporary("(/tmp/\\w+)\\.\\w{6}\\b");  // as mkstemp(3) calls it
    known = std::regex_replace(known, temporary, "$1.NAME");
    static const std::regex progress("\\[#*\\.*\\]"), waits("│");
    known = std::regex_replace(std::regex_replace(known, progress, "[BAR]"), waits, "┃");  // scripts/wire's
    std::replace(known.begin(), known.end(), '\t', ' ');
    return trimmed(std::regex_replace(std::regex_replace(known, number, "N"), blanks, " "));
}

/// Takes a line "    fd 3  ..." into the states of its descriptor, without the counts of bytes and of a queue.
void take_state(std::map<std::string, std::vector<std::string>>& states, const std::string& line,
                const std::string& whose = "") {
    static const std::regex counts("  (unread|unacknowledged|queue) .*$"), told("\\s+(fd \\d+)  (.*?)");
    static const std::regex change("(?:.*?) -> (.*)"), connection("(.*), the connection: (\\w+)");
    std::smatch match;
    if (!std::regex_match(line, match, told)) return;
    std::vector<std::string>& own = states[whose + match[1].str()];
    std::string state = std::regex_replace(match[2].str(), counts, "");
    // "A <-> B" has an arrow of its own: only the first words are the change of state.
    const std::string words = state.substr(0, state.find("  "));
    if (std::regex_match(words, match, change)) state = match[1].str() + state.substr(words.size());
    const auto add = [&](const std::string& next) {
        if (is_between_fins(next.substr(0, next.find_first_of(" ,")))) return;
        // "new TCP socket: CLOSED", and then CLOSED, is no change.
        const bool is_same =
            !own.empty() && (own.back() == next || (own.back().rfind("new ", 0) == 0 &&
                                                    own.back().substr(own.back().find(": ") + 2) == next));
        if (!is_same) own.push_back(next);
    };
    if (std::regex_match(state, match, connection)) {
        const std::string after = match[2];
        add(match[1]);
        if (!is_between_fins(after)) own.back() += ", the connection: " + after;
    } else {
        add(state);
    }
}

/// Takes what a line of scripts/wire has in the column of a side, "  accept = 4" for instance: into the states of that
/// side's descriptors, or its calls. open: those that have not come back.
void take_cell(Transcript& transcript, const std::string& side, const std::string& text,
               std::vector<std::string>& calls, std::vector<std::string>& open) {
    static const std::regex state("(fd \\d+|\\(closed\\)) (.*)"), change("(.*)(?:→|->)(.*)"), fresh("new: (.*)");
    static const std::regex call("((?:child|thread) \\d+: *)?([a-z_0-9]+)\\((?:.*\\)|.*\\.\\.)(?: (= .*))?");
    static const std::regex result("((?:child|thread) \\d+: *)?([a-z_0-9]+) (= .*)");
    const auto name_in = [](const std::smatch& match) {
        return match[1].matched ? trimmed(match[1]) + " " + match[2].str() : match[2].str();
    };
    std::smatch match;
    if (std::regex_match(text, match, state)) {
        std::string told = std::regex_replace(match[2].str(), change, "$1 -> $2");
        told = std::regex_replace(told, fresh, "new socket: $1");
        take_state(transcript.states, fmt::format("  {}  {}", match[1].str(), told), side + "'s ");
    } else if (std::regex_match(text, match, call)) {
        const std::string name = name_in(match);
        if (match[3].matched) calls.push_back(name + " " + match[3].str());
        if (!match[3].matched) open.push_back(name);
    } else if (std::regex_match(text, match, result)) {
        const std::string name = name_in(match);
        const auto begun = std::find(open.begin(), open.end(), name);
        if (begun != open.end()) open.erase(begun);
        calls.push_back(name + " " + match[3].str());
    } else if (!text.empty()) {
        calls.push_back(text);
    }
}

/// What travels, in the middle of a line of scripts/wire: "client> SYN seq 0". Nothing of what depends on when the
/// kernel has time for it, or on its settings.
std::string arrow_of(const std::string& middle) {
    static const std::regex lines("(─|│|┃)"), window(" win \\d+");
    const auto has = [&](const char* head) { return middle.find(head) != std::string::npos; };
    const bool is_arrow = has("─");
    std::string text = trimmed(std::regex_replace(std::regex_replace(middle, lines, ""), window, ""));
    if (!is_arrow) return text;
    const bool to_server = text.rfind('<', 0) == 0 || text.rfind("×", 0) == 0;
    for (const std::string head : {"<", ">", "×"})
        for (size_t at; (at = text.find(head)) != std::string::npos;)
            text.erase(at, head.size());
    text = trimmed(text);
    if (text.rfind("ACK ", 0) == 0 && text.find(" len ") == std::string::npos) return "";
    return (to_server ? "client> " : "server> ") + text;
}

/// A diagram of scripts/wire, apart: each side's calls in their order, and what travelled.
Transcript normalized_diagram(const std::vector<std::string>& lines) {
    Transcript transcript;
    std::vector<std::string> calls[2], open[2], arrows;
    constexpr size_t time = 7;
    constexpr const char* sides[] = {"server", "client"};
    static const std::regex bars("(.*?)(?:┃|│)(.*)(?:┃|│)(.*)");
    for (const std::string& line : lines) {
        std::smatch match;
        if (!std::regex_match(line, match, bars)) {
            transcript.lines.push_back(trimmed(line));
            continue;
        }
        const std::string left = match[1];
        const std::string cells[] = {trimmed(left.substr(std::min(time, left.size()))), trimmed(match[3])};
        for (const size_t side : {0U, 1U})
            take_cell(transcript, sides[side], cells[side], calls[side], open[side]);
        if (const std::string arrow = arrow_of(match[2]); !arrow.empty()) arrows.push_back(arrow);
    }
    for (const size_t side : {0U, 1U}) {
        for (const std::string& call : open[side])
            calls[side].push_back(call + "(");
        for (const std::string& call : calls[side])
            transcript.lines.push_back(fmt::format("{}: {}", sides[side], call));
    }
    transcript.lines.insert(transcript.lines.end(), arrows.begin(), arrows.end());
    return transcript;
}

/// The lines of both in order, those that only one has with its sign: a longest common subsequence.
std::string diff(const std::vector<std::string>& a, const std::vector<std::string>& b) {
    std::vector<std::vector<size_t>> common(a.size() + 1, std::vector<size_t>(b.size() + 1));
    for (size_t i = a.size(); i-- > 0;) {
        for (size_t j = b.size(); j-- > 0;) {
            common[i][j] = a[i] == b[j] ? common[i + 1][j + 1] + 1 : std::max(common[i + 1][j], common[i][j + 1]);
        }
    }
    std::string text;
    for (size_t i = 0, j = 0; i < a.size() || j < b.size();) {
        if (i < a.size() && j < b.size() && a[i] == b[j]) {
            text += "    " + a[i] + "\n";
            ++i, ++j;
        } else if (j == b.size() || (i < a.size() && common[i + 1][j] >= common[i][j + 1])) {
            text += "  - " + a[i++] + "\n";
        } else {
            text += "  + " + b[j++] + "\n";
        }
    }
    return text;
}

/// A transcript without the lines that only say that there are more.
Transcript without_dots(Transcript transcript) {
    std::erase(transcript.lines, "...");
    return transcript;
}

bool has_states_in_order(const Transcript& lesson, const Transcript& now) {
    return std::all_of(lesson.states.begin(), lesson.states.end(), [&](const auto& one) {
        const auto found = now.states.find(one.first);
        return found != now.states.end() && has_in_order(found->second, one.second, one.second.size());
    });
}

}  // namespace

std::vector<std::pair<std::string, std::string>> typed_at_prompts(const Block& block) {
    std::vector<std::pair<std::string, std::string>> all;
    for (const std::string& line : block.shown) {
        for (const std::string prompt : {"(gdb) ", ">>> ", "# "})
            if (line.rfind(prompt, 0) == 0) all.emplace_back(prompt, line.substr(prompt.size()));
    }
    return all;
}

bool has_in_order(const std::vector<std::string>& lines, const std::vector<std::string>& wanted, size_t count) {
    static const std::string dots = "...";
    auto from = lines.begin();
    for (size_t i = 0; i < count; ++i) {
        const bool is_cut = wanted[i].size() > dots.size() && wanted[i].substr(wanted[i].size() - dots.size()) == dots;
        const std::string begin = is_cut ? wanted[i].substr(0, wanted[i].size() - dots.size()) : wanted[i];
        from = std::find_if(from, lines.end(), [&](const std::string& line) {
            return is_cut ? line.compare(0, begin.size(), begin) == 0 : line == begin;
        });
        if (from == lines.end()) return false;
        ++from;
    }
    return true;
}

Lesson read_lesson(const std::string& file, std::string_view markdown) {
    Lesson lesson;
    const std::vector<std::string> lines = lines_of(markdown);
    for (size_t i = 0; i < lines.size(); ++i) {
        if (lines[i].rfind("```", 0) != 0) continue;
        const std::string before = i > 0 ? lines[i - 1] : "";
        std::vector<std::string> content;
        const size_t fence = i;
        for (++i; i < lines.size() && lines[i].rfind("```", 0) != 0; ++i)
            content.push_back(lines[i]);

        static const std::regex not_replayed("<!-- not replayed: \\S.* -->");
        if (std::regex_match(before, not_replayed)) continue;
        const auto runs_program = [](const std::string& line) { return line.rfind("$ build/", 0) == 0; };
        std::optional<Block> block = read_marker(before);
        if (!block) {
            if (std::any_of(content.begin(), content.end(), runs_program)) {
                lesson.complaints.push_back(
                    fmt::format("{}:{}: unmarked transcript: a comment <!-- replay NAME ... --> or <!-- not replayed: "
                                "REASON --> belongs directly before it (tests/support/lesson.hpp)",
                                file, fence + 1));
            }
            continue;
        }
        block->place = fmt::format("{}:{}", file, fence);
        if (content.empty() || content[0].rfind("$ ", 0) != 0) {
            lesson.complaints.push_back(
                fmt::format("{}: its block does not begin with \"$ \" and a command", block->place));
            continue;
        }
        block->command = content[0].substr(2);
        auto rest = content.begin() + 1;
        for (; rest != content.end() && rest->rfind(">     ", 0) == 0; ++rest)
            block->command += "\n" + rest->substr(2);
        block->shown.assign(rest, content.end());
        lesson.blocks.push_back(*block);
    }
    return lesson;
}

Transcript normalized(const std::vector<std::string>& lines, int port, bool any_numbers, bool any_order,
                      bool as_diagram) {
    if (as_diagram) return normalized_diagram(lines);
    Transcript transcript;
    static const std::regex bar(".*\\bN #+");
    static const std::regex state("\\s+(fd \\d+  |\\(closed\\)  ).*");
    for (const std::string& line : lines) {
        const std::string plain = without_what_varies(line, port);
        if (std::regex_match(plain, state)) {
            take_state(transcript.states, plain);
        } else {
            const std::string kept = any_numbers ? without_numbers(plain) : plain;
            const bool again = !transcript.lines.empty() && transcript.lines.back() == kept;
            if (any_numbers && (again || std::regex_match(kept, bar))) continue;
            transcript.lines.push_back(kept);
        }
    }
    while (!transcript.lines.empty() && transcript.lines.back().empty())
        transcript.lines.pop_back();
    if (any_order) std::sort(transcript.lines.begin(), transcript.lines.end());
    return transcript;
}

std::string difference(const Transcript& all, const Transcript& now, bool some_lines) {
    const Transcript lesson = some_lines ? without_dots(all) : all;
    if (lesson == now) return "";
    if (some_lines && has_in_order(now.lines, lesson.lines, lesson.lines.size()) && has_states_in_order(lesson, now))
        return "";
    std::string text;
    if (lesson.lines != now.lines) text += diff(lesson.lines, now.lines);
    std::map<std::string, std::vector<std::string>> states = lesson.states;
    states.insert(now.states.begin(), now.states.end());
    for (const auto& [fd, ignored] : states) {
        const auto of = [&, &number = fd](const Transcript& transcript) {
            const auto found = transcript.states.find(number);
            return found == transcript.states.end() ? std::vector<std::string>{} : found->second;
        };
        if (of(lesson) != of(now)) text += "  the states of " + fd + ":\n" + diff(of(lesson), of(now));
    }
    return text;
}
