// Selective repeat, the receiver: see window_sender.cpp, and window.hpp for what is decided and why.
//
//     terminal 1:  build/udp/window_receiver --folder /tmp
//     terminal 2:  build/udp/window_sender LICENSE
//
// Pieces that come too early are kept until those before them have come, as many as a window holds. Each piece is
// answered by what is still missing, and by what is there behind it (selective acknowledgement). Compare
// stop_and_wait_receiver.cpp: diff udp/stop_and_wait_receiver.cpp udp/window_receiver.cpp

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/transfer_file.hpp"
#include "udp/window.hpp"

#include <chrono>
#include <memory>
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
    ArrivingFile file;
    WindowReceiver window;
    std::string error = {};  // why it is over
    Time heard = Clock::now();

    Transfer(const Address& from, const Packet& first, int folder, bool overwrite)
        : sender(from),
          file(folder, overwrite),
          window(first, [this](std::string_view piece, bool is_first, bool is_last) {
              file.take(piece, is_first, is_last, window.id());
          }) {}
};

void answer(int endpoint, const Address& to, Packet packet, std::size_t most) {
    // Never more than was sent to us: else we would work for whoever writes somebody else's address as its own.
    if (most < header_size) return;
    packet.payload = packet.payload.substr(0, most - header_size);
    const std::string bytes = to_bytes(packet);
    if (TRY(sendto(endpoint, bytes.data(), bytes.size(), 0, to.get(), to.length())) == -1)
        fmt::print(stderr, "{}: {}\n", to.text(), describe_error(errno));
}

/// A piece of this transfer: kept if it is one that is missing, and acknowledged in any case.
void take(int endpoint, Transfer& transfer, const Packet& piece, std::size_t size) {
    transfer.heard = Clock::now();
    std::optional<std::string> acknowledgement;
    try {
        const bool before = transfer.window.finished();
        if (transfer.error.empty()) acknowledgement = transfer.window.receive(piece, size);
        if (transfer.window.finished() && !before)
            fmt::print(stderr, "{}: {} is complete\n", transfer.sender.text(), transfer.file.text());
    } catch (const std::exception& error) {
        transfer.error = error.what();
        fmt::print(stderr, "{}: {}\n", transfer.sender.text(), transfer.error);
    }
    if (!transfer.error.empty()) {
        return answer(endpoint, transfer.sender, {Kind::error, 0, 0, piece.transfer, 0, 0, transfer.error}, size);
    }
    if (!acknowledgement || acknowledgement->size() > size) return;
    if (TRY(sendto(endpoint, acknowledgement->data(), acknowledgement->size(), 0, transfer.sender.get(),
                   transfer.sender.length())) == -1)
        fmt::print(stderr, "{}: {}\n", transfer.sender.text(), describe_error(errno));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string folder = ".";
    bool overwrite = false;
    long idle = 30;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Receives files of udp/window_sender, one after the other.",
                       .more = {{"folder", "FOLDER", "where the files go", &folder},
                                {"overwrite", nullptr, "replace those that are there", &overwrite},
                                {"idle", "SECONDS", "give up a sender that was silent for so long", &idle, 1, 3600}}});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int where = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    std::unique_ptr<Transfer> transfer;
    const int stop = stop_descriptor();
    for (;;) {
        const bool active = transfer && !transfer->window.finished() && transfer->error.empty();
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
        if (transfer && transfer->sender == datagram->sender && transfer->window.id() == packet->transfer) {
            take(endpoint, *transfer, *packet, datagram->bytes.size());
        } else if ((packet->flags & first_flag) != 0) {
            if (active) {
                answer(endpoint, datagram->sender, {Kind::error, 0, 0, packet->transfer, 0, 0, busy},
                       datagram->bytes.size());
                continue;
            }
            transfer = std::make_unique<Transfer>(datagram->sender, *packet, where, overwrite);
            take(endpoint, *transfer, *packet, datagram->bytes.size());
        }
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
