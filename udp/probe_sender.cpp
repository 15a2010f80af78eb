// Probes: numbered datagrams with the time at which they left, at a steady pace. What the network does to them is what
// it does to a telephone call.
//
//     terminal 1:  build/udp/probe_receiver
//     terminal 2:  build/udp/probe_sender
//
// The 172 bytes every 20 milliseconds are a call without compression: RTP's 12 bytes and 160 of sound (RFC 3551). At
// the end it asks the receiver what has arrived. Ctrl-C ends it early, and it asks, too. Try it through a bad network:
// build/udp/trouble --drop 5 --jitter 40 between the two, and --port 7001 here.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/probe.hpp"

#include <algorithm>
#include <chrono>
#include <random>
#include <stdexcept>
#include <string>

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace probes;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

std::uint64_t microseconds_now() {
    const auto since_1970 = std::chrono::system_clock::now().time_since_epoch();
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(since_1970).count());
}

/// Waits until this time. False if the reader has pressed Ctrl-C.
bool wait_until(int stop, Clock::time_point time) {
    const auto left = std::chrono::ceil<milliseconds>(time - Clock::now()).count();
    pollfd watched{stop, POLLIN, 0};
    return CALL(poll(&watched, 1, static_cast<int>(std::max<long>(static_cast<long>(left), 0)))) == 0;
}

}  // namespace

int main(int argc, char** argv) try {
    long count = 100, interval = 20, size = 172, settle = 500, timeout = 500, tries = 10;
    bool json = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Sends numbered, timed datagrams to udp/probe_receiver, and asks what has arrived.",
         .more = {{"count", "N", "so many", &count, 1, 1'000'000'000},
                  {"interval", "MS", "one in so many milliseconds; 0: as fast as it goes", &interval, 0, 60'000},
                  {"size", "BYTES", "of each", &size, static_cast<long>(header_size), 65507},
                  {"settle", "MS", "wait so long for the last ones before asking", &settle, 0, 60'000},
                  {"timeout", "MS", "wait so long for the report before asking again", &timeout, 1, 60'000},
                  {"tries", "N", "ask so often", &tries, 1, 1000},
                  {"json", nullptr, "print the report as JSON", &json}}});
    const Address server = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(server.family(), SOCK_DGRAM, 0));
    const int stop = stop_descriptor();

    const std::uint32_t session = std::random_device{}();
    const std::string filling(static_cast<std::size_t>(size) - header_size, '\0');
    const Clock::time_point began = Clock::now();
    std::uint32_t sent = 0;
    // Each has its time from the beginning: so being late once does not make all later ones late.
    while (sent < count && wait_until(stop, began + sent * milliseconds(interval))) {
        const std::string probe = to_bytes({Kind::probe, session, sent, microseconds_now(), filling});
        CALL(sendto(endpoint, probe.data(), probe.size(), 0, server.get(), server.length()));
        ++sent;
    }
    const std::chrono::duration<double> took = Clock::now() - began;
    if (sent == count) wait_until(stop, Clock::now() + milliseconds(settle));  // some may be late

    const std::string question =
        to_bytes({Kind::end, session, sent, microseconds_now(), std::string(report_size - header_size, '\0')});
    std::optional<Report> report;
    ask(endpoint, server, question, {.timeout = milliseconds(timeout), .tries = tries, .doubling = false},
        [&](const Datagram& datagram) {
            const auto packet = parse(datagram.bytes);
            if (!(datagram.sender == server) || !packet || packet->kind != Kind::report) return false;
            if (packet->session != session || packet->number != sent) return false;
            report = parse_report(packet->rest);
            return report.has_value();
        });
    CALL(close(endpoint));
    if (!report) throw std::runtime_error(fmt::format("{} sent, and no report from {}", sent, server.text()));
    if (json) {
        fmt::print(
            "{{\"sent\": {}, \"received\": {}, \"lost\": {}, \"duplicates\": {}, \"reordered\": {}, \"jitter_us\": "
            "{}}}\n",
            sent, report->received, report->lost, report->duplicates, report->reordered, report->jitter);
    } else {
        fmt::print("{} sent in {:.2f} s: {} received, {} lost, {} twice, {} late, jitter {:.3f} ms\n", sent,
                   took.count(), report->received, report->lost, report->duplicates, report->reordered,
                   static_cast<double>(report->jitter) / 1000);
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
