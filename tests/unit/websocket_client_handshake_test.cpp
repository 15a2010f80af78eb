// The opening handshake, the client's side (RFC 6455, sections 4.1 and 4.2.2). Extensions have a file of their own.

#include "websocket/protocol/handshake.hpp"

#include "tests/catch.hpp"

#include <set>
#include <stdexcept>
#include <string>
#include <vector>

using namespace websocket;

namespace {

using Status = ClientHandshake::Status;

ClientWishes wishes() {
    ClientWishes made;
    made.host = "localhost:7000";
    return made;
}

/// The value of a field in a request; "" if there is none.
std::string field(const std::string& request, const std::string& name) {
    const std::size_t begin = request.find("\r\n" + name + ": ");
    if (begin == std::string::npos) return "";
    const std::size_t from = begin + name.size() + 4;
    return request.substr(from, request.find("\r\n", from) - from);
}

/// An answer as servers send it, of which a test changes one thing. ACCEPT stands for the value that fits the key.
struct Answer {
    std::string line = "HTTP/1.1 101 Switching Protocols";
    std::vector<std::pair<std::string, std::string>> fields = {
        {"Upgrade", "websocket"}, {"Connection", "Upgrade"}, {"Sec-WebSocket-Accept", "ACCEPT"}};

    Answer& add(const std::string& name, const std::string& value) {
        fields.emplace_back(name, value);
        return *this;
    }
    std::string text() const {
        std::string all = line + "\r\n";
        for (const auto& [name, value] : fields)
            all += name + ": " + value + "\r\n";
        return all + "\r\n";
    }
};

Answer with(const std::string& name, const std::string& value) {
    Answer answer;
    for (auto& field : answer.fields)
        if (field.first == name) field.second = value;
    return answer;
}
Answer plus(const std::string& name, const std::string& value) { return Answer().add(name, value); }
Answer without(const std::string& name) {
    Answer answer;
    std::erase_if(answer.fields, [&](const auto& field) { return field.first == name; });
    return answer;
}
Answer line(const std::string& text) {
    Answer answer;
    answer.line = text;
    return answer;
}

struct Outcome {
    Status status = Status::incomplete;
    std::string reason;
    std::string subprotocol;
    bool compresses = false;
    std::string left;
    bool operator==(const Outcome&) const = default;
};

/// Each client has a key of its own, and the answer is written for it; all accept values are 28 bytes long, so that
/// cuts mean the same bytes each time.
Outcome take(const std::string& pattern, const ClientWishes& wanted, const std::vector<std::size_t>& cuts) {
    ClientHandshake handshake(wanted);
    std::string text = pattern;
    const std::size_t at_accept = text.find("ACCEPT");
    if (at_accept != std::string::npos)
        text.replace(at_accept, 6, accept_value(field(handshake.request(), "Sec-WebSocket-Key")));
    std::size_t at = 0;
    Outcome outcome;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = std::min(i < cuts.size() ? cuts[i] : text.size(), text.size());
        const std::vector<char> piece(text.begin() + static_cast<long>(at), text.begin() + static_cast<long>(end));
        std::string_view input(piece.data(), piece.size());
        outcome.status = handshake.take(input);
        if (outcome.status != Status::incomplete) {
            outcome.left = text.substr(end - input.size());
            break;
        }
        if (!input.empty()) throw std::runtime_error("bytes are left, but more wanted");
        at = end;
    }
    if (outcome.status != Status::accepted) {
        outcome.left.clear();
        outcome.reason = handshake.reason();
    }
    outcome.subprotocol = handshake.agreement().subprotocol;
    outcome.compresses = handshake.agreement().deflate.has_value();
    if (outcome.status == Status::accepted) CHECK(handshake.agreement().resource == wanted.resource);
    return outcome;
}

/// At once, cut into two at every byte, and byte by byte: the same must come of it.
Outcome take(const std::string& pattern, const ClientWishes& wanted = wishes()) {
    Outcome whole = take(pattern, wanted, {});
    std::vector<std::size_t> every;
    for (std::size_t cut = 0; cut <= pattern.size() + 22; ++cut) {
        every.push_back(cut);
        if (cut > 400 && cut % 97 != 0) continue;
        if (take(pattern, wanted, {cut}) != whole)
            throw std::runtime_error("not the same cut at " + std::to_string(cut));
    }
    if (take(pattern, wanted, every) != whole) throw std::runtime_error("not the same byte by byte");
    return whole;
}

/// "accepted", "incomplete", or the reason of the refusal.
std::string result(const std::string& pattern, const ClientWishes& wanted = wishes()) {
    const Outcome outcome = take(pattern, wanted);
    if (outcome.status == Status::accepted) return "accepted";
    return (outcome.status == Status::incomplete ? "incomplete: " : "") + outcome.reason;
}

std::string result(const Answer& answer, const ClientWishes& wanted = wishes()) {
    return result(answer.text(), wanted);
}

const std::string behind = ": HTTP/1.1 101 Switching Protocols";

}  // namespace

TEST_CASE("client handshake: the request", "[unit][websocket][handshake]") {
    const ClientHandshake plain(wishes());
    const std::string key = field(plain.request(), "Sec-WebSocket-Key");
    CHECK(plain.request() ==
          "GET / HTTP/1.1\r\n"
          "Host: localhost:7000\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Key: " +
              key +
              "\r\n"
              "Sec-WebSocket-Version: 13\r\n"
              "\r\n");
    const auto bytes = base64_decode(key);
    REQUIRE(bytes);
    CHECK(bytes->size() == 16);

    ClientWishes full;
    full.host = "[::1]:7000";
    full.resource = "/chat?room=1";
    full.origin = "http://example.org";
    full.subprotocols = {"chat", "superchat"};
    full.deflate.emplace();
    const ClientHandshake all(full);
    CHECK(all.request() ==
          "GET /chat?room=1 HTTP/1.1\r\n"
          "Host: [::1]:7000\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Key: " +
              field(all.request(), "Sec-WebSocket-Key") +
              "\r\n"
              "Sec-WebSocket-Version: 13\r\n"
              "Origin: http://example.org\r\n"
              "Sec-WebSocket-Protocol: chat, superchat\r\n"
              "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
              "\r\n");
}

TEST_CASE("client handshake: a fresh key for each", "[unit][websocket][handshake]") {
    std::set<std::string> keys;
    for (int i = 0; i < 1000; ++i)
        keys.insert(field(ClientHandshake(wishes()).request(), "Sec-WebSocket-Key"));
    CHECK(keys.size() == 1000);  // of 2^128
}

TEST_CASE("client handshake: wishes that may not stand in a request", "[unit][websocket][handshake]") {
    const auto complaint = [](auto change) -> std::string {
        ClientWishes changed = wishes();
        change(changed);
        try {
            const ClientHandshake handshake(changed);
            return "";
        } catch (const std::invalid_argument& error) {
            return error.what();
        }
    };
    for (const char* resource :
         {"", "chat", "/a b", "/a\r\nX: y", "/a\n", "/#a", "/\x80", "/\x7F", "*", "http://localhost/", "//\t"}) {
        INFO(resource);
        CHECK(complaint([&](ClientWishes& w) { w.resource = resource; }) ==
              "the resource must begin with / and hold no blanks");
    }
    for (const char* host : {"", "a b", "a\r\nX: y", "a\n", "\x80", "\t"}) {
        INFO(host);
        CHECK(complaint([&](ClientWishes& w) { w.host = host; }) == "the host can't stand in a request");
    }
    for (const char* origin : {"a b", "a\r\nX: y", "\n", "\x7F"}) {
        INFO(origin);
        CHECK(complaint([&](ClientWishes& w) { w.origin = origin; }) == "the origin can't stand in a request");
    }
    for (const char* name : {"", "a b", "a,b", "a\r\nX: y", "a\n", "\"a\"", "\x80"}) {
        INFO(name);
        CHECK(complaint([&](ClientWishes& w) {
                  w.subprotocols = {"chat", name};
              }) == "a subprotocol's name is not a token");
    }
    CHECK(complaint([](ClientWishes& w) { w.subprotocols = {"a", "b", "a"}; }) == "a subprotocol is offered twice");
    CHECK(complaint([](ClientWishes& w) { w.subprotocols = {"a", "A"}; }).empty());
}

TEST_CASE("client handshake: answers that are accepted", "[unit][websocket][handshake]") {
    CHECK(result(Answer()) == "accepted");
    CHECK(result(line("HTTP/1.1 101 ")) == "accepted");
    CHECK(result(line("HTTP/1.1 101")) == "accepted");
    CHECK(result(line("HTTP/1.1 101 Anything at all")) == "accepted");
    CHECK(result(with("Upgrade", "WebSocket")) == "accepted");
    CHECK(result(with("Connection", "upgrade")) == "accepted");
    CHECK(result(with("Connection", "keep-alive, Upgrade")) == "accepted");
    CHECK(result(plus("Server", "one")) == "accepted");
    CHECK(
        result("HTTP/1.1 101 x\r\nupgrade:websocket\r\nCONNECTION:Upgrade\r\nsec-websocket-accept: ACCEPT \r\n\r\n") ==
        "accepted");
    // What stands behind the blank line are the first frames.
    for (const std::string& frames : {std::string("\x81\x05Hello"), std::string("\r\n"), std::string(5000, 'x')}) {
        const Outcome outcome = take(Answer().text() + frames);
        CHECK(outcome.status == Status::accepted);
        CHECK((outcome.left == frames));
    }
    // Announcements of the answer may come before it (RFC 9110, section 15.2).
    CHECK(result("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + Answer().text()) ==
          "accepted");
    CHECK(result("HTTP/1.1 103 Early Hints\r\nSec-WebSocket-Accept: x\r\n\r\n" + Answer().text()) == "accepted");
}

TEST_CASE("client handshake: upgrades that are none", "[unit][websocket][handshake]") {
    const std::string upgrade = "Upgrade is not websocket" + behind;
    CHECK(result(without("Upgrade")) == upgrade);
    for (const char* value : {"", "h2c", "websockets", "websocket, h2c", "websocket/13", "\"websocket\""})
        CHECK(result(with("Upgrade", value)) == upgrade);
    const std::string connection = "Connection does not name Upgrade" + behind;
    CHECK(result(without("Connection")) == connection);
    for (const char* value : {"", "keep-alive", "close", "Upgraded"})
        CHECK(result(with("Connection", value)) == connection);

    CHECK(result(without("Sec-WebSocket-Accept")) == "Sec-WebSocket-Accept is missing" + behind);
    const std::string other_key = "Sec-WebSocket-Accept does not belong to the key that was sent" + behind;
    for (const char* value :
         {"", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "ACCEPT=", "ACCEPTx", "xACCEPT", "\"ACCEPT\"", "ACCEPT, ACCEPT"})
        CHECK(result(with("Sec-WebSocket-Accept", value)) == other_key);

    CHECK(result(plus("Upgrade", "websocket")) == "the server's answer has Upgrade more than once" + behind);
    CHECK(result(plus("sec-websocket-accept", "x")) ==
          "the server's answer has Sec-WebSocket-Accept more than once" + behind);
    // A length is none here, and nothing is waited for.
    CHECK(result(without("Upgrade").add("Content-Length", "5")) == upgrade);
}

TEST_CASE("client handshake: base64 is compared with its case", "[unit][websocket][handshake]") {
    for (;;) {
        ClientHandshake handshake(wishes());
        const std::string accept = accept_value(field(handshake.request(), "Sec-WebSocket-Key"));
        std::string upper = accept;
        for (char& c : upper)
            c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
        if (upper == accept) continue;  // one in a million
        const std::string text = with("Sec-WebSocket-Accept", upper).text();
        std::string_view input = text;
        CHECK(handshake.take(input) == Status::refused);
        break;
    }
}

TEST_CASE("client handshake: another status, with what the server says about it", "[unit][websocket][handshake]") {
    const std::string no = "the server did not switch to WebSocket: ";
    const auto answer = [](const std::string& head, const std::string& body) { return head + "\r\n\r\n" + body; };
    CHECK(result(answer("HTTP/1.1 403 Forbidden\r\nContent-Length: 13", "not from here")) ==
          no + "HTTP/1.1 403 Forbidden: not from here");
    CHECK(result(answer("HTTP/1.1 404 Not Found\r\nContent-Length: 0", "")) == no + "HTTP/1.1 404 Not Found");
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: 6", "lines\nmore")) == no + "HTTP/1.1 400 Bad: lines");
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: 11", " two\nlines\n")) ==
          no + "HTTP/1.1 400 Bad: two\\nlines");
    CHECK(result(answer("HTTP/1.1 200 OK\r\nContent-Length: 5", "abc")) ==
          "incomplete: " + no + "HTTP/1.1 200 OK: abc");
    CHECK(result(answer("HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0", "")) == no + "HTTP/1.1 302 Found");
    // No terminal is to be painted on from there.
    CHECK(result(answer("HTTP/1.1 500 \xFFOops\xC2\x9B\r\nContent-Length: 9", "\x1b[31mred\x07")) ==
          no + "HTTP/1.1 500 \\xffOops\\xc2\\x9b: \\x1b[31mred\\x07");
    // A kilobyte is enough of it.
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: 5000", std::string(1024, 'b'))) ==
          no + "HTTP/1.1 400 Bad: " + std::string(1024, 'b'));
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: 1025", std::string(1025, 'b'))) ==
          no + "HTTP/1.1 400 Bad: " + std::string(1024, 'b'));
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: 5000", std::string(1023, 'b'))) ==
          "incomplete: " + no + "HTTP/1.1 400 Bad: " + std::string(1023, 'b'));
    // Lengths that are none.
    for (const char* length : {"x", "-5", "", "99999999999999999999"})
        CHECK(result(answer("HTTP/1.1 400 Bad\r\nContent-Length: " + std::string(length), "body")) ==
              no + "HTTP/1.1 400 Bad");
    // Without a length the end of the connection is the body's.
    CHECK(result(answer("HTTP/1.1 400 Bad", "the body")) == "incomplete: " + no + "HTTP/1.1 400 Bad: the body");
    CHECK(result(answer("HTTP/1.1 400 Bad", std::string(2000, 'b'))) ==
          no + "HTTP/1.1 400 Bad: " + std::string(1024, 'b'));
    // In chunks it comes from many servers, and the last one is its end.
    const std::string chunked = "HTTP/1.1 400 Bad\r\nTransfer-Encoding: chunked";
    CHECK(result(answer(chunked, "5\r\nhello\r\n0\r\n\r\n")) == no + "HTTP/1.1 400 Bad: hello");
    CHECK(result(answer(chunked, "5\r\nhello\r\n7;a=b\r\n\r\nworld\r\n00\r\nA: b\r\n\r\n")) ==
          no + "HTTP/1.1 400 Bad: hello\\r\\nworld");
    CHECK(result(answer(chunked, "5\r\nhel")) == "incomplete: " + no + "HTTP/1.1 400 Bad: hel");
    CHECK(result(answer(chunked, "5\r\nhello\r\nno chunk\r\n")) == no + "HTTP/1.1 400 Bad: hello");
    CHECK(result(answer(chunked, "ffffffffffffffff\r\nhello")) == "incomplete: " + no + "HTTP/1.1 400 Bad: hello");
    CHECK(result(answer(chunked, "fffffffffffffffff\r\nhello")) == no + "HTTP/1.1 400 Bad");
    CHECK(result(answer(chunked, "400\r\n" + std::string(1024, 'b') + "\r\n0\r\n\r\n")) ==
          no + "HTTP/1.1 400 Bad: " + std::string(1024 - 5, 'b'));
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nTransfer-Encoding: gzip, chunked", "1\r\n\x1f\r\n0\r\n\r\n")) ==
          no + "HTTP/1.1 400 Bad: \\x1f");
    // And where there is no body, or one of which nobody knows how it is to be read, nothing is waited for.
    CHECK(result(answer("HTTP/1.1 204 No Content", "")) == no + "HTTP/1.1 204 No Content");
    CHECK(result(answer("HTTP/1.1 304 Not Modified", "")) == no + "HTTP/1.1 304 Not Modified");
    CHECK(result(answer("HTTP/1.1 400 Bad\r\nTransfer-Encoding: gzip", "hello")) == no + "HTTP/1.1 400 Bad");
    for (const char* code : {"", "1010", "10", "abc", "600", "999"})
        CHECK_THAT(result(line("HTTP/1.1 " + std::string(code))), StartsWith(no));
}

TEST_CASE("client handshake: answers that are not HTTP/1.1, or not HTTP", "[unit][websocket][handshake]") {
    CHECK(result("HTTP/1.0 404 Not Found\r\nContent-Length: 4\r\n\r\nbody") ==
          "the server's answer is not HTTP/1.1: HTTP/1.0 404 Not Found: body");
    CHECK(result(line("HTTP/1.0 101 Switching Protocols")) ==
          "the server's answer is not HTTP/1.1: HTTP/1.0 101 Switching Protocols");
    // Other services greet with a line, and then wait: it is told without waiting for more.
    CHECK(result("SSH-2.0-OpenSSH_9.2p1\r\n") == "the server does not speak HTTP: SSH-2.0-OpenSSH_9.2p1");
    CHECK(result("220 mail ESMTP\r\n") == "the server does not speak HTTP: 220 mail ESMTP");
    CHECK(result("HTTTP/1.1 100 Continue\r\n\r\n" + Answer().text()) ==
          "the server does not speak HTTP: HTTTP/1.1 100 Continue");
    // An echo server returns the request.
    CHECK(result("GET / HTTP/1.1\r\nHost: localhost:7000\r\n\r\n") == "the server does not speak HTTP: GET / HTTP/1.1");
    CHECK(result("hello\n") == "the server's answer is not HTTP: a line ends with LF alone instead of CR LF");
    CHECK(result("HTTP/1.1 101 x\r\nUpgrade websocket\r\n\r\n") ==
          "the server's answer is not HTTP: a field has no colon: HTTP/1.1 101 x");
    CHECK(result("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n folded\r\n\r\n") ==
          "the server's answer is not HTTP: a field is folded over several lines: HTTP/1.1 101 x");
    CHECK(result("HTTP/1.1 101 x\r\nA: b\rc\r\n\r\n") ==
          "the server's answer is not HTTP: a control character stands in the header: HTTP/1.1 101 x");
    CHECK(result("HTTP/1.1 101 x\r\nA: " + std::string(9000, 'a') + "\r\n\r\n") ==
          "the server's answer has too large a header: HTTP/1.1 101 x");
    Answer many;
    while (many.fields.size() < 100)
        many.add("x", "y");
    CHECK(result(many) == "accepted");
    CHECK(result(many.add("x", "y")) == "the server's answer has too large a header" + behind);
}

TEST_CASE("client handshake: answers that do not come to their end", "[unit][websocket][handshake]") {
    CHECK(result("") == "incomplete: the server ended the connection without an answer");
    CHECK(result("HTTP/1.1 101") == "incomplete: the server ended the connection without an answer");
    CHECK(result("HTTP/1.1 101 x\r\nUpgrade: web") == "incomplete: the server's answer is incomplete: HTTP/1.1 101 x");
    CHECK(result("HTTP/1.1 101 \xC2\x9B\xFF\r\nUpgrade: web") ==
          "incomplete: the server's answer is incomplete: HTTP/1.1 101 \\xc2\\x9b\\xff");
    CHECK(result("HTTP/1.1 100 Continue\r\n\r\n") == "incomplete: the server ended the connection without an answer");
}

TEST_CASE("client handshake: a subprotocol that was offered, or none", "[unit][websocket][handshake]") {
    ClientWishes wanted = wishes();
    wanted.subprotocols = {"chat", "superchat"};
    const auto chosen = [&](const std::string& value) {
        const Outcome outcome = take(plus("Sec-WebSocket-Protocol", value).text(), wanted);
        return outcome.status == Status::accepted ? outcome.subprotocol : outcome.reason;
    };
    CHECK(chosen("chat") == "chat");
    CHECK(chosen("superchat") == "superchat");
    const std::string not_offered = "the server chose a subprotocol that was not offered" + behind;
    for (const char* value : {"", "other", "CHAT", "chat, superchat", "chat,", "\"chat\"", "cha", "chat x"})
        CHECK(chosen(value) == not_offered);
    CHECK(take(Answer().text(), wanted).subprotocol.empty());
    CHECK(result(Answer(), wanted) == "accepted");
    CHECK(result(plus("Sec-WebSocket-Protocol", "chat")) == not_offered);
    CHECK(result(plus("Sec-WebSocket-Protocol", "chat").add("Sec-WebSocket-Protocol", "chat"), wanted) ==
          "the server's answer has Sec-WebSocket-Protocol more than once" + behind);
}

TEST_CASE("client handshake: extensions that were offered, or none", "[unit][websocket][handshake]") {
    ClientWishes wanted = wishes();
    wanted.deflate.emplace();
    const auto answered = [&](const std::string& value) {
        return result(plus("Sec-WebSocket-Extensions", value), wanted);
    };
    const std::string not_offered = "the server chose an extension, or a parameter, that was not offered" + behind;
    CHECK(answered("permessage-deflate") == "accepted");
    CHECK(take(plus("Sec-WebSocket-Extensions", "permessage-deflate").text(), wanted).compresses);
    CHECK_FALSE(take(Answer().text(), wanted).compresses);
    CHECK(answered("permessage-deflate; client_max_window_bits=10") == "accepted");
    CHECK(answered("") == "accepted");  // an empty list
    CHECK_FALSE(take(plus("Sec-WebSocket-Extensions", "").text(), wanted).compresses);
    for (const char* value :
         {"foo", "permessage-deflate, foo", "foo, permessage-deflate", "permessage-deflate, permessage-deflate",
          "permessage-deflate; foo", "permessage-deflate;", "permessage-deflate; client_max_window_bits",
          "permessage-deflate; server_max_window_bits=7", "permessage-deflate; server_max_window_bits=\"10"})
        CHECK(answered(value) == not_offered);
    CHECK(result(plus("Sec-WebSocket-Extensions", "permessage-deflate")
                     .add("Sec-WebSocket-Extensions", "permessage-deflate"),
                 wanted) == not_offered);
    CHECK(result(plus("Sec-WebSocket-Extensions", "permessage-deflate")) == not_offered);
}

TEST_CASE("handshake: our client and our server understand each other", "[unit][websocket][handshake]") {
    ClientWishes wanted = wishes();
    wanted.resource = "/chat?x";
    wanted.subprotocols = {"b", "a"};
    wanted.deflate.emplace();
    wanted.origin = "http://localhost:7000";
    ServerPolicy policy;
    policy.subprotocols = {"a", "b"};
    policy.deflate.emplace();
    policy.deflate->client_max_window_bits = 9;
    ClientHandshake client(wanted);
    ServerHandshake server(policy);
    std::string_view request = client.request();
    REQUIRE(server.take(request) == ServerHandshake::Status::accepted);
    std::string_view response = server.response();
    REQUIRE(client.take(response) == Status::accepted);
    CHECK(request.empty());
    CHECK(response.empty());
    for (const Agreement* agreement : {&client.agreement(), &server.agreement()}) {
        CHECK(agreement->resource == "/chat?x");
        CHECK(agreement->subprotocol == "a");
        REQUIRE(agreement->deflate);
        CHECK(agreement->deflate->client_max_window_bits == 9);
    }
    CHECK(client.agreement().deflate == server.agreement().deflate);
    // And a refusal arrives with its reason.
    wanted.origin = "http://evil.example";
    ClientHandshake foreign(wanted);
    ServerHandshake strict(policy);
    request = foreign.request();
    REQUIRE(strict.take(request) == ServerHandshake::Status::refused);
    response = strict.response();
    REQUIRE(foreign.take(response) == Status::refused);
    CHECK(foreign.reason() ==
          "the server did not switch to WebSocket: HTTP/1.1 403 Forbidden: pages of this origin may not connect here");
}
