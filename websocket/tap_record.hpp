#pragma once
// The tap's records (protocol/observer.hpp) as lines: of JSON, both ways, and of text for a terminal.

#include "common/errors.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/observer.hpp"
#include "websocket/protocol/utf8.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <array>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace websocket {

constexpr std::array<const char*, 11> kind_names = {"open", "segment", "http", "handshake", "frame", "message",
                                                    "raw",  "gap",     "note", "end",       "over"};

/// Bytes that are not text: hexadecimal in JSON.
template <typename String>
struct AsHex {
    String& bytes;
};

/// The one list of what a record has in JSON, for writing (of a const record) and reading. What is zero, false or empty
/// is left out.
template <typename R, typename Visit>
void visit_fields(R& record, Visit visit) {
    using String = std::conditional_t<std::is_const_v<R>, const std::string, std::string>;
    visit("record", record.number);
    visit("connection", record.connection);
    visit("time", record.time);
    visit("index", record.index);
    visit("offset", record.offset);
    visit("size", record.size);
    visit("from", record.from);
    visit("at", record.at);
    visit("begins", record.begins);
    visit("ends", record.ends);
    visit("missing", record.missing);
    visit("whole", record.whole);
    visit("line", record.line);
    visit("fields", record.fields);
    visit("key", record.key);
    visit("accept", record.accept);
    visit("expected", record.expected);
    visit("extensions", record.extensions);
    visit("protocol", record.protocol);
    visit("accepted", record.accepted);
    visit("fin", record.header.fin);
    visit("rsv1", record.header.rsv1);
    visit("rsv2", record.header.rsv2);
    visit("rsv3", record.header.rsv3);
    visit("opcode", record.header.opcode);
    visit("mask", record.header.masked);
    visit("length", record.header.length);
    visit("masking_key", record.header.key);
    visit("head", AsHex<String>{record.head});
    visit("payload", AsHex<String>{record.payload});
    visit("plain", AsHex<String>{record.plain});
    visit("message", record.message);
    visit("fragment", record.fragment);
    visit("first_segment", record.first_segment);
    visit("last_segment", record.last_segment);
    visit("round_trip", record.round_trip);
    visit("answers", record.answers);
    visit("code", record.code);
    visit("reason", record.reason);
    visit("fragments", record.fragments);
    visit("compressed", record.compressed);
    visit("inflated", record.inflated);
    visit("between", record.between);
    visit("how", record.how);
    visit("first", record.first);
    visit("text", record.text);
    visit("problems", record.problems);
}

// ---- JSON

constexpr std::uint64_t most_time = std::uint64_t{1} << 53U;  // microseconds

/// One line, without its end. What came from a peer is hexadecimal or escaped(), and so the line is ASCII or UTF-8.
inline std::string json_of(const Record& record) {
    nlohmann::ordered_json json;
    json["kind"] = kind_names.at(static_cast<std::size_t>(record.kind));
    if (record.kind != Record::Kind::open && record.kind != Record::Kind::over)
        json["direction"] = record.direction == Direction::up ? "up" : "down";
    const bool frame = record.kind == Record::Kind::frame;
    const auto digits = [](std::string_view bytes) {
        std::string text;
        for (const char byte : bytes)
            text += fmt::format("{:02x}", static_cast<unsigned char>(byte));
        return text;
    };
    visit_fields(record, [&](std::string_view name, const auto& value) {
        using Value = std::decay_t<decltype(value)>;
        const std::string key(name);
        if constexpr (std::is_same_v<Value, AsHex<const std::string>>) {
            if (!value.bytes.empty()) json[key] = digits(value.bytes);
        } else if constexpr (std::is_same_v<Value, MaskingKey>) {
            if (frame && record.header.masked)
                json[key] = digits({reinterpret_cast<const char*>(value.data()), value.size()});
        } else if constexpr (std::is_same_v<Value, Opcode>) {
            if (frame || record.kind == Record::Kind::message) json[key] = static_cast<unsigned>(value);
        } else if constexpr (std::is_same_v<Value, bool>) {
            // FIN, RSV and MASK of a frame are there also where they are 0.
            const bool bit = &value >= &record.header.fin && &value <= &record.header.masked;
            if (bit ? frame : value) json[key] = value;
        } else if constexpr (std::is_arithmetic_v<Value>) {
            if (name == "length" ? frame : name == "round_trip" ? value >= 0 : value != 0) json[key] = value;
        } else {
            if (!value.empty()) json[key] = value;
        }
    });
    return json.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

/// Throws std::runtime_error with one line on what is no record.
inline Record record_of_json(std::string_view line) try {
    const nlohmann::json json = nlohmann::json::parse(line);
    Record record;
    const std::string& kind = json.at("kind").get_ref<const std::string&>();
    std::size_t number = 0;
    while (number < kind_names.size() && kind != kind_names.at(number))
        ++number;
    if (number == kind_names.size()) throw std::runtime_error("an unknown kind: " + escaped(kind));
    record.kind = static_cast<Record::Kind>(number);
    if (const auto direction = json.find("direction"); direction != json.end())
        record.direction = *direction == "down" ? Direction::down : Direction::up;
    visit_fields(record, [&](std::string_view name, auto&& value) {
        using Value = std::decay_t<decltype(value)>;
        const auto found = json.find(std::string(name));
        if (found == json.end()) return;
        if constexpr (std::is_same_v<Value, AsHex<std::string>>) {
            value.bytes = bytes_of_hex(found->template get_ref<const std::string&>());
        } else if constexpr (std::is_same_v<Value, MaskingKey>) {
            const std::string key = bytes_of_hex(found->template get_ref<const std::string&>());
            if (key.size() != value.size()) throw std::runtime_error("a masking key has four bytes");
            std::copy(key.begin(), key.end(), value.begin());
        } else if constexpr (std::is_same_v<Value, Opcode>) {
            if (!found->is_number_unsigned()) throw std::runtime_error("an opcode that is no number");
            value = static_cast<Opcode>(found->template get<unsigned>() & 0xFU);
        } else if constexpr (std::is_arithmetic_v<Value> && !std::is_same_v<Value, bool>) {
            // No fractions, and no times that can't be subtracted.
            const bool fits = std::is_unsigned_v<Value>
                                  ? found->is_number_unsigned()
                                  : found->is_number_unsigned() && found->template get<std::uint64_t>() <= most_time;
            if (!fits) throw std::runtime_error(fmt::format("{} is out of range", name));
            value = found->template get<Value>();
        } else {
            value = found->template get<Value>();
        }
    });
    if (record.kind == Record::Kind::frame) {  // its fields are those of its bytes, whatever else the line says
        const auto second = record.head.size() < 2 ? 0U : static_cast<unsigned char>(record.head[1]);
        const std::size_t extended = (second & 0x7FU) == 127 ? 8 : (second & 0x7FU) == 126 ? 2 : 0;
        if (record.head.size() != 2 + extended + ((second & 0x80U) != 0 ? 4U : 0U))
            throw std::runtime_error("a frame without its header");
        parse_header(record.head, record.header);
        if (record.header.masked) std::copy(record.head.end() - 4, record.head.end(), record.header.key.begin());
    }
    return record;
} catch (const std::invalid_argument& error) {  // of bytes_of_hex()
    throw std::runtime_error(error.what());
} catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(escaped(error.what()));
}

// ---- Text

/// What a terminal shows.
struct TextWishes {
    bool brief = false;  ///< no segments, no fields of HTTP, no bytes
    bool bits = false;   ///< frames bit by bit
    bool all = false;    ///< segments also where they are one frame
};

/// A peer's text is escaped() in a record already; but a record may come from a file that anybody has written.
inline std::string printable(std::string_view text) {
    std::string result;
    for (;;) {
        const std::size_t end = std::min(text.find('\\'), text.size());
        result += escaped(text.substr(0, end));
        if (end == text.size()) return result;
        result += '\\';
        text.remove_prefix(end + 1);
    }
}

/// A segment that is not exactly one frame, or head: where the pieces of the stream and what is in it differ.
inline bool is_askew(const Record& segment) {
    return !segment.begins.empty() || !segment.ends.empty() || segment.whole > 1;
}

inline std::string counted(std::uint64_t count, const char* what) {
    return fmt::format("{} {}{}", count, what, count == 1 ? "" : "s");
}

/// The first bytes of a text or of what may be one, in quotes; of others in hexadecimal.
inline std::string shown_bytes(std::string_view bytes, bool more, std::size_t most) {
    more = more || bytes.size() > most;
    bytes = bytes.substr(0, most);
    // A character that was cut is left out.
    std::string_view text = bytes;
    for (int i = 0; i < 3 && more && !is_utf8(text); ++i)
        text.remove_suffix(1);
    if (is_utf8(text)) return fmt::format("\"{}\"{}", escaped(text), more ? " ..." : "");
    return hex(bytes) + (more ? " ..." : "");
}

namespace record_text {

inline std::string segment(const Record& record) {
    std::string text = fmt::format("segment {}: {}", record.index, counted(record.size, "byte"));
    if (!record.begins.empty()) text += ", begins within a " + record.begins;
    if (record.whole != 1 || !is_askew(record)) text += ", ends " + counted(record.whole, "frame");
    if (!record.ends.empty()) text += ", ends within a " + record.ends;
    if (record.missing > 0) text += fmt::format(" of which {} missing", counted(record.missing, "byte"));
    return text;
}

inline std::string length_form(const FrameHeader& header, std::size_t head_size) {
    const std::size_t extended = head_size - 2 - (header.masked ? 4 : 0);
    return extended == 0 ? "7 bits" : fmt::format("7+{} bits", 8 * extended);
}

inline std::string frame(const Record& record) {
    const FrameHeader& header = record.header;
    std::string text = opcode_name(header.opcode);
    if (!is_known(header.opcode)) text += fmt::format(" opcode {:X}", static_cast<unsigned>(header.opcode));
    text += header.fin ? "  FIN" : "  fin 0";
    for (const auto& [set, name] : {std::pair{header.rsv1, "  RSV1"}, {header.rsv2, "  RSV2"}, {header.rsv3, "  RSV3"}})
        text += set ? name : "";
    text += header.masked ? "  MASK" : "  mask 0";
    text += fmt::format("  length {} ({})", header.length, length_form(header, record.head.size()));
    if (record.message > 0 && record.fragment > 0 && (record.fragment > 1 || !header.fin))
        text += fmt::format("  message {}, fragment {}", record.message, record.fragment);
    else if (record.message > 0 && record.fragment == 0)
        text += fmt::format("  within message {}", record.message);
    if (record.last_segment > record.first_segment)
        text += fmt::format("  segments {} to {}", record.first_segment, record.last_segment);
    if (record.code > 0)
        text += fmt::format("  {} ({}){}", record.code, close_code_meaning(record.code),
                            record.reason.empty() ? "" : " \"" + printable(record.reason) + "\"");
    if (record.round_trip >= 0)
        text += fmt::format("  answers ping frame {} after {:.3f} ms", record.answers,
                            static_cast<double>(record.round_trip) / 1000);
    else if (header.opcode == Opcode::pong)
        text += "  nobody asked";
    return text;
}

inline std::string message(const Record& record) {
    std::string text = fmt::format("message {}: {}, {}", record.index, opcode_name(record.header.opcode),
                                   counted(record.fragments, "frame"));
    if (record.between > 0) text += fmt::format(", {} between", counted(record.between, "control frame"));
    text += record.compressed
                ? fmt::format(", {} compressed, {} inflated", counted(record.size, "byte"), record.inflated)
                : ", " + counted(record.size, "byte");
    return text;
}

}  // namespace record_text

/// Lines for a terminal, each ended; "" of what it does not want. begin: the time that is called 0.
inline std::string text_of(const Record& record, std::int64_t begin, const TextWishes& wishes) {
    const FrameHeader& header = record.header;
    const char* arrow = record.direction == Direction::up ? "->" : "<-";
    const auto side = [&] { return record.direction == Direction::up ? "client" : "server"; };
    std::string first;
    std::vector<std::string> more;
    switch (record.kind) {
        case Record::Kind::open:
            arrow = "--";
            first = fmt::format("open, from {} to {}", printable(record.from), printable(record.at));
            break;
        case Record::Kind::segment:
            if (wishes.brief || (!wishes.all && !is_askew(record))) return "";
            first = record_text::segment(record);
            break;
        case Record::Kind::http:
            first = fmt::format("{}  ({})", printable(record.line), counted(record.size, "byte"));
            if (!wishes.brief)
                for (const std::string& field : record.fields)
                    more.push_back(printable(field));
            break;
        case Record::Kind::handshake:
            arrow = "--";
            if (!record.accepted) {
                first = "no WebSocket: " + printable(record.text);
                break;
            }
            first = fmt::format("WebSocket from here on{}{}", record.protocol.empty() ? "" : ", subprotocol ",
                                printable(record.protocol));
            if (!record.extensions.empty()) first += ", " + printable(record.extensions);
            if (!wishes.brief) {
                more.push_back(fmt::format("the key                {}", printable(record.key)));
                more.push_back(fmt::format("and the suffix (1.3)   {}", key_suffix));
                more.push_back(fmt::format("their SHA-1, base64    {}", printable(record.expected)));
                more.push_back(fmt::format("Accept, as it came     {}  {}", printable(record.accept),
                                           record.accept == record.expected ? "right" : "WRONG"));
            }
            break;
        case Record::Kind::frame:
            first = record_text::frame(record);
            if (wishes.brief) {
                // a message has a line of its own
                if (!is_control(header.opcode) && record.problems.empty()) return "";
            } else if (wishes.bits) {
                first += "\n" + tell_frame(std::string(arrow), header, record.head, record.payload);
                first.pop_back();
            } else {
                const bool cut = record.payload.size() < header.length;
                more.push_back(fmt::format("{:<9} {}", "header", hex(record.head)));
                const auto line = [&](const char* name, const std::string& bytes) {
                    if (bytes.empty()) return;
                    const std::string_view begins = std::string_view(bytes).substr(0, 24);
                    more.push_back(fmt::format("{:<9} {}{}", name, hex(begins),
                                               cut || bytes.size() > begins.size() ? " ..." : ""));
                };
                line(header.masked ? "masked" : "payload", record.payload);
                if (header.masked) line("unmasked", record.plain);
                if (header.opcode != Opcode::close && !record.compressed && !record.plain.empty())
                    more.push_back(fmt::format("{:<9} {}", "", shown_bytes(record.plain, cut, 60)));
            }
            break;
        case Record::Kind::message:
            if (!wishes.brief && record.fragments == 1 && !record.compressed && record.problems.empty()) return "";
            first = record_text::message(record);
            if (!record.plain.empty())
                more.push_back(shown_bytes(record.plain, record.plain.size() < record.inflated, 100));
            break;
        case Record::Kind::raw:
            if (wishes.brief) return "";
            first = fmt::format("{}{}", counted(record.size, "byte"), record.text.empty() ? "" : " of " + record.text);
            more.push_back(shown_bytes(record.plain, record.plain.size() < record.size, 60));
            break;
        case Record::Kind::gap:
            first = fmt::format("{} passed unseen: this program was too slow to look", counted(record.size, "byte"));
            break;
        case Record::Kind::note:
            first = printable(record.text);
            break;
        case Record::Kind::end:
            first = record.how == "refused" ? "no connection to the server"
                    : record.how == "RST"   ? fmt::format("RST: the {} has reset the connection", side())
                                            : fmt::format("FIN: the {} sends no more{}", side(),
                                                        record.first ? ", and is the first to say so" : "");
            break;
        case Record::Kind::over:
            arrow = "--";
            first = "over: " + printable(record.text);
            break;
    }
    std::string lines = fmt::format("{:10.6f} #{} {} {}\n", static_cast<double>(record.time - begin) / 1e6,
                                    record.connection, arrow, first);
    for (const std::string& line : more)
        lines += fmt::format("{:17}{}\n", "", line);
    for (const std::string& problem : record.problems)
        lines += fmt::format("{:17}!! {}\n", "", printable(problem));
    return lines;
}

}  // namespace websocket
