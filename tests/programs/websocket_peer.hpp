#pragma once
// The other end of a WebSocket connection with a program of ours, played by the test: it sends what no library would,
// byte by byte if it likes, and sees what comes back on the socket itself.

#include "tests/programs/pairs.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/wire.hpp"

#include <string>
#include <string_view>
#include <vector>

/// The key of RFC 6455, section 1.3, and the answer to it.
constexpr std::string_view sample_key = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view sample_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request to upgrade with the sample key. fields: more of them, each with CR LF behind it.
std::string upgrade_request(const std::string& fields = "", const std::string& resource = "/");

/// The echo client with each of the servers, over IPv4 and IPv6.
std::vector<Pair> websocket_pairs();

/// "websocket/echo_server" and "websocket/event_server".
std::vector<std::string> websocket_servers();

/// What came until the other side ended the connection, and how it did.
struct Rest {
    std::string bytes;
    bool reset = false;  ///< by RST, which may destroy what was on its way
};

class WebSocketPeer {
public:
    /// A client that has shaken hands. Throws Unexpected unless the answer is a 101 for the sample key.
    explicit WebSocketPeer(const Server& server, const std::string& fields = "", const std::string& resource = "/");

    /// A server to the next client that connects: reads its request and, with `answers`, accepts it.
    explicit WebSocketPeer(Peer& listener, bool answers = true, const std::string& fields = "");

    Peer& socket() { return socket_; }
    const std::string& head() const { return head_; }  ///< what the other side sent in the handshake

    /// Any bytes.
    void send(std::string_view bytes) { socket_.send(bytes); }
    /// A frame with or without a mask, as this side must send it.
    void send_frame(unsigned first, std::string_view payload);

    /// Waits for the next frame: "81 Hello", as wire::frames_of(). Throws Unexpected if it does not come.
    std::string frame();
    /// The payload of the next frame, which must begin with this byte.
    std::string payload(unsigned first);

    /// All frames until the other side has ended the connection, which it must do by FIN: else the last is "RST".
    std::vector<std::string> frames_to_end();
    Rest rest();

private:
    std::string frame_bytes();

    wire::Role other_;
    Peer socket_;
    std::string head_;
};

/// Reads until the other side ends the connection.
Rest read_to_end(Peer& peer);

/// The 101 that belongs to a client's request. fields: more of them.
std::string switching_protocols(const std::string& request, const std::string& fields = "");

/// Everything up to the blank line.
std::string read_head(Peer& peer);

/// The resident memory of a process in KiB: now, and the most that it ever was (Linux).
long resident_kilobytes(pid_t pid);
long most_resident_kilobytes(pid_t pid);
/// How long a process has run on a processor, in seconds (Linux).
double cpu_seconds(pid_t pid);
/// How many of its descriptors are sockets (Linux).
size_t open_sockets(pid_t pid);
