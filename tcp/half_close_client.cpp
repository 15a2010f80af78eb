// TCP half-close client: sends all its input, says that this was all, and still receives: socket, connect, send,
// shutdown, recv, close.
//
//     terminal 1:  build/tcp/half_close_server
//     terminal 2:  build/tcp/half_close_client < README.md
//
// It may send everything first and receive only then, which echo_client.cpp must not: this server sends nothing before
// it has everything, so neither ever waits for the other to read.
// Try it: make the shutdown() a close(), and see who gets the answer. Leave it out, and see who waits for whom.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace {

void send_input(int connection) {
    char buffer[65536];
    while (const ssize_t count = CALL(read(STDIN_FILENO, buffer, sizeof buffer))) {
        send_all(connection, buffer, static_cast<size_t>(count));
    }
}

/// Prints what comes until the server closes its side, too.
void receive_answer(int connection) {
    Output output;
    char buffer[4096];
    bool whole = false;
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        output.write({buffer, static_cast<size_t>(received)});
        whole = buffer[received - 1] == '\n';
    }
    if (!whole) throw std::runtime_error("the server ended the connection before its answer was whole");
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(
        argc, argv, {.summary = "TCP half-close client: sends standard input, then FIN, and prints what comes back."});

    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    send_input(connection);
    CALL(shutdown(connection, SHUT_WR));  // FIN: the server's recv() returns 0, and its answer can still come
    receive_answer(connection);
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
