// Exercise lost_reply, solved: a question whose answer may be lost.

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

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

long timeout = 1000;  // milliseconds
long tries = 5;

/// Waits for the answer to this question until the time is over. False: none came.
bool receive_answer(int endpoint, const std::string& number, std::string& answer) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout);
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(left, 0)))) == 0) return false;
        char datagram[65536];
        const ssize_t received = CALL(recv(endpoint, datagram, sizeof datagram, 0));
        answer.assign(datagram, static_cast<size_t>(received));
        if (answer.starts_with(number)) {
            answer.erase(0, number.size());
            return true;
        }
        // Of an earlier question: come late or twice. It neither helps nor prolongs the waiting.
        if (Clock::now() >= deadline) return false;
    }
}

/// Asks until an answer comes. Throws if none does.
std::string ask(int endpoint, unsigned number, const std::string& line) {
    const std::string prefix = fmt::format("{} ", number), question = prefix + line;
    std::string answer;
    for (long attempt = 0; attempt < tries; ++attempt) {
        CALL(send(endpoint, question.data(), question.size(), 0));
        if (receive_answer(endpoint, prefix, answer)) return answer;
    }
    throw std::runtime_error(fmt::format("no answer after {} tries", tries));
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Exercise: a question whose answer may be lost.",
                       .more = {{"timeout", "MS", "ask again when no answer comes for so long", &timeout, 1, 60000},
                                {"tries", "N", "give up when it was asked so often", &tries, 1, 1000}}});
    const Address server = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(server.family(), SOCK_DGRAM, 0));
    CALL(connect(endpoint, server.get(), server.length()));  // so that nobody else's datagrams get here
    Output output;
    unsigned number = 0;
    for (std::string line; std::getline(std::cin, line);)
        output.write(ask(endpoint, ++number, line) + "\n");
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
