// udp/ping and udp/traceroute, beside Debian's ping (iputils) and traceroute: on a loopback of their own, and through
// the routers of scripts/hops.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <map>
#include <memory>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

namespace {

using Command = Process::Command;

/// Is traceroute, and so all that is needed here, for this system?
bool is_linux() {
    if (access(program("udp/traceroute").c_str(), X_OK) == 0) return true;
    skip("traceroute, and networks of one's own, are for Linux");
    return false;
}

Command with(Command command, const Command& more) {
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

Command ping(const Command& arguments) { return with({program("udp/ping")}, arguments); }
Command traceroute(const Command& arguments) { return with({program("udp/traceroute")}, arguments); }

/// The numbers that follow the first = of the line with the round trips.
std::vector<double> round_trips_in(const std::string& printed) {
    const std::vector<std::string> lines = lines_with(printed, "min/avg/max/mdev = ");
    if (lines.size() != 1) throw Unexpected("no round trips in " + printed);
    std::vector<double> numbers;
    std::istringstream words(lines[0].substr(lines[0].find("= ") + 2));
    for (std::string word; std::getline(words, word, '/');)
        numbers.push_back(std::stod(word));
    return numbers;
}

/// A loopback where ping may have datagram sockets.
std::unique_ptr<Network> loopback(bool allow_datagram = true) {
    if (!is_linux()) return nullptr;
    for (const char* tool : {"unshare", "nsenter", "ip", "sysctl"})
        if (!has_tool(tool)) return nullptr;
    auto network = std::make_unique<Network>();
    if (!network->is_there()) return nullptr;
    if (allow_datagram) run(network->inside({"sysctl", "-qw", "net.ipv4.ping_group_range=0 0"}));
    return network;
}

std::unique_ptr<Hops> routers() {
    if (!is_linux()) return nullptr;
    for (const char* tool : {"unshare", "nsenter", "ip", "sysctl"})
        if (!has_tool(tool)) return nullptr;
    auto hops = std::make_unique<Hops>();
    return hops->are_there() ? std::move(hops) : nullptr;
}

/// The lines of a traceroute that begin with a hop's number, without the times: "1 10.0.1.2", "2 *", "3 10.0.3.2 !X".
std::vector<std::string> hops_in(const std::string& printed) {
    std::vector<std::string> hops;
    for (const std::string& line : lines_of(printed)) {
        if (!std::regex_search(line, std::regex("^ *\\d+ "))) continue;
        std::string hop = std::regex_replace(line, std::regex("[0-9.]+ ms"), "");
        hop = std::regex_replace(hop, std::regex(" +"), " ");
        hops.push_back(std::regex_replace(hop, std::regex("^ | $"), ""));
    }
    return hops;
}

/// Of what is not let through, and of what there is no way to, Linux tells an address five times, and then once a
/// second (ip_error() in net/ipv4/route.c). Of IPv6, always.
bool is_rarely_told(const std::vector<std::string>& way) {
    return way.back() == "3 10.0.3.2 !X" || way.back() == "3 10.0.3.2 !N";
}

/// Asks until a traceroute shows these hops.
void must_find(const Hops& hops, const Command& command, const std::vector<std::string>& wanted) {
    std::vector<std::string> found;
    for (int i = 0; i < 40; ++i) {
        found = hops_in(run(hops.on("here", command)));
        if (found == wanted) return;
    }
    throw Unexpected("it never shows " + wanted.back() + ", but " + (found.empty() ? "nothing" : found.back()));
}

}  // namespace

TEST_CASE("udp ping: both kinds of socket, and both versions of IP", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network) return;
    for (const std::string kind : {"datagram", "raw"}) {
        for (const std::string host : {"127.0.0.1", "::1"}) {
            for (const char* size : {"0", "1", "56", "9001", "65507"}) {
                INFO(kind << " " << host << " " << size);
                if (host == "::1" && !has_ipv6()) continue;
                // Of the largest, a raw socket, which sees questions and answers, has room for one or two.
                const std::string interval = size == std::string("65507") ? "100" : "1";
                const std::string printed =
                    run(network->inside(ping({"--host", host, "--socket", kind, "--count", "3", "--interval", interval,
                                              "--size", size, "--timeout", "60000"})));
                CHECK_THAT(printed, StartsWith("a " + kind + " socket, since "));
                const std::string answer =
                    std::to_string(std::stol(size) + 8) + " bytes from " + host + " ttl=64 time=";
                for (const char* sequence : {"1", "2", "3"})
                    CHECK_THAT(printed, ContainsSubstring("seq=" + std::string(sequence) + "  " + answer));
                CHECK_THAT(printed, ContainsSubstring("3 sent, 3 received, 0% lost\n"));
                const auto times = round_trips_in(printed);
                REQUIRE(times.size() == 4);
                CHECK((times[0] <= times[1] && times[1] <= times[2]));
                CHECK(times[3] <= (times[2] - times[0]) / 2 + 0.001);  // no deviation can be larger
            }
        }
    }
    // The narrator has names for them.
    for (const auto& [kind, told] : std::map<std::string, std::string>{{"datagram", "new ICMP socket: unbound\n"},
                                                                       {"raw", "new raw ICMP socket: open\n"}}) {
        Process traced(network->inside(ping({"--count", "1", "--trace", "--socket", kind})));
        traced.expect_exit(0);
        CHECK_THAT(traced.err(), ContainsSubstring(told));
    }
    // Another program's pings are no answers to ours, nor ours to it.
    if (!has_tool("ping")) return;
    Process ours(network->inside(ping({"--socket", "raw", "--count", "40", "--interval", "5", "--timeout", "60000"})));
    Process others(network->inside({"ping", "-c", "40", "-i", "0.005", "127.0.0.1"}));
    ours.expect_exit(0);
    others.expect_exit(0);
    CHECK_THAT(ours.out(), ContainsSubstring("40 sent, 40 received, 0% lost\n"));
    CHECK_THAT(others.out(), ContainsSubstring("40 packets transmitted, 40 received, 0% packet loss"));
}

TEST_CASE("udp ping: what it sends, as tshark reads it", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network || !has_tool("tshark") || !has_ipv6()) return;
    const TempDir folder;
    Process capture(network->inside({program("tcp/sniffer"), "--pcap", folder / "pings.pcap"}));
    capture.expect_line(Stream::err, "capturing on lo");
    for (const char* host : {"127.0.0.1", "::1"})
        run(network->inside(
            ping({"--host", host, "--count", "2", "--interval", "1", "--size", "57", "--socket", "raw"})));
    capture.signal(SIGINT);
    capture.expect_exit(0);
    // Type, code, status of the checksum (1: good), sequence number; and how long the data is.
    const std::string read = run({"tshark",
                                  "-r",
                                  folder / "pings.pcap",
                                  "-Y",
                                  "icmp.type == 8 || icmpv6.type == 128",
                                  "-T",
                                  "fields",
                                  "-E",
                                  "separator=,",
                                  "-e",
                                  "icmp.type",
                                  "-e",
                                  "icmp.code",
                                  "-e",
                                  "icmp.checksum.status",
                                  "-e",
                                  "icmp.seq",
                                  "-e",
                                  "icmpv6.type",
                                  "-e",
                                  "icmpv6.code",
                                  "-e",
                                  "icmpv6.checksum.status",
                                  "-e",
                                  "icmpv6.echo.sequence_number",
                                  "-e",
                                  "data.len"});
    CHECK(lines_of(read) ==
          std::vector<std::string>{"8,0,1,1,,,,,57", "8,0,1,2,,,,,57", ",,,,128,0,1,1,57", ",,,,128,0,1,2,57"});
}

TEST_CASE("udp ping: says what it would need", "[programs][udp][icmp]") {
    const auto network = loopback(false);
    if (!network) return;
    // Nobody may have a datagram socket here, unless it is allowed.
    const std::string raw = run(network->inside(ping({"--count", "1"})));
    CHECK_THAT(raw, StartsWith("a raw socket, since this process may have one; no datagram socket (EACCES"));
    if (!has_tool("setpriv")) return;
    Process neither(network->inside(with({"setpriv", "--bounding-set", "-all"}, ping({"--count", "1"}))));
    neither.expect_exit(1);
    CHECK(neither.out().empty());
    CHECK(count_of(neither.err(), "\n") == 1);
    CHECK_THAT(neither.err(), ContainsSubstring("EACCES; net.ipv4.ping_group_range allows no group") &&
                                  ContainsSubstring("EPERM; it takes root"));
    Process wrong(network->inside(ping({"--socket", "stream"})));
    wrong.expect_exit(2);
}

TEST_CASE("udp ping: ends at Ctrl-C, with its summary", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network) return;
    Process typed(network->inside(ping({"--interval", "20"})), {.terminal = Terminal::all});
    typed.expect(Stream::terminal, "seq=2  64 bytes");
    typed.type("\x03");
    typed.expect_exit(0);
    CHECK_THAT(typed.all(Stream::terminal), ContainsSubstring("received") && ContainsSubstring("min/avg/max/mdev"));
    // Between two requests, too, however far apart they are.
    Process ended(network->inside(ping({"--interval", "3600000"})));
    ended.expect(Stream::out, "seq=1  64 bytes");
    ended.signal(SIGTERM);
    ended.expect_exit(0);
    CHECK_THAT(ended.out(), ContainsSubstring("1 sent, 1 received, 0% lost"));
    // And when nobody reads what it says.
    Process unread(network->inside({"sh", "-c", "\"$0\" --interval 10 | head -n 1", program("udp/ping")}));
    unread.expect_exit(0);
    CHECK_THAT(unread.err(), StartsWith("standard output: ") && ContainsSubstring("(EPIPE)"));
}

TEST_CASE("udp ping: nobody answers, and nobody can be asked", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network) return;
    run(network->inside({"sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"}));
    for (const char* kind : {"datagram", "raw"}) {
        Process silent(
            network->inside(ping({"--count", "2", "--interval", "10", "--timeout", "50", "--socket", kind})));
        silent.expect_exit(1);
        CHECK_THAT(silent.out(), ContainsSubstring("seq=1  no answer within 50 ms\n") &&
                                     ContainsSubstring("seq=2  no answer within 50 ms\n") &&
                                     ContainsSubstring("2 sent, 0 received, 100% lost\n"));
        CHECK(silent.err() == "nothing came back from 127.0.0.1\n");
        Process no_way(network->inside(
            ping({"--host", "192.0.2.1", "--count", "1", "--socket", kind})));  // for documentation (RFC 5737)
        no_way.expect_exit(1);
        CHECK_THAT(no_way.out(), ContainsSubstring("seq=1  not sent: ") && ContainsSubstring("(ENETUNREACH)"));
    }
}

TEST_CASE("udp ping: answers that are none", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network || !has_tool("python3")) return;
    run(network->inside({"sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"}));
    Process liar(network->inside({"python3", "tests/interop/icmp_liar.py"}));
    liar.expect_line(Stream::out, "ready");
    const Command command = ping({"--count", "3", "--interval", "1250", "--timeout", "1200", "--socket"});
    std::map<std::string, std::unique_ptr<Process>> asking;
    for (const char* kind : {"raw", "datagram"})
        asking[kind] = std::make_unique<Process>(network->inside(with(command, {kind})));
    for (const auto& [kind, process] : asking) {
        process->expect_exit(0);
        const std::string printed = process->out();
        INFO(printed);
        if (kind == "raw") {  // of a datagram socket, the kernel has checked it
            CHECK(count_of(printed, "seq=1  64 bytes from 127.0.0.1, and its checksum is wrong\n") == 1);
        }
        CHECK(count_of(printed, "seq=1  64 bytes from 127.0.0.1, and not the data that was sent\n") == 1);
        CHECK(count_of(printed, "seq=1  72 bytes from 127.0.0.1, and not the data that was sent\n") == 1);
        CHECK(count_of(printed, "seq=1  8 bytes from 127.0.0.1, and not the data that was sent\n") == 1);
        CHECK(count_of(printed, "(duplicate)\n") == 2);
        CHECK_THAT(printed, ContainsSubstring("ms  (another address)  (duplicate)\n"));
        CHECK_THAT(printed, ContainsSubstring("seq=2  no answer within 1200 ms\n"));
        CHECK(count_of(printed, "(late)\n") == 1);
        CHECK_THAT(printed, ContainsSubstring("3 sent, 3 received, 0% lost, 2 came twice, 1 late, " +
                                              std::string(kind == "raw" ? "4" : "3") + " damaged\n"));
        CHECK(lines_with(printed, "seq=").size() == (kind == "raw" ? 10U : 9U));
        CHECK(printed.find("seq=999") == std::string::npos);
        CHECK(printed.find('\x1b') == std::string::npos);
    }
}

TEST_CASE("udp ping, traceroute: through routers, as Debian's see it", "[programs][udp][icmp]") {
    const auto hops = routers();
    if (!hops) return;
    // One of all that can be, all at once; and what is known to be there.
    const std::map<std::string, std::vector<std::string>> ways{
        {"10.0.4.2", {"1 10.0.1.2", "2 *", "3 10.0.3.2", "4 10.0.4.2"}},
        {"10.0.9.1", {"1 10.0.1.2", "2 *", "3 10.0.3.2 !X"}},
        {"10.0.77.1", {"1 10.0.1.2", "2 *", "3 10.0.3.2 !N"}},
        {"10.0.4.99", {"1 10.0.1.2", "2 *", "3 10.0.3.2", "4 10.0.3.2 !H"}},
        {"fd00:4::2", {"1 fd00:1::2", "2 *", "3 fd00:3::2", "4 fd00:4::2"}},
        {"fd00:9::1", {"1 fd00:1::2", "2 *", "3 fd00:3::2 !X"}},
        {"fd00:77::1", {"1 fd00:1::2", "2 *", "3 fd00:3::2 !N"}},
        {"fd00:4::99", {"1 fd00:1::2", "2 *", "3 fd00:3::2", "4 fd00:3::2 !H"}},
    };
    const bool has_other = has_tool("traceroute");
    std::map<std::string, std::unique_ptr<Process>> ours, others;
    for (const auto& [host, way] : ways) {
        if (is_rarely_told(way)) continue;
        ours[host] = std::make_unique<Process>(
            hops->on("here", traceroute({"--host", host, "--probes", "1", "--timeout", "2000"})));
        if (has_other) {
            others[host] = std::make_unique<Process>(
                hops->on("here", {"traceroute", "-n", "-q", "1", "-N", "1", "-w", "2", "-m", "6", host}));
        }
    }
    for (const auto& [host, way] : ways) {
        INFO(host);
        if (is_rarely_told(way)) {
            const std::vector<std::string> last{way.back()};
            must_find(*hops,
                      traceroute({"--host", host, "--first", "3", "--hops", "3", "--probes", "1", "--timeout", "300"}),
                      last);
            if (has_other)
                must_find(*hops, {"traceroute", "-n", "-f", "3", "-m", "3", "-q", "1", "-w", "0.3", host}, last);
            continue;
        }
        ours[host]->expect_exit(0);
        CHECK(hops_in(ours[host]->out()) == way);
        if (const size_t mark = way.back().find('!'); mark != std::string::npos)
            CHECK(lines_with(ours[host]->out(), way.back().substr(mark) + "  ").size() == 1);  // explained
        if (!has_other) continue;
        others[host]->expect_exit(0);
        CHECK(hops_in(others[host]->out()) == way);
    }
    // Too large for the last link: the first is thrown away, and the others go through in pieces.
    for (const std::string host : {"10.0.4.2", "fd00:4::2"}) {
        const std::string router = host == "10.0.4.2" ? "10.0.3.2" : "fd00:3::2";
        const std::string printed =
            run(hops->on("here", traceroute({"--host", host, "--first", "4", "--size", "1400"})));
        CHECK(hops_in(printed) == std::vector<std::string>{"4 " + router + " !F-1400 " + host});
    }
}

TEST_CASE("udp ping: errors from the way, explained", "[programs][udp][icmp]") {
    const auto hops = routers();
    if (!hops) return;
    const bool has_other = has_tool("ping");
    struct Case {
        std::string host;
        Command more;
        std::string text;
    };
    const std::vector<Case> cases{
        {"10.0.4.2", {"--ttl", "1"}, "10.0.1.2: time to live exceeded (type 11, code 0): "},
        {"10.0.4.2", {"--ttl", "3"}, "10.0.3.2: time to live exceeded (type 11, code 0): "},
        {"fd00:4::2", {"--ttl", "1"}, "fd00:1::2: hop limit exceeded (type 3, code 0): "},
        {"10.0.9.1", {}, "10.0.3.2: administratively prohibited (type 3, code 13): "},
        {"fd00:9::1", {}, "fd00:3::2: administratively prohibited (type 1, code 1): "},
        {"10.0.77.1", {}, "10.0.3.2: network unreachable (type 3, code 0): "},
        {"10.0.4.99", {}, "10.0.3.2: host unreachable (type 3, code 1): "},
        {"fd00:4::99", {}, "fd00:3::2: address unreachable (type 1, code 3): "},
    };
    for (const char* kind : {"datagram", "raw"}) {
        std::vector<std::unique_ptr<Process>> processes;
        for (const Case& one : cases) {
            processes.push_back(std::make_unique<Process>(
                hops->on("here", with(ping({"--host", one.host, "--interval", "300", "--socket", kind}), one.more))));
        }
        for (std::size_t i = 0; i < cases.size(); ++i) {
            INFO(kind << " " << cases[i].host);
            processes[i]->expect(Stream::out, "  " + cases[i].text);  // perhaps not the first is answered, see above
            processes[i]->signal(SIGINT);
            processes[i]->expect_exit(1);
            CHECK_THAT(processes[i]->out(), ContainsSubstring(" sent, 0 received, 100% lost; errors: "));
        }
        // Too large for the last link. The kernel learns it, and then the rest goes through in fragments. What one kind
        // of socket has taught it, it knows for the other: another host address would be needed. So each has a version.
        const std::string host = kind == std::string("raw") ? "fd00:4::2" : "10.0.4.2";
        const std::string printed = run(hops->on(
            "here", ping({"--host", host, "--count", "2", "--interval", "500", "--size", "1400", "--socket", kind})));
        CHECK_THAT(printed, ContainsSubstring("; at most 1400 bytes go through\n") &&
                                ContainsSubstring("seq=2  1408 bytes from " + host + " ttl=61 time="));
    }
    if (!has_other) return;
    Process other(hops->on("here", {"ping", "-c", "1", "-t", "3", "10.0.4.2"}));
    other.expect_exit(1);
    CHECK_THAT(other.out(), ContainsSubstring("From 10.0.3.2 icmp_seq=1 Time to live exceeded"));
}

TEST_CASE("udp ping: a host that falls silent, and comes back", "[programs][udp][icmp]") {
    const auto hops = routers();
    if (!hops) return;
    Process asking(hops->on("here", ping({"--host", "10.0.4.2", "--interval", "50", "--timeout", "200"})));
    asking.expect(Stream::out, "bytes from 10.0.4.2");
    run(hops->on("host", {"sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=1"}));
    asking.expect(Stream::out, "no answer within 200 ms");
    run(hops->on("host", {"sysctl", "-qw", "net.ipv4.icmp_echo_ignore_all=0"}));
    asking.expect(Stream::out, "bytes from 10.0.4.2");
    asking.signal(SIGINT);
    asking.expect_exit(0);
}

TEST_CASE("udp traceroute: ends", "[programs][udp][icmp]") {
    const auto network = loopback();
    if (!network) return;
    for (const std::string host : {"127.0.0.1", "::1"}) {
        if (host == "::1" && !has_ipv6()) continue;
        const std::string printed =
            run(network->inside(traceroute({"--host", host, "--probes", "10", "--timeout", "60000"})));
        CHECK(hops_in(printed) == std::vector<std::string>{"1 " + host});
        CHECK(count_of(printed, " ms") == 10);
        // Somebody has this port, and answers by a datagram, not ICMP.
        Process server(network->inside({program("udp/echo_server"), "--host", host, "--port", "40000"}));
        server.expect_line(Stream::out, "listening on ");
        CHECK(hops_in(run(network->inside(traceroute({"--host", host, "--probes", "1", "--first-port", "40000"})))) ==
              std::vector<std::string>{"1 " + host});
    }
    CHECK_THAT(run(network->inside(traceroute({"--names"}))), ContainsSubstring("127.0.0.1"));
    Process no_way(network->inside(traceroute({"--host", "192.0.2.1"})));
    no_way.expect_exit(1);
    CHECK(count_of(no_way.err(), "\n") == 1);
    CHECK_THAT(no_way.err(), ContainsSubstring("(ENETUNREACH)"));
    Process wrong(network->inside(traceroute({"--first", "4", "--hops", "3"})));
    wrong.expect_exit(2);
}

TEST_CASE("udp: scripts/hops runs a command, and ends as it does", "[programs][udp][icmp]") {
    if (!loopback()) return;  // no such thing here
    Process process({"scripts/hops", "sh", "-c", "\"$0\" --host 10.0.4.2 --hops 1 --probes 1 --timeout 60000; exit 7",
                     program("udp/traceroute")});
    process.expect_exit(7);
    CHECK(hops_in(process.out()) == std::vector<std::string>{"1 10.0.1.2"});
    CHECK_THAT(process.out(), ContainsSubstring("not reached within 1 hops\n"));
    Process wrong({"scripts/hops", "--nonsense"});
    wrong.expect_exit(2);
    CHECK(count_of(wrong.err(), "\n") == 1);
    CHECK_THAT(run({"scripts/hops", "--help"}), ContainsSubstring("router1"));
}
