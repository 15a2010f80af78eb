#pragma once
// The datagrams of probe_sender and probe_receiver, and what can be told from them. All numbers in network order:
//
//      0        4      5       8         12       16                24
//     +--------+------+-------+---------+--------+-----------------+---------
//     | CRC-32 | kind | zeros | session | number | time            | rest
//     +--------+------+-------+---------+--------+-----------------+---------
//
//     probe    number: 0, 1, 2 ... time: the sender's clock when it left, in microseconds since 1970. rest: filling.
//     end      number: how many probes there were. rest: filling, so that the answer is not longer than the question.
//     report   the answer to an end: rest is what has arrived (Report).
//
// CRC-32 covers everything behind it: what is damaged on the way is no probe, and its number counts as lost.

#include "common/fields.hpp"

#include <algorithm>
#include <bitset>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <zlib.h>

namespace probes {

enum class Kind : std::uint8_t { probe = 1, end = 2, report = 3 };

constexpr std::size_t header_size = 24;
constexpr std::size_t report_size = header_size + 5 * 8;  // of an end at least, and of a report exactly

struct Packet {
    Kind kind = Kind::probe;
    std::uint32_t session = 0;  ///< chosen by the sender at random: tells a run from one before it
    std::uint32_t number = 0;
    std::uint64_t time = 0;
    std::string_view rest = {};
};

inline std::uint32_t crc(std::string_view bytes) {
    return static_cast<std::uint32_t>(
        crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

inline std::string to_bytes(const Packet& packet) {
    FieldWriter body;
    body.u8(static_cast<std::uint8_t>(packet.kind)).u8(0).u16(0);
    body.u32(packet.session).u32(packet.number).u64(packet.time).bytes(packet.rest);
    return FieldWriter().u32(crc(body.str())).bytes(body.str()).str();
}

/// Nothing if it is too short, damaged, or of no kind that there is. Refers to the bytes.
inline std::optional<Packet> parse(std::string_view bytes) {
    FieldReader in(bytes);
    const std::uint32_t sum = in.u32();
    const std::string_view body = bytes.substr(in.position());
    Packet packet;
    const std::uint8_t kind = in.u8(), zero = in.u8();
    const std::uint16_t zeros = in.u16();
    packet.kind = static_cast<Kind>(kind);
    packet.session = in.u32();
    packet.number = in.u32();
    packet.time = in.u64();
    if (!in.whole() || kind < 1 || kind > 3 || zero != 0 || zeros != 0 || crc(body) != sum) return {};
    if (packet.kind == Kind::end && bytes.size() < report_size) return {};
    if (packet.kind == Kind::report && bytes.size() != report_size) return {};
    packet.rest = in.rest();
    return packet;
}

/// What has become of the probes of one session.
struct Report {
    std::uint64_t received = 0;    ///< different ones
    std::uint64_t lost = 0;        ///< numbers of which nothing, or nothing whole, has come
    std::uint64_t duplicates = 0;  ///< those that had come before
    std::uint64_t reordered = 0;   ///< those that came after one with a higher number (RFC 4737, section 3.3)
    std::uint64_t jitter = 0;      ///< in microseconds
    bool operator==(const Report&) const = default;
};

inline std::string to_bytes(const Report& report) {
    FieldWriter out;
    out.u64(report.received).u64(report.lost).u64(report.duplicates).u64(report.reordered).u64(report.jitter);
    return out.str();
}

inline std::optional<Report> parse_report(std::string_view bytes) {
    FieldReader in(bytes);
    const std::uint64_t received = in.u64(), lost = in.u64(), duplicates = in.u64(), reordered = in.u64();
    const std::uint64_t jitter = in.u64();
    if (!in.whole() || in.left() != 0) return {};
    return Report{received, lost, duplicates, reordered, jitter};
}

/// Counts the probes of one session, in 8 kB, however many there are.
class Counter {
public:
    /// Of so many numbers below the highest it is known whether they have come. One that is older is only `too_old()`.
    static constexpr std::uint32_t window = 65536;

    /// A probe, with its time and when it arrived, both in microseconds, of clocks that may differ.
    void take(std::uint32_t number, std::uint64_t sent, std::uint64_t arrived) {
        measure_jitter(arrived - sent);
        if (!any_ || number > highest_) {
            make_room(number);
            highest_ = number;
            any_ = true;
        } else if (highest_ - number >= window) {
            ++too_old_;
            return;
        } else if (seen_[number % window]) {
            ++duplicates_;
            return;
        } else {
            ++reordered_;
        }
        seen_[number % window] = true;
        ++received_;
    }

    /// The sender says how many there were: so those are missed, too, that would have come last.
    void end(std::uint32_t total) {
        ended_ = true;
        total_ = std::max(total_, std::uint64_t{total});
    }

    bool ended() const { return ended_; }
    std::uint64_t expected() const { return std::max(total_, any_ ? std::uint64_t{highest_} + 1 : 0); }
    std::uint64_t too_old() const { return too_old_; }
    double jitter() const { return jitter_; }  ///< in microseconds
    Report report() const {
        return {received_, expected() - received_, duplicates_, reordered_,
                static_cast<std::uint64_t>(std::min(jitter_, 1e18))};
    }

private:
    /// The numbers between the highest and this one have not come.
    void make_room(std::uint32_t number) {
        if (!any_ || number - highest_ >= window) {
            seen_.reset();
            return;
        }
        for (std::uint32_t between = highest_ + 1; between < number; ++between)
            seen_[between % window] = false;
    }

    /// RFC 3550, section 6.4.1 and appendix A.8: how much the time under way differs from that of the probe which
    /// arrived before, as an average in which each new difference counts a sixteenth. How far the two clocks are apart
    /// does not matter.
    void measure_jitter(std::uint64_t transit) {
        if (transit_) {
            const double difference = std::fabs(static_cast<double>(static_cast<std::int64_t>(transit - *transit_)));
            jitter_ += (difference - jitter_) / 16;
        }
        transit_ = transit;
    }

    std::bitset<window> seen_;
    std::uint32_t highest_ = 0;
    bool any_ = false, ended_ = false;
    std::uint64_t total_ = 0, received_ = 0, duplicates_ = 0, reordered_ = 0, too_old_ = 0;
    std::optional<std::uint64_t> transit_;
    double jitter_ = 0;
};

}  // namespace probes
