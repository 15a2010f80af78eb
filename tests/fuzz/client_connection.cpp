// A client's connection, without compression.
//
// Input: 1 byte for the cuts, 1 byte of flags (1: echo, 2: a higher limit), then what the server sends.

#include "tests/fuzz/connection.hpp"

FUZZ_TARGET(fuzz_client_connection) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const unsigned flags = input.byte();
    fuzz::run({wire::Role::client, {(flags & 2U) != 0 ? 200'000U : 1000U, 20}, {}}, seed, input.rest(),
              (flags & 1U) != 0);
    return 0;
}
