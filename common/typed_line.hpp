#pragma once
// A line that is typed while others print: the terminal's keys one by one, and the line drawn by the program, which
// can take it away, show something in its place, and draw it again below. For the clients of the chats.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

/// Takes the terminal over for as long as it lives: no echo, and each key at once. However the process ends or stops
/// (Ctrl-C, Ctrl-Z, a signal, but SIGKILL), the terminal is as it was. One at a time.
class TerminalKeys {
public:
    /// Standard input must be a terminal. Throws std::runtime_error, SocketError.
    TerminalKeys();
    ~TerminalKeys();
    TerminalKeys(const TerminalKeys&) = delete;
    TerminalKeys& operator=(const TerminalKeys&) = delete;

    /// A descriptor with a byte to be read whenever the process was stopped and goes on: the line must be drawn again.
    /// -1 where there are no TerminalKeys: poll() passes over it.
    static int continued();
};

class TypedLine {
public:
    /// most: of its bytes; what is typed behind them is passed over.
    explicit TypedLine(std::size_t most) : most_(most) {}

    /// What a key does. enter: the line is complete; end (Ctrl-D in an empty line): the input is.
    enum class Key { edit, enter, end };
    Key take(char key);

    const std::string& text() const { return text_; }
    std::string take_text() { return std::exchange(text_, ""); }

    /// Draws it from its beginning, or if it is too long for the terminal, its end. Throws SocketError.
    void draw() const;
    /// Empties the terminal's last line. Throws SocketError.
    static void erase();

private:
    std::size_t most_;
    std::string text_;
    int escape_ = 0;  // 1: ESC was pressed; 2: a sequence of several bytes has begun
};
