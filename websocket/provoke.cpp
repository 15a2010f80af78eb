// Bad frames on purpose: sends a WebSocket server what no browser would, and says whether it answers as RFC 6455
// demands.
//
//     terminal 1:  build/websocket/echo_server                          (or a server of your own)
//     terminal 2:  build/websocket/provoke 127.0.0.1:7000 unmasked      one case: the bytes, the answer, the verdict
//                  build/websocket/provoke 127.0.0.1:7000 all           all of them, one in a line
//                  build/websocket/provoke --list
//
// The cases are a table: websocket/protocol/provocation.cpp. Add one of your own. The exit status is 0 if the server
// did what the RFC demands, and 1 with a line if it did not. Only ask a server that is yours.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/stream.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/provocation.hpp"
#include "websocket/provoking.hpp"

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;

struct Server {
    std::string name;  // as it was given: what stands in Host
    std::string path = "/";
    std::vector<Address> addresses;
    long seconds = 3;
};

void print(const std::string& text) { write_all(STDOUT_FILENO, text); }

void list_cases() {
    for (const Provocation& it : provocations())
        print(fmt::format("{:<21} {:<50} {}\n", it.name, it.what, place_text(it)));
}

/// Sixteen bytes in a line, in hexadecimal and as text.
std::string dump(const char* title, std::string_view bytes) {
    std::string text;
    for (std::size_t begin = 0; begin < bytes.size(); begin += 16) {
        const std::string_view piece = bytes.substr(begin, 16);
        std::string plain(piece);
        std::replace_if(
            plain.begin(), plain.end(), [](char c) { return c < ' ' || c > '~'; }, '.');
        text += fmt::format("{:<9}{:<47}  {}\n", begin == 0 ? title : "", hex(piece), plain);
    }
    return text;
}

struct Answer {
    Reaction reaction;
    Judgement judgement;
};

Answer ask(const Server& server, const Provocation& it) {
    Reaction reaction = provoke(server.addresses, provoking_request(it, server.name, server.path), it,
                                std::chrono::seconds(server.seconds));
    if (*it.bytes != '\0' && !reaction.upgraded()) {
        throw std::runtime_error(
            fmt::format("{} did not accept a good handshake: {}", escaped(server.name), reaction.lines().front()));
    }
    const Judgement judgement = judge(it, reaction);
    return {std::move(reaction), judgement};
}

void ask_one(const Server& server, const Provocation& it) {
    print(fmt::format("{}: {}\n", it.name, it.what));
    print(*it.bytes == '\0' ? dump("sent", provoking_request(it, server.name, server.path))
                            : dump("sent", provoking_bytes(it)));
    print(fmt::format("{:<9}{} ({})\n", "RFC", demand_text(it), place_text(it)));
    const Answer answer = ask(server, it);
    const char* title = "answer";
    for (const std::string& line : answer.reaction.lines()) {
        print(fmt::format("{:<9}{}\n", title, line));
        title = "";
    }
    print(fmt::format("{:<9}{}: {}\n", "verdict", verdict_name(answer.judgement.verdict), answer.judgement.why));
    if (answer.judgement.verdict == Verdict::wrong)
        throw std::runtime_error(fmt::format("{}: not as RFC 6455 demands: {}", it.name, answer.judgement.why));
}

void ask_all(const Server& server) {
    print(fmt::format("{:<21} {:<24} {:<16} {}\n", "case", "answer", "verdict", "where"));
    std::string wrong;
    std::size_t count = 0;
    for (const Provocation& it : provocations()) {
        const Answer answer = ask(server, it);
        print(fmt::format("{:<21} {:<24} {:<16} {}\n", it.name, answer.reaction.brief(),
                          verdict_name(answer.judgement.verdict), place_text(it)));
        if (answer.judgement.verdict != Verdict::wrong) continue;
        ++count;
        wrong += fmt::format("{}{}", wrong.empty() ? "" : ", ", it.name);
    }
    if (count > 0) {
        throw std::runtime_error(
            fmt::format("{} of {} cases not answered as demanded: {}", count, provocations().size(), wrong));
    }
}

}  // namespace

int main(int argc, char** argv) try {
    Server server;
    bool list = false;
    // With --list there is nobody to be asked.
    const bool alone =
        std::any_of(argv + 1, argv + argc, [](const char* one) { return std::string_view(one) == "--list"; });
    const Options options = parse_options(
        argc, argv,
        {.summary = "Sends a WebSocket server bad frames on purpose, and judges its answers.",
         .endpoint = Endpoint::none,
         .more = {{"list", nullptr, "print the cases, and ask nobody", &list},
                  {"resource", "PATH", "that the request asks for", &server.path},
                  {"timeout", "SECONDS", "how long to wait for an answer", &server.seconds, 1, 600}},
         .arguments = alone ? std::vector<const char*>{} : std::vector<const char*>{"HOST:PORT", "CASE"}});
    if (list) {
        list_cases();
        return 0;
    }
    server.name = options.arguments[0];
    const std::string& wanted = options.arguments[1];
    const Provocation* const one = find_provocation(wanted);
    if (one == nullptr && wanted != "all")
        throw UsageError(fmt::format("no case '{}': see --list, or 'all'", escaped(wanted)));
    if (!is_resource(server.path)) throw UsageError("--resource: expected / and no blanks");
    server.addresses = resolve_target(server.name, "HOST:PORT", SOCK_STREAM);
    if (one != nullptr) {
        ask_one(server, *one);
    } else {
        ask_all(server);
    }
} catch (const std::exception& error) {
    return report_failure(error);
}
