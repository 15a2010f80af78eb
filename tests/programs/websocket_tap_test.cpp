// The tap: what it passes on is what it got, whatever that is and however it ends; and what it tells of it is right,
// by the word of tshark, Python's websockets, npm's ws and Chromium.

#include "common/address.hpp"
#include "common/stream.hpp"
#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"
#include "websocket/tap_pcap.hpp"

#include <nlohmann/json.hpp>

#include <csignal>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <sys/socket.h>

using wire::close_body;

namespace {

const std::string tap = "websocket/tap";

Server start_tap(const std::string& to, Process::Command more = {}, const std::string& host = "127.0.0.1") {
    more.insert(more.end(), {"--to", to, "--host", host});
    return start_server(tap, more);
}

std::string port_of_page(Server& server) {
    const std::string line = server.expect_line(Stream::out, "the page: ");
    return line.substr(line.rfind(':') + 1, line.size() - line.rfind(':') - 2);
}

/// A client by way of the tap, and its connection at the server, which the test plays.
struct Through {
    explicit Through(const Server& server, Peer& target)
        : client(Peer::connected_to(server)), server_side(target.accept()) {}
    Peer client, server_side;

    void shake_hands() {
        client.send(upgrade_request());
        const std::string request = read_head(server_side);
        server_side.send(switching_protocols(request));
        CHECK_THAT(read_head(client), StartsWith("HTTP/1.1 101 "));
    }
};

}  // namespace

TEST_CASE("tap: the pair does not notice it", "[programs][websocket][tap]") {
    const std::string host = GENERATE("127.0.0.1", "::1");
    if (host == "::1" && !has_ipv6()) return;
    const Server echo = start_server("websocket/event_server", {"--host", host});
    Server server = start_tap(echo.address(), {}, host);
    const std::string out = run(server.client("websocket/echo_client"), "hello\n안녕\n");
    CHECK(out == "hello\n안녕\n");
    std::string told = server.expect(Stream::out, "over: ");
    told += server.expect(Stream::out, "\n");
    CHECK_THAT(told, ContainsSubstring(" -> GET / HTTP/1.1  (") && ContainsSubstring("Accept, as it came") &&
                         ContainsSubstring("  right\n") &&
                         ContainsSubstring(" -> text  FIN  MASK  length 6 (7 bits)") && ContainsSubstring("\"안녕\"") &&
                         ContainsSubstring(" <- text  FIN  mask 0  length 5 (7 bits)") &&
                         ContainsSubstring(" <- FIN: the server sends no more, and is the first to say so") &&
                         ContainsSubstring("Close 1000 from the client, Close 1000 from the server; messages: 2 up, 2 "
                                           "down; TCP ended first by the server"));
    CHECK_THAT(told, !ContainsSubstring("!!"));
}

TEST_CASE("tap: 16 MiB both ways, and each side ends for itself", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port(), {"--quiet"});
    const std::string up = random_bytes(std::size_t{16} << 20U), down = random_bytes(std::size_t{16} << 20U, 2);
    Process client([&] {
        Peer peer = Peer::connected_to(server);
        peer.send(up);
        peer.end_sending();
        if (peer.receive_to_end() != down) throw Unexpected("what came is not what was sent");
    });
    Peer accepted = target.accept();
    CHECK(accepted.receive_to_end() == up);  // and its end, while the other way is open
    accepted.send(down);
    accepted.close();
    client.expect_exit(0);
}

TEST_CASE("tap: whoever does not read is waited for, and costs no memory", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    const Server server = start_tap("127.0.0.1:" + target.port(), {"--quiet"});
    Through other(server, target), slow(server, target);
    const long before = resident_kilobytes(server.pid());
    const auto fill = [&](int fd) {
        const std::string piece(100'000, 'x');
        std::size_t total = 0;
        for (int idle = 0; idle < 20;) {
            const ssize_t sent = send(fd, piece.data(), piece.size(), MSG_DONTWAIT);
            if (sent > 0) {
                total += static_cast<std::size_t>(sent);
                idle = 0;
            } else {
                ++idle;
                serve_processes(Milliseconds(20));
            }
            if (total > 100'000'000) throw Unexpected("it takes everything");
        }
        return total;
    };
    const bool up = GENERATE(true, false);
    const std::size_t held = fill(up ? slow.client.fd() : slow.server_side.fd());
    CHECK(held > 100'000);
    if (before > 0 && !is_sanitized()) CHECK(most_resident_kilobytes(server.pid()) < before + 40'000);
    CHECK(cpu_seconds(server.pid()) < 20);
    for (int i = 0; i < 3; ++i) {  // the others do not notice
        other.client.send("hello");
        CHECK(other.server_side.receive(5) == "hello");
        other.server_side.send("world");
        CHECK(other.client.receive(5) == "world");
    }
    // And nothing of it is lost, once it is read.
    Peer& sender = up ? slow.client : slow.server_side;
    Peer& reader = up ? slow.server_side : slow.client;
    sender.end_sending();
    CHECK(reader.receive_to_end().size() == held);
}

TEST_CASE("tap: what is no WebSocket passes, and is shown as what it is", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port());
    Through one(server, target);
    const std::string garbage = "\x16\x03\x01\x1b[2J\x07" + random_bytes(5000);
    one.client.send(garbage);
    CHECK(one.server_side.receive(garbage.size()) == garbage);
    one.server_side.send("what?\n");
    CHECK(one.client.receive(6) == "what?\n");
    one.server_side.close();
    CHECK(one.client.receive_to_end().empty());
    one.client.close();
    const std::string told = server.expect(Stream::out, "over: ");
    CHECK_THAT(told, ContainsSubstring("no HTTP from the client: from here on only bytes") &&
                         ContainsSubstring("no HTTP from the server") && ContainsSubstring("\"what?\\n\""));
    CHECK(told.find('\x1b') == std::string::npos);
}

TEST_CASE("tap: bodies in chunks, and the WebSocket behind them", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port());
    Through one(server, target);
    const std::string chunked = "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    const std::string post = "POST /login HTTP/1.1\r\nHost: x\r\n" + chunked, answer = "HTTP/1.1 200 OK\r\n" + chunked;
    one.client.send(post);
    CHECK(one.server_side.receive(post.size()) == post);
    one.server_side.send(answer);
    CHECK(one.client.receive(answer.size()) == answer);
    one.shake_hands();
    one.client.send(wire::masked(0x81, "fine"));
    CHECK(one.server_side.receive(10) == wire::masked(0x81, "fine"));
    const std::string told = server.expect(Stream::out, "\"fine\"");
    CHECK_THAT(told, ContainsSubstring(" -> 15 bytes of a body in chunks\n") &&
                         ContainsSubstring(" <- 15 bytes of a body in chunks\n") &&
                         ContainsSubstring("\"5\\r\\nhello\\r\\n0\\r\\n\\r\\n\"") &&
                         ContainsSubstring("WebSocket from here on") && !ContainsSubstring("only bytes"));
}

TEST_CASE("tap: a header that can't be one, and from there on bytes", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port());
    Through one(server, target);
    one.shake_hands();
    const std::string wrong = wire::from_hex("82 ff ffffffffffffffff 01020304") + std::string(20'000, 'z');
    one.client.send(wire::masked(0x81, "fine") + wrong);
    CHECK(one.server_side.receive(wire::masked(0x81, "fine").size() + wrong.size()) ==
          wire::masked(0x81, "fine") + wrong);
    one.server_side.send(wire::frame(0x83, "odd") + wire::frame(0x88, close_body(1002)));
    CHECK(one.client.receive(5 + 4) == wire::frame(0x83, "odd") + wire::frame(0x88, close_body(1002)));
    const std::string told = server.expect(Stream::out, "1002 (protocol error)");
    CHECK_THAT(told, ContainsSubstring("\"fine\"") &&
                         ContainsSubstring("82 ff ff ff ff ff ff ff ff ff is no frame's header: the length has its top "
                                           "bit set (5.2)") &&
                         ContainsSubstring("!! an opcode that means nothing (5.2)"));
}

TEST_CASE("tap: ends pass as they are, and it is told whose was the first", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port());
    Through one(server, target);
    one.shake_hands();
    const bool by_client = GENERATE(true, false);
    Peer& first = by_client ? one.client : one.server_side;
    Peer& second = by_client ? one.server_side : one.client;
    const std::string name = by_client ? "client" : "server";
    const auto to_end = [](Peer& peer) {
        const Rest rest = read_to_end(peer);
        return rest.bytes + (rest.reset ? " RST" : " FIN");
    };
    SECTION("FIN, and the other goes on") {
        first.send("half");
        first.end_sending();
        CHECK(to_end(second) == "half FIN");
        second.send("still here");
        CHECK(first.receive(10) == "still here");
        second.end_sending();
        CHECK(to_end(first) == " FIN");
        const std::string told = server.expect(Stream::out, "bytes: ");
        CHECK_THAT(told, ContainsSubstring("FIN: the " + name + " sends no more, and is the first to say so") &&
                             ContainsSubstring("TCP ended first by the " + name));
        server.expect(Stream::out, "!! no Close frame: both sides are told 1006 (7.1.5)");
    }
    SECTION("RST") {
        first.send("x");
        CHECK(second.receive(1) == "x");
        first.reset();
        CHECK(to_end(second) == " RST");
        CHECK_THAT(server.expect(Stream::out, "over: reset by the " + name),
                   ContainsSubstring("RST: the " + name + " has reset the connection"));
    }
    SECTION("RST behind FIN") {
        first.end_sending();
        CHECK(to_end(second) == " FIN");
        first.reset();
        server.expect(Stream::out, "over: reset by the " + name);
        // recv() says 0 as before: only sending tells.
        wait_until([&] { return send(second.fd(), "x", 1, MSG_NOSIGNAL) == -1; }, "the reset to arrive");
    }
    // Others are served.
    Through next(server, target);
    next.client.send("hello");
    CHECK(next.server_side.receive(5) == "hello");
}

TEST_CASE("tap: nobody there", "[programs][websocket][tap]") {
    const FreePort nobody;
    Server server = start_tap("127.0.0.1:" + nobody.text());
    Peer client = Peer::connected_to(server);
    CHECK(read_to_end(client).reset);
    server.expect(Stream::out, "no connection to the server");
    server.expect(Stream::err, "ECONNREFUSED");
}

TEST_CASE("tap: many at once, and all told apart", "[programs][websocket][tap]") {
    const Server echo = start_server("websocket/event_server");
    Server server = start_tap(echo.address(), {"--brief"});
    const std::string result = run(
        server.client("websocket/load", {"--connections", "40", "--in-flight", "4", "--messages", "800", "--json"}));
    CHECK_THAT(result, ContainsSubstring("\"messages\": 800,"));
    wait_until([&] { return count_of(server.out(), " over: ") == 40; }, "the ends of 40 connections");
    CHECK(count_of(server.out(), " WebSocket from here on") == 40);
    CHECK(count_of(server.out(), "!!") == count_of(server.out(), "!! no Close frame"));  // as load ends
    CHECK_THAT(server.out(), !ContainsSubstring("unseen"));
}

TEST_CASE("tap: a page that does not read misses records, and is told how many", "[programs][websocket][tap]") {
    if (is_thread_sanitized()) return skip("the thread that tells of records is too slow for a page to miss any");
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port(), {"--quiet", "--page", "0"});
    const auto page_port = static_cast<std::uint16_t>(std::stoi(port_of_page(server)));
    Peer page(connect_to_any(resolve("127.0.0.1", page_port, SOCK_STREAM)));
    page.send(upgrade_request());
    CHECK_THAT(read_head(page), StartsWith("HTTP/1.1 101 "));
    Through one(server, target);
    one.shake_hands();
    std::string many;
    for (int i = 0; i < 500; ++i)
        many += wire::frame(0x81, std::string(100, 'x'));
    for (int i = 0; i < 20; ++i) {  // 10,000 frames, each with two records of 400 bytes
        one.server_side.send(many);
        CHECK(one.client.receive(many.size()) == many);  // nobody waits for the page
    }
    one.server_side.close();
    one.client.close();
    std::string told;
    wait_until(
        [&] {
            char bytes[65536];
            ssize_t count = 0;
            while ((count = recv(page.fd(), bytes, sizeof bytes, MSG_DONTWAIT)) > 0)
                told.append(bytes, static_cast<std::size_t>(count));
            // What is told of is behind the next thing that happens.
            if (told.find("\"kind\":\"lost\"") != std::string::npos) return true;
            Peer::connected_to(server).close();
            return false;
        },
        "how many records the page has missed");
}

TEST_CASE("tap: a terminal that is stopped makes nobody wait, and is told what it has missed",
          "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server =
        start_server(tap, {"--to", "127.0.0.1:" + target.port(), "--segments"}, {.terminal = Terminal::output});
    Through one(server, target);
    one.client.send("\x01 nothing");
    CHECK(one.server_side.receive(9) == "\x01 nothing");
    server.expect(Stream::terminal, "no HTTP from the client");
    server.type("\x13");  // Ctrl-S
    const std::string piece = random_bytes(200'000);
    // As long as there is room, copies wait for the terminal: 64 MiB.
    for (int i = 0; i < 400; ++i) {
        one.client.send(piece);
        CHECK(one.server_side.receive(piece.size()) == piece);
    }
    server.type("\x11");  // Ctrl-Q
    one.client.close();
    one.server_side.close();
    server.expect(Stream::terminal, " passed unseen: this program was too slow to look");
    server.expect(Stream::terminal, "over: ");
    server.expect(Stream::terminal, "bytes: 80000009 up, 0 down");
}

TEST_CASE("tap: what it has saved reads back as what it has told", "[programs][websocket][tap]") {
    const TempDir folder;
    const std::string lines = folder / "a.jsonl", packets = folder / "a.pcap";
    const Server echo = start_server("websocket/event_server");
    std::string live;
    {
        Server server = start_tap(echo.address(), {"--save", lines, "--pcap", packets});
        CHECK(run(server.client("websocket/echo_client"), "hello\n안녕\n") == "hello\n안녕\n");
        server.expect(Stream::out, "over: ");
        Peer garbage = Peer::connected_to(server);
        garbage.send("nonsense\r\n\r\n");
        garbage.receive_to_end();
        garbage.close();
        server.expect(Stream::out, "over: ");
        server.signal(SIGINT);
        server.expect_exit(0);
        live = server.out().substr(server.out().find('\n') + 1);
    }
    CHECK(run({program(tap), "--read", lines}) == live);
    CHECK(run({program(tap), "--read", packets}) == live);
    const std::string again = folder / "b.jsonl", packets_again = folder / "b.pcap";
    CHECK(run({program(tap), "--read", packets, "--quiet", "--save", again, "--pcap", packets_again}).empty());
    CHECK(read_file(again) == read_file(lines));
    CHECK(read_file(packets_again) == read_file(packets));
    const std::string bits = run({program(tap), "--read", lines, "--bits"});
    CHECK_THAT(bits, ContainsSubstring("FIN: the message ends with this frame"));
    const std::string brief = run({program(tap), "--read", lines, "--brief"});
    CHECK_THAT(brief, ContainsSubstring("message 1: text, 1 frame, 5 bytes") && !ContainsSubstring("Host:"));
}

TEST_CASE("tap: files that are none", "[programs][websocket][tap]") {
    const TempDir folder;
    const auto complaint = [&](const std::string& content) {
        write_file(folder / "file", content);
        Process process({program(tap), "--read", folder / "file"});
        process.expect_exit(1);
        CHECK(count_of(process.err(), "\n") == 1);
        return process.err();
    };
    CHECK_THAT(complaint("nonsense"), ContainsSubstring("this is no pcap file"));
    CHECK_THAT(complaint(""), ContainsSubstring("this is no pcap file"));
    CHECK_THAT(complaint("{}\n"), ContainsSubstring("line 1: "));
    CHECK_THAT(complaint("{\"kind\":\"note\"}\n{\"kind\":\"frame\"}\n"), ContainsSubstring("line 2: a frame without"));
    Process missing({program(tap), "--read", folder / "missing"});
    missing.expect_exit(1);
    CHECK_THAT(missing.err(), ContainsSubstring("ENOENT"));
}

TEST_CASE("tap: wrong command lines", "[programs][websocket][tap]") {
    for (const Process::Command& wrong : std::vector<Process::Command>{
             {"--to", "7000"}, {"--to", "127.0.0.1:0"}, {"--listen", "x"}, {"--page", "65536"}, {"--idle", "-1"}}) {
        Process::Command command{program(tap)};
        command.insert(command.end(), wrong.begin(), wrong.end());
        Process process(command);
        process.expect_exit(2);
        CHECK_THAT(process.err(), ContainsSubstring(wrong[0]));
    }
    const FreePort port;
    Process itself({program(tap), "--port", port.text(), "--to", "127.0.0.1:" + port.text()});
    itself.expect_exit(2);
    CHECK_THAT(itself.err(), ContainsSubstring("that is where this program listens itself"));
}

TEST_CASE("tap: nothing passes for a while", "[programs][websocket][tap]") {
    Peer target = Peer::bound(SOCK_STREAM);
    Server server = start_tap("127.0.0.1:" + target.port(), {"--idle", "1"});
    Through one(server, target);
    CHECK(read_to_end(one.client).reset);
    server.expect(Stream::err, "nothing has passed for 1 s (--idle)");
}

// ---- What nobody here wrote

namespace {

/// The frames in tshark's view of a file: FIN, opcode, MASK, length and key of each, in a line.
std::string frames_by_tshark(const std::string& file, const std::string& port) {
    const nlohmann::json packets = nlohmann::json::parse(run({"tshark", "-r", file, "-d", "tcp.port==" + port + ",http",
                                                              "-Y", "websocket", "-T", "json", "--no-duplicate-keys"}));
    std::string lines;
    for (const nlohmann::json& packet : packets) {
        const nlohmann::json& found = packet.at("_source").at("layers").at("websocket");
        const auto all = found.is_array() ? found.get<std::vector<nlohmann::json>>() : std::vector{found};
        for (const nlohmann::json& frame : all) {
            const auto field = [&](const char* name) {
                return frame.contains(name) ? frame.at(name).get<std::string>() : "";
            };
            const auto bit = [&](const char* name) {
                const std::string value = field(name);
                return value == "1" || value == "True" || value == "true" ? "1" : "0";
            };
            std::string key = field("websocket.masking_key");
            std::erase(key, ':');
            lines += std::string(bit("websocket.fin")) + " " + field("websocket.opcode") + " " + bit("websocket.mask") +
                     " " + field("websocket.payload_length") + (key.empty() ? "" : " ") + key + "\n";
        }
    }
    return lines;
}

/// The same from the tap's own lines.
std::string frames_by_tap(const std::string& file) {
    std::string lines;
    for (const std::string& line : lines_of(read_file(file))) {
        const nlohmann::json record = nlohmann::json::parse(line);
        if (record.at("kind") != "frame") continue;
        const auto form = static_cast<unsigned>(wire::from_hex(record.at("head").get<std::string>())[1] & 0x7F);
        lines += std::string(record.at("fin").get<bool>() ? "1 " : "0 ") +
                 std::to_string(record.at("opcode").get<int>()) + (record.at("mask").get<bool>() ? " 1 " : " 0 ") +
                 std::to_string(form);
        if (record.contains("masking_key")) lines += " " + record.at("masking_key").get<std::string>();
        lines += "\n";
    }
    return lines;
}

}  // namespace

TEST_CASE("tap: npm's ws and Python's websockets, tshark's word, and the page in Chromium",
          "[programs][websocket][tap][interop][browser]") {
    const auto packages = npm_packages();
    if (!packages || !has_tool("python3") || !has_tool("tshark")) return;
    const TempDir folder;
    const std::string saved = folder / "tap.jsonl", packets = folder / "tap.pcap", frames = folder / "frames";
    Process theirs({"/usr/bin/python3", "tests/interop/server.py"});
    const std::string line = theirs.expect_line(Stream::out, "listening on ");
    Server server = start_tap(line.substr(line.rfind(' ') + 1), {"--page", "0", "--save", saved, "--pcap", packets});
    const std::string page_port = port_of_page(server);

    Process client({"node", "tests/interop/tap_client.mjs", server.port()}, *packages);
    client.expect_exit(0, 2 * patience);
    CHECK(client.out() == "closed 1000\n");
    server.expect(Stream::out, "over: ");
    server.expect(Stream::out, "\n");
    CHECK_THAT(server.out(), ContainsSubstring("message 1: text, 3 frames, 1 control frame between, ") &&
                                 ContainsSubstring(" compressed, 210 inflated") &&
                                 ContainsSubstring("answers ping frame 3 after "));
    // Behind both Close frames ws ends TCP at once, sometimes before the server does.
    CHECK(count_of(server.out(), "!!") == count_of(server.out(), "!! the client has ended TCP first"));
    const std::string seen = frames_by_tshark(packets, server.port());
    CHECK(count_of(seen, "\n") >= 13);
    CHECK(seen == frames_by_tap(saved));

    if (!can_test_pages()) return;
    write_file(frames, seen);
    // The page's files are compared with what there is now: what comes later goes elsewhere.
    write_file(folder / "then.jsonl", read_file(saved));
    // And two that are large, with a message at the end.
    std::string lines;
    for (int i = 0; i < 170; ++i)
        lines +=
            R"({"kind":"raw","connection":1,"time":1,"size":50000,"plain":")" + std::string(100'000, '0') + "\"}\n";
    write_file(folder / "then.jsonl.large", lines + read_file(saved));
    websocket::PcapWriter writer;
    websocket::Happening happening{websocket::Happening::Kind::open, 99, 1'000'000};
    happening.ends = std::make_shared<const websocket::Happening::Ends>(websocket::Happening::Ends{
        resolve("127.0.0.1", 1, SOCK_STREAM).front(), resolve("127.0.0.1", 2, SOCK_STREAM).front()});
    std::string large = websocket::PcapWriter::head() + writer.take(happening);
    happening.kind = websocket::Happening::Kind::bytes;
    happening.bytes.assign(50'000, '\x01');
    for (int i = 0; i < 350; ++i)
        large += writer.take(happening);
    write_file(folder / "then.pcap.large", large + read_file(packets).substr(websocket::PcapWriter::head().size()));
    PageTest("tap_page.mjs", {page_port, frames, folder / "then.jsonl", folder / "then.pcap", server.port()}).finish();
    CHECK(read_file(folder / "then.pcap.page") ==
          read_file(packets).substr(0, read_file(folder / "then.pcap.page").size()));
}
