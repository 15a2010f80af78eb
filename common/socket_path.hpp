#pragma once
// Where Unix domain sockets live in the file system.

#include "common/address.hpp"

#include <string>

/// A path for a socket in a directory that only this user can enter: $XDG_RUNTIME_DIR/two-terminals/NAME, or
/// /tmp/two-terminals-UID/NAME. Makes the directory (mode 0700). Throws std::runtime_error if it belongs to somebody
/// else or others may enter it.
std::string private_socket_path(const std::string& name);

/// A path as a sockaddr_un (unix(7)). Throws UsageError if it is empty or too long: sun_path holds 108 bytes on Linux
/// and 104 on macOS, the last of them 0.
Address unix_address(const std::string& path);

/// bind() to a path, also where a server that was killed has left its file behind; as unix/echo_server.cpp writes it
/// out. Then remove_at_exit(). Throws SocketError: EADDRINUSE if somebody is there, or a file that is no socket.
void bind_to_path(int socket, const std::string& path);

/// Removes the socket file when the process ends (also by SIGINT or SIGTERM, once announce_ready was called), if by
/// then it is still the one that is there now.
void remove_at_exit(const std::string& path);

/// What remove_at_exit promised; safe in a signal handler.
void remove_socket_file();
