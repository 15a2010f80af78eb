#pragma once
// Socket addresses: sockaddr_in, sockaddr_in6 and sockaddr_un with their lengths, as text and back.

#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include <sys/socket.h>

/// A socket address of any family and its length, in the form that the calls want.
class Address {
public:
    Address() = default;
    Address(const sockaddr* address, socklen_t length);

    int family() const { return storage_.ss_family; }
    const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage_); }
    socklen_t length() const { return length_; }

    /// For accept(), recvfrom(), getsockname() and getpeername(), which fill in an address and its length.
    sockaddr* out() { return reinterpret_cast<sockaddr*>(&storage_); }
    socklen_t* out_length();

    /// "127.0.0.1:7000", "[::1]:7000", a Unix socket's path ("@name" if abstract), "" of no address.
    std::string text() const;

    /// True if only this machine can reach it: 127.0.0.0/8, ::1, a Unix socket.
    bool is_loopback() const;

    /// The same family, address and port (or path)?
    bool operator==(const Address& other) const;

    /// The same host at another port; as it is where the family has none.
    Address with_port(std::uint16_t port) const;

private:
    sockaddr_storage storage_{};
    socklen_t length_ = sizeof(sockaddr_storage);
};

/// "example.org:7000", "[::1]:7000": how a host and a port stand in a URL and in HTTP's Host.
std::string host_and_port(const std::string& host, std::uint16_t port);

/// "fe80::1" of "fe80::1%eth0". A zone says by which interface of this machine an IPv6 address is reached; HTTP's Host
/// goes out without it (RFC 6874, section 4).
std::string without_zone(const std::string& host);

/// A name that could not be turned into an address.
class ResolveError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// The addresses of a host, in the order in which getaddrinfo(3) advises to try them; at least one.
/// type: SOCK_STREAM or SOCK_DGRAM. Throws ResolveError.
std::vector<Address> resolve(const std::string& host, std::uint16_t port, int type);

/// Where a socket is bound, as the kernel says (getsockname(2)): shows the port that it picked. Throws SocketError.
Address local_address(int fd);
