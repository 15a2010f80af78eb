// The files that the tap reads: packets, and lines of JSON. Any bytes end in records or in std::runtime_error.
//
// Input: 1 byte (bit 0: lines of JSON; bit 1: a good file header stands before the packets, and its link type is chosen
// by the bits above), then the file.

#include "tests/fuzz/fuzz.hpp"
#include "websocket/tap_pcap.hpp"
#include "websocket/tap_record.hpp"
#include "websocket/tap_watch.hpp"

#include <array>
#include <sstream>

namespace {

using namespace websocket;

/// Whatever was read can be shown, and written again.
void check(const Record& record) {
    const std::string json = json_of(record);
    fuzz::require(json.find('\n') == std::string::npos, "JSON of more than a line");
    fuzz::require(json_of(record_of_json(json)) == json, "JSON that does not read back");
    for (const TextWishes& wishes : {TextWishes{}, TextWishes{true}, TextWishes{false, true, true}}) {
        const std::string text = text_of(record, 0, wishes);
        fuzz::require(text.find('\x1b') == std::string::npos, "an escape that reaches the terminal");
    }
}

void read_lines(std::string_view file) {
    while (!file.empty()) {
        const std::string_view line = file.substr(0, file.find('\n'));
        file.remove_prefix(std::min(line.size() + 1, file.size()));
        try {
            check(record_of_json(line));
        } catch (const std::runtime_error& error) {
            const std::string what = error.what();
            fuzz::require(what.find('\x1b') == std::string::npos, "an escape in a complaint");
        }
    }
}

void read_packets(const std::string& file) {
    // What was read is written as a file again, which has the same in it.
    std::string first, second, packets = PcapWriter::head();
    PcapWriter writer;
    bool gaps = false;
    const auto read = [](const std::string& bytes, std::string& told, const auto& each) {
        Desk desk([&](const Record& record) {
            check(record);
            told += json_of(record) + "\n";
        });
        std::istringstream in(bytes);
        PcapReader([&](Happening&& happening) {
            each(happening);
            desk.take(happening);
        }).read(in);
    };
    try {
        read(file, first, [&](const Happening& happening) {
            gaps = gaps || happening.kind == Happening::Kind::gap;
            packets += writer.take(happening);
        });
    } catch (const std::runtime_error&) {
        return;
    }
    read(packets, second, [](const Happening&) {});
    // A gap is seen by what comes behind it, and so not at the same place; ports that are used twice are told apart by
    // numbers that the written file has not.
    if (!gaps && std::count(first.begin(), first.end(), '\n') > 0)
        fuzz::require(!second.empty(), "nothing of it can be read again");
}

}  // namespace

FUZZ_TARGET(fuzz_tap_files) {
    fuzz::Input input(data, size);
    const unsigned flags = input.byte();
    if ((flags & 1U) != 0) {
        read_lines(input.rest());
    } else if ((flags & 2U) == 0) {
        read_packets(std::string(input.rest()));
    } else {
        constexpr std::array<std::uint32_t, 8> links{101, 1, 0, 108, 113, 276, 228, 147};
        const std::string head = PcapWriter::head();
        const std::uint32_t link = links.at(flags >> 2U & 7U);
        read_packets(head.substr(0, head.size() - 4) + FieldWriter().u32(link).str() + std::string(input.rest()));
    }
    return 0;
}
