// A pair of connected sockets without a name: socketpair, fork, send, recv, close. A parent and a child talk.
//
//     build/unix/socketpair                  type lines; Ctrl-D ends the input
//     build/unix/socketpair --forget         the mistake: who forgets to close what fork() has copied
//
// The child returns each line in capitals. When the parent closes its end, the child's recv() returns 0, and the child
// ends; but only if nobody else has that end open: after fork() each process has both ends, and has to close the one
// that is the other's. Try it with --trace, with --forget, and then with --forget --shutdown.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cctype>
#include <csignal>
#include <stdexcept>

namespace {

/// What the child does until its parent sends no more. Returns its exit status.
int be_the_child(int end) {
    limit_waiting(end, 300);
    char line[4096];
    while (const ssize_t received = CALL(recv(end, line, sizeof line, 0))) {
        for (ssize_t i = 0; i < received; ++i)
            line[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(line[i])));
        send_all(end, line, static_cast<size_t>(received));
    }
    fmt::print(stderr, "child: recv() returned 0: nobody has the other end open any more\n");
    CALL(close(end));
    return 0;
}

/// Sends standard input to the child, piece by piece, and prints what it makes of each.
void talk_to_child(int end) {
    Output output;
    char piece[4096];  // fits into any buffer: neither side ever waits for the other to read
    while (const ssize_t count = CALL(read(STDIN_FILENO, piece, sizeof piece))) {
        send_all(end, piece, static_cast<size_t>(count));
        for (ssize_t missing = count; missing > 0;) {
            char answer[4096];
            const ssize_t received = CALL(recv(end, answer, static_cast<size_t>(missing), 0));
            if (received == 0) throw std::runtime_error("the child has ended");
            output.write({answer, static_cast<size_t>(received)});
            missing -= received;
        }
    }
}

void wake_up(int /*signal*/) {}

/// Waits until the child has ended, but not much longer than a second: then a timer's signal interrupts waitpid(), and
/// this is false. It comes again and again, in case the first comes before we wait.
bool has_ended(pid_t child, int& status) {
    struct sigaction action {};
    action.sa_handler = wake_up;
    sigaction(SIGALRM, &action, nullptr);  // without SA_RESTART: the call returns -1 (EINTR)
    const itimerval every_second{.it_interval = {1, 0}, .it_value = {1, 0}};
    setitimer(ITIMER_REAL, &every_second, nullptr);
    const pid_t ended = TRY(waitpid(child, &status, 0));
    const itimerval never{};
    setitimer(ITIMER_REAL, &never, nullptr);
    return ended == child;
}

}  // namespace

int main(int argc, char** argv) try {
    bool forget = false;
    bool by_shutdown = false;
    parse_options(argc, argv,
                  {.summary = "A parent and a child talk over a pair of sockets that has no name.",
                   .endpoint = Endpoint::none,
                   .more = {{"forget", nullptr, "the mistake: close none of the copies that fork() made", &forget},
                            {"shutdown", nullptr, "end the sending by shutdown(), not by close()", &by_shutdown}}});

    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    const int parent_end = ends[0];
    const int child_end = ends[1];

    const pid_t child = CALL(fork());
    if (child == 0) {
        int status = 1;
        try {
            if (!forget) CALL(close(parent_end));  // or we'd wait for ourselves to close it
            status = be_the_child(child_end);
        } catch (const std::exception& error) {
            status = report_failure(error);
        }
        _exit(status);
    }
    if (!forget) CALL(close(child_end));  // or we'd not be told when the child ends

    talk_to_child(parent_end);
    if (by_shutdown) CALL(shutdown(parent_end, SHUT_WR));  // ends the socket, whoever has it open
    if (!by_shutdown) CALL(close(parent_end));             // gives back one descriptor of it

    int status = 0;
    if (!has_ended(child, status)) {
        fmt::print(stderr,
                   "parent: I have closed my end, and the child waits on: it has a copy of that end itself, as fd {}\n",
                   parent_end);
        CALL(kill(child, SIGTERM));
        CALL(waitpid(child, &status, 0));
    }
    if (WIFEXITED(status)) return WEXITSTATUS(status);
} catch (const std::exception& error) {
    return report_failure(error);
}
