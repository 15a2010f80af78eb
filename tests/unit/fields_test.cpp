// common/fields.hpp: numbers in network order, and never a byte beyond the end.

#include "common/fields.hpp"

#include "tests/catch.hpp"

#include <string>

using namespace std::string_literals;

TEST_CASE("fields: what was written is read again", "[unit][fields]") {
    FieldWriter out;
    out.u8(0x01).u16(0x0203).u32(0x04050607).u64(0x08090A0B0C0D0E0F).bytes("name\0mode\0"s).bytes("rest");
    CHECK(out.str() == "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C\x0D\x0E\x0Fname\0mode\0rest"s);

    FieldReader in(out.str());
    CHECK(in.u8() == 0x01);
    CHECK(in.u16() == 0x0203);
    CHECK(in.u32() == 0x04050607);
    CHECK(in.u64() == 0x08090A0B0C0D0E0F);
    CHECK(in.position() == 15);
    CHECK(in.text_to_zero() == "name");
    CHECK(in.text_to_zero() == "mode");
    CHECK(in.left() == 4);
    CHECK(in.rest() == "rest");
    CHECK(in.rest().empty());
    CHECK(in.whole());
}

TEST_CASE("fields: bytes above 127 are no negative numbers", "[unit][fields]") {
    FieldReader in("\xFF\xFE\xFD\xFC\xFB\xFA\xF9\xF8\xF7\xF6\xF5");
    CHECK(in.u8() == 0xFF);
    CHECK(in.u16() == 0xFEFD);
    CHECK(in.u64() == 0xFCFBFAF9F8F7F6F5);
    CHECK(in.whole());
}

TEST_CASE("fields: what is missing reads as nothing, and is told", "[unit][fields]") {
    const std::string bytes = "\x11\x22\x33";
    for (size_t count = 0; count < bytes.size(); ++count) {
        FieldReader in(std::string_view(bytes).substr(0, count));
        in.u8();
        CHECK(in.whole() == (count >= 1));
        in.u16();
        CHECK_FALSE(in.whole());
        CHECK(in.left() == 0);
        CHECK(in.u64() == 0);
        CHECK(in.bytes(1).empty());
        CHECK(in.bytes(std::string::npos).empty());
    }
    FieldReader text("no zero");
    CHECK(text.text_to_zero().empty());
    CHECK_FALSE(text.whole());
    const std::string zero = "\0"s;  // the reader only refers to it
    FieldReader empty(zero);
    CHECK(empty.text_to_zero().empty());
    CHECK(empty.whole());
    FieldReader none("");
    CHECK(none.rest().empty());
    CHECK(none.whole());
    none.text_to_zero();
    CHECK_FALSE(none.whole());
}

TEST_CASE("fields: a checksum is written where it belongs", "[unit][fields]") {
    FieldWriter out;
    out.u32(0);
    out.set_u16(1, 0xABCD);
    CHECK(out.str() == "\x00\xAB\xCD\x00"s);
    CHECK_THROWS_AS(out.set_u16(3, 1), std::out_of_range);
}

TEST_CASE("fields: the Internet checksum", "[unit][fields]") {
    // RFC 1071, section 3: the words 0001 f203 f4f5 f6f7 add up to ddf2, carries added in.
    CHECK(internet_checksum("\x00\x01\xF2\x03\xF4\xF5\xF6\xF7"s) == 0xFFFF - 0xDDF2);
    CHECK(internet_checksum("") == 0xFFFF);
    CHECK(internet_checksum("\x01") == internet_checksum("\x01\x00"s));
    CHECK(internet_checksum("\x00\x01\xF2\x03\xF4\xF5\xF6\xF7\x22\x0D"s) == 0);
    CHECK(internet_checksum(std::string(200'000, '\xFF')) == 0);  // more carries than one
}
