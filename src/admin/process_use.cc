#include "admin/process_use.h"

#include <dirent.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace admin {
namespace {

double seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

std::uint64_t count_open_files() {
  DIR* folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  std::uint64_t entries = 0;
  while (readdir(folder) != nullptr) ++entries;
  closedir(folder);
  return entries < 3 ? 0 : entries - 3;  // ".", ".." and the folder itself
}

}  // namespace

ProcessUse process_use() {
  ProcessUse use;
  rusage spent{};
  if (getrusage(RUSAGE_SELF, &spent) == 0) {
    use.cpu_seconds = seconds(spent.ru_utime) + seconds(spent.ru_stime);
  }
  std::uint64_t pages = 0, resident_pages = 0;
  if (std::ifstream statm("/proc/self/statm"); statm >> pages >> resident_pages) {
    const auto page_bytes = static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
    use.virtual_bytes = pages * page_bytes;
    use.resident_bytes = resident_pages * page_bytes;
  }
  use.open_files = count_open_files();
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) use.open_files_max = limit.rlim_cur;
  return use;
}

}  // namespace admin
