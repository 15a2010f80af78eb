// WebSocket event server: the echo service again, for ten thousand clients in one thread that never waits for one.
//
//     terminal 1:  build/websocket/event_server
//     terminal 2:  build/websocket/load --connections 1000        (or echo_client, or a browser)
//
// echo_server.cpp waits in recv() for its one client. Here epoll_wait() says which of all the clients have something
// new, and each gets one recv() and one send(): whatever that recv() brought, ten messages or the half of one, is
// answered at once, from one buffer that all clients share. What the kernel does not take waits in a queue of that
// client, and while that is long nothing more is read from it: so a slow reader costs the others nothing and us little.
// Try it: 10,000 connections at rest, and look at its memory: grep VmRSS /proc/$(pgrep event_server)/status
//
// epoll tells of what is new (edge-triggered), not of what is still there: see again_.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "websocket/outbox.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"
#include "websocket/protocol/text.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <queue>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;

struct Settings {
    ServerPolicy policy;
    Limits limits;
    long connections = 10000;
    long queue_bytes = 1 << 20;  // unsent, of one client, before we stop reading from it
    long handshake = 10;         // seconds, all of them
    long idle = 30;
    long pong = 20;
    long closing = 5;
};

/// What is kept of a client: under 256 bytes while it is idle.
struct Client {
    int fd;
    bool reading = true;  // what it is watched for
    bool writing = false;
    bool asked = false;      // a ping is on its way
    bool large = false;      // it sends large messages
    bool leaving = false;    // our side is shut down: whatever comes is thrown away until its side is
    bool ended = false;      // its side is shut down, and it still is owed something
    std::int64_t since;      // when its time began to run, in milliseconds; see Server::deadline()
    std::int64_t timer = 0;  // when it will be looked at
    std::unique_ptr<ServerHandshake> handshake;  // until it is over
    std::optional<Connection> peer;              // from then on
    Buffer unsent;                               // what the kernel did not take

    Client(int descriptor, std::int64_t now, const ServerPolicy& policy)
        : fd(descriptor), since(now), handshake(std::make_unique<ServerHandshake>(policy)) {}
};

class Server {
public:
    Server(int listener, int stop, const Settings& settings);
    void run();

private:
    void accept_clients();
    void attend(int fd, bool writable, bool readable, bool ended);
    bool serve(Client& client, bool ended);
    void shake_hands(Client& client, char* bytes, std::size_t count);
    void echo(Client& client);
    void flush(Client& client);
    void watch(Client& client);
    void leave(Client& client);
    void drop(Client& client);
    void expire(Client& client);
    void stop();

    std::int64_t deadline(const Client& client) const;
    void set_timer(Client& client);
    int milliseconds_to_next_timer() const;
    void run_timers();

    const Settings& settings_;
    const int listener_;
    const int stop_;
    EventLoop loop_{EventLoop::Trigger::edge};
    std::vector<int> again_;                        // what has been left to be read, and is not reported again
    std::vector<std::unique_ptr<Client>> clients_;  // by descriptor
    long connected_ = 0;
    bool accepting_ = true;
    bool stopping_ = false;
    std::int64_t now_ = 0;

    struct Timer {
        std::int64_t at;
        int fd;
        bool operator>(const Timer& other) const { return at > other.at; }
    };
    std::priority_queue<Timer, std::vector<Timer>, std::greater<>> timers_;

    std::vector<char> input_;  // shared: bytes are worked on where they arrive
    Outbox output_;            // shared: what one client is sent in one go
};

std::int64_t milliseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
}

Server::Server(int listener, int stop, const Settings& settings)
    : settings_(settings), listener_(listener), stop_(stop), input_(std::size_t{512} << 10U) {
    loop_.add(listener_);
    loop_.add(stop_);
    now_ = milliseconds();
}

void Server::run() {
    while (!stopping_ || connected_ > 0) {
        const auto ready = loop_.wait(again_.empty() ? milliseconds_to_next_timer() : 0);
        now_ = milliseconds();
        const std::vector<int> left = std::exchange(again_, {});
        for (const EventLoop::Ready& one : ready) {
            if (one.fd == listener_) {
                accept_clients();
            } else if (one.fd == stop_) {
                stop();
            } else {
                attend(one.fd, one.writable, one.readable, one.ended);
            }
        }
        for (const int fd : left) {
            if (fd == listener_) {
                accept_clients();
            } else {
                attend(fd, false, true, true);
            }
        }
        run_timers();
    }
}

/// A client is ready, or its turn has come again. It may be gone meanwhile.
void Server::attend(int fd, bool writable, bool readable, bool ended) {
    Client* client = clients_[static_cast<std::size_t>(fd)].get();
    if (client == nullptr) return;
    try {
        if (writable) flush(*client);
        if (readable && client->reading && serve(*client, ended)) again_.push_back(fd);
    } catch (const SocketError&) {  // reset, for instance: no more than any client may do
        drop(*client);
    }
}

// ---- Clients come

void Server::accept_clients() {
    if (!accepting_ || stopping_) return;
    // A connection that is not accepted waits in the kernel's queue, and does not make us spin: while we have no room
    // for more, the listener is not watched. drop() and run_timers() watch it again.
    const auto pause = [&] {
        accepting_ = false;
        loop_.change(listener_, true, false, false, false);
    };
    for (int i = 0; i < 64; ++i) {  // then let those be served who are here already
        if (connected_ >= settings_.connections) return pause();
        const int fd = TRY(accept(listener_, nullptr, nullptr));
        if (fd == -1 && errno == EAGAIN) return;
        if (fd == -1 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            fmt::print(stderr, "no new clients for now: {}\n", describe_error(errno));
            timers_.push({now_ + 1000, listener_});
            return pause();
        }
        if (fd == -1) continue;  // one that has gone already, for instance
        const int on = 1;
        TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
        // Answers are sent whole: nothing is gained by waiting for more (tcp(7)), and much is lost.
        TRY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));

        if (clients_.size() <= static_cast<std::size_t>(fd)) clients_.resize(static_cast<std::size_t>(fd) + 1);
        auto& place = clients_[static_cast<std::size_t>(fd)];
        place = std::make_unique<Client>(fd, now_, settings_.policy);
        ++connected_;
        try {
            loop_.add(fd);
            set_timer(*place);
        } catch (const SocketError& error) {
            complain(error);
            drop(*place);
        }
    }
    again_.push_back(listener_);
}

// ---- They say something

/// One recv() for each readiness, except within a large message: its buffer is in the cache now, and will not be later.
/// True if it has to be called again: less than was asked for means that there was no more (epoll(7), Q9), if behind
/// that the end has not come, too, of which we have been told already.
bool Server::serve(Client& client, bool ended) {
    constexpr std::size_t at_a_time = std::size_t{4} << 20U;  // then it is the others' turn
    for (std::size_t total = 0; total < at_a_time;) {
        const auto room = client.peer ? client.peer->room() : std::nullopt;
        // After a large message another is likely: a small recv() shows how it begins, and the rest is received to
        // where it belongs, instead of being copied there.
        // And a little that is compressed can be a thousand times as much: no more of it than fits into a short turn.
        const bool may_inflate = !client.peer || client.peer->compresses();
        const std::size_t most = client.large  ? std::size_t{4} << 10U
                                 : may_inflate ? std::size_t{16} << 10U
                                               : input_.size();
        char* bytes = room ? room->bytes : input_.data();
        const std::size_t wanted = room ? room->count : most;
        const ssize_t received = TRY(recv(client.fd, bytes, wanted, 0));
        if (received == -1 && (errno == EAGAIN || errno == EINTR)) return errno == EINTR;
        if (received == 0 && client.leaving && !client.unsent.empty()) {
            client.ended = true;  // as it may be behind a Close frame: the answers to what came before are sent first
            watch(client);
            return false;
        }
        if (received <= 0) {
            drop(client);
            return false;
        }
        const auto count = static_cast<std::size_t>(received);
        const bool may_be_more = count == wanted || ended;
        if (client.leaving) return may_be_more;
        total += count;

        // What it sends shows that it is there; but of one that is to end its request, to read, or to answer our Close,
        // that and nothing else is waited for.
        if (client.peer && client.unsent.empty() && !client.peer->close_sent()) client.since = now_;
        client.asked = false;
        if (client.handshake) {
            shake_hands(client, bytes, count);
            return may_be_more;
        }
        if (room) {
            client.peer->received_directly(count);
        } else {
            client.peer->receive(bytes, count);
        }
        echo(client);
        const bool within_large = client.peer->room().has_value();
        if (room || within_large || count == most) client.large = room || within_large;
        if (!client.large || !client.reading || client.leaving) return may_be_more;
    }
    return true;
}

void Server::shake_hands(Client& client, char* bytes, std::size_t count) {
    std::string_view input(bytes, count);
    const auto status = client.handshake->take(input);
    if (status == ServerHandshake::Status::incomplete) return;
    output_.buffer().append(client.handshake->response());
    if (status == ServerHandshake::Status::refused) {
        flush(client);
        return leave(client);
    }
    client.peer.emplace(Role::server, output_.buffer(), settings_.limits, client.handshake->agreement().deflate);
    client.handshake.reset();
    client.since = now_;
    set_timer(client);
    // What came behind the request are the first frames.
    client.peer->receive(bytes + (count - input.size()), input.size());
    echo(client);
}

/// Returns every message. One batch, one send: see outbox.hpp.
void Server::echo(Client& client) {
    Connection& peer = *client.peer;
    while (!peer.return_short_messages()) {
        const auto event = peer.next();
        if (!event) break;
        if (event->opcode != Opcode::text && event->opcode != Opcode::binary) continue;
        // What is in the connection's own buffer, instead of ours, is gone at the next event.
        const auto offset = event->payload.data() - input_.data();
        const bool stays = offset >= 0 && static_cast<std::size_t>(offset) < input_.size();
        const bool refers = output_.add_message(peer, event->opcode, event->payload, stays);
        if ((refers && !stays) || output_.is_large()) flush(client);
    }
    flush(client);
    if (peer.finished()) leave(client);
}

// ---- They are answered

/// Sends what the outbox holds, or adds it to the client's queue; then, or if the outbox is empty, sends of the queue.
void Server::flush(Client& client) {
    if (client.unsent.empty()) {
        output_.send_to(client.fd, client.unsent);
        if (client.unsent.empty()) return;
        client.since = now_;
    } else {
        output_.append_to(client.unsent);
        const ssize_t sent = TRY(send(client.fd, client.unsent.data(), client.unsent.size(), 0));
        // Nobody is left to be answered. The error is told once: recv() would first give out all that had come before.
        if (sent == -1 && errno != EAGAIN && errno != EINTR)
            throw SocketError(errno, {"send(client.fd, ...)", __FILE__, __LINE__});
        if (sent > 0) {
            client.unsent.drop_front(static_cast<std::size_t>(sent));
            if (client.unsent.empty()) client.unsent.release();
            client.since = now_;
        }
    }
    watch(client);
}

/// Watches for room to write only while something is unsent, and for bytes only while that is not too much.
void Server::watch(Client& client) {
    const bool writing = !client.unsent.empty();
    const bool reading =
        !writing || (!client.ended && client.unsent.size() < static_cast<std::size_t>(settings_.queue_bytes));
    if (writing != client.writing || reading != client.reading) {
        loop_.change(client.fd, client.reading, client.writing, reading, writing);
        client.reading = reading;
        client.writing = writing;
    }
    if (!writing && client.leaving) TRY(shutdown(client.fd, SHUT_WR));
    set_timer(client);
}

// ---- They go

/// Ends our side. Closing at once, with bytes unread, would make it an RST that can overtake our Close frame.
void Server::leave(Client& client) {
    client.leaving = true;
    client.since = now_;
    watch(client);
}

void Server::drop(Client& client) {
    const int fd = client.fd;
    TRY(close(fd));
    clients_[static_cast<std::size_t>(fd)].reset();
    --connected_;
    if (!accepting_ && !stopping_) {
        accepting_ = true;
        loop_.change(listener_, false, false, true, false);
    }
}

/// SIGINT: no new clients, and those that are here are told that we go away (1001).
void Server::stop() {
    stopping_ = true;
    loop_.change(stop_, true, false, false, false);
    if (accepting_) loop_.change(listener_, true, false, false, false);
    for (auto& client : clients_) {
        if (client == nullptr) continue;
        try {
            client->since = now_;
            if (client->peer) {
                client->peer->close(close_code::going_away, "the server ends");
                flush(*client);
                set_timer(*client);
            } else {
                drop(*client);
            }
        } catch (const SocketError&) {
            drop(*client);
        }
    }
}

// ---- Time

/// When its patience with a client ends, by what we wait for. Setting `since` puts it off.
std::int64_t Server::deadline(const Client& client) const {
    const auto after = [&](long seconds) { return client.since + 1000 * seconds; };
    if (client.handshake && !client.leaving) return after(settings_.handshake);
    if (client.leaving) return after(client.unsent.empty() ? 1 : settings_.pong);
    if (client.peer->close_sent()) return after(settings_.closing);
    if (!client.unsent.empty() || client.asked) return after(settings_.pong);
    return after(settings_.idle);
}

/// Every client stands in the queue of timers. When its turn comes and its time is not over, because something has
/// arrived since, it is put in again: so an arrival costs nothing but to note the time.
void Server::set_timer(Client& client) {
    const std::int64_t at = deadline(client);
    if (client.timer != 0 && client.timer <= at) return;
    client.timer = at;
    timers_.push({at, client.fd});
}

int Server::milliseconds_to_next_timer() const {
    if (timers_.empty()) return -1;
    return static_cast<int>(std::clamp<std::int64_t>(timers_.top().at - now_ + 1, 0, 60000));
}

void Server::run_timers() {
    while (!timers_.empty() && timers_.top().at <= now_) {
        const Timer timer = timers_.top();
        timers_.pop();
        if (timer.fd == listener_ && !accepting_ && !stopping_) {
            accepting_ = true;
            loop_.change(listener_, false, false, true, false);
        }
        if (static_cast<std::size_t>(timer.fd) >= clients_.size()) continue;
        Client* client = clients_[static_cast<std::size_t>(timer.fd)].get();
        if (client == nullptr || client->timer != timer.at) continue;
        client->timer = 0;
        try {
            if (deadline(*client) <= now_) expire(*client);
        } catch (const SocketError&) {
            drop(*client);
        }
        if (clients_[static_cast<std::size_t>(timer.fd)] != nullptr) set_timer(*client);
    }
}

void Server::expire(Client& client) {
    if (client.handshake && !client.leaving) {
        client.handshake->time_out();
        output_.buffer().append(client.handshake->response());
        flush(client);
        leave(client);
    } else if (client.leaving || client.asked || !client.unsent.empty() || client.peer->close_sent()) {
        drop(client);
    } else {
        client.asked = true;
        client.since = now_;
        client.peer->ping();
        flush(client);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    long message = 16 << 20;
    long fragments = 1 << 17;
    bool no_deflate = false;
    std::string origin;
    std::string subprotocol;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket echo server for many clients at once: one thread, no waiting.",
         .more = {{"origin", "ORIGIN", "let pages from there connect, too; * for all", &origin},
                  {"subprotocol", "NAME", "a subprotocol to agree on, if the client offers it", &subprotocol},
                  {"no-deflate", nullptr, "refuse compression (permessage-deflate)", &no_deflate},
                  {"connections", "N", "clients at a time; the next ones wait", &settings.connections, 1, 1'000'000},
                  {"message", "BYTES", "close (1009) on a message larger than that", &message, 1, 1 << 30},
                  {"fragments", "N", "close (1008) on a message in more fragments than that", &fragments, 1, 1 << 30},
                  {"queue", "BYTES", "read no more of a client with so much unsent", &settings.queue_bytes, 1, 1 << 30},
                  {"handshake", "SECONDS", "a request must be complete by then", &settings.handshake, 1, 3600},
                  {"idle", "SECONDS", "ping a client that was silent for so long", &settings.idle, 1, 86400},
                  {"pong", "SECONDS", "drop one that neither answers nor reads by then", &settings.pong, 1, 86400},
                  {"closing", "SECONDS", "drop one that does not answer Close by then", &settings.closing, 1, 3600}}});
    settings.limits = {static_cast<std::size_t>(message), static_cast<std::uint32_t>(fragments)};
    if (!origin.empty()) settings.policy.allowed_origins.push_back(origin);
    if (!subprotocol.empty() && !is_token(subprotocol))
        throw UsageError(fmt::format("--subprotocol {}: no token (RFC 9110, 5.6.2)", escaped(subprotocol)));
    if (!subprotocol.empty()) settings.policy.subprotocols.push_back(subprotocol);
    if (!no_deflate) settings.policy.deflate.emplace();
    raise_descriptor_limit(settings.connections + 64);
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    CALL(fcntl(listener, F_SETFL, O_NONBLOCK));
    announce_ready(listener);

    Server server(listener, stop_descriptor(), settings);
    server.run();
} catch (const std::exception& error) {
    return report_failure(error);
}
