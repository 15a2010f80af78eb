// WebSocket load: many connections that send messages and wait for their return, to any server that echoes.
//
//     terminal 1:  build/websocket/event_server
//     terminal 2:  build/websocket/load --connections 100 --size 20 --in-flight 1 --seconds 5 --pid $(pgrep
//     event_server)
//
// Every answer is compared with what was sent. It prints messages and bytes per second, how long an answer takes, and
// with --pid what the server spent on it: on a machine that others use too, the server's CPU time is the figure that
// can be compared, since time on the wall measures the machine.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <stdexcept>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

namespace {

using namespace websocket;
using Clock = std::chrono::steady_clock;

struct Settings {
    long connections = 1;
    long size = 20;
    long in_flight = 1;
    long seconds = 5;
    long messages = 0;  // 0: as many as there is time for
    long pid = 0;
    std::string kind = "text";
    bool tcp = false;
    bool json = false;
};

/// The frames of one connection, one after the other, ready to be sent again and again. All have a mask of their own
/// from the random source, which here are drawn once: what we measure is the server.
struct Frames {
    std::string payload;
    std::vector<char> bytes;
    std::size_t frame_size = 0;
    std::string answers;  // as nearly every server sends them: each message in one frame
    std::size_t answer_size = 0;

    explicit Frames(const Settings& settings) {
        const std::string unit = settings.kind == "korean" ? "소켓으로 배우는 통신 " : "The quick brown fox jumps. ";
        const auto size = static_cast<std::size_t>(settings.size);
        while (payload.size() + unit.size() <= size)
            payload += unit;
        payload.resize(size, '.');
        FrameHeader header;
        header.opcode = settings.kind == "binary" ? Opcode::binary : Opcode::text;
        header.masked = true;
        header.length = size;
        const std::size_t count = std::clamp<std::size_t>((std::size_t{4} << 20U) / (size + 14), 1, 1024);
        for (std::size_t i = 0; i < count; ++i) {
            header.key = fresh_key();
            char head[most_header_bytes];
            frame_size = write_header(header, head);
            bytes.insert(bytes.end(), head, head + frame_size);
            bytes.insert(bytes.end(), payload.begin(), payload.end());
            apply_mask(bytes.data() + bytes.size() - size, size, header.key);
            frame_size += size;
        }
        header.masked = false;
        char head[most_header_bytes];
        answer_size = write_header(header, head);
        for (std::size_t i = 0; i < count; ++i)
            answers.append(head, answer_size).append(payload);
        answer_size += size;
    }
};

struct Client {
    int fd;
    Buffer output;  // stays empty, but for the answers to pings
    Connection peer{Role::client, output};
    std::size_t in_flight = 0;  // messages
    std::size_t at = 0;         // in Frames::bytes: what is sent next
    std::size_t allowed = 0;    // bytes that may be sent: the frames that are not in flight
    std::size_t returned = 0;   // bytes of a frame that is not back yet, with --tcp
    std::size_t expected = 0;   // in Frames::bytes: what comes back next, with --tcp
    bool writing = false;
    std::vector<Clock::time_point> sent_at;  // of the messages in flight: a ring
    std::size_t first = 0;

    explicit Client(int descriptor) : fd(descriptor) {}
};

class Load {
public:
    Load(const Settings& settings, const Options& options);
    void run();
    void report() const;

private:
    void connect(const Options& options);
    void send_some(Client& client);
    void receive_some(Client& client);
    void compare(Client& client, std::string_view bytes) const;
    std::size_t count_usual_answers(Client& client, std::string_view bytes);
    void take_events(Client& client);
    void count_answer(Client& client, Clock::time_point now);

    const Settings settings_;
    const Frames frames_;
    EventLoop loop_;
    std::vector<std::unique_ptr<Client>> clients_;  // by descriptor
    std::vector<char> input_;
    std::vector<std::int32_t> latencies_;  // microseconds
    long started_ = 0;
    long answered_ = 0;
    double wall_ = 0;
    double server_ = 0;
    bool over_ = false;
};

/// The CPU time that a process has used, user and system, in seconds (clock_getcpuclockid(3)); 0 if it can't be told.
double cpu_time([[maybe_unused]] long pid) {
#ifdef __linux__
    clockid_t clock;
    timespec time{};
    if (pid != 0 && clock_getcpuclockid(static_cast<pid_t>(pid), &clock) == 0 && clock_gettime(clock, &time) == 0) {
        return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
    }
#endif
    return 0;
}

Load::Load(const Settings& settings, const Options& options)
    : settings_(settings), frames_(settings), input_(std::size_t{512} << 10U) {
    for (long i = 0; i < settings_.connections; ++i)
        connect(options);
}

void Load::connect(const Options& options) {
    const int fd = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    std::size_t behind = 0, end = 0;  // what came behind the handshake, in input_
    if (!settings_.tcp) {
        ClientWishes wishes;
        wishes.host = host_and_port(without_zone(options.host), options.port);
        ClientHandshake handshake(wishes);
        send_all(fd, handshake.request().data(), handshake.request().size());
        auto status = ClientHandshake::Status::incomplete;
        while (status == ClientHandshake::Status::incomplete) {
            if (!wait_until_readable(fd, 10000))
                throw std::runtime_error("no answer to the handshake within 10 seconds");
            const ssize_t received = CALL(recv(fd, input_.data(), input_.size(), 0));
            std::string_view input(input_.data(), static_cast<std::size_t>(received));
            status = handshake.take(input);
            if (received == 0 || status == ClientHandshake::Status::refused)
                throw std::runtime_error(handshake.reason());
            end = static_cast<std::size_t>(received);
            behind = end - input.size();
        }
    }
    const int on = 1;
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
    if (clients_.size() <= static_cast<std::size_t>(fd)) clients_.resize(static_cast<std::size_t>(fd) + 1);
    auto& client = clients_[static_cast<std::size_t>(fd)];
    client = std::make_unique<Client>(fd);
    client->sent_at.resize(static_cast<std::size_t>(settings_.in_flight));
    loop_.add(fd);
    client->peer.receive(input_.data() + behind, end - behind);
    take_events(*client);
}

void Load::run() {
    const double server_before = cpu_time(settings_.pid);
    const auto began = Clock::now();
    const auto end = began + std::chrono::seconds(settings_.seconds);
    for (auto& client : clients_) {
        if (client == nullptr) continue;
        for (auto& time : client->sent_at)
            time = Clock::now();
        const long left = settings_.messages == 0 ? settings_.in_flight : settings_.messages - started_;
        client->in_flight = static_cast<std::size_t>(std::min(settings_.in_flight, left));
        client->allowed = frames_.frame_size * client->in_flight;
        started_ += static_cast<long>(client->in_flight);
        send_some(*client);
    }
    // When the time is over nothing more is sent, and what is on its way comes back.
    const bool silent = settings_.in_flight == 0;
    while (silent ? !over_ : answered_ < started_) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(end - Clock::now()).count();
        for (const EventLoop::Ready& ready : loop_.wait(silent ? static_cast<int>(std::max<long>(left, 0)) : 10000)) {
            Client& client = *clients_[static_cast<std::size_t>(ready.fd)];
            if (ready.readable) receive_some(client);
            if (client.allowed > 0 || !client.output.empty()) send_some(client);
        }
        const auto now = Clock::now();
        over_ = now >= end;
        if (now > end + std::chrono::seconds(10)) throw std::runtime_error("the server has stopped answering");
    }
    wall_ = std::chrono::duration<double>(Clock::now() - began).count();
    server_ = cpu_time(settings_.pid) - server_before;
    for (auto& client : clients_) {
        if (client != nullptr) CALL(close(client->fd));
    }
}

void Load::send_some(Client& client) {
    for (;;) {
        const std::size_t into = client.at % frames_.frame_size;
        const bool pongs = !client.output.empty();  // they go between two frames
        const bool now = pongs && into == 0;
        const char* bytes = now ? client.output.data() : frames_.bytes.data() + client.at;
        const std::size_t count =
            now ? client.output.size()
                : std::min(client.allowed, pongs ? frames_.frame_size - into : frames_.bytes.size() - client.at);
        if (count == 0) break;
        const ssize_t result = TRY(send(client.fd, bytes, count, 0));
        if (result <= 0) break;  // no room now, or an error that recv() will tell
        const auto sent = static_cast<std::size_t>(result);
        if (now) {
            client.output.drop_front(sent);
        } else {
            client.at = (client.at + sent) % frames_.bytes.size();
            client.allowed -= sent;
        }
    }
    const bool writing = client.allowed > 0 || !client.output.empty();
    if (writing != client.writing) loop_.change(client.fd, true, client.writing, true, writing);
    client.writing = writing;
}

void Load::receive_some(Client& client) {
    const auto room = client.peer.room();
    const ssize_t received =
        TRY(recv(client.fd, room ? room->bytes : input_.data(), room ? room->count : input_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (received == -1) throw std::runtime_error(fmt::format("recv(): {}", describe_error(errno)));
    if (received == 0) throw std::runtime_error("the server has closed a connection");
    const auto count = static_cast<std::size_t>(received);
    if (settings_.tcp) {
        compare(client, {input_.data(), count});
        const auto now = Clock::now();
        for (client.returned += count; client.returned >= frames_.frame_size; client.returned -= frames_.frame_size) {
            count_answer(client, now);
        }
        return;
    }
    if (room) {
        client.peer.received_directly(count);
    } else {
        const std::size_t usual = count_usual_answers(client, {input_.data(), count});
        client.peer.receive(input_.data() + usual, count - usual);
    }
    take_events(client);
}

/// Answers that are, byte for byte, what is expected are not taken apart: what is measured is the server, and a client
/// that is busy makes it wait. Returns how many bytes they were; all others are for the layer to understand.
std::size_t Load::count_usual_answers(Client& client, std::string_view bytes) {
    if (!client.peer.is_between_messages()) return 0;
    const auto now = Clock::now();
    std::size_t usual = 0;
    for (;;) {
        const std::size_t whole = std::min(bytes.size() - usual, frames_.answers.size()) / frames_.answer_size;
        const std::size_t size = whole * frames_.answer_size;
        if (whole == 0 || bytes.substr(usual, size) != std::string_view(frames_.answers).substr(0, size)) return usual;
        for (std::size_t i = 0; i < whole; ++i)
            count_answer(client, now);
        usual += size;
    }
}

/// A plain TCP server returns the frames as they are.
void Load::compare(Client& client, std::string_view bytes) const {
    const std::string_view frames(frames_.bytes.data(), frames_.bytes.size());
    while (!bytes.empty()) {
        const std::string_view next = frames.substr(client.expected, bytes.size());
        if (!bytes.starts_with(next)) throw std::runtime_error("an answer is not what was sent");
        bytes.remove_prefix(next.size());
        client.expected = (client.expected + next.size()) % frames.size();
    }
}

void Load::take_events(Client& client) {
    const auto now = Clock::now();
    while (const auto event = client.peer.next()) {
        if (event->opcode == Opcode::close) {
            throw std::runtime_error(fmt::format("the connection was closed: {} {}", client.peer.closing().code,
                                                 escaped(client.peer.closing().reason)));
        }
        if (event->opcode == Opcode::ping || event->opcode == Opcode::pong) continue;
        if (event->payload != frames_.payload) throw std::runtime_error("an answer is not what was sent");
        count_answer(client, now);
    }
}

void Load::count_answer(Client& client, Clock::time_point now) {
    if (client.in_flight == 0) throw std::runtime_error("an answer came that nothing was sent for");
    Clock::time_point& sent = client.sent_at[client.first];
    constexpr std::size_t most_samples = 20'000'000;
    if (latencies_.size() < most_samples) {
        latencies_.push_back(
            static_cast<std::int32_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - sent).count()));
    }
    ++answered_;
    --client.in_flight;
    if (over_ || (settings_.messages != 0 && started_ >= settings_.messages)) return;
    sent = now;
    client.first = (client.first + 1) % client.sent_at.size();
    client.allowed += frames_.frame_size;
    ++client.in_flight;
    ++started_;
}

void Load::report() const {
    std::vector<std::int32_t> sorted = latencies_;
    std::sort(sorted.begin(), sorted.end());
    const auto percentile = [&](double part) {
        return sorted.empty() ? 0 : sorted[static_cast<std::size_t>(part * static_cast<double>(sorted.size() - 1))];
    };
    const auto messages = static_cast<double>(answered_);
    const double per_second = messages / wall_;
    const double megabytes = per_second * static_cast<double>(settings_.size) / 1e6;
    const double per_cpu_second = server_ > 0 ? messages / server_ : 0;
    if (settings_.json) {
        fmt::print(
            R"({{"connections": {}, "size": {}, "in_flight": {}, "kind": "{}", "messages": {}, "seconds": {:.3f}, )"
            R"("messages_per_second": {:.0f}, "megabytes_per_second": {:.1f}, "p50_us": {}, "p99_us": {}, )"
            R"("server_cpu_seconds": {:.3f}, "messages_per_server_cpu_second": {:.0f}}})"
            "\n",
            settings_.connections, settings_.size, settings_.in_flight, settings_.tcp ? "tcp" : settings_.kind,
            answered_, wall_, per_second, megabytes, percentile(0.5), percentile(0.99), server_, per_cpu_second);
        return;
    }
    if (settings_.in_flight == 0) {
        fmt::print("{} connections at rest for {:.1f} s\n", settings_.connections, wall_);
        return;
    }
    fmt::print("{} messages of {} bytes in {:.2f} s over {} connections, {} in flight on each\n", answered_,
               settings_.size, wall_, settings_.connections, settings_.in_flight);
    fmt::print("{:.0f} messages/s, {:.1f} MB/s each way\n", per_second, megabytes);
    fmt::print("answered within {} us (half of them), {} us (99 of 100)\n", percentile(0.5), percentile(0.99));
    if (server_ > 0) {
        fmt::print("the server's CPU time: {:.2f} s, {:.0f} messages per second of it\n", server_, per_cpu_second);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket load: sends messages over many connections and measures how they come back.",
         .more = {{"connections", "N", "how many at a time", &settings.connections, 1, 100'000},
                  {"size", "BYTES", "of a message", &settings.size, 0, 1 << 28},
                  {"in-flight", "N", "messages on their way on each connection; 0: stay silent", &settings.in_flight, 0,
                   100'000},
                  {"seconds", "S", "send for so long", &settings.seconds, 1, 86400},
                  {"messages", "N", "send so many in all; 0: until the time is over", &settings.messages, 0, 1L << 40},
                  {"kind", "KIND", "text, korean or binary", &settings.kind},
                  {"pid", "PID", "the server's process, to tell its CPU time (Linux)", &settings.pid, 0, 1 << 30},
                  {"tcp", nullptr, "send the same bytes to a plain TCP echo server instead", &settings.tcp},
                  {"json", nullptr, "print the figures as JSON", &settings.json}}});
    if (settings.kind != "text" && settings.kind != "korean" && settings.kind != "binary") {
        throw UsageError(fmt::format("--kind {}: expected text, korean or binary", escaped(settings.kind)));
    }
    raise_descriptor_limit(settings.connections + 64);

    Load load(settings, options);
    load.run();
    load.report();
} catch (const std::exception& error) {
    return report_failure(error);
}
