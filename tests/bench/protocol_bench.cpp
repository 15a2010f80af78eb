// What the protocol layer costs by itself, with no kernel in it: unmasking and UTF-8 checking beside memcpy, in GB/s,
// and a small echo in nanoseconds a message. Each figure is the best of several runs, since everything that disturbs a
// run only makes it slower.

#include "websocket/protocol/connection.hpp"
#include "websocket/protocol/utf8.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

namespace {

using namespace websocket;
using Clock = std::chrono::steady_clock;

/// The best time of one call, in seconds.
template <typename Work>
double best(Work work) {
    double shortest = 1e9;
    for (int run = 0; run < 20; ++run) {
        const auto began = Clock::now();
        int calls = 0;
        double spent = 0;
        for (; spent < 0.01; ++calls) {
            work();
            spent = std::chrono::duration<double>(Clock::now() - began).count();
        }
        shortest = std::min(shortest, spent / calls);
    }
    return shortest;
}

std::string repeat(const std::string& text, std::size_t size) {
    std::string all;
    while (all.size() + text.size() <= size)
        all += text;
    return all;
}

volatile bool sink;

void throughput(std::size_t size) {
    std::string bytes = repeat("x", size);
    std::string target(size, '\0');
    const MaskingKey key{0x37, 0xFA, 0x21, 0x3D};
    const double copy = best([&] {
        std::memcpy(target.data(), bytes.data(), size);
        sink = target[size / 2] == 'x';
    });
    const double mask = best([&] { apply_mask(bytes.data(), size, key); });
    const auto line = [&](const char* what, double seconds) {
        fmt::print("{:>8} B  {:<22} {:7.1f} GB/s   {:5.2f} of memcpy\n", size, what,
                   static_cast<double>(size) / seconds / 1e9, copy / seconds);
    };
    line("memcpy", copy);
    line("unmasking", mask);
    for (const auto& [name, unit] : {std::pair<const char*, std::string>{"UTF-8, ASCII", "The quick brown fox. "},
                                     {"UTF-8, Korean", "소켓으로배우는통신"},
                                     {"UTF-8, Korean and ASCII", "소켓으로 배우는 통신, TCP. "},
                                     {"UTF-8, emoji", "😀😂🙏🚀"}}) {
        const std::string text = repeat(unit, size);
        line(name, best([&] { sink = is_utf8(text); }) * static_cast<double>(size) / static_cast<double>(text.size()));
    }
}

void echo(std::size_t size, std::size_t messages, Opcode opcode, bool in_few_steps) {
    Buffer frames;
    Connection client(Role::client, frames);
    const std::string payload(size, 'x');
    for (std::size_t i = 0; i < messages; ++i)
        client.send(opcode, payload);
    Buffer input;
    Buffer output;
    Connection server(Role::server, output);
    const auto copy_in = [&] {
        input.clear();
        input.append(frames.view());
    };
    const double copying = best(copy_in);
    const double all = best([&] {
        copy_in();
        output.clear();
        server.receive(input.data(), input.size());
        if (in_few_steps) server.return_short_messages();
        while (const auto event = server.next())
            server.send(event->opcode, event->payload);
    });
    fmt::print("{:>8} B  echo of {:<6} messages  {:7.1f} ns a message, by {}\n", size, opcode_name(opcode),
               (all - copying) / static_cast<double>(messages) * 1e9,
               in_few_steps ? "return_short_messages()" : "next() and send()");
}

}  // namespace

int main() {
    for (const std::size_t size : {std::size_t{125}, std::size_t{16384}, std::size_t{1} << 20U})
        throughput(size);
    for (const std::size_t size : {std::size_t{20}, std::size_t{125}}) {
        for (const Opcode opcode : {Opcode::text, Opcode::binary}) {
            echo(size, 64, opcode, false);
            echo(size, 64, opcode, true);
        }
    }
}
