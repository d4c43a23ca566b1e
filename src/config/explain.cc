#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "absl/strings/str_join.h"
#include "config/address.h"
#include "config/concat.h"
#include "config/describe.h"
#include "config/problems.h"
#include "config/settings.h"
#include "config/units.h"
#include "config/words.h"

namespace config {
namespace {

// A visitor that makes a row of each setting. In the tables of clusters, databases, users, peers
// and rules it knows the default, the prototype's; elsewhere it leaves that open.
class RowLister {
 public:
  explicit RowLister(std::string prefix) : prefix_(std::move(prefix)) {}

  void whole(std::string_view key, std::uint64_t value, WholeRange) { add(key, concat(value)); }
  void size(std::string_view key, std::uint64_t value, SizeRange) { add(key, format_size(value)); }
  void duration(std::string_view key, milliseconds value, DurationRange) {
    add(key, format_duration(value));
  }
  void ratio(std::string_view key, double value, RatioRange) { add(key, concat(value)); }
  void flag(std::string_view key, bool value) { add(key, value ? "true" : "false"); }
  template <class Enum>
  void word(std::string_view key, Enum value) {
    add(key, std::string(config::word(value)));
  }
  template <class Enum>
  void word(std::string_view key, std::optional<Enum> value) {
    add(key, value ? std::string(config::word(*value)) : "");
  }
  void text(std::string_view key, const std::string& value, TextKind) { add(key, value); }
  void path(std::string_view key, const std::string& value) { add(key, value); }
  void secret(std::string_view key, const std::string& value) {
    add(key, value.empty() ? "" : "********");
  }
  void functions(std::string_view key, const std::vector<std::string>& value) {
    add(key, absl::StrJoin(value, ", "));
  }
  void list(std::string_view key, const std::vector<std::string>& value, ListKind) {
    add(key, absl::StrJoin(value, ", "));
  }
  void listeners(std::string_view key, const std::vector<Listener>& value) {
    add(key, absl::StrJoin(value, ", ", [](std::string* out, const Listener& listener) {
          out->append(format_listener(listener));
        }));
  }
  void http(std::string_view key, const Admin& value) {
    add(key, value.http_port == 0 ? "" : format_endpoint(value.http_host, value.http_port));
  }
  void host(std::string_view key, const Host& value) { add(key, value.host); }
  void hosts(std::string_view key, const std::vector<Host>& value) {
    add(key, absl::StrJoin(value, ", ", [](std::string* out, const Host& host) {
          out->append(format_endpoint(host.host, host.port));
          if (host.role != HostRole::kAuto) append(*out, " ", config::word(host.role));
          if (host.weight != 1) append(*out, " weight ", host.weight);
          if (!host.zone.empty()) append(*out, " zone ", host.zone);
        }));
  }
  void pool(std::string_view key, const std::optional<PoolSizes>& value, const PoolSizes& base) {
    section(key, [&](RowLister& inner) { visit_pool(inner, value ? *value : base); });
  }
  template <class Visit>
  void section(std::string_view key, const Visit& visit) {
    RowLister inner(key_below(prefix_, key));
    visit(inner);
    add_all(inner);
  }
  template <class T, class Visit>
  void named(std::string_view key, const std::vector<T>& value, const T& prototype, std::size_t,
             const Visit& visit) {
    for (const T& element : value) {
      RowLister inner(key_below(key_below(prefix_, key), element.name));
      RowLister defaults("");
      visit(inner, element);
      visit(defaults, prototype);
      for (std::size_t i = 0; i < inner.rows_.size(); ++i) {
        inner.rows_[i].default_value = defaults.rows_[i].value;
      }
      add_all(inner);
    }
  }

  template <class T, class Visit>
  void listed(std::string_view key, const std::vector<T>& value, std::size_t count_max,
              const Visit& visit) {
    named(key, value, T{}, count_max, visit);
  }

  std::vector<ConfigRow> take() { return std::move(rows_); }

 private:
  void add(std::string_view key, std::string value) {
    rows_.push_back({.key = key_below(prefix_, key), .value = std::move(value)});
  }
  void add_all(RowLister& inner) {
    std::move(inner.rows_.begin(), inner.rows_.end(), std::back_inserter(rows_));
  }

  std::string prefix_;
  std::vector<ConfigRow> rows_;
};

std::map<std::string, std::string> global_defaults() {
  Config defaults;
  defaults.listeners.emplace_back();
  RowLister lister("");
  visit_config(lister, std::as_const(defaults));
  std::map<std::string, std::string> values;
  for (ConfigRow& row : lister.take()) values.emplace(row.key, row.value);
  return values;
}

}  // namespace

std::vector<ConfigRow> explain(const Config& config) {
  RowLister lister("");
  visit_config(lister, config);
  std::vector<ConfigRow> rows = lister.take();
  const std::map<std::string, std::string> defaults = global_defaults();
  for (ConfigRow& row : rows) {
    const auto global = defaults.find(row.key);
    if (global != defaults.end()) row.default_value = global->second;
    row.changeable = std::find(std::begin(kRestartKeys), std::end(kRestartKeys), row.key) ==
                     std::end(kRestartKeys);
  }
  return rows;
}

std::vector<ConfigRow> explain_general(const Config& config) {
  Config general = config;
  general.clusters.clear();
  general.databases.clear();
  general.users.clear();
  general.peers.clear();
  general.rules.clear();
  return explain(general);
}

}  // namespace config
