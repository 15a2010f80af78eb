#pragma once
// What happened in a run, as one list in the order of one clock: the calls of both sides, from what the narrator wrote
// (--trace-log), and what travelled between them, from what tcp/sniffer captured (--pcap). Both have the kernel's clock
// of the day, in nanoseconds. Where nothing can be captured, messages are made of the calls that sent them, and what is
// in them is what a witness saw (wire_witness.hpp).

#include "common/errors.hpp"
#include "common/narrator.hpp"
#include "tcp/sniffer_packet.hpp"
#include "tcp/sniffer_show.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/frame.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace diagram {

enum class Side { server, client };
enum class Kind { call, result, state, packet, message };

/// Where an arrow runs: from side to side, or between one of them and tcp/trouble or udp/trouble in the middle.
enum class Leg { whole, of_server, of_client };

constexpr long nothing = -1;

struct Event {
    std::int64_t time = 0;     ///< nanoseconds since 1970
    Side side = Side::server;  ///< whose it is; who sent it
    Kind kind = Kind::call;
    long process = 0;
    std::string who;    ///< "child 1", "thread 2"; "" of the process that began
    std::string place;  ///< "tcp/echo_server.cpp:49"
    std::string text;   ///< as logged: "accept(listener, nullptr, nullptr)", "= 4", "fd 4  ESTABLISHED -> CLOSE_WAIT"
    std::string name;   ///< of the call: "accept"
    long partner = nothing;  ///< of a call its result, of a result its call, of a state the result that it belongs to

    // Of what travelled
    Leg leg = Leg::whole;
    std::string label;                 ///< "SYN,ACK seq 0 ack 1 win 65483"
    std::vector<std::string> details;  ///< what is in it: "\"hello\\n\"", a WebSocket frame; what became of it
    std::string header;                ///< decoded, field by field
    bool again = false;                ///< a retransmission
    bool dropped = false;              ///< it did not arrive
    std::optional<sniffer::Packet> packet;
};

using Events = std::vector<Event>;

// ---- Calls

/// As it stands, unless there is something in it that may not go to a terminal: a path may have any bytes.
inline std::string harmless(std::string_view text) {
    std::string safe = escaped(text), doubled;
    for (const char c : text)
        doubled += c == '\\' ? "\\\\" : std::string(1, c);
    return safe == doubled ? std::string(text) : safe;
}

/// The lines of a --trace-log: time, process, thread, kind, place and text, with tabs between. What is no such line
/// (the last one of a program that was killed, perhaps) is passed over.
inline Events read_log(std::string_view log, Side side) {
    Events events;
    std::string first_process;
    std::vector<std::string> children;
    std::map<std::string, std::string> last_call;
    while (!log.empty()) {
        const std::size_t newline = log.find('\n');
        if (newline == std::string_view::npos) break;
        std::string_view line = log.substr(0, newline);
        log.remove_prefix(newline + 1);
        std::vector<std::string> fields;
        while (fields.size() < 5 && line.find('\t') != std::string_view::npos) {
            fields.emplace_back(line.substr(0, line.find('\t')));
            line.remove_prefix(line.find('\t') + 1);
        }
        Event event;
        if (fields.size() < 5) continue;
        const auto [end, trouble] = std::from_chars(fields[0].data(), fields[0].data() + fields[0].size(), event.time);
        if (trouble != std::errc{} || end != fields[0].data() + fields[0].size()) continue;
        if (fields[3] == "call") {
            event.kind = Kind::call;
        } else if (fields[3] == "result") {
            event.kind = Kind::result;
        } else if (fields[3] == "state") {
            event.kind = Kind::state;
        } else {
            continue;
        }
        event.side = side;
        event.process = std::strtol(fields[1].c_str(), nullptr, 10);
        if (first_process.empty()) first_process = fields[1];
        if (fields[1] != first_process) {
            auto child = std::find(children.begin(), children.end(), fields[1]);
            if (child == children.end()) child = children.insert(child, fields[1]);
            event.who = fmt::format("child {}", child - children.begin() + 1);
        } else if (fields[2] != "0") {
            event.who = "thread " + fields[2];
        }
        event.place = harmless(fields[4]);
        event.text = harmless(line);
        if (event.kind == Kind::call) {
            event.name = narrator::name_of({event.text.c_str(), "", 0});
            last_call[event.who] = event.name;
        } else {
            event.name = last_call[event.who];
        }
        events.push_back(std::move(event));
    }
    return events;
}

/// How a result begins: "= 4" of "= 4  (blocked 1.03 s)", "= -1 ECONNREFUSED" of that with its text.
inline std::string brief_result(const std::string& text) {
    if (!text.starts_with("= -1 ")) return text.substr(0, text.find(' ', 2));
    return text.substr(0, text.find(' ', 5));
}

/// Calls that say nothing of what happens between the two: looking up addresses, settings of descriptors and signals,
/// and what a client prints.
inline bool is_aside(const Event& event) {
    static const std::set<std::string, std::less<>> asides{
        "getaddrinfo", "getnameinfo", "getsockname", "getpeername", "fcntl",   "open",  "openat", "pipe",
        "pipe2",       "signal",      "sigaction",   "fstat",       "fstatat", "lseek", "unlink", "mkdir"};
    return asides.count(event.name) != 0 || (event.name == "write" && event.place.starts_with("common/stream.cpp"));
}

// ---- What is inside segments

/// One direction of a connection: says what HTTP and WebSocket make of the bytes in it.
class Inside {
public:
    /// What is to be said of a segment's bytes, in their order and each once.
    std::vector<std::string> take(std::string_view bytes) {
        std::vector<std::string> told;
        if (mode_ == Mode::unknown) {
            mode_ = looks_like_http(bytes) ? Mode::head : Mode::plain;
        }
        while (!bytes.empty()) {
            if (mode_ == Mode::head && !take_head(bytes, told)) break;
            if (mode_ == Mode::frames && !take_frames(bytes, told)) break;
            if (mode_ != Mode::plain || bytes.empty()) continue;
            told.push_back(quoted(bytes));
            break;
        }
        return told;
    }

    static std::string quoted(std::string_view bytes) {
        constexpr std::size_t most = 400;
        return fmt::format("\"{}\"{}", escaped(bytes.substr(0, most)), bytes.size() > most ? "..." : "");
    }

    bool is_websocket() const { return mode_ == Mode::frames; }

private:
    enum class Mode { unknown, head, frames, plain };

    /// As far as it is there.
    static bool looks_like_http(std::string_view bytes) {
        for (const std::string_view start : {"GET ", "HEAD ", "POST ", "HTTP/1."})
            if (bytes.starts_with(start.substr(0, bytes.size()))) return true;
        return false;
    }

    /// Tells a head by its first line, when it is complete. False: it is not, and the bytes are used up.
    bool take_head(std::string_view& bytes, std::vector<std::string>& told) {
        const std::size_t before = head_.size();
        head_ += bytes;
        if (!looks_like_http(head_) || head_.size() > most_of_a_head) {
            mode_ = Mode::plain;
            return true;
        }
        const std::size_t end = head_.find("\r\n\r\n");
        if (end == std::string::npos) {
            told.push_back(quoted(bytes));
            return false;
        }
        bytes.remove_prefix(end + 4 - before);
        std::string lower = head_.substr(0, end + 2);
        std::transform(lower.begin(), lower.end(), lower.begin(),
                       [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        const bool upgrade = lower.find("\r\nupgrade: websocket\r\n") != std::string::npos &&
                             (!lower.starts_with("http/") || lower.starts_with("http/1.1 101"));
        told.push_back(escaped(std::string_view(head_).substr(0, head_.find("\r\n"))) +
                       (upgrade ? ", Upgrade: websocket" : ""));
        mode_ = upgrade ? Mode::frames : Mode::plain;
        return true;
    }

    /// Tells each frame when its header is there, with what is there of its payload.
    bool take_frames(std::string_view& bytes, std::vector<std::string>& told) {
        if (to_skip_ > 0) {
            const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(to_skip_, bytes.size()));
            to_skip_ -= here;
            bytes.remove_prefix(here);
            if (told.empty()) told.emplace_back(fmt::format("the frame goes on, {} bytes", here));
            return !bytes.empty();
        }
        const std::size_t kept = head_of_frame_.size();
        const std::string all = head_of_frame_ + std::string(bytes.substr(0, websocket::most_header_bytes));
        websocket::FrameHeader frame;
        const websocket::ParsedHeader parsed = websocket::parse_header(all, frame);
        if (parsed.status == websocket::HeaderStatus::incomplete) {
            head_of_frame_ += bytes;
            if (told.empty()) told.emplace_back("the beginning of a frame");
            return false;
        }
        head_of_frame_.clear();
        if (parsed.status != websocket::HeaderStatus::complete) {
            told.emplace_back("no frame");
            mode_ = Mode::plain;
            return true;
        }
        bytes.remove_prefix(parsed.size - kept);
        const auto here = static_cast<std::size_t>(std::min<std::uint64_t>(frame.length, bytes.size()));
        std::string payload(bytes.substr(0, here));
        if (frame.masked) websocket::apply_mask(payload.data(), payload.size(), frame.key);
        told.push_back(frame_text(frame, payload));
        bytes.remove_prefix(here);
        to_skip_ = frame.length - here;
        return !bytes.empty();
    }

    static std::string frame_text(const websocket::FrameHeader& frame, const std::string& payload) {
        std::string text = websocket::opcode_name(frame.opcode);
        if (frame.opcode == websocket::Opcode::close && payload.size() >= 2) {
            const unsigned code = static_cast<unsigned>(static_cast<unsigned char>(payload[0])) << 8U |
                                  static_cast<unsigned char>(payload[1]);
            text += fmt::format(" {}", code);
            if (payload.size() > 2) text += " " + quoted(std::string_view(payload).substr(2));
        } else if (frame.rsv1) {
            text += fmt::format(", {} bytes compressed", frame.length);
        } else if (frame.length > 0) {
            text += " " + quoted(payload);
        }
        if (!frame.fin) text += ", more follow";
        if (payload.size() < frame.length) text += fmt::format(", {} of {} bytes", payload.size(), frame.length);
        if (frame.masked) text += ", masked";
        return "frame: " + text;
    }

    static constexpr std::size_t most_of_a_head = 65'536;
    Mode mode_ = Mode::unknown;
    std::string head_, head_of_frame_;
    std::uint64_t to_skip_ = 0;
};

// ---- What travelled

/// Where the two sides are, in the network that was captured.
struct Ports {
    unsigned server = 0;  ///< where the server listens
    unsigned front = 0;   ///< where the client goes: the same, or trouble's
    bool has_middle() const { return front != server; }
};

/// Makes arrows of packets: whose they are, which way they go, and what is said of them.
class Traffic {
public:
    /// lost_every: every Nth of TCP's packets did not arrive, counted from 1; 0: nothing is known of
    /// that.
    explicit Traffic(const Ports& ports, long lost_every = 0) : ports_(ports), lost_every_(lost_every) {}

    /// Nothing of a packet that belongs to neither side.
    std::optional<Event> take(sniffer::Packet packet) {
        packet.wants_fields = true;
        sniffer::Decoder(packet, connections_).decode();
        if (!packet.ip || !(packet.tcp || packet.udp || packet.icmp)) return {};
        Event event;
        event.kind = Kind::packet;
        event.time = packet.time;
        if (packet.tcp && lost_every_ > 0) event.dropped = ++segments_ % lost_every_ == 0;
        if (!find_way(packet, event)) return {};
        if (packet.tcp) describe_segment(packet, event);
        if (packet.udp) describe_datagram(packet, event);
        if (packet.icmp) event.label = icmp_label(*packet.icmp);
        if (event.dropped) event.details.emplace_back("lost");
        for (const std::string& problem : packet.problems)
            event.details.push_back(problem);
        event.header = fields_text(packet);
        event.packet = std::move(packet);
        return event;
    }

private:
    using End = std::pair<std::string, unsigned>;

    bool find_way(const sniffer::Packet& packet, Event& event) {
        if (packet.icmp) {
            const auto& about = packet.icmp->about;
            if (!about || !about->source_port) return false;
            // It goes back to where the packet that it is about came from.
            if (!find_way({about->source, *about->source_port}, {about->destination, *about->destination_port}, event))
                return false;
            event.side = event.side == Side::server ? Side::client : Side::server;
            return true;
        }
        const unsigned from = packet.tcp ? packet.tcp->source_port : packet.udp->source_port;
        const unsigned to = packet.tcp ? packet.tcp->destination_port : packet.udp->destination_port;
        return find_way({packet.ip->source, from}, {packet.ip->destination, to}, event);
    }

    bool find_way(const End& from, const End& to, Event& event) {
        if (to.second == ports_.front) clients_.insert(from);
        if (to.second == ports_.server && ports_.has_middle()) middle_.insert(from);
        const std::pair<const std::set<End>*, Leg> sets[] = {
            {&clients_, ports_.has_middle() ? Leg::of_client : Leg::whole}, {&middle_, Leg::of_server}};
        for (const auto& [ends, leg] : sets) {
            const bool forth = ends->count(from) != 0;
            if (!forth && ends->count(to) == 0) continue;
            event.side = forth ? Side::client : Side::server;
            event.leg = leg;
            return true;
        }
        return false;
    }

    struct Stream {
        bool begun = false;
        std::uint32_t next = 0;  // relative
        bool window_closed = false;
        Inside inside;
    };

    void describe_segment(const sniffer::Packet& packet, Event& event) {
        const sniffer::Tcp& tcp = *packet.tcp;
        const std::string_view payload = sniffer::payload_of(packet);
        const bool syn = (tcp.flags & sniffer::flag_syn) != 0, fin = (tcp.flags & sniffer::flag_fin) != 0;
        const bool rst = (tcp.flags & sniffer::flag_rst) != 0, ack = (tcp.flags & sniffer::flag_ack) != 0;
        Stream& stream = streams_[{packet.ip->source, tcp.source_port, packet.ip->destination, tcp.destination_port}];
        if (syn && !ack && !(stream.begun && stream.next == 1)) stream = {};
        const auto length = static_cast<std::uint32_t>(payload.size()) + (syn ? 1 : 0) + (fin ? 1 : 0);
        const std::uint32_t end = tcp.relative_seq + length;
        event.again = !rst && length > 0 && stream.begun && static_cast<std::int32_t>(end - stream.next) <= 0;
        if (!payload.empty() && !event.again) {
            const bool in_order = !stream.begun || tcp.relative_seq == stream.next;
            event.details = in_order ? stream.inside.take(payload) : std::vector{Inside::quoted(payload)};
        }
        if (!rst && (!stream.begun || static_cast<std::int32_t>(end - stream.next) > 0)) stream.next = end;
        stream.begun = stream.begun || length > 0;

        event.label = sniffer::joined(sniffer::flags_of(tcp), ",");
        event.label += fmt::format(" seq {}", tcp.relative_seq);
        if (!payload.empty()) event.label += fmt::format(" len {}", payload.size());
        if (ack) event.label += fmt::format(" ack {}", tcp.relative_ack);
        // A window matters where it is told first, is closed, or is opened again.
        const std::uint32_t window = tcp.scaled_window.value_or(tcp.window);
        if (!rst && (syn || window == 0 || stream.window_closed)) event.label += fmt::format(" win {}", window);
        stream.window_closed = window == 0 && !rst;
        if (event.again) event.details.emplace_back("a retransmission");
    }

    void describe_datagram(const sniffer::Packet& packet, Event& event) {
        const std::string_view payload = sniffer::payload_of(packet);
        event.label = fmt::format("UDP len {}", packet.udp->length - std::min<std::size_t>(8, packet.udp->length));
        if (packet.ip->is_fragment) event.label += ", first fragment";
        if (!payload.empty()) event.details.push_back(Inside::quoted(payload));
    }

    static std::string icmp_label(const sniffer::Icmp& icmp) {
        return fmt::format("{} {}", icmp.version == 4 ? "ICMP" : "ICMPv6", icmp.meaning);
    }

    Ports ports_;
    long lost_every_, segments_ = 0;
    sniffer::Connections connections_;
    std::set<End> clients_, middle_;
    std::map<std::tuple<std::string, unsigned, std::string, unsigned>, Stream> streams_;
};

/// What trouble says of the datagrams that came to it: "dropped" and the like, in the order of their coming.
/// Its lines: seconds, #number, an arrow, the size, and what became of it.
inline void add_fates(Events& packets, const std::string& told) {
    std::map<Side, std::vector<std::string>> fates;
    for (std::size_t begin = 0; begin < told.size();) {
        const std::size_t end = std::min(told.find('\n', begin), told.size());
        const std::string line = told.substr(begin, end - begin);
        begin = end + 1;
        const std::size_t number = line.find('#');
        if (number == std::string::npos) continue;
        const bool forth = line.find("->") != std::string::npos;
        const bool back = line.find("<-") != std::string::npos;
        const std::size_t what = std::min({line.find("passed"), line.find("dropped"), line.find("held back")});
        if (what == std::string::npos || forth == back) continue;
        fates[forth ? Side::client : Side::server].push_back(line.substr(what));
    }
    std::map<Side, std::size_t> count;
    for (Event& event : packets) {
        const bool comes_in = event.packet && event.packet->udp &&
                              event.leg == (event.side == Side::client ? Leg::of_client : Leg::of_server);
        if (!comes_in) continue;
        const std::vector<std::string>& of_side = fates[event.side];
        const std::size_t which = count[event.side]++;
        if (which >= of_side.size() || of_side[which] == "passed") continue;
        event.dropped = of_side[which].starts_with("dropped");
        event.details.push_back(event.dropped ? "dropped here" : of_side[which]);
    }
}

inline bool has_any(std::string_view text, std::initializer_list<std::string_view> words) {
    return std::any_of(words.begin(), words.end(), [&](std::string_view word) { return text.find(word) != text.npos; });
}

/// What one call was handed to send, as it was made.
struct Handed {
    std::int64_t time = 0;
    long process = 0;
    int descriptor = -1;
    std::size_t length = 0;  ///< of all, of which the first are there
    std::string bytes;
    std::string beside = {};  ///< "1 descriptor", "credentials"

    bool operator==(const Handed&) const = default;
};

/// As a line: its fields with tabs between, the bytes in hexadecimal.
inline std::string line_of(const Handed& handed) {
    std::string hex;
    hex.reserve(2 * handed.bytes.size());
    for (const char c : handed.bytes)
        for (const unsigned half : {static_cast<unsigned char>(c) / 16U, static_cast<unsigned char>(c) % 16U})
            hex += "0123456789abcdef"[half];
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", handed.time, handed.process, handed.descriptor, handed.length,
                       handed.beside, hex);
}

/// The lines that are whole. What is no such line is passed over.
inline std::vector<Handed> read_handed(std::string_view lines) {
    std::vector<Handed> all;
    for (std::size_t newline; (newline = lines.find('\n')) != std::string_view::npos;
         lines.remove_prefix(newline + 1)) {
        std::vector<std::string_view> fields{lines.substr(0, newline)};
        for (std::size_t tab; (tab = fields.back().find('\t')) != std::string_view::npos;) {
            const std::string_view rest = fields.back().substr(tab + 1);
            fields.back() = fields.back().substr(0, tab);
            fields.push_back(rest);
        }
        if (fields.size() != 6 || fields[5].size() % 2 != 0) continue;
        bool sound = true;
        const auto number = [&](std::string_view text, auto& value, int base = 10) {
            const auto [end, trouble] = std::from_chars(text.data(), text.data() + text.size(), value, base);
            sound = sound && trouble == std::errc{} && end == text.data() + text.size();
        };
        Handed handed;
        number(fields[0], handed.time);
        number(fields[1], handed.process);
        number(fields[2], handed.descriptor);
        number(fields[3], handed.length);
        handed.beside = fields[4];
        for (std::size_t at = 0; at < fields[5].size(); at += 2) {
            unsigned char byte = 0;
            number(fields[5].substr(at, 2), byte, 16);
            handed.bytes += static_cast<char>(byte);
        }
        if (sound && handed.bytes.size() <= handed.length) all.push_back(std::move(handed));
    }
    return all;
}

/// Says what is in messages, of one side: of connections what Inside makes of their bytes.
class Contents {
public:
    Contents(const std::vector<Handed>& handed, bool datagrams) : handed_(handed), datagrams_(datagrams) {}

    /// Of a call that has sent so many bytes, and its result. Nothing if nobody has seen them.
    std::vector<std::string> of(const Event& call, const Event& result, std::size_t count) {
        const Handed* found = nullptr;
        for (const Handed& one : handed_) {
            const bool fits = one.process == call.process && one.length >= count;
            if (fits && one.time >= call.time && one.time <= result.time) found = &one;
        }
        if (found == nullptr) return {};
        const std::string_view bytes = std::string_view(found->bytes).substr(0, count);
        std::vector<std::string> told;
        if (datagrams_ || bytes.size() < count) {
            if (!bytes.empty()) told.push_back(Inside::quoted(bytes));
        } else {
            told = connections_[{found->process, found->descriptor}].take(bytes);
        }
        if (!found->beside.empty()) told.push_back("with " + found->beside);
        return told;
    }

    /// A descriptor that is closed may soon be another connection's: "fd 4  ESTABLISHED -> closed".
    void take_state(const Event& state) {
        if (!state.text.starts_with("fd ") || state.text.find("-> closed") == std::string::npos) return;
        connections_.erase({state.process, std::atoi(state.text.c_str() + 3)});
    }

private:
    const std::vector<Handed>& handed_;
    bool datagrams_;
    std::map<std::pair<long, int>, Inside> connections_;
};

/// The messages that one side's calls sent, where nothing could be captured, or nothing travels: each stands behind its
/// call.
inline Events messages_of(const Events& calls, const std::vector<Handed>& handed = {}) {
    const bool datagrams = std::any_of(calls.begin(), calls.end(), [](const Event& event) {
        return event.text.find("new UDP socket") != std::string::npos ||
               event.text.find("datagram socket") != std::string::npos;
    });
    Events messages;
    Contents contents(handed, datagrams);
    std::set<std::string> ended;  // who has shut down already: close() adds nothing to that
    for (auto call = calls.begin(); call != calls.end(); ++call) {
        if (call->kind == Kind::state) contents.take_state(*call);
        if (call->kind != Kind::call) continue;
        const auto result = std::find_if(call, calls.end(), [&](const Event& other) {
            return other.kind == Kind::result && other.who == call->who;
        });
        if (result == calls.end() || result->text.starts_with("= -1")) continue;
        const auto state = result + 1;
        const bool was_connected = state != calls.end() && state->kind == Kind::state && state->time == result->time &&
                                   state->text.find("-> closed") != std::string::npos &&
                                   !has_any(state->text, {"bound ->", "listening ->", "LISTEN ->", "CLOSED ->"});
        Event message;
        message.kind = Kind::message;
        message.side = call->side;
        message.time = call->time;
        if (call->name == "send" || call->name == "sendto" || call->name == "sendmsg") {
            const std::string value = brief_result(result->text).substr(2);
            message.label = fmt::format("{} byte{}", value, value == "1" ? "" : "s");
            message.details = contents.of(*call, *result, std::strtoul(value.c_str(), nullptr, 10));
        } else if (call->name == "connect" && !datagrams) {
            message.label = "connection";
            ended.erase(call->who);
        } else if (call->name == "shutdown" && !datagrams) {
            message.label = "end";
            ended.insert(call->who);
        } else if (call->name == "close" && !datagrams && was_connected) {
            if (ended.erase(call->who) == 0) message.label = "end";
        }
        if (!message.label.empty()) messages.push_back(std::move(message));
    }
    return messages;
}

// ---- Weaving

/// One list of all, by time. What has the same time stays in the order in which it was given: a call's lines together.
inline Events weave(const std::vector<Events>& sources) {
    Events all;
    for (const Events& source : sources)
        all.insert(all.end(), source.begin(), source.end());
    std::stable_sort(all.begin(), all.end(), [](const Event& a, const Event& b) { return a.time < b.time; });
    std::map<std::pair<Side, std::string>, long> open, done;
    for (std::size_t i = 0; i < all.size(); ++i) {
        Event& event = all[i];
        const std::pair who{event.side, event.who};
        const auto here = static_cast<long>(i);
        if (event.kind == Kind::call) {
            open[who] = here;
        } else if (event.kind == Kind::result && open.count(who) != 0) {
            event.partner = open[who];
            all[static_cast<std::size_t>(event.partner)].partner = here;
            open.erase(who);
            done[who] = here;
        } else if (event.kind == Kind::state && done.count(who) != 0 &&
                   all[static_cast<std::size_t>(done[who])].time == event.time) {
            event.partner = done[who];
        }
    }
    return all;
}

}  // namespace diagram
