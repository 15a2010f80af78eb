// The send buffer, the receive buffer and the window between them: filled by a client whose server does not read.
//
//     build/tcp/buffers
//     build/tcp/buffers --send-buffer 100000 --receive-buffer 20000
//
// send() copies into this kernel's buffer. From there it goes to the other kernel's, as far as its window says that
// there is room. When both are full, a non-blocking send() fails with EAGAIN, and a blocking one waits, for ever or as
// long as SO_SNDTIMEO says; then it may have taken a part. When the server reads, the window opens again. Try it: 0 for
// both sizes, which leaves them to the kernel: it lets them grow. How much does it take then?

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
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <vector>
#ifdef __linux__
#include <linux/sockios.h>
#endif

namespace {

int option_of(int fd, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    CALL(getsockopt(fd, SOL_SOCKET, option, &value, &length));
    return value;
}

/// Asks for a size, and tells what it was, was asked for, and is now. 0: leaves it as it is.
void set_buffer(int fd, int option, const char* name, long size) {
    const int before = option_of(fd, option);
    if (size == 0) {
        fmt::print("  {}: {} bytes, and the kernel may change that as it sees fit\n", name, before);
        return;
    }
    const int wanted = static_cast<int>(size);
    CALL(setsockopt(fd, SOL_SOCKET, option, &wanted, sizeof wanted));
    fmt::print("  {}: was {}, asked for {}, is {}\n", name, before, wanted, option_of(fd, option));
}

/// Of what is in the send buffer, how much has not even been sent; -1 where the kernel does not tell.
int unsent_of([[maybe_unused]] int fd) {
    int bytes = -1;
#ifdef __linux__
    CALL(ioctl(fd, SIOCOUTQNSD, &bytes));  // SIOCOUTQ: that, and what is not acknowledged
#endif
    return bytes;
}

/// Where the bytes are that the client has sent: in its kernel, or in that of the server.
void show(int client, int server) {
    const SocketState ours = look_at_socket(client);
    const SocketState theirs = look_at_socket(server);
    const int unsent = unsent_of(client);
    fmt::print("    in the client's buffer {}", ours.unacknowledged);
    if (unsent >= 0) fmt::print(" ({} not even sent)", unsent);
    fmt::print(", in the server's {}", theirs.unread);
    const std::optional<TableEntry> entry = look_at_pair(ours.pair);
    fmt::print("{}\n", entry && !entry->timer.empty() ? "; timer: " + entry->timer : "");
}

/// Sends what there is room for now, perhaps nothing, and never waits. Returns how many bytes that was.
size_t send_some(int connection, const char* bytes, size_t count) {
    try {
        return static_cast<size_t>(CALL(send(connection, bytes, count, MSG_DONTWAIT)));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
        return 0;
    }
}

/// Sends pieces until there is no room for one more byte.
void fill(int client, const std::vector<char>& piece) {
    size_t total = 0;
    std::map<size_t, int, std::greater<>> results;  // how often send() returned how much
    while (const size_t sent = send_some(client, piece.data(), piece.size())) {
        total += sent;
        ++results[sent];
    }
    for (const auto& [sent, times] : results) {
        fmt::print("  send() of {} bytes = {}{}, {} {}\n", piece.size(), sent, sent < piece.size() ? ", a part" : "",
                   times, times == 1 ? "time" : "times");
    }
    fmt::print("  send() of {} bytes = -1 EAGAIN; {} bytes went before\n", piece.size(), total);
}

/// Waits a moment, until all that was sent is acknowledged: an ACK may be delayed.
void settle(int client) {
    for (int i = 0; i < 10 && look_at_socket(client).unacknowledged != unsent_of(client); ++i)
        CALL(poll(nullptr, 0, 20));
}

/// The server reads until poll() says that the client has room again.
void make_room(int client, int server) {
    std::vector<char> buffer(4096);
    ssize_t total = 0;
    for (pollfd watched{client, POLLOUT, 0}; CALL(poll(&watched, 1, 1)) == 0;)
        total += CALL(recv(server, buffer.data(), buffer.size(), 0));
    fmt::print("the server reads; when it has read {} bytes, poll() says POLLOUT for the client again:\n", total);
}

/// A blocking send() with a time limit, of more than there is room for.
void send_with_limit(int client, const std::vector<char>& bytes) {
    using Clock = std::chrono::steady_clock;
    for (int i = 0; i < 2; ++i) {
        const auto begin = Clock::now();
        const ssize_t sent = TRY(send(client, bytes.data(), bytes.size(), 0));
        const int error = errno;
        const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin).count();
        fmt::print("  send() of {} bytes = {}, after {} ms\n", bytes.size(),
                   sent == -1 ? "-1 " + error_name(error) : std::to_string(sent), waited);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long send_buffer = 50000;
    long receive_buffer = 20000;
    long piece = 3000;
    long limit = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "How much send() takes when nobody reads, and what it does then.",
         .more = {{"send-buffer", "BYTES", "SO_SNDBUF of the client; 0: as it is", &send_buffer, 0, 1 << 24},
                  {"receive-buffer", "BYTES", "SO_RCVBUF of the server; 0: as it is", &receive_buffer, 0, 1 << 24},
                  {"piece", "BYTES", "what each send() is offered", &piece, 1, 1 << 24},
                  {"limit", "MS", "SO_SNDTIMEO, for the blocking send()", &limit, 1, 60'000}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    fmt::print("sizes (a connection has its receive buffer from the listener, since SYN+ACK tells the window):\n");
    set_buffer(listener, SO_RCVBUF, "SO_RCVBUF of the server", receive_buffer);
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, 1));
    const Address here = local_address(listener);
    const int client = CALL(socket(here.family(), SOCK_STREAM, 0));
    set_buffer(client, SO_SNDBUF, "SO_SNDBUF of the client", send_buffer);
    CALL(connect(client, here.get(), here.length()));
    const int server = CALL(accept(listener, nullptr, nullptr));
    CALL(close(listener));

    const std::vector<char> bytes(static_cast<size_t>(piece), 'x');
    fmt::print("the client sends, and the server does not read:\n");
    fill(client, bytes);
    settle(client);
    show(client, server);

    limit_waiting(server, 10);
    make_room(client, server);
    settle(client);
    show(client, server);
    fmt::print("the client sends again, and waits if it must, but not longer than SO_SNDTIMEO says, {} ms:\n", limit);
    const timeval patience{.tv_sec = limit / 1000, .tv_usec = static_cast<suseconds_t>(limit % 1000 * 1000)};
    CALL(setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience));
    send_with_limit(client, std::vector<char>(static_cast<size_t>(send_buffer + receive_buffer) + (8U << 20U), 'y'));
    settle(client);
    show(client, server);
    CALL(close(client));
    CALL(close(server));
} catch (const std::exception& error) {
    return report_failure(error);
}
