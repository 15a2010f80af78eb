#include "tests/support/skip.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"

#include <fmt/core.h>

#include <atomic>

#include <unistd.h>

namespace {

/// Speaks after Catch2's own last words, since its destructor runs when main has ended.
struct Summary {
    const pid_t owner = getpid();
    std::atomic<int> skipped = 0;  // lessons are replayed by several threads
    Summary() = default;
    Summary(const Summary&) = delete;
    Summary& operator=(const Summary&) = delete;
    ~Summary() {
        if (skipped > 0 && getpid() == owner) {
            fmt::print(stderr, "{} SKIPPED here: see the lines with SKIPPED above for what and why\n", skipped.load());
        }
    }
};

Summary summary;

}  // namespace

void skip(const std::string& why) {
    ++summary.skipped;
    fmt::print(stderr, "SKIPPED: {}: {}\n", Catch::getResultCapture().getCurrentTestName(), why);
}

bool has_tool(const std::string& name) {
    if (!find_tool(name).empty()) return true;
    skip(name + " is not installed");
    return false;
}

bool has_ipv6() {
    try {
        Peer::bound(SOCK_DGRAM, "::1");
        return true;
    } catch (const std::exception& error) {
        skip(std::string("IPv6: ") + error.what());
        return false;
    }
}
