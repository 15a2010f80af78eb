// TCP crowd: many echo clients in one thread. It talks to any server that echoes, compares every byte that comes back,
// and tells how long answers take.
//
//     terminal 1:  build/tcp/poll_server
//     terminal 2:  build/tcp/crowd --connections 1000 --seconds 2 --pid $(pgrep poll_server)
//
// First each connection sends one message and waits for its return: then the server has taken all of them. Then those
// that are active send one message after the other, until the time is over. At the end each says so (FIN), and the
// server has to say the same. On a machine that others use, too, the server's CPU time (--pid) is the figure that can
// be compared with that of another server: time on the wall measures the machine.
// Try it: the same with echo_server, which serves one client at a time.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <fstream>
#include <map>
#include <random>
#include <sstream>
#include <stdexcept>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
    long connections = 100;
    long active = 100'000;
    long size = 64;
    long in_flight = 1;
    long seconds = 5;
    long messages = 0;  // of each connection; 0: as many as there is time for
    long timeout = 10;
    long pid = 0;
    bool json = false;
};

/// What all connections send: bytes without a pattern, which each begins at another place and repeats. So neither bytes
/// of another connection nor bytes of another time are taken for the right ones.
class Bytes {
public:
    Bytes() {
        std::mt19937 random;  // NOLINT: the same bytes every time
        for (size_t i = 0; i < bytes_.size(); ++i)
            bytes_[i] = i < length ? static_cast<char>(random()) : bytes_[i - length];
    }

    static constexpr size_t at_a_time = 65536;

    /// The next bytes of a connection that has sent or received so many: at_a_time are there.
    const char* at(size_t connection, size_t done) const { return &bytes_[(connection * 4001 + done) % length]; }

private:
    static constexpr size_t length = 65521;  // a prime, so that no size of a message meets the same place soon
    std::array<char, length + at_a_time> bytes_{};
};

enum class Phase {
    connecting,
    talking,
    ending,  // our side is shut down, and we wait for the server's
    over,
};

struct Connection {
    Phase phase = Phase::connecting;
    size_t started = 0;   // messages that were begun
    size_t answered = 0;  // messages that are back
    size_t sent = 0;      // bytes
    size_t received = 0;
    Clock::time_point began = {};                 // connect()
    Clock::time_point moved = {};                 // when something last happened
    std::vector<Clock::time_point> sent_at = {};  // of the messages in flight: a ring
};

struct Failure {
    std::string why;
    std::string who;  // the connection's number and our address
};

/// How long answers took, in microseconds.
class Latencies {
public:
    void add(Clock::duration time) {
        constexpr size_t most = 20'000'000;
        if (samples_.size() < most) samples_.push_back(std::chrono::duration<float, std::micro>(time).count());
    }
    void sort() { std::sort(samples_.begin(), samples_.end()); }
    size_t count() const { return samples_.size(); }

    /// The time within which this part of the answers came; sort() comes first.
    double within(double part) const {
        return samples_.empty() ? 0 : samples_[static_cast<size_t>(part * static_cast<double>(samples_.size() - 1))];
    }

private:
    std::vector<float> samples_;
};

constexpr std::array<double, 6> parts{0, 0.5, 0.9, 0.99, 0.999, 1};
constexpr std::array<const char*, 6> part_names{"min", "p50", "p90", "p99", "p99.9", "max"};

class Crowd {
public:
    explicit Crowd(const Settings& settings) : settings_(settings) {}
    void run(const std::vector<Address>& addresses);
    void report();
    bool complain_of_failures() const;

private:
    void connect_all(const std::vector<Address>& addresses);
    void take_turns(size_t count);
    void look_after(size_t which, short events);
    void begin_messages(size_t which);
    void send_some(size_t which);
    void receive_some(size_t which);
    void end(size_t which);
    void close_one(size_t which);
    void fail(size_t which, const std::string& why);
    void fail_late_ones(size_t count, Clock::time_point now);
    bool has_to_wait(const Connection& connection) const;
    size_t arrived() const;
    void print_json();

    const Settings settings_;
    const Bytes bytes_;
    std::vector<Connection> connections_;
    std::vector<pollfd> watched_;  // in the same order; -1: closed
    std::vector<Failure> failures_;
    std::array<char, Bytes::at_a_time> input_{};
    size_t allowed_ = 1;  // messages of each connection, until all have arrived
    bool over_ = false;   // no new messages
    Clock::time_point end_ = Clock::time_point::max();
    Latencies first_, later_;
    size_t later_messages_ = 0;
    double wall_ = 0, server_ = 0, server_arriving_ = 0;  // seconds
};

#ifdef __linux__
double cpu_time_of(long pid) {
    clockid_t clock{};
    timespec time{};
    if (clock_getcpuclockid(static_cast<pid_t>(pid), &clock) != 0 || clock_gettime(clock, &time) != 0) return 0;
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

/// The CPU time that a process has used, user and system, in seconds; with its children, those that live and those that
/// it has waited for (proc(5)).
double cpu_time(long pid) {
    if (pid == 0) return 0;
    double seconds = cpu_time_of(pid);
    std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", pid));
    for (long child = 0; children >> child;)
        seconds += cpu_time_of(child);
    std::ifstream file(fmt::format("/proc/{}/stat", pid));
    std::string text;
    if (!std::getline(file, text)) throw std::runtime_error(fmt::format("--pid {}: there is no such process", pid));
    std::istringstream fields(text.substr(text.rfind(')') + 1));
    std::string skipped;
    for (int field = 3; field < 16; ++field)
        fields >> skipped;
    double user = 0, system = 0;
    fields >> user >> system;
    return seconds + (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}
#else
double cpu_time(long) { return 0; }
#endif

void Crowd::run(const std::vector<Address>& addresses) {
    const double server_before = cpu_time(settings_.pid);
    connect_all(addresses);
    take_turns(connections_.size());
    const auto began = Clock::now();
    const double server_began = cpu_time(settings_.pid);
    server_arriving_ = server_began - server_before;
    if (arrived() == 0) return;

    // Those that stay silent are not even watched, so that they cost us nothing.
    const size_t active = std::min(connections_.size(), static_cast<size_t>(settings_.active));
    end_ = began + std::chrono::seconds(settings_.seconds);
    allowed_ = settings_.messages > 0 ? static_cast<size_t>(settings_.messages) : SIZE_MAX;
    for (size_t i = 0; i < active; ++i)
        begin_messages(i);
    take_turns(active > 0 ? active : connections_.size());
    wall_ = std::chrono::duration<double>(Clock::now() - began).count();
    server_ = cpu_time(settings_.pid) - server_began;

    over_ = true;
    CALL(poll(watched_.data(), static_cast<nfds_t>(watched_.size()), 0));  // who was left, or got what nobody sent?
    for (size_t i = 0; i < connections_.size(); ++i)
        look_after(i, watched_[i].revents);
    for (size_t i = 0; i < connections_.size(); ++i)
        end(i);
    take_turns(connections_.size());
}

void Crowd::connect_all(const std::vector<Address>& addresses) {
    Address address;  // of a name that has several, the one at which the server is
    for (long i = 0; i < settings_.connections; ++i) {
        const auto which = static_cast<size_t>(i);
        const auto now = Clock::now();
        connections_.push_back({.began = now, .moved = now});
        connections_.back().sent_at.resize(static_cast<size_t>(settings_.in_flight));
        watched_.push_back({-1, POLLOUT, 0});
        int& fd = watched_.back().fd;
        const int on = 1;
        if (i == 0) {
            fd = connect_to_any(addresses);
            CALL(getpeername(fd, address.out(), address.out_length()));
            CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
            CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
            continue;
        }
        try {
            fd = CALL(socket(address.family(), SOCK_STREAM, 0));
            CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
            CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
            if (TRY(connect(fd, address.get(), address.length())) == -1 && errno != EINPROGRESS && errno != EINTR) {
                fail(which, fmt::format("connect(): {}", describe_error(errno)));
            }
        } catch (const SocketError& error) {
            fail(which, error.what());
        }
    }
}

/// Serves the first connections of the list until none of them has to wait for anything.
void Crowd::take_turns(size_t count) {
    const auto somebody_waits = [&] {
        return std::any_of(connections_.begin(), connections_.begin() + static_cast<std::ptrdiff_t>(count),
                           [&](const Connection& connection) { return has_to_wait(connection); });
    };
    constexpr std::chrono::milliseconds interval(100);
    auto look_again = Clock::now() + interval;
    const auto silence = [&] { return settings_.active == 0 && end_ != Clock::time_point::max() && !over_; };
    while (somebody_waits() || silence()) {
        int ready = CALL(poll(watched_.data(), static_cast<nfds_t>(count), static_cast<int>(interval.count())));
        for (size_t i = 0; ready > 0 && i < count; ++i) {
            if (watched_[i].revents == 0) continue;
            --ready;
            look_after(i, watched_[i].revents);
        }
        const auto now = Clock::now();
        if (now >= end_) over_ = true;
        if (now < look_again) continue;
        fail_late_ones(count, now);
        look_again = now + interval;
    }
}

bool Crowd::has_to_wait(const Connection& connection) const {
    if (connection.phase == Phase::over) return false;
    return connection.phase != Phase::talking || connection.answered < connection.started;
}

void Crowd::look_after(size_t which, short events) {
    if (events == 0 || watched_[which].fd == -1) return;
    try {
        Connection& connection = connections_[which];
        if (connection.phase == Phase::connecting) {
            int error = 0;
            socklen_t length = sizeof error;
            CALL(getsockopt(watched_[which].fd, SOL_SOCKET, SO_ERROR, &error, &length));
            if (error != 0) return fail(which, fmt::format("connect(): {}", describe_error(error)));
            connection.phase = Phase::talking;
            return begin_messages(which);
        }
        if ((events & ~POLLOUT) != 0) receive_some(which);  // or an error, which recv() will tell
        if ((events & POLLOUT) != 0) send_some(which);
    } catch (const SocketError& error) {
        fail(which, error.what());
    }
}

void Crowd::begin_messages(size_t which) {
    Connection& connection = connections_[which];
    if (connection.phase != Phase::talking) return;
    const auto now = Clock::now();
    while (!over_ && connection.started < allowed_ &&
           connection.started - connection.answered < connection.sent_at.size()) {
        connection.sent_at[connection.started++ % connection.sent_at.size()] = now;
        connection.moved = now;
    }
    try {
        send_some(which);
    } catch (const SocketError& error) {
        fail(which, error.what());
    }
}

void Crowd::send_some(size_t which) {
    Connection& connection = connections_[which];
    const int fd = watched_[which].fd;
    if (fd == -1 || connection.phase != Phase::talking) return;
    const size_t all = connection.started * static_cast<size_t>(settings_.size);
    try {
        while (connection.sent < all) {
            const char* bytes = bytes_.at(which, connection.sent);
            const size_t count = std::min(all - connection.sent, Bytes::at_a_time);
            connection.sent += static_cast<size_t>(CALL(send(fd, bytes, count, 0)));
        }
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
    }
    watched_[which].events = connection.sent < all ? POLLIN | POLLOUT : POLLIN;
}

void Crowd::receive_some(size_t which) {
    Connection& connection = connections_[which];
    const int fd = watched_[which].fd;
    ssize_t received = 0;
    try {
        received = CALL(recv(fd, input_.data(), input_.size(), 0));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
        return;
    }
    const auto count = static_cast<size_t>(received);
    if (count == 0 && connection.phase == Phase::ending) return close_one(which);
    if (count == 0) return fail(which, "the server has ended the connection");
    if (connection.received + count > connection.sent) return fail(which, "more came back than was sent");
    if (std::memcmp(input_.data(), bytes_.at(which, connection.received), count) != 0)
        return fail(which, "what came back is not what was sent");

    const auto now = Clock::now();
    connection.received += count;
    connection.moved = now;
    const size_t before = connection.answered;
    for (; connection.received / static_cast<size_t>(settings_.size) > connection.answered; ++connection.answered) {
        if (connection.answered == 0) {
            first_.add(now - connection.began);
        } else {
            later_.add(now - connection.sent_at[connection.answered % connection.sent_at.size()]);
            ++later_messages_;
        }
    }
    if (connection.answered > before) begin_messages(which);
}

/// "That was all": the server has to say the same, and nothing else.
void Crowd::end(size_t which) {
    Connection& connection = connections_[which];
    if (connection.phase != Phase::talking) return;
    connection.phase = Phase::ending;
    connection.moved = Clock::now();
    watched_[which].events = POLLIN;
    try {
        CALL(shutdown(watched_[which].fd, SHUT_WR));
    } catch (const SocketError& error) {
        fail(which, error.what());
    }
}

void Crowd::close_one(size_t which) {
    connections_[which].phase = Phase::over;
    if (watched_[which].fd != -1) TRY(close(watched_[which].fd));
    watched_[which].fd = -1;
}

void Crowd::fail(size_t which, const std::string& why) {
    Address ours;
    const bool known = watched_[which].fd != -1 && getsockname(watched_[which].fd, ours.out(), ours.out_length()) == 0;
    failures_.push_back({why, fmt::format("{}{}", which + 1, known ? " at " + ours.text() : "")});
    close_one(which);
}

void Crowd::fail_late_ones(size_t count, Clock::time_point now) {
    for (size_t i = 0; i < count; ++i) {
        const Connection& connection = connections_[i];
        if (!has_to_wait(connection) || now - connection.moved < std::chrono::seconds(settings_.timeout)) continue;
        const char* what = connection.phase == Phase::connecting ? "no connection"
                           : connection.phase == Phase::talking  ? "no answer"
                                                                 : "all was back, but no end of the connection";
        fail(i, fmt::format("{} within {} s", what, settings_.timeout));
    }
}

size_t Crowd::arrived() const {
    return static_cast<size_t>(
        std::count_if(connections_.begin(), connections_.end(),
                      [](const Connection& connection) { return connection.phase == Phase::talking; }));
}

/// "12.3 us", "1.23 ms", "12.3 s": three digits.
std::string three_digits(double microseconds) {
    const auto with = [](double number, const char* unit) {
        return fmt::format("{:.{}f} {}", number, number < 9.995 ? 2 : number < 99.95 ? 1 : 0, unit);
    };
    if (microseconds < 999.5) return with(microseconds, "us");
    return microseconds < 999'500 ? with(microseconds / 1e3, "ms") : with(microseconds / 1e6, "s");
}

void Crowd::report() {
    first_.sort();
    later_.sort();
    if (settings_.json) return print_json();
    fmt::print("{:16}{:>9}", "", "count");
    for (const char* name : part_names)
        fmt::print("{:>9}", name);
    const auto print_row = [](const char* name, const Latencies& latencies) {
        fmt::print("\n{:16}{:9}", name, latencies.count());
        for (const double part : parts)
            fmt::print("{:>9}", latencies.count() == 0 ? "-" : three_digits(latencies.within(part)));
    };
    print_row("first answers", first_);
    print_row("later answers", later_);
    fmt::print("\n");
    if (later_messages_ > 0) {
        const auto messages = static_cast<double>(later_messages_);
        fmt::print("{:.0f} messages/s of {} bytes, {:.1f} MB/s each way, for {:.2f} s\n", messages / wall_,
                   settings_.size, messages / wall_ * static_cast<double>(settings_.size) / 1e6, wall_);
    }
    if (settings_.pid != 0) {
        fmt::print("the server's CPU time: {} for each connection",
                   three_digits(server_arriving_ * 1e6 / static_cast<double>(settings_.connections)));
        if (later_messages_ > 0)
            fmt::print(", then {} for each message",
                       three_digits(server_ * 1e6 / static_cast<double>(later_messages_)));
        fmt::print("\n");
    }
}

void Crowd::print_json() {
    const auto messages = static_cast<double>(later_messages_);
    const double per_second = wall_ > 0 ? messages / wall_ : 0;
    fmt::print(
        R"({{"connections": {}, "failed": {}, "active": {}, "size": {}, "in_flight": {}, "messages": {}, )"
        R"("seconds": {:.3f}, "messages_per_second": {:.0f}, "megabytes_per_second": {:.1f}, )"
        R"("first_p50_us": {:.1f}, "first_max_us": {:.1f}, "min_us": {:.1f}, "p50_us": {:.1f}, "p90_us": {:.1f}, )"
        R"("p99_us": {:.1f}, "p999_us": {:.1f}, "max_us": {:.1f}, "server_cpu_us_per_connection": {:.1f}, )"
        R"("server_cpu_seconds": {:.3f}, "messages_per_server_cpu_second": {:.0f}}})"
        "\n",
        settings_.connections, failures_.size(), std::min(settings_.active, settings_.connections), settings_.size,
        settings_.in_flight, first_.count() + later_messages_, wall_, per_second,
        per_second * static_cast<double>(settings_.size) / 1e6, first_.within(0.5), first_.within(1), later_.within(0),
        later_.within(0.5), later_.within(0.9), later_.within(0.99), later_.within(0.999), later_.within(1),
        server_arriving_ * 1e6 / static_cast<double>(settings_.connections), server_,
        server_ > 0 ? messages / server_ : 0);
}

/// A line for each reason. Returns whether there was any.
bool Crowd::complain_of_failures() const {
    std::map<std::string, std::vector<std::string>> by_reason;
    for (const Failure& failure : failures_)
        by_reason[failure.why].push_back(failure.who);
    for (const auto& [why, who] : by_reason) {
        constexpr size_t named = 3;
        std::string names = who[0];
        for (size_t i = 1; i < std::min(who.size(), named); ++i)
            names += ", " + who[i];
        if (who.size() > named) names += fmt::format(" and {} more", who.size() - named);
        complain(std::runtime_error(
            fmt::format("{} of {} connections failed (number {}): {}", who.size(), settings_.connections, names, why)));
    }
    return !failures_.empty();
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP crowd: many echo clients at once; compares what comes back, and measures how long it takes.",
         .more = {{"connections", "N", "how many at a time", &settings.connections, 1, 50'000},
                  {"active", "N", "after their first message, only so many go on", &settings.active, 0, 100'000},
                  {"size", "BYTES", "of a message", &settings.size, 1, 1 << 28},
                  {"in-flight", "N", "messages on their way on each connection", &settings.in_flight, 1, 10'000},
                  {"seconds", "S", "send for so long", &settings.seconds, 1, 86400},
                  {"messages", "N", "each connection sends so many; 0: until the time is over", &settings.messages, 0,
                   1L << 40},
                  {"timeout", "S", "give up a connection that waits for so long", &settings.timeout, 1, 86400},
                  {"pid", "PID", "the server's process, to tell its CPU time (Linux)", &settings.pid, 0, 1 << 30},
                  {"json", nullptr, "print the figures as JSON", &settings.json}}});
    raise_descriptor_limit(settings.connections + 16);

    Crowd crowd(settings);
    crowd.run(resolve(options.host, options.port, SOCK_STREAM));
    crowd.report();
    std::fflush(stdout);
    return crowd.complain_of_failures() ? 1 : 0;
} catch (const std::exception& error) {
    return report_failure(error);
}
