#pragma once
// Bad frames on purpose from the tap's page: one case at a time, always by way of the tap itself, so that the page
// shows what passes. Where it goes is not the page's choice.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/provoking.hpp"

#include <chrono>
#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

namespace websocket {

class Provoker {
public:
    /// here: where the tap listens; host: what stands in Host, the server's own name.
    Provoker(const Address& here, std::string host) : here_(here), host_(std::move(host)) {
        CALL(pipe(ends_));
        for (const int end : ends_)
            CALL(fcntl(end, F_SETFD, FD_CLOEXEC));
    }
    ~Provoker() {
        if (thread_.joinable()) thread_.join();
        for (const int end : ends_)
            ::close(end);
    }
    Provoker(const Provoker&) = delete;
    Provoker& operator=(const Provoker&) = delete;

    /// Readable once there is an answer.
    int fd() const { return ends_[0]; }

    /// The cases, as JSON.
    static std::string list() {
        nlohmann::ordered_json all = nlohmann::ordered_json::array();
        for (const Provocation& it : provocations())
            all.push_back({{"name", it.name}, {"what", it.what}});
        return all.dump();
    }

    /// What a page asks for: {"provoke": NAME, "resource": PATH}. "" if it is begun, for this page; else what is wrong.
    std::string begin(std::uint64_t page, const nlohmann::json& wish) {
        const auto word = [&](const char* name) {
            const bool there = wish.is_object() && wish.contains(name) && wish.at(name).is_string();
            return there ? wish.at(name).get<std::string>() : std::string();
        };
        const Provocation* const it = find_provocation(word("provoke"));
        if (it == nullptr) return "there is no such case";
        const std::string resource = word("resource");
        if (!is_resource(resource)) return "the path begins with / and has no blanks";
        if (thread_.joinable()) return "one at a time";
        page_ = page;
        thread_ = std::thread([this, it, resource] { run(*it, resource); });
        return "";
    }

    struct Answer {
        std::uint64_t page;
        std::string json;
    };
    /// To be called when fd() is readable.
    std::optional<Answer> end() {
        char one;
        if (TRY(read(ends_[0], &one, 1)) != 1) return {};  // it still is readable
        thread_.join();
        return Answer{page_, std::move(answer_)};
    }

    static std::string failed(const std::string& text) {
        return nlohmann::ordered_json{{"kind", "provoked"}, {"error", text}}.dump() + "\n";
    }

private:
    void run(const Provocation& it, const std::string& resource) {
        try {
            const std::string request = provoking_request(it, host_, resource);
            const Reaction reaction = provoke({here_}, request, it, std::chrono::seconds(3));
            const Judgement judgement = judge(it, reaction);
            answer_ = nlohmann::ordered_json{{"kind", "provoked"},
                                             {"case", it.name},
                                             {"what", it.what},
                                             {"sent", hex(*it.bytes == '\0' ? request : provoking_bytes(it))},
                                             {"request", *it.bytes == '\0' ? escaped(request) : ""},
                                             {"demand", demand_text(it)},
                                             {"place", place_text(it)},
                                             {"answer", reaction.lines()},
                                             {"verdict", verdict_name(judgement.verdict)},
                                             {"why", judgement.why}}
                          .dump() +
                      "\n";
        } catch (const std::exception& error) {
            answer_ = failed(error.what());
        }
        if (::write(ends_[1], "", 1) == -1) std::terminate();  // a pipe with room, whose both ends are ours
    }

    const Address here_;
    const std::string host_;
    int ends_[2] = {-1, -1};
    std::thread thread_;
    std::uint64_t page_ = 0;
    std::string answer_;  // the thread's, until it has written to the pipe
};

}  // namespace websocket
