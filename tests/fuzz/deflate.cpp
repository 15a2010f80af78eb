// Connections with permessage-deflate; and the compressor against the decompressor.
//
// Input: 1 byte for the cuts, 1 byte of flags, 1 byte of window bits, then what the peer sends, or the text.

#include "websocket/protocol/deflate.hpp"
#include "tests/fuzz/connection.hpp"

namespace {

using namespace websocket;

/// What is compressed in pieces comes out again, message by message.
void round_trip(std::string_view text, std::uint8_t seed, int bits, bool forgets) {
    Deflater deflater(bits, forgets);
    Inflater inflater(bits, forgets);
    std::vector<std::size_t> cuts = fuzz::ways_to_cut(seed, text.size())[1];
    cuts.push_back(text.size());
    std::size_t begin = 0;
    std::size_t at = 0;
    Buffer compressed;
    for (std::size_t i = 0; i < cuts.size(); ++i) {
        const bool last = i % 3 == seed % 3 || i + 1 == cuts.size();
        deflater.compress(text.substr(at, cuts[i] - at), last, compressed);
        at = cuts[i];
        if (!last) continue;
        Buffer out;
        const auto result = inflater.decompress(compressed.view(), true, text.size(), out);
        fuzz::require(result == Inflater::Result::done && out.view() == text.substr(begin, at - begin),
                      "what was compressed does not come out again");
        compressed.clear();
        begin = at;
    }
}

}  // namespace

FUZZ_TARGET(fuzz_deflate) {
    fuzz::Input input(data, size);
    const std::uint8_t seed = input.byte();
    const unsigned flags = input.byte();
    const unsigned bits = input.byte();
    if ((flags & 1U) != 0) {
        round_trip(input.rest(), seed, 8 + static_cast<int>(bits % 8), (flags & 2U) != 0);
        return 0;
    }
    // The peer's window is whole: one that refers back further than a smaller one reaches is found out or not depending
    // on how much zlib has at hand, and so on the cuts. Ours may be of any size.
    const wire::Role role = (flags & 2U) != 0 ? wire::Role::client : wire::Role::server;
    DeflateParameters parameters{(flags & 4U) != 0, (flags & 8U) != 0, 15, 15};
    (role == wire::Role::server ? parameters.server_max_window_bits : parameters.client_max_window_bits) =
        8 + static_cast<int>(bits % 8);
    const std::size_t limit = (flags & 16U) != 0 ? 100'000 : 1000;
    fuzz::run({role, {limit, 20}, parameters}, seed, input.rest(), (flags & 32U) != 0);
    return 0;
}
