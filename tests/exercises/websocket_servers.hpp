#pragma once
// Graders of this chapter's exercises that are servers: websocket_servers.cpp.

#include "tests/exercises/exercise.hpp"

namespace exercise {

void grade_close_handshake(Grading& grading);
void grade_echo_to_spec(Grading& grading);

}  // namespace exercise
