// The eight bytes in front of every datagram, made by hand: two ports, a length, and a checksum that is added up here
// word by word, over the pseudo-header too, which never travels.
//
//     build/udp/header --payload hello
//     build/udp/header --source '[::1]:40000' --destination '[::1]:7000'
//
// It sends nothing, unless it is to compare its sum with the kernel's own, which takes root, or a network of your own:
//     unshare -Urn sh -c 'ip link set lo up; build/udp/header --capture'
// Try it: exchange source and destination; exchange two words of the payload. Which mistakes does this sum not see?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/fields.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "udp/pseudo_header.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/if_packet.h>
#include <net/ethernet.h>
#endif

#include <array>
#include <chrono>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace {

// ---- The sum

/// Adds 16-bit words in one's complement: what is carried out on the left comes back in on the right (RFC 1071).
class Sum {
public:
    /// Adds a word, and tells how: "9c41", or "129af, carried round: 29b0".
    std::string add(std::uint16_t word) {
        const std::uint32_t plain = std::uint32_t{sum_} + word;
        sum_ = static_cast<std::uint16_t>((plain & 0xFFFFU) + (plain >> 16U));
        return plain > 0xFFFF ? fmt::format("{:x}, carried round: {:04x}", plain, sum_) : fmt::format("{:04x}", sum_);
    }

    std::uint16_t value() const { return sum_; }

private:
    std::uint16_t sum_ = 0;
};

/// One line for each word of these bytes: the word, what it is, and the sum so far. Of a long part only the first and
/// the last words are shown; all are added.
void add_part(Sum& sum, std::string_view bytes, const std::string& name) {
    constexpr size_t most_words = 12, first_words = 8;
    FieldReader in(bytes);
    const size_t words = (bytes.size() + 1) / 2;
    for (size_t i = 0; i < words; ++i) {
        const bool half = in.left() == 1;
        const auto word = half ? static_cast<std::uint16_t>(in.u8() << 8U) : in.u16();
        const std::string result = sum.add(word);
        if (words > most_words && i == first_words) fmt::print("  ...   {} words more\n", words - first_words - 1);
        if (words > most_words && i >= first_words && i + 1 < words) continue;
        std::string meaning = i == 0 ? name : "";
        if (half) meaning += meaning.empty() ? "a last byte, and 0" : ", and 0";
        fmt::print("  {:04x}  {:<34}{}\n", word, meaning, result);
    }
}

void add_pseudo_header(Sum& sum, const Address& source, const Address& destination, size_t length) {
    const std::string bytes = udp::pseudo_header(source, destination, length);
    const size_t address = udp::bytes_of(source).size();
    const std::string_view all = bytes, rest = all.substr(2 * address);
    fmt::print("The pseudo-header, which is added up and not sent                sum\n");
    add_part(sum, all.substr(0, address), "source address");
    add_part(sum, all.substr(address, address), "destination address");
    if (source.family() == AF_INET) {
        add_part(sum, rest.substr(0, 2), "0, and the protocol: 17, UDP");
        add_part(sum, rest.substr(2), fmt::format("length {}", length));
    } else {
        add_part(sum, rest.substr(0, 4), fmt::format("length {}", length));
        add_part(sum, rest.substr(4), "0, and the next header: 17, UDP");
    }
}

void add_header(Sum& sum, std::string_view header, std::string_view payload) {
    FieldReader in(header);
    fmt::print("The header\n");
    add_part(sum, header.substr(0, 2), fmt::format("source port {}", in.u16()));
    add_part(sum, header.substr(2, 2), fmt::format("destination port {}", in.u16()));
    add_part(sum, header.substr(4, 2), fmt::format("length {}: 8, and {} of payload", in.u16(), payload.size()));
    add_part(sum, header.substr(6, 2), "checksum, not known yet");
}

/// What becomes of the sum, and what the receiver will find.
void conclude(const Sum& sum, std::string_view pseudo, std::string_view datagram, int family) {
    const auto complement = static_cast<std::uint16_t>(~sum.value());
    fmt::print("\nThe checksum is the complement of {:04x}: {:04x}\n", sum.value(), complement);
    if (complement == 0) {
        fmt::print(
            "0000 {}; so ffff is sent, which is as good as 0 in this arithmetic\n",
            family == AF_INET ? "would say that there is no checksum (RFC 768)" : "is forbidden (RFC 8200, 8.1)");
    }
    fmt::print("The header as it travels:");
    FieldReader in(datagram.substr(0, udp::header_size));
    while (in.left() > 0)
        fmt::print(" {:04x}", in.u16());
    fmt::print("\n");
    // Whoever receives it adds up everything, the checksum too.
    const std::uint16_t left = internet_checksum(std::string(pseudo) + std::string(datagram));
    fmt::print("The receiver's sum, over all of it: {:04x}\n", static_cast<std::uint16_t>(~left));
}

#ifdef __linux__

// ---- The kernel's own

/// What the kernel has put in the checksum's place of a datagram.
struct Sight {
    std::uint16_t checksum;
    bool unfinished;  ///< it left the rest to whoever sends the packet (TP_STATUS_CSUMNOTREADY, packet(7))
};

int open_packet_socket() {
    // SOCK_DGRAM: packets without the header of the link, so that all begin with that of IP.
    const int fd = TRY(socket(AF_PACKET, SOCK_DGRAM, 0));
    if (fd == -1) {
        throw std::runtime_error(fmt::format(
            "--capture: a packet socket sees what everybody sends, so only root may have it ({}); be root in a network "
            "of your own: unshare -Urn sh -c 'ip link set lo up; exec bash'",
            error_name(errno)));
    }
    const int on = 1;
    CALL(setsockopt(fd, SOL_PACKET, PACKET_AUXDATA, &on, sizeof on));  // tells which checksums are unfinished
    sockaddr_ll everywhere{};
    everywhere.sll_family = AF_PACKET;
    everywhere.sll_protocol = htons(ETH_P_ALL);  // that of IP alone would not see what is sent
    CALL(bind(fd, reinterpret_cast<const sockaddr*>(&everywhere), sizeof everywhere));
    return fd;
}

/// The UDP datagram in an IP packet, or the first fragment of one, if it is from and for these addresses; else nothing.
std::optional<std::string_view> find_datagram(std::string_view packet, const Address& source,
                                              const Address& destination) {
    FieldReader ip(packet);
    const std::uint8_t first = ip.u8();
    unsigned protocol = 0, fragment = 0;
    size_t options = 0;  // bytes between the addresses and the next header
    if (source.family() == AF_INET && first >> 4U == 4) {
        ip.bytes(5);
        fragment = ip.u16() & 0x1FFFU;  // its place in the whole
        ip.u8();
        protocol = ip.u8();
        ip.bytes(2);
        options = 4U * (first & 0xFU) - 20;
    } else if (source.family() == AF_INET6 && first >> 4U == 6) {
        ip.bytes(5);
        protocol = ip.u8();
        ip.bytes(1);
    } else {
        return {};
    }
    const size_t size = udp::bytes_of(source).size();
    if (ip.bytes(size) != udp::bytes_of(source) || ip.bytes(size) != udp::bytes_of(destination)) return {};
    ip.bytes(options);
    if (source.family() == AF_INET6 && protocol == IPPROTO_FRAGMENT) {
        protocol = ip.u8();
        ip.u8();
        fragment = ip.u16() >> 3U;
        ip.u32();
    }
    const std::string_view datagram = ip.rest();
    FieldReader in(datagram);
    const bool ours = in.u16() == udp::port_of(source) && in.u16() == udp::port_of(destination);
    in.u32();
    if (protocol != IPPROTO_UDP || fragment != 0 || !ours || !ip.whole() || !in.whole()) return {};
    return datagram;
}

/// Waits for our datagram among all that this machine sends.
Sight see(int packets, const Address& source, const Address& destination) {
    using namespace std::chrono;
    const auto deadline = steady_clock::now() + seconds(3);
    std::string room(65536, '\0');
    for (;;) {
        const auto left = duration_cast<milliseconds>(deadline - steady_clock::now()).count();
        if (left <= 0 || !wait_until_readable(packets, left)) {
            throw std::runtime_error("--capture: the datagram was not seen");
        }
        sockaddr_ll from{};
        iovec piece{room.data(), room.size()};
        alignas(cmsghdr) std::array<char, 256> control{};
        msghdr message{};
        message.msg_name = &from;
        message.msg_namelen = sizeof from;
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t length = TRY(recvmsg(packets, &message, MSG_DONTWAIT));
        // Over loopback it is seen twice: on its way out, and on its way in.
        if (length == -1 || from.sll_pkttype != PACKET_OUTGOING) continue;
        const auto datagram = find_datagram({room.data(), static_cast<size_t>(length)}, source, destination);
        if (!datagram) continue;
        Sight sight{FieldReader(datagram->substr(udp::checksum_at)).u16(), false};
        for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
            if (part->cmsg_level != SOL_PACKET || part->cmsg_type != PACKET_AUXDATA) continue;
            tpacket_auxdata data{};
            std::memcpy(&data, CMSG_DATA(part), sizeof data);
            sight.unfinished = (data.tp_status & TP_STATUS_CSUMNOTREADY) != 0;
        }
        return sight;
    }
}

void tell(const char* how, const Sight& sight, std::uint16_t ours, std::uint16_t pseudo_sum) {
    std::string verdict = "the same as ours";
    if (sight.unfinished) {
        verdict = sight.checksum == pseudo_sum ? "only the pseudo-header's sum; the rest is left to the hardware"
                                               : "unfinished";
    } else if (sight.checksum != ours) {
        verdict = "not the same as ours";
    }
    fmt::print("  {:<36}{:04x}  {}\n", how, sight.checksum, verdict);
}

/// Sends the datagram really, in two ways, and looks what stands in the checksum's place.
void compare_with_kernel(const Address& source, const Address& destination, std::string_view payload) {
    const int packets = open_packet_socket();
    const int endpoint = CALL(socket(source.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, source.get(), source.length()));

    const std::string datagram = udp::datagram(source, destination, payload);
    const std::uint16_t ours = FieldReader(std::string_view(datagram).substr(udp::checksum_at)).u16();
    const std::string pseudo = udp::pseudo_header(source, destination, datagram.size());
    const auto pseudo_sum = static_cast<std::uint16_t>(~internet_checksum(pseudo));

    fmt::print("\nWhat the kernel sends\n");
    CALL(sendto(endpoint, payload.data(), payload.size(), 0, destination.get(), destination.length()));
    tell("at once", see(packets, source, destination), ours, pseudo_sum);
    // A datagram made of several pieces the kernel adds up itself.
    CALL(sendto(endpoint, payload.data(), payload.size(), MSG_MORE, destination.get(), destination.length()));
    CALL(sendto(endpoint, "", 0, 0, destination.get(), destination.length()));
    const Sight finished = see(packets, source, destination);
    tell("in two pieces (MSG_MORE)", finished, ours, pseudo_sum);
    CALL(close(endpoint));
    CALL(close(packets));
    if (finished.unfinished || finished.checksum != ours)
        throw std::runtime_error("--capture: this kernel's checksum could not be seen, or is another");
}

#endif

void must_fit(const Address& source, const Address& destination, size_t payload) {
    if (source.family() != destination.family())
        throw UsageError("--source and --destination: expected two addresses of the same version of IP");
    const size_t most = source.family() == AF_INET ? 65535 - 20 - udp::header_size : 65535 - udp::header_size;
    if (payload > most) throw UsageError(fmt::format("--payload: {} bytes, and at most {} fit", payload, most));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string from = "127.0.0.1:40000", to = "127.0.0.1:7000", payload = "hello";
    [[maybe_unused]] bool capture = false;
    parse_options(
        argc, argv,
        {.summary = "Builds a UDP header by hand, and adds up its checksum word by word.",
         .endpoint = Endpoint::none,
         .more = {{"source", "HOST:PORT", "who sends it", &from},
                  {"destination", "HOST:PORT", "who is to receive it", &to},
                  {"payload", "TEXT", "what it carries", &payload},
#ifdef __linux__
                  {"capture", nullptr, "send it, and look at the kernel's own checksum (takes root)", &capture}
#endif
         }});
    const Address source = resolve_target(from, "--source", SOCK_DGRAM).front();
    const Address destination = resolve_target(to, "--destination", SOCK_DGRAM).front();
    must_fit(source, destination, payload.size());

    const std::string datagram = udp::datagram(source, destination, payload);
    fmt::print("{} -> {}, {} bytes\n\n", source.text(), destination.text(), payload.size());
    Sum sum;
    add_pseudo_header(sum, source, destination, datagram.size());
    add_header(sum, udp::header(source, destination, datagram.size()), payload);
    if (!payload.empty()) fmt::print("The payload\n");
    add_part(sum, payload, fmt::format("\"{}\"", escaped(std::string_view(payload).substr(0, 20))));
    conclude(sum, udp::pseudo_header(source, destination, datagram.size()), datagram, source.family());
#ifdef __linux__
    if (capture) compare_with_kernel(source, destination, payload);
#endif
} catch (const std::exception& error) {
    return report_failure(error);
}
