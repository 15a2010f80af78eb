#include "common/address.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <netdb.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace {

std::string unix_path(const sockaddr* address, socklen_t length) {
    sockaddr_un name{};
    std::memcpy(&name, address, std::min<size_t>(length, sizeof name));
    const size_t header = offsetof(sockaddr_un, sun_path);
    if (length <= header) return "";  // a socket that was never bound has no name
    const size_t room = std::min<size_t>(length - header, sizeof name.sun_path);
    if (name.sun_path[0] == '\0') {
        // On Linux this is an abstract name, of which all bytes count (unix(7)); elsewhere, no name at all.
#ifdef __linux__
        return "@" + escaped({name.sun_path + 1, room - 1});
#else
        return "";
#endif
    }
    return {name.sun_path, strnlen(name.sun_path, room)};
}

}  // namespace

Address::Address(const sockaddr* address, socklen_t length) : length_(std::min<socklen_t>(length, sizeof storage_)) {
    std::memcpy(&storage_, address, length_);
}

socklen_t* Address::out_length() {
    length_ = sizeof storage_;
    return &length_;
}

std::string Address::text() const {
    if (family() == AF_UNIX) return unix_path(get(), length_);
    if (family() != AF_INET && family() != AF_INET6) return "";
    char host[NI_MAXHOST];
    char service[NI_MAXSERV];
    if (getnameinfo(get(), length_, host, sizeof host, service, sizeof service, NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
        return "";
    }
    return host_and_port(host, static_cast<std::uint16_t>(std::strtoul(service, nullptr, 10)));
}

bool Address::is_loopback() const {
    if (family() == AF_INET) {
        const auto* address = reinterpret_cast<const sockaddr_in*>(&storage_);
        return (ntohl(address->sin_addr.s_addr) >> 24U) == 127;
    }
    if (family() == AF_INET6) {
        const auto& address = reinterpret_cast<const sockaddr_in6*>(&storage_)->sin6_addr;
        return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
    }
    return true;
}

bool Address::operator==(const Address& other) const {
    // Not memcmp: of the bytes that a family leaves unused, nobody promises anything.
    return family() == other.family() && text() == other.text();
}

std::string host_and_port(const std::string& host, std::uint16_t port) {
    // An IPv6 address stands in brackets, since it has colons of its own (RFC 3986, section 3.2.2).
    const bool brackets = host.find(':') != std::string::npos;
    return fmt::format("{}{}{}:{}", brackets ? "[" : "", host, brackets ? "]" : "", port);
}

std::vector<Address> resolve(const std::string& host, std::uint16_t port, int type) {
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = type;
    hints.ai_flags = AI_NUMERICSERV;
    const std::string service = std::to_string(port);
    addrinfo* list = nullptr;
    const int status = TRY(getaddrinfo(host.c_str(), service.c_str(), &hints, &list));
    if (status != 0) {
        // -1 is EAI_BADFLAGS in glibc, and our flags are good: it comes from --fault, with an errno.
        const bool by_errno = status == EAI_SYSTEM || status == -1;
        throw ResolveError(fmt::format("cannot find the address of '{}': {}", escaped(host),
                                       by_errno ? describe_error(errno) : gai_strerror(status)));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);
    std::vector<Address> addresses;
    for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
        addresses.emplace_back(entry->ai_addr, entry->ai_addrlen);
    }
    return addresses;
}

Address local_address(int fd) {
    Address address;
    CALL(getsockname(fd, address.out(), address.out_length()));
    return address;
}

Address Address::with_port(std::uint16_t port) const {
    Address other = *this;
    if (family() == AF_INET) reinterpret_cast<sockaddr_in*>(&other.storage_)->sin_port = htons(port);
    if (family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&other.storage_)->sin6_port = htons(port);
    return other;
}

std::string without_zone(const std::string& host) {
    return host.find(':') == std::string::npos ? host : host.substr(0, host.find('%'));
}
