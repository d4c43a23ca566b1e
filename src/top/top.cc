#include "top/top.h"

#include <libpq-fe.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "top/console.h"
#include "top/layout.h"
#include "top/terminal.h"
#include "top/views.h"

namespace top {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kAnswer{5};  // for a connection, and for an answer
constexpr double kFastest = 0.1, kSlowest = 60;
constexpr std::string_view kHelp =
    "p pools  c clients  s statements  n pins  w waits  f faults | < > sort  r reverse  + - pace  "
    "space hold  q quit";

double seconds(Clock::time_point at) {
  return std::chrono::duration<double>(at.time_since_epoch()).count();
}

std::string local_time() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm fields{};
  localtime_r(&now, &fields);
  char text[16];
  std::strftime(text, sizeof text, "%H:%M:%S", &fields);
  return text;
}

Table table_of(const PGresult& result) {
  Table table;
  for (int column = 0; column < PQnfields(&result); ++column) {
    table.columns.push_back(clean(PQfname(&result, column)));
  }
  for (int row = 0; row < PQntuples(&result); ++row) {
    auto& cells = table.rows.emplace_back();
    for (int column = 0; column < PQnfields(&result); ++column) {
      cells.push_back(clean(PQgetvalue(&result, row, column)));
    }
  }
  return table;
}

class Top {
 public:
  explicit Top(const Options& options) : options_(options), every_s_(options.every_s) {}

  int run() {
    unsigned long shown = 0;
    while (!ends_ && !Terminal::interrupted()) {
      if (!held_) {
        ask();
        if (!terminal_.is_one() && !problem_.empty()) break;
      }
      draw();
      if (options_.frames != 0 && ++shown >= options_.frames) break;
      wait(Clock::now() +
           std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(every_s_)));
    }
    if (terminal_.is_one() || problem_.empty()) return 0;
    std::fprintf(stderr, "weir: %s\n", problem_.c_str());
    return 3;
  }

 private:
  // --- the console --------------------------------------------------------------------------

  bool connect(Clock::time_point deadline) {
    const Conninfo words(options_.conninfo, "weir top");
    if (!words.wrong().empty()) return fail(words.wrong());
    connection_.reset(PQconnectStartParams(words.names(), words.values(), /*expand_dbname=*/0));
    if (!connection_) return fail("out of memory");
    auto next = PGRES_POLLING_WRITING;
    while (next != PGRES_POLLING_OK) {
      if (PQstatus(connection_.get()) == CONNECTION_BAD || next == PGRES_POLLING_FAILED) {
        return fail(PQerrorMessage(connection_.get()));
      }
      const short events = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;
      if (!wait_for(events, deadline)) return fail("the console does not answer");
      next = PQconnectPoll(connection_.get());
    }
    rates_.forget();
    return true;
  }

  bool fail(std::string_view why) {
    while (why.ends_with('\n')) why.remove_suffix(1);
    problem_ = clean(why);
    connection_.reset();
    return false;
  }

  // Meanwhile keys are taken. False: the deadline, or the end.
  bool wait_for(short events, Clock::time_point deadline) {
    while (!ends_ && !Terminal::interrupted()) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
      if (left.count() <= 0) return false;
      pollfd watched[] = {
          {.fd = PQsocket(connection_.get()), .events = events, .revents = 0},
          {.fd = terminal_.is_one() ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0}};
      if (::poll(watched, 2, static_cast<int>(left.count()) + 1) <= 0) continue;
      if (watched[1].revents != 0) take_keys();
      if (watched[0].revents != 0) return true;
    }
    return false;
  }

  void ask() {
    const auto deadline = Clock::now() + kAnswer;
    if (!connection_ && !connect(deadline)) return;
    const std::size_t asked = view_;
    const View& view = views()[asked];
    const std::string sql =
        std::string(kTotalsSql) + ";" + std::string(kHostsSql) + ";" + std::string(view.sql);
    std::vector<Table> tables;
    if (PQsendQuery(connection_.get(), sql.c_str()) == 0) {
      fail(PQerrorMessage(connection_.get()));
      return;
    }
    for (;;) {
      while (PQisBusy(connection_.get()) != 0) {
        if (!wait_for(POLLIN, deadline)) {
          fail("the console does not answer");
          return;
        }
        if (PQconsumeInput(connection_.get()) == 0) {
          fail(PQerrorMessage(connection_.get()));
          return;
        }
      }
      const Result result(PQgetResult(connection_.get()));
      if (!result) break;
      if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
        fail(PQresultErrorMessage(result.get()));
        return;
      }
      tables.push_back(table_of(*result));
    }
    if (tables.size() == 3 && !tables[0].rows.empty()) take(std::move(tables), asked);
  }

  void take(std::vector<Table> tables, std::size_t asked) {
    problem_.clear();
    const double now = seconds(Clock::now());
    std::map<std::string, std::string> totals;
    for (std::size_t i = 0; i < tables[0].columns.size(); ++i) {
      totals[tables[0].columns[i]] = tables[0].rows[0][i];
    }
    totals_ = rates_.totals(totals, now);
    hosts_ = std::move(tables[1]);
    rows_ = std::move(tables[2]);
    if (views()[asked].key == 's') rates_.statements(rows_, now);
    shown_ = asked;
  }

  // --- the screen ---------------------------------------------------------------------------

  void draw() {
    if (Terminal::resized()) terminal_.measure();
    const std::size_t width = terminal_.is_one() ? terminal_.width() : 160;
    const std::size_t height = terminal_.is_one() ? terminal_.height() : 60;
    std::vector<std::string> lines;
    const auto plain = [&](std::string_view text) { lines.push_back(fitted(text, width)); };
    const auto styled = [&](const std::string& line, const char* style) {
      lines.push_back(terminal_.is_one() ? style + line + "\x1B[0m" : line);
    };
    plain("weir top  " + local_time() + (held_ ? "  (held)" : "") + "  " + totals_);
    if (!problem_.empty()) styled(fitted(problem_, width), "\x1B[31;1m");
    const std::size_t most = std::max<std::size_t>(2, height / 3);
    for (std::size_t i = 0; const auto& line : lines_of(hosts_, 0, width, most, SIZE_MAX)) {
      if (i == 0) styled(line, "\x1B[7m");
      if (i > 0) styled(line, style_of(hosts_.rows[i - 1]));
      ++i;
    }
    const View& view = views()[shown_];
    plain("");
    Table sorted = rows_;
    sort_rows(sorted, column(), descending());
    first_ = std::min(first_, sorted.rows.empty() ? 0 : sorted.rows.size() - 1);
    const std::size_t used = lines.size() + (terminal_.is_one() ? 2 : 1);
    styled(fitted(std::string(view.name) + " (" + std::to_string(sorted.rows.size()) + ")", width),
           "\x1B[1m");
    const std::size_t room = height > used ? height - used : 1;
    for (bool head = true; const auto& line : lines_of(sorted, first_, width, room, column())) {
      styled(line, std::exchange(head, false) ? "\x1B[7m" : "");
    }
    if (!terminal_.is_one()) {
      for (const std::string& line : lines) {
        std::printf("%.*s\n", static_cast<int>(line.find_last_not_of(' ') + 1), line.c_str());
      }
      std::fflush(stdout);
      return;
    }
    lines.resize(std::max(lines.size(), height - 1));
    lines.resize(height - 1);
    plain(kHelp);
    terminal_.draw(lines);
  }

  static const char* style_of(const std::vector<std::string>& host) {
    const std::string& state = host[2];
    return state == "up" ? "" : state == "lagging" ? "\x1B[33m" : "\x1B[31m";
  }

  std::size_t column() const { return sorted_ ? *sorted_ : views()[shown_].sorted; }
  bool descending() const { return views()[shown_].descending != reversed_; }

  // --- the keys -----------------------------------------------------------------------------

  void wait(Clock::time_point until) {
    while (!ends_ && !Terminal::interrupted() && !changed_) {
      const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
      if (left.count() <= 0 && !held_) break;
      pollfd typed{.fd = terminal_.is_one() ? STDIN_FILENO : -1, .events = POLLIN, .revents = 0};
      const int n = ::poll(&typed, 1, held_ ? -1 : static_cast<int>(left.count()) + 1);
      if (n > 0) take_keys();
      if (Terminal::resized()) {
        terminal_.measure();
        break;
      }
    }
    changed_ = false;
  }

  void take_keys() {
    for (const Pressed& pressed : terminal_.keys()) {
      switch (pressed.key) {
        case Key::kEnd:
          ends_ = true;
          break;
        case Key::kUp:
          first_ -= std::min<std::size_t>(first_, 1);
          break;
        case Key::kDown:
          ++first_;
          break;
        case Key::kPageUp:
          first_ -= std::min(first_, terminal_.height() / 2);
          break;
        case Key::kPageDown:
          first_ += terminal_.height() / 2;
          break;
        case Key::kCharacter:
          take(pressed.character);
          break;
        case Key::kNone:
          break;
      }
      changed_ = true;
    }
  }

  void take(char c) {
    const std::size_t last = rows_.columns.empty() ? 0 : rows_.columns.size() - 1;
    if (c == 'q' || c == '\x03') ends_ = true;
    if (c == ' ') held_ = !held_;
    if (c == 'r') reversed_ = !reversed_;
    if (c == '<') sorted_ = column() == 0 ? 0 : column() - 1;
    if (c == '>') sorted_ = std::min(column() + 1, last);
    if (c == '+') every_s_ = std::max(kFastest, every_s_ / 2);
    if (c == '-') every_s_ = std::min(kSlowest, every_s_ * 2);
    for (std::size_t i = 0; i < views().size(); ++i) {
      if (views()[i].key != c || i == view_) continue;
      view_ = i;
      first_ = 0;
      sorted_.reset();
      reversed_ = held_ = false;
    }
  }

  const Options& options_;
  Terminal terminal_;
  Connection connection_;
  std::string problem_, totals_ = "-";
  Rates rates_;
  Table hosts_, rows_;
  std::size_t view_ = 0, shown_ = 0, first_ = 0;  // asked for; answered; its first row
  std::optional<std::size_t> sorted_;
  bool reversed_ = false, held_ = false, changed_ = false, ends_ = false;
  double every_s_;
};

}  // namespace

int run(const Options& options) { return Top(options).run(); }

}  // namespace top
