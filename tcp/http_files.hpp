#pragma once
// What a request asks for: which file, which version of it, which part. For http_server.cpp.
// Nothing here makes a call either: names and numbers in, a decision out.

#include "tcp/http.hpp"

#include <array>

namespace http {

// ---- Which file: from a target to a path below the served folder

/// A file's path relative to the served folder, "" for that itself, and whether the target ended in "/".
struct Path {
    std::string text;
    bool has_slash = false;
};

/// "%41" as 'A'. A byte that could end a C string is none of a file's name.
inline char decoded_byte(std::string_view digits) {
    const auto byte = digits.size() == 2 ? number(digits, 16) : std::nullopt;
    if (!byte || *byte == 0) throw Error(400, "a % without a byte behind it");
    return static_cast<char>(*byte);
}

/// The path in a target: "/a/b?c", or "http://host/a/b?c" as a proxy would be asked (RFC 9112, section 3.2.2).
inline std::string_view path_of(std::string_view target) {
    constexpr std::string_view scheme = "http://";
    if (same_word(target.substr(0, scheme.size()), scheme)) {
        target.remove_prefix(scheme.size());
        const std::size_t host = std::min(target.find_first_of("/?"), target.size());
        if (host == 0) throw Error(400, "the target names no host");
        target.remove_prefix(host);
        if (target.empty() || target.front() == '?') return "/";
    }
    if (target.empty() || target.front() != '/') throw Error(400, "the target is no path");
    return target.substr(0, target.find('?'));
}

/// Decodes a path once, and piece by piece: so "%2e%2e" is seen for what it is, and "%2f" does not become a border
/// between two pieces. ".." is refused and not resolved: no honest client sends it (RFC 3986, section 5.2.4, has them
/// resolve it), and what is not there can't lead outside. Names that begin with a dot are hidden, as in ls.
inline void read_path(std::string_view target, Path& path) {
    path.text.clear();
    std::string_view rest = path_of(target);
    path.has_slash = rest.back() == '/';
    while (!rest.empty()) {
        rest.remove_prefix(1);
        const std::string_view piece = rest.substr(0, rest.find('/'));
        rest.remove_prefix(piece.size());
        if (piece.empty()) continue;
        if (!path.text.empty()) path.text += '/';
        const std::size_t begin = path.text.size();
        for (std::size_t i = 0; i < piece.size(); ++i) {
            const char c = piece[i] == '%' ? decoded_byte(piece.substr(i + 1, 2)) : piece[i];
            if (piece[i] == '%') i += 2;
            if (c == '/') throw Error(404, "no file has a / in its name");
            path.text += c;
        }
        const std::string_view name = std::string_view(path.text).substr(begin);
        if (name == "." || name == "..") throw Error(400, "the target has . or .. in it");
        if (name.front() == '.') throw Error(404, "there is no such file");
    }
}

/// The media type of a name by its ending (RFC 9110, section 8.3.1).
inline std::string_view media_type(std::string_view name) {
    struct Type {
        std::string_view ending, type;
    };
    static constexpr std::array types{
        Type{".html", "text/html; charset=utf-8"},
        Type{".css", "text/css; charset=utf-8"},
        Type{".js", "text/javascript; charset=utf-8"},
        Type{".txt", "text/plain; charset=utf-8"},
        Type{".md", "text/markdown; charset=utf-8"},
        Type{".cpp", "text/plain; charset=utf-8"},
        Type{".hpp", "text/plain; charset=utf-8"},
        Type{".json", "application/json"},
        Type{".pdf", "application/pdf"},
        Type{".png", "image/png"},
        Type{".jpg", "image/jpeg"},
        Type{".jpeg", "image/jpeg"},
        Type{".gif", "image/gif"},
        Type{".svg", "image/svg+xml"},
        Type{".webp", "image/webp"},
        Type{".ico", "image/x-icon"},
        Type{".mp4", "video/mp4"},
        Type{".mp3", "audio/mpeg"},
        Type{".wasm", "application/wasm"},
        Type{".zip", "application/zip"},
        Type{".gz", "application/gzip"},
    };
    const std::size_t dot = name.rfind('.');
    if (dot != std::string_view::npos) {
        for (const Type& type : types) {
            if (same_word(name.substr(dot), type.ending)) return type.type;
        }
    }
    return "application/octet-stream";
}

// ---- Which version: preconditions (RFC 9110, section 13)

/// What tells one version of a file from the next.
struct Version {
    std::string tag;  ///< as in ETag, with its quotes
    std::time_t modified = 0;
};

/// Whether one of a field's entity tags is this one, or "*". Weak ones ("W/...") say that it is alike, not that it is
/// the same byte for byte. A tag is no word: "A" is not "a".
inline bool has_tag(const Head& head, std::string_view name, std::string_view tag, bool weak_is_enough) {
    for (const Field& field : head.fields) {
        if (!same_word(field.name, name)) continue;
        for (std::string_view list = field.value; !list.empty();) {
            std::string_view element = next_element(list);
            if (weak_is_enough && element.starts_with("W/")) element.remove_prefix(2);
            if (element == tag || element == "*") return true;
        }
    }
    return false;
}

/// 200: send it. 304: the client has it already. 412: the client wants another version than this.
/// In the order of section 13.2.2.
inline int check_preconditions(const Head& head, const Version& version) {
    const auto date_in = [&](std::string_view name) {
        const auto value = head.find(name);
        return value ? read_date(*value) : std::nullopt;
    };
    if (head.has("If-Match")) {
        if (!has_tag(head, "If-Match", version.tag, false)) return 412;
    } else if (const auto date = date_in("If-Unmodified-Since")) {
        if (version.modified > *date) return 412;
    }
    if (head.has("If-None-Match")) {
        if (has_tag(head, "If-None-Match", version.tag, true)) return 304;
    } else if (const auto date = date_in("If-Modified-Since")) {
        if (version.modified <= *date) return 304;
    }
    return 200;
}

// ---- Which part: ranges (RFC 9110, section 14)

/// The bytes [begin, end) of a file.
struct Part {
    std::uint64_t begin = 0;
    std::uint64_t end = 0;
};

/// The part that a Range asks for: "bytes=0-99", "bytes=100-" or "bytes=-100", the last hundred. An empty part: what it
/// asks for is not there. Nothing: it is ignored, as a Range may be, because it is not understood, or asks for several
/// parts, or for one of another version (If-Range).
inline std::optional<Part> requested_part(const Head& head, const Version& version, std::uint64_t size) {
    constexpr std::string_view unit = "bytes=";
    const auto range = head.find("Range");
    if (!range || !same_word(range->substr(0, unit.size()), unit)) return {};
    if (const auto only_if = head.find("If-Range")) {
        if (*only_if != version.tag && read_date(*only_if) != version.modified) return {};
    }
    const std::string_view spec = trimmed(range->substr(unit.size()));
    const std::size_t dash = std::min(spec.find('-'), spec.size());
    const std::string_view from = spec.substr(0, dash), to = spec.substr(std::min(dash + 1, spec.size()));
    const auto other = [](std::string_view text) { return !std::all_of(text.begin(), text.end(), is_digit); };
    if (dash == spec.size() || other(from) || other(to) || (from.empty() && to.empty())) return {};

    // A number that is beyond all bounds is beyond the file's end, too.
    const auto value = [](std::string_view text) { return number(text).value_or(UINT64_MAX); };
    if (from.empty()) {
        if (size == 0 && value(to) > 0) return {};
        return Part{size - std::min(value(to), size), size};
    }
    if (value(to) < value(from)) return {};
    if (value(from) >= size) return Part{size, size};
    return Part{value(from), value(to) < size ? value(to) + 1 : size};
}

// ---- A listing, where a folder has no index.html

/// Text as it may stand in HTML, also in quotes. A file's name may be anything.
inline std::string html_escaped(std::string_view text) {
    std::string escaped;
    for (const char c : text) {
        switch (c) {
            case '&':
                escaped += "&amp;";
                break;
            case '<':
                escaped += "&lt;";
                break;
            case '>':
                escaped += "&gt;";
                break;
            case '"':
                escaped += "&quot;";
                break;
            case '\'':
                escaped += "&#39;";
                break;
            default:
                escaped += c;
        }
    }
    return escaped;
}

}  // namespace http
