// Race: seven ways for two processes of one machine to talk, measured in one way.
//
//     build/unix/race
//     build/unix/race --contestants tcp,unix-stream --sizes 1,1000,100000 --svg race.svg
//
// For each contestant and message size the process forks. First the child returns every message, one at a time: the
// round trip. Then the parent sends as fast as it can for as long, and the child counts what arrives: the throughput.
// Both sides make the same calls for all of them, read() and write() for the pipe alone; what differs is what the
// kernel does in between. The lesson (README.md, "The race") explains what you see.
//
// Try it: taskset -c 0 build/unix/race puts both processes on one processor. Which contestants gain by it, and why?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

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

struct Result {
    const Contestant* who = nullptr;
    long size = 0;
    int error = 0;  ///< why it could not take part: EMSGSIZE, where a message is too large for it

    double p50 = 0, p90 = 0, p99 = 0, most = 0;  // microseconds of a round trip
    std::size_t rounds = 0;

    double bytes_per_second = 0, messages_per_second = 0;
    double lost = 0;  // of the messages, 0 to 1
};

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
    Result result{.who = &who, .size = size};
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

// ---- Showing it

bool shows_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') continue;
        const std::string text = value;
        return text.find("UTF-8") != std::string::npos || text.find("utf8") != std::string::npos;
    }
    return false;
}

/// Three digits that matter: 0.512, 5.12, 51.2, 512, 5120.
std::string figure(double value) {
    return fmt::format("{:.{}f}", value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

double megabytes(double bytes) { return bytes / 1e6; }

std::string bytes_text(long size) {
    std::string digits = std::to_string(size);
    for (std::size_t at = digits.size(); at > 3; at -= 3)
        digits.insert(at - 3, 1, ',');
    return digits + (size == 1 ? " byte" : " bytes");
}

std::string why_not(const Result& result) {
    return result.error == EMSGSIZE ? "too large for one message (EMSGSIZE)" : describe_error(result.error);
}

/// The results of one message size, in the order of the contestants.
std::vector<const Result*> of_size(const std::vector<Result>& results, long size) {
    std::vector<const Result*> found;
    for (const Result& result : results) {
        if (result.size == size) found.push_back(&result);
    }
    return found;
}

std::string table(const std::vector<Result>& results, const std::vector<long>& sizes, bool utf8) {
    std::string text;
    for (const long size : sizes) {
        text += fmt::format("{:<16}  --------- round trip, {} ------  --------- throughput -------\n", bytes_text(size),
                            utf8 ? "µs" : "us");
        text += fmt::format("{:<16}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12}{:>7}\n", "", "p50", "p90", "p99", "most", "MB/s",
                            "messages/s", "lost");
        for (const Result* result : of_size(results, size)) {
            if (result->error != 0) {
                text += fmt::format("{:<16}  {}\n", result->who->name, why_not(*result));
                continue;
            }
            text += fmt::format("{:<16}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12.0f}{:>7}\n", result->who->name,
                                figure(result->p50), figure(result->p90), figure(result->p99), figure(result->most),
                                figure(megabytes(result->bytes_per_second)), result->messages_per_second,
                                result->lost < 0.0005 ? "-" : fmt::format("{:.1f}%", 100 * result->lost));
        }
        text += "\n";
    }
    return text;
}

/// So long a bar, in eighths of a character if that is possible.
std::string bar(double share, int width, bool utf8) {
    static constexpr std::array parts{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int eighths = std::max(1, static_cast<int>(std::lround(share * width * 8)));
    std::string text;
    if (!utf8) return std::string(static_cast<std::size_t>(std::max(1, (eighths + 4) / 8)), '#');
    for (int i = 0; i < eighths / 8; ++i)
        text += "█";
    return text + parts[static_cast<std::size_t>(eighths % 8)];
}

using Value = std::function<double(const Result&)>;

double round_trip(const Result& result) { return result.p50; }
double throughput(const Result& result) { return megabytes(result.bytes_per_second); }

double greatest(const std::vector<const Result*>& results, const Value& value) {
    double most = 0;
    for (const Result* result : results)
        most = std::max(most, value(*result));
    return most;
}

std::string bars_of(const std::vector<const Result*>& results, const Value& value, bool utf8) {
    constexpr int width = 50;  // 16 for the name, 3 and 10 around: 79 columns
    const double most = greatest(results, value);
    std::string text;
    for (const Result* result : results) {
        text += fmt::format("{:<16}", result->who->name);
        if (result->error != 0) {
            text += "(too large, or not on this system)\n";
            continue;
        }
        const double share = most > 0 ? value(*result) / most : 0;
        text += fmt::format("{} {}\n", bar(share, width, utf8), figure(value(*result)));
    }
    return text;
}

std::string bars(const std::vector<Result>& results, const std::vector<long>& sizes, bool utf8) {
    std::string text;
    for (const long size : sizes) {
        text += fmt::format("Round trip of {}, p50 in {}: shorter is better\n", bytes_text(size), utf8 ? "µs" : "us");
        text += bars_of(of_size(results, size), round_trip, utf8) + "\n";
    }
    for (const long size : sizes) {
        text += fmt::format("Throughput of {} at a time, in MB/s: longer is better\n", bytes_text(size));
        text += bars_of(of_size(results, size), throughput, utf8) + "\n";
    }
    return text;
}

std::string json(const std::vector<Result>& results, const Limits& limits) {
    std::string text = fmt::format("{{\n  \"processors\": {},\n  \"milliseconds\": {},\n  \"results\": [\n",
                                   sysconf(_SC_NPROCESSORS_ONLN), limits.milliseconds);
    for (std::size_t i = 0; i < results.size(); ++i) {
        const Result& result = results[i];
        text += fmt::format("    {{\"contestant\": \"{}\", \"size\": {}, ", result.who->key, result.size);
        if (result.error != 0) {
            text += fmt::format("\"error\": \"{}\"", error_name(result.error));
        } else {
            text += fmt::format(
                "\"rounds\": {}, \"p50_us\": {:.3f}, \"p90_us\": {:.3f}, \"p99_us\": {:.3f}, \"most_us\": {:.3f}, "
                "\"bytes_per_second\": {:.0f}, \"messages_per_second\": {:.0f}, \"lost\": {:.4f}",
                result.rounds, result.p50, result.p90, result.p99, result.most, result.bytes_per_second,
                result.messages_per_second, result.lost);
        }
        text += i + 1 < results.size() ? "},\n" : "}\n";
    }
    return text + "  ]\n}\n";
}

// ---- The chart: a column for each message size, round trips above and throughput below

/// 1, 2 or 5 times a power of ten, so that at most four of them fit.
double tick_step(double most) {
    const double power = std::pow(10, std::floor(std::log10(most)));
    for (const double factor : {0.1, 0.2, 0.5, 1.0, 2.0}) {
        if (most <= 4 * factor * power) return factor * power;
    }
    return 5 * power;
}

class Chart {
public:
    Chart(const std::vector<Result>& results, const std::vector<long>& sizes, std::size_t rows)
        : results_(results),
          sizes_(sizes),
          panel_height_(static_cast<double>(rows) * row_height),
          width_(std::max(860.0, left + static_cast<double>(sizes.size()) * column + 20)),
          height_(top + 2 * (panel_height_ + gap)) {}

    std::string text() {
        out_ = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"\n"
            "     font-family=\"Helvetica, Arial, sans-serif\" fill=\"#111\">\n"
            "<title>Round trip and throughput between two processes of one machine</title>\n"
            "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            width_, height_);
        put_text(24, 46, 30, "start", "Two processes, one machine", true);
        add_row(top, "Round trip, µs (shorter is better; bar: half took less; thin line: 90 % did)", round_trip, true);
        add_row(top + panel_height_ + gap, "Throughput, MB/s (longer is better)", throughput, false);
        put_text(24, height_ - 22, 17, "start", losses());
        return out_ + "</svg>\n";
    }

private:
    /// What the bars of the throughput don't show.
    std::string losses() const {
        std::string text;
        for (const Result& result : results_) {
            if (result.lost >= 0.0005) {
                text +=
                    fmt::format("{} {}: {:.0f} % of {}", text.empty() ? "Lost on the way, and not counted here:" : ";",
                                result.who->name, 100 * result.lost, bytes_text(result.size));
            }
        }
        return text;
    }

    static constexpr double row_height = 32, left = 190, column = 350, room = 230, top = 130, gap = 125;

    void put_text(double x, double y, int size, const char* anchor, const std::string& text, bool bold = false) {
        out_ += fmt::format(
            "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\"{} stroke=\"#fff\" "
            "stroke-width=\"4\" paint-order=\"stroke\">{}</text>\n",
            x, y, size, anchor, bold ? " font-weight=\"bold\"" : "", text);
    }

    void put_line(double x1, double y1, double x2, double y2, const char* stroke, double width) {
        out_ += fmt::format(
            "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"{}\"/>\n", x1,
            y1, x2, y2, stroke, width);
    }

    void add_row(double y, const char* title, const Value& value, bool whiskers) {
        put_text(24, y - 42, 22, "start", title, true);
        for (std::size_t i = 0; i < sizes_.size(); ++i)
            add_panel(left + static_cast<double>(i) * column, y, sizes_[i], value, whiskers, i == 0);
    }

    void add_panel(double x, double y, long size, const Value& value, bool whiskers, bool names) {
        const auto results = of_size(results_, size);
        // A whisker that would make all bars small is cut off.
        const double longest = 1.4 * greatest(results, value);
        const auto end_of = [&](const Result& result) {
            return whiskers ? std::min(result.p90, longest) : value(result);
        };
        const double most = greatest(results, end_of);
        const double scale = most > 0 ? room / most : 0;
        put_text(x, y - 12, 20, "start", bytes_text(size));
        const double step = most > 0 ? tick_step(most) : 1;
        for (double tick = 0; most > 0 && tick <= most; tick += step) {
            put_line(x + tick * scale, y, x + tick * scale, y + panel_height_ + 5, tick == 0 ? "#111" : "#bbb",
                     tick == 0 ? 2 : 1);
            put_text(x + tick * scale, y + panel_height_ + 25, 17, "middle", fmt::format("{:g}", tick));
        }
        double middle = y + row_height / 2;
        for (const Result* result : results) {
            if (names) put_text(x - 12, middle + 7, 20, "end", result->who->name);
            if (result->error != 0) {
                put_text(x + 8, middle + 6, 17, "start",
                         result->error == EMSGSIZE ? "too large" : "not on this system");
            } else {
                add_bar(x, middle, *result, value(*result) * scale, end_of(*result) * scale, value);
            }
            middle += row_height;
        }
    }

    void add_bar(double x, double middle, const Result& result, double length, double end, const Value& value) {
        out_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"#35526f\"/>\n", x,
                            middle - 10, std::max(1.0, length), 20);
        if (end > length) {
            put_line(x + length, middle, x + end, middle, "#111", 2);
            const bool whole = result.p90 * length <= value(result) * end * 1.001;
            if (whole) put_line(x + end, middle - 6, x + end, middle + 6, "#111", 2);
        }
        std::string label = figure(value(result));
        put_text(x + end + 8, middle + 6, 17, "start", label, true);
    }

    const std::vector<Result>& results_;
    const std::vector<long>& sizes_;
    double panel_height_;
    double width_;
    double height_;
    std::string out_;
};

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
    std::string text = as_json ? json(results, limits) : table(results, sizes, utf8);
    if (!as_json && !no_bars) text += bars(results, sizes, utf8);
    write_all(STDOUT_FILENO, text);
} catch (const std::exception& error) {
    return report_failure(error);
}
