// Unix domain echo client in the abstract namespace: as unix/echo_client.cpp, with a name that is no file. Linux only.
//
//     terminal 1:  build/unix/abstract_server --step
//     terminal 2:  build/unix/abstract_client --step
//
// It takes a name itself, too, without saying which: bind() with no more than the family lets the kernel pick one that
// nobody has ("autobind", unix(7)). diff unix/echo_client.cpp unix/abstract_client.cpp shows how little differs.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <stdexcept>

namespace {

/// A zero byte, and then the name, which may have any bytes in it. There is no byte at its end: the length tells.
Address abstract_address(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return {reinterpret_cast<const sockaddr*>(&address), length};
}

/// An address without any name in it: not even its first byte.
Address autobind_address() {
    const sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
    return {reinterpret_cast<const sockaddr*>(&address), offsetof(sockaddr_un, sun_path)};
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
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain echo client with an abstract name: sends standard input and prints what comes back.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "abstract"});
    const Address address = abstract_address(options.path);

    const int connection = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    const Address any_name = autobind_address();
    CALL(bind(connection, any_name.get(), any_name.length()));
    CALL(connect(connection, address.get(), address.length()));
    exchange(connection);
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
