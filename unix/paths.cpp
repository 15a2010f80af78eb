// What can happen to the name of a Unix socket: it stays behind, it is taken, forbidden, too long, lost, fought over.
//
//     build/unix/paths                       all scenes
//     build/unix/paths --scene race          one of them; --help names them
//
// Everything happens in a directory of its own, which is gone afterwards. Try it with --trace; and as root, and not.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <optional>

namespace {

// ---- The stage: a directory, and the files that the scenes may make in it

char stage[] = "/tmp/two-terminals-paths-XXXXXX";
constexpr std::array props{"socket", "other", "letter", "lock", "room/socket"};
constexpr const char* long_name =  // a directory of 110 bytes
    "a-directory-with-a-name-of-110-bytes-which-is-more-than-any-socket-address-has-room-for-but-no-trouble-for-open";
char cut_path[sizeof(sockaddr_un)];  // of a careless program

/// Leaves nothing behind; safe in a signal handler (signal-safety(7)).
void clear_stage() {
    if (chdir(stage) == -1) return;
    chmod("room", 0700);
    for (const char* prop : props)
        unlink(prop);
    rmdir("room");
    unlink(cut_path);
    if (chdir(long_name) == 0) {
        unlink("socket");
        if (chdir(stage) == 0) rmdir(long_name);
    }
    if (chdir("/") == 0) rmdir(stage);
}

void leave_by_signal(int signal) {
    narrator::restore_terminal();
    clear_stage();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

/// The scenes name their files relative to it: "socket".
struct Stage {
    Stage() {
        for (const int signal : {SIGINT, SIGTERM})
            std::signal(signal, leave_by_signal);
        if (mkdtemp(stage) == nullptr || chdir(stage) == -1) {
            throw std::runtime_error(fmt::format("cannot make a directory {}: {}", stage, describe_error(errno)));
        }
        chmod(stage, 0711);  // or no other user could knock at a door in it
    }
    ~Stage() { clear_stage(); }
    Stage(const Stage&) = delete;
    Stage& operator=(const Stage&) = delete;
};

// ---- What they do, and how it is told

void tell(const std::string& what) { fmt::print("  {}\n", what); }
void tell(const std::string& what, const std::string& result) { fmt::print("  {:<61}{}\n", what, result); }

/// "ok", or the name of the error.
std::string outcome(long result) { return result == -1 ? error_name(errno) : "ok"; }

int new_socket() { return CALL(socket(AF_UNIX, SOCK_STREAM, 0)); }

int try_bind(int fd, const char* path) {
    const Address address = unix_address(path);
    return TRY(bind(fd, address.get(), address.length()));
}

int try_connect(int fd, const char* path) {
    const Address address = unix_address(path);
    return TRY(connect(fd, address.get(), address.length()));
}

/// A server, as far as a scene needs one: nobody accepts, but who connects is in its queue.
int start_server(const char* path) {
    const Address address = unix_address(path);
    const int server = new_socket();
    CALL(bind(server, address.get(), address.length()));
    CALL(listen(server, 5));
    return server;
}

/// What becomes of a client that connects, and leaves.
std::string knock(const char* path) {
    const int client = new_socket();
    std::string result = outcome(try_connect(client, path));
    CALL(close(client));
    return result;
}

/// How many clients wait in a server's queue. They are taken out of it, and closed.
int count_clients(int server) {
    int count = 0;
    for (; wait_until_readable(server, 0); ++count) {
        const int client = CALL(accept(server, nullptr, nullptr));
        CALL(close(client));
    }
    return count;
}

/// "srwxr-xr-x", as ls writes it.
std::string mode_of(const char* path) {
    struct stat status {};
    CALL(lstat(path, &status));
    std::string text = S_ISSOCK(status.st_mode) ? "s" : S_ISDIR(status.st_mode) ? "d" : "-";
    for (unsigned bit = 0; bit < 9; ++bit)
        text += (status.st_mode & (0400U >> bit)) != 0 ? "rwxrwxrwx"[bit] : '-';
    return text;
}

// ---- The scenes

void stale() {
    const int killed = start_server("socket");
    CALL(close(killed));
    tell("a server has bound, and was killed: its file stays", mode_of("socket"));
    tell("a client connects: a name, and nobody behind it", knock("socket"));

    const int server = new_socket();
    tell("the next server binds: bind() never replaces a file", outcome(try_bind(server, "socket")));
    CALL(unlink("socket"));
    tell("unlink(), and bind() once more", outcome(try_bind(server, "socket")));
    tell("a client connects: bound, but not listening", knock("socket"));
    CALL(listen(server, 5));
    tell("listen(), and a client connects", knock("socket"));
    CALL(close(server));
    CALL(unlink("socket"));
    tell("no file at all, and a client connects", knock("socket"));
}

void occupied() {
    const int letter = CALL(open("letter", O_CREAT | O_WRONLY, 0600));
    CALL(close(letter));
    const int server = new_socket();
    tell("bind() where a letter lies: the same error, another reason", outcome(try_bind(server, "letter")));
    tell("connect() to the letter: the same as with a stale socket", knock("letter"));
    tell("only lstat() tells them apart: the letter is", mode_of("letter"));
    CALL(unlink("letter"));

    CALL(mkdir("room", 0700));
    tell("bind() where a directory is", outcome(try_bind(server, "room")));
    tell("bind() in a directory that does not exist", outcome(try_bind(server, "nowhere/socket")));
    CALL(rmdir("room"));
    CALL(close(server));
}

/// As knock(), but by somebody whom permissions bind: root becomes nobody first, in a child.
std::string knock_as_anybody(const char* path) {
    if (geteuid() != 0) return knock(path);
    const pid_t child = CALL(fork());
    if (child == 0) {
        int error = 255;
        try {
            const int client = new_socket();
            CALL(setgroups(0, nullptr));
            CALL(setgid(65534));
            CALL(setuid(65534));
            error = try_connect(client, path) == -1 ? errno : 0;
        } catch (const std::exception& failure) {
            complain(failure);
        }
        _exit(error);
    }
    int status = 0;
    CALL(waitpid(child, &status, 0));
    const int error = WIFEXITED(status) ? WEXITSTATUS(status) : 255;
    if (error == 255) throw std::runtime_error("the other user could not even try");
    return error == 0 ? "ok" : error_name(error);
}

void permissions() {
    CALL(mkdir("room", 0711));
    const int server = start_server("room/socket");
    tell("bind() with umask 022 makes the file", mode_of("room/socket"));
    tell("(who knocks is an ordinary user: root may do everything)");
    for (const mode_t mode : std::array<mode_t, 4>{0666, 0222, 0444, 0000}) {
        CALL(chmod("room/socket", mode));
        tell(fmt::format("the file is {}: connect()", mode_of("room/socket")), knock_as_anybody("room/socket"));
    }
    CALL(chmod("room/socket", 0666));
    for (const mode_t mode : std::array<mode_t, 3>{0111, 0444, 0000}) {
        CALL(chmod("room", mode));
        tell(fmt::format("the file {}, its directory {}: connect()", "srw-rw-rw-", mode_of("room")),
             knock_as_anybody("room/socket"));
    }
    CALL(chmod("room", 0700));
    CALL(close(server));
    CALL(unlink("room/socket"));
    CALL(rmdir("room"));
}

void too_long() {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    const size_t room = sizeof address.sun_path;
    tell("sun_path has room for, in bytes", std::to_string(room));

    CALL(mkdir(long_name, 0700));
    const std::string path = fmt::format("{}/{}/socket", stage, long_name);
    tell("the path that we want has, with the zero at its end", std::to_string(path.size() + 1));
    const int server = new_socket();
    std::memcpy(address.sun_path, path.data(), room);
    const auto whole = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size() + 1);
    tell("bind() with an address as long as that",
         outcome(TRY(bind(server, reinterpret_cast<sockaddr*>(&address), whole))));

    const int careless = new_socket();
    std::memcpy(cut_path, path.data(), room - 1);
    tell("the path cut off where the room ends, and bind()", outcome(try_bind(careless, cut_path)));
    tell("... has made a file that nobody meant", mode_of(cut_path));
    CALL(unlink(cut_path));
    CALL(close(careless));

    CALL(chdir(long_name));
    tell("chdir() there, and bind() to \"socket\"", outcome(try_bind(server, "socket")));
    CALL(listen(server, 5));
    tell("a client that has gone there, too, connects to \"socket\"", knock("socket"));
    CALL(unlink("socket"));
    CALL(chdir(stage));
    CALL(rmdir(long_name));
    CALL(close(server));
}

void unlinked() {
    const int first = start_server("socket");
    const int client = new_socket();
    tell("a server listens, and a client connects", outcome(try_connect(client, "socket")));
    CALL(rename("socket", "other"));
    tell("rename(): a client connects to the old name", knock("socket"));
    tell("... to the new name, which nobody told the server", knock("other"));
    CALL(unlink("other"));
    tell("unlink(): a client connects", knock("other"));

    const int second = start_server("socket");
    tell("another server binds to \"socket\", and a client connects", knock("socket"));
    tell("who waits at the first server: the client and a knock", std::to_string(count_clients(first)));
    tell("who waits at the second: a knock", std::to_string(count_clients(second)));
    tell("(the first still listens, and nobody will ever come)");
    CALL(close(client));
    CALL(close(first));
    CALL(close(second));
    CALL(unlink("socket"));
}

void race() {
    const int killed = start_server("socket");
    CALL(close(killed));
    tell("a stale file; A and B start at the same time");
    const int a = new_socket();
    const int b = new_socket();
    tell("A: bind()", outcome(try_bind(a, "socket")));
    tell("B: bind()", outcome(try_bind(b, "socket")));
    tell("A knocks: nobody there", knock("socket"));
    tell("B knocks: nobody there", knock("socket"));
    CALL(unlink("socket"));
    tell("A: unlink(), bind()", outcome(try_bind(a, "socket")));
    CALL(listen(a, 5));
    CALL(unlink("socket"));
    tell("B: unlink(), which takes A's file; bind()", outcome(try_bind(b, "socket")));
    CALL(listen(b, 5));
    tell("a client connects", knock("socket"));
    tell("who waits at A, which thinks that it is the server", std::to_string(count_clients(a)));
    tell("who waits at B", std::to_string(count_clients(b)));
    CALL(close(a));
    CALL(close(b));
    CALL(unlink("socket"));
}

void lock() {
    const int killed = start_server("socket");
    CALL(close(killed));
    tell("a stale file again; and a file to be locked beside it");
    const int a = CALL(open("lock", O_CREAT | O_RDWR, 0600));
    const int b = CALL(open("lock", O_CREAT | O_RDWR, 0600));
    tell("A: flock(LOCK_EX): it may do with the name what it wants", outcome(TRY(flock(a, LOCK_EX | LOCK_NB))));
    tell("B: flock(LOCK_EX): it must not touch the name", outcome(TRY(flock(b, LOCK_EX | LOCK_NB))));
    CALL(unlink("socket"));
    const int server = start_server("socket");
    tell("A: unlink(), bind(), listen(); a client connects", knock("socket"));
    CALL(close(server));
    CALL(close(a));
    tell("A is killed: the kernel unlocks. B: flock(LOCK_EX)", outcome(TRY(flock(b, LOCK_EX | LOCK_NB))));
    CALL(close(b));
    CALL(unlink("socket"));
    CALL(unlink("lock"));
}

struct Scene {
    const char* name;
    const char* title;
    void (*play)();
};

constexpr std::array scenes{
    Scene{"stale", "the file that a dead server has left", stale},
    Scene{"occupied", "something else is there", occupied},
    Scene{"permissions", "who may connect", permissions},
    Scene{"long", "a path longer than an address", too_long},
    Scene{"unlinked", "the name and the socket are two things", unlinked},
    Scene{"race", "two servers start over a stale file", race},
    Scene{"lock", "how they should have done it", lock},
};

std::string names_of_scenes() {
    std::string names;
    for (const Scene& scene : scenes)
        names += (names.empty() ? "" : ", ") + std::string(scene.name);
    return names;
}

}  // namespace

int main(int argc, char** argv) try {
    std::optional<std::string> wanted;
    const std::string help = "one of: " + names_of_scenes();
    parse_options(argc, argv,
                  {.summary = "What can happen to the name of a Unix socket, in scenes.",
                   .endpoint = Endpoint::none,
                   .more = {{"scene", "NAME", help.c_str(), &wanted}}});
    const auto is_wanted = [&](const Scene& scene) { return !wanted || *wanted == scene.name; };
    if (std::none_of(scenes.begin(), scenes.end(), is_wanted)) {
        throw UsageError(fmt::format("--scene {}: expected {}", escaped(*wanted), help));
    }
    umask(022);  // so that the modes are the same for everybody
    const Stage directory;
    for (const Scene& scene : scenes) {
        if (!is_wanted(scene)) continue;
        fmt::print("{}: {}\n", scene.name, scene.title);
        scene.play();
        fmt::print("\n");
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
