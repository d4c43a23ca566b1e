#include "proxy/trace_exporter.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <chrono>
#include <iterator>
#include <string>
#include <utility>

#include "config/url.h"

namespace proxy {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;

constexpr std::chrono::seconds kPace{1}, kTimeout{5};
constexpr std::chrono::milliseconds kGlance{100};  // whether it is to stop
constexpr int kTries = 3;

// "" = the collector has taken it.
std::string post(const config::HttpUrl& url, std::string body, const StopSignal& stop) {
  asio::io_context context;
  beast::tcp_stream stream(context);
  asio::ip::tcp::resolver resolver(context);
  beast::error_code error;
  const auto found = resolver.resolve(url.host, std::to_string(url.port), error);
  if (error) return error.message();
  // Synchronous calls of tcp_stream know no time limit: the asynchronous ones do.
  const auto wait = [&](auto start) {
    stream.expires_after(kTimeout);
    context.restart();
    start([&](beast::error_code result, auto&&...) { error = result; });
    while (context.run_one_for(kGlance) != 0 || !context.stopped()) {
      if (stop.raised()) stream.cancel();
    }
    return !error;
  };
  if (!wait([&](auto done) { stream.async_connect(found, std::move(done)); })) {
    return error.message();
  }
  http::request<http::string_body> request{http::verb::post, url.path, 11};
  request.set(http::field::host, url.host);
  request.set(http::field::content_type, "application/json");
  request.set(http::field::user_agent, "weir");
  request.keep_alive(false);
  request.body() = std::move(body);
  request.prepare_payload();
  if (!wait([&](auto done) { http::async_write(stream, request, std::move(done)); })) {
    return error.message();
  }
  beast::flat_buffer buffer;
  http::response_parser<http::string_body> response;
  response.body_limit(64u << 10);
  response.header_limit(8u << 10);
  if (!wait([&](auto done) { http::async_read(stream, buffer, response, std::move(done)); })) {
    return error.message();
  }
  const unsigned status = response.get().result_int();
  stream.socket().shutdown(asio::ip::tcp::socket::shutdown_both, error);
  return status / 100 == 2 ? "" : "HTTP status " + std::to_string(status);
}

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
    why = post(*url, to_otlp(spans, traces.service), stop_);
    if (why.empty()) return true;
  }
  spdlog::warn("traces: {} spans were not taken by {} why=\"{}\"", spans.size(), traces.endpoint,
               why);
  return false;
}

}  // namespace proxy
