// Passing server: accepts TCP clients, and hands each connection to one of several worker processes.
//
//     terminal 1:  build/unix/passing_server
//     terminal 2:  build/unix/passing_worker          (and another in terminal 3)
//     terminal 4:  build/unix/passing_client          (or tcp/echo_client, socat, ncat, curl telnet://127.0.0.1:7000)
//
// The server listens twice: at a TCP port for clients, and at a path for workers. What it sends a worker is a live
// connection, as a descriptor (passing_cat.cpp shows how). The client notices nothing: no byte goes through the server.
// A worker answers, by one byte:
//     g   got it: the server closes its own copy
//     n   nothing came: too few free descriptors, for instance; the connection goes to another worker
//     d   done: ready for the next
// Until g, the server still has the connection: if the worker dies before, another one gets it. After g it is lost with
// the worker, and nothing else is. While no worker is free, clients wait in the kernel's queue, at no cost to us.
//
// Try it: kill -9 a worker while a client is connected to it. Then start a new worker.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <chrono>
#include <deque>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::size_t most_workers = 64;

std::int64_t milliseconds() {
    using namespace std::chrono;
    return duration_cast<std::chrono::milliseconds>(steady_clock::now().time_since_epoch()).count();
}

struct Worker {
    enum class State {
        idle,     ///< waits for a connection
        offered,  ///< was sent one, and has not said that it has it
        busy,     ///< has one
        resting,  ///< could not take one
        gone,
    };

    Descriptor socket;
    unsigned char number;  ///< 1 to most_workers, which it tells its clients
    State state = State::idle;
    std::int64_t since = 0;      ///< when its state began
    long turn = 0;               ///< whose state began before whose
    Descriptor connection = {};  ///< the one that was offered
};

class Server {
public:
    Server(int clients, int workers, long patience) : clients_(clients), workers_(workers), patience_(patience) {}
    void run();

private:
    void add_worker();
    void hand_over();
    void listen_to(Worker& worker);
    void part_with(Worker& worker, const char* why);
    std::optional<Descriptor> next_connection();
    Worker* free_worker();
    int milliseconds_to_next_deadline() const;
    void run_deadlines();
    void enter(Worker& worker, Worker::State state);

    int clients_;  // TCP listener
    int workers_;  // Unix listener
    std::int64_t patience_;
    long turns_ = 0;
    std::vector<Worker> all_;
    std::deque<Descriptor> returned_;  // by workers that could not take them; at most one of each
};

void Server::run() {
    for (;;) {
        const bool may_serve = free_worker() != nullptr;
        std::vector<pollfd> watched{{all_.size() < most_workers ? workers_ : -1, POLLIN, 0},
                                    {may_serve && returned_.empty() ? clients_ : -1, POLLIN, 0}};
        for (const Worker& worker : all_)
            watched.push_back({worker.socket.get(), POLLIN, 0});
        const int limit = may_serve && !returned_.empty() ? 0 : milliseconds_to_next_deadline();
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), limit));

        for (std::size_t i = 0; i < all_.size(); ++i) {
            if (watched[i + 2].revents != 0) listen_to(all_[i]);
        }
        run_deadlines();
        if (watched[1].revents != 0 || !returned_.empty()) hand_over();
        std::erase_if(all_, [](const Worker& worker) { return worker.state == Worker::State::gone; });
        if (watched[0].revents != 0) add_worker();
    }
}

void Server::enter(Worker& worker, Worker::State state) {
    worker.state = state;
    worker.since = milliseconds();
    worker.turn = ++turns_;
}

/// accept(), or nothing: also a client that gave up meanwhile is no trouble of ours.
int accept_one(int listener) {
    try {
        return CALL(accept(listener, nullptr, nullptr));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) survive_accept(error);
        return -1;
    }
}

void Server::add_worker() {
    Descriptor socket(accept_one(workers_));
    if (socket.get() == -1) return;
    try {
        CALL(fcntl(socket.get(), F_SETFL, 0));
        limit_waiting(socket.get(), 5);
    } catch (const SocketError& error) {
        return complain(error);
    }
    unsigned char number = 1;  // the lowest that is free: who replaces a worker is called as it was
    const auto is_taken = [&](const Worker& worker) { return worker.number == number; };
    while (std::any_of(all_.begin(), all_.end(), is_taken))
        ++number;
    fmt::print(stderr, "worker {} has joined\n", number);
    all_.push_back({.socket = std::move(socket), .number = number});
    enter(all_.back(), Worker::State::idle);
}

/// The one that has been waiting longest.
Worker* Server::free_worker() {
    Worker* found = nullptr;
    for (Worker& worker : all_) {
        if (worker.state == Worker::State::idle && (found == nullptr || worker.turn < found->turn)) found = &worker;
    }
    return found;
}

std::optional<Descriptor> Server::next_connection() {
    if (returned_.empty()) {
        const int fd = accept_one(clients_);
        if (fd == -1) return {};
        return Descriptor(fd);
    }
    Descriptor connection = std::move(returned_.front());
    returned_.pop_front();
    return connection;
}

void Server::hand_over() {
    Worker* worker = free_worker();
    if (worker == nullptr) return;
    auto connection = next_connection();
    if (!connection) return;
    worker->connection = std::move(*connection);
    enter(*worker, Worker::State::offered);
    const int fd = worker->connection.get();
    try {
        send_with_descriptors(worker->socket.get(), &worker->number, 1, {&fd, 1});
    } catch (const SocketError& error) {
        complain(error);
        part_with(*worker, "can't be reached");
    }
}

void Server::listen_to(Worker& worker) {
    char word = 0;
    ssize_t count = -1;
    try {
        count = CALL(recv(worker.socket.get(), &word, 1, 0));
    } catch (const SocketError& error) {
        complain(error);
    }
    if (count <= 0) return part_with(worker, "has ended");
    using State = Worker::State;
    if (word == 'g' && worker.state == State::offered) {
        enter(worker, State::busy);
        TRY(close(worker.connection.release()));  // the worker's copy keeps the connection open
    } else if (word == 'n' && worker.state == State::offered) {
        fmt::print(stderr, "worker {} could not take a connection\n", worker.number);
        enter(worker, State::resting);
        returned_.push_back(std::move(worker.connection));
    } else if (word == 'd' && worker.state == State::busy) {
        enter(worker, State::idle);
    } else {
        part_with(worker, "says what no worker says");
    }
}

void Server::part_with(Worker& worker, const char* why) {
    const bool lost = worker.state == Worker::State::busy;
    const bool kept = worker.state == Worker::State::offered;
    fmt::print(stderr, "worker {} {}{}\n", worker.number, why,
               lost   ? " in mid-request: its client is lost"
               : kept ? ": its client goes to another"
                      : "");
    if (kept) returned_.push_back(std::move(worker.connection));
    worker.socket.reset();
    enter(worker, Worker::State::gone);
}

int Server::milliseconds_to_next_deadline() const {
    std::int64_t next = -1;
    for (const Worker& worker : all_) {
        if (worker.state != Worker::State::offered && worker.state != Worker::State::resting) continue;
        const std::int64_t limit = worker.state == Worker::State::offered ? 1000 * patience_ : 1000;
        const std::int64_t left = std::max<std::int64_t>(0, worker.since + limit - milliseconds());
        next = next == -1 ? left : std::min(next, left);
    }
    return static_cast<int>(next);
}

void Server::run_deadlines() {
    const std::int64_t now = milliseconds();
    for (Worker& worker : all_) {
        if (worker.state == Worker::State::offered && now >= worker.since + 1000 * patience_) {
            part_with(worker, "does not take what it is sent");
        } else if (worker.state == Worker::State::resting && now >= worker.since + 1000) {
            enter(worker, Worker::State::idle);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::optional<std::string> path;
    long patience = 5;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Accepts TCP clients, and hands each connection to a worker process over a Unix socket.",
         .more = {
             {"path", "PATH", "where workers come to (default: in a directory of your own)", &path},
             {"patience", "SECONDS", "drop a worker that does not take a connection by then", &patience, 1, 3600}}});
    if (!path) path = private_socket_path("passing");
    unix_address(*path);  // refuses one that is too long, before anything else is done
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int workers = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    bind_to_path(workers, *path);
    CALL(listen(workers, SOMAXCONN));
    CALL(fcntl(workers, F_SETFL, O_NONBLOCK));

    const int clients = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(clients, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(clients, address.get(), address.length()));
    CALL(listen(clients, SOMAXCONN));
    CALL(fcntl(clients, F_SETFL, O_NONBLOCK));  // who was in the queue may have left before accept()
    announce_ready(clients);

    Server(clients, workers, patience).run();
} catch (const std::exception& error) {
    return report_failure(error);
}
