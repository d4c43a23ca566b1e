#include "admin/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>
#include <sstream>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/process_use.h"
#include "admin/text.h"
#include "base/utf8.h"

namespace admin {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

// Prometheus refuses a whole scrape for one byte that is not UTF-8, and names of users and
// databases are the clients'.
std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t size = base::utf8_length(text.substr(i));
    if (size != 0) {
      out += text.substr(i, size);
      i += size;
    } else {
      out += "\xef\xbf\xbd";  // U+FFFD
      ++i;
    }
  }
  return out;
}

class Families {
 public:
  void counter(const char* name, const char* help, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.counter.value = value;
    family(name, help, MetricType::Counter).metric.push_back(std::move(metric));
  }
  void gauge(const char* name, const char* help, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    metric.gauge.value = value;
    family(name, help, MetricType::Gauge).metric.push_back(std::move(metric));
  }
  void histogram(const char* name, const char* help, const proxy::Histogram& histogram,
                 Labels labels = {}) {
    ClientMetric metric;
    metric.label = std::move(labels);
    std::uint64_t total = 0;
    for (std::size_t i = 0; i < histogram.counts.size(); ++i) {
      total += histogram.counts[i];
      const double bound = i < proxy::kLatencyBounds.size()
                               ? static_cast<double>(proxy::kLatencyBounds[i]) / 1e6
                               : std::numeric_limits<double>::infinity();
      metric.histogram.bucket.push_back({.cumulative_count = total, .upper_bound = bound});
    }
    metric.histogram.sample_count = total;
    metric.histogram.sample_sum = static_cast<double>(histogram.sum_us) / 1e6;
    family(name, help, MetricType::Histogram).metric.push_back(std::move(metric));
  }
  std::string text() const {
    std::ostringstream out;
    prometheus::TextSerializer().Serialize(out, families_);
    return std::move(out).str();
  }

 private:
  MetricFamily& family(const char* name, const char* help, MetricType type) {
    const auto [at, fresh] = index_.try_emplace(name, families_.size());
    if (fresh) families_.push_back({.name = name, .help = help, .type = type});
    return families_[at->second];
  }
  std::vector<MetricFamily> families_;
  std::map<std::string_view, std::size_t> index_;  // by name, into families_
};

double number(std::uint64_t n) { return static_cast<double>(n); }
double seconds(std::uint64_t us) { return static_cast<double>(us) / 1e6; }

void add_databases(Families& out, const proxy::Inspection& in) {
  for (const proxy::DatabaseRow& row : in.databases) {
    const Labels db = {{"database", valid_utf8(row.name)}};
    const proxy::Stats& s = row.stats;
    const auto routed = [&](const char* route, std::uint64_t value) {
      Labels labels = db;
      labels.push_back({"route", route});
      out.counter("weir_requests_total", "Requests by where they were routed.", labels,
                  number(value));
    };
    out.counter("weir_transactions_total", "Transactions completed.", db, number(s.xact_count));
    out.counter("weir_queries_total", "Queries completed.", db, number(s.query_count));
    out.counter("weir_server_assignments_total", "Times a client was given a server connection.",
                db, number(s.server_assignment_count));
    out.counter("weir_received_bytes_total", "Bytes received from clients.", db,
                number(s.bytes_received));
    out.counter("weir_sent_bytes_total", "Bytes sent to clients.", db, number(s.bytes_sent));
    out.counter("weir_transaction_seconds_total", "Time spent in transactions on servers.", db,
                seconds(s.xact_time_us));
    out.counter("weir_query_seconds_total", "Time spent executing queries on servers.", db,
                seconds(s.query_time_us));
    out.counter("weir_wait_seconds_total", "Time clients waited for a server connection.", db,
                seconds(s.wait_time_us));
    out.counter("weir_client_parses_total", "Parse messages received from clients.", db,
                number(s.client_parse_count));
    out.counter("weir_server_parses_total", "Parse messages sent to servers.", db,
                number(s.server_parse_count));
    out.counter("weir_binds_total", "Bind messages forwarded.", db, number(s.bind_count));
    out.counter("weir_client_logins_total", "Logins completed by clients.", db,
                number(s.client_login_count));
    out.counter("weir_errors_total", "ErrorResponses relayed to clients.", db, number(s.errors));
    out.counter("weir_retries_total", "Requests run again, on this host or another.", db,
                number(s.retries));
    out.counter("weir_misroutes_total", "Requests run again because a replica refused to write.",
                db, number(s.misroutes));
    out.counter("weir_hedges_total", "Late reads that were sent to another replica, too.", db,
                number(s.hedges));
    out.counter("weir_hedges_won_total", "Of those: the other replica answered first.", db,
                number(s.hedges_won));
    out.counter("weir_shared_reads_total",
                "Reads that were sent behind another client's, on the same server connection.", db,
                number(s.shared));
    const auto served = [&](const char* by, const proxy::Histogram& times) {
      Labels labels = db;
      labels.push_back({"role", by});
      out.histogram("weir_database_query_duration_seconds",
                    "Time from a request to the end of its reply, by the role of its server.",
                    times, std::move(labels));
    };
    served("primary", s.on_primary);
    served("replica", s.on_replica);
    routed("replica_read", s.reads_on_replica);
    routed("primary_read", s.reads_on_primary);
    routed("write", s.writes);
    out.gauge("weir_database_client_connections", "Client connections of the database.", db,
              row.current_client_connections);
    out.gauge("weir_database_server_connections", "Server connections of the database.", db,
              row.current_connections);
    out.gauge("weir_database_paused", "1 while the database is paused.", db, row.paused ? 1 : 0);
    out.gauge("weir_database_disabled", "1 while the database refuses clients.", db,
              row.disabled ? 1 : 0);
  }
}

void add_users(Families& out, const proxy::Inspection& in) {
  for (const proxy::UserTimes& row : in.user_times) {
    for (const auto& [role, times] :
         {std::pair("primary", &row.on_primary), std::pair("replica", &row.on_replica)}) {
      out.histogram(
          "weir_user_query_duration_seconds",
          "Time from a request to the end of its reply, by user.", *times,
          {{"database", valid_utf8(row.database)}, {"user", valid_utf8(row.user)}, {"role", role}});
    }
  }
}

void add_pools(Families& out, const proxy::Inspection& in) {
  for (const proxy::PoolRow& row : in.pools) {
    const Labels pool = {{"database", valid_utf8(row.database)},
                         {"user", valid_utf8(row.user)},
                         {"host", valid_utf8(row.host)}};
    const auto one = [&](const char* name, const char* help, const char* state, double value) {
      Labels labels = pool;
      labels.push_back({"state", state});
      out.gauge(name, help, std::move(labels), value);
    };
    const auto clients = [&](const char* state, std::uint32_t value) {
      one("weir_pool_clients", "Clients of the pool by state.", state, value);
    };
    const auto servers = [&](const char* state, std::uint32_t value) {
      one("weir_pool_servers", "Server connections of the pool by state.", state, value);
    };
    clients("active", row.cl_active);
    clients("waiting", row.cl_waiting);
    servers("active", row.sv_active);
    servers("idle", row.sv_idle);
    servers("used", row.sv_used);
    servers("tested", row.sv_tested);
    servers("login", row.sv_login);
    servers("active_cancel", row.sv_active_cancel);
    servers("being_canceled", row.sv_being_canceled);
    out.gauge("weir_pool_oldest_wait_seconds", "How long the first waiting client has waited.",
              pool, seconds(row.maxwait_us));
  }
}

void add_host(Families& out, const proxy::ClusterRow& row, std::size_t i) {
  const cluster::Host& host = row.snapshot->hosts[i];
  const Labels labels = {{"cluster", valid_utf8(row.name)}, {"host", valid_utf8(host.name)}};
  const auto is = [&](bool yes) { return yes ? 1.0 : 0.0; };
  for (auto role : {cluster::Role::kUnknown, cluster::Role::kPrimary, cluster::Role::kReplica}) {
    Labels with_role = labels;
    with_role.push_back({"role", std::string(cluster::role_name(role))});
    out.gauge("weir_host_role", "1 for the role that the host has.", std::move(with_role),
              is(host.role == role));
  }
  out.gauge(
      "weir_host_up", "1 while the host answers and may be used.", labels,
      is(host.state == cluster::HostState::kUp || host.state == cluster::HostState::kLagging));
  out.gauge("weir_host_serves_reads", "1 for a replica that may serve reads now.", labels,
            is(host.reads));
  out.gauge("weir_host_fenced", "1 for a host that takes writes and must not.", labels,
            is(host.state == cluster::HostState::kFenced));
  out.gauge("weir_host_banned", "1 for a host that an operator wants no reads on.", labels,
            is(host.banned));
  out.gauge("weir_host_paused", "1 for a host that an operator wants no requests on.", labels,
            is(host.paused));
  out.gauge("weir_host_breaker", "0 is closed, 1 open, 0.5 half-open.", labels,
            host.breaker == cluster::Breaker::State::kClosed ? 0
            : host.breaker == cluster::Breaker::State::kOpen ? 1
                                                             : 0.5);
  if (host.lag_ms >= 0) {
    out.gauge("weir_host_lag_seconds", "Age of what the host has replayed.", labels,
              static_cast<double>(host.lag_ms) / 1e3);
  }
  if (host.lag_bytes >= 0) {
    out.gauge("weir_host_lag_bytes", "WAL that the host has not replayed yet.", labels,
              static_cast<double>(host.lag_bytes));
  }
  if (host.timeline != 0) {
    out.gauge("weir_host_timeline", "Timeline that the host is on.", labels, host.timeline);
  }
  if (i < row.active.size()) {
    out.gauge("weir_host_active_connections", "Server connections in use by clients.", labels,
              row.active[i]);
  }
  if (i < row.open.size()) {
    out.gauge("weir_host_open_connections", "Server connections open.", labels, row.open[i]);
  }
  const auto requests = [&](const char* outcome, const std::vector<std::uint64_t>& counts) {
    if (i >= counts.size()) return;
    Labels with_outcome = labels;
    with_outcome.push_back({"outcome", outcome});
    out.counter("weir_host_requests_total",
                "Requests that the host has answered, or failed at by its own fault.",
                std::move(with_outcome), number(counts[i]));
  };
  requests("answered", row.answered);
  requests("failed", row.failed);
  if (i < row.latency_us.size() && row.latency_us[i] > 0) {
    out.gauge("weir_host_latency_seconds", "Moving average of the host's reply times.", labels,
              row.latency_us[i] / 1e6);
  }
}

void add_pins(Families& out, const proxy::Inspection& in) {
  for (const auto& [reason, clients] : in.pins_by_reason) {
    out.gauge("weir_pins", "Clients that keep their server connection, by reason.",
              {{"reason", reason}}, number(clients));
  }
}

void add_instance(Families& out, const proxy::Inspection& in) {
  out.gauge("weir_info", "Always 1; the version is a label.", {{"version", WEIR_VERSION}}, 1);
  const std::chrono::duration<double> started = in.started_wall.time_since_epoch();
  out.gauge("weir_start_time_seconds", "When the process started, since the epoch.", {},
            started.count());
  out.gauge("weir_clients", "Client connections.", {}, number(in.client_count));
  out.gauge("weir_servers", "Server connections.", {}, number(in.server_count));
  out.gauge("weir_login_clients", "Clients that have not logged in yet.", {},
            number(in.login_clients));
  out.counter("weir_clients_refused_total", "Clients refused because of a limit.", {},
              number(in.clients_refused));
  out.counter("weir_logins_failed_total", "Logins of clients that failed.", {},
              number(in.logins_failed));
  out.counter("weir_tls_logins_total", "Logins of clients over TLS.", {}, number(in.logins_tls));
  out.counter("weir_tls_handshakes_failed_total", "TLS handshakes of clients that failed.", {},
              number(in.handshakes_failed));
  out.counter("weir_trace_spans_sent_total", "Spans that a collector has taken.", {},
              number(in.spans_sent));
  out.counter("weir_trace_spans_dropped_total", "Spans that it has not taken.", {},
              number(in.spans_dropped));
  out.counter("weir_cancels_total", "Cancel requests received.", {}, number(in.cancels));
  out.counter("weir_retries_denied_total",
              "Reads not run again after a failure, for want of routing.retry_share.", {},
              number(in.retries_denied));
  out.counter("weir_requests_shed_total", "Requests refused since too many clients waited.", {},
              number(in.shed));
  out.counter("weir_cancels_passed_on_total", "Cancel requests passed on to peers.", {},
              number(in.cancels_passed_on));
  out.counter("weir_cancels_lost_total", "Of these, requests that did not arrive.", {},
              number(in.cancels_lost));
  std::size_t index = 0;
  for (const proxy::WorkerRow& row : in.workers) {
    const Labels worker = {{"worker", std::to_string(index++)}};
    const auto analyzed = [&](const char* how, std::uint64_t value) {
      Labels labels = worker;
      labels.push_back({"found", how});
      out.counter("weir_statements_analyzed_total",
                  "Statements analysed, by what knew them: their text, their shape, or neither.",
                  std::move(labels), number(value));
    };
    out.gauge("weir_worker_clients", "Client connections of the worker.", worker, row.clients);
    out.gauge("weir_worker_servers", "Server connections of the worker.", worker, row.servers);
    out.counter("weir_worker_loops_total", "Rounds of the worker's event loop.", worker,
                number(row.loops));
    out.histogram("weir_worker_lateness_seconds",
                  "How late the worker's ticks began: what events wait for others to be served.",
                  row.lateness, worker);
    analyzed("text", row.analyzer_text_hits);
    analyzed("shape", row.analyzer_shape_hits);
    analyzed("none", row.analyzer_misses);
    out.gauge("weir_worker_statement_cache_bytes", "Bytes of the worker's statement cache.", worker,
              number(row.analyzer_bytes));
  }
}

// By the names that Prometheus's client libraries give them.
void add_process(Families& out, const proxy::Inspection& in) {
  const ProcessUse use = process_use();
  const std::chrono::duration<double> started = in.started_wall.time_since_epoch();
  out.counter("process_cpu_seconds_total", "Processor time that the process has taken.", {},
              use.cpu_seconds);
  out.gauge("process_resident_memory_bytes", "Memory of the process that is resident.", {},
            number(use.resident_bytes));
  out.gauge("process_virtual_memory_bytes", "Address space of the process.", {},
            number(use.virtual_bytes));
  out.gauge("process_open_fds", "File descriptors in use.", {}, number(use.open_files));
  out.gauge("process_max_fds", "File descriptors that the process may have.", {},
            number(use.open_files_max));
  out.gauge("process_start_time_seconds", "When the process started, since the epoch.", {},
            started.count());
}

}  // namespace

std::string metrics_text(const proxy::Inspection& inspection) {
  Families out;
  add_instance(out, inspection);
  add_process(out, inspection);
  add_databases(out, inspection);
  add_users(out, inspection);
  add_pools(out, inspection);
  for (const proxy::ClusterRow& row : inspection.clusters) {
    if (row.snapshot == nullptr) continue;
    for (std::size_t i = 0; i < row.snapshot->hosts.size(); ++i) add_host(out, row, i);
  }
  add_pins(out, inspection);
  out.histogram("weir_query_duration_seconds", "Time from a request to the end of its reply.",
                inspection.query_time);
  out.histogram("weir_wait_duration_seconds", "Time requests waited for a server connection.",
                inspection.wait_time);
  return out.text();
}

// There the family of a counter is called without _total, which its samples alone have.
std::string open_metrics(std::string_view metrics_text) {
  std::string out;
  out.reserve(metrics_text.size() + 16);
  while (!metrics_text.empty()) {
    const std::size_t end = std::min(metrics_text.find('\n'), metrics_text.size() - 1) + 1;
    std::string_view line = metrics_text.substr(0, end);
    metrics_text.remove_prefix(end);
    const std::size_t suffix = line.find("_total ");
    if (line.starts_with("# ") && suffix == line.find(' ', 7) - 6) {
      out += line.substr(0, suffix);
      line.remove_prefix(suffix + 6);
    }
    out += line;
  }
  return out + "# EOF\n";
}

bool accepts_open_metrics(std::string_view accept) {
  return lower(accept).find("application/openmetrics-text") != std::string::npos;
}

}  // namespace admin
