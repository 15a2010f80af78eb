// Broadcast, the receiver: see broadcast_sender.cpp. Nothing is to be joined, and nobody asks whether we want it.
//
//     terminal 1:  build/udp/broadcast_receiver
//     terminal 2:  build/udp/broadcast_receiver                   (yes, at the same port)
//     terminal 3:  build/udp/broadcast_sender
//
// The address that it binds decides what it hears. 127.255.255.255 or 10.0.0.255: only what is sent to that; 0.0.0.0:
// every broadcast of every interface, and what is sent to this machine alone. Try it: --host 127.0.0.1. Then nothing.

#include "udp/arrival.hpp"

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <cstdio>

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>

int main(int argc, char** argv) try {
    std::string host = "127.255.255.255";
    long port = default_port;
    parse_options(argc, argv,
                  {.summary = "Receives UDP broadcasts, and tells to which address each was sent.",
                   .endpoint = Endpoint::none,
                   .more = {{"host", "HOST", "broadcast address, or 0.0.0.0 for all", &host},
                            {"port", "PORT", "port; 0 lets the kernel pick", &port, 0, 65535}}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address address = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (address.family() != AF_INET)
        throw UsageError(fmt::format("--host {}: IPv6 has no broadcast; see multicast_receiver", escaped(host)));

    const int endpoint = CALL(socket(AF_INET, SOCK_DGRAM, 0));
    const int on = 1;
    CALL(setsockopt(endpoint, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));  // others may have this port, too
#ifndef __linux__
    CALL(setsockopt(endpoint, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on));  // which macOS wants, too
#endif
    CALL(setsockopt(endpoint, IPPROTO_IP, IP_PKTINFO, &on, sizeof on));  // "to whom was it?"
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

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
