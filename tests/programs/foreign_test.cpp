// The pairs against peers that nobody here wrote, in both directions: our server with their client, and the reverse.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"

#include <sys/socket.h>

namespace {

const std::string text = "hello\nan empty line follows\n\n안녕 without a newline";

bool is_datagram(const std::string& program) { return program.rfind("udp/", 0) == 0; }

std::string bracketed(const std::string& host) { return host.find(':') != std::string::npos ? "[" + host + "]" : host; }

Process::Command socat_client(const Server& server, const std::string& program) {
    if (takes_path(program)) return {"socat", "-t", "30", "-", "UNIX-CONNECT:" + server.path()};
    const std::string kind = is_datagram(program) ? "UDP" : "TCP";
    return {"socat", "-t", "30", "-", kind + ":" + bracketed(server.host()) + ":" + server.port()};
}

Process::Command ncat_client(const Server& server, const std::string& program) {
    if (takes_path(program)) return {"ncat", "-U", server.path()};
    Process::Command command{"ncat"};
    if (is_datagram(program)) command.emplace_back("-u");
    command.insert(command.end(), {server.host(), server.port()});
    return command;
}

void talk(const std::string& program, Process& client) {
    if (is_datagram(program)) {  // which knows no end: the client would wait for more
        for (const char* line : {"hello\n", "\n", "안녕\n", "without a newline"}) {
            client.feed(line);
            CHECK(client.expect(Stream::out, line) == line);
        }
        return;
    }
    client.feed(text);
    client.close_input();
    client.expect_exit(0);
    CHECK(client.out() == text);
}

/// "40000" of "... 127.0.0.1:40000".
std::string after_last_colon(const std::string& line) { return line.substr(line.rfind(':') + 1); }

/// A port that nobody has now. It may be somebody's soon.
std::string port_for_now(int type, const std::string& host) { return FreePort(type, host).text(); }

}  // namespace

TEST_CASE("foreign: their clients with our servers", "[programs][foreign]") {
    const Pair pair = GENERATE(from_range(echo_pairs()));
    const std::string tool = GENERATE("socat", "ncat");
    INFO(tool << " with " << pair.name());
    if (!has_tool(tool)) return;
    const Server server = pair.start();
    Process client(tool == "socat" ? socat_client(server, pair.server) : ncat_client(server, pair.server));
    talk(pair.server, client);
}

TEST_CASE("foreign: our clients with socat", "[programs][foreign]") {
    if (!has_tool("socat")) return;
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const TempDir directory;
    const std::string family = pair.host == "::1" ? "6" : "4";
    std::string where = "TCP" + family + "-LISTEN:0,bind=" + bracketed(pair.host);
    if (is_datagram(pair.server)) where = "UDP" + family + "-LISTEN:0,bind=" + bracketed(pair.host);
    if (takes_path(pair.server)) where = "UNIX-LISTEN:" + directory / "socket";
    Process server({"socat", "-d", "-d", where + ",fork", "EXEC:cat"});
    const std::string line = server.expect_line(Stream::err, "listening on");
    Process::Command client{program(pair.client)};
    if (takes_path(pair.server)) {
        client.insert(client.end(), {"--path", directory / "socket"});
    } else {
        client.insert(client.end(), {"--host", pair.host, "--port", after_last_colon(line)});
    }
    CHECK(run(client, text) == text);
    CHECK(run(client, "") == "");
}

TEST_CASE("foreign: our clients with ncat", "[programs][foreign]") {
    if (!has_tool("ncat")) return;
    const Pair pair = GENERATE(from_range(echo_pairs()));
    INFO(pair.name());
    const TempDir directory;
    for (int tries = 1;; ++tries) {
        Process::Command command{"ncat", "-v", "-l", "-k", "-e", "/bin/cat"}, client{program(pair.client)};
        if (is_datagram(pair.server)) command.emplace_back("-u");
        if (takes_path(pair.server)) {
            command.insert(command.end(), {"-U", directory / "socket"});
            client.insert(client.end(), {"--path", directory / "socket"});
        } else {
            const std::string port = port_for_now(is_datagram(pair.server) ? SOCK_DGRAM : SOCK_STREAM, pair.host);
            command.insert(command.end(), {pair.host, port});
            client.insert(client.end(), {"--host", pair.host, "--port", port});
        }
        Process server(command);
        try {
            server.expect_line(Stream::err, "Listening on");
        } catch (const Unexpected&) {  // somebody else has got the port meanwhile
            if (tries == 5) throw;
            continue;
        }
        Process ours(client);
        ours.feed(text);
        if (is_datagram(pair.server)) ours.close_input();
        // At the end of what it receives over a stream, ncat kills its program, whatever that had still to say.
        CHECK(ours.expect(Stream::out, "without a newline") == text);
        ours.close_input();
        ours.expect_exit(0);
        break;
    }
}

TEST_CASE("foreign: a large file through socat", "[programs][foreign][large]") {
    if (!has_tool("socat")) return;
    const std::string bytes = random_bytes(5'000'000);
    const Server server = start_server("tcp/echo_server");
    CHECK((run(socat_client(server, "tcp/echo_server"), bytes) == bytes));

    Process theirs({"socat", "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1,fork", "EXEC:cat"});
    const std::string port = after_last_colon(theirs.expect_line(Stream::err, "listening on"));
    CHECK((run({program("tcp/echo_client"), "--port", port}, bytes) == bytes));
}
