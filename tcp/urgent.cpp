// The urgent byte: MSG_OOB, SIOCATMARK, SO_OOBINLINE, POLLPRI and SIGURG; and what gets lost.
//
//     build/tcp/urgent
//
// send(MSG_OOB) marks its last byte as urgent: every segment says where it is, until the receiver has come by (RFC
// 9293, section 3.8.5). It travels in the stream like any other byte, overtakes none, and there is but one mark at a
// time. The socket interface makes an "out-of-band byte" of it, apart from the others. RFC 6093 says what is wrong with
// that, and that new programs should not use it: who needs something urgent opens a second connection. Try it:
// scripts/wire or tcpdump, beside: the flag URG and the urgent pointer.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

namespace {

volatile sig_atomic_t urgent_signals = 0;

void note_urgent(int) { urgent_signals = urgent_signals + 1; }

/// SIGURG comes to the process that F_SETOWN names, when the news of an urgent byte comes, even before the byte.
void ask_for_signal(int fd) {
    struct sigaction action {};
    action.sa_handler = note_urgent;
    action.sa_flags = SA_RESTART;
    sigaction(SIGURG, &action, nullptr);
    CALL(fcntl(fd, F_SETOWN, getpid()));
}

void send_text(int fd, const std::string& text) {
    fmt::print("  client  send(\"{}\")\n", text);
    send_all(fd, text.data(), text.size());
}

void send_urgent(int fd, char byte) {
    fmt::print("  client  send(\"{}\", MSG_OOB)\n", byte);
    CALL(send(fd, &byte, 1, MSG_OOB));
}

/// Signals of one kind that come together are one: what can be known is whether it came, not how often.
void show_signal_and_poll(int fd) {
    pollfd watched{fd, POLLIN | POLLPRI, 0};
    CALL(poll(&watched, 1, 1000));
    fmt::print("  server  SIGURG {}; poll():{}{}\n", urgent_signals > 0 ? "came" : "did not come",
               (watched.revents & POLLIN) != 0 ? " POLLIN" : "", (watched.revents & POLLPRI) != 0 ? " POLLPRI" : "");
    urgent_signals = 0;
}

/// The byte that is kept apart, if there is one. EINVAL: none, or it was taken already. EAGAIN: it is announced, but
/// has not come yet.
void receive_urgent(int fd) {
    char byte = 0;
    const ssize_t received = TRY(recv(fd, &byte, 1, MSG_OOB));
    fmt::print("  server  recv(MSG_OOB) = {}\n", received == 1   ? fmt::format("1: \"{}\"", escaped({&byte, 1}))
                                                 : received == 0 ? "0"
                                                                 : "-1 " + error_name(errno));
}

/// All that comes until the client's end. No recv() returns bytes from before and from behind the mark.
void receive_all(int fd) {
    for (;;) {
        int at_mark = 0;
        CALL(ioctl(fd, SIOCATMARK, &at_mark));
        char bytes[100];
        const ssize_t received = CALL(recv(fd, bytes, sizeof bytes, 0));
        const std::string text(bytes, static_cast<size_t>(received));
        fmt::print("  server  {}recv() = {}{}\n", at_mark != 0 ? "at the mark: " : "", received,
                   received > 0 ? fmt::format(": \"{}\"", escaped(text)) : ", the end");
        if (received == 0) return;
    }
}

/// One connection. urgent: the bytes of the text that are sent as such.
void play(const Address& address, const char* title, const std::string& text, const std::string& urgent, bool inline_) {
    fmt::print("{}\n", title);
    const ConnectedPair pair = connect_to_itself(address);
    limit_waiting(pair.server, 10);
    ask_for_signal(pair.server);
    if (inline_) {
        const int on = 1;
        CALL(setsockopt(pair.server, SOL_SOCKET, SO_OOBINLINE, &on, sizeof on));
    }
    for (size_t begin = 0; begin < text.size();) {
        if (urgent.find(text[begin]) != std::string::npos) {
            send_urgent(pair.client, text[begin++]);
            continue;
        }
        const size_t end = std::min(text.find_first_of(urgent, begin), text.size());
        send_text(pair.client, text.substr(begin, end - begin));
        begin = end;
    }
    CALL(shutdown(pair.client, SHUT_WR));
    for (int i = 0; i < 1000 && look_at_socket(pair.server).state == "ESTABLISHED"; ++i)
        CALL(poll(nullptr, 0, 1));  // until all of it is there, FIN too: then what follows is always the same

    show_signal_and_poll(pair.server);
    receive_urgent(pair.server);
    receive_all(pair.server);
    receive_urgent(pair.server);
    CALL(close(pair.client));
    CALL(close(pair.server));
    fmt::print("\n");
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "The urgent byte of TCP, and what gets lost."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    play(address, "one urgent byte is kept apart, and recv() stops where it was:", "abc!def", "!", false);
    play(address, "with SO_OOBINLINE it stays in its place, and the mark shows it:", "abc!def", "!", true);
    play(address, "two: the second takes the mark, and the first is an ordinary byte again:", "abc1d2ef", "12", false);
    play(address, "two, and nothing before them: the first is lost:", "12ef", "12", false);
    play(address, "the same with SO_OOBINLINE: no byte is lost, but a mark is:", "12ef", "12", true);
} catch (const std::exception& error) {
    return report_failure(error);
}
