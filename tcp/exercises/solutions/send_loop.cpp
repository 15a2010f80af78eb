// Exercise send_loop, solved: a partial send.
//
// An echo server that does not wait in send(): MSG_DONTWAIT lets the kernel take what there is room for now, and
// returns how much that was. Its client may read slowly. Not a byte may be lost, none may come twice, and none out of
// order.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

namespace {

/// Sends all bytes, however few the kernel takes at a time.
void send_whole(int connection, const char* bytes, size_t count) {
    while (count > 0) {
        const ssize_t sent = TRY(send(connection, bytes, count, MSG_DONTWAIT));
        if (sent == -1 && errno != EAGAIN) throw SocketError(errno, {"send(connection, ...)", __FILE__, __LINE__});
        if (sent == -1) {  // the buffer is full: wait until there is room again, instead of trying in a circle
            pollfd watched{connection, POLLOUT, 0};
            CALL(poll(&watched, 1, -1));
            continue;
        }
        bytes += sent;
        count -= static_cast<size_t>(sent);
    }
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
