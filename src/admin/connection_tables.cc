// SHOW CLIENTS, SERVERS, SOCKETS, ACTIVE_SOCKETS with PgBouncer's columns, and SHOW PINS, CHANNELS,
// LOCKS.
#include <array>
#include <charconv>
#include <chrono>
#include <string>

#include "admin/table.h"
#include "admin/text.h"

namespace admin {
namespace {

// PgBouncer's `id` is an int4 that wraps; ours is an int8.
constexpr auto kSocketColumns = std::to_array<ColumnDef>({
    {"type"},
    {"user"},
    {"database"},
    {"replication"},
    {"state"},
    {"addr"},
    {"port", Type::kInt4},
    {"local_addr"},
    {"local_port", Type::kInt4},
    {"connect_time", Type::kTimestamp},
    {"request_time", Type::kTimestamp},
    {"wait", Type::kInt4},
    {"wait_us", Type::kInt4},
    {"close_needed", Type::kBool},
    {"ptr"},
    {"link"},
    {"remote_pid", Type::kInt4},
    {"tls"},
    {"application_name"},
    {"prepared_statements", Type::kInt4},
    {"id", Type::kInt8},
    {"recv_pos", Type::kInt4},
    {"pkt_pos", Type::kInt4},
    {"pkt_remain", Type::kInt4},
    {"send_pos", Type::kInt4},
    {"send_remain", Type::kInt4},
    {"pkt_avail", Type::kInt4},
    {"send_avail", Type::kInt4},
});
constexpr std::size_t kBufferColumns = 7;  // the last ones
constexpr auto kConnectionColumns =
    std::span(kSocketColumns).first<kSocketColumns.size() - kBufferColumns>();

std::string pointer(std::uint64_t id) {
  if (id == 0) return "";
  std::array<char, 16> hex{};
  const auto end = std::to_chars(hex.begin(), hex.end(), id, 16).ptr;
  return concat("0x", std::string_view(hex.data(), static_cast<std::size_t>(end - hex.data())));
}

struct ConnectionKind {
  const char* type;
  bool with_buffers;  // the columns of SHOW SOCKETS
};

void emit_connection(const proxy::ConnectionRow& row, ConnectionKind kind, Emit emit) {
  // Buffers are taken only while bytes are in them: there are no positions to tell.
  const Value null;
  const Value cells[] = {std::string(kind.type),
                         row.user,
                         row.database,
                         std::string(row.replication),
                         row.state,
                         row.addr,
                         std::int64_t{row.port},
                         row.local_addr,
                         std::int64_t{row.local_port},
                         timestamp(row.connect_time),
                         timestamp(row.request_time),
                         count(row.wait_us / 1'000'000),
                         count(row.wait_us % 1'000'000),
                         std::int64_t{row.close_needed},
                         pointer(row.id),
                         pointer(row.link),
                         count(row.remote_pid),
                         row.tls,
                         row.application_name,
                         count(row.prepared_statements),
                         count(row.id),
                         null,
                         null,
                         null,
                         null,
                         null,
                         null,
                         null};
  emit(Emit::Row(cells).first(std::size(cells) - (kind.with_buffers ? 0 : kBufferColumns)));
}

void fill_clients(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.clients) {
    emit_connection(row, {.type = "C", .with_buffers = false}, emit);
  }
}

void fill_servers(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.servers) {
    emit_connection(row, {.type = "S", .with_buffers = false}, emit);
  }
}

void fill_sockets(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.clients) {
    emit_connection(row, {.type = "C", .with_buffers = true}, emit);
  }
  for (const auto& row : source.inspection.servers) {
    emit_connection(row, {.type = "S", .with_buffers = true}, emit);
  }
}

void fill_active_sockets(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.clients) {
    if (row.state == "active") {
      emit_connection(row, {.type = "C", .with_buffers = true}, emit);
    }
  }
  for (const auto& row : source.inspection.servers) {
    if (row.state == "active") {
      emit_connection(row, {.type = "S", .with_buffers = true}, emit);
    }
  }
}

constexpr auto kPinColumns = std::to_array<ColumnDef>({
    {"client", Type::kInt8},
    {"database"},
    {"user"},
    {"application_name"},
    {"reason"},
    {"since", Type::kTimestamp},
    {"age_ms", Type::kInt8},
    {"server", Type::kInt8},
    {"host"},
    {"statement"},
});

void fill_pins(const Source& source, Emit emit) {
  const proxy::Inspection& in = source.inspection;
  for (const auto& row : in.clients) {
    for (const session::Pin& pin : row.pins) {
      const base::Duration age = in.taken - pin.since;
      const auto since = in.taken_wall - std::chrono::duration_cast<base::WallTime::duration>(age);
      emit({count(row.id), row.database, row.user, row.application_name,
            std::string(session::reason_name(pin.reason)), timestamp(since), base::to_ms(age),
            row.link == 0 ? Value() : count(row.link), text_or_null(row.host), pin.statement});
    }
  }
}

constexpr auto kChannelColumns = std::to_array<ColumnDef>({
    {"database"},
    {"user"},
    {"channel"},
    {"clients", Type::kInt8},
    {"server", Type::kInt8},
    {"host"},
    {"worker", Type::kInt4},
});

void fill_channels(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.channels) {
    emit({row.database, row.user, row.channel, count(row.clients), count(row.server), row.host,
          count(row.worker)});
  }
}

constexpr auto kLockColumns = std::to_array<ColumnDef>({
    {"client", Type::kInt8},
    {"database"},
    {"user"},
    {"application_name"},
    {"pinned", Type::kBool},
    {"host"},
    {"pid", Type::kInt4},
    {"type"},
    {"object"},
    {"mode"},
    {"granted", Type::kBool},
    {"waiting", Type::kInt4},
    {"problem"},
});

void fill_locks(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.locks) {
    const bool known = row.problem.empty();
    emit({count(row.client), row.database, row.user, row.application_name, std::int64_t{row.pinned},
          row.host, count(row.pid), text_or_null(row.type), text_or_null(row.object),
          text_or_null(row.mode), known ? Value(std::int64_t{row.granted}) : Value(),
          known ? count(row.waiting) : Value(), text_or_null(row.problem)});
  }
}

constexpr auto kWaitColumns = std::to_array<ColumnDef>({
    {"client", Type::kInt8},
    {"database"},
    {"user"},
    {"application_name"},
    {"waits_for"},
    {"host"},
    {"since", Type::kTimestamp},
    {"waited_ms", Type::kInt8},
});

void fill_waits(const Source& source, Emit emit) {
  for (const auto& row : source.inspection.clients) {
    if (row.wait_for == nullptr) continue;
    const auto waited = std::chrono::microseconds(static_cast<std::int64_t>(row.waits_us));
    emit({count(row.id), row.database, row.user, row.application_name, std::string(row.wait_for),
          text_or_null(row.wait_host), timestamp(source.inspection.taken_wall - waited),
          count(row.waits_us / 1000)});
  }
}

constexpr auto kMemoryColumns = std::to_array<ColumnDef>({
    {"type"},
    {"id", Type::kInt8},
    {"database"},
    {"user"},
    {"worker", Type::kInt4},
    {"bytes", Type::kInt8},
});

void fill_memory(const Source& source, Emit emit) {
  const auto all = [&](const char* type, const std::vector<proxy::ConnectionRow>& rows) {
    for (const auto& row : rows) {
      emit({std::string(type), count(row.id), row.database, row.user, count(row.worker),
            count(row.memory)});
    }
  };
  all("C", source.inspection.clients);
  all("S", source.inspection.servers);
}

constexpr proxy::InspectParts kClients{.clients = true}, kServers{.servers = true},
    kBoth{.clients = true, .servers = true};
constexpr auto kTables = std::to_array<Table>({
    {"clients", "client connections", kConnectionColumns, fill_clients, kClients},
    {"servers", "server connections", kConnectionColumns, fill_servers, kServers},
    {"sockets", "client and server connections", kSocketColumns, fill_sockets, kBoth},
    {"active_sockets", "connections in use", kSocketColumns, fill_active_sockets, kBoth},
    {"pins", "clients that keep their server connection, and why", kPinColumns, fill_pins,
     kClients},
    {"channels",
     "what clients LISTEN to on shared server connections",
     kChannelColumns,
     fill_channels,
     {.channels = true}},
    {"locks",
     "locks of clients that have a server connection now, as its host tells",
     kLockColumns,
     fill_locks,
     {.locks = true}},
    {"waits", "clients that wait now, and for what", kWaitColumns, fill_waits, kClients},
    {"memory", "bytes that each connection holds", kMemoryColumns, fill_memory, kBoth},
});

}  // namespace

std::span<const Table> connection_tables() { return kTables; }

}  // namespace admin
