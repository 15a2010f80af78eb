// Catch2 version 2 wants its main compiled once; version 3 brings one in its library.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#endif
#include "tests/catch.hpp"
#include "tests/support/npm.hpp"

#include <cstdlib>
#include <fstream>
#include <string>

namespace {

#if __has_include(<catch2/catch_all.hpp>)
using ListenerBase = Catch::EventListenerBase;
#else
using ListenerBase = Catch::TestEventListenerBase;
#endif

[[maybe_unused]] const std::string& name_of(const Catch::TestCaseInfo& info) { return info.name; }
[[maybe_unused]] const std::string& name_of(const Catch::TestCaseInfo* info) { return info->name; }  // version 3

/// Appends the name of each test that failed to the file that TWO_TERMINALS_FAILED names: make test-again runs those.
/// And ends the browser that tests of pages have shared.
struct Listener : ListenerBase {
    using ListenerBase::ListenerBase;

    void testCaseEnded(const Catch::TestCaseStats& stats) override {
        const char* path = std::getenv("TWO_TERMINALS_FAILED");
        if (path == nullptr || stats.totals.assertions.allOk()) return;
        std::string name = name_of(stats.testInfo);
        // A comma would end it where it is given to Catch2.
        for (std::size_t at = 0; (at = name.find(',', at)) != std::string::npos; at += 2)
            name.insert(at, 1, '\\');
        std::ofstream(path, std::ios::app) << name << '\n';
    }

    void testRunEnded(const Catch::TestRunStats&) override { PageTest::end_browser(); }
};

CATCH_REGISTER_LISTENER(Listener)

}  // namespace
