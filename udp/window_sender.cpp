// Selective repeat, the sender: many pieces of a file are under way at a time, and only what was lost is sent again.
//
//     terminal 1:  build/udp/window_receiver --folder /tmp
//     terminal 2:  build/udp/window_sender LICENSE
//
// What is decided, and why, stands in window.hpp; here are its socket and its clock. On a terminal the window is shown
// as it moves, and with --trace each time that it has: # arrived, . under way, ! lost. Try it through a bad network
// (build/udp/trouble --drop 10 --delay 20, and --port 7001 here), and compare with stop_and_wait_sender.cpp.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/transfer_file.hpp"
#include "udp/window.hpp"

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <optional>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace transfer;

constexpr unsigned most_timeouts = 12;  // one after the other, each twice as long as the one before, up to 4 s
constexpr unsigned fewer_timeouts = 5;  // where ICMP has said that nobody is there
constexpr int most_at_once = 1000;      // datagrams that are taken before the clock is looked at

/// One line, drawn anew ten times a second; or, beside the narration, one for each time that the window has changed.
class Display {
public:
    explicit Display(std::uint64_t pieces) : pieces_(pieces), live_(isatty(STDERR_FILENO) == 1 && !narrator::awake) {}
    ~Display() { clear(); }
    Display(const Display&) = delete;
    Display& operator=(const Display&) = delete;

    void clear() {
        if (live_ && !shown_.empty()) fmt::print(stderr, "\r\x1b[K");
    }
    void show(const WindowSender& sender, Time now) {
        if (!narrator::awake && (!live_ || now < next_ || sender.out() == 0)) return;
        next_ = now + std::chrono::milliseconds(100);
        std::string picture = sender.picture();
        if (picture.size() > 32) picture = picture.substr(0, 31) + ">";
        const std::string text = fmt::format(
            "{:>3} %  cwnd {:5.1f}  RTO {:4.0f} ms  again {:<4} {}|{}|", 100 * sender.acknowledged() / pieces_,
            sender.cwnd(), 1000 * sender.rto().count(), sender.again(), sender.acknowledged(), picture);
        if (text == shown_) return;
        shown_ = text;
        if (live_) {
            fmt::print(stderr, "\r\x1b[K{}", text);
        } else {
            fmt::print(stderr, "    window: {}\n", text);
        }
        std::fflush(stderr);
    }

private:
    std::uint64_t pieces_;
    bool live_;
    Time next_{};
    std::string shown_;
};

/// Sends a datagram. False: the kernel has heard by ICMP that nobody is there.
bool send_one(int endpoint, const std::string& datagram) {
    if (TRY(send(endpoint, datagram.data(), datagram.size(), 0)) != -1) return true;
    if (errno == ECONNREFUSED) return false;
    // No room for now: it counts as lost, and is sent again like whatever is lost.
    if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR) return true;
    throw SocketError(errno, {"send(endpoint, ...)", __FILE__, __LINE__});
}

}  // namespace

int main(int argc, char** argv) try {
    std::string name;
    bool wrap = false, karn = false;
    long timeout = 1000, longest = 4000, least_window = 8;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Sends a file by many datagrams at a time. FILE may be - for standard input.",
                       .more = {{"name", "NAME", "what the file is called there", &name},
                                {"timeout", "MS", "for an acknowledgement, before it was measured how long that takes",
                                 &timeout, 1, 60000},
                                {"longest", "MS", "however often it was doubled", &longest, 100, 60000},
                                {"least-window", "PIECES",
                                 "the congestion window gets no smaller; TCP's goes down to 1", &least_window, 1, 64},
                                {"karn", nullptr, "measure only what was sent once", &karn},
                                {"wrap", nullptr, "let the numbers start five before they wrap to 0", &wrap}},
                       .arguments = {"FILE"}});
    const std::string& path = options.arguments.at(0);
    if (name.empty()) name = path == "-" ? "stdin" : last_part(path);
    if (!is_plain_name(name))
        throw UsageError(fmt::format("--name {}: expected a plain name of a file", escaped(name)));
    const OutgoingFile file(path, name);
    const Address receiver = resolve(options.host, options.port, SOCK_DGRAM).front();

    const int endpoint = CALL(socket(receiver.family(), SOCK_DGRAM, 0));
    CALL(connect(endpoint, receiver.get(), receiver.length()));
    const std::uint32_t id = random_number();
    const std::uint32_t first = wrap ? std::uint32_t{0} - 5 : random_number();  // as TCP's initial sequence number
    WindowSender sender(id, first, file.pieces(), [&](std::uint64_t index) { return file.piece(index); },
                        {static_cast<double>(timeout) / 1000, static_cast<double>(longest) / 1000,
                         static_cast<double>(least_window), karn});
    Display display(file.pieces());
    const Time began = Clock::now();
    bool refused = false, is_busy = false;
    while (!sender.finished()) {
        while (const auto datagram = sender.next(Clock::now()))
            refused = !send_one(endpoint, *datagram) || refused;
        display.show(sender, Clock::now());
        // All that is here, and then the next pieces: so one round of acknowledgements makes one round of pieces.
        Time until = sender.deadline().value_or(Clock::now());
        for (int i = 0; i < most_at_once; ++i) {
            std::optional<Datagram> datagram;
            try {
                datagram = receive_until(endpoint, until, header_size + piece_size);
            } catch (const SocketError& error) {
                if (error.code().value() != ECONNREFUSED) throw;
                refused = true;
                continue;
            }
            if (!datagram) break;
            until = Time{};
            const auto packet = parse(datagram->bytes);
            if (!packet || packet->transfer != id) continue;
            if (says_busy(*packet)) {
                is_busy = true;  // with another sender; it may be done when we ask again
            } else if (packet->kind == Kind::error) {
                throw std::runtime_error("the receiver: " + escaped(packet->payload));
            }
            sender.receive(*packet, Clock::now());
        }
        if (const auto deadline = sender.deadline(); deadline && *deadline <= Clock::now()) sender.expire(Clock::now());
        display.show(sender, Clock::now());
        if (sender.timeouts() >= (refused ? fewer_timeouts : most_timeouts)) {
            throw std::runtime_error(fmt::format("nothing is acknowledged any more, {} of {} pieces were{}",
                                                 sender.acknowledged(), file.pieces(),
                                                 is_busy   ? ": the receiver is busy"
                                                 : refused ? ": nobody is there (ECONNREFUSED)"
                                                           : ""));
        }
    }
    display.clear();
    const Duration seconds = Clock::now() - began;
    fmt::print("{} bytes in {:.3f} s, {:.1f} KB/s; {} pieces, {} sent again, {} time-outs, SRTT {:.1f} ms\n",
               file.size(), seconds.count(), static_cast<double>(file.size()) / 1000 / seconds.count(), file.pieces(),
               sender.again(), sender.all_timeouts(), std::max(0.0, 1000 * sender.srtt()));
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
