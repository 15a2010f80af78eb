#pragma once
// Whole messages through calls that may do a part: the loops that tcp/echo_server.cpp and tcp/echo_client.cpp
// write out, for the programs after them.

#include "common/address.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

/// send(2) until all bytes are with the kernel. Throws SocketError.
void send_all(int connection, const void* bytes, std::size_t count);

/// write(2) until all is written. Throws SocketError.
void write_all(int fd, std::string_view bytes);

/// Waits until recv() or accept() would not block, at most for so many milliseconds (0: not at all; -1: for ever).
/// False if the time is over. Throws SocketError.
bool wait_until_readable(int fd, long milliseconds);

/// How long a blocking recv() or send() of this socket may wait before it fails with EAGAIN; 0 seconds: for ever.
/// Throws SocketError.
void limit_waiting(int connection, long seconds);

/// Writes a peer's bytes to standard output: as they are to a file or pipe; to a terminal with control characters
/// escaped, newline and tab excepted, so that a peer can't move the cursor or set the window's title.
/// A UTF-8 character cut by the end of one piece is completed by the next.
class Output {
public:
    Output();
    void write(std::string_view bytes);

private:
    bool terminal_;
    std::string cut_;  ///< the first bytes of a character whose others have not come yet
};

/// Connects to the first of the addresses that answers, and returns the socket. Throws the last one's SocketError.
int connect_to_any(const std::vector<Address>& addresses);

/// A TCP connection with both ends in this process.
struct ConnectedPair {
    int client, server;
};

/// Listens at this address, connects to it and accepts: tcp/buffers.cpp writes it out. Throws SocketError.
ConnectedPair connect_to_itself(const Address& address);
