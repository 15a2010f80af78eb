// WebSocket chat server: rooms, for browsers and terminals alike, at one port with the page itself.
//
//     terminal 1:  build/websocket/chat_server                    and a browser: http://127.0.0.1:7000/
//     terminal 2:  build/websocket/chat_client --name anna        (and in terminals 3, 4, ...)
//
// tcp/chat_server.cpp had to find the lines in a stream; here each message is one, in JSON (chat_messages.hpp). Each
// line of a room has a number, and the last 50 are kept. So a client whose connection broke says which line it has
// heard last when it comes again, and gets the others: nothing twice, and nothing that is still there is missed.
// What goes to many is encoded once. Who does not read delays nobody: when its queue is full it is dropped (1013).
// Try it: end the server by Ctrl-C or kill -9, start it again, and see all clients come back; stop a client by Ctrl-Z
// and let another talk.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "websocket/chat_messages.hpp"
#include "websocket/web_server.hpp"

#include <algorithm>
#include <ctime>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <sys/socket.h>

namespace {

using namespace websocket;
using Id = WebServer::Id;

constexpr std::size_t most_names = 100;    // that are told of a room; the others are only counted
constexpr std::size_t most_changes = 20;   // of those who come or leave
constexpr std::size_t most_waiting = 100;  // messages of one who says more than it may
constexpr int kernel_bytes = 64 << 10;     // what waits in the kernel comes late, too

struct Settings {
    WebServer::Settings web;
    long rooms = 100;
    long members = 1000;  // of a room
    long rate = 20;       // messages a second that a client may send; and at once, if it was silent before
    long joining = 10;    // seconds that it may take to join a room
};

/// A connection, and what we know of whoever is there.
struct Member {
    std::string name, key;
    std::string room;                 // "": in none
    std::int64_t came = 0;            // milliseconds
    double allowance = 0;             // messages that it may send now
    std::int64_t counted = 0;         // when the allowance was
    std::deque<std::string> waiting;  // messages that it was not to send yet
    bool paused = false;              // and so it is not read
};

struct Line {
    std::uint64_t number;
    std::string name, id;
    EncodedMessage message;
};

struct Room {
    std::string life = fresh_handshake_key();  // of these numbers: another room of the same name begins anew
    std::uint64_t last = 0;                    // line
    std::deque<Line> lines;
    std::map<std::string, Id> members;
    std::set<std::string> come, left;  // who was not told of yet
    bool telling = false;              // that will be done soon
    std::int64_t empty_since = 0;
};

class Chat {
public:
    Chat(int listener, const Settings& settings)
        : settings_(settings),
          server_(listener, settings.web,
                  {.opened = [this](Id id) { open(id); },
                   .message = [this](Id id, Opcode opcode, std::string_view text) { take(id, opcode, text); },
                   .pong = {},
                   .closed =
                       [this](Id id, const Closing& closing) {
                           leave(id, closing.clean ? "" : "the connection broke");
                           members_.erase(id);
                       },
                   .request = {},
                   .gone = {},
                   .drained = {}}) {}

    void run(int stop) {
        look_after();
        server_.run(stop);
    }

private:
    void open(Id id);
    void take(Id id, Opcode opcode, std::string_view text);
    void go_on(Id id);
    void obey(Id id, std::string_view text);
    void join(Id id, const chat::Join& join);
    void say(Id id, const chat::Say& say);
    Room* find_or_make_room(const std::string& name);
    void tell_all(const std::string& room, const EncodedMessage& message);
    void tell_who_is_here_soon(const std::string& name);
    std::string who_is_here(const Room& room, bool changes) const;
    void leave(Id id, const std::string& why);
    void end(Id id, std::uint16_t code, const std::string& reason);
    void look_after();

    Settings settings_;
    std::map<std::string, Room> rooms_;
    std::map<Id, Member> members_;
    WebServer server_;
};

// ---- Their messages

void Chat::open(Id id) {
    Member& member = members_[id];
    member.came = member.counted = server_.now();
    member.allowance = static_cast<double>(settings_.rate);
}

/// Whoever says more than it may is read more slowly, until its own send() has to wait: TCP does that for us. What it
/// had on its way by then waits here.
void Chat::take(Id id, Opcode opcode, std::string_view text) {
    const auto found = members_.find(id);
    if (found == members_.end()) return;
    Member& member = found->second;
    if (opcode == Opcode::binary) return end(id, close_code::unsupported_data, "messages are text");
    const auto rate = static_cast<double>(settings_.rate);
    const auto passed = static_cast<double>(server_.now() - member.counted) / 1000;
    member.allowance = std::min(rate, member.allowance + passed * rate);
    member.counted = server_.now();
    if (member.waiting.empty() && member.allowance >= 1) {
        member.allowance -= 1;
        return obey(id, text);
    }
    if (member.waiting.size() >= most_waiting) return end(id, close_code::policy_violation, "too much at once");
    member.waiting.emplace_back(text);
    if (std::exchange(member.paused, true)) return;
    server_.pause(id, true);
    server_.after(1000 / settings_.rate + 1, [this, id] { go_on(id); });
}

/// It may say one more.
void Chat::go_on(Id id) {
    const auto found = members_.find(id);
    if (found == members_.end() || found->second.waiting.empty()) return;
    Member& member = found->second;
    const std::string text = std::move(member.waiting.front());
    member.waiting.pop_front();
    member.counted = server_.now();
    if (member.waiting.empty()) {
        member.paused = false;
        server_.pause(id, false);
    } else {
        server_.after(1000 / settings_.rate + 1, [this, id] { go_on(id); });
    }
    obey(id, text);
}

void Chat::obey(Id id, std::string_view text) {
    const chat::Request request = chat::read_request(text);
    if (const auto* wish = std::get_if<chat::Join>(&request)) {
        join(id, *wish);
    } else if (const auto* line = std::get_if<chat::Say>(&request)) {
        say(id, *line);
    } else if (const auto* refusal = std::get_if<chat::Refusal>(&request)) {
        server_.send(id, Opcode::text, chat::error_message(*refusal));
    } else {
        end(id, chat::not_ours, std::get<chat::Nonsense>(request).reason);
    }
}

/// Into a room, and out of the one before. Whoever was there before gets the lines that it has missed.
void Chat::join(Id id, const chat::Join& join) {
    const auto refuse = [&](const char* what, const std::string& why) {
        server_.send(id, Opcode::text, chat::error_message({what, why, ""}));
    };
    Room* room = find_or_make_room(join.room);
    if (room == nullptr) return refuse("room", "there are too many rooms, join one that is there");
    Member& member = members_.at(id);
    if (const auto other = room->members.find(join.name); other != room->members.end() && other->second != id) {
        // Its connection may be dead without our knowing: whoever knows the key is the same member.
        if (join.key.empty() || join.key != members_.at(other->second).key)
            return refuse("name", join.name + " is here already");
        const Id old = other->second;
        leave(old, "is here again");
        server_.close(old, chat::replaced, "you are here again, on another connection");
    }
    room = find_or_make_room(join.room);
    if (member.room != join.room && room != nullptr &&
        room->members.size() >= static_cast<std::size_t>(settings_.members))
        return refuse("room", "the room is full");
    leave(id, "");  // which may be the same room
    room = find_or_make_room(join.room);
    if (room == nullptr) return;
    member.name = join.name;
    member.key = join.key;
    member.room = join.room;
    room->members.emplace(join.name, id);
    if (room->left.erase(join.name) == 0) room->come.insert(join.name);
    fmt::print(stderr, "{} comes to {}\n", member.name, member.room);

    const std::uint64_t since = join.life == room->life ? std::min(join.since, room->last) : 0;
    const std::uint64_t first = room->last - room->lines.size() + 1;  // that is kept
    const bool knows = join.life == room->life;
    const std::uint64_t missed = knows && first > since + 1 ? first - since - 1 : 0;
    server_.send(id, Opcode::text, chat::joined_message(join, room->life, room->last, missed));
    for (const Line& line : room->lines) {
        if (line.number > since) server_.send(id, line.message);
    }
    server_.send(id, Opcode::text, who_is_here(*room, false));
    tell_who_is_here_soon(join.room);
}

void Chat::say(Id id, const chat::Say& say) {
    Member& member = members_.at(id);
    if (member.room.empty())
        return void(server_.send(id, Opcode::text, chat::error_message({"join", "join a room first", say.id})));
    Room& room = rooms_.at(member.room);
    // One who came again could not know whether we had heard it.
    const bool said = !say.id.empty() && std::any_of(room.lines.begin(), room.lines.end(), [&](const Line& line) {
        return line.id == say.id && line.name == member.name;
    });
    if (said) return;
    const std::string text = chat::line_message(++room.last, member.name, say, std::time(nullptr));
    room.lines.push_back({room.last, member.name, say.id, EncodedMessage(Opcode::text, text)});
    if (room.lines.size() > chat::kept_lines) room.lines.pop_front();
    tell_all(member.room, room.lines.back().message);
}

// ---- Rooms

/// nullptr: there are too many. A room without members is kept for its lines, as long as there is a place for it.
Room* Chat::find_or_make_room(const std::string& name) {
    if (const auto found = rooms_.find(name); found != rooms_.end()) return &found->second;
    if (rooms_.size() >= static_cast<std::size_t>(settings_.rooms)) {
        auto oldest = rooms_.end();
        for (auto room = rooms_.begin(); room != rooms_.end(); ++room) {
            const bool empty = room->second.members.empty();
            if (empty && (oldest == rooms_.end() || room->second.empty_since < oldest->second.empty_since))
                oldest = room;
        }
        if (oldest == rooms_.end()) return nullptr;
        rooms_.erase(oldest);
    }
    return &rooms_[name];
}

/// The frame is the same for all; a client with a full queue does not get it, and leaves.
void Chat::tell_all(const std::string& room, const EncodedMessage& message) {
    std::vector<Id> slow;
    for (const auto& [name, id] : rooms_.at(room).members) {
        if (!server_.send(id, message)) slow.push_back(id);
    }
    for (const Id id : slow)
        leave(id, "did not read what is said");
}

/// Who comes and leaves is told to all who are here. In a room of 10,000 that everybody enters at the same time, this
/// would be 50 million messages: so each time it waits as many milliseconds as there are members, and that is 1000
/// messages a second in any room.
void Chat::tell_who_is_here_soon(const std::string& name) {
    Room& room = rooms_.at(name);
    if (std::exchange(room.telling, true)) return;
    server_.after(static_cast<std::int64_t>(room.members.size()), [this, name, life = room.life] {
        const auto found = rooms_.find(name);
        if (found == rooms_.end() || found->second.life != life) return;
        Room& there = found->second;
        there.telling = false;
        const EncodedMessage message(Opcode::text, who_is_here(there, true));
        const bool changed = !there.come.empty() || !there.left.empty();
        there.come.clear();
        there.left.clear();
        if (changed) tell_all(name, message);
    });
}

std::string Chat::who_is_here(const Room& room, bool changes) const {
    chat::Json here = chat::Json::array(), come = here, left = here;
    for (auto member = room.members.begin(); member != room.members.end() && here.size() < most_names; ++member)
        here.push_back(member->first);
    for (auto name = room.come.begin(); changes && name != room.come.end() && come.size() < most_changes; ++name)
        come.push_back(*name);
    for (auto name = room.left.begin(); changes && name != room.left.end() && left.size() < most_changes; ++name)
        left.push_back(*name);
    return chat::dump({{"here", here}, {"members", room.members.size()}, {"come", come}, {"left", left}});
}

/// Out of its room, if it is in one. Its connection is another matter.
void Chat::leave(Id id, const std::string& why) {
    const auto found = members_.find(id);
    if (found == members_.end() || found->second.room.empty()) return;
    Member& member = found->second;
    const std::string name = std::exchange(member.room, "");
    Room& room = rooms_.at(name);
    room.members.erase(member.name);
    if (room.come.erase(member.name) == 0) room.left.insert(member.name);
    member.came = room.empty_since = server_.now();
    fmt::print(stderr, "{} leaves {}{}\n", member.name, name, why.empty() ? "" : ": " + why);
    if (room.members.empty() && room.lines.empty()) {
        rooms_.erase(name);  // there is nothing to keep
    } else {
        tell_who_is_here_soon(name);
    }
}

void Chat::end(Id id, std::uint16_t code, const std::string& reason) {
    leave(id, reason);
    members_.erase(id);  // what it still says is passed over
    server_.close(id, code, reason);
}

/// Who has not joined a room in time does not want to chat.
void Chat::look_after() {
    std::vector<Id> idle;
    for (const auto& [id, member] : members_) {
        if (member.room.empty() && server_.now() - member.came > 1000 * settings_.joining) idle.push_back(id);
    }
    for (const Id id : idle)
        end(id, close_code::policy_violation, "you have joined no room");
    server_.after(1000, [this] { look_after(); });
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    settings.web.connections = 1000;
    long queue = 256 << 10;
    std::string origin;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket chat server: rooms for browsers and terminals, with the page at the same port.",
         .more = {
             {"rooms", "N", "at a time", &settings.rooms, 1, 100'000},
             {"members", "N", "of a room", &settings.members, 1, 100'000},
             {"connections", "N", "at a time; the next ones wait", &settings.web.connections, 1, 100'000},
             {"queue", "BYTES", "close (1013) a client that has so much unread", &queue, 1000, 1 << 30},
             {"rate", "N", "messages a second that a client may send", &settings.rate, 1, 1'000'000},
             {"joining", "SECONDS", "close one that has joined no room by then", &settings.joining, 1, 86400},
             {"request", "SECONDS", "a request must be complete by then", &settings.web.request_seconds, 1, 86400},
             {"idle", "SECONDS", "ping a client that was silent for so long", &settings.web.idle_seconds, 1, 86400},
             {"pong", "SECONDS", "drop one that neither answers nor reads by then", &settings.web.pong_seconds, 1,
              86400},
             {"origin", "ORIGIN", "let pages from there connect, too; * for all", &origin},
             {"page", "FOLDER", "where the page is", &settings.web.page_folder}}});
    settings.web.front_page = "chat.html";
    settings.web.host = options.host;
    settings.web.policy.subprotocols = {"chat"};
    if (!origin.empty()) settings.web.policy.allowed_origins.push_back(origin);
    settings.web.limits.message_bytes = chat::longest_request;
    settings.web.queue_bytes = static_cast<std::size_t>(queue);
    settings.web.kernel_bytes = kernel_bytes;
    raise_descriptor_limit(settings.web.connections + 64);
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    Chat chat(listener, settings);
    chat.run(stop_descriptor());
} catch (const std::exception& error) {
    return report_failure(error);
}
