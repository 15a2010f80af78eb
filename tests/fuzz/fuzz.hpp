#pragma once
// Fuzz targets: bytes of any kind go in, and what must hold for all of them is asserted. The contract: an event or a
// documented error, never a crash, a hang or a leak, and the same result however the input is cut.
//
// Each file here defines one target, `int fuzz_NAME(const std::uint8_t*, std::size_t)`. scripts/fuzz builds each with
// clang's libFuzzer, where FUZZING is defined; tests/unit/fuzz_corpus_test.cpp calls all of them with the files of
// tests/fuzz/corpus/NAME.

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#ifdef FUZZING
#define FUZZ_TARGET(name)                                                                                          \
    int name(const std::uint8_t* data, std::size_t size);                                                          \
    extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) { return name(data, size); } \
    int name(const std::uint8_t* data, std::size_t size)
#else
#define FUZZ_TARGET(name) int name(const std::uint8_t* data, std::size_t size)
#endif

namespace fuzz {

/// What must hold. The exception ends libFuzzer with the input that did it, and fails the Catch2 test.
inline void require(bool holds, const std::string& what) {
    if (!holds) throw std::runtime_error(what);
}

/// The input of a target: settings from its first bytes, and the rest.
class Input {
public:
    Input(const std::uint8_t* data, std::size_t size) : rest_(reinterpret_cast<const char*>(data), size) {}

    /// The next byte; 0 behind the end.
    std::uint8_t byte() {
        if (rest_.empty()) return 0;
        const auto first = static_cast<std::uint8_t>(rest_.front());
        rest_.remove_prefix(1);
        return first;
    }
    std::string_view rest() const { return rest_; }

private:
    std::string_view rest_;
};

/// The ways to cut an input of this size: not at all; in pieces made from the seed; and, if it is not long, byte by
/// byte. Each is a list of the offsets at which a new piece begins, in rising order.
inline std::vector<std::vector<std::size_t>> ways_to_cut(std::uint8_t seed, std::size_t size) {
    std::vector<std::vector<std::size_t>> ways(2);
    std::uint32_t state = seed * 2654435761U + 1;
    for (std::size_t at = 0;;) {
        state = state * 1664525U + 1013904223U;
        const std::uint32_t high = state >> 16U;
        at += (high & 3U) == 0 ? (high >> 2U) % 200 : (high >> 2U) % 12;  // 0: an empty piece
        if (at >= size) break;
        ways[1].push_back(at);
    }
    if (size <= 300) {
        ways.emplace_back();
        for (std::size_t at = 1; at < size; ++at)
            ways.back().push_back(at);
    }
    return ways;
}

}  // namespace fuzz
