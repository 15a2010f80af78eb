#pragma once
// An HTTP/1.1 response as a client reads it (RFC 9112): the head, and a body of which one must know where it ends.
// Bytes in, status and body out. Strict where two readers could disagree, since one of them would be cheated.

#include "websocket/protocol/handshake.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace websocket {

class HttpResponseReader {
public:
    enum class Status : std::uint8_t {
        head,       ///< it is not complete
        body,       ///< the head is; the body is not
        complete,   ///< what is left of the input belongs to the next response
        malformed,  ///< or over a limit: problem() says why, and the connection is good for nothing any more
    };

    /// most_body_bytes: what body() may hold. Who takes out of it what has come can read a body that never ends.
    explicit HttpResponseReader(std::size_t most_body_bytes = std::size_t{1} << 20U) : most_(most_body_bytes) {}

    /// Takes bytes from the front of input, up to the end of the response.
    Status take(std::string_view& input);

    /// The connection has ended. complete: that was the end of the body, which nothing else told (RFC 9112, 6.3).
    Status end_of_input();

    int status_code() const { return code_; }  ///< 200; 0 before the head is complete
    const HttpHead& head() const { return reader_.head(); }
    std::string& body() { return body_; }
    const std::string& problem() const { return problem_; }
    /// May another request follow on this connection?
    bool keeps_alive() const { return keeps_alive_; }

private:
    enum class Part : std::uint8_t {
        head,
        counted,     // so many bytes
        until_end,   // of the connection
        chunk_size,  // a line with the size of the next chunk
        chunk,
        chunk_end,  // the line break behind it
        trailer,    // lines behind the last chunk, until an empty one
        complete,
        malformed,
    };

    Part judge_head();
    Part judge_chunk_size();
    Part take_body(std::string_view& input);
    bool take_line(std::string_view& input);
    Part malformed(const char* problem);
    Status status() const;

    static constexpr std::size_t most_line_bytes = 1024;
    static constexpr std::size_t most_trailer_bytes = 8192;

    HttpHeadReader reader_;
    std::size_t most_;
    Part part_ = Part::head;
    int code_ = 0;
    bool keeps_alive_ = false;
    std::uint64_t left_ = 0;  // of a body or a chunk
    std::string line_;
    bool line_whole_ = false;
    int interim_ = 0;  // responses before the real one
    std::size_t trailer_bytes_ = 0;
    std::string body_;
    std::string problem_;
};

}  // namespace websocket
