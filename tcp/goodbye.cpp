// How a TCP connection ends: by FIN, by RST, and by sending to nobody. Both ends are in this process, and after each
// call it asks the kernel for the state of both.
//
//     build/tcp/goodbye                      all scenes
//     build/tcp/goodbye --scene unread       one of them; --help names them
//
// Try it with --trace, with --host ::1, and look at what is left: ss -tan state time-wait.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <optional>

namespace {

/// The two ends of one connection. A pair is how the kernel's table of connections names an end: it knows the end
/// longer than any descriptor does.
struct Ends {
    int client = -1, server = -1;
    std::string client_pair, server_pair;
};

SocketState look_at(int fd) {
    for (const SocketState& socket : look_at_sockets())
        if (socket.fd == fd) return socket;
    return {};
}

/// "ESTABLISHED"; "no more" when the kernel has forgotten the connection.
std::string state_of(int fd, const std::string& pair) {
    if (fd != -1) return look_at(fd).state;
    const std::string state = state_of_pair(pair);
#ifdef __linux__
    return state.empty() ? "no more" : state;
#else
    return "not shown";  // by macOS to a program; netstat -an shows it to you
#endif
}

struct States {
    std::string client, server;
};

/// Asks the kernel for the states of both ends. Loopback is fast, but not instant: those that are to come are waited
/// for, a second at most. What is returned is not what should be, but what is.
States wait_for(const Ends& ends, const States& expected) {
    using namespace std::chrono;
    const auto deadline = steady_clock::now() + seconds(1);
    for (;;) {
        States now{state_of(ends.client, ends.client_pair), state_of(ends.server, ends.server_pair)};
        const auto is = [](const std::string& state, const std::string& wanted) {
            return state == wanted || state == "not shown";
        };
        const bool there = is(now.client, expected.client) && is(now.server, expected.server);
        if (there || steady_clock::now() >= deadline) return now;
        poll(nullptr, 0, 1);
    }
}

/// A line of the story.
void show(const Ends& ends, const std::string& what, const States& expected) {
    const States states = wait_for(ends, expected);
    fmt::print("  {:<45}{:<13}{}\n", what, states.client, states.server);
}

/// "send(client) = 5", or "recv(client) = -1 ECONNRESET".
std::string outcome(const char* call, ssize_t result) {
    return result == -1 ? fmt::format("{} = -1 {}", call, error_name(errno)) : fmt::format("{} = {}", call, result);
}

Address here;  // this machine, at a port that the kernel picks

/// A connection from this process to itself. A listener has a queue, so connect() does not wait for accept().
Ends connect_ends() {
    const int listener = CALL(socket(here.family(), SOCK_STREAM, 0));
    CALL(bind(listener, here.get(), here.length()));
    CALL(listen(listener, 1));
    const Address address = local_address(listener);

    Ends ends;
    ends.client = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(connect(ends.client, address.get(), address.length()));
    ends.server = CALL(accept(listener, nullptr, nullptr));
    CALL(close(listener));
    ends.client_pair = look_at(ends.client).pair;
    ends.server_pair = look_at(ends.server).pair;
    return ends;
}

Ends begin_scene() {
    Ends ends = connect_ends();
    fmt::print("  {:<45}{:<13}{}\n", "", "client", "server");
    show(ends, "connect(client), accept()", {"ESTABLISHED", "ESTABLISHED"});
    return ends;
}

// What each scene does to the descriptor is done to the Ends, too, so that show() asks for the right thing.
void close_end(int& fd) {
    CALL(close(fd));
    fd = -1;
}

// ---- The scenes

void client_first() {
    Ends ends = begin_scene();
    char byte = 0;
    close_end(ends.client);
    show(ends, "close(client): FIN", {"FIN_WAIT_2", "CLOSE_WAIT"});
    const ssize_t received = CALL(recv(ends.server, &byte, 1, 0));
    show(ends, outcome("recv(server)", received), {"FIN_WAIT_2", "CLOSE_WAIT"});
    close_end(ends.server);
    show(ends, "close(server): FIN", {"TIME_WAIT", "no more"});
    fmt::print("  Both FINs are confirmed. Who closed first waits for what may still be on its way.\n");
}

void server_first() {
    Ends ends = begin_scene();
    char byte = 0;
    close_end(ends.server);
    show(ends, "close(server): FIN", {"CLOSE_WAIT", "FIN_WAIT_2"});
    const ssize_t received = CALL(recv(ends.client, &byte, 1, 0));
    show(ends, outcome("recv(client)", received), {"CLOSE_WAIT", "FIN_WAIT_2"});
    close_end(ends.client);
    show(ends, "close(client): FIN", {"no more", "TIME_WAIT"});
    fmt::print("  The same, with the parts exchanged. TIME_WAIT has the server's port: SO_REUSEADDR is for that.\n");
}

void unread() {
    Ends ends = begin_scene();
    char byte = 0;
    const ssize_t sent = CALL(send(ends.client, "hello", 5, 0));
    show(ends, outcome("send(client, \"hello\")", sent), {"ESTABLISHED", "ESTABLISHED"});
    wait_until_readable(ends.server, 1000);
    close_end(ends.server);
    show(ends, "close(server), 5 bytes unread: RST", {"CLOSED", "no more"});
    const ssize_t received = TRY(recv(ends.client, &byte, 1, 0));
    show(ends, outcome("recv(client)", received), {"CLOSED", "no more"});
    close_end(ends.client);
    show(ends, "close(client)", {"no more", "no more"});
    fmt::print("  The client is told that its bytes were never read. Nobody waits in TIME_WAIT.\n");
}

void linger_zero() {
    Ends ends = begin_scene();
    char byte = 0;
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    CALL(setsockopt(ends.client, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    show(ends, "setsockopt(client, SO_LINGER, 0 seconds)", {"ESTABLISHED", "ESTABLISHED"});
    close_end(ends.client);
    show(ends, "close(client): RST", {"no more", "CLOSED"});
    const ssize_t received = TRY(recv(ends.server, &byte, 1, 0));
    show(ends, outcome("recv(server)", received), {"no more", "CLOSED"});
    close_end(ends.server);
    show(ends, "close(server)", {"no more", "no more"});
    fmt::print(
        "  No goodbye at all. What had not been sent yet would be lost. It is for emergencies, and for tests.\n");
}

void late() {
    Ends ends = begin_scene();
    close_end(ends.server);
    show(ends, "close(server): FIN", {"CLOSE_WAIT", "FIN_WAIT_2"});
    const ssize_t first = TRY(send(ends.client, "hello", 5, 0));
    show(ends, outcome("send(client, \"hello\")", first), {"CLOSED", "no more"});
    const ssize_t second = TRY(send(ends.client, "hello", 5, 0));
    show(ends, outcome("send(client, \"hello\")", second), {"CLOSED", "no more"});
    close_end(ends.client);
    show(ends, "close(client)", {"no more", "no more"});
    fmt::print(
        "  A FIN says \"I send no more\", not \"I read no more\": the first send() could not know. It was answered\n"
        "  with RST, and the second is told. It is told by a signal as well: see the next scene.\n");
}

// SIGPIPE is raised in the process that sends, and ends it, unless it took precautions. These are the usual ones. Each
// is tried by a child, which gives back the flags for its send().

int take_none(int /*connection*/) { return 0; }

int ignore_signal(int /*connection*/) {
    std::signal(SIGPIPE, SIG_IGN);  // for the whole process, and what it execs: parse_options() does it for all of ours
    return 0;
}

#ifdef __linux__
int use_flag(int /*connection*/) { return MSG_NOSIGNAL; }  // for this send() alone
#else
int use_flag(int connection) {
    const int on = 1;  // for this socket alone
    CALL(setsockopt(connection, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof on));
    return 0;
}
#endif

/// A child sends into a connection that the other side has closed, for the second time. Says what becomes of it.
void send_in_child(const char* what, int (*take_precaution)(int connection)) {
    Ends ends = connect_ends();
    close_end(ends.server);
    CALL(send(ends.client, "hello", 5, 0));
    wait_for(ends, {"CLOSED", "no more"});  // the RST has come

    std::fflush(stdout);  // or the child would have what waits there, too
    const pid_t child = CALL(fork());
    if (child == 0) {
        int status = 255;
        try {
            std::signal(SIGPIPE, SIG_DFL);  // as every process begins
            const int flags = take_precaution(ends.client);
            const ssize_t sent = TRY(send(ends.client, "hello", 5, flags));
            status = sent == -1 ? errno : 0;
        } catch (const std::exception& error) {
            report_failure(error);
        }
        _exit(status);
    }
    close_end(ends.client);
    int status = 0;
    CALL(waitpid(child, &status, 0));
    fmt::print("  {:<45}{}\n", what,
               WIFSIGNALED(status)
                   ? fmt::format("killed by signal {}: {}", WTERMSIG(status), strsignal(WTERMSIG(status)))
                   : fmt::format("send() = -1 {}, and it lives", error_name(WEXITSTATUS(status))));
}

void sigpipe() {
    fmt::print("  {:<45}{}\n", "what the sender does about it", "what becomes of the sender");
    send_in_child("nothing", take_none);
    send_in_child("signal(SIGPIPE, SIG_IGN)", ignore_signal);
#ifdef __linux__
    send_in_child("send(..., MSG_NOSIGNAL): not on macOS", use_flag);
#else
    send_in_child("setsockopt(SO_NOSIGPIPE): not on Linux", use_flag);
#endif
    fmt::print("  A filter in a shell pipe should die with its reader. A server should not die with a client.\n");
}

struct Scene {
    const char* name;
    const char* title;
    void (*play)();
};

constexpr std::array scenes{
    Scene{"client-first", "FIN from both, and the client begins", client_first},
    Scene{"server-first", "FIN from both, and the server begins", server_first},
    Scene{"unread", "close() with bytes unread", unread},
    Scene{"linger", "close() with SO_LINGER and no time", linger_zero},
    Scene{"late", "sending into a closed connection", late},
    Scene{"sigpipe", "the signal that comes with EPIPE", sigpipe},
};

std::string names_of_scenes() {
    std::string names;
    for (const Scene& scene : scenes)
        names += (names.empty() ? "" : ", ") + std::string(scene.name);
    return names;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.0.0.1";
    std::optional<std::string> wanted;
    const std::string help = "one of: " + names_of_scenes();
    parse_options(
        argc, argv,
        {.summary = "How a TCP connection ends: FIN, RST, and sending to nobody, with the states of both ends.",
         .endpoint = Endpoint::none,
         .more = {{"host", "HOST", "this machine's address or name to connect at", &host},
                  {"scene", "NAME", help.c_str(), &wanted}}});
    const auto is_wanted = [&](const Scene& scene) { return !wanted || *wanted == scene.name; };
    if (std::none_of(scenes.begin(), scenes.end(), is_wanted)) {
        throw UsageError(fmt::format("--scene {}: expected {}", escaped(*wanted), help));
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, beside the narration, to a file or pipe, too
    here = resolve(host, 0, SOCK_STREAM).front();
    for (const Scene& scene : scenes) {
        if (!is_wanted(scene)) continue;
        fmt::print("{}: {}\n", scene.name, scene.title);
        scene.play();
        fmt::print("\n");
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
