// Multicast, the receiver: it joins a group, and from then on gets what anybody sends to the group's address.
//
//     terminal 1:  build/udp/multicast_receiver
//     terminal 2:  build/udp/multicast_receiver                   (at the same port; both get everything)
//     terminal 3:  build/udp/multicast_sender
//
// A group is joined on one interface. There the machine begins to take its datagrams, and tells the routers (IGMP, RFC
// 3376; MLD, RFC 3810). Joining and binding are two things. Bound to the group's address, as here, a socket gets
// nothing else; bound to all of them (--any), also what is sent to this machine alone: to which of two sockets? Try it:
// --any --share address in both, --any --share port in both, and nc -u 127.0.0.1 7000.

#include "udp/arrival.hpp"

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/interface.hpp"

#include <cstdio>
#include <string>

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace {

using interfaces::Interface;

/// Several programs of this machine are to have the port, each for itself. With SO_REUSEPORT they are a team, among
/// which Linux may spread even datagrams to a group: one that has joined on lo then gets what came over eth0 for
/// another.
void share_port(int endpoint, const std::string& how) {
    const int on = 1;
    if (how == "address" || how == "both") CALL(setsockopt(endpoint, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    if (how == "port" || how == "both") CALL(setsockopt(endpoint, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));
}

void join4(int endpoint, const Address& group, const Interface& interface) {
    ip_mreqn request{};
    request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr;
    request.imr_ifindex = static_cast<int>(interface.index);
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
    const int on = 1;
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));  // tell with each to whom it was sent
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
#ifdef IP_MULTICAST_ALL
    // Linux would bring us what comes over any other interface, too, where some other program has joined the group.
    const int off = 0;
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off));
#endif
}

void join6(int endpoint, const Address& group, const Interface& interface) {
    ipv6_mreq request{};
    request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr;
    request.ipv6mr_interface = interface.index;
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request));
    const int on = 1;
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on));
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on));
#ifdef IPV6_MULTICAST_ALL
    const int off = 0;
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off));
#endif
}

/// What to bind: the group itself, or with --any whatever this machine is called.
Address place_of(const Address& group, const Interface& interface, bool any) {
    Address place = group;
    if (group.family() == AF_INET) {
        if (any) reinterpret_cast<sockaddr_in*>(place.out())->sin_addr.s_addr = INADDR_ANY;
    } else {
        auto* address = reinterpret_cast<sockaddr_in6*>(place.out());
        address->sin6_scope_id = interfaces::needs_scope(group) ? interface.index : 0;
        if (any) address->sin6_addr = in6addr_any;
        if (any) address->sin6_scope_id = 0;
    }
    return place;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "239.255.70.70", interface_name, share = "address";
    long port = default_port;
    bool any = false;
    parse_options(
        argc, argv,
        {.summary = "Joins a multicast group, and prints what is sent to it.",
         .endpoint = Endpoint::none,
         .more = {{"host", "GROUP", "224.0.0.0 to 239.255.255.255, or of IPv6 ff00::/8", &host},
                  {"port", "PORT", "port; 0 lets the kernel pick", &port, 0, 65535},
                  {"interface", "NAME", "or its address: where to join (else the loopback)", &interface_name},
                  {"any", nullptr, "bind all addresses of this machine, and not the group's", &any},
                  {"share", "HOW", "the port: address (SO_REUSEADDR), port (SO_REUSEPORT), both, no", &share}}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address group = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (!interfaces::is_group(group))
        throw UsageError(fmt::format("--host {}: expected a group, as 239.255.70.70 or ff11::7000", escaped(host)));
    if (share != "address" && share != "port" && share != "both" && share != "no")
        throw UsageError(fmt::format("--share {}: expected address, port, both or no", escaped(share)));
    const Interface interface = interfaces::choose(interface_name, group);

    const int endpoint = CALL(socket(group.family(), SOCK_DGRAM, 0));
    share_port(endpoint, share);
    const Address place = place_of(group, interface, any);
    CALL(bind(endpoint, place.get(), place.length()));
    group.family() == AF_INET ? join4(endpoint, group, interface) : join6(endpoint, group, interface);
    announce_ready(local_address(endpoint).text(),
                   any || !(interface.is_loopback || interfaces::stays_on_interface(group)));
    fmt::print("joined {} on {}\n", interfaces::host_of(group), interface.name);

    static Arrival arrival;
    for (;;) {
        try {
            const ssize_t received = CALL(recvmsg(endpoint, arrival.message(), 0));
            fmt::print("{} {}: {}\n", arrival.sender().text(), arrival.details(), one_line(arrival.bytes(received)));
        } catch (const SocketError& error) {
            complain(error);  // one datagram less
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
