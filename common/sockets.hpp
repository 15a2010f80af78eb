#pragma once
// What the kernel knows of this process's sockets, in the words of RFC 9293 and the man pages.

#include "common/address.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

/// One socket as the kernel describes it at this moment.
struct SocketState {
    int fd = -1;
    std::uint64_t id = 0;     ///< the kernel's number of the socket (st_ino): a descriptor's number is soon used again
    std::string kind;         ///< "TCP", "UDP", "Unix stream", ...
    std::string state;        ///< TCP: "ESTABLISHED" ...; others: "unbound", "bound", "listening", "connected" ...
    std::string local;        ///< "127.0.0.1:7000", a path, or ""
    std::string peer;         ///< the same of the other end, or ""
    std::string pair;         ///< how /proc/net/tcp spells local and peer; "" where it doesn't apply
    long unread = 0;          ///< bytes received and not read yet (of the next datagram: FIONREAD, udp(7))
    long unacknowledged = 0;  ///< TCP: bytes sent and not acknowledged yet (SIOCOUTQ, tcp(7))
    long waiting = -1;        ///< a listener's connections that wait for accept(); -1: not a listener, or not known
    long backlog = -1;        ///< how many may wait: listen()'s backlog, as the kernel took it
    bool operator==(const SocketState&) const = default;
};

/// All descriptors of the process that are sockets, by number.
std::vector<SocketState> look_at_sockets();

/// One of them.
SocketState look_at_socket(int fd);

/// One line of the kernel's table of all TCP sockets of this machine (proc(5), /proc/net/tcp).
struct TableEntry {
    SocketState socket;  ///< fd is -1, and id 0 where no process has the socket (any more)
    std::string timer;   ///< what its timer runs for: "retransmission", "keepalive", "TIME_WAIT" ...; "" if none runs
    double seconds = 0;  ///< until that timer goes off
};

/// All of it, those of other processes too. Empty where there is no such table (macOS).
std::vector<TableEntry> look_at_table();

/// Its line of this pair (pair_of()): nothing where the kernel has forgotten the connection, or on macOS.
std::optional<TableEntry> look_at_pair(const std::string& pair);

/// The two ends of a connection as /proc/net/tcp and tcp6 spell them; a listener's peer is the wildcard with port 0.
std::string pair_of(const Address& local, const Address& peer);

/// The row of /proc/net/tcp or tcp6 that has this pair, as it stands there, without spaces around it; "" when the
/// kernel has forgotten the connection, or where that table does not exist (macOS).
std::string row_of_pair(const std::string& pair);

/// "TIME_WAIT", of a row of this pair; "" of no row.
std::string state_in_row(const std::string& row, const std::string& pair);

/// The state of a TCP connection that no descriptor shows any more, from its row: "TIME_WAIT", "FIN_WAIT_2" ...; ""
/// where there is none.
std::string state_of_pair(const std::string& pair);
