#pragma once
// The traffic between clients and the server: every byte passes as it is, and a copy of it is told to a mailbox. For
// tap.cpp, whose other thread looks at that.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "websocket/protocol/buffer.hpp"
#include "websocket/tap_watch.hpp"
#include "websocket/web_server.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace websocket {

/// What waits for one side before the other side is not read any more.
constexpr std::size_t queue_limit = std::size_t{256} << 10U;
/// Of one recv(): it is to fit into one packet of a file.
constexpr std::size_t most_at_once = 61'440;

struct TrafficSettings {
    std::string to = "127.0.0.1:7000";
    std::vector<Address> targets;  // which that name means
    long connections = 1000;
    long idle = 3600;  // seconds; 0: for ever
};

inline std::int64_t microseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::microseconds>(system_clock::now().time_since_epoch()).count();
}

enum Side : std::size_t { client, server };

/// Two connections, which are one for those at their ends.
struct Link {
    std::uint64_t number = 0;
    std::array<int, 2> fd = {-1, -1};
    std::array<Buffer, 2> to = {};               // bytes that this side has not taken yet
    std::array<bool, 2> ended = {false, false};  // this side sends no more
    std::array<bool, 2> gone = {false, false};   // this side takes no more
    std::array<bool, 2> shut = {false, false};   // and this side was told that no more comes
    std::array<bool, 2> watched = {true, true};  // for anything at all
    std::array<bool, 2> reading = {true, true};  // and what for
    std::array<bool, 2> writing = {false, false};
    std::array<std::uint64_t, 2> unseen = {0, 0};  // bytes from this side for which the mailbox had no room
    bool told = true;                              // somebody looks at it at all
    bool connecting = true;
    std::size_t next_address = 0;
    int error = 0;            // of the last address
    std::int64_t active = 0;  // when something last passed
};

class Forwarder {
public:
    Forwarder(int listener, const TrafficSettings& settings, Mailbox& mailbox)
        : settings_(settings), mailbox_(mailbox), listener_(listener) {
        CALL(fcntl(listener, F_SETFL, O_NONBLOCK));
        loop_.add(listener);
    }

    void run(int stop);

private:
    Link* link_at(int fd) const {
        return static_cast<std::size_t>(fd) < links_.size() ? links_[static_cast<std::size_t>(fd)].get() : nullptr;
    }
    void accept_clients();
    bool connect_next(Link& link);
    void finish_connecting(Link& link);
    void adopt(std::shared_ptr<Link> link, int fd);
    void step(const std::shared_ptr<Link>& link, Side side, bool readable, bool writable);
    bool receive(Link& link, Side from);
    bool send_on(Link& link, Side to);
    void lose(Link& link, Side side);
    void watch(Link& link, Side side);
    void reset(Link& link, Side by);
    void drop(Link& link, bool by_reset);
    void drop_all();
    void expire();
    void listen_again(bool accepting);
    void tell(Link& link, Happening::Kind kind, Side from, std::string_view bytes = "");

    const TrafficSettings& settings_;
    Mailbox& mailbox_;
    EventLoop loop_;
    int listener_;
    bool accepting_ = true;
    std::int64_t accept_again_ = 0;
    std::vector<std::shared_ptr<Link>> links_;  // by descriptor
    std::size_t count_ = 0;
    std::uint64_t last_ = 0;
    std::vector<char> arrived_ = std::vector<char>(most_at_once);
};

/// A copy for those who look; if they are too slow, they are told how much they have missed.
inline void Forwarder::tell(Link& link, Happening::Kind kind, Side from, std::string_view bytes) {
    if (!link.told) return;
    Happening happening{kind, link.number, microseconds(), from == client ? Direction::up : Direction::down};
    const bool is_end = kind != Happening::Kind::bytes;
    for (const Side side : {client, server}) {
        if (link.unseen[side] == 0) continue;
        Happening gap{Happening::Kind::gap, link.number, happening.time,
                      side == client ? Direction::up : Direction::down};
        gap.count = link.unseen[side];
        if (mailbox_.put(std::move(gap), is_end)) link.unseen[side] = 0;
    }
    happening.bytes = bytes;
    if (link.unseen[from] > 0 || !mailbox_.put(std::move(happening), is_end)) link.unseen[from] += bytes.size();
}

inline void Forwarder::accept_clients() {
    for (int i = 0; i < 64; ++i) {
        if (count_ >= static_cast<std::size_t>(settings_.connections)) return listen_again(false);
        auto link = std::make_shared<Link>();
        Happening::Ends ends;
        const int fd = TRY(accept(listener_, ends.from.out(), ends.from.out_length()));
        if (fd == -1 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED)) return;
        if (fd == -1) {
            fmt::print(stderr, "no new connections for now: {}\n", describe_error(errno));
            accept_again_ = steady_milliseconds() + 1000;
            return listen_again(false);
        }
        link->fd[client] = fd;
        link->number = ++last_;
        link->active = steady_milliseconds();
        ++count_;
        try {
            const int on = 1;  // or Nagle's algorithm would hold back what the sender has not held back
            CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
            CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
            CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
            adopt(link, fd);
            ends.at = local_address(fd);
            Happening open{Happening::Kind::open, link->number, microseconds()};
            open.ends = std::make_shared<const Happening::Ends>(ends);
            link->told = mailbox_.put(std::move(open));
            if (!link->told) fmt::print(stderr, "#{} passes unseen: too much is waiting to be told\n", link->number);
            watch(*link, client);  // it is not read before there is a server
            if (!connect_next(*link)) finish_connecting(*link);
        } catch (const SocketError& error) {  // this one's trouble is nobody else's
            complain(error);
            tell(*link, Happening::Kind::given_up, client);
            drop(*link, true);
        }
    }
}

inline void Forwarder::adopt(std::shared_ptr<Link> link, int fd) {
    if (links_.size() <= static_cast<std::size_t>(fd)) links_.resize(static_cast<std::size_t>(fd) + 1);
    links_[static_cast<std::size_t>(fd)] = std::move(link);
    loop_.add(fd);
}

/// Tries the server's next address, without waiting. False: there is none left.
inline bool Forwarder::connect_next(Link& link) {
    while (link.next_address < settings_.targets.size()) {
        const Address& target = settings_.targets[link.next_address++];
        const int fd = link.fd[server] = CALL(socket(target.family(), SOCK_STREAM, 0));
        const int on = 1;
        CALL(fcntl(fd, F_SETFL, O_NONBLOCK));
        CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
        CALL(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
        if (TRY(connect(fd, target.get(), target.length())) == 0 || errno == EINPROGRESS) {
            adopt(links_[static_cast<std::size_t>(link.fd[client])], fd);
            link.watched[server] = link.reading[server] = true;
            link.writing[server] = false;
            watch(link, server);
            return true;
        }
        link.error = errno;
        TRY(close(fd));
        link.fd[server] = -1;
    }
    return false;
}

/// The connection to the server is made, or was refused: then the client gets what it would have got, as far as that is
/// still possible: RST.
inline void Forwarder::finish_connecting(Link& link) {
    if (link.fd[server] != -1) {
        socklen_t length = sizeof link.error;
        CALL(getsockopt(link.fd[server], SOL_SOCKET, SO_ERROR, &link.error, &length));
        if (link.error == 0) {
            link.connecting = false;
            return;
        }
        links_[static_cast<std::size_t>(link.fd[server])].reset();
        TRY(close(link.fd[server]));
        link.fd[server] = -1;
        if (connect_next(link)) return;
    }
    fmt::print(stderr, "#{}: no connection to {}: {}\n", link.number, escaped(settings_.to),
               describe_error(link.error));
    tell(link, Happening::Kind::refused, server);
    drop(link, true);
}

inline void Forwarder::step(const std::shared_ptr<Link>& link, Side side, bool readable, bool writable) {
    try {
        if (link->connecting) {
            if (side == server && (readable || writable)) finish_connecting(*link);
        } else {
            if (writable && !send_on(*link, side)) lose(*link, side);
            if (readable && link->fd[side] != -1) receive(*link, side);
        }
        for (const Side each : {client, server})
            if (link->fd[each] != -1) watch(*link, each);
    } catch (const SocketError& error) {
        complain(error);
        tell(*link, Happening::Kind::given_up, client);
        drop(*link, true);
    }
}

/// Takes what has come from a side, and passes it on. False: it was nothing.
inline bool Forwarder::receive(Link& link, Side from) {
    const Side to = from == client ? server : client;
    if (link.ended[from]) {  // recv() would say 0 once more, but a reset can still come
        int error = 0;
        socklen_t length = sizeof error;
        CALL(getsockopt(link.fd[from], SOL_SOCKET, SO_ERROR, &error, &length));
        if (error != 0 || link.gone[from]) reset(link, from);
        return false;
    }
    const ssize_t received = TRY(recv(link.fd[from], arrived_.data(), arrived_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return false;
    if (received == -1 || (received == 0 && link.gone[from])) {
        reset(link, from);
        return false;
    }
    link.active = steady_milliseconds();
    const std::string_view bytes(arrived_.data(), static_cast<std::size_t>(received));
    if (!link.gone[to]) link.to[to].append(bytes);
    if (received == 0) {
        link.ended[from] = true;
        tell(link, Happening::Kind::fin, from);
        if (!send_on(link, to)) lose(link, to);
        return false;
    }
    const bool taken = send_on(link, to);  // first the traffic, then those who look
    tell(link, Happening::Kind::bytes, from, bytes);
    if (!taken) lose(link, to);
    return true;
}

/// As much as it takes; behind the last byte of a side that has ended, its FIN. False: it takes no more.
inline bool Forwarder::send_on(Link& link, Side to) {
    Buffer& bytes = link.to[to];
    if (!bytes.empty()) {
        const ssize_t sent = TRY(send(link.fd[to], bytes.data(), bytes.size(), 0));
        if (sent == -1 && errno != EAGAIN && errno != EINTR) return false;
        if (sent > 0) bytes.drop_front(static_cast<std::size_t>(sent));
        if (bytes.empty() && bytes.capacity() > 2 * most_at_once) bytes.release();
    }
    const Side from = to == client ? server : client;
    if (!bytes.empty() || !link.ended[from]) return true;
    if (!link.shut[to]) TRY(shutdown(link.fd[to], SHUT_WR));
    link.shut[to] = true;
    if (link.shut[client] && link.shut[server]) drop(link, false);
    return true;
}

/// A side that takes no more has been reset. What it had said before is perhaps in our receive buffer.
inline void Forwarder::lose(Link& link, Side side) {
    if (std::exchange(link.gone[side], true)) return;
    link.to[side].release();
    while (link.fd[side] != -1 && receive(link, side)) {
    }
    if (link.fd[side] != -1) reset(link, side);
}

/// Each side is read only as long as the other takes it: so a slow one slows its peer down, by way of both TCP windows,
/// instead of filling our memory.
inline void Forwarder::watch(Link& link, Side side) {
    const Side other = side == client ? server : client;
    const bool reading = !link.connecting && !link.ended[side] && link.to[other].size() < queue_limit;
    const bool writing = link.connecting ? side == server : !link.to[side].empty();
    // With nothing to be watched for, a reset is still told, again and again, until it is read. So a side that is not
    // to be read now is not watched at all; one that has ended is, since its reset matters to the other.
    const bool watched = reading || writing || (!link.connecting && link.ended[side] && !link.shut[side]);
    if (watched && !link.watched[side]) {
        loop_.add(link.fd[side]);
        link.reading[side] = true;
        link.writing[side] = false;
    }
    if (!watched && link.watched[side]) loop_.remove(link.fd[side], link.reading[side], link.writing[side]);
    link.watched[side] = watched;
    if (!watched || (reading == link.reading[side] && writing == link.writing[side])) return;
    loop_.change(link.fd[side], link.reading[side], link.writing[side], reading, writing);
    link.reading[side] = reading;
    link.writing[side] = writing;
}

/// What came before is with the kernel, as far as it takes it; then the other side is reset, too.
inline void Forwarder::reset(Link& link, Side by) {
    tell(link, Happening::Kind::reset, by);
    drop(link, true);
}

/// Closes both sides; by RST, which SO_LINGER with no time makes of it (socket(7)), or by what FIN there was.
inline void Forwarder::drop(Link& link, bool by_reset) {
    for (int& fd : link.fd) {
        if (fd == -1) continue;
        const linger at_once{.l_onoff = 1, .l_linger = 0};
        if (by_reset) TRY(setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
        if (static_cast<std::size_t>(fd) < links_.size()) links_[static_cast<std::size_t>(fd)].reset();
        TRY(close(fd));
        fd = -1;
    }
    --count_;
    if (accept_again_ == 0) listen_again(true);
}

inline void Forwarder::listen_again(bool accepting) {
    if (accepting_ == accepting) return;
    loop_.change(listener_, accepting_, false, accepting, false);
    accepting_ = accepting;
}

inline void Forwarder::expire() {
    const std::int64_t now = steady_milliseconds();
    if (accept_again_ != 0 && accept_again_ <= now) {
        accept_again_ = 0;
        listen_again(true);
    }
    if (settings_.idle == 0) return;
    for (std::size_t fd = 0; fd < links_.size(); ++fd) {
        const std::shared_ptr<Link> link = links_[fd];
        if (!link || link->active + 1000 * settings_.idle > now) continue;
        fmt::print(stderr, "#{}: nothing has passed for {} s (--idle): it is ended\n", link->number, settings_.idle);
        tell(*link, Happening::Kind::given_up, client);
        drop(*link, true);
    }
}

inline void Forwarder::drop_all() {
    accept_again_ = INT64_MAX;
    for (std::size_t fd = 0; fd < links_.size(); ++fd) {
        if (const std::shared_ptr<Link> link = links_[fd]) drop(*link, false);
    }
}

inline void Forwarder::run(int stop) {
    loop_.add(stop);
    std::int64_t next_look = steady_milliseconds() + 1000;
    for (;;) {
        const auto ready = loop_.wait(1000);
        for (const EventLoop::Ready& one : ready) {
            if (one.fd == stop) return drop_all();
            if (one.fd == listener_) {
                accept_clients();
                continue;
            }
            const std::shared_ptr<Link> link =
                static_cast<std::size_t>(one.fd) < links_.size() ? links_[static_cast<std::size_t>(one.fd)] : nullptr;
            if (link) step(link, link->fd[client] == one.fd ? client : server, one.readable, one.writable);
        }
        if (steady_milliseconds() >= next_look) {
            next_look = steady_milliseconds() + 1000;
            expire();
        }
    }
}

}  // namespace websocket
