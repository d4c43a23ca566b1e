#include "proxy/statement_meter.h"

#include <algorithm>

namespace proxy {
namespace {

constexpr std::size_t kPortalsMax = 64;  // beyond: counted as what was bound last

}  // namespace

void StatementMeter::note_portal(std::string_view portal) {
  const auto it = std::ranges::find(portals_, portal, &decltype(portals_)::value_type::first);
  if (it != portals_.end()) {
    it->second = sending;
  } else if (portals_.size() < kPortalsMax) {
    portals_.emplace_back(portal, sending);
  }
}

void StatementMeter::use_portal(std::string_view portal) {
  const auto it = std::ranges::find(portals_, portal, &decltype(portals_)::value_type::first);
  if (it != portals_.end()) sending = it->second;
}

void StatementMeter::on_end(StatementStats& stats, Ref what, Ended how, const Answer& answer,
                            const Server& server, base::Time now, OnSlow on_slow) {
  const bool same =
      open_.is_open && open_.what == what && (how == Ended::kInQuery || how == Ended::kFailed);
  if (!same) close(stats, server, open_.at, on_slow);
  open_.is_open = true;
  open_.what = what;
  open_.at = now;
  open_.end.rows += answer.rows;
  open_.end.bytes += answer.bytes;
  open_.end.failed = how == Ended::kFailed;
  if (answer.sqlstate.size() == open_.sqlstate.size()) {
    std::ranges::copy(answer.sqlstate, open_.sqlstate.begin());
  }
  if (!same) open_.end.goes_on = what != 0 && suspended_ == what && how != Ended::kInQuery;
  suspended_ = how == Ended::kSuspended ? what : 0;
}

void StatementMeter::close(StatementStats& stats, const Server& server, base::Time until,
                           OnSlow on_slow) {
  if (!open_.is_open) return;
  const base::Time from = std::max(server.busy_since, counted_until_);
  if (until > from) {
    open_.end.server_us = static_cast<std::uint64_t>(base::to_us(until - from));
    counted_until_ = until;
  }
  open_.end.wait_us = std::exchange(waited_us_, 0);
  open_.end.retries = std::exchange(retries_, 0);
  open_.end.on_primary = server.on_primary;
  stats.count(open_.what, open_.end, until);
  if (open_.end.wait_us + open_.end.server_us >= server.slow_us) {
    const bool has_code = open_.sqlstate[0] != 0;
    on_slow({.what = open_.what,
             .end = open_.end,
             .sqlstate = {open_.sqlstate.data(), has_code ? open_.sqlstate.size() : 0},
             .until = until});
  }
  open_ = {};
}

void StatementMeter::on_ready(StatementStats& stats, const Answer& answer, const Server& server,
                              base::Time now, bool ends_transaction, OnSlow on_slow) {
  open_.end.bytes += answer.bytes;
  close(stats, server, now, on_slow);
  open_ = {};
  counted_until_ = now;
  if (!ends_transaction) return;
  portals_.clear();
  suspended_ = 0;
}

}  // namespace proxy
