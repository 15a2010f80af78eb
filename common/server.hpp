#pragma once
// What every server needs besides its calls.

#include "common/call.hpp"

#include <string>

/// Prints "listening on ADDRESS" on standard output, flushed: from here on clients can connect. Says on standard
/// error if machines other than this one can reach it, too. From now on SIGINT and SIGTERM end the process with
/// status 0: clients are told by the kernel, which closes every descriptor.
void announce_ready(int socket);

/// The same for what has more to say of its address than the kernel does.
void announce_ready(const std::string& address, bool can_be_reached);

/// For servers that have something to do before they end: call it after announce_ready(). SIGINT and SIGTERM then make
/// the descriptor that it returns readable and do nothing else; a second one ends the process at once.
int stop_descriptor();

/// What to do when accept() failed: says so and returns if the server can go on, throws the error again if it can't.
/// A client that left before it was accepted is no reason to stop (accept(2), "Error handling"). Where descriptors
/// or memory ran out it waits a tenth of a second first, since until something is closed the next try fails at once.
void survive_accept(const SocketError& error);

/// The same for servers that must not wait there, since they have other clients to serve in the meantime. True: try
/// again only after a while.
bool accept_needs_rest(const SocketError& error);
