#pragma once
// The UDP header and its checksum, by hand: RFC 768 over IPv4, RFC 8200 (section 8.1) over IPv6. Bytes only, no socket.

#include "common/address.hpp"
#include "common/fields.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include <netinet/in.h>

namespace udp {

constexpr std::size_t header_size = 8;
constexpr std::size_t checksum_at = 6;  ///< its place in the header

/// The port of an IPv4 or IPv6 address.
inline std::uint16_t port_of(const Address& address) {
    return ntohs(address.family() == AF_INET ? reinterpret_cast<const sockaddr_in*>(address.get())->sin_port
                                             : reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_port);
}

/// The 4 or 16 bytes of an IPv4 or IPv6 address, as they stand in a header.
inline std::string_view bytes_of(const Address& address) {
    if (address.family() == AF_INET) {
        const auto* ip = reinterpret_cast<const sockaddr_in*>(address.get());
        return {reinterpret_cast<const char*>(&ip->sin_addr), sizeof ip->sin_addr};
    }
    const auto* ip = reinterpret_cast<const sockaddr_in6*>(address.get());
    return {reinterpret_cast<const char*>(&ip->sin6_addr), sizeof ip->sin6_addr};
}

/// What is summed up with a datagram and never sent: who it is from and for, of which protocol, and how long, header
/// included. Both addresses are of one family.
inline std::string pseudo_header(const Address& source, const Address& destination, std::size_t length) {
    FieldWriter out;
    out.bytes(bytes_of(source)).bytes(bytes_of(destination));
    if (source.family() == AF_INET) {
        out.u8(0).u8(IPPROTO_UDP).u16(static_cast<std::uint16_t>(length));
    } else {
        out.u32(static_cast<std::uint32_t>(length)).u16(0).u8(0).u8(IPPROTO_UDP);
    }
    return out.str();
}

/// The header as the checksum is computed over it: with zeros in the checksum's place. length: header included.
inline std::string header(const Address& source, const Address& destination, std::size_t length) {
    FieldWriter out;
    out.u16(port_of(source)).u16(port_of(destination)).u16(static_cast<std::uint16_t>(length)).u16(0);
    return out.str();
}

/// The checksum as it is sent: 0 would say that there is none (over IPv4; forbidden over IPv6), so 0xFFFF is sent in
/// its place, which is the same number in one's complement.
inline std::uint16_t as_sent(std::uint16_t checksum) { return checksum == 0 ? 0xFFFF : checksum; }

/// A whole datagram: the header with its checksum, and the payload.
inline std::string datagram(const Address& source, const Address& destination, std::string_view payload) {
    const std::size_t length = header_size + payload.size();
    FieldWriter out;
    out.bytes(header(source, destination, length)).bytes(payload);
    const std::string all = pseudo_header(source, destination, length) + out.str();
    out.set_u16(checksum_at, as_sent(internet_checksum(all)));
    return out.str();
}

}  // namespace udp
