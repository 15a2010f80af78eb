// Two small writes and a read: how Nagle's algorithm and delayed ACKs wait for each other, and what ends that.
//
//     build/tcp/nagle
//     build/tcp/nagle --rounds 500 --host ::1
//
// A request goes out in two send() calls, a header and a body; the answer comes when both are there. Nagle's algorithm
// (RFC 9293, section 3.7.4) holds the body back until the header is acknowledged. The receiver delays its ACK (section
// 3.8.6.3) and hopes to send it along with an answer; Linux waits 40 ms. There is no answer before the body is there.
// Four ways to do it are measured. Times are this machine's; segments and the delay are the kernel's own figures.
// Try it: --body 70000. What fills a segment is not held back, and much is acknowledged at once.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __linux__
#include <linux/tcp.h>  // the same as <netinet/tcp.h>, with all of tcp_info
#else
#include <netinet/tcp.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>
#include <vector>

namespace {

enum class Way { two_writes, one_write, no_delay, quick_ack };

void switch_on(int fd, int option) {
    const int on = 1;
    CALL(setsockopt(fd, IPPROTO_TCP, option, &on, sizeof on));
}

void send_request(int client, const std::string& header, const std::string& body, Way way) {
    if (way != Way::one_write) {
        send_all(client, header.data(), header.size());
        send_all(client, body.data(), body.size());
        return;
    }
    const std::string both = header + body;  // sendmsg() would take them from two places
    send_all(client, both.data(), both.size());
}

void receive(int fd, size_t count, Way way) {
    std::array<char, 65536> buffer{};
    while (count > 0) {
#ifdef __linux__
        if (way == Way::quick_ack) switch_on(fd, TCP_QUICKACK);  // not for long (tcp(7)): so before each recv()
#else
        (void)way;
#endif
        const ssize_t received = CALL(recv(fd, buffer.data(), std::min(count, buffer.size()), 0));
        if (received == 0) throw std::runtime_error("the connection has ended");
        count -= static_cast<size_t>(received);
    }
}

/// What the kernel has counted: segments with data that left this socket, and how long it delays an ACK.
struct Figures {
    long segments = -1;
    double delay_ms = -1;
};

Figures figures_of([[maybe_unused]] int fd) {
#ifdef __linux__
    tcp_info info{};
    socklen_t length = sizeof info;
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    return {static_cast<long>(info.tcpi_data_segs_out), info.tcpi_ato / 1000.0};
#else
    return {};
#endif
}

constexpr std::array<double, 9> limits{0.05, 0.1, 0.2, 0.5, 1, 5, 20, 60, 1e9};  // milliseconds

void show_histogram(const std::vector<double>& times) {
    double least = 0;
    for (const double limit : limits) {
        const auto count = std::count_if(times.begin(), times.end(), [&](double t) { return t >= least && t < limit; });
        const size_t length = (static_cast<size_t>(count) * 50 + times.size() - 1) / times.size();
        const std::string range =
            limit < 1e9 ? fmt::format("{} to {} ms", least, limit) : fmt::format("{} ms on", least);
        if (count > 0) fmt::print("    {:>15}  {:5}  {}\n", range, count, std::string(length, '#'));
        least = limit;
    }
}

void measure(const ConnectedPair& pair, Way way, const char* title, long rounds, const std::string& body) {
    using Clock = std::chrono::steady_clock;
    const std::string header(10, 'h');
    if (way == Way::no_delay) switch_on(pair.client, TCP_NODELAY);

    const long segments_before = figures_of(pair.client).segments;
    double delay = 0;
    std::vector<double> times;
    for (long i = 0; i < rounds; ++i) {
        const auto begin = Clock::now();
        send_request(pair.client, header, body, way);
        receive(pair.server, header.size() + body.size(), way);
        send_all(pair.server, "r", 1);
        receive(pair.client, 1, Way::two_writes);
        times.push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
        delay = std::max(delay, figures_of(pair.server).delay_ms);
    }
    const auto segments = static_cast<double>(figures_of(pair.client).segments - segments_before);

    fmt::print("{}\n", title);
    show_histogram(times);
    std::sort(times.begin(), times.end());
    const auto percentile = [&](size_t percent) { return times[(times.size() - 1) * percent / 100]; };
    fmt::print("    half of the rounds took up to {:.3f} ms, 90 % {:.3f}, 99 % {:.3f}, all {:.3f}\n", percentile(50),
               percentile(90), percentile(99), times.back());
    if (segments_before >= 0) fmt::print("    segments a request: {:.1f}\n", segments / static_cast<double>(rounds));
    if (way == Way::two_writes && delay > 0) fmt::print("    the server's kernel delays an ACK by {:.0f} ms\n", delay);
}

}  // namespace

int main(int argc, char** argv) try {
    long rounds = 50;
    long size = 10;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Small writes, Nagle's algorithm and delayed ACKs, measured.",
                       .more = {{"rounds", "N", "requests for each of the four ways", &rounds, 1, 1'000'000},
                                {"body", "BYTES", "of a request; its header has 10", &size, 1, 70'000}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const std::string body(static_cast<size_t>(size), 'b');

    struct Row {
        Way way;
        const char* title;
    };
    for (const Row& row : {Row{Way::two_writes, "two writes (what everybody gets who asks for nothing else)"},
                           Row{Way::no_delay, "two writes, TCP_NODELAY at the client: Nagle's algorithm off"},
                           Row{Way::quick_ack, "two writes, TCP_QUICKACK at the server: no delayed ACK"},
                           Row{Way::one_write, "one write: header and body in one send()"}}) {
#ifndef __linux__
        if (row.way == Way::quick_ack) continue;  // Linux alone has that option
#endif
        const ConnectedPair pair = connect_to_itself(address);
        limit_waiting(pair.client, 10);
        limit_waiting(pair.server, 10);
        measure(pair, row.way, row.title, rounds, body);
        CALL(close(pair.client));
        CALL(close(pair.server));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
