#pragma once
// Readiness of many descriptors in one thread: epoll(7) on Linux, kqueue(2) on macOS and BSD, with one face.
// Level-triggered: what is not read now is reported again. Or, if asked for, edge-triggered: only what is new is
// reported, which costs the kernel less, and the program has to remember what it has left.

#include "common/call.hpp"

#include <array>
#include <cstddef>
#include <span>

#include <unistd.h>
#ifdef __linux__
#include <sys/epoll.h>
#else
#include <sys/event.h>
#endif

class EventLoop {
public:
    struct Ready {
        int fd;
        bool readable;  ///< recv() or accept() will not block: bytes, the end, a connection, or an error that it tells
        bool writable;
        bool ended;  ///< edge-triggered: behind the bytes there is the end or an error, which is not reported again
    };

    enum class Trigger { level, edge };

    explicit EventLoop(Trigger trigger = Trigger::level);
    ~EventLoop() { ::close(queue_); }
    EventLoop(const EventLoop&) = delete;
    EventLoop& operator=(const EventLoop&) = delete;

    /// Begins to watch a descriptor for reading. close() ends it (of the last descriptor of a socket: epoll(7), Q6).
    void add(int fd);

    /// Changes what a descriptor is watched for; was_reading and was_writing: what it has been until now.
    void change(int fd, bool was_reading, bool was_writing, bool reading, bool writing);

    /// Ends watching a descriptor that stays open: without this, an error of it is told even when it is watched for
    /// nothing. add() begins anew.
    void remove(int fd, bool was_reading, bool was_writing);

    /// Waits until something is ready, at most for so many milliseconds (-1: for ever). Valid until the next call.
    std::span<const Ready> wait(int milliseconds);

private:
    static constexpr int at_a_time = 256;
    int queue_;
    bool edge_;
    std::array<Ready, at_a_time> ready_{};
#ifdef __linux__
    epoll_event interest(int fd, bool reading, bool writing) const;
    std::array<epoll_event, at_a_time> events_{};
#else
    std::array<struct kevent, at_a_time> events_{};
#endif
};

#ifdef __linux__

inline EventLoop::EventLoop(Trigger trigger)
    : queue_(CALL(epoll_create1(EPOLL_CLOEXEC))), edge_(trigger == Trigger::edge) {}

inline epoll_event EventLoop::interest(int fd, bool reading, bool writing) const {
    const unsigned in = edge_ ? unsigned{EPOLLIN} | unsigned{EPOLLRDHUP} : EPOLLIN;
    return {.events = (reading ? in : 0U) | (writing ? EPOLLOUT : 0U) | (edge_ ? EPOLLET : 0U), .data = {.fd = fd}};
}

inline void EventLoop::add(int fd) {
    epoll_event event = interest(fd, true, false);
    CALL(epoll_ctl(queue_, EPOLL_CTL_ADD, fd, &event));
}

inline void EventLoop::change(int fd, bool, bool, bool reading, bool writing) {
    epoll_event event = interest(fd, reading, writing);
    CALL(epoll_ctl(queue_, EPOLL_CTL_MOD, fd, &event));
}

inline void EventLoop::remove(int fd, bool, bool) {
    epoll_event event{};  // Linux before 2.6.9 wanted one here, too
    CALL(epoll_ctl(queue_, EPOLL_CTL_DEL, fd, &event));
}

inline std::span<const EventLoop::Ready> EventLoop::wait(int milliseconds) {
    const int count = CALL(epoll_wait(queue_, events_.data(), at_a_time, milliseconds));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        const unsigned events = events_[i].events;
        // Errors and hang-ups are reported whether asked for or not, and recv() tells them.
        constexpr unsigned end = unsigned{EPOLLRDHUP} | unsigned{EPOLLHUP} | unsigned{EPOLLERR};
        ready_[i] = {events_[i].data.fd, (events & ~unsigned{EPOLLOUT}) != 0, (events & EPOLLOUT) != 0,
                     (events & end) != 0};
    }
    return {ready_.data(), static_cast<std::size_t>(count)};
}

#else

inline EventLoop::EventLoop(Trigger trigger) : queue_(CALL(kqueue())), edge_(trigger == Trigger::edge) {}

inline void EventLoop::add(int fd) { change(fd, false, false, true, false); }

inline void EventLoop::change(int fd, bool was_reading, bool was_writing, bool reading, bool writing) {
    // Reading and writing are two filters, each added or deleted for itself.
    const auto add = static_cast<unsigned short>(edge_ ? EV_ADD | EV_CLEAR : EV_ADD);
    std::array<struct kevent, 2> changes{};
    struct kevent* next = changes.data();
    if (reading != was_reading) EV_SET(next++, fd, EVFILT_READ, reading ? add : EV_DELETE, 0, 0, nullptr);
    if (writing != was_writing) EV_SET(next++, fd, EVFILT_WRITE, writing ? add : EV_DELETE, 0, 0, nullptr);
    const int count = static_cast<int>(next - changes.data());
    if (count > 0) CALL(kevent(queue_, changes.data(), count, nullptr, 0, nullptr));
}

inline void EventLoop::remove(int fd, bool was_reading, bool was_writing) {
    change(fd, was_reading, was_writing, false, false);
}

inline std::span<const EventLoop::Ready> EventLoop::wait(int milliseconds) {
    const timespec limit{milliseconds / 1000, milliseconds % 1000 * 1000000L};
    const int count = CALL(kevent(queue_, nullptr, 0, events_.data(), at_a_time, milliseconds < 0 ? nullptr : &limit));
    for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        const bool writable = events_[i].filter == EVFILT_WRITE;
        ready_[i] = {static_cast<int>(events_[i].ident), !writable, writable, (events_[i].flags & EV_EOF) != 0};
    }
    return {ready_.data(), static_cast<std::size_t>(count)};
}

#endif
