// Passing client: asks passing_server many times, and counts which of its workers answered, and what was lost.
//
//     terminal 1:  build/unix/passing_server
//     terminal 2:  build/unix/passing_worker          (and another in terminal 3)
//     terminal 4:  build/unix/passing_client --requests 1000
//
// To the client this is a TCP server like any other: nothing that it can see tells that another process accepted the
// connection than answers it, but for the number that the worker says.
//
// Try it: start the workers with --work 100, run it, and kill -9 a worker meanwhile. How many requests are lost?

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

constexpr std::size_t longest_answer = 4096;

/// Sends one request, as all that this side will say. Returns the connection, or -1 if that did not succeed.
int ask(const std::vector<Address>& server, const std::string& request, long patience) {
    int connection = -1;
    try {
        connection = connect_to_any(server);
        limit_waiting(connection, patience);
        send_all(connection, request.data(), request.size());
        CALL(shutdown(connection, SHUT_WR));
        return connection;
    } catch (const SocketError& error) {
        complain(error);
        if (connection != -1) TRY(close(connection));
        return -1;
    }
}

/// All that comes until the server's side ends: "worker 1\n" and the request.
std::string receive_answer(int connection) {
    std::string answer;
    char buffer[4096];
    try {
        while (answer.size() < longest_answer) {
            const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0));
            if (received == 0) break;
            answer.append(buffer, static_cast<size_t>(received));
        }
    } catch (const SocketError& error) {
        complain(error);
    }
    TRY(close(connection));
    return answer;
}

}  // namespace

int main(int argc, char** argv) try {
    long requests = 100;
    long at_once = 4;
    long patience = 30;
    bool brief = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Sends requests to passing_server, and counts who answered.",
         .more = {{"requests", "N", "how many, each on a connection of its own", &requests, 1, 10'000'000},
                  {"at-once", "N", "how many connections at a time", &at_once, 1, 500},
                  {"patience", "SECONDS", "give an answer up that has not come by then", &patience, 1, 3600},
                  {"brief", nullptr, "print the total only", &brief}}});
    const std::vector<Address> server = resolve(options.host, options.port, SOCK_STREAM);

    std::map<std::string, long> answers;  // by worker
    long lost = 0;
    for (long first = 0; first < requests; first += at_once) {
        std::vector<int> connections;
        const long end = std::min(first + at_once, requests);
        for (long number = first; number < end; ++number)
            connections.push_back(ask(server, fmt::format("request {}\n", number), patience));
        for (long number = first; number < end; ++number) {
            const int connection = connections[static_cast<size_t>(number - first)];
            const std::string answer = connection == -1 ? "" : receive_answer(connection);
            const size_t line = answer.find('\n');
            const bool whole =
                line != std::string::npos && answer.substr(line + 1) == fmt::format("request {}\n", number);
            if (!whole) {
                fmt::print(stderr, "request {} is lost: got \"{}\"\n", number, escaped(answer));
                ++lost;
            } else {
                ++answers[answer.substr(0, line)];
            }
        }
    }
    if (!brief) {
        for (const auto& [worker, count] : answers)
            fmt::print("{}: {} requests\n", escaped(worker), count);
    }
    fmt::print("{} answered, {} lost\n", requests - lost, lost);
    return lost == 0 ? 0 : 1;
} catch (const std::exception& error) {
    return report_failure(error);
}
