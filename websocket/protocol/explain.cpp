#include "websocket/protocol/explain.hpp"

#include "common/errors.hpp"
#include "websocket/protocol/close_code.hpp"
#include "websocket/protocol/utf8.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <stdexcept>

namespace websocket {

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char byte : bytes)
        text += fmt::format("{}{:02x}", text.empty() ? "" : " ", static_cast<unsigned char>(byte));
    return text;
}

std::string bytes_of_hex(std::string_view text) {
    std::string bytes;
    int high = -1;  // the first digit of a byte
    for (const char c : text) {
        const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (!digit) {
            if (std::string_view(" \t\r\n:,").find(c) == std::string_view::npos) {
                throw std::invalid_argument(fmt::format("'{}' is no hexadecimal digit", escaped({&c, 1})));
            }
            if (high != -1) throw std::invalid_argument("a byte has one hexadecimal digit, expected two");
            continue;
        }
        const int value = c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10;
        if (high == -1) {
            high = value;
        } else {
            bytes += static_cast<char>(high * 16 + value);
            high = -1;
        }
    }
    if (high != -1) throw std::invalid_argument("a byte has one hexadecimal digit, expected two");
    return bytes;
}

const char* close_code_meaning(unsigned code) {
    switch (code) {
        case 1000:
            return "normal closure";
        case 1001:
            return "going away";
        case 1002:
            return "protocol error";
        case 1003:
            return "unsupported data";
        case 1005:
            return "no code was sent; must not travel";
        case 1006:
            return "no Close frame was sent; must not travel";
        case 1007:
            return "invalid payload data";
        case 1008:
            return "policy violation";
        case 1009:
            return "message too big";
        case 1010:
            return "an extension is missing";
        case 1011:
            return "internal error";
        case 1012:
            return "service restart";
        case 1013:
            return "try again later";
        case 1014:
            return "bad gateway";
        case 1015:
            return "TLS failed; must not travel";
        default:
            break;
    }
    if (code >= 3000 && code < 4000) return "registered by a library or framework";
    if (code >= 4000 && code < 5000) return "private use";
    return "must not travel";
}

namespace {

/// "1... ...." for the bits of a byte that a mask selects.
std::string bits(unsigned byte, unsigned mask) {
    std::string text;
    for (unsigned bit = 0x80; bit != 0; bit >>= 1U) {
        text += (mask & bit) == 0 ? '.' : (byte & bit) != 0 ? '1' : '0';
        if (bit == 0x10) text += ' ';
    }
    return text;
}

unsigned code_in(std::string_view plain) {
    return static_cast<unsigned>(static_cast<std::uint8_t>(plain[0])) << 8U | static_cast<std::uint8_t>(plain[1]);
}

/// The rule that a frame breaks by itself. plain: its payload unmasked, or the beginning of it.
std::string rule(const FrameHeader& header, std::string_view plain) {
    const bool whole = plain.size() == header.length;
    if (is_control(header.opcode)) {
        if (!header.fin) return "  !! a control frame must not be fragmented (5.5)\n";
        if (header.length > most_control_bytes) return "  !! a control frame has at most 125 bytes (5.5)\n";
    }
    if (header.opcode == Opcode::close && header.length > 0) {
        if (header.length == 1) return "  !! the payload of a Close frame begins with two bytes of code (5.5.1)\n";
        if (plain.size() >= 2 && !may_travel(code_in(plain))) return "  !! this code must not travel (7.4)\n";
        if (whole && !is_utf8(plain.substr(2))) return "  !! the reason is not UTF-8 (5.5.1)\n";
    }
    const bool whole_text = header.opcode == Opcode::text && header.fin && !header.rsv1 && whole;
    if (whole_text && !is_utf8(plain)) return "  !! a text message must be UTF-8 (8.1)\n";
    return "";
}

std::string bytes_counted(std::uint64_t count) { return fmt::format("{} byte{}", count, count == 1 ? "" : "s"); }

std::string length_form(const FrameHeader& header) {
    if (header.length <= 125) return "the length itself";
    return header.length <= 0xFFFF ? "the next 16 bits are the length" : "the next 64 bits are the length";
}

}  // namespace

std::string tell_frame(const std::string& who, const FrameHeader& header, std::string_view head,
                       std::string_view payload) {
    const auto first = static_cast<std::uint8_t>(head[0]);
    const auto second = static_cast<std::uint8_t>(head[1]);
    const std::size_t extended = head.size() - 2 - (header.masked ? 4U : 0U);
    std::string text =
        fmt::format("{}: {} frame, {} of payload\n", who, opcode_name(header.opcode), bytes_counted(header.length));
    const bool starts_message = header.opcode == Opcode::text || header.opcode == Opcode::binary;
    const auto line = [&](const std::string& bytes, const std::string& meaning) {
        text += fmt::format("  {:<12} {}\n", bytes, meaning);
    };
    line(hex(head.substr(0, 1)), bits(first, 0x80) + (header.fin ? "  FIN: the message ends with this frame"
                                                                 : "  FIN 0: more fragments follow (5.4)"));
    line("", bits(first, 0x70) + ((first & 0x70U) == 0 ? "  RSV1 to RSV3: 0, no extension uses them"
                                  : header.rsv2 || header.rsv3
                                      ? "  RSV: !! set, and no extension that we know uses them (5.2)"
                                  : starts_message ? "  RSV1: the message is compressed (RFC 7692, 6)"
                                                   : "  RSV1: !! set where no message begins (RFC 7692, 6)"));
    line("", bits(first, 0x0F) + fmt::format("  opcode {:X}: {}{}", first & 0x0FU, opcode_name(header.opcode),
                                             !is_known(header.opcode)    ? ", !! which must fail the connection (5.2)"
                                             : is_control(header.opcode) ? " (5.5)"
                                                                         : " (5.6)"));
    line(hex(head.substr(1, 1)), bits(second, 0x80) + (header.masked ? "  MASK: as every frame of a client (5.3)"
                                                                     : "  MASK 0: as every frame of a server (5.1)"));
    line("", bits(second, 0x7F) + fmt::format("  {}: {}", second & 0x7FU, length_form(header)));
    if (extended > 0)
        line(hex(head.substr(2, extended)), fmt::format("length {}, in network byte order", header.length));
    if (header.masked)
        line(hex(head.substr(2 + extended)), "masking key: byte i of the payload was XORed with byte i mod 4");

    std::string plain(payload);
    if (header.masked) apply_mask(plain.data(), plain.size(), header.key);
    const char* more = header.length > payload.size() ? " ..." : "";
    const auto payload_lines = [&](const char* name, const std::string& bytes) {
        for (std::size_t begin = 0; begin < bytes.size(); begin += 16) {
            const bool last = begin + 16 >= bytes.size();
            text += fmt::format("  {:<20} {}{}\n", begin == 0 ? name : "",
                                hex(std::string_view(bytes).substr(begin, 16)), last ? more : "");
        }
    };
    payload_lines(header.masked ? "payload, masked" : "payload", std::string(payload));
    if (header.masked) payload_lines("payload, unmasked", plain);
    if (header.opcode == Opcode::close && plain.size() >= 2) {
        const unsigned code = code_in(plain);
        text += fmt::format("  {:<20} {} ({}), reason \"{}\" (7.4)\n", "close code", code, close_code_meaning(code),
                            escaped(std::string_view(plain).substr(2)));
    } else if (!plain.empty() && header.opcode != Opcode::binary && !header.rsv1) {
        text += fmt::format("  {:<20} \"{}\"{}\n", "as text", escaped(plain), more);
    }
    return text + rule(header, plain);
}

// ---- From a stream

std::string FrameTeller::take(std::string_view bytes) {
    std::string text;
    while (!lost_ && (!bytes.empty() || in_payload_)) {
        if (!in_payload_) {
            head_ += bytes.front();
            bytes.remove_prefix(1);
            switch (parse_header(head_, header_).status) {
                case HeaderStatus::incomplete:
                    continue;
                case HeaderStatus::complete:
                    break;
                case HeaderStatus::not_shortest:
                    text += fmt::format(
                        "{}: {}  !! the length is not in its shortest form (5.2); what follows can't be told\n", who_,
                        hex(head_));
                    lost_ = true;
                    continue;
                case HeaderStatus::too_long:
                    text += fmt::format("{}: {}  !! the length has its top bit set (5.2); what follows can't be told\n",
                                        who_, hex(head_));
                    lost_ = true;
                    continue;
            }
            in_payload_ = true;
            missing_ = header_.length;
            payload_.clear();
        }
        const std::size_t count = std::min<std::uint64_t>(missing_, bytes.size());
        const std::size_t kept = std::min(count, shown - payload_.size());
        payload_ += bytes.substr(0, kept);
        bytes.remove_prefix(count);
        missing_ -= count;
        if (missing_ > 0) break;
        text += tell_frame(who_, header_, head_, payload_);
        head_.clear();
        in_payload_ = false;
    }
    return text;
}

std::string FrameTeller::end() const {
    if (lost_) return fmt::format("{}: a header is wrong", who_);
    if (head_.empty()) return "";
    if (!in_payload_) return fmt::format("{}: the header is not whole: {}", who_, hex(head_));
    return fmt::format("{}: {} of the payload {} missing", who_, bytes_counted(missing_), missing_ == 1 ? "is" : "are");
}

}  // namespace websocket
