// Unix domain client that says nothing of itself, and is known all the same.
//
//     terminal 1:  build/unix/credentials_server --step
//     terminal 2:  build/unix/credentials_client --step
//
// What you type is sent, what comes back is printed; Ctrl-D ends the input.
// Try to lie (on Linux): --claim nobody sends credentials of its own with each message, and the kernel looks at them.
// And as root, --become nobody: it connects as root, and then becomes another user. Who does the server see?

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <grp.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace {

struct User {
    uid_t user;
    gid_t group;
};

/// Who has this name or number?
User find_user(const std::string& text) {
    if (const passwd* entry = getpwnam(text.c_str())) return {entry->pw_uid, entry->pw_gid};
    const long number = parse_number(text, 0, 4294967294, "no user has this name, and as a number");
    return {static_cast<uid_t>(number), static_cast<gid_t>(number)};
}

/// In this order: afterwards we may not change our groups any more.
void become(const User& other) {
    CALL(setgroups(0, nullptr));
    CALL(setgid(other.group));
    CALL(setuid(other.user));
}

#ifdef __linux__
/// Sends bytes, and with them who we are, or claim to be: what is not true is refused by the kernel (EPERM), except by
/// root's.
void send_claiming(int connection, const char* bytes, size_t count, const User& user) {
    const ucred claimed{.pid = getpid(), .uid = user.user, .gid = user.group};
    alignas(cmsghdr) char control[CMSG_SPACE(sizeof claimed)] = {};
    iovec content{.iov_base = const_cast<char*>(bytes), .iov_len = count};
    msghdr message{};
    message.msg_iov = &content;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* part = CMSG_FIRSTHDR(&message);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_CREDENTIALS;
    part->cmsg_len = CMSG_LEN(sizeof claimed);
    std::memcpy(CMSG_DATA(part), &claimed, sizeof claimed);
    const ssize_t sent = CALL(sendmsg(connection, &message, 0));
    send_all(connection, bytes + sent, count - static_cast<size_t>(sent));
}
#else
void send_claiming(int /*connection*/, const char* /*bytes*/, size_t /*count*/, const User& /*user*/) {
    throw std::runtime_error("--claim: messages have no credentials on this system, only connections have");
}
#endif

/// Receives the server's first line, without its newline; "" if there is none. It sends no more than that, unasked.
std::string receive_greeting(int connection) {
    std::string line;
    char piece[200];
    while (line.size() < sizeof piece && line.find('\n') == std::string::npos) {
        const ssize_t received = CALL(recv(connection, piece, sizeof piece, 0));
        if (received == 0) return "";
        line.append(piece, static_cast<size_t>(received));
    }
    return line.substr(0, line.find('\n'));
}

/// Prints what comes back until it is as much as was sent.
void print_answer(int connection, size_t count, Output& output) {
    while (count > 0) {
        char answer[4096];
        const ssize_t received = CALL(recv(connection, answer, std::min(count, sizeof answer), 0));
        if (received == 0) throw std::runtime_error("the server ended the connection");
        output.write({answer, static_cast<size_t>(received)});
        count -= static_cast<size_t>(received);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 30;
    std::optional<std::string> claim;
    std::optional<std::string> become_user;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain client whom the server knows: sends standard input and prints what comes back.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "credentials",
         .more = {{"claim", "USER", "say with each message that it is by this user (Linux)", &claim},
                  {"become", "USER", "become this user once connected (as root)", &become_user},
                  {"timeout", "SECONDS", "wait so long for room, and for an answer", &timeout, 1, 3600}}});
    std::optional<User> claimed, other;
    if (claim) claimed = find_user(*claim);
    if (become_user) other = find_user(*become_user);
    const Address address = unix_address(options.path);

    const int connection = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(connect(connection, address.get(), address.length()));
    limit_waiting(connection, timeout);
    const std::string greeting = receive_greeting(connection);
    if (greeting.rfind("hello", 0) != 0) {
        throw std::runtime_error(greeting.empty() ? "the server ended the connection" : "the server: " + greeting);
    }
    Output output;
    output.write(greeting + "\n");
    if (other) become(*other);

    char piece[4096];  // fits into any buffer: neither side ever waits for the other to read
    while (const ssize_t count = CALL(read(STDIN_FILENO, piece, sizeof piece))) {
        if (claimed) {
            send_claiming(connection, piece, static_cast<size_t>(count), *claimed);
        } else {
            send_all(connection, piece, static_cast<size_t>(count));
        }
        print_answer(connection, static_cast<size_t>(count), output);
    }
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
