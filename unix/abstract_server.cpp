// Unix domain echo server in the abstract namespace: as unix/echo_server.cpp, with a name that is no file. Linux only.
//
//     terminal 1:  build/unix/abstract_server --step
//     terminal 2:  build/unix/abstract_client --step
//
// A path that begins with a zero byte is a name in a table of the kernel (unix(7)). It is gone with its socket, so that
// nothing can be left behind: diff unix/echo_server.cpp unix/abstract_server.cpp shows what this saves. The price: no
// permissions. Whoever is in the same network namespace may connect. Try it: ls, ss -xl, sudo -u nobody, unshare -n.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstring>

namespace {

/// A zero byte, and then the name, which may have any bytes in it. There is no byte at its end: the length tells.
Address abstract_address(const std::string& name) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path + 1, name.data(), std::min(name.size(), sizeof address.sun_path - 1));
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    return {reinterpret_cast<const sockaddr*>(&address), length};
}

/// Returns what arrives to where it came from. recv() says 0 when the client has closed its side.
void serve(int connection) {
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        send_all(connection, buffer, static_cast<size_t>(received));
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
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain echo server with an abstract name: returns every byte to the client that sent it, one "
                    "client at a time.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "abstract",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = abstract_address(options.path);

    const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, idle);
            serve(connection);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
