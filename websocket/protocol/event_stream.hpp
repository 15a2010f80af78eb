#pragma once
// Server-Sent Events: the text in the body of a text/event-stream, and the events that it means (the HTML standard,
// section 9.2.6, "Interpreting an event stream").

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace websocket {

struct StreamEvent {
    std::string type;  ///< "message" unless a line said "event: ..."
    std::string data;  ///< its lines, with a newline between two
    std::string id;    ///< of this event or the last one that had any
    bool operator==(const StreamEvent&) const = default;
};

class EventStreamReader {
public:
    /// most_bytes: of a line, and of an event.
    explicit EventStreamReader(std::size_t most_bytes = std::size_t{1} << 16U) : most_(most_bytes) {}

    /// Takes bytes from the front of input, until an event is complete; nothing: all were taken, or failed().
    std::optional<StreamEvent> next(std::string_view& input);

    /// Something was larger than most_bytes. Nothing more will come.
    bool failed() const { return failed_; }

    /// What a client sends as Last-Event-ID when it connects again; "": nothing.
    const std::string& last_id() const { return last_id_; }
    /// How long it shall wait before that, if the server has said so.
    std::optional<std::int64_t> retry_milliseconds() const { return retry_; }

private:
    std::optional<StreamEvent> take_line(std::string_view line);

    std::size_t most_;
    std::string line_;       // that has not ended yet
    bool first_ = true;      // line: before it may stand a byte order mark
    bool after_cr_ = false;  // LF belongs to the CR before it
    bool failed_ = false;
    std::string type_, data_, id_;
    std::string last_id_;
    std::optional<std::int64_t> retry_;
};

}  // namespace websocket
