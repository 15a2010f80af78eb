// tcp/connect_timeout, backlog, time_wait and dual_stack: what happens before there is a connection.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <chrono>
#include <csignal>
#include <memory>
#include <regex>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <ifaddrs.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mount.h>
#endif

namespace {

std::vector<std::string> hosts() {
    static const bool ipv6 = has_ipv6();
    return ipv6 ? std::vector<std::string>{"127.0.0.1", "::1"} : std::vector<std::string>{"127.0.0.1"};
}

std::string bracketed(const std::string& host) { return host.find(':') != std::string::npos ? "[" + host + "]" : host; }

Process::Command connect_timeout(const std::string& host, const std::string& port, const std::string& milliseconds) {
    return {program("tcp/connect_timeout"), "--host", host, "--port", port, "--timeout", milliseconds};
}

/// "40000" of "... 127.0.0.1:40000".
std::string after_last_colon(const std::string& line) { return line.substr(line.rfind(':') + 1); }

/// The tables that backlog prints: each begins with "  listener" and has a line for each client.
[[maybe_unused]] std::vector<std::vector<std::string>> tables_of(const std::string& output) {
    std::vector<std::vector<std::string>> tables;
    for (const std::string& line : lines_of(output)) {
        if (line.rfind("  listener", 0) == 0) tables.emplace_back();
        if (line.rfind("  ", 0) == 0 && !tables.empty()) tables.back().push_back(line);
    }
    return tables;
}

[[maybe_unused]] size_t lines_in(const std::vector<std::string>& table, const std::string& part) {
    size_t count = 0;
    for (const std::string& line : table)
        count += line.find(part) != std::string::npos ? 1 : 0;
    return count;
}

/// What a client of dual_stack is told.
std::string told_to(const std::string& host, const std::string& port) {
    return run({"socat", "-t", "5", "-", "TCP:" + bracketed(host) + ":" + port});
}

}  // namespace

TEST_CASE("connect_timeout: connected", "[programs][tcp][connect_timeout]") {
    const std::string host = GENERATE(from_range(hosts()));
    const Peer listener = Peer::bound(SOCK_STREAM, host);
    const std::string out = run(connect_timeout(host, listener.port(), "5000"));
    const std::vector<std::string> lines = lines_of(out);
    REQUIRE(lines.size() == 5);
    CHECK(lines[0] == bracketed(host) + ":" + listener.port());
    CHECK_THAT(lines[1], ContainsSubstring("connect() = "));
    CHECK_THAT(lines[2], ContainsSubstring("poll() = 1") && ContainsSubstring("ESTABLISHED"));
    CHECK_THAT(lines[3], ContainsSubstring("SO_ERROR = 0") && ContainsSubstring("ESTABLISHED"));
    CHECK_THAT(lines[4], StartsWith("connected: " + bracketed(host) + ":") &&
                             ContainsSubstring(" <-> " + bracketed(host) + ":" + listener.port()));
}

TEST_CASE("connect_timeout: to programs of others", "[programs][tcp][connect_timeout][foreign]") {
    if (!has_tool("socat")) return;
    const std::string host = GENERATE(from_range(hosts()));
    const std::string family = host == "::1" ? "6" : "4";
    Process theirs({"socat", "-d", "-d", "TCP" + family + "-LISTEN:0,bind=" + bracketed(host), "EXEC:cat"});
    const std::string port = after_last_colon(theirs.expect_line(Stream::err, "listening on"));
    CHECK_THAT(run(connect_timeout(host, port, "5000")), ContainsSubstring("connected: "));
    theirs.wait();
    Process again(connect_timeout(host, port, "5000"));  // it served one, and listens no more
    again.expect_exit(1);
    CHECK_THAT(again.err(), ContainsSubstring("(ECONNREFUSED)"));
}

TEST_CASE("connect_timeout: refused", "[programs][tcp][connect_timeout]") {
    const std::string host = GENERATE(from_range(hosts()));
    const FreePort port(SOCK_STREAM, host);
    Process process(connect_timeout(host, port.text(), "30000"));
    process.expect_exit(1);
    CHECK_THAT(process.out(), ContainsSubstring("SO_ERROR = ECONNREFUSED"));
    CHECK(lines_with(process.out(), "CLOSED").size() >= 2);
    CHECK(lines_of(process.err()).size() == 1);
    CHECK_THAT(process.err(), StartsWith("not connected: " + bracketed(host) + ":" + port.text() + ": ") &&
                                  ContainsSubstring("(ECONNREFUSED)"));
}

TEST_CASE("connect_timeout: no answer, from a listener whose queue is full", "[programs][tcp][connect_timeout]") {
    const std::string host = GENERATE(from_range(hosts()));
    Server full = start_server("tcp/backlog", {"--stay", "--host", host});
    full.expect(Stream::out, "queue 2/1");
    const auto begin = std::chrono::steady_clock::now();
    Process process(connect_timeout(host, full.port(), "250"));
    process.expect_exit(1);
    const auto passed = std::chrono::steady_clock::now() - begin;
    CHECK(passed >= Milliseconds(250));
    CHECK(passed < Milliseconds(20'000));  // the kernel's own patience is over two minutes
    CHECK_THAT(process.out(), ContainsSubstring("poll() = 0: no outcome yet, SYNs sent: 1") &&
                                  ContainsSubstring("SYN_SENT") && !ContainsSubstring("SO_ERROR"));
    CHECK(process.err() == "not connected: " + bracketed(host) + ":" + full.port() + ": no answer within 250 ms\n");

    Process at_once(connect_timeout(host, full.port(), "0"));
    at_once.expect_exit(1);
    CHECK_THAT(at_once.err(), ContainsSubstring("no answer within 0 ms"));

    full.signal(SIGINT);
    full.expect_exit(0);
    Process refused(connect_timeout(host, full.port(), "30000"));
    refused.expect_exit(1);
    CHECK_THAT(refused.err(), ContainsSubstring("(ECONNREFUSED)"));
}

TEST_CASE("connect_timeout: a network that can't be reached", "[programs][tcp][connect_timeout]") {
    Process process({program("tcp/connect_timeout"), "--fault", "connect:ENETUNREACH"});
    process.expect_exit(1);
    CHECK_THAT(process.out(), ContainsSubstring("connect() = -1 ENETUNREACH"));
    CHECK_THAT(process.err(), ContainsSubstring("(ENETUNREACH)"));
}

#ifdef __linux__
TEST_CASE("connect_timeout: each address of a name is tried", "[programs][tcp][connect_timeout]") {
    if (hosts().size() < 2) return;
    const TempDir directory;
    const std::string names = directory / "hosts";
    write_file(names, "::1 twice.test\n127.0.0.1 twice.test\n");
    const auto try_both = [&](const std::string& port) {
        const std::string path = program("tcp/connect_timeout");
        return std::make_unique<Process>([&names, path, port] {
            // /etc/hosts of its own, in a mount namespace (mount_namespaces(7)) that ends with the process.
            const int root = geteuid() == 0 ? 0 : CLONE_NEWUSER;
            if (unshare(root | CLONE_NEWNS) == -1 || mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == -1 ||
                mount(names.c_str(), "/etc/hosts", nullptr, MS_BIND, nullptr) == -1) {
                _exit(77);
            }
            execl(path.c_str(), path.c_str(), "--host", "twice.test", "--port", port.c_str(), nullptr);
        });
    };
    const Peer listener = Peer::bound(SOCK_STREAM);
    const auto process = try_both(listener.port());
    if (process->wait().status == 77) return skip("no mount namespaces here");
    process->expect_exit(0);
    const std::string& out = process->out();
    const size_t first = out.find("[::1]:" + listener.port()), refused = out.find("SO_ERROR = ECONNREFUSED"),
                 second = out.find("\n127.0.0.1:" + listener.port()), connected = out.find("connected: 127.0.0.1:");
    CHECK(first == 0);
    CHECK(first < refused);
    CHECK(refused < second);
    CHECK(second < connected);
    CHECK(connected != std::string::npos);

    const FreePort nobody;
    const auto failing = try_both(nobody.text());
    failing->expect_exit(1);
    CHECK_THAT(failing->err(), ContainsSubstring("[::1]:" + nobody.text() + ": ") &&
                                   ContainsSubstring("; 127.0.0.1:" + nobody.text() + ": "));
}

TEST_CASE("backlog: who is connected, who waits, and who moves up", "[programs][tcp][backlog]") {
    struct Run {
        std::string host;
        size_t backlog, clients;
        Process process;
        Run(const std::string& at, size_t n, size_t count)
            : host(at),
              backlog(n),
              clients(count),
              process({program("tcp/backlog"), "--host", at, "--port", "0", "--backlog", std::to_string(n), "--clients",
                       std::to_string(count)}) {}
    };
    std::vector<std::unique_ptr<Run>> runs;  // at the same time, since a SYN is sent again only after a second
    for (const std::string& host : hosts()) {
        runs.push_back(std::make_unique<Run>(host, 1, 4));
        runs.push_back(std::make_unique<Run>(host, 0, 2));
        runs.push_back(std::make_unique<Run>(host, 5, 3));
    }
    for (const auto& one : runs) {
        INFO("at " << one->host << ", listen() with " << one->backlog << ", " << one->clients << " clients");
        one->process.expect_exit(0);
        INFO(one->process.describe());
        const auto tables = tables_of(one->process.out());
        REQUIRE(tables.size() == 1 + one->clients);
        const size_t queued = std::min(one->backlog + 1, one->clients);  // Linux takes one more than the backlog
        const std::string limit = "/" + std::to_string(one->backlog);
        CHECK_THAT(tables[0][0], ContainsSubstring("LISTEN  queue " + std::to_string(queued) + limit));
        CHECK(lines_in(tables[0], "ESTABLISHED, not accepted yet") == queued);
        CHECK(lines_in(tables[0], "SYN_SENT     server's side: nothing") == one->clients - queued);
        for (size_t i = 1; i < tables.size(); ++i)
            CHECK(lines_in(tables[i], "ESTABLISHED, accepted") == i);
        CHECK_THAT(tables.back()[0], ContainsSubstring("queue 0" + limit));
        CHECK(lines_in(tables.back(), "SYN_SENT") == 0);
        CHECK(count_of(one->process.out(), "accept() takes") == one->clients);
        CHECK((count_of(one->process.out(), "has sent its SYN again") > 0) == (one->clients > queued));
    }
}

TEST_CASE("backlog: ss sees the full queue, too", "[programs][tcp][backlog][foreign]") {
    if (!has_tool("ss")) return;
    const Server full = start_server("tcp/backlog", {"--stay", "--backlog", "3"});
    const std::string listeners = run({"ss", "-Htln", "sport = :" + full.port()});
    CHECK(std::regex_search(listeners, std::regex("LISTEN +4 +3 ")));
    const std::string waiting = run({"ss", "-Htan", "state", "syn-sent", "dport = :" + full.port()});
    CHECK(lines_of(waiting).size() == 1);
}
#endif

TEST_CASE("time_wait: a restart with and without SO_REUSEADDR", "[programs][tcp][time_wait]") {
    const std::string host = GENERATE(from_range(hosts()));
    Process process({program("tcp/time_wait"), "--host", host, "--port", "0"});
    process.expect_exit(0);
    const std::string& out = process.out();
    INFO(out);
    std::smatch match;
    REQUIRE(std::regex_search(out, match, std::regex("bind\\((\\S+?:[1-9]\\d*)\\) = -1 EADDRINUSE")));
    const std::string address = match[1];
    CHECK_THAT(out, ContainsSubstring("bind(" + address + ") with SO_REUSEADDR = 0\n"));
    CHECK_THAT(out, ContainsSubstring("bind(" + address + ") with SO_REUSEADDR = -1 EADDRINUSE\n"));
#ifdef __linux__
    CHECK_THAT(out, ContainsSubstring("the server's side is TIME_WAIT, the client's gone"));
    const std::string owner = "time_wait (pid " + std::to_string(process.pid()) + ")\n";
    CHECK_THAT(out, ContainsSubstring("    " + address + "  LISTEN: " + owner));
    CHECK(std::regex_search(out, std::regex("TIME_WAIT for (60|5\\d)\\.\\d\\d s more: of no process")));
    if (!has_tool("ss")) return;
    const std::string seen = run({"ss", "-Htan", "state", "time-wait", "sport = :" + after_last_colon(address)});
    CHECK_THAT(seen, ContainsSubstring(address));
#endif
}

TEST_CASE("time_wait: when the client closes first, the server has no TIME_WAIT", "[programs][tcp][time_wait]") {
    const std::string host = GENERATE(from_range(hosts()));
    const std::string out = run({program("tcp/time_wait"), "--client-first", "--host", host, "--port", "0"});
    INFO(out);
    CHECK(count_of(out, "EADDRINUSE") == 1);  // only while the server listens
    CHECK(std::regex_search(out, std::regex("without SO_REUSEADDR:\n  bind\\(\\S+\\) = 0\n")));
#ifdef __linux__
    CHECK_THAT(out, ContainsSubstring("the server's side is gone, the client's TIME_WAIT"));
#endif
}

#ifdef __linux__
TEST_CASE("time_wait: names the process that has the port", "[programs][tcp][time_wait]") {
    const Server ours = start_server("tcp/echo_server");
    Process process({program("tcp/time_wait"), "--port", ours.port()});
    process.expect_exit(1);
    CHECK_THAT(process.out(), ContainsSubstring("LISTEN: echo_server (pid " + std::to_string(ours.pid()) + ")"));
    CHECK(process.err() == "127.0.0.1:" + ours.port() + " is taken: stop that first\n");

    if (!has_tool("socat")) return;
    Process theirs({"socat", "-d", "-d", "TCP4-LISTEN:0", "EXEC:cat"});  // at 0.0.0.0, which is in the way, too
    const std::string port = after_last_colon(theirs.expect_line(Stream::err, "listening on"));
    Process second({program("tcp/time_wait"), "--port", port});
    second.expect_exit(1);
    CHECK_THAT(second.out(),
               ContainsSubstring("0.0.0.0:" + port + "  LISTEN: socat (pid " + std::to_string(theirs.pid()) + ")"));
}
#endif

TEST_CASE("time_wait: an address that is not this machine's", "[programs][tcp][time_wait]") {
    Process process({program("tcp/time_wait"), "--host", "203.0.113.7", "--port", "0"});  // TEST-NET-3 (RFC 5737)
    process.expect_exit(1);
    CHECK_THAT(process.err(), ContainsSubstring("(EADDRNOTAVAIL)"));
    CHECK(lines_of(process.err()).size() == 1);
}

TEST_CASE("dual_stack: one socket for both IP versions", "[programs][tcp][dual_stack]") {
    if (hosts().size() < 2 || !has_tool("socat")) return;
    Server server = start_server("tcp/dual_stack");
    CHECK(server.err() == "[::]:" + server.port() + " can be reached from other machines, by anybody\n");
    CHECK_THAT(told_to("127.0.0.1", server.port()),
               StartsWith("you are [::ffff:127.0.0.1]:") && ContainsSubstring("which is 127.0.0.1 by IPv4"));
    CHECK_THAT(told_to("::1", server.port()), StartsWith("you are [::1]:") && ContainsSubstring("an IPv6 address"));
    CHECK_THAT(server.out(),
               ContainsSubstring("a client: [::ffff:127.0.0.1]:") && ContainsSubstring("a client: [::1]:"));
    Process beside({program("tcp/echo_server"), "--port", server.port()});
    beside.expect_exit(1);
    CHECK_THAT(beside.err(), ContainsSubstring("(EADDRINUSE)"));
    server.signal(SIGTERM);
    server.expect_exit(0);
}

TEST_CASE("dual_stack: --v6only leaves IPv4 to others", "[programs][tcp][dual_stack]") {
    if (hosts().size() < 2 || !has_tool("socat")) return;
    // The port that the kernel picks for IPv6 may be somebody else's in IPv4: then another one.
    std::unique_ptr<Server> picked;
    do {
        picked.reset(new Server(start_server("tcp/dual_stack", {"--v6only"})));
    } while (run({"sh", "-c", "ss -Htan 'src 127.0.0.1:" + picked->port() + "'"}) != "");
    const Server& server = *picked;
    CHECK_THAT(told_to("::1", server.port()), StartsWith("you are [::1]:"));
    Process refused(connect_timeout("127.0.0.1", server.port(), "5000"));
    refused.expect_exit(1);
    CHECK_THAT(refused.err(), ContainsSubstring("(ECONNREFUSED)"));
    const Server beside = start_server("tcp/echo_server", {"--port", server.port()});
    CHECK(run(beside.client("tcp/echo_client"), "hello\n") == "hello\n");
}

TEST_CASE("dual_stack: reached by ncat and curl", "[programs][tcp][dual_stack][foreign]") {
    if (hosts().size() < 2) return;
    const Server server = start_server("tcp/dual_stack");
    for (const std::string& host : hosts()) {
        const std::string expected = host == "::1" ? "you are [::1]:" : "you are [::ffff:127.0.0.1]:";
        if (has_tool("ncat")) {
            CHECK_THAT(run({"ncat", host == "::1" ? "-6" : "-4", host, server.port()}), StartsWith(expected));
        }
        if (has_tool("curl")) {  // which sends a request: a server that closed with it unread would reset
            const std::string url = "http://" + bracketed(host) + ":" + server.port() + "/";
            CHECK_THAT(run({"curl", "-sS", "--http0.9", url}), StartsWith(expected));
        }
    }
}

TEST_CASE("dual_stack: outlives its clients", "[programs][tcp][dual_stack][survival]") {
    if (hosts().size() < 2 || !has_tool("socat")) return;
    Server calm = start_server("tcp/dual_stack", {"--idle", "1", "--fault", "accept:EMFILE"});
    Server flooded = start_server("tcp/dual_stack", {"--idle", "1"});
    const auto serves = [&](const Server& server) {
        return told_to("127.0.0.1", server.port()).rfind("you are ", 0) == 0;
    };
    CHECK(serves(calm));
    Peer::connected_to(calm).reset();
    Peer silent = Peer::connected_to(calm);   // neither says a word nor closes
    Peer busy = Peer::connected_to(flooded);  // never stops sending
    silent.receive(7);
    const std::string flood(100'000, '\x1b');
    pollfd room{busy.fd(), POLLOUT, 0};
    wait_until([&] { return send(busy.fd(), flood.data(), flood.size(), MSG_DONTWAIT) < 0 && errno != EAGAIN; },
               "the server to give up one that never ends", patience, &room);
    for (Server* server : {&calm, &flooded}) {
        CHECK(serves(*server));
        CHECK(server->out().find('\x1b') == std::string::npos);
        CHECK(server->is_running());
    }
}

#ifdef __linux__
TEST_CASE("dual_stack: clients from elsewhere are not served", "[programs][tcp][dual_stack]") {
    std::string elsewhere;  // an address that is ours, but not of the loopback interface: a client has it, too
    ifaddrs* list = nullptr;
    REQUIRE(getifaddrs(&list) == 0);
    for (const ifaddrs* one = list; one != nullptr; one = one->ifa_next) {
        if (one->ifa_addr == nullptr || one->ifa_addr->sa_family != AF_INET) continue;
        const Address address(one->ifa_addr, sizeof(sockaddr_in));
        if (!address.is_loopback()) elsewhere = address.text().substr(0, address.text().rfind(':'));
    }
    freeifaddrs(list);
    if (elsewhere.empty()) return skip("this machine has no other address than those of loopback");
    if (hosts().size() < 2 || !has_tool("socat")) return;
    Server server = start_server("tcp/dual_stack");
    CHECK(told_to(elsewhere, server.port()).empty());
    CHECK_THAT(server.expect_line(Stream::out, "not served"), ContainsSubstring("[::ffff:" + elsewhere + "]:"));
    CHECK_THAT(told_to("127.0.0.1", server.port()), StartsWith("you are "));
}
#endif
