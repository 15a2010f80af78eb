// The TFTP pair with itself, with Debian's tftp and in.tftpd and with curl, through a bad network, and with nonsense.

#include "common/errors.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "udp/tftp.hpp"

#include <csignal>
#include <filesystem>
#include <string>
#include <vector>

#include <sys/stat.h>
#include <unistd.h>

using namespace std::string_literals;
namespace fs = std::filesystem;

namespace {

const std::string text = "a\nb\r\nc\r안녕\n";

/// A folder with something to give out, beside something that must not be.
struct Files {
    TempDir all;
    std::string folder = all / "given";
    std::string large = random_bytes(100'000), middle = random_bytes(5'000);
    Files() {
        fs::create_directories(folder + "/below");
        write_file(folder + "/large", large);
        write_file(folder + "/middle", middle);
        write_file(folder + "/text", text);
        write_file(folder + "/exact", std::string(512, 'x'));
        write_file(folder + "/empty", "");
        write_file(folder + "/below/deep", "deep");
        write_file(all / "secret", "secret");
        fs::create_directories(all / "given-too");
        write_file(all / "given-too/secret", "secret");
        fs::create_symlink(all / "secret", folder + "/link");
        fs::create_directory_symlink(all.path(), folder + "/way-out");
    }
};

Server start_tftp(const Files& files, Process::Command more = {}) {
    more.insert(more.end(), {"--folder", files.folder});
    return start_server("udp/tftp_server", more);
}

/// Gets a file, and returns what has come.
std::string get(const Server& server, const std::string& name, Process::Command options = {}) {
    const TempDir target;
    options.insert(options.end(), {"get", name, "--local", target / "file"});
    run(server.client("udp/tftp_client", options));
    return read_file(target / "file");
}

std::string failure(const Server& server, Process::Command arguments) {
    const TempDir target;
    if (arguments.front() == "get") arguments.insert(arguments.end(), {"--local", target / "file"});
    Process process(server.client("udp/tftp_client", arguments));
    process.expect_exit(1);
    CHECK(fs::is_empty(target.path()));
    return process.err();
}

Address address_of(const Server& server) {
    return resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_DGRAM).front();
}

}  // namespace

TEST_CASE("tftp: there and back", "[programs][udp][tftp]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const Files files;
    Server server = start_tftp(files, {"--host", host, "--write"});
    for (const Process::Command& options : std::vector<Process::Command>{
             {}, {"--plain"}, {"--blksize", "8"}, {"--blksize", "65464"}, {"--blksize", "512"}}) {
        CHECK(get(server, "large", options) == files.large);
        CHECK(get(server, "text", options) == text);
        CHECK(get(server, "empty", options).empty());
        CHECK(get(server, "exact", options) == std::string(512, 'x'));
    }
    CHECK(get(server, "below/deep") == "deep");
    CHECK(get(server, "/below//deep") == "deep");
    CHECK(get(server, "text", {"--mode", "netascii"}) == text);
    int number = 0;
    for (const Process::Command& options :
         std::vector<Process::Command>{{}, {"--plain"}, {"--mode", "netascii"}, {"--blksize", "8"}}) {
        const std::string name = "new-" + std::to_string(++number);
        Process::Command command{"put", files.folder + "/text", "--remote", name};
        command.insert(command.end(), options.begin(), options.end());
        run(server.client("udp/tftp_client", command));
        wait_until([&] { return fs::exists(files.folder + "/" + name); }, name);
        CHECK(read_file(files.folder + "/" + name) == text);
    }
    CHECK_THAT(failure(server, {"put", files.folder + "/text"}),
               ContainsSubstring("there is a file of this name") && ContainsSubstring("error 6"));
    server.signal(SIGINT);
    server.expect_exit(0);
}

TEST_CASE("tftp: what is not given out, and not taken", "[programs][udp][tftp]") {
    const Files files;
    Server server = start_tftp(files);
    for (const char* name : {"nothing", "below", "../secret", "..", ".", "below/../../secret", "link", "way-out/secret",
                             "../given-too/secret", "/etc/passwd", "large/x", "way-out"})
        CHECK_THAT(failure(server, {"get", name}), StartsWith("the server: "));
    CHECK_THAT(failure(server, {"put", files.folder + "/text", "--remote", "new"}),
               StartsWith("the server: nothing is written here (error 2)"));
    Server open = start_tftp(files, {"--write", "--upload", "1000"});
    for (const char* name : {"../new", "below/new", ".hidden", "..", "new\n", "\x1b[2Jnew"})
        CHECK_THAT(failure(open, {"put", files.folder + "/text", "--remote", name}),
                   StartsWith("the server: this is no plain name"));
    for (const char* options : {"--plain", "--blksize=100"})
        CHECK_THAT(failure(open, {"put", files.folder + "/large", "--remote", "new", options}),
                   ContainsSubstring("more than 1000 bytes"));
    CHECK_FALSE(fs::exists(files.folder + "/new"));
    open.signal(SIGTERM);
    open.expect_exit(0);
    CHECK(std::distance(fs::directory_iterator(files.folder), fs::directory_iterator()) ==
          8);  // no piece of a file is left
}

TEST_CASE("tftp: through a bad network", "[programs][udp][tftp]") {
    const Files files;
    const Server server = start_tftp(files, {"--write", "--timeout", "30", "--tries", "100"});
    for (const char* seed : {"1", "2", "3"}) {
        const Server trouble = start_server("udp/trouble", {"--to", server.address(), "--drop", "20", "--duplicate",
                                                            "20", "--reorder", "20", "--quiet", "--seed", seed});
        const Process::Command patient{"--timeout", "30", "--tries", "100", "--blksize", "8000"};
        CHECK(get(trouble, "large", patient) == files.large);
        Process::Command put{"put", files.folder + "/large", "--remote", "up-"s + seed};
        put.insert(put.end(), patient.begin(), patient.end());
        run(trouble.client("udp/tftp_client", put));
        wait_until([&] { return fs::exists(files.folder + "/up-" + seed); }, "the file");
        CHECK(read_file(files.folder + "/up-" + seed) == files.large);
    }
}

TEST_CASE("tftp: late acknowledgements do not double the blocks", "[programs][udp][tftp]") {
    const Files files;
    const Server server = start_tftp(files, {"--timeout", "60000"});  // by its clock it sends nothing again
    // Everything comes twice: the server sends each block once all the same, and the relay counts them.
    Server trouble = start_server("udp/trouble", {"--to", server.address(), "--duplicate", "100"});
    CHECK(get(trouble, "large", {"--blksize", "1000", "--timeout", "200"}) == files.large);
    trouble.signal(SIGINT);
    trouble.expect_exit(0);
    // 100 full blocks; the last one is empty. How often OACK came depends on when the second request did.
    CHECK(count_of(trouble.out(), " 1004 bytes  passed, twice\n") == 100);
}

TEST_CASE("tftp: a stranger at a transfer's port, and an answer that is none", "[programs][udp][tftp]") {
    const Files files;
    const Server server = start_tftp(files, {"--timeout", "300"});
    Peer client = Peer::bound(SOCK_DGRAM), stranger = Peer::bound(SOCK_DGRAM);
    client.send_to(address_of(server), tftp::to_bytes({tftp::Opcode::rrq, "text", false, {}}));
    Address transfer, from;
    CHECK(client.receive_from(transfer) == tftp::data(1, text));
    CHECK_FALSE(transfer == address_of(server));
    // An error is answered by none, and nothing by more than it is: else two such ports could go on for ever.
    stranger.send_to(transfer, tftp::error(tftp::Error::unknown_tid, "this port belongs to another transfer"));
    stranger.send_to(transfer, tftp::ack(1));
    stranger.send_to(transfer, tftp::data(1, "of a stranger"));
    const std::string away = stranger.receive_from(from);
    CHECK(tftp::parse(away)->number == 5);  // unknown TID
    CHECK(away.size() <= tftp::data(1, "of a stranger").size());
    CHECK(from == transfer);
    client.send_to(transfer, tftp::ack(77));  // not the one that is waited for; but it proves the address
    CHECK(client.receive_from(from) == tftp::data(1, text));
    CHECK(client.receive_from(from) == tftp::data(1, text));
    client.send_to(transfer, tftp::ack(1));
    // The server is still there for others, whatever it is sent.
    for (const std::string& bytes :
         {""s, "x"s, std::string(65'000, 'x'), "\0\1name"s, "\0\1\0\0"s, tftp::ack(1), tftp::data(1, "x"),
          "\0\1text\0octet\0blksize\0"s, "\0\5\0\0"s, "\0\2"s + std::string(10'000, 'a') + "\0octet\0"s})
        stranger.send_to(address_of(server), bytes);
    CHECK(get(server, "text") == text);
}

TEST_CASE("tftp: options out of range are left out, and what is no request is refused", "[programs][udp][tftp]") {
    using tftp::OptionList;
    const Files files;
    const Server server = start_tftp(files);
    const std::string size = std::to_string(text.size());
    struct Case {
        OptionList asked, agreed;
    };
    std::vector<Case> cases{{{{"blksize", "8"}}, {{"blksize", "8"}}},
                            {{{"BlkSize", "1024"}}, {{"blksize", "1024"}}},
                            {{{"blksize", "65464"}}, {{"blksize", "65464"}}},
                            {{{"blksize", "65465"}}, {{"blksize", "65464"}}},
                            {{{"blksize", "65535"}}, {{"blksize", "65464"}}},
                            {{{"timeout", "1"}}, {{"timeout", "1"}}},
                            {{{"timeout", "30"}}, {{"timeout", "30"}}},
                            {{{"tsize", "0"}}, {{"tsize", size}}},
                            {{{"blksize", "7"}, {"windowsize", "4"}, {"tsize", "0"}}, {{"tsize", size}}}};
    for (const char* wrong : {"", "0", "7", "-1", "+512", " 512", "512 ", "0x200", "5e2", "65536", "4294967808",
                              "18446744073709552128", "99999999999999999999999"})
        cases.push_back({{{"blksize", wrong}}, {}});
    for (const char* wrong : {"", "0", "-1", "31", "256", "1.5"})
        cases.push_back({{{"timeout", wrong}}, {}});
    for (const char* wrong : {"", "-1", "x", "99999999999999999999"})
        cases.push_back({{{"tsize", wrong}}, {}});
    cases.push_back({{{"windowsize", "16"}, {"nonsense", ""}}, {}});
    Address from;
    for (const auto& [asked, agreed] : cases) {
        INFO(asked[0].first << " " << asked[0].second);
        Peer client = Peer::bound(SOCK_DGRAM);
        client.send_to(address_of(server), tftp::to_bytes({tftp::Opcode::rrq, "text", false, asked}));
        // Without any, there is no OACK, and the file begins at once.
        CHECK(client.receive_from(from) == (agreed.empty() ? tftp::data(1, text) : tftp::oack(agreed)));
    }
    std::string too_many = "\0\1text\0octet\0"s;
    for (int i = 0; i < 17; ++i)
        too_many += "option" + std::to_string(i) + "\0x\0"s;
    for (const std::string& bytes : {"\0\1text\0octet\0blksize\0"s,
                                     "\0\1text\0octet\0blksize\0"
                                     "512"s,
                                     "\0\1text\0octet\0blksize\0"
                                     "512\0blksize\0"
                                     "512\0"s,
                                     "\0\1text\0octet\0\0"
                                     "512\0"s,
                                     "\0\1text\0octet"s, "\0\1text"s, "\0\1text\0mail\0"s, "\0\1text\0\0"s,
                                     "\0\1\0octet\0"s, "\0\1text\0octet\0\0"s, "\0\1"s + std::string(510, 'x'),
                                     "\0\0text\0octet\0"s, "\0\7text\0octet\0"s, too_many}) {
        INFO(escaped(bytes));
        Peer client = Peer::bound(SOCK_DGRAM);
        client.send_to(address_of(server), bytes);
        const std::string answer = client.receive_from(from);
        const auto packet = tftp::parse(answer);
        REQUIRE(packet);
        CHECK(packet->opcode == tftp::Opcode::error);
        CHECK(packet->number == 4);  // illegal operation
        CHECK(from == address_of(server));
        CHECK(answer.size() <= bytes.size());
    }
}

TEST_CASE("tftp: the last block is acknowledged as often as it comes, and written once", "[programs][udp][tftp]") {
    const Files files;
    const Server server = start_tftp(files, {"--write", "--timeout", "60000"});
    Peer client = Peer::bound(SOCK_DGRAM);
    client.send_to(address_of(server), tftp::to_bytes({tftp::Opcode::wrq, "new", false, {}}));
    Address transfer, from;
    CHECK(client.receive_from(transfer) == tftp::ack(0));
    for (int i = 0; i < 3; ++i) {
        client.send_to(transfer, tftp::data(1, "all of it"));
        CHECK(client.receive_from(from) == tftp::ack(1));
        CHECK(from == transfer);
        client.send_to(transfer, tftp::data(2, "and more"));  // behind the end there is nothing
    }
    CHECK(read_file(files.folder + "/new") == "all of it");
}

TEST_CASE("tftp: an address that nobody has proved gets little", "[programs][udp][tftp]") {
    const Files files;
    Server server = start_tftp(files, {"--timeout", "20"});
    Peer client = Peer::bound(SOCK_DGRAM);
    client.send_to(address_of(server), tftp::to_bytes({tftp::Opcode::rrq, "large", false, {}}));
    server.expect(Stream::out, "reads large: no answer any more");
    int datagrams = 0;
    char room[600];
    while (recv(client.fd(), room, sizeof room, MSG_DONTWAIT) >= 0)
        ++datagrams;
    CHECK(datagrams == 1);
}

TEST_CASE("tftp: a request again is answered again; forged ones do not keep others out", "[programs][udp][tftp]") {
    const Files files;
    const Server server = start_tftp(files, {"--timeout", "400"});
    Peer client = Peer::bound(SOCK_DGRAM);
    const std::string request = tftp::to_bytes({tftp::Opcode::rrq, "text", false, {}});
    Address first, second;
    client.send_to(address_of(server), request);
    CHECK(client.receive_from(first) == tftp::data(1, text));
    const auto asked_again = [&] {  // what comes too soon was doubled by the network, and is not answered
        client.send_to(address_of(server), request);
        pollfd answered{client.fd(), POLLIN, 0};
        return poll(&answered, 1, 0) == 1;
    };
    wait_until(asked_again, "a second answer");
    CHECK(client.receive_from(second) == tftp::data(1, text));
    CHECK(first == second);
    std::vector<Peer> forged;
    for (int i = 0; i < 70; ++i) {
        forged.push_back(Peer::bound(SOCK_DGRAM));
        forged.back().send_to(address_of(server), request);
    }
    CHECK(get(server, "text") == text);
}

TEST_CASE("tftp: a client whose server says strange things", "[programs][udp][tftp]") {
    Peer server = Peer::bound(SOCK_DGRAM), elsewhere = Peer::bound(SOCK_DGRAM);
    const TempDir target;
    Process client({program("udp/tftp_client"), "--port", server.port(), "get", "x", "--local", target / "x",
                    "--timeout", "1000", "--tries", "4"});
    Address from;
    CHECK(server.receive_from(from) ==
          tftp::to_bytes({tftp::Opcode::rrq, "x", false, {{"blksize", "1428"}, {"tsize", "0"}}}));
    SECTION("an error with control characters") {
        elsewhere.send_to(from, tftp::error(tftp::Error::undefined, "\x1b[2Jhello"));
        client.expect_exit(1);
        CHECK(client.err() == "the server: \\x1b[2Jhello (error 0)\n");
    }
#ifdef __linux__  // where all of 127.0.0.0/8 is this machine
    SECTION("a host that was not asked") {
        Peer stranger = Peer::bound(SOCK_DGRAM, "127.0.0.2");
        stranger.send_to(from, tftp::data(1, "evil"));
        CHECK(tftp::parse(stranger.receive_from(from))->number == 5);
        elsewhere.send_to(from, tftp::data(1, "good"));
        client.expect_exit(0);
        CHECK(read_file(target / "x") == "good");
    }
#endif
    SECTION("options that were not asked for") {
        elsewhere.send_to(from, tftp::oack({{"windowsize", "64"}}));
        client.expect_exit(1);
        CHECK(tftp::parse(elsewhere.receive_from(from))->number == 8);
    }
    SECTION("a larger block than was asked for") {
        elsewhere.send_to(from, tftp::oack({{"blksize", "9000"}}));
        client.expect_exit(1);
    }
    SECTION("two servers answer: one is told that it is not meant") {
        elsewhere.send_to(from, tftp::data(1, std::string(512, 'a')));
        CHECK(elsewhere.receive_from(from) == tftp::ack(1));
        server.send_to(from, tftp::data(1, "evil"));
        CHECK(tftp::parse(server.receive_from(from))->number == 5);
        elsewhere.send_to(from, tftp::data(2, "end"));
        client.expect_exit(0);
        CHECK(read_file(target / "x") == std::string(512, 'a') + "end");
    }
    SECTION("more than was announced") {
        elsewhere.send_to(from, tftp::oack({{"blksize", "1428"}, {"tsize", "100"}}));
        CHECK(elsewhere.receive_from(from) == tftp::ack(0));
        elsewhere.send_to(from, tftp::data(1, std::string(101, 'a')));
        CHECK(tftp::parse(elsewhere.receive_from(from))->number == 3);
        client.expect_exit(1);
    }
    SECTION("less than was announced") {
        elsewhere.send_to(from, tftp::oack({{"tsize", "100"}}));
        CHECK(elsewhere.receive_from(from) == tftp::ack(0));
        elsewhere.send_to(from, tftp::data(1, std::string(99, 'a')));
        client.expect_exit(1);
        CHECK(client.err() == "100 bytes were announced, and 99 have come\n");
    }
    SECTION("the last acknowledgement is lost, on a network that has lost before") {
        elsewhere.send_to(from, tftp::data(1, std::string(512, 'a')));
        CHECK(elsewhere.receive_from(from) == tftp::ack(1));
        elsewhere.send_to(from, tftp::data(1, std::string(512, 'a')));
        elsewhere.send_to(from, tftp::data(2, "end"));
        CHECK(elsewhere.receive_from(from) == tftp::ack(2));
        elsewhere.send_to(from, tftp::data(2, "end"));
        CHECK(elsewhere.receive_from(from) == tftp::ack(2));
        client.expect_exit(0);
        CHECK(read_file(target / "x") == std::string(512, 'a') + "end");
    }
    if (!fs::exists(target / "x")) CHECK(fs::is_empty(target.path()));
}

TEST_CASE("tftp: a server that falls silent", "[programs][udp][tftp]") {
    Peer server = Peer::bound(SOCK_DGRAM), elsewhere = Peer::bound(SOCK_DGRAM);
    const TempDir target;
    Process client({program("udp/tftp_client"), "--port", server.port(), "get", "x", "--local", target / "x",
                    "--timeout", "100", "--tries", "4"});
    Address from;
    server.receive_from(from);
    elsewhere.send_to(from, tftp::data(1, std::string(512, 'a')));
    client.expect_exit(1);
    CHECK(fs::is_empty(target.path()));
    CHECK_THAT(client.err(), StartsWith("no answer from 127.0.0.1:" + elsewhere.port() + " after 4 tries"));
}

TEST_CASE("tftp: wrong command lines", "[programs][udp][tftp]") {
    for (const Process::Command& arguments : std::vector<Process::Command>{{"fetch", "x"},
                                                                           {"get"},
                                                                           {"get", "x", "--mode", "mail"},
                                                                           {"get", "x", "--blksize", "7"},
                                                                           {"get", "x", "y"}}) {
        Process::Command command{program("udp/tftp_client")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(count_of(process.err(), "\n") == 1);
    }
}

// ---- What nobody here wrote

TEST_CASE("tftp: Debian's tftp and curl with our server", "[programs][udp][tftp][interop]") {
    const Files files;
    const Server server = start_tftp(files, {"--write"});
    const TempDir target;
    if (has_tool("tftp")) {
        Process client({"tftp", "127.0.0.1", server.port()}, {.directory = target.path()});
        client.feed("binary\nget large\nput large up\nascii\nget text\nquit\n");
        client.expect_exit(0);
        CHECK(read_file(target / "large") == files.large);
        CHECK(read_file(target / "text") == text);
        CHECK(read_file(files.folder + "/up") == files.large);
    }
    if (has_tool("curl")) {
        const std::string url = "tftp://" + server.address() + "/";
        CHECK(run({"curl", "-s", url + "large"}) == files.large);
        CHECK(run({"curl", "-s", "--tftp-blksize", "1400", url + "large"}) == files.large);
        CHECK(run({"curl", "-s", "--tftp-no-options", url + "below/deep"}) == "deep");
        run({"curl", "-s", "-T", files.folder + "/large", url + "curl"});
        wait_until([&] { return fs::exists(files.folder + "/curl"); }, "the file");
        CHECK(read_file(files.folder + "/curl") == files.large);
        Process missing({"curl", "-s", url + "nothing"});
        missing.expect_exit(68);  // "File not found on TFTP server"
    }
}

TEST_CASE("tftp: Debian's tftp and curl with our server, through a bad network", "[programs][udp][tftp][interop]") {
    const Files files;
    const Server server = start_tftp(files, {"--write", "--timeout", "50", "--tries", "100"});
    const TempDir target;
    // Their clients ask again after 5 s and 1 s; by this seed their requests come through, and the rest is our
    // server's.
    const auto network = [&] {
        return start_server("udp/trouble", {"--to", server.address(), "--drop", "20", "--duplicate", "20", "--reorder",
                                            "10", "--seed", "21", "--quiet"});
    };
    if (has_tool("tftp")) {
        const Server trouble = network();
        Process client({"tftp", "127.0.0.1", trouble.port()}, {.directory = target.path()});
        client.feed("binary\nget middle\nquit\n");
        client.expect_exit(0);
        CHECK(read_file(target / "middle") == files.middle);
    }
    if (has_tool("curl")) {
        const Server trouble = network();
        // Without options, since by its own our server would wait for seconds before it repeats anything.
        CHECK(run({"curl", "-s", "--tftp-no-options", "tftp://" + trouble.address() + "/middle"}) == files.middle);
    }
}

TEST_CASE("tftp: Debian's tftp and curl, when the last acknowledgement is lost", "[programs][udp][tftp][interop]") {
    if (!has_tool("tftp") || !has_tool("curl")) return;
    const Files files;
    const Server server = start_tftp(files, {"--write", "--timeout", "50"});
    // Of what the server sends, the second datagram is lost, which acknowledges the only block; and nothing else is. By
    // their own clock these clients send that block again, 5 seconds later, and somebody must be there.
    const auto network = [&] {
        return start_server("udp/trouble", {"--to", server.address(), "--drop", "25", "--seed", "151"});
    };
    Server for_tftp = network(), for_curl = network();
    Process tftp({"tftp", "127.0.0.1", for_tftp.port()}, {.directory = files.folder});
    tftp.feed("binary\nput text by-tftp\nquit\n");
    Process curl({"curl", "-s", "-m", "60", "-T", files.folder + "/text", "tftp://" + for_curl.address() + "/by-curl"});
    tftp.expect_exit(0);
    curl.expect_exit(0);
    CHECK(tftp.out().find("timed out") == std::string::npos);
    for (Server* trouble : {&for_tftp, &for_curl})
        CHECK_THAT(trouble->out(), ContainsSubstring("client <- server  #2         4 bytes  dropped"));
    for (const char* name : {"/by-tftp", "/by-curl"})
        CHECK(read_file(files.folder + name) == text);
}

TEST_CASE("tftp: our client with Debian's server", "[programs][udp][tftp][interop]") {
    const std::string daemon = fs::exists("/usr/sbin/in.tftpd") ? "/usr/sbin/in.tftpd" : find_tool("in.tftpd");
    if (daemon.empty()) return skip("tftpd-hpa is not installed (sh scripts/setup --dev)");
    if (getuid() != 0) return skip("in.tftpd wants to be root");
    const Files files;
    for (const std::string& path : {files.all.path(), files.folder})
        CHECK(chmod(path.c_str(), 0777) == 0);
    const std::string port = Peer::bound(SOCK_DGRAM).port();
    Process server({daemon, "-L", "-c", "-s", "--address", "127.0.0.1:" + port, files.folder});
    const TempDir target;
    const auto client = [&](Process::Command arguments) {
        arguments.insert(arguments.begin(), {program("udp/tftp_client"), "--port", port});
        return arguments;
    };
    run(client({"get", "large", "--local", target / "large"}));  // asked again until it is there
    CHECK(read_file(target / "large") == files.large);
    run(client({"get", "text", "--mode", "netascii", "--local", target / "text"}));
    CHECK(read_file(target / "text") == text);
    run(client({"get", "exact", "--plain", "--local", target / "exact"}));
    CHECK(read_file(target / "exact") == std::string(512, 'x'));
    run(client({"put", files.folder + "/large", "--remote", "up"}));
    CHECK(read_file(files.folder + "/up") == files.large);
    {
        // Through a bad network, too: in.tftpd repeats nothing sooner than after a second, our client does.
        const Server trouble = start_server("udp/trouble", {"--to", "127.0.0.1:" + port, "--drop", "10", "--duplicate",
                                                            "20", "--reorder", "10", "--quiet"});
        const Process::Command patient{"--timeout", "50", "--tries", "100", "--blksize", "8000"};
        CHECK(get(trouble, "large", patient) == files.large);
        Process::Command put{"put", files.folder + "/large", "--remote", "up-too"};
        put.insert(put.end(), patient.begin(), patient.end());
        run(trouble.client("udp/tftp_client", put));
        CHECK(read_file(files.folder + "/up-too") == files.large);
    }
    Process missing(client({"get", "nothing", "--local", target / "nothing"}));
    missing.expect_exit(1);
    CHECK_THAT(missing.err(), StartsWith("the server: File not found"));
    server.signal(SIGTERM);
    server.wait();
}
