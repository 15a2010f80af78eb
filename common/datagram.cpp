#include "common/datagram.hpp"

#include "common/call.hpp"

#include <algorithm>

#include <poll.h>
#include <sys/socket.h>

namespace {

using Clock = std::chrono::steady_clock;

#ifdef __linux__
constexpr int tell_whole_size = MSG_TRUNC;
#else
constexpr int tell_whole_size = 0;
#endif

}  // namespace

std::optional<Datagram> receive_until(int fd, Clock::time_point deadline, std::size_t most) {
    Datagram datagram;
    for (;;) {
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
        pollfd watched{fd, POLLIN, 0};
        const int wait = static_cast<int>(std::clamp<long>(static_cast<long>(left), 0, 1'000'000'000));
        if (CALL(poll(&watched, 1, wait)) == 0) return {};
        datagram.bytes.resize(most);
        // Without MSG_DONTWAIT a datagram that poll() saw, but whose checksum is wrong, could let us wait for ever.
        const ssize_t size = TRY(recvfrom(fd, datagram.bytes.data(), most, MSG_DONTWAIT | tell_whole_size,
                                          datagram.sender.out(), datagram.sender.out_length()));
        if (size == -1 && (errno == EAGAIN || errno == EINTR)) continue;
        if (size == -1) throw SocketError(errno, {"recvfrom(fd, ...)", __FILE__, __LINE__});
        datagram.size = static_cast<std::size_t>(size);
        datagram.bytes.resize(std::min(datagram.size, most));
        return datagram;
    }
}

std::optional<Datagram> ask(int fd, const Address& server, std::string_view question, const Retry& retry,
                            const std::function<bool(const Datagram&)>& accept) {
    auto timeout = retry.timeout;
    for (long attempt = 0; attempt < retry.tries; ++attempt) {
        CALL(sendto(fd, question.data(), question.size(), 0, server.get(), server.length()));
        const auto deadline = Clock::now() + timeout;
        do {
            auto datagram = receive_until(fd, deadline);
            if (!datagram) break;
            if (accept(*datagram)) return datagram;
        } while (Clock::now() < deadline);  // also where there is always something else to be read
        if (retry.doubling) timeout = std::min(2 * timeout, retry.longest_timeout);
    }
    return {};
}
