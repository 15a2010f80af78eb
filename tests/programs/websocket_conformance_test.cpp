// RFC 6455 and RFC 7692 over real sockets, as a conformance suite asks: the servers meet a client that is played by the
// test. Frames, fragments, UTF-8, Close, faults, compression, large messages; and the end of TCP, which is the
// server's.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/conformance.hpp"
#include "tests/support/files.hpp"
#include "websocket/protocol/deflate.hpp"

#include <fmt/core.h>

using wire::close_body;
using wire::masked;
using wire::operator""_hex;
using conformance::Frames;
using conformance::in_fragments;

namespace {

/// "88 " and this code, with any reason behind it.
std::string close_begin(unsigned code) { return "88 " + wire::shown(close_body(code)); }

/// The frames that come before the Close frame; CHECKs that there is one with this code and a reason, and that it is
/// the last thing before the server's FIN.
void check_failed(WebSocketPeer& peer, unsigned code, const Frames& before = {}) {
    Frames frames = peer.frames_to_end();
    INFO(Catch::StringMaker<Frames>::convert(frames));
    REQUIRE(!frames.empty());
    CHECK_THAT(frames.back(), StartsWith(close_begin(code)));
    CHECK(frames.back().size() > close_begin(code).size());
    frames.pop_back();
    CHECK(frames == before);
    peer.socket().close();  // for the blocking server, which waits for it
}

/// A payload that is another for each length, and text.
std::string letters(size_t count) {
    std::string text(count, '\0');
    for (size_t i = 0; i < count; ++i)
        text[i] = static_cast<char>('!' + (i * 7 + count) % 90);
    return text;
}

}  // namespace

// ---- What must work

TEST_CASE("websocket conformance: messages of all lengths and forms come back as they were", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    for (const size_t size : {0UL, 1UL, 2UL, 124UL, 125UL, 126UL, 127UL, 128UL, 255UL, 256UL, 2047UL, 2048UL, 65'534UL,
                              65'535UL, 65'536UL, 65'537UL, 524'287UL, 524'288UL, 1'000'000UL}) {
        INFO(size);
        const std::string text = letters(size), bytes = random_bytes(size);
        peer.send_frame(0x81, text);
        CHECK((peer.payload(0x81) == text));
        peer.send_frame(0x82, bytes);
        CHECK((peer.payload(0x82) == bytes));
    }
    // Many at once, answered in order.
    std::string all;
    Frames expected;
    for (size_t i = 0; i < 2000; ++i) {
        const std::string payload = letters(i % 300);
        all += masked(i % 3 == 0 ? 0x82 : 0x81, payload, static_cast<std::uint32_t>(i * 2654435761U));
        expected.push_back((i % 3 == 0 ? "82 " : "81 ") + wire::shown(payload));
    }
    peer.send(all + masked(0x88, close_body(1000)));
    expected.push_back("88 " + wire::shown(close_body(1000)));
    CHECK(peer.frames_to_end() == expected);
}

TEST_CASE("websocket conformance: frames that come byte by byte", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    const std::string korean = "안녕하세요 👋";
    const std::string all = masked(0x81, korean) + masked(0x89, "ping") + masked(0x01, letters(126)) +
                            masked(0x89, "") + masked(0x80, letters(300)) + masked(0x82, "00ff"_hex) +
                            masked(0x88, close_body(1000, "끝"));
    for (const char byte : all)
        peer.send({&byte, 1});
    CHECK(peer.frames_to_end() == Frames{"81 " + korean, "8a ping", "8a ",
                                         "81 " + wire::shown(letters(126) + letters(300)),
                                         "82 " + wire::shown("00ff"_hex), "88 " + wire::shown(close_body(1000))});
}

TEST_CASE("websocket conformance: pings are answered in order, each with its payload", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    std::string all;
    Frames expected;
    for (size_t i = 0; i < 10; ++i) {
        const std::string payload = i == 9 ? random_bytes(125) : i == 0 ? "" : fmt::format("payload {}", i);
        all += masked(0x89, payload);
        expected.push_back("8a " + wire::shown(payload));
    }
    peer.send(all);
    for (const std::string& pong : expected)
        CHECK(peer.frame() == pong);
    // A pong that nobody asked for is no fault, and has no answer.
    peer.send(masked(0x8A, "") + masked(0x8A, "unasked") + masked(0x89, "after"));
    CHECK(peer.frame() == "8a after");
}

TEST_CASE("websocket conformance: fragments, with control frames between", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    for (const auto* exchanges : {&conformance::fragments, &conformance::cut_characters}) {
        for (const conformance::Exchange& one : *exchanges) {
            INFO(wire::to_hex(one.bytes));
            peer.send(one.bytes);
            for (const std::string& frame : one.answer)
                CHECK(peer.frame() == frame);
        }
    }
    // 4 MiB in 64-byte fragments, text and binary.
    const std::string large = letters(4U << 20U);
    peer.send(in_fragments(1, large, 64));
    CHECK((peer.payload(0x81) == large));
    const std::string bytes = random_bytes(1U << 20U);
    peer.send(in_fragments(2, bytes, 100));
    CHECK((peer.payload(0x82) == bytes));
}

TEST_CASE("websocket conformance: large messages", "[programs][websocket][large]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    const std::string bytes = random_bytes(16U << 20U);
    peer.send_frame(0x82, bytes);
    CHECK((peer.payload(0x82) == bytes));
    const std::string text = letters(8U << 20U);
    peer.send(in_fragments(1, text, 1U << 20U));
    CHECK((peer.payload(0x81) == text));
    // In small pieces of TCP, however the frame's header said it comes.
    const std::string frame = masked(0x82, std::string_view(bytes).substr(0, 300'000));
    for (size_t at = 0; at < frame.size(); at += 997)
        peer.send(std::string_view(frame).substr(at, 997));
    CHECK((peer.payload(0x82) == std::string_view(bytes).substr(0, 300'000)));
}

// ---- UTF-8

TEST_CASE("websocket conformance: texts at the edges of UTF-8", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    // A binary message may hold what it likes.
    peer.send_frame(0x82, "c0"_hex);
    CHECK(peer.frame() == "82 \\xc0");
    for (const std::string& text : conformance::good_texts) {
        INFO(wire::to_hex(text));
        peer.send(masked(0x81, text) + in_fragments(1, text, 1));
        CHECK(peer.payload(0x81) == text);
        CHECK(peer.payload(0x81) == text);
    }
}

TEST_CASE("websocket conformance: 1007 at the first byte that can't be UTF-8", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (const std::string& text : conformance::bad_texts) {
        INFO(wire::to_hex(text));
        WebSocketPeer whole(server);  // the message is whole
        whole.send_frame(0x81, "before" + text);
        check_failed(whole, 1007);
        WebSocketPeer first(server);  // it is the first of more
        first.send(masked(0x81, "good") + masked(0x01, "x" + text));
        check_failed(first, 1007, {"81 good"});
        WebSocketPeer early(server);  // the frame is not whole, and never will be
        early.send(masked(0x81, "x" + text + std::string(100, 'y')).substr(0, 6 + 1 + text.size()));
        check_failed(early, 1007);
    }
    for (const std::string& text : conformance::unfinished_texts) {
        INFO(wire::to_hex(text));
        WebSocketPeer cut(server);
        cut.send_frame(0x81, "cut" + text);
        check_failed(cut, 1007);
        WebSocketPeer later(server);
        later.send(masked(0x01, "cut" + text) + masked(0x80, ""));
        check_failed(later, 1007);
    }
    // In a large message, long before its end.
    WebSocketPeer large(server);
    large.send(masked(0x81, std::string(500'000, 'x') + "\xff" + std::string(1'000'000, 'x')).substr(0, 600'000));
    check_failed(large, 1007);
}

// ---- Faults

TEST_CASE("websocket conformance: each fault of a frame, and its code", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    std::vector<conformance::Fault> faults = conformance::faults_of_frames(16U << 20U);
    for (const conformance::Fault& fault : conformance::faults_of_close_codes())
        faults.push_back(fault);
    for (const conformance::Fault& fault : faults) {
        INFO(fault.what << ": " << wire::to_hex(fault.bytes.substr(0, 40)));
        WebSocketPeer peer(server);
        peer.send(fault.early > 0 ? fault.bytes.substr(0, fault.early) : fault.bytes);
        check_failed(peer, fault.code, fault.before);
        // And it goes on sending: the Close frame must come nevertheless, and no RST before it.
        WebSocketPeer stubborn(server);
        stubborn.send(fault.bytes + std::string(200'000, 'x'));
        check_failed(stubborn, fault.code, fault.before);
    }
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket conformance: a fault within much that is good", "[programs][websocket]") {
    // What came before it is answered, whole, and in order.
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server);
    std::string all;
    Frames expected;
    for (size_t i = 0; i < 100; ++i) {
        all += masked(0x82, letters(i * 97));
        expected.push_back("82 " + wire::shown(letters(i * 97)));
    }
    peer.send(all + masked(0x83, "") + all);
    check_failed(peer, 1002, expected);
}

TEST_CASE("websocket conformance: the limits that options set", "[programs][websocket]") {
    const Server small = start_server("websocket/event_server", {"--message", "1000", "--fragments", "10"});
    const std::string largest = letters(1000);
    {
        WebSocketPeer peer(small);
        peer.send(masked(0x81, largest) + in_fragments(1, largest, 100));
        CHECK((peer.payload(0x81) == largest));
        CHECK((peer.payload(0x81) == largest));
        peer.send(in_fragments(1, largest + "x", 101));
        check_failed(peer, 1009);
    }
    WebSocketPeer eleven(small);
    eleven.send(in_fragments(1, "eleven char", 1));
    check_failed(eleven, 1008);
    WebSocketPeer empty(small);
    for (int i = 0; i < 9; ++i)
        empty.send(masked(i == 0 ? 0x01 : 0x00, ""));
    empty.send(masked(0x89, "") + masked(0x80, "ten"));
    CHECK(empty.frame() == "8a ");
    CHECK(empty.frame() == "81 ten");
    for (int i = 0; i < 11; ++i)
        empty.send(masked(i == 0 ? 0x01 : 0x00, ""));
    check_failed(empty, 1008);
}

// ---- Close

TEST_CASE("websocket conformance: Close is answered with the same code", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name);
    WebSocketPeer bare(server);
    bare.send_frame(0x88, "");
    CHECK(bare.frames_to_end() == Frames{"88 "});
    bare.socket().close();
    for (const unsigned code : conformance::good_close_codes) {
        for (const std::string& reason : {std::string(), std::string("안녕"), std::string(123, 'r')}) {
            INFO(code << " " << reason);
            WebSocketPeer peer(server);
            peer.send_frame(0x88, close_body(code, reason));
            const Frames frames = peer.frames_to_end();
            REQUIRE(frames.size() == 1);
            CHECK_THAT(frames[0], StartsWith(close_begin(code)));
        }
    }
    CHECK(server.err().empty());
}

TEST_CASE("websocket conformance: nothing counts behind Close", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    Server server = start_server(name);
    const std::string close = masked(0x88, close_body(1000));
    std::vector<conformance::Exchange> all = conformance::behind_close;
    // The message that was begun is forgotten.
    all.push_back({masked(0x01, "begun") + close + masked(0x80, "never"), {}});
    all.push_back({masked(0x01, "begun") + masked(0x89, "p") + close, {"8a p"}});
    for (const conformance::Exchange& one : all) {
        INFO(wire::shown(one.bytes));
        WebSocketPeer peer(server);
        peer.send(one.bytes);
        Frames expected = one.answer;
        expected.push_back("88 " + wire::shown(close_body(1000)));
        CHECK(peer.frames_to_end() == expected);
    }
    must_serve(server, "websocket/echo_client");
    CHECK(server.err().empty());
}

TEST_CASE("websocket conformance: a client that sends everything, Close and FIN before it reads",
          "[programs][websocket]") {
    // The answers wait in the server's queue when the end arrives; they are owed nevertheless.
    Server server = start_server("websocket/event_server", {"--queue", "100000000"});
    WebSocketPeer peer(server);
    const std::string message = random_bytes(1'000'000);
    const Frames echoed(12, "82 " + wire::shown(message));
    for (size_t i = 0; i < echoed.size(); ++i)
        peer.send_frame(0x82, message);
    peer.send_frame(0x88, close_body(1000));
    peer.socket().end_sending();
    Frames expected = echoed;
    expected.push_back("88 " + wire::shown(close_body(1000)));
    CHECK((peer.frames_to_end() == expected));
}

// ---- permessage-deflate

namespace {

const std::string deflate = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

/// The message of the next frame, which must be a compressed one.
std::string inflated(WebSocketPeer& peer, websocket::Inflater& inflater, unsigned first = 0xC1) {
    websocket::Buffer message;
    const auto result = inflater.decompress(peer.payload(first), true, 64U << 20U, message);
    if (result != websocket::Inflater::Result::done) throw Unexpected("the server's message is not DEFLATE data");
    return std::string(message.view());
}

}  // namespace

TEST_CASE("websocket conformance: compressed messages as RFC 7692, section 7.2.3, shows them",
          "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    WebSocketPeer peer(server, deflate);
    websocket::Inflater inflater(15, false);
    const auto returns = [&](const std::string& frames, const std::string& message) {
        peer.send(frames);
        CHECK(inflated(peer, inflater) == message);
    };
    returns(masked(0xC1, "f248cdc9c90700"_hex), "Hello");
    returns(masked(0xC1, "f200110000"_hex), "Hello");  // refers back to the first: the window is kept
    returns(masked(0x41, "f248cd"_hex) + masked(0x80, "c9c90700"_hex), "Hello");
    peer.send(masked(0x41, "f2"_hex) + masked(0x89, "p") + masked(0x00, "") + masked(0x80, "48cdc9c90700"_hex));
    CHECK(peer.frame() == "8a p");
    CHECK(inflated(peer, inflater) == "Hello");
    returns(masked(0xC1, "000500faff48656c6c6f00"_hex), "Hello");        // a block without compression
    returns(masked(0xC1, "f348cdc9c9070000"_hex), "Hello");              // a block that says that it is the last
    returns(masked(0xC1, "f248050000 00ffff cac9c90700"_hex), "Hello");  // two blocks
    returns(masked(0xC1, "00"_hex), "");
    // A message may come uncompressed at any time; the answer is compressed or not.
    peer.send(masked(0x81, "plain") + masked(0xC1, "f248cdc9c90700"_hex));
    CHECK(inflated(peer, inflater) == "plain");
    CHECK(inflated(peer, inflater) == "Hello");
    peer.send(masked(0xC2, "f248cdc9c90700"_hex));
    CHECK(inflated(peer, inflater, 0xC2) == "Hello");
}

TEST_CASE("websocket conformance: faults of compression", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name, {"--message", "100000"});
    websocket::Buffer bomb, fits, latin;
    websocket::Deflater(15, false).compress(std::string(100'001, '\0'), true, bomb);
    websocket::Deflater(15, false).compress(std::string(100'000, 'x'), true, fits);
    websocket::Deflater(15, false).compress(std::string(1000, 'x') + "\xe9 and more", true, latin);
    struct Fault {
        const char* what;
        std::string bytes;
        unsigned code;
    };
    for (const Fault& fault : {
             Fault{"no DEFLATE data", masked(0xC1, "ffffffff"_hex), 1007},
             Fault{"a block of a reserved type", masked(0xC1, "0700"_hex), 1007},
             Fault{"a stored block whose lengths contradict each other", masked(0xC1, "000500000048656c6c6f00"_hex),
                   1007},
             Fault{"no block at all", masked(0xC1, ""), 1007},
             Fault{"a block that is cut", masked(0xC1, "f248cd"_hex), 1007},
             Fault{"a reference before the beginning", masked(0xC1, "f200110000"_hex), 1007},
             Fault{"RSV1 on the second fragment", masked(0x41, "f248cd"_hex) + masked(0xC0, "c9c90700"_hex), 1002},
             Fault{"RSV1 on the second fragment only", masked(0x01, "a") + masked(0xC0, "00"_hex), 1002},
             Fault{"RSV1 on a ping", masked(0xC9, ""), 1002},
             Fault{"RSV1 on a Close frame", masked(0xC8, close_body(1000)), 1002},
             Fault{"RSV2", masked(0xA1, "Hello"), 1002},
             Fault{"one byte too much comes out", masked(0xC2, bomb.view()), 1009},
             Fault{"a text that is not UTF-8 when it is inflated", masked(0xC1, latin.view()), 1007},
         }) {
        INFO(fault.what);
        WebSocketPeer peer(server, deflate);
        peer.send(fault.bytes);
        check_failed(peer, fault.code);
    }
    {
        WebSocketPeer peer(server, deflate);
        websocket::Inflater inflater(15, false);
        peer.send(masked(0xC1, fits.view()));
        CHECK((inflated(peer, inflater) == std::string(100'000, 'x')));
    }
    must_serve(server, "websocket/echo_client");
}

TEST_CASE("websocket conformance: windows of all sizes, with and without context takeover", "[programs][websocket]") {
    const std::string name = GENERATE(from_range(websocket_servers()));
    INFO(name);
    const Server server = start_server(name);
    for (int bits = 8; bits <= 15; ++bits) {
        for (const bool takeover : {true, false}) {
            INFO(bits << (takeover ? "" : " without context takeover"));
            WebSocketPeer peer(
                server, fmt::format("Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits={}{}\r\n",
                                    bits, takeover ? "" : "; server_no_context_takeover; client_no_context_takeover"));
            // With a window of just this size: a reference that goes further back fails.
            websocket::Inflater inflater(bits, !takeover);
            websocket::Deflater deflater(15, !takeover);
            for (const std::string& message :
                 {letters(5000), letters(5000), random_bytes(40'000), std::string(100'000, 'x'), std::string(),
                  letters(1), std::string("안녕")}) {
                websocket::Buffer compressed;
                deflater.compress(message, true, compressed);
                peer.send_frame(0xC2, compressed.view());
                CHECK((inflated(peer, inflater, 0xC2) == message));
            }
        }
    }
}
