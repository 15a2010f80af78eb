#include "common/stream.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"

#include <algorithm>

#include <poll.h>
#include <sys/time.h>
#include <unistd.h>

void send_all(int connection, const void* bytes, std::size_t count) {
    const char* next = static_cast<const char*>(bytes);
    while (count > 0) {
        const ssize_t sent = CALL(send(connection, next, count, 0));
        next += sent;
        count -= static_cast<std::size_t>(sent);
    }
}

void write_all(int fd, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t written = CALL(write(fd, bytes.data(), bytes.size()));
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
}

bool wait_until_readable(int fd, long milliseconds) {
    pollfd watched{fd, POLLIN, 0};
    return CALL(poll(&watched, 1, static_cast<int>(milliseconds))) > 0;
}

void limit_waiting(int connection, long seconds) {
    const timeval limit{.tv_sec = static_cast<time_t>(seconds), .tv_usec = 0};
    CALL(setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    CALL(setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
}

namespace {

/// Where the last UTF-8 character begins if some of its bytes are still to come; else the end.
std::size_t last_cut(std::string_view bytes) {
    for (std::size_t back = 1; back <= 3 && back <= bytes.size(); ++back) {
        const auto byte = static_cast<unsigned char>(bytes[bytes.size() - back]);
        if ((byte & 0xC0U) == 0x80U) continue;
        const bool begins = byte >= 0xC2 && byte <= 0xF4;  // a character of several bytes (RFC 3629, section 4)
        const std::size_t length = !begins ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : 2;
        return length > back ? bytes.size() - back : bytes.size();
    }
    return bytes.size();
}

}  // namespace

Output::Output() : terminal_(isatty(STDOUT_FILENO) == 1) {}

void Output::write(std::string_view bytes) {
    if (!terminal_) return write_all(STDOUT_FILENO, bytes);
    const std::string whole = cut_ + std::string(bytes);
    const std::size_t end = last_cut(whole);
    cut_ = whole.substr(end);
    std::string text;
    for (std::size_t begin = 0; begin < end;) {
        const std::size_t plain = std::min(whole.find_first_of("\n\t\\", begin), end);
        text += escaped(std::string_view(whole).substr(begin, plain - begin));
        if (plain < end) text += whole[plain];
        begin = plain + 1;
    }
    write_all(STDOUT_FILENO, text);
}

int connect_to_any(const std::vector<Address>& addresses) {
    for (std::size_t i = 0;; ++i) {
        const Address& address = addresses.at(i);
        const int fd = CALL(socket(address.family(), SOCK_STREAM, 0));
        try {
            CALL(connect(fd, address.get(), address.length()));
            return fd;
        } catch (const SocketError&) {
            close(fd);
            if (i + 1 == addresses.size()) throw;
        }
    }
}

ConnectedPair connect_to_itself(const Address& address) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, 1));
    const Address here = local_address(listener);
    const int client = CALL(socket(here.family(), SOCK_STREAM, 0));
    CALL(connect(client, here.get(), here.length()));
    const int server = CALL(accept(listener, nullptr, nullptr));
    CALL(close(listener));
    return {client, server};
}
