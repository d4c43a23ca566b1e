// Where log lines wait for a slow disk, so that nobody else does.
#pragma once

#include <spdlog/sinks/sink.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "config/config.h"

namespace proxy {

// log() formats and queues; a thread of its own opens, writes and sends. Any thread.
class LogSink final : public spdlog::sinks::sink, public std::enable_shared_from_this<LogSink> {
 public:
  // Opens the file again, too. What was queued before goes where it would have gone, or there.
  void configure(const config::Logging& logging, std::unique_ptr<spdlog::formatter> formatter);
  // Until all is written, at most so long; then nothing is written any more.
  void close(std::chrono::milliseconds most);

  void log(const spdlog::details::log_msg& message) override;
  // The logger's name of a line whose text is members of a JSON object.
  static constexpr const char* kMembers = "members";
  static bool has_members(const spdlog::details::log_msg& message);

  void flush() override {}
  void set_pattern(const std::string&) override {}
  void set_formatter(std::unique_ptr<spdlog::formatter>) override {}

 private:
  using Clock = std::chrono::steady_clock;
  struct Line {
    spdlog::level::level_enum level;
    std::string text;
  };
  struct Repeated {  // warnings or errors that differ in numbers only
    Clock::time_point since;
    std::uint32_t count = 0;
    spdlog::level::level_enum level{};
    std::string last;
    bool has_members = false;
  };
  class Outlet;  // the thread's

  // With mutex_ held.
  bool is_repeated(const spdlog::details::log_msg& message);
  void tell_repeated(Clock::time_point now);
  void queue(const spdlog::details::log_msg& message);
  void queue(spdlog::level::level_enum level, const std::string& text);

  void run();

  static constexpr std::chrono::seconds kRepeatsWithin{10};
  static constexpr std::size_t kRepeatedMax = 256;  // different ones that are remembered

  std::mutex mutex_;
  std::condition_variable wake_, written_;
  config::Logging logging_;
  std::unique_ptr<spdlog::formatter> formatter_;
  bool started_ = false, changed_ = false, closed_ = false, busy_ = false;
  std::vector<Line> lines_;
  std::size_t bytes_ = 0;
  std::uint64_t dropped_ = 0;
  std::unordered_map<std::size_t, Repeated> repeated_;
};

}  // namespace proxy
