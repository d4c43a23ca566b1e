// The terminal of `weir top`: raw keys, its size, the alternate screen. Plain ANSI.
#pragma once

#include <termios.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace top {

enum class Key { kNone, kCharacter, kUp, kDown, kPageUp, kPageDown, kEnd };
struct Pressed {
  Key key = Key::kNone;
  char character = 0;  // kCharacter
};

// Takes over standard input and output, if both are a terminal; the destructor gives them back.
// One at a time.
class Terminal {
 public:
  Terminal();
  ~Terminal();
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  bool is_one() const { return is_one_; }
  std::size_t width() const { return width_; }
  std::size_t height() const { return height_; }
  void measure();  // again

  // All lines of the screen, from its top; the rest is cleared. A line may have SGR sequences.
  void draw(const std::vector<std::string>& lines);
  // What was typed; kEnd when nobody can type any more. Does not wait.
  std::vector<Pressed> keys();

  static bool resized();      // since it was asked last
  static bool interrupted();  // SIGINT, SIGTERM or SIGHUP has come

 private:
  bool is_one_ = false;
  std::size_t width_ = 80, height_ = 24;
  termios before_{};
};

}  // namespace top
