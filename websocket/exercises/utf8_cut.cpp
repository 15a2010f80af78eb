// Exercise utf8_cut: text that comes in pieces. Complete take_piece().
//
//     scripts/exercise utf8_cut        grades it, and says what goes wrong
//     scripts/exercise hint utf8_cut   says a little more, three times
//
// A text message must be UTF-8, and whoever sends something else is told so at once (RFC 6455, section 8.1), not when a
// message of megabytes is whole. But a piece may end in the middle of a character: its bytes then wait in `begun`.
//
//     00-7F                       one byte                          overlong: a longer form than is needed, C0 80
//     C2-DF  80-BF                                                  surrogates: D800 to DFFF, ED A0 80
//     E0-EF  80-BF  80-BF         but some second bytes aren't      above U+10FFFF: F4 90 80 80
//     F0-F4  80-BF  80-BF  80-BF  allowed: which? (RFC 3629, 4)

#include "websocket/exercises/codec.hpp"

namespace {

/// How many bytes a character has that begins with this one; 0 if none does.
size_t size_of_character(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xC0 && first <= 0xDF) return 2;
    if (first >= 0xE0 && first <= 0xEF) return 3;
    return first >= 0xF0 && first <= 0xF7 ? 4 : 0;
}

}  // namespace

bool take_piece(std::string& /*begun*/, std::string_view piece) {
    // TO DO: this wants each piece to be whole characters, and allows more than RFC 3629 does.
    while (!piece.empty()) {
        const size_t size = size_of_character(static_cast<unsigned char>(piece[0]));
        if (size == 0 || size > piece.size()) return false;
        for (const char c : piece.substr(1, size - 1))
            if ((static_cast<unsigned char>(c) & 0xC0U) != 0x80) return false;
        piece.remove_prefix(size);
    }
    return true;
}
