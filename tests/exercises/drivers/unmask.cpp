// "KEY PIECE PIECE ...", in hex ("-" has no byte): the pieces of one payload, each unmasked, are the answer.

#include "tests/exercises/drivers/driver.hpp"
#include "websocket/exercises/codec.hpp"

int main() {
    return driver::answer_lines([](const std::string& line) {
        const std::vector<std::string> words = driver::words_of(line);
        std::string answer;
        Mask mask;
        for (std::size_t i = 0; i < words.size(); ++i) {
            driver::Guarded bytes(driver::from_hex(words[i]));
            if (i == 0) {
                std::memcpy(mask.key.data(), bytes.data(), std::min(mask.key.size(), bytes.view().size()));
            } else {
                unmask(mask, bytes.data(), bytes.view().size());
                answer += (i > 1 ? " " : "") + driver::to_hex(bytes.view());
            }
        }
        return answer;
    });
}
