#include "config/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>

#include "config/concat.h"

namespace config {
namespace {

absl::Status from_errno(int error) {
  return absl::NotFoundError(std::generic_category().message(error));
}

}  // namespace

absl::Status readable(const std::string& path) {
  struct stat info{};
  if (stat(path.c_str(), &info) != 0) return from_errno(errno);
  if (!S_ISREG(info.st_mode)) return absl::NotFoundError("not a regular file");
  if (access(path.c_str(), R_OK) != 0) return from_errno(errno);
  return absl::OkStatus();
}

absl::StatusOr<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return from_errno(errno);
  std::string text;
  std::array<char, 16384> chunk{};
  while (text.size() <= bytes_max) {
    const ssize_t count = read(file, chunk.data(), chunk.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) {
      const int error = errno;
      close(file);
      return from_errno(error);
    }
    if (count == 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(count));
  }
  close(file);
  if (text.size() > bytes_max) {
    return absl::OutOfRangeError(concat("longer than ", bytes_max, " bytes"));
  }
  return text;
}

std::string resolve(std::string_view source, std::string_view path) {
  const std::size_t slash = source.rfind('/');
  if (path.empty() || path.starts_with('/') || slash == std::string_view::npos) {
    return std::string(path);
  }
  return std::string(source.substr(0, slash + 1)) + std::string(path);
}

}  // namespace config
