#include "websocket/protocol/deflate.hpp"

#include "websocket/protocol/text.hpp"

#include <fmt/core.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <new>

namespace websocket {

std::optional<Extension> parse_extension(std::string_view element) {
    const std::string_view name = trim(take_until(element, ";"));
    if (!is_token(name)) return {};
    Extension extension{std::string(name), {}};
    while (!element.empty()) {
        element.remove_prefix(1);  // the semicolon
        const std::string_view parameter = trim(take_until(element, ";=\""));
        if (!is_token(parameter)) return {};
        std::optional<std::string> value;
        if (!element.empty() && element.front() == '=') {
            element.remove_prefix(1);
            value = take_token_or_quoted(element);
            if (!value || !is_token(*value)) return {};
        }
        if (!element.empty() && element.front() != ';') return {};
        extension.parameters.push_back({std::string(parameter), std::move(value)});
    }
    return extension;
}

namespace {

/// 8 to 15, without leading zeros or anything else (RFC 7692, section 7.1.2); 0 if it is not that.
int window_bits(const std::optional<std::string>& value) {
    if (!value) return 0;
    for (int bits = 8; bits <= 15; ++bits) {
        if (*value == std::to_string(bits)) return bits;
    }
    return 0;
}

/// The parameters of an offer or answer. Window bits: 0 if not named, -1 if named without a value.
struct Named {
    bool server_no_context_takeover = false;
    bool client_no_context_takeover = false;
    int server_max_window_bits = 0;
    int client_max_window_bits = 0;
};

/// Nothing if a parameter is unknown, repeated, or has a value that it can't have.
std::optional<Named> read_parameters(const Extension& extension) {
    if (lower(extension.name) != "permessage-deflate") return {};
    Named named;
    for (const auto& [name, value] : extension.parameters) {
        bool* flag = name == "server_no_context_takeover"   ? &named.server_no_context_takeover
                     : name == "client_no_context_takeover" ? &named.client_no_context_takeover
                                                            : nullptr;
        int* bits = name == "server_max_window_bits"   ? &named.server_max_window_bits
                    : name == "client_max_window_bits" ? &named.client_max_window_bits
                                                       : nullptr;
        if (flag != nullptr) {
            if (*flag || value) return {};
            *flag = true;
        } else if (bits != nullptr) {
            if (*bits != 0) return {};
            *bits = value ? window_bits(value) : -1;
            if (*bits == 0) return {};
        } else {
            return {};
        }
    }
    return named;
}

/// The server's answer. What the client demanded of us is confirmed, and client_max_window_bits may stand there only if
/// the client named it (sections 7.1.2.1 and 7.1.2.2).
std::string format_answer(const DeflateParameters& agreed, const Named& offered) {
    std::string text = "permessage-deflate";
    if (agreed.server_no_context_takeover) text += "; server_no_context_takeover";
    if (agreed.client_no_context_takeover) text += "; client_no_context_takeover";
    if (agreed.server_max_window_bits != 15 || offered.server_max_window_bits != 0) {
        text += fmt::format("; server_max_window_bits={}", agreed.server_max_window_bits);
    }
    if (agreed.client_max_window_bits != 15 && offered.client_max_window_bits != 0) {
        text += fmt::format("; client_max_window_bits={}", agreed.client_max_window_bits);
    }
    return text;
}

}  // namespace

std::optional<DeflateOffer> parse_offer(std::string_view parameters) {
    const bool none = trim(parameters).empty();
    const auto extension = parse_extension("permessage-deflate" + (none ? "" : ";" + std::string(parameters)));
    const auto named = extension ? read_parameters(*extension) : std::nullopt;
    if (!named || named->server_max_window_bits == -1) return {};
    DeflateOffer offer;
    offer.server_no_context_takeover = named->server_no_context_takeover;
    offer.client_no_context_takeover = named->client_no_context_takeover;
    offer.server_max_window_bits = named->server_max_window_bits;
    offer.client_max_window_bits = named->client_max_window_bits == -1 ? 15 : named->client_max_window_bits;
    return offer;
}

std::string format_offer(const DeflateOffer& offer) {
    std::string text = "permessage-deflate";
    if (offer.server_no_context_takeover) text += "; server_no_context_takeover";
    if (offer.client_no_context_takeover) text += "; client_no_context_takeover";
    if (offer.server_max_window_bits != 0)
        text += fmt::format("; server_max_window_bits={}", offer.server_max_window_bits);
    if (offer.client_max_window_bits == 15) text += "; client_max_window_bits";
    if (offer.client_max_window_bits != 0 && offer.client_max_window_bits != 15) {
        text += fmt::format("; client_max_window_bits={}", offer.client_max_window_bits);
    }
    return text;
}

std::optional<DeflateParameters> accept_offer(const Extension& offer, const DeflatePolicy& policy,
                                              std::string& answer) {
    const std::optional<Named> named = read_parameters(offer);
    // server_max_window_bits needs a value in an offer, too; client_max_window_bits does not (section 7.1.2).
    if (!named || named->server_max_window_bits == -1) return {};
    DeflateParameters agreed;
    agreed.server_no_context_takeover = named->server_no_context_takeover || policy.server_no_context_takeover;
    agreed.client_no_context_takeover = named->client_no_context_takeover || policy.client_no_context_takeover;
    agreed.server_max_window_bits = policy.server_max_window_bits;
    if (named->server_max_window_bits > 0) {
        agreed.server_max_window_bits = std::min(named->server_max_window_bits, policy.server_max_window_bits);
    }
    if (named->client_max_window_bits != 0) {
        const int most = named->client_max_window_bits > 0 ? named->client_max_window_bits : 15;
        agreed.client_max_window_bits = std::min(most, policy.client_max_window_bits);
    }
    answer = format_answer(agreed, *named);
    return agreed;
}

std::optional<DeflateParameters> check_answer(const Extension& answer, const DeflateOffer& offer) {
    const std::optional<Named> named = read_parameters(answer);
    if (!named || named->server_max_window_bits == -1 || named->client_max_window_bits == -1) return {};
    DeflateParameters agreed;
    agreed.server_no_context_takeover = named->server_no_context_takeover;
    agreed.client_no_context_takeover = named->client_no_context_takeover || offer.client_no_context_takeover;
    // What we asked of the server it has to confirm (sections 7.1.1.1 and 7.1.2.1).
    if (offer.server_no_context_takeover && !named->server_no_context_takeover) return {};
    if (offer.server_max_window_bits != 0 &&
        (named->server_max_window_bits == 0 || named->server_max_window_bits > offer.server_max_window_bits)) {
        return {};
    }
    if (named->server_max_window_bits != 0) agreed.server_max_window_bits = named->server_max_window_bits;
    // And it may limit us only where we said that it can (section 7.1.2.2).
    if (named->client_max_window_bits != 0) {
        if (named->client_max_window_bits > offer.client_max_window_bits) return {};
        agreed.client_max_window_bits = named->client_max_window_bits;
    } else if (offer.client_max_window_bits != 0) {
        agreed.client_max_window_bits = offer.client_max_window_bits;
    }
    return agreed;
}

// ---- zlib

struct Deflater::Stream : z_stream {};
struct Inflater::Stream : z_stream {};

Deflater::Deflater(int window_bits, bool no_context_takeover)
    : stream_(std::make_unique<Stream>()), no_context_takeover_(no_context_takeover) {
    // zlib can't do raw DEFLATE with a window of 2^8. With 2^9 it can, and then refers back 512 - 262 = 250 bytes at
    // the most (MAX_DIST in deflate.h), which fits into 2^8 = 256. A negative number asks for no header (zlib.h).
    const int bits = std::max(window_bits, 9);
    if (deflateInit2(stream_.get(), Z_DEFAULT_COMPRESSION, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY) != Z_OK) {
        throw std::bad_alloc();
    }
}

Deflater::~Deflater() { deflateEnd(stream_.get()); }

void Deflater::run(std::string_view piece, int flush, Buffer& out) {
    stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_->avail_in = static_cast<uInt>(piece.size());
    do {
        const std::size_t room = std::max<std::size_t>(64, std::min<std::size_t>(piece.size(), 65536));
        stream_->next_out = reinterpret_cast<Bytef*>(out.extend(room));
        stream_->avail_out = static_cast<uInt>(room);
        deflate(stream_.get(), flush);
        out.truncate(out.size() - stream_->avail_out);
    } while (stream_->avail_out == 0);
}

void Deflater::compress(std::string_view piece, bool last, Buffer& out) {
    constexpr std::size_t most = std::size_t{1} << 30U;  // zlib counts in 32 bits
    const std::size_t before = out.size();
    for (; piece.size() > most; piece.remove_prefix(most))
        run(piece.substr(0, most), Z_NO_FLUSH, out);
    run(piece, last ? Z_SYNC_FLUSH : Z_NO_FLUSH, out);
    if (!last) return;

    constexpr std::string_view tail("\x00\x00\xFF\xFF", 4);
    if (out.view().substr(before).ends_with(tail)) out.truncate(out.size() - tail.size());
    // zlib does not flush twice when nothing came in between: an empty message is the empty block (section 7.2.3.6).
    if (out.size() == before && piece.empty()) out.append(std::string_view("\0", 1));
    if (no_context_takeover_) deflateReset(stream_.get());
}

Inflater::Inflater(int window_bits, bool no_context_takeover)
    : stream_(std::make_unique<Stream>()), no_context_takeover_(no_context_takeover) {
    if (inflateInit2(stream_.get(), -window_bits) != Z_OK) throw std::bad_alloc();
}

Inflater::~Inflater() { inflateEnd(stream_.get()); }

Inflater::Result Inflater::run(std::string_view piece, std::size_t limit, Buffer& out) {
    stream_->next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
    stream_->avail_in = static_cast<uInt>(piece.size());
    for (;;) {
        if (ended_) {
            if (stream_->avail_in == 0) return Result::done;
            // A sender may end its stream within a message and begin another, which may refer back into the first.
            std::array<Bytef, 32768> window;
            uInt length = 0;
            inflateGetDictionary(stream_.get(), window.data(), &length);
            inflateReset(stream_.get());
            inflateSetDictionary(stream_.get(), window.data(), length);
            ended_ = false;
        }
        // One byte more than there may be, outside of the buffer, shows whether there are too many.
        Bytef surplus = 0;
        const bool full = out.size() >= limit;
        const std::size_t guess = std::clamp<std::size_t>(piece.size() * 4, 256, 65536);
        const std::size_t room = full ? 1 : std::min(guess, limit - out.size());
        stream_->next_out = full ? &surplus : reinterpret_cast<Bytef*>(out.extend(room));
        stream_->avail_out = static_cast<uInt>(room);
        const int result = inflate(stream_.get(), Z_SYNC_FLUSH);
        if (full && stream_->avail_out == 0) return Result::too_big;
        if (!full) out.truncate(out.size() - stream_->avail_out);
        if (result == Z_STREAM_END) {
            ended_ = true;
        } else if (result != Z_OK && result != Z_BUF_ERROR) {
            return Result::malformed;
        } else if (stream_->avail_out > 0) {
            // Room is left, so all input has been used up.
            return Result::done;
        }
    }
}

Inflater::Result Inflater::decompress(std::string_view piece, bool last, std::size_t limit, Buffer& out) {
    Result result = run(piece, limit, out);
    if (result != Result::done || !last) return result;
    result = run(std::string_view("\x00\x00\xFF\xFF", 4), limit, out);
    // Those four bytes end a block, else bytes were missing before them: 128 tells that no block is begun, no bit left.
    if (result == Result::done && !ended_ && stream_->data_type != 128) return Result::malformed;
    if (no_context_takeover_) {
        inflateReset(stream_.get());
        ended_ = false;
    }
    return result;
}

}  // namespace websocket
