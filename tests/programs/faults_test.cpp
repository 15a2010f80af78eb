// Every program, with every of its calls failing once: --fault any:EIO:N for N = 1, 2, 3 ... until a run has no call
// left to fail, and then again with each error that the call's man page knows, the first two times at each place in the
// source. Whatever fails, the program neither crashes nor hangs, and it is not silent: it ends with status 0 only if
// everything came back right, and with status 1 only if it said why. A server that goes on serves the next client.
//
// A new program needs a row in this table, or the last test fails.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <set>
#include <unistd.h>

namespace {

enum class Role {
    server,  ///< prints "listening on", and serves the peer
    client,  ///< connects to the peer
    alone,   ///< has no peer
    helper,  ///< helps the peer, a server, which others of its kind help, too
};

struct Row {
    std::string program;
    Role role;
    std::string peer = {};  ///< the program at the other end
    Process::Command arguments = {};
    Process::Command peer_arguments = {};
    std::string input = "hello\n한글\n";  ///< of the client, or of a program without a peer
    std::string sign = {};      ///< what its output has in it when all went well, if the rest is never the same
    std::string upstream = {};  ///< of a server: the one to which it passes everything on (--to)
    std::vector<std::string> errors = {};  ///< besides EIO these, and not all
    bool forks = false;       ///< each of its children counts on by itself, and so has the same call fail, too
    std::string helper = {};  ///< two of these must come to the server's --path, or it serves nobody
};

/// Of programs that take their time: only the error after which the call is made again.
const std::vector<std::string> few{"EINTR"};
const Process::Command impatient{"--timeout", "100", "--tries", "3"};

const Process::Command few_probes{"--count", "3", "--interval", "1", "--settle", "1", "--timeout", "100"};

const Process::Command one_request{"--requests", "1", "--brief", "--patience", "5"};

std::vector<Row> rows() {
    return {
        {"tcp/echo_server", Role::server, "tcp/echo_client"},
        {"tcp/echo_client", Role::client, "tcp/echo_server"},
        {"tcp/file_server",
         Role::server,
         "tcp/file_client",
         {"--folder", "common"}},  // it lists; getting: tcp_file_test.cpp
        {"tcp/file_client", Role::client, "tcp/file_server", {}, {"--folder", "common"}},
        {"tcp/chat_server", Role::server, "tcp/chat_client", {}, {"--name", "anna"}, "hello\n/who\n"},
        {"tcp/chat_client", Role::client, "tcp/chat_server", {"--name", "anna"}, {}, "hello\n/who\n"},
        {.program = "tcp/fork_server", .role = Role::server, .peer = "tcp/echo_client", .forks = true},
        {"tcp/thread_server", Role::server, "tcp/echo_client"},
        {"tcp/select_server", Role::server, "tcp/echo_client"},
        {"tcp/poll_server", Role::server, "tcp/echo_client"},
        {"tcp/epoll_server", Role::server, "tcp/echo_client"},
        {"tcp/kqueue_server", Role::server, "tcp/echo_client"},
        {"tcp/crowd",
         Role::client,
         "tcp/poll_server",
         {"--connections", "2", "--messages", "2", "--timeout", "1", "--json"},
         {},
         "",
         "\"failed\": 0, \"active\": 2, \"size\": 64, \"in_flight\": 1, \"messages\": 4,"},
        {"tcp/addresses", Role::alone, "", {"127.0.0.1", "7000"}},
        {"tcp/message_server", Role::server, "tcp/message_client"},
        {"tcp/message_client", Role::client, "tcp/message_server"},
        {"tcp/half_close_server", Role::server, "tcp/half_close_client"},
        {"tcp/half_close_client", Role::client, "tcp/half_close_server"},
        {.program = "tcp/goodbye", .role = Role::alone, .arguments = {"--scene", "sigpipe"}, .errors = few},
        {"tcp/trouble", Role::server, "tcp/echo_client", {"--merge", "1"}, {}, "hello\n", "", "tcp/echo_server"},
        {"tcp/connect_timeout", Role::client, "tcp/echo_server", {"--timeout", "1000"}, {}, "", "connected: "},
        {"tcp/backlog", Role::alone, "", {"--port", "0", "--clients", "2"}, {}, "", "accept() takes"},
        {"tcp/time_wait", Role::alone, "", {"--port", "0"}, {}, "", "a second server", "", few},
        {"tcp/dual_stack", Role::server, "tcp/connect_timeout", {"--idle", "1"}, {}, "", "connected: "},
        {"tcp/nagle", Role::alone, "", {"--port", "0", "--rounds", "1"}, {}, "", "one write"},
        {"tcp/keepalive",
         Role::alone,
         "",
         {"--port", "0", "--idle", "0", "--user-timeout", "1"},
         {},
         "",
         ") = -1 E",
         "",
         few},
        {"tcp/buffers",
         Role::alone,
         "",
         {"--port", "0", "--piece", "20000", "--limit", "1"},
         {},
         "",
         "SO_SNDTIMEO",
         "",
         few},
        {"tcp/urgent", Role::alone, "", {"--port", "0"}},
        {"tcp/http_server", Role::server, "tcp/http_client", {}, {"http://{server}/LICENSE"}},
        {"tcp/http_client", Role::client, "tcp/http_server", {"http://{server}/LICENSE"}},
        {"tcp/states", Role::alone, "", {"--scene", "goodbye"}, {}, "", "7 states and 6 arrows seen", "", few},
        {"tcp/sniffer", Role::alone, "", {"--read", "tcp/captures/hello.pcap", "--hex"}},
        {"udp/echo_server", Role::server, "udp/echo_client", {}, impatient},
        {"udp/echo_client", Role::client, "udp/echo_server", impatient},
        {"udp/boundaries", Role::alone, "", {}, {}, "", "path: what goes through uncut", "", few},
        {"udp/connected_client", Role::client, "udp/echo_server", impatient},
        {"udp/header", Role::alone},
        {"udp/trouble",
         Role::server,
         "udp/echo_client",
         {"--duplicate", "50"},
         impatient,
         "hello\n",
         "",
         "udp/echo_server",
         few},
        {"udp/stop_and_wait_sender",
         Role::client,
         "udp/stop_and_wait_receiver",
         {"LICENSE", "--timeout", "20", "--tries", "400"},
         {"--folder", program("tests"), "--overwrite", "--idle", "1"},
         "",
         " bytes in ",
         "",
         few},
        {"udp/stop_and_wait_receiver",
         Role::server,
         "udp/stop_and_wait_sender",
         {"--folder", program("tests"), "--overwrite"},
         {"LICENSE", "--timeout", "20", "--tries", "400"},
         "",
         " bytes in ",
         "",
         few},
        {"udp/window_sender",
         Role::client,
         "udp/window_receiver",
         {"LICENSE", "--timeout", "20"},
         {"--folder", program("tests"), "--overwrite", "--idle", "1"},
         "",
         " bytes in ",
         "",
         few},
        {"udp/window_receiver",
         Role::server,
         "udp/window_sender",
         {"--folder", program("tests"), "--overwrite"},
         {"LICENSE", "--timeout", "20"},
         "",
         " bytes in ",
         "",
         few},
        {"udp/tftp_server",
         Role::server,
         "udp/tftp_client",
         {"--timeout", "50"},
         {"get", "LICENSE", "--local", program("tests/got"), "--overwrite", "--timeout", "50"},
         "",
         " bytes in ",
         "",
         few},
        {"udp/tftp_client",
         Role::client,
         "udp/tftp_server",
         {"get", "LICENSE", "--local", program("tests/got"), "--overwrite", "--timeout", "50"},
         {},
         "",
         " bytes in ",
         "",
         few},
        {.program = "udp/broadcast_receiver",
         .role = Role::server,
         .peer = "udp/broadcast_sender",
         .sign = " bytes to "},
        {"udp/broadcast_sender", Role::client, "udp/broadcast_receiver"},
        {.program = "udp/multicast_receiver",
         .role = Role::server,
         .peer = "udp/multicast_sender",
         .sign = " bytes to "},
        {"udp/multicast_sender", Role::client, "udp/multicast_receiver"},
        {.program = "udp/chat", .role = Role::server, .peer = "udp/chat", .sign = "* goodbye", .errors = few},
        {"udp/probe_receiver", Role::server, "udp/probe_sender", {}, few_probes, "", " received, 0 lost", "", few},
        {"udp/probe_sender", Role::client, "udp/probe_receiver", few_probes, {}, "", " received, ", "", few},
        {"udp/ping", Role::alone, "", {"--count", "2", "--interval", "10"}, {}, "", " bytes from 127.0.0.1", "", few},
        {"udp/traceroute", Role::alone, "", {"--timeout", "100"}, {}, "", " 1  ", "", few},
        {"udp/batch_sender",
         Role::client,
         "udp/batch_receiver",
         {"--all", "--count", "20", "--timeout", "100"},
         {"--idle", "50"},
         "",
         "single  ",
         "",
         few},
        {"udp/batch_receiver",
         Role::server,
         "udp/batch_sender",
         {"--idle", "50"},
         {"--all", "--count", "20", "--timeout", "100"},
         "",
         "single  ",
         "",
         few},
        {"unix/echo_server", Role::server, "unix/echo_client"},
        {"unix/echo_client", Role::client, "unix/echo_server"},
        {"unix/datagram_server", Role::server, "unix/datagram_client", {}, {"--timeout", "1"}},
        {"unix/datagram_client", Role::client, "unix/datagram_server", {"--timeout", "1"}},
        {"unix/seqpacket_server", Role::server, "unix/seqpacket_client"},
        {"unix/seqpacket_client", Role::client, "unix/seqpacket_server"},
        {"unix/socketpair", Role::alone},
        {.program = "unix/paths", .role = Role::alone, .errors = few},
        {"unix/abstract_server", Role::server, "unix/abstract_client"},
        {"unix/abstract_client", Role::client, "unix/abstract_server"},
        {"unix/credentials_server", Role::server, "unix/credentials_client"},
        {"unix/credentials_client", Role::client, "unix/credentials_server"},
        {"unix/passing_cat", Role::alone, "", {"LICENSE"}},
        {.program = "unix/passing_server",
         .role = Role::server,
         .peer = "unix/passing_client",
         .peer_arguments = one_request,
         .input = "",
         .helper = "unix/passing_worker"},
        {.program = "unix/passing_client",
         .role = Role::client,
         .peer = "unix/passing_server",
         .arguments = one_request,
         .input = "",
         .helper = "unix/passing_worker"},
        {.program = "unix/passing_worker",
         .role = Role::helper,
         .peer = "unix/passing_server",
         .input = "",
         .helper = "unix/passing_worker"},
        {"unix/restart_server", Role::server, "tcp/echo_client"},
        {"unix/race",
         Role::alone,
         "",
         {"--contestants", "tcp,unix-stream,pipe", "--sizes", "64", "--rounds", "2", "--no-bars"},
         {},
         "",
         "Unix stream"},
        {"websocket/echo_server", Role::server, "websocket/echo_client"},
        {"websocket/echo_client", Role::client, "websocket/echo_server"},
        {"websocket/event_server", Role::server, "websocket/echo_client"},
        {"websocket/bridge",
         Role::server,
         "websocket/load",
         {},
         {"--messages", "2", "--kind", "binary", "--json"},
         "",
         "\"messages\": 2,",
         "tcp/echo_server"},
        {"websocket/feed_server",
         Role::server,
         "websocket/feed_client",
         {"--every", "10", "--retry", "10"},
         {"--via", "sse", "--updates", "2", "--again", "10", "--patience", "2"},
         "",
         "\nsse  ",
         "",
         few},
        {"websocket/feed_client",
         Role::client,
         "websocket/feed_server",
         {"--compare", "--updates", "1", "--again", "10"},
         {"--every", "10", "--retry", "10"},
         "",
         "\nwebsocket  ",
         "",
         few},
        {"websocket/chat_server",
         Role::server,
         "websocket/chat_client",
         {},
         {"--name", "anna", "--first-wait", "50", "--tries", "3"},
         "hello\n",
         "<anna> hello\n"},
        {"websocket/chat_client",
         Role::client,
         "websocket/chat_server",
         {"--name", "anna", "--first-wait", "50", "--tries", "3"},
         {},
         "hello\n",
         "<anna> hello\n",
         "",
         few},
        {.program = "websocket/tap",
         .role = Role::server,
         .peer = "websocket/echo_client",
         .arguments = {"--page", "0"},
         .upstream = "websocket/event_server"},
        {"websocket/load",
         Role::client,
         "websocket/event_server",
         {"--messages", "2", "--json"},
         {},
         "",
         "\"messages\": 2,"},
        {"websocket/provoke", Role::client, "websocket/event_server", {"{server}", "unmasked"}, {}, "", "\nverdict  "},
        {"websocket/frames", Role::alone, "", {}, {}, "81 85 37 fa 21 3d 7f 9f 4d 51 58\n"},
        {"websocket/accept_key", Role::alone, "", {"dGhlIHNhbXBsZSBub25jZQ=="}},
    };
}

/// Those calls that fail with an error, by their man pages. With EIO all of them do, whatever their pages say: it
/// stands for what nobody expects.
const std::map<std::string, std::set<std::string>> errors_of_calls{
    {"EINTR", {"accept",  "close",    "connect",  "epoll_wait", "flock",  "fsync",    "kevent",   "open",
               "openat",  "poll",     "pread",    "read",       "recv",   "recvmsg",  "recvmmsg", "select",
               "sendmsg", "recvfrom", "sendmmsg", "send",       "sendto", "sendfile", "waitpid",  "write"}},
    {"ECONNRESET", {"read", "recv", "recvfrom", "recvmsg", "send", "sendmsg", "sendto", "sendfile", "write"}},
    {"EMFILE", {"accept", "dup", "epoll_create1", "kqueue", "open", "openat", "pipe", "socket", "socketpair"}},
    {"ENOMEM", {"accept", "epoll_ctl", "fork", "open", "poll", "recvmsg", "sendmsg", "socket"}},
    {"EAGAIN",
     {"accept", "connect", "fork", "read", "recv", "recvfrom", "recvmsg", "send", "sendmsg", "sendto", "write"}},
};

/// With sanitizers, a program takes ten times as long to start.
std::vector<std::string> errors() {
    if (is_sanitized()) return {"EAGAIN"};
    return {"EINTR", "ECONNRESET", "EMFILE", "ENOMEM", "EAGAIN"};
}

constexpr Milliseconds limit = patience;

std::string fault_option(const std::string& error, int number) {
    return fmt::format("--fault=any:{}:{}", error, number);
}

/// The call that was made to fail, and where; nothing if there was none: FILE:LINE: --fault: CALL is not made ...
struct Injected {
    std::string call, place;
    auto operator<=>(const Injected&) const = default;
};

Injected injected_into(Process& process) {
    const std::string mark = ": --fault: ";
    for (const std::string& line : lines_of(process.err())) {
        const std::size_t at = line.find(mark);
        if (at == std::string::npos) continue;
        const std::size_t begin = at + mark.size();
        return {line.substr(begin, line.find(' ', begin) - begin), line.substr(0, at)};
    }
    return {};
}

bool was_injected(Process& process) { return !injected_into(process).call.empty(); }

/// Did it say anything but that the fault was injected?
bool has_complained(Process& process) {
    for (const std::string& line : lines_of(process.err()))
        if (line.find(": --fault: ") == std::string::npos) return true;
    return false;
}

void must(bool condition, const std::string& what, const std::vector<const Process*>& processes) {
    if (condition) return;
    std::string text = what;
    for (const Process* process : processes)
        text += "\n" + process->describe();
    throw Unexpected(text);
}

/// What a program is to print if nothing that matters has failed.
struct Expected {
    std::string output;
    std::string or_part = {};  ///< or anything with this in it
};

bool is_right(const std::string& output, const Expected& expected) {
    return output == expected.output ||
           (!expected.or_part.empty() && output.find(expected.or_part) != std::string::npos);
}

/// A program's end under a fault is fine if it says why, or if nothing was lost.
void check_end(Process& process, const Expected& expected) {
    const Ending ending = process.wait(limit);
    must(ending.signal == 0, "killed by a signal", {&process});
    must(ending.status == 0 || ending.status == 1, "exit status neither 0 nor 1", {&process});
    if (ending.status == 1) must(has_complained(process), "exit status 1, and not a word", {&process});
    const bool right = is_right(process.out(), expected);
    if (ending.status == 0) must(right, "exit status 0, but not the right output", {&process});
}

/// The server behind a row's server, if it has one.
struct Upstream {
    explicit Upstream(const Row& row) {
        if (row.upstream.empty()) return;
        server.reset(new Server(start_server(row.upstream)));
        arguments = {"--to", server->address()};
    }
    std::unique_ptr<Server> server;
    Process::Command arguments;
};

/// A server that helpers come to at a path.
using Helpers = std::vector<std::unique_ptr<Process>>;

Helpers start_helpers(const std::string& helper, const TempDir& directory) {
    Helpers helpers;
    for (int i = 0; i < 2 && !helper.empty(); ++i)
        helpers.push_back(std::make_unique<Process>(Process::Command{program(helper), "--path", directory / "socket"}));
    return helpers;
}

/// A server without faults, and its helpers.
struct Service {
    Service(const std::string& name, Process::Command arguments, const std::string& helper)
        : server(start_server(name, with_path(std::move(arguments), helper))),
          helpers(start_helpers(helper, directory)) {}

    Process::Command with_path(Process::Command arguments, const std::string& helper) const {
        if (!helper.empty()) arguments.insert(arguments.end(), {"--path", directory / "socket"});
        return arguments;
    }

    TempDir directory;
    Server server;
    Helpers helpers;
};

/// One run of a server with a fault. Returns the call that was made to fail.
Injected run_server(const Row& row, const std::string& error, int number, const std::string& expected) {
    const TempDir directory;
    const Upstream upstream(row);
    Process::Command command{program(row.program), fault_option(error, number)};
    command.insert(command.end(), row.arguments.begin(), row.arguments.end());
    command.insert(command.end(), upstream.arguments.begin(), upstream.arguments.end());
    if (takes_path(row.program)) {
        command.insert(command.end(), {"--path", directory / "socket"});
    } else {
        command.insert(command.end(), {"--port", "0"});
        if (!row.helper.empty()) command.insert(command.end(), {"--path", directory / "socket"});
    }
    Process server(command);
    const auto is_ready = [&] { return server.out().find('\n') != std::string::npos; };
    wait_until([&] { return is_ready() || !server.is_running(); }, "the server to listen or to give up", limit);
    if (!is_ready()) {
        check_end(server, {"a line that says where it listens"});
        return injected_into(server);
    }
    const std::string line = server.out().substr(0, server.out().find('\n'));
    const std::string address = line.substr(line.rfind(' ') + 1);
    const Process::Command client_line = client_command(row.peer, address, row.peer_arguments);
    const Helpers helpers = start_helpers(row.helper, directory);

    Process client(client_line);
    client.feed(row.input);
    client.close_input();
    // A descriptor that close() has not closed stays open as long as the server lives: the client waits for its end.
    const auto is_left_open = [&] { return server.err().find("--fault: close ") != std::string::npos; };
    wait_until([&] { return !client.is_running() || is_left_open(); }, "the client's end", limit);
    const bool left_open = client.is_running();
    if (left_open) server.signal(SIGTERM);
    check_end(client, {expected, row.sign});
    if (client.wait(limit).status == 1) {
        must(was_injected(server), "the client failed, although nothing was injected", {&server, &client});
    }

    if (was_injected(server) && server.is_running() && !left_open && !row.forks) {
        Process second(client_line);
        second.feed(row.input);
        second.close_input();
        const Ending ending = second.wait(limit);
        const bool served = ending == Ending{0, 0} && is_right(second.out(), {expected, row.sign});
        // If not, then because the fault is about to end the server.
        if (!served) wait_until([&] { return !server.is_running(); }, "the end of a server that serves no more", limit);
    }
    if (!left_open) server.signal(SIGTERM);
    check_end(server, {line + "\n", line + "\n"});  // some tell what they do, too
    return injected_into(server);
}

/// One run of a client, or of a program that has no peer.
Injected run_client(const Row& row, const Process::Command& base, const std::string& error, int number,
                    const std::string& expected) {
    Process::Command command = base;
    command.push_back(fault_option(error, number));
    Process client(command);
    client.feed(row.input);
    client.close_input();
    // To print which error a call returned may be all that a program without a peer is for.
    check_end(client, {expected, row.role == Role::alone && row.sign.empty() ? error : row.sign});
    if (client.wait(limit).status == 1) must(was_injected(client), "it failed without a fault", {&client});
    return injected_into(client);
}

/// One run of a helper with a fault: whatever becomes of it, the others serve the next client.
Injected run_helper(const Row& row, const std::string& error, int number) {
    Service service(row.peer, row.peer_arguments, row.helper);
    const auto have_joined = [&](size_t count) { return count_of(service.server.err(), " has joined\n") == count; };
    wait_until([&] { return have_joined(2); }, "the helpers", limit);
    service.helpers.back() = std::make_unique<Process>(
        Process::Command{program(row.program), "--path", service.directory / "socket", fault_option(error, number)});
    Process& helper = *service.helpers.back();
    wait_until([&] { return have_joined(3) || !helper.is_running(); }, "the helper that has a fault", limit);
    const Process::Command client = service.server.client("unix/passing_client", {"--requests", "4", "--brief"});
    Process first(client);
    // As above, a descriptor that close() has not closed stays open: here, as long as the helper lives.
    const auto is_left_open = [&] { return helper.err().find("--fault: close ") != std::string::npos; };
    wait_until([&] { return !first.is_running() || is_left_open(); }, "the client's end", limit);
    if (is_left_open()) service.server.signal(SIGTERM);
    const Ending ending = first.wait(limit);
    must(ending == Ending{0, 0} || was_injected(helper), "requests were lost without a fault", {&first, &helper});
    if (was_injected(helper) && !is_left_open())
        must(run(client).find(" 0 lost") != std::string::npos, "the others don't serve", {});
    service.server.signal(SIGTERM);
    check_end(helper, {""});
    return injected_into(helper);
}

/// All runs of a row.
void run_all(const Row& row) {
    // What comes out when nothing fails.
    std::unique_ptr<Service> service;
    Process::Command base{program(row.program)};
    base.insert(base.end(), row.arguments.begin(), row.arguments.end());
    std::string expected;
    if (row.role == Role::server) {
        const Upstream upstream(row);
        Process::Command arguments = row.arguments;
        arguments.insert(arguments.end(), upstream.arguments.begin(), upstream.arguments.end());
        const Service whole(row.program, arguments, row.helper);
        expected = run(whole.server.client(row.peer, row.peer_arguments), row.input);
    } else if (row.role == Role::client) {
        service = std::make_unique<Service>(row.peer, row.peer_arguments, row.helper);
        base = service->server.client(row.program, row.arguments);
        expected = run(base, row.input);
    } else if (row.role == Role::alone) {
        expected = run(base, row.input);
    }
    const auto run_once = [&](const std::string& error, int number) {
        return row.role == Role::server   ? run_server(row, error, number, expected)
               : row.role == Role::helper ? run_helper(row, error, number)
                                          : run_client(row, base, error, number, expected);
    };
    std::vector<Injected> calls;
    for (Injected one; !(one = run_once("EIO", static_cast<int>(calls.size()) + 1)).call.empty();) {
        calls.push_back(one);
        if (calls.size() == 1000) throw Unexpected("there is no end to its calls");
    }
    for (const std::string& error : row.errors.empty() ? errors() : row.errors) {
        std::map<Injected, int> times;  // in a loop, the third call at a place is as the second
        for (std::size_t i = 0; i < calls.size(); ++i)
            if (errors_of_calls.at(error).count(calls[i].call) == 1 && ++times[calls[i]] <= 2)
                run_once(error, static_cast<int>(i) + 1);
    }
    if (row.role != Role::alone && calls.size() < 4) throw Unexpected("it made hardly a call that could fail");
    if (service) {
        const bool serves = is_right(run(base, row.input), {expected, row.sign});
        must(service->server.is_running() && serves, "the server did not survive", {&service->server});
    }
}

/// Which sockets for ICMP a user may have, the machine's owner decides.
bool may_ping() {
    Process process({program("udp/ping"), "--count", "1"});
    if (process.wait() == Ending{0, 0}) return true;
    skip("udp/ping: " + process.err());
    return false;
}

}  // namespace

TEST_CASE("faults: whatever fails, no program crashes, hangs or hides it", "[programs][faults]") {
    std::vector<Task> tasks;
    std::vector<Row> all = rows();
    // Those that take their time begin first: so none of them is left alone at the end.
    std::stable_partition(all.begin(), all.end(), [](const Row& row) { return !row.errors.empty(); });
    for (const Row& row : all) {
        if (access(program(row.program).c_str(), X_OK) != 0) continue;  // of another system
#ifndef __linux__
        if (row.program.find("seqpacket") != std::string::npos) continue;  // is built there, and cannot run
#endif
        if (row.program == "udp/ping" && !may_ping()) continue;
        tasks.push_back({row.program, [row] { run_all(row); }});
    }
    const std::string failures = run_in_parallel(tasks);
    fmt::print(stderr, "{}", failures);  // Catch2 would wrap the lines
    INFO("see above");
    CHECK(failures.empty());
}

TEST_CASE("faults: every program has its row", "[programs][faults]") {
    for (const char* chapter : {"tcp", "udp", "unix", "websocket"}) {
        for (const std::string& source : files_in(chapter, ".cpp")) {
            const std::string name = source.substr(0, source.size() - 4);
            INFO(name);
            size_t found = 0;
            for (const Row& row : rows())
                found += row.program == name ? 1 : 0;
            CHECK(found == 1);
        }
    }
    for (const Row& row : rows()) {
        INFO("a row without a program: " << row.program);
        CHECK(access((row.program + ".cpp").c_str(), R_OK) == 0);
    }
}
