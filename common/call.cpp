#include "common/call.hpp"

#include "common/errors.hpp"

#include <fmt/core.h>

SocketError::SocketError(int error, const Call& call)
    : std::system_error(error, std::generic_category()),
      message_(fmt::format("{}:{}: {}: {}", call.file, call.line, call.text, describe_error(error))) {}

bool detail::may_repeat(const Call& call) {
    const std::string name = narrator::name_of(call);
    return name != "close" && name != "connect";
}
