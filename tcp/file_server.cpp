// TCP file server: gives out the files of one folder, and nothing outside it, to many clients at once.
//
//     terminal 1:  build/tcp/file_server --folder tcp --trace
//     terminal 2:  build/tcp/file_client
//                  build/tcp/file_client --get echo_server.cpp --output /tmp/copy
//
// The protocol stands in file_protocol.hpp; all of it can be typed into ncat, too. sendfile() sends a file from
// the kernel's cache, past this program; another thread reads it for its SHA-256, the first time.
// Try it: get a file twice, and compare what --trace tells.  Then ask for ../LICENSE , in any disguise that you know.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "tcp/file_protocol.hpp"

#include <algorithm>
#include <chrono>
#include <future>
#include <map>
#include <mutex>
#include <semaphore>
#include <thread>
#include <vector>

#include <dirent.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/sendfile.h>
#else
#include <sys/uio.h>
#endif

namespace {

using Clock = std::chrono::steady_clock;

struct Settings {
    int folder = -1;    // open; names are looked up from here
    long idle = 30;     // seconds that a client may keep us waiting
    long whole = 3600;  // seconds that a connection may last in all
    long clients = 32;  // at once; the others wait in the listen queue
};

// ---- Names

/// Why a name could not be opened, for the client.
std::string reason(int error) {
    switch (error) {
        case ENOENT:
            return "there is no such file";
        case ELOOP:
            return "it is a symbolic link, and none is followed";
        case ENOTDIR:
            return "a piece of the name is no folder, or a symbolic link: none is followed";
        case EACCES:
        case EPERM:
            return "the server may not read it";
        case ENXIO:  // a socket's file
            return "it is no regular file";
        case ENAMETOOLONG:
            return "the name is too long";
        default:
            return std::strerror(error);
    }
}

/// The pieces between the slashes. Throws Refusal for every name that is not simply a way down.
std::vector<std::string> pieces_of(const std::string& name) {
    if (name.empty()) throw Refusal("the name is empty");
    if (name.find('\0') != std::string::npos) throw Refusal("there is a byte 0 in the name");
    if (name.front() == '/') throw Refusal("the name is absolute: names begin in the served folder");
    std::vector<std::string> pieces;
    for (std::size_t begin = 0; begin <= name.size();) {
        const std::size_t end = std::min(name.find('/', begin), name.size());
        pieces.push_back(name.substr(begin, end - begin));
        const std::string& piece = pieces.back();
        if (piece.empty()) throw Refusal("a piece of the name is empty");
        if (piece == "." || piece == "..") throw Refusal("'.' and '..' lead nowhere here");
        begin = end + 1;
    }
    return pieces;
}

/// Opens what a name means below a folder, piece by piece, each from the descriptor of the one before, and follows no
/// symbolic link. Somebody who renames folders meanwhile, or puts links in their place, can't lead us outside: the path
/// is not first checked and then opened, and no piece of it leads up. (On Linux, openat2() with RESOLVE_BENEATH does it
/// in one call.) O_NONBLOCK: to open a FIFO would wait for somebody who writes into it.
Descriptor open_beneath(int folder, const std::vector<std::string>& pieces, bool is_folder) {
    Descriptor found(-1);
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const bool way = i + 1 < pieces.size() || is_folder;
        const int from = i == 0 ? folder : found.get();
        const char* piece = pieces[i].c_str();
        const int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | (way ? O_DIRECTORY : 0);
        Descriptor next(TRY(openat(from, piece, flags)));
        if (next.get() == -1) throw Refusal(reason(errno));
        found = std::move(next);
    }
    return found;
}

// ---- Versions and digests

/// What the kernel says of a file; two that are equal are of the same version.
struct stat status_of(int file) {
    struct stat status {};
    CALL(fstat(file, &status));
    return status;
}

#ifdef __APPLE__
timespec changed_at(const struct stat& status) { return status.st_ctimespec; }
timespec modified_at(const struct stat& status) { return status.st_mtimespec; }
#else
timespec changed_at(const struct stat& status) { return status.st_ctim; }
timespec modified_at(const struct stat& status) { return status.st_mtim; }
#endif

/// Tells one version of a file from the next. A digest, since nobody has to know when and where we keep it.
std::string tag_of(const struct stat& status) {
    const timespec modified = modified_at(status), changed = changed_at(status);
    const std::string text = fmt::format("{} {} {} {} {} {} {}", status.st_dev, status.st_ino, status.st_size,
                                         modified.tv_sec, modified.tv_nsec, changed.tv_sec, changed.tv_nsec);
    Sha256 sha;
    sha.add(text.data(), text.size());
    return sha.digest().substr(0, tag_digits);
}

/// The digests of files, by tag: so each is computed once for each version of a file.
class Digests {
public:
    std::optional<std::string> find(const std::string& tag) {
        const std::lock_guard lock(mutex_);
        const auto found = known_.find(tag);
        return found == known_.end() ? std::nullopt : std::optional(found->second);
    }

    void remember(const struct stat& status, const std::string& digest) {
        // The clock of the file system ticks every few milliseconds. A file that was changed just now may be changed
        // again within the same tick, and its times would not tell.
        timespec now{};
        clock_gettime(CLOCK_REALTIME, &now);
        const timespec changed = changed_at(status);
        const auto age = (now.tv_sec - changed.tv_sec) * 1000 + (now.tv_nsec - changed.tv_nsec) / 1'000'000;
        if (age < 100) return;
        const std::lock_guard lock(mutex_);
        if (known_.size() >= 1000) known_.clear();
        known_[tag_of(status)] = digest;
    }

private:
    std::mutex mutex_;
    std::map<std::string, std::string> known_;
} digests;

// ---- Sending

/// A file of which not all can be sent. The client can't be told why, since it would take that for bytes of the file:
/// it sees that there are too few.
class Cut : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Sends a piece of a file without a detour through this program; returns how many bytes, 0 at the file's end, -1 with
/// errno. The two systems have the name in common, and nothing else.
ssize_t send_piece(int connection, int file, off_t offset, std::size_t count) {
#ifdef __linux__
    return TRY(sendfile(connection, file, &offset, count));
#else
    off_t sent = static_cast<off_t>(count);
    const int result = TRY(sendfile(file, connection, offset, &sent, nullptr, 0));
    return sent > 0 ? static_cast<ssize_t>(sent) : result;  // it may have sent some, and then failed (EAGAIN, EINTR)
#endif
}

/// Sends [offset, size) of a file: by sendfile(), or where the file system can't do that, through this program.
void send_file(int connection, int file, off_t offset, off_t size, const Settings& settings,
               Clock::time_point deadline) {
    constexpr off_t at_a_time = off_t{4} << 20U;  // so that the deadline is looked at now and then
    const std::chrono::seconds idle(settings.idle);
    bool can_sendfile = true;
    std::vector<char> buffer;
    while (offset < size) {
        const auto wanted = static_cast<std::size_t>(std::min(size - offset, at_a_time));
        ssize_t sent = 0;
        const Clock::time_point begin = Clock::now();
        if (can_sendfile) {
            sent = send_piece(connection, file, offset, wanted);
            can_sendfile = sent != -1 || (errno != EINVAL && errno != ENOSYS && errno != ENOTSUP);
            if (!can_sendfile || (sent == -1 && errno == EINTR)) continue;
            if (sent == -1 && errno != EAGAIN) throw Cut("sendfile(): " + describe_error(errno));
        } else {
            buffer.resize(std::size_t{256} << 10U);
            sent = CALL(pread(file, buffer.data(), std::min(wanted, buffer.size()), offset));
            send_all(connection, buffer.data(), static_cast<std::size_t>(sent));
        }
        if (sent == 0) throw Cut("the file has become shorter while it was sent");
        // A call that returns with a part, or with EAGAIN, has waited in vain for more room (SO_SNDTIMEO).
        const auto now = Clock::now();
        const bool is_part = can_sendfile && (sent == -1 || static_cast<std::size_t>(sent) < wanted);
        if ((is_part && now - begin >= idle) || now > deadline) {
            throw Cut(fmt::format("a client has taken only {} of {} bytes, and takes too long", offset, size));
        }
        if (sent == -1) continue;
        offset += sent;
    }
}

/// The SHA-256 of a file of this size.
std::string hash_file(int file, off_t size) {
    Sha256 sha;
    std::vector<char> buffer(std::size_t{256} << 10U);
    for (off_t offset = 0; offset < size;) {
        const ssize_t count = CALL(pread(file, buffer.data(), buffer.size(), offset));
        if (count == 0) break;  // it has become shorter, and then its version is another one
        sha.add(buffer.data(), static_cast<std::size_t>(count));
        offset += count;
    }
    return sha.digest();
}

void send_text(int connection, const std::string& text) { send_all(connection, text.data(), text.size()); }

// ---- Requests

void serve_get(int connection, const std::string& name, const Settings& settings, Clock::time_point deadline) {
    const Descriptor file = open_beneath(settings.folder, pieces_of(name), false);
    const struct stat before = status_of(file.get());
    if (!S_ISREG(before.st_mode)) throw Refusal(S_ISDIR(before.st_mode) ? "it is a folder" : "it is no regular file");
    const std::string tag = tag_of(before);
    send_text(connection, fmt::format("OK {} {}\n", before.st_size, tag));

    const std::string answer = receive_line(connection, Clock::now() + std::chrono::seconds(settings.idle));
    const auto offset = answer.starts_with("FROM ") ? parse_size(answer.substr(5)) : std::nullopt;
    if (!offset || *offset > before.st_size) throw Refusal(fmt::format("expected FROM 0 to {}", before.st_size));

    // While this thread sends, another computes what will be said behind the bytes. If the file is changed meanwhile,
    // nobody knows which bytes either of them has seen: then its times tell.
    const auto is_same = [&] { return tag_of(status_of(file.get())) == tag; };
    const auto compute = [&] {
        std::string computed = hash_file(file.get(), before.st_size);
        if (is_same()) digests.remember(before, computed);
        return computed;
    };
    const auto known = digests.find(tag);
    std::future<std::string> digest;
    if (!known) digest = std::async(std::launch::async, compute);  // its destructor waits for the thread
    send_file(connection, file.get(), *offset, before.st_size, settings, deadline);
    const std::string found = known ? *known : digest.get();
    send_text(connection, is_same() ? "SHA256 " + found + "\n" : "CHANGED\n");
}

/// The regular files and folders in a folder, sorted; without those that begin with a dot.
void serve_list(int connection, const std::string& name, const Settings& settings) {
    const std::vector<std::string> pieces = name.empty() ? std::vector<std::string>{"."} : pieces_of(name);
    Descriptor folder = open_beneath(settings.folder, pieces, true);
    const int fd = folder.get();
    const std::unique_ptr<DIR, int (*)(DIR*)> entries(fdopendir(fd), closedir);
    if (entries == nullptr) throw Refusal(reason(errno));
    folder.release();  // closedir() closes it
    std::map<std::string, std::string> lines;
    while (const dirent* entry = readdir(entries.get())) {
        struct stat status {};
        if (entry->d_name[0] == '.' || fstatat(fd, entry->d_name, &status, AT_SYMLINK_NOFOLLOW) == -1) continue;
        const std::string text = encoded(entry->d_name);
        if (S_ISREG(status.st_mode)) lines[entry->d_name] = fmt::format("{} {}\n", status.st_size, text);
        if (S_ISDIR(status.st_mode)) lines[entry->d_name] = fmt::format("- {}\n", text);
    }
    std::string reply = fmt::format("OK {}\n", lines.size());
    for (const auto& [key, line] : lines)
        reply += line;
    send_text(connection, reply);
}

void serve(int connection, const Settings& settings) {
    const Clock::time_point deadline = Clock::now() + std::chrono::seconds(settings.whole);
    try {
        const std::string line = receive_line(connection, Clock::now() + std::chrono::seconds(settings.idle));
        if (line.starts_with("GET ")) {
            serve_get(connection, decoded(line.substr(4)), settings, deadline);
        } else if (line == "LIST" || line.starts_with("LIST ")) {
            serve_list(connection, line.size() < 5 ? "" : decoded(line.substr(5)), settings);
        } else {
            throw Refusal("expected GET NAME or LIST");
        }
    } catch (const Refusal& refusal) {
        send_text(connection, fmt::format("ERROR {}\n", refusal.what()));
    }
}

/// Hangs up so that the client gets all that we sent. close() while there is something unread answers with RST: what
/// has not left yet is lost, and the client's kernel may throw away what its program has not received yet.
void hang_up(int connection) {
    if (TRY(shutdown(connection, SHUT_WR)) == -1) return;
    limit_waiting(connection, 1);
    char unread[4096];
    for (int i = 0; i < 64 && TRY(recv(connection, unread, sizeof unread, 0)) > 0; ++i) {
    }
}

/// accept() brings the errors of clients, too: of one that gave up while it waited in the queue, for instance.
int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

/// What a thread does. Nothing may be thrown out of it: there is nobody to catch it.
void run_thread(int connection, const Settings& settings, std::counting_semaphore<>& places) try {
    try {
        limit_waiting(connection, settings.idle);
        serve(connection, settings);
        hang_up(connection);
    } catch (const Cut& cut) {
        complain(cut);
    } catch (const std::system_error& error) {  // this client's trouble is nobody else's; SocketError is one of these
        complain(error);
    }
    TRY(close(connection));
    places.release();
} catch (const std::exception& error) {
    _exit(report_failure(error));  // not exit(): the other threads are still at work
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string folder = ".";
    const Options options =
        parse_options(argc, argv,
                      {.summary = "TCP file server: gives out the files of a folder, and nothing outside it.",
                       .more = {{"folder", "FOLDER", "give out its files", &folder},
                                {"idle", "SECONDS", "a client may keep us waiting so long", &settings.idle, 1, 86400},
                                {"whole", "SECONDS", "and a connection last so long", &settings.whole, 1, 86400},
                                {"clients", "N", "at once; more wait", &settings.clients, 1, 1000}}});
    settings.folder = TRY(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (settings.folder == -1) {
        throw std::runtime_error(fmt::format("--folder {}: {}", escaped(folder), std::strerror(errno)));
    }
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    std::counting_semaphore<> places(settings.clients);
    for (;;) {
        places.acquire();
        const int connection = next_client(listener);
        try {
            std::thread(run_thread, connection, settings, std::ref(places)).detach();  // nobody waits for its end
        } catch (const std::system_error& error) {                                     // there is no room for another
            complain(error);
            TRY(close(connection));
            places.release();
        }
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
