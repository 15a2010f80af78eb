// Descriptors over a socket: passing_server, its workers and clients, and passing_cat.

#include "common/descriptors.hpp"
#include "common/socket_path.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <csignal>
#include <filesystem>
#include <memory>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

/// passing_server and the workers that it was given.
struct Service {
    explicit Service(Process::Command arguments = {})
        : server(start_server("unix/passing_server", with_path(std::move(arguments)))) {}

    Process::Command with_path(Process::Command arguments) const {
        arguments.insert(arguments.end(), {"--path", directory / "workers"});
        return arguments;
    }

    std::unique_ptr<Process> worker(const Process::Command& arguments = {}, const Surroundings& surroundings = {}) {
        Process::Command command{program("unix/passing_worker"), "--path", directory / "workers"};
        command.insert(command.end(), arguments.begin(), arguments.end());
        auto started = std::make_unique<Process>(command, surroundings);
        server.expect_line(Stream::err, "has joined");
        return started;
    }

    std::string client(const Process::Command& arguments, int status = 0) const {
        return run(server.client("unix/passing_client", arguments), "", status);
    }

    TempDir directory;
    Server server;
};

[[maybe_unused]] size_t descriptors_of(const Process& process) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", process.pid()))) {
        (void)entry;
        ++count;
    }
    return count;
}

/// An answer may be here before the last descriptor is closed: so it is waited for. One that leaks never is.
[[maybe_unused]] void has_again(const Process& process, size_t count) {
    wait_until([&] { return descriptors_of(process) == count; },
               fmt::format("{} descriptors; there are {}", count, descriptors_of(process)), Milliseconds(5000));
}

[[maybe_unused]] Peer connected_to_path(const std::string& path) {
    const Address address = unix_address(path);
    Peer peer(socket(AF_UNIX, SOCK_STREAM, 0));
    REQUIRE(connect(peer.fd(), address.get(), address.length()) == 0);
    return peer;
}

}  // namespace

TEST_CASE("passing: clients that nobody here wrote are served by a worker", "[programs][unix][foreign]") {
    const std::string tool = GENERATE("socat", "ncat", "curl");
    if (!has_tool(tool)) return;
    INFO(tool);
    Service service;
    const auto worker = service.worker();
    const std::string host = service.server.host(), port = service.server.port();
    Process::Command command{"socat", "-t", "30", "-", "TCP:" + host + ":" + port};
    if (tool == "ncat") command = {"ncat", host, port};
    if (tool == "curl") command = {"curl", "-sN", "telnet://" + host + ":" + port};
    Process client(command);
    client.feed("hello\n안녕\n");
    CHECK(client.expect(Stream::out, "안녕\n") == "worker 1\nhello\n안녕\n");
    if (tool == "curl") return;  // it waits for more of its terminal, or for us
    client.close_input();
    client.expect_exit(0);
}

TEST_CASE("passing: a large transfer comes back whole", "[programs][unix]") {
    Service service;
    const auto worker = service.worker();
    const std::string bytes = random_bytes(3'000'000);
    CHECK((run(service.server.client("tcp/echo_client"), bytes) == "worker 1\n" + bytes));
}

TEST_CASE("passing: workers share the clients, and clients wait while there is none", "[programs][unix]") {
    Service service;
    Process early(service.server.client("unix/passing_client", {"--requests", "10"}));
    const auto first = service.worker(), second = service.worker();
    early.expect_exit(0);
    CHECK_THAT(early.out(), ContainsSubstring("10 answered, 0 lost\n"));
    const std::string counts = service.client({"--requests", "100"});
    CHECK_THAT(counts, ContainsSubstring("worker 1: ") && ContainsSubstring("worker 2: "));
    CHECK_THAT(counts, ContainsSubstring("100 answered, 0 lost\n"));
    service.server.signal(SIGTERM);
    service.server.expect_exit(0);
    first->expect_exit(0);
    second->expect_exit(0);
    CHECK_THAT(first->err(), ContainsSubstring("the server has ended"));
}

TEST_CASE("passing: a worker killed in mid-request loses that request only", "[programs][unix]") {
    Service service;
    auto first = service.worker();
    const auto second = service.worker();
    Peer a = Peer::connected_to(service.server), b = Peer::connected_to(service.server);
    CHECK(a.receive(9) == "worker 1\n");
    CHECK(b.receive(9) == "worker 2\n");
    Peer c = Peer::connected_to(service.server);  // waits: nobody is free
    c.send("c");

    first->signal(SIGKILL);
    CHECK(service.server.expect_line(Stream::err, "has ended") ==
          "worker 1 has ended in mid-request: its client is lost");
    CHECK(a.receive_to_end().empty());
    b.send("still here");
    CHECK(b.receive(10) == "still here");

    first = service.worker();  // takes its place
    CHECK(c.receive(10) == "worker 1\nc");
    c.end_sending();
    CHECK(c.receive_to_end().empty());
    b.end_sending();
    CHECK(b.receive_to_end().empty());
    CHECK(service.client({"--requests", "20", "--brief"}) == "20 answered, 0 lost\n");
}

TEST_CASE("passing: a worker that does not take a connection costs its client nothing", "[programs][unix]") {
    Service service({"--patience", "1"});
    const auto killed = service.worker();
    killed->signal(SIGSTOP);
    Peer first = Peer::connected_to(service.server);
    const auto stopped = service.worker();
    stopped->signal(SIGSTOP);
    killed->signal(SIGKILL);
    CHECK(service.server.expect_line(Stream::err, "worker 1 ") == "worker 1 has ended: its client goes to another");
    CHECK(service.server.expect_line(Stream::err, "worker 2 ") ==
          "worker 2 does not take what it is sent: its client goes to another");
    const auto healthy = service.worker();
    CHECK(first.receive(9) == "worker 1\n");

    // It wakes up, finds the connection, and must not serve it: another does.
    stopped->signal(SIGCONT);
    stopped->expect_exit(1);
    CHECK_THAT(stopped->err(), ContainsSubstring("(EPIPE)"));
    first.send("hello");
    CHECK(first.receive(5) == "hello");
    first.end_sending();
    CHECK(first.receive_to_end().empty());
}

#ifdef __linux__

TEST_CASE("passing: a worker without a free descriptor says so, and others serve", "[programs][unix]") {
    if (is_sanitized()) return skip("sanitizers need descriptors themselves");
    Service service;
    const auto full = service.worker({}, {.limits = {{RLIMIT_NOFILE, 4}}});  // 0, 1, 2, and its socket
    const auto other = service.worker();
    const size_t before = descriptors_of(*full);
    CHECK(service.client({"--requests", "6", "--at-once", "1"}) == "worker 2: 6 requests\n6 answered, 0 lost\n");
    CHECK_THAT(service.server.err(), ContainsSubstring("worker 1 could not take a connection\n"));
    CHECK_THAT(full->err(), ContainsSubstring("worker 1: a connection was cut off: no descriptor is free"));
    has_again(*full, before);
    CHECK(full->is_running());
}

TEST_CASE("passing: a server out of descriptors serves again when there are some", "[programs][unix]") {
    if (is_sanitized()) return skip("sanitizers need descriptors themselves");
    Service service;
    const auto worker = service.worker();
    rlimit limit{};
    REQUIRE(prlimit(service.server.pid(), RLIMIT_NOFILE, nullptr, &limit) == 0);
    const rlimit low{6, limit.rlim_max};  // 0, 1, 2, two listeners, one worker
    REQUIRE(prlimit(service.server.pid(), RLIMIT_NOFILE, &low, nullptr) == 0);
    Peer client = Peer::connected_to(service.server);
    service.server.expect_line(Stream::err, "(EMFILE)");
    REQUIRE(prlimit(service.server.pid(), RLIMIT_NOFILE, &limit, nullptr) == 0);
    CHECK(client.receive(9) == "worker 1\n");
}

TEST_CASE("passing: whatever a server sends, nothing leaks in a worker", "[programs][unix]") {
    const TempDir directory;
    Peer listener = Peer::bound_to_path(directory / "workers");
    Process worker({program("unix/passing_worker"), "--path", directory / "workers"});
    Peer server = listener.accept();

    int ends[2];
    REQUIRE(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    Peer client(ends[0]);
    const Descriptor connection(ends[1]);
    const Descriptor null(open("/dev/null", O_RDWR));
    const char byte = 7;
    const auto send = [&](const std::vector<int>& descriptors) {
        REQUIRE(send_with_descriptors(server.fd(), &byte, 1, descriptors) == 1);
    };

    send({});
    CHECK(server.receive(1) == "n");
    CHECK_THAT(worker.expect_line(Stream::err, "worker 7"), ContainsSubstring("no connection came"));
    const size_t before = descriptors_of(worker);
    for (const size_t many : {size_t{2}, size_t{3}, size_t{253}}) {
        INFO(many);
        send(std::vector<int>(many, connection.get()));
        CHECK(server.receive(1) == "n");
        has_again(worker, before);
    }
    server.send("garbage");
    CHECK(server.receive(7) == "nnnnnnn");
    send({null.get()});
    CHECK(server.receive(2) == "gd");
    CHECK_THAT(worker.expect_line(Stream::err, "(ENOTSOCK)"), ContainsSubstring("setsockopt"));
    has_again(worker, before);

    client.end_sending();  // so each is served at once
    for (int i = 0; i < 100; ++i) {
        for (int j = 0; j < 100; ++j)
            send({connection.get()});
        std::string answers, all;
        for (int j = 0; j < 100; ++j)
            all += "gd";
        CHECK((server.receive(200) == all));
        client.receive(900);
    }
    has_again(worker, before);
    server.close();
    worker.expect_exit(0);
}

TEST_CASE("passing: whatever a worker sends, nothing leaks in the server", "[programs][unix]") {
    Service service;
    const auto worker = service.worker();
    service.client({"--requests", "1"});
    const size_t before = descriptors_of(service.server);
    const Descriptor null(open("/dev/null", O_RDWR));
    for (const char* word : {"x", "g", "n", "d", ""}) {
        INFO("word " << word);
        Peer hostile = connected_to_path(service.directory / "workers");
        service.server.expect_line(Stream::err, "worker 2 has joined");
        if (*word != '\0') {
            send_with_descriptors(hostile.fd(), word, 1, std::vector<int>(253, null.get()));
            CHECK_THAT(service.server.expect_line(Stream::err, "worker 2 "), ContainsSubstring("says what no worker"));
            CHECK(hostile.receive_to_end().empty());
        } else {
            hostile.close();
            CHECK(service.server.expect_line(Stream::err, "worker 2 ") == "worker 2 has ended");
        }
        has_again(service.server, before);
    }
    CHECK(service.client({"--requests", "50", "--brief"}) == "50 answered, 0 lost\n");
    has_again(service.server, before);
}

#endif

TEST_CASE("passing_cat: the child reads what it may not open", "[programs][unix]") {
    const TempDir directory;
    const std::string bytes = random_bytes(200'000);
    write_file(directory / "file", bytes);
    Process nameless({program("unix/passing_cat"), "--nameless", directory / "file"},
                     {.environment = {"TMPDIR=" + directory.path()}});
    nameless.expect_exit(0);
    CHECK((nameless.out() == bytes));
    CHECK_THAT(nameless.err(), ContainsSubstring(std::string("passing_cat.")) &&
                                   ContainsSubstring(geteuid() == 0 ? "" : ": No such file or directory"));
    CHECK(files_in(directory.path(), "").size() <= 1);  // the copy has no name

    Process missing({program("unix/passing_cat"), directory / "none"});
    missing.expect_exit(1);
    CHECK_THAT(missing.err(), ContainsSubstring("(ENOENT)"));
    CHECK(missing.out().empty());
}

TEST_CASE("passing_cat: root's file is read by nobody", "[programs][unix]") {
    if (geteuid() != 0) return skip("only root can become nobody");
    const TempDir directory;  // of mode 0700
    write_file(directory / "secret", "the secret\n");
    Process cat({program("unix/passing_cat"), directory / "secret"});
    cat.expect_exit(0);
    CHECK(cat.out() == "the secret\n");
    CHECK_THAT(cat.err(), ContainsSubstring("/secret: Permission denied\n"));
    CHECK_THAT(cat.err(), !ContainsSubstring("the child, user 0"));
}
