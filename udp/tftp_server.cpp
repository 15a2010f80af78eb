// TFTP server (RFC 1350): a real protocol that is stop and wait, as switches, telephones and network cards speak it
// when they start.
//
//     terminal 1:  build/udp/tftp_server --folder tests
//     terminal 2:  build/udp/tftp_client get catch.hpp --local /tmp/catch.hpp        (or tftp, or curl tftp://...)
//
// A request comes to port 7000 (TFTP's own, 69, is for root); the answer leaves from a *new* port, and the whole
// transfer stays there. So the two ports together name a transfer, and many can go on at a time: each has a socket, a
// state and a timer here, and one poll() waits for all. There is no password: what is in the folder is for everybody,
// and nothing else is; writing must be allowed (--write).
//
// Before the first ACK nobody knows whether the sender's address is a forged one. Until then no answer is longer than
// what it answers, and nothing is repeated unless the request is. But a short request without options is answered by
// the first block: the protocol demands it. So this listens on loopback unless told otherwise.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "udp/incoming_file.hpp"
#include "udp/tftp.hpp"

#include <algorithm>
#include <chrono>
#include <list>
#include <memory>
#include <optional>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t most_transfers = 64;   // at a time
constexpr std::size_t most_lingering = 256;  // and with those that are complete
// Debian's tftp and curl ask again after 5 s, however short our own time-out is: that late, the answer to our first
// datagram may come, and for a last block whose ACK was lost, perhaps twice.
constexpr std::chrono::seconds first_patience{7}, linger{16};
constexpr std::size_t longest_error = tftp::default_block;

struct Settings {
    int folder = -1;
    bool write = false, overwrite = false;
    long timeout = 1000, tries = 6, upload = 64L << 20U;
};
Settings settings;
std::uint64_t transfers_so_far = 0;

/// A refusal, for the client.
struct Refusal {
    tftp::Error code;
    std::string text;
};

struct Transfer {
    Address client;
    int fd;
    std::string what;       // "reads catch.hpp"
    std::string request;    // as it came
    std::size_t asked = 0;  // bytes of the latest datagram of the client
    std::string last = {};  // the datagram that is repeated when the time is over
    std::chrono::milliseconds timeout{settings.timeout};
    Clock::time_point sent{}, due{};
    long tries = 0;
    bool proved = false;  // an answer has come: the address is not forged
    bool over = false;
    int file = -1;                                // that is read
    std::unique_ptr<IncomingFile> incoming = {};  // or written
    std::optional<tftp::SendingSide> sending = {};
    std::optional<tftp::ReceivingSide> receiving = {};
};

void send_to(const Transfer& transfer, const Address& to, const std::string& datagram) {
    if (TRY(sendto(transfer.fd, datagram.data(), datagram.size(), 0, to.get(), to.length())) == -1)
        fmt::print(stderr, "{}: {}\n", to.text(), describe_error(errno));
}

/// Sends something new, and waits for its answer from now on; for the first one so long that a client that doubles its
/// own time-outs has asked three times.
void send_next(Transfer& transfer, const std::string& datagram) {
    transfer.last = datagram;
    transfer.tries = 1;
    transfer.sent = Clock::now();
    transfer.due =
        transfer.sent + (transfer.proved ? transfer.timeout
                                         : std::max<std::chrono::milliseconds>(first_patience, 7 * transfer.timeout));
    send_to(transfer, transfer.client, datagram);
}

void send_error(const Transfer& transfer, const Address& to, tftp::Error code, const std::string& text,
                std::size_t most) {
    if (const auto error = tftp::error_within(most, code, text)) send_to(transfer, to, *error);
}

void end(Transfer& transfer, const std::string& how) {
    transfer.over = true;
    fmt::print("{} {}: {}\n", transfer.client.text(), transfer.what, how);
}

void refuse(Transfer& transfer, tftp::Error code, const std::string& text) {
    send_error(transfer, transfer.client, code, text, transfer.proved ? longest_error : transfer.asked);
    end(transfer, "refused: " + text);
}

/// Opens a file below the folder: each part of its name from the one before, no link followed, no way up. Throws
/// Refusal.
int open_below(const std::string& name) {
    int at = CALL(dup(settings.folder));
    std::size_t begin = name.find_first_not_of('/');  // "/boot/image" is below the folder, too
    while (begin != std::string::npos) {
        const std::size_t end = std::min(name.find('/', begin), name.size());
        const std::string part = name.substr(begin, end - begin);
        begin = name.find_first_not_of('/', end);
        const bool is_last = begin == std::string::npos;
        if (part == ".." || part == ".") {
            TRY(close(at));
            throw Refusal{tftp::Error::access, "no such way"};
        }
        const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | (is_last ? 0 : O_DIRECTORY);
        const int next = TRY(openat(at, part.c_str(), flags));
        const int error = errno;
        TRY(close(at));
        if (next == -1 && (error == ENOENT || error == ENOTDIR))
            throw Refusal{tftp::Error::not_found, "there is no such file"};
        if (next == -1) throw Refusal{tftp::Error::access, "it can't be read: " + error_name(error)};
        at = next;
    }
    struct stat status {};
    if (TRY(fstat(at, &status)) == -1 || !S_ISREG(status.st_mode)) {
        TRY(close(at));
        throw Refusal{tftp::Error::access, "it is no file"};
    }
    return at;
}

void begin_reading(Transfer& transfer, const tftp::Request& request) {
    transfer.file = open_below(request.name);
    struct stat status {};
    CALL(fstat(transfer.file, &status));
    // How long it is in netascii is not known before it was read.
    const auto size = request.netascii ? std::nullopt : std::optional(static_cast<std::uint64_t>(status.st_size));
    const tftp::Terms terms = tftp::agree(request, size);
    if (terms.timeout) transfer.timeout = std::chrono::seconds(*terms.timeout);
    transfer.sending.emplace(
        [file = transfer.file](std::size_t count) {
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
    // With options the client's first ACK is for block 0, the OACK; without, the first block is the answer.
    if (!terms.accepted.empty()) return send_next(transfer, tftp::oack(terms.accepted));
    transfer.sending->receive(0);
    send_next(transfer, transfer.sending->datagram());
}

void begin_writing(Transfer& transfer, const tftp::Request& request) {
    if (!settings.write) throw Refusal{tftp::Error::access, "nothing is written here"};
    const tftp::Terms terms = tftp::agree(request, {});
    if (terms.size && *terms.size > static_cast<std::uint64_t>(settings.upload))
        throw Refusal{tftp::Error::disk_full, fmt::format("more than {} bytes are not taken", settings.upload)};
    if (terms.timeout) transfer.timeout = std::chrono::seconds(*terms.timeout);
    try {
        transfer.incoming =
            std::make_unique<IncomingFile>(settings.folder, request.name, ++transfers_so_far, settings.overwrite);
    } catch (const FileError& error) {
        throw Refusal{is_plain_name(request.name) ? tftp::Error::exists : tftp::Error::access, error.what()};
    }
    transfer.receiving.emplace(
        [&transfer](std::string_view bytes) {
            if (transfer.incoming->size() + bytes.size() > static_cast<std::uint64_t>(settings.upload))
                throw Refusal{tftp::Error::disk_full, fmt::format("more than {} bytes are not taken", settings.upload)};
            transfer.incoming->write(bytes);
        },
        terms.block, request.netascii);
    send_next(transfer, terms.accepted.empty() ? tftp::ack(0) : tftp::oack(terms.accepted));
}

/// Does something for a transfer; whatever goes wrong ends it alone.
template <typename Action>
void guarded(Transfer& transfer, Action action) {
    try {
        action();
    } catch (const Refusal& refusal) {
        refuse(transfer, refusal.code, refusal.text);
    } catch (const FileError& error) {
        refuse(transfer, tftp::Error::exists, error.what());
    } catch (const SocketError& error) {
        complain(error);
        const int number = error.code().value();
        refuse(transfer, number == ENOSPC ? tftp::Error::disk_full : tftp::Error::undefined, error_name(number));
    }
}

void take(Transfer& transfer, const Datagram& datagram) {
    if (!(datagram.sender == transfer.client)) {
        // Somebody else's port: told so, and the transfer goes on (RFC 1350, section 4). Not if it is an error itself:
        // else two such ports could tell each other so for ever.
        const auto packet = tftp::parse(datagram.bytes);
        if (packet && packet->opcode == tftp::Opcode::error) return;
        return send_error(transfer, datagram.sender, tftp::Error::unknown_tid, "this port belongs to another transfer",
                          datagram.bytes.size());
    }
    transfer.asked = datagram.bytes.size();
    const auto packet = tftp::parse(datagram.bytes);
    if (!packet) return;  // damaged, perhaps: as good as lost
    if (packet->opcode == tftp::Opcode::error) return end(transfer, "the client: " + escaped(packet->bytes));
    if (!transfer.proved) transfer.due = transfer.sent + transfer.timeout;  // from now on we may repeat it
    transfer.proved = true;
    if (transfer.sending && packet->opcode == tftp::Opcode::ack) {
        if (transfer.sending->receive(packet->number)) send_next(transfer, transfer.sending->datagram());
        if (transfer.sending->finished()) end(transfer, fmt::format("{} bytes", transfer.sending->bytes()));
    } else if (transfer.receiving && packet->opcode == tftp::Opcode::data) {
        const bool before = transfer.receiving->finished();
        const auto ack = transfer.receiving->receive(packet->number, packet->bytes);
        if (transfer.receiving->finished() && !before) {
            transfer.incoming->finish();
            fmt::print("{} {}: {} bytes\n", transfer.client.text(), transfer.what, transfer.receiving->bytes());
        }
        if (ack) send_next(transfer, *ack);
        // That ACK may be lost, and then the last block comes again: somebody has to be here.
        if (transfer.receiving->finished()) transfer.due = Clock::now() + linger;
    }
}

void time_out(Transfer& transfer) {
    if (transfer.receiving && transfer.receiving->finished()) {
        transfer.over = true;
        return;
    }
    if (!transfer.proved || transfer.tries >= settings.tries) return end(transfer, "no answer any more");
    ++transfer.tries;
    transfer.sent = Clock::now();
    transfer.due = Clock::now() + transfer.timeout * (1 << std::min(transfer.tries - 1, 3L));
    send_to(transfer, transfer.client, transfer.last);
}

/// A request: a transfer of its own, at a port of its own.
void begin(std::list<Transfer>& transfers, int endpoint, const Datagram& datagram) {
    const auto answer = [&](tftp::Error code, const char* text) {
        const auto error = tftp::error_within(datagram.bytes.size(), code, text);
        if (error)
            TRY(sendto(endpoint, error->data(), error->size(), 0, datagram.sender.get(), datagram.sender.length()));
    };
    // The same request again: our first answer was lost, and is repeated. Not if it comes so soon that the network must
    // have doubled it.
    for (Transfer& transfer : transfers) {
        if (transfer.proved || !(transfer.client == datagram.sender) || transfer.request != datagram.bytes) continue;
        if (Clock::now() - transfer.sent >= transfer.timeout / 4) send_next(transfer, std::string(transfer.last));
        return;
    }
    const auto request = tftp::parse_request(datagram.bytes);
    if (!request) {
        const auto packet = tftp::parse(datagram.bytes);
        if (packet && packet->opcode == tftp::Opcode::error) return;  // an error is never answered by one
        return answer(tftp::Error::illegal_operation, "a request is expected here");
    }
    const auto under_way = std::count_if(transfers.begin(), transfers.end(), [](const Transfer& transfer) {
        return !transfer.over && !(transfer.receiving && transfer.receiving->finished());
    });
    if (static_cast<std::size_t>(under_way) >= most_transfers) {
        // Whoever has asked and never answered has to make room: forged requests must not keep others out.
        const auto silent = std::find_if(transfers.begin(), transfers.end(),
                                         [](const Transfer& transfer) { return !transfer.proved && !transfer.over; });
        if (silent == transfers.end()) return answer(tftp::Error::undefined, "busy: try again later");
        end(*silent, "no answer, and others wait");
    }
    if (transfers.size() >= most_lingering) {  // the one that is complete for the longest time has waited enough
        const auto complete = std::find_if(transfers.begin(), transfers.end(), [](const Transfer& transfer) {
            return transfer.receiving && transfer.receiving->finished() && !transfer.over;
        });
        if (complete != transfers.end()) complete->over = true;
    }
    const Address here = local_address(endpoint).with_port(0);
    const int fd = TRY(socket(here.family(), SOCK_DGRAM, 0));
    if (fd == -1 || TRY(bind(fd, here.get(), here.length())) == -1) {
        if (fd != -1) TRY(close(fd));
        return answer(tftp::Error::undefined, "busy: try again later");
    }
    const bool reads = request->opcode == tftp::Opcode::rrq;
    transfers.push_back({datagram.sender, fd, fmt::format("{} {}", reads ? "reads" : "writes", escaped(request->name)),
                         datagram.bytes});
    Transfer& transfer = transfers.back();
    transfer.asked = datagram.bytes.size();
    guarded(transfer, [&] { reads ? begin_reading(transfer, *request) : begin_writing(transfer, *request); });
}

}  // namespace

int main(int argc, char** argv) try {
    std::string folder = ".";
    const Options options =
        parse_options(argc, argv,
                      {.summary = "TFTP server: gives out the files of a folder, and takes some if that is allowed.",
                       .more = {{"folder", "FOLDER", "what is in there, and nothing outside of it", &folder},
                                {"write", nullptr, "let clients write new files", &settings.write},
                                {"overwrite", nullptr, "and replace those that are there", &settings.overwrite},
                                {"upload", "BYTES", "at the most of one file", &settings.upload, 0, 1L << 40U},
                                {"timeout", "MS", "repeat what is not answered for so long; then twice as long",
                                 &settings.timeout, 1, 60000},
                                {"tries", "N", "give up after so many", &settings.tries, 1, 100}}});
    settings.write = settings.write || settings.overwrite;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    settings.folder = CALL(open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    const Address address = resolve(options.host, options.port, SOCK_DGRAM).front();

    const int endpoint = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(endpoint, address.get(), address.length()));
    announce_ready(endpoint);
    const int stop = stop_descriptor();

    std::list<Transfer> transfers;
    for (;;) {
        std::vector<pollfd> watched{{endpoint, POLLIN, 0}, {stop, POLLIN, 0}};
        Clock::time_point next = Clock::time_point::max();
        for (const Transfer& transfer : transfers) {
            watched.push_back({transfer.fd, POLLIN, 0});
            next = std::min(next, transfer.due);
        }
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(next - Clock::now()).count();
        CALL(poll(watched.data(), static_cast<nfds_t>(watched.size()),
                  transfers.empty() ? -1 : static_cast<int>(std::max<long>(static_cast<long>(left), 0))));
        if (watched[1].revents != 0) break;
        const auto receive = [](int fd) -> std::optional<Datagram> {
            try {
                return receive_until(fd, Clock::time_point{});
            } catch (const SocketError& error) {
                complain(error);  // one datagram less
                return {};
            }
        };
        std::size_t i = 2;
        for (Transfer& transfer : transfers) {
            if ((watched[i++].revents & POLLIN) != 0) {
                if (const auto datagram = receive(transfer.fd)) guarded(transfer, [&] { take(transfer, *datagram); });
            }
            if (!transfer.over && transfer.due <= Clock::now()) time_out(transfer);
        }
        if (watched[0].revents != 0) {
            if (const auto datagram = receive(endpoint)) begin(transfers, endpoint, *datagram);
        }
        transfers.remove_if([](const Transfer& transfer) {
            if (!transfer.over) return false;
            if (transfer.file != -1) TRY(close(transfer.file));
            TRY(close(transfer.fd));
            return true;
        });
    }
    CALL(close(endpoint));
} catch (const std::exception& error) {
    return report_failure(error);
}
