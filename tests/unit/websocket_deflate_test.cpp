// permessage-deflate (RFC 7692, section 7.2): the compressor against zlib's own decompressor, the decompressor against
// zlib's own compressor, and both in connections. Negotiation is in websocket_extension_test.cpp.

#include "websocket/protocol/deflate.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/memory.hpp"
#include "tests/support/wire.hpp"

#include <zlib.h>

#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace websocket;
using wire::close_body;
using wire::failed;
using wire::frame;
using wire::masked;
using wire::play;
using wire::replay;
using wire::Setup;
using wire::Story;
using wire::to;
using namespace wire::literals;

namespace {

const std::string tail = "0000ffff"_hex;

const Setup server{Role::server, {}, DeflateParameters{}};
const Setup client{Role::client, {}, DeflateParameters{}};

Story open(std::vector<std::string> events, std::vector<std::string> sent = {}) {
    return {std::move(events), std::move(sent), false};
}

const Story not_deflate = failed(1007, "a message is not DEFLATE data");
const Story not_text = failed(1007, "a text message is not UTF-8");
const Story too_big = failed(1009, "a message is too big");

/// zlib itself as the peer that compresses: a raw stream, of which each call takes the next part.
class Compressor {
public:
    explicit Compressor(int bits = 15, int level = 6) {
        if (deflateInit2(&stream_, level, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::bad_alloc();
    }
    ~Compressor() { deflateEnd(&stream_); }
    Compressor(const Compressor&) = delete;
    Compressor& operator=(const Compressor&) = delete;

    std::string run(std::string_view text, int flush = Z_SYNC_FLUSH) {
        std::string out(deflateBound(&stream_, text.size()) + 64, '\0');
        stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
        stream_.avail_in = static_cast<uInt>(text.size());
        stream_.next_out = reinterpret_cast<Bytef*>(out.data());
        stream_.avail_out = static_cast<uInt>(out.size());
        deflate(&stream_, flush);
        out.resize(out.size() - stream_.avail_out);
        return out;
    }

    /// A message, without its tail.
    std::string message(std::string_view text) {
        std::string out = run(text);
        REQUIRE(out.size() > 4);
        REQUIRE(out.substr(out.size() - 4) == tail);
        return out.substr(0, out.size() - 4);
    }

private:
    z_stream stream_{};
};

/// zlib itself as the peer that decompresses. With step 1 it writes byte by byte: it then can refer back no further
/// than its window, since it does not remember more.
std::string decompressed(int bits, const std::string& stream, std::size_t step = 65536) {
    z_stream state{};
    if (inflateInit2(&state, -bits) != Z_OK) throw std::bad_alloc();
    state.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(stream.data()));
    state.avail_in = static_cast<uInt>(stream.size());
    std::string out;
    std::string piece(step, '\0');
    int result = Z_OK;
    do {
        state.next_out = reinterpret_cast<Bytef*>(piece.data());
        state.avail_out = static_cast<uInt>(step);
        result = inflate(&state, Z_SYNC_FLUSH);
        out.append(piece, 0, step - state.avail_out);
    } while (result == Z_OK && state.avail_out == 0);
    inflateEnd(&state);
    if (result != Z_OK && result != Z_BUF_ERROR) throw std::runtime_error("zlib can't read what was compressed");
    return out;
}

std::string compressed(Deflater& deflater, std::string_view text) {
    Buffer out;
    deflater.compress(text, true, out);
    return std::string(out.view());
}

std::string repeated(const std::string& text, std::size_t times) {
    std::string all;
    for (std::size_t i = 0; i < times; ++i)
        all += text;
    return all;
}

/// Words from a small vocabulary, repeated at distances of all sizes.
std::string prose(std::size_t length, unsigned seed) {
    std::mt19937 random(seed);
    std::string text;
    while (text.size() < length) {
        if (text.size() > 20 && random() % 4 == 0) {
            const std::size_t back = 1 + random() % std::min<std::size_t>(text.size(), 1200);
            text += text.substr(text.size() - back, 3 + random() % 40);
        } else {
            text += static_cast<char>('a' + random() % 26);
        }
    }
    text.resize(length);
    return text;
}

}  // namespace

// ---- The examples of RFC 7692, section 7.2.3

TEST_CASE("deflate: the RFC's examples are understood", "[unit][websocket][deflate]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, DeflateParameters{}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const std::string hello = in(0xC1, "f248cdc9c90700"_hex);
        CHECK(replay(setup, hello) == open({"text Hello"}));  // 7.2.3.1
        CHECK(replay(setup, in(0x41, "f248cd"_hex) + in(0x80, "c9c90700"_hex)) == open({"text Hello"}));
        CHECK(replay(setup, hello + in(0xC1, "f200110000"_hex)) == open({"text Hello", "text Hello"}));  // 7.2.3.2
        CHECK(replay(setup, hello + hello) == open({"text Hello", "text Hello"}));
        CHECK(replay(setup, in(0xC1, "000500faff48656c6c6f00"_hex)) == open({"text Hello"}));         // 7.2.3.3
        CHECK(replay(setup, in(0xC1, "f348cdc9c9070000"_hex)) == open({"text Hello"}));               // 7.2.3.4
        CHECK(replay(setup, in(0xC1, "f248050000 00ffff ca c9c90700"_hex)) == open({"text Hello"}));  // 7.2.3.5
        CHECK(replay(setup, in(0xC1, "00"_hex)) == open({"text "}));                                  // 7.2.3.6
        CHECK(replay(setup, in(0xC2, "00"_hex) + in(0xC1, "00"_hex)) == open({"binary ", "text "}));
    }
    // As they stand in the RFC, byte for byte.
    CHECK(replay(client, "c1 07 f2 48 cd c9 c9 07 00"_hex) == open({"text Hello"}));
    CHECK(replay(client, "41 03 f2 48 cd  80 04 c9 c9 07 00"_hex) == open({"text Hello"}));
    CHECK(replay(client, "c1 0b 00 05 00 fa ff 48 65 6c 6c 6f 00"_hex) == open({"text Hello"}));
    CHECK(replay(client, "c1 08 f3 48 cd c9 c9 07 00 00"_hex) == open({"text Hello"}));
}

TEST_CASE("deflate: the RFC's examples are written", "[unit][websocket][deflate]") {
    Buffer output;
    const auto written = [&](Connection& peer, std::string_view text) {
        output.clear();
        CHECK(peer.send(Opcode::text, text));
        return std::string(output.view());
    };
    const Limits limits;
    Connection keeps(Role::server, output, limits, DeflateParameters{});
    CHECK(keeps.compresses());
    CHECK(written(keeps, "Hello") == "c1 07 f248cdc9c90700"_hex);
    CHECK(written(keeps, "Hello") == "c1 05 f200110000"_hex);
    CHECK(written(keeps, "") == "c1 01 00"_hex);
    CHECK(written(keeps, "") == "c1 01 00"_hex);

    DeflateParameters forgetful;
    forgetful.server_no_context_takeover = true;
    Connection forgets(Role::server, output, limits, forgetful);
    CHECK(written(forgets, "Hello") == "c1 07 f248cdc9c90700"_hex);
    CHECK(written(forgets, "Hello") == "c1 07 f248cdc9c90700"_hex);
    CHECK(written(forgets, "") == "c1 01 00"_hex);
    CHECK(written(forgets, "") == "c1 01 00"_hex);

    Connection masking(Role::client, output, limits, DeflateParameters{});
    written(masking, "Hello");
    CHECK(wire::frames_of(Role::client, output.view()) ==
          std::vector<std::string>{"c1 " + wire::shown("f248cdc9c90700"_hex)});

    Connection plain(Role::server, output, limits);
    CHECK_FALSE(plain.compresses());
}

// ---- The compressor

TEST_CASE("deflate: what the compressor makes, zlib can read", "[unit][websocket][deflate]") {
    std::vector<std::string> texts = {"", "", "a", "", "Hello", "Hello", std::string(300, 'a'), prose(5000, 1)};
    for (std::size_t length = 0; length < 300; length += 7)
        texts.push_back(prose(length, static_cast<unsigned>(length)));
    for (const std::size_t length : {63U, 64U, 65U, 1000U, 65535U, 65536U, 65537U, 200'000U})
        texts.push_back(random_bytes(length));
    texts.emplace_back();
    texts.emplace_back();
    for (int bits = 8; bits <= 15; ++bits) {
        INFO(bits << " bits");
        for (const bool forgets : {false, true}) {
            Deflater deflater(bits, forgets);
            std::string stream;
            std::string all;
            for (const std::string& text : texts) {
                const std::string bytes = compressed(deflater, text);
                REQUIRE_FALSE(bytes.empty());
                const bool tail_left = bytes.size() > 4 && bytes.substr(bytes.size() - 4) == tail;
                CHECK_FALSE(tail_left);
                CHECK(bytes.size() <= text.size() + text.size() / 15 + 16);
                if (forgets) {
                    if (decompressed(bits, bytes + tail) != text) FAIL("a message of " << text.size() << " bytes");
                }
                stream += bytes + tail;
                all += text;
            }
            CHECK((decompressed(bits, stream) == all));
        }
    }
}

TEST_CASE("deflate: incompressible messages of any length, whose ends meet the buffer's",
          "[unit][websocket][deflate]") {
    Deflater deflater(15, false);
    const std::string noise = random_bytes(3000);
    std::string stream;
    std::string all;
    for (std::size_t length = 0; length < 3000; length += length < 400 ? 1 : 13) {
        stream += compressed(deflater, noise.substr(0, length)) + tail;
        all += noise.substr(0, length);
    }
    CHECK((decompressed(15, stream) == all));
}

TEST_CASE("deflate: a message in pieces is one stream", "[unit][websocket][deflate]") {
    const std::string text = prose(3000, 7) + random_bytes(1000);
    std::mt19937 random(1);
    for (int round = 0; round < 60; ++round) {
        Deflater deflater(15, round % 2 == 0);
        std::string stream;
        for (int message = 0; message < 3; ++message) {
            Buffer out;
            std::size_t at = 0;
            while (random() % 8 != 0) {
                const std::size_t count = std::min<std::size_t>(random() % 500, text.size() - at);
                deflater.compress(std::string_view(text).substr(at, count), false, out);
                at += count;
            }
            deflater.compress(round % 3 == 0 ? "" : std::string_view(text).substr(at), true, out);
            const std::size_t length = round % 3 == 0 ? at : text.size();
            REQUIRE_FALSE(out.empty());
            stream += std::string(out.view()) + tail;
            if (round % 2 == 0) {
                REQUIRE(decompressed(15, std::string(out.view()) + tail) == text.substr(0, length));
            }
        }
        CHECK_NOTHROW(decompressed(15, stream));
    }
}

TEST_CASE("deflate: with N bits it refers back 2^N bytes at the most", "[unit][websocket][deflate]") {
    // First, that this test can tell: a reference 300 bytes back is not found in a window of 256.
    const std::string block = random_bytes(300);
    Compressor wide;
    const std::string far = wide.message(block + block) + tail;
    CHECK(far.size() < 350);
    CHECK_THROWS(decompressed(8, far, 1));
    CHECK(decompressed(9, far, 1) == block + block);

    for (int bits = 8; bits <= 15; ++bits) {
        INFO(bits << " bits");
        const std::size_t window = std::size_t{1} << static_cast<unsigned>(bits);
        // Repetitions at every distance around the window's size, runs, and text of all kinds; several messages, so
        // that references reach over their ends.
        std::vector<std::string> texts;
        for (std::size_t period = window - 10; period <= window + 10; period += 1 + window / 2048) {
            if (period > 4106) break;  // the larger windows are looked at by prose and blocks alone
            texts.push_back(repeated(random_bytes(period, static_cast<unsigned>(period)), 3));
        }
        if (bits == 8) {
            for (std::size_t period = 240; period < 530; ++period)
                texts.push_back(repeated(random_bytes(period, static_cast<unsigned>(period)), 3));
        }
        texts.push_back(std::string(5000, 'a'));
        texts.push_back(repeated("the same sentence again and again. ", 200));
        texts.push_back(prose(20'000, 3));
        texts.push_back(repeated(random_bytes(window / 2), 4));
        texts.push_back(random_bytes(3000));
        Deflater deflater(bits, false);
        std::string stream;
        std::string all;
        for (const std::string& text : texts) {
            stream += compressed(deflater, text) + tail;
            all += text;
        }
        CHECK((decompressed(bits, stream, 1) == all));
    }
    // And that it makes use of the window: of two equal blocks half a window long, the second costs next to nothing.
    for (int bits = 9; bits <= 15; ++bits) {
        Deflater deflater(bits, false);
        const std::string half = random_bytes((std::size_t{1} << static_cast<unsigned>(bits)) * 7 / 16);
        CHECK(compressed(deflater, half).size() >= half.size());
        CHECK(compressed(deflater, half).size() < 20 + half.size() / 50);
    }
}

TEST_CASE("deflate: what zlib compresses, in any way, the decompressor can read", "[unit][websocket][deflate]") {
    const std::string texts[] = {"", "a", prose(10'000, 5), random_bytes(5000), std::string(100'000, 'x'), "end"};
    for (const int level : {0, 1, 6, 9}) {
        for (int bits = 9; bits <= 15; ++bits) {
            Compressor compressor(bits, level);
            Inflater inflater(bits, false);
            for (const std::string& text : texts) {
                // Flushed in the middle, too, as some do it.
                const std::size_t third = text.size() / 3;
                std::string bytes = compressor.run(text.substr(0, third));
                bytes += compressor.run(text.substr(third, third), Z_FULL_FLUSH);
                bytes += compressor.run(text.substr(2 * third));
                if (bytes.size() < 4 || bytes.substr(bytes.size() - 4) != tail) bytes += "00"_hex + tail;
                bytes.resize(bytes.size() - 4);
                Buffer out;
                const std::size_t half = bytes.size() / 2;
                CHECK(inflater.decompress(bytes.substr(0, half), false, 1 << 20, out) == Inflater::Result::done);
                CHECK(inflater.decompress(bytes.substr(half), true, 1 << 20, out) == Inflater::Result::done);
                CHECK((out.view() == text));
            }
        }
    }
}

// ---- The decompressor's limit

TEST_CASE("deflate: never more than the limit comes out", "[unit][websocket][deflate]") {
    const std::string text = prose(3000, 11);
    const std::string bytes = Compressor().message(text);
    for (const std::size_t limit : {0U, 1U, 255U, 256U, 257U, 2999U, 3000U, 3001U}) {
        INFO("limit " << limit);
        for (const std::size_t step : {1U, 7U, 100U, 10'000U}) {
            Inflater inflater(15, false);
            Buffer out;
            auto result = Inflater::Result::done;
            for (std::size_t at = 0; at < bytes.size() && result == Inflater::Result::done; at += step) {
                result = inflater.decompress(std::string_view(bytes).substr(at, step), at + step >= bytes.size(), limit,
                                             out);
                REQUIRE(out.size() <= limit);
                REQUIRE(out.capacity() <= 2 * limit);
            }
            CHECK(result == (limit < 3000 ? Inflater::Result::too_big : Inflater::Result::done));
            CHECK((out.view() == text.substr(0, limit)));
        }
    }
    // What is in the buffer already counts.
    Inflater inflater(15, false);
    Buffer out;
    out.append(std::string(100, 'a'));
    CHECK(inflater.decompress(bytes, true, 3099, out) == Inflater::Result::too_big);
    CHECK(out.size() == 3099);
}

TEST_CASE("deflate: the limit of a message holds for what comes out", "[unit][websocket][deflate]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {1000, 100}, DeflateParameters{}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const std::string most(1000, 'm');
        const Story fits = open({"text " + wire::shown(most)});
        CHECK(replay(setup, in(0xC1, Compressor().message(most))) == fits);
        CHECK(replay(setup, in(0xC1, Compressor().message(most + "m"))) == too_big);
        CHECK(replay(setup, in(0xC1, Compressor().message(std::string(100'000, 'm')))) == too_big);
        // In fragments, of which each is small.
        Compressor halves;
        const std::string first = halves.run(most.substr(0, 500));
        const std::string second = halves.message(most.substr(500));
        CHECK(replay(setup, in(0x41, first) + in(0x80, second)) == fits);
        CHECK(replay(setup, in(0x41, first) + in(0x00, "") + in(0x80, second) + in(0xC1, "00"_hex)).events.size() == 2);
        const std::string more = halves.message(most.substr(499));
        CHECK(replay(setup, in(0x41, first) + in(0x80, more)) == too_big);
        // Incompressible data takes more room on the wire than the limit, and does no harm by that.
        const std::string noise = random_bytes(1000);
        const std::string stored = Compressor(15, 0).message(noise);
        CHECK(stored.size() > 1000);
        CHECK(replay(setup, in(0xC2, stored)) == open({"binary " + wire::shown(noise)}));
        CHECK(replay(setup, in(0x82, noise)) == open({"binary " + wire::shown(noise)}));  // uncompressed, as ever
        CHECK(replay(setup, in(0x82, noise + "x")) == too_big);
        // The fragments are counted as ever.
        CHECK(replay({role, {1000, 2}, DeflateParameters{}}, in(0x41, "00"_hex) + in(0x00, "") + in(0x80, "")) ==
              failed(1008, "a message has too many fragments"));
    }
}

TEST_CASE("deflate: bombs of 1 MiB to 1 GiB, and what they cost", "[unit][websocket][deflate]") {
    constexpr std::size_t mebibyte = std::size_t{1} << 20U;
    // One mebibyte of zeros behind others is always the same kilobyte: so a thousand of it make a gigabyte.
    Compressor compressor;
    const std::string zeros(mebibyte, '\0');
    const std::string first = compressor.run(zeros);
    const std::string next = compressor.run(zeros);
    REQUIRE(compressor.run(zeros) == next);
    CHECK(next.size() < 1100);
    CHECK(decompressed(15, first + next + next).size() == 3 * mebibyte);

    for (const Role role : {Role::server, Role::client}) {
        for (const std::size_t size : {1U, 15U, 16U, 17U, 100U, 1024U}) {
            std::string payload = first + repeated(next, size - 1);
            payload.resize(payload.size() - 4);
            const std::string bomb = to(role, 0xC2, payload);
            for (const std::size_t limit : {std::size_t{1000}, mebibyte, 16 * mebibyte}) {
                INFO(size << " MiB into " << limit << " bytes");
                const Limits limits{limit, 1000};
                std::string input = bomb;
                Buffer output;
                Connection peer(role, output, limits, DeflateParameters{});
                const MemoryWatch memory;
                peer.receive(input.data(), input.size());
                auto event = peer.next();
                REQUIRE(event);
                const bool fits = size * mebibyte <= limit;
                CHECK(event->opcode == (fits ? Opcode::binary : Opcode::close));
                if (fits) CHECK(event->payload.size() == size * mebibyte);
                if (!fits) CHECK(peer.closing().code == 1009);
                CHECK(memory.peak() <= static_cast<std::ptrdiff_t>(3 * limit + 10'000));  // old and new while it grows
                peer.next();
                CHECK(memory.live() < 10'000);  // a message that has been looked at is given back
            }
        }
    }
    // In two pieces and fragmented; and nothing of it is left.
    std::string payload = first + repeated(next, 99);
    const Setup setup{Role::server, {mebibyte, 1000}, DeflateParameters{}};
    const std::string fragments = masked(0x42, first) + masked(0x00, payload.substr(first.size()));
    CHECK(play(setup, fragments) == too_big);
    for (std::size_t cut = 1; cut < 5000; cut += 331)
        CHECK(play(setup, fragments, {{cut}}) == too_big);
}

// ---- What is no DEFLATE data, and blocks that end the stream

TEST_CASE("deflate: data that is none", "[unit][websocket][deflate]") {
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, DeflateParameters{}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        CHECK(replay(setup, in(0xC1, "07"_hex)) == not_deflate);          // block type 3
        CHECK(replay(setup, in(0xC1, "000500faaa"_hex)) == not_deflate);  // a stored length and its complement
        CHECK(replay(setup, in(0xC1, "f200110000"_hex)) == not_deflate);  // refers back to before the beginning
        CHECK(replay(setup, in(0xC1, "ffffffffffff"_hex)) == not_deflate);
        // Cut off: the four bytes that every message ends with are not a block then.
        const std::string hello = "f248cdc9c90700"_hex;
        for (std::size_t length = 1; length < hello.size(); ++length) {
            INFO(length);
            CHECK(replay(setup, in(0xC2, hello.substr(0, length))).events ==
                  std::vector<std::string>{"close 1007 a message is not DEFLATE data"});
        }
        CHECK(replay(setup, in(0xC1, "")) == not_deflate);
        CHECK(replay(setup, in(0x41, "") + in(0x80, "")) == not_deflate);
        CHECK(replay(setup, in(0xC2, "000500faff4865"_hex)) == not_deflate);
        CHECK(replay(setup, in(0xC1, "f348cdc9c90700"_hex)) == not_deflate);  // BFINAL, without the empty block behind
        // It is told as soon as it is known, not when the message ends.
        CHECK(replay(setup, in(0x41, "07"_hex)) == not_deflate);
        CHECK(replay(setup, in(0x42, hello) + in(0x00, "0000ffff 07"_hex)) == not_deflate);
        // Nothing of the message that failed is delivered, what came before it is.
        CHECK(replay(setup, in(0xC1, hello) + in(0x89, "x") + in(0xC2, hello.substr(0, 3) + "ffff"_hex)).events ==
              std::vector<std::string>{"text Hello", "ping x", "close 1007 a message is not DEFLATE data"});
    }
}

TEST_CASE("deflate: blocks that end the stream, of which another begins behind", "[unit][websocket][deflate]") {
    const std::string final_hello = "f348cdc9c90700"_hex;  // "Hello" with BFINAL
    const std::string empty = "00"_hex;                    // of an empty block, what the tail does not have
    const std::string again = "f20011"_hex;                // "Hello", by a reference five bytes back
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, DeflateParameters{}};
        const auto in = [&](std::string_view payload) { return to(role, 0xC1, payload); };
        CHECK(replay(setup, in(final_hello + empty) + in(final_hello + empty)) == open({"text Hello", "text Hello"}));
        CHECK(replay(setup, in(final_hello + final_hello + empty)) == open({"text HelloHello"}));
        // The window outlives the stream, in the message and from one to the next.
        CHECK(replay(setup, in(final_hello + again + "0000"_hex)) == open({"text HelloHello"}));
        CHECK(replay(setup, in(final_hello + empty) + in(again + "0000"_hex)) == open({"text Hello", "text Hello"}));
        // The last block may be the one that the tail completes.
        CHECK(replay(setup, in("01"_hex)) == open({"text "}));
        CHECK(replay(setup, in("01"_hex) + in("f248cdc9c90700"_hex) + in(again + "0000"_hex)) ==
              open({"text ", "text Hello", "text Hello"}));
        CHECK(replay(setup, in("f248cdc9c90700 0000ffff 01"_hex) + in(again + "0000"_hex)) ==
              open({"text Hello", "text Hello"}));
        // Many of them are as good as one.
        CHECK(replay(setup, in(repeated("0300"_hex, 200) + final_hello + empty)) == open({"text Hello"}));
        // And without takeover the window does not outlive the message.
        DeflateParameters forgetful;
        forgetful.client_no_context_takeover = forgetful.server_no_context_takeover = true;
        const Setup forgets{role, {}, forgetful};
        CHECK(replay(forgets, in(final_hello + again + "0000"_hex)) == open({"text HelloHello"}));
        CHECK(replay(forgets, in(final_hello + empty) + in(again + "0000"_hex)).events ==
              std::vector<std::string>{"text Hello", "close 1007 a message is not DEFLATE data"});
    }
}

TEST_CASE("deflate: of several faults in a message, the first decides, however it is cut",
          "[unit][websocket][deflate]") {
    // The text that comes out is wrong at its third byte; then it is too big; then it is no DEFLATE data.
    const std::string wrong_text = "ab\xFF" + std::string(2000, 'z');
    const std::string good_text = std::string(2003, 'z');
    for (const Role role : {Role::server, Role::client}) {
        const Setup small{role, {1000, 100}, DeflateParameters{}};
        const Setup large{role, {100'000, 100}, DeflateParameters{}};
        const auto in = [&](unsigned first, const std::string& text, const std::string& behind) {
            return to(role, first, Compressor().run(text) + behind);
        };
        CHECK(replay(small, in(0xC1, wrong_text, "00"_hex)) == not_text);
        CHECK(replay(small, in(0xC1, good_text, "00"_hex)) == too_big);
        CHECK(replay(small, in(0xC1, good_text, "07"_hex)) == too_big);
        CHECK(replay(large, in(0xC1, wrong_text, "07"_hex)) == not_text);
        CHECK(replay(large, in(0xC1, good_text, "07"_hex)) == not_deflate);
        CHECK(replay(large, in(0xC1, good_text + "\xED\x95", "07"_hex)) == not_deflate);
        CHECK(replay(large, in(0xC1, good_text + "\xED\x95", "00"_hex)) == not_text);
        CHECK(replay(small, in(0xC2, wrong_text, "00"_hex)) == too_big);
        // The impossible byte stands right behind the limit.
        CHECK(replay(small, in(0xC1, std::string(1000, 'z') + "\xFF", "00"_hex)) == too_big);
        CHECK(replay(small, in(0xC1, std::string(999, 'z') + "\xFF", "00"_hex)) == not_text);
        CHECK(replay(small, in(0xC1, std::string(999, 'z') + "\xED\x95\x9C", "00"_hex)) == too_big);
    }
}

// ---- In connections

TEST_CASE("deflate: RSV1 on the first frame of a message and nowhere else", "[unit][websocket][deflate]") {
    const std::string hello = "f248cdc9c90700"_hex;
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, DeflateParameters{}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const auto events = [&](const std::string& input) { return replay(setup, input).events; };
        const std::string wrong = "close 1002 RSV1 is set where no compressed message begins";
        CHECK(events(in(0x41, hello.substr(0, 3)) + in(0xC0, hello.substr(3))) == std::vector<std::string>{wrong});
        CHECK(events(in(0x41, hello.substr(0, 3)) + in(0x40, hello.substr(3))) == std::vector<std::string>{wrong});
        CHECK(events(in(0x01, "a") + in(0xC0, "b")) == std::vector<std::string>{wrong});
        for (const unsigned control : {0xC8U, 0xC9U, 0xCAU})
            CHECK(events(in(control, "")) == std::vector<std::string>{wrong});
        CHECK(events(in(0xC0, "")) == std::vector<std::string>{wrong});
        CHECK(events(in(0xE1, hello)) == std::vector<std::string>{"close 1002 a reserved bit is set"});
        CHECK(events(in(0xD1, hello)) == std::vector<std::string>{"close 1002 a reserved bit is set"});
        // Not every message must be compressed.
        CHECK(events(in(0x81, "plain") + in(0xC1, hello) + in(0x82, hello) + in(0xC1, "f200110000"_hex)) ==
              std::vector<std::string>{"text plain", "text Hello", "binary " + wire::shown(hello), "text Hello"});
        CHECK(events(in(0x01, "pl") + in(0x80, "ain")) == std::vector<std::string>{"text plain"});
        // Without the extension, never.
        CHECK(replay({role, {}, {}}, in(0xC1, hello)) ==
              failed(1002, "RSV1 is set where no compressed message begins"));
    }
}

TEST_CASE("deflate: a compressed message in fragments, cut anywhere", "[unit][websocket][deflate]") {
    const std::string text = "\xED\x95\x9C\xEA\xB8\x80, compressed and fragmented; compressed and fragmented";
    const std::string bytes = Compressor().message(text);
    for (const Role role : {Role::server, Role::client}) {
        const Setup setup{role, {}, DeflateParameters{}};
        const auto in = [&](unsigned first, std::string_view payload) { return to(role, first, payload); };
        const Story story = open({"ping p", "text " + wire::shown(text)}, {"8a p"});
        for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
            const std::string first = bytes.substr(0, cut);
            const std::string second = bytes.substr(cut);
            CHECK(replay(setup, in(0x41, first) + in(0x89, "p") + in(0x80, second)) == story);
            CHECK(replay(setup, in(0x41, first) + in(0x89, "p") + in(0x00, "") + in(0x00, second) + in(0x80, "")) ==
                  story);
        }
    }
}

TEST_CASE("deflate: each side keeps its window or forgets it", "[unit][websocket][deflate]") {
    for (const bool server_forgets : {false, true}) {
        for (const bool client_forgets : {false, true}) {
            DeflateParameters parameters;
            parameters.server_no_context_takeover = server_forgets;
            parameters.client_no_context_takeover = client_forgets;
            INFO("server " << server_forgets << ", client " << client_forgets);
            for (const Role role : {Role::server, Role::client}) {
                const bool own = role == Role::server ? server_forgets : client_forgets;
                const bool peers = role == Role::server ? client_forgets : server_forgets;
                // What it sends: the second time, a reference to the first, or the same again.
                Buffer output;
                const Limits limits;
                Connection peer(role, output, limits, parameters);
                peer.send(Opcode::text, "Hello");
                peer.send(Opcode::text, "Hello");
                const std::string hello = wire::shown("f248cdc9c90700"_hex);
                CHECK(wire::frames_of(role, output.view()) ==
                      std::vector<std::string>{"c1 " + hello, "c1 " + (own ? hello : wire::shown("f200110000"_hex))});
                // What it understands: a reference to the message before only if the peer may make one.
                const std::string input = to(role, 0xC1, "f248cdc9c90700"_hex) + to(role, 0xC1, "f200110000"_hex);
                const Story story = replay({role, {}, parameters}, input);
                CHECK(story.events.back() == (peers ? "close 1007 a message is not DEFLATE data" : "text Hello"));
            }
        }
    }
}

TEST_CASE("deflate: each side has the window that was agreed on", "[unit][websocket][deflate]") {
    const std::string block = random_bytes(300);
    Compressor compressor;
    const std::string first = compressor.message(block);
    const std::string second = compressor.message(block);  // a reference 300 bytes back
    REQUIRE(second.size() < 20);
    for (const Role role : {Role::server, Role::client}) {
        for (const int peers : {8, 9}) {
            DeflateParameters parameters;
            (role == Role::server ? parameters.client_max_window_bits : parameters.server_max_window_bits) = peers;
            const std::string input = to(role, 0xC2, first) + to(role, 0xC2, second);
            CHECK(play({role, {}, parameters}, input).events.back() ==
                  (peers == 8 ? "close 1007 a message is not DEFLATE data" : "binary " + wire::shown(block)));
        }
        for (const int own : {9, 10}) {  // zlib refers back 262 bytes less than its window has
            DeflateParameters parameters;
            (role == Role::server ? parameters.server_max_window_bits : parameters.client_max_window_bits) = own;
            Buffer output;
            const Limits limits;
            Connection peer(role, output, limits, parameters);
            peer.send(Opcode::binary, block);
            output.clear();
            peer.send(Opcode::binary, block);
            CHECK((output.size() < 50) == (own == 10));
        }
    }
}

TEST_CASE("deflate: streaming send is one compressed message", "[unit][websocket][deflate]") {
    const std::string noise = random_bytes(100'000);
    for (const Role role : {Role::server, Role::client}) {
        Buffer output;
        const Limits limits;
        Connection sender(role, output, limits, DeflateParameters{});
        CHECK(sender.send_fragment(Opcode::binary, noise.substr(0, 40'000), false));
        CHECK(sender.send_fragment(Opcode::binary, "", false));
        CHECK(sender.ping("between"));
        CHECK_FALSE(sender.send(Opcode::text, "within"));
        CHECK(sender.send_fragment(Opcode::binary, noise.substr(40'000), true));
        CHECK(sender.send_fragment(Opcode::text, "", false));
        CHECK(sender.send_fragment(Opcode::text, "", true));
        CHECK(sender.send(Opcode::text, ""));
        CHECK(sender.send_fragment(Opcode::text, "abc", false));
        CHECK(sender.send_fragment(Opcode::text, "", true));
        const std::vector<std::string> frames = wire::frames_of(role, output.view());
        std::string firsts;
        for (const std::string& frame : frames)
            firsts += frame.substr(0, 3);
        CHECK(firsts == "42 00 89 80 41 80 c1 41 80 ");
        const Role other = role == Role::server ? Role::client : Role::server;
        CHECK(play({other, {}, DeflateParameters{}}, output.view()) ==
              open({"ping between", "binary " + wire::shown(noise), "text ", "text ", "text abc"}, {"8a between"}));
    }
}

TEST_CASE("deflate: after a failure nothing more is inflated", "[unit][websocket][deflate]") {
    const std::string input = masked(0xC1, "07"_hex) + masked(0xC1, "f248cdc9c90700"_hex) + masked(0x89, "x");
    CHECK(replay(server, input) == not_deflate);
    CHECK(replay(client, frame(0xC1, "07"_hex) + frame(0x81, "x")) == not_deflate);
    CHECK(replay(server, masked(0x88, close_body(1000)) + masked(0xC1, "07"_hex)).clean);
}
