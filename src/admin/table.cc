#include "admin/table.h"

#include <array>
#include <chrono>
#include <ctime>
#include <limits>

#include "admin/text.h"

namespace admin {

std::span<const Table> tables() {
  static const std::vector<Table> all = [] {
    std::vector<Table> list;
    for (auto part : {pool_tables(), connection_tables(), stats_tables(), cluster_tables(),
                      instance_tables()}) {
      list.insert(list.end(), part.begin(), part.end());
    }
    return list;
  }();
  return all;
}

const Table* find_table(std::string_view name) {
  for (const Table& table : tables()) {
    if (equal_any_case(table.name, name)) return &table;
  }
  return nullptr;
}

Value count(std::uint64_t n) {
  constexpr auto kMax = std::numeric_limits<std::int64_t>::max();
  return n > static_cast<std::uint64_t>(kMax) ? kMax : static_cast<std::int64_t>(n);
}

Value text_or_null(std::string_view text) {
  if (text.empty()) return std::monostate();
  return std::string(text);
}

Value timestamp(base::WallTime time) {
  if (time == base::WallTime{}) return std::monostate();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm fields{};
  if (gmtime_r(&seconds, &fields) == nullptr) return std::monostate();
  std::array<char, 64> text{};
  const std::size_t size =
      std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S UTC", &fields);
  return std::string(text.data(), size);
}

}  // namespace admin
