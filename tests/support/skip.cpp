#include "tests/support/skip.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"

#include <fmt/core.h>

#include <atomic>
#include <cstdint>

#include <unistd.h>
#ifdef __linux__
#include <linux/seccomp.h>
#include <sys/syscall.h>
#endif

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

bool has_witness() {
#ifdef __linux__
    const std::uint32_t wanted = SECCOMP_RET_USER_NOTIF;
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &wanted) == 0) return true;
#endif
    skip("no seccomp_unotify(2) here");
    return false;
}
