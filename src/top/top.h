// `weir top`: what Weir does now, in a terminal, by the SQL of its console.
#pragma once

#include <string>

namespace top {

struct Options {
  // As libpq takes it, a URL or "host=... port=..."; what it does not say is by libpq's environment
  // and files, and then 127.0.0.1:6432 and database weir.
  std::string conninfo;
  double every_s = 1.0;      // between two frames
  unsigned long frames = 0;  // end after so many; 0 = when asked to
};

// Answers the exit code: 3 without a terminal and a console. Where standard output is no terminal
// it writes frame after frame.
int run(const Options& options);

}  // namespace top
