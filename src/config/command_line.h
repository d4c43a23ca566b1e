// The command line: what to do, and where the configuration comes from.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "config/address.h"
#include "config/load.h"
#include "config/url.h"

namespace config {

// What the process ends with.
inline constexpr int kExitOk = 0;
inline constexpr int kExitBadConfig = 1;    // also: the file cannot be read
inline constexpr int kExitUsage = 2;        // the command line makes no sense
inline constexpr int kExitCannotStart = 3;  // an address in use, a certificate that does not load

struct CommandLine {
  enum class Action : std::uint8_t {
    kRun,
    kCheck,  // load, print describe() or the problems, end
    kHelp,
    kVersion,
    kRoute,  // tell where a statement would go, end
    kImportPgBouncer,
    kTop,      // show a running Weir in the terminal
    kUpgrade,  // have it replaced by the program that is there now
  };
  struct Route {
    std::string sql, database, user;
  };
  struct Top {
    double every_s = 1;  // 0.1 to 60
    unsigned long frames = 0;
  };
  Action action = Action::kRun;
  std::string config_file;         // -c; "" = none, then there is a url
  std::optional<ServerUrl> url;    // never with config_file
  std::vector<Endpoint> replicas;  // --replica; only with url
  Route route;                     // for kRoute
  // For kTop and kUpgrade, as libpq takes it; "" = config_file's first listener, or by default.
  std::string console;
  Top top;
  std::string ini, userlist;           // for kImportPgBouncer; userlist: "" = what the ini says
  std::vector<std::string> overrides;  // --set, --listen and --workers, for load_file
};

// args without the program's name. An error's message is one line for standard error; the process
// should end with kExitUsage.
absl::StatusOr<CommandLine> parse_command_line(std::span<const char* const> args);

// How to load it again.
struct Again {
  std::vector<std::string> overrides;  // over those of the command line
  TextPtr text;                        // as the file was; null = as it is now
};
// Loads what the command line names; also how a reload starts. For kRun, kCheck and kRoute.
LoadResult config_from_command_line(const CommandLine& command_line, const Again& again = {});

std::string help_text();

}  // namespace config
