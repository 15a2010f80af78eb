// Exercise broken_pipe: a client that has gone. Repair it.
//
//     scripts/exercise broken_pipe        grades it, and says what goes wrong
//     scripts/exercise hint broken_pipe   says a little more, three times
//
// The server counts for its client, "1\n2\n3\n..." without an end, as fast as the client reads. Every client leaves at
// some time, mostly in the middle. That must not end the server, nor keep it busy: the next client is served from 1.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <csignal>
#include <string>

#include <sys/socket.h>
#include <unistd.h>

namespace {

void serve(int connection) {
    for (unsigned long number = 1;; ++number) {
        const std::string line = std::to_string(number) + "\n";
        size_t gone = 0;
        while (gone < line.size()) {
            const ssize_t sent = TRY(send(connection, line.data() + gone, line.size() - gone, 0));
            if (sent > 0) gone += static_cast<size_t>(sent);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: a client that has gone."});
    signal(SIGPIPE, SIG_DFL);  // as any program begins; parse_options() ignores it for those of the chapters
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            serve(connection);
        } catch (const SocketError& error) {
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
