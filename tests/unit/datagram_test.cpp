// common/datagram.hpp: with a time limit, and asked again until answered.

#include "common/datagram.hpp"

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/support/peer.hpp"

#include <chrono>
#include <string>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using namespace std::chrono_literals;

const Retry quick{.timeout = 20ms, .tries = 3, .doubling = false};

}  // namespace

TEST_CASE("datagram: comes with its sender, whole or cut", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    Peer there = Peer::bound(SOCK_DGRAM);
    there.send_to(here.address(), "hello");
    there.send_to(here.address(), "");
    there.send_to(here.address(), "too long");
    const auto first = receive_until(here.fd(), Clock::now() + 10s);
    REQUIRE(first);
    CHECK(first->bytes == "hello");
    CHECK(first->size == 5);
    CHECK(first->sender == there.address());
    const auto second = receive_until(here.fd(), Clock::now() + 10s);
    REQUIRE(second);
    CHECK(second->bytes.empty());
    const auto third = receive_until(here.fd(), Clock::now() + 10s, 3);
    REQUIRE(third);
    CHECK(third->bytes == "too");
#ifdef __linux__
    CHECK(third->size == 8);
#endif
}

TEST_CASE("datagram: none in time", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    const auto begin = Clock::now();
    CHECK_FALSE(receive_until(here.fd(), begin + 20ms));
    CHECK(Clock::now() - begin >= 20ms);
    CHECK_FALSE(receive_until(here.fd(), begin));  // a time that is over
}

TEST_CASE("datagram: what lies there is received although the time is over", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    here.send_to(here.address(), "hello");
    CHECK(receive_until(here.fd(), Clock::now() - 1s));
}

TEST_CASE("datagram: a connected socket hears that nobody is there", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    const Address nobody = Peer::bound(SOCK_DGRAM).address();
    REQUIRE(connect(here.fd(), nobody.get(), nobody.length()) == 0);
    REQUIRE(send(here.fd(), "x", 1, 0) == 1);
    try {
        receive_until(here.fd(), Clock::now() + 10s);
        FAIL("no error");
    } catch (const SocketError& error) {
        CHECK(error.code().value() == ECONNREFUSED);
    }
}

TEST_CASE("datagram: asked until an answer is accepted", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    Peer server = Peer::bound(SOCK_DGRAM);
    server.send_to(here.address(), "wrong");
    server.send_to(here.address(), "right");
    std::vector<std::string> seen;
    const Retry unhurried{.timeout = 20s, .tries = 3};  // it is not to be asked again, however slow we are
    const auto answer = ask(here.fd(), server.address(), "question", unhurried, [&](const Datagram& datagram) {
        seen.push_back(datagram.bytes);
        return datagram.bytes == "right";
    });
    REQUIRE(answer);
    CHECK(answer->bytes == "right");
    CHECK(seen == std::vector<std::string>{"wrong", "right"});
    Address from;
    CHECK(server.receive_from(from) == "question");  // once
    CHECK_FALSE(receive_until(server.fd(), Clock::now()));
}

TEST_CASE("datagram: asked as often as wanted, and then no more", "[unit][datagram]") {
    Peer here = Peer::bound(SOCK_DGRAM);
    Peer server = Peer::bound(SOCK_DGRAM);
    const auto begin = Clock::now();
    SECTION("each time as long") {
        CHECK_FALSE(ask(here.fd(), server.address(), "question", quick, [](const Datagram&) { return true; }));
        CHECK(Clock::now() - begin >= 60ms);
    }
    SECTION("each time twice as long, up to the longest") {
        const Retry doubling{.timeout = 10ms, .tries = 3, .doubling = true, .longest_timeout = 20ms};
        CHECK_FALSE(ask(here.fd(), server.address(), "question", doubling, [](const Datagram&) { return true; }));
        CHECK(Clock::now() - begin >= 50ms);
    }
    for (int i = 0; i < 3; ++i)
        CHECK(receive_until(server.fd(), Clock::now()));
    CHECK_FALSE(receive_until(server.fd(), Clock::now()));
}

TEST_CASE("datagram: asking comes to its end where there is always something else to be read", "[unit][datagram]") {
    const Peer own = Peer::bound(SOCK_DGRAM), server = Peer::bound(SOCK_DGRAM);
    const auto flood = [&] {
        const Address here = own.address();
        sendto(own.fd(), "x", 1, 0, here.get(), here.length());
    };
    const auto began = std::chrono::steady_clock::now();
    flood();
    const auto answer =
        ask(own.fd(), server.address(), "question", {std::chrono::milliseconds(20), 3}, [&](const Datagram&) {
            if (std::chrono::steady_clock::now() - began > patience) throw Unexpected("it asks for ever");
            flood();  // each is followed by another
            return false;
        });
    CHECK_FALSE(answer);
    int asked = 0;
    char room[100];
    while (recv(server.fd(), room, sizeof room, MSG_DONTWAIT) > 0)
        ++asked;
    CHECK(asked == 3);
}
