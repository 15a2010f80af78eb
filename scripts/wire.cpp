// The sequence diagram of a real run: the calls of both sides, and between them what travelled, in the order of one
// clock. Run by scripts/wire, which see.

#include "common/options.hpp"
#include "scripts/pair.hpp"
#include "scripts/wire_json.hpp"
#include "scripts/wire_page.hpp"
#include "scripts/wire_run.hpp"
#include "scripts/wire_text.hpp"
#include "scripts/wire_weave.hpp"

#include <cstdio>

namespace {

using namespace diagram;

struct Wishes {
    std::string svg, html, json, pcap, host, input_file, server, client, server_log, client_log, capture;
    long loss = 0, delay = 0, chunk = 0;
    bool ascii = false, all = false, nobody = false, calls = false;
};

Outcome run(Plan& plan, const std::string& pcap) {
    struct sigaction action {};
    action.sa_handler = [](int number) { interrupted_by = number; };
    for (const int number : {SIGINT, SIGTERM, SIGHUP})
        sigaction(number, &action, nullptr);
    return Runner(plan).run(pcap);
}

std::string read_file(const std::string& option, const std::string& path) {
    if (access(path.c_str(), R_OK) != 0)
        throw std::runtime_error(fmt::format("{} {}: {}", option, escaped(path), describe_error(errno)));
    return contents_of(path);
}

void write_file(const std::string& option, const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::binary);
    file << text;
    file.close();
    if (!file) throw std::runtime_error(fmt::format("{} {}: {}", option, escaped(path), describe_error(errno)));
}

void draw(const Diagram& drawn, const Wishes& wishes) {
    if (drawn.rows.empty()) throw std::runtime_error("nothing happened that could be drawn");
    if (!wishes.svg.empty()) write_file("--svg", wishes.svg, draw_svg(drawn, wishes.all ? 0 : 600));
    if (!wishes.html.empty()) write_file("--html", wishes.html, draw_html(drawn, wishes.all ? 0 : 600));
    if (!wishes.json.empty()) write_file("--json", wishes.json, draw_json(drawn));
    const TextStyle style{.ascii = wishes.ascii || !terminal_knows_utf8(), .most_rows = wishes.all ? 0U : 120U};
    const std::string text = TextDrawing(drawn, style).draw();
    std::fwrite(text.data(), 1, text.size(), stdout);
    if (std::fflush(stdout) != 0) throw std::runtime_error("standard output: " + describe_error(errno));
}

}  // namespace

int main(int argc, char** argv) try {
    // What stands behind -- is the client's input.
    char** const separator = std::find(argv + 1, argv + argc, std::string_view("--"));
    const bool has_input = separator != argv + argc;
    std::string typed;
    for (char** line = separator + (has_input ? 1 : 0); line < argv + argc; ++line)
        typed += std::string(*line) + "\n";

    Wishes wishes;
    const Options options = parse_options(
        static_cast<int>(separator - argv), argv,
        {.summary = "Runs a pair, and draws what happened: calls, states, and each segment between them.\n"
                    "Behind -- stand lines for the client's input: scripts/wire tcp/echo -- hello",
         .endpoint = Endpoint::none,
         .more = {{"svg", "FILE", "write the diagram as a picture, too", &wishes.svg},
                  {"html", "FILE", "and as a page: point at a row, or step with the arrow keys", &wishes.html},
                  {"json", "FILE", "and as JSON, for other programs", &wishes.json},
                  {"pcap", "FILE", "keep the packets, for Wireshark", &wishes.pcap},
                  {"ascii", nullptr, "draw without Unicode's lines", &wishes.ascii},
                  {"all", nullptr, "leave out nothing: every call, every row", &wishes.all},
                  {"calls", nullptr, "capture nothing: the calls alone", &wishes.calls},
                  {"nobody", nullptr, "start no server: what does the client get to hear?", &wishes.nobody},
                  {"host", "HOST", "of both: ::1 for IPv6", &wishes.host},
                  {"loss", "PERCENT", "so many segments or datagrams are lost", &wishes.loss, 0, 90},
                  {"delay", "MS", "each takes so long, each way", &wishes.delay, 0, 1000},
                  {"chunk", "BYTES", "TCP: pass on so many at a time", &wishes.chunk, 0, 65536},
                  {"input", "FILE", "the client's input", &wishes.input_file},
                  {"server", "ARGUMENTS", "more for the server, with blanks between", &wishes.server},
                  {"client", "ARGUMENTS", "and for the client", &wishes.client},
                  {"server-log", "FILE", "run nothing, and draw this --trace-log of a server", &wishes.server_log},
                  {"client-log", "FILE", "with this one of its client", &wishes.client_log},
                  {"capture", "FILE", "and this --pcap of tcp/sniffer, of port 7000", &wishes.capture}},
         .arguments = {"PAIR"}});
    const std::string& pair = options.arguments.front();

    if (!wishes.server_log.empty() || !wishes.client_log.empty()) {
        Outcome recorded;
        recorded.server_log = read_file("--server-log", wishes.server_log);
        recorded.client_log = read_file("--client-log", wishes.client_log);
        recorded.capture = wishes.capture;
        recorded.captured = !wishes.capture.empty();
        recorded.ports = {default_port, default_port};
        draw(weave_run(pair, recorded, wishes.all), wishes);
        return 0;
    }
    Plan plan{.root = root_folder(), .build = build_folder(argv[0])};
    find_pair(pair, plan);
    for (const std::string& word : words_of(wishes.server))
        plan.server.push_back(word);
    for (const std::string& word : words_of(wishes.client))
        plan.client.push_back(word);
    plan.host = wishes.host;
    plan.nobody = wishes.nobody;
    plan.loss = wishes.loss;
    plan.delay = wishes.delay;
    plan.chunk = wishes.chunk;
    plan.may_have_network = !wishes.calls;
    if (plan.chunk > 0 && plan.chapter() != "tcp" && plan.chapter() != "websocket")
        throw UsageError("--chunk cuts a stream, and so needs a pair of TCP's");
    if (plan.chapter() == "unix" && (plan.loss > 0 || plan.delay > 0 || plan.nobody))
        throw UsageError("--loss, --delay and --nobody are for a network, and this pair has none");
    plan.input = !wishes.input_file.empty() ? read_file("--input", wishes.input_file) : has_input ? typed : "hello\n";

    // The capture is read while its folder is there.
    Diagram drawn;
    {
        const Folder folder;
        const std::string capture = wishes.pcap.empty() ? folder / "capture.pcap" : wishes.pcap;
        Outcome outcome = run(plan, capture);
        outcome.capture = capture;
        drawn = weave_run(pair, outcome, wishes.all);
    }
    draw(drawn, wishes);
} catch (const Interrupted& interrupted) {
    std::signal(interrupted.signal, SIG_DFL);
    raise(interrupted.signal);
} catch (const std::exception& error) {
    return report_failure(error);
}
