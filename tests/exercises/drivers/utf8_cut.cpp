// "PIECE PIECE ...", in hex ("-" has no byte), is a text: "whole", "incomplete" or "bad at piece N" is the answer.
// "next PIECE ..." asks for each of the 256 bytes what the text becomes if it follows: w, i or b.

#include "tests/exercises/drivers/driver.hpp"
#include "websocket/exercises/codec.hpp"

namespace {

/// The piece that is bad, counted from 1; 0 if none is.
std::size_t feed(std::string& begun, const std::vector<std::string>& pieces) {
    for (std::size_t i = 0; i < pieces.size(); ++i) {
        const driver::Guarded piece(pieces[i]);
        if (!take_piece(begun, piece.view())) return i + 1;
    }
    return 0;
}

}  // namespace

int main() {
    return driver::answer_lines([](const std::string& line) -> std::string {
        std::vector<std::string> pieces;
        std::vector<std::string> words = driver::words_of(line);
        const bool next = !words.empty() && words[0] == "next";
        if (next) words.erase(words.begin());
        for (const std::string& word : words)
            pieces.push_back(driver::from_hex(word));
        std::string begun;
        if (!next) {
            const std::size_t bad = feed(begun, pieces);
            return bad > 0 ? "bad at piece " + std::to_string(bad) : begun.empty() ? "whole" : "incomplete";
        }
        std::string answer;
        pieces.emplace_back();
        for (int byte = 0; byte < 256; ++byte) {
            pieces.back() = std::string(1, static_cast<char>(byte));
            begun.clear();
            answer += feed(begun, pieces) > 0 ? 'b' : begun.empty() ? 'w' : 'i';
        }
        return answer;
    });
}
