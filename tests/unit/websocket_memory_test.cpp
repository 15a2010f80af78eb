// What a peer can make the protocol layer allocate, and what is given back. (Compression bombs:
// websocket_deflate_test.)

#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/memory.hpp"
#include "tests/support/wire.hpp"

#include <string>

using namespace websocket;
using wire::masked;
using namespace wire::literals;

namespace {

constexpr std::ptrdiff_t kibibyte = 1024;
constexpr std::ptrdiff_t mebibyte = 1024 * kibibyte;

/// Feeds bytes in pieces. Returns the number of events.
std::size_t feed(Connection& peer, std::string& bytes, std::size_t piece) {
    std::size_t events = 0;
    for (std::size_t at = 0; at < bytes.size(); at += piece) {
        peer.receive(bytes.data() + at, std::min(piece, bytes.size() - at));
        while (peer.next())
            ++events;
    }
    return events;
}

}  // namespace

TEST_CASE("memory: the watch sees what is allocated and freed", "[unit][websocket][memory]") {
    const MemoryWatch memory;
    {
        Buffer buffer;
        buffer.extend(100'000);
        CHECK(memory.live() >= 100'000);
        CHECK(memory.live() < 110'000);
        buffer.release();
        CHECK(memory.live() == 0);
    }
    CHECK(memory.peak() >= 100'000);
}

TEST_CASE("memory: an idle connection has none beyond itself", "[unit][websocket][memory]") {
    CHECK(sizeof(Connection) <= 256);
    Buffer output;
    output.extend(1000);
    output.clear();
    std::string whole = masked(0x81, "Hello") + masked(0x89, "ping") + masked(0x82, std::string(500, 'x'));
    std::string cut = masked(0x82, std::string(5000, 'x')) + masked(0x01, "frag") + masked(0x80, "ment");
    const MemoryWatch memory;
    Connection peer(Role::server, output);
    const std::size_t events = feed(peer, whole, whole.size());
    const std::ptrdiff_t peak_of_whole = memory.peak();
    const std::size_t more_events = feed(peer, cut, 100);
    const std::ptrdiff_t peak_of_cut = memory.peak();
    const std::ptrdiff_t live = memory.live();
    CHECK(events == 3);
    CHECK(peak_of_whole == 0);  // what comes whole is looked at where it is
    CHECK(more_events == 2);
    CHECK(peak_of_cut > 5000);
    CHECK(live == 0);
}

TEST_CASE("memory: the windows of compression are made when they are used", "[unit][websocket][memory]") {
    Buffer output;
    const MemoryWatch memory;
    const Connection peer(Role::server, output, Connection::default_limits(), DeflateParameters{});
    const std::ptrdiff_t live = memory.live();
    CHECK(live <= 128);
}

TEST_CASE("memory: a length that is only announced costs nothing", "[unit][websocket][memory]") {
    Buffer output;
    const MemoryWatch memory;
    Connection peer(Role::client, output);
    std::string header = "82 7f 0000000001000000"_hex + "only this";
    feed(peer, header, header.size());
    CHECK(memory.live() < kibibyte);
    // To be received directly, there is room for a piece of it.
    REQUIRE(peer.room());
    CHECK(memory.live() <= 512 * kibibyte);
}

TEST_CASE("memory: a message takes its size, and a part of that while it grows", "[unit][websocket][memory]") {
    Buffer output;
    const Limits limits{std::size_t{1} << 20U, 1U << 17U};
    for (const std::size_t piece : {std::size_t{1000}, std::size_t{100'000}}) {
        std::string message = masked(0x82, std::string(std::size_t{1} << 20U, 'm'));
        std::string fragments = masked(0x02, "");
        for (int i = 0; i < 100'000; ++i)
            fragments += masked(0x00, "0123456789");
        fragments += masked(0x80, "");
        const MemoryWatch memory;
        Connection peer(Role::server, output, limits);
        CHECK(feed(peer, message, piece) == 1);
        CHECK(memory.peak() <= 3 * mebibyte + kibibyte);
        CHECK(memory.live() == 0);
        CHECK(feed(peer, fragments, piece) == 1);
        CHECK(memory.peak() <= 3 * mebibyte + kibibyte);
        CHECK(memory.live() == 0);
    }
}

TEST_CASE("memory: floods of empty fragments and of pings", "[unit][websocket][memory]") {
    Buffer output;
    output.extend(100'000);
    output.clear();
    std::string fragments = masked(0x01, "");
    std::string pings;
    for (int i = 0; i < 50'000; ++i) {
        fragments += masked(0x00, "");
        pings += masked(0x89, std::string(125, 'p'));
    }
    for (const std::size_t piece : {std::size_t{65'536}, std::size_t{10'000'000}}) {
        const MemoryWatch memory;
        Connection peer(Role::server, output);
        CHECK(feed(peer, fragments, piece) == 0);
        CHECK(memory.peak() == 0);
        peer.receive(pings.data(), pings.size());
        std::size_t events = 0;
        while (peer.next())
            ++events;
        CHECK(events == 50'000);
        CHECK(output.size() == std::size_t{65} * 127);  // answers of one receive(), while nothing is sent
        CHECK(memory.peak() < kibibyte);
        output.clear();
        pings.clear();
        for (int i = 0; i < 50'000; ++i)
            pings += masked(0x89, std::string(125, 'p'));
    }
}

TEST_CASE("memory: compressing leaves nothing large behind", "[unit][websocket][memory]") {
    Buffer output;
    Connection peer(Role::server, output, Connection::default_limits(), DeflateParameters{});
    const std::string noise = random_bytes(std::size_t{1} << 20U);
    const MemoryWatch memory;
    CHECK(peer.send(Opcode::binary, noise));
    output.release();
    CHECK(memory.peak() > mebibyte);
    CHECK(memory.live() <= 128 * kibibyte);
}

TEST_CASE("memory: a header, a request or an answer, takes a multiple of its limit at the most",
          "[unit][websocket][memory]") {
    std::string fields;
    for (int i = 0; i < 98; ++i)
        fields += std::string(20, 'n') + ":" + std::string(50, 'v') + "\r\n";
    std::string line = "GET /" + std::string(100'000, 'a');
    std::string many = "GET / HTTP/1.1\r\n" + fields;
    std::string refusal = "HTTP/1.1 400 no\r\n" + fields + "\r\n" + std::string(100'000, 'b');
    for (const std::string& text : {line, many, refusal}) {
        for (const std::size_t piece : {std::size_t{1}, std::size_t{100'000}}) {
            const ServerPolicy policy;
            ClientWishes wishes;
            wishes.host = "h";
            const MemoryWatch memory;
            ServerHandshake server(policy);
            ClientHandshake client(wishes);
            auto servers = ServerHandshake::Status::incomplete;
            auto clients = ClientHandshake::Status::incomplete;
            for (std::size_t at = 0; at < text.size(); at += piece) {
                std::string_view to_server = std::string_view(text).substr(at, piece);
                std::string_view to_client = to_server;
                if (servers == ServerHandshake::Status::incomplete) servers = server.take(to_server);
                if (clients == ClientHandshake::Status::incomplete) clients = client.take(to_client);
            }
            CHECK(memory.peak() < 128 * kibibyte);
        }
    }
}
