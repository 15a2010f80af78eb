// A room of the chat full of members, who listen while one speaks: how many deliveries the server makes in a second of
// its CPU time and of the clock, and how long one takes. With --floor the least that it could be: a send() of the same
// bytes to each, and nothing else.
//
//     build/websocket/chat_server --connections 20000 --members 20000 --rate 1000000
//     build/tests/bench/chat_crowd --members 10000 --pid PID
//
// A line is said when the one before (--in-flight: the one so many before) has reached everybody. What a delivery takes
// includes the time that this program needs to receive those before it: server and members share the machine.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/chat_messages.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

using namespace websocket;
using Clock = std::chrono::steady_clock;

struct Settings {
    long members = 1000, in_flight = 1, size = 20, seconds = 2, rounds = 1, pid = 0;
    bool floor = false;
};

struct Member {
    int fd;
    Buffer output = {};
    Connection peer;
    std::size_t heard = 0;  // lines

    explicit Member(int descriptor) : fd(descriptor), peer(Role::client, output) {}
};

double seconds_of(clockid_t clock) {
    timespec time{};
    return clock_gettime(clock, &time) == 0 ? static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9
                                            : 0;
}

/// The CPU time of a process, in seconds (clock_getcpuclockid(3)); 0 if it can't be told.
double cpu_time(long pid) {
    clockid_t clock{};
    return pid != 0 && clock_getcpuclockid(static_cast<pid_t>(pid), &clock) == 0 ? seconds_of(clock) : 0;
}

class Crowd {
public:
    Crowd(const Settings& settings, const Options& options) : settings_(settings), input_(std::size_t{256} << 10U) {
        const std::vector<Address> addresses = resolve(options.host, options.port, SOCK_STREAM);
        for (long i = 0; i < settings_.members; ++i)
            come(addresses, options, i);
    }
    /// Waits until all have been told who is here, so that this is not measured, too.
    void settle();
    /// One measurement.
    void run();
    void report() const;

private:
    void come(const std::vector<Address>& addresses, const Options& options, long number);
    void receive(Member& member);
    void take_events(Member& member);
    void say();

    const Settings settings_;
    EventLoop loop_;
    std::vector<std::unique_ptr<Member>> members_;  // by descriptor
    Member* speaker_ = nullptr;
    std::vector<char> input_;
    std::vector<Clock::time_point> said_;  // each line
    std::vector<long> missing_;            // members that have not heard it
    std::size_t whole_ = 0;                // lines that all have heard
    std::vector<std::int32_t> latencies_;  // microseconds
    std::size_t deliveries_ = 0;
    bool settled_ = false;

    struct Result {
        double per_cpu_second = 0, per_second = 0;
        std::int32_t p50 = 0, p99 = 0;
    } best_;
};

/// Connects, and joins the room.
void Crowd::come(const std::vector<Address>& addresses, const Options& options, long number) {
    const int fd = connect_to_any(addresses);
    const int on = 1;
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    ClientWishes wishes;
    wishes.host = host_and_port(options.host, options.port);
    wishes.subprotocols = {"chat"};
    ClientHandshake handshake(wishes);
    send_all(fd, handshake.request().data(), handshake.request().size());
    std::size_t begin = 0, end = 0;  // in input_: what came behind the handshake
    for (auto status = ClientHandshake::Status::incomplete; status == ClientHandshake::Status::incomplete;) {
        if (!wait_until_readable(fd, 10000)) throw std::runtime_error("no answer to the handshake");
        const ssize_t received = CALL(recv(fd, input_.data(), input_.size(), 0));
        std::string_view rest(input_.data(), static_cast<std::size_t>(received));
        status = handshake.take(rest);
        if (received == 0 || status == ClientHandshake::Status::refused) throw std::runtime_error(handshake.reason());
        end = static_cast<std::size_t>(received);
        begin = end - rest.size();
    }
    CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
    if (members_.size() <= static_cast<std::size_t>(fd)) members_.resize(static_cast<std::size_t>(fd) + 1);
    auto& member = members_[static_cast<std::size_t>(fd)];
    member = std::make_unique<Member>(fd);
    if (speaker_ == nullptr) speaker_ = member.get();
    member->peer.send(Opcode::text, chat::dump({{"join", fmt::format("crowd{}", getpid())},
                                                {"name", fmt::format("member{}", number)}}));
    send_all(fd, member->output.data(), member->output.size());
    member->output.clear();
    loop_.add(fd);
    member->peer.receive(input_.data() + begin, end - begin);
    take_events(*member);
}

void Crowd::say() {
    said_.push_back(Clock::now());
    missing_.push_back(settings_.members);
    speaker_->peer.send(Opcode::text,
                        chat::dump({{"say", std::string(static_cast<std::size_t>(settings_.size), 'x')}}));
    send_all(speaker_->fd, speaker_->output.data(), speaker_->output.size());
    speaker_->output.clear();
}

void Crowd::receive(Member& member) {
    const ssize_t received = TRY(recv(member.fd, input_.data(), input_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) throw std::runtime_error("the server has closed a connection");
    member.peer.receive(input_.data(), static_cast<std::size_t>(received));
    take_events(member);
}

void Crowd::take_events(Member& member) {
    const auto now = Clock::now();
    while (const auto event = member.peer.next()) {
        if (event->opcode == Opcode::close) throw std::runtime_error("the server: " + member.peer.closing().reason);
        if (&member == speaker_ && event->payload.starts_with("{\"here\":"))
            settled_ = event->payload.find(fmt::format("\"members\":{},", settings_.members)) != std::string_view::npos;
        if (event->opcode != Opcode::text || !event->payload.starts_with("{\"line\":")) continue;
        const std::size_t line = member.heard++;
        const auto took = std::chrono::duration_cast<std::chrono::microseconds>(now - said_.at(line)).count();
        latencies_.push_back(static_cast<std::int32_t>(took));
        ++deliveries_;
        if (--missing_[line] == 0) ++whole_;
    }
    if (!member.output.empty()) {  // a pong
        send_all(member.fd, member.output.data(), member.output.size());
        member.output.clear();
    }
}

void Crowd::settle() {
    for (;;) {
        const auto ready = loop_.wait(settled_ ? 100 : 30'000);
        if (ready.empty() && settled_) return;
        if (ready.empty()) throw std::runtime_error("nobody is told who is here");
        for (const EventLoop::Ready& one : ready)
            receive(*members_[static_cast<std::size_t>(one.fd)]);
    }
}

void Crowd::run() {
    latencies_.clear();
    deliveries_ = 0;
    const double before = cpu_time(settings_.pid);
    const auto began = Clock::now();
    const auto end = began + std::chrono::seconds(settings_.seconds);
    for (long i = 0; i < settings_.in_flight; ++i)
        say();
    while (whole_ < said_.size()) {
        const auto ready = loop_.wait(10'000);
        if (ready.empty()) throw std::runtime_error("the server has stopped delivering");
        for (const EventLoop::Ready& one : ready)
            receive(*members_[static_cast<std::size_t>(one.fd)]);
        const auto in_flight = static_cast<std::size_t>(settings_.in_flight);
        while (Clock::now() < end && said_.size() < whole_ + in_flight)
            say();
    }
    const double wall = std::chrono::duration<double>(Clock::now() - began).count();
    const double server = cpu_time(settings_.pid) - before;
    std::sort(latencies_.begin(), latencies_.end());
    const auto percentile = [&](double part) {
        return latencies_[static_cast<std::size_t>(part * static_cast<double>(latencies_.size() - 1))];
    };
    const auto count = static_cast<double>(deliveries_);
    const Result result{server > 0 ? count / server : 0, count / wall, percentile(0.5), percentile(0.99)};
    if (result.per_cpu_second >= best_.per_cpu_second) best_ = result;
}

void Crowd::report() const {
    fmt::print(R"({{"members": {}, "lines": {}, "deliveries_per_second": {:.0f}, )"
               R"("deliveries_per_cpu_second": {:.0f}, "p50_us": {}, "p99_us": {}}})"
               "\n",
               settings_.members, said_.size(), best_.per_second, best_.per_cpu_second, best_.p50, best_.p99);
}

/// The other end of run_floor(): receives so many bytes on all of these connections together, and says so each time.
[[noreturn]] void drain(const Address& address, long members, std::size_t round, int told) {
    EventLoop loop;
    std::vector<char> input(std::size_t{256} << 10U);
    for (long i = 0; i < members; ++i) {
        const int fd = connect_to_any({address});
        CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
        loop.add(fd);
    }
    for (std::size_t received = 0;;) {
        for (const EventLoop::Ready& one : loop.wait(-1)) {
            const ssize_t count = TRY(recv(one.fd, input.data(), input.size(), 0));
            if (count == 0) _exit(0);
            received += count > 0 ? static_cast<std::size_t>(count) : 0;
        }
        for (; received >= round; received -= round)
            write_all(told, "x");
    }
}

/// The least: the bytes of the same line to each member, by one send() each.
void run_floor(const Settings& settings) {
    const chat::Say say{std::string(static_cast<std::size_t>(settings.size), 'x'), ""};
    const std::string payload = chat::line_message(1000, "member0", say, std::time(nullptr));
    char header[most_header_bytes];
    const std::size_t header_size = write_header({.length = payload.size()}, header);
    const std::string frame = std::string(header, header_size) + payload;
    const Address address = resolve("127.0.0.1", 0, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    int told[2];
    CALL(pipe(told));
    const pid_t child = CALL(fork());
    if (child == 0)
        drain(local_address(listener), settings.members, frame.size() * static_cast<std::size_t>(settings.members),
              told[1]);
    std::vector<int> members;
    for (long i = 0; i < settings.members; ++i) {
        const int on = 1;
        members.push_back(CALL(accept(listener, nullptr, nullptr)));
        CALL(setsockopt(members.back(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    }
    double best = 0, best_wall = 0;
    for (long round = 0; round < settings.rounds; ++round) {
        const double before = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        const auto began = Clock::now();
        double deliveries = 0;
        long unanswered = 0;
        do {
            for (const int member : members)
                send_all(member, frame.data(), frame.size());
            deliveries += static_cast<double>(members.size());
            char byte = 0;
            if (++unanswered == settings.in_flight) {
                CALL(read(told[0], &byte, 1));
                --unanswered;
            }
        } while (Clock::now() < began + std::chrono::seconds(settings.seconds));
        const double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - before;
        const double wall = std::chrono::duration<double>(Clock::now() - began).count();
        for (char byte = 0; unanswered > 0; --unanswered)
            CALL(read(told[0], &byte, 1));
        if (deliveries / cpu > best) {
            best = deliveries / cpu;
            best_wall = deliveries / wall;
        }
    }
    fmt::print(R"({{"members": {}, "deliveries_per_second": {:.0f}, "deliveries_per_cpu_second": {:.0f}}})"
               "\n",
               settings.members, best_wall, best);
    CALL(kill(child, SIGKILL));
    CALL(waitpid(child, nullptr, 0));
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "A room of the chat full of members: how fast the server delivers what one says.",
         .more = {{"members", "N", "in the room", &settings.members, 1, 100'000},
                  {"in-flight", "N", "lines on their way", &settings.in_flight, 1, 1000},
                  {"size", "BYTES", "of a line", &settings.size, 1, 1000},
                  {"seconds", "S", "speak for so long", &settings.seconds, 1, 3600},
                  {"rounds", "N", "so many times; the best is told", &settings.rounds, 1, 100},
                  {"pid", "PID", "the server's process, to tell its CPU time", &settings.pid, 0, 1 << 30},
                  {"floor", nullptr, "no server: send() the same bytes, and nothing else", &settings.floor}}});
    rlimit limit{};
    CALL(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = std::min(std::max(limit.rlim_cur, static_cast<rlim_t>(settings.members) + 64), limit.rlim_max);
    CALL(setrlimit(RLIMIT_NOFILE, &limit));
    if (settings.floor) {
        run_floor(settings);
    } else {
        Crowd crowd(settings, options);
        crowd.settle();
        for (long i = 0; i < settings.rounds; ++i)
            crowd.run();
        crowd.report();
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
