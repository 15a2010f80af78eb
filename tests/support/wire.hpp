#pragma once
// WebSocket on the wire: bytes as literal hex, frames written by hand, and what a connection makes of them, however
// they are cut. Frames are written and read here without the code under test.

#include "websocket/protocol/connection.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace wire {

using websocket::Role;

/// "81 05 48656c6c6f": two digits a byte, blanks anywhere. Throws std::invalid_argument.
std::string from_hex(std::string_view digits);

/// "8105 48656c6c6f" without blanks.
std::string to_hex(std::string_view bytes);

inline namespace literals {
inline std::string operator""_hex(const char* digits, std::size_t count) { return from_hex({digits, count}); }
}  // namespace literals

/// A text that may be printed: bytes escaped; a long one is told by its length and a checksum.
std::string shown(std::string_view bytes);

/// A frame whose length stands in its shortest form. first: FIN, RSV1 to RSV3 and opcode, as in 0x81.
std::string frame(unsigned first, std::string_view payload);

/// The same with a mask; the default is the key of RFC 6455, section 5.7.
std::string masked(unsigned first, std::string_view payload, std::uint32_t key = 0x37fa213d);

/// As the peer of one with this role must send it: masked to a server, not masked to a client.
std::string to(Role role, unsigned first, std::string_view payload);

/// Reads what one with this role has sent: each frame as "81 Hello", its payload unmasked. Throws std::runtime_error on
/// what is not whole frames with lengths in their shortest form, masked by a client and not by a server.
std::vector<std::string> frames_of(Role role, std::string_view bytes);

/// The payload of a Close frame.
std::string close_body(unsigned code, std::string_view reason = "");

/// What a connection is made with.
struct Setup {
    Role role = Role::server;
    websocket::Limits limits;
    std::optional<websocket::DeflateParameters> deflate;
};

/// What a connection did.
struct Story {
    std::vector<std::string> events;  ///< "text Hello", "ping x", ...; at last, if it ended, "close CODE REASON"
    std::vector<std::string> sent;    ///< as frames_of()
    bool clean = false;               ///< and how it ended; false also where it did not
    bool operator==(const Story&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Story& story);

/// The story of a connection that fails at once, or after these events.
Story failed(unsigned code, std::string_view reason, std::vector<std::string> events = {});

/// Called for each event but close: what the program does with it.
using Reaction = std::function<void(websocket::Connection&, const websocket::Event&)>;

/// How the bytes arrive.
struct Arrival {
    std::vector<std::size_t> cuts;  ///< offsets in rising order at which a new piece begins
    bool directly = false;          ///< by room() and received_directly() wherever they are offered
};

/// Feeds a connection with input. Throws std::runtime_error where it breaks its word: an event after the end, a
/// connection that is finished without saying so, ...
Story play(const Setup& setup, std::string_view input, const Arrival& arrival = {}, const Reaction& reaction = {});

/// play(), and again cut into two at every byte (of inputs beyond 2000 bytes: at the first and the last 30, and some
/// between them), byte by byte, and with room(). Throws std::runtime_error if one story is not as the others.
Story replay(const Setup& setup, std::string_view input, const Reaction& reaction = {});

/// What an echo program sends when this arrives in pieces, and how its connection ended. in_few_steps: with
/// return_short_messages() where it can; else by next() and send() alone.
std::string echo(const Setup& setup, std::string_view input, const std::vector<std::size_t>& cuts, bool in_few_steps);

}  // namespace wire
