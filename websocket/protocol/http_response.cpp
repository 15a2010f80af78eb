#include "websocket/protocol/http_response.hpp"

#include "websocket/protocol/text.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace websocket {

namespace {

/// A number that is nothing but digits, and fits.
bool parse_whole(std::string_view text, int base, std::uint64_t& number) {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
    return !text.empty() && error == std::errc() && end == text.data() + text.size();
}

bool contains(const std::vector<std::string>& list, std::string_view word) {
    return std::any_of(list.begin(), list.end(),
                       [&](const std::string& one) { return equal_ignoring_case(one, word); });
}

}  // namespace

HttpResponseReader::Status HttpResponseReader::take(std::string_view& input) {
    while (part_ == Part::head && !input.empty()) {
        const auto status = reader_.take(input);
        if (status == HttpHeadReader::Status::incomplete) break;
        if (status == HttpHeadReader::Status::complete) {
            part_ = judge_head();
        } else {
            part_ = malformed(status == HttpHeadReader::Status::too_large ? "the head is too large"
                                                                          : reader_.problem().c_str());
        }
    }
    while (part_ != Part::head && part_ != Part::complete && part_ != Part::malformed && !input.empty())
        part_ = take_body(input);
    return status();
}

HttpResponseReader::Status HttpResponseReader::end_of_input() {
    if (part_ == Part::until_end) part_ = Part::complete;
    keeps_alive_ = false;
    return status();
}

HttpResponseReader::Status HttpResponseReader::status() const {
    switch (part_) {
        case Part::head:
            return Status::head;
        case Part::complete:
            return Status::complete;
        case Part::malformed:
            return Status::malformed;
        default:
            return Status::body;
    }
}

HttpResponseReader::Part HttpResponseReader::malformed(const char* problem) {
    problem_ = problem;
    keeps_alive_ = false;
    return Part::malformed;
}

/// What the head says of the body (RFC 9112, 6.3).
HttpResponseReader::Part HttpResponseReader::judge_head() {
    // "HTTP/1.1 200 OK"; the phrase may be empty, but not the blank before it.
    const std::string& line = head().first_line;
    std::uint64_t code = 0;
    if (line.size() < 13 || (!line.starts_with("HTTP/1.1 ") && !line.starts_with("HTTP/1.0 ")) || line[12] != ' ' ||
        !parse_whole(std::string_view(line).substr(9, 3), 10, code) || code < 100 || code > 599) {
        return malformed("no such status line");
    }
    const bool is_1_1 = line[7] == '1';
    keeps_alive_ = is_1_1 && !contains(head().list("connection"), "close");
    if (code < 200 && code != 101) {  // an interim response: the real one follows, and in no end of them none would
        if (++interim_ > 10) return malformed("interim responses without end");
        reader_ = {};
        return Part::head;
    }
    code_ = static_cast<int>(code);
    const std::size_t lengths = head().count("content-length"), codings = head().count("transfer-encoding");
    if (code == 101 || code == 204 || code == 304) return Part::complete;
    if (codings > 0) {
        const std::vector<std::string> coding = head().list("transfer-encoding");
        if (lengths > 0) return malformed("two lengths: Content-Length and Transfer-Encoding");
        if (!is_1_1 || coding.size() != 1 || !equal_ignoring_case(coding[0], "chunked"))
            return malformed("a Transfer-Encoding that is not chunked");
        return Part::chunked;
    }
    if (lengths == 0) {
        keeps_alive_ = false;
        return Part::until_end;
    }
    if (lengths > 1 || !parse_whole(*head().find("content-length"), 10, left_))
        return malformed("Content-Length is not one number");
    if (left_ > most_) return malformed("the body is too large");
    return left_ == 0 ? Part::complete : Part::counted;
}

HttpResponseReader::Part HttpResponseReader::take_body(std::string_view& input) {
    std::string_view piece = input;
    ChunkReader::Status status = ChunkReader::Status::incomplete;
    if (part_ == Part::chunked) {
        status = chunks_.take(input, piece);
    } else {
        if (part_ == Part::counted)
            piece = piece.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, piece.size())));
        input.remove_prefix(piece.size());
    }
    if (status == ChunkReader::Status::malformed) return malformed(chunks_.problem());
    if (body_.size() + piece.size() > most_) return malformed("the body is too large");
    body_.append(piece);
    if (part_ == Part::counted) left_ -= piece.size();
    const bool ends = part_ == Part::counted ? left_ == 0 : status == ChunkReader::Status::complete;
    return ends ? Part::complete : part_;
}

// ---- Chunks

ChunkReader::Status ChunkReader::take(std::string_view& input, std::string_view& piece) {
    piece = {};
    while (!input.empty() && piece.empty() && part_ != Part::complete && part_ != Part::malformed)
        part_ = take_part(input, piece);
    return part_ == Part::complete    ? Status::complete
           : part_ == Part::malformed ? Status::malformed
                                      : Status::incomplete;
}

bool ChunkReader::skip(std::uint64_t count) {
    if (part_ != Part::data || count > left_) return false;
    left_ -= count;
    if (left_ == 0) part_ = Part::data_end;
    return true;
}

ChunkReader::Part ChunkReader::take_part(std::string_view& input, std::string_view& piece) {
    if (part_ == Part::data) {
        piece = input.substr(0, static_cast<std::size_t>(std::min<std::uint64_t>(left_, input.size())));
        input.remove_prefix(piece.size());
        left_ -= piece.size();
        return left_ > 0 ? Part::data : Part::data_end;
    }
    const std::size_t before = input.size();
    const bool whole = take_line(input);
    if (part_ == Part::trailer) trailer_bytes_ += before - input.size();
    if (trailer_bytes_ > most_trailer_bytes) return malformed("the trailer is too large");
    if (!whole) return part_;
    if (part_ == Part::size) return judge_size();
    if (part_ == Part::trailer) return line_.empty() ? Part::complete : Part::trailer;
    return line_.empty() ? Part::size : malformed("a chunk is longer than it says");
}

/// "1f", or "1f;name=value", whose extension nobody needs (RFC 9112, 7.1.1).
ChunkReader::Part ChunkReader::judge_size() {
    if (!parse_whole(trim(std::string_view(line_).substr(0, line_.find(';'))), 16, left_))
        return malformed("no such chunk size");
    return left_ == 0 ? Part::trailer : Part::data;
}

/// Gathers a line that ends in CR LF, and nothing less; true: line_ is whole, without them.
bool ChunkReader::take_line(std::string_view& input) {
    if (line_whole_) line_.clear();
    line_whole_ = false;
    const std::size_t end = input.find('\n');
    const std::size_t count = end == std::string_view::npos ? input.size() : end + 1;
    if (line_.size() + count > most_line_bytes) {
        part_ = malformed("a line of the body's framing is too long");
        return false;
    }
    line_.append(input.substr(0, count));
    input.remove_prefix(count);
    if (end == std::string_view::npos) return false;
    if (!line_.ends_with("\r\n") || line_.find('\r') != line_.size() - 2) {
        part_ = malformed("a line of the body's framing does not end in CR LF");
        return false;
    }
    line_.resize(line_.size() - 2);
    line_whole_ = true;
    return true;
}

ChunkReader::Part ChunkReader::malformed(const char* problem) {
    problem_ = problem;
    return Part::malformed;
}

}  // namespace websocket
