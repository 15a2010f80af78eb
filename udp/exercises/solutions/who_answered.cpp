// Exercise who_answered, solved: an answer counts only if it is of whom was asked.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <chrono>
#include <iostream>
#include <stdexcept>
#include <string>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

/// Waits for the server's answer, at most so long. Throws if none comes.
std::string receive_answer(int endpoint, const Address& server, long milliseconds) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(milliseconds);
    do {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(left, 0)))) == 0) break;
        char datagram[65536];
        Address sender;
        const ssize_t received =
            CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, sender.out(), sender.out_length()));
        if (sender == server) return {datagram, static_cast<size_t>(received)};
    } while (Clock::now() < deadline);
    throw std::runtime_error("no answer of " + server.text());
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 1000;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Exercise: an answer counts only if it is of whom was asked.",
                       .more = {{"timeout", "MS", "wait so long for an answer", &timeout, 1, 60000}}});
    const Address server = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(server.family(), SOCK_DGRAM, 0));
    Output output;
    for (std::string line; std::getline(std::cin, line);) {
        CALL(sendto(endpoint, line.data(), line.size(), 0, server.get(), server.length()));
        output.write(receive_answer(endpoint, server, timeout) + "\n");
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
