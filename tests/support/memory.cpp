#include "tests/support/memory.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#ifdef __APPLE__
#include <malloc/malloc.h>
#else
#include <malloc.h>
#endif

namespace {

thread_local std::ptrdiff_t live_bytes = 0;
thread_local std::ptrdiff_t peak_bytes = 0;

std::ptrdiff_t size_of(void* block) {
#ifdef __APPLE__
    return static_cast<std::ptrdiff_t>(malloc_size(block));
#else
    return static_cast<std::ptrdiff_t>(malloc_usable_size(block));
#endif
}

}  // namespace

MemoryWatch::MemoryWatch() { live_bytes = peak_bytes = 0; }
std::ptrdiff_t MemoryWatch::live() const { return live_bytes; }
std::ptrdiff_t MemoryWatch::peak() const { return peak_bytes; }

// All forms but those of types with an alignment of their own. (By default they come down to the first; not where a
// sanitizer brings forms of its own.)

void* operator new(std::size_t size) {
    void* block = std::malloc(std::max<std::size_t>(size, 1));
    if (block == nullptr) throw std::bad_alloc();
    live_bytes += size_of(block);
    peak_bytes = std::max(peak_bytes, live_bytes);
    return block;
}

void* operator new(std::size_t size, const std::nothrow_t& /*tag*/) noexcept {
    try {
        return operator new(size);
    } catch (const std::bad_alloc&) {
        return nullptr;
    }
}

void* operator new[](std::size_t size) { return operator new(size); }
void* operator new[](std::size_t size, const std::nothrow_t& tag) noexcept { return operator new(size, tag); }

void operator delete(void* block) noexcept {
    if (block != nullptr) live_bytes -= size_of(block);
    std::free(block);
}

void operator delete(void* block, std::size_t /*size*/) noexcept { operator delete(block); }
void operator delete(void* block, const std::nothrow_t& /*tag*/) noexcept { operator delete(block); }
void operator delete[](void* block) noexcept { operator delete(block); }
void operator delete[](void* block, std::size_t /*size*/) noexcept { operator delete(block); }
void operator delete[](void* block, const std::nothrow_t& /*tag*/) noexcept { operator delete(block); }
