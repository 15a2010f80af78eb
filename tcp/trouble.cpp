// A network that you can see, and make worse: it stands between any TCP client and server and passes on what they send.
//
//     terminal 1:  build/tcp/message_server
//     terminal 2:  build/tcp/trouble --chunk 1
//     terminal 3:  build/tcp/message_client --port 7001
//
// It tells what arrives at which side and what it passes on, and when. With its options it does to the bytes whatever
// TCP, or the network below it, may do: cuts them into small pieces, joins them, holds them back, breaks off. What must
// not happen is that the programs at its ends notice more of it than time. Only --corrupt goes beyond what TCP allows.
//
// A connection of ours is two connections, and so four streams of bytes meet here. None of them may keep the others
// waiting: every socket is non-blocking, and poll() says which of all can go on. What waits in here is bounded: while
// a side does not take what is for it, nothing more is read from the other, and so that one has to wait, too.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "tcp/columns.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <deque>
#include <list>
#include <random>

namespace {

constexpr size_t most_waiting = 262144;  // bytes of one direction
constexpr size_t most_pieces = 1024;

struct Settings {
    std::string to = host_and_port("127.0.0.1", default_port);
    long chunk = 0, pause = 1, merge = 0, delay = 0, corrupt = 0, seed = 1;  // bytes; milliseconds; one in so many
    std::optional<std::string> stall_text, reset_text;
    long stall = -1, reset = -1;  // after so many bytes of a connection, both directions together; -1: never
    long idle = 3600, connections = 400;
    std::vector<Address> addresses;  // of `to`
};

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
constexpr Time never = Time::max();

enum class End { none, fin, reset };
enum Side : size_t { client, server };

/// What travels from one side to the other.
struct Lane {
    std::string bytes;  // received; from `begin` on not passed on yet
    size_t begin = 0;
    struct Piece {
        std::uint64_t end;  // counted from the first byte of the stream
        Time due;
    };
    std::deque<Piece> pieces;  // each to be passed on by a send() of its own
    Time gathered = never;     // when the bytes behind the last piece are enough to make one (--merge)
    Time next_send{};          // not before (--pause)
    std::uint64_t received = 0, passed = 0;
    End end = End::none;      // how the sender ended it
    Time end_due{};           // and when that is passed on
    bool end_passed = false;  // was it?
    bool dead = false;        // the receiver is gone
    std::mt19937 random;
};

struct Connection {
    long number;
    int fd[2] = {-1, -1};
    Lane lanes[2];  // lanes[client] goes from the client to the server
    bool connecting = true;
    bool stalled = false;
    size_t next_address = 0;
    Time active;  // when something last happened
};

size_t waiting(const Lane& lane) { return lane.bytes.size() - lane.begin; }

Settings settings;
const Time began = Clock::now();

// ---- Telling

/// Where in the picture something happens: at the client's side, or at the server's, and which way it goes.
const char* arrived_from(Side side) { return side == client ? "client ->        " : "       <- server "; }
const char* passed_to(Side side) { return side == server ? "       -> server " : "client <-        "; }
const char* on_the_way(Side from) { return from == client ? "       -->       " : "       <--       "; }
constexpr const char* in_between = "       ---       ";

void tell(const Connection& connection, const char* where, const std::string& what, const std::string& text = "") {
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    fmt::print("{:9.3f}  #{:<3} {}{:>6}{}{}\n", seconds, connection.number, where, what, text.empty() ? "" : "  ",
               text);
}

// ---- From a side

/// Changes about one byte in so many. Which ones depends on the seed, the connection's number, the direction and the
/// byte's place in the stream, and not on the pieces in which it comes.
void corrupt(const Connection& connection, Side from, Lane& lane, char* bytes, size_t count) {
    std::string changed;
    long changes = 0;
    for (size_t i = 0; i < count; ++i) {
        if (lane.random() % static_cast<unsigned long>(settings.corrupt) != 0) continue;
        const auto before = static_cast<unsigned char>(bytes[i]);
        const auto after = static_cast<unsigned char>(before ^ (1 + lane.random() % 255));
        bytes[i] = static_cast<char>(after);
        if (++changes <= 3) changed += fmt::format("  {}: {:02x} -> {:02x}", lane.received + i + 1, before, after);
    }
    if (changes > 3) changed += fmt::format("  and {} more", changes - 3);
    if (changes > 0) tell(connection, on_the_way(from), "change", "byte " + changed.substr(2));
}

/// What was gathered becomes a piece, to be passed on after the delay.
void make_piece(Lane& lane, Time now) {
    lane.pieces.push_back({lane.received, now + std::chrono::milliseconds(settings.delay)});
    lane.gathered = never;
}

void end_lane(const Connection& connection, Side from, Lane& lane, End end, Time now) {
    if (lane.gathered != never) make_piece(lane, now);
    lane.end = connection.lanes[1 - from].dead ? End::reset : end;  // it can't be reached, either
    lane.end_due = now + std::chrono::milliseconds(settings.delay);
    tell(connection, arrived_from(from), lane.end == End::fin ? "FIN" : "RST");
}

void receive(Connection& connection, Side from, Time now) {
    Lane& lane = connection.lanes[from];
    char buffer[65536];
    const ssize_t received = TRY(recv(connection.fd[from], buffer, sizeof buffer, 0));
    const bool sender_is_gone = connection.lanes[1 - from].dead;
    if (received == -1 && (errno == EINTR || (errno == EAGAIN && !sender_is_gone))) return;
    connection.active = now;
    if (received == 0) return end_lane(connection, from, lane, End::fin, now);
    if (received == -1) return end_lane(connection, from, lane, End::reset, now);
    const auto count = static_cast<size_t>(received);
    tell(connection, arrived_from(from), std::to_string(count), shortened({buffer, count}, 36));
    if (settings.corrupt > 0) corrupt(connection, from, lane, buffer, count);
    lane.bytes.append(buffer, count);
    lane.received += count;
    if (lane.gathered == never) lane.gathered = now + std::chrono::milliseconds(settings.merge);
    if (lane.gathered <= now || waiting(lane) >= most_waiting) make_piece(lane, now);
}

// ---- To the other

/// How many bytes of a connection may still pass before it is stalled or reset.
std::uint64_t allowance(const Connection& connection) {
    const std::uint64_t passed = connection.lanes[client].passed + connection.lanes[server].passed;
    std::uint64_t allowed = UINT64_MAX;
    for (const long limit : {settings.stall, settings.reset}) {
        if (limit < 0) continue;
        const auto most = static_cast<std::uint64_t>(limit);
        allowed = std::min(allowed, most > passed ? most - passed : 0);
    }
    return allowed;
}

void pass_on(Connection& connection, Side from, Time now) {
    Lane& lane = connection.lanes[from];
    const Side to = from == client ? server : client;
    std::uint64_t count = std::min(lane.pieces.front().end - lane.passed, allowance(connection));
    if (settings.chunk > 0) count = std::min(count, static_cast<std::uint64_t>(settings.chunk));
    if (count == 0) return;
    const char* bytes = lane.bytes.data() + lane.begin;
    const ssize_t sent = TRY(send(connection.fd[to], bytes, static_cast<size_t>(count), 0));
    if (sent == -1 && (errno == EAGAIN || errno == EINTR)) return;
    connection.active = now;
    if (sent == -1) {  // it is gone, and what it still had to say is perhaps in our receive buffer
        tell(connection, passed_to(to), "-", describe_error(errno));
        lane.dead = true;
        lane.begin = lane.bytes.size();
        lane.pieces.clear();
        if (connection.lanes[to].end != End::none) connection.lanes[to].end = End::reset;
        return;
    }
    const auto taken = static_cast<size_t>(sent);
    tell(connection, passed_to(to), std::to_string(taken), shortened({bytes, taken}, 36));
    lane.begin += taken;
    if (lane.begin >= std::min(lane.bytes.size(), most_waiting)) {  // not at every byte: it moves all that follow
        lane.bytes.erase(0, lane.begin);
        lane.begin = 0;
    }
    lane.passed += taken;
    if (lane.passed == lane.pieces.front().end) lane.pieces.pop_front();
    // Without a pause, the receiver would find several chunks in its buffer, and one recv() would take them all.
    if (settings.chunk > 0) lane.next_send = now + std::chrono::milliseconds(settings.pause);
}

/// The sender's FIN follows the last of its bytes: what goes the other way may go on.
void pass_on_end(Connection& connection, Side from) {
    const Side to = from == client ? server : client;
    CALL(shutdown(connection.fd[to], SHUT_WR));
    connection.lanes[from].end_passed = true;
    tell(connection, passed_to(to), "FIN");
}

// ---- Connections come and go

void make_non_blocking(int fd) {
    CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
    const int on = 1;  // or Nagle's algorithm (tcp(7)) makes the kernel wait for more to send, and join the pieces
    CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
}

/// Begins to connect to the next of the server's addresses. False: there is none left, and errno is of the last.
bool begin_to_connect(Connection& connection) {
    while (connection.next_address < settings.addresses.size()) {
        const Address& address = settings.addresses[connection.next_address++];
        const int fd = connection.fd[server] = CALL(socket(address.family(), SOCK_STREAM, 0));
        make_non_blocking(fd);
        if (TRY(connect(fd, address.get(), address.length())) == 0 || errno == EINPROGRESS) return true;
        const int error = errno;
        TRY(close(fd));
        connection.fd[server] = -1;
        errno = error;
    }
    return false;
}

/// Closes both sides: by FIN, if nothing is unread; or by RST, which SO_LINGER with no time makes of it (socket(7)).
void drop(Connection& connection, bool by_reset) {
    for (int& fd : connection.fd) {
        if (fd == -1) continue;
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        if (by_reset) TRY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        TRY(close(fd));
        fd = -1;
    }
}

bool is_dropped(const Connection& connection) { return connection.fd[client] == -1; }

/// The connection to the server is made, or was refused.
void finish_connecting(Connection& connection, Time now) {
    int error = 0;
    socklen_t length = sizeof error;
    CALL(getsockopt(connection.fd[server], SOL_SOCKET, SO_ERROR, &error, &length));
    connection.active = now;
    if (error == 0) {
        connection.connecting = false;
        return tell(connection, passed_to(server), "open", "to " + escaped(settings.to));
    }
    TRY(close(connection.fd[server]));
    connection.fd[server] = -1;
    errno = error;
    if (begin_to_connect(connection)) return;
    tell(connection, passed_to(client), "RST", fmt::format("{}: {}", escaped(settings.to), describe_error(errno)));
    drop(connection, true);
}

/// Takes a client, if one is still there. False: there is no room, and it is better not to ask again for a while.
bool accept_client(int listener, std::list<Connection>& connections, Time now) {
    static long number = 0;
    Address address;
    const int fd = TRY(accept(listener, address.out(), address.out_length()));
    if (fd == -1) {
        if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return true;
        fmt::print(stderr, "no new connections for now: {}\n", describe_error(errno));
        return false;
    }
    Connection& connection = connections.emplace_back();
    connection.number = ++number;
    connection.fd[client] = fd;
    connection.active = now;
    for (const Side side : {client, server}) {
        std::seed_seq seed{settings.seed, number, static_cast<long>(side)};
        connection.lanes[side].random.seed(seed);
    }
    tell(connection, arrived_from(client), "open", "from " + address.text());
    try {
        make_non_blocking(fd);
        if (!begin_to_connect(connection)) {
            tell(connection, passed_to(client), "RST",
                 fmt::format("{}: {}", escaped(settings.to), describe_error(errno)));
            drop(connection, true);
        }
    } catch (const SocketError& error) {
        complain(error);
        drop(connection, true);
    }
    return true;
}

// ---- What to wait for

bool wants_bytes(const Connection& connection, const Lane& lane) {
    return !connection.connecting && !connection.stalled && !lane.dead && lane.end == End::none &&
           waiting(lane) < most_waiting && lane.pieces.size() < most_pieces;
}

/// When there is something to pass on, whether that is bytes or the end behind them.
Time due(const Connection& connection, const Lane& lane) {
    if (connection.connecting || connection.stalled || lane.dead) return never;
    if (!lane.pieces.empty()) return std::max(lane.pieces.front().due, lane.next_send);
    return lane.end != End::none && !lane.end_passed ? std::max(lane.end_due, lane.next_send) : never;
}

short events_of(const Connection& connection, Side side, Time now) {
    if (connection.connecting) return side == server ? POLLOUT : 0;
    const Lane& outgoing = connection.lanes[1 - side];
    const bool sends = !outgoing.pieces.empty() && due(connection, outgoing) <= now;
    return static_cast<short>((wants_bytes(connection, connection.lanes[side]) ? POLLIN : 0) | (sends ? POLLOUT : 0));
}

Time idle_until(const Connection& connection) {
    return settings.idle == 0 ? never : connection.active + std::chrono::seconds(settings.idle);
}

/// Does what can be done now: passes on ends, stalls, resets, gives up.
void settle(Connection& connection, Time now) {
    for (const Side from : {client, server}) {
        Lane& lane = connection.lanes[from];
        if (connection.lanes[1 - from].dead && wants_bytes(connection, lane)) receive(connection, from, now);
        if (lane.gathered <= now) make_piece(lane, now);
        if (!lane.pieces.empty() || due(connection, lane) > now) continue;
        if (lane.end == End::fin) pass_on_end(connection, from);
        if (lane.end == End::reset) {
            tell(connection, passed_to(from == client ? server : client), "RST");
            return drop(connection, true);
        }
    }
    if (connection.connecting || connection.stalled) {
        // nothing passes
    } else if (allowance(connection) == 0) {
        const auto passed = connection.lanes[client].passed + connection.lanes[server].passed;
        if (settings.reset >= 0 && passed >= static_cast<std::uint64_t>(settings.reset)) {
            tell(connection, in_between, "RST", "to both sides (--reset-after)");
            return drop(connection, true);
        }
        connection.stalled = true;
        tell(connection, in_between, "stall", "nothing passes from now on (--stall)");
    } else if (std::all_of(connection.lanes, connection.lanes + 2,
                           [](const Lane& l) { return l.end_passed || l.dead; })) {
        tell(connection, in_between, "closed",
             fmt::format("{} bytes to the server, {} to the client", connection.lanes[client].passed,
                         connection.lanes[server].passed));
        return drop(connection, connection.lanes[client].dead || connection.lanes[server].dead);
    }
    if (idle_until(connection) <= now) {
        tell(connection, in_between, "closed", fmt::format("nothing has happened for {} s (--idle)", settings.idle));
        drop(connection, true);
    }
}

Time next_timer(const Connection& connection, Time now) {
    Time next = idle_until(connection);
    for (const Lane& lane : connection.lanes) {
        next = std::min(next, lane.gathered);
        const Time lane_due = due(connection, lane);
        if (lane_due > now || lane.pieces.empty()) next = std::min(next, lane_due);  // else poll() waits for room
    }
    return next;
}

int milliseconds_until(Time time, Time now) {
    if (time == never) return -1;
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - now).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 60000));
}

void step(Connection& connection, const short (&ready)[2], Time now) {
    try {
        if (connection.connecting) {
            if (ready[server] != 0) finish_connecting(connection, now);
        } else {
            for (const Side side : {client, server}) {
                const Side other = side == client ? server : client;
                const short events = events_of(connection, side, now);
                if ((events & POLLIN) != 0 && (ready[side] & ~POLLOUT) != 0) receive(connection, side, now);
                if ((events & POLLOUT) != 0 && (ready[side] & ~POLLIN) != 0) pass_on(connection, other, now);
            }
        }
        if (!is_dropped(connection)) settle(connection, now);
    } catch (const SocketError& error) {
        complain(error);
        drop(connection, true);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.0.0.1";
    long port = default_port + 1;
    parse_options(
        argc, argv,
        {.summary = "Stands between TCP clients and a server, shows what passes, and makes trouble.",
         .endpoint = Endpoint::none,
         .more = {{"host", "HOST", "address or name where clients connect", &host},
                  {"port", "PORT", "and the port; 0 lets the kernel pick", &port, 0, 65535},
                  {"to", "HOST:PORT", "the server", &settings.to},
                  {"chunk", "BYTES", "pass on so many with each send(); 0: as they come", &settings.chunk, 0, 65536},
                  {"pause", "MS", "between two chunks of a direction", &settings.pause, 0, 60000},
                  {"merge", "MS", "gather what comes for so long, and send it in one", &settings.merge, 0, 60000},
                  {"delay", "MS", "hold everything back for so long, each way", &settings.delay, 0, 60000},
                  {"stall", "BYTES",
                   "after so many of a connection (both ways together), pass on nothing more, and "
                   "close nothing",
                   &settings.stall_text},
                  {"reset-after", "BYTES", "after so many, end it by RST to both sides", &settings.reset_text},
                  {"corrupt", "N", "change about one byte in N; 0: none", &settings.corrupt},
                  {"seed", "NUMBER", "which bytes that are", &settings.seed},
                  {"idle", "SECONDS", "end a connection on which nothing happens; 0: never", &settings.idle, 0, 86400},
                  {"connections", "NUMBER", "at a time; more have to wait", &settings.connections, 1, 10000}}});
    const long most = 1'000'000'000;
    if (settings.stall_text) settings.stall = parse_number(*settings.stall_text, 0, most, "--stall");
    if (settings.reset_text) settings.reset = parse_number(*settings.reset_text, 0, most, "--reset-after");
    settings.addresses = resolve_target(settings.to, "--to", SOCK_STREAM);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address address = resolve(host, static_cast<std::uint16_t>(port), SOCK_STREAM).front();
    if (std::count(settings.addresses.begin(), settings.addresses.end(), address) > 0) {
        throw UsageError(fmt::format("--to {}: that is where this program listens itself", escaped(settings.to)));
    }

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    CALL(fcntl(listener, F_SETFL, O_NONBLOCK));  // a client may be gone again when accept() looks
    announce_ready(listener);

    std::list<Connection> connections;
    Time accept_again{};  // with no descriptors left, accept() would fail at once, again and again
    for (;;) {
        Time now = Clock::now();
        const bool full = connections.size() >= static_cast<size_t>(settings.connections);
        const bool accepting = !full && accept_again <= now;
        Time next = !full && !accepting ? accept_again : never;
        std::vector<pollfd> watched{{accepting ? listener : -1, POLLIN, 0}};  // poll() passes over -1
        for (const Connection& connection : connections) {
            for (const Side side : {client, server}) {
                // Not even a reset of a side of which nothing is wanted is told: it would be told without end.
                const short events = events_of(connection, side, now);
                watched.push_back({events != 0 ? connection.fd[side] : -1, events, 0});
            }
            next = std::min(next, next_timer(connection, now));
        }
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), milliseconds_until(next, now)));
        now = Clock::now();

        size_t i = 1;
        for (auto connection = connections.begin(); connection != connections.end(); i += 2) {
            step(*connection, {watched[i].revents, watched[i + 1].revents}, now);
            if (is_dropped(*connection)) {
                connection = connections.erase(connection);
                accept_again = now;  // its descriptors are free
            } else {
                ++connection;
            }
        }
        if (watched[0].revents != 0 && !accept_client(listener, connections, now)) {
            accept_again = now + std::chrono::seconds(1);
        }
        if (!connections.empty() && is_dropped(connections.back())) connections.pop_back();
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
