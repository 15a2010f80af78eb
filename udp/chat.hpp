#pragma once
// The datagrams of udp/chat, and who is in the room, as far as one of them can tell. All numbers in network order:
//
//      0       4      5             6      10      14
//     +-------+------+-------------+------+-------+------+------
//     | magic | kind | name length | peer | lines | name | text
//     +-------+------+-------------+------+-------+------+------
//
//     join   somebody has come: all others answer with a beat, each after a moment of its own choice
//     beat   still here
//     line   text: what was said
//     leave  goodbye
//     lines  how many lines the sender has said, this one included: a gap tells of lines that were lost
//
// Nobody is in charge, so everybody keeps a list: who is heard is here, who has left or is silent for long is not.
// Nothing here proves who somebody is: a name is a claim.

#include "common/errors.hpp"
#include "common/fields.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace group_chat {

enum class Kind : std::uint8_t { join = 1, beat = 2, line = 3, leave = 4 };

constexpr std::uint32_t magic = 0x32544331;  // "2TC1"
constexpr std::size_t header_size = 14;
constexpr std::size_t longest_name = 20;    // characters
constexpr std::size_t longest_line = 1000;  // bytes: fits into one packet of every link
constexpr std::size_t most_peers = 64;

struct Message {
    Kind kind = Kind::beat;
    std::uint32_t peer = 0;  ///< chosen at random: tells programs at one address apart, and runs of one program
    std::uint32_t lines = 0;
    std::string_view name = {};
    std::string_view text = {};
};

/// Returns what is wrong with a name, or "". Letters, digits, '-', '_' and Hangul syllables: nothing that looks like
/// something else on a screen.
inline std::string complaint_about(std::string_view name) {
    std::size_t characters = 0;
    for (std::size_t i = 0; i < name.size(); ++characters) {
        const auto byte = [&](std::size_t at) { return at < name.size() ? static_cast<unsigned char>(name[at]) : 0U; };
        const bool plain = (name[i] >= 'a' && name[i] <= 'z') || (name[i] >= 'A' && name[i] <= 'Z') ||
                           (name[i] >= '0' && name[i] <= '9') || name[i] == '-' || name[i] == '_';
        const std::uint32_t code = (byte(i) & 0x0FU) << 12U | (byte(i + 1) & 0x3FU) << 6U | (byte(i + 2) & 0x3FU);
        const bool syllable = (byte(i) & 0xF0U) == 0xE0U && (byte(i + 1) & 0xC0U) == 0x80U &&
                              (byte(i + 2) & 0xC0U) == 0x80U && code >= 0xAC00 && code <= 0xD7A3;
        if (!plain && !syllable) return "a name has letters, digits, '-' and '_'";
        i += syllable ? 3 : 1;
    }
    if (characters == 0 || characters > longest_name) return fmt::format("a name has 1 to {} characters", longest_name);
    return "";
}

inline std::string to_bytes(const Message& message) {
    FieldWriter out;
    out.u32(magic).u8(static_cast<std::uint8_t>(message.kind)).u8(static_cast<std::uint8_t>(message.name.size()));
    out.u32(message.peer).u32(message.lines).bytes(message.name).bytes(message.text);
    return out.str();
}

/// Nothing if it is of no chat. Refers to the bytes.
inline std::optional<Message> parse(std::string_view bytes) {
    FieldReader in(bytes);
    const bool ours = in.u32() == magic;
    const std::uint8_t kind = in.u8(), name_length = in.u8();
    Message message;
    message.kind = static_cast<Kind>(kind);
    message.peer = in.u32();
    message.lines = in.u32();
    message.name = in.bytes(name_length);
    if (!ours || !in.whole() || kind < 1 || kind > 4 || in.left() > longest_line) return {};
    if (!complaint_about(message.name).empty()) return {};
    message.text = in.rest();
    const bool has_text = !message.text.empty(), may_have_text = message.kind == Kind::line;
    if (has_text != may_have_text || (may_have_text && message.lines == 0)) return {};
    return message;
}

using Time = std::chrono::steady_clock::time_point;

/// So many at once, and so many a second from then on.
class Allowance {
public:
    Allowance(double at_once, double each_second) : most_(at_once), left_(at_once), each_second_(each_second) {}

    bool take(Time now) {
        if (last_) left_ = std::min(most_, left_ + each_second_ * std::chrono::duration<double>(now - *last_).count());
        last_ = now;
        if (left_ < 1) return false;
        left_ -= 1;
        return true;
    }
    /// Milliseconds until take() is true again.
    std::chrono::milliseconds wait() const {
        return std::chrono::milliseconds(left_ >= 1 ? 0 : static_cast<long>((1 - left_) / each_second_ * 1000) + 1);
    }

private:
    double most_, left_, each_second_;
    std::optional<Time> last_;
};

/// How much a chat sends at the most, and how much of each other one it shows: a bit more, since datagrams arrive
/// unevenly.
inline Allowance sending_allowance() { return {20, 5}; }
inline Allowance hearing_allowance() { return {40, 10}; }

/// All others, as they are known from what they send.
class Room {
public:
    Room(std::string name, std::uint32_t peer) : name_(std::move(name)), peer_(peer) {}

    /// Takes a message from an address. Returns the lines to be shown, none of which can do harm to a terminal.
    std::vector<std::string> hear(const std::string& from, const Message& message, Time now) {
        std::vector<std::string> lines;
        if (message.peer == peer_) return lines;  // our own, which the group brings us, too
        auto other = std::find_if(others_.begin(), others_.end(),
                                  [&](const Other& one) { return one.peer == message.peer && one.address == from; });
        if (other == others_.end()) {
            if (message.kind == Kind::leave) return lines;
            if (others_.size() >= most_peers) {
                if (!std::exchange(told_full_, true))
                    lines.push_back(fmt::format("* more than {} are here: the others are not heard", most_peers));
                return lines;
            }
            // What was said before we heard of it is not lost: we were not there.
            const std::uint32_t before = message.kind == Kind::line ? message.lines - 1 : message.lines;
            others_.push_back({from, message.peer, std::string(message.name), before, now});
            other = others_.end() - 1;
            tell(lines, now, label(*other), message.kind == Kind::join ? "has come" : "is here");
        }
        other->heard = now;
        wants_answer_ = wants_answer_ || message.kind == Kind::join;
        if (message.lines > other->lines) hear_line(*other, message, lines, now);
        if (message.kind == Kind::leave) {
            tell(lines, now, label(*other), "has left");
            others_.erase(other);
            told_full_ = false;
        }
        return lines;
    }

    /// Gives up those who were not heard for so long. Returns what is to be shown.
    std::vector<std::string> notice_silence(std::chrono::milliseconds limit, Time now) {
        std::vector<std::string> lines;
        for (std::size_t i = 0; i < others_.size();) {
            if (now - others_[i].heard <= limit) {
                ++i;
                continue;
            }
            const double seconds = std::chrono::duration<double>(limit).count();
            tell(lines, now, label(others_[i]), fmt::format("was silent for {:g} s: gone, it seems", seconds));
            others_.erase(others_.begin() + static_cast<long>(i));
            told_full_ = false;
        }
        return lines;
    }

    /// Has somebody come who does not know of us? Asked once.
    bool wants_answer() { return std::exchange(wants_answer_, false); }

    std::string who() const {
        std::string text = fmt::format("* here: {} (you)", name_);
        for (const Other& one : others_)
            text += ", " + label(one);
        return text;
    }

    std::size_t size() const { return others_.size(); }

private:
    struct Other {
        std::string address;
        std::uint32_t peer;
        std::string name;     // the first that it gave
        std::uint32_t lines;  // the last that was heard
        Time heard;
        Allowance allowance = hearing_allowance();
        bool told_too_loud = false, passed_over = false;
    };

    /// A name, and where several have it, whose.
    std::string label(const Other& other) const {
        const auto same =
            std::count_if(others_.begin(), others_.end(), [&](const Other& one) { return one.name == other.name; });
        return same > 1 || other.name == name_ ? other.name + "@" + other.address : other.name;
    }

    /// Of comings and goings not more than can be read, whoever makes them up.
    void tell(std::vector<std::string>& lines, Time now, const std::string& who, const std::string& what) {
        if (comings_.take(now)) lines.push_back(fmt::format("* {} {}", who, what));
    }

    void hear_line(Other& other, const Message& message, std::vector<std::string>& lines, Time now) {
        if (!other.allowance.take(now)) {
            if (!std::exchange(other.told_too_loud, true))
                lines.push_back(fmt::format("* {} says too much: not all of it is shown", label(other)));
            other.passed_over = true;
            return;
        }
        const std::uint32_t missed = message.lines - other.lines - (message.kind == Kind::line ? 1 : 0);
        const bool passed_over = std::exchange(other.passed_over, false);
        other.lines = message.lines;
        if (missed > 0)
            lines.push_back(fmt::format("* {} of {}'s lines {}", missed, label(other),
                                        passed_over ? "were passed over" : "got lost"));
        if (message.kind == Kind::line) lines.push_back(fmt::format("<{}> {}", label(other), escaped(message.text)));
    }

    std::string name_;
    std::uint32_t peer_;
    std::vector<Other> others_;
    Allowance comings_{64, 4};
    bool told_full_ = false, wants_answer_ = false;
};

}  // namespace group_chat
