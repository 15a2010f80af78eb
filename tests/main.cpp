// Catch2 version 2 wants its main compiled once; version 3 brings one in its library.

#if !__has_include(<catch2/catch_all.hpp>)
#define CATCH_CONFIG_MAIN
#endif
#include "tests/catch.hpp"
