// udp/chat.hpp: whatever datagrams come from whomever, what is to be shown can do no harm to a terminal, is not much,
// and the list of those who are here does not grow beyond its bound.

#include "udp/chat.hpp"

#include "tests/fuzz/fuzz.hpp"

using namespace group_chat;
using fuzz::require;

FUZZ_TARGET(fuzz_group_chat) {
    FieldReader in({reinterpret_cast<const char*>(data), size});
    Room room("anna", 1);
    Time now{};
    std::size_t shown = 0, taken = 0;
    while (in.left() > 0) {
        // Each with who sends it, how long after the one before, and how long it is. The magic number is often right.
        const std::uint8_t from = in.u8(), after = in.u8();
        const std::uint16_t length = in.u16();
        std::string datagram(in.bytes(std::min<std::size_t>(length % 2048, in.left())));
        if ((from & 0x80U) != 0) datagram = FieldWriter().u32(magic).bytes(datagram).str();
        now += std::chrono::milliseconds(after);
        ++taken;
        std::vector<std::string> lines;
        if (const auto message = parse(datagram)) {
            require(to_bytes(*message) == datagram, "a message is not written as it was read");
            lines = room.hear("127.0.0.1:" + std::to_string(from & 7U), *message, now);
            require(lines.size() <= 4, "one message makes many lines");
        }
        if (after == 255) {
            const auto silent = room.notice_silence(std::chrono::seconds(1), now);
            lines.insert(lines.end(), silent.begin(), silent.end());
        }
        for (const std::string& line : lines) {
            require(line.size() < 5000, "a line without end");
            for (const char byte : line)
                require(static_cast<unsigned char>(byte) >= 0x20 && byte != '\x7f', "a line could command a terminal");
        }
        shown += lines.size();
        require(room.size() <= most_peers, "too many are here");
        require(room.size() <= taken && room.who().find("anna (you)") != std::string::npos, "who is here");
    }
    require(shown <= 4 * taken + most_peers, "more is shown than was sent");
    return 0;
}
