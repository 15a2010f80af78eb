#pragma once
// What file_server.cpp and file_client.cpp agree on. A connection carries one request. Lines end with a newline; names
// have every byte that is not a visible ASCII character, and '%', written as %XX (RFC 3986, section 2.1).
//
//     GET NAME              OK SIZE TAG             the tag is 16 hex digits that change whenever the file does
//     FROM OFFSET           the bytes from there to SIZE, and behind them
//                           SHA256 DIGEST           of the whole file, 64 hex digits; or
//                           CHANGED                 while it was sent: what was received is worth nothing
//
//     LIST [FOLDER]         OK COUNT                and as many lines
//                           SIZE NAME               a file
//                           - NAME                  a folder
//
//                           ERROR WHY               in place of OK
//
// A connection that ends before that was cut: who has got N bytes asks again, and says FROM N if the tag still is what
// it was.

#include "common/call.hpp"

#include <openssl/evp.h>

#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

constexpr std::size_t longest_line = 16384;  // a name of 4096 bytes (PATH_MAX), each of them as %XX
constexpr std::size_t tag_digits = 16;
constexpr std::size_t digest_digits = 64;

/// What the other side said makes no sense, or can't be done. A server tells its client so.
class Refusal : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// A descriptor that is closed at the end of the block.
class Descriptor {
public:
    explicit Descriptor(int fd) : fd_(fd) {}
    ~Descriptor() {
        if (fd_ != -1) ::close(fd_);
    }
    Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
        std::swap(fd_, other.fd_);
        return *this;
    }
    int get() const { return fd_; }
    int release() { return std::exchange(fd_, -1); }

private:
    int fd_;
};

/// Receives a line, and not one byte of what stands behind it: MSG_PEEK looks without taking, so that we know how many
/// to take. Throws Refusal for a line that is too long, or is not whole by the deadline or when the stream ends.
inline std::string receive_line(int connection, std::chrono::steady_clock::time_point deadline) {
    std::string line;
    for (;;) {
        char bytes[4096];
        const auto seen = static_cast<std::size_t>(CALL(recv(connection, bytes, sizeof bytes, MSG_PEEK)));
        if (seen == 0) throw Refusal("the connection ended where a line was expected");
        const void* newline = std::memchr(bytes, '\n', seen);
        const std::size_t wanted =
            newline == nullptr ? seen : static_cast<std::size_t>(static_cast<const char*>(newline) - bytes) + 1;
        const ssize_t received = CALL(recv(connection, bytes, wanted, 0));
        line.append(bytes, static_cast<std::size_t>(received));
        if (line.size() > longest_line) throw Refusal(fmt::format("a line has at most {} bytes", longest_line));
        if (line.back() == '\n') {
            line.pop_back();
            if (!line.empty() && line.back() == '\r') line.pop_back();  // telnet, ncat -C
            return line;
        }
        if (std::chrono::steady_clock::now() > deadline) throw Refusal("this line took too long");
    }
}

/// A decimal number from 0 to 2^63 - 1 and nothing else; nothing if it is not that.
inline std::optional<std::int64_t> parse_size(std::string_view digits) {
    std::int64_t number = 0;
    const auto [end, trouble] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (trouble != std::errc{} || end != digits.data() + digits.size() || number < 0 || digits.front() == '-')
        return {};
    return number;
}

/// Are these so many digits from 0 to 9 and a to f?
inline bool is_hex(std::string_view text, std::size_t count) {
    return text.size() == count && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

inline std::string encoded(std::string_view name) {
    std::string text;
    for (const char c : name) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte > 0x20 && byte < 0x7F && c != '%') {
            text += c;
        } else {
            text += fmt::format("%{:02X}", byte);
        }
    }
    return text;
}

/// Throws Refusal for a % without two hex digits behind it.
inline std::string decoded(std::string_view text) {
    std::string name;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            name += text[i];
            continue;
        }
        const std::string_view digits = text.substr(i + 1, 2);
        unsigned byte = 0;
        const auto [end, trouble] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
        if (digits.size() != 2 || trouble != std::errc{} || end != digits.data() + 2)
            throw Refusal("a % without two hex digits behind it");
        name += static_cast<char>(byte);
        i += 2;
    }
    return name;
}

/// SHA-256 of what is added, by OpenSSL (EVP_DigestInit(3)).
class Sha256 {
public:
    Sha256() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        if (context_ == nullptr || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1)
            throw std::runtime_error("OpenSSL has no SHA-256 here");
    }
    void add(const void* bytes, std::size_t count) { EVP_DigestUpdate(context_.get(), bytes, count); }

    /// 64 hex digits; nothing can be added after that.
    std::string digest() {
        unsigned char bytes[EVP_MAX_MD_SIZE];
        unsigned count = 0;
        EVP_DigestFinal_ex(context_.get(), bytes, &count);
        std::string digits;
        for (unsigned i = 0; i < count; ++i)
            digits += fmt::format("{:02x}", bytes[i]);
        return digits;
    }

private:
    std::unique_ptr<EVP_MD_CTX, void (*)(EVP_MD_CTX*)> context_;
};
