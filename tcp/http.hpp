#pragma once
// HTTP/1.1 as text: what a head means, how long a body is, what a date says. For http_server.cpp and http_client.cpp.
//
// RFC 9112 says how a message is written, RFC 9110 what it means. Nothing here makes a call: bytes in, meaning out.
// Two programs on one path that read the same bytes differently let an attacker hide a request in another one ("request
// smuggling"). So whatever could be read in two ways is refused here, also where the RFCs would allow a guess: a line
// that ends in LF alone, a space before a colon, a folded line, two lengths.

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <ctime>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace http {

/// A message that is not as it must be. status: what a server answers to such a request (RFC 9110, section 15).
class Error : public std::runtime_error {
public:
    Error(int status, const std::string& what) : std::runtime_error(what), status_(status) {}
    int status() const { return status_; }

private:
    int status_;
};

constexpr std::size_t most_head = 8192;  ///< bytes of a head, or of the trailer behind a chunked body
constexpr std::size_t most_fields = 100;

// ---- Characters and lists (RFC 9110, section 5.6)

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }

inline char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

inline bool is_token(std::string_view text) {
    const auto allowed = [](char c) {
        return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
               (c != 0 && std::string_view("!#$%&'*+-.^_`|~").find(c) != std::string_view::npos);
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), allowed);
}

/// Control characters have no place in a head; a tab has.
inline bool is_control(char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; }

inline bool same_word(std::string_view a, std::string_view b) {
    return a.size() == b.size() &&
           std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) { return lower(x) == lower(y); });
}

inline std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) return {};
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Takes the first element off a list: "a, b" becomes "b", and "a" is returned. Commas in quotes do not count.
inline std::string_view next_element(std::string_view& list) {
    bool quoted = false;
    std::size_t end = 0;
    for (; end < list.size() && (quoted || list[end] != ','); ++end) {
        if (list[end] == '"') quoted = !quoted;
    }
    const std::string_view element = trimmed(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
    return element;
}

/// A number of digits alone: no sign, no space. Nothing if it is none, or larger than a file can be.
inline std::optional<std::uint64_t> number(std::string_view digits, unsigned base = 10) {
    constexpr std::uint64_t most = INT64_MAX;
    std::uint64_t value = 0;
    for (const char c : digits) {
        const unsigned digit = is_digit(c)                          ? static_cast<unsigned>(c - '0')
                               : lower(c) >= 'a' && lower(c) <= 'f' ? static_cast<unsigned>(lower(c) - 'a') + 10
                                                                    : base;
        if (digit >= base || value > (most - digit) / base) return {};
        value = value * base + digit;
    }
    return digits.empty() ? std::nullopt : std::optional(value);
}

// ---- The head: a first line, fields, a blank line (RFC 9112, section 2)

/// How long the head is that these bytes begin with, its blank line included; 0 if that has not come yet.
/// line: where the line begins that was not complete the last time; 0 at first.
inline std::size_t head_length(std::string_view bytes, std::size_t& line, std::size_t most = most_head) {
    const auto check = [&](std::size_t length) {
        if (length > most) throw Error(line == 0 ? 414 : 431, "the head is larger than " + std::to_string(most));
    };
    for (std::size_t end = 0; (end = bytes.find('\n', line)) != std::string_view::npos; line = end + 1) {
        check(end + 1);
        if (end == 0 || bytes[end - 1] != '\r') throw Error(400, "a line ends in LF without CR");
        if (end == 1) throw Error(400, "it begins with a blank line");
        if (end == line + 1) return end + 1;
    }
    check(bytes.size());
    return 0;
}

struct Field {
    std::string_view name;
    std::string_view value;
};

/// A head taken apart. What it says is where the bytes are that it was read from.
struct Head {
    std::string_view first_line;
    std::vector<Field> fields;

    /// The value of a field that must not be there twice.
    std::optional<std::string_view> find(std::string_view name) const {
        std::optional<std::string_view> found;
        for (const Field& field : fields) {
            if (!same_word(field.name, name)) continue;
            if (found) throw Error(400, std::string(name) + " is there twice");
            found = field.value;
        }
        return found;
    }

    bool has(std::string_view name) const {
        return std::any_of(fields.begin(), fields.end(),
                           [&](const Field& field) { return same_word(field.name, name); });
    }

    /// Whether a list has this word in it, as Connection has "close". Such a field may be there twice.
    bool lists(std::string_view name, std::string_view word) const {
        for (const Field& field : fields) {
            if (!same_word(field.name, name)) continue;
            for (std::string_view list = field.value; !list.empty();) {
                if (same_word(next_element(list), word)) return true;
            }
        }
        return false;
    }
};

/// Reads a field line: name, colon, value (RFC 9112, section 5).
inline Field read_field(std::string_view line) {
    if (line.front() == ' ' || line.front() == '\t') throw Error(400, "a folded line");
    const std::size_t colon = line.find(':');
    const Field field{line.substr(0, colon), trimmed(colon < line.size() ? line.substr(colon + 1) : "")};
    if (colon == std::string_view::npos || !is_token(field.name)) throw Error(400, "a line that is no field");
    if (std::any_of(field.value.begin(), field.value.end(), is_control)) throw Error(400, "a control character");
    return field;
}

/// Reads a head that is complete. The object can be used again and again: then it allocates nothing.
inline void read_head(std::string_view bytes, Head& head) {
    const auto next_line = [&] {
        const std::size_t end = bytes.find("\r\n");
        const std::string_view line = bytes.substr(0, end);
        bytes.remove_prefix(end + 2);
        return line;
    };
    head.first_line = next_line();
    head.fields.clear();
    for (std::string_view line = next_line(); !line.empty(); line = next_line()) {
        if (head.fields.size() == most_fields) throw Error(431, "more than " + std::to_string(most_fields) + " fields");
        head.fields.push_back(read_field(line));
    }
}

/// "HTTP/1.1" is 1; other minor numbers may come, other major ones are not this protocol (RFC 9110, section 2.5).
inline int minor_version(std::string_view text) {
    const bool well_formed =
        text.size() == 8 && text.starts_with("HTTP/") && is_digit(text[5]) && text[6] == '.' && is_digit(text[7]);
    if (!well_formed) throw Error(400, "the first line is not one of HTTP");
    if (text[5] != '1') throw Error(505, "this is HTTP/1");
    return text[7] - '0';
}

struct RequestLine {
    std::string_view method;
    std::string_view target;
    int minor = 1;
};

/// "GET /index.html HTTP/1.1": two single spaces, nothing else that is white (RFC 9112, section 3).
inline RequestLine read_request_line(std::string_view line) {
    const std::size_t first = line.find(' '), last = line.rfind(' ');
    if (first == std::string_view::npos || first == last) throw Error(400, "not a request line of three words");
    const RequestLine request{line.substr(0, first), line.substr(first + 1, last - first - 1),
                              minor_version(line.substr(last + 1))};
    const auto strange = [](char c) { return c <= ' ' || c > '~' || c == '#'; };
    if (!is_token(request.method)) throw Error(400, "the method is no token");
    if (request.target.empty() || std::any_of(request.target.begin(), request.target.end(), strange)) {
        throw Error(400, "a character that can't be in a target");
    }
    return request;
}

/// Which host the client means: needed since HTTP/1.1, once, and perhaps empty (RFC 9112, section 3.2).
inline void check_host(const Head& head, int minor) {
    const auto host = head.find("Host");
    if (!host && minor >= 1) throw Error(400, "there is no Host");
    const auto strange = [](char c) {
        return !is_digit(c) && (lower(c) < 'a' || lower(c) > 'z') &&
               (c == 0 || std::string_view("-._~%!$&'()*+,;=:[]").find(c) == std::string_view::npos);
    };
    if (host && std::any_of(host->begin(), host->end(), strange)) throw Error(400, "Host is no host");
}

/// Whether the connection is to live on behind this message (RFC 9112, section 9.3).
inline bool persists(const Head& head, int minor) {
    if (head.lists("Connection", "close")) return false;
    return minor >= 1 || head.lists("Connection", "keep-alive");
}

struct StatusLine {
    int minor = 1;
    int code = 0;
    std::string_view reason;
};

/// "HTTP/1.1 200 OK" (RFC 9112, section 4).
inline StatusLine read_status_line(std::string_view line) {
    StatusLine status{minor_version(line.substr(0, 8)), 0, {}};
    const auto code = line.size() >= 12 && line[8] == ' ' ? number(line.substr(9, 3)) : std::nullopt;
    if (!code || *code < 100 || (line.size() > 12 && line[12] != ' ')) throw Error(400, "no status of three digits");
    status.code = static_cast<int>(*code);
    status.reason = line.substr(std::min<std::size_t>(13, line.size()));
    return status;
}

// ---- The body: how long it is (RFC 9112, section 6), and how chunks are put together (section 7.1)

enum class Framing { length, chunked, until_close };

struct Body {
    Framing framing = Framing::length;
    std::uint64_t length = 0;
};

/// What the fields say of a body; nothing if they say nothing. A length and chunks at once, two lengths, a length that
/// is no number: the shapes of request smuggling, none of which is guessed at.
inline std::optional<Body> announced_body(const Head& head, int minor) {
    const auto length = head.find("Content-Length");
    const auto coding = head.find("Transfer-Encoding");
    if (coding) {
        if (length) throw Error(400, "both Content-Length and Transfer-Encoding");
        if (minor == 0) throw Error(400, "Transfer-Encoding in HTTP/1.0");
        if (same_word(*coding, "chunked")) return Body{Framing::chunked};
        int times = 0;
        bool last = false;
        for (std::string_view list = *coding; !list.empty(); times += last ? 1 : 0)
            last = same_word(next_element(list), "chunked");
        throw Error(last && times == 1 ? 501 : 400, "a transfer coding other than chunked");
    }
    if (!length) return {};
    const auto count = number(*length);
    if (!count) throw Error(400, "Content-Length is no number, or beyond all bounds");
    return Body{Framing::length, *count};
}

/// A request that announces no body has none.
inline Body request_body(const Head& head, int minor) { return announced_body(head, minor).value_or(Body{}); }

/// A response that announces no length goes on until the connection ends. Some have no body whatever they announce.
inline Body response_body(const Head& head, const StatusLine& status, bool to_head_request) {
    if (to_head_request || status.code < 200 || status.code == 204 || status.code == 304) return {};
    return announced_body(head, status.minor).value_or(Body{Framing::until_close});
}

/// Takes the content out of what comes behind a head, however the bytes are cut.
class BodyReader {
public:
    explicit BodyReader(Body body) : framing_(body.framing), left_(body.length) {
        if (framing_ == Framing::length) step_ = left_ > 0 ? Step::data : Step::done;
        if (framing_ == Framing::until_close) step_ = Step::data, left_ = UINT64_MAX;
    }

    bool complete() const { return step_ == Step::done; }

    /// The end of the connection has come. True if the body is complete with that.
    bool end() const { return complete() || framing_ == Framing::until_close; }

    /// Takes what is of this body off the front of the bytes. Returns the next piece of its content, which lies in
    /// them;
    /// "": nothing more is there, for now or at all.
    std::string_view next(std::string_view& bytes) {
        while (!bytes.empty() && step_ != Step::done) {
            if (step_ == Step::data) {
                const auto count = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
                const std::string_view piece = bytes.substr(0, count);
                bytes.remove_prefix(count);
                left_ -= count;
                if (left_ == 0) step_ = framing_ == Framing::chunked ? Step::data_cr : Step::done;
                return piece;
            }
            take(bytes.front());
            bytes.remove_prefix(1);
        }
        return {};
    }

private:
    /// "5;extension CR LF", five bytes, "CR LF", ..., "0 CR LF", trailer fields, "CR LF".
    enum class Step {
        size,
        space,
        extension,
        size_lf,
        data,
        data_cr,
        data_lf,
        line_begin,
        name,
        line,
        line_lf,
        last_lf,
        done
    };

    void take(char c) {
        const auto expect = [&](char wanted, Step next) {
            if (c != wanted) throw Error(400, "a chunk does not end where its size says");
            step_ = next;
        };
        switch (step_) {
            case Step::size:
                count(most_size_line);
                if (const auto digit = number({&c, 1}, 16)) {
                    if (left_ > static_cast<std::uint64_t>(INT64_MAX) >> 4U)
                        throw Error(400, "a chunk beyond all bounds");
                    left_ = left_ << 4U | *digit;
                    return;
                }
                if (line_ == 1) throw Error(400, "a chunk without a size");
                return end_of_size(c);
            case Step::space:
                count(most_size_line);
                return end_of_size(c);
            case Step::extension:
                count(most_size_line);
                if (is_control(c) && c != '\r') throw Error(400, "a control character in a chunk's extension");
                if (c == '\r') step_ = Step::size_lf;
                return;
            case Step::size_lf:
                line_ = 0;
                return expect('\n', left_ > 0 ? Step::data : Step::line_begin);
            case Step::data_cr:
                return expect('\r', Step::data_lf);
            case Step::data_lf:
                return expect('\n', Step::size);
            case Step::line_begin:
                if (c == '\r') {
                    step_ = Step::last_lf;
                    return;
                }
                if (c == ':') throw Error(400, "a line of the trailer that is no field");
                step_ = Step::name;
                [[fallthrough]];
            case Step::name:
                count(most_head);
                if (c != ':' && !is_token({&c, 1})) throw Error(400, "a line of the trailer that is no field");
                if (c == ':') step_ = Step::line;
                return;
            case Step::line:
                count(most_head);
                if (is_control(c) && c != '\r') throw Error(400, "a control character in a trailer");
                if (c == '\r') step_ = Step::line_lf;
                return;
            case Step::line_lf:
                return expect('\n', Step::line_begin);
            case Step::last_lf:
                return expect('\n', Step::done);
            default:
                return;
        }
    }

    /// Behind the size: the end of its line, or extensions, which nobody has to understand.
    void end_of_size(char c) {
        if (c != '\r' && c != ';' && c != ' ' && c != '\t') throw Error(400, "the size of a chunk is no number");
        if (c == '\r' && step_ == Step::space) throw Error(400, "a space behind the size of a chunk");
        step_ = c == '\r' ? Step::size_lf : c == ';' ? Step::extension : Step::space;
    }

    /// Neither a size line nor the trailer may go on for ever.
    static constexpr std::size_t most_size_line = 256;
    void count(std::size_t most) {
        if (++line_ > most) throw Error(400, "the line of a chunk's size, or the trailer, is too long");
    }

    Framing framing_;
    Step step_ = Step::size;
    std::uint64_t left_;    // of the chunk or the body
    std::size_t line_ = 0;  // bytes of the size line or the trailer so far
};

// ---- Dates (RFC 9110, section 5.6.7)

/// "Sun, 06 Nov 1994 08:49:37 GMT".
inline std::string date_text(std::time_t time) {
    std::tm parts{};
    gmtime_r(&time, &parts);
    char text[40];
    return {text, strftime(text, sizeof text, "%a, %d %b %Y %H:%M:%S GMT", &parts)};
}

/// Reads that form and the two older ones that must still be understood; nothing if it is none of them.
inline std::optional<std::time_t> read_date(std::string_view text) {
    for (const char* form : {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"}) {
        std::tm parts{};
        const std::string copy(text);
        const char* end = strptime(copy.c_str(), form, &parts);
        if (end != nullptr && *end == '\0') return timegm(&parts);
    }
    return {};
}

// ---- Percent-encoding (RFC 3986, section 2.1)

/// "a b" as "a%20b". What has a meaning of its own in a path or a query is encoded unless it is in `kept`.
inline std::string percent_encoded(std::string_view text, std::string_view kept = "/") {
    static constexpr char digits[] = "0123456789ABCDEF";
    std::string encoded;
    for (const char c : text) {
        const bool plain = is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'z') ||
                           (c != 0 && (std::string_view("-._~").find(c) != std::string_view::npos ||
                                       kept.find(c) != std::string_view::npos));
        if (plain) {
            encoded += c;
        } else {
            const auto byte = static_cast<unsigned char>(c);
            encoded += {'%', digits[byte >> 4U], digits[byte & 15U]};
        }
    }
    return encoded;
}

}  // namespace http
