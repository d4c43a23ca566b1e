// CHECK: programmer errors stop the process, in release builds too.
#pragma once

namespace base {

// Prints "file:line: CHECK failed: expression (note)" with a stack trace hint and aborts.
[[noreturn]] void check_failed(const char* file, int line, const char* expression);

}  // namespace base

// For what can only be false when our own code is wrong. What a peer, a file or the system may
// cause is an absl::Status, never a CHECK.
#define CHECK(expression) \
  ((expression) ? static_cast<void>(0) : ::base::check_failed(__FILE__, __LINE__, #expression))
