#pragma once
// Programs for node that nobody here wrote: tests/interop/package-lock.json names them.

#include "tests/support/process.hpp"

#include <memory>
#include <optional>
#include <string>

/// Where Debian or npm puts Chromium's program; skips the test and returns "" if there is none.
std::string find_chromium();

/// What node has to be started with to find the packages. Installs them into build/interop, if they are not there yet;
/// skips the test and returns nothing if it can't. Scripts find a package by createRequire() and NODE_PATH: see
/// tests/interop/client.mjs.
std::optional<Surroundings> npm_packages();

/// A test of a page in Chromium: a script for tests/interop/pages.mjs, with a folder for its pictures and these
/// arguments. All of them share one browser, one after the other.
class PageTest {
public:
    PageTest(const std::string& script, const Process::Command& arguments);
    /// One that is not finished takes the browser with it.
    ~PageTest();
    PageTest(const PageTest&) = delete;
    PageTest& operator=(const PageTest&) = delete;

    /// To be talked with: the script's ask() prints a line, and waits for the same line.
    Process& process() { return *browser(); }

    /// Waits until the script is done; returns what it has printed and nobody has waited for. Throws Unexpected, with
    /// what it says, if it fails.
    std::string finish(Milliseconds limit = 4 * patience);

    /// To be called behind the last test (tests/main.cpp).
    static void end_browser();

private:
    static std::unique_ptr<Process>& browser();
    bool finished_ = false;
};

/// Chromium, node and its packages are there; else the test is skipped.
bool can_test_pages();
