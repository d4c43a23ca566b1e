#include "config/suggest.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include "base/check.h"
#include "config/pgbouncer_settings.h"

namespace config {
namespace {

constexpr std::size_t kWordMax = 64;

}  // namespace

int edit_distance(std::string_view a, std::string_view b) {
  CHECK(a.size() <= kWordMax && b.size() <= kWordMax);
  using Row = std::array<int, kWordMax + 1>;
  Row before_last{}, last{}, row{};
  for (std::size_t j = 0; j <= b.size(); ++j) last[j] = static_cast<int>(j);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = static_cast<int>(i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const int replaced = last[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({replaced, last[j] + 1, row[j - 1] + 1});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
    before_last = last;
    last = row;
  }
  return last[b.size()];
}

std::string nearest(std::string_view word, std::span<const std::string> candidates) {
  if (word.size() > kWordMax) return "";
  const int allowed = std::clamp(static_cast<int>(word.size()) / 3, 1, 4);
  int best = allowed + 1;
  std::string found;
  for (const std::string& candidate : candidates) {
    if (candidate.size() > kWordMax) continue;
    const int distance = edit_distance(word, candidate);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

std::string did_you_mean(std::string_view suggestion) {
  if (suggestion.empty()) return "";
  return "; did you mean \"" + std::string(suggestion) + "\"?";
}

std::string_view for_pgbouncer_key(std::string_view key) {
  const PgBouncerSetting* setting = find_pgbouncer_setting(key);
  return setting == nullptr ? "" : setting->ours;
}

}  // namespace config
