// Stop and wait, the receiver: see stop_and_wait_sender.cpp.
//
//     terminal 1:  build/udp/stop_and_wait_receiver --folder /tmp
//     terminal 2:  build/udp/stop_and_wait_sender LICENSE
//
// It writes a piece once, however often it comes, and acknowledges it each time: the acknowledgement before may be what
// was lost. That holds for the last piece, too, when the file is complete: so the transfer is remembered until another
// begins.

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
using Clock = std::chrono::steady_clock;

/// One sender's file. Only one at a time: others are told to come later.
struct Transfer {
    Address sender;
    std::uint32_t id;
    ArrivingFile file;
    std::uint32_t expected = 0;  // the number of the piece that is missing
    bool finished = false;
    std::string error = {};  // why it is over
    Clock::time_point heard = Clock::now();
};

void answer(int endpoint, const Address& to, Packet packet, std::size_t most) {
    // Never more than was sent to us: else we would work for whoever writes somebody else's address as its own.
    if (most < header_size) return;
    packet.payload = packet.payload.substr(0, most - header_size);
    const std::string bytes = to_bytes(packet);
    if (TRY(sendto(endpoint, bytes.data(), bytes.size(), 0, to.get(), to.length())) == -1)
        fmt::print(stderr, "{}: {}\n", to.text(), describe_error(errno));
}

/// A piece of this transfer: written if it is the one that is missing, and acknowledged in any case.
void take(int endpoint, Transfer& transfer, const Packet& piece, std::size_t size) {
    transfer.heard = Clock::now();
    if (piece.number == transfer.expected && !transfer.finished && transfer.error.empty()) {
        try {
            const bool first = transfer.expected == 0, last = (piece.flags & last_flag) != 0;
            transfer.file.take(piece.payload, first, last, transfer.id);
            ++transfer.expected;
            transfer.finished = last;
            if (last) fmt::print(stderr, "{}: {} is complete\n", transfer.sender.text(), transfer.file.text());
        } catch (const std::exception& error) {
            transfer.error = error.what();
            fmt::print(stderr, "{}: {}\n", transfer.sender.text(), transfer.error);
        }
    }
    if (!transfer.error.empty()) {
        return answer(endpoint, transfer.sender, {Kind::error, 0, 0, transfer.id, 0, 0, transfer.error}, size);
    }
    answer(endpoint, transfer.sender, {Kind::ack, 0, 1, transfer.id, transfer.expected, 0, ""}, size);
}

}  // namespace

int main(int argc, char** argv) try {
    std::string folder = ".";
    bool overwrite = false;
    long idle = 30;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Receives files of udp/stop_and_wait_sender, one after the other.",
                       .more = {{"folder", "FOLDER", "where the files go", &folder},
                                {"overwrite", nullptr, "replace those that are there", &overwrite},
                                {"idle", "SECONDS", "give up a sender that was silent for so long", &idle, 1, 3600}}});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int where = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    std::optional<Transfer> transfer;
    const int stop = stop_descriptor();
    for (;;) {
        const bool active = transfer && !transfer->finished && transfer->error.empty();
        pollfd watched[] = {{endpoint, POLLIN, 0}, {stop, POLLIN, 0}};
        CALL(poll(watched, 2, active ? 1000 : -1));
        if (watched[1].revents != 0) break;
        if (active && Clock::now() - transfer->heard > std::chrono::seconds(idle)) {
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
        if (transfer && transfer->sender == datagram->sender && transfer->id == packet->transfer) {
            take(endpoint, *transfer, *packet, datagram->bytes.size());
        } else if ((packet->flags & first_flag) != 0 && packet->number == 0) {
            if (active) {
                answer(endpoint, datagram->sender, {Kind::error, 0, 0, packet->transfer, 0, 0, busy},
                       datagram->bytes.size());
                continue;
            }
            transfer.reset();
            transfer.emplace(Transfer{datagram->sender, packet->transfer, ArrivingFile(where, overwrite)});
            take(endpoint, *transfer, *packet, datagram->bytes.size());
        }
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
