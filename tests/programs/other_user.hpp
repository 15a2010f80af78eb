#pragma once
// The second user that tests of permissions need: "nobody", whom root can become.

#include "tests/support/process.hpp"

/// "nobody" of most systems. Files of root's in directories of mode 0711 and more are within reach, and no more.
constexpr uid_t other_user = 65534;

/// Whether this process may become the other user, and the other user may run our programs; skips if not.
bool has_other_user();

/// Runs one of our programs as the other user.
Process by_other_user(const Process::Command& command);
