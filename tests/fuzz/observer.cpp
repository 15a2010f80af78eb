// The tap's observer: two streams of any bytes, and what it tells of them does not depend on how they are cut.
//
// Input: 1 byte for the cuts, 1 byte of flags (compression agreed on, no context takeover, a handshake at all), then
// what the two sides send: each piece is 1 byte (0: from the client, else the server's; its upper bits tell the length)
// and its bytes.

#include "websocket/protocol/observer.hpp"
#include "tests/fuzz/fuzz.hpp"
#include "websocket/tap_record.hpp"

#include <array>
#include <optional>

namespace {

using namespace websocket;

struct Piece {
    Direction direction;
    std::string bytes;
};

std::string request_line(bool compression) {
    return std::string(
               "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n") +
           (compression ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : "") + "\r\n";
}

std::string response_line(bool compression, bool forgets) {
    return std::string(
               "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n") +
           (compression ? "Sec-WebSocket-Extensions: permessage-deflate" : "") +
           (compression && forgets ? "; server_no_context_takeover; client_no_context_takeover" : "") +
           (compression ? "\r\n" : "") + "\r\n";
}

/// All that is told, segments and the pieces of raw bytes apart.
std::string story(const std::vector<Piece>& pieces, bool whole, std::uint8_t seed) {
    std::string told;
    std::array<std::string, 2> raw;
    std::array<std::uint64_t, 2> raw_bytes{}, bytes{};
    Observer observer([&](Record&& record) {
        const auto side = static_cast<std::size_t>(record.direction);
        if (whole) {
            const std::string json = json_of(record);
            fuzz::require(json_of(record_of_json(json)) == json, "JSON that does not read back");
            const std::string text = text_of(record, 0, {false, true, true});
            fuzz::require(text.find('\x1b') == std::string::npos, "an escape that reaches the terminal");
        }
        fuzz::require(
            record.payload.size() <= Observer::kept_of_frame && record.plain.size() <= Observer::kept_of_message,
            "more is kept than may be");
        if (record.kind == Record::Kind::segment) return;
        if (record.kind == Record::Kind::raw) {
            raw.at(side) += record.plain;
            raw_bytes.at(side) += record.size;
            return;
        }
        record.first_segment = record.last_segment = 0;
        told += json_of(record) + "\n";
    });
    observer.open("a", "b", 0);
    for (const auto& [direction, piece] : pieces) {
        bytes.at(static_cast<std::size_t>(direction)) += piece.size();
        std::vector<std::size_t> cuts;
        if (!whole) cuts = fuzz::ways_to_cut(seed, piece.size()).back();
        cuts.push_back(piece.size());
        std::size_t at = 0;
        for (const std::size_t cut : cuts) {
            observer.bytes(direction, std::string_view(piece).substr(at, cut - at), 1);
            at = cut;
        }
    }
    observer.fin(Direction::down, 2);
    observer.fin(Direction::up, 3);
    fuzz::require(observer.is_over(), "both have ended, and it is not over");
    for (const std::size_t side : {std::size_t{0}, std::size_t{1}}) {
        fuzz::require(raw_bytes.at(side) <= bytes.at(side), "more raw bytes than bytes");
        // How much of them is shown depends on the pieces; how many there are does not.
        told += std::to_string(raw_bytes.at(side)) + "\n";
    }
    return told;
}

}  // namespace

FUZZ_TARGET(fuzz_observer) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const unsigned flags = input.byte();
    std::vector<Piece> pieces;
    if ((flags & 1U) == 0) {
        const bool compression = (flags & 2U) != 0;
        pieces.push_back({Direction::up, request_line(compression)});
        pieces.push_back({Direction::down, response_line(compression, (flags & 4U) != 0)});
    }
    while (!input.rest().empty() && pieces.size() < 1000) {
        const unsigned head = input.byte();
        std::string bytes;
        for (unsigned count = 1 + (head >> 1U); count > 0 && !input.rest().empty(); --count)
            bytes += static_cast<char>(input.byte());
        if (!bytes.empty()) pieces.push_back({(head & 1U) == 0 ? Direction::up : Direction::down, bytes});
    }
    const std::string expected = story(pieces, true, seed);
    fuzz::require(story(pieces, false, seed) == expected, "not the same when it is cut");
    return 0;
}
