// scripts/exercise as a student uses it, in a terminal. All of it happens in a copy of the tree, whose exercises and
// progress are its own; what is built already is copied, too.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <csignal>
#include <filesystem>

#include <fmt/core.h>
#include <nlohmann/json.hpp>

namespace {

namespace fs = std::filesystem;

constexpr const char* copying = R"(set -e
cd "$1"
for part in Makefile common udp unix websocket tests scripts; do ln -s "$2/$part" .; done
mkdir -p tcp build/tests build/objects/tcp build/objects/tests build/objects/websocket
cp -rp "$2/tcp/exercises" tcp/
cp -rp "$3/flags" "$3"/*.a build/
cp -rp "$3/objects/common" build/objects/
cp -rp "$3/objects/tcp/exercises" build/objects/tcp/
cp -rp "$3/objects/tests/support" "$3/objects/tests/exercises" build/objects/tests/
cp -rp "$3/objects/websocket/protocol" build/objects/websocket/
cp -p "$3/tests/exercise" build/tests/
git init -q . && git add tcp && git -c user.name=student -c user.email=student@localhost commit -qm 'as it came')";

/// A tree of a student's own.
class Copy {
public:
    Copy() {
        const std::string mark = program("tests/exercise"), build = mark.substr(0, mark.rfind("/tests"));
        run({"sh", "-c", copying, "sh", folder_.path(), fs::current_path(), fs::absolute(build)});
        // make is to build with the compiler and flags that all here was built with.
        const std::string flags = read_file(build + "/flags");
        compiler_ = flags.substr(0, flags.find(" -std="));
        const auto flag = [&](const char* name, const char* begin, const std::string& value) {
            const std::size_t at = flags.find(begin);
            if (at == std::string::npos) return;
            const std::size_t from = at + std::string(begin).size();
            variables_ += std::string(" ") + name + "=" +
                          (value.empty() ? flags.substr(from, flags.find_first_of(" \n", from) - from) : value);
        };
        flag("SANITIZE", "-fsanitize=", "");
        flag("OPTIMIZE", "-O2", "1");
        flag("CI", "-Werror ", "1");
    }

    std::string operator/(const std::string& file) const { return folder_ / file; }

    Surroundings surroundings(Terminal terminal, const std::string& language = "C.UTF-8",
                              const std::string& from = "") const {
        return {.environment = {"TWO_TERMINALS_BUILD=build", "CXX=" + compiler_, "CI=", "MAKEFLAGS=" + variables_,
                                "MAKELEVEL=1", "LANG=" + language, "LC_ALL=" + language},
                .directory = from.empty() ? folder_.path() : from,
                .terminal = terminal};
    }

    /// Runs it in a terminal to its end with this status; keys are typed at once. Returns what the student sees.
    std::string type(const Process::Command& arguments, int status, const std::string& keys = "",
                     const std::string& language = "C.UTF-8", const std::string& from = "") const {
        Process::Command command{folder_ / "scripts/exercise"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process exercise(command, surroundings(Terminal::all, language, from));
        exercise.type(keys);
        exercise.expect_exit(status, 4 * patience);  // it may have to compile
        std::string seen = exercise.all(Stream::terminal);
        seen.erase(std::remove(seen.begin(), seen.end(), '\r'), seen.end());
        return seen;
    }

private:
    TempDir folder_;
    std::string compiler_, variables_ = "";
};

const std::string file = "tcp/exercises/bind_again.cpp";
const std::string solution = "tcp/exercises/solutions/bind_again.cpp";

/// Two terminals of a student's own, in a tmux that belongs to nobody else: 0 and 1, 80 columns wide.
class Terminals {
public:
    explicit Terminals(const Copy& copy) : Terminals(copy.surroundings(Terminal::none)) {
        const std::string shell = "ENV= PS1='$ ' exec sh -i";
        tmux({"new-session", "-d", "-x", "80", "-y", "50", shell});
        tmux({"new-window", "-d", shell});
        for (const int window : {0, 1})
            wait_for(window, "$ ");
    }
    ~Terminals() {
        try {
            tmux({"kill-server"});
        } catch (const std::exception& error) {
            fmt::print(stderr, "{}\n", error.what());
        }
    }
    Terminals(const Terminals&) = delete;
    Terminals& operator=(const Terminals&) = delete;

    /// All that a terminal shows or has shown since the last line that was typed; `joined`: as it was printed, without
    /// the line ends that the terminal made.
    std::string screen(int window, bool joined = true) const {
        return tmux({"capture-pane", "-p", joined ? "-J" : "-N", "-S", "-", "-t", target(window)});
    }

    /// Types a line, on an empty screen.
    void type(int window, const std::string& line) const {
        tmux({"send-keys", "-R", "-t", target(window)});
        tmux({"clear-history", "-t", target(window)});
        tmux({"send-keys", "-l", "-t", target(window), line});
        press(window, "Enter");
    }
    void press(int window, const std::string& key) const { tmux({"send-keys", "-t", target(window), key}); }

    /// Waits until the terminal shows this; returns all that it shows.
    std::string wait_for(int window, const std::string& text) const {
        std::string seen;
        try {
            wait_until([&] { return (seen = screen(window)).find(text) != std::string::npos; }, text, 4 * patience);
        } catch (const Unexpected&) {
            throw Unexpected(fmt::format("terminal {} does not show {}, but:\n{}", window, text, seen));
        }
        return seen;
    }

private:
    explicit Terminals(Surroundings surroundings) : surroundings_(std::move(surroundings)) {}

    std::string socket() const { return folder_ / "tmux"; }
    static std::string target(int window) { return fmt::format(":{}", window); }

    std::string tmux(const Process::Command& arguments) const {
        Process::Command all{"tmux", "-S", socket(), "-f", "/dev/null"};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return run(all, "", 0, surroundings_);
    }

    TempDir folder_;
    Surroundings surroundings_;
};

/// As if these were solved already, before.
void solve_all_but(const Copy& copy, const std::vector<std::string>& open) {
    auto progress = nlohmann::json::object();
    for (const auto& one : nlohmann::json::parse(copy.type({"list", "--json"}, 0))) {
        const std::string name = one["name"];
        if (std::find(open.begin(), open.end(), name) == open.end())
            progress[std::string(one["chapter"]) + "/" + name] = {{"solved", true}};
    }
    fs::create_directories(copy / "build/exercises");
    write_file(copy / "build/exercises/progress.json", progress.dump());
}

}  // namespace

TEST_CASE("exercise: a student fails, asks, gives up, solves and begins anew", "[exercises]") {
    if (!has_tool("git")) return;
    const Copy copy;
    const std::string skeleton = read_file(copy / file);

    const std::string list = copy.type({}, 0);
    CHECK_THAT(list, ContainsSubstring("tcp\n  [ ] send_loop ") && ContainsSubstring("  [ ] bind_again ") &&
                         ContainsSubstring("repair: read exactly so many bytes") && ContainsSubstring("] 0/") &&
                         ContainsSubstring("Next: tcp/send_loop. Open tcp/exercises/send_loop.cpp, and run: "
                                           "scripts/exercise send_loop\n"));

    // It fails, and says at which step, what the program said, what that means, and how to see it by hand.
    const std::string failed = copy.type({"bind_again"}, 1);
    CHECK_THAT(failed, ContainsSubstring("tcp/bind_again: not yet.\n") &&
                           ContainsSubstring("   1. The server starts") &&
                           ContainsSubstring("This step did not end as it should.") &&
                           ContainsSubstring("expected  listening on 127.0.0.1:") && ContainsSubstring("^ the first") &&
                           ContainsSubstring("    | tcp/exercises/bind_again.cpp:") &&
                           ContainsSubstring("What that usually means: ") && ContainsSubstring("SO_REUSEADDR") &&
                           ContainsSubstring("  By hand:\n    build/tcp/exercises/bind_again & ") &&
                           ContainsSubstring("A hint: scripts/exercise hint bind_again\n"));

    // Each hint says a little more; after the third there is none.
    const std::string more = "(There are more: ask again.)\n";
    for (const std::size_t shown : {1U, 2U, 3U, 3U}) {
        const std::string hints = copy.type({"hint", "bind_again"}, 0);
        for (std::size_t number = 1; number <= 3; ++number)
            CHECK((("\n" + hints).find(fmt::format("\n{}. ", number)) != std::string::npos) == (number <= shown));
        CHECK((hints.find(more) != std::string::npos) == (shown < 3));
    }
    CHECK_THAT(copy.type({"solution", "bind_again"}, 1), ContainsSubstring("after three tries (so far: 1)"));

    // It does not compile: the first error, with its line. The old program is not graded in its place.
    write_file(copy / file, skeleton + "this is no program\n");
    const std::string broken = copy.type({"bind_again"}, 1);
    CHECK_THAT(broken, ContainsSubstring("It does not compile. The first error:\n  " + file + ":" +
                                         std::to_string(lines_of(skeleton).size() + 1) + ":"));
    CHECK(broken.find("not yet") == std::string::npos);
    CHECK(lines_with(copy.type({"bind_again"}, 1), "error").size() <= 3);

    // After three tries the solution is shown, to who says so.
    const std::string question = "Not one more try? Show the solution? [y/N] ";
    const std::string kept_back = copy.type({"solution", "bind_again"}, 1, "n\n");
    CHECK_THAT(kept_back, ContainsSubstring(question));
    CHECK(kept_back.find("SO_REUSEADDR") == std::string::npos);
    CHECK_THAT(copy.type({"solution", "bind_again"}, 0, "y\n"),
               ContainsSubstring(question) && ContainsSubstring(solution + ":\n\n" + read_file(solution)));

    // Solved: the next one is named, and it is remembered.
    const std::string solved = read_file(copy / solution);
    write_file(copy / file, solved);
    CHECK_THAT(copy.type({"tcp/bind_again"}, 0),
               ContainsSubstring("tcp/bind_again: solved.\n") && ContainsSubstring("Next: tcp/send_loop."));
    CHECK_THAT(copy.type({"list"}, 0), ContainsSubstring("  [x] bind_again ") && ContainsSubstring("] 1/"));
    CHECK_THAT(copy.type({"solution", "bind_again"}, 0), !ContainsSubstring(question));

    // For programs, and from another folder.
    const auto all = nlohmann::json::parse(
        run({copy / "scripts/exercise", "list", "--json"}, "", 0, copy.surroundings(Terminal::none, "C.UTF-8", "/")));
    const auto one =
        std::find_if(all.begin(), all.end(), [](const auto& entry) { return entry["name"] == "bind_again"; });
    REQUIRE(one != all.end());
    CHECK(*one == nlohmann::json{{"chapter", "tcp"},
                                 {"name", "bind_again"},
                                 {"kind", "complete"},
                                 {"file", file},
                                 {"solved", true},
                                 {"tries", 3},
                                 {"hints", 3}});
    CHECK_THAT(copy.type({"bind_again"}, 0, "", "C.UTF-8", "/"), ContainsSubstring("tcp/bind_again: solved.\n"));

    // Begun anew: what was written is kept.
    const std::string reset = copy.type({"reset", "bind_again"}, 0), place = "Your attempt is kept in ";
    CHECK_THAT(reset, ContainsSubstring(file + " is as it was. " + place));
    CHECK(read_file(copy / file) == skeleton);
    const std::size_t at = reset.find(place) + place.size();
    CHECK(read_file(copy / reset.substr(at, reset.find(".cpp", at) + 4 - at)) == solved);
    CHECK_THAT(copy.type({"list"}, 0), ContainsSubstring("  [ ] bind_again "));

    // In Korean, and used wrongly.
    CHECK(has_hangul(copy.type({"bind_again"}, 1, "", "ko_KR.UTF-8")));
    CHECK_THAT(copy.type({"bind_againn"}, 2), ContainsSubstring("bind_againn: expected the name of an exercise"));
    CHECK(lines_of(copy.type({"--wach"}, 2)).size() == 1);
}

TEST_CASE("exercise: --watch grades whenever the file is saved, and moves on by Enter", "[exercises]") {
    if (!has_tool("git")) return;
    const Copy copy;
    Process watch({copy / "scripts/exercise", "--watch", "bind_again"}, copy.surroundings(Terminal::all));
    watch.expect(Stream::terminal, "---- " + file + "\r\n", 4 * patience);
    watch.expect(Stream::terminal, "tcp/bind_again: not yet.", 4 * patience);
    watch.expect(Stream::terminal, "Waiting until you save " + file + ".");
    watch.type("\n");  // does nothing as long as it is not solved

    // An editor may put a new file in the place of the old one.
    write_file(copy / (file + ".new"), read_file(solution));
    fs::rename(copy / (file + ".new"), copy / file);
    const std::string graded = watch.expect(Stream::terminal, "tcp/bind_again: solved.", 4 * patience);
    CHECK(count_of(graded, "---- " + file) == 1);
    watch.expect(Stream::terminal, "Enter: the next one.");
    watch.type("\n");
    watch.expect(Stream::terminal, "---- tcp/exercises/send_loop.cpp\r\n");
    watch.type("\x03");
    CHECK(watch.wait().signal == SIGINT);
}

TEST_CASE("exercise: in tmux a student fails, asks, repairs, goes on and finishes", "[exercises]") {
    if (!has_tool("git") || !has_tool("tmux")) return;
    const Copy copy;
    solve_all_but(copy, {"bind_again", "broken_pipe"});
    const Terminals terminals(copy);

    terminals.type(0, "scripts/exercise");
    terminals.wait_for(0, "Next: tcp/bind_again.");
    terminals.type(0, "scripts/exercise bind_again");
    terminals.wait_for(0, "A hint: scripts/exercise hint bind_again");
    CHECK_THAT(terminals.screen(0), ContainsSubstring("tcp/bind_again: not yet."));
    // What it means is told in lines that the terminal does not have to break, in Korean just as well.
    const auto meaning = [&](const std::string& begin, bool joined) {
        const std::string seen = terminals.screen(0, joined);
        const std::size_t at = seen.find("  " + begin);
        return at == std::string::npos ? "(no meaning)" : seen.substr(at, seen.find("\n\n", at) - at);
    };
    const std::string english = "What that usually means: ", korean = "이것은 보통 이런 뜻입니다: ";
    CHECK_THAT(meaning(english, true), ContainsSubstring("SO_REUSEADDR"));
    CHECK(meaning(english, true) == meaning(english, false));
    terminals.type(0, "LC_ALL=ko_KR.UTF-8 scripts/exercise bind_again");
    terminals.wait_for(0, "힌트: scripts/exercise hint bind_again");
    CHECK_THAT(meaning(korean, true), ContainsSubstring("SO_REUSEADDR"));
    CHECK(meaning(korean, true) == meaning(korean, false));

    terminals.type(0, "scripts/exercise hint bind_again");
    terminals.wait_for(0, "(There are more: ask again.)");
    // Now one terminal watches, and in the other one the file is edited.
    terminals.type(0, "scripts/exercise --watch bind_again");
    terminals.wait_for(0, "Waiting until you save " + file);
    terminals.type(
        1, "sed 's/.* TO DO: .*/int on = 1; setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, \\&on, sizeof on);/' " +
               file + " >edited && mv edited " + file);
    terminals.wait_for(0, "tcp/bind_again: solved.");
    terminals.wait_for(0, "Enter: the next one.");
    terminals.press(0, "Enter");
    terminals.wait_for(0, "Waiting until you save tcp/exercises/broken_pipe.cpp");
    terminals.type(1, "cp tcp/exercises/solutions/broken_pipe.cpp tcp/exercises/");
    terminals.wait_for(0, "tcp/broken_pipe: solved.");
    terminals.wait_for(0, "Enter: the next one.");
    terminals.press(0, "Enter");
    terminals.wait_for(0, "All of them are solved.");
    // It has ended, and the shell is there again.
    terminals.type(0, "scripts/exercise list");
    CHECK_THAT(terminals.wait_for(0, "All of them are solved."),
               ContainsSubstring(std::string(40, '#')) && !ContainsSubstring("[ ]"));
}
