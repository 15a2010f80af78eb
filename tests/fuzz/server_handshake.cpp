// The server's side of the opening handshake.
//
// Input: 1 byte for the cuts, 1 byte of policy, then the request. Of its first "KEY" a good key is made.

#include "websocket/protocol/handshake.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <optional>

namespace {

using namespace websocket;
using Status = ServerHandshake::Status;

struct Outcome {
    int code = 0;  // 0: incomplete
    std::string response;
    std::string left;  // the first frames
    bool operator==(const Outcome&) const = default;
};

/// Is it one well-formed answer, whose fields are those that we may send, with a body of the length that it says?
void check_response(const Outcome& outcome) {
    HttpHeadReader reader;
    std::string_view text = outcome.response;
    fuzz::require(reader.take(text) == HttpHeadReader::Status::complete, "the response is malformed");
    fuzz::require(reader.head().first_line.substr(0, 13) == "HTTP/1.1 " + std::to_string(outcome.code) + " ",
                  "the response has another status");
    for (const auto& [name, value] : reader.head().fields) {
        bool known = false;
        for (const char* ours : {"upgrade", "connection", "sec-websocket-accept", "sec-websocket-protocol",
                                 "sec-websocket-extensions", "sec-websocket-version", "content-type", "content-length"})
            known = known || name == ours;
        fuzz::require(known && reader.head().count(name) == 1, "a field of the response that is not ours");
    }
    const std::string* length = reader.head().find("content-length");
    fuzz::require(length == nullptr ? text.empty() : *length == std::to_string(text.size()),
                  "the body has another length");
}

Outcome take(std::string_view text, const ServerPolicy& policy, const std::vector<std::size_t>& cuts) {
    ServerHandshake handshake(policy);
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        const std::string piece(text.substr(at, end - at));
        std::string_view input = piece;
        const Status status = handshake.take(input);
        fuzz::require(input.size() <= piece.size(), "more is left than there was");
        if (status != Status::incomplete) {
            fuzz::require((status == Status::accepted) == (handshake.status_code() == 101), "status and code differ");
            fuzz::require(handshake.reason().empty() == (status == Status::accepted), "a refusal needs a reason");
            return {handshake.status_code(), handshake.response(),
                    status == Status::accepted ? std::string(text.substr(end - input.size())) : ""};
        }
        fuzz::require(input.empty() && handshake.response().empty(), "incomplete, but not all was taken");
        at = end;
    }
    handshake.time_out();
    fuzz::require(handshake.status_code() == 408, "time was not over");
    return {};
}

}  // namespace

FUZZ_TARGET(fuzz_server_handshake) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const unsigned flags = input.byte();
    ServerPolicy policy;
    if ((flags & 1U) != 0) policy.subprotocols = {"chat", "echo"};
    if ((flags & 2U) != 0) policy.allowed_origins = {"http://example.org"};
    if ((flags & 4U) != 0) policy.allowed_origins.emplace_back("*");
    if ((flags & 8U) != 0) policy.deflate = DeflatePolicy{(flags & 16U) != 0, (flags & 32U) != 0, 12, 10};
    std::string text(input.rest());
    if (const std::size_t key = text.find("KEY"); key != std::string::npos)
        text.replace(key, 3, "dGhlIHNhbXBsZSBub25jZQ==");

    std::optional<Outcome> first;
    for (const std::vector<std::size_t>& cuts : fuzz::ways_to_cut(seed, text.size())) {
        const Outcome outcome = take(text, policy, cuts);
        if (!first) first = outcome;
        fuzz::require(outcome == *first, "not the same when it is cut");
    }
    if (first->code != 0) check_response(*first);
    return 0;
}
