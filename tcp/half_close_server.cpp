// TCP half-close server: counts lines, words and bytes as wc does, and takes their SHA-256, for whoever sends them.
//
//     terminal 1:  build/tcp/half_close_server
//     terminal 2:  build/tcp/half_close_client < README.md
//
// It can answer only when it has seen everything, and what "everything" is only the client can say: by FIN, which
// recv() tells as 0. After that, bytes still go the other way: the connection is half closed.
// Try it: compare with wc README.md and sha256sum README.md (macOS: shasum -a 256). And with socat or ncat as a client.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <openssl/evp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <stdexcept>

namespace {

/// What wc counts (POSIX): newlines; runs of bytes that are not white space, which is here that of ASCII; and bytes.
struct Counts {
    unsigned long long lines = 0, words = 0, bytes = 0;
    bool in_word = false;

    void add(const char* piece, size_t count) {
        bytes += count;
        for (size_t i = 0; i < count; ++i) {
            const char c = piece[i];
            const bool space = c == ' ' || (c >= '\t' && c <= '\r');
            lines += c == '\n' ? 1 : 0;
            words += !space && !in_word ? 1 : 0;
            in_word = !space;
        }
    }
};

/// SHA-256 of bytes that come in pieces (EVP_DigestInit(3)).
class Checksum {
public:
    Checksum() : context_(EVP_MD_CTX_new(), EVP_MD_CTX_free) {
        if (!context_) throw std::runtime_error("EVP_MD_CTX_new: no memory");
        must(EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr));
    }
    void add(const char* piece, size_t count) { must(EVP_DigestUpdate(context_.get(), piece, count)); }
    std::string hex() {
        unsigned char digest[EVP_MAX_MD_SIZE];
        unsigned length = 0;
        must(EVP_DigestFinal_ex(context_.get(), digest, &length));
        std::string text;
        for (unsigned i = 0; i < length; ++i)
            text += fmt::format("{:02x}", digest[i]);
        return text;
    }

private:
    static void must(int succeeded) {
        if (succeeded != 1) throw std::runtime_error("SHA-256: OpenSSL refuses");
    }
    std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context_;
};

/// Takes what the client sends to its very end, and only then answers. A file of any size needs no more room than this.
void serve(int connection) {
    char buffer[65536];
    Counts counts;
    Checksum checksum;
    while (const ssize_t received = CALL(recv(connection, buffer, sizeof buffer, 0))) {
        counts.add(buffer, static_cast<size_t>(received));
        checksum.add(buffer, static_cast<size_t>(received));
    }
    const std::string answer = fmt::format("{} lines, {} words, {} bytes\n{}  -\n", counts.lines, counts.words,
                                           counts.bytes, checksum.hex());  // the second line is sha256sum's
    send_all(connection, answer.data(), answer.size());
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
    long idle = 300;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TCP half-close server: counts what a client sends until its FIN, one client at a time.",
         .more = {{"idle", "SECONDS", "close a client that is silent for so long; 0: never", &idle, 0, 86400}}});
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
            serve(connection);
        } catch (const SocketError& error) {  // this client's trouble is not the next one's
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
