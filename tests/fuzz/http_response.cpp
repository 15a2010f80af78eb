// An HTTP response as a client reads it.
//
// Input: 1 byte for the cuts, then what the server says until it ends the connection.

#include "websocket/protocol/http_response.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <optional>

namespace {

using namespace websocket;
using Status = HttpResponseReader::Status;

constexpr std::size_t most_body = 100;

struct Outcome {
    Status status = Status::head;
    int code = 0;
    std::string body;
    std::string left;  // of the next response
    bool keeps_alive = false;
    bool operator==(const Outcome&) const = default;
};

Outcome take(std::string_view text, const std::vector<std::size_t>& cuts) {
    HttpResponseReader reader(most_body);
    std::string left;
    Status status = Status::head;
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        const std::string piece(text.substr(at, end - at));
        std::string_view input = piece;
        const bool was_over = status == Status::complete || status == Status::malformed;
        const Status now = reader.take(input);
        fuzz::require(!was_over || (now == status && input.size() == piece.size()), "it went on behind the end");
        status = now;
        fuzz::require(reader.body().size() <= most_body, "the body is larger than allowed");
        fuzz::require((status == Status::malformed) == !reader.problem().empty(), "malformed needs a reason");
        if (status == Status::complete) {
            left += input;
        } else if (status != Status::malformed) {
            fuzz::require(input.empty(), "not all was taken");
        }
        at = end;
    }
    const bool keeps_alive = reader.keeps_alive();
    const Status last = reader.end_of_input();
    if (last == Status::malformed) return {last, 0, "", "", false};  // how far it got depends on the cuts
    if (last == Status::complete && status == Status::complete) {
        // The length that it says is the length that it has.
        const std::string* length = reader.head().find("content-length");
        const bool has_body = reader.status_code() != 101 && reader.status_code() != 204 && reader.status_code() != 304;
        if (has_body && length != nullptr)
            fuzz::require(std::stoull(*length) == reader.body().size(), "the body has another length");
    }
    return {last, reader.status_code(), reader.body(), left, keeps_alive};
}

}  // namespace

FUZZ_TARGET(fuzz_http_response) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    std::optional<Outcome> first;
    for (const std::vector<std::size_t>& cuts : fuzz::ways_to_cut(seed, input.rest().size())) {
        const Outcome outcome = take(input.rest(), cuts);
        if (!first) first = outcome;
        fuzz::require(outcome == *first, "not the same when it is cut");
    }
    return 0;
}
