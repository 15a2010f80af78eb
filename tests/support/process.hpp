#pragma once
// Real programs, run as their readers run them: with pipes or in a terminal of their own, fed, read, signalled and
// waited for. Nothing here sleeps; whatever waits has a deadline, and says what the program has printed when it passes.

#include "tests/support/files.hpp"

#include <chrono>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <poll.h>
#include <sys/resource.h>
#include <sys/types.h>

using Milliseconds = std::chrono::milliseconds;

/// How long to wait for what ought to happen at once: long enough for a busy machine and sanitizers.
constexpr Milliseconds patience{30'000};

/// Whether the programs and tests are built with a sanitizer, under which all is slower.
bool is_sanitized();
/// By ThreadSanitizer. It adds a thread of its own to a program's second one, and (that of GCC 12) holds a signal's
/// handler back as long as accept() waits and is restarted.
bool is_thread_sanitized();

/// What did not happen in time, or not as it should. The text shows the programs' command lines and what they printed.
class Unexpected : public std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// Where a process prints. The terminal is what a reader would see there, the echo of typed keys included.
enum class Stream { out, err, terminal };

/// What is the process's terminal. It leads a session of its own, so that only this one can be its /dev/tty.
enum class Terminal {
    none,    ///< it has none, and /dev/tty can't be opened
    keys,    ///< /dev/tty only: standard input, output and error are pipes
    output,  ///< standard output is the terminal, too
    all,     ///< standard input, output and error are the terminal, as they are for somebody who types
};

/// What a process is started with, besides its command.
struct Surroundings {
    /// "NAME=value". The others are ours, but for those by which our own user chose a language, colours and folders.
    std::vector<std::string> environment = {};
    std::string directory = {};  ///< to run in; empty: ours, which is the repository's root
    std::optional<mode_t> umask = {};
    std::vector<std::pair<int, rlim_t>> limits = {};  ///< {RLIMIT_NOFILE, 16}
    Terminal terminal = Terminal::none;
    std::string input_file = {};  ///< what standard input is, in place of a pipe
};

/// How a process ended: by exit() with a status, or by a signal.
struct Ending {
    int status = -1;
    int signal = 0;
    bool operator==(const Ending&) const = default;
};

/// "exit status 1" or "killed by signal 9".
std::string to_text(const Ending& ending);

/// A running program. What it prints is read, and what it is fed is written, whenever this thread waits for any of its
/// processes: none of them stands still because nobody looks. To be used by the thread that started it.
class Process {
public:
    using Command = std::vector<std::string>;

    /// Starts a program, found in PATH if its name has no slash. Throws Unexpected if it can't be started.
    explicit Process(Command command, Surroundings surroundings = {});

    /// Runs a function in a forked child, for tests of what prints, ends the process or changes all of it. The child
    /// has none of our descriptors but 0, 1 and 2. It ends with status 0 when the function returns, and 99 when it
    /// throws.
    explicit Process(const std::function<void()>& body, Surroundings surroundings = {});

    /// Kills it, if it still runs, and the children that it has in its process group.
    ~Process();

    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;

    pid_t pid() const { return pid_; }
    bool is_running();
    void signal(int number) const;

    /// Bytes for its standard input, typed if that is the terminal.
    void feed(std::string_view bytes);
    /// Ends its standard input once it was fed everything: by closing the pipe, or by typing Ctrl-D.
    void close_input();
    /// Keys for its terminal.
    void type(std::string_view keys);
    /// Takes its terminal away, as when a reader closes the window.
    void hang_up();

    /// Waits until it prints this text, and returns everything up to its end that was not returned before.
    /// Throws Unexpected when the time is over, or when the process ends without having printed it.
    std::string expect(Stream stream, std::string_view text, Milliseconds limit = patience);

    /// Waits for a whole line that has this text in it; returns that line, without its newline.
    std::string expect_line(Stream stream, std::string_view text, Milliseconds limit = patience);

    /// Waits until the process ends. Throws Unexpected when the time is over.
    Ending wait(Milliseconds limit = patience);

    /// Waits until the process ends, and throws Unexpected if it is not with this exit status.
    void expect_exit(int status, Milliseconds limit = patience);

    /// All that it has printed so far.
    const std::string& all(Stream stream);
    const std::string& out() { return all(Stream::out); }
    const std::string& err() { return all(Stream::err); }

    /// Our end of its terminal: tcgetattr(3) of it tells the terminal's settings.
    int terminal() const { return terminal_; }

    /// Its command line and what it has printed, for a message.
    std::string describe() const;

private:
    struct Printed {
        std::string text;
        size_t looked_at = 0;  ///< up to here expect() has returned it
    };

    void start(const std::function<void()>& body, const Surroundings& surroundings);
    void release();
    Printed& printed(Stream stream) { return printed_[static_cast<size_t>(stream)]; }
    const Printed& printed(Stream stream) const { return printed_[static_cast<size_t>(stream)]; }
    std::string wait_for_text(Stream stream, std::string_view text, bool whole_line, Milliseconds limit);
    void read_from(int& fd, Stream stream);
    void write_to(int& fd, std::string& waiting, size_t& written);
    void collect();

    friend void serve_processes(Milliseconds, pollfd*);
    friend void wait_until(const std::function<bool()>&, const std::string&, Milliseconds, pollfd*);

    Command command_;
    pid_t pid_ = -1;
    int in_ = -1, out_ = -1, err_ = -1, terminal_ = -1;  ///< our ends; -1: none, or closed
    int end_ = -1;                                       ///< readable once the process has ended
    bool input_ends_ = false;
    std::string fed_, typed_;
    size_t fed_written_ = 0, typed_written_ = 0;
    Printed printed_[3];
    std::optional<Ending> ending_;
};

/// Waits until one of this thread's processes prints, takes input or ends, or until the descriptor, if one is given, is
/// ready for its events; at most so long. Reads and writes what there is.
void serve_processes(Milliseconds limit, pollfd* other = nullptr);

/// Serves this thread's processes, and waits for the other descriptor if one is given, until the condition holds. It is
/// looked at whenever something happens, and every 20 ms, since a file or a terminal's settings change in silence.
/// Throws Unexpected, which says what was waited for and what the processes have printed, when the time is over.
void wait_until(const std::function<bool()>& condition, const std::string& what, Milliseconds limit = patience,
                pollfd* other = nullptr);

/// "build/tcp/echo_server" of "tcp/echo_server", in the build directory that is tested.
std::string program(const std::string& name);

/// Does it take --path, rather than --host and --port?
bool takes_path(const std::string& name);

/// The command line of a client, build/NAME, for a server that said "listening on ADDRESS".
/// An argument "http://{server}/path" is given the address, and then there is no --host and --port.
Process::Command client_command(const std::string& name, const std::string& address,
                                const Process::Command& arguments = {});

/// A server that can be connected to.
class Server : public Process {
public:
    Server(const std::string& name, Command arguments, Surroundings surroundings);

    const std::string& address() const { return address_; }  ///< "127.0.0.1:40000", or a path
    const std::string& host() const { return host_; }
    const std::string& port() const { return port_; }
    const std::string& path() const { return host_; }

    /// The command line of a client of this server: build/NAME with --host and --port, or --path, and these arguments.
    Command client(const std::string& name, const Command& arguments = {}) const {
        return client_command(name, address_, arguments);
    }

private:
    Server(const std::string& name, Command arguments, Surroundings surroundings, TempDir directory);

    TempDir directory_;
    std::string address_, host_, port_;
};

/// Starts build/NAME with these arguments, and --port 0 or a --path in a directory of its own unless they say where it
/// is to listen; waits until it listens. Throws Unexpected.
Server start_server(const std::string& name, const Process::Command& arguments = {},
                    const Surroundings& surroundings = {});

/// Starts build/NAME, gives it an input, and waits for its end with this status. Returns what it printed on standard
/// output; everything it said is in the Unexpected that is thrown if it ends otherwise.
std::string run(const Process::Command& command, std::string_view input = {}, int status = 0,
                const Surroundings& surroundings = {});
