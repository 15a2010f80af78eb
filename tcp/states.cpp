// All eleven states of a TCP connection (RFC 9293, section 3.3.2), and the arrows between them, as this kernel reports
// them.
//
//     build/tcp/states                    each scene in turn, then the diagram with a tick for each arrow that was seen
//     build/tcp/states --list             the scenes
//     build/tcp/states --scene goodbye    one of them
//     build/tcp/states --hold             waits for Enter at each state: look yourself, with ss -tan in another
//     terminal
//
// Most states last for microseconds. Here each one is made to last: by a queue that is full, by bytes for which the
// other side has no room, so that the FIN behind them cannot leave, or by a filter that lets some segments get lost.
// All of that takes no privilege. No time is slept away: the kernel is asked until it says the state, and the first
// answer counts. Here are the scenes; what asks and tells is in states_stage.hpp.
// Try it: --trace shows every call. Which arrows are not seen any more, now and then, if you remove
// fill(client) from goodbye_scene()?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"
#include "tcp/states_stage.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/filter.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <stdexcept>
#include <utility>

namespace {

// ---- What the scenes are made of

int listen_at(Stage& stage, End& end, int backlog) {
    const Address& where = stage.address();
    end.fd = stage.keep(CALL(socket(where.family(), SOCK_STREAM, 0)));
    const int room = 16384;  // little room to receive, which accept()'s sockets inherit: soon full
    CALL(setsockopt(end.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    CALL(bind(end.fd, where.get(), where.length()));
    end.local = local_address(end.fd);
    end.peer = nobody(end.local);
    CALL(listen(end.fd, backlog));
    return end.fd;
}

/// A client's socket: bound, so that both addresses are known before it connects.
void open_client(Stage& stage, End& end, const Address& server) {
    const Address& where = stage.address();
    end.fd = stage.keep(CALL(socket(where.family(), SOCK_STREAM, 0)));
    const int room = 16384;
    CALL(setsockopt(end.fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room));
    CALL(bind(end.fd, where.get(), where.length()));
    end.local = local_address(end.fd);
    end.peer = server;
}

void connect_now(End& end) { CALL(connect(end.fd, end.peer.get(), end.peer.length())); }

/// An arrow begins where the kernel says so, too. Of what was reached before, it has said it.
void must_be(const End& end) {
    const Answer answer = ask(end);
    if (answer.state == end.state) return;
    throw NotSeen(fmt::format("{} of the {} was not seen: the kernel says {} ({})", end.state, end.name, answer.state,
                              answer.words));
}

/// Sends SYN and does not wait for the answer.
void begin_to_connect(End& end) {
    must_be(end);
    CALL(fcntl(end.fd, F_SETFL, O_NONBLOCK));
    if (TRY(connect(end.fd, end.peer.get(), end.peer.length())) == -1 && errno != EINPROGRESS)
        throw NotSeen(fmt::format("{} -> SYN_SENT was not seen: connect: {}", end.state, describe_error(errno)));
}

/// A connection, both ends of which are in ESTABLISHED.
void make_connection(Stage& stage, End& client, End& server) {
    End listener{"listener"};
    listen_at(stage, listener, 1);
    open_client(stage, client, listener.local);
    connect_now(client);
    server.fd = stage.keep(CALL(accept(listener.fd, nullptr, nullptr)));
    server.local = client.peer;
    server.peer = client.local;
    stage.close_now(listener);
    stage.reach(client, "ESTABLISHED", "socket(), connect()");
    stage.reach(server, "ESTABLISHED", "socket(), bind(), listen(), accept()");
}

/// Sends much more than the other side has room for: the FIN that comes behind it cannot leave.
void fill(End& end) {
    static const std::array<char, 262'144> bytes{};
    if (TRY(send(end.fd, bytes.data(), bytes.size(), MSG_DONTWAIT)) < 65'536)
        throw NotSeen(fmt::format("the {}'s send buffer took too little", end.name));
}

/// Receives until the other side's FIN.
void drain(End& end) {
    static std::array<char, 262'144> bytes;
    do {
        if (!wait_until_readable(end.fd, 10'000)) throw NotSeen(fmt::format("no FIN came to the {}", end.name));
    } while (CALL(recv(end.fd, bytes.data(), bytes.size(), 0)) > 0);
}

#ifdef __linux__
/// close() of this one sends RST.
void reset(Stage& stage, End& end) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    CALL(setsockopt(end.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
    stage.close_now(end);
}

constexpr unsigned fin = 0x01, syn = 0x02, rst = 0x04;  // RFC 9293, section 3.1

/// Segments that come to this socket get lost, but for those with one of these flags: a packet filter may be set on
/// one's own sockets by anybody (socket(7), SO_ATTACH_FILTER). The flags are in the 13th byte of the TCP header.
void lose_all_but(const End& end, unsigned flags) {
    std::array<sock_filter, 4> program{{BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 13),
                                        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, flags, 0, 1),
                                        BPF_STMT(BPF_RET | BPF_K, 0xFFFFFFFF), BPF_STMT(BPF_RET | BPF_K, 0)}};
    const sock_fprog filter{.len = program.size(), .filter = program.data()};
    CALL(setsockopt(end.fd, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter));
}

void lose_nothing(const End& end) {
    const int unused = 0;
    CALL(setsockopt(end.fd, SOL_SOCKET, SO_DETACH_FILTER, &unused, sizeof unused));
}
#endif

// ---- The scenes

void listen_scene(Stage& stage) {
    End listener{"listener"};
    const Address& where = stage.address();
    listener.fd = stage.keep(CALL(socket(where.family(), SOCK_STREAM, 0)));
    stage.reach(listener, "CLOSED", "socket()");
    CALL(bind(listener.fd, where.get(), where.length()));
    listener.local = local_address(listener.fd);
    listener.peer = nobody(listener.local);
    stage.reach(listener, "CLOSED", "bind()");
    CALL(listen(listener.fd, 1));
    stage.reach(listener, "LISTEN", "listen()");
    // In the RFC, a listener may become the one who calls. The socket calls have nothing of the kind.
    if (TRY(connect(listener.fd, listener.local.get(), listener.local.length())) == -1)
        stage.refuse(no_call_does_it, fmt::format("connect() of a listener: {}", error_name(errno)));
    stage.close_now(listener);
    stage.reach(listener, "CLOSED", "close()");
}

void connect_scene(Stage& stage) {
    End listener{"listener"}, first{"first"}, client{"client"}, other{"other"};
    listen_at(stage, listener, 0);  // Linux lets one more wait than this number
    open_client(stage, first, listener.local);
    connect_now(first);
    open_client(stage, client, listener.local);
    begin_to_connect(client);
    stage.reach(client, "SYN_SENT", "connect(), but the listener's queue is full: its kernel drops the SYN");
    open_client(stage, other, listener.local);
    begin_to_connect(other);
    stage.reach(other, "SYN_SENT", "the same");
    stage.close_now(other);
    stage.reach(other, "CLOSED", "close() before any answer");
    stage.keep(CALL(accept(listener.fd, nullptr, nullptr)));
    stage.reach(client, "ESTABLISHED", "accept() made room; the SYN is sent again after a second, and answered");
}

#ifdef __linux__
void accept_scene(Stage& stage) {
    End listener{"listener"}, client{"client"}, server{"server"};
    listen_at(stage, listener, 1);
    const int seconds = 30;
    CALL(setsockopt(listener.fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds));
    listener.state = "LISTEN";
    must_be(listener);
    const auto connect_one = [&] {
        open_client(stage, client, listener.local);
        server = {"server", -1, listener.local, client.local, "LISTEN"};
        connect_now(client);
        stage.reach(server, "SYN_RECEIVED", "connect(); with TCP_DEFER_ACCEPT the server's ACK is one that has bytes");
    };
    connect_one();
    CALL(send(client.fd, "x", 1, 0));
    stage.reach(server, "ESTABLISHED", "send() of the first byte");
    connect_one();
    reset(stage, client);
    Answer answer;
    wait_for(server, "CLOSED", patience, answer);  // what was half open is forgotten,
    server.peer = nobody(server.local);            // and only the listener is left
    stage.reach(server, "LISTEN", "close() of the client with SO_LINGER 0: RST");
}
#endif

void goodbye_scene(Stage& stage) {
    End client{"client"}, server{"server"};
    make_connection(stage, client, server);
    fill(client);
    CALL(shutdown(client.fd, SHUT_WR));
    stage.reach(client, "FIN_WAIT_1", "send() of more than the server has room for, shutdown(): FIN waits behind it");
    drain(server);
    stage.reach(server, "CLOSE_WAIT", "recv() of all that, to its end");
    stage.reach(client, "FIN_WAIT_2", "the server's kernel has confirmed the FIN");
    fill(server);
    CALL(shutdown(server.fd, SHUT_WR));
    stage.reach(server, "LAST_ACK", "the same the other way: send(), shutdown()");
    drain(client);
    stage.reach(client, "TIME_WAIT", "recv() of all that, to its end");
    stage.reach(server, "CLOSED", "the client's kernel has confirmed the FIN");
}

void both_scene(Stage& stage) {
    End client{"client"}, server{"server"};
    make_connection(stage, client, server);
    fill(client);
    fill(server);
    CALL(shutdown(client.fd, SHUT_WR));
    stage.reach(client, "FIN_WAIT_1", "send() of more than there is room for, shutdown()");
    CALL(shutdown(server.fd, SHUT_WR));
    stage.reach(server, "FIN_WAIT_1", "the same at the same time");
    drain(server);
    stage.reach(server, "CLOSING", "recv() to the client's FIN, while its own FIN still waits");
    stage.reach(client, "FIN_WAIT_2", "its FIN is confirmed");
    drain(client);
    stage.reach(client, "TIME_WAIT", "recv() to the server's FIN");
    stage.reach(server, "TIME_WAIT", "its FIN is confirmed, too");
}

#ifdef __linux__
void at_once_scene(Stage& stage) {
    End client{"client"}, server{"server"};
    make_connection(stage, client, server);
    lose_all_but(client, fin);
    CALL(shutdown(client.fd, SHUT_WR));
    stage.reach(server, "CLOSE_WAIT", "shutdown() of the client");
    stage.reach(client, "FIN_WAIT_1", "a filter lets the ACK of its FIN get lost");
    CALL(shutdown(server.fd, SHUT_WR));
    stage.reach(client, "TIME_WAIT", "shutdown() of the server: one segment with FIN and the ACK");
    stage.reach(server, "CLOSED", "its FIN is confirmed");
}

/// Both call, nobody listens (RFC 9293, figure 7).
void crossing_scene(Stage& stage) {
    const auto cross = [&](End& one, End& two) {
        open_client(stage, one, Address());
        open_client(stage, two, one.local);
        one.peer = two.local;
        lose_all_but(one, syn);  // no RST, or it would hear that nobody listens; and then no ACK
        begin_to_connect(one);
        stage.reach(one, "SYN_SENT", "connect() to the other's port, where nobody listens; a filter loses the RST");
        connect_now(two);
        stage.reach(one, "SYN_RECEIVED", "connect() of the other one: a SYN, where SYN+ACK was expected");
    };
    {
        End one{"one"}, two{"other"};
        cross(one, two);
        lose_nothing(one);
        CALL(send(two.fd, "x", 1, 0));
        stage.reach(one, "ESTABLISHED", "the filter is gone, and a segment with an ACK comes");
    }
    End one{"one"}, two{"other"};
    cross(one, two);
    lose_all_but(one, syn | fin | rst);
    stage.close_now(one);
    stage.reach(one, "FIN_WAIT_1", "close() before the ACK of its SYN");
    reset(stage, two);
}
#endif

void minute_scene(Stage& stage) {
    if (std::string_view(stage.old.state) != "TIME_WAIT") goodbye_scene(stage);
    stage.close_all();
    stage.reach(stage.old, "CLOSED", "nothing but time");
}

struct Scene {
    const char* name;
    const char* what;
    void (*play)(Stage&);  ///< nullptr: not on this system
    std::set<int> shows;   ///< the arrows
};

#ifdef __linux__
#define ON_LINUX(scene) scene
#else
#define ON_LINUX(scene) nullptr  // has neither TCP_DEFER_ACCEPT nor filters on sockets, nor a table of connections
#endif

const std::vector<Scene>& all_scenes() {
    static const std::vector<Scene> scenes{
        {"listen", "a socket begins to listen, and is closed", listen_scene, {1, 2}},
        {"connect", "a queue with no room, so that connect() has to wait", connect_scene, {3, 4, 10}},
        {"accept", "a handshake whose last part waits for the first byte", ON_LINUX(accept_scene), {5, 8, 9}},
        {"goodbye", "one side has sent all, then the other", goodbye_scene, {12, 13, 14, 17, 19, 20}},
        {"both", "both sides have sent all at the same time", both_scene, {12, 14, 15, 17, 18}},
        {"at-once", "FIN and the ACK of a FIN in one segment", ON_LINUX(at_once_scene), {12, 13, 16}},
        {"crossing", "two that connect to each other, and nobody listens", ON_LINUX(crossing_scene), {3, 7, 9, 11}},
        {"minute", "TIME_WAIT to its end: only if asked for, by its name or --wait", minute_scene, {takes_a_minute}},
    };
    return scenes;
}

void list_scenes() {
    for (const Scene& scene : all_scenes()) {
        std::string numbers;
        for (const int arrow : scene.shows)
            numbers += fmt::format(" {}", arrow);
        fmt::print("{:9} {:65} arrows{}{}\n", scene.name, scene.what, numbers,
                   scene.play == nullptr ? " (not on this system)" : "");
    }
}

/// Those that the reader asked for.
std::vector<Scene> chosen_scenes(const std::string& name, bool wait) {
    std::vector<Scene> chosen;
    std::string known;
    bool is_known = name.empty();
    for (const Scene& scene : all_scenes()) {
        const bool is_minute = scene.shows.count(takes_a_minute) > 0;
        if (name.empty() ? !is_minute || wait : name == scene.name || (is_minute && wait)) chosen.push_back(scene);
        is_known = is_known || name == scene.name;
        known += fmt::format("{}{}", known.empty() ? "" : ", ", scene.name);
    }
    if (!is_known) throw UsageError(fmt::format("--scene {}: expected one of {}", escaped(name), known));
    return chosen;
}

/// The diagram, and what is missing in it. Returns the exit status.
int conclude(const Stage& stage, const std::vector<Scene>& scenes, const std::vector<std::string>& complaints,
             bool all) {
    stage.draw();
    fmt::print("\n{} states and {} arrows seen\n", stage.met.size(), stage.seen.size());
    if (!stage.refusal.empty()) fmt::print("{}  {}\n", no_call_does_it, stage.refusal);
    if (all && stage.seen.count(takes_a_minute) == 0)
        fmt::print("{}  TIME_WAIT -> CLOSED: takes a minute on Linux; --wait stays for it\n", takes_a_minute);
    std::fflush(stdout);
    for (const std::string& complaint : complaints)
        complain(std::runtime_error(complaint));
    bool complete = complaints.empty();
    for (const Scene& scene : scenes) {
        for (const int arrow : scene.shows) {
            if (stage.seen.count(arrow) > 0) continue;
            const Arrow& missing = arrows.at(static_cast<size_t>(arrow) - 1);
            complain(
                std::runtime_error(fmt::format("not seen: {}  {} -> {} (scene {}{})", arrow, missing.from, missing.to,
                                               scene.name, scene.play == nullptr ? ", not on this system" : "")));
            complete = false;
        }
    }
    return complete ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.0.0.1", scene_name;
    bool list = false, hold = false, wait = false, only_diagram = false;
    parse_options(argc, argv,
                  {.summary = "The eleven states of TCP, reached by ordinary calls and seen in the kernel.",
                   .endpoint = Endpoint::none,
                   .more = {{"host", "HOST", "address of this machine to connect at, ::1 for IPv6", &host},
                            {"list", nullptr, "print the names of the scenes, and do nothing", &list},
                            {"scene", "NAME", "only this one", &scene_name},
                            {"hold", nullptr, "wait for Enter at each state: time to look with ss -tan", &hold},
                            {"wait", nullptr, "stay for the end of TIME_WAIT, which takes a minute", &wait},
                            {"diagram", nullptr, "print the diagram and not the story", &only_diagram}}});
    if (list) {
        list_scenes();
        return 0;
    }
    const std::vector<Scene> scenes = chosen_scenes(scene_name, wait);
    Stage stage(resolve(host, 0, SOCK_STREAM).front(), style_of_terminal(), !only_diagram, hold);
#ifdef __linux__
    stage.say(
        "What was done; below it the arrow, and the row of /proc/net/tcp that shows the state: local and other\n"
        "address and port in hexadecimal, the state's number, bytes not yet acknowledged : not yet read.\n");
#endif
    std::vector<std::string> complaints;
    for (const Scene& scene : scenes) {
        if (scene.play == nullptr) continue;
        stage.say(fmt::format("{}: {}", scene.name, scene.what));
        try {
            scene.play(stage);
        } catch (const NotSeen& error) {  // the others may be seen nevertheless
            complaints.push_back(fmt::format("{}: {}", scene.name, error.what()));
        }
        stage.close_all();
        stage.say("");
    }
    return conclude(stage, scenes, complaints, scene_name.empty());
} catch (const std::exception& error) {
    return report_failure(error);
}
