// Chat without a server: everybody sends to a group, and everybody has joined it.
//
//     terminal 1:  build/udp/chat --name anna
//     terminal 2:  build/udp/chat --name bob                      (and in terminals 3, 4, ...)
//
// There is no list of who is here, but the one that each of them keeps (udp/chat.hpp). Who comes says so, and the
// others answer, each after a moment of its own choice: all at once would be a storm. Then each says every --beat
// seconds that it is still there. So it is noticed, too, when somebody is gone without a goodbye. Lines may get lost;
// that is seen by their numbers, and nobody sends them again. It is the loopback, unless an --interface is given. Try
// it: kill -9 one of them. Stop one with Ctrl-Z, talk, and let it go on (fg). /who asks who is here.

#include "udp/chat.hpp"
#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "common/typed_line.hpp"
#include "udp/interface.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <fmt/core.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace group_chat;
using interfaces::Interface;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// ---- The sockets

/// Hears the group, and nothing else: several programs of this machine may have such a socket at the same port
/// (SO_REUSEADDR, and not SO_REUSEPORT: multicast_receiver.cpp says why).
int make_ears(Address& group, const Interface& interface) {
    const int ears = CALL(socket(group.family(), SOCK_DGRAM, 0));
    const int on = 1;
    CALL(setsockopt(ears, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    if (group.family() == AF_INET6 && interfaces::needs_scope(group))
        reinterpret_cast<sockaddr_in6*>(group.out())->sin6_scope_id = interface.index;
    CALL(bind(ears, group.get(), group.length()));
    if (group.family() == AF_INET) {
        ip_mreqn request{};
        request.imr_multiaddr = reinterpret_cast<const sockaddr_in*>(group.get())->sin_addr;
        request.imr_ifindex = static_cast<int>(interface.index);
        CALL(setsockopt(ears, IPPROTO_IP, IP_ADD_MEMBERSHIP, &request, sizeof request));
    } else {
        ipv6_mreq request{};
        request.ipv6mr_multiaddr = reinterpret_cast<const sockaddr_in6*>(group.get())->sin6_addr;
        request.ipv6mr_interface = interface.index;
        CALL(setsockopt(ears, IPPROTO_IPV6, IPV6_JOIN_GROUP, &request, sizeof request));
    }
    // Only over this interface, even if another program has joined the group on another one (Linux).
    const int off = 0;
#ifdef IP_MULTICAST_ALL
    if (group.family() == AF_INET) CALL(setsockopt(ears, IPPROTO_IP, IP_MULTICAST_ALL, &off, sizeof off));
#endif
#ifdef IPV6_MULTICAST_ALL
    if (group.family() == AF_INET6) CALL(setsockopt(ears, IPPROTO_IPV6, IPV6_MULTICAST_ALL, &off, sizeof off));
#endif
    static_cast<void>(off);
    return ears;
}

/// Speaks, from a port of its own: a socket that is bound to a group can't be told from the others' by its address.
int make_mouth(const Address& group, const Interface& interface) {
    const int mouth = CALL(socket(group.family(), SOCK_DGRAM, 0));
    if (group.family() == AF_INET) {
        ip_mreqn by{};
        by.imr_ifindex = static_cast<int>(interface.index);
        CALL(setsockopt(mouth, IPPROTO_IP, IP_MULTICAST_IF, &by, sizeof by));
        CALL(bind(mouth, interface.address.get(), interface.address.length()));
    } else {
        CALL(setsockopt(mouth, IPPROTO_IPV6, IPV6_MULTICAST_IF, &interface.index, sizeof interface.index));
    }
    return mouth;
}

// ---- The conversation

struct Settings {
    long beat = 2, silence = 7;  // seconds
    std::string name;
};

class Chat {
public:
    Chat(int ears, int mouth, const Address& group, const Settings& settings)
        : ears_(ears),
          mouth_(mouth),
          group_(group),
          settings_(settings),
          peer_(random_()),
          room_(settings.name, peer_) {}

    void join();
    void run();

private:
    void say(Kind kind, std::string_view text = {});
    void hear();
    void read_input();
    void type(char key);
    void command(const std::string& line);
    void show(const std::vector<std::string>& lines);
    void beat_within(milliseconds most);
    int milliseconds_to_next() const;

    int ears_, mouth_;
    Address group_;
    Settings settings_;
    std::random_device random_;
    std::uint32_t peer_, lines_ = 0;
    Room room_;
    bool reachable_ = true;  // the group, when we sent last
    Clock::time_point next_beat_ = Clock::now();
    Allowance allowance_ = sending_allowance();
    std::string input_;                 // read, and not sent yet: lines, and the beginning of one
    bool input_ended_ = false;          // nothing more is to come
    bool too_long_ = false;             // the rest of a line is passed over
    std::optional<TerminalKeys> keys_;  // if somebody types
    TypedLine line_{longest_line};
};

/// If nothing can be sent now, then there is no use in going on.
void Chat::join() {
    const std::string bytes = to_bytes({Kind::join, peer_, lines_, settings_.name, ""});
    CALL(sendto(mouth_, bytes.data(), bytes.size(), 0, group_.get(), group_.length()));
    beat_within(std::chrono::seconds(settings_.beat));
}

void Chat::say(Kind kind, std::string_view text) {
    const std::string bytes = to_bytes({kind, peer_, lines_, settings_.name, text});
    const bool sent = TRY(sendto(mouth_, bytes.data(), bytes.size(), 0, group_.get(), group_.length())) != -1;
    // The network is gone; it may come back. Of beats that is said once.
    if (!sent && (kind == Kind::line || reachable_)) show({"* not sent: " + describe_error(errno)});
    reachable_ = sent;
    beat_within(std::chrono::seconds(settings_.beat));
}

/// The next sign of life, if we have nothing else to say: somewhat earlier than is due, and everybody at another time.
void Chat::beat_within(milliseconds most) {
    std::uniform_int_distribution<long> moment(most.count() * 3 / 4, most.count());
    next_beat_ = Clock::now() + milliseconds(moment(random_));
}

void Chat::hear() {
    for (int i = 0; i < 64; ++i) {                                      // not without end: somebody may want to type
        char bytes[header_size + 4 * longest_name + longest_line + 1];  // what is longer is no message of ours
        Address sender;
        const ssize_t size = TRY(recvfrom(ears_, bytes, sizeof bytes, MSG_DONTWAIT, sender.out(), sender.out_length()));
        if (size == -1 && (errno == EAGAIN || errno == EINTR)) return;
        if (size == -1) return show({"* not heard: " + describe_error(errno)});
        const auto message = parse({bytes, static_cast<std::size_t>(size)});
        if (message) show(room_.hear(sender.text(), *message, Clock::now()));
        if (room_.wants_answer()) {
            const auto usual = next_beat_;
            std::uniform_int_distribution<long> moment(0, 200);
            next_beat_ = std::min(usual, Clock::now() + milliseconds(moment(random_)));
        }
    }
}

/// Shows lines above the one that is being typed.
void Chat::show(const std::vector<std::string>& lines) {
    if (lines.empty()) return;
    if (keys_) TypedLine::erase();
    std::string text;
    for (const std::string& line : lines)
        text += line + "\n";
    write_all(STDOUT_FILENO, text);
    if (keys_) line_.draw();
}

void Chat::type(char key) {
    const TypedLine::Key what = line_.take(key);
    if (what == TypedLine::Key::enter) {
        TypedLine::erase();
        write_all(STDOUT_FILENO, fmt::format("> {}\n", escaped(line_.text())));
        input_ += line_.take_text() + "\n";
    }
    if (what == TypedLine::Key::end) input_ended_ = true;
}

void Chat::read_input() {
    char bytes[4096];
    const ssize_t count = CALL(read(STDIN_FILENO, bytes, sizeof bytes));
    if (count == 0) {
        input_ended_ = true;
        if (!input_.empty() && input_.back() != '\n') input_ += '\n';
    }
    for (ssize_t i = 0; i < count && !input_ended_; ++i) {
        if (keys_) {
            type(bytes[i]);
        } else if (!too_long_) {
            input_ += bytes[i];
        }
        if (bytes[i] == '\n') too_long_ = false;
    }
    if (keys_) line_.draw();
}

void Chat::command(const std::string& line) {
    if (line.empty()) return;
    if (line == "/who") return show({room_.who()});
    if (line[0] == '/') return show({"* the only command is /who"});
    if (line.size() > longest_line) return show({fmt::format("* not sent: longer than {} bytes", longest_line)});
    ++lines_;
    say(Kind::line, line);
}

int Chat::milliseconds_to_next() const {
    auto wait = std::chrono::ceil<milliseconds>(next_beat_ - Clock::now());
    if (input_.find('\n') != std::string::npos) wait = std::min(wait, allowance_.wait());
    return static_cast<int>(std::clamp<long>(static_cast<long>(wait.count()), 0, 1000));  // silence is looked for
}

void Chat::run() {
    if (isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1) keys_.emplace();
    const int stop = stop_descriptor();  // after the keys, whose Ctrl-C would not say goodbye
    if (keys_) line_.draw();
    for (;;) {
        const bool wants_input = !input_ended_ && input_.size() <= longest_line;
        pollfd watched[] = {{ears_, POLLIN, 0},
                            {wants_input ? STDIN_FILENO : -1, POLLIN, 0},
                            {stop, POLLIN, 0},
                            {TerminalKeys::continued(), POLLIN, 0}};
        CALL(poll(watched, 4, milliseconds_to_next()));
        if (watched[2].revents != 0) break;
        if (watched[3].revents != 0) {
            char byte = 0;
            CALL(read(TerminalKeys::continued(), &byte, 1));
            line_.draw();
        }
        hear();
        if (watched[1].revents != 0) read_input();
        // No more than others are ready to hear.
        for (std::size_t end = 0; (end = input_.find('\n')) != std::string::npos && allowance_.take(Clock::now());) {
            const std::string line = input_.substr(0, end);
            input_.erase(0, end + 1);
            command(line);
        }
        if (input_.size() > longest_line && input_.find('\n') == std::string::npos) {
            show({fmt::format("* not sent: longer than {} bytes", longest_line)});
            input_.clear();
            too_long_ = true;
        }
        show(room_.notice_silence(std::chrono::seconds(settings_.silence), Clock::now()));
        if (Clock::now() >= next_beat_) say(Kind::beat);
        if (input_ended_ && input_.empty()) break;
    }
    if (keys_) TypedLine::erase();
    keys_.reset();
    say(Kind::leave);
    fmt::print("* goodbye\n");
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "239.255.70.71", interface_name;
    long port = default_port;
    Settings settings;
    parse_options(argc, argv,
                  {.summary = "Chat without a server: all who run it on one network and have the same group.",
                   .endpoint = Endpoint::none,
                   .more = {{"name", "NAME", "what you are called", &settings.name},
                            {"host", "GROUP", "where all meet: 239.0.0.0/8, or of IPv6 ff00::/8", &host},
                            {"port", "PORT", "and the port; 0 lets the kernel pick", &port, 0, 65535},
                            {"interface", "NAME", "or its address: the network (else the loopback)", &interface_name},
                            {"beat", "SECONDS", "say so often that you are here", &settings.beat, 1, 60},
                            {"silence", "SECONDS", "take others for gone after so long", &settings.silence, 1, 600}}});
    if (settings.name.empty()) settings.name = fmt::format("guest-{:04x}", std::random_device{}() & 0xFFFFU);
    const std::string complaint = complaint_about(settings.name);
    if (!complaint.empty()) throw UsageError(fmt::format("--name {}: {}", escaped(settings.name), complaint));
    Address group = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (!interfaces::is_group(group))
        throw UsageError(fmt::format("--host {}: expected a group, as 239.255.70.71 or ff11::7000", escaped(host)));
    const Interface interface = interfaces::choose(interface_name, group);

    const int ears = make_ears(group, interface);
    const int mouth = make_mouth(group, interface);
    group = local_address(ears);  // with the port that the kernel has picked, if it was to
    Chat chat(ears, mouth, group, settings);
    chat.join();
    announce_ready(group.text(), !(interface.is_loopback || interfaces::stays_on_interface(group)));
    fmt::print("* you are {}, over {}; /who asks who is here, Ctrl-D leaves\n", settings.name, interface.name);
    std::fflush(stdout);

    chat.run();
    CALL(close(ears));
    CALL(close(mouth));
} catch (const std::exception& error) {
    return report_failure(error);
}
