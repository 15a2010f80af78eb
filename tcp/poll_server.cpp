// TCP echo server with poll(): one thread that serves all clients and waits for none of them.
//
//     terminal 1:  build/tcp/poll_server --trace
//     terminal 2:  build/tcp/echo_client                          (and in terminals 3, 4, ...)
//
// No call on a client's socket waits here: it fails with EAGAIN instead. The one place to wait is poll(), for all of
// them at once. poll() is told of every descriptor each time, and each time its answer is searched for those that are
// ready: this costs the more, the more clients there are, busy or not.
// Try it: a client that does not read,  bash -c 'cat /dev/zero >/dev/tcp/127.0.0.1/7000' , and others beside it.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <unordered_map>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

/// What a server with a process for each client knows by where that process is in the program, we have to write down.
struct Client {
    std::string unsent;       // what send() did not take; while there is any, nothing more is read
    Clock::time_point moved;  // when bytes last came in or went out
};
using Clients = std::unordered_map<int, Client>;  // by descriptor

/// Waits until a call on some of the descriptors would not have to, and returns those; none if the time is over.
std::vector<int> wait_for_ready(int listener, const Clients& clients, int milliseconds) {
    std::vector<pollfd> watched{{listener, POLLIN, 0}};  // poll() passes over -1
    for (const auto& [connection, client] : clients) {
        watched.push_back({connection, static_cast<short>(client.unsent.empty() ? POLLIN : POLLOUT), 0});
    }
    CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), milliseconds));
    std::vector<int> ready;
    for (const pollfd& one : watched) {
        if (one.revents != 0) ready.push_back(one.fd);  // an error, too: recv() or send() will tell it
    }
    return ready;
}

/// Takes a client out of the listener's queue. False: there is no descriptor for it now, and it goes on waiting there.
bool accept_client(int listener, Clients& clients, Clock::time_point now) {
    int connection = -1;
    try {
        connection = CALL(accept(listener, nullptr, nullptr));
        CALL(fcntl(connection, F_SETFL, O_NONBLOCK));
        const int at_once = 1;
        CALL(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once));  // see the lesson
        clients[connection] = {.unsent = "", .moved = now};
    } catch (const SocketError& error) {
        if (connection == -1) return !accept_needs_rest(error);
        complain(error);
        TRY(close(connection));
    }
    return true;
}

void drop_client(int connection, Clients& clients) {
    TRY(close(connection));
    clients.erase(connection);
}

/// What recv() or send() made of a client.
enum class Outcome { go_on, would_wait, over };

Outcome outcome_of(const char* call, int connection, ssize_t result) {
    if (result > 0 || (result == -1 && errno == EINTR)) return Outcome::go_on;
    if (result == -1 && errno == EAGAIN) return Outcome::would_wait;
    if (result == -1) fmt::print(stderr, "fd {}: {}(): {}\n", connection, call, describe_error(errno));
    return Outcome::over;
}

/// Sends what the client is owed; or if that is nothing, receives once and sends that. What there is no room for now
/// is owed from now on.
Outcome serve(int connection, Client& client, Clock::time_point now) {
    static char buffer[65536];  // nobody else uses it: there is one thread
    const bool owed = !client.unsent.empty();
    const char* bytes = owed ? client.unsent.data() : buffer;
    size_t count = client.unsent.size();
    if (!owed) {
        const ssize_t received = TRY(recv(connection, buffer, sizeof buffer, 0));
        if (received <= 0) return outcome_of("recv", connection, received);
        client.moved = now;
        count = static_cast<size_t>(received);
    }
    const ssize_t sent = TRY(send(connection, bytes, count, 0));
    const Outcome outcome = outcome_of("send", connection, sent);
    const size_t gone = sent > 0 ? static_cast<size_t>(sent) : 0;
    if (gone > 0) client.moved = now;
    if (owed) {
        client.unsent.erase(0, gone);
    } else if (gone < count) {
        client.unsent.assign(bytes + gone, count - gone);
    }
    return outcome;
}

/// Drops the clients of which nothing has moved for so long. Returns when that may be the case with the next one.
Clock::time_point drop_silent(Clients& clients, std::chrono::seconds patience, Clock::time_point now) {
    std::vector<int> silent;
    Clock::time_point next = Clock::time_point::max();
    for (const auto& [connection, client] : clients) {
        const Clock::time_point end = client.moved + patience;
        if (end <= now) {
            silent.push_back(connection);
        } else {
            next = std::min(next, end);
        }
    }
    for (const int connection : silent) {
        fmt::print(stderr, "fd {}: nothing has moved for {} s\n", connection, patience.count());
        drop_client(connection, clients);
    }
    return next;
}

int milliseconds_between(Clock::time_point now, Clock::time_point time) {
    if (time == Clock::time_point::max()) return -1;  // for ever
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - now).count();
    return static_cast<int>(std::clamp<long long>(left, 0, 60'000));
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP echo server: returns every byte to the client that sent it, to all at once by poll().",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    CALL(fcntl(listener, F_SETFL, O_NONBLOCK));
    announce_ready(listener);

    Clients clients;
    const std::chrono::seconds patience(idle == 0 ? 3'000'000'000 : idle);
    bool resting = false;                                // there are no descriptors: the listener is not watched
    Clock::time_point alarm = Clock::time_point::max();  // when to look who was silent for too long
    Clock::time_point now = Clock::now();
    for (;;) {
        const std::vector<int> ready =
            wait_for_ready(resting ? -1 : listener, clients, milliseconds_between(now, alarm));
        now = Clock::now();
        for (const int fd : ready) {
            if (fd == listener) {
                resting = !accept_client(listener, clients, now);
                alarm = std::min(alarm, resting ? now + std::chrono::milliseconds(100) : now + patience);
            } else if (serve(fd, clients.at(fd), now) == Outcome::over) {
                drop_client(fd, clients);
            }
        }
        if (now >= alarm) {
            resting = false;
            alarm = drop_silent(clients, patience, now);
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
