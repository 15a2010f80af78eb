// Unix domain datagram server: as udp/echo_server.cpp, with a path where that has a host and a port.
//
//     terminal 1:  build/unix/datagram_server --step
//     terminal 2:  build/unix/datagram_client --step
//
// Nothing is lost here: where UDP would throw a datagram away, its sender waits. But an answer needs an address, and a
// Unix socket gets none by itself. Try it: datagram_client --no-name, and diff udp/echo_server.cpp
// unix/datagram_server.cpp

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>

namespace {

/// Who it is from: a path, which may have anything in it; "" of a client that has not bound its socket.
std::string name_of(const Address& client) { return escaped(client.text()); }

}  // namespace

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Unix domain datagram server: returns every datagram to the path that it came from.",
                       .endpoint = Endpoint::unix_path,
                       .socket_name = "datagram"});

    const int endpoint = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
    bind_to_path(endpoint, options.path);
    announce_ready(endpoint);

    constexpr size_t most = 4096;
    char datagram[most + 1];  // one byte more than we take: only what is too long fills it
    for (;;) {
        Address client;
        try {
            const ssize_t received =
                CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, client.out(), client.out_length()));
            const size_t count = std::min(static_cast<size_t>(received), most);
            if (name_of(client).empty()) {
                fmt::print(stderr, "{} bytes from a socket without a name: there is nowhere to answer to\n", count);
                continue;
            }
            if (count < static_cast<size_t>(received)) {
                fmt::print(stderr, "cut off after {} bytes, the rest is lost: from {}\n", count, name_of(client));
            }
            // A client that does not read must not make the others wait: then it is its answer that gets lost.
            CALL(sendto(endpoint, datagram, count, MSG_DONTWAIT, client.get(), client.length()));
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
