// tcp/chat_server and tcp/chat_client: names, queues, floods, and the line that is drawn on a terminal.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <csignal>
#include <sys/socket.h>
#include <termios.h>

namespace {

const std::string chat = "tcp/chat_server";
const std::string chatter = "tcp/chat_client";

/// Somebody who chats by hand, line by line.
class Guest {
public:
    explicit Guest(const Server& server) : peer_(Peer::connected_to(server)) {
        CHECK(line() == "* What is your name?");
    }
    Guest(const Server& server, const std::string& name) : Guest(server) {
        say(name);
        CHECK_THAT(line(), StartsWith("* here: ") || StartsWith("* nobody is here"));
    }
    void say(const std::string& text) { peer_.send(text + "\n"); }
    std::string line() {
        std::string text;
        for (std::string byte = peer_.receive(1); byte != "\n"; byte = peer_.receive(1))
            text += byte;
        return text;
    }
    Peer& peer() { return peer_; }

private:
    Peer peer_;
};

std::vector<std::string> hosts() {
    std::vector<std::string> all{"127.0.0.1"};
    if (has_ipv6()) all.emplace_back("::1");
    return all;
}

bool takes_lines(Process& process) {
    termios settings{};
    REQUIRE(tcgetattr(process.terminal(), &settings) == 0);
    return (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0;
}

}  // namespace

TEST_CASE("chat: who comes, speaks and leaves", "[programs][tcp][chat]") {
    const std::string host = GENERATE(from_range(hosts()));
    INFO(host);
    Server server = start_server(chat, {"--host", host});
    Guest anna(server, "anna");
    Guest bob(server);
    bob.say("철수");
    CHECK(bob.line() == "* here: anna");
    CHECK(anna.line() == "* 철수 has come");
    anna.say("hello");
    CHECK(bob.line() == "<anna> hello");
    bob.peer().send("안녕\r\n\n/who\n");  // as telnet ends its lines; an empty one is nothing
    CHECK(anna.line() == "<철수> 안녕");
    CHECK(bob.line() == "* here: anna, 철수");
    bob.say("/nonsense");
    CHECK(bob.line() == "* the only command is /who");
    bob.peer().send("no newline");
    bob.peer().end_sending();
    CHECK(bob.peer().receive_to_end() == "* goodbye\n");
    CHECK(anna.line() == "<철수> no newline");
    CHECK(anna.line() == "* 철수 has left");
    {
        Guest third(server, "third");
        CHECK(anna.line() == "* third has come");
        third.peer().reset();
    }
    CHECK_THAT(anna.line(), StartsWith("* third has left: "));
    CHECK(server.err().empty());
}

TEST_CASE("chat: names", "[programs][tcp][chat]") {
    const Server server = start_server(chat, {"--rate", "100000"});
    Guest anna(server, "anna");
    Guest guest(server);
    for (const std::string wrong : {"", " ", "a b", "* anna", "<anna>", "an\x1b[2Jna", "\xff", "\xea\xb0", "é", "한 글",
                                    "bob\t", "김\xed\xa0\x80"}) {
        INFO(wrong);
        guest.say(wrong);
        const std::string answer = guest.line();
        CHECK(answer.ends_with("What is your name?"));
        CHECK(answer.find('\x1b') == std::string::npos);
    }
    guest.say(std::string(21, 'x'));
    CHECK(guest.line() == "* a name has 1 to 20 characters. What is your name?");
    guest.say("anna");
    CHECK(guest.line() == "* anna is here already. What is your name?");
    std::string longest;
    for (int i = 0; i < 20; ++i)
        longest += "힣";
    guest.say(longest);
    CHECK(guest.line() == "* here: anna");
    CHECK(anna.line() == "* " + longest + " has come");
    anna.peer().close();
    CHECK(guest.line() == "* anna has left");
    Guest again(server, "anna");  // the name is free again
    CHECK(guest.line() == "* anna has come");
}

TEST_CASE("chat: nothing that could command a terminal is passed on", "[programs][tcp][chat]") {
    const Server server = start_server(chat);
    Guest anna(server, "anna"), bob(server, "bob");
    CHECK(anna.line() == "* bob has come");
    bob.say(
        "\x1b[2J\x07 \x1b]0;title\x07 \xc2\x9b"
        "31m \xff\xfe \xed\xa0\x80 C:\\tmp 한글 \rfake");
    CHECK(anna.line() ==
          "<bob> \\x1b[2J\\x07 \\x1b]0;title\\x07 \\xc2\\x9b31m \\xff\\xfe \\xed\\xa0\\x80 C:\\tmp 한글 \\rfake");
    bob.peer().send(std::string("a\0b\n", 4));
    CHECK(anna.line() == "<bob> a\\x00b");
}

TEST_CASE("chat: a line that is too long is heard by nobody, and kept by nobody", "[programs][tcp][chat]") {
    const Server server = start_server(chat, {"--rate", "100000000"});
    Guest anna(server, "anna"), bob(server, "bob");
    CHECK(anna.line() == "* bob has come");
    const std::string just(1000, 'x');
    bob.say(just);
    CHECK(anna.line() == "<bob> " + just);
    bob.say(just + "x");
    bob.say(std::string(65536, 'y'));
    bob.say("after");
    for (int i = 0; i < 2; ++i)
        CHECK(bob.line() == "* too long, and nobody hears it: a line has at most 1000 bytes");
    CHECK(anna.line() == "<bob> after");
}

TEST_CASE("chat: who does not read delays nobody, and is dropped", "[programs][tcp][chat]") {
    Server server = start_server(chat, {"--rate", "100000000", "--queue", "5000"});
    Guest anna(server, "anna"), deaf(server, "deaf"), bob(server, "bob");
    CHECK(anna.line() == "* deaf has come");
    CHECK(anna.line() == "* bob has come");
    const std::string text(990, 'x'), line = "<bob> " + text + "\n";
    std::string first;
    for (int lines = 0; first != "*"; ++lines) {  // in step: anna gets each line, whatever has become of deaf
        REQUIRE(lines < 20'000);
        bob.say(text);
        first = anna.peer().receive(1);
        if (first == "<") CHECK((anna.peer().receive(line.size() - 1) == line.substr(1)));
    }
    const std::string heard = first + anna.line();
    CHECK(heard == "* deaf has left: did not read what is said");
    CHECK(anna.line() == "<bob> " + text);
    CHECK(bob.line() == "* deaf has left: did not read what is said");
    // When it reads at last, it is told.
    const std::vector<std::string> all = lines_of(deaf.peer().receive_to_end());
    REQUIRE_FALSE(all.empty());
    CHECK(all.back() == "* you are dropped: you do not read what is said");
    anna.say("/who");
    CHECK(anna.line() == "* here: anna, bob");
}

TEST_CASE("chat: who talks too much is read slowly, and the others are not", "[programs][tcp][chat]") {
    Server server = start_server(chat, {"--rate", "10000"});
    Guest anna(server, "anna"), loud(server, "loud"), bob(server, "bob");
    CHECK(anna.line() == "* loud has come");
    CHECK(anna.line() == "* bob has come");
    CHECK(bob.peer().fd() != -1);
    const auto begin = std::chrono::steady_clock::now();
    std::string flood;
    for (int i = 0; i < 170; ++i)
        flood += "x\n";  // each counts 102 bytes: 17,340 in all
    loud.peer().send(flood);
    int heard = 0;
    bool bob_was_heard = false;
    while (heard < 170) {
        const std::string line = anna.line();
        heard += line == "<loud> x" ? 1 : 0;
        if (heard == 60) bob.say("may I?");
        if (line == "<bob> may I?") {
            bob_was_heard = true;
            CHECK(heard < 170);
        }
    }
    CHECK(bob_was_heard);
    CHECK(std::chrono::steady_clock::now() - begin > Milliseconds(600));
}

TEST_CASE("chat: who says nothing is dropped", "[programs][tcp][chat]") {
    const Server server = start_server(chat, {"--naming", "1", "--idle", "1"});
    Guest nameless(server), silent(server, "silent");
    CHECK(nameless.line() == "* you are dropped: nothing came from you for 1 s");
    CHECK(nameless.peer().receive_to_end().empty());
    CHECK(silent.line() == "* you are dropped: nothing came from you for 1 s");
    CHECK(silent.peer().receive_to_end().empty());
}

TEST_CASE("chat: a full room, and no descriptors", "[programs][tcp][chat]") {
    Server server = start_server(chat, {"--clients", "1", "--fault", "accept:EMFILE"});
    Guest anna(server, "anna");
    CHECK_THAT(server.expect_line(Stream::err, "accept("), ContainsSubstring("(EMFILE)"));
    Peer second = Peer::connected_to(server);
    CHECK(second.receive_to_end() == "* there is no room for one more, try again later\n");
    anna.peer().end_sending();
    CHECK(anna.peer().receive_to_end() == "* goodbye\n");
    const Guest third(server, "third");
}

TEST_CASE("chat: a message comes while a line is typed", "[programs][tcp][chat]") {
    const Server server = start_server(chat);
    Process anna(server.client(chatter, {"--name", "anna"}), {.terminal = Terminal::all});
    anna.expect(Stream::terminal, "* nobody is here\r\n\r\x1b[K> ");
    CHECK_FALSE(takes_lines(anna));
    Guest bob(server, "bob");
    anna.expect(Stream::terminal, "* bob has come\r\n\r\x1b[K> ");

    anna.type("안녕하");
    anna.expect(Stream::terminal, "\r\x1b[K> 안녕하");
    bob.say("hi");
    CHECK(anna.expect(Stream::terminal, "> 안녕하") == "\r\x1b[K<bob> hi\r\n\r\x1b[K> 안녕하");
    anna.type("\x7f\x1b[A\x1b[3~\x1bOP!");  // backspace, and keys that mean nothing
    anna.expect(Stream::terminal, "> 안녕!");
    anna.type("\xed\x95");  // a character of which two bytes have come
    anna.type("\x9c\n");
    CHECK(bob.line() == "<anna> 안녕!한");
    anna.expect(Stream::terminal, "> 안녕!한\r\n");

    std::string wide;  // 100 columns: the end is shown, 77 columns at most
    for (int i = 0; i < 50; ++i)
        wide += "가";
    anna.type(wide);
    anna.expect(Stream::terminal, "\r\x1b[K< " + wide.substr(0, 38 * 3));
    anna.type(
        "\x15"
        "two words\x17"
        "lines\n");  // Ctrl-U, Ctrl-W
    CHECK(bob.line() == "<anna> two lines");
    anna.type("not ended\x04\x15\x04");  // Ctrl-D ends only an empty line
    anna.expect_exit(0);
    CHECK(bob.line() == "* anna has left");
    CHECK(takes_lines(anna));
}

TEST_CASE("chat: however it ends, the terminal is as it was", "[programs][tcp][chat]") {
    const int signal = GENERATE(0, SIGINT, SIGTERM, SIGQUIT);
    INFO(signal);
    Server server = start_server(chat);
    Process anna(server.client(chatter), {.terminal = Terminal::all});
    anna.expect(Stream::terminal, "* What is your name?\r\n");
    anna.type("half a li");
    anna.expect(Stream::terminal, "half a li");
    CHECK_FALSE(takes_lines(anna));
    if (signal == 0) {
        server.signal(SIGKILL);
        anna.expect_exit(1);
        CHECK(anna.all(Stream::terminal).ends_with("\r\x1b[Kthe server has ended the connection\r\n"));
    } else {
        if (signal == SIGINT) {
            anna.type("\x03");
        } else {
            anna.signal(signal);
        }
        CHECK(anna.wait().signal == signal);
    }
    CHECK(takes_lines(anna));
}

TEST_CASE("chat: stopped and continued, it takes the terminal again", "[programs][tcp][chat]") {
    const Server server = start_server(chat);
    Process anna(server.client(chatter, {"--name", "anna"}), {.terminal = Terminal::all});
    anna.expect(Stream::terminal, "* nobody is here");
    anna.type("half");
    anna.expect(Stream::terminal, "> half");
    anna.signal(SIGTSTP);
    const Process::Command ask_ps{"ps", "-o", "stat=", "-p", std::to_string(anna.pid())};
    wait_until([&] { return run(ask_ps).starts_with('T'); }, "it to stop");  // SIGCONT before that would be lost
    CHECK(takes_lines(anna));
    anna.signal(SIGCONT);
    anna.expect(Stream::terminal, "\r\x1b[K> half");
    CHECK_FALSE(takes_lines(anna));
}

TEST_CASE("chat: piped, it sends lines and prints what others say", "[programs][tcp][chat]") {
    const std::string host = GENERATE(from_range(hosts()));
    const Server server = start_server(chat, {"--host", host});
    Guest anna(server, "anna");
    CHECK(run(server.client(chatter, {"--name", "pipe"}), "one\n한글\n/who") ==
          "* What is your name?\n* here: anna\n* here: anna, pipe\n* goodbye\n");
    for (const char* line : {"* pipe has come", "<pipe> one", "<pipe> 한글", "* pipe has left"})
        CHECK(anna.line() == line);
}

TEST_CASE("chat: a hostile server", "[programs][tcp][chat]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program(chatter), "--port", listener.port()}, {.terminal = Terminal::all});
    Peer server = listener.accept();
    server.send("\x1b[2J\xff\n");
    client.expect(Stream::terminal, "\\x1b[2J\\xff\r\n");
    server.send(std::string(200'000, 'x'));  // a line without end is not collected for ever
    wait_until([&] { return count_of(client.all(Stream::terminal), "x") > 65536; }, "some of the line");
    server.reset();
    client.expect_exit(1);
    CHECK(takes_lines(client));
}

TEST_CASE("chat: a server that does not say goodbye has perhaps not heard all", "[programs][tcp][chat]") {
    for (const std::string last : {"* goodbye\n", "<x> * goodbye\n", ""}) {
        Peer listener = Peer::bound(SOCK_STREAM);
        Process client({program(chatter), "--port", listener.port()});
        Peer server = listener.accept();
        client.feed("hello\n");
        client.close_input();
        CHECK(server.receive(6) == "hello\n");
        server.send("some line\n" + last);
        server.close();
        client.expect_exit(last == "* goodbye\n" ? 0 : 1);
        CHECK(client.out() == "some line\n" + last);
        CHECK(client.err() == (last == "* goodbye\n" ? "" : "the server has ended the connection\n"));
    }
}

TEST_CASE("chat: foreign clients", "[programs][tcp][chat]") {
    const std::string tool = GENERATE("ncat", "socat");
    if (!has_tool(tool)) return;
    const Server server = start_server(chat);
    Process theirs(tool == "ncat" ? Process::Command{"ncat", server.host(), server.port()}
                                  : Process::Command{"socat", "-", "TCP:" + server.host() + ":" + server.port()});
    theirs.expect(Stream::out, "* What is your name?\n");
    theirs.feed("foreign\n");
    theirs.expect(Stream::out, "* nobody is here\n");
    Process ours(server.client(chatter, {"--name", "ours"}));
    theirs.expect(Stream::out, "* ours has come\n");
    theirs.feed("hello\n");
    ours.expect(Stream::out, "<foreign> hello\n");
    ours.feed("and back\n");
    theirs.expect(Stream::out, "<ours> and back\n");
    theirs.close_input();
    ours.expect(Stream::out, "* foreign has left\n");
    ours.close_input();
    ours.expect_exit(0);
}
