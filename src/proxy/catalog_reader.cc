#include "proxy/catalog_reader.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "net/loop.h"

namespace proxy {
namespace {

using net::read_clock;
using Object = sql::CatalogObject;

constexpr base::milliseconds kTimeout{20'000};        // of a reading
constexpr base::milliseconds kUnknownSpacing{2'000};  // between two for the sake of unknown names
constexpr base::milliseconds kRetry{1'000};
constexpr const char* kFetch = "FETCH 200 FROM objects";  // bounds what is not counted yet

// Rows of one kind a SELECT: kind, oid, schema, name, trait, fewest and most arguments, source,
// oids of functions, relations and types that it uses and of functions that cast to it, whether it
// is on the default search_path, whether it sets its own, whether one of pg_catalog hides it,
// whether its source is none that can be read; functions, relations and types that a write to it
// uses. What a rule or an expression calls is in the text of its tree, also where pg_depend is
// silent (built-in functions). Objects of the system are there when they are volatile, or tell of
// the server.
//
// In the order of CatalogObject::Kind backwards. A function whose source is too long for its words
// to be looked at counts as volatile. Most tables have no row: they run nothing but functions of
// the system that leave nothing behind.
constexpr const char* kObjects = R"(
DECLARE objects NO SCROLL CURSOR FOR
WITH called (pattern) AS (VALUES (':(?:funcid|opfuncid|aggfnoid|winfnoid) (\d+)')),
  namespace AS (SELECT oid, nspname, nspname = 'public' OR EXISTS
    (SELECT FROM pg_roles WHERE rolname = nspname) AS on_path FROM pg_namespace),
  rule AS (SELECT ev_class AS id, concat(ev_qual, ev_action) AS tree FROM pg_rewrite
    WHERE ev_type <> '1' AND ev_enabled <> 'D'),
  evaluated (id, tree) AS (SELECT * FROM rule
    UNION ALL SELECT adrelid, adbin::text FROM pg_attrdef
    UNION ALL SELECT conrelid, conbin::text FROM pg_constraint WHERE contype = 'c'
    UNION ALL SELECT indrelid, concat(indexprs, indpred) FROM pg_index
      WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
    UNION ALL SELECT partrelid, partexprs::text FROM pg_partitioned_table
    UNION ALL SELECT polrelid, concat(polqual, polwithcheck) FROM pg_policy
    UNION ALL SELECT tgrelid, tgqual::text FROM pg_trigger WHERE tgenabled <> 'D'),
  used (id, kind, oid) AS (
    SELECT id, 'f', p.oid FROM called, evaluated, regexp_matches(tree, pattern, 'g') AS m, pg_proc p
      WHERE p.oid = m[1]::oid AND (p.oid >= 16384 OR p.provolatile = 'v'
        AND p.proname NOT IN ('nextval', 'gen_random_uuid', 'clock_timestamp', 'random'))
    UNION SELECT tgrelid, 'f', tgfoid FROM pg_trigger WHERE tgenabled <> 'D' AND tgfoid >= 16384
    UNION SELECT id, 'r', m[1]::oid FROM rule, regexp_matches(tree, ':relid (\d+)', 'g') AS m
    UNION SELECT confrelid, 'r', conrelid FROM pg_constraint
      WHERE contype = 'f' AND (confdeltype IN ('c', 'n', 'd') OR confupdtype IN ('c', 'n', 'd'))
    UNION SELECT a.attrelid, 't', e.oid FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
        JOIN pg_type e ON e.oid = CASE t.typelem WHEN 0 THEN t.oid ELSE t.typelem END
      WHERE t.oid >= 16384 AND a.attnum > 0 AND e.typtype IN ('b', 'd', 'r')),
  written AS (SELECT id, string_agg(oid::text, ' ') FILTER (WHERE kind = 'f') AS functions,
      string_agg(oid::text, ' ') FILTER (WHERE kind = 'r') AS relations,
      string_agg(oid::text, ' ') FILTER (WHERE kind = 't') AS types
    FROM used WHERE id >= 16384 GROUP BY id)
SELECT 't', t.oid, n.nspname, t.typname, '', 0, 0, '',
  concat_ws(' ', t.typinput::oid,
    (SELECT string_agg(m[1], ' ') FROM pg_constraint k, regexp_matches(k.conbin::text, pattern,
      'g') AS m WHERE k.contypid = t.oid)), '', t.typbasetype::text,
  (SELECT string_agg(c.castfunc::text, ' ') FROM pg_cast c WHERE c.casttarget = t.oid),
  n.on_path, false, false, false, '', '', ''
FROM called, pg_type t JOIN namespace n ON n.oid = t.typnamespace
WHERE t.oid >= 16384 AND t.typelem = 0
  AND (t.typtype IN ('b', 'd', 'r') OR t.oid IN (SELECT casttarget FROM pg_cast))
UNION ALL
SELECT 'o', o.oid, n.nspname, o.oprname, '', 0, 0, '', o.oprcode::oid::text, '', '', '',
  n.on_path, false, false, false, '', '', ''
FROM pg_operator o JOIN namespace n ON n.oid = o.oprnamespace WHERE o.oid >= 16384
UNION ALL
SELECT 'r', c.oid, n.nspname, c.relname,
  CASE WHEN c.relpersistence = 'u' THEN 'u' WHEN c.relkind = 'f' THEN 'f'
    WHEN c.relkind = 'S' THEN 's'
    WHEN c.relhassubclass THEN 'p'
    WHEN c.relkind = 'v' AND EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid
      AND r.ev_type = '1' AND r.ev_action::text LIKE '%{ROWMARKCLAUSE%') THEN 'l' ELSE '' END,
  0, 0, '',
  (SELECT string_agg(m[1], ' ') FROM
    (SELECT r.ev_action::text AS tree FROM pg_rewrite r WHERE c.relkind = 'v'
      AND c.oid >= 16384 AND r.ev_class = c.oid AND r.ev_type = '1'
     UNION ALL SELECT q.polqual::text FROM pg_policy q WHERE c.relrowsecurity
      AND q.polrelid = c.oid) AS t, regexp_matches(tree, pattern, 'g') AS m),
  (SELECT string_agg(id, ' ') FROM
    (SELECT m[1] AS id FROM pg_rewrite r, regexp_matches(r.ev_action::text, ':relid (\d+)', 'g') m
      WHERE c.relkind = 'v' AND c.oid >= 16384 AND r.ev_class = c.oid AND r.ev_type = '1'
     UNION ALL SELECT i.inhrelid::text FROM pg_inherits i WHERE i.inhparent = c.oid) AS ids),
  (SELECT string_agg(m[1], ' ') FROM pg_rewrite r,
      regexp_matches(r.ev_action::text, ':resulttype (\d+)', 'g') AS m
    WHERE c.relkind = 'v' AND c.oid >= 16384 AND r.ev_class = c.oid AND r.ev_type = '1'),
  '', n.on_path, false, false, false, w.functions, w.relations, w.types
FROM called, pg_class c JOIN namespace n ON n.oid = c.relnamespace
  LEFT JOIN written w ON w.id = c.oid
WHERE c.relkind IN ('r', 'v', 'p', 'f', 'S') AND c.relpersistence <> 't'
  AND (c.relpersistence = 'u' OR c.relkind IN ('v', 'f', 'S') OR c.relhassubclass
    OR c.relrowsecurity OR w.id IS NOT NULL)
UNION ALL
SELECT 'f', p.oid, n.nspname, p.proname,
  CASE WHEN p.prorettype = 'trigger'::regtype THEN 't'
    WHEN p.provolatile = 'v' OR octet_length(p.prosrc) > 262144 THEN 'v' ELSE '' END,
  p.pronargs - p.pronargdefaults, CASE WHEN p.provariadic <> 0 THEN -1 ELSE p.pronargs END,
  CASE WHEN l.lanname IN ('c', 'internal') OR octet_length(p.prosrc) > 262144 THEN ''
    ELSE p.prosrc END,
  concat_ws(' ', a.aggtransfn::oid, a.aggfinalfn::oid, a.aggcombinefn::oid, a.aggmtransfn::oid,
    a.aggminvtransfn::oid, a.aggmfinalfn::oid,
    (SELECT string_agg(m[1], ' ') FROM
      regexp_matches(concat(p.prosqlbody, p.proargdefaults), pattern, 'g') AS m)),
  (SELECT string_agg(m[1], ' ') FROM regexp_matches(p.prosqlbody::text, ':relid (\d+)', 'g') AS m),
  p.proargtypes::text, '', n.on_path,
  EXISTS (SELECT FROM unnest(p.proconfig) AS c WHERE c LIKE 'search_path=%'),
  p.provariadic = 0 AND p.pronargdefaults = 0 AND p.proargnames IS NULL AND EXISTS
    (SELECT FROM pg_proc b WHERE b.pronamespace = 'pg_catalog'::regnamespace
      AND b.proname = p.proname AND b.proargtypes = p.proargtypes AND b.provariadic = 0),
  l.lanname NOT IN ('sql', 'plpgsql') OR octet_length(p.prosrc) > 262144, '', '', ''
FROM called, pg_proc p JOIN namespace n ON n.oid = p.pronamespace
  JOIN pg_language l ON l.oid = p.prolang LEFT JOIN pg_aggregate a ON a.aggfnoid = p.oid
WHERE (p.oid >= 16384 OR p.provolatile = 'v'
    OR p.proname ~ '^(pg_stat_get_|pg_show_all_|pg_get_repl|pg_current_xact_id|txid_current)')
  AND p.prorettype <> 'event_trigger'::regtype AND (p.prorettype <> 'trigger'::regtype
    OR p.oid IN (SELECT tgfoid FROM pg_trigger WHERE tgenabled <> 'D')))";

// Whether every session starts with the search_path that PostgreSQL is delivered with; a hash of
// what any database's sessions start with.
constexpr const char* kDefaults = R"(
SELECT reset_val = '"$user", public' AND NOT EXISTS (SELECT FROM pg_db_role_setting,
  unnest(setconfig) AS one WHERE one LIKE 'search_path=%' AND setdatabase IN (0,
    (SELECT oid FROM pg_database WHERE datname = current_database()))),
  (SELECT hashtextextended(coalesce(string_agg(concat_ws(' ', setdatabase, setrole, setconfig),
    ';' ORDER BY setdatabase, setrole), ''), 0) FROM pg_db_role_setting)
FROM pg_settings WHERE name = 'search_path')";

// 0 = it is none.
template <typename Number>
Number number(std::optional<std::string_view> text) {
  Number value = 0;
  if (text) std::from_chars(text->data(), text->data() + text->size(), value);
  return value;
}

std::vector<std::uint32_t> oids(std::string_view text) {
  std::vector<std::uint32_t> result;
  for (const char* at = text.data(); at < text.data() + text.size();) {
    std::uint32_t oid = 0;
    const auto [end, error] = std::from_chars(at, text.data() + text.size(), oid);
    if (error == std::errc{}) result.push_back(oid);
    at = std::max(end, at) + 1;
  }
  std::ranges::sort(result);
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

Object::Kind kind_of(std::string_view text) {
  if (text == "f") return Object::Kind::kFunction;
  if (text == "r") return Object::Kind::kRelation;
  return text == "o" ? Object::Kind::kOperator : Object::Kind::kType;
}

Object::Trait trait_of(std::string_view text) {
  if (text == "v") return Object::Trait::kVolatile;
  if (text == "u") return Object::Trait::kUnlogged;
  if (text == "l") return Object::Trait::kLocking;
  if (text == "s") return Object::Trait::kSequence;
  if (text == "p") return Object::Trait::kParent;
  if (text == "t") return Object::Trait::kTrigger;
  return text == "f" ? Object::Trait::kForeign : Object::Trait::kNone;
}

Object object_of(const Rows& rows, int row) {
  const auto text = [&](int column) { return rows.value(row, column).value_or(""); };
  return {.kind = kind_of(text(0)),
          .oid = number<std::uint32_t>(text(1)),
          .schema = std::string(text(2)),
          .name = std::string(text(3)),
          .trait = trait_of(text(4)),
          .on_default_path = text(12) == "t",
          .has_own_path = text(13) == "t",
          .hidden = text(14) == "t",
          .is_opaque = text(15) == "t",
          .args_min = number<int>(rows.value(row, 5)),
          .args_max = number<int>(rows.value(row, 6)),
          .body = std::string(text(7)),
          .functions = oids(text(8)),
          .relations = oids(text(9)),
          .types = oids(text(10)),
          .casts = oids(text(11)),
          .written = {
              .functions = oids(text(16)), .relations = oids(text(17)), .types = oids(text(18))}};
}

std::size_t bytes_of(const Object& object) {
  return sizeof object + object.schema.size() + object.name.size() + object.body.size() +
         sizeof(std::uint32_t) *
             (object.functions.size() + object.relations.size() + object.types.size() +
              object.casts.size() + object.written.functions.size() +
              object.written.relations.size() + object.written.types.size());
}

}  // namespace

sql::CatalogPtr CatalogFeed::get() const {
  std::lock_guard lock(mutex_);
  return changes_ == read_changes_ ? catalog_ : nullptr;
}

sql::CatalogPtr CatalogFeed::last_read() const {
  std::lock_guard lock(mutex_);
  return catalog_;
}

void CatalogFeed::on_definitions_changed() {
  {
    std::lock_guard lock(mutex_);
    ++changes_;
    change_due_ = pace_.after_change(read_clock());
    version_.fetch_add(1, std::memory_order_release);
  }
  reader_.wake();
}

void CatalogFeed::on_unknown_name() {
  {
    std::lock_guard lock(mutex_);
    if (catalog_ && !catalog_->is_whole()) return;  // it would stay unknown
    const base::Time due = std::max(began_ + kUnknownSpacing, pace_.allowed());
    if (due >= due_) return;
    due_ = due;
  }
  reader_.wake();
}

void CatalogReader::start() {
  CHECK(!thread_.joinable() && !stop_.raised());
  if (config_.catalog_interval == base::milliseconds::zero()) return;
  thread_ = std::thread([this] { run(); });
  pthread_setname_np(thread_.native_handle(), "catalog");
}

void CatalogReader::stop() {
  stop_.raise();
  wake();
  if (thread_.joinable()) thread_.join();
}

void CatalogReader::wake() {
  {
    std::lock_guard lock(mutex_);
    woken_ = true;
  }
  woken_up_.notify_one();
}

std::shared_ptr<CatalogFeed> CatalogReader::feed(const std::string& dbname) {
  std::shared_ptr<CatalogFeed> result;
  {
    std::lock_guard lock(mutex_);
    auto& known = feeds_[dbname];
    if (!known) known = std::make_shared<CatalogFeed>(*this);
    result = known;
  }
  wake();
  return result;
}

void CatalogReader::run() {
  std::unique_lock lock(mutex_);
  while (!stop_.raised()) {
    woken_ = false;
    const bool has_primary = monitor_.snapshot()->primary >= 0;  // if not, on_roles_changed() wakes
    std::erase_if(feeds_, [](const auto& entry) { return entry.second.use_count() == 1; });
    const base::Time now = read_clock();
    base::Time next = now + base::seconds(60);
    std::pair<std::string, std::shared_ptr<CatalogFeed>> due;
    for (const auto& [dbname, feed] : feeds_) {
      std::lock_guard feed_lock(feed->mutex_);
      const base::Time at = std::min(feed->due_, feed->change_due_);
      if (has_primary && at <= now && !due.second) due = {dbname, feed};
      if (has_primary) next = std::min(next, at);
    }
    if (due.second) {
      lock.unlock();
      refresh(due.first, *due.second);
      due.second.reset();
      lock.lock();
    } else {
      woken_up_.wait_until(lock, next, [this] { return woken_ || stop_.raised(); });
    }
  }
}

void CatalogReader::refresh(const std::string& dbname, CatalogFeed& feed) {
  std::uint64_t changes = 0;
  const base::Time began = read_clock();
  {
    std::lock_guard lock(feed.mutex_);
    changes = feed.changes_;
    feed.began_ = began;
    feed.due_ = feed.change_due_ = base::Time::max();
    feed.pace_.began(began);
  }
  auto reading = read(dbname);
  const base::Time ended = read_clock();
  if (!reading.ok() && !stop_.raised() && failure_ != reading.status().message()) {
    failure_ = std::string(reading.status().message());
    spdlog::warn("{}: cannot read the catalog of {} why=\"{}\"", config_.name, dbname, failure_);
  }
  sql::CatalogPtr catalog;
  if (reading.ok()) {
    failure_.clear();
    // Only this thread changes from_: no lock. Equal catalogs are one, so that what was analysed
    // by it stays.
    const bool same = feed.catalog_ && feed.from_ == *reading;
    catalog = same ? feed.catalog_
                   : std::make_shared<const sql::Catalog>(reading->objects, reading->scope);
    if (!catalog->is_whole() && feed.from_.scope.unread != reading->scope.unread) {
      spdlog::warn(
          "{}: the catalog of {} is larger than monitor.catalog_bytes={}: what was not read "
          "of it counts as a write read={}",
          config_.name, dbname, config_.catalog_bytes, reading->objects.size());
    }
    feed.from_ = *std::move(reading);
  }
  std::lock_guard lock(feed.mutex_);
  const bool outdated = feed.changes_ != changes;
  feed.pace_.ended(ended,
                   outdated ? ReadingPace::Outcome::kOutdated : ReadingPace::Outcome::kCurrent);
  feed.change_due_ = outdated ? feed.pace_.after_change(ended) : base::Time::max();
  const base::Duration wait = catalog ? base::Duration(config_.catalog_interval) : kRetry;
  feed.due_ = std::min(feed.due_, ended + wait);
  if (!catalog) return;
  const bool news = catalog != feed.catalog_ || feed.read_changes_ != changes;
  feed.catalog_ = std::move(catalog);
  feed.read_changes_ = changes;
  if (news) feed.version_.fetch_add(1, std::memory_order_release);
}

// After a statement that passed through a proxy this notes it once more: something else may have
// changed as well.
void CatalogReader::note_defaults(std::string_view hash) {
  if (!defaults_hash_.empty() && defaults_hash_ != hash) defaults_.note_change(read_clock());
  defaults_hash_ = hash;
}

absl::StatusOr<CatalogReading> CatalogReader::read(const std::string& dbname) {
  const cluster::SnapshotPtr snapshot = monitor_.snapshot();
  if (snapshot->primary < 0) return absl::UnavailableError("no primary");
  ServerLogin login =
      monitor_login(config_, config_.hosts[static_cast<std::size_t>(snapshot->primary)]);
  login.dbname = dbname;
  login.application_name = "weir catalog";
  login.timeout = kTimeout;
  const base::Time deadline = read_clock() + kTimeout;
  auto connection = LibpqConnection::open(login, deadline, stop_);
  if (!connection.ok()) return connection.status();
  for (const char* sql :
       {"SET search_path TO pg_catalog", "BEGIN READ ONLY", "SET LOCAL cursor_tuple_fraction TO 1",
        "SET LOCAL jit TO off",  // takes seconds, the query much less
        kObjects}) {
    const auto done = connection->execute(sql, {}, deadline);
    if (!done.ok()) return done.status();
  }
  const auto defaults = connection->execute(kDefaults, {}, deadline);
  if (!defaults.ok()) return defaults.status();
  if (defaults->count() != 1 || defaults->columns() != 2) {
    return absl::UnavailableError("not an answer of PostgreSQL's");
  }
  note_defaults(defaults->value(0, 1).value_or(""));
  CatalogReading reading;
  reading.scope.harmless = config_.routing.harmless_functions;
  reading.scope.default_path = defaults->value(0, 0) == "t";
  std::size_t bytes = 0;
  for (bool more = true; more && reading.scope.unread == 0;) {
    const auto rows = connection->execute(kFetch, {}, deadline);
    if (!rows.ok()) return rows.status();
    if (rows->columns() != 19) return absl::UnavailableError("not an answer of PostgreSQL's");
    more = rows->count() != 0;
    for (int row = 0; row < rows->count(); ++row) {
      const Object& object = reading.objects.emplace_back(object_of(*rows, row));
      bytes += bytes_of(object);
      if (bytes <= config_.catalog_bytes) continue;
      reading.scope.unread = static_cast<std::size_t>(object.kind) + 1;
      break;
    }
  }
  std::ranges::sort(reading.objects, {}, [](const Object& o) { return std::pair(o.kind, o.oid); });
  return reading;
}

}  // namespace proxy
