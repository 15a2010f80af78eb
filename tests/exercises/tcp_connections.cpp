// Graders: how connections begin, wait and end. many_clients, polite_close, bind_again, broken_pipe, connect_deadline.

#include "tests/exercises/tcp.hpp"

#include "common/call.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

namespace exercise {

namespace {

constexpr Text starts{"The server starts.", "서버가 시작합니다."};

const Diagnosis not_an_echo{"not-an-echo", {"what came back is not what was sent", "돌아온 것이 보낸 것과 다릅니다"}};

/// Sends a line nobody knows before, and wants it back.
void expect_echo(Grading& grading, Peer& client, const Diagnosis& if_silent) {
    const std::string line = numbered_lines(1);
    grading.send(client, line);
    const std::string back = grading.receive(client, line.size());
    grading.require_equal(line, back, back.empty() ? if_silent : not_an_echo);
}

// ---- many_clients

const Diagnosis one_delays_all{
    "one-delays-all",
    {"one client does nothing, or does not read, and another one has to wait for it: somewhere the server waits in a "
     "call for that one client alone. The only place to wait is poll(), for all at once; calls on a client's socket "
     "must not wait",
     "한 클라이언트가 아무것도 하지 않거나 읽지 않는데 다른 클라이언트가 기다려야 합니다. 서버가 어딘가에서 그 "
     "클라이언트 하나만을 기다립니다. 기다릴 곳은 모두를 함께 기다리는 poll()뿐이고, 클라이언트 소켓의 호출은 기다리지 "
     "않아야 합니다"}};
const Diagnosis set_not_rebuilt{
    "set-not-rebuilt",
    {"a client reads again, and the rest of its answer does not come. poll() was never asked to wait until there is "
     "room for it (POLLOUT): the set still says what was true when it was made. Make it anew before each poll(); with "
     "select() you have to, since it writes its result over it",
     "클라이언트가 다시 읽는데 답의 나머지가 오지 않습니다. 보낼 자리가 생기기를(POLLOUT) poll()에게 부탁하지 "
     "않았습니다. 집합이 만들어질 때의 사정을 그대로 담고 있습니다. poll()을 부를 때마다 새로 만드십시오. select()는 "
     "결과를 집합에 덮어쓰므로 반드시 그래야 합니다"}};
const Diagnosis lost_the_rest{
    "lost-the-rest",
    {"bytes of a slow client are missing: what send() did not take has to be kept, and offered again",
     "느린 클라이언트에게 갈 바이트가 빠졌습니다. send()가 받지 않은 것은 간직했다가 다시 보내야 합니다"}};
const Diagnosis no_bound{
    "no-bound",
    {"the server goes on to receive from a client that does not read, and keeps all of it: such a client fills its "
     "memory. As long as anything is unsent, read no more from that client: then TCP makes it wait",
     "읽지 않는 클라이언트에게서 계속 받아 모두 간직합니다. 그런 클라이언트가 서버의 메모리를 채웁니다. 보내지 못한 "
     "것이 있는 동안에는 그 클라이언트에게서 더 읽지 마십시오. 그러면 TCP가 상대를 기다리게 합니다"}};
const Diagnosis new_one_unseen{
    "new-one-unseen",
    {"a client has connected and sent a line, and nobody looks at it: is its descriptor in poll()'s set, and is it "
     "there from the time on when accept() returned it?",
     "클라이언트가 연결해 한 줄을 보냈는데 아무도 보지 않습니다. 그 디스크립터가 poll()의 집합에 있습니까? "
     "accept()가 돌려준 때부터 있습니까?"}};
const Diagnosis runs_in_a_circle{
    "runs-in-a-circle",
    {"nobody sends anything, and the server uses the processor all the same: poll() returns at once, again and again. "
     "It is asked for something that is always true (POLLOUT with nothing to send), or of a descriptor that is closed "
     "(POLLNVAL), or nobody takes what it reports (recv() returning 0)",
     "아무도 보내지 않는데 서버가 프로세서를 씁니다. poll()이 곧바로 돌아오기를 되풀이합니다. 늘 참인 것(보낼 것이 "
     "없는 "
     "POLLOUT)이나 닫힌 디스크립터(POLLNVAL)를 묻고 있거나, 알려 준 것(0을 돌려주는 recv())을 아무도 처리하지 "
     "않습니다"}};
const Diagnosis fails_by_a_client{
    "fails-by-a-client",
    {"a client has left, and the server does not serve the others any more: a failed recv() or send() ends one "
     "connection, never the server",
     "클라이언트 하나가 떠났는데 서버가 다른 클라이언트를 받지 않습니다. recv()나 send()의 실패는 연결 하나를 끝낼 뿐, "
     "서버를 끝내서는 안 됩니다"}};

/// How many bytes the server has received from the peer and not handed to the kernel yet; -1 where nothing tells.
long held_by_server(const Grading& grading, const Peer& peer, std::size_t sent) {
    int unread = 0;
    if (ioctl(peer.fd(), FIONREAD, &unread) == -1) return -1;
    const std::optional<Queues> there = grading.queues_of_server(peer);
    return there ? static_cast<long>(sent) - unread - there->unacknowledged - there->unread : -1;
}

/// Sends in pieces, each of them once the server has taken the one before, until it keeps some of it for itself: it has
/// nothing more to receive, and a rest that it can't send. Returns how much was sent.
std::size_t send_until_held(Grading& grading, Peer& peer, std::string_view bytes) {
    constexpr std::size_t piece = 50'000;
    std::size_t sent = 0;
    while (sent < bytes.size()) {
        peer.send(bytes.substr(sent, piece));
        sent = std::min(sent + piece, bytes.size());
        if (!grading.wait_until_taken(peer)) break;
        int looks = 0;  // between its recv() and its send() any server has something for a moment
        while (looks < 5 && held_by_server(grading, peer, sent) > 0) {
            poll(nullptr, 0, 20);
            ++looks;
        }
        if (looks == 5 || held_by_server(grading, peer, sent) == -1) break;
    }
    grading.sent(bytes.substr(0, sent));
    return sent;
}

void grade_many_clients(Grading& grading) {
    grading.step(starts);
    grading.start_server();
    grading.step({"A client connects, and gets its line back.", "클라이언트가 연결해 보낸 줄을 돌려받습니다."});
    Peer first = grading.connect(ended_early, small_buffers);
    expect_echo(grading, first, new_one_unseen);

    grading.step({"It says nothing more, but stays. A second one connects and sends a line.",
                  "더 말하지 않지만 남아 있습니다. 두 번째가 연결해 한 줄을 보냅니다."});
    Peer second = grading.connect();
    expect_echo(grading, second, one_delays_all);
    grading.step(
        {"The first one sends again, then twenty others come.", "첫 번째가 다시 보내고, 스무 명이 더 옵니다."});
    expect_echo(grading, first, one_delays_all);
    std::vector<Peer> others;
    for (int i = 0; i < 20; ++i)
        others.push_back(grading.connect());
    const std::string line = numbered_lines(1);
    for (auto other = others.rbegin(); other != others.rend(); ++other) {
        other->send(line);
        std::string back;
        try {
            back = other->receive(line.size());
        } catch (const std::exception&) {  // nothing, or not all, or the end
        }
        grading.require_equal(line, back, back.empty() ? new_one_unseen : not_an_echo);
    }

    static const std::string much = numbered_lines(more_than_buffers_hold());
    const auto read_back = [&](std::size_t count) {
        const std::string back = grading.receive(first, count);
        const std::string_view sent = std::string_view(much).substr(0, count);
        if (back.size() < sent.size() && back == sent.substr(0, back.size())) {
            first.send("?");  // is the rest still there, and comes when something else happens?
            grading.fail(grading.receive(first, 1) == "?" ? lost_the_rest : set_not_rebuilt, sent, back);
        }
        grading.require_equal(sent, back, lost_the_rest);
    };
    grading.step({"The first one sends until the server can't send all of it back, since nobody reads there.",
                  "첫 번째가 읽지는 않으면서, 서버가 다 돌려보낼 수 없을 때까지 보냅니다."});
    const std::size_t held = send_until_held(grading, first, much);
    grading.step({"The second one sends a line meanwhile.", "그동안 두 번째가 한 줄을 보냅니다."});
    expect_echo(grading, second, one_delays_all);
    grading.step({"The first one reads all that it has sent.", "첫 번째가 보낸 것을 모두 읽습니다."});
    read_back(held);

    grading.step({"It sends as much as the server takes, and reads nothing.",
                  "서버가 받는 만큼 보내고, 아무것도 읽지 않습니다."});
    const std::size_t taken = grading.send_until_full(first, much);
    grading.require(taken < much.size(), no_bound);
    grading.expect_idle(runs_in_a_circle);
    expect_echo(grading, second, one_delays_all);
    grading.step({"It reads all of it.", "그것을 모두 읽습니다."});
    read_back(taken);
    expect_echo(grading, first, set_not_rebuilt);

    grading.step({"Five clients leave by RST, one of them with its answer unread; the others by FIN, but for one.",
                  "다섯은 RST로 떠납니다. 하나는 답을 읽지 않은 채입니다. 나머지는 하나만 빼고 FIN으로 떠납니다."});
    grading.send(others[0], much.substr(0, 100'000));
    for (int i = 0; i < 5; ++i)
        others[static_cast<std::size_t>(i)].reset();
    others.clear();
    first.close();
    expect_echo(grading, second, fails_by_a_client);
    grading.step({"Nobody sends anything. What does the server do?", "아무도 보내지 않습니다. 서버는 무엇을 합니까?"});
    grading.expect_idle(runs_in_a_circle);
    grading.step({"A new client connects.", "새 클라이언트가 연결합니다."});
    Peer last = grading.connect(fails_by_a_client);
    expect_echo(grading, last, fails_by_a_client);
    expect_echo(grading, second, fails_by_a_client);
    const std::string more = numbered_lines(1);
    grading.once_more_over_ipv6(more, more);
}

// ---- polite_close

const Diagnosis zero_ignored{
    "zero-ignored",
    {"the client has sent FIN, and the server does not notice: recv() returns 0, which is neither an error nor bytes, "
     "and a loop that knows only -1 and bytes calls it again at once, for ever (look at top)",
     "클라이언트가 FIN을 보냈는데 서버가 알아채지 못합니다. recv()가 돌려주는 0은 오류도 바이트도 아닌데, -1과 "
     "바이트만 "
     "아는 반복문은 곧바로 다시 부르기를 영원히 되풀이합니다(top으로 보십시오)"}};
const Diagnosis answers_early{
    "answers-early",
    {"bytes came back before the client had sent FIN: the answer is to begin only when the client has sent everything",
     "클라이언트가 FIN을 보내기 전에 바이트가 돌아왔습니다. 답은 클라이언트가 다 보낸 뒤에야 시작해야 합니다"}};
const Diagnosis no_answer_after_fin{
    "no-answer-after-fin",
    {"the client's FIN was taken for its farewell, and the connection was closed without the answer. FIN says only "
     "that nothing more comes from there: the other direction is still open",
     "클라이언트의 FIN을 작별로 여기고 답 없이 연결을 닫았습니다. FIN은 그쪽에서 더 오지 않는다는 뜻일 뿐, 반대 방향은 "
     "아직 열려 있습니다"}};
const Diagnosis text_cut{"text-cut",
                         {"a part of the text is missing: it comes in several pieces, and goes in several, too",
                          "글의 일부가 빠졌습니다. 글은 여러 조각으로 오고, 여러 조각으로 갑니다"}};
const Diagnosis not_closed{
    "not-closed",
    {"all is here, but the end does not come: the connection was not closed. Was it the connection's descriptor that "
     "went to close(), or the listener's?",
     "다 왔는데 끝이 오지 않습니다. 연결을 닫지 않았습니다. close()에 준 것이 연결의 디스크립터입니까, 리스너의 "
     "것입니까?"}};
const Diagnosis listener_closed{
    "listener-closed",
    {"the first client was served, and nobody listens any more: after a client, the connection is closed, and the "
     "listening socket stays open for the next",
     "첫 클라이언트를 받고 나니 아무도 듣고 있지 않습니다. 클라이언트 다음에는 연결을 닫고, 듣는 소켓은 다음 "
     "클라이언트를 위해 열어 둡니다"}};

/// Sends a text in pieces and FIN, reads it all and the end.
void expect_text_back(Grading& grading, Peer& client, const std::string& text, std::size_t piece) {
    grading.send_in_pieces(client, text, piece);
    grading.wait_until_taken(client);
    char byte = 0;
    const bool early = recv(client.fd(), &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 1;
    grading.require(!early, answers_early);
    grading.end_sending(client);
    const std::string back = grading.receive(client, text.size());
    if (back.empty() && !text.empty()) {
        pollfd watched{client.fd(), POLLIN, 0};
        const bool ended = poll(&watched, 1, 0) == 1;
        if (ended) grading.expect_running(ended_early);
        grading.fail(ended ? no_answer_after_fin : zero_ignored, text, back);
    }
    grading.require_equal(text, back, text_cut);
    const std::optional<std::string> rest = grading.receive_to_end(client);
    if (!rest) grading.fail(text.empty() ? zero_ignored : not_closed);
    grading.require_equal("", *rest, text_cut);
}

void grade_polite_close(Grading& grading) {
    grading.step(starts);
    grading.start_server();
    grading.step({"A client sends a text in three pieces, then FIN, and reads to the end.",
                  "클라이언트가 글을 셋으로 나누어 보내고 FIN을 보낸 뒤, 끝까지 읽습니다."});
    Peer client = grading.connect();
    expect_text_back(grading, client, numbered_lines(40), 16);

    grading.step({"A second one sends 900 kB, in large pieces.", "두 번째가 900kB를 큰 조각으로 보냅니다."});
    Peer second = grading.connect(listener_closed);
    expect_text_back(grading, second, numbered_lines(900'000), 50'000);

    grading.step(
        {"A third one sends nothing but FIN: the answer is empty.", "세 번째는 FIN만 보냅니다. 답은 비어 있습니다."});
    Peer third = grading.connect();
    expect_text_back(grading, third, "", 1);

    grading.step({"One leaves in the middle, by RST; the next one is served.",
                  "하나가 중간에 RST로 떠납니다. 다음 클라이언트가 서비스를 받습니다."});
    Peer leaver = grading.connect();
    grading.send(leaver, "half a");
    leaver.reset();
    Peer next = grading.connect();
    expect_text_back(grading, next, numbered_lines(30), 30);
    grading.once_more_over_ipv6([&](const std::string& host) {
        grading.start_server({"--host", host});
        Peer other = grading.connect();
        expect_text_back(grading, other, numbered_lines(30), 30);
    });
}

// ---- bind_again

const Diagnosis in_time_wait{
    "in-time-wait",
    {"the restarted server cannot listen where it did before: its end of the old connection is in TIME_WAIT for a "
     "minute, and bind() refuses the port meanwhile (EADDRINUSE). SO_REUSEADDR, set before bind(), allows it; after "
     "bind() it is too late",
     "다시 시작한 서버가 전에 듣던 곳에서 들을 수 없습니다. 옛 연결의 서버 쪽 끝이 1분 동안 TIME_WAIT에 있고, 그동안 "
     "bind()는 그 포트를 거부합니다(EADDRINUSE). bind() 전에 설정한 SO_REUSEADDR이 허락해 줍니다. bind() 뒤에는 "
     "늦습니다"}};
const Diagnosis two_at_once{
    "two-at-once",
    {"a second server was allowed to listen at the port of one that runs: the kernel now deals out the clients between "
     "the two. That is SO_REUSEPORT; for a restart SO_REUSEADDR is enough",
     "이미 도는 서버의 포트에서 두 번째 서버가 듣게 되었습니다. 이제 커널이 클라이언트를 둘에게 나누어 줍니다. 그것은 "
     "SO_REUSEPORT입니다. 다시 시작하는 데는 SO_REUSEADDR이면 됩니다"}};
const Diagnosis elsewhere{"elsewhere",
                          {"the server listens, but at another address than it was told to: its clients will not look "
                           "for it there",
                           "서버가 듣고는 있지만 지시받은 주소가 아닙니다. 클라이언트는 그곳에서 찾지 않습니다"}};

/// Starts another one at the address of the last; the line in which it says that it listens, or nothing.
std::string start_again(Grading& grading, const std::string& port) {
    Process& server = grading.start({"--port", port});
    try {
        wait_until([&] { return server.out().find('\n') != std::string::npos || !server.is_running(); }, "listening on",
                   grading.limit());
    } catch (const Unexpected&) {
    }
    const std::vector<std::string> lines = lines_of(server.out());
    return lines.empty() ? "" : lines.front();
}

void grade_bind_again(Grading& grading) {
    grading.step({"The server starts, and serves a client.", "서버가 시작해 클라이언트를 받습니다."});
    Process& first = grading.start_server();
    const std::string address = grading.address(), port = address.substr(address.rfind(':') + 1);
    Peer client = grading.connect();
    expect_echo(grading, client, says_nothing);

    grading.step({"SIGTERM ends the server while the client is connected; then the client closes, too.",
                  "클라이언트가 연결된 채로 SIGTERM이 서버를 끝냅니다. 그런 다음 클라이언트도 닫습니다."});
    first.signal(SIGTERM);
    grading.wait_for([&] { return !first.is_running(); }, says_nothing);
    grading.receive_to_end(client);
    client.close();

    grading.step({"The server is started again, at the same port.", "같은 포트에서 서버를 다시 시작합니다."});
    const std::string line = start_again(grading, port);
    if (line.empty()) grading.fail(in_time_wait, "listening on " + address, line);
    grading.require_equal("listening on " + address, line, elsewhere);
    Peer next = grading.connect();
    expect_echo(grading, next, says_nothing);

    grading.step({"A second one is started there while this one runs: it must fail.",
                  "이것이 도는 동안 같은 곳에서 두 번째를 시작합니다. 실패해야 합니다."});
    const std::string other = start_again(grading, port);
    grading.require(other != "listening on " + address, two_at_once);
    grading.require_equal("", other, elsewhere);
    grading.wait_for([&] { return !grading.program().is_running(); }, elsewhere);
    grading.require(grading.program().wait(grading.limit()).status != 0, elsewhere);
    const std::string text = numbered_lines(1);
    grading.once_more_over_ipv6(text, text);
}

// ---- broken_pipe

const Diagnosis killed_by_sigpipe{
    "sigpipe",
    {"SIGPIPE has ended the server: sending to a client that has gone raises it, and unless something is said about "
     "it, it kills. Ignore it (signal(SIGPIPE, SIG_IGN)), or send with MSG_NOSIGNAL: then send() fails with EPIPE",
     "SIGPIPE가 서버를 끝냈습니다. 떠난 클라이언트에게 보내면 이 신호가 오고, 따로 정해 두지 않으면 프로세스를 "
     "죽입니다. 무시하거나(signal(SIGPIPE, SIG_IGN)) MSG_NOSIGNAL로 보내십시오. 그러면 send()가 EPIPE로 실패합니다"}};
const Diagnosis sends_for_ever{
    "sends-for-ever",
    {"a client has gone, and the next one is not served: send() fails with EPIPE or ECONNRESET, and the server tries "
     "again and again. A failed send() ends this connection",
     "클라이언트가 떠났는데 다음 클라이언트를 받지 않습니다. send()가 EPIPE나 ECONNRESET으로 실패하는데 서버가 "
     "되풀이해 "
     "시도합니다. send()가 실패하면 그 연결은 끝난 것입니다"}};
const Diagnosis server_ended{
    "server-ended",
    {"a client has left, and the server ended with it: EPIPE and ECONNRESET are the trouble of this one connection. "
     "Close it, and go on with accept()",
     "클라이언트가 떠나자 서버도 끝났습니다. EPIPE와 ECONNRESET은 그 연결 하나의 문제입니다. 닫고 다시 accept()로 "
     "가십시오"}};
const Diagnosis miscounts{"miscounts",
                          {"the client should get 1, 2, 3, ... from the beginning, with no number missing",
                           "클라이언트는 1, 2, 3, ...을 처음부터 빠짐없이 받아야 합니다"}};

void grade_broken_pipe(Grading& grading) {
    std::string numbers;
    for (int i = 1; numbers.size() < 400'000; ++i)
        numbers += std::to_string(i) + "\n";
    grading.step(starts);
    Process& server = grading.start_server();
    const auto expect_numbers = [&](Peer& client, std::size_t count) {
        const std::string got = grading.receive(client, count);
        if (got.empty()) {
            try {
                wait_until([&] { return !server.is_running(); }, "its end", Milliseconds(200));
            } catch (const Unexpected&) {
            }
            if (server.is_running()) grading.fail(sends_for_ever);
            grading.fail(server.wait(grading.limit()).signal == SIGPIPE ? killed_by_sigpipe : server_ended);
        }
        grading.require_equal(std::string_view(numbers).substr(0, count), got, miscounts);
    };
    grading.step({"A client connects, and reads 20000 bytes.", "클라이언트가 연결해 20000바이트를 읽습니다."});
    Peer client = grading.connect();
    expect_numbers(client, 20'000);
    grading.step({"It closes, with more unread: RST. The next one connects.",
                  "읽지 않은 것을 남긴 채 닫습니다. RST입니다. 다음 클라이언트가 연결합니다."});
    client.close();
    Peer second = grading.connect();
    expect_numbers(second, 400'000);
    grading.step({"It sends FIN, reads on, and leaves. The third one connects.",
                  "FIN을 보내고 계속 읽다가 떠납니다. 세 번째가 연결합니다."});
    grading.end_sending(second);
    grading.receive(second, 1000);
    second.reset();
    Peer third = grading.connect();
    expect_numbers(third, 500);
    third.reset();
    grading.step({"Five come and leave without reading; then one reads.",
                  "다섯이 왔다가 읽지 않고 떠납니다. 그런 다음 하나가 읽습니다."});
    for (int i = 0; i < 5; ++i)
        grading.connect().reset();
    Peer last = grading.connect();
    expect_numbers(last, 5000);
    grading.expect_running(server_ended);
    grading.once_more_over_ipv6("", numbers.substr(0, 100));
}

// ---- connect_deadline

const Diagnosis waits_for_ever{
    "waits-for-ever",
    {"nobody answers, and the client waits on, long after its time: connect() blocks with the kernel's patience, or "
     "poll() has no time limit",
     "아무도 답하지 않는데 클라이언트가 정해진 시간이 훨씬 지나도록 기다립니다. connect()가 커널의 인내심만큼 막혀 "
     "있거나, "
     "poll()에 시간제한이 없습니다"}};
const Diagnosis gives_up_early{
    "gives-up-early",
    {"the client gave up before its time. EINPROGRESS is no failure, it says that connect() is under way; and the "
     "time is meant in milliseconds",
     "정해진 시간이 되기 전에 포기했습니다. EINPROGRESS는 실패가 아니라 connect()가 진행 중이라는 뜻입니다. 시간의 "
     "단위는 "
     "밀리초입니다"}};
const Diagnosis writable_is_not_connected{
    "writable-is-not-connected",
    {"poll() reported POLLOUT, and that was taken for a connection. A socket whose connect() has failed is writable, "
     "too: what came of it says SO_ERROR (getsockopt), which is 0 only if it is connected",
     "poll()이 POLLOUT을 알리자 연결되었다고 여겼습니다. connect()가 실패한 소켓도 쓰기 가능합니다. 결과는 "
     "SO_ERROR(getsockopt)가 말해 주며, 연결되었을 때만 0입니다"}};
const Diagnosis wrong_outcome{
    "wrong-outcome",
    {"the client does not tell the outcomes apart: somebody listens, nobody listens (ECONNREFUSED, at once), or "
     "nothing comes at all",
     "클라이언트가 결과를 구별하지 못합니다. 누군가 듣고 있거나, 아무도 듣지 않거나(곧바로 ECONNREFUSED), 아예 "
     "아무것도 "
     "오지 않습니다"}};
const Diagnosis still_non_blocking{
    "still-non-blocking",
    {"connected, but the first recv() fails with EAGAIN: O_NONBLOCK was set for connect() and never taken away",
     "연결은 되었지만 첫 recv()가 EAGAIN으로 실패합니다. connect()를 위해 O_NONBLOCK을 켜고 다시 끄지 않았습니다"}};
const Diagnosis wrong_status{
    "wrong-status",
    {"the exit status is 0 if the client was connected, and 1 if not", "종료 상태는 연결되었으면 0, 아니면 1입니다"}};

void grade_connect_deadline(Grading& grading) {
    const auto first_line = [&] {
        const std::vector<std::string> lines = lines_of(grading.program().out());
        return lines.empty() ? "" : lines.front();
    };
    grading.step({"Somebody listens: the client connects.", "누군가 듣고 있습니다. 클라이언트가 연결합니다."});
    Peer listener = Peer::bound(SOCK_STREAM);
    grading.start({"--port", listener.port(), "--timeout", "20000"});
    grading.wait_for([&] { return !grading.program().out().empty() || !grading.program().is_running(); }, says_nothing);
    const std::string said = first_line();
    grading.require_equal("connected", said, said == "no answer" ? gives_up_early : wrong_outcome);
    grading.step({"The server is slow to answer, and then closes.", "서버가 늦게 답하고 닫습니다."});
    Peer connection = listener.accept();
    poll(nullptr, 0, 200);
    const std::string text = numbered_lines(20);
    grading.send(connection, text);
    connection.close();
    grading.wait_for([&] { return !grading.program().is_running(); }, says_nothing);
    const std::string printed = grading.program().out();
    grading.require_equal("connected\n" + text, printed, still_non_blocking);
    grading.expect_exit(0, wrong_status);

    grading.step(
        {"Nobody listens: the client is refused, at once.", "아무도 듣지 않습니다. 클라이언트는 곧바로 거절당합니다."});
    const FreePort nobody;
    grading.start({"--port", nobody.text(), "--timeout", "60000"});
    grading.wait_for([&] { return !grading.program().is_running(); }, says_nothing);
    const std::string refused = first_line();
    grading.require_equal("refused", refused, refused == "connected" ? writable_is_not_connected : wrong_outcome);
    grading.expect_exit(1, wrong_status);

    grading.step({"Somebody listens, but the queue is full and nobody accepts: the kernel does not answer.",
                  "누군가 듣고 있지만 대기열이 가득하고 아무도 accept하지 않습니다. 커널은 답하지 않습니다."});
    Peer full = Peer::bound(SOCK_STREAM);
    CALL(listen(full.fd(), 0));
    std::vector<Peer> waiting;
    const Address address = full.address();
    for (int i = 0; i < 8; ++i) {
        waiting.emplace_back(CALL(socket(address.family(), SOCK_STREAM, 0)));
        CALL(fcntl(waiting.back().fd(), F_SETFD, FD_CLOEXEC));
        ::connect(waiting.back().fd(), address.get(), address.length());
    }
    constexpr Milliseconds timeout{700};
    const auto begin = std::chrono::steady_clock::now();
    grading.start({"--port", full.port(), "--timeout", std::to_string(timeout.count())});
    // What the kernel answers after all is no outcome to wait for: the queue stays full.
    grading.wait_for([&] { return !grading.program().is_running(); }, waits_for_ever);
    const bool in_time = std::chrono::steady_clock::now() - begin >= timeout;
    grading.require_equal("no answer", first_line(), wrong_outcome);
    grading.require(in_time, gives_up_early);
    grading.expect_exit(1, wrong_status);

    grading.once_more_over_ipv6([&](const std::string& host) {
        Peer other = Peer::bound(SOCK_STREAM, host);
        grading.start({"--host", host, "--port", other.port(), "--timeout", "20000"});
        grading.wait_for([&] { return !grading.program().out().empty() || !grading.program().is_running(); },
                         ipv4_only);
        grading.require_equal("connected", first_line(), ipv4_only);
        other.accept().close();
        grading.expect_exit(0, ipv4_only);
    });
}

}  // namespace

Exercise many_clients() {
    return {"tcp",
            "many_clients",
            Kind::repair,
            {"many clients, one thread", "스레드 하나로 여러 클라이언트를"},
            {{"A client sends a lot and reads late. Step through it: what does poll() wait for when send() has taken "
              "only a part?",
              "클라이언트가 많이 보내고 늦게 읽습니다. 한 단계씩 따라가 보십시오. send()가 일부만 받았을 때 poll()은 "
              "무엇을 기다립니까?"},
             {"make_set() says what is to be waited for, by what is unsent now. When is it called? When does its "
              "answer change?",
              "make_set()은 지금 보내지 못한 것에 따라 무엇을 기다릴지 말해 줍니다. 언제 불립니까? 그 답은 언제 "
              "바뀝니까?"},
             {"The answer changes whenever a client comes, leaves, or has more or less unsent: make the set directly "
              "before each poll().",
              "클라이언트가 오거나 떠나거나 보내지 못한 것이 변할 때마다 답이 바뀝니다. poll() 바로 앞에서 매번 집합을 "
              "만드십시오."}},
            "PROGRAM & head -c 20000000 /dev/zero | build/tcp/echo_client | (sleep 2; wc -c)",
            grade_many_clients};
}

Exercise polite_close() {
    return {"tcp",
            "polite_close",
            Kind::repair,
            {"answer after the client's FIN, and close", "클라이언트의 FIN 뒤에 답하고 닫기"},
            {{"Run it with --trace, and end a client's input by Ctrl-D. What does recv() return, and what then?",
              "--trace로 실행하고 클라이언트의 입력을 Ctrl-D로 끝내 보십시오. recv()는 무엇을 돌려주고, 그다음은 "
              "무엇입니까?"},
             {"recv() has three kinds of results: bytes, -1, and 0 at the end of the stream. The loop knows two.",
              "recv()의 결과는 세 가지입니다. 바이트, -1, 그리고 스트림의 끝을 뜻하는 0. 반복문은 둘만 압니다."},
             {"At 0 send what you have. And look at what main() closes: two descriptors are open, and only one of them "
              "is over.",
              "0이면 모은 것을 보내십시오. 그리고 main()이 무엇을 닫는지 보십시오. 열린 디스크립터는 둘이고, 끝난 것은 "
              "하나뿐입니다."}},
            "PROGRAM & printf 'one\\ntwo\\n' | build/tcp/echo_client",
            grade_polite_close};
}

Exercise bind_again() {
    return {"tcp",
            "bind_again",
            Kind::complete,
            {"start again where you have just been", "방금 있던 곳에서 다시 시작하기"},
            {{"Run build/tcp/time_wait. Which end of a connection is in TIME_WAIT, and for how long?",
              "build/tcp/time_wait를 실행해 보십시오. 연결의 어느 쪽 끝이 얼마 동안 TIME_WAIT에 있습니까?"},
             {"setsockopt() at level SOL_SOCKET; socket(7) lists the options. It has to be known when bind() looks.",
              "SOL_SOCKET 수준의 setsockopt()입니다. 옵션은 socket(7)에 있습니다. bind()가 볼 때 이미 설정되어 있어야 "
              "합니다."},
             {"SO_REUSEADDR, an int of 1, between socket() and bind().",
              "socket()과 bind() 사이에서 SO_REUSEADDR을 int 1로 설정합니다."}},
            "PROGRAM & P=$!; (sleep 1; kill $P) & sleep 2 | build/tcp/echo_client; PROGRAM",
            grade_bind_again};
}

Exercise broken_pipe() {
    return {"tcp",
            "broken_pipe",
            Kind::repair,
            {"outlive a client that has gone", "떠난 클라이언트보다 오래 살기"},
            {{"How did the server end? The shell tells by echo $?: 141 is 128 + 13. What is signal 13?",
              "서버가 어떻게 끝났습니까? 셸의 echo $?가 말해 줍니다. 141은 128 + 13입니다. 13번 신호는 무엇입니까?"},
             {"signal(7) and send(2): SIGPIPE, MSG_NOSIGNAL, EPIPE. When the signal is gone, what does send() return, "
              "and what does the loop do with it?",
              "signal(7)과 send(2)에서 SIGPIPE, MSG_NOSIGNAL, EPIPE를 보십시오. 신호가 없어지면 send()는 무엇을 "
              "돌려주고, 반복문은 그것으로 무엇을 합니까?"},
             {"Ignore the signal, and leave serve() when send() returns -1.",
              "신호를 무시하고, send()가 -1을 돌려주면 serve()에서 나오십시오."}},
            "PROGRAM & sleep 1 | build/tcp/echo_client | head -3; sleep 1; build/tcp/echo_client </dev/null | head -3",
            grade_broken_pipe};
}

Exercise connect_deadline() {
    return {
        "tcp",
        "connect_deadline",
        Kind::complete,
        {"a connect() that does not wait for ever", "한없이 기다리지 않는 connect()"},
        {{"tcp/connect_timeout.cpp shows every step. How does it tell that connect() has ended, and how?",
          "tcp/connect_timeout.cpp가 모든 단계를 보여 줍니다. connect()가 끝난 것과 그 결과를 어떻게 압니까?"},
         {"O_NONBLOCK first; then EINPROGRESS is the usual result. poll() for POLLOUT waits, at most so many "
          "milliseconds.",
          "먼저 O_NONBLOCK을 켜면 EINPROGRESS가 보통의 결과입니다. POLLOUT을 기다리는 poll()이 그만큼의 밀리초까지만 "
          "기다립니다."},
         {"poll() = 0: no answer. Otherwise getsockopt(SOL_SOCKET, SO_ERROR) is the errno, 0 if connected; then "
          "give the socket its old flags back.",
          "poll()이 0이면 답이 없는 것입니다. 아니면 getsockopt(SOL_SOCKET, SO_ERROR)가 errno를 주고, 0이면 연결된 "
          "것입니다. 그런 다음 소켓의 플래그를 되돌리십시오."}},
        "build/tcp/backlog --stay & sleep 1; time PROGRAM --timeout 500",
        grade_connect_deadline};
}

}  // namespace exercise
