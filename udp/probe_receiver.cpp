// Probes, the receiver: tells what the network has done to numbered datagrams: lost, doubled, reordered, and sent on at
// an uneven pace.
//
//     terminal 1:  build/udp/probe_receiver
//     terminal 2:  build/udp/probe_sender
//
// A missing number may still come: it is lost only as long as it has not. The kernel notes when each datagram arrived
// (SO_TIMESTAMP), so that it does not matter when this program gets to run. Each sender is counted by itself, and
// forgotten when it has ended or was silent for --idle seconds. Try it: two senders, and --each.

#include "udp/arrival.hpp"

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/probe.hpp"

#include <chrono>
#include <cstdio>
#include <list>
#include <string>

#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace probes;
using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr std::size_t most_senders = 64;
constexpr seconds linger{2};  // after the end: the sender may ask again, and late probes may come

struct Sender {
    Address address;
    std::uint32_t session = 0;
    Clock::time_point heard = {};
    Counter counter = {};
};

class Receiver {
public:
    Receiver(int endpoint, bool json, bool each, bool live)
        : endpoint_(endpoint), json_(json), each_(each), live_(live) {}

    /// Takes what there is, but not without end.
    void receive();
    void forget_silent(seconds idle);
    void finish();
    void show_line();
    bool has_senders() const { return !senders_.empty(); }

private:
    void take(const Packet& packet, std::size_t size);
    Sender* sender_of(const Address& address, std::uint32_t session);
    void summarize(const Sender& sender, const char* why);
    void tell(const std::string& what);
    void erase_line();

    int endpoint_;
    bool json_, each_, live_;
    std::list<Sender> senders_;
    std::uint64_t malformed_ = 0, refused_ = 0;
    Arrival arrival_;
    const Sender* last_ = nullptr;  // who was heard last
    bool line_shown_ = false;
    Clock::time_point next_line_ = {};
};

void Receiver::receive() {
    for (int i = 0; i < 256; ++i) {
        const ssize_t size = TRY(recvmsg(endpoint_, arrival_.message(), MSG_DONTWAIT));
        if (size == -1 && (errno == EAGAIN || errno == EINTR)) return;
        if (size == -1) throw SocketError(errno, {"recvmsg(endpoint_, ...)", __FILE__, __LINE__});
        const auto packet = parse(arrival_.bytes(size));
        if (packet && packet->kind != Kind::report) {
            take(*packet, static_cast<std::size_t>(size));
        } else {
            ++malformed_;
            tell("is no probe");
        }
    }
}

/// --each
void Receiver::tell(const std::string& what) {
    if (!each_) return;
    erase_line();
    fmt::print("{} {}\n", arrival_.sender().text(), what);
}

void Receiver::take(const Packet& packet, std::size_t size) {
    Sender* sender = sender_of(arrival_.sender(), packet.session);
    if (sender == nullptr) {
        ++refused_;
        return tell("is not counted: there is no room");
    }
    sender->heard = Clock::now();
    last_ = sender;
    if (packet.kind == Kind::probe) {
        sender->counter.take(packet.number, packet.time, arrival_.arrived());
        return tell(fmt::format("#{} sent {} arrived {}", packet.number, packet.time, arrival_.arrived()));
    }
    tell(fmt::format("says that it has sent {}", packet.number));
    sender->counter.end(packet.number);
    const std::string answer =
        to_bytes({Kind::report, packet.session, packet.number, packet.time, to_bytes(sender->counter.report())});
    if (answer.size() > size) return;  // never more than was sent to us (parse() has seen to it)
    if (TRY(sendto(endpoint_, answer.data(), answer.size(), MSG_DONTWAIT, sender->address.get(),
                   sender->address.length())) == -1)
        fmt::print(stderr, "{}: {}\n", sender->address.text(), describe_error(errno));
}

/// The entry of a sender, made where there is none; nullptr where there is no room.
Sender* Receiver::sender_of(const Address& address, std::uint32_t session) {
    for (Sender& one : senders_)
        if (one.session == session && one.address == address) return &one;
    if (senders_.size() >= most_senders) return nullptr;
    senders_.emplace_back();
    senders_.back().address = address;
    senders_.back().session = session;
    return &senders_.back();
}

void Receiver::forget_silent(seconds idle) {
    for (auto one = senders_.begin(); one != senders_.end();) {
        const bool ended = one->counter.ended();
        if (Clock::now() - one->heard < (ended ? linger : idle)) {
            ++one;
            continue;
        }
        summarize(*one, ended ? "" : ", and then silence");
        if (last_ == &*one) last_ = nullptr;
        one = senders_.erase(one);
    }
}

void Receiver::summarize(const Sender& sender, const char* why) {
    erase_line();
    const Counter& counter = sender.counter;
    const Report report = counter.report();
    const double percent =
        counter.expected() == 0 ? 0 : 100 * static_cast<double>(report.lost) / static_cast<double>(counter.expected());
    if (json_) {
        fmt::print(
            "{{\"sender\": \"{}\", \"session\": {}, \"expected\": {}, \"received\": {}, \"lost\": {}, "
            "\"lost_percent\": {:.3f}, \"duplicates\": {}, \"reordered\": {}, \"too_old\": {}, \"jitter_us\": {:.3f}, "
            "\"ended\": {}}}\n",
            sender.address.text(), sender.session, counter.expected(), report.received, report.lost, percent,
            report.duplicates, report.reordered, counter.too_old(), counter.jitter(), counter.ended());
        return;
    }
    fmt::print("{}: {} of {} received, {} lost ({:.1f} %), {} twice, {} late{}, jitter {:.3f} ms{}\n",
               sender.address.text(), report.received, counter.expected(), report.lost, percent, report.duplicates,
               report.reordered, counter.too_old() == 0 ? "" : fmt::format(", {} too old to tell", counter.too_old()),
               counter.jitter() / 1000, why);
}

void Receiver::finish() {
    if (isatty(STDOUT_FILENO) == 1) fmt::print("\n");  // behind the ^C
    for (const Sender& one : senders_)
        summarize(one, one.counter.ended() ? "" : ", and perhaps more to come");
    erase_line();
    if (json_) {
        fmt::print("{{\"malformed\": {}, \"no_room\": {}}}\n", malformed_, refused_);
    } else {
        fmt::print("{} malformed, {} of senders for whom there was no room\n", malformed_, refused_);
    }
}

/// One line, drawn over the one before it, no longer than the terminal is wide.
void Receiver::show_line() {
    if (!live_ || last_ == nullptr || Clock::now() < next_line_) return;
    next_line_ = Clock::now() + std::chrono::milliseconds(100);
    const Report report = last_->counter.report();
    std::string line = fmt::format("{}: {} in, {} lost, {} twice, {} late, jitter {:.2f} ms; {} malformed",
                                   last_->address.text(), report.received, report.lost, report.duplicates,
                                   report.reordered, last_->counter.jitter() / 1000, malformed_);
    if (senders_.size() > 1) line += fmt::format("; {} more", senders_.size() - 1);
    winsize window{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 1;
    line.resize(std::min<std::size_t>(line.size(), known ? window.ws_col - 1U : 79U));
    fmt::print("\r\x1b[K{}", line);
    std::fflush(stdout);
    line_shown_ = true;
}

void Receiver::erase_line() {
    if (line_shown_) fmt::print("\r\x1b[K");
    line_shown_ = false;
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 10;
    bool json = false, each = false, quiet = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Tells what became of the datagrams of udp/probe_sender: loss, duplicates, reordering, jitter.",
         .more = {{"idle", "SECONDS", "forget a sender that was silent for so long", &idle, 1, 3600},
                  {"each", nullptr, "print each datagram, with a probe's times in microseconds", &each},
                  {"json", nullptr, "print the summaries as JSON, one object in a line", &json},
                  {"quiet", nullptr, "no line that is drawn anew while probes arrive", &quiet}}});
    const bool live = isatty(STDOUT_FILENO) == 1 && !quiet && !json;
    if (!live) std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    const int on = 1;
    CALL(setsockopt(endpoint, SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on));  // "when did it arrive?"
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);

    static Receiver receiver(endpoint, json, each, live);
    const int stop = stop_descriptor();
    for (bool stopped = false; !stopped;) {
        pollfd watched[] = {{endpoint, POLLIN, 0}, {stop, POLLIN, 0}};
        CALL(poll(watched, 2, receiver.has_senders() ? 1000 : -1));
        stopped = watched[1].revents != 0;
        try {
            receiver.receive();  // what has arrived before the end counts
        } catch (const SocketError& error) {
            complain(error);
        }
        receiver.forget_silent(seconds(idle));
        receiver.show_line();
    }
    receiver.finish();
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
