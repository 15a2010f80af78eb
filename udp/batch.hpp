#pragma once
// The datagrams of udp/batch_sender.cpp and udp/batch_receiver.cpp: numbered ones with known contents, and around them
// the questions "ready?" and "how many arrived?", with their answers.

#include "common/fields.hpp"

#include <array>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

#include <sys/resource.h>

namespace batch {

/// How many datagrams a call takes along.
enum class Way : std::uint8_t { single, batch, segment };

struct WayName {
    Way way;
    const char* name;
    const char* calls;
};
inline constexpr WayName ways[] = {{Way::single, "single", "sendto, recvfrom: one datagram a call"},
                                   {Way::batch, "batch", "sendmmsg, recvmmsg: many datagrams a call"},
                                   {Way::segment, "segment", "UDP_SEGMENT, UDP_GRO: many datagrams as one"}};

inline const char* name_of(Way way) { return ways[static_cast<std::size_t>(way)].name; }

inline std::optional<Way> way_of(std::string_view name) {
    for (const WayName& known : ways)
        if (name == known.name) return known.way;
    return {};
}

#ifdef __linux__
constexpr bool has_all_ways = true;
#else
constexpr bool has_all_ways = false;  // macOS has only sendto and recvfrom
#endif

constexpr std::size_t most_per_call = 64;  // UDP_MAX_SEGMENTS of Linux; of sendmmsg it would be 1024
constexpr std::size_t header_size = 24;
constexpr std::size_t most_size = 8192;               // of a datagram here
constexpr std::size_t most_payload = 65507;           // of one call with UDP_SEGMENT: it becomes one IPv4 packet first
constexpr std::size_t control_size = 96;              // a question is as long as its answer: nothing to amplify
constexpr std::uint64_t most_datagrams = 10'000'000;  // of a run: the receiver keeps a bit for each
constexpr std::uint32_t magic = 0x32544231;           // "2TB1"

enum class Kind : std::uint8_t { hello = 1, ready, data, done, report };

/// What stands in the first bytes of each.
struct Header {
    Kind kind;
    Way way;
    std::uint16_t size;    ///< of the run's data datagrams
    std::uint64_t run;     ///< chosen by the sender, so that nobody else can guess it
    std::uint64_t number;  ///< hello, done: how many are, and were sent; data: which one, from 0 on
};

/// How a run went, for who receives.
struct Report {
    std::uint64_t received = 0;  ///< different ones
    std::uint64_t twice = 0, damaged = 0, calls = 0;
    std::uint64_t nanoseconds = 0;      ///< from the first to the last
    std::uint64_t cpu_nanoseconds = 0;  ///< of the process, user's and system's
    bool operator==(const Report&) const = default;
};

inline std::string to_bytes(const Header& header) {
    FieldWriter out;
    out.u32(magic).u8(static_cast<std::uint8_t>(header.kind)).u8(static_cast<std::uint8_t>(header.way));
    return out.u16(header.size).u64(header.run).u64(header.number).str();
}

/// Nothing if it is none of ours.
inline std::optional<Header> parse(std::string_view datagram) {
    FieldReader in(datagram);
    if (in.u32() != magic) return {};
    const auto kind = in.u8(), way = in.u8();
    Header header{static_cast<Kind>(kind), static_cast<Way>(way), in.u16(), in.u64(), in.u64()};
    const bool is_known = kind >= static_cast<std::uint8_t>(Kind::hello) &&
                          kind <= static_cast<std::uint8_t>(Kind::report) && way < std::size(ways);
    if (!in.whole() || !is_known || header.size < header_size) return {};
    return header;
}

/// A question or an answer, filled up to its length.
inline std::string control(const Header& header, const Report& report = {}) {
    FieldWriter out;
    out.bytes(to_bytes(header)).u64(report.received).u64(report.twice).u64(report.damaged);
    out.u64(report.calls).u64(report.nanoseconds).u64(report.cpu_nanoseconds);
    std::string bytes = out.str();
    bytes.resize(control_size, '\0');
    return bytes;
}

inline std::optional<Report> report_in(std::string_view datagram) {
    FieldReader in(datagram);
    in.bytes(header_size);
    Report report{in.u64(), in.u64(), in.u64(), in.u64(), in.u64(), in.u64()};
    if (!in.whole()) return {};
    return report;
}

// ---- Contents: each number has others, and both sides can tell them without counting bytes one by one

constexpr std::size_t period = 251;  // a prime: no power of two, and so no buffer's size, is a multiple of it

inline const std::string& pattern() {
    static const std::string bytes = [] {
        std::string all;
        for (std::size_t i = 0; i < most_payload + period; ++i)
            all += static_cast<char>(i % period);
        return all;
    }();
    return bytes;
}

/// Writes a data datagram to where there is room for header.size bytes. start: its header as bytes, of any number.
inline void write_data(char* at, const std::string& start, std::uint16_t size, std::uint64_t number) {
    std::memcpy(at, start.data(), header_size);
    for (std::size_t i = 0; i < sizeof number; ++i)
        at[header_size - 1 - i] = static_cast<char>(number >> (8 * i) & 0xFFU);
    std::memcpy(at + header_size, pattern().data() + number % period, size - header_size);
}

/// Is this what was sent under that number?
inline bool is_intact(std::string_view datagram, const Header& header) {
    return datagram.size() == header.size &&
           std::memcmp(datagram.data() + header_size, pattern().data() + header.number % period,
                       datagram.size() - header_size) == 0;
}

/// What this process has used of the processor so far.
inline std::chrono::nanoseconds cpu_time() {
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    const auto of = [](const timeval& time) {
        return std::chrono::seconds(time.tv_sec) + std::chrono::microseconds(time.tv_usec);
    };
    return of(used.ru_utime) + of(used.ru_stime);
}

}  // namespace batch
