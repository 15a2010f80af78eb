// Exercise stale_path, solved: the file that a dead server has left, and the one that a living server needs.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// A socket's file with nobody behind it?
bool is_stale(const std::string& path, const Address& address) {
    struct stat status {};
    if (TRY(lstat(path.c_str(), &status)) == -1 || !S_ISSOCK(status.st_mode)) return false;
    const int probe = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(fcntl(probe, F_SETFL, O_NONBLOCK));  // a server whose queue is full would let us wait
    const bool refused = TRY(connect(probe, address.get(), address.length())) == -1 && errno == ECONNREFUSED;
    TRY(close(probe));
    return refused;
}

/// Binds to the path; also where a server that was killed has left its file.
void bind_to(int listener, const std::string& path) {
    const Address address = unix_address(path);
    if (TRY(bind(listener, address.get(), address.length())) == 0) return;
    const int error = errno;
    if (error != EADDRINUSE || !is_stale(path, address))
        throw SocketError(error, {"bind(listener, ...)", __FILE__, __LINE__});
    CALL(unlink(path.c_str()));
    CALL(bind(listener, address.get(), address.length()));
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Exercise: the file that a dead server has left, and the one of a living server.",
                       .endpoint = Endpoint::unix_path,
                       .socket_name = "stale"});
    const int listener = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    bind_to(listener, options.path);
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    const std::string words = fmt::format("this is process {}\n", getpid());
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            send_all(connection, words.data(), words.size());
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
