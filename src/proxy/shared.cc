#include "proxy/shared.h"

#include <openssl/rand.h>

#include "absl/hash/hash.h"
#include "absl/strings/escaping.h"
#include "base/check.h"
#include "route/rules.h"

namespace proxy {

ClusterRuntime::ClusterRuntime(const config::Cluster& cluster, Tls tls,
                               const ClusterRuntime* before, std::shared_ptr<FaultLog> faults)
    : config(cluster),
      monitor(
          config,
          [this] {
            catalogs.on_roles_changed();
            if (on_changed_) on_changed_();
          },
          before != nullptr ? &before->monitor : nullptr, std::move(faults),
          random_value<std::uint64_t>()),
      catalogs(config, monitor),
      counters(config.hosts.size()),
      tls_(std::move(tls)) {}

ClusterRuntime::Tls ClusterRuntime::tls() const {
  std::lock_guard lock(tls_mutex_);
  return tls_;
}

void ClusterRuntime::set_tls(Tls tls) {
  std::lock_guard lock(tls_mutex_);
  tls_ = std::move(tls);
}

void ClusterRuntime::start(std::function<void()> on_awaited, std::function<void()> on_changed) {
  on_changed_ = std::move(on_changed);
  monitor.set_traffic([this](std::size_t host) { return counters[host].traffic(); });
  monitor.start(std::move(on_awaited));
  catalogs.start();
}

void ClusterRuntime::stop() {
  catalogs.stop();
  monitor.stop();
}

void ClusterRuntime::HostCounters::note_reply(double took_us, base::Time now) {
  note_late(took_us, now);
  replied.store(now, std::memory_order_relaxed);
}

void ClusterRuntime::HostCounters::note_late(double took_us, base::Time now) {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const auto after =
      route::after_reply({.peak = peak_us.load(kRelaxed), .typical = typical_us.load(kRelaxed)},
                         took_us, now - replied.load(kRelaxed));
  peak_us.store(after.peak, kRelaxed);
  typical_us.store(after.typical, kRelaxed);
}

void ClusterRuntime::HostCounters::note_leased(base::Time now) {
  if (active.fetch_add(1, std::memory_order_relaxed) == 0) {
    busy_since.store(now, std::memory_order_relaxed);
  }
}

void ClusterRuntime::HostCounters::note_answered() {
  answered.fetch_add(1, std::memory_order_relaxed);
  if (failed_in_row.load(std::memory_order_relaxed) != 0) {
    failed_in_row.store(0, std::memory_order_relaxed);
  }
}

void ClusterRuntime::HostCounters::note_failed() {
  failed.fetch_add(1, std::memory_order_relaxed);
  failed_in_row.fetch_add(1, std::memory_order_relaxed);
}

cluster::Traffic ClusterRuntime::HostCounters::traffic() const {
  return {.answered = answered.load(std::memory_order_relaxed),
          .failed = failed.load(std::memory_order_relaxed),
          .failed_in_row = failed_in_row.load(std::memory_order_relaxed)};
}

route::HostLoad ClusterRuntime::HostCounters::load(base::Time now) const {
  constexpr auto kRelaxed = std::memory_order_relaxed;
  const base::Time answered_at = replied.load(kRelaxed);
  route::HostLoad load{
      .active = active.load(kRelaxed),
      .latency = {.peak = peak_us.load(kRelaxed), .typical = typical_us.load(kRelaxed)},
      .unconfirmed = now - answered_at,
      .overdue = overdue.load(kRelaxed)};
  if (load.active != 0) load.silent = now - std::max(answered_at, busy_since.load(kRelaxed));
  return load;
}

const ClusterPtr* Topology::find(std::string_view cluster) const {
  for (const auto& candidate : clusters) {
    if (candidate->config.name == cluster) return &candidate;
  }
  return nullptr;
}

void Credentials::learn(const std::string& user, Secret secret) {
  std::lock_guard lock(mutex_);
  Secret& known = known_[user];
  if (!secret.stored.empty()) known.stored = std::move(secret.stored);
  if (secret.keys) known.keys = secret.keys;
}

Secret Credentials::find(const std::string& user) const {
  std::lock_guard lock(mutex_);
  const auto it = known_.find(user);
  return it == known_.end() ? Secret{} : it->second;
}

protocol::ScramVerifier Shared::scram_verifier(const std::string& user, std::string_view password) {
  const std::string salt = protocol::scram_salt(user, scram_seed);
  const ScramKeyBook::Of of{.user = user, .password = password, .salt = salt};
  return protocol::scram_verifier_of(scram_keys.keys(of), salt, of.iterations);
}

bool is_verifier(std::string_view secret) { return secret.starts_with("SCRAM-SHA-256$"); }
bool is_md5(std::string_view secret) { return secret.starts_with("md5") && secret.size() == 35; }
bool is_plain_text(std::string_view secret) {
  return !secret.empty() && !is_verifier(secret) && !is_md5(secret);
}

pool::Permits* PermitBook::find(const std::string& name, std::uint32_t limit,
                                std::uint32_t reserve) {
  std::lock_guard lock(mutex_);
  auto& budget = budgets_[name];
  if (budget) {
    budget->resize(limit, reserve);
  } else {
    budget = std::make_unique<pool::Permits>(limit, reserve);
  }
  return budget.get();
}

std::uint16_t ApplicationBook::number(const std::string& owner,
                                      const std::string& application_name) {
  const std::lock_guard lock(mutex_);
  auto& numbers = owners_[owner];
  const auto found = numbers.find(application_name);
  if (found != numbers.end()) return found->second;
  constexpr auto kLast = pool::Permits::kGroupsMax - 1;
  if (numbers.size() == kLast) {
    return static_cast<std::uint16_t>(1 + absl::HashOf(application_name) % kLast);
  }
  const auto next = static_cast<std::uint16_t>(numbers.size() + 1);
  numbers.emplace(application_name, next);
  return next;
}

bool ClientCounts::enter(const std::string& key, std::uint32_t limit) {
  std::lock_guard lock(mutex_);
  auto& count = counts_[key];
  if (limit != 0 && count >= limit) return false;
  ++count;
  return true;
}

void ClientCounts::leave(const std::string& key) {
  std::lock_guard lock(mutex_);
  const auto it = counts_.find(key);
  CHECK(it != counts_.end() && it->second > 0);
  if (--it->second == 0) counts_.erase(it);
}

std::uint32_t ClientCounts::count(const std::string& key) const {
  std::lock_guard lock(mutex_);
  const auto it = counts_.find(key);
  return it == counts_.end() ? 0 : it->second;
}

sql::AnalyzerOptions analyzer_options(const config::Config& config) {
  sql::AnalyzerOptions options{.cache_bytes = config.limits.analyze_cache_bytes,
                               .analyze_bytes = config.limits.analyze_bytes,
                               .patterns = route::patterns_of(config)};
  for (const auto& cluster : config.clusters) {
    const auto& names = cluster.routing.harmless_functions;
    options.harmless_functions.insert(options.harmless_functions.end(), names.begin(), names.end());
  }
  return options;
}

std::string random_bytes(std::size_t count) {
  std::string bytes(count, '\0');
  CHECK(RAND_bytes(reinterpret_cast<unsigned char*>(bytes.data()), static_cast<int>(count)) == 1);
  return bytes;
}

std::string random_nonce() { return absl::Base64Escape(random_bytes(18)); }

}  // namespace proxy
