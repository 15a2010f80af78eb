// TFTP client (RFC 1350): gets a file from a TFTP server, or puts one there.
//
//     terminal 1:  build/udp/tftp_server --folder tests
//     terminal 2:  build/udp/tftp_client get catch.hpp --local /tmp/catch.hpp
//
// The request goes to the server's known port; whoever answers first does it from the port of this transfer, and from
// then on nobody else counts. Each datagram is repeated until its answer comes (common/datagram.hpp, ask()), and what
// comes twice is passed over. Try it through a bad network (build/udp/trouble --drop 30 --duplicate 30; --port 7001
// here), and with --trace: which datagrams go twice? Then against other people's servers: in.tftpd -L (Debian's
// tftpd-hpa).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "udp/incoming_file.hpp"
#include "udp/tftp.hpp"

#include <chrono>
#include <optional>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

struct Talk {
    int endpoint;
    Address peer;  // the known port, and from the first answer on the transfer's
    bool peer_is_known = false;
    Retry retry;
    bool bad_network = false;  // something was lost, or came twice
};

/// Whoever sends from another port than the transfer's is told so (RFC 1350, section 4), but not in answer to an error.
void send_away(const Talk& talk, const Datagram& datagram) {
    const auto packet = tftp::parse(datagram.bytes);
    if (packet && packet->opcode == tftp::Opcode::error) return;
    const auto error =
        tftp::error_within(datagram.size, tftp::Error::unknown_tid, "this port belongs to another transfer");
    if (!error) return;
    TRY(sendto(talk.endpoint, error->data(), error->size(), 0, datagram.sender.get(), datagram.sender.length()));
}

/// Sends a datagram until an answer comes that is wanted. Throws std::runtime_error for ERROR, and when none comes.
Datagram exchange(Talk& talk, const std::string& datagram, const std::function<bool(const tftp::Packet&)>& wanted) {
    std::string failure;
    const auto began = std::chrono::steady_clock::now();
    const auto answer = ask(talk.endpoint, talk.peer, datagram, talk.retry, [&](const Datagram& candidate) {
        // The first answer is from a port that we did not know, but from the host that we have asked.
        const Address sender = talk.peer_is_known ? candidate.sender : candidate.sender.with_port(0);
        if (!(sender == (talk.peer_is_known ? talk.peer : talk.peer.with_port(0)))) {
            send_away(talk, candidate);
            return false;
        }
        const auto packet = tftp::parse(candidate.bytes);
        if (!packet) return false;
        if (packet->opcode == tftp::Opcode::error) {
            failure = fmt::format("the server: {} (error {})", escaped(packet->bytes), packet->number);
            return true;
        }
        const bool is_wanted = wanted(*packet);
        talk.bad_network = talk.bad_network || !is_wanted;
        return is_wanted;
    });
    if (std::chrono::steady_clock::now() - began >= talk.retry.timeout) talk.bad_network = true;
    if (!answer)
        throw std::runtime_error(fmt::format("no answer from {} after {} tries", talk.peer.text(), talk.retry.tries));
    if (!failure.empty()) throw std::runtime_error(failure);
    talk.peer = answer->sender;
    talk.peer_is_known = true;
    return *answer;
}

[[noreturn]] void refuse(const Talk& talk, tftp::Error code, const std::string& text) {
    const std::string error = tftp::error(code, text);
    TRY(sendto(talk.endpoint, error.data(), error.size(), 0, talk.peer.get(), talk.peer.length()));
    throw std::runtime_error(text);
}

/// The terms of an OACK. Throws, and tells the server, if they can't be.
tftp::Terms terms_of(const Talk& talk, const tftp::Request& request, const tftp::Packet& oack) {
    const auto terms = tftp::accept(request.options, oack.options);
    if (!terms) refuse(talk, tftp::Error::option, "options that were not asked for");
    return *terms;
}

void apply(Talk& talk, const tftp::Terms& terms) {
    if (terms.timeout) talk.retry.timeout = std::chrono::seconds(*terms.timeout);
}

/// The last ACK may be lost, and then the last block comes again. Somebody should be here for a while to answer it
/// ("dallying", RFC 1350, section 6); where nothing was lost so far, we do not let our user wait for that.
void linger(const Talk& talk, const std::string& last, std::uint64_t block) {
    const auto end = std::chrono::steady_clock::now() + 2 * talk.retry.timeout;
    while (const auto datagram = receive_until(talk.endpoint, end)) {
        if (std::chrono::steady_clock::now() >= end) return;
        const auto packet = tftp::parse(datagram->bytes);
        if (!packet || !(datagram->sender == talk.peer)) continue;
        if (packet->opcode != tftp::Opcode::data || packet->number != static_cast<std::uint16_t>(block)) continue;
        TRY(sendto(talk.endpoint, last.data(), last.size(), 0, talk.peer.get(), talk.peer.length()));
    }
}

std::uint64_t get(Talk& talk, const tftp::Request& request, IncomingFile& file) {
    Datagram answer = exchange(talk, tftp::to_bytes(request), [&](const tftp::Packet& packet) {
        return (packet.opcode == tftp::Opcode::oack && !request.options.empty()) ||
               (packet.opcode == tftp::Opcode::data && packet.number == 1);
    });
    tftp::Terms terms;
    std::string last;
    const bool agreed = tftp::parse(answer.bytes)->opcode == tftp::Opcode::oack;
    if (agreed) {
        terms = terms_of(talk, request, *tftp::parse(answer.bytes));
        apply(talk, terms);
    }
    tftp::ReceivingSide receiving(
        [&](std::string_view bytes) {
            if (terms.size && file.size() + bytes.size() > *terms.size)
                refuse(talk, tftp::Error::disk_full, "there is more than was announced");
            file.write(bytes);
        },
        terms.block, request.netascii);
    if (agreed) {
        last = tftp::ack(0);
    } else {
        const auto first = tftp::parse(answer.bytes);
        const auto ack = receiving.receive(1, first->bytes);
        if (!ack) refuse(talk, tftp::Error::illegal_operation, "the first block is too long");
        last = *ack;
    }
    while (!receiving.finished()) {
        answer = exchange(talk, last, [&](const tftp::Packet& packet) {
            return packet.opcode == tftp::Opcode::data &&
                   packet.number == static_cast<std::uint16_t>(receiving.block() + 1) &&
                   packet.bytes.size() <= terms.block;
        });
        const auto packet = tftp::parse(answer.bytes);
        last = receiving.receive(packet->number, packet->bytes).value();
    }
    if (terms.size && file.size() != *terms.size)
        refuse(talk, tftp::Error::undefined,
               fmt::format("{} bytes were announced, and {} have come", *terms.size, file.size()));
    file.finish();
    CALL(sendto(talk.endpoint, last.data(), last.size(), 0, talk.peer.get(), talk.peer.length()));
    if (talk.bad_network) linger(talk, last, receiving.block());
    return receiving.bytes();
}

std::uint64_t put(Talk& talk, const tftp::Request& request, int file) {
    const Datagram answer = exchange(talk, tftp::to_bytes(request), [&](const tftp::Packet& packet) {
        return (packet.opcode == tftp::Opcode::oack && !request.options.empty()) ||
               (packet.opcode == tftp::Opcode::ack && packet.number == 0);
    });
    tftp::Terms terms;
    if (const auto packet = tftp::parse(answer.bytes); packet->opcode == tftp::Opcode::oack) {
        terms = terms_of(talk, request, *packet);
        apply(talk, terms);
    }
    tftp::SendingSide sending(
        [file](std::size_t count) {
            std::string bytes(count, '\0');
            std::size_t have = 0;
            while (have < count) {
                const ssize_t got = CALL(read(file, bytes.data() + have, count - have));
                if (got == 0) break;
                have += static_cast<std::size_t>(got);
            }
            bytes.resize(have);
            return bytes;
        },
        terms.block, request.netascii);
    sending.receive(0);
    while (!sending.finished()) {
        const auto block = static_cast<std::uint16_t>(sending.block());
        exchange(talk, sending.datagram(), [&](const tftp::Packet& packet) {
            return packet.opcode == tftp::Opcode::ack && packet.number == block;
        });
        sending.receive(block);
    }
    return sending.bytes();
}

}  // namespace

int main(int argc, char** argv) try {
    std::string local, remote, mode = "octet";
    long block = 1428, timeout = 1000, tries = 6;
    bool plain = false, overwrite = false;
    const Options options = parse_options(
        argc, argv,
        {.summary = "TFTP client. COMMAND is get or put, FILE what is to be got from there or put there.",
         .more = {{"local", "PATH", "get: where it goes; by default its name, here", &local},
                  {"remote", "NAME", "put: what it is called there", &remote},
                  {"mode", "MODE", "octet: bytes as they are; netascii: text, newlines as CR LF", &mode},
                  {"blksize", "BYTES", "ask for blocks of so many (RFC 2348)", &block, 8, 65464},
                  {"plain", nullptr, "ask for no options: blocks of 512 bytes", &plain},
                  {"overwrite", nullptr, "get: replace a file that is there", &overwrite},
                  {"timeout", "MS", "repeat what is not answered for so long; then twice as long", &timeout, 1, 60000},
                  {"tries", "N", "give up after so many", &tries, 1, 100}},
         .arguments = {"COMMAND", "FILE"}});
    const std::string& command = options.arguments[0];
    const std::string& name = options.arguments[1];
    if (command != "get" && command != "put")
        throw UsageError(fmt::format("{}: expected get or put", escaped(command)));
    if (mode != "octet" && mode != "netascii")
        throw UsageError(fmt::format("--mode {}: expected octet or netascii", escaped(mode)));
    const std::string base = name.substr(name.rfind('/') + 1);
    tftp::Request request{command == "get" ? tftp::Opcode::rrq : tftp::Opcode::wrq, name, mode == "netascii", {}};
    if (command == "put") request.name = remote.empty() ? base : remote;
    if (local.empty()) local = base;
    const std::string folder = local.find('/') == std::string::npos ? "." : local.substr(0, local.rfind('/') + 1);

    const Address server = resolve(options.host, options.port, SOCK_DGRAM).front();
    const int endpoint = CALL(socket(server.family(), SOCK_DGRAM, 0));
    Talk talk{
        endpoint, server, false, {std::chrono::milliseconds(timeout), tries, true, std::chrono::milliseconds(8000)}};
    std::uint64_t bytes = 0;
    const auto began = std::chrono::steady_clock::now();
    if (command == "get") {
        if (!plain) request.options = {{"blksize", std::to_string(block)}};
        if (!plain && !request.netascii) request.options.emplace_back("tsize", "0");
        const int where = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        IncomingFile file(where, local.substr(local.rfind('/') + 1), static_cast<std::uint64_t>(getpid()), overwrite);
        bytes = get(talk, request, file);
    } else {
        const int file = CALL(open(name.c_str(), O_RDONLY | O_CLOEXEC));
        const off_t size = lseek(file, 0, SEEK_END);
        if (!plain) request.options = {{"blksize", std::to_string(block)}};
        if (!plain && size >= 0 && !request.netascii) request.options.emplace_back("tsize", std::to_string(size));
        if (size >= 0) lseek(file, 0, SEEK_SET);
        bytes = put(talk, request, file);
        CALL(close(file));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - began;
    fmt::print("{} bytes in {:.3f} s\n", bytes, seconds.count());
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
