// udp/pseudo_header.hpp: bytes as RFC 768 and RFC 8200 (section 8.1) draw them. tests/programs/udp_datagrams_test.cpp
// asks tshark and the kernel.

#include "udp/pseudo_header.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wire.hpp"

#include <string>

using namespace wire::literals;

namespace {

Address address(const std::string& host, std::uint16_t port) { return resolve(host, port, SOCK_DGRAM).front(); }

/// What a receiver finds (RFC 768): the complement of the sum over everything, 0 if nothing was changed.
std::uint16_t left_over(const Address& source, const Address& destination, const std::string& datagram) {
    return internet_checksum(udp::pseudo_header(source, destination, datagram.size()) + datagram);
}

}  // namespace

TEST_CASE("udp header: the pseudo-header, byte for byte", "[unit][udp]") {
    CHECK(udp::pseudo_header(address("192.0.2.1", 1), address("198.51.100.2", 2), 0x0123) ==
          "c0000201 c6336402 00 11 0123"_hex);
    CHECK(udp::pseudo_header(address("2001:db8::1", 1), address("2001:db8::ff02", 2), 0x0123) ==
          "20010db8000000000000000000000001 20010db800000000000000000000ff02 00000123 000000 11"_hex);
}

TEST_CASE("udp header: a datagram, byte for byte", "[unit][udp]") {
    // Added up by hand: 7f00+1+7f00+1+11+d+9c40+1b58+d+6865+6c6c+6f00 = 2f996, and 2 carried round: f998.
    CHECK(udp::datagram(address("127.0.0.1", 40000), address("127.0.0.1", 7000), "hello") ==
          "9c40 1b58 000d 0667 68656c6c6f"_hex);
    // 1+1+8+11+9c40+1b58+8 = b7bb, over IPv6, with nothing in it.
    CHECK(udp::datagram(address("::1", 40000), address("::1", 7000), "") == "9c40 1b58 0008 4844"_hex);
}

TEST_CASE("udp header: a checksum of 0 is sent as ffff", "[unit][udp]") {
    CHECK(udp::as_sent(0) == 0xFFFF);
    CHECK(udp::as_sent(1) == 1);
    CHECK(udp::as_sent(0xFFFF) == 0xFFFF);
    for (const char* host : {"127.0.0.1", "::1"}) {
        const Address destination = address(host, 7000);
        const std::string first = udp::datagram(address(host, 40000), destination, "hello");
        const auto checksum = FieldReader(std::string_view(first).substr(udp::checksum_at)).u16();
        const auto port = static_cast<std::uint16_t>(40000 + checksum);  // what was missing to ffff is added
        const std::string second = udp::datagram(address(host, port), destination, "hello");
        CHECK(FieldReader(std::string_view(second).substr(udp::checksum_at)).u16() == 0xFFFF);
        CHECK(left_over(address(host, port), destination, second) == 0);
    }
}

TEST_CASE("udp header: whatever is sent adds up, and what was changed doesn't", "[unit][udp]") {
    for (const char* host : {"127.0.0.1", "::1"}) {
        for (unsigned size = 0; size < 300; ++size) {
            const Address source = address(host, static_cast<std::uint16_t>(40000 + 83 * size));
            const Address destination = address(host, static_cast<std::uint16_t>(7 * size + 1));
            std::string datagram = udp::datagram(source, destination, random_bytes(size, size));
            CHECK(datagram.size() == udp::header_size + size);
            CHECK(left_over(source, destination, datagram) == 0);
            datagram[size % datagram.size()] ^= 0x10;
            CHECK(left_over(source, destination, datagram) != 0);
        }
    }
    // The largest, whose length just fits (IPv6).
    const Address source = address("::1", 65535), destination = address("::1", 65535);
    const std::string largest = udp::datagram(source, destination, std::string(65527, '\xFF'));
    CHECK(largest.substr(4, 2) == "ffff"_hex);
    CHECK(left_over(source, destination, largest) == 0);
}
