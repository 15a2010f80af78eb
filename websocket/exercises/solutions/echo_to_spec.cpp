// Exercise echo_to_spec, solved: a WebSocket echo server on the calls of TCP.
//
// What a peer breaks is thrown where it is seen, as the answer that it gets: a Refusal in HTTP, a Failure as Close.
// Bytes are judged as they come: a text that cannot become UTF-8 any more ends at that byte, not with its frame.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <string>
#include <string_view>

#include <openssl/evp.h>
#include <openssl/sha.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr size_t most_head = 8192, most_message = 1 << 20;
constexpr std::chrono::seconds for_request{10}, for_silence{60};

struct Refusal {
    const char* status;
    const char* why;
    const char* fields = "";
};
struct Failure {
    unsigned code;
    const char* why;
};
struct Gone {};  // the peer has ended the connection

/// What has come, and how much of it is used.
struct Input {
    int connection;
    std::string bytes = {};
    size_t used = 0;
    size_t left() const { return bytes.size() - used; }
};

/// False if nothing comes in time.
bool read_more(Input& in, Clock::time_point deadline) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    if (left <= 0 || !wait_until_readable(in.connection, left)) return false;
    char buffer[65536];
    const ssize_t received = CALL(recv(in.connection, buffer, sizeof buffer, 0));
    if (received == 0) throw Gone{};
    in.bytes.erase(0, in.used);
    in.used = 0;
    in.bytes.append(buffer, static_cast<size_t>(received));
    return true;
}

// ---- The handshake

std::string lower(std::string_view text) {
    std::string small(text);
    for (char& c : small)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + ('a' - 'A'));
    return small;
}

std::string_view trim(std::string_view text) {
    const auto first = text.find_first_not_of(" \t");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t") - first + 1);
}

/// Is the word one of "keep-alive, Upgrade"?
bool lists(std::string_view list, std::string_view word) {
    while (!list.empty()) {
        const size_t comma = list.find(',');
        if (lower(trim(list.substr(0, comma))) == word) return true;
        list.remove_prefix(comma == std::string_view::npos ? list.size() : comma + 1);
    }
    return false;
}

bool is_token(std::string_view text) {
    constexpr std::string_view others = "!#$%&'*+-.^_`|~0123456789";
    const auto may = [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || others.find(c) != std::string_view::npos;
    };
    return !text.empty() && std::all_of(text.begin(), text.end(), may);
}

/// The names in small letters.
using Fields = std::multimap<std::string, std::string>;

/// Of the head without its blank line, each line with its CR LF.
Fields read_fields(std::string_view head) {
    Fields fields;
    while (!head.empty()) {
        const size_t end = head.find("\r\n");
        const std::string_view line = head.substr(0, end);
        head.remove_prefix(end + 2);
        const auto is_control = [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 0x7F; };
        if (std::any_of(line.begin(), line.end(), is_control)) throw Refusal{"400 Bad Request", "a control character"};
        const size_t colon = line.find(':');
        if (colon == std::string_view::npos || !is_token(line.substr(0, colon)))
            throw Refusal{"400 Bad Request", "a field without a name"};
        fields.emplace(lower(line.substr(0, colon)), trim(line.substr(colon + 1)));
    }
    return fields;
}

/// The value of a field that must be there once.
std::string only(const Fields& fields, const char* name) {
    if (fields.count(name) != 1) throw Refusal{"400 Bad Request", name};
    return fields.find(name)->second;
}

bool is_key(std::string_view key) {
    const auto is_digit = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
    };
    return key.size() == 24 && key.ends_with("==") && std::all_of(key.begin(), key.end() - 2, is_digit);
}

std::string accept_value(const std::string& key) {
    const std::string joined = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    unsigned char digest[SHA_DIGEST_LENGTH], text[29];
    SHA1(reinterpret_cast<const unsigned char*>(joined.data()), joined.size(), digest);
    EVP_EncodeBlock(text, digest, sizeof digest);
    return reinterpret_cast<const char*>(text);
}

/// The answer to a request, whose head is given without its blank line.
std::string accepted(std::string_view head) {
    constexpr const char* bad = "400 Bad Request";
    const size_t end = head.find("\r\n");
    const std::string_view first = head.substr(0, end);
    const size_t behind = first.rfind(' ');
    if (!first.starts_with("GET /") || behind < 5 || first.substr(behind) != " HTTP/1.1")
        throw Refusal{bad, "expected GET /... HTTP/1.1"};
    const auto is_graphic = [](char c) { return c > ' ' && c < 0x7F && c != '#'; };
    const std::string_view target = first.substr(4, behind - 4);
    if (!std::all_of(target.begin(), target.end(), is_graphic)) throw Refusal{bad, "no such resource can be"};

    const Fields fields = read_fields(head.substr(end + 2));
    const auto every = [&](const char* name) {
        std::string list;
        for (auto [it, last] = fields.equal_range(name); it != last; ++it)
            list += it->second + ",";
        return list;
    };
    if (only(fields, "host").empty()) throw Refusal{bad, "an empty Host"};
    if (!lists(every("upgrade"), "websocket")) throw Refusal{bad, "no Upgrade: websocket"};
    if (!lists(every("connection"), "upgrade")) throw Refusal{bad, "no Connection: Upgrade"};
    if (fields.count("transfer-encoding") != 0) throw Refusal{bad, "a body"};
    if (fields.count("content-length") != 0 && only(fields, "content-length") != "0") throw Refusal{bad, "a body"};
    if (only(fields, "sec-websocket-version") != "13")
        throw Refusal{"426 Upgrade Required", "another version than 13",
                      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"};
    const std::string key = only(fields, "sec-websocket-key");
    if (!is_key(key)) throw Refusal{bad, "a key that is not 16 bytes in base64"};
    return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
           accept_value(key) + "\r\n\r\n";
}

void upgrade(Input& in) {
    const auto deadline = Clock::now() + for_request;
    size_t end = 0;
    while ((end = in.bytes.find("\r\n\r\n")) == std::string::npos) {
        if (in.bytes.size() > most_head) throw Refusal{"431 Request Header Fields Too Large", "more than 8 KiB"};
        if (!read_more(in, deadline)) throw Refusal{"408 Request Timeout", "the request did not end in time"};
    }
    if (end > most_head) throw Refusal{"431 Request Header Fields Too Large", "more than 8 KiB"};
    const std::string answer = accepted(std::string_view(in.bytes).substr(0, end + 2));
    in.used = end + 4;
    send_all(in.connection, answer.data(), answer.size());
}

void refuse(int connection, const Refusal& refusal) {
    const std::string body = std::string(refusal.why) + "\n";
    const std::string answer = std::string("HTTP/1.1 ") + refusal.status + "\r\n" + refusal.fields +
                               "Connection: " + (*refusal.fields != '\0' ? "Upgrade, " : "") +
                               "close\r\nContent-Type: text/plain\r\nContent-Length: " + std::to_string(body.size()) +
                               "\r\n\r\n" + body;
    send_all(connection, answer.data(), answer.size());
}

// ---- Frames

enum Opcode : unsigned { continuation = 0, text = 1, binary = 2, close_frame = 8, ping = 9, pong = 10 };

struct Header {
    bool fin = false;
    unsigned opcode = 0;
    std::uint64_t length = 0;
    std::array<char, 4> key{};
};

/// Takes so many bytes, which are few.
std::string take(Input& in, size_t count) {
    while (in.left() < count)
        if (!read_more(in, Clock::now() + for_silence)) throw Failure{1001, "silent for too long"};
    in.used += count;
    return in.bytes.substr(in.used - count, count);
}

Header read_header(Input& in) {
    const std::string start = take(in, 2);
    const auto first = static_cast<unsigned char>(start[0]), second = static_cast<unsigned char>(start[1]);
    Header header{(first & 0x80U) != 0, first & 0x0FU, second & 0x7FU};
    if ((first & 0x70U) != 0) throw Failure{1002, "a reserved bit"};
    if (header.opcode > pong || (header.opcode > binary && header.opcode < close_frame))
        throw Failure{1002, "a reserved opcode"};
    if ((second & 0x80U) == 0) throw Failure{1002, "no mask"};
    if (header.opcode >= close_frame && (!header.fin || header.length > 125))
        throw Failure{1002, "a control frame in fragments, or a long one"};
    if (header.length >= 126) {
        const bool is_short = header.length == 126;
        header.length = 0;
        for (const char byte : take(in, is_short ? 2 : 8))
            header.length = header.length << 8U | static_cast<unsigned char>(byte);
        if (header.length < (is_short ? 126U : 65536U)) throw Failure{1002, "a length in too long a form"};
        if (header.length >> 63U != 0) throw Failure{1002, "a length with its top bit set"};
    }
    return header;
}

void send_frame(int connection, unsigned opcode, std::string_view payload) {
    std::string frame(1, static_cast<char>(0x80U | opcode));
    const int follow = payload.size() < 126 ? 0 : payload.size() <= 0xFFFF ? 2 : 8;
    frame += static_cast<char>(follow == 0 ? payload.size() : follow == 2 ? 126 : 127);
    for (int shift = 8 * (follow - 1); shift >= 0; shift -= 8)
        frame += static_cast<char>(payload.size() >> static_cast<unsigned>(shift));
    frame += payload;
    send_all(connection, frame.data(), frame.size());
}

void send_close(int connection, unsigned code, std::string_view why) {
    std::string payload{static_cast<char>(code >> 8U), static_cast<char>(code)};
    send_frame(connection, close_frame, payload += why);
}

// ---- UTF-8

size_t size_of_character(unsigned char first) {
    if (first < 0x80) return 1;
    if (first >= 0xC2 && first <= 0xDF) return 2;
    if (first >= 0xE0 && first <= 0xEF) return 3;
    return first >= 0xF0 && first <= 0xF4 ? 4 : 0;
}

/// begun: the bytes of a character that is not whole yet.
void check_text(std::string& begun, std::string_view piece) {
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        unsigned char low = 0x80, high = 0xBF;
        if (begun.size() == 1) {
            const auto first = static_cast<unsigned char>(begun[0]);
            if (first == 0xE0) low = 0xA0;
            if (first == 0xED) high = 0x9F;
            if (first == 0xF0) low = 0x90;
            if (first == 0xF4) high = 0x8F;
        }
        if (begun.empty() ? size_of_character(byte) == 0 : byte < low || byte > high) throw Failure{1007, "no UTF-8"};
        begun += c;
        if (begun.size() == size_of_character(static_cast<unsigned char>(begun[0]))) begun.clear();
    }
}

// ---- Messages

struct Message {
    bool begun = false;
    unsigned opcode = 0;
    std::string payload = {};
    std::string character = {};  // of a text: the one that is not whole yet
};

/// Adds a frame's payload to a message, piece by piece as it comes.
void read_payload(Input& in, const Header& header, Message& message) {
    std::uint64_t offset = 0;
    while (offset < header.length) {
        if (in.left() == 0 && !read_more(in, Clock::now() + for_silence)) throw Failure{1001, "silent for too long"};
        const size_t count = std::min<std::uint64_t>(in.left(), header.length - offset);
        const size_t begin = message.payload.size();
        for (size_t i = 0; i < count; ++i)
            message.payload += static_cast<char>(in.bytes[in.used + i] ^ header.key[(offset + i) % 4]);
        in.used += count;
        offset += count;
        if (message.opcode == text) check_text(message.character, std::string_view(message.payload).substr(begin));
    }
}

/// Answers a Close.
void answer_close(int connection, const std::string& payload) {
    if (payload.empty()) return send_frame(connection, close_frame, "");
    if (payload.size() == 1) throw Failure{1002, "half a code"};
    const unsigned code =
        static_cast<unsigned>(static_cast<unsigned char>(payload[0])) << 8U | static_cast<unsigned char>(payload[1]);
    if (code < 1000 || (code > 1003 && code < 1007) || (code > 1014 && code < 3000) || code > 4999)
        throw Failure{1002, "a code that may not travel"};
    std::string begun;
    check_text(begun, std::string_view(payload).substr(2));
    if (!begun.empty()) throw Failure{1007, "no UTF-8"};
    send_close(connection, code, "");
}

/// Returns every message to its sender, until that one says Close.
void echo(Input& in) {
    Message message;
    for (;;) {
        Header header = read_header(in);
        const bool is_control = header.opcode >= close_frame;
        if (!is_control && message.begun != (header.opcode == continuation))
            throw Failure{1002, "a fragment out of turn"};
        if (!is_control && header.length > most_message - message.payload.size())
            throw Failure{1009, "a message of more than 1 MiB"};
        const std::string key = take(in, header.key.size());
        std::copy(key.begin(), key.end(), header.key.begin());
        if (is_control) {
            Message control{true, header.opcode};
            read_payload(in, header, control);
            if (header.opcode == close_frame) return answer_close(in.connection, control.payload);
            if (header.opcode == ping) send_frame(in.connection, pong, control.payload);
            continue;
        }
        if (!message.begun) message = {true, header.opcode};
        read_payload(in, header, message);
        if (!header.fin) continue;
        if (!message.character.empty()) throw Failure{1007, "a text that ends within a character"};
        send_frame(in.connection, message.opcode, message.payload);
        message = {};
    }
}

// ---- One client after the other

void serve(int connection) {
    Input in{connection};
    try {
        upgrade(in);
        echo(in);
    } catch (const Refusal& refusal) {
        refuse(connection, refusal);
    } catch (const Failure& failure) {
        send_close(connection, failure.code, failure.why);
    } catch (const Gone&) {
        return;
    }
    // FIN, and reading on until the client has ended it, too: bytes left unread would make it an RST.
    TRY(shutdown(connection, SHUT_WR));
    char rest[65536];
    const auto deadline = Clock::now() + std::chrono::seconds(1);
    while (Clock::now() < deadline && wait_until_readable(connection, 1000)) {
        if (TRY(recv(connection, rest, sizeof rest, 0)) <= 0) break;
    }
}

int next_client(int listener) {
    for (;;) {
        try {
            return CALL(accept(listener, nullptr, nullptr));
        } catch (const SocketError& error) {
            survive_accept(error);
        }
    }
}

}  // namespace

int main(int argc, char** argv) try {
    const Options options = parse_options(argc, argv, {.summary = "Exercise: a whole WebSocket echo server."});
    const Address address = resolve(options.host, options.port, SOCK_STREAM).front();
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    announce_ready(listener);
    for (;;) {
        const int connection = next_client(listener);
        try {
            limit_waiting(connection, 20);
            serve(connection);
        } catch (const SocketError& error) {
            complain(error);
        }
        TRY(close(connection));
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
