// From a name to the bytes that connect() wants, and back: getaddrinfo, sockaddr_in, sockaddr_in6, getnameinfo.
//
//     build/tcp/addresses localhost 7000
//     build/tcp/addresses ::1 http
//
// Every other program leaves this to common/address; here it is written out in full. Nothing is connected to: each
// answer is shown as it lies in memory, field by field, with the offset of its first byte.
// Try it: a name of your own, 127.1, fe80::1%lo; and what comes when the line that sets hints.ai_socktype is left out.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"

#include <fmt/core.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <memory>
#include <stdexcept>

namespace {

/// getaddrinfo() and getnameinfo() have error numbers of their own, and gai_strerror(3) is short about them.
std::string describe_eai(int error) {
    if (error == EAI_NONAME) return "no such name (EAI_NONAME): neither /etc/hosts nor DNS has an address for it";
    if (error == EAI_SERVICE) return "no such service (EAI_SERVICE): /etc/services has no TCP port of that name";
    if (error == EAI_AGAIN) return "no answer for now (EAI_AGAIN): /etc/hosts leaves it to DNS, and no server answers";
    // EAI_SYSTEM: see errno. So does --fault, by -1; glibc's EAI_BADFLAGS is -1 too, but the flags here are good.
    return error == EAI_SYSTEM || error == -1 ? describe_error(errno) : gai_strerror(error);
}

/// The way back: names, or digits if the flags say so; an address without a name gives digits unasked.
std::string text_of(const addrinfo& answer, int flags) {
    char host[NI_MAXHOST];
    char service[NI_MAXSERV];
    const int status =
        TRY(getnameinfo(answer.ai_addr, answer.ai_addrlen, host, sizeof host, service, sizeof service, flags));
    if (status != 0) throw std::runtime_error(fmt::format("getnameinfo: {}", describe_eai(status)));
    return fmt::format("{}, port {}", escaped(host), escaped(service));  // a name is what somebody's DNS server says
}

/// One field of the structure that begins at start, eight bytes a line.
template <typename Field>
void show(const sockaddr* start, const Field& field, const char* name, const std::string& meaning) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(&field);
    const auto offset = static_cast<size_t>(bytes - reinterpret_cast<const unsigned char*>(start));
    for (size_t line = 0; line < sizeof field; line += 8) {
        std::string hex;
        for (size_t i = line; i < std::min(line + 8, sizeof field); ++i)
            hex += fmt::format(" {:02x}", bytes[i]);
        fmt::print("    {:2} {}\n", offset + line, line > 0 ? hex : fmt::format("{:25}  {:14} {}", hex, name, meaning));
    }
}

/// A port travels with its high byte first; forget htons() on a PC, and you ask for another one.
std::string describe_port(in_port_t port) {
    const unsigned number = ntohs(port);
    const unsigned misread = port;
    return fmt::format("{0} = 0x{0:04x}, high byte first; without ntohs() it reads {1} = 0x{1:04x}", number, misread);
}

void show_answer(const addrinfo& answer) {
    const sockaddr* start = answer.ai_addr;
    const char* family = start->sa_family == AF_INET6 ? "AF_INET6" : "AF_INET";
    const char* type = answer.ai_socktype == SOCK_STREAM  ? "SOCK_STREAM"
                       : answer.ai_socktype == SOCK_DGRAM ? "SOCK_DGRAM"
                                                          : "SOCK_RAW";
    fmt::print("{}\n", text_of(answer, NI_NUMERICHOST | NI_NUMERICSERV));
    fmt::print("  {} bytes for connect() of a socket({}, {}, {})\n", answer.ai_addrlen, family, type,
               answer.ai_protocol);
#ifndef __linux__  // the BSDs, macOS among them, have the length in it, and the family in one byte
    show(start, start->sa_len, "sa_len", fmt::format("{}", start->sa_len));
#endif
    show(start, start->sa_family, "sa_family",
         fmt::format("{} = {}, as this machine stores numbers", start->sa_family, family));
    if (start->sa_family == AF_INET6) {
        const auto* in = reinterpret_cast<const sockaddr_in6*>(start);
        char name[IF_NAMESIZE];
        const bool scoped = if_indextoname(in->sin6_scope_id, name) != nullptr;
        show(start, in->sin6_port, "sin6_port", describe_port(in->sin6_port));
        show(start, in->sin6_flowinfo, "sin6_flowinfo", "flow label, unused");
        show(start, in->sin6_addr, "sin6_addr", "two bytes a group, and all the zeros that :: leaves out");
        show(start, in->sin6_scope_id, "sin6_scope_id",
             fmt::format("{}{}{}", in->sin6_scope_id, scoped ? " = interface " : "", scoped ? name : ""));
    } else {
        const auto* in = reinterpret_cast<const sockaddr_in*>(start);
        show(start, in->sin_port, "sin_port", describe_port(in->sin_port));
        show(start, in->sin_addr, "sin_addr", "a byte for each number");
        show(start, in->sin_zero, "sin_zero", "unused");
    }
    try {
        fmt::print("  back: {}\n\n", text_of(answer, 0));
    } catch (const std::runtime_error& error) {  // an address whose name can't be found out is an address still
        fmt::print("  back: {}\n\n", error.what());
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv,
                                          {.summary = "The addresses of a host, byte by byte.",
                                           .endpoint = Endpoint::none,
                                           .arguments = {"HOST", "PORT"}});
    const std::string& host = options.arguments[0];
    const std::string& port = options.arguments[1];  // a number, or a name from /etc/services
    const bool number = std::none_of(port.begin(), port.end(), [](unsigned char c) { return std::isalpha(c) != 0; });
    if (number) parse_number(port, 0, 65535, "PORT");  // glibc's getaddrinfo() would make 4464 of 70000

    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;      // IPv4 and IPv6
    hints.ai_socktype = SOCK_STREAM;  // or each address comes once for every type
    addrinfo* list = nullptr;
    const int status = TRY(getaddrinfo(host.c_str(), port.c_str(), &hints, &list));
    if (status != 0) {
        throw std::runtime_error(
            fmt::format("cannot find '{}', port '{}': {}", escaped(host), escaped(port), describe_eai(status)));
    }
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, freeaddrinfo);

    // The list is in the order in which a client should try it.
    for (const addrinfo* answer = list; answer != nullptr; answer = answer->ai_next)
        show_answer(*answer);
} catch (const std::exception& error) {
    return report_failure(error);
}
