// `weir top`: what Weir does now, in a terminal, by the SQL of its console.
#pragma once

#include <string>

namespace top {

struct Options {
  std::string conninfo;      // as Conninfo takes it: a URL or "host=... port=..."
  double every_s = 1.0;      // between two frames
  unsigned long frames = 0;  // end after so many; 0 = when asked to
};

// Answers the exit code: 3 without a terminal and a console. Where standard output is no terminal
// it writes frame after frame.
int run(const Options& options);

}  // namespace top
