#include "tests/support/text.hpp"

std::vector<std::string> lines_of(std::string_view text) {
    std::vector<std::string> lines;
    while (!text.empty()) {
        const size_t end = text.find('\n');
        lines.emplace_back(text.substr(0, end));
        text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    }
    return lines;
}

std::vector<std::string> lines_with(std::string_view text, std::string_view part) {
    std::vector<std::string> lines = lines_of(text);
    std::erase_if(lines, [&](const std::string& line) { return line.find(part) == std::string::npos; });
    return lines;
}

size_t count_of(std::string_view text, std::string_view part) {
    size_t count = 0;
    for (size_t at = text.find(part); at != std::string_view::npos; at = text.find(part, at + part.size()))
        ++count;
    return count;
}

bool has_hangul(std::string_view text) {
    return text.find_first_of("\xEA\xEB\xEC\xED") != std::string_view::npos;  // U+AC00 is EA B0 80, U+D7A3 ED 9E A3
}
