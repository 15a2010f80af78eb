#pragma once
// The network interfaces of this machine, by name or address: a group is joined on one of them, and a datagram to it
// leaves by one.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"

#include <memory>
#include <string>

#include <fmt/core.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace interfaces {

struct Interface {
    std::string name;  ///< "lo"
    unsigned index = 0;
    Address address;  ///< one of its addresses, of the family that was asked for; its port is 0
    bool is_loopback = false;
};

/// How far an IPv6 group reaches at most: 1 only over the interface's own loop, so that it never leaves the machine, 2
/// the wire, ..., 14 the world (RFC 4291, section 2.7). 0 of what is no such group: IPv4's leave it to the TTL.
inline int scope_of(const Address& group) {
    if (group.family() != AF_INET6) return 0;
    const in6_addr& address = reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr;
    return IN6_IS_ADDR_MULTICAST(&address) ? address.s6_addr[1] & 0x0F : 0;
}

inline bool stays_on_interface(const Address& group) { return scope_of(group) == 1; }

/// Is it another group on each interface, so that bind() has to be told which one is meant?
inline bool needs_scope(const Address& group) { return scope_of(group) == 1 || scope_of(group) == 2; }

inline bool is_group(const Address& address) {
    if (address.family() == AF_INET)
        return IN_MULTICAST(ntohl(reinterpret_cast<const sockaddr_in*>(address.get())->sin_addr.s_addr));
    return address.family() == AF_INET6 &&
           IN6_IS_ADDR_MULTICAST(&reinterpret_cast<const sockaddr_in6*>(address.get())->sin6_addr);
}

/// The host part of an address: "10.7.0.1" of 10.7.0.1:7000; a scope ("%lo") is left out.
inline std::string host_of(const Address& address) {
    std::string text = address.text();
    text.erase(text.rfind(':'));
    if (text.starts_with('[')) text = text.substr(1, text.size() - 2);
    return text.substr(0, text.find('%'));
}

/// The interface of this name or with this address, where it is up and has an address of the group's family. Without a
/// name it is the loopback, and nothing leaves the machine. Linux's loopback carries no groups of IPv6: there it is the
/// first other interface, if the group is one that stays on it (ff01::, ff11::).
/// Throws UsageError if there is none, SocketError if the list can't be had.
inline Interface choose(const std::string& wanted, const Address& group) {
    ifaddrs* list = nullptr;
    CALL(getifaddrs(&list));
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, freeifaddrs);
    const unsigned index_wanted =
        group.family() != AF_INET6 ? 0 : reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_scope_id;
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if (entry->ifa_addr == nullptr || entry->ifa_addr->sa_family != group.family()) continue;
        if ((entry->ifa_flags & IFF_UP) == 0) continue;
        const socklen_t length = group.family() == AF_INET ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        const Interface one{entry->ifa_name, if_nametoindex(entry->ifa_name), Address(entry->ifa_addr, length),
                            (entry->ifa_flags & IFF_LOOPBACK) != 0};
        const bool carries_groups = group.family() == AF_INET || (entry->ifa_flags & IFF_MULTICAST) != 0;
        if (!wanted.empty()) {
            if (one.name == wanted || host_of(one.address) == wanted) return one;
        } else if (index_wanted != 0) {  // ff11::7000%lo
            if (one.index == index_wanted) return one;
        } else if (carries_groups && (one.is_loopback || stays_on_interface(group))) {
            return one;
        }
    }
    const char* family = group.family() == AF_INET ? "IPv4" : "IPv6";
    if (!wanted.empty())
        throw UsageError(
            fmt::format("--interface {}: no interface that is up has this name or address, and {}; see ip address",
                        escaped(wanted), family));
    throw UsageError(fmt::format("the loopback carries no group of {} here: choose an --interface{}", family,
                                 stays_on_interface(group) ? "" : ", by which this group leaves the machine"));
}

}  // namespace interfaces
