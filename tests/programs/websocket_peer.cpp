#include "tests/programs/websocket_peer.hpp"

#include "common/call.hpp"
#include "tests/support/files.hpp"
#include "websocket/protocol/handshake.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <ctime>
#include <filesystem>

#include <sys/socket.h>

std::string upgrade_request(const std::string& fields, const std::string& resource) {
    return fmt::format(
        "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: {}\r\nSec-WebSocket-Version: 13\r\n{}\r\n",
        resource, sample_key, fields);
}

std::vector<std::string> websocket_servers() { return {"websocket/echo_server", "websocket/event_server"}; }

std::vector<Pair> websocket_pairs() {
    std::vector<Pair> pairs;
    for (const std::string& server : websocket_servers()) {
        for (const Pair& pair : stream_pairs()) {
            if (!pair.host.empty()) pairs.push_back({server, "websocket/echo_client", pair.host});
        }
    }
    return pairs;
}

Rest read_to_end(Peer& peer) {
    Rest rest;
    pollfd watched{peer.fd(), POLLIN, 0};
    std::string piece(65536, '\0');
    for (;;) {
        wait_until([&] { return watched.revents != 0; }, "the end of the connection", patience, &watched);
        watched.revents = 0;
        const ssize_t received = recv(peer.fd(), piece.data(), piece.size(), 0);
        if (received > 0) {
            rest.bytes.append(piece, 0, static_cast<size_t>(received));
        } else if (received == 0) {
            return rest;
        } else if (errno != EAGAIN) {
            rest.reset = true;
            return rest;
        }
    }
}

std::string read_head(Peer& peer) {
    std::string head;
    while (!head.ends_with("\r\n\r\n"))
        head += peer.receive(1);
    return head;
}

std::string switching_protocols(const std::string& request, const std::string& fields) {
    const std::string name = "Sec-WebSocket-Key: ";
    const size_t begin = request.find(name) + name.size();
    const std::string key = request.substr(begin, request.find("\r\n", begin) - begin);
    return fmt::format(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: {}\r\n{}\r\n",
        websocket::accept_value(key), fields);
}

WebSocketPeer::WebSocketPeer(const Server& server, const std::string& fields, const std::string& resource)
    : other_(wire::Role::server), socket_(Peer::connected_to(server)) {
    socket_.send(upgrade_request(fields, resource));
    head_ = read_head(socket_);
    const std::string accept = fmt::format("\r\nSec-WebSocket-Accept: {}\r\n", sample_accept);
    if (!head_.starts_with("HTTP/1.1 101 ") || head_.find(accept) == std::string::npos)
        throw Unexpected("the handshake was answered with: " + head_);
}

WebSocketPeer::WebSocketPeer(Peer& listener, bool answers, const std::string& fields)
    : other_(wire::Role::client), socket_(listener.accept()) {
    head_ = read_head(socket_);
    if (answers) socket_.send(switching_protocols(head_, fields));
}

void WebSocketPeer::send_frame(unsigned first, std::string_view payload) { send(wire::to(other_, first, payload)); }

std::string WebSocketPeer::frame_bytes() {
    std::string bytes = socket_.receive(2);
    const unsigned second = static_cast<unsigned char>(bytes[1]);
    const unsigned form = second & 0x7FU;
    const size_t extended = form == 127 ? 8 : form == 126 ? 2 : 0;
    size_t length = extended == 0 ? form : 0;
    for (const char c : socket_.receive(extended)) {
        length = length << 8U | static_cast<unsigned char>(c);
        bytes += c;
    }
    return bytes + socket_.receive(length + ((second & 0x80U) != 0 ? 4 : 0));
}

std::string WebSocketPeer::frame() { return wire::frames_of(other_, frame_bytes()).front(); }

std::string WebSocketPeer::payload(unsigned first) {
    const std::string bytes = frame_bytes();
    wire::frames_of(other_, bytes);  // throws unless it has a mask where it must, and only there
    if (static_cast<unsigned char>(bytes[0]) != first)
        throw Unexpected("not the frame that was expected: " + wire::shown(bytes));
    const size_t form = static_cast<unsigned char>(bytes[1]) & 0x7FU;
    const size_t header = 2U + (form == 127 ? 8 : form == 126 ? 2 : 0);
    if (other_ == wire::Role::server) return bytes.substr(header);
    std::string text = bytes.substr(header + 4);
    for (size_t i = 0; i < text.size(); ++i)
        text[i] = static_cast<char>(text[i] ^ bytes[header + i % 4]);
    return text;
}

Rest WebSocketPeer::rest() { return read_to_end(socket_); }

std::vector<std::string> WebSocketPeer::frames_to_end() {
    const Rest all = rest();
    std::vector<std::string> frames = wire::frames_of(other_, all.bytes);
    if (all.reset) frames.emplace_back("RST");
    return frames;
}

#ifdef __linux__
namespace {

/// The number behind a name in /proc/PID/status (proc(5)).
long status_number(pid_t pid, const std::string& name) {
    const std::string status = read_file(fmt::format("/proc/{}/status", pid));
    return std::stol(status.substr(status.find("\n" + name + ":") + name.size() + 2));
}

}  // namespace

long resident_kilobytes(pid_t pid) { return status_number(pid, "VmRSS"); }
long most_resident_kilobytes(pid_t pid) { return status_number(pid, "VmHWM"); }

double cpu_seconds(pid_t pid) {
    clockid_t clock{};
    timespec time{};
    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &time) != 0)
        throw Unexpected("the CPU time of a process can't be told");
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

size_t open_sockets(pid_t pid) {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator(fmt::format("/proc/{}/fd", pid))) {
        std::error_code closed_meanwhile;
        if (std::filesystem::read_symlink(entry, closed_meanwhile).string().starts_with("socket:")) ++count;
    }
    return count;
}
#endif
