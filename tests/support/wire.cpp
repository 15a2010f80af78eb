#include "tests/support/wire.hpp"

#include "common/errors.hpp"

#include <fmt/core.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <numeric>
#include <sstream>
#include <stdexcept>

namespace wire {

using namespace websocket;

std::string from_hex(std::string_view digits) {
    std::string bytes;
    unsigned value = 1;  // a one in front of the digits of the byte begun
    for (const char c : digits) {
        if (c == ' ' || c == '\n') continue;
        const std::size_t digit = std::string_view("0123456789abcdef").find(c);
        if (digit == std::string_view::npos) throw std::invalid_argument("no hexadecimal digit");
        value = value << 4U | static_cast<unsigned>(digit);
        if (value < 0x100) continue;
        bytes += static_cast<char>(value & 0xFFU);
        value = 1;
    }
    if (value != 1) throw std::invalid_argument("an odd number of hexadecimal digits");
    return bytes;
}

std::string to_hex(std::string_view bytes) {
    std::string digits;
    for (const char c : bytes)
        digits += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return digits;
}

std::string shown(std::string_view bytes) {
    if (bytes.size() <= 200) return escaped(bytes);
    std::uint64_t sum = 14695981039346656037U;  // FNV-1a
    for (const char c : bytes)
        sum = (sum ^ static_cast<unsigned char>(c)) * 1099511628211U;
    return fmt::format("({} bytes, {:016x})", bytes.size(), sum);
}

namespace {

std::string header(unsigned first, std::size_t length, unsigned mask_bit) {
    std::string bytes(1, static_cast<char>(first));
    const auto put = [&](std::size_t byte) { bytes += static_cast<char>(byte & 0xFFU); };
    if (length < 126) {
        put(mask_bit | length);
    } else if (length < 65536) {
        put(mask_bit | 126U);
        put(length >> 8U);
        put(length);
    } else {
        put(mask_bit | 127U);
        for (unsigned shift = 64; shift > 0; shift -= 8)
            put(length >> (shift - 8));
    }
    return bytes;
}

/// The big-endian number that stands at the front of bytes, and goes from there.
std::uint64_t take_number(std::string_view& bytes, std::size_t count) {
    if (bytes.size() < count) throw std::runtime_error("a frame that was sent is cut off");
    std::uint64_t number = 0;
    for (const char c : bytes.substr(0, count))
        number = number << 8U | static_cast<unsigned char>(c);
    bytes.remove_prefix(count);
    return number;
}

void unmask(std::string& payload, std::uint64_t key) {
    for (std::size_t i = 0; i < payload.size(); ++i)
        payload[i] = static_cast<char>(static_cast<unsigned char>(payload[i]) ^ (key >> (24 - 8 * (i % 4)) & 0xFFU));
}

}  // namespace

std::string frame(unsigned first, std::string_view payload) {
    return header(first, payload.size(), 0) + std::string(payload);
}

std::string masked(unsigned first, std::string_view payload, std::uint32_t key) {
    std::string bytes = header(first, payload.size(), 0x80);
    for (unsigned shift = 32; shift > 0; shift -= 8)
        bytes += static_cast<char>(key >> (shift - 8) & 0xFFU);
    std::string hidden(payload);
    unmask(hidden, key);
    return bytes + hidden;
}

std::string to(Role role, unsigned first, std::string_view payload) {
    return role == Role::server ? masked(first, payload) : frame(first, payload);
}

std::string close_body(unsigned code, std::string_view reason) {
    return std::string{static_cast<char>(code >> 8U), static_cast<char>(code & 0xFFU)} + std::string(reason);
}

Story failed(unsigned code, std::string_view reason, std::vector<std::string> events) {
    events.push_back(fmt::format("close {} {}", code, reason));
    return {std::move(events), {"88 " + shown(close_body(code, reason))}, false};
}

std::vector<std::string> frames_of(Role role, std::string_view bytes) {
    std::vector<std::string> frames;
    while (!bytes.empty()) {
        const std::uint64_t first = take_number(bytes, 1);
        const std::uint64_t second = take_number(bytes, 1);
        if ((second >> 7U != 0) != (role == Role::client)) throw std::runtime_error("a mask is missing, or unwanted");
        const std::uint64_t form = second & 0x7FU;
        const std::uint64_t length = form == 127 ? take_number(bytes, 8) : form == 126 ? take_number(bytes, 2) : form;
        if ((form == 126 && length < 126) || (form == 127 && length < 65536))
            throw std::runtime_error("a length is not in its shortest form");
        const std::uint64_t key = role == Role::client ? take_number(bytes, 4) : 0;
        if (bytes.size() < length) throw std::runtime_error("a frame that was sent is cut off");
        std::string payload(bytes.substr(0, length));
        bytes.remove_prefix(length);
        unmask(payload, key);
        frames.push_back(fmt::format("{:02x} {}", first, shown(payload)));
    }
    return frames;
}

namespace {

std::string text_of(const Connection& connection, const Event& event) {
    const std::string name = opcode_name(event.opcode);
    if (event.opcode != Opcode::close) return name + " " + shown(event.payload);
    const Closing& closing = connection.closing();
    if (closing.reason != event.payload) throw std::runtime_error("two reasons of one end");
    return fmt::format("{} {} {}", name, closing.code, shown(event.payload));
}

/// One run of a connection: pieces go in, the story comes out.
class Player {
public:
    Player(const Setup& setup, const Reaction& reaction)
        : limits_(setup.limits),
          connection_(setup.role, output_, limits_, setup.deflate),
          role_(setup.role),
          reaction_(reaction) {}

    bool finished() const { return connection_.finished(); }

    void feed(std::string_view piece) {
        // Allocated for itself: one byte too far is one that sanitizers see.
        const auto bytes = std::make_unique<char[]>(piece.size());
        std::copy(piece.begin(), piece.end(), bytes.get());
        connection_.receive(bytes.get(), piece.size());
        drain();
    }

    /// Where it wants the bytes directly. Returns how many of them it took.
    std::size_t feed_directly(std::string_view piece) {
        const auto room = connection_.room();
        if (!room) return 0;
        const std::size_t count = std::min(room->count, piece.size());
        std::copy_n(piece.begin(), count, room->bytes);
        connection_.received_directly(count);
        drain();
        return count;
    }

    Story end() {
        if (!finished()) {
            connection_.end_of_input();
            if (!finished() || connection_.closing().clean || connection_.closing().code != close_code::abnormal)
                throw std::runtime_error("the end of input is not told as 1006");
            if (connection_.next()) throw std::runtime_error("an event after the end of input");
        }
        story_.sent = frames_of(role_, output_.view());
        story_.clean = connection_.closing().clean;
        return story_;
    }

private:
    void drain() {
        while (const auto event = connection_.next()) {
            if (closed_) throw std::runtime_error("an event after close");
            closed_ = event->opcode == Opcode::close;
            story_.events.push_back(text_of(connection_, *event));
            if (!closed_ && reaction_) reaction_(connection_, *event);
        }
        if (closed_ != connection_.finished()) throw std::runtime_error("close and finished() contradict each other");
        if (closed_ && !connection_.close_sent()) throw std::runtime_error("the end without a Close frame");
    }

    Buffer output_;
    Limits limits_;
    Connection connection_;
    Role role_;
    const Reaction& reaction_;
    Story story_;
    bool closed_ = false;
};

void expect_same(const Story& whole, const Story& cut, std::string_view how) {
    if (cut == whole) return;
    std::ostringstream text;
    text << "not the same when it comes " << how << ":\n" << cut << "\nbut at once:\n" << whole;
    throw std::runtime_error(text.str());
}

}  // namespace

std::ostream& operator<<(std::ostream& out, const Story& story) {
    for (const std::string& event : story.events)
        out << "  event " << event << '\n';
    for (const std::string& sent : story.sent)
        out << "  sent " << sent << '\n';
    return out << (story.clean ? "  clean" : "  not clean");
}

Story play(const Setup& setup, std::string_view input, const Arrival& arrival, const Reaction& reaction) {
    Player player(setup, reaction);
    std::vector<std::size_t> cuts = arrival.cuts;
    cuts.push_back(input.size());
    std::size_t at = 0;
    for (const std::size_t cut : cuts) {
        std::string_view piece = input.substr(at, cut - at);
        at = cut;
        while (arrival.directly && !piece.empty() && !player.finished()) {
            const std::size_t taken = player.feed_directly(piece);
            if (taken == 0) break;
            piece.remove_prefix(taken);
        }
        if (!player.finished()) player.feed(piece);
    }
    return player.end();
}

Story replay(const Setup& setup, std::string_view input, const Reaction& reaction) {
    Story whole = play(setup, input, {}, reaction);
    const std::size_t size = input.size();
    const std::size_t edge = size > 2000 ? 30 : size;
    for (std::size_t cut = 0; cut <= size; cut += cut < edge || cut + edge >= size ? 1 : (size - cut - edge + 7) / 8)
        expect_same(whole, play(setup, input, {{cut}}, reaction), fmt::format("in two pieces, cut at {}", cut));
    std::vector<std::size_t> every(size);
    std::iota(every.begin(), every.end(), 0);
    expect_same(whole, play(setup, input, {every}, reaction), "byte by byte");
    expect_same(whole, play(setup, input, {{size / 3}, true}, reaction), "directly");
    expect_same(whole, play(setup, input, {every, true}, reaction), "directly and byte by byte");
    return whole;
}

std::string echo(const Setup& setup, std::string_view input, const std::vector<std::size_t>& cuts, bool in_few_steps) {
    Buffer output;
    const Limits limits = setup.limits;
    Connection connection(setup.role, output, limits, setup.deflate);
    std::size_t at = 0;
    const auto feed_until = [&](std::size_t end) {
        const auto bytes = std::make_unique<char[]>(end - at);  // for itself, as in Player::feed()
        std::copy_n(input.begin() + static_cast<std::ptrdiff_t>(at), end - at, bytes.get());
        connection.receive(bytes.get(), end - at);
        at = end;
        for (;;) {
            if (in_few_steps && connection.return_short_messages()) break;
            const auto event = connection.next();
            if (!event) break;
            if (event->opcode == Opcode::text || event->opcode == Opcode::binary)
                connection.send(event->opcode, event->payload);
        }
    };
    for (const std::size_t cut : cuts)
        feed_until(cut);
    feed_until(input.size());
    if (!connection.finished()) connection.end_of_input();
    const Closing& closing = connection.closing();
    return fmt::format("{}\n{} {} {}", fmt::join(frames_of(setup.role, output.view()), "\n"), closing.code,
                       closing.reason, closing.clean);
}

}  // namespace wire
