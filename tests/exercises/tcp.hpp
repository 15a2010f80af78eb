#pragma once
// The TCP chapter's exercises, one function each, for the list in tcp.cpp.

#include "tests/exercises/exercise.hpp"

namespace exercise {

// tcp_streams.cpp: what becomes of messages in a stream of bytes.
Exercise exact_read();
Exercise line_server();
Exercise length_prefix();

// tcp_connections.cpp: how connections begin, wait and end.
Exercise many_clients();
Exercise polite_close();
Exercise bind_again();
Exercise broken_pipe();
Exercise connect_deadline();

}  // namespace exercise
