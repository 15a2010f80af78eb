// One to many: broadcast, multicast and the chat without a server. On the loopback of this machine, and on two hosts
// with a cable between them. Others that nobody here wrote: socat, tcpdump.

#include "tests/catch.hpp"
#include "tests/support/network.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/chat.hpp"

#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <termios.h>

using namespace std::string_literals;

namespace {

const std::string broadcast_sender = "udp/broadcast_sender", broadcast_receiver = "udp/broadcast_receiver";
const std::string multicast_sender = "udp/multicast_sender", multicast_receiver = "udp/multicast_receiver";

Process::Command command(const std::string& name, const Process::Command& arguments) {
    Process::Command whole{program(name)};
    whole.insert(whole.end(), arguments.begin(), arguments.end());
    return whole;
}

/// What stands behind the sender's address in a receiver's next line with this text.
std::string heard(Process& receiver, const std::string& text) {
    const std::string line = receiver.expect_line(Stream::out, text);
    return line.substr(line.find(' ') + 1);
}

/// The port in "listening on ...", waited for.
std::string port_of(Process& receiver) {
    const std::string line = receiver.expect_line(Stream::out, "listening on ");
    return line.substr(line.rfind(':') + 1);
}

/// Says it to a receiver, all of it in one run.
void say(const Process::Command& sender, const std::string& text) { run(sender, text + "\n"); }

}  // namespace

// ---- Broadcast

TEST_CASE("broadcast: refused at first, then heard by all at the port", "[programs][udp][groups]") {
    Server first = start_server(broadcast_receiver);
    Server second = start_server(broadcast_receiver, {"--port", first.port()});
    CHECK(first.host() == "127.255.255.255");
    CHECK(first.err().empty());  // nobody else can reach it
    Process sender(first.client(broadcast_sender));
    sender.feed("hello\n한글\x1b[2J\nno newline");
    sender.close_input();
    sender.expect_exit(0);
    CHECK_THAT(sender.err(), StartsWith("refused (EACCES): 127.255.255.255:"));
    CHECK(count_of(sender.err(), "\n") == 1);
    CHECK(lines_of(sender.out()).size() == 3);
    for (Server* receiver : {&first, &second}) {
        CHECK(heard(*receiver, "hello") == "to 127.255.255.255 over lo: hello");
        CHECK(heard(*receiver, "한글") == "to 127.255.255.255 over lo: 한글\\x1b[2J");
        CHECK(heard(*receiver, "no newline") == "to 127.255.255.255 over lo: no newline");
    }
    first.signal(SIGINT);
    first.expect_exit(0);
}

TEST_CASE("broadcast: what is bound decides what is heard", "[programs][udp][groups]") {
    Server all = start_server(broadcast_receiver, {"--host", "0.0.0.0"});
    CHECK_THAT(all.err(), ContainsSubstring("can be reached from other machines"));
    Server one = start_server(broadcast_receiver, {"--host", "127.0.0.1", "--port", all.port()});
    const Process::Command port{"--port", all.port()};
    const auto broadcast = [&](const Process::Command& more, const std::string& text) {
        Process::Command whole = command(broadcast_sender, port);
        whole.insert(whole.end(), more.begin(), more.end());
        say(whole, text);
    };
    broadcast({}, "directed");
    broadcast({"--host", "255.255.255.255", "--from", "127.0.0.1"}, "limited");
    broadcast({"--host", "127.0.0.1"}, "to one");  // no broadcast: nothing to be refused
    CHECK(heard(all, "directed") == "to 127.255.255.255 over lo: directed");
    CHECK(heard(all, "limited") == "to 255.255.255.255 over lo: limited");
    CHECK(heard(one, "to one") == "to 127.0.0.1 over lo: to one");
    CHECK(one.out().find("directed") == std::string::npos);
    CHECK(one.out().find("limited") == std::string::npos);
}

TEST_CASE("broadcast: socat's, both ways", "[programs][udp][groups]") {
    if (!has_tool("socat")) return;
    Server receiver = start_server(broadcast_receiver);
    run({"socat", "-u", "-", "UDP4-DATAGRAM:" + receiver.address() + ",broadcast"}, "from socat\n");
    CHECK(heard(receiver, "socat") == "to 127.255.255.255 over lo: from socat");
    Process socat({"socat", "-d", "-d", "-d", "-u",
                   "UDP4-RECV:" + receiver.port() + ",bind=127.255.255.255,reuseaddr,reuseport", "-"});
    socat.expect(Stream::err, "starting data transfer loop");
    say(receiver.client(broadcast_sender), "for socat");
    socat.expect(Stream::out, "for socat\n");
}

TEST_CASE("broadcast: two hosts", "[programs][udp][groups]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    Process right(hosts.on_right(command(broadcast_receiver, {"--host", "0.0.0.0"})));
    Process left(hosts.on_left(command(broadcast_receiver, {"--host", "10.7.0.255"})));
    port_of(right);
    port_of(left);
    Process directed(hosts.on_left(command(broadcast_sender, {"--host", "10.7.0.255"})));
    directed.feed("directed\n");
    directed.close_input();
    directed.expect_exit(0);
    CHECK_THAT(directed.err(), StartsWith("10.7.0.255:7000 leaves this machine"));
    CHECK(right.expect_line(Stream::out, "directed").starts_with("10.7.0.1:"));
    CHECK(heard(left, "directed") == "to 10.7.0.255 over cable: directed");  // it comes back to its own machine, too
    // The limited one goes where its sender's address says; there is no other route for it here.
    say(hosts.on_left(command(broadcast_sender, {"--host", "255.255.255.255", "--from", "10.7.0.1"})), "limited");
    CHECK(heard(right, "limited") == "to 255.255.255.255 over cable: limited");
    Process nowhere(hosts.on_left(command(broadcast_sender, {"--host", "255.255.255.255"})));
    nowhere.feed("x\n");
    nowhere.expect_exit(1);
    CHECK_THAT(nowhere.err(), ContainsSubstring("(ENETUNREACH)"));
}

TEST_CASE("broadcast and multicast: wrong command lines", "[programs][udp][groups]") {
    const auto refusal = [](const std::string& name, const Process::Command& arguments) {
        Process process(command(name, arguments));
        process.close_input();
        process.expect_exit(2);
        CHECK(count_of(process.err(), "\n") == 1);
        return process.err();
    };
    for (const std::string& name : {broadcast_sender, broadcast_receiver})
        CHECK_THAT(refusal(name, {"--host", "::1"}), ContainsSubstring("IPv6 has no broadcast"));
    for (const std::string& name : {multicast_sender, multicast_receiver, "udp/chat"s}) {
        for (const char* host : {"127.0.0.1", "223.255.255.255", "240.0.0.0", "::1", "fe80::1"})
            CHECK_THAT(refusal(name, {"--host", host}), ContainsSubstring("expected a group"));
        CHECK_THAT(refusal(name, {"--interface", "no\x1b[2J"}), ContainsSubstring("--interface no\\x1b[2J: "));
        CHECK_THAT(refusal(name, {"--interface", "192.0.2.77"}), ContainsSubstring("--interface 192.0.2.77"));
#ifdef __linux__
        CHECK_THAT(refusal(name, {"--host", "ff15::7000"}), ContainsSubstring("choose an --interface"));
#endif
    }
    CHECK_THAT(refusal(multicast_receiver, {"--share", "x"}), ContainsSubstring("--share x: expected"));
    CHECK_THAT(refusal("udp/chat", {"--name", "a b"}), ContainsSubstring("--name a b: a name has letters"));
    CHECK_THAT(refusal("udp/chat", {"--name", "012345678901234567890"}), ContainsSubstring("1 to 20 characters"));
}

// ---- Multicast

TEST_CASE("multicast: two receivers at one port hear all", "[programs][udp][groups]") {
    Server first = start_server(multicast_receiver);
    Server second = start_server(multicast_receiver, {"--port", first.port()});
    CHECK(first.address() == "239.255.70.70:" + first.port());
    const std::string out = run(first.client(multicast_sender), "hello\n\x1b]0;title\a\n");
    CHECK(out == "6 bytes to " + first.address() + " over lo\n11 bytes to " + first.address() + " over lo\n");
    run(first.client(multicast_sender, {"--ttl", "7"}), "far");
    for (Server* receiver : {&first, &second}) {
        CHECK(heard(*receiver, "hello") == "to 239.255.70.70 over lo, TTL 1: hello");
        CHECK(heard(*receiver, "title") == "to 239.255.70.70 over lo, TTL 1: \\x1b]0;title\\x07");
        CHECK(heard(*receiver, "far") == "to 239.255.70.70 over lo, TTL 7: far");
        CHECK(receiver->err().empty());
        CHECK(receiver->out().find("127.0.0.1:") != std::string::npos);  // the loopback's own address as the sender
    }
    // Another group at the same port is none of theirs; and the next one shows that it did not come.
    run(first.client(multicast_sender, {"--host", "239.255.70.69"}), "another group\n");
    run(first.client(multicast_sender), "after\n");
    for (Server* receiver : {&first, &second}) {
        heard(*receiver, "after");
        CHECK(receiver->out().find("another group") == std::string::npos);
    }
}

TEST_CASE("multicast: what is sent to one goes to one, whoever shares the port", "[programs][udp][groups]") {
    const std::string share = GENERATE("address", "port", "both");
    INFO(share);
    Server first = start_server(multicast_receiver, {"--any", "--share", share});
    Server second = start_server(multicast_receiver, {"--any", "--share", share, "--port", first.port()});
    Peer sender = Peer::bound(SOCK_DGRAM);
    const Address one = resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(first.port())), SOCK_DGRAM).front();
    for (int i = 0; i < 10; ++i)
        sender.send_to(one, "to one");
    say(command(multicast_sender, {"--port", first.port()}), "to all");
    heard(first, "to all");
    heard(second, "to all");
    const std::size_t at_first = lines_with(first.out(), "to 127.0.0.1 over lo, TTL 64: to one").size();
    const std::size_t at_second = lines_with(second.out(), "to 127.0.0.1 over lo, TTL 64: to one").size();
    // Of one sender always to the same.
    CHECK(((at_first == 10 && at_second == 0) || (at_first == 0 && at_second == 10)));
#ifdef __linux__
    if (share == "address") CHECK(at_second == 10);  // who came last has it
#endif
}

TEST_CASE("multicast: a port that is not shared", "[programs][udp][groups]") {
    Server first = start_server(multicast_receiver, {"--share", "no"});
    Process second(command(multicast_receiver, {"--share", "no", "--port", first.port()}));
    second.expect_exit(1);
    CHECK_THAT(second.err(), ContainsSubstring("bind(") && ContainsSubstring("(EADDRINUSE)"));
}

TEST_CASE("multicast: socat's, both ways", "[programs][udp][groups]") {
    if (!has_tool("socat")) return;
    Server receiver = start_server(multicast_receiver);
    run({"socat", "-u", "-", "UDP4-DATAGRAM:" + receiver.address() + ",ip-multicast-if=127.0.0.1"}, "from socat\n");
    CHECK(heard(receiver, "socat") == "to 239.255.70.70 over lo, TTL 1: from socat");
    Process socat({"socat", "-d", "-d", "-d", "-u",
                   "UDP4-RECV:" + receiver.port() +
                       ",bind=239.255.70.70,reuseaddr,reuseport,ip-add-membership=239.255.70.70:127.0.0.1",
                   "-"});
    socat.expect(Stream::err, "starting data transfer loop");
    say(receiver.client(multicast_sender), "for socat");
    socat.expect(Stream::out, "for socat\n");
}

namespace {

struct Way {
    std::string group, left, limit;
};

void check_how_far(const TwoHosts& hosts, const Way& way) {
    // The interface by its name on the one side, by its address on the other.
    Process left(hosts.on_left(command(multicast_receiver, {"--host", way.group, "--interface", way.left})));
    Process right(hosts.on_right(command(multicast_receiver, {"--host", way.group, "--interface", "cable"})));
    port_of(left);
    port_of(right);
    CHECK_THAT(left.err(), ContainsSubstring("can be reached from other machines"));
    const auto send = [&](const Process::Command& more, const std::string& text) {
        Process::Command whole = command(multicast_sender, {"--host", way.group, "--interface", "cable"});
        whole.insert(whole.end(), more.begin(), more.end());
        Process sender(hosts.on_left(whole));
        sender.feed(text + "\n");
        sender.close_input();
        sender.expect_exit(0);
        return sender.err();
    };
    CHECK_THAT(send({}, "all"), ContainsSubstring("leaves this machine"));
    CHECK_THAT(send({"--ttl", "0"}, "here"), ContainsSubstring("leaves this machine even so, unless somebody"));
    CHECK_THAT(send({"--no-loop", "--ttl", "3"}, "there"), ContainsSubstring("leaves this machine"));
    send({}, "end");
    for (Process* receiver : {&left, &right}) {
        CHECK(heard(*receiver, ": all") == "to " + way.group + " over cable, " + way.limit + " 1: all");
        receiver->expect_line(Stream::out, ": end");
    }
    CHECK(lines_with(left.out(), ": here").size() == 1);
    CHECK(lines_with(left.out(), ": there").empty());
    CHECK(lines_with(right.out(), ": here").empty());
    CHECK(lines_with(right.out(), way.limit + " 3: there").size() == 1);
}

}  // namespace

TEST_CASE("multicast: two hosts, and how far a datagram goes", "[programs][udp][groups]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    for (const Way& way : {Way{"239.1.2.3", "10.7.0.1", "TTL"}, Way{"ff12::7000", "fe80::1", "hop limit"},
                           Way{"ff15::7000", "fd07::1", "hop limit"}}) {
        INFO(way.group);
        check_how_far(hosts, way);
    }
}

TEST_CASE("multicast: a group of IPv6 that stays on its interface never leaves the machine",
          "[programs][udp][groups]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    // No --interface: it is the first that carries such a group.
    Process left(hosts.on_left(command(multicast_receiver, {"--host", "ff11::7000"})));
    Process right(hosts.on_right(command(multicast_receiver, {"--host", "ff11::7000"})));
    port_of(left);
    port_of(right);
    left.expect_line(Stream::out, "joined ff11::7000 on cable");
    CHECK(left.err().empty());
    Process sender(hosts.on_left(command(multicast_sender, {"--host", "ff11::7000", "--ttl", "9"})));
    sender.feed("stays\n");
    sender.close_input();
    sender.expect_exit(0);
    CHECK(sender.err().empty());
    CHECK(heard(left, "stays") == "to ff11::7000 over cable, hop limit 9: stays");
    say(hosts.on_right(command(multicast_sender, {"--host", "ff11::7000"})), "of its own");
    right.expect_line(Stream::out, "of its own");
    CHECK(right.out().find("stays") == std::string::npos);
}

TEST_CASE("multicast: socat's over IPv6, from host to host and back", "[programs][udp][groups]") {
    if (!has_tool("socat")) return;
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    const Process::Command where{"--host", "ff15::7000", "--interface", "cable"};
    Process left(hosts.on_left(command(multicast_receiver, where)));
    port_of(left);
    run(hosts.on_right({"socat", "-u", "-", "UDP6-DATAGRAM:[ff15::7000]:7000"}), "from socat\n");
    CHECK(heard(left, "socat") == "to ff15::7000 over cable, hop limit 1: from socat");
    Process socat(hosts.on_right(
        {"socat", "-d", "-d", "-d", "-u", "UDP6-RECV:7000,reuseaddr,ipv6-join-group=[ff15::7000]:cable", "-"}));
    socat.expect(Stream::err, "starting data transfer loop");
    say(hosts.on_left(command(multicast_sender, where)), "for socat");
    socat.expect(Stream::out, "for socat\n");
}

TEST_CASE("multicast: what was joined on one interface does not come over another", "[programs][udp][groups]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    Process on_loopback(hosts.on_right(command(multicast_receiver, {})));
    port_of(on_loopback);
    // This one lets the group into the machine by the cable.
    Process on_cable(hosts.on_right(command(multicast_receiver, {"--interface", "cable"})));
    port_of(on_cable);
    say(hosts.on_left(command(multicast_sender, {"--interface", "cable"})), "by the cable");
    say(hosts.on_right(command(multicast_sender, {})), "by the loopback");
    on_cable.expect_line(Stream::out, "by the cable");
    on_loopback.expect_line(Stream::out, "by the loopback");
    CHECK(on_cable.out().find("by the loopback") == std::string::npos);
    CHECK(on_loopback.out().find("by the cable") == std::string::npos);
}

TEST_CASE("multicast: past routers by the TTL, and no further", "[programs][udp][groups]") {
    if (!has_tool("python3")) return;
    Hops hops;
    if (!hops.are_there()) return;
    // Two routers pass it on, and the third hears what is left. A group of the link stays on it, whatever is asked.
    for (const Way& way : {Way{"239.255.70.70", "10.0.1.1", "TTL"}, Way{"ff15::7000", "fd00:1::1", "hop limit"},
                           Way{"ff12::7000", "fe80::1", "hop limit"}}) {
        const std::string& group = way.group;
        INFO(group);
        std::vector<std::unique_ptr<Process>> routing, receivers;
        const auto send = [&](const std::string& machine, const std::string& interface, const std::string& ttl,
                              const std::string& text) {
            say(hops.on(machine, command(multicast_sender, {"--host", group, "--interface", interface, "--ttl", ttl})),
                text);
        };
        for (const std::string number : {"1", "2", "3"}) {
            const std::string router = "router" + number, next = "near" + std::to_string(std::stoi(number) + 1);
            routing.push_back(std::make_unique<Process>(hops.on(
                router, {"python3", "tests/interop/multicast_router.py", "far" + number, next, way.left, group})));
            routing.back()->expect_line(Stream::out, "ready");
            receivers.push_back(std::make_unique<Process>(
                hops.on(router, command(multicast_receiver, {"--host", group, "--interface", "far" + number}))));
            port_of(*receivers.back());
        }
        for (const int ttl : {0, 1, 2, 3, 9})
            send("here", "near1", std::to_string(ttl), "sent with " + std::to_string(ttl));
        // What each router is told by its neighbour comes behind all that could have come.
        send("here", "near1", "1", "end");
        send("router1", "near2", "1", "end");
        send("router2", "near3", "1", "end");
        for (int passed = 0; passed < 3; ++passed) {
            Process& receiver = *receivers[static_cast<std::size_t>(passed)];
            receiver.expect_line(Stream::out, ": end");
            std::vector<std::string> expected;
            if (passed == 0) {  // since nobody has joined on the machine that sends, Linux lets even this one out
                expected.push_back("to " + group + " over far1, " + way.limit + " 0: sent with 0");
            }
            for (const int ttl : {1, 2, 3, 9}) {
                if (ttl > passed && (passed == 0 || group != "ff12::7000"))
                    expected.push_back("to " + group + " over far" + std::to_string(passed + 1) + ", " + way.limit +
                                       " " + std::to_string(ttl - passed) + ": sent with " + std::to_string(ttl));
            }
            std::vector<std::string> got;
            for (const std::string& line : lines_with(receiver.out(), ": sent with "))
                got.push_back(line.substr(line.find(' ') + 1));
            CHECK(got == expected);
        }
    }
}

TEST_CASE("multicast: tcpdump sees it on the cable, and how it was joined", "[programs][udp][groups]") {
    if (!has_tool("dumpcap") || !has_tool("tcpdump")) return;
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    const TempDir directory;
    const std::string file = directory / "cable.pcap";
    // tcpdump itself can't capture where root is a user without groups: it only reads the file.
    Process dumpcap(hosts.on_right({"dumpcap", "-P", "-q", "-i", "cable", "-w", file}));
    dumpcap.expect(Stream::err, "File: ");
    Process four(hosts.on_left(command(multicast_receiver, {"--interface", "cable"})));
    Process six(hosts.on_left(command(multicast_receiver, {"--host", "ff15::7000", "--interface", "cable"})));
    port_of(four);
    port_of(six);
    const auto send = [&](const std::string& group, const std::string& ttl, const std::string& text) {
        say(hosts.on_left(command(multicast_sender, {"--host", group, "--interface", "cable", "--ttl", ttl})), text);
    };
    send("239.255.70.70", "0", "unseen");
    send("239.255.70.70", "5", "four");
    send("ff15::7000", "6", "the last one");
    const std::string group_of_six = "\xff\x15"s + std::string(12, '\0') + "\x70"s + std::string(1, '\0');
    wait_until(
        [&] {  // the last datagram, and besides it what tells of the group
            const std::string captured = read_file(file);
            return captured.find("the last one") != std::string::npos && count_of(captured, group_of_six) >= 2;
        },
        "the last datagram");
    dumpcap.signal(SIGINT);
    dumpcap.wait();
    CHECK(read_file(file).find("unseen") == std::string::npos);
    const std::string seen = run({"tcpdump", "-n", "-v", "-r", file});
    CHECK_THAT(seen, ContainsSubstring("igmp v3 report") && ContainsSubstring("gaddr 239.255.70.70 to_ex"));
    CHECK_THAT(seen, ContainsSubstring("multicast listener report v2") && ContainsSubstring("gaddr ff15::7000 to_ex"));
    CHECK_THAT(seen, ContainsSubstring("ttl 5,") && ContainsSubstring("> 239.255.70.70.7000: "));
    CHECK_THAT(seen, ContainsSubstring("hlim 6,") && ContainsSubstring("> ff15::7000.7000: "));
}

// ---- Chat

namespace {

const std::string chatter = "udp/chat";

Server start_chat(const std::string& name, const Process::Command& more = {}, const Surroundings& surroundings = {}) {
    Process::Command arguments{"--name", name};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return start_server(chatter, arguments, surroundings);
}

/// Somebody who speaks the chat's protocol by hand, and not always well.
class Stranger {
public:
    explicit Stranger(const Server& chat, std::uint32_t number = 4711, std::string name = "stranger")
        : number_(number), name_(std::move(name)), peer_(Peer::bound(SOCK_DGRAM)) {
        group_ = resolve(chat.host(), static_cast<std::uint16_t>(std::stoi(chat.port())), SOCK_DGRAM).front();
        const in_addr loopback{htonl(INADDR_LOOPBACK)};
        REQUIRE(setsockopt(peer_.fd(), IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback) == 0);
    }
    void send(group_chat::Kind kind, std::uint32_t lines = 0, std::string_view text = {}) {
        raw(group_chat::to_bytes({kind, number_, lines, name_, text}));
    }
    void raw(const std::string& bytes) { peer_.send_to(group_, bytes); }
    std::string address() const { return peer_.address().text(); }

private:
    std::uint32_t number_;
    std::string name_;
    Peer peer_;
    Address group_;
};

using group_chat::Kind;

}  // namespace

TEST_CASE("group chat: who comes, speaks and leaves", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    anna.expect_line(Stream::out, "* you are anna, over lo");
    Server bob = start_chat("철수", {"--port", anna.port()});
    anna.expect_line(Stream::out, "* 철수 has come");
    bob.expect_line(Stream::out, "* anna is here");  // the answer
    anna.feed("hello\n안녕\n/who\n/nonsense\n\n");
    bob.expect_line(Stream::out, "<anna> hello");
    bob.expect_line(Stream::out, "<anna> 안녕");
    anna.expect_line(Stream::out, "* here: anna (you), 철수");
    anna.expect_line(Stream::out, "* the only command is /who");
    bob.feed("no newline");
    bob.close_input();
    anna.expect_line(Stream::out, "<철수> no newline");
    anna.expect_line(Stream::out, "* 철수 has left");
    bob.expect_exit(0);
    CHECK(bob.out().ends_with("* goodbye\n"));
    // Somebody who is only passing by.
    CHECK_THAT(run(anna.client(chatter, {"--name", "pipe"}), "one\ntwo\n"), ContainsSubstring("* goodbye\n"));
    for (const char* line : {"* pipe has come", "<pipe> one", "<pipe> two", "* pipe has left"})
        anna.expect_line(Stream::out, line);
    anna.signal(SIGTERM);
    anna.expect_exit(0);
    CHECK(anna.out().ends_with("* goodbye\n"));
    CHECK(anna.err().empty());
    CHECK(anna.out().find("<anna>") == std::string::npos);  // what we say ourselves does not come back
}

TEST_CASE("group chat: over IPv6, and from host to host", "[programs][udp][groups][chat]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    for (const std::string group : {"239.255.70.71", "ff12::7001", "ff15::7001"}) {
        INFO(group);
        const auto with_name = [&](const std::string& name) {
            return command(chatter, {"--host", group, "--interface", "cable", "--name", name});
        };
        Process anna(hosts.on_left(with_name("anna"))), here(hosts.on_left(with_name("here")));
        anna.expect_line(Stream::out, "here ");
        Process bob(hosts.on_right(with_name("bob")));
        bob.expect_line(Stream::out, " is here");
        bob.expect_line(Stream::out, " is here");
        bob.feed("hello\n");
        anna.expect_line(Stream::out, "<bob> hello");
        here.expect_line(Stream::out, "<bob> hello");
        anna.feed("hi\n");
        here.expect_line(Stream::out, "<anna> hi");
        bob.expect_line(Stream::out, "<anna> hi");
        CHECK_THAT(anna.err(), ContainsSubstring("can be reached from other machines"));
    }
    // Within a machine: a group that stays on its interface.
    Process anna(hosts.on_left(command(chatter, {"--host", "ff11::7001", "--name", "anna"})));
    anna.expect_line(Stream::out, "* you are anna, over cable");
    Process bob(hosts.on_left(command(chatter, {"--host", "ff11::7001", "--name", "bob"})));
    anna.expect_line(Stream::out, "* bob has come");
    bob.expect_line(Stream::out, "* anna is here");
    CHECK(anna.err().empty());
}

TEST_CASE("group chat: a cable that is out", "[programs][udp][groups][chat]") {
    TwoHosts hosts;
    if (!hosts.are_there()) return;
    Process anna(hosts.on_left(command(chatter, {"--interface", "cable", "--name", "anna", "--beat", "1"})));
    anna.expect_line(Stream::out, "* you are anna");
    run(hosts.on_left({"ip", "link", "set", "cable", "down"}));
    anna.expect_line(Stream::out, "* not sent: Network is unreachable (ENETUNREACH)");
    anna.feed("hello\n");
    anna.expect_line(Stream::out, "* not sent: Network is unreachable (ENETUNREACH)");
    anna.feed("/who\n");
    anna.expect_line(Stream::out, "* here: anna (you)");
    anna.signal(SIGTERM);
    anna.expect_exit(0);
}

TEST_CASE("group chat: who is killed is missed, and comes back", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna", {"--beat", "1", "--silence", "1"});
    {
        Server bob = start_chat("bob", {"--port", anna.port(), "--beat", "1"});
        anna.expect_line(Stream::out, "* bob has come");
        bob.signal(SIGKILL);
        bob.wait();
    }
    anna.expect_line(Stream::out, "* bob was silent for 1 s: gone, it seems");
    const Server bob = start_chat("bob", {"--port", anna.port()});
    anna.expect_line(Stream::out, "* bob has come");
}

TEST_CASE("group chat: numbers tell what was lost and what came twice", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    Stranger stranger(anna);
    stranger.send(Kind::line, 10, "ten");
    stranger.send(Kind::line, 11, "eleven");
    stranger.send(Kind::line, 11, "eleven");
    stranger.send(Kind::line, 9, "nine");
    stranger.send(Kind::line, 14, "fourteen");
    stranger.send(Kind::beat, 15);
    stranger.send(Kind::beat, 15);
    stranger.send(Kind::leave, 15);
    anna.expect_line(Stream::out, "* stranger has left");
    CHECK(
        anna.out().ends_with("* stranger is here\n<stranger> ten\n<stranger> eleven\n"
                             "* 2 of stranger's lines got lost\n<stranger> fourteen\n"
                             "* 1 of stranger's lines got lost\n* stranger has left\n"));
}

TEST_CASE("group chat: names are claims, and are told apart", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    Stranger impostor(anna, 1, "anna"), one(anna, 2, "bob"), other(anna, 2, "bob");
    impostor.send(Kind::line, 1, "I am anna");
    anna.expect_line(Stream::out, "<anna@" + impostor.address() + "> I am anna");
    one.send(Kind::line, 1, "first");
    anna.expect_line(Stream::out, "<bob> first");
    other.send(Kind::line, 1, "second");
    anna.expect_line(Stream::out, "<bob@" + other.address() + "> second");
    one.send(Kind::line, 2, "first again");
    anna.expect_line(Stream::out, "<bob@" + one.address() + "> first again");
}

TEST_CASE("group chat: hostile datagrams", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    Stranger stranger(anna);
    stranger.send(Kind::line, 1, "\x1b[2J\x07\n* anna has left\xff 한글 \xc2\x9b");
    anna.expect_line(Stream::out, "<stranger> \\x1b[2J\\x07\\n* anna has left\\xff 한글 \\xc2\\x9b");
    const std::string good = group_chat::to_bytes({Kind::line, 9, 1, "bad", "not to be shown"});
    for (std::size_t size = 0; size < group_chat::header_size + 3; ++size)
        stranger.raw(good.substr(0, size));  // cut in the middle of header and name
    stranger.raw("x" + good.substr(1));
    stranger.raw(group_chat::to_bytes({Kind::line, 9, 1, "bad", std::string(group_chat::longest_line + 1, 'x')}));
    stranger.raw(group_chat::to_bytes({Kind::line, 9, 1, "bad", std::string(60'000, 'x')}));
    for (const std::string name : {"", "a b", "* x", "\x1b[2J", "한\n", "<x>", "012345678901234567890"})
        stranger.raw(group_chat::to_bytes({Kind::line, 9, 1, name, "not to be shown"}));
    stranger.raw(group_chat::to_bytes({Kind::beat, 9, 1, "bad", "text"}));
    stranger.raw(group_chat::to_bytes({static_cast<Kind>(5), 9, 1, "bad", ""}));
    stranger.raw("");
    stranger.send(Kind::line, 2, "after");
    anna.expect_line(Stream::out, "<stranger> after");
    CHECK(lines_of(anna.out()).size() == 5);
    CHECK(anna.out().find('\x1b') == std::string::npos);
}

TEST_CASE("group chat: more than there is room for, and one who says too much", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    Stranger loud(anna, 1, "loud");
    for (std::uint32_t i = 1; i <= 150; ++i)
        loud.send(Kind::line, i, "line " + std::to_string(i));
    anna.expect_line(Stream::out, "* loud says too much: not all of it is shown");
    loud.send(Kind::leave, 150);
    anna.expect_line(Stream::out, "* loud has left");
    CHECK(lines_with(anna.out(), "<loud> ").size() >= 40);
    Stranger crowd(anna);
    for (std::uint32_t i = 0; i < 70; ++i)
        crowd.raw(group_chat::to_bytes({Kind::line, 1000 + i, 1, "guest", "hello"}));
    anna.expect_line(Stream::out, "* more than 64 are here: the others are not heard");
    CHECK(lines_with(anna.out(), "> hello").size() == 64);
    anna.feed("still there\n/who\n");
    anna.expect_line(Stream::out, "* here: anna (you), guest@");
}

TEST_CASE("group chat: no more is sent than others show", "[programs][udp][groups][chat]") {
    Server anna = start_chat("anna");
    Server bob = start_chat("bob", {"--port", anna.port()});
    anna.expect_line(Stream::out, "* bob has come");
    std::string many;
    for (int i = 1; i <= 25; ++i)
        many += "line " + std::to_string(i) + "\n";
    bob.feed(std::string(1001, 'x') + "\n" + std::string(1000, 'y') + "\n" + many);
    bob.expect_line(Stream::out, "* not sent: longer than 1000 bytes");
    anna.expect_line(Stream::out, "<bob> " + std::string(1000, 'y'));
    anna.expect_line(Stream::out, "<bob> line 25");  // a second or two later
    CHECK(lines_with(anna.out(), "<bob> line ").size() == 25);
    CHECK(anna.out().find("lost") == std::string::npos);
    CHECK(anna.out().find("too much") == std::string::npos);
}

TEST_CASE("group chat: typed, while messages arrive", "[programs][udp][groups][chat]") {
    Server bob = start_chat("bob");
    Process anna(bob.client(chatter, {"--name", "anna"}), {.terminal = Terminal::all});
    bob.expect_line(Stream::out, "* anna has come");
    anna.expect(Stream::terminal, "* bob is here\r\n\r\x1b[K> ");
    anna.type("hal");
    anna.expect(Stream::terminal, "> hal");
    bob.feed("interrupting\n");
    anna.expect(Stream::terminal, "\r\x1b[K<bob> interrupting\r\n\r\x1b[K> hal");
    anna.type("lo\x7f\x7f\x7flo 한글\n");
    anna.expect(Stream::terminal, "\r\x1b[K> halo 한글\r\n");
    bob.expect_line(Stream::out, "<anna> halo 한글");
    anna.type("rest");
    anna.expect(Stream::terminal, "> rest");
    const auto takes_lines = [&] {
        termios settings{};
        REQUIRE(tcgetattr(anna.terminal(), &settings) == 0);
        return (settings.c_lflag & ICANON) != 0 && (settings.c_lflag & ECHO) != 0;
    };
    CHECK_FALSE(takes_lines());
    SECTION("Ctrl-C says goodbye") {
        anna.type("\x03");
        anna.expect_exit(0);
        CHECK(anna.all(Stream::terminal).ends_with("* goodbye\r\n"));
        bob.expect_line(Stream::out, "* anna has left");
    }
    SECTION("Ctrl-D, too") {
        anna.type("\x15\x04");
        anna.expect_exit(0);
        bob.expect_line(Stream::out, "* anna has left");
    }
    SECTION("SIGQUIT restores the terminal") {
        anna.signal(SIGQUIT);
        CHECK(anna.wait().signal == SIGQUIT);
    }
    SECTION("stopped and continued") {
        anna.signal(SIGTSTP);
        const Process::Command ask_ps{"ps", "-o", "stat=", "-p", std::to_string(anna.pid())};
        wait_until([&] { return run(ask_ps).starts_with('T'); }, "it to stop");
        CHECK(takes_lines());
        anna.signal(SIGCONT);
        anna.expect(Stream::terminal, "\r\x1b[K> rest");
        CHECK_FALSE(takes_lines());
        anna.signal(SIGTERM);
        anna.expect_exit(0);
    }
    CHECK(takes_lines());
}
