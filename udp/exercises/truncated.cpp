// Exercise truncated: a datagram that is larger than the buffer. Repair it: there are two mistakes.
//
//     scripts/exercise truncated        grades it, and says what goes wrong
//     scripts/exercise hint truncated   says a little more, three times
//
// A server that returns each datagram in capitals. It takes at most 512 bytes; what is larger it should answer with
// "too long\n", and nothing else. A datagram is bytes, of which any may be 0, and it may have none at all: then the
// answer has none either. With short lines of text, sent one at a time by hand, nothing looks wrong.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <cctype>
#include <cstring>
#include <string>

#include <sys/socket.h>
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
    static char datagram[most + 1];
    Address client;
    CALL(recvfrom(endpoint, datagram, most, 0, client.out(), client.out_length()));
    const std::string answer = shout(datagram, std::strlen(datagram));
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
