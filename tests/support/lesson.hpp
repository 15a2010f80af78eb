#pragma once
// The transcripts in the lessons: found in the Markdown, and compared with what the programs print today.
//
// Directly before a fenced block stands a comment that says how the block is made:
//     <!-- replay NAME server -->                      the block's command is a server, ended by Ctrl-C if it shows ^C
//     <!-- replay NAME client: hello | bye ^D -->      its command is a client; these lines are typed, and then Ctrl-D
//     <!-- replay NAME command -->                     nothing is typed; if a server of this name stands before it,
//                                                      that is what 7000 means in it
//     <!-- not replayed: REASON -->                    the block is only for reading
// Behind server, client or command may stand
//     , own network                                    all blocks of this name are run at port 7000 itself, in a
//     network
//                                                      of their own: there may be several servers, and ss sees no
//                                                      others
//     , beside build/...                               this server runs beside it, and is not shown
//     , any numbers                                    numbers, units of time and the width of columns may differ, and
//                                                      so how often a line like the one before it comes, and which bars
//                                                      a histogram has
//     , any order                                      the lines may come in any order: those of several processes
//     , as a diagram                                   it is one of scripts/wire, of which no two are woven alike: each
//                                                      side's calls and states have to be the same, and what travelled
//     , some lines                                     others may stand between those that are shown, and ... is none;
//                                                      at the end of a line it is anything
//     , after SCENE                                    tests/support/lessons/SCENE.sh is run first: what it starts runs
//                                                      beside the block's commands
//     , with NAME                                      the commands of that block are given first, unseen: it defines
//                                                      what this one uses
//     , own name                                       who reads is called cloudsdk in it
//     , as root                                        is left out, and that is said, where the tests are run by others
//     , needs TOOL                                     is left out, and that is said, where this is not installed
//     , without sanitizers                             is left out where the programs are built with them
// Blocks of the same NAME in a file belong together: the server first. A client without one needs a network of its own.
// A block with a line "$ build/..." needs a mark.
// The commands are run at another port than 7000. One that is for the shell (it has quotes or a pipe, or is not a
// program of ours) must name its port itself, as 7000. Such a block may have several lines "$ COMMAND"; what it calls
// /tmp/ is a folder of the test's. Lines ">     ..." directly behind it are the rest of the command. What stands behind
// "(gdb) ", ">>> " and "# " is typed when the program asks for it, and such a block is left to itself when all its
// lines are there. A line that ends with ^C is where Ctrl-C is typed, once the lines before it are there.

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

struct Block {
    enum class Kind { server, client, command };

    std::string place;  ///< "tcp/README.md:27", of the comment
    std::string name;
    Kind kind = Kind::command;
    std::vector<std::string> typed;  ///< lines
    bool ends_input = false;         ///< by ^D
    std::string beside;              ///< a server's command
    bool own_network = false;
    bool any_numbers = false;
    bool any_order = false;
    bool as_diagram = false;
    bool some_lines = false;
    bool own_name = false;
    bool as_root = false;
    bool without_sanitizers = false;
    std::string needs;               ///< a tool's name
    std::string after;               ///< a scene's name
    std::string with;                ///< another block's
    std::string command;             ///< what stands after "$ "; several lines, if ">     " begins the others
    std::vector<std::string> shown;  ///< the other lines
};

struct Lesson {
    std::vector<Block> blocks;
    std::vector<std::string> complaints;  ///< "FILE:LINE: unmarked transcript ..."
};

Lesson read_lesson(const std::string& file, std::string_view markdown);

/// What is to be the same whenever the commands are run: without times (HTTP's Date, too), counts, ports that the
/// kernel picked, process numbers, the directory of a Unix socket, and the length of a listen queue. The states of
/// sockets stand apart, since when they are told of depends on who is faster: for each descriptor the states it went
/// through, in order, without those between two FINs (FIN_WAIT_1, FIN_WAIT_2, CLOSING, LAST_ACK), which may pass
/// unseen.
struct Transcript {
    std::vector<std::string> lines;
    std::map<std::string, std::vector<std::string>> states;  ///< by "fd 3"
    bool operator==(const Transcript&) const = default;
};

/// port: where the server listened, which lessons call 7000; 0: nowhere. any_numbers, any_order: see above. as_diagram:
/// of each call its name and result, and of what travelled what is on the arrows and below them, without windows and
/// the ACKs that say nothing else.
Transcript normalized(const std::vector<std::string>& lines, int port = 0, bool any_numbers = false,
                      bool any_order = false, bool as_diagram = false);

/// What is typed at the prompts of a block, in order: {"(gdb) ", "break recv"}.
std::vector<std::pair<std::string, std::string>> typed_at_prompts(const Block& block);

/// Are the first of the lesson's lines, so many, there in this order? With others between them, perhaps.
bool has_in_order(const std::vector<std::string>& lines, const std::vector<std::string>& wanted, size_t count);

/// Both, line by line, with - before what only the lesson has and + before what only the program printed; "" if they
/// are the same. some_lines: or if all that the lesson has is there in its order.
std::string difference(const Transcript& lesson, const Transcript& now, bool some_lines = false);
