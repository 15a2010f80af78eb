#pragma once
// Datagrams with a time limit, and a question that is asked again until it is answered: what udp/echo_client.cpp writes
// out, for the programs after it.

#include "common/address.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

/// A datagram and who sent it.
struct Datagram {
    std::string bytes;
    Address sender;
    std::size_t size = 0;  ///< its length as it was sent; above bytes.size() if it was cut off (Linux; else the same)
};

/// The largest payload that UDP carries: 65,535 bytes less its own header, over IPv6 (RFC 768, RFC 8200).
constexpr std::size_t largest_datagram = 65527;

/// Waits for a datagram, at most until this time; at most so many bytes of it. Nothing if none came in time.
/// Throws SocketError: on a connected socket also ECONNREFUSED, if ICMP said that nobody is there (udp(7)).
std::optional<Datagram> receive_until(int fd, std::chrono::steady_clock::time_point deadline,
                                      std::size_t most = largest_datagram);

/// How often to ask, and how long to wait each time.
struct Retry {
    std::chrono::milliseconds timeout{1000};  ///< for the first try
    long tries = 5;
    bool doubling = true;  ///< twice as long after each (exponential backoff, RFC 1122, 4.2.3.1)
    std::chrono::milliseconds longest_timeout{16000};  ///< doubled no further
};

/// Sends a question to a server, and again whenever its time is over, until accept() says of a datagram that it is the
/// answer, and returns that. What it does not accept (of another sender, for another question, come twice) is passed
/// over, neither prolongs the waiting nor brings a try forward. Nothing after the last try.
/// Throws SocketError, and whatever accept() throws.
std::optional<Datagram> ask(int fd, const Address& server, std::string_view question, const Retry& retry,
                            const std::function<bool(const Datagram&)>& accept);
