// Wrong command lines, of every program that there is: one line that says what is wrong, and status 2.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <map>
#include <sstream>

#include <sys/socket.h>
#include <unistd.h>

namespace {

/// "tcp/echo_server" and all others of the tree, as the Makefile finds them, whose files are there.
std::vector<std::string> all_programs() {
    std::vector<std::string> names;
    for (const char* chapter : {"tcp", "udp", "unix", "websocket"}) {
        for (const std::string& source : files_in(chapter, ".cpp")) {
            const std::string name = source.substr(0, source.size() - 4);
            // Those of another system are not built here; of ours, make has seen to it that all are.
            if (access(program(name).c_str(), X_OK) == 0) names.push_back(name);
        }
    }
    return names;
}

std::string help_of(const std::string& name) { return run({program(name), "--help"}); }

/// The option's line of --help; "" if it has none.
std::string help_line(const std::string& help, const std::string& option) {
    const std::vector<std::string> lines = lines_with(help, "  --" + option + " ");
    return lines.empty() ? "" : lines[0];
}

/// Arguments that it takes, for all that its usage line names. Throws Unexpected for one that has no example here.
Process::Command fitting_arguments(const std::string& help) {
    const std::map<std::string, std::string> examples{
        {"COMMAND", "get"}, {"FILE", "LICENSE"}, {"HOST:PORT", "127.0.0.1:7000"}, {"CASE", "unmasked"}};
    const std::string mark = "[OPTION...]";
    std::istringstream words(lines_of(help)[0].substr(lines_of(help)[0].find(mark) + mark.size()));
    Process::Command arguments;
    for (std::string word; words >> word;) {
        const auto example = examples.find(word);
        if (example == examples.end()) throw Unexpected("no example of an argument " + word);
        arguments.push_back(example->second);
    }
    return arguments;
}

/// The line that the program says before it ends with this status. Throws Unexpected if it says several or ends
/// otherwise.
std::string refusal(const Process::Command& command, int status = 2) {
    Process process(command);
    process.close_input();
    process.expect_exit(status);
    const bool one_line = process.out().empty() && count_of(process.err(), "\n") == 1 && process.err().back() == '\n';
    if (!one_line) throw Unexpected("not one line on standard error:\n" + process.describe());
    return process.err().substr(0, process.err().size() - 1);
}

}  // namespace

TEST_CASE("bad input: --help prints every option, to every program's standard output", "[programs][bad_input]") {
    const std::string name = GENERATE(from_range(all_programs()));
    INFO(name);
    const std::string help = help_of(name);
    CHECK_THAT(help, StartsWith("usage: "));
    for (const char* option : {"trace", "step", "trace-log", "fault", "help"}) {
        INFO(option);
        CHECK_FALSE(help_line(help, option).empty());
    }
    // Each option that a program's own source names.
    for (const std::string& line : lines_of(read_file(name + ".cpp"))) {
        const size_t at = line.find("{\"");
        if (at == std::string::npos || line.find(", &") == std::string::npos) continue;
        const std::string option = line.substr(at + 2, line.find('"', at + 2) - at - 2);
        INFO(option);
        CHECK_FALSE(help_line(help, option).empty());
    }
}

TEST_CASE("bad input: every program refuses it", "[programs][bad_input]") {
    const std::string name = GENERATE(from_range(all_programs()));
    const std::string path = program(name);
    const std::string help = help_of(name);
    INFO(name);
    CHECK_THAT(refusal({path, "--nonsense"}), ContainsSubstring("--nonsense"));
    CHECK_THAT(refusal({path, "-x"}), ContainsSubstring("-x"));
    CHECK_THAT(refusal({path, "--trace=yes"}), ContainsSubstring("--trace"));
    CHECK_THAT(refusal({path, "--trace-log"}), ContainsSubstring("--trace-log needs a value"));
    CHECK_THAT(refusal({path, "--fault", "x"}), ContainsSubstring("CALL:ERRNO[:N]"));
    CHECK_THAT(refusal({path, "one", "argument", "too", "many"}), ContainsSubstring("got 4 arguments, expected"));
    CHECK_THAT(refusal({path, "two\nlines\x1b[2J", "a", "b", "c"}), ContainsSubstring("got 4 arguments"));
    CHECK_THAT(refusal({path, "--\x1b[2J\n"}), ContainsSubstring("--\\x1b[2J\\n"));
    if (!help_line(help, "port").empty()) {
        for (const char* port : {"70000", "65536", "-1", "http", "", "7000x", "0x1", " 1"}) {
            INFO("port " << port);
            CHECK_THAT(refusal({path, "--port", port}),
                       ContainsSubstring(std::string("--port ") + port + ": expected a number from 0 to 65535"));
        }
        CHECK_THAT(refusal({path, "--port"}), ContainsSubstring("--port needs a value"));
    }
    if (!help_line(help, "path").empty()) {
        CHECK_THAT(refusal({path, "--path", std::string(200, 'x')}), ContainsSubstring("--path: a path of 200 bytes"));
        CHECK_THAT(refusal({path, "--path", ""}), ContainsSubstring("--path: a path of 0 bytes"));
        CHECK_THAT(refusal({path, "--path"}), ContainsSubstring("--path needs a value"));
    }
    for (const std::string& line : lines_of(help)) {  // options with a number
        const size_t at = line.find("--");
        if (line.rfind("  --", 0) != 0 || line.find("(default ") == std::string::npos) continue;
        const std::string option = line.substr(at, line.find(' ', at) - at);
        const std::string value = line.substr(line.find("(default ") + 9);
        if (option == "--port" || value.find_first_not_of("0123456789)") != std::string::npos) continue;
        for (const char* wrong : {"", "x", "-1", "1.5", "9999999999999999999999"}) {
            INFO(option << " " << wrong);
            CHECK_THAT(refusal({path, option, wrong}), ContainsSubstring(option + " " + wrong + ": expected a number"));
        }
    }
}

TEST_CASE("bad input: a trace log that can't be written", "[programs][bad_input]") {
    const std::string name = GENERATE(from_range(all_programs()));
    if (lines_of(help_of(name))[0].find("[OPTION...] ") != std::string::npos) return;  // its arguments come first
    INFO(name);
    CHECK_THAT(refusal({program(name), "--trace-log", "/no/such/directory/log"}, 1),
               ContainsSubstring("--trace-log /no/such/directory/log") && ContainsSubstring("(ENOENT)"));
}

TEST_CASE("bad input: a host name that no resolver can find", "[programs][bad_input]") {
    const std::string name = GENERATE(from_range(all_programs()));
    const std::string help = help_of(name);
    if (help_line(help, "host").empty()) return;
    INFO(name);
    const std::string impossible(64, 'a');  // a label has 63 bytes at the most (RFC 1035)
    Process::Command command = fitting_arguments(help);
    command.insert(command.begin(), {program(name), "--host", impossible});
    CHECK_THAT(refusal(command, 1), ContainsSubstring("cannot find the address of '" + impossible));
    // What can't be part of a name never gets to the terminal as it is, whether a resolver is asked or not.
    command[2] += "\x1b[2J\n";
    Process hostile(command);
    CHECK(hostile.wait().status != 0);
    CHECK(count_of(hostile.err(), "\n") == 1);
    CHECK(hostile.err().find('\x1b') == std::string::npos);
}

TEST_CASE("bad input: a port in use", "[programs][bad_input]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    if (pair.host.empty()) return;
    INFO(pair.name());
    const Server server = pair.start();
    CHECK_THAT(refusal({program(pair.server), "--host", pair.host, "--port", server.port()}, 1),
               StartsWith(pair.server + ".cpp:") && ContainsSubstring("bind(") &&
                   ContainsSubstring("(EADDRINUSE): something else has this address"));
}

TEST_CASE("bad input: an address that is not this machine's", "[programs][bad_input]") {
    for (const char* name : {"tcp/echo_server", "udp/echo_server"}) {
        INFO(name);
        // Of TEST-NET-3, whose addresses nobody has (RFC 5737).
        CHECK_THAT(refusal({program(name), "--host", "203.0.113.7", "--port", "0"}, 1),
                   ContainsSubstring("bind(") && ContainsSubstring("(EADDRNOTAVAIL)"));
    }
}

TEST_CASE("bad input: a server that others can reach says so", "[programs][bad_input]") {
    for (const char* name : {"tcp/echo_server", "udp/echo_server"}) {
        INFO(name);
        Server server = start_server(name, {"--host", "0.0.0.0"});
        CHECK(server.err() == "0.0.0.0:" + server.port() + " can be reached from other machines, by anybody\n");
    }
}

TEST_CASE("bad input: a path where no socket can be", "[programs][bad_input]") {
    CHECK_THAT(refusal({program("unix/echo_server"), "--path", "/no/such/socket"}, 1), ContainsSubstring("(ENOENT)"));
    const TempDir directory;
    write_file(directory / "letter", "dear reader");
    CHECK_THAT(refusal({program("unix/echo_client"), "--path", directory / "letter"}, 1),
               ContainsSubstring("(ECONNREFUSED)"));
}
