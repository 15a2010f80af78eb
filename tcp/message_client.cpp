// TCP message client: each line of its input is one message, and each message that comes back is printed as a line.
//
//     terminal 1:  build/tcp/message_server
//     terminal 2:  build/tcp/message_client
//
// It differs from echo_client.cpp in what it counts: messages, where that one counts bytes. How a message is marked in
// the stream (--framing) must be the same at both ends. Try it: give them different ones.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "tcp/framing.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <stdexcept>

namespace {

/// Sends what there is room for now, perhaps nothing, and never waits. Returns how many bytes that was.
size_t send_some(int connection, const char* bytes, size_t count) {
    try {
        return static_cast<size_t>(CALL(send(connection, bytes, count, MSG_DONTWAIT)));
    } catch (const SocketError& error) {
        if (error.code().value() != EAGAIN) throw;
        return 0;
    }
}

/// Cuts the input into lines. What follows the last newline waits for more; only so much is kept of it.
class Lines {
public:
    explicit Lines(size_t limit) : limit_(limit) {}

    /// Calls take(line) for each line that these bytes end.
    template <typename Take>
    void add(std::string_view bytes, Take take) {
        for (size_t end; (end = bytes.find('\n')) != std::string_view::npos; bytes.remove_prefix(end + 1)) {
            take(rest_ + std::string(bytes.substr(0, end)));
            rest_.clear();
        }
        rest_ += bytes;
        if (rest_.size() > limit_) {
            throw FramingError(fmt::format("a line of the input is longer than --limit {}", limit_));
        }
    }
    const std::string& rest() const { return rest_; }

private:
    size_t limit_;
    std::string rest_;
};

/// Sends each line of standard input as a message and prints the answers, each as soon as it can. Returns when the
/// server has ended the connection; throws if it did so before every message was back.
void exchange(int connection, Framing framing, const std::string& framing_name, size_t limit) {
    Output output;
    MessageReader answers(framing, limit);
    Lines lines(limit);
    std::string unsent;
    bool more_input = true;
    size_t sent_in_all = 0, received_in_all = 0;
    const auto add_message = [&](const std::string& line) {
        unsent += framed(framing, line, limit);
        ++sent_in_all;
    };

    for (;;) {
        pollfd watched[] = {{connection, static_cast<short>(unsent.empty() ? POLLIN : POLLIN | POLLOUT), 0},
                            {more_input && unsent.empty() ? STDIN_FILENO : -1, POLLIN, 0}};  // poll() passes over -1
        CALL(poll(watched, 2, -1));

        if ((watched[0].revents & ~POLLOUT) != 0) {  // bytes, the end, or an error that recv() will tell
            char bytes[65536];
            const ssize_t received = CALL(recv(connection, bytes, sizeof bytes, 0));
            if (received == 0) break;
            answers.add({bytes, static_cast<size_t>(received)});
            while (const auto answer = answers.next()) {
                output.write(*answer + "\n");
                ++received_in_all;
            }
        }
        if ((watched[0].revents & POLLOUT) != 0) {  // there is room, if perhaps not for all of it
            unsent.erase(0, send_some(connection, unsent.data(), unsent.size()));
            if (unsent.empty() && !more_input) CALL(shutdown(connection, SHUT_WR));
        }
        if (watched[1].revents != 0) {
            char input[65536];
            const ssize_t count = CALL(read(STDIN_FILENO, input, sizeof input));
            lines.add({input, static_cast<size_t>(count)}, add_message);
            if (count == 0) {
                more_input = false;
                if (!lines.rest().empty()) add_message(lines.rest());     // the last line, which no newline ended
                if (unsent.empty()) CALL(shutdown(connection, SHUT_WR));  // the server's recv() returns 0
            }
        }
    }
    answers.last();  // throws if an answer is cut off
    if (received_in_all < sent_in_all || more_input) {
        throw std::runtime_error(fmt::format(
            "the server ended the connection after {} of {} messages had come back{}", received_in_all, sent_in_all,
            received_in_all == 0 ? fmt::format(": does it use another framing than {}?", framing_name) : ""));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::string framing_name = "line";
    long limit = 65536;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP message client: sends each line of standard input as a message and prints the answers.",
         .more = {{"framing", "line|length", "how messages are marked in the stream", &framing_name},
                  {"limit", "BYTES", "the longest message to send or to take", &limit, 1, most_limit}}});
    const Framing framing = parse_framing(framing_name);

    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));
    exchange(connection, framing, framing_name, static_cast<size_t>(limit));
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
