#include "common/options.hpp"

#include "common/errors.hpp"
#include "common/narrator.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"

#include <fmt/core.h>

#include <csignal>
#include <getopt.h>
#include <sys/un.h>

namespace {

using Arguments = std::vector<std::string>;

/// What parse_options makes of a command line. It reads it with getopt_long(), which remembers where it was.
struct Parsed {
    bool flag = false;
    long number = 5;
    std::string text = "as it was";
    Options options;
};

Parsed parse(Arguments arguments, Endpoint endpoint = Endpoint::network, std::vector<const char*> names = {}) {
    Parsed parsed;
    arguments.insert(arguments.begin(), "build/tcp/program");
    std::vector<char*> argv;
    for (std::string& argument : arguments)
        argv.push_back(argument.data());
    argv.push_back(nullptr);
    optind = 0;  // begin anew (getopt_long(3), notes; on macOS it is optreset)
#ifndef __linux__
    optind = optreset = 1;
#endif
    parsed.options = parse_options(static_cast<int>(arguments.size()), argv.data(),
                                   {.summary = "A program.",
                                    .endpoint = endpoint,
                                    .socket_name = "name",
                                    .more = {{"flag", nullptr, "a flag", &parsed.flag},
                                             {"number", "N", "a number", &parsed.number, 1, 10},
                                             {"text", "TEXT", "a text", &parsed.text}},
                                    .arguments = std::move(names)});
    return parsed;
}

/// The one line with which it is refused; "" if it isn't.
std::string refusal(const Arguments& arguments, Endpoint endpoint = Endpoint::network,
                    const std::vector<const char*>& names = {}) {
    try {
        parse(arguments, endpoint, names);
        return "";
    } catch (const UsageError& error) {
        return error.what();
    }
}

}  // namespace

TEST_CASE("options: the defaults", "[unit][options]") {
    const Parsed parsed = parse({});
    CHECK(parsed.options.host == "127.0.0.1");
    CHECK(parsed.options.port == 7000);
    CHECK(parsed.options.arguments.empty());
    CHECK_FALSE(parsed.flag);
    CHECK(parsed.number == 5);
    CHECK(parsed.text == "as it was");
    CHECK_FALSE(narrator::awake);
}

TEST_CASE("options: all of them, in every spelling", "[unit][options]") {
    const Parsed parsed = parse({"--host", "::1", "--port=0", "--flag", "--number", "10", "--text=x y"});
    CHECK(parsed.options.host == "::1");
    CHECK(parsed.options.port == 0);
    CHECK(parsed.flag);
    CHECK(parsed.number == 10);
    CHECK(parsed.text == "x y");
    CHECK(parse({"--po", "65535"}).options.port == 65535);  // getopt_long takes what is unambiguous
    CHECK(parse({"--text", ""}).text.empty());
    CHECK(parse({"--text", "--flag"}).text == "--flag");
    CHECK(parse({"--path", "/tmp/x"}, Endpoint::unix_path).options.path == "/tmp/x");
}

TEST_CASE("options: arguments", "[unit][options]") {
    const std::vector<const char*> names{"HOST", "PORT"};
    CHECK(parse({"a", "b"}, Endpoint::none, names).options.arguments == Arguments{"a", "b"});
    CHECK(parse({"--", "--a", "-b"}, Endpoint::none, names).options.arguments == Arguments{"--a", "-b"});
    CHECK(refusal({"a"}, Endpoint::none, names) == "program: got 1 arguments, expected HOST PORT; see --help");
    CHECK(refusal({"a", "b", "c"}, Endpoint::none, names) ==
          "program: got 3 arguments, expected HOST PORT; see --help");
    CHECK(refusal({"a"}) == "program: got 1 arguments, expected none; see --help");
}

TEST_CASE("options: refused, each with one line that says what was expected", "[unit][options]") {
    struct Row {
        Arguments arguments;
        std::string line;
    };
    const std::vector<Row> rows{
        {{"--port", "70000"}, "program: --port 70000: expected a number from 0 to 65535"},
        {{"--port", "65536"}, "program: --port 65536: expected a number from 0 to 65535"},
        {{"--port", "http"}, "program: --port http: expected a number from 0 to 65535"},
        {{"--port", "-1"}, "program: --port -1: expected a number from 0 to 65535"},
        {{"--port", ""}, "program: --port : expected a number from 0 to 65535"},
        {{"--port="}, "program: --port : expected a number from 0 to 65535"},
        {{"--port", "+1"}, "program: --port +1: expected a number from 0 to 65535"},
        {{"--port", " 1"}, "program: --port  1: expected a number from 0 to 65535"},
        {{"--port", "1 "}, "program: --port 1 : expected a number from 0 to 65535"},
        {{"--port", "0x10"}, "program: --port 0x10: expected a number from 0 to 65535"},
        {{"--port", "1e3"}, "program: --port 1e3: expected a number from 0 to 65535"},
        {{"--port", "99999999999999999999"}, "program: --port 99999999999999999999: expected a number from 0 to 65535"},
        {{"--port", "1\x1b[2J\n"}, "program: --port 1\\x1b[2J\\n: expected a number from 0 to 65535"},
        {{"--number", "0"}, "program: --number 0: expected a number from 1 to 10"},
        {{"--number", "11"}, "program: --number 11: expected a number from 1 to 10"},
        {{"--number"}, "program: --number needs a value; see --help"},
        {{"--port"}, "program: --port needs a value; see --help"},
        {{"--nonsense"}, "program: --nonsense is no option of this program, or takes no value; see --help"},
        {{"--nonsense=\x1b"}, "program: --nonsense=\\x1b is no option of this program, or takes no value; see --help"},
        {{"--path", "/tmp/x"}, "program: --path is no option of this program, or takes no value; see --help"},
        {{"-x"}, "program: -x is no option of this program, or takes no value; see --help"},
        {{"--fault", ""},
         "program: --fault : no call or no error in it; expected CALL:ERRNO[:N], as in accept:EMFILE:2"},
        {{"--fault", "bind"},
         "program: --fault bind: no call or no error in it; expected CALL:ERRNO[:N], as in accept:EMFILE:2"},
        {{"--fault", ":EIO"},
         "program: --fault :EIO: no call or no error in it; expected CALL:ERRNO[:N], as in accept:EMFILE:2"},
        {{"--fault", "bind:EFOO"},
         "program: --fault bind:EFOO: no error is called 'EFOO'; expected CALL:ERRNO[:N], as in accept:EMFILE:2"},
        {{"--fault", "bind:"},
         "program: --fault bind:: no error is called ''; expected CALL:ERRNO[:N], as in accept:EMFILE:2"},
        {{"--fault", "bind:EIO:0"}, "program: --fault CALL:ERRNO:N 0: expected a number from 1 to 1000000000"},
        {{"--fault", "bind:EIO:x"}, "program: --fault CALL:ERRNO:N x: expected a number from 1 to 1000000000"},
    };
    for (const Row& row : rows) {
        INFO(row.line);
        CHECK(refusal(row.arguments) == row.line);
        CHECK(row.line.find('\n') == std::string::npos);
    }
    // Where getopt_long tells little, the line has the option in it at least.
    CHECK_THAT(refusal({"--flag=1"}), ContainsSubstring("--flag"));
    CHECK_THAT(refusal({"--t", "x"}), ContainsSubstring("--t "));  // --text, --trace or --trace-log?
    CHECK_THAT(refusal({"-한글"}), StartsWith("program: "));
    CHECK_THAT(refusal({"--port", "1"}, Endpoint::none), StartsWith("program: --port"));
}

TEST_CASE("options: a path that is too long, or none", "[unit][options]") {
    const std::string most(sizeof(sockaddr_un::sun_path) - 1, 'x');
    CHECK(parse({"--path", most}, Endpoint::unix_path).options.path == most);
    CHECK_THAT(
        refusal({"--path", most + "x"}, Endpoint::unix_path),
        StartsWith(fmt::format("program: --path: a path of {} bytes, expected 1 to {}", most.size() + 1, most.size())));
    CHECK_THAT(refusal({"--path", ""}, Endpoint::unix_path), StartsWith("program: --path: a path of 0 bytes"));
}

TEST_CASE("options: --help prints every option and its default, and ends the program", "[unit][options]") {
    Process child([] { parse({"--help", "--port", "1"}, Endpoint::network, {"FILE"}); });
    child.expect_exit(0);
    CHECK_THAT(child.out(), StartsWith("usage: program [OPTION...] FILE\nA program.\n"));
    for (const char* part : {"--host HOST ", "(default 127.0.0.1)", "--port PORT ", "--flag  ", "--number N ",
                             "(default 5)", "--text TEXT ", "(default as it was)", "--trace  ", "--step  ",
                             "--trace-log FILE ", "--fault CALL:ERRNO[:N] ", "--help  ", "Exit status:"}) {
        INFO(part);
        CHECK(child.out().find(part) != std::string::npos);
    }
    CHECK(child.err().empty());
}

TEST_CASE("options: wake the narrator", "[unit][options]") {
    for (const char* option : {"--trace", "--step", "--fault=any:EIO"}) {
        INFO(option);
        Process child([=] {
            parse({option});
            fmt::print("{}", narrator::awake);
        });
        child.expect_exit(0);
        CHECK(child.out() == "true");
    }
    Process refused([] { parse({"--trace-log", "/no/such/directory/log"}); });
    refused.expect_exit(99);
    CHECK_THAT(refused.err(), ContainsSubstring("--trace-log /no/such/directory/log: No such file or directory"));
}

TEST_CASE("options: SIGPIPE is ignored from then on", "[unit][options]") {
    Process child([] {
        signal(SIGPIPE, SIG_DFL);
        parse({});
        fmt::print("{}", signal(SIGPIPE, SIG_DFL) == SIG_IGN);
    });
    child.expect_exit(0);
    CHECK(child.out() == "true");
}

TEST_CASE("options: numbers", "[unit][options]") {
    CHECK(parse_number("-5", -10, 10, "it") == -5);
    CHECK(parse_number("007", 0, 10, "it") == 7);
    CHECK_THROWS_AS(parse_number("", 0, 10, "it"), UsageError);
    CHECK_THROWS_AS(parse_number(std::string("7\0", 2), 0, 10, "it"), UsageError);
    CHECK_THROWS_WITH(parse_number("7a", 0, 10, "it"), "it 7a: expected a number from 0 to 10");
}
