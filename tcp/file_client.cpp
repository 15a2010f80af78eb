// TCP file client: lists what file_server has, and gets a file. What was cut off goes on where it ended.
//
//     terminal 1:  build/tcp/file_server --folder tcp
//     terminal 2:  build/tcp/file_client
//                  build/tcp/file_client --get echo_server.cpp --output /tmp/copy
//
// The bytes are written to OUTPUT.TAG.part, compared with the server's SHA-256, and only then given their name: so
// nobody ever finds half a file under it. The tag is the server's word for this version of the file.
// Try it: get a large file, press Ctrl-C (or kill the server) in the middle, and give the same command again.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "tcp/file_protocol.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <future>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

// ---- What the reader sees

/// "1.5 MiB".
std::string amount(double bytes) {
    const char* unit = "B";
    for (const char* larger : {"KiB", "MiB", "GiB", "TiB"}) {
        if (bytes < 1024) break;
        bytes /= 1024;
        unit = larger;
    }
    return *unit == 'B' ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.1f} {}", bytes, unit);
}

/// One line on the terminal that is drawn again and again; nothing where standard error is no terminal.
class Progress {
public:
    Progress(std::int64_t begin, std::int64_t size) : begin_(begin), size_(size) {}
    ~Progress() {
        if (drawn_) [[maybe_unused]]
            const auto erased = write(STDERR_FILENO, "\r\x1b[K", 4);
    }
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void show(std::int64_t done) {
        const Clock::time_point now = Clock::now();
        if (!terminal_ || now < next_) return;
        next_ = now + std::chrono::milliseconds(100);
        drawn_ = true;
        const double seconds = std::chrono::duration<double>(now - started_).count();
        const double rate = seconds > 0 ? static_cast<double>(done - begin_) / seconds : 0;
        const auto left = rate > 0 ? std::llround(static_cast<double>(size_ - done) / rate) : 0;
        const double part = size_ > 0 ? static_cast<double>(done) / static_cast<double>(size_) : 1;
        const std::string numbers =
            fmt::format(" {:3.0f}%  {} of {}  {}/s  {} left", part * 100, amount(static_cast<double>(done)),
                        amount(static_cast<double>(size_)), amount(rate),
                        rate > 0 ? fmt::format("{}:{:02}", left / 60, left % 60) : "-:--");
        winsize window{};
        const std::size_t columns =
            ioctl(STDERR_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0 ? window.ws_col : 80;
        std::string line = numbers.substr(0, columns - 1);
        if (columns > numbers.size() + 12) {
            const std::size_t width = std::min<std::size_t>(columns - numbers.size() - 3, 50);
            const auto full = static_cast<std::size_t>(static_cast<double>(width) * part);
            line = "[" + std::string(full, '#') + std::string(width - full, '.') + "]" + numbers;
        }
        write_all(STDERR_FILENO, "\r" + line + "\x1b[K");
    }

private:
    bool terminal_ = isatty(STDERR_FILENO) == 1;
    bool drawn_ = false;
    std::int64_t begin_, size_;
    Clock::time_point started_ = Clock::now();
    Clock::time_point next_ = started_ + std::chrono::milliseconds(200);  // what is done by then needs no bar
};

// ---- What the server says

void send_text(int connection, const std::string& text) { send_all(connection, text.data(), text.size()); }

/// The words of a line that begins with OK. Throws what the server says in place of it.
std::vector<std::string> receive_words(int connection, long idle) {
    const std::string line = receive_line(connection, Clock::now() + std::chrono::seconds(idle));
    if (line.starts_with("ERROR ")) throw std::runtime_error("the server refuses: " + escaped(line.substr(6)));
    std::vector<std::string> words;
    for (std::size_t begin = 0; begin <= line.size();) {
        const std::size_t end = std::min(line.find(' ', begin), line.size());
        words.push_back(line.substr(begin, end - begin));
        begin = end + 1;
    }
    return words;
}

Refusal no_sense(const char* expected) {
    return Refusal(fmt::format("the server does not speak our protocol: expected {}", expected));
}

// ---- Listing

void list(int connection, const std::string& folder, long idle) {
    send_text(connection, folder.empty() ? "LIST\n" : "LIST " + encoded(folder) + "\n");
    const std::vector<std::string> head = receive_words(connection, idle);
    const auto count = head.size() == 2 && head[0] == "OK" ? parse_size(head[1]) : std::nullopt;
    if (!count) throw no_sense("OK COUNT");
    for (std::int64_t i = 0; i < *count; ++i) {
        const std::vector<std::string> entry = receive_words(connection, idle);
        const bool is_folder = entry.size() == 2 && entry[0] == "-";
        if (entry.size() != 2 || (!is_folder && !parse_size(entry[0]))) throw no_sense("SIZE NAME");
        const std::string name = escaped(decoded(entry[1])) + (is_folder ? "/" : "");
        write_all(STDOUT_FILENO, fmt::format("{:>15}  {}\n", is_folder ? "" : entry[0], name));
    }
}

// ---- Getting

/// A file as the server offers it.
struct Offer {
    std::int64_t size = 0;
    std::string tag;
};

/// The tag becomes part of a file's name here, and the size is what we are going to write: both are looked at closely.
Offer receive_offer(int connection, long idle) {
    const std::vector<std::string> head = receive_words(connection, idle);
    const auto size = head.size() == 3 && head[0] == "OK" ? parse_size(head[1]) : std::nullopt;
    if (!size || !is_hex(head[2], tag_digits)) throw no_sense("OK SIZE TAG");
    return {*size, head[2]};
}

/// Opens what there is of this version of the file, or begins it. The lock keeps a second client from the same part.
Descriptor open_part(const std::string& path) {
    Descriptor part(CALL(open(path.c_str(), O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0666)));
    struct stat status {};
    CALL(fstat(part.get(), &status));
    if (!S_ISREG(status.st_mode)) throw std::runtime_error(escaped(path) + " is there, and is no regular file");
    if (TRY(flock(part.get(), LOCK_EX | LOCK_NB)) == -1) {
        if (errno == EWOULDBLOCK) throw std::runtime_error("another client gets this file: " + escaped(path));
        throw std::runtime_error(fmt::format("flock {}: {}", escaped(path), describe_error(errno)));
    }
    return part;
}

/// How many bytes the part has. The next ones are written behind them (O_APPEND).
std::int64_t size_of_part(int part, std::int64_t size) {
    struct stat status {};
    CALL(fstat(part, &status));
    if (status.st_size <= size) return status.st_size;
    CALL(ftruncate(part, 0));  // that never was a part of this
    return 0;
}

/// Computes the SHA-256 of a file that grows up to this size, following the one who writes it: what was received is
/// digested while the next bytes come. Returns "" if `written`, how much there is by now, becomes `given_up`.
constexpr std::int64_t given_up = -1;
std::string hash_behind(int part, std::int64_t size, const std::atomic<std::int64_t>& written) {
    Sha256 sha;
    std::vector<char> buffer(std::size_t{256} << 10U);
    for (std::int64_t done = 0; done < size;) {
        written.wait(done);  // for as long as there is no more than that
        const std::int64_t end = written.load();
        if (end == given_up) return "";
        const auto wanted = static_cast<std::size_t>(std::min(static_cast<std::int64_t>(buffer.size()), end - done));
        const ssize_t count = CALL(pread(part, buffer.data(), wanted, done));
        if (count == 0) throw std::runtime_error("somebody else has made the part shorter");
        sha.add(buffer.data(), static_cast<std::size_t>(count));
        done += count;
    }
    return sha.digest();
}

void check_room(int part, std::int64_t wanted) {
    struct statvfs system {};
    if (fstatvfs(part, &system) == -1) return;  // it doesn't tell: then write() will
    const double room = static_cast<double>(system.f_bavail) * static_cast<double>(system.f_frsize);
    if (static_cast<double>(wanted) > room)
        throw std::runtime_error(fmt::format("{} are still to come, and there is room for {}",
                                             amount(static_cast<double>(wanted)), amount(room)));
}

/// Receives up to the size, and counts in `written`: it is less than the size if the connection ended before.
void receive_rest(int connection, int part, std::int64_t size, std::atomic<std::int64_t>& written) {
    Progress progress(written, size);
    std::vector<char> buffer(std::size_t{256} << 10U);
    try {
        while (written < size) {
            const auto wanted = std::min(static_cast<std::int64_t>(buffer.size()), size - written);
            const ssize_t count = CALL(recv(connection, buffer.data(), static_cast<std::size_t>(wanted), 0));
            if (count == 0) break;
            write_all(part, {buffer.data(), static_cast<std::size_t>(count)});
            written += count;
            written.notify_one();
            progress.show(written);
        }
    } catch (const SocketError& error) {
        complain(error);
    }
}

/// Gives the complete part its name. After this line, a machine that loses its power has the whole file or the old one.
void give_name(int part, const std::string& path, const std::string& name) {
    CALL(fsync(part));
    CALL(rename(path.c_str(), name.c_str()));
    const std::size_t slash = name.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : name.substr(0, slash + 1);
    const Descriptor opened(CALL(open(folder.c_str(), O_RDONLY | O_CLOEXEC)));
    TRY(fsync(opened.get()));  // the name is the folder's; some file systems can't do that, and need not
}

/// Does something at the end of the block, whatever ends it.
template <typename Action>
struct AtEnd {
    Action action;
    explicit AtEnd(Action what) : action(std::move(what)) {}
    ~AtEnd() { action(); }
    AtEnd(const AtEnd&) = delete;
    AtEnd& operator=(const AtEnd&) = delete;
};

void get(int connection, const std::string& name, const std::string& output, long idle) {
    send_text(connection, "GET " + encoded(name) + "\n");
    const Offer offer = receive_offer(connection, idle);

    const std::string path = fmt::format("{}.{}.part", output, offer.tag);
    const Descriptor part = open_part(path);
    const std::int64_t from = size_of_part(part.get(), offer.size);
    if (from > 0) fmt::print(stderr, "going on behind {} of {} bytes\n", from, offer.size);
    try {
        check_room(part.get(), offer.size - from);
    } catch (const std::runtime_error&) {
        if (from == 0) TRY(unlink(path.c_str()));  // nothing is worth keeping
        throw;
    }

    std::atomic<std::int64_t> written = from;
    std::future<std::string> computed =
        std::async(std::launch::async, [&] { return hash_behind(part.get(), offer.size, written); });
    const AtEnd give_up([&] {  // however this block is left: the future waits for its thread
        written = given_up;
        written.notify_one();
    });
    send_text(connection, fmt::format("FROM {}\n", from));
    const auto begin = Clock::now();
    receive_rest(connection, part.get(), offer.size, written);
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    if (written < offer.size) {
        throw std::runtime_error(
            fmt::format("cut off behind {} of {} bytes, which are kept in {}: the same command goes on there",
                        written.load(), offer.size, escaped(path)));
    }

    const std::string digest = computed.get();
    const std::string verdict = receive_line(connection, Clock::now() + std::chrono::seconds(idle));
    if (verdict != "SHA256 " + digest) {
        CALL(unlink(path.c_str()));
        if (verdict == "CHANGED")
            throw std::runtime_error("the file was changed while it was sent: nothing is kept, try again");
        throw std::runtime_error(fmt::format(
            "the bytes are not the server's: nothing is kept, try again (ours: SHA256 {}, the server's: {})", digest,
            escaped(verdict)));
    }
    give_name(part.get(), path, output);
    fmt::print("{}: {} bytes, SHA-256 {}\n", escaped(output), offer.size, digest);
    if (isatty(STDERR_FILENO) == 1 && seconds > 0.2)
        fmt::print(stderr, "{} in {:.1f} s, {}/s\n", amount(static_cast<double>(offer.size - from)), seconds,
                   amount(static_cast<double>(offer.size - from) / seconds));
}

/// "copy" of "folder/copy".
std::string last_piece(const std::string& name) { return name.substr(name.rfind('/') + 1); }

}  // namespace

int main(int argc, char** argv) try {
    long idle = 60;
    std::string folder;
    std::optional<std::string> name, output;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP file client: lists what the server has, or gets a file.",
         .more = {{"folder", "NAME", "list this folder of it", &folder},
                  {"get", "NAME", "get this file", &name},
                  {"output", "PATH", "its name here (default: the last piece of its name there)", &output},
                  {"idle", "SECONDS", "give a silent server up after so long", &idle, 1, 86400}}});
    const std::string path = output.value_or(last_piece(name.value_or("")));
    struct stat there {};
    if (name && (last_piece(path).empty() || (stat(path.c_str(), &there) == 0 && S_ISDIR(there.st_mode))))
        throw UsageError(fmt::format("--output {}: the name of a file is needed", escaped(path)));

    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    limit_waiting(connection, idle);
    if (name) {
        get(connection, *name, path, idle);
    } else {
        list(connection, folder, idle);
    }
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
