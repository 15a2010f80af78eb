// Exercise exact_read, solved: read exactly so many bytes.
//
// A record has 16 bytes, and nothing marks where it ends. The server answers each record with its bytes in reverse
// order, and closes the connection when the client does. However the network cuts the stream, no record may be lost,
// and half a record at the end gets no answer.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <algorithm>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr size_t record_size = 16;

/// Receives so many bytes. False if the stream ended before.
bool receive_exactly(int connection, char* bytes, size_t count) {
    size_t have = 0;
    while (have < count) {  // each recv() brings at least one byte: how many is the network's affair
        const auto received = static_cast<size_t>(CALL(recv(connection, bytes + have, count - have, 0)));
        if (received == 0) return false;
        have += received;
    }
    return true;
}

void serve(int connection) {
    char record[record_size];
    while (receive_exactly(connection, record, sizeof record)) {
        std::reverse(record, record + sizeof record);
        send_all(connection, record, sizeof record);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: read exactly so many bytes."});
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
