// TCP chat client: what you type goes to the server, what others say is shown above the line that you are typing.
//
//     terminal 1:  build/tcp/chat_server
//     terminal 2:  build/tcp/chat_client --name anna              (and in terminals 3, 4, ...)
//
// It waits for two things at once, as tcp/echo_client.cpp does. But on a terminal it takes keys one by one and draws
// the line itself: only so can it take it away, show a message in its place, and draw it again below. Ctrl-D ends it.
// Piped it sends lines as they are:  echo hello | build/tcp/chat_client --name anna
// Try it: let somebody talk while you type. Then kill -9 the client, and see what your terminal is like (stty sane).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <csignal>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/core.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

namespace {

constexpr std::size_t longest_line = 1000;  // bytes; a longer one nobody would hear

// ---- The terminal

// A terminal usually collects a line, echoes it and gives it out at Enter (ICANON, ECHO). Ours is not to. It belongs to
// the shell, too: however we end or stop, it must be as it was. So this is done in signal handlers as well
// (tcsetattr() is safe there: signal-safety(7)).
termios usual, ours;

void use_usual() { tcsetattr(STDIN_FILENO, TCSANOW, &usual); }
void use_ours() { tcsetattr(STDIN_FILENO, TCSANOW, &ours); }

/// A handler cannot draw. It says so here, and poll() returns, even if it had not been called yet.
int continued[2] = {-1, -1};  // a pipe

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
    [[maybe_unused]] const auto written = write(continued[1], "", 1);
    errno = kept_errno;
}

/// Takes the terminal over for as long as it lives.
class Keys {
public:
    Keys() {
        if (tcgetattr(STDIN_FILENO, &usual) == -1) throw std::runtime_error("the terminal does not tell its settings");
        ours = usual;
        ours.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
        ours.c_cc[VMIN] = 1;
        ours.c_cc[VTIME] = 0;
        CALL(pipe(continued));
        struct sigaction action {};
        for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
            action.sa_handler = restore_and_end;
            sigaction(signal, &action, nullptr);
        }
        action.sa_handler = restore_and_stop;
        sigaction(SIGTSTP, &action, nullptr);
        use_ours();
    }
    ~Keys() { use_usual(); }
    Keys(const Keys&) = delete;
    Keys& operator=(const Keys&) = delete;
};

// ---- The line that is being typed

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

/// The line at the bottom, and the keys that change it.
class Line {
public:
    /// What a key does. True: the line is complete, or with Ctrl-D in an empty line: the input is.
    enum class Key { edit, enter, end };

    Key take(char key) {
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
                if (static_cast<unsigned char>(key) >= 0x20 && text_.size() < longest_line) text_ += key;
        }
        return Key::edit;
    }

    std::string take_text() { return std::exchange(text_, ""); }
    const std::string& text() const { return text_; }

    static void erase() { write_all(STDOUT_FILENO, "\r\x1b[K"); }

    /// Draws it from its beginning, or if it is too long for the terminal, its end.
    void draw() const {
        winsize window{};
        const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &window) == 0 && window.ws_col > 0;
        const std::size_t room = (known ? window.ws_col : std::size_t{80}) - 3;  // "> ", and a place for the cursor
        std::size_t whole = 0;  // up to here there are whole characters
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

private:
    std::string text_;
    int escape_ = 0;  // 1: ESC was pressed; 2: a sequence of several bytes has begun
};

// ---- The conversation

/// Sends what there is room for now, perhaps nothing, and never waits. Returns how many bytes that was.
std::size_t send_some(int connection, const std::string& bytes) {
    try {
        return static_cast<std::size_t>(CALL(send(connection, bytes.data(), bytes.size(), MSG_DONTWAIT)));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
        return 0;
    }
}

/// Returns when the server has ended the connection. True: after we had, and it had heard all that we said.
bool talk(int connection, bool typing, std::string unsent) {
    const std::string goodbye = "\n* goodbye\n";
    constexpr std::size_t enough = 65536;  // so much unsent: first the server has to take some
    Output output;
    Line line;
    std::string heard;  // the beginning of a line from the server, where it would stand in our own line's place
    std::string last;   // the last bytes of it
    bool more_input = true, ended = false;
    if (typing) line.draw();

    for (;;) {
        pollfd watched[] = {{connection, static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0},
                            {more_input && unsent.size() < enough ? STDIN_FILENO : -1, POLLIN, 0},
                            {continued[0], POLLIN, 0}};
        CALL(poll(watched, 3, -1));

        if (watched[2].revents != 0) {  // we were stopped, and go on
            char byte = 0;
            CALL(read(continued[0], &byte, 1));
            if (typing && more_input) line.draw();
        }

        if ((watched[0].revents & ~POLLOUT) != 0) {  // bytes, the end, or an error that recv() will tell
            char bytes[65536];
            const ssize_t received = CALL(recv(connection, bytes, sizeof bytes, 0));
            heard.append(bytes, static_cast<std::size_t>(received));
            last.append(bytes, static_cast<std::size_t>(received));
            last.erase(0, last.size() - std::min(last.size(), goodbye.size()));
            const std::size_t newline = heard.rfind('\n');
            const bool all = !typing || received == 0 || heard.size() > enough;
            const std::size_t count = all ? heard.size() : newline == std::string::npos ? 0 : newline + 1;
            if (typing && more_input) Line::erase();
            output.write(heard.substr(0, count));
            heard.erase(0, count);
            if (received == 0) return ended && last == goodbye;
            if (typing && more_input) line.draw();
        }
        if ((watched[0].revents & POLLOUT) != 0) unsent.erase(0, send_some(connection, unsent));
        if (watched[1].revents != 0) {
            char input[4096];
            const ssize_t count = CALL(read(STDIN_FILENO, input, sizeof input));
            if (count == 0) more_input = false;
            if (!typing) unsent.append(input, static_cast<std::size_t>(count));
            for (ssize_t i = 0; typing && more_input && i < count; ++i) {
                const Line::Key key = line.take(input[i]);
                if (key == Line::Key::edit) continue;
                Line::erase();
                if (key == Line::Key::end) {
                    more_input = false;
                } else {
                    write_all(STDOUT_FILENO, fmt::format("> {}\n", escaped(line.text())));
                    unsent += line.take_text() + "\n";
                }
            }
            if (typing && more_input) line.draw();
        }
        if (!more_input && unsent.empty() && !ended) {
            ended = true;
            CALL(shutdown(connection, SHUT_WR));  // "that was all": the server sends the rest and hangs up
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::string name;
    const Options options =
        parse_options(argc, argv,
                      {.summary = "TCP chat client: what you type goes to all others, what they say is shown.",
                       .more = {{"name", "NAME", "what you are called; else the server asks", &name}}});

    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    const bool typing = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1;
    std::optional<Keys> keys;
    if (typing) keys.emplace();
    const bool was_our_wish = talk(connection, typing, name.empty() ? "" : name + "\n");
    CALL(close(connection));
    if (!was_our_wish) throw std::runtime_error("the server has ended the connection");
} catch (const std::exception& error) {
    return report_failure(error);
}
