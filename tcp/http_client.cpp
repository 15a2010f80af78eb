// HTTP client: fetches one URL in HTTP/1.1 written by hand on the TCP calls, and shows the talk with --verbose.
//
//     terminal 1:  build/tcp/http_server --directory websocket
//     terminal 2:  build/tcp/http_client --verbose http://127.0.0.1:7000/README.md
//
// A body ends in one of three ways: after Content-Length bytes, with a chunk of size 0, or with the connection. Only
// with the first two does the client know that nothing is missing. Try it: fetch a large file with --output, stop it
// with Ctrl-C, and fetch the rest with --resume.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "tcp/http.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

struct Settings {
    bool head = false;
    bool verbose = false;
    bool resume = false;
    long redirects = 0;
    long timeout = 10;
    std::string range;
    std::string output;
};

// ---- What is asked for

struct Url {
    std::string host;
    std::uint16_t port = 80;
    std::string target;

    /// As in Host: the port only where it is another than HTTP's.
    std::string authority() const {
        if (port != 80) return host_and_port(host, port);
        return host.find(':') != std::string::npos ? "[" + host + "]" : host;
    }
    Url as_the_server_knows_it() const { return {without_zone(host), port, target}; }
};

/// "http://host:port/path?query#fragment" (RFC 9110, section 4.2.1). Throws UsageError.
Url read_url(const std::string& text) {
    const auto refuse = [&](const char* why) { throw UsageError(fmt::format("{}: {}", escaped(text), why)); };
    constexpr std::string_view scheme = "http://";
    std::string_view rest = text;
    if (!http::same_word(rest.substr(0, scheme.size()), scheme)) refuse("expected http://HOST[:PORT]/PATH");
    rest.remove_prefix(scheme.size());
    rest = rest.substr(0, rest.find('#'));  // which part of the page to show is the browser's own business
    std::string_view authority = rest.substr(0, rest.find_first_of("/?"));
    rest.remove_prefix(authority.size());
    if (authority.find('@') != std::string_view::npos) refuse("a name before the host is not understood");

    Url url;
    const std::size_t bracket = authority.starts_with('[') ? authority.find(']') : 0;
    const std::size_t colon = authority.find(':', std::min(bracket, authority.size()));
    url.host = authority.substr(0, colon);
    if (bracket == std::string_view::npos || url.host.empty()) refuse("there is no host");
    if (bracket > 0 && url.host.size() != bracket + 1) refuse("this can't be a host");
    if (bracket > 0) url.host = url.host.substr(1, bracket - 1);
    if (std::any_of(url.host.begin(), url.host.end(), [](char c) { return c <= ' ' || c > '~'; })) {
        refuse("this can't be a host");
    }
    if (colon != std::string_view::npos && colon + 1 < authority.size()) {
        url.port = static_cast<std::uint16_t>(parse_number(std::string(authority.substr(colon + 1)), 1, 65535, "port"));
    }
    // What may stand in a URL stays; a space or 한글 is encoded.
    url.target = http::percent_encoded(rest, "%/?:@!$&'()*+,;=[]|");
    if (!url.target.starts_with('/')) url.target.insert(0, "/");
    return url;
}

/// Where a Location leads, seen from the URL that it came from (RFC 9110, section 10.2.2). "../x" is left to servers.
Url follow(const Url& from, const std::string& location) {
    const std::string origin = "http://" + from.authority();
    if (location.find("://") < location.find_first_of("/?")) return read_url(location);
    if (location.starts_with("//")) return read_url("http:" + location);
    if (location.starts_with('/')) return read_url(origin + location);
    const std::string path = from.target.substr(0, from.target.find('?'));
    if (location.starts_with('?')) return read_url(origin + path + location);
    return read_url(origin + path.substr(0, path.rfind('/') + 1) + location);
}

// ---- The connection. It never waits for longer than --timeout.

class TimeOut : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

using Clock = std::chrono::steady_clock;

void wait_for(int connection, short events, Clock::time_point deadline, const char* what) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd watched{connection, events, 0};
    if (left <= 0 || CALL(poll(&watched, 1, static_cast<int>(left))) == 0) {
        throw TimeOut(fmt::format("the server let us wait too long: {}", what));
    }
}

/// A connect() that waits can wait for minutes. One that does not wait is under way when it returns, and when it has
/// come to its end the socket can be written; how it ended is in SO_ERROR (connect(2)).
void connect_within(int connection, const Address& address, Clock::time_point deadline) {
    CALL(fcntl(connection, F_SETFL, O_NONBLOCK));
    try {
        CALL(connect(connection, address.get(), address.length()));
    } catch (const SocketError& error) {
        if (error.code().value() != EINPROGRESS && error.code().value() != EINTR) throw;
        wait_for(connection, POLLOUT, deadline, "for a connection");
        int result = 0;
        socklen_t length = sizeof result;
        CALL(getsockopt(connection, SOL_SOCKET, SO_ERROR, &result, &length));
        if (result != 0)
            throw SocketError(result, {"connect(connection, address.get(), address.length())", __FILE__, __LINE__});
    }
}

int connect_to(const Url& url, Clock::time_point deadline) {
    const std::vector<Address> addresses = resolve(url.host, url.port, SOCK_STREAM);
    for (std::size_t i = 0;; ++i) {
        const int connection = CALL(socket(addresses[i].family(), SOCK_STREAM, 0));
        try {
            connect_within(connection, addresses[i], deadline);
            return connection;
        } catch (const SocketError&) {
            TRY(close(connection));
            if (i + 1 == addresses.size()) throw;
        }
    }
}

/// Receives what is there, up to so much; 0 is the end.
std::size_t receive(int connection, char* bytes, std::size_t count, Clock::time_point deadline, const char* what) {
    for (;;) {
        wait_for(connection, POLLIN, deadline, what);
        const ssize_t received = TRY(recv(connection, bytes, count, 0));
        if (received >= 0) return static_cast<std::size_t>(received);
        if (errno != EAGAIN && errno != EINTR) {
            throw std::runtime_error(fmt::format("the server ended the connection: {}", describe_error(errno)));
        }
    }
}

// ---- Request and response

/// "> " before each line of ours, "< " before the server's, whose bytes may be anything.
void show(const Settings& settings, char mark, std::string_view head) {
    const bool asked_for = mark == '<' && settings.head;
    if (!settings.verbose && !asked_for) return;
    std::string text;
    while (!head.empty()) {
        const std::size_t end = std::min(head.find("\r\n"), head.size());
        text += fmt::format("{} {}\n", mark, escaped(head.substr(0, end)));
        head.remove_prefix(std::min(end + 2, head.size()));
    }
    write_all(asked_for ? STDOUT_FILENO : STDERR_FILENO, text);
}

/// More than a server takes: heads of answers are larger, with their cookies.
constexpr std::size_t most_response_head = 65536;

struct Response {
    std::string bytes;  ///< of the head, to which the other two refer
    http::Head head;
    http::StatusLine status;
};

/// Receives a head. `input` then holds what came behind it.
void receive_head(int connection, std::string& input, Response& response, Clock::time_point deadline) {
    std::size_t line = 0, length = 0;
    while ((length = http::head_length(input, line, most_response_head)) == 0) {
        std::array<char, 4096> piece;
        const std::size_t count =
            receive(connection, piece.data(), piece.size(), deadline, "for the head of the answer");
        if (count == 0) throw std::runtime_error("the server ended the connection before the head of its answer did");
        input.append(piece.data(), count);
    }
    response.bytes = input.substr(0, length);
    input.erase(0, length);
    http::read_head(response.bytes, response.head);
    response.status = http::read_status_line(response.head.first_line);
}

/// Receives the answer's head; those of 1xx before it only say that it is on its way (RFC 9110, section 15.2).
void receive_response(int connection, const Settings& settings, std::string& input, Response& response) {
    const auto deadline = Clock::now() + std::chrono::seconds(settings.timeout);
    for (int interim = 0; interim < 10; ++interim) {
        receive_head(connection, input, response, deadline);
        show(settings, '<', response.bytes);
        if (response.status.code == 101)
            throw std::runtime_error("the server changes the protocol, which nobody asked for");
        if (response.status.code >= 200) return;
    }
    throw std::runtime_error("the server says 1xx for ever");
}

/// Receives the body, and hands on each piece of its content.
template <typename Take>
void receive_body(int connection, const Settings& settings, const std::string& input, http::BodyReader body,
                  const Take& take) {
    std::array<char, 65536> piece;
    std::string_view bytes = input;
    for (;;) {
        for (std::string_view content = body.next(bytes); !content.empty(); content = body.next(bytes))
            take(content);
        if (body.complete()) return;
        const auto deadline = Clock::now() + std::chrono::seconds(settings.timeout);
        const std::size_t count = receive(connection, piece.data(), piece.size(), deadline, "for more of the body");
        if (count == 0 && body.end()) return;
        if (count == 0) throw std::runtime_error("the server ended the connection before the body was complete");
        bytes = {piece.data(), count};
    }
}

// ---- Where the body goes: to standard output, or to a file

/// A file that is fetched. After each piece it is dated as the server dates it: so a part of it that is left behind, by
/// Ctrl-C or a lost connection, tells later which version it is of.
class Download {
public:
    /// resume: what is there already is kept, if it turns out to be of the same version.
    Download(std::string path, bool resume) : path_(std::move(path)) {
        struct stat about {};
        if (!resume || TRY(stat(path_.c_str(), &about)) == -1) return;
        have_ = about.st_size;
        part_of_ = about.st_mtime;
    }

    /// The fields that ask for what is missing: "if it is still the version that I have a part of, only the rest".
    std::string request_fields() const {
        if (have_ == 0) return "";
        return fmt::format("Range: bytes={}-\r\nIf-Range: {}\r\n", have_, http::date_text(part_of_));
    }

    /// The rest is not there, since it is this long, and of that version.
    bool is_complete(const Response& response) const {
        const auto range = response.head.find("Content-Range");
        return have_ > 0 && response.status.code == 416 && range && *range == fmt::format("bytes */{}", have_);
    }

    /// Gets ready for what comes: the rest, or, if the version is another one now, the whole; or a part of --range.
    void begin(const Response& response) {
        const bool is_part = response.status.code == 206, is_rest = is_part && have_ > 0;
        fd_ = CALL(open(path_.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | (is_rest ? 0 : O_TRUNC), 0666));
        if (is_rest) {
            const auto range = response.head.find("Content-Range");
            if (!range || !range->starts_with(fmt::format("bytes {}-", have_)))
                throw std::runtime_error("the server sends another part than it was asked for");
            CALL(lseek(fd_, have_, SEEK_SET));
        }
        if (is_part && !is_rest) return;  // not dated: --resume would take it for the beginning
        if (const auto date = response.head.find("Last-Modified")) date_ = http::read_date(*date);
    }

    void write(std::string_view content) const {
        write_all(fd_, content);
        if (!date_) return;
        const timespec times[] = {{0, UTIME_OMIT}, {*date_, 0}};  // when it was read last, and when written
        TRY(futimens(fd_, times));  // a file of somebody else's, or /dev/null, can't be dated
    }

    void end() const {
        if (fd_ != -1) CALL(close(fd_));
    }

private:
    std::string path_;
    int fd_ = -1;
    off_t have_ = 0;
    std::time_t part_of_ = 0;
    std::optional<std::time_t> date_;
};

// ---- One URL, and perhaps others that it leads to

bool is_redirect(int status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/// Returns where it leads, if it leads elsewhere and is to be followed.
std::optional<Url> fetch(const Url& url, const Settings& settings, bool may_follow) {
    std::optional<Download> download;
    if (!settings.output.empty()) download.emplace(settings.output, settings.resume);
    std::string request =
        fmt::format("{} {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: two-terminals\r\n", settings.head ? "HEAD" : "GET",
                    url.target, url.as_the_server_knows_it().authority());
    if (!settings.range.empty()) request += fmt::format("Range: bytes={}\r\n", settings.range);
    if (download) request += download->request_fields();
    request += "Connection: close\r\n\r\n";  // we have one question, and no more

    const int connection = connect_to(url, Clock::now() + std::chrono::seconds(settings.timeout));
    show(settings, '>', request);
    send_all(connection, request.data(), request.size());  // so little finds room in any send buffer at once

    std::string input;
    Response response;
    receive_response(connection, settings, input, response);
    const int code = response.status.code;
    const auto location = response.head.find("Location");
    const bool elsewhere = is_redirect(code) && location && may_follow;
    if (code == 206 && settings.range.empty() && (!download || download->request_fields().empty()))
        throw std::runtime_error("the server sends a part, and was asked for the whole");
    if (!elsewhere) {
        Output output;
        const bool to_file = download && (code == 200 || code == 206);
        if (to_file) download->begin(response);
        const http::BodyReader body(http::response_body(response.head, response.status, settings.head));
        receive_body(connection, settings, input, body, [&](std::string_view content) {
            if (to_file) return download->write(content);
            if (!download || !download->is_complete(response)) output.write(content);  // an error's text, for instance
        });
    }
    CALL(close(connection));
    if (download) download->end();
    if (elsewhere) {
        try {
            return follow(url, std::string(*location));
        } catch (const UsageError& error) {
            throw std::runtime_error(fmt::format("the server leads us where we can't go: {}", error.what()));
        }
    }
    if (download && download->is_complete(response)) return {};
    if (is_redirect(code) && location) {
        throw std::runtime_error(fmt::format("{} {}: it is at {}; --redirects lets me go there", code,
                                             escaped(response.status.reason), escaped(*location)));
    }
    if (code >= 400) {
        throw std::runtime_error(fmt::format("the server answered {} {}", code, escaped(response.status.reason)));
    }
    return {};
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "HTTP client: fetches a URL, http://HOST[:PORT]/PATH, and prints what it holds.",
         .endpoint = Endpoint::none,
         .more = {{"head", nullptr, "ask for the head alone (HEAD), and show it", &settings.head},
                  {"verbose", nullptr, "show the heads of request and answer, too", &settings.verbose},
                  {"range", "FIRST-LAST", "only these bytes, counted from 0; FIRST- or -COUNT", &settings.range},
                  {"output", "FILE", "write to a file", &settings.output},
                  {"resume", nullptr, "only what FILE does not have yet", &settings.resume},
                  {"redirects", "N", "follow so many", &settings.redirects, 0, 20},
                  {"timeout", "SECONDS", "wait no longer than that for anything", &settings.timeout, 1, 3600}},
         .arguments = {"URL"}});
    if (settings.resume && settings.output.empty()) throw UsageError("--resume: needs --output");
    if (settings.resume && !settings.range.empty()) throw UsageError("--resume and --range: only one of them");
    if (settings.range.find_first_not_of("0123456789-,") != std::string::npos) {
        throw UsageError(fmt::format("--range {}: expected numbers, as in 0-99", escaped(settings.range)));
    }

    std::optional<Url> url = read_url(options.arguments.front());
    for (long hops = 0; url; ++hops)
        url = fetch(*url, settings, hops < settings.redirects);
} catch (const http::Error& error) {
    return report_failure(std::runtime_error(fmt::format("the server's answer is not HTTP: {}", error.what())));
} catch (const std::exception& error) {
    return report_failure(error);
}
