#include "admin/averages.h"

#include <chrono>
#include <cstdint>
#include <utility>

namespace admin {
namespace {

// A counter that went back belongs to a database that was removed and came again.
std::uint64_t grown(std::uint64_t now, std::uint64_t then) { return now > then ? now - then : 0; }

}  // namespace

void Averages::observe(const proxy::Inspection& inspection) {
  if (samples_.empty()) {
    // Everything was zero when the process started.
    const auto uptime = inspection.taken_wall - inspection.started_wall;
    samples_.push_back(std::make_shared<Sample>(
        Sample{inspection.taken - std::chrono::duration_cast<base::Duration>(uptime), {}}));
  }
  if (inspection.taken < samples_.back()->at + kSpacing) return;
  Sample sample{inspection.taken, {}};
  for (const proxy::DatabaseRow& row : inspection.databases) {
    sample.databases.insert_or_assign(row.name, row.stats);
  }
  samples_.push_back(std::make_shared<Sample>(std::move(sample)));
  while (samples_.size() > 1 && inspection.taken - samples_[1]->at >= kPeriod) {
    samples_.pop_front();
  }
}

proxy::Stats Averages::of(std::string_view database, const proxy::Stats& now, base::Time at) const {
  proxy::Stats average;
  if (samples_.empty()) return average;
  const Sample& base_sample = *samples_.front();
  const std::int64_t elapsed_us = base::to_us(at - base_sample.at);
  if (elapsed_us <= 0) return average;
  proxy::Stats then;
  if (auto found = base_sample.databases.find(database); found != base_sample.databases.end()) {
    then = found->second;
  }
  const auto per_second = [&](std::uint64_t proxy::Stats::* field) {
    const double grew = static_cast<double>(grown(now.*field, then.*field));
    average.*field = static_cast<std::uint64_t>(grew * 1e6 / static_cast<double>(elapsed_us));
  };
  for (auto field : {&proxy::Stats::xact_count, &proxy::Stats::query_count,
                     &proxy::Stats::server_assignment_count, &proxy::Stats::bytes_received,
                     &proxy::Stats::bytes_sent, &proxy::Stats::client_parse_count,
                     &proxy::Stats::server_parse_count, &proxy::Stats::bind_count,
                     &proxy::Stats::client_login_count, &proxy::Stats::errors,
                     &proxy::Stats::reads_on_replica, &proxy::Stats::reads_on_primary,
                     &proxy::Stats::writes, &proxy::Stats::retries, &proxy::Stats::misroutes,
                     &proxy::Stats::hedges, &proxy::Stats::hedges_won, &proxy::Stats::shared}) {
    per_second(field);
  }
  const auto each = [&](std::uint64_t proxy::Stats::* time, std::uint64_t proxy::Stats::* count) {
    const std::uint64_t times = grown(now.*count, then.*count);
    average.*time = times == 0 ? 0 : grown(now.*time, then.*time) / times;
  };
  each(&proxy::Stats::xact_time_us, &proxy::Stats::xact_count);
  each(&proxy::Stats::query_time_us, &proxy::Stats::query_count);
  each(&proxy::Stats::wait_time_us, &proxy::Stats::server_assignment_count);
  return average;
}

}  // namespace admin
