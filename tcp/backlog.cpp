// A listener's queue with room for few: who is connected, who waits, and what happens when the server accepts.
//
//     build/tcp/backlog                        tells the whole story in one process
//     build/tcp/backlog --stay                 fills its queue and stays so: nobody can connect to it
//
// The kernel connects clients before accept(), as many as the queue holds. To one more it does not even answer: the
// client's kernel, in SYN_SENT, sends its SYN again after a second, and again.
// Try it: --backlog 0, --backlog 3, --clients 6; and with --stay, build/tcp/connect_timeout in another terminal.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <stdexcept>
#include <vector>

namespace {

/// A client whose connect() returns while the handshake is under way. The kernel needs microseconds for it; a client
/// that is not connected after a tenth of a second has got no answer.
int begin_to_connect(const Address& address) {
    const int client = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(fcntl(client, F_SETFL, O_NONBLOCK));
    try {
        CALL(connect(client, address.get(), address.length()));
    } catch (const SocketError& error) {
        if (error.code().value() != EINPROGRESS) throw;
    }
    pollfd watched{client, POLLOUT, 0};
    CALL(poll(&watched, 1, 100));
    return client;
}

bool is_connected(int client) { return look_at_socket(client).state == "ESTABLISHED"; }

void show_queue(int listener) {
    const SocketState state = look_at_socket(listener);
    if (state.waiting >= 0) fmt::print("  listener  {}  queue {}/{}\n", state.state, state.waiting, state.backlog);
}

/// What the listener's kernel has of a client's connection, accepted or not.
std::string server_side_of(const SocketState& client) {
    if (client.pair.empty()) return "nothing";
    const size_t space = client.pair.find(' ');  // the same two ends, the other one first
    const auto entry = look_at_pair(client.pair.substr(space + 1) + " " + client.pair.substr(0, space));
    return entry ? entry->socket.state + (entry->socket.id == 0 ? ", not accepted yet" : ", accepted") : "nothing";
}

void show(int listener, const std::vector<int>& clients) {
    show_queue(listener);
    for (size_t i = 0; i < clients.size(); ++i) {
        const SocketState client = look_at_socket(clients[i]);
        fmt::print("  client {}  {:11}  server's side: {}\n", i + 1, client.state, server_side_of(client));
    }
    fmt::print("\n");
}

/// Whose connection it is that was accepted: the client that has the other end, counted from 1.
size_t number_of(const std::vector<int>& clients, int accepted) {
    const std::string peer = look_at_socket(accepted).peer;
    const auto is_its = [&](int client) { return look_at_socket(client).local == peer; };
    return 1 + static_cast<size_t>(std::find_if(clients.begin(), clients.end(), is_its) - clients.begin());
}

/// Waits until one more of those that are not connected is, at most so long: their kernel has to send its SYN again.
bool wait_for_another(const std::vector<int>& clients, int milliseconds) {
    std::vector<pollfd> watched;
    for (const int client : clients) {
        if (!is_connected(client)) watched.push_back({client, POLLOUT, 0});
    }
    return CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), milliseconds)) > 0;
}

/// With connections of our own in all its places, and one that waits for a place, the listener is deaf to others.
void stay(int listener, int backlog) {
    const Address address = local_address(listener);
    std::vector<int> clients;
    const auto is_full = [&] { return !clients.empty() && !is_connected(clients.back()); };
    while (!is_full() && clients.size() < 2 * static_cast<size_t>(backlog) + 4)
        clients.push_back(begin_to_connect(address));
    announce_ready(listener);
    fmt::print("its queue is full and nobody accepts: a SYN that comes now gets no answer; Ctrl-C ends it\n");
    show_queue(listener);
    std::fflush(stdout);
    for (;;)
        CALL(poll(nullptr, 0, -1));
}

}  // namespace

int main(int argc, char** argv) try {
    long backlog = 1;
    long count = 4;
    bool stays = false;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "A listener's queue: who is served, who waits, who is not heard.",
                       .more = {{"backlog", "N", "the backlog that listen() is given", &backlog, 0, 128},
                                {"clients", "N", "how many clients connect", &count, 1, 64},
                                {"stay", nullptr, "fill the queue and stay so, until Ctrl-C", &stays}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, static_cast<int>(backlog)));
    if (stays) stay(listener, static_cast<int>(backlog));

    std::vector<int> clients;
    for (long i = 0; i < count; ++i)
        clients.push_back(begin_to_connect(local_address(listener)));
    fmt::print("listen(listener, {}), and {} clients have called connect():\n", backlog, count);
    show(listener, clients);

    for (long served = 0; served < count; ++served) {
        if (!wait_until_readable(listener, 10'000)) throw std::runtime_error("no connection to accept for 10 seconds");
        const bool all_connected = std::all_of(clients.begin(), clients.end(), is_connected);
        const int accepted = CALL(accept(listener, nullptr, nullptr));
        fmt::print("accept() takes the connection of client {}\n", number_of(clients, accepted));
        if (!all_connected) {
            const bool moved = wait_for_another(clients, 10'000);
            fmt::print("{}\n",
                       moved ? "one that waited has sent its SYN again, and now has its place:" : "none moves up:");
        }
        show(listener, clients);
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
