// Graders: messages in a stream of bytes. exact_read, line_server, length_prefix.

#include "tests/exercises/tcp.hpp"

#include <algorithm>
#include <cstdint>

namespace exercise {

namespace {

const Diagnosis one_recv{
    "one-recv",
    {"one recv() was taken for one message. A stream gives you bytes, not messages: a recv() may bring a part of one, "
     "or several, wherever the network has cut them. On loopback that stays hidden as long as nobody sends in pieces",
     "recv() 한 번을 메시지 하나로 여겼습니다. 스트림은 메시지가 아니라 바이트를 줍니다. recv()는 네트워크가 자른 곳에 "
     "따라 메시지의 일부를 가져올 수도, 여러 개를 가져올 수도 있습니다. 누구도 나누어 보내지 않는 동안에는 "
     "루프백에서 드러나지 않습니다"}};
const Diagnosis if_for_while{
    "if-for-while",
    {"a message in two pieces was understood, but not one in many: after a recv() that brought too little, a second "
     "one may bring too little again. Where an if stands, a loop belongs",
     "두 조각으로 온 메시지는 알아들었지만 여러 조각은 아니었습니다. 모자라게 가져온 recv() 다음의 recv()도 다시 "
     "모자랄 수 있습니다. if가 있는 곳에 반복문이 있어야 합니다"}};
const Diagnosis answers_the_half{
    "answers-the-half",
    {"the stream ended in the middle of a message, and it was answered all the same, with bytes that were never "
     "received. When recv() returns 0 before the message is whole, there is no message",
     "메시지 중간에 스트림이 끝났는데도, 받은 적 없는 바이트로 답했습니다. 메시지가 다 오기 전에 recv()가 0을 "
     "돌려주면 메시지는 없는 것입니다"}};
const Diagnosis ignores_the_end{
    "ignores-the-end",
    {"the client has sent FIN, and the server neither closes the connection nor serves the next client. recv() "
     "returns 0 at the end of the stream, at once, as often as it is called: a loop that does not stop at 0 runs for "
     "ever",
     "클라이언트가 FIN을 보냈는데 서버가 연결을 닫지도, 다음 클라이언트를 받지도 않습니다. 스트림의 끝에서 recv()는 "
     "부를 때마다 곧바로 0을 돌려줍니다. 0에서 멈추지 않는 반복문은 영원히 돕니다"}};
const Diagnosis wrong_answer{"wrong-answer",
                             {"the answer is not what the exercise asks for: see the comment at the top of its file",
                              "답이 문제가 요구하는 것과 다릅니다. 파일 맨 위의 설명을 보십시오"}};
const Diagnosis loses_a_client{
    "loses-a-client",
    {"after a client that left in the middle, the next one is not served: the trouble of one client must not be the "
     "next one's",
     "중간에 떠난 클라이언트 다음의 클라이언트가 서비스를 받지 못합니다. 한 클라이언트의 문제가 다음 클라이언트의 "
     "문제가 되어서는 안 됩니다"}};

constexpr Text starts{"The server starts.", "서버가 시작합니다."};

/// The end of the stream within the time, and nothing before it.
void expect_end(Grading& grading, Peer& client, const Diagnosis& if_bytes, const Diagnosis& if_open) {
    const std::optional<std::string> rest = grading.receive_to_end(client);
    if (rest && !rest->empty()) grading.fail(if_bytes, "", *rest);
    if (!rest) grading.fail(if_open);
}

// ---- exact_read

std::string reversed(std::string_view bytes) { return {bytes.rbegin(), bytes.rend()}; }

void grade_exact_read(Grading& grading) {
    constexpr std::size_t size = 16;  // of a record
    const auto record = [] { return numbered_lines(size).substr(0, size); };
    grading.step(starts);
    grading.start_server();
    grading.step({"A client sends a record of 16 bytes, and reads it in reverse order.",
                  "클라이언트가 16바이트 레코드를 보내고, 뒤집힌 것을 읽습니다."});
    Peer client = grading.connect();
    std::string bytes = record();
    grading.send(client, bytes);
    grading.require_equal(reversed(bytes), grading.receive(client, size), wrong_answer);

    grading.step({"It sends three records at once.", "레코드 셋을 한꺼번에 보냅니다."});
    const std::string three[] = {record(), record(), record()};
    grading.send(client, three[0] + three[1] + three[2]);
    grading.require_equal(reversed(three[0]) + reversed(three[1]) + reversed(three[2]),
                          grading.receive(client, 3 * size), one_recv);

    grading.step({"It sends a record in two pieces: the second once the server has taken the first.",
                  "레코드를 둘로 나누어, 서버가 첫 조각을 가져간 뒤에 둘째를 보냅니다."});
    bytes = record();
    grading.send_in_pieces(client, bytes, 9);
    grading.require_equal(reversed(bytes), grading.receive(client, size), one_recv);

    grading.step({"It sends a record byte by byte.", "레코드를 한 바이트씩 보냅니다."});
    bytes = record();
    grading.send_in_pieces(client, bytes, 1);
    grading.require_equal(reversed(bytes), grading.receive(client, size), if_for_while);

    grading.step(
        {"It sends a whole record and half of one, and then FIN.", "레코드 하나와 반을 보내고 FIN을 보냅니다."});
    bytes = record();
    grading.send(client, bytes + record().substr(0, size / 2));
    grading.end_sending(client);
    grading.require_equal(reversed(bytes), grading.receive(client, size), one_recv);
    expect_end(grading, client, answers_the_half, ignores_the_end);

    grading.step({"A client leaves in the middle of a record, by RST; the next one is served.",
                  "클라이언트가 레코드 중간에 RST로 떠납니다. 다음 클라이언트가 서비스를 받습니다."});
    Peer leaver = grading.connect();
    grading.send(leaver, record().substr(0, 5));
    leaver.reset();
    Peer next = grading.connect(loses_a_client);
    bytes = record();
    grading.send(next, bytes);
    grading.require_equal(reversed(bytes), grading.receive(next, size), loses_a_client);
    bytes = record();
    grading.once_more_over_ipv6(bytes, reversed(bytes));
}

// ---- line_server

const Diagnosis strlen_of_bytes{
    "strlen-of-bytes",
    {"a line ended at its zero byte. What recv() brings are bytes, and how many it says itself: strlen(), strchr() "
     "and their like stop at the first zero byte, and run on where there is none",
     "줄이 0 바이트에서 끝나 버렸습니다. recv()가 가져오는 것은 바이트이고, 몇 개인지는 recv()가 말해 줍니다. "
     "strlen(), strchr() 따위는 첫 0 바이트에서 멈추고, 없으면 계속 나아갑니다"}};
const Diagnosis last_line{
    "last-line",
    {"the last line had no newline, and got no answer: at the end of the stream there may be bytes that nobody has "
     "looked at yet",
     "마지막 줄에 줄바꿈이 없었고 답도 없었습니다. 스트림이 끝났을 때 아직 아무도 보지 않은 바이트가 남아 있을 수 "
     "있습니다"}};
const Diagnosis no_limit{
    "no-limit",
    {"a line without an end is collected without a limit: whoever sends one fills the server's memory. At 1001 bytes "
     "it is known to be too long, with or without its newline",
     "끝나지 않는 줄을 한없이 모읍니다. 그런 줄을 보내면 서버의 메모리가 찹니다. 1001바이트면 줄바꿈이 오지 않아도 "
     "너무 길다는 것을 압니다"}};
const Diagnosis limit_is_off{
    "limit-is-off",
    {"the longest line that is allowed has 1000 bytes, the newline not counted: 1000 are answered, and 1001 are too "
     "many",
     "허용되는 가장 긴 줄은 줄바꿈을 빼고 1000바이트입니다. 1000이면 답하고 1001이면 너무 많습니다"}};
const Diagnosis stays_open{
    "stays-open",
    {"after \"too long\" the connection has to be closed: what follows is the rest of a line whose beginning is gone",
     "\"too long\" 뒤에는 연결을 닫아야 합니다. 그 뒤에 오는 것은 앞부분이 사라진 줄의 나머지입니다"}};

void grade_line_server(Grading& grading) {
    std::size_t salt = static_cast<std::size_t>(std::stoul(numbered_lines(7).substr(0, 7)));
    const auto some = [&salt] { return 3 + ++salt % 40; };  // a length that nobody knows before
    const auto line = [](std::size_t size) { return std::string(size, 'a') + "\n"; };
    const auto answer = [](std::size_t size) { return std::to_string(size) + "\n"; };

    grading.step(starts);
    grading.start_server();
    grading.step(
        {"A client sends a line, and reads how long it is.", "클라이언트가 한 줄을 보내고 그 길이를 읽습니다."});
    Peer client = grading.connect();
    std::size_t size = some();
    grading.send(client, line(size));
    grading.require_equal(answer(size), grading.receive(client, answer(size).size()), wrong_answer);

    grading.step(
        {"It sends three lines at once, one of them empty.", "세 줄을 한꺼번에 보냅니다. 하나는 빈 줄입니다."});
    const std::size_t first = some(), third = some();
    const std::string three = answer(first) + answer(0) + answer(third);
    grading.send(client, line(first) + "\n" + line(third));
    grading.require_equal(three, grading.receive(client, three.size()), one_recv);

    grading.step({"It sends a line byte by byte, each once the server has taken the one before.",
                  "한 줄을 한 바이트씩, 서버가 앞의 것을 가져갈 때마다 보냅니다."});
    size = some();
    grading.send_in_pieces(client, line(size), 1);
    grading.require_equal(answer(size), grading.receive(client, answer(size).size()), one_recv);

    grading.step({"It sends a line with a zero byte in it.", "0 바이트가 든 한 줄을 보냅니다."});
    size = some();
    std::string zero = line(size);
    zero[size / 2] = '\0';
    grading.send(client, zero);
    grading.require_equal(answer(size), grading.receive(client, answer(size).size()), strlen_of_bytes);

    grading.step({"It sends a line of 1000 bytes, which is the longest.", "가장 긴 줄, 1000바이트를 보냅니다."});
    grading.send(client, line(1000));
    grading.require_equal("1000\n", grading.receive(client, 5), limit_is_off);

    grading.step({"It sends a last line without a newline, and then FIN.", "줄바꿈 없는 마지막 줄과 FIN을 보냅니다."});
    size = some();
    grading.send(client, std::string(size, 'z'));
    grading.end_sending(client);
    const std::optional<std::string> rest = grading.receive_to_end(client);
    if (!rest) grading.fail(ignores_the_end);
    grading.require_equal(answer(size), *rest, last_line);

    grading.step({"Another one sends a line and FIN: no line is left.",
                  "다른 클라이언트가 한 줄과 FIN을 보냅니다. 남은 줄은 없습니다."});
    Peer other = grading.connect();
    size = some();
    grading.send(other, line(size));
    grading.end_sending(other);
    const std::optional<std::string> only = grading.receive_to_end(other);
    if (!only) grading.fail(ignores_the_end);
    grading.require_equal(answer(size), *only, wrong_answer);

    grading.step({"A third one sends 1001 bytes without a newline, and waits.",
                  "세 번째 클라이언트가 줄바꿈 없이 1001바이트를 보내고 기다립니다."});
    Peer endless = grading.connect();
    grading.send(endless, std::string(1001, 'e'));
    const std::string verdict = grading.receive(endless, 9);
    if (verdict.empty()) grading.fail(no_limit, "too long\n", verdict);
    grading.require_equal("too long\n", verdict, limit_is_off);
    expect_end(grading, endless, stays_open, stays_open);

    grading.step({"A client leaves in the middle of a line, by RST; the next one is served.",
                  "클라이언트가 줄 중간에 RST로 떠납니다. 다음 클라이언트가 서비스를 받습니다."});
    Peer leaver = grading.connect();
    grading.send(leaver, "half");
    leaver.reset();
    Peer next = grading.connect(loses_a_client);
    size = some();
    grading.send(next, line(size));
    grading.require_equal(answer(size), grading.receive(next, answer(size).size()), loses_a_client);
    size = some();
    grading.once_more_over_ipv6(line(size), answer(size));
}

// ---- length_prefix

const Diagnosis host_order{
    "host-order",
    {"the length is not read in network order. This machine keeps the lowest byte of a number first, the network "
     "sends the highest first: a 5 that is sent raw reads as 83886080. ntohl() and htonl() turn it around",
     "길이를 네트워크 순서로 읽지 않았습니다. 이 컴퓨터는 수의 낮은 바이트를 먼저 두고 네트워크는 높은 바이트를 먼저 "
     "보냅니다. 그대로 보낸 5는 83886080으로 읽힙니다. ntohl()과 htonl()이 뒤집어 줍니다"}};
const Diagnosis hostile_length{
    "hostile-length",
    {"a length that is far too big was not refused. It is an unsigned number of 32 bits: in an int, 2^31 and more are "
     "below zero, pass the test for too big, and become huge again as a size. Look at it before anything is done "
     "with it",
     "터무니없이 큰 길이를 거부하지 않았습니다. 길이는 부호 없는 32비트 수입니다. int에 담으면 2^31 이상은 음수가 되어 "
     "너무 큰지 보는 검사를 지나가고, 크기로 쓰일 때 다시 거대해집니다. 무엇을 하기 전에 먼저 검사하십시오"}};
const Diagnosis empty_message{
    "empty-message",
    {"a message of no bytes is one, too, and has to be answered. 0 as a length is not the end of the stream, and a "
     "recv() of 0 bytes returns 0 without there being an end",
     "빈 메시지도 메시지이므로 답해야 합니다. 길이 0은 스트림의 끝이 아니며, 0바이트를 받으려는 recv()는 끝이 "
     "아니어도 0을 돌려줍니다"}};
const Diagnosis limit_of_length{"limit-of-length",
                                {"the longest message has 100000 bytes: so many have to pass, and one more has not",
                                 "가장 긴 메시지는 100000바이트입니다. 그만큼은 통과하고, 하나 더 많으면 안 됩니다"}};

std::string framed(std::string_view bytes, std::uint32_t announced) {
    std::string message;
    for (const unsigned shift : {24U, 16U, 8U, 0U})
        message += static_cast<char>(announced >> shift & 0xFFU);
    return message + std::string(bytes);
}

std::string framed(std::string_view bytes) { return framed(bytes, static_cast<std::uint32_t>(bytes.size())); }

void grade_length_prefix(Grading& grading) {
    grading.step(starts);
    grading.start_server();
    grading.step({"A client sends a message, 4 bytes of length in network order before it, and reads it back.",
                  "클라이언트가 네트워크 순서의 길이 4바이트와 메시지를 보내고, 같은 것을 다시 읽습니다."});
    Peer client = grading.connect();
    std::string message = framed(numbered_lines(600));
    grading.send(client, message);
    std::string back = grading.receive(client, message.size());
    grading.require_equal(message, back,
                          back.empty() || back.substr(0, 4) != message.substr(0, 4) ? host_order : wrong_answer);
    grading.step({"It sends a message of no bytes.", "빈 메시지를 보냅니다."});
    grading.send(client, framed(""));
    grading.require_equal(framed(""), grading.receive(client, 4), empty_message);

    grading.step({"It sends three messages at once.", "메시지 셋을 한꺼번에 보냅니다."});
    const std::string three = framed(numbered_lines(20)) + framed("") + framed(numbered_lines(50));
    grading.send(client, three);
    grading.require_equal(three, grading.receive(client, three.size()), one_recv);

    grading.step(
        {"It sends a message byte by byte, its length, too.", "길이까지 포함해 메시지를 한 바이트씩 보냅니다."});
    message = framed(numbered_lines(16));
    grading.send_in_pieces(client, message, 1);
    grading.require_equal(message, grading.receive(client, message.size()), one_recv);

    grading.step({"It sends the longest message, 100000 bytes.", "가장 긴 메시지, 100000바이트를 보냅니다."});
    message = framed(numbered_lines(100'000).substr(0, 100'000));
    grading.send(client, message);
    grading.require_equal(message, grading.receive(client, message.size()), limit_of_length);

    grading.step({"It sends FIN.", "FIN을 보냅니다."});
    grading.end_sending(client);
    expect_end(grading, client, wrong_answer, ignores_the_end);

    for (const std::uint32_t announced : {0x8000'0000U, 0xFFFF'FFFFU, 100'001U}) {
        grading.step({"A client announces {} bytes, and waits: the server has to close the connection.",
                      "클라이언트가 {}바이트를 예고하고 기다립니다. 서버는 연결을 닫아야 합니다."},
                     announced);
        const Diagnosis& otherwise = announced > 100'001U ? hostile_length : limit_of_length;
        Peer hostile = grading.connect();
        grading.send(hostile, framed("", announced));
        expect_end(grading, hostile, otherwise, otherwise);
    }

    grading.step({"A client announces 1000 bytes, sends 3, and then FIN.",
                  "클라이언트가 1000바이트를 예고하고 3바이트만 보낸 뒤 FIN을 보냅니다."});
    Peer cut = grading.connect();
    grading.send(cut, framed("abc", 1000));
    grading.end_sending(cut);
    expect_end(grading, cut, answers_the_half, ignores_the_end);

    grading.step({"A client leaves in the middle of a message, by RST; the next one is served.",
                  "클라이언트가 메시지 중간에 RST로 떠납니다. 다음 클라이언트가 서비스를 받습니다."});
    Peer leaver = grading.connect();
    grading.send(leaver, framed("ab", 10));
    leaver.reset();
    Peer next = grading.connect(loses_a_client);
    message = framed(numbered_lines(30));
    grading.send(next, message);
    grading.require_equal(message, grading.receive(next, message.size()), loses_a_client);
    message = framed(numbered_lines(40));
    grading.once_more_over_ipv6(message, message);
}

}  // namespace

Exercise exact_read() {
    return {
        "tcp",
        "exact_read",
        Kind::repair,
        {"read exactly so many bytes", "정해진 만큼의 바이트를 읽기"},
        {{"How many bytes may recv() return when you ask for 16, and 16 are still to come? See recv(2).",
          "16바이트를 청했고 16바이트가 더 올 것이라면 recv()는 몇 바이트를 돌려줄 수 있습니까? recv(2)를 보십시오."},
         {"A record may come in up to 16 pieces. How many recv() does receive_exactly() make at most?",
          "레코드는 최대 16조각으로 올 수 있습니다. receive_exactly()는 recv()를 최대 몇 번 부릅니까?"},
         {"Loop until all is there, each time behind what you have; and a recv() that returns 0 before that means: "
          "there is no record.",
          "다 모일 때까지 반복하되, 매번 이미 받은 것 뒤에 이어 받으십시오. 그 전에 recv()가 0을 돌려주면 레코드는 "
          "없는 것입니다."}},
        "PROGRAM & (for i in 1 2 3 4 5 6 7 8; do printf ab; sleep 0.1; done) | build/tcp/echo_client",
        grade_exact_read};
}

Exercise line_server() {
    return {
        "tcp",
        "line_server",
        Kind::repair,
        {"lines out of a stream", "스트림에서 줄을 가려내기"},
        {{"What does this server answer if two lines come in one recv()? And if one line comes in two?",
          "recv() 한 번에 두 줄이 오면 이 서버는 무엇이라고 답합니까? 한 줄이 두 번에 나뉘어 오면요?"},
         {"What has come of the current line must outlive a recv(): keep it in a std::string of serve(), and look "
          "at each received byte. strlen() does not know how many bytes there are.",
          "지금 줄의 받은 부분은 recv()가 끝나도 남아 있어야 합니다. serve()의 std::string에 두고, 받은 바이트를 "
          "하나씩 보십시오. strlen()은 바이트가 몇 개인지 모릅니다."},
         {"For each byte: a newline ends the line, anything else is added to it, and more than 1000 end the "
          "connection. At the end of the stream, what is left is a line as well.",
          "바이트마다, 줄바꿈이면 줄이 끝나고, 아니면 줄에 더하고, 1000을 넘으면 연결을 끝냅니다. 스트림이 끝났을 때 "
          "남은 것도 한 줄입니다."}},
        "PROGRAM & printf 'one\\nthree\\n\\nlast' | build/tcp/echo_client",
        grade_line_server};
}

Exercise length_prefix() {
    return {"tcp",
            "length_prefix",
            Kind::repair,
            {"messages behind their length", "길이를 앞세운 메시지"},
            {{"Print the length that the server has received, and the one that was sent. In which order are the four "
              "bytes?",
              "서버가 받은 길이와 실제로 보낸 길이를 출력해 보십시오. 네 바이트는 어떤 순서입니까?"},
             {"ntohl() makes a number of this machine of what the network brings. What is returned to the client must "
              "be in network order again.",
              "ntohl()은 네트워크에서 온 것을 이 컴퓨터의 수로 바꿉니다. 클라이언트에게 돌려주는 것은 다시 네트워크 "
              "순서여야 합니다."},
             {"A length is a std::uint32_t. Kept in an int, 0x80000000 is below zero, and so not above the limit.",
              "길이는 std::uint32_t입니다. int에 담으면 0x80000000은 음수이므로 한도를 넘지 않는 것으로 보입니다."}},
            "PROGRAM & printf '\\0\\0\\0\\5hello' | build/tcp/echo_client | od -c",
            grade_length_prefix};
}

}  // namespace exercise
