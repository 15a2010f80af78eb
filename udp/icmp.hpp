#pragma once
// ICMP (RFC 792) and ICMPv6 (RFC 4443): the echo request as bytes, and what comes back: its answer, or an error that
// quotes the beginning of the packet that it is about. Here are no sockets: udp/ping.cpp and udp/traceroute.cpp have
// them.

#include "common/address.hpp"
#include "common/fields.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#ifdef __linux__
#include <linux/errqueue.h>
#endif

namespace icmp {

/// 4 or 6: the versions have other numbers for the same types, and other checksums.
using Version = unsigned;

constexpr std::size_t header_size = 8;
constexpr std::uint8_t protocol_of(Version version) {
    return version == 4 ? 1 : 58;
}  // of IP: IPPROTO_ICMP, IPPROTO_ICMPV6

struct Echo {
    std::uint16_t id;        ///< whose it is, of all who ask at a time
    std::uint16_t sequence;  ///< which of theirs
    bool operator==(const Echo&) const = default;
};

enum class What {
    request,  ///< an echo request
    answer,   ///< an echo reply
    error,    ///< and it tells of an echo request
    other,    ///< anything else: of other protocols, of neighbours and routers
};

struct Message {
    What what = What::other;
    unsigned type = 0, code = 0;
    Echo echo{};              ///< of an error: that of the request that it quotes
    std::string_view data{};  ///< of a request or answer, behind its header
    std::uint32_t mtu = 0;    ///< the largest packet that goes on, if the error is that ours is larger
    bool operator==(const Message&) const = default;
};

// ---- Checksums

/// What ICMPv6's checksum covers besides the message (RFC 8200, 8.1): so it would be wrong at another address.
inline std::string pseudo_header(const in6_addr& source, const in6_addr& destination, std::size_t size) {
    FieldWriter out;
    out.bytes({reinterpret_cast<const char*>(&source), sizeof source});
    out.bytes({reinterpret_cast<const char*>(&destination), sizeof destination});
    return out.u32(static_cast<std::uint32_t>(size)).u32(IPPROTO_ICMPV6).str();
}

/// Is the checksum that it has the right one? Of ICMPv6: when it went from here to there.
inline bool has_right_checksum(std::string_view message) { return internet_checksum(message) == 0; }
inline bool has_right_checksum(std::string_view message, const in6_addr& source, const in6_addr& destination) {
    return internet_checksum(pseudo_header(source, destination, message.size()) + std::string(message)) == 0;
}

// ---- Messages

/// An echo request. ICMPv6's checksum is left open (0): the kernel fills it in, since it knows from which address the
/// packet will leave (RFC 3542, 3.1).
inline std::string echo_request(Version version, Echo echo, std::string_view data) {
    constexpr std::size_t checksum_at = 2;
    FieldWriter out;
    out.u8(version == 4 ? 8 : 128).u8(0).u16(0).u16(echo.id).u16(echo.sequence).bytes(data);
    if (version == 4) out.set_u16(checksum_at, internet_checksum(out.str()));
    return out.str();
}

/// An IPv4 packet as a raw socket gives it: with its header (raw(7)).
struct Packet {
    unsigned ttl;
    std::uint8_t protocol;
    std::string_view payload;
};

/// Takes the IP header off. Nothing if there is no whole one.
inline std::optional<Packet> take_off_header(Version version, std::string_view bytes) {
    constexpr std::size_t header_of_6 = 40, least_of_4 = 20;
    FieldReader in(bytes);
    const unsigned first = in.u8();
    if (first >> 4U != version) return {};
    Packet packet{};
    if (version == 4) {
        const std::size_t header = std::size_t{first & 0xFU} * 4;
        in.bytes(7);  // service, length, identification, fragment
        packet.ttl = in.u8();
        packet.protocol = in.u8();
        if (header < least_of_4) return {};
        in.bytes(header - in.position());  // checksum, addresses, options
    } else {
        in.bytes(5);  // flow label, length
        packet.protocol = in.u8();
        packet.ttl = in.u8();
        in.bytes(header_of_6 - in.position());
    }
    if (!in.whole()) return {};
    packet.payload = in.rest();
    return packet;
}

inline bool is_error(Version version, unsigned type) {
    return version == 4 ? type == 3 || type == 11 || type == 12 : type >= 1 && type <= 4;
}

/// Takes a message apart. Nothing if it is too short to be one. An error that quotes anything but an echo request, or
/// too little of it, is `other`.
inline std::optional<Message> parse(Version version, std::string_view bytes) {
    FieldReader in(bytes);
    Message message;
    message.type = in.u8();
    message.code = in.u8();
    in.u16();  // the checksum
    const auto rest_of_header = in.u32();
    if (!in.whole()) return {};
    const Echo echo{static_cast<std::uint16_t>(rest_of_header >> 16U), static_cast<std::uint16_t>(rest_of_header)};
    const unsigned request = version == 4 ? 8 : 128, answer = version == 4 ? 0 : 129;
    if (message.type == request || message.type == answer) {
        message.what = message.type == request ? What::request : What::answer;
        message.echo = echo;
        message.data = in.rest();
        return message;
    }
    if (!is_error(version, message.type)) return message;
    const auto quoted = take_off_header(version, in.rest());
    if (!quoted || quoted->protocol != protocol_of(version)) return message;
    FieldReader ours(quoted->payload);
    if (ours.u8() != request) return message;
    ours.bytes(3);  // code, checksum
    const auto id = ours.u16(), sequence = ours.u16();
    if (!ours.whole()) return message;
    message.what = What::error;
    message.echo = {id, sequence};
    if (version == 4 && message.type == 3 && message.code == 4) message.mtu = rest_of_header & 0xFFFFU;  // RFC 1191
    if (version == 6 && message.type == 2) message.mtu = rest_of_header;
    return message;
}

// ---- What errors mean

struct Meaning {
    Version version;
    unsigned type;
    int code;             ///< -1: any other
    const char* mark;     ///< what traceroute(8) prints behind the time; "": nothing
    const char* name;     ///< as the RFCs call it
    const char* because;  ///< what it says of the way
};

/// RFC 792, RFC 1812 (5.2.7), RFC 4443, and iana.org/assignments/icmp-parameters
inline const Meaning& meaning_of(Version version, unsigned type, unsigned code) {
    static constexpr Meaning meanings[] = {
        {4, 3, 0, "!N", "network unreachable", "a router has no route to there"},
        {4, 3, 1, "!H", "host unreachable", "the last router asked for it (ARP), and nobody answers"},
        {4, 3, 2, "!P", "protocol unreachable", "the host is there, and does not speak this"},
        {4, 3, 3, "", "port unreachable", "the host is there, and has nobody at this port"},
        {4, 3, 4, "!F", "fragmentation needed", "the packet is too large for a link, and must not be cut"},
        {4, 3, 5, "!S", "source route failed", "the way that the packet asks for can't be gone"},
        {4, 3, 6, "!N", "network unknown", "a router has no route to there"},
        {4, 3, 7, "!H", "host unknown", "a router knows that there is no such host"},
        {4, 3, 9, "!X", "network prohibited", "a router or firewall is told not to let this through"},
        {4, 3, 10, "!X", "host prohibited", "a router or firewall is told not to let this through"},
        {4, 3, 13, "!X", "administratively prohibited", "a router or firewall is told not to let this through"},
        {4, 3, -1, "!", "destination unreachable", "for a reason that is rarely given"},
        {4, 11, 0, "", "time to live exceeded", "so many routers passed it on, and then its TTL was 0"},
        {4, 11, -1, "!", "reassembly time exceeded", "not all fragments of the packet arrived in time"},
        {4, 12, -1, "!", "parameter problem", "something in the packet's header is wrong"},
        {6, 1, 0, "!N", "no route", "a router has no route to there"},
        {6, 1, 1, "!X", "administratively prohibited", "a router or firewall is told not to let this through"},
        {6, 1, 2, "!S", "beyond scope", "the packet's own address is not valid over there"},
        {6, 1, 3, "!H", "address unreachable", "the last router asked for it (NDP), and nobody answers"},
        {6, 1, 4, "", "port unreachable", "the host is there, and has nobody at this port"},
        {6, 1, 5, "!X", "source address failed policy", "a router or firewall is told not to let this through"},
        {6, 1, 6, "!X", "reject route", "a router is told not to let this through"},
        {6, 1, -1, "!", "destination unreachable", "for a reason that is rarely given"},
        {6, 2, -1, "!F", "packet too big", "it is too large for a link, and routers of IPv6 cut nothing"},
        {6, 3, 0, "", "hop limit exceeded", "so many routers passed it on, and then its hop limit was 0"},
        {6, 3, -1, "!", "reassembly time exceeded", "not all fragments of the packet arrived in time"},
        {6, 4, -1, "!", "parameter problem", "something in the packet's header is wrong"},
    };
    static constexpr Meaning unknown{0, 0, -1, "!", "an unknown kind of error", "no RFC that is known here tells"};
    for (const Meaning& meaning : meanings) {
        if (meaning.version == version && meaning.type == type &&
            (meaning.code == -1 || static_cast<unsigned>(meaning.code) == code))
            return meaning;
    }
    return unknown;
}

inline bool is_time_exceeded(Version version, unsigned type) { return type == (version == 4 ? 11U : 3U); }

/// An address without a port, which ICMP has not: "127.0.0.1", "fe80::1%eth0".
inline std::string host_text(const Address& address) {
    char host[NI_MAXHOST];
    if (getnameinfo(address.get(), address.length(), host, sizeof host, nullptr, 0, NI_NUMERICHOST) != 0) return "?";
    return host;
}

// ---- The error queue of a socket (IP_RECVERR, ip(7); IPV6_RECVERR, ipv6(7))

#ifdef __linux__
/// What the kernel tells of an error.
struct QueuedError {
    bool local = false;           ///< found on this machine, and not by ICMP
    int error = 0;                ///< the errno that a call would have failed with
    unsigned type = 0, code = 0;  ///< of the ICMP message
    std::uint32_t mtu = 0;        ///< with EMSGSIZE
    Address offender{};           ///< who sent that message
};

/// Finds it in the control data that recvmsg(MSG_ERRQUEUE) has filled in (cmsg(3)). Nothing if it is not there.
inline std::optional<QueuedError> queued_error(msghdr& message) {
    const char* end = static_cast<const char*>(message.msg_control) + message.msg_controllen;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_len > static_cast<std::size_t>(end - reinterpret_cast<const char*>(part))) return {};
        const bool is_error = (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_RECVERR) ||
                              (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_RECVERR);
        sock_extended_err told{};
        if (!is_error || part->cmsg_len < CMSG_LEN(sizeof told)) continue;
        std::memcpy(&told, CMSG_DATA(part), sizeof told);
        QueuedError found;
        found.local = told.ee_origin != SO_EE_ORIGIN_ICMP && told.ee_origin != SO_EE_ORIGIN_ICMP6;
        found.error = static_cast<int>(told.ee_errno);
        found.type = told.ee_type;
        found.code = told.ee_code;
        found.mtu = told.ee_errno == EMSGSIZE ? told.ee_info : 0;
        // Behind it stands an address (SO_EE_OFFENDER), of the size of its family.
        const auto* offender = reinterpret_cast<const sockaddr*>(CMSG_DATA(part) + sizeof told);
        found.offender =
            Address(offender,
                    static_cast<socklen_t>(std::min(part->cmsg_len - CMSG_LEN(sizeof told), sizeof(sockaddr_storage))));
        return found;
    }
    return {};
}
#endif

// ---- Round-trip times

/// The statistics that ping(8) of iputils prints. Duplicates count, as they do there.
class RoundTrips {
public:
    void add(double milliseconds) {
        least_ = count_ == 0 ? milliseconds : std::min(least_, milliseconds);
        most_ = std::max(most_, milliseconds);
        ++count_;
        // Welford's way: the sum of squares less the square of the sum would lose its digits.
        const double before = milliseconds - mean_;
        mean_ += before / static_cast<double>(count_);
        squares_ += before * (milliseconds - mean_);
    }
    long count() const { return count_; }
    double min() const { return least_; }
    double avg() const { return mean_; }
    double max() const { return most_; }
    /// The standard deviation of all of them (not of a sample): the root of the mean of the squares, less the square of
    /// the mean.
    double mdev() const { return count_ == 0 ? 0 : std::sqrt(squares_ / static_cast<double>(count_)); }

private:
    long count_ = 0;
    double least_ = 0, most_ = 0, mean_ = 0, squares_ = 0;
};

}  // namespace icmp
