// How a server proves that it has read the request: Sec-WebSocket-Accept from Sec-WebSocket-Key, step by step.
//
//     build/websocket/accept_key x3JJHMbDL1EzLkh9GBhXDw==
//
// The key is no secret, and nothing is protected by it. It only shows that the other side is a WebSocket server, and no
// web server or cache that sends back something else (RFC 6455, sections 1.3 and 4.2.2).
// Try it: take the key that build/websocket/echo_client sends (nc -l 7000 shows it), and answer by hand.

#include "common/errors.hpp"
#include "common/options.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/handshake.hpp"

#include <fmt/core.h>
#include <openssl/sha.h>

using namespace websocket;

int main(int argc, char** argv) try {
    const Options options =
        parse_options(argc, argv,
                      {.summary = "Computes Sec-WebSocket-Accept from Sec-WebSocket-Key, step by step.",
                       .endpoint = Endpoint::none,
                       .arguments = {"KEY"}});
    const std::string& key = options.arguments.front();
    const auto random = base64_decode(key);
    if (!random || random->size() != 16) {
        throw UsageError(
            fmt::format("{} is no key: expected 16 bytes in base64, which are 24 characters", escaped(key)));
    }
    fmt::print("the key                   {}\n", key);
    fmt::print("  is 16 random bytes      {}\n", hex(*random));
    fmt::print("  which nobody looks at: it is the text that counts\n");

    const std::string joined = key + std::string(key_suffix);
    fmt::print("the same text always      {}\n", key_suffix);
    fmt::print("one behind the other      {}\n", joined);

    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest);
    const std::string_view bytes(reinterpret_cast<const char*>(digest), sizeof digest);
    fmt::print("SHA-1, 20 bytes           {}\n", hex(bytes));
    fmt::print("in base64                 {}\n", base64_encode(bytes));
    fmt::print("Sec-WebSocket-Accept: {}\n", accept_value(key));
} catch (const std::exception& error) {
    return report_failure(error);
}
