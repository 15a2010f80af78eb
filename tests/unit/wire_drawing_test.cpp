// The drawings of scripts/wire: rows, and what becomes of them as text, as a picture, as a page and as JSON.

#include "scripts/wire_json.hpp"
#include "scripts/wire_page.hpp"
#include "scripts/wire_text.hpp"
#include "tcp/sniffer_pcap.hpp"
#include "tests/catch.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

using namespace diagram;

namespace {

std::string line(int time, const std::string& kind, const std::string& text, int process) {
    return fmt::format("{}\t{}\t0\t{}\ttcp/x.cpp:1\t{}\n", time * 1'000'000, process, kind, text);
}

/// A run made by hand; evil is what a peer has sent.
Diagram made_by_hand(const std::string& evil = "hello") {
    const Events server = read_log(
        line(0, "call", "listen(listener, SOMAXCONN)", 1) + line(0, "result", "= 0", 1) +
            line(0, "state", "fd 3  CLOSED -> LISTEN  127.0.0.1:7000  queue 0/4096", 1) +
            line(1, "call", "accept(listener, nullptr, nullptr)", 1) + line(6, "result", "= 4  (blocked 5.00 ms)", 1) +
            line(6, "state", "fd 4  new TCP socket: ESTABLISHED  127.0.0.1:7000 <-> 127.0.0.1:40000", 1) +
            line(6, "state", "fd 3  LISTEN  127.0.0.1:7000  queue 1 -> 0/4096", 1) +
            line(9, "call", "recv(connection, buffer, sizeof buffer, 0)", 1),
        Side::server);
    const Events client =
        read_log(line(2, "call", "connect(connection, address.get(), address.length())", 2) +
                     line(5, "result", "= 0", 2) + line(7, "call", "getsockname(fd, a, b)", 2) +
                     line(7, "result", "= 0", 2) + line(8, "call", "send(connection, next, count, 0)", 2) +
                     line(8, "result", "= -1 ECONNRESET (Connection reset by peer)", 2) +
                     line(8, "state", "fd 3  ESTABLISHED -> FIN_WAIT_2  127.0.0.1:40000 <-> 127.0.0.1:7000", 2),
                 Side::client);
    Event syn;
    syn.kind = Kind::packet;
    syn.time = 3'000'000;
    syn.side = Side::client;
    syn.label = "SYN seq 0 win 65495";
    Event answer = syn;
    answer.time = 4'000'000;
    answer.side = Side::server;
    answer.label = "PSH,ACK seq 1000000 len 65483 ack 1";
    answer.details = {"\"" + escaped(evil) + "\""};
    Diagram drawn;
    drawn.pair = "tcp/<x>";
    drawn.captured = true;
    drawn.events = weave({{syn, answer}, server, client});
    drawn.rows = lay_out(drawn.events);
    return drawn;
}

/// In XML as we write it, each tag that opens closes, in order.
void must_be_well_formed(const std::string& text) {
    std::vector<std::string> open;
    for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos; ++at) {
        const std::size_t end = text.find('>', at);
        REQUIRE(end != std::string::npos);
        const std::string tag = text.substr(at + 1, end - at - 1);
        REQUIRE(tag.find('<') == std::string::npos);
        if (tag.ends_with("/")) continue;
        const std::string name = tag.substr(0, tag.find(' '));
        if (!name.starts_with("/")) {
            open.push_back(name);
            continue;
        }
        REQUIRE_FALSE(open.empty());
        REQUIRE("/" + open.back() == name);
        open.pop_back();
    }
    CHECK(open.empty());
}

}  // namespace

TEST_CASE("wire: as text", "[unit][wire]") {
    const Diagram drawn = made_by_hand();
    CHECK(lines_of(TextDrawing(drawn, {}).draw()) ==
          std::vector<std::string>{
              "    ms server                                                           client",
              " 0.000 listen(listener, ..) = 0     ┃                                 │",
              "         fd 3 CLOSED→LISTEN         │                                 │",
              " 1.000 accept(listener, ..)         ┃                                 │",
              " 2.000                              ┃                                 ┃ connect(connection, ..)",
              " 3.000                              ┃<───── SYN seq 0 win 65495 ──────┃",
              " 4.000                              ┃─ PSH,ACK 1000000+65483 ack 1 ──>┃",
              "                                    ┃             \"hello\"             ┃",
              " 5.000                              ┃                                 ┃   connect = 0",
              " 6.000   accept = 4                 ┃                                 │",
              "         fd 4 new: ESTABLISHED      │                                 │",
              " 8.000                              │                                 ┃ send(..) = -1 ECONNRESET",
              "                                    │                                 │  fd 3 ESTABLISHED→FIN_WAIT_2",
              " 9.000 recv(connection, ..)         ┃                                 │",
          });
}

TEST_CASE("wire: as text in ASCII, in 100 columns, whatever a peer has sent", "[unit][wire]") {
    for (const std::string& evil : {std::string("hello"), std::string("\x1b[2J\r\n\0<&\">", 11),
                                    std::string("안녕하세요 여러분, 다시 "
                                                "만나서 반갑습니다"),
                                    std::string(5000, 'x'), std::string("\xff\xfe"), std::string("\xEF\xBF\xBF")}) {
        for (const bool middle : {false, true}) {
            Diagram drawn = made_by_hand(evil);
            drawn.has_middle = middle;
            drawn.notes = {"client: " + escaped(evil), "client: said " + escaped(evil) + " to us"};
            int which = 0;
            for (Event& event : drawn.events) {
                if (!middle || event.kind != Kind::packet) continue;
                event.leg = which++ % 2 == 0 ? Leg::of_client : Leg::of_server;
                event.dropped = true;
            }
            for (const std::size_t width : {80U, 100U, 133U}) {
                for (const std::string& row : lines_of(TextDrawing(drawn, {.width = width}).draw()))
                    CHECK(width_of(row) <= width);
                const std::string ascii = TextDrawing(drawn, {.ascii = true, .width = width}).draw();
                CHECK(std::all_of(ascii.begin(), ascii.end(),
                                  [](char c) { return c == '\n' || (c >= ' ' && c < 0x7F); }));
                for (const std::string& row : lines_of(ascii))
                    CHECK(row.size() <= width);
            }
            const std::string svg = draw_svg(drawn);
            must_be_well_formed(svg.substr(0, svg.find("<style>")) + svg.substr(svg.find("</style>") + 8));
            CHECK(svg.find("tcp/&lt;x&gt;") != std::string::npos);
            CHECK(svg.find("\xEF\xBF\xBF") == std::string::npos);
            const std::string html = draw_html(drawn);
            CHECK(count_of(html, "<script>") == 1);
            CHECK(html.find("http") == html.find("http://www.w3.org/2000/svg"));  // it needs nothing from elsewhere
            const auto json = nlohmann::json::parse(draw_json(drawn));
            CHECK(json["events"].size() == drawn.events.size());
        }
    }
}

TEST_CASE("wire: rows", "[unit][wire]") {
    const Diagram drawn = made_by_hand();
    // What is left out by default: calls beside the matter, and states that say nothing new.
    CHECK(lay_out(drawn.events, true).size() == drawn.rows.size() + 2);
    REQUIRE(drawn.rows.size() == 12);
    CHECK(drawn.rows[0].cell(Side::server).result != nothing);  // a call that came back at once: one row
    CHECK_FALSE(drawn.rows[0].busy[0]);
    CHECK(drawn.rows[2].cell(Side::server).result == nothing);  // one that waited: two
    CHECK(drawn.rows[2].busy[0]);
    CHECK_FALSE(drawn.rows[2].busy[1]);
    CHECK((drawn.rows[4].busy[0] && drawn.rows[4].busy[1]));
    CHECK(drawn.rows[9].cell(Side::client).fails);
    CHECK(drawn.rows[11].busy[0]);  // to the end
    const std::string about_accept = about(drawn, drawn.rows[7]);
    CHECK_THAT(about_accept, ContainsSubstring("= 4  (blocked 5.00 ms)") && ContainsSubstring("tcp/x.cpp:1") &&
                                 ContainsSubstring("queue 1 -> 0/4096") && ContainsSubstring("\naccept: "));
}

TEST_CASE("wire: as text, narrow and wide, and what is new in it", "[unit][wire]") {
    const Diagram drawn = made_by_hand();
    const auto arrow = [&](const TextStyle& style) {
        for (const std::string& row : lines_of(TextDrawing(drawn, style).draw()))
            if (row.find("PSH") != std::string::npos || row.find("1000000") != std::string::npos) return row;
        return std::string();
    };
    CHECK(arrow({.width = 80}) == " 4.000" + std::string(23, ' ') + "┃ ACK 1000000+65483 ack 1 ─>┃");
    CHECK(arrow({.width = 120}) == " 4.000" + std::string(38, ' ') + "┃─── PSH,ACK 1000000+65483 ack 1 ────>┃");
    const std::vector<std::string> rows = lines_of(TextDrawing(drawn, {.new_from = 8'000'000}).draw());
    CHECK(rows[9].find('\033') == std::string::npos);
    REQUIRE(rows.size() == 14);
    for (std::size_t i = 11; i < rows.size(); ++i)
        CHECK((rows[i].starts_with("\033[1m") && rows[i].ends_with("\033[0m")));
}

TEST_CASE("wire: of states that are too long, the new one", "[unit][wire]") {
    Diagram drawn;
    drawn.events = weave({read_log(line(0, "call", "recv(a)", 1) + line(1, "result", "= 0", 1) +
                                       line(1, "state", "fd 4  connected -> peer sends no more  /a <-> (no name)", 1) +
                                       line(1, "state", "(closed)  ESTABLISHED -> FIN_WAIT_2  a <-> b", 1),
                                   Side::server)});
    drawn.rows = lay_out(drawn.events);
    const std::string text = TextDrawing(drawn, {}).draw();
    CHECK(lines_with(text, " fd 4 →peer sends no more ").size() == 1);
    CHECK(lines_with(text, "(closed) →FIN_WAIT_2 ").size() == 1);
}

TEST_CASE("wire: times in six columns", "[unit][wire]") {
    Diagram drawn;
    drawn.rows.resize(1);
    for (const auto& [time, text] : {std::pair<std::int64_t, std::string>{0, " 0.000"},
                                     {12'345'678, "12.346"},
                                     {99'999'400, "99.999"},
                                     {99'999'600, "100.00"},
                                     {999'994'000, "999.99"},
                                     {999'996'000, "1000.0"},
                                     {9'999'940'000, "9999.9"},
                                     {60'000'400'000, " 60000"},
                                     {999'999'400'000, "999999"},
                                     {999'999'600'000, " 1000s"},
                                     {3'600'000'000'000, " 3600s"}})
        CHECK(time_text(drawn, time) == text);
}

TEST_CASE("wire: long runs are shortened in the middle", "[unit][wire]") {
    std::string log;
    for (int i = 0; i < 1000; ++i)
        log += line(i, "call", fmt::format("send({})", i), 1) + line(i, "result", "= 1", 1);
    Diagram drawn;
    drawn.events = weave({read_log(log, Side::client)});
    drawn.rows = lay_out(drawn.events);
    CHECK(lines_of(TextDrawing(drawn, {}).draw()).size() == 1001);
    const std::string text = TextDrawing(drawn, {.ascii = true, .most_rows = 90}).draw();
    CHECK(lines_of(text).size() == 92);
    CHECK_THAT(text, ContainsSubstring("... 910 more rows (--all shows them)") && ContainsSubstring("send(59) = 1") &&
                         ContainsSubstring("send(970) = 1") && ContainsSubstring("send(999) = 1"));
    const std::string svg = draw_svg(drawn, 90);
    CHECK(count_of(svg, "<g class=\"row\">") == 90);
    CHECK_THAT(svg, ContainsSubstring("... 910 more rows (--all shows them)"));
    CHECK(text.find("send(60)") == std::string::npos);
    CHECK(text.find("send(969)") == std::string::npos);
}

TEST_CASE("wire: what changes a state", "[unit][wire]") {
    for (const char* text : {"fd 4  ESTABLISHED -> CLOSE_WAIT  a <-> b", "fd 4  new TCP socket: ESTABLISHED",
                             "(closed)  FIN_WAIT_2 -> TIME_WAIT  a <-> b", "fd 3  FIN_WAIT_1 -> closed"})
        CHECK(is_change(text));
    for (const char* text :
         {"fd 4  ESTABLISHED  a <-> b  unread 0 -> 6", "fd 3  LISTEN  queue 0 -> 1/4096", "fd 3  CLOSED  a"})
        CHECK_FALSE(is_change(text));
    CHECK(state_text("fd 4  ESTABLISHED -> CLOSE_WAIT  a <-> b  unread 0 -> 6") == "fd 4 ESTABLISHED -> CLOSE_WAIT");
    CHECK(state_text("fd 4  new TCP socket: ESTABLISHED  a <-> b") == "fd 4 new: ESTABLISHED");
    CHECK(state_text("fd 3  CLOSE_WAIT -> closed  a <-> b, the connection: LAST_ACK") == "fd 3 CLOSE_WAIT -> closed");
}

TEST_CASE("wire: texts are made to fit", "[unit][wire]") {
    CHECK(arguments_of("f(a, g(b, c), {d, e})") == std::vector<std::string>{"a", "g(b, c)", "{d, e}"});
    CHECK(arguments_of("f()").empty());
    CHECK(arguments_of("f").empty());
    CHECK(abridged("close(fd)", 28) == "close(fd)");
    CHECK(abridged("accept(listener, nullptr, nullptr)", 24) == "accept(listener, ..)");
    CHECK(abridged("shutdown(connection, SHUT_WR)", 24) == "shutdown(.., SHUT_WR)");
    CHECK(abridged("socket(address.family(), SOCK_STREAM, 0)", 24) == "socket(..SOCK_STREAM..)");
    CHECK(abridged("socket(address.family(), SOCK_STREAM, 0)", 30) == "socket(.., SOCK_STREAM, ..)");
    CHECK(abridged("setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse)", 8) == "setsoc..");
    CHECK(wrapped("one two three", 8) == std::vector<std::string>{"one two", "  three"});
    CHECK(wrapped("one  two", 8) == std::vector<std::string>{"one  two"});
    CHECK(wrapped("123456789 12", 8) == std::vector<std::string>{"1234..", "  12"});
    CHECK(wrapped("", 8) == std::vector<std::string>{""});
    CHECK(width_of("hello") == 5);
    CHECK(width_of("안녕") == 4);
    CHECK(cut("안녕하세요", 7) == "안녕..");
    CHECK(cut("hello", 5) == "hello");
    CHECK(cut("hello!", 5) == "hel..");
}
