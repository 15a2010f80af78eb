// Exercise stale_path: the file that a dead server has left, and the one that a living server needs. Repair bind_to().
//
//     scripts/exercise stale_path        grades it, and says what goes wrong
//     scripts/exercise hint stale_path   says a little more, three times
//
// bind() makes a file, and nobody removes it when the server is killed: the next bind() to this path fails with
// EADDRINUSE. So this server removes the file before, as many do. That helps, and does harm: the file may be of a
// server that is alive, which from then on nobody can reach any more; or it may be no socket at all. In both cases the
// file is to stay, and the program is to end with status 1. A living server may be too busy to answer.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// Binds to the path; also where a server that was killed has left its file.
void bind_to(int listener, const std::string& path) {
    const Address address = unix_address(path);
    TRY(unlink(path.c_str()));
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
