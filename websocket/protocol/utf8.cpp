#include "websocket/protocol/utf8.hpp"

#include "websocket/protocol/compiled_for.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

namespace websocket {

namespace {

// The state machine of RFC 3629, section 4. A state is what may come next; its number is six times its place, since
// that is where a byte's row, one 64-bit word, holds the number of the state that follows. One step is one shift.
enum State : std::uint8_t {
    wrong = 0,  // and wrong it stays: the lowest six bits of every row are 0
    whole = Utf8::whole,
    one_more = 12,  // any continuation byte, 80 to BF, and the character is whole
    two_more = 18,
    three_more = 24,
    after_e0 = 30,  // A0 to BF: what is less would be overlong
    after_ed = 36,  // 80 to 9F: what is more would be a surrogate
    after_f0 = 42,  // 90 to BF: what is less would be overlong
    after_f4 = 48,  // 80 to 8F: what is more would lie above U+10FFFF
};

constexpr std::uint64_t row(unsigned byte) {
    const auto from = [](State state, State next) { return std::uint64_t{next} << state; };
    if (byte < 0x80) return from(whole, whole);
    if (byte < 0xC0) {
        return from(one_more, whole) | from(two_more, one_more) | from(three_more, two_more) |
               from(after_e0, byte >= 0xA0 ? one_more : wrong) | from(after_ed, byte < 0xA0 ? one_more : wrong) |
               from(after_f0, byte >= 0x90 ? two_more : wrong) | from(after_f4, byte < 0x90 ? two_more : wrong);
    }
    if (byte < 0xC2 || byte > 0xF4) return 0;
    if (byte < 0xE0) return from(whole, one_more);
    if (byte < 0xF0) return from(whole, byte == 0xE0 ? after_e0 : byte == 0xED ? after_ed : two_more);
    return from(whole, byte == 0xF0 ? after_f0 : byte == 0xF4 ? after_f4 : three_more);
}

constexpr std::array<std::uint64_t, 256> rows = [] {
    std::array<std::uint64_t, 256> all{};
    for (unsigned byte = 0; byte < 256; ++byte)
        all[byte] = row(byte);
    return all;
}();

bool is_continuation(char byte) { return (static_cast<std::uint8_t>(byte) & 0xC0U) == 0x80; }

/// With BMI2, a shift by a register is one step of the processor.
COMPILED_FOR("bmi2") std::uint64_t step(std::uint64_t state, const char* bytes, std::size_t count) {
    const auto next = [](std::uint64_t from, char byte) {
        return rows[static_cast<std::uint8_t>(byte)] >> (from & 63U);
    };
    std::size_t i = 0;
    if (count >= 64) {
        // A step has to wait for the one before it. So two are made beside each other: in the second half from where a
        // character begins, which can be seen, and where the first half must have ended one.
        std::size_t half = (count + 1) / 2;  // the second is not the longer one
        for (const std::size_t most = half + 3; half < most && is_continuation(bytes[half]);)
            ++half;
        std::uint64_t second = whole;
        for (; i < count - half; ++i) {
            state = next(state, bytes[i]);
            second = next(second, bytes[half + i]);
        }
        for (; i < half; ++i)
            state = next(state, bytes[i]);
        return (state & 63U) == whole ? second & 63U : std::uint64_t{wrong};
    }
    for (; i < count; ++i)
        state = next(state, bytes[i]);
    return state & 63U;
}

/// Word: a type of some bytes that can be combined by |. memcpy, since they may stand anywhere; the compiler makes one
/// instruction of it.
template <typename Word>
Word word_at(const char* bytes) {
    Word word;
    std::memcpy(&word, bytes, sizeof word);
    return word;
}

constexpr std::uint64_t not_ascii = 0x8080808080808080U;  // the bits that ASCII has not

bool are_8_ascii(const char* bytes) { return (word_at<std::uint64_t>(bytes) & not_ascii) == 0; }

/// count: a multiple of 16, and known when this is compiled.
template <std::size_t count>
bool are_ascii(const char* bytes) {
    using Vector __attribute__((vector_size(16))) = std::uint64_t;
    Vector any{};
#pragma GCC unroll 8
    for (std::size_t i = 0; i < count; i += sizeof any)
        any |= word_at<Vector>(bytes + i);
    return ((any[0] | any[1]) & not_ascii) == 0;
}

}  // namespace

bool Utf8::accept(std::string_view piece) {
    const char* at = piece.data();
    std::size_t left = piece.size();
    std::uint64_t state = state_;
    // ASCII is passed over by the block, and everything else goes through the machine.
    while (left >= 32) {
        for (; state == whole && left >= 128 && are_ascii<128>(at); at += 128, left -= 128) {
        }
        for (; state == whole && left >= 32 && are_ascii<32>(at); at += 32, left -= 32) {
        }
        if (left < 32) break;
        const std::size_t run = std::min<std::size_t>(left, 256);
        state = step(state, at, run);
        at += run;
        left -= run;
    }
    for (; left >= 8; at += 8, left -= 8) {
        if (state != whole || !are_8_ascii(at)) state = step(state, at, 8);
    }
    if (left > 0) state = step(state, at, left);
    state_ = static_cast<std::uint8_t>(state);
    return state != wrong;
}

bool is_utf8(std::string_view text) {
    Utf8 check;
    return check.accept(text) && check.complete();
}

}  // namespace websocket
