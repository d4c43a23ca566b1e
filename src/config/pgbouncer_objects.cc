#include "config/pgbouncer_objects.h"

#include <algorithm>
#include <set>

#include "config/address.h"
#include "config/concat.h"
#include "config/problems.h"

namespace config {
namespace {

using Entry = PgBouncerSource::Entry;
constexpr std::size_t kNameMax = 63;

bool is_verifier(const std::string& secret) { return secret.starts_with("SCRAM-SHA-256$"); }
bool is_md5(const std::string& secret) {
  return secret.size() == 35 && secret.starts_with("md5") &&
         secret.find_first_not_of("0123456789abcdef", 3) == std::string::npos;
}

bool has_control_character(std::string_view text) {
  return std::ranges::any_of(
      text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

constexpr std::string_view kNameRule = "a name here has 1 to 63 bytes, no control characters";
bool is_name(std::string_view text) {
  return !text.empty() && text.size() <= kNameMax && !has_control_character(text);
}

std::string parameter(const Entry& entry, const std::string& key, const std::string& otherwise) {
  const auto found = entry.parameters.find(key);
  return found == entry.parameters.end() ? otherwise : found->second;
}

std::string mode_of(std::string text) {
  for (char& c : text) c = static_cast<char>(c | 0x20);
  return text;
}

std::vector<std::string> hosts_of(const std::string& list, const std::string& port) {
  std::vector<std::string> hosts;
  std::string host;
  for (const char c : list + ",") {
    if (c != ',') {
      host += c;
      continue;
    }
    const std::string endpoint =
        host.starts_with('/') ? concat(host, ":", port)
                              : format_endpoint(host, static_cast<std::uint16_t>(std::stoi(port)));
    host.clear();
    if (!parse_endpoint(endpoint)) return {};
    if (std::ranges::find(hosts, endpoint) == hosts.end()) hosts.push_back(endpoint);
  }
  return hosts.size() > 64 ? std::vector<std::string>{} : hosts;
}

void plan_clusters(const PgBouncerSource& source, ObjectPlan& plan) {
  std::map<std::pair<std::string, std::string>, std::size_t> known;
  const std::string socket_dir = source.text("unix_socket_dir");
  for (const Entry& entry : source.databases) {
    const std::string host = parameter(entry, "host", socket_dir);
    long number = 0;
    parse_whole(parameter(entry, "port", "5432"), number);
    const std::string port = concat(number);
    const auto [at, is_new] = known.try_emplace({host, port}, plan.clusters.size());
    if (is_new)
      plan.clusters.push_back({.host = host, .port = port, .hosts = hosts_of(host, port)});
    plan.cluster_of.push_back(at->second);
  }
  std::set<std::string> names;
  for (auto& cluster : plan.clusters) {
    std::string base = plan.clusters.size() == 1       ? "main"
                       : cluster.host.starts_with('/') ? "local"
                                                       : cluster.host.substr(0, 40);
    for (char& c : base) {
      if (c == '.' || c == ':' || c == ',') c = '-';
    }
    cluster.name = base;
    for (int n = 2; !names.insert(cluster.name).second; ++n) cluster.name = concat(base, "-", n);
  }
}

void plan_method(const PgBouncerSource& source, ObjectPlan& plan) {
  const std::string type = source.word("auth_type");
  const bool has_md5 =
      std::ranges::any_of(source.logins, [](const Login& login) { return is_md5(login.secret); });
  if (type == "trust" || type == "md5" || type == "scram-sha-256") {
    plan.method = type;
    if (!source.says("auth_type")) plan.method_note = "PgBouncer's default.";
  } else if (type == "any") {
    plan.method = "trust";
    plan.method_note =
        "auth_type any: everybody may log in, since there is no user; nobody commands the console.";
  } else if (type == "plain") {
    plan.method = "password";
    plan.method_note = "auth_type plain: here over TLS or a Unix socket only.";
  } else {
    plan.method = has_md5 ? "md5" : "scram-sha-256";
    plan.method_note = concat("auth_type ", type, " does not exist: passwords are asked for.");
  }
}

class Writer {
 public:
  Writer(const ObjectPlan& plan, const PgBouncerSource& source, TomlDraft& draft)
      : plan_(plan), source_(source), draft_(draft) {}

  void clusters() {
    if (plan_.clusters.size() > 1) {
      draft_.comment(
          "PgBouncer knows hosts, not which of them belong together: each became a cluster of its "
          "own. Put a primary and its replicas into one, and reads go to the replicas.");
    }
    const bool monitored = has_monitor_login();
    for (const auto& cluster : plan_.clusters) {
      if (cluster.hosts.empty()) continue;
      if (cluster.hosts.size() > 1) {
        draft_.comment(
            "PgBouncer connects to these in turn, whatever they are. Here writes go to the one "
            "that is the primary, and reads to its replicas.");
      }
      draft_.table(concat("clusters.", toml_text(cluster.name)));
      draft_.set("hosts", toml_list(cluster.hosts));
      if (!monitored && !monitor_user().empty()) {
        draft_.set("monitor.user", toml_text(monitor_user()),
                   "Weir measures the hosts with a login of its own, and knows no password in "
                   "plain text: give one of any user that may log in, as monitor.password.");
      }
      draft_.blank();
    }
  }

  void databases() {
    for (std::size_t i = 0; i < source_.databases.size(); ++i) {
      const Entry& entry = source_.databases[i];
      const auto& cluster = plan_.clusters[plan_.cluster_of[i]];
      const std::string_view why_not = entry.name == "weir"   ? "this name is our console's"
                                       : !is_name(entry.name) ? kNameRule
                                       : cluster.hosts.empty()
                                           ? "its host is nothing that Weir can connect to"
                                           : "";
      if (!why_not.empty()) {
        draft_.comment(
            concat("Not imported: database ", entry.name, " (", entry.where, "): ", why_not, "."));
        draft_.blank();
        continue;
      }
      database(entry, cluster.name);
    }
  }

  void users() {
    if (source_.word("auth_type") == "any") return;
    for (const std::string& name : names()) user(name);
  }

 private:
  std::string monitor_user() const {
    const auto found = std::ranges::find_if(source_.logins,
                                            [](const Login& login) { return is_name(login.user); });
    return found == source_.logins.end() ? "" : found->user;
  }
  bool has_monitor_login() const {
    const auto plain = [](const std::string& secret) {
      return !secret.empty() && !is_verifier(secret) && !is_md5(secret);
    };
    return !plan_.auth_user.empty() || std::ranges::any_of(source_.logins, [&](const Login& login) {
      return plain(login.secret);
    }) || std::ranges::all_of(source_.databases, [](const Entry& entry) {
      return entry.parameters.contains("user");
    });
  }

  void set_text(const Entry& entry, const std::string& theirs, std::string_view ours) {
    if (const auto found = entry.parameters.find(theirs); found != entry.parameters.end()) {
      draft_.set(ours, toml_text(found->second));
    }
  }
  bool set_name(const std::string& name, std::string_view ours) {
    if (name.empty()) return false;
    if (is_name(name)) {
      draft_.set(ours, toml_text(name));
    } else {
      draft_.comment(concat(ours, " ", name, ": ", kNameRule, "."));
    }
    return is_name(name);
  }
  void set_whole(const Entry* entry, const std::string& theirs, std::string_view ours,
                 long otherwise, long max) {
    long value = otherwise;
    if (entry != nullptr && entry->parameters.contains(theirs)) {
      parse_whole(entry->parameters.at(theirs), value);
    } else if (otherwise == 0) {
      return;
    }
    draft_.set(ours, concat(std::clamp(value, 0L, max)));
  }
  void set_mode(const Entry& entry) {
    if (entry.parameters.contains("pool_mode")) {
      draft_.set("pool_mode", toml_text(mode_of(entry.parameters.at("pool_mode"))));
    }
  }
  void set_pool(const Entry& entry) {
    set_whole(&entry, "pool_size", "pool.size", 0, 100'000);
    if (entry.parameters.contains("min_pool_size") || entry.parameters.contains("pool_size")) {
      // Capped at the size, as there; and the one for all may be larger than this pool's size.
      long size = source_.whole("default_pool_size"), min = source_.whole("min_pool_size");
      if (entry.parameters.contains("pool_size"))
        parse_whole(entry.parameters.at("pool_size"), size);
      if (entry.parameters.contains("min_pool_size")) {
        parse_whole(entry.parameters.at("min_pool_size"), min);
      }
      if (min > 0) draft_.set("pool.min", concat(size > 0 ? std::min(min, size) : min));
    }
    set_whole(&entry,
              entry.parameters.contains("reserve_pool") ? "reserve_pool" : "reserve_pool_size",
              "pool.reserve", 0, 100'000);
  }
  void tell_rest(const Entry& entry, std::span<const PgBouncerParameter> known) {
    for (const auto& parameter : known) {
      const auto said = entry.parameters.find(std::string(parameter.name));
      if (!parameter.ours.empty() || said == entry.parameters.end()) continue;
      draft_.comment(
          concat(parameter.name, " = ", said->second, " (", entry.where, "): ", parameter.note));
    }
  }

  void database(const Entry& entry, const std::string& cluster) {
    draft_.table(concat("databases.", toml_text(entry.name)));
    draft_.set("cluster", toml_text(cluster));
    set_name(parameter(entry, "dbname", ""), "dbname");
    if (const std::string user = parameter(entry, "user", ""); set_name(user, "user")) {
      const std::string* known = source_.secret(user);
      if (entry.parameters.contains("password")) {
        set_text(entry, "password", "password");
      } else if (known != nullptr && is_verifier(*known)) {
        draft_.comment("Its password is known as a SCRAM verifier, with which nobody can log in.");
      } else if (known != nullptr) {
        draft_.set("password", toml_text(*known));
      }
    } else if (entry.parameters.contains("password")) {
      draft_.comment("password: not needed without user.");
    }
    set_mode(entry);
    set_pool(entry);
    set_whole(&entry, "max_db_connections", "max_connections", source_.whole("max_db_connections"),
              100'000);
    set_whole(&entry, "max_db_client_connections", "max_client_connections",
              source_.whole("max_db_client_connections"), 1'000'000);
    if (const std::string user = parameter(entry, "auth_user", ""); set_name(user, "auth_user")) {
      if (const auto* secret = source_.secret(user)) {
        draft_.set("auth_password", toml_text(*secret));
      }
    }
    if (is_auth_query(parameter(entry, "auth_query", "$1"))) {
      set_text(entry, "auth_query", "auth_query");
    } else {
      draft_.comment("auth_query: one here has $1, the user's name, and at most 8 kB.");
    }
    tell_rest(entry, pgbouncer_database_parameters());
    draft_.blank();
  }

  std::vector<std::string> listed(std::string_view setting) const {
    std::vector<std::string> found;
    std::string name;
    for (const char c : source_.text(setting) + ",") {
      if (c == ' ' || c == '\t') continue;
      if (c != ',') {
        name += c;
      } else if (!name.empty()) {
        found.push_back(std::exchange(name, ""));
      }
    }
    return found;
  }

  std::vector<std::string> names() const {
    std::vector<std::string> all;
    std::set<std::string> seen;
    const auto add = [&](const std::string& name) {
      if (seen.insert(name).second) all.push_back(name);
    };
    for (const Login& login : source_.logins) add(login.user);
    for (const Entry& entry : source_.users) add(entry.name);
    for (const char* setting : {"admin_users", "stats_users"}) {
      for (const auto& name : listed(setting)) add(name);
    }
    return all;
  }

  std::string_view why_no_user(const std::string& name, const std::string* secret) const {
    if (!is_name(name)) return kNameRule;
    if (plan_.method == "scram-sha-256" && secret != nullptr && is_md5(*secret)) {
      return "an md5 hash, and auth.method is scram-sha-256: PgBouncer refuses it, too";
    }
    if (secret == nullptr && plan_.method != "trust" && !plan_.looks_up) {
      return "it has no password: PgBouncer refuses it, too";
    }
    return "";
  }

  void user(const std::string& name) {
    const std::string* secret = source_.secret(name);
    if (const auto why = why_no_user(name, secret); !why.empty()) {
      draft_.comment(concat("Not imported: user ", name, ": ", why, "."));
      draft_.blank();
      return;
    }
    const auto entry = std::ranges::find(source_.users, name, &Entry::name);
    const Entry* own = entry == source_.users.end() ? nullptr : &*entry;
    draft_.table(concat("users.", toml_text(name)));
    if (secret != nullptr) draft_.set("password", toml_text(*secret));
    const auto is_listed = [&](std::string_view setting) {
      const auto all = listed(setting);
      return std::ranges::find(all, name) != all.end();
    };
    if (is_listed("admin_users")) draft_.set("admin", "true");
    if (is_listed("stats_users")) draft_.set("stats", "true");
    if (own != nullptr) {
      set_mode(*own);
      set_pool(*own);
    }
    set_whole(own, "max_user_connections", "max_connections", source_.whole("max_user_connections"),
              100'000);
    set_whole(own, "max_user_client_connections", "max_client_connections",
              source_.whole("max_user_client_connections"), 1'000'000);
    if (own != nullptr) tell_rest(*own, pgbouncer_user_parameters());
    draft_.blank();
  }

  const ObjectPlan& plan_;
  const PgBouncerSource& source_;
  TomlDraft& draft_;
};

}  // namespace

bool is_auth_query(std::string_view query) {
  constexpr std::size_t kSqlMax = 8192;
  std::string without_tabs(query);
  std::erase(without_tabs, '\t');
  std::erase(without_tabs, '\r');
  return query.find("$1") != std::string_view::npos && query.size() <= kSqlMax &&
         !has_control_character(without_tabs);
}

ObjectPlan plan_objects(const PgBouncerSource& source) {
  ObjectPlan plan;
  plan_method(source, plan);
  plan.auth_user = source.text("auth_user");
  if (!is_name(plan.auth_user)) plan.auth_user.clear();
  plan.looks_up =
      !plan.auth_user.empty() || std::ranges::any_of(source.databases, [](const Entry& entry) {
        return entry.parameters.contains("auth_user");
      });
  plan_clusters(source, plan);
  return plan;
}

void write_objects(const ObjectPlan& plan, const PgBouncerSource& source, TomlDraft& draft) {
  Writer writer(plan, source, draft);
  writer.clusters();
  writer.databases();
  writer.users();
}

}  // namespace config
