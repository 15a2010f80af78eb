#pragma once
// The small grammar that HTTP fields are made of (RFC 9110, section 5.6).

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace websocket {

/// ASCII only: header names and the tokens of WebSocket know no other letters.
std::string lower(std::string_view text);
bool equal_ignoring_case(std::string_view a, std::string_view b);

/// Without blanks and tabs at both ends.
std::string_view trim(std::string_view text);

/// One or more of the characters that a token may have.
bool is_token(std::string_view text);

/// Takes from the front of text what stands before the first of the delimiters; with none, all. A delimiter stays.
std::string_view take_until(std::string_view& text, std::string_view delimiters);

/// Takes a token, or a quoted string without its quotes and backslashes, from the front of text, blanks around it too.
/// Nothing if there is neither.
std::optional<std::string> take_token_or_quoted(std::string_view& text);

}  // namespace websocket
