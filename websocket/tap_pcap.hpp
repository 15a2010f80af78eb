#pragma once
// What passed the tap as a file of packets, for Wireshark and tshark (draft-ietf-opsawg-pcap), and the other way.
//
// The tap has seen no packets: each recv() becomes one, between the client's address and the tap's, with the numbers
// that it would have had. A file that tcpdump has written can be read, too: of each TCP connection the bytes in order,
// without those that came twice.

#include "common/address.hpp"
#include "common/fields.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <functional>
#include <istream>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <arpa/inet.h>
#include <netinet/in.h>

#include "websocket/protocol/observer.hpp"

namespace websocket {

/// What Observer is told of, with its connection.
struct Happening {
    enum class Kind : std::uint8_t {
        open,     ///< ends
        bytes,    ///< of one recv()
        gap,      ///< count bytes that nobody looked at
        fin,      ///< of the direction's sender
        reset,    ///< by the direction's sender
        refused,  ///< there is no connection to the server
        given_up  ///< the tap has ended it, or nothing is known of it any more
    };
    Kind kind = Kind::given_up;
    std::uint64_t connection = 0;
    std::int64_t time = 0;  ///< microseconds since 1970
    Direction direction = Direction::up;
    std::string bytes = {};
    std::uint64_t count = 0;
    struct Ends {
        Address from, at;
    };
    std::shared_ptr<const Ends> ends = {};  ///< of open
};

namespace pcap {

constexpr std::uint32_t microsecond_magic = 0xa1b2c3d4, nanosecond_magic = 0xa1b23c4d, pcapng_magic = 0x0a0d0d0a;
constexpr std::uint32_t most_of_a_packet = 262'144;
constexpr std::size_t most_of_a_segment = 65'495;  // what fits behind both headers of IPv4
constexpr std::uint32_t raw_link = 101;            // a packet begins with its IP header

enum Flag : std::uint8_t { fin_flag = 1, syn_flag = 2, rst_flag = 4, psh_flag = 8, ack_flag = 16 };

/// The address's bytes and port.
inline std::pair<std::string, std::uint16_t> parts(const Address& address) {
    if (address.family() == AF_INET6) {
        sockaddr_in6 six{};
        std::memcpy(&six, address.get(), sizeof six);
        return {std::string(reinterpret_cast<const char*>(&six.sin6_addr), 16), ntohs(six.sin6_port)};
    }
    sockaddr_in four{};
    std::memcpy(&four, address.get(), sizeof four);
    return {std::string(reinterpret_cast<const char*>(&four.sin_addr), 4), ntohs(four.sin_port)};
}

inline Address address_of(std::string_view bytes, std::uint16_t port) {
    if (bytes.size() == 16) {
        sockaddr_in6 six{};
        six.sin6_family = AF_INET6;
        six.sin6_port = htons(port);
        std::memcpy(&six.sin6_addr, bytes.data(), 16);
        return {reinterpret_cast<const sockaddr*>(&six), sizeof six};
    }
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(port);
    std::memcpy(&four.sin_addr, bytes.data(), 4);
    return {reinterpret_cast<const sockaddr*>(&four), sizeof four};
}

}  // namespace pcap

/// Makes the packets, as bytes to be appended to a file.
class PcapWriter {
public:
    /// What a file begins with. In network order, so that it is the same on every machine.
    static std::string head() {
        FieldWriter out;
        out.u32(pcap::microsecond_magic).u16(2).u16(4).u32(0).u32(0).u32(pcap::most_of_a_packet).u32(pcap::raw_link);
        return out.str();
    }

    std::string take(const Happening& happening) {
        using Kind = Happening::Kind;
        if (happening.kind == Kind::open) {
            Link& link = links_[happening.connection];
            link.ends = {pcap::parts(happening.ends->from), pcap::parts(happening.ends->at)};
            return packet(link, Direction::up, pcap::syn_flag, "", happening.time);
        }
        const auto found = links_.find(happening.connection);
        if (found == links_.end()) return "";
        Link& link = found->second;
        std::string out;
        if (happening.kind == Kind::refused) {
            out = packet(link, Direction::down, pcap::rst_flag | pcap::ack_flag, "", happening.time);
            links_.erase(found);
            return out;
        }
        if (happening.kind != Kind::given_up && !std::exchange(link.answered, true)) {
            out += packet(link, Direction::down, pcap::syn_flag | pcap::ack_flag, "", happening.time);
            out += packet(link, Direction::up, pcap::ack_flag, "", happening.time);
        }
        switch (happening.kind) {
            case Kind::bytes:
                for (std::string_view rest = happening.bytes; !rest.empty();) {
                    const std::string_view piece = rest.substr(0, pcap::most_of_a_segment);
                    rest.remove_prefix(piece.size());
                    out += packet(link, happening.direction, pcap::psh_flag | pcap::ack_flag, piece, happening.time);
                }
                break;
            case Kind::gap:
                link.next[index(happening.direction)] += static_cast<std::uint32_t>(happening.count);
                break;
            case Kind::fin:
                out += packet(link, happening.direction, pcap::fin_flag | pcap::ack_flag, "", happening.time);
                ++link.fins;
                break;
            case Kind::reset:
                out += packet(link, happening.direction, pcap::rst_flag | pcap::ack_flag, "", happening.time);
                break;
            default:
                break;
        }
        if (happening.kind == Kind::reset || happening.kind == Kind::given_up || link.fins == 2) links_.erase(found);
        return out;
    }

private:
    struct Link {
        std::array<std::pair<std::string, std::uint16_t>, 2> ends;  // the client's, the tap's
        std::array<std::uint32_t, 2> next{};                        // sequence numbers
        bool answered = false;
        int fins = 0;
    };
    static std::size_t index(Direction direction) { return static_cast<std::size_t>(direction); }

    static std::string packet(Link& link, Direction direction, unsigned flags, std::string_view payload,
                              std::int64_t time) {
        const auto& [source, source_port] = link.ends.at(index(direction));
        const auto& [target, target_port] = link.ends.at(1 - index(direction));
        std::uint32_t& next = link.next.at(index(direction));
        const std::uint32_t acknowledged = (flags & pcap::ack_flag) != 0 ? link.next.at(1 - index(direction)) : 0;
        FieldWriter tcp;
        tcp.u16(source_port).u16(target_port).u32(next).u32(acknowledged);
        tcp.u16(static_cast<std::uint16_t>(0x5000U | flags)).u16(65'535).u16(0).u16(0).bytes(payload);
        const auto length = static_cast<std::uint16_t>(tcp.str().size());
        FieldWriter pseudo;  // what the checksum covers besides (RFC 9293, 3.1)
        pseudo.bytes(source).bytes(target).u32(IPPROTO_TCP).u32(length).bytes(tcp.str());
        tcp.set_u16(16, internet_checksum(pseudo.str()));
        FieldWriter ip;
        if (source.size() == 4) {
            ip.u16(0x4500).u16(static_cast<std::uint16_t>(20 + length)).u16(0).u16(0x4000).u8(64).u8(IPPROTO_TCP);
            ip.u16(0).bytes(source).bytes(target);
            ip.set_u16(10, internet_checksum(ip.str()));
        } else {
            ip.u32(0x60000000).u16(length).u8(IPPROTO_TCP).u8(64).bytes(source).bytes(target);
        }
        const auto size = static_cast<std::uint32_t>(ip.str().size() + tcp.str().size());
        FieldWriter out;
        out.u32(static_cast<std::uint32_t>(time / 1'000'000)).u32(static_cast<std::uint32_t>(time % 1'000'000));
        out.u32(size).u32(size).bytes(ip.str()).bytes(tcp.str());
        next += static_cast<std::uint32_t>(payload.size());
        if ((flags & (pcap::syn_flag | pcap::fin_flag)) != 0) ++next;
        return out.str();
    }

    std::map<std::uint64_t, Link> links_;
};

/// Reads a file of packets: IPv4 and IPv6, as they are on Ethernet, loopback, "any" interfaces and alone.
class PcapReader {
public:
    using Take = std::function<void(Happening&&)>;

    explicit PcapReader(Take take) : take_(std::move(take)) {}

    /// The next bytes of the file, and at its end end(). Both throw std::runtime_error on what is no such file, and on
    /// one that is broken, behind what came before.
    void take(std::string_view bytes) {
        waiting_ += bytes;
        std::string_view rest = waiting_;
        if (!begun_ && !take_head(rest)) return;
        while (take_record(rest)) {
        }
        waiting_.erase(0, waiting_.size() - rest.size());
    }

    void end() {
        if (!begun_) throw std::runtime_error("this is no pcap file");
        if (!waiting_.empty())
            throw std::runtime_error(waiting_.size() < record_head_size ? "it ends in the middle of a packet's header"
                                                                        : "it ends in the middle of a packet");
        for (auto& [key, link] : links_) {
            for (const Direction direction : {Direction::up, Direction::down})
                release(link, direction, true);
        }
    }

    void read(std::istream& in) {
        std::string bytes(65'536, '\0');
        while (in.read(bytes.data(), static_cast<std::streamsize>(bytes.size())), in.gcount() > 0)
            take(std::string_view(bytes).substr(0, static_cast<std::size_t>(in.gcount())));
        end();
    }

private:
    static constexpr std::size_t file_head_size = 24, record_head_size = 16;
    static constexpr std::size_t most_held_bytes = std::size_t{1} << 20U;
    static constexpr std::size_t most_links = 100'000;

    struct Segment {
        std::string bytes;
        std::int64_t time;
        bool fin;
    };
    struct Side {
        bool known = false;      // next is
        std::uint32_t next = 0;  // the sequence number that is to come
        bool ended = false;
        std::map<std::uint32_t, Segment> held = {};  // came before others that belong before them
        std::size_t held_bytes = 0;
    };
    struct Link {
        std::uint64_t connection = 0;
        std::string client;  // address and port
        std::array<Side, 2> sides = {};
        bool over = false;
    };

    /// What a file begins with. False: it is not all there.
    bool take_head(std::string_view& rest) {
        if (rest.size() < 4) return false;
        const std::uint32_t magic = FieldReader(rest).u32();
        if (magic == pcap::pcapng_magic)
            throw std::runtime_error("this is pcapng; make a pcap of it: tshark -r FILE -F pcap -w NEW");
        swapped_ =
            magic == __builtin_bswap32(pcap::microsecond_magic) || magic == __builtin_bswap32(pcap::nanosecond_magic);
        const std::uint32_t told = swapped_ ? __builtin_bswap32(magic) : magic;
        if (told != pcap::microsecond_magic && told != pcap::nanosecond_magic)
            throw std::runtime_error("this is no pcap file");
        if (rest.size() < file_head_size) return false;
        nanoseconds_ = told == pcap::nanosecond_magic;
        FieldReader last(rest.substr(20));
        link_ = number(last) & 0xFFFFU;
        rest.remove_prefix(file_head_size);
        begun_ = true;
        return true;
    }

    /// A packet. False: it is not all there.
    bool take_record(std::string_view& rest) {
        if (rest.size() < record_head_size) return false;
        FieldReader fields(rest);
        const std::int64_t seconds = number(fields), fraction = number(fields);
        const std::uint32_t captured = number(fields);
        if (captured > pcap::most_of_a_packet)
            throw std::runtime_error(fmt::format("a packet of {} bytes: this file is broken", captured));
        if (rest.size() < record_head_size + captured) return false;
        time_ = seconds * 1'000'000 + (nanoseconds_ ? fraction / 1000 : fraction);
        packet(rest.substr(record_head_size, captured));
        rest.remove_prefix(record_head_size + captured);
        return true;
    }

    std::uint32_t number(FieldReader& in) const { return swapped_ ? __builtin_bswap32(in.u32()) : in.u32(); }

    void packet(std::string_view bytes) {
        FieldReader in(bytes);
        std::uint16_t type = 0;
        if (link_ == 1) {  // Ethernet
            in.bytes(12);
            type = in.u16();
            if (type == 0x8100) {  // with a VLAN
                in.u16();
                type = in.u16();
            }
            if (type != 0x0800 && type != 0x86dd) return;
        } else if (link_ == 113) {
            in.bytes(16);  // Linux's "any"
        } else if (link_ == 276) {
            in.bytes(20);
        } else if (link_ == 0 || link_ == 108) {
            in.bytes(4);  // BSD's loopback
        } else if (link_ != pcap::raw_link && link_ != 12 && link_ != 228 && link_ != 229) {
            throw std::runtime_error(fmt::format("packets of link type {} can't be read here", link_));
        }
        const std::string_view ip = in.rest();
        FieldReader header(ip);
        const unsigned version = header.u8() >> 4U;
        std::string_view source, target;
        std::size_t begin = 0, length = 0;
        if (version == 4) {
            begin = (static_cast<std::uint8_t>(ip[0]) & 0xFU) * std::size_t{4};
            header.u8();
            length = header.u16();
            header.u16();
            const std::uint16_t fragment = header.u16();
            header.u8();
            const std::uint8_t protocol = header.u8();
            header.u16();
            source = header.bytes(4);
            target = header.bytes(4);
            if (protocol != IPPROTO_TCP || (fragment & 0x3FFFU) != 0) return;
        } else if (version == 6) {
            begin = 40;
            header.bytes(3);
            length = 40U + header.u16();
            const std::uint8_t protocol = header.u8();
            header.u8();
            source = header.bytes(16);
            target = header.bytes(16);
            if (protocol != IPPROTO_TCP) return;
        }
        if (!header.whole() || source.empty() || begin < 20 || begin >= ip.size()) return;
        // Segments that the card was to cut have no length yet; short frames are filled up.
        const std::string_view whole = length > begin && length < ip.size() ? ip.substr(0, length) : ip;
        segment(source, target, whole.substr(begin));
    }

    void segment(std::string_view source, std::string_view target, std::string_view tcp) {
        FieldReader in(tcp);
        const std::uint16_t source_port = in.u16(), target_port = in.u16();
        std::uint32_t sequence = in.u32();
        const std::uint32_t acknowledged = in.u32();
        const std::uint16_t flags = in.u16();
        const std::size_t header = (flags >> 12U) * std::size_t{4};
        in.bytes(6);
        if (!in.whole() || header < 20 || header > tcp.size()) return;
        const std::string_view payload = tcp.substr(header);
        const std::string from = name(source, source_port), to = name(target, target_port);
        const std::string key = std::min(from, to) + std::max(from, to);
        const bool begins = (flags & pcap::syn_flag) != 0 && (flags & pcap::ack_flag) == 0;
        auto found = links_.find(key);
        if (found != links_.end() && begins && (found->second.over || found->second.sides[0].next != sequence + 1)) {
            links_.erase(found);  // the same ports once more
            found = links_.end();
        }
        if (found == links_.end()) {
            // Where the beginning is missing, the first who sends is held for the client.
            if ((!begins && payload.empty()) || links_.size() >= most_links) return;
            found = links_.emplace(key, Link{++connections_, from}).first;
            Happening open{Happening::Kind::open, connections_, time_};
            open.ends = std::make_shared<const Happening::Ends>(
                Happening::Ends{pcap::address_of(source, source_port), pcap::address_of(target, target_port)});
            take_(std::move(open));
        }
        Link& link = found->second;
        if (link.over) return;
        const Direction direction = from == link.client ? Direction::up : Direction::down;
        Side& side = this->side(link, direction);
        if ((flags & pcap::syn_flag) != 0) {
            if (side.known) return;
            side.known = true;
            side.next = sequence + 1;
            return;
        }
        if ((flags & pcap::rst_flag) != 0) {
            const bool refused = direction == Direction::down && !side.known;
            link.over = true;
            return tell(link, refused ? Happening::Kind::refused : Happening::Kind::reset, direction);
        }
        if (!side.known) {
            side.known = true;
            side.next = sequence;
        }
        // What the other side acknowledges has passed, whether it is in the file or not.
        Side& other = this->side(link, opposite(direction));
        if ((flags & pcap::ack_flag) != 0 && other.known && !other.ended &&
            static_cast<std::int32_t>(acknowledged - other.next) > 1)
            release(link, opposite(direction), true);
        std::string_view fresh = payload;
        const auto old = static_cast<std::int32_t>(side.next - sequence);
        if (old > 0) {
            fresh.remove_prefix(std::min<std::size_t>(static_cast<std::size_t>(old), fresh.size()));
            sequence = side.next;
            if (static_cast<std::size_t>(old) > payload.size()) return;
        }
        const bool fin = (flags & pcap::fin_flag) != 0;
        if (fresh.empty() && !fin) return;
        if (side.held.emplace(sequence, Segment{std::string(fresh), time_, fin}).second)
            side.held_bytes += fresh.size() + sizeof(Segment);
        release(link, direction, side.held_bytes > most_held_bytes);
    }

    /// Tells what is next in order; with despite_gaps, all that is there.
    void release(Link& link, Direction direction, bool despite_gaps) {
        Side& side = this->side(link, direction);
        while (!side.held.empty() && !side.ended && !link.over) {
            auto first = side.held.lower_bound(side.next);
            if (first == side.held.end()) first = side.held.begin();
            const auto ahead = static_cast<std::int32_t>(first->first - side.next);
            if (ahead > 0 && !despite_gaps) return;
            Segment segment = std::move(first->second);
            side.held.erase(first);
            side.held_bytes -= std::min(side.held_bytes, segment.bytes.size() + sizeof(Segment));
            if (ahead < 0) {
                const auto old = static_cast<std::size_t>(-static_cast<std::int64_t>(ahead));
                if (old > segment.bytes.size() || (old == segment.bytes.size() && !segment.fin)) continue;
                segment.bytes.erase(0, old);
            }
            const std::int64_t now = std::exchange(time_, segment.time);
            if (ahead > 0) {
                Happening gap{Happening::Kind::gap, link.connection, time_, direction};
                gap.count = static_cast<std::uint32_t>(ahead);
                take_(std::move(gap));
                side.next += static_cast<std::uint32_t>(ahead);
            }
            side.next += static_cast<std::uint32_t>(segment.bytes.size());
            if (!segment.bytes.empty()) {
                Happening bytes{Happening::Kind::bytes, link.connection, time_, direction};
                bytes.bytes = std::move(segment.bytes);
                take_(std::move(bytes));
            }
            if (segment.fin) {
                side.ended = true;
                ++side.next;
                tell(link, Happening::Kind::fin, direction);
                link.over = this->side(link, opposite(direction)).ended;
            }
            time_ = now;
        }
    }

    void tell(const Link& link, Happening::Kind kind, Direction direction) {
        take_({kind, link.connection, time_, direction});
    }
    static Side& side(Link& link, Direction direction) { return link.sides.at(static_cast<std::size_t>(direction)); }
    static std::string name(std::string_view address, std::uint16_t port) {
        return FieldWriter().bytes(address).u16(port).str();
    }

    Take take_;
    std::string waiting_;  // the beginning of a packet
    bool begun_ = false, swapped_ = false, nanoseconds_ = false;
    std::uint32_t link_ = 0;
    std::int64_t time_ = 0;
    std::uint64_t connections_ = 0;
    std::map<std::string, Link> links_;
};

}  // namespace websocket
