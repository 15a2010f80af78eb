#pragma once
// A peer's bytes in a table on a terminal.

#include "common/errors.hpp"

#include <algorithm>
#include <string>
#include <string_view>

/// How many columns a text takes: two for each character of Korean, Chinese and Japanese, and for emoji.
inline std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool wide =
            (byte >= 0xE3 && byte <= 0xED) || byte == 0xF0;  // the first of a character's bytes (RFC 3629)
        if ((byte & 0xC0U) != 0x80U) columns += wide ? 2 : 1;
    }
    return columns;
}

/// Escaped, and cut so that it takes no more than these columns, with "..." for the rest.
inline std::string shortened(std::string_view bytes, std::size_t columns) {
    for (std::size_t count = std::min(bytes.size(), columns);; --count) {
        const bool whole = count == bytes.size();
        if (!whole && (static_cast<unsigned char>(bytes[count]) & 0xC0U) == 0x80U && count > 0) continue;
        const std::string text = escaped(bytes.substr(0, count)) + (whole ? "" : "...");
        if (columns_of(text) <= columns || count == 0) return text;
    }
}

inline std::string padded(std::string text, std::size_t columns) {
    text.append(columns - std::min(columns, columns_of(text)), ' ');
    return text;
}
