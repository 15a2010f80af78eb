#pragma once
// Why a WebSocket connection was closed (RFC 6455, section 7.4; the registry of IANA for 1012 to 1014).

#include <cstdint>

namespace websocket {

namespace close_code {
constexpr std::uint16_t normal = 1000;
constexpr std::uint16_t going_away = 1001;
constexpr std::uint16_t protocol_error = 1002;
constexpr std::uint16_t unsupported_data = 1003;
constexpr std::uint16_t none = 1005;      ///< never travels: the Close frame had no code
constexpr std::uint16_t abnormal = 1006;  ///< never travels: there was no Close frame
constexpr std::uint16_t invalid_data = 1007;
constexpr std::uint16_t policy_violation = 1008;
constexpr std::uint16_t too_big = 1009;
constexpr std::uint16_t internal_error = 1011;
constexpr std::uint16_t try_again_later = 1013;
constexpr std::uint16_t bad_gateway = 1014;
}  // namespace close_code

/// May this code stand in a Close frame? 1000-1003, 1007-1014 and 3000-4999 may.
constexpr bool may_travel(unsigned code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

}  // namespace websocket
