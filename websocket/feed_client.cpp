// WebSocket feed client: the same updates by polling, long polling, Server-Sent Events or WebSocket, and what they
// cost.
//
//     terminal 1:  build/websocket/feed_server
//     terminal 2:  build/websocket/feed_client --via sse
//     or           build/websocket/feed_client --compare
//
// Each update is printed with how late it came (by the clocks of both machines: so both should be the same machine);
// Ctrl-C ends it with a table of what this client's own sockets carried. A connection that is lost is made again, with
// the number of the last update, and whatever the server's backlog has lost meanwhile is counted as missed.
// Try it: --via polling with --interval 2000, then with 100; and cut sse (see feed_server.cpp) while --via sse runs
// under --trace.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/event_stream.hpp"
#include "websocket/protocol/http_response.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <optional>
#include <stdexcept>
#include <vector>

namespace {

using namespace websocket;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

enum Way : std::uint8_t { polling, long_polling, sse, by_websocket };
constexpr std::array<const char*, 4> way_names{"polling", "long-polling", "sse", "websocket"};

constexpr std::size_t most_answer_bytes = std::size_t{8} << 20U;

struct Settings {
    std::string host;  // for Host: "127.0.0.1:7000"
    std::vector<Address> addresses;
    long interval = 500;  // milliseconds between two polls
    long again = 1000;    // before a connection that was lost is made again
    long updates = 0;     // then it is enough; 0: never
    bool tells = true;    // print each update
};

/// The connection is over, which a feed has to expect. Everything else that is thrown ends the program.
class Lost : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What one way has brought, and what it has cost.
struct Account {
    std::uint64_t updates = 0, missed = 0, requests = 0, connections = 0;
    std::uint64_t up = 0, down = 0;  // bytes of this client's sockets
    std::uint64_t timed = 0;         // updates that happened while it listened
    double delay = 0;                // of those, in seconds, all together
};

/// One client of the feed.
struct Listener {
    explicit Listener(Way its_way) : way(its_way) {}

    Way way;
    int fd = -1;
    bool asked = false;          // and the answer is not complete
    Clock::time_point due = {};  // when to ask, where it has not
    std::uint64_t last = 0;      // number of the last update; 0: none yet
    std::string parameters() const { return last == 0 ? "" : fmt::format("?since={}", last); }

    HttpResponseReader response{most_answer_bytes};
    EventStreamReader events{most_answer_bytes};
    std::string event_id = {};  // of the last event that had one
    std::optional<ClientHandshake> handshake = {};
    std::optional<Connection> peer = {};
    Buffer output = {};  // what the peer says: pongs, Close
    Account account = {};
};

double wall_clock() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// ---- Asking

void send_counted(Listener& one, std::string_view bytes) {
    send_all(one.fd, bytes.data(), bytes.size());
    one.account.up += bytes.size();
}

/// Asks for updates, on a new connection if there is none.
void ask(Listener& one, const Settings& settings) {
    if (one.fd == -1) {
        one.fd = connect_to_any(settings.addresses);
        ++one.account.connections;
    }
    one.due = Clock::now() + Milliseconds(settings.interval);
    one.response = HttpResponseReader(most_answer_bytes);
    ++one.account.requests;
    one.asked = true;
    const auto get = [&](const std::string& resource, const std::string& more = "") {
        send_counted(one, fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\n{}\r\n", resource, settings.host, more));
    };
    switch (one.way) {
        case polling:
            return get("/poll" + one.parameters());
        case long_polling:
            return get("/long-poll" + one.parameters());
        case sse:
            one.events = EventStreamReader(most_answer_bytes);
            return get("/events", "Accept: text/event-stream\r\n" +
                                      (one.event_id.empty() ? "" : "Last-Event-ID: " + one.event_id + "\r\n"));
        case by_websocket:
            ClientWishes wishes;
            wishes.host = settings.host;
            wishes.resource = "/socket" + one.parameters();
            one.handshake.emplace(wishes);
            return send_counted(one, one.handshake->request());
    }
}

void hang_up(Listener& one) {
    if (one.fd != -1) TRY(close(one.fd));
    one.fd = -1;
    one.asked = false;
    one.peer.reset();
    one.handshake.reset();
    one.output.clear();
}

bool is_done(const Listener& one, const Settings& settings) {
    return settings.updates > 0 && one.account.updates >= static_cast<std::uint64_t>(settings.updates);
}

/// A WebSocket is not just left: Close goes first, and the server has two seconds to answer it.
void say_goodbye(Listener& one) {
    if (!one.peer || (one.peer->close_sent() && Clock::now() >= one.due)) return hang_up(one);
    if (one.peer->close_sent()) return;
    one.peer->close(close_code::normal);
    send_counted(one, one.output.view());
    one.output.clear();
    one.due = Clock::now() + std::chrono::seconds(2);
}

// ---- What comes

/// "17 1764097000.123456 52.30": number, when it happened, what. Behind a further blank may be anything.
void take_update(Listener& one, std::string_view text, const Settings& settings) {
    std::uint64_t number = 0;
    const auto [behind, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    const std::size_t first = text.find(' '), second = std::min(text.find(' ', first + 1), text.size());
    if (error != std::errc() || number == 0 || first == std::string_view::npos || behind != text.data() + first)
        throw std::runtime_error(fmt::format("no such update: {}", escaped(text.substr(0, 80))));
    const double happened = std::strtod(std::string(text.substr(first + 1, second - first - 1)).c_str(), nullptr);
    const double delay = wall_clock() - happened;
    const std::string_view value = text.substr(std::min(second + 1, text.size()));

    Account& account = one.account;
    ++account.updates;
    const bool is_first = one.last == 0;
    if (number <= one.last) {
        fmt::print(stderr, "{}: the feed has begun again\n", way_names[one.way]);
    } else if (!is_first) {
        account.missed += number - one.last - 1;
        ++account.timed;
        account.delay += delay;
    }
    one.last = number;
    if (!settings.tells) return;
    const std::string late = is_first ? "the present value" : fmt::format("{:.1f} ms late", 1000 * delay);
    fmt::print("{:6}  {:>6}  {}\n", number, escaped(value.substr(0, std::min<std::size_t>(value.find(' '), 20))), late);
    std::fflush(stdout);
}

/// A whole answer to a poll: lines, or nothing.
void take_answer(Listener& one, const Settings& settings) {
    std::string_view rest = one.response.body();
    while (!rest.empty()) {
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos) throw std::runtime_error("the answer ends in the middle of a line");
        take_update(one, rest.substr(0, end), settings);
        rest.remove_prefix(end + 1);
    }
    one.asked = false;
    if (one.way == long_polling) one.due = Clock::now();
    if (!one.response.keeps_alive()) hang_up(one);
}

void take_response(Listener& one, std::string_view bytes, const Settings& settings) {
    using Status = HttpResponseReader::Status;
    if (!one.asked) throw std::runtime_error("the server says something unasked");
    const Status status = bytes.empty() ? one.response.end_of_input() : one.response.take(bytes);
    if (status == Status::malformed)
        throw std::runtime_error(fmt::format("this is not HTTP: {}", escaped(one.response.problem())));
    if (status == Status::complete && !bytes.empty()) throw std::runtime_error("the server says something unasked");
    const int code = one.response.status_code();
    if (status != Status::head && code != 200 && code != 204)
        throw std::runtime_error(fmt::format("the server answers: {}", escaped(one.response.head().first_line)));
    if (one.way != sse) {
        if (status == Status::complete) return take_answer(one, settings);
    } else if (status != Status::head) {
        const std::string* type = one.response.head().find("content-type");
        if (type == nullptr || !type->starts_with("text/event-stream"))
            throw std::runtime_error("the server answers with something else than events");
        std::string_view text = one.response.body();
        while (const auto event = one.events.next(text)) {
            one.event_id = event->id;
            take_update(one, event->data, settings);
        }
        if (one.events.failed()) throw std::runtime_error("an event is too large");
        one.response.body().clear();
        if (status == Status::complete) throw Lost("the stream has ended");
    }
}

void take_frames(Listener& one, char* bytes, std::size_t count, const Settings& settings) {
    one.peer->receive(bytes, count);
    while (const auto event = one.peer->next())
        if (event->opcode == Opcode::text) take_update(one, event->payload, settings);
    if (!one.output.empty()) send_counted(one, one.output.view());
    one.output.clear();
    if (!one.peer->finished()) return;
    if (is_done(one, settings)) return;  // the server ends the connection, and we wait for it (RFC 6455, 7.1.1)
    const Closing& closing = one.peer->closing();
    const std::string why = fmt::format("closed: {} {}", closing.code, escaped(closing.reason));
    if (closing.code == close_code::going_away || closing.code == close_code::try_again_later) throw Lost(why);
    throw std::runtime_error(why);
}

/// Something has come, or the end.
void receive(Listener& one, const Settings& settings) {
    char buffer[16384];
    const auto count = static_cast<std::size_t>(CALL(recv(one.fd, buffer, sizeof buffer, 0)));
    one.account.down += count;
    const bool until_end = one.asked && one.response.status_code() != 0 && one.way != by_websocket;
    if (count == 0 && !until_end) throw Lost("the server has ended the connection");
    std::string_view bytes(buffer, count);
    if (one.way != by_websocket) {
        take_response(one, bytes, settings);
        if (count == 0 && one.asked) throw Lost("the connection ended in the middle of an answer");
        return;
    }
    if (!one.peer) {
        const auto status = one.handshake->take(bytes);
        if (status == ClientHandshake::Status::refused) throw std::runtime_error(one.handshake->reason());
        if (status == ClientHandshake::Status::incomplete) return;
        one.peer.emplace(Role::client, one.output);
    }
    take_frames(one, buffer + (count - bytes.size()), bytes.size(), settings);
}

/// What to do about a connection that is over: nothing but making it again. What was missed meanwhile comes then.
void recover(Listener& one, const std::exception& error, const Settings& settings) {
    const bool was_idle = one.fd != -1 && !one.asked;
    hang_up(one);
    if (was_idle || is_done(one, settings)) return;  // between two polls: the next one makes a new connection
    // Server-Sent Events leave it to the server how long to wait.
    const auto retry = one.events.retry_milliseconds();
    const long wait =
        one.way == sse && retry ? static_cast<long>(std::min<std::int64_t>(*retry, 60'000)) : settings.again;
    one.due = Clock::now() + Milliseconds(wait);
    fmt::print(stderr, "{}: {}; again in {} ms\n", way_names[one.way], error.what(), wait);
}

// ---- All of them at the same time

/// Until they have what they want, or the reader has enough.
void listen_to_feed(std::vector<Listener>& listeners, const Settings& settings, std::chrono::seconds patience) {
    const int stop = stop_descriptor();
    auto progress = Clock::now();  // when something last came
    for (;;) {
        std::vector<pollfd> watched{{stop, POLLIN, 0}};
        auto wake = progress + patience;
        bool done = true;
        for (const Listener& one : listeners) {
            watched.push_back({one.fd, POLLIN, 0});  // -1: poll() passes over it
            const bool wants_more = !is_done(one, settings);
            if (!wants_more && one.fd == -1) continue;
            done = false;
            if (!one.asked || !wants_more) wake = std::min(wake, one.due);
        }
        if (done) return;
        const auto left = std::chrono::ceil<Milliseconds>(wake - Clock::now()).count();
        const int wait = static_cast<int>(std::clamp<long>(left, 0, 60'000));
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()), wait));
        if (watched[0].revents != 0) return;
        for (std::size_t i = 0; i < listeners.size(); ++i) {
            Listener& one = listeners[i];
            const bool is_new = one.account.connections == 0;
            try {
                if (one.fd != -1 && watched[i + 1].revents != 0) {
                    progress = Clock::now();
                    receive(one, settings);
                }
                if (is_done(one, settings)) {
                    say_goodbye(one);
                } else if (!one.asked && Clock::now() >= one.due) {
                    ask(one, settings);
                }
            } catch (const SocketError& error) {
                if (is_new) throw;  // nobody is there
                recover(one, error, settings);
            } catch (const Lost& error) {
                recover(one, error, settings);
            }
        }
        if (Clock::now() >= progress + patience)
            throw std::runtime_error(fmt::format("nothing has come for {} seconds", patience.count()));
    }
}

void print_table(const std::vector<Listener>& listeners) {
    fmt::print("{:<13}{:>8}{:>8}{:>10}{:>13}{:>10}{:>10}{:>12}{:>10}\n", "", "updates", "missed", "requests",
               "connections", "bytes up", "down", "per update", "ms late");
    for (const Listener& one : listeners) {
        const Account& account = one.account;
        const auto part = [](double sum, std::uint64_t count) {
            return count == 0 ? "-" : fmt::format("{:.1f}", sum / static_cast<double>(count));
        };
        fmt::print("{:<13}{:>8}{:>8}{:>10}{:>13}{:>10}{:>10}{:>12}{:>10}\n", way_names[one.way], account.updates,
                   account.missed, account.requests, account.connections, account.up, account.down,
                   part(static_cast<double>(account.up + account.down), account.updates),
                   part(1000 * account.delay, account.timed));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::string via = "websocket";
    bool compare = false;
    long patience = 60;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket feed client: updates by one of four ways, or by all of them, and what they cost.",
         .more = {{"via", "WAY", "polling, long-polling, sse or websocket", &via},
                  {"compare", nullptr, "all four at the same time, and the table", &compare},
                  {"interval", "MILLISECONDS", "from one poll to the next", &settings.interval, 1, 3'600'000},
                  {"updates", "N", "end after so many; 0: never (with --compare: 20)", &settings.updates},
                  {"again", "MILLISECONDS", "before a lost connection is made again", &settings.again, 1, 60'000},
                  {"patience", "SECONDS", "end when nothing has come for so long", &patience, 1, 86400}}});
    const auto* way = std::find(way_names.begin(), way_names.end(), via);
    if (way == way_names.end())
        throw UsageError(fmt::format("--via {}: expected polling, long-polling, sse or websocket", escaped(via)));
    settings.host = host_and_port(without_zone(options.host), options.port);
    settings.addresses = resolve(options.host, options.port, SOCK_STREAM);
    settings.tells = !compare;
    if (compare && settings.updates == 0) settings.updates = 20;

    std::vector<Listener> listeners;
    for (const Way one : {polling, long_polling, sse, by_websocket})
        if (compare || one == way - way_names.begin()) listeners.emplace_back(one);
    listen_to_feed(listeners, settings, std::chrono::seconds(patience));
    print_table(listeners);
} catch (const std::exception& error) {
    return report_failure(error);
}
