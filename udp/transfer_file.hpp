#pragma once
// The file at both ends of a transfer (transfer.hpp): cut into pieces here, put together there.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "udp/incoming_file.hpp"
#include "udp/transfer.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/rand.h>
#include <unistd.h>

namespace transfer {

using Clock = std::chrono::steady_clock;

/// A number that nobody else has chosen, and nobody can guess who does not see our datagrams. Throws
/// std::runtime_error.
inline std::uint32_t random_number() {
    std::uint32_t number = 0;
    if (RAND_bytes(reinterpret_cast<unsigned char*>(&number), sizeof number) != 1)
        throw std::runtime_error("no random numbers");
    return number;
}

/// A file to be sent: a path, or standard input to its end for "-". Its pieces can be asked for in any order.
class OutgoingFile {
public:
    /// Throws SocketError if it can't be read.
    OutgoingFile(const std::string& path, std::string name) : name_(std::move(name)) {
        const int fd = path == "-" ? STDIN_FILENO : CALL(open(path.c_str(), O_RDONLY | O_CLOEXEC));
        char buffer[65536];
        while (const ssize_t count = CALL(read(fd, buffer, sizeof buffer)))
            bytes_.append(buffer, static_cast<std::size_t>(count));
        if (fd != STDIN_FILENO) CALL(close(fd));
    }

    std::uint64_t size() const { return bytes_.size(); }
    std::uint64_t pieces() const { return pieces_of(size()); }

    std::string piece(std::uint64_t index) const {
        if (index == 0) return to_bytes(Announcement{size(), name_});
        if (index + 1 == pieces()) return FieldWriter().u32(crc(bytes_)).str();
        return bytes_.substr((index - 1) * piece_size, piece_size);
    }

private:
    std::string name_, bytes_;
};

/// A file that arrives, piece by piece in order.
class ArrivingFile {
public:
    /// most: bytes that are taken of one file.
    ArrivingFile(int folder, bool overwrite, long most) : folder_(folder), overwrite_(overwrite), most_(most) {}

    /// Throws FileError, for the sender, if it can't be taken or was not sent as announced; SocketError.
    void take(std::string_view piece, bool is_first, bool is_last, std::uint32_t id) {
        if (is_first) {
            const auto announced = parse_announcement(piece);
            if (!announced) throw FileError("the first piece does not say what comes");
            announced_ = *announced;
            if (announced_.size > static_cast<std::uint64_t>(most_))
                throw FileError(fmt::format("more than {} bytes are not taken", most_));
            file_ = std::make_unique<IncomingFile>(folder_, announced_.name, id, overwrite_);
        } else if (is_last) {
            FieldReader in(piece);
            if (in.u32() != crc_ || !in.whole() || in.left() > 0 || file_->size() != announced_.size)
                throw FileError("the file has arrived, but not as it was sent");
            file_->finish();
        } else {
            if (file_->size() + piece.size() > announced_.size) throw FileError("there is more than was announced");
            crc_ = crc(piece, crc_);
            file_->write(piece);
        }
    }

    std::string text() const { return fmt::format("{} ({} bytes)", escaped(announced_.name), announced_.size); }

private:
    int folder_;
    bool overwrite_;
    long most_;
    Announcement announced_;
    std::unique_ptr<IncomingFile> file_;
    std::uint32_t crc_ = 0;
};

/// How a transfer has ended: complete, and then this is the number behind its last piece; or why not.
struct Ending {
    Address sender;
    std::uint32_t id = 0;
    std::uint32_t next = 0;
    std::string error = {};
    Clock::time_point when = Clock::now();
};

/// What is to be answered when a piece of it comes again. Refers to the ending.
inline Packet answer_of(const Ending& ending, const Packet& piece) {
    if (!ending.error.empty()) return {Kind::error, 0, 0, ending.id, 0, 0, ending.error};
    return {Kind::ack, 0, 1, ending.id, ending.next, piece.stamp, ""};
}

/// The transfers that are over. Where the last acknowledgement was lost, the sender asks again, and somebody has to
/// know the answer, though others send meanwhile. TCP has TIME_WAIT for that (RFC 9293, section 3.3.2); and as there,
/// nothing that comes late can begin the same transfer anew.
class Endings {
public:
    void add(Ending ending) {
        while (!all_.empty() && (all_.size() >= most || Clock::now() - all_.front().when > lifetime))
            all_.pop_front();
        all_.push_back(std::move(ending));
    }

    /// nullptr if there is none, or none any more.
    const Ending* find(const Address& sender, std::uint32_t id) const {
        const auto found = std::find_if(all_.begin(), all_.end(),
                                        [&](const Ending& one) { return one.id == id && one.sender == sender; });
        return found == all_.end() ? nullptr : &*found;
    }

private:
    static constexpr std::size_t most = 64;
    static constexpr std::chrono::seconds lifetime{120};  // longer than a sender goes on asking

    std::deque<Ending> all_;
};

/// The part of a path behind its last slash.
inline std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace transfer
