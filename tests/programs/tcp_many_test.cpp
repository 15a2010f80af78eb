// The echo servers for many clients, each by another way to wait: what one does, all do.

#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>
#include <regex>

#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Many {
    std::string server;
    Process::Command arguments = {};
    std::string host = "127.0.0.1";

    std::string name() const {
        return server + (arguments.empty() ? "" : " " + arguments.front()) + (host == "::1" ? " at ::1" : "");
    }
    bool has_one_thread() const { return server != "tcp/fork_server" && server != "tcp/thread_server"; }

    Server start(const Process::Command& more = {}, const Surroundings& surroundings = {}) const {
        Process::Command all = arguments;
        all.insert(all.end(), {"--host", host});
        all.insert(all.end(), more.begin(), more.end());
        return start_server(server, all, surroundings);
    }
};

/// Those that this system has, at one address.
std::vector<Many> servers_at(const std::string& host) {
    std::vector<Many> servers{{"tcp/fork_server"},  {"tcp/thread_server"}, {"tcp/select_server"},
                              {"tcp/poll_server"},  {"tcp/epoll_server"},  {"tcp/epoll_server", {"--edge"}},
                              {"tcp/kqueue_server"}};
    std::erase_if(servers, [](const Many& many) { return access(program(many.server).c_str(), X_OK) != 0; });
    // It has no threads, and waits in accept() for what its handlers do: process.hpp says why that does not go well.
    if (is_thread_sanitized())
        std::erase_if(servers, [](const Many& many) { return many.server == "tcp/fork_server"; });
    for (Many& many : servers)
        many.host = host;
    return servers;
}

/// And at both: IPv6 only where this machine has it.
std::vector<Many> servers() {
    static const bool ipv6 = has_ipv6();
    std::vector<Many> all = servers_at("127.0.0.1");
    for (const Many& many : servers_at("::1"))
        if (ipv6) all.push_back(many);
    return all;
}

std::string echo(Peer& peer, const std::string& text) {
    peer.send(text);
    return peer.receive(text.size());
}

const std::string client = "tcp/echo_client";

}  // namespace

TEST_CASE("many: large data, and bytes that wait while the server sleeps", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    const Server server = many.start();
    const std::string bytes = random_bytes(3'000'001);
    CHECK((run(server.client(client), bytes) == bytes));

    Peer peer = Peer::connected_to(server);
    CHECK(echo(peer, "hello") == "hello");
    server.signal(SIGSTOP);
    std::string sent;
    for (ssize_t count = 0; (count = send(peer.fd(), bytes.data(), 200'000, MSG_DONTWAIT)) > 0;)
        sent.append(bytes, 0, static_cast<size_t>(count));
    server.signal(SIGCONT);
    CHECK((peer.receive(sent.size()) == sent));
}

TEST_CASE("many: nobody waits for another client", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    Server server = many.start();
    Peer silent = Peer::connected_to(server);
    std::vector<Peer> peers;
    for (int i = 0; i < 30; ++i)
        peers.push_back(Peer::connected_to(server));
    for (int round = 0; round < 3; ++round) {
        for (size_t i = 0; i < peers.size(); ++i) {
            const std::string text = fmt::format("{} of {}\n", round, i);
            REQUIRE(echo(peers[i], text) == text);
        }
    }
    CHECK(echo(silent, "not so silent") == "not so silent");
    peers.clear();
    must_serve(server, client);
    CHECK(server.err().empty());
    CHECK(lines_of(server.out()).size() == 1);  // "listening on", and no more
}

TEST_CASE("many: half-close, and all that was sent still comes back", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    const Server server = many.start();
    const std::string bytes = random_bytes(300'000);
    Peer peer = Peer::connected_to(server);
    peer.send(bytes);
    peer.end_sending();
    CHECK((peer.receive_to_end() == bytes));
    Peer nothing = Peer::connected_to(server);
    nothing.end_sending();
    CHECK(nothing.receive_to_end().empty());
}

#ifdef __linux__
namespace {

/// A number of /proc/PID/status: "VmRSS" in KiB, "Threads".
long status_of(pid_t pid, const std::string& name) {
    for (const std::string& line : lines_of(read_file(fmt::format("/proc/{}/status", pid))))
        if (line.rfind(name + ":", 0) == 0) return std::stol(line.substr(name.size() + 1));
    throw std::runtime_error("no " + name);
}

/// Children, also those that are zombies.
std::vector<pid_t> children_of(pid_t pid) {
    std::ifstream file(fmt::format("/proc/{0}/task/{0}/children", pid));
    std::vector<pid_t> children;
    for (pid_t child = 0; file >> child;)
        children.push_back(child);
    return children;
}

/// How long a process has run on a processor.
double seconds_of_work(pid_t pid) {
    clockid_t clock{};
    timespec time{};
    REQUIRE(clock_getcpuclockid(pid, &clock) == 0);
    REQUIRE(clock_gettime(clock, &time) == 0);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void limit_descriptors(pid_t pid, rlim_t most) {
    rlimit limit{};
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, nullptr, &limit) == 0);
    limit.rlim_cur = std::min(most, limit.rlim_max);
    REQUIRE(prlimit(pid, RLIMIT_NOFILE, &limit, nullptr) == 0);
}

}  // namespace

TEST_CASE("many: a client that does not read is not read from, and holds up nobody", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    Server server = many.start();
    must_serve(server, client);
    const long before = status_of(server.pid(), "VmRSS");
    const std::string bytes = random_bytes(1'000'003);
    Peer deaf = Peer::connected_to(server);
    size_t sent = 0;
    for (bool more = true; more;) {  // until nothing goes even after the server has served another one
        more = false;
        for (;;) {
            const size_t at = sent % bytes.size();
            const ssize_t count = send(deaf.fd(), bytes.data() + at, bytes.size() - at, MSG_DONTWAIT);
            if (count <= 0) break;
            sent += static_cast<size_t>(count);
            more = true;
        }
        must_serve(server, client);
    }
    CHECK(sent > 100'000);
    CHECK(sent < 60'000'000);  // what is on its way is in the kernel's buffers, and those have an end
    if (!is_sanitized()) CHECK(status_of(server.pid(), "VmRSS") - before < 1000);

    CHECK(server.err().empty());
    bool same = true;
    for (size_t received = 0; received < sent;) {
        const size_t at = received % bytes.size();
        const size_t count = std::min(sent - received, bytes.size() - at);
        same = same && deaf.receive(count) == bytes.substr(at, count);
        received += count;
    }
    CHECK(same);
    deaf.end_sending();
    CHECK(deaf.receive_to_end().empty());
}

TEST_CASE("many: out of descriptors, it serves those who are here, rests, and takes the others later",
          "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers_at("127.0.0.1")));
    if (is_sanitized()) return skip("sanitizers need descriptors themselves");
    INFO(many.name());
    Server server = many.start();
    rlim_t next = 0;  // the number that the first client's descriptor will have
    while (std::filesystem::is_symlink(fmt::format("/proc/{}/fd/{}", server.pid(), next)))
        ++next;
    Peer first = Peer::connected_to(server);
    CHECK(echo(first, "hello") == "hello");
    limit_descriptors(server.pid(), many.server == "tcp/fork_server" ? next : next + 1);

    // An accept() that waits has its descriptor already.
    std::vector<Peer> waiting;
    for (int i = 0; i < 3; ++i) {
        waiting.push_back(Peer::connected_to(server));
        waiting.back().send("are there descriptors?");
    }
    const double work = seconds_of_work(server.pid());
    for (int i = 0; i < 3; ++i) {
        CHECK_THAT(server.expect_line(Stream::err, "(EMFILE)"), StartsWith(many.server + ".cpp:"));
        CHECK(echo(first, "hello again") == "hello again");
    }
    CHECK(seconds_of_work(server.pid()) - work < 0.05);
    CHECK(server.is_running());
    limit_descriptors(server.pid(), 100);
    for (Peer& peer : waiting)
        CHECK(peer.receive(22) == "are there descriptors?");
    must_serve(server, client);
}

TEST_CASE("many: no child and no thread is left of a client that has gone", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers_at("127.0.0.1")));
    INFO(many.name());
    const Server server = many.start();
    const bool one_more = many.server == "tcp/thread_server" && is_thread_sanitized();
    const long threads = status_of(server.pid(), "Threads") + (one_more ? 1 : 0);
    std::vector<Peer> peers;
    for (int i = 0; i < 20; ++i) {
        peers.push_back(Peer::connected_to(server));
        CHECK(echo(peers.back(), "x") == "x");
    }
    CHECK(children_of(server.pid()).size() == (many.server == "tcp/fork_server" ? 20 : 0));
    CHECK(status_of(server.pid(), "Threads") == threads + (many.server == "tcp/thread_server" ? 20 : 0));
    for (size_t i = 0; i < peers.size(); i += 2)
        peers[i].reset();
    peers.clear();
    wait_until([&] { return children_of(server.pid()).empty(); }, "the children to be gone, and collected");
    wait_until([&] { return status_of(server.pid(), "Threads") == threads; }, "the threads to be gone");
}

TEST_CASE("many: fork_server, its children and signals", "[programs][tcp][many]") {
    if (is_thread_sanitized()) return skip("ThreadSanitizer holds its handlers back: no test here has it");
    const bool at_terminal = GENERATE(true, false);
    Surroundings surroundings;
    if (at_terminal) surroundings.terminal = Terminal::all;
    Server server = start_server("tcp/fork_server", {}, surroundings);
    std::vector<Peer> peers;
    for (int i = 0; i < 5; ++i) {
        peers.push_back(Peer::connected_to(server));
        CHECK(echo(peers.back(), "x") == "x");
    }
    std::vector<pid_t> children = children_of(server.pid());
    REQUIRE(children.size() == 5);
    // One dies by violence: its client is told, and nobody else.
    kill(children[0], SIGKILL);
    wait_until([&] { return children_of(server.pid()).size() == 4; }, "it to be collected");
    CHECK(peers[0].receive_to_end().empty());
    for (size_t i = 1; i < 5; ++i)
        CHECK(echo(peers[i], "still there?") == "still there?");
    must_serve(server, client);

    kill(children[1], SIGSTOP);  // not even a stopped one is left
    if (at_terminal) {
        server.type("\x03");
    } else {
        server.signal(GENERATE(SIGINT, SIGTERM));
    }
    server.expect_exit(0);
    for (const pid_t child : children)
        CHECK((kill(child, 0) == -1 && errno == ESRCH));
    for (size_t i = 1; i < 5; ++i)
        CHECK(peers[i].receive_to_end().empty());
}

TEST_CASE("many: select_server at the end of an fd_set", "[programs][tcp][many]") {
    rlimit limit{};
    REQUIRE(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    if (limit.rlim_max < 1100) return skip("not as many descriptors may be open here");
    Server server = start_server("tcp/select_server", {}, {.limits = {{RLIMIT_NOFILE, 1100}}});
    Process crowd(server.client("tcp/crowd", {"--connections", "1040", "--messages", "2", "--json"}));
    crowd.expect_exit(1);
    const int failed = std::atoi(crowd.err().c_str());
    CHECK(failed >= 20);  // 0 to 3 are no clients, and it may have been born with others
    CHECK(failed <= 30);
    CHECK_THAT(crowd.err(), StartsWith(fmt::format("{} of 1040 connections failed (number ", failed)));
    CHECK_THAT(server.expect_line(Stream::err, "fd 1024"),
               StartsWith("fd 1024 does not fit into an fd_set, which ends at 1023"));
    must_serve(server, client);
    CHECK(static_cast<int>(count_of(server.err(), "does not fit")) == failed);
}
#endif

TEST_CASE("many: silent clients are dropped after their time, and others are not", "[programs][tcp][many]") {
    struct Guests {
        explicit Guests(const Many& many)
            : name(many.name()),
              server(many.start({"--idle", is_sanitized() ? "5" : "1"})),  // all are to be started by then
              silent(Peer::connected_to(server)),
              busy(Peer::connected_to(server)) {}
        std::string name;
        Server server;
        Peer silent, busy;
        bool is_silent_one_there() const {
            char byte = 0;
            return recv(silent.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == -1;
        }
    };
    std::vector<std::unique_ptr<Guests>> all;
    const auto begin = std::chrono::steady_clock::now();
    for (const Many& many : servers())
        all.push_back(std::make_unique<Guests>(many));
    const auto nobody_is_silent = [&] {
        return std::none_of(all.begin(), all.end(), [](const auto& guests) { return guests->is_silent_one_there(); });
    };
    while (!nobody_is_silent()) {
        REQUIRE(std::chrono::steady_clock::now() - begin < patience);
        for (const auto& guests : all)
            REQUIRE(echo(guests->busy, "x") == "x");
        serve_processes(Milliseconds(5));
    }
    CHECK(std::chrono::steady_clock::now() - begin >= Milliseconds(950));
    for (const auto& guests : all) {
        INFO(guests->name);
        CHECK(guests->silent.receive_to_end().empty());
        CHECK(echo(guests->busy, "still here") == "still here");
        guests->server.expect_line(Stream::err, "");
        CHECK(lines_of(guests->server.err()).size() == 1);
    }
}

TEST_CASE("many: clients that reset, are killed, or leave at once", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    Server server = many.start();
    Peer witness = Peer::connected_to(server);
    CHECK(echo(witness, "x") == "x");
    for (int i = 0; i < 10; ++i) {
        Peer peer = Peer::connected_to(server);
        CHECK(echo(peer, "hello") == "hello");
        peer.send(std::string(100'000, 'x'));
        peer.reset();  // with answers on their way
    }
    for (int i = 0; i < 50; ++i)
        Peer::connected_to(server);
    Process killed(server.client(client));
    killed.feed("hello\n");
    killed.expect(Stream::out, "hello\n");
    killed.signal(SIGKILL);
    killed.wait();
    must_serve(server, client);
    CHECK(echo(witness, "still here") == "still here");
    for (const std::string& line : lines_of(server.err()))
        CHECK_THAT(line, ContainsSubstring("(ECONNRESET)") || ContainsSubstring("(EPIPE)"));
    CHECK(server.is_running());
}

TEST_CASE("many: a call that fails for one client is not the others' trouble", "[programs][tcp][many]") {
    std::vector<Task> tasks;
    for (const char* fault : {"accept:ECONNABORTED", "accept:EMFILE", "accept:EAGAIN", "recv:ECONNRESET", "send:EPIPE",
                              "send:EAGAIN", "setsockopt:EINVAL:2", "close:EIO"}) {
        for (const Many& many : servers_at("127.0.0.1")) {
            // Each child of fork_server counts its own calls: there it is every client's.
            if (many.server == "tcp/fork_server" && std::string(fault).rfind("accept", 0) != 0) continue;
            tasks.push_back({many.name() + " " + fault, [many, fault] {
                                 Server server = many.start({"--fault", fault});
                                 Process unlucky(server.client(client));
                                 unlucky.feed("hello\n");
                                 unlucky.close_input();  // it may be served, or not
                                 server.expect_line(Stream::err, "--fault: ");
                                 must_serve(server, client);
                                 if (!server.is_running()) throw Unexpected(server.describe());
                             }});
        }
    }
    CHECK(run_in_parallel(tasks) == "");
}

TEST_CASE("many: SIGINT and SIGTERM end it, and its clients are told", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    for (const int signal : {SIGINT, SIGTERM}) {
        Server server = many.start();
        Peer peer = Peer::connected_to(server);
        CHECK(echo(peer, "x") == "x");
        server.signal(signal);
        server.expect_exit(0);
        CHECK(peer.receive_to_end().empty());
        CHECK(server.err().empty());
    }
}

TEST_CASE("many: a crowd, of which every byte comes back", "[programs][tcp][many]") {
    const Many many = GENERATE(from_range(servers()));
    INFO(many.name());
    Server server = many.start();
    run(server.client("tcp/crowd", {"--connections", "200", "--messages", "5", "--size", "1000"}));
    run(server.client("tcp/crowd", {"--connections", "5", "--messages", "4", "--size", "300000", "--in-flight", "3"}));
    must_serve(server, client);
    CHECK(server.err().empty());
}

TEST_CASE("many: clients that others wrote", "[programs][tcp][many][foreign]") {
    const std::string tool = GENERATE("socat", "ncat");
    if (!has_tool(tool)) return;
    const std::string text = "hello\nan empty line follows\n\n안녕 without a newline";
    std::vector<Task> tasks;
    for (const Many& many : servers()) {
        tasks.push_back({many.name(), [many, tool, text] {
                             const Server server = many.start();
                             const std::string host = many.host == "::1" ? "[::1]" : many.host;
                             const std::string out =
                                 tool == "socat"
                                     ? run({"socat", "-t", "30", "-", "TCP:" + host + ":" + server.port()}, text)
                                     : run({"ncat", many.host, server.port()}, text);
                             if (out != text) throw Unexpected("it got back: " + out);
                         }});
    }
    CHECK(run_in_parallel(tasks) == "");
}

TEST_CASE("many: --trace tells children and threads apart", "[programs][tcp][many]") {
    for (const auto& [name, label] : {std::pair<std::string, std::string>{"tcp/fork_server", "\\[child \\d+\\] "},
                                      {"tcp/thread_server", "\\[thread \\d+\\] "}}) {
        INFO(name);
        Server server = start_server(name, {"--trace"});
        Peer first = Peer::connected_to(server), second = Peer::connected_to(server);
        CHECK(echo(first, "1") == "1");
        CHECK(echo(second, "2") == "2");
        first.close();
        second.close();
        const std::regex closing("\n(" + label + ")tcp/[^\n]*  close\\(connection\\)");
        std::vector<std::string> labels;
        const auto both_have_closed = [&] {
            const std::string& told = server.err();
            labels.clear();
            for (std::sregex_iterator match(told.begin(), told.end(), closing), end; match != end; ++match)
                labels.push_back((*match)[1]);
            return labels.size() == 2;
        };
        wait_until(both_have_closed, "two that close their connections");
        CHECK(labels.at(0) != labels.at(1));
    }
}
