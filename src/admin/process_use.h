// What this process takes of the machine, as Prometheus's client libraries tell it.
#pragma once

#include <cstdint>

namespace admin {

struct ProcessUse {  // 0 = not known
  double cpu_seconds = 0;
  std::uint64_t resident_bytes = 0, virtual_bytes = 0;
  std::uint64_t open_files = 0, open_files_max = 0;
};

// Of proc(5) and getrusage(2).
ProcessUse process_use();

}  // namespace admin
