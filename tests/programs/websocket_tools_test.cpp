// accept_key and frames: what students check their homework with.

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"
#include "tests/support/wire.hpp"

#include <algorithm>
#include <set>

using wire::operator""_hex;

namespace {

std::string frames(const Process::Command& arguments, std::string_view input = "", int status = 0) {
    Process::Command command{program("websocket/frames")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run(command, input, status);
}

/// What `frames` says on standard error when it ends with this status: one line.
std::string complaint(const Process::Command& arguments, std::string_view input, int status) {
    Process::Command command{program("websocket/frames")};
    command.insert(command.end(), arguments.begin(), arguments.end());
    Process process(command);
    process.feed(input);
    process.close_input();
    process.expect_exit(status);
    const std::vector<std::string> lines = lines_of(process.err());
    return lines.size() == 1 ? lines[0] : "not one line: " + process.describe();
}

/// The lines with runs of blanks made one.
std::vector<std::string> told(const std::string& text) {
    std::vector<std::string> lines = lines_of(text);
    for (std::string& line : lines) {
        std::string narrow;
        for (const char c : line)
            if (c != ' ' || (!narrow.empty() && narrow.back() != ' ')) narrow += c;
        line = narrow;
    }
    return lines;
}

bool tells(const std::string& text, const std::string& line) {
    const std::vector<std::string> lines = told(text);
    return std::find(lines.begin(), lines.end(), line) != lines.end();
}

}  // namespace

// ---- accept_key

TEST_CASE("websocket tools: accept_key, step by step", "[programs][websocket]") {
    struct Example {
        std::string key, digest, accept;
    };
    for (const Example& example :
         {Example{"x3JJHMbDL1EzLkh9GBhXDw==", "1d 29 ab 73 4b 0c 95 85 24 00 69 a6 e4 e3 e9 1b 61 da 19 69",
                  "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
          // RFC 6455, section 1.3
          Example{"dGhlIHNhbXBsZSBub25jZQ==", "b3 7a 4f 2c c0 62 4f 16 90 f6 46 06 cf 38 59 45 b2 be c4 ea",
                  "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}}) {
        const std::string out = run({program("websocket/accept_key"), example.key});
        INFO(out);
        CHECK_THAT(out, ContainsSubstring(example.key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11\n"));
        CHECK_THAT(out, ContainsSubstring(example.digest));
        CHECK(lines_of(out).back() == "Sec-WebSocket-Accept: " + example.accept);
    }
}

TEST_CASE("websocket tools: accept_key refuses what is no key, in one line", "[programs][websocket]") {
    for (const std::string& key :
         {std::string(), std::string("abc"), std::string("x3JJHMbDL1EzLkh9GBhXDw="),
          std::string("x3JJHMbDL1EzLkh9GBhXDw"), std::string("x3JJHMbDL1EzLkh9GBhXD==="),
          std::string("x3JJHMbDL1EzLkh9GBhXDwAA"), std::string("x3JJHMbDL1EzLkh9GBhX"),
          std::string("x3JJHMbDL1EzLkh9GBhX_w=="), std::string("x3JJ HMbDL1EzLkh9GBhXDw=="),
          std::string("====x3JJHMbDL1EzLkh9GBhX"), std::string("\x1b[2J\n"), std::string(100'000, 'A')}) {
        INFO(wire::shown(key));
        Process process({program("websocket/accept_key"), key});
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
        CHECK(process.err().find('\x1b') == std::string::npos);
        CHECK(process.out().empty());
    }
    for (const Process::Command& arguments : {Process::Command{}, {"a", "b"}, {"--port", "1"}}) {
        Process::Command command{program("websocket/accept_key")};
        command.insert(command.end(), arguments.begin(), arguments.end());
        Process process(command);
        process.expect_exit(2);
        CHECK(lines_of(process.err()).size() == 1);
    }
}

// ---- frames builds

TEST_CASE("websocket tools: frames builds what RFC 6455, section 5.7, shows", "[programs][websocket]") {
    CHECK(frames({"--text", "Hello"}) == "81 05 48 65 6c 6c 6f\n");
    CHECK(frames({"--text", "Hello", "--mask", "37fa213d"}) == "81 85 37 fa 21 3d 7f 9f 4d 51 58\n");
    CHECK(frames({"--text", "Hel", "--no-fin"}) == "01 03 48 65 6c\n");
    CHECK(frames({"--continuation", "lo"}) == "80 02 6c 6f\n");
    CHECK(frames({"--ping", "Hello"}) == "89 05 48 65 6c 6c 6f\n");
    CHECK(frames({"--pong", "Hello", "--mask", "37 fa 21 3d"}) == "8a 85 37 fa 21 3d 7f 9f 4d 51 58\n");
}

TEST_CASE("websocket tools: frames builds every kind", "[programs][websocket]") {
    CHECK(frames({"--text", ""}) == "81 00\n");
    CHECK(frames({"--text", "한"}) == "81 03 ed 95 9c\n");
    CHECK(frames({"--binary", ""}) == "82 00\n");
    CHECK(frames({"--binary", "00 ff:0A,0b"}) == "82 04 00 ff 0a 0b\n");
    CHECK(frames({"--close", ""}) == "88 00\n");
    CHECK(frames({"--close", "1000"}) == "88 02 03 e8\n");
    CHECK(frames({"--close", "1000 bye now"}) == "88 09 03 e8 62 79 65 20 6e 6f 77\n");
    CHECK(frames({"--close", "1005"}) == "88 02 03 ed\n");  // also one that may not travel
    CHECK(frames({"--close", "65535"}) == "88 02 ff ff\n");
    CHECK(frames({"--text", "a", "--rsv1"}) == "c1 01 61\n");
    CHECK(frames({"--text", "a", "--rsv1", "--no-fin"}) == "41 01 61\n");
}

TEST_CASE("websocket tools: frames builds each form of length, and its raw bytes", "[programs][websocket]") {
    struct Form {
        size_t length;
        std::string header;
    };
    for (const Form& form : {Form{0, "8100"_hex}, Form{125, "817d"_hex}, Form{126, "817e007e"_hex},
                             Form{65535, "817effff"_hex}, Form{65536, "817f0000000000010000"_hex}}) {
        INFO(form.length);
        const std::string text(form.length, 'x');
        CHECK((frames({"--text", text, "--raw"}) == form.header + text));
    }
    CHECK(frames({"--text", "Hello", "--mask", "37fa213d", "--raw"}) == "81 85 37fa213d 7f9f4d5158"_hex);
}

TEST_CASE("websocket tools: a random mask is another each time", "[programs][websocket]") {
    std::set<std::string> keys;
    for (int i = 0; i < 8; ++i) {
        const std::string frame = frames({"--text", "Hello", "--mask", "random", "--raw"});
        REQUIRE(frame.size() == 11);
        CHECK(wire::frames_of(wire::Role::client, frame) == std::vector<std::string>{"81 Hello"});
        keys.insert(frame.substr(2, 4));
    }
    CHECK(keys.size() == 8);
}

TEST_CASE("websocket tools: frames judges its options", "[programs][websocket]") {
    const std::string one_of = "expected one of --text, --binary, --continuation, --ping, --pong and --close";
    CHECK(complaint({"--text", "a", "--ping", "b"}, "", 2) == one_of);
    CHECK(complaint({"--text", "", "--close", ""}, "", 2) == one_of);
    for (const Process::Command& arguments :
         {Process::Command{"--mask", "37fa213d"}, {"--rsv1"}, {"--no-fin"}, {"--no-fin", "--raw"}}) {
        CHECK_THAT(complaint(arguments, "81 00", 2), StartsWith("--mask, --no-fin and --rsv1"));
    }
    for (const std::string& mask : {std::string("37fa21"), std::string("37fa213d00"), std::string("37fa213"),
                                    std::string("zzzzzzzz"), std::string("Random"), std::string("\x1b[2J")}) {
        INFO(mask);
        CHECK(complaint({"--text", "a", "--mask", mask}, "", 2).find('\x1b') == std::string::npos);
    }
    for (const std::string& close : {std::string("65536"), std::string("-1"), std::string("bye"), std::string(" 1000"),
                                     std::string("1000bye"), std::string("+1000")}) {
        INFO(close);
        CHECK_THAT(complaint({"--close", close}, "", 2), StartsWith("--close "));
    }
    for (const std::string& hex : {std::string("0"), std::string("0x00"), std::string("0 0"), std::string("한")}) {
        INFO(hex);
        complaint({"--binary", hex}, "", 2);
    }
    CHECK_THAT(complaint({"--binary", "00 0g"}, "", 2), ContainsSubstring("'g'"));
    CHECK_THAT(complaint({"Hello"}, "", 2), ContainsSubstring("expected none"));
    CHECK_THAT(complaint({"--port", "1"}, "", 2), ContainsSubstring("--port"));
}

// ---- frames explains

TEST_CASE("websocket tools: frames explains a frame to the bit", "[programs][websocket]") {
    const std::vector<std::string> expected = {
        "frame: text frame, 5 bytes of payload",
        "81 1... .... FIN: the message ends with this frame",
        ".000 .... RSV1 to RSV3: 0, no extension uses them",
        ".... 0001 opcode 1: text (5.6)",
        "85 1... .... MASK: as every frame of a client (5.3)",
        ".000 0101 5: the length itself",
        "37 fa 21 3d masking key: byte i of the payload was XORed with byte i mod 4",
        "payload, masked 7f 9f 4d 51 58",
        "payload, unmasked 48 65 6c 6c 6f",
        "as text \"Hello\"",
    };
    CHECK(told(frames({}, "81 85 37 fa 21 3d 7f 9f 4d 51 58")) == expected);
    // However the digits are written, and raw.
    CHECK(told(frames({}, "8185 37FA213D\n7f:9f:4d,51,58\n")) == expected);
    CHECK(told(frames({"--raw"}, "818537fa213d7f9f4d5158"_hex)) == expected);
    CHECK(told(frames({"--raw"}, frames({"--text", "Hello", "--mask", "37fa213d", "--raw"}))) == expected);
}

TEST_CASE("websocket tools: frames explains several, one after the other", "[programs][websocket]") {
    const std::string text = frames({}, "01 03 48656c  89 00  80 02 6c6f  88 05 03e8 627965");
    INFO(text);
    CHECK(count_of(text, "frame: ") == 4);
    CHECK(tells(text, "frame: text frame, 3 bytes of payload"));
    CHECK(tells(text, "01 0... .... FIN 0: more fragments follow (5.4)"));
    CHECK(tells(text, "frame: ping frame, 0 bytes of payload"));
    CHECK(tells(text, "frame: continuation frame, 2 bytes of payload"));
    CHECK(tells(text, "frame: close frame, 5 bytes of payload"));
    CHECK(tells(text, "close code 1000 (normal closure), reason \"bye\" (7.4)"));
}

TEST_CASE("websocket tools: frames explains lengths of 16 and 64 bits", "[programs][websocket]") {
    const std::string medium = frames({"--raw"}, "827e0100"_hex + std::string(256, 'x'));
    CHECK(tells(medium, "7e 0... .... MASK 0: as every frame of a server (5.1)"));
    CHECK(tells(medium, ".111 1110 126: the next 16 bits are the length"));
    CHECK(tells(medium, "01 00 length 256, in network byte order"));
    const std::string large = frames({"--raw"}, wire::masked(0x82, std::string(100'000, 'x')));
    CHECK(tells(large, "frame: binary frame, 100000 bytes of payload"));
    CHECK(tells(large, ".111 1111 127: the next 64 bits are the length"));
    CHECK(tells(large, "00 00 00 00 00 01 86 a0 length 100000, in network byte order"));
    CHECK(large.size() < 3000);  // only the beginning of a long payload is shown
}

TEST_CASE("websocket tools: frames says what breaks the rules", "[programs][websocket]") {
    const auto says = [](const std::string& hex, const std::string& part) {
        INFO(hex);
        CHECK_THAT(frames({}, hex), ContainsSubstring(part));
    };
    says("c1 00", "RSV1: the message is compressed (RFC 7692, 6)");
    says("a1 00", "!! set, and no extension that we know uses them (5.2)");
    says("f1 00", "!! set, and no extension that we know uses them (5.2)");
    says("83 00", "opcode 3: reserved, !! which must fail the connection (5.2)");
    says("8f 00", "opcode F: reserved, !! which must fail the connection (5.2)");
    says("09 00", "!! a control frame must not be fragmented (5.5)");
    says("89 7e 007e" + wire::to_hex(std::string(126, 'x')), "!! a control frame has at most 125 bytes (5.5)");
    says("88 01 03", "!! the payload of a Close frame begins with two bytes of code (5.5.1)");
    says("88 02 03ed", "!! this code must not travel (7.4)");
    says("88 82 01020304 02ef", "!! this code must not travel (7.4)");
    says("88 04 03e8 c328", "!! the reason is not UTF-8 (5.5.1)");
    says("81 02 c328", "!! a text message must be UTF-8 (8.1)");
    says("c9 00", "RSV1: !! set where no message begins (RFC 7692, 6)");
    says("c0 00", "RSV1: !! set where no message begins (RFC 7692, 6)");
    for (const char* good :
         {"01 01 ea", "80 01 9c", "82 01 ff", "c1 01 ff", "88 00", "88 02 03e8", "88 05 03e8 ea b0 80"})
        CHECK_THAT(run({program("websocket/frames")}, good), !ContainsSubstring("!!"));
    says("88 02 03ed", "1005 (no code was sent; must not travel)");
    says("88 02 03ee", "1006 (no Close frame was sent; must not travel)");
    says("88 02 03f7", "1015 (TLS failed; must not travel)");
    says("88 02 0000", "0 (must not travel)");
    says("88 02 0fa0", "4000 (private use)");

    // Behind these no frame can be found any more.
    const auto gives_up = [](const std::string& hex, const std::string& part) {
        INFO(hex);
        Process process({program("websocket/frames")});
        process.feed("89 00" + hex + "89 00");
        process.close_input();
        process.expect_exit(1);
        CHECK_THAT(process.out(), ContainsSubstring(part));
        CHECK(count_of(process.out(), "ping frame") == 1);
        CHECK(process.err() == "frame: a header is wrong\n");
    };
    gives_up("81 7e 0005", "!! the length is not in its shortest form (5.2)");
    gives_up("81 7f 000000000000ffff", "!! the length is not in its shortest form (5.2)");
    gives_up("81 ff 8000000000000000", "!! the length has its top bit set (5.2)");
}

TEST_CASE("websocket tools: frames prints nothing that could command a terminal", "[programs][websocket]") {
    for (const std::string& first :
         {std::string("\x81"), std::string("\x82"), std::string("\x89"), std::string("\x88")}) {
        const std::string text = frames({"--raw"}, first +
                                                       "\x0a\x03\xe8\x1b[2J\x07\xc2\x9b"
                                                       "6");
        INFO(text);
        CHECK(std::none_of(text.begin(), text.end(), [](char c) { return c != '\n' && (c < 0x20 || c == 0x7F); }));
    }
}

TEST_CASE("websocket tools: frames is given no frames, or half of one", "[programs][websocket]") {
    CHECK(complaint({}, "", 1) == "no frame on standard input");
    CHECK(complaint({}, " \n", 1) == "no frame on standard input");
    CHECK(complaint({"--raw"}, "", 1) == "no frame on standard input");
    CHECK(complaint({}, "81", 1) == "frame: the header is not whole: 81");
    CHECK(complaint({}, "89 fe 00 7e", 1) == "frame: the header is not whole: 89 fe 00 7e");
    CHECK(complaint({}, "81 05 48 65", 1) == "frame: 3 bytes of the payload are missing");
    CHECK(complaint({}, "81 7f 7fffffffffffffff 48", 1) ==
          "frame: 9223372036854775806 bytes of the payload are missing");
    for (const std::string& input : {std::string("8"), std::string("81 0"), std::string("hello"),
                                     std::string("81 05 zz"), std::string("\x81\x05Hello"), std::string("0x81 0x00")}) {
        INFO(wire::shown(input));
        CHECK(complaint({}, input, 2).find_first_of("\x1b\x81") == std::string::npos);
    }
    // What is whole is told nevertheless.
    Process process({program("websocket/frames")});
    process.feed("89 00 81 05 48");
    process.close_input();
    process.expect_exit(1);
    CHECK_THAT(process.out(), StartsWith("frame: ping frame, 0 bytes of payload"));
    CHECK(process.err() == "frame: 4 bytes of the payload are missing\n");
}

TEST_CASE("websocket tools: frames reads what can't be read", "[programs][websocket]") {
    Process process({program("websocket/frames")}, {.input_file = "/"});
    process.expect_exit(1);
    CHECK(lines_of(process.err()).size() == 1);
    CHECK_THAT(process.err(), ContainsSubstring("(EISDIR)"));
}
