// Reads from the primaries what their databases say of functions and relations, and keeps it fresh.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "config/config.h"
#include "proxy/libpq_connection.h"
#include "proxy/monitor.h"
#include "proxy/reading_pace.h"
#include "proxy/session_defaults.h"
#include "sql/catalog.h"

namespace proxy {

class CatalogReader;

struct CatalogReading {  // see sql::Catalog
  std::vector<sql::CatalogObject> objects;
  sql::Catalog::Scope scope;
  bool operator==(const CatalogReading&) const = default;
};

// The catalog of one database. Any thread.
class CatalogFeed {
 public:
  explicit CatalogFeed(CatalogReader& reader) : reader_(reader) {}

  // Of what get() answers; a get() after it is at least that new. One atomic load.
  std::uint64_t version() const { return version_.load(std::memory_order_acquire); }
  // nullptr: not read yet, or definitions have changed since.
  sql::CatalogPtr get() const;
  // The latest that was read, though it may be outdated: for what had better be too much.
  sql::CatalogPtr last_read() const;

  // A statement that changes definitions has ended: nothing is believed until it was read again.
  void on_definitions_changed();
  // A function was called that is not in the catalog.
  void on_unknown_name();

  std::atomic<bool> sequences_asked{false};  // by a session, for what one gave it

 private:
  friend class CatalogReader;

  CatalogReader& reader_;
  std::atomic<std::uint64_t> version_{0};
  mutable std::mutex mutex_;
  sql::CatalogPtr catalog_;                    // the last one that was read
  CatalogReading from_;                        // what it was made of
  std::uint64_t changes_ = 0;                  // calls of on_definitions_changed()
  std::uint64_t read_changes_ = 0;             // that catalog_ has seen
  base::Time due_{};                           // the next reading, by the timer
  base::Time change_due_ = base::Time::max();  // by definitions that have changed
  base::Time began_{};                         // the last reading
  ReadingPace pace_;
};

// One thread a cluster, one short connection a reading, as soon as there is a primary. Databases
// that nobody has a feed of any more are forgotten.
//
// Thread rule: start() and stop() from one thread, everything else from any.
class CatalogReader {
 public:
  CatalogReader(const config::Cluster& cluster, const ClusterMonitor& monitor)
      : config_(cluster), monitor_(monitor) {}
  ~CatalogReader() { stop(); }
  CatalogReader(const CatalogReader&) = delete;
  CatalogReader& operator=(const CatalogReader&) = delete;

  void start();
  void stop();
  void on_roles_changed() { wake(); }  // there may be a primary now

  // Read soon, if it is new, and again every monitor.catalog_interval.
  std::shared_ptr<CatalogFeed> feed(const std::string& dbname);

  SessionDefaults& defaults() { return defaults_; }

 private:
  friend class CatalogFeed;

  void run();
  void wake();
  void refresh(const std::string& dbname, CatalogFeed& feed);
  absl::StatusOr<CatalogReading> read(const std::string& dbname);
  void note_defaults(std::string_view hash);

  const config::Cluster& config_;
  const ClusterMonitor& monitor_;
  StopSignal stop_;
  std::thread thread_;
  std::mutex mutex_;  // before a feed's; of feeds_ and woken_
  std::condition_variable woken_up_;
  bool woken_ = false;
  std::map<std::string, std::shared_ptr<CatalogFeed>> feeds_;  // by database
  SessionDefaults defaults_;
  // The thread's.
  std::string failure_;        // last logged
  std::string defaults_hash_;  // of the last reading; "" = none yet
};

}  // namespace proxy
