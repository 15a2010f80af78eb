#pragma once
// Error numbers by name, and what to do about those that learners meet.

#include <exception>
#include <string>
#include <string_view>

/// "ECONNREFUSED" of ECONNREFUSED (errno(3)); a number that has no name here as "errno 4711".
std::string error_name(int error);

/// The number of "ECONNREFUSED" or of "111"; 0 if there is none.
int error_number(std::string_view name);

/// What to do about an error, in the reader's language; "" where there is nothing to add to its text.
const char* error_hint(int error);

/// "Connection refused (ECONNREFUSED): nobody listens ..."
std::string describe_error(int error);

/// Bytes as they may go to a terminal or into one line: control characters, DEL, C1 controls and what is not UTF-8
/// become \n, \t, \x1b ...; a backslash becomes \\ and everything else, Korean too, stays itself.
std::string escaped(std::string_view bytes);

/// A wrong use of the command line. The program ends with status 2.
class UsageError : public std::exception {
public:
    explicit UsageError(std::string message) : message_(std::move(message)) {}
    const char* what() const noexcept override { return message_.c_str(); }

private:
    std::string message_;
};

/// Prints an exception's text as one line on standard error.
void complain(const std::exception& error);

/// For the catch around main: says what ended the program and returns its exit status.
/// 0: the reader pressed q. 1: a call failed. 2: wrong usage.
int report_failure(const std::exception& error);
