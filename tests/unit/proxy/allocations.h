// Counts what threads of this program allocate: replaces the global operator new.
#pragma once

#include <sys/types.h>

#include <cstdint>

namespace proxy_test {

// So far, by that thread.
std::uint64_t allocations_of(pid_t thread);

// Those that the thread makes from now on are remembered, the first few, by their call stacks;
// 0 = of none. Prints those of before, for addr2line.
void trace_allocations_of(pid_t thread);

// The thread of this process with that name. 0 = there is none.
pid_t thread_named(const char* name);

}  // namespace proxy_test
