// Exercise many_clients: many clients, one thread. Repair it.
//
//     scripts/exercise many_clients        grades it, and says what goes wrong
//     scripts/exercise hint many_clients   says a little more, three times
//
// An echo server for many clients at a time: a slow one must delay nobody else. A call on a client's socket never waits
// here (O_NONBLOCK); the one place to wait is poll(). What a client does not take yet is kept for it, and as long as
// there is any, nothing more is read from that client. Nothing of it may be lost when it reads again.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <cerrno>
#include <map>
#include <string>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clients = std::map<int, std::string>;  // by descriptor: what is to be sent to it yet

/// What to wait for: a new client at the listener, and at each client room for what is unsent, or else more bytes.
std::vector<pollfd> make_set(int listener, const Clients& clients) {
    std::vector<pollfd> set{{listener, POLLIN, 0}};
    for (const auto& [connection, unsent] : clients)
        set.push_back({connection, static_cast<short>(unsent.empty() ? POLLIN : POLLOUT), 0});
    return set;
}

/// Receives once if nothing is unsent, and sends what the kernel takes now. False: the client has gone.
bool serve(int connection, std::string& unsent) {
    char buffer[65536];
    if (unsent.empty()) {
        const ssize_t received = TRY(recv(connection, buffer, sizeof buffer, 0));
        if (received == -1) return errno == EAGAIN;
        if (received == 0) return false;
        unsent.assign(buffer, static_cast<size_t>(received));
    }
    const ssize_t sent = TRY(send(connection, unsent.data(), unsent.size(), 0));
    if (sent == -1) return errno == EAGAIN;
    unsent.erase(0, static_cast<size_t>(sent));
    return true;
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: many clients, one thread."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    Clients clients;
    std::vector<pollfd> set = make_set(listener, clients);
    for (;;) {
        CALL(poll(set.data(), static_cast<nfds_t>(set.size()), -1));
        for (const pollfd& one : set) {
            if (one.fd == listener || one.revents == 0) continue;
            if (serve(one.fd, clients[one.fd])) continue;
            clients.erase(one.fd);
            TRY(close(one.fd));
        }
        if (set[0].revents != 0) {
            const int connection = CALL(accept(listener, nullptr, nullptr));
            CALL(fcntl(connection, F_SETFL, O_NONBLOCK));
            clients[connection] = "";
            set = make_set(listener, clients);
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
