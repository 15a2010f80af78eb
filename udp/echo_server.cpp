// UDP echo server: socket, bind, recvfrom, sendto. No listen, no accept, no connection: one socket for all clients.
//
//     terminal 1:  build/udp/echo_server --step
//     terminal 2:  build/udp/echo_client --step
//
// Each datagram arrives with the address of its sender, and that is where the answer goes. The server keeps nothing of
// a client. Try it: start two clients, and see that neither waits; then diff tcp/echo_server.cpp udp/echo_server.cpp

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char** argv) try {
    const Options options = parse_options(
        argc, argv, {.summary = "UDP echo server: returns every datagram to the address that it came from."});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    char datagram[65536];  // more than any UDP datagram has: none is cut off
    for (;;) {
        Address client;
        try {
            const ssize_t received =
                CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, client.out(), client.out_length()));
            CALL(sendto(endpoint, datagram, static_cast<size_t>(received), 0, client.get(), client.length()));
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
