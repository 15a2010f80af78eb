#pragma once
// A datagram with what the kernel knows of it besides the sender: to which address it was sent, over which interface it
// came, what was left of its TTL, and when it arrived. recvmsg() brings that as ancillary data (cmsg(3)), if it was
// asked for by setsockopt() (ip(7), ipv6(7), socket(7)).

// macOS has the options of RFC 3542 only where this stands before the first header.
#ifdef __APPLE__
#define __APPLE_USE_RFC_3542
#endif

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"

#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

/// Room for one, to be given to recvmsg(fd, arrival.message(), 0), again and again.
class Arrival {
public:
    /// Empties it, and returns what recvmsg() is to fill in.
    msghdr* message() {
        place_ = {bytes_.data(), bytes_.size()};
        message_ = {};
        message_.msg_name = sender_.out();
        message_.msg_namelen = *sender_.out_length();
        message_.msg_iov = &place_;
        message_.msg_iovlen = 1;
        message_.msg_control = control_.data();
        message_.msg_controllen = sizeof control_;
        return &message_;
    }

    const Address& sender() const { return sender_; }
    std::string_view bytes(ssize_t received) const { return {bytes_.data(), static_cast<std::size_t>(received)}; }

    /// Microseconds since 1970 when the kernel took it (SO_TIMESTAMP), or 0.
    std::uint64_t arrived() const {
        timeval time{};
        if (!find(SOL_SOCKET, SCM_TIMESTAMP, time)) return 0;
        return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000 + static_cast<std::uint64_t>(time.tv_usec);
    }

    /// "to 239.255.70.70 over lo, TTL 1": as much of it as was asked for.
    std::string details() const {
        std::string text;
        char host[INET6_ADDRSTRLEN] = "";
        in_pktinfo to4{};
        in6_pktinfo to6{};
        if (find(IPPROTO_IP, IP_PKTINFO, to4)) {
            inet_ntop(AF_INET, &to4.ipi_addr, host, sizeof host);
            text = fmt::format("to {} over {}", host, name_of(static_cast<unsigned>(to4.ipi_ifindex)));
        } else if (find(IPPROTO_IPV6, IPV6_PKTINFO, to6)) {
            inet_ntop(AF_INET6, &to6.ipi6_addr, host, sizeof host);
            text = fmt::format("to {} over {}", host, name_of(to6.ipi6_ifindex));
        }
        int left = 0;
#ifdef __linux__
        if (find(IPPROTO_IP, IP_TTL, left)) text += fmt::format(", TTL {}", left);
#else
        std::uint8_t left_of_byte = 0;
        if (find(IPPROTO_IP, IP_RECVTTL, left_of_byte)) text += fmt::format(", TTL {}", left_of_byte);
#endif
        if (find(IPPROTO_IPV6, IPV6_HOPLIMIT, left)) text += fmt::format(", hop limit {}", left);
        return text;
    }

private:
    static std::string name_of(unsigned index) {
        char name[IF_NAMESIZE] = "";
        return if_indextoname(index, name) != nullptr ? name : "an interface that is gone";
    }

    /// Copies the first of this level and type, if one has come.
    template <typename Value>
    bool find(int level, int type, Value& value) const {
        auto* message = const_cast<msghdr*>(&message_);  // the macros want it so
        for (cmsghdr* one = CMSG_FIRSTHDR(message); one != nullptr; one = CMSG_NXTHDR(message, one)) {
            if (one->cmsg_level != level || one->cmsg_type != type) continue;
            std::memcpy(&value, CMSG_DATA(one), sizeof value);
            return true;
        }
        return false;
    }

    std::array<char, 65536> bytes_{};  // more than any UDP datagram has: none is cut off
    alignas(cmsghdr) std::array<char, 512> control_{};
    Address sender_;
    iovec place_{};
    msghdr message_{};
};

/// Bytes of a peer, for a line of their own: without the newline at their end, and harmless (errors.hpp).
inline std::string one_line(std::string_view bytes) {
    if (bytes.ends_with('\n')) bytes.remove_suffix(1);
    return escaped(bytes);
}
