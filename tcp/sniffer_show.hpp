#pragma once
// A packet as one line, as one line of JSON, and byte by byte.

#include "common/address.hpp"
#include "common/errors.hpp"
#include "tcp/sniffer_packet.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <string>
#include <vector>

namespace sniffer {

constexpr std::size_t shown_of_payload = 64;

inline std::string_view payload_of(const Packet& packet) {
    const std::size_t begin = std::min(packet.payload_offset, packet.bytes.size());
    return packet.view().substr(begin, packet.payload_length);
}

// ---- One line

inline std::string option_text(const TcpOption& option) {
    if (option.name == "MSS") return fmt::format("MSS {}", option.numbers[0]);
    if (option.name == "window scale") return fmt::format("window scale {}", option.numbers[0]);
    if (option.name == "unknown") return fmt::format("option {}", option.kind);
    return option.name;
}

/// The options of a SYN, and the SACK blocks of any segment. Timestamps stand on every one, and would say little here.
inline std::string options_text(const Tcp& tcp, std::uint32_t begin_of_acks) {
    std::vector<std::string> parts;
    const bool syn = (tcp.flags & flag_syn) != 0;
    for (const TcpOption& option : tcp.options) {
        if (option.name == "SACK") {
            std::string blocks = "SACK";
            for (std::size_t i = 0; i + 1 < option.numbers.size(); i += 2)
                blocks +=
                    fmt::format(" {}-{}", option.numbers[i] - begin_of_acks, option.numbers[i + 1] - begin_of_acks);
            parts.push_back(blocks);
        } else if (option.kind > 1 && option.name != "timestamps" && (syn || option.name == "unknown")) {
            parts.push_back(option_text(option));
        }
    }
    return parts.empty() ? "" : "  <" + joined(parts) + ">";
}

/// `  6 bytes "hello\n"`
inline std::string payload_text(const Packet& packet) {
    const std::string_view payload = payload_of(packet);
    if (payload.empty()) return "";
    const std::string_view first = payload.substr(0, 32);
    return fmt::format("  {} byte{} \"{}\"{}", payload.size(), payload.size() == 1 ? "" : "s", escaped(first),
                       first.size() < payload.size() ? "..." : "");
}

inline std::string end_text(const std::string& host, unsigned port) {
    return host_and_port(host, static_cast<std::uint16_t>(port));
}

inline std::string quoted_end(const std::string& host, const std::optional<unsigned>& port) {
    return port ? end_text(host, *port) : host;
}

/// "127.0.0.1:40000 > 127.0.0.1:7000  SYN  seq 0  window 65495"
inline std::string summary(const Packet& packet) {
    std::string text;
    for (const unsigned vlan : packet.vlans)
        text += fmt::format("VLAN {}  ", vlan);
    if (packet.arp) {
        const Arp& arp = *packet.arp;
        text += arp.operation == 1
                    ? fmt::format("ARP  {} ({}) asks who has {}", arp.sender_ip, arp.sender, arp.target_ip)
                : arp.operation == 2 ? fmt::format("ARP  {} is at {}", arp.sender_ip, arp.sender)
                                     : fmt::format("ARP  operation {}", arp.operation);
    } else if (packet.ip && packet.tcp) {
        const Tcp& tcp = *packet.tcp;
        text += fmt::format("{} > {}  {}  seq {}", end_text(packet.ip->source, tcp.source_port),
                            end_text(packet.ip->destination, tcp.destination_port), joined(flags_of(tcp)),
                            tcp.relative_seq);
        if ((tcp.flags & flag_ack) != 0) text += fmt::format("  ack {}", tcp.relative_ack);
        if ((tcp.flags & flag_rst) == 0)  // whose window nobody will use
            text += fmt::format("  window {}{}", tcp.scaled_window.value_or(tcp.window), tcp.scaled_window ? "" : "?");
        text += options_text(tcp, tcp.ack - tcp.relative_ack) + payload_text(packet);
    } else if (packet.ip && packet.udp) {
        text += fmt::format("{} > {}  UDP", end_text(packet.ip->source, packet.udp->source_port),
                            end_text(packet.ip->destination, packet.udp->destination_port));
        text += packet.payload_length == 0 ? "  empty" : payload_text(packet);
    } else if (packet.ip && packet.icmp) {
        const Icmp& icmp = *packet.icmp;
        text += fmt::format("{} > {}  {}  {}", packet.ip->source, packet.ip->destination,
                            icmp.version == 4 ? "ICMP" : "ICMPv6", icmp.meaning);
        if (icmp.echo) text += fmt::format("  id {}  number {}", icmp.echo->first, icmp.echo->second);
        if (icmp.about) {
            text += fmt::format("  about {} {} > {}", protocol_name(icmp.about->protocol),
                                quoted_end(icmp.about->source, icmp.about->source_port),
                                quoted_end(icmp.about->destination, icmp.about->destination_port));
        }
    } else if (packet.ip) {
        text += fmt::format("{} > {}  {}  {} bytes", packet.ip->source, packet.ip->destination,
                            protocol_name(packet.ip->protocol), packet.payload_length);
    } else {
        text += fmt::format("type 0x{:04x}  {} bytes", packet.ethertype, packet.bytes.size());
    }
    if (packet.ip && packet.ip->is_fragment) {
        text += fmt::format("  [fragment of id {} at byte {}{}]", packet.ip->id, packet.ip->fragment_offset,
                            packet.ip->more_fragments ? ", more come" : ", the last");
    }
    for (const std::string& problem : packet.problems)
        text += fmt::format("  [{}]", problem);
    return text;
}

// ---- JSON (RFC 8259)

/// Names and values with commas between them. Nested objects are given as text.
class Object {
public:
    Object& number(const char* name, std::int64_t value) { return raw(name, fmt::format("{}", value)); }
    Object& flag(const char* name, bool value) { return raw(name, value ? "true" : "false"); }
    Object& text(const char* name, std::string_view value) { return raw(name, quoted(value)); }
    Object& list(const char* name, const std::vector<std::string>& values) {
        std::vector<std::string> items;
        items.reserve(values.size());
        for (const std::string& value : values)
            items.push_back(quoted(value));
        return raw(name, "[" + joined(items, ",") + "]");
    }
    Object& raw(const char* name, const std::string& json) {
        text_ += fmt::format("{}{}:{}", text_.empty() ? "" : ",", quoted(name), json);
        return *this;
    }
    std::string done() const { return "{" + text_ + "}"; }

    /// What comes from outside is escaped() before, so that it is UTF-8 without control characters.
    static std::string quoted(std::string_view value) {
        std::string text = "\"";
        for (const char byte : value) {
            if (byte == '"' || byte == '\\') text += '\\';
            text += byte;
        }
        return text + '"';
    }

private:
    std::string text_;
};

inline std::string json_of(const Ip& ip) {
    Object object;
    object.number("version", ip.version).text("source", ip.source).text("destination", ip.destination);
    object.number("protocol", ip.protocol).number("hops", ip.hops).number("traffic_class", ip.traffic_class);
    object.number("header_length", static_cast<std::int64_t>(ip.header_length));
    object.number("total_length", static_cast<std::int64_t>(ip.total_length));
    object.number("id", ip.id).flag("dont_fragment", ip.dont_fragment).flag("more_fragments", ip.more_fragments);
    object.number("fragment_offset", ip.fragment_offset);
    if (ip.checksum) object.text("checksum", checksum_text(*ip.checksum));
    return object.done();
}

inline std::string json_of(const TcpOption& option) {
    Object object;
    object.number("kind", option.kind).text("name", option.name);
    if (option.name == "timestamps") {
        object.number("value", option.numbers[0]).number("echo", option.numbers[1]);
    } else if (option.name == "SACK") {
        std::vector<std::string> blocks;
        blocks.reserve(option.numbers.size() / 2);
        for (std::size_t i = 0; i + 1 < option.numbers.size(); i += 2)
            blocks.push_back(fmt::format("[{},{}]", option.numbers[i], option.numbers[i + 1]));
        object.raw("blocks", "[" + joined(blocks, ",") + "]");
    } else if (!option.numbers.empty()) {
        object.number("value", option.numbers[0]);
    } else if (!option.raw.empty()) {
        object.text("bytes", option.raw);
    }
    return object.done();
}

inline std::string json_of(const Tcp& tcp) {
    Object object;
    object.number("source_port", tcp.source_port).number("destination_port", tcp.destination_port);
    object.list("flags", flags_of(tcp)).number("seq", tcp.seq).number("ack", tcp.ack);
    object.number("relative_seq", tcp.relative_seq).number("relative_ack", tcp.relative_ack);
    object.number("header_length", static_cast<std::int64_t>(tcp.header_length)).number("window", tcp.window);
    object.raw("scaled_window", tcp.scaled_window ? fmt::format("{}", *tcp.scaled_window) : "null");
    object.text("checksum", checksum_text(tcp.checksum)).number("urgent", tcp.urgent);
    std::vector<std::string> options;
    for (const TcpOption& option : tcp.options)
        options.push_back(json_of(option));
    return object.raw("options", "[" + joined(options, ",") + "]").done();
}

inline std::string json_of(const Udp& udp) {
    Object object;
    object.number("source_port", udp.source_port).number("destination_port", udp.destination_port);
    object.number("length", static_cast<std::int64_t>(udp.length)).text("checksum", checksum_text(udp.checksum));
    return object.done();
}

inline std::string json_of(const Icmp& icmp) {
    Object object;
    object.number("version", icmp.version).number("type", icmp.type).number("code", icmp.code);
    object.text("meaning", icmp.meaning).text("checksum", checksum_text(icmp.checksum));
    if (icmp.echo) object.number("identifier", icmp.echo->first).number("number", icmp.echo->second);
    if (icmp.about) {
        Object about;
        about.number("protocol", icmp.about->protocol).text("source", icmp.about->source);
        about.text("destination", icmp.about->destination);
        if (icmp.about->source_port) {
            about.number("source_port", *icmp.about->source_port);
            about.number("destination_port", *icmp.about->destination_port);
        }
        object.raw("about", about.done());
    }
    return object.done();
}

inline std::string json_of(const Arp& arp) {
    Object object;
    object.number("operation", arp.operation).text("sender", arp.sender).text("sender_ip", arp.sender_ip);
    return object.text("target", arp.target).text("target_ip", arp.target_ip).done();
}

/// One line. "time" is in nanoseconds since 1970, as in the --trace-log of every program.
inline std::string json_of(const Packet& packet) {
    Object object;
    object.number("number", static_cast<std::int64_t>(packet.number)).number("time", packet.time);
    object.number("length", static_cast<std::int64_t>(packet.length));
    object.number("captured", static_cast<std::int64_t>(packet.bytes.size()));
    object.text("summary", summary(packet));
    if (!packet.source_mac.empty()) {
        Object ethernet;
        ethernet.text("source", packet.source_mac).text("destination", packet.destination_mac);
        object.raw("ethernet", ethernet.number("type", packet.ethertype).done());
    }
    if (!packet.vlans.empty()) {
        std::vector<std::string> vlans;
        for (const unsigned vlan : packet.vlans)
            vlans.push_back(fmt::format("{}", vlan));
        object.raw("vlans", "[" + joined(vlans, ",") + "]");
    }
    if (packet.arp) object.raw("arp", json_of(*packet.arp));
    if (packet.ip) object.raw("ip", json_of(*packet.ip));
    if (packet.tcp) object.raw("tcp", json_of(*packet.tcp));
    if (packet.udp) object.raw("udp", json_of(*packet.udp));
    if (packet.icmp) object.raw("icmp", json_of(*packet.icmp));
    const std::string_view payload = payload_of(packet);
    object.number("payload_length", static_cast<std::int64_t>(payload.size()));
    object.text("payload", hex(payload.substr(0, shown_of_payload)));
    return object.list("problems", packet.problems).done();
}

// ---- Byte by byte

/// Each field with the bytes that it is made of, eight a line.
inline std::string fields_text(const Packet& packet) {
    std::string text;
    for (const Field& field : packet.fields) {
        if (field.length == 0) {
            text += fmt::format("    {}\n", field.name);
            continue;
        }
        const bool data = field.name == "data";
        const std::size_t end = std::min(field.offset + field.length, packet.bytes.size());
        const std::size_t shown = data ? std::min(end, field.offset + shown_of_payload) : end;
        for (std::size_t line = field.offset; line < shown; line += 8) {
            const std::string_view bytes = packet.view().substr(line, std::min<std::size_t>(8, shown - line));
            std::string row = fmt::format("    {:4}  {:23}", line, hex(bytes, " "));
            if (data) row += "   " + escaped(bytes);
            if (!data && line == field.offset) row += fmt::format("   {:16} {}", field.name, field.meaning);
            text += row.substr(0, row.find_last_not_of(' ') + 1) + "\n";
        }
        if (shown < end) text += fmt::format("          and {} bytes more\n", end - shown);
    }
    return text;
}

}  // namespace sniffer
