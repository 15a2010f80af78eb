#pragma once
// Descriptors: who closes them, how many there may be, and how they travel over a Unix domain socket (SCM_RIGHTS,
// unix(7)), which is what unix/passing_cat.cpp writes out, for the programs after it.

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

/// A descriptor and the duty to close it. Where closing is part of the story, a program closes it itself: release().
class Descriptor {
public:
    Descriptor() = default;
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() { reset(); }
    Descriptor(Descriptor&& other) noexcept : fd_(other.release()) {}
    Descriptor& operator=(Descriptor&& other) noexcept;

    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }  ///< it is the caller's now
    void reset();                                     ///< closes it now, silently

private:
    int fd_ = -1;
};

/// What one receive_with_descriptors() brought.
struct Delivery {
    std::size_t count = 0;                ///< bytes; 0: the other side has ended, or sends empty messages
    std::vector<Descriptor> descriptors;  ///< closed by exec(), and when this goes
    bool incomplete = false;  ///< more descriptors were sent than there was room for, here or in the process
};

/// Sends bytes, at least one, and descriptors along with the first of them. Returns how many bytes were taken; if any
/// were, so were the descriptors, and they are on their way even if we close ours now. Throws SocketError: EPIPE if
/// nobody is there, EAGAIN, ETOOMANYREFS (more on their way than the sender may have open).
std::size_t send_with_descriptors(int socket, const void* bytes, std::size_t count, std::span<const int> descriptors);

/// Receives at most `size` bytes, and at most `most` descriptors (up to 253) with them; what was sent beyond that is
/// closed, and reported as `incomplete`. So is what there was no free descriptor for (RLIMIT_NOFILE). Throws
/// SocketError.
Delivery receive_with_descriptors(int socket, void* bytes, std::size_t size, std::size_t most);

/// Lets this process have so many descriptors, or as many as the system allows (RLIMIT_NOFILE, getrlimit(2)): with
/// fewer, whatever makes one says so (EMFILE). Throws SocketError if the limit can't be told.
void raise_descriptor_limit(long wanted);
