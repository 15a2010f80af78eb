// Passing worker: is sent live TCP connections by passing_server, and serves them, one at a time.
//
//     terminal 1:  build/unix/passing_server
//     terminal 2:  build/unix/passing_worker --trace  (and another in terminal 3)
//     terminal 4:  build/unix/passing_client
//
// It never listens at a port, never accepts, and may run as a user who may do neither: what it can do with the network
// it was handed. It says its number, and then returns what arrives, as tcp/echo_server.cpp does.
//
// Try it: --trace, and see a TCP socket appear by recvmsg(), ESTABLISHED from the start. Change: leave out the 'd'.

#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/socket_path.hpp"
#include "common/stream.hpp"

#include <string>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Settings {
    long idle = 300;
    long work = 0;  // milliseconds
};

/// Returns what arrives to where it came from. recv() says 0 when the client has closed its side.
void serve(int connection) {
    char buffer[4096];
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        send_all(connection, buffer, static_cast<size_t>(received));
    }
}

void serve_as(unsigned number, int connection, const Settings& settings) {
    CALL(fcntl(connection, F_SETFL, 0));  // to wait or not belongs to what was sent, and the sender had set it
    limit_waiting(connection, settings.idle);
    const std::string greeting = fmt::format("worker {}\n", number);
    send_all(connection, greeting.data(), greeting.size());
    if (settings.work > 0) poll(nullptr, 0, static_cast<int>(settings.work));
    serve(connection);
}

/// A server that ended with something of ours unread has reset the connection.
Delivery next_delivery(int server, unsigned char& number) {
    try {
        return receive_with_descriptors(server, &number, 1, 1);
    } catch (const SocketError& error) {
        if (error.code().value() != ECONNRESET) throw;
        return {};
    }
}

/// Takes a connection from the server and serves it. False: there will be no more.
bool take_one(int server, const Settings& settings) {
    unsigned char number = 0;  // who we are, in the eyes of the server
    Delivery delivery = next_delivery(server, number);
    if (delivery.count == 0) return false;
    if (delivery.descriptors.size() != 1 || delivery.incomplete) {
        fmt::print(stderr, "worker {}: {}\n", number,
                   delivery.incomplete ? "a connection was cut off: no descriptor is free, or too many were sent"
                                       : "no connection came with the message");
        send_all(server, "n", 1);
        return true;  // what did come is closed here
    }
    Descriptor connection = std::move(delivery.descriptors.front());
    send_all(server, "g", 1);  // fails if the server has given us up, and the client is another worker's
    try {
        serve_as(number, connection.get(), settings);
    } catch (const SocketError& error) {  // this client's trouble is not the next one's
        complain(error);
    }
    TRY(close(connection.release()));
    TRY(send(server, "d", 1, 0));  // if the server has ended, recvmsg() will tell
    return true;
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Serves the TCP connections that passing_server hands it over a Unix socket.",
         .endpoint = Endpoint::unix_path,
         .socket_name = "passing",
         .more = {
             {"idle", "SECONDS", "close a client that is silent for so long; 0: never", &settings.idle, 0, 86400},
             {"work", "MILLISECONDS", "take so long for each client, to be watched", &settings.work, 0, 3600000}}});
    const Address address = unix_address(options.path);

    const int server = CALL(socket(AF_UNIX, SOCK_STREAM, 0));
    CALL(connect(server, address.get(), address.length()));
    while (take_one(server, settings)) {
    }
    fmt::print(stderr, "the server has ended\n");
    CALL(close(server));
} catch (const std::exception& error) {
    return report_failure(error);
}
