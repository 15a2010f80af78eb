// The datagrams of udp/batch_sender and udp/batch_receiver: headers, contents and reports.
//
// Input: the datagram.

#include "udp/batch.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(fuzz_batch) {
    fuzz::Input input(data, size);
    const std::string datagram(input.rest());  // a copy, so that reading beyond it is seen
    const auto header = batch::parse(datagram);
    const auto report = batch::report_in(datagram);
    fuzz::require(report.has_value() == (size >= batch::header_size + sizeof(batch::Report)),
                  "a report of another size");
    if (!header) return 0;
    fuzz::require(size >= batch::header_size, "a header out of nothing");
    fuzz::require(batch::to_bytes(*header) == datagram.substr(0, batch::header_size), "not what it was made from");
    fuzz::require(batch::name_of(header->way) != nullptr, "no way");
    const bool intact = batch::is_intact(datagram, *header);
    fuzz::require(!intact || size == header->size, "intact, and of another size");
    if (header->size == size && header->size <= batch::most_size) {
        std::string made(header->size, '\0');
        batch::write_data(made.data(), batch::to_bytes(*header), header->size, header->number);
        fuzz::require(intact == (made == datagram), "not what was sent, and called intact");
    }
    if (report) {
        const std::string again = batch::control(*header, *report);
        fuzz::require(batch::report_in(again) == report, "not the report that it was made from");
    }
    return 0;
}
