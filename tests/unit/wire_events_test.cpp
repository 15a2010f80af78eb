// What scripts/wire makes of logs and packets: one list, in the order of one clock.

#include "scripts/wire_events.hpp"
#include "tcp/sniffer_pcap.hpp"
#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <fmt/core.h>

using namespace diagram;
using namespace wire::literals;

namespace {

std::string line(int time, const std::string& kind, const std::string& text, int process = 7, int thread = 0,
                 const std::string& place = "tcp/x.cpp:1") {
    return fmt::format("{}\t{}\t{}\t{}\t{}\t{}\n", time, process, thread, kind, place, text);
}

std::vector<sniffer::Packet> packets_of(const std::string& path) {
    sniffer::PcapReader file(path);
    std::vector<sniffer::Packet> packets;
    while (auto packet = file.next())
        packets.push_back(std::move(*packet));
    return packets;
}

/// "client SYN seq 0 win 65495" of what a Traffic makes of each, and "" of what it leaves out.
std::vector<std::string> told(Traffic& traffic, const std::vector<sniffer::Packet>& packets) {
    std::vector<std::string> all;
    for (const sniffer::Packet& packet : packets) {
        const auto event = traffic.take(packet);
        std::string text;
        if (event) {
            text = fmt::format("{} {}", event->side == Side::client ? "client" : "server", event->label);
            for (const std::string& detail : event->details)
                text += " | " + detail;
        }
        all.push_back(text);
    }
    return all;
}

std::vector<std::string> labels(const Events& events) {
    std::vector<std::string> all;
    all.reserve(events.size());
    for (const Event& event : events)
        all.push_back(event.label);
    return all;
}

const std::string capture = "tcp/captures/hello.pcap";

}  // namespace

TEST_CASE("wire: the lines of a log, and what is none", "[unit][wire]") {
    const std::string log = line(10, "call", "accept(listener, nullptr, nullptr)") + "nonsense\n" +
                            "x\t1\t2\tcall\ta\tb\n" + line(11, "result", "= 4  (blocked 1.03 s)") +
                            line(11, "state", "fd 4  new TCP socket: ESTABLISHED") +
                            line(12, "call", "::recv(a,\tb)", 7, 2) + line(13, "call", "send(c)", 9) +
                            line(14, "sung", "la") + "15\t7\t0\tcall\tcut off";
    const Events events = read_log(log, Side::server);
    REQUIRE(events.size() == 5);
    CHECK(events[0].kind == Kind::call);
    CHECK(events[0].time == 10);
    CHECK(events[0].name == "accept");
    CHECK(events[0].who.empty());
    CHECK(events[0].place == "tcp/x.cpp:1");
    CHECK(events[1].kind == Kind::result);
    CHECK(events[1].name == "accept");
    CHECK(events[2].kind == Kind::state);
    CHECK(events[3].who == "thread 2");
    CHECK(events[3].name == "recv");
    CHECK(events[3].text == "::recv(a,\\tb)");
    CHECK(read_log(line(1, "call", R"(send(a, "\n", 1))"), Side::client)[0].text == R"(send(a, "\n", 1))");
    CHECK(read_log(line(1, "state", "fd 3  bound  /\x1b[2J"), Side::client)[0].text == "fd 3  bound  /\\x1b[2J");
    CHECK(events[4].who == "child 1");
    CHECK(read_log("", Side::client).empty());
    CHECK(brief_result(events[1].text) == "= 4");
    CHECK(brief_result("= -1 ECONNREFUSED (Connection refused)  (blocked 2 ms)") == "= -1 ECONNREFUSED");
    CHECK(brief_result("= 0") == "= 0");
}

TEST_CASE("wire: both logs become one, and each result finds its call", "[unit][wire]") {
    const Events server =
        read_log(line(5, "call", "accept(l)") + line(30, "result", "= 4") +
                     line(30, "state", "fd 4  new TCP socket: ESTABLISHED") + line(31, "call", "close(l)"),
                 Side::server);
    const Events client = read_log(line(10, "call", "connect(c)", 8) + line(20, "result", "= 0", 8), Side::client);
    const Events all = weave({server, client});
    REQUIRE(all.size() == 6);
    std::vector<std::string> texts;
    for (const Event& event : all)
        texts.push_back(event.text);
    CHECK((texts == std::vector<std::string>{"accept(l)", "connect(c)", "= 0", "= 4",
                                             "fd 4  new TCP socket: ESTABLISHED", "close(l)"}));
    CHECK(all[0].partner == 3);
    CHECK(all[3].partner == 0);
    CHECK(all[1].partner == 2);
    CHECK(all[4].partner == 3);
    CHECK(all[5].partner == nothing);
}

TEST_CASE("wire: calls under way in several threads and children keep their results apart", "[unit][wire]") {
    const Events all = weave(
        {read_log(line(1, "call", "accept(a)") + line(2, "call", "recv(b)", 7, 1) + line(3, "call", "recv(c)", 9) +
                      line(4, "result", "= 1", 7, 1) + line(5, "result", "= 2", 9) + line(6, "result", "= 3"),
                  Side::server)});
    CHECK(all[0].partner == 5);
    CHECK(all[1].partner == 3);
    CHECK(all[2].partner == 4);
}

TEST_CASE("wire: segments, whose they are and what is said of them", "[unit][wire]") {
    std::vector<sniffer::Packet> packets = packets_of(capture);
    REQUIRE(packets.size() == 10);
    Traffic traffic({7000, 7000});
    CHECK((told(traffic, packets) == std::vector<std::string>{
                                         "client SYN seq 0 win 65495",
                                         "server SYN,ACK seq 0 ack 1 win 65483",
                                         "client ACK seq 1 ack 1",
                                         "client PSH,ACK seq 1 len 6 ack 1 | \"hello\\n\"",
                                         "server ACK seq 1 ack 7",
                                         "server PSH,ACK seq 1 len 6 ack 7 | \"hello\\n\"",
                                         "client ACK seq 7 ack 7",
                                         "client FIN,ACK seq 7 ack 7",
                                         "server FIN,ACK seq 7 ack 8",
                                         "client ACK seq 8 ack 8",
                                     }));

    for (const std::size_t twice : {0U, 3U, 7U, 8U}) {
        Traffic fresh({7000, 7000});
        std::vector<sniffer::Packet> more = packets;
        more.insert(more.begin() + static_cast<long>(twice) + 1, packets[twice]);
        const std::vector<std::string> all = told(fresh, more);
        for (std::size_t i = 0; i < all.size(); ++i)
            CHECK((all[i].find("a retransmission") != std::string::npos) == (i == twice + 1));
    }
    Traffic of_others({9, 9});
    for (const std::string& text : told(of_others, packets))
        CHECK(text.empty());
    Traffic in_the_middle({7000, 7001});
    const auto event = in_the_middle.take(packets[0]);
    REQUIRE(event);
    CHECK(event->leg == Leg::of_server);
    CHECK(event->header.find("sequence number") != std::string::npos);
}

TEST_CASE("wire: the window where it matters", "[unit][wire]") {
    std::vector<sniffer::Packet> packets = packets_of(capture);
    constexpr std::size_t window = 14 + 20 + 14;  // behind Ethernet and IPv4
    packets[6].bytes.at(window) = packets[6].bytes.at(window + 1) = 0;
    Traffic traffic({7000, 7000});
    std::vector<std::string> labels;
    for (const sniffer::Packet& packet : packets)
        labels.push_back(traffic.take(packet)->label);
    CHECK(labels[6] == "ACK seq 7 ack 7 win 0");
    CHECK(labels[7] == "FIN,ACK seq 7 ack 7 win 65536");  // open again
    CHECK(labels[9] == "ACK seq 8 ack 8");
}

TEST_CASE("wire: every Nth segment is lost", "[unit][wire]") {
    Traffic traffic({7000, 7000}, 4);
    int count = 0;
    for (const sniffer::Packet& packet : packets_of(capture)) {
        const auto event = traffic.take(packet);
        REQUIRE(event);
        CHECK(event->dropped == (++count % 4 == 0));
        CHECK((!event->details.empty() && event->details.back() == "lost") == event->dropped);
    }
}

TEST_CASE("wire: packets cut short at every byte", "[unit][wire]") {
    const std::vector<sniffer::Packet> packets = packets_of(capture);
    for (const sniffer::Packet& whole : packets) {
        for (std::size_t length = 0; length <= whole.bytes.size(); ++length) {
            Traffic traffic({7000, 7000});
            traffic.take(packets.front());
            sniffer::Packet packet = whole;
            packet.bytes.resize(length);
            const auto event = traffic.take(packet);
            CHECK((event.has_value() || length < whole.bytes.size()));
            if (event && length < whole.bytes.size()) CHECK_FALSE(event->details.empty());
        }
    }
}

TEST_CASE("wire: HTTP and WebSocket inside segments, wherever they are cut", "[unit][wire]") {
    const std::string request = "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: WebSocket\r\n\r\n";
    const std::string frames = wire::masked(0x81, "hello") + wire::masked(0x02, std::string(200, 'x')) +
                               wire::masked(0x80, "") + wire::masked(0x88, wire::close_body(1000, "bye"));
    {
        Inside inside;
        CHECK((inside.take(request) == std::vector<std::string>{"GET /chat HTTP/1.1, Upgrade: websocket"}));
        CHECK(inside.is_websocket());
        CHECK((inside.take(frames) ==
               std::vector<std::string>{"frame: text \"hello\", masked",
                                        "frame: binary \"" + std::string(200, 'x') + "\", more follow, masked",
                                        "frame: continuation, masked", "frame: close 1000 \"bye\", masked"}));
    }
    const std::string all = request + frames;
    for (std::size_t cut = 1; cut < all.size(); ++cut) {
        INFO(cut);
        Inside inside;
        std::vector<std::string> told = inside.take(all.substr(0, cut));
        for (const std::string& text : inside.take(all.substr(cut)))
            told.push_back(text);
        for (const char* start : {"GET ", "frame: text", "frame: binary", "frame: continuation", "frame: close 1000"}) {
            // Of a Close whose code is cut off only its kind can be told.
            const std::string wanted =
                cut > all.size() - 6 && std::string(start).find("close") != std::string::npos ? "frame: close" : start;
            CHECK(std::count_if(told.begin(), told.end(),
                                [&](const std::string& text) { return text.starts_with(wanted); }) == 1);
        }
    }
    Inside refused;
    refused.take("HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\n\r\n");
    CHECK_FALSE(refused.is_websocket());
    Inside broken;
    broken.take("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n");
    CHECK((broken.take("81 7f ff ff ff ff ff ff ff ff"_hex).front() == "no frame"));
    CHECK((broken.take("more").front() == "\"more\""));
    Inside plain;
    CHECK((plain.take("\x1b[2J\xff").front() == "\"\\x1b[2J\\xff\""));
}

TEST_CASE("wire: messages, where there is no wire", "[unit][wire]") {
    const Events calls =
        read_log(line(1, "call", "socket(AF_UNIX, SOCK_STREAM, 0)") + line(2, "result", "= 3") +
                     line(2, "state", "fd 3  new Unix stream socket: unbound") + line(3, "call", "connect(c, ..)") +
                     line(4, "result", "= 0") + line(5, "call", "send(c, bytes, 6, 0)") + line(6, "result", "= 6") +
                     line(7, "call", "send(c, bytes, 6, 0)") + line(8, "result", "= -1 EPIPE (Broken pipe)") +
                     line(9, "call", "close(other)") + line(10, "result", "= 0") +
                     line(10, "state", "fd 5  listening -> closed  /path") + line(11, "call", "close(c)") +
                     line(12, "result", "= 0") + line(12, "state", "fd 3  connected -> closed  (no name) <-> /path") +
                     line(13, "call", "send(c, bytes, 6, 0)"),
                 Side::client);
    const Events messages = messages_of(calls);
    CHECK((labels(messages) == std::vector<std::string>{"connection", "6 bytes", "end"}));
    CHECK(messages[1].time == 5);

    const Events shut =
        read_log(line(1, "call", "shutdown(c, SHUT_WR)") + line(2, "result", "= 0") + line(3, "call", "close(c)") +
                     line(4, "result", "= 0") + line(4, "state", "fd 3  FIN_WAIT_2 -> closed  a <-> b"),
                 Side::client);
    CHECK((labels(messages_of(shut)) == std::vector<std::string>{"end"}));
    const Events datagrams =
        read_log(line(1, "call", "socket(AF_INET, SOCK_DGRAM, 0)") + line(2, "result", "= 3") +
                     line(2, "state", "fd 3  new UDP socket: unbound") + line(3, "call", "connect(c)") +
                     line(4, "result", "= 0") + line(5, "call", "sendto(c, bytes, 1, 0)") + line(6, "result", "= 1"),
                 Side::client);
    CHECK((labels(messages_of(datagrams)) == std::vector<std::string>{"1 byte"}));
}

TEST_CASE("wire: what a witness wrote, and what is none of it", "[unit][wire]") {
    const Handed one{.time = 17, .process = 7, .descriptor = 4, .length = 5, .bytes = std::string("a\0\n\xff", 4)};
    const Handed other{.time = 18, .process = 8, .length = 0, .bytes = "", .beside = "1 descriptor, credentials"};
    CHECK(line_of(one) == "17\t7\t4\t5\t\t61000aff\n");
    CHECK((read_handed(line_of(one) + line_of(other)) == std::vector<Handed>{one, other}));
    for (const char* nonsense :
         {"", "\n", "\t\t\t\t\t\n", "17\t7\t4\t5\t\t6\n", "17\t7\t4\t5\t\t6g\n", "x\t7\t4\t5\t\t61\n",
          "17\t7\t4\t0\t\t61\n", "17\t7\t4\t5\t\t61\t\n", "17\t7\t4\t5\t\t61"})
        CHECK(read_handed(nonsense).empty());
}

TEST_CASE("wire: messages and what is in them", "[unit][wire]") {
    const auto handed = [](int time, const std::string& bytes, int process = 7, int descriptor = 3) {
        return Handed{
            .time = time, .process = process, .descriptor = descriptor, .length = bytes.size(), .bytes = bytes};
    };
    const auto send = [](int time, const std::string& result, int process = 7) {
        return line(time, "call", "send(c, bytes, count, 0)", process) + line(time + 2, "result", result, process);
    };
    const auto details = [](const Events& messages) {
        std::vector<std::vector<std::string>> all;
        for (const Event& message : messages)
            all.push_back(message.details);
        return all;
    };
    using Details = std::vector<std::vector<std::string>>;
    const std::string upgrade = "GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", frame = wire::masked(0x81, "hello");
    const Events calls =
        read_log(send(10, "= 6") + send(20, "= 4") + send(30, "= -1 EAGAIN (Try again)") + send(40, "= 2", 9) +
                     send(50, fmt::format("= {}", upgrade.size())) + send(60, fmt::format("= {}", frame.size())) +
                     line(70, "call", "close(c)") + line(72, "result", "= 0") +
                     line(72, "state", "fd 3  connected -> closed  (no name) <-> /path") + send(80, "= 18") +
                     send(90, "= 3") + send(100, "= 0"),
                 Side::client);
    std::vector<Handed> all{handed(11, "hello\n"),
                            handed(21, "four of six"),
                            handed(31, "nobody took it"),
                            handed(41, "\x1b[", 9),
                            handed(51, upgrade, 7, 4),
                            handed(61, frame, 7, 4),
                            handed(81, "GET / HTTP/1.1\r\n\r\n"),
                            handed(99, "late"),
                            handed(101, "")};
    all.back().beside = "1 descriptor";
    CHECK(details(messages_of(calls, all)) == Details{{"\"hello\\n\""},
                                                      {"\"four\""},
                                                      {"\"\\x1b[\""},
                                                      {"GET / HTTP/1.1, Upgrade: websocket"},
                                                      {"frame: text \"hello\", masked"},
                                                      {},
                                                      {"GET / HTTP/1.1"},
                                                      {},
                                                      {"with 1 descriptor"}});
    CHECK((details(messages_of(calls)) == Details(9)));  // where there was no witness

    // Of datagrams each stands for itself, and of a long one its beginning was seen.
    const Events datagrams = read_log(
        line(1, "state", "fd 3  new UDP socket: unbound") + send(10, "= 3") + send(20, "= 2000000"), Side::client);
    std::vector<Handed> seen{handed(11, "GET"), handed(21, "xyz")};
    seen.back().length = 2'000'000;
    CHECK((details(messages_of(datagrams, seen)) == Details{{"\"GET\""}, {"\"xyz\""}}));
}

TEST_CASE("wire: what trouble did to each datagram", "[unit][wire]") {
    Events packets;
    for (const auto& [side, leg] : {std::pair{Side::client, Leg::of_client}, std::pair{Side::client, Leg::of_client},
                                    std::pair{Side::client, Leg::of_server}, std::pair{Side::server, Leg::of_server},
                                    std::pair{Side::server, Leg::of_client}}) {
        Event event;
        event.kind = Kind::packet;
        event.side = side;
        event.leg = leg;
        event.packet.emplace().udp.emplace();
        packets.push_back(event);
    }
    add_fates(packets,
              "listening on 127.0.0.1:7001\n"
              "    0.001  client -> server  #1         6 bytes  dropped\n"
              "    0.002  client -> server  #2         6 bytes  passed\n"
              "    0.003  client <- server  #1         6 bytes  passed, twice\n");
    CHECK(packets[0].dropped);
    CHECK((packets[0].details == std::vector<std::string>{"dropped here"}));
    CHECK_FALSE(packets[1].dropped);
    CHECK(packets[1].details.empty());
    CHECK((packets[3].details == std::vector<std::string>{"passed, twice"}));
    CHECK(packets[2].details.empty());
    CHECK(packets[4].details.empty());
}
