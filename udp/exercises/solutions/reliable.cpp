// Exercise reliable, solved: every piece once and in order, through a network that keeps nothing of that.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <cstdint>
#include <cstring>

#include <arpa/inet.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t header_size = 5;
constexpr char last_flag = 1;

void acknowledge(int endpoint, const Address& sender, std::uint32_t expected) {
    const std::uint32_t number = htonl(expected);
    CALL(sendto(endpoint, &number, sizeof number, 0, sender.get(), sender.length()));
}

/// Receives all pieces and writes them to standard output. After the last one it stays for so many milliseconds.
void receive_pieces(int endpoint, long linger) {
    Output output;
    std::uint32_t expected = 0;
    bool complete = false;
    for (;;) {
        pollfd watched{endpoint, POLLIN, 0};
        if (CALL(poll(&watched, 1, complete ? static_cast<int>(linger) : -1)) == 0) return;
        char datagram[2048];
        Address sender;
        const ssize_t received =
            CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, sender.out(), sender.out_length()));
        if (static_cast<size_t>(received) < header_size) continue;
        std::uint32_t number = 0;
        std::memcpy(&number, datagram, sizeof number);
        number = ntohl(number);
        if (number == expected && !complete) {
            output.write({datagram + header_size, static_cast<size_t>(received) - header_size});
            ++expected;
            complete = datagram[4] == last_flag;
        }
        acknowledge(endpoint, sender, expected);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long linger = 2000;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Exercise: every piece once and in order.",
         .more = {{"linger", "MS", "after the last piece: end when nothing comes for so long", &linger, 1, 60000}}});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);
    receive_pieces(endpoint, linger);
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
