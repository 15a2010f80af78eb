#pragma once
// permessage-deflate (RFC 7692): messages compressed with DEFLATE (RFC 1951) by zlib.

#include "websocket/protocol/buffer.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace websocket {

/// The four parameters, as agreed (RFC 7692, section 7.1).
struct DeflateParameters {
    bool server_no_context_takeover = false;  ///< the server forgets its window after each message
    bool client_no_context_takeover = false;
    int server_max_window_bits = 15;  ///< the server refers back at most 2^N bytes; 8 to 15
    int client_max_window_bits = 15;
    bool operator==(const DeflateParameters&) const = default;
};

/// What a client offers. Window bits: 0 leaves the parameter out.
struct DeflateOffer {
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    int server_max_window_bits = 0;
    int client_max_window_bits = 15;  ///< 15: the parameter is sent without a value, "I can do what you say"
};

/// What a server asks for, besides what the client does.
struct DeflatePolicy {
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;  ///< saves the memory of a window per connection
    int server_max_window_bits = 15;
    int client_max_window_bits = 15;  ///< asked for only where the client says that it can
};

/// One element of Sec-WebSocket-Extensions: "permessage-deflate; client_max_window_bits=10".
struct Extension {
    std::string name;
    struct Parameter {
        std::string name;
        std::optional<std::string> value;
    };
    std::vector<Parameter> parameters;
};

/// Reads one element of the list (RFC 6455, section 9.1), in time linear in its length. Nothing if it is malformed.
std::optional<Extension> parse_extension(std::string_view element);

/// An offer from its parameters, "server_max_window_bits=10; client_no_context_takeover"; "" for none. Nothing if one
/// of them is unknown, repeated, or has a value that it can't have.
std::optional<DeflateOffer> parse_offer(std::string_view parameters);

/// The client's offer as it stands in the request.
std::string format_offer(const DeflateOffer& offer);

/// The server's decision on one offer: nothing if it must be declined (unknown, repeated or impossible parameters).
/// answer: the agreement as it then stands in the response.
std::optional<DeflateParameters> accept_offer(const Extension& offer, const DeflatePolicy& policy, std::string& answer);

/// The client's check of the answer: nothing if it is not an answer to the offer.
std::optional<DeflateParameters> check_answer(const Extension& answer, const DeflateOffer& offer);

/// One direction of compression.
class Deflater {
public:
    /// window_bits 8 to 15. Throws std::bad_alloc.
    Deflater(int window_bits, bool no_context_takeover);
    ~Deflater();
    Deflater(const Deflater&) = delete;
    Deflater& operator=(const Deflater&) = delete;

    /// Appends a piece of a message to out, compressed. With last, all of it is out, without the four bytes 00 00 FF
    /// FF that every message would end with (section 7.2.1).
    void compress(std::string_view piece, bool last, Buffer& out);

private:
    void run(std::string_view piece, int flush, Buffer& out);

    struct Stream;
    std::unique_ptr<Stream> stream_;
    bool no_context_takeover_;
};

/// The other direction.
class Inflater {
public:
    enum class Result {
        done,
        too_big,    ///< more than limit bytes would come out
        malformed,  ///< no DEFLATE data, or not whole blocks of it
    };

    Inflater(int window_bits, bool no_context_takeover);
    ~Inflater();
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;

    /// Appends a piece of a message to out, uncompressed. out never grows beyond limit bytes: a kilobyte can hold a
    /// megabyte of zeros. With last, the message is complete.
    Result decompress(std::string_view piece, bool last, std::size_t limit, Buffer& out);

private:
    Result run(std::string_view piece, std::size_t limit, Buffer& out);

    struct Stream;
    std::unique_ptr<Stream> stream_;
    bool no_context_takeover_;
    bool ended_ = false;  // a block with BFINAL has come: a new stream begins behind it (section 7.2.3.4)
};

}  // namespace websocket
