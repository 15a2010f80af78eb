#pragma once
// Selective repeat with a window: what TCP does for its bytes, for the pieces of a file, in as few lines as show it.
// Both ends take datagrams and times, and give datagrams and times: no socket and no clock, so that a test can let a
// thousand bad networks pass in a second.
//
// The sender has three questions, each with an RFC of its own:
//
// When is a piece lost? When three that were sent after it have arrived: fast retransmit, RFC 5681's three duplicate
// ACKs, told by selective acknowledgements (RFC 2018). Or when nothing arrives for too long (RFC 6298).
//
// How long is too long? RTO = SRTT + 4 * RTTVAR (RFC 6298), doubled by each time-out until a round trip was measured
// again. Of a piece that was sent twice nobody knows which of the two is acknowledged, and so its round trip must not
// be measured (Karn's rule). Here a stamp comes back with the acknowledgement and tells which one it was; then it may
// be (RFC 6298, section 3). Rules::karn does without.
//
// How much may be out? What the receiver has room for, and what the network carries: cwnd grows with each
// acknowledgement until something is lost, and then is halved (RFC 5681).

#include "udp/transfer.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace transfer {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = std::chrono::duration<double>;  ///< seconds

/// How many pieces the receiver keeps that it can't write yet. All of them may come at once, while it does something
/// else, and then they wait in its socket, where Linux counts 2,304 bytes for each: 147,456 of the 212,992 that a
/// socket has (socket(7), rmem_default). With a larger window, good networks would lose pieces at their last step.
constexpr std::size_t most_kept = 64;
constexpr std::size_t most_ranges = 16;

/// Seconds. RFC 6298 says at least 1 s, out of care for a network that one shares with everybody (Linux: 200 ms).
constexpr double least_rto = 0.1;

/// What may be chosen.
struct Rules {
    double first_rto = 1;  ///< seconds, before anything was measured (RFC 6298, section 2.1)
    double most_rto = 4;   ///< seconds. RFC 6298 says at least 60; but here somebody sits and watches
    /// The congestion window gets no smaller: so that mostly three follow one that is lost, and tell of it, even where
    /// every third is lost. TCP goes down to 2 when one is lost, and to 1 after a time-out (RFC 5681).
    double least_window = 8;
    bool karn = false;  ///< measure only what was sent once, as those must who have no stamps
};

class WindowSender {
public:
    /// piece(i): the payload of piece i of count, to be asked for again when it is sent again. first_number: of piece
    /// 0.
    WindowSender(std::uint32_t id, std::uint32_t first_number, std::uint64_t count,
                 std::function<std::string(std::uint64_t)> piece, const Rules& rules = {})
        : id_(id), first_number_(first_number), count_(count), piece_(std::move(piece)), rules_(rules) {}

    /// A datagram that may be sent now, or nothing. To be asked until there is none.
    std::optional<std::string> next(Time now) {
        if (finished()) return {};
        for (std::size_t i = 0; i < out_.size() && lost_ > 0; ++i) {
            // The first hole is what all others wait for.
            if (out_[i].lost && (i == 0 || pipe() < window())) return transmit(i, now);
        }
        const std::uint64_t index = base_ + out_.size();
        // Nothing else before the receiver has acknowledged the first: it may not be there, or not who we think.
        const bool may_go = index < count_ && (index == 0 || base_ > 0) && out_.size() < receiver_window_;
        if (!may_go || pipe() >= window()) return {};
        out_.emplace_back();
        return transmit(out_.size() - 1, now);
    }

    /// Takes an acknowledgement. What acknowledges nothing that is out changes nothing.
    void receive(const Packet& ack, Time now) {
        if (ack.kind != Kind::ack || ack.transfer != id_ || finished()) return;
        const std::int32_t ahead = distance(number_of(base_), ack.number);
        if (ahead > static_cast<std::int32_t>(out_.size())) return;  // of what was never sent
        const bool measurable = !rules_.karn || was_sent_once(ack.stamp);
        bool news = false;
        const auto arrived = [&](std::size_t i) {
            Out& one = out_[i];
            if (one.arrived) return;
            one.arrived = news = true;
            ++arrived_;
            if (one.lost) --lost_;
            one.lost = false;
        };
        for (std::int32_t i = 0; i < ahead; ++i)
            arrived(static_cast<std::size_t>(i));
        FieldReader ranges(ack.payload);
        while (ranges.left() >= 8) {
            const std::int32_t begin = distance(number_of(base_), ranges.u32());
            const std::int32_t end = distance(number_of(base_), ranges.u32());
            for (std::int32_t i = std::max(begin, 0); i < std::min(end, static_cast<std::int32_t>(out_.size())); ++i)
                arrived(static_cast<std::size_t>(i));
        }
        for (std::int32_t i = 0; i < ahead; ++i) {
            out_.pop_front();
            --arrived_;
            ++base_;
        }
        if (ahead >= 0) receiver_window_ = std::clamp<std::size_t>(ack.window, 1, most_kept);
        note_stamp(ack.stamp, measurable, now);
        find_lost();
        if (!news) return;
        timeouts_ = 0;
        timer_ = now;
        grow();
    }

    /// When expire() is to be called; nothing while nothing is out.
    std::optional<Time> deadline() const {
        if (finished() || out_.empty()) return {};
        return timer_ + std::chrono::duration_cast<Clock::duration>(rto());
    }

    /// Nothing has arrived for too long: everything that is out counts as lost, and the first pieces try anew.
    void expire(Time now) {
        ++timeouts_;
        ++backoff_;
        ++all_timeouts_;
        for (Out& one : out_) {
            if (one.arrived || one.lost) continue;
            one.lost = true;
            ++lost_;
        }
        threshold_ = half_of_what_is_out();
        cwnd_ = rules_.least_window;
        recovery_end_ = base_;
        timer_ = now;
    }

    bool finished() const { return base_ == count_; }
    unsigned timeouts() const { return timeouts_; }  ///< one after the other, without any news

    // For those who watch.
    std::uint64_t acknowledged() const { return base_; }  ///< pieces, without a gap
    std::size_t out() const { return out_.size(); }       ///< behind those, sent and not all arrived
    std::size_t under_way() const { return pipe(); }      ///< of those, probably in the network
    double cwnd() const { return cwnd_; }
    double threshold() const { return threshold_; }
    /// The retransmission time-out, doubled by each one that has passed since the last measurement (RFC 6298, 5.5).
    Duration rto() const {
        constexpr double granularity = 0.01;  // of a clock that a busy machine lets tick now and then
        const double measured = srtt_ < 0 ? rules_.first_rto : srtt_ + std::max(granularity, 4 * rttvar_);
        return Duration(std::min(std::max(measured, least_rto) * static_cast<double>(1U << std::min(backoff_, 6U)),
                                 rules_.most_rto));
    }
    double srtt() const { return srtt_; }  ///< seconds; below 0: not measured yet
    std::uint64_t sent() const { return sent_; }
    std::uint64_t again() const { return again_; }
    std::uint64_t all_timeouts() const { return all_timeouts_; }
    /// The window as a picture: '#' arrived, '.' out, '!' lost.
    std::string picture() const {
        std::string text;
        for (const Out& one : out_)
            text += one.arrived ? '#' : one.lost ? '!' : '.';
        return text;
    }

private:
    struct Out {
        std::uint64_t stamp = 0;  // of its last transmission
        unsigned times = 0;
        bool arrived = false, lost = false;
    };

    std::uint32_t number_of(std::uint64_t index) const { return first_number_ + static_cast<std::uint32_t>(index); }

    /// Pieces that are probably in the network.
    std::size_t pipe() const { return out_.size() - arrived_ - lost_; }
    std::size_t window() const { return std::max<std::size_t>(static_cast<std::size_t>(cwnd_), 1); }
    /// After a loss, and at least 2 (RFC 5681, equation 4).
    double half_of_what_is_out() const {
        return std::max({static_cast<double>(out_.size()) / 2, 2.0, rules_.least_window});
    }

    bool was_sent_once(std::uint32_t stamp) const {
        return std::any_of(out_.begin(), out_.end(), [&](const Out& one) {
            return one.times == 1 && static_cast<std::uint32_t>(one.stamp) == stamp;
        });
    }

    std::string transmit(std::size_t i, Time now) {
        Out& one = out_[i];
        if (pipe() == 0 || i == 0) timer_ = now;
        if (one.lost) --lost_;
        one.lost = false;
        if (sent_++ == 0) began_ = now;
        stamp_ = std::max(stamp_ + 1, microseconds(now));  // each its own
        one.stamp = stamp_;
        if (one.times++ > 0) ++again_;
        const std::uint64_t index = base_ + i;
        const auto flags =
            static_cast<std::uint8_t>((index == 0 ? first_flag : 0) | (index + 1 == count_ ? last_flag : 0));
        return to_bytes(
            {Kind::data, flags, 0, id_, number_of(index), static_cast<std::uint32_t>(stamp_), piece_(index)});
    }

    /// RFC 6298, section 2.
    void measure(Duration round_trip) {
        const double r = round_trip.count();
        if (srtt_ < 0) {
            srtt_ = r;
            rttvar_ = r / 2;
        } else {
            rttvar_ = 0.75 * rttvar_ + 0.25 * std::abs(srtt_ - r);
            srtt_ = 0.875 * srtt_ + 0.125 * r;
        }
        backoff_ = 0;
    }

    std::uint64_t microseconds(Time now) const {
        return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now - began_).count());
    }

    /// One transmission has arrived: how long it took, and whether it is one of the three latest that have.
    void note_stamp(std::uint32_t low_bits, bool measurable, Time now) {
        const std::uint64_t now_stamp = std::max(microseconds(now), stamp_);
        const std::uint64_t age = static_cast<std::uint32_t>(static_cast<std::uint32_t>(now_stamp) - low_bits);
        if (age > now_stamp || age > 60'000'000) return;  // no stamp of ours
        const std::uint64_t stamp = now_stamp - age;
        if (std::count(latest_.begin(), latest_.end(), stamp) > 0) return;  // come twice
        if (stamp < latest_.back()) return;                                 // perhaps, too: nobody remembers
        if (measurable) measure(std::chrono::microseconds(age));
        latest_.back() = std::max(latest_.back(), stamp);
        std::sort(latest_.begin(), latest_.end(), std::greater<>());
    }

    /// Slow start doubles the window in each round trip; congestion avoidance adds one piece to it (RFC 5681, 3.1).
    void grow() {
        if (base_ < recovery_end_) return;
        cwnd_ = std::min(cwnd_ + (cwnd_ < threshold_ ? 1 : 1 / cwnd_), static_cast<double>(most_kept));
    }

    void find_lost() {
        bool found = false;
        for (Out& one : out_) {
            if (one.arrived || one.lost || one.stamp >= latest_.back()) continue;
            one.lost = found = true;
            ++lost_;
        }
        // One halving for all that was out at the time (RFC 5681, 3.2; RFC 6675).
        if (!found || base_ < recovery_end_) return;
        recovery_end_ = base_ + out_.size();
        threshold_ = half_of_what_is_out();
        cwnd_ = threshold_;
    }

    std::uint32_t id_, first_number_;
    std::uint64_t count_;
    std::function<std::string(std::uint64_t)> piece_;
    Rules rules_;
    std::uint64_t base_ = 0;              // the first piece that is not acknowledged
    std::deque<Out> out_;                 // from there, in order
    std::size_t arrived_ = 0, lost_ = 0;  // of those
    std::array<std::uint64_t, 3> latest_{};
    std::uint64_t sent_ = 0, again_ = 0, all_timeouts_ = 0;
    std::uint64_t stamp_ = 0;  // the last one given
    Time began_{};
    std::size_t receiver_window_ = 1;
    double cwnd_ = 10;  // RFC 6928
    double threshold_ = static_cast<double>(most_kept);
    std::uint64_t recovery_end_ = 0;
    double srtt_ = -1, rttvar_ = 0;
    unsigned timeouts_ = 0, backoff_ = 0;
    Time timer_{};
};

class WindowReceiver {
public:
    /// first: the packet with the first flag. deliver(payload, is_first, is_last): of each piece, in order.
    using Deliver = std::function<void(std::string_view, bool, bool)>;
    WindowReceiver(const Packet& first, Deliver deliver)
        : id_(first.transfer), next_(first.number), first_number_(first.number), deliver_(std::move(deliver)) {}

    /// Takes a piece, and returns the acknowledgement; it is no longer than what it answers. Nothing for what is of
    /// another transfer, or beyond the window. Throws what deliver() throws.
    std::optional<std::string> receive(const Packet& data, std::size_t size) {
        if (data.kind != Kind::data || data.transfer != id_) return {};
        const std::int32_t ahead = distance(next_, data.number);
        if (ahead >= static_cast<std::int32_t>(most_kept) || ahead < -static_cast<std::int32_t>(4 * most_kept))
            return {};
        if (ahead >= 0 && !finished_) {
            kept_[static_cast<std::uint32_t>(ahead) + delivered_] = {std::string(data.payload), data.flags};
            while (!finished_ && !kept_.empty() && kept_.begin()->first == delivered_) {
                const auto piece = std::move(kept_.begin()->second);
                kept_.erase(kept_.begin());
                ++delivered_;
                ++next_;
                finished_ = (piece.second & last_flag) != 0;
                deliver_(piece.first, delivered_ == 1, finished_);
            }
            if (finished_) kept_.clear();  // behind the last there is nothing, whatever was sent
        }
        return ack(size, data.stamp);
    }

    bool finished() const { return finished_; }
    std::uint32_t id() const { return id_; }
    std::uint64_t delivered() const { return delivered_; }
    std::size_t kept() const { return kept_.size(); }
    std::uint32_t next() const { return next_; }  ///< the number of the first piece that is missing

private:
    std::string ack(std::size_t most, std::uint32_t stamp) const {
        std::vector<std::pair<std::uint64_t, std::uint64_t>> ranges;
        for (const auto& [index, piece] : kept_) {
            if (!ranges.empty() && ranges.back().second == index) {
                ++ranges.back().second;
            } else {
                ranges.emplace_back(index, index + 1);
            }
        }
        FieldWriter payload;
        for (std::size_t i = 0;
             i < std::min(ranges.size(), most_ranges) && header_size + payload.str().size() + 8 <= most; ++i) {
            // The highest ones first: they tell which have overtaken others.
            const auto& range = ranges[ranges.size() - 1 - i];
            payload.u32(first_number_ + static_cast<std::uint32_t>(range.first));
            payload.u32(first_number_ + static_cast<std::uint32_t>(range.second));
        }
        const auto window = static_cast<std::uint16_t>(most_kept);
        return to_bytes({Kind::ack, 0, window, id_, next_, stamp, payload.str()});
    }

    std::uint32_t id_, next_, first_number_;
    Deliver deliver_;
    std::uint64_t delivered_ = 0;                                         // pieces; next_ is the number of this one
    std::map<std::uint64_t, std::pair<std::string, std::uint8_t>> kept_;  // by index
    bool finished_ = false;
};

}  // namespace transfer
