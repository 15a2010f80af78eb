// Every transcript in a README.md is run again, in terminals, as a reader would; and must still be what a reader sees.
// How the blocks are marked: tests/support/lesson.hpp.

#include "tests/support/lesson.hpp"

#include "common/address.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/network.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <memory>
#include <regex>
#include <sstream>

#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr Milliseconds limit{10'000};
constexpr int lesson_port = 7000;

/// The lines on a terminal that runs a program of a block.
std::vector<std::string> lines_on(Process& terminal) {
    std::string text = terminal.all(Stream::terminal);
    std::erase(text, '\r');
    return lines_of(text);
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
};

/// A block's program.
class Replay {
public:
    Replay(const Block& block, const Place& place)
        : block_(block),
          place_(place),
          expected_(normalized(block.shown, 0, block.any_numbers, block.any_order)),
          process_(command(block, place),
                   {.environment = {"XDG_RUNTIME_DIR=" + place.directory.path(), "NO_COLOR=1", "LC_CTYPE=C.UTF-8"},
                    .terminal = Terminal::all}) {}

    /// Waits until as many lines were printed as stand before this one in the block. What is typed then is echoed by
    /// the terminal at its place.
    void wait_for_lines_before(size_t line) {
        const auto printed = [&] { return now().lines.size() >= line; };
        wait_until([&] { return printed() || !process_.is_running(); }, fmt::format("{} lines", line), limit);
    }

    void type_lines() {
        size_t from = 0;
        for (const std::string& line : block_.typed) {
            const auto begin = expected_.lines.begin() + static_cast<long>(from);
            const auto typed = std::find(begin, expected_.lines.end(), line);
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
        const auto interrupted = std::find(expected_.lines.begin(), expected_.lines.end(), "^C");
        if (interrupted != expected_.lines.end()) {
            wait_for_lines_before(static_cast<size_t>(interrupted - expected_.lines.begin()));
            process_.type("\x03");
        }
        if (block_.kind != Block::Kind::server || interrupted != expected_.lines.end()) process_.wait(limit);
    }

    void wait_until_it_listens() { process_.expect_line(Stream::terminal, "listening on ", limit); }

    /// "" if the terminal shows what the block does.
    std::string complaint() {
        const std::vector<std::string> lines = lines_on(process_);
        const std::string differences = difference(expected_, now());
        if (differences.empty()) return "";
        std::string text =
            fmt::format("{}: is not what the program prints now (- lesson, + now)\n{}  The terminal shows:\n",
                        block_.place, differences);
        for (const std::string& line : lines)
            text += "    | " + line + "\n";
        return text;
    }

private:
    Transcript now() {
        std::vector<std::string> lines = lines_on(process_);
        const std::string folder = place_.directory.path() + "/tmp/";
        for (std::string& line : lines)
            for (size_t at = 0; (at = line.find(folder)) != std::string::npos;)
                line.replace(at, folder.size(), "/tmp/");
        return normalized(lines, place_.port == lesson_port ? 0 : place_.port, block_.any_numbers, block_.any_order);
    }

    static Process::Command command(const Block& block, const Place& place) {
        const Process::Command plain = needs_shell(block) ? script(block, place) : words(block, place);
        return place.network ? place.network->inside(plain) : plain;
    }

    static bool is_command(const std::string& line) { return line.rfind("$ ", 0) == 0; }

    static bool needs_shell(const Block& block) {
        return block.command.rfind("build/", 0) != 0 || !block.after.empty() ||
               block.command.find_first_of("'\"|<>&;$*") != std::string::npos ||
               std::any_of(block.shown.begin(), block.shown.end(), is_command);
    }

    /// For the shell: with our port, our programs and our folder in place of those that are named in it.
    static Process::Command script(const Block& block, const Place& place) {
        const auto here = [&](const std::string& line) {
            std::string changed = std::regex_replace(line, std::regex("\\b7000\\b"), std::to_string(place.port));
            // A scene may have changed programs of its own.
            const std::string programs = block.after.empty() ? program("") : "$$programs/";
            changed = std::regex_replace(changed, std::regex("(^|[ (;])build/"), "$1" + programs);
            return std::regex_replace(changed, std::regex("/tmp/"), place.directory.path() + "/tmp/");
        };
        std::string script = "mkdir -p " + place.directory.path() + "/tmp\n";
        if (!block.after.empty()) {
            script += fmt::format("build={} port={} folder={}/tmp\n", program("."), place.port, place.directory.path());
            script += ". tests/support/lessons/scene.sh\nscene " + block.after + "\n";
        }
        script += here(block.command) + "\n";
        for (const std::string& line : block.shown) {
            if (!is_command(line)) continue;
            // The line itself is shown where the reader has typed it.
            script += "cat <<'END'\n" + line + "\nEND\n" + here(line.substr(2)) + "\n";
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

/// Runs the blocks of one name. Returns what differs.
std::string replay(const std::vector<Block>& blocks) {
    Place place;
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
            if (servers.empty() && !hidden && !place.network)  // there, nobody may be the point
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

/// All blocks of a lesson, those of one name together. Returns what is wrong.
std::string replay_lesson(const std::string& file, const std::string& markdown) {
    const Lesson lesson = read_lesson(file, markdown);
    std::string complaints;
    for (const std::string& complaint : lesson.complaints)
        complaints += complaint + "\n";
    std::vector<std::string> done;
    for (const Block& block : lesson.blocks) {
        if (std::find(done.begin(), done.end(), block.name) != done.end()) continue;
        done.push_back(block.name);
        if (block.without_sanitizers && is_sanitized()) continue;
        std::vector<Block> together = lesson.blocks;
        std::erase_if(together, [&](const Block& other) { return other.name != block.name; });
        try {
            complaints += replay(together);
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
    const std::string file = GENERATE(from_range(all_lessons()));
    DYNAMIC_SECTION(file) {  // one of them: build/tests/all 'lessons: every*' -c tcp/README.md
        const std::string complaints = replay_lesson(file, read_file(file));
        fmt::print(stderr, "{}", complaints);  // Catch2 would wrap the lines
        INFO("see above");
        CHECK(complaints.empty());
    }
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
