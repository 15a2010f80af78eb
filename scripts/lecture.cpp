// A pair in tmux, stepped by one key, with the kernel's view of its sockets below. Run by scripts/lecture, which see.
//
// It is two processes. The one that you start makes the tmux server, attaches to it, and when that has ended sees to it
// that nothing is left. The other one is in the pane below (--panel): it starts the pair, takes the keys, and shows
// what ss(8) says.

#include "common/options.hpp"
#include "scripts/lecture_state.hpp"
#include "scripts/pair.hpp"
#include "scripts/wire_text.hpp"
#include "scripts/wire_weave.hpp"

#include <cstdio>
#include <thread>

#include <poll.h>
#include <termios.h>

namespace {

using namespace diagram;
using namespace lecture;

const char* say(const char* english, const char* korean) { return narrator::speaks_korean() ? korean : english; }

/// A process's number; 0 of what is none, which nobody signals.
pid_t number_of(const std::string& text) { return static_cast<pid_t>(std::strtol(text.c_str(), nullptr, 10)); }

/// One that has ended and was not waited for yet is none that lives.
bool lives(pid_t pid) {
    if (pid <= 0 || kill(pid, 0) == -1) return false;
#ifdef __linux__
    const std::string stat = contents_of(fmt::format("/proc/{}/stat", pid));
    const std::size_t end = stat.rfind(") ");
    return end != std::string::npos && stat.find_first_of("ZX", end + 2) != end + 2;
#else
    return true;
#endif
}

std::vector<char*> pointers(const Words& words) {
    std::vector<char*> all;
    for (const std::string& word : words)
        all.push_back(const_cast<char*>(word.c_str()));
    all.push_back(nullptr);
    return all;
}

/// Runs a program of the system, and returns what it prints. What it complains of is nobody's business.
std::string output_of(const Words& words) {
    int out[2];
    if (pipe(out) == -1) throw std::runtime_error("pipe: " + describe_error(errno));
    const std::vector<char*> arguments = pointers(words);
    const pid_t child = fork();
    if (child == 0) {
        const int null = open("/dev/null", O_RDWR);
        dup2(null, STDIN_FILENO);
        dup2(out[1], STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
        for (const int fd : {out[0], out[1], null})
            if (fd > STDERR_FILENO) close(fd);
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    close(out[1]);
    std::string text;
    char piece[4096];
    for (ssize_t length; (length = read(out[0], piece, sizeof piece)) != 0;) {
        if (length == -1 && errno != EINTR) break;
        if (length > 0) text.append(piece, static_cast<std::size_t>(length));
    }
    close(out[0]);
    while (waitpid(child, nullptr, 0) == -1 && errno == EINTR) {
    }
    return text;
}

/// A tmux server of our own, by its socket.
class Tmux {
public:
    explicit Tmux(std::string socket) : socket_(std::move(socket)) {}

    Words command(const Words& words) const {
        Words all{"tmux", "-S", socket_};
        all.insert(all.end(), words.begin(), words.end());
        return all;
    }

    /// Without the newline at its end.
    std::string operator()(const Words& words) const {
        std::string text = output_of(command(words));
        while (text.ends_with('\n'))
            text.pop_back();
        return text;
    }

private:
    std::string socket_;
};

bool is_in_path(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');)
        if (access(fmt::format("{}/{}", folder, name).c_str(), X_OK) == 0) return true;
    return false;
}

/// A program's words with {server} and {folder} filled in, and --port or --path where there is no {server}.
Words filled(Words words, const Plan& plan, const std::string& server, const std::string& path, const std::string& port,
             const std::string& folder) {
    bool has_server = false;
    for (std::string& word : words) {
        for (const auto& [name, value] : {std::pair{"{server}", server}, std::pair{"{folder}", folder}}) {
            const std::size_t at = word.find(name);
            if (at == std::string::npos) continue;
            word.replace(at, std::string_view(name).size(), value);
            has_server = has_server || std::string_view(name) == "{server}";
        }
    }
    if (plan.chapter() == "unix") {
        if (!path.empty()) words.insert(words.end(), {"--path", path});
    } else if (!has_server && !port.empty()) {
        words.insert(words.end(), {"--port", port});
    }
    return words;
}

std::string joined(const Words& words) {
    std::string text;
    for (const std::string& word : words)
        text += (text.empty() ? "" : " ") + word;
    return text;
}

/// A port that nobody has at this moment.
std::string free_port() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    auto* generic = reinterpret_cast<sockaddr*>(&address);
    const bool done = bind(fd, generic, length) == 0 && getsockname(fd, generic, &length) == 0;
    const int error = errno;
    close(fd);
    if (!done) throw std::runtime_error("a free port: " + describe_error(error));
    return std::to_string(ntohs(address.sin_port));
}

// ---- The pane below

/// What the two processes share: the second one finds it in its arguments.
struct Lecture {
    std::string folder, pair, port;
    pid_t owner = 0;
    bool gdb = false;
    bool wire = false;      ///< is there a diagram?
    bool captured = false;  ///< of what tcp/sniffer captures, or else of the calls alone?
};

/// What it has written so far.
Outcome recorded(const Lecture& lecture) {
    Outcome outcome;
    outcome.server_log = contents_of(lecture.folder + "/server.log");
    outcome.client_log = contents_of(lecture.folder + "/client.log");
    outcome.handed = contents_of(lecture.folder + "/handed");
    outcome.capture = lecture.folder + "/capture.pcap";
    outcome.captured = lecture.captured;
    outcome.ports = {default_port, default_port};
    return outcome;
}

class Panel {
public:
    Panel(const Lecture& lecture, Plan plan)
        : lecture_(lecture), plan_(std::move(plan)), tmux_(lecture.folder + "/tmux") {
        server_.log = lecture.folder + "/server.log";
        client_.log = lecture.folder + "/client.log";
    }

    void run() {
        make_panes();
        if (lecture_.wire && !lecture_.captured)
            witness_ = std::make_unique<Witness>(lecture_.folder + "/witness", lecture_.folder + "/handed");
        start_server();
        if (lecture_.gdb) start_client();
        termios normal{};
        tcgetattr(STDIN_FILENO, &normal);
        termios keys = normal;
        keys.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO | ISIG);
        keys.c_cc[VMIN] = 1;
        keys.c_cc[VTIME] = 0;
        tcsetattr(STDIN_FILENO, TCSANOW, &keys);
        settle(server_, 0);
        draw();
        while (!done_ && lives(lecture_.owner)) {
            pollfd key{.fd = STDIN_FILENO, .events = POLLIN, .revents = 0};
            if (!typed_.empty() || poll(&key, 1, 300) > 0) {
                if (!take_key()) break;
            } else {
                look();
            }
            if (typed_.empty()) draw();
        }
        end_all();
        if (wire_terminal_ != -1) close(wire_terminal_);
        // By its number: whoever killed us may have removed the socket, too.
        if (tmux_pid_ > 0) kill(tmux_pid_, SIGTERM);
    }

private:
    struct Program {
        std::string pane, log;
        pid_t pid = 0;
        Follower follower = {};

        bool runs() const { return lives(pid); }
        std::string waits() const { return runs() ? follower.waiting(lives) : ""; }
        std::string is_in() const { return runs() ? follower.under_way(lives) : ""; }
    };

    // ---- The panes

    void make_panes() {
        const char* own = std::getenv("TMUX_PANE");
        pane_ = own != nullptr ? own : "";
        tmux_pid_ = number_of(tmux_({"display-message", "-p", "#{pid}"}));
        const unsigned height = size().ws_row;
        const unsigned below = (height >= 30 ? 9 : 7) - (lecture_.wire && height >= 30 ? 1 : 0);
        const unsigned above = height - below - 1;
        const auto split = [&](const std::string& pane, const Words& how) {
            Words words{"split-window", "-d", "-t", pane, "-c", plan_.root, "-P", "-F", "#{pane_id}"};
            words.insert(words.end(), how.begin(), how.end());
            words.emplace_back("exec tail -f /dev/null");
            return tmux_(words);
        };
        server_.pane = split(pane_, {"-b", "-v", "-l", std::to_string(above)});
        if (lecture_.wire) {
            const std::string wire = split(server_.pane, {"-v", "-l", std::to_string((above - 1) * 3 / 7)});
            name_pane(wire, lecture_.captured
                                ? say("the wire", "오간 것")
                                : say("what travels, as the calls tell it", "오간 것, 호출이 말하는 대로"));
            const std::string tty = tmux_({"display-message", "-p", "-t", wire, "#{pane_tty}"});
            wire_terminal_ = open(tty.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC);
        }
        client_.pane = split(server_.pane, {"-h", "-l", "50%"});
        name_pane(pane_, say("the kernel's view", "커널이 아는 것"));
        name_pane(client_.pane,
                  say("client: is started when the server listens", "클라이언트: 서버가 기다리기 시작하면 시작된다"));
    }

    void name_pane(const std::string& pane, const std::string& name) const {
        tmux_({"set-option", "-p", "-t", pane, "@name", name});
    }

    std::string shown(const Words& words) const {
        const std::string text = joined(words);
        return lecture_.gdb ? "gdb " + text : text + " --step";
    }

    /// In its pane, in place of what is there.
    void start(Program& program, const std::string& side, Words words, const std::string& input) {
        name_pane(program.pane, side + ": " + shown(words));
        words.front() = plan_.build + "/" + words.front();
        words.insert(words.end(), {"--trace-log", program.log});
        if (lecture_.gdb) {
            Words gdb{"gdb", "-q", "-nx"};
            for (const char* line : {"set debuginfod enabled off", "set confirm off", "set pagination off",
                                     "set breakpoint pending on", "tbreak socket", "run", "up"})
                gdb.insert(gdb.end(), {"-ex", line});
            gdb.emplace_back("--args");
            words.insert(words.begin(), gdb.begin(), gdb.end());
        } else {
            words.emplace_back("--step");
        }
        if (witness_) words.insert(words.begin(), {plan_.build + "/scripts/lecture", "--witnessed", lecture_.folder});
        Words command{"respawn-pane", "-k", "-t", program.pane, "-c", plan_.root};
        if (input.empty()) {
            command.insert(command.end(), words.begin(), words.end());
        } else {
            command.insert(command.end(), {"sh", "-c", R"(input=$1; shift; exec "$@" <"$input")", "sh", input});
            command.insert(command.end(), words.begin(), words.end());
        }
        tmux_(command);
        program.pid = number_of(tmux_({"display-message", "-p", "-t", program.pane, "#{pane_pid}"}));
    }

    void start_server() {
        start(server_, say("server", "서버"),
              filled(plan_.server, plan_, "", lecture_.folder + "/socket", lecture_.port, lecture_.folder + "/files"),
              "");
    }

    /// Its input is a pipe, so that keys and lines don't get mixed up; under gdb it is the terminal.
    void start_client() {
        const std::string fifo = lecture_.folder + "/input";
        if (!lecture_.gdb) {
            mkfifo(fifo.c_str(), 0600);
            input_ = open(fifo.c_str(), O_RDWR | O_CLOEXEC | O_NONBLOCK);
            if (input_ == -1) throw std::runtime_error(fmt::format("{}: {}", fifo, describe_error(errno)));
        }
        const std::string address = address_.empty() ? "127.0.0.1:" + lecture_.port : address_;
        const std::string port = lecture_.gdb ? lecture_.port : port_of(address);
        start(client_, say("client", "클라이언트"),
              filled(plan_.client, plan_, address, lecture_.folder + "/socket", port, lecture_.folder + "/files"),
              lecture_.gdb ? "" : fifo);
    }

    /// What the server's "listening on ADDRESS" says.
    void find_address() {
        if (!address_.empty() || lecture_.gdb) return;
        const std::string text = tmux_({"capture-pane", "-p", "-J", "-S", "-", "-t", server_.pane});
        const std::size_t at = text.find("listening on ");
        if (at == std::string::npos) return;
        const std::size_t begin = at + 13;
        address_ = text.substr(begin, text.find_first_of(" ,\n", begin) - begin);
    }

    // ---- Where they stand

    void look() {
        for (Program* program : {&server_, &client_}) {
            std::ifstream file(program->log, std::ios::binary);
            file.seekg(static_cast<std::streamoff>(program->follower.size()));
            std::ostringstream added;
            added << file.rdbuf();
            program->follower.read(added.str());
        }
        if (client_.pid != 0 && !client_.runs()) end_input();
        // tmux 3.3a now and then overlooks that a program has ended, until the next one does.
        for (const Program* program : {&server_, &client_})
            if (program->pid > 0 && !program->runs() && kill(program->pid, 0) == 0 && tmux_pid_ > 0)
                kill(tmux_pid_, SIGCHLD);
    }

    static bool is_busy(pid_t pid) {
#ifdef __linux__
        std::error_code error;
        for (const auto& task : std::filesystem::directory_iterator(fmt::format("/proc/{}/task", pid), error)) {
            const std::string stat = contents_of(task.path().string() + "/stat");
            const std::size_t end = stat.rfind(") ");
            if (end != std::string::npos && stat.find_first_of("RD", end + 2) == end + 2) return true;
        }
#else
        (void)pid;
#endif
        return false;
    }

    /// Waits until a side has taken the key that it was sent, when its log was so long, and all is quiet again: each
    /// side at a call, or in one that blocks.
    void settle(Program& moved, std::size_t length) {
        using namespace std::chrono_literals;
        wait_until(
            [&] {
                look();
                return moved.follower.size() > length || !moved.runs();
            },
            5s);
        auto since = Clock::now();
        std::size_t seen = 0;
        wait_until(
            [&] {
                look();
                bool calm = true, busy = witness_ && !witness_->is_quiet();
                for (const Program* program : {&server_, &client_}) {
                    if (!program->runs()) continue;
                    calm = calm && program->follower.stands(lives);
                    for (const pid_t pid : program->follower.processes())
                        busy = busy || (lives(pid) && is_busy(pid));
                }
                const std::size_t all = server_.follower.size() + client_.follower.size();
                if (busy || std::exchange(seen, all) != all) since = Clock::now();
                return Clock::now() - since > (calm ? 15ms : 300ms);
            },
            2s);
        find_address();
    }

    Situation situation() const {
        Situation now;
        now.server_lives = server_.runs();
        now.client_started = client_.pid != 0;
        now.client_lives = now.client_started && client_.runs();
        now.listening = !address_.empty();
        now.server_waits = !server_.waits().empty();
        now.client_waits = !client_.waits().empty();
        now.line_typed = line_typed_;
        now.input_ended = input_ended_;
        now.last = last_;
        now.in_a_row = in_a_row_;
        now.since_input = since_input_;
        now.since_client = since_client_;
        return now;
    }

    // ---- Keys

    /// The next of those that were typed. False: the lecture is to end.
    bool take_key() {
        if (typed_.empty()) {
            char piece[512];
            const ssize_t length = read(STDIN_FILENO, piece, sizeof piece);
            if (length <= 0) return length == -1 && errno == EINTR;
            typed_.assign(piece, static_cast<std::size_t>(length));
        }
        const char key = typed_.front();
        typed_.erase(0, 1);
        constexpr char ctrl_c = 3, ctrl_d = 4, escape = 27, erase = 127, backspace = 8;
        switch (key) {
            case ctrl_c:
                return false;
            case ctrl_d:
                end_input();
                break;
            case escape:
                scroll(take_sequence());
                break;
            case erase:
            case backspace:
                while (!line_.empty() && (static_cast<unsigned char>(line_.back()) & 0xc0U) == 0x80)
                    line_.pop_back();
                if (!line_.empty()) line_.pop_back();
                break;
            case '\r':
            case '\n':
                scrolled_ = 0;
                if (line_.empty()) {
                    next();
                } else {
                    type_line(std::exchange(line_, ""));
                }
                break;
            default:
                if (key == '?' && line_.empty()) {
                    explain();
                } else if (static_cast<unsigned char>(key) >= ' ') {
                    line_ += key;
                }
        }
        return true;
    }

    void explain() const {
        const Move move = choose(situation());
        if (move == Move::step_server) tmux_({"send-keys", "-t", server_.pane, "?"});
        if (move == Move::step_client) tmux_({"send-keys", "-t", client_.pane, "?"});
    }

    /// What stands behind an escape, as of an arrow: "[A" (ECMA-48, section 5.4).
    std::string take_sequence() {
        std::size_t length = 0;
        if (typed_.starts_with('[')) {
            length = 1;
            while (length < typed_.size() && (typed_[length] < '@' || typed_[length] > '~'))
                ++length;
            ++length;
        }
        std::string sequence = typed_.substr(0, length);
        typed_.erase(0, length);
        return sequence;
    }

    void scroll(const std::string& key) {
        const auto rows = static_cast<long>(page());
        if (key == "[5~") scrolled_ += rows;  // Page Up
        if (key == "[6~") scrolled_ -= rows;
    }

    void next() {
        if (lecture_.gdb) return;
        pressed_ = wall_clock();
        look();
        const Move move = choose(situation());
        in_a_row_ = move == last_ ? in_a_row_ + 1 : 1;
        last_ = move;
        if (input_ended_) ++since_input_;
        if (client_.pid != 0 && !client_.runs()) ++since_client_;
        if (move != Move::wait && move != Move::leave) ++steps_;
        switch (move) {
            case Move::step_server:
                return press(server_, "Enter");
            case Move::step_client:
                return press(client_, "Enter");
            case Move::start_client:
                start_client();
                return settle(client_, 0);
            case Move::type_line:
                return type_line(first_line);
            case Move::end_input:
                end_input();
                return settle(client_, 0);
            case Move::end_client:
                return press(client_, "C-c");
            case Move::end_server:
                since_client_ = 0;  // it may have something to say before it ends
                return press(server_, "C-c");
            case Move::leave:
                done_ = true;
                return;
            case Move::wait:
                wait_until([&] { return look(), choose(situation()) != Move::wait; }, Milliseconds(500));
        }
    }

    void press(Program& program, const char* key) {
        const std::size_t length = program.follower.size();
        tmux_({"send-keys", "-t", program.pane, key});
        settle(program, length);
    }

    /// To the client, and to its pane, where it would stand if it had been typed there.
    void type_line(const std::string& line) {
        if (input_ == -1 || !client_.runs()) return;
        pressed_ = wall_clock();
        const std::size_t length = client_.follower.size();
        show_in_client(line + "\n");
        const std::string bytes = line + "\n";
        [[maybe_unused]] const ssize_t ignored = write(input_, bytes.data(), bytes.size());
        line_typed_ = true;
        wait_until([&] { return look(), client_.follower.size() > length || !client_.runs(); }, Milliseconds(500));
        settle(client_, 0);
    }

    void end_input() {
        if (input_ == -1) return;
        const std::size_t length = client_.follower.size();
        if (client_.runs()) show_in_client("^D\n");
        close(input_);
        input_ = -1;
        input_ended_ = true;
        if (!client_.runs()) return;
        wait_until([&] { return look(), client_.follower.size() > length || !client_.runs(); }, Milliseconds(500));
    }

    void show_in_client(const std::string& text) const {
        const std::string tty = tmux_({"display-message", "-p", "-t", client_.pane, "#{pane_tty}"});
        const int fd = open(tty.c_str(), O_WRONLY | O_NOCTTY | O_CLOEXEC);
        if (fd == -1) return;
        const std::string typed = "\033[1m" + text.substr(0, text.size() - 1) + "\033[0m\n";
        [[maybe_unused]] const ssize_t ignored = write(fd, typed.data(), typed.size());
        close(fd);
    }

    // ---- What is shown

    static winsize size(int terminal = STDIN_FILENO) {
        winsize window{};
        if (ioctl(terminal, TIOCGWINSZ, &window) == -1 || window.ws_row == 0) window = {24, 80, 0, 0};
        return window;
    }

    /// Rows of the diagram that are seen at once, below its head.
    std::size_t page() const { return std::max<std::size_t>(size(wire_terminal_).ws_row, 2) - 1; }

    /// The end of the diagram so far, as much as there is room for, or of what the last key has done, which is bold,
    /// the beginning.
    void draw_wire() {
        if (wire_terminal_ == -1) return;
        const winsize window = size(wire_terminal_);
        const Outcome outcome = recorded(lecture_);
        std::error_code none;
        const auto packets = lecture_.captured ? std::filesystem::file_size(outcome.capture, none) : 0;
        const std::tuple state{outcome.server_log.size(),
                               outcome.client_log.size(),
                               outcome.handed.size(),
                               packets,
                               window.ws_row,
                               window.ws_col,
                               scrolled_,
                               pressed_};
        if (std::exchange(wire_state_, state) == state) return;
        std::vector<std::string> lines;
        try {
            const Diagram drawn = weave_run(lecture_.pair, outcome);
            if (drawn.rows.empty()) return;
            std::istringstream text(
                TextDrawing(drawn, {.ascii = is_ascii_, .width = window.ws_col, .new_from = pressed_}).draw());
            for (std::string line; std::getline(text, line);)
                lines.push_back(line);
        } catch (const std::runtime_error&) {  // the file of packets is just being written
            wire_state_ = {};
            return;
        }
        const auto is_new = [](const std::string& line) { return line.starts_with('\033'); };
        const auto first_new = std::find_if(lines.begin(), lines.end(), is_new) - lines.begin();
        const auto count = static_cast<long>(lines.size()), rows = static_cast<long>(page());
        const long wanted = std::min(count, first_new + rows);
        const long end = std::clamp(wanted - scrolled_, std::min(count, rows + 1), count);
        scrolled_ = wanted - end;
        const auto begin = std::max(1L, end - rows);
        std::string picture = "\033[H\033[?7l" + lines.front() + "\033[K";
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
            picture += "\r\n" + lines[i] + "\033[K";
        picture += "\033[J";
        [[maybe_unused]] const ssize_t ignored = write(wire_terminal_, picture.data(), picture.size());
    }

    std::string next_move() const {
        if (lecture_.gdb)
            return say("under gdb: next, step, finish, continue, up; q in both ends them",
                       "gdb: next, step, finish, continue, up. 양쪽에서 q로 끝낸다");
        switch (choose(situation())) {
            case Move::step_server:
                return fmt::format("{}: {}", say("server", "서버"), escaped(server_.waits()));
            case Move::step_client:
                return fmt::format("{}: {}", say("client", "클라이언트"), escaped(client_.waits()));
            case Move::start_client:
                return say("start the client", "클라이언트를 시작한다");
            case Move::type_line:
                return fmt::format(fmt::runtime(say("type \"{}\" for the client (or type another line)",
                                                    "클라이언트에 \"{}\" 입력 (다른 줄을 쳐도 된다)")),
                                   first_line);
            case Move::end_input:
                return say("Ctrl-D: the client's input ends (or type another line)",
                           "Ctrl-D: 클라이언트의 입력이 끝난다 (다른 줄을 쳐도 된다)");
            case Move::end_client:
                return say("Ctrl-C for the client", "클라이언트에 Ctrl-C");
            case Move::end_server:
                return say("the client has ended: Ctrl-C for the server", "클라이언트가 끝났다. 서버에 Ctrl-C");
            case Move::leave:
                return say("both have ended: leave", "둘 다 끝났다. 나간다");
            case Move::wait:
                return say("(both are busy, or wait for the clock)", "(둘 다 바쁘거나 시간이 되기를 기다린다)");
        }
        return "";
    }

    /// What can be pressed: the first of these that fits.
    static std::string keys_that_fit(std::size_t width, bool wire) {
        const std::string pages = wire ? say("  Page Up: back", "  Page Up: 앞으로") : "";
        const std::string all[] = {
            say("Enter: next  text Enter: a line for the client  Ctrl-D: ends it  ?: explain  Tab: other pane",
                "Enter: 다음  글 Enter: 클라이언트에 입력  Ctrl-D: 입력 끝  ?: 설명  Tab: 다른 창") +
                pages,
            say("Enter: next  text: for the client  ?: explain  Tab: pane",
                "Enter: 다음  글: 클라이언트에  ?: 설명  Tab: 창")};
        const std::string end = say("  Ctrl-C: end", "  Ctrl-C: 끝");
        for (const std::string& keys : all)
            if (width_of(keys + end) <= width) return keys + end;
        return all[1] + end;
    }

    /// The sockets of both, whatever their descriptors say, and what the kernel keeps of their connections.
    std::vector<std::string> sockets(std::size_t width) {
        std::vector<std::string> lines;
#ifdef __linux__
        std::map<unsigned long, std::string> owners;
        for (const Program* program : {&server_, &client_}) {
            std::set<pid_t> processes = program->follower.processes();
            for (const pid_t pid : processes) {
                std::error_code error;
                for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid), error)) {
                    const std::string target = std::filesystem::read_symlink(entry.path(), error).string();
                    if (!target.starts_with("socket:[")) continue;
                    std::string& owner = owners[std::strtoul(target.c_str() + 8, nullptr, 10)];
                    const std::string name = fmt::format("{} {}", program == &server_ ? "server" : "client",
                                                         entry.path().filename().string());
                    if (owner.empty()) owner = name;
                }
            }
        }
        if (owners.empty() && ports_.empty()) return lines;
        std::vector<std::pair<std::string, lecture::Row>> rows;
        for (const lecture::Row& row : read_ss(output_of({"ss", "-Hane", "-t", "-u", "-x"}))) {
            const auto owner = owners.find(row.inode);
            if (owner != owners.end() && row.inode != 0) {
                if (row.kind == "tcp" && !row.peer.ends_with(":*")) ports_.insert(row.local + " " + row.peer);
                rows.emplace_back(owner->second, row);
            } else if (row.inode == 0 && ports_.count(row.local + " " + row.peer) != 0) {
                rows.emplace_back("(closed)", row);
            }
        }
        const auto rank = [](const std::string& owner) { return owner[0] == 's' ? 0 : owner[0] == 'c' ? 1 : 2; };
        std::stable_sort(rows.begin(), rows.end(), [&](const auto& one, const auto& other) {
            return std::pair(rank(one.first), one.first) < std::pair(rank(other.first), other.first);
        });
        for (const auto& [owner, row] : rows)
            lines.push_back(show_row(owner, row, width));
#else
        (void)width;
        lines.emplace_back(say("(only Linux has the table that is shown here)", "(Linux에서만 보인다)"));
#endif
        return lines;
    }

    void draw() {
        draw_wire();
        const winsize window = size();
        const std::size_t width = window.ws_col, height = window.ws_row;
        std::vector<std::string> lines;
        lines.push_back(fmt::format("\033[1m{} {}, Enter: {}\033[0m", say("step", "단계"), steps_ + 1, next_move()));
        std::vector<std::string> table = sockets(width);
        const std::size_t room = height > 4 ? height - 4 : 1;
        if (table.size() > room) {
            const std::size_t more = table.size() - room + 1;
            table.resize(room - 1);
            table.push_back(fmt::format(fmt::runtime(say("and {} more", "그 밖에 {}개")), more));
        }
        lines.insert(lines.end(), table.begin(), table.end());
        while (lines.size() + 2 < height)
            lines.emplace_back();
        lines.push_back(keys_that_fit(width, lecture_.wire));
        std::string picture = "\033[H\033[?7l";  // lines that are too long are cut, and not wrapped
        for (const std::string& line : lines)
            picture += line + "\033[K\r\n";
        picture += "> " + line_ + "\033[K";
        if (picture == std::exchange(drawn_, picture)) return;
        [[maybe_unused]] const ssize_t ignored = write(STDOUT_FILENO, picture.data(), picture.size());
    }

    /// "ended with status 0". That its terminal is closed is often seen before that it has ended.
    std::string ending(const Program& program) {
        if (program.pid == 0) return "was not started";
        if (program.runs()) return "was ended";
        std::string how;
        wait_until(
            [&] {
                look();
                how = tmux_({"display-message", "-p", "-t", program.pane,
                             "#{?pane_dead_signal,by signal #{pane_dead_signal},with status #{pane_dead_status}}"});
                return !how.ends_with("status") && !how.ends_with("status ");
            },
            Milliseconds(2000));
        return "ended " + how;
    }

    /// For the process that waits for us.
    void tell_ending() {
        std::ofstream(lecture_.folder + "/ending") << fmt::format(
            "{}: {} steps; the server {}, the client {}\n", lecture_.pair, steps_, ending(server_), ending(client_));
    }

    /// Each is asked first, and so leaves no socket file.
    void end_all() {
        tell_ending();
        end_input();
        look();
        for (const Program* program : {&client_, &server_})
            if (program->runs()) kill(program->pid, SIGTERM);
        try {
            wait_until([&] { return !client_.runs() && !server_.runs(); }, Milliseconds(2000));
        } catch (const Interrupted&) {
        }
    }

    static constexpr const char* first_line = "hello";

    const Lecture& lecture_;
    Plan plan_;
    Tmux tmux_;
    Program server_, client_;
    std::string pane_, address_, line_, typed_, drawn_;
    std::set<std::string> ports_;       ///< both ends of the connections that were seen
    std::unique_ptr<Witness> witness_;  ///< of what both send
    int input_ = -1, wire_terminal_ = -1;
    std::tuple<std::size_t, std::size_t, std::size_t, std::uintmax_t, unsigned short, unsigned short, long,
               std::int64_t>
        wire_state_ = {};  ///< what was drawn last
    bool is_ascii_ = !terminal_knows_utf8();
    long scrolled_ = 0;                    ///< up from its end, in rows
    std::int64_t pressed_ = wall_clock();  ///< when the last key was
    pid_t tmux_pid_ = 0;
    bool line_typed_ = false, input_ended_ = false, done_ = false;
    Move last_ = Move::step_server;
    long in_a_row_ = 0, since_input_ = 0, since_client_ = 0, steps_ = 0;
};

// ---- The process that you start

void by_hand(const Plan& plan, bool gdb) {
    std::fputs("lecture: needs tmux, which is not installed; sh scripts/setup installs it\n", stderr);
    const Words server = filled(plan.server, plan, "", "", "", "\"$(mktemp -d)\"");
    const Words client = filled(plan.client, plan, "127.0.0.1:7000", "", "", "\"$(mktemp -d)\"");
    const char* form = gdb ? "    gdb -ex 'break socket' -ex run --args build/{}\n" : "    build/{} --step\n";
    fmt::print("In two terminals, by hand:\n\n");
    for (const Words& words : {server, client})
        fmt::print(fmt::runtime(form), joined(words));
}

void catch_signals() {
    struct sigaction action {};
    action.sa_handler = [](int number) { interrupted_by = number; };
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
        sigaction(number, &action, nullptr);
}

constexpr const char* configuration = R"(set -g status off
set -g mouse on
set -g default-terminal screen
set -g escape-time 10
set -g history-limit 50000
set -g remain-on-exit on
set -gq remain-on-exit-format '#[bold]ended#{?pane_dead_signal, by signal #{pane_dead_signal}, with status #{pane_dead_status}}'
set -g pane-border-status top
set -g pane-border-format ' #{?pane_active,#[bold],}#{@name} '
set -g pane-active-border-style 'fg=default,bold'
bind -n Tab select-pane -t :.+
)";

/// In the foreground, until it is detached or the server has ended.
void attach(const Tmux& tmux) {
    const Words words = tmux.command({"attach-session"});
    const std::vector<char*> arguments = pointers(words);
    const pid_t child = fork();
    if (child == 0) {
        for (const int number : {SIGINT, SIGTERM, SIGHUP})
            std::signal(number, SIG_DFL);
        execvp(arguments[0], arguments.data());
        _exit(127);
    }
    if (child == -1) throw std::runtime_error("fork: " + describe_error(errno));
    int status = 0;
    while (waitpid(child, &status, 0) == -1 && errno == EINTR) {
        if (interrupted_by != 0) kill(child, SIGTERM);
    }
    if (!WIFEXITED(status) && interrupted_by == 0) throw std::runtime_error("tmux ended by a signal");
}

/// All have been asked to end: whoever takes too long is not asked again.
void see_them_off(const Folder& folder, pid_t tmux_server) {
    std::set<pid_t> all{tmux_server, number_of(contents_of(folder / "panel"))};
    for (const char* name : {"server.log", "client.log"}) {
        Follower follower;
        follower.read(contents_of(folder / name));
        all.merge(follower.processes());
    }
    const auto began = Clock::now();
    for (const pid_t pid : all) {
        while (lives(pid) && Clock::now() - began < Milliseconds(3000))
            std::this_thread::sleep_for(Milliseconds(5));
        if (lives(pid)) kill(pid, SIGKILL);
    }
}

/// All of it, when it is over.
void print_wire(const Lecture& lecture) {
    const Diagram drawn = weave_run(lecture.pair, recorded(lecture));
    if (drawn.rows.empty()) throw std::runtime_error("nothing happened that could be drawn");
    const std::string text = TextDrawing(drawn, {.ascii = !terminal_knows_utf8(), .most_rows = 120}).draw();
    std::fwrite(text.data(), 1, text.size(), stdout);
}

void hold(const Plan& plan, Lecture lecture) {
    if (isatty(STDIN_FILENO) == 0 || isatty(STDOUT_FILENO) == 0)
        throw std::runtime_error("needs a terminal: it is to be looked at");
    const Folder folder;
    lecture.folder = folder / "";
    lecture.folder.pop_back();
    std::filesystem::create_directory(folder / "files");
    Child sniffer;
    std::string forbidden;
    if (lecture.wire && plan.chapter() != "unix") forbidden = try_own_network();
    if (lecture.wire && plan.chapter() != "unix" && forbidden.empty()) {
        lecture.port = std::to_string(default_port);
        sniffer.start({plan.build + "/tcp/sniffer", "--pcap", folder / "capture.pcap"}, plan.root, folder, "sniffer");
        lecture.captured =
            wait_until([&] { return sniffer.err().find("capturing on") != std::string::npos; }, Milliseconds(10'000));
    } else {
        lecture.port = lecture.gdb ? free_port() : "0";
    }

    winsize window{};
    if (ioctl(STDIN_FILENO, TIOCGWINSZ, &window) == -1 || window.ws_row < 20 || window.ws_col < 60)
        window = {24, 80, 0, 0};
    std::ofstream(folder / "tmux.conf") << configuration;
    unsetenv("TMUX");
    unsetenv("TMUX_PANE");
    const Tmux tmux(folder / "tmux");
    catch_signals();
    Words panel{plan.build + "/scripts/lecture", "--panel",    lecture.folder,
                std::to_string(getpid()),        lecture.port, lecture.pair};
    for (const auto& [option, wanted] :
         {std::pair{"--gdb", lecture.gdb}, {"--wire", lecture.wire}, {"--captured", lecture.captured}})
        if (wanted) panel.emplace_back(option);
    Words start{"-f",
                folder / "tmux.conf",
                "new-session",
                "-d",
                "-x",
                std::to_string(window.ws_col),
                "-y",
                std::to_string(window.ws_row),
                "-c",
                plan.root,
                "sh",
                "-c",
                R"("$@"; exec tmux -S "$0" kill-server)",
                folder / "tmux"};
    start.insert(start.end(), panel.begin(), panel.end());
    tmux(start);
    const pid_t tmux_server = number_of(tmux({"list-sessions", "-F", "#{pid}"}));
    attach(tmux);
    tmux({"kill-server"});
    see_them_off(folder, tmux_server);
    if (sniffer.was_started()) sniffer.stop(SIGINT, Milliseconds(5000));
    if (interrupted_by != 0) throw Interrupted{interrupted_by};
    const std::string ending = contents_of(folder / "ending");
    std::fwrite(ending.data(), 1, ending.size(), stdout);
    if (!lecture.wire) return;
    print_wire(lecture);
    if (!forbidden.empty())
        fmt::print("No network of our own here, and so no segments: {}\nThe arrows are what the calls sent.\n",
                   forbidden);
}

int panel(const Words& words, Plan plan) {
    Lecture lecture{.folder = words.at(0), .pair = words.at(3), .port = words.at(2)};
    lecture.owner = number_of(words.at(1));
    const auto has = [&](const char* option) {
        return std::find(words.begin() + 4, words.end(), option) != words.end();
    };
    lecture.gdb = has("--gdb");
    lecture.wire = has("--wire");
    lecture.captured = has("--captured");
    catch_signals();
    std::signal(SIGPIPE, SIG_IGN);
    std::ofstream(lecture.folder + "/panel") << getpid();
    find_pair(lecture.pair, plan);
    Panel(lecture, std::move(plan)).run();
    return 0;
}

/// Becomes a program of which the panel sees what it sends.
int become_witnessed(const std::string& folder, char** program) {
    be_witnessed((folder + "/witness").c_str());
    execvp(*program, program);
    std::fprintf(stderr, "%s: %s\n", *program, describe_error(errno).c_str());
    return 127;
}

}  // namespace

int main(int argc, char** argv) try {
    Plan plan{.root = root_folder(), .build = build_folder(argv[0])};
    if (argc > 5 && std::string_view(argv[1]) == "--panel") return panel(Words(argv + 2, argv + argc), plan);

    if (argc > 3 && std::string_view(argv[1]) == "--witnessed") return become_witnessed(argv[2], argv + 3);

    Lecture lecture;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Runs a pair before an audience: both sides in --step, and what the kernel knows of their sockets.",
         .endpoint = Endpoint::none,
         .more = {{"wire", nullptr, "draw what travels, while it does", &lecture.wire},
                  {"gdb", nullptr, "both under gdb, stopped at their first socket call", &lecture.gdb}},
         .arguments = {"PAIR"}});
    find_pair(options.arguments.front(), plan);
    if (!is_in_path("tmux")) {
        by_hand(plan, lecture.gdb);
        return 1;
    }
    if (lecture.gdb && !is_in_path("gdb")) throw std::runtime_error("--gdb needs gdb; sh scripts/setup installs it");
    lecture.pair = options.arguments.front();
    hold(plan, lecture);
} catch (const Interrupted& interrupted) {
    std::signal(interrupted.signal, SIG_DFL);
    raise(interrupted.signal);
} catch (const std::exception& error) {
    return report_failure(error);
}
