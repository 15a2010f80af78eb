#pragma once
// What race found out, as a table, as bars, as JSON, and as a chart (SVG). For race.cpp.

#include "common/errors.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <functional>
#include <string>
#include <vector>

#include <fmt/core.h>
#include <unistd.h>

struct Result {
    const char* key = nullptr;   ///< of the contestant, for programs
    const char* name = nullptr;  ///< and for people
    long size = 0;
    int error = 0;  ///< why it could not take part: EMSGSIZE, where a message is too large for it

    double p50 = 0, p90 = 0, p99 = 0, most = 0;  // microseconds of a round trip
    std::size_t rounds = 0;

    double bytes_per_second = 0, messages_per_second = 0;
    double lost = 0;  // of the messages, 0 to 1
};

inline bool shows_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* value = std::getenv(name);
        if (value == nullptr || *value == '\0') continue;
        const std::string text = value;
        return text.find("UTF-8") != std::string::npos || text.find("utf8") != std::string::npos;
    }
    return false;
}

/// Three digits that matter: 0.512, 5.12, 51.2, 512, 5120.
inline std::string figure(double value) {
    return fmt::format("{:.{}f}", value, value >= 100 ? 0 : value >= 10 ? 1 : value >= 1 ? 2 : 3);
}

inline double megabytes(double bytes) { return bytes / 1e6; }

inline std::string bytes_text(long size) {
    std::string digits = std::to_string(size);
    for (std::size_t at = digits.size(); at > 3; at -= 3)
        digits.insert(at - 3, 1, ',');
    return digits + (size == 1 ? " byte" : " bytes");
}

inline std::string why_not(const Result& result) {
    return result.error == EMSGSIZE ? "too large for one message (EMSGSIZE)" : describe_error(result.error);
}

/// The results of one message size, in the order of the contestants.
inline std::vector<const Result*> of_size(const std::vector<Result>& results, long size) {
    std::vector<const Result*> found;
    for (const Result& result : results) {
        if (result.size == size) found.push_back(&result);
    }
    return found;
}

inline std::string table(const std::vector<Result>& results, const std::vector<long>& sizes, bool utf8) {
    std::string text;
    for (const long size : sizes) {
        text += fmt::format("{:<16}  --------- round trip, {} ------  --------- throughput -------\n", bytes_text(size),
                            utf8 ? "µs" : "us");
        text += fmt::format("{:<16}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12}{:>7}\n", "", "p50", "p90", "p99", "most", "MB/s",
                            "messages/s", "lost");
        for (const Result* result : of_size(results, size)) {
            if (result->error != 0) {
                text += fmt::format("{:<16}  {}\n", result->name, why_not(*result));
                continue;
            }
            text += fmt::format("{:<16}{:>8}{:>8}{:>8}{:>10}{:>10}{:>12.0f}{:>7}\n", result->name, figure(result->p50),
                                figure(result->p90), figure(result->p99), figure(result->most),
                                figure(megabytes(result->bytes_per_second)), result->messages_per_second,
                                result->lost < 0.0005 ? "-" : fmt::format("{:.1f}%", 100 * result->lost));
        }
        text += "\n";
    }
    return text;
}

/// So long a bar, in eighths of a character if that is possible.
inline std::string bar(double share, int width, bool utf8) {
    static constexpr std::array parts{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
    const int eighths = std::max(1, static_cast<int>(std::lround(share * width * 8)));
    std::string text;
    if (!utf8) return std::string(static_cast<std::size_t>(std::max(1, (eighths + 4) / 8)), '#');
    for (int i = 0; i < eighths / 8; ++i)
        text += "█";
    return text + parts[static_cast<std::size_t>(eighths % 8)];
}

using Value = std::function<double(const Result&)>;

inline double round_trip(const Result& result) { return result.p50; }
inline double throughput(const Result& result) { return megabytes(result.bytes_per_second); }

inline double greatest(const std::vector<const Result*>& results, const Value& value) {
    double most = 0;
    for (const Result* result : results)
        most = std::max(most, value(*result));
    return most;
}

inline std::string bars_of(const std::vector<const Result*>& results, const Value& value, bool utf8) {
    constexpr int width = 50;  // 16 for the name, 3 and 10 around: 79 columns
    const double most = greatest(results, value);
    std::string text;
    for (const Result* result : results) {
        text += fmt::format("{:<16}", result->name);
        if (result->error != 0) {
            text += "(too large, or not on this system)\n";
            continue;
        }
        const double share = most > 0 ? value(*result) / most : 0;
        text += fmt::format("{} {}\n", bar(share, width, utf8), figure(value(*result)));
    }
    return text;
}

inline std::string bars(const std::vector<Result>& results, const std::vector<long>& sizes, bool utf8) {
    std::string text;
    for (const long size : sizes) {
        text += fmt::format("Round trip of {}, p50 in {}: shorter is better\n", bytes_text(size), utf8 ? "µs" : "us");
        text += bars_of(of_size(results, size), round_trip, utf8) + "\n";
    }
    for (const long size : sizes) {
        text += fmt::format("Throughput of {} at a time, in MB/s: longer is better\n", bytes_text(size));
        text += bars_of(of_size(results, size), throughput, utf8) + "\n";
    }
    return text;
}

inline std::string json(const std::vector<Result>& results, long milliseconds) {
    std::string text = fmt::format("{{\n  \"processors\": {},\n  \"milliseconds\": {},\n  \"results\": [\n",
                                   sysconf(_SC_NPROCESSORS_ONLN), milliseconds);
    for (std::size_t i = 0; i < results.size(); ++i) {
        const Result& result = results[i];
        text += fmt::format("    {{\"contestant\": \"{}\", \"size\": {}, ", result.key, result.size);
        if (result.error != 0) {
            text += fmt::format("\"error\": \"{}\"", error_name(result.error));
        } else {
            text += fmt::format(
                "\"rounds\": {}, \"p50_us\": {:.3f}, \"p90_us\": {:.3f}, \"p99_us\": {:.3f}, \"most_us\": {:.3f}, "
                "\"bytes_per_second\": {:.0f}, \"messages_per_second\": {:.0f}, \"lost\": {:.4f}",
                result.rounds, result.p50, result.p90, result.p99, result.most, result.bytes_per_second,
                result.messages_per_second, result.lost);
        }
        text += i + 1 < results.size() ? "},\n" : "}\n";
    }
    return text + "  ]\n}\n";
}

// ---- The chart: a column for each message size, round trips above and throughput below

/// 1, 2 or 5 times a power of ten, so that at most four of them fit.
inline double tick_step(double most) {
    const double power = std::pow(10, std::floor(std::log10(most)));
    for (const double factor : {0.1, 0.2, 0.5, 1.0, 2.0}) {
        if (most <= 4 * factor * power) return factor * power;
    }
    return 5 * power;
}

class Chart {
public:
    Chart(const std::vector<Result>& results, const std::vector<long>& sizes, std::size_t rows)
        : results_(results),
          sizes_(sizes),
          panel_height_(static_cast<double>(rows) * row_height),
          width_(std::max(860.0, left + static_cast<double>(sizes.size()) * column + 20)),
          height_(top + 2 * (panel_height_ + gap)) {}

    std::string text() {
        out_ = fmt::format(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" width=\"{0}\" height=\"{1}\"\n"
            "     font-family=\"Helvetica, Arial, sans-serif\" fill=\"#111\">\n"
            "<title>Round trip and throughput between two processes of one machine</title>\n"
            "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n",
            width_, height_);
        put_text(24, 46, 30, "start", "Two processes, one machine", true);
        add_row(top, "Round trip, µs (shorter is better; bar: half took less; thin line: 90 % did)", round_trip, true);
        add_row(top + panel_height_ + gap, "Throughput, MB/s (longer is better)", throughput, false);
        put_text(24, height_ - 22, 17, "start", losses());
        return out_ + "</svg>\n";
    }

private:
    /// What the bars of the throughput don't show.
    std::string losses() const {
        std::string text;
        for (const Result& result : results_) {
            if (result.lost >= 0.0005) {
                text +=
                    fmt::format("{} {}: {:.0f} % of {}", text.empty() ? "Lost on the way, and not counted here:" : ";",
                                result.name, 100 * result.lost, bytes_text(result.size));
            }
        }
        return text;
    }

    static constexpr double row_height = 32, left = 190, column = 350, room = 230, top = 130, gap = 125;

    void put_text(double x, double y, int size, const char* anchor, const std::string& text, bool bold = false) {
        out_ += fmt::format(
            "<text x=\"{:.1f}\" y=\"{:.1f}\" font-size=\"{}\" text-anchor=\"{}\"{} stroke=\"#fff\" "
            "stroke-width=\"4\" paint-order=\"stroke\">{}</text>\n",
            x, y, size, anchor, bold ? " font-weight=\"bold\"" : "", text);
    }

    void put_line(double x1, double y1, double x2, double y2, const char* stroke, double width) {
        out_ += fmt::format(
            "<line x1=\"{:.1f}\" y1=\"{:.1f}\" x2=\"{:.1f}\" y2=\"{:.1f}\" stroke=\"{}\" stroke-width=\"{}\"/>\n", x1,
            y1, x2, y2, stroke, width);
    }

    void add_row(double y, const char* title, const Value& value, bool whiskers) {
        put_text(24, y - 42, 22, "start", title, true);
        for (std::size_t i = 0; i < sizes_.size(); ++i)
            add_panel(left + static_cast<double>(i) * column, y, sizes_[i], value, whiskers, i == 0);
    }

    void add_panel(double x, double y, long size, const Value& value, bool whiskers, bool names) {
        const auto results = of_size(results_, size);
        // A whisker that would make all bars small is cut off.
        const double longest = 1.4 * greatest(results, value);
        const auto end_of = [&](const Result& result) {
            return whiskers ? std::min(result.p90, longest) : value(result);
        };
        const double most = greatest(results, end_of);
        const double scale = most > 0 ? room / most : 0;
        put_text(x, y - 12, 20, "start", bytes_text(size));
        const double step = most > 0 ? tick_step(most) : 1;
        for (double tick = 0; most > 0 && tick <= most; tick += step) {
            put_line(x + tick * scale, y, x + tick * scale, y + panel_height_ + 5, tick == 0 ? "#111" : "#bbb",
                     tick == 0 ? 2 : 1);
            put_text(x + tick * scale, y + panel_height_ + 25, 17, "middle", fmt::format("{:g}", tick));
        }
        double middle = y + row_height / 2;
        for (const Result* result : results) {
            if (names) put_text(x - 12, middle + 7, 20, "end", result->name);
            if (result->error != 0) {
                put_text(x + 8, middle + 6, 17, "start",
                         result->error == EMSGSIZE ? "too large" : "not on this system");
            } else {
                add_bar(x, middle, *result, value(*result) * scale, end_of(*result) * scale, value);
            }
            middle += row_height;
        }
    }

    void add_bar(double x, double middle, const Result& result, double length, double end, const Value& value) {
        out_ += fmt::format("<rect x=\"{:.1f}\" y=\"{:.1f}\" width=\"{:.1f}\" height=\"{}\" fill=\"#35526f\"/>\n", x,
                            middle - 10, std::max(1.0, length), 20);
        if (end > length) {
            put_line(x + length, middle, x + end, middle, "#111", 2);
            const bool whole = result.p90 * length <= value(result) * end * 1.001;
            if (whole) put_line(x + end, middle - 6, x + end, middle + 6, "#111", 2);
        }
        std::string label = figure(value(result));
        put_text(x + end + 8, middle + 6, 17, "start", label, true);
    }

    const std::vector<Result>& results_;
    const std::vector<long>& sizes_;
    double panel_height_;
    double width_;
    double height_;
    std::string out_;
};
