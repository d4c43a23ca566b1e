// Instance: its configuration, loaded again and changed.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "cluster/patroni.h"
#include "proxy/instance.h"
#include "proxy/log.h"

namespace proxy {
namespace {

// Those of what has an operator, not of the file: without their source, on one line.
std::string text_of(const std::vector<config::Problem>& problems) {
  std::string text;
  for (const config::Problem& problem : problems) {
    text += text.empty() ? "" : "; ";
    text += problem.key.empty() ? problem.message : problem.key + ": " + problem.message;
  }
  return text;
}

}  // namespace

config::LoadResult Instance::load(const std::vector<Kept>& kept, config::TextPtr text) const {
  config::Again again{.text = std::move(text)};
  for (const Kept& one : kept) again.overrides.push_back(one.override);
  auto loaded = loader_(again);
  if (!loaded.config || patroni_answers_.empty()) return loaded;
  auto config = std::make_shared<config::Config>(*loaded.config);
  for (config::Cluster& cluster : config->clusters) {
    const auto answer = patroni_answers_.find(cluster.name);
    if (cluster.patroni.empty() || answer == patroni_answers_.end()) continue;
    auto hosts = cluster::hosts_of_patroni(answer->second, cluster.hosts);
    if (hosts.ok()) cluster.hosts = *std::move(hosts);
  }
  loaded.config = std::move(config);
  return loaded;
}

void Instance::on_patroni(const std::string& cluster, std::string answer) {
  const auto& clusters = topology_->config->clusters;
  const auto known = std::ranges::find(clusters, cluster, &config::Cluster::name);
  if (known == clusters.end() || known->patroni.empty() || draining_) return;
  const auto hosts = cluster::hosts_of_patroni(answer, known->hosts);
  if (!hosts.ok()) {
    return spdlog::warn("cluster {}: {}", cluster, std::string(hosts.status().message()));
  }
  if (hosts->size() == known->hosts.size() && std::ranges::is_permutation(*hosts, known->hosts)) {
    return;
  }
  patroni_answers_[cluster] = std::move(answer);
  const auto taken = take(load(kept_, text_), kept_, "Patroni");
  if (taken.ok()) return;
  spdlog::error("cluster {}: Patroni: {}", cluster, std::string(taken.status().message()));
}

void Instance::reload(LoadDone done) {
  loop_.post([this, done = std::move(done)]() mutable {
    // Who has replaced this process knows those before it, too.
    if (replaced_at_ == base::Time{}) predecessor_.pass_on_reload();
    supervisor_.on_reload_begun(net::read_clock());
    auto loaded = load_again();
    if (loaded.ok()) {
      forget_weights(*topology_);
    } else {
      configure_log(topology_->config->logging);  // all the same its file may have been moved
      shared_.faults->add(Fault::Severity::kError, "reload", topology_->config->source,
                          "refused: " + std::string(loaded.status().message()));
    }
    supervisor_.on_reload_ended(/*refused=*/!loaded.ok());
    done(std::move(loaded));
  });
}

// What SET has changed of something that the file does not name any more is forgotten: it would
// bring that back.
absl::StatusOr<Control::Loaded> Instance::load_again() {
  auto loaded = load({}, nullptr);
  if (!loaded.config || kept_.empty()) return take(std::move(loaded), {}, "reloaded");
  std::vector<Kept> kept = kept_;
  std::erase_if(
      kept, [&](const Kept& one) { return !config::applies_to(one.change, *loaded.config).ok(); });
  return take(load(kept, loaded.text), kept, "reloaded");
}

void Instance::set(config::Change change, LoadDone done) {
  loop_.post([this, change = std::move(change), done = std::move(done)]() mutable {
    done(this->change(change));
  });
}

absl::StatusOr<Control::Loaded> Instance::change(const config::Change& change) {
  constexpr std::size_t kKeptMax = 1000;
  if (auto status = config::applies_to(change, *topology_->config); !status.ok()) return status;
  std::vector<Kept> kept = kept_;
  std::erase_if(kept, [&](const Kept& one) { return one.change.path == change.path; });
  if (change.overrides.empty()) {
    if (kept.size() == kept_.size()) return Loaded{};  // it is as the file has it
    return take(load(kept, text_), kept, "reset");
  }
  if (kept.size() >= kKeptMax) return absl::ResourceExhaustedError("too many settings are changed");
  std::optional<std::string> wrong;
  for (const std::string& override : change.overrides) {
    kept.push_back({change, override});
    auto loaded = load(kept, text_);
    if (loaded.config) return take(std::move(loaded), std::move(kept), "set");
    if (!wrong) wrong = text_of(loaded.problems);
    kept.pop_back();
  }
  return absl::InvalidArgumentError(*wrong);
}

void Instance::log(const CommandRecord& record) { log_command(record); }

}  // namespace proxy
