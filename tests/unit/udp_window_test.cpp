// udp/window.hpp and udp/transfer.hpp without sockets: a network in memory that loses, doubles, reorders and damages,
// by seeds, with a clock that only this test moves. Whatever it does, the pieces arrive in order, once each, and it
// ends.

#include "udp/window.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"

#include <deque>
#include <map>
#include <random>
#include <string>
#include <vector>

using namespace std::string_literals;
using namespace std::chrono_literals;
using namespace transfer;

namespace {

struct Network {
    int drop, duplicate, reorder, corrupt;  // percent
    int delay = 5;                          // milliseconds
};

struct Outcome {
    std::string received;
    bool finished = false;
    std::uint64_t again = 0, timeouts = 0;
    std::size_t most_kept = 0;
    double seconds = 0;
};

/// Sends a text in pieces of one byte through a network; gives up after so many seconds of its own time.
Outcome send_through(const Network& network, unsigned seed, const std::string& text, std::uint32_t first_number,
                     double patience = 600) {
    std::mt19937 random(seed);
    const auto percent = [&](int chance) { return static_cast<int>(random() % 100) < chance; };
    struct Flying {
        bool to_receiver;
        std::string bytes;
    };
    std::multimap<Time, Flying> flying;
    Time now{};
    const auto put = [&](bool to_receiver, std::string bytes) {
        if (percent(network.drop)) return;
        if (percent(network.corrupt)) bytes[random() % bytes.size()] ^= static_cast<char>(1U << random() % 8);
        Time due = now + std::chrono::milliseconds(network.delay);
        if (percent(network.reorder)) due += std::chrono::milliseconds(random() % 50);
        if (percent(network.duplicate)) flying.emplace(due + 3ms, Flying{to_receiver, bytes});
        flying.emplace(due, Flying{to_receiver, std::move(bytes)});
    };

    Outcome outcome;
    WindowSender sender(7, first_number, text.size(), [&](std::uint64_t i) { return text.substr(i, 1); });
    std::optional<WindowReceiver> receiver;
    while (!sender.finished() && now - Time{} < Duration(patience)) {
        while (const auto datagram = sender.next(now))
            put(true, *datagram);
        const auto deadline = sender.deadline();
        if (flying.empty() || (deadline && *deadline <= flying.begin()->first)) {
            REQUIRE(deadline);
            now = *deadline;
            sender.expire(now);
            continue;
        }
        now = flying.begin()->first;
        const Flying next = flying.extract(flying.begin()).mapped();
        const auto packet = parse(next.bytes);
        if (!packet) continue;
        if (!next.to_receiver) {
            sender.receive(*packet, now);
            continue;
        }
        if (!receiver && (packet->flags & first_flag) != 0) {
            receiver.emplace(*packet, [&](std::string_view piece, bool is_first, bool is_last) {
                if (is_first != outcome.received.empty() || outcome.finished) throw std::runtime_error("out of order");
                outcome.received += piece;
                outcome.finished = is_last;
            });
        }
        if (!receiver) continue;
        if (const auto ack = receiver->receive(*packet, next.bytes.size() + 200)) put(false, *ack);
        outcome.most_kept = std::max(outcome.most_kept, receiver->kept());
    }
    outcome.again = sender.again();
    outcome.timeouts = sender.all_timeouts();
    outcome.seconds = Duration(now - Time{}).count();
    return outcome;
}

}  // namespace

TEST_CASE("window: a good network: nothing is sent twice", "[unit][udp][window]") {
    const std::string text = random_bytes(5000);
    const Outcome outcome = send_through({0, 0, 0, 0}, 1, text, 0);
    CHECK(outcome.received == text);
    CHECK(outcome.finished);
    CHECK(outcome.again == 0);
    CHECK(outcome.timeouts == 0);
    // With one at a time it would be 50 seconds.
    CHECK(outcome.seconds < 1);
}

TEST_CASE("window: hundreds of bad networks", "[unit][udp][window]") {
    const std::string text = random_bytes(300);
    const Network network = GENERATE(Network{30, 10, 20, 1}, Network{0, 0, 100, 0}, Network{50, 0, 0, 0},
                                     Network{0, 100, 0, 0}, Network{10, 50, 50, 10}, Network{1, 0, 0, 0, 100});
    for (unsigned seed = 0; seed < 100; ++seed) {
        const Outcome outcome = send_through(network, seed, text, seed % 2 == 0 ? seed : 0xFFFFFF80U);
        INFO("seed " << seed);
        REQUIRE(outcome.finished);
        REQUIRE(outcome.received == text);
        REQUIRE(outcome.most_kept <= most_kept);
    }
}

TEST_CASE("window: numbers wrap", "[unit][udp][window]") {
    const std::string text = random_bytes(2000);
    for (const std::uint32_t first : {0xFFFFFFFFU, 0xFFFFFFF0U, 0x7FFFFFFFU, 0x80000000U, 0U}) {
        CHECK(send_through({10, 5, 10, 0}, 3, text, first).received == text);
        CHECK(send_through({0, 0, 0, 0}, 3, "x", first).received == "x");
    }
}

TEST_CASE("window: one is lost, three that follow tell of it, and no time-out is needed", "[unit][udp][window]") {
    Time now{};
    WindowSender fresh(7, 100, 20, [](std::uint64_t i) { return std::to_string(i); });
    std::vector<std::string> sent{*fresh.next(now)};
    CHECK_FALSE(fresh.next(now));  // nothing before the first has arrived
    fresh.receive({Kind::ack, 0, 256, 7, 101, parse(sent[0])->stamp, {}}, now += 1ms);
    while (const auto datagram = fresh.next(now))
        sent.push_back(*datagram);
    REQUIRE(sent.size() == 12);  // a window of 10 has become one of 11
    // Piece 1 is lost; 2, 3 and 4 arrive.
    for (std::uint32_t i = 2; i <= 4; ++i) {
        CHECK(fresh.again() == 0);
        const std::string range = FieldWriter().u32(102).u32(101 + i).str();
        fresh.receive({Kind::ack, 0, 256, 7, 101, parse(sent[i])->stamp, range}, now += 1ms);
        while (const auto datagram = fresh.next(now))
            sent.push_back(*datagram);
    }
    CHECK(fresh.again() == 1);
    CHECK(fresh.all_timeouts() == 0);
    CHECK(fresh.cwnd() == Rules{}.least_window);
}

TEST_CASE("window: acknowledgements that come again let nothing be sent", "[unit][udp][window]") {
    Time now{};
    WindowSender sender(7, 100, 50, [](std::uint64_t) { return "x"s; });
    const auto send_all = [&] {
        std::vector<Packet> sent;
        while (const auto datagram = sender.next(now)) {
            sent.push_back(*parse(*datagram));
            sent.back().payload = {};
        }
        return sent;
    };
    const Packet first{Kind::ack, 0, 64, 7, 101, send_all().at(0).stamp, {}};
    sender.receive(first, now += 10ms);
    const auto sent = send_all();
    REQUIRE(sent.size() == 11);
    // One that tells of a loss, whose piece is sent once.
    const std::string range = FieldWriter().u32(102).u32(105).str();
    sender.receive({Kind::ack, 0, 64, 7, 101, sent[1].stamp, range}, now += 10ms);
    sender.receive({Kind::ack, 0, 64, 7, 101, sent[2].stamp, range}, now);
    const Packet tells{Kind::ack, 0, 64, 7, 101, sent[3].stamp, range};
    sender.receive(tells, now);
    CHECK(send_all().at(0).number == 101);
    const auto deadline = sender.deadline();
    const double cwnd = sender.cwnd(), srtt = sender.srtt();
    for (int i = 0; i < 1000; ++i) {
        sender.receive(i % 2 == 0 ? first : tells, now += 10us);
        REQUIRE_FALSE(sender.next(now));
    }
    CHECK(sender.again() == 1);
    CHECK(sender.cwnd() == cwnd);
    CHECK(sender.srtt() == srtt);
    CHECK(sender.deadline() == deadline);  // nor do they keep a time-out from coming
}

TEST_CASE("window: the retransmission time-out", "[unit][udp][window]") {
    // RFC 6298: 1 s before anything was measured; after one round trip of 100 ms, 100 + 4 * 50 ms.
    Time now{};
    WindowSender sender(7, 0, 3, [](std::uint64_t) { return "x"s; });
    const auto first = sender.next(now);
    REQUIRE(first);
    CHECK(sender.rto().count() == Approx(1));
    CHECK(*sender.deadline() == now + 1s);
    sender.expire(now += 1s);
    CHECK(sender.rto().count() == Approx(2));  // twice as long after each
    sender.expire(now += 2s);
    CHECK(sender.rto().count() == Approx(4));
    sender.expire(now += 4s);
    CHECK(sender.rto().count() == Approx(4));  // and no longer
    const auto again = sender.next(now);
    REQUIRE(again);
    sender.receive({Kind::ack, 0, 256, 7, 1, parse(*again)->stamp, {}}, now += 100ms);
    CHECK(sender.srtt() == Approx(0.1));
    CHECK(sender.rto().count() == Approx(0.3));
    // The next of 200 ms: of the variation a quarter, of the round trip an eighth is new.
    const auto next = sender.next(now);
    REQUIRE(next);
    sender.receive({Kind::ack, 0, 256, 7, 2, parse(*next)->stamp, {}}, now += 200ms);
    CHECK(sender.srtt() == Approx(0.875 * 0.1 + 0.125 * 0.2));
    CHECK(sender.rto().count() == Approx(0.1125 + 4 * (0.75 * 0.05 + 0.25 * 0.1)));
}

TEST_CASE("window: two that are lost at a time halve it once", "[unit][udp][window]") {
    Time now{};
    WindowSender sender(7, 0, 50, [](std::uint64_t) { return "x"s; }, {.least_window = 1});
    sender.receive({Kind::ack, 0, 64, 7, 1, parse(*sender.next(now))->stamp, {}}, now += 10ms);
    std::vector<std::uint32_t> stamps{0};  // by piece
    while (const auto datagram = sender.next(now))
        stamps.push_back(parse(*datagram)->stamp);
    REQUIRE(stamps.size() == 12);
    const auto acknowledge = [&](std::uint32_t missing, std::uint32_t arrived, std::uint32_t stamp) {
        const std::string range = FieldWriter().u32(arrived).u32(arrived + 1).str();
        sender.receive({Kind::ack, 0, 64, 7, missing, stamp, arrived > missing ? range : ""}, now += 1ms);
    };
    for (std::uint32_t piece = 2; piece <= 4; ++piece)
        acknowledge(1, piece, stamps[piece]);
    CHECK(sender.cwnd() == 5.5);  // half of the eleven that were out
    const auto again = sender.next(now);
    REQUIRE(again);
    acknowledge(5, 1, parse(*again)->stamp);
    CHECK(sender.acknowledged() == 5);
    for (std::uint32_t piece = 6; piece <= 8; ++piece)
        acknowledge(5, piece, stamps[piece]);
    CHECK(sender.picture().starts_with("!###"));
    CHECK(sender.cwnd() == 5.5);  // piece 5 was lost by the same queue that had run over
}

TEST_CASE("window: the time-out stays doubled until a round trip was measured", "[unit][udp][window]") {
    Time now{};
    WindowSender sender(7, 0, 5, [](std::uint64_t) { return "x"s; });
    const auto first = sender.next(now);
    sender.receive({Kind::ack, 0, 256, 7, 1, parse(*first)->stamp, {}}, now += 100ms);
    CHECK(sender.rto().count() == Approx(0.3));
    const auto second = sender.next(now);
    sender.expire(now += 300ms);
    sender.expire(now += 600ms);
    CHECK(sender.rto().count() == Approx(1.2));
    // News without a stamp of ours: it goes on, but no faster.
    sender.receive({Kind::ack, 0, 256, 7, 2, parse(*second)->stamp + 123'456'789, {}}, now += 1ms);
    CHECK(sender.acknowledged() == 2);
    CHECK(sender.timeouts() == 0);
    CHECK(sender.rto().count() == Approx(1.2));
}

TEST_CASE("window: Karn's rule, and stamps that make it needless", "[unit][udp][window]") {
    const bool karn = GENERATE(false, true), answers_first = GENERATE(false, true);
    Time now{};
    WindowSender sender(7, 0, 5, [](std::uint64_t) { return "x"s; }, {.karn = karn});
    const auto once = sender.next(now);
    sender.expire(now += 1s);
    const auto again = sender.next(now);
    REQUIRE(again);
    const std::uint32_t stamp = parse(answers_first ? *once : *again)->stamp;
    sender.receive({Kind::ack, 0, 256, 7, 1, stamp, {}}, now += 50ms);
    CHECK(sender.acknowledged() == 1);
    if (karn) {
        CHECK(sender.srtt() < 0);  // nobody knows which of the two it was
        CHECK(sender.rto().count() == Approx(2));
        const auto fresh = sender.next(now);
        sender.receive({Kind::ack, 0, 256, 7, 2, parse(*fresh)->stamp, {}}, now += 100ms);
        CHECK(sender.srtt() == Approx(0.1));
        CHECK(sender.rto().count() == Approx(0.3));
    } else {
        CHECK(sender.srtt() == Approx(answers_first ? 1.05 : 0.05));
    }
}

TEST_CASE("window: without a floor, the congestion window of RFC 5681", "[unit][udp][window]") {
    Time now{};
    WindowSender sender(7, 0, 1000, [](std::uint64_t) { return "x"s; }, {.least_window = 1});
    std::deque<std::string> out;
    std::uint32_t next = 0;
    const auto round = [&] {  // all that may go, goes, and arrives
        now += 100ms;
        while (const auto datagram = sender.next(now))
            out.push_back(*datagram);
        const std::size_t sent = out.size();
        for (now += 100ms; !out.empty(); out.pop_front())
            sender.receive({Kind::ack, 0, 256, 7, ++next, parse(out.front())->stamp, {}}, now);
        return sent;
    };
    CHECK(round() == 1);
    CHECK(round() == 11);
    CHECK(round() == 22);  // slow start doubles it
    CHECK(round() == 44);
    now += 100ms;
    while (const auto datagram = sender.next(now))
        out.push_back(*datagram);
    CHECK(out.size() == most_kept);
    out.clear();
    sender.expire(now += 1s);  // all is lost: half is the threshold, and it begins again with one
    CHECK(sender.cwnd() == 1);
    CHECK(sender.threshold() == 32);
    std::vector<std::size_t> rounds;
    for (int i = 0; i < 8; ++i)
        rounds.push_back(round());
    CHECK(rounds ==
          std::vector<std::size_t>{1, 2, 4, 8, 16, 32, 32, 33});  // then not quite one more in each round trip
}

TEST_CASE("window: the end, when the last acknowledgement was lost", "[unit][udp][window]") {
    const std::string text = "abc";
    WindowSender sender(7, 0xFFFFFFFE, 3, [&](std::uint64_t i) { return text.substr(i, 1); });
    Time now{};
    std::optional<WindowReceiver> receiver;
    std::string got;
    for (int i = 0; i < 3; ++i) {
        const auto datagram = sender.next(now += 1ms);
        REQUIRE(datagram);
        const auto piece = parse(*datagram);
        if (!receiver) receiver.emplace(*piece, [&](std::string_view bytes, bool, bool) { got += bytes; });
        const auto ack = receiver->receive(*piece, datagram->size());
        REQUIRE(ack);
        if (i < 2) sender.receive(*parse(*ack), now += 1ms);
    }
    CHECK(receiver->finished());
    CHECK(receiver->next() == 1);
    CHECK_FALSE(sender.finished());
    REQUIRE(sender.deadline());
    sender.expire(now = *sender.deadline());
    const auto again = sender.next(now);
    REQUIRE(again);
    const auto ack = receiver->receive(*parse(*again), again->size());
    REQUIRE(ack);
    sender.receive(*parse(*ack), now += 1ms);
    CHECK(sender.finished());
    CHECK(got == text);
}

TEST_CASE("window: acknowledgements that can't be", "[unit][udp][window]") {
    Time now{};
    WindowSender sender(7, 10, 50, [](std::uint64_t) { return "x"s; });
    const auto first = sender.next(now);
    REQUIRE(first);
    const std::uint32_t stamp = parse(*first)->stamp;
    for (const Packet& ack : std::vector<Packet>{{Kind::ack, 0, 256, 8, 11, stamp, {}},   // of another transfer
                                                 {Kind::data, 0, 256, 7, 11, stamp, {}},  // none
                                                 {Kind::ack, 0, 256, 7, 12, stamp, {}},   // of what was not sent
                                                 {Kind::ack, 0, 256, 7, 0x80000010U, stamp, {}},  // far away
                                                 {Kind::ack, 0, 256, 7, 9, stamp, {}}}) {         // before all
        sender.receive(ack, now);
        CHECK(sender.acknowledged() == 0);
    }
    // Ranges that are wrong way round, huge, cut off, or of nobody.
    for (const std::string& ranges : {FieldWriter().u32(20).u32(5).str(), FieldWriter().u32(0).u32(0xFFFFFFFF).str(),
                                      "abc"s, FieldWriter().u32(11).u32(0x7FFFFFFF).str(), std::string(1200, '\xFF')})
        sender.receive({Kind::ack, 0, 0, 7, 10, stamp + 12345, ranges}, now);
    CHECK(sender.acknowledged() == 0);
    CHECK(sender.out() == 1);
    // And whoever has not even the first piece gets no more of them.
    sender.receive({Kind::ack, 0, 64, 7, 10, stamp + 12345, {}}, now);
    CHECK_FALSE(sender.next(now));
    // A window of 0 would stop us for ever; we go on with one.
    sender.receive({Kind::ack, 0, 0, 7, 11, stamp, {}}, now);
    CHECK(sender.acknowledged() == 1);
    CHECK(sender.next(now));
    CHECK_FALSE(sender.next(now));
}

TEST_CASE("window: a receiver keeps no more than a window, whatever comes", "[unit][udp][window]") {
    std::string got;
    WindowReceiver receiver({Kind::data, first_flag, 0, 7, 1000, 0, "0"},
                            [&](std::string_view piece, bool, bool) { got += piece; });
    std::mt19937 random(1);
    for (int i = 0; i < 20'000; ++i) {
        const auto number = static_cast<std::uint32_t>(i % 3 == 0 ? random() : 1001 + random() % 5000);
        receiver.receive({Kind::data, 0, 0, 7, number == 1000 ? 1001 : number, 0, "x"}, 100);
    }
    for (std::uint32_t number = 1001; number < 6000; ++number)
        receiver.receive({Kind::data, 0, 0, 7, number, 0, "x"}, 100);
    CHECK(receiver.kept() <= most_kept);
    CHECK(got.empty());
    CHECK_FALSE(receiver.receive({Kind::data, 0, 0, 8, 1000, 0, "x"}, 100));  // of another transfer
    const auto ack = receiver.receive({Kind::data, first_flag, 0, 7, 1000, 5, "0"}, header_size + 1);
    REQUIRE(ack);
    CHECK(ack->size() <= header_size + 1);  // no longer than what it answers
    CHECK(parse(*ack)->stamp == 5);
    CHECK(got.size() == most_kept);
}

TEST_CASE("window: behind the last piece nothing comes", "[unit][udp][window]") {
    std::string got;
    WindowReceiver receiver({Kind::data, first_flag, 0, 7, 10, 0, "a"},
                            [&](std::string_view piece, bool, bool) { got += piece; });
    for (const Packet& piece : std::vector<Packet>{{Kind::data, 0, 0, 7, 12, 0, "c"},
                                                   {Kind::data, last_flag, 0, 7, 11, 0, "b"},
                                                   {Kind::data, first_flag, 0, 7, 10, 0, "a"},
                                                   {Kind::data, 0, 0, 7, 12, 0, "c"},
                                                   {Kind::data, 0, 0, 7, 13, 0, "d"}})
        CHECK(receiver.receive(piece, 100));
    CHECK(got == "ab");
    CHECK(receiver.finished());
    CHECK(receiver.kept() == 0);
    CHECK(receiver.next() == 12);
}

TEST_CASE("transfer: datagrams there and back, and everything damaged is found", "[unit][udp][window]") {
    const std::string bytes = to_bytes({Kind::ack, 3, 0x1234, 0x56789ABC, 0xDEF01234, 0x98765432, "payload"});
    CHECK(bytes.substr(4) == "\x02\x03\x12\x34\x56\x78\x9A\xBC\xDE\xF0\x12\x34\x98\x76\x54\x32payload");
    const auto packet = parse(bytes);
    REQUIRE(packet);
    CHECK(to_bytes(*packet) == bytes);
    for (size_t length = 0; length < bytes.size(); ++length)
        CHECK_FALSE(parse(bytes.substr(0, length)));
    CHECK_FALSE(parse(bytes + "x"));
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
        std::string damaged = bytes;
        damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
        CHECK_FALSE(parse(damaged));
    }
    CHECK_FALSE(parse(to_bytes({static_cast<Kind>(0), 0, 0, 1, 2, 3, ""})));
    CHECK_FALSE(parse(to_bytes({static_cast<Kind>(4), 0, 0, 1, 2, 3, ""})));
    CHECK(parse(to_bytes({Kind::data, 0, 0, 1, 2, 3, std::string(piece_size, 'x')})));
    CHECK_FALSE(parse(to_bytes({Kind::data, 0, 0, 1, 2, 3, std::string(piece_size + 1, 'x')})));
    CHECK(pieces_of(0) == 2);
    CHECK(pieces_of(1) == 3);
    CHECK(pieces_of(piece_size) == 3);
    CHECK(pieces_of(piece_size + 1) == 4);
    CHECK(distance(0xFFFFFFFF, 0) == 1);
    CHECK(distance(0, 0xFFFFFFFF) == -1);
    const auto file = parse_announcement(to_bytes(Announcement{1234, "name"}));
    REQUIRE(file);
    CHECK(file->size == 1234);
    CHECK(file->name == "name");
    CHECK_FALSE(parse_announcement("1234567"));
}
