// Restart server: a TCP echo server that is replaced while it runs, and whose clients notice nothing.
//
//     terminal 1:  build/unix/restart_server
//     terminal 2:  build/tcp/echo_client
//     terminal 3:  kill -HUP $(pgrep restart_server)
//
// On SIGHUP it starts its own program anew, which may be a newer one by now. The successor says when it is ready; then
// it is sent everything over a Unix socket: the listening socket, and each connection with the bytes that it is owed.
// When it confirms, the old one ends. Until then the old one has lost nothing: if the successor can't be started, or
// dies, or takes too long, it goes on. Clients that connect meanwhile wait in the queue of the listening socket, which
// is the same one all the time.
//
// It can also be handed its listening socket at the start, by systemd or whoever does as sd_listen_fds(3) says:
//     systemd-socket-activate -l 127.0.0.1:7000 build/unix/restart_server
//
// Try it: connect, type, SIGHUP, type again. Remove build/unix/restart_server, SIGHUP, and see it go on.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr const char* predecessor_variable = "TWO_TERMINALS_PREDECESSOR";
constexpr std::size_t most_unsent = 65536;  // of one client; then we stop reading from it

std::int64_t milliseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
}

struct Client {
    Descriptor connection;
    std::vector<char> unsent = {};        ///< what it is owed
    bool ended = false;                   ///< it sends no more
    std::int64_t since = milliseconds();  ///< when it last sent or took something
    bool gone = false;
};

// ---- What is handed over. Both ends run on this machine, but perhaps not the same version of this program.

struct Item {
    char version[4] = {'T', 'T', 'R', '1'};
    char kind[4];          // "list", "conn" or "end."
    std::uint32_t ended;   // of a connection: it sends no more
    std::uint32_t unsent;  // so many bytes follow
};

Item make_item(const char* kind) {
    Item item{};
    std::memcpy(item.kind, kind, sizeof item.kind);
    return item;
}

bool is(const Item& item, const char* kind) { return std::memcmp(item.kind, kind, sizeof item.kind) == 0; }

void receive_exactly(int socket, char* bytes, std::size_t count) {
    while (count > 0) {
        const ssize_t received = CALL(recv(socket, bytes, count, 0));
        if (received == 0) throw std::runtime_error("the other process has ended");
        bytes += received;
        count -= static_cast<std::size_t>(received);
    }
}

/// The old one's side. Returns when the successor has confirmed all of it; throws if not.
void hand_over(int successor, int listener, const std::vector<Client>& clients) {
    const auto send_item = [&](const Item& item, int fd) {
        const std::size_t sent = send_with_descriptors(successor, &item, sizeof item, {&fd, fd == -1 ? 0U : 1U});
        send_all(successor, reinterpret_cast<const char*>(&item) + sent, sizeof item - sent);
    };
    send_item(make_item("list"), listener);
    for (const Client& client : clients) {
        Item item = make_item("conn");
        item.ended = client.ended ? 1 : 0;
        item.unsent = static_cast<std::uint32_t>(client.unsent.size());
        send_item(item, client.connection.get());
        send_all(successor, client.unsent.data(), client.unsent.size());
    }
    send_item(make_item("end."), -1);
    char confirmed = 0;
    receive_exactly(successor, &confirmed, 1);
    if (confirmed != 'c') throw std::runtime_error("the successor does not confirm");
}

/// The successor's side. Returns the listener, with all clients added.
Descriptor take_over(int predecessor, std::vector<Client>& clients) {
    limit_waiting(predecessor, 10);
    send_all(predecessor, "r", 1);  // ready
    Descriptor listener;
    for (;;) {
        Item item{};
        char* bytes = reinterpret_cast<char*>(&item);
        Delivery delivery = receive_with_descriptors(predecessor, bytes, sizeof item, 1);
        receive_exactly(predecessor, bytes + delivery.count, sizeof item - delivery.count);
        const bool has_one = delivery.descriptors.size() == 1 && !delivery.incomplete;
        if (std::memcmp(item.version, Item{}.version, sizeof item.version) != 0 || item.unsent > most_unsent ||
            has_one == is(item, "end.")) {
            throw std::runtime_error(delivery.incomplete ? "a socket was cut off: too few descriptors are free"
                                                         : "the predecessor says what can't be understood");
        }
        if (is(item, "end.")) break;
        if (is(item, "list")) {
            listener = std::move(delivery.descriptors.front());
        } else {
            clients.push_back({.connection = std::move(delivery.descriptors.front()), .ended = item.ended != 0});
            clients.back().unsent.resize(item.unsent);
            receive_exactly(predecessor, clients.back().unsent.data(), item.unsent);
        }
    }
    if (listener.get() == -1) throw std::runtime_error("the predecessor has sent no listening socket");
    return listener;
}

// ---- Where the listening socket comes from

std::optional<std::string> take_variable(const char* name) {
    const char* value = std::getenv(name);
    if (value == nullptr) return {};
    std::string text = value;
    unsetenv(name);  // it was for us, and not for our own successor
    return text;
}

/// As sd_listen_fds(3): LISTEN_FDS sockets, from descriptor 3 on, are for the process LISTEN_PID. Nothing if we are not
/// meant.
std::optional<int> activated_listener() {
    const auto pid = take_variable("LISTEN_PID");
    const auto count = take_variable("LISTEN_FDS");
    if (!pid || !count) return {};
    if (parse_number(*pid, 1, INT32_MAX, "LISTEN_PID") != getpid()) return {};  // for somebody who started us
    const long sockets = parse_number(*count, 0, INT32_MAX, "LISTEN_FDS");
    if (sockets == 0) return {};
    if (sockets > 1) throw UsageError(fmt::format("LISTEN_FDS {}: this server needs one socket", sockets));

    constexpr int first = 3;  // SD_LISTEN_FDS_START
    CALL(fcntl(first, F_SETFD, FD_CLOEXEC));
    int type = 0, listens = 0;
    socklen_t length = sizeof type;
    CALL(getsockopt(first, SOL_SOCKET, SO_TYPE, &type, &length));
    length = sizeof listens;
    CALL(getsockopt(first, SOL_SOCKET, SO_ACCEPTCONN, &listens, &length));
    if (type != SOCK_STREAM || listens == 0)
        throw UsageError("LISTEN_FDS: descriptor 3 is not a stream socket that listens");
    return first;
}

int listen_at(const Address& address) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(fcntl(listener, F_SETFD, FD_CLOEXEC));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    return listener;
}

// ---- Serving

int hangup_pipe[2] = {-1, -1};

void note_hangup(int) {
    const int kept_errno = errno;
    [[maybe_unused]] const auto written = write(hangup_pipe[1], "", 1);
    errno = kept_errno;
}

void watch_for_hangup() {
    CALL(pipe(hangup_pipe));
    for (const int end : hangup_pipe) {
        CALL(fcntl(end, F_SETFD, FD_CLOEXEC));
        CALL(fcntl(end, F_SETFL, O_NONBLOCK));
    }
    struct sigaction action {};
    action.sa_handler = note_hangup;
    sigaction(SIGHUP, &action, nullptr);
}

class Server {
public:
    Server(Descriptor listener, std::vector<Client> clients, char** command, long most_clients, long idle,
           long patience)
        : listener_(std::move(listener)),
          clients_(std::move(clients)),
          command_(command),
          most_clients_(static_cast<std::size_t>(most_clients)),
          idle_(1000 * idle),
          patience_(1000 * patience) {}

    /// Serves until a successor has taken over.
    void run();

private:
    void add_client();
    static void receive(Client& client);
    static void send_unsent(Client& client);
    void drop_idle();
    int milliseconds_to_wait() const;

    void start_successor();
    bool has_been_replaced();
    void give_successor_up(const std::string& why);

    Descriptor listener_;
    std::vector<Client> clients_;
    char** command_;  // how we were started
    std::size_t most_clients_;
    std::int64_t idle_;  // milliseconds, as the next
    std::int64_t patience_;

    Descriptor successor_;  // our end of the socket to it, if one is starting
    pid_t successor_pid_ = -1;
    std::int64_t successor_since_ = 0;
};

void Server::run() {
    for (;;) {
        const bool room = clients_.size() < most_clients_;
        std::vector<pollfd> watched{{hangup_pipe[0], POLLIN, 0},
                                    {successor_.get(), POLLIN, 0},  // poll() passes over -1
                                    {room ? listener_.get() : -1, POLLIN, 0}};
        for (const Client& client : clients_) {
            const int events = (client.unsent.empty() ? 0 : POLLOUT) |
                               (client.ended || client.unsent.size() >= most_unsent ? 0 : POLLIN);
            watched.push_back({client.connection.get(), static_cast<short>(events), 0});
        }
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), milliseconds_to_wait()));

        for (std::size_t i = 0; i < clients_.size(); ++i) {
            Client& client = clients_[i];
            const short events = watched[i + 3].revents;
            try {
                if ((events & ~POLLOUT) != 0) receive(client);
                if (events != 0 && !client.gone) send_unsent(client);
            } catch (const SocketError& error) {  // this client's trouble is not the next one's
                complain(error);
                client.gone = true;
            }
        }
        drop_idle();
        std::erase_if(clients_, [](const Client& client) { return client.gone; });
        if (watched[2].revents != 0) add_client();
        if (watched[0].revents != 0) start_successor();
        if (watched[1].revents != 0 && has_been_replaced()) return;
        if (successor_.get() != -1 && milliseconds() >= successor_since_ + patience_)
            give_successor_up("takes too long");
    }
}

int Server::milliseconds_to_wait() const {
    std::int64_t next = successor_.get() == -1 ? INT64_MAX : successor_since_ + patience_;
    for (const Client& client : clients_) {
        if (idle_ > 0) next = std::min(next, client.since + idle_);
    }
    return next == INT64_MAX ? -1 : static_cast<int>(std::max<std::int64_t>(0, next - milliseconds()));
}

void Server::add_client() {
    try {
        Client client{.connection = Descriptor(CALL(accept(listener_.get(), nullptr, nullptr)))};
        CALL(fcntl(client.connection.get(), F_SETFD, FD_CLOEXEC));  // the successor is sent it, and inherits nothing
        CALL(fcntl(client.connection.get(), F_SETFL, O_NONBLOCK));
        clients_.push_back(std::move(client));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) survive_accept(error);
    }
}

void Server::receive(Client& client) {
    char buffer[most_unsent];
    const std::size_t room = sizeof buffer - std::min(sizeof buffer, client.unsent.size());
    if (client.ended || room == 0) return;  // we did not ask for bytes: it is an error, and send() will tell
    const ssize_t received = TRY(recv(client.connection.get(), buffer, room, 0));
    if (received == -1) {
        client.gone = errno != EAGAIN && errno != EINTR;
        return;
    }
    client.since = milliseconds();
    client.ended = received == 0;
    client.unsent.insert(client.unsent.end(), buffer, buffer + received);
}

void Server::send_unsent(Client& client) {
    if (!client.unsent.empty()) {
        const ssize_t sent = TRY(send(client.connection.get(), client.unsent.data(), client.unsent.size(), 0));
        if (sent == -1) {
            client.gone = errno != EAGAIN && errno != EINTR;
            return;
        }
        client.since = milliseconds();
        client.unsent.erase(client.unsent.begin(), client.unsent.begin() + sent);
    }
    client.gone = client.ended && client.unsent.empty();
}

void Server::drop_idle() {
    for (Client& client : clients_) {
        if (idle_ > 0 && milliseconds() >= client.since + idle_) client.gone = true;
    }
}

// ---- Being replaced

/// SIGHUP. The successor starts while we go on serving; it will say when it is ready.
void Server::start_successor() {
    char signals[64];
    while (read(hangup_pipe[0], signals, sizeof signals) > 0) {  // however many came
    }
    if (successor_.get() != -1) return;  // one is starting already
    try {
        int ends[2];
        CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
        Descriptor ours(ends[0]);
        const Descriptor theirs(ends[1]);
        CALL(fcntl(ours.get(), F_SETFD, FD_CLOEXEC));
        limit_waiting(ours.get(), patience_ / 1000);
        successor_pid_ = CALL(fork());
        if (successor_pid_ == 0) {
            try {
                // It would die of a second SIGHUP before it can handle one; what is ignored stays so over exec().
                std::signal(SIGHUP, SIG_IGN);
                setenv(predecessor_variable, std::to_string(theirs.get()).c_str(), 1);
                CALL(execvp(command_[0], command_));
            } catch (const std::exception& error) {
                complain(error);
            }
            _exit(1);
        }
        successor_ = std::move(ours);
        successor_since_ = milliseconds();
    } catch (const SocketError& error) {
        complain(error);
        fmt::print(stderr, "no successor could be started: going on\n");
    }
}

/// The successor has said something, or has ended. True: it has everything now, and we have only to end.
bool Server::has_been_replaced() {
    try {
        char ready = 0;
        receive_exactly(successor_.get(), &ready, 1);
        if (ready != 'r') throw std::runtime_error("it is no successor");
        hand_over(successor_.get(), listener_.get(), clients_);
        fmt::print(stderr, "handed over to process {}, connections: {}; this one ends\n", successor_pid_,
                   clients_.size());
        return true;
    } catch (const std::exception& error) {
        complain(error);
        give_successor_up("has failed");
        return false;
    }
}

void Server::give_successor_up(const std::string& why) {
    // It may be about to serve what we will serve ourselves: be sure that it does not.
    TRY(kill(successor_pid_, SIGKILL));
    TRY(waitpid(successor_pid_, nullptr, 0));
    successor_.reset();
    fmt::print(stderr, "the successor {}: going on\n", why);
}

}  // namespace

int main(int argc, char** argv) try {
    long most_clients = 1000;
    long idle = 300;
    long patience = 10;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP echo server that hands all it has to a new process on SIGHUP.",
         .more = {{"clients", "N", "clients at a time; the next ones wait", &most_clients, 1, 100'000},
                  {"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400},
                  {"patience", "SECONDS", "go on if no successor has taken over by then", &patience, 1, 3600}}});

    std::vector<Client> clients;
    Descriptor listener, predecessor;
    if (const auto fd = take_variable(predecessor_variable)) {
        predecessor = Descriptor(static_cast<int>(parse_number(*fd, 3, INT32_MAX, predecessor_variable)));
        CALL(fcntl(predecessor.get(), F_SETFD, FD_CLOEXEC));
    } else if (const auto activated = activated_listener()) {  // before anything else becomes descriptor 3
        listener = Descriptor(*activated);
    }
    watch_for_hangup();
    if (predecessor.get() != -1) {
        listener = take_over(predecessor.get(), clients);
    } else if (listener.get() == -1) {
        listener = Descriptor(listen_at(resolve(options.host, options.port, SOCK_STREAM).front()));
    }
    CALL(fcntl(listener.get(), F_SETFL, O_NONBLOCK));
    announce_ready(listener.get());
    if (predecessor.get() != -1) send_all(predecessor.get(), "c", 1);  // from here on it is ours
    predecessor.reset();

    Server(std::move(listener), std::move(clients), argv, most_clients, idle, patience).run();
} catch (const std::exception& error) {
    return report_failure(error);
}
