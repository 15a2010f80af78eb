// Unix domain server that knows who is there: the kernel tells which process, of which user, is at the other end.
//
//     terminal 1:  build/unix/credentials_server --step
//     terminal 2:  build/unix/credentials_client --step
//
// It greets you by name, without having asked for it or for a password, and sends back what you send; and it refuses
// other users. Nobody can lie to it: what it is told comes from the kernel, not from the client. Two questions:
// who connected (SO_PEERCRED, or getpeereid() on macOS), and on Linux, who sent this message (SCM_CREDENTIALS)?
// Try it as another user: the lesson says how.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <optional>

namespace {

/// The user that --allow names; without it, nobody but our own.
std::optional<uid_t> allowed_user;

bool is_allowed(uid_t user) { return user == geteuid() || user == allowed_user; }

/// "root", or "uid 4711" of one that has no name.
std::string name_of(uid_t user) {
    const passwd* entry = getpwuid(user);
    return entry != nullptr ? escaped(entry->pw_name) : fmt::format("uid {}", user);
}

uid_t read_user(const std::string& text) {
    if (const passwd* entry = getpwnam(text.c_str())) return entry->pw_uid;
    return static_cast<uid_t>(parse_number(text, 0, 4294967294, "--allow: no user has this name, and as a number"));
}

#ifdef __linux__
/// Who connected: as it was in that moment, whoever has the descriptor now.
uid_t user_who_connected(int connection) {
    ucred peer{};
    socklen_t length = sizeof peer;
    CALL(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    fmt::print(stderr, "connected by {}, pid {}\n", name_of(peer.uid), peer.pid);
    return peer.uid;
}

/// From now on the kernel adds to every message who sent it, whether the sender does so or not. What is accepted from
/// this listener inherits it.
void ask_for_senders(int listener) {
    const int on = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof on));
}

/// Receives bytes of one sender: the kernel never joins those of two. 0: the end.
size_t receive(int connection, char* bytes, size_t room, uid_t& sender) {
    // Room for this and nothing else: descriptors that somebody sends along find none, and the kernel closes them.
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof(ucred))];
    iovec place{.iov_base = bytes, .iov_len = room};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t received = CALL(recvmsg(connection, &message, 0));
    if (received == 0) return 0;

    ucred credentials{.pid = 0, .uid = static_cast<uid_t>(-1), .gid = 0};
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level == SOL_SOCKET && part->cmsg_type == SCM_CREDENTIALS) {
            std::memcpy(&credentials, CMSG_DATA(part), sizeof credentials);
        }
    }
    fmt::print(stderr, "{} bytes by {}, pid {}\n", received, name_of(credentials.uid), credentials.pid);
    sender = credentials.uid;
    return static_cast<size_t>(received);
}
#else
uid_t user_who_connected(int connection) {
    uid_t user = 0;
    gid_t group = 0;
    CALL(getpeereid(connection, &user, &group));
    fmt::print(stderr, "connected by {}\n", name_of(user));
    return user;
}

void ask_for_senders(int /*listener*/) {}  // macOS tells of a connection only, not of a message

size_t receive(int connection, char* bytes, size_t room, uid_t& /*sender: who connected*/) {
    return static_cast<size_t>(CALL(recv(connection, bytes, room, 0)));
}
#endif

void say(int connection, const std::string& words) { send_all(connection, words.data(), words.size()); }

/// Greets who has connected, and returns what arrives, as long as it is by somebody who may be here.
void serve(int connection) {
    uid_t user = user_who_connected(connection);
    if (!is_allowed(user)) {
        fmt::print(stderr, "refused: {}\n", name_of(user));
        return say(connection, fmt::format("not for you, {}\n", name_of(user)));
    }
    say(connection, fmt::format("hello, {}\n", name_of(user)));
    char buffer[4096];
    while (const size_t received = receive(connection, buffer, sizeof buffer, user)) {
        if (!is_allowed(user)) {
            fmt::print(stderr, "refused: {}\n", name_of(user));
            return;
        }
        send_all(connection, buffer, received);
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
    std::optional<std::string> allow;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain server that asks the kernel who its clients are, and refuses other users.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "credentials",
         .more = {{"allow", "USER", "a user, by name or number, who is served besides our own", &allow},
                  {"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    if (allow) allowed_user = read_user(*allow);

    const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    ask_for_senders(listener);
    bind_to_path(listener, options.path);
    // Anybody who gets through the directory may connect: it is not the file's permissions that decide here.
    CALL(chmod(options.path.c_str(), 0666));
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
