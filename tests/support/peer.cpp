#include "tests/support/peer.hpp"

#include "common/call.hpp"
#include "common/socket_path.hpp"

#include <array>
#include <cerrno>
#include <cstdint>
#include <random>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace {

Peer make(int family, int type) {
#ifdef SOCK_CLOEXEC
    type |= SOCK_CLOEXEC;  // at once: another thread may start a program meanwhile, which would have it, too
#endif
    const int fd = CALL(socket(family, type, 0));
    CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
    return Peer(fd);
}

Peer bound_only(int type, const std::string& host) {
    const Address address = resolve(host, 0, type).front();
    Peer peer = make(address.family(), type);
    CALL(bind(peer.fd(), address.get(), address.length()));
    return peer;
}

}  // namespace

thread_local Milliseconds Peer::limit = patience;

Peer::Peer(int fd) : fd_(fd) { CALL(fcntl(fd, F_SETFL, O_NONBLOCK)); }

Peer::Peer(Peer&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Peer Peer::bound(int type, const std::string& host) {
    Peer peer = bound_only(type, host);
    if (type == SOCK_STREAM) CALL(listen(peer.fd_, SOMAXCONN));
    return peer;
}

Peer Peer::bound_to_path(const std::string& path) {
    const Address address = unix_address(path);
    Peer peer = make(AF_UNIX, SOCK_STREAM);
    CALL(::bind(peer.fd_, address.get(), address.length()));
    CALL(::listen(peer.fd_, SOMAXCONN));
    return peer;
}

Peer Peer::connected_to(const Server& server) {
    const bool by_path = server.port().empty();
    const Address address =
        by_path ? unix_address(server.path())
                : resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_STREAM).front();
    Peer peer = make(address.family(), SOCK_STREAM);
    if (TRY(::connect(peer.fd_, address.get(), address.length())) == -1 && errno == EINPROGRESS) {
        peer.wait_for(POLLOUT, "a connection");
    }
    return peer;
}

Address Peer::address() const { return local_address(fd_); }

std::string Peer::port() const {
    const std::string text = address().text();
    return text.substr(text.rfind(':') + 1);
}

void Peer::wait_for(short events, const char* what) const {
    pollfd watched{fd_, events, 0};
    wait_until([&] { return watched.revents != 0; }, what, limit, &watched);
}

Peer Peer::accept() {
    wait_for(POLLIN, "a client");
#ifdef SOCK_CLOEXEC
    const int fd = CALL(accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC));
#else
    const int fd = CALL(::accept(fd_, nullptr, nullptr));
#endif
    CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
    return Peer(fd);
}

void Peer::send(std::string_view bytes) {
    while (!bytes.empty()) {
        wait_for(POLLOUT, "room to send to the program");
        bytes.remove_prefix(static_cast<size_t>(CALL(::send(fd_, bytes.data(), bytes.size(), 0))));
    }
}

std::string Peer::receive(size_t count) {
    std::string bytes(count, '\0');
    for (size_t have = 0; have < count;) {
        wait_for(POLLIN, "bytes from the program");
        const auto received = static_cast<size_t>(CALL(::recv(fd_, bytes.data() + have, count - have, 0)));
        if (received == 0) throw Unexpected("the program ended the connection after: " + bytes.substr(0, have));
        have += received;
    }
    return bytes;
}

std::string Peer::receive_to_end() {
    std::string bytes;
    for (;;) {
        wait_for(POLLIN, "the end of the connection");
        std::array<char, 65536> piece;
        const ssize_t received = TRY(::recv(fd_, piece.data(), piece.size(), 0));
        if (received == -1 && errno == EAGAIN) continue;
        if (received <= 0) return bytes;
        bytes.append(piece.data(), static_cast<size_t>(received));
    }
}

void Peer::send_to(const Address& address, std::string_view datagram) {
    CALL(::sendto(fd_, datagram.data(), datagram.size(), 0, address.get(), address.length()));
}

std::string Peer::receive_from(Address& address) {
    wait_for(POLLIN, "a datagram from the program");
    std::string datagram(65536, '\0');
    const ssize_t received =
        CALL(::recvfrom(fd_, datagram.data(), datagram.size(), 0, address.out(), address.out_length()));
    datagram.resize(static_cast<size_t>(received));
    return datagram;
}

void Peer::end_sending() {
    // A connection that was reset meanwhile has no side to end: the next receive tells.
    if (TRY(::shutdown(fd_, SHUT_WR)) == -1 && errno != ENOTCONN)
        throw SocketError(errno, {"shutdown(fd_, SHUT_WR)", __FILE__, __LINE__});
}

void Peer::close() {
    if (fd_ != -1) ::close(std::exchange(fd_, -1));
}

void Peer::reset() {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    CALL(::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    close();
}

std::string lasting_port() {
    std::random_device random;
    for (;;) {
        const Address address =
            resolve("127.0.0.1", static_cast<std::uint16_t>(12'000 + random() % 20'000), SOCK_STREAM).front();
        const Peer holder = make(address.family(), SOCK_STREAM);
        if (bind(holder.fd(), address.get(), address.length()) == 0) return holder.port();
    }
}

FreePort::FreePort(int type, const std::string& host) : holder_(bound_only(type, host)) {}
