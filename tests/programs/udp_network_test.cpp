// udp/trouble, and what survives it: the echo pair, and files sent by stop and wait and by a window.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/transfer.hpp"

#include <csignal>
#include <filesystem>
#include <memory>
#include <regex>
#include <string>
#include <vector>

#include <sys/socket.h>

using namespace std::string_literals;

namespace {

Server start_trouble(const std::string& to, Process::Command more = {}) {
    more.insert(more.end(), {"--to", to});
    return start_server("udp/trouble", more);
}

/// The lines of datagrams, without their times.
std::vector<std::string> fates(const std::string& printed) {
    std::vector<std::string> lines;
    for (const std::string& line : lines_with(printed, "#"))
        lines.push_back(line.substr(line.find("client")));
    return lines;
}

/// The number before a word in the summary of a direction: "12 dropped".
long count_in(const std::string& printed, const std::string& arrow, const std::string& word) {
    const std::string summary = lines_with(printed, arrow + ": ").at(0);
    std::smatch match;
    if (!std::regex_search(summary, match, std::regex("(\\d+) " + word)))
        throw Unexpected("no " + word + " in " + summary);
    return std::stol(match[1]);
}

const std::string to_server = "client -> server", to_client = "client <- server";

/// How many datagrams it says that it lets go on to the server.
std::size_t copies_told(const std::string& printed) {
    std::size_t count = 0;
    for (const std::string& line : lines_with(printed, to_server + "  #"))
        count += line.find("  dropped") != std::string::npos ? 0 : line.find(", twice") != std::string::npos ? 2 : 1;
    return count;
}

/// Sends datagrams through it to a peer, one after the other, and ends it. Returns what arrived.
std::vector<std::string> push(Server& trouble, Peer& client, Peer& server, int count) {
    const Address there =
        resolve(trouble.host(), static_cast<std::uint16_t>(std::stoi(trouble.port())), SOCK_DGRAM).front();
    for (int i = 1; i <= count; ++i) {
        client.send_to(there, "datagram " + std::to_string(i));
        trouble.expect_line(Stream::out, "#" + std::to_string(i) + " ");
    }
    // The last ones may be held back, but not for long.
    std::vector<std::string> arrived;
    const auto take = [&] {
        char room[100];
        for (ssize_t size = 0; (size = recv(server.fd(), room, sizeof room, MSG_DONTWAIT)) >= 0;)
            arrived.emplace_back(room, static_cast<size_t>(size));
        return arrived.size() >= copies_told(trouble.out());
    };
    wait_until(take, "all that was not dropped");
    trouble.signal(SIGINT);
    trouble.expect_exit(0);
    take();  // what came though it was said to be dropped
    return arrived;
}

/// Waits until a file is there, and returns what is in it.
std::string arrived_file(const std::string& path) {
    wait_until([&] { return std::filesystem::exists(path); }, path);
    return read_file(path);
}

}  // namespace

TEST_CASE("udp trouble: does nothing unless asked", "[programs][udp]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const Server server = start_server("udp/echo_server", {"--host", host});
    Server trouble = start_trouble(server.address(), {"--host", host});
    CHECK(run(trouble.client("udp/echo_client"), "one\n안녕\n\n") == "one\n안녕\n\n");
    trouble.signal(SIGTERM);
    trouble.expect_exit(0);
    CHECK(fates(trouble.out()) ==
          std::vector<std::string>{
              "client -> server  #1         4 bytes  passed", "client <- server  #1         4 bytes  passed",
              "client -> server  #2         7 bytes  passed", "client <- server  #2         7 bytes  passed",
              "client -> server  #3         1 bytes  passed", "client <- server  #3         1 bytes  passed"});
    for (const std::string& arrow : {to_server, to_client}) {
        CHECK(count_in(trouble.out(), arrow, "received") == 3);
        CHECK(count_in(trouble.out(), arrow, "sent;") == 3);
    }
}

TEST_CASE("udp trouble: the same seed, the same fates; all are accounted for", "[programs][udp]") {
    const Process::Command bad{"--drop", "30", "--duplicate", "20", "--reorder", "20", "--corrupt", "10"};
    const auto once = [&](const std::string& seed, std::string& printed) {
        Peer client = Peer::bound(SOCK_DGRAM), server = Peer::bound(SOCK_DGRAM);
        Process::Command options = bad;
        options.insert(options.end(), {"--seed", seed});
        Server trouble = start_trouble("127.0.0.1:" + server.port(), options);
        const std::vector<std::string> arrived = push(trouble, client, server, 200);
        printed = trouble.out();
        return arrived;
    };
    std::string first, second, third;
    const std::vector<std::string> arrived = once("7", first);
    once("7", second);
    once("8", third);
    CHECK(fates(first) == fates(second));
    CHECK(fates(first) != fates(third));
    const auto count = [&](const char* word) { return count_in(first, to_server, word); };
    CHECK(count("received") == 200);
    CHECK(count("dropped") + count("sent;") - count("twice") == 200);
    CHECK(static_cast<long>(arrived.size()) == count("sent;"));
    // Of 200, by this seed: about what was asked for.
    CHECK((count("dropped") > 40 && count("dropped") < 80));
    CHECK((count("twice") > 15 && count("twice") < 45));
    CHECK((count("held back") > 15 && count("held back") < 45));
    CHECK((count("damaged") > 5 && count("damaged") < 30));
    // Some come after later ones, and the damaged ones have lost a bit but no byte.
    std::vector<int> order;
    long damaged = 0;
    for (const std::string& one : arrived) {
        int number = 0;
        if (std::sscanf(one.c_str(), "datagram %d", &number) == 1 && "datagram " + std::to_string(number) == one) {
            order.push_back(number);
        } else {
            ++damaged;
        }
    }
    CHECK(damaged > 0);
    CHECK_FALSE(std::is_sorted(order.begin(), order.end()));
}

TEST_CASE("udp trouble: all or nothing", "[programs][udp]") {
    Peer client = Peer::bound(SOCK_DGRAM), server = Peer::bound(SOCK_DGRAM);
    SECTION("everything is dropped") {
        Server trouble = start_trouble("127.0.0.1:" + server.port(), {"--drop", "100"});
        CHECK(push(trouble, client, server, 20).empty());
    }
    SECTION("everything comes twice") {
        Server trouble = start_trouble("127.0.0.1:" + server.port(), {"--duplicate", "100"});
        CHECK(push(trouble, client, server, 20).size() == 40);
    }
    SECTION("everything is held back, and comes") {
        Server trouble = start_trouble("127.0.0.1:" + server.port(), {"--reorder", "100"});
        CHECK(push(trouble, client, server, 20).size() == 20);
    }
    SECTION("everything is damaged by one bit") {
        Server trouble = start_trouble("127.0.0.1:" + server.port(), {"--corrupt", "100"});
        const std::vector<std::string> arrived = push(trouble, client, server, 1);
        REQUIRE(arrived.size() == 1);
        int bits = 0;
        REQUIRE(arrived[0].size() == 10);
        for (size_t i = 0; i < 10; ++i)
            bits += __builtin_popcount(static_cast<unsigned char>(arrived[0][i] ^ "datagram 1"[i]));
        CHECK(bits == 1);
    }
    SECTION("a slow line with a short queue") {
        Server trouble = start_trouble("127.0.0.1:" + server.port(), {"--rate", "20", "--queue", "20"});
        const std::vector<std::string> arrived = push(trouble, client, server, 9);
        CHECK(arrived.size() < 9);
        CHECK_FALSE(arrived.empty());
        CHECK(count_in(trouble.out(), to_server, "too many") == static_cast<long>(9 - arrived.size()));
    }
}

TEST_CASE("udp trouble: late, by as much as asked", "[programs][udp]") {
    const Server server = start_server("udp/echo_server");
    const Server trouble = start_trouble(server.address(), {"--delay", "50", "--jitter", "10"});
    const auto began = std::chrono::steady_clock::now();
    CHECK(run(trouble.client("udp/echo_client", {"--timeout", "5000"}), "one\ntwo\n") == "one\ntwo\n");
    CHECK(std::chrono::steady_clock::now() - began >= Milliseconds(200));
}

TEST_CASE("udp trouble: a server that answers from another port", "[programs][udp]") {
    Peer client = Peer::bound(SOCK_DGRAM), server = Peer::bound(SOCK_DGRAM), second = Peer::bound(SOCK_DGRAM);
    const Server trouble = start_trouble("127.0.0.1:" + server.port());
    const Address there =
        resolve("127.0.0.1", static_cast<std::uint16_t>(std::stoi(trouble.port())), SOCK_DGRAM).front();
    client.send_to(there, "request");
    Address from, seen, again;
    CHECK(server.receive_from(from) == "request");
    second.send_to(from, "from another port");
    CHECK(client.receive_from(seen) == "from another port");
    CHECK_FALSE(seen == there);
    client.send_to(seen, "to that port");
    CHECK(second.receive_from(again) == "to that port");
    CHECK(again == from);
#ifdef __linux__  // where all of 127.0.0.0/8 is this machine
    // Another machine than the server's is not heard.
    Peer::bound(SOCK_DGRAM, "127.0.0.2").send_to(from, "from another host");
#endif
    // A stranger who has found that port is not let in.
    Peer stranger = Peer::bound(SOCK_DGRAM);
    stranger.send_to(seen, "let me in");
    client.send_to(seen, "me again");
    CHECK(second.receive_from(again) == "me again");
    server.send_to(from, "and from the first");
    CHECK(client.receive_from(seen) == "and from the first");
    CHECK(seen == there);
}

TEST_CASE("udp trouble: many clients, each with its own answers", "[programs][udp]") {
    const Server server = start_server("udp/echo_server");
    const Server trouble = start_trouble(server.address(), {"--quiet"});
    std::vector<std::unique_ptr<Process>> clients;
    for (int i = 0; i < 20; ++i) {
        clients.push_back(std::make_unique<Process>(trouble.client("udp/echo_client")));
        clients.back()->feed("I am " + std::to_string(i) + "\n");
        clients.back()->close_input();
    }
    for (size_t i = 0; i < clients.size(); ++i) {
        clients[i]->expect_exit(0);
        CHECK(clients[i]->out() == "I am " + std::to_string(i) + "\n");
    }
}

TEST_CASE("udp trouble: wrong command lines", "[programs][udp]") {
    for (const Process::Command& arguments : std::vector<Process::Command>{
             {"--drop", "101"}, {"--drop", "-1"}, {"--to", "nowhere"}, {"--to", "127.0.0.1:7001"}, {"--rate", "x"}}) {
        Process::Command command{program("udp/trouble")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(count_of(process.err(), "\n") == 1);
    }
}

// ---- Files

TEST_CASE("udp files: whole through bad networks", "[programs][udp][files]") {
    // A hundred seeds each with the real programs, five at a time in each of some threads, since they mostly wait.
    // udp_window_test.cpp has hundreds more, in no time.
    struct Transfer {
        TempDir target = {};
        Server receiver, trouble;
        Process sender;
        Transfer(const std::string& pair, const Process::Command& arguments, int seed)
            : receiver(start_server(pair + "_receiver", {"--folder", target.path()})),
              trouble(start_trouble(receiver.address(), {"--drop", "30", "--duplicate", "10", "--reorder", "20",
                                                         "--corrupt", "1", "--quiet", "--seed", std::to_string(seed)})),
              sender(trouble.client(pair + "_sender", arguments)) {}
    };
    const TempDir folder;
    const std::string bytes = random_bytes(4'000);
    write_file(folder / "file", bytes);
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    Process::Command arguments{folder / "file"};
    if (pair == "udp/window") arguments.insert(arguments.end(), {"--wrap", "--timeout", "50", "--longest", "200"});
    if (pair == "udp/stop_and_wait") arguments.insert(arguments.end(), {"--timeout", "20", "--tries", "200"});
    std::vector<Task> tasks;
    for (int first = 0; first < 100; first += 5) {
        tasks.push_back({"seeds from " + std::to_string(first), [&, first] {
                             std::vector<std::unique_ptr<Transfer>> transfers;
                             for (int seed = first; seed < first + 5; ++seed)
                                 transfers.push_back(std::make_unique<Transfer>(pair, arguments, seed));
                             for (const auto& transfer : transfers) {
                                 transfer->sender.expect_exit(0, 2 * patience);
                                 if (arrived_file(transfer->target / "file") != bytes)
                                     throw Unexpected("not the same file");
                             }
                         }});
    }
    const std::string failures = run_in_parallel(tasks);
    INFO(failures);
    CHECK(failures.empty());
}

TEST_CASE("udp files: sizes around a piece, and names", "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const TempDir source, target;
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path(), "--host", host});
    for (const unsigned size : {0U, 1U, 1199U, 1200U, 1201U, 2400U, 300'000U}) {
        const std::string name = "file-" + std::to_string(size), bytes = random_bytes(size);
        write_file(source / name, bytes);
        CHECK_THAT(run(receiver.client(pair + "_sender", {source / name})),
                   StartsWith(std::to_string(size) + " bytes in "));
        CHECK(arrived_file(target / name) == bytes);
    }
    CHECK_THAT(run(receiver.client(pair + "_sender", {"-", "--name", "안녕"}), "from a pipe"),
               StartsWith("11 bytes in "));
    CHECK(arrived_file(target / "안녕") == "from a pipe");
    // What is there stays.
    Process again(receiver.client(pair + "_sender", {source / "file-1200", "--name", "file-1"}));
    again.expect_exit(1);
    CHECK_THAT(again.err(), StartsWith("the receiver: there is a "));
    CHECK(read_file(target / "file-1").size() == 1);
    for (const char* name : {"../x", ".hidden", "a/b", ".."}) {
        Process process(receiver.client(pair + "_sender", {source / "file-1", "--name", name}));
        process.expect_exit(2);
    }
    Process missing(receiver.client(pair + "_sender", {"/no/such/file"}));
    missing.expect_exit(1);
    CHECK_THAT(missing.err(), ContainsSubstring("ENOENT"));
    receiver.signal(SIGTERM);
    receiver.expect_exit(0);
}

TEST_CASE("udp files: nobody there, and killed in the middle", "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const TempDir source, target;
    write_file(source / "file", random_bytes(500'000));
    Process::Command alone{program(pair + "_sender"), "--port",    Peer::bound(SOCK_DGRAM).port(),
                           source / "file",           "--timeout", "10"};
    if (pair == "udp/stop_and_wait") alone.insert(alone.end(), {"--tries", "3"});
    if (pair == "udp/window") alone.insert(alone.end(), {"--longest", "100"});
    Process nobody(alone);
    nobody.expect_exit(1);
    CHECK_THAT(nobody.err(), ContainsSubstring("nobody is there (ECONNREFUSED)"));
    {
        // The sender is killed: the receiver gives it up, nothing is left behind, and another can send.
        Server receiver = start_server(pair + "_receiver", {"--folder", target.path(), "--idle", "1"});
        // So slow that it is in the middle for many seconds.
        const Server trouble = start_trouble(receiver.address(), {"--rate", "20000", "--queue", "5000", "--quiet"});
        Process sender(trouble.client(pair + "_sender", {source / "file"}));
        const auto files = [&] {
            return std::distance(std::filesystem::directory_iterator(target.path()),
                                 std::filesystem::directory_iterator());
        };
        wait_until([&] { return files() == 1; }, "the beginning of the file");
        sender.signal(SIGKILL);
        // Another one waits for its turn, which comes when the receiver has given up the first.
        Process::Command next = receiver.client(pair + "_sender", {source / "file", "--name", "next"});
        if (pair == "udp/stop_and_wait") next.insert(next.end(), {"--tries", "100"});
        CHECK_THAT(run(next), StartsWith("500000 bytes"));
        CHECK(arrived_file(target / "next") == read_file(source / "file"));
        receiver.expect(Stream::err, "silent for 1 s, given up");
        CHECK(files() == 1);
    }
}

TEST_CASE("udp files: strangers, and datagrams that are none", "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const TempDir source, target;
    write_file(source / "file", random_bytes(3000));
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path()});
    const Address there =
        resolve(receiver.host(), static_cast<std::uint16_t>(std::stoi(receiver.port())), SOCK_DGRAM).front();
    Peer stranger = Peer::bound(SOCK_DGRAM);
    using transfer::Kind;
    const std::string announcement = transfer::to_bytes(transfer::Announcement{5, "../../evil"});
    for (const std::string& bytes :
         {""s, "x"s, std::string(65'000, 'x'), transfer::to_bytes({Kind::ack, 0, 1, 2, 3, 4, ""}),
          transfer::to_bytes({Kind::data, 0, 0, 5, 6, 7, "in the middle"}),
          transfer::to_bytes({Kind::data, 2, 0, 5, 6, 7, "the end"}),
          transfer::to_bytes({Kind::data, 3, 0, 5, 0, 7, "both"}),
          transfer::to_bytes({Kind::data, 1, 0, 5, 0, 7, announcement})})
        stranger.send_to(there, bytes);
    Address from;
    size_t answers = 0;
    // It answers the two that begin a transfer, with why not, and with no more bytes than they had.
    for (; answers < 2; ++answers) {
        const std::string answer = stranger.receive_from(from);
        const auto packet = transfer::parse(answer);
        REQUIRE(packet);
        CHECK(packet->kind == Kind::error);
        CHECK(answer.size() <= transfer::header_size + announcement.size());
    }
    CHECK_THAT(run(receiver.client(pair + "_sender", {source / "file"})), StartsWith("3000 bytes"));
    CHECK(arrived_file(target / "file") == read_file(source / "file"));
    CHECK(std::distance(std::filesystem::directory_iterator(target.path()), std::filesystem::directory_iterator()) ==
          1);
}
