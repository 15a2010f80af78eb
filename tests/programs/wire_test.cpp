// scripts/wire: real runs, and what their diagrams say. Which call and which segment, in which order; never when.

#include "scripts/wire_layout.hpp"
#include "tests/catch.hpp"
#include "tests/programs/other_user.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <regex>
#include <unistd.h>

namespace {

using Json = nlohmann::json;
using Story = std::vector<std::string>;

const std::string script = "scripts/wire";

/// Can a pair have a network of its own here? Skips the test if not.
bool has_network() {
    if (access(program("tcp/sniffer").c_str(), X_OK) != 0) {
        skip("the sniffer is for Linux");
        return false;
    }
    for (const char* tool : {"unshare", "ip"})
        if (!has_tool(tool)) return false;
    Network network;
    return network.is_there();
}

/// A run and its files, all in a folder that is the run's TMPDIR, too.
struct Run {
    TempDir folder;
    std::string text, json_text;
    Json json;
    Story story;  ///< "server: accept(listener, nullptr, nullptr)", "server: accept = 4", "client> SYN seq 0"
    Story wire;   ///< of it, what travelled

    Process::Command command(const Process::Command& arguments, const Process::Command& input) const {
        Process::Command all{script};
        all.insert(all.end(), arguments.begin(), arguments.end());
        all.insert(all.end(), {"--json", folder / "json", "--"});
        all.insert(all.end(), input.begin(), input.end());
        return all;
    }

    /// What is in it: "client> \"hello\\n\"".
    Story inside() const {
        Story told;
        for (const Json& event : json["events"])
            if (event["kind"] == "packet" || event["kind"] == "message")
                for (const Json& detail : event["details"])
                    told.push_back(std::string(event["side"]) + "> " + std::string(detail));
        return told;
    }

    void read() {
        json_text = read_file(folder / "json");
        json = Json::parse(json_text);
        for (const Json& event : json["events"]) {
            const std::string side = event["side"], kind = event["kind"];
            if (kind == "state") continue;
            if (kind == "call") story.push_back(side + ": " + std::string(event["text"]));
            if (kind == "result") {
                const std::string result = event["text"];
                story.push_back(fmt::format("{}: {} {}", side, std::string(event["name"]),
                                            result.substr(0, result.find(' ', result.starts_with("= -1 ") ? 5 : 2))));
            }
            if (kind == "packet" || kind == "message") {
                std::string label = event["label"];
                label = label.substr(0, label.find(" win "));
                const std::string leg = event["leg"] == "server-client" ? "" : " " + std::string(event["leg"]);
                story.push_back(side + leg + "> " + label);
                wire.push_back(story.back());
            }
        }
    }
};

Run run_pair(const Process::Command& arguments, const Process::Command& input = {"hello"}) {
    Run one;
    const std::string tmp = one.folder / "tmp";
    std::filesystem::create_directory(tmp);
    one.text = run(one.command(arguments, input), "", 0, {.environment = {"TMPDIR=" + tmp, "LC_ALL=C.UTF-8"}});
    one.read();
    CHECK(std::filesystem::is_empty(tmp));
    return one;
}

/// Do these stand in the story in this order, each the beginning of an entry? What comes between does not matter.
bool has_in_order(const Story& story, const Story& wanted) {
    auto at = story.begin();
    for (const std::string& one : wanted) {
        at = std::find_if(at, story.end(), [&](const std::string& entry) { return entry.starts_with(one); });
        if (at == story.end()) {
            std::string all = "not found in its place: " + one + "\n";
            for (const std::string& entry : story)
                all += "    " + entry + "\n";
            UNSCOPED_INFO(all);
            return false;
        }
        ++at;
    }
    return true;
}

/// What travelled, but for ACKs that say nothing else: when those are sent is the kernel's choice.
Story without_plain_acks(const Story& all) {
    Story others;
    for (const std::string& one : all) {
        const bool plain = one.find("> ACK ") != std::string::npos && one.find(" len ") == std::string::npos;
        if (!plain) others.push_back(one);
    }
    return others;
}

/// What stands on the arrows of a diagram in a text: "SYN seq 0 win 65495"; without plain ACKs.
Story arrows_in(const std::string& text) {
    static const std::regex arrow("(?:┃|│)<?(?:─| )*([A-Z,]+ seq [a-z0-9 ]*[0-9])(?:─| )*>?(?:┃|│).*");
    Story labels;
    for (const std::string& line : lines_of(text)) {
        std::smatch match;
        if (std::regex_search(line, match, arrow) && !std::string(match[1]).starts_with("ACK "))
            labels.push_back(match[1]);
    }
    return labels;
}

/// The processes that know of this folder: their command line names it.
std::vector<std::string> processes_of(const std::string& folder) {
    std::vector<std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator("/proc")) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos || name == std::to_string(getpid())) continue;
        try {
            std::string line = read_file(entry.path().string() + "/cmdline");
            std::replace(line.begin(), line.end(), '\0', ' ');
            if (line.find(folder) != std::string::npos) found.push_back(line);
        } catch (const std::exception&) {  // it has ended
        }
    }
    return found;
}

}  // namespace

TEST_CASE("wire: the TCP echo pair, call by call and segment by segment", "[programs][wire]") {
    if (!has_network()) return;
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const Run run = run_pair({"tcp/echo", "--host", host});
    // connect() waits for the handshake, and accept() only takes what the kernel has made.
    CHECK(has_in_order(run.story, {"server: listen(", "server: listen = 0", "server: accept(", "client: socket(",
                                   "client: connect(", "client> SYN seq 0", "server> SYN,ACK seq 0 ack 1",
                                   "client> ACK seq 1 ack 1", "server: accept = 4", "server: recv("}));
    CHECK(has_in_order(run.story, {"client> ACK seq 1 ack 1", "client: connect = 0", "client: send("}));
    CHECK(has_in_order(run.story,
                       {"client: send(", "client> PSH,ACK seq 1 len 6 ack 1", "server: recv = 6", "server: send(",
                        "server> PSH,ACK seq 1 len 6 ack 7", "client: recv = 6", "client: read = 0",
                        "client: shutdown(connection, SHUT_WR)", "client> FIN,ACK seq 7 ack 7", "server: recv = 0",
                        "server: close(", "server> FIN,ACK seq 7 ack 8", "client> ACK seq 8 ack 8"}));
    CHECK(
        has_in_order(run.story, {"client> FIN,ACK", "client: shutdown = 0", "client: recv = 0", "client: close = 0"}));
    CHECK(has_in_order(run.story, {"server: close = 0", "server: accept("}));
    CHECK(without_plain_acks(run.wire) ==
          Story{"client> SYN seq 0", "server> SYN,ACK seq 0 ack 1", "client> PSH,ACK seq 1 len 6 ack 1",
                "server> PSH,ACK seq 1 len 6 ack 7", "client> FIN,ACK seq 7 ack 7", "server> FIN,ACK seq 7 ack 8"});
    CHECK(run.json["captured"] == true);
    CHECK(run.json["notes"].empty());
    // The text says the same, in lines that fit.
    const std::vector<std::string> lines = lines_of(run.text);
    for (const char* part : {"accept(listener, ..)", "SYN,ACK seq 0 ack 1 win 65483", "\"hello\\n\"", "accept = 4",
                             "ESTABLISHED→CLOSE_WAIT", "shutdown(.., SHUT_WR)"}) {
        INFO(part);
        if (host == "::1" && std::string(part).find("win") != std::string::npos) continue;  // its MSS is smaller
        const bool twice = std::string(part).starts_with("accept(") || part[0] == '"';
        CHECK(lines_with(run.text, part).size() == (twice ? 2 : 1));
    }
    CHECK(arrows_in(run.text).size() == 6);
    for (const std::string& line : lines)
        CHECK(diagram::width_of(line) <= 100);
}

TEST_CASE("wire: half close", "[programs][wire]") {
    if (!has_network()) return;
    const Run run = run_pair({"tcp/half_close"}, {"hello world"});
    CHECK(has_in_order(run.story, {"client: send(", "client> PSH,ACK seq 1 len 12 ack 1", "client: shutdown(",
                                   "client> FIN,ACK seq 13 ack 1", "server: recv = 0", "server: send(",
                                   "server> PSH,ACK seq 1 len 95 ack 14", "server: close(",
                                   "server> FIN,ACK seq 96 ack 14", "client> ACK seq 14 ack 97"}));
    CHECK(has_in_order(run.story,
                       {"server> PSH,ACK seq 1 len 95", "client: recv = 95", "client: recv = 0", "client: close("}));
}

TEST_CASE("wire: UDP, and the answer where nobody is", "[programs][wire]") {
    if (!has_network()) return;
    const Run run = run_pair({"udp/echo"}, {"hello", "", "bye"});
    CHECK(run.wire == Story{"client> UDP len 6", "server> UDP len 6", "client> UDP len 1", "server> UDP len 1",
                            "client> UDP len 4", "server> UDP len 4"});
    CHECK(
        has_in_order(run.story, {"server: recvfrom(", "client: sendto(", "client> UDP len 6", "server: recvfrom = 6",
                                 "server: sendto(", "server> UDP len 6", "client: recvfrom = 6", "client: close = 0"}));

    const Run nobody = run_pair({"udp/echo", "--nobody", "--client", "--timeout 20 --tries 2"});
    CHECK(nobody.wire == Story{"client> UDP len 6", "server> ICMP port unreachable", "client> UDP len 6",
                               "server> ICMP port unreachable"});
    CHECK(nobody.json["notes"].back() == "the client ended with status 1");
    CHECK_THAT(nobody.text, ContainsSubstring("nobody answers at 127.0.0.1:7000"));

    const Run refused = run_pair({"tcp/echo", "--nobody"});
    CHECK(refused.wire == Story{"client> SYN seq 0", "server> RST,ACK seq 1 ack 1"});
    CHECK(has_in_order(refused.story, {"client: connect(", "server> RST,ACK", "client: connect = -1 ECONNREFUSED"}));
}

TEST_CASE("wire: a connected UDP socket hears of it", "[programs][wire]") {
    if (!has_network()) return;
    if (access(program("udp/connected_client").c_str(), X_OK) != 0) return skip("udp/connected_client is not there");
    const Run run = run_pair({"udp/connected"});
    CHECK(has_in_order(run.story, {"client: connect(", "client: send", "client> UDP len ",
                                   "server: recvfrom = ", "server> UDP len "}));
    const Run nobody = run_pair({"udp/connected", "--nobody"});
    CHECK(has_in_order(nobody.story, {"client: connect(", "client: connect = 0", "client: send", "client> UDP len ",
                                      "server> ICMP port unreachable"}));
    const bool heard = std::any_of(nobody.story.begin(), nobody.story.end(), [](const std::string& entry) {
        return entry.starts_with("client: ") && entry.find("= -1 ECONNREFUSED") != std::string::npos;
    });
    CHECK(heard);
}

TEST_CASE("wire: a Unix pair has no wire, and messages all the same", "[programs][wire]") {
    const Run run = run_pair({"unix/echo"});
    CHECK(run.wire == Story{"client> connection", "client> 6 bytes", "server> 6 bytes", "client> end", "server> end"});
    CHECK(has_in_order(run.story, {"client: connect(", "client> connection", "server: accept = 4"}));
    CHECK(has_in_order(run.story,
                       {"client: send(", "client> 6 bytes", "server: recv = 6", "server: send(", "server> 6 bytes",
                        "client: recv = 6", "client: shutdown(", "client> end", "server: recv = 0"}));
    CHECK(run.json["captured"] == false);
    CHECK(run.json["notes"].empty());
}

TEST_CASE("wire: what is in the messages of a Unix pair", "[programs][wire]") {
    if (!has_witness()) return;
    const TempDir folder;
    const Run echo = run_pair({"unix/echo", "--svg", folder / "svg", "--html", folder / "html"}, {"hello <b>\x1b[2J"});
    CHECK(echo.inside() == Story{"client> \"hello <b>\\x1b[2J\\n\"", "server> \"hello <b>\\x1b[2J\\n\""});
    CHECK(lines_with(echo.text, "\"hello <b>\\x1b[2J\\n\"").size() == 2);
    for (const char* file : {"svg", "html"})
        CHECK(count_of(read_file(folder / file), "hello &lt;b&gt;\\x1b[2J\\n") ==
              4);  // beside the arrow, and to be pointed at
    // That a call waits for its witness is not told as if it had blocked. (It may, though, on a busy machine.)
    const Run many = run_pair({"unix/echo"}, {"a", "b", "c", "d", "e", "f", "g", "h"});
    std::vector<std::string> results;
    for (const Json& event : many.json["events"])
        if (event["kind"] == "result" && event["name"] == "send") results.push_back(event["text"]);
    CHECK(results.size() == 16);
    CHECK(std::count(results.begin(), results.end(), "= 2") > 8);
    // A long one is shortened.
    const Run longer = run_pair({"unix/echo"}, {std::string(1000, 'x')});
    CHECK(longer.inside().at(0) == "client> \"" + std::string(400, 'x') + "\"...");
    for (const std::string& line : lines_of(longer.text))
        CHECK(diagram::width_of(line) <= 100);
    // Datagrams, an empty one too; a message of a seqpacket socket; one with credentials beside it.
    CHECK(run_pair({"unix/datagram"}, {"a", "", "b"}).inside() == Story{"client> \"a\\n\"", "server> \"a\\n\"",
                                                                        "client> \"\\n\"", "server> \"\\n\"",
                                                                        "client> \"b\\n\"", "server> \"b\\n\""});
    CHECK(run_pair({"unix/seqpacket"}, {"a b"}).inside().at(0) == "client> \"a b\\n\"");
    const std::string user = lines_of(run({"id", "-un"})).front();
    const Story claimed = run_pair({"unix/credentials", "--client", "--claim " + user}, {"hello"}).inside();
    CHECK(std::count(claimed.begin(), claimed.end(), "client> with credentials") == 1);
}

TEST_CASE("wire: WebSocket inside TCP", "[programs][wire]") {
    if (!has_network()) return;
    const Run run = run_pair({"websocket/echo"});
    const Story frames{
        "client> GET / HTTP/1.1, Upgrade: websocket", "server> HTTP/1.1 101 Switching Protocols, Upgrade: websocket",
        "client> frame: text \"hello\", masked",      "server> frame: text \"hello\"",
        "client> frame: close 1000, masked",          "server> frame: close 1000"};
    CHECK(run.inside() == frames);
    CHECK(has_in_order(run.story, {"client: connect = 0", "client: send(", "client> PSH,ACK seq 1 len ",
                                   "server: recv = ", "server: send(", "server> PSH,ACK seq 1 len 129"}));
    // The server ends the TCP connection (RFC 6455, section 7.1.1).
    CHECK(has_in_order(run.story, {"server: shutdown(", "server> FIN,ACK", "client: close(", "client> FIN,ACK"}));
    // The calls alone tell the same.
    if (has_witness()) CHECK(run_pair({"websocket/echo", "--calls"}).inside() == frames);
}

TEST_CASE("wire: each segment is what tshark sees in the same capture", "[programs][wire]") {
    if (!has_network() || !has_tool("tshark")) return;
    const std::string pair = GENERATE("tcp/echo", "udp/echo");
    Run run;
    ::run(run.command({pair, "--pcap", run.folder / "pcap"}, {"hello", "bye"}));
    run.read();
    Process::Command command{"tshark", "-n", "-r", run.folder / "pcap", "-T", "fields"};
    const std::vector<std::string> fields{"tcp.srcport", "tcp.flags.str", "tcp.seq",    "tcp.len",
                                          "tcp.ack",     "udp.srcport",   "udp.length", "frame.time_epoch"};
    for (const std::string& field : fields)
        command.insert(command.end(), {"-e", field});
    const std::vector<std::string> rows = lines_of(::run(command));
    std::vector<Json> packets;
    for (const Json& event : run.json["events"])
        if (event["kind"] == "packet") packets.push_back(event);
    REQUIRE(rows.size() == packets.size());
    REQUIRE(rows.size() >= 4);
    for (std::size_t i = 0; i < rows.size(); ++i) {
        std::vector<std::string> columns;
        for (std::size_t begin = 0; begin <= rows[i].size();) {
            const std::size_t end = std::min(rows[i].find('\t', begin), rows[i].size());
            columns.push_back(rows[i].substr(begin, end - begin));
            begin = end + 1;
        }
        REQUIRE(columns.size() == fields.size());
        std::string label = packets[i]["label"], expected;
        const std::string port = columns[0] + columns[5];
        CHECK((packets[i]["side"] == "server") == (port == "7000"));
        if (columns[0].empty()) {
            expected = fmt::format("UDP len {}", std::stoi(columns[6]) - 8);
        } else {
            for (const auto& [letter, name] :
                 {std::pair{'F', "FIN"}, {'S', "SYN"}, {'R', "RST"}, {'P', "PSH"}, {'A', "ACK"}})
                if (columns[1].find(letter) != std::string::npos)
                    expected += (expected.empty() ? "" : ",") + std::string(name);
            expected += " seq " + columns[2];
            if (columns[3] != "0") expected += " len " + columns[3];
            if (expected.find("ACK") != std::string::npos) expected += " ack " + columns[4];
        }
        INFO(rows[i]);
        CHECK(label.substr(0, label.find(" win ")) == expected);
        std::string time = columns[7];
        std::erase(time, '.');
        CHECK(std::to_string(packets[i]["time"].get<long long>()) == time);
    }
}

TEST_CASE("wire: a bad network in the middle", "[programs][wire]") {
    if (!has_network()) return;
    const Run split = run_pair({"tcp/message", "--chunk", "4"});
    CHECK(has_in_order(split.story, {"client: send(", "client middle-client> PSH,ACK seq 1 len 6 ack 1",
                                     "client server-middle> PSH,ACK seq 1 len 4 ack 1",
                                     "client server-middle> PSH,ACK seq 5 len 2 ack 1"}));
    // Two segments are mostly two pieces to the server; one if it was not given the processor in between.
    const char* second = "client server-middle> PSH,ACK seq 5 len 2 ack 1";
    CHECK((has_in_order(split.story, {"server: recv = 4", "server: recv = 2"}) ||
           has_in_order(split.story, {second, "server: recv = 6"})));
    CHECK(split.json["middle"] == true);

    // By trouble, or by the network itself where the kernel has netem.
    const Run slow = run_pair({"udp/echo", "--delay", "20"});
    const bool by_trouble = slow.json["middle"] == true;
    CHECK(has_in_order(slow.story,
                       {"client: sendto(", by_trouble ? "client server-middle> UDP len 6" : "client> UDP len 6",
                        "server: recvfrom = 6", "client: recvfrom = 6"}));
    const auto time_of = [&](const std::string& side, const std::string& kind, const std::string& name) {
        for (const Json& event : slow.json["events"])
            if (event["side"] == side && event["kind"] == kind && event.value("name", "") == name)
                return event["time"].get<long long>();
        return 0LL;
    };
    CHECK(time_of("server", "result", "recvfrom") - time_of("client", "call", "sendto") >= 20'000'000);

    // The seed is always the same: so are those that are lost.
    const Run lossy = run_pair({"udp/echo", "--loss", "40", "--client", "--timeout 50"});
    CHECK(has_in_order(lossy.story,
                       {"client middle-client> UDP len 6", "client: poll = 0", "client middle-client> UDP len 6",
                        "client server-middle> UDP len 6", "server: recvfrom = 6"}));
    std::vector<bool> dropped;
    for (const Json& event : lossy.json["events"])
        if (event["kind"] == "packet") dropped.push_back(event["dropped"]);
    CHECK(std::count(dropped.begin(), dropped.end(), true) >= 1);
    CHECK(dropped.front());
    CHECK_THAT(lossy.text, ContainsSubstring("dropped here"));
}

TEST_CASE("wire: lost segments are sent again", "[programs][wire]") {
    if (!has_network()) return;
    if (!has_tool("nft")) return;
    Run run;
    Process process(run.command({"tcp/echo", "--loss", "25"}, {"hello"}));
    if (process.wait() == Ending{1, 0} && process.err().find("--loss: only the network can lose") != std::string::npos)
        return skip("nft can't drop here");
    process.expect_exit(0);
    run.read();
    // Every fourth segment is lost: after the handshake, the first that has bytes in it. send() does not wait for that.
    CHECK(has_in_order(run.story, {"client: send(", "client> PSH,ACK seq 1 len 6 ack 1", "client: send = 6",
                                   "client> PSH,ACK seq 1 len 6 ack 1", "server: recv = 6"}));
    std::vector<std::string> again;
    for (const Json& event : run.json["events"])
        if (event["kind"] == "packet" && event["retransmission"] == true) again.push_back(event["label"]);
    REQUIRE_FALSE(again.empty());
    CHECK(again.front() == "PSH,ACK seq 1 len 6 ack 1");
    std::size_t count = 0;
    for (const Json& event : run.json["events"])
        if (event["kind"] == "packet") CHECK(event["dropped"] == (++count % 4 == 0));
    CHECK(lines_with(process.out(), " lost").size() == count / 4);
    CHECK(lines_with(process.out(), "a retransmission").size() == again.size());
}

TEST_CASE("wire: where namespaces are forbidden, the calls alone", "[programs][wire]") {
    const Run calls = run_pair({"tcp/echo", "--calls"});
    CHECK(calls.json["captured"] == false);
    CHECK(calls.wire ==
          Story{"client> connection", "client> 6 bytes", "server> 6 bytes", "client> end", "server> end"});
    if (!has_network()) return;
    Run forbidden;
    const Process::Command command = forbidden.command({"tcp/echo"}, {"hello"});
    Process::Command whole{"unshare", "-Ur", "sh", "-c", "echo 0 >/proc/sys/user/max_net_namespaces && exec \"$@\"",
                           "sh"};
    whole.insert(whole.end(), command.begin(), command.end());
    Process process(whole);
    process.expect_exit(0);
    forbidden.read();
    CHECK(forbidden.wire == calls.wire);
    if (has_witness()) {
        CHECK(calls.inside() == Story{"client> \"hello\\n\"", "server> \"hello\\n\""});
        CHECK(forbidden.inside() == calls.inside());
    }
    CHECK_THAT(process.out(), ContainsSubstring("no network of our own here, and so no segments: unshare: ") &&
                                  ContainsSubstring("ENOSPC"));
}

TEST_CASE("wire: by another user than root", "[programs][wire]") {
    if (!has_network() || !has_other_user()) return;
    Process process = by_other_user({"/bin/sh", script, "tcp/echo", "--", "hello"});
    process.expect_exit(0);
    if (process.out().find("no network of our own") != std::string::npos)
        return skip("only root may have a network here");
    CHECK_THAT(process.out(), ContainsSubstring("SYN seq 0 win 65495") && ContainsSubstring("accept = 4"));
}

TEST_CASE("wire: every pair of the tree", "[programs][wire]") {
    if (!has_network()) return;
    for (const std::string& line : lines_of(run({"scripts/pairs"}))) {
        const std::string pair = line.substr(0, line.find('\t'));
        // These have tests of their own above; of the many servers of one client, one is enough.
        for (const char* known : {"tcp/echo", "tcp/half_close", "udp/echo", "udp/connected", "unix/echo",
                                  "websocket/echo", "tcp/epoll", "tcp/select", "tcp/thread"})
            if (pair == known) goto next;
        {
            INFO(pair);
            const Run run = run_pair({pair});
            const bool both = has_in_order(run.story, {"client: "}) && has_in_order(run.story, {"server: "});
            CHECK(both);
            CHECK_FALSE(run.wire.empty());
            for (const Json& note : run.json["notes"])
                CHECK(std::string(note).find("status") == std::string::npos);
        }
    next:;
    }
}

TEST_CASE("wire: nothing is left behind, however it ends", "[programs][wire]") {
    if (!has_network()) return;
    const int number = GENERATE(SIGINT, SIGTERM, SIGHUP, SIGKILL);
    const TempDir tmp;
    Process process({script, "udp/echo", "--nobody", "--client", "--timeout 60000"},
                    {.environment = {"TMPDIR=" + tmp.path()}});
    wait_until(
        [&] { return count_of(fmt::format("{}", fmt::join(processes_of(tmp.path()), "\n")), "udp/echo_client") > 0; },
        "its client");
    process.signal(number);
    CHECK(process.wait().signal == number);
    wait_until([&] { return processes_of(tmp.path()).empty(); }, "the end of all processes");
    if (number != SIGKILL) CHECK(std::filesystem::is_empty(tmp.path()));
}

TEST_CASE("wire: in ASCII where the terminal knows nothing else", "[programs][wire]") {
    for (const auto& [arguments, locale] :
         {std::pair<Process::Command, std::string>{{script, "unix/echo", "--", "안녕"}, "C"},
          {{script, "unix/echo", "--ascii", "--", "안녕"}, "C.UTF-8"}}) {
        const std::string text = run(arguments, "", 0, {.environment = {"LC_ALL=" + locale}});
        CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c == '\n' || (c >= ' ' && c < 0x7F); }));
        CHECK_THAT(text, ContainsSubstring("- 7 bytes -"));
    }
}

TEST_CASE("wire: the demo's tour ends with it", "[programs][wire]") {
    if (!has_network()) return;
    const TempDir tmp;
    const std::string text =
        run({"scripts/demo", "--wire", "tcp/echo"}, "", 0, {.environment = {"TMPDIR=" + tmp.path(), "LC_ALL=C.UTF-8"}});
    const std::size_t diagram = text.rfind("== tcp/echo\n");
    CHECK(text.find("bytes went and came back the same") < diagram);
    const Story arrows = arrows_in(text.substr(diagram));
    CHECK(has_in_order(arrows,
                       {"SYN seq 0", "SYN,ACK seq 0 ack 1", "PSH,ACK seq 1 len ", "FIN,ACK seq ", "FIN,ACK seq "}));
    CHECK(std::filesystem::is_empty(tmp.path()));
}

TEST_CASE("wire: used wrongly", "[programs][wire]") {
    const auto complaint = [](const Process::Command& arguments, int status) {
        Process::Command command{script};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(status);
        CHECK(count_of(process.err(), "\n") == 1);
        CHECK(process.out().empty());
        return process.err();
    };
    CHECK_THAT(complaint({"tcp/\x1b[2J"}, 2), ContainsSubstring("there is no pair tcp/\\x1b[2J; there are: ") &&
                                                  ContainsSubstring("tcp/echo, ") && ContainsSubstring("udp/echo"));
    complaint({}, 2);
    complaint({"tcp/echo", "udp/echo"}, 2);
    complaint({"tcp/echo", "--nonsense"}, 2);
    complaint({"tcp/echo", "--loss", "91"}, 2);
    CHECK_THAT(complaint({"udp/echo", "--chunk", "1"}, 2), ContainsSubstring("a stream"));
    CHECK_THAT(complaint({"unix/echo", "--loss", "1"}, 2), ContainsSubstring("a network"));
    CHECK_THAT(complaint({"tcp/echo", "--input", "/nonexistent"}, 1), ContainsSubstring("(ENOENT)"));
    CHECK_THAT(complaint({"tcp/echo", "--server-log", "/nonexistent"}, 1),
               ContainsSubstring("--server-log /nonexistent: "));
    CHECK_THAT(complaint({"unix/echo", "--svg", "/nonexistent/file"}, 1),
               ContainsSubstring("--svg /nonexistent/file: "));
    CHECK_THAT(run({script, "--help"}), ContainsSubstring("usage: wire"));
    CHECK_THAT(complaint({"tcp/echo", "--server", "--nonsense"}, 1),
               ContainsSubstring("tcp/echo_server does not listen: "));
}

TEST_CASE("wire: the page, in a browser", "[programs][wire][browser]") {
    if (!has_network()) return;
    if (!can_test_pages()) return;
    const TempDir folder;
    run({script, "tcp/echo", "--html", folder / "tcp.html", "--svg", folder / "tcp.svg", "--", "hello <b>&amp; 안녕"});
    run({script, "udp/echo", "--loss", "40", "--client", "--timeout 50", "--html", folder / "udp.html"});
    run({script, "websocket/echo", "--html", folder / "websocket.html"});
    run({script, "unix/echo", "--html", folder / "unix.html"});
    CHECK(std::filesystem::file_size(folder / "tcp.html") < 100'000);
    PageTest("wire_page.mjs", {folder.path()}).finish();
}
