// Exercise unmask: a payload that comes in pieces. Complete unmask().
//
//     scripts/exercise unmask        grades it, and says what goes wrong
//     scripts/exercise hint unmask   says a little more, three times
//
// What a client sends is masked: each byte of the payload is combined (XOR) with one of the four of the key, in turn.
// TCP hands over the payload in pieces of any size, so that a piece may begin anywhere: mask.offset is there to
// remember it.

#include "websocket/exercises/codec.hpp"

void unmask(Mask& mask, char* bytes, size_t count) {
    // TO DO: this takes each piece for the beginning of a payload.
    for (size_t i = 0; i < count; ++i)
        bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) ^ mask.key[i % 4]);
}
