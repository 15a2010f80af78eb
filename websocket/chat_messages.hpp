#pragma once
// The messages of the chat (subprotocol "chat"): each is a JSON object in one text message.
//
//     to the server      {"join": ROOM, "name": NAME, "key": KEY, "life": LIFE, "since": NUMBER}
//                        {"say": TEXT, "id": ID}
//     to the client      {"joined": ROOM, "name": NAME, "life": LIFE, "last": NUMBER, "missed": COUNT}
//                        {"line": NUMBER, "name": NAME, "text": TEXT, "at": SECONDS, "id": ID}
//                        {"here": [NAME ...], "members": COUNT, "come": [NAME ...], "left": [NAME ...]}
//                        {"error": WHAT, "text": FOR PEOPLE, "id": ID}
//
// What they mean stands in the lesson (websocket/README.md, "Chat"). Here is what may stand in them.

#include "websocket/protocol/utf8.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace chat {

using Json = nlohmann::ordered_json;  // in the order in which we write it

constexpr std::size_t longest_name = 20;          ///< characters, of a member or a room
constexpr std::size_t longest_text = 1000;        ///< bytes
constexpr std::size_t longest_token = 64;         ///< bytes, of a key, a life or an id
constexpr std::size_t kept_lines = 50;            ///< of each room
constexpr std::size_t longest_request = 8 << 10;  ///< bytes; a text of quotation marks only has 2000 as JSON

// Close codes that mean something between these programs only (RFC 6455, section 7.4.2).
constexpr std::uint16_t not_ours = 4000;         ///< not one of these messages
constexpr std::uint16_t replaced = 4001;         ///< the same member has come again, on another connection
constexpr std::uint16_t service_restart = 1012;  // of IANA's registry; this server says 1001

/// JSON, or "discarded" (Json::is_discarded()) if it is none. Deep as it may be: nlohmann's parser does not recurse.
inline Json parse(std::string_view text) { return Json::parse(text, nullptr, false); }

/// One line of JSON. Text that is not UTF-8 can't come over a WebSocket; here it would become U+FFFD.
inline std::string dump(const Json& message) { return message.dump(-1, ' ', false, Json::error_handler_t::replace); }

/// A string or a number by its name; "" or 0 if there is none, or another kind of thing.
inline std::string text_of(const Json& message, const char* name) {
    const auto found = message.find(name);
    return found != message.end() && found->is_string() ? found->get<std::string>() : "";
}
inline std::uint64_t number_of(const Json& message, const char* name) {
    const auto found = message.find(name);
    return found != message.end() && found->is_number_unsigned() ? found->get<std::uint64_t>() : 0;
}

/// Takes a character from the front of UTF-8, and returns its number.
inline char32_t take_character(std::string_view& text) {
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const std::size_t length = byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : byte(0) >= 0xC0 ? 2 : 1;
    char32_t character = length == 1 ? byte(0) : byte(0) & (0x7FU >> length);
    for (std::size_t i = 1; i < length; ++i)
        character = character << 6U | (byte(i) & 0x3FU);
    text.remove_prefix(length);
    return character;
}

/// May a member or a room be called so? Letters, digits, '-' and '_': nothing that is invisible, turns the direction of
/// writing round or means something to a terminal or to HTML. Other alphabets: lengthen the table.
inline bool is_name(std::string_view name) {
    struct Range {
        char32_t first, last;
    };
    static constexpr Range letters[] = {
        {'-', '-'},       {'0', '9'},       {'A', 'Z'},       {'_', '_'},
        {'a', 'z'},       {0xC0, 0xD6},     {0xD8, 0xF6},     {0xF8, 0x17F},  // Latin
        {0x3041, 0x3096}, {0x30A1, 0x30FA}, {0x30FC, 0x30FC},                 // Japanese
        {0x3131, 0x3163}, {0xAC00, 0xD7A3},                                   // Korean
        {0x3400, 0x4DBF}, {0x4E00, 0x9FFF},                                   // Chinese
    };
    if (name.empty() || name.size() > 4 * longest_name || !websocket::is_utf8(name)) return false;
    std::size_t characters = 0;
    while (!name.empty()) {
        const char32_t character = take_character(name);
        const bool known = std::any_of(std::begin(letters), std::end(letters), [&](const Range& range) {
            return character >= range.first && character <= range.last;
        });
        if (!known || ++characters > longest_name) return false;
    }
    return true;
}

/// What is wrong with a text that somebody wants to say; "" if nothing is. A line has no line break, nor any other
/// control character but the tab.
inline std::string complaint_about_text(std::string_view text) {
    if (text.empty()) return "a line has at least one character";
    if (text.size() > longest_text) return fmt::format("a line has at most {} bytes", longest_text);
    if (!websocket::is_utf8(text)) return "a line is UTF-8";
    while (!text.empty()) {
        const char32_t character = take_character(text);
        if ((character < 0x20 && character != '\t') || (character >= 0x7F && character < 0xA0))
            return "a line has no control characters";
    }
    return "";
}

// ---- What a server reads

struct Join {
    std::string room, name;
    std::string key;          ///< whoever knows it may take the name over; "": nobody
    std::string life;         ///< of the room's numbers, as the client knows it
    std::uint64_t since = 0;  ///< the last line that it has
};

struct Say {
    std::string text;
    std::string id;  ///< a line with the same id and name as one that is kept has been said already
};

/// A request that its sender may put right.
struct Refusal {
    std::string what;  ///< "name", "text" ...
    std::string text;
    std::string id;
};

/// Not one of our messages.
struct Nonsense {
    std::string reason;
};

using Request = std::variant<Join, Say, Refusal, Nonsense>;

inline Request read_request(std::string_view text) {
    const Json message = parse(text);
    if (message.is_discarded()) return Nonsense{"not JSON"};
    if (!message.is_object()) return Nonsense{"not a JSON object"};
    for (const char* name : {"key", "life", "id"}) {
        const auto found = message.find(name);
        if (found != message.end() && (!found->is_string() || text_of(message, name).size() > longest_token))
            return Nonsense{fmt::format("{} is a string of at most {} bytes", name, longest_token)};
    }
    if (message.contains("join")) {
        Join join{text_of(message, "join"), text_of(message, "name"), text_of(message, "key"), text_of(message, "life"),
                  number_of(message, "since")};
        const char* rule = "has 1 to 20 letters, digits, '-' and '_'";
        if (!is_name(join.room)) return Refusal{"room", fmt::format("a room's name {}", rule), ""};
        if (!is_name(join.name)) return Refusal{"name", fmt::format("a name {}", rule), ""};
        return join;
    }
    if (message.contains("say")) {
        Say say{text_of(message, "say"), text_of(message, "id")};
        if (std::string complaint = complaint_about_text(say.text); !complaint.empty())
            return Refusal{"text", std::move(complaint), say.id};
        return say;
    }
    return Nonsense{"neither join nor say"};
}

// ---- What it writes

inline std::string joined_message(const Join& join, const std::string& life, std::uint64_t last, std::uint64_t missed) {
    return dump({{"joined", join.room}, {"name", join.name}, {"life", life}, {"last", last}, {"missed", missed}});
}

inline std::string line_message(std::uint64_t number, const std::string& name, const Say& say, std::int64_t seconds) {
    return dump({{"line", number}, {"name", name}, {"text", say.text}, {"at", seconds}, {"id", say.id}});
}

inline std::string error_message(const Refusal& refusal) {
    Json message{{"error", refusal.what}, {"text", refusal.text}};
    if (!refusal.id.empty()) message["id"] = refusal.id;
    return dump(message);
}

}  // namespace chat
