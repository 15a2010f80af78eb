// The negotiation of permessage-deflate (RFC 7692, section 7.1; the lists of RFC 6455, section 9.1).

#include "websocket/protocol/deflate.hpp"
#include "websocket/protocol/handshake.hpp"

#include "tests/catch.hpp"

#include <optional>
#include <string>
#include <vector>

using namespace websocket;

namespace {

/// "server_no client_no 10 9": an agreement, in the order of DeflateParameters; "declined", or "malformed".
std::string told(const std::optional<DeflateParameters>& agreed) {
    if (!agreed) return "declined";
    return std::string(agreed->server_no_context_takeover ? "server_no " : "") +
           (agreed->client_no_context_takeover ? "client_no " : "") + std::to_string(agreed->server_max_window_bits) +
           " " + std::to_string(agreed->client_max_window_bits);
}

/// A server's answer to one offer: what it agreed on and what it says of it.
std::string accepted(const std::string& offer, const DeflatePolicy& policy = {}) {
    const auto extension = parse_extension(offer);
    if (!extension) return "malformed";
    std::string answer = "nothing";
    const auto agreed = accept_offer(*extension, policy, answer);
    if (!agreed) CHECK(answer == "nothing");
    return agreed ? told(agreed) + " | " + answer : "declined";
}

/// A client's view of an answer to its offer.
std::string checked(const std::string& answer, const DeflateOffer& offer = {}) {
    const auto extension = parse_extension(answer);
    return extension ? told(check_answer(*extension, offer)) : "malformed";
}

/// What a server says to a whole field, or several.
std::string negotiated(const std::vector<std::string>& fields,
                       const std::optional<DeflatePolicy>& policy = DeflatePolicy{}) {
    std::string request =
        "GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    for (const std::string& field : fields)
        request += "Sec-WebSocket-Extensions: " + field + "\r\n";
    request += "\r\n";
    ServerPolicy server;
    server.deflate = policy;
    ServerHandshake handshake(server);
    std::string_view input = request;
    if (handshake.take(input) != ServerHandshake::Status::accepted) return handshake.reason();
    const std::string name = "Sec-WebSocket-Extensions: ";
    const std::string& response = handshake.response();
    const std::size_t begin = response.find(name);
    CHECK((begin != std::string::npos) == handshake.agreement().deflate.has_value());
    if (begin == std::string::npos) return "nothing";
    return response.substr(begin + name.size(), response.find('\r', begin) - begin - name.size());
}

const std::string both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

}  // namespace

TEST_CASE("extensions: a list, of all fields of its name", "[unit][websocket][extension]") {
    const auto list = [](const std::vector<std::string>& values) {
        HttpHead head;
        for (const std::string& value : values) {
            head.fields.emplace_back("list", value);
            head.fields.emplace_back("other", "not this");
        }
        return head.list("list");
    };
    using Elements = std::vector<std::string>;
    CHECK(list({}).empty());
    CHECK(list({""}).empty());
    CHECK(list({" ,\t, "}).empty());
    CHECK(list({"a"}) == Elements{"a"});
    CHECK(list({"a,b ,\tc d"}) == Elements{"a", "b", "c d"});
    CHECK(list({"a, b", "", "c"}) == Elements{"a", "b", "c"});
    // Commas in quotes part nothing; a backslash in quotes takes the next character's meaning, elsewhere it has none.
    CHECK(list({"a=\"b, c\", d"}) == Elements{"a=\"b, c\"", "d"});
    CHECK(list({"\"a\\\", b\", c"}) == Elements{"\"a\\\", b\"", "c"});
    CHECK(list({"\"a\\\\\", b"}) == Elements{"\"a\\\\\"", "b"});
    CHECK(list({"a\\\", b\", c"}) == Elements{"a\\\", b\"", "c"});
    CHECK(list({"\\, a"}) == Elements{"\\", "a"});
    // A quote that is not closed reaches to its field's end, and not into the next.
    CHECK(list({"a, \"b, c", "d, e"}) == Elements{"a", "\"b, c", "d", "e"});
    CHECK(list({"\"a\\"}) == Elements{"\"a\\"});
}

TEST_CASE("extensions: one element of the list", "[unit][websocket][extension]") {
    const auto read = [](const std::string& element) {
        const auto extension = parse_extension(element);
        if (!extension) return std::string("malformed");
        std::string text = extension->name;
        for (const auto& [name, value] : extension->parameters)
            text += " <" + name + (value ? "=" + *value : "") + ">";
        return text;
    };
    CHECK(read("permessage-deflate") == "permessage-deflate");
    CHECK(read("  foo\t") == "foo");
    CHECK(read("foo; bar") == "foo <bar>");
    CHECK(read("foo;bar=1 ; baz\t=\t2") == "foo <bar=1> <baz=2>");
    CHECK(read("foo; bar=\"1\"") == "foo <bar=1>");
    CHECK(read("foo; bar=\"\\1\\0\" ;baz") == "foo <bar=10> <baz>");
    CHECK(read("!#$%&'*+-.^_`|~09azAZ") == "!#$%&'*+-.^_`|~09azAZ");
    for (const char* malformed : {"",
                                  " ",
                                  ";",
                                  "foo;",
                                  "foo; ",
                                  "foo;;bar",
                                  "foo; bar=",
                                  "foo; bar= ",
                                  "foo; bar=;",
                                  "foo; =1",
                                  "foo bar",
                                  "foo; bar baz",
                                  "foo; bar=1 2",
                                  "foo; bar=\"1\" 2",
                                  "foo; bar=\"1",
                                  "foo; bar=\"1\\",
                                  "foo; bar=\"",
                                  "foo; bar=\"\\\"",
                                  "foo; bar=\"\"",
                                  "foo; bar=\"1 2\"",
                                  "foo; bar=\"1;2\"",
                                  "foo; bar=\"\\\"\"",
                                  "foo; \"bar\"",
                                  "\"foo\"",
                                  "foo=1",
                                  "foo; bar==1",
                                  "foo; b/r",
                                  "foo; bar=1/2",
                                  "foo/; bar",
                                  "foo; bar=\x80",
                                  "f\xC3\xB6o",
                                  "foo; bar=\"1\"2",
                                  "foo\"; bar"}) {
        INFO(malformed);
        CHECK(read(malformed) == "malformed");
    }
    CHECK(read(std::string("foo\0bar", 7)) == "malformed");
}

TEST_CASE("extensions: any offer that can be accepted is, and answered so that the client knows",
          "[unit][websocket][extension]") {
    CHECK(accepted("permessage-deflate") == "15 15 | permessage-deflate");
    CHECK(accepted("permessage-deflate; server_no_context_takeover") ==
          "server_no 15 15 | permessage-deflate; server_no_context_takeover");
    CHECK(accepted("permessage-deflate; client_no_context_takeover") ==
          "client_no 15 15 | permessage-deflate; client_no_context_takeover");
    CHECK(accepted("permessage-deflate; client_no_context_takeover; server_no_context_takeover") ==
          "server_no client_no 15 15 | " + both);
    // A client that names server_max_window_bits is told of it in any case (7.1.2.1), also where it changes nothing.
    CHECK(accepted("permessage-deflate; server_max_window_bits=15") ==
          "15 15 | permessage-deflate; server_max_window_bits=15");
    CHECK(accepted("permessage-deflate; server_max_window_bits=10") ==
          "10 15 | permessage-deflate; server_max_window_bits=10");
    CHECK(accepted("permessage-deflate; server_max_window_bits=8") ==
          "8 15 | permessage-deflate; server_max_window_bits=8");
    CHECK(accepted("permessage-deflate; server_max_window_bits=\"10\"") ==
          "10 15 | permessage-deflate; server_max_window_bits=10");
    // client_max_window_bits may be without a value: "I can do what you say" (7.1.2.2).
    CHECK(accepted("permessage-deflate; client_max_window_bits") == "15 15 | permessage-deflate");
    CHECK(accepted("permessage-deflate; client_max_window_bits=15") == "15 15 | permessage-deflate");
    CHECK(accepted("permessage-deflate; client_max_window_bits=9") ==
          "15 9 | permessage-deflate; client_max_window_bits=9");
    CHECK(accepted("permessage-deflate; client_max_window_bits=8; server_max_window_bits=8") ==
          "8 8 | permessage-deflate; server_max_window_bits=8; client_max_window_bits=8");
}

TEST_CASE("extensions: the server's own wishes", "[unit][websocket][extension]") {
    DeflatePolicy policy;
    policy.server_no_context_takeover = true;
    policy.client_no_context_takeover = true;
    CHECK(accepted("permessage-deflate", policy) == "server_no client_no 15 15 | " + both);
    CHECK(accepted(both, policy) == "server_no client_no 15 15 | " + both);

    policy = {};
    policy.server_max_window_bits = 11;
    policy.client_max_window_bits = 10;
    // What limits the client may be said only to one that named it.
    CHECK(accepted("permessage-deflate", policy) == "11 15 | permessage-deflate; server_max_window_bits=11");
    CHECK(accepted("permessage-deflate; client_max_window_bits", policy) ==
          "11 10 | permessage-deflate; server_max_window_bits=11; client_max_window_bits=10");
    // The smaller of two counts.
    CHECK(accepted("permessage-deflate; server_max_window_bits=9; client_max_window_bits=9", policy) ==
          "9 9 | permessage-deflate; server_max_window_bits=9; client_max_window_bits=9");
    CHECK(accepted("permessage-deflate; server_max_window_bits=12; client_max_window_bits=12", policy) ==
          "11 10 | permessage-deflate; server_max_window_bits=11; client_max_window_bits=10");
}

TEST_CASE("extensions: offers that are declined", "[unit][websocket][extension]") {
    for (const char* offer : {"permessage-deflate; server_max_window_bits",
                              "permessage-deflate; server_max_window_bits=7",
                              "permessage-deflate; server_max_window_bits=16",
                              "permessage-deflate; server_max_window_bits=0",
                              "permessage-deflate; server_max_window_bits=abc",
                              "permessage-deflate; server_max_window_bits=08",
                              "permessage-deflate; server_max_window_bits=010",
                              "permessage-deflate; server_max_window_bits=+10",
                              "permessage-deflate; server_max_window_bits=-8",
                              "permessage-deflate; server_max_window_bits=1e1",
                              "permessage-deflate; server_max_window_bits=4294967304",
                              "permessage-deflate; server_max_window_bits=\"08\"",
                              "permessage-deflate; client_max_window_bits=7",
                              "permessage-deflate; client_max_window_bits=16",
                              "permessage-deflate; client_max_window_bits=abc",
                              "permessage-deflate; client_max_window_bits=08",
                              "permessage-deflate; client_max_window_bits=18446744073709551624",
                              "permessage-deflate; server_no_context_takeover=1",
                              "permessage-deflate; server_no_context_takeover=true",
                              "permessage-deflate; client_no_context_takeover=0",
                              "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
                              "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
                              "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
                              "permessage-deflate; server_max_window_bits=10; server_max_window_bits=9",
                              "permessage-deflate; client_max_window_bits; client_max_window_bits",
                              "permessage-deflate; client_max_window_bits; client_max_window_bits=10",
                              "permessage-deflate; client_max_window_bits=10; client_max_window_bits=10",
                              "permessage-deflate; unknown",
                              "permessage-deflate; unknown=1",
                              "permessage-deflate; server_no_context_takeover; unknown",
                              "x-webkit-deflate-frame",
                              "permessage-bzip2",
                              "permessage",
                              "permessage-deflate2"}) {
        INFO(offer);
        CHECK(accepted(offer) == "declined");
        CHECK(negotiated({offer}) == "nothing");  // and the connection is made without
    }
}

TEST_CASE("extensions: the first offer of several that can be accepted", "[unit][websocket][extension]") {
    CHECK(negotiated({"permessage-deflate"}) == "permessage-deflate");
    CHECK(negotiated({"permessage-deflate; server_max_window_bits=10, permessage-deflate"}) ==
          "permessage-deflate; server_max_window_bits=10");
    CHECK(negotiated({"permessage-deflate; server_max_window_bits=7, permessage-deflate; client_max_window_bits=9"}) ==
          "permessage-deflate; client_max_window_bits=9");
    CHECK(negotiated({"permessage-deflate; unknown", "foo, permessage-deflate"}) == "permessage-deflate");
    CHECK(negotiated({"foo; bar=\"a\", permessage-deflate"}) == "permessage-deflate");
    CHECK(negotiated({"foo; bar=baz", "quux"}) == "nothing");
    // Whether the client named its window is a matter of the offer that was accepted, not of another.
    DeflatePolicy narrow;
    narrow.client_max_window_bits = 9;
    CHECK(negotiated({"permessage-deflate; client_max_window_bits; unknown, permessage-deflate"}, narrow) ==
          "permessage-deflate");
    CHECK(negotiated({"permessage-deflate, permessage-deflate; client_max_window_bits"}, narrow) ==
          "permessage-deflate");
    // Empty elements of a list don't count (RFC 9110, section 5.6.1).
    CHECK(negotiated({" , ,permessage-deflate,, "}) == "permessage-deflate");
    CHECK(negotiated({""}) == "nothing");
    // Without compression in the policy: never.
    CHECK(negotiated({"permessage-deflate"}, {}) == "nothing");
}

TEST_CASE("extensions: malformed lists refuse the handshake", "[unit][websocket][extension]") {
    for (const char* field :
         {"permessage-deflate;", "permessage-deflate; ,", "permessage-deflate; client_max_window_bits=\"10",
          "permessage-deflate; client_max_window_bits=\"10, permessage-deflate", "permessage-deflate; a=\"b\\\", c\\",
          ";", "=", "\"", "permessage-deflate, ;", "permessage-deflate foo",
          "permessage-deflate, foo; =", "permessage-deflate; client_max_window_bits=", "a=b"}) {
        INFO(field);
        CHECK(negotiated({field}) == "Sec-WebSocket-Extensions is malformed");
        CHECK(negotiated({field}, {}) == "Sec-WebSocket-Extensions is malformed");
        CHECK(negotiated({"permessage-deflate", field}) == "Sec-WebSocket-Extensions is malformed");
    }
}

TEST_CASE("extensions: reading takes time linear in the length", "[unit][websocket][extension]") {
    // Two million bytes: anything quadratic takes half an hour here. (The handshake itself allows for 8 KiB.)
    constexpr std::size_t many = 2'000'000;
    const std::string blanks(many, ' ');
    CHECK(parse_extension("foo;" + blanks + "bar" + blanks + "=" + blanks + "1" + blanks));
    CHECK_FALSE(parse_extension("foo; bar=" + blanks));
    CHECK_FALSE(parse_extension("foo; bar=\"" + blanks));
    CHECK_FALSE(parse_extension("foo; bar=\"" + std::string(many, '\\')));
    CHECK_FALSE(parse_extension(std::string(many, ';')));
    CHECK_FALSE(parse_extension(std::string(many, '"')));
    std::string parameters = "foo";
    std::string quoted = "foo";
    HttpHead head;
    std::string commas;
    std::string quotes;
    for (std::size_t i = 0; i < many / 8; ++i) {
        parameters += "; a \t= b";
        quoted += "; a=\"\\b\"";
        commas += "a , , ,";
        quotes += "\"\\\",\" ,";
    }
    const auto all = parse_extension(parameters);
    REQUIRE(all);
    CHECK(all->parameters.size() == many / 8);
    CHECK(parse_extension(quoted));
    head.fields = {{"list", commas}, {"list", quotes}, {"list", blanks}, {"list", "\"" + blanks}};
    CHECK(head.list("list").size() == many / 4 + 1);
}

TEST_CASE("extensions: the client's offer", "[unit][websocket][extension]") {
    DeflateOffer offer;
    CHECK(format_offer(offer) == "permessage-deflate; client_max_window_bits");
    offer.client_max_window_bits = 0;
    CHECK(format_offer(offer) == "permessage-deflate");
    offer.client_max_window_bits = 8;
    CHECK(format_offer(offer) == "permessage-deflate; client_max_window_bits=8");
    offer.server_max_window_bits = 15;
    offer.server_no_context_takeover = offer.client_no_context_takeover = true;
    CHECK(format_offer(offer) == both + "; server_max_window_bits=15; client_max_window_bits=8");
}

TEST_CASE("extensions: the client's check of the answer", "[unit][websocket][extension]") {
    // A server may ask for anything but the client's window unasked.
    const DeflateOffer bare{false, false, 0, 0};
    CHECK(checked("permessage-deflate", bare) == "15 15");
    CHECK(checked("permessage-deflate; server_no_context_takeover", bare) == "server_no 15 15");
    CHECK(checked("permessage-deflate; client_no_context_takeover", bare) == "client_no 15 15");
    CHECK(checked("permessage-deflate; server_max_window_bits=8", bare) == "8 15");
    CHECK(checked("permessage-deflate; server_max_window_bits=\"8\"", bare) == "8 15");
    CHECK(checked("permessage-deflate; client_max_window_bits=15", bare) == "declined");
    CHECK(checked("permessage-deflate; client_max_window_bits=8", bare) == "declined");

    // That it can do what the server says.
    const DeflateOffer able;
    CHECK(checked("permessage-deflate", able) == "15 15");
    CHECK(checked("permessage-deflate; client_max_window_bits=8", able) == "15 8");
    CHECK(checked("permessage-deflate; client_max_window_bits=15", able) == "15 15");
    CHECK(checked("permessage-deflate; client_max_window_bits", able) == "declined");

    // What it announced of itself holds without being confirmed, and can only become less.
    const DeflateOffer modest{false, true, 0, 10};
    CHECK(checked("permessage-deflate", modest) == "client_no 15 10");
    CHECK(checked("permessage-deflate; client_max_window_bits=10", modest) == "client_no 15 10");
    CHECK(checked("permessage-deflate; client_max_window_bits=9", modest) == "client_no 15 9");
    CHECK(checked("permessage-deflate; client_max_window_bits=11", modest) == "declined");

    // What it asked of the server has to be confirmed.
    const DeflateOffer demanding{true, false, 10, 15};
    CHECK(checked("permessage-deflate", demanding) == "declined");
    CHECK(checked("permessage-deflate; server_no_context_takeover", demanding) == "declined");
    CHECK(checked("permessage-deflate; server_max_window_bits=10", demanding) == "declined");
    CHECK(checked("permessage-deflate; server_no_context_takeover; server_max_window_bits=10", demanding) ==
          "server_no 10 15");
    CHECK(checked("permessage-deflate; server_no_context_takeover; server_max_window_bits=9", demanding) ==
          "server_no 9 15");
    CHECK(checked("permessage-deflate; server_no_context_takeover; server_max_window_bits=11", demanding) ==
          "declined");

    for (const char* answer :
         {"permessage-deflate; server_max_window_bits", "permessage-deflate; server_max_window_bits=7",
          "permessage-deflate; server_max_window_bits=16", "permessage-deflate; server_max_window_bits=08",
          "permessage-deflate; client_max_window_bits=abc", "permessage-deflate; server_no_context_takeover=1",
          "permessage-deflate; client_no_context_takeover; client_no_context_takeover",
          "permessage-deflate; server_max_window_bits=9; server_max_window_bits=9",
          "permessage-deflate; client_max_window_bits=9; client_max_window_bits=9", "permessage-deflate; unknown",
          "foo"}) {
        INFO(answer);
        CHECK(checked(answer) == "declined");
    }
}

TEST_CASE("extensions: our client understands our server, whatever each wants", "[unit][websocket][extension]") {
    const std::vector<int> offered_bits = {0, 8, 10, 15};
    const std::vector<int> policy_bits = {8, 10, 15};
    int agreements = 0;
    for (unsigned flags = 0; flags < 16; ++flags) {
        for (const int server_bits : offered_bits) {
            for (const int client_bits : offered_bits) {
                for (const int server_policy : policy_bits) {
                    for (const int client_policy : policy_bits) {
                        const DeflateOffer offer{(flags & 1U) != 0, (flags & 2U) != 0, server_bits, client_bits};
                        const DeflatePolicy policy{(flags & 4U) != 0, (flags & 8U) != 0, server_policy, client_policy};
                        const auto sent = parse_extension(format_offer(offer));
                        REQUIRE(sent);
                        std::string answer;
                        const auto servers = accept_offer(*sent, policy, answer);
                        INFO(format_offer(offer) << " | " << answer);
                        REQUIRE(servers);
                        const auto received = parse_extension(answer);
                        REQUIRE(received);
                        const auto clients = check_answer(*received, offer);
                        REQUIRE(clients);
                        CHECK(told(clients) == told(servers));
                        ++agreements;
                    }
                }
            }
        }
    }
    CHECK(agreements == 16 * 4 * 4 * 3 * 3);
}

TEST_CASE("websocket extension: an offer from the words of its reader", "[websocket][extension]") {
    const auto offered = [](std::string_view parameters) {
        const auto offer = parse_offer(parameters);
        return offer ? format_offer(*offer) : "wrong";
    };
    CHECK(offered("") == "permessage-deflate");
    CHECK(offered("  ") == "permessage-deflate");
    CHECK(offered("client_max_window_bits") == "permessage-deflate; client_max_window_bits");
    CHECK(offered("server_max_window_bits=8;client_max_window_bits=9") ==
          "permessage-deflate; server_max_window_bits=8; client_max_window_bits=9");
    CHECK(offered("client_no_context_takeover ; server_no_context_takeover") ==
          "permessage-deflate; server_no_context_takeover; client_no_context_takeover");
    for (const char* wrong :
         {"server_max_window_bits", "server_max_window_bits=7", "client_max_window_bits=16", "nix",
          "server_no_context_takeover=1", ";", "server_no_context_takeover; server_no_context_takeover",
          "x, permessage-deflate", "client_max_window_bits=9\r\nX: y"}) {
        INFO(wrong);
        CHECK(offered(wrong) == "wrong");
    }
}
