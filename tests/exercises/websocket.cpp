// Graders of the WebSocket chapter's exercises: the codecs, which are functions. tests/exercises/drivers/ makes
// programs of them, which answer lines. The programs are graded in websocket_servers.cpp.

#include "tests/exercises/exercise.hpp"
#include "tests/exercises/websocket_servers.hpp"
#include "tests/support/files.hpp"
#include "tests/support/wire.hpp"
#include "websocket/protocol/handshake.hpp"
#include "websocket/protocol/utf8.hpp"

#include <algorithm>
#include <random>

#include <openssl/sha.h>

namespace exercise {

namespace {

using wire::to_hex;
using wire::operator""_hex;

unsigned random_number(unsigned below) {
    static std::random_device random;
    return static_cast<unsigned>(random()) % below;
}

/// In hex, as the drivers read it: "-" for none.
std::string digits(std::string_view bytes) { return bytes.empty() ? "-" : to_hex(bytes); }

/// Tells which line it was: it can be given to the program by hand.
void tell(Grading& grading, const std::string& line) {
    constexpr std::size_t most = 160;
    grading.step({"The line \"{}{}\".", "이 줄입니다. \"{}{}\""}, line.substr(0, most),
                 line.size() > most ? "..." : "");
    grading.hide_output();  // it is the answers, and standard error what the function said itself
}

/// The driver's answer to a line.
std::string ask(Grading& grading, const std::string& line) {
    Process& driver = grading.program();
    const std::size_t before = driver.out().size();
    driver.feed(line + "\n");
    try {
        wait_until([&] { return driver.out().find('\n', before) != std::string::npos || !driver.is_running(); }, line,
                   grading.limit());
    } catch (const Unexpected&) {
        tell(grading, line);
        grading.fail(says_nothing);
    }
    const std::size_t end = driver.out().find('\n', before);
    if (end == std::string::npos) {
        tell(grading, line);
        grading.fail(ended_early);
    }
    return driver.out().substr(before, end - before);
}

/// Fails, and tells what was asked.
[[noreturn]] void fail_answer(Grading& grading, const std::string& line, const std::string& expected,
                              const std::string& answer, const Diagnosis& diagnosis) {
    tell(grading, line);
    grading.fail(diagnosis, expected, answer);
}

/// Asks, and fails with the diagnosis unless the answer is this one.
void expect(Grading& grading, const std::string& line, const std::string& expected, const Diagnosis& otherwise) {
    const std::string answer = ask(grading, line);
    if (answer != expected) fail_answer(grading, line, expected, answer, otherwise);
}

// ---- accept_key

const Diagnosis text_in_front{
    "text-in-front",
    {"the fixed text 258EAFA5-... stands in front of the key when they are hashed. It has to stand behind it",
     "고정된 글 258EAFA5-...가 해시할 때 키 앞에 있습니다. 키 뒤에 있어야 합니다"}};
const Diagnosis no_text{"no-text",
                        {"the key alone was hashed: the fixed text 258EAFA5-... belongs behind it",
                         "키만 해시했습니다. 그 뒤에 고정된 글 258EAFA5-...가 붙어야 합니다"}};
const Diagnosis lower_text{"lower-case",
                           {"the fixed text was hashed in small letters: to a hash that is another text",
                            "고정된 글을 소문자로 해시했습니다. 해시에는 다른 글입니다"}};
const Diagnosis key_decoded{
    "key-decoded",
    {"the key was decoded first. What is hashed is its text, as it stands in the header: 24 characters",
     "키를 먼저 디코드했습니다. 해시할 것은 헤더에 있는 그대로의 글, 24글자입니다"}};
const Diagnosis digest_as_hex{
    "digest-as-hex",
    {"the digest was written as hex. Its 20 bytes go into base64 as they are, and make 28 characters",
     "다이제스트를 16진수로 썼습니다. 20바이트를 그대로 base64로 바꾸면 28글자가 됩니다"}};
const Diagnosis line_end_hashed{
    "line-end",
    {"an end of line belongs neither to what is hashed nor to the answer: the field's value has none",
     "줄 끝 문자는 해시할 글에도 답에도 들어가지 않습니다. 필드의 값에는 줄 끝이 없습니다"}};
const Diagnosis digest_cut{
    "digest-cut",
    {"the base64 is not that of all 20 bytes of the digest, with its padding: 28 characters, the last one \"=\"",
     "다이제스트 20바이트 전부를 채움 문자까지 base64로 바꾼 것이 아닙니다. 28글자이고 마지막은 \"=\"입니다"}};
const Diagnosis wrong_accept{
    "wrong-accept",
    {"that is not the base64 of the SHA-1 of the key and the fixed text behind it (RFC 6455, section 4.2.2, 5.4)",
     "키와 그 뒤의 고정된 글을 SHA-1로 해시해 base64로 바꾼 것이 아닙니다(RFC 6455, 4.2.2절 5.4)"}};

std::string sha1(std::string_view text) {
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
    return {reinterpret_cast<const char*>(digest), sizeof digest};
}

/// Which mistake makes this of the key?
const Diagnosis& mistake_in_accept(const std::string& key, const std::string& actual) {
    const std::string text(websocket::key_suffix), right = sha1(key + text);
    const auto is_made_of = [&](const std::string& hashed) {
        const std::string digest = sha1(hashed);
        return actual == websocket::base64_encode(digest) || actual == to_hex(digest);
    };
    std::string small = text;
    std::transform(small.begin(), small.end(), small.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    if (is_made_of(text + key)) return text_in_front;
    if (is_made_of(key)) return no_text;
    if (is_made_of(key + small)) return lower_text;
    if (is_made_of(websocket::base64_decode(key).value_or("") + text)) return key_decoded;
    for (const char* end : {"\r\n", "\n", "\r"})
        if (is_made_of(key + end + text) || is_made_of(key + text + end)) return line_end_hashed;
    std::string capital = to_hex(right);
    std::transform(capital.begin(), capital.end(), capital.begin(),
                   [](char c) { return c >= 'a' && c <= 'f' ? c - 32 : c; });
    for (const std::string& hex : {to_hex(right), capital})
        if (actual == hex || actual == websocket::base64_encode(hex)) return digest_as_hex;
    const std::string whole = websocket::base64_encode(right);
    if (actual.size() > 28 && actual.substr(0, 28) == whole) return line_end_hashed;
    if (actual.size() >= 12 && actual.substr(0, 12) == whole.substr(0, 12)) return digest_cut;
    return wrong_accept;
}

void grade_accept_key(Grading& grading) {
    const auto check = [&](const std::string& key) {
        const std::string expected = websocket::accept_value(key), answer = ask(grading, key);
        if (answer != expected) fail_answer(grading, key, expected, answer, mistake_in_accept(key, answer));
    };
    grading.step({"A client sends the key of RFC 6455, section 1.3.", "클라이언트가 RFC 6455 1.3절의 키를 보냅니다."});
    grading.start();
    check("dGhlIHNhbXBsZSBub25jZQ==");
    grading.step({"Others send keys of their own.", "다른 클라이언트들이 저마다의 키를 보냅니다."});
    for (unsigned i = 0; i < 50; ++i)
        check(websocket::base64_encode(random_bytes(16, 1000 + random_number(1'000'000))));
}

// ---- frame_header

const Diagnosis little_endian{
    "little-endian",
    {"the bytes of the length were taken in the order of this machine. The network's order begins with the highest: "
     "00 7e is 126, and not 32256",
     "길이의 바이트를 이 컴퓨터의 순서로 읽었습니다. 네트워크 순서는 가장 높은 자리부터입니다. 00 7e는 32256이 아니라 "
     "126입니다"}};
const Diagnosis mask_in_length{
    "mask-in-length",
    {"the top bit of the second byte says that a mask follows; it is no part of the length, which is the other seven",
     "두 번째 바이트의 맨 윗비트는 마스크가 있다는 뜻이고 길이가 아닙니다. 길이는 나머지 일곱 비트입니다"}};
const Diagnosis header_cut{
    "header-cut",
    {"this header is not whole yet, which is no fault and no header: 0 says so. TCP may cut anywhere",
     "아직 다 오지 않은 헤더입니다. 잘못도 아니고 헤더도 아니므로 0을 돌려줍니다. TCP는 어디서나 끊을 수 있습니다"}};
const Diagnosis not_shortest{
    "not-shortest",
    {"a length stands here in a longer form than it needs, and was accepted. The shortest is the only one that is "
     "allowed (RFC 6455, section 5.2)",
     "길이가 필요보다 긴 형식으로 왔는데 받아들였습니다. 가장 짧은 형식만 허용됩니다(RFC 6455, 5.2절)"}};
const Diagnosis top_bit{
    "top-bit",
    {"a length of 2^63 or more was accepted: its top bit must be 0 (RFC 6455, section 5.2), and in a signed "
     "number it would be negative",
     "2^63 이상인 길이를 받아들였습니다. 맨 윗비트는 0이어야 하고(RFC 6455, 5.2절), 부호 있는 수에서는 음수가 됩니다"}};
const Diagnosis good_header_refused{
    "good-refused",
    {"this header is as it should be, and was refused: 126 is the first length that needs 16 bits, 65536 the first "
     "that "
     "needs 64",
     "올바른 헤더인데 거절했습니다. 16비트가 필요한 첫 길이는 126, 64비트가 필요한 첫 길이는 65536입니다"}};
const Diagnosis wrong_form{
    "wrong-form",
    {"this length was written in another form than the shortest: up to 125 in seven bits, up to 65535 in 16, others in "
     "64",
     "길이를 가장 짧은 형식으로 쓰지 않았습니다. 125까지는 7비트, 65535까지는 16비트, 그 밖은 64비트입니다"}};
const Diagnosis wrong_header{
    "wrong-header",
    {"compare with the picture in RFC 6455, section 5.2: FIN is the top bit of the first byte, the opcode its low four",
     "RFC 6455 5.2절의 그림과 비교해 보십시오. FIN은 첫 바이트의 맨 윗비트, 오퍼코드는 아래 네 비트입니다"}};

struct Header {
    bool fin, masked;
    unsigned opcode;
    std::uint64_t length;
    int follow;  ///< bytes of length behind the first two
};

std::string header_bytes(const Header& header) {
    std::string bytes(1, static_cast<char>((header.fin ? 0x80U : 0U) | header.opcode));
    const std::uint64_t low = header.follow == 0 ? header.length : header.follow == 2 ? 126 : 127;
    bytes += static_cast<char>((header.masked ? 0x80U : 0U) | low);
    for (int shift = 8 * (header.follow - 1); shift >= 0; shift -= 8)
        bytes += static_cast<char>(header.length >> static_cast<unsigned>(shift));
    return bytes;
}

Header some_header(std::uint64_t length) {
    return {random_number(2) == 1, random_number(2) == 1, random_number(16), length,
            length < 126       ? 0
            : length <= 0xFFFF ? 2
                               : 8};
}

std::string fields_of(const Header& header) {
    return fmt::format("{:d} {} {:d} {}", header.fin, header.opcode, header.masked, header.length);
}

std::uint64_t turned(std::uint64_t length, int bytes) {
    std::uint64_t other = 0;
    for (int i = 0; i < bytes; ++i, length >>= 8U)
        other = other << 8U | (length & 0xFFU);
    return other;
}

void read_whole(Grading& grading, const Header& header) {
    const std::string bytes = header_bytes(header), line = "read " + to_hex(bytes);
    const std::string expected = fmt::format("{} {}", bytes.size(), fields_of(header)), answer = ask(grading, line);
    if (answer == expected) return;
    const auto says = [&](std::uint64_t length) { return answer.ends_with(fmt::format(" {}", length)); };
    const Diagnosis* why = &wrong_header;
    const std::uint64_t other = turned(header.length, header.follow);
    if (other != header.length && says(other)) {
        why = &little_endian;
    } else if (answer == "-1" && other != header.length && (other < 126 || other >> 63U != 0)) {
        why = &little_endian;
    } else if (header.masked && header.follow == 0 && !answer.starts_with("2 ")) {
        why = &mask_in_length;  // without a mask it was right
    } else if (header.masked && (says(header.length | 0x80U) || says(254) || says(255))) {
        why = &mask_in_length;
    } else if (answer == "-1" || answer == "0") {
        why = &good_header_refused;
    }
    fail_answer(grading, line, expected, answer, *why);
}

void grade_frame_header(Grading& grading) {
    std::vector<std::uint64_t> lengths = {0, 1, 125, 126, 127, 128, 255, 256, 65535, 65536, 65537, (1ULL << 63U) - 1};
    for (const unsigned bits : {6U, 15U, 31U, 61U})
        for (int i = 0; i < 5; ++i)
            lengths.push_back((std::uint64_t{random_number(1U << 31U)} << 31U | random_number(1U << 31U)) &
                              ((1ULL << bits) - 1));
    grading.step({"Headers of frames of up to 125 bytes are read.", "125바이트까지의 프레임 헤더를 읽습니다."});
    grading.start();
    for (const bool masked : {false, true}) {
        for (const std::uint64_t length : {0U, 1U, 5U, 64U, 125U}) {
            Header header = some_header(length);
            header.masked = masked;
            read_whole(grading, header);
        }
    }
    grading.step({"Longer ones: their length stands in 16 or 64 bits behind the first two bytes.",
                  "더 긴 프레임입니다. 길이가 처음 두 바이트 뒤 16비트나 64비트에 있습니다."});
    for (const std::uint64_t length : lengths)
        read_whole(grading, some_header(length));
    grading.step({"Their beginnings, cut at every byte.", "모든 바이트에서 끊긴 헤더의 앞부분입니다."});
    for (const std::uint64_t length : {100ULL, 1000ULL, 100'000ULL, 1ULL << 40U}) {
        const std::string bytes = header_bytes(some_header(length));
        for (std::size_t count = 1; count < bytes.size(); ++count)
            expect(grading, "read " + to_hex(bytes.substr(0, count)), "0", header_cut);
    }
    grading.step({"Headers with bytes of the payload behind them.", "뒤에 페이로드가 이어지는 헤더입니다."});
    for (const std::uint64_t length : {5ULL, 500ULL, 70'000ULL}) {
        const Header header = some_header(length);
        const std::string bytes = header_bytes(header);
        expect(grading, "read " + to_hex(bytes + random_bytes(20)),
               fmt::format("{} {}", bytes.size(), fields_of(header)), wrong_header);
    }
    grading.step({"Lengths in a longer form than they need.", "필요보다 긴 형식의 길이입니다."});
    for (const auto& [length, follow] : {std::pair{125, 2}, {5, 2}, {0, 2}, {65535, 8}, {126, 8}, {125, 8}, {0, 8}}) {
        Header header = some_header(static_cast<std::uint64_t>(length));
        header.follow = follow;
        expect(grading, "read " + to_hex(header_bytes(header)), "-1", not_shortest);
    }
    grading.step({"Lengths of 2^63 and more.", "2^63 이상인 길이입니다."});
    for (const std::uint64_t length : {1ULL << 63U, (1ULL << 63U) + 1 + random_number(1000), ~0ULL})
        expect(grading, "read " + to_hex(header_bytes(some_header(length))), "-1", top_bit);
    grading.step({"Headers are written.", "헤더를 씁니다."});
    for (const std::uint64_t length : lengths) {
        const Header header = some_header(length);
        const std::string expected = to_hex(header_bytes(header)), line = "write " + fields_of(header);
        const std::string answer = ask(grading, line);
        if (answer == expected) continue;
        Header other = header;
        other.length = turned(header.length, header.follow);
        const bool is_turned = other.length != header.length && answer == to_hex(header_bytes(other));
        fail_answer(grading, line, expected, answer,
                    is_turned                          ? little_endian
                    : answer.size() != expected.size() ? wrong_form
                                                       : wrong_header);
    }
}

// ---- unmask

const Diagnosis offset_forgotten{
    "offset-forgotten",
    {"the second piece was unmasked as if the payload began with it. Its first byte belongs to the byte of the key at "
     "which the piece before it ended: mask.offset has to be used, and kept up to date",
     "두 번째 조각을 페이로드의 처음인 것처럼 풀었습니다. 앞 조각이 끝난 다음 자리의 키 바이트부터 써야 합니다. "
     "mask.offset을 쓰고, 갱신해야 합니다"}};
const Diagnosis offset_not_added{
    "offset-not-added",
    {"the third piece went wrong: the offset is how much came before in all, and not in the last piece",
     "세 번째 조각이 틀렸습니다. 오프셋은 앞 조각 하나가 아니라 지금까지 온 전체 길이입니다"}};
const Diagnosis still_masked{"still-masked", {"nothing was unmasked", "아무것도 풀리지 않았습니다"}};
const Diagnosis wrong_unmasked{
    "wrong-bytes",
    {"byte i of the payload is combined (XOR) with byte i modulo 4 of the key (RFC 6455, section 5.3)",
     "페이로드의 i번째 바이트는 키의 (i mod 4)번째 바이트와 XOR합니다(RFC 6455, 5.3절)"}};

std::string xored(std::string_view bytes, std::string_view key, std::size_t offset) {
    std::string result(bytes);
    for (std::size_t i = 0; i < result.size(); ++i)
        result[i] = static_cast<char>(result[i] ^ key[(offset + i) % 4]);
    return result;
}

/// All pieces, each with the offset that a rule gives it.
std::string unmasked(const std::vector<std::string>& pieces, std::string_view key, const char* rule) {
    std::string answer;
    std::size_t sum = 0, last = 0;
    for (const std::string& piece : pieces) {
        const std::size_t offset = std::string_view(rule) == "sum" ? sum : std::string_view(rule) == "last" ? last : 0;
        answer += (answer.empty() ? "" : " ") + digits(xored(piece, key, offset));
        last = piece.size();
        sum += piece.size();
    }
    return answer;
}

void check_unmask(Grading& grading, const std::string& key, const std::vector<std::string>& pieces) {
    std::string line = to_hex(key), masked;
    for (const std::string& piece : pieces) {
        line += " " + digits(piece);
        masked += (masked.empty() ? "" : " ") + digits(piece);
    }
    const std::string expected = unmasked(pieces, key, "sum"), answer = ask(grading, line);
    if (answer == expected) return;
    const Diagnosis* why = &wrong_unmasked;
    if (answer == masked) {
        why = &still_masked;
    } else if (answer == unmasked(pieces, key, "none")) {
        why = &offset_forgotten;
    } else if (answer == unmasked(pieces, key, "last")) {
        why = &offset_not_added;
    }
    fail_answer(grading, line, expected, answer, *why);
}

void grade_unmask(Grading& grading) {
    const auto key = [] {
        std::string bytes;
        while (bytes.size() < 4)  // four that differ
            if (const char next = static_cast<char>(1 + random_number(255)); bytes.find(next) == std::string::npos)
                bytes += next;
        return bytes;
    };
    grading.step({"A payload in one piece: that of RFC 6455, section 5.7, and others.",
                  "한 조각으로 온 페이로드입니다. RFC 6455 5.7절의 것과 다른 것들입니다."});
    grading.start();
    check_unmask(grading, "37fa213d"_hex, {"7f9f4d5158"_hex});
    for (const std::size_t size : {0UL, 1UL, 3UL, 4UL, 5UL, 100UL, 1000UL})
        check_unmask(grading, key(), {random_bytes(size, random_number(10'000))});
    grading.step(
        {"A payload in two pieces, cut at every byte.", "두 조각으로 온 페이로드를 모든 바이트에서 끊습니다."});
    const std::string payload = random_bytes(19, random_number(10'000));
    for (std::size_t cut = 0; cut <= payload.size(); ++cut)
        check_unmask(grading, key(), {payload.substr(0, cut), payload.substr(cut)});
    grading.step({"In many pieces of all sizes.", "온갖 크기의 여러 조각입니다."});
    for (int i = 0; i < 50; ++i) {
        std::vector<std::string> pieces;
        while (pieces.size() < 10)
            pieces.push_back(random_bytes(random_number(i < 25 ? 6 : 300), random_number(10'000)));
        // Only pieces by which the mistakes can be told apart.
        const std::string with = key(), last = unmasked(pieces, with, "last");
        if (last != unmasked(pieces, with, "none") && last != unmasked(pieces, with, "sum"))
            check_unmask(grading, with, pieces);
    }
}

// ---- fragments

const Diagnosis each_a_message{
    "each-a-message",
    {"a frame without FIN was handed on as a message: the message goes on until a frame has FIN",
     "FIN이 없는 프레임을 메시지로 넘겼습니다. 메시지는 FIN이 있는 프레임까지 이어집니다"}};
const Diagnosis last_frame_alone{
    "last-frame-alone",
    {"the message is not all of its fragments, one behind the other: where are those that came before the last?",
     "메시지가 모든 조각을 이어 붙인 것이 아닙니다. 마지막 앞에 온 조각들은 어디에 있습니까?"}};
const Diagnosis opcode_of_last{"opcode-of-last",
                               {"the message has the opcode 0 of its last fragment: it has that of its first",
                                "메시지의 오퍼코드가 마지막 조각의 0입니다. 첫 조각의 오퍼코드여야 합니다"}};
const Diagnosis not_cleared{
    "not-cleared",
    {"a message ended, and the next one was taken for its continuation, or begins with what was left of it",
     "메시지가 끝났는데 다음 메시지를 그 계속으로 여겼거나, 앞 메시지의 나머지로 시작했습니다"}};
const Diagnosis control_mixed_in{
    "control-mixed-in",
    {"a Ping between two fragments changed the message: it is no part of it, and does not end it",
     "두 조각 사이의 Ping이 메시지를 바꾸었습니다. Ping은 메시지의 일부가 아니며 메시지를 끝내지도 않습니다"}};
const Diagnosis control_held_back{
    "control-held-back",
    {"a Ping, Pong or Close between two fragments is for now: it may not wait for the message's end, nor be refused",
     "두 조각 사이의 Ping, Pong, Close는 바로 처리해야 합니다. 메시지의 끝을 기다리거나 거절하면 안 됩니다"}};
const Diagnosis continuation_of_nothing{
    "continuation-of-nothing",
    {"a frame with opcode 0 came where no message had begun: that is a fault (RFC 6455, section 5.4)",
     "시작된 메시지가 없는데 오퍼코드 0인 프레임이 왔습니다. 잘못입니다(RFC 6455, 5.4절)"}};
const Diagnosis message_in_message{
    "message-in-message",
    {"a new message began before the last one had ended: fragments of two messages may not be mixed (RFC 6455, "
     "section 5.4)",
     "앞 메시지가 끝나기 전에 새 메시지가 시작되었습니다. 두 메시지의 조각을 섞을 수 없습니다(RFC 6455, 5.4절)"}};
const Diagnosis control_in_fragments{
    "control-in-fragments",
    {"a control frame without FIN: Ping, Pong and Close are never in fragments (RFC 6455, section 5.5)",
     "FIN이 없는 제어 프레임입니다. Ping, Pong, Close는 조각으로 나눌 수 없습니다(RFC 6455, 5.5절)"}};
const Diagnosis control_too_long{"control-too-long",
                                 {"a control frame has at most 125 bytes of payload (RFC 6455, section 5.5)",
                                  "제어 프레임의 페이로드는 125바이트까지입니다(RFC 6455, 5.5절)"}};
const Diagnosis reserved_opcode{"reserved-opcode",
                                {"the opcodes 3 to 7 and 11 to 15 mean nothing yet: who sends them breaks the protocol",
                                 "오퍼코드 3~7과 11~15는 아직 뜻이 없습니다. 그것을 보내면 프로토콜 위반입니다"}};
const Diagnosis unbounded{
    "unbounded",
    {"a message grew beyond most_bytes: with fragments a peer could make the server store all it likes. Ask before the "
     "bytes are added, whether or not the frame is the last",
     "메시지가 most_bytes를 넘었습니다. 조각을 계속 보내면 서버의 메모리를 얼마든지 채울 수 있습니다. 마지막 "
     "조각인지와 "
     "상관없이, 더하기 전에 확인하십시오"}};
const Diagnosis good_frame_refused{
    "good-refused",
    {"this is as it should be: fragments and messages may be empty, a control frame may have up to 125 bytes, and a "
     "message up to most_bytes",
     "올바른 것입니다. 조각과 메시지는 비어 있어도 되고, 제어 프레임은 125바이트까지, 메시지는 most_bytes까지입니다"}};

std::string frame_line(bool fin, unsigned opcode, std::string_view payload) {
    return fmt::format("{:d} {} {}", fin, opcode, digits(payload));
}

/// What has to be told of a message that is not as it should be.
void expect_message(Grading& grading, const std::string& line, unsigned opcode, const std::string& payload,
                    const Diagnosis& otherwise) {
    const std::string expected = fmt::format("message {} {}", opcode, digits(payload)), answer = ask(grading, line);
    if (answer == expected) return;
    const bool is_last = answer == fmt::format("message 0 {}", digits(payload));
    fail_answer(grading, line, expected, answer, is_last && opcode != 0 ? opcode_of_last : otherwise);
}

void grade_fragments(Grading& grading) {
    const auto some_text = [] { return to_hex(random_bytes(1 + random_number(20), random_number(100'000))); };
    grading.step({"Messages in one frame.", "한 프레임으로 된 메시지입니다."});
    grading.start();
    for (unsigned i = 0; i < 4; ++i) {
        const std::string text = i == 0 ? "" : some_text();
        expect_message(grading, frame_line(true, 1 + i % 2, text), 1 + i % 2, text,
                       i == 0 ? good_frame_refused : not_cleared);
    }
    grading.step({"A message in three frames, then the next one.", "세 프레임으로 된 메시지와 그다음 메시지입니다."});
    for (const unsigned opcode : {1U, 2U, 1U}) {
        const std::string one = some_text(), two = some_text(), three = some_text();
        expect(grading, frame_line(false, opcode, one), "nothing", each_a_message);
        expect(grading, frame_line(false, 0, two), "nothing", each_a_message);
        expect_message(grading, frame_line(true, 0, three), opcode, one + two + three, last_frame_alone);
        expect_message(grading, frame_line(true, opcode, three), opcode, three, not_cleared);
    }
    grading.step({"Fragments that are empty.", "빈 조각들입니다."});
    for (const char* text : {"", "middle"}) {
        expect(grading, frame_line(false, 2, ""), "nothing", good_frame_refused);
        expect(grading, frame_line(false, 0, text), "nothing", good_frame_refused);
        expect_message(grading, frame_line(true, 0, ""), 2, text, good_frame_refused);
    }
    grading.step({"Control frames between the fragments.", "조각 사이에 온 제어 프레임입니다."});
    for (const unsigned control : {9U, 10U, 8U}) {
        const std::string one = some_text(), two = some_text(), ping = random_bytes(control == 9 ? 125 : 7);
        expect(grading, frame_line(false, 1, one), "nothing", each_a_message);
        expect(grading, frame_line(true, control, ping), fmt::format("control {} {}", control, digits(ping)),
               control_held_back);
        expect(grading, frame_line(false, 0, two), "nothing", control_mixed_in);
        expect(grading, frame_line(true, control, ""), fmt::format("control {} -", control), control_held_back);
        expect_message(grading, frame_line(true, 0, ping), 1, one + two + ping, control_mixed_in);
    }
    struct Fault {
        std::vector<std::string> before;
        std::string line;
        const Diagnosis& diagnosis;
    };
    std::vector<Fault> faults = {
        {{}, frame_line(true, 0, "a"), continuation_of_nothing},
        {{}, frame_line(false, 0, "a"), continuation_of_nothing},
        {{frame_line(true, 1, "a")}, frame_line(true, 0, "b"), continuation_of_nothing},
        {{frame_line(false, 1, "a"), frame_line(true, 0, "b")}, frame_line(true, 0, "c"), continuation_of_nothing},
        {{frame_line(false, 1, "a")}, frame_line(true, 1, "b"), message_in_message},
        {{frame_line(false, 1, "a")}, frame_line(false, 1, "b"), message_in_message},
        {{frame_line(false, 1, "")}, frame_line(true, 2, "b"), message_in_message},
        {{frame_line(false, 2, "a"), frame_line(true, 9, "p")}, frame_line(true, 1, "b"), message_in_message},
    };
    for (const unsigned control : {8U, 9U, 10U}) {
        faults.push_back({{}, frame_line(false, control, "a"), control_in_fragments});
        faults.push_back({{}, frame_line(true, control, random_bytes(126)), control_too_long});
    }
    for (unsigned opcode = 3; opcode < 16; ++opcode)
        if (opcode < 8 || opcode > 10) {
            faults.push_back({{}, frame_line(true, opcode, "a"), reserved_opcode});
            faults.push_back({{frame_line(false, 1, "a")}, frame_line(true, opcode, "a"), reserved_opcode});
        }
    for (std::size_t i = 0; i < faults.size(); ++i) {
        const Fault& fault = faults[i];
        if (i == 0 || &fault.diagnosis != &faults[i - 1].diagnosis)
            grading.step({"Rules are broken.", "규칙을 어긴 프레임입니다."});
        ask(grading, "new");
        for (const std::string& line : fault.before)
            ask(grading, line);
        expect(grading, fault.line, "fault", fault.diagnosis);
    }
    grading.step({"A message of 65536 bytes, and larger ones.", "65536바이트 메시지와 더 큰 메시지입니다."});
    const std::string half = random_bytes(32768);
    for (const bool last : {true, false}) {
        ask(grading, "new");
        expect(grading, frame_line(false, 2, half), "nothing", good_frame_refused);
        expect_message(grading, frame_line(true, 0, half), 2, half + half, good_frame_refused);
        expect(grading, frame_line(false, 2, half), "nothing", good_frame_refused);
        expect(grading, frame_line(last, 0, half + "x"), "too big", unbounded);
        ask(grading, "new");
        expect(grading, frame_line(last, 1, half + half + "x"), "too big", unbounded);
    }
}

// ---- utf8_cut

const Diagnosis good_text_refused{
    "good-refused", {"this is UTF-8 (RFC 3629), and was refused", "올바른 UTF-8인데(RFC 3629) 거절했습니다"}};
const Diagnosis cut_refused{
    "cut-refused",
    {"a text was refused, or not whole at its end, because a piece ended within a character: keep what was begun, and "
     "go "
     "on with it when the next piece comes. Pieces may be empty, too",
     "조각이 글자 중간에서 끝났다는 이유로 거절했거나, 끝에서 온전하지 않다고 했습니다. 시작된 글자를 보관했다가 다음 "
     "조각에서 이어 가십시오. 조각은 비어 있을 수도 있습니다"}};
const Diagnosis stray{"stray-byte",
                      {"each byte of a character behind the first is 80 to BF, and none of these begins one",
                       "글자의 둘째 바이트부터는 모두 80~BF이고, 80~BF로 시작하는 글자는 없습니다"}};
const Diagnosis overlong{"overlong",
                         {"an overlong form was accepted: C0, C1, E0 80-9F and F0 80-8F would say what fewer bytes "
                          "say. Filters that look for "
                          "\"/\" do not find C0 AF",
                          "필요보다 긴 형식을 받아들였습니다. C0, C1, E0 80~9F, F0 80~8F는 더 짧게 쓸 수 있는 "
                          "것입니다. \"/\"를 찾는 검사는 C0 "
                          "AF를 찾지 못합니다"}};
const Diagnosis surrogates{
    "surrogate",
    {"a surrogate was accepted: D800 to DFFF (ED A0 80 to ED BF BF) belong to UTF-16, and are no characters",
     "서로게이트를 받아들였습니다. D800~DFFF(ED A0 80~ED BF BF)는 UTF-16의 것이고 글자가 아닙니다"}};
const Diagnosis above{"above-10ffff",
                      {"there is nothing above U+10FFFF: F4 90 and what is above it, and F5 to FF, are in no UTF-8",
                       "U+10FFFF 위에는 아무것도 없습니다. F4 90부터와 F5~FF는 UTF-8에 없습니다"}};
const Diagnosis found_late{
    "found-late",
    {"it was found too late: after these bytes nothing can make it UTF-8 any more, and the sender is to be told at "
     "once. "
     "The second byte of a character tells overlong forms, surrogates and what lies above U+10FFFF",
     "너무 늦게 찾았습니다. 이 바이트 뒤에는 무엇이 와도 UTF-8이 될 수 없으니 바로 알려야 합니다. 긴 형식, 서로게이트, "
     "U+10FFFF 위는 글자의 둘째 바이트에서 알 수 있습니다"}};
const Diagnosis incomplete_end{
    "incomplete-end",
    {"a text that ends within a character is not whole: `begun` has to hold that character's bytes, and nothing else",
     "글자 중간에서 끝난 글은 온전하지 않습니다. `begun`에는 그 글자의 바이트만 남아 있어야 합니다"}};

/// What a text is, as the project's own validator sees it: "whole", "incomplete" or "bad at piece N".
std::string judged(const std::vector<std::string>& pieces) {
    websocket::Utf8 checker;
    for (std::size_t i = 0; i < pieces.size(); ++i)
        if (!checker.accept(pieces[i])) return fmt::format("bad at piece {}", i + 1);
    return checker.complete() ? "whole" : "incomplete";
}

void check_text(Grading& grading, const std::vector<std::string>& pieces, const Diagnosis& otherwise) {
    std::string line;
    for (const std::string& piece : pieces)
        line += (line.empty() ? "" : " ") + digits(piece);
    const std::string expected = judged(pieces), answer = ask(grading, line);
    if (answer == expected) return;
    const bool both_bad = answer.starts_with("bad") && expected.starts_with("bad");
    fail_answer(grading, line, expected, answer, both_bad ? found_late : otherwise);
}

/// In one piece, cut at every byte, and byte by byte with empty pieces between.
void check_cuts(Grading& grading, const std::string& text, const Diagnosis& otherwise) {
    for (std::size_t cut = 0; cut <= text.size(); ++cut)
        check_text(grading, {text.substr(0, cut), text.substr(cut)}, otherwise);
    std::vector<std::string> bytes;
    for (const char byte : text)
        bytes.insert(bytes.end(), {std::string(1, byte), ""});
    check_text(grading, bytes, otherwise);
}

/// What is wrong where this byte was allowed behind these?
const Diagnosis& mistake_in_text(const std::string& before, unsigned char next) {
    const auto first = static_cast<unsigned char>(before.empty() ? '\0' : before[0]);
    if (before.empty()) return next == 0xC0 || next == 0xC1 ? overlong : next >= 0xF5 ? above : stray;
    if (before.size() == 1 && next >= 0x80 && next <= 0xBF) {
        if (first == 0xE0 || first == 0xF0) return overlong;
        if (first == 0xED) return surrogates;
        if (first == 0xF4) return above;
    }
    return stray;
}

void check_next(Grading& grading, const std::string& before) {
    std::string expected;
    for (int byte = 0; byte < 256; ++byte) {
        const std::string result = judged({before + static_cast<char>(byte)});
        expected += result[0];
    }
    const std::string line = before.empty() ? "next" : "next " + to_hex(before), answer = ask(grading, line);
    if (answer == expected) return;
    const auto same = std::mismatch(expected.begin(), expected.end(), answer.begin(), answer.end());
    const auto byte = static_cast<unsigned char>(same.first - expected.begin());
    const Diagnosis& why = *same.first == 'b'                                   ? mistake_in_text(before, byte)
                           : same.second != answer.end() && *same.second == 'b' ? good_text_refused
                                                                                : incomplete_end;
    fail_answer(grading, line, expected, answer, why);
}

void grade_utf8_cut(Grading& grading) {
    const std::vector<std::string> good = {"hello",
                                           "안녕하세요",
                                           "👋",
                                           "κόσμε",
                                           "",
                                           "7f"_hex + "c280"_hex + "dfbf"_hex,
                                           "e0a080"_hex + "ed9fbf"_hex + "ee8080"_hex,
                                           "efbfbf"_hex + "f0908080"_hex + "f48fbfbf"_hex,
                                           "00"_hex + "efbbbf"_hex};
    grading.step({"Texts, each in one piece.", "한 조각으로 온 글입니다."});
    grading.start();
    for (const std::string& text : good)
        check_text(grading, {text}, good_text_refused);
    grading.step({"The same, cut at every byte.", "같은 글을 모든 바이트에서 끊습니다."});
    for (const std::string& text : good)
        check_cuts(grading, text, cut_refused);
    grading.step({"Texts that end within a character.", "글자 중간에서 끝나는 글입니다."});
    for (const std::string& text : {"c3"_hex, "ed95"_hex, "f09f91"_hex, "61f0"_hex})
        check_cuts(grading, text, incomplete_end);
    struct Bad {
        Text what;
        std::vector<std::string> texts;
        const Diagnosis& diagnosis;
    };
    for (const Bad& bad : {
             Bad{{"Bytes that begin nothing, and characters that are not ended.",
                  "글자를 시작할 수 없는 바이트와 끝나지 않은 글자입니다."},
                 {"80"_hex, "bf"_hex, "61bf62"_hex, "c241"_hex, "e18041"_hex, "f1808041"_hex, "c2c2"_hex},
                 stray},
             Bad{{"Overlong forms.", "필요보다 긴 형식입니다."},
                 {"c080"_hex, "c0af"_hex, "c1bf"_hex, "e08080"_hex, "e09fbf"_hex, "f0808080"_hex, "f08fbfbf"_hex},
                 overlong},
             Bad{{"Surrogates.", "서로게이트입니다."}, {"eda080"_hex, "edbfbf"_hex, "eda0bdedb08b"_hex}, surrogates},
             Bad{{"Above U+10FFFF.", "U+10FFFF보다 위입니다."},
                 {"f4908080"_hex, "f5808080"_hex, "f8888080"_hex, "fe"_hex, "ff"_hex, "f7bfbfbf"_hex},
                 above},
         }) {
        grading.step(bad.what);
        for (const std::string& text : bad.texts)
            check_text(grading, {text}, bad.diagnosis);
        for (const std::string& text : bad.texts)
            check_cuts(grading, "안" + text, bad.diagnosis);
    }
    grading.step({"Every byte, at every place of a character.", "글자의 모든 자리에 모든 바이트를 넣습니다."});
    check_next(grading, "");
    for (int first = 0x80; first < 256; ++first)
        check_next(grading, std::string(1, static_cast<char>(first)));
    for (const std::string& before :
         {"e0a0"_hex, "e0bf"_hex, "e180"_hex, "ed80"_hex, "ed9f"_hex, "ee80"_hex, "efbf"_hex, "f090"_hex, "f0bf"_hex,
          "f180"_hex, "f3bf"_hex, "f480"_hex, "f48f"_hex, "f09080"_hex, "f1bfbf"_hex, "f48fbf"_hex})
        check_next(grading, before);
}

}  // namespace

std::vector<Exercise> websocket_exercises() {
    return {
        {"websocket",
         "accept_key",
         Kind::repair,
         {"no browser accepts this Sec-WebSocket-Accept", "어느 브라우저도 받아들이지 않는 Sec-WebSocket-Accept"},
         {{"Run build/websocket/accept_key dGhlIHNhbXBsZSBub25jZQ== and compare each of its steps with yours.",
           "build/websocket/accept_key dGhlIHNhbXBsZSBub25jZQ==를 실행해 단계마다 비교해 보십시오."},
          {"What goes into the SHA-1? Print `joined`, and compare it with the line \"one behind the other\".",
           "SHA-1에 무엇이 들어갑니까? `joined`를 출력해 \"one behind the other\" 줄과 비교하십시오."},
          {"RFC 6455, section 4.2.2: the key, and behind it the fixed text, as they stand, with no blank and no end of "
           "line.",
           "RFC 6455 4.2.2절: 키, 그 뒤에 고정된 글을 그대로 잇습니다. 빈칸도 줄 끝도 없습니다."}},
         "echo dGhlIHNhbXBsZSBub25jZQ== | PROGRAM; build/websocket/accept_key dGhlIHNhbXBsZSBub25jZQ== | tail -n 1",
         grade_accept_key},
        {"websocket",
         "frame_header",
         Kind::repair,
         {"messages of more than 125 bytes go wrong", "125바이트가 넘는 메시지가 잘못됩니다"},
         {{"Which bytes does memcpy() put where? 00 7e is to be 126.",
           "memcpy()는 어느 바이트를 어디에 둡니까? 00 7e는 126이어야 합니다."},
          {"Put the number together byte by byte: what there is, eight bits up, and the next byte below it. Then it is "
           "the "
           "same on every machine.",
           "바이트 하나씩 수를 만드십시오. 지금까지의 값을 8비트 올리고 아래에 다음 바이트를 넣으면 어느 컴퓨터에서나 "
           "같습니다."},
          {"At the end, two questions: would a shorter form have done, and is the top bit of the 64 set? Either is -1.",
           "끝으로 두 가지를 묻습니다. 더 짧은 형식으로 될 수 있었는가, 64비트의 맨 윗비트가 1인가? 어느 쪽이든 "
           "-1입니다."}},
         "echo 'read 817e007e' | PROGRAM    # expected: 4 1 1 0 126",
         grade_frame_header},
        {"websocket",
         "unmask",
         Kind::complete,
         {"unmask a payload that comes in pieces", "조각으로 오는 페이로드의 마스크 풀기"},
         {{"Which byte of the key belongs to the sixth byte of the payload? And if the first five came in a piece "
           "before it?",
           "페이로드의 여섯째 바이트에는 키의 어느 바이트를 씁니까? 앞의 다섯이 다른 조각으로 왔다면?"},
          {"mask.offset is yours: nobody else changes it. It is 0 before the first piece.",
           "mask.offset은 이 함수만 바꿉니다. 첫 조각 전에는 0입니다."},
          {"Byte i of a piece is byte offset + i of the payload; after the piece, the offset grows by its size.",
           "조각의 i번째 바이트는 페이로드의 offset + i번째 바이트입니다. 조각 뒤에는 그 크기만큼 오프셋이 "
           "늘어납니다."}},
         "echo '37fa213d 7f9f4d 5158' | PROGRAM    # expected: 48656c 6c6f, which is Hello",
         grade_unmask},
        {"websocket",
         "fragments",
         Kind::complete,
         {"messages in several frames, with Ping between", "여러 프레임으로 오는 메시지와 그 사이의 Ping"},
         {{"Sort the frames first: what is a control frame, what begins a message, what continues one, what is "
           "neither?",
           "먼저 프레임을 나누십시오. 제어 프레임, 메시지를 시작하는 것, 잇는 것, 어느 것도 아닌 것은 무엇입니까?"},
          {"A control frame leaves `message` alone. A frame with opcode 0 needs a message that has begun; one with 1 "
           "or 2 "
           "needs that none has.",
           "제어 프레임은 `message`를 건드리지 않습니다. 오퍼코드 0은 시작된 메시지가 있어야 하고, 1과 2는 없어야 "
           "합니다."},
          {"Ask whether the payload still fits before you add it; at FIN, hand on the whole and make `message` empty "
           "again.",
           "더하기 전에 페이로드가 들어가는지 확인하고, FIN이면 전체를 넘긴 뒤 `message`를 다시 비우십시오."}},
         "printf '%s\\n' '0 1 48' '1 9 70' '1 0 69' | PROGRAM    # expected: nothing, control 9 70, message 1 4869",
         grade_fragments},
        {"websocket",
         "utf8_cut",
         Kind::complete,
         {"check UTF-8 that is cut anywhere", "어디서나 끊기는 UTF-8 검사하기"},
         {{"Go byte by byte instead of character by character: what may come next depends on what `begun` holds.",
           "글자가 아니라 바이트 하나씩 나아가십시오. 다음에 무엇이 올 수 있는지는 `begun`에 달려 있습니다."},
          {"The table in RFC 3629, section 4, has five kinds of second bytes: behind E0, ED, F0, F4, and behind the "
           "others.",
           "RFC 3629 4절의 표에는 둘째 바이트가 다섯 가지 있습니다. E0, ED, F0, F4 뒤와 그 밖의 바이트 뒤입니다."},
          {"C0, C1 and F5 to FF begin nothing. When `begun` has all bytes of its character, it becomes empty again.",
           "C0, C1, F5~FF로 시작하는 글자는 없습니다. `begun`에 글자의 바이트가 다 모이면 다시 비웁니다."}},
         "echo 'ed95 9c' | PROGRAM; echo 'eda0 80' | PROGRAM    # expected: whole, and bad at piece 1",
         grade_utf8_cut},
        {"websocket",
         "close_handshake",
         Kind::repair,
         {"browsers report 1006: the end is not as it should be", "브라우저가 1006을 알립니다. 끝이 올바르지 않습니다"},
         {{"Look at what is sent back for a Close: whose frame is it, and what may stand in one of the server's?",
           "Close에 무엇을 돌려보냅니까? 누구의 프레임이며, 서버의 프레임에는 무엇이 있어야 합니까?"},
          {"After the answer the server has nothing more to say, and nothing more to look at. Which codes may it "
           "repeat?",
           "답한 뒤에 서버는 더 말할 것도, 볼 것도 없습니다. 어떤 코드를 되풀이해도 됩니까?"},
          {"shutdown(connection, SHUT_WR) sends FIN; then recv() until the client ends it or a second has passed. "
           "websocket/echo_server.cpp has it in hang_up().",
           "shutdown(connection, SHUT_WR)은 FIN을 보냅니다. 그다음 클라이언트가 끝내거나 1초가 지날 때까지 "
           "recv()합니다. "
           "websocket/echo_server.cpp의 hang_up()에 있습니다."}},
         "PROGRAM --trace & echo hello | build/websocket/echo_client --trace",
         grade_close_handshake},
        {"websocket",
         "echo_to_spec",
         Kind::complete,
         {"a whole WebSocket server, by the RFC and for a browser", "RFC와 브라우저를 만족시키는 WebSocket 서버 전체"},
         {{"Begin with the answer 101, and a message of five bytes; then the other lengths. What you wrote for the "
           "exercises "
           "before this one goes in as it is.",
           "101 응답과 5바이트 메시지부터 시작하고, 다음은 다른 길이입니다. 앞의 연습문제에서 쓴 것을 그대로 쓸 수 "
           "있습니다."},
          {"Throw where a rule is broken, with the code; catch in one place, which sends Close, then FIN, and reads on "
           "for a "
           "while. Judge a header before its payload has come.",
           "규칙을 어긴 곳에서 코드와 함께 예외를 던지고, 한 곳에서 받아 Close와 FIN을 보낸 뒤 잠시 더 읽습니다. "
           "헤더는 "
           "페이로드가 오기 전에 판단하십시오."},
          {"build/websocket/frames sends any wrong frame by hand; build/websocket/tap shows what passes between a "
           "browser and "
           "your server.",
           "build/websocket/frames로 잘못된 프레임을 직접 보낼 수 있고, build/websocket/tap은 브라우저와 여러분의 서버 "
           "사이에 "
           "오가는 것을 보여 줍니다."}},
         "PROGRAM --trace & echo hello | build/websocket/echo_client --trace",
         grade_echo_to_spec},
    };
}

}  // namespace exercise
