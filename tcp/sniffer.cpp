// What travels: each packet of an interface, taken apart from its bytes. Linux only (packet(7)).
//
//     terminal 1:  build/tcp/sniffer --port 7000        (--hex: byte by byte)
//     terminal 2:  build/tcp/echo_server
//     terminal 3:  build/tcp/echo_client
//
// A packet socket gets a copy of everything, and so takes root; or a network of your own, where you are root:
//     terminal 1:         unshare -Urn sh -c 'ip link set lo up; echo $$; exec bash'      (it prints a number)
//     terminals 2 and 3:  nsenter -t NUMBER -U -n --preserve-credentials bash
// A file of packets takes nothing:
//     build/tcp/sniffer --read tcp/captures/hello.pcap --hex
// What it captures goes into a file for Wireshark with --pcap FILE, and with --json into lines for other programs.
// The headers are taken apart in sniffer_packet.hpp, which is most of the work.
// Try it: a client of a port where nobody listens; one that is killed; a file of 1 MB through the echo pair.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "tcp/sniffer_packet.hpp"
#include "tcp/sniffer_pcap.hpp"
#include "tcp/sniffer_show.hpp"

#include <fmt/core.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <stdexcept>

namespace {

using sniffer::Packet;

struct Wishes {
    long port = 0;   ///< 0: all
    long count = 0;  ///< 0: no end
    bool hex = false, json = false;
};

/// Takes packets apart, shows those that are wanted, and writes them to the file.
class Desk {
public:
    Desk(const Wishes& wishes, std::unique_ptr<sniffer::PcapWriter> file) : wishes_(wishes), file_(std::move(file)) {}

    void take(Packet& packet) {
        packet.wants_fields = wishes_.hex;
        sniffer::Decoder(packet, connections_).decode();
        if (!is_wanted(packet)) return;
        packet.number = ++shown_;
        if (shown_ == 1) first_time_ = packet.time;
        if (file_) file_->write(packet);
        if (wishes_.json) {
            waiting_ += json_of(packet) + "\n";
        } else {
            const double seconds = static_cast<double>(packet.time - first_time_) / 1e9;
            waiting_ += fmt::format("{:3} {:9.6f}  {}\n", shown_, seconds, summary(packet));
        }
        if (wishes_.hex && !wishes_.json) waiting_ += fields_text(packet) + "\n";
        if (waiting_.size() > 100'000) flush();
    }

    /// To be called whenever there is time: nothing is left over then, in the file and on standard output.
    void flush() {
        if (file_) file_->flush();
        write_all(STDOUT_FILENO, waiting_);
        waiting_.clear();
    }

    std::size_t shown() const { return shown_; }
    bool is_full() const { return wishes_.count > 0 && shown_ >= static_cast<std::size_t>(wishes_.count); }

private:
    bool is_wanted(const Packet& packet) const {
        if (wishes_.port == 0) return true;
        const auto port = static_cast<unsigned>(wishes_.port);
        if (packet.tcp) return packet.tcp->source_port == port || packet.tcp->destination_port == port;
        if (packet.udp) return packet.udp->source_port == port || packet.udp->destination_port == port;
        if (!packet.icmp || !packet.icmp->about) return false;
        return packet.icmp->about->source_port == port || packet.icmp->about->destination_port == port;
    }

    Wishes wishes_;
    std::unique_ptr<sniffer::PcapWriter> file_;
    sniffer::Connections connections_;
    std::size_t shown_ = 0;
    std::int64_t first_time_ = 0;
    std::string waiting_;  ///< for standard output
};

// ---- A packet socket

struct Capture {
    int fd = -1;
    sniffer::Link link = sniffer::Link::ethernet;
    bool is_loopback = false;
    std::vector<char> room = std::vector<char>(sniffer::most_of_a_packet);
};

int open_packet_socket() {
    // Protocol 0: nothing comes before bind() has said from which interface.
    const int fd = TRY(socket(AF_PACKET, SOCK_RAW, 0));
    if (fd == -1 && (errno == EPERM || errno == EACCES)) {
        throw std::runtime_error(
            fmt::format("a packet socket sees what everybody sends, so only root may have it ({}); be root in a "
                        "network of your own: "
                        "unshare -Urn sh -c 'ip link set lo up; exec bash'",
                        error_name(errno)));
    }
    if (fd == -1) throw std::runtime_error(fmt::format("socket(AF_PACKET): {}", describe_error(errno)));
    return fd;
}

void must_be_up(const Capture& capture, const ifreq& request, const std::string& name) {
    ifreq flags = request;
    CALL(ioctl(capture.fd, SIOCGIFFLAGS, &flags));
    if ((flags.ifr_flags & IFF_UP) == 0)
        throw std::runtime_error(fmt::format("{0} is down; run: ip link set {0} up", escaped(name)));
}

/// Copies of all that the interface sends and receives, from now on.
Capture start_capture(const std::string& name) {
    Capture capture;
    capture.fd = open_packet_socket();
    ifreq request{};
    if (name.empty() || name.size() >= sizeof request.ifr_name)
        throw UsageError(fmt::format("--interface {}: expected 1 to {} characters", escaped(name), IFNAMSIZ - 1));
    std::memcpy(request.ifr_name, name.data(), name.size());
    const unsigned index = if_nametoindex(name.c_str());
    if (index == 0)
        throw std::runtime_error(fmt::format("there is no interface {}; ip link shows those that are", escaped(name)));
    must_be_up(capture, request, name);

    // What its packets begin with.
    CALL(ioctl(capture.fd, SIOCGIFHWADDR, &request));
    const auto hardware = request.ifr_hwaddr.sa_family;
    capture.is_loopback = hardware == ARPHRD_LOOPBACK;
    if (hardware == ARPHRD_NONE) {
        capture.link = sniffer::Link::raw;
    } else if (hardware != ARPHRD_ETHER && !capture.is_loopback) {
        throw std::runtime_error(
            fmt::format("{} is of a kind (ARPHRD {}) that is not known here", escaped(name), hardware));
    }

    const int on = 1;
    CALL(setsockopt(capture.fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));  // when the kernel saw it
    CALL(setsockopt(capture.fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));  // VLAN tag, unfinished checksum
    const int room = 16 << 20;                                                 // what comes while we print waits here
    if (TRY(setsockopt(capture.fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room)) == -1)
        CALL(setsockopt(capture.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));  // up to net.core.rmem_max
    // On loopback, all that is sent is received as well: once is enough.
    if (capture.is_loopback) TRY(setsockopt(capture.fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &on, sizeof on));

    sockaddr_ll address{};
    address.sll_family = AF_PACKET;
    address.sll_protocol = htons(ETH_P_ALL);
    address.sll_ifindex = static_cast<int>(index);
    CALL(bind(capture.fd, reinterpret_cast<const sockaddr*>(&address), sizeof address));
    return capture;
}

/// The kernel takes a VLAN tag out of the packet; on the wire it stands behind the two addresses.
void put_vlan_back(Packet& packet, const tpacket_auxdata& data) {
    if ((data.tp_status & TP_STATUS_VLAN_VALID) == 0 || packet.bytes.size() < 12) return;
    const unsigned type = (data.tp_status & TP_STATUS_VLAN_TPID_VALID) != 0 ? data.tp_vlan_tpid : ETHERTYPE_VLAN;
    const char tag[] = {static_cast<char>(type >> 8U), static_cast<char>(type & 0xFFU),
                        static_cast<char>(data.tp_vlan_tci >> 8U), static_cast<char>(data.tp_vlan_tci & 0xFFU)};
    packet.bytes.insert(packet.bytes.begin() + 12, tag, tag + sizeof tag);
    packet.length += sizeof tag;
}

/// The next packet that waits, with what the kernel knows about it; nothing if none does.
std::optional<Packet> next_packet(Capture& capture) {
    for (;;) {
        sockaddr_ll from{};
        iovec piece{capture.room.data(), capture.room.size()};
        alignas(cmsghdr) std::array<char, 256> control{};
        msghdr message{};
        message.msg_name = &from;
        message.msg_namelen = sizeof from;
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        // MSG_TRUNC: the length that the packet has, even if it does not fit
        const ssize_t length = TRY(recvmsg(capture.fd, &message, MSG_DONTWAIT | MSG_TRUNC));
        if (length == -1) {
            if (errno == EAGAIN) return {};
            if (errno == EINTR) continue;
            throw std::runtime_error(fmt::format("recvmsg: {}", describe_error(errno)));
        }
        if (capture.is_loopback && from.sll_pkttype == PACKET_OUTGOING) continue;

        Packet packet;
        packet.link = capture.link;
        packet.length = static_cast<std::size_t>(length);
        const auto begin = capture.room.begin();
        packet.bytes.assign(begin, begin + static_cast<long>(std::min(packet.length, capture.room.size())));
        for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
            if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_TIMESTAMPNS) {
                timespec time{};
                std::memcpy(&time, CMSG_DATA(part), sizeof time);
                packet.time = std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
            }
            if (part->cmsg_level == SOL_PACKET && part->cmsg_type == PACKET_AUXDATA) {
                tpacket_auxdata data{};
                std::memcpy(&data, CMSG_DATA(part), sizeof data);
                packet.checksum_open = (data.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
                put_vlan_back(packet, data);
            }
        }
        return packet;
    }
}

/// Takes what waits, at most so many packets. False when nothing is left.
bool take_waiting(Capture& capture, Desk& desk, int most) {
    for (int i = 0; i < most && !desk.is_full(); ++i) {
        std::optional<Packet> packet = next_packet(capture);
        if (!packet) return false;
        desk.take(*packet);
    }
    return !desk.is_full();
}

void watch(Capture& capture, Desk& desk, int stop) {
    while (!desk.is_full()) {
        if (take_waiting(capture, desk, 1000)) {
            // It goes on and on: look only whether the reader has had enough.
            if (wait_until_readable(stop, 0)) break;
            continue;
        }
        desk.flush();
        if (desk.is_full()) break;
        pollfd watched[]{{capture.fd, POLLIN, 0}, {stop, POLLIN, 0}};
        CALL(poll(watched, 2, -1));
        if (watched[1].revents != 0) {
            take_waiting(capture, desk, 100'000);  // what was there before Ctrl-C counts
            break;
        }
    }
    desk.flush();
}

void say_what_was_seen(const Capture& capture, const Desk& desk) {
    tpacket_stats counts{};
    socklen_t length = sizeof counts;
    CALL(getsockopt(capture.fd, SOL_PACKET, PACKET_STATISTICS, &counts, &length));
    if (isatty(STDERR_FILENO) == 1) fmt::print(stderr, "\n");  // behind the ^C
    fmt::print(stderr, "{} packets shown, {} seen, {} dropped by the kernel\n", desk.shown(), counts.tp_packets,
               counts.tp_drops);
}

void read_file(sniffer::PcapReader& file, Desk& desk) {
    try {
        while (!desk.is_full()) {
            std::optional<Packet> packet = file.next();
            if (!packet) break;
            desk.take(*packet);
        }
    } catch (...) {
        desk.flush();  // what came before what is wrong
        throw;
    }
    desk.flush();
}

void must_be_known(sniffer::Link link) {
    using sniffer::Link;
    for (const Link known :
         {Link::bsd_loopback, Link::ethernet, Link::raw, Link::cooked, Link::ipv4, Link::ipv6, Link::cooked2})
        if (link == known) return;
    throw std::runtime_error(fmt::format("--read: link type {} is not known here", static_cast<std::uint32_t>(link)));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string interface = "lo", pcap, read;
    Wishes wishes;
    parse_options(argc, argv,
                  {.summary = "Packet sniffer: shows what travels over an interface, taken apart from its bytes.",
                   .endpoint = Endpoint::none,
                   .more = {{"interface", "NAME", "where to capture", &interface},
                            {"port", "NUMBER", "only TCP and UDP of this port; 0: everything", &wishes.port, 0, 65535},
                            {"count", "N", "end after so many packets; 0: at Ctrl-C", &wishes.count},
                            {"hex", nullptr, "show the bytes of each field beside its meaning", &wishes.hex},
                            {"json", nullptr, "print a line of JSON for each packet", &wishes.json},
                            {"pcap", "FILE", "write the packets to a file for Wireshark", &pcap},
                            {"read", "FILE", "take packets from a pcap file, and capture nothing", &read}}});

    if (wishes.hex && wishes.json) throw UsageError("--hex is for reading and --json for programs: choose one");

    const auto writer = [&](sniffer::Link link) {
        return pcap.empty() ? nullptr : std::make_unique<sniffer::PcapWriter>(pcap, link);
    };
    if (!read.empty()) {
        sniffer::PcapReader file(read);
        must_be_known(file.link());
        std::error_code ignored;
        if (!pcap.empty() && std::filesystem::equivalent(read, pcap, ignored))
            throw UsageError("--pcap: this is the file that is to be read");
        Desk desk(wishes, writer(file.link()));
        read_file(file, desk);
        return 0;
    }

    Capture capture = start_capture(interface);
    Desk desk(wishes, writer(capture.link));
    const int stop = stop_descriptor();
    fmt::print(stderr, "capturing on {}; Ctrl-C ends it\n", interface);
    watch(capture, desk, stop);
    say_what_was_seen(capture, desk);
    CALL(close(capture.fd));
} catch (const std::exception& error) {
    return report_failure(error);
}
