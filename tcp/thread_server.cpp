// TCP echo server with a thread for each client. What fork_server.cpp does with processes costs less so.
//
//     terminal 1:  build/tcp/thread_server --trace
//     terminal 2:  build/tcp/echo_client                          (and in terminals 3, 4, ...)
//
// A thread has its own stack and shares all else, descriptors too: nothing is copied, nothing has to be collected, and
// nothing is protected, either. Try it: ps -o pid,lwp,stat,comm -L -C thread_server ; then let serve() follow a bad
// pointer, in this program and in fork_server.cpp, and see who is still served.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <thread>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// Returns what arrives to where it came from. recv() says 0 when the client has closed its side.
void serve(int connection) {
    char buffer[65536];
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

/// What a thread does. Nothing may be thrown out of it: there is nobody to catch it.
void run_thread(int connection, long idle) try {
    try {
        limit_waiting(connection, idle);
        const int at_once = 1;
        CALL(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once));  // see the lesson
        serve(connection);
    } catch (const SocketError& error) {  // this client's trouble is nobody else's
        complain(error);
    }
    TRY(close(connection));
} catch (const std::exception& error) {
    _exit(report_failure(error));  // not exit(): the other threads are still at work
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP echo server: returns every byte to the client that sent it, a thread for each client.",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            std::thread(run_thread, connection, idle).detach();  // nobody waits for its end
        } catch (const std::system_error& error) {               // there is no room for another
            complain(error);
            TRY(close(connection));
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
