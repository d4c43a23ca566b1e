#include "proxy/patroni.h"

#include <spdlog/spdlog.h>

#include <chrono>
#include <utility>

#include "config/url.h"
#include "proxy/http_client.h"

namespace proxy {
namespace {

constexpr std::chrono::seconds kPace{1}, kTimeout{2};
constexpr std::size_t kAnswerMax = 1u << 20;

}  // namespace

Patroni::~Patroni() {
  {
    const std::lock_guard lock(mutex_);
    stop_.raise();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void Patroni::configure(const config::Config& config) {
  const std::lock_guard lock(mutex_);
  configured_.clear();
  for (const config::Cluster& cluster : config.clusters) {
    if (!cluster.patroni.empty()) configured_[cluster.name].urls = cluster.patroni;
  }
  changed_ = true;
  if (!configured_.empty() && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void Patroni::run() {
  std::map<std::string, Source> sources;
  std::unique_lock lock(mutex_);
  while (!stop_.raised()) {
    if (std::exchange(changed_, false)) {
      auto before = std::exchange(sources, configured_);
      for (auto& [cluster, source] : sources) {
        const auto same = before.find(cluster);
        if (same != before.end() && same->second.urls == source.urls) source = same->second;
      }
    }
    lock.unlock();
    for (auto& [cluster, source] : sources) ask(cluster, source);
    lock.lock();
    wake_.wait_for(lock, kPace, [this] { return stop_.raised(); });
  }
}

void Patroni::ask(const std::string& cluster, Source& source) {
  std::string why;
  for (std::size_t tried = 0; tried < source.urls.size() && !stop_.raised(); ++tried) {
    auto url = config::parse_http_url(source.urls[source.next]);
    if (!url) return;
    url->path = (url->path.ends_with('/') ? url->path : url->path + '/') + "cluster";
    auto answer = ask_http(*url, {.answer_max = kAnswerMax, .timeout = kTimeout}, stop_);
    if (answer.error.empty()) {
      if (std::exchange(source.silent, false)) {
        spdlog::info("cluster {}: Patroni answers again", cluster);
      }
      return heard_(cluster, std::move(answer.body));
    }
    why += (why.empty() ? "" : "; ") + source.urls[source.next] + ": " + answer.error;
    source.next = (source.next + 1) % source.urls.size();
  }
  if (stop_.raised() || std::exchange(source.silent, true)) return;
  spdlog::warn("cluster {}: Patroni does not answer, its hosts stay what they are: {}", cluster,
               why);
}

}  // namespace proxy
