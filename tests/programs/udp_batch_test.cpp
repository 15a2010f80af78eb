// udp/batch_sender and udp/batch_receiver: what is sent arrives or is missed by its number, in all three ways.

#include "tests/catch.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/batch.hpp"

#include <csignal>
#include <regex>
#include <string>
#include <vector>

#include <sys/socket.h>

namespace {

/// So few that the receive buffer holds all of them, whoever is slow.
const std::string few = "50";

std::vector<std::string> ways() {
    if (batch::has_all_ways) return {"single", "batch", "segment"};
    return {"single"};
}

std::uint64_t figure(const std::string& json, const std::string& name) {
    std::smatch match;
    if (!std::regex_search(json, match, std::regex("\"" + name + "\": (\\d+)")))
        throw Unexpected("no " + name + " in " + json);
    return std::stoull(match[1]);
}

Address address_of(const Server& server) {
    return resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_DGRAM).front();
}

}  // namespace

TEST_CASE("udp batch: every way to send, and every way to receive", "[programs][udp][batch]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    for (const std::string& receiving : ways()) {
        Server receiver = start_server("udp/batch_receiver", {"--host", host, "--way", receiving});
        for (const std::string& sending : ways()) {
            for (const char* size : {"24", "100", "1200"}) {
                INFO(sending << " to " << receiving << ", " << size);
                const std::string json = run(
                    receiver.client("udp/batch_sender", {"--way", sending, "--count", few, "--size", size, "--json"}));
                CHECK_THAT(json, ContainsSubstring("\"way\": \"" + sending + "\"") &&
                                     ContainsSubstring("\"receiver_way\": \"" + receiving + "\""));
                CHECK(figure(json, "sent") == 50);
                CHECK(figure(json, "received") == 50);
                CHECK(figure(json, "twice") == 0);
                CHECK(figure(json, "damaged") == 0);
                if (sending == "single") CHECK(figure(json, "calls") == 50);
                if (sending == "batch") CHECK(figure(json, "calls") >= 1);
                if (sending == "segment") CHECK(figure(json, "calls") == 1);
            }
        }
        receiver.signal(SIGTERM);
        receiver.expect_exit(0);
        CHECK(lines_with(receiver.out(), receiving + ": 50 of 50 datagrams arrived, 0 lost, 0 twice, 0 damaged; ")
                  .size() == 3 * ways().size());
    }
}

TEST_CASE("udp batch: all ways in a table", "[programs][udp][batch]") {
    const Server receiver = start_server("udp/batch_receiver");
    const std::string printed = run(receiver.client("udp/batch_sender", {"--all", "--count", few}));
    const std::vector<std::string> lines = lines_of(printed);
    REQUIRE(lines.size() == ways().size() + 2);
    for (std::size_t i = 0; i < ways().size(); ++i)
        CHECK_THAT(lines[i + 2], StartsWith(ways()[i] + " "));
}

TEST_CASE("udp batch: what a bad network does is told by the numbers", "[programs][udp][batch]") {
    const Server receiver = start_server("udp/batch_receiver");
    Server trouble = start_server("udp/trouble",
                                  {"--to", receiver.address(), "--drop", "20", "--duplicate", "20", "--corrupt", "10"});
    // One bit of a question or an answer may be wrong, too: it is asked again.
    const std::string json = run(trouble.client(
        "udp/batch_sender", {"--count", "270", "--rate", "2700", "--size", "200", "--timeout", "100", "--json"}));
    trouble.signal(SIGTERM);
    trouble.expect_exit(0);
    // Of the datagrams with data, which are as long as nothing else.
    long dropped = 0, sent_on = 0;
    for (const std::string& line : lines_with(trouble.out(), " 200 bytes ")) {
        if (line.find("dropped") != std::string::npos) ++dropped;
        sent_on += line.find("dropped") != std::string::npos ? 0 : line.find("twice") != std::string::npos ? 2 : 1;
    }
    INFO(trouble.out());
    const std::uint64_t received = figure(json, "received"), twice = figure(json, "twice"),
                        damaged = figure(json, "damaged");
    CHECK(figure(json, "sent") == 270);
    CHECK(dropped > 30);
    CHECK(received <= 270U - static_cast<std::uint64_t>(dropped));
    CHECK(twice > 10);
    CHECK(damaged > 5);
    // Those whose damage hit the header are not known to be of this run.
    CHECK(received + twice + damaged <= static_cast<std::uint64_t>(sent_on));
    CHECK(received + twice + damaged >= static_cast<std::uint64_t>(sent_on) * 9 / 10);
}

TEST_CASE("udp batch: bounded by time", "[programs][udp][batch]") {
    const Server receiver = start_server("udp/batch_receiver");
    const std::string json =
        run(receiver.client("udp/batch_sender", {"--count", "10000000", "--rate", "100", "--seconds", "1", "--json"}));
    CHECK(figure(json, "sent") > 0);
    CHECK(figure(json, "sent") <= 300);
}

TEST_CASE("udp batch: strangers, nonsense and senders that vanish", "[programs][udp][batch]") {
    Server receiver = start_server("udp/batch_receiver", {"--idle", "50"});
    Peer peer = Peer::bound(SOCK_DGRAM);
    const Address there = address_of(receiver);
    using batch::Kind, batch::Way;
    // A run whose sender is never heard of again; questions that are too short, or ask for too much; noise.
    const batch::Header hello{Kind::hello, batch::has_all_ways ? Way::segment : Way::single, 100, 77, 1000};
    peer.send_to(there, batch::control(hello));
    Address from;
    const auto ready = batch::parse(peer.receive_from(from));
    REQUIRE(ready);
    CHECK(ready->kind == Kind::ready);
    for (const std::string& noise : {std::string(), std::string("x"), std::string(60000, 'x'), batch::to_bytes(hello),
                                     batch::control({Kind::hello, Way::single, 100, 78, batch::most_datagrams + 1}),
                                     batch::control({Kind::done, Way::single, 100, 79, 0}),
                                     batch::to_bytes({Kind::data, Way::single, 65535, 77, ~0ULL}),
                                     batch::to_bytes({Kind::data, Way::single, 100, 78, 1})})
        peer.send_to(there, noise);
    std::string data(100, '\0');
    batch::write_data(data.data(), batch::to_bytes({Kind::data, Way::single, 100, 77, 0}), 100, 5);
    peer.send_to(there, data);
    peer.send_to(there, data);
    peer.send_to(there, batch::control({Kind::done, Way::single, 100, 77, 1000}));
    const auto report = batch::report_in(peer.receive_from(from));
    REQUIRE(report);
    CHECK(report->received == 1);
    CHECK(report->twice == 1);
    CHECK(report->damaged == 1);
    CHECK(receiver.expect_line(Stream::out, "arrived")
              .find(": 1 of 1000 datagrams arrived, 999 lost, 1 twice, 1 damaged") != std::string::npos);
    // Another vanishes, and the next sender is served all the same.
    peer.send_to(there, batch::control({Kind::hello, Way::single, 100, 80, 1000}));
    CHECK(batch::parse(peer.receive_from(from))->run == 80);
    CHECK(figure(run(receiver.client("udp/batch_sender", {"--count", few, "--timeout", "100", "--json"})),
                 "received") == 50);
    CHECK_THAT(receiver.out(), ContainsSubstring("its sender is gone"));
    receiver.signal(SIGINT);
    receiver.expect_exit(0);
}

TEST_CASE("udp batch: a sender that is killed, and a receiver that is not there", "[programs][udp][batch]") {
    const Server receiver = start_server("udp/batch_receiver", {"--idle", "50"});
    {
        Process killed(receiver.client("udp/batch_sender", {"--rate", "1000", "--seconds", "60"}));
        killed.expect(Stream::out, "way");
        killed.signal(SIGKILL);
        killed.wait();
    }
    CHECK(figure(run(receiver.client("udp/batch_sender", {"--count", few, "--timeout", "100", "--json"})),
                 "received") == 50);
    Process alone({program("udp/batch_sender"), "--port", FreePort(SOCK_DGRAM).text(), "--timeout", "5"});
    alone.expect_exit(1);
    CHECK_THAT(alone.err(), ContainsSubstring("is batch_receiver there"));
}

TEST_CASE("udp batch: wrong command lines", "[programs][udp][batch]") {
    for (const Process::Command& arguments : std::vector<Process::Command>{
             {"--way", "many"}, {"--size", "23"}, {"--size", "9000"}, {"--batch", "65"}, {"--count", "0"}}) {
        Process::Command command{program("udp/batch_sender")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(count_of(process.err(), "\n") == 1);
    }
    Process receiver({program("udp/batch_receiver"), "--way", "none"});
    receiver.expect_exit(2);
    // It ends by itself, if told so.
    Server once = start_server("udp/batch_receiver", {"--runs", "1"});
    run(once.client("udp/batch_sender", {"--count", few}));
    once.expect_exit(0);
}
