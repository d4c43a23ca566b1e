// Where log lines go, and their form.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
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
void log_warning(std::string_view who, std::string_view event, std::span<const LogField> fields);
// Whatever log.level is: what operators do.
void log_command(const CommandRecord& record);

}  // namespace proxy
