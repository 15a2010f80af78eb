#pragma once
// A WebSocket connection after its handshake (RFC 6455, sections 5 to 7; RFC 7692): bytes in, events and bytes out.
//
//     Buffer output;
//     Connection peer(Role::server, output);
//     while ((count = recv(fd, buffer, sizeof buffer, 0)) > 0 && !peer.finished()) {
//         peer.receive(buffer, count);
//         while (const auto event = peer.next()) { ... peer.send(event->opcode, event->payload) ... }
//         send_all(fd, output.data(), output.size()), output.clear();
//     }
//
// It makes no system call, owns no descriptor and keeps no time. Pings and Close frames answer themselves.

#include "websocket/protocol/buffer.hpp"
#include "websocket/protocol/close_code.hpp"
#include "websocket/protocol/deflate.hpp"
#include "websocket/protocol/frame.hpp"
#include "websocket/protocol/utf8.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace websocket {

enum class Role : std::uint8_t { client, server };

struct Limits {
    std::size_t message_bytes = std::size_t{16} << 20U;  ///< of one message, uncompressed; beyond: Close 1009
    std::uint32_t fragments = 1U << 17U;                 ///< of one message; beyond: Close 1008
};

/// Something that has arrived. The payload is valid until the next call of next().
struct Event {
    /// text, binary: a whole message. ping: has been answered. pong. close: the connection is over; closing() says how.
    Opcode opcode;
    std::string_view payload;
};

/// How a connection ended.
struct Closing {
    std::uint16_t code = close_code::abnormal;  ///< what the peer said; where we failed the connection, what we said
    std::string reason;
    bool clean = false;  ///< a Close frame went each way (section 7.1.4)
};

class Connection {
public:
    /// Bytes to be sent are appended to output, which may serve several connections in turn. Both references must
    /// outlive the connection. deflate: the parameters of permessage-deflate, if the handshake agreed on it.
    Connection(Role role, Buffer& output, const Limits& limits = default_limits(),
               const std::optional<DeflateParameters>& deflate = {});
    ~Connection();
    Connection(Connection&&) noexcept;

    /// Hands over bytes that arrived. They are unmasked where they stand, and must stay there until next() returns
    /// nothing.
    void receive(char* bytes, std::size_t count);

    /// The next event, or nothing when the bytes are used up or the connection is over.
    std::optional<Event> next() {
        std::optional<Event> event = next_small_message();
        if (!event) event = next_of_any_kind();
        return event;  // made where the caller wants it, and not copied
    }

    /// Nothing has arrived of a message or a frame that is not complete, and more may come.
    bool is_between_messages() const {
        const bool in_message = message_opcode_ != Opcode::continuation;
        return !(in_message || in_frame_ || head_size_ > 0 || message_given_ || finished_);
    }

    /// For a server that returns what it gets: takes the short messages that come next, each whole in one frame, and
    /// sends each back. It is what next() and send() would do, but reads and writes every byte only once. What is not
    /// that simple is left to them. True if nothing is.
    bool return_short_messages();

    /// In the middle of a large message: where its next bytes may be received directly, saving a copy; else nothing.
    /// received_directly() then takes the place of receive().
    struct Room {
        char* bytes;
        std::size_t count;
    };
    std::optional<Room> room();
    void received_directly(std::size_t count);

    /// The peer has ended the stream. Without Close frames both ways, closing() says 1006.
    void end_of_input();

    /// Sends a message; text must be UTF-8. False, and nothing is sent, once a Close frame has been.
    bool send(Opcode opcode, std::string_view payload) {
        // A server's short message, the common case: two bytes and the payload as it is.
        if (payload.size() > 125 || role_ != Role::server || close_sent_ || sending_ || deflate_) [[unlikely]] {
            return send_whole(opcode, payload);
        }
        char* frame = output_->extend(2 + payload.size());
        frame[0] = static_cast<char>(0x80U | static_cast<unsigned>(opcode));
        frame[1] = static_cast<char>(payload.size());
        if (!payload.empty()) std::memcpy(frame + 2, payload.data(), payload.size());
        return true;
    }

    /// Sends a message in fragments: opcode counts for the first, and last ends it. False as send().
    bool send_fragment(Opcode opcode, std::string_view piece, bool last);

    /// At most 125 bytes of payload, of which more is cut off. False as send().
    bool ping(std::string_view payload = "");
    bool pong(std::string_view payload = "");

    /// Starts the closing handshake; nothing can be sent afterwards. The reason is cut at a character's end so that it
    /// fits into 123 bytes. code: one that may travel, or close_code::none for an empty Close frame.
    void close(std::uint16_t code, std::string_view reason = "");

    bool close_sent() const { return close_sent_; }

    /// Nothing more is expected of the peer: send what is left, then end the TCP connection. The server does so first,
    /// a client waits for it a little while (section 7.1.1).
    bool finished() const { return finished_; }

    /// How it ended, once finished() or after end_of_input().
    const Closing& closing() const;

    Role role() const { return role_; }
    bool compresses() const { return deflate_ != nullptr; }

    /// The header with which a message of this length goes out uncompressed from a server, for programs that send the
    /// payload from where it is. Returns its size; 0 once a Close frame has been sent.
    std::size_t message_header(Opcode opcode, std::size_t length, char* out) const;

    static const Limits& default_limits();

private:
    struct Deflate;

    std::optional<Event> next_small_message();
    std::optional<Event> next_of_any_kind();
    bool begin_frame();
    bool judge_start(const FrameHeader& header, unsigned length_form);
    bool judge_message(const FrameHeader& header);
    std::optional<Event> take_control(std::size_t count);
    std::optional<Event> take_data(std::size_t count);
    bool add_to_message(char* bytes, std::size_t count, bool end_of_message);
    bool check_text(std::string_view piece, bool end_of_message);
    std::optional<Event> finish_control(std::string_view payload);
    void receive_close(std::string_view payload);
    void answer_ping(std::string_view payload);
    void settle_pong();
    bool fail(std::uint16_t code, std::string_view reason);
    void finish(std::uint16_t code, std::string_view reason, bool clean);
    bool send_whole(Opcode opcode, std::string_view payload);
    void put_frame(FrameHeader header, std::string_view payload);
    bool put_control(Opcode opcode, std::string_view payload);

    Buffer* output_;
    const Limits* limits_;
    std::unique_ptr<Deflate> deflate_;
    std::unique_ptr<Closing> closing_;
    char* input_ = nullptr;
    char* input_end_ = nullptr;

    Buffer partial_;  // a message, or a control frame's payload, that has not come whole
    std::unique_ptr<Buffer> control_;
    std::uint64_t remaining_ = 0;  // payload bytes of the frame that are still to come
    std::uint64_t position_ = 0;   // and those that have
    std::uint32_t fragments_ = 0;
    std::uint32_t pings_ = 0;  // in the bytes that receive() was given last
    MaskingKey key_{};
    std::array<char, most_header_bytes> head_{};  // a header that is not complete
    std::uint8_t head_size_ = 0;
    Utf8 utf8_;
    Opcode opcode_ = Opcode::continuation;          // of the frame
    Opcode message_opcode_ = Opcode::continuation;  // of the message begun; continuation: none
    Role role_;
    bool in_frame_ : 1 = false;
    bool fin_ : 1 = false;
    bool masked_ : 1 = false;
    bool compressed_ : 1 = false;     // the message begun
    bool message_given_ : 1 = false;  // partial_ holds a message that next() has returned
    bool close_sent_ : 1 = false;
    bool finished_ : 1 = false;
    bool sending_ : 1 = false;    // a message in fragments is on its way out
    bool pong_owed_ : 1 = false;  // control_ holds the payload of the last ping of a flood
    bool close_event_due_ : 1 = false;
};

/// The common case in few steps, and in line: a whole message in one frame with a short length. It does nothing that
/// the general case would not do, and leaves to that whatever is special.
inline std::optional<Event> Connection::next_small_message() {
    const bool masked = role_ == Role::server;
    const std::size_t header = masked ? 6 : 2;
    const auto here = static_cast<std::size_t>(input_end_ - input_);
    if (here < header || finished_ || in_frame_ || head_size_ > 0 || message_given_) return {};
    if (message_opcode_ != Opcode::continuation) return {};
    const auto first = static_cast<std::uint8_t>(input_[0]);
    // Above 125 if it has a longer form, or if it is masked and should not be, or the other way round.
    const std::size_t length = static_cast<std::uint8_t>(input_[1]) ^ (masked ? 0x80U : 0U);
    const bool text = first == (0x80U | static_cast<unsigned>(Opcode::text));
    const bool binary = first == (0x80U | static_cast<unsigned>(Opcode::binary));
    if (!(text || binary) || length > 125 || here - header < length || length > limits_->message_bytes) return {};

    char* payload = input_ + header;
    MaskingKey key{};  // of an unmasked frame: zeros, which change nothing
    if (masked) std::memcpy(key.data(), input_ + 2, key.size());
    const bool ascii = apply_mask_to_few(payload, length, key) < 0x80;
    input_ += header + length;
    if (text && !ascii && !is_utf8({payload, length})) {
        fail(close_code::invalid_data, "a text message is not UTF-8");
        return {};
    }
    return Event{text ? Opcode::text : Opcode::binary, {payload, length}};
}

}  // namespace websocket
