// scripts/exercise: shows the course, grades exercises, and remembers what is done.

#include "tests/exercises/exercise.hpp"

#include "common/errors.hpp"
#include "common/narrator.hpp"
#include "tests/support/files.hpp"
#include "tests/support/text.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>

#include <nlohmann/json.hpp>
#include <poll.h>
#include <sys/ioctl.h>
#include <unistd.h>

namespace {

using exercise::course;
using exercise::Exercise;
using exercise::Grading;
using exercise::Text;
using nlohmann::json;
namespace fs = std::filesystem;

constexpr Milliseconds limit{5000};  // for each wait

template <typename... Arguments>
void say(const Text& text, const Arguments&... arguments) {
    fmt::print("{}\n", fmt::format(fmt::runtime(text.get()), arguments...));
    std::fflush(stdout);
}

/// How many columns a text may take: the terminal's, but no line is longer than eyes like.
std::size_t text_width() {
    winsize size{};
    const bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
    return known ? std::clamp<std::size_t>(size.ws_col, 40, 100) : 100;
}

std::string build_folder() {
    const std::string some = program("x");
    return some.substr(0, some.size() - 2);
}
std::string name_of(const Exercise& it) { return fmt::format("{}/{}", it.chapter, it.name); }
std::string source_of(const Exercise& it) { return fmt::format("{}/exercises/{}.cpp", it.chapter, it.name); }
std::string solution_of(const Exercise& it) {
    return fmt::format("{}/exercises/solutions/{}.cpp", it.chapter, it.name);
}

/// What is done, in a file of build/: nothing is sent anywhere.
class Progress {
public:
    Progress() {
        std::ifstream file(path());
        if (!file) return;
        all_ = json::parse(file, nullptr, false);
        if (!all_.is_object()) all_ = json::object();  // damaged: begin anew rather than fail
    }
    bool solved(const Exercise& it) const { return entry(it).value("solved", false); }
    int tries(const Exercise& it) const { return entry(it).value("tries", 0); }
    int hints(const Exercise& it) const { return entry(it).value("hints", 0); }
    template <typename Value>
    void set(const Exercise& it, const char* key, Value value) {
        all_[name_of(it)][key] = value;
        fs::create_directories(build_folder() + "/exercises");
        write_file(path() + ".new", all_.dump(1) + "\n");
        fs::rename(path() + ".new", path());
    }

private:
    static std::string path() { return build_folder() + "/exercises/progress.json"; }
    json entry(const Exercise& it) const {
        const auto found = all_.find(name_of(it));
        return found != all_.end() && found->is_object() ? *found : json::object();
    }
    json all_ = json::object();
};

bool is_here([[maybe_unused]] const Exercise& it) {
#ifdef __linux__
    return true;
#else
    return !it.linux_only;
#endif
}

const Exercise* next_of(const Progress& progress) {
    for (const Exercise& it : course())
        if (is_here(it) && !progress.solved(it)) return &it;
    return nullptr;
}

const Exercise& find(const std::string& name) {
    for (const Exercise& it : course())
        if (name == it.name || name == name_of(it) || name == source_of(it)) return it;
    throw UsageError(fmt::format("{}: expected the name of an exercise; scripts/exercise lists them", escaped(name)));
}

// ---- list

void show_next(const Progress& progress) {
    const Exercise* next = next_of(progress);
    if (next == nullptr) {
        say({"All of them are solved.", "모두 풀었습니다."});
        return;
    }
    say({"Next: {}. Open {}, and run: scripts/exercise {}", "다음: {}. {} 파일을 열고, 실행: scripts/exercise {}"},
        name_of(*next), source_of(*next), next->name);
}

void list(const Progress& progress) {
    std::string chapter;
    std::size_t done = 0;
    for (const Exercise& it : course()) {
        if (chapter != it.chapter) fmt::print("{}{}\n", chapter.empty() ? "" : "\n", it.chapter);
        chapter = it.chapter;
        done += progress.solved(it) ? 1 : 0;
        const Text repair{"repair: ", "고치기: "};
        fmt::print("  [{}] {:<18} {}{}\n", progress.solved(it) ? 'x' : ' ', it.name,
                   it.kind == exercise::Kind::repair ? repair.get() : "", it.task.get());
    }
    constexpr std::size_t width = 40;
    const std::size_t filled = course().empty() ? width : done * width / course().size();
    fmt::print("\n[{}{}] {}/{}\n", std::string(filled, '#'), std::string(width - filled, '.'), done, course().size());
    show_next(progress);
}

void list_as_json(const Progress& progress) {
    json all = json::array();
    for (const Exercise& it : course())
        all.push_back({{"chapter", it.chapter},
                       {"name", it.name},
                       {"kind", it.kind == exercise::Kind::repair ? "repair" : "complete"},
                       {"file", source_of(it)},
                       {"solved", progress.solved(it)},
                       {"tries", progress.tries(it)},
                       {"hints", progress.hints(it)}});
    fmt::print("{}\n", all.dump(1));
}

// ---- Grading one

/// Builds it. False if it does not compile: then the compiler's first error was shown.
bool builds(const Exercise& it) {
    const std::string binary = program(fmt::format("{}/exercises/{}", it.chapter, it.name));
    Process make({"make", "-s", "BUILD=" + build_folder(), binary});
    make.close_input();
    if (make.wait(Milliseconds(300'000)) == Ending{0, 0}) return true;
    say({"It does not compile. The first error:", "컴파일되지 않습니다. 첫 번째 오류:"});
    const std::vector<std::string> lines = lines_of(make.err() + make.out());
    const auto is_error = [](const std::string& line) {
        return line.find("error:") != std::string::npos || line.find("undefined reference") != std::string::npos;
    };
    auto first = std::find_if(lines.begin(), lines.end(), is_error);
    if (first == lines.end()) first = lines.begin();
    for (int i = 0; i < 3 && first != lines.end(); ++i, ++first)
        fmt::print("  {}\n", *first);
    return false;
}

/// Builds and grades. True if it is solved.
bool grade(const Exercise& it, Progress& progress) {
    if (!is_here(it)) {
        say({"{} needs Linux.", "{}은(는) 리눅스가 필요합니다."}, it.name);
        return false;
    }
    const bool compiles = builds(it);
    Grading grading(program(fmt::format("{}/exercises/{}", it.chapter, it.name)), limit);
    if (compiles && passes(it, grading)) {
        say({"{}: solved.", "{}: 풀었습니다."}, name_of(it));
        progress.set(it, "solved", true);
        return true;
    }
    progress.set(it, "solved", false);
    progress.set(it, "tries", progress.tries(it) + 1);
    if (!compiles) return false;
    say({"{}: not yet.\n", "{}: 아직입니다.\n"}, name_of(it));
    fmt::print("{}", grading.report(text_width()));
    std::string by_hand = it.by_hand;
    const std::string mark = "PROGRAM";
    for (std::size_t at = 0; (at = by_hand.find(mark, at)) != std::string::npos; at += grading.path().size())
        by_hand.replace(at, mark.size(), grading.path());
    say({"\n  By hand:\n    {}\n\n  A hint: scripts/exercise hint {}",
         "\n  손으로 해 보려면:\n    {}\n\n  힌트: scripts/exercise hint {}"},
        by_hand, it.name);
    return false;
}

// ---- The other commands

void hint(const Exercise& it, Progress& progress) {
    const int shown = std::min(progress.hints(it) + 1, 3);
    for (int i = 0; i < shown; ++i)
        fmt::print("{}", exercise::wrapped(fmt::format("{}. ", i + 1), it.hints[i].get(), 3, text_width()));
    if (shown < 3) say({"(There are more: ask again.)", "(더 있습니다. 다시 물어보십시오.)"});
    progress.set(it, "hints", shown);
}

/// What the file was when it came, from git; what is in it now is kept beside the progress.
void reset(const Exercise& it, Progress& progress) {
    Process git({"git", "show", "HEAD:" + source_of(it)});
    git.close_input();
    if (git.wait() != Ending{0, 0})
        throw std::runtime_error("git has no copy of " + source_of(it) + ": " + escaped(git.err()));
    const std::string kept = fmt::format("{}/exercises/{}-{}.cpp", build_folder(), it.name, std::time(nullptr));
    fs::create_directories(build_folder() + "/exercises");
    fs::copy_file(source_of(it), kept, fs::copy_options::overwrite_existing);
    write_file(source_of(it), git.out());
    progress.set(it, "solved", false);
    say({"{} is as it was. Your attempt is kept in {}.",
         "{}이(가) 처음 상태로 돌아갔습니다. 쓰시던 것은 {}에 있습니다."},
        source_of(it), kept);
}

bool agrees(const Text& question) {
    fmt::print("{} [y/N] ", question.get());
    std::fflush(stdout);
    std::string answer;
    std::getline(std::cin, answer);
    return answer == "y" || answer == "Y" || answer == "yes";
}

int show_solution(const Exercise& it, const Progress& progress) {
    if (!progress.solved(it)) {
        if (progress.tries(it) < 3) {
            say({"Try it first: the solution is offered after three tries (so far: {}), or once you have solved it.",
                 "먼저 해 보십시오. 풀이는 세 번 시도한 뒤에(지금까지 {}번), 또는 풀고 나면 볼 수 있습니다."},
                progress.tries(it));
            return 1;
        }
        if (!agrees({"Not one more try? Show the solution?", "한 번 더 해 보지 않으시겠습니까? 풀이를 볼까요?"}))
            return 1;
    }
    fmt::print("{}:\n\n{}", solution_of(it), read_file(solution_of(it)));
    return 0;
}

int grade_all(Progress& progress) {
    std::size_t done = 0;
    std::vector<std::string> open;
    for (const Exercise& it : course()) {
        if (!is_here(it)) continue;
        const bool compiles = builds(it);
        Grading grading(program(fmt::format("{}/exercises/{}", it.chapter, it.name)), limit);
        const bool solved = compiles && passes(it, grading);
        progress.set(it, "solved", solved);
        done += solved ? 1 : 0;
        fmt::print("[{}] {}\n", solved ? 'x' : ' ', name_of(it));
        std::fflush(stdout);
    }
    say({"{} of {} are solved.", "{1}개 중 {0}개를 풀었습니다."}, done, course().size());
    return done == course().size() ? 0 : 1;
}

/// Enter within so many milliseconds? False too when standard input has ended.
bool enter_pressed(int milliseconds, bool& ended) {
    pollfd watched{STDIN_FILENO, POLLIN, 0};
    if (ended || poll(&watched, 1, milliseconds) <= 0) return false;
    std::string line;
    if (!std::getline(std::cin, line)) ended = true;
    return !ended;
}

/// Grades again whenever the file is saved; goes on to the next when told.
void watch(const Exercise* it, Progress& progress) {
    bool ended = false;
    while (it != nullptr && !ended) {
        const fs::file_time_type saved = fs::last_write_time(source_of(*it));
        fmt::print("\n---- {}\n", source_of(*it));
        const bool solved = grade(*it, progress);
        if (solved) {
            say({"Enter: the next one. (Ctrl-C ends this.)", "Enter: 다음으로. (Ctrl-C로 끝냅니다.)"});
        } else {
            say({"Waiting until you save {}. (Ctrl-C ends this.)",
                 "{}을(를) 저장하기를 기다립니다. (Ctrl-C로 끝냅니다.)"},
                source_of(*it));
        }
        for (;;) {
            std::error_code gone;  // an editor may put a new file in its place
            if (enter_pressed(200, ended) && solved) {
                it = next_of(progress);
                break;
            }
            if (ended) break;
            const auto now = fs::last_write_time(source_of(*it), gone);
            if (!gone && now != saved) break;
        }
    }
    if (it == nullptr) show_next(progress);
}

constexpr Text usage{
    "usage: scripts/exercise                  the course, and what is done\n"
    "       scripts/exercise NAME             builds and grades one\n"
    "       scripts/exercise --watch [NAME]   again whenever its file is saved; then the next one\n"
    "       scripts/exercise hint NAME        a hint; the next time a further one\n"
    "       scripts/exercise reset NAME       the file as it was at first\n"
    "       scripts/exercise solution NAME    the worked solution, once solved or after three tries\n"
    "       scripts/exercise all              grades all of them\n"
    "       scripts/exercise list [--json]    the course; for programs",
    "사용법: scripts/exercise                  과정과 진행 상황\n"
    "        scripts/exercise NAME             하나를 빌드하고 채점합니다\n"
    "        scripts/exercise --watch [NAME]   파일을 저장할 때마다 다시 채점하고, 다음으로 넘어갑니다\n"
    "        scripts/exercise hint NAME        힌트. 다시 물으면 하나 더\n"
    "        scripts/exercise reset NAME       파일을 처음 상태로\n"
    "        scripts/exercise solution NAME    풀이. 풀었거나 세 번 시도한 뒤에\n"
    "        scripts/exercise all              모두 채점합니다\n"
    "        scripts/exercise list [--json]    과정. 프로그램을 위한 형식"};

int run_command(std::vector<std::string> words) {
    Progress progress;
    if (words.empty() || (words[0] == "list" && words.size() == 1)) {
        list(progress);
        return 0;
    }
    const std::string command = words[0];
    const bool one = words.size() == 2;
    if (command == "--help" && words.size() == 1) {
        fmt::print("{}\n", usage.get());
    } else if (command == "list" && one && words[1] == "--json") {
        list_as_json(progress);
    } else if (command == "all" && words.size() == 1) {
        return grade_all(progress);
    } else if (command == "--watch" && words.size() <= 2) {
        watch(one ? &find(words[1]) : next_of(progress), progress);
    } else if (command == "hint" && one) {
        hint(find(words[1]), progress);
    } else if (command == "reset" && one) {
        reset(find(words[1]), progress);
    } else if (command == "solution" && one) {
        return show_solution(find(words[1]), progress);
    } else if (words.size() == 1 && command[0] != '-') {
        const bool solved = grade(find(command), progress);
        if (solved) show_next(progress);
        return solved ? 0 : 1;
    } else {
        throw UsageError(fmt::format("what it was told is none of its commands; scripts/exercise --help lists them"));
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    return run_command({argv + 1, argv + argc});
} catch (const std::exception& error) {
    return report_failure(error);
}
