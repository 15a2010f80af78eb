// Exercise reliable: every piece once and in order, through a network that keeps nothing of that. Complete
// receive_pieces().
//
//     scripts/exercise reliable        grades it, and says what goes wrong
//     scripts/exercise hint reliable   says a little more, three times
//
// The receiver of a stop-and-wait transfer. Its sender (the exercise reliable_sender, after this one) repeats a piece
// until that is acknowledged. Between the two, datagrams get lost, come twice, and overtake one another: pieces, and
// acknowledgements just as well.
//
//     a piece               4 bytes: its number, from 0, in network order
//                           1 byte: 1 if it is the last one, else 0
//                           up to 1000 bytes: what is to be written to standard output
//     an acknowledgement    4 bytes: the number of the piece that is missing next, in network order
//
// Only the piece that is missing next is taken; others are not kept. Each piece is answered with the number that is
// missing then. What is too short to be a piece is passed over, without an answer. After the last piece the receiver
// stays until nothing has come for --linger milliseconds, and then ends with status 0.

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
void receive_pieces(int endpoint, [[maybe_unused]] long linger) {
    Output output;
    for (bool complete = false; !complete;) {
        char datagram[2048];
        Address sender;
        const ssize_t received =
            CALL(recvfrom(endpoint, datagram, sizeof datagram, 0, sender.out(), sender.out_length()));
        if (static_cast<size_t>(received) < header_size) continue;
        std::uint32_t number = 0;
        std::memcpy(&number, datagram, sizeof number);
        number = ntohl(number);
        // TO DO: this takes every piece, in whatever order it comes and however often, and ends with the last one.
        output.write({datagram + header_size, static_cast<size_t>(received) - header_size});
        complete = datagram[4] == last_flag;
        acknowledge(endpoint, sender, number + 1);
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
