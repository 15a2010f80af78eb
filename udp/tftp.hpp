#pragma once
// TFTP's datagrams (RFC 1350), its options (RFC 2347, 2348, 2349), and its two sides: one that sends a file block by
// block, and one that receives it. No socket, no file: bytes in, bytes out.
//
//     1 RRQ    name 0 mode 0 {option 0 value 0}      read a file        4 ACK    block
//     2 WRQ    name 0 mode 0 {option 0 value 0}      write one          5 ERROR  code, text 0
//     3 DATA   block, up to 512 bytes                                   6 OACK   {option 0 value 0}
//
// A block that is shorter than the others is the last. Block numbers have 16 bits: after 65,535 comes 0, which no RFC
// says, but everybody does.

#include "common/fields.hpp"

#include <algorithm>
#include <cctype>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tftp {

enum class Opcode : std::uint16_t { rrq = 1, wrq, data, ack, error, oack };

enum class Error : std::uint16_t {
    undefined,  ///< see the text
    not_found,
    access,
    disk_full,
    illegal_operation,
    unknown_tid,
    exists,
    no_user,
    option,  ///< RFC 2347: the other side did not like what we made of its options
};

constexpr std::size_t default_block = 512;
constexpr std::size_t least_block = 8, most_block = 65464;  // RFC 2348
constexpr std::size_t most_options = 16;
constexpr std::size_t most_request = 512;  // bytes (RFC 2347)

using OptionList = std::vector<std::pair<std::string, std::string>>;  ///< names in lower case

struct Request {
    Opcode opcode = Opcode::rrq;
    std::string name;
    bool netascii = false;
    OptionList options;
};

struct Packet {
    Opcode opcode = Opcode::data;
    std::uint16_t number = 0;  ///< block, or an error's code
    std::string_view bytes;    ///< data, or an error's text
    OptionList options;        ///< of OACK
};

inline std::string lower(std::string_view text) {
    std::string result(text);
    std::transform(result.begin(), result.end(), result.begin(), [](unsigned char c) { return std::tolower(c); });
    return result;
}

/// Options up to the end of a datagram; nothing if one is not whole, or stands there twice, or there are too many.
inline std::optional<OptionList> parse_options_of(FieldReader& in) {
    OptionList options;
    while (in.left() > 0) {
        std::string name = lower(in.text_to_zero());
        std::string value(in.text_to_zero());
        const bool twice =
            std::any_of(options.begin(), options.end(), [&](const auto& one) { return one.first == name; });
        if (!in.whole() || name.empty() || twice || options.size() == most_options) return {};
        options.emplace_back(std::move(name), std::move(value));
    }
    return options;
}

/// RRQ or WRQ; nothing if it is none, or too long. Mode "mail" is obsolete (RFC 1350, section 1).
inline std::optional<Request> parse_request(std::string_view bytes) {
    FieldReader in(bytes);
    Request request;
    request.opcode = static_cast<Opcode>(in.u16());
    request.name = std::string(in.text_to_zero());
    const std::string mode = lower(in.text_to_zero());
    request.netascii = mode == "netascii";
    if (bytes.size() > most_request || !in.whole() || (request.opcode != Opcode::rrq && request.opcode != Opcode::wrq))
        return {};
    if (request.name.empty() || (mode != "netascii" && mode != "octet")) return {};
    auto options = parse_options_of(in);
    if (!options) return {};
    request.options = std::move(*options);
    return request;
}

/// DATA, ACK, ERROR or OACK; nothing if it is none. Refers to the bytes.
inline std::optional<Packet> parse(std::string_view bytes) {
    FieldReader in(bytes);
    Packet packet;
    packet.opcode = static_cast<Opcode>(in.u16());
    if (packet.opcode == Opcode::oack && in.whole()) {
        auto options = parse_options_of(in);
        if (!options) return {};
        packet.options = std::move(*options);
        return packet;
    }
    packet.number = in.u16();
    if (!in.whole()) return {};
    if (packet.opcode == Opcode::data) {
        packet.bytes = in.rest();
    } else if (packet.opcode == Opcode::error && in.left() > 0) {  // else it is an ACK, damaged by one bit
        packet.bytes = in.text_to_zero();                          // one without its 0 has no text
    } else if (packet.opcode != Opcode::ack || in.left() > 0) {
        return {};
    }
    return packet;
}

inline FieldWriter with_opcode(Opcode opcode) { return FieldWriter().u16(static_cast<std::uint16_t>(opcode)); }
inline std::string text0(std::string_view text) { return std::string(text) + '\0'; }

inline std::string to_bytes(const Request& request) {
    FieldWriter out = with_opcode(request.opcode);
    out.bytes(text0(request.name)).bytes(text0(request.netascii ? "netascii" : "octet"));
    for (const auto& [name, value] : request.options)
        out.bytes(text0(name)).bytes(text0(value));
    return out.str();
}
inline std::string data(std::uint16_t block, std::string_view bytes) {
    return with_opcode(Opcode::data).u16(block).bytes(bytes).str();
}
inline std::string ack(std::uint16_t block) { return with_opcode(Opcode::ack).u16(block).str(); }
inline std::string error(Error code, std::string_view text) {
    return with_opcode(Opcode::error).u16(static_cast<std::uint16_t>(code)).bytes(text0(text)).str();
}
/// The same, with its text cut off so that it gets no longer than this; nothing if there is no room for any ERROR.
inline std::optional<std::string> error_within(std::size_t most, Error code, std::string_view text) {
    const std::size_t least = error(code, "").size();
    if (most < least) return {};
    return error(code, text.substr(0, most - least));
}
inline std::string oack(const OptionList& options) {
    FieldWriter out = with_opcode(Opcode::oack);
    for (const auto& [name, value] : options)
        out.bytes(text0(name)).bytes(text0(value));
    return out.str();
}

// ---- Options

/// A decimal number within a range; nothing if it is something else.
inline std::optional<std::uint64_t> number(std::string_view text, std::uint64_t least, std::uint64_t most) {
    if (text.empty() || text.size() > 19) return {};
    std::uint64_t value = 0;
    for (const char c : text) {
        if (c < '0' || c > '9') return {};
        value = 10 * value + static_cast<std::uint64_t>(c - '0');
    }
    if (value < least || value > most) return {};
    return value;
}

/// What both have agreed on.
struct Terms {
    std::size_t block = default_block;
    std::optional<unsigned> timeout;    ///< seconds
    std::optional<std::uint64_t> size;  ///< of the file in bytes
    OptionList accepted;                ///< for the OACK; empty: no OACK is sent
};

/// The longest time-out that a server agrees to, in seconds: a client that falls silent is waited for several times as
/// long. RFC 2349 has up to 255.
constexpr std::uint64_t most_timeout = 30;

/// A server's answer to a request's options. What it does not know, or what is out of range, it leaves out of its
/// answer, and then it does not count (RFC 2347). size: of the file to be read, if it is known. The OACK is never
/// longer than the request: rather it does not tell a file's size.
inline Terms agree(const Request& request, std::optional<std::uint64_t> size) {
    Terms terms;
    const std::size_t spare = to_bytes({request.opcode, request.name, request.netascii, {}}).size() - oack({}).size();
    for (const auto& [name, value] : request.options) {
        if (name == "blksize") {
            const auto wanted = number(value, least_block, 65535);  // a smaller one than was asked for may be answered
            if (!wanted) continue;
            terms.block = std::min<std::size_t>(*wanted, most_block);
            terms.accepted.emplace_back(name, std::to_string(terms.block));
        } else if (name == "timeout") {
            const auto seconds = number(value, 1, most_timeout);
            if (!seconds) continue;
            terms.timeout = static_cast<unsigned>(*seconds);
            terms.accepted.emplace_back(name, value);
        } else if (name == "tsize") {
            const auto told = number(value, 0, UINT64_MAX / 2);
            if (!told) continue;
            if (request.opcode == Opcode::wrq) {
                terms.size = *told;
                terms.accepted.emplace_back(name, value);
            } else if (size && std::to_string(*size).size() <= value.size() + spare) {
                terms.size = size;
                terms.accepted.emplace_back(name, std::to_string(*size));
            }
        }
    }
    return terms;
}

/// What a client makes of an OACK; nothing if it has something in it that was not asked for, or is larger.
inline std::optional<Terms> accept(const OptionList& asked, const OptionList& answered) {
    Terms terms;
    for (const auto& [name, value] : answered) {
        const auto found = std::find_if(asked.begin(), asked.end(),
                                        [&, &option = name](const auto& one) { return one.first == option; });
        if (found == asked.end()) return {};
        if (name == "blksize") {
            const auto block = number(value, least_block, number(found->second, 0, 65535).value_or(0));
            if (!block) return {};
            terms.block = static_cast<std::size_t>(*block);
        } else if (name == "timeout") {
            if (value != found->second) return {};
            terms.timeout = static_cast<unsigned>(number(value, 1, 255).value_or(1));
        } else if (name == "tsize") {
            terms.size = number(value, 0, UINT64_MAX / 2);
            if (!terms.size) return {};
        }
    }
    return terms;
}

// ---- netascii (RFC 764): a newline travels as CR LF, a CR as CR NUL

class NetasciiEncoder {
public:
    std::string encode(std::string_view bytes) const {
        std::string text;
        for (const char c : bytes) {
            if (c == '\n') text += '\r';
            text += c;
            if (c == '\r') text += '\0';
        }
        return text;
    }
};

class NetasciiDecoder {
public:
    /// A CR at the end waits for what follows it, which may come with the next block.
    std::string decode(std::string_view text, bool last) {
        std::string bytes;
        for (const char c : text) {
            if (cr_) {
                cr_ = false;
                bytes += c == '\n' ? '\n' : '\r';
                if (c == '\n' || c == '\0') continue;
            }
            if (c == '\r') {
                cr_ = true;
            } else {
                bytes += c;
            }
        }
        if (last && cr_) bytes += '\r';
        return bytes;
    }

private:
    bool cr_ = false;
};

// ---- The two sides

/// Sends DATA and takes ACK.
class SendingSide {
public:
    /// read(count): the next bytes of the file, fewer than count only at its end.
    SendingSide(std::function<std::string(std::size_t)> read, std::size_t block_size, bool netascii)
        : read_(std::move(read)), block_size_(block_size), netascii_(netascii) {}

    /// Takes the acknowledgement of a block, 0 of the request. True: datagram() is another one, to be sent now. False:
    /// there is nothing to be sent. An ACK that comes for the second time must not let a block be sent again: else,
    /// where one ACK was only late, every block behind it would go twice (the Sorcerer's Apprentice; RFC 1123,
    /// section 4.2.3.1).
    bool receive(std::uint16_t block) {
        if (finished_ || block != static_cast<std::uint16_t>(block_)) return false;
        if (block_ > 0 && last_) {
            finished_ = true;
            return false;
        }
        while (waiting_.size() < block_size_ && !at_end_) {
            const std::string bytes = read_(block_size_);
            at_end_ = bytes.size() < block_size_;
            waiting_ += netascii_ ? NetasciiEncoder().encode(bytes) : bytes;
        }
        ++block_;
        const std::string piece = waiting_.substr(0, block_size_);
        waiting_.erase(0, piece.size());
        last_ = piece.size() < block_size_;
        bytes_ += piece.size();
        datagram_ = data(static_cast<std::uint16_t>(block_), piece);
        return true;
    }

    const std::string& datagram() const { return datagram_; }
    bool finished() const { return finished_; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint64_t block() const { return block_; }

private:
    std::function<std::string(std::size_t)> read_;
    std::size_t block_size_;
    bool netascii_;
    std::string waiting_, datagram_;
    std::uint64_t block_ = 0, bytes_ = 0;
    bool at_end_ = false, last_ = false, finished_ = false;
};

/// Takes DATA and sends ACK.
class ReceivingSide {
public:
    ReceivingSide(std::function<void(std::string_view)> write, std::size_t block_size, bool netascii)
        : write_(std::move(write)), block_size_(block_size), netascii_(netascii) {}

    /// The ACK to be sent for a block: written if it is the next one; one that was written already is acknowledged
    /// again, since the ACK may have been lost. Nothing for any other, and for one that is too long.
    std::optional<std::string> receive(std::uint16_t block, std::string_view bytes) {
        if (bytes.size() > block_size_) return {};
        if (block == static_cast<std::uint16_t>(block_ + 1) && !finished_) {
            ++block_;
            finished_ = bytes.size() < block_size_;
            bytes_ += bytes.size();
            write_(netascii_ ? decoder_.decode(bytes, finished_) : std::string(bytes));
        } else if (block != static_cast<std::uint16_t>(block_) || block_ == 0) {
            return {};
        }
        return ack(block);
    }

    bool finished() const { return finished_; }
    std::uint64_t bytes() const { return bytes_; }
    std::uint64_t block() const { return block_; }

private:
    std::function<void(std::string_view)> write_;
    std::size_t block_size_;
    bool netascii_;
    NetasciiDecoder decoder_;
    std::uint64_t block_ = 0, bytes_ = 0;
    bool finished_ = false;
};

}  // namespace tftp
