#include "tests/exercises/exercise.hpp"

#include "common/call.hpp"
#include "common/descriptors.hpp"
#include "common/errors.hpp"
#include "common/narrator.hpp"
#include "common/sockets.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <ctime>
#include <fstream>
#include <random>
#include <stdexcept>

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#ifdef __linux__
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#endif
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

namespace exercise {

const Diagnosis crashed{
    "crashed",
    {"the program was ended by a signal: it used memory that is not its own, or called abort(). Run "
     "it under the sanitizers: make SANITIZE=address,undefined",
     "프로그램이 신호로 끝났습니다. 자기 것이 아닌 메모리를 썼거나 abort()를 불렀습니다. 새니타이저로 실행해 "
     "보십시오: make SANITIZE=address,undefined"}};
const Diagnosis ended_early{
    "ended-early",
    {"the program ended although something was still expected of it. If it is a server: it has "
     "to outlive its clients, and to go on with accept()",
     "아직 할 일이 남았는데 프로그램이 끝났습니다. 서버라면 클라이언트보다 오래 살아야 하고, 다시 accept()로 "
     "돌아가야 합니다"}};
const Diagnosis not_ready{
    "not-ready",
    {"the program did not print \"listening on ADDRESS\" in time: announce_ready() does so, after "
     "bind() and listen()",
     "프로그램이 제시간에 \"listening on 주소\"를 출력하지 않았습니다. bind()와 listen() 뒤에 "
     "announce_ready()가 출력합니다"}};
const Diagnosis says_nothing{
    "says-nothing",
    {"the program neither answered nor ended in time: it waits for something that does not "
     "come, or runs in a circle",
     "프로그램이 제시간에 답하지도 끝나지도 않았습니다. 오지 않는 것을 기다리거나, 제자리를 돌고 "
     "있습니다"}};

const Diagnosis ipv4_only{
    "ipv4-only",
    {"what has just worked at 127.0.0.1 does not at ::1: somewhere the program takes for granted that addresses are "
     "IPv4 ones (AF_INET, sockaddr_in and its size, in_addr). An Address holds any, with its own length; its family() "
     "is what socket() wants to know",
     "127.0.0.1에서 방금 되던 것이 ::1에서는 되지 않습니다. 프로그램 어딘가에서 주소를 IPv4로 단정합니다(AF_INET, "
     "sockaddr_in과 그 크기, in_addr). Address는 어떤 주소든 그 길이와 함께 담으며, socket()에 줄 것은 그 "
     "family()입니다"}};

std::string Text::get() const { return narrator::speaks_korean() ? korean : english; }

namespace {

std::string size_of(std::string_view bytes) {
    const Text one{"1 byte", "1바이트"}, many{"{} bytes", "{}바이트"};
    return bytes.size() == 1 ? one.get() : fmt::format(fmt::runtime(many.get()), bytes.size());
}

}  // namespace

std::string shortened(std::string_view bytes) {
    constexpr std::size_t most = 48;
    const std::string count = size_of(bytes);
    if (bytes.size() <= most) return fmt::format("\"{}\" ({})", escaped(bytes), count);
    return fmt::format("\"{}...\" ({})", escaped(bytes.substr(0, most)), count);
}

std::string numbered_lines(std::size_t count) {
    static std::random_device random;
    const unsigned least = count <= 40'000'000 ? 1'000'000 : 10'000'000;  // 7 digits, or the 8 that suffice for 450 MB
    std::string line = std::to_string(least + random() % (4 * least)) + "\n";
    std::string lines;
    lines.reserve(count + line.size());
    while (lines.size() < count) {
        lines += line;
        std::size_t digit = line.size() - 2;
        while (line[digit] == '9')
            line[digit--] = '0';
        ++line[digit];
    }
    return lines;
}

std::size_t more_than_buffers_hold() {
    std::size_t sum = std::size_t{16} << 20U;
    for (const char* limits : {"/proc/sys/net/ipv4/tcp_rmem", "/proc/sys/net/ipv4/tcp_wmem"}) {
        std::size_t least = 0, usual = 0, most = 0;
        if (std::ifstream(limits) >> least >> usual >> most) sum += most;
    }
    return sum;
}

namespace {

/// The columns that an escaped text takes on a terminal: Hangul and most of East Asia take two.
std::size_t columns(std::string_view text) {
    std::size_t count = 0;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if ((byte & 0xC0U) != 0x80U) count += byte >= 0xE1U ? 2 : 1;
    }
    return count;
}

}  // namespace

std::string wrapped(std::string_view begin, std::string_view text, std::size_t indent, std::size_t width) {
    std::string lines(begin);
    std::size_t column = columns(begin);
    bool first = true;
    for (std::size_t at = 0; at < text.size();) {
        const std::string_view word = text.substr(at, text.find(' ', at) - at);
        if (!first && column + 1 + columns(word) > width) {
            lines += "\n" + std::string(indent, ' ');
            column = indent;
        } else if (!first) {
            lines += ' ';
            ++column;
        }
        lines += word;
        column += columns(word);
        first = false;
        at += word.size() + 1;
    }
    return lines + "\n";
}

std::string side_by_side(std::string_view expected, std::string_view actual) {
    constexpr std::size_t before = 24, behind = 32;  // columns
    const auto same = std::mismatch(expected.begin(), expected.end(), actual.begin(), actual.end());
    const auto at = static_cast<std::size_t>(same.first - expected.begin());
    std::size_t from = at;
    while (from > 0 && columns(escaped(expected.substr(from - 1, at - from + 1))) <= before)
        --from;
    const auto window = [&](std::string_view bytes) {
        std::size_t end = at;
        while (end < bytes.size() && columns(escaped(bytes.substr(at, end + 1 - at))) <= behind)
            ++end;
        return (from > 0 ? "..." : "") + escaped(bytes.substr(from, end - from)) + (end < bytes.size() ? "..." : "");
    };
    const std::string lead = (from > 0 ? "..." : "") + escaped(expected.substr(from, at - from));
    const Text wanted{"expected", "기대한 것"}, got{"received", "받은 것"};
    const Text first{"the first difference: byte {}", "처음 다른 곳: {}번째 바이트"};
    const std::size_t width = std::max(columns(wanted.get()), columns(got.get()));
    const auto line = [&](const Text& name, std::string_view bytes) {
        const std::string shown = window(bytes);
        return fmt::format("       {}{}  {}{}({})\n", name.get(), std::string(width - columns(name.get()), ' '), shown,
                           shown.empty() ? "" : "  ", size_of(bytes));
    };
    return line(wanted, expected) + line(got, actual) +
           fmt::format("       {}^ {}\n", std::string(width + 2 + columns(lead), ' '),
                       fmt::format(fmt::runtime(first.get()), at));
}

Grading::Grading(std::string program, Milliseconds limit) : path_(std::move(program)), limit_(limit) {
    Peer::limit = limit;
}

void Grading::begin_step(std::string text) { steps_.push_back(std::move(text)); }

void Grading::note(const Text& what, std::string_view bytes) {
    if (steps_.empty()) return;
    steps_.back() += fmt::format("\n       {} {}", what.get(), shortened(bytes));
}

void Grading::sent(std::string_view bytes) { note({"sent", "보냄"}, bytes); }
void Grading::received(std::string_view bytes) { note({"received", "받음"}, bytes); }

// ---- The program

Process& Grading::start(const Process::Command& arguments, const Surroundings& surroundings) {
    Process::Command command{path_};
    command.insert(command.end(), arguments.begin(), arguments.end());
    std::string line = "$";
    for (const std::string& word : command)
        line += " " + escaped(word);
    if (!steps_.empty()) steps_.back() += "\n       " + line;
    processes_.push_back(std::make_unique<Process>(command, surroundings));
    return program();
}

Process& Grading::start_server(Process::Command arguments, const Surroundings& surroundings) {
    const auto says_where = [](const std::string& word) { return word == "--port" || word == "--path"; };
    if (std::none_of(arguments.begin(), arguments.end(), says_where))
        arguments.insert(arguments.end(), {"--port", "0"});
    Process& server = start(arguments, surroundings);
    const std::string mark = "listening on ";
    const auto is_ready = [&] {
        const std::size_t at = server.out().find(mark);
        return at != std::string::npos && server.out().find('\n', at) != std::string::npos;
    };
    try {
        wait_until([&] { return is_ready() || !server.is_running(); }, mark, limit_);
    } catch (const Unexpected&) {
        fail(not_ready);
    }
    if (!is_ready()) fail(not_ready);
    const std::size_t begin = server.out().find(mark) + mark.size();
    address_ = server.out().substr(begin, server.out().find('\n', begin) - begin);
    return server;
}

Address Grading::socket_address() const {
    const std::size_t colon = address_.rfind(':');
    std::string host = address_.substr(0, colon);
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    try {
        const auto port = static_cast<std::uint16_t>(std::stoi(address_.substr(colon + 1)));
        return resolve(host, port, SOCK_STREAM).front();
    } catch (const std::exception&) {
        throw Unexpected("this is no address: " + escaped(address_));
    }
}

Process& Grading::program() {
    if (processes_.empty()) throw std::logic_error("the grader has not started the program");
    return *processes_.back();
}

void Grading::expect_exit(int status, const Diagnosis& otherwise) {
    wait_for([&] { return !program().is_running(); }, otherwise);
    if (program().wait(limit_) != Ending{status, 0}) fail(otherwise);
}

void Grading::expect_running(const Diagnosis& otherwise) {
    if (!program().is_running()) fail(otherwise);
}

void Grading::wait_for(const std::function<bool()>& condition, const Diagnosis& otherwise) {
    try {
        wait_until(condition, otherwise.id, limit_);
    } catch (const Unexpected&) {
        fail(otherwise);
    }
}

// ---- Its peer

/// A program that is about to be dead has closed its sockets a little earlier: its end is waited for, but not long.
bool Grading::has_ended() {
    try {
        wait_until([&] { return !program().is_running(); }, "its end", Milliseconds(200));
    } catch (const Unexpected&) {
        return false;
    }
    return true;
}

Peer Grading::connect(const Diagnosis& otherwise, int buffers) {
    const Address address = socket_address();
    const int fd = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(fcntl(fd, F_SETFD, FD_CLOEXEC));
    if (buffers > 0) {
        CALL(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffers, sizeof buffers));
        CALL(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffers, sizeof buffers));
    }
    const bool connected = ::connect(fd, address.get(), address.length()) == 0;  // the kernel's work, on loopback
    Peer peer(fd);
    // Where the program has ended, what is expected of it next says what that means.
    if (!connected && (&otherwise != &ended_early || !has_ended())) fail(otherwise);
    return peer;
}

void Grading::send(Peer& peer, std::string_view bytes) {
    sent(bytes);
    try {
        peer.send(bytes);
    } catch (const std::exception&) {  // it has gone, or does not read: what comes next shows it
    }
}

namespace {

/// Waits until the peer's descriptor can be read; false when the time is over.
bool is_readable(const Peer& peer, Milliseconds limit) {
    pollfd watched{peer.fd(), POLLIN, 0};
    try {
        wait_until([&] { return poll(&watched, 1, 0) == 1; }, "bytes", limit, &watched);
    } catch (const Unexpected&) {
        return false;
    }
    return true;
}

}  // namespace

std::string Grading::receive(Peer& peer, std::size_t count) {
    std::string bytes;
    char buffer[65536];
    while (bytes.size() < count && is_readable(peer, limit_)) {
        const ssize_t got = recv(peer.fd(), buffer, std::min(sizeof buffer, count - bytes.size()), MSG_DONTWAIT);
        if (got <= 0) break;
        bytes.append(buffer, static_cast<std::size_t>(got));
    }
    received(bytes);
    return bytes;
}

std::optional<std::string> Grading::receive_to_end(Peer& peer) {
    std::string bytes;
    char buffer[65536];
    while (is_readable(peer, limit_)) {
        const ssize_t got = recv(peer.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got <= 0) {
            received(bytes);
            return bytes;
        }
        bytes.append(buffer, static_cast<std::size_t>(got));
    }
    received(bytes);
    return {};
}

std::optional<std::string> Grading::receive_datagram(Peer& peer, Address& sender, Milliseconds limit) {
    if (!is_readable(peer, limit)) return {};
    std::string bytes(65536, '\0');
    const ssize_t got =
        recvfrom(peer.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT, sender.out(), sender.out_length());
    if (got == -1) return {};
    bytes.resize(static_cast<std::size_t>(got));
    received(bytes);
    return bytes;
}

void Grading::send_in_pieces(Peer& peer, std::string_view bytes, std::size_t size) {
    sent(bytes);
    bool taken = true;
    try {
        while (!bytes.empty()) {
            const std::size_t count = std::min(size, bytes.size());
            peer.send(bytes.substr(0, count));
            bytes.remove_prefix(count);
            taken = taken && !bytes.empty() && wait_until_taken(peer);  // one wait in vain is enough
        }
    } catch (const std::exception&) {  // it has gone, or does not read: what comes next shows it
    }
}

#ifdef __linux__
namespace {

/// Where an address has its bytes, as inet_diag_sockid wants them.
void set_end(const Address& end, __be32 (&host)[4], __be16& port) {
    if (end.family() == AF_INET6) {
        const auto& ipv6 = *reinterpret_cast<const sockaddr_in6*>(end.get());
        std::memcpy(host, &ipv6.sin6_addr, sizeof ipv6.sin6_addr);
        port = ipv6.sin6_port;
    } else {
        const auto& ipv4 = *reinterpret_cast<const sockaddr_in*>(end.get());
        host[0] = ipv4.sin_addr.s_addr;
        port = ipv4.sin_port;
    }
}

/// Asks the kernel for one connection (sock_diag(7)): /proc/net/tcp has them all, and is slow where there are many.
std::optional<Queues> ask_for_queues(const Address& local, const Address& peer) {
    struct {
        nlmsghdr head;
        inet_diag_req_v2 of;
    } question{};
    question.head = {sizeof question, SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST, 0, 0};
    question.of.sdiag_family = static_cast<__u8>(local.family());
    question.of.sdiag_protocol = IPPROTO_TCP;
    question.of.idiag_states = ~0U;
    question.of.id.idiag_cookie[0] = question.of.id.idiag_cookie[1] = INET_DIAG_NOCOOKIE;
    set_end(local, question.of.id.idiag_src, question.of.id.idiag_sport);
    set_end(peer, question.of.id.idiag_dst, question.of.id.idiag_dport);
    struct {
        nlmsghdr head;
        inet_diag_msg of;
        char more[8192];
    } answer{};
    const Descriptor kernel(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
    if (kernel.get() == -1 || ::send(kernel.get(), &question, sizeof question, 0) == -1 ||
        ::recv(kernel.get(), &answer, sizeof answer, 0) < static_cast<ssize_t>(sizeof answer.head + sizeof answer.of) ||
        answer.head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
        return std::nullopt;
    return Queues{answer.of.idiag_rqueue, answer.of.idiag_wqueue};
}

}  // namespace
#endif

std::optional<Queues> Grading::queues_of_server([[maybe_unused]] const Peer& peer) const {
#ifdef __linux__
    if (const auto queues = ask_for_queues(socket_address(), peer.address())) return queues;
    // It has closed, or there is no sock_diag here.
    if (const auto entry = look_at_pair(pair_of(socket_address(), peer.address())))
        return Queues{entry->socket.unread, entry->socket.unacknowledged};
#endif
    return std::nullopt;
}

bool Grading::wait_until_taken(const Peer& peer) {
#ifdef __linux__
    const auto is_taken = [&] {
        int unacknowledged = 0;
        if (ioctl(peer.fd(), SIOCOUTQ, &unacknowledged) == -1 || unacknowledged > 0) return false;
        return queues_of_server(peer).value_or(Queues{}).unread == 0;
    };
    try {
        wait_until(is_taken, "what was sent to be taken", limit_);
        return true;
    } catch (const Unexpected&) {
        return false;
    }
#else
    (void)peer;  // nothing tells what another process has taken: give it a little time
    poll(nullptr, 0, 20);
    return true;
#endif
}

void Grading::end_sending(Peer& peer) {
    if (!steps_.empty()) steps_.back() += "\n       FIN";
    ::shutdown(peer.fd(), SHUT_WR);  // fails where the program has reset the connection: what comes next shows it
}

std::size_t Grading::send_until_full(Peer& peer, std::string_view bytes) {
    constexpr Milliseconds still{400};
    std::string_view left = bytes;
    pollfd watched{peer.fd(), POLLOUT, 0};
    while (!left.empty()) {
        const ssize_t taken = ::send(peer.fd(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
        if (taken > 0) {
            left.remove_prefix(static_cast<std::size_t>(taken));
        } else if (errno != EAGAIN || poll(&watched, 1, static_cast<int>(still.count())) <= 0) {
            break;
        }
    }
    sent(bytes.substr(0, bytes.size() - left.size()));
    return bytes.size() - left.size();
}

// ---- Judging

void Grading::once_more_over_ipv6(const std::function<void(const std::string& host)>& exchange) {
    const std::string host = "::1";
    try {
        Peer::bound(SOCK_DGRAM, host);
    } catch (const std::exception&) {
        return;
    }
    step({"Once more, over IPv6.", "IPv6로 한 번 더."});
    over_ipv6_ = true;
    exchange(host);
}

void Grading::once_more_over_ipv6(std::string_view request, std::string_view answer) {
    once_more_over_ipv6([&](const std::string& host) {
        start_server({"--host", host});
        Peer client = connect();
        send(client, request);
        require_equal(answer, receive(client, answer.size()), ipv4_only);
    });
}

void Grading::expect_idle([[maybe_unused]] const Diagnosis& otherwise) {
#ifdef __linux__
    clockid_t clock = 0;
    const auto used = [&] {
        timespec time{};
        clock_gettime(clock, &time);
        return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
    };
    if (!program().is_running() || clock_getcpuclockid(program().pid(), &clock) != 0) return;
    poll(nullptr, 0, 100);  // let it finish what it is at
    const double before = used();
    constexpr double most = 20;  // of 300 milliseconds: who waits uses none, and who runs in a circle all it gets
    for (int i = 0; i < 15; ++i) {
        poll(nullptr, 0, 20);
        if (used() - before > most) fail(otherwise);
    }
#endif
}

void Grading::fail(const Diagnosis& diagnosis) {
    diagnosis_ = over_ipv6_ ? &ipv4_only : &diagnosis;
    if (!processes_.empty()) {
        if (has_ended()) {
            const Ending ending = program().wait(limit_);
            if (ending.signal == SIGPIPE) {
                // Not a crash: the diagnosis is about it, or about what came before it.
            } else if (ending.signal != 0 || program().err().find("Sanitizer: ") != std::string::npos) {
                diagnosis_ = &crashed;
            } else if (diagnosis_ == &says_nothing) {
                diagnosis_ = &ended_early;
            }
        }
    }
    last_words_ = last_words();
    throw Failed{};
}

void Grading::fail(const Diagnosis& diagnosis, std::string_view expected, std::string_view actual) {
    difference_.emplace(expected, actual);
    fail(diagnosis);
}

std::string Grading::last_words() const {
    std::string text;
    if (processes_.empty()) return text;
    Process& last = *processes_.back();
    std::string said = (hides_output_ ? "" : last.out()) + last.err();
    if (!last.is_running())
        text += fmt::format("\n  {}: {}\n", Text{"The program has ended", "프로그램이 끝났습니다"}.get(),
                            to_text(last.wait(limit_)));
    if (!said.empty()) {
        text += fmt::format("\n  {}:\n", Text{"The program itself said", "프로그램이 스스로 출력한 것"}.get());
        std::vector<std::string> lines = lines_of(said);
        const std::size_t skipped = lines.size() > 12 ? lines.size() - 12 : 0;
        if (skipped > 0) text += fmt::format("    | ... ({})\n", skipped);
        for (std::size_t i = skipped; i < lines.size(); ++i)
            text += "    | " + escaped(lines[i].substr(0, 200)) + "\n";
    }
    return text;
}

std::string Grading::report(std::size_t width) const {
    std::string text;
    for (std::size_t i = 0; i < steps_.size(); ++i)
        text += fmt::format("  {:2}. {}\n", i + 1, steps_[i]);
    if (diagnosis_ == nullptr) return text;
    text += fmt::format("      {}\n",
                        Text{"This step did not end as it should.", "이 단계가 뜻대로 끝나지 않았습니다."}.get());
    if (difference_) text += "\n" + side_by_side(difference_->first, difference_->second);
    if (!surprise_.empty()) text += "\n       " + surprise_ + "\n";
    text += last_words_;
    const std::string begin = fmt::format("  {}: ", Text{"What that usually means", "이것은 보통 이런 뜻입니다"}.get());
    return text + "\n" + wrapped(begin, diagnosis_->meaning.get() + ".", 2, width);
}

const std::vector<Exercise>& course() {
    static const std::vector<Exercise> all = [] {
        std::vector<Exercise> list;
        for (const auto& chapter : {tcp_exercises(), udp_exercises(), unix_exercises(), websocket_exercises()})
            list.insert(list.end(), chapter.begin(), chapter.end());
        return list;
    }();
    return all;
}

bool passes(const Exercise& exercise, Grading& grading) {
    try {
        exercise.grade(grading);
        return true;
    } catch (const Failed&) {
    } catch (const std::exception& error) {  // a wait of the test's own tools that was in vain
        grading.surprise_ = lines_of(error.what()).empty() ? "" : escaped(lines_of(error.what()).front());
        try {
            grading.fail(says_nothing);
        } catch (const Failed&) {
        }
    }
    return false;
}

}  // namespace exercise
