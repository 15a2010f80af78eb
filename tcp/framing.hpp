#pragma once
// Messages in a stream: where one ends and the next begins. TCP does not say it; these are the two usual ways to.
//
//     line      "hello\n"                 a byte that no message contains ends it; CR LF is taken for LF
//     length    00 00 00 05 "hello"       its length in four bytes, high byte first; then any bytes at all
//
// A length is what a peer claims. It is compared with a limit before anything else is done with it.

#include "common/errors.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>

enum class Framing { line, length };

/// Throws UsageError.
inline Framing parse_framing(const std::string& name) {
    if (name == "line") return Framing::line;
    if (name == "length") return Framing::length;
    throw UsageError(fmt::format("--framing {}: expected line or length", escaped(name)));
}

/// Bytes that are no message, or that make none. what() says why, and what probably happened.
class FramingError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

constexpr std::size_t length_size = sizeof(std::uint32_t);

/// Below 2^24, so that a length begins with a byte 0, which no text has: so each framing knows the other when it sees
/// it.
constexpr long most_limit = (1L << 24U) - 1;

/// A message as it travels. Throws FramingError if it is too long, or can't be a line.
inline std::string framed(Framing framing, std::string_view message, std::size_t limit) {
    if (message.size() > limit) {
        throw FramingError(fmt::format("a message of {} bytes is not sent: --limit {}", message.size(), limit));
    }
    if (framing == Framing::line) {
        if (message.find_first_of({"\0\n", 2}) != std::string_view::npos) {
            throw FramingError("a message with a byte 0 or a newline in it is no line: --framing length can carry it");
        }
        return std::string(message) + '\n';
    }
    const std::uint32_t length = htonl(static_cast<std::uint32_t>(message.size()));
    return std::string(reinterpret_cast<const char*>(&length), sizeof length) + std::string(message);
}

/// Takes bytes in whatever pieces they arrive, and gives messages. What it keeps is one message and one piece at most.
class MessageReader {
public:
    MessageReader(Framing framing, std::size_t limit) : framing_(framing), limit_(limit) {}

    void add(std::string_view bytes) {
        buffer_.erase(0, begin_);
        searched_ -= begin_;
        begin_ = 0;
        buffer_ += bytes;
    }

    /// The next whole message, if there is one. Throws FramingError; there are no messages after that.
    std::optional<std::string> next() { return framing_ == Framing::line ? next_line() : next_of_length(); }

    /// To be asked when the stream has ended: what its last line was, if no newline ended it. Throws FramingError if
    /// the stream ended within a message.
    std::optional<std::string> last() {
        if (waiting() == 0) return {};
        if (framing_ == Framing::line) return checked_line(buffer_.substr(begin_));
        const std::string claimed =
            waiting() < length_size ? "of a length" : fmt::format("of a message of {}", length_size + length());
        throw FramingError(fmt::format("the stream ends within a message: there are {} bytes {}{}", waiting(), claimed,
                                       is_text() ? ", and they look like text: --framing line at the other end?" : ""));
    }

    /// How many bytes there are of a message that is not whole yet.
    std::size_t waiting() const { return buffer_.size() - begin_; }

private:
    std::optional<std::string> next_line() {
        const std::size_t newline = buffer_.find('\n', searched_);
        const std::size_t end = std::min(newline, buffer_.size());
        if (std::find(buffer_.begin() + static_cast<long>(searched_), buffer_.begin() + static_cast<long>(end), '\0') !=
            buffer_.begin() + static_cast<long>(end)) {
            throw FramingError("there is a byte 0 in a line, which is text: --framing length at the other end?");
        }
        searched_ = end;  // a line that comes byte by byte is not searched from its beginning each time
        if (newline == std::string::npos) {
            if (waiting() > limit_ + 1) checked_line(buffer_.substr(begin_));  // 1 for the CR of a CR LF
            return {};
        }
        std::string line = buffer_.substr(begin_, newline - begin_);
        if (!line.empty() && line.back() == '\r') line.pop_back();
        begin_ = searched_ = newline + 1;
        return checked_line(std::move(line));
    }

    std::string checked_line(std::string line) const {
        if (line.size() <= limit_) return line;
        throw FramingError(fmt::format("a line of more than {} bytes, which is the --limit", limit_));
    }

    std::optional<std::string> next_of_length() {
        if (waiting() < length_size) return {};
        if (length() > limit_) {
            throw FramingError(fmt::format(
                "a message of {} bytes is announced, and --limit is {}{}", length(), limit_,
                is_text() ? fmt::format("; but its length is the text \"{}\": --framing line at the other end?",
                                        escaped(std::string_view(buffer_).substr(begin_, length_size)))
                          : ""));
        }
        if (waiting() < length_size + length()) return {};
        std::string message = buffer_.substr(begin_ + length_size, length());
        begin_ = searched_ = begin_ + length_size + message.size();
        return message;
    }

    std::uint32_t length() const {
        std::uint32_t length = 0;  // copied: a uint32_t must not lie just anywhere in memory
        std::memcpy(&length, buffer_.data() + begin_, sizeof length);
        return ntohl(length);
    }

    /// Do the first four bytes, or those that there are, look like text (ASCII or UTF-8)?
    bool is_text() const {
        const std::string_view first = std::string_view(buffer_).substr(begin_, length_size);
        return std::all_of(first.begin(), first.end(), [](unsigned char c) {
            return std::isprint(c) != 0 || std::isspace(c) != 0 || (c >= 0x80 && c < 0xF5);
        });
    }

    Framing framing_;
    std::size_t limit_;
    std::string buffer_;
    std::size_t begin_ = 0;     // of the first message that is not taken yet
    std::size_t searched_ = 0;  // up to here there is no newline behind it
};
