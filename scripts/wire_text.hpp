#pragma once
// The diagram for a terminal: in 100 columns, or as many as it has, with lines of Unicode's or in ASCII.

#include "scripts/wire_layout.hpp"

#include <limits>

namespace diagram {

struct TextStyle {
    bool ascii = false;
    std::size_t most_rows = 0;                                         ///< more are left out in the middle; 0: none are
    std::size_t width = 100;                                           ///< in columns, from 80
    std::int64_t new_from = std::numeric_limits<std::int64_t>::max();  ///< rows of that time and later ones are bold
};

/// Draws rows into lines.
class TextDrawing {
public:
    TextDrawing(const Diagram& diagram, const TextStyle& style)
        : diagram_(diagram),
          style_(style),
          between_(std::clamp<std::size_t>(style.width / 3, 27, 37)),
          column_((std::max<std::size_t>(style.width, 80) - between_ - 11) / 2) {}

    std::string draw() {
        head();
        const std::size_t count = diagram_.rows.size();
        const Fold fold = fold_of(count, style_.most_rows);
        for (std::size_t i = 0; i < count; ++i) {
            if (!fold.hides(i, count)) draw(diagram_.rows[i]);
            if (fold.hides(i, count) && i == fold.first)
                text_ += fmt::format("{:6} ... {} more rows (--all shows them)\n", "", count - fold.first - fold.last);
        }
        for (const std::string& note : diagram_.notes) {
            for (const std::string& line : wrapped(plain(note), style_.width))
                text_ += line + "\n";
        }
        return std::move(text_);
    }

private:
    std::string plain(const std::string& text) const {
        if (!style_.ascii) return text;
        std::string ascii;
        for (std::size_t at = 0; at < text.size();) {
            const auto [c, size] = character_at(text, at);
            ascii += c < 0x80 ? std::string(1, static_cast<char>(c)) : std::string(columns_of(c), '?');
            at += size;
        }
        return ascii;
    }

    static std::string padded(const std::string& text, std::size_t width) {
        const std::size_t used = width_of(text);
        return text + std::string(used < width ? width - used : 0, ' ');
    }

    std::string line_of(bool busy) const {
        if (style_.ascii) return busy ? "#" : "|";
        return busy ? "┃" : "│";
    }
    std::string dash() const { return style_.ascii ? "-" : "─"; }
    std::string dashes(std::size_t count) const {
        std::string text;
        while (count-- > 0)
            text += dash();
        return text;
    }

    void put(const std::string& time, const std::string& left, const std::string& middle, const std::string& right,
             const bool* busy) {
        std::string line = fmt::format("{:6} {} {}{}{} {}", time, padded(plain(left), column_), line_of(busy[0]),
                                       padded(middle, between_), line_of(busy[1]), plain(right));
        line.erase(line.find_last_not_of(' ') + 1);
        text_ += is_new_ ? "\033[1m" + line + "\033[0m\n" : line + "\n";
    }

    void head() {
        const std::string middle = diagram_.has_middle ? centred("trouble") : "";
        text_ += fmt::format("{:>6} {}  {}  {}\n", "ms", padded("server", column_), padded(middle, between_), "client");
    }

    std::string centred(const std::string& text) const {
        const std::size_t width = width_of(text);
        return width >= between_ ? text : std::string((between_ - width) / 2, ' ') + text;
    }

    void draw(const Row& row) {
        const std::string time = time_text(diagram_, row.time);
        is_new_ = row.time >= style_.new_from;
        if (row.arrow != nothing) return draw_arrow(time, diagram_.events[static_cast<std::size_t>(row.arrow)], row);
        const bool busy[2] = {row.busy[0] || row.cell(Side::server).event != nothing,
                              row.busy[1] || row.cell(Side::client).event != nothing};
        const bool states[2] = {is_state(row.cell(Side::server)), is_state(row.cell(Side::client))};
        const bool shown[2] = {states[0] ? row.busy[0] : busy[0], states[1] ? row.busy[1] : busy[1]};
        put(states[0] || states[1] ? "" : time, text_of(row.cell(Side::server)), idle_middle(),
            text_of(row.cell(Side::client)), shown);
    }

    /// "fd 4 ESTABLISHED→CLOSE_WAIT" just fits; "fd 4 →peer sends no more", where it does not.
    std::string text_of(const Cell& cell) const {
        if (!is_state(cell)) return cell_text(diagram_, cell, column_);
        std::string text = state_text(diagram_.events[static_cast<std::size_t>(cell.event)].text);
        if (const std::size_t arrow = text.find(" -> "); arrow != std::string::npos) {
            text.replace(arrow, 4, style_.ascii ? "->" : "→");
            const std::size_t before = text.find(' ', text.starts_with("fd ") ? 3 : 0) + 1;  // "fd 4 ", "(closed) "
            if (width_of(text) > column_ && before < arrow) text.erase(before, arrow - before);
        }
        const std::size_t used = width_of(text);
        return std::string(used < column_ ? std::min<std::size_t>(2, column_ - used) : 0, ' ') + cut(text, column_);
    }

    bool is_state(const Cell& cell) const {
        return cell.event != nothing && diagram_.events[static_cast<std::size_t>(cell.event)].kind == Kind::state;
    }

    std::string idle_middle() const {
        if (!diagram_.has_middle) return "";
        return std::string(between_ / 2, ' ') + line_of(false);
    }

    void draw_arrow(const std::string& time, const Event& event, const Row& row) {
        const bool to_server = event.side == Side::client;
        if (event.leg == Leg::whole) {
            const std::string label = label_text(event.label, between_ - 3);
            const std::size_t lines = between_ - width_of(label) - 3;
            const std::size_t before = lines / 2;
            std::string middle = dashes(before) + " " + label + " " + dashes(lines - before);
            middle = to_server ? head_of(event) + middle : middle + head_of(event);
            put(time, "", middle, "", row.busy);
        } else {
            draw_leg(time, event, to_server, row);
        }
        for (const std::string& detail : event.details) {
            std::string text = cut(plain(detail), between_ - 2);
            if (event.leg == Leg::whole) text = centred(text);
            if (event.leg == Leg::of_client) text.insert(0, between_ - std::min(between_, width_of(text)), ' ');
            put("", "", text, "", row.busy);
        }
    }

    /// A long one loses the words that can be spared: "PSH,ACK 65537+65483 ack 1" for "PSH,ACK seq 65537 len 65483 ack
    /// 1", and its window.
    std::string label_text(std::string label, std::size_t most) const {
        const std::size_t seq = label.find(" seq "), length = label.find(" len ");
        if (width_of(label) > most && seq != std::string::npos && length != std::string::npos)
            label.replace(length, 5, "+").replace(seq, 5, " ");
        if (width_of(label) > most && label.starts_with("PSH,")) label.erase(0, 4);
        if (width_of(label) > most) label.erase(std::min(label.find(" win "), label.size()));
        return cut(plain(label), most);
    }

    std::string head_of(const Event& event) const {
        if (event.dropped) return style_.ascii ? "x" : "×";
        return event.side == Side::client ? "<" : ">";
    }

    /// Between one side and the middle: what it is above, and the arrow below.
    void draw_leg(const std::string& time, const Event& event, bool to_server, const Row& row) {
        const std::string label = label_text(event.label, between_);
        const std::size_t left = between_ / 2, right = between_ - left - 1;  // of the middle's own column
        const std::string head = head_of(event);
        const bool of_client = event.leg == Leg::of_client;
        const std::string lines = dashes(of_client ? right : left);
        const std::string arrow = std::string(of_client ? left : 0, ' ') + (to_server ? head + lines : lines + head);
        put(time, "", std::string(of_client ? between_ - width_of(label) : 0, ' ') + label, "", row.busy);
        put("", "", arrow, "", row.busy);
    }

    const Diagram& diagram_;
    TextStyle style_;
    std::size_t between_, column_;  // in columns, of what stands between the sides, and of each of them
    bool is_new_ = false;
    std::string text_;
};

}  // namespace diagram
