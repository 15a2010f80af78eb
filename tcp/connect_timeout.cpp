// A connect() that does not wait longer than you want: O_NONBLOCK, connect, poll, SO_ERROR.
//
//     build/tcp/connect_timeout --host localhost --port 7000 --timeout 1000
//
// A blocking connect() has the kernel's patience: over two minutes on Linux, if nobody answers. Here connect() returns
// at once, poll() waits for the outcome, and SO_ERROR tells it. Each address of the name is tried, in turn. Try it: at
// a port where somebody listens; where nobody does; and to see a timeout, beside
//     build/tcp/backlog --stay
// whose queue is full, so that its kernel drops our SYN. Then --timeout 3500: the SYN is sent again.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace {

using Clock = std::chrono::steady_clock;

/// Tells each step with the milliseconds since the first, and with the state that the socket is in then.
class Story {
public:
    void tell(int fd, const std::string& step) const {
        const std::chrono::duration<double, std::milli> passed = Clock::now() - begin_;
        fmt::print("  {:9.2f} ms  {:56}  {}\n", passed.count(), step, look_at_socket(fd).state);
    }

private:
    Clock::time_point begin_ = Clock::now();
};

/// How often the kernel has sent the SYN again so far.
std::string describe_retries([[maybe_unused]] int fd) {
#ifdef __linux__
    tcp_info info{};
    socklen_t length = sizeof info;
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    return fmt::format(", SYNs sent: {}", 1 + info.tcpi_retransmits);
#else
    return "";  // macOS does not count them apart
#endif
}

/// Waits for the outcome of connect(), but not longer than that. A signal does not begin the time anew.
bool wait_for_outcome(int fd, std::chrono::milliseconds timeout) {
    const auto end = Clock::now() + timeout;
    const auto milliseconds_left = [&] {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now());
        return static_cast<int>(std::max<long>(left.count(), 0));
    };
    pollfd watched{fd, POLLOUT, 0};  // failure makes it writable, too
    return CALL(poll(&watched, 1, milliseconds_left())) > 0;
}

/// Returns "" if the socket is connected then, else why it is not.
std::string connect_within(int fd, const Address& address, std::chrono::milliseconds timeout) {
    const Story story;
    const int flags = CALL(fcntl(fd, F_GETFL));
    CALL(fcntl(fd, F_SETFL, flags | O_NONBLOCK));

    const int at_once = TRY(connect(fd, address.get(), address.length()));
    if (at_once == -1 && errno != EINPROGRESS) {  // a network that can't be reached, for instance
        const int error = errno;
        story.tell(fd, fmt::format("connect() = -1 {}", error_name(error)));
        return describe_error(error);
    }
    story.tell(fd, at_once == 0 ? "connect() = 0" : "connect() = -1 EINPROGRESS: under way");

    if (!wait_for_outcome(fd, timeout)) {
        story.tell(fd, fmt::format("poll() = 0: no outcome yet{}", describe_retries(fd)));
        return fmt::format("no answer within {} ms", timeout.count());
    }
    story.tell(fd, "poll() = 1: there is an outcome");

    int error = 0;
    socklen_t length = sizeof error;
    CALL(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &length));  // reading it resets it to 0
    story.tell(fd, fmt::format("SO_ERROR = {}", error == 0 ? "0" : error_name(error)));
    if (error != 0) return describe_error(error);
    CALL(fcntl(fd, F_SETFL, flags));  // what follows may block again
    return "";
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 2000;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Connects, but does not wait for it longer than you want.",
                       .more = {{"timeout", "MS", "wait so long for each address", &timeout, 0, 3'600'000}}});

    std::string failures;
    for (const Address& address : resolve(options.host, options.port, SOCK_STREAM)) {
        fmt::print("{}\n", address.text());
        const int connection = CALL(socket(address.family(), SOCK_STREAM, 0));
        const std::string failure = connect_within(connection, address, std::chrono::milliseconds(timeout));
        if (failure.empty()) {
            fmt::print("connected: {} <-> {}\n", look_at_socket(connection).local, address.text());
            CALL(close(connection));
            return 0;
        }
        TRY(close(connection));  // this takes a connection that is still under way back, too
        failures += fmt::format("{}{}: {}", failures.empty() ? "" : "; ", address.text(), failure);
    }
    throw std::runtime_error(fmt::format("not connected: {}", failures));
} catch (const std::exception& error) {
    return report_failure(error);
}
