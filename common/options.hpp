#pragma once
// The options that every program takes, and those of its own. getopt_long(3) parses.

#include "common/address.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

/// Where every server listens and every client connects unless told otherwise. TCP and UDP count ports apart.
constexpr std::uint16_t default_port = 7000;

/// What the program talks through, and so which of --host, --port and --path it takes.
enum class Endpoint { none, network, unix_path };

/// An option of one program's own. The target holds the default, which --help shows; an optional one has none.
struct Option {
    const char* name;      ///< "idle" for --idle
    const char* argument;  ///< "SECONDS"; nullptr: a flag
    const char* help;
    std::variant<bool*, long*, std::string*, std::optional<std::string>*> target;
    long least = 0;  ///< for a number: the range that is accepted
    long most = 1'000'000'000;
};

/// What a program tells about itself.
struct Program {
    const char* summary;  ///< one line for --help
    Endpoint endpoint = Endpoint::network;
    const char* socket_name = "";             ///< of a Unix socket, where --path is not given
    std::vector<Option> more = {};            ///< its own options
    std::vector<const char*> arguments = {};  ///< the names of its arguments, all needed: {"HOST", "PORT"}
};

struct Options {
    std::string host = "127.0.0.1";
    std::uint16_t port = default_port;  ///< a server given 0 lets the kernel pick
    std::string path;                   ///< a Unix socket's file (socket_path.hpp)
    std::vector<std::string> arguments;
};

/// Reads the command line and starts the narrator as it asks; --help prints and ends the program.
/// Also ignores SIGPIPE: a write to a peer that is gone then fails with EPIPE, on Linux and macOS alike (signal(7)).
/// Throws UsageError (errors.hpp) with one line that says what is wrong and what was expected.
Options parse_options(int argc, char** argv, const Program& program);

/// A decimal number within a range, and nothing but that. Throws UsageError that names what it was read for.
long parse_number(const std::string& text, long least, long most, const std::string& what);

/// The addresses of "127.0.0.1:7000", "[::1]:7000" or "localhost:7000", for an option of this name. type: as resolve()
/// wants it (address.hpp). Throws UsageError, ResolveError.
std::vector<Address> resolve_target(const std::string& text, const std::string& option, int type);
