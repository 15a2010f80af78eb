// Exercise frame_header: the lengths of a frame. Repair read_header().
//
//     scripts/exercise frame_header        grades it, and says what goes wrong
//     scripts/exercise hint frame_header   says a little more, three times
//
// A length below 126 stands in seven bits; 126 says that it follows in 16 bits, 127 that it follows in 64, as the
// network writes numbers. As long as messages are short, this works. RFC 6455, section 5.2, also asks for the shortest
// form and for a top bit that is zero: a peer that sends something else is to be refused.

#include "websocket/exercises/codec.hpp"

#include <cstring>

std::string write_header(const FrameHeader& header) {
    const unsigned mask_bit = header.masked ? 0x80 : 0;
    std::string bytes(1, static_cast<char>((header.fin ? 0x80U : 0U) | header.opcode));
    int follow = 0;  // bytes of length behind the first two
    if (header.length < 126) {
        bytes += static_cast<char>(mask_bit | header.length);
    } else {
        follow = header.length <= 0xFFFF ? 2 : 8;
        bytes += static_cast<char>(mask_bit | (follow == 2 ? 126U : 127U));
    }
    for (int shift = 8 * (follow - 1); shift >= 0; shift -= 8)
        bytes += static_cast<char>(header.length >> static_cast<unsigned>(shift));
    return bytes;
}

int read_header(std::string_view bytes, FrameHeader& header) {
    if (bytes.size() < 2) return 0;
    const auto first = static_cast<unsigned char>(bytes[0]);
    const auto second = static_cast<unsigned char>(bytes[1]);
    header.fin = (first & 0x80U) != 0;
    header.opcode = first & 0x0FU;
    header.masked = (second & 0x80U) != 0;
    header.length = second & 0x7FU;
    if (header.length < 126) return 2;

    if (header.length == 126) {
        std::uint16_t length;
        if (bytes.size() < 2 + sizeof length) return 0;
        std::memcpy(&length, bytes.data() + 2, sizeof length);
        header.length = length;
        return 4;
    }
    std::uint64_t length;
    if (bytes.size() < 2 + sizeof length) return 0;
    std::memcpy(&length, bytes.data() + 2, sizeof length);
    header.length = length;
    return 10;
}
