#pragma once
// A file that arrives from a stranger: written beside its place, and put there only when it is complete.
//
// The name is only a name: nothing with a slash in it, no "..", nothing hidden. So it can't be outside of the folder. A
// file that is there already stays as it is.

#include "common/call.hpp"
#include "common/errors.hpp"

#include <algorithm>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

/// Why a file can't be taken, in words for the one who sends it.
class FileError : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Is it a file's name, and not a way to anywhere else? At most 200 bytes; "." in front would hide it, and control
/// characters could command the terminal of whoever lists the folder.
inline bool is_plain_name(std::string_view name) {
    const auto is_wrong = [](unsigned char c) { return c == '/' || c < ' ' || c == 0x7F; };
    return !name.empty() && name.size() <= 200 && name.front() != '.' &&
           std::none_of(name.begin(), name.end(), is_wrong);
}

class IncomingFile {
public:
    /// folder: a descriptor of it, which must stay open. overwrite: a file of this name may be replaced.
    /// Throws FileError if there is one and it may not, or the name is none; SocketError if it can't be written.
    IncomingFile(int folder, const std::string& name, std::uint64_t number, bool overwrite = false)
        : folder_(folder), name_(name), temporary_(fmt::format(".{}.{:x}.part", name, number)), overwrite_(overwrite) {
        if (!is_plain_name(name)) throw FileError("this is no plain name of a file: " + escaped(name));
        struct stat there {};
        if (!overwrite && TRY(fstatat(folder_, name_.c_str(), &there, AT_SYMLINK_NOFOLLOW)) == 0)
            throw FileError("there is a file of this name: " + escaped(name));
        fd_ = CALL(openat(folder_, temporary_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    }
    ~IncomingFile() {
        if (fd_ == -1) return;
        TRY(close(fd_));
        TRY(unlinkat(folder_, temporary_.c_str(), 0));
    }
    IncomingFile(const IncomingFile&) = delete;
    IncomingFile& operator=(const IncomingFile&) = delete;

    /// Throws SocketError, ENOSPC for instance.
    void write(std::string_view bytes) {
        size_ += bytes.size();
        while (!bytes.empty()) {
            const ssize_t written = CALL(::write(fd_, bytes.data(), bytes.size()));
            bytes.remove_prefix(static_cast<std::size_t>(written));
        }
    }

    /// Gives it its name. Without overwrite that is a second name for it, since link() never replaces a file, and then
    /// the first one is removed. Throws FileError, SocketError.
    void finish() {
        if (overwrite_) {
            CALL(renameat(folder_, temporary_.c_str(), folder_, name_.c_str()));
        } else if (TRY(linkat(folder_, temporary_.c_str(), folder_, name_.c_str(), 0)) == -1) {
            throw FileError(fmt::format("{}: {}", escaped(name_), describe_error(errno)));
        } else {
            TRY(unlinkat(folder_, temporary_.c_str(), 0));
        }
        TRY(close(fd_));
        fd_ = -1;
    }

    std::uint64_t size() const { return size_; }  ///< bytes written

private:
    int folder_;
    std::string name_, temporary_;
    bool overwrite_;
    int fd_ = -1;
    std::uint64_t size_ = 0;
};
