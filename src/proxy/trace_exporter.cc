#include "proxy/trace_exporter.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <string>
#include <utility>

#include "config/url.h"
#include "proxy/http_client.h"

namespace proxy {
namespace {

constexpr std::chrono::seconds kPace{1};
constexpr int kTries = 3;

}  // namespace

TraceExporter::~TraceExporter() {
  {
    const std::lock_guard lock(mutex_);
    stop_.raise();
  }
  wake_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void TraceExporter::configure(const config::Traces& traces) {
  const std::lock_guard lock(mutex_);
  traces_ = traces;
  if (!traces.endpoint.empty() && !thread_.joinable()) thread_ = std::thread([this] { run(); });
}

void TraceExporter::add(std::vector<Span> spans) {
  const std::lock_guard lock(mutex_);
  if (traces_.endpoint.empty() || waiting_.size() + spans.size() > kQueueMax) {
    dropped_ += spans.size();
    return;
  }
  std::ranges::move(spans, std::back_inserter(waiting_));
  if (waiting_.size() >= kBatch) wake_.notify_one();
}

void TraceExporter::run() {
  std::unique_lock lock(mutex_);
  while (!stop_.raised()) {
    wake_.wait_for(lock, kPace, [this] { return stop_.raised() || waiting_.size() >= kBatch; });
    if (stop_.raised() || waiting_.empty()) continue;
    std::vector<Span> batch;
    const std::size_t count = std::min(waiting_.size(), kBatch);
    const auto end = waiting_.begin() + static_cast<std::ptrdiff_t>(count);
    std::move(waiting_.begin(), end, std::back_inserter(batch));
    waiting_.erase(waiting_.begin(), end);
    const config::Traces traces = traces_;
    lock.unlock();
    const bool sent = send(batch, traces);
    (sent ? sent_ : dropped_) += count;
    lock.lock();
  }
}

bool TraceExporter::send(const std::vector<Span>& spans, const config::Traces& traces) {
  const auto url = config::parse_http_url(traces.endpoint);
  if (!url) return false;
  std::string why;
  for (int tried = 0; tried < kTries && !stop_.raised(); ++tried) {
    if (tried != 0) {
      std::unique_lock lock(mutex_);
      wake_.wait_for(lock, kPace * tried, [this] { return stop_.raised(); });
    }
    why = ask_http(*url,
                   {.verb = boost::beast::http::verb::post, .body = to_otlp(spans, traces.service)},
                   stop_)
              .error;
    if (why.empty()) return true;
  }
  spdlog::warn("traces: {} spans were not taken by {} why=\"{}\"", spans.size(), traces.endpoint,
               why);
  return false;
}

}  // namespace proxy
