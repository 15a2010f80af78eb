#pragma once
// The datagrams with which stop_and_wait and window send a file. All numbers in network order:
//
//      0        4       5       6        8          12         16         20
//     +--------+-------+-------+--------+----------+----------+----------+---------
//     | CRC-32 | kind  | flags | window | transfer | number   | stamp    | payload
//     +--------+-------+-------+--------+----------+----------+----------+---------
//
//     data     number: which piece. payload: of the file; of the first, its size (8 bytes)
//              and name; of the last, the CRC-32 of all of it.
//     ack      number: the first piece that is still missing. window: how many from there
//              may be sent. payload: ranges of later pieces that are there, each with its
//              first number and the first behind it (4 bytes each).
//     error    payload: why the transfer is over.
//     stamp    of data: the sender's clock, in microseconds. Of an ack: that of the piece
//              which it answers. So the sender knows which of its datagrams has arrived,
//              and how long it took (as RFC 7323, section 3).
//
// UDP's own checksum is 16 bits of a sum, which does not notice two bits of one place that change in opposite ways, and
// which an IPv4 sender may leave out. CRC-32 covers everything behind it. Numbers wrap: number 0 follows 4,294,967,295.

#include "common/fields.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

namespace transfer {

enum class Kind : std::uint8_t { data = 1, ack = 2, error = 3 };

constexpr std::uint8_t first_flag = 1, last_flag = 2;

/// Fits with all headers into what every link of IPv6 carries in one piece: 1,280 bytes (RFC 8200, section 5).
constexpr std::size_t piece_size = 1200;
constexpr std::size_t header_size = 20;

struct Packet {
    Kind kind = Kind::data;
    std::uint8_t flags = 0;
    std::uint16_t window = 0;
    std::uint32_t transfer = 0;  ///< chosen by the sender at random: tells this transfer from one before it
    std::uint32_t number = 0;
    std::uint32_t stamp = 0;
    std::string_view payload = {};
};

inline std::uint32_t crc(std::string_view bytes, std::uint32_t before = 0) {
    return static_cast<std::uint32_t>(
        crc32(before, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

inline std::string to_bytes(const Packet& packet) {
    FieldWriter body;
    body.u8(static_cast<std::uint8_t>(packet.kind)).u8(packet.flags).u16(packet.window);
    body.u32(packet.transfer).u32(packet.number).u32(packet.stamp).bytes(packet.payload);
    return FieldWriter().u32(crc(body.str())).bytes(body.str()).str();
}

/// Nothing if it is too short, too long, damaged, or of no kind that there is. Refers to the bytes.
inline std::optional<Packet> parse(std::string_view bytes) {
    FieldReader in(bytes);
    const std::uint32_t sum = in.u32();
    const std::string_view body = bytes.substr(in.position());
    Packet packet;
    const std::uint8_t kind = in.u8();
    packet.kind = static_cast<Kind>(kind);
    packet.flags = in.u8();
    packet.window = in.u16();
    packet.transfer = in.u32();
    packet.number = in.u32();
    packet.stamp = in.u32();
    if (!in.whole() || kind < 1 || kind > 3 || in.left() > piece_size || crc(body) != sum) return {};
    packet.payload = in.rest();
    return packet;
}

/// What a receiver says to whoever comes while it is busy with another sender. Cut to what it was sent, as all that it
/// answers; the first word is always there.
constexpr std::string_view busy = "busy: try again later";

inline bool says_busy(const Packet& packet) {
    return packet.kind == Kind::error && packet.payload.substr(0, 4) == busy.substr(0, 4);
}

/// What the first piece says of the file.
struct Announcement {
    std::uint64_t size = 0;
    std::string name;
};

inline std::string to_bytes(const Announcement& file) { return FieldWriter().u64(file.size).bytes(file.name).str(); }

inline std::optional<Announcement> parse_announcement(std::string_view bytes) {
    FieldReader in(bytes);
    Announcement file;
    file.size = in.u64();
    if (!in.whole()) return {};
    file.name = std::string(in.rest());
    return file;
}

/// How far b is behind a, as numbers that wrap (serial number arithmetic, RFC 1982): negative if it is before it.
inline std::int32_t distance(std::uint32_t a, std::uint32_t b) { return static_cast<std::int32_t>(b - a); }

/// How many pieces a file makes, the first and the last included.
inline std::uint64_t pieces_of(std::uint64_t size) { return (size + piece_size - 1) / piece_size + 2; }

}  // namespace transfer
