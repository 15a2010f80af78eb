// "write FIN OPCODE MASKED LENGTH" is answered by the header in hex, "read HEX" by its size, FIN OPCODE MASKED LENGTH.

#include "tests/exercises/drivers/driver.hpp"
#include "websocket/exercises/codec.hpp"

int main() {
    return driver::answer_lines([](const std::string& line) -> std::string {
        const std::vector<std::string> words = driver::words_of(line);
        if (words.size() == 5 && words[0] == "write")
            return driver::to_hex(write_header({words[1] == "1", static_cast<unsigned>(std::stoul(words[2])),
                                                words[3] == "1", std::stoull(words[4])}));
        if (words.size() != 2 || words[0] != "read") return "?";
        const driver::Guarded bytes(driver::from_hex(words[1]));
        FrameHeader header;
        const int size = read_header(bytes.view(), header);
        if (size <= 0) return std::to_string(size);
        return std::to_string(size) + (header.fin ? " 1 " : " 0 ") + std::to_string(header.opcode) +
               (header.masked ? " 1 " : " 0 ") + std::to_string(header.length);
    });
}
