// TCP echo server with a process for each client: fork. Nobody waits for another one's client any more.
//
//     terminal 1:  build/tcp/fork_server --trace
//     terminal 2:  build/tcp/echo_client                          (and in terminals 3, 4, ...)
//
// It is echo_server.cpp up to accept(). Then a child, a copy of this process, serves the client, while the parent is
// back in accept(). Try it: look at the family with  ps -o pid,ppid,stat,args -C fork_server ; kill -9 one child, and
// see that the other clients do not notice; and find out what becomes of the children when the parent is killed so.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <array>
#include <csignal>

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
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

/// The children's numbers; 0 is a free place. Signal handlers use it, and others only while those are held back.
std::array<pid_t, 2000> children{};

/// SIGCHLD: children have ended. Each is a zombie, an entry in the kernel's table, until its parent has asked how.
void collect_children(int) {
    const int kept_errno = errno;
    for (pid_t child = 0; (child = waitpid(-1, nullptr, WNOHANG)) > 0;) {  // several may be behind one signal
        std::replace(children.begin(), children.end(), child, 0);
    }
    errno = kept_errno;
}

/// SIGINT, SIGTERM: the children end with their parent, which would leave them to process 1 otherwise.
void end_family(int) {
    for (const pid_t child : children) {
        if (child == 0) continue;
        kill(child, SIGTERM);
        kill(child, SIGCONT);  // a stopped one would not end
    }
    while (waitpid(-1, nullptr, 0) > 0 || errno == EINTR) {
    }
    narrator::restore_terminal();
    _exit(0);
}

void handle_signals() {
    struct sigaction action {};
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) {
        sigaddset(&action.sa_mask, signal);  // none of them in the middle of another
    }
    action.sa_flags = static_cast<int>(SA_RESTART);  // accept() goes on after SIGCHLD
    action.sa_handler = collect_children;
    sigaction(SIGCHLD, &action, nullptr);
    action.sa_handler = end_family;
    sigaction(SIGINT, &action, nullptr);
    sigaction(SIGTERM, &action, nullptr);
}

/// Returns twice if all is well: the child's number in the parent, and 0 in the child. -1: there is no child.
pid_t start_child() {
    while (std::find(children.begin(), children.end(), 0) == children.end()) {
        poll(nullptr, 0, 100);  // no place is free: clients wait in the listener's queue. SIGCHLD ends the poll()
    }
    sigset_t handled, before;
    sigemptyset(&handled);
    for (const int signal : {SIGCHLD, SIGINT, SIGTERM}) {
        sigaddset(&handled, signal);
    }
    sigprocmask(SIG_BLOCK, &handled, &before);  // the child may have ended before fork() returns in the parent
    pid_t child = -1;
    try {
        child = CALL(fork());
    } catch (const SocketError& error) {
        complain(error);
    }
    if (child > 0) *std::find(children.begin(), children.end(), 0) = child;
    if (child == 0) children.fill(0);  // it has none
    sigprocmask(SIG_SETMASK, &before, nullptr);
    return child;
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP echo server: returns every byte to the client that sent it, a process for each client.",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    handle_signals();

    for (;;) {
        const int connection = next_client(listener);
        const pid_t child = start_child();
        if (child == 0) {
            TRY(close(listener));  // the parent's
            try {
                limit_waiting(connection, idle);
                const int at_once = 1;
                CALL(setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &at_once, sizeof at_once));  // see the lesson
                serve(connection);
            } catch (const SocketError& error) {  // this client's trouble is nobody else's
                complain(error);
            }
            TRY(close(connection));
            _exit(0);  // not exit(): what the parent has to do at its end is not the child's
        }
        TRY(close(connection));  // the child has it, too: it ends when both have closed it
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
