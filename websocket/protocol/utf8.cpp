#include "websocket/protocol/utf8.hpp"

#include <cstddef>
#include <cstring>

namespace websocket {

namespace {

template <typename Word>
Word load(const char* bytes) {
    Word word;
    std::memcpy(&word, bytes, sizeof word);  // the compiler makes one instruction of it
    return word;
}

/// How many of the bytes are ASCII before the first that is not, in steps of 32.
std::size_t skip_ascii(const char* bytes, std::size_t count) {
    constexpr std::uint64_t high_bits = 0x8080808080808080;
    std::size_t done = 0;
    while (count - done >= 32) {
        const char* at = bytes + done;
        const std::uint64_t any = load<std::uint64_t>(at) | load<std::uint64_t>(at + 8) | load<std::uint64_t>(at + 16) |
                                  load<std::uint64_t>(at + 24);
        if ((any & high_bits) != 0) break;
        done += 32;
    }
    return done;
}

constexpr bool continues(std::uint8_t byte) { return (byte & 0xC0U) == 0x80U; }

/// The length of the three-byte characters at the beginning: Korean, Chinese and Japanese text is made of them.
std::size_t skip_three_byte(const char* bytes, std::size_t count) {
    std::size_t done = 0;
    while (count - done >= 3) {
        const auto first = static_cast<std::uint8_t>(bytes[done]);
        const auto second = static_cast<std::uint8_t>(bytes[done + 1]);
        const auto third = static_cast<std::uint8_t>(bytes[done + 2]);
        // E1 to EC, EE and EF may be followed by any two continuation bytes; E0 and ED are left to accept_byte().
        const bool plain = (first & 0xF0U) == 0xE0U && first != 0xE0 && first != 0xED;
        if (!plain || !continues(second) || !continues(third)) break;
        done += 3;
    }
    return done;
}

}  // namespace

bool Utf8::accept_byte(std::uint8_t byte) {
    if (missing_ > 0) {
        if (byte < least_ || byte > most_) return false;
        --missing_;
        least_ = 0x80;
        most_ = 0xBF;
        return true;
    }
    if (byte < 0x80) return true;
    // The table of RFC 3629, section 4: what may come second depends on what comes first.
    if (byte < 0xC2 || byte > 0xF4) return false;
    missing_ = byte < 0xE0 ? 1 : byte < 0xF0 ? 2 : 3;
    least_ = byte == 0xE0 ? 0xA0 : byte == 0xF0 ? 0x90 : 0x80;
    most_ = byte == 0xED ? 0x9F : byte == 0xF4 ? 0x8F : 0xBF;
    return true;
}

bool Utf8::accept(std::string_view piece) {
    const char* at = piece.data();
    const char* end = at + piece.size();
    while (at < end) {
        if (missing_ == 0) {
            const auto byte = static_cast<std::uint8_t>(*at);
            if (byte < 0x80) {
                at += skip_ascii(at, static_cast<std::size_t>(end - at));
            } else if (byte >= 0xE0 && byte < 0xF0) {
                at += skip_three_byte(at, static_cast<std::size_t>(end - at));
            }
            if (at == end) break;
        }
        if (!accept_byte(static_cast<std::uint8_t>(*at))) return false;
        ++at;
    }
    return true;
}

bool is_utf8(std::string_view text) {
    Utf8 check;
    return check.accept(text) && check.complete();
}

}  // namespace websocket
