// Exercise who_is_there: the kernel knows who has connected. Complete who_is_at().
//
//     scripts/exercise who_is_there        grades it, and says what goes wrong
//     scripts/exercise hint who_is_there   says a little more, three times
//
// A server that greets its own user and refuses others, with the number of the user and of the process that has
// connected: "hello: user 1000, process 4711\n", or "not for you: ...". It asks nobody for a password, and believes
// nothing that a client may say: the kernel knows who called connect(). Linux tells by getsockopt() with SO_PEERCRED
// (man 7 unix), macOS by getpeereid() and by LOCAL_PEERPID of level SOL_LOCAL.

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
    // TO DO: this takes everybody for ourselves.
    static_cast<void>(connection);
    return {geteuid(), getpid()};
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
