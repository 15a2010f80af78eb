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
// answer counts. Try it: --trace shows every call. Which arrows are not seen any more, now and then, if you remove
// fill(client) from goodbye_scene()?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"
#include "common/stream.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <langinfo.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/filter.h>
#endif

#include <algorithm>
#include <array>
#include <chrono>
#include <clocale>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <utility>

namespace {

/// ⓐ to ⓤ are the marks of the arrows 1 to 21, Ⓐ to Ⓚ those of the states, in the order of the tables below.
constexpr const char* diagram = R"(
                                        ┌────────────────┐  ⓒ  3  connect(): SYN goes
                                        │ Ⓐ CLOSED       ├────────────────────────────────────┐
                                        └────┬───────────┘◄──────────────────────────┐        │
                                             │      ▲                 ⓓ  4  close()  │        │
                          listen()  ⓐ  1     │      │ ⓑ  2  close()                  │        │
                                             ▼      │                                │        │
                      RST comes  ⓗ  8   ┌───────────┴────┐                           │        │
    ┌──────────────────────────────────►│ Ⓑ LISTEN       │                           │        │
    │                                   └────┬──────┬────┘                           │        │
    │         SYN comes, SYN+ACK goes  ⓔ  5  │      │ ⓕ  6  no call does this        │        │
    │      ┌─────────────────────────────────┘      └─────────────────────────────┐  │        │
    │      ▼                                                                      ▼  │        ▼
┌───┴────────────┐                ⓖ  7  SYN comes, SYN+ACK goes                 ┌────┴───────────┐
│ Ⓓ SYN_RECEIVED │◄─────────────────────────────────────────────────────────────┤ Ⓒ SYN_SENT     │
└───┬───────┬────┘                                                              └────┬───────────┘
    │       │  ⓘ  9  ACK comes                         ⓙ 10  SYN+ACK comes, ACK goes │
    │       └────────────────────────────────┐      ┌────────────────────────────────┘
    │                                        │      │
    │                                        ▼      ▼
    │ ⓚ 11  close(): FIN goes           ┌────────────────┐
    │                                   │ Ⓔ ESTABLISHED  │
    │                                   └────┬──────┬────┘
    │          ⓛ 12  shutdown(): FIN goes    │      │  ⓜ 13  FIN comes, ACK goes
    │       ┌────────────────────────────────┘      └────────────────────────────────┐
    ▼       ▼                                                                        ▼
┌────────────────┐  ⓞ 15  FIN comes, ACK goes                                   ┌────────────────┐
│ Ⓕ FIN_WAIT_1   ├───────────────────────────────┐                              │ Ⓗ CLOSE_WAIT   │
└───┬──────────┬─┘ⓟ 16  FIN+ACK comes            │                              └────┬───────────┘
    │          └──────────────────┐              │                                   │
    │                             │              │          shutdown(): FIN goes  ⓢ 19
    │ ⓝ 14  ACK of FIN comes      │              │                                   │
    ▼                             │              ▼                                   ▼
┌────────────────┐                │     ┌────────────────┐                      ┌────────────────┐
│ Ⓖ FIN_WAIT_2   │                │     │ Ⓘ CLOSING      │                      │ Ⓙ LAST_ACK     │
└───┬────────────┘                │     └────────┬───────┘                      └────┬───────────┘
    │                             │              │                                   │
    │                             │              │ ⓡ 18  ACK of FIN comes            │ ⓣ 20
    │                             │              │                                   │ ACK of FIN
    │                             │              ▼                                   ▼
    │                             │     ┌────────────────┐  ⓤ 21  60 s later    ┌────────────────┐
    │ ⓠ 17  FIN comes, ACK goes   └────►│ Ⓚ TIME_WAIT    ├─────────────────────►│ Ⓐ CLOSED       │
    └──────────────────────────────────►└────────────────┘                      └────────────────┘
)";

constexpr std::array<const char*, 11> states{"CLOSED",      "LISTEN",     "SYN_SENT",   "SYN_RECEIVED",
                                             "ESTABLISHED", "FIN_WAIT_1", "FIN_WAIT_2", "CLOSE_WAIT",
                                             "CLOSING",     "LAST_ACK",   "TIME_WAIT"};

struct Arrow {
    const char* from;
    const char* to;
};

/// Those of figure 5 in RFC 9293, which draws 20, and number 16, of which its note 2 tells.
constexpr std::array<Arrow, 21> arrows{
    {{"CLOSED", "LISTEN"},          {"LISTEN", "CLOSED"},           {"CLOSED", "SYN_SENT"},
     {"SYN_SENT", "CLOSED"},        {"LISTEN", "SYN_RECEIVED"},     {"LISTEN", "SYN_SENT"},
     {"SYN_SENT", "SYN_RECEIVED"},  {"SYN_RECEIVED", "LISTEN"},     {"SYN_RECEIVED", "ESTABLISHED"},
     {"SYN_SENT", "ESTABLISHED"},   {"SYN_RECEIVED", "FIN_WAIT_1"}, {"ESTABLISHED", "FIN_WAIT_1"},
     {"ESTABLISHED", "CLOSE_WAIT"}, {"FIN_WAIT_1", "FIN_WAIT_2"},   {"FIN_WAIT_1", "CLOSING"},
     {"FIN_WAIT_1", "TIME_WAIT"},   {"FIN_WAIT_2", "TIME_WAIT"},    {"CLOSING", "TIME_WAIT"},
     {"CLOSE_WAIT", "LAST_ACK"},    {"LAST_ACK", "CLOSED"},         {"TIME_WAIT", "CLOSED"}}};
constexpr int no_call_does_it = 6;  // RFC 9293 lets a listener send; the socket calls do not
constexpr int takes_a_minute = 21;

// ---- Asking the kernel

/// One end of a connection, or what is to become one.
struct End {
    const char* name;
    int fd = -1;  ///< -1: no descriptor shows it, as before accept() and after close()
    Address local{}, peer{};
    const char* state = "CLOSED";  ///< as last seen
};

#ifdef __linux__
constexpr const char* option_that_tells = "TCP_INFO";
#else
constexpr const char* option_that_tells = "TCP_CONNECTION_INFO";
#endif

/// What the kernel says, and in which words.
struct Answer {
    std::string state, words;
};

std::string first_fields(const std::string& row) {
    size_t end = 0;
    for (int field = 0; field < 5 && end != std::string::npos; ++field)
        end = row.find(' ', end + (field > 0 ? 1 : 0));
    return row.substr(0, end);
}

/// A connection has a row in the kernel's table, whether a descriptor shows it or not. A socket that has no connection
/// has none. macOS has no such table, and the descriptor alone tells.
Answer ask(const End& end) {
    const std::string pair = pair_of(end.local, end.peer);
    const std::string row = row_of_pair(pair);
    if (!row.empty()) return {state_in_row(row, pair), first_fields(row)};
    for (const SocketState& socket : look_at_sockets()) {
        if (end.fd == -1 || socket.fd != end.fd) continue;
        return {socket.state, fmt::format("{} of fd {}: {}", option_that_tells, end.fd, socket.state)};
    }
    return {"CLOSED", "the kernel knows it no more"};
}

/// The wildcard address with port 0, which is a listener's peer.
Address nobody(const Address& like) {
    sockaddr_in6 any6{};
    any6.sin6_family = AF_INET6;
    sockaddr_in any{};
    any.sin_family = AF_INET;
    return like.family() == AF_INET6 ? Address(reinterpret_cast<const sockaddr*>(&any6), sizeof any6)
                                     : Address(reinterpret_cast<const sockaddr*>(&any), sizeof any);
}

// ---- Telling the story

/// A state that did not come.
class NotSeen : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

struct Style {
    bool boxes = false;  ///< or only ASCII
    bool colour = false;
};

Style style_of_terminal() {
    std::setlocale(LC_CTYPE, "");
    const char* no_color = std::getenv("NO_COLOR");
    return {.boxes = std::string_view(nl_langinfo(CODESET)) == "UTF-8",
            .colour = isatty(STDOUT_FILENO) == 1 && (no_color == nullptr || *no_color == '\0')};
}

constexpr const char* green = "32";
constexpr const char* grey = "90";

class Stage {
public:
    Stage(const Address& where, Style style, bool tells, bool holds)
        : address_(where), style_(style), tells_(tells), holds_(holds) {}

    /// Where to bind: port 0, of which the kernel makes one that is free.
    const Address& address() const { return address_; }

    /// Asks the kernel until this end is in this state, and notes the arrow that led there.
    void reach(End& end, const char* state, const std::string& how);
    /// The same of an arrow that no call takes: says which error the kernel gave.
    void refuse(int arrow, const std::string& how);

    void say(const std::string& line) const {
        if (tells_) fmt::print("{}\n", line);
    }
    std::string painted(const std::string& text, const char* colour) const {
        return style_.colour ? fmt::format("\033[{}m{}\033[0m", colour, text) : text;
    }
    std::string mark(bool ticked) const { return ticked ? (style_.boxes ? "✓" : "*") : (style_.boxes ? "·" : "."); }

    /// A descriptor that is to be closed when the scene is over.
    int keep(int fd) {
        open_.push_back(fd);
        return fd;
    }
    void close_now(End& end) {
        std::erase(open_, end.fd);
        CALL(close(std::exchange(end.fd, -1)));
    }
    void close_all() {
        for (const int fd : std::exchange(open_, {}))
            CALL(close(fd));
    }

    void draw() const;

    std::set<int> seen;         ///< arrows
    std::set<std::string> met;  ///< states
    std::string refusal;        ///< of the arrow that no call takes
    End old{"client"};          ///< some end in TIME_WAIT

private:
    void hold() const;

    Address address_;
    Style style_;
    bool tells_, holds_;
    std::vector<int> open_;
};

constexpr std::chrono::seconds patience{10};  // a lost SYN is sent again after 1, 3 and 7 seconds

void wait_for(const End& end, const char* state, std::chrono::seconds limit, Answer& answer) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while ((answer = ask(end)).state != state) {
        if (std::chrono::steady_clock::now() > deadline) {
            throw NotSeen(fmt::format("{} -> {} was not seen: after {} s the kernel says {} of the {} ({})", end.state,
                                      state, limit.count(), answer.state, end.name, answer.words));
        }
        poll(nullptr, 0, limit > patience ? 50 : 1);
    }
}

void Stage::reach(End& end, const char* state, const std::string& how) {
    Answer answer;
    wait_for(end, state, std::string_view(end.state) == "TIME_WAIT" ? std::chrono::seconds(150) : patience, answer);
    const bool moves = std::string_view(end.state) != state;
    const auto arrow = std::find_if(arrows.begin(), arrows.end(), [&](const Arrow& other) {
        return std::string_view(other.from) == end.state && std::string_view(other.to) == state;
    });
    std::string number = "     ";
    if (arrow != arrows.end()) {
        const auto index = static_cast<int>(arrow - arrows.begin()) + 1;
        seen.insert(index);
        number = fmt::format("{} {:<3}", mark(true), index);
    }
    met.insert(state);
    if (std::string_view(state) == "TIME_WAIT") {
        old = end;
        old.fd = -1;
        old.state = state;
    }
    const std::string change = moves ? fmt::format("{} -> {}", end.state, state) : state;
    say(fmt::format("  {:8} {}", end.name, how));
    const std::string gap = answer.words.size() > 56 ? "\n           "  // IPv6
                                                     : std::string(change.size() < 29 ? 29 - change.size() : 2, ' ');
    say(fmt::format("     {} {}{}{}", painted(number, green), arrow == arrows.end() ? change : painted(change, green),
                    gap, painted(answer.words, grey)));
    end.state = state;
    if (holds_) hold();
}

void Stage::refuse(int arrow, const std::string& how) {
    refusal = fmt::format("{} -> {}: {}", arrows.at(static_cast<size_t>(arrow) - 1).from,
                          arrows.at(static_cast<size_t>(arrow) - 1).to, how);
    say(fmt::format("     {} {:<3} {}", mark(false), arrow, refusal));
}

/// Until Enter; at the end of standard input it is not asked any more.
void Stage::hold() const {
    fmt::print("           Enter goes on > ");
    std::fflush(stdout);
    char key = ' ';
    while (key != '\n' && CALL(read(STDIN_FILENO, &key, 1)) == 1) {
    }
    if (isatty(STDIN_FILENO) != 1) fmt::print("\n");
}

/// "│" as "|" where the terminal has no UTF-8.
std::string in_ascii(const std::string& text) {
    static const std::array<std::pair<const char*, char>, 15> plain{{{"─", '-'},
                                                                     {"│", '|'},
                                                                     {"┌", '+'},
                                                                     {"┐", '+'},
                                                                     {"└", '+'},
                                                                     {"┘", '+'},
                                                                     {"├", '+'},
                                                                     {"┤", '+'},
                                                                     {"┬", '+'},
                                                                     {"┴", '+'},
                                                                     {"▼", 'v'},
                                                                     {"▲", '^'},
                                                                     {"►", '>'},
                                                                     {"◄", '<'},
                                                                     {"·", '.'}}};
    std::string result;
    for (size_t i = 0; i < text.size();) {
        const auto found = std::find_if(plain.begin(), plain.end(), [&](const auto& entry) {
            return text.compare(i, std::string_view(entry.first).size(), entry.first) == 0;
        });
        result += found == plain.end() ? text[i] : found->second;
        i += found == plain.end() ? 1 : std::string_view(found->first).size();
    }
    return result;
}

void Stage::draw() const {
    std::string text = diagram;
    text = text.substr(1);  // the line break before the first line
    if (!style_.boxes) text = in_ascii(text);
    const auto replace = [&](const std::string& what, const std::string& by) {
        for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size()))
            text.replace(at, what.size(), by);
    };
    const auto set_mark = [&](const char* first, size_t which, bool was_seen) {
        std::string sign = first;  // U+24B6 Ⓐ, U+24D0 ⓐ: the alphabet follows in the last byte, over its end at ⓐ + 48
        for (size_t i = 0; i < which; ++i) {
            if (sign[2] == '\xbf') {
                ++sign[1];
                sign[2] = '\x80';
            } else {
                ++sign[2];
            }
        }
        replace(sign, painted(mark(was_seen), was_seen ? green : grey));
    };
    for (size_t i = 0; i < arrows.size(); ++i)
        set_mark("ⓐ", i, seen.count(static_cast<int>(i) + 1) > 0);
    for (size_t i = 0; i < states.size(); ++i)
        set_mark("Ⓐ", i, met.count(states.at(i)) > 0);
    fmt::print("{}", text);
}

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
