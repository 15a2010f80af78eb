// Exercise echo_to_spec: a whole WebSocket echo server, on the calls of TCP. Complete serve().
//
//     scripts/exercise echo_to_spec        grades it, and says what goes wrong
//     scripts/exercise hint echo_to_spec   says a little more, three times
//
// The last one of this chapter: everything that the others were about, in one program. Every message comes back as it
// came, text as text and binary as binary. It is graded by the rules of RFC 6455, and by a browser where one is
// installed. In this order, each step without those after it:
//
//     1. the handshake, to 101 (section 4.2), and messages of all three forms of length, there and back (5.2, 5.3)
//     2. frames that come byte by byte, or many at once; Ping (5.5.2); fragments (5.4)
//     3. UTF-8, with 1007 as soon as a text can't become it (8.1)
//     4. every fault of a frame, with 1002; messages of more than most_message bytes, with 1009 (7.4.1)
//     5. Close (5.5.1, 7.1.1): answered once, and TCP ended by the server
//     6. requests that are none: 400; another version than 13: 426, with Sec-WebSocket-Version: 13 (4.2.2, 4.4);
//        more than 8 KiB: 431
//
// No extension is agreed on, no subprotocol, and pages from everywhere are let in. One client at a time is enough.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <string>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t most_message = 1 << 20;

void serve(int connection) {
    // TO DO: this reads the request, and does not answer it.
    std::string request;
    char buffer[65536];
    while (request.find("\r\n\r\n") == std::string::npos && request.size() < most_message) {
        const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0));
        if (received == 0) return;
        request.append(buffer, static_cast<size_t>(received));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: a whole WebSocket echo server."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            limit_waiting(connection, 20);
            serve(connection);
        } catch (const SocketError& error) {
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
