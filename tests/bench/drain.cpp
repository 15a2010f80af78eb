// A receiving side for tests/bench/tcp_file.sh: sends a request, receives all that comes until the end, and prints how
// long that took and how much CPU time the server spent on it. It looks at no byte.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <chrono>
#include <ctime>
#include <string>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

/// The CPU time of a process so far, user and system.
double cpu_seconds(long pid) {
    clockid_t clock{};
    timespec time{};
    if (clock_getcpuclockid(static_cast<pid_t>(pid), &clock) != 0 || clock_gettime(clock, &time) != 0)
        throw UsageError("--pid: there is no such process");
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

}  // namespace

int main(int argc, char** argv) try {
    long pid = 0;
    std::string get = "file", output;
    const Options options = parse_options(argc, argv,
                                          {.summary = "Receives all that a server sends, and times it.",
                                           .more = {{"pid", "PID", "the server, for its CPU time", &pid},
                                                    {"get", "NAME", "ask for this file", &get},
                                                    {"output", "PATH", "write what comes to a file", &output}}});
    const std::string request = fmt::format("GET {}\nFROM 0\n", get);
    std::vector<char> buffer(std::size_t{256} << 10U);
    const int file = output.empty() ? -1 : CALL(open(output.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600));
    const int connection = connect_to_any(resolve(options.host, options.port, SOCK_STREAM));

    const double cpu = cpu_seconds(pid);
    const auto begin = std::chrono::steady_clock::now();
    send_all(connection, request.data(), request.size());
    long bytes = 0;
    while (const ssize_t count = CALL(recv(connection, buffer.data(), buffer.size(), 0))) {
        if (file != -1) write_all(file, {buffer.data(), static_cast<std::size_t>(count)});
        bytes += count;
    }
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    fmt::print("{{\"bytes\": {}, \"seconds\": {:.4f}, \"server_cpu\": {:.4f}}}\n", bytes, seconds,
               cpu_seconds(pid) - cpu);
} catch (const std::exception& error) {
    return report_failure(error);
}
