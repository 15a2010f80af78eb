// Sec-WebSocket-Key in a line; Sec-WebSocket-Accept is the answer.

#include "tests/exercises/drivers/driver.hpp"
#include "websocket/exercises/codec.hpp"

int main() {
    return driver::answer_lines([](const std::string& line) {
        std::string answer = accept_key(line);
        // The answer is one line whatever it is: what does not belong there is made visible.
        for (std::size_t i = 0; i < answer.size(); ++i)
            if (answer[i] < ' ' || answer[i] > '~') answer.replace(i, 1, "\\x" + driver::to_hex(answer.substr(i, 1)));
        return answer;
    });
}
