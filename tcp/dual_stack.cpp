// One IPv6 socket for clients of both IP versions, and what IPV6_V6ONLY changes.
//
//     terminal 1:  build/tcp/dual_stack
//     terminal 2:  ncat -4 localhost 7000; ncat -6 localhost 7000
//
// It listens at [::], which is every address of this machine. A client that comes by IPv4 is shown with a v4-mapped
// address, [::ffff:127.0.0.1] (RFC 4291, section 2.5.5.2): an IPv4 address in the clothes of IPv6. Nothing of that is
// on the wire. Each client is told where it comes from; clients of other machines are hung up on. Try it: --v6only, and
// both clients again; then, beside it, build/tcp/echo_server at the same port: is that allowed?
//
// Say which you want: the default of IPV6_V6ONLY is the system's (/proc/sys/net/ipv6/bindv6only; on OpenBSD, always 1).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>

namespace {

/// What a client's address is, beyond its text.
std::string describe(const Address& address) {
    const auto* in = reinterpret_cast<const sockaddr_in6*>(address.get());
    if (!IN6_IS_ADDR_V4MAPPED(&in->sin6_addr)) return address.text() + ", an IPv6 address";
    char text[INET_ADDRSTRLEN];
    inet_ntop(AF_INET, &in->sin6_addr.s6_addr[12], text, sizeof text);  // the last 4 bytes of the 16
    return fmt::format("{}, which is {} by IPv4", address.text(), text);
}

/// Tells the client, and waits for its end, not for ever: closing with its bytes unread would be a reset, which could
/// take our line away from it.
void serve(int connection, const std::string& line, std::chrono::seconds limit) {
    using namespace std::chrono;
    limit_waiting(connection, static_cast<long>(limit.count()));
    send_all(connection, line.data(), line.size());
    CALL(shutdown(connection, SHUT_WR));
    const auto end = steady_clock::now() + limit;
    const auto milliseconds_left = [&] { return duration_cast<milliseconds>(end - steady_clock::now()).count(); };
    while (milliseconds_left() > 0 && wait_until_readable(connection, milliseconds_left())) {
        char ignored[4096];
        if (CALL(recv(connection, ignored, sizeof ignored, 0)) == 0) return;
    }
}

/// accept() fills in the address of the client.
int next_client(int listener, Address& client) {
    for (;;) {
        try {
            return CALL(accept(listener, client.out(), client.out_length()));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long port = default_port;
    long idle = 5;
    bool only = false;
    parse_options(argc, argv,
                  {.summary = "One IPv6 socket that serves IPv4, too, and tells each client where it comes from.",
                   .endpoint = Endpoint::none,
                   .more = {{"port", "PORT", "port; 0 lets the kernel pick", &port, 0, 65535},
                            {"v6only", nullptr, "IPv6 alone: IPV6_V6ONLY on", &only},
                            {"idle", "SECONDS", "wait so long for a client to close", &idle, 1, 3600}}});
    const Address everywhere = resolve("::", static_cast<std::uint16_t>(port), SOCK_STREAM).front();

    const int listener = CALL(socket(AF_INET6, SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    const int v6only = only ? 1 : 0;  // before bind(), which takes the port of both versions or of one
    CALL(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof v6only));
    CALL(bind(listener, everywhere.get(), everywhere.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        Address client;
        const int connection = next_client(listener, client);
        try {
            if (client.is_loopback()) {
                fmt::print("a client: {}\n", describe(client));
                std::fflush(stdout);
                serve(connection, fmt::format("you are {}\n", describe(client)), std::chrono::seconds(idle));
            } else {
                fmt::print("not served, since it is not of this machine: {}\n", describe(client));
                std::fflush(stdout);
            }
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
