#pragma once
// What programs hand to send(), sendto() and sendmsg(). A log of calls does not have the bytes; and where nothing can
// be captured, as between Unix sockets, nothing else has them.
//
// On Linux a process may ask that another one looks at some of its system calls before the kernel makes them
// (seccomp_unotify(2)), and at its memory (process_vm_readv(2)). That changes nothing of a call, which only waits for
// the witness, some microseconds. Where it is forbidden, and on macOS, there are no bytes, and all runs as it would.

#include "common/errors.hpp"
#include "scripts/wire_events.hpp"

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstring>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

namespace diagram {

inline std::int64_t wall_clock() {
    timespec time{};
    clock_gettime(CLOCK_REALTIME, &time);
    return std::int64_t{time.tv_sec} * 1'000'000'000 + time.tv_nsec;
}

/// False if the path is too long for a Unix socket.
inline bool name_socket(sockaddr_un& address, const char* path) {
    address = {};
    address.sun_family = AF_UNIX;
    if (std::strlen(path) >= sizeof address.sun_path) return false;
    std::memcpy(address.sun_path, path, std::strlen(path) + 1);
    return true;
}

#if defined(__linux__) && (defined(__x86_64__) || defined(__aarch64__))

/// To be called by a process before it becomes the program that is to be seen: where it can be, the witness at this
/// path sees what it and its children send from now on, and the narrator is told of it.
inline void be_witnessed(const char* path) {
#ifdef __x86_64__
    constexpr unsigned machine = AUDIT_ARCH_X86_64;
#else
    constexpr unsigned machine = AUDIT_ARCH_AARCH64;
#endif
    sockaddr_un address;
    const int door = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (door == -1) return;
    ucred witness{};
    socklen_t length = sizeof witness;
    if (!name_socket(address, path) || connect(door, reinterpret_cast<sockaddr*>(&address), sizeof address) == -1 ||
        getsockopt(door, SOL_SOCKET, SO_PEERCRED, &witness, &length) == -1) {
        close(door);
        return;
    }
    prctl(PR_SET_PTRACER, static_cast<unsigned long>(witness.pid), 0, 0, 0);  // where memory is guarded, by Yama
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, machine, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendto, 2, 0),  // which is what libc makes of send(), too
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sendmsg, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_USER_NOTIF),
    };
    const sock_fprog filter{.len = sizeof program / sizeof *program, .filter = program};
    int calls = -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
        calls =
            static_cast<int>(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &filter));
    if (calls != -1) {
        // By sendmmsg(), which the filter lets pass: nobody would see a sendmsg() yet.
        char byte = 0;
        iovec piece{.iov_base = &byte, .iov_len = 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof calls)] = {};
        mmsghdr message{};
        message.msg_hdr.msg_iov = &piece;
        message.msg_hdr.msg_iovlen = 1;
        message.msg_hdr.msg_control = control;
        message.msg_hdr.msg_controllen = sizeof control;
        cmsghdr* part = CMSG_FIRSTHDR(&message.msg_hdr);
        part->cmsg_level = SOL_SOCKET;
        part->cmsg_type = SCM_RIGHTS;
        part->cmsg_len = CMSG_LEN(sizeof calls);
        std::memcpy(CMSG_DATA(part), &calls, sizeof calls);
        sendmmsg(door, &message, 1, MSG_NOSIGNAL);
        close(calls);
        setenv("TWO_TERMINALS_WITNESS", "1", 1);
    }
    close(door);
}

/// Sees what those send that have called be_witnessed() with its path, and writes it into a file. In a thread of its
/// own, since they wait for it. When it ends, they can send nothing any more: they are to end before.
class Witness {
public:
    /// door: the path of its socket. file: where each is a line (read_handed()).
    Witness(const std::string& door, const std::string& file) {
        file_ = open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        door_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        sockaddr_un address;
        if (file_ == -1 || door_ == -1 || pipe2(stop_, O_CLOEXEC) == -1 || !name_socket(address, door.c_str()) ||
            bind(door_, reinterpret_cast<sockaddr*>(&address), sizeof address) == -1 || listen(door_, 8) == -1)
            return;  // there are no bytes then
        sigset_t all, before;
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);  // signals are for the others
        thread_ = std::thread([this] { watch(); });
        pthread_sigmask(SIG_SETMASK, &before, nullptr);
    }
    ~Witness() {
        if (stop_[1] != -1) close(stop_[1]);
        if (thread_.joinable()) thread_.join();
        for (const int fd : {file_, door_, stop_[0]})
            if (fd != -1) close(fd);
    }
    Witness(const Witness&) = delete;
    Witness& operator=(const Witness&) = delete;

    /// Does nobody wait for it?
    bool is_quiet() {
        if (!thread_.joinable()) return true;
        std::vector<pollfd> all = watched();
        return poll(all.data(), all.size(), 0) == 0;
    }

private:
    static constexpr std::size_t most_of_a_call = 1'000'000, most_in_all = 64'000'000;

    void watch() {
        for (;;) {
            std::vector<pollfd> all = watched();
            all.push_back({.fd = stop_[0], .events = POLLIN, .revents = 0});
            if (poll(all.data(), all.size(), -1) == -1) continue;
            if (all.back().revents != 0) break;
            const std::lock_guard lock(mutex_);
            watched_.clear();
            for (const pollfd& one : all) {
                if (one.fd == door_ || one.fd == stop_[0]) continue;
                if ((one.revents & POLLIN) != 0) take_call(one.fd);
                const bool over = (one.revents & (POLLHUP | POLLERR)) != 0;  // all its processes have ended
                if (over) close(one.fd);
                if (!over) watched_.push_back(one.fd);
            }
            const int fd = all.front().revents != 0 ? welcome() : -1;
            if (fd != -1) watched_.push_back(fd);
        }
        for (const int fd : watched_)
            close(fd);
    }

    std::vector<pollfd> watched() {
        const std::lock_guard lock(mutex_);
        std::vector<pollfd> all{{.fd = door_, .events = POLLIN, .revents = 0}};
        for (const int fd : watched_)
            all.push_back({.fd = fd, .events = POLLIN, .revents = 0});
        return all;
    }

    /// Takes the descriptor at which somebody's calls can be seen; -1 if there is none.
    int welcome() const {
        const int guest = accept4(door_, nullptr, nullptr, SOCK_CLOEXEC);
        if (guest == -1) return -1;
        int fd = -1;
        char byte = 0;
        iovec piece{.iov_base = &byte, .iov_len = 1};
        alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
        msghdr message{};
        message.msg_iov = &piece;
        message.msg_iovlen = 1;
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        if (recvmsg(guest, &message, MSG_CMSG_CLOEXEC) == 1) {
            const cmsghdr* part = CMSG_FIRSTHDR(&message);
            if (part != nullptr && part->cmsg_type == SCM_RIGHTS && part->cmsg_len == CMSG_LEN(sizeof fd))
                std::memcpy(&fd, CMSG_DATA(part), sizeof fd);
        }
        close(guest);
        return fd;
    }

    void take_call(int fd) {
        seccomp_notif_sizes sizes{};
        if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) == -1) return;
        // The kernel's may have become larger than ours.
        alignas(std::max_align_t) char room[2][1024] = {};
        if (sizes.seccomp_notif > sizeof room[0] || sizes.seccomp_notif_resp > sizeof room[1]) return;
        auto* asked = reinterpret_cast<seccomp_notif*>(room[0]);
        auto* answer = reinterpret_cast<seccomp_notif_resp*>(room[1]);
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, asked) == -1) return;
        const Handed handed = look(*asked);
        // Is it still the process that it was, and not another one of its number?
        if (ioctl(fd, SECCOMP_IOCTL_NOTIF_ID_VALID, &asked->id) == -1) return;
        if (written_ < most_in_all) {
            const std::string line = line_of(handed);
            written_ += line.size();
            [[maybe_unused]] const ssize_t ignored = write(file_, line.data(), line.size());
        }
        answer->id = asked->id;
        answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
        ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, answer);
    }

    static Handed look(const seccomp_notif& asked) {
        const auto thread = static_cast<pid_t>(asked.pid);
        Handed handed;
        handed.time = wall_clock();
        handed.process = process_of(thread);
        handed.descriptor = static_cast<int>(asked.data.args[0]);
        if (asked.data.nr == SYS_sendto) {
            handed.length = asked.data.args[2];
            handed.bytes = memory_of(thread, asked.data.args[1], handed.length);
            return handed;
        }
        const auto address_of = [](const void* there) { return reinterpret_cast<std::uintptr_t>(there); };
        msghdr message{};
        const std::string head = memory_of(thread, asked.data.args[1], sizeof message);
        if (head.size() < sizeof message) return handed;
        std::memcpy(&message, head.data(), sizeof message);
        const std::size_t count = std::min<std::size_t>(message.msg_iovlen, 1024);
        const std::string pieces = memory_of(thread, address_of(message.msg_iov), count * sizeof(iovec));
        for (std::size_t at = 0; at + sizeof(iovec) <= pieces.size(); at += sizeof(iovec)) {
            iovec piece{};
            std::memcpy(&piece, pieces.data() + at, sizeof piece);
            // What comes behind a gap would stand in the wrong place.
            const bool whole = handed.bytes.size() == handed.length;
            handed.length += piece.iov_len;
            if (whole) handed.bytes += memory_of(thread, address_of(piece.iov_base), piece.iov_len);
        }
        std::string control = memory_of(thread, address_of(message.msg_control), message.msg_controllen);
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        handed.beside = beside(message);
        return handed;
    }

    /// What a message has besides its bytes (unix(7)).
    static std::string beside(const msghdr& message) {
        std::string text;
        auto& whole = const_cast<msghdr&>(message);  // CMSG_NXTHDR() wants it so
        for (const cmsghdr* part = CMSG_FIRSTHDR(&whole); part != nullptr;
             part = CMSG_NXTHDR(&whole, const_cast<cmsghdr*>(part))) {
            if (part->cmsg_len < CMSG_LEN(0)) break;
            if (part->cmsg_level != SOL_SOCKET) continue;
            const std::size_t count = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            std::string one;
            if (part->cmsg_type == SCM_RIGHTS) one = fmt::format("{} descriptor{}", count, count == 1 ? "" : "s");
            if (part->cmsg_type == SCM_CREDENTIALS) one = "credentials";
            if (!one.empty()) text += (text.empty() ? "" : ", ") + one;
        }
        return text;
    }

    static std::string memory_of(pid_t process, std::uintptr_t address, std::size_t count) {
        std::string bytes(std::min(count, most_of_a_call), '\0');
        const iovec here{.iov_base = bytes.data(), .iov_len = bytes.size()};
        const iovec there{.iov_base = reinterpret_cast<void*>(address), .iov_len = bytes.size()};
        const ssize_t length = bytes.empty() ? 0 : process_vm_readv(process, &here, 1, &there, 1, 0);
        bytes.resize(length > 0 ? static_cast<std::size_t>(length) : 0);
        return bytes;
    }

    /// Calls are those of threads, and logs speak of processes.
    static long process_of(pid_t thread) {
        std::string status(4096, '\0');
        const int fd = open(fmt::format("/proc/{}/status", thread).c_str(), O_RDONLY | O_CLOEXEC);
        [[maybe_unused]] const ssize_t ignored = fd == -1 ? 0 : read(fd, status.data(), status.size());
        if (fd != -1) close(fd);
        const std::size_t at = status.find("\nTgid:\t");
        return at == std::string::npos ? thread : std::strtol(status.c_str() + at + 7, nullptr, 10);
    }

    int file_ = -1, door_ = -1;
    int stop_[2] = {-1, -1};
    std::size_t written_ = 0;  ///< bytes
    std::mutex mutex_;
    std::vector<int> watched_;
    std::thread thread_;
};

#else

inline void be_witnessed(const char*) {}

class Witness {
public:
    Witness(const std::string&, const std::string&) {}
    static bool is_quiet() { return true; }
};

#endif

}  // namespace diagram
