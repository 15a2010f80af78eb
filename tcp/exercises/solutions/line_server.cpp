// Exercise line_server, solved: lines out of a stream.
//
// For each line that a client sends, the server answers with a line that says how many bytes it had, without its
// newline: "5\n" to "hello\n". It does so at once, and also for a last line without a newline. A line is bytes: a zero
// byte is one of them. One that has more than 1000 bytes is answered with "too long\n", and the connection is closed.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <string>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t longest_line = 1000;

void answer(int connection, size_t size) {
    const std::string text = size > longest_line ? "too long\n" : std::to_string(size) + "\n";
    send_all(connection, text.data(), text.size());
}

void serve(int connection) {
    char buffer[4096];
    std::string line;  // what came of it so far
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        for (ssize_t i = 0; i < received; ++i) {
            if (buffer[i] != '\n') line += buffer[i];
            if (buffer[i] != '\n' && line.size() <= longest_line) continue;
            answer(connection, line.size());
            if (line.size() > longest_line) return;
            line.clear();
        }
    }
    if (!line.empty()) answer(connection, line.size());
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: lines out of a stream."});
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
