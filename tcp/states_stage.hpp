#pragma once
// Where the scenes of states.cpp play: it asks the kernel for a socket's state, tells what was seen, and draws the
// diagram.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/sockets.hpp"

#include <fmt/core.h>
#include <langinfo.h>
#include <netinet/in.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

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

inline std::string first_fields(const std::string& row) {
    size_t end = 0;
    for (int field = 0; field < 5 && end != std::string::npos; ++field)
        end = row.find(' ', end + (field > 0 ? 1 : 0));
    return row.substr(0, end);
}

/// A connection has a row in the kernel's table, whether a descriptor shows it or not. A socket that has no connection
/// has none. macOS has no such table, and the descriptor alone tells.
inline Answer ask(const End& end) {
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
inline Address nobody(const Address& like) {
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

inline Style style_of_terminal() {
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

inline void wait_for(const End& end, const char* state, std::chrono::seconds limit, Answer& answer) {
    const auto deadline = std::chrono::steady_clock::now() + limit;
    while ((answer = ask(end)).state != state) {
        if (std::chrono::steady_clock::now() > deadline) {
            throw NotSeen(fmt::format("{} -> {} was not seen: after {} s the kernel says {} of the {} ({})", end.state,
                                      state, limit.count(), answer.state, end.name, answer.words));
        }
        poll(nullptr, 0, limit > patience ? 50 : 1);
    }
}

inline void Stage::reach(End& end, const char* state, const std::string& how) {
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

inline void Stage::refuse(int arrow, const std::string& how) {
    refusal = fmt::format("{} -> {}: {}", arrows.at(static_cast<size_t>(arrow) - 1).from,
                          arrows.at(static_cast<size_t>(arrow) - 1).to, how);
    say(fmt::format("     {} {:<3} {}", mark(false), arrow, refusal));
}

/// Until Enter; at the end of standard input it is not asked any more.
inline void Stage::hold() const {
    fmt::print("           Enter goes on > ");
    std::fflush(stdout);
    char key = ' ';
    while (key != '\n' && CALL(read(STDIN_FILENO, &key, 1)) == 1) {
    }
    if (isatty(STDIN_FILENO) != 1) fmt::print("\n");
}

/// "│" as "|" where the terminal has no UTF-8.
inline std::string in_ascii(const std::string& text) {
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

inline void Stage::draw() const {
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
