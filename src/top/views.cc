#include "top/views.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace top {
namespace {

constexpr std::array kViews = {
    View{'p', "pools",
         "SELECT database, user, cl_active AS active, cl_waiting AS waiting,"
         " maxwait * 1000 + maxwait_us / 1000 AS wait_ms, sv_active, sv_idle, sv_login, pool_mode"
         " FROM pools ORDER BY cl_waiting DESC, cl_active DESC, database, user LIMIT 500",
         3, true},
    View{'c', "clients",
         "SELECT id, database, user, application_name AS application, addr, state,"
         " wait * 1000 + wait_us / 1000 AS wait_ms, request_time AS since, tls FROM clients"
         " ORDER BY wait DESC, wait_us DESC, state LIMIT 500",
         6, true},
    View{'s', "statements",
         "SELECT calls, total_ms AS ms, p95_ms, errors, on_replica, on_primary, database, user,"
         " statement, shape FROM statements WHERE shape IS NOT NULL ORDER BY total_ms DESC"
         " LIMIT 2000",
         1, true},
    View{'n', "pins",
         "SELECT client, database, user, application_name AS application, reason, age_ms, host,"
         " statement FROM pins ORDER BY age_ms DESC LIMIT 500",
         5, true},
    View{'w', "waits",
         "SELECT client, database, user, application_name AS application, waits_for, host,"
         " waited_ms FROM waits ORDER BY waited_ms DESC LIMIT 500",
         6, true},
    View{'f', "faults",
         "SELECT last_seen, times, severity, kind, subject, what FROM faults"
         " ORDER BY last_seen DESC LIMIT 500",
         0, true},
};

double number(const std::string& text) { return std::strtod(text.c_str(), nullptr); }

std::string text_of(double number, int decimals) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.*f", decimals, number);
  return text.data();
}

}  // namespace

std::span<const View> views() { return kViews; }

std::string Rates::totals(const std::map<std::string, std::string>& values, double now_s) {
  const auto value = [&](const char* name) {
    const auto found = values.find(name);
    return found == values.end() || found->second.empty() ? "0" : found->second;
  };
  const double passed = now_s - totals_at_;
  const bool known = totals_at_ != 0 && passed > 0;
  const auto since = [&](const char* name) {
    const double now = number(value(name));
    const double before = std::exchange(before_[name], now);
    return known ? std::max(0.0, (now - before) / passed) : 0.0;
  };
  totals_at_ = now_s;
  const double transactions = since("transactions"), queries = since("queries"),
               errors = since("errors"), replicas = since("on_replicas"),
               primary = since("on_primary"), writes = since("writes");
  const double reads = replicas + primary;
  const auto rate = [&](double per_second) { return known ? text_of(per_second, 0) : "-"; };
  return "clients " + value("clients") + " (" + value("active") + " active, " + value("waiting") +
         " waiting, " + value("pins") + " pinned)  servers " + value("servers") + " (" +
         value("busy") + " busy)  tx/s " + rate(transactions) + "  queries/s " + rate(queries) +
         "  reads/s " + rate(reads) +
         (known && reads > 0 ? " (" + text_of(100 * replicas / reads, 0) + "% on replicas)" : "") +
         "  writes/s " + rate(writes) + "  errors/s " + rate(errors);
}

void Rates::statements(Table& table, double now_s) {
  const double passed = now_s - statements_at_;
  const bool known = statements_at_ != 0 && passed > 0;
  statements_at_ = now_s;
  std::map<std::string, Counted> now;
  for (auto& row : table.rows) {
    const std::string key = row[9] + '\0' + row[6] + '\0' + row[7];
    const Counted counted{number(row[0]), number(row[1])};
    const Counted before = known ? statements_[key] : counted;
    const double calls = std::max(0.0, counted.calls - before.calls);
    const double ms = std::max(0.0, counted.ms - before.ms);
    now[key] = counted;
    const double seconds = known ? passed : 1;
    row = {text_of(calls / seconds, 1),
           text_of(ms / seconds, 1),
           calls > 0 ? text_of(ms / calls, 2) : "",
           row[2],
           row[3],
           row[4],
           row[5],
           row[6] + "/" + row[7],
           row[8]};
  }
  table.columns = {"calls/s",    "ms/s",       "mean_ms", "p95_ms",   "errors",
                   "on_replica", "on_primary", "whose",   "statement"};
  statements_ = std::move(now);
}

void Rates::forget() { *this = {}; }

}  // namespace top
