// What a chat server reads: any text is a request whose parts obey the rules, a refusal that can be told, or nonsense;
// and what is made of it can be read again and means the same. Names and texts are also judged for themselves, since
// they come from the command line, too.
//
// Input: the text of a message, or not even text.

#include "common/errors.hpp"
#include "websocket/chat_messages.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace {

/// By another way than is_name()'s: a name stays itself in a terminal and in HTML.
void check_name(std::string_view name) {
    if (!chat::is_name(name)) return;
    fuzz::require(escaped(name) == name, "a name has something that a terminal obeys");
    fuzz::require(name.find_first_of(" \t\r\n<>&\"'\\/.:;@%") == std::string_view::npos, "a name is no word");
    std::size_t characters = 0;
    for (const char c : name)
        characters += (static_cast<unsigned char>(c) & 0xC0U) != 0x80 ? 1 : 0;
    fuzz::require(characters >= 1 && characters <= chat::longest_name, "a name is too long");
}

void check_text(std::string_view text) {
    if (!chat::complaint_about_text(text).empty()) return;
    fuzz::require(!text.empty() && text.size() <= chat::longest_text, "a line is too long");
    for (const char c : text)
        fuzz::require(static_cast<unsigned char>(c) >= 0x20 || c == '\t', "a line has a control character");
    fuzz::require(websocket::is_utf8(text), "a line is not UTF-8");
}

void check_say(const chat::Say& say) {
    fuzz::require(chat::complaint_about_text(say.text).empty(), "a line can't be");
    check_text(say.text);
    const std::string message = chat::line_message(7, "name", say, 1);
    fuzz::require(message.find('\n') == std::string::npos && websocket::is_utf8(message), "a message is not one line");
    const chat::Json again = chat::parse(message);
    fuzz::require(chat::text_of(again, "text") == say.text && chat::text_of(again, "id") == say.id &&
                      chat::number_of(again, "line") == 7,
                  "a line is not what it was");
}

}  // namespace

FUZZ_TARGET(fuzz_chat_message) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check_name(text);
    check_text(text);
    if (!websocket::is_utf8(text) || size > chat::longest_request) return 0;  // the connection has refused it
    const chat::Request request = chat::read_request(text);
    if (const auto* join = std::get_if<chat::Join>(&request)) {
        fuzz::require(chat::is_name(join->room) && chat::is_name(join->name), "a name can't be");
        check_name(join->name);
        fuzz::require(join->key.size() <= chat::longest_token && join->life.size() <= chat::longest_token,
                      "a token is too long");
        const chat::Json again = chat::parse(chat::joined_message(*join, join->life, join->since, 0));
        fuzz::require(chat::text_of(again, "joined") == join->room && chat::number_of(again, "last") == join->since,
                      "an answer is not what it was");
    } else if (const auto* say = std::get_if<chat::Say>(&request)) {
        check_say(*say);
    } else if (const auto* refusal = std::get_if<chat::Refusal>(&request)) {
        fuzz::require(refusal->id.size() <= chat::longest_token, "an id is too long");
        fuzz::require(!chat::parse(chat::error_message(*refusal)).is_discarded(), "a refusal can't be read");
    } else {
        const std::string& reason = std::get<chat::Nonsense>(request).reason;
        fuzz::require(!reason.empty() && reason.size() < 124, "a reason does not fit into a Close frame");
    }
    return 0;
}
