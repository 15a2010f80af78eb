// TFTP (udp/tftp.hpp): requests, the other datagrams, options as both sides understand them, netascii, and both sides
// of a transfer against whatever comes.
//
// Input: 1 byte for the size of blocks, 1 for the cuts and the file's size; then a datagram. Behind its first two bytes
// it is also read as a list of blocks (number, length, bytes) and of acknowledgements.

#include "udp/tftp.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace tftp;

void check_request(std::string_view datagram, std::uint64_t file_size) {
    const auto request = parse_request(datagram);
    if (!request) return;
    fuzz::require(!request->name.empty() && request->name.find('\0') == std::string::npos, "no name for a file");
    fuzz::require(datagram.size() <= most_request, "a request that is too long");
    const std::string bytes = to_bytes(*request);
    fuzz::require(bytes.size() == datagram.size() &&
                      lower(bytes.substr(2 + request->name.size())) == lower(datagram.substr(2 + request->name.size())),
                  "a request has other bytes");
    const Terms server = agree(*request, file_size);
    fuzz::require(server.block >= least_block && server.block <= most_block, "no size for a block");
    fuzz::require(server.accepted.size() <= request->options.size(), "more options than were asked for");
    const std::string answer = oack(server.accepted);
    fuzz::require(answer.size() <= datagram.size(), "an OACK is longer than the request");
    const auto packet = parse(answer);
    fuzz::require(packet && packet->options == server.accepted, "an OACK has other bytes");
    const auto client = accept(request->options, packet->options);
    fuzz::require(client.has_value(), "the client does not accept what it has asked for");
    fuzz::require(client->block == server.block && client->timeout == server.timeout && client->size == server.size,
                  "client and server don't mean the same");
}

void check_packet(std::string_view datagram) {
    const auto packet = parse(datagram);
    if (!packet) return;
    switch (packet->opcode) {
        case Opcode::data:
            fuzz::require(tftp::data(packet->number, packet->bytes) == datagram, "DATA has other bytes");
            break;
        case Opcode::ack:
            fuzz::require(ack(packet->number) == datagram, "ACK has other bytes");
            break;
        case Opcode::error:
            fuzz::require(packet->bytes.find('\0') == std::string_view::npos, "an ERROR's text has no end");
            break;
        case Opcode::oack:
            fuzz::require(parse(oack(packet->options))->options == packet->options, "OACK has other options");
            break;
        default:
            fuzz::require(false, "a datagram of no kind");
            break;
    }
}

void check_error(std::string_view text, std::size_t most) {
    const auto datagram = error_within(most, Error::undefined, text.substr(0, text.find('\0')));
    fuzz::require(datagram.has_value() == (most >= 5), "an ERROR that has no room, or none where there is");
    if (!datagram) return;
    fuzz::require(datagram->size() <= most && datagram->back() == '\0', "an ERROR that is too long, or has no end");
    fuzz::require(parse(*datagram)->opcode == Opcode::error, "an ERROR that is none");
}

void check_netascii(std::string_view text, std::uint8_t seed) {
    fuzz::require(NetasciiDecoder().decode(NetasciiEncoder().encode(text), true) == text,
                  "netascii is not what it was");
    const std::string whole = NetasciiDecoder().decode(text, true);
    for (std::vector<std::size_t> cuts : fuzz::ways_to_cut(seed, text.size())) {
        cuts.push_back(text.size());
        NetasciiDecoder decoder;
        std::string pieces;
        std::size_t at = 0;
        for (const std::size_t cut : cuts) {
            pieces += decoder.decode(text.substr(at, cut - at), false);
            at = cut;
        }
        fuzz::require(pieces + decoder.decode("", true) == whole, "netascii depends on how it is cut");
    }
}

void check_receiving(std::string_view blocks, std::size_t block_size) {
    std::uint64_t written = 0;
    ReceivingSide side([&](std::string_view bytes) { written += bytes.size(); }, block_size, false);
    FieldReader in(blocks);
    while (in.left() > 0) {
        const std::uint16_t number = in.u8() % 16;
        const std::string bytes(in.u8() % (block_size + 2), 'x');
        const bool finished = side.finished();
        const std::uint64_t before = written, block = side.block();
        const auto answer = side.receive(number, bytes);
        fuzz::require(!answer || *answer == ack(number), "it acknowledges another block");
        fuzz::require(!finished || written == before, "it writes behind the end");
        const bool taken = side.block() == block + 1;
        fuzz::require(taken ? number == side.block() % 65536 && written == before + bytes.size() : written == before,
                      "it writes what it does not take");
        fuzz::require(!answer || bytes.size() <= block_size, "it takes more than was agreed on");
    }
    fuzz::require(side.bytes() == written, "it counts wrong");
}

void check_sending(std::string_view acknowledgements, std::size_t block_size, std::size_t file_size) {
    std::size_t read = 0;
    SendingSide side(
        [&](std::size_t count) {
            const std::size_t got = std::min(count, file_size - read);
            read += got;
            return std::string(got, 'x');
        },
        block_size, false);
    const auto take = [&](std::uint16_t number) {
        const std::uint64_t before = side.block();
        const bool more = side.receive(number);
        fuzz::require(side.block() == before + (more ? 1 : 0), "it sends another block than the next");
        fuzz::require(!more || number == before % 65536, "it goes on without an acknowledgement");
        fuzz::require(side.datagram().size() <= 4 + block_size, "a block is too large");
        fuzz::require(side.bytes() <= file_size, "it sends more than there is");
    };
    FieldReader in(acknowledgements);
    while (in.left() > 0)
        take(in.u8() % 16);
    for (std::size_t blocks = 0; !side.finished(); ++blocks) {  // and now a good client
        fuzz::require(blocks <= file_size / block_size + 2, "it does not end");
        take(static_cast<std::uint16_t>(side.block()));
    }
    fuzz::require(side.bytes() == file_size, "it has not sent everything");
}

}  // namespace

FUZZ_TARGET(fuzz_tftp) {
    fuzz::Input input(data, size);
    const std::size_t block_size = least_block + input.byte();
    const std::uint8_t seed = input.byte();
    const std::string_view datagram = input.rest();
    std::uint64_t file_size = 1;
    for (int i = seed % 63; i > 0; --i)  // off_t goes up to 2^63 - 1
        file_size *= 2;
    check_request(datagram, file_size);
    check_packet(datagram);
    const std::string_view behind = datagram.substr(std::min<std::size_t>(datagram.size(), 2));
    check_error(behind, seed);
    check_netascii(behind, seed);
    check_receiving(behind, block_size);
    check_sending(behind, block_size, 37U * seed);
    return 0;
}
