#pragma once
// Catch2 as every test includes it: version 3 where it is installed, version 2 (Debian 12) otherwise.

#if __has_include(<catch2/catch_all.hpp>)
#include <catch2/catch_all.hpp>
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
#else
#include <catch2/catch.hpp>
using Catch::Matchers::StartsWith;
inline auto ContainsSubstring(const std::string& part) { return Catch::Matchers::Contains(part); }
#endif
