// Every transcript in a README.md is run again, in terminals, as a reader would; and must still be what a reader sees.
// How the blocks are marked: tests/support/lesson.hpp.

#include "tests/support/lesson.hpp"

#include "common/address.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
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

/// A block's program with the port at which it is to be run in place of 7000.
class Replay {
public:
    Replay(const Block& block, const TempDir& directory, int port)
        : block_(block),
          expected_(normalized(block.shown)),
          port_(port),
          process_(command(block, std::to_string(port)),
                   {.environment = {"XDG_RUNTIME_DIR=" + directory.path(), "NO_COLOR=1", "LC_CTYPE=C.UTF-8"},
                    .terminal = Terminal::all}) {}

    /// Waits until as many lines were printed as stand before this one in the block. What is typed then is echoed by
    /// the terminal at its place.
    void wait_for_lines_before(size_t line) {
        const auto printed = [&] { return normalized(lines_on(process_), port_).lines.size() >= line; };
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
        const std::string differences = difference(expected_, normalized(lines, port_));
        if (differences.empty()) return "";
        std::string text =
            fmt::format("{}: is not what the program prints now (- lesson, + now)\n{}  The terminal shows:\n",
                        block_.place, differences);
        for (const std::string& line : lines)
            text += "    | " + line + "\n";
        return text;
    }

private:
    /// One of our programs is told the port; in a command for the shell, 7000 is replaced by it.
    static Process::Command command(const Block& block, const std::string& port) {
        const std::string prefix = "build/";
        if (block.command.rfind(prefix, 0) != 0 || block.command.find_first_of("'\"|<>&;$*") != std::string::npos) {
            std::string line = std::regex_replace(block.command, std::regex("\\b7000\\b"), port);
            line = std::regex_replace(line, std::regex("(^|[ (])" + prefix), "$1" + program(""));
            return {"sh", "-c", line};
        }
        Process::Command words = words_of(block.command);
        const std::string name = words.front().substr(prefix.size());
        words.front() = program(name);
        const bool takes_port = run({program(name), "--help"}).find("--port PORT") != std::string::npos;
        const bool has_port = std::find(words.begin(), words.end(), "--port") != words.end();
        if (takes_port && !has_port) words.insert(words.end(), {"--port", port});
        return words;
    }

    const Block& block_;
    Transcript expected_;
    int port_;
    Process process_;
};

/// Runs the blocks of one name. Returns what differs.
std::string replay(const std::vector<Block>& blocks) {
    const TempDir directory;
    std::unique_ptr<Replay> server;
    const int port = four_digit_port();
    std::string complaints;
    for (const Block& block : blocks) {
        if (block.kind == Block::Kind::server) {
            server = std::make_unique<Replay>(block, directory, port);
            server->wait_until_it_listens();
        } else if (block.kind == Block::Kind::client) {
            if (!server) return block.place + ": no server of this name stands before it\n";
            Replay client(block, directory, port);
            client.type_lines();
            client.end();
            complaints += client.complaint();
        } else {
            Replay command(block, directory, port);
            command.end();
            complaints += command.complaint();
        }
    }
    if (server) {
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
    for (const std::string& file : all_lessons()) {
        const std::string complaints = replay_lesson(file, read_file(file));
        fmt::print(stderr, "{}", complaints);  // Catch2 would wrap the lines
        INFO(file << ": see above");
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
