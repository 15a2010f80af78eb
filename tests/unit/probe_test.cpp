// udp/probe.hpp: the counts against a list that keeps everything, and the jitter against RFC 3550's own code.

#include "udp/probe.hpp"

#include "tests/catch.hpp"

#include <cmath>
#include <random>
#include <set>
#include <vector>

using namespace probes;

namespace {

Report counted(const std::vector<std::uint32_t>& numbers, std::uint32_t total = 0) {
    Counter counter;
    for (const std::uint32_t number : numbers)
        counter.take(number, 0, 0);
    if (total != 0) counter.end(total);
    return counter.report();
}

/// The variables and lines of RFC 3550, appendix A.8, for clocks of one microsecond.
struct Source {
    int transit = 0;
    double jitter = 0;
    void take(unsigned arrival, unsigned timestamp, bool first) {
        const int now = static_cast<int>(arrival - timestamp);
        int d = now - transit;
        transit = now;
        if (d < 0) d = -d;
        if (!first) jitter += (1. / 16.) * (static_cast<double>(d) - jitter);
    }
};

}  // namespace

TEST_CASE("probe: what is received, lost, twice and late", "[unit][udp][probe]") {
    CHECK(counted({}) == Report{0, 0, 0, 0, 0});
    CHECK(counted({}, 5) == Report{0, 5, 0, 0, 0});
    CHECK(counted({0, 1, 2}) == Report{3, 0, 0, 0, 0});
    CHECK(counted({0, 1, 2}, 3) == Report{3, 0, 0, 0, 0});
    CHECK(counted({0, 1, 2}, 5) == Report{3, 2, 0, 0, 0});
    CHECK(counted({2}) == Report{1, 2, 0, 0, 0});  // the first two may come yet
    CHECK(counted({2, 0}) == Report{2, 1, 0, 1, 0});
    CHECK(counted({0, 0, 0}) == Report{1, 0, 2, 0, 0});
    CHECK(counted({0, 2, 1, 1, 4}, 7) == Report{4, 3, 1, 1, 0});
    CHECK(counted({3, 2, 1, 0}) == Report{4, 0, 0, 3, 0});
    CHECK(counted({5}, 3) == Report{1, 5, 0, 0, 0});  // an end that lies
}

TEST_CASE("probe: numbers that are far apart", "[unit][udp][probe]") {
    constexpr std::uint32_t window = Counter::window;
    Counter counter;
    counter.take(0, 0, 0);
    counter.take(window - 1, 0, 0);
    counter.take(0, 0, 0);  // just known
    CHECK(counter.report() == Report{2, window - 2, 1, 0, 0});
    counter.take(window, 0, 0);
    counter.take(0, 0, 0);  // no longer
    CHECK(counter.too_old() == 1);
    CHECK(counter.report() == Report{3, window - 2, 1, 0, 0});
    counter.take(0xFFFFFFFF, 0, 0);
    counter.take(0xFFFFFFFF, 0, 0);
    counter.take(0xFFFFFFFE, 0, 0);
    CHECK(counter.expected() == 0x100000000);
    CHECK(counter.report() == Report{5, 0x100000000 - 5, 2, 1, 0});
}

TEST_CASE("probe: counts and jitter of many orders", "[unit][udp][probe]") {
    std::mt19937 random(7);
    for (int run = 0; run < 200; ++run) {
        Counter counter;
        Source source;
        std::set<std::uint32_t> seen;
        std::uint64_t twice = 0, late = 0;
        for (std::uint32_t i = 0; i < 300; ++i) {
            const std::uint32_t number = i < 10 ? i : i - static_cast<std::uint32_t>(random() % 10);
            const std::uint32_t sent = 1'000'000 + 20'000 * number;
            const std::uint32_t arrived = 77'000'000 + 20'000 * i + static_cast<std::uint32_t>(random() % 50'000);
            counter.take(number, sent, arrived);
            source.take(arrived, sent, i == 0);
            const bool is_late = !seen.empty() && number < *seen.rbegin();
            if (!seen.insert(number).second) {
                ++twice;
            } else if (is_late) {
                ++late;
            }
        }
        const std::uint64_t expected = *seen.rbegin() + 1;
        const Report report = counter.report();
        REQUIRE(report.received == seen.size());
        REQUIRE(report.lost == expected - seen.size());
        REQUIRE(report.duplicates == twice);
        REQUIRE(report.reordered == late);
        REQUIRE(std::fabs(counter.jitter() - source.jitter) < 1e-6);
    }
}

TEST_CASE("probe: jitter by hand, and clocks that are far apart", "[unit][udp][probe]") {
    Counter counter;
    counter.take(0, 1'000'000, 500);  // the receiver's clock is behind
    CHECK(counter.jitter() == 0);
    counter.take(1, 1'020'000, 20'500);  // as long under way
    CHECK(counter.jitter() == 0);
    counter.take(2, 1'040'000, 42'100);  // 1,600 longer
    CHECK(counter.jitter() == 100);
    counter.take(3, 1'060'000, 60'500);  // 1,600 shorter
    CHECK(counter.jitter() == 100 + (1600 - 100) / 16.0);
    counter.take(4, ~std::uint64_t{0}, 0);  // a lie
    CHECK(std::isfinite(counter.jitter()));
}

TEST_CASE("probe: packets there and back", "[unit][udp][probe]") {
    const Packet packet{Kind::probe, 0x01020304, 0x05060708, 0x1112131415161718, "rest"};
    const std::string bytes = to_bytes(packet);
    CHECK(bytes.size() == header_size + 4);
    CHECK(bytes.substr(4) == std::string("\x01\0\0\0\x01\x02\x03\x04\x05\x06\x07\x08\x11\x12\x13\x14\x15\x16\x17\x18"
                                         "rest",
                                         24));
    const auto read = parse(bytes);
    REQUIRE(read);
    CHECK((read->session == packet.session && read->number == packet.number && read->time == packet.time));
    CHECK(read->rest == "rest");
    for (std::size_t size = 0; size < bytes.size(); ++size)
        CHECK_FALSE(parse(bytes.substr(0, size)));
    const Report report{1, 2, 3, 4, 5};
    CHECK(parse_report(to_bytes(report)) == report);
    CHECK_FALSE(parse_report(to_bytes(report) + "x"));
    CHECK_FALSE(parse_report(to_bytes(report).substr(1)));
}
