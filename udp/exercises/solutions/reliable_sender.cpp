// Exercise reliable_sender, solved: a sender that a bad network does not set off.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"

#include <algorithm>
#include <chrono>
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

using Clock = std::chrono::steady_clock;

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

/// Waits for the acknowledgement of the piece before `next`, until the time is over. False: none came.
bool is_acknowledged(int endpoint, std::uint32_t next, long timeout) {
    const auto deadline = Clock::now() + std::chrono::milliseconds(timeout);
    do {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(left, 0)))) == 0) return false;
        std::uint32_t number = 0;
        const ssize_t received = CALL(recv(endpoint, &number, sizeof number, 0));
        if (static_cast<size_t>(received) == sizeof number && ntohl(number) == next) return true;
        // Of an earlier piece, or nothing that a receiver says: it neither helps nor prolongs the waiting.
    } while (Clock::now() < deadline);
    return false;
}

/// Sends each piece until it is acknowledged. Throws if one never is.
void send_pieces(int endpoint, const std::vector<std::string>& pieces, long timeout, long tries) {
    std::uint32_t number = 0;
    for (const std::string& piece : pieces) {
        bool acknowledged = false;
        for (long tried = 0; tried < tries && !acknowledged; ++tried) {
            CALL(send(endpoint, piece.data(), piece.size(), 0));
            acknowledged = is_acknowledged(endpoint, number + 1, timeout);
        }
        if (!acknowledged) throw std::runtime_error(fmt::format("piece {}: no acknowledgement", number));
        ++number;
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
