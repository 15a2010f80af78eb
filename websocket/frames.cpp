// Frames by hand: explains those on standard input, or builds one from options. For checking homework by pipe.
//
//     echo 81 85 37 fa 21 3d 7f 9f 4d 51 58 | build/websocket/frames
//     build/websocket/frames --text Hello --mask 37fa213d
//     build/websocket/frames --text Hello --mask 37fa213d --raw | build/websocket/frames --raw
//
// What is read and written is hexadecimal, or with --raw the bytes themselves.

#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/frame.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <optional>
#include <stdexcept>

#include <unistd.h>

namespace {

using namespace websocket;

struct Wanted {
    std::optional<std::string> text, binary, ping, pong, close, continuation;  // the payload of the frame to be built
    std::string mask;                                                          // eight hexadecimal digits, or "random"
    bool no_fin = false;
    bool rsv1 = false;
    bool raw = false;
};

/// A Close frame's payload from "1000 good bye" (RFC 6455, section 5.5.1); any code, also one that may not travel.
std::string close_payload(const std::string& text) {
    if (text.empty()) return "";
    const size_t blank = std::min(text.find(' '), text.size());
    const long code = parse_number(text.substr(0, blank), 0, 65535, "--close");
    std::string payload{static_cast<char>(code >> 8U & 0xFF), static_cast<char>(code & 0xFF)};
    return payload + (blank < text.size() ? text.substr(blank + 1) : "");
}

/// The frame that the options ask for, or "" if they ask for none.
std::string build(const Wanted& wanted) {
    FrameHeader header;
    std::string payload;
    int asked = 0;
    const auto choose = [&](const std::optional<std::string>& value, Opcode opcode, auto make) {
        if (!value) return;
        ++asked;
        header.opcode = opcode;
        payload = make(*value);
    };
    const auto as_it_is = [](const std::string& value) { return value; };
    choose(wanted.text, Opcode::text, as_it_is);
    choose(wanted.continuation, Opcode::continuation, as_it_is);
    choose(wanted.ping, Opcode::ping, as_it_is);
    choose(wanted.pong, Opcode::pong, as_it_is);
    choose(wanted.binary, Opcode::binary, [](const std::string& value) { return bytes_of_hex(value); });
    choose(wanted.close, Opcode::close, close_payload);
    if (asked > 1) throw UsageError("expected one of --text, --binary, --continuation, --ping, --pong and --close");
    if (asked == 0 && (!wanted.mask.empty() || wanted.no_fin || wanted.rsv1))
        throw UsageError("--mask, --no-fin and --rsv1 are for a frame to be built; see --help");
    if (asked == 0) return "";

    header.fin = !wanted.no_fin;
    header.rsv1 = wanted.rsv1;
    header.length = payload.size();
    header.masked = !wanted.mask.empty();
    if (wanted.mask == "random") {
        header.key = fresh_key();
    } else if (header.masked) {
        const std::string key = bytes_of_hex(wanted.mask);
        if (key.size() != header.key.size())
            throw UsageError("--mask: expected four bytes in hexadecimal, or 'random'");
        std::copy(key.begin(), key.end(), header.key.begin());
    }
    if (header.masked) apply_mask(payload.data(), payload.size(), header.key);
    char head[most_header_bytes];
    return std::string(head, write_header(header, head)) + payload;
}

std::string read_all() {
    std::string all;
    char buffer[65536];
    while (const ssize_t count = CALL(read(STDIN_FILENO, buffer, sizeof buffer)))
        all.append(buffer, static_cast<size_t>(count));
    return all;
}

}  // namespace

int main(int argc, char** argv) try {
    Wanted wanted;
    parse_options(argc, argv,
                  {.summary = "Explains the WebSocket frames on standard input, or builds one.",
                   .endpoint = Endpoint::none,
                   .more = {{"text", "TEXT", "build a text frame", &wanted.text},
                            {"binary", "HEX", "build a binary frame", &wanted.binary},
                            {"continuation", "TEXT", "build a further fragment", &wanted.continuation},
                            {"ping", "TEXT", "build a ping", &wanted.ping},
                            {"pong", "TEXT", "build a pong", &wanted.pong},
                            {"close", "CODE REASON", "build a Close frame; '' for one without a code", &wanted.close},
                            {"mask", "HEX", "mask it, with this key or a 'random' one", &wanted.mask},
                            {"no-fin", nullptr, "leave FIN out: more fragments are to follow", &wanted.no_fin},
                            {"rsv1", nullptr, "set RSV1", &wanted.rsv1},
                            {"raw", nullptr, "read and write bytes, not hexadecimal", &wanted.raw}}});
    const std::string frame = build(wanted);
    if (!frame.empty()) {
        write_all(STDOUT_FILENO, wanted.raw ? frame : hex(frame) + "\n");
        return 0;
    }
    const std::string input = read_all();
    FrameTeller teller("frame");
    const std::string text = teller.take(wanted.raw ? input : bytes_of_hex(input));
    write_all(STDOUT_FILENO, text);
    if (!teller.end().empty()) throw std::runtime_error(teller.end());
    if (text.empty()) throw std::runtime_error("no frame on standard input");
} catch (const std::invalid_argument& error) {
    return report_failure(UsageError(error.what()));
} catch (const std::exception& error) {
    return report_failure(error);
}
