#include "common/address.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/socket_path.hpp"
#include "tests/catch.hpp"
#include "tests/support/peer.hpp"

#include <arpa/inet.h>
#include <cstddef>
#include <cstring>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

namespace {

Address v4(const char* digits, std::uint16_t port) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    inet_pton(AF_INET, digits, &address.sin_addr);
    return {reinterpret_cast<const sockaddr*>(&address), sizeof address};
}

Address v6(const char* digits, std::uint16_t port, std::uint32_t scope = 0) {
    sockaddr_in6 address{};
    address.sin6_family = AF_INET6;
    address.sin6_port = htons(port);
    address.sin6_scope_id = scope;
    inet_pton(AF_INET6, digits, &address.sin6_addr);
    return {reinterpret_cast<const sockaddr*>(&address), sizeof address};
}

/// length: of the name, which may have bytes of 0 in it.
Address local(const char* name, size_t length) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, name, length);
    return {reinterpret_cast<const sockaddr*>(&address),
            static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length)};
}

}  // namespace

TEST_CASE("address: as text", "[unit][address]") {
    CHECK(v4("127.0.0.1", 7000).text() == "127.0.0.1:7000");
    CHECK(v4("255.255.255.255", 65535).text() == "255.255.255.255:65535");
    CHECK(v4("0.0.0.0", 0).text() == "0.0.0.0:0");
    CHECK(v6("::1", 7000).text() == "[::1]:7000");
    CHECK(v6("2001:db8::0:1", 80).text() == "[2001:db8::1]:80");
    CHECK(v6("::ffff:127.0.0.1", 7000).text() == "[::ffff:127.0.0.1]:7000");
#ifdef __linux__
    CHECK(v6("fe80::1", 80, if_nametoindex("lo")).text() == "[fe80::1%lo]:80");
#endif
    CHECK(Address().text() == "");
}

TEST_CASE("address: of Unix sockets, as text", "[unit][address]") {
    CHECK(local("", 0).text() == "");
    CHECK(local("/tmp/a socket", 13).text() == "/tmp/a socket");
    CHECK(local("/tmp/x\0", 7).text() == "/tmp/x");
    const std::string longest(sizeof(sockaddr_un::sun_path), 'x');  // Linux takes it without a 0 at the end
    CHECK(local(longest.data(), longest.size()).text() == longest);
    CHECK(unix_address("/tmp/x").text() == "/tmp/x");
#ifdef __linux__
    CHECK(local("\0name", 5).text() == "@name");
    CHECK(local("\0a\0b\n", 5).text() == "@a\\x00b\\n");
    CHECK(local("\0", 1).text() == "@");
#endif
}

TEST_CASE("address: which only this machine can reach", "[unit][address]") {
    for (const Address& address :
         {v4("127.0.0.1", 1), v4("127.255.255.254", 1), v6("::1", 1), v6("::ffff:127.0.0.1", 1), local("/tmp/x", 6)}) {
        INFO(address.text());
        CHECK(address.is_loopback());
    }
    for (const Address& address : {v4("0.0.0.0", 1), v4("128.0.0.1", 1), v4("192.168.0.1", 1), v6("::", 1),
                                   v6("::2", 1), v6("fe80::1", 1), v6("::ffff:10.0.0.1", 1)}) {
        INFO(address.text());
        CHECK_FALSE(address.is_loopback());
    }
}

TEST_CASE("address: equality", "[unit][address]") {
    CHECK(v4("127.0.0.1", 1) == v4("127.0.0.1", 1));
    CHECK_FALSE(v4("127.0.0.1", 1) == v4("127.0.0.1", 2));
    CHECK_FALSE(v4("127.0.0.1", 1) == v4("127.0.0.2", 1));
    CHECK_FALSE(v4("127.0.0.1", 1) == v6("::ffff:127.0.0.1", 1));
    sockaddr_in padded{};
    std::memcpy(&padded, v4("127.0.0.1", 1).get(), sizeof padded);
    std::memset(padded.sin_zero, 'x', sizeof padded.sin_zero);
    CHECK(v4("127.0.0.1", 1) == Address(reinterpret_cast<const sockaddr*>(&padded), sizeof padded));
    CHECK(unix_address("/tmp/x") == local("/tmp/x", 6));
    CHECK_FALSE(unix_address("/tmp/x") == unix_address("/tmp/y"));
}

TEST_CASE("address: longer than any address is cut, not overrun", "[unit][address]") {
    char much[4096] = {};
    const Address address(reinterpret_cast<const sockaddr*>(much), sizeof much);
    CHECK(address.length() == sizeof(sockaddr_storage));
}

TEST_CASE("address: out_length() offers all the room again", "[unit][address]") {
    Address address = v4("127.0.0.1", 1);
    CHECK(address.length() == sizeof(sockaddr_in));
    CHECK(*address.out_length() == sizeof(sockaddr_storage));
}

TEST_CASE("address: resolve()", "[unit][address]") {
    CHECK(resolve("127.0.0.1", 7000, SOCK_STREAM).front().text() == "127.0.0.1:7000");
    CHECK(resolve("::1", 0, SOCK_DGRAM).front().text() == "[::1]:0");
    bool found = false;
    for (const Address& address : resolve("localhost", 65535, SOCK_STREAM))
        found = found || address.text() == "127.0.0.1:65535" || address.text() == "[::1]:65535";
    CHECK(found);

    // A label of a name has 63 bytes at the most (RFC 1035): no resolver needs to ask anybody.
    const std::string impossible(64, 'a');
    CHECK_THROWS_AS(resolve(impossible, 1, SOCK_STREAM), ResolveError);
    CHECK_THROWS_WITH(resolve(impossible, 1, SOCK_STREAM),
                      StartsWith("cannot find the address of '" + impossible + "': "));
    CHECK_THROWS_WITH(resolve(impossible + "\x1b\n", 1, SOCK_STREAM), ContainsSubstring(impossible + "\\x1b\\n'"));
}

TEST_CASE("address: local_address() shows the port that the kernel picked", "[unit][address]") {
    const Peer peer = Peer::bound(SOCK_STREAM);
    const Address address = local_address(peer.fd());
    CHECK(address.family() == AF_INET);
    CHECK(address.text().rfind("127.0.0.1:", 0) == 0);
    CHECK(address.text() != "127.0.0.1:0");
    CHECK_THROWS_AS(local_address(-1), SocketError);
}

TEST_CASE("address: the same host at another port", "[unit][address]") {
    CHECK(resolve("127.0.0.1", 7000, SOCK_DGRAM).front().with_port(0).text() == "127.0.0.1:0");
    CHECK(resolve("::1", 7000, SOCK_DGRAM).front().with_port(65535).text() == "[::1]:65535");
    CHECK(resolve("127.0.0.1", 7000, SOCK_DGRAM).front().with_port(1) == resolve("127.0.0.1", 1, SOCK_DGRAM).front());
}

TEST_CASE("address: a zone is for this machine alone", "[unit][address]") {
    CHECK(without_zone("fe80::1%eth0") == "fe80::1");
    CHECK(without_zone("::1") == "::1");
    CHECK(without_zone("127.0.0.1") == "127.0.0.1");
    CHECK(without_zone("50%.example") == "50%.example");
    CHECK(without_zone("").empty());
}
