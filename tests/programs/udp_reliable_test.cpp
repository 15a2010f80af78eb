// What the peers of the file transfers and of TFTP may do to them: ask again after the end, stand still, flood, lie.
// And what nobody may get from them before it has proved its address: more bytes than it has sent.

#include "common/errors.hpp"
#include "tests/catch.hpp"
#include "tests/support/files.hpp"
#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"
#include "tests/support/text.hpp"
#include "udp/tftp.hpp"
#include "udp/transfer.hpp"

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

using namespace std::string_literals;
using transfer::Kind;

namespace {

Address address_of(const Server& server) {
    return resolve(server.host(), static_cast<std::uint16_t>(std::stoi(server.port())), SOCK_DGRAM).front();
}

std::ptrdiff_t files_of(const std::string& folder) {
    return std::distance(std::filesystem::directory_iterator(folder), std::filesystem::directory_iterator());
}

/// A file as the datagrams of a transfer, in order.
std::vector<std::string> datagrams_of(const std::string& name, const std::string& bytes, std::uint32_t id) {
    using namespace transfer;
    std::vector<std::string> all{
        to_bytes({Kind::data, first_flag, 0, id, 0, 1, to_bytes(Announcement{bytes.size(), name})})};
    std::uint32_t number = 1;
    for (std::size_t at = 0; at < bytes.size(); at += piece_size)
        all.push_back(
            to_bytes({Kind::data, 0, 0, id, number++, number, std::string_view(bytes).substr(at, piece_size)}));
    all.push_back(to_bytes({Kind::data, last_flag, 0, id, number, number, FieldWriter().u32(crc(bytes)).str()}));
    return all;
}

/// Sends a datagram, and another that is always answered; returns the bytes of what came before that answer.
std::size_t answered(Peer& peer, const Address& server, const std::string& datagram, const std::string& always,
                     const std::function<bool(const std::string&)>& is_answer_to_that) {
    peer.send_to(server, datagram);
    peer.send_to(server, always);
    std::size_t bytes = 0;
    for (Address from;;) {
        const std::string answer = peer.receive_from(from);
        if (is_answer_to_that(answer)) return bytes;
        bytes += answer.size();
    }
}

}  // namespace

TEST_CASE("udp reliable: how a transfer has ended is known, though others came after it", "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const TempDir source, target;
    write_file(source / "other", random_bytes(3000));
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path()});
    const Address there = address_of(receiver);
    Peer sender = Peer::bound(SOCK_DGRAM);
    Address from;
    const std::vector<std::string> datagrams = datagrams_of("mine", random_bytes(2000), 77);
    std::string last;
    for (const std::string& datagram : datagrams) {
        sender.send_to(there, datagram);
        last = sender.receive_from(from);
    }
    receiver.expect(Stream::err, "mine (2000 bytes) is complete");
    // That acknowledgement was lost. Somebody else sends a file, and then we ask again, and for the first piece, too.
    CHECK_THAT(run(receiver.client(pair + "_sender", {source / "other"})), StartsWith("3000 bytes"));
    for (const std::string& datagram : {datagrams.back(), datagrams.front()}) {
        sender.send_to(there, datagram);
        const auto ack = transfer::parse(sender.receive_from(from));
        REQUIRE(ack);
        CHECK(ack->kind == Kind::ack);
        CHECK(ack->number == datagrams.size());
    }
    CHECK(files_of(target.path()) == 2);
    CHECK(count_of(receiver.err(), "mine") == 1);
}

TEST_CASE("udp reliable: what comes from another address is of another transfer", "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const TempDir target;
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path()});
    const Address there = address_of(receiver);
    Peer sender = Peer::bound(SOCK_DGRAM), stranger = Peer::bound(SOCK_DGRAM);
    Address from;
    // The stranger has seen the number of the transfer, and is always a little faster.
    const std::string bytes = random_bytes(3000);
    const auto datagrams = datagrams_of("mine", bytes, 77), evil = datagrams_of("mine", random_bytes(3000), 77);
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
        if (i > 0) stranger.send_to(there, evil[i]);
        sender.send_to(there, datagrams[i]);
        const auto ack = transfer::parse(sender.receive_from(from));
        REQUIRE(ack);
        CHECK(ack->kind == Kind::ack);
        CHECK(ack->number == i + 1);
    }
    receiver.expect(Stream::err, "mine (3000 bytes) is complete");
    CHECK(read_file(target / "mine") == bytes);
    stranger.send_to(there, datagrams.back());  // nor is anybody else told how it has ended
    sender.send_to(there, datagrams.back());
    CHECK(transfer::parse(sender.receive_from(from))->number == datagrams.size());
    char room[100];
    CHECK(recv(stranger.fd(), room, sizeof room, MSG_DONTWAIT) == -1);
}

TEST_CASE("udp reliable: a sender that only repeats itself is given up; one that sends too much, too",
          "[programs][udp][files]") {
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const TempDir source, target;
    write_file(source / "large", random_bytes(5001));
    write_file(source / "small", random_bytes(5000));
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path(), "--idle", "1", "--upload", "5000"});
    Peer sender = Peer::bound(SOCK_DGRAM);
    const std::string first = datagrams_of("mine", random_bytes(2000), 77).front();
    wait_until(
        [&] {
            sender.send_to(address_of(receiver), first);
            return receiver.err().find("silent for 1 s, given up") != std::string::npos;
        },
        "the receiver gives it up");
    Process large(receiver.client(pair + "_sender", {source / "large"}));
    if (pair == "udp/window") {  // the one that repeated itself may have come in between again
        receiver.expect(Stream::err, "more than 5000 bytes are not taken");
    }
    large.expect_exit(1);
    CHECK_THAT(large.err(), StartsWith("the receiver: "));
    Server other = start_server(pair + "_receiver", {"--folder", target.path(), "--upload", "5000"});
    CHECK_THAT(run(other.client(pair + "_sender", {source / "small"})), StartsWith("5000 bytes"));
    // It announces 10 bytes, and sends 2000.
    std::vector<std::string> datagrams = datagrams_of("lie", random_bytes(2000), 78);
    datagrams[0] = transfer::to_bytes(
        {Kind::data, transfer::first_flag, 0, 78, 0, 1, transfer::to_bytes(transfer::Announcement{10, "lie"})});
    Peer liar = Peer::bound(SOCK_DGRAM);
    Address from;
    for (std::size_t i = 0; i < 3; ++i) {
        liar.send_to(address_of(other), datagrams[i]);
        const auto answer = transfer::parse(liar.receive_from(from));
        REQUIRE(answer);
        CHECK(answer->kind == (i == 0 ? Kind::ack : Kind::error));  // told again, however often it sends
    }
    CHECK(files_of(target.path()) == 1);
}

TEST_CASE("udp reliable: a file that is not what was announced is not kept", "[programs][udp][files]") {
    using namespace transfer;
    const std::string pair = GENERATE("udp/stop_and_wait", "udp/window");
    const bool is_short = GENERATE(false, true);
    const TempDir target;
    Server receiver = start_server(pair + "_receiver", {"--folder", target.path()});
    const std::string bytes = random_bytes(2000);
    auto datagrams = datagrams_of("lie", bytes, 77);
    const std::string_view first_half = std::string_view(bytes).substr(0, piece_size);
    if (is_short) {  // the checksum is right, but there is less than was announced
        datagrams.resize(2);
        datagrams.push_back(to_bytes({Kind::data, last_flag, 0, 77, 2, 2, FieldWriter().u32(crc(first_half)).str()}));
    } else {
        datagrams.back() = to_bytes({Kind::data, last_flag, 0, 77, 3, 3, FieldWriter().u32(crc(bytes) ^ 0x100).str()});
    }
    Peer liar = Peer::bound(SOCK_DGRAM);
    Address from;
    for (std::size_t i = 0; i < datagrams.size(); ++i) {
        liar.send_to(address_of(receiver), datagrams[i]);
        const auto answer = transfer::parse(liar.receive_from(from));
        REQUIRE(answer);
        CHECK(answer->kind == (i + 1 < datagrams.size() ? Kind::ack : Kind::error));
    }
    receiver.expect(Stream::err, "the file has arrived, but not as it was sent");
    wait_until([&] { return files_of(target.path()) == 0; }, "nothing of it to be left");
}

TEST_CASE("udp reliable: a receiver that lies", "[programs][udp][files]") {
    const std::string name = GENERATE("udp/stop_and_wait_sender", "udp/window_sender");
    const TempDir source;
    write_file(source / "file", random_bytes(3000));
    Peer receiver = Peer::bound(SOCK_DGRAM), stranger = Peer::bound(SOCK_DGRAM);
    Process::Command command{program(name), "--port", receiver.port(), source / "file", "--timeout", "50"};
    if (name == "udp/stop_and_wait_sender") command.insert(command.end(), {"--tries", "1000"});
    Process sender(command);
    Address from;
    const std::string first = receiver.receive_from(from);
    const auto piece = transfer::parse(first);
    REQUIRE(piece);
    const std::uint32_t id = piece->transfer, number = piece->number;
    const std::string nonsense = FieldWriter().u32(number + 9).u32(number + 3).u32(0).u32(0xFFFFFFFF).str();
    for (const std::string& bytes : std::vector<std::string>{
             "", "x", std::string(65'000, 'x'), first, transfer::to_bytes({Kind::ack, 0, 1, id + 1, number + 1, 0, ""}),
             transfer::to_bytes({Kind::ack, 0, 1, id, number + 2, 0, ""}),
             transfer::to_bytes({Kind::ack, 0, 0, id, number - 1, 12345, nonsense}),
             transfer::to_bytes({Kind::ack, 0, 0xFFFF, id, number + 0x80000000U, 0, nonsense + "cut"}),
             transfer::to_bytes({Kind::error, 0, 0, id + 1, 0, 0, "of another transfer"})})
        receiver.send_to(from, bytes);
    // From another address even what is right does not get to it.
    stranger.send_to(from, transfer::to_bytes({Kind::error, 0, 0, id, 0, 0, "of a stranger"}));
    stranger.send_to(from, transfer::to_bytes({Kind::ack, 0, 1, id, number + 1, piece->stamp, ""}));
    const auto again = transfer::parse(receiver.receive_from(from));  // so the first piece is still the one to be sent
    REQUIRE(again);
    CHECK(again->number == number);
    receiver.send_to(from, transfer::to_bytes({Kind::ack, 0, 256, id, number + 1, again->stamp, ""}));
    std::uint32_t got = number;
    while (got == number) {
        const auto next = transfer::parse(receiver.receive_from(from));
        REQUIRE(next);
        got = next->number;
    }
    CHECK(got == number + 1);
    receiver.send_to(from, transfer::to_bytes({Kind::error, 0, 0, id, 0, 0, "\x1b[2Jno room"}));
    sender.expect_exit(1);
    CHECK(sender.err() == "the receiver: \\x1b[2Jno room\n");
}

TEST_CASE("udp reliable: stop and wait sends each piece once, however often acknowledgements come",
          "[programs][udp][files]") {
    const TempDir source;
    write_file(source / "file", random_bytes(3000));
    Peer receiver = Peer::bound(SOCK_DGRAM);
    Process sender(
        {program("udp/stop_and_wait_sender"), "--port", receiver.port(), source / "file", "--timeout", "60000"});
    Address from;
    for (std::uint32_t piece = 0; piece < transfer::pieces_of(3000); ++piece) {
        const auto got = transfer::parse(receiver.receive_from(from));
        REQUIRE(got);
        REQUIRE(got->number == piece);  // and no earlier one again
        // Those of pieces before it, late and many times over; then the right one, twice.
        for (std::uint32_t i = 0; i < 20; ++i)
            receiver.send_to(from, transfer::to_bytes({Kind::ack, 0, 1, got->transfer, i % (piece + 1), 0, ""}));
        for (int i = 0; i < 2; ++i)
            receiver.send_to(from, transfer::to_bytes({Kind::ack, 0, 1, got->transfer, piece + 1, 0, ""}));
    }
    sender.expect_exit(0);
    CHECK_THAT(sender.out(), ContainsSubstring("; 5 pieces, 0 sent again"));
}

TEST_CASE("udp reliable: a flood does not keep anybody from sending again", "[programs][udp][files][tftp]") {
    const std::string name = GENERATE("udp/stop_and_wait_sender", "udp/window_sender", "udp/tftp_client");
    const TempDir source;
    write_file(source / "file", random_bytes(3000));
    Peer receiver = Peer::bound(SOCK_DGRAM);
    Process::Command command{program(name), "--port", receiver.port(), "--timeout", "50"};
    if (name == "udp/tftp_client") command.emplace_back("put");
    command.push_back(source / "file");
    command.emplace_back("--trace");  // so it is slower than we are
    Process sender(command);
    Address from;
    receiver.receive_from(from);
    // As fast as we can, and without a rest: it finds something to be read whenever it looks.
    char room[2000];
    const auto end = std::chrono::steady_clock::now() + patience;
    bool again = false;
    while (!again && std::chrono::steady_clock::now() < end) {
        for (int i = 0; i < 50; ++i)
            sendto(receiver.fd(), "x", 1, MSG_DONTWAIT, from.get(), from.length());
        serve_processes(Milliseconds(0));
        again = recv(receiver.fd(), room, sizeof room, MSG_DONTWAIT) > 0;
    }
    CHECK(again);
}

TEST_CASE("udp reliable: when the time is over, it sends again, whatever there is to be read",
          "[programs][udp][files][tftp]") {
    const std::string name = GENERATE("udp/stop_and_wait_sender", "udp/tftp_client");
    const TempDir source;
    write_file(source / "file", random_bytes(3000));
    Peer receiver = Peer::bound(SOCK_DGRAM);
    Process::Command command{program(name), "--port", receiver.port(), "--timeout", "1000", "--trace"};
    if (name == "udp/tftp_client") command.emplace_back("put");
    command.push_back(source / "file");
    Process sender(command);
    Address from;
    receiver.receive_from(from);
    sender.expect(Stream::err, "poll(");
    // It is stopped while the time passes and much arrives.
    sender.signal(SIGSTOP);
    const Process::Command ask_ps{"ps", "-o", "stat=", "-p", std::to_string(sender.pid())};
    wait_until([&] { return run(ask_ps).starts_with('T'); }, "it to stop");
    for (int i = 0; i < 100; ++i)
        receiver.send_to(from, "x");
    const auto over = std::chrono::steady_clock::now() + Milliseconds(1000);
    wait_until([&] { return std::chrono::steady_clock::now() > over; }, "the time to be over");
    const std::size_t before = sender.err().size();
    sender.signal(SIGCONT);
    const auto sends_again = [&] { return sender.err().find("  send", before) != std::string::npos; };
    wait_until(sends_again, "it to send again");
    const std::string& told = sender.err();
    CHECK(count_of(told.substr(before, told.find("  send", before) - before), "  recvfrom(") < 10);
}

TEST_CASE("udp reliable: no more bytes than were sent, before an address is proved", "[programs][udp][files][tftp]") {
    const TempDir target;
    write_file(target / "there", "there");
    Peer peer = Peer::bound(SOCK_DGRAM);
    SECTION("of the receivers of files") {
        const std::string name = GENERATE("udp/stop_and_wait_receiver", "udp/window_receiver");
        Server server = start_server(name, {"--folder", target.path()});
        const std::string always = datagrams_of("../evil", "", 1).front();
        const auto is_answer = [](const std::string& answer) { return transfer::parse(answer)->transfer == 1; };
        std::vector<std::string> datagrams = datagrams_of("name", random_bytes(2000), 77);
        const std::vector<std::string> others = datagrams_of("there", "x", 78), third = datagrams_of("x", "x", 79);
        // Announced twice, as busy, as there already; out of order, and cut off.
        datagrams.insert(datagrams.begin() + 1, {datagrams[0], others[0], third[0], datagrams[2], datagrams[1]});
        datagrams.insert(datagrams.end(), {others[0], datagrams[0], third[1], "", "x", std::string(19, 'x'),
                                           std::string(20, 'x'), std::string(1300, 'x')});
        for (const std::string& datagram : datagrams)
            CHECK(answered(peer, address_of(server), datagram, always, is_answer) <= datagram.size());
        CHECK_THAT(server.err(), ContainsSubstring("name (2000 bytes) is complete"));
    }
    SECTION("of the TFTP server") {
        using namespace tftp;
        Server server = start_server("udp/tftp_server", {"--folder", target.path(), "--write", "--timeout", "60000"});
        const std::string always = "\0\4\0\1 this is no ACK"s;
        const auto is_answer = [](const std::string& answer) {
            const auto packet = parse(answer);
            return packet && packet->opcode == Opcode::error && packet->number == 4;
        };
        const OptionList options{{"blksize", "8"}, {"timeout", "1"}, {"tsize", "0"}};
        std::vector<std::string> datagrams{"", "\0\4"s, "\0\5\0\0"s, oack({}), ack(1), data(1, "x")};
        for (const char* name : {"there", "x", "../x", "a/very/long/name", "there/x", "."}) {
            if (name != "there"s) datagrams.push_back(to_bytes({Opcode::rrq, name, false, {}}));
            datagrams.push_back(to_bytes({Opcode::rrq, name, false, options}));
            datagrams.push_back(to_bytes({Opcode::rrq, name, true, {{"blksize", "100"}}}));
            datagrams.push_back(to_bytes({Opcode::wrq, name, false, {}}));
            datagrams.push_back(to_bytes({Opcode::wrq, name, false, options}));
        }
        datagrams.push_back(to_bytes({Opcode::rrq, "x", false, {{"blksize", "9999999"}, {"windowsize", "1"}}}));
        for (const std::string& datagram : datagrams) {
            INFO(escaped(datagram));
            Peer own = Peer::bound(SOCK_DGRAM);
            CHECK(answered(own, address_of(server), datagram, always, is_answer) <= datagram.size());
        }
        // The one exception, as RFC 1350 wants it: the first block, once for each request.
        const std::string request = to_bytes({Opcode::rrq, "there", false, {}});
        CHECK(answered(peer, address_of(server), request, always, is_answer) == data(1, "there").size());
        CHECK(answered(peer, address_of(server), request, always, is_answer) == 0);  // so soon: the network doubled it
        CHECK(local_address(peer.fd()).is_loopback());
    }
}

TEST_CASE("udp reliable: the window is seen moving", "[programs][udp][files]") {
    const TempDir source, target;
    write_file(source / "file", random_bytes(40'000));
    const Server receiver = start_server("udp/window_receiver", {"--folder", target.path()});
    const Server trouble =
        start_server("udp/trouble", {"--to", receiver.address(), "--delay", "30", "--drop", "20", "--quiet"});
    SECTION("in one line of a terminal") {
        Process sender(trouble.client("udp/window_sender", {source / "file"}), {.terminal = Terminal::all});
        for (const char* text : {"%  cwnd ", "RTO", "again", "|", "40000 bytes in "})
            sender.expect(Stream::terminal, text);
        sender.expect_exit(0);
        CHECK(count_of(sender.all(Stream::terminal), "\n") == 1);
        Process waiting(trouble.client("udp/stop_and_wait_sender", {source / "file"}), {.terminal = Terminal::all});
        waiting.expect(Stream::terminal, "piece 0, try 1");
    }
    SECTION("beside the narration") {
        Process sender(trouble.client("udp/window_sender", {source / "file", "--trace"}));
        sender.expect_exit(0);
        const std::vector<std::string> lines = lines_with(sender.err(), "    window: ");
        CHECK(lines.size() > 10);
        for (const char* mark : {"#", ".", "!"}) {
            const auto has_it = [&](const std::string& line) {
                return line.substr(line.find('|')).find(mark) != std::string::npos;
            };
            CHECK(std::any_of(lines.begin(), lines.end(), has_it));
        }
        Process one(trouble.client("udp/stop_and_wait_sender", {source / "file", "--trace"}));
        one.expect(Stream::err, "    piece 0 of 36, try 1\n");
    }
}
