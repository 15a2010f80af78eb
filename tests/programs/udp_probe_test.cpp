// udp/probe_sender and udp/probe_receiver: what they say of a bad network is what udp/trouble says that it did.

#include "tests/catch.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/probe.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <csignal>
#include <list>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <vector>

using namespace std::string_literals;
using namespace probes;
using nlohmann::json;

namespace {

const std::string receiver_name = "udp/probe_receiver", sender_name = "udp/probe_sender";

/// The lines of JSON that it has printed: its senders, and then all others together.
std::vector<json> objects(const std::string& printed) {
    std::vector<json> all;
    for (const std::string& line : lines_of(printed))
        if (line.starts_with('{')) all.push_back(json::parse(line));
    return all;
}

std::vector<json> end_of(Server& receiver) {
    receiver.signal(SIGINT);
    receiver.expect_exit(0);
    return objects(receiver.out());
}

/// What trouble tells of a datagram to the server.
struct Fate {
    bool dropped, twice, damaged;
    int overtaken_by;
};

std::vector<Fate> fates_in(const std::string& printed) {
    std::vector<Fate> fates;
    for (const std::string& line : lines_with(printed, "client -> server  #")) {
        std::smatch held;
        const bool back = std::regex_search(line, held, std::regex("held back until (\\d+) have passed"));
        fates.push_back({line.ends_with("  dropped"), line.find(", twice") != std::string::npos,
                         line.find(" turned over") != std::string::npos, back ? std::stoi(held[1]) : 0});
    }
    return fates;
}

/// How many datagrams these become.
std::size_t copies(const std::vector<Fate>& fates) {
    std::size_t count = 0;
    for (const Fate& fate : fates)
        count += fate.dropped ? 0 : fate.twice ? 2 : 1;
    return count;
}

/// The numbers of those that arrive whole, in the order in which they do.
std::vector<std::size_t> order_of(const std::vector<Fate>& fates) {
    std::vector<std::size_t> order;
    struct Held {
        std::size_t number;
        int by;
    };
    std::list<Held> held;
    const auto leave = [&](std::size_t number) {
        if (!fates[number].damaged) order.push_back(number);
    };
    for (std::size_t i = 0; i < fates.size(); ++i) {
        if (fates[i].dropped) continue;
        if (fates[i].twice) leave(i);
        if (fates[i].overtaken_by > 0) {
            held.push_back({i, fates[i].overtaken_by});
            continue;
        }
        leave(i);
        for (auto one = held.begin(); one != held.end();) {
            if (--one->by > 0) {
                ++one;
                continue;
            }
            leave(one->number);
            one = held.erase(one);
        }
    }
    for (const Held& one : held)  // until it has waited for long enough
        leave(one.number);
    return order;
}

/// The number before a word in trouble's summary of what went to the server: "12 dropped".
long summed_up(const std::string& printed, const std::string& word) {
    const std::string summary = lines_with(printed, "client -> server: ").at(0);
    std::smatch match;
    if (!std::regex_search(summary, match, std::regex("(\\d+) " + word))) throw Unexpected("no " + word);
    return std::stol(match[1]);
}

struct Times {
    double sent, arrived;  // microseconds
};

std::vector<Times> times_in(const std::string& printed) {
    std::vector<Times> all;
    for (const std::string& line : lines_of(printed)) {
        std::smatch match;
        if (std::regex_search(line, match, std::regex("sent (\\d+) arrived (\\d+)")))
            all.push_back({std::stod(match[1]), std::stod(match[2])});
    }
    return all;
}

/// As RFC 3550 has it in appendix A.8.
double jitter_of(const std::vector<Times>& all) {
    double jitter = 0;
    for (std::size_t i = 1; i < all.size(); ++i) {
        double d = (all[i].arrived - all[i].sent) - (all[i - 1].arrived - all[i - 1].sent);
        if (d < 0) d = -d;
        jitter += (1. / 16.) * (d - jitter);
    }
    return jitter;
}

std::uint64_t number_in(const json& object, const char* name) { return object.at(name).get<std::uint64_t>(); }

}  // namespace

TEST_CASE("probe: a network that does nothing", "[programs][udp][probe]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    Server receiver = start_server(receiver_name, {"--host", host});
    const Process::Command quick{"--count", "30", "--interval", "1", "--settle", "0"};
    CHECK_THAT(run(receiver.client(sender_name, quick)),
               StartsWith("30 sent in ") && ContainsSubstring("30 received, 0 lost, 0 twice, 0 late, jitter "));
    Process::Command with_json = quick;
    with_json.emplace_back("--json");
    const json report = json::parse(run(receiver.client(sender_name, with_json)));
    CHECK(number_in(report, "sent") == 30);
    CHECK(number_in(report, "received") == 30);
    CHECK(number_in(report, "lost") == 0);
    receiver.signal(SIGTERM);
    receiver.expect_exit(0);
    CHECK(lines_with(receiver.out(), ": 30 of 30 received, 0 lost (0.0 %), 0 twice, 0 late, jitter ").size() == 2);
    CHECK_THAT(receiver.out(), ContainsSubstring("\n0 malformed, 0 of senders for whom there was no room\n"));
    CHECK(receiver.err().empty());
}

TEST_CASE("probe: the counts are those of trouble", "[programs][udp][probe]") {
    const auto [host, seed] = GENERATE(
        table<std::string, std::string>({{"127.0.0.1", "1"}, {"127.0.0.1", "2"}, {"127.0.0.1", "3"}, {"::1", "4"}}));
    if (host == "::1" && !has_ipv6()) return;
    INFO(host << ", seed " << seed);
    constexpr std::size_t count = 60;  // less than trouble takes in one turn: it lets none go in between for its time
    Server receiver = start_server(receiver_name, {"--host", host, "--json", "--each"});
    Server trouble =
        start_server("udp/trouble", {"--host", host, "--to", receiver.address(), "--seed", seed, "--hold", "1000",
                                     "--drop", "15", "--duplicate", "15", "--reorder", "20", "--corrupt", "10"});
    const std::size_t preface = lines_of(receiver.out()).size();
    const auto arrived = [&] { return lines_of(receiver.out()).size() - preface; };

    // All of them are there when trouble begins, and have arrived before the sender asks.
    trouble.signal(SIGSTOP);
    Process sender(trouble.client(sender_name, {"--count", std::to_string(count), "--interval", "0", "--timeout", "100",
                                                "--tries", "300", "--json", "--trace"}));
    const auto has_sent_all = [&] {
        const std::string& told = sender.err();
        const std::size_t last = told.rfind("sendto(endpoint, probe.data()");
        return count_of(told, "sendto(endpoint, probe.data()") == count &&
               told.find("poll(", last) != std::string::npos;
    };
    wait_until(has_sent_all, "all to be sent");
    sender.signal(SIGSTOP);
    trouble.signal(SIGCONT);
    wait_until([&] { return fates_in(trouble.out()).size() >= count; }, "all to pass trouble");
    const std::vector<Fate> all = fates_in(trouble.out());
    wait_until([&] { return arrived() >= copies(fates_in(trouble.out())); }, "all to arrive");
    sender.signal(SIGCONT);
    sender.expect_exit(0);
    wait_until([&] { return arrived() == copies(fates_in(trouble.out())); }, "the questions to arrive");
    trouble.signal(SIGINT);
    trouble.expect_exit(0);
    const std::vector<json> said = end_of(receiver);
    REQUIRE(said.size() == 2);

    const std::vector<Fate> every = fates_in(trouble.out());
    const std::vector<Fate> probes_only(every.begin(), every.begin() + count);
    std::uint64_t dropped = 0, damaged = 0, twice = 0, damaged_copies = 0;
    for (const Fate& fate : probes_only) {
        dropped += fate.dropped ? 1 : 0;
        damaged += fate.damaged ? 1 : 0;
        twice += fate.twice && !fate.damaged ? 1 : 0;
    }
    for (const Fate& fate : every)
        damaged_copies += !fate.damaged ? 0 : fate.twice ? 2 : 1;
    std::uint64_t late = 0;
    std::set<std::size_t> seen;
    for (const std::size_t number : order_of(probes_only)) {
        if (seen.insert(number).second && number < *seen.rbegin()) ++late;
    }
    CHECK((dropped > 0 && damaged > 0 && twice > 0 && late > 0));  // this seed is a test
    CHECK(number_in(said[0], "expected") == count);
    CHECK(number_in(said[0], "lost") == dropped + damaged);
    CHECK(number_in(said[0], "received") == count - dropped - damaged);
    CHECK(number_in(said[0], "duplicates") == twice);
    CHECK(number_in(said[0], "reordered") == late);
    CHECK(number_in(said[0], "too_old") == 0);
    CHECK(std::abs(said[0].at("jitter_us").get<double>() - jitter_of(times_in(receiver.out()))) < 0.01);
    CHECK(number_in(said[1], "malformed") == damaged_copies);
    // And the sums of trouble are those of its lines, so that they are what was compared.
    CHECK(summed_up(trouble.out(), "received") == static_cast<long>(every.size()));
    CHECK(summed_up(trouble.out(), "sent;") == static_cast<long>(copies(every)));
    CHECK(summed_up(trouble.out(), "still under way") == 0);
    // The sender was told the same.
    const json report = json::parse(sender.out());
    for (const char* name : {"received", "lost", "duplicates", "reordered"}) {
        INFO(name);
        CHECK(number_in(report, name) == number_in(said[0], name));
    }
}

TEST_CASE("probe: all that trouble drops is lost, all that it doubles comes twice", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--json", "--each"});
    SECTION("all come twice") {
        const Server trouble = start_server("udp/trouble", {"--to", receiver.address(), "--duplicate", "100"});
        run(trouble.client(sender_name, {"--count", "20", "--interval", "1", "--settle", "0"}));
        const json said = end_of(receiver).at(0);
        CHECK(number_in(said, "received") == 20);
        CHECK(number_in(said, "duplicates") == 20);
        CHECK(number_in(said, "reordered") == 0);
    }
    SECTION("none comes") {
        const Server trouble = start_server("udp/trouble", {"--to", receiver.address(), "--drop", "100"});
        Process sender(trouble.client(
            sender_name, {"--count", "5", "--interval", "1", "--settle", "0", "--timeout", "10", "--tries", "3"}));
        sender.expect_exit(1);
        CHECK(sender.err() == "5 sent, and no report from " + trouble.address() + "\n");
        CHECK(end_of(receiver).size() == 1);
    }
    SECTION("all are damaged") {
        const Server trouble = start_server("udp/trouble", {"--to", receiver.address(), "--corrupt", "100"});
        Process sender(trouble.client(
            sender_name, {"--count", "5", "--interval", "1", "--settle", "0", "--timeout", "10", "--tries", "2"}));
        sender.expect_exit(1);
        wait_until([&] { return count_of(receiver.out(), "is no probe") == 7; }, "5 probes and 2 questions, damaged");
        const std::vector<json> said = end_of(receiver);
        REQUIRE(said.size() == 1);
        CHECK(number_in(said[0], "malformed") == 7);
    }
}

TEST_CASE("probe: jitter as RFC 3550 computes it, and delay", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--json", "--each"});
    const Server trouble = start_server("udp/trouble", {"--to", receiver.address(), "--delay", "5", "--jitter", "30"});
    run(trouble.client(sender_name, {"--count", "100", "--interval", "3", "--settle", "100", "--timeout", "5000"}));
    const json said = end_of(receiver).at(0);
    const std::vector<Times> times = times_in(receiver.out());
    REQUIRE(times.size() == 100);
    for (const Times& one : times)
        CHECK(one.arrived - one.sent >= 5000);
    CHECK(std::abs(said.at("jitter_us").get<double>() - jitter_of(times)) < 0.01);
    CHECK(said.at("jitter_us").get<double>() > 1000);
    CHECK(number_in(said, "received") == 100);
    CHECK(number_in(said, "reordered") > 0);  // who waits for 30 ms more is overtaken
}

TEST_CASE("probe: several senders, each counted by itself", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--json"});
    std::vector<std::unique_ptr<Process>> senders;
    for (int i = 1; i <= 4; ++i) {
        senders.push_back(std::make_unique<Process>(
            receiver.client(sender_name, {"--count", std::to_string(10 * i), "--interval", "2", "--settle", "0"})));
    }
    for (const auto& sender : senders)
        sender->expect_exit(0);
    const std::vector<json> said = end_of(receiver);
    REQUIRE(said.size() == 5);
    std::multiset<std::uint64_t> received;
    for (int i = 0; i < 4; ++i) {
        received.insert(number_in(said[static_cast<std::size_t>(i)], "received"));
        CHECK(number_in(said[static_cast<std::size_t>(i)], "lost") == 0);
    }
    CHECK(received == std::multiset<std::uint64_t>{10, 20, 30, 40});
}

TEST_CASE("probe: what is no probe is counted, and does no harm", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--json"});
    Peer stranger = Peer::bound(SOCK_DGRAM);
    const Address there =
        resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(receiver.port())), SOCK_DGRAM).front();
    const std::string good = to_bytes({Kind::probe, 7, 3, 1'000'000, "filling"});
    const auto ask = [&] {  // and so see to it that there is room for more
        stranger.send_to(there, to_bytes({Kind::end, 7, 9, 0, std::string(report_size - header_size, 'x')}));
        Address from;
        return stranger.receive_from(from);
    };
    std::uint64_t malformed = 0;
    for (std::size_t size = 0; size < good.size(); ++size, ++malformed)
        stranger.send_to(there, good.substr(0, size));
    for (std::size_t bit = 0; bit < 8 * good.size(); ++bit, ++malformed) {
        std::string damaged = good;
        damaged[bit / 8] = static_cast<char>(static_cast<unsigned char>(damaged[bit / 8]) ^ (1U << bit % 8));
        stranger.send_to(there, damaged);
        if (bit % 64 == 0) ask();
    }
    for (const std::string& wrong :
         {to_bytes({static_cast<Kind>(4), 7, 3, 0, ""}), to_bytes({Kind::end, 7, 3, 0, "short"}),
          to_bytes({Kind::report, 7, 3, 0, to_bytes(Report{})}), std::string(60'000, '\0')}) {
        stranger.send_to(there, wrong);
        ++malformed;
    }
    stranger.send_to(there, good);
    // Times of another age, and numbers without end.
    stranger.send_to(there, to_bytes({Kind::probe, 7, 0xFFFFFFFF, ~std::uint64_t{0}, ""}));
    stranger.send_to(there, to_bytes({Kind::probe, 7, 5, 0, ""}));
    const std::string answer = ask();
    CHECK(answer.size() == report_size);  // as long as the question
    const auto packet = parse(answer);
    REQUIRE(packet);
    CHECK((packet->kind == Kind::report && packet->session == 7 && packet->number == 9));
    const std::vector<json> said = end_of(receiver);
    REQUIRE(said.size() == 2);
    CHECK(number_in(said[0], "expected") == 0x100000000);
    CHECK(number_in(said[0], "received") == 2);
    CHECK(number_in(said[0], "too_old") == 1);
    CHECK(number_in(said[1], "malformed") == malformed);
}

TEST_CASE("probe: more senders than there is room for", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--json"});
    Peer crowd = Peer::bound(SOCK_DGRAM);
    const Address there =
        resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(receiver.port())), SOCK_DGRAM).front();
    for (std::uint32_t session = 1; session <= 70; ++session)
        crowd.send_to(there, to_bytes({Kind::probe, session, 0, 0, ""}));
    crowd.send_to(there, to_bytes({Kind::end, 1, 1, 0, std::string(report_size - header_size, 'x')}));
    Address from;
    crowd.receive_from(from);
    const std::vector<json> said = end_of(receiver);
    CHECK(said.size() == 65);
    CHECK(number_in(said.back(), "no_room") == 6);
}

TEST_CASE("probe: who falls silent is forgotten", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--idle", "1"});
    Peer silent = Peer::bound(SOCK_DGRAM);
    silent.send_to(resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(receiver.port())), SOCK_DGRAM).front(),
                   to_bytes({Kind::probe, 1, 1, 0, ""}));
    CHECK(receiver.expect_line(Stream::out, " silence") ==
          silent.address().text() +
              ": 1 of 2 received, 1 lost (50.0 %), 0 twice, 0 late, jitter 0.000 ms, and then silence");
}

TEST_CASE("probe: a line that is drawn anew on a terminal", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {}, {.terminal = Terminal::all});
    run(receiver.client(sender_name, {"--count", "20", "--interval", "10", "--settle", "0"}));
    receiver.expect(Stream::terminal, "\r\x1b[K127.0.0.1:");
    receiver.expect(Stream::terminal, " in, 0 lost, 0 twice, 0 late, jitter ");
    receiver.expect(Stream::terminal, "\r\x1b[K127.0.0.1:");
    receiver.expect(Stream::terminal, ": 20 of 20 received, 0 lost");  // by itself, when the sender has ended
    receiver.type("\x03");
    receiver.expect_exit(0);
    CHECK(receiver.all(Stream::terminal).ends_with("0 malformed, 0 of senders for whom there was no room\r\n"));
    // What is drawn over is no wider than the terminal, which has 80 columns.
    const std::string& all = receiver.all(Stream::terminal);
    const std::string erase = "\r\x1b[K";
    for (std::size_t at = all.find(erase), next = 0; at != std::string::npos; at = next) {
        next = all.find(erase, at + 1);
        const std::string drawn = all.substr(at + erase.size(), next - at - erase.size());
        if (drawn.find('\n') == std::string::npos) CHECK(drawn.size() < 80);
    }
}

TEST_CASE("probe: Ctrl-C ends it early, and it asks all the same", "[programs][udp][probe]") {
    Server receiver = start_server(receiver_name, {"--each"});
    Process sender(receiver.client(sender_name, {"--count", "1000000", "--interval", "5"}));
    receiver.expect_line(Stream::out, "#3 ");
    sender.signal(SIGINT);
    sender.expect_exit(0);
    CHECK_THAT(sender.out(), ContainsSubstring(" 0 lost, "));
}

TEST_CASE("probe: nobody there, and killed in the middle", "[programs][udp][probe]") {
    const Process::Command impatient{"--timeout", "10", "--tries", "3", "--settle", "0", "--interval", "5"};
    Process::Command alone{program(sender_name), "--port", FreePort(SOCK_DGRAM).text(), "--count", "2"};
    alone.insert(alone.end(), impatient.begin(), impatient.end());
    Process nobody(alone);
    nobody.expect_exit(1);
    CHECK_THAT(nobody.err(), StartsWith("2 sent, and no report from "));
    Server receiver = start_server(receiver_name, {"--each"});
    Process::Command command = receiver.client(sender_name, impatient);
    command.insert(command.end(), {"--count", "1000000"});
    Process sender(command);
    receiver.expect_line(Stream::out, "#2 ");
    receiver.signal(SIGKILL);
    receiver.wait();
    sender.signal(SIGINT);
    sender.expect_exit(1);
    CHECK_THAT(sender.err(), ContainsSubstring(" sent, and no report from "));
}

TEST_CASE("probe: written down again in Python", "[programs][udp][probe]") {
    if (!has_tool("python3")) return;
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const Server receiver = start_server(receiver_name, {"--host", host});
    const std::string script = R"(
import socket, struct, sys, zlib
host, port = sys.argv[1], int(sys.argv[2])
s = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(20)
def packet(kind, number, time, rest=b""):
    body = struct.pack("!B3xIIQ", kind, 42, number, time) + rest
    return struct.pack("!I", zlib.crc32(body)) + body
for number in (0, 2, 1, 1, 4):
    s.sendto(packet(1, number, 1000 * number), (host, port))
s.sendto(packet(2, 7, 0, bytes(40)), (host, port))
answer, sender = s.recvfrom(1000)
assert zlib.crc32(answer[4:]) == struct.unpack("!I", answer[:4])[0]
kind, session, number, time, received, lost, twice, late, jitter = struct.unpack("!B3xIIQ5Q", answer[4:])
print(kind, session, number, received, lost, twice, late)
)";
    CHECK(run({"python3", "-c", script, host, receiver.port()}) == "3 42 7 4 3 1 1\n");
}
