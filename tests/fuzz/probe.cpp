// udp/probe.hpp: whatever arrives is a probe that would be written so again, or none; and whatever numbers and times
// come in whatever order, the counts add up.

#include "udp/probe.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace probes;
using fuzz::require;

namespace {

void check_packet(std::string_view bytes) {
    const auto packet = parse(bytes);
    if (!packet) return;
    require(to_bytes(*packet) == bytes, "a packet is not written as it was read");
    if (packet->kind != Kind::report) return;
    const auto report = parse_report(packet->rest);
    require(report.has_value() && to_bytes(*report) == packet->rest, "a report is not written as it was read");
}

void check_counts(std::string_view bytes) {
    Counter counter;
    std::uint64_t taken = 0;
    for (FieldReader in(bytes); in.left() >= 13; ++taken) {
        const std::uint8_t how = in.u8();
        const std::uint32_t number = in.u32();
        // Mostly numbers that are near each other.
        const std::uint32_t near = (how & 1U) != 0 ? number : number % 200'000;
        if ((how & 6U) == 6) counter.end(near);
        counter.take(near, in.u32(), in.u32());
        const Report report = counter.report();
        require(report.received + report.duplicates + counter.too_old() == taken + 1, "one was not counted, or twice");
        require(report.received + report.lost == counter.expected(), "what is lost is what has not come");
        require(report.reordered <= report.received, "more late ones than have come");
        require(counter.expected() > near, "a number beyond the expected ones has come");
        require(counter.jitter() >= 0 && counter.jitter() < 5e9, "jitter beyond all differences");
    }
}

}  // namespace

FUZZ_TARGET(fuzz_probe) {
    fuzz::Input input(data, size);
    switch (input.byte() % 3) {
        case 0:
            check_packet(input.rest());
            break;
        case 1: {  // with the right checksum, which no fuzzer finds
            const std::string body(input.rest());
            check_packet(FieldWriter().u32(crc(body)).bytes(body).str());
            break;
        }
        default:
            check_counts(input.rest());
    }
    return 0;
}
