#include "common/socket_path.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <fmt/core.h>

#include <csignal>
#include <cstdlib>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

/// What private_socket_path("name") returns, or "refused: " and why, for somebody with this XDG_RUNTIME_DIR.
std::string path_with(const std::string& runtime_directory, mode_t mask = 022) {
    Process child(
        [] {
            try {
                fmt::print("{}", private_socket_path("name"));
            } catch (const std::runtime_error& error) {
                fmt::print("refused: {}", error.what());
            }
        },
        {.environment = {"XDG_RUNTIME_DIR=" + runtime_directory}, .umask = mask});
    child.expect_exit(0);
    return child.out();
}

mode_t mode_of(const std::string& path) {
    struct stat status {};
    REQUIRE(lstat(path.c_str(), &status) == 0);
    return status.st_mode & 07777U;
}

bool exists(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0;
}

}  // namespace

TEST_CASE("socket path: in XDG_RUNTIME_DIR, in a directory that only its owner can enter", "[unit][socket_path]") {
    const TempDir runtime;
    const std::string directory = runtime / "two-terminals";
    for (const mode_t mask : {mode_t{0}, mode_t{022}, mode_t{077}}) {
        INFO("umask " << mask);
        CHECK(path_with(runtime.path(), mask) == directory + "/name");
        CHECK(mode_of(directory) == 0700);
        CHECK(path_with(runtime.path(), mask) == directory + "/name");  // it is there now
        rmdir(directory.c_str());
    }
}

TEST_CASE("socket path: a directory that others can enter is refused", "[unit][socket_path]") {
    const TempDir runtime;
    const std::string directory = runtime / "two-terminals";
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    for (const int mode : {0701, 0710, 0704, 0740, 0702, 0755, 0777}) {
        INFO(fmt::format("{:o}", mode));
        REQUIRE(chmod(directory.c_str(), static_cast<mode_t>(mode)) == 0);
        CHECK_THAT(path_with(runtime.path()),
                   StartsWith("refused: " + directory + " is not a directory that only you can enter"));
    }
}

TEST_CASE("socket path: a link, or what is no directory, is refused", "[unit][socket_path]") {
    const TempDir runtime, elsewhere;
    const std::string directory = runtime / "two-terminals";
    SECTION("a link to a directory that would do") {
        REQUIRE(symlink(elsewhere.path().c_str(), directory.c_str()) == 0);
    }
    SECTION("a file that only its owner can use") {
        write_file(directory, "");
        REQUIRE(chmod(directory.c_str(), 0600) == 0);
    }
    CHECK_THAT(path_with(runtime.path()), StartsWith("refused: " + directory + " is not a directory"));
}

TEST_CASE("socket path: somebody else's directory is refused", "[unit][socket_path]") {
    if (geteuid() != 0) return skip("only root can give a directory away");
    const TempDir runtime;
    const std::string directory = runtime / "two-terminals";
    REQUIRE(mkdir(directory.c_str(), 0700) == 0);
    REQUIRE(chown(directory.c_str(), 12345, 12345) == 0);
    CHECK_THAT(path_with(runtime.path()), StartsWith("refused: " + directory + " is not a directory"));
}

TEST_CASE("socket path: a runtime directory that isn't there", "[unit][socket_path]") {
    CHECK_THAT(path_with("/no/such"), StartsWith("refused: cannot make /no/such/two-terminals: No such file"));
}

TEST_CASE("socket path: in /tmp, by the user's number, where XDG_RUNTIME_DIR says nothing of use",
          "[unit][socket_path]") {
    // A relative one is to be ignored, says the specification (XDG Base Directory Specification).
    const std::string directory = fmt::format("/tmp/two-terminals-{}", getuid());
    for (const char* runtime : {"", "relative/path"}) {
        INFO(runtime);
        CHECK(path_with(runtime) == directory + "/name");
        CHECK(mode_of(directory) == 0700);
    }
}

TEST_CASE("socket path: unix_address()", "[unit][socket_path]") {
    const Address address = unix_address("/tmp/x");
    CHECK(address.family() == AF_UNIX);
    CHECK(address.text() == "/tmp/x");
    const std::string most(sizeof(sockaddr_un::sun_path) - 1, 'x');
    CHECK(unix_address(most).text() == most);
    CHECK_THROWS_AS(unix_address(most + "x"), UsageError);
    CHECK_THROWS_AS(unix_address(""), UsageError);
    CHECK_THROWS_WITH(unix_address(most + "x"),
                      fmt::format("--path: a path of {} bytes, expected 1 to {}", most.size() + 1, most.size()));
}

TEST_CASE("socket path: remove_at_exit() removes the file when the process ends", "[unit][socket_path]") {
    const TempDir directory;
    const std::string path = directory / "socket";
    SECTION("by exit()") {
        Process child([&] {
            const Peer socket = Peer::bound_to_path(path);
            remove_at_exit(path);
            std::exit(3);
        });
        child.expect_exit(3);
        CHECK_FALSE(exists(path));
    }
    SECTION("not what another has put in its place") {
        Process child([&] {
            const Peer socket = Peer::bound_to_path(path);
            remove_at_exit(path);
            // As long as the old file is open somewhere, no new one gets its number.
            link(path.c_str(), (path + "-old").c_str());
            unlink(path.c_str());
            const Peer other = Peer::bound_to_path(path);
            std::exit(0);
        });
        child.expect_exit(0);
        CHECK(exists(path));
    }
    SECTION("not when a forked child ends") {
        Process child([&] {
            const Peer socket = Peer::bound_to_path(path);
            remove_at_exit(path);
            if (fork() == 0) std::exit(0);
            wait(nullptr);
            fmt::print("{}", exists(path));
            std::exit(0);
        });
        child.expect_exit(0);
        CHECK(child.out() == "true");
        CHECK_FALSE(exists(path));
    }
    SECTION("not what was never there") {
        Process child([&] {
            remove_at_exit(path);
            write_file(path, "somebody else's");
            std::exit(0);
        });
        child.expect_exit(0);
        CHECK(exists(path));
    }
}
