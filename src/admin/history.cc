#include "admin/history.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <string_view>

#include "admin/json.h"
#include "admin/text.h"

namespace admin {
namespace {

void append_counts(std::string& out, std::string_view name, const proxy::Histogram& histogram) {
  append(out, ",\"", name, "\":{\"sum_us\":", histogram.sum_us, ",\"counts\":[");
  for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
    append(out, i == 0 ? "" : ",", histogram.counts[i]);
  }
  out += "]}";
}

void append_host(std::string& out, const proxy::ClusterRow& row, std::size_t i) {
  const cluster::Host& host = row.snapshot->hosts[i];
  const auto at = [&](const auto& values) { return i < values.size() ? values[i] : 0; };
  out += "{\"host\":";
  append_json(out, concat(row.name, "/", host.name));
  append(out, ",\"answered\":", at(row.answered), ",\"failed\":", at(row.failed),
         ",\"active\":", at(row.active), ",\"lag_ms\":");
  if (host.lag_ms < 0) {
    out += "null}";
  } else {
    append(out, host.lag_ms, "}");
  }
}

void append_hosts(std::string& out, const proxy::Inspection& in) {
  out += ",\"hosts\":[";
  std::size_t written = 0;
  for (const proxy::ClusterRow& row : in.clusters) {
    if (row.snapshot == nullptr) continue;
    for (std::size_t i = 0; i < row.snapshot->hosts.size() && written < kPointHosts; ++i) {
      if (written++ != 0) out += ',';
      append_host(out, row, i);
    }
  }
  out += ']';
}

}  // namespace

std::string point_json(const proxy::Inspection& in) {
  proxy::Stats all;
  for (const proxy::DatabaseRow& row : in.databases) all += row.stats;
  std::uint64_t waiting = 0, longest_us = 0, pins = 0;
  for (const proxy::PoolRow& row : in.pools) {
    waiting += row.cl_waiting;
    longest_us = std::max(longest_us, row.maxwait_us);
  }
  for (const auto& [reason, clients] : in.pins_by_reason) pins += clients;
  const auto at =
      std::chrono::duration_cast<std::chrono::milliseconds>(in.taken_wall.time_since_epoch());
  std::string out = concat("{\"at_ms\":", at.count());
  const auto one = [&](std::string_view name, std::uint64_t value) {
    append(out, ",\"", name, "\":", value);
  };
  one("clients", in.client_count);
  one("servers", in.server_count);
  one("waiting", waiting);
  one("longest_wait_us", longest_us);
  one("pins", pins);
  one("transactions", all.xact_count);
  one("queries", all.query_count);
  one("reads_on_replica", all.reads_on_replica);
  one("reads_on_primary", all.reads_on_primary);
  one("writes", all.writes);
  one("errors", all.errors);
  one("retries", all.retries);
  one("received_bytes", all.bytes_received);
  one("sent_bytes", all.bytes_sent);
  append_counts(out, "query", in.query_time);
  append_counts(out, "wait", in.wait_time);
  append_counts(out, "on_primary", all.on_primary);
  append_counts(out, "on_replica", all.on_replica);
  append_hosts(out, in);
  return out + "}";
}

void History::observe(const proxy::Inspection& inspection) {
  if (!points_.empty() && inspection.taken < latest_ + kSpacing) return;
  latest_ = inspection.taken;
  points_.push_back(point_json(inspection));
  if (points_.size() > kPoints) points_.pop_front();
}

std::string History::json() const {
  std::string out = "{\"points\":[";
  for (const std::string& point : points_)
    append(out, &point == &points_.front() ? "" : ",", point);
  return out + "]}";
}

}  // namespace admin
