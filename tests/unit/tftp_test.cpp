// udp/tftp.hpp: its datagrams by the bytes of the RFCs, its options, netascii, and both sides against each other.

#include "udp/tftp.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"

#include <string>

using namespace std::string_literals;
using namespace tftp;

TEST_CASE("tftp: requests", "[unit][udp][tftp]") {
    const auto request = parse_request("\0\1name\0OCTET\0BlkSize\0001432\0tsize\0000\0"s);
    REQUIRE(request);
    CHECK(request->opcode == Opcode::rrq);
    CHECK(request->name == "name");
    CHECK_FALSE(request->netascii);
    CHECK(request->options == OptionList{{"blksize", "1432"}, {"tsize", "0"}});
    CHECK(to_bytes(*request) == "\0\1name\0octet\0blksize\0001432\0tsize\0000\0"s);
    CHECK(parse_request("\0\2n\0netascii\0"s)->netascii);
    for (const std::string& bad :
         {""s, "\0"s, "\0\1"s, "\0\1name"s, "\0\1name\0"s, "\0\1name\0octet"s, "\0\1\0octet\0"s, "\0\1name\0mail\0"s,
          "\0\3name\0octet\0"s, "\0\1name\0octet\0blksize\0"s, "\0\1name\0octet\0blksize\0008"s,
          "\0\1name\0octet\0\0001\0"s, "\0\1name\0octet\0a\0001\0A\0002\0"s, "\1\0name\0octet\0"s})
        CHECK_FALSE(parse_request(bad));
    std::string many = "\0\1name\0octet\0"s;
    for (int i = 0; i < 20; ++i)
        many += "o" + std::to_string(i) + "\0001\0"s;
    CHECK_FALSE(parse_request(many));
    CHECK_FALSE(parse_request("\0\1name\0../x\0octet\0"s));  // a name with a NUL in it is two
    const std::string rest = "\0octet\0"s;
    CHECK(parse_request("\0\1"s + std::string(most_request - 2 - rest.size(), 'x') + rest));
    CHECK_FALSE(parse_request("\0\1"s + std::string(most_request - 1 - rest.size(), 'x') + rest));
}

TEST_CASE("tftp: the other datagrams", "[unit][udp][tftp]") {
    CHECK(data(0x1234, "abc") == "\0\3\x12\x34"s + "abc");
    CHECK(ack(0xFFFF) == "\0\4\xFF\xFF"s);
    CHECK(error(Error::not_found, "no") == "\0\5\0\1no\0"s);
    CHECK(oack({{"blksize", "8"}}) == "\0\6blksize\0008\0"s);
    CHECK(parse(data(7, "abc"))->bytes == "abc");
    CHECK(parse(data(7, ""))->number == 7);
    CHECK(parse(ack(9))->number == 9);
    CHECK(parse(error(Error::exists, "there"))->bytes == "there");
    CHECK(parse("\0\5\0\1without an end"s)->bytes.empty());
    CHECK(error_within(9, Error::not_found, "not there") == "\0\5\0\1not \0"s);
    CHECK(error_within(100, Error::not_found, "no") == error(Error::not_found, "no"));
    CHECK(error_within(5, Error::not_found, "no") == "\0\5\0\1\0"s);
    CHECK_FALSE(error_within(4, Error::not_found, "no"));
    CHECK(parse(oack({{"tsize", "5"}}))->options == OptionList{{"tsize", "5"}});
    CHECK(parse("\0\6"s)->options.empty());
    for (const std::string& bad : {""s, "\0"s, "\0\3"s, "\0\3\0"s, "\0\4\0"s, "\0\4\0\1x"s, "\0\5\0\0"s, "\0\6x"s,
                                   "\0\0\0\0"s, "\0\7\0\0"s, "\0\1\0\0"s})
        CHECK_FALSE(parse(bad));
}

TEST_CASE("tftp: options agreed on", "[unit][udp][tftp]") {
    const auto terms = [](const OptionList& options, Opcode opcode = Opcode::rrq) {
        return agree({opcode, "x", false, options}, 1000);
    };
    CHECK(terms({}).accepted.empty());
    CHECK(terms({}).block == 512);
    CHECK(terms({{"blksize", "8"}}).block == 8);
    CHECK(terms({{"blksize", "65535"}}).accepted == OptionList{{"blksize", "65464"}});
    for (const char* bad : {"7", "0", "65536", "-8", "+8", "8 ", "", "0x10", "99999999999999999999"})
        CHECK(terms({{"blksize", bad}}).accepted.empty());
    CHECK(*terms({{"timeout", "30"}}).timeout == 30);
    CHECK_FALSE(terms({{"timeout", "0"}}).timeout);
    CHECK_FALSE(terms({{"timeout", "31"}}).timeout);  // too long to be waited for
    CHECK(terms({{"tsize", "0"}}).accepted == OptionList{{"tsize", "1000"}});
    CHECK(*terms({{"tsize", "77"}}, Opcode::wrq).size == 77);
    CHECK(terms({{"unknown", "1"}, {"blksize", "600"}}).accepted == OptionList{{"blksize", "600"}});

    // The answer is never longer than the request.
    for (std::uint64_t size = 1; size < std::uint64_t{1} << 60U; size *= 9) {
        for (const OptionList& options :
             std::vector<OptionList>{{{"tsize", "0"}}, {{"blksize", "000000008"}, {"timeout", "1"}, {"tsize", "0"}}}) {
            const Request request{Opcode::rrq, "x", false, options};
            const Terms agreed = agree(request, size);
            CHECK(oack(agreed.accepted).size() <= to_bytes(request).size());
            if (size < 1'000'000'000) CHECK(*agreed.size == size);
        }
    }
    CHECK_FALSE(agree({Opcode::rrq, "x", false, {{"tsize", "0"}}}, std::uint64_t{1} << 60U).size);

    const OptionList asked{{"blksize", "1000"}, {"tsize", "0"}, {"timeout", "3"}};
    CHECK(accept(asked, {})->block == 512);
    CHECK(accept(asked, {{"blksize", "800"}})->block == 800);
    CHECK(*accept(asked, {{"tsize", "123"}})->size == 123);
    CHECK_FALSE(accept(asked, {{"blksize", "1001"}}));
    CHECK_FALSE(accept(asked, {{"blksize", "7"}}));
    CHECK_FALSE(accept(asked, {{"timeout", "4"}}));
    CHECK_FALSE(accept(asked, {{"windowsize", "4"}}));
    CHECK_FALSE(accept({}, {{"blksize", "512"}}));
}

TEST_CASE("tftp: netascii", "[unit][udp][tftp]") {
    const std::string text = "a\nb\r\nc\rd\n\n\r\r\n";
    const std::string coded = NetasciiEncoder().encode(text);
    CHECK(coded == "a\r\nb\r\0\r\nc\r\0d\r\n\r\n\r\0\r\0\r\n"s);
    for (size_t cut = 0; cut <= coded.size(); ++cut) {
        NetasciiDecoder decoder;
        std::string decoded = decoder.decode(coded.substr(0, cut), false);
        decoded += decoder.decode(coded.substr(cut), true);
        CHECK(decoded == text);
    }
    CHECK(NetasciiDecoder().decode("x\r", true) == "x\r");  // not as it ought to be, and nothing is lost
    CHECK(NetasciiDecoder().decode("x\ry", true) == "x\ry");
}

TEST_CASE("tftp: both sides, whatever the sizes; block numbers wrap", "[unit][udp][tftp]") {
    const size_t block = GENERATE(size_t{8}, size_t{512}, size_t{1428});
    for (const size_t size : {size_t{0}, size_t{1}, block - 1, block, block + 1, 3 * block, 70'000 * size_t{8}}) {
        const std::string bytes = size > 100'000 && block != 8 ? random_bytes(1000) : random_bytes(size);
        const bool netascii = size % 2 == 1;
        size_t at = 0;
        SendingSide sending(
            [&](size_t count) {
                const std::string piece = bytes.substr(std::min(at, bytes.size()), count);
                at += piece.size();
                return piece;
            },
            block, netascii);
        std::string received;
        ReceivingSide receiving([&](std::string_view piece) { received += piece; }, block, netascii);
        CHECK(sending.receive(0));
        while (!sending.finished()) {
            const auto packet = parse(sending.datagram());
            const auto first = receiving.receive(packet->number, packet->bytes);
            const auto again = receiving.receive(packet->number, packet->bytes);  // it came twice
            if (!first || first != again) FAIL("no ACK of a block");
            const bool more = sending.receive(packet->number);
            if (sending.receive(packet->number))
                FAIL("an ACK that came twice lets a block be sent (Sorcerer's Apprentice)");
            if (more == sending.finished()) FAIL("neither more nor the end");
        }
        CHECK(receiving.finished());
        CHECK(received == bytes);
    }
}

TEST_CASE("tftp: blocks that nobody has asked for", "[unit][udp][tftp]") {
    std::string received;
    ReceivingSide receiving([&](std::string_view piece) { received += piece; }, 8, false);
    CHECK_FALSE(receiving.receive(0, "12345678"));
    CHECK_FALSE(receiving.receive(2, "12345678"));
    CHECK_FALSE(receiving.receive(1, "123456789"));  // longer than agreed
    CHECK(receiving.receive(1, "12345678") == ack(1));
    CHECK_FALSE(receiving.receive(0, "12345678"));
    CHECK_FALSE(receiving.receive(65535, ""));
    CHECK(receiving.receive(2, "end") == ack(2));
    CHECK(receiving.finished());
    CHECK_FALSE(receiving.receive(3, "more"));
    CHECK(receiving.receive(2, "end") == ack(2));
    CHECK(received == "12345678end");
}
