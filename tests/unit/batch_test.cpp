// udp/batch.hpp: headers as literal bytes, and contents that tell whether they are the right ones.

#include "udp/batch.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <string>

namespace {

const batch::Header header{batch::Kind::data, batch::Way::segment, 1200, 0x0102030405060708, 0x0A0B};
const std::string bytes = wire::from_hex("32544231 03 02 04b0 0102030405060708 0000000000000a0b");

}  // namespace

TEST_CASE("batch: a header, both ways", "[unit][udp][batch]") {
    CHECK(batch::to_bytes(header) == bytes);
    const auto parsed = batch::parse(bytes);
    REQUIRE(parsed);
    CHECK(parsed->kind == header.kind);
    CHECK(parsed->way == header.way);
    CHECK(parsed->size == header.size);
    CHECK(parsed->run == header.run);
    CHECK(parsed->number == header.number);
    for (std::size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(batch::parse(bytes.substr(0, size)));
}

TEST_CASE("batch: what is none of ours", "[unit][udp][batch]") {
    struct Wrong {
        std::size_t at;
        char value;
    };
    for (const Wrong& wrong : {Wrong{0, 0}, Wrong{3, 0}, Wrong{4, 0}, Wrong{4, 6}, Wrong{4, -1}, Wrong{5, 3}}) {
        std::string changed = bytes;
        changed[wrong.at] = wrong.value;
        CHECK_FALSE(batch::parse(changed));
    }
    std::string too_small = bytes;
    too_small.replace(6, 2, wire::from_hex("0017"));  // shorter than its own header
    CHECK_FALSE(batch::parse(too_small));
}

TEST_CASE("batch: contents differ from number to number, and any change is seen", "[unit][udp][batch]") {
    std::string one(100, '\0'), two(100, '\0');
    batch::Header small = header;
    small.size = 100;
    batch::write_data(one.data(), batch::to_bytes(small), 100, 1);
    batch::write_data(two.data(), batch::to_bytes(small), 100, 2);
    CHECK(one.substr(batch::header_size) != two.substr(batch::header_size));
    REQUIRE(batch::parse(one));
    CHECK(batch::parse(one)->number == 1);
    CHECK(batch::is_intact(one, *batch::parse(one)));
    CHECK_FALSE(batch::is_intact(one, *batch::parse(two)));
    CHECK_FALSE(batch::is_intact(one.substr(0, 99), *batch::parse(one)));
    CHECK_FALSE(batch::is_intact(one + "x", *batch::parse(one)));
    for (std::size_t i = batch::header_size; i < one.size(); ++i) {
        std::string damaged = one;
        damaged[i] = static_cast<char>(damaged[i] ^ 1);
        CHECK_FALSE(batch::is_intact(damaged, *batch::parse(damaged)));
    }
}

TEST_CASE("batch: a question is as long as its answer", "[unit][udp][batch]") {
    const batch::Report report{1, 2, 3, 4, 5, 6};
    const std::string question = batch::control(header), answer = batch::control(header, report);
    CHECK(question.size() == answer.size());
    CHECK(batch::report_in(answer) == report);
    CHECK(batch::report_in(question) == batch::Report{});
    CHECK_FALSE(batch::report_in(bytes));
}

TEST_CASE("batch: ways by name", "[unit][udp][batch]") {
    for (const batch::WayName& way : batch::ways) {
        CHECK(batch::name_of(way.way) == std::string(way.name));
        CHECK(batch::way_of(way.name) == way.way);
    }
    CHECK_FALSE(batch::way_of(""));
    CHECK_FALSE(batch::way_of("many"));
}
