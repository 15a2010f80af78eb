#pragma once
// Bytes that grow: what std::string would be if resize() did not fill with zeros what recv() or inflate() is about to
// overwrite.

#include <cstddef>
#include <cstring>
#include <memory>
#include <string_view>

namespace websocket {

class Buffer {
public:
    const char* data() const { return bytes_.get(); }
    char* data() { return bytes_.get(); }
    std::size_t size() const { return size_; }
    std::size_t capacity() const { return capacity_; }
    bool empty() const { return size_ == 0; }
    std::string_view view() const { return {bytes_.get(), size_}; }

    void append(std::string_view more) {
        if (!more.empty()) std::memcpy(extend(more.size()), more.data(), more.size());
    }

    /// Adds count bytes of any content at the end, and returns where they begin.
    char* extend(std::size_t count) {
        if (capacity_ - size_ < count) grow(size_ + count);
        size_ += count;
        return bytes_.get() + (size_ - count);
    }

    /// Keeps the first size bytes, which must be there.
    void truncate(std::size_t size) { size_ = size; }

    /// Removes the first count bytes, which must be there.
    void drop_front(std::size_t count) {
        size_ -= count;
        if (size_ > 0) std::memmove(bytes_.get(), bytes_.get() + count, size_);
    }

    void clear() { size_ = 0; }

    /// clear(), and gives the memory back.
    void release() {
        bytes_.reset();
        size_ = capacity_ = 0;
    }

private:
    [[gnu::noinline]] void grow(std::size_t needed) {
        const std::size_t capacity = capacity_ * 2 > needed ? capacity_ * 2 : needed;
        auto bytes = std::make_unique_for_overwrite<char[]>(capacity);
        if (size_ > 0) std::memcpy(bytes.get(), bytes_.get(), size_);
        bytes_ = std::move(bytes);
        capacity_ = capacity;
    }

    std::unique_ptr<char[]> bytes_;
    std::size_t size_ = 0;
    std::size_t capacity_ = 0;
};

}  // namespace websocket
