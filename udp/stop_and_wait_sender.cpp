// Stop and wait, the sender: one piece of a file, then wait for its acknowledgement, then the next. The least that
// makes a datagram service reliable.
//
//     terminal 1:  build/udp/stop_and_wait_receiver --folder /tmp
//     terminal 2:  build/udp/stop_and_wait_sender LICENSE
//
// An acknowledgement that does not come may have been lost, or the piece was: the sender can't know. So it sends the
// piece again, and the receiver, who may have it already, acknowledges it again. The numbers tell them apart. Try it
// through a bad network: build/udp/trouble --drop 30 between the two, and --port 7001 here. Then add --delay 50, and
// see how long the waiting is: one piece for each round trip, however fast the line. window_sender.cpp does not wait.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/transfer_file.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace transfer;
std::uint64_t sent = 0;

/// One line, drawn anew ten times a second; or, beside the narration, one for each datagram.
class Display {
public:
    explicit Display(std::uint64_t pieces) : pieces_(pieces), live_(isatty(STDERR_FILENO) == 1 && !narrator::awake) {}
    ~Display() { clear(); }
    Display(const Display&) = delete;
    Display& operator=(const Display&) = delete;

    void show(std::uint32_t number, long attempt) {
        if (narrator::awake) fmt::print(stderr, "    piece {} of {}, try {}\n", number, pieces_, attempt);
        if (!live_ || Clock::now() < next_) return;
        next_ = Clock::now() + std::chrono::milliseconds(100);
        fmt::print(stderr, "\r\x1b[K{:>3} %  piece {}, try {}", 100 * std::uint64_t{number} / pieces_, number, attempt);
        std::fflush(stderr);
    }
    void clear() {
        if (live_) fmt::print(stderr, "\r\x1b[K");
    }

private:
    std::uint64_t pieces_;
    bool live_;
    Clock::time_point next_{};
};

/// Sends a piece until it is acknowledged. Throws std::runtime_error if it never is, or if the receiver says why not.
void deliver(int endpoint, const Packet& piece, long timeout, long tries, Display& display) {
    const std::string datagram = to_bytes(piece);
    bool refused = false, is_busy = false;
    for (long attempt = 0; attempt < tries; ++attempt) {
        display.show(piece.number, attempt + 1);
        // What ICMP has told of an earlier datagram is reported here, too, instead of sending.
        if (TRY(send(endpoint, datagram.data(), datagram.size(), 0)) == -1) {
            if (errno != ECONNREFUSED) throw SocketError(errno, {"send(endpoint, ...)", __FILE__, __LINE__});
            refused = true;
        }
        ++sent;
        const auto deadline = Clock::now() + std::chrono::milliseconds(timeout);
        do {
            std::optional<Datagram> answer;
            try {
                answer = receive_until(endpoint, deadline);
            } catch (const SocketError& error) {
                if (error.code().value() != ECONNREFUSED) throw;
                refused = true;  // by whoever was there a moment ago; it may come
                continue;
            }
            if (!answer) break;
            const auto packet = parse(answer->bytes);
            if (!packet || packet->transfer != piece.transfer) continue;  // damaged, or of another transfer
            if (says_busy(*packet)) {
                is_busy = true;  // with another sender; it may be done when we ask again
                continue;
            }
            if (packet->kind == Kind::error) throw std::runtime_error("the receiver: " + escaped(packet->payload));
            // What acknowledges an earlier piece was delayed: it neither helps nor is a reason to send anything.
            if (packet->kind == Kind::ack && packet->number == piece.number + 1) return;
        } while (Clock::now() < deadline);  // also where there is always something else to be read
    }
    throw std::runtime_error(fmt::format("no acknowledgement of piece {} after {} tries{}", piece.number, tries,
                                         is_busy   ? ": the receiver is busy"
                                         : refused ? ": nobody is there (ECONNREFUSED)"
                                                   : ""));
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 200;
    long tries = 30;
    std::string name;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Sends a file, one datagram at a time. FILE may be - for standard input, with --name.",
         .more = {{"name", "NAME", "what the file is called there", &name},
                  {"timeout", "MS", "send again when no acknowledgement comes for so long", &timeout, 1, 60000},
                  {"tries", "N", "give up when a piece was sent so often in vain", &tries, 1, 1000}},
         .arguments = {"FILE"}});
    const std::string& path = options.arguments.at(0);
    if (name.empty()) name = path == "-" ? "stdin" : last_part(path);
    if (!is_plain_name(name))
        throw UsageError(fmt::format("--name {}: expected a plain name of a file", escaped(name)));
    const OutgoingFile file(path, name);
    const Address receiver = resolve(options.host, options.port, SOCK_DGRAM).front();

    const int endpoint = CALL(socket(receiver.family(), SOCK_DGRAM, 0));
    CALL(connect(endpoint, receiver.get(), receiver.length()));  // so nobody else's datagrams get to us
    const std::uint32_t id = random_number();
    Display display(file.pieces());
    const auto began = Clock::now();
    for (std::uint64_t i = 0; i < file.pieces(); ++i) {
        const auto flags =
            static_cast<std::uint8_t>((i == 0 ? first_flag : 0) | (i + 1 == file.pieces() ? last_flag : 0));
        const std::string piece = file.piece(i);
        deliver(endpoint, {Kind::data, flags, 0, id, static_cast<std::uint32_t>(i), 0, piece}, timeout, tries, display);
    }
    display.clear();
    const std::chrono::duration<double> seconds = Clock::now() - began;
    fmt::print("{} bytes in {:.3f} s, {:.1f} KB/s; {} pieces, {} sent again\n", file.size(), seconds.count(),
               static_cast<double>(file.size()) / 1000 / seconds.count(), file.pieces(), sent - file.pieces());
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
