#pragma once
// Bad frames and bad requests on purpose: what is sent, what RFC 6455 demands of a server that gets it, and whether
// that is what came back. Bytes in, a verdict out.

#include "websocket/protocol/frame.hpp"
#include "websocket/protocol/handshake.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace websocket {

/// What the RFC says of the receiver.
enum class Demand : std::uint8_t {
    pong,      ///< a ping: MUST be answered by a pong with the same payload
    close,     ///< a Close frame: MUST be answered by one; nothing behind it counts
    fail,      ///< MUST _Fail the WebSocket Connection_ (section 7.1.7)
    may_fail,  ///< only the sender is told that it must not; who gets it may end the connection (section 10.7), or not
    refuse,    ///< a request: MUST be refused with an HTTP error
    no_upgrade,  ///< a request that is none for WebSocket: anything but 101
    may_refuse,  ///< refused or accepted
    decline,     ///< a good request: accepted, but MUST NOT agree to the extension that it names
};

/// What is done behind the bytes if they have no answer.
enum class After : std::uint8_t {
    ask,   ///< a ping soon tells whether the other side simply goes on
    wait,  ///< nothing: what else is sent would be taken for something else, or must not be sent
    fin,   ///< this side ends its sending at once
};

/// One case.
struct Provocation {
    const char* name;
    const char* what;
    Demand demand;
    unsigned code;        ///< the Close code, or the status of HTTP, that fits best; 0: there is none
    const char* section;  ///< where that stands
    const char* bytes;    ///< behind the handshake, hexadecimal; "": the request itself is the case
    After after = After::ask;
    bool deflate = false;  ///< permessage-deflate is offered, and the case is only for a server that agrees
    const char* first_line = "GET {path} HTTP/1.1";
    const char* without = "";       ///< a field of the usual request that is left out
    const char* with = "";          ///< further lines
    const char* line_end = "\r\n";  ///< between the lines that are not in `with`
};

/// All of them, in the order of the lesson.
std::span<const Provocation> provocations();

/// nullptr if there is none of this name.
const Provocation* find_provocation(std::string_view name);

/// The request as it is sent. The key is always the RFC's (section 1.3): nothing here is a secret, and a case is to be
/// the same each time.
std::string provoking_request(const Provocation& provocation, const std::string& host, const std::string& path);

/// The bytes that are sent once the answer was 101; "" if the request is the case.
std::string provoking_bytes(const Provocation& provocation);

/// The ping of After::ask, and the Close frame that answers one. Masked with zeros, as all frames here.
std::string asking_ping();
std::string answering_close(unsigned code);

/// What came back.
class Reaction {
public:
    explicit Reaction(const Provocation& provocation) : provocation_(&provocation) {}

    void take(std::string_view bytes);
    enum class End : std::uint8_t { open, fin, reset };
    void end(End how) { end_ = how; }
    void asked() { asked_ = true; }

    bool upgraded() const { return upgraded_; }
    bool answered() const { return upgraded_ || status_ != 0; }  ///< the request
    bool closing() const { return close_code_.has_value(); }     ///< a Close frame came
    unsigned close_code() const { return close_code_.value_or(0); }
    bool ends_connection() const;  ///< an answer to the request says that nothing comes behind it
    /// Nothing that comes later can change the verdict but the end of the connection.
    bool decided() const;
    /// The case can't be tried: the server does not agree to permessage-deflate.
    bool not_applicable() const { return provocation_->deflate && upgraded_ && !deflate_; }

    /// "Close 1002, FIN"
    std::string brief() const;
    /// A line for each thing that came, and who ended the connection.
    std::vector<std::string> lines() const;

private:
    friend struct Judge;
    void take_frames();

    const Provocation* provocation_;
    HttpHeadReader head_;
    bool in_head_ = true;
    bool malformed_ = false;  // no HTTP came, or no frames
    bool upgraded_ = false;
    bool right_accept_ = false;
    bool deflate_ = false;
    unsigned status_ = 0;
    std::string body_;   // of a refusal: its beginning
    std::string input_;  // frames that are not whole
    std::uint64_t to_skip_ = 0;
    struct Seen {
        FrameHeader header;
        std::string payload;  // its beginning
    };
    std::vector<Seen> seen_;  // the first ones
    std::size_t more_ = 0;    // and how many came behind those
    std::optional<unsigned> close_code_;
    bool forbidden_ = false;   // it is one that must not travel, and stands there nevertheless
    bool masked_ = false;      // a server's frame was
    bool late_ = false;        // a frame came behind Close
    bool pong_ = false;        // with the payload of the case
    bool still_here_ = false;  // the pong for our question
    bool asked_ = false;
    End end_ = End::open;
};

enum class Verdict : std::uint8_t { demanded, allowed, wrong, not_tried };

struct Judgement {
    Verdict verdict;
    std::string why;  ///< in a few words
};

/// Was that what the RFC demands?
Judgement judge(const Provocation& provocation, const Reaction& reaction);

/// "as demanded", "allowed", "NOT AS DEMANDED", "not tried"
const char* verdict_name(Verdict verdict);

/// "MUST fail the connection; the code for it is 1002"
std::string demand_text(const Provocation& provocation);

/// "RFC 6455, 5.1"
std::string place_text(const Provocation& provocation);

/// May this stand in the request as a path? It begins with / and has no blanks.
bool is_resource(std::string_view path);

}  // namespace websocket
