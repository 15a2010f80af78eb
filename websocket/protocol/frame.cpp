#include "websocket/protocol/frame.hpp"

#include "websocket/protocol/compiled_for.hpp"

#include <openssl/rand.h>

#include <cstring>
#include <stdexcept>

namespace websocket {

const char* opcode_name(Opcode opcode) {
    switch (opcode) {
        case Opcode::continuation:
            return "continuation";
        case Opcode::text:
            return "text";
        case Opcode::binary:
            return "binary";
        case Opcode::close:
            return "close";
        case Opcode::ping:
            return "ping";
        case Opcode::pong:
            return "pong";
    }
    return "reserved";
}

ParsedHeader parse_header(std::string_view bytes, FrameHeader& header) {
    const auto at = [&](std::size_t i) { return static_cast<std::uint8_t>(bytes[i]); };
    if (bytes.size() < 2) return {HeaderStatus::incomplete};
    header.fin = (at(0) & 0x80U) != 0;
    header.rsv1 = (at(0) & 0x40U) != 0;
    header.rsv2 = (at(0) & 0x20U) != 0;
    header.rsv3 = (at(0) & 0x10U) != 0;
    header.opcode = static_cast<Opcode>(at(0) & 0x0FU);
    header.masked = (at(1) & 0x80U) != 0;

    const unsigned form = at(1) & 0x7FU;
    const std::size_t extended = form == 127 ? 8 : form == 126 ? 2 : 0;
    const std::size_t size = 2 + extended + (header.masked ? 4U : 0U);
    // A length that may not be is found as soon as it is there: nobody waits for the key behind it.
    if (bytes.size() < 2 + extended) return {HeaderStatus::incomplete};
    header.length = extended == 0 ? form : 0;
    for (std::size_t i = 0; i < extended; ++i)
        header.length = header.length << 8U | at(2 + i);
    if (header.length >> 63U != 0) return {HeaderStatus::too_long};
    if (form == 126 && header.length < 126) return {HeaderStatus::not_shortest};
    if (form == 127 && header.length <= 0xFFFF) return {HeaderStatus::not_shortest};

    if (bytes.size() < size) return {HeaderStatus::incomplete};
    if (header.masked) std::memcpy(header.key.data(), bytes.data() + size - 4, 4);
    return {HeaderStatus::complete, size};
}

std::size_t write_header(const FrameHeader& header, char* out) {
    const auto put = [&](std::size_t i, std::uint64_t byte) { out[i] = static_cast<char>(byte & 0xFFU); };
    put(0, (header.fin ? 0x80U : 0U) | (header.rsv1 ? 0x40U : 0U) | (header.rsv2 ? 0x20U : 0U) |
               (header.rsv3 ? 0x10U : 0U) | static_cast<unsigned>(header.opcode));
    const std::size_t extended = header.length > 0xFFFF ? 8 : header.length > 125 ? 2 : 0;
    const std::uint64_t form = extended == 8 ? 127 : extended == 2 ? 126 : header.length;
    put(1, (header.masked ? 0x80U : 0U) | form);
    for (std::size_t i = 0; i < extended; ++i)
        put(2 + i, header.length >> (8 * (extended - 1 - i)));
    std::size_t size = 2 + extended;
    if (header.masked) {
        std::memcpy(out + size, header.key.data(), 4);
        size += 4;
    }
    return size;
}

namespace {

/// key: of eight bytes, of which the first belongs to the first byte here.
COMPILED_FOR("avx2") void apply_mask(char* bytes, std::size_t count, std::uint64_t key) {
    // 32 bytes an iteration, as a vector of four words; memcpy, since they may stand anywhere.
    using Vector __attribute__((vector_size(32))) = std::uint64_t;
    for (; count >= 32; bytes += 32, count -= 32) {
        Vector words;
        std::memcpy(&words, bytes, sizeof words);
        words ^= key;
        std::memcpy(bytes, &words, sizeof words);
    }
    for (; count >= 8; bytes += 8, count -= 8) {
        std::uint64_t word;
        std::memcpy(&word, bytes, sizeof word);
        word ^= key;
        std::memcpy(bytes, &word, sizeof word);
    }
    char last[8];
    std::memcpy(last, &key, sizeof last);
    for (std::size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<char>(bytes[i] ^ last[i]);
}

}  // namespace

void apply_mask(char* bytes, std::size_t count, const MaskingKey& key, std::uint64_t position) {
    std::uint8_t turned[8];
    for (std::size_t i = 0; i < sizeof turned; ++i)
        turned[i] = key[(position + i) % 4];
    std::uint64_t word;
    std::memcpy(&word, turned, sizeof word);
    apply_mask(bytes, count, word);
}

MaskingKey fresh_key() {
    MaskingKey key;
    if (RAND_bytes(key.data(), static_cast<int>(key.size())) != 1)
        throw std::runtime_error("no random bytes to be had");
    return key;
}

}  // namespace websocket
