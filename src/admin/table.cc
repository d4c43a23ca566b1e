#include "admin/table.h"

#include <array>
#include <chrono>
#include <cstdio>
#include <ctime>
#include <limits>

#include "admin/text.h"

namespace admin {

std::span<const Table> tables() {
  static const std::vector<Table> all = [] {
    std::vector<Table> list;
    for (auto part : {pool_tables(), connection_tables(), stats_tables(), statement_tables(),
                      cluster_tables(), instance_tables()}) {
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

proxy::InspectParts needs_of(std::string_view sql) {
  const std::string text = lower(sql);
  proxy::InspectParts needs;
  for (const Table& table : tables()) {
    if (text.find(table.name) != std::string::npos) needs |= table.needs;
  }
  return needs;
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
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &fields);
  std::string shown(text.data(), size);
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch());
  if (us.count() % 1'000'000 == 0) return shown;
  // As PostgreSQL prints it: no more digits than there are.
  std::snprintf(text.data(), text.size(), ".%06d", static_cast<int>(us.count() % 1'000'000));
  shown += text.data();
  shown.resize(shown.find_last_not_of('0') + 1);
  return shown;
}

}  // namespace admin
