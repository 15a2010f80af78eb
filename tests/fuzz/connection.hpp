#pragma once
// What the targets for connections share.

#include "tests/fuzz/fuzz.hpp"
#include "tests/support/wire.hpp"
#include "websocket/protocol/utf8.hpp"

#include <algorithm>
#include <optional>

namespace fuzz {

/// A flood of pings may be answered by fewer pongs, depending on how it is cut: of those, only the others are compared.
inline wire::Story comparable(wire::Story story) {
    const auto pings = std::count_if(story.events.begin(), story.events.end(),
                                     [](const std::string& event) { return event.substr(0, 5) == "ping "; });
    if (pings > 64) std::erase_if(story.sent, [](const std::string& frame) { return frame.substr(0, 2) == "8a"; });
    return story;
}

/// What must hold of every connection, whatever it was fed with.
inline void check_story(const wire::Setup& setup, const wire::Story& story) {
    std::size_t closes = 0;
    for (const std::string& frame : story.sent) {
        require(closes == 0, "something was sent after a Close frame");
        if (frame.substr(0, 2) == "88") ++closes;
    }
    const bool ended = !story.events.empty() && story.events.back().substr(0, 6) == "close ";
    require(ended || !story.clean, "clean, but not closed");
    if (!ended) return;
    const unsigned code = static_cast<unsigned>(std::stoul(story.events.back().substr(6)));
    require(websocket::may_travel(code) || (story.clean && code == 1005), "closed with a code that may not be");
    if (!story.clean)
        require(code == 1002 || code == 1007 || code == 1008 || code == 1009, "a failure with an undocumented code");
    if (!story.clean && !setup.deflate)
        require(code != 1007 || story.events.back().find("DEFLATE") == std::string::npos, "?");
}

/// Feeds a connection in several ways with the same, and compares what it did. The program behind it echoes messages,
/// and says Close when it hears "close".
inline void run(const wire::Setup& setup, std::uint8_t seed, std::string_view input, bool echo) {
    const auto react = [echo](websocket::Connection& connection, const websocket::Event& event) {
        const bool text = event.opcode == websocket::Opcode::text;
        if (text) require(websocket::is_utf8(event.payload), "a text message that is not UTF-8");
        if (!echo || (!text && event.opcode != websocket::Opcode::binary)) return;
        if (event.payload == "close") connection.close(3000, "as you say");
        if (event.payload.size() % 3 == 1) {
            connection.send_fragment(event.opcode, event.payload.substr(0, 1), false);
            connection.send_fragment(event.opcode, event.payload.substr(1), true);
        } else {
            connection.send(event.opcode, event.payload);
        }
    };
    std::optional<wire::Story> first;
    bool directly = false;
    for (const std::vector<std::size_t>& cuts : ways_to_cut(seed, input.size())) {
        const wire::Story story = comparable(wire::play(setup, input, {cuts, directly}, react));
        if (!first) first = story;
        require(story == *first, "not the same when it is cut");
        require(wire::echo(setup, input, cuts, true) == wire::echo(setup, input, cuts, false),
                "another echo in few steps");
        directly = true;
    }
    check_story(setup, *first);
}

}  // namespace fuzz
