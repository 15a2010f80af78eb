#pragma once
// Files of packets, as tcpdump and Wireshark write and read them (draft-ietf-opsawg-pcap): a header of 24 bytes, and
// before each packet 16 bytes with its time, how much of it was captured, and how long it was.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/stream.hpp"
#include "tcp/sniffer_packet.hpp"

#include <fmt/core.h>

#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>

#include <fcntl.h>
#include <unistd.h>

namespace sniffer {

constexpr std::uint32_t nanosecond_magic = 0xa1b23c4d, microsecond_magic = 0xa1b2c3d4;
constexpr std::uint32_t pcapng_magic = 0x0a0d0d0a;  // the newer format
constexpr std::size_t most_of_a_packet = 262'144;

struct PcapHeader {
    std::uint32_t magic = nanosecond_magic;
    std::uint16_t major = 2, minor = 4;
    std::uint32_t zone = 0, accuracy = 0;
    std::uint32_t most = most_of_a_packet;
    std::uint32_t link = 1;
};

struct PcapRecord {
    std::uint32_t seconds, fraction, captured, length;
};

/// Packets go to the file when flush() is called, or when they are many: whole ones only.
class PcapWriter {
public:
    PcapWriter(const std::string& path, Link link) : fd_(CALL(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666))) {
        const PcapHeader header{.link = static_cast<std::uint32_t>(link)};
        add(&header, sizeof header);
        flush();
    }
    ~PcapWriter() { ::close(fd_); }
    PcapWriter(const PcapWriter&) = delete;
    PcapWriter& operator=(const PcapWriter&) = delete;

    void write(const Packet& packet) {
        const PcapRecord record{static_cast<std::uint32_t>(packet.time / 1'000'000'000),
                                static_cast<std::uint32_t>(packet.time % 1'000'000'000),
                                static_cast<std::uint32_t>(packet.bytes.size()),
                                static_cast<std::uint32_t>(packet.length)};
        add(&record, sizeof record);
        waiting_ += packet.view();
        if (waiting_.size() > 1'000'000) flush();
    }

    void flush() {
        write_all(fd_, waiting_);
        waiting_.clear();
    }

private:
    void add(const void* bytes, std::size_t count) { waiting_.append(static_cast<const char*>(bytes), count); }

    int fd_;
    std::string waiting_;
};

/// Reads either order of bytes, and times in micro- or nanoseconds. Throws std::runtime_error on what is no such file.
class PcapReader {
public:
    explicit PcapReader(const std::string& path) : path_(path), fd_(CALL(open(path.c_str(), O_RDONLY))) {
        PcapHeader header;
        const std::string bytes = take(sizeof header);
        if (bytes.size() >= sizeof header.magic) std::memcpy(&header.magic, bytes.data(), sizeof header.magic);
        if (header.magic == pcapng_magic && bytes.size() == sizeof header) {
            fail("this is pcapng; make a pcap of it: tshark -r FILE -F pcap -w NEW");
        }
        for (const bool swapped : {false, true}) {
            const std::uint32_t magic = swapped ? __builtin_bswap32(header.magic) : header.magic;
            if (magic != nanosecond_magic && magic != microsecond_magic) continue;
            swapped_ = swapped;
            nanoseconds_ = magic == nanosecond_magic;
            if (bytes.size() < sizeof header) break;
            std::memcpy(&header, bytes.data(), sizeof header);
            link_ = static_cast<Link>(ordered(header.link) & 0xFFFFU);
            return;
        }
        fail("this is no pcap file");
    }
    ~PcapReader() { ::close(fd_); }
    PcapReader(const PcapReader&) = delete;
    PcapReader& operator=(const PcapReader&) = delete;

    Link link() const { return link_; }

    /// The next packet; nothing at the end of the file.
    std::optional<Packet> next() {
        const std::string head = take(sizeof(PcapRecord));
        if (head.empty()) return {};
        PcapRecord record{};
        if (head.size() < sizeof record) fail("it ends in the middle of a packet's header");
        std::memcpy(&record, head.data(), sizeof record);
        const std::size_t captured = ordered(record.captured);
        if (captured > most_of_a_packet) fail(fmt::format("a packet of {} bytes: this file is broken", captured));
        Packet packet;
        packet.link = link_;
        packet.time = std::int64_t{ordered(record.seconds)} * 1'000'000'000 +
                      std::int64_t{ordered(record.fraction)} * (nanoseconds_ ? 1 : 1000);
        packet.length = ordered(record.length);
        const std::string bytes = take(captured);
        packet.bytes.assign(bytes.begin(), bytes.end());
        if (packet.bytes.size() < captured) fail("it ends in the middle of a packet");
        return packet;
    }

private:
    [[noreturn]] void fail(const std::string& what) const {
        throw std::runtime_error(fmt::format("--read {}: {}", escaped(path_), what));
    }
    std::uint32_t ordered(std::uint32_t number) const { return swapped_ ? __builtin_bswap32(number) : number; }

    /// So many bytes, or fewer if the file ends.
    std::string take(std::size_t count) {
        while (read_.size() - at_ < count) {
            read_.erase(0, std::exchange(at_, 0));
            const std::size_t before = read_.size();
            read_.resize(before + 65'536);
            const ssize_t added = CALL(::read(fd_, read_.data() + before, 65'536));
            read_.resize(before + static_cast<std::size_t>(added));
            if (added == 0) break;
        }
        std::string bytes = read_.substr(at_, count);
        at_ += bytes.size();
        return bytes;
    }

    std::string path_;
    int fd_;
    bool swapped_ = false, nanoseconds_ = false;
    Link link_ = Link::ethernet;
    std::string read_;  ///< of which everything before at_ was taken
    std::size_t at_ = 0;
};

}  // namespace sniffer
