// scripts/lecture: each pair is held to its end, by the one key, in a real terminal and a real tmux.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <regex>
#include <unistd.h>

namespace {

const std::string script = "scripts/lecture";

/// Processes that have this folder in their environment, and so were started by what we started.
std::vector<std::string> processes_of(const std::string& folder) {
    std::vector<std::string> found;
#ifdef __linux__
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        const std::string name = entry.path().filename();
        if (name.find_first_not_of("0123456789") != std::string::npos) continue;
        std::ifstream file(entry.path() / "environ", std::ios::binary);
        const std::string environment{std::istreambuf_iterator<char>(file), {}};
        if (environment.find(folder) == std::string::npos) continue;
        std::ifstream words(entry.path() / "cmdline", std::ios::binary);
        const std::string command{std::istreambuf_iterator<char>(words), {}};
        if (!command.empty()) found.push_back(name + " " + command);  // one without is a zombie
    }
#endif
    return found;
}

/// A lecture in a terminal of this size.
class Lecture {
public:
    Lecture(const Process::Command& arguments, unsigned columns, unsigned rows)
        : process_(command(arguments, columns, rows),
                   {.environment = {"TMPDIR=" + folder_.path(), "LC_ALL=C.UTF-8", "TERM=xterm"},
                    .terminal = Terminal::all}) {}

    /// What a pane shows: 0 is the server's, 1 the client's, 2 the one below.
    std::string screen(int pane) const { return tmux({"capture-pane", "-p", "-J", "-t", ":." + std::to_string(pane)}); }

    void wait_for(int pane, const std::string& text) {
        const std::regex wanted(text);
        wait_until([&] { return !process_.is_running() || std::regex_search(screen(pane), wanted); },
                   fmt::format("pane {} to show {}, not:\n{}", pane, text, screen(pane)));
        if (!process_.is_running()) throw Unexpected("ended without " + text + ":\n" + process_.describe());
    }

    void press(const std::string& key, int times = 1) const {
        tmux({"send-keys", "-t", ":.2", "-N", std::to_string(times), key});
    }

    /// Presses the key until the lecture is over. Returns the line that it ends with.
    std::string press_to_the_end() {
        wait_for(2, "Enter: server: ");
        const auto began = std::chrono::steady_clock::now();
        while (process_.is_running()) {
            if (std::chrono::steady_clock::now() - began > 3 * patience)
                throw Unexpected("no end:\n" + screen(0) + screen(1) + screen(2));
            process_.type("\r\r\r\r");  // those that come too early wait
            try {
                process_.wait(Milliseconds(250));
            } catch (const Unexpected&) {  // not yet
            }
        }
        process_.expect_exit(0);
        const std::string all = process_.all(Stream::terminal);  // tmux's last word is to leave its screen
        const size_t left = all.rfind("\033[?1049l");
        return left == std::string::npos ? all : all.substr(left);
    }

    /// Throws if something is left.
    void must_leave_nothing() {
        if (!std::filesystem::is_empty(folder_.path())) throw Unexpected("files are left in " + folder_.path());
        wait_until([&] { return processes_of(folder_.path()).empty(); },
                   fmt::format("processes to end: {}", fmt::join(processes_of(folder_.path()), ", ")));
    }

    Process& process() { return process_; }
    const std::string& folder() const { return folder_.path(); }

    std::string tmux(const Process::Command& arguments) const {
        for (const auto& entry : std::filesystem::directory_iterator(folder_.path())) {
            Process::Command all{"tmux", "-S", entry.path().string() + "/tmux"};
            all.insert(all.end(), arguments.begin(), arguments.end());
            Process client(all);
            client.wait();
            return client.out();
        }
        return "";
    }

private:
    static Process::Command command(const Process::Command& arguments, unsigned columns, unsigned rows) {
        Process::Command all{"sh", "-c", fmt::format("stty cols {} rows {}; exec \"$0\" \"$@\"", columns, rows),
                             script};
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }

    TempDir folder_;
    Process process_;
};

struct Found {
    std::string name, server, client;
};

std::vector<Found> all_pairs() {
    std::vector<Found> all;
    for (const std::string& line : lines_of(run({"scripts/pairs"}))) {
        std::istringstream fields(line);
        Found pair;
        std::getline(fields, pair.name, '\t');
        std::getline(fields, pair.server, '\t');
        std::getline(fields, pair.client);
        all.push_back(pair);
    }
    return all;
}

}  // namespace

TEST_CASE("lecture: one key holds every pair's, and nothing is left", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    std::vector<Task> tasks;
    size_t number = 0;
    for (const Found& pair : all_pairs()) {
        const bool small = ++number % 4 == 0;
        tasks.push_back({pair.name, [pair, small] {
                             Lecture lecture({pair.name}, small ? 80 : 120, small ? 24 : 36);
                             const std::string end = lecture.press_to_the_end();
                             static const std::regex wanted(
                                 "[0-9]+ steps; the server ended with status 0, the client ended with status 0");
                             if (!std::regex_search(end, wanted)) throw Unexpected("not as it should end: " + end);
                             lecture.must_leave_nothing();
                         }});
    }
    CHECK(tasks.size() > 20);
    CHECK(run_in_parallel(tasks) == "");
}

TEST_CASE("lecture: what it shows, on a projector and on a large screen", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    const auto [columns, rows] = GENERATE(std::pair{80U, 24U}, std::pair{120U, 36U});
    INFO(columns << " columns");
    Lecture lecture({"tcp/echo"}, columns, rows);
    lecture.wait_for(2, "step 1, Enter: server: getaddrinfo");
    lecture.press("Enter", 7);
    lecture.wait_for(2, "step 8, Enter: start the client");
    lecture.wait_for(2, "server 3 +LISTEN +(127.0.0.1)?:[0-9]+  waiting 0 of [0-9]+");
    CHECK_THAT(lecture.screen(0), ContainsSubstring("listening on 127.0.0.1:"));
    CHECK(lecture.tmux({"list-panes", "-F", "#{@name}"}) ==
          "server: tcp/echo_server --port 0 --step\n"
          "client: is started when the server listens\n"
          "the kernel's view\n");
    lecture.press("Enter", 4);  // up to connect()
    lecture.wait_for(2, "step 12, Enter: client: poll");
    // Both ends of the connection, each with its queues: the whole line is there.
    lecture.wait_for(2, "server 4 +ESTAB .*<-> .*  unread 0  unsent 0");
    lecture.wait_for(2, "client 3 +ESTAB .*<-> .*  unread 0  unsent 0");
    lecture.wait_for(1, "connect\\(connection");
    for (const std::string& line : lines_of(lecture.screen(2)))
        CHECK(line.size() <= columns);
    // Somebody's own words, and the other keys.
    lecture.press("?");
    lecture.wait_for(1, "poll: ");
    lecture.press("Enter");
    lecture.wait_for(2, "server: setsockopt");
    lecture.press("m");
    lecture.press("e");
    lecture.wait_for(2, "> me");
    lecture.press("Enter");
    lecture.wait_for(1, "me\\n");
    lecture.wait_for(2, "client: read");
    // A key in a pane above is that program's.
    lecture.tmux({"send-keys", "-t", ":.1", "Enter"});
    lecture.wait_for(2, "client: poll");
    lecture.press("C-c");
    lecture.process().expect_exit(0);
    lecture.must_leave_nothing();
}

TEST_CASE("lecture: the diagram at the end", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    const std::string pair = GENERATE("tcp/echo", "unix/echo");
    INFO(pair);
    Lecture lecture({pair, "--wire"}, 120, 36);
    const std::string end = lecture.press_to_the_end();
    CHECK_THAT(end, ContainsSubstring("server") && ContainsSubstring("client"));
    CHECK_THAT(end, ContainsSubstring("accept(listener"));
    CHECK_THAT(end, ContainsSubstring(" = 6"));  // "hello\n"
    const bool captured = end.find("Nothing could be captured") == std::string::npos;
    if (pair == "tcp/echo" && captured) {
        // SYN is sent by connect(), not before Enter was pressed.
        const size_t syn = end.find("SYN seq 0"), call = end.find("connect(connection");
        REQUIRE(syn != std::string::npos);
        CHECK(call < syn);
    }
    lecture.must_leave_nothing();
}

TEST_CASE("lecture: under gdb both stop at their first socket call", "[programs][lecture]") {
    if (!has_tool("tmux") || !has_tool("gdb")) return;
    Lecture lecture({"tcp/echo", "--gdb"}, 120, 36);
    for (const auto& [pane, place] :
         {std::pair{0, "tcp/echo_server.cpp:[0-9]+"}, std::pair{1, "tcp/echo_client.cpp:[0-9]+"}}) {
        lecture.wait_for(pane, "Temporary breakpoint 1, .*socket");
        lecture.wait_for(pane, place);
        lecture.wait_for(pane, "CALL\\(socket\\(");
        lecture.wait_for(pane, "\\(gdb\\) *\n");
    }
    lecture.press("C-c");
    lecture.process().expect_exit(0);
    lecture.must_leave_nothing();
}

TEST_CASE("lecture: ended by a signal it leaves nothing, too", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    const int number = GENERATE(SIGTERM, SIGHUP);
    Lecture lecture({"unix/echo"}, 80, 24);
    lecture.wait_for(2, "step 1, ");
    lecture.press("Enter", 4);
    lecture.wait_for(0, "listening on");
    lecture.process().signal(number);
    CHECK(lecture.process().wait() == Ending{-1, number});
    lecture.must_leave_nothing();
}

TEST_CASE("lecture: killed, its processes end all the same", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    std::string folder;
    {
        Lecture lecture({"unix/echo"}, 80, 24);
        lecture.wait_for(2, "step 1, ");
        folder = lecture.folder();
        lecture.process().signal(SIGKILL);
        CHECK(lecture.process().wait() == Ending{-1, SIGKILL});
    }  // and its folder is gone
    wait_until([&] { return processes_of(folder).empty(); }, "the processes to end");
}

TEST_CASE("lecture: without tmux it says what to do by hand", "[programs][lecture]") {
    const TempDir path;
    for (const char* tool : {"sh", "dirname", "uname"})
        std::filesystem::create_symlink(find_tool(tool), path / tool);
    const std::string pair = GENERATE("tcp/echo", "tcp/http");
    Process process({"/bin/sh", script, pair}, {.environment = {"PATH=" + path.path()}});
    process.expect_exit(1);
    CHECK(lines_of(process.err()).size() == 1);
    CHECK_THAT(process.err(), ContainsSubstring("tmux") && ContainsSubstring("sh scripts/setup"));
    CHECK_THAT(process.out(), ContainsSubstring("    build/" + pair + "_server --step\n    build/" + pair + "_client"));
    CHECK(process.out().find('{') == std::string::npos);
}

TEST_CASE("lecture: used wrongly it says so in a line", "[programs][lecture]") {
    for (const Process::Command& arguments :
         std::vector<Process::Command>{{"tcp/nothing"}, {}, {"tcp/echo", "more"}, {"tcp/echo", "--nonsense"}}) {
        Process::Command all{script};
        all.insert(all.end(), arguments.begin(), arguments.end());
        Process process(all);
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
    }
    CHECK_THAT(run({script, "--help"}), ContainsSubstring("--wire") && ContainsSubstring("--gdb"));
    Process blind({script, "tcp/echo"});
    blind.expect_exit(1);
    CHECK(lines_of(blind.err()).size() == 1);
}

TEST_CASE("editors: what their files name is there", "[programs][lecture]") {
    using Json = nlohmann::json;
    for (const char* name : {"extensions", "launch", "settings", "tasks"})
        CHECK(Json::parse(read_file(fmt::format(".vscode/{}.json", name))).is_object());
    const Json launch = Json::parse(read_file(".vscode/launch.json"));
    const Json tasks = Json::parse(read_file(".vscode/tasks.json"));
    std::vector<std::string> known, labels;
    for (const Json& task : tasks["tasks"])
        labels.push_back(task["label"]);
    const auto has = [](const std::vector<std::string>& all, const std::string& one) {
        return std::find(all.begin(), all.end(), one) != all.end();
    };
    const std::string folder = "${workspaceFolder}/build/";
    for (const Json& one : launch["configurations"]) {
        known.push_back(one["name"]);
        INFO(known.back());
        CHECK(has(labels, one["preLaunchTask"]));
        const std::string path = one["program"];
        REQUIRE(path.starts_with(folder));
        if (path.find('$', 1) == std::string::npos)
            CHECK(access(program(path.substr(folder.size())).c_str(), X_OK) == 0);
    }
    CHECK(launch["compounds"].size() == 4);  // a pair of each chapter
    for (const Json& one : launch["compounds"]) {
        CHECK(has(labels, one["preLaunchTask"]));
        CHECK(one["configurations"].size() == 2);
        for (const std::string name : one["configurations"])
            CHECK(has(known, name));
    }
    const Json container = Json::parse(read_file(".devcontainer/devcontainer.json"));
    CHECK(access((".devcontainer/" + std::string(container["build"]["dockerfile"])).c_str(), R_OK) == 0);
    CHECK(container["onCreateCommand"] == "sh scripts/setup --dev && make");
}

TEST_CASE("editors: clangd knows how every source is compiled", "[programs][lecture]") {
    if (access("compile_commands.json", R_OK) != 0) return skip("compile_commands.json is made by make, into build/");
    std::vector<std::string> files;
    for (const nlohmann::json& one : nlohmann::json::parse(read_file("compile_commands.json")))
        files.push_back(one["file"]);
#ifdef __linux__  // elsewhere the Makefile leaves out more
    for (const char* folder : {"common", "scripts", "tcp", "udp", "unix", "websocket", "tests"}) {
        for (const auto& entry : std::filesystem::recursive_directory_iterator(folder)) {
            const std::string path = entry.path().string();
            const bool foreign = path.find("/kqueue_") != std::string::npos;
            if (entry.path().extension() != ".cpp" || foreign) continue;
            INFO(path);
            CHECK(std::find(files.begin(), files.end(), path) != files.end());
        }
    }
#endif
    if (!has_tool("clangd")) return;
    std::vector<Task> tasks;
    for (const char* file : {"tcp/echo_server.cpp", "tests/programs/lecture_test.cpp"})
        tasks.push_back({file, [file] {
                             Process clangd({"clangd", std::string("--check=") + file}, {});
                             clangd.wait(3 * patience);
                             for (const std::string& line : lines_with(clangd.err(), "E["))
                                 if (line.find("_not_found") != std::string::npos ||
                                     line.find("error") != std::string::npos)
                                     throw Unexpected(line);
                         }});
    CHECK(run_in_parallel(tasks) == "");
}
