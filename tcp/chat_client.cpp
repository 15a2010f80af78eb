// TCP chat client: what you type goes to the server, what others say is shown above the line that you are typing.
//
//     terminal 1:  build/tcp/chat_server
//     terminal 2:  build/tcp/chat_client --name anna              (and in terminals 3, 4, ...)
//
// It waits for two things at once, as tcp/echo_client.cpp does. But on a terminal it takes keys one by one and draws
// the line itself (common/typed_line.cpp): only so can it take it away, show a message in its place, and draw it again
// below. Ctrl-D ends it.
// Piped it sends lines as they are:  echo hello | build/tcp/chat_client --name anna
// Try it: let somebody talk while you type. Then kill -9 the client, and see what your terminal is like (stty sane).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "common/typed_line.hpp"

#include <algorithm>
#include <optional>
#include <stdexcept>
#include <string>

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::size_t longest_line = 1000;  // bytes; a longer one nobody would hear

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
    TypedLine line(longest_line);
    std::string heard;  // the beginning of a line from the server, where it would stand in our own line's place
    std::string last;   // the last bytes of it
    bool more_input = true, ended = false;
    if (typing) line.draw();

    for (;;) {
        pollfd watched[] = {{connection, static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0},
                            {more_input && unsent.size() < enough ? STDIN_FILENO : -1, POLLIN, 0},
                            {TerminalKeys::continued(), POLLIN, 0}};
        CALL(poll(watched, 3, -1));

        if (watched[2].revents != 0) {  // we were stopped, and go on
            char byte = 0;
            CALL(read(TerminalKeys::continued(), &byte, 1));
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
            if (typing && more_input) TypedLine::erase();
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
                const TypedLine::Key key = line.take(input[i]);
                if (key == TypedLine::Key::edit) continue;
                TypedLine::erase();
                if (key == TypedLine::Key::end) {
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
    std::optional<TerminalKeys> keys;
    if (typing) keys.emplace();
    const bool was_our_wish = talk(connection, typing, name.empty() ? "" : name + "\n");
    CALL(close(connection));
    if (!was_our_wish) throw std::runtime_error("the server has ended the connection");
} catch (const std::exception& error) {
    return report_failure(error);
}
