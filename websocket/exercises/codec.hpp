#pragma once
// What the codec exercises of this chapter are to provide: each file here that has no main() has one of these
// functions. Their graders call them as they stand here.

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

// ---- accept_key

/// Sec-WebSocket-Accept of a Sec-WebSocket-Key, both as they stand in the header (RFC 6455, section 4.2.2, 5.4).
std::string accept_key(std::string_view key);

// ---- frame_header

/// A frame's header without its mask's key (RFC 6455, section 5.2). The reserved bits are zero.
struct FrameHeader {
    bool fin = true;
    unsigned opcode = 0;       ///< 0 to 15
    bool masked = false;       ///< a key of four bytes follows, which is no part of this
    std::uint64_t length = 0;  ///< of the payload in bytes, below 2^63
};

/// The header's 2, 4 or 10 bytes.
std::string write_header(const FrameHeader& header);

/// Reads a header at the beginning of what has come so far. Returns its size in bytes: 2, 4 or 10; 0 if it is not whole
/// yet; -1 if a length stands there that no peer may send.
int read_header(std::string_view bytes, FrameHeader& header);

// ---- unmask

/// Of one frame whose payload comes in pieces.
struct Mask {
    std::array<unsigned char, 4> key{};
    std::uint64_t offset = 0;  ///< where in the payload the next piece begins; 0 for the first
};

/// Unmasks the next piece in place (RFC 6455, section 5.3).
void unmask(Mask& mask, char* bytes, std::size_t count);

// ---- fragments

struct Frame {
    bool fin = true;
    unsigned opcode = 0;  ///< 0 continuation, 1 text, 2 binary, 8 Close, 9 Ping, 10 Pong; any other is a fault
    std::string payload;  ///< unmasked
};

/// The message that is being put together.
struct Unfinished {
    bool begun = false;
    unsigned opcode = 0;
    std::string payload;
};

/// What a frame leads to.
struct Taken {
    enum What {
        nothing,  ///< yet: the message goes on
        message,  ///< it is whole: 1 or 2, and its payload
        control,  ///< 8, 9 or 10, and its payload
        fault,    ///< the peer broke a rule (close with 1002)
        too_big,  ///< the message would be larger than most_bytes (close with 1009)
    };
    What what = nothing;
    unsigned opcode = 0;
    std::string payload = {};
};

constexpr std::size_t most_bytes = 65536;  ///< of a message

/// Takes the next frame of a connection (RFC 6455, sections 5.4 and 5.5). After a fault there is no next.
Taken take_frame(Unfinished& message, const Frame& frame);

// ---- utf8_cut

/// Takes the next piece of a text. begun: the bytes of the character in whose middle the text so far ends, at most
/// three; empty at first. False as soon as what came so far cannot become UTF-8, whatever follows (RFC 3629).
bool take_piece(std::string& begun, std::string_view piece);
