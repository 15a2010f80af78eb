// Passing a descriptor: one process opens a file, another that may not open it reads it.
//
//     build/unix/passing_cat README.md
//     sudo build/unix/passing_cat /etc/shadow
//
// A descriptor is a number that means something in one process only. sendmsg() with SCM_RIGHTS sends what is behind it:
// the receiver gets a number of its own for the same open file, with the rights of whoever opened it. The child here
// has no way to the file by its name: started by root, it becomes the user nobody, who may not open /etc/shadow; else
// the parent copies the file to one that has no name any more. It says what open() tells it, and reads nevertheless.
//
// Try it: --trace, and compare the number that is sent with the one that is received. Change: send STDIN_FILENO, too.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <cstdlib>
#include <cstring>
#include <stdexcept>

#include <fcntl.h>
#include <fmt/core.h>
#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/// Room for a control message with one descriptor, aligned as its header wants it (cmsg(3)).
union Control {
    cmsghdr header;
    char bytes[CMSG_SPACE(sizeof(int))];
};

void send_descriptor(int socket, int fd) {
    char byte = 'f';  // a stream carries descriptors along with bytes: at least one
    iovec piece{&byte, 1};
    Control control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof fd);
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    CALL(sendmsg(socket, &message, 0));
}

int receive_descriptor(int socket) {
    char byte = 0;
    iovec piece{&byte, 1};
    Control control{};
    msghdr message{};
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control.bytes;
    message.msg_controllen = sizeof control.bytes;
    const ssize_t received = CALL(recvmsg(socket, &message, 0));
    const cmsghdr* header = CMSG_FIRSTHDR(&message);
    // With no descriptor free in this process, the byte comes alone, and MSG_CTRUNC says that something was cut off.
    if (received == 0 || header == nullptr || header->cmsg_type != SCM_RIGHTS)
        throw std::runtime_error((message.msg_flags & MSG_CTRUNC) != 0 ? "the descriptor was cut off: no more are free"
                                                                       : "no descriptor came");
    int fd = -1;
    std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
    return fd;
}

void copy(int from, int to) {
    char buffer[65536];
    while (const ssize_t count = CALL(read(from, buffer, sizeof buffer))) {
        write_all(to, {buffer, static_cast<size_t>(count)});
    }
}

/// A copy of the file that no name leads to. Makes `name` the one that it had.
int nameless_copy(int file, std::string& name) {
    const char* directory = std::getenv("TMPDIR");
    name = fmt::format("{}/passing_cat.XXXXXX", directory != nullptr && *directory == '/' ? directory : "/tmp");
    const int nameless = CALL(mkstemp(name.data()));
    CALL(unlink(name.c_str()));
    copy(file, nameless);
    CALL(lseek(nameless, 0, SEEK_SET));  // the position belongs to the open file, and would travel with it
    CALL(close(file));
    return nameless;
}

/// Never to return: gives up all that root may do.
void become_nobody() {
    const passwd* nobody = getpwnam("nobody");
    if (nobody == nullptr) throw std::runtime_error("there is no user called nobody");
    CALL(setgroups(0, nullptr));
    CALL(setgid(nobody->pw_gid));
    CALL(setuid(nobody->pw_uid));  // last, since it takes away the right to do the others
}

/// The child: it tries the name, then takes what it is sent.
void read_what_comes(int socket, const std::string& name) {
    const int mine = TRY(open(name.c_str(), O_RDONLY));
    if (mine == -1) {
        fmt::print(stderr, "the child, user {}, opens {}: {}\n", getuid(), escaped(name), std::strerror(errno));
    } else {
        fmt::print(stderr, "the child, user {}, may open {} itself\n", getuid(), escaped(name));
        CALL(close(mine));
    }
    const int file = receive_descriptor(socket);
    fmt::print(stderr, "the child has received descriptor {}, and reads it\n", file);
    Output output;
    char buffer[65536];
    while (const ssize_t count = CALL(read(file, buffer, sizeof buffer))) {
        output.write({buffer, static_cast<size_t>(count)});
    }
}

}  // namespace

int main(int argc, char** argv) try {
    bool nameless = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Prints a file by a child that may not open it: its parent does, and passes the descriptor on.",
         .endpoint = Endpoint::none,
         .more = {{"nameless", nullptr, "pass a copy without a name (always so if you are not root)", &nameless}},
         .arguments = {"FILE"}});
    std::string name = options.arguments[0];
    const bool root = geteuid() == 0;

    int file = CALL(open(name.c_str(), O_RDONLY));
    if (nameless || !root) file = nameless_copy(file, name);
    fmt::print(stderr, "the parent, user {}, has opened {} as descriptor {}\n", getuid(), escaped(name), file);

    int ends[2];
    CALL(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    const pid_t child = CALL(fork());
    if (child == 0) {
        CALL(close(file));  // all that it has of the file is what it will be sent
        CALL(close(ends[0]));
        if (root) become_nobody();
        read_what_comes(ends[1], name);
        return 0;
    }
    CALL(close(ends[1]));
    send_descriptor(ends[0], file);
    CALL(close(file));  // it is on its way, and will arrive all the same
    CALL(close(ends[0]));
    int status = 0;
    CALL(waitpid(child, &status, 0));
    return status == 0 ? 0 : 1;
} catch (const std::exception& error) {
    return report_failure(error);
}
