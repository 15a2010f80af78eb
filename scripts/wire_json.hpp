#pragma once
// The diagram for other programs: JSON (RFC 8259), in which "events" are in the order of the diagram, and times are
// nanoseconds since 1970. A packet stands in its event as tcp/sniffer --json prints it.

#include "scripts/wire_layout.hpp"
#include "tcp/sniffer_show.hpp"

namespace diagram {

inline const char* name_of(Side side) { return side == Side::server ? "server" : "client"; }
inline const char* name_of(Kind kind) {
    constexpr const char* names[] = {"call", "result", "state", "packet", "message"};
    return names[static_cast<std::size_t>(kind)];
}
inline const char* name_of(Leg leg) {
    constexpr const char* names[] = {"server-client", "server-middle", "middle-client"};
    return names[static_cast<std::size_t>(leg)];
}

inline std::string json_of(const Event& event) {
    sniffer::Object object;
    object.number("time", event.time).text("side", name_of(event.side)).text("kind", name_of(event.kind));
    if (event.kind == Kind::packet || event.kind == Kind::message) {
        object.text("leg", name_of(event.leg)).text("label", event.label).list("details", event.details);
        object.flag("retransmission", event.again).flag("dropped", event.dropped);
        if (event.packet) object.raw("packet", sniffer::json_of(*event.packet));
        return object.done();
    }
    object.text("who", event.who).text("place", escaped(event.place)).text("name", escaped(event.name));
    object.text("text", escaped(event.text));
    if (event.partner != nothing) object.number(event.kind == Kind::call ? "result" : "call", event.partner);
    return object.done();
}

/// One event a line.
inline std::string draw_json(const Diagram& diagram) {
    std::string events;
    for (const Event& event : diagram.events)
        events += (events.empty() ? "\n" : ",\n") + json_of(event);
    std::vector<std::string> notes;
    for (const std::string& note : diagram.notes)
        notes.push_back(escaped(note));
    sniffer::Object object;
    object.text("pair", escaped(diagram.pair)).flag("captured", diagram.captured).flag("middle", diagram.has_middle);
    return object.list("notes", notes).raw("events", "[" + events + "\n]").done() + "\n";
}

}  // namespace diagram
