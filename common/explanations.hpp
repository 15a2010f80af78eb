#pragma once
// What each call does, in a sentence or two: the answer to ? in --step, and the hover texts of the diagrams.

#include <string_view>

struct Explanation {
    const char* call;
    const char* english;
    const char* korean;
};

/// The explanation of a call by its name ("accept"), or nullptr.
const Explanation* find_explanation(std::string_view call);
