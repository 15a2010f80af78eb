// "FIN OPCODE PAYLOAD" (in hex) is a frame; what it leads to is the answer. "new" begins a new connection.

#include "tests/exercises/drivers/driver.hpp"
#include "websocket/exercises/codec.hpp"

int main() {
    Unfinished message;
    return driver::answer_lines([&](const std::string& line) -> std::string {
        const std::vector<std::string> words = driver::words_of(line);
        if (words.size() != 3) {
            message = Unfinished();
            return "new";
        }
        const Taken taken = take_frame(
            message, {words[0] == "1", static_cast<unsigned>(std::stoul(words[1])), driver::from_hex(words[2])});
        switch (taken.what) {
            case Taken::nothing:
                return "nothing";
            case Taken::message:
                return "message " + std::to_string(taken.opcode) + " " + driver::to_hex(taken.payload);
            case Taken::control:
                return "control " + std::to_string(taken.opcode) + " " + driver::to_hex(taken.payload);
            case Taken::fault:
                return "fault";
            case Taken::too_big:
                return "too big";
        }
        return "?";
    });
}
