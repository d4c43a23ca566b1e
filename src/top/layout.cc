#include "top/layout.h"

#include <algorithm>
#include <charconv>
#include <numeric>
#include <optional>
#include <utility>

namespace top {
namespace {

constexpr std::size_t kWidest = 200;  // of a column

// The length of the character at `at`; 0 = it is none.
std::size_t character(std::string_view text, std::size_t at) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const std::size_t size = byte(0) < 0x80 ? 1 : byte(0) >= 0xF0 ? 4 : byte(0) >= 0xE0 ? 3 : 2;
  if (size > 1 && (byte(0) < 0xC2 || byte(0) > 0xF4)) return 0;
  if (at + size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  return size;
}

bool is_harmless(std::string_view c) {
  if (c.size() == 1) return c[0] >= ' ' && c[0] != '\x7F';
  if (c[0] == '\xC2' && static_cast<unsigned char>(c[1]) < 0xA0) return false;  // C1
  // Marks of direction, joiners, line ends: U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F,
  // U+061C, U+FEFF; combining ones take no cell of their own: U+0300 to U+036F.
  if (c.starts_with("\xE2\x80")) {
    const auto last = static_cast<unsigned char>(c[2]);
    return !(last >= 0x8B && last <= 0x8F) && !(last >= 0xA8 && last <= 0xAE);
  }
  if (c.starts_with("\xE2\x81")) return static_cast<unsigned char>(c[2]) < 0xA0;
  if (c == "\xD8\x9C" || c == "\xEF\xBB\xBF") return false;
  if (c[0] == '\xCC' || (c[0] == '\xCD' && static_cast<unsigned char>(c[1]) < 0xB0)) return false;
  // East Asian ones take two cells, and so do most beyond the basic plane.
  if (c.size() == 4) return false;
  return c.size() < 3 || static_cast<unsigned char>(c[0]) < 0xE3;
}

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::string clean(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t size = character(text, at);
    const bool shown = size != 0 && is_harmless(text.substr(at, size));
    out += shown ? text.substr(at, size) : "?";
    at += std::max<std::size_t>(size, 1);
  }
  return out;
}

std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

std::string fitted(std::string_view text, std::size_t width) {
  std::string out;
  std::size_t cells = 0;
  for (std::size_t at = 0; at < text.size() && cells < width; ++cells) {
    const std::size_t size = std::max<std::size_t>(character(text, at), 1);
    out += text.substr(at, size);
    at += size;
  }
  return out.append(width - cells, ' ');
}

void sort_rows(Table& table, std::size_t column, bool descending) {
  if (column >= table.columns.size()) return;
  const auto before = [column](const auto& a, const auto& b) {
    const auto x = number(a[column]), y = number(b[column]);
    if (x && y) return *x < *y;
    if (x || y) return !x;
    return a[column] < b[column];
  };
  std::vector<std::size_t> order(table.rows.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::sort(order, [&](std::size_t a, std::size_t b) {
    const auto& x = table.rows[descending ? b : a];
    const auto& y = table.rows[descending ? a : b];
    if (before(x, y)) return true;
    return !before(y, x) && a < b;
  });
  std::vector<std::vector<std::string>> sorted;
  for (const std::size_t i : order) sorted.push_back(std::move(table.rows[i]));
  table.rows = std::move(sorted);
}

std::vector<std::string> lines_of(const Table& table, std::size_t first, std::size_t width,
                                  std::size_t height, std::size_t sorted) {
  std::vector<std::string> lines;
  if (height == 0) return lines;
  const std::size_t count = table.columns.size();
  std::vector<std::size_t> widths(count);
  std::vector<bool> numbers(count, !table.rows.empty());
  for (std::size_t i = 0; i < count; ++i) {
    widths[i] = width_of(table.columns[i]) + (i == sorted ? 1 : 0);
    for (const auto& row : table.rows) {
      widths[i] = std::min(std::max(widths[i], width_of(row[i])), kWidest);
      if (!row[i].empty() && !number(row[i])) numbers[i] = false;
    }
  }
  const auto line = [&](const std::vector<std::string>& cells, bool head) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string cell = cells[i] + (head && i == sorted ? "*" : "");
      const std::size_t used = std::min(width_of(cell), widths[i]);
      if (i != 0) text += "  ";
      text += numbers[i] ? std::string(widths[i] - used, ' ') + fitted(cell, used)
                         : fitted(cell, widths[i]);
    }
    return fitted(text, width);
  };
  lines.push_back(line(table.columns, true));
  for (std::size_t i = first; i < table.rows.size() && lines.size() < height; ++i) {
    lines.push_back(line(table.rows[i], false));
  }
  return lines;
}

}  // namespace top
