// The chat: rooms, numbers, history and coming again; what one member can do to the others, which is nothing; and its
// page, in a browser.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <sys/socket.h>

using wire::close_body;
using Json = nlohmann::json;

namespace {

const std::string chat = "websocket/chat_server";
const std::string chatter = "websocket/chat_client";
const std::string offer = "Sec-WebSocket-Protocol: superchat, chat\r\n";
const Process::Command fast{"--rate", "1000000"};

Server start_chat(Process::Command more = {}) {
    more.insert(more.end(), fast.begin(), fast.end());
    return start_server(chat, more);
}

/// Somebody who chats by hand, message by message.
class Member {
public:
    explicit Member(const Server& server) : peer_(server, offer) {}
    Member(const Server& server, const std::string& name, const std::string& room = "lobby") : Member(server) {
        send({{"join", room}, {"name", name}});
        joined_ = next("joined");
    }

    void send(const Json& message) { peer_.send_frame(0x81, message.dump()); }
    void say(const std::string& text) { send({{"say", text}}); }

    /// The next message of this kind; who comes and leaves is passed over meanwhile.
    Json next(const std::string& kind) {
        for (;;) {
            Json message = Json::parse(peer_.payload(0x81));
            if (message.contains(kind)) return message;
            if (!message.contains("here"))
                throw Unexpected("not a message of the kind " + kind + ": " + message.dump());
        }
    }
    /// Until the others have been told that somebody has "come" or "left".
    void wait_for(const std::string& name, const std::string& change) {
        for (Json names; std::find(names.begin(), names.end(), name) == names.end();)
            names = next("here").at(change);
    }
    /// "7 <anna> hello"
    std::string line() {
        const Json message = next("line");
        return fmt::format("{} <{}> {}", message.at("line").get<int>(), message.at("name").get<std::string>(),
                           message.at("text").get<std::string>());
    }
    std::string error() { return next("error").at("text"); }
    const Json& joined() const { return joined_; }
    std::string life() const { return joined_.at("life"); }
    WebSocketPeer& peer() { return peer_; }

private:
    WebSocketPeer peer_;
    Json joined_;
};

/// The Close frame that comes next, whatever stands before it.
std::string close_of(WebSocketPeer& peer) {
    for (;;) {
        std::string frame = peer.frame();
        if (frame.starts_with("88 ")) return frame;
    }
}

std::string closed(unsigned code, const std::string& reason) { return "88 " + wire::shown(close_body(code, reason)); }

void must_chat(const Server& server) {
    Member one(server, "one", "other"), two(server, "two", "other");
    one.say("hello");
    CHECK_THAT(two.line(), ContainsSubstring("<one> hello"));
}

/// Something between a client and a server that can be cut: socat, with all its children.
std::unique_ptr<Process> start_proxy(const std::string& port, const Server& server) {
    auto proxy = std::make_unique<Process>(Process::Command{
        "socat", "-d", "-d", "TCP-LISTEN:" + port + ",bind=127.0.0.1,reuseaddr,fork", "TCP:" + server.address()});
    proxy->expect(Stream::err, "listening on");
    return proxy;
}

}  // namespace

// ---- Rooms

TEST_CASE("websocket chat: who comes, speaks and leaves", "[programs][websocket][chat]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    Server server = start_chat({"--host", host});
    Member anna(server, "anna");
    CHECK_THAT(anna.peer().head(), ContainsSubstring("\r\nSec-WebSocket-Protocol: chat\r\n"));
    CHECK(anna.joined().at("last") == 0);
    Member bob(server, "철수");
    anna.wait_for("철수", "come");
    anna.send({{"say", "hello"}, {"id", "x1"}});
    const Json line = bob.next("line");
    CHECK(line == anna.next("line"));
    CHECK(line.at("line") == 1);
    CHECK(line.at("name") == "anna");
    CHECK(line.at("text") == "hello");
    CHECK(line.at("id") == "x1");
    CHECK(line.at("at").get<long>() > 1'700'000'000);
    bob.say("안녕 👋 \" \\ <b>&amp;</b>\t.");
    CHECK(anna.line() == "2 <철수> 안녕 👋 \" \\ <b>&amp;</b>\t.");

    Member other(server, "anna", "elsewhere");  // another room, other numbers, the same name
    other.wait_for("anna", "come");
    other.say("nobody hears me");
    CHECK(other.line() == "1 <anna> nobody hears me");

    bob.send({{"join", "elsewhere"}, {"name", "bob"}});
    CHECK(bob.line() == "2 <철수> 안녕 👋 \" \\ <b>&amp;</b>\t.");  // his own, as all others
    CHECK(bob.next("joined").at("last") == 1);
    CHECK(bob.line() == "1 <anna> nobody hears me");
    CHECK(bob.next("here").at("here") == Json{"anna", "bob"});
    anna.wait_for("철수", "left");
    other.peer().send_frame(0x88, close_body(1000));
    bob.wait_for("anna", "left");
    anna.peer().socket().reset();
    must_chat(server);
}

TEST_CASE("websocket chat: no subprotocol that was not offered", "[programs][websocket][chat]") {
    const Server server = start_chat();
    for (const char* fields : {"", "Sec-WebSocket-Protocol: superchat\r\n"}) {
        WebSocketPeer peer(server, fields);
        CHECK_THAT(peer.head(), !ContainsSubstring("Sec-WebSocket-Protocol"));
    }
}

TEST_CASE("websocket chat: the last 50 lines, and what came since a number", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna");
    for (int i = 1; i <= 60; ++i)
        anna.say(std::to_string(i));
    for (int i = 1; i <= 60; ++i)
        CHECK(anna.line() == fmt::format("{0} <anna> {0}", i));
    struct Case {
        Json since, life;
        int missed, first;
    };
    for (const Case& one :
         {Case{0, "", 0, 11}, Case{55, anna.life(), 0, 56}, Case{60, anna.life(), 0, 61}, Case{10, anna.life(), 0, 11},
          Case{3, anna.life(), 7, 11}, Case{55, "another", 0, 11}, Case{9'999'999, anna.life(), 0, 61},
          Case{"x", anna.life(), 10, 11}, Case{-1, anna.life(), 10, 11}, Case{1e300, anna.life(), 10, 11}}) {
        INFO(one.since.dump() << " " << one.life.dump());
        Member bob(server);
        bob.send({{"join", "lobby"}, {"name", "bob"}, {"since", one.since}, {"life", one.life}});
        const Json joined = bob.next("joined");
        CHECK(joined.at("missed") == one.missed);
        CHECK(joined.at("last") == 60);
        for (int i = one.first; i <= 60; ++i)
            CHECK(Json::parse(bob.peer().payload(0x81)).at("line") == i);
        CHECK(Json::parse(bob.peer().payload(0x81)).contains("here"));
        bob.peer().send_frame(0x88, close_body(1000));
        CHECK(close_of(bob.peer()) == closed(1000, ""));
    }
}

TEST_CASE("websocket chat: what is sent again is said once", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna"), bob(server, "bob");
    for (const char* id : {"1", "1", "2"})
        anna.send({{"say", "hello"}, {"id", id}});
    for (const char* line : {"1 <anna> hello", "2 <anna> hello"}) {
        CHECK(anna.line() == line);
        CHECK(bob.line() == line);
    }
    bob.send({{"say", "hello"}, {"id", "1"}});  // of another
    CHECK(anna.line() == "3 <bob> hello");
    for (int i = 0; i < 2; ++i)
        anna.say("without id");
    CHECK(anna.line() == "4 <anna> without id");
    CHECK(anna.line() == "5 <anna> without id");
}

TEST_CASE("websocket chat: a name is one's own, but for who has the key", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server), thief(server);
    anna.send({{"join", "lobby"}, {"name", "anna"}, {"key", "secret"}});
    anna.next("joined");
    for (const Json& key : {Json(""), Json("guess"), Json(nullptr)}) {
        Json join{{"join", "lobby"}, {"name", "anna"}};
        if (!key.is_null()) join["key"] = key;
        thief.send(join);
        CHECK(thief.error() == "anna is here already");
    }
    thief.say("x");
    CHECK(thief.error() == "join a room first");
    Member again(server);  // the old connection is dead, for all that she knows
    again.send({{"join", "lobby"}, {"name", "anna"}, {"key", "secret"}});
    CHECK(again.next("joined").at("name") == "anna");
    CHECK(close_of(anna.peer()) == closed(4001, "you are here again, on another connection"));
    again.say("hello");
    CHECK(again.line() == "1 <anna> hello");
}

// ---- The hostile

TEST_CASE("websocket chat: names that can't be", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member guest(server);
    for (const std::string name : {"", " ", "a b", "<b>", "an\x1b[2Jna", "a\nb", "a\u202Eb", "a\u200Bb", "\u3164",
                                   "a\u0301", "x@y", "аnna" /* а: Cyrillic */, "👋", "../etc", "aaaaaaaaaaaaaaaaaaaaa",
                                   "가가가가가가가가가가가가가가가가가가가가가"}) {
        INFO(name);
        guest.send({{"join", "lobby"}, {"name", name}});
        CHECK_THAT(guest.error(), StartsWith("a name has 1 to 20 letters"));
        guest.send({{"join", name}, {"name", "anna"}});
        CHECK_THAT(guest.error(), StartsWith("a room's name has 1 to 20 letters"));
    }
    for (const Json& name : {Json(nullptr), Json(1), Json::array({"anna"}), Json::object()}) {
        guest.send({{"join", "lobby"}, {"name", name}});
        CHECK_THAT(guest.error(), StartsWith("a name has 1 to 20 letters"));
    }
    for (const char* name : {"anna", "-", "_x9", "Zoë", "철수", "花子", "가가가가가가가가가가가가가가가가가가가가"}) {
        guest.send({{"join", "lobby"}, {"name", name}});
        CHECK(guest.next("joined").at("name") == name);
    }
}

TEST_CASE("websocket chat: lines that can't be", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna");
    for (const std::string& text : {std::string("\x1b[2J"), std::string("a\nb"), std::string("a\0b", 3),
                                    std::string("\x7f"), std::string("\u009b2J")}) {
        anna.send({{"say", text}, {"id", "i"}});
        const Json error = anna.next("error");
        CHECK(error.at("text") == "a line has no control characters");
        CHECK(error.at("id") == "i");
    }
    anna.say("");
    CHECK(anna.error() == "a line has at least one character");
    anna.say(std::string(1001, 'x'));
    CHECK(anna.error() == "a line has at most 1000 bytes");
    anna.say(std::string(1000, '"'));  // 2000 as JSON
    CHECK(anna.line() == "1 <anna> " + std::string(1000, '"'));
    anna.peer().send_frame(0x81, R"({"say":"\u0000"})");
    CHECK(anna.error() == "a line has no control characters");
    anna.peer().send_frame(0x81, R"({"say":"one","say":"two","say2":3})");
    CHECK(anna.line() == "2 <anna> two");
}

TEST_CASE("websocket chat: what is not ours ends the connection, and harms nobody", "[programs][websocket][chat]") {
    Server server = start_chat();
    const auto answer = [&](unsigned first, const std::string& payload) {
        WebSocketPeer peer(server, offer);
        peer.send_frame(first, payload);
        return close_of(peer);
    };
    CHECK(answer(0x82, "{}") == closed(1003, "messages are text"));
    for (const std::string text : {"", "hello", "{", "{\"say\":}", "{\"join\":1e999}", "{\"say\":\"\\ud800\"}", "{} {}",
                                   "\xEF\xBB\xBF", "{\"say\":\"x\",}"}) {
        INFO(text);
        CHECK(answer(0x81, text) == closed(4000, "not JSON"));
    }
    for (const char* text : {"1", "null", "[]", "[{\"say\":\"x\"}]", "\"say\""})
        CHECK(answer(0x81, text) == closed(4000, "not a JSON object"));
    CHECK(answer(0x81, "{}") == closed(4000, "neither join nor say"));
    CHECK(answer(0x81, R"({"say":"x","id":5})") == closed(4000, "id is a string of at most 64 bytes"));
    CHECK(answer(0x81, R"({"join":"x","name":"y","key":")" + std::string(65, 'k') + "\"}") ==
          closed(4000, "key is a string of at most 64 bytes"));
    // Deep JSON: as deep as a message can be, closed and not.
    const std::string open(4000, '['), close(4000, ']');
    CHECK(answer(0x81, open + close) == closed(4000, "not a JSON object"));
    CHECK(answer(0x81, open) == closed(4000, "not JSON"));
    std::string objects;
    for (int i = 0; i < 1000; ++i)
        objects += "{\"a\":";
    CHECK(answer(0x81, objects + "1" + std::string(1000, '}')) == closed(4000, "neither join nor say"));
    Member guest(server);
    guest.peer().send_frame(0x81, "{\"say\":" + open.substr(0, 3000) + close.substr(0, 3000) + "}");
    CHECK(guest.error() == "a line has at least one character");
    must_chat(server);
}

TEST_CASE("websocket chat: 64 KiB, and what is not UTF-8", "[programs][websocket][chat]") {
    const Server server = start_chat();
    WebSocketPeer large(server, offer);
    large.send_frame(0x81, R"({"say":")" + std::string(65536, 'x') + "\"}");
    CHECK_THAT(close_of(large), StartsWith("88 " + wire::shown(close_body(1009))));
    WebSocketPeer invalid(server, offer);
    invalid.send_frame(0x81, "{\"join\":\"lobby\",\"name\":\"\xff\"}");
    CHECK_THAT(close_of(invalid), StartsWith("88 " + wire::shown(close_body(1007))));
    must_chat(server);
}

TEST_CASE("websocket chat: a million rooms are not kept", "[programs][websocket][chat]") {
    Server server = start_chat({"--rooms", "10"});
    Member anna(server, "anna", "home");
    anna.say("in my room");
    CHECK(anna.line() == "1 <anna> in my room");
    Member hostile(server);
    const long before = is_sanitized() ? 0 : resident_kilobytes(server.pid());
    // Each with a line, so that it would be kept if there were a place for it.
    for (int i = 0; i < 2000; ++i) {
        hostile.send({{"join", fmt::format("room{}", i)}, {"name", "hostile"}});
        hostile.say(std::string(1000, 'x'));
        if (i % 100 == 99) {  // who never reads is another test
            for (int j = 0; j < 100; ++j) {
                hostile.next("joined");
                hostile.next("line");
            }
        }
    }
    if (before > 0) CHECK(most_resident_kilobytes(server.pid()) < before + 4000);
    Member bob(server, "bob", "home");  // it has a member, and so it has stayed
    CHECK(bob.line() == "1 <anna> in my room");
    std::vector<std::unique_ptr<Member>> inside;
    for (int i = 0; i < 8; ++i)
        inside.push_back(std::make_unique<Member>(server, "x", fmt::format("full{}", i)));
    Member last(server);
    last.send({{"join", "one-more"}, {"name", "last"}});
    CHECK(last.error() == "there are too many rooms, join one that is there");
    last.send({{"join", "home"}, {"name", "last"}});
    CHECK(last.next("joined").at("joined") == "home");
}

TEST_CASE("websocket chat: a room that is full, and who joins none", "[programs][websocket][chat]") {
    const Server server = start_chat({"--members", "2", "--joining", "1", "--request", "1"});
    WebSocketPeer idle(server, offer);
    Peer half = Peer::connected_to(server);
    half.send("GET / HTTP/1.1\r\nHost: loc");
    Member anna(server, "anna"), bob(server, "bob"), third(server, "third", "elsewhere");
    third.send({{"join", "lobby"}, {"name", "third"}});
    CHECK(third.error() == "the room is full");
    third.say("still elsewhere");
    CHECK(third.line() == "1 <third> still elsewhere");
    bob.send({{"join", "lobby"}, {"name", "robert"}});  // to be called otherwise takes no place
    CHECK(bob.next("joined").at("name") == "robert");
    CHECK(close_of(idle) == closed(1008, "you have joined no room"));
    CHECK_THAT(half.receive_to_end(), StartsWith("HTTP/1.1 408 "));
}

TEST_CASE("websocket chat: who does not read delays nobody, and is dropped", "[programs][websocket][chat]") {
    Server server = start_chat({"--queue", "20000"});
    Member anna(server, "anna"), bob(server, "bob"), deaf(server, "deaf");
    const std::string text(1000, 'x');
    int said = 0;
    bool dropped = false;
    while (!dropped && said < 20'000) {  // each answer comes, although one does not read
        anna.say(text);
        const std::string line = fmt::format("{} <anna> {}", ++said, text);
        for (Member* member : {&anna, &bob}) {
            Json message = Json::parse(member->peer().payload(0x81));
            while (!message.contains("line")) {
                dropped = dropped || message.at("left") == Json{"deaf"};
                message = Json::parse(member->peer().payload(0x81));
            }
            CHECK(message.at("line") == said);
        }
        dropped = dropped || server.err().find("deaf leaves lobby: did not read what is said") != std::string::npos;
    }
    CHECK(dropped);
    CHECK(said > 50);  // the buffers on the way
    // It finds what it has not read, in order, and then why.
    int heard = 0;
    for (std::string frame = deaf.peer().frame(); !frame.starts_with("88 "); frame = deaf.peer().frame())
        heard += frame.find("\"line\":") != std::string::npos || frame.size() < 200 ? 1 : 0;
    CHECK(heard > 20);
    CHECK(heard <= said + 5);
    Member again(server, "deaf");  // and may come again
    CHECK(again.joined().at("last") == said);
    CHECK_THAT(server.err(), ContainsSubstring("deaf leaves lobby: did not read what is said"));
}

TEST_CASE("websocket chat: who reads is not dropped for what others say at once", "[programs][websocket][chat]") {
    const Server server = start_chat({"--queue", "5000"});
    Member anna(server, "anna"), bob(server, "bob");
    std::string many;  // in one recv() of the server, and ten times the queue
    for (int i = 1; i <= 50; ++i)
        many += wire::masked(0x81, Json{{"say", std::string(1000, 'x')}}.dump());
    anna.peer().send(many);
    for (int i = 1; i <= 50; ++i)
        CHECK_THAT(bob.line(), StartsWith(fmt::format("{} <anna> xxx", i)));
    Member late(server, "late");  // who gets all of it at once, too
    for (int i = 1; i <= 50; ++i)
        CHECK_THAT(late.line(), StartsWith(fmt::format("{} <anna> xxx", i)));
}

TEST_CASE("websocket chat: who says too much is read more slowly", "[programs][websocket][chat]") {
    const Server server = start_server(chat, {"--rate", "5"});
    Member anna(server, "anna"), loud(server, "loud");
    for (int i = 0; i < 100; ++i)
        loud.say(std::to_string(i));
    for (int i = 0; i < 4; ++i)  // what it may say at once, its join was the fifth
        CHECK(anna.line() == fmt::format("{} <loud> {}", i + 1, i));
    anna.say("may I?");
    int before = 0;
    while (anna.line().find("may I?") == std::string::npos)
        ++before;
    CHECK(before < 80);  // the others come later: that takes 15 seconds
    Member flood(server, "flood");
    std::string many;
    for (int i = 0; i < 1000; ++i)
        many += wire::masked(0x81, R"({"say":"x"})");
    flood.peer().send(many);
    CHECK(close_of(flood.peer()) == closed(1008, "too much at once"));
}

TEST_CASE("websocket chat: ended by a signal, it tells everybody", "[programs][websocket][chat]") {
    Server server = start_chat();
    Member anna(server, "anna"), bob(server, "bob");
    server.signal(SIGINT);
    for (Member* member : {&anna, &bob}) {
        CHECK(close_of(member->peer()) == closed(1001, "the server ends"));
        member->peer().send_frame(0x88, close_body(1001));
        CHECK(member->peer().frames_to_end().empty());
        member->peer().socket().close();
    }
    server.expect_exit(0);
}

// ---- The client

TEST_CASE("websocket chat client: piped", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna");
    std::string many;
    for (int i = 1; i <= 300; ++i)
        many += fmt::format("line {}\n", i);
    const std::string out =
        run(server.client(chatter, {"--name", "pipe"}), many + "\n/nonsense\n한글, without newline");
    CHECK(lines_of(out).size() == 301);
    CHECK_THAT(out, Catch::Matchers::EndsWith("<pipe> line 300\n<pipe> 한글, without newline\n"));
    for (int i = 1; i <= 300; ++i)
        CHECK(anna.line() == fmt::format("{0} <pipe> line {0}", i));
    // The name may stand in the first line; /who and /join.
    Process bob(server.client(chatter));
    bob.feed("bob\n");
    bob.expect(Stream::out, "<pipe> 한글, without newline\n");
    bob.feed("/who\n");
    bob.expect(Stream::out, "* 2 in lobby: anna, bob\n");
    bob.feed("/join elsewhere\nhello\n/who\n");
    bob.expect(Stream::out, "<bob> hello\n");
    bob.feed("/who\n/name a b\n/name robert\n");
    bob.expect(Stream::out, "* 1 in elsewhere: bob\n");
    bob.feed("again\n" + std::string(1001, 'x') + "\n\xff\n\x1b[2J\n");
    bob.expect(Stream::out, "<robert> again\n");
    bob.close_input();
    bob.expect_exit(0);
    for (const char* complaint : {"a name has 1 to 20", "not sent: a line has at most 1000 bytes",
                                  "not sent: a line is UTF-8", "not sent: a line has no control characters"})
        CHECK_THAT(bob.err(), ContainsSubstring(complaint));
}

TEST_CASE("websocket chat client: what can't be", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna");
    Process twice(server.client(chatter, {"--name", "anna"}));
    twice.expect_exit(1);
    CHECK(twice.err() == "anna is here already\n");
    const FreePort nobody;
    Process alone({program(chatter), "--name", "x", "--port", nobody.text()});
    alone.expect_exit(1);
    CHECK_THAT(alone.err(), ContainsSubstring("(ECONNREFUSED)"));
    const Server echo = start_server("websocket/event_server");
    Process wrong(echo.client(chatter, {"--name", "x"}));
    wrong.expect_exit(1);
    CHECK_THAT(wrong.err(), ContainsSubstring("not the subprotocol chat"));
    for (const Process::Command& options : {Process::Command{"--name", "a b"}, {"--name", "x", "--room", ""}}) {
        Process misused(server.client(chatter, options));
        misused.expect_exit(2);
        CHECK_THAT(misused.err(), ContainsSubstring("a name has 1 to 20 letters"));
    }
    Process nameless(server.client(chatter));
    nameless.close_input();
    nameless.expect_exit(1);
    CHECK_THAT(nameless.err(), ContainsSubstring("without a name nobody can chat"));
}

TEST_CASE("websocket chat client: cut off, it comes again and gets what it has missed", "[programs][websocket][chat]") {
    const Server server = start_chat();
    Member anna(server, "anna");
    const std::string port = lasting_port();
    auto proxy = start_proxy(port, server);
    Process client({program(chatter), "--name", "terminal", "--port", port, "--first-wait", "50"});
    client.feed("one\n");
    client.expect(Stream::out, "<terminal> one\n");
    for (int round = 0; round < 3; ++round) {
        proxy.reset();
        client.expect(Stream::err, "* not connected: ");
        for (int i = 0; i < 20; ++i)
            anna.say(fmt::format("meanwhile {}", 20 * round + i));
        client.feed(fmt::format("said into nothing {}\n", round));
        proxy = start_proxy(port, server);
        client.expect(Stream::err, "* connected again");
        client.expect(Stream::out, fmt::format("<terminal> said into nothing {}\n", round));
    }
    // More than is kept: it is said how many are missing.
    proxy.reset();
    client.expect(Stream::err, "* not connected: ");
    for (int i = 60; i < 120; ++i)
        anna.say(fmt::format("meanwhile {}", i));
    for (std::string line; line.find("meanwhile 119") == std::string::npos;)
        line = anna.line();
    proxy = start_proxy(port, server);
    client.expect(Stream::err, "* 10 lines were said meanwhile that are not kept any more");
    client.expect(Stream::out, "<anna> meanwhile 119\n");
    client.close_input();
    client.expect_exit(0);
    std::string expected = "<terminal> one\n";
    for (int i = 0; i < 120; ++i) {
        if (i < 60 || i >= 70) expected += fmt::format("<anna> meanwhile {}\n", i);
        if (i < 60 && i % 20 == 19) expected += fmt::format("<terminal> said into nothing {}\n", i / 20);
    }
    CHECK(client.out() == expected);
}

TEST_CASE("websocket chat client: its tries are ever later, and then it gives up", "[programs][websocket][chat]") {
    Server server = start_chat();
    Process client(
        server.client(chatter, {"--name", "x", "--first-wait", "200", "--longest-wait", "900", "--tries", "4"}));
    client.feed("hello\n");
    client.expect(Stream::out, "<x> hello\n");
    server.signal(SIGKILL);
    client.expect_exit(1);
    CHECK_THAT(client.err(), ContainsSubstring("(ECONNREFUSED)") && ContainsSubstring("given up after 4 tries"));
    std::vector<double> waits;
    for (const std::string& line : lines_with(client.err(), "next try in "))
        waits.push_back(std::stod(line.substr(line.find("next try in ") + 12)));
    REQUIRE(waits.size() == 4);
    for (size_t i = 0; i < 4; ++i) {
        const double longest = std::min(0.9, 0.2 * static_cast<double>(1U << i));
        CHECK(waits[i] >= longest / 2 - 0.051);
        CHECK(waits[i] <= longest + 0.051);
    }
}

TEST_CASE("websocket chat client: codes after which it comes again, and others", "[programs][websocket][chat]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    const std::string fields = "Sec-WebSocket-Protocol: chat\r\n";
    for (const unsigned code : {1001U, 1011U, 1012U, 1013U, 1014U, 1000U, 1002U, 1008U, 4000U, 4001U}) {
        INFO(code);
        Process client({program(chatter), "--name", "x", "--port", listener.port(), "--first-wait", "1"});
        WebSocketPeer server(listener, true, fields);
        const Json join = Json::parse(server.payload(0x81));
        CHECK(join.at("join") == "lobby");
        CHECK(join.at("since") == 0);
        server.send_frame(0x81, R"({"joined":"lobby","name":"x","life":"L","last":7,"missed":0})");
        server.send_frame(0x81, R"({"line":7,"name":"y","text":"seven","at":0,"id":""})");
        server.send_frame(0x88, close_body(code, "so it is"));
        CHECK(server.frame() == closed(code, ""));
        server.socket().close();
        if (code >= 1001 && code != 1002 && code != 1008 && code < 4000) {
            WebSocketPeer next(listener, true, fields);
            const Json again = Json::parse(next.payload(0x81));
            CHECK(again.at("since") == 7);
            CHECK(again.at("life") == "L");
            CHECK(again.at("key") == join.at("key"));
            next.send_frame(0x81, R"({"joined":"lobby","name":"x","life":"L","last":8,"missed":0})");
            for (const int line : {6, 7, 8, 8})  // nothing twice, even if the server would
                next.send_frame(0x81, fmt::format(R"({{"line":{},"name":"y","text":"line {}"}})", line, line));
            client.expect(Stream::out, "<y> line 8\n");
            client.close_input();
            CHECK(close_of(next) == closed(1000, ""));
            next.send_frame(0x88, close_body(1000));
            next.socket().close();
            client.expect_exit(0);
            CHECK(client.out() == "<y> seven\n<y> line 8\n");
            CHECK_THAT(client.err(),
                       ContainsSubstring(fmt::format("* not connected: {} so it is; next try in", code)) &&
                           ContainsSubstring("* connected again"));
        } else {
            client.expect_exit(1);
            CHECK_THAT(client.err(), ContainsSubstring(fmt::format("closed the connection: {} so it is", code)));
        }
    }
}

TEST_CASE("websocket chat client: a server that is silent is asked, and left", "[programs][websocket][chat]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client(
        {program(chatter), "--name", "x", "--port", listener.port(), "--first-wait", "1", "--patience", "1"});
    {
        WebSocketPeer server(listener, true, "Sec-WebSocket-Protocol: chat\r\n");
        CHECK_THAT(server.payload(0x81), StartsWith("{\"join\""));
        server.send_frame(0x81, R"({"joined":"lobby","name":"x","life":"L","last":0,"missed":0})");
        CHECK(server.frame() == "89 ");
        server.send_frame(0x8A, "");  // here I am
        CHECK(server.frame() == "89 ");
        client.expect(Stream::err, "* not connected: silent for 1 s");
    }
    WebSocketPeer again(listener, true, "Sec-WebSocket-Protocol: chat\r\n");
    CHECK_THAT(again.payload(0x81), StartsWith("{\"join\""));
}

TEST_CASE("websocket chat client: a hostile server", "[programs][websocket][chat]") {
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program(chatter), "--name", "x", "--port", listener.port()}, {.terminal = Terminal::all});
    WebSocketPeer server(listener, true, "Sec-WebSocket-Protocol: chat\r\n");
    server.payload(0x81);
    server.send_frame(0x81, R"({"joined":"\u001b[2J","name":5,"life":[],"missed":-1})");
    server.send_frame(0x81, R"({"line":1,"name":"\u001b]0;x\u0007","text":"\u001b[2J\n<anna> faked C:\\tmp"})");
    client.expect(Stream::terminal, "<\\x1b]0;x\\x07> \\x1b[2J\\n<anna> faked C:\\tmp\r\n");
    server.send_frame(0x81, R"({"here":["\u001b[2J",{},5],"members":"x","come":["\u009b2J"],"left":5})");
    client.expect(Stream::terminal, "* \\xc2\\x9b2J has come\r\n");
    server.send_frame(0x81, R"({"error":[],"text":"\u001b[2J"})");
    client.expect(Stream::terminal, "* \\x1b[2J\r\n");
    client.type("/who\n");
    client.expect(Stream::terminal, "* 0 in lobby: \\x1b[2J\r\n");
    const std::string deep(100'000, '[');
    for (const std::string text : {"nonsense", "[]", "5", "{", deep.c_str()}) {
        server.send_frame(0x81, text);
        client.expect(Stream::terminal, "* the server says what we don't understand\r\n");
    }
    server.send_frame(0x81, "{\"line\":2,\"text\":" + deep + std::string(100'000, ']') + "}");
    client.expect(Stream::terminal, "<> \r\n");
    server.send_frame(0x81, R"({"line":3,"name":"y","text":")" + std::string(65'536, 'y') + "\"}");
    client.expect(Stream::terminal, "<y> yyyy");
    CHECK(client.all(Stream::terminal).find("\x1b[2J") == std::string::npos);
    server.send_frame(0x81, std::string(300'000, ' '));  // and this is too much
    while (!server.frame().starts_with("88 ")) {
    }
    server.socket().close();
    client.expect_exit(1);
    CHECK_THAT(client.all(Stream::terminal), ContainsSubstring("the server has closed the connection: 1009"));
}

TEST_CASE("websocket chat client: a line comes while one is typed", "[programs][websocket][chat]") {
    Server server = start_chat({"--port", lasting_port()});
    Process anna(server.client(chatter, {"--first-wait", "50"}), {.terminal = Terminal::all});
    anna.expect(Stream::terminal, "* what is your name?");
    anna.type("anna\n");
    wait_until([&] { return server.err().find("anna comes to lobby") != std::string::npos; }, "anna to come");
    Member bob(server, "bob");
    anna.expect(Stream::terminal, "* bob has come\r\n\r\x1b[K> ");
    anna.type("안녕");
    anna.expect(Stream::terminal, "\r\x1b[K> 안녕");
    bob.say("hi");
    CHECK(anna.expect(Stream::terminal, "> 안녕") == "\r\x1b[K<bob> hi\r\n\r\x1b[K> 안녕");
    anna.type("\n");
    CHECK(bob.line() == "1 <bob> hi");
    CHECK(bob.line() == "2 <anna> 안녕");
    anna.expect(Stream::terminal, "<anna> 안녕\r\n\r\x1b[K> ");
    // While the server is away.
    server.signal(SIGKILL);
    anna.expect(Stream::terminal, "* not connected: ");
    anna.type("are you there?\n");
    anna.expect(Stream::terminal, "* it will be sent when we are connected again");
    const Server next = start_chat({"--port", server.port()});
    anna.expect(Stream::terminal, "* connected again");
    anna.expect(Stream::terminal, "<anna> are you there?");
    anna.type("\x04");
    anna.expect_exit(0);
}

// ---- What nobody here wrote

TEST_CASE("websocket chat: Python's websockets and npm's ws", "[programs][websocket][chat][interop]") {
    const Server server = start_chat();
    CHECK(run({"/usr/bin/python3", "tests/interop/chat_client.py", server.host(), server.port()}) == "done\n");
    const auto packages = npm_packages();
    if (!packages) return;
    // The page's own connection.
    Member anna(server, "anna");
    Process member({"node", "tests/interop/chat_member.mjs", server.host(), server.port()}, *packages);
    CHECK(anna.line() == "1 <ws> hello from ws");
    anna.say("안녕");
    member.expect(Stream::out, "2 <anna> 안녕\n");
    anna.say("bye");
    member.expect_exit(0);
    CHECK(member.out() == "connecting \njoined lobby\n1 <ws> hello from ws\n2 <anna> 안녕\n3 <anna> bye\nended \n");
}

TEST_CASE("websocket chat: curl gets the page", "[programs][websocket][chat][interop]") {
    if (!has_tool("curl")) return;
    const Server server = start_chat();
    for (const std::string file : {"chat.html", "chat.js", "chat_link.js", "chat.css", "style.css"}) {
        const std::string url = "http://" + server.address() + "/" + file;
        CHECK(run({"curl", "-sS", "--fail", url}) == read_file("websocket/page/" + file));
    }
    CHECK(run({"curl", "-sS", "--fail", "http://" + server.address()}) == read_file("websocket/page/chat.html"));
}

TEST_CASE("websocket chat: its page", "[programs][websocket][chat][browser]") {
    if (!can_test_pages()) return;
    const std::string port = lasting_port(), proxy_port = lasting_port();
    std::unique_ptr<Server> server(new Server(start_chat({"--port", port})));
    auto proxy = start_proxy(proxy_port, *server);
    PageTest page("chat_page.mjs", {port, proxy_port});
    const auto asked = [&](const std::string& what) { page.process().expect(Stream::out, what + "\n", 2 * patience); };
    asked("a terminal comes and speaks");
    Process terminal(server->client(chatter, {"--name", "terminal", "--first-wait", "100", "--longest-wait", "500"}));
    terminal.feed("hello from the terminal\n");
    terminal.expect(Stream::out, "<terminal> hello from the terminal\n");
    page.process().feed("a terminal comes and speaks\n");
    asked("the proxy is killed");
    CHECK_THAT(terminal.out(), ContainsSubstring("<peter> <img src=x onerror=\"document.title=1\">\n"));
    proxy.reset();
    page.process().feed("the proxy is killed\n");
    asked("the proxy is started again");
    proxy = start_proxy(proxy_port, *server);
    page.process().feed("the proxy is started again\n");
    asked("the server is killed");
    server->signal(SIGKILL);
    server->wait();
    terminal.expect(Stream::err, "* not connected: ");
    terminal.feed("typed while the server was away\n");
    page.process().feed("the server is killed\n");
    asked("the server is started again");
    server.reset(new Server(start_chat({"--port", port})));
    page.process().feed("the server is started again\n");
    asked("the server is ended");
    terminal.expect(Stream::out, "is anybody there?\n");
    CHECK(count_of(terminal.out(), "meanwhile 20\n") == 1);
    CHECK(count_of(terminal.out(), "said into nothing\n") == 1);
    CHECK(count_of(terminal.out(), "typed while the server was away\n") == 1);
    server->signal(SIGINT);
    page.process().feed("the server is ended\n");
    page.finish();
    server->expect_exit(0);
}
