#include "websocket/protocol/provocation.hpp"

#include "common/errors.hpp"
#include "websocket/protocol/close_code.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/text.hpp"

#include <fmt/core.h>

#include <algorithm>

namespace websocket {

namespace {

constexpr const char* sample_key = "dGhlIHNhbXBsZSBub25jZQ==";
constexpr std::string_view question = "still there?";
constexpr std::size_t most_kept = 8;          // frames that are told one by one
constexpr std::size_t most_kept_bytes = 125;  // of each, and of a refusal's body

/// Clients' frames are masked with zeros here: so the payload stands in them as it is.
const Provocation all[] = {
    // Nothing is wrong with these.
    {"ping", "a good ping: is there a WebSocket server at all?", Demand::pong, 0, "5.5.2", "89 85 00000000 48656c6c6f"},
    {"ping-125", "a ping of 125 bytes, the most that it may have", Demand::pong, 0, "5.5.2",
     "89 fd 00000000 "
     "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
     "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
     "787878787878787878787878787878787878787878"},
    {"ping-inside", "a ping between two fragments of a message", Demand::pong, 0, "5.4",
     "01 82 00000000 6f6e 89 85 00000000 48656c6c6f"},
    {"close-1000", "a good Close frame", Demand::close, 1000, "5.5.1", "88 82 00000000 03e8", After::wait},
    {"close-empty", "a Close frame without a code", Demand::close, close_code::none, "5.5.1", "88 80 00000000",
     After::wait},
    {"data-after-close", "a text frame behind the Close frame", Demand::close, 1000, "5.5.1",
     "88 82 00000000 03e8 81 85 00000000 48656c6c6f", After::wait},
    {"ping-after-close", "a ping behind the Close frame", Demand::close, 1000, "5.5.1",
     "88 82 00000000 03e8 89 85 00000000 48656c6c6f", After::wait},

    {"unmasked", "a text frame without a mask", Demand::fail, 1002, "5.1", "81 05 48656c6c6f"},
    {"unmasked-ping", "a ping without a mask", Demand::fail, 1002, "5.1", "89 05 48656c6c6f"},
    {"rsv1", "RSV1, and no extension that uses it", Demand::fail, 1002, "5.2", "c1 85 00000000 48656c6c6f"},
    {"rsv2", "RSV2, which no extension uses", Demand::fail, 1002, "5.2", "a1 85 00000000 48656c6c6f"},
    {"rsv3", "RSV3, which no extension uses", Demand::fail, 1002, "5.2", "91 85 00000000 48656c6c6f"},
    {"opcode-3", "opcode 3, reserved for data", Demand::fail, 1002, "5.2", "83 85 00000000 48656c6c6f"},
    {"opcode-7", "opcode 7, reserved for data", Demand::fail, 1002, "5.2", "87 80 00000000"},
    {"opcode-11", "opcode B, reserved for control frames", Demand::fail, 1002, "5.2", "8b 80 00000000"},
    {"opcode-15", "opcode F, reserved for control frames", Demand::fail, 1002, "5.2", "8f 85 00000000 48656c6c6f"},

    {"continuation", "a continuation of nothing", Demand::may_fail, 1002, "5.4", "80 85 00000000 48656c6c6f"},
    {"message-inside", "a message within a message in fragments", Demand::may_fail, 1002, "5.4",
     "01 82 00000000 6f6e 81 85 00000000 48656c6c6f"},
    {"ping-fragments", "a ping in two fragments", Demand::may_fail, 1002, "5.5",
     "09 83 00000000 48656c 80 82 00000000 6c6f"},
    {"ping-126", "a ping of 126 bytes", Demand::may_fail, 1002, "5.5",
     "89 fe 007e 00000000 "
     "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
     "78787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878787878"
     "78787878787878787878787878787878787878787878"},

    {"length-16", "a length of 5 in 16 bits", Demand::may_fail, 1002, "5.2", "81 fe 0005 00000000 48656c6c6f"},
    {"length-64", "a length of 5 in 64 bits", Demand::may_fail, 1002, "5.2",
     "81 ff 0000000000000005 00000000 48656c6c6f"},
    {"length-top-bit", "a 64-bit length with its top bit set", Demand::may_fail, 1002, "5.2",
     "82 ff 8000000000000005 00000000 48656c6c6f", After::wait},
    {"length-huge", "a length of 2^63 - 1, and five bytes of it", Demand::may_fail, 1009, "10.4",
     "82 ff 7fffffffffffffff 00000000 48656c6c6f", After::wait},
    {"length-lie", "a length of 100, five bytes of it, and then FIN", Demand::may_fail, 0, "7.1.5",
     "81 e4 00000000 48656c6c6f", After::fin},

    {"utf8", "a text that is not UTF-8", Demand::fail, 1007, "8.1", "81 83 00000000 41c328"},
    {"utf8-cut", "a text that ends within a character", Demand::fail, 1007, "8.1", "81 85 00000000 68ed959cea"},
    {"utf8-overlong", "'/' in two bytes (overlong)", Demand::fail, 1007, "8.1", "81 82 00000000 c0af"},
    {"utf8-surrogate", "half of a UTF-16 pair", Demand::fail, 1007, "8.1", "81 83 00000000 eda080"},
    {"utf8-beyond", "a character beyond U+10FFFF", Demand::fail, 1007, "8.1", "81 84 00000000 f4908080"},
    {"utf8-fragments", "not UTF-8 where two fragments meet", Demand::fail, 1007, "8.1",
     "01 81 00000000 c3 80 81 00000000 28"},

    {"close-1005", "a Close frame with 1005, which must not travel", Demand::may_fail, 1002, "7.4.1",
     "88 82 00000000 03ed", After::wait},
    {"close-1006", "a Close frame with 1006, which must not travel", Demand::may_fail, 1002, "7.4.1",
     "88 82 00000000 03ee", After::wait},
    {"close-1015", "a Close frame with 1015, which must not travel", Demand::may_fail, 1002, "7.4.1",
     "88 82 00000000 03f7", After::wait},
    {"close-999", "a Close frame with 999, which is not used", Demand::may_fail, 1002, "7.4.2", "88 82 00000000 03e7",
     After::wait},
    {"close-5000", "a Close frame with 5000, which nobody may use", Demand::may_fail, 1002, "7.4.2",
     "88 82 00000000 1388", After::wait},
    {"close-1-byte", "a Close frame with half a code", Demand::may_fail, 1002, "5.5.1", "88 81 00000000 03",
     After::wait},
    {"close-utf8", "a Close frame whose reason is not UTF-8", Demand::may_fail, 1007, "5.5.1",
     "88 84 00000000 03e8 c328", After::wait},

    {"deflate-data", "RSV1, and data that is not DEFLATE", Demand::may_fail, 1007, "RFC 7692, 7.2.2",
     "c1 84 00000000 ffffffff", After::ask, true},
    {"deflate-continuation", "RSV1 on a continuation", Demand::fail, 1002, "RFC 7692, 6",
     "41 83 00000000 f248cd c0 84 00000000 c9c90700", After::ask, true},
    {"deflate-ping", "RSV1 on a ping", Demand::fail, 1002, "RFC 7692, 6", "c9 85 00000000 48656c6c6f", After::ask,
     true},

    // The handshake.
    {.name = "no-key",
     .what = "no Sec-WebSocket-Key",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Sec-WebSocket-Key"},
    {.name = "short-key",
     .what = "a key of 3 bytes instead of 16",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Sec-WebSocket-Key",
     .with = "Sec-WebSocket-Key: AAAA\r\n"},
    {.name = "bad-key",
     .what = "a key that is not base64",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Sec-WebSocket-Key",
     .with = "Sec-WebSocket-Key: no base64 at all, is it\r\n"},
    {.name = "key-twice",
     .what = "two keys",
     .demand = Demand::may_refuse,
     .code = 400,
     .section = "11.3.1",
     .bytes = "",
     .with = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"},
    {.name = "no-version",
     .what = "no Sec-WebSocket-Version",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Sec-WebSocket-Version"},
    {.name = "version-12",
     .what = "a version that nobody speaks",
     .demand = Demand::refuse,
     .code = 426,
     .section = "4.2.2",
     .bytes = "",
     .without = "Sec-WebSocket-Version",
     .with = "Sec-WebSocket-Version: 12\r\n"},
    {.name = "no-upgrade",
     .what = "no Upgrade: that is plain HTTP",
     .demand = Demand::no_upgrade,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Upgrade"},
    {.name = "no-connection",
     .what = "no Connection",
     .demand = Demand::no_upgrade,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Connection"},
    {.name = "no-host",
     .what = "no Host",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .without = "Host"},
    {.name = "host-twice",
     .what = "two Hosts",
     .demand = Demand::refuse,
     .code = 400,
     .section = "RFC 9112, 3.2",
     .bytes = "",
     .with = "Host: example.com\r\n"},
    {.name = "http-1.0",
     .what = "HTTP/1.0",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .first_line = "GET {path} HTTP/1.0"},
    {.name = "post",
     .what = "POST instead of GET",
     .demand = Demand::refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .first_line = "POST {path} HTTP/1.1"},
    {.name = "blank-before-colon",
     .what = "a blank between a field's name and its colon",
     .demand = Demand::refuse,
     .code = 400,
     .section = "RFC 9112, 5.1",
     .bytes = "",
     .with = "X-Extra : 1\r\n"},
    {.name = "folded",
     .what = "a field on two lines (obs-fold)",
     .demand = Demand::may_refuse,
     .code = 400,
     .section = "RFC 9112, 5.2",
     .bytes = "",
     .with = "X-Extra: one\r\n two\r\n"},
    {.name = "bare-lf",
     .what = "lines that end with LF alone",
     .demand = Demand::may_refuse,
     .code = 400,
     .section = "RFC 9112, 2.2",
     .bytes = "",
     .line_end = "\n"},
    {.name = "control",
     .what = "a control character in a field",
     .demand = Demand::may_refuse,
     .code = 400,
     .section = "RFC 9110, 5.5",
     .bytes = "",
     .with = "X-Extra: \x01\r\n"},
    {.name = "body",
     .what = "a request with a body",
     .demand = Demand::may_refuse,
     .code = 400,
     .section = "4.2.1",
     .bytes = "",
     .with = "Content-Length: 5\r\n"},
    {.name = "origin",
     .what = "a page of somebody else",
     .demand = Demand::may_refuse,
     .code = 403,
     .section = "10.2",
     .bytes = "",
     .with = "Origin: http://elsewhere.example\r\n"},
    {.name = "extension",
     .what = "an extension that does not exist",
     .demand = Demand::decline,
     .code = 101,
     .section = "9.1",
     .bytes = "",
     .with = "Sec-WebSocket-Extensions: x-no-such-extension\r\n"},
};

std::string put_in(std::string text, std::string_view mark, const std::string& value) {
    const std::size_t at = text.find(mark);
    return at == std::string::npos ? text : text.replace(at, mark.size(), value);
}

/// The code of a Close frame's payload; 1005, which stands for none, of one that has none.
unsigned code_of(std::string_view payload) {
    if (payload.size() < 2) return close_code::none;
    return static_cast<unsigned>(static_cast<std::uint8_t>(payload[0])) << 8U | static_cast<std::uint8_t>(payload[1]);
}

/// A frame of ours with a short payload.
std::string masked_with_zeros(Opcode opcode, std::string_view payload) {
    FrameHeader header;
    header.opcode = opcode;
    header.masked = true;
    header.length = payload.size();
    char head[most_header_bytes];
    return std::string(head, write_header(header, head)).append(payload);
}

}  // namespace

std::span<const Provocation> provocations() { return all; }

const Provocation* find_provocation(std::string_view name) {
    const auto* const found =
        std::find_if(std::begin(all), std::end(all), [&](const Provocation& one) { return name == one.name; });
    return found == std::end(all) ? nullptr : found;
}

std::string provoking_request(const Provocation& provocation, const std::string& host, const std::string& path) {
    const std::pair<std::string_view, std::string> fields[] = {{"Host", host},
                                                               {"Upgrade", "websocket"},
                                                               {"Connection", "Upgrade"},
                                                               {"Sec-WebSocket-Key", sample_key},
                                                               {"Sec-WebSocket-Version", "13"}};
    std::string request = put_in(provocation.first_line, "{path}", path) + provocation.line_end;
    for (const auto& [name, value] : fields) {
        if (name != provocation.without) request += fmt::format("{}: {}{}", name, value, provocation.line_end);
    }
    request += provocation.with;
    if (provocation.deflate) request += "Sec-WebSocket-Extensions: permessage-deflate\r\n";
    request += provocation.line_end;
    if (std::string_view(provocation.name) == "body") request += "Hello";
    return request;
}

std::string provoking_bytes(const Provocation& provocation) { return bytes_of_hex(provocation.bytes); }

std::string asking_ping() { return masked_with_zeros(Opcode::ping, question); }

std::string answering_close(unsigned code) {
    if (!may_travel(code)) return masked_with_zeros(Opcode::close, "");
    const char payload[] = {static_cast<char>(code >> 8U & 0xFFU), static_cast<char>(code & 0xFFU)};
    return masked_with_zeros(Opcode::close, {payload, sizeof payload});
}

// ---- What came back

void Reaction::take(std::string_view bytes) {
    if (malformed_) return;
    if (in_head_) {
        const auto status = head_.take(bytes);
        if (status == HttpHeadReader::Status::incomplete) return;
        in_head_ = false;
        const std::string& line = head_.head().first_line;  // "HTTP/1.1 101 Switching Protocols"
        const bool http = line.starts_with("HTTP/1.") && line.size() >= 12 && line[8] == ' ' &&
                          std::all_of(line.begin() + 9, line.begin() + 12, [](char c) { return c >= '0' && c <= '9'; });
        if (status != HttpHeadReader::Status::complete || !http) {
            malformed_ = true;
            return;
        }
        status_ = static_cast<unsigned>((line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0'));
        upgraded_ = status_ == 101;
        const std::string* accept = head_.head().find("sec-websocket-accept");
        right_accept_ = accept != nullptr && *accept == accept_value(sample_key);
        deflate_ = head_.head().count("sec-websocket-extensions") > 0;
    }
    if (!upgraded_) {
        body_ += bytes.substr(0, most_kept_bytes - std::min(most_kept_bytes, body_.size()));
        return;
    }
    input_ += bytes;
    take_frames();
}

void Reaction::take_frames() {
    std::string_view rest = input_;
    while (!rest.empty() && !malformed_) {
        const std::size_t skipped = std::min<std::uint64_t>(to_skip_, rest.size());
        rest.remove_prefix(skipped);
        to_skip_ -= skipped;
        FrameHeader header;
        const ParsedHeader parsed = parse_header(rest, header);
        if (to_skip_ > 0 || rest.empty() || parsed.status == HeaderStatus::incomplete) break;
        if (parsed.status != HeaderStatus::complete || (is_control(header.opcode) && header.length > 125)) {
            malformed_ = true;
            break;
        }
        const std::size_t kept = std::min<std::uint64_t>(header.length, most_kept_bytes);
        if (rest.size() < parsed.size + kept) break;
        std::string payload(rest.substr(parsed.size, kept));
        if (header.masked) apply_mask(payload.data(), payload.size(), header.key);
        rest.remove_prefix(parsed.size + kept);
        to_skip_ = header.length - kept;

        masked_ = masked_ || header.masked;
        late_ = late_ || close_code_.has_value();
        if (header.opcode == Opcode::close && !close_code_) {
            close_code_ = code_of(payload);
            forbidden_ = payload.size() >= 2 && (close_code_ == close_code::none ||
                                                 close_code_ == close_code::abnormal || close_code_ == 1015U);
        } else if (header.opcode == Opcode::pong) {
            const std::string sent = provoking_bytes(*provocation_);
            if (payload == question && asked_) {
                still_here_ = true;
            } else if (sent.ends_with(payload)) {
                pong_ = true;
            }
        }
        if (seen_.size() < most_kept) {
            seen_.push_back({header, std::move(payload)});
        } else {
            ++more_;
        }
    }
    input_.erase(0, input_.size() - rest.size());
}

bool Reaction::ends_connection() const {
    const std::vector<std::string> options = head_.head().list("connection");
    return std::any_of(options.begin(), options.end(),
                       [](const std::string& one) { return equal_ignoring_case(one, "close"); });
}

bool Reaction::decided() const {
    if (malformed_ || not_applicable()) return true;
    if (*provocation_->bytes == '\0') return answered();
    return still_here_ || (provocation_->demand == Demand::pong && pong_);
}

std::string Reaction::brief() const {
    if (not_applicable()) return "no permessage-deflate";
    std::vector<std::string> parts;
    if (malformed_) parts.emplace_back(in_head_ || status_ == 0 ? "no HTTP" : "no frames");
    if (*provocation_->bytes == '\0' && status_ != 0) parts.push_back(fmt::format("HTTP {}", status_));
    if (pong_) parts.emplace_back("pong");
    if (close_code_)
        parts.push_back(*close_code_ == close_code::none && !forbidden_ ? "Close"
                                                                        : fmt::format("Close {}", *close_code_));
    if (late_) parts.emplace_back("and frames behind it");
    if (still_here_) parts.emplace_back("goes on");
    if (end_ != End::open && *provocation_->bytes != '\0') parts.emplace_back(end_ == End::fin ? "FIN" : "RST");
    if (parts.empty()) return end_ == End::open ? "silence" : end_ == End::fin ? "FIN" : "RST";
    std::string text;
    for (const std::string& part : parts)
        text += (text.empty() ? "" : ", ") + part;
    return text;
}

std::vector<std::string> Reaction::lines() const {
    std::vector<std::string> lines;
    if (status_ != 0 && (*provocation_->bytes == '\0' || !upgraded_)) lines.push_back(escaped(head_.head().first_line));
    if (upgraded_ && !right_accept_) lines.emplace_back("Sec-WebSocket-Accept is not the one for this key");
    if (!body_.empty()) lines.push_back(escaped(body_.substr(0, body_.find('\n'))));
    for (const Seen& one : seen_) {
        if (one.header.opcode == Opcode::close) {
            const unsigned code = code_of(one.payload);
            lines.push_back(one.payload.size() < 2 ? std::string("Close without a code")
                                                   : fmt::format("Close {} ({}) \"{}\"", code, close_code_meaning(code),
                                                                 escaped(std::string_view(one.payload).substr(2))));
        } else {
            lines.push_back(fmt::format("{}, {} byte{}: \"{}\"{}{}", opcode_name(one.header.opcode), one.header.length,
                                        one.header.length == 1 ? "" : "s", escaped(one.payload),
                                        one.header.length > one.payload.size() ? " ..." : "",
                                        one.header.opcode == Opcode::pong && one.payload == question && asked_
                                            ? ": it goes on as if nothing had been"
                                            : ""));
        }
    }
    if (more_ > 0) lines.push_back(fmt::format("and {} more frames", more_));
    if (malformed_) lines.emplace_back(status_ == 0 ? "what came is not HTTP" : "what came are no frames");
    switch (end_) {
        case End::open:
            if (lines.empty()) lines.emplace_back("nothing");
            lines.emplace_back("TCP: the server leaves it open; we end it");
            break;
        case End::fin:
            lines.push_back(provocation_->after == After::fin ? "TCP: FIN from the server, behind ours"
                                                              : "TCP: FIN from the server first");
            break;
        case End::reset:
            lines.emplace_back("TCP: RST from the server");
            break;
    }
    return lines;
}

// ---- Judged

struct Judge {
    const Provocation& asked;
    const Reaction& came;

    bool ended() const { return came.end_ != Reaction::End::open; }

    Judgement request() const {
        const unsigned status = came.status_;
        const bool error = status >= 400 && status < 500;
        switch (asked.demand) {
            case Demand::refuse:
                if (status == 0) return {Verdict::wrong, "MUST be refused with an HTTP error"};
                if (status == 101) return {Verdict::wrong, "MUST NOT be accepted"};
                if (status == 426 && came.head_.head().find("sec-websocket-version") == nullptr)
                    return {Verdict::wrong, "426 MUST name the versions that are spoken (4.2.2)"};
                if (asked.code == 426 && came.head_.head().find("sec-websocket-version") == nullptr)
                    return {Verdict::wrong, "MUST name the versions that are spoken (4.2.2)"};
                if (error) return {Verdict::demanded, "it is refused"};
                return {status >= 500 ? Verdict::allowed : Verdict::wrong,
                        status >= 500 ? "refused, but it is not the server's error" : "that is no error"};
            case Demand::no_upgrade:
                if (status == 101) return {Verdict::wrong, "MUST NOT be accepted"};
                return {Verdict::demanded, status == 0 ? "it is not accepted" : "answered as plain HTTP"};
            case Demand::decline:
                if (status != 101) return {Verdict::allowed, "it may be refused for reasons of its own"};
                if (!came.right_accept_) return {Verdict::wrong, "Sec-WebSocket-Accept is wrong (4.2.2)"};
                if (came.deflate_) return {Verdict::wrong, "MUST NOT agree to an extension that it does not know"};
                return {Verdict::demanded, "accepted, without the extension"};
            default:
                return {Verdict::allowed, status == 101 ? "accepted" : status == 0 ? "no answer" : "refused"};
        }
    }

    Judgement frames() const {
        if (!came.upgraded_ && !came.malformed_)
            return {Verdict::not_tried, "a good handshake was not accepted: is there a WebSocket at this path?"};
        if (came.malformed_) return {Verdict::wrong, "what came back is not WebSocket"};
        if (!came.right_accept_) return {Verdict::wrong, "Sec-WebSocket-Accept is wrong (4.2.2)"};
        if (came.masked_) return {Verdict::wrong, "a server MUST NOT mask its frames (5.1)"};
        if (came.late_) return {Verdict::wrong, "nothing MUST be sent behind a Close frame (5.5.1)"};
        const unsigned code = came.close_code();
        if (came.forbidden_) return {Verdict::wrong, fmt::format("{} MUST NOT stand in a Close frame (7.4.1)", code)};
        switch (asked.demand) {
            case Demand::pong:
                return came.pong_ ? Judgement{Verdict::demanded, "the pong has the ping's payload"}
                                  : Judgement{Verdict::wrong, "no pong with the ping's payload"};
            case Demand::close:
                if (!came.closing()) return {Verdict::wrong, "no Close frame in answer"};
                if (came.pong_) return {Verdict::wrong, "what is behind a Close frame is to be ignored (1.4)"};
                if (!ended()) return {Verdict::wrong, "the server MUST end TCP at once (5.5.1)"};
                if (code != asked.code) return {Verdict::allowed, "typically the code is the same (5.5.1)"};
                return {Verdict::demanded, "closed by both"};
            case Demand::fail:
                if (came.still_here_) return {Verdict::wrong, "it goes on"};
                if (!ended()) return {Verdict::wrong, "TCP stays open"};
                if (!came.closing()) return {Verdict::allowed, "failed; a Close frame SHOULD come before (7.1.7)"};
                if (code != asked.code)
                    return {Verdict::allowed, fmt::format("failed; the code for it is {} (7.4.1)", asked.code)};
                return {Verdict::demanded, "failed"};
            default:
                if (came.still_here_) return {Verdict::allowed, "it goes on"};
                if (came.closing() && code == asked.code) return {Verdict::allowed, "failed (10.7)"};
                if (came.closing()) return {Verdict::allowed, "closed"};
                return {Verdict::allowed, ended() ? "ended" : "it waits"};
        }
    }
};

Judgement judge(const Provocation& provocation, const Reaction& reaction) {
    if (reaction.not_applicable()) return {Verdict::not_tried, "the server does not compress"};
    const Judge judge{provocation, reaction};
    return *provocation.bytes == '\0' ? judge.request() : judge.frames();
}

const char* verdict_name(Verdict verdict) {
    switch (verdict) {
        case Verdict::demanded:
            return "as demanded";
        case Verdict::allowed:
            return "allowed";
        case Verdict::wrong:
            return "NOT AS DEMANDED";
        case Verdict::not_tried:
            break;
    }
    return "not tried";
}

std::string demand_text(const Provocation& provocation) {
    switch (provocation.demand) {
        case Demand::pong:
            return "MUST be answered by a pong";
        case Demand::close:
            return "MUST be answered by a Close frame; what follows it does not count";
        case Demand::fail:
            return fmt::format("MUST fail the connection; the code for it is {}", provocation.code);
        case Demand::may_fail:
            return provocation.code == 0 ? "the receiver may end the connection, or not"
                                         : fmt::format(
                                               "must not be sent; its receiver may fail the connection, with {}, "
                                               "or not",
                                               provocation.code);
        case Demand::refuse:
            return fmt::format("MUST be refused with an HTTP error, {} for instance", provocation.code);
        case Demand::no_upgrade:
            return "is plain HTTP: any answer but 101";
        case Demand::may_refuse:
            return fmt::format("may be refused, with {}, or accepted", provocation.code);
        case Demand::decline:
            break;
    }
    return "MUST be accepted without the extension";
}

std::string place_text(const Provocation& provocation) {
    return (std::string_view(provocation.section).starts_with("RFC") ? "" : "RFC 6455, ") +
           std::string(provocation.section);
}

bool is_resource(std::string_view path) {
    return path.starts_with('/') && path.size() <= 2000 &&
           std::all_of(path.begin(), path.end(), [](char c) { return c > ' ' && c < '\x7f'; });
}

}  // namespace websocket
