#include "tests/support/npm.hpp"

#include "tests/support/skip.hpp"

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <filesystem>
#include <sys/file.h>
#include <unistd.h>

namespace fs = std::filesystem;

std::string find_chromium() {
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
        if (std::string path = find_tool(name); !path.empty()) return path;
    skip("chromium is not installed (sh scripts/setup --dev)");
    return "";
}

std::optional<Surroundings> npm_packages() {
    if (!has_tool("node") || !has_tool("npm")) return {};
    const std::string directory = program("interop");
    const std::string lock = read_file("tests/interop/package-lock.json");
    const std::string installed = directory + "/package-lock.json";
    // Parts of the tests run at the same time: one of them installs, and the others wait for it.
    const int turn = open((directory + ".lock").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    if (turn == -1 || flock(turn, LOCK_EX) == -1) throw Unexpected("can't lock " + directory + ".lock");
    std::string problem;
    if (!fs::exists(installed) || read_file(installed) != lock) {
        fs::remove_all(directory);
        fs::create_directories(directory);
        fs::copy("tests/interop/package.json", directory);
        Process npm({"npm", "ci", "--prefix", directory, "--no-audit", "--no-fund", "--ignore-scripts",
                     "--prefer-offline", "--fetch-retries=1"});
        fs::copy("tests/interop/package-lock.json", installed);
        if (npm.wait(Milliseconds(120'000)).status != 0) {
            fs::remove(installed);
            problem = npm.err();
        }
    }
    close(turn);
    if (!problem.empty()) {
        skip("npm can't install the tests' packages: " + problem);
        return {};
    }
    return Surroundings{.environment = {"NODE_PATH=" + fs::absolute(directory).string() + "/node_modules"}};
}

// ---- Pages

bool can_test_pages() { return npm_packages() && !find_chromium().empty(); }

std::unique_ptr<Process>& PageTest::browser() {
    static std::unique_ptr<Process> shared;
    return shared;
}

PageTest::PageTest(const std::string& script, const Process::Command& arguments) {
    const auto packages = npm_packages();
    if (!packages) throw Unexpected("no packages for " + script);
    if (!browser() || !browser()->is_running())
        browser() =
            std::make_unique<Process>(Process::Command{"node", "tests/interop/pages.mjs", find_chromium()}, *packages);
    nlohmann::json line{script, program("screenshots")};
    for (const std::string& argument : arguments)
        line.push_back(argument);
    process().feed(line.dump() + "\n");
}

PageTest::~PageTest() {
    if (!finished_) browser().reset();
}

std::string PageTest::finish(Milliseconds limit) {
    std::string printed = process().expect(Stream::out, "done\n", limit);
    finished_ = true;
    return printed;
}

void PageTest::end_browser() {
    if (!browser()) return;
    if (browser()->is_running()) {
        browser()->close_input();
        browser()->wait();
    }
    browser().reset();
}
