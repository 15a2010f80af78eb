// WebSocket echo server: tcp/echo_server.cpp with two things more, an upgrade before the first byte and frames after
// it.
//
//     terminal 1:  build/websocket/echo_server --step
//     terminal 2:  build/websocket/echo_client --step
//
// The calls are those of TCP, one client at a time, in blocking calls. What the bytes mean is told by protocol/, which
// makes no call: bytes go in, events and bytes come out.
// Try it: connect with a browser's console, new WebSocket("ws://127.0.0.1:7000"), or with curl -v
// http://127.0.0.1:7000/

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"
#include "websocket/protocol/text.hpp"

#include <fmt/core.h>

#include <chrono>
#include <cstring>

#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using namespace websocket;

/// How long a client may take, in seconds, and how much it may send.
struct Patience {
    long handshake = 10;  // to end its request
    long idle = 30;       // to be silent before it is asked whether it is still there
    long pong = 20;       // to answer that, or to take what it is sent
    Limits limits;
};

/// Reads the request to its blank line and answers it. What came behind it, the first frames, is left in buffer.
/// Nothing if there is no WebSocket connection.
std::optional<Agreement> upgrade(int connection, const ServerPolicy& policy, long seconds, char* buffer, size_t size,
                                 size_t& left) {
    ServerHandshake handshake(policy);
    auto status = ServerHandshake::Status::incomplete;
    std::string_view input;
    const auto deadline = Clock::now() + std::chrono::seconds(seconds);
    while (status == ServerHandshake::Status::incomplete) {
        const auto wait = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        if (wait <= 0 || !wait_until_readable(connection, wait)) {
            handshake.time_out();
            break;
        }
        const ssize_t received = CALL(recv(connection, buffer, size, 0));
        if (received == 0) return {};
        input = {buffer, static_cast<size_t>(received)};
        status = handshake.take(input);
    }
    send_all(connection, handshake.response().data(), handshake.response().size());
    if (status != ServerHandshake::Status::accepted) {
        complain(std::runtime_error("refused a client: " + handshake.reason()));
        return {};
    }
    std::memmove(buffer, input.data(), input.size());
    left = input.size();
    return handshake.agreement();
}

/// Returns every message to where it came from, until one side has said Close.
void echo(int connection, const ServerPolicy& policy, const Patience& patience) {
    char buffer[65536];
    size_t count = 0;
    const auto agreement = upgrade(connection, policy, patience.handshake, buffer, sizeof buffer, count);
    if (!agreement) return;

    Buffer output;
    Connection peer(Role::server, output, patience.limits, agreement->deflate);
    bool asked = false;  // a ping is on its way, and nothing has come since
    for (;;) {
        peer.receive(buffer, count);
        while (const auto event = peer.next()) {
            if (event->opcode == Opcode::text || event->opcode == Opcode::binary)
                peer.send(event->opcode, event->payload);
        }
        send_all(connection, output.data(), output.size());
        output.clear();
        if (peer.finished()) return;

        count = 0;
        if (wait_until_readable(connection, 1000 * (asked ? patience.pong : patience.idle))) {
            count = static_cast<size_t>(CALL(recv(connection, buffer, sizeof buffer, 0)));
            if (count == 0) return;
            asked = false;
        } else if (asked) {
            return;
        } else {
            peer.ping();
            asked = true;
        }
    }
}

/// Ends the TCP connection, before the client does (RFC 6455, section 7.1.1). Closing with bytes unread would make it
/// an RST, which can overtake our Close frame and destroy it: so we read on for a while, but not for ever.
void hang_up(int connection) {
    TRY(shutdown(connection, SHUT_WR));
    char rest[65536];
    const auto deadline = Clock::now() + std::chrono::seconds(1);
    while (Clock::now() < deadline && wait_until_readable(connection, 1000)) {
        if (TRY(recv(connection, rest, sizeof rest, 0)) <= 0) break;
    }
}

int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Patience patience;
    long message = 16 << 20;
    long fragments = 1 << 17;
    bool no_deflate = false;
    std::string origin;
    std::string subprotocol;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket echo server: returns every message to the client that sent it, one client at a time.",
         .more = {{"origin", "ORIGIN", "let pages from there connect, too; * for all", &origin},
                  {"subprotocol", "NAME", "a subprotocol to agree on, if the client offers it", &subprotocol},
                  {"no-deflate", nullptr, "refuse compression (permessage-deflate)", &no_deflate},
                  {"message", "BYTES", "close (1009) on a message larger than that", &message, 1, 1 << 30},
                  {"fragments", "N", "close (1008) on a message in more fragments than that", &fragments, 1, 1 << 30},
                  {"handshake", "SECONDS", "a request must be complete by then", &patience.handshake, 1, 3600},
                  {"idle", "SECONDS", "ping a client that was silent for so long", &patience.idle, 1, 86400},
                  {"pong", "SECONDS", "leave one that has not answered by then", &patience.pong, 1, 86400}}});
    patience.limits = {static_cast<size_t>(message), static_cast<std::uint32_t>(fragments)};
    ServerPolicy policy;
    if (!origin.empty()) policy.allowed_origins.push_back(origin);
    if (!subprotocol.empty() && !is_token(subprotocol))
        throw UsageError(fmt::format("--subprotocol {}: no token (RFC 9110, 5.6.2)", escaped(subprotocol)));
    if (!subprotocol.empty()) policy.subprotocols.push_back(subprotocol);
    if (!no_deflate) policy.deflate.emplace();
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, patience.pong);
            echo(connection, policy, patience);
            hang_up(connection);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
