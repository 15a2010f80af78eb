// Exercise send_loop: a partial send. Complete send_whole().
//
//     scripts/exercise send_loop        grades it, and says what goes wrong
//     scripts/exercise hint send_loop   says a little more, three times
//
// An echo server that does not wait in send(): MSG_DONTWAIT lets the kernel take what there is room for now, and
// returns how much that was. Its client may read slowly. Not a byte may be lost, none may come twice, and none out of
// order. As long as there is no room it waits, and leaves the processor to others.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// Sends all bytes, however few the kernel takes at a time.
void send_whole(int connection, const char* bytes, size_t count) {
    // TO DO: this sends once, and does not look at what it returns. poll() for POLLOUT waits until there is room again.
    TRY(send(connection, bytes, count, MSG_DONTWAIT));
}

void serve(int connection) {
    char buffer[65536];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0)))
        send_whole(connection, buffer, static_cast<size_t>(received));
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: a partial send."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            serve(connection);
        } catch (const SocketError& error) {
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
