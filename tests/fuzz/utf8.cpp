// UTF-8: the checker against the definition, decoded character by character.
//
// Input: 1 byte for the cuts, then the text.

#include "websocket/protocol/utf8.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace {

constexpr std::size_t never = static_cast<std::size_t>(-1);

struct Verdict {
    std::size_t impossible = never;  // offset of the first byte that can't be
    bool complete = true;
};

/// Could a character of this length begin with these bits, `count` of its bytes being known? Whether any number between
/// the smallest and the largest that they allow is a character, and needs this length.
bool possible(std::uint32_t bits, std::size_t count, std::size_t length) {
    const auto open = static_cast<std::uint32_t>(6 * (length - count));
    const std::uint32_t low = bits << open;
    const std::uint32_t high = low | ((1U << open) - 1U);
    constexpr std::uint32_t shortest[] = {0, 0, 0x80, 0x800, 0x10000};
    const std::uint32_t from = low > shortest[length] ? low : shortest[length];
    const std::uint32_t to = high < 0x10FFFF ? high : 0x10FFFF;
    return from <= to && !(from >= 0xD800 && to <= 0xDFFF);
}

Verdict judge(std::string_view text) {
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<std::uint8_t>(text[i]);
        const std::size_t length = lead < 0x80   ? 1
                                   : lead < 0xC0 ? 0
                                   : lead < 0xE0 ? 2
                                   : lead < 0xF0 ? 3
                                   : lead < 0xF8 ? 4
                                                 : 0;
        if (length == 0) return {i, false};
        std::uint32_t bits = length == 1 ? lead : lead & (0x7FU >> length);
        for (std::size_t j = 0; length > 1; ++j) {
            if (j > 0) {
                if (i + j == text.size()) return {never, false};
                const auto byte = static_cast<std::uint8_t>(text[i + j]);
                if ((byte & 0xC0U) != 0x80) return {i + j, false};
                bits = bits << 6U | (byte & 0x3FU);
            }
            if (!possible(bits, j + 1, length)) return {i + j, false};
            if (j + 1 == length) break;
        }
        i += length;
    }
    return {};
}

}  // namespace

FUZZ_TARGET(fuzz_utf8) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const std::string_view text = input.rest();
    const Verdict verdict = judge(text);
    fuzz::require(websocket::is_utf8(text) == (verdict.impossible == never && verdict.complete), "is_utf8() is wrong");
    for (std::vector<std::size_t> cuts : fuzz::ways_to_cut(seed, text.size())) {
        cuts.push_back(text.size());
        websocket::Utf8 check;
        std::size_t at = 0;
        for (const std::size_t cut : cuts) {
            const std::string piece(text.substr(at, cut - at));  // a copy, so that reading beyond it is seen
            const bool accepted = check.accept(piece);
            at = cut;
            fuzz::require(accepted == (at <= verdict.impossible), "accept() is wrong");
            if (!accepted) break;
        }
        if (verdict.impossible == never) fuzz::require(check.complete() == verdict.complete, "complete() is wrong");
    }
    return 0;
}
