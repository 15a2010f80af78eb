#pragma once
// The diagram as rows: what stands in the server's column, in the client's, and between them, one below the other in
// the order of time. The text, the page and the tests all draw or compare these rows.

#include "scripts/wire_events.hpp"

#include <array>

namespace diagram {

/// What stands in a column: a call with its result if nothing came between, a call alone, its result, or a state.
struct Cell {
    long event = nothing;   ///< the call, or the state; nothing: the column is empty
    long result = nothing;  ///< of a call
    bool begins = false;    ///< the call stands here
    bool fails = false;     ///< and with it that it failed
};

struct Row {
    std::int64_t time = 0;
    Cell cells[2];                  ///< by Side
    long arrow = nothing;           ///< the packet or message
    bool busy[2] = {false, false};  ///< is a call of this side under way, from here to the next row?
    const Cell& cell(Side side) const { return cells[static_cast<std::size_t>(side)]; }
};

struct Diagram {
    std::string pair;  ///< "tcp/echo"
    std::vector<std::string> notes;
    bool has_middle = false;
    bool captured = false;  ///< are the arrows packets?
    Events events;
    std::vector<Row> rows;
};

/// Does a state's line tell of another state than before? "fd 4  ESTABLISHED -> CLOSE_WAIT", "fd 4  new TCP socket:
/// ...".
inline bool is_change(const std::string& text) {
    if (text.find(" socket: ") != std::string::npos) return true;
    const std::size_t arrow = text.find(" -> ");
    if (arrow == std::string::npos || arrow == 0) return false;
    // Counts change, too: "unread 0 -> 6".
    return std::isdigit(static_cast<unsigned char>(text[arrow - 1])) == 0 ||
           text.find("WAIT_1 -> ") != std::string::npos || text.find("WAIT_2 -> ") != std::string::npos;
}

/// "fd 4 ESTABLISHED -> CLOSE_WAIT" of a state's line; "fd 4 new: ESTABLISHED" of a socket that was not there before.
inline std::string state_text(const std::string& text) {
    const std::size_t first = text.find("  ");
    if (first == std::string::npos) return text;
    std::string rest = text.substr(first + 2);
    const std::size_t end = rest.find("  ");
    rest = rest.substr(0, std::min(end, rest.find(',')));
    const std::size_t socket = rest.find(" socket: ");
    if (rest.starts_with("new ") && socket != std::string::npos) rest = "new: " + rest.substr(socket + 9);
    return text.substr(0, first) + " " + rest;
}

/// Rows of all events; asides (is_aside) only if all are wanted.
inline std::vector<Row> lay_out(const Events& events, bool all = false) {
    std::vector<Row> rows;
    std::array<std::set<std::string>, 2> under_way;  // whose calls
    const auto shown = [&](const Event& event) {
        if (event.kind == Kind::state) return all || is_change(event.text);
        return event.kind == Kind::packet || event.kind == Kind::message || all || !is_aside(event);
    };
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < events.size(); ++i)
        if (shown(events[i])) order.push_back(i);
    for (std::size_t at = 0; at < order.size(); ++at) {
        const auto index = static_cast<long>(order[at]);
        const Event& event = events[order[at]];
        const auto side = static_cast<std::size_t>(event.side);
        Row row;
        row.time = event.time;
        Cell& cell = row.cells[side];
        const auto fails = [&](long result) {
            return result != nothing && events[static_cast<std::size_t>(result)].text.starts_with("= -1");
        };
        switch (event.kind) {
            case Kind::call: {
                const bool at_once = at + 1 < order.size() && static_cast<long>(order[at + 1]) == event.partner;
                cell = {.event = index, .result = at_once ? event.partner : nothing, .begins = true};
                if (at_once) ++at;
                if (!at_once) under_way[side].insert(event.who);
                cell.fails = fails(cell.result);
                break;
            }
            case Kind::result:
                if (event.partner == nothing) continue;
                cell = {.event = event.partner, .result = index, .begins = false, .fails = fails(index)};
                under_way[side].erase(event.who);
                break;
            case Kind::state:
                cell = {.event = index};
                break;
            default:
                row.arrow = index;
        }
        for (const std::size_t each : {0U, 1U})
            row.busy[each] = !under_way[each].empty();
        rows.push_back(row);
    }
    return rows;
}

/// Of a long run, the rows that are drawn: so many of the first, and so many of the last.
struct Fold {
    std::size_t first, last;
    bool hides(std::size_t row, std::size_t count) const { return row >= first && row < count - last; }
};

/// most: rows to be drawn; 0: all. A few more are no reason to leave out any.
inline Fold fold_of(std::size_t count, std::size_t most) {
    if (most == 0 || count <= most + most / 10) return {count, 0};
    return {most * 2 / 3, most - most * 2 / 3};
}

// ---- Text that fits

/// Columns that a character takes in a terminal: 2 of Korean and other wide ones (East Asian Width, UAX #11), else 1.
inline std::size_t columns_of(char32_t c) {
    const bool wide = (c >= 0x1100 && c <= 0x115F) || (c >= 0x2E80 && c <= 0xA4CF && c != 0x303F) ||
                      (c >= 0xAC00 && c <= 0xD7A3) || (c >= 0xF900 && c <= 0xFAFF) || (c >= 0xFE30 && c <= 0xFE6F) ||
                      (c >= 0xFF00 && c <= 0xFF60) || (c >= 0xFFE0 && c <= 0xFFE6) || (c >= 0x1F300 && c <= 0x1FAFF) ||
                      (c >= 0x20000 && c <= 0x3FFFD);
    return wide ? 2 : 1;
}

/// The character at an offset of UTF-8 that escaped() has made, and how many bytes it has.
inline std::pair<char32_t, std::size_t> character_at(std::string_view text, std::size_t at) {
    const auto first = static_cast<unsigned char>(text[at]);
    const std::size_t size = first < 0x80 ? 1 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    char32_t c = size == 1 ? first : first & (0xFFU >> (size + 1));
    for (std::size_t i = 1; i < size && at + i < text.size(); ++i)
        c = c << 6U | (static_cast<unsigned char>(text[at + i]) & 0x3FU);
    return {c, std::min(size, text.size() - at)};
}

inline std::size_t width_of(std::string_view text) {
    std::size_t width = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto [c, size] = character_at(text, at);
        width += columns_of(c);
        at += size;
    }
    return width;
}

/// The beginning of a text, in at most so many columns, with ".." where it was cut.
inline std::string cut(const std::string& text, std::size_t most) {
    if (width_of(text) <= most) return text;
    std::string piece;
    std::size_t width = 0;
    for (std::size_t at = 0; at < text.size();) {
        const auto [c, size] = character_at(text, at);
        if (width + columns_of(c) + 2 > most) break;
        width += columns_of(c);
        piece += text.substr(at, size);
        at += size;
    }
    return piece + "..";
}

/// A text in lines of at most so many columns, broken at blanks where there are any.
inline std::vector<std::string> wrapped(const std::string& text, std::size_t most) {
    std::vector<std::string> lines{""};
    for (std::size_t begin = 0; begin < text.size();) {
        const std::size_t end = std::min(text.find(' ', begin), text.size());
        const std::string word = cut(text.substr(begin, end - begin), most - 2);
        const bool first = lines.back().empty();
        if (!first && width_of(lines.back()) + 1 + width_of(word) > most) {
            lines.push_back("  " + word);
        } else {
            lines.back() += (first ? "" : " ") + word;
        }
        begin = end + 1;
    }
    return lines;
}

/// The arguments of a call as written: those of "f(a, g(b, c), d)" are "a", "g(b, c)" and "d".
inline std::vector<std::string> arguments_of(const std::string& call) {
    std::vector<std::string> arguments;
    const std::size_t open = call.find('('), close = call.rfind(')');
    if (open == std::string::npos || close == std::string::npos || close <= open + 1) return arguments;
    int depth = 0;
    std::string argument;
    for (const char c : call.substr(open + 1, close - open - 1)) {
        depth += c == '(' || c == '{' || c == '[' ? 1 : c == ')' || c == '}' || c == ']' ? -1 : 0;
        if (c == ',' && depth == 0) {
            arguments.push_back(std::exchange(argument, ""));
            continue;
        }
        if (c != ' ' || !argument.empty()) argument += c;
    }
    arguments.push_back(argument);
    return arguments;
}

/// A call in at most so many columns: as many of its arguments as there is room for, and ".." for the others. Constants
/// like SHUT_WR say most, then the first.
inline std::string abridged(const std::string& call, std::size_t most) {
    const std::size_t open = call.find('(');
    if (width_of(call) <= most || open == std::string::npos) return cut(call, most);
    const std::vector<std::string> arguments = arguments_of(call);
    std::set<std::size_t> kept;
    bool tight = false;
    const auto text = [&] {
        std::string inner;
        for (std::size_t i = 0; i < arguments.size(); ++i) {
            const bool gap = kept.count(i) == 0;
            if (gap && inner.ends_with("..")) continue;
            const bool comma = !inner.empty() && !(tight && (gap || inner.ends_with("..")));
            inner += (comma ? ", " : "") + (gap ? ".." : arguments[i]);
        }
        return call.substr(0, open + 1) + inner + ")";
    };
    const auto is_telling = [](const std::string& argument) {
        for (const char* prefix : {"SOCK_", "SHUT_", "SO_", "TCP_", "IP_", "IPV6_", "MSG_"})
            if (argument.starts_with(prefix)) return true;
        return false;
    };
    const auto keep_if_it_fits = [&](std::size_t i) {
        if (!kept.insert(i).second) return;
        if (width_of(text()) > most) kept.erase(i);
    };
    for (std::size_t i = 0; i < arguments.size(); ++i) {
        if (!is_telling(arguments[i])) continue;
        tight = false;
        keep_if_it_fits(i);
        tight = kept.count(i) == 0;
        keep_if_it_fits(i);
        if (kept.count(i) != 0) break;
    }
    tight = tight && !kept.empty();
    if (kept.empty() && !arguments.empty()) keep_if_it_fits(0);
    return cut(text(), most);
}

/// What stands in a cell, in at most so many columns.
inline std::string cell_text(const Diagram& diagram, const Cell& cell, std::size_t most) {
    if (cell.event == nothing) return "";
    const Event& event = diagram.events[static_cast<std::size_t>(cell.event)];
    if (event.kind == Kind::state) {
        const std::string text = state_text(event.text);
        const std::size_t used = width_of(text);
        return std::string(used < most ? std::min<std::size_t>(2, most - used) : 0, ' ') + cut(text, most);
    }
    const std::string who = event.who.empty() ? "" : event.who + ": ";
    const std::string result =
        cell.result == nothing ? "" : brief_result(diagram.events[static_cast<std::size_t>(cell.result)].text);
    if (!cell.begins) return cut(who + "  " + event.name + " " + result, most);
    const std::string end = result.empty() ? "" : " " + result;
    const std::size_t used = who.size() + end.size();
    const std::string& text = event.text;
    return cut(who + abridged(text.starts_with("::") ? text.substr(2) : text, most > used ? most - used : 0) + end,
               most);
}

/// Milliseconds since the first event, in at most six columns.
inline std::string time_text(const Diagram& diagram, std::int64_t time) {
    const double milliseconds = static_cast<double>(time - diagram.rows.front().time) / 1e6;
    if (milliseconds >= 999'999.5) return fmt::format("{:5.0f}s", milliseconds / 1e3);  // of a lecture, perhaps
    const int digits = milliseconds < 99.9995 ? 3 : milliseconds < 999.995 ? 2 : milliseconds < 9999.95 ? 1 : 0;
    return fmt::format("{:6.{}f}", milliseconds, digits);
}

}  // namespace diagram
