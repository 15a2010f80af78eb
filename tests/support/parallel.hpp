#pragma once
// Many small runs of programs at once.

#include <functional>
#include <string>
#include <vector>

/// Something to do that throws when it fails. Catch2's assertions are not for threads (version 2), so it must not use
/// them.
struct Task {
    std::string name;
    std::function<void()> work;
};

/// Does all of them, four at a time for each processor, since programs and their peers mostly wait. Returns a line
/// "NAME: what it threw" for each that failed, in their order; "" when none did.
std::string run_in_parallel(const std::vector<Task>& tasks);
