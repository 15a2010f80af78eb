// WebSocket chat client: in a terminal, in the same rooms as the pages of chat_server.
//
//     terminal 1:  build/websocket/chat_server
//     terminal 2:  build/websocket/chat_client --name anna         (and in terminals 3, 4, ...)
//
// What you type goes to all who are in your room; /who, /join ROOM, and Ctrl-D to leave. When the connection is lost it
// comes again by itself: at first soon, then after twice as long each time, and never exactly then, so that a thousand
// clients of a server that was restarted don't all come at the same moment (exponential backoff with jitter). It says
// which line it has heard last, and gets the others. A line of yours is kept until it comes back with its number.
// Piped it sends lines as they are:  echo hello | build/websocket/chat_client --name anna
// Try it: end the server, type something, and start the server again.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "common/typed_line.hpp"
#include "websocket/chat_messages.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/handshake.hpp"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <deque>
#include <optional>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr std::size_t most_unconfirmed = 10;  // lines on their way at a time
constexpr std::size_t most_pending = 100;     // and lines that wait: then the input does
constexpr std::size_t most_unsent = 65536;    // bytes: then the server is not read any more
constexpr Limits limits{.message_bytes = 256 << 10};

struct Settings {
    std::string host;
    std::uint16_t port;
    std::string name, room = "lobby";
    long first_wait = 500, longest_wait = 30'000;  // milliseconds until the next try
    long tries = 20;                               // in a row
    long patience = 20;                            // seconds of silence
};

/// A line of ours that has not come back yet.
struct Pending {
    std::string text, id;
    bool sent = false;  // on this connection
};

/// One connection, from connect() to its end.
struct Link {
    int fd = -1;
    bool connected = false;
    bool joined = false;
    ClientHandshake handshake;
    Buffer output = {};
    std::optional<Connection> peer = {};
    Clock::time_point heard = Clock::now();  // when something came
    bool asked = false;                      // by a ping, whether it is still there
};

class ChatClient {
public:
    ChatClient(Settings settings, std::vector<Address> addresses)
        : settings_(std::move(settings)), addresses_(std::move(addresses)) {
        wished_name_ = settings_.name;
        wished_room_ = settings_.room;
        typing_ = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
        if (typing_) keys_.emplace();
    }

    /// Returns when the input has ended and the server has heard it all.
    void run() {
        try {
            converse();
        } catch (...) {
            if (typing_) TypedLine::erase();  // what went wrong is said in its place
            throw;
        }
    }

private:
    void converse();
    void connect_next();
    void finish_connecting();
    void receive_some();
    void send_some();
    void take_events();
    void take(std::string_view text);
    void take_joined(const chat::Json& message);
    void take_line(const chat::Json& message);
    void take_here(const chat::Json& message);
    void take_error(const chat::Json& message);
    void take_input();
    void obey(const std::string& line);
    void join();
    void say_pending();
    void hang_up();
    void look_at_the_clock();
    void lose(const std::string& why);
    void end();
    std::string describe(int error) const;
    bool has_said_all() const { return !more_input_ && pending_.empty() && was_inside_; }
    bool is_joined() const { return link_ && link_->joined; }
    Clock::time_point deadline() const;
    void print(int fd, const std::string& line);
    void tell(const std::string& notice) { print(STDERR_FILENO, "* " + notice); }

    Settings settings_;
    std::vector<Address> addresses_;
    std::size_t next_address_ = 0;
    std::optional<Link> link_;
    Clock::time_point next_try_ = Clock::now();
    long failures_ = 0;  // since we were in a room
    bool has_just_joined_ = false;
    bool was_inside_ = false;  // once at least
    bool is_over_ = false;

    std::string wished_name_, wished_room_;    // what we have asked for: settings_ has what we got
    std::string key_ = fresh_handshake_key();  // so that nobody else can take our name over
    std::string ids_ = fresh_handshake_key();  // of our lines: what they begin with
    std::string life_;                         // of the numbers that the room's lines have
    std::uint64_t since_ = 0;                  // the last of them that we have
    std::uint64_t next_id_ = 0;
    std::deque<Pending> pending_;
    std::vector<std::string> here_;
    std::uint64_t members_ = 0;

    bool typing_ = false;
    std::optional<TerminalKeys> keys_;
    TypedLine typed_{chat::longest_text};
    std::string input_;  // the beginning of a line
    bool more_input_ = true;
};

/// What others have written, in one line and with nothing that a terminal obeys. A backslash stays one, and a tab a
/// tab.
std::string shown(std::string_view text) {
    std::string result;
    for (;;) {
        const std::size_t plain = std::min(text.find_first_of("\\\t"), text.size());
        result += escaped(text.substr(0, plain));
        if (plain == text.size()) return result;
        result += text[plain];
        text.remove_prefix(plain + 1);
    }
}

/// Above the line that is being typed.
void ChatClient::print(int fd, const std::string& line) {
    const bool typed = typing_ && more_input_;
    if (typed) TypedLine::erase();
    write_all(fd, line + "\n");
    if (typed) typed_.draw();
}

// ---- The connection

/// Tries the next address, without waiting (tcp/connect_timeout.cpp): poll() tells when something has come of it.
void ChatClient::connect_next() {
    const Address& address = addresses_[next_address_];
    ClientWishes wishes;
    wishes.host = host_and_port(without_zone(settings_.host), settings_.port);
    wishes.subprotocols = {"chat", "superchat"};
    link_.emplace(Link{.handshake = ClientHandshake(wishes)});
    try {
        link_->fd = CALL(socket(address.family(), SOCK_STREAM, 0));
        CALL(fcntl(link_->fd, F_SETFL, O_NONBLOCK));
        if (TRY(connect(link_->fd, address.get(), address.length())) == -1 && errno != EINPROGRESS)
            return lose(describe(errno));
    } catch (const SocketError& error) {
        lose(error.what());
    }
}

/// Connected, or not: SO_ERROR tells. Then the upgrade.
void ChatClient::finish_connecting() {
    int error = 0;
    socklen_t length = sizeof error;
    CALL(getsockopt(link_->fd, SOL_SOCKET, SO_ERROR, &error, &length));
    if (error != 0) return lose(describe(error));
    link_->connected = true;
    link_->heard = Clock::now();
    link_->output.append(link_->handshake.request());
}

void ChatClient::receive_some() {
    char bytes[65536];
    const ssize_t received = CALL(recv(link_->fd, bytes, sizeof bytes, 0));
    link_->heard = Clock::now();
    link_->asked = false;
    if (received == 0) {
        if (link_->peer) link_->peer->end_of_input();
        return hang_up();
    }
    std::string_view rest(bytes, static_cast<std::size_t>(received));
    if (!link_->peer) {
        const auto status = link_->handshake.take(rest);
        if (status == ClientHandshake::Status::refused) return lose(link_->handshake.reason());
        if (status == ClientHandshake::Status::incomplete) return;
        if (link_->handshake.agreement().subprotocol != "chat")
            throw std::runtime_error("the server speaks WebSocket, but not the subprotocol chat");
        link_->peer.emplace(Role::client, link_->output, limits);
        join();
    }
    link_->peer->receive(bytes + (static_cast<std::size_t>(received) - rest.size()), rest.size());
    take_events();
}

void ChatClient::send_some() {
    const ssize_t sent = TRY(send(link_->fd, link_->output.data(), link_->output.size(), 0));
    if (sent > 0) link_->output.drop_front(static_cast<std::size_t>(sent));
    // An error is told by recv(), too, behind what has come before it.
}

void ChatClient::take_events() {
    while (link_ && link_->peer) {
        const auto event = link_->peer->next();
        if (!event) break;
        if (event->opcode == Opcode::text) take(event->payload);
    }
}

/// The connection is over, in one way or another. Does it make sense to come again?
void ChatClient::hang_up() {
    if (!link_->peer) return lose(link_->handshake.reason());
    const Closing closing = link_->peer->closing();
    const std::string how =
        fmt::format("{}{}{}", closing.code, closing.reason.empty() ? "" : " ", escaped(closing.reason));
    switch (closing.code) {
        case close_code::abnormal:
            return lose("the connection has ended without a Close frame");
        case close_code::going_away:
        case close_code::internal_error:
        case chat::service_restart:
        case close_code::try_again_later:
        case close_code::bad_gateway:
            return lose(how);
        case close_code::normal:
            if (has_said_all()) return end();
            [[fallthrough]];
        default:  // something is wrong with us
            throw std::runtime_error("the server has closed the connection: " + how);
    }
}

void ChatClient::end() {
    if (link_) TRY(close(link_->fd));
    link_.reset();
    is_over_ = true;
}

/// What to do about it is only said the first time.
std::string ChatClient::describe(int error) const {
    if (!was_inside_) return describe_error(error);
    return fmt::format("{} ({})", std::strerror(error), error_name(error));
}

/// Not yet, or not any more. The next try is the later the more have failed, and never at an exact time.
void ChatClient::lose(const std::string& why) {
    if (has_said_all()) return end();
    const bool was_connected = link_->connected;
    if (link_->fd != -1) TRY(close(link_->fd));
    link_.reset();
    for (Pending& line : pending_)
        line.sent = false;
    if (!was_connected && ++next_address_ < addresses_.size()) return connect_next();
    next_address_ = 0;
    if (!was_inside_) throw std::runtime_error(why);  // the first time: it is better to say so
    if (failures_ == settings_.tries)
        throw std::runtime_error(fmt::format("{}; given up after {} tries", why, failures_));
    static std::minstd_rand random(std::random_device{}());
    const long longest = std::min(settings_.longest_wait, settings_.first_wait << std::min(failures_, 20L));
    const milliseconds wait(std::uniform_int_distribution<long>(longest / 2, longest)(random));
    ++failures_;
    next_try_ = Clock::now() + wait;
    tell(fmt::format("not connected: {}; next try in {:.1f} s", why, std::chrono::duration<double>(wait).count()));
}

/// When look_at_the_clock() has something to do, if nothing happens before.
Clock::time_point ChatClient::deadline() const {
    if (!link_) return next_try_;
    // After both Close frames the server ends the TCP connection first (RFC 6455, section 7.1.1).
    const bool finished = link_->peer && link_->peer->finished();
    return link_->heard + std::chrono::seconds(finished ? std::min(2L, settings_.patience) : settings_.patience);
}

void ChatClient::look_at_the_clock() {
    if (Clock::now() < deadline()) return;
    if (!link_) {
        if (!wished_name_.empty()) connect_next();
    } else if (link_->peer && link_->peer->finished()) {
        hang_up();
    } else if (link_->joined && !link_->asked && !link_->peer->close_sent()) {
        link_->asked = true;  // are you there? The kernel would not notice for a long time
        link_->heard = Clock::now();
        link_->peer->ping();
    } else {
        lose(fmt::format("silent for {} s", settings_.patience));
    }
}

// ---- What the server says

void ChatClient::join() {
    link_->peer->send(
        Opcode::text,
        chat::dump(
            {{"join", wished_room_}, {"name", wished_name_}, {"key", key_}, {"life", life_}, {"since", since_}}));
}

/// Our lines, a few at a time.
void ChatClient::say_pending() {
    if (!is_joined() || link_->peer->close_sent()) return;
    for (std::size_t i = 0; i < std::min(pending_.size(), most_unconfirmed); ++i) {
        Pending& line = pending_[i];
        if (!std::exchange(line.sent, true))
            link_->peer->send(Opcode::text, chat::dump({{"say", line.text}, {"id", line.id}}));
    }
}

/// Whatever a server says, no more comes of it than a line on the screen.
void ChatClient::take(std::string_view text) {
    const chat::Json message = chat::parse(text);
    if (!message.is_object()) return tell("the server says what we don't understand");
    if (message.contains("joined")) return take_joined(message);
    if (message.contains("line")) return take_line(message);
    if (message.contains("here")) return take_here(message);
    if (message.contains("error")) return take_error(message);
}

void ChatClient::take_joined(const chat::Json& message) {
    const bool again = was_inside_ && failures_ > 0;
    link_->joined = was_inside_ = has_just_joined_ = true;
    failures_ = 0;
    settings_.room = wished_room_;
    settings_.name = wished_name_;
    const std::string life = chat::text_of(message, "life");
    if (life != life_) since_ = 0;  // other numbers: another room, or a server that has forgotten the old ones
    life_ = life.substr(0, chat::longest_token);
    if (again) tell("connected again");
    if (const auto missed = chat::number_of(message, "missed"); missed > 0)
        tell(fmt::format("{} lines were said meanwhile that are not kept any more", missed));
    say_pending();
}

void ChatClient::take_line(const chat::Json& message) {
    const std::uint64_t number = chat::number_of(message, "line");
    if (number <= since_) return;  // nothing twice
    since_ = number;
    const std::string name = chat::text_of(message, "name"), id = chat::text_of(message, "id");
    const auto ours =
        std::find_if(pending_.begin(), pending_.end(), [&](const Pending& line) { return line.id == id; });
    if (ours != pending_.end()) pending_.erase(ours);
    print(STDOUT_FILENO, fmt::format("<{}> {}", shown(name), shown(chat::text_of(message, "text"))));
    say_pending();
}

void ChatClient::take_here(const chat::Json& message) {
    const auto names = [&](const char* which) {
        std::vector<std::string> list;
        const auto found = message.find(which);
        if (found == message.end() || !found->is_array()) return list;
        for (const chat::Json& name : *found) {
            if (name.is_string() && list.size() < 100) list.push_back(shown(name.get<std::string>().substr(0, 100)));
        }
        return list;
    };
    here_ = names("here");
    members_ = chat::number_of(message, "members");
    if (std::exchange(has_just_joined_, false)) {
        tell(fmt::format("you are in {}; here: {}{}", shown(settings_.room), fmt::join(here_, ", "),
                         here_.size() < members_ ? " ..." : ""));
    }
    for (const std::string& name : names("come")) {
        if (name != settings_.name) tell(name + " has come");
    }
    for (const std::string& name : names("left"))
        tell(name + " has left");
}

/// Something we asked for can't be.
void ChatClient::take_error(const chat::Json& message) {
    const std::string what = chat::text_of(message, "error"), id = chat::text_of(message, "id");
    const std::string text = shown(chat::text_of(message, "text").substr(0, 1000));
    pending_.erase(std::remove_if(pending_.begin(), pending_.end(), [&](const Pending& line) { return line.id == id; }),
                   pending_.end());
    if (is_joined()) {  // and where we were, we are
        wished_room_ = settings_.room;
        wished_name_ = settings_.name;
        tell(text);
        return say_pending();
    }
    if (!typing_ || what != "name") throw std::runtime_error(text);
    tell(text + "; what is your name?");
    wished_name_.clear();  // we come again when we know
    TRY(close(link_->fd));
    link_.reset();
    next_try_ = Clock::now();
}

// ---- What you type

void ChatClient::take_input() {
    char bytes[4096];
    const ssize_t count = CALL(read(STDIN_FILENO, bytes, sizeof bytes));
    if (typing_) {
        for (ssize_t i = 0; more_input_ && i < count; ++i) {
            const TypedLine::Key key = typed_.take(bytes[i]);
            if (key == TypedLine::Key::edit) continue;
            TypedLine::erase();
            more_input_ = key == TypedLine::Key::enter;
            if (more_input_) obey(typed_.take_text());
        }
        if (count == 0) more_input_ = false;
        if (more_input_) typed_.draw();
        return;
    }
    for (ssize_t i = 0; i < count; ++i) {
        if (bytes[i] == '\n') {
            obey(std::exchange(input_, ""));
        } else if (input_.size() <= chat::longest_text) {  // one byte more, and it will be told to be too long
            input_ += bytes[i];
        }
    }
    if (count > 0) return;
    if (!input_.empty()) obey(std::exchange(input_, ""));
    more_input_ = false;
}

void ChatClient::obey(const std::string& line) {
    const auto choose = [&](std::string& what, const std::string& name) {
        if (!chat::is_name(name)) return tell("a name has 1 to 20 letters, digits, '-' and '_'");
        what = name;
        if (link_ && link_->peer) join();
    };
    if (wished_name_.empty()) return choose(wished_name_, line);
    if (line.starts_with("/name ")) return choose(wished_name_, line.substr(6));
    if (line.starts_with("/join ")) return choose(wished_room_, line.substr(6));
    if (line == "/who") {
        return print(STDOUT_FILENO, fmt::format("* {} in {}: {}{}", members_, shown(settings_.room),
                                                fmt::join(here_, ", "), here_.size() < members_ ? " ..." : ""));
    }
    if (line.starts_with('/')) return tell("the commands are /who, /join ROOM and /name NAME");
    if (line.empty()) return;
    if (const std::string complaint = chat::complaint_about_text(line); !complaint.empty())
        return tell("not sent: " + complaint);
    pending_.push_back({line, fmt::format("{}{}", ids_, ++next_id_)});
    if (typing_ && !is_joined()) tell("it will be sent when we are connected again");
    say_pending();
}

void ChatClient::converse() {
    if (wished_name_.empty()) tell("what is your name?");
    if (typing_) typed_.draw();
    while (!is_over_) {
        if (!more_input_ && wished_name_.empty()) throw std::runtime_error("without a name nobody can chat");
        if (has_said_all()) {
            if (!is_joined()) return end();
            if (!link_->peer->close_sent()) link_->peer->close(close_code::normal);
        }
        look_at_the_clock();
        if (is_over_) return;
        const bool listening = more_input_ && pending_.size() < most_pending;
        const bool writing = link_ && (!link_->connected || !link_->output.empty());
        const bool reading = link_ && link_->output.size() < most_unsent;
        pollfd watched[] = {
            {link_ ? link_->fd : -1, static_cast<short>((reading ? POLLIN : 0) | (writing ? POLLOUT : 0)), 0},
            {listening ? STDIN_FILENO : -1, POLLIN, 0},
            {TerminalKeys::continued(), POLLIN, 0}};
        const auto left = std::chrono::ceil<milliseconds>(deadline() - Clock::now()).count();
        const bool asking = !link_ && wished_name_.empty();  // and for as long as it takes
        CALL(poll(watched, 3, asking ? -1 : static_cast<int>(std::max<long>(left, 0))));
        try {
            if (link_ && !link_->connected) {
                if (watched[0].revents != 0) finish_connecting();
            } else {
                if (link_ && (watched[0].revents & POLLOUT) != 0) send_some();
                if (link_ && (watched[0].revents & ~POLLOUT) != 0) receive_some();
            }
        } catch (const SocketError& error) {
            if (!link_) throw;
            lose(describe(error.code().value()));
        }
        if (is_over_) return;
        if (watched[1].revents != 0) take_input();
        if (watched[2].revents != 0) {  // we were stopped, and go on
            char byte = 0;
            CALL(read(TerminalKeys::continued(), &byte, 1));
            if (typing_ && more_input_) typed_.draw();
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket chat client: what you type goes to all in your room; it comes again by itself.",
         .more = {
             {"name", "NAME", "what you are called; else you are asked", &settings.name},
             {"room", "ROOM", "where to", &settings.room},
             {"first-wait", "MS", "until the first try to come again, at the most", &settings.first_wait, 1, 60'000},
             {"longest-wait", "MS", "until one of the later tries", &settings.longest_wait, 1, 3'600'000},
             {"tries", "N", "then give up", &settings.tries, 0, 1'000'000},
             {"patience", "SECONDS", "of silence; then ask, and then come again", &settings.patience, 1, 3600}}});
    for (const auto& [option, name] : {std::pair{"--name", settings.name}, {"--room", settings.room}}) {
        if (!chat::is_name(name) && !(name.empty() && option == std::string_view("--name")))
            throw UsageError(
                fmt::format("{} {}: a name has 1 to 20 letters, digits, '-' and '_'", option, escaped(name)));
    }
    settings.host = options.host;
    settings.port = options.port;
    ChatClient client(settings, resolve(options.host, options.port, SOCK_STREAM));
    client.run();
} catch (const std::exception& error) {
    return report_failure(error);
}
