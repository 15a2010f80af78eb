// "Address already in use": who or what has it, when a server is started again, with and without SO_REUSEADDR.
//
//     build/tcp/time_wait
//     build/tcp/time_wait --port 7000        while another server listens there: it is found out which
//
// The server that closes a connection first keeps its address in TIME_WAIT for a minute, with no process left. bind()
// then refuses the port, unless SO_REUSEADDR is set; against a server that still listens, SO_REUSEADDR helps nothing.
// Try it: once more at once (the new TIME_WAIT joins the old); --client-first, so that TIME_WAIT is the client's.
//
// On macOS the rules are the same but for this: with SO_REUSEADDR, one server may listen at 0.0.0.0 and another at
// 127.0.0.1 with the same port, and clients of 127.0.0.1 get the second. Linux refuses that. Who has an address is told
// there by lsof -i and netstat -an: there is no table to read as in /proc.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/sockets.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

namespace {

/// The processes that have a socket open, found as ss -p does: among all descriptors that we are allowed to see.
std::string owners_of(std::uint64_t socket_id) {
    namespace fs = std::filesystem;
    std::string owners;
    std::error_code ignored;  // processes end while we look, and those of other users are closed to us
    const std::string wanted = fmt::format("socket:[{}]", socket_id);
    for (const auto& process : fs::directory_iterator("/proc", ignored)) {
        const std::string pid = process.path().filename().string();
        if (pid.find_first_not_of("0123456789") != std::string::npos) continue;
        for (fs::directory_iterator fd(process.path() / "fd", ignored), end; !ignored && fd != end;
             fd.increment(ignored)) {
            if (fs::read_symlink(fd->path(), ignored) != wanted) continue;
            std::string name;
            std::ifstream comm(process.path() / "comm");
            std::getline(comm, name);
            owners += fmt::format("{}{} (pid {})", owners.empty() ? "" : ", ", escaped(name), pid);
            break;
        }
        ignored.clear();
    }
    return owners.empty() ? "a process that we may not look at" : owners;
}

/// "7000" of "127.0.0.1:7000".
std::string port_of(const std::string& address) { return address.substr(address.rfind(':') + 1); }

/// Every socket of this machine that has the port on its own side, as the kernel's table has it.
void show_who_has(const Address& address) {
    constexpr int most = 10;
    int found = 0;
    for (const TableEntry& entry : look_at_table()) {
        const SocketState& socket = entry.socket;
        if (port_of(socket.local) != port_of(address.text()) || ++found > most) continue;
        const std::string ends = socket.state == "LISTEN" ? socket.local : socket.local + " <-> " + socket.peer;
        const std::string rest = entry.timer == "TIME_WAIT" ? fmt::format(" for {:.2f} s more", entry.seconds) : "";
        fmt::print("    {}  {}{}: {}\n", ends, socket.state, rest,
                   socket.id != 0 ? owners_of(socket.id) : "of no process, only of the kernel");
    }
    if (found > most) fmt::print("    and {} more\n", found - most);
    if (found == 0) fmt::print("    (no table here tells: ask netstat -an and lsof -i)\n");
}

/// Makes a server listen at the address; -1 if another has it, and then tells who.
int start_server(const Address& address, bool reuse) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    if (reuse) {
        const int on = 1;
        CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on));
    }
    const int bound = TRY(bind(listener, address.get(), address.length()));
    const int error = errno;
    fmt::print("  bind({}){} = {}\n", address.text(), reuse ? " with SO_REUSEADDR" : "",
               bound == 0 ? "0" : "-1 " + error_name(error));
    if (bound == -1) {
        TRY(close(listener));
        if (error != EADDRINUSE) throw std::runtime_error(fmt::format("bind: {}", describe_error(error)));
        fmt::print("  who has this port:\n");
        show_who_has(address);
        return -1;
    }
    CALL(listen(listener, 1));
    return listener;
}

/// A connection, and its end: who calls close() first gets TIME_WAIT.
void serve_one(int listener, bool client_first) {
    const Address address = local_address(listener);
    const int client = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(connect(client, address.get(), address.length()));
    const int connection = CALL(accept(listener, nullptr, nullptr));
    const std::string pair = look_at_socket(connection).pair;
    const std::string client_pair = look_at_socket(client).pair;

    const int first = client_first ? client : connection;
    const int second = client_first ? connection : client;
    char byte = 0;
    CALL(close(first));
    CALL(recv(second, &byte, 1, 0));  // 0: the FIN is here
    CALL(close(second));

    const auto state = [](const std::string& of) {
        const std::string text = state_of_pair(of);
        return text.empty() ? "gone" : text;
    };
    fmt::print("  one client was served; {} closed first: the server's side is {}, the client's {}\n",
               client_first ? "it" : "the server", state(pair), state(client_pair));
}

}  // namespace

int main(int argc, char** argv) try {
    bool client_first = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "Who has an address that is already in use, and what SO_REUSEADDR changes.",
         .more = {{"client-first", nullptr, "let the client close its connection first", &client_first}}});
    Address address = resolve(options.host, options.port, SOCK_STREAM).front();

    fmt::print("a server is started:\n");
    int listener = start_server(address, true);
    if (listener == -1) throw std::runtime_error(fmt::format("{} is taken: stop that first", address.text()));
    address = local_address(listener);  // with --port 0, the kernel has picked one
    serve_one(listener, client_first);
    CALL(close(listener));

    fmt::print("it has ended, and is started again without SO_REUSEADDR:\n");
    listener = start_server(address, false);
    if (listener != -1) CALL(close(listener));

    fmt::print("and with it:\n");
    listener = start_server(address, true);
    if (listener == -1) throw std::runtime_error("that should have worked");

    fmt::print("a second server, with SO_REUSEADDR, too, while this one listens:\n");
    const int another = start_server(address, true);
    if (another != -1) CALL(close(another));
    CALL(close(listener));
} catch (const std::exception& error) {
    return report_failure(error);
}
