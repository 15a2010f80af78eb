#include "common/options.hpp"

#include "common/errors.hpp"
#include "common/narrator.hpp"
#include "common/socket_path.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>

#include <getopt.h>

namespace {

/// An option with what to do when it is met: the common ones and the program's own, in one table.
struct Known {
    std::string name;
    const char* argument;
    std::string help;
    std::function<void(const std::string&)> set;
};

narrator::Fault parse_fault(const std::string& text) {
    const auto wrong = [&](const std::string& what) {
        return UsageError(
            fmt::format("--fault {}: {}; expected CALL:ERRNO[:N], as in accept:EMFILE:2", escaped(text), what));
    };
    const size_t first = text.find(':');
    if (first == 0 || first == std::string::npos) throw wrong("no call or no error in it");
    const size_t second = text.find(':', first + 1);
    narrator::Fault fault;
    fault.call = text.substr(0, first);
    const std::string name = text.substr(first + 1, second - first - 1);
    fault.error = error_number(name);
    if (fault.error == 0) throw wrong(fmt::format("no error is called '{}'", escaped(name)));
    if (second != std::string::npos)
        fault.number = parse_number(text.substr(second + 1), 1, 1'000'000'000, "--fault CALL:ERRNO:N");
    return fault;
}

std::string default_of(const Option& option) {
    if (const auto* number = std::get_if<long*>(&option.target)) return fmt::format(" (default {})", **number);
    const auto* text = std::get_if<std::string*>(&option.target);
    return text != nullptr && !(*text)->empty() ? fmt::format(" (default {})", **text) : "";
}

void assign(const Option& option, const std::string& value) {
    if (auto* const* flag = std::get_if<bool*>(&option.target)) **flag = true;
    if (auto* const* number = std::get_if<long*>(&option.target)) {
        **number = parse_number(value, option.least, option.most, fmt::format("--{}", option.name));
    }
    if (auto* const* text = std::get_if<std::string*>(&option.target)) **text = value;
    if (auto* const* text = std::get_if<std::optional<std::string>*>(&option.target)) **text = value;
}

std::string usage(const char* name, const Program& program, const std::vector<Known>& table) {
    std::string text = fmt::format("usage: {} [OPTION...]", name);
    for (const char* argument : program.arguments)
        text += fmt::format(" {}", argument);
    text += fmt::format("\n{}\n\n", program.summary);
    for (const Known& known : table) {
        const std::string left = fmt::format("--{}{}{}", known.name, known.argument != nullptr ? " " : "",
                                             known.argument != nullptr ? known.argument : "");
        text += fmt::format("  {:<26}  {}\n", left, known.help);
    }
    return text + "\nExit status: 0 done, 1 a call failed, 2 wrong usage.\n";
}

}  // namespace

long parse_number(const std::string& text, long least, long most, const std::string& what) {
    long number = 0;
    const char* end = text.data() + text.size();
    const auto [stopped, trouble] = std::from_chars(text.data(), end, number);
    if (trouble != std::errc{} || stopped != end || number < least || number > most) {
        throw UsageError(fmt::format("{} {}: expected a number from {} to {}", what, escaped(text), least, most));
    }
    return number;
}

Options parse_options(int argc, char** argv, const Program& program) {
    std::signal(SIGPIPE, SIG_IGN);
    const std::string path = argc > 0 ? argv[0] : "?";
    const std::string name = path.substr(path.rfind('/') + 1);
    Options options;
    narrator::Settings settings;
    bool help = false;

    std::vector<Known> table;
    if (program.endpoint == Endpoint::network) {
        table.push_back({"host", "HOST", fmt::format("address or name (default {})", options.host),
                         [&](const std::string& value) { options.host = value; }});
        table.push_back({"port", "PORT", fmt::format("port; 0 lets the kernel pick (default {})", options.port),
                         [&](const std::string& value) {
                             options.port = static_cast<std::uint16_t>(parse_number(value, 0, 65535, "--port"));
                         }});
    }
    if (program.endpoint == Endpoint::unix_path) {
        table.push_back({"path", "PATH", "the socket's path (default: one in a directory of your own)",
                         [&](const std::string& value) {
                             unix_address(value);  // refuses one that is too long
                             options.path = value;
                         }});
    }
    for (const Option& option : program.more) {
        table.push_back({option.name, option.argument, option.help + default_of(option),
                         [option](const std::string& value) { assign(option, value); }});
    }
    table.push_back({"trace", nullptr, "tell each socket call, its result, and what it changed in the kernel",
                     [&](const std::string&) { settings.trace = true; }});
    table.push_back({"step", nullptr, "the same, and wait for Enter before each call (? explains it)",
                     [&](const std::string&) { settings.step = true; }});
    table.push_back({"trace-log", "FILE", "write the same to FILE, a line per event, with nanosecond times",
                     [&](const std::string& value) { settings.log = value; }});
    table.push_back({"fault", "CALL:ERRNO[:N]", "let the Nth CALL (or 'any') fail with ERRNO without making it",
                     [&](const std::string& value) { settings.faults.push_back(parse_fault(value)); }});
    table.push_back({"help", nullptr, "print this", [&](const std::string&) { help = true; }});

    std::vector<option> known;
    known.reserve(table.size() + 1);
    for (const Known& entry : table) {
        known.push_back({entry.name.c_str(), entry.argument != nullptr ? required_argument : no_argument, nullptr, 0});
    }
    known.push_back({});
    opterr = 0;  // the messages are ours
    for (;;) {
        int index = 0;
        const int found = getopt_long(argc, argv, ":", known.data(), &index);
        if (found == -1) break;
        const std::string given =
            escaped(optopt != 0 ? fmt::format("-{}", static_cast<char>(optopt)) : argv[optind - 1]);
        if (found == ':') throw UsageError(fmt::format("{}: {} needs a value; see --help", name, given));
        if (found == '?') {
            throw UsageError(
                fmt::format("{}: {} is no option of this program, or takes no value; see --help", name, given));
        }
        try {
            table[static_cast<size_t>(index)].set(optarg != nullptr ? optarg : "");
        } catch (const UsageError& error) {
            throw UsageError(fmt::format("{}: {}", name, error.what()));
        }
    }
    if (help) {
        fmt::print("{}", usage(name.c_str(), program, table));
        std::exit(0);
    }
    options.arguments.assign(argv + optind, argv + argc);
    if (options.arguments.size() != program.arguments.size()) {
        std::string expected;
        for (const char* argument : program.arguments)
            expected += fmt::format(" {}", argument);
        throw UsageError(fmt::format("{}: got {} arguments, expected{}; see --help", name, options.arguments.size(),
                                     expected.empty() ? " none" : expected));
    }
    if (program.endpoint == Endpoint::unix_path && options.path.empty()) {
        options.path = private_socket_path(program.socket_name);
    }
    narrator::start(settings);
    return options;
}

std::vector<Address> resolve_target(const std::string& text, const std::string& option, int type) {
    const std::size_t colon = text.rfind(':');
    if (colon == std::string::npos || colon == 0) {
        throw UsageError(
            fmt::format("{} {}: expected HOST:PORT, as in 127.0.0.1:7000 or [::1]:7000", option, escaped(text)));
    }
    std::string host = text.substr(0, colon);
    if (host.size() > 2 && host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
    const long port = parse_number(text.substr(colon + 1), 1, 65535, fmt::format("{} {}: port", option, escaped(text)));
    return resolve(host, static_cast<std::uint16_t>(port), type);
}
