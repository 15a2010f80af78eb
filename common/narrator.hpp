#pragma once
// The narrator: tells what a program is about to ask of the kernel, and what changed when it did. It also keeps the
// promises of --fault. Silent, and the cost of one branch, unless an option woke it (options.hpp).

#include <exception>
#include <string>
#include <vector>

/// One socket call as it stands in the source.
struct Call {
    const char* text;  ///< "listen(listener, SOMAXCONN)"
    const char* file;  ///< relative to the repository root
    int line;
};

namespace narrator {

/// --fault CALL:ERRNO[:N]: the Nth call of that name fails with that errno and is not made.
struct Fault {
    std::string call;  ///< "bind", or "any"
    int error = 0;     ///< an errno value
    long number = 1;   ///< 1: the first such call
};

struct Settings {
    bool trace = false;  ///< print each call, its result, and every socket whose kernel state it changed
    bool step = false;   ///< the same, and wait for a key on the terminal before each call
    std::string log;     ///< a file for one line per event; empty: none
    std::vector<Fault> faults;
};

/// Wakes the narrator as the settings say. Throws std::runtime_error if the log can't be written.
void start(const Settings& settings);

/// Thrown from before() when the reader presses q: the program is to end, and nothing went wrong.
class Quit : public std::exception {};

/// Puts the terminal back as it was if a key is being waited for. Safe in a signal handler (signal-safety(7)).
void restore_terminal();

/// "bind" of "bind(listener, ...)"; the namespace marks of "::bind(...)" are left out.
std::string name_of(const Call& call);

/// Whether the reader wants Korean: LC_ALL, or else LANG, starts with "ko" (locale(7)).
bool speaks_korean();

// Used by CALL and TRY.

extern bool awake;

bool announce(const Call& call);
void report(const Call& call, long result, int error);

/// Announces a call. False: it must not be made, and errno says how it fails.
inline bool before(const Call& call) {
    if (awake) [[unlikely]]
        return announce(call);
    return true;
}

/// Reports what a call returned; error is its errno, or 0.
inline void after(const Call& call, long result, int error) {
    if (awake) [[unlikely]]
        report(call, result, error);
}

}  // namespace narrator
