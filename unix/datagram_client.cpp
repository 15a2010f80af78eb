// Unix domain datagram client: socket, bind, sendto, recvfrom, close.
//
//     terminal 1:  build/unix/datagram_server --step
//     terminal 2:  build/unix/datagram_client --step
//
// Each line that you type is one datagram; Ctrl-D ends the input. No datagram is lost, so that none is ever sent again.
// But the kernel picks no address for us at the first sendto(), as it does in UDP: who wants an answer has to bind.
// Try it: --no-name, and then with the server stopped (Ctrl-Z): seq 100 | build/unix/datagram_client --no-name --trace

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <stdexcept>

namespace {

/// A line with its newline, which the last one may lack. False at the end of standard input.
bool read_line(std::string& line) {
    if (!std::getline(std::cin, line)) return false;
    if (!std::cin.eof()) line += '\n';
    return true;
}

/// Ctrl-C must not leave our name in the file system. After this, the signal does what it always does.
void tidy_up(int signal) {
    narrator::restore_terminal();
    remove_socket_file();
    std::signal(signal, SIG_DFL);
    std::raise(signal);
}

/// Gives our socket a name, to which the server can answer.
void bind_to_own_path(int endpoint, const std::string& path) {
    for (const int signal : {SIGINT, SIGTERM})
        std::signal(signal, tidy_up);
    bind_to_path(endpoint, path);
}

/// Waits for the server's answer. Anybody who may write to our socket's file can send to it: the rest is passed over.
void print_answer(int endpoint, const Address& server, Output& output) {
    for (;;) {
        char reply[65536];
        Address sender;
        const ssize_t received = CALL(recvfrom(endpoint, reply, sizeof reply, 0, sender.out(), sender.out_length()));
        if (sender == server) return output.write({reply, static_cast<size_t>(received)});
        fmt::print(stderr, "passed over {} bytes from {}, which is not the server\n", received,
                   sender.text().empty() ? "a socket without a name" : escaped(sender.text()));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    long timeout = 30;
    bool no_name = false;
    std::string own_path;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Unix domain datagram client: sends each line of standard input and prints what comes back.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "datagram",
         .more = {
             {"no-name", nullptr, "don't bind, so that nothing can come back, and wait for nothing", &no_name},
             {"own-path", "PATH", "the path of our own socket (default: one in a directory of your own)", &own_path},
             {"timeout", "SECONDS", "wait so long for room, and for an answer", &timeout, 1, 3600}}});
    const Address server = unix_address(options.path);

    const int endpoint = CALL(socket(AF_UNIX, SOCK_DGRAM, 0));
    if (!no_name) {
        bind_to_own_path(endpoint,
                         own_path.empty() ? private_socket_path(fmt::format("datagram.{}", getpid())) : own_path);
    }
    limit_waiting(endpoint, timeout);
    Output output;
    for (std::string line; read_line(line);) {
        CALL(sendto(endpoint, line.data(), line.size(), 0, server.get(), server.length()));
        if (!no_name) print_answer(endpoint, server, output);
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
