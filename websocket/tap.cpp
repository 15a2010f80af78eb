// WebSocket tap: stands between any client and any WebSocket server, and shows what the browser's developer tools
// hide: the handshake, each frame as it was on the wire, its mask, fragments, compression, pings, and who closes.
//
//     terminal 1:  build/websocket/echo_server                                    (or a server of your own)
//     terminal 2:  build/websocket/tap --listen 7001 --to 127.0.0.1:7000 --page 7002
//     terminal 3:  build/websocket/echo_client --port 7001
//     and a browser:  http://127.0.0.1:7002/
//
// Every byte passes as it is, also what breaks the rules, or is no WebSocket: the thread of the traffic
// (tap_traffic.hpp) reads and writes, and hands a copy of what it read to another, which tells what that was
// (protocol/observer.hpp). So nobody who looks can make the traffic wait: not a terminal that is stopped by Ctrl-S, and
// not a slow browser.
// Try it: a page of your own, opened by way of the tap (http://127.0.0.1:7001/), since it names its server by its own
// address; build/websocket/frames --raw ... | ncat 127.0.0.1 7001; kill -9 of either side, and see what the other gets.

#include "common/address.hpp"
#include "common/call.hpp"
#include "common/errors.hpp"
#include "common/options.hpp"
#include "common/server.hpp"
#include "common/stream.hpp"
#include "websocket/tap_provoke.hpp"
#include "websocket/tap_record.hpp"
#include "websocket/tap_traffic.hpp"
#include "websocket/tap_watch.hpp"
#include "websocket/web_server.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <fstream>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

namespace {

using namespace websocket;

struct Settings {
    TrafficSettings traffic;
    TextWishes wishes;
    bool quiet = false;
    std::optional<std::string> read, save, pcap, page;
    std::string page_folder = "websocket/page";
};

// ---- Those who look

/// Where records go: the terminal, files, and pages.
class Outputs {
public:
    explicit Outputs(const Settings& settings) : settings_(settings) {
        const auto create = [](const std::optional<std::string>& path) {
            return path ? CALL(open(path->c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666)) : -1;
        };
        lines_ = create(settings.save);
        packets_ = create(settings.pcap);
        if (packets_ != -1) write_all(packets_, PcapWriter::head());
    }
    ~Outputs() {
        for (const int fd : {lines_, packets_})
            if (fd != -1) ::close(fd);
    }
    Outputs(const Outputs&) = delete;
    Outputs& operator=(const Outputs&) = delete;

    void take(const Happening& happening) {
        if (packets_ != -1) waiting_packets_ += writer_.take(happening);
        if (waiting_packets_.size() > 1'000'000) flush();
    }

    void tell(const Record& record, const std::string& json) {
        if (begin_ == 0) begin_ = record.time;
        if (!settings_.quiet) waiting_text_ += text_of(record, begin_, settings_.wishes);
        if (lines_ != -1) waiting_lines_ += json + "\n";
        if (waiting_text_.size() + waiting_lines_.size() > 1'000'000) flush();
    }

    bool wants_json() const { return lines_ != -1; }

    /// To be called whenever there is time: nothing is left over then.
    void flush() {
        const auto write = [](int fd, std::string& waiting) {
            if (fd != -1 && !waiting.empty()) write_all(fd, waiting);
            waiting.clear();
        };
        write(lines_, waiting_lines_);
        write(packets_, waiting_packets_);
        write(STDOUT_FILENO, waiting_text_);
    }

private:
    const Settings& settings_;
    int lines_ = -1, packets_ = -1;
    PcapWriter writer_;
    std::int64_t begin_ = 0;
    std::string waiting_text_, waiting_lines_, waiting_packets_;
};

/// The pages, and their server. A page that does not keep up misses records, and is told how many.
class Pages {
public:
    static constexpr std::size_t most_history = std::size_t{4} << 20U;
    static constexpr std::size_t most_unsent = std::size_t{1} << 20U;
    static constexpr std::size_t most_of_a_piece = std::size_t{1} << 20U;    // of a file
    static constexpr std::size_t most_of_an_answer = std::size_t{8} << 20U;  // to that

    /// here: where the tap itself listens.
    Pages(int listener, const Settings& settings, const std::string& host, const Address& here)
        : provoker_(here, settings.traffic.to),
          server_(
              listener, web_settings(settings, host),
              {.opened = [this](WebServer::Id id) { open(id); },
               .message = [this](WebServer::Id id, Opcode opcode, std::string_view bytes) { take(id, opcode, bytes); },
               .pong = {},
               .closed =
                   [this](WebServer::Id id, const Closing&) {
                       missed_.erase(id);
                       files_.erase(id);
                   },
               .request = [this](WebServer::Id id, const HttpRequest& request) { return download(id, request); },
               .gone = {},
               .drained = {}}) {
        server_.watch(provoker_.fd(), [this](bool, bool) {
            const auto answer = provoker_.end();
            if (answer && missed_.count(answer->page) > 0) server_.send(answer->page, Opcode::text, answer->json);
        });
    }

    WebServer& server() { return server_; }
    Kept& kept() { return kept_; }

    void tell(const std::string& json) {
        history_.push_back(json);
        history_bytes_ += json.size();
        while (history_bytes_ > most_history) {
            history_bytes_ -= history_.front().size();
            history_.pop_front();
        }
        if (missed_.empty()) return;
        batch_ += json;
        batch_ += '\n';
        ++batched_;
        if (batch_.size() > 100'000) flush();
    }

    /// Sends what has gathered.
    void flush() {
        if (batch_.empty()) return;
        for (auto& [id, missed] : missed_) {
            if (server_.unsent(id) > most_unsent) {
                missed += batched_;
                continue;
            }
            if (missed > 0) server_.send(id, Opcode::text, lost(missed));
            missed = 0;
            server_.send(id, Opcode::text, batch_);
        }
        batch_.clear();
        batched_ = 0;
    }

private:
    static WebServer::Settings web_settings(const Settings& settings, const std::string& host) {
        WebServer::Settings web;
        web.front_page = "tap.html";
        web.page_folder = settings.page_folder;
        web.host = host;
        web.connections = 100;
        web.kernel_bytes = 1 << 18;  // or the kernel would hold megabytes of what is old by then
        web.limits.message_bytes = most_of_a_piece;
        web.queue_bytes = std::size_t{64} << 20U;  // flush() stops long before
        return web;
    }

    static std::string lost(std::uint64_t count) { return fmt::format("{{\"kind\":\"lost\",\"count\":{}}}\n", count); }

    void open(WebServer::Id id) {
        flush();
        missed_[id] = 0;
        std::string text;
        for (const std::string& json : history_)
            text += json + "\n";
        if (!text.empty()) server_.send(id, Opcode::text, text);
    }

    /// A text asks for a bad frame on purpose; it is a page of ours that asks, as the handshake has made sure. Or it
    /// says that pieces of a file follow: {"load": NUMBER}.
    void take(WebServer::Id id, Opcode opcode, std::string_view bytes) {
        if (opcode == Opcode::binary) return read_piece(id, bytes);
        const nlohmann::json wish = nlohmann::json::parse(bytes, nullptr, false);
        if (wish.is_object() && wish.contains("load") && wish.at("load").is_number_unsigned()) {
            files_[id] = std::make_unique<File>(wish.at("load").get<std::uint64_t>());
            return;
        }
        const std::string trouble = provoker_.begin(id, wish);
        if (!trouble.empty()) server_.send(id, Opcode::text, Provoker::failed(trouble));
    }

    /// A file of packets, which a page can't take apart: it sends a piece, gets the records, and sends the next one. An
    /// empty piece is the end of the file.
    struct File {
        explicit File(std::uint64_t number_of_page) : number(number_of_page) {}
        std::uint64_t number;
        std::string text;
        std::uint64_t surplus = 0;
        Desk desk{[this](const Record& record) {
            if (text.size() > most_of_an_answer) {
                ++surplus;
            } else {
                text += json_of(record) + "\n";
            }
        }};
        PcapReader reader{[this](Happening&& happening) { desk.take(happening); }};
    };

    void read_piece(WebServer::Id id, std::string_view bytes) {
        const auto found = files_.find(id);
        if (found == files_.end()) return;
        File& file = *found->second;
        nlohmann::json answer{{"kind", "file"}, {"load", file.number}, {"end", bytes.empty()}};
        try {
            if (bytes.empty()) {
                file.reader.end();
            } else {
                file.reader.take(bytes);
            }
        } catch (const std::runtime_error& error) {
            answer["error"] = error.what();
            answer["end"] = true;
        }
        std::string text = answer.dump() + "\n" + std::exchange(file.text, "");
        if (file.surplus > 0) text += lost(std::exchange(file.surplus, 0));
        server_.send(id, Opcode::text, text);
        if (answer.at("end") == true) files_.erase(found);
    }

    bool download(WebServer::Id id, const HttpRequest& request) {
        if (request.path == "/provocations") {
            server_.respond(id, {200, "application/json", Provoker::list(), {}});
            return true;
        }
        if (request.path != "/tap.pcap") return false;
        server_.respond(id, {200,
                             "application/vnd.tcpdump.pcap",
                             kept_.as_pcap(),
                             {{"Content-Disposition", "attachment; filename=\"tap.pcap\""}}});
        return true;
    }

    std::map<WebServer::Id, std::uint64_t> missed_;  // by page: records since it was too slow
    std::deque<std::string> history_;                // for pages that come later
    std::size_t history_bytes_ = 0;
    std::string batch_;
    std::uint64_t batched_ = 0;
    std::map<WebServer::Id, std::unique_ptr<File>> files_;  // that pages are sending
    Kept kept_;
    Provoker provoker_;
    WebServer server_;
};

/// What the second thread does: tells apart what has passed. stop: readable when it is to end.
void look(Mailbox& mailbox, Outputs& outputs, Pages* pages, int stop) try {
    Desk desk([&](const Record& record) {
        const std::string json = outputs.wants_json() || pages != nullptr ? json_of(record) : "";
        outputs.tell(record, json);
        if (pages != nullptr) pages->tell(json);
    });
    bool ended = false;
    const auto take_all = [&] {
        for (const Happening& happening : mailbox.take(ended)) {
            outputs.take(happening);
            if (pages != nullptr) pages->kept().keep(happening);
            desk.take(happening);
        }
        outputs.flush();
        if (pages != nullptr) pages->flush();
    };
    if (pages != nullptr) {
        pages->server().watch(mailbox.fd(), [&](bool, bool) {
            try {
                take_all();
            } catch (const std::exception& error) {
                _exit(report_failure(error));
            }
        });
        pages->server().run(stop);
    }
    while (!ended) {
        wait_until_readable(mailbox.fd(), -1);
        take_all();
    }
} catch (const std::exception& error) {
    _exit(report_failure(error));  // not exit(): the other thread is still at work
}

// ---- A file instead

void read_back(const Settings& settings) {
    Outputs outputs(settings);
    std::ifstream in(*settings.read, std::ios::binary);
    if (!in) throw std::runtime_error(fmt::format("--read {}: {}", escaped(*settings.read), describe_error(errno)));
    try {
        if (in.peek() == '{') {
            std::string line;
            for (std::size_t number = 1; std::getline(in, line); ++number) {
                try {
                    const Record record = record_of_json(line);
                    outputs.tell(record, json_of(record));
                } catch (const std::runtime_error& error) {
                    outputs.flush();
                    throw std::runtime_error(fmt::format("line {}: {}", number, error.what()));
                }
            }
        } else {
            Desk desk([&](const Record& record) { outputs.tell(record, json_of(record)); });
            PcapReader([&](Happening&& happening) {
                outputs.take(happening);
                desk.take(happening);
            }).read(in);
        }
    } catch (const SocketError&) {
        throw;
    } catch (const std::runtime_error& error) {
        outputs.flush();
        throw std::runtime_error(fmt::format("--read {}: {}", escaped(*settings.read), error.what()));
    }
    outputs.flush();
}

int listen_at(const Address& address) {
    const int listener = CALL(socket(address.family(), SOCK_STREAM, 0));
    const int reuse = 1;
    CALL(setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &reuse, sizeof reuse));
    CALL(bind(listener, address.get(), address.length()));
    CALL(listen(listener, SOMAXCONN));
    return listener;
}

}  // namespace

int main(int argc, char** argv) try {
    Settings settings;
    std::optional<std::string> listen_port;
    const Options options = parse_options(
        argc, argv,
        {.summary = "WebSocket tap: passes on what a client and a server send, and shows what it is.",
         .more = {{"listen", "PORT", "the same as --port", &listen_port},
                  {"to", "HOST:PORT", "the server", &settings.traffic.to},
                  {"page", "PORT", "show it to browsers, too, at this port", &settings.page},
                  {"brief", nullptr, "messages, control frames and ends alone", &settings.wishes.brief},
                  {"bits", nullptr, "frames bit by bit", &settings.wishes.bits},
                  {"segments", nullptr, "what each recv() got, also where it is one frame", &settings.wishes.all},
                  {"quiet", nullptr, "nothing in the terminal", &settings.quiet},
                  {"save", "FILE", "write the records as lines of JSON", &settings.save},
                  {"pcap", "FILE", "write the bytes as packets, for Wireshark", &settings.pcap},
                  {"read", "FILE", "show such a file, of either kind, instead", &settings.read},
                  {"page-folder", "FOLDER", "where the page is", &settings.page_folder},
                  {"connections", "N", "at a time; the next ones wait", &settings.traffic.connections, 1, 100'000},
                  {"idle", "SECONDS", "end a connection on which nothing passes; 0: never", &settings.traffic.idle, 0,
                   86400}}});
    if (settings.read) {
        read_back(settings);
        return 0;
    }
    const long port = listen_port ? parse_number(*listen_port, 0, 65535, "--listen") : options.port;
    std::optional<Address> page_address;
    if (settings.page) {
        const auto page_port = static_cast<std::uint16_t>(parse_number(*settings.page, 0, 65535, "--page"));
        page_address = resolve(options.host, page_port, SOCK_STREAM).front();
    }
    settings.traffic.targets = resolve_target(settings.traffic.to, "--to", SOCK_STREAM);
    const Address address = resolve(options.host, static_cast<std::uint16_t>(port), SOCK_STREAM).front();
    if (std::count(settings.traffic.targets.begin(), settings.traffic.targets.end(), address) > 0)
        throw UsageError(
            fmt::format("--to {}: that is where this program listens itself", escaped(settings.traffic.to)));
    raise_descriptor_limit(2 * settings.traffic.connections + 100);
    Outputs outputs(settings);
    Mailbox mailbox;
    int stop_looking[2];
    CALL(pipe(stop_looking));

    const int listener = listen_at(address);
    std::unique_ptr<Pages> pages;
    std::string page_line;
    if (page_address) {
        const int page_listener = listen_at(*page_address);
        pages = std::make_unique<Pages>(page_listener, settings, options.host, local_address(listener));
        page_line = fmt::format("the page: http://{}/\n", local_address(page_listener).text());
    }
    Forwarder forwarder(listener, settings.traffic, mailbox);
    announce_ready(listener);
    write_all(STDOUT_FILENO, page_line);
    const int stop = stop_descriptor();
    std::thread looking(look, std::ref(mailbox), std::ref(outputs), pages.get(), stop_looking[0]);
    try {
        forwarder.run(stop);
    } catch (const std::exception& error) {
        _exit(report_failure(error));  // the other thread is still at work
    }
    mailbox.end();
    // Closed, it would wake the pages' server without end while they say goodbye.
    if (::write(stop_looking[1], ".", 1) == -1) _exit(1);
    looking.join();
} catch (const std::exception& error) {
    return report_failure(error);
}
