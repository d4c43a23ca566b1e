// Asks one host, over a connection of its own, who it is and how far its WAL has come.
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/status/statusor.h"
#include "base/time.h"
#include "cluster/tracker.h"
#include "proxy/libpq_connection.h"

namespace proxy {

// Used by one thread. Any role that may log in will do; a member of pg_monitor also sees a
// replica's timeline (pg_stat_wal_receiver).
class HostProbe {
 public:
  // login.timeout: for connecting, and again for each answer.
  // async_commits: some session's commits do not wait for their WAL to be written. It is set when
  // that is a default of the host's; where it is set, a primary's position is that of what was
  // inserted into its WAL.
  HostProbe(ServerLogin login, const StopSignal& stop, std::atomic<bool>& async_commits)
      : login_(std::move(login)), stop_(stop), async_commits_(async_commits) {}

  // Connects when there is no connection. One that broke since its last answer is replaced and the
  // new one asked before that counts as a failure: a backend may be ended while its host is well.
  absl::StatusOr<cluster::Sample> sample();
  // Of a primary: has it write its WAL to the end, by a transaction that does nothing but take a
  // number. Its commit record is written within wal_writer_delay (200 ms). Errors are left to the
  // next sample.
  void flush_wal();

 private:
  absl::Status connect();
  absl::StatusOr<cluster::Sample> ask();
  base::Time deadline() const;

  const ServerLogin login_;
  const StopSignal& stop_;
  std::atomic<bool>& async_commits_;
  std::optional<LibpqConnection> connection_;
  std::uint64_t system_identifier_ = 0;  // of connection_'s server; 0 = may not be read
};

}  // namespace proxy
