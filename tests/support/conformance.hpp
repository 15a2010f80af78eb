#pragma once
// What RFC 6455 asks of a server, as cases: what a client sends, and what has to come back. One table for the tests of
// our own servers and for the grader of the exercise that asks for one.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace conformance {

/// As wire::frames_of() tells them: "81 Hello".
using Frames = std::vector<std::string>;

/// What of RFC 6455 is broken.
enum class Rule {
    mask,           ///< 5.1: a client's frames have a mask
    reserved_bit,   ///< 5.2: RSV1 to RSV3 are 0 without an extension
    opcode,         ///< 5.2: 3 to 7 and 11 to 15 are reserved
    length,         ///< 5.2: the shortest form, and no top bit
    order,          ///< 5.4: a continuation has a beginning, and a message an end before the next one
    control_frame,  ///< 5.5: FIN, and at most 125 bytes
    limit,          ///< 7.4.1, 1009: larger than the server takes
    utf8,           ///< 8.1: a reason is text
    close_code,     ///< 7.4: one that may not travel
    half_code,      ///< 5.5.1: a payload of one byte
};

/// A connection that has to be failed.
struct Fault {
    const char* what;
    Rule rule;
    std::string bytes;
    unsigned code = 1002;   ///< of the Close that answers it
    Frames before = {};     ///< what is answered before that
    std::size_t early = 0;  ///< so many of the bytes are enough to know it; 0: it takes all of them
};

/// Of frames and of the messages that they make, for a server that takes messages of so many bytes.
std::vector<Fault> faults_of_frames(std::uint64_t most_message);
/// Of the code in a Close frame.
std::vector<Fault> faults_of_close_codes();

/// Codes that may travel, from both ends of their ranges.
extern const std::vector<unsigned> good_close_codes;

/// Texts at the edges of UTF-8.
extern const std::vector<std::string> good_texts;
/// Each is known to be no UTF-8 by its last byte, whatever follows.
extern const std::vector<std::string> bad_texts;
/// Each ends within a character.
extern const std::vector<std::string> unfinished_texts;

/// Bytes to an echo server, in one connection after the other, and what it answers.
struct Exchange {
    std::string bytes;
    Frames answer;
};
/// Messages in fragments, with control frames between.
extern const std::vector<Exchange> fragments;
/// Texts whose fragments end within a character.
extern const std::vector<Exchange> cut_characters;
/// Close with code 1000, and more bytes behind it, about which nobody cares. The answer: what comes before the Close.
extern const std::vector<Exchange> behind_close;

/// Frames of one message, its payload cut into pieces of this size.
std::string in_fragments(unsigned opcode, std::string_view payload, std::size_t size);

}  // namespace conformance
