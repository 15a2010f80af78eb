#pragma once
// UTF-8 (RFC 3629), checked as it arrives: text messages must be UTF-8 (RFC 6455, section 8.1).

#include <cstdint>
#include <string_view>

namespace websocket {

/// Checks a text that comes in pieces, which may be cut anywhere, also inside a character.
class Utf8 {
public:
    /// Takes the next piece. False as soon as the bytes so far cannot become UTF-8, whatever follows: overlong forms,
    /// surrogates and what lies above U+10FFFF are found at their second byte. After false, only reset() helps.
    bool accept(std::string_view piece);

    /// True if the text so far ends with a whole character.
    bool complete() const { return state_ == whole; }

    void reset() { state_ = whole; }

    static constexpr std::uint8_t whole = 6;

private:
    std::uint8_t state_ = whole;  // see utf8.cpp
};

/// True if a whole text is UTF-8.
bool is_utf8(std::string_view text);

}  // namespace websocket
