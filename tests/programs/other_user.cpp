#include "tests/programs/other_user.hpp"

#include "tests/support/skip.hpp"

#include <grp.h>
#include <unistd.h>

Process by_other_user(const Process::Command& command) {
    return Process([&] {
        const bool became = setgroups(0, nullptr) == 0 && setgid(other_user) == 0 && setuid(other_user) == 0;
        if (!became) throw std::runtime_error("cannot become another user");
        std::vector<char*> arguments;
        for (const std::string& word : command)
            arguments.push_back(const_cast<char*>(word.c_str()));
        arguments.push_back(nullptr);
        execv(arguments[0], arguments.data());
        throw std::runtime_error("the other user cannot run " + command[0]);
    });
}

bool has_other_user() {
    if (geteuid() != 0) {
        skip("only root can become a second user");
        return false;
    }
    Process try_it = by_other_user({program("unix/echo_client"), "--help"});
    if (try_it.wait() == Ending{0, 0}) return true;
    skip("a second user cannot run our programs here: " + try_it.err());
    return false;
}
