#include "config/pgbouncer_import.h"

#include <algorithm>
#include <cmath>

#include "config/address.h"
#include "config/concat.h"
#include "config/pgbouncer_objects.h"
#include "config/pgbouncer_source.h"
#include "config/problems.h"
#include "config/toml_draft.h"
#include "config/units.h"

namespace config {
namespace {

constexpr milliseconds kDay = std::chrono::hours(24);

std::vector<std::string> comma_separated(const std::string& text) {
  std::vector<std::string> parts;
  std::string part;
  for (const char c : text + ",") {
    if (c != ',') {
      part += c;
      continue;
    }
    part.erase(0, part.find_first_not_of(" \t"));
    part.erase(part.find_last_not_of(" \t") + 1);
    if (!part.empty()) parts.push_back(std::exchange(part, ""));
    part.clear();
  }
  return parts;
}

class Import {
 public:
  explicit Import(const PgBouncerSource& source) : source_(source), plan_(plan_objects(source)) {}

  std::string text(const std::string& ini) {
    draft_.comment(concat("Imported from ", ini, " by weir import-pgbouncer."));
    draft_.blank();
    listen();
    mode();
    own_number();
    draft_.blank();
    pool();
    tls();
    tcp();
    write_objects(plan_, source_, draft_);
    auth();
    timeouts();
    limits();
    log();
    peers();
    rest();
    return draft_.text();
  }

 private:
  void listen() {
    const std::string port = source_.text("listen_port");
    std::vector<std::string> addresses;
    for (std::string host : comma_separated(source_.text("listen_addr"))) {
      if (host == "localhost") host = "127.0.0.1";
      const std::string address = host.find(':') == std::string::npos
                                      ? concat(host, ":", port)
                                      : concat("[", host, "]:", port);
      if (parse_listener(address)) {
        addresses.push_back(address);
      } else {
        draft_.comment(concat("listen_addr ", host, ": a name; listen needs addresses."));
      }
    }
    const std::string directory = source_.text("unix_socket_dir");
    const std::string unix_address = concat("unix:", directory, ":", port);
    if (!directory.empty() && parse_listener(unix_address)) {
      addresses.push_back(unix_address);
      if (!source_.says("unix_socket_dir")) {
        draft_.comment("unix_socket_dir is not set: PgBouncer's default is /tmp.");
      }
    } else if (!directory.empty()) {
      draft_.comment(concat("unix_socket_dir ", directory, ": not a folder that listen can have."));
    }
    if (addresses.empty()) {
      draft_.comment("PgBouncer would listen nowhere, or where listen cannot.");
      addresses.push_back("127.0.0.1:6432");
    }
    draft_.set("listen", toml_list(addresses));
  }

  void mode() {
    const std::string mode = source_.word("pool_mode");
    draft_.set("pool_mode", toml_text(mode),
               mode != "session"
                   ? ""
                   : concat(source_.says("pool_mode") ? "" : "PgBouncer's default. ",
                            "In this mode everything goes to the primary. In \"transaction\", "
                            "which here keeps the state of sessions, reads go to replicas."));
  }

  void own_number() {
    const long number = source_.whole("peer_id");
    if (number == 0) return;
    if (number > 0 && number <= Peer::kNumberMax) return draft_.set("peer_id", concat(number));
    draft_.comment(concat("peer_id = ", number, ": too large, numbers of peers end at ",
                          Peer::kNumberMax, "."));
  }

  // One process uses all cores: of several on one machine, which share a port, one is enough.
  void peers() {
    if (source_.peers.empty()) return;
    for (const auto& theirs : source_.peers) {
      const auto said = [&](const char* key) {
        const auto found = theirs.parameters.find(key);
        return found == theirs.parameters.end() ? std::string() : found->second;
      };
      const std::string host = said("host"), port = said("port");
      Peer peer{.name = theirs.name};
      if (peer.number() == 0 || host.empty() || !parse_endpoint(host)) {
        draft_.comment(concat("[peers] ", theirs.name, " (", theirs.where,
                              "): needs a number from 1 to ", Peer::kNumberMax, " and a host."));
        continue;
      }
      draft_.table(concat("peers.", theirs.name));
      draft_.set("host", toml_text(host));
      if (!port.empty()) draft_.set("port", port);
      draft_.blank();
    }
    if (source_.whole("peer_id") == 0) {
      draft_.comment("peer_id is not set: Weir wants one where there are peers.");
    }
  }

  void pool() {
    draft_.table("pool");
    const long size = whole("default_pool_size", "size", 0, 100'000);
    if (size == 0) draft_.comment("0 is no limit here; for PgBouncer it is no connection at all.");
    set_whole("min", std::min(source_.whole("min_pool_size"), size == 0 ? 100'000 : size), 0,
              100'000, source_.says("min_pool_size"));
    whole("reserve_pool_size", "reserve", 0, 100'000);
    draft_.blank();
  }

  // Those that are not said are left to our own default, which is the same.
  long whole(std::string_view setting, std::string_view key, long min, long max) {
    return set_whole(key, source_.whole(setting), min, max, source_.says(setting));
  }
  long set_whole(std::string_view key, long value, long min, long max, bool said) {
    const long clamped = std::clamp(value, min, max);
    if (!said) return clamped;
    draft_.set(key, concat(clamped),
               clamped == value ? "" : concat("PgBouncer's is ", value, ", out of our range."));
    return clamped;
  }

  void tls_side(const std::string& side, std::string_view table, bool always) {
    const std::string mode = source_.word(concat(side, "_tls_sslmode"));
    if (mode == "disable") return;
    draft_.table(table);
    draft_.set("mode", toml_text(mode), always ? "PgBouncer's default, from 1.25 on." : "");
    for (const char* file : {"cert_file", "key_file", "ca_file"}) {
      const std::string setting = concat(side, "_tls_", file);
      if (!source_.text(setting).empty()) draft_.set(file, toml_text(source_.text(setting)));
    }
    draft_.blank();
  }
  void tls() {
    tls_side("client", "tls.client", false);
    tls_side("server", "tls.server", !source_.says("server_tls_sslmode"));
  }

  void tcp() {
    const bool off = source_.whole("tcp_keepalive") == 0;
    struct Key {
      const char *setting, *key, *unit;
      long max;
    };
    constexpr Key kKeys[] = {{"tcp_keepidle", "keepidle", "s", 32767},
                             {"tcp_keepintvl", "keepintvl", "s", 32767},
                             {"tcp_keepcnt", "keepcnt", "", 127},
                             {"tcp_user_timeout", "user_timeout", "ms", 86'400'000}};
    const bool any = off || std::ranges::any_of(kKeys, [&](const Key& key) {
                       return source_.whole(key.setting) > 0;
                     });
    if (!any) return;
    for (const char* table : {"tcp.client", "tcp.server"}) {
      draft_.table(table);
      if (off) draft_.set("keepidle", "0");
      for (const Key& key : kKeys) {
        const long value = std::min(source_.whole(key.setting), key.max);
        if (value <= 0 || (off && key.key == std::string_view("keepidle"))) continue;
        draft_.set(key.key, *key.unit == '\0' ? concat(value) : toml_text(concat(value, key.unit)));
      }
      draft_.blank();
    }
  }

  void auth() {
    draft_.table("auth");
    draft_.set("method", toml_text(plan_.method), plan_.method_note);
    if (plan_.auth_user.empty() && source_.says("auth_query")) {
      draft_.comment("auth_query: not needed without auth_user.");
    }
    if (!plan_.auth_user.empty()) {
      draft_.set("user", toml_text(plan_.auth_user));
      if (const auto* secret = source_.secret(plan_.auth_user)) {
        draft_.set("password", toml_text(*secret));
      }
    }
    const std::string query = source_.text("auth_query");
    if (source_.says("auth_query") && is_auth_query(query)) {
      draft_.set("query", toml_text(query));
    } else if (source_.says("auth_query")) {
      draft_.comment("auth_query: one here has $1, the user's name, and at most 8 kB.");
    }
    if (const std::string name = source_.text("auth_dbname"); !name.empty()) {
      const auto entry = std::ranges::find(source_.databases, name, &PgBouncerSource::Entry::name);
      const bool renamed = entry != source_.databases.end() && entry->parameters.contains("dbname");
      draft_.set("database", toml_text(renamed ? entry->parameters.at("dbname") : name),
                 "On the servers of the database that the client asked for.");
    }
    draft_.blank();
  }

  void duration(std::string_view setting, std::string_view key, milliseconds min,
                milliseconds max) {
    if (source_.says(setting)) set_duration(key, source_.seconds(setting), min, max);
  }
  void set_duration(std::string_view key, double seconds, milliseconds min, milliseconds max,
                    std::string_view why = "") {
    const double ms = std::min(std::ceil(seconds * 1000), static_cast<double>(max.count()));
    const milliseconds value = std::max(min, milliseconds(static_cast<std::int64_t>(ms)));
    draft_.set(key, toml_text(format_duration(value)), why);
  }
  void timeouts() {
    constexpr milliseconds kNone{0}, kYear = 365 * kDay;
    draft_.table("timeouts");
    duration("client_login_timeout", "login", kNone, kDay);
    duration("server_connect_timeout", "connect", milliseconds(1), std::chrono::hours(1));
    duration("query_wait_timeout", "query_wait", kNone, kDay);
    duration("query_wait_notify", "wait_notice", kNone, kDay);
    duration("reserve_pool_timeout", "reserve", kNone, kDay);
    duration("server_idle_timeout", "server_idle", kNone, kYear);
    if (source_.says("server_lifetime")) {
      const bool once = source_.seconds("server_lifetime") == 0;
      set_duration("server_lifetime", source_.seconds("server_lifetime"),
                   milliseconds(once ? 1 : 0), kYear,
                   once ? "0 is once only for PgBouncer, and for ever here." : "");
    }
    if (source_.says("server_login_retry")) {
      set_duration("server_retry", source_.seconds("server_login_retry") / 15, kNone,
                   std::chrono::hours(1), "The first pause; it grows to 15 times that.");
    }
    duration("idle_transaction_timeout", "idle_in_transaction", kNone, kYear);
    duration("transaction_timeout", "transaction", kNone, kYear);
    duration("query_timeout", "query", kNone, kYear);
    duration("client_idle_timeout", "client_idle", kNone, kYear);
    draft_.blank();
  }

  void limits() {
    draft_.table("limits");
    const long clients = std::clamp(source_.whole("max_client_conn"), 1L, 1'000'000L);
    draft_.set("clients", concat(clients),
               source_.says("max_client_conn") ? "" : "PgBouncer's default.");
    if (source_.says("max_packet_size")) {
      const long bytes = std::clamp(source_.whole("max_packet_size"), 65'536L, 1L << 30);
      draft_.set("message_bytes", concat(bytes));
    }
    if (source_.says("max_prepared_statements")) {
      const long count = source_.whole("max_prepared_statements");
      draft_.set("prepared_statements", concat(count <= 0 ? 200 : std::min(count, 100'000L)),
                 count <= 0 ? "0 turns them off for PgBouncer; here they always work." : "");
    }
    draft_.blank();
  }

  void log() {
    draft_.table("log");
    const bool connections =
        source_.whole("log_connections") != 0 || source_.whole("log_disconnections") != 0;
    draft_.set("connections", connections ? "true" : "false");
    const std::string file = source_.text("logfile");
    if (!file.empty()) draft_.set("file", toml_text(file));
    if (source_.whole("syslog") != 0) {
      const std::string why = file.empty() ? "" : "syslog: not together with a file.";
      if (file.empty()) {
        draft_.set("output", toml_text("syslog"));
        draft_.set("ident", toml_text(source_.text("syslog_ident")));
        draft_.set("facility", toml_text(source_.word("syslog_facility")));
      }
      draft_.comment(why);
    }
    if (const long verbose = source_.whole("verbose"); verbose > 0) {
      draft_.set("level", verbose == 1 ? "\"debug\"" : "\"trace\"");
    }
    draft_.blank();
  }

  // What was said and has no counterpart, in the order of the table.
  void rest() {
    std::string same;
    bool titled = false;
    for (const PgBouncerSetting& setting : pgbouncer_settings()) {
      const auto said = source_.settings.find(setting.name);
      if (said == source_.settings.end()) continue;
      if (!setting.ours.empty()) continue;
      if (said->second.text == setting.default_value) {
        append(same, same.empty() ? "" : ", ", setting.name);
        continue;
      }
      if (!std::exchange(titled, true)) draft_.comment("Without a counterpart:");
      draft_.comment(concat("- ", setting.name, " = ", said->second.text, " (", said->second.where,
                            "): ", setting.note));
    }
    if (!same.empty()) draft_.comment(concat("Without one, and at PgBouncer's default: ", same));
  }

  const PgBouncerSource& source_;
  const ObjectPlan plan_;
  TomlDraft draft_;
};

}  // namespace

absl::StatusOr<PgBouncerImport> import_pgbouncer(const std::string& ini,
                                                 const std::string& userlist) {
  const auto source = read_pgbouncer(ini, userlist);
  if (!source.ok()) return source.status();
  PgBouncerImport made{.toml = Import(*source).text(ini)};
  made.problems = load_text(made.toml, "weir.toml", {}).problems;
  return made;
}

}  // namespace config
