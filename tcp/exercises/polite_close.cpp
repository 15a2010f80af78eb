// Exercise polite_close: answer after the end, and close. Repair it: there are two mistakes.
//
//     scripts/exercise polite_close        grades it, and says what goes wrong
//     scripts/exercise hint polite_close   says a little more, three times
//
// A client sends a text, at most a million bytes, and then FIN: it sends no more, but still reads. Only then the server
// returns the whole text, and closes the connection, which tells the client that this was all. Then it serves the next.

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

constexpr size_t longest_text = 1'000'000;

void serve(int connection) {
    char buffer[65536];
    std::string text;
    while (text.size() <= longest_text) {
        const ssize_t received = TRY(recv(connection, buffer, sizeof buffer, 0));
        if (received == -1) break;  // nothing comes any more
        text.append(buffer, static_cast<size_t>(received));
    }
    if (text.size() <= longest_text) send_all(connection, text.data(), text.size());
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: answer after the end, and close."});
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
        TRY(close(listener));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
