#pragma once
// One provocation (protocol/provocation.hpp) over a connection of its own.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/provocation.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>
#include <unistd.h>

namespace websocket {

/// Connects to the first of the addresses that answers within so many seconds each: SO_SNDTIMEO limits connect(), too
/// (socket(7)), which then fails with EINPROGRESS.
inline int connect_within(const std::vector<Address>& addresses, long seconds) {
    for (std::size_t i = 0;; ++i) {
        const Address& address = addresses.at(i);
        const int fd = CALL(socket(address.family(), SOCK_STREAM, 0));
        try {
            limit_waiting(fd, seconds);
            CALL(connect(fd, address.get(), address.length()));
            return fd;
        } catch (const SocketError&) {
            TRY(close(fd));
            if (i + 1 == addresses.size()) throw;
        }
    }
}

/// Sends it, and gathers what comes until the server ends the connection, or `timeout` has passed since it was sent.
/// Throws SocketError where there is no connection. That the server ends it is no error but an answer.
inline Reaction provoke(const std::vector<Address>& addresses, const std::string& request, const Provocation& it,
                        std::chrono::milliseconds timeout) {
    using Clock = std::chrono::steady_clock;
    constexpr std::chrono::milliseconds before_asking{200};
    struct Socket {
        int fd;
        ~Socket() { TRY(close(fd)); }
    };
    const Socket connection{
        connect_within(addresses, 1 + std::chrono::duration_cast<std::chrono::seconds>(timeout).count())};
    // Of what can't be sent any more, what came says why.
    const auto send_it = [&](std::string_view bytes) {
        while (!bytes.empty()) {
            const ssize_t sent = TRY(send(connection.fd, bytes.data(), bytes.size(), 0));
            if (sent == -1 && errno != EINTR) return;
            bytes.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
        }
    };
    Reaction reaction(it);
    bool provoked = *it.bytes == '\0', asked = false, answered_close = it.demand == Demand::close;
    auto since = Clock::now();
    send_it(request);
    for (;;) {
        const bool will_ask = provoked && !asked && it.after == After::ask && *it.bytes != '\0' && !reaction.closing();
        const auto until = since + (will_ask ? std::min(before_asking, timeout) : timeout);
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now());
        if (left.count() <= 0 || !wait_until_readable(connection.fd, static_cast<long>(left.count()))) {
            if (!will_ask || timeout <= before_asking) return reaction;
            asked = true;
            reaction.asked();
            send_it(asking_ping());
            continue;
        }
        char bytes[4096];
        const ssize_t received = TRY(recv(connection.fd, bytes, sizeof bytes, 0));
        if (received == -1 && errno == EINTR) continue;
        if (received <= 0) {
            reaction.end(received == 0 ? Reaction::End::fin : Reaction::End::reset);
            return reaction;
        }
        reaction.take({bytes, static_cast<std::size_t>(received)});
        if (reaction.decided() && !(*it.bytes == '\0' && reaction.ends_connection() && !reaction.upgraded()))
            return reaction;
        if (!provoked && reaction.answered()) {
            if (!reaction.upgraded()) return reaction;
            provoked = true;
            since = Clock::now();
            send_it(provoking_bytes(it));
            if (it.after == After::fin) TRY(shutdown(connection.fd, SHUT_WR));
        }
        if (reaction.closing() && !answered_close && it.after != After::fin) {
            answered_close = true;
            send_it(answering_close(reaction.close_code()));
        }
    }
}

}  // namespace websocket
