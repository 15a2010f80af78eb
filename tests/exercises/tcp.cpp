// Graders of the TCP chapter's exercises.

#include "tests/exercises/tcp.hpp"

#include <sys/socket.h>

namespace exercise {

namespace {

// ---- send_loop

const Diagnosis partial_send{"partial-send",
                             {"bytes are missing: send() took fewer than it was offered, and the rest was never "
                              "offered again. Its result says how "
                              "many it took; with a full buffer it fails with EAGAIN and took none",
                              "바이트가 빠졌습니다. send()가 준 것보다 적게 받았는데 나머지를 다시 보내지 않았습니다. "
                              "몇 바이트를 받았는지는 send()의 결과가 "
                              "말해 주며, 버퍼가 가득하면 EAGAIN으로 실패하고 하나도 받지 않습니다"}};
const Diagnosis sent_twice{
    "sent-twice",
    {"bytes came twice or out of order: after a partial send, the next one has to begin behind what was taken. And -1 "
     "is no number of bytes: then nothing was taken",
     "바이트가 두 번 오거나 순서가 바뀌었습니다. 일부만 보내졌다면 다음 send()는 그 뒤에서 시작해야 합니다. 그리고 "
     "-1은 바이트 수가 아닙니다. 그때는 하나도 받지 않은 것입니다"}};
const Diagnosis runs_in_a_circle{
    "runs-in-a-circle",
    {"the client does not read, and the server uses the processor all the time: send() fails with EAGAIN, again and "
     "again. poll() for POLLOUT returns when there is room",
     "클라이언트가 읽지 않는 동안 서버가 계속 프로세서를 씁니다. send()가 EAGAIN으로 실패하기를 되풀이합니다. "
     "POLLOUT을 기다리는 poll()은 자리가 생기면 돌아옵니다"}};
const Diagnosis tries_for_ever{
    "tries-for-ever",
    {"a client has left, and the next one is not served: with EPIPE or ECONNRESET send() will never succeed. Only "
     "EAGAIN is a reason to try again",
     "클라이언트가 떠난 뒤 다음 클라이언트를 받지 않습니다. EPIPE나 ECONNRESET이면 send()는 다시는 성공하지 않습니다. "
     "다시 시도할 이유는 EAGAIN뿐입니다"}};

void grade_send_loop(Grading& grading) {
    grading.step({"The server starts.", "서버가 시작합니다."});
    grading.start_server();
    grading.step({"A client connects, sends a line, and reads the answer.",
                  "클라이언트가 연결해 한 줄을 보내고 답을 읽습니다."});
    Peer client = grading.connect(ended_early, small_buffers);
    grading.send(client, "hello\n");
    grading.require_equal("hello\n", grading.receive(client, 6), says_nothing);

    static const std::string much = numbered_lines(more_than_buffers_hold());
    grading.step({"It sends {} bytes, and reads nothing until the server stands still.",
                  "{}바이트를 보내고, 서버가 멈출 때까지 읽지 않습니다."},
                 much.size());
    // All the buffers between the two are smaller than that: the server's send() must meet a full one.
    std::string_view left = much;
    left.remove_prefix(grading.send_until_full(client, much));
    grading.expect_idle(runs_in_a_circle);

    grading.step({"Now it reads, and sends the rest meanwhile.", "이제 읽으면서 나머지를 보냅니다."});
    std::string back;
    char buffer[65536];
    const auto read_some = [&] {
        pollfd watched{client.fd(), static_cast<short>(left.empty() ? POLLIN : POLLIN | POLLOUT), 0};
        if (poll(&watched, 1, 0) == 0) return false;
        if ((watched.revents & POLLOUT) != 0) {
            const ssize_t sent = ::send(client.fd(), left.data(), left.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
            if (sent > 0) left.remove_prefix(static_cast<std::size_t>(sent));
        }
        const ssize_t got = recv(client.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got > 0) back.append(buffer, static_cast<std::size_t>(got));
        return got == 0 || back.size() >= much.size();
    };
    bool whole = true;
    try {
        wait_until(
            [&] {
                for (int i = 0; i < 1000; ++i)
                    if (read_some()) return true;
                return false;
            },
            "everything", grading.limit());
    } catch (const Unexpected&) {
        whole = false;
    }
    grading.received(back);
    const bool is_prefix = back == std::string_view(much).substr(0, back.size());
    if (!whole || back.size() < much.size()) {
        grading.expect_running(ended_early);
        grading.fail(is_prefix || back.size() + 1 < much.size() ? partial_send : sent_twice, much, back);
    }
    grading.require_equal(much, back, sent_twice);

    grading.step({"It leaves in the middle of a long answer; the next client is served.",
                  "긴 답을 받는 중에 떠납니다. 다음 클라이언트가 서비스를 받습니다."});
    grading.send_until_full(client, much);  // so it stands in its send() when the client goes
    client.reset();
    Peer next = grading.connect();
    grading.send(next, "still there?\n");
    const std::string answer = grading.receive(next, 13);
    if (answer.empty()) grading.expect_running(ended_early);
    grading.require_equal("still there?\n", answer, tries_for_ever);
    grading.once_more_over_ipv6("hello\n", "hello\n");
}

}  // namespace

std::vector<Exercise> tcp_exercises() {
    return {
        {"tcp",
         "send_loop",
         Kind::complete,
         {"finish a partial send", "일부만 보내진 send를 마무리하기"},
         {{"What does send() return when the buffer has room for less than you offer? Look at tcp/echo_server.cpp.",
           "버퍼에 자리가 모자라면 send()는 무엇을 돌려줍니까? tcp/echo_server.cpp를 보십시오."},
          {"Three results matter: a number smaller than count, -1 with EAGAIN, and -1 with anything else. Only the "
           "last "
           "one is a failure.",
           "중요한 결과는 셋입니다. count보다 작은 수, EAGAIN과 함께 -1, 그 밖의 -1. 실패는 마지막 하나뿐입니다."},
          {"A loop: send what is left; move the pointer by what was taken; on EAGAIN poll() for POLLOUT, and try "
           "again.",
           "반복하십시오. 남은 것을 보내고, 받아들여진 만큼 포인터를 옮기고, EAGAIN이면 poll()로 POLLOUT을 기다린 뒤 "
           "다시 "
           "시도합니다."}},
         "PROGRAM & head -c 20000000 /dev/zero | build/tcp/echo_client | wc -c",
         grade_send_loop},
        exact_read(),
        line_server(),
        length_prefix(),
        many_clients(),
        polite_close(),
        bind_again(),
        broken_pipe(),
        connect_deadline(),
    };
}

}  // namespace exercise
