// Exercise unmask, solved: a payload that comes in pieces.

#include "websocket/exercises/codec.hpp"

void unmask(Mask& mask, char* bytes, size_t count) {
    for (size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) ^ mask.key[(mask.offset + i) % 4]);
    mask.offset += count;
}
