// Multicast: one datagram to a group, and everybody who has joined it gets a copy. The sender need not be a member, and
// doesn't learn who is.
//
//     terminal 1:  build/udp/multicast_receiver
//     terminal 2:  build/udp/multicast_sender
//
// Three decisions are the sender's. By which interface does it leave? Routing tables know little of groups: say it
// (--interface). How far may it go? Each router takes one off its TTL, IPv6's hop limit (--ttl): with 1, which is what
// the kernel takes, the first router drops it; with 0 it should not leave the machine, but see below. And do receivers
// on this machine get it, too (--no-loop: they do not)? On the loopback interface itself, which is where we are unless
// you say otherwise, Linux makes no difference: try the last two on another (the lesson says how).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/interface.hpp"

#include <cstdio>
#include <iostream>
#include <string>

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using interfaces::Interface;

/// Linux keeps back what has TTL 0 only where it makes the copy for this machine (ip_mc_output() in net/ipv4): if
/// nobody here has joined the group, there is none, and the datagram leaves.
#ifdef __linux__
constexpr bool ttl_0_stays = false;
#else
constexpr bool ttl_0_stays = true;
#endif

void decide4(int endpoint, const Interface& interface, int ttl, bool loop) {
    ip_mreqn by{};
    by.imr_ifindex = static_cast<int>(interface.index);
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
    const auto ttl_byte = static_cast<unsigned char>(ttl), loop_byte = static_cast<unsigned char>(loop ? 1 : 0);
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_MULTICAST_TTL, &ttl_byte, sizeof ttl_byte));
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_MULTICAST_LOOP, &loop_byte, sizeof loop_byte));
    // The sender's address: else Linux takes one of another interface for the loopback's, or even 0.0.0.0.
    CALL(bind(endpoint, interface.address.get(), interface.address.length()));
}

void decide6(int endpoint, const Interface& interface, int hops, bool loop) {
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface.index, sizeof interface.index));
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops));
    const unsigned wanted = loop ? 1 : 0;
    CALL(setsockopt(endpoint, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &wanted, sizeof wanted));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "239.255.70.70", interface_name;
    long port = default_port, ttl = 1;
    bool no_loop = false;
    parse_options(
        argc, argv,
        {.summary = "Sends each line of standard input as a datagram to a multicast group.",
         .endpoint = Endpoint::none,
         .more = {{"host", "GROUP", "224.0.0.0 to 239.255.255.255, or of IPv6 ff00::/8", &host},
                  {"port", "PORT", "port of the receivers", &port, 0, 65535},
                  {"interface", "NAME", "or its address: leave by this one (else the loopback)", &interface_name},
                  {"ttl", "HOPS", "so far: 1 not past a router; 0: for this machine alone", &ttl, 0, 255},
                  {"no-loop", nullptr, "nobody on this machine is to get it", &no_loop}}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address group = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (!interfaces::is_group(group))
        throw UsageError(fmt::format("--host {}: expected a group, as 239.255.70.70 or ff11::7000", escaped(host)));
    const Interface interface = interfaces::choose(interface_name, group);

    const int endpoint = CALL(socket(group.family(), SOCK_DGRAM, 0));
    if (group.family() == AF_INET) {
        decide4(endpoint, interface, static_cast<int>(ttl), !no_loop);
    } else {
        decide6(endpoint, interface, static_cast<int>(ttl), !no_loop);
    }
    if (!interface.is_loopback && !interfaces::stays_on_interface(group) && !(ttl == 0 && ttl_0_stays))
        fmt::print(stderr, "{} over {} leaves this machine{}\n", group.text(), interface.name,
                   ttl > 0 ? ": any other one there may get it" : " even so, unless somebody on it has joined");
    for (std::string line; std::getline(std::cin, line);) {
        if (!std::cin.eof()) line += '\n';
        CALL(sendto(endpoint, line.data(), line.size(), 0, group.get(), group.length()));
        fmt::print("{} bytes to {} over {}\n", line.size(), group.text(), interface.name);
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
