// Exercise fragments, solved: messages in several frames.

#include "websocket/exercises/codec.hpp"

#include <utility>

Taken take_frame(Unfinished& message, const Frame& frame) {
    constexpr unsigned continuation = 0, binary = 2, close = 8, pong = 10;
    if (frame.opcode >= close) {  // between the fragments, and no part of them
        if (frame.opcode > pong || !frame.fin || frame.payload.size() > 125) return {Taken::fault};
        return {Taken::control, frame.opcode, frame.payload};
    }
    if (frame.opcode > binary) return {Taken::fault};
    if (message.begun != (frame.opcode == continuation)) return {Taken::fault};
    if (!message.begun) message = {true, frame.opcode, ""};
    // Asked before it grows. The sum cannot overflow: what is there is at most most_bytes.
    if (frame.payload.size() > most_bytes - message.payload.size()) return {Taken::too_big};
    message.payload += frame.payload;
    if (!frame.fin) return {Taken::nothing};
    Unfinished whole = std::exchange(message, {});
    return {Taken::message, whole.opcode, std::move(whole.payload)};
}
