// scripts/lecture: where a program stands, what the one key does next, and what ss(8) says.

#include "scripts/lecture_state.hpp"
#include "tests/catch.hpp"

#include <algorithm>

using namespace lecture;

namespace {

bool all_live(pid_t) { return true; }

Situation with(void (*change)(Situation&)) {
    Situation now;
    change(now);
    return now;
}

}  // namespace

TEST_CASE("lecture: a log tells where a program stands", "[unit][lecture]") {
    Follower follower;
    CHECK_FALSE(follower.stands(all_live));
    follower.read("1\t70\t0\twait\ttcp/x.cpp:1\tsocket(AF_INET, SOCK_STREAM, 0)\n1\t70\t0\tst");
    CHECK(follower.waiting(all_live) == "socket(AF_INET, SOCK_STREAM, 0)");
    CHECK(follower.under_way(all_live) == "");
    CHECK(follower.stands(all_live));
    follower.read("ate\ttcp/x.cpp:1\tfd 3\n2\t70\t0\tcall\ttcp/x.cpp:1\tsocket(AF_INET, SOCK_STREAM, 0)\n");
    CHECK(follower.waiting(all_live) == "");
    CHECK(follower.under_way(all_live) == "socket(AF_INET, SOCK_STREAM, 0)");
    follower.read("3\t70\t0\tresult\ttcp/x.cpp:1\t= 3\n");
    CHECK_FALSE(follower.stands(all_live));
    SECTION("a child counts while it lives") {
        follower.read("4\t70\t0\tcall\ttcp/x.cpp:2\taccept(3)\n5\t71\t0\twait\ttcp/x.cpp:3\trecv(4)\n");
        CHECK(follower.processes() == std::set<pid_t>{70, 71});
        CHECK(follower.waiting(all_live) == "recv(4)");
        CHECK(follower.waiting([](pid_t pid) { return pid == 70; }) == "");
    }
    SECTION("of threads nobody knows when they ended") {
        follower.read("4\t70\t0\tcall\ttcp/x.cpp:2\taccept(3)\n5\t70\t1\tresult\ttcp/x.cpp:3\t= 0\n");
        CHECK(follower.stands(all_live));
        follower.read("6\t70\t1\twait\ttcp/x.cpp:3\trecv(4)\n");
        CHECK(follower.waiting(all_live) == "recv(4)");
    }
    SECTION("nonsense") {
        follower.read("\n\t\t\nx\ty\tz\twait\n");
        CHECK(follower.waiting(all_live) == "");
    }
}

TEST_CASE("lecture: the key steps whichever side can move", "[unit][lecture]") {
    CHECK(choose(with([](Situation& s) { s.server_waits = true; })) == Move::step_server);
    CHECK(choose(with([](Situation&) {})) == Move::wait);  // it does not listen yet
    CHECK(choose(with([](Situation& s) { s.listening = true; })) == Move::start_client);
    Situation both;
    both.listening = both.client_started = both.client_lives = both.server_waits = both.client_waits = true;
    CHECK(choose(both) == Move::step_server);
    both.last = Move::step_client;
    CHECK(choose(both) == Move::step_client);  // it goes on
    both.in_a_row = turn;
    CHECK(choose(both) == Move::step_server);  // but not for ever
    both.last = Move::step_server;
    CHECK(choose(both) == Move::step_client);
    both.in_a_row = 1;
    both.server_waits = false;
    CHECK(choose(both) == Move::step_client);
}

TEST_CASE("lecture: when both are blocked it types, and then ends the input", "[unit][lecture]") {
    Situation now;
    now.listening = now.client_started = now.client_lives = true;
    CHECK(choose(now) == Move::type_line);
    now.line_typed = true;
    CHECK(choose(now) == Move::end_input);
    now.input_ended = true;
    CHECK(choose(now) == Move::wait);
    now.since_input = farewell;
    CHECK(choose(now) == Move::end_client);
    now.client_lives = false;
    CHECK(choose(now) == Move::end_server);
    now.server_waits = true;
    CHECK(choose(now) == Move::step_server);  // it may have something to do yet
    now.since_client = farewell;
    CHECK(choose(now) == Move::end_server);  // one that a clock wakes would go on for ever
    now.server_lives = now.server_waits = false;
    CHECK(choose(now) == Move::leave);
}

TEST_CASE("lecture: a server that a clock wakes does not keep the client from its input", "[unit][lecture]") {
    Situation now;
    now.listening = now.client_started = now.client_lives = now.server_waits = true;
    now.in_a_row = turn - 1;
    CHECK(choose(now) == Move::step_server);
    now.in_a_row = turn;
    CHECK(choose(now) == Move::type_line);
    now.client_started = now.client_lives = false;
    CHECK(choose(now) == Move::start_client);
}

TEST_CASE("lecture: the key always comes to an end", "[unit][lecture]") {
    // Sides that can always move, never, or by turns; whatever they do, the lecture can be left.
    for (unsigned pattern = 0; pattern < 256; ++pattern) {
        INFO(pattern);
        Situation now;
        now.listening = true;
        bool left = false;
        for (unsigned pressed = 0; pressed < 2000 && !left; ++pressed) {
            now.server_waits = now.server_lives && ((pattern >> (pressed % 4)) & 1U) != 0;
            now.client_waits = now.client_lives && pressed < 400 && ((pattern >> (4 + pressed % 4)) & 1U) != 0;
            const Move move = choose(now);
            now.in_a_row = move == now.last ? now.in_a_row + 1 : 1;
            now.last = move;
            if (now.input_ended) ++now.since_input;
            if (now.client_started && !now.client_lives) ++now.since_client;
            if (move == Move::start_client) now.client_started = now.client_lives = true;
            if (move == Move::type_line) now.line_typed = true;
            if (move == Move::end_input) now.input_ended = true;
            if (move == Move::end_client) now.client_lives = false;
            if (move == Move::end_server) now.server_lives = false;
            left = move == Move::leave;
        }
        CHECK(left);
    }
}

TEST_CASE("lecture: what ss prints", "[unit][lecture]") {
    const std::vector<Row> rows = read_ss(
        "u_str LISTEN    0      4096   /tmp/two-terminals.x/socket 1073          * 0     <->\n"
        "u_str ESTAB     5      0      * 1074          /tmp/two-terminals.x/socket 1075  <->\n"
        "tcp   LISTEN    1      128      0.0.0.0:2024    0.0.0.0:*     ino:623 sk:ba cgroup:/ <->\n"
        "tcp   TIME-WAIT 0      0      127.0.0.1:46424 127.0.0.1:45739 timer:(timewait,47sec,0) ino:0 sk:be\n"
        "udp   UNCONN    6      0      [::1]:7000    [::]:*     ino:77 sk:ba\n"
        "nonsense\n");
    REQUIRE(rows.size() == 5);
    CHECK(rows[0] == Row{"u_str", "LISTEN", "/tmp/two-terminals.x/socket", "", 0, 4096, 1073});
    CHECK(rows[1] == Row{"u_str", "ESTAB", "", "/tmp/two-terminals.x/socket", 5, 0, 1074});
    CHECK(rows[2] == Row{"tcp", "LISTEN", "0.0.0.0:2024", "0.0.0.0:*", 1, 128, 623});
    CHECK(rows[3].inode == 0);
    CHECK(rows[4].inode == 77);
    CHECK(show_row("server 3", rows[2], 120) == "server 3   LISTEN      0.0.0.0:2024  waiting 1 of 128");
    CHECK(show_row("server 3", rows[0], 80) == "server 3   LISTEN      .../socket  waiting 0 of 4096");
    CHECK(show_row("client 3", rows[1], 80) == "client 3   ESTAB       (no name) <-> .../socket  unread 5");
    CHECK(show_row("server 4", rows[4], 120) == "server 4   UNCONN      [::1]:7000  unread 6  unsent 0");
    CHECK(show_row("(closed)", rows[3], 120) ==
          "(closed)   TIME-WAIT   127.0.0.1:46424 <-> 127.0.0.1:45739  unread 0  unsent 0");
    CHECK(show_row("(closed)", rows[3], 70) == "(closed)   TIME-WAIT   :46424 <-> :45739  unread 0  unsent 0");
    CHECK(show_row("(closed)", rows[3], 30).size() == 30);
    CHECK(port_of("[::1]:7000") == "7000");
    CHECK(port_of("/tmp/socket") == "");
}
