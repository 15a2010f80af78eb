#pragma once
// Programs for node that nobody here wrote: tests/interop/package-lock.json names them.

#include "tests/support/process.hpp"

#include <optional>
#include <string>

/// Where Debian or npm puts Chromium's program; skips the test and returns "" if there is none.
std::string find_chromium();

/// What node has to be started with to find the packages. Installs them into build/interop, if they are not there yet;
/// skips the test and returns nothing if it can't. Scripts find a package by createRequire() and NODE_PATH: see
/// tests/interop/client.mjs.
std::optional<Surroundings> npm_packages();
