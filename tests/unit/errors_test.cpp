#include "common/errors.hpp"

#include "common/call.hpp"
#include "tests/catch.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <cstring>
#include <string>

TEST_CASE("errors: names, both ways", "[unit][errors]") {
    for (int error = 1; error < 134; ++error) {
        const std::string name = error_name(error);
        INFO(error << " " << std::strerror(error) << " " << name);
        const bool unnamed = name.rfind("errno ", 0) == 0;
        CHECK(error_number(unnamed ? name.substr(6) : name) == error);
    }
    CHECK(error_name(ECONNREFUSED) == "ECONNREFUSED");
    CHECK(error_name(EAGAIN) == "EAGAIN");
    CHECK(error_name(4711) == "errno 4711");
    CHECK(error_number("EWOULDBLOCK") == EWOULDBLOCK);
    CHECK(error_number("98") == 98);
    for (const char* nonsense :
         {"", "E", "econnrefused", "ECONNREFUSED ", " 98", "98x", "0", "-1", "99999999999", "4096"}) {
        INFO(nonsense);
        CHECK(error_number(nonsense) == 0);
    }
}

TEST_CASE("errors: hints, in both languages", "[unit][errors]") {
    CHECK(describe_error(EDOM) == std::string(std::strerror(EDOM)) + " (EDOM)");
    // Those that learners meet.
    const std::vector<int> met{EADDRINUSE, EADDRNOTAVAIL, ECONNREFUSED, ECONNRESET, EPIPE,
                               ENOTCONN,   EAGAIN,        EINTR,        ETIMEDOUT,  EACCES,
                               EMSGSIZE,   EMFILE,        ENETUNREACH,  EBADF,      ENOTSOCK};
    for (const char* language : {"LANG=C", "LANG=ko_KR.UTF-8", "LC_ALL=ko"}) {
        INFO(language);
        Process child(
            [&] {
                for (const int error : met)
                    fmt::print("{}\n", error_hint(error));
            },
            {.environment = {language}});
        child.expect_exit(0);
        const std::vector<std::string> hints = lines_of(child.out());
        REQUIRE(hints.size() == met.size());
        for (size_t i = 0; i < met.size(); ++i) {
            INFO(error_name(met[i]) << ": " << hints[i]);
            CHECK(hints[i].size() > 10);
            CHECK(has_hangul(hints[i]) == (std::string(language) != "LANG=C"));
        }
    }
}

TEST_CASE("errors: escaped()", "[unit][errors]") {
    CHECK(escaped("") == "");
    CHECK(escaped("plain ~ text") == "plain ~ text");
    CHECK(escaped("\n\t\r\\") == "\\n\\t\\r\\\\");
    CHECK(escaped(std::string("\0\x01\x1b\x1f\x7f", 5)) == "\\x00\\x01\\x1b\\x1f\\x7f");
    CHECK(escaped("\x1b]0;title\x07") == "\\x1b]0;title\\x07");
    CHECK(escaped("안녕하세요, 소켓 ü € 😀") == "안녕하세요, 소켓 ü € 😀");
    CHECK(escaped("\xc2\x9b"
                  "31m") == "\\xc2\\x9b31m");  // the C1 control that does what ESC [ does
    CHECK(escaped("\xc2\x80\xc2\x9f") == "\\xc2\\x80\\xc2\\x9f");
    CHECK(escaped("\xc2\xa0") == "\xc2\xa0");  // the first character after them
    CHECK(escaped("\x80\xbf\xff\xfe") == "\\x80\\xbf\\xff\\xfe");
    CHECK(escaped("\xc0\xaf") == "\\xc0\\xaf");           // "/" in two bytes
    CHECK(escaped("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");  // in three
    CHECK(escaped("\xf0\x80\x80\xaf") == "\\xf0\\x80\\x80\\xaf");
    CHECK(escaped("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // a surrogate
    CHECK(escaped("\xed\x9f\xbf") == "\xed\x9f\xbf");              // the last before them
    CHECK(escaped("\xf4\x8f\xbf\xbf") == "\xf4\x8f\xbf\xbf");      // the last character
    CHECK(escaped("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // one more
    CHECK(escaped("\xf5\x80\x80\x80") == "\\xf5\\x80\\x80\\x80");
}

TEST_CASE("errors: escaped() of text cut at every byte", "[unit][errors]") {
    const std::string text = "a한€😀\xc2\xa0z";
    for (size_t cut = 0; cut <= text.size(); ++cut) {
        INFO("cut at " << cut);
        const std::string first = escaped(text.substr(0, cut));
        const std::string rest = escaped(text.substr(cut));
        const bool between = cut == text.size() || (static_cast<unsigned char>(text[cut]) & 0xC0U) != 0x80U;
        if (between) {
            CHECK(first + rest == text);
        } else {  // the halves of the cut character, each byte by itself, and the rest untouched
            CHECK(first + rest != text);
            CHECK(first.find("\\x") != std::string::npos);
            CHECK(rest.find("\\x") == 0);
            CHECK(rest.back() == (cut < text.size() ? 'z' : text.back()));
            CHECK(escaped(first) != first);  // backslashes: a text can't pretend to be escaped
        }
    }
}

TEST_CASE("errors: complain() prints one line, whatever is in it", "[unit][errors]") {
    Process child([] { complain(std::runtime_error("two\nlines \x1b[2J \x7f 한글 a\\b\ttab")); });
    child.expect_exit(0);
    CHECK(child.err() == "two\\nlines \\x1b[2J \\x7f 한글 a\\b\\ttab\n");
}

TEST_CASE("errors: exit statuses", "[unit][errors]") {
    const auto status_of = [](void (*failing)()) {
        Process child([=] {
            try {
                failing();
            } catch (const std::exception& error) {
                fmt::print("{}", report_failure(error));
            }
        });
        child.expect_exit(0);
        return child.out() + " " + child.err();
    };
    CHECK(status_of([] { throw std::runtime_error("what"); }) == "1 what\n");
    CHECK(status_of([] { throw UsageError("what"); }) == "2 what\n");
    CHECK(status_of([] { throw narrator::Quit(); }) == "0 ");
    CHECK(status_of([] {
              throw SocketError(EDOM, {"f(1)", "a.cpp", 7});
          }) == fmt::format("1 a.cpp:7: f(1): {} (EDOM)\n", std::strerror(EDOM)));
}
