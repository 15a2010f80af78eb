#include "tests/support/process.hpp"

#include "common/errors.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <mutex>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#include <sys/syscall.h>
#else
#include <sys/event.h>
#endif

extern char** environ;

namespace {

using Clock = std::chrono::steady_clock;

/// Held while descriptors are made, marked close-on-exec and a child is forked: another thread's child would inherit
/// those that are not marked yet, and keep pipes open that ought to end.
std::mutex starting;

thread_local std::vector<Process*> processes;

void must(bool succeeded, const char* what) {
    if (!succeeded) throw Unexpected(fmt::format("{}: {}", what, describe_error(errno)));
}

struct Pipe {
    int read_end = -1, write_end = -1;
};

Pipe make_pipe() {
    int ends[2];
    must(pipe(ends) == 0, "pipe");
    for (const int end : ends)
        must(fcntl(end, F_SETFD, FD_CLOEXEC) == 0, "fcntl");
    return {ends[0], ends[1]};
}

void close_if_open(int& fd) {
    if (fd != -1) close(fd);
    fd = -1;
}

/// A descriptor that becomes readable when the process ends.
int watch_end(pid_t pid) {
#ifdef __linux__
    const int fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));  // close-on-exec by itself (pidfd_open(2))
    must(fd != -1, "pidfd_open");
#else
    const int fd = kqueue();
    must(fd != -1, "kqueue");
    struct kevent event {};
    EV_SET(&event, static_cast<uintptr_t>(pid), EVFILT_PROC, EV_ADD, NOTE_EXIT, 0, nullptr);
    if (kevent(fd, &event, 1, nullptr, 0, nullptr) == -1) {
        // It has ended already: let a timer that is over make the descriptor readable.
        EV_SET(&event, 1, EVFILT_TIMER, EV_ADD | EV_ONESHOT, 0, 0, nullptr);
        must(kevent(fd, &event, 1, nullptr, 0, nullptr) == 0, "kevent");
    }
#endif
    return fd;
}

/// What the owner of the environment likes, and the tests must not depend on.
constexpr std::array personal{"LANG", "LANGUAGE", "LC_ALL", "NO_COLOR", "XDG_RUNTIME_DIR"};

/// Our environment without what its owner likes, then what the test wants.
std::vector<std::string> environment_of(const Surroundings& surroundings) {
    const auto name_in = [](std::string_view entry) { return entry.substr(0, entry.find('=')); };
    std::vector<std::string> entries;
    for (char** entry = environ; *entry != nullptr; ++entry) {
        const auto is_same = [&](std::string_view other) { return name_in(other) == name_in(*entry); };
        if (std::any_of(personal.begin(), personal.end(), is_same)) continue;
        if (std::any_of(surroundings.environment.begin(), surroundings.environment.end(), is_same)) continue;
        entries.emplace_back(*entry);
    }
    entries.insert(entries.end(), surroundings.environment.begin(), surroundings.environment.end());
    return entries;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
    std::vector<char*> pointers;
    for (std::string& text : texts)
        pointers.push_back(text.data());
    pointers.push_back(nullptr);
    return pointers;
}

/// What the child is to do between fork() and its program, where only few functions may be called (signal-safety(7)).
struct Orders {
    int in, out, err, terminal, report;
    const Surroundings* surroundings;
};

/// Returns the name of the call that failed, or nullptr.
const char* obey(const Orders& orders) {
    if (setsid() == -1) return "setsid";
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);  // nothing that a test started outlives it
#endif
    if (orders.terminal != -1 && ioctl(orders.terminal, TIOCSCTTY, 0) == -1) return "TIOCSCTTY";
    if (dup2(orders.in, 0) == -1 || dup2(orders.out, 1) == -1 || dup2(orders.err, 2) == -1) return "dup2";
    const Surroundings& surroundings = *orders.surroundings;
    if (surroundings.umask) umask(*surroundings.umask);
    for (const auto& [resource, most] : surroundings.limits) {
        const rlimit limit{most, most};
        // g++ and macOS differ on the type of setrlimit's first parameter, an enumeration in the former.
        if (setrlimit(static_cast<decltype(RLIMIT_NOFILE)>(resource), &limit) == -1) return "setrlimit";
    }
    if (!surroundings.directory.empty() && chdir(surroundings.directory.c_str()) == -1) return "chdir";
    signal(SIGPIPE, SIG_DFL);
#ifdef SYS_close_range
    syscall(SYS_close_range, 3, ~0U, 4);  // CLOSE_RANGE_CLOEXEC: what another thread has just made is not for it
#endif
    return nullptr;
}

int run_body(const std::function<void()>& body, const Surroundings& surroundings) {
    for (int fd = 3; fd < 1024; ++fd)
        close(fd);
    processes.clear();  // they are our parent's
    try {
        for (const char* name : personal)
            unsetenv(name);
        for (const std::string& entry : surroundings.environment) {
            const size_t equals = entry.find('=');
            setenv(entry.substr(0, equals).c_str(), entry.substr(equals + 1).c_str(), 1);
        }
        body();
        std::fflush(nullptr);
        return 0;
    } catch (const std::exception& error) {
        std::fflush(nullptr);
        fmt::print(stderr, "the function threw: {}\n", error.what());
        return 99;
    }
}

std::string quoted(const Process::Command& command) {
    std::string text;
    for (const std::string& word : command)
        text += (text.empty() ? "" : " ") + (word.empty() ? "''" : escaped(word));
    return text;
}

/// The end of what was printed, escaped, line by line.
std::string shown(const std::string& printed) {
    constexpr size_t most = 4000;
    std::string_view rest = printed;
    std::string text;
    if (rest.size() > most) {
        text += fmt::format("    ({} bytes before)\n", rest.size() - most);
        rest.remove_prefix(rest.size() - most);
    }
    while (!rest.empty()) {
        const size_t end = rest.find('\n');
        text += "    | " + escaped(rest.substr(0, end)) + (end == std::string_view::npos ? " (no newline)\n" : "\n");
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    }
    return text;
}

struct Ends {
    std::string host, port;
};

/// "::1" and "7000" of "[::1]:7000"; a Unix socket's path and "" of that path, also of "@/path", an abstract name.
Ends split(const std::string& address) {
    if (address.front() == '/') return {address, ""};
    if (address.front() == '@') return {address.substr(1), ""};
    const size_t colon = address.rfind(':');
    std::string host = address.substr(0, colon);
    if (host.front() == '[') host = host.substr(1, host.size() - 2);
    return {host, address.substr(colon + 1)};
}

std::string name_of(Stream stream) {
    return stream == Stream::out ? "standard output" : stream == Stream::err ? "standard error" : "the terminal";
}

}  // namespace

bool is_sanitized() { return program("").find("sanitize") != std::string::npos; }
bool is_thread_sanitized() { return program("").find("sanitize-thread") != std::string::npos; }

std::string to_text(const Ending& ending) {
    return ending.signal != 0 ? fmt::format("killed by signal {}", ending.signal)
                              : fmt::format("exit status {}", ending.status);
}

Process::Process(Command command, Surroundings surroundings) : command_(std::move(command)) {
    start(nullptr, surroundings);
}

Process::Process(const std::function<void()>& body, Surroundings surroundings) : command_{"(a function)"} {
    start(body, surroundings);
}

void Process::start(const std::function<void()>& body, const Surroundings& surroundings) {
    ::signal(SIGPIPE, SIG_IGN);  // a process may end while it is being fed
    std::string path = command_.front();
    if (!body && path.find('/') == std::string::npos) path = find_tool(path);
    if (!surroundings.directory.empty() && !path.empty()) path = std::filesystem::absolute(path).string();
    std::vector<std::string> environment = environment_of(surroundings);
    const std::vector<char*> environment_pointers = pointers_to(environment);
    std::vector<std::string> arguments = command_;
    const std::vector<char*> argument_pointers = pointers_to(arguments);

    const std::lock_guard lock(starting);
    const Terminal terminal = surroundings.terminal;
    int child_terminal = -1;
    if (terminal != Terminal::none) {
        terminal_ = posix_openpt(O_RDWR | O_NOCTTY);
        must(terminal_ != -1 && grantpt(terminal_) == 0 && unlockpt(terminal_) == 0, "posix_openpt");
        child_terminal = open(ptsname(terminal_), O_RDWR | O_NOCTTY);
        must(child_terminal != -1, "open of the terminal");
        for (const int fd : {terminal_, child_terminal})
            must(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0, "fcntl");
    }
    Pipe in, out, err;
    if (!surroundings.input_file.empty()) {
        in.read_end = open(surroundings.input_file.c_str(), O_RDONLY | O_CLOEXEC);
        must(in.read_end != -1, surroundings.input_file.c_str());
    } else if (terminal != Terminal::all) {
        in = make_pipe();
    }
    if (terminal != Terminal::all) err = make_pipe();
    if (terminal != Terminal::all && terminal != Terminal::output) out = make_pipe();
    Pipe report = make_pipe();  // what went wrong before the program ran; ends silently when it runs

    const auto or_terminal = [&](int fd) { return fd != -1 ? fd : child_terminal; };
    const Orders orders{or_terminal(in.read_end), or_terminal(out.write_end), or_terminal(err.write_end),
                        child_terminal,           report.write_end,           &surroundings};
    if (body) std::fflush(nullptr);  // or the child would print what we had not printed yet
#ifdef __linux__
    pid_ = body ? fork() : vfork();  // up to execve() the child has our memory, and only makes calls
#else
    pid_ = fork();
#endif
    must(pid_ != -1, "fork");
    if (pid_ == 0) {
        const char* failed = obey(orders);
        if (failed == nullptr && body) {
            close(report.write_end);
            _exit(run_body(body, surroundings));
        }
        if (failed == nullptr) {
            execve(path.c_str(), argument_pointers.data(), environment_pointers.data());
            failed = "execve";
        }
        [[maybe_unused]] const auto written = write(report.write_end, failed, std::strlen(failed));
        _exit(127);
    }
    for (int* fd : {&in.read_end, &out.write_end, &err.write_end, &child_terminal, &report.write_end})
        close_if_open(*fd);
    in_ = in.write_end, out_ = out.read_end, err_ = err.read_end;
    for (const int fd : {in_, out_, err_, terminal_})
        if (fd != -1) must(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl");
    end_ = watch_end(pid_);
    processes.push_back(this);

    char failed[32];
    const ssize_t length = read(report.read_end, failed, sizeof failed);
    close(report.read_end);
    if (length > 0) {
        const std::string call(failed, static_cast<size_t>(length));
        release();
        throw Unexpected(fmt::format("cannot start {}: {} failed", quoted(command_), call));
    }
}

Process::~Process() { release(); }

void Process::release() {
    std::erase(processes, this);
    if (!ending_) {
        kill(-pid_, SIGKILL);  // with what it has forked: as long as it lives, the process group is its own
        while (waitpid(pid_, nullptr, 0) == -1 && errno == EINTR) {
        }
    }
    for (int* fd : {&in_, &out_, &err_, &terminal_, &end_})
        close_if_open(*fd);
}

bool Process::is_running() {
    serve_processes(Milliseconds(0));
    return !ending_;
}

void Process::signal(int number) const {
    if (!ending_) kill(pid_, number);
}

void Process::feed(std::string_view bytes) { (in_ == -1 && terminal_ != -1 ? typed_ : fed_) += bytes; }

void Process::type(std::string_view keys) { typed_ += keys; }

void Process::hang_up() { close_if_open(terminal_); }

void Process::close_input() {
    if (in_ == -1 && terminal_ != -1) {
        type("\x04");
    } else {
        input_ends_ = true;
        if (fed_written_ == fed_.size()) close_if_open(in_);
    }
}

void Process::read_from(int& fd, Stream stream) {
    std::array<char, 65536> bytes;
    for (int times = 0; times < 16; ++times) {  // then the others have their turn
        const ssize_t count = read(fd, bytes.data(), bytes.size());
        if (count > 0) {
            printed(stream).text.append(bytes.data(), static_cast<size_t>(count));
        } else if (count == -1 && (errno == EAGAIN || errno == EINTR)) {
            return;
        } else {  // the end; Linux says EIO of a terminal that nobody has open any more
            if (stream != Stream::terminal) close_if_open(fd);
            return;
        }
    }
}

void Process::write_to(int& fd, std::string& waiting, size_t& written) {
    const ssize_t count = write(fd, waiting.data() + written, std::min<size_t>(waiting.size() - written, 65536));
    if (count > 0) {
        written += static_cast<size_t>(count);
    } else if (errno != EAGAIN && errno != EINTR) {  // nobody reads it any more
        written = waiting.size();
    }
    if (written == waiting.size()) {
        waiting.clear();
        written = 0;
        if (&fd == &in_ && input_ends_) close_if_open(in_);
    }
}

void Process::collect() {
    int status = 0;
    while (waitpid(pid_, &status, 0) == -1 && errno == EINTR) {
    }
    Ending ending;
    if (WIFSIGNALED(status)) ending.signal = WTERMSIG(status);
    if (WIFEXITED(status)) ending.status = WEXITSTATUS(status);
    close_if_open(end_);
    close_if_open(in_);
    // What it printed before its end is here; what a child of its own prints later is not waited for.
    const auto drain = [&](int& fd, Stream stream) {
        for (size_t before = std::string::npos; fd != -1 && before != printed(stream).text.size();) {
            before = printed(stream).text.size();
            read_from(fd, stream);
        }
    };
    drain(out_, Stream::out);
    drain(err_, Stream::err);
    drain(terminal_, Stream::terminal);
    ending_ = ending;
}

void serve_processes(Milliseconds limit, pollfd* other) {
    std::vector<pollfd> watched;
    if (other != nullptr) watched.push_back(*other);
    const auto watch = [&](int fd, int events) {
        watched.push_back({fd, static_cast<short>(events), 0});  // poll() passes over -1
    };
    for (const Process* process : processes) {
        const bool ended = process->ending_.has_value();
        const int typing = process->typed_.empty() ? 0 : POLLOUT;
        watch(process->fed_.empty() ? -1 : process->in_, POLLOUT);
        watch(ended ? -1 : process->out_, POLLIN);
        watch(ended ? -1 : process->err_, POLLIN);
        watch(ended ? -1 : process->terminal_, POLLIN | typing);
        watch(process->end_, POLLIN);
    }
    const int found = poll(watched.data(), static_cast<nfds_t>(watched.size()), static_cast<int>(limit.count()));
    if (other != nullptr) other->revents = found > 0 ? watched.front().revents : short{0};
    if (found <= 0) return;

    auto next = watched.begin() + (other != nullptr ? 1 : 0);
    for (Process* process : processes) {
        const short in = (next++)->revents, out = (next++)->revents, err = (next++)->revents;
        const short terminal = (next++)->revents, end = (next++)->revents;
        if (in != 0) process->write_to(process->in_, process->fed_, process->fed_written_);
        if (out != 0) process->read_from(process->out_, Stream::out);
        if (err != 0) process->read_from(process->err_, Stream::err);
        if ((terminal & POLLOUT) != 0) {
            process->write_to(process->terminal_, process->typed_, process->typed_written_);
        }
        if ((terminal & ~POLLOUT) != 0) process->read_from(process->terminal_, Stream::terminal);
        if (end != 0) process->collect();
    }
}

void wait_until(const std::function<bool()>& condition, const std::string& what, Milliseconds limit, pollfd* other) {
    const auto deadline = Clock::now() + limit;
    while (!condition()) {
        const auto left = std::chrono::ceil<Milliseconds>(deadline - Clock::now());
        if (left.count() <= 0) {
            std::string all = fmt::format("waited {} ms for {}", limit.count(), what);
            for (const Process* process : processes)
                all += "\n" + process->describe();
            throw Unexpected(all);
        }
        serve_processes(std::min(left, Milliseconds(20)), other);
    }
}

std::string Process::wait_for_text(Stream stream, std::string_view text, bool whole_line, Milliseconds limit) {
    Printed& from = printed(stream);
    size_t end = std::string::npos;
    const auto found = [&] {
        end = from.text.find(text, from.looked_at);
        if (end != std::string::npos) {
            end += text.size();
            if (whole_line) end = from.text.find('\n', end);
        }
        return end != std::string::npos;
    };
    const std::string what = fmt::format("\"{}\" on {}", escaped(text), name_of(stream));
    wait_until([&] { return found() || ending_; }, what, limit);
    if (!found()) throw Unexpected(fmt::format("ended without {}\n{}", what, describe()));
    std::string result = from.text.substr(from.looked_at, end - from.looked_at);
    from.looked_at = end + (whole_line ? 1 : 0);
    return result;
}

std::string Process::expect(Stream stream, std::string_view text, Milliseconds limit) {
    return wait_for_text(stream, text, false, limit);
}

std::string Process::expect_line(Stream stream, std::string_view text, Milliseconds limit) {
    const std::string lines = wait_for_text(stream, text, true, limit);
    return lines.substr(lines.rfind('\n') + 1);
}

Ending Process::wait(Milliseconds limit) {
    wait_until([&] { return ending_.has_value(); }, fmt::format("the end of {}", quoted(command_)), limit);
    return *ending_;
}

void Process::expect_exit(int status, Milliseconds limit) {
    const Ending ending = wait(limit);
    if (ending == Ending{status, 0}) return;
    throw Unexpected(fmt::format("expected exit status {}, got: {}\n{}", status, to_text(ending), describe()));
}

const std::string& Process::all(Stream stream) {
    serve_processes(Milliseconds(0));
    return printed(stream).text;
}

std::string Process::describe() const {
    std::string text = fmt::format("  $ {}  ({})\n", quoted(command_), ending_ ? to_text(*ending_) : "still runs");
    for (const Stream stream : {Stream::out, Stream::err, Stream::terminal}) {
        const std::string& all = printed(stream).text;
        if (!all.empty()) text += fmt::format("    {}:\n{}", name_of(stream), shown(all));
    }
    if (printed_[0].text.empty() && printed_[1].text.empty() && printed_[2].text.empty()) {
        text += "    (has printed nothing)\n";
    }
    return text;
}

std::string program(const std::string& name) {
    const char* build = std::getenv("TWO_TERMINALS_BUILD");
    return std::string(build != nullptr ? build : "build") + "/" + name;
}

bool takes_path(const std::string& name) {
    // These are of the Unix chapter, and serve clients of TCP.
    if (name == "unix/passing_server" || name == "unix/restart_server") return false;
    return name.substr(0, 5) == "unix/";
}

Server::Server(const std::string& name, Command arguments, Surroundings surroundings)
    : Server(name, std::move(arguments), std::move(surroundings), TempDir()) {}

Server::Server(const std::string& name, Command arguments, Surroundings surroundings, TempDir directory)
    : Process(
          [&] {
              Command command{program(name)};
              const std::string option = takes_path(name) ? "--path" : "--port";
              if (std::find(arguments.begin(), arguments.end(), option) == arguments.end()) {
                  command.insert(command.end(), {option, takes_path(name) ? directory / "socket" : "0"});
              }
              command.insert(command.end(), arguments.begin(), arguments.end());
              return command;
          }(),
          surroundings),
      directory_(std::move(directory)) {
    const bool on_terminal = surroundings.terminal == Terminal::all || surroundings.terminal == Terminal::output;
    const std::string announcement = "listening on ";
    std::string line = expect_line(on_terminal ? Stream::terminal : Stream::out, announcement);
    if (on_terminal) line.pop_back();  // a terminal ends its lines with \r\n
    address_ = line.substr(line.find(announcement) + announcement.size());
    const Ends ends = split(address_);
    host_ = ends.host;
    port_ = ends.port;
}

namespace {

const std::string server_in_url = "{server}";

bool is_url(const std::string& argument) { return argument.find(server_in_url) != std::string::npos; }

}  // namespace

Process::Command client_command(const std::string& name, const std::string& address,
                                const Process::Command& arguments) {
    const Ends ends = split(address);
    Process::Command command{program(name)};
    if (const auto url = std::find_if(arguments.begin(), arguments.end(), is_url); url != arguments.end()) {
        command.insert(command.end(), arguments.begin(), arguments.end());
        std::string& text = command[static_cast<size_t>(url - arguments.begin()) + 1];
        text.replace(text.find(server_in_url), server_in_url.size(), address);
        return command;
    }
    if (ends.port.empty()) {
        command.insert(command.end(), {"--path", ends.host});
    } else {
        command.insert(command.end(), {"--host", ends.host, "--port", ends.port});
    }
    command.insert(command.end(), arguments.begin(), arguments.end());
    return command;
}

Server start_server(const std::string& name, const Process::Command& arguments, const Surroundings& surroundings) {
    return Server(name, arguments, surroundings);
}

std::string run(const Process::Command& command, std::string_view input, int status, const Surroundings& surroundings) {
    Process process(command, surroundings);
    process.feed(input);
    process.close_input();
    process.expect_exit(status);
    return process.out();
}
