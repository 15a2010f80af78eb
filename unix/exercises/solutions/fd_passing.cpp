// Exercise fd_passing, solved: what is sent to us is ours to close.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <cstring>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr size_t most = 8;

struct Message {
    ssize_t count;         // of its bytes; 0: the master has ended
    std::vector<int> fds;  // that came with it
    bool cut;              // more were sent than came
};

Message receive_message(int master) {
    char byte = 0;
    iovec place{&byte, 1};
    alignas(cmsghdr) char control[CMSG_SPACE(most * sizeof(int))];
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
#ifdef __linux__
    Message result{CALL(recvmsg(master, &message, MSG_CMSG_CLOEXEC)), {}, false};
#else
    Message result{CALL(recvmsg(master, &message, 0)), {}, false};
#endif
    result.cut = (message.msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
        result.fds.resize((part->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        std::memcpy(result.fds.data(), CMSG_DATA(part), result.fds.size() * sizeof(int));
    }
#ifndef __linux__
    for (const int fd : result.fds)
        CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
#endif
    return result;
}

/// Tells the master: g, got it; n, not what was agreed; d, done.
void tell(int master, char word) { send_all(master, &word, 1); }

/// One message. False: there will be no more.
bool serve_one(int master) {
    const Message message = receive_message(master);
    if (message.count == 0) return false;
    const bool good = message.fds.size() == 1 && !message.cut;
    tell(master, good ? 'g' : 'n');
    try {
        if (good) write_all(message.fds.front(), fmt::format("hello from process {}\n", getpid()));
    } catch (const SocketError& error) {  // this client's trouble is not the next one's
        complain(error);
    }
    for (const int fd : message.fds)
        TRY(close(fd));
    if (good) tell(master, 'd');
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
