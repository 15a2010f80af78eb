// The way to a host: which routers pass our packets on. Linux only.
//
//     terminal 1:  build/udp/traceroute --host example.org         (127.0.0.1 is one hop away)
//
// Each router takes one off a packet's TTL (IPv6: hop limit), and throws away the packet that has none left; then it
// tells the sender so by ICMP (RFC 1812, 5.3.1). So packets with TTL 1, 2, 3 ... are sent on purpose, to UDP ports that
// nobody has, and each router on the way betrays its address, until the host itself says: port unreachable.
//
// Reading ICMP messages would take root. But Linux keeps those that are about a socket's own datagrams in that socket's
// error queue, for everybody: IP_RECVERR, and recvmsg with MSG_ERRQUEUE (ip(7)). What comes out is the datagram as it
// was sent, the address that it was sent to (its port says which probe it was), and who complained about what.
// macOS has no such queue; there this would need a raw ICMP socket, and so root, as its own traceroute has.
//
// Try it: --trace; --probes 1; a host beyond a router that keeps silent (*); ping --ttl 2 to the same host.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/icmp.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <set>
#include <stdexcept>
#include <vector>

#include <fmt/core.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr int most_at_a_time = 64;  // datagrams, before it is looked whether the time is over

struct Settings {
    long first = 1, hops = 30, probes = 3, size = 32, port = 33434, timeout = 1000;
    bool names = false;
};

/// One datagram, and what it has brought to light.
struct Probe {
    Clock::time_point sent;
    double milliseconds = -1;  // until the answer came; -1: none yet
    Address by = {};           // who answered
    std::string mark = {};     // "!H", if there is no way on
    std::string because = {};  // and what that means
    bool is_last = false;      // nothing lies behind
    bool is_answered() const { return milliseconds >= 0; }
};

class Route {
public:
    Route(const Settings& settings, int endpoint, const Address& host)
        : settings_(settings), endpoint_(endpoint), host_(host), version_(host.family() == AF_INET ? 4 : 6) {
        const int on = 1;
        if (version_ == 4) {
            CALL(setsockopt(endpoint_, IPPROTO_IP, IP_RECVERR, &on, sizeof on));
        } else {
            CALL(setsockopt(endpoint_, IPPROTO_IPV6, IPV6_RECVERR, &on, sizeof on));
        }
    }

    /// All probes of a hop at once. True if nothing lies behind it.
    bool explore(long hop) {
        const int ttl = static_cast<int>(hop);
        if (version_ == 4) {
            CALL(setsockopt(endpoint_, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl));
        } else {
            CALL(setsockopt(endpoint_, IPPROTO_IPV6, IPV6_UNICAST_HOPS, &ttl, sizeof ttl));
        }
        first_of_hop_ = probes_.size();
        for (long i = 0; i < settings_.probes; ++i)
            send();
        const auto deadline = Clock::now() + std::chrono::milliseconds(settings_.timeout);
        while (!all_answered()) {
            const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
            pollfd watched{endpoint_, POLLIN, 0};  // POLLERR, an error that waits, is always watched for
            if (CALL(poll(&watched, 1, static_cast<int>(std::max<long>(static_cast<long>(left), 0)))) == 0) break;
            take_errors();
            take_answers();
        }
        show(hop);
        return std::any_of(probes_.begin() + first(), probes_.end(), [](const Probe& probe) { return probe.is_last; });
    }

    void explain_marks() const {
        for (const std::string& explanation : explanations_)
            fmt::print("{}\n", explanation);
    }

private:
    long first() const { return static_cast<long>(first_of_hop_); }

    bool all_answered() const {
        return std::all_of(probes_.begin() + first(), probes_.end(),
                           [](const Probe& probe) { return probe.is_answered(); });
    }

    /// The host's address, with a port of this probe's own.
    Address target(std::size_t number) const {
        return host_.with_port(static_cast<std::uint16_t>(settings_.port + static_cast<long>(number)));
    }

    /// The probe that was sent to this port; nullptr if there is none.
    Probe* probe_of(const Address& to) {
        if (to.family() != host_.family()) return nullptr;
        const auto port = ntohs(version_ == 4 ? reinterpret_cast<const sockaddr_in*>(to.get())->sin_port
                                              : reinterpret_cast<const sockaddr_in6*>(to.get())->sin6_port);
        const long number = port - settings_.port;
        return number >= 0 && number < static_cast<long>(probes_.size()) ? &probes_[static_cast<std::size_t>(number)]
                                                                         : nullptr;
    }

    void send() {
        const std::string data(static_cast<std::size_t>(settings_.size), '@');
        const Address to = target(probes_.size());
        probes_.push_back({Clock::now()});
        while (TRY(sendto(endpoint_, data.data(), data.size(), 0, to.get(), to.length())) == -1) {
            // An error that waits in the queue is told by the next call, too, whichever that is: here it is about an
            // earlier datagram, and this one has not left yet.
            const int error = errno;
            if (error != EINTR && !take_errors())
                throw SocketError(error, {"sendto(endpoint, ...)", __FILE__, __LINE__});
            probes_.back().sent = Clock::now();
        }
    }

    /// Takes what the error queue has. True if that was anything.
    bool take_errors() {
        bool any = false;
        for (;;) {
            std::array<char, 64> datagram{};
            iovec piece{datagram.data(), datagram.size()};
            alignas(cmsghdr) std::array<char, 512> control{};
            Address to;
            msghdr message{};
            message.msg_name = to.out();
            message.msg_namelen = *to.out_length();
            message.msg_iov = &piece;
            message.msg_iovlen = 1;
            message.msg_control = control.data();
            message.msg_controllen = control.size();
            if (TRY(recvmsg(endpoint_, &message, MSG_ERRQUEUE | MSG_DONTWAIT)) == -1) {
                if (errno == EINTR) continue;
                if (errno != EAGAIN) throw SocketError(errno, {"recvmsg(endpoint, ...)", __FILE__, __LINE__});
                return any;
            }
            any = true;
            const auto error = icmp::queued_error(message);
            Probe* probe = probe_of(to);
            if (!error || probe == nullptr || probe->is_answered()) continue;
            if (error->local) throw std::runtime_error("the kernel: " + describe_error(error->error));
            finish(*probe, error->offender);
            if (icmp::is_time_exceeded(version_, error->type)) continue;
            const icmp::Meaning& meaning = icmp::meaning_of(version_, error->type, error->code);
            probe->is_last = error->mtu == 0;  // else the kernel knows now what the path takes, and cuts the next ones
            probe->mark = meaning.mark;
            if (error->mtu != 0) probe->mark += fmt::format("-{}", error->mtu);
            if (probe->mark == "!") probe->mark += fmt::format("<{}.{}>", error->type, error->code);
            probe->because = fmt::format("{}: {}", meaning.name, meaning.because);
        }
    }

    /// A datagram: somebody has this port after all, and answers. Also the end of the way.
    void take_answers() {
        for (int i = 0; i < most_at_a_time; ++i) {
            char datagram[64];
            Address sender;
            if (TRY(recvfrom(endpoint_, datagram, sizeof datagram, MSG_DONTWAIT, sender.out(), sender.out_length())) ==
                -1)
                return;
            Probe* probe = probe_of(sender);
            if (probe == nullptr || probe->is_answered() || icmp::host_text(sender) != icmp::host_text(host_)) continue;
            finish(*probe, sender);
            probe->is_last = true;
        }
    }

    static void finish(Probe& probe, const Address& by) {
        probe.milliseconds = std::chrono::duration<double, std::milli>(Clock::now() - probe.sent).count();
        probe.by = by;
    }

    std::string name_of(const Address& address) const {
        std::string digits = icmp::host_text(address);
        char name[NI_MAXHOST];
        if (!settings_.names ||
            TRY(getnameinfo(address.get(), address.length(), name, sizeof name, nullptr, 0, NI_NAMEREQD)) != 0)
            return digits;
        return fmt::format("{} ({})", escaped(name), digits);  // what the name is, its owner decides
    }

    void show(long hop) {
        fmt::print("{:2}", hop);
        std::string before, here;
        for (std::size_t i = first_of_hop_; i < probes_.size(); ++i) {
            const Probe& probe = probes_[i];
            if (!probe.is_answered()) {
                fmt::print("  *");
                continue;
            }
            if (here = icmp::host_text(probe.by); here != before) fmt::print("  {}", name_of(probe.by));
            before = here;
            fmt::print("  {:.3f} ms{}{}", probe.milliseconds, probe.mark.empty() ? "" : " ", probe.mark);
            if (!probe.mark.empty()) explanations_.insert(fmt::format("{}  {}", probe.mark, probe.because));
        }
        fmt::print("\n");
        std::fflush(stdout);
    }

    Settings settings_;
    int endpoint_;
    Address host_;
    icmp::Version version_;
    std::vector<Probe> probes_;
    std::size_t first_of_hop_ = 0;
    std::set<std::string> explanations_;
};

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string name = "127.0.0.1";
    parse_options(argc, argv,
                  {.summary = "Traceroute: finds the routers on the way to a host, by UDP and the error queue.",
                   .endpoint = Endpoint::none,
                   .more = {{"host", "HOST", "address or name", &name},
                            {"first", "N", "the first TTL (IPv6: hop limit)", &settings.first, 1, 255},
                            {"hops", "N", "the last", &settings.hops, 1, 255},
                            {"probes", "N", "datagrams for each hop", &settings.probes, 1, 10},
                            {"size", "BYTES", "of data, in each", &settings.size, 0, 65507},
                            {"first-port", "PORT", "each datagram goes to another port, from this one on",
                             &settings.port, 1, 62000},
                            {"timeout", "MS", "wait so long for the answers of a hop", &settings.timeout, 1, 60000},
                            {"names", nullptr, "look up the routers' names, too", &settings.names}}});
    if (settings.first > settings.hops) throw UsageError("--first: expected no more than --hops");

    const Address host = resolve(name, 0, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(host.family(), SOCK_DGRAM, 0));
    fmt::print("the way to {}, at most {} hops, {} bytes\n", icmp::host_text(host), settings.hops, settings.size);
    std::fflush(stdout);
    Route route(settings, endpoint, host);
    bool is_last = false;
    for (long hop = settings.first; hop <= settings.hops && !is_last; ++hop)
        is_last = route.explore(hop);
    route.explain_marks();
    if (!is_last) fmt::print("not reached within {} hops\n", settings.hops);
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
