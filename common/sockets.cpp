#include "common/sockets.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>

#include <dirent.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#ifdef __linux__
#include <fstream>
#include <linux/sockios.h>
#include <set>
#include <sstream>
#include <unistd.h>
#endif

namespace {

// The states of RFC 9293, section 3.3.2, in the order in which each kernel counts them.
#ifdef __linux__
constexpr std::array state_names{"?",          "ESTABLISHED", "SYN_SENT",    "SYN_RECEIVED", "FIN_WAIT_1",
                                 "FIN_WAIT_2", "TIME_WAIT",   "CLOSED",      "CLOSE_WAIT",   "LAST_ACK",
                                 "LISTEN",     "CLOSING",     "SYN_RECEIVED"};
#else
constexpr std::array state_names{"CLOSED",     "LISTEN",  "SYN_SENT", "SYN_RECEIVED", "ESTABLISHED", "CLOSE_WAIT",
                                 "FIN_WAIT_1", "CLOSING", "LAST_ACK", "FIN_WAIT_2",   "TIME_WAIT"};
#endif

std::string state_name(unsigned number) { return number < state_names.size() ? state_names[number] : "?"; }

int socket_option(int fd, int level, int name) {
    int value = -1;
    socklen_t length = sizeof value;
    return getsockopt(fd, level, name, &value, &length) == 0 ? value : -1;
}

Address address_of(int fd, int (*ask)(int, sockaddr*, socklen_t*)) {
    Address address;
    return ask(fd, address.out(), address.out_length()) == 0 ? address : Address();
}

/// One end of a connection as /proc/net/tcp and tcp6 write it: the address's 32-bit words as this machine stores
/// them, then the port, all in hexadecimal. "0100007F:1B58" is 127.0.0.1:7000.
std::string table_spelling(const Address& address) {
    if (address.family() == AF_INET) {
        const auto* ip = reinterpret_cast<const sockaddr_in*>(address.get());
        return fmt::format("{:08X}:{:04X}", ip->sin_addr.s_addr, ntohs(ip->sin_port));
    }
    if (address.family() == AF_INET6) {
        const auto* ip = reinterpret_cast<const sockaddr_in6*>(address.get());
        std::array<std::uint32_t, 4> words{};
        std::memcpy(words.data(), &ip->sin6_addr, sizeof words);
        return fmt::format("{:08X}{:08X}{:08X}{:08X}:{:04X}", words[0], words[1], words[2], words[3],
                           ntohs(ip->sin6_port));
    }
    return "";
}

#ifdef __linux__
/// The way back. Throws std::exception if it is no such spelling.
Address address_of_spelling(const std::string& text) {
    const size_t colon = text.find(':');
    const auto port = htons(static_cast<std::uint16_t>(std::stoul(text.substr(colon + 1), nullptr, 16)));
    std::array<std::uint32_t, 4> words{};
    for (size_t i = 0; i < colon / 8; ++i)
        words.at(i) = static_cast<std::uint32_t>(std::stoul(text.substr(8 * i, 8), nullptr, 16));
    if (colon == 8) {
        sockaddr_in ip{};
        ip.sin_family = AF_INET;
        ip.sin_port = port;
        ip.sin_addr.s_addr = words[0];
        return {reinterpret_cast<const sockaddr*>(&ip), sizeof ip};
    }
    sockaddr_in6 ip{};
    ip.sin6_family = AF_INET6;
    ip.sin6_port = port;
    std::memcpy(&ip.sin6_addr, words.data(), sizeof words);
    return {reinterpret_cast<const sockaddr*>(&ip), sizeof ip};
}

/// Its columns: number, local and peer address, state, send:receive queue, timer:when, and the socket's number.
TableEntry read_entry(const std::string& line) {
    static constexpr std::array timers{"", "retransmission", "keepalive", "TIME_WAIT", "zero window probe"};
    std::istringstream columns(line);
    std::string number, local, peer, state, queues, timer, ignored;
    TableEntry entry;
    columns >> number >> local >> peer >> state >> queues >> timer >> ignored >> ignored >> ignored >> entry.socket.id;
    const auto hex = [](const std::string& text) { return std::stoul(text, nullptr, 16); };
    entry.socket.kind = "TCP";
    entry.socket.state = state_name(static_cast<unsigned>(hex(state)));
    entry.socket.local = address_of_spelling(local).text();
    entry.socket.peer = address_of_spelling(peer).text();
    entry.socket.pair = local + " " + peer;
    const auto received = static_cast<long>(hex(queues.substr(queues.find(':') + 1)));
    if (entry.socket.state == "LISTEN") {
        entry.socket.waiting = received;
    } else {
        entry.socket.unread = received;
        entry.socket.unacknowledged = static_cast<long>(hex(queues.substr(0, queues.find(':'))));
    }
    entry.timer = timers.at(hex(timer.substr(0, 2)));
    if (!entry.timer.empty()) {
        const auto ticks = static_cast<double>(hex(timer.substr(3)));
        entry.seconds = ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
    }
    return entry;
}
#endif

/// "" of a socket that is bound to nothing: the family's wildcard with port 0.
std::string name_unless_unbound(const Address& address) {
    const std::string text = address.text();
    return text == "0.0.0.0:0" || text == "[::]:0" ? "" : text;
}

void describe_tcp(int fd, SocketState& socket) {
#ifdef __linux__
    tcp_info info{};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) == -1) return;
    socket.state = state_name(info.tcpi_state);
    if (socket.state == "LISTEN") {
        // For a listener the kernel puts its queue into these two fields (tcp_diag.c, and what ss shows).
        socket.waiting = info.tcpi_unacked;
        socket.backlog = info.tcpi_sacked;
        return;
    }
    int bytes = 0;
    if (socket.state != "CLOSED" && ioctl(fd, SIOCOUTQ, &bytes) == 0) socket.unacknowledged = bytes;
#else
    tcp_connection_info info{};
    socklen_t length = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_CONNECTION_INFO, &info, &length) == -1) return;
    socket.state = state_name(info.tcpi_state);
    if (socket.state == "LISTEN") return;  // macOS tells nobody how many connections wait in the queue
    socket.unacknowledged = std::max(0, socket_option(fd, SOL_SOCKET, SO_NWRITE));
#endif
}

/// Unix sockets have no states of their own in any RFC; these are what poll(2) and the addresses tell.
std::string unix_state(int fd, bool bound, bool connected) {
    if (socket_option(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1) return "listening";
    if (!connected) return bound ? "bound" : "unbound";
    pollfd watched{fd, 0, 0};
#ifdef POLLRDHUP
    watched.events = POLLRDHUP;
#endif
    poll(&watched, 1, 0);
    if ((watched.revents & POLLHUP) != 0) return "closed by peer";
#ifdef POLLRDHUP
    if ((watched.revents & POLLRDHUP) != 0) return "peer sends no more";
#endif
    return "connected";
}

/// Of a datagram or raw socket. Where the kernel doesn't tell (macOS), of almost all of them.
std::string protocol_name(int fd) {
#ifdef SO_PROTOCOL
    switch (const int protocol = socket_option(fd, SOL_SOCKET, SO_PROTOCOL)) {
        case IPPROTO_UDP:
            break;
        case IPPROTO_ICMP:
            return "ICMP";
        case IPPROTO_ICMPV6:
            return "ICMPv6";
        default:
            return fmt::format("IP protocol {}", protocol);
    }
#else
    (void)fd;
#endif
    return "UDP";
}

SocketState describe(int fd, std::uint64_t id) {
    SocketState socket;
    socket.fd = fd;
    socket.id = id;
    const Address local = address_of(fd, getsockname);
    const Address peer = address_of(fd, getpeername);
    const int type = socket_option(fd, SOL_SOCKET, SO_TYPE);
    const int family = local.family();
    const bool internet = family == AF_INET || family == AF_INET6;
    socket.local = name_unless_unbound(local);
    socket.peer = peer.text();

    if (internet && type == SOCK_STREAM) {
        socket.kind = "TCP";
        describe_tcp(fd, socket);
        if (!socket.peer.empty()) socket.pair = pair_of(local, peer);
    } else if (internet && type == SOCK_RAW) {
        socket.kind = "raw " + protocol_name(fd);
        socket.local = "";  // what getsockname() has for its port is the protocol's number
        socket.state = "open";
    } else if (internet && type == SOCK_DGRAM) {
        socket.kind = protocol_name(fd);
        socket.state = !socket.peer.empty() ? "connected" : socket.local.empty() ? "unbound" : "bound";
    } else if (family == AF_UNIX) {
        socket.kind = type == SOCK_STREAM ? "Unix stream" : type == SOCK_DGRAM ? "Unix datagram" : "Unix seqpacket";
        socket.state = unix_state(fd, !socket.local.empty(), peer.family() == AF_UNIX);
    } else {
        socket.kind = fmt::format("family {} type {}", family, type);
        socket.state = "open";
    }
    int bytes = 0;
    if (socket.waiting == -1 && ioctl(fd, FIONREAD, &bytes) == 0) socket.unread = bytes;
    return socket;
}

}  // namespace

std::vector<SocketState> look_at_sockets() {
    std::vector<int> descriptors;
    {
        const std::unique_ptr<DIR, int (*)(DIR*)> directory(opendir("/dev/fd"), closedir);
        while (const dirent* entry = directory ? readdir(directory.get()) : nullptr) {
            char* end = nullptr;
            const long fd = std::strtol(entry->d_name, &end, 10);
            if (end != entry->d_name && *end == '\0') descriptors.push_back(static_cast<int>(fd));
        }
    }
    std::sort(descriptors.begin(), descriptors.end());
    std::vector<SocketState> sockets;
    for (const int fd : descriptors) {
        struct stat status {};
        if (fstat(fd, &status) == 0 && S_ISSOCK(status.st_mode)) sockets.push_back(describe(fd, status.st_ino));
    }
    return sockets;
}

SocketState look_at_socket(int fd) {
    struct stat status {};
    fstat(fd, &status);
    return describe(fd, status.st_ino);
}

std::vector<TableEntry> look_at_table() {
    std::vector<TableEntry> entries;
#ifdef __linux__
    for (const char* table : {"/proc/net/tcp", "/proc/net/tcp6"}) {
        std::ifstream lines(table);
        std::string line;
        std::getline(lines, line);  // the names of the columns
        std::set<std::string> seen;
        while (std::getline(lines, line)) {
            TableEntry entry = read_entry(line);
            // What changes while the table is read may push a line behind those that were read: there it is again.
            const bool again = entry.socket.state != "LISTEN" && !seen.insert(entry.socket.pair).second;
            if (!again) entries.push_back(std::move(entry));
        }
    }
#endif
    return entries;
}

std::optional<TableEntry> look_at_pair(const std::string& pair) {
#ifdef __linux__
    if (const std::string row = row_of_pair(pair); !row.empty()) return read_entry(row);
#else
    (void)pair;
#endif
    return std::nullopt;
}

std::string pair_of(const Address& local, const Address& peer) {
    return table_spelling(local) + " " + table_spelling(peer);
}

std::string row_of_pair(const std::string& pair) {
#ifdef __linux__
    const bool is_ipv4 = pair.find(':') == 8;
    std::ifstream lines(is_ipv4 ? "/proc/net/tcp" : "/proc/net/tcp6");
    for (std::string line; std::getline(lines, line);) {
        if (line.find(": " + pair + " ") == std::string::npos) continue;
        const size_t begin = line.find_first_not_of(' ');
        return line.substr(begin, line.find_last_not_of(' ') + 1 - begin);
    }
#else
    (void)pair;
#endif
    return "";
}

std::string state_in_row(const std::string& row, const std::string& pair) {
    const size_t found = row.find(": " + pair + " ");
    if (found == std::string::npos) return "";
    const std::string state = row.substr(found + pair.size() + 3, 2);
    return state_name(static_cast<unsigned>(std::strtoul(state.c_str(), nullptr, 16)));
}

std::string state_of_pair(const std::string& pair) { return state_in_row(row_of_pair(pair), pair); }
