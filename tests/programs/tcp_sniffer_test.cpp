// tcp/sniffer against tshark(1), field by field, on live traffic and on packets made by hand; and on packets that are
// cut short, or lie. Captures run in a network of their own (user and network namespaces): without root, and alone.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <map>
#include <random>
#include <sstream>
#include <unistd.h>

namespace {

const std::string sniffer = program("tcp/sniffer");

bool is_built() {
    if (access(sniffer.c_str(), X_OK) == 0) return true;
    skip("the sniffer is for Linux");
    return false;
}

bool has_tools() {
    for (const char* tool : {"unshare", "nsenter", "ip"})
        if (!has_tool(tool)) return false;
    return is_built();
}

// ---- Bytes

std::string u8(unsigned number) { return {static_cast<char>(number)}; }
std::string u16(unsigned number) { return u8(number >> 8U) + u8(number & 0xFFU); }
std::string u32(std::uint32_t number) { return u16(number >> 16U) + u16(number & 0xFFFFU); }

/// As pcap stores it in a file of this machine.
std::string stored(std::uint32_t number) { return {reinterpret_cast<const char*>(&number), sizeof number}; }

std::string bytes_of(const std::string& hex) {
    std::istringstream words(hex);
    std::string bytes;
    for (std::string word; words >> word;)
        bytes += u8(static_cast<unsigned>(std::stoi(word, nullptr, 16)));
    return bytes;
}

std::string pcap_header(std::uint32_t magic = 0xa1b23c4d, std::uint32_t link = 1) {
    return stored(magic) + stored(4U << 16U | 2U) + stored(0) + stored(0) + stored(262'144) + stored(link);
}

std::string record(const std::string& packet, size_t length = 0, std::uint32_t fraction = 5) {
    return stored(1'700'000'000) + stored(fraction) + stored(static_cast<std::uint32_t>(packet.size())) +
           stored(static_cast<std::uint32_t>(std::max(length, packet.size()))) + packet;
}

/// The packets of a file of ours.
std::vector<std::string> packets_in(const std::string& pcap) {
    std::vector<std::string> packets;
    for (size_t at = 24; at + 16 <= pcap.size();) {
        std::uint32_t captured = 0;
        std::copy_n(pcap.data() + at + 8, sizeof captured, reinterpret_cast<char*>(&captured));
        packets.push_back(pcap.substr(at + 16, captured));
        at += 16 + captured;
    }
    return packets;
}

/// RFC 1071
std::string checksum_of(const std::string& bytes) {
    std::uint32_t sum = 0;
    for (size_t i = 0; i < bytes.size(); ++i)
        sum += static_cast<std::uint32_t>(static_cast<unsigned char>(bytes[i])) << (i % 2 == 0 ? 8U : 0U);
    while (sum > 0xFFFF)
        sum = (sum & 0xFFFFU) + (sum >> 16U);
    return u16(~sum & 0xFFFFU);
}

const std::string mac_a = bytes_of("02 00 00 00 00 0a"), mac_b = bytes_of("02 00 00 00 00 0b");
const std::string ip_a = bytes_of("c0 00 02 01"), ip_b = bytes_of("c6 33 64 02");  // for documentation (RFC 5737)
const std::string ip6_a = bytes_of("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 01");
const std::string ip6_b = bytes_of("20 01 0d b8 00 00 00 00 00 00 00 00 00 00 00 02");

std::string ethernet(unsigned type, const std::string& rest, const std::string& tags = "") {
    return mac_b + mac_a + tags + u16(type) + rest;
}

std::string ipv4(unsigned protocol, const std::string& payload, unsigned fragment = 0x4000,
                 const std::string& options = "") {
    const size_t header = 20 + options.size();
    const std::string begin = u8(0x40U | static_cast<unsigned>(header / 4)) + u8(0) +
                              u16(static_cast<unsigned>(header + payload.size())) + u16(4660) + u16(fragment) + u8(63) +
                              u8(protocol);
    const std::string end = ip_a + ip_b + options;
    return begin + checksum_of(begin + u16(0) + end) + end + payload;
}

std::string ipv6(unsigned next, const std::string& payload) {
    return u32(0x60012345) + u16(static_cast<unsigned>(payload.size())) + u8(next) + u8(63) + ip6_a + ip6_b + payload;
}

/// An Ethernet packet with the IPv4 addresses exchanged, which leaves the checksums right.
std::string reversed(std::string packet) {
    std::swap_ranges(packet.begin() + 26, packet.begin() + 30, packet.begin() + 30);
    return packet;
}

/// A segment or datagram with its checksum at an offset, for addresses of either version.
std::string with_checksum(std::string bytes, size_t at, unsigned protocol, bool six = false) {
    const std::string pseudo = six ? ip6_a + ip6_b + u32(static_cast<std::uint32_t>(bytes.size())) + u32(protocol)
                                   : ip_a + ip_b + u16(protocol) + u16(static_cast<unsigned>(bytes.size()));
    return bytes.replace(at, 2, checksum_of(pseudo + bytes));
}

std::string tcp(std::uint32_t seq, std::uint32_t ack, unsigned flags, const std::string& options,
                const std::string& data = "", bool six = false, bool back = false) {
    const unsigned from = back ? 80 : 1234, to = back ? 1234 : 80;
    const auto words = static_cast<unsigned>((20 + options.size()) / 4);
    const std::string segment = u16(from) + u16(to) + u32(seq) + u32(ack) + u16(words << 12U | flags) + u16(500) +
                                u16(0) + u16(0) + options + data;
    return with_checksum(segment, 16, 6, six);
}

std::string udp(const std::string& data, bool six = false) {
    return with_checksum(u16(1234) + u16(5678) + u16(static_cast<unsigned>(8 + data.size())) + u16(0) + data, 6, 17,
                         six);
}

/// What hardly travels over a loopback: tags, options, fragments, extension headers, SACK, ARP.
std::vector<std::string> handmade() {
    const std::string sack = bytes_of("01 01 05 12") + u32(6000) + u32(7000) + u32(8000) + u32(9000);
    const std::string odd = bytes_of("fd 06 de ad be ef 13 02") + u8(1) + u8(1) + u8(1) + u8(0);
    const std::string vlan = bytes_of("81 00 60 05"), double_vlan = bytes_of("88 a8 00 07 81 00 00 08");
    const std::string arp = bytes_of("00 01 08 00 06 04 00 01") + mac_a + ip_a + std::string(6, '\0') + ip_b;
    const std::string long_datagram = udp(std::string(40, 'x'));
    const std::string hop_by_hop = bytes_of("06 00 01 04 00 00 00 00");     // then TCP
    const std::string fragment = bytes_of("11 00 00 01 12 34 56 78");       // then UDP, more come
    const std::string last_fragment = bytes_of("11 00 00 18 12 34 56 78");  // at byte 24
    const std::string destination = bytes_of("06 00 01 04 00 00 00 00"), both = bytes_of("3c 00 01 04 00 00 00 00");
    const std::string scale = bytes_of("02 04 05 b4 03 03 05 00"), no_scale = bytes_of("02 04 05 b4");
    const std::string other_scale = bytes_of("02 04 05 b4 03 03 07 00");
    std::string echo = bytes_of("08 00 00 00 12 34 00 05") + "ping";
    echo.replace(2, 2, checksum_of(echo));
    std::string padded = ethernet(0x0800, ipv4(6, tcp(1001, 5001, 0x10, "")));
    padded += std::string(60 - padded.size(), '\0');
    std::string wrong = ethernet(0x0800, ipv4(6, tcp(1001, 5001, 0x18, "", "data")));
    wrong.back() = 'b';
    return {
        ethernet(0x0800, ipv4(6, tcp(1000, 0, 0x02, scale))),
        reversed(ethernet(0x0800, ipv4(6, tcp(5000, 1001, 0x12, other_scale, "", false, true)))),
        padded,
        ethernet(0x0800, ipv4(6, tcp(1001, 5001, 0x10, sack))),
        ethernet(0x0800, ipv4(6, tcp(1001, 5001, 0x1FD, odd, "all flags"))),
        wrong,
        ethernet(0x0800, ipv4(6, tcp(7000, 0, 0x02, scale))),  // the same ports, another connection
        reversed(ethernet(0x0800, ipv4(6, tcp(9000, 7001, 0x12, no_scale, "", false, true)))),
        ethernet(0x0800, ipv4(6, tcp(7001, 9001, 0x10, ""))),
        ethernet(0x0800, ipv4(6, tcp(7001, 9001, 0x18, "", "tagged")), vlan),
        ethernet(0x0800, ipv4(17, udp("tagged twice")), double_vlan),
        ethernet(0x0806, arp),
        ethernet(0x0800, ipv4(17, long_datagram.substr(0, 24), 0x2000)),
        ethernet(0x0800, ipv4(17, long_datagram.substr(24), 0x0003)),
        ethernet(0x0800, ipv4(17, udp("router alert"), 0, bytes_of("94 04 00 00"))),
        ethernet(0x0800, ipv4(1, echo)),
        ethernet(0x86dd, ipv6(0, hop_by_hop + tcp(1, 2, 0x18, "", "six", true))),
        ethernet(0x86dd, ipv6(60, both + destination + tcp(4, 2, 0x10, "", "", true))),
        ethernet(0x86dd, ipv6(44, fragment + udp(std::string(40, 'y'), true).substr(0, 24))),
        ethernet(0x86dd, ipv6(44, last_fragment + std::string(24, 'y'))),
        ethernet(0x86dd, ipv6(17, udp("six", true))),
        ethernet(0x88cc, "LLDP"),
    };
}

// ---- Reading our JSON

/// The value of "tcp.seq": within the object "tcp", that of "seq"; "" if it is not there. Strings without quotes.
std::string value_of(const std::string& json, const std::string& path) {
    size_t at = 0;
    std::string name = path;
    for (size_t dot = path.find('.'); dot != std::string::npos; dot = name.find('.')) {
        at = json.find("\"" + name.substr(0, dot) + "\":{", at);
        if (at == std::string::npos) return "";
        name = name.substr(dot + 1);
    }
    const std::string key = "\"" + name + "\":";
    const size_t found = json.find(key, at);
    if (found == std::string::npos) return "";
    const size_t begin = found + key.size();
    if (json[begin] == '"') return json.substr(begin + 1, json.find('"', begin + 1) - begin - 1);
    if (json[begin] == '[') return json.substr(begin + 1, json.find(']', begin) - begin - 1);
    return json.substr(begin, json.find_first_of(",}", begin) - begin);
}

/// What stands behind the name in the TCP option of this name.
std::string option_of(const std::string& json, const std::string& option, const std::string& name) {
    const size_t at = json.find("\"name\":\"" + option + "\"");
    if (at == std::string::npos) return "";
    return value_of(json.substr(at, json.find('}', at) - at + 1), name);
}

/// Both edges of all SACK blocks: the left ones with which 0, the right ones with 1.
std::string edges_of(const std::string& json, int which) {
    const size_t at = json.find("\"blocks\":[[");
    if (at == std::string::npos) return "";
    std::string text = json.substr(at + 11, json.find("]]", at) - at - 11), all;
    std::replace(text.begin(), text.end(), ']', ' ');
    std::replace(text.begin(), text.end(), '[', ' ');
    std::replace(text.begin(), text.end(), ',', ' ');
    std::istringstream words(text);
    for (std::string left, right; words >> left >> right;)
        all += (all.empty() ? "" : ",") + (which == 0 ? left : right);
    return all;
}

unsigned flags_of(const std::string& json) {
    const std::vector<std::string> names{"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR", "AE"};
    const std::string flags = value_of(json, "tcp.flags");
    unsigned bits = 0;
    for (size_t i = 0; i < names.size(); ++i)
        if (flags.find("\"" + names[i] + "\"") != std::string::npos) bits |= 1U << i;
    return bits;
}

// ---- tshark

/// What tshark calls it, and what we call it. Their numbers may be hexadecimal.
struct Same {
    const char* theirs;
    std::string (*ours)(const std::string& json);
};

template <int which>
std::string sack(const std::string& json) {
    return edges_of(json, which);
}

#define OURS(path) [](const std::string& json) { return value_of(json, (path)); }
#define OURS_OR_QUOTED(path, quoted) \
    [](const std::string& json) { return value_of(json, value_of(json, (path)).empty() ? (quoted) : (path)); }

/// 1 of a right one, and 0 of a wrong one; tshark has other words than we for what it can't tell.
template <char layer>
std::string status(const std::string& json) {
    const std::string layers = layer == 'i' ? "ip" : layer == 't' ? "tcp" : "udp";
    const std::string verdict =
        layer == 'i' && value_of(json, "ip.version") == "6" ? "" : value_of(json, layers + ".checksum");
    return verdict == "right" ? "1" : verdict == "wrong" ? "0" : "";
}

std::vector<Same> same_fields() {
    return {
        {"frame.len", OURS("length")},
        {"eth.src", OURS("ethernet.source")},
        {"ip.src",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "4" ? value_of(json, "ip.source") : "";
         }},
        {"ip.dst",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "4" ? value_of(json, "ip.destination") : "";
         }},
        {"ip.ttl",
         [](const std::string& json) { return value_of(json, "ip.version") == "4" ? value_of(json, "ip.hops") : ""; }},
        {"ip.len",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "4" ? value_of(json, "ip.total_length") : "";
         }},
        {"ip.hdr_len",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "4" ? value_of(json, "ip.header_length") : "";
         }},
        {"ip.id",
         [](const std::string& json) { return value_of(json, "ip.version") == "4" ? value_of(json, "ip.id") : ""; }},
        {"ipv6.src",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "6" ? value_of(json, "ip.source") : "";
         }},
        {"ipv6.dst",
         [](const std::string& json) {
             return value_of(json, "ip.version") == "6" ? value_of(json, "ip.destination") : "";
         }},
        {"ipv6.hlim",
         [](const std::string& json) { return value_of(json, "ip.version") == "6" ? value_of(json, "ip.hops") : ""; }},
        {"tcp.srcport", OURS("tcp.source_port")},
        {"tcp.dstport", OURS("tcp.destination_port")},
        {"tcp.flags",
         [](const std::string& json) {
             return value_of(json, "tcp.flags").empty() ? "" : std::to_string(flags_of(json));
         }},
        {"tcp.seq_raw", OURS("tcp.seq")},
        {"tcp.ack_raw", OURS("tcp.ack")},
        {"tcp.seq", OURS("tcp.relative_seq")},
        {"tcp.ack", OURS("tcp.relative_ack")},
        {"tcp.hdr_len", OURS("tcp.header_length")},
        {"tcp.len",
         [](const std::string& json) {
             return value_of(json, "tcp.seq").empty() ? "" : value_of(json, "payload_length");
         }},
        {"tcp.window_size_value", OURS("tcp.window")},
        {"tcp.window_size",
         [](const std::string& json) {
             const std::string scaled = value_of(json, "tcp.scaled_window");
             return scaled == "null" ? value_of(json, "tcp.window") : scaled;
         }},
        {"tcp.options.mss_val", [](const std::string& json) { return option_of(json, "MSS", "value"); }},
        {"tcp.options.wscale.shift", [](const std::string& json) { return option_of(json, "window scale", "value"); }},
        {"tcp.options.timestamp.tsval", [](const std::string& json) { return option_of(json, "timestamps", "value"); }},
        {"tcp.options.timestamp.tsecr", [](const std::string& json) { return option_of(json, "timestamps", "echo"); }},
        {"tcp.options.sack_le", sack<0>},
        {"tcp.options.sack_re", sack<1>},
        {"udp.srcport", OURS_OR_QUOTED("udp.source_port", "icmp.about.source_port")},
        {"udp.dstport", OURS_OR_QUOTED("udp.destination_port", "icmp.about.destination_port")},
        {"icmp.type",
         [](const std::string& json) {
             return value_of(json, "icmp.version") == "4" ? value_of(json, "icmp.type") : "";
         }},
        {"icmp.code",
         [](const std::string& json) {
             return value_of(json, "icmp.version") == "4" ? value_of(json, "icmp.code") : "";
         }},
        {"icmpv6.type",
         [](const std::string& json) {
             return value_of(json, "icmp.version") == "6" ? value_of(json, "icmp.type") : "";
         }},
        {"icmpv6.code",
         [](const std::string& json) {
             return value_of(json, "icmp.version") == "6" ? value_of(json, "icmp.code") : "";
         }},
        {"ip.checksum.status", status<'i'>},
        {"tcp.checksum.status", status<'t'>},
        {"udp.checksum.status", status<'u'>},
        {"arp.opcode", OURS("arp.operation")},
        {"arp.dst.proto_ipv4", OURS("arp.target_ip")},
    };
}

/// Numbers by their value, since tshark writes some in hexadecimal; lists without what is relative to a connection.
std::string plain(const std::string& value) {
    return value.rfind("0x", 0) == 0 ? std::to_string(std::stoull(value, nullptr, 16)) : value;
}

std::vector<std::string> columns_of(const std::string& line) {
    std::vector<std::string> columns;
    for (size_t begin = 0; begin <= line.size();) {
        const size_t end = std::min(line.find('\t', begin), line.size());
        columns.push_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return columns;
}

// ---- Traffic

/// "40000" of "listening on 127.0.0.1:40000".
std::string port_in(const std::string& line) { return line.substr(line.rfind(':') + 1); }

/// A conversation over TCP and one over UDP, and a port of each where nobody is.
void make_traffic(const Network& network, const std::string& host) {
    std::string nobody;
    {
        Process server(network.inside({program("tcp/echo_server"), "--host", host, "--port", "0"}));
        const std::string port = port_in(server.expect_line(Stream::out, "listening on "));
        CHECK(run(network.inside({program("tcp/echo_client"), "--host", host, "--port", port}), "hello\n안녕\n") ==
              "hello\n안녕\n");
        server.signal(SIGTERM);
        server.expect_exit(0);
        nobody = port;
    }
    run(network.inside({program("tcp/echo_client"), "--host", host, "--port", nobody}), "", 1);
    Process server(network.inside({program("udp/echo_server"), "--host", host, "--port", "0"}));
    const std::string port = port_in(server.expect_line(Stream::out, "listening on "));
    CHECK(run(network.inside({program("udp/echo_client"), "--host", host, "--port", port}), "hello\n") == "hello\n");
    server.signal(SIGTERM);
    server.expect_exit(0);
    run(network.inside({program("udp/echo_client"), "--host", host, "--port", port, "--timeout", "50", "--tries", "1"}),
        "hello\n", 1);
}

std::vector<std::string> read_as_json(const std::string& file) {
    return lines_of(run({sniffer, "--read", file, "--json"}));
}

/// All packets of ours for tests that need no live ones.
std::string handmade_file() {
    std::string file = pcap_header();
    for (const std::string& packet : handmade())
        file += record(packet);
    return file;
}

}  // namespace

TEST_CASE("sniffer: what it captures is what tshark sees in it", "[programs][tcp][sniffer]") {
    if (!has_tools() || !has_tool("tshark")) return;
    Network network;
    if (!network.is_there()) return;
    const TempDir directory;
    const std::string ours = directory / "ours.pcap", theirs = directory / "theirs.pcap";
    const std::string of_tcpdump = directory / "tcpdump.pcap";

    Process capture(network.inside({sniffer, "--pcap", ours, "--json"}));
    capture.expect_line(Stream::err, "capturing on lo");
    make_traffic(network, "127.0.0.1");
    make_traffic(network, "::1");
    capture.signal(SIGINT);
    capture.expect_exit(0);
    std::vector<std::string> live = lines_of(capture.out());
    CHECK_THAT(capture.err(),
               ContainsSubstring(fmt::format("{0} packets shown, {0} seen, 0 dropped by the kernel\n", live.size())));
    REQUIRE(live.size() > 30);
    REQUIRE(packets_in(read_file(ours)).size() == live.size());
    // Each packet came once, and was left to no network card to finish, but for those that are no answers to a call.
    CHECK(lines_with(capture.out(), "\"checksum\":\"partial\"").size() > 20);
    CHECK(lines_with(capture.out(), "\"checksum\":\"wrong\"").empty());

    std::string file = read_file(ours);
    for (const std::string& packet : handmade())
        file += record(packet);
    write_file(ours, file);
    const std::vector<std::string> json = read_as_json(ours);
    REQUIRE(json.size() == live.size() + handmade().size());
    CHECK(std::equal(live.begin(), live.end(), json.begin(), [](const std::string& a, const std::string& b) {
        return value_of(a, "summary") == value_of(b, "summary") && value_of(a, "time") == value_of(b, "time");
    }));

    // tshark takes seconds to start: one time for both.
    Process::Command command{"tshark",
                             "-n",
                             "-r",
                             ours,
                             "-w",
                             theirs,
                             "-F",
                             "nsecpcap",
                             "-P",
                             "-T",
                             "fields",
                             "-E",
                             "occurrence=f",
                             "-o",
                             "ip.defragment:FALSE",
                             "-o",
                             "ipv6.defragment:FALSE",
                             "-o",
                             "tcp.relative_sequence_numbers:TRUE"};
    for (const char* layer : {"ip", "tcp", "udp"})
        command.insert(command.end(), {"-o", fmt::format("{}.check_checksum:TRUE", layer)});
    for (const Same& same : same_fields())
        command.insert(command.end(), {"-e", same.theirs});
    const std::vector<std::string> rows = lines_of(run(command));
    REQUIRE(rows.size() == json.size());
    std::map<std::string, int> compared;
    for (size_t i = 0; i < rows.size(); ++i) {
        const std::vector<std::string> columns = columns_of(rows[i]);
        const std::vector<Same> fields = same_fields();
        REQUIRE(columns.size() == fields.size());
        for (size_t j = 0; j < fields.size(); ++j) {
            const std::string name = fields[j].theirs;
            std::string mine = fields[j].ours(json[i]);
            if (name.rfind("tcp.options.sack", 0) == 0) {  // tshark makes them relative, and gives the first
                if (mine.empty()) continue;
                mine = std::to_string(std::stoul(mine) - (std::stoul(value_of(json[i], "tcp.ack")) -
                                                          std::stoul(value_of(json[i], "tcp.relative_ack"))));
            }
            if (name.ends_with(".checksum.status") && mine.empty()) continue;
            INFO(json[i]);
            INFO(name);
            CHECK(mine == plain(columns[j]));
            compared[name] += mine.empty() ? 0 : 1;
        }
    }
    for (const Same& same : same_fields()) {
        INFO("was in no packet: " << same.theirs);
        CHECK(compared[same.theirs] > 0);
    }
    // What tshark has written, read by us; and what tcpdump has, with its microseconds.
    CHECK((read_as_json(theirs) == json));
    if (!has_tool("tcpdump")) return;
    run({"tcpdump", "-r", ours, "-w", of_tcpdump});
    CHECK(read_file(of_tcpdump).substr(0, 4) == stored(0xa1b2c3d4));
    const std::vector<std::string> again = read_as_json(of_tcpdump);
    CHECK(std::equal(
        json.begin(), json.end(), again.begin(), again.end(),
        [](const std::string& a, const std::string& b) { return value_of(a, "summary") == value_of(b, "summary"); }));
}

TEST_CASE("sniffer: packets made by hand, as lines", "[programs][tcp][sniffer]") {
    if (!is_built()) return;
    const TempDir directory;
    write_file(directory / "file", handmade_file());
    std::vector<std::string> lines = lines_of(run({sniffer, "--read", directory / "file"}));
    for (std::string& line : lines)
        line = line.substr(15);
    const std::string forth = "192.0.2.1:1234 > 198.51.100.2:80  ", back = "198.51.100.2:80 > 192.0.2.1:1234  ";
    const std::string datagram = "192.0.2.1:1234 > 198.51.100.2:5678  UDP  ";
    const std::string six = "[2001:db8::1]:1234 > [2001:db8::2]:";
    const std::vector<std::string> expected{
        forth + "SYN  seq 0  window 500  <MSS 1460, window scale 5>",
        back + "SYN, ACK  seq 0  ack 1  window 500  <MSS 1460, window scale 7>",
        forth + "ACK  seq 1  ack 1  window 16000",
        forth + "ACK  seq 1  ack 1  window 16000  <SACK 1000-2000 3000-4000>",
        forth + "FIN, RST, PSH, ACK, URG, ECE, CWR, AE  seq 1  ack 1  <option 253, option 19>  9 bytes \"all flags\"",
        forth + "PSH, ACK  seq 1  ack 1  window 16000  4 bytes \"datb\"  [wrong TCP checksum]",
        forth + "SYN  seq 0  window 500  <MSS 1460, window scale 5>",
        back + "SYN, ACK  seq 0  ack 1  window 500  <MSS 1460>",
        forth + "ACK  seq 1  ack 1  window 500",
        "VLAN 5  " + forth + "PSH, ACK  seq 1  ack 1  window 500  6 bytes \"tagged\"",
        "VLAN 7  VLAN 8  " + datagram + "12 bytes \"tagged twice\"",
        "ARP  192.0.2.1 (02:00:00:00:00:0a) asks who has 198.51.100.2",
        datagram + "16 bytes \"xxxxxxxxxxxxxxxx\"  [fragment of id 4660 at byte 0, more come]",
        "192.0.2.1 > 198.51.100.2  UDP  24 bytes  [fragment of id 4660 at byte 24, the last]",
        datagram + "12 bytes \"router alert\"",
        "192.0.2.1 > 198.51.100.2  ICMP  echo request  id 4660  number 5",
        six + "80  PSH, ACK  seq 1  ack 1  window 500?  3 bytes \"six\"",
        six + "80  ACK  seq 4  ack 1  window 500?",
        six + "5678  UDP  16 bytes \"yyyyyyyyyyyyyyyy\"  [fragment of id 305419896 at byte 0, more come]",
        "2001:db8::1 > 2001:db8::2  UDP  24 bytes  [fragment of id 305419896 at byte 24, the last]",
        six + "5678  UDP  3 bytes \"six\"",
        "type 0x88cc  18 bytes",
    };
    CHECK(lines == expected);

    const std::string of_port = run({sniffer, "--read", directory / "file", "--port", "80", "--count", "3"});
    CHECK(lines_of(of_port).size() == 3);
    const std::string copy = directory / "copy";
    CHECK(count_of(run({sniffer, "--read", directory / "file", "--port", "5678", "--pcap", copy}), "\n") == 5);
    CHECK(packets_in(read_file(copy)).size() == 5);
    CHECK(count_of(run({sniffer, "--read", copy}), "UDP") == 5);
}

TEST_CASE("sniffer: other orders of bytes, units of time and kinds of links", "[programs][tcp][sniffer]") {
    if (!is_built()) return;
    const TempDir directory;
    const std::string file = directory / "file";
    const std::string packet = ipv4(17, udp("hello"));
    const auto seen = [&](const std::string& bytes) {
        write_file(file, bytes);
        return run({sniffer, "--read", file, "--json"});
    };
    const std::string line = R"("summary":"192.0.2.1:1234 > 198.51.100.2:5678  UDP  5 bytes \"hello\"")";
    CHECK_THAT(seen(pcap_header(0xa1b23c4d) + record(ethernet(0x0800, packet), 0, 123'456'789)),
               ContainsSubstring("\"time\":1700000000123456789,") && ContainsSubstring(line));
    CHECK_THAT(seen(pcap_header(0xa1b2c3d4) + record(ethernet(0x0800, packet), 0, 123'456)),
               ContainsSubstring("\"time\":1700000000123456000,") && ContainsSubstring(line));
    std::string swapped;  // every number with its bytes the other way round
    for (const std::uint32_t number : {0xa1b23c4dU, 2U << 16U | 4U, 0U, 0U, 262'144U, 1U, 1'700'000'000U, 7U})
        swapped += stored(__builtin_bswap32(number));
    const std::string whole = ethernet(0x0800, packet);
    for (int i = 0; i < 2; ++i)
        swapped += stored(__builtin_bswap32(static_cast<std::uint32_t>(whole.size())));
    CHECK_THAT(seen(swapped + whole), ContainsSubstring("\"time\":1700000000000000007,") && ContainsSubstring(line));

    const std::string cooked = std::string(14, '\0') + u16(0x0800) + packet;
    const std::string cooked2 = u16(0x0800) + std::string(18, '\0') + packet;
    const std::map<std::uint32_t, std::string> links{
        {0, stored(2) + packet}, {101, packet}, {228, packet}, {113, cooked}, {276, cooked2}};
    for (const auto& [number, bytes] : links) {
        INFO("link type " << number);
        CHECK_THAT(seen(pcap_header(0xa1b23c4d, number) + record(bytes)), ContainsSubstring(line));
    }
}

TEST_CASE("sniffer: files that are not what they should be", "[programs][tcp][sniffer]") {
    if (!is_built()) return;
    const TempDir directory;
    const std::string file = directory / "file";
    const auto refusal = [&](const std::string& bytes, size_t shown = 0) {
        write_file(file, bytes);
        Process process({sniffer, "--read", file});
        process.expect_exit(1);
        CHECK(count_of(process.out(), "\n") == shown);
        CHECK(count_of(process.err(), "\n") == 1);
        return process.err();
    };
    const std::string one = record(ethernet(0x0806, ""));
    CHECK_THAT(refusal(""), ContainsSubstring("this is no pcap file"));
    CHECK_THAT(refusal("hello"), ContainsSubstring("this is no pcap file"));
    CHECK_THAT(refusal(pcap_header().substr(0, 20)), ContainsSubstring("this is no pcap file"));
    CHECK_THAT(refusal(stored(0x0a0d0d0a) + std::string(40, '\0')),
               ContainsSubstring("this is pcapng; make a pcap of it"));
    CHECK_THAT(refusal(pcap_header(0xa1b23c4d, 147)), ContainsSubstring("link type 147 is not known here"));
    CHECK_THAT(refusal(pcap_header() + one + one.substr(0, 10), 1),
               ContainsSubstring("in the middle of a packet's header"));
    CHECK_THAT(refusal(pcap_header() + one + one.substr(0, 20), 1), ContainsSubstring("in the middle of a packet"));
    CHECK_THAT(refusal(pcap_header() + one + stored(0) + stored(0) + stored(0xFFFFFFFF) + stored(60), 1),
               ContainsSubstring("a packet of 4294967295 bytes: this file is broken"));
    Process missing({sniffer, "--read", directory / "missing"});
    missing.expect_exit(1);
    CHECK_THAT(missing.err(), ContainsSubstring("(ENOENT)"));

    write_file(file, pcap_header() + one);
    Process same({sniffer, "--read", file, "--pcap", file});
    same.expect_exit(2);
    CHECK(read_file(file) == pcap_header() + one);
    Process both({sniffer, "--read", file, "--hex", "--json"});
    both.expect_exit(2);
}

TEST_CASE("sniffer: packets cut short at every byte, and packets that lie", "[programs][tcp][sniffer]") {
    if (!is_built()) return;
    const TempDir directory;
    std::vector<std::string> packets = handmade();
    for (const std::string& packet : packets_in(read_file("tcp/captures/hello.pcap")))
        packets.push_back(packet);
    std::string file = pcap_header();
    size_t count = 0;
    for (const std::string& packet : packets) {
        for (size_t length = 0; length <= packet.size(); ++length) {
            file += record(packet.substr(0, length), packet.size());  // no more was captured
            file += record(packet.substr(0, length));                 // no more was sent
            count += 2;
        }
    }
    std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same every time
    for (int i = 0; i < 2000; ++i) {
        std::string packet = packets[random() % packets.size()];
        for (int changes = 0; changes < 3; ++changes)
            packet[random() % packet.size()] = static_cast<char>(random());
        packet.resize(random() % 4 == 0 ? random() % packet.size() : packet.size());
        file += record(packet);
        ++count;
    }
    const std::string path = directory / "file";
    write_file(path, file);
    const std::string lines = run({sniffer, "--read", path});
    CHECK(count_of(lines, "\n") == count);
    CHECK(std::none_of(lines.begin(), lines.end(),
                       [](char c) { return (c >= 0 && c < 0x20 && c != '\n') || c == 0x7F; }));
    const std::string json = run({sniffer, "--read", path, "--json"});
    CHECK(count_of(json, "\n") == count);
    CHECK(count_of(run({sniffer, "--read", path, "--hex"}), "\n\n") == count);
    if (has_tool("python3")) {
        const std::string check = "import json, sys; print(sum(1 for line in sys.stdin if json.loads(line)))";
        CHECK(run({"python3", "-c", check}, json) == fmt::format("{}\n", count));
    }

    // Some of the lies by name.
    const auto told = [&](const std::string& packet) {
        write_file(path, pcap_header() + record(packet));
        return run({sniffer, "--read", path});
    };
    const std::string honest = ethernet(0x0800, ipv4(6, tcp(1, 1, 0x10, "", "data")));
    const auto with_byte = [&](size_t at, unsigned value) {
        std::string packet = honest;
        packet.at(at) = static_cast<char>(value);
        return packet;
    };
    CHECK_THAT(told(with_byte(14, 0x44)), ContainsSubstring("[IPv4 header of 16 bytes, and 20 is the least]"));
    CHECK_THAT(told(with_byte(16, 0x40)), ContainsSubstring("[IP says 16428 bytes, and there are 44]"));
    CHECK_THAT(told(with_byte(17, 0x05)), ContainsSubstring("[IP total length 5 is less than the header's 20]"));
    CHECK_THAT(told(with_byte(46, 0x40)), ContainsSubstring("[TCP header of 16 bytes in a segment of 24]"));
    CHECK_THAT(told(with_byte(46, 0xF0)), ContainsSubstring("[TCP header of 60 bytes in a segment of 24]"));
    CHECK_THAT(told(honest.substr(0, 40)), ContainsSubstring("[TCP is cut off: it ends at byte 40]"));
    CHECK_THAT(told(ethernet(0x0800, ipv4(6, tcp(1, 1, 0x10, bytes_of("08 0a 00 01"))))),
               ContainsSubstring("[TCP option 8 at byte 54 does not fit into the header]"));
    CHECK_THAT(told(ethernet(0x0800, ipv4(17, u16(1) + u16(2) + u16(900) + u16(0) + "x"))),
               ContainsSubstring("[UDP says 900 bytes, and IP 9]"));
    std::string endless;
    for (int i = 0; i < 40; ++i)
        endless += bytes_of("3c 00 01 04 00 00 00 00");
    CHECK_THAT(told(ethernet(0x86dd, ipv6(60, endless))), ContainsSubstring("[no end to the IPv6 extension headers]"));
}

TEST_CASE("sniffer: byte by byte", "[programs][tcp][sniffer]") {
    if (!is_built()) return;
    const TempDir directory;
    write_file(directory / "file", handmade_file());
    for (const std::string& file : {std::string("tcp/captures/hello.pcap"), directory / "file"}) {
        // Each byte of a packet is shown once, in its order: as many as the packet has.
        const std::vector<std::string> packets = packets_in(read_file(file));
        size_t packet = 0;
        std::string bytes;
        for (const std::string& line : lines_of(run({sniffer, "--read", file, "--hex"}))) {
            INFO(file << ", packet " << packet + 1);
            if (line.empty()) {
                REQUIRE(packet < packets.size());
                CHECK((bytes == packets[packet++]));
                bytes.clear();
            } else if (line.size() > 10 && line.compare(0, 4, "    ") == 0 && line[7] >= '0' && line[7] <= '9') {
                CHECK(std::stoul(line.substr(4, 4)) == bytes.size());
                bytes += bytes_of(line.substr(10, 23));
            }
        }
        CHECK(packet == packets.size());
    }
}

TEST_CASE("sniffer: without the right, and where there is nothing to capture", "[programs][tcp][sniffer]") {
    if (!has_tools()) return;
    Network network;
    if (!network.is_there()) return;
    // Root of a user namespace is nobody in the network that he came from.
    Process process({"unshare", "-Ur", sniffer});
    process.expect_exit(1);
    CHECK_THAT(process.err(),
               ContainsSubstring("(EPERM)") && ContainsSubstring("unshare -Urn sh -c 'ip link set lo up;"));
    CHECK(count_of(process.err(), "\n") == 1);

    Process down({"unshare", "-Urn", sniffer});
    down.expect_exit(1);
    CHECK(down.err() == "lo is down; run: ip link set lo up\n");
    Process missing(network.inside({sniffer, "--interface", "eth\x1b[2J"}));
    missing.expect_exit(1);
    CHECK(missing.err() == "there is no interface eth\\x1b[2J; ip link shows those that are\n");
    Process too_long(network.inside({sniffer, "--interface", std::string(40, 'x')}));
    too_long.expect_exit(2);
}

TEST_CASE("sniffer: ends when it has enough, and at Ctrl-C", "[programs][tcp][sniffer]") {
    if (!has_tools()) return;
    Network network;
    if (!network.is_there()) return;
    const TempDir directory;
    const std::string file = directory / "file";
    Process all(network.inside({sniffer, "--pcap", file}));
    Process some(network.inside({sniffer, "--count", "4", "--json"}));
    for (Process* each : {&all, &some})
        each->expect_line(Stream::err, "capturing on lo; Ctrl-C ends it");
    Process server(network.inside({program("tcp/echo_server"), "--port", "0"}));
    const std::string port = port_in(server.expect_line(Stream::out, "listening on "));
    Process filtered(network.inside({sniffer, "--port", port}));
    filtered.expect_line(Stream::err, "capturing on lo");
    run(network.inside({program("udp/echo_client"), "--port", "9", "--timeout", "10", "--tries", "1"}), "nobody\n", 1);
    const std::string bytes = random_bytes(300'000);
    CHECK((run(network.inside({program("tcp/echo_client"), "--port", port}), bytes) == bytes));
    some.expect_exit(0);
    CHECK(lines_of(some.out()).size() == 4);
    for (Process* each : {&all, &filtered}) {
        each->signal(each == &all ? SIGINT : SIGTERM);
        each->expect_exit(0);
        CHECK_THAT(each->err(), ContainsSubstring(" dropped by the kernel\n"));
    }
    CHECK(packets_in(read_file(file)).size() == lines_of(all.out()).size());
    CHECK_THAT(all.out(), ContainsSubstring("port unreachable  about UDP") && ContainsSubstring("nobody"));
    CHECK(lines_with(filtered.out(), ":" + port).size() == lines_of(filtered.out()).size());
}
