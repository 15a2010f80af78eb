// TCP echo server: socket, bind, listen, accept, recv, send, close. The smallest complete server.
//
//     terminal 1:  build/tcp/echo_server --step
//     terminal 2:  build/tcp/echo_client --step
//
// It serves one client at a time: while serve() talks to the first, the second waits in the listen queue.
// Try it: start two clients. Then kill -9 the first in the middle, and see that the second is served.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

namespace {

/// send() may take fewer bytes than it was offered; a stream server has to come back with the rest.
void send_all(int connection, const char* bytes, size_t count) {
    while (count > 0) {
        const ssize_t sent = CALL(send(connection, bytes, count, 0));
        bytes += sent;
        count -= static_cast<size_t>(sent);
    }
}

/// A client that says nothing, or reads nothing, must not keep the others waiting for ever.
void limit_waiting(int connection, long seconds) {
    const timeval limit{.tv_sec = static_cast<time_t>(seconds), .tv_usec = 0};  // 0: no limit
    CALL(setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    CALL(setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}

/// Returns what arrives to where it came from. recv() says 0 when the client has closed its side.
void serve(int connection) {
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        send_all(connection, buffer, static_cast<size_t>(received));
    }
}

/// accept() brings the errors of clients, too: of one that gave up while it waited in the queue, for instance.
int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP echo server: returns every byte to the client that sent it, one client at a time.",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;  // without it, a restart within a minute of hanging up on a client meets TIME_WAIT
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, idle);
            serve(connection);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
