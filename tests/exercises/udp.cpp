// Graders of the UDP chapter's exercises.

#include "tests/exercises/exercise.hpp"

#include "tests/support/text.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <random>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace exercise {

namespace {

using Clock = std::chrono::steady_clock;

unsigned random_number() {
    static std::random_device random;
    return random();
}

/// "question-4711": nobody can know it before.
std::string random_word(const std::string& kind) { return fmt::format("{}-{}", kind, random_number()); }

Process& start_client(Grading& grading, const Peer& server, Process::Command arguments, std::string_view input,
                      const std::string& host = "127.0.0.1") {
    arguments.insert(arguments.end(), {"--host", host, "--port", server.port()});
    Process& client = grading.start(arguments);
    client.feed(input);
    client.close_input();
    return client;
}

void send_to(Grading& grading, Peer& peer, const Address& address, std::string_view datagram) {
    grading.sent(datagram);
    peer.send_to(address, datagram);
}

// ---- lost_reply

const Diagnosis malformed_question{
    "malformed-question",
    {"a question is one datagram: its number, a space, and the line as it was typed, without its newline",
     "질문은 데이터그램 하나입니다. 번호, 빈칸, 그리고 입력된 줄 그대로이며 줄바꿈은 없습니다"}};
const Diagnosis not_again{
    "not-again",
    {"the answer was lost, and the question was not asked again: recv() waits for ever. poll() with the time that is "
     "left says when to send again",
     "답이 사라졌는데 질문을 다시 보내지 않았습니다. recv()는 한없이 기다립니다. 남은 시간을 준 poll()이 언제 다시 "
     "보낼지 알려 줍니다"}};
const Diagnosis new_number{
    "new-number",
    {"the repeated question has another number: it is the same question, and the server can know that only by the "
     "number. A late answer to the first try is an answer, too",
     "다시 보낸 질문의 번호가 다릅니다. 같은 질문이며, 서버는 번호로만 그것을 알 수 있습니다. 첫 시도에 대한 늦은 답도 "
     "답입니다"}};
const Diagnosis old_answer{
    "old-answer",
    {"an answer to an earlier question, come late or twice, was taken for the answer to this one: from here on, every "
     "answer is that of the question before. Compare the number",
     "앞선 질문에 대한 늦은 답이나 두 번째 답을 이번 질문의 답으로 받았습니다. 이때부터 모든 답이 한 질문씩 밀립니다. "
     "번호를 비교하십시오"}};
const Diagnosis timer_restarted{
    "timer-restarted",
    {"as long as old answers kept coming, the question was not asked again: each of them began the waiting anew. "
     "Compute the deadline once, when you send, and give poll() what is left of it",
     "지난 답이 계속 오는 동안 질문을 다시 보내지 않았습니다. 지난 답이 올 때마다 기다림이 새로 시작되었습니다. 보낼 "
     "때 "
     "마감 시각을 한 번 정하고, poll()에는 남은 시간을 주십시오"}};
const Diagnosis storm{
    "storm",
    {"every old answer made the program ask again at once: each question brings an answer, and each late answer a "
     "question, so they multiply (RFC 1123, 4.2.3.1, the \"Sorcerer's Apprentice\"). Only the time that is over is a "
     "reason to ask again",
     "지난 답이 올 때마다 바로 다시 물었습니다. 질문은 답을 낳고 늦은 답은 질문을 낳아 계속 늘어납니다(RFC 1123 "
     "4.2.3.1의 \"마법사의 제자\"). 시간이 다 되었을 때만 다시 물으십시오"}};
const Diagnosis never_gives_up{"never-gives-up",
                               {"nobody answers, and the program does not end with status 1 after --tries tries",
                                "아무도 답하지 않는데 --tries번 뒤에 상태 1로 끝나지 않습니다"}};
const Diagnosis wrong_tries{
    "wrong-tries",
    {"--tries says how often a question is sent, the first time included; and after the last time, too, an answer "
     "is waited for",
     "--tries는 첫 번째를 포함해 질문을 보내는 횟수입니다. 마지막으로 보낸 뒤에도 답을 기다려야 합니다"}};
const Diagnosis wrong_output{"wrong-output",
                             {"what is printed is not each answer once, in order, a line each, without the number",
                              "출력이 다릅니다. 답마다 한 번씩, 순서대로, 한 줄에 하나, 번호 없이 출력해야 합니다"}};

struct Question {
    std::string datagram, number, line;
    Address sender;
};

/// The next question, other than `previous`: that may have been asked again before its answer was there.
std::optional<Question> next_question(Grading& grading, Peer& server, const std::string& previous = "",
                                      Milliseconds limit = Milliseconds(0)) {
    Question question;
    if (limit.count() == 0) limit = grading.limit();
    const auto end = Clock::now() + 2 * limit;
    do {
        const auto datagram = grading.receive_datagram(server, question.sender, limit);
        if (!datagram) return {};
        question.datagram = *datagram;
    } while (question.datagram == previous && Clock::now() < end);
    if (question.datagram == previous) return {};  // and nothing else, for so long
    const std::size_t space = question.datagram.find(' ');
    const bool is_number =
        space != std::string::npos && space > 0 && question.datagram.find_first_not_of("0123456789") == space;
    if (!is_number) grading.fail(malformed_question);
    question.number = question.datagram.substr(0, space);
    question.line = question.datagram.substr(space + 1);
    return question;
}

/// The first time that this line is asked for.
Question expect_question(Grading& grading, Peer& server, const std::string& line, const std::string& previous,
                         const Diagnosis& otherwise) {
    const auto question = next_question(grading, server, previous);
    if (!question) grading.fail(otherwise);
    grading.require_equal(line, question->line, malformed_question);
    return *question;
}

void answer(Grading& grading, Peer& server, const Question& question, const std::string& text) {
    send_to(grading, server, question.sender, question.number + " " + text);
}

/// The question again, which was not answered. Something else: it has gone on, by what can only be an old answer.
void expect_again(Grading& grading, Peer& server, const Question& question, const Diagnosis& otherwise) {
    const auto again = next_question(grading, server);
    if (!again) grading.fail(otherwise);
    if (again->line != question.line) grading.fail(old_answer);
    grading.require_equal(question.datagram, again->datagram, new_number);
}

/// Old answers keep coming, many at once and then one after the other. What is not answered is to be sent again when
/// its time is over, and not before. again() waits so long for it; false if it did not come, and it fails where
/// something else does.
void expect_calm(Grading& grading, Milliseconds timeout, const std::function<void()>& send_old,
                 const std::function<bool(Milliseconds)>& again, const Diagnosis& if_never, const Diagnosis& if_often) {
    const auto began = Clock::now();
    for (int i = 0; i < 40; ++i)
        send_old();
    long came = 0;
    Milliseconds elapsed{0};
    bool settled = false;
    while (!settled && elapsed < grading.limit()) {
        const bool one_more = again(Milliseconds(20));
        elapsed = std::chrono::duration_cast<Milliseconds>(Clock::now() - began);
        came += one_more ? 1 : 0;
        if (came > 5 + 2 * (elapsed / timeout)) grading.fail(if_often);
        settled = !one_more && came > 0;  // all that was sent at once is counted
        if (!one_more) send_old();
    }
    if (came == 0) grading.fail(if_never);
}

void grade_lost_reply(Grading& grading) {
    constexpr Milliseconds timeout{400};
    const std::string milliseconds = std::to_string(timeout.count());
    std::vector<std::string> lines, answers;
    std::string input, output;
    for (int i = 0; i < 5; ++i) {
        lines.push_back(random_word("question"));
        answers.push_back(random_word("answer"));
        input += lines.back() + "\n";
        output += answers.back() + "\n";
    }
    grading.step({"The program is given five questions. The first one is answered.",
                  "프로그램에 질문 다섯 개를 줍니다. 첫 번째 질문에 답합니다."});
    Peer server = Peer::bound(SOCK_DGRAM);
    start_client(grading, server, {"--timeout", milliseconds, "--tries", "100"}, input);
    const Question first = expect_question(grading, server, lines[0], "", says_nothing);
    answer(grading, server, first, answers[0]);

    grading.step({"The answer to the second one is lost: it is asked again.",
                  "두 번째 질문에 대한 답이 사라집니다. 다시 물어야 합니다."});
    const Question second = expect_question(grading, server, lines[1], first.datagram, says_nothing);
    expect_again(grading, server, second, not_again);

    grading.step({"Now it is answered, twice. The answer to the third one is lost.",
                  "이제 답이 두 번 갑니다. 세 번째 질문에 대한 답은 사라집니다."});
    answer(grading, server, second, answers[1]);
    answer(grading, server, second, answers[1]);
    const Question third = expect_question(grading, server, lines[2], second.datagram, says_nothing);
    expect_again(grading, server, third, not_again);

    grading.step({"It is answered late. While the fourth one is not answered, that answer comes again and again.",
                  "답이 늦게 갑니다. 네 번째 질문에 답하지 않는 동안 그 답이 거듭 도착합니다."});
    answer(grading, server, third, answers[2]);
    const Question fourth = expect_question(grading, server, lines[3], third.datagram, says_nothing);
    expect_calm(
        grading, timeout, [&] { server.send_to(third.sender, third.number + " " + answers[2]); },
        [&](Milliseconds limit) {
            const auto again = next_question(grading, server, "", limit);
            if (again && again->line != fourth.line) grading.fail(old_answer);
            if (again) grading.require_equal(fourth.datagram, again->datagram, new_number);
            return again.has_value();
        },
        timer_restarted, storm);
    answer(grading, server, fourth, answers[3]);

    grading.step({"The last one is answered, and the program ends.", "마지막 질문에 답하고, 프로그램이 끝납니다."});
    const Question last = expect_question(grading, server, lines[4], fourth.datagram, says_nothing);
    answer(grading, server, last, answers[4]);
    grading.expect_exit(0, says_nothing);
    grading.require_equal(output, grading.program().out(), wrong_output);

    grading.step({"Again, with one question, which is answered at the third try of three.",
                  "다시, 질문 하나로. 세 번 중 세 번째 시도에 답합니다."});
    // Twice as long as before: on a busy machine the third answer may take its time, and there is no fourth try.
    start_client(grading, server, {"--timeout", "800", "--tries", "3"}, lines[0] + "\n");
    Question asking = expect_question(grading, server, lines[0], last.datagram, says_nothing);
    expect_again(grading, server, asking, wrong_tries);
    expect_again(grading, server, asking, wrong_tries);
    answer(grading, server, asking, answers[0]);
    grading.expect_exit(0, wrong_tries);
    grading.require_equal(answers[0] + "\n", grading.program().out(), wrong_output);

    grading.step({"Again, and nobody answers.", "다시, 이번에는 아무도 답하지 않습니다."});
    Peer silent = Peer::bound(SOCK_DGRAM);
    start_client(grading, silent, {"--timeout", "50", "--tries", "3"}, lines[0] + "\n");
    grading.expect_exit(1, never_gives_up);
    std::size_t sent = 0;
    while (next_question(grading, silent, "", Milliseconds(1)))
        ++sent;
    grading.require_equal("3", std::to_string(sent), wrong_tries);

    grading.once_more_over_ipv6([&](const std::string& host) {
        Peer other = Peer::bound(SOCK_DGRAM, host);
        start_client(grading, other, {"--timeout", "60000"}, lines[0] + "\n", host);
        answer(grading, other, expect_question(grading, other, lines[0], "", ipv4_only), answers[0]);
        grading.expect_exit(0, ipv4_only);
        grading.require_equal(answers[0] + "\n", grading.program().out(), ipv4_only);
    });
}

// ---- who_answered

const Diagnosis any_sender{
    "any-sender",
    {"what somebody else has sent was printed as the server's answer: recvfrom() says who has sent a datagram, and "
     "nothing but that comparison (or a connect() before) tells the two apart",
     "다른 이가 보낸 것을 서버의 답으로 출력했습니다. 누가 보냈는지는 recvfrom()이 말해 주며, 그것을 비교하거나 미리 "
     "connect()해야만 둘을 구별할 수 있습니다"}};
const Diagnosis address_or_port{
    "address-or-port",
    {"an answer of the right port at another address, or of the right address and another port, was taken: a sender "
     "is both together",
     "주소는 다르고 포트만 같은, 또는 주소만 같고 포트는 다른 곳의 답을 받아들였습니다. 보낸 이는 주소와 포트를 함께 "
     "보아야 합니다"}};
const Diagnosis scared_off{
    "scared-off",
    {"a datagram of somebody else has ended the program: so anybody can end it. Pass it over, and go on waiting",
     "다른 이의 데이터그램 하나로 프로그램이 끝났습니다. 그러면 누구나 끝낼 수 있습니다. 지나치고 계속 기다리십시오"}};
const Diagnosis server_ignored{"server-ignored",
                               {"the server's own answer was passed over", "서버가 보낸 진짜 답을 지나쳤습니다"}};
const Diagnosis prolonged{
    "prolonged",
    {"as long as somebody else keeps sending, the program waits: each datagram begins the waiting anew. Compute the "
     "deadline once, before the loop, and give poll() what is left of it",
     "다른 이가 계속 보내는 동안 프로그램이 기다리기만 합니다. 데이터그램이 올 때마다 기다림이 새로 시작됩니다. 반복문 "
     "앞에서 마감 시각을 한 번 정하고, poll()에는 남은 시간을 주십시오"}};
const Diagnosis no_timeout{"no-timeout",
                           {"no answer came, and the program did not end with status 1 within --timeout",
                            "답이 오지 않았는데 --timeout 안에 상태 1로 끝나지 않았습니다"}};

/// The same port at another address of this machine; nothing where there is none (macOS has one, unless told
/// otherwise).
std::optional<Peer> twin_of(const Peer& server) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(0x7f000002U);
    address.sin_port = reinterpret_cast<const sockaddr_in*>(server.address().get())->sin_port;
    Peer twin(::socket(AF_INET, SOCK_DGRAM, 0));
    if (bind(twin.fd(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == -1) return {};
    return twin;
}

void grade_who_answered(Grading& grading) {
    grading.step({"The program is given three questions.", "프로그램에 질문 세 개를 줍니다."});
    Peer server = Peer::bound(SOCK_DGRAM), liar = Peer::bound(SOCK_DGRAM);
    std::optional<Peer> twin = twin_of(server);
    std::vector<std::string> lines, answers;
    for (int i = 0; i < 3; ++i) {
        lines.push_back(random_word("question"));
        answers.push_back(random_word("answer"));
    }
    Process& client =
        start_client(grading, server, {"--timeout", "60000"}, lines[0] + "\n" + lines[1] + "\n" + lines[2] + "\n");
    const std::string lie = random_word("lie");
    std::string expected;
    // Who speaks before the server: nobody, somebody at another port, somebody at another address.
    for (std::size_t i = 0; i < 3; ++i) {
        Address asker;
        const auto question = grading.receive_datagram(server, asker, grading.limit());
        if (!question) grading.fail(says_nothing);
        grading.require_equal(lines[i], *question, malformed_question);
        if (i == 0) grading.step({"The server answers.", "서버가 답합니다."});
        if (i == 1)
            grading.step({"Somebody at another port ({}) answers before the server, three times.",
                          "다른 포트({})의 누군가가 서버보다 먼저 세 번 답합니다."},
                         liar.address().text());
        if (i == 2)
            grading.step({"Somebody with the server's port at another address ({}) answers before the server.",
                          "서버와 포트는 같고 주소가 다른 누군가({})가 서버보다 먼저 답합니다."},
                         twin ? twin->address().text() : "-");
        if (i == 1)
            for (int n = 0; n < 3; ++n)
                send_to(grading, liar, asker, lie);
        if (i == 2 && twin) send_to(grading, *twin, asker, lie);
        send_to(grading, server, asker, answers[i]);
        expected += answers[i] + "\n";
        try {
            wait_until([&] { return client.out().size() >= expected.size() || !client.is_running(); }, "an answer",
                       grading.limit());
        } catch (const Unexpected&) {
        }
        if (client.out().find(lie) != std::string::npos)
            grading.fail(
                i == 2 || (twin && client.out().find(answers[0]) == std::string::npos) ? address_or_port : any_sender,
                expected, client.out());
        if (client.out() != expected && !client.is_running() && i > 0) grading.fail(scared_off);
        grading.require_equal(expected, client.out(), i == 0 ? says_nothing : server_ignored);
    }
    grading.step({"The program ends.", "프로그램이 끝납니다."});
    grading.expect_exit(0, says_nothing);

    grading.step({"Again: the server is silent.", "다시: 서버가 답하지 않습니다."});
    start_client(grading, server, {"--timeout", "100"}, lines[0] + "\n");
    grading.expect_exit(1, no_timeout);

    grading.step({"Again: the server is silent, and somebody else sends without end.",
                  "다시: 서버는 답하지 않고, 다른 누군가가 끝없이 보냅니다."});
    Address asker;
    grading.receive_datagram(server, asker, grading.limit());  // of the run before
    Process& waiting = start_client(grading, server, {"--timeout", "800"}, lines[1] + "\n");
    if (!grading.receive_datagram(server, asker, grading.limit())) grading.fail(says_nothing);
    const auto end = Clock::now() + grading.limit();
    while (waiting.is_running() && Clock::now() < end) {
        liar.send_to(asker, lie);
        serve_processes(Milliseconds(10));
    }
    if (waiting.is_running()) grading.fail(prolonged);
    grading.require_equal("", waiting.out(), any_sender);
    grading.expect_exit(1, no_timeout);

    grading.once_more_over_ipv6([&](const std::string& host) {
        Peer asked = Peer::bound(SOCK_DGRAM, host), other = Peer::bound(SOCK_DGRAM, host);
        start_client(grading, asked, {"--timeout", "60000"}, lines[2] + "\n", host);
        if (!grading.receive_datagram(asked, asker, grading.limit())) grading.fail(ipv4_only);
        send_to(grading, other, asker, lie);
        send_to(grading, asked, asker, answers[2]);
        grading.expect_exit(0, ipv4_only);
        grading.require_equal(answers[2] + "\n", grading.program().out(), ipv4_only);
    });
}

// ---- reliable

const Diagnosis no_acknowledgement{
    "no-acknowledgement",
    {"a piece was sent, and no acknowledgement came", "조각을 보냈는데 확인 응답이 오지 않았습니다"}};
const Diagnosis byte_order{
    "byte-order",
    {"the number has its bytes the wrong way round: in network order the most significant one comes first (htonl, "
     "ntohl)",
     "번호의 바이트 순서가 거꾸로입니다. 네트워크 순서에서는 가장 큰 자리가 먼저 옵니다(htonl, ntohl)"}};
const Diagnosis duplicate_unanswered{
    "duplicate-unanswered",
    {"a piece that comes again has to be acknowledged again: it comes because the acknowledgement was lost, and its "
     "sender will repeat it until one arrives",
     "다시 온 조각에도 다시 확인 응답을 보내야 합니다. 확인 응답이 사라졌기 때문에 다시 온 것이며, 보낸 쪽은 응답이 "
     "도착할 때까지 되풀이합니다"}};
const Diagnosis wrong_number{
    "wrong-number",
    {"the acknowledgement says something else than which piece is missing next. A piece that came too early, or again, "
     "changes nothing about that; and what is acknowledged without being there will never be sent again",
     "확인 응답이 다음에 빠진 조각의 번호가 아닙니다. 너무 일찍 왔거나 다시 온 조각은 그 번호를 바꾸지 않습니다. 없는 "
     "조각을 확인해 주면 그것은 다시는 오지 않습니다"}};
const Diagnosis short_answered{
    "short-answered",
    {"what is shorter than a piece's header was answered: the number was read from bytes that did not come. Compare "
     "recvfrom()'s result with the size of the header before you look into it",
     "조각의 머리보다 짧은 것에 응답했습니다. 오지도 않은 바이트에서 번호를 읽은 것입니다. 내용을 보기 전에 "
     "recvfrom()의 "
     "결과를 머리의 크기와 비교하십시오"}};
const Diagnosis gone_too_soon{
    "gone-too-soon",
    {"the acknowledgement of the last piece was lost, and when that came again nobody was there: its sender will never "
     "know that all has arrived. Stay a while and answer",
     "마지막 조각의 확인 응답이 사라졌고, 조각이 다시 왔을 때는 아무도 없었습니다. 보낸 쪽은 모두 도착했는지 영영 알 "
     "수 "
     "없습니다. 잠시 남아서 응답하십시오"}};
const Diagnosis never_ends{
    "never-ends",
    {"everything has arrived and nothing more came for --linger milliseconds, but the program did not end with status "
     "0",
     "모두 도착했고 --linger 밀리초 동안 아무것도 오지 않았는데 프로그램이 상태 0으로 끝나지 않았습니다"}};
const Diagnosis piece_twice{
    "piece-twice",
    {"bytes were written twice: a piece that comes again is acknowledged, but it is there already",
     "바이트가 두 번 쓰였습니다. 다시 온 조각에는 응답만 하고, 쓰지는 않습니다. 이미 있기 때문입니다"}};
const Diagnosis pieces_wrong{
    "pieces-wrong",
    {"what was written is not the payload of the pieces in their order, every byte, zeros included",
     "쓰인 것이 조각들의 내용을 순서대로 모은 것과 다릅니다. 0을 포함해 모든 바이트를 써야 합니다"}};

std::string big_endian(std::uint32_t number) {
    std::string bytes;
    for (int shift = 24; shift >= 0; shift -= 8)
        bytes += static_cast<char>(number >> static_cast<unsigned>(shift));
    return bytes;
}

/// The sender, and the network between.
struct Sender {
    Grading& grading;
    Peer peer;
    Address receiver;
    std::vector<std::string> payloads;

    void send(std::uint32_t number) {
        const std::string flags(1, number + 1 == payloads.size() ? '\1' : '\0');
        send_to(grading, peer, receiver, big_endian(number) + flags + payloads[number]);
    }
    void expect(std::uint32_t number, const Diagnosis& silence, const Diagnosis& otherwise) {
        Address from;
        const auto bytes = grading.receive_datagram(peer, from, grading.limit());
        if (!bytes) grading.fail(silence);
        const std::string expected = big_endian(number);
        if (*bytes == std::string(expected.rbegin(), expected.rend())) grading.fail(byte_order, expected, *bytes);
        grading.require_equal(expected, *bytes, otherwise);
    }
};

void grade_reliable(Grading& grading) {
    grading.step({"The receiver starts.", "받는 쪽이 시작합니다."});
    Process& receiver = grading.start_server({"--linger", "700"});
    Sender sender{grading, Peer::bound(SOCK_DGRAM), grading.socket_address(), {}};
    std::string all;
    for (std::size_t i = 0; i < 5; ++i) {
        sender.payloads.push_back(numbered_lines(50 + random_number() % 900));
        sender.payloads.back()[5] = '\0';
        all += sender.payloads.back();
    }
    grading.step({"Piece 0 arrives.", "조각 0이 도착합니다."});
    sender.send(0);
    sender.expect(1, no_acknowledgement, wrong_number);
    grading.step({"The acknowledgement is lost: piece 0 comes again.", "확인 응답이 사라져 조각 0이 다시 옵니다."});
    sender.send(0);
    sender.expect(1, duplicate_unanswered, wrong_number);
    grading.step({"Piece 2 overtakes piece 1.", "조각 2가 조각 1을 앞지릅니다."});
    sender.send(2);
    sender.expect(1, no_acknowledgement, wrong_number);
    sender.send(1);
    sender.expect(2, no_acknowledgement, wrong_number);
    sender.send(2);
    sender.expect(3, no_acknowledgement, wrong_number);
    grading.step({"An old copy of piece 0, which was on its way for long, arrives.",
                  "오래 떠돌던 조각 0의 옛 사본이 도착합니다."});
    sender.send(0);
    sender.expect(3, duplicate_unanswered, wrong_number);
    grading.step({"What is too short to be a piece arrives; then piece 3.",
                  "조각이 되기에는 너무 짧은 것이 도착하고, 그다음 조각 3이 옵니다."});
    send_to(grading, sender.peer, sender.receiver, "");
    send_to(grading, sender.peer, sender.receiver, "\x7f\x01\x02");
    sender.send(3);
    sender.expect(4, no_acknowledgement, short_answered);
    grading.step({"The last piece arrives, 4. Its acknowledgement is lost: it comes again.",
                  "마지막 조각 4가 도착합니다. 확인 응답이 사라져 다시 옵니다."});
    sender.send(4);
    sender.expect(5, no_acknowledgement, wrong_number);
    sender.send(4);
    sender.expect(5, gone_too_soon, wrong_number);
    grading.step({"Nothing comes any more: it ends, and has written every byte once.",
                  "더는 아무것도 오지 않습니다. 모든 바이트를 한 번씩 쓰고 끝납니다."});
    grading.expect_exit(0, never_ends);
    std::string written = receiver.out();  // behind the line that says where it listens
    written.erase(0, std::min(written.find('\n'), written.size() - 1) + 1);
    grading.require_equal(all, written, written.size() > all.size() ? piece_twice : pieces_wrong);

    grading.once_more_over_ipv6([&](const std::string& host) {
        grading.start_server({"--linger", "1", "--host", host});
        Sender other{grading, Peer::bound(SOCK_DGRAM, host), grading.socket_address(), {numbered_lines(50)}};
        other.send(0);
        other.expect(1, ipv4_only, ipv4_only);
        grading.expect_exit(0, ipv4_only);
    });
}

// ---- reliable_sender

const Diagnosis wrong_piece{
    "wrong-piece",
    {"this is not the piece that is due: its number in network order, 1 if it is the last one, else 0, and its 1000 "
     "bytes of the input (of the last one what is left), zeros included; and the next piece only when this one is "
     "acknowledged",
     "차례가 된 조각이 아닙니다. 네트워크 순서의 번호, 마지막이면 1 아니면 0, 그리고 0을 포함한 입력의 1000바이트"
     "(마지막 조각은 남은 것)입니다. 다음 조각은 이 조각이 확인된 뒤에만 보냅니다"}};
const Diagnosis not_understood{
    "not-understood",
    {"a piece was acknowledged, and the next one does not come: the number in an acknowledgement is that of the piece "
     "that is missing next, in network order (ntohl)",
     "조각이 확인되었는데 다음 조각이 오지 않습니다. 확인 응답의 번호는 다음에 빠진 조각의 번호이며 네트워크 "
     "순서입니다(ntohl)"}};
const Diagnosis not_repeated{
    "not-repeated",
    {"the acknowledgement was lost, and the piece was not sent again: the sender waits for ever for what will not come",
     "확인 응답이 사라졌는데 조각을 다시 보내지 않았습니다. 오지 않을 것을 한없이 기다립니다"}};
const Diagnosis apprentice{
    "apprentice",
    {"an acknowledgement that came twice made the sender send at once: that piece now comes twice, is acknowledged "
     "twice, and from here on everything is sent twice (RFC 1123, 4.2.3.1, the \"Sorcerer's Apprentice\"). A reason to "
     "send are two things only: the acknowledgement of this very piece, and the time that is over",
     "두 번 온 확인 응답 때문에 바로 다시 보냈습니다. 그 조각은 두 번 가고, 두 번 확인되고, 이때부터 모든 것이 두 "
     "번씩 갑니다(RFC 1123 4.2.3.1의 \"마법사의 제자\"). 보낼 이유는 둘뿐입니다. 바로 이 조각의 확인 응답, 그리고 다 "
     "된 "
     "시간입니다"}};
const Diagnosis waits_anew{
    "waits-anew",
    {"as long as old acknowledgements kept coming, the piece was not sent again: each of them began the waiting anew. "
     "Take the deadline once, when you send, and give poll() what is left of it",
     "지난 확인 응답이 계속 오는 동안 조각을 다시 보내지 않았습니다. 올 때마다 기다림이 새로 시작되었습니다. 보낼 때 "
     "마감 "
     "시각을 한 번 정하고, poll()에는 남은 시간을 주십시오"}};
const Diagnosis old_number{
    "old-number",
    {"an acknowledgement of an earlier piece, come late, was taken for one of this piece. Compare the number: that of "
     "the piece that is missing next is one more than that of the piece it acknowledges",
     "앞선 조각의 늦은 확인 응답을 이 조각의 것으로 받았습니다. 번호를 비교하십시오. 다음에 빠진 조각의 번호는 "
     "확인된 조각의 번호보다 하나 큽니다"}};
const Diagnosis believed{
    "believed",
    {"what is no acknowledgement was taken for one: shorter than its 4 bytes, or with the number of a piece that was "
     "never sent. recv() says how many bytes came; and a number that a stranger sends is no index",
     "확인 응답이 아닌 것을 확인 응답으로 받았습니다. 4바이트보다 짧거나, 보낸 적 없는 조각의 번호입니다. 몇 바이트가 "
     "왔는지는 recv()가 말해 주며, 남이 보낸 번호는 인덱스가 아닙니다"}};
const Diagnosis wrong_repeats{
    "wrong-repeats",
    {"--tries says how often one piece is sent, the first time included, each piece anew; and after the last time, "
     "too, an acknowledgement is waited for",
     "--tries는 조각 하나를 처음을 포함해 몇 번 보내는지입니다. 조각마다 새로 셉니다. 마지막으로 보낸 뒤에도 확인 "
     "응답을 기다려야 합니다"}};

/// The receiver, and the network between.
struct Receiver {
    Grading& grading;
    Peer peer;
    std::string input;
    Address sender;

    std::string piece(std::uint32_t number) const {
        const std::string payload = input.substr(std::size_t{1000} * number, 1000);
        const bool is_last = std::size_t{1000} * (number + 1) >= input.size();
        return big_endian(number) + (is_last ? '\1' : '\0') + payload;
    }
    /// True if it came within the time. Passes over what comes again of the one before: that was on its way.
    bool comes(std::uint32_t number, Milliseconds limit, const Diagnosis& otherwise) {
        const auto end = Clock::now() + 2 * limit;
        std::string bytes;
        do {
            const auto datagram = grading.receive_datagram(peer, sender, limit);
            if (!datagram) return false;
            bytes = *datagram;
        } while (number > 0 && bytes == piece(number - 1) && Clock::now() < end);
        if (number > 0 && bytes == piece(number - 1)) return false;  // and nothing else, for so long
        const std::string expected = piece(number);
        const std::string turned{expected.rend() - 4, expected.rend()};
        if (number > 0 && bytes.substr(0, 4) == turned) grading.fail(byte_order, expected, bytes);
        grading.require_equal(expected, bytes, otherwise);
        return true;
    }
    void expect(std::uint32_t number, const Diagnosis& silence, const Diagnosis& otherwise) {
        if (!comes(number, grading.limit(), otherwise)) grading.fail(silence);
    }
    void acknowledge(std::uint32_t next) { send_to(grading, peer, sender, big_endian(next)); }
};

void grade_reliable_sender(Grading& grading) {
    constexpr Milliseconds timeout{400};
    const std::string milliseconds = std::to_string(timeout.count());
    const auto some_text = [](std::size_t size) {
        std::string text = numbered_lines(size).substr(0, size);
        for (std::size_t at = 5; at < size; at += 500)
            text[at] = '\0';
        return text;
    };
    grading.step({"The sender is given 4321 bytes. Piece 0 arrives, and is acknowledged.",
                  "보내는 쪽에 4321바이트를 줍니다. 조각 0이 도착하고, 확인됩니다."});
    Receiver receiver{grading, Peer::bound(SOCK_DGRAM), some_text(4321), {}};
    start_client(grading, receiver.peer, {"--timeout", milliseconds, "--tries", "100"}, receiver.input);
    receiver.expect(0, says_nothing, wrong_piece);
    receiver.acknowledge(1);

    grading.step({"The acknowledgement of piece 1 is lost: it comes again.",
                  "조각 1의 확인 응답이 사라집니다. 조각이 다시 와야 합니다."});
    receiver.expect(1, not_understood, wrong_piece);
    receiver.expect(1, not_repeated, wrong_piece);
    grading.step({"It is acknowledged, again and again, while piece 2 is not.",
                  "조각 1을 거듭 확인합니다. 그동안 조각 2는 확인하지 않습니다."});
    receiver.acknowledge(2);
    receiver.expect(2, says_nothing, wrong_piece);
    expect_calm(
        grading, timeout, [&] { receiver.peer.send_to(receiver.sender, big_endian(2)); },
        [&](Milliseconds limit) { return receiver.comes(2, limit, old_number); }, waits_anew, apprentice);
    receiver.acknowledge(3);

    grading.step(
        {"While piece 3 is not acknowledged, an acknowledgement of piece 0 arrives, which was on its way for "
         "long.",
         "조각 3을 확인하지 않는 동안, 오래 떠돌던 조각 0의 확인 응답이 도착합니다."});
    receiver.expect(3, says_nothing, wrong_piece);
    receiver.acknowledge(1);
    receiver.expect(3, not_repeated, old_number);
    grading.step({"Nothing at all arrives, 3 bytes, and the numbers of pieces that were never sent.",
                  "빈 것, 3바이트, 그리고 보낸 적 없는 조각의 번호들이 도착합니다."});
    for (const std::string& wrong : {std::string(), std::string(3, '\0'), big_endian(5), big_endian(0x7fffffff)}) {
        send_to(grading, receiver.peer, receiver.sender, wrong);
        receiver.expect(3, believed, believed);
    }
    receiver.acknowledge(4);

    grading.step({"The last piece arrives, 4; again, since its acknowledgement is lost; and the sender ends.",
                  "마지막 조각 4가 도착합니다. 확인 응답이 사라져 다시 오고, 보내는 쪽이 끝납니다."});
    receiver.expect(4, says_nothing, wrong_piece);
    receiver.expect(4, not_repeated, wrong_piece);
    receiver.acknowledge(5);
    grading.expect_exit(0, says_nothing);

    grading.step({"Again, with two pieces. Each is acknowledged at the second try of two.",
                  "다시, 조각 둘로. 저마다 두 번 중 두 번째 시도에 확인됩니다."});
    Receiver other{grading, Peer::bound(SOCK_DGRAM), some_text(2000), {}};
    start_client(grading, other.peer, {"--timeout", milliseconds, "--tries", "2"}, other.input);
    for (const std::uint32_t number : {0U, 1U}) {
        other.expect(number, number == 0 ? says_nothing : wrong_repeats, wrong_piece);
        other.expect(number, wrong_repeats, wrong_piece);
        other.acknowledge(number + 1);
    }
    grading.expect_exit(0, wrong_repeats);

    grading.step({"Again, and nobody acknowledges anything.", "다시, 이번에는 아무도 확인하지 않습니다."});
    Receiver silent{grading, Peer::bound(SOCK_DGRAM), some_text(10), {}};
    start_client(grading, silent.peer, {"--timeout", "50", "--tries", "3"}, silent.input);
    grading.expect_exit(1, never_gives_up);
    std::size_t sent = 0;
    while (silent.comes(0, Milliseconds(1), wrong_piece))
        ++sent;
    grading.require_equal("3", std::to_string(sent), wrong_repeats);

    grading.step({"Again, and what arrives is never the acknowledgement.",
                  "다시, 이번에는 무언가 오지만 확인 응답이 아닙니다."});
    Process& waiting = start_client(grading, silent.peer, {"--timeout", "400", "--tries", "2"}, silent.input);
    silent.expect(0, says_nothing, wrong_piece);
    const auto end = Clock::now() + grading.limit();
    while (waiting.is_running() && Clock::now() < end) {
        silent.peer.send_to(silent.sender, big_endian(0));
        serve_processes(Milliseconds(10));
    }
    grading.expect_exit(1, never_gives_up);

    grading.once_more_over_ipv6([&](const std::string& host) {
        Receiver far{grading, Peer::bound(SOCK_DGRAM, host), some_text(10), {}};
        start_client(grading, far.peer, {"--timeout", "60000"}, far.input, host);
        far.expect(0, ipv4_only, ipv4_only);
        far.acknowledge(1);
        grading.expect_exit(0, ipv4_only);
    });
}

// ---- truncated

const Diagnosis half_processed{
    "half-processed",
    {"a datagram that does not fit into the buffer was answered as if it did: the kernel gives what fits, throws the "
     "rest away, and recvfrom() does not fail. MSG_TRUNC tells (recvmsg() sets it in msg_flags), or a buffer of one "
     "byte more than you take",
     "버퍼에 들어가지 않는 데이터그램에 다 받은 것처럼 답했습니다. 커널은 들어가는 만큼만 주고 나머지를 버리며, "
     "recvfrom()은 실패하지 않습니다. MSG_TRUNC가 알려 주며(recvmsg()가 msg_flags에 세웁니다), 받으려는 것보다 1바이트 "
     "큰 "
     "버퍼로도 알 수 있습니다"}};
const Diagnosis limit_missed{
    "limit-missed",
    {"exactly 512 bytes fit, and are answered in full: a buffer that was filled to the last byte has not necessarily "
     "cut anything off",
     "정확히 512바이트는 들어가며 모두 답해야 합니다. 버퍼가 끝까지 찼다고 잘린 것은 아닙니다"}};
const Diagnosis stale_bytes{
    "stale-bytes",
    {"the answer has bytes of an earlier datagram behind it: received bytes do not end with a 0, and strlen() runs on "
     "into what was there before. recvfrom() returns how many came",
     "답 뒤에 앞선 데이터그램의 바이트가 붙었습니다. 받은 바이트는 0으로 끝나지 않으므로 strlen()이 전에 있던 것까지 "
     "읽습니다. 몇 바이트가 왔는지는 recvfrom()이 돌려줍니다"}};
const Diagnosis cut_at_zero{
    "cut-at-zero",
    {"the answer ends where the datagram had a byte 0: bytes are no C string. recvfrom() returns how many came",
     "데이터그램에 0인 바이트가 있는 곳에서 답이 끊겼습니다. 바이트는 C 문자열이 아닙니다. 몇 바이트가 왔는지는 "
     "recvfrom()이 돌려줍니다"}};
const Diagnosis empty_unanswered{
    "empty-unanswered",
    {"a datagram without a byte in it is a datagram: recvfrom() returns 0, which is no end here, and the answer is one "
     "without a byte, too",
     "바이트가 하나도 없는 데이터그램도 데이터그램입니다. recvfrom()이 0을 돌려주지만 여기서는 끝이 아니며, 답도 빈 "
     "데이터그램입니다"}};
const Diagnosis too_long_alone{"too-long-alone",
                               {"the answer to what is too large is \"too long\\n\": once, and nothing else",
                                "너무 큰 것에 대한 답은 \"too long\\n\" 한 번뿐이며, 다른 것은 없어야 합니다"}};

/// Small letters: what they are in capitals is easily said.
std::string random_letters(std::size_t count) {
    std::string letters;
    while (letters.size() < count)
        letters += static_cast<char>('a' + random_number() % 26);
    return letters;
}

std::string capitals(std::string text) {
    for (char& c : text)
        if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    return text;
}

void grade_truncated(Grading& grading) {
    grading.step({"The server starts.", "서버가 시작합니다."});
    grading.start_server();
    Peer client = Peer::bound(SOCK_DGRAM);
    const Address server = grading.socket_address();
    const auto expect = [&](const std::string& datagram, const std::string& expected, const Diagnosis& silence,
                            const Diagnosis& otherwise) {
        send_to(grading, client, server, datagram);
        Address sender;
        const auto back = grading.receive_datagram(client, sender, grading.limit());
        if (!back) grading.fail(silence);
        grading.require_equal(expected, *back, otherwise);
    };
    const auto expect_capitals = [&](const std::string& datagram, const Diagnosis& otherwise) {
        expect(datagram, capitals(datagram), says_nothing, otherwise);
    };
    grading.step({"A client sends a short line.", "클라이언트가 짧은 줄을 보냅니다."});
    expect_capitals(random_letters(10), says_nothing);
    grading.step({"One byte more than the server takes.", "서버가 받는 것보다 1바이트 많게 보냅니다."});
    expect(random_letters(513), "too long\n", says_nothing, half_processed);
    grading.step({"A short line again.", "다시 짧은 줄을 보냅니다."});
    const std::string line = random_letters(20);
    send_to(grading, client, server, line);
    Address sender;
    const auto back = grading.receive_datagram(client, sender, grading.limit());
    if (!back) grading.fail(says_nothing);
    grading.require_equal(capitals(line), *back, back->starts_with(capitals(line)) ? stale_bytes : too_long_alone);
    grading.step({"Many more.", "훨씬 많게 보냅니다."});
    expect(random_letters(5000), "too long\n", says_nothing, half_processed);
    grading.step({"Exactly as many as it takes.", "꼭 받는 만큼 보냅니다."});
    expect_capitals(random_letters(512), limit_missed);
    grading.step({"Fewer again.", "다시 적게 보냅니다."});
    expect_capitals(random_letters(3), stale_bytes);
    grading.step({"Bytes with a 0 among them.", "0이 섞인 바이트를 보냅니다."});
    expect_capitals(random_letters(4) + std::string(1, '\0') + random_letters(4), cut_at_zero);
    grading.step({"None at all.", "하나도 없이 보냅니다."});
    expect("", "", empty_unanswered, stale_bytes);
    grading.step({"And one more line.", "그리고 한 줄 더 보냅니다."});
    expect_capitals(random_letters(8), stale_bytes);
    grading.expect_running(ended_early);

    grading.once_more_over_ipv6([&](const std::string& host) {
        grading.start_server({"--host", host});
        Peer other = Peer::bound(SOCK_DGRAM, host);
        const std::string word = random_letters(9);
        send_to(grading, other, grading.socket_address(), word);
        const auto answer_to_it = grading.receive_datagram(other, sender, grading.limit());
        if (!answer_to_it) grading.fail(ipv4_only);
        grading.require_equal(capitals(word), *answer_to_it, ipv4_only);
    });
}

}  // namespace

std::vector<Exercise> udp_exercises() {
    return {
        {"udp",
         "lost_reply",
         Kind::complete,
         {"ask again when the answer is lost", "답이 사라지면 다시 묻기"},
         {{"What does recv() do when nothing ever comes? udp/echo_client.cpp shows how to wait with a time limit.",
           "아무것도 오지 않으면 recv()는 무엇을 합니까? udp/echo_client.cpp가 시간을 정해 기다리는 법을 보여 줍니다."},
          {"Two loops: the outer one sends, at most --tries times; the inner one receives until the answer is there or "
           "the time is over. What begins with another number is passed over in the inner one.",
           "반복문 둘입니다. 바깥쪽은 --tries번까지 보내고, 안쪽은 답이 오거나 시간이 다 될 때까지 받습니다. 다른 "
           "번호로 "
           "시작하는 것은 안쪽에서 지나칩니다."},
          {"Take the deadline once for each send: steady_clock::now() + timeout. In the inner loop poll() gets what is "
           "left until then, at least 0; when it returns 0, send again.",
           "보낼 때마다 마감 시각을 한 번 정합니다: steady_clock::now() + timeout. 안쪽 반복문에서 poll()에 그때까지 "
           "남은 "
           "시간(적어도 0)을 주고, poll()이 0을 돌려주면 다시 보냅니다."}},
         "build/udp/echo_server & build/udp/trouble --drop 30 --duplicate 30 & sleep 1; "
         "seq 20 | PROGRAM --port 7001 --timeout 200 --tries 20; kill %1 %2",
         grade_lost_reply},
        {"udp",
         "who_answered",
         Kind::repair,
         {"an answer counts only if it is of whom was asked", "물어본 상대의 답만 답으로 치기"},
         {{"Which two arguments of recvfrom() are nullptr here, and what would they tell?",
           "여기서 recvfrom()의 어느 두 인수가 nullptr입니까? 그것들은 무엇을 알려 줍니까?"},
          {"Compare the sender with the server, address and port (Address has an ==). What is not of the server is "
           "passed over: receive again. How long may that go on?",
           "보낸 이를 서버와 비교하십시오. 주소와 포트 모두입니다(Address에 ==가 있습니다). 서버의 것이 아니면 "
           "지나치고 "
           "다시 받습니다. 그것이 얼마나 계속되어도 됩니까?"},
          {"A deadline before the loop, and in the loop poll() with what is left. Or let the kernel do the comparing: "
           "connect() the socket to the server, and use send() and recv() (udp/connected_client.cpp).",
           "반복문 앞에서 마감 시각을 정하고, 반복문 안의 poll()에는 남은 시간을 주십시오. 또는 비교를 커널에 "
           "맡기십시오. "
           "소켓을 서버에 connect()하고 send()와 recv()를 씁니다(udp/connected_client.cpp)."}},
         "PROGRAM --timeout 60000, in one terminal, and type a line; in another: ss -anup, which shows its port, and "
         "echo lie | socat - UDP:127.0.0.1:THAT_PORT",
         grade_who_answered},
        {"udp",
         "reliable",
         Kind::complete,
         {"every piece once and in order, through a bad network",
          "나쁜 네트워크를 지나도 모든 조각을 한 번씩 차례대로"},
         {{"Which piece may be written? Only one can: keep its number. What of a piece that is there already?",
           "어느 조각을 써도 됩니까? 하나뿐입니다. 그 번호를 기억하십시오. 이미 있는 조각은 어떻게 합니까?"},
          {"Writing and answering are two decisions: written is only the piece that is missing next; answered is "
           "every piece, with the number that is missing after that.",
           "쓰는 것과 응답하는 것은 서로 다른 결정입니다. 다음에 빠진 조각만 쓰고, 모든 조각에 응답하되 그 뒤에 빠진 "
           "번호를 보냅니다."},
          {"After the last piece do not return yet: poll() with --linger before each recvfrom(), and return when it "
           "says 0. Until then answer as before.",
           "마지막 조각 뒤에 바로 돌아가지 마십시오. recvfrom() 앞마다 --linger로 poll()하고, 0이면 돌아갑니다. "
           "그때까지는 "
           "전처럼 응답합니다."}},
         "PROGRAM --port 7000 | od -c & sleep 1; for piece in '0\\0one\\n' '2\\0three\\n' '0\\0one\\n' '1\\1two\\n'; "
         "do "
         "printf \"\\0\\0\\0\\\\$piece\" | socat -t 1 - UDP:127.0.0.1:7000 | od -t x1; done",
         grade_reliable},
        {"udp",
         "reliable_sender",
         Kind::repair,
         {"a sender that a bad network does not set off", "나쁜 네트워크에도 흔들리지 않는 보내는 쪽"},
         {{"Send through build/udp/trouble --duplicate 50, and count with --trace how often each piece is sent. What "
           "makes this program send?",
           "build/udp/trouble --duplicate 50을 지나게 하고 --trace로 조각마다 몇 번 보내는지 세어 보십시오. 이 "
           "프로그램은 "
           "무엇 때문에 보냅니까?"},
          {"Only one acknowledgement is of use: the number of this piece and one. Everything else that comes is to be "
           "received and forgotten, and the waiting goes on. With how much time?",
           "쓸모 있는 확인 응답은 하나, 이 조각의 번호에 1을 더한 것뿐입니다. 그 밖의 것은 받아서 버리고 계속 "
           "기다립니다. "
           "남은 시간은 얼마입니까?"},
          {"Two loops: the outer one sends the piece, at most --tries times, and takes the deadline; the inner one "
           "receives until that acknowledgement is there (exactly 4 bytes) or the deadline is over.",
           "반복문 둘입니다. 바깥쪽은 조각을 --tries번까지 보내고 마감 시각을 정하며, 안쪽은 그 확인 응답(꼭 "
           "4바이트)이 "
           "오거나 시간이 다 될 때까지 받습니다."}},
         "build/udp/exercises/reliable >/tmp/arrived & build/udp/trouble --drop 20 --duplicate 50 & sleep 1; "
         "PROGRAM --port 7001 <LICENSE; wait %1; tail -n +2 /tmp/arrived | cmp - LICENSE; kill %2",
         grade_reliable_sender},
        {"udp",
         "truncated",
         Kind::repair,
         {"a datagram that is larger than the buffer", "버퍼보다 큰 데이터그램"},
         {{"build/udp/boundaries --scene truncated shows what recv() does with a datagram that does not fit.",
           "build/udp/boundaries --scene truncated가 들어가지 않는 데이터그램을 recv()가 어떻게 하는지 보여 줍니다."},
          {"recvfrom() returns how many bytes came, and the program does not look at it. Where does strlen() get its "
           "number from?",
           "recvfrom()은 몇 바이트가 왔는지 돌려주는데 프로그램이 그것을 보지 않습니다. strlen()은 그 수를 어디서 "
           "얻습니까?"},
          {"Either recvmsg(), which sets MSG_TRUNC in msg_flags when it cut something off; or a buffer of 513 bytes: "
           "only what is too long fills it. And take the count from the call.",
           "recvmsg()는 무언가를 잘랐을 때 msg_flags에 MSG_TRUNC를 세웁니다. 또는 513바이트 버퍼를 쓰십시오. 너무 긴 "
           "것만 그것을 채웁니다. 그리고 개수는 호출의 결과에서 가져오십시오."}},
         "PROGRAM & sleep 1; head -c 600 /dev/zero | tr '\\0' a | socat -b 2000 -t 1 - UDP:127.0.0.1:7000 | wc -c; "
         "echo short | socat -t 1 - UDP:127.0.0.1:7000",
         grade_truncated},
    };
}

}  // namespace exercise
