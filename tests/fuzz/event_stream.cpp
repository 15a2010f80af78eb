// Server-Sent Events: the reader, which takes text in pieces, against the rules of the standard taken line by line over
// the whole text.
//
// Input: 1 byte for the cuts, then the text.

#include "websocket/protocol/event_stream.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <optional>
#include <vector>

namespace {

using namespace websocket;

struct Outcome {
    std::vector<StreamEvent> events;
    std::string last_id;
    bool failed = false;
    bool operator==(const Outcome&) const = default;
};

Outcome take(std::string_view text, std::size_t most, const std::vector<std::size_t>& cuts) {
    EventStreamReader reader(most);
    Outcome outcome;
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        const std::string piece(text.substr(at, end - at));
        std::string_view input = piece;
        while (auto event = reader.next(input)) {
            fuzz::require(event->data.size() <= most, "an event is larger than allowed");
            outcome.events.push_back(std::move(*event));
        }
        fuzz::require(input.empty(), "not all was taken");
        at = end;
    }
    fuzz::require(reader.retry_milliseconds().value_or(0) >= 0, "back in time");
    outcome.last_id = reader.last_id();
    outcome.failed = reader.failed();
    return outcome;
}

/// All line ends as LF, the text whole: then the standard's words are a loop.
Outcome by_the_book(std::string text) {
    if (text.starts_with("\xEF\xBB\xBF")) text.erase(0, 3);
    for (std::size_t at = 0; (at = text.find("\r\n", at)) != std::string::npos; ++at)
        text.erase(at, 1);
    for (char& c : text)
        if (c == '\r') c = '\n';
    Outcome outcome;
    std::string type, data, id;
    for (std::size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1) {
        const std::string line = text.substr(begin, end - begin);
        const std::size_t colon = line.find(':');
        const std::string name = line.substr(0, colon);
        std::string value = colon == std::string::npos ? "" : line.substr(colon + 1);
        if (!value.empty() && value[0] == ' ') value.erase(0, 1);
        if (line.empty()) {
            outcome.last_id = id;
            if (!data.empty())
                outcome.events.push_back({type.empty() ? "message" : type, data.substr(0, data.size() - 1), id});
            data.clear();
            type.clear();
        } else if (name == "event") {
            type = value;
        } else if (name == "data") {
            data += value + "\n";
        } else if (name == "id" && value.find('\0') == std::string::npos) {
            id = value;
        }
    }
    return outcome;
}

}  // namespace

FUZZ_TARGET(fuzz_event_stream) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const std::string text(input.rest());
    for (const std::size_t most : {text.size() + 1, std::size_t{40}}) {
        std::optional<Outcome> first;
        for (const std::vector<std::size_t>& cuts : fuzz::ways_to_cut(seed, text.size())) {
            const Outcome outcome = take(text, most, cuts);
            if (!first) first = outcome;
            fuzz::require(outcome == *first, "not the same when it is cut");
        }
        if (most > text.size()) fuzz::require(*first == by_the_book(text), "not as the standard says");
    }
    return 0;
}
