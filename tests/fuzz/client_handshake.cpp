// The client's side of the opening handshake.
//
// Input: 1 byte for the cuts, 1 byte of wishes, then the answer. Its first "ACCEPT" becomes the value that fits the
// key.

#include "websocket/protocol/handshake.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <optional>

namespace {

using namespace websocket;
using Status = ClientHandshake::Status;

struct Outcome {
    Status status = Status::incomplete;
    std::string reason;
    std::string subprotocol;
    std::optional<DeflateParameters> deflate;
    std::string left;  // the first frames
    bool operator==(const Outcome&) const = default;
};

std::string key_of(const std::string& request) {
    const std::string name = "Sec-WebSocket-Key: ";
    return request.substr(request.find(name) + name.size(), 24);
}

/// handshake: a copy of one that has sent its request, so that all have the same key.
Outcome take(ClientHandshake handshake, const std::string& text, const ClientWishes& wishes,
             const std::vector<std::size_t>& cuts) {
    Outcome outcome;
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size() && outcome.status == Status::incomplete; ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        const std::string piece = text.substr(at, end - at);
        std::string_view input = piece;
        outcome.status = handshake.take(input);
        fuzz::require(input.size() <= piece.size(), "more is left than there was");
        if (outcome.status == Status::accepted) outcome.left = text.substr(end - input.size());
        if (outcome.status == Status::incomplete) fuzz::require(input.empty(), "incomplete, but not all was taken");
        at = end;
    }
    if (outcome.status != Status::accepted) {
        outcome.reason = handshake.reason();
        fuzz::require(!outcome.reason.empty(), "no reason is given");
        fuzz::require(outcome.reason.size() < 4 * (HttpHeadReader::most_bytes + 1024) + 200,
                      "a reason that is too long");
        for (const char c : outcome.reason)
            fuzz::require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "a reason with control characters");
        return outcome;
    }
    outcome.subprotocol = handshake.agreement().subprotocol;
    outcome.deflate = handshake.agreement().deflate;
    bool offered = outcome.subprotocol.empty();
    for (const std::string& name : wishes.subprotocols)
        offered = offered || name == outcome.subprotocol;
    fuzz::require(offered, "a subprotocol that was not offered");
    fuzz::require(!outcome.deflate || wishes.deflate, "an extension that was not offered");
    return outcome;
}

}  // namespace

FUZZ_TARGET(fuzz_client_handshake) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const unsigned flags = input.byte();
    ClientWishes wishes;
    wishes.host = "localhost:7000";
    if ((flags & 1U) != 0) wishes.subprotocols = {"chat", "echo"};
    if ((flags & 2U) != 0) {
        wishes.deflate = DeflateOffer{(flags & 4U) != 0, (flags & 8U) != 0, (flags & 16U) != 0 ? 10 : 0,
                                      (flags & 32U) != 0 ? 12 : 15};
    }
    const ClientHandshake handshake(wishes);
    std::string text(input.rest());
    if (const std::size_t accept = text.find("ACCEPT"); accept != std::string::npos)
        text.replace(accept, 6, accept_value(key_of(handshake.request())));
    std::optional<Outcome> first;
    for (const std::vector<std::size_t>& cuts : fuzz::ways_to_cut(seed, text.size())) {
        const Outcome outcome = take(handshake, text, wishes, cuts);
        if (!first) first = outcome;
        fuzz::require(outcome == *first, "not the same when it is cut");
    }
    return 0;
}
