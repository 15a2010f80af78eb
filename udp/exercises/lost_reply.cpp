// Exercise lost_reply: a question whose answer may be lost. Complete ask().
//
//     scripts/exercise lost_reply        grades it, and says what goes wrong
//     scripts/exercise hint lost_reply   says a little more, three times
//
// Each line of standard input is a question. It is sent as "NUMBER LINE", and its answer begins with the same number:
// so an answer that comes late, or twice, is known from the one that is waited for. Where none comes for --timeout
// milliseconds, the question is asked again, under the same number; after --tries times the program gives up and ends
// with status 1. Late answers neither prolong the waiting nor make it ask again before its time. Each answer is printed
// once, without the number.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <iostream>
#include <string>

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

long timeout = 1000;  // milliseconds
long tries = 5;

/// Asks until an answer comes. Throws if none does.
std::string ask(int endpoint, unsigned number, const std::string& line) {
    const std::string prefix = fmt::format("{} ", number), question = prefix + line;
    // TO DO: this asks once, waits for ever, and takes whatever comes for the answer.
    CALL(send(endpoint, question.data(), question.size(), 0));
    char datagram[65536];
    const ssize_t received = CALL(recv(endpoint, datagram, sizeof datagram, 0));
    const std::string answer(datagram, static_cast<size_t>(received));
    return answer.size() < prefix.size() ? answer : answer.substr(prefix.size());
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
