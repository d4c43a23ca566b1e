// weir: command line, signals, exit codes.
#include <spdlog/spdlog.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <optional>

#include "admin/console.h"
#include "admin/http.h"
#include "config/command_line.h"
#include "config/describe.h"
#include "config/pgbouncer_import.h"
#include "proxy/instance.h"
#include "proxy/log.h"
#include "proxy/route_command.h"
#include "top/console.h"
#include "top/top.h"

namespace {

using Action = config::CommandLine::Action;

int cannot_start(const absl::Status& status, proxy::Predecessor& predecessor) {
  std::cerr << "weir: " << status.message() << '\n';
  predecessor.tell_failed(std::string(status.message()));
  return config::kExitCannotStart;
}

int serve(const config::CommandLine& command_line, const config::LoadResult& loaded,
          proxy::Predecessor& predecessor) {
  const config::ConfigPtr& config = loaded.config;
  auto instance = proxy::Instance::create(
      config,
      [command_line](const config::Again& again) {
        return config::config_from_command_line(command_line, again);
      },
      predecessor, loaded.text);
  if (!instance.ok()) return cannot_start(instance.status(), predecessor);
  const auto engine = std::make_shared<admin::EngineOwner>(**instance);
  (*instance)->set_console(admin::make_console(engine));
  std::unique_ptr<admin::HttpServer> http;
  if (config->admin.http_port != 0) {
    auto started = admin::HttpServer::start(config->admin.http_host, config->admin.http_port,
                                            **instance, engine, {}, (*instance)->http_socket());
    if (!started.ok()) return cannot_start(started.status(), predecessor);
    http = std::move(*started);
    (*instance)->set_http({.fd = http->listening(),
                           .begin = [&http] { http->begin(); },
                           .retire = [&http] { http->retire(); }});
  }
  (*instance)->run();
  return config::kExitOk;
}

int run(const config::CommandLine& command_line, const config::LoadResult& loaded,
        proxy::Predecessor& predecessor) {
  // Signals are events of the control loop; threads inherit the mask.
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : proxy::Instance::kSignals) sigaddset(&set, signal);
  pthread_sigmask(SIG_BLOCK, &set, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
  proxy::configure_log(loaded.config->logging);
  const int code = serve(command_line, loaded, predecessor);
  proxy::close_log();
  return code;
}

int tell_route(const config::Config& config, const config::CommandLine::Route& asked) {
  spdlog::set_level(spdlog::level::off);
  const auto lines = proxy::offline_route(config, asked);
  if (!lines.ok()) {
    std::cerr << "weir: " << lines.status().message() << '\n';
    return config::kExitUsage;
  }
  for (const auto& line : *lines) std::cout << line << '\n';
  return config::kExitOk;
}

int import_pgbouncer(const config::CommandLine& asked) {
  const auto made = config::import_pgbouncer(asked.ini, asked.userlist);
  if (!made.ok()) {
    std::cerr << made.status().message() << '\n';
    return config::kExitBadConfig;
  }
  std::cout << made->toml;
  if (made->problems.empty()) return config::kExitOk;
  std::cerr << "weir: this has to be finished by hand:\n" << config::to_string(made->problems);
  return config::kExitBadConfig;
}

// The first of the file; null = it has none.
const config::User* who_may(const config::Config& config, Action action) {
  const auto found = std::ranges::find_if(config.users, [action](const config::User& user) {
    return user.admin || (user.stats && action == Action::kTop);
  });
  return found == config.users.end() ? nullptr : &*found;
}

// As libpq takes it: the first listener and this user, with a password if it stands there.
std::string console_of(const config::Config& config, const config::User* user) {
  std::string words = "dbname=weir";
  const auto add = [&words](const char* name, std::string_view value) {
    words.append(" ").append(name).append("='");
    for (const char c : value) {
      if (c == '\'' || c == '\\') words += '\\';
      words += c;
    }
    words += '\'';
  };
  if (!config.listeners.empty()) {
    const config::Listener& listener = config.listeners.front();
    const bool any = listener.host.empty() || listener.host == "0.0.0.0" || listener.host == "::";
    const std::string local = any ? "127.0.0.1" : listener.host;
    add("host", listener.unix_dir.empty() ? local : listener.unix_dir);
    add("port", std::to_string(listener.port));
  }
  if (user != nullptr) {
    add("user", user->name);
    const bool hashed =
        user->password.starts_with("SCRAM-SHA-256$") || user->password.starts_with("md5");
    if (!user->password.empty() && !hashed) add("password", user->password);
  }
  return words;
}

// nullopt: the configuration is wrong, or lets nobody do this, which was said.
std::optional<std::string> console_of(const config::CommandLine& asked) {
  if (asked.config_file.empty()) return asked.console;
  const auto loaded = config::config_from_command_line(asked);
  if (!loaded.config) {
    std::cerr << config::to_string(loaded.problems);
    return std::nullopt;
  }
  const config::User* user = who_may(*loaded.config, asked.action);
  if (user == nullptr && loaded.config->admin.peers.empty()) {
    std::cerr << "weir: " << asked.config_file << ": no user has admin = true"
              << (asked.action == Action::kTop ? " or stats = true\n" : "\n");
    return std::nullopt;
  }
  return console_of(*loaded.config, user);
}

int ask_console(const config::CommandLine& asked) {
  const auto conninfo = console_of(asked);
  if (!conninfo) return config::kExitBadConfig;
  if (asked.action == Action::kUpgrade) {
    return top::command(*conninfo, "UPGRADE");
  }
  return top::run(
      {.conninfo = *conninfo, .every_s = asked.top.every_s, .frames = asked.top.frames});
}

}  // namespace

int main(int argc, char** argv) {
  const auto command_line = config::parse_command_line(
      std::span<const char* const>(argv + 1, static_cast<std::size_t>(argc > 0 ? argc - 1 : 0)));
  if (!command_line.ok()) {
    std::cerr << "weir: " << command_line.status().message() << '\n';
    return config::kExitUsage;
  }
  if (command_line->action == Action::kHelp) {
    std::cout << config::help_text();
    return config::kExitOk;
  }
  if (command_line->action == Action::kVersion) {
    std::cout << "weir " WEIR_VERSION "\n";
    return config::kExitOk;
  }
  if (command_line->action == Action::kTop || command_line->action == Action::kUpgrade) {
    return ask_console(*command_line);
  }
  if (command_line->action == Action::kImportPgBouncer) return import_pgbouncer(*command_line);
  proxy::Predecessor predecessor;
  const auto loaded = config::config_from_command_line(*command_line);
  if (!loaded.config) {
    const std::string problems = config::to_string(loaded.problems);
    std::cerr << problems;
    predecessor.tell_failed(problems);
    return config::kExitBadConfig;
  }
  if (command_line->action == Action::kCheck) {
    if (const auto status = proxy::Instance::check(loaded.config); !status.ok()) {
      std::cerr << "weir: " << status.message() << '\n';
      return config::kExitBadConfig;
    }
    std::cout << config::describe(*loaded.config);
    return config::kExitOk;
  }
  if (command_line->action == Action::kRoute)
    return tell_route(*loaded.config, command_line->route);
  return run(*command_line, loaded, predecessor);
}
