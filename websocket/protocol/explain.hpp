#pragma once
// Frames told to a reader: bits, fields, mask, payload before and after unmasking, and where RFC 6455 says so.

#include "websocket/protocol/frame.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace websocket {

/// "48 65 6c"
std::string hex(std::string_view bytes);

/// The other way; blanks, line breaks, colons and commas may stand between bytes. Throws std::invalid_argument with one
/// line that says what is wrong.
std::string bytes_of_hex(std::string_view text);

/// What a close code means (RFC 6455, section 7.4.1; the registry of IANA).
const char* close_code_meaning(unsigned code);

/// A frame told bit by bit, in lines. who: stands before it; head: the header's bytes; payload: the first bytes of the
/// payload as they came.
std::string tell_frame(const std::string& who, const FrameHeader& header, std::string_view head,
                       std::string_view payload);

/// Tells the frames of one direction of a connection, of which the bytes come in pieces of any size.
class FrameTeller {
public:
    /// who: stands before each frame, "client -> server" for instance.
    explicit FrameTeller(std::string who) : who_(std::move(who)) {}

    /// Takes the next bytes and returns the text of the frames that are complete with them. Of a long payload only the
    /// beginning is kept and shown.
    std::string take(std::string_view bytes);

    /// What is wrong when no more bytes come: a frame that is not whole, or a header behind which no frame can be
    /// found.
    /// "" if nothing is.
    std::string end() const;

private:
    static constexpr std::size_t shown = 64;

    std::string who_;
    std::string head_;     // the header's bytes
    std::string payload_;  // at most `shown` bytes of the payload
    FrameHeader header_;
    std::uint64_t missing_ = 0;
    bool in_payload_ = false;
    bool lost_ = false;  // a header was wrong: where the next frame begins cannot be told
};

}  // namespace websocket
