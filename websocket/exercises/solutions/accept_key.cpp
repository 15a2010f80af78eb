// Exercise accept_key, solved: the proof that a server speaks WebSocket.
//
// The text that is hashed is the key as it stands in the header, not the 16 bytes that it encodes, and the fixed text
// behind it.

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
    const std::string joined = std::string(key) + std::string(suffix);
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest.data());
    return base64(digest.data(), digest.size());
}
