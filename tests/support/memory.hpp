#pragma once
// How much memory something takes: all that this thread allocates by operator new is counted. What C libraries take
// by malloc() (zlib, OpenSSL) is not.

#include <cstddef>

class MemoryWatch {
public:
    /// Counts from here; a watch must not begin within another's time.
    MemoryWatch();

    /// Bytes allocated since then and not freed, now; and at the most at any time.
    std::ptrdiff_t live() const;
    std::ptrdiff_t peak() const;
};
