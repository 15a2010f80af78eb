// Every transcript in a README.md is run again, in terminals, as a reader would; and must still be what a reader sees.
// How the blocks are marked: tests/support/lesson.hpp. LESSON=NAME build/tests/all 'lessons: every*': only those of
// this name, or those of tcp/README.md.

#include "tests/support/lesson.hpp"

#include "common/address.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <regex>
#include <sstream>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr int lesson_port = 7000;

/// The lines on a terminal that runs a program of a block: of one that was drawn anew, the last that was seen.
std::vector<std::string> lines_on(Process& terminal) {
    std::vector<std::string> lines = lines_of(terminal.all(Stream::terminal));
    for (std::string& line : lines) {
        line.erase(line.find_last_not_of('\r') + 1);
        line.erase(0, line.rfind('\r') + 1);
        line = std::regex_replace(line, std::regex("\x1b\\[[0-9;]*[mK]"), "");
    }
    return lines;
}

/// With the reader's own user and group in place of those in the lesson.
std::vector<std::string> shown_to_us(const Block& block) {
    static const std::string user = run({"id", "-un"}), group = run({"id", "-gn"});
    static const std::string name = user.substr(0, user.size() - 1),
                             both = name + " " + group.substr(0, group.size() - 1);
    std::vector<std::string> lines = block.shown;
    if (!block.own_name) return lines;
    for (std::string& line : lines) {
        line = std::regex_replace(line, std::regex("\\bcloudsdk cloudsdk\\b"), both);
        line = std::regex_replace(line, std::regex("\\bcloudsdk\\b"), name);
    }
    return lines;
}

Process::Command words_of(const std::string& command) {
    std::istringstream words(command);
    Process::Command all;
    for (std::string word; words >> word;)
        all.push_back(word);
    return all;
}

bool is_free(int type, int port) {
    const Address address = resolve("127.0.0.1", static_cast<std::uint16_t>(port), type).front();
    const int fd = socket(address.family(), type, 0);
    const bool bound = bind(fd, address.get(), address.length()) == 0;
    close(fd);
    return bound;
}

/// A port that nobody has now. Like 7000 it has four digits: a request that names it is as long as in the lesson.
int four_digit_port() {
    static std::mutex used_by_all_threads;
    const std::lock_guard lock(used_by_all_threads);
    static int next = 7001 + getpid() % 2000;
    do {
        next = next < 9999 ? next + 1 : 7001;
    } while (!is_free(SOCK_STREAM, next) || !is_free(SOCK_DGRAM, next));
    return next;
}

/// Where the blocks of one name are run: in a folder of their own, at a port in place of 7000, or at that in a network
/// of their own.
struct Place {
    TempDir directory;
    int port = lesson_port;
    std::unique_ptr<Network> network;
    std::string first;  ///< a script that is run before a block's commands, unseen
};

/// A block's program.
class Replay {
public:
    Replay(const Block& block, const Place& place)
        : block_(block),
          place_(place),
          expected_(normalized(shown_to_us(block), 0, block.any_numbers, block.any_order, block.as_diagram)),
          process_(command(block, place), {.environment = {"XDG_RUNTIME_DIR=" + place.directory.path(), "NO_COLOR=1",
                                                           "LC_CTYPE=C.UTF-8", "TERM=dumb"},
                                           .terminal = Terminal::all}) {}

    /// Waits until as many lines were printed as stand before this one in the block. What is typed then is echoed by
    /// the terminal at its place.
    void wait_for_lines_before(size_t line) {
        while (line > 0 && wanted()[line - 1].empty())
            --line;  // as yet, it is the last one
        const auto printed = [&] {
            const std::vector<std::string> lines = now().lines;
            return block_.some_lines ? has_in_order(lines, wanted(), std::min(line, wanted().size()))
                                     : lines.size() >= line;
        };
        wait_until([&] { return printed() || !process_.is_running(); }, fmt::format("{} lines", line), patience);
    }

    void type_lines() {
        size_t from = 0;
        for (const std::string& line : block_.typed) {
            const auto begin = expected_.lines.begin() + static_cast<long>(from);
            // The terminal echoes it, or a program that draws it by itself shows it as said by somebody.
            const auto typed = std::find_if(begin, expected_.lines.end(), [&](const std::string& shown) {
                return shown == line || (shown.rfind('<', 0) == 0 && shown.substr(shown.find("> ") + 2) == line);
            });
            if (typed == expected_.lines.end() && last_line() == "> " + line) {
                wait_for_lines_before(expected_.lines.size() - 1);
                process_.type(line);
                wait_until([&] { return now().lines == expected_.lines; }, "the line that is typed", patience);
                return;
            }
            if (typed == expected_.lines.end()) throw Unexpected("the typed line is not in the block: " + line);
            const auto at = static_cast<size_t>(typed - expected_.lines.begin());
            wait_for_lines_before(at);
            process_.type(line + "\n");
            // Its answer is the next line like it.
            const auto answer = std::find(typed + 1, expected_.lines.end(), line);
            from = answer == expected_.lines.end() ? at + 1 : static_cast<size_t>(answer - expected_.lines.begin()) + 1;
            wait_for_lines_before(from);
        }
        if (block_.ends_input) process_.type("\x04");
    }

    /// Lets it come to its end, by Ctrl-C if the block shows that.
    void end() {
        const auto typed = typed_at_prompts(block_);
        if (!typed.empty()) {
            if (block_.kind != Block::Kind::server) type_at_prompts(typed);
            return wait_until_it_is_right();
        }
        bool interrupted = false;
        const std::vector<std::string> lines = wanted();
        for (size_t i = 0; i < lines.size(); ++i) {
            if (!is_interrupted(lines[i])) continue;
            wait_for_lines_before(i);
            // Behind what is still being written, it is that which must be there.
            const std::string before = lines[i].substr(0, lines[i].size() - 2);
            const auto is_there = [&] {
                const std::vector<std::string> all = now().lines;
                return !all.empty() && all.back() == before;
            };
            if (!before.empty()) wait_until(is_there, before, patience);
            process_.type("\x03");
            interrupted = true;
        }
        const bool goes_on = block_.kind == Block::Kind::server || last_line().rfind("> ", 0) == 0;
        if (!goes_on || interrupted) return (void)process_.wait(patience);
        wait_until_it_is_right();
    }

    /// Gives a debugger, say, its commands, each at a prompt.
    void type_at_prompts(const std::vector<std::pair<std::string, std::string>>& typed) {
        for (const auto& [prompt, line] : typed) {
            process_.expect(Stream::terminal, prompt, patience);
            process_.type(here(line, block_, place_) + "\n");
        }
        wait_until_it_is_right();
    }

    /// What goes on may say what it has to say later than others have seen of it.
    void wait_until_it_is_right() {
        const auto is_right = [&] { return difference(expected_, now(), block_.some_lines).empty(); };
        try {
            wait_until([&] { return is_right() || !process_.is_running(); }, "what is shown", patience);
        } catch (const Unexpected&) {  // complaint() tells it better
        }
    }

    void wait_until_it_listens() {
        const auto typed = typed_at_prompts(block_);
        if (!typed.empty()) return type_at_prompts(typed);
        process_.expect_line(Stream::terminal, "listening on ", patience);
    }

    /// "" if the terminal shows what the block does.
    std::string complaint() {
        const std::vector<std::string> lines = lines_on(process_);
        const std::string differences = difference(expected_, now(), block_.some_lines);
        if (differences.empty()) return "";
        std::string text =
            fmt::format("{}: is not what the program prints now (- lesson, + now)\n{}  The terminal shows:\n",
                        block_.place, differences);
        for (const std::string& line : lines)
            text += "    | " + line + "\n";
        return text;
    }

private:
    std::string last_line() const { return expected_.lines.empty() ? "" : expected_.lines.back(); }

    /// The lines that are to be there.
    std::vector<std::string> wanted() const {
        std::vector<std::string> lines = expected_.lines;
        if (block_.some_lines) std::erase(lines, "...");
        return lines;
    }

    Transcript now() {
        std::vector<std::string> lines = lines_on(process_);
        const auto replace = [&](const std::string& ours, const std::string& theirs) {
            for (std::string& line : lines)
                for (size_t at = 0; (at = line.find(ours, at)) != std::string::npos; at += theirs.size())
                    line.replace(at, ours.size(), theirs);
        };
        replace(place_.directory.path() + "/tmp/", "/tmp/");
        replace(program(""), "build/");
        return normalized(lines, place_.port == lesson_port ? 0 : place_.port, block_.any_numbers, block_.any_order,
                          block_.as_diagram);
    }

    static Process::Command command(const Block& block, const Place& place) {
        const Process::Command plain = needs_shell(block) ? script(block, place) : words(block, place);
        return place.network ? place.network->inside(plain) : plain;
    }

    static bool is_command(const std::string& line) { return line.rfind("$ ", 0) == 0; }

    /// Is it where Ctrl-C is typed?
    static bool is_interrupted(const std::string& line) {
        return line.size() >= 2 && line.compare(line.size() - 2, 2, "^C") == 0;
    }

    static bool needs_shell(const Block& block) {
        return block.command.rfind("build/", 0) != 0 || !block.after.empty() || !block.with.empty() ||
               block.command.find_first_of("'\"|<>&;$*\n") != std::string::npos ||
               std::any_of(block.shown.begin(), block.shown.end(), is_command);
    }

    /// What is typed, with our port, our programs and our folder in place of those that are named in it.
    static std::string here(const std::string& line, const Block& block, const Place& place) {
        std::string changed = std::regex_replace(line, std::regex("\\b7000\\b"), std::to_string(place.port));
        // A scene may have changed programs of its own.
        const std::string programs = block.after.empty() ? program("") : "$$programs/";
        changed = std::regex_replace(changed, std::regex("(^|[ (;\n])build/"), "$1" + programs);
        return std::regex_replace(changed, std::regex("/tmp/"), place.directory.path() + "/tmp/");
    }

    /// For the shell.
    static Process::Command script(const Block& block, const Place& place) {
        const auto here = [&](const std::string& line) { return Replay::here(line, block, place); };
        std::string script = "mkdir -p " + place.directory.path() + "/tmp\n";
        // Ctrl-C ends a block's command, and not the shell that is to run the next one: that goes to a new line.
        const auto interrupted = std::find_if(block.shown.begin(), block.shown.end(), is_interrupted);
        if (std::any_of(interrupted, block.shown.end(), is_command)) script += "trap echo INT\n";
        if (!typed_at_prompts(block).empty()) script += "stty columns 110; export PROMPT_COMMAND='PS1=\"# \"'\n";
        if (!block.after.empty()) {
            const std::string build_folder = program("").substr(0, program("").size() - 1);
            script += fmt::format("build={} port={} folder={}/tmp\n", build_folder, place.port, place.directory.path());
            script += ". tests/support/lessons/scene.sh\nscene " + block.after + "\n";
        }
        script += here(place.first) + here(block.command) + "\n";
        for (size_t i = 0; i < block.shown.size(); ++i) {
            if (!is_command(block.shown[i])) continue;
            std::string line = block.shown[i], command = line.substr(2);
            for (; i + 1 < block.shown.size() && block.shown[i + 1].rfind(">     ", 0) == 0; ++i) {
                line += "\n" + block.shown[i + 1];
                command += "\n" + block.shown[i + 1].substr(2);
            }
            // The line itself is shown where the reader has typed it.
            script += "cat <<'END'\n" + line + "\nEND\n" + here(command) + "\n";
        }
        return {"bash", "-c", script};
    }

    /// One of our programs is told the port.
    static Process::Command words(const Block& block, const Place& place) {
        Process::Command words = words_of(block.command);
        const std::string name = words.front().substr(std::string("build/").size());
        words.front() = program(name);
        if (place.port == lesson_port) return words;
        const bool takes_port = run({program(name), "--help"}).find("--port PORT") != std::string::npos;
        const bool has_port = std::find(words.begin(), words.end(), "--port") != words.end();
        if (takes_port && !has_port) words.insert(words.end(), {"--port", std::to_string(place.port)});
        return words;
    }

    const Block& block_;
    const Place& place_;
    Transcript expected_;
    Process process_;
};

/// Runs the blocks of one name, behind the commands of another one. Returns what differs.
std::string replay(const std::vector<Block>& blocks, const std::string& first) {
    Place place;
    place.first = first;
    if (std::any_of(blocks.begin(), blocks.end(), [](const Block& block) { return block.own_network; })) {
        place.network = std::make_unique<Network>();
        if (!place.network->is_there()) return "";
    } else {
        place.port = four_digit_port();
    }
    std::vector<std::unique_ptr<Replay>> servers;
    std::string complaints;
    for (const Block& block : blocks) {
        Block beside;
        std::unique_ptr<Replay> hidden;
        if (!block.beside.empty()) {
            beside.command = block.beside;
            hidden = std::make_unique<Replay>(beside, place);
            hidden->wait_until_it_listens();
        }
        if (block.kind == Block::Kind::server) {
            servers.push_back(std::make_unique<Replay>(block, place));
            servers.back()->wait_until_it_listens();
        } else if (block.kind == Block::Kind::client) {
            if (servers.empty() && !hidden && !place.network && block.after.empty())  // there, nobody may be the point
                return block.place + ": no server of this name stands before it\n";
            Replay client(block, place);
            client.type_lines();
            client.end();
            complaints += client.complaint();
        } else {
            Replay command(block, place);
            command.end();
            complaints += command.complaint();
        }
    }
    for (const auto& server : servers) {
        server->end();
        complaints += server->complaint();
    }
    return complaints;
}

/// All that is typed in a block.
std::string commands_of(const Lesson& lesson, const std::string& name) {
    std::string commands;
    for (const Block& block : lesson.blocks) {
        if (block.name != name) continue;
        commands += block.command + "\n";
        bool is_typed = false;
        for (const std::string& line : block.shown) {
            is_typed = line.rfind("$ ", 0) == 0 || (is_typed && line.rfind(">     ", 0) == 0);
            if (is_typed) commands += line.substr(2) + "\n";
        }
    }
    return commands;
}

/// All blocks of a lesson, those of one name together; only: or those of this name or file. Returns what is wrong.
std::string replay_lesson(const std::string& file, const std::string& markdown, const char* only = nullptr) {
    const Lesson lesson = read_lesson(file, markdown);
    std::string complaints;
    for (const std::string& complaint : lesson.complaints)
        complaints += complaint + "\n";
    std::vector<std::string> done;
    for (const Block& block : lesson.blocks) {
        if (std::find(done.begin(), done.end(), block.name) != done.end()) continue;
        done.push_back(block.name);
        if (only != nullptr && block.name != only && file != only) continue;
        if (block.without_sanitizers && is_sanitized()) continue;
        if (!block.needs.empty() && !has_tool(block.needs)) continue;
        if (block.as_root && geteuid() != 0) {
            skip(block.place + " takes root");
            continue;
        }
        std::vector<Block> together = lesson.blocks;
        std::erase_if(together, [&](const Block& other) { return other.name != block.name; });
        try {
            complaints += replay(together, commands_of(lesson, block.with));
        } catch (const std::exception& error) {
            complaints += fmt::format("{}: {}\n", block.place, error.what());
        }
    }
    return complaints;
}

std::vector<std::string> all_lessons() {
    std::vector<std::string> lessons;
    for (const char* directory : {".", "tcp", "udp", "unix", "websocket"}) {
        const std::string file = std::string(directory) == "." ? "README.md" : std::string(directory) + "/README.md";
        if (!files_in(directory, "README.md").empty()) lessons.push_back(file);
    }
    return lessons;
}

}  // namespace

TEST_CASE("lessons: every transcript is what a reader sees", "[programs][lessons]") {
    const std::vector<std::string> files = all_lessons();
    const char* only = std::getenv("LESSON");
    std::vector<std::string> complaints(files.size());
    std::vector<Task> tasks;
    for (size_t i = 0; i < files.size(); ++i)
        tasks.push_back({files[i], [&, i] { complaints[i] = replay_lesson(files[i], read_file(files[i]), only); }});
    std::string all = run_in_parallel(tasks);
    for (const std::string& of_one : complaints)
        all += of_one;
    fmt::print(stderr, "{}", all);  // Catch2 would wrap the lines
    INFO("see above");
    CHECK(all.empty());
}

TEST_CASE("lessons: one that is wrong is found", "[programs][lessons]") {
    const std::string fence = "```";
    const auto complaints = [&](const std::string& server, const std::string& client) {
        return replay_lesson("f.md", "<!-- replay echo server -->\n" + fence + "\n" + server + fence +
                                         "\n<!-- replay echo client: hello | 안녕 ^D -->\n" + fence + "\n" + client +
                                         fence + "\n");
    };
    const std::string right_server = "$ build/tcp/echo_server\nlistening on 127.0.0.1:7000\n^C\n";
    const std::string right_client = "$ build/tcp/echo_client\nhello\nhello\n안녕\n안녕\n";
    CHECK(complaints(right_server, right_client) == "");
    CHECK_THAT(complaints("$ build/tcp/echo_server\nlistening on 127.0.0.1:7001\n^C\n", right_client),
               StartsWith("f.md:1: is not what the program prints now (- lesson, + now)\n"
                          "  - listening on 127.0.0.1:PORT\n  + listening on 127.0.0.1:7000\n    ^C\n"));
    CHECK_THAT(complaints(right_server, "$ build/tcp/echo_client\nhello\nhello\n안녕\n안녕\nmore\n"),
               ContainsSubstring("  - more\n"));
    CHECK_THAT(complaints(right_server, "$ build/tcp/echo_client --trace\nhello\nhello\n안녕\n안녕\n"),
               ContainsSubstring("  + tcp/echo_client.cpp:"));
    CHECK_THAT(complaints(right_server, "$ build/tcp/echo_client\nhi\n"),
               ContainsSubstring("the typed line is not in the block: hello"));
    CHECK_THAT(
        replay_lesson("f.md", "<!-- replay x command -->\n" + fence + "\n$ build/tcp/echo_client\nfine\n" + fence),
        ContainsSubstring("(ECONNREFUSED)"));
    CHECK_THAT(replay_lesson("f.md", "<!-- replay x client: ^D -->\n" + fence + "\n$ build/tcp/echo_client\n" + fence),
               ContainsSubstring("no server of this name"));
}
