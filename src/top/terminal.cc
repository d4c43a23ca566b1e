#include "top/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

namespace top {
namespace {

volatile std::sig_atomic_t g_resized = 0, g_interrupted = 0;

void on_signal(int signal) { (signal == SIGWINCH ? g_resized : g_interrupted) = 1; }

void write_all(std::string_view text) {
  while (!text.empty()) {
    const ssize_t n = ::write(STDOUT_FILENO, text.data(), text.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(n));
  }
}

// Without SA_RESTART: poll() ends.
void handle(int signal) {
  struct sigaction action{};
  action.sa_handler = on_signal;
  sigaction(signal, &action, nullptr);
}

}  // namespace

Terminal::Terminal() {
  is_one_ = isatty(STDIN_FILENO) == 1 && isatty(STDOUT_FILENO) == 1 &&
            tcgetattr(STDIN_FILENO, &before_) == 0;
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGWINCH}) handle(signal);
  if (!is_one_) return;
  termios raw = before_;
  raw.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);  // signals stay
  raw.c_cc[VMIN] = 0;
  raw.c_cc[VTIME] = 0;
  tcsetattr(STDIN_FILENO, TCSANOW, &raw);
  write_all("\x1B[?1049h\x1B[?25l");  // another screen, without a cursor
  measure();
}

Terminal::~Terminal() {
  if (!is_one_) return;
  write_all("\x1B[?25h\x1B[?1049l");
  tcsetattr(STDIN_FILENO, TCSANOW, &before_);
}

void Terminal::measure() {
  winsize size{};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) return;
  width_ = size.ws_col;
  height_ = size.ws_row;
}

void Terminal::draw(const std::vector<std::string>& lines) {
  std::string screen = "\x1B[H";
  const std::size_t count = std::min(lines.size(), height_);
  for (std::size_t i = 0; i < count; ++i) {
    screen += lines[i];
    screen += i + 1 < count ? "\x1B[K\r\n" : "\x1B[K\x1B[J";
  }
  write_all(screen);
}

std::vector<Pressed> Terminal::keys() {
  std::array<char, 256> typed{};
  const ssize_t n = ::read(STDIN_FILENO, typed.data(), typed.size());
  if (n < 0) return {};
  std::vector<Pressed> keys;
  if (n == 0) return {{.key = Key::kEnd}};
  std::string_view rest(typed.data(), static_cast<std::size_t>(n));
  struct Sequence {
    std::string_view bytes;
    Key key;
  };
  static constexpr Sequence kSequences[] = {{"\x1B[A", Key::kUp},      {"\x1BOA", Key::kUp},
                                            {"\x1B[B", Key::kDown},    {"\x1BOB", Key::kDown},
                                            {"\x1B[5~", Key::kPageUp}, {"\x1B[6~", Key::kPageDown}};
  while (!rest.empty()) {
    const auto known = std::ranges::find_if(
        kSequences, [&](const Sequence& sequence) { return rest.starts_with(sequence.bytes); });
    if (known != std::end(kSequences)) {
      keys.push_back({.key = known->key});
      rest.remove_prefix(known->bytes.size());
    } else if (rest[0] == '\x1B') {  // one that means nothing here: to its final byte
      const std::size_t end =
          rest.find_first_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz~", 1);
      rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
    } else {
      keys.push_back({.key = Key::kCharacter, .character = rest[0]});
      rest.remove_prefix(1);
    }
  }
  return keys;
}

bool Terminal::resized() { return std::exchange(g_resized, 0) != 0; }
bool Terminal::interrupted() { return g_interrupted != 0; }

}  // namespace top
