// Broadcast: one datagram, and every machine of a network gets it. The kernel lets nobody do that by accident.
//
//     terminal 1:  build/udp/broadcast_receiver
//     terminal 2:  build/udp/broadcast_sender
//
// Each line that you type is sent. The first try is refused with EACCES, until SO_BROADCAST says that it is meant.
// There are two kinds of address. A directed one is the last of a network (10.0.0.255 of 10.0.0.0/24): routing finds
// the interface. The limited one, 255.255.255.255, means "whoever is on this wire", and no router passes it on; --from
// says which wire that is. Here it is loopback's own, 127.255.255.255, and nothing leaves the machine. IPv6 has none of
// this.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"

#include <cstdio>
#include <iostream>
#include <string>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// Sends it, and asks for the permission when it is found to be missing. Other programs ask for it at once.
void broadcast(int endpoint, const std::string& line, const Address& everybody) {
    if (TRY(sendto(endpoint, line.data(), line.size(), 0, everybody.get(), everybody.length())) != -1) return;
    if (errno != EACCES) throw SocketError(errno, {"sendto(endpoint, ...)", __FILE__, __LINE__});
    fmt::print(stderr, "refused (EACCES): {} is a broadcast address, and nobody has said that this is meant\n",
               everybody.text());
    const int on = 1;
    CALL(setsockopt(endpoint, SOL_SOCKET, SO_BROADCAST, &on, sizeof on));
    CALL(sendto(endpoint, line.data(), line.size(), 0, everybody.get(), everybody.length()));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.255.255.255", from;
    long port = default_port;
    parse_options(argc, argv,
                  {.summary = "Broadcasts each line of standard input as a UDP datagram.",
                   .endpoint = Endpoint::none,
                   .more = {{"host", "HOST", "broadcast address: of a network, or 255.255.255.255", &host},
                            {"port", "PORT", "port of the receivers", &port, 0, 65535},
                            {"from", "ADDRESS", "of this machine: decides where 255.255.255.255 is", &from}}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address everybody = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (everybody.family() != AF_INET)
        throw UsageError(fmt::format("--host {}: IPv6 has no broadcast; see multicast_sender", escaped(host)));

    const int endpoint = CALL(socket(AF_INET, SOCK_DGRAM, 0));
    bool local = everybody.is_loopback();
    if (!from.empty()) {
        const Address source = resolve(from, 0, SOCK_DGRAM).front();
        CALL(bind(endpoint, source.get(), source.length()));
        local = local || source.is_loopback();
    }
    if (!local) fmt::print(stderr, "{} leaves this machine: every other one there gets it\n", everybody.text());
    for (std::string line; std::getline(std::cin, line);) {
        if (!std::cin.eof()) line += '\n';
        broadcast(endpoint, line, everybody);
        fmt::print("{} bytes to {}\n", line.size(), everybody.text());
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
