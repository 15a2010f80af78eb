// The floor: the least that an epoll server can do to return what it gets. No protocol, no queue, no limits; one
// recv() and one send() for each readiness, with a buffer as large as event_server's. What a real server takes more
// than this is the cost of its protocol. For measuring only: a client that does not read stops it.
//
//     build/optimized/tests/bench/floor_server      prints its port, serves until it is killed

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>

namespace {

char buffer[512 << 10];

void send_all(int fd, const char* bytes, ssize_t count) {
    while (count > 0) {
        const ssize_t sent = send(fd, bytes, static_cast<size_t>(count), MSG_NOSIGNAL);
        if (sent == -1) {
            if (errno != EAGAIN) return;
            pollfd full{fd, POLLOUT, 0};
            poll(&full, 1, -1);
            continue;
        }
        bytes += sent;
        count -= sent;
    }
}

}  // namespace

int main() {
    const int listener = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener, SOMAXCONN) != 0)
        return 1;
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length);
    std::printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    std::fflush(stdout);

    const int queue = epoll_create1(0);
    epoll_event event{.events = EPOLLIN, .data = {.fd = listener}};
    epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        epoll_event events[256];
        const int count = epoll_wait(queue, events, 256, -1);
        for (int i = 0; i < count; ++i) {
            const int fd = events[i].data.fd;
            if (fd == listener) {
                const int connection = accept4(listener, nullptr, nullptr, SOCK_NONBLOCK);
                const int on = 1;
                setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.fd = connection;
                epoll_ctl(queue, EPOLL_CTL_ADD, connection, &event);
                continue;
            }
            const ssize_t received = recv(fd, buffer, sizeof buffer, 0);
            if (received > 0) send_all(fd, buffer, received);
            if (received == 0 || (received == -1 && errno != EAGAIN)) close(fd);
        }
    }
}
