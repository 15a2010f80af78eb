#pragma once
// What a client gets: a file or a part of it, a folder's listing, another target, or an error. For http_server.cpp,
// which sends it.

#include "common/call.hpp"
#include "tcp/http.hpp"
#include "tcp/http_files.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <ctime>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <unistd.h>

namespace http {

constexpr std::size_t small_body = 16384;     // a file up to this goes out with its head, in one send()
constexpr std::size_t names_at_a_time = 256;  // of a listing

/// One client's answer, as far as it is not sent yet.
struct Answer {
    bool head_only = false;  // the request is HEAD
    int minor = 1;           // and in HTTP/1.0, or 1.1
    bool last = false;       // with this answer the connection ends
    int status = 0;
    bool chunked = false;  // the listing is sent in chunks

    std::string output;  // its head and what else is in memory, from `sent` on; then
    std::size_t sent = 0;
    int file = -1;  // these bytes of a file; then
    off_t offset = 0;
    std::uint64_t left = 0;
    DIR* folder = nullptr;  // the rest of a listing

    Answer() = default;
    Answer(const Answer&) = delete;
    Answer& operator=(const Answer&) = delete;
    ~Answer() { release_file(); }

    /// There is something to be sent.
    bool is_begun() const { return sent < output.size() || has_more_than_output(); }
    bool has_more_than_output() const { return left > 0 || folder != nullptr; }

    void release_file() {
        if (file != -1) TRY(close(file));
        if (folder != nullptr) closedir(folder);
        file = -1;
        folder = nullptr;
        left = 0;
    }
};

/// A folder whose files are served.
class Site {
public:
    explicit Site(int root) : root_(root) {}

    /// Prepares what a request gets; answer.head_only and .minor are as it says.
    void answer(Answer& answer, const Head& head, const RequestLine& request);
    void answer_with_error(Answer& answer, const Error& error, const std::string& fields = "");
    /// Adds the next names to the answer, while it has a folder.
    void list_more(Answer& answer);

private:
    void find(Answer& answer, const Head& head, const RequestLine& request);
    int open_below_root(const std::string& path);
    void answer_with_file(Answer& answer, const Head& head, const struct stat& about, std::string_view type);
    void begin_listing(Answer& answer);
    void redirect(Answer& answer, std::string_view target);
    void begin_head(Answer& answer, int status);
    const std::string& date();

    int root_;
    Path path_;  // not made anew for each request
    std::string date_;
    std::time_t date_of_ = 0;
};

inline const char* reason_of(int status) {
    struct Reason {
        int status;
        const char* text;
    };
    static constexpr std::array reasons{
        Reason{200, "OK"},
        Reason{206, "Partial Content"},
        Reason{301, "Moved Permanently"},
        Reason{304, "Not Modified"},
        Reason{400, "Bad Request"},
        Reason{403, "Forbidden"},
        Reason{404, "Not Found"},
        Reason{405, "Method Not Allowed"},
        Reason{408, "Request Timeout"},
        Reason{412, "Precondition Failed"},
        Reason{413, "Content Too Large"},
        Reason{414, "URI Too Long"},
        Reason{416, "Range Not Satisfiable"},
        Reason{417, "Expectation Failed"},
        Reason{431, "Request Header Fields Too Large"},
        Reason{501, "Not Implemented"},
        Reason{503, "Service Unavailable"},
        Reason{505, "HTTP Version Not Supported"},
    };
    for (const Reason& reason : reasons) {
        if (reason.status == status) return reason.text;
    }
    return "Internal Server Error";
}

inline void end_head(Answer& answer) {
    if (answer.last) answer.output += "Connection: close\r\n";
    if (!answer.last && answer.minor == 0) answer.output += "Connection: keep-alive\r\n";  // as it has asked for
    answer.output += "\r\n";
}

inline void add_piece(Answer& answer, const std::string& text) {
    if (!answer.chunked) {
        answer.output += text;
    } else if (!text.empty()) {  // an empty chunk would be the last
        answer.output += fmt::format("{:x}\r\n{}\r\n", text.size(), text);
    }
}

/// Nine methods have a meaning (RFC 9110, section 9, and PATCH of RFC 5789); of those, we have two.
inline void check_method(std::string_view method) {
    if (method == "GET" || method == "HEAD") return;
    for (const char* known : {"POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "PATCH"}) {
        if (method == known) throw Error(405, "files are for reading");
    }
    throw Error(501, "an unknown method");
}

inline void Site::answer(Answer& answer, const Head& head, const RequestLine& request) {
    answer.last = !persists(head, request.minor);
    try {
        check_method(request.method);
        find(answer, head, request);
    } catch (const Error& error) {
        answer.release_file();
        answer_with_error(answer, error);
    }
    if (answer.head_only) answer.release_file();
}

inline Error why_not_opened(int error) {
    switch (error) {
        case ENOENT:
        case ENOTDIR:
        case ELOOP:  // a symbolic link
        case ENXIO:  // a socket
        case ENAMETOOLONG:
            return {404, "there is no such file"};
        case EPERM:
        case EACCES:
            return {403, "the server may not read it"};
        case EMFILE:
        case ENFILE:
        case ENOMEM:
            return {503, "too many files are open"};
        default:
            return {500, "it can't be opened"};
    }
}

/// From a target to a file, an index.html, a listing, or to another target.
inline void Site::find(Answer& answer, const Head& head, const RequestLine& request) {
    read_path(request.target, path_);
    answer.file = open_below_root(path_.text);
    struct stat about {};
    CALL(fstat(answer.file, &about));
    if (S_ISREG(about.st_mode) && !path_.has_slash) {
        return answer_with_file(answer, head, about, media_type(path_.text));
    }
    if (!S_ISDIR(about.st_mode)) throw Error(404, "there is no such file");
    if (!path_.has_slash) return redirect(answer, request.target);

    const int index = TRY(openat(answer.file, "index.html", O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (index == -1) {
        const int error = errno;
        if (why_not_opened(error).status() != 404) throw why_not_opened(error);
        return begin_listing(answer);
    }
    TRY(close(answer.file));
    answer.file = index;
    CALL(fstat(answer.file, &about));
    if (!S_ISREG(about.st_mode)) throw Error(404, "index.html is no file");
    answer_with_file(answer, head, about, media_type("index.html"));
}

/// Opens piece by piece, each in the folder before it, and follows no symbolic link: whatever the names are, and
/// whoever changes the folders meanwhile, it stays inside. O_NONBLOCK: opening a FIFO would wait for its writer.
inline int Site::open_below_root(const std::string& path) {
    int at = root_;
    for (std::size_t begin = 0;;) {
        const std::size_t end = std::min(path.find('/', begin), path.size());
        const std::string name = path.empty() ? "." : path.substr(begin, end - begin);
        const int next = TRY(openat(at, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
        const int error = errno;
        if (at != root_) TRY(close(at));
        if (next == -1) throw why_not_opened(error);
        if (end == path.size()) return next;
        at = next;
        begin = end + 1;
    }
}

inline Version version_of(const struct stat& about) {
#ifdef __APPLE__
    const timespec& modified = about.st_mtimespec;
#else
    const timespec& modified = about.st_mtim;
#endif
    return {fmt::format("\"{:x}-{:x}.{:x}\"", about.st_size, modified.tv_sec, modified.tv_nsec), modified.tv_sec};
}

inline void Site::answer_with_file(Answer& answer, const Head& head, const struct stat& about, std::string_view type) {
    const auto size = static_cast<std::uint64_t>(about.st_size);
    const Version version = version_of(about);
    const std::string validators =
        fmt::format("Last-Modified: {}\r\nETag: {}\r\n", date_text(version.modified), version.tag);
    const int status = check_preconditions(head, version);
    if (status == 412) throw Error(412, "it is another version");
    if (status == 304) {
        begin_head(answer, 304);
        answer.output += validators;
        end_head(answer);
        return answer.release_file();
    }

    const auto asked = answer.head_only ? std::nullopt : requested_part(head, version, size);
    if (asked && asked->begin == asked->end) {
        answer.release_file();
        return answer_with_error(answer, {416, "that part is not there"},
                                 fmt::format("Content-Range: bytes */{}\r\n", size));
    }
    const Part part = asked.value_or(Part{0, size});
    const std::size_t begin = answer.output.size();
    begin_head(answer, asked ? 206 : 200);
    answer.output += fmt::format("Content-Type: {}\r\nContent-Length: {}\r\nAccept-Ranges: bytes\r\n{}", type,
                                 part.end - part.begin, validators);
    if (asked) {
        answer.output += fmt::format("Content-Range: bytes {}-{}/{}\r\n", part.begin, part.end - 1, size);
    }
    end_head(answer);
    if (answer.head_only) return;

    answer.offset = static_cast<off_t>(part.begin);
    answer.left = part.end - part.begin;
    if (answer.left > small_body) return;  // the file follows: see flush()
    const auto count = static_cast<std::size_t>(answer.left);
    const std::size_t length = answer.output.size();
    answer.output.resize(length + count);
    if (count > 0 &&
        CALL(pread(answer.file, &answer.output[length], count, answer.offset)) != static_cast<ssize_t>(count)) {
        answer.output.resize(begin);
        throw Error(500, "the file changes while it is read");
    }
    answer.left = 0;
    answer.release_file();
}

/// "/docs" is to be asked for as "/docs/": else the links in there would be relative to "/".
inline void Site::redirect(Answer& answer, std::string_view target) {
    const std::size_t query = std::min(target.find('?'), target.size());
    begin_head(answer, 301);
    // Made of the path as it was read: "//elsewhere/docs", repeated as it came, would lead to another host.
    answer.output +=
        fmt::format("Location: /{}/{}\r\nContent-Length: 0\r\n", percent_encoded(path_.text), target.substr(query));
    end_head(answer);
    answer.release_file();
}

/// A folder's page. Whatever its names are, none becomes HTML.
inline void Site::begin_listing(Answer& answer) {
    answer.folder = fdopendir(answer.file);  // to which the descriptor belongs from now on
    if (answer.folder == nullptr) throw Error(500, "the folder can't be read");
    answer.file = -1;
    // How long it will be, nobody knows yet. In HTTP/1.1 each piece tells its own length; before that, the end of the
    // connection was the end of the body.
    answer.chunked = answer.minor >= 1;
    if (!answer.chunked) answer.last = true;
    begin_head(answer, 200);
    answer.output += "Content-Type: text/html; charset=utf-8\r\n";
    if (answer.chunked) answer.output += "Transfer-Encoding: chunked\r\n";
    end_head(answer);
    if (answer.head_only) return;
    const std::string title = html_escaped("/" + path_.text);
    add_piece(answer, fmt::format("<!DOCTYPE html>\n<title>{0}</title>\n<h1>{0}</h1>\n<ul>\n", title));
}

/// Adds the next names to the answer, as one chunk. They are sorted as far as they are read at once.
inline void Site::list_more(Answer& answer) {
    std::map<std::string, std::string> rows;  // by name
    const dirent* entry = nullptr;
    while (rows.size() < names_at_a_time && (entry = readdir(answer.folder)) != nullptr) {
        const std::string name = entry->d_name;
        struct stat about {};
        if (name.front() == '.' ||
            TRY(fstatat(dirfd(answer.folder), name.c_str(), &about, AT_SYMLINK_NOFOLLOW)) == -1) {
            continue;
        }
        const std::string link = percent_encoded(name, ""), text = html_escaped(name);
        if (S_ISREG(about.st_mode)) {
            rows[name] = fmt::format("<li><a href=\"{}\">{}</a> {}\n", link, text, about.st_size);
        } else if (S_ISDIR(about.st_mode)) {
            rows[name] = fmt::format("<li><a href=\"{}/\">{}/</a>\n", link, text);
        }
    }

    std::string text;
    for (const auto& [name, row] : rows)
        text += row;
    if (entry == nullptr) text += "</ul>\n";
    add_piece(answer, text);
    if (entry != nullptr) return;
    if (answer.chunked) answer.output += "0\r\n\r\n";
    answer.release_file();
}

inline void Site::answer_with_error(Answer& answer, const Error& error, const std::string& fields) {
    const std::string text = fmt::format("{} {}: {}\n", error.status(), reason_of(error.status()), error.what());
    begin_head(answer, error.status());
    if (error.status() == 405) answer.output += "Allow: GET, HEAD\r\n";
    answer.output += fields;
    answer.output += fmt::format("Content-Type: text/plain\r\nContent-Length: {}\r\n", text.size());
    end_head(answer);
    if (!answer.head_only) answer.output += text;
}

inline void Site::begin_head(Answer& answer, int status) {
    answer.status = status;
    answer.output += fmt::format("HTTP/1.1 {} {}\r\nDate: {}\r\n", status, reason_of(status), date());
}

inline const std::string& Site::date() {
    if (const std::time_t now = std::time(nullptr); now != date_of_) {
        date_ = date_text(now);
        date_of_ = now;
    }
    return date_;
}

}  // namespace http
