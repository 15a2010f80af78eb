// The feed: the same updates in four ways, what each costs, and how each comes back after a cut. What the counters say
// is compared with what others have counted: the client at its sockets, and socat between the two.

#include "tests/catch.hpp"
#include "tests/programs/websocket_peer.hpp"
#include "tests/support/files.hpp"
#include "tests/support/npm.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <sys/socket.h>

namespace {

const std::string feed = "websocket/feed_server";
const std::vector<std::string> ways{"polling", "long-polling", "sse", "websocket"};

Server start_feed(const Process::Command& arguments = {}) { return start_server(feed, arguments); }

Process::Command listener(const Server& server, const Process::Command& arguments) {
    return server.client("websocket/feed_client", arguments);
}

std::string get(const std::string& resource, const std::string& fields = "") {
    return "GET " + resource + " HTTP/1.1\r\nHost: localhost\r\n" + fields + "\r\n";
}

/// One response with a Content-Length, or with none and no body.
struct Response {
    std::string head, body;
};

Response read_response(Peer& peer) {
    Response response{read_head(peer), ""};
    const std::string name = "\r\nContent-Length: ";
    if (const size_t at = response.head.find(name); at != std::string::npos)
        response.body = peer.receive(std::stoul(response.head.substr(at + name.size())));
    return response;
}

Response ask(const Server& server, const std::string& resource, const std::string& fields = "") {
    Peer peer = Peer::connected_to(server);
    peer.send(get(resource, fields));
    return read_response(peer);
}

/// Numbers of the updates in lines like "17 1764097000.123456 52.30".
std::vector<long> numbers_of(const std::string& text) {
    std::vector<long> numbers;
    for (const std::string& line : lines_of(text))
        numbers.push_back(std::stol(line));
    return numbers;
}

bool is_in_order(const std::vector<long>& numbers) {
    for (size_t i = 1; i < numbers.size(); ++i)
        if (numbers[i] != numbers[i - 1] + 1) return false;
    return true;
}

/// "updates", "requests", "connections", "received", "sent", "delay" of one way, as the server counts.
std::map<std::string, double> counters(const Server& server, const std::string& way) {
    const std::string text = ask(server, "/counters").body;
    const size_t begin = text.find("\"" + way + "\": {");
    std::map<std::string, double> found;
    for (const char* name : {"updates", "requests", "connections", "received", "sent", "delay"}) {
        const std::string quoted = "\"" + std::string(name) + "\": ";
        found[name] = std::stod(text.substr(text.find(quoted, begin) + quoted.size()));
    }
    return found;
}

/// A line of the client's table, with the names above, and "missed" and "per update".
std::map<std::string, double> row(const std::string& out, const std::string& way) {
    std::vector<std::string> lines = lines_of(out);
    std::erase_if(lines, [&](const std::string& line) { return !line.starts_with(way + " "); });
    REQUIRE(lines.size() == 1);
    std::istringstream words(lines[0].substr(way.size()));
    std::map<std::string, double> found;
    for (const char* name : {"updates", "missed", "requests", "connections", "sent", "received", "per update", "delay"})
        words >> found[name];
    return found;
}

/// A reader's command, and the answer to it.
std::string command(const Server& server, const std::string& text) {
    WebSocketPeer control(server, "", "/control");
    control.send_frame(0x81, text);
    return control.payload(0x81);
}

/// The numbers of the updates that a client has printed.
std::vector<long> told(Process& client) {
    std::vector<long> numbers;
    const std::string& out = client.out();
    for (const std::string& line : lines_of(out.substr(0, out.rfind('\n') + 1)))
        if (line.starts_with(" ") && (line.ends_with(" ms late") || line.ends_with("  the present value")) &&
            line.find("updates") == std::string::npos)
            numbers.push_back(std::stol(line));
    return numbers;
}

void wait_for_updates(Process& client, size_t count) {
    wait_until([&] { return told(client).size() >= count || !client.is_running(); }, "updates");
}

}  // namespace

// ---- What it costs

TEST_CASE("feed: the four ways cost what they must, and the counters are right", "[programs][websocket][feed]") {
    if (!has_tool("socat")) return;
    const Server server = start_feed({"--every", "250"});
    // socat writes down what goes through it: to the server (-r) and back (-R).
    const TempDir folder;
    const std::string up = folder / "up", down = folder / "down";
    Process socat(
        {"socat", "-d", "-d", "-r", up, "-R", down, "TCP-LISTEN:0,bind=127.0.0.1,fork", "TCP:" + server.address()});
    const std::string line = socat.expect_line(Stream::err, "listening on AF=2 ");
    Process client({program("websocket/feed_client"), "--port", line.substr(line.rfind(':') + 1), "--compare",
                    "--interval", "100", "--updates", "10"});
    client.expect_exit(0);
    INFO(client.out());
    CHECK(client.err().empty());

    std::map<std::string, std::map<std::string, double>> ours, theirs;
    double sent = 0, received = 0;
    for (const std::string& way : ways) {
        INFO(way);
        auto& one = ours[way] = row(client.out(), way);
        auto& other = theirs[way] = counters(server, way);
        CHECK(one["updates"] >= 10);
        CHECK(one["missed"] == 0);
        CHECK(one["requests"] == other["requests"]);
        CHECK(one["connections"] == 1);
        CHECK(other["connections"] == 1);
        CHECK(one["sent"] == other["received"]);
        // A stream of events is just left: what the server says meanwhile nobody reads.
        if (way == "sse") {
            CHECK(one["received"] <= other["sent"]);
            CHECK(one["received"] + 200 >= other["sent"]);
        } else {
            CHECK(one["received"] == other["sent"]);
            CHECK(one["updates"] == other["updates"]);
        }
        sent += one["sent"];
        received += one["received"];
    }
    CHECK(static_cast<double>(std::filesystem::file_size(up)) == sent);
    CHECK(static_cast<double>(std::filesystem::file_size(down)) >= received);
    CHECK(static_cast<double>(std::filesystem::file_size(down)) <= received + 200);

    for (size_t i = 0; i + 1 < ways.size(); ++i) {
        INFO(ways[i] << " and " << ways[i + 1]);
        CHECK(ours[ways[i]]["per update"] > ours[ways[i + 1]]["per update"]);
    }
    CHECK(ours["polling"]["requests"] > ours["polling"]["updates"]);
    CHECK(ours["long-polling"]["requests"] <= ours["long-polling"]["updates"]);
    CHECK(ours["sse"]["requests"] == 1);
    CHECK(ours["websocket"]["requests"] == 1);
    for (const char* way : {"long-polling", "sse", "websocket"})
        CHECK(ours["polling"]["delay"] > ours[way]["delay"]);
    CHECK(ours["polling"]["delay"] > 20);  // of 100 milliseconds between two polls: half of that, on average
    socat.signal(SIGTERM);
    socat.wait();
}

TEST_CASE("feed: a stream's and a WebSocket's bytes, counted by the other end", "[programs][websocket][feed]") {
    const std::string way = GENERATE("sse", "websocket");
    const Server server = start_feed({"--every", "20"});
    Peer peer = Peer::connected_to(server);
    const std::string request = way == "sse" ? get("/events") : upgrade_request("", "/socket");
    peer.send(request);
    std::string received = peer.receive(1000);
    CHECK(command(server, "every 60000") == "an update every 60000 ms");
    const double sent = counters(server, way)["sent"];
    received += peer.receive(static_cast<size_t>(sent) - received.size());
    CHECK(command(server, "cut " + way) == "1 cut");
    CHECK(peer.receive_to_end().empty());
    CHECK(counters(server, way)["sent"] == static_cast<double>(received.size()));
    CHECK(counters(server, way)["received"] == static_cast<double>(request.size()));
    CHECK(counters(server, way)["updates"] ==
          static_cast<double>(count_of(received, way == "sse" ? "data: " : "\x81")));
    CHECK(command(server, "reset") == "counted from now on");
    CHECK(counters(server, way)["sent"] == 0);
}

TEST_CASE("feed: one connection used for this and that, and each request counted where it belongs",
          "[programs][websocket][feed]") {
    const Server server = start_feed({"--every", "60000"});
    std::map<std::string, std::map<std::string, size_t>> seen;
    Peer peer = Peer::connected_to(server);
    const auto exchange = [&](const std::string& way, const std::string& request) {
        peer.send(request);
        const Response response = read_response(peer);
        ++seen[way]["requests"];
        seen[way]["received"] += request.size();
        seen[way]["sent"] += response.head.size() + response.body.size();
    };
    exchange("polling", get("/poll"));
    exchange("none", get("/style.css"));
    exchange("long-polling", get("/long-poll", "X: y\r\n"));
    exchange("polling", get("/poll?since=1"));
    exchange("none", get("/counters"));
    exchange("long-polling", get("/long-poll?since=0"));
    exchange("polling", get("/poll?since=x"));  // refused, and it has cost something
    for (const char* way : {"polling", "long-polling"}) {
        INFO(way);
        auto counted = counters(server, way);
        for (const auto& [name, count] : seen[way]) {
            INFO(name);
            CHECK(counted[name] == static_cast<double>(count));
        }
        CHECK(counted["connections"] == 1);
    }
    // The next one is a stream: who cuts the polls does not mean it.
    peer.send(get("/events"));
    read_head(peer);
    CHECK(command(server, "cut polling") == "0 cut");
    CHECK(command(server, "cut sse") == "1 cut");
}

TEST_CASE("feed: over IPv6, and ended by Ctrl-C", "[programs][websocket][feed]") {
    if (!has_ipv6()) return;
    Server server = start_feed({"--host", "::1", "--every", "20"});
    const std::string out = run(listener(server, {"--compare", "--updates", "3", "--interval", "20"}));
    for (const std::string& way : ways)
        CHECK(row(out, way)["missed"] == 0);
    std::vector<std::unique_ptr<Process>> clients;
    for (const std::string& way : ways) {
        clients.push_back(std::make_unique<Process>(listener(server, {"--via", way, "--interval", "20"})));
        wait_for_updates(*clients.back(), 3);
        CHECK(is_in_order(told(*clients.back())));
    }
    clients[0]->signal(SIGINT);
    clients[0]->expect_exit(0);
    CHECK(row(clients[0]->out(), "polling")["updates"] >= 3);
    // The server ends: the stream and the WebSocket are told so, and everybody tries to come back.
    server.signal(SIGTERM);
    server.expect_exit(0);
    clients[3]->expect(Stream::err, "websocket: closed: 1001 the server ends; again in 1000 ms\n");
    clients[2]->expect(Stream::err, "sse: the stream has ended; again in 1000 ms\n");
    clients[1]->expect(Stream::err, "; again in 1000 ms\n");
    for (size_t i = 1; i < clients.size(); ++i) {
        clients[i]->signal(SIGTERM);
        clients[i]->expect_exit(0);
    }
}

// ---- Cut, and back

/// A client for each of these ways.
using Clients = std::map<std::string, std::unique_ptr<Process>>;

Clients start_clients(const Server& server, const std::vector<std::string>& which, const Process::Command& arguments) {
    Clients clients;
    for (const std::string& way : which) {
        Process::Command line = listener(server, arguments);
        line.insert(line.end(), {"--via", way});
        clients[way] = std::make_unique<Process>(line);
    }
    return clients;
}

TEST_CASE("feed: after a cut nothing is missed that the backlog has", "[programs][websocket][feed]") {
    const Server server = start_feed({"--every", "20", "--retry", "100"});
    Clients clients = start_clients(server, ways, {"--interval", "50", "--again", "100"});
    for (size_t round = 1; round <= 2; ++round) {
        for (auto& [way, client] : clients) {
            wait_for_updates(*client, 10 * round);
            CHECK_THAT(command(server, "cut " + way), Catch::Matchers::EndsWith(" cut"));
        }
        for (const char* way : {"sse", "websocket"})
            clients[way]->expect(Stream::err, "again in 100 ms\n");
    }
    for (auto& [way, client] : clients) {
        INFO(way);
        wait_for_updates(*client, told(*client).size() + 10);
        client->signal(SIGINT);
        client->expect_exit(0);
        CHECK(is_in_order(told(*client)));
        CHECK(row(client->out(), way)["missed"] == 0);
        if (way == "sse" || way == "websocket") CHECK(row(client->out(), way)["connections"] == 3);
    }
}

TEST_CASE("feed: what the backlog has lost is missed, and said", "[programs][websocket][feed]") {
    const Server server = start_feed({"--every", "10", "--backlog", "2", "--retry", "300"});
    Clients clients = start_clients(server, {"sse", "websocket"}, {"--again", "300"});
    for (auto& [way, client] : clients) {
        wait_for_updates(*client, 3);
        CHECK(command(server, "cut " + way) == "1 cut");
    }
    for (auto& [way, client] : clients) {
        INFO(way);
        client->expect(Stream::err, "again in 300 ms\n");
        wait_for_updates(*client, told(*client).size() + 5);
        client->signal(SIGINT);
        client->expect_exit(0);
        CHECK(row(client->out(), way)["missed"] > 0);
        CHECK_FALSE(is_in_order(told(*client)));
    }
}

TEST_CASE("feed: the server begins again", "[programs][websocket][feed]") {
    const std::string port = lasting_port();
    Clients clients;
    {
        Server server = start_feed({"--every", "10", "--retry", "50", "--port", port});
        clients = start_clients(server, ways, {"--interval", "50", "--again", "50"});
        for (auto& [way, client] : clients)
            wait_for_updates(*client, 20);
        server.signal(SIGINT);
        server.expect_exit(0);
    }
    const Server again = start_feed({"--every", "60000", "--port", port});
    for (auto& [way, client] : clients) {
        client->expect(Stream::err, way + ": the feed has begun again\n");
        wait_until([&one = *client] { return told(one).back() == 1; }, "the first update of the new feed");
        CHECK(client->is_running());
    }
}

// ---- By hand and by curl

TEST_CASE("feed: polls, and their answers", "[programs][websocket][feed]") {
    const Server server = start_feed({"--every", "60000", "--hold", "1"});
    const Response first = ask(server, "/poll");
    CHECK_THAT(first.head, StartsWith("HTTP/1.1 200 OK\r\n") && ContainsSubstring("\r\nETag: \"1\"\r\n"));
    CHECK(numbers_of(first.body) == std::vector<long>{1});
    CHECK_THAT(first.body, StartsWith("1 1") && Catch::Matchers::EndsWith("\n"));
    CHECK(ask(server, "/poll?since=0").body == first.body);
    CHECK(ask(server, "/poll?since=99").body == first.body);  // from before the server was started
    const Response nothing = ask(server, "/poll?since=1");
    CHECK_THAT(nothing.head, StartsWith("HTTP/1.1 204 No Content\r\n") && !ContainsSubstring("\r\nContent-"));
    const Response unchanged = ask(server, "/poll?since=0", "If-None-Match: \"1\"\r\n");
    CHECK_THAT(unchanged.head, StartsWith("HTTP/1.1 304 Not Modified\r\n") && ContainsSubstring("\r\nETag: \"1\"\r\n"));
    CHECK_THAT(ask(server, "/poll?since=0", "If-None-Match: \"7\", \"8\"\r\n").head, StartsWith("HTTP/1.1 200 "));
    // Nothing to tell for as long as it may wait; what is asked behind it on the same connection waits for its turn.
    Peer waiting = Peer::connected_to(server);
    waiting.send(get("/poll") + get("/long-poll?since=1") + get("/poll?since=0"));
    CHECK(read_response(waiting).body == first.body);
    CHECK_THAT(read_response(waiting).head, StartsWith("HTTP/1.1 204 "));
    CHECK(read_response(waiting).body == first.body);
    Peer leaving = Peer::connected_to(server);
    leaving.send(get("/long-poll?since=1"));
    leaving.reset();
    CHECK(ask(server, "/long-poll").body == first.body);

    for (const char* since : {"x", "-1", "+1", "1x", "99999999999999999999", "%31", "1,2"}) {
        for (const char* path : {"/poll?since=", "/long-poll?a=b&since=", "/events?since="}) {
            const Response refused = ask(server, std::string(path) + since);
            CHECK_THAT(refused.head, StartsWith("HTTP/1.1 400 "));
            CHECK_THAT(refused.body, StartsWith("since "));
        }
        WebSocketPeer peer(server, "", "/socket?since=" + std::string(since));
        CHECK_THAT(peer.frame(), StartsWith("88 " + wire::shown(wire::close_body(1008, "since"))));
    }
    CHECK_THAT(ask(server, "/events", "Last-Event-ID: \x1b[2J\r\n").head, StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(ask(server, "/events", "Last-Event-ID: abc\r\n").head, StartsWith("HTTP/1.1 400 "));
    CHECK_THAT(ask(server, "/nothing").head, StartsWith("HTTP/1.1 404 "));
    // HEAD: what GET would get, without it; and nobody listens behind it.
    Peer head = Peer::connected_to(server);
    head.send("HEAD /events HTTP/1.1\r\nHost: localhost\r\n\r\nHEAD /poll HTTP/1.1\r\nHost: localhost\r\n\r\n");
    CHECK_THAT(read_head(head), ContainsSubstring("\r\nContent-Type: text/event-stream\r\n"));
    CHECK_THAT(read_head(head), ContainsSubstring("\r\nContent-Length: 2"));
    CHECK(command(server, "cut sse") == "0 cut");
    CHECK_THAT(ask(server, "/control").head, StartsWith("HTTP/1.1 404 "));
}

TEST_CASE("feed: curl", "[programs][websocket][feed][interop]") {
    if (!has_tool("curl")) return;
    const Server server = start_feed({"--every", "50"});
    const std::string url = "http://" + server.address();
    // -N: each event as it comes.
    Process events({"curl", "-sN", url + "/events"});
    const std::string begin = events.expect(Stream::out, "\n\nid: ");
    CHECK_THAT(begin, StartsWith("retry: 1000\n\nid: "));
    events.expect(Stream::out, "\n\nid: ");
    events.expect(Stream::out, "\n\nid: ");
    Process later({"curl", "-sN", "-H", "Last-Event-ID: 1", url + "/events"});
    later.expect(Stream::out, "id: 2\ndata: 2 ");
    later.expect(Stream::out, "id: 3\ndata: 3 ");
    CHECK(command(server, "cut sse") == "2 cut");
    CHECK(events.wait().status == 18);  // the answer has no end: "transfer closed with outstanding read data remaining"
    CHECK(later.wait().status == 18);

    const long newest = numbers_of(run({"curl", "-s", url + "/poll"})).at(0);
    const std::string next = run({"curl", "-s", url + "/long-poll?since=" + std::to_string(newest)});
    CHECK(numbers_of(next).at(0) == newest + 1);
    command(server, "every 60000");
    const TempDir folder;
    const Process::Command conditional{"curl",
                                       "-s",
                                       "-w",
                                       "%{http_code}",
                                       "-o",
                                       folder / "body",
                                       "--etag-save",
                                       folder / "tag",
                                       "--etag-compare",
                                       folder / "tag",
                                       url + "/poll?since=0"};
    CHECK(run(conditional) == "200");
    CHECK(is_in_order(numbers_of(read_file(folder / "body"))));
    CHECK(run(conditional) == "304");
    CHECK(run({"curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", url + "/poll"}) == "405");
}

TEST_CASE("feed: commands, and who may give them", "[programs][websocket][feed]") {
    const Server server = start_feed({"--every", "60000"});
    CHECK(command(server, "size 60") == "60 bytes at least");
    CHECK(command(server, "every 1") == "an update every 1 ms");
    WebSocketPeer socket(server, "", "/socket");
    while (socket.payload(0x81).size() != 60) {
    }
    const std::string help = "every MILLISECONDS, size BYTES, cut polling|long-polling|sse|websocket, counters, reset";
    for (const char* text : {"", "help", "cut", "cut all", "every", "every 0", "every 60001", "every 1 ", " every 1",
                             "size 4097", "size -1", "\xed\x95\x9c\xea\xb8\x80"}) {
        const std::string answer = command(server, text);
        CHECK((answer == help || answer.find("expected a number from ") != std::string::npos));
    }
    CHECK_THAT(command(server, "counters"), StartsWith("{\"every\": 1, \"size\": 60, \"backlog\": 100, \"newest\": "));
    socket.send_frame(0x81, "every 1000");
    std::string frame = socket.frame();
    while (frame.substr(0, 2) == "81")
        frame = socket.frame();
    CHECK(frame == "88 " + wire::shown(wire::close_body(1008, "commands go to /control")));
    CHECK(WebSocketPeer(server, "", "/other").frame() ==
          "88 " + wire::shown(wire::close_body(1008, "there is /socket and /control")));
    // A page of another site, and a name that somebody made to mean this machine.
    for (const char* fields : {"Origin: http://evil.example\r\n", "Origin: null\r\n", "Host: evil.example\r\n"}) {
        Peer peer = Peer::connected_to(server);
        std::string request = upgrade_request(fields, "/control");
        if (request.find("\r\nHost: e") != std::string::npos) request.erase(request.find("Host: 1"), 17);
        peer.send(request);
        CHECK_THAT(read_head(peer), StartsWith("HTTP/1.1 4"));
    }
}

// ---- Those who do not read

TEST_CASE("feed: those who do not read are dropped, and cost little", "[programs][websocket][feed]") {
    Server server = start_feed({"--every", "1", "--size", "4096", "--pong", "2", "--backlog", "10"});
    const long before = resident_kilobytes(server.pid());
    std::string many;  // one asks and asks, and each answer is forty kilobytes
    for (int i = 0; i < 500; ++i)
        many += get("/poll?since=0");
    std::vector<Peer> peers;
    for (const std::string& request : {get("/events"), upgrade_request("", "/socket"), many}) {
        peers.push_back(Peer::connected_to(server));
        const int small = 4096;
        setsockopt(peers.back().fd(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        peers.back().send(request);
    }
    wait_until([&] { return open_sockets(server.pid()) == 1 + peers.size(); }, "three clients");
    wait_until([&] { return open_sockets(server.pid()) == 1; }, "the end of those who do not read");
    CHECK(count_of(server.err(), "sse: one goes\n") == 1);
    CHECK(count_of(server.err(), "websocket: one goes\n") == 1);
    if (before > 0 && !is_sanitized()) CHECK(most_resident_kilobytes(server.pid()) < before + 8'000);
    const std::string out = run(listener(server, {"--compare", "--updates", "5", "--interval", "10"}));
    for (const std::string& way : ways)
        CHECK(row(out, way)["updates"] >= 5);
}

// ---- A server that is none

TEST_CASE("feed client: what other servers say", "[programs][websocket][feed]") {
    struct Lie {
        std::string way, answer, complaint;
    };
    const std::string ok = "HTTP/1.1 200 OK\r\n";
    const std::string events = ok + "Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";
    const Lie lie = GENERATE_COPY(
        Lie{"polling", "220 mail ready\r\n\r\n", "this is not HTTP: "},
        Lie{"polling", "HTTP/1.1 404 Not\x1b[2J Found\r\nContent-Length: 0\r\n\r\n", "this is not HTTP: "},
        Lie{"polling", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
            "the server answers: HTTP/1.1 404 Not Found"},
        Lie{"polling", ok + "Content-Length: 99999999\r\n\r\n", "this is not HTTP: the body is too large"},
        Lie{"polling", ok + "Content-Length: 5\r\n\r\nhello", "the answer ends in the middle of a line"},
        Lie{"polling", ok + "Content-Length: 6\r\n\r\nhell\x1b\n", "no such update: hell\\x1b"},
        Lie{"polling", ok + "Content-Length: 6\r\n\r\n1 2 3\n1 2 3\n", "the server says something unasked"},
        Lie{"polling", ok + "Content-Length: 6\r\n\r\n0 2 3\n", "no such update: 0 2 3"},
        Lie{"long-polling", ok + "Transfer-Encoding: chunked\r\n\r\nx\r\n", "this is not HTTP: no such chunk size"},
        Lie{"sse", ok + "Content-Type: text/html\r\n\r\nhello", "the server answers with something else than events"},
        Lie{"sse", "HTTP/1.1 204 No Content\r\n\r\n", "the server answers with something else than events"},
        Lie{"sse", events + "8\r\ndata: x\n\r\n1\r\n\n\r\n", "no such update: x"},
        Lie{"websocket", ok + "Content-Length: 0\r\n\r\n", "200"});
    INFO(lie.complaint);
    Peer server = Peer::bound(SOCK_STREAM);
    Process client({program("websocket/feed_client"), "--port", server.port(), "--via", lie.way});
    Peer peer = server.accept();
    CHECK_THAT(read_head(peer), StartsWith("GET /"));
    peer.send(lie.answer);
    client.expect_exit(1);
    CHECK_THAT(client.err(), ContainsSubstring(lie.complaint));
    CHECK(lines_of(client.err()).size() == 1);
    CHECK(client.err().find('\x1b') == std::string::npos);
}

TEST_CASE("feed client: nobody, silence, and an answer that ends in the middle", "[programs][websocket][feed]") {
    const FreePort nobody;
    Clients clients;
    std::map<std::string, Peer> servers;
    for (const std::string& way : ways) {
        Process refused({program("websocket/feed_client"), "--port", nobody.text(), "--via", way});
        refused.expect_exit(1);
        CHECK_THAT(refused.err(), ContainsSubstring("ECONNREFUSED"));
        const Peer& server = servers.emplace(way, Peer::bound(SOCK_STREAM)).first->second;
        clients[way] =
            std::make_unique<Process>(Process::Command{program("websocket/feed_client"), "--port", server.port(),
                                                       "--via", way, "--again", "10", "--patience", "1"});
    }
    for (auto& [way, client] : clients) {
        INFO(way);
        Peer first = servers.at(way).accept();
        read_head(first);
        first.send("HTTP/1.1 200 OK\r\nContent-Len");
        first.close();
        client->expect(Stream::err, "; again in 10 ms\n");
    }
    for (auto& [way, client] : clients) {
        client->expect_exit(1);
        CHECK_THAT(client->err(), ContainsSubstring("nothing has come for 1 seconds"));
    }
}

TEST_CASE("feed: wrong command lines", "[programs][websocket][feed]") {
    for (const Process::Command& more :
         std::vector<Process::Command>{{"--via", "mail"}, {"--interval", "0"}, {"--updates", "-1"}, {"--via"}}) {
        Process::Command line{program("websocket/feed_client")};
        line.insert(line.end(), more.begin(), more.end());
        Process process(line);
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
    }
    for (const Process::Command& more :
         std::vector<Process::Command>{{"--every", "0"}, {"--size", "4097"}, {"--backlog", "0"}}) {
        Process::Command line{program(feed)};
        line.insert(line.end(), more.begin(), more.end());
        Process process(line);
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
    }
}

// ---- What nobody here wrote

TEST_CASE("feed: Python's websockets and npm's ws listen", "[programs][websocket][feed][interop]") {
    const Server server = start_feed({"--every", "20"});
    Process python({"/usr/bin/python3", "tests/interop/feed_client.py", server.address()});
    python.expect_exit(0);
    CHECK(python.out() == "done\n");
    const auto packages = npm_packages();
    if (!packages) return;
    Process node({"node", "tests/interop/feed_client.mjs", server.address()}, *packages);
    node.expect_exit(0);
    CHECK(node.out() == "done\n");
}

TEST_CASE("feed: its page", "[programs][websocket][feed][browser]") {
    if (!can_test_pages()) return;
    Server server = start_feed({"--every", "200", "--retry", "500"});
    PageTest("feed_page.mjs", {server.port()}).finish();
    // Stopped and started by its reader once, and cut once: then the browser itself has said Last-Event-ID.
    for (const std::string way : {"sse", "websocket"}) {
        const auto lines = lines_with(server.err(), way + ": 127.0.0.1:");
        REQUIRE(lines.size() == 3);
        const auto last = [](const std::string& line) { return std::stol(line.substr(line.rfind(' '))); };
        CHECK(last(lines[2]) > last(lines[1]));
        CHECK(count_of(server.err(), way + ": 1 cut\n") == 1);
        CHECK(lines_with(server.err(), " comes back, after ").size() == 4);
    }
}
