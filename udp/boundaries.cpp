// What one datagram is: never joined with another, never taken in two bites, perhaps empty, and not too large. Both
// ends are in this process.
//
//     build/udp/boundaries                      all scenes
//     build/udp/boundaries --scene truncated    one of them; --help names them
//
// Its last scene is about the way: which size goes through uncut. Over three routers, with a narrow link behind them:
//     scripts/hops build/udp/boundaries --scene path --to 10.0.4.2:7000
// Try it with --trace, and with --host ::1: two limits are others.

#ifdef __APPLE__
#define __APPLE_USE_RFC_3542  // for IPV6_DONTFRAG
#endif

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"

#include <fmt/core.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/errqueue.h>
#endif

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <optional>

namespace {

Address here;                // this machine, at a port that the kernel picks
std::optional<Address> far;  // --to: for the scene that looks at the way there
long patience = 1000;        // --timeout: milliseconds, for an answer from there

void tell(const std::string& what, const std::string& result) { fmt::print("  {:<49}{}\n", what, result); }

/// "= 5", or "= -1 EMSGSIZE".
std::string outcome(ssize_t result) {
    return result == -1 ? fmt::format("= -1 {}", error_name(errno)) : fmt::format("= {}", result);
}

/// Two sockets. The sender is connected, so that send() knows where to; what is received waits in the receiver's
/// buffer, so one process can be both.
struct Ends {
    int sender, receiver;
};

Ends open_ends() {
    const int receiver = CALL(socket(here.family(), SOCK_DGRAM, 0));
    CALL(bind(receiver, here.get(), here.length()));
    limit_waiting(receiver, 5);  // even over loopback, nobody promises that a datagram arrives
    const Address address = local_address(receiver);
    const int sender = CALL(socket(here.family(), SOCK_DGRAM, 0));
    CALL(connect(sender, address.get(), address.length()));
    return {sender, receiver};
}

void close_ends(const Ends& ends) {
    CALL(close(ends.sender));
    CALL(close(ends.receiver));
}

void send_text(const Ends& ends, std::string_view text) {
    const ssize_t sent = CALL(send(ends.sender, text.data(), text.size(), 0));
    tell(fmt::format("send(\"{}\")", text), outcome(sent));
}

/// Receives into so much room. What recv() returns may be more than that: see MSG_TRUNC.
void receive_text(const Ends& ends, size_t room, int flags = 0, const char* flag_names = "0") {
    std::array<char, 100> bytes{};
    const ssize_t received = CALL(recv(ends.receiver, bytes.data(), room, flags));
    const std::string_view text(bytes.data(), std::min(static_cast<size_t>(received), room));
    tell(fmt::format("recv({} bytes of room, {})", room, flag_names),
         fmt::format("{:<6}\"{}\"", outcome(received), escaped(text)));
}

void receive_nothing(const Ends& ends) {
    char byte = 0;
    const ssize_t received = TRY(recv(ends.receiver, &byte, 1, MSG_DONTWAIT));
    tell("recv(1 byte of room, MSG_DONTWAIT)", outcome(received));
}

// ---- The scenes

void pieces() {
    const Ends ends = open_ends();
    for (const char* text : {"one", "two", "three"})
        send_text(ends, text);
    for (int i = 0; i < 3; ++i)
        receive_text(ends, 100);
    close_ends(ends);
    fmt::print("  Three sent, three received. A stream would have handed over \"onetwothree\", in any pieces.\n");
}

void truncated() {
    const Ends ends = open_ends();
    send_text(ends, "0123456789");
    receive_text(ends, 4);
    receive_nothing(ends);
    fmt::print("  The other six bytes are gone, and recv() has not said so. Who wants to know asks:\n");

    send_text(ends, "0123456789");
    char bytes[4];
    iovec room{bytes, sizeof bytes};
    msghdr message{};
    message.msg_iov = &room;
    message.msg_iovlen = 1;
    const ssize_t received = CALL(recvmsg(ends.receiver, &message, 0));
    tell("recvmsg(4 bytes of room)",
         fmt::format("{}   msg_flags: {}", outcome(received),
                     (message.msg_flags & MSG_TRUNC) != 0 ? "MSG_TRUNC, it was cut off" : "none"));
#ifdef __linux__  // elsewhere MSG_TRUNC is only ever an answer
    send_text(ends, "0123456789");
    receive_text(ends, 4, MSG_TRUNC, "MSG_TRUNC");
    send_text(ends, "0123456789");
    receive_text(ends, 0, MSG_PEEK | MSG_TRUNC, "MSG_PEEK | MSG_TRUNC");
    receive_text(ends, 10);
#endif
    close_ends(ends);
}

void empty() {
    const Ends ends = open_ends();
    send_text(ends, "");
    send_text(ends, "more");
    receive_text(ends, 100);
    receive_text(ends, 100);
    close_ends(ends);
    fmt::print(
        "  0 is no end here: somebody has sent a header and nothing behind it. On a stream it would be the end.\n");
}

/// The payload that fits into the 16 bits of a length: IPv4's, which counts its own header of 20 bytes and UDP's 8
/// (RFC 791), or UDP's, which counts only the 8 (RFC 768). IPv6's doesn't count its own (RFC 8200).
size_t largest_payload(int family) { return family == AF_INET ? 65535 - 20 - 8 : 65535 - 8; }

void largest() {
    const Ends ends = open_ends();
    const size_t most = largest_payload(here.family());
    const std::string payload(most + 1, 'x');
    std::string room(most + 1, '\0');
    for (const size_t size : {most, most + 1}) {
        const ssize_t sent = TRY(send(ends.sender, payload.data(), size, 0));
        tell(fmt::format("send({} bytes)", size), outcome(sent));
        if (sent == -1) continue;  // macOS sends no more than sysctl net.inet.udp.maxdgram
        const ssize_t received = CALL(recv(ends.receiver, room.data(), room.size(), 0));
        tell(fmt::format("recv({} bytes of room)", room.size()), outcome(received));
    }
    close_ends(ends);
}

#ifdef __linux__

/// What IPv4 and IPv6 call the same things (ip(7), ipv6(7)).
struct Names {
    int level, discover, mtu, errors;
    const char *discover_name, *mtu_name;
    size_t headers;  ///< of IP and UDP, in front of each payload
};

Names names_of(int family) {
    if (family == AF_INET) {
        return {IPPROTO_IP, IP_MTU_DISCOVER, IP_MTU, IP_RECVERR, "IP_MTU_DISCOVER", "IP_MTU", 20 + 8};
    }
    return {IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_MTU, IPV6_RECVERR, "IPV6_MTU_DISCOVER", "IPV6_MTU", 40 + 8};
}

/// A socket that looks for the way, and what the scene knows about it.
struct Way {
    int fd;
    int receiver;  ///< where what it sends arrives; the same socket if an echo server sends it back
    Names names;
};

/// What the kernel takes for the path's maximum transmission unit: the largest packet that goes through uncut.
size_t path_mtu(const Way& way) {
    int mtu = 0;
    socklen_t length = sizeof mtu;
    CALL(getsockopt(way.fd, way.names.level, way.names.mtu, &mtu, &length));
    return static_cast<size_t>(mtu);
}

/// That a datagram is lost, and who says so.
struct Complaint {
    int error = 0;  ///< an errno value; 0: nobody has complained
    std::string text;
};

/// The oldest entry of the socket's error queue.
Complaint next_complaint(const Way& way) {
    alignas(cmsghdr) std::array<char, 512> control{};
    msghdr message{};
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    if (TRY(recvmsg(way.fd, &message, MSG_ERRQUEUE)) == -1) return {};  // it never waits
    for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr; part = CMSG_NXTHDR(&message, part)) {
        if (part->cmsg_level != way.names.level || part->cmsg_type != way.names.errors) continue;
        sock_extended_err error{};
        std::memcpy(&error, CMSG_DATA(part), sizeof error);
        const auto number = static_cast<int>(error.ee_errno);
        if (error.ee_origin == SO_EE_ORIGIN_LOCAL)
            return {number, fmt::format("this kernel: at most {}", error.ee_info)};
        const char* icmp = error.ee_origin == SO_EE_ORIGIN_ICMP6 ? "ICMPv6" : "ICMP";
        const auto* offender = SO_EE_OFFENDER(reinterpret_cast<sock_extended_err*>(CMSG_DATA(part)));
        const socklen_t length = way.names.level == IPPROTO_IP ? sizeof(sockaddr_in) : sizeof(sockaddr_in6);
        std::string from = Address(offender, length).text();
        from.resize(from.rfind(':'));  // its port is 0: routers have none
        return {number,
                fmt::format("{} type {} code {} from {}: {}", icmp, error.ee_type, error.ee_code, from,
                            number == EMSGSIZE ? fmt::format("at most {}", error.ee_info) : error_name(number))};
    }
    return {};
}

/// Sends so many bytes, and tells what becomes of them.
void try_size(const Way& way, size_t size) {
    const std::string payload(size, 'x');
    const std::string what = fmt::format("send({} bytes), with the headers {}", size, size + way.names.headers);
    const ssize_t sent = TRY(send(way.fd, payload.data(), payload.size(), 0));
    if (sent == -1) return tell(what, fmt::format("{}  {}", outcome(sent), next_complaint(way).text));

    // Either it arrives, or somebody complains. Or nobody ever says anything.
    if (!wait_until_readable(way.receiver, patience)) return tell(what, fmt::format("= {}, and is lost", sent));
    if (const Complaint complaint = next_complaint(way); complaint.error != 0) {
        const bool arrived = complaint.error == ECONNREFUSED;  // who says that nobody has the port has got all of it
        tell(what, fmt::format("= {}, and {}", sent, arrived ? "arrives where nobody has the port" : "is lost"));
        return tell("", complaint.text);
    }
    std::string room(largest_payload(AF_INET6), '\0');
    const ssize_t received = TRY(recv(way.receiver, room.data(), room.size(), MSG_DONTWAIT));
    tell(what, received == -1 ? fmt::format("= {}, and then {}", sent, error_name(errno))
                              : fmt::format("= {}, and {} bytes arrive", sent, received));
}

void set_discovery(const Way& way, int value, const char* name, const char* meaning) {
    CALL(setsockopt(way.fd, way.names.level, way.names.discover, &value, sizeof value));
    tell(fmt::format("setsockopt({}, {})", way.names.discover_name, name), meaning);
}

void look_for_the_way(const Way& way, size_t most) {
    const int on = 1;
    CALL(setsockopt(way.fd, way.names.level, way.names.errors, &on, sizeof on));
    const std::string mtu_name = fmt::format("getsockopt({})", way.names.mtu_name);
    const size_t mtu = path_mtu(way);
    const size_t fits = std::min(mtu - way.names.headers, most);
    tell(mtu_name, fmt::format("{}", mtu));

    // The same values for both versions of IP.
    set_discovery(way, IP_PMTUDISC_DO, "IP_PMTUDISC_DO", "don't fragment");
    if (fits < most) try_size(way, fits + 1);
    try_size(way, fits);
    const size_t learned = path_mtu(way);
    tell(mtu_name, fmt::format("{}", learned));
    if (learned != mtu) {
        try_size(way, fits);
        try_size(way, learned - way.names.headers);
    }
    set_discovery(way, IP_PMTUDISC_DONT, "IP_PMTUDISC_DONT", "fragment as needed");
    try_size(way, std::min(fits + 1, most));
}

void path() {
    if (far) {
        const int fd = CALL(socket(far->family(), SOCK_DGRAM, 0));
        CALL(connect(fd, far->get(), far->length()));
        look_for_the_way({fd, fd, names_of(far->family())}, largest_payload(far->family()));
        CALL(close(fd));
        return;
    }
    const Ends ends = open_ends();
    look_for_the_way({ends.sender, ends.receiver, names_of(here.family())}, largest_payload(here.family()));
    close_ends(ends);
}

#else

/// macOS tells no program the path's MTU; it can be told not to cut a datagram into fragments.
void path() {
    const Ends ends = open_ends();
    const int on = 1;
    if (here.family() == AF_INET) {
        CALL(setsockopt(ends.sender, IPPROTO_IP, IP_DONTFRAG, &on, sizeof on));
    } else {
        CALL(setsockopt(ends.sender, IPPROTO_IPV6, IPV6_DONTFRAG, &on, sizeof on));
    }
    for (const size_t size : std::array<size_t, 3>{1200, 9000, 20000}) {
        const std::string payload(size, 'x');
        const ssize_t sent = TRY(send(ends.sender, payload.data(), payload.size(), 0));
        tell(fmt::format("send({} bytes), never cut", size), outcome(sent));
    }
    close_ends(ends);
}

#endif

struct Scene {
    const char* name;
    const char* title;
    void (*play)();
};

constexpr std::array scenes{
    Scene{"pieces", "one send() is one recv()", pieces},
    Scene{"truncated", "less room than the datagram needs", truncated},
    Scene{"empty", "a datagram without a byte in it", empty},
    Scene{"largest", "the largest that there is", largest},
    Scene{"path", "what goes through uncut", path},
};

std::string names_of_scenes() {
    std::string names;
    for (const Scene& scene : scenes)
        names += (names.empty() ? "" : ", ") + std::string(scene.name);
    return names;
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.0.0.1";
    std::optional<std::string> wanted, to;
    const std::string help = "one of: " + names_of_scenes();
    parse_options(argc, argv,
                  {.summary = "What one datagram is: its boundaries, and how large it may be, in scenes.",
                   .endpoint = Endpoint::none,
                   .more = {{"host", "HOST", "this machine's address or name to be at", &host},
                            {"scene", "NAME", help.c_str(), &wanted},
                            {"timeout", "MS", "how long that scene waits for what it sent", &patience, 1, 60000},
                            {"to", "HOST:PORT", "an address; the scene path looks for the way there", &to}}});
    const auto is_wanted = [&](const Scene& scene) { return !wanted || *wanted == scene.name; };
    if (std::none_of(scenes.begin(), scenes.end(), is_wanted)) {
        throw UsageError(fmt::format("--scene {}: expected {}", escaped(*wanted), help));
    }
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, beside the narration, to a file or pipe, too
    here = resolve(host, 0, SOCK_DGRAM).front();
    if (to) far = resolve_target(*to, "--to", SOCK_DGRAM).front();
    for (const Scene& scene : scenes) {
        if (!is_wanted(scene)) continue;
        fmt::print("{}: {}\n", scene.name, scene.title);
        scene.play();
        fmt::print("\n");
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
