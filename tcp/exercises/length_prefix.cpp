// Exercise length_prefix: messages behind their length. Repair it.
//
//     scripts/exercise length_prefix        grades it, and says what goes wrong
//     scripts/exercise hint length_prefix   says a little more, three times
//
// A message is 4 bytes, its length in network order, and then so many bytes; none at all is a message, too. The server
// returns each message as it came. It closes the connection if a length is above 100000, without waiting for so much,
// and if the stream ends before the message does. What a client announces may be anything: it must not end the server.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <cstdint>
#include <string>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr int longest_message = 100'000;

/// Receives so many bytes. False if the stream ended before.
bool receive_exactly(int connection, void* bytes, size_t count) {
    auto* next = static_cast<char*>(bytes);
    while (count > 0) {
        const ssize_t received = CALL(recv(connection, next, count, 0));
        if (received == 0) return false;
        next += received;
        count -= static_cast<size_t>(received);
    }
    return true;
}

struct Header {
    int length;
};

void serve(int connection) {
    Header header{};
    while (receive_exactly(connection, &header, sizeof header) && header.length <= longest_message) {
        std::string message(static_cast<size_t>(header.length), '\0');
        if (!receive_exactly(connection, message.data(), message.size())) return;
        send_all(connection, &header, sizeof header);
        send_all(connection, message.data(), message.size());
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: messages behind their length."});
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
