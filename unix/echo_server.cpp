// Unix domain echo server: as tcp/echo_server.cpp, with a path where that has a host and a port.
//
//     terminal 1:  build/unix/echo_server --step
//     terminal 2:  build/unix/echo_client --step
//
// bind() makes a file that is the socket's name, and nobody removes it when the server dies: a server has to cope with
// the file that its predecessor left. Try it: kill -9 the server, look with ls, start it again with --trace.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// Is there a server behind this path, or anything else that is not ours to remove?
bool in_use(const std::string& path, const Address& address) {
    struct stat status {};
    if (TRY(lstat(path.c_str(), &status)) == -1) return errno != ENOENT;  // gone: its owner has ended just now
    if (!S_ISSOCK(status.st_mode)) return true;

    const int probe = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(fcntl(probe, F_SETFL, O_NONBLOCK));  // a server whose queue is full would let us wait
    const bool refused = TRY(connect(probe, address.get(), address.length())) == -1 && errno == ECONNREFUSED;
    TRY(close(probe));
    return !refused;
}

/// bind(), also where a server that was killed has left its file behind.
void bind_to_path(int listener, const std::string& path, const Address& address) {
    try {
        CALL(bind(listener, address.get(), address.length()));
    } catch (const SocketError& error) {
        if (error.code().value() != EADDRINUSE || in_use(path, address)) throw;
        TRY(unlink(path.c_str()));
        CALL(bind(listener, address.get(), address.length()));
    }
    remove_at_exit(path);
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
        {.summary = "Unix domain echo server: returns every byte to the client that sent it, one client at a time.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "echo",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = unix_address(options.path);

    const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    bind_to_path(listener, options.path, address);
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
