// A client and a server in long conversations at random: whatever one says, the other hears, in its order and whole,
// however the bytes between them are cut. Each conversation is made from its seed alone.

#include "websocket/protocol/connection.hpp"

#include "tests/catch.hpp"
#include "tests/support/wire.hpp"

#include <random>
#include <string>
#include <vector>

using namespace websocket;

namespace {

using Random = std::mt19937;

std::size_t below(Random& random, std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>(0, limit - 1)(random);
}

/// Mostly short, sometimes at the edges of the forms of length, rarely long.
std::size_t random_length(Random& random) {
    constexpr std::array<std::size_t, 8> edges = {0, 1, 125, 126, 127, 65535, 65536, 70'000};
    switch (below(random, 12)) {
        case 0:
            return edges[below(random, 5)];
        case 1:
            return below(random, 4) == 0 ? edges[below(random, edges.size())] : 200;
        case 2:
            return below(random, 5000);
        case 3:
            return below(random, 8) == 0 ? below(random, 200'000) : 3;
        default:
            return below(random, 100);
    }
}

std::string random_text(Random& random, std::size_t length) {
    static const std::vector<std::string> pieces = {"a",
                                                    "Z ",
                                                    "the quick brown fox ",
                                                    "\xC3\xA9",
                                                    "\xED\x95\x9C\xEA\xB8\x80",
                                                    "\xF0\x9F\x98\x80",
                                                    std::string(1, '\0'),
                                                    std::string(40, '-')};
    std::string text;
    while (text.size() < length)
        text += pieces[below(random, pieces.size())];
    return text;
}

std::string random_binary(Random& random, std::size_t length) {
    std::string bytes(length, '\0');
    if (below(random, 2) == 0) {
        for (char& byte : bytes)
            byte = static_cast<char>(random() & 0xFFU);
    }
    return bytes;
}

/// One end: what it still has to say, what it has heard, and what the other one should hear from it.
struct End {
    Buffer output;
    Connection connection;
    std::vector<std::string> heard;
    std::vector<std::string> said;
    std::string everything;  // all bytes that it sent
    std::string message;     // the one that it is sending in fragments
    Opcode opcode = Opcode::continuation;

    End(Role role, const Limits& limits, const std::optional<DeflateParameters>& deflate)
        : connection(role, output, limits, deflate) {}

    void say(Opcode what, const std::string& payload) {
        said.push_back(std::string(opcode_name(what)) + " " + wire::shown(payload));
    }

    void hear() {
        while (const auto event = connection.next()) {
            heard.push_back(std::string(opcode_name(event->opcode)) + " " + wire::shown(event->payload));
            if (event->opcode == Opcode::ping && !connection.close_sent())
                say(Opcode::pong, std::string(event->payload));
        }
    }
};

void say_something(End& end, Random& random) {
    const bool text = below(random, 2) == 0;
    const Opcode opcode = text ? Opcode::text : Opcode::binary;
    const std::string payload =
        text ? random_text(random, random_length(random)) : random_binary(random, random_length(random));
    const std::size_t what = below(random, 20);
    if (what == 0) {
        const std::string few = payload.substr(0, below(random, 126));
        CHECK(end.connection.ping(few));
        end.say(Opcode::ping, few);
    } else if (what == 1) {
        const std::string few = payload.substr(0, below(random, 126));
        CHECK(end.connection.pong(few));
        end.say(Opcode::pong, few);
    } else if (end.opcode == Opcode::continuation && what < 12) {
        CHECK(end.connection.send(opcode, payload));
        end.say(opcode, payload);
    } else {  // a fragment of a message, begun or not; cut anywhere, also within characters
        if (end.opcode == Opcode::continuation) {
            end.opcode = opcode;
            end.message.clear();
        }
        const bool last = below(random, 3) == 0;
        std::string piece = end.opcode == Opcode::text ? random_text(random, 50) : payload;
        if (end.opcode == Opcode::text && below(random, 2) == 0) {
            const std::size_t cut = below(random, piece.size() + 1);
            CHECK(end.connection.send_fragment(end.opcode, piece.substr(0, cut), false));
            end.message += piece.substr(0, cut);
            piece = piece.substr(cut);
        }
        CHECK(end.connection.send_fragment(end.opcode, piece, last));
        end.message += piece;
        if (last) {
            end.say(end.opcode, end.message);
            end.opcode = Opcode::continuation;
        }
    }
}

/// Carries some of what one end has sent to the other, in pieces of any size.
void carry(End& from, End& to, Random& random, bool all) {
    std::string bytes(from.output.view());
    from.everything += bytes;
    from.output.clear();
    std::size_t piece = bytes.size();
    if (!all && below(random, 2) == 0) piece = 1 + below(random, 1 + below(random, 3000));
    for (std::size_t at = 0; at < bytes.size() && !to.connection.finished();) {
        const std::size_t count = std::min(piece, bytes.size() - at);
        const auto room = below(random, 3) > 0 ? to.connection.room() : std::nullopt;
        if (room) {
            const std::size_t fits = std::min(count, room->count);
            std::copy_n(bytes.data() + at, fits, room->bytes);
            to.connection.received_directly(fits);
            at += fits;
        } else {
            to.connection.receive(bytes.data() + at, count);
            at += count;
        }
        to.hear();
    }
}

std::optional<DeflateParameters> random_deflate(Random& random) {
    if (below(random, 2) == 0) return {};
    DeflateParameters parameters;
    parameters.server_no_context_takeover = below(random, 2) == 0;
    parameters.client_no_context_takeover = below(random, 2) == 0;
    parameters.server_max_window_bits = static_cast<int>(8 + below(random, 8));
    parameters.client_max_window_bits = static_cast<int>(8 + below(random, 8));
    return parameters;
}

void converse(unsigned seed) {
    Random random(seed);
    const Limits limits;
    const auto deflate = random_deflate(random);
    End server(Role::server, limits, deflate);
    End client(Role::client, limits, deflate);
    const std::size_t steps = below(random, 200);
    for (std::size_t step = 0; step < steps; ++step) {
        say_something(below(random, 2) == 0 ? server : client, random);
        if (below(random, 3) == 0) carry(client, server, random, false);
        if (below(random, 3) == 0) carry(server, client, random, false);
    }
    // One of them says Close, perhaps within a message, and what the other has said meanwhile still arrives.
    End& first = below(random, 2) == 0 ? server : client;
    End& second = &first == &server ? client : server;
    const std::string reason = random_text(random, below(random, 40));
    const auto code = static_cast<std::uint16_t>(3000 + below(random, 2000));
    first.connection.close(code, reason);
    carry(first, second, random, false);
    carry(second, first, random, false);

    for (const End* end : {&first, &second}) {
        CHECK(end->connection.finished());
        CHECK(end->connection.closing().clean);
        CHECK(end->connection.closing().code == code);
        CHECK(end->output.empty());
    }
    CHECK(second.connection.closing().reason == reason);
    first.said.push_back("close " + wire::shown(reason));
    second.said.emplace_back("close ");
    CHECK(second.heard == first.said);
    CHECK(first.heard == second.said);

    // All that either end has sent, heard at once by one that was not there.
    const wire::Setup to_server{Role::server, limits, deflate};
    const wire::Setup to_client{Role::client, limits, deflate};
    const auto events = [&](const wire::Setup& setup, const End& end) {
        std::vector<std::string> heard = wire::play(setup, end.everything).events;
        if (!heard.empty() && heard.back().substr(0, 6) == "close ") heard.back().erase(6, 5);  // the code
        return heard;
    };
    CHECK(events(to_server, client) == client.said);
    CHECK(events(to_client, server) == server.said);
}

}  // namespace

TEST_CASE("conversations at random", "[unit][websocket][conversation]") {
    for (unsigned seed = 1; seed <= 60; ++seed) {
        INFO("seed " << seed);
        converse(seed);
    }
}
