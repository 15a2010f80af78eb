#include "common/server.hpp"

#include "common/address.hpp"
#include "common/errors.hpp"
#include "common/socket_path.hpp"

#include <fmt/core.h>

#include <csignal>
#include <cstdio>
#include <poll.h>
#include <unistd.h>

namespace {

// A handler that ended only the blocking call would have to win a race: the signal may come just before the call
// blocks, and would then be forgotten. This one does all there is to do by itself, with functions that are safe in a
// handler (signal-safety(7)).
void end_process(int) {
    narrator::restore_terminal();
    remove_socket_file();
    _exit(0);
}

int stop_pipe[2] = {-1, -1};

void note_stop(int) {
    const int kept_errno = errno;
    [[maybe_unused]] const auto written = write(stop_pipe[1], "", 1);
    errno = kept_errno;
}

}  // namespace

int stop_descriptor() {
    CALL(pipe(stop_pipe));
    struct sigaction action {};
    action.sa_handler = note_stop;
    action.sa_flags = static_cast<int>(SA_RESETHAND);
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
    return stop_pipe[0];
}

void announce_ready(int socket) {
    const Address address = local_address(socket);
    announce_ready(address.text(), !address.is_loopback());
}

void announce_ready(const std::string& address, bool can_be_reached) {
    struct sigaction action {};
    action.sa_handler = end_process;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);

    if (can_be_reached) fmt::print(stderr, "{} can be reached from other machines, by anybody\n", address);
    fmt::print("listening on {}\n", address);
    std::fflush(stdout);
}

void survive_accept(const SocketError& error) {
    if (accept_needs_rest(error)) poll(nullptr, 0, 100);
}

bool accept_needs_rest(const SocketError& error) {
    switch (error.code().value()) {
        case EMFILE:
        case ENFILE:
        case ENOBUFS:
        case ENOMEM:
            complain(error);
            return true;
        case EAGAIN:
        case ECONNABORTED:
        case EPROTO:
        case ENETDOWN:
        case ENETUNREACH:
        case EHOSTDOWN:
        case EHOSTUNREACH:
        case ENOPROTOOPT:
        case EOPNOTSUPP:
        case EPERM:
        case ETIMEDOUT:
        case ECONNRESET:
            complain(error);
            return false;
        default:
            throw error;
    }
}
