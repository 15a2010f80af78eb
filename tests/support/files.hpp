#pragma once
// Files and directories for tests.

#include <string>
#include <string_view>
#include <vector>

/// A new directory of mode 0700 with a short path, removed with all that is in it.
class TempDir {
public:
    TempDir();
    ~TempDir();
    TempDir(TempDir&& other) noexcept;
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;

    const std::string& path() const { return path_; }
    std::string operator/(std::string_view name) const { return path_ + "/" + std::string(name); }

private:
    std::string path_;
};

/// Throw std::runtime_error.
std::string read_file(const std::string& path);
void write_file(const std::string& path, std::string_view content);

/// The files of a directory below the repository root with this ending, sorted; none if there is no such directory.
std::vector<std::string> files_in(const std::string& directory, std::string_view ending);

/// Bytes that no compression, no repetition and no luck makes equal to others of the same length.
std::string random_bytes(size_t count, unsigned seed = 1);

/// The path of a program in PATH; "" if it is not installed.
std::string find_tool(const std::string& name);
