// Exercise truncated, solved: a datagram that is larger than the buffer.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <cctype>
#include <string>

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace {

constexpr size_t most = 512;

/// The same in capitals.
std::string shout(const char* bytes, size_t count) {
    std::string answer(bytes, count);
    for (char& c : answer)
        c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return answer;
}

void serve_one(int endpoint) {
    char datagram[most];
    Address client;
    iovec place{datagram, most};
    msghdr message{};
    message.msg_name = client.out();
    message.msg_namelen = sizeof(sockaddr_storage);
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    const ssize_t received = CALL(recvmsg(endpoint, &message, 0));
    *client.out_length() = message.msg_namelen;
    const bool cut = (message.msg_flags & MSG_TRUNC) != 0;
    if (cut) fmt::print(stderr, "{}: more than {} bytes\n", client.text(), most);
    const std::string answer = cut ? "too long\n" : shout(datagram, static_cast<size_t>(received));
    CALL(sendto(endpoint, answer.data(), answer.size(), 0, client.get(), client.length()));
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv, {.summary = "Exercise: a datagram that is larger than the buffer."});
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);
    for (;;) {
        try {
            serve_one(endpoint);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
