#pragma once
// Between the traffic of the tap and whoever looks at it: what happens is handed over, told apart, and kept for a
// while. All of it is bounded, and none of it makes the traffic wait.

#include "common/call.hpp"
#include "websocket/protocol/observer.hpp"
#include "websocket/tap_pcap.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <unistd.h>

namespace websocket {

/// Hands happenings from the thread of the traffic to the one that looks. Its descriptor is readable while there are
/// some.
class Mailbox {
public:
    static constexpr std::size_t most_bytes = std::size_t{64} << 20U;

    Mailbox() {
        CALL(pipe(ends_));
        for (const int end : ends_) {
            CALL(fcntl(end, F_SETFD, FD_CLOEXEC));
            CALL(fcntl(end, F_SETFL, O_NONBLOCK));
        }
    }
    ~Mailbox() {
        ::close(ends_[0]);
        ::close(ends_[1]);
    }
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;

    int fd() const { return ends_[0]; }

    /// False if there is no room: the other thread is too slow. With `always` there is: for the end of a connection,
    /// and what has to be said before it.
    bool put(Happening&& happening, bool always = false) {
        const std::size_t size = happening.bytes.size() + sizeof happening;
        bool was_empty = false;
        {
            const std::lock_guard lock(mutex_);
            if (bytes_ + size > most_bytes && !always) return false;
            was_empty = waiting_.empty();
            bytes_ += size;
            waiting_.push_back(std::move(happening));
        }
        if (was_empty) wake();
        return true;
    }

    /// All that is there. Sets ended when there will be no more.
    std::vector<Happening> take(bool& ended) {
        char woken[16];
        while (::read(ends_[0], woken, sizeof woken) > 0) {
        }
        std::vector<Happening> all;
        const std::lock_guard lock(mutex_);
        all.swap(waiting_);
        bytes_ = 0;
        ended = ended_;
        return all;
    }

    void end() {
        {
            const std::lock_guard lock(mutex_);
            ended_ = true;
        }
        wake();
    }

private:
    void wake() const {
        // A full pipe is as good: it wakes, too.
        [[maybe_unused]] const ssize_t written = ::write(ends_[1], "", 1);
    }

    int ends_[2] = {-1, -1};
    std::mutex mutex_;
    std::vector<Happening> waiting_;
    std::size_t bytes_ = 0;
    bool ended_ = false;
};

/// An observer for each connection; counts what they tell.
class Desk {
public:
    using Tell = std::function<void(const Record&)>;

    explicit Desk(Tell tell) : tell_(std::move(tell)) {}

    void take(const Happening& happening) {
        using Kind = Happening::Kind;
        const std::uint64_t id = happening.connection;
        if (happening.kind == Kind::open) {
            observers_.try_emplace(id, [this, id](Record&& record) {
                record.connection = id;
                record.number = ++records_;
                tell_(record);
            });
        }
        const auto found = observers_.find(id);
        if (found == observers_.end()) return;
        Observer& observer = found->second;
        switch (happening.kind) {
            case Kind::open:
                observer.open(happening.ends->from.text(), happening.ends->at.text(), happening.time);
                break;
            case Kind::bytes:
                observer.bytes(happening.direction, happening.bytes, happening.time);
                break;
            case Kind::gap:
                observer.gap(happening.direction, happening.count, happening.time);
                break;
            case Kind::fin:
                observer.fin(happening.direction, happening.time);
                break;
            case Kind::reset:
                observer.reset(happening.direction, happening.time);
                break;
            case Kind::refused:
                observer.refused(happening.time);
                break;
            case Kind::given_up:
                break;
        }
        if (observer.is_over() || happening.kind == Kind::given_up) observers_.erase(found);
    }

private:
    Tell tell_;
    std::map<std::uint64_t, Observer> observers_;
    std::uint64_t records_ = 0;
};

/// The bytes of the last connections, for a file of packets: of each its beginning, without which nothing of it could
/// be told.
class Kept {
public:
    static constexpr std::size_t most_of_a_connection = std::size_t{4} << 20U;
    static constexpr std::size_t most_bytes = std::size_t{32} << 20U;

    void keep(const Happening& happening) {
        Connection& connection = connections_[happening.connection];
        const std::size_t size = happening.bytes.size() + sizeof happening;
        if (connection.full || connection.bytes + size > most_of_a_connection) {
            connection.full = true;
            return;
        }
        connection.bytes += size;
        bytes_ += size;
        connection.happenings.push_back(happening);
        while (bytes_ > most_bytes && connections_.size() > 1) {
            bytes_ -= connections_.begin()->second.bytes;
            connections_.begin()->second = {};
            connections_.erase(connections_.begin());
        }
    }

    /// A whole file.
    std::string as_pcap() const {
        std::vector<const Happening*> all;
        for (const auto& [id, connection] : connections_) {
            if (connection.happenings.empty() || connection.happenings.front().kind != Happening::Kind::open) continue;
            for (const Happening& happening : connection.happenings)
                all.push_back(&happening);
        }
        std::stable_sort(all.begin(), all.end(),
                         [](const Happening* a, const Happening* b) { return a->time < b->time; });
        PcapWriter writer;
        std::string file = PcapWriter::head();
        for (const Happening* one : all)
            file += writer.take(*one);
        return file;
    }

private:
    struct Connection {
        std::vector<Happening> happenings = {};
        std::size_t bytes = 0;
        bool full = false;
    };
    std::map<std::uint64_t, Connection> connections_;
    std::size_t bytes_ = 0;
};

}  // namespace websocket
