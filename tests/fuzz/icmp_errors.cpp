// The control data of a socket's error queue. It comes from the kernel, and so should be right; what is not must not be
// believed, though.
//
// Input: the control data, as cmsg(3) lays it out on this machine. Linux only.

#include "udp/icmp.hpp"

#include "tests/fuzz/fuzz.hpp"

FUZZ_TARGET(fuzz_icmp_errors) {
#ifdef __linux__
    std::vector<std::max_align_t> room(size / sizeof(std::max_align_t) + 1);
    if (size > 0) std::memcpy(room.data(), data, size);
    msghdr message{};
    message.msg_control = room.data();
    message.msg_controllen = size;
    const auto error = icmp::queued_error(message);
    if (!error) return 0;
    fuzz::require(size >= CMSG_LEN(sizeof(sock_extended_err)), "an error out of nothing");
    fuzz::require(error->type <= 255 && error->code <= 255, "no type or code of ICMP");
    fuzz::require(error->mtu == 0 || error->error == EMSGSIZE, "an MTU without its error");
    icmp::host_text(error->offender);
#else
    (void)data, (void)size;
#endif
    return 0;
}
