#include "proxy/log.h"

#include <spdlog/pattern_formatter.h>
#include <spdlog/spdlog.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "proxy/log_sink.h"

namespace proxy {
namespace {

std::string json_text(std::string_view text) {
  return nlohmann::json(std::string(text))
      .dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

// %J: the message as a member of a JSON object, or the members that the line has already. Names and
// addresses come from clients: escaped they cannot forge a line.
class JsonMessage final : public spdlog::custom_flag_formatter {
 public:
  void format(const spdlog::details::log_msg& message, const std::tm&,
              spdlog::memory_buf_t& out) override {
    std::string text(message.payload.data(), message.payload.size());
    if (!LogSink::has_members(message)) text = "\"message\":" + json_text(text);
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

std::atomic<bool> is_json{false};

std::string number_text(double number) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.3f", number);
  return text.data();
}

std::string value_text(const LogField& field, bool json) {
  if (const auto* whole = std::get_if<std::int64_t>(&field.value)) return std::to_string(*whole);
  if (const auto* number = std::get_if<double>(&field.value)) return number_text(*number);
  const std::string_view text = std::get<std::string_view>(field.value);
  if (json) return json_text(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

// Where the loggers of the process write: other threads may be logging while it changes, and
// still write to a slow disk when the process ends, so that it is never destroyed.
LogSink& sink() {
  static const auto& made = *new auto([] {
    auto sink = std::make_shared<LogSink>();
    spdlog::set_default_logger(std::make_shared<spdlog::logger>("", sink));
    return sink;
  }());
  return *made;
}

void write(spdlog::level::level_enum level, std::string_view who, std::string_view event,
           std::span<const LogField> fields) {
  const bool json = is_json;
  std::string line(who);
  line.append(": ").append(event);
  if (json) line = "\"message\":" + json_text(line);
  for (const LogField& field : fields) {
    line += json ? ",\"" : " ";
    line.append(field.name).append(json ? "\":" : "=").append(value_text(field, json));
  }
  sink().log(spdlog::details::log_msg(json ? LogSink::kMembers : "", level, line));
}

}  // namespace

void configure_log(const config::Logging& logging) {
  is_json = logging.format == config::LogFormat::kJson;
  auto formatter = std::make_unique<spdlog::pattern_formatter>();
  formatter->add_flag<JsonMessage>('J').add_flag<TextMessage>('K');
  const bool stamped = logging.output == config::LogOutput::kStderr;  // the others do it themselves
  formatter->set_pattern(logging.format == config::LogFormat::kJson
                             ? R"({"time":"%Y-%m-%dT%H:%M:%S.%e%z","level":"%l",%J})"
                         : stamped ? "%Y-%m-%d %H:%M:%S.%e %l %K"
                                   : "%K");
  sink().configure(logging, std::move(formatter));
  spdlog::set_level(level_of(logging.level));
}

bool logs(const config::Database* database, spdlog::level::level_enum level) {
  const bool own = database != nullptr && database->log_level;
  return level >= (own ? level_of(*database->log_level) : spdlog::get_level());
}

spdlog::logger& unfiltered_log() {
  static auto& made = *new auto([] {
    spdlog::logger all("", sink().shared_from_this());
    all.set_level(spdlog::level::trace);
    return all;
  }());
  return made;
}

void log_warning(const config::Database* database, std::string_view who, std::string_view event,
                 std::span<const LogField> fields) {
  if (!logs(database, spdlog::level::warn)) return;
  write(spdlog::level::warn, who, event, fields);
}

void log_command(const CommandRecord& record) {
  std::vector<LogField> fields{{"command", record.command},
                               {"outcome", record.sqlstate.empty() ? "done" : "refused"},
                               {"ms", record.took_ms}};
  if (!record.sqlstate.empty()) fields.push_back({"sqlstate", record.sqlstate});
  if (!record.error.empty()) fields.push_back({"error", record.error});
  write(record.sqlstate.empty() ? spdlog::level::info : spdlog::level::warn, record.who, "command",
        fields);
}

void close_log() {
  constexpr std::chrono::seconds kMost{1};
  sink().close(kMost);
}

}  // namespace proxy
