#pragma once
// From what a run has written, or has written so far, to its diagram.

#include "scripts/wire_layout.hpp"
#include "scripts/wire_run.hpp"
#include "tcp/sniffer_pcap.hpp"

#include <langinfo.h>
#include <locale.h>

namespace diagram {

/// The packets of a file that is perhaps still being written.
inline Events packets_of(const Outcome& outcome) {
    Traffic traffic(outcome.ports, outcome.lost_every);
    Events packets;
    sniffer::PcapReader file(outcome.capture);
    while (std::optional<sniffer::Packet> packet = file.next()) {
        packet->number = packets.size() + 1;
        if (std::optional<Event> event = traffic.take(std::move(*packet))) packets.push_back(std::move(*event));
    }
    add_fates(packets, outcome.fates);
    return packets;
}

/// All of it in one order, with its rows; all: see lay_out(). What came when the server was already being ended is left
/// out.
inline Diagram weave_run(const std::string& pair, const Outcome& outcome, bool all = false) {
    Diagram drawn;
    drawn.pair = pair;
    drawn.has_middle = outcome.ports.has_middle();
    drawn.captured = outcome.captured;
    drawn.notes = outcome.notes;
    const Events server = read_log(outcome.server_log, Side::server),
                 client = read_log(outcome.client_log, Side::client);
    std::vector<Events> sources{server, client};
    if (outcome.captured) {
        sources.insert(sources.begin(), packets_of(outcome));
    } else {
        const std::vector<Handed> handed = read_handed(outcome.handed);
        sources.push_back(messages_of(server, handed));
        sources.push_back(messages_of(client, handed));
    }
    if (outcome.stopped != 0) {
        for (Events& source : sources)
            std::erase_if(source, [&](const Event& event) { return event.time > outcome.stopped; });
    }
    drawn.events = weave(sources);
    drawn.rows = lay_out(drawn.events, all);
    return drawn;
}

inline bool terminal_knows_utf8() {
    setlocale(LC_CTYPE, "");
    const bool utf8 = std::string(nl_langinfo(CODESET)) == "UTF-8";
    setlocale(LC_CTYPE, "C");
    return utf8;
}

}  // namespace diagram
