// A byte stream through a bridge (websocket/bridge, or websockify) to a TCP server that echoes, for
// tests/bench/websocket_tap.sh: sends so many bytes in binary messages of 64 KiB, receives as many, and prints how long
// that took. What comes back is counted; tests/programs/websocket_bridge_test.cpp looks at it.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include <chrono>
#include <stdexcept>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>

using namespace websocket;

namespace {

/// Shakes hands, and returns what came behind.
std::string shake_hands(int connection, const std::string& host) {
    ClientWishes wishes;
    wishes.host = host;
    wishes.subprotocols = {"binary"};
    ClientHandshake handshake(wishes);
    send_all(connection, handshake.request().data(), handshake.request().size());
    char buffer[4096];
    for (;;) {
        const ssize_t count = CALL(recv(connection, buffer, sizeof buffer, 0));
        std::string_view bytes(buffer, static_cast<std::size_t>(count));
        const auto status = handshake.take(bytes);
        if (status == ClientHandshake::Status::accepted) return std::string(bytes);
        if (status == ClientHandshake::Status::refused || count == 0) throw std::runtime_error(handshake.reason());
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long megabytes = 64;
    const Options options = parse_options(argc, argv,
                                          {.summary = "Sends a byte stream through a bridge and back, and times it.",
                                           .more = {{"megabytes", "N", "so many", &megabytes, 1, 10'000}}});
    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    std::string first = shake_hands(connection, host_and_port(options.host, options.port));
    CALL(fcntl(connection, F_SETFL, O_NONBLOCK));

    std::string frame(most_header_bytes, '\0');
    std::string payload(65536, 'x');
    const FrameHeader header{.opcode = Opcode::binary, .masked = true, .length = payload.size(), .key = fresh_key()};
    frame.resize(write_header(header, frame.data()));
    apply_mask(payload.data(), payload.size(), header.key);
    frame += payload;

    Buffer out;
    Limits limits;
    limits.message_bytes = std::size_t{16} << 20U;
    Connection peer(Role::client, out, limits);
    std::uint64_t messages = static_cast<std::uint64_t>(megabytes) * 16, received = 0;
    const std::uint64_t all = messages * payload.size();
    std::size_t sent = 0;  // of the present frame
    std::vector<char> buffer(std::size_t{256} << 10U);
    const auto begin = std::chrono::steady_clock::now();
    const auto take = [&](char* bytes, std::size_t count) {
        peer.receive(bytes, count);
        while (const auto event = peer.next())
            if (event->opcode == Opcode::binary) received += event->payload.size();
        if (peer.finished()) throw std::runtime_error("the bridge has ended it: " + peer.closing().reason);
    };
    if (!first.empty()) take(first.data(), first.size());
    while (received < all) {
        pollfd watched{connection, static_cast<short>(POLLIN | (messages > 0 ? POLLOUT : 0)), 0};
        CALL(poll(&watched, 1, 20'000));
        if (watched.revents == 0) throw std::runtime_error("nothing moves any more");
        if (messages > 0 && (watched.revents & POLLOUT) != 0) {
            const ssize_t count = TRY(send(connection, frame.data() + sent, frame.size() - sent, 0));
            if (count > 0) sent += static_cast<std::size_t>(count);
            if (sent == frame.size()) {
                sent = 0;
                --messages;
            }
        }
        if ((watched.revents & ~POLLOUT) == 0) continue;
        const ssize_t count = CALL(recv(connection, buffer.data(), buffer.size(), 0));
        if (count == 0) throw std::runtime_error("the bridge has ended it");
        take(buffer.data(), static_cast<std::size_t>(count));
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{{\"bytes\": {}, \"seconds\": {:.4f}, \"megabytes_per_second\": {:.1f}}}\n", all, seconds,
               static_cast<double>(all) / 1e6 / seconds);
} catch (const std::exception& error) {
    return report_failure(error);
}
