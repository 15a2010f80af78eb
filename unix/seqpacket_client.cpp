// Unix domain client for messages: socket, connect, send, recv, shutdown, close.
//
//     terminal 1:  build/unix/seqpacket_server --step
//     terminal 2:  build/unix/seqpacket_client --step
//
// Each line that you type is one message; Ctrl-D ends the input. It has the easier half of two others: it connects, as
// unix/echo_client.cpp does, and so needs no name to be answered; and one recv() is one whole answer, as in
// unix/datagram_client.cpp, so that nothing has to be put together. Try it: --ahead 5, and see that five lines stay
// five.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <iostream>
#include <stdexcept>

namespace {

/// A line with its newline, which the last one may lack. False at the end of standard input.
bool read_line(std::string& line) {
    if (!std::getline(std::cin, line)) return false;
    if (!std::cin.eof()) line += '\n';
    return true;
}

/// Prints the next message. False if the server has ended the connection instead.
bool print_message(int connection, Output& output) {
    char message[65536];
    const ssize_t received = CALL(recv(connection, message, sizeof message, 0));
    output.write({message, static_cast<size_t>(received)});
    return received > 0;
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 30;
    long ahead = 0;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain message client: sends each line of standard input and prints what comes back.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "seqpacket",
         .more = {{"ahead", "N", "send so many lines before taking the first answer", &ahead, 0, 5},
                  {"timeout", "SECONDS", "wait so long for room, and for an answer", &timeout, 1, 3600}}});
    const Address address = unix_address(options.path);

    const int connection = CALL(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    CALL(connect(connection, address.get(), address.length()));
    limit_waiting(connection, timeout);
    Output output;
    long waiting = 0;  // messages without an answer yet
    const auto answered = [&] {
        if (!print_message(connection, output)) throw std::runtime_error("the server ended the connection");
        --waiting;
    };
    for (std::string line; read_line(line);) {
        CALL(send(connection, line.data(), line.size(), 0));  // one message, whole or not at all
        if (++waiting > ahead) answered();
    }
    CALL(shutdown(connection, SHUT_WR));  // "that was all": the server's recvmsg() returns 0
    while (waiting > 0)
        answered();
    CALL(close(connection));
} catch (const std::exception& error) {
    return report_failure(error);
}
