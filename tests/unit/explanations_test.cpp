#include "common/explanations.hpp"

#include "common/narrator.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/text.hpp"

#include <cstring>
#include <map>
#include <string>
#include <vector>

namespace {

/// The calls that a source file makes with CALL or TRY, by name.
std::vector<std::string> calls_in(const std::string& path) {
    std::vector<std::string> names;
    for (std::string line : lines_of(read_file(path))) {
        line = line.substr(0, line.find("//"));
        for (const char* macro : {"CALL(", "TRY("}) {
            for (size_t at = line.find(macro); at != std::string::npos; at = line.find(macro, at + 1)) {
                const bool is_word =
                    at > 0 && (std::isalnum(static_cast<unsigned char>(line[at - 1])) != 0 || line[at - 1] == '_');
                if (is_word) continue;
                const std::string text = line.substr(at + std::strlen(macro));
                names.push_back(narrator::name_of({text.c_str(), path.c_str(), 0}));
            }
        }
    }
    return names;
}

}  // namespace

TEST_CASE("explanations: every call that a program makes has one, in both languages", "[unit][explanations]") {
    std::map<std::string, std::string> places;  // of each call, one
    for (const char* chapter : {"tcp", "udp", "unix", "websocket", "common"}) {
        for (const char* folder : {"", "/exercises", "/exercises/solutions"}) {
            for (const std::string& path : files_in(std::string(chapter) + folder, ".cpp")) {
                for (const std::string& name : calls_in(path))
                    places[name] = path;
            }
        }
    }
    CHECK(places.size() > 10);
    CHECK(places.count("socket") == 1);
    CHECK(places.count("recvfrom") == 1);
    for (const auto& [name, path] : places) {
        INFO(name << " in " << path);
        const Explanation* found = find_explanation(name);
        CHECK(found != nullptr);
        if (found == nullptr) continue;
        CHECK(found->call == name);
        CHECK(std::strlen(found->english) > 20);
        CHECK_FALSE(has_hangul(found->english));
        CHECK(has_hangul(found->korean));
    }
}

TEST_CASE("explanations: none of what is no call", "[unit][explanations]") {
    CHECK(find_explanation("") == nullptr);
    CHECK(find_explanation("soc") == nullptr);
    CHECK(find_explanation("sockets") == nullptr);
}
