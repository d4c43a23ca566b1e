#include "proxy/host_probe.h"

#include <charconv>
#include <string>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "net/loop.h"
#include "protocol/lsn.h"

namespace proxy {
namespace {

constexpr const char* kName = "sample";
// In recovery is asked once, so that one row tells of one state, also during a promotion. A
// primary's timeline is in the name of its WAL file; pg_control_checkpoint() is late to learn a new
// one. OFFSET 0 keeps the subqueries. What was inserted may be a commit that nobody waited for; the
// last one tells whether sessions commit so by default ("off" may be said in other words).
constexpr const char* kSample =
    "SELECT recovering,"
    " CASE WHEN recovering THEN pg_catalog.pg_last_wal_replay_lsn()"
    "  ELSE pg_catalog.pg_current_wal_lsn() END,"
    " CASE WHEN recovering THEN pg_catalog.pg_last_wal_receive_lsn() END,"
    " CASE WHEN recovering THEN NULL"
    "  ELSE pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()) END,"
    " CASE WHEN recovering"
    "  THEN (SELECT received_tli FROM pg_catalog.pg_stat_wal_receiver LIMIT 1) END,"
    " CASE WHEN NOT recovering THEN pg_catalog.pg_current_wal_flush_lsn() END,"
    " inserted, (pg_catalog.pg_walfile_name_offset(inserted)).file_offset,"
    " pg_catalog.current_setting('wal_block_size'),"
    " NOT recovering AND (pg_catalog.current_setting('synchronous_commit') = 'off'"
    "  OR EXISTS (SELECT FROM pg_catalog.pg_db_role_setting, pg_catalog.unnest(setconfig) AS one"
    "   WHERE one OPERATOR(pg_catalog.~*) '^synchronous_commit=(off|false|no|0)$')) "
    "FROM (SELECT recovering,"
    "  CASE WHEN NOT recovering THEN pg_catalog.pg_current_wal_insert_lsn() END AS inserted"
    "  FROM (SELECT pg_catalog.pg_is_in_recovery() AS recovering OFFSET 0) AS state"
    "  OFFSET 0) AS state";

// PostgreSQL's own way to have a commit record written that changes nothing.
constexpr const char* kTakeNumber = "SELECT pg_catalog.txid_current()";

constexpr const char* kMayReadControl =
    "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_control_system()', 'EXECUTE')";
constexpr const char* kSystemIdentifier =
    "SELECT system_identifier FROM pg_catalog.pg_control_system()";

template <class Number>
std::optional<Number> parse(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// "000000020000000A000000FF": eight digits of timeline, then the segment.
std::uint32_t timeline_of(std::string_view wal_file) {
  return parse<std::uint32_t>(wal_file.substr(0, 8), 16).value_or(0);
}

protocol::Lsn lsn_of(std::optional<std::string_view> text) {
  return text ? protocol::parse_lsn(*text).value_or(0) : 0;
}

// Where the last record ends, if the next one begins at `inserted`: behind the header of a page of
// which nothing else is there yet, it ended with the page before (XLogBytePosToEndRecPtr).
protocol::Lsn end_of_records(protocol::Lsn inserted, std::uint64_t file_offset,
                             std::uint64_t block) {
  constexpr std::uint64_t kFileHeader = 40, kPageHeader = 24;
  if (file_offset == kFileHeader) return inserted - kFileHeader;
  return block != 0 && file_offset % block == kPageHeader ? inserted - kPageHeader : inserted;
}

std::uint64_t number_of(std::optional<std::string_view> text) {
  return text ? parse<std::uint64_t>(*text).value_or(0) : 0;
}

}  // namespace

absl::StatusOr<cluster::Sample> HostProbe::sample() {
  const bool had_connection = connection_.has_value();
  absl::StatusOr<cluster::Sample> sample = ask();
  if (had_connection && absl::IsUnavailable(sample.status())) {
    connection_.reset();
    sample = ask();
  }
  if (!sample.ok()) connection_.reset();
  return sample;
}

absl::StatusOr<cluster::Sample> HostProbe::ask() {
  if (!connection_) {
    if (auto status = connect(); !status.ok()) return status;
  }
  cluster::Sample sample;
  sample.asked = net::read_clock();
  const absl::StatusOr<Rows> rows = connection_->execute_prepared(kName, deadline());
  if (!rows.ok()) return rows.status();
  if (rows->count() != 1 || rows->columns() != 10) {
    return absl::UnavailableError("not an answer of PostgreSQL's");
  }
  sample.answered = net::read_clock();
  sample.in_recovery = rows->value(0, 0) == "t";
  sample.system_identifier = system_identifier_;
  sample.lsn = lsn_of(rows->value(0, 1));
  sample.received_lsn = lsn_of(rows->value(0, 2));
  sample.flushed_lsn = lsn_of(rows->value(0, 5));
  sample.inserted_lsn = end_of_records(lsn_of(rows->value(0, 6)), number_of(rows->value(0, 7)),
                                       number_of(rows->value(0, 8)));
  if (rows->value(0, 9) == "t") async_commits_ = true;
  if (!sample.in_recovery && async_commits_) sample.lsn = sample.inserted_lsn;
  if (const auto wal_file = rows->value(0, 3)) sample.timeline = timeline_of(*wal_file);
  if (const auto received = rows->value(0, 4)) {
    sample.timeline = parse<std::uint32_t>(*received).value_or(0);
  }
  return sample;
}

void HostProbe::flush_wal() {
  if (connection_) connection_->execute(kTakeNumber, {}, deadline()).IgnoreError();
}

absl::Status HostProbe::connect() {
  absl::StatusOr<LibpqConnection> opened = LibpqConnection::open(login_, deadline(), stop_);
  if (!opened.ok()) return opened.status();
  connection_ = *std::move(opened);
  system_identifier_ = 0;
  const auto may_read = connection_->execute(kMayReadControl, {}, deadline());
  if (may_read.ok() && may_read->count() == 1 && may_read->value(0, 0) == "t") {
    // 64 unsigned bits that SQL shows as signed.
    const auto rows = connection_->execute(kSystemIdentifier, {}, deadline());
    if (rows.ok() && rows->count() == 1) {
      const auto text = rows->value(0, 0).value_or("0");
      system_identifier_ = static_cast<std::uint64_t>(parse<std::int64_t>(text).value_or(0));
    }
  }
  // An error of either statement costs the identifier only; a lost connection shows here.
  return connection_->prepare(kName, kSample, deadline());
}

base::Time HostProbe::deadline() const { return net::read_clock() + login_.timeout; }

}  // namespace proxy
