#include "websocket/protocol/connection.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>

namespace websocket {

namespace {

/// So many pings that come together are answered one by one; of a flood, only the last is (RFC 6455, section 5.5.3).
constexpr std::uint32_t flood_of_pings = 64;

// How a message in one frame begins: FIN and the opcode; and how long it is at most if its length needs no more bytes.
constexpr std::uint8_t short_text = 0x80U | static_cast<unsigned>(Opcode::text);
constexpr std::uint8_t short_binary = 0x80U | static_cast<unsigned>(Opcode::binary);
constexpr std::size_t most_short_bytes = 125;

/// Unmasks count bytes while it copies them, in words of eight. Of those behind them it may read up to readable, which
/// counts from the first, and may overwrite seven. Returns whether the count bytes are ASCII.
bool unmask_to(char* to, const char* from, std::size_t count, std::size_t readable, std::uint32_t key) {
    const std::uint64_t mask = std::uint64_t{key} << 32U | key;
    std::uint64_t any = 0;  // the bits that are set in any of the bytes
    std::uint64_t word = 0;
    for (; count >= sizeof word; count -= sizeof word, readable -= sizeof word) {
        std::memcpy(&word, from, sizeof word);
        word ^= mask;
        std::memcpy(to, &word, sizeof word);
        any |= word;
        from += sizeof word;
        to += sizeof word;
    }
    if (count > 0) {
        if (readable >= sizeof word) {
            std::memcpy(&word, from, sizeof word);
        } else {
            std::memcpy(&word, from, count);
        }
        word ^= mask;
        std::memcpy(to, &word, sizeof word);
        const std::size_t behind = 8 * (sizeof word - count);  // bits
        any |= std::endian::native == std::endian::little ? word << behind : word >> behind;
    }
    return (any & 0x8080808080808080U) == 0;
}

}  // namespace

/// Made only where permessage-deflate was agreed on, and each direction only when it is first used: the windows take
/// up to 256 KiB and 40 KiB.
struct Connection::Deflate {
    DeflateParameters parameters;
    std::unique_ptr<Deflater> out;
    std::unique_ptr<Inflater> in;
    Buffer scratch;

    Deflater& deflater(Role role) {
        const bool server = role == Role::server;
        if (!out) {
            out = std::make_unique<Deflater>(
                server ? parameters.server_max_window_bits : parameters.client_max_window_bits,
                server ? parameters.server_no_context_takeover : parameters.client_no_context_takeover);
        }
        return *out;
    }

    Inflater& inflater(Role role) {
        const bool server = role == Role::server;
        if (!in) {
            in = std::make_unique<Inflater>(
                server ? parameters.client_max_window_bits : parameters.server_max_window_bits,
                server ? parameters.client_no_context_takeover : parameters.server_no_context_takeover);
        }
        return *in;
    }
};

const Limits& Connection::default_limits() {
    static const Limits limits;
    return limits;
}

Connection::Connection(Role role, Buffer& output, const Limits& limits, const std::optional<DeflateParameters>& deflate)
    : output_(&output), limits_(&limits), role_(role) {
    if (deflate) deflate_ = std::make_unique<Deflate>(Deflate{*deflate, nullptr, nullptr, {}});
}

Connection::~Connection() = default;
Connection::Connection(Connection&&) noexcept = default;

const Closing& Connection::closing() const {
    static const Closing not_yet;
    return closing_ ? *closing_ : not_yet;
}

// ---- What arrives

void Connection::receive(char* bytes, std::size_t count) {
    input_ = bytes;
    input_end_ = bytes + count;
    pings_ = 0;
}

bool Connection::return_short_messages() {
    if (!is_between_messages() || role_ != Role::server || close_sent_ || sending_ || deflate_) return false;
    constexpr std::size_t header = 6;         // of a masked frame with a short length
    constexpr std::size_t answer_header = 2;  // and of one that is not masked
    const std::size_t most = std::min(most_short_bytes, limits_->message_bytes);
    // An answer is shorter than what it answers, so this is room enough.
    char* out = output_->extend(static_cast<std::size_t>(input_end_ - input_) + sizeof(std::uint64_t));
    for (;;) {
        const auto here = static_cast<std::size_t>(input_end_ - input_);
        if (here < header) break;
        const auto first = static_cast<std::uint8_t>(input_[0]);
        const std::size_t length = static_cast<std::uint8_t>(input_[1]) ^ 0x80U;  // without a mask above 125, too
        if ((first != short_text && first != short_binary) || length > most || length > here - header) break;

        std::uint32_t key;
        std::memcpy(&key, input_ + 2, sizeof key);
        const bool ascii = unmask_to(out + answer_header, input_ + header, length, here - header, key);
        if (!ascii && first == short_text && !is_utf8({out + answer_header, length})) break;
        out[0] = static_cast<char>(first);
        out[1] = static_cast<char>(length);
        out += answer_header + length;
        input_ += header + length;
    }
    output_->truncate(static_cast<std::size_t>(out - output_->data()));
    return input_ == input_end_ && !pong_owed_;
}

std::optional<Event> Connection::next_of_any_kind() {
    if (message_given_) {
        partial_.release();
        message_given_ = false;
    }
    while (!finished_) {
        if (!in_frame_ && !begin_frame()) break;
        const auto here = static_cast<std::size_t>(input_end_ - input_);
        const std::size_t count = std::min<std::uint64_t>(remaining_, here);
        if (count == 0 && remaining_ > 0) break;
        const std::optional<Event> event = is_control(opcode_) ? take_control(count) : take_data(count);
        if (event) return event;
    }
    settle_pong();
    if (!close_event_due_) return {};
    close_event_due_ = false;
    return Event{Opcode::close, closing_->reason};
}

/// Reads a frame's header. False if it is not complete, or if the connection has failed because of it.
bool Connection::begin_frame() {
    const auto here = static_cast<std::size_t>(input_end_ - input_);
    std::string_view bytes(input_, here);
    if (head_size_ > 0) {  // its first bytes came earlier
        const std::size_t more = std::min(here, head_.size() - head_size_);
        if (more > 0) std::memcpy(head_.data() + head_size_, input_, more);
        bytes = {head_.data(), head_size_ + more};
    }
    FrameHeader header;
    const ParsedHeader parsed = parse_header(bytes, header);
    if (bytes.size() >= 2 && !judge_start(header, static_cast<std::uint8_t>(bytes[1]) & 0x7FU)) return false;
    switch (parsed.status) {
        case HeaderStatus::too_long:
            return fail(close_code::protocol_error, "a length has its top bit set");
        case HeaderStatus::not_shortest:
            return fail(close_code::protocol_error, "a length is not in its shortest form");
        case HeaderStatus::incomplete:
            if (head_size_ == 0 && here > 0) std::memcpy(head_.data(), input_, here);
            head_size_ = static_cast<std::uint8_t>(bytes.size());
            input_ = input_end_;
            return false;
        case HeaderStatus::complete:
            break;
    }
    input_ += parsed.size - head_size_;
    head_size_ = 0;
    if (!is_control(header.opcode) && !judge_message(header)) return false;

    in_frame_ = true;
    opcode_ = header.opcode;
    fin_ = header.fin;
    masked_ = header.masked;
    key_ = header.key;
    remaining_ = header.length;
    position_ = 0;
    return true;
}

/// What the first two bytes of a frame tell. False if the connection has failed because of it.
bool Connection::judge_start(const FrameHeader& header, unsigned length_form) {
    const auto wrong = [&](std::string_view reason) { return fail(close_code::protocol_error, reason); };
    const bool starts_message = header.opcode == Opcode::text || header.opcode == Opcode::binary;
    if (header.rsv2 || header.rsv3) return wrong("a reserved bit is set");
    if (header.rsv1 && !(deflate_ && starts_message)) return wrong("RSV1 is set where no compressed message begins");
    if (!is_known(header.opcode)) return wrong("a reserved opcode");
    if (role_ == Role::server && !header.masked) return wrong("a client must mask its frames");
    if (role_ == Role::client && header.masked) return wrong("a server must not mask its frames");
    if (is_control(header.opcode)) {
        if (!header.fin) return wrong("a control frame is fragmented");
        if (length_form > most_control_bytes) return wrong("a control frame has more than 125 bytes");
        return true;
    }
    if (starts_message && message_opcode_ != Opcode::continuation) return wrong("a message begins within another");
    if (!starts_message && message_opcode_ == Opcode::continuation) return wrong("a continuation of no message");
    return true;
}

/// A data frame as a part of its message. False if the connection has failed because of it.
bool Connection::judge_message(const FrameHeader& header) {
    if (header.opcode != Opcode::continuation) {
        message_opcode_ = header.opcode;
        compressed_ = header.rsv1;
        fragments_ = 0;
        utf8_.reset();
    }
    if (++fragments_ > limits_->fragments)
        return fail(close_code::policy_violation, "a message has too many fragments");
    // Of a compressed message only what comes out counts, and is counted when it does. Written so that no sum
    // overflows.
    if (!compressed_ && header.length > limits_->message_bytes - partial_.size()) {
        return fail(close_code::too_big, "a message is too big");
    }
    return true;
}

std::optional<Event> Connection::take_control(std::size_t count) {
    char* bytes = input_;
    input_ += count;
    remaining_ -= count;
    if (position_ > 0 || remaining_ > 0) {  // it does not come whole
        if (position_ == 0) {
            settle_pong();
            control_ = std::make_unique<Buffer>();
        }
        control_->append({bytes, count});
        position_ += count;
        if (remaining_ > 0) return {};
        bytes = control_->data();
        count = control_->size();
    }
    in_frame_ = false;
    if (masked_) apply_mask(bytes, count, key_);
    return finish_control({bytes, count});
}

std::optional<Event> Connection::finish_control(std::string_view payload) {
    if (opcode_ == Opcode::close) {
        settle_pong();
        receive_close(payload);
        return {};
    }
    if (opcode_ == Opcode::ping) answer_ping(payload);
    return Event{opcode_, payload};
}

void Connection::answer_ping(std::string_view payload) {
    if (++pings_ <= flood_of_pings) {
        pong(payload);
        return;
    }
    if (!control_) control_ = std::make_unique<Buffer>();
    if (payload.data() != control_->data()) {
        control_->clear();
        control_->append(payload);
    }
    pong_owed_ = true;
}

void Connection::settle_pong() {
    if (!pong_owed_) return;
    pong_owed_ = false;
    pong(control_->view());
}

void Connection::receive_close(std::string_view payload) {
    if (payload.size() == 1) {
        fail(close_code::protocol_error, "a Close frame has half a code");
        return;
    }
    if (payload.empty()) return finish(close_code::none, "", true);
    const auto code =
        static_cast<std::uint16_t>(static_cast<std::uint8_t>(payload[0]) << 8U | static_cast<std::uint8_t>(payload[1]));
    if (!may_travel(code)) {
        fail(close_code::protocol_error, "a Close frame has a code that may not travel");
    } else if (!is_utf8(payload.substr(2))) {
        fail(close_code::invalid_data, "a Close frame has a reason that is not UTF-8");
    } else {
        finish(code, payload.substr(2), true);
    }
}

std::optional<Event> Connection::take_data(std::size_t count) {
    char* bytes = input_;
    input_ += count;
    remaining_ -= count;
    if (masked_) apply_mask(bytes, count, key_, position_);
    position_ += count;
    const bool end_of_message = fin_ && remaining_ == 0;
    if (remaining_ == 0) in_frame_ = false;

    std::string_view message(bytes, count);
    if (end_of_message && !compressed_ && partial_.empty()) {  // it is here whole, and can be given from where it is
        if (!check_text(message, true)) return {};
    } else {
        if (!add_to_message(bytes, count, end_of_message) || !end_of_message) return {};
        message = partial_.view();
        message_given_ = true;
    }
    return Event{std::exchange(message_opcode_, Opcode::continuation), message};
}

bool Connection::add_to_message(char* bytes, std::size_t count, bool end_of_message) {
    const std::size_t before = partial_.size();
    if (!compressed_) {
        partial_.append({bytes, count});
        return check_text({bytes, count}, end_of_message);
    }
    const auto result =
        deflate_->inflater(role_).decompress({bytes, count}, end_of_message, limits_->message_bytes, partial_);
    // First what came out, then what could not: so the first fault decides, however the bytes were cut.
    const bool whole = end_of_message && result == Inflater::Result::done;
    if (!check_text(partial_.view().substr(before), whole)) return false;
    if (result == Inflater::Result::too_big) return fail(close_code::too_big, "a message is too big");
    if (result == Inflater::Result::malformed) return fail(close_code::invalid_data, "a message is not DEFLATE data");
    return true;
}

/// A text message must be UTF-8, and is given up at the first byte that can't be (section 8.1).
bool Connection::check_text(std::string_view piece, bool end_of_message) {
    if (message_opcode_ != Opcode::text) return true;
    if (utf8_.accept(piece) && (!end_of_message || utf8_.complete())) return true;
    return fail(close_code::invalid_data, "a text message is not UTF-8");
}

std::optional<Connection::Room> Connection::room() {
    constexpr std::size_t worth_it = std::size_t{64} << 10U;
    constexpr std::size_t piece = std::size_t{256} << 10U;  // small enough to be unmasked while it is in the cache
    if (finished_ || !in_frame_ || is_control(opcode_) || compressed_ || remaining_ < worth_it) return {};
    const std::size_t count = std::min<std::uint64_t>(remaining_, piece);
    char* bytes = partial_.extend(count);
    partial_.truncate(partial_.size() - count);
    return Room{bytes, count};
}

void Connection::received_directly(std::size_t count) {
    input_ = input_end_ = nullptr;
    char* bytes = partial_.extend(count);
    if (masked_) apply_mask(bytes, count, key_, position_);
    position_ += count;
    remaining_ -= count;
    check_text({bytes, count}, false);
}

void Connection::end_of_input() {
    if (!finished_) finish(close_code::abnormal, "", false);
    close_event_due_ = false;
}

/// The connection is over, one way or the other; next() says so. Answers a Close frame that has not been answered.
void Connection::finish(std::uint16_t code, std::string_view reason, bool clean) {
    if (clean) close(code);
    closing_ = std::make_unique<Closing>(Closing{code, std::string(reason), clean});
    finished_ = true;
    close_event_due_ = true;
    in_frame_ = false;
    input_ = input_end_;
    partial_.release();
}

/// Fails the connection (section 7.1.7). Always false.
bool Connection::fail(std::uint16_t code, std::string_view reason) {
    close(code, reason);
    finish(code, reason, false);
    return false;
}

// ---- What is sent

void Connection::put_frame(FrameHeader header, std::string_view payload) {
    header.length = payload.size();
    header.masked = role_ == Role::client;
    if (header.masked) header.key = fresh_key();
    std::array<char, most_header_bytes> bytes;
    output_->append({bytes.data(), write_header(header, bytes.data())});
    output_->append(payload);
    if (header.masked) apply_mask(output_->data() + output_->size() - payload.size(), payload.size(), header.key);
}

bool Connection::send_whole(Opcode opcode, std::string_view payload) {
    return !sending_ && send_fragment(opcode, payload, true);
}

bool Connection::send_fragment(Opcode opcode, std::string_view piece, bool last) {
    if (close_sent_) return false;
    FrameHeader header;
    header.fin = last;
    header.opcode = sending_ ? Opcode::continuation : opcode;
    if (deflate_) {
        header.rsv1 = !sending_;
        deflate_->scratch.clear();
        deflate_->deflater(role_).compress(piece, last, deflate_->scratch);
        piece = deflate_->scratch.view();
    }
    sending_ = !last;
    put_frame(header, piece);
    if (deflate_ && deflate_->scratch.capacity() > 65536) deflate_->scratch.release();
    return true;
}

bool Connection::put_control(Opcode opcode, std::string_view payload) {
    if (close_sent_) return false;
    FrameHeader header;
    header.opcode = opcode;
    put_frame(header, payload.substr(0, most_control_bytes));
    return true;
}

bool Connection::ping(std::string_view payload) { return put_control(Opcode::ping, payload); }
bool Connection::pong(std::string_view payload) { return put_control(Opcode::pong, payload); }

void Connection::close(std::uint16_t code, std::string_view reason) {
    std::string payload;
    if (code != close_code::none) {
        payload += static_cast<char>(code >> 8U);
        payload += static_cast<char>(code & 0xFFU);
        std::size_t size = std::min(reason.size(), most_control_bytes - 2);
        // Not in the middle of a character, of which the later bytes begin with 10.
        while (size > 0 && size < reason.size() && (static_cast<std::uint8_t>(reason[size]) & 0xC0U) == 0x80U)
            --size;
        payload += reason.substr(0, size);
    }
    if (put_control(Opcode::close, payload)) close_sent_ = true;
}

std::size_t Connection::message_header(Opcode opcode, std::size_t length, char* out) const {
    if (close_sent_ || sending_ || deflate_ || role_ == Role::client) return 0;
    FrameHeader header;
    header.opcode = opcode;
    header.length = length;
    return write_header(header, out);
}

}  // namespace websocket
