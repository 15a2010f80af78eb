// TCP echo client: socket, connect, send, recv, shutdown, close; and poll, since it has two things to wait for.
//
//     terminal 1:  build/tcp/echo_server --step
//     terminal 2:  build/tcp/echo_client --step
//
// What you type is sent, what comes back is printed; Ctrl-D ends the input. It works piped, too:
//     build/tcp/echo_client < README.md | cmp - README.md
// A client that first sent everything and then received would lock up on a large file: the server stops reading when
// it can't send, and both wait for ever. So it never waits for one side only.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace {

/// A name may have several addresses ("localhost": [::1] and 127.0.0.1), and the server listens at one of them.
int connect_to(const std::vector<Address>& addresses) {
    for (size_t i = 0;; ++i) {
        const Address& address = addresses[i];
        const int connection = CALL(socket(address.family(), SOCK_STREAM, 0));
        try {
            CALL(connect(connection, address.get(), address.length()));
            return connection;
        } catch (const SocketError&) {
            TRY(close(connection));  // a socket that failed to connect is of no more use (connect(2))
            if (i + 1 == addresses.size()) throw;
        }
    }
}

/// Sends what there is room for now, perhaps nothing, and never waits. Returns how many bytes that was.
size_t send_some(int connection, const char* bytes, size_t count) {
    try {
        return static_cast<size_t>(CALL(send(connection, bytes, count, MSG_DONTWAIT)));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
        return 0;
    }
}

/// Sends standard input and prints what returns, each as soon as it can. Returns when the server has ended the
/// connection; throws if it did so before everything was back.
void exchange(int connection) {
    Output output;
    char input[65536];
    size_t begin = 0, end = 0;  // input[begin, end) waits to be sent
    bool more_input = true;
    size_t sent_in_all = 0, received_in_all = 0;

    for (;;) {
        const bool unsent = begin < end;
        pollfd watched[] = {{connection, static_cast<short>(unsent ? POLLIN | POLLOUT : POLLIN), 0},
                            {more_input && !unsent ? STDIN_FILENO : -1, POLLIN, 0}};  // poll() passes over -1
        CALL(poll(watched, 2, -1));

        if ((watched[0].revents & ~POLLOUT) != 0) {  // bytes, the end, or an error that recv() will tell
            char reply[65536];
            const ssize_t received = CALL(recv(connection, reply, sizeof reply, 0));
            if (received == 0) break;
            output.write({reply, static_cast<size_t>(received)});
            received_in_all += static_cast<size_t>(received);
        }
        if ((watched[0].revents & POLLOUT) != 0) {  // there is room, if perhaps not for all of it
            const size_t sent = send_some(connection, input + begin, end - begin);
            begin += sent;
            sent_in_all += sent;
        }
        if (watched[1].revents != 0) {
            const ssize_t count = CALL(read(STDIN_FILENO, input, sizeof input));
            begin = 0, end = static_cast<size_t>(count);
            if (count == 0) {
                more_input = false;
                CALL(shutdown(connection, SHUT_WR));  // "that was all": the server's recv() returns 0
            }
        }
    }
    if (received_in_all < sent_in_all || more_input) {
        throw std::runtime_error(fmt::format("the server ended the connection after {} of {} bytes had come back",
                                             received_in_all, sent_in_all));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv, {.summary = "TCP echo client: sends standard input and prints what comes back."});

    const int connection = connect_to(resolve(options.host, options.port, SOCK_STREAM));
    exchange(connection);
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
