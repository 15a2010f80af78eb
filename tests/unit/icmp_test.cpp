// udp/icmp.hpp: messages as they were captured from other people's programs and from Linux's routers.

#include "udp/icmp.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <cmath>
#include <cstring>
#include <string>
#include <vector>

#include <arpa/inet.h>

namespace {

using icmp::What;

// iputils' ping -s 8 -p 41 10.0.4.2, its answer, and what a router says if the TTL is 1.
const std::string request_4 = wire::from_hex("080096d7202700014100000000000000");
const std::string packet_4 = wire::from_hex("4500002465764000 4001bc600a000101 0a000402") + request_4;
const std::string answer_4 = wire::from_hex("00009ed7202700014100000000000000");
const std::string exceeded_4 =
    wire::from_hex("0b00f4ff 00000000 4500002465774000 0101fb5f0a000101 0a000402 080096d5202900014100000000000000");
const std::string prohibited_4 =
    wire::from_hex("030dfcf2 00000000 450000240b1a4000 3e0113be0a000101 0a000901 0800cbc3202b00010001020304050607");
const std::string about_udp_4 =
    wire::from_hex("0b00782e 00000000 4500001d6ec94000 0111f2040a000101 0a000402 a110829a0009191d40");
// The same over IPv6, from fd00:1::1 to fd00:4::2.
const std::string request_6 = wire::from_hex("80005970202a00010001020304050607");
const std::string exceeded_6 = wire::from_hex(
    "0300971c 00000000 600fd18b00103a01 fd000001000000000000000000000001 fd000004000000000000000000000002"
    "80005970202a00010001020304050607");
const std::string too_big_6 = wire::from_hex(
    "02006712 00000578 600fd18b05803a3e fd000001000000000000000000000001 fd000004000000000000000000000002"
    "80001000202e0001");

bool is_about(double value, double expected) { return std::abs(value - expected) < 1e-6; }

in6_addr ipv6(const char* text) {
    in6_addr address{};
    REQUIRE(inet_pton(AF_INET6, text, &address) == 1);
    return address;
}

}  // namespace

TEST_CASE("icmp: an echo request as another program makes it", "[unit][udp][icmp]") {
    CHECK(icmp::echo_request(4, {0x2027, 1}, request_4.substr(8)) == request_4);
    CHECK(icmp::has_right_checksum(request_4));
    CHECK(icmp::has_right_checksum(answer_4));
    CHECK(icmp::has_right_checksum(exceeded_4));
    CHECK(icmp::has_right_checksum(icmp::echo_request(4, {1, 2}, "an odd number")));
    // Every bit counts.
    for (std::size_t i = 0; i < request_4.size() * 8; ++i) {
        std::string damaged = request_4;
        damaged[i / 8] = static_cast<char>(damaged[i / 8] ^ (1 << i % 8));
        CHECK_FALSE(icmp::has_right_checksum(damaged));
    }
    // IPv6: all but the checksum, which is the kernel's to make.
    std::string without = request_6;
    without.replace(2, 2, std::string(2, '\0'));
    CHECK(icmp::echo_request(6, {0x202a, 1}, request_6.substr(8)) == without);
}

TEST_CASE("icmp: the checksum of IPv6 covers the addresses", "[unit][udp][icmp]") {
    const in6_addr here = ipv6("fd00:1::1"), there = ipv6("fd00:4::2");
    CHECK(icmp::has_right_checksum(request_6, here, there));
    CHECK_FALSE(icmp::has_right_checksum(request_6, here, ipv6("fd00:4::3")));
    CHECK(icmp::has_right_checksum(exceeded_6, ipv6("fd00:1::2"), here));
    std::string damaged = exceeded_6;
    damaged.back() = 8;
    CHECK_FALSE(icmp::has_right_checksum(damaged, ipv6("fd00:1::2"), here));
}

TEST_CASE("icmp: messages taken apart", "[unit][udp][icmp]") {
    const auto request = icmp::parse(4, request_4);
    REQUIRE(request);
    CHECK(request->what == What::request);
    const auto answer = icmp::parse(4, answer_4);
    REQUIRE(answer);
    CHECK(answer->what == What::answer);
    CHECK(answer->echo == icmp::Echo{0x2027, 1});
    CHECK(answer->data == request_4.substr(8));

    const auto exceeded = icmp::parse(4, exceeded_4);
    REQUIRE(exceeded);
    CHECK(exceeded->what == What::error);
    CHECK(exceeded->type == 11);
    CHECK(exceeded->echo == icmp::Echo{0x2029, 1});
    CHECK(icmp::parse(4, prohibited_4)->code == 13);
    CHECK(icmp::parse(4, prohibited_4)->what == What::error);
    // About a datagram of UDP: not ours.
    CHECK(icmp::parse(4, about_udp_4)->what == What::other);

    CHECK(icmp::parse(6, request_6)->what == What::request);
    CHECK(icmp::parse(6, exceeded_6)->what == What::error);
    CHECK(icmp::parse(6, exceeded_6)->echo == icmp::Echo{0x202a, 1});
    const auto too_big = icmp::parse(6, too_big_6);
    CHECK(too_big->what == What::error);
    CHECK(too_big->mtu == 1400);
    CHECK(too_big->echo == icmp::Echo{0x202e, 1});
    // Types mean other things in the other version.
    CHECK(icmp::parse(6, request_4)->what == What::other);
    CHECK(icmp::parse(4, request_6)->what == What::other);
    CHECK(icmp::parse(4, exceeded_6)->what == What::other);
}

TEST_CASE("icmp: a raw socket's packet, without its header", "[unit][udp][icmp]") {
    const auto packet = icmp::take_off_header(4, packet_4);
    REQUIRE(packet);
    CHECK(packet->ttl == 64);
    CHECK(packet->protocol == 1);
    CHECK(packet->payload == request_4);
    std::string with_options = packet_4;
    with_options[0] = 0x47;
    CHECK(icmp::take_off_header(4, with_options)->payload == request_4.substr(8));
    for (const unsigned first : {0x44U, 0x40U, 0x65U, 0x4FU, 0x00U}) {
        std::string wrong = packet_4;
        wrong[0] = static_cast<char>(first);
        CHECK_FALSE(icmp::take_off_header(4, wrong));
    }
    for (std::size_t size = 0; size < 20; ++size)
        CHECK_FALSE(icmp::take_off_header(4, packet_4.substr(0, size)));
    CHECK(icmp::take_off_header(4, packet_4.substr(0, 20))->payload.empty());
}

TEST_CASE("icmp: what is cut short is no message, or not ours", "[unit][udp][icmp]") {
    for (const auto& [version, whole] : {std::pair{4U, exceeded_4}, std::pair{6U, exceeded_6}}) {
        for (std::size_t size = 0; size < whole.size(); ++size) {
            INFO(version << " " << size);
            const auto message = icmp::parse(version, whole.substr(0, size));
            CHECK(message.has_value() == (size >= 8));
            // Up to the quoted request's number it must be there; what follows may be missing (RFC 792).
            const bool is_enough = size >= whole.size() - 8;
            if (message) CHECK((message->what == What::error) == is_enough);
        }
    }
}

TEST_CASE("icmp: what errors mean", "[unit][udp][icmp]") {
    CHECK(icmp::meaning_of(4, 3, 1).mark == std::string("!H"));
    CHECK(icmp::meaning_of(4, 3, 13).mark == std::string("!X"));
    CHECK(icmp::meaning_of(4, 3, 0).mark == std::string("!N"));
    CHECK(icmp::meaning_of(6, 1, 3).mark == std::string("!H"));
    CHECK(icmp::meaning_of(6, 1, 1).mark == std::string("!X"));
    CHECK(icmp::meaning_of(6, 1, 0).mark == std::string("!N"));
    CHECK(icmp::meaning_of(4, 3, 3).mark == std::string(""));
    CHECK(icmp::meaning_of(4, 3, 200).name == std::string("destination unreachable"));
    CHECK(icmp::meaning_of(4, 250, 1).name == std::string("an unknown kind of error"));
    CHECK(icmp::is_time_exceeded(4, 11));
    CHECK(icmp::is_time_exceeded(6, 3));
    CHECK_FALSE(icmp::is_time_exceeded(4, 3));
}

TEST_CASE("icmp: round trips, as iputils counts them", "[unit][udp][icmp]") {
    icmp::RoundTrips trips;
    CHECK(trips.mdev() == 0);
    for (const double time : {2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0})
        trips.add(time);
    CHECK(trips.count() == 8);
    CHECK(trips.min() == 2);
    CHECK(trips.max() == 9);
    CHECK(is_about(trips.avg(), 5));
    CHECK(is_about(trips.mdev(), 2));  // of a sample it would be 2.138
    // Large and nearly the same: what a sum of squares would lose.
    icmp::RoundTrips large;
    for (int i = 0; i < 1000; ++i)
        large.add(1e6 + (i % 2 == 0 ? 0.001 : -0.001));
    CHECK(is_about(large.mdev(), 0.001));
}

#ifdef __linux__
namespace {

/// Control data as the kernel fills it in.
struct Control {
    alignas(cmsghdr) char bytes[256]{};
    msghdr message{};
    std::size_t size = 0;

    void add(int level, int type, const std::string& data) {
        cmsghdr header{};
        header.cmsg_len = CMSG_LEN(data.size());
        header.cmsg_level = level;
        header.cmsg_type = type;
        std::memcpy(bytes + size, &header, sizeof header);
        std::memcpy(bytes + size + CMSG_LEN(0), data.data(), data.size());
        size += CMSG_SPACE(data.size());
    }
    std::optional<icmp::QueuedError> parse() {
        message.msg_control = bytes;
        message.msg_controllen = size;
        return icmp::queued_error(message);
    }
};

std::string error_data(unsigned origin, unsigned type, unsigned code, int error) {
    sock_extended_err told{};
    told.ee_errno = static_cast<std::uint32_t>(error);
    told.ee_origin = static_cast<std::uint8_t>(origin);
    told.ee_type = static_cast<std::uint8_t>(type);
    told.ee_code = static_cast<std::uint8_t>(code);
    told.ee_info = 1400;
    const Address router = resolve("10.0.1.2", 0, SOCK_DGRAM).front();
    return std::string(reinterpret_cast<const char*>(&told), sizeof told) +
           std::string(reinterpret_cast<const char*>(router.get()), router.length());
}

}  // namespace

TEST_CASE("icmp: what the error queue tells", "[unit][udp][icmp]") {
    Control control;
    CHECK_FALSE(control.parse());
    control.add(IPPROTO_IP, IP_TTL, std::string(4, '\x40'));
    CHECK_FALSE(control.parse());
    control.add(IPPROTO_IP, IP_RECVERR, error_data(SO_EE_ORIGIN_ICMP, 11, 0, EHOSTUNREACH));
    const auto error = control.parse();
    REQUIRE(error);
    CHECK_FALSE(error->local);
    CHECK(error->type == 11);
    CHECK(error->error == EHOSTUNREACH);
    CHECK(error->mtu == 0);
    CHECK(icmp::host_text(error->offender) == "10.0.1.2");

    Control too_large;
    too_large.add(IPPROTO_IPV6, IPV6_RECVERR, error_data(SO_EE_ORIGIN_LOCAL, 0, 0, EMSGSIZE));
    CHECK(too_large.parse()->local);
    CHECK(too_large.parse()->mtu == 1400);

    Control cut;
    cut.add(IPPROTO_IP, IP_RECVERR, error_data(SO_EE_ORIGIN_ICMP, 11, 0, EHOSTUNREACH));
    const std::size_t whole = cut.size;
    for (cut.size = 0; cut.size + 4 < whole; ++cut.size)
        CHECK_FALSE(cut.parse());
}
#endif
