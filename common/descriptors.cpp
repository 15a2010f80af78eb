#include "common/descriptors.hpp"

#include "common/call.hpp"

#include <algorithm>
#include <cstring>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
    if (this != &other) {
        reset();
        fd_ = other.release();
    }
    return *this;
}

void Descriptor::reset() {
    if (fd_ != -1) close(fd_);
    fd_ = -1;
}

namespace {

constexpr std::size_t most_at_once = 253;  // SCM_MAX_FD of Linux

/// Room for a control message with descriptors, aligned as its header wants it.
union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(most_at_once * sizeof(int))];
};

}  // namespace

std::size_t send_with_descriptors(int socket, const void* bytes, std::size_t count, std::span<const int> descriptors) {
    iovec piece{const_cast<void*>(bytes), count};
    Control control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    if (!descriptors.empty()) {
        const std::size_t size = std::min(descriptors.size(), most_at_once) * sizeof(int);
        message.msg_control = control.bytes;
        message.msg_controllen = static_cast<decltype(message.msg_controllen)>(CMSG_SPACE(size));
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = static_cast<decltype(header->cmsg_len)>(CMSG_LEN(size));
        std::memcpy(CMSG_DATA(header), descriptors.data(), size);
    }
    return static_cast<std::size_t>(CALL(sendmsg(socket, &message, 0)));
}

Delivery receive_with_descriptors(int socket, void* bytes, std::size_t size, std::size_t most) {
    iovec piece{bytes, size};
    Control control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
#ifdef MSG_CMSG_CLOEXEC
    // What there is no room for, the kernel closes.
    message.msg_controllen =
        static_cast<decltype(message.msg_controllen)>(CMSG_SPACE(std::min(most, most_at_once) * sizeof(int)));
    const int flags = MSG_CMSG_CLOEXEC;
#else
    // macOS: what there is no room for stays open, and nobody knows its number. So take all, and close the rest here.
    message.msg_controllen = sizeof control.bytes;
    const int flags = 0;
#endif
    Delivery delivery;
    delivery.count = static_cast<std::size_t>(CALL(recvmsg(socket, &message, flags)));
    delivery.incomplete = (message.msg_flags & MSG_CTRUNC) != 0;
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (std::size_t i = 0; i < count; ++i) {
            int fd = -1;
            std::memcpy(&fd, CMSG_DATA(header) + i * sizeof fd, sizeof fd);
            Descriptor received(fd);
#ifndef MSG_CMSG_CLOEXEC
            TRY(fcntl(fd, F_SETFD, FD_CLOEXEC));
#endif
            // CMSG_SPACE rounds up to whole words: where one was asked for, there is room for two.
            if (delivery.descriptors.size() < most) {
                delivery.descriptors.push_back(std::move(received));
            } else {
                delivery.incomplete = true;
            }
        }
    }
    return delivery;
}

void raise_descriptor_limit(long wanted) {
    rlimit limit{};
    CALL(getrlimit(RLIMIT_NOFILE, &limit));
    if (limit.rlim_cur >= static_cast<rlim_t>(wanted)) return;
    limit.rlim_cur = std::min(static_cast<rlim_t>(wanted), limit.rlim_max);
    TRY(setrlimit(RLIMIT_NOFILE, &limit));
}
