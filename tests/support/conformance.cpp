#include "tests/support/conformance.hpp"

#include "tests/support/wire.hpp"

namespace conformance {

using wire::close_body;
using wire::masked;
using wire::operator""_hex;

namespace {

/// The header of a frame that announces so many bytes in 64 bits, and a mask of zeros.
std::string announced(unsigned first, std::uint64_t length) {
    std::string header{static_cast<char>(first), '\xff'};
    for (int shift = 56; shift >= 0; shift -= 8)
        header += static_cast<char>(length >> static_cast<unsigned>(shift));
    return header + std::string(4, '\0');
}

const std::string close = masked(0x88, close_body(1000));

}  // namespace

std::string in_fragments(unsigned opcode, std::string_view payload, std::size_t size) {
    std::string frames;
    unsigned first = opcode;
    do {
        const std::string_view piece = payload.substr(0, size);
        payload.remove_prefix(piece.size());
        frames += masked(first | (payload.empty() ? 0x80U : 0U), piece);
        first = 0;
    } while (!payload.empty());
    return frames;
}

std::vector<Fault> faults_of_frames(std::uint64_t most_message) {
    constexpr std::size_t short_header = 4, long_header = 10;  // without the mask
    std::vector<Fault> faults = {
        {"no mask", Rule::mask, wire::frame(0x81, "Hello")},
        {"no mask on an empty frame", Rule::mask, wire::frame(0x81, "")},
        {"no mask on a ping", Rule::mask, wire::frame(0x89, "")},
        {"no mask on a Close frame", Rule::mask, wire::frame(0x88, close_body(1000))},
        {"no mask on the second fragment", Rule::mask, masked(0x01, "a") + wire::frame(0x80, "b")},
        {"RSV1", Rule::reserved_bit, masked(0xC1, "")},
        {"RSV2", Rule::reserved_bit, masked(0xA1, "")},
        {"RSV3 behind a good message", Rule::reserved_bit, masked(0x81, "good") + masked(0x91, ""), 1002, {"81 good"}},
        {"all reserved bits", Rule::reserved_bit, masked(0xF1, "Hello")},
        {"RSV1 on a ping", Rule::reserved_bit, masked(0xC9, "")},
        {"RSV3 on a Close frame", Rule::reserved_bit, masked(0x98, close_body(1000))},
        {"RSV1 on a fragment", Rule::reserved_bit, masked(0x01, "a") + masked(0xC0, "b")},
        {"a ping in fragments", Rule::control_frame, masked(0x09, "a") + masked(0x80, "b")},
        {"a Close frame in fragments", Rule::control_frame, masked(0x08, close_body(1000))},
        {"a pong in fragments", Rule::control_frame, masked(0x0A, "")},
        {"a ping of 126 bytes", Rule::control_frame, masked(0x89, std::string(126, 'x'))},
        {"a ping whose length comes in 16 bits", Rule::control_frame, masked(0x89, std::string(126, 'x')), 1002, {}, 2},
        {"a pong of 65536 bytes", Rule::control_frame, masked(0x8A, std::string(65'536, 'x'))},
        {"a Close frame of 126 bytes", Rule::control_frame, masked(0x88, close_body(1000, std::string(124, 'x')))},
        {"a continuation of nothing", Rule::order, masked(0x80, "a")},
        {"a continuation of nothing, not the last", Rule::order, masked(0x00, "")},
        {"a continuation behind a whole message",
         Rule::order,
         masked(0x81, "good") + masked(0x80, "a"),
         1002,
         {"81 good"}},
        {"a continuation behind a message in fragments",
         Rule::order,
         in_fragments(1, "good", 2) + masked(0x80, "a"),
         1002,
         {"81 good"}},
        {"a text within a text", Rule::order, masked(0x01, "a") + masked(0x81, "b")},
        {"a binary within a text", Rule::order, masked(0x01, "a") + masked(0x82, "b")},
        {"a first fragment within a text", Rule::order, masked(0x01, "a") + masked(0x01, "b")},
        {"a text within a binary, with a ping between",
         Rule::order,
         masked(0x02, "a") + masked(0x89, "p") + masked(0x81, "b"),
         1002,
         {"8a p"}},
        {"a length of 5 in 16 bits", Rule::length, "81fe0005 37fa213d 7f9f4d5158"_hex},
        {"a length of 125 in 16 bits",
         Rule::length,
         "81fe007d 00000000"_hex + std::string(125, 'x'),
         1002,
         {},
         short_header},
        {"a length of 126 in 64 bits",
         Rule::length,
         announced(0x81, 126) + std::string(126, 'x'),
         1002,
         {},
         long_header},
        {"a length of 65535 in 64 bits",
         Rule::length,
         announced(0x82, 65'535) + std::string(65'535, 'x'),
         1002,
         {},
         long_header},
        {"a length of 2^63", Rule::length, announced(0x82, std::uint64_t{1} << 63U), 1002, {}, long_header},
        {"a length of 2^64 - 1", Rule::length, announced(0x82, UINT64_MAX), 1002, {}, long_header},
        {"a length of 2^63 - 1", Rule::limit, announced(0x82, UINT64_MAX >> 1U), 1009},
        {"one byte more than the limit", Rule::limit, announced(0x82, most_message + 1), 1009},
        {"fragments of more than the limit together", Rule::limit, masked(0x02, "x") + announced(0x80, most_message),
         1009},
        {"fragments whose lengths overflow when added", Rule::limit,
         masked(0x02, "x") + announced(0x80, UINT64_MAX >> 1U), 1009},
        {"a reason that is not UTF-8", Rule::utf8, masked(0x88, close_body(1000, "\xff")), 1007},
        {"a reason with a surrogate", Rule::utf8, masked(0x88, close_body(1000, "\xed\xa0\x80")), 1007},
        {"a reason that ends within a character", Rule::utf8, masked(0x88, close_body(1000, "\xed\x95")), 1007},
    };
    for (unsigned opcode = 3; opcode < 16; ++opcode) {
        if (opcode >= 8 && opcode <= 10) continue;
        faults.push_back({"a reserved opcode", Rule::opcode, masked(0x80U | opcode, "Hello")});
        faults.push_back(
            {"a reserved opcode within a message", Rule::opcode, masked(0x01, "a") + masked(0x80U | opcode, "")});
    }
    return faults;
}

std::vector<Fault> faults_of_close_codes() {
    std::vector<Fault> faults;
    for (const unsigned code : {0U, 1U, 999U, 1004U, 1005U, 1006U, 1015U, 1016U, 1100U, 2000U, 2999U, 5000U, 65535U}) {
        faults.push_back({"a close code that may not travel", Rule::close_code, masked(0x88, close_body(code))});
        faults.push_back({"a close code that may not travel, with a reason", Rule::close_code,
                          masked(0x88, close_body(code, "why"))});
    }
    faults.push_back({"half a close code", Rule::half_code, masked(0x88, "\x03")});
    return faults;
}

const std::vector<unsigned> good_close_codes = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010,
                                                1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999};

const std::vector<std::string> good_texts = {"00"_hex,       "7f"_hex,
                                             "c280"_hex,     "dfbf"_hex,
                                             "e0a080"_hex,   "ed9fbf"_hex,
                                             "ee8080"_hex,   "efbfbd"_hex,
                                             "efbfbe"_hex,   "efbfbf"_hex,
                                             "f0908080"_hex, "f48fbfbf"_hex,
                                             "efbbbf"_hex,   "cebae1bdb9cf83cebcceb5"_hex};

const std::vector<std::string> bad_texts = {"80"_hex,     "bf"_hex,
                                            "c0"_hex,     "c080"_hex,
                                            "c1bf"_hex,   "e080"_hex,
                                            "e09f"_hex,   "eda0"_hex,
                                            "edbf"_hex,   "f080"_hex,
                                            "f08f"_hex,   "f490"_hex,
                                            "f5"_hex,     "f8"_hex,
                                            "fc"_hex,     "fe"_hex,
                                            "ff"_hex,     "c241"_hex,
                                            "e18041"_hex, "f1808041"_hex,
                                            "41c2c2"_hex, "cebae1bdb9eda080"_hex};

const std::vector<std::string> unfinished_texts = {"c2"_hex, "e1"_hex, "e180"_hex, "f1"_hex, "f180"_hex, "f18080"_hex};

const std::vector<Exchange> fragments = {
    {masked(0x01, "one, ") + masked(0x00, "two, ") + masked(0x80, "three"), {"81 one, two, three"}},
    {masked(0x02, "a") + masked(0x80, "b"), {"82 ab"}},
    {masked(0x01, "") + masked(0x00, "") + masked(0x80, ""), {"81 "}},
    {masked(0x01, "") + masked(0x00, "middle") + masked(0x80, ""), {"81 middle"}},
    // Pings are answered at once, in the middle of the message.
    {masked(0x01, "a") + masked(0x89, "1") + masked(0x00, "b") + masked(0x89, "2") + masked(0x8A, "x"),
     {"8a 1", "8a 2"}},
    {masked(0x80, "c"), {"81 abc"}},
};

const std::vector<Exchange> cut_characters = {
    {in_fragments(1, "한글", 1), {"81 한글"}},
    {masked(0x01, std::string("한글").substr(0, 4)) + masked(0x89, "") + masked(0x80, std::string("한글").substr(4)),
     {"8a ", "81 한글"}},
};

const std::vector<Exchange> behind_close = {
    {close + masked(0x81, "late"), {}},
    {close + masked(0x89, "late"), {}},
    {close + close, {}},
    {close + masked(0x88, close_body(1002)), {}},
    {close + "no frame at all", {}},
    {close + std::string(1'000'000, 'x'), {}},
    {masked(0x81, "a") + close + masked(0x81, "b"), {"81 a"}},
    {masked(0x89, "p") + close, {"8a p"}},
};

}  // namespace conformance
