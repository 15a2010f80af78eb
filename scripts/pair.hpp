#pragma once
// A pair by its name, as scripts/pairs knows it.

#include "scripts/wire_run.hpp"

#include <array>
#include <memory>

namespace diagram {

inline Words words_of(const std::string& text) {
    std::istringstream stream(text);
    Words words;
    for (std::string word; stream >> word;)
        words.push_back(word);
    return words;
}

/// Folders, from where a program of scripts/ is: ROOT/BUILD/scripts/wire. The script of its name says where ROOT is.
inline std::string root_folder() {
    const char* root = std::getenv("TWO_TERMINALS_ROOT");
    return std::filesystem::absolute(root != nullptr ? root : ".").lexically_normal().string();
}

inline std::string build_folder(const char* program) {
    return std::filesystem::absolute(program).lexically_normal().parent_path().parent_path().string();
}

/// What scripts/pairs says of it. Throws UsageError if there is no such pair, std::runtime_error if it is not built.
inline void find_pair(const std::string& pair, Plan& plan) {
    const auto close_it = [](FILE* file) { pclose(file); };
    const char* script = "exec \"${TWO_TERMINALS_ROOT:-.}\"/scripts/pairs";
    // NOLINTNEXTLINE(cert-env33-c): nothing in it comes from outside
    const std::unique_ptr<FILE, decltype(close_it)> pairs(popen(script, "r"), close_it);
    if (!pairs) throw std::runtime_error("scripts/pairs: " + describe_error(errno));
    std::string all, names;
    std::array<char, 4096> piece{};
    for (std::size_t count; (count = fread(piece.data(), 1, piece.size(), pairs.get())) > 0;)
        all.append(piece.data(), count);
    std::istringstream lines(all);
    for (std::string name, server, client;
         std::getline(lines, name, '\t') && std::getline(lines, server, '\t') && std::getline(lines, client);) {
        names += (names.empty() ? "" : ", ") + name;
        if (name != pair) continue;
        plan.server = words_of(server);
        plan.client = words_of(client);
    }
    if (plan.server.empty()) throw UsageError(fmt::format("there is no pair {}; there are: {}", escaped(pair), names));
    for (const std::string& name : {plan.server.front(), plan.client.front()})
        if (access((plan.build + "/" + name).c_str(), X_OK) != 0)
            throw std::runtime_error(fmt::format("{}/{} is not built; run: make", plan.build, name));
}

}  // namespace diagram
