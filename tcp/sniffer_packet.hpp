#pragma once
// A packet taken apart: Ethernet, VLAN tags, ARP, IPv4, IPv6, TCP, UDP, ICMP, ICMPv6, from the bytes alone.
//
// What comes over a wire may be cut short, or lie about its lengths. Every byte is read through Bytes, which knows how
// many there are: what is missing or does not fit is noted in Packet::problems, and what was read before it stays.

#include <fmt/core.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>

namespace sniffer {

/// One field of a header: where it lies in the packet, and what it means.
struct Field {
    std::size_t offset, length;  ///< length 0: the name is a heading
    std::string name, meaning;
};

/// How a checksum was found.
enum class Checksum {
    right,
    wrong,
    partial,    ///< only begun: the network card was to finish it, and on loopback there is none
    absent,     ///< zero, which UDP over IPv4 may send
    unchecked,  ///< not all bytes that it covers are here
};

struct Arp {
    unsigned operation = 0;
    std::string sender, sender_ip, target, target_ip;
};

struct Ip {
    unsigned version = 0, traffic_class = 0, hops = 0, protocol = 0;
    std::string source, destination;  ///< "127.0.0.1", "::1"
    std::size_t header_length = 0, total_length = 0;
    unsigned id = 0, fragment_offset = 0;  ///< in bytes
    bool dont_fragment = false, more_fragments = false, is_fragment = false;
    std::optional<Checksum> checksum;  ///< IPv6 has none
};

struct TcpOption {
    unsigned kind = 0;
    std::string name;
    std::vector<std::uint32_t> numbers;  ///< MSS, shift, timestamp and echo, edges of SACK blocks
    std::string raw;                     ///< hexadecimal, of an unknown one
};

struct Tcp {
    unsigned source_port = 0, destination_port = 0;
    std::uint32_t seq = 0, ack = 0, relative_seq = 0, relative_ack = 0;
    std::size_t header_length = 0;
    unsigned flags = 0, window = 0, urgent = 0;
    std::optional<std::uint32_t> scaled_window;  ///< in bytes; nothing if the handshake was not seen
    Checksum checksum = Checksum::unchecked;
    std::vector<TcpOption> options;
};

struct Udp {
    unsigned source_port = 0, destination_port = 0;
    std::size_t length = 0;
    Checksum checksum = Checksum::unchecked;
};

/// The beginning of the packet that an ICMP error is about.
struct Quoted {
    std::string source, destination;
    unsigned protocol = 0;
    std::optional<unsigned> source_port, destination_port;
};

struct Icmp {
    unsigned version = 4, type = 0, code = 0;
    std::string meaning;
    Checksum checksum = Checksum::unchecked;
    std::optional<std::pair<unsigned, unsigned>> echo;  ///< identifier and sequence number
    std::optional<Quoted> about;
};

/// What kind of bytes a packet begins with: the numbers of pcap (www.tcpdump.org/linktypes.html).
enum class Link : std::uint32_t {
    bsd_loopback = 0,
    ethernet = 1,
    raw = 101,
    cooked = 113,
    ipv4 = 228,
    ipv6 = 229,
    cooked2 = 276
};

struct Packet {
    std::size_t number = 0;
    std::int64_t time = 0;  ///< nanoseconds since 1970
    Link link = Link::ethernet;
    std::vector<char> bytes;     ///< as captured
    std::size_t length = 0;      ///< on the wire
    bool checksum_open = false;  ///< the kernel says that nobody has filled in the checksum
    bool wants_fields = false;   ///< for --hex

    std::string source_mac, destination_mac;  ///< "" where there is none
    std::vector<unsigned> vlans;
    unsigned ethertype = 0;
    std::optional<Arp> arp;
    std::optional<Ip> ip;
    std::optional<Tcp> tcp;
    std::optional<Udp> udp;
    std::optional<Icmp> icmp;
    std::size_t payload_offset = 0, payload_length = 0;  ///< of TCP, UDP, or of what is not decoded
    std::vector<Field> fields;
    std::vector<std::string> problems;

    std::string_view view() const { return {bytes.data(), bytes.size()}; }
};

/// Thrown where a header needs bytes that are not there.
struct Cut {
    std::size_t offset;  ///< the first one missing
};

/// A part of a packet's bytes. Offsets are those of the whole packet.
class Bytes {
public:
    Bytes(std::string_view all, std::size_t begin, std::size_t end)
        : all_(all), begin_(begin), end_(std::min(end, all.size())) {}

    std::size_t begin() const { return begin_; }
    std::size_t end() const { return end_; }
    std::size_t size() const { return begin_ < end_ ? end_ - begin_ : 0; }

    unsigned u8(std::size_t offset) const {
        if (offset >= end_) throw Cut{std::max(begin_, end_)};
        return static_cast<unsigned char>(all_[offset]);
    }
    unsigned u16(std::size_t offset) const { return u8(offset) << 8U | u8(offset + 1); }
    std::uint32_t u32(std::size_t offset) const { return u16(offset) << 16U | u16(offset + 2); }
    std::string_view piece(std::size_t offset, std::size_t length) const {
        if (length > 0) u8(offset + length - 1);
        return all_.substr(std::min(offset, all_.size()), length);
    }
    /// From here to the end, or up to so many bytes.
    Bytes from(std::size_t offset, std::size_t length = std::string_view::npos) const {
        const std::size_t start = std::min(offset, end_);
        return {all_, start, length > end_ - start ? end_ : start + length};
    }

private:
    std::string_view all_;
    std::size_t begin_, end_;
};

// ---- Text of addresses and bytes

inline std::string hex(std::string_view bytes, const char* between = "") {
    std::string text;
    for (const char byte : bytes)
        text += fmt::format("{}{:02x}", text.empty() ? "" : between, static_cast<unsigned char>(byte));
    return text;
}

inline std::string ip_text(int family, std::string_view bytes) {
    char text[INET6_ADDRSTRLEN] = "?";
    if (bytes.size() == (family == AF_INET ? 4U : 16U)) inet_ntop(family, bytes.data(), text, sizeof text);
    return text;
}

constexpr const char* flag_names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"};
constexpr unsigned flag_fin = 1, flag_syn = 2, flag_rst = 4, flag_ack = 16;

inline std::vector<std::string> flags_of(const Tcp& tcp) {
    std::vector<std::string> names;
    for (unsigned bit = 0; bit < std::size(flag_names); ++bit) {
        if ((tcp.flags >> bit & 1U) != 0) names.emplace_back(flag_names[bit]);
    }
    return names;
}

inline std::string joined(const std::vector<std::string>& parts, const char* between = ", ") {
    std::string text;
    for (const std::string& part : parts)
        text += (text.empty() ? "" : between) + part;
    return text;
}

/// "" of a protocol that is not decoded here.
inline std::string protocol_name(unsigned protocol) {
    switch (protocol) {
        case 0:
            return "hop-by-hop options";
        case 1:
            return "ICMP";
        case 2:
            return "IGMP";
        case 6:
            return "TCP";
        case 17:
            return "UDP";
        case 43:
            return "routing header";
        case 44:
            return "fragment header";
        case 50:
            return "ESP";
        case 51:
            return "authentication header";
        case 58:
            return "ICMPv6";
        case 59:
            return "nothing";
        case 60:
            return "destination options";
        default:
            return fmt::format("protocol {}", protocol);
    }
}

inline std::string icmp_meaning(unsigned version, unsigned type, unsigned code) {
    struct Name {
        unsigned version, type;
        int code;  // -1: any
        const char* text;
    };
    static constexpr Name names[] = {{4, 0, -1, "echo reply"},
                                     {4, 3, 0, "network unreachable"},
                                     {4, 3, 1, "host unreachable"},
                                     {4, 3, 2, "protocol unreachable"},
                                     {4, 3, 3, "port unreachable"},
                                     {4, 3, 4, "fragmentation needed"},
                                     {4, 3, 13, "administratively prohibited"},
                                     {4, 3, -1, "destination unreachable"},
                                     {4, 5, -1, "redirect"},
                                     {4, 8, -1, "echo request"},
                                     {4, 11, 0, "time to live exceeded"},
                                     {4, 11, -1, "time exceeded"},
                                     {4, 12, -1, "parameter problem"},
                                     {6, 1, 0, "no route"},
                                     {6, 1, 1, "administratively prohibited"},
                                     {6, 1, 3, "address unreachable"},
                                     {6, 1, 4, "port unreachable"},
                                     {6, 1, -1, "destination unreachable"},
                                     {6, 2, -1, "packet too big"},
                                     {6, 3, -1, "time exceeded"},
                                     {6, 4, -1, "parameter problem"},
                                     {6, 128, -1, "echo request"},
                                     {6, 129, -1, "echo reply"},
                                     {6, 133, -1, "router solicitation"},
                                     {6, 134, -1, "router advertisement"},
                                     {6, 135, -1, "neighbor solicitation"},
                                     {6, 136, -1, "neighbor advertisement"},
                                     {6, 143, -1, "multicast listener report"}};
    for (const Name& name : names) {
        if (name.version == version && name.type == type &&
            (name.code == -1 || static_cast<unsigned>(name.code) == code))
            return name.text;
    }
    return fmt::format("type {} code {}", type, code);
}

inline const char* checksum_text(Checksum checksum) {
    switch (checksum) {
        case Checksum::right:
            return "right";
        case Checksum::wrong:
            return "wrong";
        case Checksum::partial:
            return "partial";
        case Checksum::absent:
            return "absent";
        default:
            return "unchecked";
    }
}

// ---- Checksums (RFC 1071)

/// The sum of 16-bit words, with its carries brought back in.
inline std::uint32_t add_words(std::uint32_t sum, std::string_view bytes) {
    std::uint64_t wide = sum;
    for (std::size_t i = 0; i < bytes.size(); ++i)
        wide += static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[i])) << (i % 2 == 0 ? 8U : 0U);
    while (wide > 0xFFFF)
        wide = (wide & 0xFFFFU) + (wide >> 16U);
    return static_cast<std::uint32_t>(wide);
}

// ---- What earlier segments told about a connection

/// Both directions of the connections that were seen: where their sequence numbers begin, and how windows are scaled.
class Connections {
public:
    /// Learns from a segment, and fills in what the earlier ones tell about it.
    void note(const Ip& ip, Tcp& tcp) {
        const std::string here = fmt::format("{} {}", ip.source, tcp.source_port);
        const std::string there = fmt::format("{} {}", ip.destination, tcp.destination_port);
        const bool first_way = here < there;
        const std::string key = first_way ? here + " " + there : there + " " + here;
        if (all_.size() >= most && all_.count(key) == 0) all_.erase(all_.begin());  // somebody scans ports, perhaps
        Both& both = all_[key];
        const bool syn = (tcp.flags & flag_syn) != 0, ack = (tcp.flags & flag_ack) != 0;
        const Way& known = first_way ? both.one : both.other;
        if (syn && !ack && !(known.begun && known.first == tcp.seq)) both = {};  // the same ports, another connection
        Way& forth = first_way ? both.one : both.other;
        Way& back = first_way ? both.other : both.one;
        if (!forth.begun) forth.begin(syn ? tcp.seq : tcp.seq - 1);
        if (ack && !back.begun) back.begin(tcp.ack - 1);
        if (syn) {
            forth.has_syn = true;
            for (const TcpOption& option : tcp.options) {
                if (option.kind == 3 && !option.numbers.empty()) forth.shift = std::min(option.numbers[0], 14U);
            }
        }
        tcp.relative_seq = tcp.seq - forth.first;
        tcp.relative_ack = ack ? tcp.ack - back.first : 0;
        // Windows are scaled when both SYNs said so, and never in a SYN (RFC 7323, section 2.2).
        if (syn) tcp.scaled_window = tcp.window;
        if (!syn && forth.has_syn && back.has_syn) {
            const bool scaled = forth.shift && back.shift;
            tcp.scaled_window = scaled ? tcp.window << *forth.shift : tcp.window;
        }
    }

private:
    static constexpr std::size_t most = 10'000;
    struct Way {
        bool begun = false, has_syn = false;
        std::uint32_t first = 0;
        std::optional<unsigned> shift;
        void begin(std::uint32_t seq) {
            begun = true;
            first = seq;
        }
    };
    struct Both {
        Way one, other;
    };
    std::map<std::string, Both> all_;
};

// ---- Taking apart

class Decoder {
public:
    Decoder(Packet& packet, Connections& connections) : packet_(packet), connections_(connections) {}

    void decode() {
        const Bytes all(packet_.view(), 0, packet_.bytes.size());
        if (packet_.length < packet_.bytes.size()) packet_.length = packet_.bytes.size();
        if (packet_.length > packet_.bytes.size()) {
            problem("captured {} of {} bytes", packet_.bytes.size(), packet_.length);
        }
        try {
            link(all);
        } catch (const Cut& cut) {
            problem("{} is cut off: it ends at byte {}", layer_, cut.offset);
        }
        if (packet_.payload_length > 0) field(packet_.payload_offset, packet_.payload_length, "data", "");
        if (padding_.second > 0) field(padding_.first, padding_.second, "padding", "not part of the IP packet");
        std::size_t told = 0;
        for (const Field& known : packet_.fields)
            told = std::max(told, known.offset + known.length);
        if (told < packet_.bytes.size()) field(told, packet_.bytes.size() - told, "left over", "not taken apart");
    }

private:
    template <typename... Args>
    void problem(fmt::format_string<Args...> text, Args&&... args) {
        packet_.problems.push_back(fmt::format(text, std::forward<Args>(args)...));
    }
    template <typename... Args>
    void field(std::size_t offset, std::size_t length, const char* name, fmt::format_string<Args...> text,
               Args&&... args) {
        if (packet_.wants_fields)
            packet_.fields.push_back({offset, length, name, fmt::format(text, std::forward<Args>(args)...)});
    }
    void heading(const char* name, std::size_t offset) {
        layer_ = name;
        if (packet_.wants_fields) packet_.fields.push_back({offset, 0, name, ""});
    }
    /// What is not taken apart any further.
    void rest(const Bytes& bytes) {
        packet_.payload_offset = bytes.begin();
        packet_.payload_length = bytes.size();
    }

    void link(const Bytes& bytes) {
        switch (packet_.link) {
            case Link::ethernet:
                return ethernet(bytes);
            case Link::raw:
            case Link::ipv4:
            case Link::ipv6:
                return any_ip(bytes);
            case Link::bsd_loopback:
                heading("BSD loopback", 0);
                field(0, 4, "family", "in the byte order of the machine that wrote it: {:08x}", bytes.u32(0));
                return any_ip(bytes.from(4));
            case Link::cooked:
                heading("Linux cooked capture", 0);
                field(0, 14, "interface", "sent or received, kind, address");
                return type(bytes, 14);
            case Link::cooked2:
                heading("Linux cooked capture 2", 0);
                packet_.ethertype = bytes.u16(0);
                field(0, 2, "type", "0x{:04x}", packet_.ethertype);
                field(2, 18, "interface", "its number, kind, sent or received, address");
                bytes.piece(2, 18);
                return network(bytes.from(20));
        }
    }

    void any_ip(const Bytes& bytes) {
        layer_ = "IP";
        const unsigned version = bytes.u8(bytes.begin()) >> 4U;
        packet_.ethertype = version == 6 ? 0x86dd : 0x0800;
        network(bytes);
    }

    void ethernet(const Bytes& bytes) {
        heading("Ethernet", 0);
        packet_.destination_mac = hex(bytes.piece(0, 6), ":");
        field(0, 6, "destination", "{}", packet_.destination_mac);
        packet_.source_mac = hex(bytes.piece(6, 6), ":");
        field(6, 6, "source", "{}", packet_.source_mac);
        type(bytes, 12);
    }

    /// The EtherType at an offset, behind as many VLAN tags as there are (IEEE 802.1Q).
    void type(const Bytes& bytes, std::size_t at) {
        unsigned number = bytes.u16(at);
        while ((number == 0x8100 || number == 0x88a8) && packet_.vlans.size() < 4) {
            field(at, 2, "type", "0x{:04x}: VLAN tag", number);
            const unsigned tag = bytes.u16(at + 2);
            packet_.vlans.push_back(tag & 0xFFFU);
            field(at + 2, 2, "VLAN", "{}, priority {}", tag & 0xFFFU, tag >> 13U);
            at += 4;
            number = bytes.u16(at);
        }
        packet_.ethertype = number;
        const char* name = number == 0x0800 ? ": IPv4" : number == 0x86dd ? ": IPv6" : number == 0x0806 ? ": ARP" : "";
        field(at, 2, "type", "0x{:04x}{}", number, name);
        network(bytes.from(at + 2));
    }

    void network(const Bytes& bytes) {
        switch (packet_.ethertype) {
            case 0x0800:
                return ipv4(bytes);
            case 0x86dd:
                return ipv6(bytes);
            case 0x0806:
                return arp(bytes);
            default:
                return rest(bytes);
        }
    }

    void arp(const Bytes& bytes) {
        const std::size_t at = bytes.begin();
        heading("ARP", at);
        const unsigned hardware = bytes.u16(at), protocol = bytes.u16(at + 2);
        const unsigned hardware_size = bytes.u8(at + 4), protocol_size = bytes.u8(at + 5);
        field(at, 2, "hardware", "{}{}", hardware, hardware == 1 ? ": Ethernet" : "");
        field(at + 2, 2, "protocol", "0x{:04x}{}", protocol, protocol == 0x0800 ? ": IPv4" : "");
        field(at + 4, 2, "sizes", "{} and {} bytes", hardware_size, protocol_size);
        Arp arp;
        arp.operation = bytes.u16(at + 6);
        field(at + 6, 2, "operation", "{}{}", arp.operation,
              arp.operation == 1   ? ": who has the target's address?"
              : arp.operation == 2 ? ": the sender has its address"
                                   : "");
        if (protocol != 0x0800 || hardware_size != 6 || protocol_size != 4) {
            problem("ARP for other than Ethernet and IPv4");
            return rest(bytes.from(at + 8));
        }
        arp.sender = hex(bytes.piece(at + 8, 6), ":");
        field(at + 8, 6, "sender", "{}", arp.sender);
        arp.sender_ip = ip_text(AF_INET, bytes.piece(at + 14, 4));
        field(at + 14, 4, "sender's IP", "{}", arp.sender_ip);
        arp.target = hex(bytes.piece(at + 18, 6), ":");
        field(at + 18, 6, "target", "{}", arp.target);
        arp.target_ip = ip_text(AF_INET, bytes.piece(at + 24, 4));
        field(at + 24, 4, "target's IP", "{}", arp.target_ip);
        packet_.arp = arp;
    }

    // RFC 791, section 3.1
    void ipv4(const Bytes& bytes) {
        const std::size_t at = bytes.begin();
        heading("IPv4", at);
        Ip& ip = packet_.ip.emplace();
        ip.version = bytes.u8(at) >> 4U;
        ip.header_length = std::size_t{bytes.u8(at) & 0xFU} * 4;
        field(at, 1, "version, header", "{}, and {} words of 4 bytes: {}", ip.version, ip.header_length / 4,
              ip.header_length);
        if (ip.version != 4) problem("IPv4 with version {}", ip.version);
        if (ip.header_length < 20) {
            problem("IPv4 header of {} bytes, and 20 is the least", ip.header_length);
            return rest(bytes.from(at + 1));
        }
        ip.traffic_class = bytes.u8(at + 1);
        field(at + 1, 1, "traffic class", "{}", ip.traffic_class);
        ip.total_length = bytes.u16(at + 2);
        field(at + 2, 2, "total length", "{}", ip.total_length);
        ip.id = bytes.u16(at + 4);
        field(at + 4, 2, "identification", "{}", ip.id);
        const unsigned fragment = bytes.u16(at + 6);
        ip.dont_fragment = (fragment & 0x4000U) != 0;
        ip.more_fragments = (fragment & 0x2000U) != 0;
        ip.fragment_offset = (fragment & 0x1FFFU) * 8;
        ip.is_fragment = ip.more_fragments || ip.fragment_offset > 0;
        field(at + 6, 2, "fragment", "{}{}at byte {}", ip.dont_fragment ? "do not fragment, " : "",
              ip.more_fragments ? "more come, " : "", ip.fragment_offset);
        ip.hops = bytes.u8(at + 8);
        field(at + 8, 1, "time to live", "{} hops", ip.hops);
        ip.protocol = bytes.u8(at + 9);
        field(at + 9, 1, "protocol", "{}: {}", ip.protocol, protocol_name(ip.protocol));
        const unsigned stated = bytes.u16(at + 10);
        const bool whole = bytes.size() >= ip.header_length;
        ip.checksum = !whole                                                      ? Checksum::unchecked
                      : add_words(0, bytes.piece(at, ip.header_length)) == 0xFFFF ? Checksum::right
                                                                                  : Checksum::wrong;
        field(at + 10, 2, "checksum", "0x{:04x}, {}", stated, checksum_text(*ip.checksum));
        if (ip.checksum == Checksum::wrong) problem("wrong IPv4 checksum");
        ip.source = ip_text(AF_INET, bytes.piece(at + 12, 4));
        field(at + 12, 4, "source", "{}", ip.source);
        ip.destination = ip_text(AF_INET, bytes.piece(at + 16, 4));
        field(at + 16, 4, "destination", "{}", ip.destination);
        if (ip.header_length > 20)
            field(at + 20, bytes.piece(at + 20, ip.header_length - 20).size(), "options", "{} bytes",
                  ip.header_length - 20);
        // Zero: a segment larger than IPv4 can say, which the network card was to cut into pieces.
        const std::size_t total = ip.total_length == 0 ? bytes.size() : ip.total_length;
        transport(within(bytes, ip.header_length, total));
    }

    /// The part of the bytes behind a header that belongs to the packet, as it says itself. What is behind is padding.
    Bytes within(const Bytes& bytes, std::size_t header, std::size_t total) {
        if (total < header) {
            problem("IP total length {} is less than the header's {}", total, header);
            total = header;
        }
        const std::size_t here = bytes.size();
        // More was sent than captured: then nothing is known about a lie.
        const std::size_t sent = here + (packet_.length - packet_.bytes.size());
        if (total > sent) problem("IP says {} bytes, and there are {}", total, sent);
        claimed_ = total - header;
        const Bytes inner = bytes.from(bytes.begin() + header, total - header);
        if (here > total) padding_ = {inner.end(), here - total};
        return inner;
    }

    // RFC 8200
    void ipv6(const Bytes& bytes) {
        const std::size_t at = bytes.begin();
        heading("IPv6", at);
        Ip& ip = packet_.ip.emplace();
        const std::uint32_t first = bytes.u32(at);
        ip.version = first >> 28U;
        ip.traffic_class = first >> 20U & 0xFFU;
        field(at, 4, "version, flow", "{}, traffic class {}, flow label 0x{:05x}", ip.version, ip.traffic_class,
              first & 0xFFFFFU);
        if (ip.version != 6) problem("IPv6 with version {}", ip.version);
        const std::size_t payload = bytes.u16(at + 4);
        field(at + 4, 2, "payload length", "{}", payload);
        unsigned next = bytes.u8(at + 6);
        ip.protocol = next;
        field(at + 6, 1, "next header", "{}: {}", next, protocol_name(next));
        ip.hops = bytes.u8(at + 7);
        field(at + 7, 1, "hop limit", "{}", ip.hops);
        ip.source = ip_text(AF_INET6, bytes.piece(at + 8, 16));
        field(at + 8, 16, "source", "{}", ip.source);
        ip.destination = ip_text(AF_INET6, bytes.piece(at + 24, 16));
        field(at + 24, 16, "destination", "{}", ip.destination);
        ip.header_length = 40;
        // Zero with something behind it: longer than the field can say (RFC 2675), or left to the network card.
        ip.total_length = payload == 0 ? bytes.size() : payload + 40;
        Bytes inner = within(bytes, 40, ip.total_length);

        for (int count = 0; next == 0 || next == 43 || next == 44 || next == 51 || next == 60; ++count) {
            const std::size_t here = inner.begin();
            if (count == 16) {
                problem("no end to the IPv6 extension headers");
                return rest(inner);
            }
            layer_ = "IPv6 extension header";
            const unsigned after = inner.u8(here), size = inner.u8(here + 1);
            const std::size_t length = next == 44   ? 8
                                       : next == 51 ? (std::size_t{size} + 2) * 4
                                                    : (std::size_t{size} + 1) * 8;
            if (next == 44) {
                const unsigned word = inner.u16(here + 2);
                ip.fragment_offset = word & 0xFFF8U;
                ip.more_fragments = (word & 1U) != 0;
                ip.is_fragment = ip.more_fragments || ip.fragment_offset > 0;
                ip.id = inner.u32(here + 4);
            }
            if (next == 43 && inner.u8(here + 3) > 0) routed_ = true;  // the checksum is for an address not reached yet
            inner.piece(here, length);
            field(here, length, "extension", "{}, {} bytes; then {}", protocol_name(next), length,
                  protocol_name(after));
            ip.header_length += length;
            claimed_ -= std::min(claimed_, length);
            next = after;
            inner = inner.from(here + length);
            ip.protocol = next;
            if (ip.fragment_offset > 0) break;  // what follows is not the beginning of a header
        }
        transport(inner);
    }

    void transport(const Bytes& bytes) {
        const Ip& ip = *packet_.ip;
        const bool has_header = ip.fragment_offset == 0;
        if (has_header && ip.protocol == 6) {
            tcp(bytes);
        } else if (has_header && ip.protocol == 17) {
            udp(bytes);
        } else if (has_header && ip.protocol == 1 && ip.version == 4) {
            icmp(bytes, 4);
        } else if (has_header && ip.protocol == 58 && ip.version == 6) {
            icmp(bytes, 6);
        } else {
            rest(bytes);
        }
    }

    /// Of TCP, UDP and ICMPv6, over a pseudo-header, too: the addresses, the length and the protocol (RFC 9293, 3.1).
    Checksum verify(const Bytes& bytes, unsigned stated, std::size_t length, bool pseudo = true) {
        const Ip& ip = *packet_.ip;
        std::uint32_t sum = 0;
        if (pseudo) {
            char address[16];
            const int family = ip.version == 6 ? AF_INET6 : AF_INET;
            const std::size_t size = ip.version == 6 ? 16 : 4;
            for (const std::string* text : {&ip.source, &ip.destination}) {
                if (inet_pton(family, text->c_str(), address) == 1) sum = add_words(sum, {address, size});
            }
            const auto count = static_cast<std::uint32_t>(length);
            sum += (count >> 16U) + (count & 0xFFFFU) + ip.protocol;
            sum = add_words(sum, {});
        }
        if (packet_.checksum_open || (pseudo && stated == sum && stated != 0)) return Checksum::partial;
        if (ip.is_fragment || routed_ || bytes.size() < length) return Checksum::unchecked;
        return add_words(sum, bytes.piece(bytes.begin(), length)) == 0xFFFF ? Checksum::right : Checksum::wrong;
    }

    void tell_checksum(std::size_t at, unsigned stated, Checksum checksum) {
        const char* why = checksum == Checksum::partial     ? ": left to the network card to finish"
                          : checksum == Checksum::unchecked ? ": not all that it covers is here"
                                                            : "";
        field(at, 2, "checksum", "0x{:04x}, {}{}", stated, checksum_text(checksum), why);
        if (checksum == Checksum::wrong) problem("wrong {} checksum", layer_);
    }

    // RFC 9293, section 3.1
    void tcp(const Bytes& bytes) {
        const std::size_t at = bytes.begin();
        heading("TCP", at);
        Tcp tcp;
        tcp.source_port = bytes.u16(at);
        tcp.destination_port = bytes.u16(at + 2);
        tcp.seq = bytes.u32(at + 4);
        tcp.ack = bytes.u32(at + 8);
        tcp.header_length = std::size_t{bytes.u8(at + 12) >> 4U} * 4;
        tcp.flags = bytes.u16(at + 12) & 0x1FFU;
        tcp.window = bytes.u16(at + 14);
        const unsigned stated = bytes.u16(at + 16);
        tcp.urgent = bytes.u16(at + 18);
        const bool lies = tcp.header_length < 20 || tcp.header_length > claimed_;
        if (lies) problem("TCP header of {} bytes in a segment of {}", tcp.header_length, claimed_);
        const std::size_t header = lies ? 20 : tcp.header_length;
        std::vector<Field> option_fields;
        if (!lies) options(bytes.from(at + 20, header - 20), header - 20, tcp);
        option_fields = std::exchange(option_fields_, {});
        tcp.checksum = verify(bytes, stated, claimed_);
        connections_.note(*packet_.ip, tcp);

        field(at, 2, "source port", "{}", tcp.source_port);
        field(at + 2, 2, "destination port", "{}", tcp.destination_port);
        field(at + 4, 4, "sequence number", "{}: {} relative to the first", tcp.seq, tcp.relative_seq);
        if ((tcp.flags & flag_ack) != 0) {
            field(at + 8, 4, "acknowledgment", "{}: {} is expected next", tcp.ack, tcp.relative_ack);
        } else {
            field(at + 8, 4, "acknowledgment", "{}: without the flag ACK it says nothing", tcp.ack);
        }
        field(at + 12, 2, "header, flags", "{} words of 4 bytes: {}; {}", tcp.header_length / 4, tcp.header_length,
              joined(flags_of(tcp)));
        if (tcp.scaled_window && *tcp.scaled_window != tcp.window) {
            field(at + 14, 2, "window", "{}, scaled: {} bytes", tcp.window, *tcp.scaled_window);
        } else {
            field(at + 14, 2, "window", "{}{}", tcp.window,
                  tcp.scaled_window ? " bytes" : ", and who did not see the handshake does not know of what");
        }
        tell_checksum(at + 16, stated, tcp.checksum);
        field(at + 18, 2, "urgent pointer", "{}", tcp.urgent);
        for (Field& option : option_fields)
            packet_.fields.push_back(std::move(option));
        packet_.tcp = std::move(tcp);
        rest(bytes.from(at + header));
    }

    /// RFC 9293, section 3.2; RFC 7323; RFC 2018. claimed: how many bytes they should be.
    void options(const Bytes& bytes, std::size_t claimed, Tcp& tcp) {
        const auto tell = [&](std::size_t offset, std::size_t length, const std::string& meaning) {
            if (packet_.wants_fields) option_fields_.push_back({offset, length, "option", meaning});
        };
        std::size_t at = bytes.begin();
        while (at < bytes.end()) {
            TcpOption option;
            option.kind = bytes.u8(at);
            if (option.kind <= 1) {
                option.name = option.kind == 0 ? "end" : "no operation";
                tell(at, 1, option.name);
                tcp.options.push_back(option);
                ++at;
                if (option.kind == 0) break;
                continue;
            }
            const std::size_t length = at + 1 < bytes.end() ? bytes.u8(at + 1) : 0;
            if (bytes.size() < claimed && (length == 0 || at + length > bytes.end())) break;
            if (length < 2 || at + length > bytes.end()) {
                problem("TCP option {} at byte {} does not fit into the header", option.kind, at);
                tell(at, bytes.end() - at, "does not fit");
                break;
            }
            std::string meaning;
            if (option.kind == 2 && length == 4) {
                option.name = "MSS";
                option.numbers = {bytes.u16(at + 2)};
                meaning = fmt::format("maximum segment size {}", option.numbers[0]);
            } else if (option.kind == 3 && length == 3) {
                option.name = "window scale";
                option.numbers = {bytes.u8(at + 2)};
                const unsigned shift = std::min(option.numbers[0], 14U);
                meaning =
                    fmt::format("window scale {}: windows count in units of {} bytes", option.numbers[0], 1U << shift);
            } else if (option.kind == 4 && length == 2) {
                option.name = "SACK permitted";
                meaning = "selective acknowledgments permitted";
            } else if (option.kind == 5 && length >= 10 && (length - 2) % 8 == 0) {
                option.name = "SACK";
                for (std::size_t edge = at + 2; edge < at + length; edge += 4)
                    option.numbers.push_back(bytes.u32(edge));
                meaning = fmt::format("SACK, {} blocks", option.numbers.size() / 2);
            } else if (option.kind == 8 && length == 10) {
                option.name = "timestamps";
                option.numbers = {bytes.u32(at + 2), bytes.u32(at + 6)};
                meaning = fmt::format("timestamp {}, echo of {}", option.numbers[0], option.numbers[1]);
            } else {
                option.name = "unknown";
                option.raw = hex(bytes.piece(at, length));
                meaning = fmt::format("kind {}, {} bytes: not known here", option.kind, length);
            }
            tell(at, length, meaning);
            tcp.options.push_back(std::move(option));
            at += length;
        }
        if (bytes.size() < claimed) problem("TCP options are cut off: {} of {} bytes", bytes.size(), claimed);
    }

    // RFC 768
    void udp(const Bytes& bytes) {
        const std::size_t at = bytes.begin();
        heading("UDP", at);
        Udp udp;
        udp.source_port = bytes.u16(at);
        field(at, 2, "source port", "{}", udp.source_port);
        udp.destination_port = bytes.u16(at + 2);
        field(at + 2, 2, "destination port", "{}", udp.destination_port);
        udp.length = bytes.u16(at + 4);
        field(at + 4, 2, "length", "{}, of which 8 are this header", udp.length);
        const unsigned stated = bytes.u16(at + 6);
        if (udp.length < 8) problem("UDP length {}, and its header has 8 bytes", udp.length);
        const Ip& ip = *packet_.ip;
        if (!ip.is_fragment && udp.length > claimed_) problem("UDP says {} bytes, and IP {}", udp.length, claimed_);
        const std::size_t length = std::max<std::size_t>(udp.length, 8);
        udp.checksum = stated == 0 && ip.version == 4 ? Checksum::absent : verify(bytes, stated, length);
        tell_checksum(at + 6, stated, udp.checksum);
        packet_.udp = udp;
        rest(bytes.from(at + 8, length - 8));
    }

    // RFC 792, RFC 4443
    void icmp(const Bytes& bytes, unsigned version) {
        const std::size_t at = bytes.begin();
        heading(version == 4 ? "ICMP" : "ICMPv6", at);
        Icmp icmp;
        icmp.version = version;
        icmp.type = bytes.u8(at);
        icmp.code = bytes.u8(at + 1);
        icmp.meaning = icmp_meaning(version, icmp.type, icmp.code);
        field(at, 2, "type, code", "{}, {}: {}", icmp.type, icmp.code, icmp.meaning);
        const unsigned stated = bytes.u16(at + 2);
        icmp.checksum = verify(bytes, stated, claimed_, version == 6);
        tell_checksum(at + 2, stated, icmp.checksum);
        const bool echo = version == 4 ? icmp.type == 0 || icmp.type == 8 : icmp.type == 128 || icmp.type == 129;
        const bool error =
            version == 4 ? icmp.type == 3 || icmp.type == 5 || icmp.type == 11 || icmp.type == 12 : icmp.type < 128;
        packet_.icmp = icmp;
        if (echo) {
            packet_.icmp->echo = {bytes.u16(at + 4), bytes.u16(at + 6)};
            field(at + 4, 4, "identifier, number", "{}, {}", packet_.icmp->echo->first, packet_.icmp->echo->second);
            return rest(bytes.from(at + 8));
        }
        if (!error) return rest(bytes.from(at + 4));
        field(at + 4, 4, version == 6 && icmp.type == 2 ? "MTU" : "rest of header", "{}", bytes.u32(at + 4));
        quote(bytes.from(at + 8));
    }

    /// As much of the packet that caused an error as came back with it.
    void quote(const Bytes& bytes) {
        rest(bytes);
        const std::size_t at = bytes.begin();
        if (bytes.size() == 0) return;
        const unsigned version = bytes.u8(at) >> 4U;
        const std::size_t header = version == 4 ? std::size_t{bytes.u8(at) & 0xFU} * 4 : 40;
        if ((version != 4 && version != 6) || header < 20 || bytes.size() < header) {
            problem("the packet that ICMP quotes is no whole IP header");
            return;
        }
        Quoted quoted;
        const int family = version == 4 ? AF_INET : AF_INET6;
        const std::size_t size = version == 4 ? 4 : 16, first = at + (version == 4 ? 12 : 8);
        quoted.protocol = bytes.u8(at + (version == 4 ? 9 : 6));
        quoted.source = ip_text(family, bytes.piece(first, size));
        quoted.destination = ip_text(family, bytes.piece(first + size, size));
        if ((quoted.protocol == 6 || quoted.protocol == 17) && bytes.size() >= header + 4) {
            quoted.source_port = bytes.u16(at + header);
            quoted.destination_port = bytes.u16(at + header + 2);
        }
        field(at, header, "quoted IP header", "{} from {} to {}", protocol_name(quoted.protocol), quoted.source,
              quoted.destination);
        if (quoted.source_port)
            field(at + header, 4, "quoted ports", "from {} to {}", *quoted.source_port, *quoted.destination_port);
        packet_.icmp->about = quoted;
        rest(bytes.from(at + header + (quoted.source_port ? 4 : 0)));
    }

    Packet& packet_;
    Connections& connections_;
    const char* layer_ = "the link layer";
    std::size_t claimed_ = 0;  ///< bytes of IP's payload, as IP says
    bool routed_ = false;
    std::pair<std::size_t, std::size_t> padding_{0, 0};
    std::vector<Field> option_fields_;
};

}  // namespace sniffer
