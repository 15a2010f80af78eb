// Exercise utf8_cut, solved: text that comes in pieces.
//
// Which bytes may follow is known from the bytes of the character so far, so that each byte is judged when it comes.

#include "websocket/exercises/codec.hpp"

namespace {

unsigned char byte_at(std::string_view bytes, size_t i) { return static_cast<unsigned char>(bytes[i]); }

/// How many bytes a character has that begins with this one; 0 if none does.
size_t size_of_character(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return 2;  // C0 and C1 would only begin overlong forms
    if (first >= 0xE0 && first <= 0xEF) return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/// May this byte follow these, which began a character?
bool may_follow(std::string_view begun, unsigned char next) {
    unsigned char low = 0x80, high = 0xBF;
    if (begun.size() == 1) {
        const unsigned char first = byte_at(begun, 0);
        if (first == 0xE0) low = 0xA0;   // below: overlong
        if (first == 0xED) high = 0x9F;  // above: surrogates
        if (first == 0xF0) low = 0x90;   // below: overlong
        if (first == 0xF4) high = 0x8F;  // above: beyond U+10FFFF
    }
    return next >= low && next <= high;
}

}  // namespace

bool take_piece(std::string& begun, std::string_view piece) {
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        if (begun.empty() ? size_of_character(byte) == 0 : !may_follow(begun, byte)) return false;
        begun += c;
        if (begun.size() == size_of_character(byte_at(begun, 0))) begun.clear();
    }
    return true;
}
