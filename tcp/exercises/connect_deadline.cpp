// Exercise connect_deadline: a connect that does not wait for ever. Complete connect_within().
//
//     scripts/exercise connect_deadline        grades it, and says what goes wrong
//     scripts/exercise hint connect_deadline   says a little more, three times
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

Outcome connect_within(int connection, const Address& address, [[maybe_unused]] int milliseconds) {
    // TO DO: this waits as long as the kernel does. With O_NONBLOCK (fcntl) connect() fails with EINPROGRESS at once,
    // poll() for POLLOUT waits for the outcome, and the socket option SO_ERROR says which it was.
    if (TRY(connect(connection, address.get(), address.length())) == 0) return Outcome::connected;
    return errno == ECONNREFUSED ? Outcome::refused : Outcome::no_answer;
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
