// Stop and wait, the receiver: see stop_and_wait_sender.cpp.
//
//     terminal 1:  build/udp/stop_and_wait_receiver --folder /tmp
//     terminal 2:  build/udp/stop_and_wait_sender LICENSE
//
// It writes a piece once, however often it comes, and acknowledges it each time: the acknowledgement before may be what
// was lost. That holds for the last piece, too, when the file is complete: so how a transfer has ended is remembered.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/transfer_file.hpp"

#include <chrono>
#include <cstdint>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace transfer;
/// One sender's file. Only one at a time: others are told to come later.
struct Transfer {
    Address sender;
    std::uint32_t id;
    ArrivingFile file;
    std::uint32_t expected = 0;                 // the number of the piece that is missing
    Clock::time_point advanced = Clock::now();  // by a piece that was missing: repeating others prolongs nothing
};

void answer(int endpoint, const Address& to, Packet packet, std::size_t most) {
    // Never more than was sent to us: else we would work for whoever writes somebody else's address as its own.
    if (most < header_size) return;
    packet.payload = packet.payload.substr(0, most - header_size);
    const std::string bytes = to_bytes(packet);
    if (TRY(sendto(endpoint, bytes.data(), bytes.size(), 0, to.get(), to.length())) == -1)
        fmt::print(stderr, "{}: {}\n", to.text(), describe_error(errno));
}

/// A piece of this transfer: written if it is the one that is missing, and acknowledged in any case. Returns how the
/// transfer has ended, if it has.
std::optional<Ending> take(int endpoint, Transfer& transfer, const Packet& piece, std::size_t size) {
    std::optional<Ending> ending;
    if (piece.number == transfer.expected) {
        const bool first = transfer.expected == 0, last = (piece.flags & last_flag) != 0;
        try {
            transfer.file.take(piece.payload, first, last, transfer.id);
            transfer.advanced = Clock::now();
            ++transfer.expected;
            if (last) ending = Ending{transfer.sender, transfer.id, transfer.expected};
        } catch (const std::exception& error) {
            ending = Ending{transfer.sender, transfer.id, 0, error.what()};
        }
    }
    if (ending) {
        fmt::print(stderr, "{}: {}\n", transfer.sender.text(),
                   ending->error.empty() ? transfer.file.text() + " is complete" : ending->error);
        answer(endpoint, transfer.sender, answer_of(*ending, piece), size);
    } else {
        answer(endpoint, transfer.sender, {Kind::ack, 0, 1, transfer.id, transfer.expected, 0, ""}, size);
    }
    return ending;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string folder = ".";
    bool overwrite = false;
    long upload = 1L << 30U, idle = 30;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Receives files of udp/stop_and_wait_sender, one after the other.",
                       .more = {{"folder", "FOLDER", "where the files go", &folder},
                                {"overwrite", nullptr, "replace those that are there", &overwrite},
                                {"upload", "BYTES", "at the most of one file", &upload, 0, 1L << 40U},
                                {"idle", "SECONDS", "give up a sender that was silent for so long", &idle, 1, 3600}}});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int where = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    std::optional<Transfer> transfer;  // that goes on
    Endings endings;                   // of those before
    const int stop = stop_descriptor();
    for (;;) {
        pollfd watched[] = {{endpoint, POLLIN, 0}, {stop, POLLIN, 0}};
        CALL(poll(watched, 2, transfer ? 1000 : -1));
        if (watched[1].revents != 0) break;
        if (transfer && Clock::now() - transfer->advanced > std::chrono::seconds(idle)) {
            const std::string who = transfer->sender.text();
            transfer.reset();  // and what has arrived of its file is removed
            fmt::print(stderr, "{}: silent for {} s, given up\n", who, idle);
        }
        std::optional<Datagram> datagram;
        try {
            datagram = receive_until(endpoint, Clock::now());
        } catch (const SocketError& error) {
            complain(error);  // one datagram less
        }
        const auto packet = datagram ? parse(datagram->bytes) : std::nullopt;
        if (!packet || packet->kind != Kind::data) continue;
        if (const Ending* ending = endings.find(datagram->sender, packet->transfer)) {
            answer(endpoint, datagram->sender, answer_of(*ending, *packet), datagram->bytes.size());
            continue;
        }
        const bool known = transfer && transfer->sender == datagram->sender && transfer->id == packet->transfer;
        if (!known && ((packet->flags & first_flag) == 0 || packet->number != 0)) continue;
        if (!known && transfer) {
            answer(endpoint, datagram->sender, {Kind::error, 0, 0, packet->transfer, 0, 0, busy},
                   datagram->bytes.size());
            continue;
        }
        if (!known)
            transfer.emplace(Transfer{datagram->sender, packet->transfer, ArrivingFile(where, overwrite, upload)});
        if (const auto ending = take(endpoint, *transfer, *packet, datagram->bytes.size())) {
            if (transfer->expected > 0) endings.add(*ending);  // else it can be told again from the same piece
            transfer.reset();
        }
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
