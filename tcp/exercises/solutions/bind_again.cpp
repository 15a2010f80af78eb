// Exercise bind_again, solved: start again where you have just been.
//
// A server is stopped while a client is connected: it closes first, so its end of the connection waits in TIME_WAIT for
// a minute. Started anew it has to listen at the same port, now. But at no time may two servers listen there at once:
// the second one has to fail.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

namespace {

int listen_at(const Address& address) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;  // before bind(), which asks for it
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    return listener;
}

void serve(int connection) {
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0)))
        send_all(connection, buffer, static_cast<size_t>(received));
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: start again where you have just been."});
    const int listener = listen_at(resolve(options.host, options.port, SOCK_STREAM).front());
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
