#include "websocket/protocol/handshake.hpp"

#include "common/errors.hpp"
#include "websocket/protocol/text.hpp"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>

namespace websocket {

// ---- Key and accept

std::string base64_encode(std::string_view bytes) {
    std::string text((bytes.size() + 2) / 3 * 4 + 1, '\0');  // EVP_EncodeBlock() adds a zero
    const int length =
        EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                        reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
    text.resize(static_cast<std::size_t>(length));
    return text;
}

std::optional<std::string> base64_decode(std::string_view text) {
    constexpr std::string_view alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if (text.size() % 4 != 0) return {};
    std::string_view digits = text;
    for (int i = 0; i < 2 && digits.ends_with('='); ++i)
        digits.remove_suffix(1);
    std::string bytes;
    unsigned bits = 0;
    int have = 0;
    for (const char digit : digits) {
        const std::size_t value = alphabet.find(digit);
        if (value == std::string_view::npos) return {};
        bits = (bits << 6U | static_cast<unsigned>(value)) & 0xFFFFU;
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes += static_cast<char>(bits >> static_cast<unsigned>(have) & 0xFFU);
        }
    }
    return bytes;
}

std::string accept_value(std::string_view key) {
    const std::string joined = std::string(key) + std::string(key_suffix);
    std::array<unsigned char, SHA_DIGEST_LENGTH> digest;
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest.data());
    return base64_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string fresh_handshake_key() {
    std::array<unsigned char, 16> random;
    if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) {
        throw std::runtime_error("no random bytes to be had");
    }
    return base64_encode({reinterpret_cast<const char*>(random.data()), random.size()});
}

// ---- HTTP

std::size_t HttpHead::count(std::string_view name) const {
    return static_cast<std::size_t>(
        std::count_if(fields.begin(), fields.end(), [&](const auto& field) { return field.first == name; }));
}

const std::string* HttpHead::find(std::string_view name) const {
    for (const auto& field : fields) {
        if (field.first == name) return &field.second;
    }
    return nullptr;
}

std::vector<std::string> HttpHead::list(std::string_view name) const {
    std::vector<std::string> elements;
    for (const auto& [field, value] : fields) {
        if (field != name) continue;
        const auto keep = [&](std::string_view element) {
            element = trim(element);
            if (!element.empty()) elements.emplace_back(element);  // empty elements don't count (RFC 9110, 5.6.1)
        };
        bool quoted = false;
        std::size_t begin = 0;
        for (std::size_t i = 0; i < value.size(); ++i) {
            if (value[i] == ',' && !quoted) {
                keep(std::string_view(value).substr(begin, i - begin));
                begin = i + 1;
            } else if (value[i] == '\\' && quoted) {
                ++i;
            } else if (value[i] == '"') {
                quoted = !quoted;
            }
        }
        keep(std::string_view(value).substr(begin));
    }
    return elements;
}

HttpHeadReader::Status HttpHeadReader::take_line(std::string_view line) {
    const auto malformed = [&](const char* problem) {
        problem_ = problem;
        return Status::malformed;
    };
    if (!line.ends_with('\r')) return malformed("a line ends with LF alone instead of CR LF");
    line.remove_suffix(1);
    for (const char c : line) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte < 0x20 && c != '\t') || byte == 0x7F) return malformed("a control character stands in the header");
    }
    if (first_) {
        if (line.empty()) return Status::incomplete;  // one may stand before the request (RFC 9112, section 2.2)
        head_.first_line = line;
        first_ = false;
        return Status::incomplete;
    }
    if (line.empty()) return Status::complete;
    if (line.front() == ' ' || line.front() == '\t') return malformed("a field is folded over several lines");
    if (head_.fields.size() == most_fields) return Status::too_large;
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos) return malformed("a field has no colon");
    if (!is_token(line.substr(0, colon))) return malformed("a field's name is not a token");
    head_.fields.emplace_back(lower(line.substr(0, colon)), trim(line.substr(colon + 1)));
    return Status::incomplete;
}

HttpHeadReader::Status HttpHeadReader::take(std::string_view& input) {
    while (!input.empty()) {
        const std::size_t end = input.find('\n');
        const std::size_t count = end == std::string_view::npos ? input.size() : end + 1;
        bytes_ += count;
        if (bytes_ > most_bytes) return Status::too_large;
        line_.append(input.substr(0, count));
        input.remove_prefix(count);
        if (end == std::string_view::npos) break;
        line_.pop_back();  // the LF
        const Status status = take_line(line_);
        line_.clear();
        if (status != Status::incomplete) return status;
    }
    return Status::incomplete;
}

namespace {

/// Splits a comma-free request line or status line at its first two blanks.
std::array<std::string_view, 3> split_first_line(std::string_view line) {
    std::array<std::string_view, 3> parts;
    parts[0] = take_until(line, " ");
    if (!line.empty()) line.remove_prefix(1);
    parts[1] = take_until(line, " ");
    if (!line.empty()) line.remove_prefix(1);
    parts[2] = line;
    return parts;
}

bool has_element(const HttpHead& head, std::string_view name, std::string_view element) {
    const std::vector<std::string> elements = head.list(name);
    return std::any_of(elements.begin(), elements.end(),
                       [&](const std::string& one) { return equal_ignoring_case(one, element); });
}

/// Sorts them first: comparing each with each would take long for thousands.
bool has_duplicates(std::vector<std::string> names) {
    std::sort(names.begin(), names.end());
    return std::adjacent_find(names.begin(), names.end()) != names.end();
}

/// "HTTP/1.1" or later.
bool is_recent_http(std::string_view version) {
    const auto digit = [&](std::size_t i) { return version[i] >= '0' && version[i] <= '9'; };
    if (version.size() != 8 || !version.starts_with("HTTP/") || !digit(5) || version[6] != '.' || !digit(7))
        return false;
    return version[5] > '1' || (version[5] == '1' && version[7] >= '1');
}

struct Authority {
    std::string host;
    unsigned port;
    bool operator==(const Authority&) const = default;
};

/// "example.org:8000", "[::1]", ... (RFC 3986, section 3.2, without user information).
std::optional<Authority> parse_authority(std::string_view text, unsigned default_port) {
    std::string_view host = text;
    std::string_view port;
    const std::size_t bracket = text.starts_with('[') ? text.find(']') : 0;
    if (bracket == std::string_view::npos) return {};
    const std::size_t colon = text.find(':', bracket);
    if (colon != std::string_view::npos) {
        host = text.substr(0, colon);
        port = text.substr(colon + 1);
    }
    const bool literal = bracket != 0;
    if (literal && host.size() != bracket + 1) return {};
    for (const char c : host) {
        const bool allowed = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                             c == '.' || c == '_' || (literal && (c == ':' || c == '[' || c == ']'));
        if (!allowed) return {};
    }
    if (host.empty()) return {};
    unsigned number = default_port;  // unsigned, since from_chars() would take a minus sign for a signed one
    if (!port.empty()) {
        const auto [end, trouble] = std::from_chars(port.data(), port.data() + port.size(), number);
        if (trouble != std::errc{} || end != port.data() + port.size() || number > 65535) return {};
    }
    return Authority{lower(host), number};
}

/// May a page of this origin connect to the host that it named? Its own may, since an attacker's page comes from
/// elsewhere (RFC 6455, section 10.2); compared as whole hosts and ports, so that no prefix or suffix does.
bool origin_is_allowed(const std::string& origin, std::string_view host, const std::vector<std::string>& allowed) {
    for (const std::string& entry : allowed) {
        if (entry == "*" || equal_ignoring_case(entry, origin)) return true;
    }
    std::string_view rest = origin;
    unsigned default_port = 80;
    if (lower(rest.substr(0, 7)) == "http://") {
        rest.remove_prefix(7);
    } else if (lower(rest.substr(0, 8)) == "https://") {
        rest.remove_prefix(8);
        default_port = 443;
    } else {
        return false;
    }
    const auto from = parse_authority(rest, default_port);
    const auto to = parse_authority(host, default_port);
    return from && to && *from == *to;
}

/// A request's target: a path with its query, or an absolute URI, which has an authority before them.
struct Target {
    std::string_view authority;  ///< "" without one
    std::string resource;
};

/// Nothing if it is neither, or holds blanks, controls or a fragment.
std::optional<Target> parse_target(std::string_view target) {
    const bool visible =
        std::all_of(target.begin(), target.end(), [](char c) { return c > 0x20 && c < 0x7F && c != '#'; });
    if (!visible) return {};
    if (target.starts_with('/')) return Target{"", std::string(target)};
    for (const std::string_view scheme : {"http://", "https://", "ws://", "wss://"}) {
        if (lower(target.substr(0, scheme.size())) != scheme) continue;
        target.remove_prefix(scheme.size());
        const std::string_view authority = take_until(target, "/?");
        if (!parse_authority(authority, 80)) return {};
        return Target{authority, (target.starts_with('/') ? "" : "/") + std::string(target)};
    }
    return {};
}

std::string reason_phrase(int code) {
    switch (code) {
        case 400:
            return "Bad Request";
        case 403:
            return "Forbidden";
        case 408:
            return "Request Timeout";
        case 426:
            return "Upgrade Required";
        case 431:
            return "Request Header Fields Too Large";
        default:
            return "Error";
    }
}

}  // namespace

// ---- The server's side

ServerHandshake::Status ServerHandshake::refuse(int code, std::string reason, std::string_view more_fields) {
    status_code_ = code;
    reason_ = std::move(reason);
    response_ = fmt::format(
        "HTTP/1.1 {} {}\r\n"
        "{}"
        "Content-Type: text/plain; charset=utf-8\r\n"
        "Content-Length: {}\r\n"
        "Connection: {}\r\n"
        "\r\n"
        "{}\n",
        code, reason_phrase(code), more_fields, reason_.size() + 1, code == 426 ? "Upgrade, close" : "close", reason_);
    return Status::refused;
}

void ServerHandshake::time_out() { refuse(408, "the request did not end in time"); }

ServerHandshake::Status ServerHandshake::take(std::string_view& input) {
    switch (reader_.take(input)) {
        case HttpHeadReader::Status::incomplete:
            return Status::incomplete;
        case HttpHeadReader::Status::too_large:
            return refuse(431, fmt::format("the header is larger than {} bytes or {} fields",
                                           HttpHeadReader::most_bytes, HttpHeadReader::most_fields));
        case HttpHeadReader::Status::malformed:
            return refuse(400, reader_.problem());
        case HttpHeadReader::Status::complete:
            break;
    }
    return judge();
}

ServerHandshake::Status ServerHandshake::judge() {
    const HttpHead& head = reader_.head();
    const auto [method, target_text, version] = split_first_line(head.first_line);

    if (method != "GET") return refuse(400, "the method is not GET");
    const std::optional<Target> target = parse_target(target_text);
    if (!target) return refuse(400, "the request's target is not a path");
    if (!is_recent_http(version)) return refuse(400, "the version is not HTTP/1.1 or later");
    for (const char* once : {"Host", "Origin", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Content-Length"}) {
        if (head.count(lower(once)) > 1) return refuse(400, fmt::format("{} stands there more than once", once));
    }
    const std::string* host = head.find("host");
    if (host == nullptr || !parse_authority(*host, 80)) return refuse(400, "Host is missing or malformed");
    const std::string* length = head.find("content-length");
    if ((length != nullptr && *length != "0") || head.count("transfer-encoding") > 0) {
        return refuse(400, "an upgrade request has no body");
    }
    if (!has_element(head, "upgrade", "websocket")) return refuse(400, "Upgrade does not name websocket");
    if (!has_element(head, "connection", "upgrade")) return refuse(400, "Connection does not name Upgrade");

    const std::string* asked_version = head.find("sec-websocket-version");
    if (asked_version == nullptr) return refuse(400, "Sec-WebSocket-Version is missing");
    if (*asked_version != "13") {
        return refuse(426, "this server speaks version 13 of the WebSocket protocol",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n");
    }
    const std::string* key = head.find("sec-websocket-key");
    if (key == nullptr) return refuse(400, "Sec-WebSocket-Key is missing");
    const std::optional<std::string> decoded = base64_decode(*key);
    if (!decoded || decoded->size() != 16) return refuse(400, "Sec-WebSocket-Key is not 16 bytes in base64");

    const std::string* origin = head.find("origin");
    // An absolute target says itself to which host, and Host then does not count (RFC 9112, section 3.2.2).
    const std::string_view to = target->authority.empty() ? std::string_view(*host) : target->authority;
    if (origin != nullptr && !origin_is_allowed(*origin, to, policy_->allowed_origins)) {
        return refuse(403, "pages of this origin may not connect here");
    }

    // One of ours that the client named, and nothing unasked (section 4.2.2, item 5).
    std::vector<std::string> offered = head.list("sec-websocket-protocol");
    if (!std::all_of(offered.begin(), offered.end(), is_token))
        return refuse(400, "Sec-WebSocket-Protocol holds what is not a token");
    if (has_duplicates(offered)) return refuse(400, "Sec-WebSocket-Protocol names one twice");
    for (const std::string& ours : policy_->subprotocols) {
        if (std::find(offered.begin(), offered.end(), ours) != offered.end()) {
            agreement_.subprotocol = ours;
            break;
        }
    }

    std::string deflate_answer;
    for (const std::string& element : head.list("sec-websocket-extensions")) {
        const std::optional<Extension> extension = parse_extension(element);
        if (!extension) return refuse(400, "Sec-WebSocket-Extensions is malformed");
        if (!agreement_.deflate && policy_->deflate) {
            agreement_.deflate = accept_offer(*extension, *policy_->deflate, deflate_answer);
        }
    }

    agreement_.resource = target->resource;
    status_code_ = 101;
    response_ = fmt::format(
        "HTTP/1.1 101 Switching Protocols\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {}\r\n",
        accept_value(*key));
    if (!agreement_.subprotocol.empty())
        response_ += fmt::format("Sec-WebSocket-Protocol: {}\r\n", agreement_.subprotocol);
    if (agreement_.deflate) response_ += fmt::format("Sec-WebSocket-Extensions: {}\r\n", deflate_answer);
    response_ += "\r\n";
    return Status::accepted;
}

// ---- The client's side

ClientHandshake::ClientHandshake(ClientWishes wishes) : wishes_(std::move(wishes)), key_(fresh_handshake_key()) {
    const auto printable = [](std::string_view text) {
        return std::all_of(text.begin(), text.end(), [](char c) { return c > 0x20 && c < 0x7F; });
    };
    if (!wishes_.resource.starts_with('/') || !parse_target(wishes_.resource))
        throw std::invalid_argument("the resource must begin with / and hold no blanks");
    if (wishes_.host.empty() || !printable(wishes_.host))
        throw std::invalid_argument("the host can't stand in a request");
    if (!printable(wishes_.origin)) throw std::invalid_argument("the origin can't stand in a request");

    request_ = fmt::format(
        "GET {} HTTP/1.1\r\n"
        "Host: {}\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: {}\r\n"
        "Sec-WebSocket-Version: 13\r\n",
        wishes_.resource, wishes_.host, key_);
    if (!wishes_.origin.empty()) request_ += fmt::format("Origin: {}\r\n", wishes_.origin);
    std::string names;
    for (const std::string& name : wishes_.subprotocols) {
        if (!is_token(name)) throw std::invalid_argument("a subprotocol's name is not a token");
        names += (names.empty() ? "" : ", ") + name;
    }
    if (has_duplicates(wishes_.subprotocols)) throw std::invalid_argument("a subprotocol is offered twice");
    if (!names.empty()) request_ += fmt::format("Sec-WebSocket-Protocol: {}\r\n", names);
    if (wishes_.deflate) request_ += fmt::format("Sec-WebSocket-Extensions: {}\r\n", format_offer(*wishes_.deflate));
    request_ += "\r\n";
}

ClientHandshake::Status ClientHandshake::refuse(std::string reason) {
    reason_ = std::move(reason);
    refused_ = true;
    return Status::refused;
}

namespace {

bool is_chunked(const HttpHead& head) { return has_element(head, "transfer-encoding", "chunked"); }

/// What a chunked body says (RFC 9112, section 7.1), as far as it has come.
struct Chunks {
    std::string text;
    bool over = false;  ///< the last one, which is empty, has come; or what is no chunk
};

Chunks read_chunks(std::string_view bytes) {
    Chunks chunks;
    for (std::size_t end = 0; (end = bytes.find("\r\n")) != std::string_view::npos;) {
        std::size_t size = 0;
        const auto trouble = std::from_chars(bytes.data(), bytes.data() + end, size, 16).ec;
        chunks.over = trouble != std::errc{} || size == 0;
        if (chunks.over) break;
        bytes.remove_prefix(end + 2);
        chunks.text += bytes.substr(0, size);
        if (bytes.size() < size || bytes.size() - size < 2) break;
        bytes.remove_prefix(size + 2);
    }
    return chunks;
}

/// How much of a refusal's body there is to be read (RFC 9112, section 6.3), as far as it is worth it.
std::size_t body_length(const HttpHead& head) {
    constexpr std::size_t most = 1024;
    const auto [version, code, phrase] = split_first_line(head.first_line);
    const bool final_status = code.size() == 3 && code[0] >= '2' && code[0] <= '5';
    if (!final_status || code == "204" || code == "304") return 0;
    if (head.count("transfer-encoding") > 0) return is_chunked(head) ? most : 0;  // until the last chunk
    const std::string* length = head.find("content-length");
    if (length == nullptr) return most;  // until the server closes
    std::size_t count = 0;
    std::from_chars(length->data(), length->data() + length->size(), count);
    return std::min(count, most);
}

/// An answer that only announces another one (RFC 9110, section 15.2)?
bool is_interim(const HttpHead& head) {
    const auto [version, code, phrase] = split_first_line(head.first_line);
    return version.starts_with("HTTP/") && code.size() == 3 && code[0] == '1' && code != "101";
}

}  // namespace

ClientHandshake::Status ClientHandshake::take(std::string_view& input) {
    if (!refused_) {
        HttpHeadReader::Status status = reader_.take(input);
        while (status == HttpHeadReader::Status::complete && is_interim(reader_.head())) {
            reader_ = HttpHeadReader();
            status = reader_.take(input);
        }
        // Who does not speak HTTP at all may never come to an empty line.
        const std::string& line = reader_.head().first_line;
        if (!line.empty() && !line.starts_with("HTTP/")) return refuse("the server does not speak HTTP");
        switch (status) {
            case HttpHeadReader::Status::incomplete:
                return Status::incomplete;
            case HttpHeadReader::Status::too_large:
                return refuse("the server's answer has too large a header");
            case HttpHeadReader::Status::malformed:
                return refuse(fmt::format("the server's answer is not HTTP: {}", reader_.problem()));
            case HttpHeadReader::Status::complete:
                break;
        }
        if (judge() == Status::accepted) return Status::accepted;
    }
    // What the server says about it is worth reading.
    const std::size_t wanted = body_length(reader_.head());
    const std::string_view piece = input.substr(0, wanted - body_.size());
    body_ += piece;
    input.remove_prefix(piece.size());
    const bool over = body_.size() == wanted || (is_chunked(reader_.head()) && read_chunks(body_).over);
    return over ? Status::refused : Status::incomplete;
}

ClientHandshake::Status ClientHandshake::judge() {
    const HttpHead& head = reader_.head();
    const auto [version, code, phrase] = split_first_line(head.first_line);
    if (!is_recent_http(version)) return refuse("the server's answer is not HTTP/1.1");
    if (code != "101") return refuse("the server did not switch to WebSocket");

    for (const char* once : {"Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"}) {
        if (head.count(lower(once)) > 1) return refuse(fmt::format("the server's answer has {} more than once", once));
    }
    const std::string* upgrade = head.find("upgrade");
    if (upgrade == nullptr || !equal_ignoring_case(*upgrade, "websocket")) return refuse("Upgrade is not websocket");
    if (!has_element(head, "connection", "upgrade")) return refuse("Connection does not name Upgrade");
    const std::string* accept = head.find("sec-websocket-accept");
    if (accept == nullptr) return refuse("Sec-WebSocket-Accept is missing");
    if (*accept != accept_value(key_)) return refuse("Sec-WebSocket-Accept does not belong to the key that was sent");

    if (const std::string* chosen = head.find("sec-websocket-protocol")) {
        if (std::find(wishes_.subprotocols.begin(), wishes_.subprotocols.end(), *chosen) ==
            wishes_.subprotocols.end()) {
            return refuse("the server chose a subprotocol that was not offered");
        }
        agreement_.subprotocol = *chosen;
    }
    for (const std::string& element : head.list("sec-websocket-extensions")) {
        const std::optional<Extension> extension = parse_extension(element);
        const bool ours = extension && wishes_.deflate && !agreement_.deflate;
        if (ours) agreement_.deflate = check_answer(*extension, *wishes_.deflate);
        if (!ours || !agreement_.deflate)
            return refuse("the server chose an extension, or a parameter, that was not offered");
    }
    agreement_.resource = wishes_.resource;
    return Status::accepted;
}

std::string ClientHandshake::reason() const {
    const std::string& line = reader_.head().first_line;
    if (line.empty()) return reason_.empty() ? "the server ended the connection without an answer" : reason_;
    if (reason_.empty()) return fmt::format("the server's answer is incomplete: {}", escaped(line));
    std::string said = is_chunked(reader_.head()) ? read_chunks(body_).text : body_;
    if (said.ends_with('\n')) said.pop_back();
    return fmt::format("{}: {}{}{}", reason_, escaped(line), said.empty() ? "" : ": ", escaped(trim(said)));
}

}  // namespace websocket
