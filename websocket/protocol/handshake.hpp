#pragma once
// The opening handshake (RFC 6455, section 4): an HTTP request that asks to stop speaking HTTP, and the answer.
// Bytes in, bytes out: the programs own the sockets, and the clock.

#include "websocket/protocol/deflate.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace websocket {

/// What is appended to the key before hashing (section 1.3): a text that no server has in it by chance.
constexpr std::string_view key_suffix = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The Sec-WebSocket-Accept that belongs to a Sec-WebSocket-Key: base64(SHA-1(key + key_suffix)).
std::string accept_value(std::string_view key);

/// Base64 (RFC 4648, section 4). decode: nothing unless the text is whole groups of four from its alphabet.
std::string base64_encode(std::string_view bytes);
std::optional<std::string> base64_decode(std::string_view text);

/// Sixteen random bytes in base64, for Sec-WebSocket-Key.
std::string fresh_handshake_key();

/// The first line and the fields of an HTTP message (RFC 9112, sections 2 to 5).
struct HttpHead {
    std::string first_line;
    std::vector<std::pair<std::string, std::string>> fields;  ///< names in lower case, values without outer blanks

    /// How many fields have this name, and the value of the first.
    std::size_t count(std::string_view name) const;
    const std::string* find(std::string_view name) const;

    /// The elements of a comma-separated list, of all fields of the name together; quoted strings stay whole.
    std::vector<std::string> list(std::string_view name) const;
};

/// Gathers an HTTP head, in time linear in its length however it is cut.
class HttpHeadReader {
public:
    enum class Status {
        incomplete,
        complete,
        too_large,  ///< over most_bytes or most_fields
        malformed,  ///< problem() says why
    };
    static constexpr std::size_t most_bytes = 8192;
    static constexpr std::size_t most_fields = 100;

    /// Takes bytes from the front of input until the blank line; what stands behind it stays in input.
    Status take(std::string_view& input);
    const HttpHead& head() const { return head_; }
    const std::string& problem() const { return problem_; }

private:
    Status take_line(std::string_view line);

    HttpHead head_;
    std::string line_;  // the line that has not ended yet
    std::size_t bytes_ = 0;
    bool first_ = true;
    std::string problem_;
};

/// What a server is ready to do.
struct ServerPolicy {
    std::vector<std::string> subprotocols;     ///< in the order of its preference
    std::vector<std::string> allowed_origins;  ///< besides its own; "*" allows all
    std::optional<DeflatePolicy> deflate;      ///< nothing: no compression
};

/// What a client asks for.
struct ClientWishes {
    std::string host;                       ///< as it stands in Host: "127.0.0.1:7000", "[::1]:7000"
    std::string resource = "/";             ///< path and query, beginning with "/"
    std::string origin;                     ///< "": none is sent
    std::vector<std::string> subprotocols;  ///< to be offered
    std::optional<DeflateOffer> deflate;    ///< nothing: not offered
};

/// What both sides have agreed on.
struct Agreement {
    std::string resource;  ///< path and query
    std::string subprotocol;
    std::optional<DeflateParameters> deflate;
};

/// The server's side. Feed it what arrives; when done, send response() and either go on with frames or close.
class ServerHandshake {
public:
    enum class Status {
        incomplete,
        accepted,  ///< response() is the 101; frames follow, and what is left of input are the first
        refused,   ///< response() is an error; send it and close
    };

    explicit ServerHandshake(const ServerPolicy& policy) : policy_(&policy) {}

    /// Takes bytes from the front of input. Behind accepted, what stays in input are the first frames.
    Status take(std::string_view& input);

    const std::string& response() const { return response_; }
    const Agreement& agreement() const { return agreement_; }
    const HttpHead& request() const { return reader_.head(); }
    int status_code() const { return status_code_; }       ///< 101, or what response() refuses with
    const std::string& reason() const { return reason_; }  ///< why it was refused

    /// Turns an incomplete handshake whose time is over into a refusal (408).
    void time_out();

private:
    Status judge();
    Status refuse(int code, std::string reason, std::string_view more_fields = "");

    const ServerPolicy* policy_;
    HttpHeadReader reader_;
    std::string response_;
    std::string reason_;
    Agreement agreement_;
    int status_code_ = 0;
};

/// The client's side: send request(), then feed it what arrives.
class ClientHandshake {
public:
    enum class Status { incomplete, accepted, refused };

    /// Throws std::invalid_argument if a wish holds what may not stand in a request (a line break, say).
    explicit ClientHandshake(ClientWishes wishes);

    const std::string& request() const { return request_; }

    /// Takes bytes from the front of input. Behind accepted, what stays in input are the first frames. Refused comes
    /// with the end of what the server says about it, up to a kilobyte; where only the end of the connection tells
    /// that, not at all: it is incomplete until then.
    Status take(std::string_view& input);

    const Agreement& agreement() const { return agreement_; }
    const HttpHead& response() const { return reader_.head(); }

    /// Why it was refused, with the first line and the beginning of the body that came instead; or, before accepted and
    /// refused, what is missing.
    std::string reason() const;

private:
    Status judge();
    Status refuse(std::string reason);

    ClientWishes wishes_;
    std::string key_;
    std::string request_;
    HttpHeadReader reader_;
    Agreement agreement_;
    std::string reason_;
    std::string body_;  // of a refusal: its first bytes
    bool refused_ = false;
};

}  // namespace websocket
