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
    Time advanced = Clock::now();  // by a piece that was missing: repeating others prolongs nothing

    Transfer(const Address& from, const Packet& first, int folder, bool overwrite, long most)
        : sender(from),
          file(folder, overwrite, most),
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

/// A piece of this transfer: kept if it is one that is missing, and acknowledged in any case. Returns how the transfer
/// has ended, if it has.
std::optional<Ending> take(int endpoint, Transfer& transfer, const Packet& piece, std::size_t size) {
    WindowReceiver& window = transfer.window;
    std::optional<Ending> ending;
    std::optional<std::string> acknowledgement;
    const std::uint64_t before = window.delivered() + window.kept();
    try {
        acknowledgement = window.receive(piece, size);
        if (window.delivered() + window.kept() > before) transfer.advanced = Clock::now();
        if (window.finished()) ending = Ending{transfer.sender, window.id(), window.next()};
    } catch (const std::exception& error) {
        ending = Ending{transfer.sender, window.id(), 0, error.what()};
    }
    if (ending) {
        fmt::print(stderr, "{}: {}\n", transfer.sender.text(),
                   ending->error.empty() ? transfer.file.text() + " is complete" : ending->error);
        answer(endpoint, transfer.sender, answer_of(*ending, piece), size);
    } else if (acknowledgement) {
        if (TRY(sendto(endpoint, acknowledgement->data(), acknowledgement->size(), 0, transfer.sender.get(),
                       transfer.sender.length())) == -1)
            fmt::print(stderr, "{}: {}\n", transfer.sender.text(), describe_error(errno));
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
                      {.summary = "Receives files of udp/window_sender, one after the other.",
                       .more = {{"folder", "FOLDER", "where the files go", &folder},
                                {"overwrite", nullptr, "replace those that are there", &overwrite},
                                {"upload", "BYTES", "at the most of one file", &upload, 0, 1L << 40U},
                                {"idle", "SECONDS", "give up a sender that was silent for so long", &idle, 1, 3600}}});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int where = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    std::unique_ptr<Transfer> transfer;  // that goes on
    Endings endings;                     // of those before
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
        const bool known =
            transfer && transfer->sender == datagram->sender && transfer->window.id() == packet->transfer;
        if (!known && (packet->flags & first_flag) == 0) continue;
        if (!known && transfer) {
            answer(endpoint, datagram->sender, {Kind::error, 0, 0, packet->transfer, 0, 0, busy},
                   datagram->bytes.size());
            continue;
        }
        if (!known) transfer = std::make_unique<Transfer>(datagram->sender, *packet, where, overwrite, upload);
        if (const auto ending = take(endpoint, *transfer, *packet, datagram->bytes.size())) {
            if (transfer->window.delivered() > 1)
                endings.add(*ending);  // else it can be told again from the same piece
            transfer.reset();
        }
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
