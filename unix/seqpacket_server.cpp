// Unix domain server for messages: a connection as unix/echo_server.cpp has, and boundaries as datagrams have.
//
//     terminal 1:  build/unix/seqpacket_server --step
//     terminal 2:  build/unix/seqpacket_client --step
//
// SOCK_SEQPACKET is the only type that offers both. Each send() of the client is one recvmsg() here, or the beginning
// of it: what does not fit is lost. Try it: --room 5, and a longer line; diff unix/echo_server.cpp
// unix/seqpacket_server.cpp macOS has no such Unix sockets: socket() fails there with EPROTONOSUPPORT.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <vector>

namespace {

/// Returns each message to where it came from. recvmsg() says 0 when the client has closed its side, and cannot be told
/// from one that brings an empty message: there is no end for who sends such.
void serve(int connection, size_t room) {
    std::vector<char> buffer(room);
    for (;;) {
        iovec place{.iov_base = buffer.data(), .iov_len = buffer.size()};
        msghdr message{};
        message.msg_iov = &place;
        message.msg_iovlen = 1;
        const ssize_t received = CALL(recvmsg(connection, &message, 0));
        if (received == 0) return;
        if ((message.msg_flags & MSG_TRUNC) != 0) {
            fmt::print(stderr, "a message was cut off after {} bytes, and the rest is lost\n", received);
        }
        CALL(send(connection, buffer.data(), static_cast<size_t>(received), 0));  // all of it, or it fails
    }
}

/// accept() brings the errors of clients, too: of one that gave up while it waited in the queue, for instance.
int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 300;
    long room = 4096;
    const Options options = parse_options(
        argc, argv,
        {.summary =
             "Unix domain message server: returns every message to the client that sent it, one client at a time.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "seqpacket",
         .more = {{"room", "BYTES", "the buffer for a message", &room, 1, 65536},
                  {"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});

    const int listener = CALL(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    bind_to_path(listener, options.path);
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, idle);
            serve(connection, static_cast<size_t>(room));
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
