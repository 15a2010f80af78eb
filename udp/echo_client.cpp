// UDP echo client: socket, sendto, recvfrom, close; and poll with a time limit, since an answer may never come.
//
//     terminal 1:  build/udp/echo_server --step
//     terminal 2:  build/udp/echo_client --step
//
// Each line that you type is one datagram; Ctrl-D ends the input. If no answer comes in time the line is sent again.
// Try it: start the client alone. Nothing says that nobody is there; start the server before the client gives up.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <iostream>
#include <stdexcept>

namespace {

using Clock = std::chrono::steady_clock;

/// A line with its newline, which the last one may lack. False at the end of standard input.
bool read_line(std::string& line) {
    if (!std::getline(std::cin, line)) return false;
    if (!std::cin.eof()) line += '\n';
    return true;
}

/// Waits for the server's answer to this line. Anybody can send a datagram to our port, and the answer to an earlier
/// try may come late: whatever else arrives is passed over, and doesn't prolong the waiting.
bool answered(int endpoint, const Address& server, const std::string& line, long milliseconds) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(left, 0)))) == 0) return false;

        char reply[65536];
        Address sender;
        // Without MSG_DONTWAIT a datagram that poll() saw, but whose checksum is wrong, could let us wait for ever.
        const ssize_t received =
            TRY(recvfrom(endpoint, reply, sizeof reply, MSG_DONTWAIT, sender.out(), sender.out_length()));
        if (received == -1) {
            fmt::print(stderr, "recvfrom: {}\n", describe_error(errno));
        } else if (!(sender == server)) {
            fmt::print(stderr, "passed over {} bytes from {}, which is not the server\n", received, sender.text());
        } else if (std::string_view(reply, static_cast<size_t>(received)) != line) {
            fmt::print(stderr, "passed over {} bytes that are not the answer to this line\n", received);
        } else {
            return true;
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 1000;
    long tries = 5;
    const Options options = parse_options(
        argc, argv,
        {.summary = "UDP echo client: sends each line of standard input as a datagram and prints what comes back.",
         .more = {{"timeout", "MS", "wait so long for an answer before sending again", &timeout, 1, 60000},
                  {"tries", "N", "give up when a line was sent so often without an answer", &tries, 1, 1000}}});
    const std::vector<Address> servers = resolve(options.host, options.port, SOCK_DGRAM);

    size_t which =
        0;  // a name may have several addresses; nobody says which one somebody listens at, but an answer does
    int endpoint = CALL(socket(servers[which].family(), SOCK_DGRAM, 0));
    Output output;
    for (std::string line; read_line(line);) {
        for (long attempt = 1;; ++attempt) {
            const Address& server = servers[which];
            CALL(sendto(endpoint, line.data(), line.size(), 0, server.get(), server.length()));
            if (answered(endpoint, server, line, timeout)) break;
            fmt::print(stderr, "no answer within {} ms, try {} of {}\n", timeout, attempt, tries);
            if (attempt == tries) throw std::runtime_error(fmt::format("nobody answers at {}", server.text()));
            if (servers.size() > 1) {
                which = (which + 1) % servers.size();
                CALL(close(endpoint));
                endpoint = CALL(socket(servers[which].family(), SOCK_DGRAM, 0));
            }
        }
        output.write(line);  // the answer, which is the same to the byte
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
