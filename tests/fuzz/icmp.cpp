// ICMP messages, and packets with their IP header: whatever comes in over a raw socket.
//
// Input: 1 byte, of which bit 0 is the IP version (0: IPv4) and bit 1 asks for an IP header; then the packet.

#include "udp/icmp.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(fuzz_icmp) {
    fuzz::Input input(data, size);
    const unsigned settings = input.byte();
    const icmp::Version version = (settings & 1U) == 0 ? 4 : 6;
    const std::string packet(input.rest());  // a copy, so that reading beyond it is seen
    std::string_view bytes = packet;
    if ((settings & 2U) != 0) {
        const auto taken = icmp::take_off_header(version, bytes);
        const std::size_t least = version == 4 ? 20 : 40;
        if (!taken) return 0;
        fuzz::require(bytes.size() >= least && taken->payload.size() <= bytes.size() - least,
                      "a payload out of nothing");
        fuzz::require(taken->payload.empty() || taken->payload.end() == bytes.end(), "not the end of the packet");
        bytes = taken->payload;
    }
    const auto message = icmp::parse(version, bytes);
    fuzz::require(message.has_value() == (bytes.size() >= icmp::header_size), "a message has eight bytes");
    if (!message) return 0;
    const bool about_echo = message->what == icmp::What::request || message->what == icmp::What::answer;
    fuzz::require(!about_echo || message->data.size() == bytes.size() - icmp::header_size, "not all of the data");
    fuzz::require(message->what != icmp::What::error || icmp::is_error(version, message->type),
                  "an error that is none");
    fuzz::require(*icmp::meaning_of(version, message->type, message->code).name != '\0', "no name");
    if (message->what == icmp::What::request && message->code == 0) {
        // Built again it is the same, but for a checksum that was wrong.
        const std::string again = icmp::echo_request(version, message->echo, message->data);
        fuzz::require(icmp::parse(version, again) == message, "not what it was made from");
        if (version == 4) {
            fuzz::require(icmp::has_right_checksum(again), "a wrong checksum");
            // 0 and 0xFFFF mean the same in its arithmetic (RFC 1624).
            const bool as_made = again == bytes || bytes.substr(2, 2) == "\xFF\xFF";
            if (icmp::has_right_checksum(bytes)) fuzz::require(as_made, "two right checksums");
        }
    }
    return 0;
}
