// A bad network, made on purpose: it stands between any UDP client and server, and loses, doubles, delays, reorders and
// damages datagrams, as the Internet may.
//
//     terminal 1:  build/udp/echo_server
//     terminal 2:  build/udp/trouble --drop 30 --duplicate 10
//     terminal 3:  build/udp/echo_client --port 7001
//
// What becomes of a datagram is decided by --seed, its direction and its number alone, and not by time: the same
// datagrams meet the same fate in each run. Each is told in a line. It never invents one, and damages bits, but not
// lengths.
//
// UDP has no connections, so this keeps a table: for each client a socket of its own towards the server, and for each
// address that answers there (TFTP's server answers from a new port) a socket of its own towards the client. An entry
// that nobody uses for --idle seconds is forgotten. A home router that shares one address does the same (NAT, RFC
// 4787).

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/datagram.hpp"
#include "common/errors.hpp"
#include "common/event_loop.hpp"
#include "common/options.hpp"
#include "common/server.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <list>
#include <map>
#include <memory>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Milliseconds = std::chrono::milliseconds;

constexpr std::size_t most_clients = 256;
constexpr std::size_t most_faces = 16;     // server addresses of one client
constexpr std::size_t most_on_way = 4096;  // datagrams that are held back, of all

struct Settings {
    long drop = 0, duplicate = 0, reorder = 0, corrupt = 0;  // percent
    long delay = 0, jitter = 0;                              // milliseconds
    long hold = 50;                                          // milliseconds, for --reorder
    long rate = 0, queue = 65536;                            // bytes a second, and bytes
    long seed = 1, idle = 60;
    bool quiet = false;
    Address server;
};

Settings settings;
const Time began = Clock::now();

// ---- What becomes of a datagram

/// Numbers that look random and depend on nothing but the seed, the direction and the datagram's number (splitmix64).
class Dice {
public:
    Dice(std::uint64_t direction, std::uint64_t number)
        : state_(static_cast<std::uint64_t>(settings.seed) * 0x9E3779B97F4A7C15U + direction * 0xD1B54A32D192ED03U +
                 number * 0x8CB92BA72F3D8DD7U) {}

    std::uint64_t next() {
        std::uint64_t z = state_ += 0x9E3779B97F4A7C15U;
        z = (z ^ z >> 30U) * 0xBF58476D1CE4E5B9U;
        z = (z ^ z >> 27U) * 0x94D049BB133111EBU;
        return z ^ z >> 31U;
    }
    std::uint64_t below(std::uint64_t bound) { return next() % bound; }
    bool percent(long chance) { return below(100) < static_cast<std::uint64_t>(chance); }

private:
    std::uint64_t state_;
};

struct Fate {
    bool dropped, twice, corrupted;
    std::uint64_t overtaken_by;  // so many later ones pass it; 0: none
    std::uint64_t bit;           // the one that is turned over, modulo the datagram's length
    Milliseconds jitter;
};

/// All dice are thrown for each datagram, whatever the first of them say: so changing one option leaves the others'
/// fates.
Fate fate_of(std::uint64_t direction, std::uint64_t number) {
    Dice dice(direction, number);
    Fate fate{};
    fate.dropped = dice.percent(settings.drop);
    fate.twice = dice.percent(settings.duplicate);
    const bool reordered = dice.percent(settings.reorder);
    const std::uint64_t places = 1 + dice.below(3);
    fate.overtaken_by = reordered ? places : 0;
    fate.corrupted = dice.percent(settings.corrupt);
    fate.bit = dice.next();
    fate.jitter = Milliseconds(dice.below(static_cast<std::uint64_t>(settings.jitter) + 1));
    return fate;
}

// ---- Who talks with whom

/// Where a server address of a client is to be found, from the client's side.
struct Face {
    int fd;  // towards the client; the first is the listening socket
    Address server;
};

struct Client {
    Address address;
    int fd = -1;  // towards the server
    std::vector<Face> faces;
    Time used;
};

/// A datagram on its way, and by which socket it leaves.
struct Departure {
    int fd;
    Address to;
    std::string bytes;
    std::uint64_t number;
};

/// One that is to be overtaken by so many, or goes on when it was held back for too long.
struct Held {
    std::uint64_t by;
    Time latest;
    Departure departure;
};

struct Direction {
    const char* arrow;
    std::uint64_t received = 0, bytes = 0, dropped = 0, twice = 0, reordered = 0, corrupted = 0, overflowed = 0,
                  sent = 0, failed = 0;
    std::list<Held> held = {};
    Time line_free{};  // --rate: when the one before has left
};

class Network {
public:
    Network(int front, int stop) : front_(front), stop_(stop) {
        loop_.add(front_);
        loop_.add(stop_);
    }
    void run();

private:
    enum Way : std::size_t { to_server, to_client };

    void receive(int fd);
    void from_client(int fd, const Address& sender, std::string bytes);
    void from_server(Client& client, const Address& sender, std::string bytes);
    Client* client_of(const Address& address);
    void travel(Way way, Departure departure);
    void release_held(Direction& direction, bool one_has_passed);
    void leave_at(Direction& direction, Time due, Departure departure);
    void depart(Direction& direction, const Departure& departure);
    void forget_idle();
    void forget(Client& client);
    int milliseconds_to_next() const;
    void summarize() const;

    int front_, stop_;
    EventLoop loop_;
    Time now_ = began;
    std::list<Client> clients_;
    std::map<int, Client*> by_fd_;  // of sockets towards servers and of faces
    std::array<Direction, 2> directions_{Direction{"client -> server"}, Direction{"client <- server"}};
    struct OnWay {
        Direction* direction;
        Departure departure;
    };
    std::multimap<Time, OnWay> on_way_;
    std::vector<char> room_ = std::vector<char>(largest_datagram + 1);
};

void tell(const Direction& direction, std::uint64_t number, std::size_t size, const std::string& what) {
    if (settings.quiet) return;
    const double seconds = std::chrono::duration<double>(Clock::now() - began).count();
    fmt::print("{:9.3f}  {}  #{:<5} {:>5} bytes  {}\n", seconds, direction.arrow, number, size, what);
}

void Network::run() {
    for (;;) {
        for (const EventLoop::Ready& one : loop_.wait(milliseconds_to_next())) {
            if (one.fd == stop_) return summarize();
            // Of one socket not without end: then it is the others' turn.
            for (int i = 0; i < 64; ++i) {
                now_ = Clock::now();
                const std::uint64_t before = directions_[0].received + directions_[1].received;
                receive(one.fd);
                if (directions_[0].received + directions_[1].received == before) break;
            }
        }
        now_ = Clock::now();
        for (Direction& direction : directions_)
            release_held(direction, false);
        while (!on_way_.empty() && on_way_.begin()->first <= now_) {
            const auto next = on_way_.extract(on_way_.begin());
            depart(*next.mapped().direction, next.mapped().departure);
        }
        forget_idle();
    }
}

void Network::receive(int fd) {
    Address sender;
    const ssize_t size = TRY(recvfrom(fd, room_.data(), room_.size(), MSG_DONTWAIT, sender.out(), sender.out_length()));
    if (size == -1) return;  // nothing more, or an error that ICMP has told: as good as lost
    std::string bytes(room_.data(), static_cast<std::size_t>(size));
    const auto found = by_fd_.find(fd);
    if (found != by_fd_.end() && found->second->fd == fd) {
        from_server(*found->second, sender, std::move(bytes));
    } else {
        from_client(fd, sender, std::move(bytes));
    }
}

void Network::from_client(int fd, const Address& sender, std::string bytes) {
    Client* client = fd == front_ ? client_of(sender) : by_fd_.at(fd);
    if (client == nullptr || !(client->address == sender)) return;  // no room for more, or a stranger at a face
    client->used = now_;
    const auto face =
        std::find_if(client->faces.begin(), client->faces.end(), [&](const Face& one) { return one.fd == fd; });
    travel(to_server, {client->fd, face->server, std::move(bytes), 0});
}

void Network::from_server(Client& client, const Address& sender, std::string bytes) {
    auto face =
        std::find_if(client.faces.begin(), client.faces.end(), [&](const Face& one) { return one.server == sender; });
    if (face == client.faces.end()) {
        // An address that the client has not sent to. A firewall would stop it; we let the server's machine answer from
        // another port, as TFTP does.
        if (!(sender.with_port(0) == settings.server.with_port(0)) || client.faces.size() >= most_faces) return;
        const int fd = TRY(socket(client.address.family(), SOCK_DGRAM, 0));
        if (fd == -1) return;
        const Address here = local_address(front_).with_port(0);
        if (TRY(bind(fd, here.get(), here.length())) == -1) {
            TRY(close(fd));
            return;
        }
        loop_.add(fd);
        by_fd_[fd] = &client;
        client.faces.push_back({fd, sender});
        face = client.faces.end() - 1;
        if (!settings.quiet) {
            fmt::print("{:9.3f}  {} answers, too: for {} that is {}\n",
                       std::chrono::duration<double>(now_ - began).count(), sender.text(), client.address.text(),
                       local_address(fd).text());
        }
    }
    client.used = now_;
    travel(to_client, {face->fd, client.address, std::move(bytes), 0});
}

/// The entry of a client, made where there is none; nullptr where there is no room.
Client* Network::client_of(const Address& address) {
    for (Client& client : clients_)
        if (client.address == address) return &client;
    if (clients_.size() >= most_clients) return nullptr;
    const int fd = TRY(socket(settings.server.family(), SOCK_DGRAM, 0));
    if (fd == -1) return nullptr;
    loop_.add(fd);
    clients_.push_back({address, fd, {{front_, settings.server}}, now_});
    by_fd_[fd] = &clients_.back();
    return &clients_.back();
}

// ---- The way

void Network::travel(Way way, Departure departure) {
    Direction& direction = directions_[way];
    departure.number = ++direction.received;
    direction.bytes += departure.bytes.size();
    const Fate fate = fate_of(way, departure.number);
    const std::size_t size = departure.bytes.size();
    if (fate.dropped) {
        ++direction.dropped;
        tell(direction, departure.number, size, "dropped");
        return;
    }
    std::string what;
    if (fate.corrupted && size > 0) {
        ++direction.corrupted;
        const std::uint64_t bit = fate.bit % (8 * size);
        departure.bytes[bit / 8] =
            static_cast<char>(static_cast<unsigned char>(departure.bytes[bit / 8]) ^ (1U << bit % 8));
        what += fmt::format(", bit {} of byte {} turned over", bit % 8, bit / 8);
    }
    Time due = now_ + Milliseconds(settings.delay) + fate.jitter;
    if (settings.delay + settings.jitter > 0)
        what += fmt::format(", after {} ms", settings.delay + fate.jitter.count());
    if (settings.rate > 0) {
        // A line of this speed, and before it a queue: when that is full, whoever comes is dropped.
        const std::chrono::duration<double> waiting = std::max(direction.line_free, now_) - now_;
        if (waiting.count() * static_cast<double>(settings.rate) > static_cast<double>(settings.queue)) {
            ++direction.overflowed;
            tell(direction, departure.number, size, "dropped: the queue before the line is full");
            return;
        }
        const std::chrono::duration<double> takes(static_cast<double>(size) / static_cast<double>(settings.rate));
        direction.line_free = std::max(direction.line_free, now_) + std::chrono::duration_cast<Clock::duration>(takes);
        due += direction.line_free - now_;
    }
    if (fate.twice) {
        ++direction.twice;
        what += ", twice";
        leave_at(direction, due, departure);
    }
    if (fate.overtaken_by > 0) {
        ++direction.reordered;
        tell(direction, departure.number, size,
             fmt::format("held back until {} have passed{}", fate.overtaken_by, what));
        direction.held.push_back({fate.overtaken_by, now_ + Milliseconds(settings.hold), std::move(departure)});
        return;
    }
    tell(direction, departure.number, size, "passed" + what);
    leave_at(direction, due, std::move(departure));
    release_held(direction, true);
}

/// Lets those go on that have been overtaken by enough others, or were held back for too long.
void Network::release_held(Direction& direction, bool one_has_passed) {
    for (auto one = direction.held.begin(); one != direction.held.end();) {
        if (one_has_passed && one->by > 0) --one->by;
        if (one->by > 0 && one->latest > now_) {
            ++one;
            continue;
        }
        leave_at(direction, now_ + Milliseconds(settings.delay), std::move(one->departure));
        one = direction.held.erase(one);
    }
}

void Network::leave_at(Direction& direction, Time due, Departure departure) {
    if (on_way_.size() >= most_on_way) {
        ++direction.overflowed;
        return;
    }
    if (due <= now_ && direction.held.empty() && on_way_.empty()) return depart(direction, departure);
    on_way_.emplace(due, OnWay{&direction, std::move(departure)});
}

void Network::depart(Direction& direction, const Departure& departure) {
    const ssize_t sent = TRY(sendto(departure.fd, departure.bytes.data(), departure.bytes.size(), MSG_DONTWAIT,
                                    departure.to.get(), departure.to.length()));
    ++(sent == -1 ? direction.failed : direction.sent);
    if (sent == -1) tell(direction, departure.number, departure.bytes.size(), "not sent: " + describe_error(errno));
}

// ---- The end of things

void Network::forget_idle() {
    const auto long_ago = now_ - std::chrono::seconds(settings.idle);
    for (auto client = clients_.begin(); client != clients_.end();) {
        if (client->used > long_ago) {
            ++client;
            continue;
        }
        forget(*client);
        client = clients_.erase(client);
    }
}

void Network::forget(Client& client) {
    const auto is_of_client = [&](int fd) {
        return fd == client.fd || (fd != front_ && by_fd_.count(fd) != 0 && by_fd_.at(fd) == &client);
    };
    std::erase_if(on_way_, [&](const auto& one) {
        if (!is_of_client(one.second.departure.fd)) return false;
        ++one.second.direction->failed;
        return true;
    });
    for (Direction& direction : directions_) {
        direction.failed += direction.held.size();
        std::erase_if(direction.held, [&](const auto& one) { return is_of_client(one.departure.fd); });
        direction.failed -= direction.held.size();
    }
    std::vector<int> sockets;
    for (const auto& [fd, owner] : by_fd_)
        if (owner == &client) sockets.push_back(fd);
    for (const int fd : sockets) {
        by_fd_.erase(fd);
        TRY(close(fd));
    }
}

int Network::milliseconds_to_next() const {
    Time next = Time::max();
    if (!on_way_.empty()) next = on_way_.begin()->first;
    for (const Direction& direction : directions_)
        for (const Held& one : direction.held)
            next = std::min(next, one.latest);
    if (!clients_.empty()) next = std::min(next, Clock::now() + std::chrono::seconds(1));
    if (next == Time::max()) return -1;
    return static_cast<int>(
        std::clamp<long>(static_cast<long>(std::chrono::ceil<Milliseconds>(next - Clock::now()).count()), 0, 60'000));
}

void Network::summarize() const {
    if (isatty(STDOUT_FILENO) == 1) fmt::print("\n");  // behind the ^C
    for (const Direction& one : directions_) {
        std::size_t under_way = one.held.size();
        for (const auto& [due, other] : on_way_)
            under_way += other.direction == &one ? 1 : 0;
        fmt::print(
            "{}: {} received ({} bytes), {} sent; {} dropped, {} twice, {} held back, {} damaged, {} too many, {} not "
            "sent, "
            "{} still under way\n",
            one.arrow, one.received, one.bytes, one.sent, one.dropped, one.twice, one.reordered, one.corrupted,
            one.overflowed, one.failed, under_way);
    }
}

}  // namespace

int main(int argc, char** argv) try {
    std::string host = "127.0.0.1";
    std::string to = host_and_port("127.0.0.1", default_port);
    long port = default_port + 1;
    parse_options(
        argc, argv,
        {.summary = "Stands between UDP clients and a server, and is a bad network for them.",
         .endpoint = Endpoint::none,
         .more = {{"host", "HOST", "address or name where clients send to", &host},
                  {"port", "PORT", "and the port; 0 lets the kernel pick", &port, 0, 65535},
                  {"to", "HOST:PORT", "the server", &to},
                  {"drop", "PERCENT", "so many never arrive", &settings.drop, 0, 100},
                  {"duplicate", "PERCENT", "so many arrive twice", &settings.duplicate, 0, 100},
                  {"reorder", "PERCENT", "so many are overtaken by one to three others", &settings.reorder, 0, 100},
                  {"hold", "MS", "but wait no longer for that", &settings.hold, 1, 60000},
                  {"corrupt", "PERCENT", "so many arrive with one bit turned over", &settings.corrupt, 0, 100},
                  {"delay", "MS", "each takes so long, each way", &settings.delay, 0, 10000},
                  {"jitter", "MS", "and up to so much longer", &settings.jitter, 0, 10000},
                  {"rate", "BYTES", "a line of so many bytes a second, each way; 0: without limit", &settings.rate},
                  {"queue", "BYTES", "that may wait before such a line", &settings.queue, 1, 1 << 30},
                  {"seed", "NUMBER", "decides which ones these are", &settings.seed},
                  {"idle", "SECONDS", "forget who was silent for so long", &settings.idle, 1, 86400},
                  {"quiet", nullptr, "do not tell each datagram", &settings.quiet}}});
    std::setvbuf(stdout, nullptr, _IOLBF, 0);  // a line at a time, to a file or pipe, too
    settings.server = resolve_target(to, "--to", SOCK_DGRAM).front();
    const Address address = resolve(host, static_cast<std::uint16_t>(port), SOCK_DGRAM).front();
    if (address == settings.server)
        throw UsageError(fmt::format("--to {}: that is where this program listens itself", escaped(to)));

    const int front = CALL(socket(address.family(), SOCK_DGRAM, 0));
    CALL(bind(front, address.get(), address.length()));
    announce_ready(front);

    Network network(front, stop_descriptor());
    network.run();
    CALL(close(front));
} catch (const std::exception& error) {
    return report_failure(error);
}
