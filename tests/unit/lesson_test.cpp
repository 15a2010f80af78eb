// The comparison of lessons with what programs print.

#include "tests/support/lesson.hpp"

#include "tests/catch.hpp"

#include <optional>

namespace {

using Lines = std::vector<std::string>;

const std::string fence = "```";

}  // namespace

TEST_CASE("lesson: blocks and how they are made", "[unit][lesson]") {
    const Lesson lesson = read_lesson(
        "tcp/README.md", "text\n\n<!-- replay echo server -->\n" + fence +
                             "console\n$ build/tcp/echo_server\nlistening\n^C\n" + fence +
                             "\ntext\n<!-- replay echo client: hello | 안녕 | a b ^D -->\n" + fence +
                             "\n$ build/tcp/echo_client --trace\nhello\n\nhello\n" + fence +
                             "\n<!-- replay fault command -->\n" + fence + "\n$ build/tcp/x\n" + fence + "\n");
    CHECK(lesson.complaints.empty());
    REQUIRE(lesson.blocks.size() == 3);
    CHECK(lesson.blocks[0].place == "tcp/README.md:3");
    CHECK(lesson.blocks[0].name == "echo");
    CHECK(lesson.blocks[0].kind == Block::Kind::server);
    CHECK(lesson.blocks[0].command == "build/tcp/echo_server");
    CHECK(lesson.blocks[0].shown == Lines{"listening", "^C"});
    CHECK(lesson.blocks[0].typed.empty());
    CHECK(lesson.blocks[1].kind == Block::Kind::client);
    CHECK(lesson.blocks[1].typed == Lines{"hello", "안녕", "a b"});
    CHECK(lesson.blocks[1].ends_input);
    CHECK(lesson.blocks[1].command == "build/tcp/echo_client --trace");
    CHECK(lesson.blocks[1].shown == Lines{"hello", "", "hello"});
    CHECK(lesson.blocks[2].kind == Block::Kind::command);
    CHECK(lesson.blocks[2].shown.empty());
}

TEST_CASE("lesson: a client that types nothing", "[unit][lesson]") {
    const auto typed = [](const std::string& marker) {
        return read_lesson("f", marker + "\n" + fence + "\n$ c\n" + fence + "\n").blocks.at(0);
    };
    CHECK(typed("<!-- replay a client: ^D -->").typed.empty());
    CHECK(typed("<!-- replay a client: ^D -->").ends_input);
    CHECK(typed("<!-- replay a client: -->").typed.empty());
    CHECK_FALSE(typed("<!-- replay a client: x -->").ends_input);
}

TEST_CASE("lesson: ways in which a block is made", "[unit][lesson]") {
    const auto read = [](const std::string& marker) {
        const Lesson lesson = read_lesson("f", marker + "\n" + fence + "\n$ build/c\n" + fence + "\n");
        return lesson.blocks.empty() ? std::optional<Block>{} : lesson.blocks[0];
    };
    const auto all = read("<!-- replay a client, own network, any numbers, beside build/tcp/x --idle 1: hi ^D -->");
    REQUIRE(all);
    CHECK(all->own_network);
    CHECK(all->any_numbers);
    CHECK(all->beside == "build/tcp/x --idle 1");
    CHECK(all->typed == Lines{"hi"});
    const auto one = read("<!-- replay a command, any numbers -->");
    REQUIRE(one);
    CHECK(one->kind == Block::Kind::command);
    CHECK(one->any_numbers);
    CHECK_FALSE(one->own_network);
    CHECK(one->beside.empty());
    const auto more =
        read("<!-- replay a command, some lines, own name, as root, with talk, needs a-tool, after two_come -->");
    REQUIRE(more);
    CHECK(more->some_lines);
    CHECK(more->own_name);
    CHECK(more->as_root);
    CHECK(more->with == "talk");
    CHECK(more->needs == "a-tool");
    CHECK(more->after == "two_come");
    CHECK_FALSE(one->some_lines);
    CHECK_FALSE(one->own_name);
    CHECK_FALSE(one->as_root);
    CHECK(one->with.empty());
    CHECK(one->needs.empty());
    CHECK_FALSE(read("<!-- replay a command, any number -->"));
    CHECK_FALSE(read("<!-- replay a command: hi -->"));
    CHECK_FALSE(read("<!-- replay a client -->"));
}

TEST_CASE("lesson: a command of several lines, and what is typed into a program", "[unit][lesson]") {
    const auto read = [](const std::string& content) {
        return read_lesson("f", "<!-- replay a command -->\n" + fence + "\n" + content + fence + "\n").blocks.at(0);
    };
    const Block command = read("$ a |\n>     b\n> GET /\n");
    CHECK(command.command == "a |\n    b");
    CHECK(command.shown == Lines{"> GET /"});
    CHECK(typed_at_prompts(command).empty());
    using Typed = std::vector<std::pair<std::string, std::string>>;
    CHECK(typed_at_prompts(read("$ gdb x\n(gdb) break recv\nBreakpoint 1\n(gdb) run\n")) ==
          Typed{{"(gdb) ", "break recv"}, {"(gdb) ", "run"}});
    CHECK(typed_at_prompts(read("$ python3\n>>> 1 + 1\n2\n")) == Typed{{">>> ", "1 + 1"}});
    CHECK(typed_at_prompts(read("$ bash\n# ls\n")) == Typed{{"# ", "ls"}});
}

TEST_CASE("lesson: some lines", "[unit][lesson]") {
    const Lines all{"one", "two", "three", "two"};
    CHECK(has_in_order(all, {"one", "three"}, 2));
    CHECK(has_in_order(all, {"three", "two"}, 2));
    CHECK_FALSE(has_in_order(all, {"three", "one"}, 2));
    CHECK(has_in_order(all, {"three", "one"}, 1));
    CHECK_FALSE(has_in_order(all, {"one", "one"}, 2));
    CHECK(has_in_order(all, {"thr...", "two"}, 2));
    CHECK_FALSE(has_in_order(all, {"four..."}, 1));

    const auto differs = [&](const Lines& lesson, const Lines& now) {
        return !difference(normalized(lesson), normalized(now), true).empty();
    };
    CHECK_FALSE(differs({"one", "...", "three"}, all));
    CHECK(differs({"three", "...", "one"}, all));
    const std::string closed = "    fd 3  CLOSED", listens = "    fd 3  CLOSED -> LISTEN", other = "    fd 4  LISTEN";
    CHECK_FALSE(differs({listens}, {closed, listens, other}));
    CHECK(differs({other, listens}, {closed, listens}));
    CHECK(difference(normalized({"a"}), normalized({"a", "b"})) != "");
}

TEST_CASE("lesson: any numbers", "[unit][lesson]") {
    const auto same = [](const std::string& a, const std::string& b) {
        return normalized({a}, 0, true) == normalized({b}, 0, true);
    };
    CHECK(same("later answers  17973  13.7 us  7.63 ms", "later answers      1   2 s      0.01 ms"));
    CHECK(same("1,024 bytes of 94a35e0d1e88acc5", "7 bytes of 04a35e0d1e88acc6"));
    CHECK(same("9: 0100007F:D289 01 0003E001:00000000", "1264: 0100007F:B3DB 01 00000000:00000000"));
    CHECK(same("Breakpoint 1 at 0x70d0", "Breakpoint 1 at 0x80ff"));
    CHECK(same("x:\t104 'h'\t101 'e'", "x: 104 'h' 101 'e'"));
    CHECK(same("81 8e a4 73 c4", "81 8e 45 58 68"));
    CHECK_FALSE(same("81 8e a4 73 c4", "81 8e"));
    CHECK(same("Sec-WebSocket-Key: FmVQ6ZMHwyVpTavTxJTh8Q==", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw=="));
    CHECK(same(R"(recvfrom(4, "\201\205\272<\265", 65536)", R"(recvfrom(4, "\201\205abc\1", 65536)"));
    CHECK_FALSE(same(R"(sendto(4, "hello\n", 6)", R"(sendto(4, "hallo\n", 6)"));
    CHECK(same("opened /tmp/passing_cat.dAW5y3 as 4", "opened /tmp/passing_cat.Zx09Qq as 3"));
    CHECK(same("root 0 Nov 21 01:42 echo", "root 0 Jan  2 11:03 echo"));
    CHECK(same("[##........]   6%  3.5 MiB of 3.0 GiB", "[..........]   0%  193.5 KiB of 3.0 GiB"));
    CHECK_FALSE(same("1 byte", "1 bytes"));
    CHECK_FALSE(same("recv() = 4", "recv() = -1 EAGAIN"));
    CHECK_FALSE(normalized({"1"}) == normalized({"2"}));
}

TEST_CASE("lesson: transcripts that nobody would check", "[unit][lesson]") {
    const auto complaints = [](const std::string& before, const std::string& content) {
        return read_lesson("f.md", before + "\n" + fence + "\n" + content + "\n" + fence + "\n").complaints;
    };
    REQUIRE(complaints("text", "$ build/tcp/echo_server").size() == 1);
    CHECK_THAT(complaints("text", "$ build/tcp/echo_server")[0], StartsWith("f.md:2: unmarked transcript"));
    CHECK(complaints("", "# first\n$ build/tcp/echo_server").size() == 1);
    CHECK(complaints("<!-- not replayed: -->", "$ build/tcp/echo_server").size() == 1);  // why not?
    CHECK(complaints("<!-- not replayed: gdb -->", "$ build/tcp/echo_server").empty());
    CHECK(complaints("<!-- replay a sever -->", "$ build/tcp/echo_server").size() == 1);
    CHECK(complaints("<!-- replay a server -->", "build/tcp/echo_server").size() == 1);
    CHECK(complaints("text", "$ make").empty());
    CHECK(complaints("text", "code").empty());
}

TEST_CASE("lesson: what varies from run to run is left out", "[unit][lesson]") {
    const auto line = [](const std::string& text, int port = 0) { return normalized({text}, port).lines.at(0); };
    CHECK(line("    = 6  (blocked 403.04 ms)") == "    = 6");
    CHECK(line("    = 4  (blocked 1.10 s)") == "    = 4");
    CHECK(line("listening on 127.0.0.1:41234", 41234) == "listening on 127.0.0.1:7000");
    CHECK(line("listening on [::1]:41234", 41234) == "listening on [::1]:7000");
    CHECK(line("x 127.0.0.1:41235", 41234) == "x 127.0.0.1:PORT");
    CHECK(line("x 127.0.0.1:7000", 41234) == "x 127.0.0.1:7000");
    CHECK(line("tcp/echo_server.cpp:1234: x") == "tcp/echo_server.cpp:1234: x");  // a line number stays
    CHECK(line("[child 123] x") == "[child PID] x");
    CHECK(line("on /run/user/1000/two-terminals/echo") == "on DIRECTORY/echo");
    CHECK(line("on /tmp/two-terminals-0/echo") == "on DIRECTORY/echo");
    CHECK(line("on /tmp/two-terminals-test-aB3_x9/two-terminals/echo") == "on DIRECTORY/echo");
    CHECK(line("on /etc/echo") == "on /etc/echo");
    CHECK(line("bound  /run/user/1000/two-terminals/datagram.4711") == "bound  DIRECTORY/datagram.PID");
    CHECK(line("bound  @0f3a2") == "bound  @PICKED");
    CHECK(line("bound  @/tmp/two-terminals-0/abstract") == "bound  @DIRECTORY/abstract");
}

TEST_CASE("lesson: states, per descriptor", "[unit][lesson]") {
    const Transcript told = normalized({
        "x.cpp:1  socket()",
        "    = 3",
        "    fd 3  new TCP socket: CLOSED",
        "    fd 3  CLOSED  127.0.0.1:7000",
        "    fd 3  CLOSED -> LISTEN  127.0.0.1:7000  queue 0/4096",
        "    fd 3  LISTEN  127.0.0.1:7000  queue 0 -> 1/4096  (meanwhile)",
        "    fd 4  new TCP socket: ESTABLISHED  127.0.0.1:7000 <-> 127.0.0.1:50000  unread 6",
        "    fd 4  ESTABLISHED  127.0.0.1:7000 <-> 127.0.0.1:50000  unread 6 -> 0",
        "    fd 4  ESTABLISHED -> FIN_WAIT_1  127.0.0.1:7000 <-> 127.0.0.1:50000",
        "    fd 4  FIN_WAIT_1 -> TIME_WAIT  127.0.0.1:7000 <-> 127.0.0.1:50000",
        "    fd 4  TIME_WAIT -> closed  127.0.0.1:7000 <-> 127.0.0.1:50000, the connection: TIME_WAIT",
        "    (closed)  FIN_WAIT_2 -> TIME_WAIT  127.0.0.1:7000 <-> 127.0.0.1:50000",
    });
    CHECK(told.lines == Lines{"x.cpp:1  socket()", "    = 3"});
    CHECK(told.states.at("fd 3") ==
          Lines{"new TCP socket: CLOSED", "CLOSED  127.0.0.1:7000", "LISTEN  127.0.0.1:7000"});
    const std::string pair = "  127.0.0.1:7000 <-> 127.0.0.1:PORT";
    CHECK(told.states.at("fd 4") == Lines{"new TCP socket: ESTABLISHED" + pair, "TIME_WAIT" + pair,
                                          "closed" + pair + ", the connection: TIME_WAIT"});
}

TEST_CASE("lesson: runs that differ only in time are the same", "[unit][lesson]") {
    const Transcript slow = normalized({
        "a.cpp:1  poll()",
        "    = 1  (blocked 2.00 s)",
        "    fd 3  ESTABLISHED  127.0.0.1:50000 <-> 127.0.0.1:7000  unread 6",
        "    fd 3  ESTABLISHED -> FIN_WAIT_2  127.0.0.1:50000 <-> 127.0.0.1:7000",
        "    fd 3  FIN_WAIT_2 -> TIME_WAIT  127.0.0.1:50000 <-> 127.0.0.1:7000",
        "    fd 4  CLOSE_WAIT -> closed  127.0.0.1:7000 <-> 127.0.0.1:50000, the connection: LAST_ACK",
        "    (closed)  LAST_ACK -> CLOSED  127.0.0.1:7000 <-> 127.0.0.1:50000",
    });
    const Transcript fast = normalized(
        {
            "    fd 3  ESTABLISHED  127.0.0.1:50001 <-> 127.0.0.1:40000  unread 6  (meanwhile)",
            "a.cpp:1  poll()",
            "    = 1",
            "    fd 3  ESTABLISHED -> TIME_WAIT  127.0.0.1:50001 <-> 127.0.0.1:40000",
            "    fd 4  CLOSE_WAIT -> closed  127.0.0.1:40000 <-> 127.0.0.1:50001",
        },
        40000);
    CHECK(difference(slow, fast) == "");
}

TEST_CASE("lesson: what differs is shown, from both", "[unit][lesson]") {
    const Transcript lesson = normalized({"same", "old", "same too", "    fd 3  CLOSED -> LISTEN  127.0.0.1:7000"});
    const Transcript now = normalized({"same", "new", "same too", "    fd 3  CLOSED -> SYN_SENT  127.0.0.1:7000"});
    CHECK(difference(lesson, now) ==
          "    same\n  - old\n  + new\n    same too\n"
          "  the states of fd 3:\n  - LISTEN  127.0.0.1:7000\n  + SYN_SENT  127.0.0.1:7000\n");
    CHECK(difference(normalized({"a"}), normalized({"a", "b"})) == "    a\n  + b\n");
    CHECK(difference(normalized({"a", "b"}), normalized({"a"})) == "    a\n  - b\n");
    CHECK(difference(normalized({"a", "b"}), normalized({"b", "a"})) != "");
    CHECK(difference(normalized({}), normalized({"    fd 3  CLOSED"})) == "  the states of fd 3:\n  + CLOSED\n");
}

TEST_CASE("lesson: a diagram is compared column by column", "[unit][lesson]") {
    const Lines lesson{
        "    ms server                                                           client",
        " 0.206 accept(listener, ..)         ┃                                 │",
        " 2.535                              ┃                                 ┃ connect(connection, ..)",
        " 2.573                              ┃<───── SYN seq 0 win 65495 ──────┃",
        " 2.586                              ┃ SYN,ACK seq 0 ack 1 win 65483 ─>┃",
        " 2.597                              ┃<─────── ACK seq 1 ack 1 ────────┃",
        " 2.605                              ┃                                 ┃   connect = 0",
        "                                    ┃                                 │   fd 3 CLOSED→ESTABLISHED",
        " 2.840   accept = 4                 ┃                                 │",
        "         fd 4 new: ESTABLISHED      │                                 │",
        " 3.000 child 1: recv(connection, .. ┃                                 │",
        "19.708                              ┃<── PSH,ACK seq 1 len 6 ack 1 ───┃",
        "                                    ┃            \"hello\\n\"            ┃",
        "19.870 child 1:   recv = 6          ┃                                 ┃",
        "20.000 recv(connection, ..)         ┃                                 ┃",
    };
    const Transcript told = normalized(lesson, 0, false, false, true);
    CHECK(told.lines == Lines{"ms server                                                           client",
                              "server: accept = 4", "server: child 1: recv = 6", "server: recv(", "client: connect = 0",
                              "client> SYN seq 0", "server> SYN,ACK seq 0 ack 1", "client> PSH,ACK seq 1 len 6 ack 1",
                              "\"hello\\n\""});
    CHECK(told.states.at("server's fd 4") == Lines{"new socket: ESTABLISHED"});
    CHECK(told.states.at("client's fd 3") == Lines{"ESTABLISHED"});

    // Other times, another order of what nobody orders, a call that came back at once, an ACK that came with the data.
    const Lines woven{
        "    ms server                                                           client",
        "12.535                              ┃                                 ┃ connect(connection, ..)",
        "12.573                              ┃<───── SYN seq 0 win 64000 ──────┃",
        "12.586                              ┃ SYN,ACK seq 0 ack 1 win 64000 ─>┃",
        "12.840 accept(listener, ..) = 4     ┃                                 │",
        "         fd 4 new: ESTABLISHED      │                                 │",
        "12.905                              ┃                                 ┃   connect = 0",
        "                                    ┃                                 │   fd 3 CLOSED→ESTABLISHED",
        "19.708                              ┃<── PSH,ACK seq 1 len 6 ack 1 ───┃",
        "                                    ┃            \"hello\\n\"            ┃",
        "19.871 child 1: recv(.., 0) = 6     ┃                                 ┃",
        "20.000 recv(connection, ..)         ┃                                 ┃",
    };
    CHECK(difference(told, normalized(woven, 0, false, false, true)) == "");
    for (const auto& [from, to] : {std::pair<std::string, std::string>{"connect = 0", "connect = -1 ECONNREFUSED"},
                                   {"seq 1 len 6", "seq 1 len 5"},
                                   {"hello", "hullo"},
                                   {"<── PSH", "─── PSH"},
                                   {"fd 4 new: ESTABLISHED", "fd 4 new: CLOSE_WAIT"},
                                   {"20.000 recv(connection, ..)", "20.000 send(connection, ..)"}}) {
        INFO(from);
        Lines other = woven;
        int changed = 0;
        for (std::string& line : other) {
            const size_t at = line.find(from);
            if (at == std::string::npos) continue;
            line.replace(at, from.size(), to);
            ++changed;
        }
        CHECK(changed == 1);
        CHECK(difference(told, normalized(other, 0, false, false, true)) != "");
    }
}
