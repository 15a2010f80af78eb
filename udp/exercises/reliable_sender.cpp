// Exercise reliable_sender: a sender that a bad network does not set off. Repair it: there are three mistakes.
//
//     scripts/exercise reliable_sender        grades it, and says what goes wrong
//     scripts/exercise hint reliable_sender   says a little more, three times
//
// The other side of the exercise reliable, where the form of pieces and acknowledgements is told. Standard input is
// sent in pieces of 1000 bytes, one at a time: the next one only when the receiver has acknowledged the one before.
// Where no acknowledgement comes for --timeout milliseconds, the piece is sent again; after --tries times in vain the
// program gives up and ends with status 1. On loopback nothing looks wrong. But acknowledgements come late, and twice:
// those of earlier pieces say nothing new. They are no reason to send anything, and do not prolong the waiting. What is
// no acknowledgement at all, or of a piece that was never sent, is to be passed over as if it had not come.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"

#include <cstdint>
#include <iostream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t most_payload = 1000;

/// Cuts a text into pieces, each behind its header.
std::vector<std::string> pieces_of(const std::string& text) {
    std::vector<std::string> pieces;
    size_t at = 0;
    do {
        const std::string payload = text.substr(at, most_payload);
        at += payload.size();
        const std::uint32_t number = htonl(static_cast<std::uint32_t>(pieces.size()));
        const char last = at == text.size() ? 1 : 0;
        pieces.push_back(std::string(reinterpret_cast<const char*>(&number), sizeof number) + last + payload);
    } while (at < text.size());
    return pieces;
}

/// Sends each piece until it is acknowledged. Throws if one never is.
void send_pieces(int endpoint, const std::vector<std::string>& pieces, long timeout, long tries) {
    size_t missing = 0;  // which piece the receiver needs next
    long tried = 0;
    while (missing < pieces.size()) {
        if (tried == tries) throw std::runtime_error(fmt::format("piece {}: no acknowledgement", missing));
        const std::string& piece = pieces[missing];
        CALL(send(endpoint, piece.data(), piece.size(), 0));
        ++tried;
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, static_cast<int>(timeout))) == 0) continue;
        std::uint32_t number = 0;
        CALL(recv(endpoint, &number, sizeof number, 0));
        missing = ntohl(number);
        tried = 0;
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 200, tries = 30;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Exercise: a sender that a bad network does not set off.",
         .more = {{"timeout", "MS", "send again when no acknowledgement comes for so long", &timeout, 1, 60000},
                  {"tries", "N", "give up when a piece was sent so often in vain", &tries, 1, 1000}}});
    const Address receiver = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(receiver.family(), SOCK_DGRAM, 0));
    CALL(connect(endpoint, receiver.get(), receiver.length()));  // so that nobody else's datagrams get here
    const std::string text{std::istreambuf_iterator<char>(std::cin), {}};
    send_pieces(endpoint, pieces_of(text), timeout, tries);
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
