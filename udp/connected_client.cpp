// UDP echo client that calls connect(): no handshake, but a peer that the kernel knows. It keeps strangers out, and it
// passes on what ICMP says.
//
//     terminal 1:  build/udp/echo_server
//     terminal 2:  build/udp/connected_client --trace
//
// Each line that you type is one datagram; Ctrl-D ends the input. Try it: start the client alone, and do the same with
// udp/echo_client. This one is told at once that nobody is there; the other waits five times, and never knows why.
// Then diff udp/echo_client.cpp udp/connected_client.cpp

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

/// A socket that sends to one of the servers, and receives from nobody else. Nothing travels for that; where the call
/// fails there is no way to that address, and the next one is taken.
int connect_to(const std::vector<Address>& servers, size_t& which) {
    for (;; ++which) {
        try {
            const int endpoint = CALL(socket(servers[which].family(), SOCK_DGRAM, 0));
            CALL(connect(endpoint, servers[which].get(), servers[which].length()));
            return endpoint;
        } catch (const SocketError& error) {
            if (which + 1 == servers.size()) throw;
            complain(error);
        }
    }
}

/// Sends a line and waits for its answer. What comes is the server's, and nobody else's; but it may be late.
/// Throws SocketError: ECONNREFUSED, if ICMP said that nobody has the port. recv() tells it although send() caused it.
bool answered(int endpoint, const std::string& line, long milliseconds) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    CALL(send(endpoint, line.data(), line.size(), 0));
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{endpoint, POLLIN, 0};  // an error ends the waiting, too: POLLERR need not be asked for
        if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(left, 0)))) == 0) return false;

        char reply[65536];
        const ssize_t received = TRY(recv(endpoint, reply, sizeof reply, MSG_DONTWAIT));
        if (received == -1 && (errno == EAGAIN || errno == EINTR)) continue;  // its checksum was wrong, perhaps
        if (received == -1) throw SocketError(errno, {"recv(endpoint, ...)", __FILE__, __LINE__});
        if (std::string_view(reply, static_cast<size_t>(received)) == line) return true;
        fmt::print(stderr, "passed over {} bytes that are not the answer to this line\n", received);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 1000;
    long tries = 5;
    const Options options = parse_options(
        argc, argv,
        {.summary = "UDP echo client with a connected socket: hears only its server, and hears if nobody is there.",
         .more = {{"timeout", "MS", "wait so long for an answer before sending again", &timeout, 1, 60000},
                  {"tries", "N", "give up when a line was sent so often without an answer", &tries, 1, 1000}}});
    const std::vector<Address> servers = resolve(options.host, options.port, SOCK_DGRAM);

    size_t which = 0;  // a name may have several addresses: one that refuses is left for the next
    int endpoint = connect_to(servers, which);
    Output output;
    for (std::string line; read_line(line);) {
        for (long attempt = 1;;) {
            try {
                if (answered(endpoint, line, timeout)) break;
                fmt::print(stderr, "no answer within {} ms, try {} of {}\n", timeout, attempt, tries);
            } catch (const SocketError& error) {
                if (++which == servers.size()) throw;
                complain(error);
                CALL(close(endpoint));
                endpoint = connect_to(servers, which);
                continue;
            }
            if (attempt++ == tries)
                throw std::runtime_error(fmt::format("nobody answers at {}", servers[which].text()));
        }
        output.write(line);  // the answer, which is the same to the byte
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
