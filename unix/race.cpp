// Race: seven ways for two processes of one machine to talk, measured in one way.
//
//     build/unix/race
//     build/unix/race --contestants tcp,unix-stream --sizes 1,1000,100000 --svg race.svg
//
// For each contestant and message size the process forks. First the child returns every message, one at a time: the
// round trip. Then the parent sends as fast as it can for as long, and the child counts what arrives: the throughput.
// Both sides make the same calls for all of them, read() and write() for the pipe alone; what differs is what the
// kernel does in between. How it is shown stands in race_report.hpp. The lesson (README.md, "The race") explains what
// you see.
//
// Try it: taskset -c 0 build/unix/race puts both processes on one processor. Which contestants gain by it, and why?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"
#include "unix/race_report.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

double microseconds(Clock::duration time) { return std::chrono::duration<double, std::micro>(time).count(); }

// ---- The contestants

/// What one side reads from and writes to. Of a socket, the same descriptor twice.
struct Side {
    Descriptor in;
    Descriptor out;  ///< of a pipe only: a socket writes to `in`
    int reads() const { return in.get(); }
    int writes() const { return out.get() != -1 ? out.get() : in.get(); }
};

struct Course {
    Side parent, child;
};

Side side(int socket) { return {Descriptor(socket), Descriptor()}; }

void do_not_wait_for_more(int tcp) {
    const int on = 1;
    CALL(setsockopt(tcp, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));  // Nagle would delay every second small message
}

Course tcp_course() {
    const Descriptor listener(CALL(socket(AF_INET, SOCK_STREAM, 0)));
    const Address any = resolve("127.0.0.1", 0, SOCK_STREAM).front();
    CALL(bind(listener.get(), any.get(), any.length()));
    CALL(listen(listener.get(), 1));
    const Address address = local_address(listener.get());
    Side parent = side(CALL(socket(AF_INET, SOCK_STREAM, 0)));
    CALL(connect(parent.reads(), address.get(), address.length()));  // the kernel answers: nobody has to be in accept()
    Side child = side(CALL(accept(listener.get(), nullptr, nullptr)));
    do_not_wait_for_more(parent.reads());
    do_not_wait_for_more(child.reads());
    return {std::move(parent), std::move(child)};
}

Course udp_course() {
    const Address any = resolve("127.0.0.1", 0, SOCK_DGRAM).front();
    Side parent = side(CALL(socket(AF_INET, SOCK_DGRAM, 0)));
    Side child = side(CALL(socket(AF_INET, SOCK_DGRAM, 0)));
    CALL(bind(parent.reads(), any.get(), any.length()));
    CALL(bind(child.reads(), any.get(), any.length()));
    const Address ours = local_address(parent.reads()), theirs = local_address(child.reads());
    CALL(connect(parent.reads(), theirs.get(), theirs.length()));
    CALL(connect(child.reads(), ours.get(), ours.length()));
    return {std::move(parent), std::move(child)};
}

/// A Unix socket's name for as long as somebody needs it.
struct Name {
    explicit Name(const char* end) : path(private_socket_path(fmt::format("race-{}{}", getpid(), end))) {}
    ~Name() { unlink(path.c_str()); }
    Name(const Name&) = delete;
    Name& operator=(const Name&) = delete;
    const std::string path;
};

Course unix_connected_course(int type) {
    const Name name("");
    const Address address = unix_address(name.path);
    const Descriptor listener(CALL(socket(AF_UNIX, type, 0)));
    CALL(bind(listener.get(), address.get(), address.length()));
    CALL(listen(listener.get(), 1));
    Side parent = side(CALL(socket(AF_UNIX, type, 0)));
    CALL(connect(parent.reads(), address.get(), address.length()));
    Side child = side(CALL(accept(listener.get(), nullptr, nullptr)));
    return {std::move(parent), std::move(child)};
}

Course unix_stream_course() { return unix_connected_course(SOCK_STREAM); }
Course unix_seqpacket_course() { return unix_connected_course(SOCK_SEQPACKET); }  // EPROTONOSUPPORT on macOS

Course unix_datagram_course() {
    const Name ours("a"), theirs("b");
    const Address our_address = unix_address(ours.path), their_address = unix_address(theirs.path);
    Side parent = side(CALL(socket(AF_UNIX, SOCK_DGRAM, 0)));
    Side child = side(CALL(socket(AF_UNIX, SOCK_DGRAM, 0)));
    CALL(bind(parent.reads(), our_address.get(), our_address.length()));
    CALL(bind(child.reads(), their_address.get(), their_address.length()));
    CALL(connect(parent.reads(), their_address.get(), their_address.length()));
    CALL(connect(child.reads(), our_address.get(), our_address.length()));
    return {std::move(parent), std::move(child)};
}

Course pipe_course() {
    int there[2], back[2];
    CALL(pipe(there));
    Descriptor there_out(there[1]), there_in(there[0]);
    CALL(pipe(back));
    return {{Descriptor(back[0]), std::move(there_out)}, {std::move(there_in), Descriptor(back[1])}};
}

Course socketpair_course() {
    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    return {side(ends[0]), side(ends[1])};
}

struct Contestant {
    const char* key;
    const char* name;
    bool keeps_messages;  ///< one recv() brings one message; else bytes, which are to be collected
    bool is_pipe;
    Course (*make)();
};

constexpr std::array contestants{
    Contestant{"tcp", "TCP loopback", false, false, tcp_course},
    Contestant{"udp", "UDP loopback", true, false, udp_course},
    Contestant{"unix-stream", "Unix stream", false, false, unix_stream_course},
    Contestant{"unix-datagram", "Unix datagram", true, false, unix_datagram_course},
    Contestant{"unix-seqpacket", "Unix seqpacket", true, false, unix_seqpacket_course},
    Contestant{"pipe", "pipe", false, true, pipe_course},
    Contestant{"socketpair", "socketpair", false, false, socketpair_course},
};

// ---- The calls that are measured

ssize_t receive_some(const Contestant& who, int fd, char* bytes, std::size_t count) {
    return who.is_pipe ? CALL(read(fd, bytes, count)) : CALL(recv(fd, bytes, count, 0));
}

/// One message. 0: the other side has ended.
std::size_t receive_message(const Contestant& who, int fd, std::vector<char>& message) {
    std::size_t count = 0;
    do {
        const ssize_t received = receive_some(who, fd, message.data() + count, message.size() - count);
        if (received == 0) return 0;
        count += static_cast<std::size_t>(received);
    } while (!who.keeps_messages && count < message.size());
    return count;
}

void send_message(const Contestant& who, int fd, const std::vector<char>& message) {
    for (std::size_t sent = 0; sent < message.size();) {
        const char* bytes = message.data() + sent;
        const std::size_t count = message.size() - sent;
        try {
            const ssize_t taken = who.is_pipe ? CALL(write(fd, bytes, count)) : CALL(send(fd, bytes, count, 0));
            sent += static_cast<std::size_t>(taken);
        } catch (const SocketError& error) {
            // macOS does not let a sender of datagrams wait for room, and says so.
            if (error.code().value() != ENOBUFS) throw;
        }
    }
}

// ---- Measuring

struct Limits {
    long milliseconds;
    long rounds;
};

double percentile(const std::vector<double>& sorted, double share) {
    const auto last = static_cast<double>(sorted.size() - 1);
    return sorted[static_cast<std::size_t>(std::lround(last * share))];
}

void give_up(int) {
    constexpr std::string_view text = "a measurement takes much longer than it may: giving up\n";
    [[maybe_unused]] const auto written = write(STDERR_FILENO, text.data(), text.size());
    _exit(1);
}

/// Whatever happens to the other process, neither waits for ever.
void set_alarm(const Limits& limits) {
    std::signal(SIGALRM, give_up);
    alarm(static_cast<unsigned>(20 + limits.milliseconds / 1000));
}

/// A child that does its part and ends. It is given the result pipe, to tell the parent by.
class Partner {
public:
    Partner(Course& course, const Limits& limits, const std::function<void(int result)>& part) {
        int ends[2];
        CALL(pipe(ends));
        result_ = Descriptor(ends[0]);
        Descriptor theirs(ends[1]);
        pid_ = CALL(fork());
        if (pid_ == 0) {
            int status = 1;
            set_alarm(limits);
            try {
                course.parent = {};  // else our own copy would keep the end from us
                part(theirs.get());
                status = 0;
            } catch (const std::exception& error) {
                status = report_failure(error);
            }
            _exit(status);  // what the parent has prepared for its own end is not ours to do
        }
        course.child = {};
    }
    ~Partner() {
        if (pid_ == -1) return;
        kill(pid_, SIGKILL);
        waitpid(pid_, nullptr, 0);
    }
    Partner(const Partner&) = delete;
    Partner& operator=(const Partner&) = delete;

    int result() const { return result_.get(); }

    void wait() {
        int status = 0;
        CALL(waitpid(pid_, &status, 0));
        pid_ = -1;
        if (status != 0) throw std::runtime_error("the other process has failed");
    }

private:
    pid_t pid_ = -1;
    Descriptor result_;
};

/// A partner that vanished, or a datagram that was lost, must not keep us waiting for ever.
void limit_both(const Contestant& who, const Course& course) {
    if (who.is_pipe) return;  // knows no limit; but its end is always told
    limit_waiting(course.parent.reads(), 5);
    limit_waiting(course.child.reads(), 5);
}

/// Tells the other side that there will be no more, until it has taken notice.
void end(const Contestant& who, Course& course, const Partner& partner) {
    // A datagram socket has no connection that could end. An empty datagram says it here, by our own agreement: recv()
    // returns 0 for both. It may be lost as any other.
    for (int tries = 0; who.keeps_messages && tries < 20; ++tries) {
        TRY(send(course.parent.writes(), "", 0, 0));
        if (wait_until_readable(partner.result(), 20)) break;
    }
    course.parent = {};
}

void measure_round_trips(const Contestant& who, const Limits& limits, Result& result) {
    Course course = who.make();
    limit_both(who, course);
    const auto size = static_cast<std::size_t>(result.size);
    Partner partner(course, limits, [&](int) {
        std::vector<char> message(size);
        while (receive_message(who, course.child.reads(), message) > 0)
            send_message(who, course.child.writes(), message);
    });
    std::vector<char> message(size, 'x');
    std::vector<double> times;
    const auto warm = static_cast<std::size_t>(std::min(100L, limits.rounds / 10));
    const auto most = static_cast<std::size_t>(limits.rounds) + warm;
    const auto deadline = Clock::now() + std::chrono::milliseconds(limits.milliseconds);
    for (std::size_t round = 0; round < most; ++round) {
        const auto begin = Clock::now();
        if (begin > deadline && round > warm) break;
        send_message(who, course.parent.writes(), message);
        if (receive_message(who, course.parent.reads(), message) != size)
            throw std::runtime_error(fmt::format("{}: a message did not come back whole", who.name));
        if (round >= warm) times.push_back(microseconds(Clock::now() - begin));
    }
    end(who, course, partner);
    partner.wait();
    std::sort(times.begin(), times.end());
    result.rounds = times.size();
    result.p50 = percentile(times, 0.50);
    result.p90 = percentile(times, 0.90);
    result.p99 = percentile(times, 0.99);
    result.most = times.back();
}

/// What the child has to tell of what it received.
struct Count {
    double bytes = 0, messages = 0, seconds = 0;
};

void measure_throughput(const Contestant& who, const Limits& limits, Result& result) {
    Course course = who.make();
    limit_both(who, course);
    const auto size = static_cast<std::size_t>(result.size);
    Partner partner(course, limits, [&](int tell) {
        // A stream's reader takes what there is, as any program would; small messages come many at a time.
        std::vector<char> buffer(who.keeps_messages ? size : std::max<std::size_t>(size, 65536));
        Count count;
        Clock::time_point begin, last;
        if (!who.is_pipe) limit_waiting(course.child.reads(), 1);
        for (;;) {
            ssize_t received = 0;
            try {
                received = receive_some(who, course.child.reads(), buffer.data(), buffer.size());
            } catch (const SocketError& error) {
                if (error.code().value() != EAGAIN) throw;  // the datagram that says the end was lost
            }
            if (received == 0) break;
            last = Clock::now();
            if (count.bytes == 0) begin = last;
            count.bytes += static_cast<double>(received);
            count.messages += 1;
        }
        count.seconds = std::chrono::duration<double>(last - begin).count();
        if (!who.keeps_messages) count.messages = std::floor(count.bytes / static_cast<double>(size));
        write_all(tell, {reinterpret_cast<const char*>(&count), sizeof count});
    });
    const std::vector<char> message(size, 'x');
    double sent = 0;
    const auto deadline = Clock::now() + std::chrono::milliseconds(limits.milliseconds);
    while (Clock::now() < deadline && sent < static_cast<double>(limits.rounds)) {
        send_message(who, course.parent.writes(), message);
        ++sent;
    }
    end(who, course, partner);
    Count count;
    if (CALL(read(partner.result(), &count, sizeof count)) != sizeof count)
        throw std::runtime_error("the other process did not tell what it received");
    partner.wait();
    // The first message only starts the clock.
    const double share = count.messages > 1 ? (count.messages - 1) / count.messages : 0;
    const double seconds = std::max(count.seconds, 1e-9);
    result.bytes_per_second = count.bytes * share / seconds;
    result.messages_per_second = count.messages * share / seconds;
    result.lost = sent > 0 ? std::max(0.0, 1 - count.messages / sent) : 0;
}

Result measure(const Contestant& who, long size, const Limits& limits) {
    Result result{.key = who.key, .name = who.name, .size = size};
    try {
        set_alarm(limits);
        measure_round_trips(who, limits, result);
        set_alarm(limits);
        measure_throughput(who, limits, result);
    } catch (const SocketError& error) {
        const int number = error.code().value();
        // Datagrams are sent whole or not at all: too large is an answer, too. macOS has no seqpacket.
        if (number != EMSGSIZE && number != EPROTONOSUPPORT) throw;
        result.error = number;
    }
    return result;
}

// ---- Options

std::vector<std::string> split(const std::string& list) {
    std::vector<std::string> parts;
    std::istringstream stream(list);
    for (std::string part; std::getline(stream, part, ',');)
        parts.push_back(part);
    return parts;
}

std::vector<long> read_sizes(const std::string& list) {
    std::vector<long> sizes;
    for (const std::string& part : split(list))
        sizes.push_back(parse_number(part, 1, 10'000'000, "--sizes"));
    if (sizes.empty() || sizes.size() > 6)
        throw UsageError(fmt::format("--sizes {}: expected 1 to 6 numbers of bytes, as in 64,4096", escaped(list)));
    return sizes;
}

std::vector<const Contestant*> read_contestants(const std::string& list) {
    std::vector<const Contestant*> chosen;
    std::string keys;
    for (const Contestant& who : contestants)
        keys += fmt::format("{}{}", keys.empty() ? "" : ", ", who.key);
    const std::vector<std::string> parts = split(list);
    for (const Contestant& who : contestants) {
        if (list == "all" || std::find(parts.begin(), parts.end(), who.key) != parts.end()) chosen.push_back(&who);
    }
    for (const std::string& part : parts) {
        const bool known =
            std::any_of(contestants.begin(), contestants.end(), [&](const Contestant& who) { return part == who.key; });
        if (!known && list != "all")
            throw UsageError(fmt::format("--contestants {}: expected some of {}", escaped(part), keys));
    }
    if (chosen.empty()) throw UsageError(fmt::format("--contestants: expected some of {}", keys));
    return chosen;
}

void write_chart(const std::string& file, const std::string& chart) {
    const Descriptor fd(CALL(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666)));
    write_all(fd.get(), chart);
}

}  // namespace

int main(int argc, char** argv) try {
    std::string sizes_list = "64,4096,65536";
    std::string contestants_list = "all";
    Limits limits{.milliseconds = 100, .rounds = 1'000'000'000};
    std::optional<std::string> svg;
    bool as_json = false, ascii = false, no_bars = false;
    parse_options(
        argc, argv,
        {.summary = "Measures seven ways for two processes of one machine to talk.",
         .endpoint = Endpoint::none,
         .more = {{"contestants", "LIST", "of tcp, udp, unix-stream, unix-datagram, ...", &contestants_list},
                  {"sizes", "LIST", "message sizes in bytes, up to 6", &sizes_list},
                  {"milliseconds", "N", "for each measurement; there are two of each kind and size",
                   &limits.milliseconds, 1, 60000},
                  {"rounds", "N", "end each measurement after so many messages", &limits.rounds, 1, 1'000'000'000},
                  {"svg", "FILE", "write a chart, too", &svg},
                  {"json", nullptr, "print JSON instead of the table and the bars", &as_json},
                  {"no-bars", nullptr, "print the table only", &no_bars},
                  {"ascii", nullptr, "no characters beyond ASCII (so also where the locale is not UTF-8)", &ascii}}});
    const std::vector<long> sizes = read_sizes(sizes_list);
    const std::vector<const Contestant*> chosen = read_contestants(contestants_list);
    const bool utf8 = !ascii && shows_utf8();

    std::vector<Result> results;
    for (const long size : sizes) {
        for (const Contestant* who : chosen)
            results.push_back(measure(*who, size, limits));
    }
    if (svg) write_chart(*svg, Chart(results, sizes, chosen.size()).text());
    std::string text = as_json ? json(results, limits.milliseconds) : table(results, sizes, utf8);
    if (!as_json && !no_bars) text += bars(results, sizes, utf8);
    write_all(STDOUT_FILENO, text);
} catch (const std::exception& error) {
    return report_failure(error);
}
