// What a datagram is: udp/boundaries, udp/connected_client and udp/header, against the kernel's own counters, socat,
// tshark, and peers that the tests play.

#include "common/fields.hpp"
#include "common/options.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/pseudo_header.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <poll.h>
#include <sstream>
#include <sys/socket.h>

namespace {

using Lines = std::vector<std::string>;

std::string bracketed(const std::string& host) { return host.find(':') != std::string::npos ? "[" + host + "]" : host; }

/// A host of each version of IP; "" where the machine has none of that.
std::string one_host() {
    const std::string host = GENERATE("127.0.0.1", "::1");
    return host == "::1" && !has_ipv6() ? "" : host;
}

// ---- udp/boundaries

/// The lines of an output that are not empty, with each run of blanks as one.
Lines plain_lines(const std::string& output) {
    Lines lines;
    for (const std::string& line : lines_of(output)) {
        std::istringstream words(line);
        std::string plain;
        for (std::string word; words >> word;)
            plain += (plain.empty() ? "" : " ") + word;
        if (!plain.empty()) lines.push_back(plain);
    }
    return lines;
}

Process::Command scene_command(const std::string& name, const Process::Command& more = {}) {
    Process::Command command{program("udp/boundaries"), "--scene", name};
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

Lines scene(const std::string& name, const Process::Command& more = {}) {
    return plain_lines(run(scene_command(name, more)));
}

bool has_line(const Lines& lines, const std::string& line) {
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

}  // namespace

TEST_CASE("boundaries: one send is one receive, and nothing is joined", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    const Lines lines = scene("pieces", {"--host", host});
    REQUIRE(lines.size() == 8);
    CHECK(Lines(lines.begin() + 1, lines.begin() + 7) ==
          Lines{"send(\"one\") = 3", "send(\"two\") = 3", "send(\"three\") = 5",
                "recv(100 bytes of room, 0) = 3 \"one\"", "recv(100 bytes of room, 0) = 3 \"two\"",
                "recv(100 bytes of room, 0) = 5 \"three\""});
}

TEST_CASE("boundaries: what doesn't fit is gone, and can be heard of", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    const Lines lines = scene("truncated", {"--host", host});
    CHECK(has_line(lines, "recv(4 bytes of room, 0) = 4 \"0123\""));
    CHECK(has_line(lines, "recv(1 byte of room, MSG_DONTWAIT) = -1 EAGAIN"));
    CHECK(has_line(lines, "recvmsg(4 bytes of room) = 4 msg_flags: MSG_TRUNC, it was cut off"));
#ifdef __linux__
    CHECK(has_line(lines, "recv(4 bytes of room, MSG_TRUNC) = 10 \"0123\""));
    CHECK(has_line(lines, "recv(0 bytes of room, MSG_PEEK | MSG_TRUNC) = 10 \"\""));
    CHECK(has_line(lines, "recv(10 bytes of room, 0) = 10 \"0123456789\""));
#endif
}

TEST_CASE("boundaries: an empty datagram is a datagram", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    const Lines lines = scene("empty", {"--host", host});
    REQUIRE(lines.size() == 6);
    CHECK(Lines(lines.begin() + 1, lines.begin() + 5) == Lines{"send(\"\") = 0", "send(\"more\") = 4",
                                                               "recv(100 bytes of room, 0) = 0 \"\"",
                                                               "recv(100 bytes of room, 0) = 4 \"more\""});
}

#ifdef __linux__

TEST_CASE("boundaries: the largest datagram of IPv4, of IPv6, and one byte more", "[programs][udp]") {
    CHECK(scene("largest") == Lines{"largest: the largest that there is", "send(65507 bytes) = 65507",
                                    "recv(65508 bytes of room) = 65507", "send(65508 bytes) = -1 EMSGSIZE"});
    if (!has_ipv6()) return;
    CHECK(scene("largest", {"--host", "::1"}) == Lines{"largest: the largest that there is",
                                                       "send(65527 bytes) = 65527", "recv(65528 bytes of room) = 65527",
                                                       "send(65528 bytes) = -1 EMSGSIZE"});
}

TEST_CASE("boundaries: loopback carries what UDP can send over IPv4, and not quite over IPv6", "[programs][udp]") {
    const Lines four = scene("path");
    CHECK(has_line(four, "send(65507 bytes), with the headers 65535 = 65507, and 65507 bytes arrive"));
    if (!has_ipv6()) return;
    const Lines six = scene("path", {"--host", "::1"});
    CHECK(has_line(six, "getsockopt(IPV6_MTU) 65536"));
    CHECK(has_line(six, "send(65489 bytes), with the headers 65537 = -1 EMSGSIZE this kernel: at most 65536"));
    CHECK(has_line(six, "send(65488 bytes), with the headers 65536 = 65488, and 65488 bytes arrive"));
    CHECK(six.back() == "send(65489 bytes), with the headers 65537 = 65489, and 65489 bytes arrive");
}

namespace {

/// What the scene is to say of the way in scripts/hops. A server answers there, or nobody has the port.
Lines story_of_the_way(bool six, bool echo) {
    const int headers = six ? 48 : 28;
    const std::string prefix = six ? "IPV6" : "IP";
    Lines lines;
    const auto send = [&](int packet, const std::string& result) {
        lines.push_back(fmt::format("send({} bytes), with the headers {} = {}", packet - headers, packet, result));
    };
    const auto arrive = [&](int packet) {
        const int size = packet - headers;
        if (echo) return send(packet, fmt::format("{0}, and {0} bytes arrive", size));
        send(packet, fmt::format("{}, and arrives where nobody has the port", size));
        lines.push_back(six ? "ICMPv6 type 1 code 4 from [fd00:4::2]: ECONNREFUSED"
                            : "ICMP type 3 code 3 from 10.0.4.2: ECONNREFUSED");
    };
    lines.push_back("path: what goes through uncut");
    lines.push_back("getsockopt(" + prefix + "_MTU) 1500");
    lines.push_back("setsockopt(" + prefix + "_MTU_DISCOVER, IP_PMTUDISC_DO) don't fragment");
    send(1501, "-1 EMSGSIZE this kernel: at most 1500");
    send(1500, fmt::format("{}, and is lost", 1500 - headers));
    lines.push_back(six ? "ICMPv6 type 2 code 0 from [fd00:3::2]: at most 1400"
                        : "ICMP type 3 code 4 from 10.0.3.2: at most 1400");
    lines.push_back("getsockopt(" + prefix + "_MTU) 1400");
    send(1500, "-1 EMSGSIZE this kernel: at most 1400");
    arrive(1400);
    lines.push_back("setsockopt(" + prefix + "_MTU_DISCOVER, IP_PMTUDISC_DONT) fragment as needed");
    arrive(1501);
    return lines;
}

}  // namespace

TEST_CASE("boundaries: a narrow link behind routers, and what their ICMP says", "[programs][udp]") {
    for (const char* tool : {"unshare", "nsenter", "ip", "sysctl", "nstat"})
        if (!has_tool(tool)) return;
    {
        Network network;
        if (!network.is_there()) return;
    }
    // Over IPv4 nobody has the port; over IPv6, a server answers. The counters are those of the kernel, of a machine on
    // which nothing else has happened.
    const TempDir directory;
    const std::string script = fmt::format(
        "mkfifo $1/ready; nsenter --net=/run/netns/host {} --host fd00:4::2 >$1/ready 2>/dev/null & trap 'kill %1' "
        "EXIT; "
        "read -r _ <$1/ready; {} --scene path --timeout 60000 --to 10.0.4.2:7000; "
        "{} --scene path --timeout 60000 --to '[fd00:4::2]:7000'; "
        "nstat -asz IpFragCreates IpFragOKs Ip6FragCreates Ip6FragOKs Icmp6InPktTooBigs",
        program("udp/echo_server"), program("udp/boundaries"), program("udp/boundaries"));
    const std::string output = run({"scripts/hops", "bash", "-euc", script, "bash", directory.path()});
    INFO(output);
    Lines expected = story_of_the_way(false, false);
    const Lines other = story_of_the_way(true, true), lines = plain_lines(output);
    expected.insert(expected.end(), other.begin(), other.end());
    REQUIRE(lines.size() > expected.size());
    CHECK(Lines(lines.begin(), lines.begin() + static_cast<long>(expected.size())) == expected);
    for (const char* counter : {"IpFragOKs 1 0.0", "IpFragCreates 2 0.0", "Ip6FragOKs 1 0.0", "Ip6FragCreates 2 0.0",
                                "Icmp6InPktTooBigs 1 0.0"})
        CHECK(has_line(lines, counter));
}

TEST_CASE("boundaries: a way to nobody, and one into silence", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty() || !has_tool("unshare") || !has_tool("nsenter")) return;
    Network network;  // where nobody takes the port meanwhile
    if (!network.is_there()) return;
    const std::string nobody = run(network.inside(scene_command("path", {"--to", bracketed(host) + ":7000"})));
    CHECK(has_line(plain_lines(nobody), host == "::1" ? "ICMPv6 type 1 code 4 from [::1]: ECONNREFUSED"
                                                      : "ICMP type 3 code 3 from 127.0.0.1: ECONNREFUSED"));
    // It receives, and answers nothing.
    Peer silent = Peer::bound(SOCK_DGRAM, host);
    const Lines lines = scene("path", {"--to", silent.address().text(), "--timeout", "50"});
    CHECK_THAT(lines.back(), ContainsSubstring(", and is lost"));
    Address address;
    const size_t first = silent.receive_from(address).size();
    CHECK(first == (host == "::1" ? 65488 : 65507));
}

#endif

TEST_CASE("boundaries: what it doesn't take", "[programs][udp][bad_input]") {
    for (const Process::Command& wrong : std::vector<Process::Command>{
             {"--scene", "nothing\x1b[2J"}, {"--to", "7000"}, {"--to", "127.0.0.1:x"}, {"--to", "127.0.0.1:70000"}}) {
        INFO(wrong.back());
        Process::Command command{program("udp/boundaries")};
        command.insert(command.end(), wrong.begin(), wrong.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(process.out().empty());
        CHECK(count_of(process.err(), "\n") == 1);
        CHECK(process.err().find('\x1b') == std::string::npos);
    }
}

// ---- udp/connected_client

namespace {

Process::Command client_of(const std::string& host, const std::string& port, const Process::Command& more = {}) {
    Process::Command command{program("udp/connected_client"), "--host", host, "--port", port};
    command.insert(command.end(), more.begin(), more.end());
    return command;
}

/// A Peer's socket that is connected to an address, so that it hears of ICMP.
void connect_peer(const Peer& peer, const Address& address) {
    REQUIRE(connect(peer.fd(), address.get(), address.length()) == 0);
}

}  // namespace

TEST_CASE("connected: with the echo server", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    const Server server = start_server("udp/echo_server", {"--host", host});
    const std::string text = "hello\n\n안녕\n" + std::string(60'000, 'x') + "\nno newline";
    CHECK(run(server.client("udp/connected_client"), text) == text);
    CHECK(run(server.client("udp/connected_client")).empty());
}

TEST_CASE("connected: with socat", "[programs][udp][foreign]") {
    const std::string host = one_host();
    if (host.empty() || !has_tool("socat")) return;
    const std::string family = host == "::1" ? "6" : "4";
    Process server({"socat", "-d", "-d", "UDP" + family + "-LISTEN:0,bind=" + bracketed(host) + ",fork", "EXEC:cat"});
    const std::string line = server.expect_line(Stream::err, "listening on");
    CHECK(run(client_of(host, line.substr(line.rfind(':') + 1)), "hello\n안녕\n") == "hello\n안녕\n");
}

TEST_CASE("connected: it hears at once that nobody is there; an unconnected socket never does", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty() || !has_tool("unshare") || !has_tool("nsenter")) return;
    Network network;  // where nobody takes the port meanwhile
    if (!network.is_there()) return;
    Process connected(network.inside(client_of(host, "7000", {"--timeout", "60000"})));
    connected.feed("hello\n");
    connected.expect_exit(1);
    CHECK(connected.out().empty());
    CHECK(count_of(connected.err(), "\n") == 1);
    CHECK_THAT(connected.err(), StartsWith("udp/connected_client.cpp:") &&
                                    ContainsSubstring("recv(endpoint, ...): Connection refused (ECONNREFUSED)"));

    Process unconnected(network.inside(
        {program("udp/echo_client"), "--host", host, "--port", "7000", "--timeout", "10", "--tries", "3", "--trace"}));
    unconnected.feed("hello\n");
    unconnected.expect_exit(1);
    CHECK(count_of(unconnected.err(), "no answer within 10 ms") == 3);
    CHECK(unconnected.err().find("ECONNREFUSED") == std::string::npos);
}

TEST_CASE("connected: a server that has gone refuses the next line", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    Server server = start_server("udp/echo_server", {"--host", host});
    Process client(server.client("udp/connected_client"));
    client.feed("hello\n");
    client.expect(Stream::out, "hello\n");
    server.signal(SIGKILL);
    server.wait();
    client.feed("is anybody there?\n");
    client.expect_exit(1);
    CHECK(client.out() == "hello\n");
    CHECK_THAT(client.err(), ContainsSubstring("(ECONNREFUSED)"));
}

TEST_CASE("connected: a stranger's datagrams don't arrive, and the stranger is told", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    Peer server = Peer::bound(SOCK_DGRAM, host), stranger = Peer::bound(SOCK_DGRAM, host);
    Process client(client_of(host, server.port(), {"--trace", "--timeout", "60000"}));
    client.feed("hello\n");
    Address address;
    CHECK(server.receive_from(address) == "hello\n");
    connect_peer(stranger, address);
    // The kernel says that the port is nobody's: it is for the server alone.
    REQUIRE(send(stranger.fd(), "hello\n", 6, 0) == 6);
    pollfd watched{stranger.fd(), POLLIN, 0};
    wait_until([&] { return (watched.revents & POLLERR) != 0; }, "the stranger to be refused", patience, &watched);
    char byte = 0;
    CHECK(recv(stranger.fd(), &byte, 1, 0) == -1);
    CHECK(errno == ECONNREFUSED);
    server.send_to(address, "hello\n");
    client.expect(Stream::out, "hello\n");
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == "hello\n");
    CHECK(client.err().find("passed over") == std::string::npos);
    CHECK(count_of(client.err(), "  recv(endpoint, reply") == 1);  // it was not even woken
}

TEST_CASE("connected: silence, and what is no answer", "[programs][udp]") {
    const std::string host = one_host();
    if (host.empty()) return;
    Peer server = Peer::bound(SOCK_DGRAM, host);
    Address address;
    {
        Process client(client_of(host, server.port(), {"--timeout", "10", "--tries", "3"}));
        client.feed("hello\n");
        client.expect_exit(1);
        CHECK(lines_of(client.err()) ==
              Lines{"no answer within 10 ms, try 1 of 3", "no answer within 10 ms, try 2 of 3",
                    "no answer within 10 ms, try 3 of 3", "nobody answers at " + server.address().text()});
        for (int i = 0; i < 3; ++i)
            CHECK(server.receive_from(address) == "hello\n");
    }
    Process client(client_of(host, server.port(), {"--timeout", "60000"}));
    client.feed("hello\n");
    server.receive_from(address);
    for (const std::string& wrong :
         {std::string(), std::string("hello"), std::string("\x1b[2J"), std::string(60'000, 'x')}) {
        server.send_to(address, wrong);
        CHECK(client.expect_line(Stream::err, "passed over") ==
              fmt::format("passed over {} bytes that are not the answer to this line", wrong.size()));
    }
    server.send_to(address, "hello\n");
    client.expect(Stream::out, "hello\n");
    CHECK(client.err().find('\x1b') == std::string::npos);
}

// ---- udp/header

namespace {

struct Case {
    std::string source, destination, payload;
};

Process::Command header_of(const Case& each) {
    return {program("udp/header"), "--source",  each.source, "--destination",
            each.destination,      "--payload", each.payload};
}

Address address_of(const std::string& text) { return resolve_target(text, "test", SOCK_DGRAM).front(); }

/// The eight bytes that the program says would travel.
std::string header_in(const std::string& output) {
    const Lines lines = lines_with(output, "The header as it travels: ");
    REQUIRE(lines.size() == 1);
    std::istringstream words(lines[0].substr(lines[0].find(": ") + 2));
    FieldWriter bytes;
    for (std::string word; words >> word;)
        bytes.u16(static_cast<std::uint16_t>(std::stoul(word, nullptr, 16)));
    return bytes.str();
}

/// Without options, and with a checksum of its own left out (tshark is not asked for that).
std::string ip_packet(const Case& each, const std::string& datagram) {
    const Address source = address_of(each.source), destination = address_of(each.destination);
    FieldWriter out;
    if (source.family() == AF_INET) {
        out.u8(0x45).u8(0).u16(static_cast<std::uint16_t>(20 + datagram.size())).u32(0).u8(64).u8(IPPROTO_UDP).u16(0);
    } else {
        out.u32(0x60000000).u16(static_cast<std::uint16_t>(datagram.size())).u8(IPPROTO_UDP).u8(64);
    }
    out.bytes(udp::bytes_of(source)).bytes(udp::bytes_of(destination)).bytes(datagram);
    return out.str();
}

/// A pcap file of IP packets: link type 101, in network order.
std::string pcap_of(const std::vector<std::string>& packets) {
    FieldWriter out;
    out.u32(0xa1b2c3d4).u16(2).u16(4).u32(0).u32(0).u32(262'144).u32(101);
    for (const std::string& packet : packets) {
        const auto size = static_cast<std::uint32_t>(packet.size());
        out.u32(1'700'000'000).u32(0).u32(size).u32(size).bytes(packet);
    }
    return out.str();
}

/// The source port with which this datagram's checksum comes out as 0: what was missing is added.
Case with_checksum_zero(Case each) {
    const Address source = address_of(each.source);
    const std::string datagram = udp::datagram(source, address_of(each.destination), each.payload);
    const unsigned port = udp::port_of(source) + FieldReader(std::string_view(datagram).substr(6)).u16();
    each.source = each.source.substr(0, each.source.rfind(':') + 1) + std::to_string(port);
    return each;
}

const std::vector<Case> cases{
    {"127.0.0.1:40000", "127.0.0.1:7000", "hello"},
    {"127.0.0.1:40000", "127.0.0.1:7000", ""},
    {"127.0.0.1:65535", "127.0.0.1:1", "even"},
    {"192.0.2.1:53", "198.51.100.255:65535", std::string(1001, '\xFF')},
    {"[::1]:40000", "[::1]:7000", "hello"},
    {"[::1]:40000", "[::1]:7000", ""},
    {"[2001:db8::ffff]:53", "[2001:db8:0:1::]:65535", std::string(1001, '\xFF')},
    with_checksum_zero({"127.0.0.1:40000", "127.0.0.1:7000", "hello"}),
    with_checksum_zero({"[::1]:40000", "[::1]:7000", "hello"}),
};

}  // namespace

TEST_CASE("header: tshark finds every checksum right, and a wrong one wrong", "[programs][udp]") {
    if (!has_tool("tshark")) return;
    std::vector<std::string> packets;
    std::string expected;
    for (const Case& each : cases) {
        const std::string header = header_in(run(header_of(each)));
        packets.push_back(ip_packet(each, header + each.payload));
        expected += fmt::format("{}\t0x{:04x}\t1\n", each.payload.size() + 8, FieldReader(header.substr(6)).u16());
    }
    std::string wrong = packets.front();
    wrong.back() ^= 1;
    packets.push_back(wrong);
    expected += "13\t0x0667\t0\n";
    const TempDir directory;
    write_file(directory / "file", pcap_of(packets));
    CHECK(run({"tshark", "-n", "-r", directory / "file", "-o", "udp.check_checksum:TRUE", "-T", "fields", "-e",
               "udp.length", "-e", "udp.checksum", "-e", "udp.checksum.status"}) == expected);
}

TEST_CASE("header: the sum, word by word", "[programs][udp]") {
    // Written down by hand.
    const std::string expected[]{"7f00 source address 7f00",
                                 "0001 7f01",
                                 "7f00 destination address fe01",
                                 "0001 fe02",
                                 "0011 0, and the protocol: 17, UDP fe13",
                                 "000d length 13 fe20",
                                 "9c40 source port 40000 19a60, carried round: 9a61",
                                 "1b58 destination port 7000 b5b9",
                                 "000d length 13: 8, and 5 of payload b5c6",
                                 "0000 checksum, not known yet b5c6",
                                 "6865 \"hello\" 11e2b, carried round: 1e2c",
                                 "6c6c 8a98",
                                 "6f00 a last byte, and 0 f998",
                                 "The checksum is the complement of f998: 0667",
                                 "The header as it travels: 9c40 1b58 000d 0667",
                                 "The receiver's sum, over all of it: ffff"};
    const Lines lines = plain_lines(run({program("udp/header")}));
    for (const std::string& line : expected) {
        INFO(line);
        CHECK(has_line(lines, line));
    }
    // Each word has a line, but in the middle of what is long, and that adds up all the same.
    const std::string long_one = run(header_of({"[::1]:1", "[::1]:2", std::string(2001, 'x')}));
    CHECK(has_line(plain_lines(long_one), "... 992 words more"));
    CHECK(has_line(plain_lines(long_one), "The receiver's sum, over all of it: ffff"));
}

TEST_CASE("header: a checksum of 0 is never sent", "[programs][udp]") {
    for (const Case& each : {cases[7], cases[8]}) {
        const std::string output = run(header_of(each));
        CHECK_THAT(output, ContainsSubstring("The checksum is the complement of ffff: 0000\n") &&
                               ContainsSubstring("so ffff is sent") &&
                               ContainsSubstring(each.source[0] == '[' ? "is forbidden (RFC 8200, 8.1)" : "(RFC 768)"));
        CHECK(header_in(output).substr(6) == "\xff\xff");
    }
}

TEST_CASE("header: what it doesn't take", "[programs][udp][bad_input]") {
    const Case wrong[]{{"127.0.0.1:1", "[::1]:1", ""},
                       {"127.0.0.1", "127.0.0.1:1", ""},
                       {"127.0.0.1:0", "127.0.0.1:1", ""},
                       {"127.0.0.1:1", "127.0.0.1:65536", ""},
                       {"127.0.0.1:1", "127.0.0.1:1", std::string(65508, 'x')},
                       {"[::1]:1", "[::1]:1", std::string(65528, 'x')}};
    for (const Case& each : wrong) {
        INFO(each.source << " " << each.destination);
        Process process(header_of(each));
        process.expect_exit(2);
        CHECK(process.out().empty());
        CHECK(count_of(process.err(), "\n") == 1);
    }
    CHECK(run(header_of({"127.0.0.1:1", "127.0.0.1:1", std::string(65507, 'x')})).size() > 100);
    CHECK(run(header_of({"[::1]:1", "[::1]:1", std::string(65527, 'x')})).size() > 100);
    // What it shows of the payload can't move the cursor.
    const std::string hostile = run(header_of({"127.0.0.1:1", "127.0.0.1:1", "\x1b[2J\r\n\x9b"}));
    CHECK_THAT(hostile, ContainsSubstring("\"\\x1b[2J\\r\\n\\x9b\""));
    CHECK(hostile.find('\x1b') == std::string::npos);
}

#ifdef __linux__

TEST_CASE("header: the kernel's own checksum is the same", "[programs][udp]") {
    if (!has_tool("unshare") || !has_tool("nsenter")) return;
    Network network;
    if (!network.is_there()) return;
    for (const Case& each : cases) {
        if (each.source.rfind("127.", 0) != 0 && each.source.rfind("[::1]", 0) != 0) continue;
        if (each.source[0] == '[' && !has_ipv6()) continue;
        Process::Command command = header_of(each);
        command.emplace_back("--capture");
        const std::string output = run(network.inside(command));
        INFO(output);
        const auto checksum = FieldReader(header_in(output).substr(6)).u16();
        const Lines lines = plain_lines(output);
        CHECK(has_line(lines, fmt::format("in two pieces (MSG_MORE) {:04x} the same as ours", checksum)));
        // Loopback takes the offer to finish the checksum itself, and never does.
        const std::string pseudo =
            udp::pseudo_header(address_of(each.source), address_of(each.destination), 8 + each.payload.size());
        CHECK(
            has_line(lines, fmt::format("at once {:04x} only the pseudo-header's sum; the rest is left to the hardware",
                                        static_cast<std::uint16_t>(~internet_checksum(pseudo)))));
    }
    // In fragments, of which only the first has the header. No hardware adds up what is in several packets.
    for (const Case& each : cases) {
        if (each.payload != "hello" || (each.source[0] == '[' && !has_ipv6())) continue;
        const std::string output =
            run(network.inside({"sh", "-c",
                                fmt::format("ip link set lo mtu 1500 && exec {} --source {} --destination {} --capture "
                                            "--payload $(printf %05000d 7)",
                                            program("udp/header"), each.source, each.destination)}));
        CHECK(count_of(output, "  the same as ours\n") == 2);
    }
    // Not this machine's address.
    Process foreign(network.inside({program("udp/header"), "--capture", "--source", "192.0.2.1:40000"}));
    foreign.expect_exit(1);
    CHECK_THAT(foreign.err(), ContainsSubstring("(EADDRNOTAVAIL)"));
}

TEST_CASE("header: without the right to capture", "[programs][udp]") {
    if (!has_tool("unshare")) return;
    Network network;
    if (!network.is_there()) return;
    Process process({"unshare", "-Ur", program("udp/header"), "--capture"});
    process.expect_exit(1);
    CHECK_THAT(process.err(), StartsWith("--capture: a packet socket") && ContainsSubstring("(EPERM)"));
    CHECK(count_of(process.err(), "\n") == 1);
}

#endif
