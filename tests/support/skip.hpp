#pragma once
// Tests that can't run here say so, loudly. Catch2 version 2 knows no such thing.

#include <string>

/// Prints "SKIPPED: <this test>: <why>" on standard error now; the last line of the run counts them. To be followed by
/// the end of the test: `return skip("...")`.
void skip(const std::string& why);

/// Whether a program is installed; skips if it is not.
bool has_tool(const std::string& name);

/// Whether [::1] is there to be bound; skips if it is not.
bool has_ipv6();

/// Can what programs send be seen as they hand it to the kernel (seccomp_unotify(2))? Skips the test if not.
bool has_witness();
