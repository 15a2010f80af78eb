#pragma once
// The diagram as a picture (SVG 1.1), and in a page of its own that needs nothing else: point at a row for what is in
// it, or go through them with the arrow keys. Readable without colours: what an arrow is says its line.

#include "common/explanations.hpp"
#include "scripts/wire_layout.hpp"

namespace diagram {

/// Text in XML and HTML.
inline std::string xml(std::string_view text) {
    std::string safe;
    for (std::size_t at = 0; at < text.size(); ++at) {
        const char c = text[at];
        if (text.substr(at, 2) == "\xEF\xBF" && at + 2 < text.size() &&
            static_cast<unsigned char>(text[at + 2]) >= 0xBE) {
            safe += '?';  // U+FFFE and U+FFFF may not stand in XML
            at += 2;
        } else if (c == '&') {
            safe += "&amp;";
        } else if (c == '<') {
            safe += "&lt;";
        } else if (c == '>') {
            safe += "&gt;";
        } else if (c == '"') {
            safe += "&quot;";
        } else {
            safe += c;
        }
    }
    return safe;
}

/// What there is to say of a row, in lines: of a call its text, where it stands, how it ended, what it changed, and
/// what such a call does; of a packet its header.
inline std::string about_cell(const Diagram& diagram, const Cell& cell) {
    const auto event_at = [&](long index) -> const Event& { return diagram.events[static_cast<std::size_t>(index)]; };
    const Event& event = event_at(cell.event);
    if (event.kind == Kind::state) return fmt::format("{}\n{}\n", escaped(event.text), escaped(event.place));
    std::string text = fmt::format("{}\n{}{}{}\n", escaped(event.text), escaped(event.place),
                                   event.who.empty() ? "" : ", ", event.who);
    if (event.partner != nothing && (cell.result != nothing || !cell.begins)) {
        text += escaped(event_at(event.partner).text) + "\n";
        for (const Event& state : diagram.events)
            if (state.kind == Kind::state && state.partner == event.partner) text += escaped(state.text) + "\n";
    }
    if (const Explanation* found = find_explanation(event.name))
        text += fmt::format("\n{}: {}\n", event.name, narrator::speaks_korean() ? found->korean : found->english);
    return text;
}

/// A decoded packet, of which the parts begin with a heading of four blanks: TCP before IP, and that before Ethernet.
inline std::string innermost_first(const std::string& header) {
    std::string sorted, part;
    for (std::size_t begin = 0; begin < header.size();) {
        const std::size_t end = std::min(header.find('\n', begin), header.size() - 1) + 1;
        const std::string row = header.substr(begin, end - begin);
        const bool heading =
            row.size() > 4 && row.starts_with("    ") && std::isalpha(static_cast<unsigned char>(row[4])) != 0;
        if (heading) sorted.insert(0, std::exchange(part, ""));
        part += row;
        begin = end;
    }
    return part + sorted;
}

inline std::string about(const Diagram& diagram, const Row& row) {
    std::string text;
    if (row.arrow != nothing) {
        const Event& event = diagram.events[static_cast<std::size_t>(row.arrow)];
        text = event.packet ? sniffer::summary(*event.packet) + "\n" : event.label + "\n";
        for (const std::string& detail : event.details)
            text += detail + "\n";
        if (!event.header.empty()) text += "\n" + innermost_first(event.header);
        return text;
    }
    for (const Cell& cell : row.cells)
        if (cell.event != nothing) text += about_cell(diagram, cell);
    return text;
}

class Picture {
public:
    Picture(const Diagram& diagram, std::size_t most_rows) : diagram_(diagram), most_rows_(most_rows) {}

    std::string draw() {
        int y = top;
        const bool none[2] = {false, false};
        const bool* before = none;
        const std::size_t count = diagram_.rows.size();
        const Fold fold = fold_of(count, most_rows_);
        for (std::size_t i = 0; i < count; ++i) {
            const Row& row = diagram_.rows[i];
            if (!fold.hides(i, count)) {
                draw(row, before, y);
                y += height(row);
            } else if (i == fold.first) {
                rows_ += text_at("note", server_text, y + 24,
                                 fmt::format("... {} more rows (--all shows them)", count - fold.first - fold.last));
                y += 2 * line;
            }
            before = row.busy;
        }
        int note_y = y + 30;
        std::string notes = legend(note_y);
        for (const std::string& note : diagram_.notes) {
            for (const std::string& part : wrapped(note, 160))
                notes += text_at("note", time_x, note_y += 18, part) + "\n";
        }
        return fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"wire\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" "
            "height=\"{1}\" role=\"img\" aria-label=\"{2}: sequence diagram\">\n<style>\n{3}</style>\n"
            "<rect class=\"paper\" width=\"{0}\" height=\"{1}\"/>\n{4}{5}{6}</svg>\n",
            width, note_y + 16, xml(diagram_.pair), style, heading(), rows_, notes);
    }

private:
    static constexpr int width = 1290, top = 64, line = 20;
    static constexpr int time_x = 12, server_text = 84, server_x = 446, client_x = 872, client_text = 888;
    static constexpr int middle_x = (server_x + client_x) / 2;
    static constexpr std::size_t column = 46, most_details = 4;
    static constexpr const char* style =
        ".wire{--paper:#fff;--ink:#111;--quiet:#5a5a5a;--server:#0b4f8a;--client:#7a2a00;"
        "font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}\n"
        ".wire .paper{fill:var(--paper)}\n"
        ".wire text{fill:var(--ink);white-space:pre}\n"
        ".wire .time,.wire .note,.wire .state{fill:var(--quiet)}\n"
        ".wire .state{font-style:italic}\n"
        ".wire .fails{font-weight:bold}\n"
        ".wire .title{font-weight:bold;font-size:16px}\n"
        ".wire .side{font-weight:bold}\n"
        ".wire .label,.wire .detail{text-anchor:middle;paint-order:stroke;stroke:var(--paper);stroke-width:4px}\n"
        ".wire .detail{fill:var(--quiet);font-size:12px}\n"
        ".wire .life{stroke:var(--ink);stroke-width:1}\n"
        ".wire .busy{fill:none;stroke:var(--ink);stroke-width:1.2}\n"
        ".wire .line{fill:none;stroke:var(--ink);stroke-width:1.4}\n"
        ".wire .from-server{stroke:var(--server)}.wire .from-client{stroke:var(--client)}\n"
        ".wire .head-server{fill:var(--server)}.wire .head-client{fill:var(--client)}\n"
        ".wire .control{stroke-width:2.8}.wire .ack{stroke-dasharray:6 4}.wire .icmp{stroke-dasharray:1.5 3.5;"
        "stroke-width:2.4}\n"
        ".wire .hit{fill:transparent}\n";

    static std::string text_at(const char* kind, int x, int y, const std::string& text) {
        return fmt::format("<text class=\"{}\" x=\"{}\" y=\"{}\">{}</text>", kind, x, y, xml(text));
    }

    std::string heading() const {
        std::string text = text_at("title", time_x, 24, diagram_.pair) + "\n" + text_at("note", time_x, 48, "ms") +
                           text_at("side", server_text, 48, "server") + text_at("side", client_text, 48, "client");
        if (diagram_.has_middle)
            text += fmt::format("<text class=\"side label\" x=\"{}\" y=\"48\">trouble</text>", middle_x);
        return text + "\n";
    }

    /// What the lines mean.
    std::string legend(int y) const {
        struct Meaning {
            const char *line, *text;
        };
        static constexpr Meaning meanings[] = {
            {"control", "SYN, FIN, RST"}, {"", "data"}, {"ack", "ACK alone"}, {"icmp", "ICMP"}};
        std::string text;
        int x = time_x;
        if (diagram_.captured) {
            for (const Meaning& kind : meanings) {
                text += fmt::format("<path class=\"line {}\" d=\"M{} {}h40\"/>", kind.line, x, y - 4);
                text += text_at("note", x + 48, y, kind.text);
                x += 48 + static_cast<int>(std::string_view(kind.text).size()) * 8 + 24;
            }
        }
        text += fmt::format("<rect class=\"busy\" x=\"{}\" y=\"{}\" width=\"7\" height=\"14\"/>", x, y - 11);
        return text + text_at("note", x + 16, y, "a call under way") + "\n";
    }

    int height(const Row& row) const {
        if (row.arrow == nothing) return line;
        const Event& event = diagram_.events[static_cast<std::size_t>(row.arrow)];
        return 32 + 15 * static_cast<int>(std::min(event.details.size(), most_details));
    }

    /// The lines down from both sides beside a row, and a box on them while a call is under way. What is under way
    /// changes in the middle of the row.
    std::string lifelines(const Row& row, const bool* before, int y) const {
        std::string text;
        const int bottom = y + height(row), middle = y + line / 2;
        if (diagram_.has_middle) text += fmt::format("<path class=\"life ack\" d=\"M{} {}V{}\"/>", middle_x, y, bottom);
        for (const std::size_t side : {0U, 1U}) {
            const int x = side == 0 ? server_x : client_x;
            const auto piece = [&](bool busy, int from, int to) {
                if (!busy) return fmt::format("<path class=\"life\" d=\"M{} {}V{}\"/>", x, from, to);
                return fmt::format("<path class=\"busy\" d=\"M{0} {2}V{3}M{1} {2}V{3}\"/>", x - 4, x + 4, from, to);
            };
            const bool was = before[side], is = row.busy[side];
            text += piece(was, y, middle) + piece(is, middle, bottom);
            const Cell& cell = row.cells[side];
            if (was != is) text += fmt::format("<path class=\"busy\" d=\"M{} {}h8\"/>", x - 4, middle);
            if (!was && !is && cell.begins)
                text +=
                    fmt::format("<rect class=\"busy\" x=\"{}\" y=\"{}\" width=\"8\" height=\"8\"/>", x - 4, middle - 4);
        }
        return text;
    }

    void draw(const Row& row, const bool* before, int y) {
        rows_ += fmt::format(
            "<g class=\"row{}\"><title>{}</title><rect class=\"hit\" x=\"0\" y=\"{}\" width=\"{}\" "
            "height=\"{}\"/>",
            row.arrow == nothing ? "" : " arrow", xml(about(diagram_, row)), y, width, height(row));
        rows_ += lifelines(row, before, y);
        if (row.arrow != nothing) {
            rows_ += text_at("time", time_x, y + 22, time_text(diagram_, row.time));
            draw_arrow(diagram_.events[static_cast<std::size_t>(row.arrow)], y);
        }
        for (const std::size_t side : {0U, 1U}) {
            const Cell& cell = row.cells[side];
            if (cell.event == nothing) continue;
            const bool state = diagram_.events[static_cast<std::size_t>(cell.event)].kind == Kind::state;
            if (!state) rows_ += text_at("time", time_x, y + 14, time_text(diagram_, row.time));
            rows_ += text_at(state        ? "state"
                             : cell.fails ? "fails"
                                          : "call",
                             side == 0 ? server_text : client_text, y + 14, cell_text(diagram_, cell, column));
        }
        rows_ += "</g>\n";
    }

    static const char* kind_of(const Event& event) {
        if (!event.packet) return "";
        if (event.packet->icmp) return "icmp";
        if (!event.packet->tcp) return "";
        const unsigned flags = event.packet->tcp->flags;
        if ((flags & (sniffer::flag_syn | sniffer::flag_fin | sniffer::flag_rst)) != 0) return "control";
        return event.packet->payload_length == 0 ? "ack" : "";
    }

    void draw_arrow(const Event& event, int y) {
        const bool to_server = event.side == Side::client;
        const int left = (event.leg == Leg::of_client ? middle_x : server_x) + 5;
        const int right = (event.leg == Leg::of_server ? middle_x : client_x) - 5;
        const int from = to_server ? right : left, to = to_server ? left : right, back = to_server ? 9 : -9;
        const int center = (server_x + client_x) / 2, at = y + 22;
        const char* who = to_server ? "client" : "server";
        rows_ +=
            fmt::format("<path class=\"line {} from-{}\" d=\"M{} {}H{}\"/>", kind_of(event), who, from, at, to + back);
        if (event.dropped) {
            rows_ += fmt::format("<path class=\"line control from-{0}\" d=\"M{1} {2}l12 12m0 -12l-12 12\"/>", who,
                                 to - 6, at - 6);
        } else {
            rows_ += fmt::format("<path class=\"head-{0}\" d=\"M{1} {2}l{3} -5v10z\"/>", who, to, at, back);
        }
        const int label_x = event.leg == Leg::whole ? center : (left + right) / 2;
        rows_ += text_at("label", label_x, y + 14, cut(event.label, 50));
        for (std::size_t i = 0; i < std::min(event.details.size(), most_details); ++i)
            rows_ += text_at("detail", label_x, at + 15 + 15 * static_cast<int>(i),
                             cut(event.details[i], event.leg == Leg::whole ? 54 : 27));
    }

    const Diagram& diagram_;
    std::size_t most_rows_;
    std::string rows_;
};

/// most_rows: more are left out in the middle; 0: none are.
inline std::string draw_svg(const Diagram& diagram, std::size_t most_rows = 0) {
    return Picture(diagram, most_rows).draw();
}

inline std::string draw_html(const Diagram& diagram, std::size_t most_rows = 0) {
    static constexpr const char* before = R"(<style>
:root{color-scheme:light dark;--back:#fff;--front:#111;--edge:#767676;--mark:#fff3bf}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--front);font:15px system-ui,sans-serif}
#stage{overflow-x:auto;padding-bottom:16rem}
#stage svg{display:block;margin:0 auto;min-width:900px;width:100%;max-width:1500px;height:auto}
#panel{position:fixed;left:0;right:0;bottom:0;height:15rem;background:var(--back);border-top:2px solid var(--edge);
display:flex;flex-direction:column}
#bar{display:flex;gap:.5rem;align-items:center;padding:.4rem .8rem;flex-wrap:wrap}
#bar button{font:inherit;padding:.15rem .7rem;color:inherit;background:var(--back);border:1px solid var(--edge);
border-radius:4px}
#about{margin:0;padding:.2rem .8rem .8rem;overflow:auto;flex:1;white-space:pre-wrap;
font:13px ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace}
.row{cursor:pointer}
#about.table{white-space:pre}
.row.later{visibility:hidden}
.row.now .hit,.row:hover .hit{fill:var(--mark)}
@media (prefers-color-scheme:dark){:root{--back:#161616;--front:#eee;--edge:#8a8a8a;--mark:#3d3600}
.wire{--paper:#161616!important;--ink:#eee!important;--quiet:#a8a8a8!important;--server:#8cc4ff!important;
--client:#ffb48a!important}}
@media print{#panel{display:none}#stage{padding:0}.row.later{visibility:visible}.row .hit{fill:none!important}
:root{--back:#fff;--front:#111}.wire{--paper:#fff!important;--ink:#000!important;--quiet:#333!important;
--server:#000!important;--client:#000!important}}
</style>
</head>
<body>
<div id="stage">
)";
    static constexpr const char* after = R"(</div>
<div id="panel">
<div id="bar"><button id="back" type="button">&larr; @BACK@</button><button id="next" type="button">@NEXT@ &rarr;</button>
<button id="whole" type="button">@ALL@</button><span id="where"></span></div>
<pre id="about" aria-live="polite">@HINT@</pre>
</div>
<script>
'use strict';
const rows = [...document.querySelectorAll('.row')];
const about = document.getElementById('about');
const where = document.getElementById('where');
const texts = rows.map((row) => {
    const title = row.querySelector('title');
    title.remove(); // the panel says it
    return title.textContent;
});
let now = -1; // the row that was stepped to; -1: all are shown
function tell(i) {
    about.textContent = texts[i];
    about.classList.toggle('table', rows[i].classList.contains('arrow'));
    about.scrollTop = 0;
}
function go(to) {
    now = Math.max(-1, Math.min(rows.length - 1, to));
    rows.forEach((row, i) => {
        row.classList.toggle('later', now >= 0 && i > now);
        row.classList.toggle('now', i === now);
    });
    where.textContent = now < 0 ? `${rows.length} rows` : `${now + 1} of ${rows.length}`;
    if (now < 0) return;
    tell(now);
    rows[now].scrollIntoView({ block: 'center', inline: 'nearest' });
}
rows.forEach((row, i) => {
    row.addEventListener('mouseenter', () => tell(i));
    row.addEventListener('mouseleave', () => { if (now >= 0) tell(now); });
    row.addEventListener('click', () => go(i));
});
const keys = { ArrowRight: () => go(now + 1), ArrowDown: () => go(now + 1), PageDown: () => go(now + 1), Home: () => go(0),
    ArrowLeft: () => go(Math.max(now - 1, 0)), ArrowUp: () => go(Math.max(now - 1, 0)),
    PageUp: () => go(Math.max(now - 1, 0)), End: () => go(rows.length - 1), Escape: () => go(-1) };
document.addEventListener('keydown', (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
});
document.getElementById('back').addEventListener('click', keys.ArrowLeft);
document.getElementById('next').addEventListener('click', keys.ArrowRight);
document.getElementById('whole').addEventListener('click', keys.Escape);
go(-1);
</script>
</body>
</html>
)";
    const bool korean = narrator::speaks_korean();
    const std::pair<const char*, const char*> words[] = {
        {"@BACK@", korean ? "이전" : "back"},
        {"@NEXT@", korean ? "다음" : "next"},
        {"@ALL@", korean ? "전체" : "all"},
        {"@HINT@",
         korean ? "줄을 가리키면 설명이 나온다. 화살표 키로 한 단계씩 간다. Home: 처음, Escape: 다시 전체."
                : "Point at a row, or go through them with the arrow keys. Home: the first; Escape: all again."}};
    std::string controls = after;
    for (const auto& [mark, word] : words)
        controls.replace(controls.find(mark), std::string_view(mark).size(), word);
    const std::string title = xml(diagram.pair) + ": what really happened";
    const std::string head = fmt::format(
        "<!doctype html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" "
        "content=\"width=device-width\">\n<title>{}</title>\n",
        korean ? "ko" : "en", title);
    return head + before + draw_svg(diagram, most_rows) + controls;
}

}  // namespace diagram
