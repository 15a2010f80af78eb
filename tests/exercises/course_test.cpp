// The graders are graded: every skeleton is refused, every solution passes, and every wrong answer is refused for the
// right reason. A wrong answer is a patch of the solution, tests/exercises/wrong/NAME/WHAT.patch, that begins with a
// line "diagnosis: ID"; or a program that is no answer to anything, tests/exercises/wrong/WHAT.cpp.

#include "tests/exercises/exercise.hpp"

#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/parallel.hpp"
#include "tests/support/skip.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <set>

#include <unistd.h>

namespace {

using exercise::Exercise;
using exercise::Grading;

std::string source_of(const Exercise& it, const std::string& folder = "") {
    return fmt::format("{}/exercises/{}{}.cpp", it.chapter, folder, it.name);
}

/// "diagnosis: one-recv" in a file's first line, or behind "// ".
std::string diagnosis_in(const std::string& path) {
    const std::string line = lines_of(read_file(path)).at(0), mark = "diagnosis: ";
    const std::size_t at = line.find(mark);
    if (at == std::string::npos) throw Unexpected(path + ": its first line has no \"diagnosis: ID\"");
    return line.substr(at + mark.size());
}

/// Grades a program; throws unless it is refused with this diagnosis. Most wrong answers are refused because they let a
/// wait pass, so waits are short at first; where the machine was too slow for that, the next ones are longer.
void must_be_refused(const Exercise& it, const std::string& binary, const std::string& diagnosis) {
    for (const int limit : {1000, 5000, 20'000}) {
        Grading grading(program(binary), Milliseconds(is_sanitized() ? 2 * limit : limit));
        if (passes(it, grading)) throw Unexpected(binary + " passes\n" + grading.report());
        if (grading.diagnosis()->id == diagnosis) return;
        if (limit == 20'000)
            throw Unexpected(fmt::format("{}: expected the diagnosis {}, got {}\n{}", binary, diagnosis,
                                         grading.diagnosis()->id, grading.report()));
    }
}

bool has_driver(const Exercise& it) {
    return access(fmt::format("tests/exercises/drivers/{}.cpp", it.name).c_str(), R_OK) == 0;
}

bool is_here([[maybe_unused]] const Exercise& it) {
#ifdef __linux__
    return true;
#else
    return !it.linux_only;
#endif
}

/// Does everything, and says what went wrong.
std::string all_of(const std::function<void(const Exercise&, std::vector<Task>&)>& add) {
    std::vector<Task> tasks;
    for (const Exercise& it : exercise::course())
        if (is_here(it)) add(it, tasks);
    REQUIRE_FALSE(tasks.empty());
    return run_in_parallel(tasks);
}

}  // namespace

TEST_CASE("exercises: every solution passes", "[exercises]") {
    const std::string failures = all_of([](const Exercise& it, std::vector<Task>& tasks) {
        tasks.push_back({it.name, [&it] {
                             Grading grading(program(fmt::format("{}/exercises/solutions/{}", it.chapter, it.name)),
                                             patience);
                             if (!passes(it, grading)) throw Unexpected(grading.report());
                         }});
    });
    fmt::print(stderr, "{}", failures);
    CHECK(failures.empty());
}

TEST_CASE("exercises: every skeleton is refused, and told why", "[exercises]") {
    Process git({"git", "diff", "--name-only", "HEAD"});
    git.wait();
    const std::string failures = all_of([&](const Exercise& it, std::vector<Task>& tasks) {
        if (!lines_with(git.out(), source_of(it)).empty()) return skip(source_of(it) + " is a reader's own work");
        tasks.push_back({it.name, [&it] {
                             must_be_refused(it, fmt::format("{}/exercises/{}", it.chapter, it.name),
                                             diagnosis_in(fmt::format("tests/exercises/wrong/{}/skeleton", it.name)));
                         }});
    });
    fmt::print(stderr, "{}", failures);
    CHECK(failures.empty());
}

TEST_CASE("exercises: every wrong answer is refused, for the right reason", "[exercises]") {
    if (is_sanitized()) return skip("some are wrong by what sanitizers end a program for");
    const std::string failures = all_of([](const Exercise& it, std::vector<Task>& tasks) {
        const std::string folder = fmt::format("tests/exercises/wrong/{}", it.name);
        const std::vector<std::string> patches = files_in(folder, ".patch");
        // A codec has no program that is no answer to anything: it needs its own empty, looping and crashing ones.
        if (patches.size() < (has_driver(it) ? 4U : 2U)) throw Unexpected(folder + ": too few wrong answers");
        for (const std::string& patch : patches) {
            const std::string name = patch.substr(folder.size() + 1, patch.size() - folder.size() - 7);
            tasks.push_back({fmt::format("{}/{}", it.name, name), [&it, patch, name] {
                                 must_be_refused(it, fmt::format("exercises/wrong/{}/{}", it.name, name),
                                                 diagnosis_in(patch));
                             }});
        }
        if (has_driver(it)) return;
        for (const std::string& source : files_in("tests/exercises/wrong", ".cpp")) {
            const std::string name = source.substr(source.rfind('/') + 1, source.size() - source.rfind('/') - 5);
            tasks.push_back({fmt::format("{}/{}", it.name, name), [&it, name] {
                                 // What loops for ever does nothing else, however long it may.
                                 const Milliseconds limit(name == "loops" ? 200 : 1000);
                                 Grading grading(program("exercises/wrong/" + name), limit);
                                 if (passes(it, grading)) throw Unexpected("passes\n" + grading.report());
                             }});
        }
    });
    fmt::print(stderr, "{}", failures);
    CHECK(failures.empty());
}

TEST_CASE("exercises: each has its texts in both languages, and its files", "[exercises]") {
    std::set<std::string> names;
    for (const Exercise& it : exercise::course()) {
        INFO(it.name);
        CHECK(names.insert(it.name).second);
        CHECK(access(source_of(it).c_str(), R_OK) == 0);
        CHECK(access(source_of(it, "solutions/").c_str(), R_OK) == 0);
        CHECK(has_hangul(it.task.korean));
        CHECK_FALSE(std::string(it.by_hand).empty());
        for (const exercise::Text& hint : it.hints) {
            REQUIRE(hint.english != nullptr);
            CHECK(has_hangul(hint.korean));
            CHECK(std::string(hint.english).size() > 20);
        }
    }
    const auto is_repair = [](const Exercise& it) { return it.kind == exercise::Kind::repair; };
    CHECK(std::count_if(exercise::course().begin(), exercise::course().end(), is_repair) >= 8);
    for (const char* chapter : {"tcp", "udp", "unix", "websocket"}) {
        for (const std::string& source : files_in(std::string(chapter) + "/exercises", ".cpp")) {
            const std::size_t slash = source.rfind('/') + 1;
            INFO(source << " is in no list of tests/exercises/" << chapter << ".cpp");
            CHECK(names.count(source.substr(slash, source.size() - slash - 4)) == 1);
        }
    }
}

TEST_CASE("exercises: expected and actual, side by side", "[exercises]") {
    const std::string text = exercise::side_by_side("hello\nworld\n", "hello\nxorld\n");
    CHECK_THAT(text, ContainsSubstring("expected  hello\\nworld\\n  (12 bytes)\n") &&
                         ContainsSubstring("received  hello\\nxorld\\n  (12 bytes)\n") &&
                         ContainsSubstring("\n                        ^ the first difference: byte 6\n"));
    const std::string cut = exercise::side_by_side(std::string(1000, 'a'), std::string(500, 'a'));
    CHECK_THAT(cut, ContainsSubstring("..." + std::string(24, 'a') + std::string(32, 'a') + "...  (1000 bytes)") &&
                        ContainsSubstring("..." + std::string(24, 'a') + "  (500 bytes)"));
    CHECK(exercise::shortened("a\x1b") == "\"a\\x1b\" (2 bytes)");
}
