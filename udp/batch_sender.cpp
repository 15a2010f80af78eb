// Sends very many datagrams, by one call for each or by one for many, and tells what each costs.
//
//     terminal 1:  build/udp/batch_receiver
//     terminal 2:  build/udp/batch_sender --all
//
// A datagram through the kernel costs about as much as its way there: the call itself, the route, the checks of a
// firewall, the queue. So there are calls that take many along (Linux only; macOS has --way single):
//   single   sendto       one datagram a call
//   batch    sendmmsg     many datagrams a call, each with an address and buffers of its own: fewer calls, and all the
//                         rest as before (sendmmsg(2))
//   segment  UDP_SEGMENT  one large datagram, which is cut into many of the same length as late as possible, best by
//   the
//                         network card: so they travel through the kernel as one (udp(7); "generic segmentation
//                         offload")
// The receiver takes them in the same way, and tells in the end how many came.
//
// Try it: --way batch --count 200 --trace; --size 64; --batch 8; --rate 20000; a receiver with --way single.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/batch.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using batch::Kind, batch::Way;
using Clock = std::chrono::steady_clock;

struct Settings {
    long count = 100'000, size = 1200, batch = batch::most_per_call, seconds = 5, rate = 0, timeout = 1000;
    bool all = false, json = false;
};

/// How a run went, on both sides.
struct Result {
    Way way, receiver_way;
    std::uint64_t sent = 0, calls = 0;
    std::chrono::nanoseconds took{}, cpu{};
    batch::Report report;

    /// Datagrams for each second of the processor's time.
    double sent_per_cpu() const { return per_second(sent, static_cast<std::uint64_t>(cpu.count())); }
    double received_per_cpu() const { return per_second(report.received, report.cpu_nanoseconds); }
    static double per_second(std::uint64_t count, std::uint64_t nanoseconds) {
        return nanoseconds == 0 ? 0 : 1e9 * static_cast<double>(count) / static_cast<double>(nanoseconds);
    }
};

// ---- The three ways: each sends the datagrams from this number on, at most so many, and returns how many it has sent

struct Line {
    int endpoint;
    Address to;
    std::string start;   // the header of each, but for its number
    std::uint16_t size;  // of each
};

std::size_t send_single(const Line& line, std::uint64_t number) {
    static std::array<char, batch::most_size> room;
    batch::write_data(room.data(), line.start, line.size, number);
    CALL(sendto(line.endpoint, room.data(), line.size, 0, line.to.get(), line.to.length()));
    return 1;
}

#ifdef __linux__
std::size_t send_batch(const Line& line, std::uint64_t number, std::size_t count) {
    static std::vector<char> rooms(batch::most_size * batch::most_per_call);
    static std::array<mmsghdr, batch::most_per_call> messages;
    static std::array<iovec, batch::most_per_call> pieces;
    for (std::size_t i = 0; i < count; ++i) {
        pieces[i] = {rooms.data() + i * line.size, line.size};
        batch::write_data(rooms.data() + i * line.size, line.start, line.size, number + i);
        messages[i] = {};
        messages[i].msg_hdr.msg_name = const_cast<sockaddr*>(line.to.get());
        messages[i].msg_hdr.msg_namelen = line.to.length();
        messages[i].msg_hdr.msg_iov = &pieces[i];
        messages[i].msg_hdr.msg_iovlen = 1;
    }
    // It may send fewer than asked: the next call takes the rest, and is told what was wrong.
    return static_cast<std::size_t>(CALL(sendmmsg(line.endpoint, messages.data(), static_cast<unsigned>(count), 0)));
}

/// The socket cuts what it is given into datagrams of the length that setsockopt(UDP_SEGMENT) has told it.
std::size_t send_segments(const Line& line, std::uint64_t number, std::size_t count) {
    static std::vector<char> room(batch::most_payload);
    for (std::size_t i = 0; i < count; ++i)
        batch::write_data(room.data() + i * line.size, line.start, line.size, number + i);
    CALL(sendto(line.endpoint, room.data(), count * line.size, 0, line.to.get(), line.to.length()));
    return count;
}
#endif

void set_segment(int endpoint, int size) {
#ifdef __linux__
    CALL(setsockopt(endpoint, SOL_UDP, UDP_SEGMENT, &size, sizeof size));  // 0: not any more
#else
    (void)endpoint, (void)size;
#endif
}

std::size_t send_some(Way way, const Line& line, std::uint64_t number, std::size_t count) {
#ifdef __linux__
    if (way == Way::batch) return send_batch(line, number, count);
    if (way == Way::segment) return send_segments(line, number, std::min(count, batch::most_payload / line.size));
#endif
    (void)way, (void)count;
    return send_single(line, number);
}

// ---- A run

/// Asks until it is answered. Throws if it never is.
std::string question(const Line& line, const batch::Header& header, Kind wanted, long timeout) {
    const Retry retry{std::chrono::milliseconds(timeout), 5, true, std::chrono::milliseconds(8000)};
    const auto answer = ask(line.endpoint, line.to, batch::control(header), retry, [&](const Datagram& datagram) {
        const auto got = batch::parse(datagram.bytes);
        return got && got->kind == wanted && got->run == header.run && datagram.bytes.size() == batch::control_size;
    });
    if (!answer)
        throw std::runtime_error(
            fmt::format("no answer from {}: is batch_receiver there, and not busy with another?", line.to.text()));
    return answer->bytes;
}

Result run(const Settings& settings, int endpoint, const Address& to, Way way) {
    std::random_device random;
    const std::uint64_t id = std::uint64_t{random()} << 32U | random();
    const auto size = static_cast<std::uint16_t>(settings.size);
    const auto count = static_cast<std::uint64_t>(settings.count);
    const Line line{endpoint, to, batch::to_bytes({Kind::data, way, size, id, 0}), size};
    Result result{.way = way, .receiver_way = way, .report = {}};
    const std::string ready = question(line, {Kind::hello, way, size, id, count}, Kind::ready, settings.timeout);
    result.receiver_way = batch::parse(ready)->way;

    if (way == Way::segment) set_segment(endpoint, size);
    const auto began = Clock::now(), deadline = began + std::chrono::seconds(settings.seconds);
    const auto cpu = batch::cpu_time();
    while (result.sent < count && Clock::now() < deadline) {
        if (settings.rate > 0) {
            const std::chrono::duration<double> due(static_cast<double>(result.sent) /
                                                    static_cast<double>(settings.rate));
            std::this_thread::sleep_until(began + std::chrono::duration_cast<Clock::duration>(due));
        }
        const auto some = std::min(count - result.sent, static_cast<std::uint64_t>(settings.batch));
        result.sent += send_some(way, line, result.sent, static_cast<std::size_t>(some));
        ++result.calls;
    }
    result.cpu = batch::cpu_time() - cpu;
    result.took = Clock::now() - began;
    if (way == Way::segment) set_segment(endpoint, 0);

    const std::string report = question(line, {Kind::done, way, size, id, result.sent}, Kind::report, settings.timeout);
    result.report = batch::report_in(report).value();
    return result;
}

// ---- Telling it

double microseconds(double per_second) { return per_second > 0 ? 1e6 / per_second : 0; }

void print_heading() {
    fmt::print("{:8}     sender {:>49}\n", "", "receiver");
    fmt::print("{:8} {:>10} {:>9} {:>11} {:>8} {:>7} {:>10} {:>9} {:>9} {:>8} {:>7}\n", "way", "sent", "calls",
               "each/s", "CPU us", "ratio", "arrived", "lost", "calls", "CPU us", "ratio");
    std::fflush(stdout);
}

/// The ratios say how many datagrams a second of CPU time is good for, compared to the first row.
void print_row(const Result& result, const Result& first) {
    const auto ratio = [](double value, double to) { return to > 0 ? value / to : 0; };
    const std::uint64_t lost = result.sent - std::min(result.sent, result.report.received);
    fmt::print("{:8} {:>10} {:>9} {:>11.0f} {:>8.3f} {:>7.2f} {:>10} {:>9} {:>9} {:>8.3f} {:>7.2f}\n",
               batch::name_of(result.way), result.sent, result.calls,
               Result::per_second(result.sent, static_cast<std::uint64_t>(result.took.count())),
               microseconds(result.sent_per_cpu()), ratio(result.sent_per_cpu(), first.sent_per_cpu()),
               result.report.received, lost, result.report.calls, microseconds(result.received_per_cpu()),
               ratio(result.received_per_cpu(), first.received_per_cpu()));
    if (result.receiver_way != result.way)
        fmt::print("         (the receiver's way: {})\n", batch::name_of(result.receiver_way));
    if (result.report.twice + result.report.damaged > 0)
        fmt::print("         ({} came twice, {} damaged)\n", result.report.twice, result.report.damaged);
    std::fflush(stdout);
}

void print_json(const Result& result) {
    fmt::print(
        "{{\"way\": \"{}\", \"receiver_way\": \"{}\", \"sent\": {}, \"calls\": {}, \"per_second\": {:.0f}, "
        "\"sent_per_cpu_second\": {:.0f}, \"received\": {}, \"twice\": {}, \"damaged\": {}, "
        "\"receiver_calls\": {}, \"received_per_second\": {:.0f}, \"received_per_cpu_second\": {:.0f}}}\n",
        batch::name_of(result.way), batch::name_of(result.receiver_way), result.sent, result.calls,
        Result::per_second(result.sent, static_cast<std::uint64_t>(result.took.count())), result.sent_per_cpu(),
        result.report.received, result.report.twice, result.report.damaged, result.report.calls,
        Result::per_second(result.report.received, result.report.nanoseconds), result.received_per_cpu());
    std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string name = "single";
    const Options options = parse_options(
        argc, argv,
        {.summary = "Sends very many datagrams to udp/batch_receiver, in one of three ways, and tells what they cost.",
         .more = {{"way", "WAY", "single, batch or segment", &name},
                  {"all", nullptr, "in all three, one after the other", &settings.all},
                  {"count", "N", "so many datagrams", &settings.count, 1, static_cast<long>(batch::most_datagrams)},
                  {"seconds", "N", "and no longer than this", &settings.seconds, 1, 600},
                  {"rate", "N", "so many a second, at the most; 0: as fast as they go", &settings.rate},
                  {"size", "BYTES", "of each datagram", &settings.size, batch::header_size, batch::most_size},
                  {"batch", "N", "so many in a call, at the most", &settings.batch, 1, batch::most_per_call},
                  {"timeout", "MS", "repeat a question that is not answered for so long", &settings.timeout, 1, 60000},
                  {"json", nullptr, "print a line of JSON for each run", &settings.json}}});
    const auto way = batch::way_of(name);
    if (!way) throw UsageError(fmt::format("--way {}: expected single, batch or segment", escaped(name)));
    if (*way != Way::single && !batch::has_all_ways) throw UsageError("--way: this system has only single");
    std::vector<Way> ways{*way};
    if (settings.all && batch::has_all_ways) ways = {Way::single, Way::batch, Way::segment};

    const Address to = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(to.family(), SOCK_DGRAM, 0));
    if (!settings.json) print_heading();
    std::optional<Result> first;
    for (const Way each : ways) {
        const Result result = run(settings, endpoint, to, each);
        if (!first) first = result;
        settings.json ? print_json(result) : print_row(result, *first);
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
