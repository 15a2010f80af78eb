#include "tests/support/files.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <sstream>
#include <stdexcept>
#include <utility>

#include <unistd.h>

namespace fs = std::filesystem;

TempDir::TempDir() {
    // Not $TMPDIR, whose path on macOS leaves little of the 104 bytes that a Unix socket's may have.
    path_ = "/tmp/two-terminals-test-XXXXXX";
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("cannot make a directory in /tmp");
}

TempDir::~TempDir() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
}

TempDir::TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}

std::string read_file(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    std::ostringstream content;
    content << file.rdbuf();
    return content.str();
}

void write_file(const std::string& path, std::string_view content) {
    std::ofstream file(path, std::ios::binary | std::ios::trunc);
    file.write(content.data(), static_cast<std::streamsize>(content.size()));
    if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

std::vector<std::string> files_in(const std::string& directory, std::string_view ending) {
    std::vector<std::string> files;
    std::error_code missing;
    for (const auto& entry : fs::directory_iterator(directory, missing)) {
        const std::string path = entry.path().string();
        const bool ends_so = path.size() >= ending.size() && path.substr(path.size() - ending.size()) == ending;
        if (entry.is_regular_file() && ends_so) files.push_back(path);
    }
    std::sort(files.begin(), files.end());
    return files;
}

std::string random_bytes(size_t count, unsigned seed) {
    std::mt19937_64 numbers(seed);
    std::string bytes;
    bytes.reserve(count + 8);
    while (bytes.size() < count) {
        const auto number = numbers();
        bytes.append(reinterpret_cast<const char*>(&number), sizeof number);
    }
    bytes.resize(count);
    return bytes;
}

std::string find_tool(const std::string& name) {
    const char* path = std::getenv("PATH");
    std::istringstream directories(path != nullptr ? path : "");
    for (std::string directory; std::getline(directories, directory, ':');) {
        const std::string file = directory + "/" + name;
        if (access(file.c_str(), X_OK) == 0) return file;
    }
    return "";
}
