#pragma once
// CALL and TRY: the project's whole error-handling helper.
//
//     const int listener = CALL(socket(AF_INET, SOCK_STREAM, 0));      must succeed: -1 throws SocketError
//     if (TRY(connect(fd, address, length)) == -1) { ... errno ... }   failing is part of the lesson
//
// The socket call stays an ordinary call in the program's own text: a debugger stops on it, grep finds it, and it
// compiles to itself plus one predictable branch. Both macros hand back its result and its errno unchanged; before
// and after, the narrator may speak, and --fault may fail the call without making it (narrator.hpp).
//
// CALL makes a call again that a signal handler interrupted (EINTR; signal(7)), except close and connect, which go on
// without us when interrupted and must not be made twice. TRY returns every -1, EINTR too.

#include "common/narrator.hpp"

#include <cerrno>
#include <system_error>

/// A call that had to succeed and returned -1. code() is its errno.
/// what(): "tcp/echo_server.cpp:38: bind(listener, ...): Address already in use (EADDRINUSE): what to do about it".
class SocketError : public std::system_error {
public:
    SocketError(int error, const Call& call);
    const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

namespace detail {

/// True if an interrupted call may simply be made again.
bool may_repeat(const Call& call);

/// What follows every call: the narrator's report, errno as the call left it, and for CALL the throw.
/// Returns true if the call is to be made again.
template <typename Result>
bool again(Result result, const Call& call, bool must_succeed) {
    const int error = errno;
    narrator::after(call, static_cast<long>(result), result == -1 ? error : 0);
    errno = error;
    if (result != -1 || !must_succeed) [[likely]]
        return false;
    if (error == EINTR && may_repeat(call)) return true;
    throw SocketError(error, call);
}

}  // namespace detail

// #__VA_ARGS__ is taken in CALL and TRY, at the first level of expansion, so that the reader sees AF_INET and not 2.
// __FILE__ and __LINE__ rather than std::source_location, which clang 14 with libstdc++ does not offer. The block in
// parentheses that has a value is an extension of g++ and clang (-Wpedantic is told so): a lambda would do the same,
// but would put a frame of its own between the program and the call in the debugger.
#define CALL_AS(must_succeed, text, ...)                                          \
    __extension__({                                                               \
        const ::Call narrated_call{text, __FILE__, __LINE__};                     \
        decltype(true ? (__VA_ARGS__) : -1) call_result;                          \
        do {                                                                      \
            call_result = ::narrator::before(narrated_call) ? (__VA_ARGS__) : -1; \
        } while (::detail::again(call_result, narrated_call, must_succeed));      \
        call_result;                                                              \
    })

#define CALL(...) CALL_AS(true, #__VA_ARGS__, __VA_ARGS__)
#define TRY(...) CALL_AS(false, #__VA_ARGS__, __VA_ARGS__)
