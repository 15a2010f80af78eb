#pragma once
// Looking at what programs print.

#include <string>
#include <string_view>
#include <vector>

/// The lines of a text, without their newlines.
std::vector<std::string> lines_of(std::string_view text);

/// Those of them that have this text in them.
std::vector<std::string> lines_with(std::string_view text, std::string_view part);

/// How often a text is in another.
size_t count_of(std::string_view text, std::string_view part);

/// Does it have Hangul syllables in it?
bool has_hangul(std::string_view text);
