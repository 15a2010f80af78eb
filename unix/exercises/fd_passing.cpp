// Exercise fd_passing: what is sent to us is ours to close. Repair receive_descriptor() and
// serve_one().
//
//     scripts/exercise fd_passing        grades it, and says what goes wrong
//     scripts/exercise hint fd_passing   says a little more, three times
//
// A worker as unix/passing_worker.cpp: its master sends it a byte and, with it, a descriptor. It answers g (got it),
// writes a line to the descriptor, closes it, and says d (done). As long as each byte brings exactly one, it works. But
// with a byte none may come, or several, or fewer than were sent, since the worker has no room for them, or no number
// free (MSG_CTRUNC): then it is to answer n, write nothing, and keep nothing. What it has received must never stay
// open, and no program that it may start later may inherit it (FD_CLOEXEC).

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <cstring>
#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

/// Receives a byte, and the descriptor that came with it, or -1. Returns 0 when the master has ended.
ssize_t receive_descriptor(int master, int& fd) {
    char byte = 0;
    iovec place{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))];
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t count = CALL(recvmsg(master, &message, 0));
    fd = -1;
    const cmsghdr* part = CMSG_FIRSTHDR(&message);
    if (part != nullptr && part->cmsg_type == SCM_RIGHTS) std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
    return count;
}

/// Tells the master: g, got it; n, not what was agreed; d, done.
void tell(int master, char word) { send_all(master, &word, 1); }

/// One message. False: there will be no more.
bool serve_one(int master) {
    int fd = -1;
    if (receive_descriptor(master, fd) == 0) return false;
    tell(master, fd != -1 ? 'g' : 'n');
    if (fd == -1) return true;
    try {
        write_all(fd, fmt::format("hello from process {}\n", getpid()));
    } catch (const SocketError& error) {  // this client's trouble is not the next one's
        complain(error);
    }
    TRY(close(fd));
    tell(master, 'd');
    return true;
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv,
                                          {.summary = "Exercise: what is sent to us is ours to close.",
                                           .endpoint = Endpoint::unix_path,
                                           .socket_name = "passing"});
    const Address address = unix_address(options.path);
    const int master = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(connect(master, address.get(), address.length()));
    while (serve_one(master)) {
    }
    CALL(close(master));
} catch (const std::exception& error) {
    return report_failure(error);
}
