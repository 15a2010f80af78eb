#pragma once
// What the narrator says of calls that a test makes.

#include "common/narrator.hpp"

#include <functional>
#include <string>
#include <vector>

/// As --trace sets them, or not, with these faults.
narrator::Settings trace_settings(bool trace = true, std::vector<narrator::Fault> faults = {});

/// Runs a function in a child where the narrator is awake, and returns the lines that it says: "FILE:LINE  " is removed
/// from those of calls, and the indent from the others. Throws Unexpected if the function does.
std::vector<std::string> narrated(const std::function<void()>& body,
                                  const narrator::Settings& settings = trace_settings());

/// The lines that follow that of this call up to the next call's: its result, and what changed. Throws
/// std::runtime_error if the call is not there.
std::vector<std::string> told_after(const std::vector<std::string>& lines, const std::string& call);

/// The lines with each run of digits after a colon, which are ports that the kernel picked, replaced by a letter: A for
/// the first port that occurs, B for the second, ...
std::vector<std::string> with_lettered_ports(std::vector<std::string> lines);
