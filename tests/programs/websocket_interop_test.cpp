// The WebSocket programs with peers that nobody here wrote: Python's websockets, npm's ws, Chromium. Both our servers
// with each of them, and our client with their servers. The other sides are in tests/interop/.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <csignal>
#include <filesystem>
#include <optional>

namespace fs = std::filesystem;

namespace {

/// Another implementation, as command lines to run its client or server.
struct Foreign {
    std::string name;
    Process::Command interpreter;
    std::string ending;  // of its files in tests/interop/
    Surroundings surroundings = {};

    Process::Command command(const std::string& script, const Process::Command& arguments) const {
        Process::Command all = interpreter;
        all.push_back("tests/interop/" + script + ending);
        all.insert(all.end(), arguments.begin(), arguments.end());
        return all;
    }
};

/// The python3 that has the module, which may be the system's and not the one in PATH. Skips if there is none.
std::optional<Foreign> python() {
    for (const std::string& python3 : {find_tool("python3"), std::string("/usr/bin/python3")}) {
        if (python3.empty()) continue;
        Process process({python3, "-c", "import websockets.extensions.permessage_deflate"});
        if (process.wait().status == 0) return Foreign{"Python's websockets", {python3}, ".py"};
    }
    skip("python3-websockets is not installed (sh scripts/setup)");
    return {};
}

std::optional<Foreign> node() {
    const auto surroundings = npm_packages();
    if (!surroundings) return {};
    return Foreign{"npm's ws", {"node"}, ".mjs", *surroundings};
}

std::optional<Foreign> foreign(const std::string& name) { return name == "python" ? python() : node(); }

/// What the programs print when all their checks hold.
const std::vector<std::string> all_checks = {"messages",
                                             "compressed",
                                             "compressed without context takeover",
                                             "compressed with small windows",
                                             "16 MiB and no more",
                                             "close codes",
                                             "origins",
                                             "subprotocols"};

}  // namespace

TEST_CASE("websocket interop: their clients with our servers", "[programs][websocket][interop]") {
    const std::string which = GENERATE("python", "node");
    const auto theirs = foreign(which);
    if (!theirs) return;
    // Both servers at the same time.
    const Server blocking = start_server("websocket/echo_server", {"--subprotocol", "chat"});
    const Server event = start_server("websocket/event_server", {"--subprotocol", "chat"});
    Process first(theirs->command("client", {blocking.host(), blocking.port()}), theirs->surroundings);
    Process second(theirs->command("client", {event.host(), event.port()}), theirs->surroundings);
    for (Process* client : {&first, &second}) {
        client->expect_exit(0, 2 * patience);
        CHECK(lines_of(client->out()) == all_checks);
    }
}

TEST_CASE("websocket interop: their clients when our event server ends", "[programs][websocket][interop]") {
    const std::string which = GENERATE("python", "node");
    const auto theirs = foreign(which);
    if (!theirs) return;
    Server server = start_server("websocket/event_server");
    Process client(theirs->command("client", {server.host(), server.port(), "wait"}), theirs->surroundings);
    client.expect(Stream::out, "connected\n");
    server.signal(SIGINT);
    client.expect_exit(0);
    CHECK(client.out() == "connected\nclosed 1001 the server ends\n");
    server.expect_exit(0);
}

TEST_CASE("websocket interop: our client with their servers", "[programs][websocket][interop]") {
    const std::string which = GENERATE("python", "node");
    const auto theirs = foreign(which);
    if (!theirs) return;
    const std::vector<Process::Command> options = {{}, {"--no-compression"}, {"--window-bits", "9"}};
    for (const Process::Command& option : options) {
        Process server(theirs->command("server", option), theirs->surroundings);
        const std::string line = server.expect_line(Stream::out, "listening on");
        const std::string port = line.substr(line.rfind(':') + 1);
        const auto client = [&](Process::Command arguments) {
            arguments.insert(arguments.begin(), {program("websocket/echo_client"), "--port", port});
            return arguments;
        };
        for (const bool deflate : {false, true}) {
            if (!deflate && !option.empty()) continue;  // that is the same as without the option
            INFO(server.describe() << (deflate ? "with --deflate" : ""));
            Process::Command base = {"--plain"};
            if (deflate) base.emplace_back("--deflate");
            const auto with = [&](const Process::Command& more) {
                Process::Command arguments = base;
                arguments.insert(arguments.end(), more.begin(), more.end());
                return client(arguments);
            };
            const std::string lines = "hello\n\n안녕하세요 👋\n" + std::string(125, 'a') + "\n" + std::string(126, 'b') +
                                      "\n" + std::string(65'535, 'c') + "\n" + std::string(65'536, 'd') +
                                      "\n\xff\xfe\nno newline";
            CHECK((run(with({}), lines) == lines));
            CHECK((run(with({"--resource", "/fragments"}), lines) == lines));
            CHECK(run(with({"--resource", "/ping"}), "one\ntwo\nthree\n") == "one\ntwo\nthree\n");
            CHECK(run(with({"--subprotocol", "superchat,chat"}), "hello") == "hello");
            const std::string random = random_bytes(500'000);
            CHECK((run(with({}), random) == random));
            const std::string large = std::string(16U << 20U, 'x') + "\n";
            if (!deflate) CHECK((run(with({}), large) == large));

            // Compression is used where both want it, and only there.
            Process told(with({"--frames"}));
            told.feed("hello\n");
            told.close_input();
            told.expect_exit(0);
            const bool agreed = deflate && option != Process::Command{"--no-compression"};
            CHECK(count_of(told.err(), "RSV1: the message is compressed") == (agreed ? 2 : 0));
        }
        if (option.empty()) {
            for (const char* parameters :
                 {"server_max_window_bits=9; client_max_window_bits=9",
                  "server_no_context_takeover; client_no_context_takeover", "client_max_window_bits=12"}) {
                const std::string lines = "hello\nhello\n" + random_bytes(50'000);
                CHECK((run(client({"--plain", "--deflate-with", parameters}), lines) == lines));
            }
        }
        Process closed(client({"--resource", "/close"}));
        closed.feed("안녕\n");
        closed.expect_exit(1);  // since the message did not come back
        CHECK_THAT(closed.err(), StartsWith("closed: 4000 안녕\n"));
        Process bye(client({}));
        bye.feed("hello\n/ping are you there?\n");
        bye.expect(Stream::out, "hello\n");  // which Close may overtake in a server
        bye.expect(Stream::err, "pong are you there?\n");
        bye.feed("/close 4999 bye\n");
        bye.expect_exit(0);
        CHECK_THAT(bye.err(), ContainsSubstring("closed: 4999"));
    }
}

TEST_CASE("websocket interop: our load generator with their servers", "[programs][websocket][interop]") {
    const std::string which = GENERATE("python", "node");
    const auto theirs = foreign(which);
    if (!theirs) return;
    Process server(theirs->command("server", {}), theirs->surroundings);
    const std::string line = server.expect_line(Stream::out, "listening on");
    CHECK_THAT(run({program("websocket/load"), "--port", line.substr(line.rfind(':') + 1), "--messages", "1000",
                    "--connections", "10", "--in-flight", "10", "--kind", "korean", "--size", "300"}),
               StartsWith("1000 messages of 300 bytes in "));
}

TEST_CASE("websocket interop: Chromium", "[programs][websocket][interop][browser]") {
    const std::string chromium = find_chromium();
    if (chromium.empty()) return;

    const TempDir directory;
    int profiles = 0;
    const auto browse = [&](const Server& server, const std::string& mode) {
        const std::string page = "file://" + fs::absolute("tests/interop/page.html").string();
        return std::make_unique<Process>(Process::Command{
            chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
            "--disable-background-networking", "--disable-component-update", "--disable-sync",
            "--enable-logging=stderr", "--user-data-dir=" + directory / std::to_string(++profiles),
            page + "?" + server.port() + mode});
    };
    const auto end = [](Process& browser) {
        browser.signal(SIGTERM);  // which also ends the processes that it started
        browser.wait();
    };
    const Process::Command options{"--subprotocol", "chat", "--origin", "*"};
    {
        Server blocking = start_server("websocket/echo_server", options);
        Server event = start_server("websocket/event_server", options);
        const auto first = browse(blocking, ""), second = browse(event, "");
        for (Process* browser : {first.get(), second.get()}) {
            for (const char* check : {"extensions: permessage-deflate", "messages", "16 MiB and no more", "close codes",
                                      "subprotocols", "waiting"}) {
                const std::string line = browser->expect_line(Stream::err, "CONSOLE", 2 * patience);
                CHECK_THAT(line, ContainsSubstring("\"" + std::string(check) + "\""));
            }
        }
        event.signal(SIGINT);
        CHECK_THAT(second->expect_line(Stream::err, "CONSOLE"),
                   ContainsSubstring("\"closed: 1001 the server ends clean\""));
        event.expect_exit(0);
        end(*first);
        end(*second);
    }
    // A page of elsewhere is not let in.
    Server strict = start_server("websocket/echo_server");
    const auto browser = browse(strict, "&foreign");
    CHECK_THAT(browser->expect_line(Stream::err, "] \"refused\""), ContainsSubstring("CONSOLE"));
    CHECK_THAT(strict.expect_line(Stream::err, "refused a client"), ContainsSubstring("pages of this origin"));
    end(*browser);
}
