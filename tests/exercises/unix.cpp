// Graders of the Unix chapter's exercises.

#include "tests/exercises/exercise.hpp"

#include "common/socket_path.hpp"
#include "tests/support/files.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <random>

#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

namespace exercise {

namespace {

/// A connection to a path, or nothing: nobody is there.
std::optional<Peer> connect_to_path(const std::string& path) {
    const Address address = unix_address(path);
    Peer peer(::socket(AF_UNIX, SOCK_STREAM, 0));
    fcntl(peer.fd(), F_SETFD, FD_CLOEXEC);
    if (::connect(peer.fd(), address.get(), address.length()) == -1) return {};
    return peer;
}

/// A path to listen at, in a directory that everybody may enter.
struct Place {
    TempDir directory;
    std::string path = directory / "socket";
    Place() { chmod(directory.path().c_str(), 0711); }
};

// ---- fd_passing

const Diagnosis never_connects{
    "never-connects", {"the program did not connect to its --path", "프로그램이 --path에 연결하지 않았습니다"}};
const Diagnosis wrong_word{
    "wrong-word",
    {"the worker answers g (got it) and then d (done) if exactly one descriptor came with the byte, else n",
     "바이트와 함께 디스크립터가 꼭 하나 왔으면 g(받음)와 d(끝남)로, 아니면 n으로 답해야 합니다"}};
const Diagnosis no_greeting{
    "no-greeting",
    {"the line \"hello from process ...\" did not come out at the other end of the descriptor that was sent",
     "보낸 디스크립터의 반대쪽으로 \"hello from process ...\" 줄이 나오지 않았습니다"}};
const Diagnosis leaked{
    "leaked",
    {"the worker still has a descriptor open that it was sent: the other end does not see the end. Everything that "
     "recvmsg() has brought is the program's own, looked at or not; and CMSG_SPACE() rounds up, so that room for one "
     "int is room for two. Close each of them, on every way out",
     "일꾼이 받은 디스크립터를 아직 열어 두고 있어 반대쪽이 끝을 보지 못합니다. recvmsg()가 가져온 것은 보았든 안 "
     "보았든 모두 프로그램의 것입니다. CMSG_SPACE()는 올림하므로 int 하나의 자리에 둘이 들어갑니다. 어느 길로 나가든 "
     "하나하나 닫으십시오"}};
const Diagnosis one_of_several{
    "one-of-several",
    {"several descriptors came with one byte, and the worker took the first as if it were alone. cmsg_len tells how "
     "many there are: (cmsg_len - CMSG_LEN(0)) / sizeof(int)",
     "바이트 하나와 함께 디스크립터가 여럿 왔는데 첫째 것만 온 것처럼 받았습니다. 몇 개인지는 cmsg_len이 알려 줍니다: "
     "(cmsg_len - CMSG_LEN(0)) / sizeof(int)"}};
const Diagnosis cut_unnoticed{
    "cut-unnoticed",
    {"more descriptors were sent than arrived, and the worker took what was left for all of it. The kernel says so in "
     "msg_flags: MSG_CTRUNC, where there was no room in the control buffer, or no number free in the process",
     "도착한 것보다 많은 디스크립터가 보내졌는데, 남은 것이 전부인 줄 알았습니다. 커널은 msg_flags의 MSG_CTRUNC로 알려 "
     "줍니다. 제어 버퍼에 자리가 없거나 프로세스에 빈 번호가 없을 때입니다"}};
const Diagnosis none_taken{
    "none-taken",
    {"no descriptor came with the byte, and the worker did not answer n. CMSG_FIRSTHDR() is nullptr then",
     "바이트와 함께 디스크립터가 오지 않았는데 n으로 답하지 않았습니다. 그때 CMSG_FIRSTHDR()는 nullptr입니다"}};
[[maybe_unused]] const Diagnosis inherited{
    // only Linux shows another process its descriptors
    "inherited",
    {"what was received would be inherited by every program that the worker starts: FD_CLOEXEC is not set. On Linux "
     "recvmsg() sets it if it is given MSG_CMSG_CLOEXEC, elsewhere fcntl() afterwards",
     "받은 것을 일꾼이 시작하는 모든 프로그램이 물려받습니다. FD_CLOEXEC가 없습니다. 리눅스에서는 recvmsg()에 "
     "MSG_CMSG_CLOEXEC를 주고, 다른 곳에서는 뒤에 fcntl()로 세웁니다"}};

/// What is sent: the pipe's end that can be written to. What the worker writes, and that it closes, is seen at the
/// other.
struct Pipe {
    Peer reader, writer;
    Pipe() : Pipe(make()) {}

private:
    explicit Pipe(const std::pair<int, int>& ends) : reader(ends.first), writer(ends.second) {
        fcntl(ends.second, F_SETFL, O_WRONLY);  // a worker is not to be troubled by EAGAIN
    }
    static std::pair<int, int> make() {
        int ends[2];
        if (::pipe(ends) == -1) throw std::runtime_error("no pipe");
        for (const int end : ends)
            fcntl(end, F_SETFD, FD_CLOEXEC);
        return {ends[0], ends[1]};
    }
};

/// Sends a byte with the pipes' writing ends, and closes ours.
void pass(Grading& grading, Peer& worker, std::vector<Pipe>& pipes) {
    std::vector<int> fds;
    for (const Pipe& pipe : pipes)
        fds.push_back(pipe.writer.fd());
    char byte = 'x';
    iovec place{&byte, 1};
    std::vector<char> control(CMSG_SPACE(fds.size() * sizeof(int)));
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    if (!fds.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = static_cast<decltype(message.msg_controllen)>(control.size());
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = static_cast<decltype(header->cmsg_len)>(CMSG_LEN(fds.size() * sizeof(int)));
        std::memcpy(CMSG_DATA(header), fds.data(), fds.size() * sizeof(int));
    }
    grading.sent("x");
    ::sendmsg(worker.fd(), &message, 0);  // if it has gone: what comes next shows it
    for (Pipe& pipe : pipes)
        pipe.writer.close();
}

/// All that comes out of a pipe. Fails if it does not end.
std::string read_to_end(Grading& grading, const Pipe& pipe) {
    std::string bytes;
    char buffer[4096];
    for (;;) {
        pollfd watched{pipe.reader.fd(), POLLIN, 0};
        try {
            wait_until([&] { return watched.revents != 0 || poll(&watched, 1, 0) == 1; }, "an end", grading.limit(),
                       &watched);
        } catch (const Unexpected&) {
            grading.received(bytes);
            grading.fail(leaked);
        }
        const ssize_t count = read(pipe.reader.fd(), buffer, sizeof buffer);
        if (count <= 0) break;
        bytes.append(buffer, static_cast<std::size_t>(count));
    }
    return bytes;
}

void expect_word(Grading& grading, Peer& worker, const std::string& word, const Diagnosis& otherwise) {
    const std::string said = grading.receive(worker, word.size());
    if (said.empty()) grading.fail(says_nothing);
    grading.require_equal(word, said, otherwise);
}

/// One descriptor, as agreed.
void pass_one(Grading& grading, Peer& worker) {
    std::vector<Pipe> pipes(1);
    pass(grading, worker, pipes);
    expect_word(grading, worker, "gd", wrong_word);
    const std::string greeting = read_to_end(grading, pipes[0]);
    grading.received(greeting);
    grading.require_equal(fmt::format("hello from process {}\n", grading.program().pid()), greeting, no_greeting);
}

/// Something else than one: it must be refused, and nothing of it be kept or used.
void pass_in_vain(Grading& grading, Peer& worker, std::size_t count, const Diagnosis& otherwise) {
    std::vector<Pipe> pipes(count);
    pass(grading, worker, pipes);
    expect_word(grading, worker, "n", otherwise);
    for (const Pipe& pipe : pipes)
        grading.require_equal("", read_to_end(grading, pipe), otherwise);
}

Peer accept_worker(Grading& grading, Peer& master) {
    try {
        return master.accept();
    } catch (const Unexpected&) {
        grading.fail(never_connects);
    }
}

#ifdef __linux__
/// Whether the process has this pipe open, and not so that exec() closes it: 1; so that it does: 0; not at all: -1.
int is_inheritable(pid_t process, const std::string& pipe) {
    std::error_code gone;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", process), gone)) {
        if (std::filesystem::read_symlink(entry.path(), gone).string() != pipe) continue;
        std::string info;
        try {
            info = read_file(fmt::format("/proc/{}/fdinfo/{}", process, entry.path().filename().string()));
        } catch (const std::exception&) {
            continue;  // closed just now
        }
        const std::vector<std::string> flags = lines_with(info, "flags:");
        if (flags.empty()) continue;
        return (std::stol(flags[0].substr(flags[0].find(':') + 1), nullptr, 8) & O_CLOEXEC) == 0 ? 1 : 0;
    }
    return -1;
}

/// While the worker writes to a pipe that is full, it has it open, and one can look.
void look_at_what_it_has(Grading& grading, Peer& worker) {
    grading.step({"A pipe that is full: while the worker waits for room in it, one can see how it has it open.",
                  "가득 찬 파이프를 보냅니다. 일꾼이 자리를 기다리는 동안 어떻게 열어 두었는지 볼 수 있습니다."});
    std::vector<Pipe> pipes(1);
    const int writer = pipes[0].writer.fd();
    const std::string full(65536, '-');
    fcntl(writer, F_SETFL, O_NONBLOCK);
    std::size_t before = 0;
    for (ssize_t count = 0; (count = write(writer, full.data(), before < full.size() ? full.size() : 1)) > 0;)
        before += static_cast<std::size_t>(count);
    fcntl(writer, F_SETFL, 0);
    const std::string name = std::filesystem::read_symlink(fmt::format("/proc/self/fd/{}", writer)).string();
    pass(grading, worker, pipes);
    expect_word(grading, worker, "g", wrong_word);
    const pid_t process = grading.program().pid();
    grading.wait_for([&] { return is_inheritable(process, name) == 0; }, inherited);
    const std::string all = read_to_end(grading, pipes[0]);
    grading.require_equal(fmt::format("hello from process {}\n", process), all.substr(before), no_greeting);
    expect_word(grading, worker, "d", wrong_word);
}
#endif

void grade_fd_passing(Grading& grading) {
    grading.step({"The worker starts and connects.", "일꾼이 시작해 연결합니다."});
    const Place place;
    Peer master = Peer::bound_to_path(place.path);
    grading.start({"--path", place.path});
    Peer worker = accept_worker(grading, master);
    grading.step({"It is sent one descriptor: the end of a pipe.", "디스크립터 하나, 파이프의 끝을 보냅니다."});
    pass_one(grading, worker);
    grading.step({"A byte without a descriptor.", "디스크립터 없이 바이트만 보냅니다."});
    pass_in_vain(grading, worker, 0, none_taken);
    grading.step({"Two descriptors with one byte.", "바이트 하나와 함께 디스크립터 둘을 보냅니다."});
    pass_in_vain(grading, worker, 2, one_of_several);
    grading.step({"Forty.", "마흔 개를 보냅니다."});
    pass_in_vain(grading, worker, 40, cut_unnoticed);
#ifdef __linux__
    look_at_what_it_has(grading, worker);
#endif
    grading.step({"One again.", "다시 하나를 보냅니다."});
    pass_one(grading, worker);
    grading.step({"The master ends, and so does the worker.", "주인이 끝나고, 일꾼도 끝납니다."});
    worker.close();
    grading.expect_exit(0, says_nothing);

    grading.step({"Again, where a process may have only five descriptors: of two that are sent, one arrives.",
                  "다시, 디스크립터를 다섯 개만 가질 수 있게 합니다. 둘을 보내면 하나만 도착합니다."});
    grading.start({"--path", place.path}, {.limits = {{RLIMIT_NOFILE, 5}}});
    Peer poor = accept_worker(grading, master);
    pass_in_vain(grading, poor, 2, cut_unnoticed);
    grading.step({"And one.", "그리고 하나를 보냅니다."});
    pass_one(grading, poor);
    poor.close();
    grading.expect_exit(0, says_nothing);
}

// ---- who_is_there

const Diagnosis itself{
    "itself",
    {"the server takes the client for itself: these are the numbers of the server's own process. Ask the kernel about "
     "the connection that accept() returned",
     "서버가 클라이언트를 자기 자신으로 여깁니다. 이것은 서버 자신의 프로세스 번호입니다. accept()가 돌려준 연결에 "
     "대해 "
     "커널에 물으십시오"}};
const Diagnosis another_process{
    "another-process",
    {"that is not the process that has connected: each connection has to be asked for on its own, and the kernel's "
     "answer is a struct (ucred: pid, uid, gid, in this order)",
     "연결한 프로세스가 아닙니다. 연결마다 따로 물어야 하며, 커널의 답은 구조체입니다(ucred: pid, uid, gid 순서)"}};
const Diagnosis wrong_user{"wrong-user",
                           {"that is not the user who has connected (ucred has pid, uid, gid, in this order)",
                            "연결한 사용자가 아닙니다(ucred에는 pid, uid, gid가 이 순서로 있습니다)"}};
const Diagnosis believed{
    "believed",
    {"what the client said changed what the server takes it for: a client can say anything",
     "클라이언트의 말에 따라 서버의 판단이 바뀌었습니다. 클라이언트는 무슨 말이든 할 수 있습니다"}};

/// Connects from a process of its own, says something, and returns what it was answered, and the process.
std::pair<std::string, pid_t> visit(Grading& grading, const std::string& path, bool by_other,
                                    const std::string& words) {
    constexpr uid_t other_user = 65534;
    Process visitor([&] {
        if (by_other && (setgroups(0, nullptr) != 0 || setgid(other_user) != 0 || setuid(other_user) != 0))
            throw std::runtime_error("cannot become another user");
        std::optional<Peer> peer = connect_to_path(path);
        if (!peer) throw std::runtime_error("cannot connect");
        if (!words.empty()) ::send(peer->fd(), words.data(), words.size(), MSG_NOSIGNAL);
        fcntl(peer->fd(), F_SETFL, 0);
        char buffer[200];
        for (ssize_t count = 0; (count = recv(peer->fd(), buffer, sizeof buffer, 0)) > 0;)
            if (write(STDOUT_FILENO, buffer, static_cast<std::size_t>(count)) == -1) break;
    });
    const pid_t process = visitor.pid();
    try {
        visitor.wait(grading.limit());
    } catch (const Unexpected&) {
    }
    grading.received(visitor.out());
    if (visitor.out().empty()) grading.fail(says_nothing);
    return {visitor.out(), process};
}

void expect_greeting(Grading& grading, const std::string& path, bool by_other, const std::string& words,
                     const Diagnosis& otherwise) {
    const auto [said, process] = visit(grading, path, by_other, words);
    const uid_t user = by_other ? 65534 : geteuid();
    const std::string expected =
        fmt::format("{}: user {}, process {}\n", by_other ? "not for you" : "hello", user, process);
    if (said == expected) return;
    if (&otherwise == &believed) grading.fail(believed, expected, said);
    if (said.find(fmt::format("process {}\n", grading.program().pid())) != std::string::npos)
        grading.fail(itself, expected, said);
    if (said.find(fmt::format(" {}, ", user)) == std::string::npos) grading.fail(wrong_user, expected, said);
    grading.fail(otherwise, expected, said);
}

void grade_who_is_there(Grading& grading) {
    grading.step({"The server starts.", "서버가 시작합니다."});
    const Place place;
    grading.start_server({"--path", place.path});
    grading.step({"A process connects.", "프로세스 하나가 연결합니다."});
    expect_greeting(grading, place.path, false, "", another_process);
    grading.step({"Another one.", "다른 프로세스가 연결합니다."});
    expect_greeting(grading, place.path, false, "", another_process);
    grading.step({"One that says it were process 1 of user 65534.",
                  "자신이 사용자 65534의 프로세스 1이라고 말하는 프로세스가 연결합니다."});
    expect_greeting(grading, place.path, false, "user 65534, process 1\n", believed);
    if (geteuid() == 0) {  // only root can become somebody else
        grading.step({"A process of another user.", "다른 사용자의 프로세스가 연결합니다."});
        expect_greeting(grading, place.path, true, "", another_process);
        grading.step({"The same, and it says it were root.", "같은 사용자가 root라고 말합니다."});
        expect_greeting(grading, place.path, true, "user 0, process 1\n", believed);
    }
    grading.step({"And one of our own again.", "그리고 다시 우리 사용자의 프로세스가 연결합니다."});
    expect_greeting(grading, place.path, false, "", another_process);
    grading.expect_running(ended_early);
}

// ---- stale_path

const Diagnosis living_replaced{
    "living-replaced",
    {"a living server's file was taken away: it goes on running, and nobody can reach it any more. Whether somebody is "
     "there connect() tells: only ECONNREFUSED means that nobody is",
     "살아 있는 서버의 파일을 빼앗았습니다. 그 서버는 계속 돌지만 이제 아무도 닿을 수 없습니다. 누가 있는지는 "
     "connect()가 "
     "알려 줍니다. ECONNREFUSED만이 아무도 없다는 뜻입니다"}};
const Diagnosis stale_kept{
    "stale-kept",
    {"the file that a killed server has left keeps the next one from starting. With nobody behind it connect() fails "
     "with ECONNREFUSED: then unlink() it, and bind() again",
     "죽은 서버가 남긴 파일 때문에 다음 서버가 시작하지 못합니다. 뒤에 아무도 없으면 connect()가 ECONNREFUSED로 "
     "실패합니다. 그때 unlink()하고 다시 bind()하십시오"}};
const Diagnosis file_removed{
    "file-removed",
    {"a file that is no socket was removed: somebody's data. connect() fails with ECONNREFUSED there, too; lstat() and "
     "S_ISSOCK() tell what it is",
     "소켓이 아닌 파일을 지웠습니다. 누군가의 자료입니다. connect()는 거기서도 ECONNREFUSED로 실패합니다. 무엇인지는 "
     "lstat()와 S_ISSOCK()이 알려 줍니다"}};
const Diagnosis busy_replaced{
    "busy-replaced",
    {"a server whose queue is full is alive: connect() on a non-blocking socket fails with EAGAIN then, not with "
     "ECONNREFUSED. Only the latter means that nobody is there",
     "대기열이 가득 찬 서버도 살아 있습니다. 그때 논블로킹 소켓의 connect()는 ECONNREFUSED가 아니라 EAGAIN으로 "
     "실패합니다. ECONNREFUSED만이 아무도 없다는 뜻입니다"}};
const Diagnosis waits_for_busy{
    "waits-for-busy",
    {"the program waits, since the living server's queue is full, and connect() waits for room in it: make the socket "
     "that tries it non-blocking",
     "살아 있는 서버의 대기열이 가득 차서 connect()가 자리를 기다립니다. 시험해 보는 소켓을 논블로킹으로 만드십시오"}};
const Diagnosis wrong_status{
    "wrong-status",
    {"where the path is in use the program has to end with status 1, and one line that says why",
     "경로를 이미 쓰고 있으면 이유를 한 줄로 말하고 상태 1로 끝나야 합니다"}};

/// The program is started at a path that it must leave alone.
void expect_refusal(Grading& grading, const std::string& path, const Diagnosis& taken, const Diagnosis& waits) {
    Process& second = grading.start({"--path", path});
    grading.wait_for([&] { return !second.is_running() || second.out().find("listening on ") != std::string::npos; },
                     waits);
    if (second.out().find("listening on ") != std::string::npos) grading.fail(taken);
    grading.expect_exit(1, wrong_status);
}

void expect_server(Grading& grading, const std::string& path, const Process& server, const Diagnosis& otherwise) {
    std::optional<Peer> client = connect_to_path(path);
    if (!client) grading.fail(otherwise);
    const std::string expected = fmt::format("this is process {}\n", server.pid());
    const auto said = grading.receive_to_end(*client);
    grading.require_equal(expected, said.value_or(""), otherwise);
}

ino_t file_number(const std::string& path) {
    struct stat status {};
    return lstat(path.c_str(), &status) == 0 ? status.st_ino : 0;
}

void grade_stale_path(Grading& grading) {
    grading.step({"A server starts where no file is.", "파일이 없는 곳에서 서버가 시작합니다."});
    const Place place;
    Process& first = grading.start_server({"--path", place.path});
    expect_server(grading, place.path, first, says_nothing);
    grading.step({"A second one is started at the same path: it has to end.",
                  "같은 경로에서 둘째 서버를 시작합니다. 끝나야 합니다."});
    expect_refusal(grading, place.path, living_replaced, says_nothing);
    grading.step({"The first one can still be reached.", "첫째 서버에 여전히 닿을 수 있습니다."});
    expect_server(grading, place.path, first, living_replaced);

    grading.step({"It is killed, and leaves its file. A new one starts.",
                  "첫째 서버를 강제로 끝내 파일이 남습니다. 새 서버가 시작합니다."});
    first.signal(SIGKILL);
    first.wait(grading.limit());
    Process& next = grading.start({"--path", place.path});
    grading.wait_for([&] { return !next.is_running() || next.out().find("listening on ") != std::string::npos; },
                     stale_kept);
    if (!next.is_running()) grading.fail(stale_kept);
    expect_server(grading, place.path, next, stale_kept);

    grading.step({"A file that is no socket, with a line in it, is at the path.",
                  "소켓이 아닌 파일이 그 경로에 있고, 안에 한 줄이 있습니다."});
    const std::string file = place.directory / "file", line = numbered_lines(20);
    write_file(file, line);
    expect_refusal(grading, file, file_removed, says_nothing);
    std::string kept;
    try {
        kept = read_file(file);
    } catch (const std::exception&) {
    }
    grading.require_equal(line, kept, file_removed);

    grading.step({"A living server at the path is busy, and its queue is full.",
                  "그 경로의 살아 있는 서버가 바쁘고 대기열이 가득 찼습니다."});
    const std::string path = place.directory / "busy";
    Peer busy = Peer::bound_to_path(path);
    listen(busy.fd(), 0);
    std::vector<Peer> waiting;
    for (int i = 0; i < 8; ++i) {  // more than a backlog of 0 takes
        waiting.emplace_back(::socket(AF_UNIX, SOCK_STREAM, 0));
        const Address address = unix_address(path);
        if (::connect(waiting.back().fd(), address.get(), address.length()) == -1) break;
    }
    const ino_t before = file_number(path);
    expect_refusal(grading, path, busy_replaced, waits_for_busy);
    if (file_number(path) != before) grading.fail(busy_replaced);
}

}  // namespace

std::vector<Exercise> unix_exercises() {
    return {
        {"unix",
         "fd_passing",
         Kind::repair,
         {"what is sent to us is ours to close", "받은 디스크립터는 우리가 닫아야 한다"},
         {{"What does recvmsg() leave in msg_controllen, cmsg_len and msg_flags? See man 3 cmsg, and man 7 unix under "
           "SCM_RIGHTS.",
           "recvmsg()는 msg_controllen, cmsg_len, msg_flags에 무엇을 남깁니까? man 3 cmsg와 man 7 unix의 SCM_RIGHTS를 "
           "보십시오."},
          {"Return all the descriptors that came, and whether some were cut off (MSG_CTRUNC). Their number is "
           "(cmsg_len - CMSG_LEN(0)) / sizeof(int), which may be more than you made room for.",
           "온 디스크립터를 모두, 그리고 잘렸는지(MSG_CTRUNC)를 돌려주십시오. 개수는 (cmsg_len - CMSG_LEN(0)) / "
           "sizeof(int)이며, 마련한 자리보다 많을 수 있습니다."},
          {"One way through serve_one(): decide whether it was exactly one and nothing cut; answer g or n; write if g; "
           "then close all that came, in either case. And give recvmsg() the flag MSG_CMSG_CLOEXEC (Linux).",
           "serve_one()을 한 길로 만드십시오. 꼭 하나이고 잘리지 않았는지 정하고, g나 n으로 답하고, g면 쓰고, 어느 "
           "경우든 온 것을 모두 닫습니다. 그리고 recvmsg()에 MSG_CMSG_CLOEXEC를 주십시오(리눅스)."}},
         "python3 -c 'import socket, time; s = socket.socket(socket.AF_UNIX); s.bind(\"/tmp/master\"); s.listen(); "
         "c, a = s.accept(); [socket.send_fds(c, [b\"x\"], [1, 1]) for i in range(10)]; time.sleep(9)' & sleep 1; "
         "PROGRAM --path /tmp/master & sleep 1; ls -l /proc/$!/fd; rm /tmp/master",
         grade_fd_passing},
        {"unix",
         "who_is_there",
         Kind::complete,
         {"the kernel knows who has connected", "누가 연결했는지는 커널이 안다"},
         {{"unix/credentials_server.cpp asks the same question. Which call is it, and about which descriptor?",
           "unix/credentials_server.cpp가 같은 것을 묻습니다. 어떤 호출이며, 어느 디스크립터에 대해서입니까?"},
          {"Linux: getsockopt() of the connection with SOL_SOCKET and SO_PEERCRED fills in a struct ucred.",
           "리눅스: 연결에 대한 getsockopt()에 SOL_SOCKET과 SO_PEERCRED를 주면 struct ucred를 채워 줍니다."},
          {"ucred peer{}; socklen_t length = sizeof peer; then its address and &length as the last two arguments; the "
           "user is peer.uid, the process peer.pid.",
           "ucred peer{}; socklen_t length = sizeof peer; 그 주소와 &length를 마지막 두 인수로 줍니다. 사용자는 "
           "peer.uid, "
           "프로세스는 peer.pid입니다."}},
         "PROGRAM --path /tmp/who.socket & sleep 1; socat - UNIX-CONNECT:/tmp/who.socket; "
         "sudo -u nobody socat - UNIX-CONNECT:/tmp/who.socket; kill %1",
         grade_who_is_there},
        {"unix",
         "stale_path",
         Kind::repair,
         {"a dead server's file is replaced, a living one's is not", "죽은 서버의 파일은 바꾸고, 산 서버의 것은 두기"},
         {{"How can a program find out whether somebody listens behind a file? unix/README.md, \"Paths\", has it.",
           "파일 뒤에서 누가 듣고 있는지 프로그램이 어떻게 알 수 있습니까? unix/README.md의 \"Paths\"에 있습니다."},
          {"First bind(). Only if that fails with EADDRINUSE look what is there: lstat() whether it is a socket, "
           "connect() whether anybody answers.",
           "먼저 bind()합니다. EADDRINUSE로 실패할 때만 무엇이 있는지 봅니다. 소켓인지는 lstat(), 누가 답하는지는 "
           "connect()로 압니다."},
          {"Remove the file only if it is a socket and connect() fails with ECONNREFUSED. Make the socket that tries "
           "it non-blocking: a server whose queue is full gives EAGAIN, and is alive.",
           "소켓이고 connect()가 ECONNREFUSED로 실패할 때만 지우십시오. 시험해 보는 소켓은 논블로킹으로 만듭니다. "
           "대기열이 "
           "가득 찬 서버는 EAGAIN을 주며, 살아 있습니다."}},
         "PROGRAM --path /tmp/stale.socket & sleep 1; PROGRAM --path /tmp/stale.socket & sleep 1; "
         "socat - UNIX-CONNECT:/tmp/stale.socket; kill %1 %2",
         grade_stale_path},
    };
}

}  // namespace exercise
