// A peer that is dead and can't say so: found by keepalive, and by TCP_USER_TIMEOUT.
//
//     build/tcp/keepalive
//     build/tcp/keepalive --idle 2 --interval 3 --count 2 --user-timeout 5000
//
// A machine that loses its power, or its cable, sends neither FIN nor RST. Who waits in recv() would wait for ever.
// With SO_KEEPALIVE the kernel asks on an idle connection whether anybody is there; Linux begins after two hours,
// unless TCP_KEEPIDLE says otherwise. With bytes under way it is retransmission that finds out: after a quarter of an
// hour, or after TCP_USER_TIMEOUT (RFC 5482).
//
// How does a peer die on one machine? On Linux its socket gets a filter that lets nothing pass (SO_ATTACH_FILTER): all
// that comes is dropped before TCP sees it. Where that takes privileges, the program goes into a network namespace of
// its own, in which it has them. On macOS there is nothing like it, and only a live peer is shown.
// (A machine that has restarted is no such case: it answers by RST, and you get ECONNRESET.)

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <stdexcept>
#ifdef __linux__
#include <linux/filter.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#endif

namespace {

#ifdef __linux__
constexpr int keep_idle = TCP_KEEPIDLE;
#else
constexpr int keep_idle = TCP_KEEPALIVE;  // macOS has the other name
#endif

int option_of(int fd, int level, int option) {
    int value = 0;
    socklen_t length = sizeof value;
    CALL(getsockopt(fd, level, option, &value, &length));
    return value;
}

void set_option(int fd, int level, int option, long wanted) {
    const int value = static_cast<int>(wanted);
    CALL(setsockopt(fd, level, option, &value, sizeof value));
}

void show_keepalive(int fd, const char* when) {
    fmt::print("  {}: keepalive {}, first probe after {} s, then every {} s, lost after {} without an answer\n", when,
               option_of(fd, SOL_SOCKET, SO_KEEPALIVE) != 0 ? "on" : "off", option_of(fd, IPPROTO_TCP, keep_idle),
               option_of(fd, IPPROTO_TCP, TCP_KEEPINTVL), option_of(fd, IPPROTO_TCP, TCP_KEEPCNT));
}

void use_keepalive(int fd, long idle, long interval, long count) {
    show_keepalive(fd, "by default");
    set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_option(fd, IPPROTO_TCP, keep_idle, idle);
    set_option(fd, IPPROTO_TCP, TCP_KEEPINTVL, interval);
    set_option(fd, IPPROTO_TCP, TCP_KEEPCNT, count);
    show_keepalive(fd, "as set");
}

#ifdef __linux__

/// From now on this socket hears nothing: a program of one instruction, "keep 0 bytes of every segment".
int drop_all(int fd) {
    sock_filter instruction[] = {{BPF_RET | BPF_K, 0, 0, 0}};
    const sock_fprog filter{1, instruction};
    return TRY(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
}

bool may_filter(int family) {
    const int trial = CALL(socket(family, SOCK_STREAM, 0));
    const bool may = drop_all(trial) == 0;
    const int error = errno;
    CALL(close(trial));
    if (!may) fmt::print("setsockopt(SO_ATTACH_FILTER) = -1 {}\n", error_name(error));
    return may;
}

/// Newer kernels let only the administrator of a network filter TCP. Every user is that in a network namespace of their
/// own (user_namespaces(7)), which this process then is in until it ends. Its loopback has to be switched on first.
bool may_filter_in_namespace(int family) {
    if (TRY(unshare(CLONE_NEWUSER | CLONE_NEWNET)) == -1) {
        fmt::print("unshare(CLONE_NEWUSER | CLONE_NEWNET) = -1 {}\n", error_name(errno));
        return false;
    }
    const int any = CALL(socket(AF_INET, SOCK_DGRAM, 0));
    ifreq loopback{};
    std::strcpy(loopback.ifr_name, "lo");
    loopback.ifr_flags = IFF_UP;
    const int up = TRY(ioctl(any, SIOCSIFFLAGS, &loopback));
    fmt::print("in a network namespace of its own{}\n",
               up == 0 ? ":" : ", where lo can't be used: " + error_name(errno));
    CALL(close(any));
    return up == 0 && may_filter(family);
}

/// Without its filter it hears what the other kernel answers to its FIN, and nothing of it remains.
void bury(int fd) {
    set_option(fd, SOL_SOCKET, SO_DETACH_FILTER, 0);
    CALL(close(fd));
}

/// What the kernel has done without getting an answer.
struct Attempts {
    unsigned probes = 0, retransmissions = 0;
    double silence = 0;  ///< seconds since the last ACK
    bool operator!=(const Attempts& other) const {
        return probes != other.probes || retransmissions != other.retransmissions;
    }
};

Attempts attempts_of(int fd) {
    tcp_info info{};
    socklen_t length = sizeof info;
    CALL(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length));
    return {info.tcpi_probes, info.tcpi_retransmits, info.tcpi_last_ack_recv / 1000.0};
}

/// What the kernel will do next, and in how many seconds: the column "tr tm->when" of its table.
struct Timer {
    std::string name = "no";
    double seconds = 0;
};

Timer timer_of(int fd) {
    const std::optional<TableEntry> entry = look_at_pair(look_at_socket(fd).pair);
    return entry && !entry->timer.empty() ? Timer{entry->timer, entry->seconds} : Timer{};
}

using Clock = std::chrono::steady_clock;

/// Tells what the kernel does, whenever its timer has gone off, until the socket has something to say (or, at the
/// latest, as long as told).
void watch(int fd, Clock::time_point begin, std::chrono::milliseconds most) {
    Attempts told{.probes = -1U};
    for (pollfd watched{fd, POLLIN, 0}; Clock::now() - begin < most;) {
        const Attempts now = attempts_of(fd);
        const Timer timer = timer_of(fd);
        if (CALL(poll(&watched, 1, 0)) > 0) return;  // the kernel has given up: no timer runs any more
        if (now != told) {
            fmt::print(
                "  {:6.2f} s  unanswered: {} probes, {} retransmissions; last ACK {:.2f} s ago; {} timer: {:.2f} s\n",
                std::chrono::duration<double>(Clock::now() - begin).count(), now.probes, now.retransmissions,
                now.silence, timer.name, timer.seconds);
            std::fflush(stdout);
        }
        told = now;
        if (CALL(poll(&watched, 1, static_cast<int>(timer.seconds * 1000) + 10)) > 0) return;
    }
}

/// What a recv() that waits would have waited for.
void receive_the_news(int fd, Clock::time_point begin) {
    char byte = 0;
    const ssize_t received = TRY(recv(fd, &byte, 1, MSG_DONTWAIT));  // if watch() has given up, there is none
    const int error = errno;
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    fmt::print("  {:6.2f} s  recv() = {}, {}\n\n", seconds,
               received == -1 ? "-1 " + error_name(error) : std::to_string(received), look_at_socket(fd).state);
}

void find_by_keepalive(const Address& address, long idle, long interval, long count) {
    fmt::print("an idle connection, and its peer dies:\n");
    const ConnectedPair pair = connect_to_itself(address);
    use_keepalive(pair.client, idle, interval, count);
    if (drop_all(pair.server) == -1) throw std::runtime_error("SO_ATTACH_FILTER was allowed before, and now is not");
    const auto begin = Clock::now();
    watch(pair.client, begin, std::chrono::seconds(idle + interval * count + 10));
    receive_the_news(pair.client, begin);
    CALL(close(pair.client));
    bury(pair.server);
}

void find_by_user_timeout(const Address& address, long milliseconds) {
    fmt::print("a connection with bytes under way, and its peer dies:\n");
    const ConnectedPair pair = connect_to_itself(address);
    set_option(pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT, milliseconds);
    fmt::print("  as set: TCP_USER_TIMEOUT {} ms\n", option_of(pair.client, IPPROTO_TCP, TCP_USER_TIMEOUT));
    if (drop_all(pair.server) == -1) throw std::runtime_error("SO_ATTACH_FILTER was allowed before, and now is not");
    const auto begin = Clock::now();
    CALL(send(pair.client, "hello", 5, 0));
    fmt::print("            send() = 5, as ever\n");
    watch(pair.client, begin, std::chrono::milliseconds(2 * milliseconds + 10'000));
    receive_the_news(pair.client, begin);
    CALL(close(pair.client));
    bury(pair.server);
}

#endif

/// While both ends are well, an answer to the first probe sets the clock back. Nobody but the kernels hears of it.
void show_live_peer(const Address& address, long idle, long interval, long count) {
    fmt::print("an idle connection, and its peer is alive:\n");
    const ConnectedPair pair = connect_to_itself(address);
    use_keepalive(pair.client, idle, interval, count);
    const bool news = wait_until_readable(pair.client, 1000 * idle + 200);
    fmt::print("  {} s later: {}, {}\n", idle, news ? "there is something to read" : "nothing to read",
               look_at_socket(pair.client).state);
#ifdef __linux__
    const bool answered = attempts_of(pair.client).silence < 1;
    fmt::print("  {}\n", answered ? "the probe was answered" : "the probe was not answered");
#endif
    fmt::print("\n");
    CALL(close(pair.client));
    CALL(close(pair.server));
}

}  // namespace

int main(int argc, char** argv) try {
    long idle = 1;
    long interval = 1;
    long count = 3;
    long user_timeout = 2000;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Finds out that a peer is dead, by keepalive and by TCP_USER_TIMEOUT.",
         .more = {{"idle", "SECONDS", "TCP_KEEPIDLE: quiet before the first probe; 0: no such part", &idle, 0, 32767},
                  {"interval", "SECONDS", "TCP_KEEPINTVL: from probe to probe", &interval, 1, 32767},
                  {"count", "N", "TCP_KEEPCNT: so many without an answer", &count, 1, 127},
                  {"user-timeout", "MS", "TCP_USER_TIMEOUT", &user_timeout, 1, 3'600'000}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

#ifdef __linux__
    const bool peers_can_die = may_filter(address.family()) || may_filter_in_namespace(address.family());
    if (idle > 0) show_live_peer(address, idle, interval, count);
    if (peers_can_die) {
        if (idle > 0) find_by_keepalive(address, idle, interval, count);
        find_by_user_timeout(address, user_timeout);
        return 0;
    }
#else
    (void)user_timeout;
    if (idle > 0) show_live_peer(address, idle, interval, count);
#endif
    fmt::print("no peer can be made to die here, on one machine: the rest can't be shown\n");
} catch (const std::exception& error) {
    return report_failure(error);
}
