#include "websocket/protocol/observer.hpp"

#include "common/errors.hpp"
#include "websocket/protocol/close_code.hpp"
#include "websocket/protocol/explain.hpp"
#include "websocket/protocol/text.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>

namespace websocket {

namespace {

constexpr std::size_t most_pings = 64;
constexpr std::size_t most_requests = 64;  // that wait for their answers (pipelining)
constexpr std::size_t inflate_at_a_time = 1024;
constexpr std::size_t most_of_a_piece = std::size_t{4} << 20U;  // what that can become, which is 1032 times as much

const char* side(Direction sender) { return sender == Direction::up ? "client" : "server"; }

/// A head as it is, and not as it should be: HttpHeadReader refuses what breaks a rule, and here it is to be seen.
HttpHead read_head(std::string_view text, std::vector<std::string>& fields) {
    HttpHead head;
    bool first = true;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        if (line.ends_with('\r')) line.remove_suffix(1);
        if (line.empty() && first) continue;
        if (line.empty()) break;
        if (std::exchange(first, false)) {
            head.first_line = line;
            continue;
        }
        fields.push_back(escaped(line));
        const std::size_t colon = std::min(line.find(':'), line.size());
        head.fields.emplace_back(lower(line.substr(0, colon)), trim(line.substr(std::min(colon + 1, line.size()))));
    }
    return head;
}

bool has_element(const HttpHead& head, std::string_view name, std::string_view element) {
    const std::vector<std::string> list = head.list(name);
    return std::any_of(list.begin(), list.end(),
                       [&](const std::string& one) { return equal_ignoring_case(one, element); });
}

std::string value_of(const HttpHead& head, std::string_view name) {
    const std::string* value = head.find(name);
    return value == nullptr ? "" : *value;
}

/// The word of a first line: "GET", "/", "HTTP/1.1".
std::string_view word(std::string_view line, int number) {
    for (; number > 0; --number)
        line.remove_prefix(std::min(line.find(' '), line.size() - 1) + 1);
    return line.substr(0, line.find(' '));
}

/// The parameters of an answer, as far as they can be told, whether it is a right answer or not.
DeflateParameters parameters_of(const Extension& answer) {
    DeflateParameters parameters;
    for (const auto& [name, value] : answer.parameters) {
        if (name == "server_no_context_takeover") parameters.server_no_context_takeover = true;
        if (name == "client_no_context_takeover") parameters.client_no_context_takeover = true;
        int bits = 0;
        if (value) std::from_chars(value->data(), value->data() + value->size(), bits);
        if (bits < 8 || bits > 15) continue;
        if (name == "server_max_window_bits") parameters.server_max_window_bits = bits;
        if (name == "client_max_window_bits") parameters.client_max_window_bits = bits;
    }
    return parameters;
}

/// What begins like HTTP, as far as it goes: a method and a blank, or "HTTP/".
bool may_be_http(std::string_view bytes, Direction direction) {
    constexpr std::string_view version = "HTTP/";
    if (direction == Direction::down) return version.starts_with(bytes.substr(0, version.size()));
    if (bytes.starts_with("\r\n")) bytes.remove_prefix(2);
    const std::string_view method = bytes.substr(0, bytes.find(' '));
    return method.size() <= 20 && (is_token(method) || (method.empty() && bytes.empty()) || bytes == "\r");
}

}  // namespace

// ---- Records

Record Observer::record(Record::Kind kind, Direction direction) const {
    Record record;
    record.kind = kind;
    record.direction = direction;
    record.time = time_;
    return record;
}

void Observer::note(Direction direction, std::string text) {
    Record one = record(Record::Kind::note, direction);
    one.text = std::move(text);
    told(std::move(one));
}

void Observer::flush() {
    for (Record& one : out_)
        tell_(std::move(one));
    out_.clear();
}

/// What a piece of a stream that ends here cuts; "": nothing.
std::string Observer::place(const Lane& lane) const {
    if (lane.state == State::head) return lane.head.empty() ? "" : "head";
    if (lane.state == State::body || lane.state == State::chunks) return "body";
    if (lane.state == State::raw) return "";
    return lane.in_payload ? "payload" : lane.header_bytes.empty() ? "" : "header";
}

// ---- What happens

void Observer::open(const std::string& from, const std::string& at, std::int64_t time) {
    time_ = time;
    Record one = record(Record::Kind::open, Direction::up);
    one.from = from;
    one.at = at;
    told(std::move(one));
    flush();
}

void Observer::bytes(Direction direction, std::string_view bytes, std::int64_t time) {
    time_ = time;
    Lane& lane = this->lane(direction);
    if (bytes.empty() || over_) return;
    if (lane.state == State::waiting) {  // a client that does not wait for the 101: frames, if one comes
        lane.waiting_bytes += bytes.size();
        lane.waiting.push_back({std::string(bytes), time});
        if (lane.waiting_bytes > most_waiting_bytes || lane.waiting.size() > 1000)
            go_on_without(direction, "the server has not answered, and the client goes on");
    } else {
        take(direction, bytes);
    }
    flush_waiting();
    flush();
}

/// One segment.
void Observer::take(Direction direction, std::string_view bytes) {
    Lane& lane = this->lane(direction);
    ++lane.segments;
    Record segment = record(Record::Kind::segment, direction);
    segment.index = lane.segments;
    segment.offset = lane.offset;
    segment.size = bytes.size();
    segment.begins = place(lane);
    const std::uint64_t whole = lane.whole;
    std::size_t taken = 0;
    std::vector<Record> before = std::exchange(out_, {});
    while (taken < bytes.size()) {
        const std::string_view rest = bytes.substr(taken);
        std::size_t count = 0;
        if (lane.state == State::head) {
            count = take_head(direction, rest);
        } else if (lane.state == State::body || lane.state == State::chunks) {
            count = take_body(direction, rest);
        } else if (lane.state == State::frames) {
            count = take_frame(direction, rest);
        } else if (lane.state == State::waiting) {
            lane.waiting.push_front({std::string(rest), time_});
            lane.waiting_bytes += rest.size();
            segment.size -= rest.size();  // the rest is told when it is known what it is
            break;
        } else {
            count = rest.size();
            Record raw = record(Record::Kind::raw, direction);
            raw.offset = lane.offset;
            raw.size = count;
            raw.plain = rest.substr(0, kept_of_frame);
            told(std::move(raw));
        }
        lane.offset += count;
        taken += count;
    }
    segment.ends = place(lane);
    segment.whole = lane.whole - whole;
    segment.missing = lane.state == State::frames && lane.in_payload ? lane.missing : 0;
    // A segment stands before what is in it.
    if (segment.size > 0) before.push_back(std::move(segment));
    std::move(out_.begin(), out_.end(), std::back_inserter(before));
    out_ = std::move(before);
}

/// The client's frames that came too early, once there is an answer.
void Observer::flush_waiting() {
    Lane& up = lane(Direction::up);
    const std::int64_t now = time_;
    while (up.state != State::waiting && !up.waiting.empty()) {
        const Piece piece = std::move(up.waiting.front());
        up.waiting.pop_front();
        up.waiting_bytes -= piece.bytes.size();
        time_ = piece.time;
        take(Direction::up, piece.bytes);
    }
    time_ = now;
}

void Observer::gap(Direction direction, std::uint64_t count, std::int64_t time) {
    time_ = time;
    Lane& lane = this->lane(direction);
    if (count == 0 || over_) return;
    if (lane.state == State::waiting) go_on_without(direction, "bytes before the server's answer were not seen");
    flush_waiting();
    Record one = record(Record::Kind::gap, direction);
    one.offset = lane.offset;
    one.size = count;
    told(std::move(one));
    lane.offset += count;
    if (lane.state == State::frames && lane.in_payload && lane.missing >= count) {
        // Where the next frame begins is known all the same.
        lane.missing -= count;
        if (!std::exchange(lane.unseen, true)) lane.problems.emplace_back("a part of it was not seen");
        if (!is_control(lane.header.opcode) && is_known(lane.header.opcode)) {
            lane.size += count;
            lane.spoilt = true;
            lane.context_lost = lane.context_lost || (lane.compressed && !lane.no_context_takeover);
            if (lane.compressed) lane.inflater.reset();
            lane.utf8_matters = false;
        }
        if (lane.missing == 0) end_frame(direction);
    } else if (lane.state == State::body && lane.body_left >= count) {
        lane.body_left -= count;
        if (lane.body_left == 0) lane.state = State::head;
    } else if (lane.state != State::raw && (lane.state != State::chunks || !lane.chunks.skip(count))) {
        go_on_without(direction, "where the next frame or head begins can't be told any more");
    }
    flush();
}

void Observer::fin(Direction direction, std::int64_t time) {
    time_ = time;
    if (over_ || lane(direction).ended) return;
    if (lane(direction).state == State::waiting && lane(opposite(direction)).ended)
        go_on_without(direction, "the server has ended without an answer");
    finish(direction, "FIN");
    if (!lane(opposite(direction)).ended) return flush();
    end_over("");
}

void Observer::reset(Direction direction, std::int64_t time) {
    time_ = time;
    if (over_) return;
    finish(direction, "RST");
    end_over("reset by the " + std::string(side(direction)));
}

void Observer::refused(std::int64_t time) {
    time_ = time;
    if (over_) return;
    finish(Direction::down, "refused");
    end_over("no connection to the server");
}

/// A direction is over: what is not whole is told, too.
void Observer::finish(Direction direction, const char* how) {
    Lane& lane = this->lane(direction);
    if (lane.state == State::head && !lane.head.empty()) {
        go_on_without(direction, "the head of HTTP is not whole");
    } else if (lane.state == State::frames && lane.in_payload) {
        lane.problems.emplace_back(fmt::format("the stream ends with {} of its bytes missing", lane.missing));
        end_frame(direction);
    } else if (lane.state == State::body || lane.state == State::chunks) {
        note(direction, "the stream ends within a body");
    } else if (lane.state == State::frames && !lane.header_bytes.empty()) {
        note(direction, "the stream ends in a frame's header: " + hex(lane.header_bytes));
    }
    if (direction == Direction::down && this->lane(Direction::up).state == State::waiting) {
        go_on_without(Direction::up, "the server has ended without an answer");
        flush_waiting();
    }
    lane.ended = true;
    Record one = record(Record::Kind::end, direction);
    one.offset = lane.offset;
    one.how = how;
    one.first = !first_end_;
    if (!first_end_) first_end_ = direction;
    told(std::move(one));
}

void Observer::end_over(std::string text) {
    over_ = true;
    const auto add = [&](const std::string& more) { text += (text.empty() ? "" : "; ") + more; };
    Record one = record(Record::Kind::over, Direction::up);
    if (websocket_) {
        const Direction closer = first_close_.value_or(Direction::up);
        const auto code = [&](Direction direction) {
            const auto& close = lane(direction).close;
            return !close ? "no Close" : *close == 0 ? "Close without a code" : fmt::format("Close {}", *close);
        };
        if (!first_close_) {
            one.problems.emplace_back("no Close frame: both sides are told 1006 (7.1.5)");
        } else {
            add(fmt::format("{} from the {}, {} from the {}", code(closer), side(closer), code(opposite(closer)),
                            side(opposite(closer))));
            if (!lane(opposite(closer)).close) one.problems.emplace_back("a Close frame was not answered (5.5.1)");
        }
        if (first_close_ && lane(Direction::up).close && lane(Direction::down).close && first_end_ == Direction::up) {
            one.problems.emplace_back(
                "the client has ended TCP first: the server should, since TIME_WAIT stays there "
                "(7.1.1)");
        }
        add(fmt::format("messages: {} up, {} down", lane(Direction::up).messages, lane(Direction::down).messages));
    }
    if (first_end_) add(fmt::format("TCP ended first by the {}", side(*first_end_)));
    add(fmt::format("bytes: {} up, {} down", lane(Direction::up).offset, lane(Direction::down).offset));
    one.text = std::move(text);
    told(std::move(one));
    flush();
    lanes_ = {};  // whoever keeps the observer keeps no windows and no payloads
    requests_.clear();
}

// ---- HTTP

/// What comes from now on can't be told apart.
void Observer::go_on_without(Direction direction, const std::string& why) {
    Lane& lane = this->lane(direction);
    lane.state = State::raw;
    note(direction, why + ": from here on only bytes");
    if (!lane.head.empty()) {
        Record raw = record(Record::Kind::raw, direction);
        raw.offset = lane.offset - lane.head.size();
        raw.size = lane.head.size();
        raw.plain = lane.head.substr(0, kept_of_frame);
        told(std::move(raw));
        lane.head = {};
    }
    lane.inflater.reset();
    if (direction == Direction::down && this->lane(Direction::up).state == State::waiting)
        go_on_without(Direction::up, why);
}

/// The bytes of a head, up to its end. Returns how many they are.
std::size_t Observer::take_head(Direction direction, std::string_view bytes) {
    Lane& lane = this->lane(direction);
    const std::size_t had = lane.head.size();
    // The blank line may be cut, too.
    const std::size_t overlap = std::min<std::size_t>(had, 3);
    const std::string seam = lane.head.substr(had - overlap) + std::string(bytes.substr(0, 3));
    std::size_t end = seam.find("\r\n\r\n");
    if (end != std::string::npos) {
        end = end + 4 - overlap;
    } else if (end = bytes.find("\r\n\r\n"); end != std::string_view::npos) {
        end += 4;
    }
    const std::size_t count = std::min(end, bytes.size());
    lane.head += bytes.substr(0, count);
    const bool strange = !may_be_http(std::string_view(lane.head).substr(0, 64), direction);
    if (strange || lane.head.size() > most_head_bytes) {
        // go_on_without() tells of all bytes of the head: let those of this segment be told as they come.
        lane.head.resize(had);
        go_on_without(direction, strange ? fmt::format("no HTTP from the {}", side(direction))
                                         : fmt::format("a head of more than {} bytes", most_head_bytes));
        return 0;
    }
    if (end == std::string::npos) return count;
    const std::string text = std::exchange(lane.head, {});
    Record one = record(Record::Kind::http, direction);
    one.offset = lane.offset - had;
    one.size = text.size();
    HttpHead head = read_head(text, one.fields);
    one.line = escaped(head.first_line);
    told(std::move(one));
    if (direction == Direction::up) {
        judge_request(std::move(head));
    } else {
        judge_response(head);
    }
    return count;
}

/// Where does the body end, if there is one (RFC 9112, 6.3)?
void Observer::expect_body(Direction direction, const HttpHead& head) {
    Lane& lane = this->lane(direction);
    lane.state = State::head;
    if (head.count("transfer-encoding") > 0) {
        const std::vector<std::string> codings = head.list("transfer-encoding");
        if (codings.empty() || !equal_ignoring_case(codings.back(), "chunked"))
            return go_on_without(direction, "where the body ends can't be told");
        lane.state = State::chunks;
        lane.chunks = {};
    } else if (const std::string* length = head.find("content-length")) {
        const auto [end, error] = std::from_chars(length->data(), length->data() + length->size(), lane.body_left);
        if (error != std::errc{} || end != length->data() + length->size())
            return go_on_without(direction, "where the body ends can't be told");
        if (lane.body_left > 0) lane.state = State::body;
    }
}

/// Passes over the bytes of a body, and what stands around its chunks: up to its end, behind which the next head may
/// be.
std::size_t Observer::take_body(Direction direction, std::string_view bytes) {
    Lane& lane = this->lane(direction);
    const bool chunked = lane.state == State::chunks;
    std::size_t count = 0;
    auto status = ChunkReader::Status::incomplete;
    if (chunked) {
        std::string_view rest = bytes, piece;
        while (!rest.empty() && status == ChunkReader::Status::incomplete)
            status = lane.chunks.take(rest, piece);
        count = bytes.size() - rest.size();
        if (status == ChunkReader::Status::complete) lane.state = State::head;
    } else {
        count = std::min<std::uint64_t>(bytes.size(), lane.body_left);
        lane.body_left -= count;
        if (lane.body_left == 0) lane.state = State::head;
    }
    if (count > 0) {
        Record raw = record(Record::Kind::raw, direction);
        raw.offset = lane.offset;
        raw.size = count;
        raw.plain = bytes.substr(0, std::min(count, kept_of_frame));
        raw.text = chunked ? "a body in chunks" : "a body";
        told(std::move(raw));
    }
    if (status == ChunkReader::Status::malformed) go_on_without(direction, lane.chunks.problem());
    return count;
}

void Observer::judge_request(HttpHead head) {
    Lane& up = lane(Direction::up);
    Request request;
    request.is_head = word(head.first_line, 0) == "HEAD";
    request.upgrades = has_element(head, "upgrade", "websocket");
    if (request.upgrades) {
        up.state = State::waiting;
    } else {
        expect_body(Direction::up, head);
    }
    if (request.upgrades) request.head = std::move(head);
    requests_.push_back(std::move(request));
    if (requests_.size() > most_requests) go_on_without(Direction::up, "many requests without an answer");
}

void Observer::judge_response(const HttpHead& head) {
    Lane& down = lane(Direction::down);
    const std::string_view status = word(head.first_line, 1);
    if (status.starts_with('1') && status != "101") return;  // 100 Continue: the answer is still to come
    if (requests_.empty()) return go_on_without(Direction::down, "an answer to no request");
    const Request request = std::move(requests_.front());
    requests_.pop_front();
    if (status == "101") {
        if (!request.upgrades && !has_element(head, "upgrade", "websocket")) {
            const std::string why = "another protocol (" + escaped(value_of(head, "upgrade")) + ")";
            go_on_without(Direction::up, why);
            return go_on_without(Direction::down, why);
        }
        shake_hands(request, head);
        return flush_waiting();  // what the client has sent too early comes before what follows here
    }
    if (request.is_head || status == "204" || status == "304") {
        down.state = State::head;
    } else if (head.count("content-length") + head.count("transfer-encoding") == 0) {
        down.state = State::raw;  // up to the end of the connection (RFC 9112, 6.3)
    } else {
        expect_body(Direction::down, head);
    }
    if (!request.upgrades) return;
    Record one = record(Record::Kind::handshake, Direction::down);
    one.text = "refused: " + escaped(head.first_line);
    told(std::move(one));
    if (lane(Direction::up).state == State::waiting) expect_body(Direction::up, request.head);
    flush_waiting();
}

void Observer::shake_hands(const Request& request, const HttpHead& response) {
    Record one = record(Record::Kind::handshake, Direction::down);
    one.accepted = true;
    const auto demand = [&](bool holds, const char* problem) {
        if (!holds) one.problems.emplace_back(problem);
    };
    const HttpHead& asked = request.head;
    one.key = escaped(value_of(asked, "sec-websocket-key"));
    one.accept = escaped(value_of(response, "sec-websocket-accept"));
    one.expected = accept_value(value_of(asked, "sec-websocket-key"));
    demand(request.upgrades, "the request has not asked for an upgrade to WebSocket (4.1)");
    demand(word(asked.first_line, 0) == "GET", "the request is no GET (4.1)");
    demand(has_element(asked, "connection", "upgrade"), "the request has no Connection: Upgrade (4.1)");
    demand(value_of(asked, "sec-websocket-version") == "13", "the request's Sec-WebSocket-Version is not 13 (4.1)");
    const auto key = base64_decode(value_of(asked, "sec-websocket-key"));
    demand(key && key->size() == 16, "Sec-WebSocket-Key is not base64 of 16 bytes (4.1)");
    demand(asked.count("sec-websocket-key") == 1, "the request has not exactly one Sec-WebSocket-Key (4.1)");
    demand(has_element(response, "upgrade", "websocket"), "the answer has no Upgrade: websocket (4.2.2)");
    demand(has_element(response, "connection", "upgrade"), "the answer has no Connection: Upgrade (4.2.2)");
    demand(one.accept == one.expected, "Sec-WebSocket-Accept is not the one that belongs to the key (4.2.2)");
    if (response.count("sec-websocket-protocol") > 0) {
        const std::string protocol = value_of(response, "sec-websocket-protocol");
        one.protocol = escaped(protocol);
        const auto offered = asked.list("sec-websocket-protocol");
        demand(std::find(offered.begin(), offered.end(), protocol) != offered.end(),
               "the answer's subprotocol was not offered (4.1)");
    }
    const auto offers = asked.list("sec-websocket-extensions");
    for (const std::string& element : response.list("sec-websocket-extensions")) {
        one.extensions += (one.extensions.empty() ? "" : ", ") + escaped(element);
        const auto answer = parse_extension(element);
        if (!answer || lower(answer->name) != "permessage-deflate") {
            demand(false, "an extension that is not known here");
            continue;
        }
        deflate_ = parameters_of(*answer);
        const bool answers = std::any_of(offers.begin(), offers.end(), [&](const std::string& text) {
            const auto extension = parse_extension(text);
            if (!extension || lower(extension->name) != "permessage-deflate") return false;
            const std::size_t end = text.find(';');
            const auto offer = parse_offer(end == std::string::npos ? "" : std::string_view(text).substr(end + 1));
            return offer && check_answer(*answer, *offer);
        });
        demand(answers, "permessage-deflate: the answer does not fit the offer (RFC 7692, 7.1)");
    }
    one.compressed = deflate_.has_value();
    told(std::move(one));
    websocket_ = true;
    for (Lane& lane : lanes_) {
        lane.state = State::frames;
        lane.no_context_takeover =
            deflate_ && (&lane == &this->lane(Direction::up) ? deflate_->client_no_context_takeover
                                                             : deflate_->server_no_context_takeover);
    }
}

// ---- Frames

/// Takes from the front what belongs to the frame that begins there or is not whole. Returns how much that is.
std::size_t Observer::take_frame(Direction direction, std::string_view bytes) {
    Lane& lane = this->lane(direction);
    if (!lane.in_payload) {
        if (lane.header_bytes.empty()) {
            lane.frame_offset = lane.offset;
            lane.frame_segment = lane.segments;
        }
        lane.header_bytes += bytes.front();
        const HeaderStatus status = parse_header(lane.header_bytes, lane.header).status;
        if (status == HeaderStatus::incomplete) return 1;
        if (status == HeaderStatus::too_long) {
            note(direction,
                 fmt::format("{} is no frame's header: the length has its top bit set (5.2)", hex(lane.header_bytes)));
            lane.head = std::exchange(lane.header_bytes, {});
            lane.offset += 1;  // for this byte, and the caller does the same
            go_on_without(direction, "where the next frame begins can't be told");
            lane.offset -= 1;
            return 1;
        }
        lane.not_shortest = status == HeaderStatus::not_shortest;
        if (lane.not_shortest && lane.header.masked) {  // a key follows nevertheless
            const std::size_t length_bytes = (lane.header_bytes[1] & 0x7F) == 127 ? 8 : 2;
            if (lane.header_bytes.size() < 2 + length_bytes + 4) return 1;
            std::copy(lane.header_bytes.end() - 4, lane.header_bytes.end(), lane.header.key.begin());
        }
        begin_frame(direction);
        if (lane.missing == 0) end_frame(direction);
        return 1;
    }
    const std::size_t count = std::min<std::uint64_t>(lane.missing, bytes.size());
    take_payload(direction, bytes.substr(0, count));
    if (lane.missing == 0) end_frame(direction);
    return count;
}

void Observer::begin_frame(Direction direction) {
    Lane& lane = this->lane(direction);
    const FrameHeader& header = lane.header;
    lane.in_payload = true;
    lane.unseen = false;
    lane.missing = header.length;
    lane.payload.clear();
    ++lane.frames;
    lane.problems.clear();
    const auto demand = [&](bool holds, const char* problem) {
        if (!holds) lane.problems.emplace_back(problem);
    };
    const bool control = is_control(header.opcode);
    demand(!lane.not_shortest, "the length is not in its shortest form (5.2)");
    demand(header.masked || direction == Direction::down, "a client's frame without a mask (5.1)");
    demand(!header.masked || direction == Direction::up, "a server's frame with a mask (5.1)");
    demand(!header.masked || lane.last_key != header.key,
           "the same masking key as the frame before: it must be new "
           "and unpredictable (5.3)");
    if (header.masked) lane.last_key = header.key;
    demand(is_known(header.opcode), "an opcode that means nothing (5.2)");
    demand(!header.rsv2 && !header.rsv3, "RSV2 or RSV3 is set, and no extension uses them (5.2)");
    demand(!header.rsv1 || deflate_, "RSV1 is set, and no extension was agreed on (5.2)");
    demand(!header.rsv1 || !deflate_ || (!control && header.opcode != Opcode::continuation),
           "RSV1 belongs to the first fragment of a message alone (RFC 7692, 6)");
    demand(!control || header.fin, "a control frame in fragments (5.5)");
    demand(!control || header.length <= most_control_bytes, "a control frame of more than 125 bytes (5.5)");
    demand(!lane.close, "behind a Close frame (5.5.1)");
    if (control || !is_known(header.opcode)) {
        if (lane.in_message) ++lane.between;
        return;
    }
    const bool continues = header.opcode == Opcode::continuation;
    demand(!continues || lane.in_message, "a continuation of no message (5.4)");
    demand(continues || !lane.in_message, "a new message before the last fragment of the one before (5.4)");
    if (!continues || !lane.in_message) {
        lane.in_message = true;
        lane.opcode = header.opcode;
        lane.compressed = header.rsv1 && deflate_;
        lane.spoilt = lane.compressed && lane.context_lost;
        ++lane.messages;
        lane.fragments = lane.size = lane.inflated = lane.between = 0;
        lane.plain.clear();
        lane.utf8.reset();
        lane.utf8_matters = lane.opcode == Opcode::text && !lane.spoilt;
        lane.message_problems.clear();
        if (lane.spoilt) lane.message_problems.emplace_back("can't be inflated: what it refers back to was not seen");
    }
    ++lane.fragments;
}

/// A piece of the payload of the frame that is not whole yet.
void Observer::take_payload(Direction direction, std::string_view bytes) {
    Lane& lane = this->lane(direction);
    const std::uint64_t position = lane.header.length - lane.missing;
    if (!lane.unseen && lane.payload.size() < kept_of_frame)
        lane.payload += bytes.substr(0, kept_of_frame - lane.payload.size());
    lane.missing -= bytes.size();
    if (is_control(lane.header.opcode) || !is_known(lane.header.opcode)) return;
    lane.size += bytes.size();
    if (lane.spoilt) return;
    // Only the beginning of what is neither text nor compressed is unmasked: nobody looks at the rest.
    const bool all = lane.compressed || lane.utf8_matters;
    if (!all) {
        lane.inflated += bytes.size();
        const std::size_t room = kept_of_message - std::min(kept_of_message, lane.plain.size());
        bytes = bytes.substr(0, room);
        if (bytes.empty()) return;
    }
    std::string unmasked;
    if (lane.header.masked) {
        unmasked = bytes;
        apply_mask(unmasked.data(), unmasked.size(), lane.header.key, position);
        bytes = unmasked;
    }
    if (all) {
        take_data(lane, bytes, false);
    } else {
        lane.plain += bytes;
    }
}

/// A piece of a message, unmasked.
void Observer::take_data(Lane& lane, std::string_view bytes, bool last) {
    const auto keep = [&](std::string_view plain) {
        lane.inflated += plain.size();
        if (lane.plain.size() < kept_of_message) lane.plain += plain.substr(0, kept_of_message - lane.plain.size());
        if (lane.utf8_matters && (!lane.utf8.accept(plain) || (last && !lane.utf8.complete()))) {
            lane.utf8_matters = false;
            lane.message_problems.emplace_back("text that is not UTF-8 (8.1)");
        }
    };
    if (!lane.compressed) return keep(bytes);
    while (!lane.spoilt && (!bytes.empty() || last)) {
        if (!lane.inflater) lane.inflater = std::make_unique<Inflater>(15, lane.no_context_takeover);
        const std::string_view piece = bytes.substr(0, inflate_at_a_time);
        bytes.remove_prefix(piece.size());
        const bool at_last = last && bytes.empty();
        inflated_.clear();
        const auto result = lane.inflater->decompress(piece, at_last, most_of_a_piece, inflated_);
        keep(inflated_.view());
        if (inflated_.capacity() > 32 * inflate_at_a_time) inflated_.release();
        if (result != Inflater::Result::done) {
            lane.message_problems.emplace_back("is no DEFLATE data (RFC 7692, 7.2.2)");
        } else if (lane.inflated > most_inflated_bytes) {
            lane.message_problems.emplace_back(fmt::format("inflates to more than {} bytes", most_inflated_bytes));
        } else {
            if (at_last) return;
            continue;
        }
        lane.spoilt = true;
        lane.utf8_matters = false;
        lane.context_lost = !lane.no_context_takeover;
        lane.inflater.reset();
    }
}

void Observer::end_frame(Direction direction) {
    Lane& lane = this->lane(direction);
    const FrameHeader& header = lane.header;
    const bool control = is_control(header.opcode);
    const bool data = !control && is_known(header.opcode);
    Record one = record(Record::Kind::frame, direction);
    one.index = lane.frames;
    one.offset = lane.frame_offset;
    one.size = lane.header_bytes.size() + header.length;
    one.missing = lane.missing;
    one.header = header;
    one.head = std::exchange(lane.header_bytes, {});
    one.payload = std::exchange(lane.payload, {});
    one.plain = one.payload;
    if (header.masked) apply_mask(one.plain.data(), one.plain.size(), header.key);
    one.first_segment = lane.frame_segment;
    one.last_segment = lane.segments;
    one.compressed = data && lane.compressed;
    one.message = lane.in_message ? lane.messages : 0;
    one.fragment = data ? lane.fragments : 0;
    lane.in_payload = false;
    if (lane.missing == 0) ++lane.whole;
    const bool is_whole = one.payload.size() == header.length;

    if (header.opcode == Opcode::close && is_whole) {
        if (one.plain.size() == 1) lane.problems.emplace_back("a Close frame with half a code (5.5.1)");
        if (one.plain.size() >= 2) {
            one.code = static_cast<unsigned>(static_cast<std::uint8_t>(one.plain[0])) << 8U |
                       static_cast<std::uint8_t>(one.plain[1]);
            one.reason = escaped(std::string_view(one.plain).substr(2));
            if (!may_travel(one.code)) lane.problems.emplace_back("a close code that must not travel (7.4)");
            if (!is_utf8(std::string_view(one.plain).substr(2)))
                lane.problems.emplace_back("a reason that is not UTF-8 (5.5.1)");
        }
        if (!lane.close) lane.close = one.code;
        if (!first_close_) first_close_ = direction;
    } else if (header.opcode == Opcode::ping && is_whole) {
        lane.pings.push_back({one.plain, time_, one.index});
        if (lane.pings.size() > most_pings) lane.pings.pop_front();
    } else if (header.opcode == Opcode::pong && is_whole) {
        // The latest ping with this payload: earlier ones need no answer any more (5.5.3).
        std::deque<Ping>& pings = this->lane(opposite(direction)).pings;
        const auto found =
            std::find_if(pings.rbegin(), pings.rend(), [&](const Ping& ping) { return ping.payload == one.plain; });
        if (found != pings.rend()) {
            one.round_trip = time_ - found->time;
            one.answers = found->index;
            pings.erase(pings.begin(), found.base());
        }
    }
    one.problems = lane.problems;
    const bool ends_message = data && header.fin && lane.missing == 0;
    told(std::move(one));
    if (ends_message) end_message(direction);
}

void Observer::end_message(Direction direction) {
    Lane& lane = this->lane(direction);
    if (lane.compressed || lane.utf8_matters) take_data(lane, "", true);
    Record one = record(Record::Kind::message, direction);
    one.index = lane.messages;
    one.header.opcode = lane.opcode;
    one.fragments = lane.fragments;
    one.size = lane.size;
    one.compressed = lane.compressed;
    one.inflated = lane.inflated;
    one.between = lane.between;
    one.plain = std::exchange(lane.plain, {});
    one.problems = std::exchange(lane.message_problems, {});
    lane.in_message = false;
    lane.compressed = lane.spoilt = false;
    told(std::move(one));
}

}  // namespace websocket
