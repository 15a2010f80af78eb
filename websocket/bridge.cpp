// WebSocket bridge: carries a byte stream inside binary messages, so that a page can talk to a server that knows
// nothing of WebSocket. A page may not open a TCP connection or a Unix socket; this does it for the page.
//
//     terminal 1:  build/tcp/chat_server
//     terminal 2:  build/websocket/bridge --port 7001 --to 127.0.0.1:7000        and a browser: http://127.0.0.1:7001/
//
// Each client gets a connection of its own to the one target that the command line names; what a client says never
// decides where it goes. A message is only a piece of the stream: where one ends means nothing, here as with recv().
// Try it: a target that does not read (socat - TCP-LISTEN:7000, stopped by Ctrl-Z), and see that the page can't send
// more than the buffers on the way hold; then what the page sees when you end the target, and when nobody listens
// there.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "websocket/web_server.hpp"

#include <map>
#include <memory>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;
using Id = WebServer::Id;

/// What waits for one side before the other side is not read any more.
constexpr std::size_t queue_limit = std::size_t{256} << 10U;
constexpr long drain_seconds = 5;

/// A client's connection to the target.
struct Link {
    Id client;
    int fd = -1;
    std::size_t next_address = 0;
    bool connecting = true;
    bool client_ended = false;  // it sends no more: an empty message, or Close
    bool shut = false;          // and the target was told
    bool target_ended = false;  // it sends no more
    bool reading = false;       // what the target is watched for
    bool writing = true;
    Buffer to_target = {};  // bytes that the target has not taken yet
    std::uint64_t up = 0, down = 0;
};

class Bridge {
public:
    Bridge(int listener, const WebServer::Settings& settings, std::vector<Address> targets)
        : targets_(std::move(targets)),
          server_(listener, settings,
                  {.opened = [this](Id id) { open(id); },
                   .message = [this](Id id, Opcode opcode, std::string_view bytes) { take(id, opcode, bytes); },
                   .pong = {},
                   .closed = [this](Id id, const Closing&) { client_ended(id); },
                   .request = {},
                   .gone = {},
                   .drained = [this](Id id) { watch(id); }}) {}

    void run(int stop) { server_.run(stop); }

private:
    void open(Id id);
    void connect_next(Link& link);
    void ready(Id id, bool readable, bool writable);
    void take(Id id, Opcode opcode, std::string_view bytes);
    void send_to_target(Link& link);
    void receive_from_target(Link& link);
    void client_ended(Id id);
    void watch(Id id);
    void fail(Link& link, int error);
    void end(Link& link);

    std::vector<Address> targets_;
    std::map<Id, Link> links_;
    std::vector<char> arrived_ = std::vector<char>(std::size_t{64} << 10U);
    WebServer server_;
};

void Bridge::open(Id id) {
    Link& link = links_[id];
    link.client = id;
    fmt::print(stderr, "{} comes\n", escaped(server_.address(id).text()));
    connect_next(link);
}

/// Tries the target's next address, without waiting (connect_timeout.cpp): ready() hears of the outcome.
void Bridge::connect_next(Link& link) {
    const Address& target = targets_[link.next_address++];
    link.fd = TRY(socket(target.family(), SOCK_STREAM, 0));
    if (link.fd == -1) {
        server_.close(link.client, close_code::try_again_later, describe_error(errno));
        links_.erase(link.client);
        return;
    }
    TRY(fcntl(link.fd, F_SETFL, O_NONBLOCK));
    TRY(fcntl(link.fd, F_SETFD, FD_CLOEXEC));
    const int on = 1;
    if (target.family() != AF_UNIX) TRY(setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    const int result = TRY(connect(link.fd, target.get(), target.length()));
    const int error = result == -1 ? errno : 0;
    if (result == -1 && error != EINPROGRESS) {
        TRY(close(link.fd));
        link.fd = -1;
        if (link.next_address < targets_.size()) return connect_next(link);
        // A Unix socket whose queue is full says so at once, where TCP would try again.
        const std::uint16_t code = error == EAGAIN ? close_code::try_again_later : close_code::bad_gateway;
        server_.close(link.client, code, "no connection to the target: " + error_name(error));
        links_.erase(link.client);
        return;
    }
    link.reading = link.writing = true;
    const Id id = link.client;
    try {
        server_.watch(link.fd, [this, id](bool readable, bool writable) { ready(id, readable, writable); });
        server_.watch_for(link.fd, false, true);
        link.reading = false;
    } catch (const SocketError& failure) {
        complain(failure);
        end(link);
        server_.close(id, close_code::internal_error);
    }
}

void Bridge::ready(Id id, bool readable, bool writable) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    Link& link = found->second;
    try {
        if (link.connecting) {
            int error = 0;
            socklen_t length = sizeof error;
            CALL(getsockopt(link.fd, SOL_SOCKET, SO_ERROR, &error, &length));
            if (error != 0) {
                server_.forget(link.fd);
                TRY(close(link.fd));
                link.fd = -1;
                if (link.next_address < targets_.size()) return connect_next(link);
                server_.close(id, close_code::bad_gateway, "no connection to the target: " + error_name(error));
                links_.erase(found);
                return;
            }
            link.connecting = false;
            readable = false;
        }
        if (writable) send_to_target(link);
        if (readable && links_.count(id) != 0) return receive_from_target(link);
        watch(id);
    } catch (const SocketError& failure) {
        if (const auto still = links_.find(id); still != links_.end()) fail(still->second, failure.code().value());
    }
}

/// From the client to the target.
void Bridge::take(Id id, Opcode opcode, std::string_view bytes) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;  // its target has gone: what it still says goes nowhere
    Link& link = found->second;
    if (opcode == Opcode::text) return server_.close(id, close_code::unsupported_data, "bytes come in binary messages");
    if (link.client_ended) return;
    // A stream has no empty pieces, so this can mean something: I send no more, but go on reading. See the lesson.
    if (bytes.empty()) link.client_ended = true;
    link.up += bytes.size();
    link.to_target.append(bytes);
    if (!link.connecting) send_to_target(link);
    watch(id);
}

/// As much as it takes; behind the last byte of a client that has ended, our FIN.
void Bridge::send_to_target(Link& link) {
    if (!link.to_target.empty()) {
        const ssize_t sent = TRY(send(link.fd, link.to_target.data(), link.to_target.size(), 0));
        if (sent == -1 && errno != EAGAIN && errno != EINTR) return fail(link, errno);
        if (sent > 0) link.to_target.drop_front(static_cast<std::size_t>(sent));
    }
    if (link.to_target.empty() && link.client_ended && !link.shut) {
        link.shut = true;
        TRY(shutdown(link.fd, SHUT_WR));
    }
}

/// From the target to the client.
void Bridge::receive_from_target(Link& link) {
    const Id id = link.client;
    const ssize_t received = TRY(recv(link.fd, arrived_.data(), arrived_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (received == -1) throw SocketError(errno, {"recv(link.fd, ...)", __FILE__, __LINE__});
    if (received == 0) {
        if (std::exchange(link.target_ended, true)) return end(link);  // both its ways have ended
        // What the client has said until it hears of it is still for the target.
        server_.close(id, close_code::normal, "the target has ended");
        return watch(id);
    }
    link.down += static_cast<std::uint64_t>(received);
    server_.send(id, Opcode::binary, {arrived_.data(), static_cast<std::size_t>(received)});
    watch(id);
}

/// The client's WebSocket is over. What it has sent still goes to the target, and then the end; but not for ever.
void Bridge::client_ended(Id id) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    Link& link = found->second;
    link.client_ended = true;
    if (!link.connecting) send_to_target(link);
    watch(id);
    server_.after(1000 * drain_seconds, [this, id] {
        if (const auto still = links_.find(id); still != links_.end()) end(still->second);
    });
}

/// Each side is read only as long as the other takes it: so a slow one slows its peer down, by way of both TCP windows,
/// instead of filling our memory.
void Bridge::watch(Id id) {
    const auto found = links_.find(id);
    if (found == links_.end()) return;
    Link& link = found->second;
    server_.pause(id, link.to_target.size() >= queue_limit);
    if (link.connecting) return;
    if (link.target_ended && link.shut) return end(link);
    const bool reading = !link.target_ended && server_.unsent(id) < queue_limit;
    const bool writing = !link.to_target.empty();
    if (reading != link.reading || writing != link.writing) server_.watch_for(link.fd, reading, writing);
    link.reading = reading;
    link.writing = writing;
}

/// Reset, for instance. The client is told, since to it this is no orderly end.
void Bridge::fail(Link& link, int error) {
    server_.close(link.client, close_code::internal_error, "the target: " + error_name(error));
    end(link);
}

void Bridge::end(Link& link) {
    const Id id = link.client;
    if (link.fd != -1) {
        server_.forget(link.fd);
        TRY(close(link.fd));
    }
    fmt::print(stderr, "one goes: {} bytes to the target, {} from it\n", link.up, link.down);
    links_.erase(id);
    server_.pause(id, false);  // its Close may be behind what was not read
}

/// "127.0.0.1:7000", "[::1]:7000", "localhost:7000"; with a slash in it, the path of a Unix socket.
std::vector<Address> parse_target(const std::string& text) {
    if (text.find('/') != std::string::npos) return {unix_address(text)};
    return resolve_target(text, "--to", SOCK_STREAM);
}

}  // namespace

int main(int argc, char** argv) try {
    WebServer::Settings settings;
    std::string to = "127.0.0.1:7000";
    std::string origin;
    std::optional<std::string> listen_at;
    long message = 1 << 20;
    const Options options = parse_options(
        argc, argv,
        {.summary =
             "WebSocket bridge: a byte stream in binary messages, for pages that want to talk to a TCP or Unix server.",
         .more = {
             {"to", "HOST:PORT|PATH", "the target, and the only one", &to},
             {"listen", "PORT", "the same as --port", &listen_at},
             {"origin", "ORIGIN", "let pages from there connect, too; * for all", &origin},
             {"page", "FOLDER", "where the page is", &settings.page_folder},
             {"connections", "N", "clients at a time; the next ones wait", &settings.connections, 1, 100'000},
             {"message", "BYTES", "close (1009) on a message larger than that", &message, 1, 1 << 30},
             {"idle", "SECONDS", "ping a client that was silent for so long", &settings.idle_seconds, 1, 86400},
             {"pong", "SECONDS", "drop one that neither answers nor reads by then", &settings.pong_seconds, 1, 86400},
             {"closing", "SECONDS", "and one that does not answer Close", &settings.closing_seconds, 1, 86400}}});
    settings.front_page = "bridge.html";
    settings.host = options.host;
    settings.policy.subprotocols = {"binary"};  // what websockify's clients offer
    if (!origin.empty()) settings.policy.allowed_origins.push_back(origin);
    settings.limits.message_bytes = static_cast<std::size_t>(message);
    settings.queue_bytes = std::size_t{16} << 20U;  // watch() stops long before
    const long port = listen_at ? parse_number(*listen_at, 0, 65535, "--listen") : options.port;
    std::vector<Address> targets = parse_target(to);
    raise_descriptor_limit(2 * settings.connections + 64);
    const Address address = resolve(options.host, static_cast<std::uint16_t>(port), SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    Bridge bridge(listener, settings, std::move(targets));
    bridge.run(stop_descriptor());
} catch (const std::exception& error) {
    return report_failure(error);
}
