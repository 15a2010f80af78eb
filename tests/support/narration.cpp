#include "tests/support/narration.hpp"

#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <map>
#include <regex>
#include <stdexcept>

narrator::Settings trace_settings(bool trace, std::vector<narrator::Fault> faults) {
    narrator::Settings settings;
    settings.trace = trace;
    settings.faults = std::move(faults);
    return settings;
}

std::vector<std::string> narrated(const std::function<void()>& body, const narrator::Settings& settings) {
    Process child([&] {
        narrator::start(settings);
        body();
    });
    child.expect_exit(0);
    std::vector<std::string> lines = lines_of(child.err());
    static const std::regex place_or_indent("^((?:\\[[^\\]]*\\] )*)(?:\\S+\\.cpp:\\d+  |    )");
    for (std::string& line : lines)
        line = std::regex_replace(line, place_or_indent, "$1");
    return lines;
}

std::vector<std::string> told_after(const std::vector<std::string>& lines, const std::string& call) {
    std::vector<std::string> told;
    bool found = false;
    for (const std::string& line : lines) {
        const bool is_told = line.rfind("= ", 0) == 0 || line.rfind("fd ", 0) == 0 || line.rfind("(closed)", 0) == 0;
        if (found && (!is_told || line.find("(meanwhile)") != std::string::npos)) break;
        if (found) told.push_back(line);
        found = found || line == call;
    }
    if (!found) {
        std::string all;
        for (const std::string& line : lines)
            all += "\n  " + line;
        throw std::runtime_error("the call " + call + " was not told of in:" + all);
    }
    return told;
}

std::vector<std::string> with_lettered_ports(std::vector<std::string> lines) {
    std::map<std::string, char> letters;
    static const std::regex port("[\\d\\]]:(\\d{2,5})\\b");
    for (std::string& line : lines) {
        std::smatch match;
        for (size_t from = 0; std::regex_search(line.cbegin() + static_cast<long>(from), line.cend(), match, port);) {
            const auto letter = static_cast<char>('A' + static_cast<char>(letters.size()));
            const auto [entry, is_new] = letters.try_emplace(match[1].str(), letter);
            const size_t at = from + static_cast<size_t>(match.position(1));
            line.replace(at, static_cast<size_t>(match.length(1)), 1, entry->second);
            from = at + 1;
        }
    }
    return lines;
}
