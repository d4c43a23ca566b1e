// Sends spans to a collector, and never makes anybody wait for it.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

#include "config/config.h"
#include "proxy/libpq_connection.h"
#include "proxy/trace.h"

namespace proxy {

// One thread; a batch is sent each second, or when it is full. Any thread may add.
class TraceExporter {
 public:
  static constexpr std::size_t kQueueMax = 8'192;  // spans; beyond they are dropped and counted
  static constexpr std::size_t kBatch = 512;

  ~TraceExporter();  // what waits is lost

  // Starts the thread with the first endpoint. For spans that are added from now on.
  void configure(const config::Traces& traces);
  void add(std::vector<Span> spans);  // all of them, or none

  std::uint64_t sent() const { return sent_; }
  std::uint64_t dropped() const { return dropped_; }

 private:
  void run();
  bool send(const std::vector<Span>& spans, const config::Traces& traces);

  StopSignal stop_;
  std::mutex mutex_;
  std::condition_variable wake_;
  config::Traces traces_;
  std::vector<Span> waiting_;
  std::atomic<std::uint64_t> sent_{0}, dropped_{0};
  std::thread thread_;
};

}  // namespace proxy
