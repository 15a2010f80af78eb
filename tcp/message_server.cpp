// TCP message server: how messages are found in a stream. It shows what each recv() brought beside the messages in it.
//
//     terminal 1:  build/tcp/message_server
//     terminal 2:  build/tcp/message_client
//
// Each message is answered with itself. --framing says how one ends: framing.hpp has both ways.
// Try it: printf 'one\ntwo\nthr' into a client, and then through tcp/trouble. And different framings at the two ends.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "tcp/columns.hpp"
#include "tcp/framing.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>

namespace {

/// A line of the table. The left side is what a recv() brought; it is empty from its second message on.
void show(const std::string& received, const std::string& bytes, const std::string& message) {
    fmt::print("{:>5}  {}  {}\n", received, padded(bytes, 40), message);
}

/// Answers each message with itself. Returns when the client has closed its side; throws FramingError.
void serve(int connection, Framing framing, size_t limit) {
    MessageReader reader(framing, limit);
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        const std::string_view bytes(buffer, static_cast<size_t>(received));
        std::string count = fmt::format("{}", received), text = shortened(bytes, 40);
        const auto show_beside = [&](const std::string& message) {
            show(count, text, message);
            count = text = "";
        };
        std::string answers;  // to all messages of this recv(), for one send()
        reader.add(bytes);
        try {
            while (const auto message = reader.next()) {
                show_beside(fmt::format("\"{}\"", shortened(*message, 28)));
                answers += framed(framing, *message, limit);
            }
        } catch (const FramingError&) {
            show_beside("no message");
            send_all(connection, answers.data(), answers.size());
            throw;
        }
        const size_t more = reader.waiting();
        if (more > 0) show_beside(fmt::format("... {} byte{} of the next", more, more == 1 ? "" : "s"));
        send_all(connection, answers.data(), answers.size());
    }
    const auto message = reader.last();
    show("0", "", message ? fmt::format("\"{}\", which no newline ended", shortened(*message, 28)) : "the end");
    if (message) {
        const std::string answer = framed(framing, *message, limit);
        send_all(connection, answer.data(), answer.size());
    }
}

/// Says goodbye to a client that may be in the middle of sending. close() would answer what is unread with RST, which
/// may destroy what we sent and the client has not read: so FIN goes first, and for a second we read and forget.
void part(int connection) {
    using namespace std::chrono;
    CALL(shutdown(connection, SHUT_WR));
    const auto deadline = steady_clock::now() + seconds(1);
    char forgotten[65536];
    for (;;) {
        const auto left = duration_cast<milliseconds>(deadline - steady_clock::now()).count();
        if (left <= 0 || !wait_until_readable(connection, left)) return;
        if (CALL(recv(connection, forgotten, sizeof forgotten, 0)) == 0) return;
    }
}

/// accept() brings the errors of clients, too: of one that gave up while it waited in the queue, for instance.
int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::string framing_name = "line";
    long limit = 65536;
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP message server: answers each message with itself, one client at a time.",
         .more = {{"framing", "line|length", "how messages are marked in the stream", &framing_name},
                  {"limit", "BYTES", "end a client whose message is longer", &limit, 1, most_limit},
                  {"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
    const Framing framing = parse_framing(framing_name);
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;  // without it, a restart within a minute of hanging up on a client meets TIME_WAIT
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);

    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, idle);
            show("recv", "bytes", "messages");
            serve(connection, framing, static_cast<size_t>(limit));
        } catch (const FramingError& error) {
            complain(error);
            try {
                part(connection);
            } catch (const SocketError&) {  // gone already
            }
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
