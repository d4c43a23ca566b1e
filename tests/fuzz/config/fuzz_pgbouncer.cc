// Bytes to an import of PgBouncer's files: up to the first zero the ini, then the list of users.
// What comes out is TOML, and only what an operator has to finish is wrong with it.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "config/pgbouncer_import.h"

namespace {

class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(memfd_create("fuzz", MFD_CLOEXEC)) {
    CHECK(fd_ >= 0 && write(fd_, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
  }
  ~MemoryFile() { close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1u << 14) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (text.find("%include") != std::string_view::npos) return 0;  // no other file is for us to read
  const std::size_t zero = std::min(text.find('\0'), size);
  const MemoryFile ini(text.substr(0, zero));
  const MemoryFile users(text.substr(std::min(zero + 1, size)));
  const auto made = config::import_pgbouncer(ini.path(), users.path());
  if (!made.ok()) {
    CHECK(made.status().message().find("/proc/self/fd/") == 0);
    return 0;
  }
  for (const config::Problem& problem : made->problems) {
    CHECK(!problem.key.empty());  // else it is no TOML
    // What the import could have known: a name or a number that is out of range.
    CHECK(problem.message.find("expected a whole number") == std::string::npos);
    CHECK(problem.message.find("expected a name of 1") == std::string::npos);
  }
  return 0;
}
