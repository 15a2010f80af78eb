#pragma once
// Exercises and how they are graded.
//
// An exercise is one file, CHAPTER/exercises/NAME.cpp, to be completed or repaired. Its grader runs the program as a
// stranger would, from outside, and tells what it does step by step; where a step does not end as it should, it says
// which, what was expected, and what that usually means. What is a function instead of a program (a codec) is compiled
// with tests/exercises/drivers/NAME.cpp, which makes a program of it: so it can crash or run for ever, and harms
// nobody.

#include "tests/support/peer.hpp"
#include "tests/support/process.hpp"

#include <fmt/core.h>

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace exercise {

/// In the reader's language (LC_ALL or LANG).
struct Text {
    const char* english;
    const char* korean;
    std::string get() const;
};

/// What a wrong result usually means. The id names it for the tests of the graders.
struct Diagnosis {
    const char* id;
    Text meaning;
};

// What any program may do.
extern const Diagnosis crashed;       ///< ended by a signal
extern const Diagnosis ended_early;   ///< ended while something was expected of it
extern const Diagnosis not_ready;     ///< does not say that it listens
extern const Diagnosis says_nothing;  ///< neither answers nor ends
extern const Diagnosis ipv4_only;     ///< fails once it is told an IPv6 address

/// What lies at one end of a TCP connection, in bytes.
struct Queues {
    long unread = 0;          ///< received, and not read yet
    long unacknowledged = 0;  ///< sent, and not acknowledged yet
};

/// A grading that ended badly; the Grading itself tells how.
struct Failed {};

/// One run of a grader against one program.
class Grading {
public:
    /// program: its path. limit: how long each wait may take.
    Grading(std::string program, Milliseconds limit);

    // ---- What happens, told

    /// Begins the next step: what follows is part of it. Arguments as fmt::format() takes them, the same in both texts.
    template <typename... Arguments>
    void step(const Text& text, const Arguments&... arguments) {
        begin_step(fmt::format(fmt::runtime(text.get()), arguments...));
    }
    void sent(std::string_view bytes);      ///< notes what the grader has sent
    void received(std::string_view bytes);  ///< and received

    // ---- The program

    /// For a driver of a function: its standard output is no news to the reader.
    void hide_output() { hides_output_ = true; }
    /// Starts it.
    Process& start(const Process::Command& arguments = {}, const Surroundings& surroundings = {});
    /// Starts it as a server at a port of the kernel's choice (unless the arguments say where), and waits until it says
    /// that it listens. Where that is: address().
    Process& start_server(Process::Command arguments = {}, const Surroundings& surroundings = {});
    const std::string& address() const { return address_; }  ///< "127.0.0.1:40000", or a path
    Address socket_address() const;                          ///< the same for calls: of a TCP or UDP server
    Process& program();                                      ///< as last started
    const std::string& path() const { return path_; }

    /// Waits for the program's end with this status; otherwise fails with the diagnosis.
    void expect_exit(int status, const Diagnosis& otherwise);
    /// Is it there still? If not, fails with the diagnosis.
    void expect_running(const Diagnosis& otherwise);

    // ---- Its peer, played by the grader

    /// To the server that was started; fails with the diagnosis if nobody listens there any more. buffers: bytes for
    /// SO_RCVBUF and SO_SNDBUF (socket(7)): how much it takes of a stream that nobody reads. 0: as the kernel likes.
    Peer connect(const Diagnosis& otherwise = ended_early, int buffers = 0);
    void send(Peer& peer, std::string_view bytes);
    /// Reads so many bytes, or up to the end of the stream, or as many as come within the time.
    std::string receive(Peer& peer, std::size_t count);
    /// Reads to the end. Nothing if there is no end within the time.
    std::optional<std::string> receive_to_end(Peer& peer);
    /// Waits for a datagram; nothing if none comes within the time.
    std::optional<std::string> receive_datagram(Peer& peer, Address& sender, Milliseconds limit);
    /// Sends in pieces of so many bytes, each of them once the program has taken the one before: so the program's
    /// recv() meets them one by one.
    void send_in_pieces(Peer& peer, std::string_view bytes, std::size_t size);
    /// Waits until the program has taken all that the peer has sent it (TCP). False if it does not.
    bool wait_until_taken(const Peer& peer);
    /// What lies at the server's end of this peer's connection. Nothing where it has closed, or no kernel tells
    /// (macOS).
    std::optional<Queues> queues_of_server(const Peer& peer) const;
    /// "I send no more": FIN.
    void end_sending(Peer& peer);
    /// Sends until the program stands still because it can't get rid of its answers, which are not read here. Returns
    /// how much was sent.
    std::size_t send_until_full(Peer& peer, std::string_view bytes);

    // ---- Judging

    /// The last step of whatever takes --host: the same once more, at ::1. What fails in there did not fail over IPv4,
    /// and so is ipv4_only (or crashed). Where this machine has no IPv6 there is no such step.
    void once_more_over_ipv6(const std::function<void(const std::string& host)>& exchange);
    /// For a TCP server: one client, who sends this and gets that.
    void once_more_over_ipv6(std::string_view request, std::string_view answer);

    /// Fails, with the diagnosis if the program runs or ended well. If it crashed, that comes first.
    [[noreturn]] void fail(const Diagnosis& diagnosis);
    [[noreturn]] void fail(const Diagnosis& diagnosis, std::string_view expected, std::string_view actual);
    void require(bool condition, const Diagnosis& otherwise) {
        if (!condition) fail(otherwise);
    }
    void require_equal(std::string_view expected, std::string_view actual, const Diagnosis& otherwise) {
        if (expected != actual) fail(otherwise, expected, actual);
    }

    /// Waits until the condition holds; otherwise fails with the diagnosis.
    void wait_for(const std::function<bool()>& condition, const Diagnosis& otherwise);

    /// Fails with the diagnosis if the program, which has nothing to do now, uses the processor all the same. Looks at
    /// it for a moment (on Linux).
    void expect_idle(const Diagnosis& otherwise);

    Milliseconds limit() const { return limit_; }
    const Diagnosis* diagnosis() const { return diagnosis_; }  ///< why it failed; nullptr as long as it has not
    /// All that happened, for the reader, and what it means, which is laid out for so many columns.
    std::string report(std::size_t width = 100) const;

private:
    bool has_ended();
    void begin_step(std::string text);
    std::string last_words() const;
    void note(const Text& what, std::string_view bytes);

    std::string path_, address_, host_;
    Milliseconds limit_;
    std::vector<std::string> steps_;
    std::vector<std::unique_ptr<Process>> processes_;
    const Diagnosis* diagnosis_ = nullptr;
    std::optional<std::pair<std::string, std::string>> difference_;  // expected, actual
    std::string last_words_;  // of the program, before its peers have gone, which may trouble it
    std::string surprise_;    // what an exception said
    bool hides_output_ = false;
    bool over_ipv6_ = false;
    friend bool passes(const struct Exercise& exercise, Grading& grading);
};

enum class Kind {
    complete,  ///< something is missing
    repair,    ///< something is wrong
};

struct Exercise {
    const char* chapter;
    const char* name;
    Kind kind;
    Text task;  ///< in a line
    Text hints[3];
    /// How to see it by hand. PROGRAM in it stands for the program's path.
    const char* by_hand;
    void (*grade)(Grading& grading);
    bool linux_only = false;
};

/// The exercises of a chapter, in the order of the course. Each in a file of its own, tests/exercises/tcp.cpp ...
std::vector<Exercise> tcp_exercises();
std::vector<Exercise> udp_exercises();
std::vector<Exercise> unix_exercises();
std::vector<Exercise> websocket_exercises();

/// All of them, in order.
const std::vector<Exercise>& course();

/// Grades. False if the grader refuses the program: then grading.report() says why.
bool passes(const Exercise& exercise, Grading& grading);

/// Expected and actual, one below the other from a little before the first byte that differs, with a caret below it.
std::string side_by_side(std::string_view expected, std::string_view actual);

/// The buffers that a peer of ours has where it does not read: small ones.
constexpr int small_buffers = 65536;
/// What no server can send to such a peer without waiting, in bytes: more than the kernel keeps on the way, which may
/// be tens of megabytes (tcp(7): tcp_rmem, tcp_wmem).
std::size_t more_than_buffers_hold();

/// "1000001\n1000002\n..." of at least so many bytes: shows what is missing, twice or out of order. Each run begins
/// elsewhere, so that nobody can know it before.
std::string numbered_lines(std::size_t count);

/// A text for a terminal of so many columns: a line ends between words, and the next begins so many columns further in.
/// Where the first word is to stand is said by `begin`, what stands before it. Hangul takes two columns.
std::string wrapped(std::string_view begin, std::string_view text, std::size_t indent, std::size_t width);

/// Bytes in one line: escaped, in quotes, long ones cut with their size behind: "aaaa..." (100000 bytes).
std::string shortened(std::string_view bytes);

}  // namespace exercise
