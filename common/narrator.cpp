#include "common/narrator.hpp"

#include "common/errors.hpp"
#include "common/explanations.hpp"
#include "common/sockets.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string_view>
#include <utility>

#include <csignal>
#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

namespace narrator {

bool awake = false;

namespace {

Settings settings;
std::mutex mutex;  // guards everything below, and keeps the lines of one call together
int log_file = -1;
int terminal = -1;  // where --step reads its keys
bool coloured = false;
bool witnessed = false;  // does scripts/wire see what is sent? (scripts/wire_witness.hpp)
std::string run_to;      // --step: stop again only at a call of this name
bool legend_shown = false;
std::map<std::string, long, std::less<>> calls_made;  // by name, and all of them as "any": --fault counts them

std::vector<SocketState> known;  // the sockets as they were when we last looked
struct Farewell {                // a TCP connection that no descriptor shows any more
    std::string pair, text, state;
};
std::vector<Farewell> farewells;

pid_t first_process = 0;
std::atomic<int> threads{0};
thread_local const int thread = threads++;  // 0: main, which is the first to ask
thread_local timespec call_began{};
thread_local long sleeps_before = 0;
thread_local bool injected = false;

volatile sig_atomic_t waiting_for_key = 0;
termios normal_terminal{};

/// Our own descriptors stand far from those of the program, whose numbers are part of the lesson.
int out_of_the_way(int fd) {
    if (fd == -1) return -1;
    const int moved = fcntl(fd, F_DUPFD_CLOEXEC, 200);
    if (moved == -1) return fd;
    close(fd);
    return moved;
}

timespec now(clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return time;
}

/// How often this thread has been put to sleep so far: a call that added to it has blocked (getrusage(2)).
long times_asleep() {
    rusage usage{};
#ifdef RUSAGE_THREAD
    getrusage(RUSAGE_THREAD, &usage);
#else
    getrusage(RUSAGE_SELF, &usage);
#endif
    return usage.ru_nvcsw;
}

/// "[child 4711] " or "[thread 2] "; nothing for the main thread of the process that began.
std::string label() {
    std::string text;
    if (getpid() != first_process) text += fmt::format("[child {}] ", getpid());
    if (thread != 0) text += fmt::format("[thread {}] ", thread);
    return text;
}

/// One call, one write: the lines of several programs on one terminal stay whole.
void put(int fd, std::string_view text) {
    while (!text.empty()) {
        const ssize_t written = write(fd, text.data(), text.size());
        if (written == -1 && errno == EINTR) continue;
        if (written <= 0) return;
        text.remove_prefix(static_cast<size_t>(written));
    }
}

struct Event {
    const char* kind;  // "call", "result", "state", or "wait": a call that --step has not let be made yet
    std::string text;
    const char* colour;
};

/// To the log as time, process, thread, kind, place and text, with tabs between.
void write_down(const Call& call, const std::vector<Event>& events, const timespec& time) {
    if (log_file == -1) return;
    std::string log;
    for (const Event& event : events)
        log += fmt::format("{}{:09}\t{}\t{}\t{}\t{}:{}\t{}\n", time.tv_sec, time.tv_nsec, getpid(), thread, event.kind,
                           call.file, call.line, event.text);
    put(log_file, log);
}

/// To the reader as lines, and to the log.
void tell(const Call& call, const std::vector<Event>& events, const timespec& time) {
    std::string lines;
    for (const Event& event : events) {
        const std::string_view kind = event.kind;
        const bool is_call = kind == "call" || kind == "wait";
        const std::string place = is_call ? fmt::format("{}:{}  ", call.file, call.line) : "    ";
        lines += label() + place;
        lines += coloured ? fmt::format("\033[{}m{}\033[0m\n", event.colour, event.text) : event.text + "\n";
    }
    if (settings.trace || settings.step) put(STDERR_FILENO, lines);
    write_down(call, events, time);
}

constexpr const char* call_colour = "1";
constexpr const char* result_colour = "32";
constexpr const char* error_colour = "31";
constexpr const char* state_colour = "36";

/// "unread 6", or "unread 0 -> 6" if it was something else; nothing if it is and was 0.
void add_count(std::string& text, const char* name, long before, long after) {
    if (before == 0 && after == 0) return;
    text += before == after ? fmt::format("  {} {}", name, after) : fmt::format("  {} {} -> {}", name, before, after);
}

std::string ends(const SocketState& socket) {
    if (socket.peer.empty()) return socket.local.empty() ? "" : "  " + socket.local;
    return fmt::format("  {} <-> {}", socket.local.empty() ? "(no name)" : socket.local, socket.peer);
}

std::string describe(const SocketState& after, const SocketState* before) {
    std::string text = fmt::format("fd {}  ", after.fd);
    if (before == nullptr) text += fmt::format("new {} socket: ", after.kind);
    if (before != nullptr && before->state != after.state) text += before->state + " -> ";
    text += after.state + ends(after);
    if (after.waiting >= 0) {
        const long waiting = before != nullptr && before->waiting >= 0 ? before->waiting : 0;
        text += waiting == after.waiting ? fmt::format("  queue {}/{}", after.waiting, after.backlog)
                                         : fmt::format("  queue {} -> {}/{}", waiting, after.waiting, after.backlog);
    }
    add_count(text, "unread", before != nullptr ? before->unread : 0, after.unread);
    add_count(text, "unacknowledged", before != nullptr ? before->unacknowledged : 0, after.unacknowledged);
    return text;
}

/// A connection in TIME_WAIT has left its descriptor, which then says CLOSED and has no peer: the kernel's table of
/// connections knows better.
void see_through_time_wait(SocketState& socket, const SocketState* before) {
    if (socket.state != "CLOSED" || before == nullptr || before->pair.empty()) return;
    socket.pair = before->pair;
    if (socket.local.empty()) socket.local = before->local;
    socket.peer = before->peer;
    const std::string state = state_of_pair(before->pair);
    if (!state.empty()) socket.state = state;
}

/// What is not as it was when we last looked.
std::vector<Event> look_for_changes() {
    std::vector<Event> changes;
    const auto say = [&](std::string text) { changes.push_back({"state", std::move(text), state_colour}); };

    for (auto farewell = farewells.begin(); farewell != farewells.end();) {
        const std::string state = state_of_pair(farewell->pair);
        if (state != farewell->state) {
            say(fmt::format("(closed)  {} -> {}{}", farewell->state, state.empty() ? "CLOSED" : state, farewell->text));
            farewell->state = state;
        }
        farewell = state.empty() || state == "TIME_WAIT" ? farewells.erase(farewell) : farewell + 1;
    }

    std::vector<SocketState> sockets = look_at_sockets();
    for (const SocketState& before : known) {
        const bool open = std::any_of(sockets.begin(), sockets.end(), [&](const SocketState& socket) {
            return socket.fd == before.fd && socket.id == before.id;
        });
        if (open) continue;
        const bool shared = std::any_of(sockets.begin(), sockets.end(),
                                        [&](const SocketState& socket) { return socket.id == before.id; });
        std::string text = fmt::format("fd {}  {} -> closed{}", before.fd, before.state, ends(before));
        // The descriptor is gone; the connection may still have to say goodbye.
        const std::string state = before.pair.empty() || shared ? "" : state_of_pair(before.pair);
        if (!state.empty()) text += ", the connection: " + state;
        say(text);
        if (!state.empty() && state != "TIME_WAIT") farewells.push_back({before.pair, ends(before), state});
    }
    for (SocketState& socket : sockets) {
        const auto before = std::find_if(known.begin(), known.end(), [&](const SocketState& earlier) {
            return earlier.fd == socket.fd && earlier.id == socket.id;
        });
        const SocketState* earlier = before == known.end() ? nullptr : &*before;
        see_through_time_wait(socket, earlier);
        if (earlier == nullptr || socket != *earlier) say(describe(socket, earlier));
    }
    known = std::move(sockets);
    return changes;
}

/// What has changed since the last call: others did it.
std::vector<Event> meanwhile() {
    std::vector<Event> events = look_for_changes();
    for (Event& event : events)
        event.text += "  (meanwhile)";
    return events;
}

// ---- --step

void explain(const std::string& name) {
    const Explanation* found = find_explanation(name);
    const char* text = found == nullptr  ? (speaks_korean() ? "이 호출의 설명은 아직 없습니다."
                                                            : "There is no explanation of this call.")
                       : speaks_korean() ? found->korean
                                         : found->english;
    put(terminal, fmt::format("\r\033[K    {}: {}\n", name, text));
}

/// One key, without waiting for Enter. Ctrl-C and its like arrive as bytes too, so that the terminal is in order again
/// before they act. 'q' if the terminal is gone.
char read_key() {
    termios keys = normal_terminal;
    keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    waiting_for_key = 1;
    tcsetattr(terminal, TCSADRAIN, &keys);
    char key = 'q';
    while (read(terminal, &key, 1) == -1 && errno == EINTR) {
    }
    restore_terminal();
    const auto is = [&](int which) { return key == static_cast<char>(normal_terminal.c_cc[which]); };
    if (is(VINTR)) raise(SIGINT);
    if (is(VQUIT)) raise(SIGQUIT);
    if (is(VSUSP)) raise(SIGTSTP);
    return key;
}

/// Waits until the reader lets the call be made. The mutex is held, so that other threads wait as well.
void wait_for_reader(const std::string& name) {
    run_to.clear();
    if (!legend_shown) {
        put(terminal, speaks_korean() ? "    [Enter: 호출  n: 같은 호출까지  c: 끝까지  ?: 설명  q: 종료]\n"
                                      : "    [Enter: make the call  n: run to the next of its name  c: run on  "
                                        "?: explain  q: quit]\n");
        legend_shown = true;
    }
    for (;;) {
        put(terminal, "    > ");
        const char key = read_key();
        put(terminal, "\r\033[K");
        switch (key) {
            case '\n':
            case '\r':
                return;
            case 'n':
                run_to = name;
                return;
            case 'c':
                settings.step = false;
                settings.trace = true;
                return;
            case '?':
                explain(name);
                break;
            case 'q':
                throw Quit();
            default:
                break;
        }
    }
}

/// The errno with which --fault wants this call to fail, or 0.
int chosen_fault(const std::string& name) {
    const long of_name = ++calls_made[name];
    const long of_all = ++calls_made["any"];
    for (const Fault& fault : settings.faults) {
        if (fault.call == name && fault.number == of_name) return fault.error;
        if (fault.call == "any" && fault.number == of_all) return fault.error;
    }
    return 0;
}

std::string describe_result(const std::string& name, long result, int error) {
    // These two have error numbers of their own and leaves errno alone, mostly.
    if ((name == "getaddrinfo" || name == "getnameinfo") && result != 0 && error == 0) {
        return fmt::format("= {} ({})", result, gai_strerror(static_cast<int>(result)));
    }
    if (error == 0) return fmt::format("= {}", result);
    return fmt::format("= -1 {} ({})", error_name(error), std::strerror(error));
}

}  // namespace

std::string name_of(const Call& call) {
    std::string_view text = call.text;
    text = text.substr(0, text.find('('));
    const size_t last = text.rfind("::");
    if (last != std::string_view::npos) text.remove_prefix(last + 2);
    return std::string(text.substr(0, text.find_last_not_of(' ') + 1));
}

bool speaks_korean() {
    for (const char* name : {"LC_ALL", "LANG"}) {
        const char* value = std::getenv(name);
        if (value != nullptr && *value != '\0') return std::string_view(value).substr(0, 2) == "ko";
    }
    return false;
}

void start(const Settings& wanted) {
    settings = wanted;
    first_process = getpid();
    [[maybe_unused]] const int main_thread = thread;
    const char* no_color = std::getenv("NO_COLOR");  // no-color.org: set, and not empty
    coloured = isatty(STDERR_FILENO) == 1 && (no_color == nullptr || *no_color == '\0');
    witnessed = std::getenv("TWO_TERMINALS_WITNESS") != nullptr;
    if (settings.step) {
        terminal = out_of_the_way(open("/dev/tty", O_RDWR | O_CLOEXEC));
        if (terminal == -1 || tcgetattr(terminal, &normal_terminal) == -1) {
            settings.step = false;
            settings.trace = true;
        }
    }
    if (!settings.log.empty()) {
        log_file =
            out_of_the_way(open(settings.log.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0666));
        if (log_file == -1) {
            throw std::runtime_error(fmt::format("--trace-log {}: {}", settings.log, describe_error(errno)));
        }
    }
    awake = settings.trace || settings.step || !settings.log.empty() || !settings.faults.empty();
    if (awake) known = look_at_sockets();  // those that we were born with are no news
}

void restore_terminal() {
    if (waiting_for_key == 0) return;
    waiting_for_key = 0;
    tcsetattr(terminal, TCSANOW, &normal_terminal);
}

bool announce(const Call& call) {
    const int kept_errno = errno;
    const std::lock_guard lock(mutex);
    const std::string name = name_of(call);
    if (settings.trace || settings.step || log_file != -1) {
        std::vector<Event> events = meanwhile();
        const bool waits = settings.step && (run_to.empty() || run_to == name);
        events.push_back({waits ? "wait" : "call", call.text, call_colour});
        tell(call, events, now(CLOCK_REALTIME));
        if (waits) {
            wait_for_reader(name);
            tell(call, meanwhile(), now(CLOCK_REALTIME));  // the world went on while the reader thought
            write_down(call, {{"call", call.text, call_colour}}, now(CLOCK_REALTIME));
        }
    }
    const int fault = chosen_fault(name);
    injected = fault != 0;
    if (injected) {
        put(STDERR_FILENO, fmt::format("{}{}:{}: --fault: {} is not made, and fails with {}\n", label(), call.file,
                                       call.line, name, error_name(fault)));
        errno = fault;
        return false;
    }
    // For its witness a call waits once, which is none of the lesson.
    const bool waits_for_witness = witnessed && (name == "send" || name == "sendto" || name == "sendmsg");
    sleeps_before = times_asleep() + (waits_for_witness ? 1 : 0);
    call_began = now(CLOCK_MONOTONIC);
    errno = kept_errno;
    return true;
}

void report(const Call& call, long result, int error) {
    const int kept_errno = errno;
    const timespec ended = now(CLOCK_MONOTONIC);
    const timespec time = now(CLOCK_REALTIME);  // before we look around, which takes a while
    const bool slept = times_asleep() > sleeps_before;
    const std::lock_guard lock(mutex);
    if (settings.trace || settings.step || log_file != -1) {
        std::string text = describe_result(name_of(call), result, error);
        if (injected) {
            text += "  (injected)";
        } else if (slept) {
            const double seconds = static_cast<double>(ended.tv_sec - call_began.tv_sec) +
                                   static_cast<double>(ended.tv_nsec - call_began.tv_nsec) / 1e9;
            text += seconds < 1 ? fmt::format("  (blocked {:.2f} ms)", seconds * 1e3)
                                : fmt::format("  (blocked {:.2f} s)", seconds);
        }
        std::vector<Event> events{{"result", text, error == 0 ? result_colour : error_colour}};
        for (Event& change : look_for_changes())
            events.push_back(std::move(change));
        tell(call, events, time);
    }
    errno = kept_errno;
}

}  // namespace narrator
