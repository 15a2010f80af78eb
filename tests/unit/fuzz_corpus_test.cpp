// The fuzz targets without a fuzzer: each is called with every file of its corpus (see tests/fuzz/fuzz.hpp).

#include "tests/catch.hpp"
#include "tests/support/files.hpp"

#include <cstdint>
#include <string>
#include <vector>

int fuzz_batch(const std::uint8_t* data, std::size_t size);
int fuzz_chat_message(const std::uint8_t* data, std::size_t size);
int fuzz_client_connection(const std::uint8_t* data, std::size_t size);
int fuzz_client_handshake(const std::uint8_t* data, std::size_t size);
int fuzz_deflate(const std::uint8_t* data, std::size_t size);
int fuzz_event_stream(const std::uint8_t* data, std::size_t size);
int fuzz_extensions(const std::uint8_t* data, std::size_t size);
int fuzz_group_chat(const std::uint8_t* data, std::size_t size);
int fuzz_http_response(const std::uint8_t* data, std::size_t size);
int fuzz_icmp(const std::uint8_t* data, std::size_t size);
int fuzz_icmp_errors(const std::uint8_t* data, std::size_t size);
int fuzz_observer(const std::uint8_t* data, std::size_t size);
int fuzz_probe(const std::uint8_t* data, std::size_t size);
int fuzz_server_connection(const std::uint8_t* data, std::size_t size);
int fuzz_server_handshake(const std::uint8_t* data, std::size_t size);
int fuzz_tap_files(const std::uint8_t* data, std::size_t size);
int fuzz_tftp(const std::uint8_t* data, std::size_t size);
int fuzz_transfer(const std::uint8_t* data, std::size_t size);
int fuzz_utf8(const std::uint8_t* data, std::size_t size);
int fuzz_window(const std::uint8_t* data, std::size_t size);

namespace {

struct Target {
    std::string name;
    int (*call)(const std::uint8_t* data, std::size_t size);
};

const std::vector<Target> targets = {
    {"batch", fuzz_batch},
    {"chat_message", fuzz_chat_message},
    {"client_connection", fuzz_client_connection},
    {"client_handshake", fuzz_client_handshake},
    {"deflate", fuzz_deflate},
    {"event_stream", fuzz_event_stream},
    {"extensions", fuzz_extensions},
    {"group_chat", fuzz_group_chat},
    {"http_response", fuzz_http_response},
    {"icmp", fuzz_icmp},
    {"icmp_errors", fuzz_icmp_errors},
    {"observer", fuzz_observer},
    {"probe", fuzz_probe},
    {"server_connection", fuzz_server_connection},
    {"server_handshake", fuzz_server_handshake},
    {"tap_files", fuzz_tap_files},
    {"tftp", fuzz_tftp},
    {"transfer", fuzz_transfer},
    {"utf8", fuzz_utf8},
    {"window", fuzz_window},
};

}  // namespace

TEST_CASE("fuzz corpora: what was found interesting once holds", "[unit][websocket][fuzz]") {
    for (const Target& target : targets) {
        const std::vector<std::string> files = files_in("tests/fuzz/corpus/" + target.name, "");
        INFO(target.name);
        CHECK(files.size() >= 12);
        for (const std::string& file : files) {
            INFO(file);
            const std::string content = read_file(file);
            const std::vector<std::uint8_t> bytes(content.begin(), content.end());
            CHECK_NOTHROW(target.call(bytes.data(), bytes.size()));
        }
    }
    CHECK(files_in("tests/fuzz", ".cpp").size() == targets.size());  // each file is a target, and called above
}
