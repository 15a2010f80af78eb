// The least that a file server can do: sendfile() of one file to whoever asks for anything. What file_server is
// measured against in tests/bench/tcp_file.sh.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int argc, char** argv) try {
    const Options options = parse_options(
        argc, argv, {.summary = "Sends one file to everybody, by nothing but sendfile().", .arguments = {"FILE"}});
    const int file = CALL(open(options.arguments[0].c_str(), O_RDONLY));
    struct stat status {};
    CALL(fstat(file, &status));
    const Address address = resolve(options.host, 0, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = CALL(accept(listener, nullptr, nullptr));
        char request[4096];
        CALL(recv(connection, request, sizeof request, 0));
        for (off_t offset = 0; offset < status.st_size;) {
            if (CALL(sendfile(connection, file, &offset, static_cast<size_t>(status.st_size - offset))) == 0) break;
        }
        CALL(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
