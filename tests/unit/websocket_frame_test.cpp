// Frames: headers both ways, masks (RFC 6455, sections 5.2, 5.3 and 5.7).

#include "websocket/protocol/frame.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <set>
#include <string>
#include <vector>

using namespace websocket;
using namespace wire::literals;

namespace {

struct Vector {
    std::string bytes;
    FrameHeader header;
};

FrameHeader header(bool fin, Opcode opcode, std::uint64_t length) {
    FrameHeader made;
    made.fin = fin;
    made.opcode = opcode;
    made.length = length;
    return made;
}

FrameHeader masked_header(Opcode opcode, std::uint64_t length, MaskingKey key) {
    FrameHeader made = header(true, opcode, length);
    made.masked = true;
    made.key = key;
    return made;
}

FrameHeader reserved(bool rsv1, bool rsv2, bool rsv3) {
    FrameHeader made = header(true, Opcode::text, 0);
    made.rsv1 = rsv1;
    made.rsv2 = rsv2;
    made.rsv3 = rsv3;
    return made;
}

const MaskingKey rfc_key = {0x37, 0xfa, 0x21, 0x3d};

std::vector<Vector> vectors() {
    return {
        // The headers of RFC 6455, section 5.7.
        {"81 05"_hex, header(true, Opcode::text, 5)},
        {"81 85 37fa213d"_hex, masked_header(Opcode::text, 5, rfc_key)},
        {"01 03"_hex, header(false, Opcode::text, 3)},
        {"80 02"_hex, header(true, Opcode::continuation, 2)},
        {"89 05"_hex, header(true, Opcode::ping, 5)},
        {"8a 85 37fa213d"_hex, masked_header(Opcode::pong, 5, rfc_key)},
        {"82 7e 0100"_hex, header(true, Opcode::binary, 256)},
        {"82 7f 0000000000010000"_hex, header(true, Opcode::binary, 65536)},
        // Where the forms of a length meet.
        {"82 00"_hex, header(true, Opcode::binary, 0)},
        {"82 7d"_hex, header(true, Opcode::binary, 125)},
        {"82 7e 007e"_hex, header(true, Opcode::binary, 126)},
        {"82 7e 007f"_hex, header(true, Opcode::binary, 127)},
        {"82 7e ffff"_hex, header(true, Opcode::binary, 65535)},
        {"82 7f 0000000100000000"_hex, header(true, Opcode::binary, 0x1'0000'0000)},
        {"82 7f 0123456789abcdef"_hex, header(true, Opcode::binary, 0x0123'4567'89ab'cdef)},
        {"82 7f 7fffffffffffffff"_hex, header(true, Opcode::binary, 0x7fff'ffff'ffff'ffff)},
        {"82 fe 0100 00010203"_hex, masked_header(Opcode::binary, 256, {0, 1, 2, 3})},
        {"82 ff 0000000000010000 fffefdfc"_hex, masked_header(Opcode::binary, 65536, {0xff, 0xfe, 0xfd, 0xfc})},
        {"88 02"_hex, header(true, Opcode::close, 2)},
        {"c1 00"_hex, reserved(true, false, false)},
        {"a1 00"_hex, reserved(false, true, false)},
        {"91 00"_hex, reserved(false, false, true)},
        // Numbers without a meaning are read, too: what they are good for is judged by the connection.
        {"83 00"_hex, header(true, static_cast<Opcode>(3), 0)},
        {"8f 00"_hex, header(true, static_cast<Opcode>(15), 0)},
    };
}

std::string written(const FrameHeader& header) {
    std::string bytes(most_header_bytes + 2, '\x55');
    const std::size_t size = write_header(header, bytes.data());
    CHECK(bytes.substr(size) == std::string(bytes.size() - size, '\x55'));  // nothing behind it is touched
    return bytes.substr(0, size);
}

}  // namespace

TEST_CASE("frame headers: written", "[unit][websocket][frame]") {
    for (const Vector& vector : vectors()) {
        INFO(wire::to_hex(vector.bytes));
        CHECK(wire::to_hex(written(vector.header)) == wire::to_hex(vector.bytes));
    }
}

TEST_CASE("frame headers: read, and incomplete at every cut", "[unit][websocket][frame]") {
    for (const Vector& vector : vectors()) {
        INFO(wire::to_hex(vector.bytes));
        for (const std::string& behind : {std::string(), std::string("\xff\xff")}) {
            FrameHeader read;
            const ParsedHeader parsed = parse_header(vector.bytes + behind, read);
            REQUIRE(parsed.status == HeaderStatus::complete);
            CHECK(parsed.size == vector.bytes.size());
            CHECK(read.fin == vector.header.fin);
            CHECK(read.rsv1 == vector.header.rsv1);
            CHECK(read.rsv2 == vector.header.rsv2);
            CHECK(read.rsv3 == vector.header.rsv3);
            CHECK(read.opcode == vector.header.opcode);
            CHECK(read.masked == vector.header.masked);
            CHECK(read.length == vector.header.length);
            if (read.masked) CHECK(read.key == vector.header.key);
        }
        for (std::size_t cut = 0; cut < vector.bytes.size(); ++cut) {
            FrameHeader ignored;
            CHECK(parse_header(vector.bytes.substr(0, cut), ignored).status == HeaderStatus::incomplete);
        }
    }
}

TEST_CASE("frame headers: lengths that may not be, found with their last byte", "[unit][websocket][frame]") {
    const auto status = [](const std::string& bytes) {
        FrameHeader ignored;
        for (std::size_t cut = 0; cut < bytes.size(); ++cut)
            CHECK(parse_header(bytes.substr(0, cut), ignored).status == HeaderStatus::incomplete);
        return parse_header(bytes, ignored).status;
    };
    CHECK(status("82 7e 0000"_hex) == HeaderStatus::not_shortest);
    CHECK(status("82 7e 007d"_hex) == HeaderStatus::not_shortest);
    CHECK(status("82 fe 007d"_hex) == HeaderStatus::not_shortest);  // not waiting for the key
    CHECK(status("82 7f 0000000000000000"_hex) == HeaderStatus::not_shortest);
    CHECK(status("82 7f 000000000000007e"_hex) == HeaderStatus::not_shortest);
    CHECK(status("82 7f 000000000000ffff"_hex) == HeaderStatus::not_shortest);
    CHECK(status("82 7f 8000000000000000"_hex) == HeaderStatus::too_long);
    CHECK(status("82 ff 8000000000000000"_hex) == HeaderStatus::too_long);
    CHECK(status("82 7f ffffffffffffffff"_hex) == HeaderStatus::too_long);
    CHECK(status("82 7f 8000000000000001"_hex) == HeaderStatus::too_long);
}

TEST_CASE("frames: opcodes by name", "[unit][websocket][frame]") {
    std::string names;
    for (unsigned i = 0; i < 16; ++i)
        names += std::string(opcode_name(static_cast<Opcode>(i))) + " ";
    CHECK(names ==
          "continuation text binary reserved reserved reserved reserved reserved close ping pong reserved reserved "
          "reserved reserved reserved ");
    for (unsigned i = 0; i < 16; ++i)
        CHECK(is_control(static_cast<Opcode>(i)) == (i >= 8));
}

TEST_CASE("masks: the example of RFC 6455, both ways", "[unit][websocket][frame]") {
    std::string text = "Hello";
    apply_mask(text.data(), text.size(), rfc_key);
    CHECK(wire::to_hex(text) == "7f9f4d5158");
    apply_mask(text.data(), text.size(), rfc_key);
    CHECK(text == "Hello");
}

TEST_CASE("masks: any length, alignment and position, and nothing beyond", "[unit][websocket][frame]") {
    const MaskingKey key = {0x01, 0x82, 0x43, 0xc4};
    for (std::size_t length = 0; length <= 150; ++length) {
        for (std::size_t offset = 0; offset < 8; ++offset) {
            for (std::uint64_t position : {0U, 1U, 2U, 3U, 4U, 7U}) {
                std::string bytes(offset + length + 9, '\0');
                std::string expected(bytes);
                for (std::size_t i = 0; i < bytes.size(); ++i)
                    bytes[i] = expected[i] = static_cast<char>(i * 7 + length);
                for (std::size_t i = 0; i < length; ++i) {
                    const unsigned byte = static_cast<unsigned char>(expected[offset + i]);
                    expected[offset + i] = static_cast<char>(byte ^ key[(position + i) % 4]);
                }
                apply_mask(bytes.data() + offset, length, key, position);
                if (bytes != expected) {
                    FAIL("length " << length << ", offset " << offset << ", position " << position);
                }
            }
        }
    }
}

TEST_CASE("masks: few bytes, and which bits they have", "[unit][websocket][frame]") {
    for (std::size_t length = 0; length <= 125; ++length) {
        for (std::size_t high = 0; high <= length; ++high) {  // where one byte is not ASCII; at the end: nowhere
            const MaskingKey key = {0x81, 0x02, 0xF3, 0x64};
            std::string plain(length, '\x21');
            if (high < length) plain[high] = '\x95';
            std::string bytes = plain + "behind";
            apply_mask(bytes.data(), length, key);
            const unsigned any = apply_mask_to_few(bytes.data(), length, key);
            REQUIRE(bytes == plain + "behind");
            REQUIRE(any == ((high < length ? 0x95U : 0U) | (length > (high < length ? 1U : 0U) ? 0x21U : 0U)));
        }
    }
}

TEST_CASE("masks: a payload in pieces, at positions beyond 2^32", "[unit][websocket][frame]") {
    const MaskingKey key = {1, 2, 4, 8};
    std::string whole(100, '\0');
    apply_mask(whole.data(), whole.size(), key, 0x1'0000'0001);
    for (std::size_t cut = 0; cut <= whole.size(); ++cut) {
        std::string pieces(100, '\0');
        apply_mask(pieces.data(), cut, key, 0x1'0000'0001);
        apply_mask(pieces.data() + cut, whole.size() - cut, key, 0x1'0000'0001 + cut);
        REQUIRE(pieces == whole);
    }
    CHECK(wire::to_hex(whole.substr(0, 5)) == "0204080102");
}

TEST_CASE("masks: a fresh key each time", "[unit][websocket][frame]") {
    // By the birthday problem, one in 86 runs has two that are equal among the ten thousand; five pairs, one in 10^12.
    // And that a byte does not take one of its 256 values is as likely as 256 (255/256)^10000 = 3 in 10^15.
    std::set<MaskingKey> keys;
    std::array<std::set<std::uint8_t>, 4> values;
    for (int i = 0; i < 10'000; ++i) {
        const MaskingKey key = fresh_key();
        keys.insert(key);
        for (std::size_t j = 0; j < key.size(); ++j)
            values[j].insert(key[j]);
    }
    CHECK(keys.size() > 9'995);
    for (const std::set<std::uint8_t>& of_one_byte : values)
        CHECK(of_one_byte.size() == 256);
}
