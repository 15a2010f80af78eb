// Exercise accept_key: the proof that a server speaks WebSocket. Repair accept_key().
//
//     scripts/exercise accept_key        grades it, and says what goes wrong
//     scripts/exercise hint accept_key   says a little more, three times
//
// A client sends a key, 16 random bytes in base64; only who knows WebSocket can answer it. This answers every key with
// 28 characters that look right, and no browser accepts them. The function computes a SHA-1 and its base64, and both
// are OpenSSL's and sound. What goes into them?

#include "websocket/exercises/codec.hpp"

#include <array>

#include <openssl/evp.h>
#include <openssl/sha.h>

namespace {

constexpr std::string_view suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";  // everybody's: RFC 6455, section 1.3

std::string base64(const unsigned char* bytes, size_t count) {
    std::string text((count + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock() adds a zero
    const int length = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()), bytes, static_cast<int>(count));
    text.resize(static_cast<size_t>(length));
    return text;
}

}  // namespace

std::string accept_key(std::string_view key) {
    const std::string joined = std::string(suffix) + std::string(key);
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest.data());
    return base64(digest.data(), digest.size());
}
