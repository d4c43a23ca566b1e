#include "admin/sample.h"

#include <cstdint>
#include <utility>

#include "admin/history.h"
#include "admin/json.h"
#include "admin/text.h"

namespace admin {
namespace {

void append_table(std::string& out, std::string_view name, const Source& source,
                  const Selection& selection) {
  append(out, ",\"", name, "\":{\"rows\":");
  const std::size_t all = append_rows(out, *find_table(name), source, selection);
  append(out, ",\"count\":", all, "}");
}

void append_bounds(std::string& out) {
  out += ",\"bounds_us\":[";
  for (const std::uint64_t& bound : proxy::kLatencyBounds) {
    append(out, &bound == proxy::kLatencyBounds.data() ? "" : ",", bound);
  }
  out += ']';
}

void append_pins(std::string& out, const proxy::Inspection& in) {
  out += ",\"pins_by_reason\":{";
  bool first = true;
  for (const auto& [reason, clients] : in.pins_by_reason) {
    if (!std::exchange(first, false)) out += ',';
    append_json(out, reason);
    append(out, ":", clients);
  }
  out += '}';
}

}  // namespace

std::string overview_json(const Source& source, bool draining) {
  const proxy::Inspection& in = source.inspection;
  std::string out = "{\"version\":\"" WEIR_VERSION "\",\"taken\":";
  append_json(out, timestamp(in.taken_wall), Type::kTimestamp);
  out += ",\"started\":";
  append_json(out, timestamp(in.started_wall), Type::kTimestamp);
  append(out, ",\"draining\":", draining ? "true" : "false",
         ",\"clients_max\":", source.config.limits.clients, ",\"login_clients\":", in.login_clients,
         ",\"clients_refused\":", in.clients_refused, ",\"logins_failed\":", in.logins_failed,
         ",\"requests_shed\":", in.shed);
  append_bounds(out);
  append(out, ",\"point\":", point_json(in));
  append_pins(out, in);
  append_table(out, "hosts", source, {.limit = 100});
  append_table(out, "host_pools", source,
               {.limit = 100, .order_by = "cl_waiting", .descending = true});
  append_table(out, "databases", source,
               {.limit = 50, .order_by = "current_client_connections", .descending = true});
  append_table(out, "route_totals", source,
               {.limit = 50, .order_by = "reads_on_primary", .descending = true});
  append_table(out, "workers", source, {.limit = 64});
  append_table(out, "faults", source, {.limit = 40, .order_by = "last_seen", .descending = true});
  return out + "}";
}

proxy::InspectParts detail_needs(std::uint64_t clients) {
  return {.clients = clients <= kDetailClients, .statements = true};
}

std::string detail_json(const Source& source, const proxy::InspectParts& parts) {
  std::string out = "{\"taken\":";
  append_json(out, timestamp(source.inspection.taken_wall), Type::kTimestamp);
  append_table(out, "statements", source,
               {.limit = 30, .order_by = "total_ms", .descending = true});
  if (parts.clients) {
    append_table(out, "pins", source, {.limit = 30, .order_by = "age_ms", .descending = true});
    append_table(out, "waits", source, {.limit = 30, .order_by = "waited_ms", .descending = true});
  } else {
    out += ",\"pins\":null,\"waits\":null";
  }
  return out + "}";
}

}  // namespace admin
