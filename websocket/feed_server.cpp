// WebSocket feed: one feed of updates, told in four ways at the same time, and what each of them costs.
//
//     terminal 1:  build/websocket/feed_server                                and a browser: http://127.0.0.1:7000/
//     terminal 2:  build/websocket/feed_client --compare
//     terminal 3:  build/websocket/echo_client --resource /control            and there: cut sse
//
// The ways: GET /poll asks what is new, again and again; GET /long-poll is answered when something is; GET /events is
// one answer that never ends (Server-Sent Events); /socket is a WebSocket. ?since=N says which update was the last that
// the client has. GET /counters tells the bytes, counted at the server's own sockets with all headers.
// Commands, as messages to /control: every MILLISECONDS, size BYTES, cut WAY, counters, reset.
// Try it: every 100. Who is the cheapest now, and who the latest? Then size 1000.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "websocket/web_server.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <climits>
#include <cmath>
#include <deque>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;
using Id = WebServer::Id;
using Number = std::uint64_t;  // of an update; they are numbered from 1

constexpr long most_size = 4096;      // bytes of an update
constexpr long comment_seconds = 15;  // a stream that is silent for longer looks dead to proxies

enum Way : std::uint8_t { polling, long_polling, sse, by_websocket };
constexpr std::array<const char*, 4> way_names{"polling", "long-polling", "sse", "websocket"};

struct Update {
    Number number = 0;
    double happened = 0;  // seconds since 1970
    std::string text =
        {};  // "17 1764097000.123456 52.30": its number, when it happened, and what; the same in all ways
};

/// What one way has cost.
struct Account {
    Traffic traffic = {};
    Number updates = 0;
    Number timed = 0;  // updates that the client could have had when they happened
    double delay = 0;  // of those, from there to the send, all together
};

struct FeedSettings {
    long every = 1000;   // milliseconds between two updates, on average
    long size = 0;       // bytes of an update at least
    long backlog = 100;  // updates that are kept for those who come back
    long retry = 1000;   // milliseconds that an event stream shall wait before it comes back
    long hold = 20;      // seconds that a long poll may wait
};

double wall_clock() {
    return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

class Feed {
public:
    Feed(int listener, const WebServer::Settings& settings, FeedSettings feed)
        : settings_(feed),
          server_(listener, settings,
                  {.opened = [this](Id id) { open(id); },
                   .message = [this](Id id, Opcode, std::string_view text) { obey(id, text); },
                   .pong = {},
                   .closed = [this](Id id, const Closing&) { forget(id); },
                   .request = [this](Id id, const HttpRequest& request) { return answer(id, request); },
                   .gone = [this](Id id) { forget(id); },
                   .drained = {}}) {}

    void run(int stop) {
        happen();
        next_ = server_.now() + next_gap();
        look_at_clock();
        server_.run(stop);
    }

private:
    bool answer(Id id, const HttpRequest& request);
    void answer_poll(Id id, Number since, bool is_timed, const HttpRequest& request);
    void begin_events(Id id, const HttpRequest& request);
    void open(Id id);
    void obey(Id id, std::string_view text);
    std::string obeyed(const std::string& command, const std::string& argument);
    std::size_t cut(Way way);
    void forget(Id id);

    void happen();
    std::int64_t next_gap();
    void look_at_clock();
    void release(Id id);
    void forget_pollers_that_left() {
        std::erase_if(pollers_, [this](Id id) { return !server_.is_connected(id); });
    }
    Number since_of(const std::string& text) const;
    std::string news_since(Way way, Number since, bool is_timed);
    void count(Way way, const Update& update, bool is_timed);
    std::string counters() const;

    struct Held {
        Number since;
        std::int64_t until;
        bool is_timed;
    };

    FeedSettings settings_;
    std::deque<Update> backlog_;
    std::array<Account, 4> accounts_;
    std::set<Id> pollers_;     // connections by which somebody has polled: who that is, and for how long, nobody knows
    std::map<Id, Held> held_;  // long polls
    std::set<Id> streams_;     // of events
    std::set<Id> sockets_, controls_;
    std::int64_t next_ = 0, next_comment_ = 0, next_sweep_ = 0;  // milliseconds of the server's clock
    std::mt19937 dice_{4711};
    double value_ = 50;
    WebServer server_;
};

// ---- The feed

/// Something happens: a value goes up or down. Whoever can be told is told now.
void Feed::happen() {
    value_ += std::uniform_real_distribution<>(-4, 4)(dice_);
    if (value_ < 0 || value_ > 100) value_ = value_ < 0 ? -value_ : 200 - value_;
    const Number number = backlog_.empty() ? 1 : backlog_.back().number + 1;
    const double now = wall_clock();
    std::string text = fmt::format("{} {:.6f} {:.2f}", number, now, value_);
    if (const auto size = static_cast<std::size_t>(settings_.size); text.size() < size)
        text += " " + std::string(size - text.size() - 1, '.');
    backlog_.push_back({number, now, text});
    if (backlog_.size() > static_cast<std::size_t>(settings_.backlog)) backlog_.pop_front();

    const Update& update = backlog_.back();
    const EncodedMessage message(Opcode::text, update.text);
    for (const Id id : sockets_)
        if (server_.send(id, message)) count(by_websocket, update, true);
    for (const Id id : streams_) {
        count(sse, update, true);
        server_.stream(id, fmt::format("id: {}\ndata: {}\n\n", number, update.text));
    }
    while (!held_.empty())
        release(held_.begin()->first);
}

/// Not at a beat: polling in step with it would look better or worse than it is.
std::int64_t Feed::next_gap() {
    const double gap = std::uniform_real_distribution<>(0.5, 1.5)(dice_) * static_cast<double>(settings_.every);
    return std::max(1L, std::lround(gap));
}

/// One timer for all that is to be done in time, whoever asks for what, and how often.
void Feed::look_at_clock() {
    const std::int64_t now = server_.now();
    if (now >= next_) {
        happen();
        next_ = now + next_gap();
    }
    if (now >= next_comment_) {
        // Comments mean nothing: so that whoever is between does not take silence for the end.
        for (const Id id : streams_)
            server_.stream(id, ":\n\n");
        next_comment_ = now + 1000 * comment_seconds;
    }
    if (now >= next_sweep_) {
        for (auto held = held_.begin(); held != held_.end();) {
            const auto& [id, poll] = *held++;
            if (poll.until <= now) release(id);
        }
        next_sweep_ = now + 1000;
    }
    server_.after(std::clamp<std::int64_t>(next_ - now, 1, 100), [this] { look_at_clock(); });
}

void Feed::count(Way way, const Update& update, bool is_timed) {
    Account& account = accounts_[way];
    ++account.updates;
    if (!is_timed) return;
    ++account.timed;
    account.delay += wall_clock() - update.happened;
}

/// Which update a client has seen last. "": none; then it gets the newest, and what happens from now on. A number that
/// is yet to come is from the time before we were started: then it gets all that there is. Throws UsageError.
Number Feed::since_of(const std::string& text) const {
    const Number newest = backlog_.back().number;
    if (text.empty()) return newest - 1;
    const auto since = static_cast<Number>(parse_number(text, 0, LONG_MAX, "since"));
    return since > newest ? 0 : since;
}

/// The backlog behind an update, as this way puts it. What the backlog has lost, the client sees by the numbers.
std::string Feed::news_since(Way way, Number since, bool is_timed) {
    std::string text;
    for (const Update& update : backlog_) {
        if (update.number <= since) continue;
        count(way, update, is_timed);
        text += way == sse ? fmt::format("id: {}\ndata: {}\n\n", update.number, update.text) : update.text + "\n";
    }
    return text;
}

// ---- Those who ask

bool Feed::answer(Id id, const HttpRequest& request) {
    pollers_.erase(id);  // a browser uses a connection now for this, now for that
    const bool polls = request.path == "/poll", waits = request.path == "/long-poll";
    if (request.path == "/counters") {
        server_.respond(id, {200, "application/json", counters()});
        return true;
    }
    if (!polls && !waits && request.path != "/events") return false;
    server_.charge(id, accounts_[polls ? polling : waits ? long_polling : sse].traffic);
    try {
        if (request.path == "/events") {
            begin_events(id, request);
            return true;
        }
        const std::string text = query_value(request.query, "since").value_or("");
        const Number since = since_of(text);
        if (waits) {
            held_[id] = {since, server_.now() + 1000 * settings_.hold, !text.empty()};
            if (since < backlog_.back().number) release(id);
        } else {
            pollers_.insert(id);
            if (pollers_.size() > 2 * server_.connected() + 100) forget_pollers_that_left();
            answer_poll(id, since, !text.empty(), request);
        }
    } catch (const UsageError& error) {
        server_.respond(id, {400, "text/plain; charset=utf-8", std::string(error.what()) + "\n"});
    }
    return true;
}

/// At once: with news, or with nothing, which costs as much. Whoever asks with the ETag of the last answer is told in
/// HTTP's own words that there is nothing new (304; RFC 9110, 13.1.2).
void Feed::answer_poll(Id id, Number since, bool is_timed, const HttpRequest& request) {
    const std::string tag = fmt::format("\"{}\"", backlog_.back().number);
    const std::vector<std::string> known = request.head.list("if-none-match");
    if (std::find(known.begin(), known.end(), tag) != known.end())
        return server_.respond(id, {304, "", "", {{"ETag", tag}}});
    const std::string news = news_since(polling, since, is_timed);
    server_.respond(id, {news.empty() ? 204 : 200, "text/plain; charset=utf-8", news, {{"ETag", tag}}});
}

/// Answers a long poll, since there is news or its time is over.
void Feed::release(Id id) {
    const Held held = held_.at(id);
    held_.erase(id);
    const std::string news = news_since(long_polling, held.since, held.is_timed);
    server_.respond(id, {news.empty() ? 204 : 200, "text/plain; charset=utf-8", news});
}

/// An answer without an end. A browser that lost the connection says in Last-Event-ID what it has seen.
void Feed::begin_events(Id id, const HttpRequest& request) {
    const std::string* last = request.head.find("last-event-id");
    const std::string text = last != nullptr ? *last : query_value(request.query, "since").value_or("");
    const Number since = since_of(text);
    const std::string retry = fmt::format("retry: {}\n\n", settings_.retry);
    if (request.head.first_line.starts_with("HEAD "))  // only asks what GET would get
        return server_.begin_stream(id, {200, "text/event-stream", retry});
    fmt::print(stderr, "sse: {} comes{}\n", escaped(server_.address(id).text()),
               text.empty() ? "" : " back, after " + escaped(text));
    streams_.insert(id);
    server_.begin_stream(id, {200, "text/event-stream", retry + news_since(sse, since, !text.empty())});
}

void Feed::open(Id id) {
    pollers_.erase(id);
    const std::string& resource = server_.agreement(id).resource;
    const std::size_t mark = std::min(resource.find('?'), resource.size());
    const std::string path = resource.substr(0, mark);
    if (path == "/control") {
        controls_.insert(id);
    } else if (path != "/socket") {
        server_.close(id, close_code::policy_violation, "there is /socket and /control");
    } else {
        server_.charge(id, accounts_[by_websocket].traffic);
        try {
            const std::string text =
                query_value(resource.substr(std::min(mark + 1, resource.size())), "since").value_or("");
            const Number since = since_of(text);
            fmt::print(stderr, "websocket: {} comes{}\n", escaped(server_.address(id).text()),
                       text.empty() ? "" : " back, after " + escaped(text));
            for (const Update& update : backlog_) {
                if (update.number <= since) continue;
                if (server_.send(id, Opcode::text, update.text)) count(by_websocket, update, !text.empty());
            }
            sockets_.insert(id);
        } catch (const UsageError& error) {
            server_.close(id, close_code::policy_violation, error.what());
        }
    }
}

void Feed::forget(Id id) {
    if (streams_.erase(id) > 0) fmt::print(stderr, "sse: one goes\n");
    if (sockets_.erase(id) > 0) fmt::print(stderr, "websocket: one goes\n");
    held_.erase(id);
    controls_.erase(id);
}

// ---- Those who command. A page of another site can't: the handshake refuses its Origin.

void Feed::obey(Id id, std::string_view text) {
    if (controls_.count(id) == 0) return server_.close(id, close_code::policy_violation, "commands go to /control");
    const std::size_t blank = std::min(text.find(' '), text.size());
    std::string answer;
    try {
        answer = obeyed(std::string(text.substr(0, blank)), std::string(text.substr(std::min(blank + 1, text.size()))));
    } catch (const UsageError& error) {
        answer = error.what();
    }
    server_.send(id, Opcode::text, answer);
}

std::string Feed::obeyed(const std::string& command, const std::string& argument) {
    if (command == "counters") return counters();
    if (command == "every") {
        settings_.every = parse_number(argument, 1, 60'000, "every");
        next_ = server_.now() + next_gap();
        return fmt::format("an update every {} ms", settings_.every);
    }
    if (command == "size") {
        settings_.size = parse_number(argument, 0, most_size, "size");
        return fmt::format("{} bytes at least", settings_.size);
    }
    if (command == "reset") {
        accounts_ = {};
        return "counted from now on";
    }
    const auto* way = std::find(way_names.begin(), way_names.end(), argument);
    if (command == "cut" && way != way_names.end())
        return fmt::format("{} cut", cut(static_cast<Way>(way - way_names.begin())));
    return "every MILLISECONDS, size BYTES, cut polling|long-polling|sse|websocket, counters, reset";
}

/// Ends the connections of one way without a word, as a network does. What the clients do about it is their affair.
std::size_t Feed::cut(Way way) {
    forget_pollers_that_left();
    std::set<Id> ids = way == polling ? pollers_ : way == sse ? streams_ : sockets_;
    if (way == long_polling) {
        ids.clear();
        for (const auto& [id, held] : held_)
            ids.insert(id);
    }
    for (const Id id : ids)
        server_.cut(id);
    fmt::print(stderr, "{}: {} cut\n", way_names[way], ids.size());
    return ids.size();
}

std::string Feed::counters() const {
    std::string text = fmt::format("{{\"every\": {}, \"size\": {}, \"backlog\": {}, \"newest\": {}, \"ways\": {{",
                                   settings_.every, settings_.size, settings_.backlog, backlog_.back().number);
    for (std::size_t way = 0; way < accounts_.size(); ++way) {
        const Account& one = accounts_[way];
        text += fmt::format(
            "{}\"{}\": {{\"updates\": {}, \"requests\": {}, \"connections\": {}, \"received\": {}, \"sent\": {}, "
            "\"delay\": {:.6f}}}",
            way == 0 ? "" : ", ", way_names[way], one.updates, one.traffic.requests, one.traffic.connections,
            one.traffic.received, one.traffic.sent, one.timed == 0 ? 0 : one.delay / static_cast<double>(one.timed));
    }
    return text + "}}";
}

}  // namespace

int main(int argc, char** argv) try {
    WebServer::Settings settings;
    FeedSettings feed;
    const Options options = parse_options(
        argc, argv,
        {.summary =
             "WebSocket feed: updates by polling, long polling, Server-Sent Events and WebSocket, with counters.",
         .more = {{"every", "MILLISECONDS", "between two updates, on average", &feed.every, 1, 60'000},
                  {"size", "BYTES", "an update's size at least", &feed.size, 0, most_size},
                  {"backlog", "N", "updates kept for those who come back", &feed.backlog, 1, 1000},
                  {"hold", "SECONDS", "answer a long poll with nothing after so long", &feed.hold, 1, 3600},
                  {"retry", "MILLISECONDS", "tell event streams to wait so long before they come back", &feed.retry, 0,
                   60'000},
                  {"page", "FOLDER", "where the page is", &settings.page_folder},
                  {"connections", "N", "clients at a time; the next ones wait", &settings.connections, 1, 100'000},
                  {"idle", "SECONDS", "ping a WebSocket that was silent for so long", &settings.idle_seconds, 1, 86400},
                  {"pong", "SECONDS", "drop one that neither answers nor reads by then", &settings.pong_seconds, 1,
                   86400}}});
    settings.front_page = "feed.html";
    settings.host = options.host;
    settings.limits.message_bytes = 1024;  // a command
    settings.kernel_bytes = 1 << 16;       // news that waits is old: who does not read is to be noticed early
    settings.queue_bytes = static_cast<std::size_t>((feed.backlog + 100) * (most_size + 100));  // or it is dropped
    raise_descriptor_limit(settings.connections + 64);
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    Feed(listener, settings, feed).run(stop_descriptor());
} catch (const std::exception& error) {
    return report_failure(error);
}
