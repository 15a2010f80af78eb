// Receives very many datagrams, by one call for each or by one for many, and tells what each costs.
//
//     terminal 1:  build/udp/batch_receiver
//     terminal 2:  build/udp/batch_sender --all
//
// The sender says which way it sends in, and this receives in the same one (--way: always in this one):
//   single   recvfrom    one datagram a call
//   batch    recvmmsg    many datagrams a call, each in a buffer of its own (Linux)
//   segment  UDP_GRO     many datagrams of one sender as one, and how long each of them is (Linux, udp(7))
// It checks that each datagram is what was sent, and knows by its number which are missing. Nothing slows the sender
// down: what comes faster than this can take it is thrown away when the socket's buffer is full.
//
// Try it: --way single, and let the sender send in another; --buffer 10000; --trace with --count 100 at the sender.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/batch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <optional>
#include <vector>

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using batch::Kind, batch::Way;
using Clock = std::chrono::steady_clock;

/// What one sender sends, from its question whether we are ready on.
struct Run {
    batch::Header hello;
    std::vector<bool> seen;  // by number
    batch::Report report = {};
    std::optional<Clock::time_point> first = {};
    Clock::time_point last = Clock::now();
    std::chrono::nanoseconds cpu_before = batch::cpu_time();
    bool is_told = false;
};

class Receiver {
public:
    Receiver(int endpoint, std::optional<Way> always, long idle, long runs)
        : endpoint_(endpoint), always_(always), idle_(idle), runs_left_(runs) {
        set_way(always.value_or(Way::single));
    }

    void receive() {
#ifdef __linux__
        if (way_ == Way::batch) return receive_batch();
        if (way_ == Way::segment) return receive_segments();
#endif
        receive_single();
    }

    bool has_had_enough() const { return has_had_enough_; }

private:
    void receive_single() {
        Address sender;
        const ssize_t size =
            CALL(recvfrom(endpoint_, room_.data(), room_.size(), 0, sender.out(), sender.out_length()));
        count_call();
        take({room_.data(), static_cast<std::size_t>(size)}, sender);
    }

#ifdef __linux__
    /// As many as wait, and at least one: MSG_WAITFORONE makes the rest of the call non-blocking. (Its own time limit,
    /// the last argument, is of little use: it is looked at only when a datagram has come. recvmmsg(2), BUGS.)
    void receive_batch() {
        constexpr std::size_t each = batch::most_size + 1;  // one that is longer is seen to be
        static std::vector<char> rooms(each * batch::most_per_call);
        static std::array<mmsghdr, batch::most_per_call> messages;
        static std::array<iovec, batch::most_per_call> pieces;
        static std::array<sockaddr_storage, batch::most_per_call> senders;
        static std::size_t changed = messages.size();  // so many have been filled in since they were laid out
        for (std::size_t i = 0; i < changed; ++i) {
            pieces[i] = {rooms.data() + i * each, each};
            messages[i] = {};
            messages[i].msg_hdr.msg_iov = &pieces[i];
            messages[i].msg_hdr.msg_iovlen = 1;
            messages[i].msg_hdr.msg_name = &senders[i];
            messages[i].msg_hdr.msg_namelen = sizeof senders[i];
        }
        const int count = CALL(recvmmsg(endpoint_, messages.data(), messages.size(), MSG_WAITFORONE, nullptr));
        count_call();
        changed = static_cast<std::size_t>(count);
        for (std::size_t i = 0; i < changed; ++i) {
            const msghdr& message = messages[i].msg_hdr;
            take({static_cast<const char*>(message.msg_iov->iov_base), messages[i].msg_len},
                 {static_cast<const sockaddr*>(message.msg_name), message.msg_namelen});
        }
    }

    /// Many datagrams, one behind the other, all of the length that the control data tells; but the last may be
    /// shorter. Without control data it is one datagram.
    void receive_segments() {
        Address sender;
        iovec piece{room_.data(), room_.size()};
        alignas(cmsghdr) std::array<char, 128> control{};
        msghdr message{};
        message.msg_name = sender.out();
        message.msg_namelen = *sender.out_length();
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        const ssize_t size = CALL(recvmsg(endpoint_, &message, 0));
        count_call();
        sender = Address(sender.get(), message.msg_namelen);
        std::string_view all(room_.data(), static_cast<std::size_t>(size));
        int each = 0;
        for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
            if (part->cmsg_level == SOL_UDP && part->cmsg_type == UDP_GRO)
                std::memcpy(&each, CMSG_DATA(part), sizeof each);
        }
        if (each <= 0) return take(all, sender);
        while (!all.empty()) {
            const std::size_t next = std::min(all.size(), static_cast<std::size_t>(each));
            take(all.substr(0, next), sender);
            all.remove_prefix(next);
        }
    }
#endif

    void count_call() {
        now_ = Clock::now();
        if (run_) ++run_->report.calls;
    }

    void take(std::string_view datagram, const Address& sender) {
        const auto header = batch::parse(datagram);
        if (!header) return;
        if (header->kind == Kind::data) return take_data(datagram, *header);
        if (datagram.size() != batch::control_size) return;
        if (header->kind == Kind::hello) begin(*header, sender);
        if (header->kind == Kind::done) end(*header, sender);
    }

    void take_data(std::string_view datagram, const batch::Header& header) {
        if (!run_ || header.run != run_->hello.run || run_->is_told) return;
        batch::Report& report = run_->report;
        run_->last = now_;
        if (!run_->first) run_->first = now_;
        report.nanoseconds = static_cast<std::uint64_t>(std::chrono::nanoseconds(run_->last - *run_->first).count());
        if (header.number >= run_->seen.size() || !batch::is_intact(datagram, header)) {
            ++report.damaged;
        } else if (run_->seen[header.number]) {
            ++report.twice;
        } else {
            run_->seen[header.number] = true;
            ++report.received;
        }
    }

    /// One run at a time: who comes while another's datagrams still arrive is not answered, and will ask again.
    void begin(const batch::Header& hello, const Address& sender) {
        if (hello.number > batch::most_datagrams) return;
        const bool is_new = !run_ || run_->hello.run != hello.run;
        if (is_new) {
            if (run_ && !run_->is_told && now_ - run_->last < std::chrono::milliseconds(idle_)) return;
            if (run_ && !run_->is_told) tell("; its sender is gone", run_->seen.size());
            set_way(always_.value_or(batch::has_all_ways ? hello.way : Way::single));
            run_ = Run{hello, std::vector<bool>(hello.number)};
        }
        answer({Kind::ready, way_, hello.size, hello.run, hello.number}, sender, {});
    }

    void end(const batch::Header& done, const Address& sender) {
        if (!run_ || done.run != run_->hello.run) return;
        if (!run_->is_told) {
            run_->report.cpu_nanoseconds = static_cast<std::uint64_t>((batch::cpu_time() - run_->cpu_before).count());
            tell("", done.number);
            run_->is_told = true;
            if (runs_left_ > 0 && --runs_left_ == 0) has_had_enough_ = true;
        }
        answer({Kind::report, way_, done.size, done.run, done.number}, sender, run_->report);
    }

    void answer(const batch::Header& header, const Address& to, const batch::Report& report) {
        const std::string bytes = batch::control(header, report);
        if (TRY(sendto(endpoint_, bytes.data(), bytes.size(), 0, to.get(), to.length())) == -1)
            fmt::print(stderr, "{}: {}\n", to.text(), describe_error(errno));
    }

    void tell(const char* remark, std::uint64_t sent) const {
        const batch::Report& report = run_->report;
        const std::uint64_t lost = sent > report.received ? sent - report.received : 0;
        fmt::print("{}: {} of {} datagrams arrived, {} lost, {} twice, {} damaged; {} calls{}\n", batch::name_of(way_),
                   report.received, sent, lost, report.twice, report.damaged, report.calls, remark);
        std::fflush(stdout);
    }

    void set_way(Way way) {
#ifdef __linux__
        const int on = way == Way::segment ? 1 : 0;
        CALL(setsockopt(endpoint_, SOL_UDP, UDP_GRO, &on, sizeof on));
#endif
        way_ = way;
    }

    int endpoint_;
    std::optional<Way> always_;
    long idle_, runs_left_;
    Way way_ = Way::single;
    std::optional<Run> run_;
    std::vector<char> room_ = std::vector<char>(65536);
    Clock::time_point now_{};  // when the last call returned
    bool has_had_enough_ = false;
};

/// The kernel doubles it, for its own bookkeeping; above net.core.rmem_max only for root (socket(7)).
void set_buffer(int endpoint, int bytes) {
#ifdef __linux__
    if (TRY(setsockopt(endpoint, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes)) == 0) return;
#endif
    CALL(setsockopt(endpoint, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes));
}

}  // namespace

int main(int argc, char** argv) try {
    std::string way;
    long buffer = 0, idle = 1000, runs = 0;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Receives very many datagrams, in one of three ways, and tells what arrived and what it cost.",
         .more = {{"way", "WAY", "single, batch or segment; by default as the sender sends", &way},
                  {"buffer", "BYTES", "the socket's receive buffer (SO_RCVBUF); 0: as it is", &buffer},
                  {"idle", "MS", "forget a sender that is silent for so long, if another comes", &idle, 1, 60000},
                  {"runs", "N", "end after so many; 0: at Ctrl-C", &runs}}});
    const auto always = batch::way_of(way);
    if (!way.empty() && !always)
        throw UsageError(fmt::format("--way {}: expected single, batch or segment", escaped(way)));
    if (always && *always != Way::single && !batch::has_all_ways)
        throw UsageError("--way: this system has only single");

    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    if (buffer > 0) set_buffer(endpoint, static_cast<int>(buffer));
    CALL(bind(endpoint, address.get(), address.length()));
    Receiver receiver(endpoint, always, idle, runs);
    announce_ready(endpoint);
    while (!receiver.has_had_enough()) {
        try {
            receiver.receive();
        } catch (const SocketError& error) {  // this sender's trouble is not the next one's
            complain(error);
        }
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
