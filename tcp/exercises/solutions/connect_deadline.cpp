// Exercise connect_deadline, solved: a connect that does not wait for ever.
//
// A client that prints "connected", "refused" or "no answer" (exit status 0, 1, 1). Where nobody answers, connect() has
// the patience of the kernel, over two minutes; this client has that of --timeout, in milliseconds, and not less.
// Once connected it prints what the server sends, however long that takes: the calls wait again as they usually do.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <cerrno>
#include <cstdio>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// What came of connect().
enum class Outcome { connected, refused, no_answer };

Outcome connect_within(int connection, const Address& address, int milliseconds) {
    const int flags = CALL(fcntl(connection, F_GETFL));
    CALL(fcntl(connection, F_SETFL, flags | O_NONBLOCK));
    int error = TRY(connect(connection, address.get(), address.length())) == 0 ? 0 : errno;
    if (error == EINPROGRESS) {
        pollfd watched{connection, POLLOUT, 0};  // failure makes it writable, too
        if (CALL(poll(&watched, 1, milliseconds)) == 0) return Outcome::no_answer;
        socklen_t length = sizeof error;
        CALL(getsockopt(connection, SOL_SOCKET, SO_ERROR, &error, &length));
    }
    if (error != 0) return error == ECONNREFUSED ? Outcome::refused : Outcome::no_answer;
    CALL(fcntl(connection, F_SETFL, flags));
    return Outcome::connected;
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 2000;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Exercise: a connect that does not wait for ever.",
                       .more = {{"timeout", "MS", "wait so long for an answer", &timeout, 0, 3'600'000}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int connection = CALL(socket(address.family(), SOCK_STREAM, 0));
    switch (connect_within(connection, address, static_cast<int>(timeout))) {
        case Outcome::refused:
            fmt::print("refused\n");
            return 1;
        case Outcome::no_answer:
            fmt::print("no answer\n");
            return 1;
        case Outcome::connected:
            break;
    }
    fmt::print("connected\n");
    std::fflush(stdout);
    Output output;
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0)))
        output.write({buffer, static_cast<size_t>(received)});
} catch (const std::exception& error) {
    return report_failure(error);
}
