#pragma once
// A server of pages and WebSockets at one port, in one thread that never waits for a client: what event_server.cpp
// writes out, for the programs after it, and enough of HTTP/1.1 (RFC 9112) that a browser can fetch a page from the
// same port.
//
//     WebServer server(listener, settings, {.opened = ..., .message = ..., .closed = ...});
//     server.run(stop_descriptor());
//
// The program is called when something happens, and says what to send; nothing that it calls here waits or fails
// because of a client. Whatever it says is queued, and goes out in one send() for each client when the round is over.
//
// A page of any other site can make its reader's browser connect to 127.0.0.1. So besides Origin, which the handshake
// checks, Host must be an address, localhost, or Settings::host: a name that somebody else made to mean 127.0.0.1 (DNS
// rebinding) is refused.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

namespace websocket {

/// A request without Upgrade: GET or HEAD, and no body.
struct HttpRequest {
    std::string path;      ///< "/updates"
    std::string query;     ///< "since=3", as it came; "" if there is none
    const HttpHead& head;  ///< valid until it is answered
};

struct HttpResponse {
    int status = 200;
    std::string type = "text/plain; charset=utf-8";
    std::string body;
    std::vector<std::pair<std::string, std::string>> fields = {};  ///< more of them
};

/// What went through a client's socket, everything included that is above TCP.
struct Traffic {
    std::uint64_t received = 0, sent = 0;  ///< bytes
    std::uint64_t requests = 0;            ///< HTTP requests, the one for a WebSocket included
    std::uint64_t connections = 0;         ///< in an account, see charge()
};

/// A message for many, which is encoded once and not once for each: WebServer::send() takes it.
struct EncodedMessage {
    EncodedMessage(Opcode kind, std::string_view payload);
    std::string_view payload() const { return std::string_view(frame).substr(header); }

    Opcode opcode;
    std::size_t header;  ///< its bytes in front of the payload
    std::string frame;   ///< as it goes out, but to those with whom compression was agreed on
};

class WebServer {
public:
    /// A client, as long as it is connected, and no other one later.
    using Id = std::uint64_t;

    struct Settings {
        ServerPolicy policy;
        Limits limits;
        std::string front_page;  ///< what "/" is: "chat.html"; "": nothing
        std::string page_folder = "websocket/page";
        std::string host;          ///< a name that Host may have, besides localhost
        long connections = 10000;  ///< the next ones wait
        int kernel_bytes =
            0;  ///< SO_SNDBUF: what the kernel may hold for a client before the queue does; 0: it decides
        std::size_t queue_bytes = std::size_t{1} << 20U;  ///< a client with more unsent is closed with 1013
        long request_seconds = 10;  ///< a request must be complete by then, and the next must begin
        long idle_seconds = 30;     ///< a WebSocket that was silent for so long is pinged
        long pong_seconds = 20;     ///< who neither answers nor reads by then is dropped
        long closing_seconds = 5;   ///< and who does not answer Close
    };

    /// What the program does when something happens. Those that are not set do nothing.
    struct Handlers {
        /// A WebSocket is open. Its request, until the handler returns: request(id); what was agreed: agreement(id).
        std::function<void(Id)> opened;
        /// A whole message; the payload is valid until the handler returns.
        std::function<void(Id, Opcode, std::string_view)> message;
        /// A pong that nobody here has waited for: to a ping() of the program.
        std::function<void(Id, std::string_view)> pong;
        /// A WebSocket that was open is over. Nothing can be sent to it any more.
        std::function<void(Id, const Closing&)> closed;
        /// An HTTP request. True: it was or will be answered by respond() or begin_stream(). False: it is one for a
        /// file of the page.
        std::function<bool(Id, const HttpRequest&)> request;
        /// A client has left before its request was answered, or before its stream has ended.
        std::function<void(Id)> gone;
        /// All that was queued for a client has gone out, after some of it had to wait.
        std::function<void(Id)> drained;
    };

    /// The listener listens, and becomes non-blocking.
    WebServer(int listener, Settings settings, Handlers handlers);

    /// Serves until the descriptor is readable (server.hpp, stop_descriptor()); then tells all WebSockets that it goes
    /// away (1001), and returns when they have answered or their time is over. Throws SocketError if it can't go on.
    void run(int stop);

    // ---- WebSockets. An Id that is not connected any more is passed over.

    /// False: it gets no more messages, since it is being closed; by this one if its queue was full (1013).
    bool send(Id id, Opcode opcode, std::string_view payload);
    bool send(Id id, const EncodedMessage& message);
    void ping(Id id, std::string_view payload);
    /// Starts the closing handshake, behind what is queued.
    void close(Id id, std::uint16_t code, std::string_view reason = "");
    /// Ends the connection at once, without a word.
    void cut(Id id);
    const Agreement& agreement(Id id) const { return clients_.at(place(id))->agreement; }
    /// Stops or resumes reading from a client, which TCP lets it feel when its window is full.
    void pause(Id id, bool paused);

    // ---- HTTP

    void respond(Id id, const HttpResponse& response);
    /// An answer without an end yet: chunked (RFC 9112, 7.1), or up to the end of the connection for HTTP/1.0.
    void begin_stream(Id id, const HttpResponse& response);
    void stream(Id id, std::string_view bytes);
    void end_stream(Id id);

    // ---- Both

    bool is_connected(Id id) const { return find(id) != nullptr; }
    std::size_t connected() const { return connected_; }
    /// Bytes that are queued for a client and not with the kernel yet.
    std::size_t unsent(Id id) const;
    Traffic traffic(Id id) const;
    /// Counts a client's bytes in an account, too: those of its present request, and all that follow until its next
    /// request, which may be about something else. The account must outlive the server.
    void charge(Id id, Traffic& account);
    /// Where it comes from.
    Address address(Id id) const;

    /// Calls a function after so many milliseconds, once.
    void after(std::int64_t milliseconds, std::function<void()> function);

    /// Calls a function whenever a descriptor of the program's own is ready. It must not throw.
    using Ready = std::function<void(bool readable, bool writable)>;
    void watch(int fd, Ready ready);
    void watch_for(int fd, bool reading, bool writing);  ///< at first: reading
    void forget(int fd);                                 ///< before it is closed

    /// Milliseconds of a clock that only goes forward, as it was when this round began.
    std::int64_t now() const { return now_; }

private:
    enum class Phase : std::uint8_t {
        request,    ///< its next request is not complete
        answering,  ///< the program has its request
        streaming,  ///< and has begun to answer
        websocket,
        leaving,  ///< our side ends when all is sent; then whatever comes is thrown away until its side ends
    };

    struct Client {
        Id id;
        int fd;
        Phase phase = Phase::request;
        bool reading = true, writing = false;  // what it is watched for
        bool paused = false;
        bool asked = false;       // a ping is on its way
        bool dirty = false;       // something is queued that nobody has tried to send
        bool waited = false;      // the kernel has not taken everything at once
        bool ended = false;       // it sends no more
        bool shut = false;        // and we neither
        bool keep_alive = false;  // of the request that is being answered: another may follow
        bool head_only = false;   // HEAD
        bool chunked = false;
        std::int64_t since;          // when its time began to run; see deadline()
        HttpHeadReader reader = {};  // of the request
        std::string input = {};      // the bytes of the request, and what came behind it
        std::size_t looked_at = 0;   // how much of them the reader has seen
        std::optional<Connection> peer = {};
        Agreement agreement = {};
        Buffer unsent = {};
        Traffic traffic = {};
        std::size_t request_bytes = 0;              // of the present request
        Traffic* account = nullptr;                 // where they are counted, too
        std::vector<const Traffic*> accounts = {};  // all that know of this connection
    };

    // Ids tell in their low bits at which descriptor to look.
    static constexpr unsigned fd_bits = 24;
    static std::size_t place(Id id) { return static_cast<std::size_t>(id & ((Id{1} << fd_bits) - 1)); }
    Client* find(Id id) const;
    Client* find_taker(Id id);

    void accept_clients();
    void pause_accepting(bool for_a_second);
    void serve(Client& client);
    void take_requests(Client& client);
    void answer(Client& client);
    void open(Client& client);
    void refuse(Client& client, int status, const std::string& reason);
    bool is_our_host(const HttpHead& head) const;
    void send_file(Client& client, const std::string& path);
    void put_head(Client& client, const HttpResponse& response, const std::string& length);
    void answered(Client& client);
    void take_frames(Client& client, char* bytes, std::size_t count);
    void collect(Client& client);
    void put(Client& client, std::string_view bytes);
    bool send_some(Client& client);
    void flush(Client& client);
    void leave(Client& client);
    void drop(Client& client);
    void watch_as_needed(Client& client);
    void expire();
    std::int64_t deadline(const Client& client) const;
    void run_timers();
    void stop();

    Settings settings_;
    Handlers handlers_;
    int listener_;
    EventLoop loop_;
    std::vector<std::unique_ptr<Client>> clients_;  // by descriptor
    std::size_t connected_ = 0;
    Id last_ = 0;
    bool accepting_ = true;
    bool stopping_ = false;
    std::int64_t now_ = 0;
    std::multimap<std::int64_t, std::function<void()>> timers_;
    struct Watched {
        std::shared_ptr<Ready> ready;
        bool reading = true, writing = false;
    };
    std::map<int, Watched> watched_;
    std::vector<Id> dirty_;
    std::vector<char> arrived_;  // shared: bytes are worked on where they arrive
    Buffer said_;                // shared: what a connection wants to be sent, until it is queued
};

// ---- In the program's words

/// The reason phrase of a status (RFC 9110, section 15).
inline const char* reason_phrase(int status) {
    switch (status) {
        case 200:
            return "OK";
        case 204:
            return "No Content";
        case 304:
            return "Not Modified";
        case 400:
            return "Bad Request";
        case 403:
            return "Forbidden";
        case 404:
            return "Not Found";
        case 405:
            return "Method Not Allowed";
        case 408:
            return "Request Timeout";
        case 421:
            return "Misdirected Request";
        case 503:
            return "Service Unavailable";
        default:
            return "Status";
    }
}

/// The value of a name in a query string, "a=1&b=2", as it stands there; nothing if it is not in it.
inline std::optional<std::string> query_value(std::string_view query, std::string_view name) {
    while (!query.empty()) {
        const std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(pair.size() + 1, query.size()));
        if (const std::size_t equals = pair.find('='); pair.substr(0, equals) == name)
            return std::string(equals == std::string_view::npos ? "" : pair.substr(equals + 1));
    }
    return {};
}

inline std::int64_t steady_milliseconds() {
    using namespace std::chrono;
    return duration_cast<milliseconds>(steady_clock::now().time_since_epoch()).count();
}

inline WebServer::WebServer(int listener, Settings settings, Handlers handlers)
    : settings_(std::move(settings)),
      handlers_(std::move(handlers)),
      listener_(listener),
      now_(steady_milliseconds()),
      arrived_(std::size_t{64} << 10U) {
    CALL(fcntl(listener_, F_SETFL, O_NONBLOCK));
    loop_.add(listener_);
}

inline WebServer::Client* WebServer::find(Id id) const {
    const std::size_t fd = place(id);
    Client* client = fd < clients_.size() ? clients_[fd].get() : nullptr;
    return client != nullptr && client->id == id ? client : nullptr;
}

inline EncodedMessage::EncodedMessage(Opcode kind, std::string_view payload) : opcode(kind) {
    std::array<char, most_header_bytes> bytes;
    header = write_header({.opcode = kind, .length = payload.size()}, bytes.data());
    frame.reserve(header + payload.size());
    frame.append(bytes.data(), header).append(payload);
}

/// A client that still takes messages: not one that is being closed, nor one that has let its queue fill up, which is
/// closed now.
inline WebServer::Client* WebServer::find_taker(Id id) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::websocket || client->peer->close_sent()) return nullptr;
    // A round that says much fills a queue that nobody has tried to send yet. What is wrong with a connection that
    // turns out to be broken is found at the round's end.
    if (client->unsent.size() > settings_.queue_bytes && !client->waited) send_some(*client);
    if (client->unsent.size() <= settings_.queue_bytes) return client;
    close(id, close_code::try_again_later, "too slow");
    return nullptr;
}

inline bool WebServer::send(Id id, Opcode opcode, std::string_view payload) {
    Client* client = find_taker(id);
    if (client == nullptr) return false;
    client->peer->send(opcode, payload);
    collect(*client);
    return true;
}

inline bool WebServer::send(Id id, const EncodedMessage& message) {
    Client* client = find_taker(id);
    if (client == nullptr) return false;
    if (client->peer->compresses()) {
        client->peer->send(message.opcode, message.payload());
        collect(*client);
    } else {
        put(*client, message.frame);
    }
    return true;
}

inline void WebServer::ping(Id id, std::string_view payload) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::websocket) return;
    client->peer->ping(payload);
    collect(*client);
}

inline void WebServer::close(Id id, std::uint16_t code, std::string_view reason) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::websocket) return;
    client->peer->close(code, reason);
    client->since = now_;
    collect(*client);
}

inline void WebServer::cut(Id id) {
    // Not now: the caller may be in the middle of a round over all clients.
    after(0, [this, id] {
        if (Client* client = find(id)) drop(*client);
    });
}

inline void WebServer::pause(Id id, bool paused) {
    Client* client = find(id);
    if (client == nullptr) return;
    client->paused = paused;
    watch_as_needed(*client);
}

inline void WebServer::respond(Id id, const HttpResponse& response) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::answering) return;
    put_head(*client, response, fmt::format("Content-Length: {}\r\n", response.body.size()));
    if (!client->head_only) put(*client, response.body);
    answered(*client);
}

inline void WebServer::begin_stream(Id id, const HttpResponse& response) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::answering) return;
    client->chunked = client->reader.head().first_line.ends_with("1.1");
    if (!client->chunked) client->keep_alive = false;
    put_head(*client, response, client->chunked ? "Transfer-Encoding: chunked\r\n" : "");
    if (client->head_only) return answered(*client);
    client->phase = Phase::streaming;
    stream(id, response.body);
}

inline void WebServer::stream(Id id, std::string_view bytes) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::streaming || bytes.empty()) return;
    if (client->unsent.size() > settings_.queue_bytes) return cut(id);
    put(*client, client->chunked ? fmt::format("{:x}\r\n{}\r\n", bytes.size(), bytes) : std::string(bytes));
}

inline void WebServer::end_stream(Id id) {
    Client* client = find(id);
    if (client == nullptr || client->phase != Phase::streaming) return;
    if (client->chunked) put(*client, "0\r\n\r\n");
    answered(*client);
}

inline std::size_t WebServer::unsent(Id id) const {
    const Client* client = find(id);
    return client == nullptr ? 0 : client->unsent.size();
}

inline Traffic WebServer::traffic(Id id) const {
    const Client* client = find(id);
    return client == nullptr ? Traffic{} : client->traffic;
}

inline void WebServer::charge(Id id, Traffic& account) {
    Client* client = find(id);
    if (client == nullptr) return;
    client->account = &account;
    account.received += client->request_bytes;
    ++account.requests;
    if (std::find(client->accounts.begin(), client->accounts.end(), &account) != client->accounts.end()) return;
    client->accounts.push_back(&account);
    ++account.connections;
}

inline Address WebServer::address(Id id) const {
    Address address;
    if (const Client* client = find(id); client != nullptr)
        TRY(getpeername(client->fd, address.out(), address.out_length()));
    return address;
}

inline void WebServer::after(std::int64_t milliseconds, std::function<void()> function) {
    timers_.emplace(now_ + milliseconds, std::move(function));
}

inline void WebServer::watch(int fd, Ready ready) {
    loop_.add(fd);
    watched_[fd] = {std::make_shared<Ready>(std::move(ready))};
}

inline void WebServer::watch_for(int fd, bool reading, bool writing) {
    const auto found = watched_.find(fd);
    if (found == watched_.end()) return;
    Watched& watched = found->second;
    if (watched.reading == reading && watched.writing == writing) return;
    loop_.change(fd, watched.reading, watched.writing, reading, writing);
    watched.reading = reading;
    watched.writing = writing;
}

inline void WebServer::forget(int fd) { watched_.erase(fd); }

// ---- The rounds

inline void WebServer::run(int stop_fd) {
    loop_.add(stop_fd);
    std::int64_t next_look = now_ + 1000;  // once a second is often enough for time limits of seconds
    while (!stopping_ || connected_ > 0) {
        const std::int64_t next = timers_.empty() ? next_look : std::min(next_look, timers_.begin()->first);
        const auto ready =
            loop_.wait(static_cast<int>(std::clamp<std::int64_t>(next - steady_milliseconds(), 0, 1000)));
        now_ = steady_milliseconds();
        for (const EventLoop::Ready& one : ready) {
            if (one.fd == listener_) {
                accept_clients();
            } else if (one.fd == stop_fd) {
                loop_.change(stop_fd, true, false, false, false);
                stop();
            } else if (const auto found = watched_.find(one.fd); found != watched_.end()) {
                const auto call = found->second.ready;  // which may forget itself
                (*call)(one.readable, one.writable);
            } else if (static_cast<std::size_t>(one.fd) < clients_.size()) {
                Client* client = clients_[static_cast<std::size_t>(one.fd)].get();
                if (client == nullptr) continue;
                const Id id = client->id;
                try {
                    if (one.writable) flush(*client);
                    if (one.readable && find(id) != nullptr) serve(*client);
                } catch (const SocketError&) {  // reset, for instance: no more than any client may do
                    if (find(id) != nullptr) drop(*client);
                }
            }
        }
        run_timers();
        if (now_ >= next_look) {
            next_look = now_ + 1000;
            expire();
        }
        // Whom the handlers have said something. Those who leave meanwhile may be talked about, too: so the list grows.
        for (std::size_t i = 0; i < dirty_.size(); ++i) {
            Client* client = find(dirty_[i]);
            if (client == nullptr) continue;
            client->dirty = false;
            try {
                flush(*client);
            } catch (const SocketError&) {
                if (Client* still = find(dirty_[i])) drop(*still);
            }
        }
        dirty_.clear();
    }
}

inline void WebServer::run_timers() {
    while (!timers_.empty() && timers_.begin()->first <= now_) {
        const auto function = std::move(timers_.begin()->second);
        timers_.erase(timers_.begin());
        function();
    }
}

inline void WebServer::stop() {
    stopping_ = true;
    if (accepting_) loop_.change(listener_, true, false, false, false);
    accepting_ = false;
    for (std::size_t fd = 0; fd < clients_.size(); ++fd) {  // an index, since handlers are called meanwhile
        Client* client = clients_[fd].get();
        if (client == nullptr) continue;
        if (client->phase == Phase::websocket) {
            close(client->id, close_code::going_away, "the server ends");
        } else if (client->phase == Phase::streaming) {
            end_stream(client->id);
        } else {
            drop(*client);
        }
        if (Client* still = clients_[fd].get()) still->keep_alive = false;
    }
}

// ---- Clients come

inline void WebServer::pause_accepting(bool for_a_second) {
    accepting_ = false;
    loop_.change(listener_, true, false, false, false);
    if (!for_a_second) return;  // until somebody leaves: see drop()
    after(1000, [this] {
        if (accepting_ || stopping_) return;
        accepting_ = true;
        loop_.change(listener_, false, false, true, false);
    });
}

inline void WebServer::accept_clients() {
    for (int i = 0; i < 64; ++i) {  // then let those be served who are here already
        if (connected_ >= static_cast<std::size_t>(settings_.connections)) return pause_accepting(false);
        const int fd = TRY(accept(listener_, nullptr, nullptr));
        if (fd == -1) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                fmt::print(stderr, "no new clients for now: {}\n", describe_error(errno));
                pause_accepting(true);
            }
            return;
        }
        const int on = 1;
        TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
        TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
        // Answers are sent whole: nothing is gained by waiting for more (tcp(7)), and much is lost.
        TRY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
        if (const int bytes = settings_.kernel_bytes; bytes > 0)
            TRY(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes));
        if (clients_.size() <= static_cast<std::size_t>(fd)) clients_.resize(static_cast<std::size_t>(fd) + 1);
        const Id id = ++last_ << fd_bits | static_cast<Id>(fd);
        auto& client = clients_[static_cast<std::size_t>(fd)];
        client = std::make_unique<Client>(Client{.id = id, .fd = fd, .since = now_});
        ++connected_;
        try {
            loop_.add(fd);
        } catch (const SocketError& error) {
            complain(error);
            drop(*client);
        }
    }
}

// ---- They say something

inline void WebServer::serve(Client& client) {
    const ssize_t received = TRY(recv(client.fd, arrived_.data(), arrived_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (received == 0 && client.phase != Phase::websocket && !client.unsent.empty()) {
        client.ended = true;  // as it may be behind requests: they are answered first
        if (client.phase == Phase::request && !client.input.empty()) return watch_as_needed(client);
        return leave(client);
    }
    if (received <= 0) {
        if (client.peer) client.peer->end_of_input();
        return drop(client);
    }
    const auto count = static_cast<std::size_t>(received);
    client.traffic.received += count;
    if (client.peer && client.account != nullptr) client.account->received += count;
    if (client.phase == Phase::leaving) return;
    if (client.phase == Phase::websocket) {
        if (client.unsent.empty() && !client.peer->close_sent()) client.since = now_;
        client.asked = false;
        return take_frames(client, arrived_.data(), count);
    }
    client.input.append(arrived_.data(), count);
    // One that does not wait for its answers is not read without end.
    if (client.input.size() > arrived_.size() + HttpHeadReader::most_bytes) return drop(client);
    take_requests(client);
}

/// Requests may come faster than they are answered (pipelining): each waits until the answer to the one before has gone
/// out, so that one who asks and does not read costs no more than one answer.
inline void WebServer::take_requests(Client& client) {
    const Id id = client.id;
    while (find(id) != nullptr && client.phase == Phase::request && !client.input.empty() && client.unsent.empty()) {
        std::string_view rest = std::string_view(client.input).substr(client.looked_at);
        const auto status = client.reader.take(rest);
        client.looked_at = client.input.size() - rest.size();
        if (status == HttpHeadReader::Status::incomplete) return;
        ++client.traffic.requests;
        client.request_bytes = client.looked_at;
        client.account = nullptr;
        if (status != HttpHeadReader::Status::complete || client.reader.head().count("upgrade") > 0)
            return open(client);
        client.input.erase(0, client.looked_at);
        client.looked_at = 0;
        answer(client);
    }
}

/// Lets the WebSocket handshake decide, also about what is no request at all.
inline void WebServer::open(Client& client) {
    const bool ours = is_our_host(client.reader.head());
    ServerHandshake handshake(settings_.policy);
    std::string_view rest = client.input;
    const auto status = handshake.take(rest);
    if (status == ServerHandshake::Status::accepted && !ours) return refuse(client, 421, "Host is another one");
    put(client, handshake.response());
    if (status != ServerHandshake::Status::accepted) return leave(client);
    client.request_bytes = client.input.size();
    client.agreement = handshake.agreement();
    client.peer.emplace(Role::server, said_, settings_.limits, client.agreement.deflate);
    client.phase = Phase::websocket;
    client.since = now_;
    std::string frames(rest);  // what came behind the request are the first frames
    client.input = {};
    const Id id = client.id;
    if (handlers_.opened) handlers_.opened(id);
    if (find(id) != nullptr && !frames.empty()) take_frames(client, frames.data(), frames.size());
}

/// An address, localhost, or the name that we were given, with any port.
inline bool WebServer::is_our_host(const HttpHead& head) const {
    const std::string* value = head.find("host");
    if (value == nullptr || head.count("host") != 1) return false;
    std::string host = value->substr(0, value->rfind(':') > value->rfind(']') + 1 ? value->rfind(':') : value->size());
    if (!value->empty() && value->front() == '[') {
        const std::size_t end = value->find(']');
        if (end == std::string::npos) return false;
        host = value->substr(1, end - 1);
    }
    std::transform(host.begin(), host.end(), host.begin(),
                   [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; });
    in6_addr address{};
    return host == "localhost" || (!settings_.host.empty() && host == settings_.host) ||
           inet_pton(AF_INET, host.c_str(), &address) == 1 || inet_pton(AF_INET6, host.c_str(), &address) == 1;
}

inline void WebServer::answer(Client& client) {
    const HttpHead& head = client.reader.head();
    const std::string& line = head.first_line;  // "GET /path HTTP/1.1"
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    const std::string version = last == std::string::npos ? "" : line.substr(last + 1);
    client.phase = Phase::answering;
    client.head_only = false;
    if (first == last || last - first < 2 || line[first + 1] != '/' ||
        std::any_of(line.begin() + static_cast<long>(first) + 1, line.begin() + static_cast<long>(last),
                    [](char c) { return c <= ' ' || c == 0x7F; }) ||
        (version != "HTTP/1.1" && version != "HTTP/1.0")) {
        return refuse(client, 400, "no such request line: " + escaped(line.substr(0, 80)));
    }
    const std::string method = line.substr(0, first);
    const std::string target = line.substr(first + 1, last - first - 1);
    const std::string* length = head.find("content-length");
    if (head.count("transfer-encoding") > 0 || (length != nullptr && *length != "0"))
        return refuse(client, 400, "a body is not expected");
    if (!is_our_host(head)) return refuse(client, 421, "Host is another one");
    const std::vector<std::string> connection = head.list("connection");
    const auto has = [&](const char* option) {
        return std::any_of(connection.begin(), connection.end(),
                           [&](const std::string& one) { return strcasecmp(one.c_str(), option) == 0; });
    };
    client.keep_alive = version == "HTTP/1.1" && !has("close") && !stopping_;
    client.head_only = method == "HEAD";
    if (method != "GET" && method != "HEAD") {
        return respond(client.id, {405, "text/plain; charset=utf-8", "only GET and HEAD\n", {{"Allow", "GET, HEAD"}}});
    }
    const std::size_t mark = target.find('?');
    const HttpRequest request{target.substr(0, mark), mark == std::string::npos ? "" : target.substr(mark + 1), head};
    const Id id = client.id;
    if (handlers_.request && handlers_.request(id, request)) return;
    if (find(id) != nullptr) send_file(client, request.path);
}

inline void WebServer::refuse(Client& client, int status, const std::string& reason) {
    client.phase = Phase::answering;
    client.keep_alive = false;
    respond(client.id, {status, "text/plain; charset=utf-8", reason + "\n"});
}

/// A file of the page: a plain name with an ending that is known, and so none outside of the folder.
inline void WebServer::send_file(Client& client, const std::string& path) {
    static const std::map<std::string, std::string> types{{".html", "text/html; charset=utf-8"},
                                                          {".css", "text/css; charset=utf-8"},
                                                          {".js", "text/javascript; charset=utf-8"},
                                                          {".svg", "image/svg+xml"}};
    const std::string name = path == "/" ? settings_.front_page : path.substr(1);
    const std::size_t dot = name.rfind('.');
    const auto type = types.find(dot == std::string::npos ? "" : name.substr(dot));
    const bool plain = std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
    });
    if (!plain || name.empty() || name.front() == '.' || type == types.end())
        return respond(client.id, {404, "text/plain; charset=utf-8", "there is no such page\n"});
    std::ifstream file(settings_.page_folder + "/" + name, std::ios::binary);
    if (!file) {
        return respond(client.id,
                       {404, "text/plain; charset=utf-8",
                        fmt::format("there is no {} in {}: is this server started in the folder of the project?\n",
                                    name, settings_.page_folder)});
    }
    std::string body{std::istreambuf_iterator<char>(file), {}};
    // Nothing from elsewhere, no script in the page itself, and not within another page.
    const std::string* host = client.reader.head().find("host");
    const std::string policy = fmt::format(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self' "
        "ws://{}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        *host);
    respond(client.id, {200, type->second, std::move(body), {{"Content-Security-Policy", policy}}});
}

inline void WebServer::put_head(Client& client, const HttpResponse& response, const std::string& length) {
    std::array<char, 64> date{};
    const std::time_t seconds = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&seconds, &parts);
    const std::size_t size = std::strftime(date.data(), date.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
    std::string head = fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason_phrase(response.status),
                                   std::string_view(date.data(), size));
    // These two have no body, and say nothing of one (RFC 9110, sections 8.6, 15.3.5 and 15.4.5).
    if (response.status != 204 && response.status != 304)
        head += fmt::format("Content-Type: {}\r\n{}", response.type, length);
    head += "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n";
    for (const auto& [name, value] : response.fields)
        head += name + ": " + value + "\r\n";
    if (!client.keep_alive) head += "Connection: close\r\n";
    put(client, head + "\r\n");
}

/// The answer is complete: the next request, or the end.
inline void WebServer::answered(Client& client) {
    client.since = now_;
    client.reader = {};
    if (!client.keep_alive) return leave(client);
    client.phase = Phase::request;  // flush() looks for it
}

inline void WebServer::take_frames(Client& client, char* bytes, std::size_t count) {
    const Id id = client.id;
    client.peer->receive(bytes, count);
    while (const auto event = client.peer->next()) {
        collect(client);
        if (event->opcode == Opcode::pong) {
            if (handlers_.pong) handlers_.pong(id, event->payload);
        } else if (event->opcode == Opcode::text || event->opcode == Opcode::binary) {
            if (handlers_.message) handlers_.message(id, event->opcode, event->payload);
        }
        if (find(id) == nullptr) return;
    }
    collect(client);
    if (client.peer->finished()) leave(client);
}

// ---- They are answered

/// Queues what a connection has just said.
inline void WebServer::collect(Client& client) {
    put(client, said_.view());
    said_.clear();
}

inline void WebServer::put(Client& client, std::string_view bytes) {
    if (bytes.empty()) return;
    if (client.unsent.empty()) client.since = now_;
    client.unsent.append(bytes);
    if (client.dirty) return;
    client.dirty = true;
    dirty_.push_back(client.id);
}

/// As much of its queue as the kernel takes. False: the connection is broken.
inline bool WebServer::send_some(Client& client) {
    const ssize_t sent = TRY(::send(client.fd, client.unsent.data(), client.unsent.size(), 0));
    if (sent == -1 && errno != EAGAIN && errno != EINTR) return false;
    if (sent > 0) {
        client.traffic.sent += static_cast<std::uint64_t>(sent);
        if (client.account != nullptr) client.account->sent += static_cast<std::uint64_t>(sent);
        client.unsent.drop_front(static_cast<std::size_t>(sent));
        // Who is being closed has so much time for all that is left of its queue; others for a part of it.
        if (client.phase != Phase::websocket || !client.peer->close_sent()) client.since = now_;
    }
    if (!client.unsent.empty()) client.waited = true;
    return true;
}

inline void WebServer::flush(Client& client) {
    const Id id = client.id;
    if (!client.unsent.empty() && !send_some(client)) return drop(client);
    const bool drained = client.waited && client.unsent.empty();
    if (drained) client.waited = false;
    // What was needed once, for much, is not kept for each of ten thousand.
    if (client.unsent.empty() && (drained || client.unsent.capacity() > 4096)) client.unsent.release();
    watch_as_needed(client);
    if (find(id) == nullptr) return;
    if (drained && handlers_.drained && client.phase != Phase::leaving) handlers_.drained(id);
    if (find(id) == nullptr || client.phase != Phase::request || !client.unsent.empty()) return;
    take_requests(client);
    if (find(id) != nullptr && client.phase == Phase::request && client.ended && client.unsent.empty()) drop(client);
}

/// Watches for room to write only while something is unsent. Where our side is to end, it does so behind the last byte.
inline void WebServer::watch_as_needed(Client& client) {
    const bool writing = client.waited && !client.unsent.empty();
    const bool reading = !client.paused && !client.ended;
    if (writing != client.writing || reading != client.reading) {
        loop_.change(client.fd, client.reading, client.writing, reading, writing);
        client.reading = reading;
        client.writing = writing;
    }
    if (client.phase != Phase::leaving || !client.unsent.empty()) return;
    if (client.ended) return drop(client);
    if (!client.shut) TRY(shutdown(client.fd, SHUT_WR));
    client.shut = true;
}

// ---- They go

/// Ends our side behind what is queued. Closing at once, with bytes unread, would make it an RST that can overtake
/// them.
inline void WebServer::leave(Client& client) {
    const bool open = client.phase == Phase::websocket;
    const bool unanswered = client.phase == Phase::answering || client.phase == Phase::streaming;
    client.phase = Phase::leaving;
    client.paused = false;
    client.since = now_;
    if (!client.dirty) {
        client.dirty = true;  // flush() will end it
        dirty_.push_back(client.id);
    }
    if (open && handlers_.closed) handlers_.closed(client.id, client.peer->closing());
    if (unanswered && client.ended && handlers_.gone) handlers_.gone(client.id);
}

inline void WebServer::drop(Client& client) {
    const std::unique_ptr<Client> last = std::move(clients_[static_cast<std::size_t>(client.fd)]);
    TRY(::close(last->fd));
    --connected_;
    if (!accepting_ && !stopping_) {
        accepting_ = true;
        loop_.change(listener_, false, false, true, false);
    }
    if (last->phase == Phase::websocket && handlers_.closed) handlers_.closed(last->id, last->peer->closing());
    if ((last->phase == Phase::answering || last->phase == Phase::streaming) && handlers_.gone)
        handlers_.gone(last->id);
}

// ---- Time

/// When its patience with a client ends, by what we wait for. Setting `since` puts it off.
inline std::int64_t WebServer::deadline(const Client& client) const {
    const auto after = [&](long seconds) { return client.since + 1000 * seconds; };
    if (client.phase == Phase::leaving) return after(client.unsent.empty() ? 1 : settings_.pong_seconds);
    if (!client.unsent.empty()) return after(settings_.pong_seconds);
    if (client.phase == Phase::request) return after(settings_.request_seconds);
    if (client.phase != Phase::websocket) return INT64_MAX;  // the program's time
    if (client.peer->close_sent()) return after(settings_.closing_seconds);
    if (client.paused) return INT64_MAX;  // and here, too
    return after(client.asked ? settings_.pong_seconds : settings_.idle_seconds);
}

inline void WebServer::expire() {
    for (std::size_t fd = 0; fd < clients_.size(); ++fd) {  // an index, since handlers are called meanwhile
        Client* client = clients_[fd].get();
        if (client == nullptr || deadline(*client) > now_) continue;
        if (client->phase == Phase::request && !client->input.empty() && client->unsent.empty()) {
            refuse(*client, 408, "the request was not complete in time");
        } else if (client->phase == Phase::websocket && !client->asked && client->unsent.empty() &&
                   !client->peer->close_sent()) {
            client->asked = true;
            client->since = now_;
            client->peer->ping();
            collect(*client);
        } else {
            drop(*client);
        }
    }
}

}  // namespace websocket
