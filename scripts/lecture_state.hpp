#pragma once
// Where the two sides of a lecture stand, and what the one key does next. No process is touched here.

#include <algorithm>
#include <charconv>
#include <functional>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <sys/types.h>

namespace lecture {

// ---- Where a program stands, from its --trace-log

/// Follows the log of one program, its threads and children.
class Follower {
public:
    /// What was added to the log; it may end in the middle of a line.
    void read(std::string_view added) {
        size_ += added.size();
        rest_ += added;
        for (std::size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1))
            read_line(std::string_view(rest_).substr(0, end));
    }

    std::size_t size() const { return size_; }

    std::set<pid_t> processes() const {
        std::set<pid_t> all;
        for (const auto& [who, state] : states_)
            all.insert(who.first);
        return all;
    }

    using Alive = std::function<bool(pid_t)>;

    /// The call that waits for a key; "" if none does.
    std::string waiting(const Alive& alive) const { return call_of("wait", alive); }

    /// The call that is under way; "" if none is.
    std::string under_way(const Alive& alive) const { return call_of("call", alive); }

    /// Does every process that lives stand at a call, or in one? Of threads only the main one counts: nobody says when
    /// another has ended.
    bool stands(const Alive& alive) const {
        bool any = false;
        for (const auto& [who, state] : states_) {
            if (who.second != 0 || !alive(who.first)) continue;
            any = true;
            if (state.kind != "wait" && state.kind != "call") return false;
        }
        return any;
    }

private:
    struct State {
        std::string kind, text;
    };

    void read_line(std::string_view line) {
        std::vector<std::string_view> fields;
        while (fields.size() < 5) {
            const std::size_t tab = line.find('\t');
            if (tab == std::string_view::npos) return;
            fields.push_back(line.substr(0, tab));
            line.remove_prefix(tab + 1);
        }
        if (fields[3] == "state") return;
        const auto number = [](std::string_view text) {
            int value = 0;
            std::from_chars(text.data(), text.data() + text.size(), value);
            return value;
        };
        states_[{number(fields[1]), number(fields[2])}] = {std::string(fields[3]), std::string(line)};
    }

    std::string call_of(std::string_view kind, const Alive& alive) const {
        for (const auto& [who, state] : states_)
            if (state.kind == kind && alive(who.first)) return state.text;
        return "";
    }

    std::string rest_;
    std::size_t size_ = 0;
    std::map<std::pair<pid_t, int>, State> states_;  // by process and thread
};

// ---- What the key does

enum class Move {
    step_server,
    start_client,
    step_client,
    type_line,   ///< a line for the client's input
    end_input,   ///< and that this was all
    end_client,  ///< by Ctrl-C
    end_server,  ///< by Ctrl-C
    leave,       ///< both have ended
    wait,        ///< both are busy: nobody waits for us
};

struct Situation {
    bool server_lives = true, client_started = false, client_lives = false, listening = false;
    bool server_waits = false, client_waits = false;  ///< for a key
    bool line_typed = false, input_ended = false;
    Move last = Move::step_server;
    long in_a_row = 0;      ///< so often the last side has moved without the other
    long since_input = 0;   ///< so often the key was pressed since the input ended
    long since_client = 0;  ///< so often the server has moved since the client ended
};

/// A side goes on until it can't. Those that are woken by a clock always can: they have to let the others have a turn.
constexpr long turn = 12;

/// And when the client is gone they may move this often before they are ended; so often, too, a client without input
/// may be waited for.
constexpr long farewell = 30;

inline Move choose(const Situation& now) {
    const bool client_could_start = now.listening && !now.client_started;
    if (!now.server_lives && !now.client_lives) return Move::leave;
    if (now.client_started && !now.client_lives) {
        if (now.server_waits && now.since_client < farewell) return Move::step_server;
        return Move::end_server;
    }
    const bool server_was_last = now.last == Move::step_server;
    const bool had_its_turn = now.in_a_row >= turn;
    if (client_could_start && (!now.server_waits || had_its_turn)) return Move::start_client;
    if (now.server_waits && now.client_waits) {
        if (server_was_last == had_its_turn) return Move::step_client;
        return Move::step_server;
    }
    const bool turn_of_input = server_was_last && had_its_turn && !now.input_ended && now.client_lives;
    if (now.client_waits) return Move::step_client;
    if (now.server_waits && !turn_of_input && (!now.input_ended || now.since_input < 10 * farewell))
        return Move::step_server;
    if (!now.client_lives) return Move::wait;
    if (!now.line_typed && now.server_lives) return Move::type_line;
    if (!now.input_ended) return Move::end_input;
    return now.since_input < farewell && now.server_lives ? Move::wait : Move::end_client;
}

// ---- What the kernel knows, as ss(8) prints it

/// A socket in the output of "ss -Hane", without its inode's processes.
struct Row {
    std::string kind, state, local, peer;
    long receive = 0, send = 0;  ///< Recv-Q and Send-Q: bytes; of a listener, who waits and how many may
    unsigned long inode = 0;     ///< 0: no process has it any more, as in TIME-WAIT

    bool operator==(const Row&) const = default;
};

/// Lines that are no socket are passed over.
inline std::vector<Row> read_ss(const std::string& output) {
    std::vector<Row> rows;
    std::istringstream lines(output);
    for (std::string line; std::getline(lines, line);) {
        std::istringstream stream(line);
        std::vector<std::string> words;
        Row row;
        if (!(stream >> row.kind >> row.state >> row.receive >> row.send)) continue;
        for (std::string word; stream >> word;)
            words.push_back(word);
        const bool is_unix = row.kind.rfind("u_", 0) == 0;
        const auto number = [](const std::string& text) { return std::strtoul(text.c_str(), nullptr, 10); };
        if (is_unix && words.size() >= 4) {  // a name and an inode, twice
            row.local = words[0] == "*" ? "" : words[0];
            row.inode = number(words[1]);
            row.peer = words[2] == "*" ? "" : words[2];
            if (number(words[3]) != 0 && row.peer.empty()) row.peer = "socket " + words[3];
        } else if (!is_unix && words.size() >= 2) {
            row.local = words[0];
            row.peer = words[1];
            for (const std::string& word : words)
                if (word.rfind("ino:", 0) == 0) row.inode = number(word.substr(4));
        } else {
            continue;
        }
        rows.push_back(std::move(row));
    }
    return rows;
}

/// "/tmp/two-terminals.a1b2c3/socket" as ".../socket".
inline std::string short_name(const std::string& name) {
    const std::size_t slash = name.rfind('/');
    return slash == std::string::npos ? name : "..." + name.substr(slash);
}

/// One line of the table, at most so wide. side: "server 4".
inline std::string show_row(const std::string& side, const Row& row, std::size_t width) {
    const bool nobody = row.peer.empty() || row.peer.ends_with(":*");
    std::string ends = row.local.empty() && !nobody ? "(no name)" : short_name(row.local);
    if (!nobody) ends += " <-> " + short_name(row.peer);
    if (side.size() + ends.size() + 40 > width) {  // all are on this machine: the ports are enough
        for (const char* host : {"127.0.0.1", "[::1]"})
            for (std::size_t at; (at = ends.find(std::string(host) + ":")) != std::string::npos;)
                ends.erase(at, std::string_view(host).size());
    }
    const bool is_unix = row.kind.rfind("u_", 0) == 0;  // where Send-Q is memory, and not a number of bytes
    const std::string queues =
        row.state == "LISTEN"
            ? "waiting " + std::to_string(row.receive) + " of " + std::to_string(row.send)
            : "unread " + std::to_string(row.receive) + (is_unix ? "" : "  unsent " + std::to_string(row.send));
    const auto padded = [](std::string text, std::size_t least) {
        text.resize(std::max(text.size(), least), ' ');
        return text;
    };
    std::string line = padded(side, 9) + "  " + padded(row.state, 10) + "  " + ends + "  " + queues;
    if (line.size() > width) line.resize(width);
    return line;
}

/// The port of "127.0.0.1:7000" or "[::1]:7000"; "" if there is none.
inline std::string port_of(const std::string& end) {
    const std::size_t colon = end.rfind(':');
    return colon == std::string::npos ? "" : end.substr(colon + 1);
}

}  // namespace lecture
