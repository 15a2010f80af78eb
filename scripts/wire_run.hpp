#pragma once
// Runs a pair, in a network of its own if this machine allows one, captures what travels there, and leaves nothing
// behind.
//
// The network (network_namespaces(7)) has a loopback and nothing else, all ports free, and nobody else's packets; in it
// we may open a packet socket without being root, since it comes with a user namespace of its own (user_namespaces(7)).

#include "common/errors.hpp"
#include "scripts/wire_events.hpp"
#include "scripts/wire_witness.hpp"

#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <sstream>

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#include <sys/prctl.h>
#endif

namespace diagram {

using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;
using Milliseconds = std::chrono::milliseconds;

/// What is to be run, and how.
struct Plan {
    std::string root;   ///< of the repository: where the programs run
    std::string build;  ///< where they are built, "build" of it for instance
    Words server = {}, client = {};
    std::string host = {};   ///< of both; "": as they have it
    bool nobody = false;     ///< no server is started
    std::string input = {};  ///< of the client; fed a line at a time, each when all is quiet
    long loss = 0, delay = 0, chunk = 0;
    bool may_have_network = true;

    /// What they speak: "tcp", "udp", "unix" or "websocket". A server of another chapter speaks it, too.
    std::string chapter() const { return client.front().substr(0, client.front().find('/')); }
};

/// What came of it.
struct Outcome {
    std::string server_log, client_log, handed, fates;  ///< the contents
    std::string capture;                                ///< a file's name
    bool captured = false;
    Ports ports;
    long lost_every = 0;       ///< every Nth of TCP's packets was lost, counted from 1; 0: not known which
    std::int64_t stopped = 0;  ///< from then on the server is being ended by us: nanoseconds since 1970
    std::vector<std::string> notes;
};

/// SIGINT, SIGTERM or SIGHUP came.
struct Interrupted {
    int signal;
};

inline volatile std::sig_atomic_t interrupted_by = 0;

/// Looks again and again until the condition holds, less often after a while. False if the time is over.
inline bool wait_until(const std::function<bool()>& condition, Milliseconds limit) {
    const auto began = Clock::now();
    for (long looks = 0;; ++looks) {
        if (interrupted_by != 0) throw Interrupted{interrupted_by};
        if (condition()) return true;
        if (Clock::now() - began >= limit) return false;
        const timespec pause{.tv_sec = 0, .tv_nsec = looks < 100 ? 1'000'000 : 5'000'000};
        nanosleep(&pause, nullptr);
    }
}

inline std::string contents_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
}

/// A folder that is gone with everything in it when this ends.
class Folder {
public:
    Folder() {
        const char* where = std::getenv("TMPDIR");
        path_ = fmt::format("{}/two-terminals.XXXXXX", where != nullptr && *where != '\0' ? where : "/tmp");
        if (mkdtemp(path_.data()) == nullptr)
            throw std::runtime_error(fmt::format("{}: {}", path_, describe_error(errno)));
    }
    ~Folder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    std::string operator/(const std::string& name) const { return path_ + "/" + name; }

private:
    std::string path_;
};

/// A program with its output in files, in a process group of its own. Killed, if it still runs, when this ends.
class Child {
public:
    Child() = default;
    ~Child() { kill_now(); }
    Child(const Child&) = delete;
    Child& operator=(const Child&) = delete;

    /// name: of the files that take standard output and error, NAME.out and NAME.err. takes_input: or it has none.
    /// witness: the path of the one that is to see what it sends.
    void start(const Words& words, const std::string& directory, const Folder& folder, const std::string& name,
               bool takes_input = false, const std::string& witness = "") {
        std::vector<char*> arguments;
        for (const std::string& word : words)
            arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        out_ = folder / (name + ".out");
        err_ = folder / (name + ".err");
        const int out = file(out_), err = file(err_);
        int input[2] = {-1, -1};
        if (takes_input && pipe(input) == -1) throw std::runtime_error("pipe: " + describe_error(errno));
        const int in = takes_input ? input[0] : open("/dev/null", O_RDONLY | O_CLOEXEC);
        if (takes_input) fcntl(input[1], F_SETFD, FD_CLOEXEC);
        const pid_t parent = getpid();
        pid_ = fork();
        if (pid_ == 0) {
            setpgid(0, 0);
#ifdef __linux__
            prctl(PR_SET_PDEATHSIG, SIGKILL);  // whatever happens to us
            if (getppid() != parent) _exit(1);
#endif
            for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGPIPE})
                std::signal(number, SIG_DFL);
            dup2(in, STDIN_FILENO);
            dup2(out, STDOUT_FILENO);
            dup2(err, STDERR_FILENO);
            for (const int fd : {in, out, err})
                if (fd > STDERR_FILENO) close(fd);
            if (!witness.empty()) be_witnessed(witness.c_str());
            if (chdir(directory.c_str()) == 0) execv(arguments[0], arguments.data());
            const std::string complaint = fmt::format("{}: {}\n", words.front(), describe_error(errno));
            [[maybe_unused]] const ssize_t ignored = write(STDERR_FILENO, complaint.data(), complaint.size());
            _exit(127);
        }
        [[maybe_unused]] const pid_t unused = parent;
        for (const int fd : {in, out, err})
            close(fd);
        input_ = input[1];
        if (pid_ == -1) throw std::runtime_error("fork: " + describe_error(errno));
        setpgid(pid_, pid_);
    }

    pid_t pid() const { return pid_; }
    bool was_started() const { return pid_ != -1 || ended_; }

    bool has_ended() {
        if (pid_ == -1) return true;
        siginfo_t info{};
        if (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == -1 || info.si_pid != pid_)
            return false;
        kill_now();
        return true;
    }

    /// Asks it to end, and does not ask for ever. False if it had to be killed.
    bool stop(int number, Milliseconds limit) {
        if (has_ended()) return true;
        kill(pid_, number);
        if (wait_until([&] { return has_ended(); }, limit)) return true;
        kill_now();
        return false;
    }

    /// As much as there is room for. False when nobody reads any more.
    bool feed(std::string_view bytes) {
        while (!bytes.empty()) {
            if (has_ended()) return false;
            fcntl(input_, F_SETFL, O_NONBLOCK);
            const ssize_t written = write(input_, bytes.data(), bytes.size());
            if (written > 0) bytes.remove_prefix(static_cast<std::size_t>(written));
            if (written == -1 && errno != EAGAIN && errno != EINTR) return false;
            if (written == -1) wait_until([] { return false; }, Milliseconds(1));
        }
        return true;
    }

    void end_input() {
        if (input_ != -1) close(input_);
        input_ = -1;
    }

    /// "" of status 0.
    std::string ending() const {
        if (WIFSIGNALED(status_)) return fmt::format("was ended by signal {}", WTERMSIG(status_));
        return WEXITSTATUS(status_) == 0 ? "" : fmt::format("ended with status {}", WEXITSTATUS(status_));
    }

    std::string out() const { return contents_of(out_); }
    std::string err() const { return contents_of(err_); }

private:
    static int file(const std::string& path) {
        const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
        if (fd == -1) throw std::runtime_error(fmt::format("{}: {}", path, describe_error(errno)));
        return fd;
    }

    /// With the children that it has left behind; before it is waited for, so that its number is still its own.
    void kill_now() {
        end_input();
        if (pid_ == -1) return;
        kill(-pid_, SIGKILL);
        kill(pid_, SIGKILL);
        while (waitpid(pid_, &status_, 0) == -1 && errno == EINTR) {
        }
        pid_ = -1;
        ended_ = true;
    }

    pid_t pid_ = -1;
    int input_ = -1, status_ = 0;
    bool ended_ = false;
    std::string out_, err_;
};

// ---- The network

#ifdef __linux__
/// Moves this process into a network of its own, with its loopback up. "" or what forbids it; the process is then in no
/// state to go on.
inline std::string enter_own_network() {
    const uid_t user = getuid();
    const gid_t group = getgid();
    const auto write_to = [](const char* path, const std::string& text) {
        const int fd = open(path, O_WRONLY | O_CLOEXEC);
        const bool done = fd != -1 && write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
        if (fd != -1) close(fd);
        return done;
    };
    if (geteuid() != 0 || unshare(CLONE_NEWNET) == -1) {
        if (unshare(CLONE_NEWUSER | CLONE_NEWNET) == -1) return "unshare: " + describe_error(errno);
        write_to("/proc/self/setgroups", "deny");
        if (!write_to("/proc/self/uid_map", fmt::format("0 {} 1", user)) ||
            !write_to("/proc/self/gid_map", fmt::format("0 {} 1", group)))
            return "uid_map: " + describe_error(errno);
    }
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    ifreq request{};
    std::memcpy(request.ifr_name, "lo", sizeof "lo");
    const bool up =
        ioctl(fd, SIOCGIFFLAGS, &request) == 0 &&
        (request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP), ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    const int error = errno;
    close(fd);
    if (!up) return "loopback: " + describe_error(error);
    const int packets = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
    if (packets == -1) return "packet socket: " + describe_error(errno);
    close(packets);
    return "";
}

/// The same, but if it is forbidden this process stays where it is: a child tries it first.
inline std::string try_own_network() {
    int told[2];
    if (pipe(told) == -1) return "pipe: " + describe_error(errno);
    const pid_t child = fork();
    if (child == 0) {
        const std::string trouble = enter_own_network();
        [[maybe_unused]] const ssize_t ignored = write(told[1], trouble.data(), trouble.size());
        _exit(trouble.empty() ? 0 : 1);
    }
    close(told[1]);
    char text[512];
    const ssize_t length = read(told[0], text, sizeof text);
    close(told[0]);
    int status = 1;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
    }
    if (length > 0) return {text, static_cast<std::size_t>(length)};
    if (status != 0) return "no namespaces";
    return enter_own_network();
}
#else
inline std::string try_own_network() { return "only Linux has namespaces"; }
#endif

// ---- When is there nothing more to come?

/// Follows a log as it is written: is the process that began in the middle of a call?
class LogWatch {
public:
    explicit LogWatch(std::string path) : path_(std::move(path)) {}

    bool is_in_call() {
        look();
        return in_call_;
    }
    std::size_t size() {
        look();
        return at_;
    }

private:
    void look() {
        std::ifstream file(path_, std::ios::binary);
        file.seekg(static_cast<std::streamoff>(at_));
        std::ostringstream added;
        added << file.rdbuf();
        at_ += added.str().size();
        rest_ += added.str();
        for (std::size_t end; (end = rest_.find('\n')) != std::string::npos; rest_.erase(0, end + 1)) {
            std::istringstream line(rest_.substr(0, end));
            std::string time, process, thread, kind;
            line >> time >> process >> thread >> kind;
            if (first_.empty()) first_ = process;
            if (process == first_ && thread == "0") in_call_ = kind == "call";
        }
    }

    std::string path_, rest_, first_;
    std::size_t at_ = 0;
    bool in_call_ = false;
};

#ifdef __linux__
/// Does it sleep (proc(5))? It is woken in the moment in which there is something for it.
inline bool is_asleep(pid_t pid) {
    const std::string stat = contents_of(fmt::format("/proc/{}/stat", pid));
    const std::size_t end = stat.rfind(") ");
    return end != std::string::npos && stat.compare(end + 2, 1, "S") == 0;
}

/// Has the kernel something to deliver, or a handshake or goodbye going on, in these tables? With no_connections, also:
/// is there a connection? port: only of this one; 0: all.
inline bool kernel_is_busy(unsigned port, bool no_connections) {
    constexpr unsigned established = 1, fin_wait_2 = 5, time_wait = 6, close_wait = 8, listening = 10;
    for (const char* table : {"tcp", "tcp6", "udp", "udp6"}) {
        std::istringstream lines(contents_of(fmt::format("/proc/self/net/{}", table)));
        std::string line;
        std::getline(lines, line);
        while (std::getline(lines, line)) {
            std::istringstream words(line);
            std::string number, local, peer, state, queues;
            words >> number >> local >> peer >> state >> queues;
            const auto hex = [](const std::string& text) { return std::strtoul(text.c_str(), nullptr, 16); };
            const auto port_of = [&](const std::string& end) { return hex(end.substr(end.rfind(':') + 1)); };
            if (port != 0 && port_of(local) != port && port_of(peer) != port) continue;
            const auto code = hex(state);
            if (code == time_wait) continue;
            const bool waiting = queues != "00000000:00000000";
            if (table[0] == 'u' || code == listening) {
                if (waiting) return true;
                continue;
            }
            const bool calm = code == established || code == fin_wait_2 || code == close_wait;
            if (waiting || !calm || no_connections) return true;
        }
    }
    return false;
}
#endif

// ---- The run

class Runner {
public:
    explicit Runner(const Plan& plan)
        : plan_(plan), server_log_(folder_ / "server.log"), client_log_(folder_ / "client.log") {}

    /// keep_capture: a file for the packets; "": nowhere. Throws std::runtime_error, Interrupted.
    Outcome run(const std::string& keep_capture) {
        const bool has_wire = plan_.chapter() != "unix";
        if (has_wire && plan_.may_have_network) {
            const std::string trouble = try_own_network();
            own_network_ = trouble.empty();
            if (!own_network_)
                outcome_.notes.push_back(fmt::format("no network of our own here, and so no segments: {}", trouble));
        } else if (has_wire) {
            outcome_.notes.emplace_back("captured nothing, as --calls wants it");
        }
        if (has_wire && !own_network_) outcome_.notes.emplace_back("The arrows are what the calls sent.");
        if (own_network_) start_sniffer();
        if (!own_network_) witness_ = std::make_unique<Witness>(door(), folder_ / "handed");
        make_worse();
        start_server();
        if (wants_trouble_) start_trouble();
        run_client();
        finish();
        if (own_network_ && !keep_capture.empty()) {
            std::error_code error;
            std::filesystem::copy_file(outcome_.capture, keep_capture,
                                       std::filesystem::copy_options::overwrite_existing, error);
            if (error) throw std::runtime_error(fmt::format("--pcap {}: {}", keep_capture, error.message()));
        }
        return std::move(outcome_);
    }

private:
    static constexpr Milliseconds at_most_to_start{10'000}, at_most_of_client{60'000}, at_most_to_end{10'000},
        at_most_to_settle{10'000};
    static constexpr const char* port = "7000";
    static constexpr const char* front_port = "7001";

    std::string program(const std::string& name) const { return plan_.build + "/" + name; }
    std::string door() const { return folder_ / "witness"; }

    void start_sniffer() {
        outcome_.capture = folder_ / "capture.pcap";
        sniffer_.start({program("tcp/sniffer"), "--pcap", outcome_.capture}, plan_.root, folder_, "sniffer");
        wait_until([&] { return sniffer_.err().find("capturing on") != std::string::npos || sniffer_.has_ended(); },
                   at_most_to_start);
        if (sniffer_.has_ended() || sniffer_.err().find("capturing on") == std::string::npos)
            throw std::runtime_error("tcp/sniffer does not capture: " + escaped(sniffer_.err()));
        outcome_.captured = true;
    }

    /// Runs a tool of the system; its input is a text. False if it is not there or fails.
    static bool tool(const std::string& command, const std::string& input = "") {
        FILE* file = popen((command + " >/dev/null 2>&1").c_str(), "w");  // NOLINT(cert-env33-c): commands of ours
        if (file == nullptr) return false;
        std::fputs(input.c_str(), file);
        return pclose(file) == 0;
    }

    /// --loss, --delay and --chunk: by the network itself where it can, else by trouble in the middle.
    void make_worse() {
        const bool tcp = plan_.chapter() == "tcp" || plan_.chapter() == "websocket";
        long loss = plan_.loss, delay = plan_.delay;
        if (loss > 0 && tcp) {
            // tcp/trouble can't lose a segment: what it passes on are streams. The input hook can, behind the sniffer.
            // Every Nth is lost: the same ones in each run, and never one twice in a row.
            const long every = loss > 50 ? 0 : 100 / loss;
            const std::string which = every == 0 ? fmt::format("random mod 100 < {}", loss)
                                                 : fmt::format("inc mod {} == {}", every, every - 1);
            const std::string rules = fmt::format(
                "table inet wire {{ chain input {{ type filter hook input priority 0; meta l4proto tcp numgen {} drop; "
                "}}; }}\n",
                which);
            if (own_network_ && tool("nft -f -", rules)) {
                outcome_.lost_every = every;
            } else if (!own_network_ || !tool(netem(loss, std::exchange(delay, 0)))) {
                throw std::runtime_error(
                    "--loss: only the network can lose a segment; that takes a network of our own, and nft or a kernel "
                    "with netem (tc-netem(8))");
            }
        }
        if (delay > 0 && own_network_ && tool(netem(0, delay))) delay = 0;
        wants_trouble_ = (loss > 0 && !tcp) || delay > 0 || plan_.chunk > 0;
        trouble_delay_ = delay;
    }

    static std::string netem(long loss, long delay) {
        return fmt::format("tc qdisc add dev lo root netem delay {}ms loss {}%", delay, loss);
    }

    /// "127.0.0.1:40000" or a path, when it listens.
    std::string wait_for_address(Child& child, const std::string& name) {
        std::string address;
        wait_until(
            [&] {
                const std::string out = child.out();
                const std::size_t at = out.find("listening on ");
                const std::size_t end = at == std::string::npos ? at : out.find('\n', at);
                if (end != std::string::npos) address = out.substr(at + 13, end - at - 13);
                return !address.empty() || child.has_ended();
            },
            at_most_to_start);
        if (address.empty())
            throw std::runtime_error(fmt::format("{} does not listen: {}", name, escaped(child.err())));
        return address;
    }

    void add_host(Words& words) const {
        if (!plan_.host.empty()) words.insert(words.end(), {"--host", plan_.host});
    }

    Words with_folder(const Words& words) const {
        Words filled = words;
        for (std::string& word : filled)
            if (const std::size_t at = word.find("{folder}"); at != std::string::npos)
                word.replace(at, 8, folder_ / "files");
        filled.front() = program(filled.front());
        return filled;
    }

    void start_server() {
        std::filesystem::create_directory(folder_ / "files");
        if (plan_.nobody) {
            address_ = (plan_.host.find(':') == std::string::npos ? plan_.host : "[" + plan_.host + "]");
            if (address_.empty()) address_ = "127.0.0.1";
            address_ += std::string(":") + port;
        } else {
            Words words = with_folder(plan_.server);
            if (plan_.chapter() == "unix") {
                words.insert(words.end(), {"--path", folder_ / "socket"});
            } else {
                words.insert(words.end(), {"--port", own_network_ ? port : "0"});
                add_host(words);
            }
            words.insert(words.end(), {"--trace-log", folder_ / "server.log"});
            server_.start(words, plan_.root, folder_, "server", false, witness_ ? door() : "");
            address_ = wait_for_address(server_, plan_.server.front());
            wait_until([&] { return is_idle(server_, server_log_) || server_.has_ended(); }, at_most_to_settle);
        }
        if (plan_.chapter() != "unix") outcome_.ports.server = outcome_.ports.front = port_in(address_);
    }

    static unsigned port_in(const std::string& address) {
        return static_cast<unsigned>(std::strtoul(address.c_str() + address.rfind(':') + 1, nullptr, 10));
    }

    void start_trouble() {
        const std::string name = plan_.chapter() == "udp" ? "udp/trouble" : "tcp/trouble";
        if (plan_.chapter() == "unix") throw UsageError("there is no trouble between Unix sockets");
        Words words{program(name), "--to", address_, "--port", own_network_ ? front_port : "0"};
        add_host(words);
        const std::pair<const char*, long> options[] = {
            {"--drop", name == "udp/trouble" ? plan_.loss : 0}, {"--delay", trouble_delay_}, {"--chunk", plan_.chunk}};
        for (const auto& [option, value] : options)
            if (value > 0) words.insert(words.end(), {option, fmt::format("{}", value)});
        trouble_.start(words, plan_.root, folder_, "trouble");
        address_ = wait_for_address(trouble_, name);
        outcome_.ports.front = port_in(address_);
    }

    /// Does it wait for others? A server in a call that it has announced; a client perhaps for its input, which not all
    /// of them announce.
    bool is_idle(Child& child, LogWatch& log) {
        if (!child.was_started() || child.has_ended()) return true;
#ifdef __linux__
        return (&child == &client_ ? log.size() > 0 : log.is_in_call()) && is_asleep(child.pid());
#else
        return &child == &client_ || log.is_in_call();
#endif
    }

    /// Nothing moves, and has not for a little while.
    bool settles(bool no_connections, Milliseconds limit) {
        const auto worth = Milliseconds(trouble_delay_ > 0 || plan_.delay > 0 ? 3 * plan_.delay + 50
                                        : wants_trouble_                      ? 50
                                                                              : 3);
        auto since = Clock::now();
        std::size_t seen = 0;
        const auto all_told = [&] {
            const std::size_t logged = server_log_.size() + client_log_.size();
            return std::exchange(seen, logged) == logged;
        };
        return wait_until(
            [&] {
                bool calm = all_told() && is_idle(server_, server_log_) && is_idle(client_, client_log_) &&
                            (!witness_ || witness_->is_quiet());
#ifdef __linux__
                if (trouble_.was_started()) calm = calm && is_asleep(trouble_.pid());
                const unsigned of = own_network_ ? 0 : outcome_.ports.server;
                if (plan_.chapter() != "unix") calm = calm && !kernel_is_busy(of, no_connections);
                const auto needed = worth;
#else
                const auto needed = std::max(worth, Milliseconds(no_connections ? 200 : 100));
#endif
                calm = calm && all_told();  // what was looked at one after the other held at the same time
                if (!calm) since = Clock::now();
                return Clock::now() - since >= needed;
            },
            limit);
    }

    void run_client() {
        Words words = with_folder(plan_.client);
        bool has_address = false;
        for (std::string& word : words) {
            const std::size_t at = word.find("{server}");
            if (at == std::string::npos) continue;
            word.replace(at, 8, address_);
            has_address = true;
        }
        if (plan_.chapter() == "unix") {
            words.insert(words.end(), {"--path", folder_ / "socket"});
        } else if (!has_address) {
            words.insert(words.end(), {"--port", fmt::format("{}", outcome_.ports.front)});
            add_host(words);
        }
        words.insert(words.end(), {"--trace-log", folder_ / "client.log"});
        client_.start(words, plan_.root, folder_, "client", true, witness_ ? door() : "");
        // A line when the one before has been answered: as somebody types who waits.
        const auto patience = at_most_to_settle + Milliseconds(10 * plan_.delay);
        std::string_view input = plan_.input;
        bool reads = true;
        for (int lines = 0; reads && !input.empty(); ++lines) {
            if (lines < 100) settles(false, patience);
            const std::size_t end = lines < 100 ? std::min(input.find('\n'), input.size() - 1) + 1 : input.size();
            reads = client_.feed(input.substr(0, end));
            input.remove_prefix(end);
        }
        if (reads) settles(false, patience);
        client_.end_input();
        if (!wait_until([&] { return client_.has_ended(); }, at_most_of_client))
            outcome_.notes.push_back(
                fmt::format("the client did not end within {} s", at_most_of_client.count() / 1000));
    }

    void finish() {
        settles(true, plan_.loss > 0 ? Milliseconds(30'000) : at_most_to_end);
        outcome_.stopped = wall_clock();
        if (sniffer_.was_started() && !sniffer_.stop(SIGINT, at_most_to_end))
            throw std::runtime_error("tcp/sniffer did not end");
        const bool client_ended = client_.has_ended();
        client_.stop(SIGTERM, at_most_to_end);
        if (server_.has_ended() && server_.was_started()) {
            outcome_.notes.push_back("the server had ended before: " + escaped(server_.err()));
        } else if (!server_.stop(SIGTERM, at_most_to_end)) {
            outcome_.notes.emplace_back("the server did not end on SIGTERM");
        }
        trouble_.stop(SIGTERM, at_most_to_end);
        if (trouble_.was_started()) outcome_.fates = trouble_.out();
        tell_errors("server", server_, false);
        tell_errors("client", client_, client_ended);
        if (sniffer_.was_started() && sniffer_.err().find(" 0 dropped by the kernel") == std::string::npos)
            outcome_.notes.push_back("not all packets were captured: " + escaped(sniffer_.err()));
        outcome_.server_log = contents_of(folder_ / "server.log");
        outcome_.client_log = contents_of(folder_ / "client.log");
        outcome_.handed = contents_of(folder_ / "handed");
    }

    void tell_errors(const std::string& side, const Child& child, bool with_status) {
        if (!child.was_started()) return;
        std::istringstream lines(child.err());
        std::string line;
        for (int count = 0; count < 5 && std::getline(lines, line); ++count)
            outcome_.notes.push_back(fmt::format("{}: {}", side, escaped(line)));
        if (with_status && !child.ending().empty())
            outcome_.notes.push_back(fmt::format("the {} {}", side, child.ending()));
    }

    const Plan& plan_;
    Folder folder_;
    Outcome outcome_;
    LogWatch server_log_, client_log_;
    std::unique_ptr<Witness> witness_;           // of those that follow
    Child sniffer_, server_, trouble_, client_;  // ended in the other order
    bool own_network_ = false, wants_trouble_ = false;
    long trouble_delay_ = 0;
    std::string address_;
};

}  // namespace diagram
