#include "common/typed_line.hpp"

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <csignal>
#include <stdexcept>

#include <fmt/core.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

// ---- The terminal

namespace {

// A terminal usually collects a line, echoes it and gives it out at Enter (ICANON, ECHO). Ours is not to. It belongs to
// the shell, too: however we end or stop, it must be as it was. So this is done in signal handlers as well
// (tcsetattr() is safe there: signal-safety(7)).
termios usual, ours;

void use_usual() { tcsetattr(STDIN_FILENO, TCSANOW, &usual); }
void use_ours() { tcsetattr(STDIN_FILENO, TCSANOW, &ours); }

/// A handler cannot draw. It says so here, and poll() returns, even if it had not been called yet.
int pipe_of_handler[2] = {-1, -1};

/// The shell is to go on below our line.
void leave_line() { [[maybe_unused]] const auto written = write(STDOUT_FILENO, "\n", 1); }

void restore_and_end(int signal) {
    leave_line();
    use_usual();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

void restore_and_stop(int) {
    const int kept_errno = errno;
    leave_line();
    use_usual();
    std::raise(SIGSTOP);  // returns when the shell says fg
    use_ours();
    [[maybe_unused]] const auto written = write(pipe_of_handler[1], "", 1);
    errno = kept_errno;
}

}  // namespace

TerminalKeys::TerminalKeys() {
    if (tcgetattr(STDIN_FILENO, &usual) == -1) throw std::runtime_error("the terminal does not tell its settings");
    ours = usual;
    ours.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
    ours.c_cc[VMIN] = 1;
    ours.c_cc[VTIME] = 0;
    CALL(pipe(pipe_of_handler));
    struct sigaction action {};
    for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
        action.sa_handler = restore_and_end;
        sigaction(signal, &action, nullptr);
    }
    action.sa_handler = restore_and_stop;
    sigaction(SIGTSTP, &action, nullptr);
    use_ours();
}

TerminalKeys::~TerminalKeys() { use_usual(); }

int TerminalKeys::continued() { return pipe_of_handler[0]; }

// ---- The line

namespace {

/// How many bytes a character has, by its first one (RFC 3629).
std::size_t length_of_character(char first) {
    const auto byte = static_cast<unsigned char>(first);
    return byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
}

/// How many columns a text takes: two for each character of Korean, Chinese and Japanese, and for emoji.
std::size_t columns_of(std::string_view text) {
    std::size_t columns = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        const bool wide = (byte >= 0xE3 && byte <= 0xED) || byte == 0xF0;  // of the first byte of a character
        if ((byte & 0xC0U) != 0x80U) columns += wide ? 2 : 1;
    }
    return columns;
}

}  // namespace

TypedLine::Key TypedLine::take(char key) {
    if (escape_ != 0) {  // an arrow, for instance: ESC [ A. We don't know any, and pass over them.
        const bool introduces = escape_ == 1 && (key == '[' || key == 'O');
        escape_ = introduces ? 2 : escape_ == 2 && (key < '@' || key > '~') ? 2 : 0;
        return Key::edit;
    }
    switch (key) {
        case '\x1b':
            escape_ = 1;
            break;
        case '\n':
        case '\r':
            return Key::enter;
        case '\x04':  // Ctrl-D
            if (text_.empty()) return Key::end;
            break;
        case '\x08':
        case '\x7f':
            while (!text_.empty() && (static_cast<unsigned char>(text_.back()) & 0xC0U) == 0x80U)
                text_.pop_back();
            if (!text_.empty()) text_.pop_back();
            break;
        case '\x15':  // Ctrl-U
            text_.clear();
            break;
        case '\x17':  // Ctrl-W: back to the blank before the last word
            while (!text_.empty() && text_.back() == ' ')
                text_.pop_back();
            while (!text_.empty() && text_.back() != ' ')
                text_.pop_back();
            break;
        default:
            if (static_cast<unsigned char>(key) >= 0x20 && text_.size() < most_) text_ += key;
    }
    return Key::edit;
}

void TypedLine::erase() { write_all(STDOUT_FILENO, "\r\x1b[K"); }

void TypedLine::draw() const {
    winsize window{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
    const std::size_t room = (known ? window.ws_col : std::size_t{80}) - 3;  // "> ", and a place for the cursor
    std::size_t whole = 0;                                                   // up to here there are whole characters
    while (whole < text_.size() && whole + length_of_character(text_[whole]) <= text_.size())
        whole += length_of_character(text_[whole]);
    std::string shown = escaped(std::string_view(text_).substr(0, whole));
    bool cut = false;
    while (columns_of(shown) > room) {
        shown.erase(0, std::min(length_of_character(shown[0]), shown.size()));
        cut = true;
    }
    write_all(STDOUT_FILENO, fmt::format("\r\x1b[K{} {}", cut ? '<' : '>', shown));
}
