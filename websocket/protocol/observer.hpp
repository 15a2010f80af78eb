#pragma once
// Watches the two byte streams of a TCP connection that may be a WebSocket, and tells what is in them. It decides
// nothing and answers nothing: what breaks the rules is told, with the section that it breaks, and then what comes
// behind it. (Connection, by contrast, is one of the two sides, and ends at the first wrong byte.)
//
// Bytes, ends and times go in; records come out. It keeps a bounded amount of each frame and message, whatever they
// are.

#include "websocket/protocol/deflate.hpp"
#include "websocket/protocol/frame.hpp"
#include "websocket/protocol/handshake.hpp"
#include "websocket/protocol/http_response.hpp"
#include "websocket/protocol/utf8.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace websocket {

/// Whose bytes: up is the client's, to the server.
enum class Direction : std::uint8_t { up, down };

constexpr Direction opposite(Direction direction) {
    return direction == Direction::up ? Direction::down : Direction::up;
}

/// One thing that was seen. Which members mean something depends on the kind.
struct Record {
    enum class Kind : std::uint8_t {
        open,       ///< a connection: from, at
        segment,    ///< what one recv() got: index, offset, size, begins, ends, missing, whole
        http,       ///< a head of HTTP: line, fields
        handshake,  ///< what the two heads have agreed on: key, accept, expected, extensions, protocol
        frame,      ///< header, head, payload and what it means
        message,    ///< a message whose last fragment has come: fragments, size, inflated, between
        raw,        ///< bytes that are no frames (or of which that can't be told): plain
        gap,        ///< bytes that passed and were not seen: offset, size
        note,       ///< text
        end,        ///< a side has ended its stream: how ("FIN" or "RST"), first
        over,       ///< the connection is over: text
    };
    Kind kind = Kind::note;
    std::uint64_t number = 0;      ///< of this record, and
    std::uint64_t connection = 0;  ///< its connection: whoever keeps the records counts these two
    std::int64_t time = 0;         ///< microseconds since 1970
    Direction direction = Direction::up;

    std::uint64_t index = 0;   ///< the how-manieth segment, frame or message of its direction, from 1
    std::uint64_t offset = 0;  ///< of its first byte in the stream of its direction
    std::uint64_t size = 0;    ///< in bytes on the wire (a frame: with its header; a message: of all payloads)

    std::string from, at;               ///< addresses
    std::string begins, ends;           ///< of a segment: "" between two frames, or what is cut there: "header" ...
    std::uint64_t missing = 0;          ///< bytes of a payload that did not come (yet)
    std::uint64_t whole = 0;            ///< frames that end in it
    std::string line;                   ///< the request line or status line
    std::vector<std::string> fields;    ///< "Name: value", as they came
    std::string key, accept, expected;  ///< Sec-WebSocket-Key, -Accept, and what Accept had to be
    std::string extensions, protocol;   ///< as agreed
    bool accepted = false;              ///< 101

    FrameHeader header = {};
    std::string head;                   ///< the header's bytes
    std::string payload, plain;         ///< the first bytes of the payload: as they came; unmasked, and inflated
    std::uint64_t message = 0;          ///< the message to which a frame belongs; 0: none
    std::uint64_t fragment = 0;         ///< and which of its frames it is, from 1
    std::uint64_t first_segment = 0;    ///< in which it begins
    std::uint64_t last_segment = 0;     ///< and ends
    std::int64_t round_trip = -1;       ///< of a pong: microseconds since its ping passed; -1: nobody asked
    std::uint64_t answers = 0;          ///< and the index of that ping
    unsigned code = 0;                  ///< of a Close frame; 0: none
    std::string reason;                 ///< of a Close frame
    std::uint64_t fragments = 0;        ///< of a message
    bool compressed = false;            ///< permessage-deflate
    std::uint64_t inflated = 0;         ///< bytes of a message when it is not compressed any more
    std::uint64_t between = 0;          ///< control frames between its fragments
    std::string how;                    ///< "FIN", "RST", "refused"
    bool first = false;                 ///< before the other side
    std::string text;                   ///< in words
    std::vector<std::string> problems;  ///< what breaks a rule, with the section
};

class Observer {
public:
    using Tell = std::function<void(Record&&)>;

    static constexpr std::size_t most_head_bytes = std::size_t{64} << 10U;     ///< of HTTP
    static constexpr std::size_t most_waiting_bytes = std::size_t{64} << 10U;  ///< that came before the 101
    static constexpr std::size_t kept_of_frame = 256;
    static constexpr std::size_t kept_of_message = 1024;
    static constexpr std::uint64_t most_inflated_bytes = std::uint64_t{64} << 20U;

    /// tell must not call the observer.
    explicit Observer(Tell tell) : tell_(std::move(tell)) {}

    // ---- What happens, in order. Times: microseconds since 1970.

    /// The client has connected.
    void open(const std::string& from, const std::string& at, std::int64_t time);
    /// Bytes of one recv(), at least one.
    void bytes(Direction direction, std::string_view bytes, std::int64_t time);
    /// So many bytes passed, and nobody has looked.
    void gap(Direction direction, std::uint64_t count, std::int64_t time);
    /// The sender of this direction has ended it by FIN.
    void fin(Direction direction, std::int64_t time);
    /// And this one by RST, which ends both.
    void reset(Direction direction, std::int64_t time);
    /// There is no connection to the server.
    void refused(std::int64_t time);

    bool is_over() const { return over_; }

private:
    enum class State : std::uint8_t { head, body, chunks, waiting, frames, raw };

    struct Ping {
        std::string payload;
        std::int64_t time;
        std::uint64_t index;
    };

    struct Piece {  // a segment that waits for the 101
        std::string bytes;
        std::int64_t time;
    };

    struct Lane {
        State state = State::head;
        std::uint64_t offset = 0;  // bytes so far
        std::uint64_t segments = 0;
        std::string head = {};        // of HTTP
        std::uint64_t body_left = 0;  // of HTTP
        ChunkReader chunks = {};
        std::deque<Piece> waiting = {};
        std::size_t waiting_bytes = 0;

        std::string header_bytes = {};  // the frame that is not whole
        FrameHeader header = {};
        bool in_payload = false, unseen = false;  // unseen: a part of it
        bool not_shortest = false;
        std::uint64_t missing = 0;
        std::string payload = {};
        std::uint64_t frame_offset = 0, frame_segment = 0;
        std::uint64_t frames = 0, whole = 0;
        std::optional<MaskingKey> last_key = {};
        std::vector<std::string> problems = {};

        bool in_message = false;
        Opcode opcode = Opcode::text;
        bool compressed = false, spoilt = false;  // spoilt: it can't be inflated (any more)
        std::uint64_t messages = 0, fragments = 0, size = 0, inflated = 0, between = 0;
        std::string plain = {};
        Utf8 utf8 = {};
        bool utf8_matters = false;
        std::vector<std::string> message_problems = {};

        std::unique_ptr<Inflater> inflater = {};
        bool context_lost = false, no_context_takeover = false;
        std::deque<Ping> pings = {};
        std::optional<unsigned> close = {};  // its code; 0: none
        bool ended = false;
    };

    struct Request {
        bool is_head = false, upgrades = false;
        HttpHead head;
    };

    Lane& lane(Direction direction) { return lanes_[static_cast<std::size_t>(direction)]; }
    Record record(Record::Kind kind, Direction direction) const;
    void note(Direction direction, std::string text);
    void take(Direction direction, std::string_view bytes);
    std::string place(const Lane& lane) const;
    std::size_t take_head(Direction direction, std::string_view bytes);
    void judge_request(HttpHead head);
    void judge_response(const HttpHead& head);
    void shake_hands(const Request& request, const HttpHead& response);
    void expect_body(Direction direction, const HttpHead& head);
    std::size_t take_body(Direction direction, std::string_view bytes);
    void go_on_without(Direction direction, const std::string& why);
    void flush_waiting();
    std::size_t take_frame(Direction direction, std::string_view bytes);
    void begin_frame(Direction direction);
    void take_payload(Direction direction, std::string_view bytes);
    void take_data(Lane& lane, std::string_view bytes, bool last);
    void end_frame(Direction direction);
    void end_message(Direction direction);
    void told(Record&& record) { out_.push_back(std::move(record)); }
    void flush();
    void finish(Direction direction, const char* how);
    void end_over(std::string text);

    Tell tell_;
    std::array<Lane, 2> lanes_;
    std::deque<Request> requests_;  // without an answer yet
    std::optional<DeflateParameters> deflate_;
    bool websocket_ = false;
    std::int64_t time_ = 0;
    std::optional<Direction> first_close_, first_end_;
    bool over_ = false;
    std::vector<Record> out_;
    Buffer inflated_;
};

}  // namespace websocket
