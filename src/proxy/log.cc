#include "proxy/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>

#include "proxy/log_sink.h"

namespace proxy {
namespace {

// %J: the message as a JSON string. Names and addresses come from clients: escaped they cannot
// forge a line.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    const std::string text =
        nlohmann::json(std::string(message.payload.data(), message.payload.size()))
            .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    out.append(text.data(), text.data() + text.size());
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<JsonMessage>();
  }
};

// %K: the message with control characters replaced, for the same reason.
class TextMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    for (const char c : message.payload) {
      out.push_back(static_cast<unsigned char>(c) < 32 || c == 127 ? '?' : c);
    }
  }
  std::unique_ptr<custom_flag_formatter> clone() const override {
    return std::make_unique<TextMessage>();
  }
};

spdlog::level::level_enum level_of(config::LogLevel level) {
  switch (level) {
    case config::LogLevel::kTrace:
      return spdlog::level::trace;
    case config::LogLevel::kDebug:
      return spdlog::level::debug;
    case config::LogLevel::kInfo:
      return spdlog::level::info;
    case config::LogLevel::kWarn:
      return spdlog::level::warn;
    case config::LogLevel::kError:
      return spdlog::level::err;
  }
  return spdlog::level::info;
}

// Where the one logger of the process writes: other threads may be logging while it changes, and
// still write to a slow disk when the process ends, so that it is never destroyed.
LogSink& sink() {
  static const auto& made = *new auto([] {
    auto sink = std::make_shared<LogSink>();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", sink));
    return sink;
  }());
  return *made;
}

}  // namespace

void configure_log(const config::Logging& logging) {
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('J').add_flag<TextMessage>('K');
  const bool stamped = logging.output == config::LogOutput::kStderr;  // the others do it themselves
  formatter->set_pattern(logging.format == config::LogFormat::kJson
                             ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l","message":%J})"
                         : stamped ? "%Y-%m-%d %H:%M:%S.%e %l %K"
                                   : "%K");
  sink().configure(logging, std::move(formatter));
  spdlog::set_level(level_of(logging.level));
}

void close_log() {
  constexpr std::chrono::seconds kMost{1};
  sink().close(kMost);
}

}  // namespace proxy
