// Exercise frame_header, solved: the lengths of a frame.
//
// Byte by byte, the first one the highest, it comes out the same on every machine.

#include "websocket/exercises/codec.hpp"

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

    const bool is_short = header.length == 126;
    const size_t size = is_short ? 4 : 10;
    if (bytes.size() < size) return 0;
    header.length = 0;
    for (const char byte : bytes.substr(2, size - 2))
        header.length = header.length << 8U | static_cast<unsigned char>(byte);
    if (header.length < (is_short ? 126U : 65536U)) return -1;  // there is a shorter form
    if (header.length >> 63U != 0) return -1;
    return static_cast<int>(size);
}
