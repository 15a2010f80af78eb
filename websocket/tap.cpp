// WebSocket tap: stands between any client and any WebSocket server, and shows what the browser's developer tools
// hide: the handshake, each frame as it was on the wire, its mask, fragments, compression, pings, and who closes.
//
//     terminal 1:  build/websocket/echo_server                                    (or a server of your own)
//     terminal 2:  build/websocket/tap --listen 7001 --to 127.0.0.1:7000 --page 7002
//     terminal 3:  build/websocket/echo_client --port 7001
//     and a browser:  http://127.0.0.1:7002/
//
// Every byte passes as it is, also what breaks the rules, or is no WebSocket: the thread of the traffic (here) reads
// and writes, and hands a copy of what it read to another, which tells what that was (protocol/observer.hpp). So
// nobody who looks can make the traffic wait: not a terminal that is stopped by Ctrl-S, and not a slow browser.
// Try it: a page of your own, opened by way of the tap (http://127.0.0.1:7001/), since it names its server by its own
// address; build/websocket/frames --raw ... | ncat 127.0.0.1 7001; kill -9 of either side, and see what the other gets.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "websocket/tap_provoke.hpp"
#include "websocket/tap_record.hpp"
#include "websocket/tap_watch.hpp"
#include "websocket/web_server.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <deque>
#include <fstream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;

/// What waits for one side before the other side is not read any more.
constexpr std::size_t queue_limit = std::size_t{256} << 10U;
/// Of one recv(): it is to fit into one packet of a file.
constexpr std::size_t most_at_once = 61'440;

struct Settings {
    std::string to = "127.0.0.1:7000";
    std::vector<Address> targets;
    long connections = 1000;
    long idle = 3600;
    TextWishes wishes;
    bool quiet = false;
    std::optional<std::string> read, save, pcap, page;
    std::string page_folder = "websocket/page";
};

std::int64_t microseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::microseconds>(system_clock::now().time_since_epoch()).count();
}

// ---- The traffic

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
    Forwarder(int listener, const Settings& settings, Mailbox& mailbox)
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

    const Settings& settings_;
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
void Forwarder::tell(Link& link, Happening::Kind kind, Side from, std::string_view bytes) {
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

void Forwarder::accept_clients() {
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

void Forwarder::adopt(std::shared_ptr<Link> link, int fd) {
    if (links_.size() <= static_cast<std::size_t>(fd)) links_.resize(static_cast<std::size_t>(fd) + 1);
    links_[static_cast<std::size_t>(fd)] = std::move(link);
    loop_.add(fd);
}

/// Tries the server's next address, without waiting. False: there is none left.
bool Forwarder::connect_next(Link& link) {
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
void Forwarder::finish_connecting(Link& link) {
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

void Forwarder::step(const std::shared_ptr<Link>& link, Side side, bool readable, bool writable) {
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
bool Forwarder::receive(Link& link, Side from) {
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
bool Forwarder::send_on(Link& link, Side to) {
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
void Forwarder::lose(Link& link, Side side) {
    if (std::exchange(link.gone[side], true)) return;
    link.to[side].release();
    while (link.fd[side] != -1 && receive(link, side)) {
    }
    if (link.fd[side] != -1) reset(link, side);
}

/// Each side is read only as long as the other takes it: so a slow one slows its peer down, by way of both TCP windows,
/// instead of filling our memory.
void Forwarder::watch(Link& link, Side side) {
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
void Forwarder::reset(Link& link, Side by) {
    tell(link, Happening::Kind::reset, by);
    drop(link, true);
}

/// Closes both sides; by RST, which SO_LINGER with no time makes of it (socket(7)), or by what FIN there was.
void Forwarder::drop(Link& link, bool by_reset) {
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

void Forwarder::listen_again(bool accepting) {
    if (accepting_ == accepting) return;
    loop_.change(listener_, accepting_, false, accepting, false);
    accepting_ = accepting;
}

void Forwarder::expire() {
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

void Forwarder::drop_all() {
    accept_again_ = INT64_MAX;
    for (std::size_t fd = 0; fd < links_.size(); ++fd) {
        if (const std::shared_ptr<Link> link = links_[fd]) drop(*link, false);
    }
}

void Forwarder::run(int stop) {
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

// ---- Those who look

/// Where records go: the terminal, files, and pages.
class Outputs {
public:
    explicit Outputs(const Settings& settings) : settings_(settings) {
        const auto create = [](const std::optional<std::string>& path) {
            return path ? CALL(open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) : -1;
        };
        lines_ = create(settings.save);
        packets_ = create(settings.pcap);
        if (packets_ != -1) write_all(packets_, PcapWriter::head());
    }
    ~Outputs() {
        for (const int fd : {lines_, packets_})
            if (fd != -1) ::close(fd);
    }
    Outputs(const Outputs&) = delete;
    Outputs& operator=(const Outputs&) = delete;

    void take(const Happening& happening) {
        if (packets_ != -1) waiting_packets_ += writer_.take(happening);
        if (waiting_packets_.size() > 1'000'000) flush();
    }

    void tell(const Record& record, const std::string& json) {
        if (begin_ == 0) begin_ = record.time;
        if (!settings_.quiet) waiting_text_ += text_of(record, begin_, settings_.wishes);
        if (lines_ != -1) waiting_lines_ += json + "\n";
        if (waiting_text_.size() + waiting_lines_.size() > 1'000'000) flush();
    }

    bool wants_json() const { return lines_ != -1; }

    /// To be called whenever there is time: nothing is left over then.
    void flush() {
        const auto write = [](int fd, std::string& waiting) {
            if (fd != -1 && !waiting.empty()) write_all(fd, waiting);
            waiting.clear();
        };
        write(lines_, waiting_lines_);
        write(packets_, waiting_packets_);
        write(STDOUT_FILENO, waiting_text_);
    }

private:
    const Settings& settings_;
    int lines_ = -1, packets_ = -1;
    PcapWriter writer_;
    std::int64_t begin_ = 0;
    std::string waiting_text_, waiting_lines_, waiting_packets_;
};

/// The pages, and their server. A page that does not keep up misses records, and is told how many.
class Pages {
public:
    static constexpr std::size_t most_history = std::size_t{4} << 20U;
    static constexpr std::size_t most_unsent = std::size_t{1} << 20U;
    static constexpr std::size_t most_of_a_piece = std::size_t{1} << 20U;    // of a file
    static constexpr std::size_t most_of_an_answer = std::size_t{8} << 20U;  // to that

    /// here: where the tap itself listens.
    Pages(int listener, const Settings& settings, const std::string& host, const Address& here)
        : provoker_(here, settings.to),
          server_(
              listener, web_settings(settings, host),
              {.opened = [this](WebServer::Id id) { open(id); },
               .message = [this](WebServer::Id id, Opcode opcode, std::string_view bytes) { take(id, opcode, bytes); },
               .pong = {},
               .closed =
                   [this](WebServer::Id id, const Closing&) {
                       missed_.erase(id);
                       files_.erase(id);
                   },
               .request = [this](WebServer::Id id, const HttpRequest& request) { return download(id, request); },
               .gone = {},
               .drained = {}}) {
        server_.watch(provoker_.fd(), [this](bool, bool) {
            const auto answer = provoker_.end();
            if (answer && missed_.count(answer->page) > 0) server_.send(answer->page, Opcode::text, answer->json);
        });
    }

    WebServer& server() { return server_; }
    Kept& kept() { return kept_; }

    void tell(const std::string& json) {
        history_.push_back(json);
        history_bytes_ += json.size();
        while (history_bytes_ > most_history) {
            history_bytes_ -= history_.front().size();
            history_.pop_front();
        }
        if (missed_.empty()) return;
        batch_ += json;
        batch_ += '\n';
        ++batched_;
        if (batch_.size() > 100'000) flush();
    }

    /// Sends what has gathered.
    void flush() {
        if (batch_.empty()) return;
        for (auto& [id, missed] : missed_) {
            if (server_.unsent(id) > most_unsent) {
                missed += batched_;
                continue;
            }
            if (missed > 0) server_.send(id, Opcode::text, lost(missed));
            missed = 0;
            server_.send(id, Opcode::text, batch_);
        }
        batch_.clear();
        batched_ = 0;
    }

private:
    static WebServer::Settings web_settings(const Settings& settings, const std::string& host) {
        WebServer::Settings web;
        web.front_page = "tap.html";
        web.page_folder = settings.page_folder;
        web.host = host;
        web.connections = 100;
        web.kernel_bytes = 1 << 18;  // or the kernel would hold megabytes of what is old by then
        web.limits.message_bytes = most_of_a_piece;
        web.queue_bytes = std::size_t{64} << 20U;  // flush() stops long before
        return web;
    }

    static std::string lost(std::uint64_t count) { return fmt::format("{{\"kind\":\"lost\",\"count\":{}}}\n", count); }

    void open(WebServer::Id id) {
        flush();
        missed_[id] = 0;
        std::string text;
        for (const std::string& json : history_)
            text += json + "\n";
        if (!text.empty()) server_.send(id, Opcode::text, text);
    }

    /// A text asks for a bad frame on purpose; it is a page of ours that asks, as the handshake has made sure. Or it
    /// says that pieces of a file follow: {"load": NUMBER}.
    void take(WebServer::Id id, Opcode opcode, std::string_view bytes) {
        if (opcode == Opcode::binary) return read_piece(id, bytes);
        const nlohmann::json wish = nlohmann::json::parse(bytes, nullptr, false);
        if (wish.is_object() && wish.contains("load") && wish.at("load").is_number_unsigned()) {
            files_[id] = std::make_unique<File>(wish.at("load").get<std::uint64_t>());
            return;
        }
        const std::string trouble = provoker_.begin(id, wish);
        if (!trouble.empty()) server_.send(id, Opcode::text, Provoker::failed(trouble));
    }

    /// A file of packets, which a page can't take apart: it sends a piece, gets the records, and sends the next one. An
    /// empty piece is the end of the file.
    struct File {
        explicit File(std::uint64_t number_of_page) : number(number_of_page) {}
        std::uint64_t number;
        std::string text;
        std::uint64_t surplus = 0;
        Desk desk{[this](const Record& record) {
            if (text.size() > most_of_an_answer) {
                ++surplus;
            } else {
                text += json_of(record) + "\n";
            }
        }};
        PcapReader reader{[this](Happening&& happening) { desk.take(happening); }};
    };

    void read_piece(WebServer::Id id, std::string_view bytes) {
        const auto found = files_.find(id);
        if (found == files_.end()) return;
        File& file = *found->second;
        nlohmann::json answer{{"kind", "file"}, {"load", file.number}, {"end", bytes.empty()}};
        try {
            if (bytes.empty()) {
                file.reader.end();
            } else {
                file.reader.take(bytes);
            }
        } catch (const std::runtime_error& error) {
            answer["error"] = error.what();
            answer["end"] = true;
        }
        std::string text = answer.dump() + "\n" + std::exchange(file.text, "");
        if (file.surplus > 0) text += lost(std::exchange(file.surplus, 0));
        server_.send(id, Opcode::text, text);
        if (answer.at("end") == true) files_.erase(found);
    }

    bool download(WebServer::Id id, const HttpRequest& request) {
        if (request.path == "/provocations") {
            server_.respond(id, {200, "application/json", Provoker::list(), {}});
            return true;
        }
        if (request.path != "/tap.pcap") return false;
        server_.respond(id, {200,
                             "application/vnd.tcpdump.pcap",
                             kept_.as_pcap(),
                             {{"Content-Disposition", "attachment; filename=\"tap.pcap\""}}});
        return true;
    }

    std::map<WebServer::Id, std::uint64_t> missed_;  // by page: records since it was too slow
    std::deque<std::string> history_;                // for pages that come later
    std::size_t history_bytes_ = 0;
    std::string batch_;
    std::uint64_t batched_ = 0;
    std::map<WebServer::Id, std::unique_ptr<File>> files_;  // that pages are sending
    Kept kept_;
    Provoker provoker_;
    WebServer server_;
};

/// What the second thread does: tells apart what has passed. stop: readable when it is to end.
void look(Mailbox& mailbox, Outputs& outputs, Pages* pages, int stop) try {
    Desk desk([&](const Record& record) {
        const std::string json = outputs.wants_json() || pages != nullptr ? json_of(record) : "";
        outputs.tell(record, json);
        if (pages != nullptr) pages->tell(json);
    });
    bool ended = false;
    const auto take_all = [&] {
        for (const Happening& happening : mailbox.take(ended)) {
            outputs.take(happening);
            if (pages != nullptr) pages->kept().keep(happening);
            desk.take(happening);
        }
        outputs.flush();
        if (pages != nullptr) pages->flush();
    };
    if (pages != nullptr) {
        pages->server().watch(mailbox.fd(), [&](bool, bool) {
            try {
                take_all();
            } catch (const std::exception& error) {
                _exit(report_failure(error));
            }
        });
        pages->server().run(stop);
    }
    while (!ended) {
        wait_until_readable(mailbox.fd(), -1);
        take_all();
    }
} catch (const std::exception& error) {
    _exit(report_failure(error));  // not exit(): the other thread is still at work
}

// ---- A file instead

void read_back(const Settings& settings) {
    Outputs outputs(settings);
    std::ifstream in(*settings.read, std::ios::binary);
    if (!in) throw std::runtime_error(fmt::format("--read {}: {}", escaped(*settings.read), describe_error(errno)));
    try {
        if (in.peek() == '{') {
            std::string line;
            for (std::size_t number = 1; std::getline(in, line); ++number) {
                try {
                    const Record record = record_of_json(line);
                    outputs.tell(record, json_of(record));
                } catch (const std::runtime_error& error) {
                    outputs.flush();
                    throw std::runtime_error(fmt::format("line {}: {}", number, error.what()));
                }
            }
        } else {
            Desk desk([&](const Record& record) { outputs.tell(record, json_of(record)); });
            PcapReader([&](Happening&& happening) {
                outputs.take(happening);
                desk.take(happening);
            }).read(in);
        }
    } catch (const SocketError&) {
        throw;
    } catch (const std::runtime_error& error) {
        outputs.flush();
        throw std::runtime_error(fmt::format("--read {}: {}", escaped(*settings.read), error.what()));
    }
    outputs.flush();
}

int listen_at(const Address& address) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    return listener;
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::optional<std::string> listen_port;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket tap: passes on what a client and a server send, and shows what it is.",
         .more = {
             {"listen", "PORT", "the same as --port", &listen_port},
             {"to", "HOST:PORT", "the server", &settings.to},
             {"page", "PORT", "show it to browsers, too, at this port", &settings.page},
             {"brief", nullptr, "messages, control frames and ends alone", &settings.wishes.brief},
             {"bits", nullptr, "frames bit by bit", &settings.wishes.bits},
             {"segments", nullptr, "what each recv() got, also where it is one frame", &settings.wishes.all},
             {"quiet", nullptr, "nothing in the terminal", &settings.quiet},
             {"save", "FILE", "write the records as lines of JSON", &settings.save},
             {"pcap", "FILE", "write the bytes as packets, for Wireshark", &settings.pcap},
             {"read", "FILE", "show such a file, of either kind, instead", &settings.read},
             {"page-folder", "FOLDER", "where the page is", &settings.page_folder},
             {"connections", "N", "at a time; the next ones wait", &settings.connections, 1, 100'000},
             {"idle", "SECONDS", "end a connection on which nothing passes; 0: never", &settings.idle, 0, 86400}}});
    if (settings.read) {
        read_back(settings);
        return 0;
    }
    const long port = listen_port ? parse_number(*listen_port, 0, 65535, "--listen") : options.port;
    std::optional<Address> page_address;
    if (settings.page) {
        const auto page_port = static_cast<std::uint16_t>(parse_number(*settings.page, 0, 65535, "--page"));
        page_address = resolve(options.host, page_port, SOCK_STREAM).front();
    }
    settings.targets = resolve_target(settings.to, "--to", SOCK_STREAM);
    const Address address = resolve(options.host, static_cast<std::uint16_t>(port), SOCK_STREAM).front();
    if (std::count(settings.targets.begin(), settings.targets.end(), address) > 0)
        throw UsageError(fmt::format("--to {}: that is where this program listens itself", escaped(settings.to)));
    raise_descriptor_limit(2 * settings.connections + 100);
    Outputs outputs(settings);
    Mailbox mailbox;
    int stop_looking[2];
    CALL(pipe(stop_looking));

    const int listener = listen_at(address);
    std::unique_ptr<Pages> pages;
    std::string page_line;
    if (page_address) {
        const int page_listener = listen_at(*page_address);
        pages = std::make_unique<Pages>(page_listener, settings, options.host, local_address(listener));
        page_line = fmt::format("the page: http://{}/\n", local_address(page_listener).text());
    }
    Forwarder forwarder(listener, settings, mailbox);
    announce_ready(listener);
    write_all(STDOUT_FILENO, page_line);
    const int stop = stop_descriptor();
    std::thread looking(look, std::ref(mailbox), std::ref(outputs), pages.get(), stop_looking[0]);
    try {
        forwarder.run(stop);
    } catch (const std::exception& error) {
        _exit(report_failure(error));  // the other thread is still at work
    }
    mailbox.end();
    // Closed, it would wake the pages' server without end while they say goodbye.
    if (::write(stop_looking[1], ".", 1) == -1) _exit(1);
    looking.join();
} catch (const std::exception& error) {
    return report_failure(error);
}
