#pragma once
// Frames: the header in front of every payload (RFC 6455, section 5.2), and the mask over it (section 5.3).
//
//      0                   1                   2                   3
//      0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//     +-+-----+-------+-+-------------+---------------+---------------+
//     |F|R R R| opcode|M| length 0-125|  126: 16 bits of length       |
//     |I|S S S|       |A| or 126, 127 |  127: 64 bits, the first 0    |
//     |N|V V V|       |S|             |                               |
//     | |1 2 3|       |K|             |                               |
//     +-+-----+-------+-+-------------+-------------------------------+
//     |  masking key, 4 bytes, if MASK is 1           |  payload ...  |
//     +-----------------------------------------------+---------------+

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace websocket {

enum class Opcode : std::uint8_t {
    continuation = 0x0,  ///< a further fragment of the message begun
    text = 0x1,
    binary = 0x2,
    close = 0x8,  ///< from here on: control frames (section 5.5)
    ping = 0x9,
    pong = 0xA,
};

constexpr bool is_control(Opcode opcode) { return (static_cast<unsigned>(opcode) & 0x8U) != 0; }

/// False of the numbers to which RFC 6455 gives no meaning.
constexpr bool is_known(Opcode opcode) {
    return static_cast<unsigned>(opcode) <= 2 || (opcode >= Opcode::close && opcode <= Opcode::pong);
}

/// "text", "ping", ...; "reserved" of a number that RFC 6455 gives no meaning.
const char* opcode_name(Opcode opcode);

using MaskingKey = std::array<std::uint8_t, 4>;

struct FrameHeader {
    bool fin = true;    ///< the last fragment of its message, or the only one
    bool rsv1 = false;  ///< reserved bits: rsv1 means "compressed" where permessage-deflate was negotiated
    bool rsv2 = false;
    bool rsv3 = false;
    Opcode opcode = Opcode::text;
    bool masked = false;
    std::uint64_t length = 0;  ///< of the payload, in bytes; below 2^63
    MaskingKey key{};
};

/// Two bytes, up to eight of extended length, four of key.
constexpr std::size_t most_header_bytes = 14;

/// Payload bytes that a control frame may have at the most (section 5.5).
constexpr std::size_t most_control_bytes = 125;

enum class HeaderStatus {
    complete,
    incomplete,    ///< further bytes are needed
    not_shortest,  ///< the length stands in a longer form than it needs (section 5.2: "the minimal number of bytes")
    too_long,      ///< a 64-bit length with its top bit set
};

struct ParsedHeader {
    HeaderStatus status;
    std::size_t size = 0;  ///< bytes that the header takes, if complete
};

/// Reads a header from the beginning of bytes. What depends on the connection (masks, reserved bits, opcodes) is not
/// judged here.
ParsedHeader parse_header(std::string_view bytes, FrameHeader& header);

/// Writes a header in its shortest form, and returns its size. out has room for most_header_bytes.
std::size_t write_header(const FrameHeader& header, char* out);

/// Masks or unmasks in place: byte i of the payload is combined with byte i % 4 of the key by exclusive or.
/// position: how many bytes of this payload came before these.
void apply_mask(char* bytes, std::size_t count, const MaskingKey& key, std::uint64_t position = 0);

/// The same for a few bytes from the beginning of a payload, in line: with a call, the call would cost most. Returns
/// the bits that are set in any of the bytes then: below 0x80, they are ASCII.
[[gnu::always_inline]] inline std::uint8_t apply_mask_to_few(char* bytes, std::size_t count, const MaskingKey& key) {
    std::uint32_t half;
    std::memcpy(&half, key.data(), sizeof half);
    std::uint64_t any = 0;
    const auto mask_word = [&](auto word_key) {
        auto word = word_key;
        std::memcpy(&word, bytes, sizeof word);
        word ^= word_key;
        std::memcpy(bytes, &word, sizeof word);
        any |= word;
        bytes += sizeof word;
    };
    for (; count >= 8; count -= 8)
        mask_word(std::uint64_t{half} << 32U | half);
    if ((count & 4U) != 0) mask_word(half);
    for (std::size_t i = 0; i < (count & 3U); ++i)
        mask_word(key[i]);
    any |= any >> 32U;
    any |= any >> 16U;
    return static_cast<std::uint8_t>(any | any >> 8U);
}

/// A masking key that nobody can predict, from the system's random source by way of OpenSSL (section 5.3 and 10.3:
/// otherwise a page could write a request of its choice through a proxy). Throws std::runtime_error if there is none.
MaskingKey fresh_key();

}  // namespace websocket
