#pragma once
// The file at both ends of a transfer (transfer.hpp): cut into pieces here, put together there.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "udp/incoming_file.hpp"
#include "udp/transfer.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <openssl/rand.h>
#include <unistd.h>

namespace transfer {

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
    ArrivingFile(int folder, bool overwrite) : folder_(folder), overwrite_(overwrite) {}

    /// Throws FileError, for the sender, if it can't be taken or was not sent as announced; SocketError.
    void take(std::string_view piece, bool is_first, bool is_last, std::uint32_t id) {
        if (is_first) {
            const auto announced = parse_announcement(piece);
            if (!announced) throw FileError("the first piece does not say what comes");
            announced_ = *announced;
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
    Announcement announced_;
    std::unique_ptr<IncomingFile> file_;
    std::uint32_t crc_ = 0;
};

/// The part of a path behind its last slash.
inline std::string last_part(const std::string& path) { return path.substr(path.rfind('/') + 1); }

}  // namespace transfer
