#pragma once
// What goes out to one client in one go: small things are copied together, large messages are sent from where they are.

#include "common/call.hpp"
#include "websocket/protocol/connection.hpp"

#include <algorithm>
#include <array>
#include <cstddef>

#include <sys/socket.h>
#include <sys/uio.h>

namespace websocket {

/// Gathers the answers to everything that one recv() brought, for one sendmsg(). One call for ten small messages
/// instead of ten is what decides the speed of a server: a call takes more time than a small message does.
class Outbox {
public:
    /// Where small things are appended: pongs, Close frames, handshakes.
    Buffer& buffer() { return buffer_; }

    /// Adds a message to be sent as it came; none, if nothing can be sent to this peer any more. stays: its bytes are
    /// where they are until more has been received.
    /// True if they must stay there until the outbox is sent, false if they were copied.
    bool add_message(Connection& peer, Opcode opcode, std::string_view payload, bool stays) {
        const std::size_t worth_a_piece = stays ? 2048 : 65536;  // a send() of its own costs more than some copying
        std::array<char, most_header_bytes> header;
        if (payload.size() < worth_a_piece || is_full()) {
            peer.send(opcode, payload);
            return false;
        }
        const std::size_t size = peer.message_header(opcode, payload.size(), header.data());
        if (size == 0) {  // compressed, for instance
            peer.send(opcode, payload);
            return false;
        }
        buffer_.append({header.data(), size});
        end_run();
        pieces_[count_++] = {payload.data(), payload.size()};
        bytes_ += payload.size();
        return true;
    }

    /// Time to send: what was copied together still is in the cache, and the next messages would not be.
    bool is_large() const { return is_full() || bytes_ + buffer_.size() >= (std::size_t{256} << 10U); }

    /// Sends as much as the kernel takes, and appends the rest to unsent. Throws SocketError if nobody is there any
    /// more.
    void send_to(int fd, Buffer& unsent);

    /// Appends all of it to unsent, in order.
    void append_to(Buffer& unsent) { append_rest(unsent, 0); }

private:
    struct Piece {
        const char* bytes;  // nullptr: the next bytes of buffer_, which may still move
        std::size_t count;
    };

    /// A message needs two pieces, and one may follow it.
    bool is_full() const { return count_ + 3 > pieces_.size(); }

    /// What has been appended to the buffer since the last piece becomes a piece of its own.
    void end_run() {
        if (buffer_.size() > run_) pieces_[count_++] = {nullptr, buffer_.size() - run_};
        run_ = buffer_.size();
    }

    void clear() {
        buffer_.clear();
        count_ = run_ = bytes_ = 0;
    }

    void append_rest(Buffer& unsent, std::size_t skip);

    Buffer buffer_;
    std::array<Piece, 64> pieces_{};
    std::size_t count_ = 0;
    std::size_t run_ = 0;    // how much of buffer_ stands in pieces already
    std::size_t bytes_ = 0;  // in pieces outside of buffer_
};

inline void Outbox::send_to(int fd, Buffer& unsent) {
    ssize_t sent = 0;
    if (count_ == 0) {
        if (buffer_.empty()) return;
        sent = TRY(send(fd, buffer_.data(), buffer_.size(), MSG_DONTWAIT));
    } else {
        end_run();
        std::array<iovec, 64> vector;
        const char* next = buffer_.data();
        for (std::size_t i = 0; i < count_; ++i) {
            const Piece& piece = pieces_[i];
            vector[i] = {const_cast<char*>(piece.bytes != nullptr ? piece.bytes : next), piece.count};
            if (piece.bytes == nullptr) next += piece.count;
        }
        msghdr message{};
        message.msg_iov = vector.data();
        message.msg_iovlen = static_cast<decltype(message.msg_iovlen)>(count_);
        sent = TRY(sendmsg(fd, &message, MSG_DONTWAIT));
    }
    if (sent == -1 && errno != EAGAIN && errno != EINTR) {
        const int error = errno;
        clear();
        throw SocketError(error, {"send(fd, ...)", __FILE__, __LINE__});
    }
    append_rest(unsent, static_cast<std::size_t>(std::max<ssize_t>(sent, 0)));
}

inline void Outbox::append_rest(Buffer& unsent, std::size_t skip) {
    end_run();
    if (skip < buffer_.size() + bytes_) {
        const char* next = buffer_.data();
        for (std::size_t i = 0; i < count_; ++i) {
            const char* bytes = pieces_[i].bytes != nullptr ? pieces_[i].bytes : next;
            if (pieces_[i].bytes == nullptr) next += pieces_[i].count;
            const std::size_t skipped = std::min(skip, pieces_[i].count);
            skip -= skipped;
            unsent.append({bytes + skipped, pieces_[i].count - skipped});
        }
    }
    clear();
}

}  // namespace websocket
