// tcp/file_server and tcp/file_client: names that lead nowhere, transfers that are cut, and bytes that are not those
// that were sent.

#include "common/errors.hpp"
#include "tcp/file_protocol.hpp"
#include "tests/catch.hpp"
#include "tests/programs/pairs.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

const std::string serving = "tcp/file_server";
const std::string getting = "tcp/file_client";

std::vector<std::string> hosts() {
    std::vector<std::string> all{"127.0.0.1"};
    if (has_ipv6()) all.emplace_back("::1");
    return all;
}

/// What a folder holds, sorted.
std::vector<std::string> names_in(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder))
        names.push_back(entry.path().filename().string());
    std::sort(names.begin(), names.end());
    return names;
}

std::string sha256(const std::string& bytes) {
    Sha256 sha;
    sha.add(bytes.data(), bytes.size());
    return sha.digest();
}

/// A folder to be served and one to receive in.
struct Folders {
    TempDir directory;
    std::string served = directory / "served";
    std::string received = directory / "received";
    Folders() {
        std::filesystem::create_directory(served);
        std::filesystem::create_directory(received);
    }
    void put(const std::string& name, const std::string& bytes) const { write_file(served + "/" + name, bytes); }
    std::string target(const std::string& name = "file") const { return received + "/" + name; }
};

std::string line_from(Peer& peer) {
    std::string text;
    for (std::string byte = peer.receive(1); byte != "\n"; byte = peer.receive(1))
        text += byte;
    return text;
}

/// The answer to a request, to its end.
std::string answer(const Server& server, const std::string& request) {
    Peer peer = Peer::connected_to(server);
    peer.send(request);
    peer.end_sending();
    return peer.receive_to_end();
}

/// A client of a server that the test plays.
Process::Command client_of(const Peer& listener, const std::string& name, const std::string& output) {
    return {program(getting), "--port", listener.port(), "--get", name, "--output", output};
}

const std::string some_tag = "0123456789abcdef";

}  // namespace

TEST_CASE("file: every name and size arrives as it is", "[programs][tcp][file]") {
    const std::string host = GENERATE(from_range(hosts()));
    const Folders folders;
    const std::vector<std::pair<std::string, std::string>> files{{"empty", ""},
                                                                 {"one", "x"},
                                                                 {"with blanks and 100%41", "y\n"},
                                                                 {"new\nline", "z"},
                                                                 {"한글.txt", "안녕\n"},
                                                                 {"\xff\x1b[2J", "escape"},
                                                                 {"large", random_bytes(1'500'001)},
                                                                 {std::string(200, 'n'), "long"}};
    for (const auto& [name, bytes] : files)
        folders.put(name, bytes);
    std::filesystem::create_directory(folders.served + "/sub");
    folders.put("sub/deep", "deep");
    folders.put(".hidden", "not listed");
    const Server server = start_server(serving, {"--folder", folders.served, "--host", host});
    CHECK(run(server.client(getting)) ==
          "              0  empty\n        1500001  large\n              1  new\\nline\n              4  " +
              std::string(200, 'n') +
              "\n              1  one\n                 sub/\n              2  with blanks and 100%41\n"
              "              7  한글.txt\n              6  \\xff\\x1b[2J\n");
    CHECK(run(server.client(getting, {"--folder", "sub"})) == "              4  deep\n");
    for (const auto& [name, bytes] : files) {
        INFO(escaped(name));
        for (int i = 0; i < 2; ++i) {  // the second time it takes the place of the first
            const std::string told = run(server.client(getting, {"--get", name, "--output", folders.target()}));
            CHECK(told.ends_with(fmt::format(": {} bytes, SHA-256 {}\n", bytes.size(), sha256(bytes))));
            CHECK((read_file(folders.target()) == bytes));
        }
    }
    // Without --output it gets the last piece of its name, where the client runs.
    Process client(
        [&] {
            Process::Command command = server.client(getting, {"--get", "sub/deep"});
            command[0] = std::filesystem::absolute(command[0]).string();
            return command;
        }(),
        {.directory = folders.received});
    client.expect_exit(0);
    CHECK(names_in(folders.received) == std::vector<std::string>{"deep", "file"});  // and no part of anything
}

TEST_CASE("file: no name leads outside", "[programs][tcp][file]") {
    const Folders folders;
    std::filesystem::create_directory(folders.directory / "served-not");
    write_file(folders.directory / "served-not/secret", "secret");
    write_file(folders.directory / "secret", "secret");
    folders.put("file", "fine");
    std::filesystem::create_directory(folders.served + "/sub");
    const auto link = [&](const std::string& target, const std::string& name) {
        REQUIRE(symlink(target.c_str(), (folders.served + "/" + name).c_str()) == 0);
    };
    link("../secret", "out");
    link(folders.directory / "secret", "absolute");
    link("..", "up");
    link("sub", "within");
    link("file", "inside");
    link("/dev/zero", "zero");
    link("loop", "loop");
    REQUIRE(mkfifo((folders.served + "/fifo").c_str(), 0600) == 0);
    const Peer socket = Peer::bound_to_path(folders.served + "/socket");
    Server server = start_server(serving, {"--folder", folders.served});

    const std::string none = "symbolic link";
    const std::vector<std::pair<std::string, std::string>> rows{
        {"", "the name is empty"},
        {"..", "lead nowhere"},
        {".", "lead nowhere"},
        {"../secret", "lead nowhere"},
        {"..%2Fsecret", "lead nowhere"},
        {"%2e%2e/secret", "lead nowhere"},
        {"%2E%2E%2Fsecret", "lead nowhere"},
        {"sub/../../secret", "lead nowhere"},
        {"./file", "lead nowhere"},
        {"sub/../file", "lead nowhere"},
        {"../served-not/secret", "lead nowhere"},
        {"-not/secret", "no such file"},
        {"/" + (folders.directory / "secret"), "absolute"},
        {"/etc/passwd", "absolute"},
        {"%2fetc%2fpasswd", "absolute"},
        {"//etc/passwd", "absolute"},
        {"sub//file", "a piece of the name is empty"},
        {"file/", "a piece of the name is empty"},
        {"file%00.txt", "byte 0"},
        {"..%00", "byte 0"},
        {"%252e%252e/secret", "no such file"},  // decoded once, and not twice
        {"..\\secret", "no such file"},
        {"\xc0\xae\xc0\xae/secret", "no such file"},  // ".." in wrong UTF-8
        {"%", "a % without two hex digits"},
        {"%4", "a % without two hex digits"},
        {"%zz", "a % without two hex digits"},
        {"%+1", "a % without two hex digits"},
        {"out", none},
        {"absolute", none},
        {"up/secret", none},
        {"within/x", none},
        {"inside", none},
        {"zero", none},
        {"loop", none},
        {"file/x", "no folder"},
        {"sub", "it is a folder"},
        {"fifo", "no regular file"},
        {"socket", "no regular file"},
        {std::string(300, 'x'), "too long"},
        {"sub/nothing", "no such file"}};
    for (const auto& [name, why] : rows) {
        INFO(name);
        const std::string told = answer(server, "GET " + name + "\nFROM 0\n");
        CHECK_THAT(told, StartsWith("ERROR ") && ContainsSubstring(why));
        CHECK(count_of(told, "\n") == 1);
    }
    for (const char* name : {"..", "up", "/", "file", "sub/..", "fifo"}) {
        INFO(name);
        CHECK_THAT(answer(server, "LIST " + std::string(name) + "\n"), StartsWith("ERROR "));
    }
    CHECK(answer(server, "LIST sub\n") == "OK 0\n");
    CHECK(answer(server, "LIST\n") == "OK 2\n4 file\n- sub\n");
    Process client(server.client(getting, {"--get", "../secret", "--output", folders.target()}));
    client.expect_exit(1);
    CHECK(client.err() == "the server refuses: '.' and '..' lead nowhere here\n");
    CHECK(names_in(folders.received).empty());

    if (geteuid() == 0) {
        skip("root may read every file: that one can't be read is not tried");
    } else {
        folders.put("mine", "x");
        REQUIRE(chmod((folders.served + "/mine").c_str(), 0) == 0);
        CHECK(answer(server, "GET mine\n") == "ERROR the server may not read it\n");
    }
    CHECK(server.err().empty());
}

TEST_CASE("file: a folder is swapped for a link all the time", "[programs][tcp][file]") {
    const Folders folders;
    write_file(folders.directory / "file", "secret");  // what served/sub/file is when sub is a link to ..
    std::filesystem::create_directory(folders.served + "/sub");
    folders.put("sub/file", "public");
    REQUIRE(symlink("..", (folders.served + "/link").c_str()) == 0);
    const Server server = start_server(serving, {"--folder", folders.served});
    Process swapper([&] {
        const auto at = [&](const char* name) { return folders.served + "/" + name; };
        for (;;) {
            std::rename(at("sub").c_str(), at("kept").c_str());
            std::rename(at("link").c_str(), at("sub").c_str());
            std::rename(at("sub").c_str(), at("link").c_str());
            std::rename(at("kept").c_str(), at("sub").c_str());
        }
    });
    // Until the file was there at least once, too: on a busy machine the swapper may stand still at any place.
    int asked = 0, refused = 0;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    for (; asked < 150 || (refused == asked && std::chrono::steady_clock::now() < deadline); ++asked) {
        const std::string told = answer(server, "GET sub/file\nFROM 0\n");
        refused += told.starts_with("ERROR ") ? 1 : 0;
        CHECK(told.find("secret") == std::string::npos);
    }
    CHECK(refused < asked);
}

TEST_CASE("file: requests that make no sense", "[programs][tcp][file]") {
    const Folders folders;
    folders.put("file", "0123456789");
    Server server = start_server(serving, {"--folder", folders.served});
    for (const std::string request :
         {"\n", "get file\n", "GET\n", "PUT file\n", "GET file HTTP/1.1\r\n\r\n", "\x16\x03\x01\x02\n"}) {
        INFO(escaped(request));
        CHECK_THAT(answer(server, request), StartsWith("ERROR "));
    }
    for (const std::string from : {"FROM 11", "FROM -1", "FROM -0", "FROM", "FROM ", "FROM 1x", "FROM 0x1", "FROM +1",
                                   "FROM 9223372036854775808", "FROM 99999999999999999999999", "from 0", ""}) {
        INFO(from);
        const std::string told = answer(server, "GET file\n" + from + "\n");
        CHECK_THAT(told, StartsWith("OK 10 ") && ContainsSubstring("ERROR expected FROM 0 to 10\n"));
    }
    // A line without end is not collected for ever, and the reason arrives although much stays unread.
    CHECK(answer(server, "GET " + std::string(200'000, 'x')) == "ERROR a line has at most 16384 bytes\n");
    CHECK(answer(server, "") == "ERROR the connection ended where a line was expected\n");
    CHECK_THAT(answer(server, "GET file\r\nFROM 4\r\n"),
               ContainsSubstring("\n456789SHA256 " + sha256("0123456789") + "\n"));
    CHECK(server.is_running());
}

TEST_CASE("file: foreign clients speak it by hand", "[programs][tcp][file]") {
    const std::string tool = GENERATE("ncat", "socat");
    if (!has_tool(tool)) return;
    const Folders folders;
    const std::string bytes = random_bytes(300'000);
    folders.put("file", bytes);
    const Server server = start_server(serving, {"--folder", folders.served});
    const Process::Command command =
        tool == "ncat" ? Process::Command{"ncat", server.host(), server.port()}
                       : Process::Command{"socat", "-t", "30", "-", "TCP:" + server.host() + ":" + server.port()};
    const std::string told = run(command, "GET file\nFROM 100000\n");
    REQUIRE(told.starts_with("OK 300000 "));
    const std::string body = told.substr(told.find('\n') + 1);
    CHECK((body == bytes.substr(100'000) + "SHA256 " + sha256(bytes) + "\n"));
}

TEST_CASE("file: the kernel sends it, and its digest is computed once", "[programs][tcp][file]") {
    const Folders folders;
    const std::string bytes = random_bytes(1'000'000);
    folders.put("file", bytes);
    Server server = start_server(serving, {"--folder", folders.served, "--trace"});
    const auto get = [&] {
        run(server.client(getting, {"--get", "file", "--output", folders.target()}));
        CHECK((read_file(folders.target()) == bytes));
    };
    get();
    CHECK(server.err().find("sendfile(") != std::string::npos);
    CHECK(server.err().find("pread(") != std::string::npos);
    // A file that was changed within the last 100 ms is not trusted to stay as it is.
    wait_until(
        [&] {
            const auto reads = count_of(server.err(), "pread(");
            get();
            return count_of(server.err(), "pread(") == reads;
        },
        "a transfer without reading");
    folders.put("file", "another");  // and what is known of one version is not said of the next
    CHECK_THAT(run(server.client(getting, {"--get", "file", "--output", folders.target()})),
               ContainsSubstring(sha256("another")));
}

TEST_CASE("file: what was cut goes on where it ended", "[programs][tcp][file]") {
    const Folders folders;
    const std::string bytes = random_bytes(700'000);
    folders.put("file", bytes);
    Server server = start_server(serving, {"--folder", folders.served});
    Peer asking = Peer::connected_to(server);
    asking.send("GET file\n");
    const std::string offer = line_from(asking);
    const std::string tag = offer.substr(offer.rfind(' ') + 1);
    for (const size_t cut : {size_t{0}, size_t{1}, size_t{262'144}, size_t{699'999}, size_t{700'000}}) {
        INFO("cut at " << cut);
        std::filesystem::remove(folders.target());
        Peer listener = Peer::bound(SOCK_STREAM);
        Process first(client_of(listener, "file", folders.target()));
        {
            Peer cutting = listener.accept();
            CHECK(line_from(cutting) == "GET file");
            cutting.send(offer + "\n");
            CHECK(line_from(cutting) == "FROM 0");
            cutting.send(bytes.substr(0, cut));
            const bool by_reset = cut == 262'144;
            if (by_reset) {  // when all has arrived: RST may throw away what has not been received
                wait_until([&] { return std::filesystem::file_size(folders.target() + "." + tag + ".part") == cut; },
                           "the part");
                cutting.reset();
            }
        }
        first.expect_exit(1);
        CHECK(lines_of(first.err()).size() == (cut == 262'144 ? 2 : 1));
        if (cut < bytes.size())
            CHECK_THAT(first.err(), ContainsSubstring(fmt::format("cut off behind {} of 700000 bytes", cut)));
        CHECK(names_in(folders.received) == std::vector<std::string>{"file." + tag + ".part"});

        Process second(server.client(getting, {"--get", "file", "--output", folders.target()}));
        second.expect_exit(0);
        CHECK(second.err() == (cut == 0 ? "" : fmt::format("going on behind {} of 700000 bytes\n", cut)));
        CHECK((read_file(folders.target()) == bytes));
        CHECK(names_in(folders.received) == std::vector<std::string>{"file"});
    }
}

TEST_CASE("file: the server is killed in the middle, and starts again", "[programs][tcp][file]") {
    const Folders folders;
    const off_t size = off_t{128} << 20U;  // a hole
    folders.put("file", "begin");
    REQUIRE(truncate((folders.served + "/file").c_str(), size) == 0);
    const auto received = [&]() -> std::string {
        const auto names = names_in(folders.received);
        return names.empty() ? "" : folders.received + "/" + names[0];
    };
    bool was_cut = false;
    {
        Server server = start_server(serving, {"--folder", folders.served});
        Process client(server.client(getting, {"--get", "file", "--output", folders.target()}));
        wait_until([&] { return !received().empty() && std::filesystem::file_size(received()) > 0; }, "some bytes");
        server.signal(SIGKILL);
        const Ending ending = client.wait();
        was_cut = ending.status == 1;
        if (was_cut) CHECK_THAT(client.err(), ContainsSubstring("the same command goes on there"));
    }
    if (!was_cut) return skip("the server was killed too late");
    const Server server = start_server(serving, {"--folder", folders.served});
    Process client(server.client(getting, {"--get", "file", "--output", folders.target()}));
    client.expect_exit(0);
    CHECK_THAT(client.err(), StartsWith("going on behind "));
    CHECK(names_in(folders.received) == std::vector<std::string>{"file"});
    CHECK(std::filesystem::file_size(folders.target()) == static_cast<std::uintmax_t>(size));
}

TEST_CASE("file: what was changed on its way is not kept", "[programs][tcp][file]") {
    const Folders folders;
    const std::string right = random_bytes(100'000);
    std::string wrong = right;
    wrong[70'000] = static_cast<char>(wrong[70'000] ^ 1);
    write_file(folders.target(), "the old one");
    struct Row {
        std::string body, verdict, complaint;
    };
    for (const Row& row : {Row{wrong, "SHA256 " + sha256(right), "the bytes are not the server's"},
                           Row{right, "CHANGED", "the file was changed while it was sent"},
                           Row{right, "SHA256 \x1b[2J", "SHA256 \\x1b[2J"}, Row{right, "", "the bytes are not"}}) {
        INFO(row.complaint);
        Peer listener = Peer::bound(SOCK_STREAM);
        Process client(client_of(listener, "file", folders.target()));
        Peer server = listener.accept();
        line_from(server);
        server.send("OK 100000 " + some_tag + "\n");
        line_from(server);
        server.send(row.body + row.verdict + "\n");
        client.expect_exit(1);
        CHECK_THAT(client.err(), ContainsSubstring(row.complaint));
        CHECK(lines_of(client.err()).size() == 1);
        CHECK(names_in(folders.received) == std::vector<std::string>{"file"});
        CHECK(read_file(folders.target()) == "the old one");
    }
}

TEST_CASE("file: a file that is changed while it is sent", "[programs][tcp][file]") {
    const Folders folders;
    folders.put("file", std::string(1000, 'x'));
    Server server = start_server(serving, {"--folder", folders.served});
    const auto get = [&](const std::function<void()>& change) {
        Peer peer = Peer::connected_to(server);
        peer.send("GET file\n");
        CHECK_THAT(line_from(peer), StartsWith("OK 1000 "));
        change();
        peer.send("FROM 0\n");
        return peer.receive_to_end();
    };
    const std::string path = folders.served + "/file";
    CHECK(get([&] { write_file(path, std::string(1000, 'y')); }) == std::string(1000, 'y') + "CHANGED\n");
    CHECK(get([&] { write_file(path, std::string(2000, 'z')); }) == std::string(1000, 'z') + "CHANGED\n");
    REQUIRE(truncate(path.c_str(), 1000) == 0);
    CHECK(get([&] { REQUIRE(truncate(path.c_str(), 10) == 0); }) == std::string(10, 'z'));  // and then it is cut
    CHECK(server.expect_line(Stream::err, "shorter") == "the file has become shorter while it was sent");
    write_file(path, std::string(1000, 'w'));
    // One that is removed, or has another in its place, is still open.
    CHECK_THAT(get([&] { std::filesystem::remove(path); }), StartsWith(std::string(1000, 'w')));
}

TEST_CASE("file: a hostile server", "[programs][tcp][file]") {
    const Folders folders;
    const std::vector<std::pair<std::string, std::string>> rows{
        {"", "the connection ended"},
        {"OK", "does not speak our protocol"},
        {"nonsense\n", "does not speak our protocol"},
        {"OK -1 " + some_tag + "\n", "does not speak our protocol"},
        {"OK 99999999999999999999 " + some_tag + "\n", "does not speak our protocol"},
        {"OK 0x10 " + some_tag + "\n", "does not speak our protocol"},
        {"OK 5 ../../../etc/x/\n", "does not speak our protocol"},
        {"OK 5 ................\n", "does not speak our protocol"},
        {"OK 5 0123456789ABCDEF\n", "does not speak our protocol"},
        {"OK 5  " + some_tag + "\n", "does not speak our protocol"},
        {std::string(17'000, 'x'), "a line has at most"},
        {"ERROR \x1b[2J\x1b]0;title\x07\n", "the server refuses: \\x1b[2J\\x1b]0;title\\x07"},
        {"OK 9223372036854775807 " + some_tag + "\n", "there is room for"}};
    for (const auto& [bytes, complaint] : rows) {
        INFO(escaped(bytes.substr(0, 60)));
        Peer listener = Peer::bound(SOCK_STREAM);
        Process client(client_of(listener, "file", folders.target()));
        Peer server = listener.accept();
        line_from(server);
        server.send(bytes);
        if (bytes.size() <= longest_line) server.end_sending();  // of more it does not wait for the end
        client.expect_exit(1);
        if (bytes != "OK") CHECK_THAT(client.err(), ContainsSubstring(complaint));
        CHECK(lines_of(client.err()).size() == 1);
        CHECK(names_in(folders.received).empty());
    }
    // A list that would command the terminal, and one that never ends.
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client({program(getting), "--port", listener.port()});
    Peer server = listener.accept();
    CHECK(line_from(server) == "LIST");
    server.send("OK 9223372036854775807\n1 %1B[2J\n2 \x1b[2J\n- %0a\n");
    server.end_sending();
    client.expect_exit(1);
    CHECK(client.out() == "              1  \\x1b[2J\n              2  \\x1b[2J\n                 \\n/\n");
}

TEST_CASE("file: two clients do not write into the same part", "[programs][tcp][file]") {
    const Folders folders;
    Peer listener = Peer::bound(SOCK_STREAM);
    Process first(client_of(listener, "file", folders.target()));
    Peer one = listener.accept();
    line_from(one);
    one.send("OK 5 " + some_tag + "\n");
    CHECK(line_from(one) == "FROM 0");
    Process second(client_of(listener, "file", folders.target()));
    Peer two = listener.accept();
    line_from(two);
    two.send("OK 5 " + some_tag + "\n");
    second.expect_exit(1);
    CHECK_THAT(second.err(), ContainsSubstring("another client gets this file"));
    one.send("helloSHA256 " + sha256("hello") + "\n");
    first.expect_exit(0);
    CHECK(read_file(folders.target()) == "hello");
}

TEST_CASE("file: what stands where the part would be", "[programs][tcp][file]") {
    const Folders folders;
    folders.put("secret", "secret");
    const std::string part = folders.target() + "." + some_tag + ".part";
    const auto get = [&](const std::string& complaint) {
        Peer listener = Peer::bound(SOCK_STREAM);
        Process client(client_of(listener, "file", folders.target()));
        Peer server = listener.accept();
        line_from(server);
        server.send("OK 5 " + some_tag + "\n");
        if (complaint.empty()) {
            CHECK(line_from(server) == "FROM 0");
            server.send("helloSHA256 " + sha256("hello") + "\n");
        }
        client.expect_exit(complaint.empty() ? 0 : 1);
        CHECK_THAT(client.err(), ContainsSubstring(complaint));
    };
    REQUIRE(symlink((folders.served + "/secret").c_str(), part.c_str()) == 0);
    get("(ELOOP)");
    std::filesystem::remove(part);
    REQUIRE(mkfifo(part.c_str(), 0600) == 0);
    get("no regular file");
    std::filesystem::remove(part);
    write_file(part, "longer than the file");  // it can't be a part of it
    get("");
    CHECK(read_file(folders.target()) == "hello");
    CHECK(read_file(folders.served + "/secret") == "secret");
    // A folder can't get the name of a file: that is told before anything is fetched.
    const FreePort nobody;
    for (const std::string& output :
         {folders.served, folders.served + "/..", folders.served + "/", std::string("."), std::string()}) {
        Process client({program(getting), "--port", nobody.text(), "--get", "file", "--output", output});
        client.expect_exit(2);
        CHECK(client.err() == fmt::format("--output {}: the name of a file is needed\n", output));
    }
}

TEST_CASE("file: clients that say nothing, and one that takes nothing", "[programs][tcp][file]") {
    const Folders folders;
    folders.put("file", "hello");
    folders.put("large", "");
    REQUIRE(truncate((folders.served + "/large").c_str(), off_t{100} << 20U) == 0);
    Server stuck = start_server(serving, {"--folder", folders.served, "--idle", "1", "--clients", "1"});
    Peer deaf = Peer::connected_to(stuck);
    deaf.send("GET large\nFROM 0\n");

    Server server = start_server(serving, {"--folder", folders.served, "--idle", "1", "--clients", "2"});
    Peer silent = Peer::connected_to(server), between = Peer::connected_to(server);
    between.send("GET file\n");
    CHECK_THAT(line_from(between), StartsWith("OK 5 "));
    Process third(server.client(getting, {"--get", "file", "--output", folders.target()}));  // has to wait
    CHECK(silent.receive_to_end().empty());
    CHECK(between.receive_to_end().empty());
    third.expect_exit(0);
    CHECK_THAT(server.expect_line(Stream::err, "recv("), ContainsSubstring("(EAGAIN)"));

    CHECK_THAT(stuck.expect_line(Stream::err, "takes too long"), ContainsSubstring(" of 104857600 bytes"));
    CHECK(answer(stuck, "LIST\n") == "OK 2\n5 file\n104857600 large\n");
}

TEST_CASE("file: out of descriptors, and calls that fail", "[programs][tcp][file]") {
    const Folders folders;
    const std::string bytes = random_bytes(300'000);
    folders.put("file", bytes);
    for (const char* fault :
         {"accept:EMFILE", "accept:ECONNABORTED", "openat:EMFILE", "fstat:EIO", "pread:EIO", "send:ECONNRESET:2",
          "sendfile:EIO", "sendfile:EINTR", "sendfile:EINVAL", "recv:ECONNRESET", "close:EIO", "shutdown:ENOTCONN"}) {
        INFO(fault);
        Server server = start_server(serving, {"--folder", folders.served, "--fault", fault});
        answer(server, "GET file\nFROM 0\n");  // may go wrong
        const std::string told = answer(server, "GET file\nFROM 0\n");
        CHECK(told.ends_with("SHA256 " + sha256(bytes) + "\n"));
        CHECK(server.is_running());
    }
    // The client: whatever fails, under the file's name there is the old one, or the new one.
    for (const char* error : {"EIO", "ENOSPC"}) {
        const Server server = start_server(serving, {"--folder", folders.served});
        for (int number = 1; number < 100; ++number) {
            INFO(error << " " << number);
            write_file(folders.target(), "old");
            Process client(server.client(getting, {"--get", "file", "--output", folders.target(), "--fault",
                                                   fmt::format("any:{}:{}", error, number)}));
            const Ending ending = client.wait();
            const std::string now = read_file(folders.target());
            CHECK((now == "old" || now == bytes));
            CHECK((ending == Ending{0, 0} || ending == Ending{1, 0}));
            if (ending.status == 0) CHECK((now == bytes));
            if (client.err().find("--fault: ") == std::string::npos) break;
            CHECK(number < 99);
        }
    }
}

TEST_CASE("file: on a terminal it shows how far it is", "[programs][tcp][file]") {
    const Folders folders;
    Peer listener = Peer::bound(SOCK_STREAM);
    Process client(client_of(listener, "file", folders.target()), {.terminal = Terminal::all});
    Peer server = listener.accept();
    line_from(server);
    server.send("OK 2097152 " + some_tag + "\n");
    line_from(server);
    const std::string bytes(2097152, 'x');
    server.send(bytes.substr(0, 1048576));
    size_t sent = 1048576;
    wait_until(
        [&] {
            server.send("x");
            ++sent;
            return client.all(Stream::terminal).find("] ") != std::string::npos;
        },
        "the bar");
    const std::string shown = client.all(Stream::terminal);
    CHECK_THAT(shown,
               ContainsSubstring("\r[") && ContainsSubstring("#.") && ContainsSubstring("  50%  1.0 MiB of 2.0 MiB  "));
    CHECK_THAT(shown, ContainsSubstring("/s  0:0") && ContainsSubstring(" left\x1b[K"));
    const size_t begin = shown.find("\r[") + 1;
    CHECK(shown.find(" left", begin) + 5 - begin == 79);
    server.send(bytes.substr(sent) + "SHA256 " + sha256(bytes) + "\n");
    client.expect_exit(0);
    CHECK_THAT(client.all(Stream::terminal),
               ContainsSubstring("\r\x1b[K" + folders.target() + ": 2097152 bytes, SHA-256 "));
    // Piped there is none.
    CHECK(client.all(Stream::err).empty());
}
