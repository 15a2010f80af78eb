// HTTP server: the files of a folder, for many clients at once, in HTTP/1.1 written by hand on the TCP calls.
//
//     terminal 1:  build/tcp/http_server --directory websocket --log
//     terminal 2:  build/tcp/http_client --verbose http://127.0.0.1:7000/README.md        (or curl -v, or a browser)
//
// HTTP is text: a first line, fields, a blank line, a body. What the text means stands in http.hpp, which file it asks
// for in http_files.hpp, what it gets in http_answer.hpp; here are the sockets. One thread serves all, and no call
// waits but epoll_wait(): a client that sends its request byte by byte, or reads its answer so, costs the others
// nothing, and has a time limit. Try it: strace -c build/tcp/http_server, and wrk -c 100 against it. How many calls
// does a request take?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "tcp/http.hpp"
#include "tcp/http_answer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#endif

namespace {

struct Settings {
    long connections = 1000;
    long body = 1 << 20;  // bytes that a request's body may have
    long request = 10;    // seconds, all of them
    long idle = 30;
    long stall = 20;
    bool log = false;
};

constexpr std::size_t together = 16384;              // answers that are ready wait for the next ones, up to so much
constexpr std::size_t turn = std::size_t{1} << 20U;  // so many bytes to one client, and then it is the others' turn
constexpr std::size_t shown_of_request = 200;        // bytes of its first line, by --log
constexpr std::int64_t lingering = 2000;             // milliseconds
constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

/// What is kept of a client.
struct Client {
    int fd;
    bool reading = true;  // what it is watched for
    bool writing = false;
    bool leaving = false;  // our side is shut down: whatever comes is thrown away until its side is, too
    std::int64_t since;    // when its time began to run; see Server::deadline()

    std::string input;  // what has come and is not a whole request yet, from `taken` on
    std::size_t taken = 0;
    std::size_t line = 0;  // see http::head_length()
    std::string asked;     // the beginning of its request, for --log
    std::string head;      // of a request whose body is still coming
    std::optional<http::BodyReader> body = {};
    std::uint64_t body_bytes = 0;

    http::Answer answer;

    Client(int descriptor, std::int64_t now) : fd(descriptor), since(now) {}
    /// A request has begun and is not whole yet.
    bool in_request() const { return body || taken < input.size(); }
};

enum class Sent { all, part, failed };

class Server {
public:
    Server(int listener, int root, const Settings& settings);
    void run();

private:
    void accept_clients();
    void receive(Client& client);
    void advance(Client& client);
    bool next_request(Client& client);
    bool take_head(Client& client);
    bool take_body(Client& client);
    void log(const Client& client) const;
    Sent flush(Client& client);
    void watch(Client& client);
    void leave(Client& client);
    void drop(Client& client);
    void set_accepting(bool accepting);

    std::int64_t deadline(const Client& client) const;
    void check_deadlines();
    void expire(Client& client);

    const Settings& settings_;
    const int listener_;
    http::Site site_;
    EventLoop loop_;
    std::vector<std::unique_ptr<Client>> clients_;  // by descriptor
    long connected_ = 0;
    bool accepting_ = true;
    std::int64_t now_;
    std::int64_t next_check_ = never;  // no deadline is before that
    std::int64_t accept_again_ = never;

    // Shared by all clients, so that a request takes no memory that another has not had before.
    std::array<char, 16384> input_{};
    http::Head head_;
};

std::int64_t milliseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
}

Server::Server(int listener, int root, const Settings& settings)
    : settings_(settings), listener_(listener), site_(root), now_(milliseconds()) {
    loop_.add(listener_);
}

void Server::run() {
    for (;;) {
        const std::int64_t next = std::min(next_check_, accept_again_);
        const auto wait = next == never ? -1 : std::clamp<std::int64_t>(next - now_ + 1, 0, 60000);
        const auto ready = loop_.wait(static_cast<int>(wait));
        now_ = milliseconds();
        for (const EventLoop::Ready& one : ready) {
            if (one.fd == listener_) {
                accept_clients();
            } else if (Client* client = clients_[static_cast<std::size_t>(one.fd)].get(); client != nullptr) {
                try {
                    if (one.readable) {
                        receive(*client);
                    } else {
                        advance(*client);
                    }
                } catch (const SocketError& error) {  // this client's trouble is not the next one's
                    complain(error);
                    drop(*client);
                }
            }
        }
        check_deadlines();
    }
}

// ---- Clients come

void Server::accept_clients() {
    for (int i = 0; i < 64; ++i) {  // then let those be served who are here already
        if (connected_ >= settings_.connections) return set_accepting(false);
        const int fd = TRY(accept(listener_, nullptr, nullptr));
        if (fd == -1) {
            // Who is not accepted stays in the kernel's queue, and epoll would report that for ever: we look away.
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                fmt::print(stderr, "no new clients for now: {}\n", describe_error(errno));
                accept_again_ = now_ + 1000;
                set_accepting(false);
            }
            return;
        }
        const int on = 1;
        TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
        TRY(fcntl(fd, F_SETFL, O_NONBLOCK));
        // The last piece of an answer must not wait until the piece before it is acknowledged (Nagle, tcp(7)).
        TRY(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));

        if (clients_.size() <= static_cast<std::size_t>(fd)) clients_.resize(static_cast<std::size_t>(fd) + 1);
        auto& place = clients_[static_cast<std::size_t>(fd)];
        place = std::make_unique<Client>(fd, now_);
        ++connected_;
        try {
            loop_.add(fd);
            watch(*place);
        } catch (const SocketError& error) {
            complain(error);
            drop(*place);
        }
    }
}

/// Whether the listener is watched. A failure here is no reason to end: at the worst we look too often.
void Server::set_accepting(bool accepting) {
    if (accepting == accepting_) return;
    try {
        loop_.change(listener_, accepting_, false, accepting, false);
        accepting_ = accepting;
    } catch (const SocketError& error) {
        complain(error);
    }
}

// ---- They ask

/// It has sent something. While it has an answer to take, nothing is read from it: so what it sends ahead stays in the
/// kernel, and its buffer here does not grow.
void Server::receive(Client& client) {
    const ssize_t received = TRY(recv(client.fd, input_.data(), input_.size(), 0));
    if (received == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (received <= 0) return drop(client);
    if (client.leaving) return;
    if (!client.in_request()) client.since = now_;  // a request begins
    client.input.append(input_.data(), static_cast<std::size_t>(received));
    advance(client);
}

/// Goes on with a client as far as it can now: takes requests, sends answers.
void Server::advance(Client& client) {
    const http::Answer& answer = client.answer;
    for (;;) {
        // Requests may come several at a time (pipelining): small answers to them go out together, in their order.
        while (!answer.last && !answer.has_more_than_output() && answer.output.size() < together &&
               next_request(client)) {
        }
        if (!answer.is_begun()) break;
        const Sent sent = flush(client);
        if (sent == Sent::failed) return drop(client);
        if (sent == Sent::part) break;
        if (answer.last) return leave(client);
    }
    watch(client);
}

/// Takes one request out of the input and prepares its answer. False if there is no whole request.
bool Server::next_request(Client& client) {
    bool whole = false;
    try {
        whole = (client.body || take_head(client)) && take_body(client);
        if (whole) {
            if (!client.head.empty()) http::read_head(client.head, head_);  // a body came between: read it again
            site_.answer(client.answer, head_, http::read_request_line(head_.first_line));
            client.head.clear();
            client.body.reset();
        }
    } catch (const http::Error& error) {
        // Where a request that can't be read ends, nobody knows: the connection can't be used for another one.
        client.answer.last = true;
        site_.answer_with_error(client.answer, error);
        whole = true;
    }
    if (whole) log(client);
    if (!whole || client.taken == client.input.size()) {
        client.input.erase(0, client.taken);
        client.taken = 0;
    }
    return whole;
}

/// True if a whole head is there. It is checked here, and its body will be read next.
bool Server::take_head(Client& client) {
    std::string_view bytes = std::string_view(client.input).substr(client.taken);
    while (client.line == 0 && bytes.starts_with("\r\n")) {  // blank lines before a request (RFC 9112, section 2.2)
        bytes.remove_prefix(2);
        client.taken += 2;
    }
    client.answer.head_only = false;
    client.answer.minor = 1;
    if (settings_.log) client.asked = bytes.substr(0, std::min(bytes.find("\r\n"), shown_of_request));
    const std::size_t length = http::head_length(bytes, client.line);
    if (length == 0) return false;
    client.line = 0;
    client.taken += length;
    http::read_head(bytes.substr(0, length), head_);
    const http::RequestLine request = http::read_request_line(head_.first_line);
    client.answer.head_only = request.method == "HEAD";
    client.answer.minor = request.minor;
    http::check_host(head_, request.minor);

    const http::Body body = http::request_body(head_, request.minor);
    if (body.length > static_cast<std::uint64_t>(settings_.body)) throw http::Error(413, "the body is too large");
    client.body.emplace(body);
    client.body_bytes = 0;
    if (client.body->complete()) return true;

    client.head = bytes.substr(0, length);
    const auto expectation = head_.find("Expect");
    if (!expectation || request.minor == 0) return true;
    // The client waits for our word before it sends the body (RFC 9110, section 10.1.1).
    if (!http::same_word(*expectation, "100-continue")) throw http::Error(417, "an unknown expectation");
    http::check_method(request.method);
    if (client.taken == client.input.size()) client.answer.output += "HTTP/1.1 100 Continue\r\n\r\n";
    return true;
}

/// A body means nothing to GET and HEAD: it is read so that the next request is found behind it. True if it is over.
bool Server::take_body(Client& client) {
    std::string_view bytes = std::string_view(client.input).substr(client.taken);
    const std::size_t before = bytes.size();
    while (!client.body->next(bytes).empty()) {
    }
    client.taken += before - bytes.size();
    client.body_bytes += before - bytes.size();  // the sizes of chunks, too: they cost as much
    if (client.body_bytes > static_cast<std::uint64_t>(settings_.body)) throw http::Error(413, "the body is too large");
    return client.body->complete();
}

void Server::log(const Client& client) const {
    if (!settings_.log) return;
    Address peer;
    TRY(getpeername(client.fd, peer.out(), peer.out_length()));
    std::fputs(fmt::format("{}  {}  {}\n", peer.text(), client.answer.status, escaped(client.asked)).c_str(), stdout);
    std::fflush(stdout);
}

// ---- They are answered

/// Sends a piece of a file. Linux can do that without showing it to us: from its cache of the file to the socket.
ssize_t send_from_file(int connection, int file, off_t& offset, std::size_t count) {
#ifdef __linux__
    return TRY(sendfile(connection, file, &offset, count));
#else
    std::array<char, 65536> piece;
    const ssize_t have = TRY(pread(file, piece.data(), std::min(count, piece.size()), offset));
    if (have <= 0) return have;
    const ssize_t sent = TRY(send(connection, piece.data(), static_cast<std::size_t>(have), 0));
    if (sent > 0) offset += sent;
    return sent;
#endif
}

#ifdef MSG_MORE
constexpr int more_follows = MSG_MORE;  // the head is not worth a segment of its own
#else
constexpr int more_follows = 0;
#endif

/// Sends what there is room for in the kernel. What it does not take now it takes later: epoll_wait() tells when.
Sent Server::flush(Client& client) {
    http::Answer& answer = client.answer;
    for (std::size_t total = 0; answer.is_begun() && total < turn;) {
        ssize_t sent = 0;
        if (answer.sent < answer.output.size()) {
            const std::size_t count = answer.output.size() - answer.sent;
            sent = TRY(send(client.fd, answer.output.data() + answer.sent, count, answer.left > 0 ? more_follows : 0));
            if (sent > 0) answer.sent += static_cast<std::size_t>(sent);
        } else if (answer.left > 0) {
            sent = send_from_file(client.fd, answer.file, answer.offset, std::min<std::uint64_t>(answer.left, turn));
            if (sent == 0) return Sent::failed;  // the file has become shorter: what was announced can't be kept
            if (sent > 0) answer.left -= static_cast<std::uint64_t>(sent);
        } else {
            site_.list_more(answer);
            continue;
        }
        if (sent == -1) return errno == EAGAIN || errno == EINTR ? Sent::part : Sent::failed;
        total += static_cast<std::size_t>(sent);
        client.since = now_;
        if (answer.sent == answer.output.size()) {
            answer.output.clear();
            answer.sent = 0;
        }
    }
    if (answer.is_begun()) return Sent::part;
    answer.release_file();
    return Sent::all;
}

/// Watches for room to send while something is to be sent, and for requests while nothing is.
void Server::watch(Client& client) {
    const bool writing = client.answer.is_begun();
    const bool reading = !writing;
    if (writing != client.writing || reading != client.reading) {
        loop_.change(client.fd, client.reading, client.writing, reading, writing);
        client.reading = reading;
        client.writing = writing;
    }
    next_check_ = std::min(next_check_, deadline(client));
}

// ---- They go

/// Ends our side. Closing at once, with bytes unread, would make it an RST that can overtake our answer.
void Server::leave(Client& client) {
    TRY(shutdown(client.fd, SHUT_WR));
    client.leaving = true;
    client.since = now_;
    watch(client);
}

void Server::drop(Client& client) {
    const int fd = client.fd;
    TRY(close(fd));
    clients_[static_cast<std::size_t>(fd)].reset();
    --connected_;
    if (!accepting_) accept_again_ = now_;  // there is room again
}

// ---- Time

/// When our patience with a client ends, by what we wait for.
std::int64_t Server::deadline(const Client& client) const {
    if (client.leaving) return client.since + lingering;
    if (client.answer.is_begun()) return client.since + 1000 * settings_.stall;
    return client.since + 1000 * (client.in_request() ? settings_.request : settings_.idle);
}

/// Looks at all clients, but only when the earliest deadline that there was has come: a client that is served again and
/// again moves its own on, at no cost.
void Server::check_deadlines() {
    if (now_ >= accept_again_) {
        accept_again_ = never;
        set_accepting(true);
    }
    if (now_ < next_check_) return;
    next_check_ = never;
    for (auto& client : clients_) {
        if (client == nullptr) continue;
        if (deadline(*client) <= now_) expire(*client);
        if (client != nullptr) next_check_ = std::min(next_check_, deadline(*client));
    }
}

void Server::expire(Client& client) {
    if (client.leaving || client.answer.is_begun() || !client.in_request()) return drop(client);
    client.answer.last = true;
    site_.answer_with_error(client.answer, {408, "the request did not come to its end in time"});
    log(client);
    try {
        advance(client);
    } catch (const SocketError& error) {
        complain(error);
        drop(client);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string directory = ".";
    const Options options = parse_options(
        argc, argv,
        {.summary = "HTTP server: the files of a folder, for many clients at once.",
         .more = {{"directory", "FOLDER", "what to serve; links and hidden names are not", &directory},
                  {"log", nullptr, "print a line for each request", &settings.log},
                  {"connections", "N", "clients at a time; the next ones wait", &settings.connections, 1, 1'000'000},
                  {"body", "BYTES", "refuse a request with a larger body (413)", &settings.body, 0, 1 << 30},
                  {"request", "SECONDS", "a request must be complete by then (408)", &settings.request, 1, 3600},
                  {"idle", "SECONDS", "close a connection without a request", &settings.idle, 1, 86400},
                  {"stall", "SECONDS", "close one that takes nothing of its answer", &settings.stall, 1, 86400}}});
    raise_descriptor_limit(2 * settings.connections + 64);  // a connection and a file for each
    const int root = CALL(open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    CALL(fcntl(listener, F_SETFL, O_NONBLOCK));
    announce_ready(listener);

    Server server(listener, root, settings);
    server.run();
} catch (const std::exception& error) {
    return report_failure(error);
}
