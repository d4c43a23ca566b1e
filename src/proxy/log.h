// Where log lines go, and their form.
#pragma once

#include <spdlog/spdlog.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <variant>

#include "config/config.h"
#include "proxy/control.h"

namespace proxy {

// At start and at each reload: a file is opened again, so that it can be rotated.
void configure_log(const config::Logging& logging);

// At the end: what is queued is written, if that does not take too long. Later lines are lost.
void close_log();

// Lines that programs read as well: "who: event name=value name="text"", and in JSON a member for
// each field. Any thread; nothing before configure_log().
struct LogField {
  std::string_view name;
  std::variant<std::string_view, std::int64_t, double> value;  // a double has three decimals
};
void log_warning(const config::Database* database, std::string_view who, std::string_view event,
                 std::span<const LogField> fields);
// Whatever log.level is: what operators do.
void log_command(const CommandRecord& record);

// Whether a line is written that concerns a database (null: none that is known): its own log_level
// counts there, log.level elsewhere.
bool logs(const config::Database* database, spdlog::level::level_enum level);
spdlog::logger& unfiltered_log();

template <typename... Args>
void log_of(const config::Database* database, spdlog::level::level_enum level,
            spdlog::format_string_t<Args...> format, Args&&... args) {
  if (logs(database, level)) unfiltered_log().log(level, format, std::forward<Args>(args)...);
}

}  // namespace proxy
