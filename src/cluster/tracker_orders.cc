// Tracker: what an operator says about the hosts.
#include <algorithm>
#include <utility>

#include "base/check.h"
#include "cluster/tracker.h"

namespace cluster {

std::string Tracker::choose_primary(std::size_t host, std::string by, Time now) {
  CHECK(host < hosts_.size());
  settle_system_identifier();  // samples may have come since the latest publication
  find_highest_timeline();
  const HostRecord& record = hosts_[host];
  if (!alive(record, now)) return "it is down: " + why_down(record, now);
  if (!belongs(record)) return "it " + why_foreign(record);
  if (record.last.in_recovery) return "it is in recovery";
  if (config_.hosts[host].role == config::HostRole::kReplica) return "it is configured as replica";
  if (record.last.timeline < highest_timeline_) return "it is " + why_superseded(record);
  choice_ = {.host = host, .timeline = record.last.timeline, .by = std::move(by)};
  return "";
}

bool Tracker::choose_by_rules() { return std::exchange(choice_, std::nullopt).has_value(); }

void Tracker::ban(std::size_t host, Ban ban) {
  CHECK(host < hosts_.size());
  hosts_[host].ban = std::move(ban);
}

bool Tracker::unban(std::size_t host) {
  CHECK(host < hosts_.size());
  return std::exchange(hosts_[host].ban, std::nullopt).has_value();
}

bool Tracker::pause(std::size_t host, std::string by) {
  CHECK(host < hosts_.size());
  if (hosts_[host].paused_by) return false;
  hosts_[host].paused_by = std::move(by);
  return true;
}

bool Tracker::resume(std::size_t host) {
  CHECK(host < hosts_.size());
  return std::exchange(hosts_[host].paused_by, std::nullopt).has_value();
}

void Tracker::set_weight(std::size_t host, double weight) {
  CHECK(host < hosts_.size() && weight >= 0);
  hosts_[host].weight = weight;
}

bool Tracker::forget_weights() {
  bool any = false;
  for (HostRecord& record : hosts_) any = std::exchange(record.weight, 0) != 0 || any;
  return any;
}

// Those that are over are forgotten.
void Tracker::review_orders(Time now) {
  for (HostRecord& record : hosts_) {
    if (record.ban && record.ban->until && *record.ban->until <= now) record.ban.reset();
  }
  if (!choice_) return;
  const HostRecord& record = hosts_[choice_->host];
  const bool stands = record.answered && belongs(record) && !record.last.in_recovery &&
                      config_.hosts[choice_->host].role != config::HostRole::kReplica &&
                      record.last.timeline == choice_->timeline &&
                      choice_->timeline >= highest_timeline_;
  if (!stands) choice_.reset();
}

void Tracker::add_orders(std::size_t index, Host& host) const {
  const HostRecord& record = hosts_[index];
  const auto say = [&](std::string what) {
    host.why = host.why.empty() ? std::move(what) : std::move(what) + "; " + host.why;
  };
  host.weight = record.weight;
  if (choice_ && choice_->host == index) say("chosen by " + choice_->by);
  if (record.ban) {
    host.reads = false;
    host.banned = true;
    host.banned_until = record.ban->until;
    say("banned by " + record.ban->by);
  }
  if (record.paused_by) {
    host.reads = false;
    host.paused = true;
    say("paused by " + *record.paused_by);
  }
}

}  // namespace cluster
