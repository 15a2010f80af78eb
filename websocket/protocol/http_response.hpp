#pragma once
// An HTTP/1.1 response as a client reads it (RFC 9112): the head, and a body of which one must know where it ends.
// Bytes in, status and body out. Strict where two readers could disagree, since one of them would be cheated.
// ChunkReader finds the end of a chunked body alone, whoever sends it.

#include "websocket/protocol/handshake.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace websocket {

/// What stands around the pieces of a chunked body (RFC 9112, 7.1): a size before each, a line break behind it, and at
/// the end a trailer.
class ChunkReader {
public:
    enum class Status : std::uint8_t {
        incomplete,
        complete,   ///< what is left of the input belongs to what comes behind the body
        malformed,  ///< or over a limit: problem() says why
    };

    /// Takes bytes from the front of input, up to the end of the first piece of the body that is in it; none: "". To be
    /// called until the input is empty or the status another.
    Status take(std::string_view& input, std::string_view& piece);
    /// So many bytes of the body passed, and nobody has looked. False: they were more than what is left of this chunk.
    bool skip(std::uint64_t count);

    const char* problem() const { return problem_; }

private:
    enum class Part : std::uint8_t {
        size,  // a line with the size of the next chunk
        data,
        data_end,  // the line break behind it
        trailer,   // lines behind the last chunk, until an empty one
        complete,
        malformed,
    };

    Part take_part(std::string_view& input, std::string_view& piece);
    Part judge_size();
    bool take_line(std::string_view& input);
    Part malformed(const char* problem);

    static constexpr std::size_t most_line_bytes = 1024;
    static constexpr std::size_t most_trailer_bytes = 8192;

    Part part_ = Part::size;
    std::uint64_t left_ = 0;  // of the chunk
    std::string line_;
    bool line_whole_ = false;
    std::size_t trailer_bytes_ = 0;
    const char* problem_ = "";
};

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
        counted,    // so many bytes
        until_end,  // of the connection
        chunked,
        complete,
        malformed,
    };

    Part judge_head();
    Part take_body(std::string_view& input);
    Part malformed(const char* problem);
    Status status() const;

    HttpHeadReader reader_;
    std::size_t most_;
    Part part_ = Part::head;
    int code_ = 0;
    bool keeps_alive_ = false;
    std::uint64_t left_ = 0;  // of a body
    ChunkReader chunks_;
    int interim_ = 0;  // responses before the real one
    std::string body_;
    std::string problem_;
};

}  // namespace websocket
