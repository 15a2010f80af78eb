// Exercise who_answered: an answer counts only if it is of whom was asked. Repair it.
//
//     scripts/exercise who_answered        grades it, and says what goes wrong
//     scripts/exercise hint who_answered   says a little more, three times
//
// Each line of standard input is a question to a server, and its answer is printed. If none comes for --timeout
// milliseconds, the program ends with status 1. It works, as long as nobody else sends anything to its port. But
// anybody can: the port is no secret, and guessing it takes 65,535 datagrams. What another has sent is to be passed
// over as if it had not come: it is no answer, it is no reason to give up, and it does not prolong the waiting.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <iostream>
#include <stdexcept>
#include <string>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// Waits for the server's answer, at most so long. Throws if none comes.
std::string receive_answer(int endpoint, const Address& server, long milliseconds) {
    pollfd watched{endpoint, POLLIN, 0};
    if (CALL(poll(&watched, 1, static_cast<int>(milliseconds))) == 0)
        throw std::runtime_error("no answer of " + server.text());
    char datagram[65536];
    const ssize_t received = CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, nullptr, nullptr));
    return {datagram, static_cast<size_t>(received)};
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
