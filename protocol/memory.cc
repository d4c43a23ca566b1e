#include "protocol/memory.h"

#include <sys/mman.h>

#include <cstdint>

namespace protocol {

void prepare_pages(void* memory, std::size_t bytes) {
  constexpr std::size_t kMany = std::size_t{256} << 10;
  constexpr std::uintptr_t kPage = 4096;
  if (bytes < kMany) return;
  const auto address = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t begin = (address + kPage - 1) & ~(kPage - 1);
  const std::uintptr_t end = (address + bytes) & ~(kPage - 1);
  // A system that cannot do it (Linux before 5.14, larger pages) gives them one by one.
  madvise(reinterpret_cast<void*>(begin), end - begin, MADV_POPULATE_WRITE);
}

}  // namespace protocol
