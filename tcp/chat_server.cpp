// TCP chat server: what one says, all others hear. One thread and poll(), and nobody waits for anybody.
//
//     terminal 1:  build/tcp/chat_server --trace
//     terminal 2:  build/tcp/chat_client --name anna              (and in terminals 3, 4, ...)
//     terminal 5:  ncat 127.0.0.1 7000                            (any program that sends lines will do)
//
// The first line that a client sends is its name, each other one goes to all who are here; /who asks who that is. For
// each client there is a queue of what it has not taken yet. Who lets it grow too long is dropped: the others don't
// wait. And who talks too much is read more slowly, until its own send() has to wait: TCP does that for us. Try it: a
// client that does not read,  sleep 1000 | build/tcp/chat_client --name deaf | sleep 1000 , and one that talks too
// much,  yes | build/tcp/chat_client --name loud .

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstring>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t longest_line = 1000;  // bytes
constexpr std::size_t longest_name = 20;    // characters
constexpr std::size_t line_price = 100;     // bytes that a line counts more than it has
constexpr int send_buffer = 64 << 10;       // bytes: what waits in the kernel comes late, too

struct Settings {
    long clients = 100;
    long queue = 64 << 10;  // bytes that may wait for one client
    long rate = 10'000;     // bytes a second that a client may say; and at once, if it was silent before
    long naming = 30;       // seconds that it may take to say its name
    long idle = 3600;       // seconds that it may be silent
    long closing = 5;       // seconds that it may take to receive the rest
};

struct Client {
    std::string name;           // "" until it has told us
    std::string input;          // the beginning of a line
    bool too_long = false;      // the rest of this line is thrown away
    std::string unsent;         // what send() did not take
    bool leaving = false;       // it gets what is unsent and no more; what it says is thrown away
    bool is_silent = false;     // it will say nothing more: recv() returned 0
    bool has_ended = false;     // it was told that nothing more comes
    bool is_gone = false;       // to be closed
    double allowance = 0;       // bytes that it may say now
    Clock::time_point counted;  // when the allowance was
    Clock::time_point since;    // when it came, said something, or began to leave
};

struct Room {
    Settings settings;
    std::unordered_map<int, Client> clients;  // by descriptor
    Clock::time_point now;
};

// ---- Who hears what

void leave(Room& room, Client& client, const std::string& why);

/// Puts a line into a client's queue. It waits for nobody, and so the queue has an end.
void tell(Room& room, Client& client, const std::string& line) {
    if (client.leaving || client.is_gone) return;
    client.unsent += line + "\n";
    if (client.unsent.size() > static_cast<std::size_t>(room.settings.queue)) {
        client.unsent += "* you are dropped: you do not read what is said\n";
        leave(room, client, "did not read what is said");
    }
}

void tell_others(Room& room, const Client& speaker, const std::string& line) {
    for (auto& [connection, client] : room.clients) {
        if (&client != &speaker && !client.name.empty()) tell(room, client, line);
    }
}

/// From here on it says nothing more. It still gets what is unsent, and then its connection ends.
void leave(Room& room, Client& client, const std::string& why) {
    if (client.leaving) return;
    client.leaving = true;
    client.since = room.now;
    if (!client.name.empty()) {
        tell_others(room, client, fmt::format("* {} has left{}", client.name, why.empty() ? "" : ": " + why));
    }
}

/// Lets close() send RST: the other side shall not take a connection that failed for one that came to its end.
void forget(int connection) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    TRY(setsockopt(connection, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once));
}

/// Its connection has failed.
void lose(Room& room, int connection, Client& client, const std::string& why) {
    leave(room, client, why);
    forget(connection);
    client.is_gone = true;
}

/// What a client said as others may see it: they may sit at a terminal, and read with ncat, which shows bytes as they
/// come. A backslash stays one: escaped() would make two of it.
std::string visible(std::string_view text) {
    std::string result;
    for (;;) {
        const std::size_t backslash = text.find('\\');
        result += escaped(text.substr(0, backslash));
        if (backslash == std::string_view::npos) return result;
        result += '\\';
        text.remove_prefix(backslash + 1);
    }
}

// ---- What they say

std::string who_is_here(const Room& room) {
    std::vector<std::string> names;
    for (const auto& [connection, client] : room.clients) {
        if (!client.name.empty() && !client.leaving) names.push_back(client.name);
    }
    std::sort(names.begin(), names.end());
    return names.empty() ? "* nobody is here" : fmt::format("* here: {}", fmt::join(names, ", "));
}

/// Letters (those of English and Korean), digits, '-' and '_': nobody can call himself "anna> hi" or "* bob has left".
/// Returns what is wrong with a name, or "".
std::string complaint_about(const std::string& name) {
    std::size_t characters = 0;
    for (std::size_t i = 0; i < name.size(); ++characters) {
        const auto byte = [&](std::size_t at) { return at < name.size() ? static_cast<unsigned char>(name[at]) : 0U; };
        const bool plain = std::string_view("-_").find(name[i]) != std::string_view::npos ||
                           (byte(i) < 0x80 && std::isalnum(static_cast<int>(byte(i))) != 0);
        const unsigned character = (byte(i) & 0x0FU) << 12U | (byte(i + 1) & 0x3FU) << 6U | (byte(i + 2) & 0x3FU);
        const bool syllable = (byte(i) & 0xF0U) == 0xE0 && (byte(i + 1) & 0xC0U) == 0x80 &&
                              (byte(i + 2) & 0xC0U) == 0x80 && character >= 0xAC00 && character <= 0xD7A3;
        if (!plain && !syllable) return "a name has letters, digits, '-' and '_'";
        i += plain ? 1 : 3;
    }
    if (characters == 0 || characters > longest_name) return fmt::format("a name has 1 to {} characters", longest_name);
    return "";
}

void hear_name(Room& room, Client& client, const std::string& name) {
    std::string complaint = complaint_about(name);
    for (const auto& [connection, other] : room.clients) {
        if (other.name == name && !other.leaving && complaint.empty()) complaint = name + " is here already";
    }
    if (!complaint.empty()) return tell(room, client, fmt::format("* {}. What is your name?", complaint));
    tell(room, client, who_is_here(room));
    client.name = name;
    tell_others(room, client, fmt::format("* {} has come", name));
}

void hear_line(Room& room, Client& client, std::string line) {
    if (!line.empty() && line.back() == '\r') line.pop_back();  // telnet, ncat -C
    if (client.name.empty()) return hear_name(room, client, line);
    if (line == "/who") return tell(room, client, who_is_here(room));
    if (line.starts_with('/')) return tell(room, client, "* the only command is /who");
    if (!line.empty()) tell_others(room, client, fmt::format("<{}> {}", client.name, visible(line)));
}

/// Takes lines out of what has come, whatever the pieces it came in, as long as the client may speak. What stays there
/// is one line and one piece at most.
void hear(Room& room, Client& client) {
    while (!client.leaving && client.allowance >= 1) {
        const std::size_t newline = client.input.find('\n');
        const std::size_t count = std::min(newline, client.input.size());
        if (count > longest_line && !client.too_long) {
            client.too_long = true;  // and so is the rest of it
            tell(room, client,
                 fmt::format("* too long, and nobody hears it: a line has at most {} bytes", longest_line));
        }
        if (newline == std::string::npos && !client.too_long && !client.is_silent) return;  // the rest is to come
        const bool is_nothing = newline == std::string::npos && count == 0;                 // behind the last newline
        if (!client.too_long && !client.leaving && !is_nothing) hear_line(room, client, client.input.substr(0, count));
        client.allowance -= static_cast<double>(count + line_price);
        client.input.erase(0, count + 1);
        if (newline != std::string::npos) {
            client.too_long = false;
        } else if (client.is_silent) {
            tell(room, client, "* goodbye");  // all was heard: the end of a server that was killed looks like ours
            leave(room, client, "");
        } else {
            return;
        }
    }
}

// ---- Their connections

/// Takes a client out of the listener's queue. False: there is no descriptor for it now, and it goes on waiting there.
bool accept_client(Room& room, int listener) {
    int connection = -1;
    try {
        connection = CALL(accept(listener, nullptr, nullptr));
        CALL(fcntl(connection, F_SETFL, O_NONBLOCK));
        CALL(setsockopt(connection, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer));
    } catch (const SocketError& error) {
        if (connection == -1) return !accept_needs_rest(error);
        complain(error);
        forget(connection);
        TRY(close(connection));
        return true;
    }
    const auto staying = static_cast<long>(std::count_if(room.clients.begin(), room.clients.end(),
                                                         [](const auto& entry) { return !entry.second.leaving; }));
    const bool is_full = staying >= room.settings.clients;
    if (static_cast<long>(room.clients.size()) >= 2 * room.settings.clients) {  // not even to be told so
        TRY(close(connection));
        return true;
    }
    Client& client = room.clients[connection];
    client.counted = client.since = room.now;
    client.allowance = static_cast<double>(room.settings.rate);
    tell(room, client, is_full ? "* there is no room for one more, try again later" : "* What is your name?");
    if (is_full) leave(room, client, "");
    return true;
}

bool is_for_later(int error) { return error == EAGAIN || error == EINTR; }

void send_some(Room& room, int connection, Client& client) {
    const ssize_t sent = TRY(send(connection, client.unsent.data(), client.unsent.size(), 0));
    if (sent >= 0) {
        client.unsent.erase(0, static_cast<std::size_t>(sent));
    } else if (!is_for_later(errno)) {
        lose(room, connection, client, std::strerror(errno));
    }
}

void receive_some(Room& room, int connection, Client& client) {
    char bytes[4096];
    const ssize_t received = TRY(recv(connection, bytes, sizeof bytes, 0));
    if (received > 0 && !client.leaving) {
        client.since = room.now;
        client.input.append(bytes, static_cast<std::size_t>(received));
        hear(room, client);
    } else if (received == 0) {
        client.is_silent = true;
        hear(room, client);
    } else if (received == -1 && !is_for_later(errno)) {
        lose(room, connection, client, std::strerror(errno));
    }
}

/// Is more to be received of it? Not if it has said more than it may: what its kernel can't get rid of makes its send()
/// wait. But of one that leaves, all is received and thrown away.
bool is_heard(const Client& client) { return !client.is_silent && (client.leaving || client.allowance >= 1); }

/// Serves a client that is ready, for reading or writing or because of an error.
void serve(Room& room, const pollfd& ready) {
    Client& client = room.clients.at(ready.fd);
    if ((ready.revents & POLLIN) != 0) {
        receive_some(room, ready.fd, client);
    } else if ((ready.revents & (POLLERR | POLLHUP | POLLNVAL)) != 0) {
        lose(room, ready.fd, client, "the connection broke");
    }
}

/// How long it may say nothing.
seconds patience_with(const Client& client, const Settings& settings) {
    if (client.leaving) return seconds(settings.closing);
    return seconds(client.name.empty() ? settings.naming : settings.idle);
}

/// What is to be done for every client before the next poll(). Returns when that must be done again, if nothing else
/// happens.
Clock::time_point look_after(Room& room) {
    Clock::time_point next = room.now + seconds(3600);
    const Settings& settings = room.settings;
    for (auto& [connection, client] : room.clients) {
        const double pause = std::chrono::duration<double>(room.now - client.counted).count();
        const auto rate = static_cast<double>(settings.rate);
        client.allowance = std::min(rate, client.allowance + pause * rate);
        client.counted = room.now;
        hear(room, client);
        if (room.now >= client.since + patience_with(client, settings)) {
            if (client.leaving) client.is_gone = true;
            tell(room, client,
                 fmt::format("* you are dropped: nothing came from you for {} s",
                             patience_with(client, settings).count()));
            leave(room, client, "was silent for too long");
        }
    }
    for (auto& [connection, client] : room.clients) {  // all that there is to tell has been told
        if (!client.unsent.empty() && !client.is_gone) send_some(room, connection, client);
        if (client.leaving && client.unsent.empty() && !client.has_ended) {
            // Not close(): with something unread it would send RST, and the client might never see its last line.
            client.has_ended = true;
            if (TRY(shutdown(connection, SHUT_WR)) == -1) lose(room, connection, client, "");
        }
        if (client.is_silent && client.has_ended) client.is_gone = true;
    }
    for (auto entry = room.clients.begin(); entry != room.clients.end();) {
        const Client& client = entry->second;
        if (client.is_gone) {
            TRY(close(entry->first));
            entry = room.clients.erase(entry);
            continue;
        }
        next = std::min(next, client.since + patience_with(client, settings));
        if (client.allowance < 1) {
            const double wait = (1 - client.allowance) / static_cast<double>(settings.rate);
            next = std::min(next, room.now + milliseconds(static_cast<long>(wait * 1000) + 10));
        }
        ++entry;
    }
    return next;
}

}  // namespace

int main(int argc, char** argv) try {
    Room room;
    Settings& settings = room.settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP chat server: what one client says, all others hear.",
         .more = {{"clients", "N", "at once", &settings.clients, 1, 10000},
                  {"queue", "BYTES", "drop a client that has so much unread", &settings.queue, 1000, 1 << 30},
                  {"rate", "BYTES", "a client may say so much in a second", &settings.rate, 1000, 1 << 30},
                  {"naming", "SECONDS", "drop a client that has no name by then", &settings.naming, 1, 86400},
                  {"idle", "SECONDS", "drop a client that is silent for so long", &settings.idle, 1, 1'000'000},
                  {"closing", "SECONDS", "who leaves gets the rest by then", &settings.closing, 1, 3600}}});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    CALL(fcntl(listener, F_SETFL, O_NONBLOCK));
    announce_ready(listener);

    Clock::time_point rest_until{};  // there are no descriptors: the listener is not watched
    Clock::time_point next = Clock::now() + seconds(3600);
    for (;;) {
        const bool resting = rest_until > Clock::now();
        std::vector<pollfd> watched{{resting ? -1 : listener, POLLIN, 0}};  // poll() passes over -1
        for (const auto& [connection, client] : room.clients) {
            const int events = (is_heard(client) ? POLLIN : 0) | (client.unsent.empty() ? 0 : POLLOUT);
            watched.push_back({connection, static_cast<short>(events), 0});
        }
        if (resting) next = std::min(next, rest_until);
        const auto left = std::chrono::ceil<milliseconds>(next - Clock::now()).count();
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), static_cast<int>(std::max<long long>(left, 0))));

        room.now = Clock::now();
        for (const pollfd& one : watched) {
            if (one.revents == 0) continue;
            if (one.fd != listener) {
                serve(room, one);
            } else if (!accept_client(room, listener)) {
                rest_until = room.now + milliseconds(100);
            }
        }
        next = look_after(room);
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
