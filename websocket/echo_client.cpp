// WebSocket echo client: tcp/echo_client.cpp with an upgrade before the first byte and frames after it.
//
//     terminal 1:  build/websocket/echo_server --step
//     terminal 2:  build/websocket/echo_client --step
//
// Each line that you type is one text message (one that is not UTF-8, from a pipe, is a binary message), and what comes
// back is printed; Ctrl-D says Close. Lines with a meaning of their own: /ping [TEXT], /close [CODE [REASON]],
// /binary HEX. It works with any WebSocket server: build/websocket/echo_client --host HOST --port 80 --resource /chat

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/handshake.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>

namespace {

using Clock = std::chrono::steady_clock;
using namespace websocket;

/// Milliseconds until then, for poll().
int milliseconds_until(Clock::time_point time) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(time - Clock::now()).count();
    return static_cast<int>(std::max<long>(left, 0));
}

/// Sends the request and reads the answer. What came behind it, the first frames, is left in frames.
Agreement upgrade(int connection, ClientHandshake& handshake, std::chrono::seconds patience, std::string& frames) {
    send_all(connection, handshake.request().data(), handshake.request().size());
    const auto deadline = Clock::now() + patience;
    char buffer[4096];
    for (;;) {
        if (!wait_until_readable(connection, milliseconds_until(deadline))) {
            const bool silent = handshake.response().first_line.empty();
            throw std::runtime_error(silent ? fmt::format("no answer within {} seconds", patience.count())
                                            : handshake.reason());
        }
        const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0));
        std::string_view input(buffer, static_cast<size_t>(received));
        const auto status = handshake.take(input);
        frames = input;
        if (status == ClientHandshake::Status::accepted) return handshake.agreement();
        if (status == ClientHandshake::Status::refused || received == 0) throw std::runtime_error(handshake.reason());
    }
}

/// The conversation: what waits to be sent, and how much has come back.
struct Echo {
    Buffer output;
    Connection peer;
    Output screen;
    bool commands;              // a line that begins with / may be one
    bool unterminated = false;  // the last line of the input had no newline: nor has what we print for it
    size_t sent = 0;            // messages
    size_t received = 0;
    bool frames = false;  // tell each frame
    FrameTeller incoming{"server -> client"};
    FrameTeller outgoing{"client -> server"};

    Echo(const std::optional<DeflateParameters>& deflate, bool with_commands)
        : peer(Role::client, output, Connection::default_limits(), deflate), commands(with_commands) {}
};

/// One line of input: a message, or one of the commands.
void send_line(Echo& echo, const std::string& line) {
    const auto is = [&](const std::string& command) {
        return echo.commands && (line == command || line.starts_with(command + " "));
    };
    const auto rest = [&](size_t length) { return line.size() > length ? line.substr(length + 1) : std::string(); };
    if (is("/ping")) {
        echo.peer.ping(rest(5));
    } else if (is("/close")) {
        const std::string text = rest(6);
        const std::string code = text.substr(0, text.find(' '));
        const std::string reason = code.size() < text.size() ? text.substr(code.size() + 1) : "";
        const long number = code.empty() ? 1000 : parse_number(code, 1000, 4999, "/close");
        if (!may_travel(static_cast<unsigned>(number)))
            throw UsageError(fmt::format("/close {}: no code that may travel", number));
        if (!is_utf8(reason)) throw UsageError("/close: the reason is not UTF-8");
        echo.peer.close(static_cast<std::uint16_t>(number), reason);
    } else {
        const bool hex = is("/binary");
        const std::string bytes = hex ? bytes_of_hex(rest(7)) : line;
        if (echo.peer.send(hex || !is_utf8(line) ? Opcode::binary : Opcode::text, bytes)) ++echo.sent;
    }
}

/// Takes what was read of the input, and sends the lines that are whole; at its end also the last one as it is.
void take_input(Echo& echo, std::string& line, std::string_view piece) {
    const auto send_it = [&] {
        try {
            send_line(echo, line);
        } catch (const std::exception& error) {  // a wrong command: said, and nothing sent
            complain(error);
        }
        line.clear();
    };
    const bool end_of_input = piece.empty();
    for (size_t end; (end = piece.find('\n')) != std::string::npos; piece.remove_prefix(end + 1)) {
        line += piece.substr(0, end);
        send_it();
    }
    line += piece;
    if (end_of_input && !line.empty()) {
        const size_t sent = echo.sent;
        send_it();
        echo.unterminated = echo.sent > sent;
    }
}

void print_events(Echo& echo) {
    while (const auto event = echo.peer.next()) {
        switch (event->opcode) {
            case Opcode::text:
            case Opcode::binary:
                ++echo.received;
                echo.screen.write(std::string(event->payload) +
                                  (echo.unterminated && echo.received == echo.sent ? "" : "\n"));
                break;
            case Opcode::pong:
                fmt::print(stderr, "pong {}\n", escaped(event->payload));
                break;
            default:
                break;
        }
    }
}

void receive(Echo& echo, char* bytes, size_t count) {
    if (echo.frames) fmt::print(stderr, "{}", echo.incoming.take({bytes, count}));  // before they are unmasked in place
    echo.peer.receive(bytes, count);
    print_events(echo);
}

void note_sent(Echo& echo, size_t count) {
    if (echo.frames) fmt::print(stderr, "{}", echo.outgoing.take({echo.output.data(), count}));
    echo.output.drop_front(count);
}

/// Sends lines and prints what comes, each as soon as it can; never waits for one side only (see tcp/echo_client.cpp).
void exchange(int connection, Echo& echo, std::chrono::seconds patience, std::string first_frames) {
    std::string line;  // what has been read of the input and is no whole line yet
    bool more_input = true;
    size_t from_input = 0;  // bytes that wait to be sent, without pongs: a server could keep us busy with those
    constexpr size_t most_pongs = 65536;  // and if it does not read them, we do not go on reading its pings
    auto progress = Clock::now();         // when the server last took something of the input, or returned it
    receive(echo, first_frames.data(), first_frames.size());

    char buffer[65536];
    while (!echo.peer.finished()) {
        // Close may overtake the answers in a server that sends from a queue: so first everything comes back.
        if (!more_input && echo.received >= echo.sent) echo.peer.close(close_code::normal);

        const bool unsent = !echo.output.empty();
        const bool listen_to_input = more_input && !echo.peer.close_sent() && echo.output.size() < sizeof buffer;
        const bool users_turn = listen_to_input && !unsent;  // which has no time limit
        const int reading = echo.output.size() < from_input + most_pongs ? POLLIN : 0;
        pollfd watched[] = {{connection, static_cast<short>(reading | (unsent ? POLLOUT : 0)), 0},
                            {listen_to_input ? STDIN_FILENO : -1, POLLIN, 0}};
        CALL(poll(watched, 2, users_turn ? -1 : milliseconds_until(progress + patience)));
        if (users_turn) progress = Clock::now();

        if ((watched[0].revents & ~POLLOUT) != 0) {
            const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0));
            if (received == 0) break;
            const size_t before = echo.received;
            receive(echo, buffer, static_cast<size_t>(received));
            if (echo.received > before && !echo.peer.close_sent()) progress = Clock::now();
        }
        if ((watched[0].revents & POLLOUT) != 0) {
            const ssize_t sent = TRY(send(connection, echo.output.data(), echo.output.size(), MSG_DONTWAIT));
            if (sent > 0) {
                note_sent(echo, static_cast<size_t>(sent));
                if (from_input > 0) progress = Clock::now();
                from_input -= std::min(from_input, static_cast<size_t>(sent));
            }
        }
        if (watched[1].revents != 0) {
            const ssize_t count = CALL(read(STDIN_FILENO, buffer, sizeof buffer));
            more_input = count > 0;
            const size_t before = echo.output.size();
            take_input(echo, line, {buffer, static_cast<size_t>(count)});
            from_input += echo.output.size() - before;
        }
        if (Clock::now() >= progress + patience && !echo.peer.finished()) {
            if (echo.peer.close_sent()) throw std::runtime_error("the server does not answer our Close");
            echo.peer.close(close_code::normal);  // it does not return everything
            progress = Clock::now();
        }
    }
    echo.peer.end_of_input();
}

/// Sends what is left: the answer to the server's Close, or our own where the server broke the rules. Then the server
/// ends the TCP connection; a client waits for it a while (RFC 6455, section 7.1.1).
void hang_up(int connection, Echo& echo) {
    limit_waiting(connection, 2);
    if (!echo.output.empty()) {
        const ssize_t sent = TRY(send(connection, echo.output.data(), echo.output.size(), 0));
        if (sent > 0) note_sent(echo, static_cast<size_t>(sent));
    }
    char rest[4096];
    const auto deadline = Clock::now() + std::chrono::seconds(2);
    while (Clock::now() < deadline && TRY(recv(connection, rest, sizeof rest, 0)) > 0) {
    }
}

std::vector<std::string> split_at_commas(const std::string& text) {
    std::vector<std::string> parts;
    for (size_t begin = 0; begin < text.size();) {
        const size_t end = std::min(text.find(',', begin), text.size());
        parts.push_back(text.substr(begin, end - begin));
        begin = end + 1;
    }
    return parts;
}

}  // namespace

int main(int argc, char** argv) try {
    ClientWishes wishes;
    std::string subprotocols;
    bool deflate = false;
    std::optional<std::string> deflate_with;
    bool plain = false;
    bool frames = false;
    long patience = 10;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket echo client: sends each line of standard input as a message and prints what comes back.",
         .more = {{"resource", "PATH", "what to ask the server for", &wishes.resource},
                  {"origin", "ORIGIN", "say that a page of there is asking, as browsers do", &wishes.origin},
                  {"subprotocol", "NAMES", "subprotocols to offer, with commas between", &subprotocols},
                  {"deflate", nullptr, "offer compression (permessage-deflate)", &deflate},
                  {"deflate-with", "PARAMETERS", "offer it with 'server_max_window_bits=10; ...'", &deflate_with},
                  {"frames", nullptr, "tell each frame, both ways, to the bit", &frames},
                  {"plain", nullptr, "send lines that begin with / like all others", &plain},
                  {"patience", "SECONDS", "leave a server that keeps us waiting for so long", &patience, 1, 86400}}});
    wishes.subprotocols = split_at_commas(subprotocols);
    if (deflate) wishes.deflate.emplace();
    if (deflate_with) {
        wishes.deflate = parse_offer(*deflate_with);
        if (!wishes.deflate) {
            throw UsageError(
                fmt::format("--deflate-with '{}': expected the parameters of RFC 7692, section 7.1, with ; between",
                            escaped(*deflate_with)));
        }
    }
    wishes.host = host_and_port(without_zone(options.host), options.port);
    ClientHandshake handshake(wishes);
    const std::vector<Address> addresses = resolve(options.host, options.port, SOCK_STREAM);

    const int connection = connect_to_any(addresses);
    std::string first_frames;
    const Agreement agreement = upgrade(connection, handshake, std::chrono::seconds(patience), first_frames);
    if (!wishes.subprotocols.empty())
        fmt::print(stderr, "subprotocol: {}\n", agreement.subprotocol.empty() ? "none" : agreement.subprotocol);
    Echo echo(agreement.deflate, !plain);
    echo.frames = frames;
    exchange(connection, echo, std::chrono::seconds(patience), first_frames);
    const Closing closing = echo.peer.closing();
    if (closing.code != close_code::abnormal) hang_up(connection, echo);
    CALL(close(connection));

    if (closing.code != close_code::normal || !closing.reason.empty()) {
        fmt::print(stderr, "closed: {}{}{}\n", closing.code, closing.reason.empty() ? "" : " ",
                   escaped(closing.reason));
    }
    if (!closing.clean || echo.received < echo.sent) {
        throw std::runtime_error(fmt::format("the connection ended after {} of {} messages had come back{}",
                                             echo.received, echo.sent,
                                             closing.clean ? "" : ", and without a closing handshake"));
    }
} catch (const std::invalid_argument& error) {  // a wish that can't stand in a request
    return report_failure(UsageError(error.what()));
} catch (const std::exception& error) {
    return report_failure(error);
}
