#include "websocket/protocol/event_stream.hpp"

#include <algorithm>
#include <charconv>

namespace websocket {

std::optional<StreamEvent> EventStreamReader::next(std::string_view& input) {
    while (!input.empty() && !failed_) {
        // CR LF is one end of a line, also where a piece of the input ends between the two.
        if (after_cr_ && input.front() == '\n') input.remove_prefix(1);
        after_cr_ = false;
        const std::size_t end = std::min(input.find_first_of("\r\n"), input.size());
        if (line_.size() + end > most_) {
            failed_ = true;
            break;
        }
        line_.append(input.substr(0, end));
        input.remove_prefix(end);
        if (input.empty()) break;
        after_cr_ = input.front() == '\r';
        input.remove_prefix(1);
        auto event = take_line(line_);
        line_.clear();
        if (event) return event;
    }
    if (failed_) input = {};
    return {};
}

std::optional<StreamEvent> EventStreamReader::take_line(std::string_view line) {
    if (first_ && line.starts_with("\xEF\xBB\xBF")) line.remove_prefix(3);
    first_ = false;
    if (line.empty()) {  // the end of an event; of one without data nothing stays but its id
        last_id_ = id_;
        StreamEvent event{type_.empty() ? "message" : type_, data_, last_id_};
        const bool empty = data_.empty();
        type_.clear();
        data_.clear();
        if (empty) return {};
        event.data.pop_back();  // the newline behind its last line
        return event;
    }
    const std::size_t colon = line.find(':');  // at the front: a comment, which keeps the connection awake
    const std::string_view name = line.substr(0, colon);
    std::string_view value = colon == std::string_view::npos ? "" : line.substr(colon + 1);
    if (value.starts_with(' ')) value.remove_prefix(1);
    if (name == "data") {
        if (data_.size() + value.size() + 1 > most_) {
            failed_ = true;
        } else {
            data_.append(value).push_back('\n');
        }
    } else if (name == "event") {
        type_ = value;
    } else if (name == "id") {
        if (value.find('\0') == std::string_view::npos) id_ = value;
    } else if (name == "retry") {
        std::int64_t number = 0;
        const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
        const bool digits = std::all_of(value.begin(), value.end(), [](char c) { return c >= '0' && c <= '9'; });
        if (!value.empty() && digits && error == std::errc()) retry_ = number;
    }
    return {};
}

}  // namespace websocket
