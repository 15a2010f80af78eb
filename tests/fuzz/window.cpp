// Both sides of a transfer by window (udp/window.hpp), on a network that does what the input says; and against somebody
// who answers, or sends, whatever comes to his mind.
//
// Input: 1 byte for the number of pieces, 1 for the first number, 1 for the rules; then one instruction after the
// other, each of 1 byte and what it takes (see step()).

#include "udp/window.hpp"

#include "tests/fuzz/fuzz.hpp"

#include <memory>

namespace {

using namespace transfer;

constexpr std::uint32_t transfer_id = 7;
constexpr std::size_t most_in_flight = 300;

class Play {
public:
    explicit Play(fuzz::Input& input) : input_(input) {
        for (unsigned i = 1U + input_.byte(); i > 0; --i)
            text_ += static_cast<char>('a' + i % 26);
        const auto first = static_cast<std::uint32_t>(input_.byte()) - 128U;  // from before they wrap, or after
        const unsigned rules = input_.byte();
        sender_ = std::make_unique<WindowSender>(
            transfer_id, first, text_.size(), [this](std::uint64_t i) { return text_.substr(i, 1); },
            Rules{.first_rto = 0.01 * (1 + rules % 128), .least_window = 1.0 + rules % 16, .karn = rules % 2 == 1});
    }

    /// False: the input is at its end.
    bool step() {
        if (input_.rest().empty()) return false;
        switch (input_.byte() % 10) {
            case 0:  // all that may go
                while (send_one()) {
                }
                break;
            case 1:
                send_one();
                break;
            case 2:
                to_receiver(taken(pieces_));
                break;
            case 3:
                to_sender(taken(acks_));
                break;
            case 4:
                taken(pieces_);
                break;  // lost
            case 5:
                taken(acks_);
                break;
            case 6:  // twice
                if (!pieces_.empty() && pieces_.size() < most_in_flight)
                    pieces_.push_back(pieces_[input_.byte() % pieces_.size()]);
                if (!acks_.empty() && acks_.size() < most_in_flight)
                    acks_.push_back(acks_[input_.byte() % acks_.size()]);
                break;
            case 7:
                pass(std::chrono::milliseconds(16 * input_.byte()));
                break;
            case 8:
                lie_to_sender();
                break;
            case 9:
                lie_to_receiver();
                break;
        }
        check();
        return true;
    }

    /// From here on the network is good. Whatever has happened before, and if nobody has lied, the file arrives.
    void finish() {
        if (lied_) return;
        for (std::size_t rounds = 0; !sender_->finished(); ++rounds) {
            fuzz::require(rounds < 20 * text_.size() + 1000, "it does not end");
            if (!send_one() && pieces_.empty() && acks_.empty()) {
                fuzz::require(sender_->deadline().has_value(), "it waits for nothing");
                now_ = std::max(now_, *sender_->deadline());
                sender_->expire(now_);
            }
            while (!pieces_.empty())
                to_receiver(taken(pieces_));
            while (!acks_.empty())
                to_sender(taken(acks_));
            pass(std::chrono::milliseconds(1));
            check();
        }
        fuzz::require(received_ == text_ && receiver_->finished(), "what arrived is not what was sent");
    }

private:
    bool send_one() {
        const auto datagram = sender_->next(now_);
        if (!datagram) return false;
        fuzz::require(parse(*datagram).has_value(), "it sends what it would not accept");
        if (pieces_.size() < most_in_flight) pieces_.push_back(*datagram);
        return true;
    }

    /// One of these, the first unless the input says otherwise; "" if there is none.
    std::string taken(std::vector<std::string>& flying) {
        if (flying.empty()) return "";
        const auto which = static_cast<std::ptrdiff_t>(input_.byte() % flying.size());
        std::string one = flying[static_cast<std::size_t>(which)];
        flying.erase(flying.begin() + which);
        return one;
    }

    void to_receiver(const std::string& datagram) {
        const auto packet = parse(datagram);
        if (!packet) return;
        if (!receiver_) {
            if ((packet->flags & first_flag) == 0) return;
            receiver_ =
                std::make_unique<WindowReceiver>(*packet, [this](std::string_view piece, bool first, bool last) {
                    fuzz::require(first == received_.empty() || piece.empty() || lied_, "the first piece is another");
                    fuzz::require(!ended_, "there is a piece behind the last");
                    received_ += piece;
                    ended_ = last;
                });
        }
        const auto ack = receiver_->receive(*packet, datagram.size());
        if (!ack) return;
        fuzz::require(ack->size() <= datagram.size(), "an acknowledgement is longer than what it answers");
        fuzz::require(parse(*ack).has_value(), "an acknowledgement would not be accepted");
        if (acks_.size() < most_in_flight) acks_.push_back(*ack);
    }

    void to_sender(const std::string& datagram) {
        const std::uint64_t before = sender_->acknowledged();
        if (const auto packet = parse(datagram)) sender_->receive(*packet, now_);
        fuzz::require(sender_->acknowledged() >= before, "what was acknowledged no longer is");
    }

    void pass(std::chrono::milliseconds time) {
        now_ += time;
        const auto deadline = sender_->deadline();
        if (deadline && *deadline <= now_) sender_->expire(now_);
    }

    std::uint32_t any_number(std::uint32_t near) {
        const std::uint32_t far = input_.byte();
        return near + static_cast<std::uint32_t>(static_cast<std::int8_t>(input_.byte())) + (far << 24U);
    }

    void lie_to_sender() {
        lied_ = true;
        FieldWriter ranges;
        for (unsigned i = input_.byte() % 8; i > 0; --i)
            ranges.u32(any_number(128));
        ranges.bytes(std::string(input_.byte() % 8, 'x'));
        const std::uint32_t number = any_number(128), stamp = any_number(input_.byte() * 1000U);
        to_sender(to_bytes(
            {static_cast<Kind>(1 + input_.byte() % 3), 0, input_.byte(), transfer_id, number, stamp, ranges.str()}));
    }

    void lie_to_receiver() {
        lied_ = true;
        if (ended_) return;
        const std::uint32_t number = receiver_ ? any_number(receiver_->next()) : any_number(128);
        to_receiver(to_bytes({Kind::data, static_cast<std::uint8_t>(input_.byte() % 4), 0, transfer_id, number, 0,
                              std::string(input_.byte(), 'x')}));
    }

    void check() {
        fuzz::require(sender_->out() <= most_kept, "more is out than the receiver keeps");
        fuzz::require(sender_->under_way() <= sender_->out(), "more is under way than is out");
        fuzz::require(sender_->picture().size() == sender_->out(), "the picture is another");
        fuzz::require(sender_->cwnd() >= 1 && sender_->cwnd() <= most_kept, "no congestion window");
        fuzz::require(sender_->rto().count() >= least_rto && sender_->rto().count() <= Rules{}.most_rto, "no time-out");
        fuzz::require(sender_->acknowledged() <= text_.size(), "more is acknowledged than there is");
        fuzz::require(!receiver_ || receiver_->kept() <= most_kept, "the receiver keeps too much");
        fuzz::require(lied_ || text_.compare(0, received_.size(), received_) == 0, "not in order");
    }

    fuzz::Input& input_;
    std::string text_, received_;
    std::unique_ptr<WindowSender> sender_;
    std::unique_ptr<WindowReceiver> receiver_;
    std::vector<std::string> pieces_, acks_;
    Time now_{};
    bool ended_ = false, lied_ = false;
};

}  // namespace

FUZZ_TARGET(fuzz_window) {
    fuzz::Input input(data, size);
    Play play(input);
    for (int steps = 0; steps < 5000 && play.step(); ++steps) {
    }
    play.finish();
    return 0;
}
