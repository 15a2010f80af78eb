// Exercise close_handshake: the end of a WebSocket connection. Repair serve().
//
//     scripts/exercise close_handshake        grades it, and says what goes wrong
//     scripts/exercise hint close_handshake   says a little more, three times
//
// An echo server for small messages that ends its connections wrongly, and browsers report 1006, "closed abnormally".
// What it should do (RFC 6455, sections 5.5.1, 7.1.1, 7.4): answer Close once, with the same code if there is one and
// it may travel, and with 1002 if what came is no Close that may be sent; say nothing more; and end TCP itself, before
// the client does, in a way that does not destroy the answer.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <stdexcept>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

enum Opcode : unsigned { text = 1, binary = 2, close_frame = 8, ping = 9, pong = 10 };

struct Frame {
    unsigned opcode = 0;
    std::string payload;  // unmasked
    std::string bytes;    // as it came
};

std::string read_exactly(int connection, size_t count) {
    std::string bytes(count, 0);
    for (size_t have = 0; have < count;) {
        const ssize_t received = CALL(recv(connection, bytes.data() + have, count - have, 0));
        if (received == 0) throw std::runtime_error("the client has ended the connection");
        have += static_cast<size_t>(received);
    }
    return bytes;
}

/// Small ones in one piece are enough here: echo_to_spec is about the others.
Frame read_frame(int connection) {
    const std::string head = read_exactly(connection, 2);
    const auto second = static_cast<unsigned char>(head[1]);
    const size_t size = second & 0x7FU;
    if ((second & 0x80U) == 0 || size > 125) throw std::runtime_error("a frame without a mask, or a long one");
    const std::string key = read_exactly(connection, 4);
    const std::string masked = read_exactly(connection, size);
    Frame frame{static_cast<unsigned char>(head[0]) & 0x0FU, masked, head + key + masked};
    for (size_t i = 0; i < size; ++i)
        frame.payload[i] = static_cast<char>(masked[i] ^ key[i % 4]);
    return frame;
}

void send_frame(int connection, unsigned opcode, std::string_view payload) {
    std::string frame{static_cast<char>(0x80U | opcode), static_cast<char>(payload.size())};
    frame += payload;
    send_all(connection, frame.data(), frame.size());
}

/// Takes any request that has a key.
void upgrade(int connection) {
    std::string request;
    while (!request.ends_with("\r\n\r\n") && request.size() < 8192)
        request += read_exactly(connection, 1);
    constexpr std::string_view name = "\r\nSec-WebSocket-Key: ";
    const size_t at = request.find(name);
    if (at == std::string::npos) throw std::runtime_error("a request without a key");
    const std::string joined = request.substr(at + name.size(), 24) + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH], accept[29];
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest);
    EVP_EncodeBlock(accept, digest, sizeof digest);
    const std::string answer =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
        std::string(reinterpret_cast<const char*>(accept)) + "\r\n\r\n";
    send_all(connection, answer.data(), answer.size());
}

void serve(int connection) {
    upgrade(connection);
    for (;;) {
        const Frame frame = read_frame(connection);
        if (frame.opcode == close_frame) {
            send_all(connection, frame.bytes.data(), frame.bytes.size());  // the same back
        } else if (frame.opcode == ping) {
            send_frame(connection, pong, frame.payload);
        } else if (frame.opcode == text || frame.opcode == binary) {
            send_frame(connection, frame.opcode, frame.payload);
        }
    }
}
}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: the end of a WebSocket connection."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        try {
            limit_waiting(connection, 20);
            serve(connection);
        } catch (const std::exception& error) {
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
