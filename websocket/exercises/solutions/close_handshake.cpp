// Exercise close_handshake, solved: the end of a WebSocket connection.
//
// The answer is a frame of the server's own, without a mask. Then FIN, and reading on until the client has ended it,
// too: to close with bytes unread would be an RST, which can overtake the answer.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <chrono>
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

/// The payload of our Close.
std::string answer_to_close(std::string_view payload) {
    if (payload.empty()) return "";
    const auto byte = [&](size_t i) { return static_cast<unsigned>(static_cast<unsigned char>(payload[i])); };
    const unsigned code = payload.size() == 1 ? 0 : byte(0) << 8U | byte(1);
    const bool may_travel =
        (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
    return may_travel ? std::string(payload.substr(0, 2)) : std::string("\x03\xEA");  // 1002
}

void hang_up(int connection) {
    TRY(shutdown(connection, SHUT_WR));
    char rest[65536];
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(1);
    while (std::chrono::steady_clock::now() < deadline && wait_until_readable(connection, 1000)) {
        if (TRY(recv(connection, rest, sizeof rest, 0)) <= 0) break;
    }
}

void serve(int connection) {
    upgrade(connection);
    for (;;) {
        const Frame frame = read_frame(connection);
        if (frame.opcode == close_frame) {
            send_frame(connection, close_frame, answer_to_close(frame.payload));
            hang_up(connection);
            return;
        }
        if (frame.opcode == ping) {
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
