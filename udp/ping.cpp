// Is somebody there, and how far away? Asks by ICMP's echo request, which every host answers by itself (RFC 1122,
// 3.2.2.6), without any server.
//
//     terminal 1:  build/udp/ping                       (127.0.0.1; --host ::1, --host example.org)
//
// ICMP lies beside UDP, not above it: there are no ports. Two kinds of socket may send it, and this says which it got:
// a datagram socket, for the groups that net.ipv4.ping_group_range names (icmp(7)), or a raw one, for root alone
// (raw(7), capabilities(7)). A raw socket is given a copy of every ICMP message that comes to this machine, and so must
// find its own among them.
//
// Try it: --count 3 --trace; --ttl 1 to a host that is far away; a host that is not there; --size 3000; Ctrl-C.
// macOS has both kinds of socket, but there even the datagram one gives the IP header, and has no error queue.

#ifdef __APPLE__
#define __APPLE_USE_RFC_3542  // for IPV6_RECVPKTINFO
#endif

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/icmp.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <deque>
#include <fstream>
#include <random>
#include <stdexcept>
#include <vector>

#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::duration<double, std::milli>;

#ifdef __linux__
constexpr bool is_linux = true;
#else
constexpr bool is_linux = false;
#endif

constexpr int most_at_a_time = 64;  // messages, before it is looked whether there is something else to do

struct Settings {
    long count = 0, interval = 1000, size = 56, ttl = 64, timeout = 1000;
};

/// The socket, and what differs from kind to kind.
struct IcmpSocket {
    int fd = -1;
    icmp::Version version = 4;
    bool gives_header = false;        // an IPv4 header before the message
    bool has_error_queue = false;     // else ICMP errors come as messages, among the answers
    std::optional<std::uint16_t> id;  // ours; nothing where the kernel gives one, and sorts the answers by it
};

/// A request on its way, by its number.
struct Probe {
    Clock::time_point sent;
    enum { unused, waiting, answered, failed, given_up } state = unused;
};

struct Tally {
    long sent = 0, received = 0, duplicates = 0, late = 0, errors = 0, altered = 0;
    icmp::RoundTrips round_trips;
};

// ---- Which kind of socket

std::string allowed_groups() {
    std::ifstream file("/proc/sys/net/ipv4/ping_group_range");
    long first = 0, last = 0;
    if (!(file >> first >> last)) return "";
    return first > last ? "no group" : fmt::format("groups {} to {}", first, last);
}

IcmpSocket open_socket(const Address& host, const std::string& wanted) {
    IcmpSocket endpoint;
    endpoint.version = host.family() == AF_INET ? 4 : 6;
    const int protocol = icmp::protocol_of(endpoint.version);
    std::string refused;
    if (wanted != "raw") {
        endpoint.fd = TRY(socket(host.family(), SOCK_DGRAM, protocol));
        if (endpoint.fd != -1) {
            endpoint.has_error_queue = is_linux;
            endpoint.gives_header = !is_linux && endpoint.version == 4;
            if (!is_linux) endpoint.id = static_cast<std::uint16_t>(std::random_device()());
            const std::string groups = allowed_groups();
            fmt::print("a datagram socket{}\n",
                       groups.empty() ? "" : ", since net.ipv4.ping_group_range allows " + groups);
            return endpoint;
        }
        const int error = errno;
        refused = fmt::format("no datagram socket ({}{})", error_name(error),
                              error == EACCES ? "; net.ipv4.ping_group_range allows " + allowed_groups() : "");
    }
    if (wanted != "datagram") {
        endpoint.fd = TRY(socket(host.family(), SOCK_RAW, protocol));
        if (endpoint.fd != -1) {
            endpoint.gives_header = endpoint.version == 4;
            endpoint.id = static_cast<std::uint16_t>(std::random_device()());
            fmt::print("a raw socket, since this process may have one{}{}\n", refused.empty() ? "" : "; ", refused);
            return endpoint;
        }
        const int error = errno;
        refused += fmt::format("{}no raw socket ({}{})", refused.empty() ? "" : ", ", error_name(error),
                               error == EPERM ? "; it takes root, or CAP_NET_RAW" : "");
    }
    throw std::runtime_error(refused +
                             (is_linux ? "; be root in a network of your own: unshare -Urn sh -c 'ip link set lo up; "
                                         "exec bash', or: sudo sysctl net.ipv4.ping_group_range='0 2147483647'"
                                       : ""));
}

void set_options(const IcmpSocket& endpoint, long ttl_wanted) {
    const int on = 1, ttl = static_cast<int>(ttl_wanted);
    if (endpoint.version == 4) {
        CALL(setsockopt(endpoint.fd, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl));
        if (!endpoint.gives_header) CALL(setsockopt(endpoint.fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
    } else {
        CALL(setsockopt(endpoint.fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl));
        CALL(setsockopt(endpoint.fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, &on, sizeof on));
        CALL(setsockopt(endpoint.fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof on));  // to which address it came
    }
#ifdef __linux__
    if (!endpoint.has_error_queue) return;
    if (endpoint.version == 4) {
        CALL(setsockopt(endpoint.fd, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
    } else {
        CALL(setsockopt(endpoint.fd, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
    }
#endif
}

// ---- What comes

struct Arrival {
    std::string bytes;
    Address sender;
    Clock::time_point when;
    int ttl = -1;                          // -1: not told
    std::optional<in6_addr> came_to = {};  // of IPv6
};

/// The next message that waits; nothing if none does.
std::optional<Arrival> next_arrival(const IcmpSocket& endpoint) {
    static std::vector<char> room(65536);  // more than any IPv4 packet has
    Arrival arrival;
    iovec piece{room.data(), room.size()};
    alignas(cmsghdr) std::array<char, 256> control{};
    msghdr message{};
    message.msg_name = arrival.sender.out();
    message.msg_namelen = *arrival.sender.out_length();
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    const ssize_t size = TRY(recvmsg(endpoint.fd, &message, MSG_DONTWAIT));
    arrival.when = Clock::now();
    if (size == -1) {
        if (errno != EAGAIN && errno != EINTR) fmt::print(stderr, "recvmsg: {}\n", describe_error(errno));
        return {};
    }
    arrival.bytes.assign(room.data(), static_cast<std::size_t>(size));
    arrival.sender = Address(arrival.sender.get(), message.msg_namelen);
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        const bool is_ttl = (part->cmsg_level == IPPROTO_IP && part->cmsg_type == IP_TTL) ||
                            (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_HOPLIMIT);
        if (is_ttl) std::memcpy(&arrival.ttl, CMSG_DATA(part), sizeof arrival.ttl);
        if (part->cmsg_level == IPPROTO_IPV6 && part->cmsg_type == IPV6_PKTINFO) {
            in6_pktinfo told{};
            std::memcpy(&told, CMSG_DATA(part), sizeof told);
            arrival.came_to = told.ipi6_addr;
        }
    }
    return arrival;
}

bool is_intact(const IcmpSocket& endpoint, const Arrival& arrival, std::string_view message) {
    if (endpoint.version == 4) return icmp::has_right_checksum(message);
    if (!arrival.came_to) return true;
    const auto* sender = reinterpret_cast<const sockaddr_in6*>(arrival.sender.get());
    return icmp::has_right_checksum(message, sender->sin6_addr, *arrival.came_to);
}

// ---- One run

class Ping {
public:
    Ping(const Settings& settings, const IcmpSocket& endpoint, const Address& host)
        : settings_(settings), endpoint_(endpoint), host_(host), probes_(65536) {
        for (long i = 0; i < settings.size; ++i)
            data_ += static_cast<char>(i);
    }

    /// Until all are sent and answered or given up, or the reader has had enough.
    void run(int stop) {
        auto next = Clock::now();
        for (;;) {
            const bool sends_more = settings_.count == 0 || tally_.sent < settings_.count;
            if (sends_more && Clock::now() >= next) {
                send();
                next += std::chrono::milliseconds(settings_.interval);
                next = std::max(next, Clock::now());  // what was missed is not made up for
                continue;
            }
            give_up_the_overdue();
            if (!sends_more && waiting_.empty()) return;
            auto wake = sends_more ? next : Clock::time_point::max();
            if (!waiting_.empty()) wake = std::min(wake, time_limit(waiting_.front()));
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(wake - Clock::now()).count();
            pollfd watched[]{{endpoint_.fd, POLLIN, 0}, {stop, POLLIN, 0}};
            CALL(poll(watched, 2, static_cast<int>(std::max<long>(static_cast<long>(left), 0))));
            was_interrupted_ = watched[1].revents != 0;
            if (was_interrupted_) return;
            if ((watched[0].revents & POLLERR) != 0) take_errors();
            if ((watched[0].revents & POLLIN) != 0) take_arrivals();
        }
    }

    void summarize() const {
        const Tally& all = tally_;
        if (was_interrupted_ && isatty(STDOUT_FILENO) == 1) fmt::print("\n");  // behind the ^C
        const auto lost = all.sent - all.received;
        std::string text =
            fmt::format("{} sent, {} received, {:.4g}% lost", all.sent, all.received,
                        all.sent == 0 ? 0 : 100.0 * static_cast<double>(lost) / static_cast<double>(all.sent));
        if (all.duplicates > 0) text += fmt::format(", {} came twice", all.duplicates);
        if (all.late > 0) text += fmt::format(", {} late", all.late);
        if (all.altered > 0) text += fmt::format(", {} damaged", all.altered);
        if (all.errors > 0) text += fmt::format("; errors: {}", all.errors);
        fmt::print("{}\n", text);
        if (all.round_trips.count() == 0) return;
        fmt::print("round trip min/avg/max/mdev = {:.3f}/{:.3f}/{:.3f}/{:.3f} ms\n", all.round_trips.min(),
                   all.round_trips.avg(), all.round_trips.max(), all.round_trips.mdev());
    }

    bool was_answered() const { return tally_.received > 0; }

private:
    void send() {
        const auto sequence = static_cast<std::uint16_t>(++tally_.sent);
        const std::string request = icmp::echo_request(endpoint_.version, {endpoint_.id.value_or(0), sequence}, data_);
        int error = 0;
        for (int attempt = 0; attempt < 10; ++attempt) {
            const auto now = Clock::now();
            if (TRY(sendto(endpoint_.fd, request.data(), request.size(), 0, host_.get(), host_.length())) != -1) {
                probes_[sequence] = {now, Probe::waiting};
                waiting_.push_back(sequence);
                return;
            }
            // The error of an earlier one may be told here, and then this one has not left yet.
            error = errno;
            if (error != EINTR && !take_errors()) break;
        }
        say(sequence, "not sent: " + describe_error(error));
        probes_[sequence].state = Probe::failed;
        ++tally_.errors;
    }

    Clock::time_point time_limit(std::uint16_t sequence) const {
        return probes_[sequence].sent + std::chrono::milliseconds(settings_.timeout);
    }

    void give_up_the_overdue() {
        while (!waiting_.empty()) {
            const std::uint16_t sequence = waiting_.front();
            Probe& probe = probes_[sequence];
            if (probe.state == Probe::waiting) {
                if (Clock::now() < time_limit(sequence)) return;
                probe.state = Probe::given_up;
                say(sequence, fmt::format("no answer within {} ms", settings_.timeout));
            }
            waiting_.pop_front();
        }
    }

    void take_arrivals() {
        for (int i = 0; i < most_at_a_time; ++i) {
            const auto arrival = next_arrival(endpoint_);
            if (!arrival) return;
            std::string_view bytes = arrival->bytes;
            int ttl = arrival->ttl;
            if (endpoint_.gives_header) {
                const auto packet = icmp::take_off_header(4, bytes);
                if (!packet) continue;
                bytes = packet->payload;
                ttl = static_cast<int>(packet->ttl);
            }
            const auto message = icmp::parse(endpoint_.version, bytes);
            if (!message || (endpoint_.id && message->echo.id != *endpoint_.id)) continue;  // somebody else's
            const bool is_known = probes_[message->echo.sequence].state != Probe::unused;
            if (message->what == icmp::What::answer && is_known) {
                take_answer(*arrival, *message, bytes, ttl);
            } else if (message->what == icmp::What::error && is_known && is_intact(endpoint_, *arrival, bytes)) {
                take_error(message->echo.sequence, message->type, message->code, message->mtu, arrival->sender);
            }
        }
    }

    void take_answer(const Arrival& arrival, const icmp::Message& message, std::string_view bytes, int ttl) {
        const std::uint16_t sequence = message.echo.sequence;
        Probe& probe = probes_[sequence];
        const std::string from = fmt::format("{} bytes from {}", bytes.size(), icmp::host_text(arrival.sender));
        const bool intact = is_intact(endpoint_, arrival, bytes);
        if (!intact || message.data != data_) {
            ++tally_.altered;
            return say(sequence, from + (intact ? ", and not the data that was sent" : ", and its checksum is wrong"));
        }
        const Milliseconds took = arrival.when - probe.sent;
        tally_.round_trips.add(took.count());
        std::string remark;
        // Who can guess number and data can forge a sender's address, too: all that can be done is to say it.
        if (icmp::host_text(arrival.sender) != icmp::host_text(host_)) remark += "  (another address)";
        if (probe.state == Probe::answered) {
            ++tally_.duplicates;
            remark += "  (duplicate)";
        } else {
            ++tally_.received;
            if (probe.state == Probe::given_up) {
                ++tally_.late;
                remark += "  (late)";
            }
            probe.state = Probe::answered;
        }
        say(sequence, fmt::format("{} ttl={} time={:.3f} ms{}", from, ttl, took.count(), remark));
    }

    /// True if there were any.
    bool take_errors() {
        bool any = false;
#ifdef __linux__
        while (endpoint_.has_error_queue) {
            std::array<char, 128> request{};  // the beginning of what we sent comes back
            iovec piece{request.data(), request.size()};
            alignas(cmsghdr) std::array<char, 512> control{};
            msghdr message{};
            message.msg_iov = &piece;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            const ssize_t size = TRY(recvmsg(endpoint_.fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT));
            if (size == -1) break;
            any = true;
            const auto error = icmp::queued_error(message);
            const auto ours = icmp::parse(endpoint_.version, {request.data(), static_cast<std::size_t>(size)});
            if (!error || !ours) continue;
            if (error->local) {
                say(ours->echo.sequence, "the kernel: " + describe_error(error->error));
            } else {
                take_error(ours->echo.sequence, error->type, error->code, error->mtu, error->offender);
            }
        }
#endif
        return any;
    }

    void take_error(std::uint16_t sequence, unsigned type, unsigned code, std::uint32_t mtu, const Address& from) {
        Probe& probe = probes_[sequence];
        if (probe.state != Probe::waiting && probe.state != Probe::given_up) return;  // one for each is enough
        probe.state = Probe::failed;
        const icmp::Meaning& meaning = icmp::meaning_of(endpoint_.version, type, code);
        std::string text = fmt::format("{}: {} (type {}, code {}): {}", icmp::host_text(from), meaning.name, type, code,
                                       meaning.because);
        if (mtu != 0) text += fmt::format("; at most {} bytes go through", mtu);
        say(sequence, text);
        ++tally_.errors;
    }

    static void say(std::uint16_t sequence, const std::string& text) {
        fmt::print("seq={}  {}\n", sequence, text);
        // Nobody reads any more (| head): go, and don't ask for ever.
        if (std::fflush(stdout) != 0) throw std::runtime_error("standard output: " + describe_error(errno));
    }

    Settings settings_;
    IcmpSocket endpoint_;
    Address host_;
    std::string data_;
    std::vector<Probe> probes_;          // by sequence number, of which there are no more
    std::deque<std::uint16_t> waiting_;  // in the order in which they were sent
    Tally tally_;
    bool was_interrupted_ = false;
};

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string name = "127.0.0.1", kind = "any";
    parse_options(
        argc, argv,
        {.summary = "Ping: asks a host by ICMP whether it is there, and tells what comes back, and after how long.",
         .endpoint = Endpoint::none,
         .more = {{"host", "HOST", "address or name", &name},
                  {"count", "N", "ask so often; 0: until Ctrl-C", &settings.count},
                  {"interval", "MS", "from one to the next", &settings.interval, 1, 3'600'000},
                  {"size", "BYTES", "of data, in each", &settings.size, 0, 65507},
                  {"ttl", "N", "so many routers may pass it on (IPv6: hop limit)", &settings.ttl, 1, 255},
                  {"timeout", "MS", "wait so long for each answer", &settings.timeout, 1, 60000},
                  {"socket", "KIND", "datagram, raw, or any: the first that is allowed", &kind}}});
    if (kind != "any" && kind != "datagram" && kind != "raw")
        throw UsageError(fmt::format("--socket {}: expected any, datagram or raw", escaped(kind)));

    const Address host = resolve(name, 0, SOCK_DGRAM).front();
    const IcmpSocket endpoint = open_socket(host, kind);
    set_options(endpoint, settings.ttl);
    const int stop = stop_descriptor();
    fmt::print("asking {}, with {} bytes\n", icmp::host_text(host), settings.size);
    std::fflush(stdout);
    Ping ping(settings, endpoint, host);
    ping.run(stop);
    ping.summarize();
    CALL(close(endpoint.fd));
    if (!ping.was_answered()) throw std::runtime_error("nothing came back from " + icmp::host_text(host));
} catch (const std::exception& error) {
    return report_failure(error);
}
