#pragma once
// x86-64 as such has vectors of 16 bytes and slow shifts; most of its processors can do more. A function that is
// COMPILED_FOR("avx2") is compiled twice, for those and for any, and the dynamic linker picks when the program starts.
// (Sanitizers run too late for that, and clang 14 knows no such thing.)

#if defined(__x86_64__) && defined(__linux__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) && \
    defined(__GNUC__) && !defined(__clang__)
#define COMPILED_FOR(feature) __attribute__((target_clones(feature, "default")))
#else
#define COMPILED_FOR(feature)
#endif
