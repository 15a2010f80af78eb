#include "common/errors.hpp"

#include "common/narrator.hpp"

#include <fmt/core.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <unistd.h>

namespace {

struct Name {
    int error;
    const char* name;
};

// glibc's strerrorname_np() would do this, but macOS has nothing like it.
#define NAME(error) \
    Name { error, #error }
constexpr std::array names{
    NAME(EPERM),       NAME(ENOENT),       NAME(ESRCH),           NAME(EINTR),           NAME(EIO),
    NAME(ENXIO),       NAME(E2BIG),        NAME(ENOEXEC),         NAME(EBADF),           NAME(ECHILD),
    NAME(EAGAIN),      NAME(ENOMEM),       NAME(EACCES),          NAME(EFAULT),          NAME(EBUSY),
    NAME(EEXIST),      NAME(EXDEV),        NAME(ENODEV),          NAME(ENOTDIR),         NAME(EISDIR),
    NAME(EINVAL),      NAME(ENFILE),       NAME(EMFILE),          NAME(ENOTTY),          NAME(ETXTBSY),
    NAME(EFBIG),       NAME(ENOSPC),       NAME(ESPIPE),          NAME(EROFS),           NAME(EMLINK),
    NAME(EPIPE),       NAME(EDOM),         NAME(ERANGE),          NAME(EDEADLK),         NAME(ENAMETOOLONG),
    NAME(ENOLCK),      NAME(ENOSYS),       NAME(ENOTEMPTY),       NAME(ELOOP),           NAME(ENOPROTOOPT),
    NAME(EPROTO),      NAME(EPROTOTYPE),   NAME(EPROTONOSUPPORT), NAME(ESOCKTNOSUPPORT), NAME(EOPNOTSUPP),
    NAME(ENOTSUP),     NAME(EPFNOSUPPORT), NAME(EAFNOSUPPORT),    NAME(EADDRINUSE),      NAME(EADDRNOTAVAIL),
    NAME(ENETDOWN),    NAME(ENETUNREACH),  NAME(ENETRESET),       NAME(ECONNABORTED),    NAME(ECONNRESET),
    NAME(ENOBUFS),     NAME(EISCONN),      NAME(ENOTCONN),        NAME(ESHUTDOWN),       NAME(ETOOMANYREFS),
    NAME(ETIMEDOUT),   NAME(ECONNREFUSED), NAME(EHOSTDOWN),       NAME(EHOSTUNREACH),    NAME(EALREADY),
    NAME(EINPROGRESS), NAME(ESTALE),       NAME(EDQUOT),          NAME(ECANCELED),       NAME(EOVERFLOW),
    NAME(EILSEQ),      NAME(EMSGSIZE),     NAME(EDESTADDRREQ),    NAME(ENOTSOCK),        NAME(EBADMSG),
#ifdef __linux__
    NAME(ENONET),
#endif
};
#undef NAME

struct Hint {
    int error;
    const char* english;
    const char* korean;
};

constexpr std::array hints{
    Hint{EADDRINUSE,
         "something else has this address: see who with ss -anp (macOS: lsof -i), stop it, or choose another",
         "이 주소는 이미 쓰이고 있습니다: ss -anp(macOS는 lsof -i)로 누구인지 보고 끝내거나 다른 주소를 고르세요"},
    Hint{EADDRNOTAVAIL, "this machine does not have that address: see its own with ip addr (macOS: ifconfig)",
         "이 컴퓨터에 없는 주소입니다: ip addr(macOS는 ifconfig)로 가진 주소를 보세요"},
    Hint{ECONNREFUSED, "nobody listens there: start the server first, or check the address it printed",
         "그곳에서 듣고 있는 프로그램이 없습니다: 서버를 먼저 시작하거나 서버가 출력한 주소를 확인하세요"},
    Hint{ECONNRESET, "the other side gave the connection up at once (RST): it ended, or closed with bytes unread",
         "상대가 연결을 바로 버렸습니다(RST): 상대가 끝났거나 읽지 않은 데이터를 두고 닫았습니다"},
    Hint{EPIPE, "the other side has closed: what is sent now reaches nobody",
         "상대가 이미 닫았습니다: 지금 보내는 것은 아무에게도 닿지 않습니다"},
    Hint{ENOTCONN, "the socket has no connection (any more): connect() or accept() comes first",
         "소켓이 연결되어 있지 않습니다: connect()나 accept()가 먼저입니다"},
    Hint{EAGAIN, "nothing to read or no room to write now, or a time limit (SO_RCVTIMEO, SO_SNDTIMEO) has passed",
         "지금은 읽을 것이나 쓸 자리가 없거나, 시간 제한(SO_RCVTIMEO, SO_SNDTIMEO)이 지났습니다"},
    Hint{EINTR, "a signal came in between: make the call again (not close or connect, which went on without us)",
         "도중에 시그널이 왔습니다: 다시 호출하세요(호출 없이도 진행되는 close와 connect는 말고)"},
    Hint{ETIMEDOUT, "no answer at all: is the address right, does a firewall drop the packets?",
         "아무 대답이 없습니다: 주소가 맞는지, 방화벽이 패킷을 버리는지 보세요"},
    Hint{EACCES, "not allowed: ports below 1024 need root, a Unix socket needs write permission on its file",
         "권한이 없습니다: 1024보다 작은 포트는 root가, Unix 소켓은 그 파일의 쓰기 권한이 필요합니다"},
    Hint{EPERM, "not allowed: this takes another user, often root, or a firewall forbids it",
         "허용되지 않습니다: 다른 사용자(흔히 root)만 할 수 있거나 방화벽이 막습니다"},
    Hint{EMSGSIZE,
         "a datagram travels whole or not at all, and this one is too large (UDP: 65,507 bytes over IPv4, 65,527 over "
         "IPv6)",
         "데이터그램은 통째로만 갑니다. 이것은 너무 큽니다(UDP는 IPv4에서 65,507바이트, IPv6에서 65,527바이트까지)"},
    Hint{EMFILE, "the process has all the descriptors it may have: close some, or raise ulimit -n",
         "프로세스가 가질 수 있는 디스크립터를 다 썼습니다: 닫거나 ulimit -n을 올리세요"},
    Hint{ENETUNREACH, "this machine knows no way to that network: ip route (macOS: netstat -rn) shows those it knows",
         "그 네트워크로 가는 길이 없습니다: ip route(macOS는 netstat -rn)로 아는 길을 보세요"},
    Hint{EBADF, "this descriptor is not open: was it closed already?",
         "열려 있지 않은 디스크립터입니다: 이미 닫지 않았나요?"},
    Hint{ENOTSOCK, "this descriptor is open, but it is no socket", "열려 있지만 소켓이 아닌 디스크립터입니다"},
    Hint{ENOENT, "there is no such file or directory: has the server made its socket yet?",
         "그런 파일이나 디렉터리가 없습니다: 서버가 소켓을 만들었나요?"},
    Hint{EAFNOSUPPORT,
         "the address belongs to another family (IPv4, IPv6, Unix) than the socket, or this machine lacks it",
         "주소의 종류(IPv4, IPv6, Unix)가 소켓과 다르거나, 이 컴퓨터가 지원하지 않습니다"},
    Hint{
        EPROTONOSUPPORT,
        "this system has no such sockets: macOS has no SOCK_SEQPACKET among Unix sockets, use SOCK_STREAM with lengths",
        "이 시스템에는 그런 소켓이 없습니다: macOS의 Unix 소켓에는 SOCK_SEQPACKET이 없으니 SOCK_STREAM에 길이를 "
        "붙여 쓰세요"},
    Hint{EPROTOTYPE,
         "a socket of another type has this name: a stream can't connect to a datagram socket, for instance",
         "이 이름은 다른 종류의 소켓이 갖고 있습니다: 예를 들어 스트림은 데이터그램 소켓에 연결할 수 없습니다"},
};

/// How many bytes of UTF-8 (RFC 3629, section 4) begin here, 1 to 4; 0 if what is here is not UTF-8.
size_t utf8_length(std::string_view bytes) {
    const auto at = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0U; };
    const auto follows = [&](size_t i) { return (at(i) & 0xC0U) == 0x80U; };
    const unsigned first = at(0);
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF && follows(1)) return 2;
    if (first >= 0xE0 && first <= 0xEF && follows(1) && follows(2)) {
        const bool overlong = first == 0xE0 && at(1) < 0xA0;
        const bool surrogate = first == 0xED && at(1) >= 0xA0;
        return overlong || surrogate ? 0 : 3;
    }
    if (first >= 0xF0 && first <= 0xF4 && follows(1) && follows(2) && follows(3)) {
        const bool overlong = first == 0xF0 && at(1) < 0x90;
        const bool beyond = first == 0xF4 && at(1) >= 0x90;
        return overlong || beyond ? 0 : 4;
    }
    return 0;
}

}  // namespace

std::string error_name(int error) {
    for (const Name& entry : names) {
        if (entry.error == error) return entry.name;
    }
    return fmt::format("errno {}", error);
}

int error_number(std::string_view name) {
    for (const Name& entry : names) {
        if (name == entry.name) return entry.error;
    }
    if (name == "EWOULDBLOCK") return EWOULDBLOCK;
    int number = 0;
    const auto [end, trouble] = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool whole = trouble == std::errc{} && end == name.data() + name.size();
    return whole && number > 0 && number < 4096 ? number : 0;
}

const char* error_hint(int error) {
    for (const Hint& hint : hints) {
        if (hint.error == error) return narrator::speaks_korean() ? hint.korean : hint.english;
    }
    return "";
}

std::string describe_error(int error) {
    const std::string hint = error_hint(error);
    return fmt::format("{} ({}){}{}", std::strerror(error), error_name(error), hint.empty() ? "" : ": ", hint);
}

std::string escaped(std::string_view bytes) {
    std::string text;
    for (size_t i = 0; i < bytes.size();) {
        const auto byte = static_cast<unsigned char>(bytes[i]);
        const size_t length = utf8_length(bytes.substr(i));
        const bool c1_control = length == 2 && byte == 0xC2 && static_cast<unsigned char>(bytes[i + 1]) < 0xA0;
        if (byte == '\\') {
            text += "\\\\";
        } else if (byte == '\n') {
            text += "\\n";
        } else if (byte == '\t') {
            text += "\\t";
        } else if (byte == '\r') {
            text += "\\r";
        } else if (length == 0 || byte < 0x20 || byte == 0x7F || c1_control) {
            for (size_t j = 0; j < std::max<size_t>(length, 1); ++j) {
                text += fmt::format("\\x{:02x}", static_cast<unsigned char>(bytes[i + j]));
            }
        } else {
            text += bytes.substr(i, length);
        }
        i += std::max<size_t>(length, 1);
    }
    return text;
}

void complain(const std::exception& error) {
    // One line, whatever a peer or an argument put into it; written at once, so that lines of two programs on one
    // terminal don't mix.
    std::string line;
    for (const char c : std::string_view(error.what())) {
        if (static_cast<unsigned char>(c) >= 0x20 && c != 0x7F) {
            line += c;
        } else {
            line += escaped({&c, 1});
        }
    }
    line += '\n';
    [[maybe_unused]] const auto written = write(STDERR_FILENO, line.data(), line.size());
}

int report_failure(const std::exception& error) {
    if (dynamic_cast<const narrator::Quit*>(&error) != nullptr) return 0;
    complain(error);
    return dynamic_cast<const UsageError*>(&error) != nullptr ? 2 : 1;
}
