// The datagrams of the file transfers (udp/transfer.hpp), and the names of files that come with them.
//
// Input: 1 byte, odd if the checksum is to be put right; then the datagram, without its checksum if so.

#include "udp/transfer.hpp"
#include "udp/incoming_file.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace transfer;

void check_name(std::string_view name) {
    bool plain = !name.empty() && name.size() <= 200 && name[0] != '.';
    for (const char c : name)
        plain = plain && c != '/' && c != '\0';
    fuzz::require(is_plain_name(name) == plain, "is_plain_name() is wrong");
}

void check_datagram(const std::string& datagram, bool has_right_sum) {
    const auto packet = parse(datagram);
    if (has_right_sum) {
        const std::size_t kind = datagram.size() > 4 ? static_cast<std::uint8_t>(datagram[4]) : 0;
        const bool sound =
            datagram.size() >= header_size && datagram.size() <= header_size + piece_size && kind >= 1 && kind <= 3;
        fuzz::require(packet.has_value() == sound, "parse() accepts what it should not, or the other way round");
    }
    if (!packet) return;
    fuzz::require(to_bytes(*packet) == datagram, "what was parsed has other bytes");
    if (const auto file = parse_announcement(packet->payload)) {
        fuzz::require(to_bytes(*file) == packet->payload, "an announcement has other bytes");
        check_name(file->name);
    }
}

}  // namespace

FUZZ_TARGET(fuzz_transfer) {
    fuzz::Input input(data, size);
    const bool put_right = input.byte() % 2 == 1;
    const std::string rest(input.rest());
    const std::string datagram = put_right ? FieldWriter().u32(crc(rest)).bytes(rest).str() : rest;
    check_datagram(datagram, put_right);
    check_name(rest);
    if (!put_right || rest.empty()) return 0;
    for (const std::size_t length : {std::size_t{0}, datagram.size() / 2, datagram.size() - 1})  // cut off
        fuzz::require(!parse(datagram.substr(0, length)), "part of a datagram is taken for a whole one");
    std::string damaged = datagram;  // CRC-32 finds every single bit
    damaged[rest.size() / 2] = static_cast<char>(damaged[rest.size() / 2] ^ (1 << rest.size() % 8));
    fuzz::require(!parse(damaged), "a damaged datagram is accepted");
    return 0;
}
