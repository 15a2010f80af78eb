#pragma once
// The fields of a header as they travel: numbers of 8 to 64 bits, high byte first (network order, RFC 1700), and bytes.
//
//     FieldWriter out;                                    FieldReader in(datagram);
//     out.u16(3);                                         const auto opcode = in.u16();
//     out.u16(block);                                     const auto block = in.u16();
//     out.bytes(data);                                    const auto data = in.rest();
//                                                         if (!in.whole()) ... it was too short
//
// A reader never reads beyond the end: what is missing reads as zeros or nothing, and whole() is false from then on, so
// that one question behind the last field is enough.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

/// Reads fields from the front of bytes that must outlive it.
class FieldReader {
public:
    explicit FieldReader(std::string_view bytes) : all_(bytes) {}

    std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
    std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
    std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
    std::uint64_t u64() { return number(8); }

    /// So many bytes as they are; none if there are fewer.
    std::string_view bytes(std::size_t count) {
        if (count > all_.size() - at_) {
            whole_ = false;
            at_ = all_.size();
            return {};
        }
        at_ += count;
        return all_.substr(at_ - count, count);
    }

    /// Text that a byte 0 ends, which is passed over; none if there is no such byte (RFC 1350's file names).
    std::string_view text_to_zero() {
        const std::size_t end = all_.find('\0', at_);
        if (end == std::string_view::npos) return bytes(all_.size() - at_ + 1);
        const std::string_view text = bytes(end - at_);
        ++at_;
        return text;
    }

    /// All that is left.
    std::string_view rest() { return bytes(left()); }

    std::size_t left() const { return all_.size() - at_; }  ///< bytes not read yet
    std::size_t position() const { return at_; }            ///< bytes read
    bool whole() const { return whole_; }                   ///< was everything there that was asked for?

private:
    std::uint64_t number(std::size_t size) {
        std::uint64_t value = 0;
        for (const char byte : bytes(size))
            value = value << 8U | static_cast<std::uint8_t>(byte);
        return value;
    }

    std::string_view all_;
    std::size_t at_ = 0;
    bool whole_ = true;
};

/// Appends fields to a string of bytes.
class FieldWriter {
public:
    FieldWriter& u8(std::uint8_t value) { return number(value, 1); }
    FieldWriter& u16(std::uint16_t value) { return number(value, 2); }
    FieldWriter& u32(std::uint32_t value) { return number(value, 4); }
    FieldWriter& u64(std::uint64_t value) { return number(value, 8); }

    FieldWriter& bytes(std::string_view bytes) {
        bytes_ += bytes;
        return *this;
    }

    /// Writes over two bytes that stand there already: a checksum or a length, which are known last.
    void set_u16(std::size_t position, std::uint16_t value) {
        bytes_.at(position) = static_cast<char>(value >> 8U);
        bytes_.at(position + 1) = static_cast<char>(value & 0xFFU);
    }

    const std::string& str() const { return bytes_; }

private:
    FieldWriter& number(std::uint64_t value, unsigned size) {
        while (size-- > 0)
            bytes_ += static_cast<char>(value >> (8 * size) & 0xFFU);
        return *this;
    }

    std::string bytes_;
};

/// The Internet checksum (RFC 1071) of these bytes: the one's complement of the one's complement sum of their 16-bit
/// words, an odd byte at the end filled up with zero. Of a message that holds its right checksum it is 0.
inline std::uint16_t internet_checksum(std::string_view bytes) {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
        const auto byte = static_cast<std::uint8_t>(bytes[i]);
        sum += i % 2 == 0 ? static_cast<std::uint64_t>(byte) << 8U : byte;
    }
    while (sum >> 16U != 0)
        sum = (sum & 0xFFFFU) + (sum >> 16U);
    return static_cast<std::uint16_t>(~sum & 0xFFFFU);
}
