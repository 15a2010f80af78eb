// Exercise who_is_there, solved: the kernel knows who has connected.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <string>

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

namespace {

struct Who {
    uid_t user;
    pid_t process;
};

/// Who is at the other end of this connection.
Who who_is_at(int connection) {
#ifdef __linux__
    ucred peer{};
    socklen_t length = sizeof peer;
    CALL(getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &peer, &length));
    return {peer.uid, peer.pid};
#else
    uid_t user = 0;
    gid_t group = 0;
    CALL(getpeereid(connection, &user, &group));
    pid_t process = 0;
    socklen_t length = sizeof process;
    CALL(getsockopt(connection, SOL_LOCAL, LOCAL_PEERPID, &process, &length));
    return {user, process};
#endif
}

void greet(int connection) {
    const Who who = who_is_at(connection);
    const bool welcome = who.user == geteuid();
    const std::string words =
        fmt::format("{}: user {}, process {}\n", welcome ? "hello" : "not for you", who.user, who.process);
    send_all(connection, words.data(), words.size());
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv,
                                          {.summary = "Exercise: the kernel knows who has connected.",
                                           .endpoint = Endpoint::unix_path,
                                           .socket_name = "who"});
    const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    bind_to_path(listener, options.path);
    CALL(chmod(options.path.c_str(), 0666));  // anybody may connect: it is greet() that decides
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            greet(connection);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
