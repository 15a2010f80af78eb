#pragma once
// The other end, where a test plays it itself: a socket that can do what no program of ours would do to a peer.

#include "common/address.hpp"
#include "tests/support/process.hpp"

#include <string>
#include <string_view>

#include <sys/socket.h>

/// A socket of the test's own, blocking in nothing: whatever waits serves the test's processes meanwhile, and throws
/// Unexpected when `limit` is over.
class Peer {
public:
    /// How long this thread's peers wait for anything.
    static thread_local Milliseconds limit;

    /// A socket at this host and a port of the kernel's choice; a stream socket listens. Throws SocketError.
    static Peer bound(int type, const std::string& host = "127.0.0.1");
    /// A Unix stream socket that listens at a path. Throws SocketError.
    static Peer bound_to_path(const std::string& path);
    /// A stream connected to a server of ours. Throws SocketError.
    static Peer connected_to(const Server& server);

    explicit Peer(int fd);
    ~Peer() { close(); }
    Peer(Peer&& other) noexcept;
    Peer(const Peer&) = delete;
    Peer& operator=(const Peer&) = delete;

    int fd() const { return fd_; }
    Address address() const;   ///< where it is bound
    std::string port() const;  ///< the same, for a command line

    Peer accept();
    void send(std::string_view bytes);
    /// Receives exactly so many bytes.
    std::string receive(size_t count);
    /// Receives until the other side ends the connection; a reset ends it, too.
    std::string receive_to_end();

    void send_to(const Address& address, std::string_view datagram);
    std::string receive_from(Address& address);

    /// "I send no more": FIN.
    void end_sending();
    void close();
    /// Closes by RST (SO_LINGER with 0 seconds, socket(7)).
    void reset();

private:
    void wait_for(short events, const char* what) const;

    int fd_ = -1;
};

/// A TCP port of 127.0.0.1 that nobody gets by chance: it is below those that the kernel chooses from (Linux's
/// ip_local_port_range begins at 32768). For a server that is to come back to where it was.
std::string lasting_port();

/// A port of this host at which nobody listens. The socket keeps others from it as long as it lives.
class FreePort {
public:
    explicit FreePort(int type = SOCK_STREAM, const std::string& host = "127.0.0.1");
    std::string text() const { return holder_.port(); }

private:
    Peer holder_;
};
