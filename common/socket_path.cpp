#include "common/socket_path.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

std::string private_socket_path(const std::string& name) {
    const char* runtime = std::getenv("XDG_RUNTIME_DIR");
    const std::string directory = runtime != nullptr && *runtime == '/'
                                      ? fmt::format("{}/two-terminals", runtime)
                                      : fmt::format("/tmp/two-terminals-{}", getuid());
    if (mkdir(directory.c_str(), 0700) == -1 && errno != EEXIST) {
        throw std::runtime_error(fmt::format("cannot make {}: {}", directory, describe_error(errno)));
    }
    // In /tmp anybody could have made it first, as a directory of their own or as a link into one.
    struct stat status {};
    if (lstat(directory.c_str(), &status) == -1) {
        throw std::runtime_error(fmt::format("cannot look at {}: {}", directory, describe_error(errno)));
    }
    if (!S_ISDIR(status.st_mode) || status.st_uid != getuid() || (status.st_mode & 077U) != 0) {
        throw std::runtime_error(
            fmt::format("{} is not a directory that only you can enter: make it one (chmod 700), or name another "
                        "socket with --path",
                        directory));
    }
    return directory + "/" + name;
}

Address unix_address(const std::string& path) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const std::size_t most = sizeof address.sun_path - 1;  // the last byte stays 0
    if (path.empty() || path.size() > most) {
        throw UsageError(fmt::format("--path: a path of {} bytes, expected 1 to {}", path.size(), most));
    }
    std::memcpy(address.sun_path, path.data(), path.size());
    const auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    return {reinterpret_cast<const sockaddr*>(&address), length};
}

namespace {

/// Is there a server behind this path, or anything else that is not ours to remove?
bool in_use(const std::string& path, const Address& address, int type) {
    struct stat status {};
    if (TRY(lstat(path.c_str(), &status)) == -1) return errno != ENOENT;  // gone: its owner has ended just now
    if (!S_ISSOCK(status.st_mode)) return true;

    const int probe = CALL(socket(AF_UNIX, type, 0));
    CALL(fcntl(probe, F_SETFL, O_NONBLOCK));  // a server whose queue is full would let us wait
    const bool refused = TRY(connect(probe, address.get(), address.length())) == -1 && errno == ECONNREFUSED;
    TRY(close(probe));
    return !refused;
}

}  // namespace

void bind_to_path(int socket, const std::string& path) {
    const Address address = unix_address(path);
    try {
        CALL(bind(socket, address.get(), address.length()));
    } catch (const SocketError& error) {
        int type = SOCK_STREAM;
        socklen_t length = sizeof type;
        if (error.code().value() != EADDRINUSE) throw;
        CALL(getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &length));  // a probe of another type gets no answer
        if (in_use(path, address, type)) throw;
        TRY(unlink(path.c_str()));
        CALL(bind(socket, address.get(), address.length()));
    }
    remove_at_exit(path);
}

namespace {

char file[sizeof(sockaddr_un)];  // an array, since the destructor of a string would run before atexit's functions
struct stat made;
pid_t owner = 0;

}  // namespace

void remove_at_exit(const std::string& path) {
    if (lstat(path.c_str(), &made) == -1 || path.size() >= sizeof file) return;
    std::memcpy(file, path.c_str(), path.size() + 1);
    owner = getpid();
    std::atexit(remove_socket_file);
}

void remove_socket_file() {
    struct stat now {};
    // A forked child has no right to it, and another server may have put its own in the same place.
    if (owner == getpid() && lstat(file, &now) == 0 && now.st_dev == made.st_dev && now.st_ino == made.st_ino) {
        unlink(file);
    }
}
