// scripts/lecture: each pair is held to its end, by the one key, in a real terminal and a real tmux.

#include "scripts/wire_layout.hpp"
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
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <unistd.h>

namespace {

const std::string script = "scripts/lecture";

/// Processes that have this folder in their environment, and so were started by what we started.
std::vector<std::string> processes_of([[maybe_unused]] const std::string& folder) {
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

/// Where nobody may make a network: a user namespace that has used up its number of them (user_namespaces(7)).
const Process::Command without_networks{"unshare", "-Ur", "sh", "-c",
                                        R"(echo 0 >/proc/sys/user/max_net_namespaces && exec "$0" "$@")"};

/// A lecture in a terminal of this size.
class Lecture {
public:
    /// before: a command that runs the one that follows it.
    Lecture(const Process::Command& arguments, unsigned columns, unsigned rows, const Process::Command& before = {})
        : has_wire_(std::find(arguments.begin(), arguments.end(), "--wire") != arguments.end()),
          process_(command(arguments, columns, rows, before),
                   {.environment = {"TMPDIR=" + folder_.path(), "LC_ALL=C.UTF-8", "TERM=xterm"},
                    .terminal = Terminal::all}) {}

    /// The number of the pane with the kernel's view. That of the wire is above it, if there is one: 2.
    int panel() const { return has_wire_ ? 3 : 2; }

    /// What a pane shows: 0 is the server's, 1 the client's.
    std::string screen(int pane) const { return tmux({"capture-pane", "-p", "-J", "-t", ":." + std::to_string(pane)}); }

    void wait_for(int pane, const std::string& text) {
        const std::regex wanted(text);
        wait_until([&] { return !process_.is_running() || std::regex_search(screen(pane), wanted); },
                   fmt::format("pane {} to show {}, not:\n{}", pane, text, screen(pane)));
        if (!process_.is_running()) throw Unexpected("ended without " + text + ":\n" + process_.describe());
    }

    void press(const std::string& key, int times = 1) const {
        tmux({"send-keys", "-t", fmt::format(":.{}", panel()), "-N", std::to_string(times), key});
    }

    /// Presses the key until the lecture is over. Returns the line that it ends with.
    std::string press_to_the_end() {
        wait_for(panel(), "Enter: ");
        const auto began = std::chrono::steady_clock::now();
        while (process_.is_running()) {
            if (std::chrono::steady_clock::now() - began > 3 * patience)
                throw Unexpected("no end:\n" + screen(0) + screen(1) + screen(panel()));
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
    static Process::Command command(const Process::Command& arguments, unsigned columns, unsigned rows,
                                    const Process::Command& before) {
        Process::Command all{"sh", "-c", fmt::format("stty cols {} rows {}; exec \"$0\" \"$@\"", columns, rows)};
        all.insert(all.end(), before.begin(), before.end());
        all.push_back(script);
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }

    TempDir folder_;
    bool has_wire_;
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
    const auto [columns, rows] = GENERATE(std::pair{80U, 24U}, std::pair{102U, 30U}, std::pair{120U, 36U});
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
    CHECK_THAT(lecture.screen(2), ContainsSubstring("?: explain") && ContainsSubstring("Ctrl-C: end\n"));
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

namespace {

/// Throws unless this holds.
void must(bool holds, const std::string& what) {
    if (!holds) throw Unexpected("not so: " + what);
}

/// A pair of echo's, up to the end of its lecture with --wire.
void watch_diagram_grow(const std::string& pair, unsigned columns, unsigned rows, bool forbidden) {
    Lecture lecture({pair, "--wire"}, columns, rows, forbidden ? without_networks : Process::Command{});
    const int panel = lecture.panel();
    constexpr int wire = 2;
    const auto step = [&] {
        const std::string screen = lecture.screen(panel);
        return screen.substr(0, screen.find('\n'));
    };
    const auto step_to = [&](const std::string& what) {
        for (int pressed = 0; pressed < 60; ++pressed) {
            lecture.wait_for(panel, "Enter: [^(]");  // while both are busy, a key would count for what comes after
            const std::string before = step();
            if (before.find("Enter: " + what) != std::string::npos) return;
            lecture.press("Enter");
            wait_until([&] { return step() != before; }, "what comes after " + before);
        }
        throw Unexpected("never came to " + what);
    };
    const auto shows = [&](const std::string& text) { return lecture.screen(wire).find(text) != std::string::npos; };
    lecture.wait_for(panel, "step 1, Enter: server: ");
    const std::string names = lecture.tmux({"list-panes", "-F", "#{@name}"});
    const bool captured = names.find("\nthe wire\n") != std::string::npos;
    must(captured || names.find("\nwhat travels, as the calls tell it\n") != std::string::npos, names);
    must(!captured || (pair == "tcp/echo" && !forbidden), "there is nothing to be captured");
    const std::string connection = captured ? "SYN seq 0" : "connection";
    step_to("client: connect");
    lecture.wait_for(wire, "accept\\(");
    must(!shows(connection), "nothing was sent yet");
    lecture.press("Enter");
    lecture.wait_for(wire, connection);
    step_to("type \"hello\"");
    must(!shows("hello"), "no bytes were sent yet");
    step_to("client: send");
    lecture.press("Enter");
    lecture.wait_for(wire, captured ? "PSH,ACK.* seq 1 len 6|PSH,ACK 1\\+6" : "6 bytes");
    const bool has_bytes = captured || has_witness();
    if (has_bytes) lecture.wait_for(wire, "\"hello\\\\n\"");
    for (const std::string& line : lines_of(lecture.screen(wire)))
        must(diagram::width_of(line) <= columns, "a line fits: " + line);
    // Back to where it began, and on again.
    lecture.press("PageUp", 20);
    lecture.wait_for(wire, "socket\\(");
    const std::string end = lecture.press_to_the_end();
    must(end.find("accept(listener") != std::string::npos, "the end has all of it: " + end);
    must(!has_bytes || end.find("\"hello\\n\"") != std::string::npos, "the end has the bytes: " + end);
    must((end.find("No network of our own here") != std::string::npos) == (pair != "unix/echo" && !captured),
         "it says what is forbidden: " + end);
    // SYN is sent by connect(), not before Enter was pressed.
    const size_t sent = end.find(connection, end.find("steps;")), call = end.find("connect(connection");
    must(sent != std::string::npos && call < sent, "connect() comes before what it sends: " + end);
    lecture.must_leave_nothing();
}

}  // namespace

TEST_CASE("lecture: the diagram grows while it is stepped", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    std::vector<Task> tasks{
        {"large", [] { watch_diagram_grow("tcp/echo", 120, 36, false); }},
        {"on a projector", [] { watch_diagram_grow("tcp/echo", 80, 24, false); }},
        {"of a Unix pair", [] { watch_diagram_grow("unix/echo", 120, 36, false); }},
    };
    if (has_tool("unshare") && Process({"unshare", "-Ur", "true"}).wait() == Ending{0, 0})
        tasks.push_back({"where networks are forbidden", [] { watch_diagram_grow("tcp/echo", 120, 36, true); }});
    CHECK(run_in_parallel(tasks) == "");
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

TEST_CASE("lecture: when its window is closed it leaves nothing, too", "[programs][lecture]") {
    if (!has_tool("tmux")) return;
    const bool wire = GENERATE(false, true);
    Lecture lecture(wire ? Process::Command{"unix/echo", "--wire"} : Process::Command{"unix/echo"}, 80, 24);
    lecture.wait_for(lecture.panel(), "step 1, ");
    lecture.press("Enter", 4);
    lecture.wait_for(0, "listening on");
    lecture.process().hang_up();
    CHECK(lecture.process().wait() == Ending{-1, SIGHUP});
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
    std::set<std::string> labels;
    const Json tasks = Json::parse(read_file(".vscode/tasks.json"))["tasks"];  // what it is taken from ends here
    for (const Json& task : tasks) {
        CHECK(labels.insert(task["label"]).second);
        std::istringstream words{std::string(task["command"])};
        std::string first, second;
        words >> first >> second;
        INFO(first << ' ' << second);
        CHECK((first == "make" || access(first.c_str(), X_OK) == 0));
        if (first == "make" && second.find_first_not_of("abcdefghijklmnopqrstuvwxyz") == std::string::npos)
            CHECK(Process({"make", "-n", second.empty() ? "programs" : second}).wait() == Ending{0, 0});
    }
    for (const Json& task : tasks)
        if (task.contains("dependsOn")) CHECK(labels.count(task["dependsOn"]) == 1);
    const Json container = Json::parse(read_file(".devcontainer/devcontainer.json"));
    CHECK(access((".devcontainer/" + std::string(container["build"]["dockerfile"])).c_str(), R_OK) == 0);
    CHECK(container["onCreateCommand"] == "sh scripts/setup --dev && make");
    CHECK(container["customizations"]["vscode"]["extensions"] ==
          Json::parse(read_file(".vscode/extensions.json"))["recommendations"]);
}

TEST_CASE("editors: every pair of the tree can be launched", "[programs][lecture]") {
    using Json = nlohmann::json;
    const std::string text = read_file(".vscode/launch.json");
    INFO("run: scripts/launches >.vscode/launch.json");
    CHECK(text == run({"scripts/launches"}));
    const Json launch = Json::parse(text), tasks = Json::parse(read_file(".vscode/tasks.json"));
    std::set<std::string> labels, wanted;
    for (const Json& task : tasks["tasks"])
        labels.insert(task["label"]);
    std::map<std::string, std::string> programs;  // by the name of their configuration
    const std::string folder = "${workspaceFolder}/build/";
    for (const Json& one : launch["configurations"]) {
        const std::string name = one["name"], path = one["program"];
        INFO(name);
        REQUIRE(path.starts_with(folder));
        CHECK(programs.emplace(name, path.substr(folder.size())).second);
        for (const Json& argument : one["args"])
            CHECK(std::string(argument).find('{') == std::string(argument).find("{workspaceFolder}"));
        if (one.contains("preLaunchTask")) CHECK(labels.count(one["preLaunchTask"]) == 1);
        if (path.find('$', 1) != std::string::npos) continue;  // of the file that is open
        const std::string binary = read_file(program(programs[name]));
        CHECK(binary.find(std::string("\0socket\0", 8)) != std::string::npos);  // a symbol where gdb can stop it
    }
    for (const Json& one : launch["compounds"]) {
        const std::string name = one["name"], server = one["configurations"][0], client = one["configurations"][1];
        CHECK(labels.count(one["preLaunchTask"]) == 1);
        CHECK(one["configurations"].size() == 2);
        CHECK(wanted.insert(fmt::format("{} {} {}", name, programs[server], programs[client])).second);
    }
    const std::vector<Found> pairs = all_pairs();
    CHECK(wanted.size() == pairs.size());
    for (const Found& pair : pairs) {
        const auto first = [](const std::string& words) { return words.substr(0, words.find(' ')); };
        CHECK(wanted.count(
                  fmt::format("{}: server and client {} {}", pair.name, first(pair.server), first(pair.client))) == 1);
    }
}

TEST_CASE("editors: gdb does what launch.json tells it, and both stop at their first socket call",
          "[programs][lecture]") {
    if (!has_tool("gdb")) return;
    using Json = nlohmann::json;
    std::vector<Task> tasks;
    const Json launch = Json::parse(read_file(".vscode/launch.json"));
    for (const Json& one : launch["configurations"]) {
        const std::string name = one["name"], path = one["program"];
        if (name.find("/echo: ") == std::string::npos) continue;  // one of each chapter: all are told the same
        for (const Json& other : launch["configurations"])
            CHECK(other["setupCommands"] == one["setupCommands"]);
        tasks.push_back({name, [one, path] {
                             const std::string file = path.substr(std::string("${workspaceFolder}/build/").size());
                             // As the editor's adapter speaks with gdb, by its machine interface.
                             Process gdb({"gdb", "--interpreter=mi", "-nx", "-q", program(file)},
                                         {.environment = {"DEBUGINFOD_URLS="}});
                             gdb.expect(Stream::out, "(gdb)");
                             int number = 0;
                             const auto tell = [&](const std::string& command, const std::string& answer) {
                                 gdb.feed(fmt::format("{}{}\n", ++number, command));
                                 gdb.expect(Stream::out, fmt::format("{}^{}", number, answer));
                             };
                             for (const Json& setup : one["setupCommands"])
                                 tell(fmt::format("-interpreter-exec console \"{}\"", std::string(setup["text"])),
                                      "done");
                             tell("-exec-run", "running");
                             gdb.expect(Stream::out, "*stopped,reason=\"breakpoint-hit\",disp=\"del\"");
                             tell("-stack-list-frames", "done");
                             gdb.expect(Stream::out, "level=\"1\"");
                             gdb.expect(Stream::out, fmt::format("file=\"{}.cpp\"", file));
                             tell("-gdb-exit", "exit");
                             gdb.expect_exit(0);
                         }});
    }
    CHECK(tasks.size() == 8);
    CHECK(run_in_parallel(tasks) == "");
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
    for (const char* file : {"tcp/echo_server.cpp", "tests/main.cpp"})
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
