#include "websocket/protocol/text.hpp"

#include <algorithm>

namespace websocket {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_token_character(char c) {
    const char small = lower(c);
    return (small >= 'a' && small <= 'z') || (c >= '0' && c <= '9') ||
           std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos;
}

}  // namespace

std::string lower(std::string_view text) {
    std::string small(text);
    for (char& c : small)
        c = lower(c);
    return small;
}

bool equal_ignoring_case(std::string_view a, std::string_view b) { return lower(a) == lower(b); }

std::string_view trim(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

bool is_token(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), is_token_character);
}

std::string_view take_until(std::string_view& text, std::string_view delimiters) {
    const std::size_t end = std::min(text.find_first_of(delimiters), text.size());
    const std::string_view taken = text.substr(0, end);
    text.remove_prefix(end);
    return taken;
}

std::optional<std::string> take_token_or_quoted(std::string_view& text) {
    text = trim(text);
    std::string value;
    if (text.empty()) return {};
    if (text.front() != '"') {
        while (!text.empty() && is_token_character(text.front())) {
            value += text.front();
            text.remove_prefix(1);
        }
        if (value.empty()) return {};
    } else {
        text.remove_prefix(1);
        for (;; text.remove_prefix(1)) {
            if (text.empty()) return {};  // the closing quote is missing
            if (text.front() == '"') break;
            if (text.front() == '\\') {
                text.remove_prefix(1);
                if (text.empty()) return {};
            }
            value += text.front();
        }
        text.remove_prefix(1);
    }
    text = trim(text);
    return value;
}

}  // namespace websocket
