// The opening handshake, the server's side (RFC 6455, section 4.2; RFC 9110, RFC 9112). Extensions have a file of their
// own.

#include "websocket/protocol/handshake.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <map>
#include <stdexcept>
#include <string>
#include <vector>

using namespace websocket;
using namespace wire::literals;

namespace {

using Status = ServerHandshake::Status;

const std::string rfc_key = "dGhlIHNhbXBsZSBub25jZQ==";
const std::string rfc_accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// A request as browsers send it, of which a test changes one thing.
struct Request {
    std::string line = "GET /chat HTTP/1.1";
    std::vector<std::pair<std::string, std::string>> fields = {{"Host", "localhost:7000"},
                                                               {"Upgrade", "websocket"},
                                                               {"Connection", "Upgrade"},
                                                               {"Sec-WebSocket-Key", rfc_key},
                                                               {"Sec-WebSocket-Version", "13"}};

    Request& set(const std::string& name, const std::string& value) {
        for (auto& field : fields) {
            if (field.first == name) {
                field.second = value;
                return *this;
            }
        }
        return add(name, value);
    }
    Request& add(const std::string& name, const std::string& value) {
        fields.emplace_back(name, value);
        return *this;
    }
    Request& without(const std::string& name) {
        std::erase_if(fields, [&](const auto& field) { return field.first == name; });
        return *this;
    }
    std::string text() const {
        std::string all = line + "\r\n";
        for (const auto& [name, value] : fields)
            all += name + ": " + value + "\r\n";
        return all + "\r\n";
    }
};

Request with(const std::string& name, const std::string& value) { return Request().set(name, value); }
Request plus(const std::string& name, const std::string& value) { return Request().add(name, value); }
Request without(const std::string& name) { return Request().without(name); }
Request line(const std::string& text) {
    Request request;
    request.line = text;
    return request;
}

/// What came of a request.
struct Outcome {
    int code = 0;  ///< 0: incomplete
    std::string reason;
    std::string response;
    std::string subprotocol;
    std::string resource;
    std::string left;  ///< of the input
    bool operator==(const Outcome&) const = default;
};

Outcome take(const std::string& text, const ServerPolicy& policy, const std::vector<std::size_t>& cuts) {
    ServerHandshake handshake(policy);
    std::size_t at = 0;
    for (std::size_t i = 0; i <= cuts.size(); ++i) {
        const std::size_t end = i < cuts.size() ? cuts[i] : text.size();
        // Allocated for itself: one byte too far is one that sanitizers see.
        const std::vector<char> piece(text.begin() + static_cast<long>(at), text.begin() + static_cast<long>(end));
        std::string_view input(piece.data(), piece.size());
        const Status status = handshake.take(input);
        if (status == Status::incomplete && !input.empty()) throw std::runtime_error("bytes are left, but more wanted");
        if (status != Status::incomplete) {
            if ((status == Status::accepted) != (handshake.status_code() == 101))
                throw std::runtime_error("status and code contradict each other");
            return {handshake.status_code(),        handshake.reason(),
                    handshake.response(),           handshake.agreement().subprotocol,
                    handshake.agreement().resource, status == Status::accepted ? text.substr(end - input.size()) : ""};
        }
        at = end;
    }
    if (handshake.status_code() != 0 || !handshake.response().empty()) throw std::runtime_error("an early answer");
    return {};
}

/// Takes a request at once, cut into two at every byte, and byte by byte: the same must come of it.
Outcome take(const std::string& text, const ServerPolicy& policy = {}) {
    Outcome whole = take(text, policy, {});
    std::vector<std::size_t> every;
    for (std::size_t cut = 0; cut <= text.size(); ++cut) {
        every.push_back(cut);
        if (cut > 400 && cut % 97 != 0) continue;
        if (take(text, policy, {cut}) != whole) throw std::runtime_error("not the same cut at " + std::to_string(cut));
    }
    if (take(text, policy, every) != whole) throw std::runtime_error("not the same byte by byte");
    return whole;
}

/// "101", or "400 the reason". Checks that the response is what it should be.
std::string result(const std::string& text, const ServerPolicy& policy = {}) {
    const Outcome outcome = take(text, policy);
    if (outcome.code == 0) return "incomplete";
    if (outcome.code == 101) {
        CHECK_THAT(outcome.response,
                   StartsWith("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"));
        return "101";
    }
    static const std::map<int, std::string> phrases = {{400, "Bad Request"},
                                                       {403, "Forbidden"},
                                                       {408, "Request Timeout"},
                                                       {426, "Upgrade Required"},
                                                       {431, "Request Header Fields Too Large"}};
    REQUIRE(phrases.count(outcome.code) == 1);
    const std::string upgrade = "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
    CHECK(outcome.response == "HTTP/1.1 " + std::to_string(outcome.code) + " " + phrases.at(outcome.code) + "\r\n" +
                                  (outcome.code == 426 ? upgrade : "") +
                                  "Content-Type: text/plain; charset=utf-8\r\nContent-Length: " +
                                  std::to_string(outcome.reason.size() + 1) +
                                  (outcome.code == 426 ? "\r\nConnection: Upgrade, close" : "\r\nConnection: close") +
                                  "\r\n\r\n" + outcome.reason + "\n");
    return std::to_string(outcome.code) + " " + outcome.reason;
}

std::string result(const Request& request, const ServerPolicy& policy = {}) { return result(request.text(), policy); }

const std::string no_host = "400 Host is missing or malformed";
const std::string no_upgrade = "400 Upgrade does not name websocket";
const std::string no_connection = "400 Connection does not name Upgrade";
const std::string bad_key = "400 Sec-WebSocket-Key is not 16 bytes in base64";
const std::string bad_target = "400 the request's target is not a path";
const std::string old_version = "400 the version is not HTTP/1.1 or later";
const std::string other_version = "426 this server speaks version 13 of the WebSocket protocol";
const std::string has_body = "400 an upgrade request has no body";
const std::string foreign = "403 pages of this origin may not connect here";
const std::string control = "400 a control character stands in the header";
const std::string too_large = "431 the header is larger than 8192 bytes or 100 fields";

}  // namespace

// ---- The key

TEST_CASE("handshake: the accept value", "[unit][websocket][handshake]") {
    CHECK(accept_value(rfc_key) == rfc_accept);                                         // RFC 6455, section 1.3
    CHECK(accept_value("x3JJHMbDL1EzLkh9GBhXDw==") == "HSmrc0sMlYUkAGmm5OPpG2HaGWk=");  // another well-known pair
}

TEST_CASE("handshake: base64, both ways", "[unit][websocket][handshake]") {
    // The vectors of RFC 4648, section 10; and all that differs between alphabets.
    const std::vector<std::pair<std::string, std::string>> vectors = {{"", ""},
                                                                      {"f", "Zg=="},
                                                                      {"fo", "Zm8="},
                                                                      {"foo", "Zm9v"},
                                                                      {"foob", "Zm9vYg=="},
                                                                      {"fooba", "Zm9vYmE="},
                                                                      {"foobar", "Zm9vYmFy"},
                                                                      {"fbff fefb ff"_hex, "+//++/8="},
                                                                      {"0000 00"_hex, "AAAA"},
                                                                      {"the sample nonce", rfc_key}};
    for (const auto& [bytes, text] : vectors) {
        INFO(text);
        CHECK(base64_encode(bytes) == text);
        CHECK(base64_decode(text) == bytes);
    }
    for (const char* wrong : {"Z", "Zg", "Zg=", "Zg===", "====", "A===", "=AAA", "AA=A", "Zg==Zg==", "Zm9v\n", " Zm9",
                              "Zm9-", "Zm9_", "Zm9v====", "Zm\xC3\xB6"}) {
        INFO(wrong);
        CHECK_FALSE(base64_decode(wrong));
    }
    CHECK_FALSE(base64_decode(std::string("Zm\0v", 4)));
    for (std::size_t length = 0; length < 100; ++length) {
        std::string bytes;
        for (std::size_t i = 0; i < length; ++i)
            bytes += static_cast<char>(i * 37 + length * 11);
        CHECK(base64_decode(base64_encode(bytes)) == bytes);
    }
}

// ---- What is accepted

TEST_CASE("server handshake: the RFC's example", "[unit][websocket][handshake]") {
    // RFC 6455, section 1.3, with the subprotocols of section 1.9.
    const std::string text =
        "GET /chat HTTP/1.1\r\n"
        "Host: server.example.com\r\n"
        "Upgrade: websocket\r\n"
        "Connection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        "Origin: http://example.com\r\n"
        "Sec-WebSocket-Protocol: chat, superchat\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "\r\n";
    ServerPolicy policy;
    policy.subprotocols = {"chat"};
    policy.allowed_origins = {"http://example.com"};
    const Outcome outcome = take(text, policy);
    CHECK(outcome.response ==
          "HTTP/1.1 101 Switching Protocols\r\n"
          "Upgrade: websocket\r\n"
          "Connection: Upgrade\r\n"
          "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
          "Sec-WebSocket-Protocol: chat\r\n"
          "\r\n");
    CHECK(outcome.resource == "/chat");
    CHECK(outcome.left.empty());
    CHECK(take(text).code == 403);  // a foreign origin, unless allowed
}

TEST_CASE("server handshake: as browsers and libraries send it", "[unit][websocket][handshake]") {
    const std::string firefox =
        "GET /echo?a=b HTTP/1.1\r\n"
        "Host: 127.0.0.1:7000\r\n"
        "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
        "Accept: */*\r\n"
        "Accept-Language: ko-KR,ko;q=0.8,en-US;q=0.5,en;q=0.3\r\n"
        "Accept-Encoding: gzip, deflate, br, zstd\r\n"
        "Sec-WebSocket-Version: 13\r\n"
        "Origin: http://127.0.0.1:7000\r\n"
        "Sec-WebSocket-Extensions: permessage-deflate\r\n"
        "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n"
        "Connection: keep-alive, Upgrade\r\n"
        "Sec-Fetch-Dest: empty\r\n"
        "Pragma: no-cache\r\n"
        "Cache-Control: no-cache\r\n"
        "Upgrade: websocket\r\n"
        "\r\n";
    const Outcome outcome = take(firefox);
    CHECK(outcome.code == 101);
    CHECK(outcome.resource == "/echo?a=b");
    CHECK_THAT(outcome.response, ContainsSubstring("\r\nSec-WebSocket-Accept: HSmrc0sMlYUkAGmm5OPpG2HaGWk=\r\n"));
    CHECK_THAT(outcome.response, !ContainsSubstring("Sec-WebSocket-Extensions"));  // there is no policy for it
}

TEST_CASE("server handshake: lists and names in any case, with blanks and empty elements",
          "[unit][websocket][handshake]") {
    for (const char* value : {"websocket", "WebSocket", "WEBSOCKET", "h2c, websocket", "websocket,h2c",
                              ",, websocket ,", "h2c\t,\twebsocket", "foo/2, websocket"})
        CHECK(result(with("Upgrade", value)) == "101");
    for (const char* value :
         {"Upgrade", "upgrade", "UPGRADE", "keep-alive, Upgrade", "Upgrade,keep-alive", "close , upgrade", ",upgrade,"})
        CHECK(result(with("Connection", value)) == "101");
    // A list may stand in several fields.
    CHECK(result(with("Connection", "keep-alive").add("connection", "Upgrade")) == "101");
    CHECK(result(with("Upgrade", "h2c").add("UPGRADE", "WebSocket")) == "101");
    // Names of fields, too; blanks around a value, or none.
    CHECK(
        result(
            "GET / HTTP/1.1\r\nhOST:localhost\r\nUPGRADE:websocket\r\nconnection:\t Upgrade \t\r\nSEC-WEBSOCKET-KEY: " +
            rfc_key + "\r\nsec-websocket-version:13 \r\n\r\n") == "101");
    // Blank lines before the request (RFC 9112, section 2.2).
    CHECK(result("\r\n" + Request().text()) == "101");
    // Values may have bytes that are not ASCII.
    CHECK(result(plus("User-Agent", "\xED\x95\x9C\xEA\xB8\x80 \xFF\x80\ttab")) == "101");
    CHECK(result(plus("Empty", "")) == "101");
}

TEST_CASE("server handshake: HTTP/1.1 or later", "[unit][websocket][handshake]") {
    for (const char* version : {"HTTP/1.1", "HTTP/1.2", "HTTP/1.9", "HTTP/2.0", "HTTP/3.0"})
        CHECK(result(line("GET / " + std::string(version))) == "101");
    for (const char* version :
         {"HTTP/1.0", "HTTP/0.9", "HTTP/0.0", "http/1.1", "HTTP/1.1 ", "HTTP/11", "HTTP/1.", "HTTP/1.10", "HTTP/ 1.1",
          "HTTP/x.1", "HTTP/1.x", "HTTP/1,1", "HTTPS/1.1", " HTTP/1.1", "1.1", "", "HTTP/1.1 x"})
        CHECK(result(line("GET / " + std::string(version))) == old_version);
    CHECK(result(line("GET /")) == old_version);
}

TEST_CASE("server handshake: GET, and no other method", "[unit][websocket][handshake]") {
    for (const char* method : {"POST", "HEAD", "CONNECT", "OPTIONS", "get", "Get", "GETT", "GE", "", "GET\t"})
        CHECK(result(line(std::string(method) + " / HTTP/1.1")) == "400 the method is not GET");
    CHECK(result(line(" GET / HTTP/1.1")) == "400 the method is not GET");
    CHECK(result(line("garbage")) == "400 the method is not GET");
}

TEST_CASE("server handshake: targets", "[unit][websocket][handshake]") {
    const auto resource = [](const std::string& target) {
        const Outcome outcome = take(line("GET " + target + " HTTP/1.1").text());
        return outcome.code == 101 ? outcome.resource : std::to_string(outcome.code) + " " + outcome.reason;
    };
    CHECK(resource("/") == "/");
    CHECK(resource("/chat?room=1&x=%20") == "/chat?room=1&x=%20");
    CHECK(resource("//double") == "//double");
    CHECK(resource("/a/../b") == "/a/../b");
    // A request to a proxy names everything (RFC 9112, section 3.2.2).
    CHECK(resource("http://localhost:7000/chat") == "/chat");
    CHECK(resource("HTTPS://localhost/chat?x") == "/chat?x");
    CHECK(resource("ws://localhost/chat") == "/chat");
    CHECK(resource("wss://[::1]:7000/chat") == "/chat");
    CHECK(resource("http://localhost") == "/");
    CHECK(resource("http://localhost?x") == "/?x");
    for (const char* target :
         {"", "*", "chat", "localhost:7000", "/a#b", "/\x7F", "/\x80", "/\xED\x95\x9C", "http:/localhost/",
          "ftp://localhost/", "http://", "http:///chat", "http://a@b/", "http://a b/", "?x", "http://localhost:x/",
          "http://localhost#x", "javascript://localhost/"})
        CHECK_THAT(resource(target), StartsWith("400 "));
    CHECK(resource("*") == bad_target);
    CHECK(resource("/a b") == old_version);  // the second blank ends the target
    CHECK(result(line("GET  / HTTP/1.1")) == bad_target);
}

TEST_CASE("server handshake: what stands behind the blank line are the first frames", "[unit][websocket][handshake]") {
    for (const std::string& frames : {std::string(), std::string("\r\n"), wire::masked(0x81, "Hello"),
                                      std::string("GET /"), std::string(20'000, 'x'), std::string("\0\n\r", 3)}) {
        const Outcome outcome = take(Request().text() + frames);
        CHECK(outcome.code == 101);
        CHECK((outcome.left == frames));
    }
}

// ---- What is not

TEST_CASE("server handshake: Host", "[unit][websocket][handshake]") {
    for (const char* host :
         {"localhost", "localhost:7000", "LOCALHOST", "127.0.0.1:7000", "[::1]", "[::1]:7000", "a.b-c.example",
          "host_name", "localhost:", "localhost:80", "localhost:65535", "localhost:00080", "xn--9t4b11yi5a"})
        CHECK(result(with("Host", host)) == "101");
    CHECK(result(without("Host")) == no_host);
    for (const char* host : {"",
                             " ",
                             "local host",
                             "localhost:x",
                             "localhost:65536",
                             "localhost:99999999999999999999",
                             "localhost:-1",
                             "localhost:-0",
                             "localhost:+80",
                             "localhost:8 0",
                             "localhost:80:80",
                             "a@b",
                             "a/b",
                             "http://localhost",
                             "a,b",
                             "[::1",
                             "::1]",
                             "[::1]x",
                             "[::1]:x",
                             "x[::1]",
                             "a?b",
                             "a#b",
                             "a%41",
                             "a\\b",
                             "\"a\"",
                             ":80",
                             "a\x80",
                             "localhost, localhost"})
        CHECK(result(with("Host", host)) == no_host);
    CHECK(result(plus("host", "localhost:7000")) == "400 Host stands there more than once");
    CHECK(result(plus("Host", "other")) == "400 Host stands there more than once");
}

TEST_CASE("server handshake: Upgrade and Connection", "[unit][websocket][handshake]") {
    CHECK(result(without("Upgrade")) == no_upgrade);
    for (const char* value : {"", "websockets", "web socket", "h2c", "websocket/13", "\"websocket\"", "websocket;q=1",
                              "websocke", "\"x, websocket, y\""})
        CHECK(result(with("Upgrade", value)) == no_upgrade);
    CHECK(result(without("Connection")) == no_connection);
    for (const char* value : {"", "keep-alive", "close", "keep-alive Upgrade", "Upgrades", "\"Upgrade\"",
                              "keep-alive; Upgrade", "\"keep-alive, Upgrade"})
        CHECK(result(with("Connection", value)) == no_connection);
    CHECK(result(Request().without("Upgrade").without("Connection")) == no_upgrade);
}

TEST_CASE("server handshake: Sec-WebSocket-Key", "[unit][websocket][handshake]") {
    for (std::size_t length = 0; length <= 40; ++length)
        CHECK(result(with("Sec-WebSocket-Key", base64_encode(std::string(length, 'k')))) ==
              (length == 16 ? "101" : bad_key));
    CHECK(result(without("Sec-WebSocket-Key")) == "400 Sec-WebSocket-Key is missing");
    for (const char* key :
         {"dGhlIHNhbXBsZSBub25jZQ=", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZ===", "dGhlIHNhbXBsZSBub25j-Q==",
          "dGhlIHNhbXBs ZSBub25jZQ==", "the sample nonce", "========================"})
        CHECK(result(with("Sec-WebSocket-Key", key)) == bad_key);
    const std::string twice = "400 Sec-WebSocket-Key stands there more than once";
    CHECK(result(plus("Sec-WebSocket-Key", rfc_key)) == twice);
    CHECK(result(plus("SEC-WEBSOCKET-KEY", "x3JJHMbDL1EzLkh9GBhXDw==")) == twice);
    CHECK(result(with("Sec-WebSocket-Key", rfc_key + ", " + rfc_key)) == bad_key);
    CHECK(result(with("Sec-WebSocket-Key", std::string(65536, 'A'))) == too_large);
    CHECK(result(with("Sec-WebSocket-Key", std::string(7000, 'A'))) == bad_key);
}

TEST_CASE("server handshake: Sec-WebSocket-Version", "[unit][websocket][handshake]") {
    for (const char* version : {"8", "7", "0", "14", "013", "13.0", "+13", "13, 8", "8, 13", "", "thirteen", "\"13\"",
                                "99999999999999999999"})
        CHECK(result(with("Sec-WebSocket-Version", version)) == other_version);
    CHECK(result(without("Sec-WebSocket-Version")) == "400 Sec-WebSocket-Version is missing");
    CHECK(result(plus("Sec-WebSocket-Version", "13")) == "400 Sec-WebSocket-Version stands there more than once");
    // Both fields that tell the client what would do, and the option that goes with Upgrade (RFC 9110, section 7.8).
    const Outcome outcome = take(with("Sec-WebSocket-Version", "8").text());
    CHECK_THAT(outcome.response, ContainsSubstring("\r\nUpgrade: websocket\r\n"));
    CHECK_THAT(outcome.response, ContainsSubstring("\r\nSec-WebSocket-Version: 13\r\n"));
    CHECK_THAT(outcome.response, ContainsSubstring("\r\nConnection: Upgrade, close\r\n"));
}

TEST_CASE("server handshake: no body", "[unit][websocket][handshake]") {
    for (const char* length : {"1", "5", "00", "+0", "-1", "", "x", "0x0", "0, 0", "18446744073709551616"})
        CHECK(result(plus("Content-Length", length)) == has_body);
    CHECK(result(plus("Content-Length", "0")) == "101");
    CHECK(result(plus("Content-Length", "0").add("content-length", "0")) ==
          "400 Content-Length stands there more than once");
    for (const char* coding : {"chunked", "gzip, chunked", "identity", ""})
        CHECK(result(plus("Transfer-Encoding", coding)) == has_body);
    CHECK(result(plus("Transfer-Encoding", "chunked").add("Content-Length", "0")) == has_body);
}

TEST_CASE("server handshake: Origin", "[unit][websocket][handshake]") {
    struct Case {
        std::string host;
        std::string origin;
        bool passes;
    };
    const std::vector<Case> cases = {
        {"localhost:7000", "http://localhost:7000", true},
        {"localhost:7000", "https://localhost:7000", true},  // what decrypts it stands before this server
        {"localhost:7000", "HTTP://LocalHost:7000", true},
        {"LOCALHOST:7000", "http://localhost:7000", true},
        {"localhost", "http://localhost", true},
        {"localhost", "http://localhost:80", true},
        {"localhost:80", "http://localhost", true},
        {"localhost", "https://localhost", true},
        {"localhost", "https://localhost:443", true},
        {"localhost:443", "https://localhost", true},
        {"127.0.0.1:7000", "http://127.0.0.1:7000", true},
        {"[::1]:7000", "http://[::1]:7000", true},
        {"[::1]", "http://[::1]", true},

        {"localhost:7000", "http://localhost", false},
        {"localhost:7000", "http://localhost:7001", false},
        {"localhost:7000", "http://localhost:70000", false},
        {"localhost:7000", "http://localhost:700", false},
        {"localhost", "http://localhost:443", false},
        {"localhost", "https://localhost:80", false},
        {"localhost:80", "https://localhost", false},
        {"localhost:7000", "http://127.0.0.1:7000", false},
        {"localhost:7000", "http://evil.example", false},
        {"localhost:7000", "http://evil.example:7000", false},
        {"localhost:7000", "null", false},
        {"localhost:7000", "", false},
        {"localhost:7000", "*", false},
        {"localhost", "http://localhost.evil", false},
        {"localhost:7000", "http://localhost.evil:7000", false},
        {"localhost:7000", "http://localhost:7000.evil", false},
        {"localhost", "http://evil/localhost", false},
        {"localhost:7000", "http://evil/localhost:7000", false},
        {"localhost:7000", "http://evil:7000/localhost:7000", false},
        {"localhost", "http://notlocalhost", false},
        {"localhost", "http://evil.localhost", false},
        {"localhost:7000", "http://localhost:7000@evil", false},
        {"localhost:7000", "http://evil@localhost:7000", false},
        {"localhost:7000", "http://user:password@localhost:7000", false},
        {"localhost:7000", "http://@localhost:7000", false},
        {"localhost:7000", "http://localhost:7000/", false},
        {"localhost:7000", "http://localhost:7000/path", false},
        {"localhost:7000", "http://localhost:7000?", false},
        {"localhost:7000", "http://localhost:7000#", false},
        {"localhost:7000", "http://localhost:7000 http://evil", false},
        {"localhost:7000", "http://evil http://localhost:7000", false},
        {"localhost:7000", "http://evil, http://localhost:7000", false},
        {"localhost:7000", "http:localhost:7000", false},
        {"localhost:7000", "http:///localhost:7000", false},
        {"localhost:7000", "//localhost:7000", false},
        {"localhost:7000", "localhost:7000", false},
        {"localhost:7000", "ws://localhost:7000", false},
        {"localhost:7000", "file://localhost:7000", false},
        {"localhost:7000", "http://localhost.:7000", false},
        {"localhost:7000", "http://localhost%2eevil:7000", false},
        {"localhost:7000", "http://\xEF\xBD\x8Cocalhost:7000", false},
        {"[::1]:7000", "http://[::1]:7000.evil", false},
        {"[::1]:7000", "http://[::1].evil:7000", false},
        {"[::1]:7000", "http://[0:0:0:0:0:0:0:1]:7000", false},
        {"[::1]", "http://::1", false},
    };
    for (const Case& one : cases) {
        INFO("Host " << one.host << ", Origin " << one.origin);
        CHECK(result(with("Host", one.host).add("Origin", one.origin)) == (one.passes ? "101" : foreign));
    }
    CHECK(result(Request()) == "101");  // no Origin: no browser
    CHECK(result(plus("Origin", "http://localhost:7000").add("Origin", "http://localhost:7000")) ==
          "400 Origin stands there more than once");
    // An absolute target names the host, and Host does not count (RFC 9112, section 3.2.2).
    CHECK(
        result(
            line("GET http://localhost:7000/ HTTP/1.1").set("Host", "other").add("Origin", "http://localhost:7000")) ==
        "101");
    CHECK(result(line("GET http://other/ HTTP/1.1").add("Origin", "http://localhost:7000")) == foreign);
}

TEST_CASE("server handshake: origins that are allowed by option", "[unit][websocket][handshake]") {
    ServerPolicy policy;
    policy.allowed_origins = {"https://example.org", "http://[::1]:8000", "null"};
    const auto of = [&](const std::string& origin) { return result(plus("Origin", origin), policy); };
    CHECK(of("https://example.org") == "101");
    CHECK(of("HTTPS://EXAMPLE.ORG") == "101");
    CHECK(of("http://[::1]:8000") == "101");
    CHECK(of("null") == "101");
    CHECK(of("http://localhost:7000") == "101");  // its own, still
    for (const char* origin : {"http://example.org", "https://example.org:444", "https://example.org.evil",
                               "https://www.example.org", "https://example.org/", "example.org", "nul", "nullx", ""})
        CHECK(of(origin) == foreign);
    policy.allowed_origins = {"*"};
    for (const char* origin : {"http://evil.example", "null", "", "anything \xFF"})
        CHECK(of(origin) == "101");
}

TEST_CASE("server handshake: the limits of the header", "[unit][websocket][handshake]") {
    SECTION("8192 bytes, blank line included") {
        const std::size_t before = plus("Filler", "").text().size();
        CHECK(plus("Filler", std::string(8192 - before, 'f')).text().size() == 8192);
        CHECK(result(plus("Filler", std::string(8192 - before, 'f'))) == "101");
        CHECK(result(plus("Filler", std::string(8193 - before, 'f'))) == too_large);
        CHECK(result(plus("Filler", std::string(8191 - before, 'f'))) == "101");
        // Wherever they are spent.
        CHECK(result(line("GET /" + std::string(9000, 'a') + " HTTP/1.1")) == too_large);
        CHECK(result(std::string(10'000, 'a')) == too_large);
        CHECK(result(std::string(8192, 'a')) == "incomplete");
        CHECK(result(std::string(8193, 'a')) == too_large);
        std::string empty_lines;
        for (int i = 0; i < 4200; ++i)
            empty_lines += "\r\n";
        CHECK(result(empty_lines + Request().text()) == too_large);
        CHECK(result(plus(std::string(9000, 'n'), "")) == too_large);
    }
    SECTION("100 fields") {
        Request request;
        while (request.fields.size() < 100)
            request.add("x", "y");
        CHECK(result(request) == "101");
        CHECK(result(request.add("x", "y")) == too_large);
    }
    SECTION("ten thousand") {
        std::string fields;
        for (int i = 0; i < 10'000; ++i)
            fields += "a:b\r\n";
        CHECK(result("GET / HTTP/1.1\r\n" + fields + "\r\n") == too_large);
    }
    SECTION("frames behind it don't count") { CHECK(take(Request().text() + std::string(9000, '\xFF')).code == 101); }
}

TEST_CASE("server handshake: line ends, folding and control characters", "[unit][websocket][handshake]") {
    const std::string bare = "400 a line ends with LF alone instead of CR LF";
    const std::string good = Request().text();
    for (std::size_t at = good.find('\r'); at != std::string::npos; at = good.find('\r', at + 1)) {
        std::string text = good;
        text.erase(at, 1);
        CHECK(result(text) == bare);  // a line without its CR
        text = good;
        text.insert(at, "\r");
        CHECK(result(text) == control);  // CR CR LF
        text = good;
        text.erase(at + 1, 1);  // CR without LF: it stands within a line then, or the end does not come
        CHECK(result(text) == (at + 2 == good.size() ? "incomplete" : control));
    }
    CHECK(result("\n" + good) == bare);
    const std::string folded = "400 a field is folded over several lines";
    CHECK(result(with("Host", "localhost:7000\r\n x")) == folded);
    CHECK(result(with("Connection", "keep-alive,\r\n\tUpgrade")) == folded);
    CHECK(result(line("GET / HTTP/1.1\r\n Host: x")) == folded);
    CHECK(result(line("GET / HTTP/1.1\r\n ")) == folded);
    // Every control character, in every place.
    for (int byte = 0; byte < 0x20; ++byte) {
        const std::string one(1, static_cast<char>(byte));
        if (byte == '\n') continue;
        INFO(byte);
        if (byte != '\t') {
            CHECK(result(plus("Filler", "a" + one + "b")) == control);
            CHECK(result(plus("Filler", one)) == control);
            CHECK(result(plus("Fil" + one + "ler", "x")) == control);
            CHECK(result(line("GET /" + one + " HTTP/1.1")) == control);
        } else {
            CHECK(result(plus("Filler", "a" + one + "b")) == "101");
            CHECK(result(plus("Fil" + one + "ler", "x")) == "400 a field's name is not a token");
            CHECK(result(line("GET /" + one + " HTTP/1.1")) == bad_target);
        }
    }
    CHECK(result(plus("Filler", "a\x7F")) == control);
    // An injected line is a line of its own, and judged as such.
    CHECK(result(plus("Filler", "x\r\nHost: evil")) == "400 Host stands there more than once");
}

TEST_CASE("server handshake: fields that are none", "[unit][websocket][handshake]") {
    const std::string no_token = "400 a field's name is not a token";
    CHECK(result(line("GET / HTTP/1.1\r\nnonsense")) == "400 a field has no colon");
    CHECK(result(plus("Host ", "localhost")) == no_token);
    CHECK(result(plus("", "localhost")) == no_token);
    CHECK(result(plus("a b", "c")) == no_token);
    CHECK(result(plus("a(b)", "c")) == no_token);
    CHECK(result(plus("a\x80", "c")) == no_token);
    CHECK(result(plus("\"a\"", "c")) == no_token);
    CHECK(result(plus("a,b", "c")) == no_token);
    CHECK(result(plus("!#$%&'*+-.^_`|~09azAZ", "c")) == "101");
    CHECK(result(plus("a", ":b:c:")) == "101");
}

// ---- Subprotocols

TEST_CASE("server handshake: a subprotocol of its own list, never one unasked", "[unit][websocket][handshake]") {
    ServerPolicy policy;
    policy.subprotocols = {"chat.v2", "chat.v1", "echo"};
    const auto chosen = [&](const std::string& offered) {
        const Outcome outcome = take(plus("Sec-WebSocket-Protocol", offered).text(), policy);
        if (outcome.code != 101) return outcome.reason;
        const std::string field = "\r\nSec-WebSocket-Protocol: " + outcome.subprotocol + "\r\n";
        CHECK((outcome.response.find("Sec-WebSocket-Protocol") != std::string::npos) == !outcome.subprotocol.empty());
        if (!outcome.subprotocol.empty()) CHECK_THAT(outcome.response, ContainsSubstring(field));
        return outcome.subprotocol;
    };
    CHECK(chosen("echo") == "echo");
    CHECK(chosen("chat.v1, chat.v2") == "chat.v2");  // by the server's preference
    CHECK(chosen("echo , chat.v1") == "chat.v1");
    CHECK(chosen("other, echo") == "echo");
    CHECK(chosen("other").empty());
    CHECK(chosen("ECHO").empty());  // compared as they stand
    CHECK(chosen("ech").empty());
    CHECK(chosen("").empty());
    CHECK(chosen(", ,echo,,") == "echo");
    CHECK(chosen("echo, echo") == "Sec-WebSocket-Protocol names one twice");
    CHECK(chosen("other, echo, x, other") == "Sec-WebSocket-Protocol names one twice");
    CHECK(chosen("echo, e/cho") == "Sec-WebSocket-Protocol holds what is not a token");
    CHECK(chosen("\"echo\"") == "Sec-WebSocket-Protocol holds what is not a token");
    CHECK(chosen("chat echo") == "Sec-WebSocket-Protocol holds what is not a token");
    CHECK(chosen("\"echo") == "Sec-WebSocket-Protocol holds what is not a token");

    CHECK(take(Request().text(), policy).subprotocol.empty());
    CHECK(take(plus("Sec-WebSocket-Protocol", "echo").text()).subprotocol.empty());  // of no list: none
    // In several fields.
    CHECK(take(plus("Sec-WebSocket-Protocol", "echo").add("sec-websocket-protocol", "chat.v1").text(), policy)
              .subprotocol == "chat.v1");
    CHECK(take(plus("Sec-WebSocket-Protocol", "echo").add("Sec-WebSocket-Protocol", "echo").text(), policy).code ==
          400);
}

// ---- Time

TEST_CASE("server handshake: one whose time is over", "[unit][websocket][handshake]") {
    const std::string text = Request().text();
    for (const std::size_t length : {std::size_t{0}, std::size_t{1}, text.size() / 2, text.size() - 1}) {
        const ServerPolicy policy;
        ServerHandshake handshake(policy);
        for (std::size_t i = 0; i < length; ++i) {
            std::string_view byte(text.data() + i, 1);
            REQUIRE(handshake.take(byte) == Status::incomplete);
        }
        CHECK(handshake.status_code() == 0);
        handshake.time_out();
        CHECK(handshake.status_code() == 408);
        CHECK(handshake.reason() == "the request did not end in time");
        CHECK(handshake.response() ==
              "HTTP/1.1 408 Request Timeout\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 32\r\n"
              "Connection: close\r\n\r\nthe request did not end in time\n");
    }
}
