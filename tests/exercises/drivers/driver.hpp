#pragma once
// What makes programs of the functions that are exercises: a question in a line of standard input, the answer in a line
// of standard output. What the function prints itself goes to standard error.

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include <sys/mman.h>
#include <unistd.h>

namespace driver {

/// "4869" as bytes; "-" as none.
inline std::string from_hex(std::string_view digits) {
    std::string bytes;
    for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
        bytes += static_cast<char>(std::stoi(std::string(digits.substr(i, 2)), nullptr, 16));
    return bytes;
}

inline std::string to_hex(std::string_view bytes) {
    std::string digits;
    for (const char c : bytes) {
        digits += "0123456789abcdef"[static_cast<unsigned char>(c) >> 4U];
        digits += "0123456789abcdef"[static_cast<unsigned char>(c) & 15U];
    }
    return digits.empty() ? "-" : digits;
}

inline std::vector<std::string> words_of(const std::string& line) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    return words;
}

/// Bytes behind which no memory is: to touch what follows them is a crash, and no luck.
class Guarded {
public:
    explicit Guarded(std::string_view bytes) : count_(bytes.size()) {
        const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
        const std::size_t room = (bytes.size() + page - 1) / page * page;
        size_ = room + page;
        start_ = static_cast<char*>(mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0));
        if (start_ == MAP_FAILED || mprotect(start_ + room, page, PROT_NONE) == -1) std::abort();
        data_ = start_ + room - bytes.size();
        if (!bytes.empty()) std::memcpy(data_, bytes.data(), bytes.size());
    }
    ~Guarded() { munmap(start_, size_); }
    Guarded(const Guarded&) = delete;
    Guarded& operator=(const Guarded&) = delete;

    char* data() { return data_; }
    std::string_view view() const { return {data_, count_}; }

private:
    char* start_;
    char* data_;
    std::size_t size_ = 0, count_;
};

/// Answers until standard input ends.
inline int answer_lines(const std::function<std::string(const std::string& line)>& answer) {
    const int out = dup(STDOUT_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    for (std::string line; std::getline(std::cin, line);) {
        const std::string text = answer(line) + "\n";
        std::string_view left = text;
        while (!left.empty()) {
            const ssize_t written = write(out, left.data(), left.size());
            if (written <= 0) return 1;
            left.remove_prefix(static_cast<std::size_t>(written));
        }
    }
    return 0;
}

}  // namespace driver
