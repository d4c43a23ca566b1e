#include "config/command_line.h"

#include <toml++/toml.h>

#include <charconv>
#include <string_view>
#include <utility>

#include "config/concat.h"
#include "config/document.h"
#include "config/load_table.h"
#include "config/problems.h"

namespace config {
namespace {

absl::Status usage(std::string message) {
  return absl::InvalidArgumentError(concat(message, "; see weir --help"));
}

class Parser {
 public:
  explicit Parser(std::span<const char* const> args) : args_(args) {}

  absl::StatusOr<CommandLine> parse() {
    for (; at_ < args_.size(); ++at_) {
      if (const absl::Status status = argument(args_[at_]); !status.ok()) return status;
    }
    if (const absl::Status status = finish(); !status.ok()) return status;
    return std::move(result_);
  }

 private:
  using Action = CommandLine::Action;

  absl::Status argument(std::string_view arg) {
    if (arg == "-h" || arg == "--help") return act(Action::kHelp);
    if (arg == "-V" || arg == "--version") return act(Action::kVersion);
    if (arg == "--check") return act(Action::kCheck);
    if (at_ == 0 && arg == "route") return act(Action::kRoute);
    if (at_ == 0 && arg == "import-pgbouncer") return act(Action::kImportPgBouncer);
    if (at_ == 0 && arg == "top") return act(Action::kTop);
    if (arg == "--upgrade") return act(Action::kUpgrade);
    if (asks_console() && !arg.starts_with('-')) return conninfo(arg);
    if (result_.action == Action::kImportPgBouncer && !arg.starts_with('-')) return import(arg);
    if (is_url(arg)) return url(arg);
    if (result_.action == Action::kRoute && !arg.starts_with('-')) return statement(arg);
    if (!arg.starts_with('-')) {
      return usage(
          concat("unexpected argument ", quoted(arg), " (a configuration file goes after -c)"));
    }
    std::string_view name = arg;
    std::optional<std::string> value;
    if (const std::size_t equals = arg.find('='); equals != std::string_view::npos) {
      name = arg.substr(0, equals);
      value = std::string(arg.substr(equals + 1));
    }
    using Handler = absl::Status (Parser::*)(const std::string&);
    static constexpr std::pair<std::string_view, Handler> kOptions[] = {
        {"-c", &Parser::config_file},      {"--config", &Parser::config_file},
        {"--set", &Parser::set},           {"--replica", &Parser::replica},
        {"--listen", &Parser::listen},     {"--workers", &Parser::workers},
        {"--database", &Parser::database}, {"--user", &Parser::user},
        {"--every", &Parser::every},       {"--frames", &Parser::frames},
    };
    for (const auto& [option, handler] : kOptions) {
      if (option != name) continue;
      if (!value) {
        if (at_ + 1 == args_.size()) return usage(concat(name, " needs a value"));
        value = args_[++at_];
      }
      return (this->*handler)(*value);
    }
    return usage(concat("unknown option ", quoted(name)));
  }

  bool asks_console() const {
    return result_.action == Action::kTop || result_.action == Action::kUpgrade;
  }

  // --help and --version win over everything, whatever else the line says.
  absl::Status act(Action action) {
    const bool decided = result_.action == Action::kHelp || result_.action == Action::kVersion;
    if (!decided) result_.action = action;
    return absl::OkStatus();
  }
  absl::Status config_file(const std::string& value) {
    if (!result_.config_file.empty()) return usage("more than one configuration file");
    if (value.empty()) return usage("-c needs the name of a file");
    result_.config_file = value;
    return absl::OkStatus();
  }
  absl::Status url(std::string_view value) {
    if (result_.url) return usage("more than one URL (further hosts: --replica)");
    auto parsed = parse_url(value);
    if (!parsed.ok()) return usage(concat(parsed.status().message()));
    result_.url = *std::move(parsed);
    return absl::OkStatus();
  }
  absl::Status set(const std::string& value) {
    if (value.find('=') == std::string::npos) {
      return usage(concat("--set needs section.key=value, not ", quoted(value)));
    }
    result_.overrides.push_back(value);
    return absl::OkStatus();
  }
  absl::Status replica(const std::string& value) {
    const auto endpoint = parse_endpoint(value);
    if (!endpoint) return usage(concat("--replica needs host:port, not ", quoted(value)));
    result_.replicas.push_back(*endpoint);
    return absl::OkStatus();
  }
  absl::Status listen(const std::string& value) {
    if (!parse_listener(value)) {
      return usage(concat("--listen needs an address such as 127.0.0.1:6432, *:6432 or ",
                          "unix:/run/weir, not ", quoted(value)));
    }
    append(listen_, listen_.empty() ? "" : ", ", toml_string(value));
    return absl::OkStatus();
  }
  absl::Status statement(std::string_view sql) {
    if (!result_.route.sql.empty()) return usage("more than one statement (quote it)");
    result_.route.sql = sql;
    return absl::OkStatus();
  }
  absl::Status import(std::string_view file) {
    std::string& into = result_.ini.empty() ? result_.ini : result_.userlist;
    if (!into.empty() || file.empty()) return usage("expected import-pgbouncer INI [USERLIST]");
    into = file;
    return absl::OkStatus();
  }
  absl::Status database(const std::string& value) {
    return of_route("--database", value, result_.route.database);
  }
  absl::Status user(const std::string& value) {
    return of_route("--user", value, result_.route.user);
  }
  absl::Status of_route(std::string_view option, const std::string& value, std::string& into) {
    if (result_.action != Action::kRoute) return usage(concat(option, " goes with weir route"));
    into = value;
    return absl::OkStatus();
  }
  absl::Status conninfo(std::string_view value) {
    if (!result_.console.empty()) return usage("more than one connection string (quote it)");
    result_.console = value;
    return absl::OkStatus();
  }
  template <typename Number>
  static bool read(const std::string& value, Number& number) {
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    return error == std::errc() && end == value.data() + value.size();
  }
  absl::Status every(const std::string& value) {
    double& seconds = result_.top.every_s;
    if (result_.action != Action::kTop) return usage("--every goes with weir top");
    if (!read(value, seconds) || !(seconds >= 0.1 && seconds <= 60)) {
      return usage(concat("--every needs seconds, 0.1 to 60, not ", quoted(value)));
    }
    return absl::OkStatus();
  }
  absl::Status frames(const std::string& value) {
    if (result_.action != Action::kTop) return usage("--frames goes with weir top");
    if (!read(value, result_.top.frames) || result_.top.frames == 0) {
      return usage(concat("--frames needs a whole number, not ", quoted(value)));
    }
    return absl::OkStatus();
  }
  absl::Status workers(const std::string& value) {
    unsigned number = 0;
    if (!read(value, number)) {
      return usage(concat("--workers needs a whole number, not ", quoted(value)));
    }
    result_.overrides.push_back(concat("workers=", number));
    return absl::OkStatus();
  }

  absl::Status finish() {
    if (!listen_.empty()) result_.overrides.push_back(concat("listen=[", listen_, "]"));
    if (result_.action == Action::kHelp || result_.action == Action::kVersion) {
      return absl::OkStatus();
    }
    if (result_.action == Action::kImportPgBouncer) {
      const bool alone = result_.config_file.empty() && result_.overrides.empty();
      if (!alone || result_.ini.empty()) return usage("expected import-pgbouncer INI [USERLIST]");
      return absl::OkStatus();
    }
    if (asks_console()) {
      const bool has_file = !result_.config_file.empty(), has_info = !result_.console.empty();
      if (has_file && has_info) return usage("both -c and a connection string");
      if (!result_.replicas.empty()) return usage("--replica goes with a URL");
      return absl::OkStatus();
    }
    if (result_.url && !result_.config_file.empty()) return usage("both -c and a URL");
    if (!result_.url && result_.config_file.empty()) {
      return usage("expected -c FILE or postgres://user:password@host:port");
    }
    if (result_.action == Action::kRoute && result_.route.sql.empty()) {
      return usage("weir route needs a statement");
    }
    if (!result_.url && !result_.replicas.empty()) return usage("--replica goes with a URL");
    return absl::OkStatus();
  }

  std::span<const char* const> args_;
  std::size_t at_ = 0;
  CommandLine result_;
  std::string listen_;  // elements of a TOML list
};

std::string to_text(const Endpoint& endpoint) {
  return format_endpoint(endpoint.host, endpoint.port.value_or(kServerPort));
}

toml::table tls_of(const ServerUrl& url) {
  // libpq's default, since this was written for libpq.
  toml::table tls{{"mode", url.sslmode.empty() ? "prefer" : url.sslmode}};
  if (!url.sslrootcert.empty()) tls.insert("ca_file", url.sslrootcert);
  if (!url.sslcert.empty()) tls.insert("cert_file", url.sslcert);
  if (!url.sslkey.empty()) tls.insert("key_file", url.sslkey);
  return tls;
}

// The configuration file that does what the URL says.
toml::table table_of(const CommandLine& line) {
  const ServerUrl& url = *line.url;
  toml::array hosts;
  for (const Endpoint& endpoint : url.hosts) hosts.push_back(to_text(endpoint));
  for (const Endpoint& endpoint : line.replicas) hosts.push_back(to_text(endpoint));

  const std::string password = url.password.value_or("");
  toml::table cluster{{"hosts", std::move(hosts)}};
  if (!url.database.empty()) {
    cluster.insert("monitor", toml::table{{"database", url.database}});
  }
  toml::table user{{"admin", true}};
  toml::table database{{"cluster", "main"}, {"user", url.user}};
  toml::table root;
  if (password.empty()) {
    root.insert("auth", toml::table{{"method", "trust"}});
  } else {
    user.insert("password", password);
    database.insert("password", password);
  }
  root.insert("clusters", toml::table{{"main", std::move(cluster)}});
  root.insert("databases", toml::table{{"*", std::move(database)}});
  root.insert("users", toml::table{{url.user, std::move(user)}});
  root.insert("tls", toml::table{{"server", tls_of(url)}});
  if (!url.connect_timeout.empty()) {
    root.insert("timeouts", toml::table{{"connect", url.connect_timeout + "s"}});
  }
  return root;
}

}  // namespace

absl::StatusOr<CommandLine> parse_command_line(std::span<const char* const> args) {
  return Parser(args).parse();
}

LoadResult config_from_command_line(const CommandLine& command_line, const Again& again) {
  std::vector<std::string> overrides = command_line.overrides;
  overrides.insert(overrides.end(), again.overrides.begin(), again.overrides.end());
  if (command_line.url) {
    Problems problems("command line");
    return load_table(table_of(command_line), "", problems, overrides);
  }
  if (again.text == nullptr) return load_file(command_line.config_file, overrides);
  LoadResult result = load_text(*again.text, command_line.config_file, overrides);
  result.text = again.text;
  return result;
}

}  // namespace config
