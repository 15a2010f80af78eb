// Graders of close_handshake and echo_to_spec: the grader is the client, which sends what browsers do and what no
// browser would. Frames are written and read here without the code of protocol/.

#include "tests/exercises/websocket_servers.hpp"

#include "common/errors.hpp"
#include "tests/support/conformance.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wire.hpp"
#include "websocket/protocol/handshake.hpp"

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <stdexcept>

#include <poll.h>
#include <sys/socket.h>

namespace exercise {

namespace {

using conformance::Fault;
using conformance::in_fragments;
using conformance::Rule;
using wire::close_body;
using wire::masked;
using wire::operator""_hex;

// ---- What goes wrong

const Diagnosis no_handshake{
    "no-handshake",
    {"the request of a browser was not answered by 101 with the fields that it needs: Upgrade, Connection, and "
     "Sec-WebSocket-Accept for its key (RFC 6455, section 4.2.2)",
     "브라우저의 요청에 필요한 필드(Upgrade, Connection, 키에 맞는 Sec-WebSocket-Accept)를 갖춘 101로 답하지 "
     "않았습니다(RFC 6455, 4.2.2절)"}};
const Diagnosis not_echoed{"not-echoed",
                           {"a message did not come back as it was: its type, its length or its bytes",
                            "메시지가 보낸 그대로 돌아오지 않았습니다. 종류, 길이, 바이트 중 무엇이 다릅니까?"}};
const Diagnosis masked_answer{
    "masked-answer",
    {"the server's frame has a mask. Only clients mask; a browser that gets a masked frame fails the connection (RFC "
     "6455, "
     "section 5.1). Was the client's own frame sent back?",
     "서버가 보낸 프레임에 마스크가 있습니다. 마스크는 클라이언트만 씁니다. 브라우저는 마스크된 프레임을 받으면 연결을 "
     "끊습니다(RFC 6455, 5.1절). 클라이언트의 프레임을 그대로 돌려보냈습니까?"}};
const Diagnosis long_form{"long-form",
                          {"the server wrote a length in a longer form than it needs (RFC 6455, section 5.2)",
                           "서버가 길이를 필요보다 긴 형식으로 썼습니다(RFC 6455, 5.2절)"}};
const Diagnosis close_unanswered{
    "close-unanswered",
    {"Close has to be answered by Close (RFC 6455, section 5.5.1): without it the browser reports 1006",
     "Close에는 Close로 답해야 합니다(RFC 6455, 5.5.1절). 답이 없으면 브라우저는 1006을 알립니다"}};
const Diagnosis wrong_close_code{
    "wrong-close-code",
    {"the code of the Close is another than it should be: a good one comes back as it came; if there was none, none is "
     "sent (an empty payload)",
     "Close의 코드가 다릅니다. 올바른 코드는 그대로 돌려보내고, 코드가 없었다면 코드 없이(빈 페이로드) 답합니다"}};
const Diagnosis code_not_checked{
    "code-not-checked",
    {"this code may not stand in a Close frame, and was sent back: 1005, 1006 and 1015 never travel, and what is "
     "neither "
     "1000-1003, 1007-1014 nor 3000-4999 means nothing. The answer is 1002 (RFC 6455, section 7.4)",
     "이 코드는 Close 프레임에 쓸 수 없는데 그대로 돌려보냈습니다. 1005, 1006, 1015는 보내지 않으며, 1000~1003, "
     "1007~1014, 3000~4999가 아닌 것은 뜻이 없습니다. 답은 1002입니다(RFC 6455, 7.4절)"}};
const Diagnosis half_code{
    "half-code",
    {"a Close has no payload or at least two bytes; with one byte it is a fault, whose answer is 1002",
     "Close의 페이로드는 없거나 2바이트 이상입니다. 1바이트는 잘못이며 1002로 답합니다"}};
const Diagnosis speaks_after_close{
    "speaks-after-close",
    {"something was sent after the Close: it is the last frame of its sender, and what comes after the client's Close "
     "is not "
     "to be looked at",
     "Close 뒤에 무언가를 보냈습니다. Close는 보내는 쪽의 마지막 프레임이고, 클라이언트의 Close 뒤에 온 것은 보지 "
     "않습니다"}};
const Diagnosis waits_for_client{
    "waits-for-client",
    {"both sides have said Close, and the server waits for the client to end TCP. It is the server who ends it (RFC "
     "6455, "
     "section 7.1.1), so that TIME_WAIT is on its side",
     "양쪽이 Close를 말했는데 서버가 클라이언트의 TCP 종료를 기다립니다. 서버가 먼저 끝내야 합니다(RFC 6455, 7.1.1절). "
     "그래야 TIME_WAIT가 서버 쪽에 남습니다"}};
const Diagnosis no_close{
    "no-close",
    {"the connection ended without a Close frame: its code tells the client what was wrong (RFC 6455, section 7.1.7)",
     "Close 프레임 없이 연결이 끝났습니다. 무엇이 잘못되었는지는 그 코드가 알려 줍니다(RFC 6455, 7.1.7절)"}};
const Diagnosis reset_at_close{"reset",
                               {"the connection ended by RST: the server closed it while bytes of the client were "
                                "unread. An RST can overtake the Close "
                                "frame and destroy it: shutdown(SHUT_WR) first, and read on for a while",
                                "연결이 RST로 끝났습니다. 클라이언트의 바이트를 다 읽지 않고 닫았기 때문입니다. RST는 "
                                "Close 프레임을 앞질러 없앨 수 "
                                "있습니다. 먼저 shutdown(SHUT_WR)을 하고 잠시 더 읽으십시오"}};
const Diagnosis hangs_on{
    "hangs-on",
    {"a client that has been answered, and does not go, keeps the next one from being served: reading on needs an end "
     "in "
     "time",
     "답을 받고도 떠나지 않는 클라이언트 때문에 다음 클라이언트가 서비스를 받지 못합니다. 더 읽는 데에도 시간 제한이 "
     "필요합니다"}};
const Diagnosis cut_frames{
    "cut-frames",
    {"frames went wrong that came in pieces, or many at once: one recv() gives you bytes, not a frame",
     "조각으로 오거나 한꺼번에 온 프레임이 잘못되었습니다. recv() 한 번은 프레임이 아니라 바이트를 줍니다"}};
const Diagnosis ping_unanswered{
    "ping-unanswered",
    {"each Ping is answered by a Pong with the same payload, at once, also between fragments; a Pong is not answered",
     "Ping마다 같은 페이로드의 Pong으로 바로 답합니다. 조각 사이에서도 그렇습니다. Pong에는 답하지 않습니다"}};
const Diagnosis fragments_wrong{"fragments",
                                {"a message in fragments did not come back as one: see the exercise fragments",
                                 "조각으로 보낸 메시지가 하나로 돌아오지 않았습니다. fragments 연습문제를 보십시오"}};
const Diagnosis not_utf8{"not-utf8",
                         {"a text that is not UTF-8 has to be ended by 1007, as soon as it can't become UTF-8, even if "
                          "its frame is not whole: "
                          "see the exercise utf8_cut",
                          "UTF-8이 아닌 텍스트는 1007로 끝내야 합니다. 프레임이 다 오지 않았어도 UTF-8이 될 수 없게 "
                          "되는 즉시입니다. utf8_cut "
                          "연습문제를 보십시오"}};
const Diagnosis utf8_refused{"utf8-refused",
                             {"this text is UTF-8, and a binary message may hold what it likes",
                              "올바른 UTF-8입니다. 바이너리 메시지에는 무엇이든 들어갈 수 있습니다"}};
const Diagnosis mask_not_asked{
    "mask-not-asked",
    {"a frame without a mask was accepted: a client's frames are masked, and others are to be failed with 1002 (RFC "
     "6455, "
     "section 5.1)",
     "마스크 없는 프레임을 받아들였습니다. 클라이언트의 프레임은 마스크되어야 하며 아니면 1002로 끝냅니다(RFC 6455, "
     "5.1절)"}};
const Diagnosis reserved_bits{
    "reserved-bits",
    {"a frame with RSV1, RSV2 or RSV3 was not refused with 1002: without an extension that was agreed on they are 0",
     "RSV1, RSV2, RSV3이 있는 프레임을 1002로 거절하지 않았습니다. 합의한 확장이 없으면 0이어야 합니다"}};
const Diagnosis reserved_opcodes{"reserved-opcode",
                                 {"a frame with one of the opcodes 3-7 and 11-15 was not refused with 1002",
                                  "오퍼코드가 3~7이나 11~15인 프레임을 1002로 거절하지 않았습니다"}};
const Diagnosis control_rules{
    "control-frame",
    {"a control frame has FIN and at most 125 bytes; another was not refused with 1002 (RFC 6455, section 5.5)",
     "제어 프레임에는 FIN이 있고 125바이트까지입니다. 그렇지 않은 것을 1002로 거절하지 않았습니다(RFC 6455, 5.5절)"}};
const Diagnosis fragment_order{
    "fragment-order",
    {"a continuation without a beginning, or a beginning before the end, was not refused with 1002 (RFC 6455, section "
     "5.4)",
     "시작 없는 계속 프레임이나 끝나기 전의 새 시작을 1002로 거절하지 않았습니다(RFC 6455, 5.4절)"}};
const Diagnosis length_rules{
    "length-form",
    {"a length in a longer form than it needs, or of 2^63 or more, was not refused with 1002 (RFC 6455, section 5.2)",
     "필요보다 긴 형식의 길이나 2^63 이상의 길이를 1002로 거절하지 않았습니다(RFC 6455, 5.2절)"}};
const Diagnosis no_limit{"no-limit",
                         {"a message of more than most_message bytes was not refused with 1009, when its header "
                          "announced it: a peer could make "
                          "the server store all it likes",
                          "most_message보다 큰 메시지를 헤더에서 알린 때에 1009로 거절하지 않았습니다. 상대가 서버의 "
                          "메모리를 얼마든지 채울 수 "
                          "있습니다"}};
const Diagnosis accepts_anything{
    "accepts-anything",
    {"a request that asks for no WebSocket connection, or not as RFC 6455, section 4.2.1 wants it, was answered by 101",
     "WebSocket 연결을 요청하지 않았거나 RFC 6455 4.2.1절에 맞지 않는 요청에 101로 답했습니다"}};
const Diagnosis wrong_status{"wrong-status",
                             {"this request has another answer: 400 where it is wrong, 426 with "
                              "\"Sec-WebSocket-Version: 13\" for another version, 431 "
                              "for a head of more than 8 KiB",
                              "이 요청에는 다른 답이 필요합니다. 잘못된 요청은 400, 다른 버전은 "
                              "\"Sec-WebSocket-Version: 13\"과 함께 426, 8KiB가 "
                              "넘는 헤더는 431입니다"}};
const Diagnosis good_request_refused{"good-request-refused",
                                     {"this request is as it should be: names of fields, \"websocket\" and \"Upgrade\" "
                                      "are written in small or capital letters, "
                                      "Connection is a list, and what is offered need not be taken",
                                      "올바른 요청입니다. 필드 이름과 \"websocket\", \"Upgrade\"는 대소문자를 가리지 "
                                      "않고, Connection은 목록이며, 제안된 것을 "
                                      "받아들이지 않아도 됩니다"}};
const Diagnosis client_ended_server{
    "client-ended-server",
    {"a client that left in its own way was the last one that was served: its trouble must not be the server's",
     "제멋대로 떠난 클라이언트 뒤로는 서비스를 받지 못했습니다. 클라이언트의 문제가 서버의 문제가 되어서는 안 됩니다"}};
const Diagnosis browser_refuses{
    "browser",
    {"the browser is the judge here, and its console said why", "브라우저가 판정합니다. 이유는 콘솔에 나왔습니다"}};

// ---- The client

const std::string key = "dGhlIHNhbXBsZSBub25jZQ==";

std::string request(const std::string& fields = "") {
    return "GET /echo?to=spec HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
           "Sec-WebSocket-Key: " +
           key + "\r\nSec-WebSocket-Version: 13\r\n" + fields + "\r\n";
}

/// A payload as the reader sees it: a long one by its length and a checksum.
std::string told(const std::string& payload) { return payload.size() > 200 ? wire::shown(payload) : payload; }

/// A connection, and what came on it and was not looked at yet.
class Client {
public:
    explicit Client(Grading& grading) : grading_(grading), peer_(grading.connect()) {}

    Peer& peer() { return peer_; }
    void send(std::string_view bytes) {
        try {
            peer_.send(bytes);
        } catch (const std::exception&) {  // it has gone: what comes next shows how
        }
    }

    /// The next so many bytes; fewer if no more come.
    std::string bytes(std::size_t count) {
        while (come_.size() < count && read_more())
            ;
        std::string some = come_.substr(0, count);
        come_.erase(0, some.size());
        return some;
    }

    /// Up to the blank line and with it, or what came of it.
    std::string head() {
        std::size_t end;
        while ((end = come_.find("\r\n\r\n")) == std::string::npos && read_more())
            ;
        return bytes(end == std::string::npos ? come_.size() : end + 4);
    }

    /// The next frame as the reader sees it: "81 Hello"; a Close as "88 1000". In its place "FIN", "RST" or "(nothing)"
    /// if it is the end that comes, or nothing in time.
    std::string frame() {
        std::string start = bytes(2);
        if (start.size() < 2) return start.empty() ? ending() : "(a frame that is cut)";
        const auto byte = [](char c) { return std::uint64_t{static_cast<unsigned char>(c)}; };
        const bool has_mask = (byte(start[1]) & 0x80U) != 0;
        std::uint64_t length = byte(start[1]) & 0x7FU;
        bool shortest = true;
        if (length >= 126) {
            const bool is_short = length == 126;
            length = 0;
            for (const char c : bytes(is_short ? 2 : 8))
                length = length << 8U | byte(c);
            shortest = length >= (is_short ? 126U : 65536U);
        }
        if (length > 64U << 20U) return "(a frame of " + std::to_string(length) + " bytes)";
        if (has_mask) bytes(4);
        const std::string payload = bytes(static_cast<std::size_t>(length));
        is_masked_ = is_masked_ || has_mask;
        is_long_ = is_long_ || !shortest;
        std::string shown = fmt::format("{:02x} ", byte(start[0]));
        if (has_mask) return shown + "(with a mask)";
        if (payload.size() < length) return shown + "(cut)";
        if (byte(start[0]) == 0x88 && payload.size() >= 2)
            return shown + std::to_string(byte(payload[0]) << 8U | byte(payload[1]));
        return shown + told(payload);
    }

    /// All frames to the end, and how it ended: "81 Hello, 88 1000, FIN".
    std::string to_end() {
        std::string all;
        for (;;) {
            const std::string next = frame();
            all += (all.empty() ? "" : ", ") + next;
            if (next.front() == '(' || next == "FIN" || next == "RST") return all;
        }
    }

    bool is_masked() const { return is_masked_; }
    bool is_long() const { return is_long_; }

private:
    std::string ending() const { return end_.empty() ? "(nothing)" : end_; }

    bool read_more() {
        if (!end_.empty()) return false;
        pollfd watched{peer_.fd(), POLLIN, 0};
        try {
            wait_until([&] { return poll(&watched, 1, 0) == 1; }, "bytes", grading_.limit(), &watched);
        } catch (const Unexpected&) {
            return false;
        }
        char buffer[65536];
        const ssize_t got = recv(peer_.fd(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (got > 0) come_.append(buffer, static_cast<std::size_t>(got));
        if (got == 0) end_ = "FIN";
        if (got == -1 && errno != EAGAIN && errno != EINTR) end_ = "RST";
        return end_.empty();
    }

    Grading& grading_;
    Peer peer_;
    std::string come_, end_;
    bool is_masked_ = false, is_long_ = false;
};

/// Fails unless what came is what was expected. A mask or a long form is told first, whatever else is wrong.
void judge(Grading& grading, const Client& client, const std::string& expected, const std::string& actual,
           const Diagnosis& otherwise) {
    if (actual == expected && !client.is_long()) return;
    const Diagnosis& why = client.is_masked() ? masked_answer : client.is_long() ? long_form : otherwise;
    grading.fail(why, expected, actual);
}

bool is_accepted(const std::string& head) {
    const auto has = [&](const std::string& name, const std::string& value) {
        const auto small = [](std::string text) {
            std::transform(text.begin(), text.end(), text.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
            return text;
        };
        const std::size_t at = small(head).find("\r\n" + name + ":");
        if (at == std::string::npos) return false;
        const std::size_t begin = head.find_first_not_of(' ', at + name.size() + 3);
        const std::string line = head.substr(begin, head.find("\r\n", begin) - begin);
        return name == "sec-websocket-accept" ? line == value : small(line) == value;
    };
    return head.starts_with("HTTP/1.1 101 ") && head.ends_with("\r\n\r\n") && has("upgrade", "websocket") &&
           has("connection", "upgrade") && has("sec-websocket-accept", websocket::accept_value(key)) &&
           head.find("\r\nSec-WebSocket-Extensions:") == std::string::npos;
}

/// A server that has just ended is still seen to run for a moment.
void must_not_have_ended(Grading& grading) {
    try {
        wait_until([&] { return !grading.program().is_running(); }, "its end", Milliseconds(100));
    } catch (const Unexpected&) {
        return;
    }
    grading.fail(ended_early);
}

/// A client that has shaken hands.
Client shaken(Grading& grading, const Diagnosis& otherwise = no_handshake) {
    Client client(grading);
    client.send(request());
    const std::string head = client.head();
    if (!is_accepted(head)) {
        grading.sent(request());
        grading.received(head);
        if (head.empty()) must_not_have_ended(grading);
        grading.fail(otherwise);
    }
    return client;
}

/// What it means that a connection went so, where something else was expected.
const Diagnosis& why_so(const std::string& expected, const std::string& actual, const Diagnosis& otherwise) {
    const std::string frames = expected.substr(0, expected.rfind(", "));  // without the FIN
    if (actual.ends_with("RST")) return reset_at_close;
    if (actual == frames + ", (nothing)") return waits_for_client;
    if (actual.starts_with(frames + ", 8")) return speaks_after_close;
    if (actual.ends_with("FIN") && actual.find("88 ") == std::string::npos && &otherwise != &close_unanswered)
        return no_close;
    return otherwise;
}

/// Sends, and expects these frames and this end.
void ends_with(Grading& grading, const std::string& bytes, const std::string& expected, const Diagnosis& otherwise) {
    Client client = shaken(grading, client_ended_server);
    client.send(bytes);
    const std::string actual = client.to_end();
    if (actual != expected) grading.sent(bytes);
    judge(grading, client, expected, actual, why_so(expected, actual, otherwise));
}

/// As Client::to_end() tells it: these frames, and the Close, and the end.
std::string listed(const conformance::Frames& frames, unsigned code) {
    std::string all;
    for (const std::string& frame : frames)
        all += frame + ", ";
    return fmt::format("{}88 {}, FIN", all, code);
}

const Diagnosis& meaning_of(Rule rule) {
    switch (rule) {
        case Rule::mask:
            return mask_not_asked;
        case Rule::reserved_bit:
            return reserved_bits;
        case Rule::opcode:
            return reserved_opcodes;
        case Rule::length:
            return length_rules;
        case Rule::order:
            return fragment_order;
        case Rule::control_frame:
            return control_rules;
        case Rule::limit:
            return no_limit;
        case Rule::utf8:
            return not_utf8;
        case Rule::close_code:
            return code_not_checked;
        case Rule::half_code:
            return half_code;
    }
    throw std::logic_error("no such rule");
}

void ends_by_fault(Grading& grading, const Fault& fault, const std::string& bytes) {
    ends_with(grading, bytes, listed(fault.before, fault.code), meaning_of(fault.rule));
}

void next_is_served(Grading& grading, const Diagnosis& otherwise) {
    Client next = shaken(grading, otherwise);
    const std::string text = "still there? " + numbered_lines(8);
    next.send(masked(0x81, text));
    judge(grading, next, "81 " + told(text), next.frame(), otherwise);
}

void grade_ipv6(Grading& grading) {
    grading.once_more_over_ipv6([&](const std::string& host) {
        grading.start_server({"--host", host});
        next_is_served(grading, ipv4_only);
    });
}

// ---- Close

void grade_close(Grading& grading) {
    grading.step({"A client says Close, 1000, and waits for the answer and for the end of TCP.",
                  "클라이언트가 Close 1000을 말하고 답과 TCP의 끝을 기다립니다."});
    ends_with(grading, masked(0x88, close_body(1000)), "88 1000, FIN", close_unanswered);
    grading.step({"Others say Close with other codes, with a reason, and with no code at all.",
                  "다른 코드, 이유가 있는 Close, 코드 없는 Close입니다."});
    std::vector<unsigned> codes = conformance::good_close_codes;
    codes.push_back(4000U + static_cast<unsigned>(grading.program().pid()) % 1000);
    for (const unsigned code : codes)
        ends_with(grading, masked(0x88, close_body(code, "안녕")), fmt::format("88 {}, FIN", code), wrong_close_code);
    ends_with(grading, masked(0x88, ""), "88 , FIN", wrong_close_code);
    grading.step({"Close with a code that may not travel, and with half a code.",
                  "쓸 수 없는 코드의 Close와 코드가 반쪽인 Close입니다."});
    for (const Fault& fault : conformance::faults_of_close_codes())
        ends_by_fault(grading, fault, fault.bytes);
    grading.step({"Clients go on after their Close: a message, a Ping, a second Close.",
                  "Close 뒤에 메시지, Ping, 두 번째 Close가 이어집니다."});
    for (const conformance::Exchange& one : conformance::behind_close)
        ends_with(grading, one.bytes, listed(one.answer, 1000), speaks_after_close);
    grading.step({"A client is answered, and stays connected in silence; the next one comes.",
                  "답을 받은 클라이언트가 말없이 연결을 유지하는 동안 다음 클라이언트가 옵니다."});
    Client silent = shaken(grading);
    silent.send(masked(0x88, close_body(1000)));
    judge(grading, silent, "88 1000, FIN", silent.to_end(), waits_for_client);
    next_is_served(grading, hangs_on);
}

}  // namespace

void grade_close_handshake(Grading& grading) {
    grading.step(
        {"A client upgrades, and a message comes back.", "클라이언트가 업그레이드하고 메시지 하나가 돌아옵니다."});
    grading.start_server();
    next_is_served(grading, not_echoed);
    grade_close(grading);
    grade_ipv6(grading);
}

// ---- echo_to_spec

namespace {

void answers(Grading& grading, Client& client, const std::string& sent, const std::vector<std::string>& expected,
             const Diagnosis& otherwise) {
    client.send(sent);
    for (const std::string& frame : expected) {
        const std::string actual = client.frame();
        if (actual != frame) grading.sent(sent);
        judge(grading, client, frame, actual, otherwise);
    }
}

void grade_messages(Grading& grading) {
    grading.step({"Messages of all lengths, text and binary.", "온갖 길이의 텍스트와 바이너리 메시지입니다."});
    Client client = shaken(grading);
    for (const std::size_t size : {5UL, 0UL, 1UL, 125UL, 126UL, 127UL, 65535UL, 65536UL, 300'000UL}) {
        const std::string text = numbered_lines(size).substr(0, size);
        answers(grading, client, masked(0x81, text), {"81 " + told(text)}, not_echoed);
        const std::string bytes = random_bytes(size, static_cast<unsigned>(grading.program().pid()));
        answers(grading, client, masked(0x82, bytes, 0xA1B2C3D4), {"82 " + told(bytes)}, not_echoed);
    }
    const std::string whole = numbered_lines(1U << 20U).substr(0, 1U << 20U);
    answers(grading, client, masked(0x81, whole), {"81 " + told(whole)}, not_echoed);
    grading.step({"Frames byte by byte; then 300 at once.",
                  "바이트 하나씩 오는 프레임, 그다음 한꺼번에 온 프레임 300개입니다."});
    const std::string text = numbered_lines(140);
    for (const char byte : masked(0x81, text) + masked(0x82, "end"))
        client.send({&byte, 1});
    answers(grading, client, "", {"81 " + told(text), "82 end"}, cut_frames);
    std::string all;
    std::vector<std::string> expected;
    for (std::size_t i = 0; i < 300; ++i) {
        const std::string payload = numbered_lines(i).substr(0, i);
        all += masked(0x81, payload, static_cast<std::uint32_t>(i * 2654435761U));
        expected.push_back("81 " + told(payload));
    }
    answers(grading, client, all, expected, cut_frames);
    grading.step({"Pings, and a Pong that nobody asked for.", "Ping들과 아무도 요청하지 않은 Pong입니다."});
    const std::string most = numbered_lines(125).substr(0, 125);
    answers(grading, client,
            masked(0x89, "") + masked(0x89, "payload") + masked(0x89, most) + masked(0x8A, "unasked") +
                masked(0x89, "after"),
            {"8a ", "8a payload", "8a " + told(most), "8a after"}, ping_unanswered);
    grading.step({"Messages in fragments, with Ping between.", "Ping이 끼어든, 조각난 메시지입니다."});
    for (const conformance::Exchange& one : conformance::fragments)
        answers(grading, client, one.bytes, one.answer,
                one.answer.front().starts_with("8a") ? ping_unanswered : fragments_wrong);
    answers(grading, client, in_fragments(1, whole.substr(0, 200'000), 1000), {"81 " + told(whole.substr(0, 200'000))},
            fragments_wrong);
    grading.step({"Texts at the edges of UTF-8, whole and cut within characters.",
                  "UTF-8의 경계에 있는 글을 통째로, 또 글자 중간에서 끊어 보냅니다."});
    std::vector<std::string> edges = conformance::good_texts;
    edges.insert(edges.begin(), "안녕하세요 👋");
    for (const std::string& edge : edges)
        answers(grading, client, masked(0x81, edge) + in_fragments(1, edge, 1),
                {"81 " + told(edge), "81 " + told(edge)}, utf8_refused);
    for (const conformance::Exchange& one : conformance::cut_characters)
        answers(grading, client, one.bytes, one.answer, utf8_refused);
    answers(grading, client, masked(0x82, "c0ff"_hex), {"82 " + told("c0ff"_hex)}, utf8_refused);
}

void grade_faults(Grading& grading) {
    grading.step({"Texts that are not UTF-8, whole, in fragments, and in a frame that never ends.",
                  "UTF-8이 아닌 텍스트를 통째로, 조각으로, 끝나지 않는 프레임으로 보냅니다."});
    for (const std::string& bad : conformance::bad_texts) {
        ends_with(grading, masked(0x81, "before" + bad + "after"), "88 1007, FIN", not_utf8);
        ends_with(grading, masked(0x81, "good") + masked(0x01, "x" + bad), "81 good, 88 1007, FIN", not_utf8);
        ends_with(grading, masked(0x81, "x" + bad + std::string(100, 'y')).substr(0, 6 + 1 + bad.size()),
                  "88 1007, FIN", not_utf8);
    }
    for (const std::string& unfinished : conformance::unfinished_texts) {
        ends_with(grading, masked(0x81, "cut" + unfinished), "88 1007, FIN", not_utf8);
        ends_with(grading, masked(0x01, "cut" + unfinished) + masked(0x80, ""), "88 1007, FIN", not_utf8);
    }
    grading.step({"Each fault that a frame can have, in a connection of its own.",
                  "프레임의 모든 잘못을 하나씩, 저마다의 연결에서 보냅니다."});
    constexpr std::uint64_t most_message = 1U << 20U;
    for (const Fault& fault : conformance::faults_of_frames(most_message)) {
        ends_by_fault(grading, fault, fault.bytes);
        ends_by_fault(grading, fault, fault.bytes + std::string(100'000, 'x'));
    }
}

std::string edited(const std::string& part, const std::string& by) {
    std::string text = request();
    return text.replace(text.find(part), part.size(), by);
}

void grade_requests(Grading& grading) {
    grading.step({"Requests that are written in other ways.", "다르게 쓴 올바른 요청들입니다."});
    for (const std::string& good : {edited("Upgrade: websocket", "UPGRADE:WebSocket"),
                                    edited("Connection: Upgrade", "connection: keep-alive, upgrade"),
                                    edited("Host:", "hOST:\t"), request("Origin: https://example.org\r\nX-Empty:\r\n"),
                                    request("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
                                            "Sec-WebSocket-Protocol: chat, superchat\r\n")}) {
        Client client(grading);
        // The first message comes right behind it, and all of it in two pieces.
        const std::string all = good + masked(0x81, "at once");
        client.send(all.substr(0, 20));
        client.send(all.substr(20));
        const std::string head = client.head();
        if (!is_accepted(head)) {
            grading.sent(good);
            grading.received(head);
            grading.fail(good_request_refused);
        }
        judge(grading, client, "81 at once", client.frame(), cut_frames);
    }
    grading.step({"Requests that ask for no WebSocket connection.", "WebSocket 연결을 요청하지 않는 요청들입니다."});
    struct Refused {
        std::string request, status;
    };
    const std::string field = "Sec-WebSocket-Key: " + key + "\r\n";
    std::vector<Refused> all;
    for (const std::string& bad :
         {std::string("GET / HTTP/1.1\r\n\r\n"), edited("GET /", "POST /"), edited("HTTP/1.1", "HTTP/1.0"),
          edited("GET /", "GET  /"), edited("Host: 127.0.0.1\r\n", ""), edited("Upgrade: websocket\r\n", ""),
          edited("Upgrade: websocket", "Upgrade: h2c"), edited("Connection: Upgrade\r\n", ""),
          edited("Connection: Upgrade", "Connection: keep-alive"), edited(field, ""), edited(field, field + field),
          edited(key, ""), edited(key, "dGhlIHNhbXBsZSBub25j"), edited(key, "dGhlIHNhbXBsZSBub25jZ!=="),
          request("no colon\r\n"), request("X: \x1b[2J\r\n"), request("Content-Length: 5\r\n") + "hello"})
        all.push_back({bad, "400"});
    for (const char* version : {"8", "12", "130", "14"})
        all.push_back({edited("Version: 13", std::string("Version: ") + version), "426"});
    all.push_back({request("X: " + std::string(9000, 'x') + "\r\n"), "431"});
    all.push_back({std::string(100'000, 'A'), "431"});
    for (const Refused& one : all) {
        Client client(grading);
        client.send(one.request);
        const std::string head = client.head();
        const bool says_version = head.find("\r\nSec-WebSocket-Version: 13\r\n") != std::string::npos;
        if (head.starts_with("HTTP/1.1 " + one.status + " ") && (one.status != "426" || says_version)) continue;
        grading.sent(one.request);
        grading.fail(head.starts_with("HTTP/1.1 101") ? accepts_anything : wrong_status, "HTTP/1.1 " + one.status,
                     head.substr(0, head.find('\r')));
    }
}

void grade_survival(Grading& grading) {
    grading.step({"Clients that leave in all ways: within the request, within a frame, by RST.",
                  "요청 중에, 프레임 중에, RST로 떠나는 클라이언트들입니다."});
    Client(grading).send(request().substr(0, 30));
    next_is_served(grading, client_ended_server);
    shaken(grading).send(masked(0x81, "never whole").substr(0, 9));
    next_is_served(grading, client_ended_server);
    Client resets = shaken(grading);
    resets.send(masked(0x81, numbered_lines(50'000)) + masked(0x81, "more").substr(0, 7));
    resets.peer().reset();
    next_is_served(grading, client_ended_server);
}

/// Is a browser content? Where none is installed, that is said loudly.
void grade_with_browser(Grading& grading) {
    std::string chromium;
    for (const char* name : {"chromium", "chromium-browser", "google-chrome"})
        if (chromium.empty()) chromium = find_tool(name);
    if (chromium.empty()) {
        fmt::print(stderr, "SKIPPED: echo_to_spec in a browser: chromium is not installed (sh scripts/setup --dev)\n");
        return;
    }
    grading.step({"A browser: {}.", "브라우저입니다. {}."}, chromium);
    const TempDir profile;
    const std::string page = "file://" + std::filesystem::absolute("tests/exercises/echo_to_spec.html").string();
    const std::string& address = grading.address();
    Process browser({chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
                     "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     "--enable-logging=stderr", "--user-data-dir=" + profile.path(),
                     page + "?" + address.substr(address.rfind(':') + 1)});
    std::string said;
    try {
        said = browser.expect_line(Stream::err, "ECHO-TO-SPEC: ", 2 * patience);  // a browser takes its time to start
    } catch (const Unexpected&) {
    }
    browser.signal(SIGTERM);  // which also ends the processes that it started
    try {
        browser.wait();
    } catch (const Unexpected&) {
    }
    if (said.find("ECHO-TO-SPEC: good") == std::string::npos) grading.fail(browser_refuses, "good", said);
}

}  // namespace

void grade_echo_to_spec(Grading& grading) {
    grading.step({"A client asks for an upgrade.", "클라이언트가 업그레이드를 요청합니다."});
    grading.start_server();
    shaken(grading);
    grade_messages(grading);
    grade_faults(grading);
    grade_close(grading);
    grade_requests(grading);
    grade_survival(grading);
    grade_with_browser(grading);
    grade_ipv6(grading);
}

}  // namespace exercise
