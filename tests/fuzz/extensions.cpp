// Lists of extensions, as they stand in Sec-WebSocket-Extensions, and the negotiation of permessage-deflate.
//
// Input: 1 byte of policy and offer, 1 byte of window bits, then the field's value; line feeds part several fields.

#include "websocket/protocol/deflate.hpp"
#include "websocket/protocol/handshake.hpp"
#include "websocket/protocol/text.hpp"

#include "tests/fuzz/fuzz.hpp"

namespace {

using namespace websocket;

int bits_of(unsigned number) { return 8 + static_cast<int>(number % 8); }

void require_sound(const DeflateParameters& parameters) {
    for (const int bits : {parameters.server_max_window_bits, parameters.client_max_window_bits})
        fuzz::require(bits >= 8 && bits <= 15, "window bits out of range were agreed on");
}

/// An offer that was accepted: a client that made it must understand the answer, and mean the same by it.
void check_accepted(const Extension& offer, const DeflateParameters& agreed, const std::string& answer) {
    require_sound(agreed);
    DeflateOffer offered{false, false, 0, 0};
    for (const auto& [name, value] : offer.parameters) {
        if (name == "server_no_context_takeover") offered.server_no_context_takeover = true;
        if (name == "client_no_context_takeover") offered.client_no_context_takeover = true;
        if (name == "server_max_window_bits") offered.server_max_window_bits = std::stoi(value.value());
        if (name == "client_max_window_bits") offered.client_max_window_bits = value ? std::stoi(*value) : 15;
    }
    const auto extension = parse_extension(answer);
    fuzz::require(extension.has_value(), "the server's answer is malformed");
    const auto understood = check_answer(*extension, offered);
    fuzz::require(understood == agreed, "client and server don't mean the same");
}

}  // namespace

FUZZ_TARGET(fuzz_extensions) {
    fuzz::Input input(data, size);
    const unsigned flags = input.byte();
    const unsigned bits = input.byte();
    HttpHead head;
    std::string_view text = input.rest();
    while (!text.empty()) {
        head.fields.emplace_back("list", trim(take_until(text, "\n")));
        if (!text.empty()) text.remove_prefix(1);
    }
    const DeflatePolicy policy{(flags & 1U) != 0, (flags & 2U) != 0, bits_of(bits), bits_of(bits >> 3U)};
    const DeflateOffer own{(flags & 4U) != 0, (flags & 8U) != 0, (flags & 16U) != 0 ? bits_of(bits) : 0,
                           (flags & 32U) != 0 ? bits_of(bits >> 3U) : 0};
    for (const std::string& element : head.list("list")) {
        fuzz::require(!element.empty() && trim(element) == element, "an element of a list is not trimmed");
        const auto extension = parse_extension(element);
        if (!extension) continue;
        fuzz::require(is_token(extension->name), "an extension's name is no token");
        for (const auto& [name, value] : extension->parameters)
            fuzz::require(is_token(name) && (!value || is_token(*value)), "a parameter is no token");
        std::string answer;
        if (const auto agreed = accept_offer(*extension, policy, answer)) check_accepted(*extension, *agreed, answer);
        if (const auto agreed = check_answer(*extension, own)) require_sound(*agreed);
    }
    return 0;
}
