#include "config/pgbouncer_source.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "config/concat.h"
#include "config/files.h"
#include "config/load.h"
#include "config/problems.h"
#include "config/suggest.h"

namespace config {
namespace {

constexpr int kIncludeDepthMax = 10;  // MAX_INCLUDE
constexpr int kFilesMax = 1000;
constexpr std::size_t kEntriesMax = 100'000;
constexpr std::size_t kSourceBytesMax = 16u << 20;  // of all files that are read

using Entry = PgBouncerSource::Entry;

bool is_one_of(const std::string& text, std::initializer_list<std::string_view> words) {
  return std::ranges::find(words, std::string_view(text)) != words.end();
}

bool is_pool_mode(const std::string& text) {
  return is_one_of(lower(text), {"session", "transaction", "statement"});
}

// "" = right; else what was expected.
std::string_view what_is_wrong(PgBouncerKind kind, const std::string& value) {
  using enum PgBouncerKind;
  long whole = 0;
  double seconds = 0;
  switch (kind) {
    case kText:
      return "";
    case kWhole:
      return parse_whole(value, whole) ? "" : "a whole number";
    case kSeconds:
      return parse_seconds(value, seconds) ? "" : "a number of seconds";
    case kSecondsOrNone:
      return value == "-1" || parse_seconds(value, seconds) ? "" : "a number of seconds";
    case kPort:
      return parse_whole(value, whole) && whole > 0 && whole < 65536 ? "" : "1 to 65535";
    case kPoolMode:
      return is_pool_mode(value) ? "" : "session, transaction or statement";
    case kSslMode:
      return is_one_of(lower(value),
                       {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"})
                 ? ""
                 : "disable, allow, prefer, require, verify-ca or verify-full";
    case kAuthType:
      return is_one_of(lower(value), {"any", "trust", "plain", "md5", "cert", "hba", "ldap", "pam",
                                      "scram-sha-256"})
                 ? ""
                 : "any, trust, plain, md5, scram-sha-256, cert, hba, ldap or pam";
  }
  return "";
}

class SourceReader {
 public:
  absl::Status read_ini(const std::string& file, int depth) {
    if (depth > kIncludeDepthMax) {
      return absl::InvalidArgumentError(concat(file, ": more than 10 files include each other"));
    }
    const auto text = open(file);
    if (!text.ok()) return text.status();
    const auto items = parse_ini(*text);
    if (!items.ok()) {
      return absl::InvalidArgumentError(concat(file, ":", items.status().message()));
    }
    for (const IniItem& item : *items) {
      if (auto status = take(item, file, depth); !status.ok()) return status;
    }
    return absl::OkStatus();
  }

  absl::Status read_userlist(const std::string& file) {
    const auto text = open(file);
    if (!text.ok()) return text.status();
    auto logins = parse_userlist(*text);
    if (!logins.ok()) {
      return absl::InvalidArgumentError(concat(file, ":", logins.status().message()));
    }
    if (logins->size() > kEntriesMax) {
      return absl::InvalidArgumentError(concat(file, ": more than ", kEntriesMax, " users"));
    }
    std::map<std::string, std::size_t> known;
    for (Login& login : *logins) {
      const auto [at, is_new] = known.emplace(login.user, source_.logins.size());
      if (is_new) {
        source_.logins.push_back(std::move(login));
      } else {
        source_.logins[at->second] = std::move(login);
      }
    }
    source_.auth_file = file;
    return absl::OkStatus();
  }

  bool has_main_section() const { return main_section_; }
  PgBouncerSource& source() { return source_; }

 private:
  absl::StatusOr<std::string> open(const std::string& file) {
    if (++files_ > kFilesMax) {
      return absl::InvalidArgumentError(concat(file, ": more than ", kFilesMax, " files"));
    }
    auto text = read_file(file, kFileBytesMax);
    if (!text.ok()) {
      return absl::NotFoundError(concat(file, ": cannot be read: ", text.status().message()));
    }
    bytes_ += text->size();
    if (bytes_ > kSourceBytesMax) {
      return absl::InvalidArgumentError(
          concat(file, ": all files together are longer than ", kSourceBytesMax, " bytes"));
    }
    return text;
  }

  absl::Status take(const IniItem& item, const std::string& file, int depth) {
    const std::string where = concat(file, ":", item.line);
    const auto refuse = [&](std::string_view what) {
      return absl::InvalidArgumentError(concat(where, ": ", what));
    };
    if (item.kind == IniItem::Kind::kInclude) {
      if (item.value.empty()) return refuse("expected the name of a file behind %include");
      const absl::Status status = read_ini(item.value, depth + 1);
      if (absl::IsNotFound(status)) return refuse(concat("%include: ", status.message()));
      return status;
    }
    if (item.kind == IniItem::Kind::kSection) {
      if (!is_one_of(item.name, {"pgbouncer", "databases", "users", "peers"})) {
        return refuse(concat("unknown section ", quoted(item.name)));
      }
      section_ = item.name;
      if (section_ == "pgbouncer") {
        main_section_ = true;
        source_.settings.clear();  // as there: a second one starts from the defaults again
      }
      return absl::OkStatus();
    }
    if (section_.empty()) return refuse("expected a [section] in front of the first value");
    if (section_ == "pgbouncer") return take_setting(item, where);
    if (section_ == "databases") {
      return take_entry(item, where, pgbouncer_database_parameters(), source_.databases);
    }
    if (section_ == "users") {
      return take_entry(item, where, pgbouncer_user_parameters(), source_.users);
    }
    return take_entry(item, where, pgbouncer_peer_parameters(), source_.peers);
  }

  absl::Status take_setting(const IniItem& item, const std::string& where) {
    const PgBouncerSetting* setting = find_pgbouncer_setting(item.name);
    if (setting == nullptr) {
      std::vector<std::string> names;
      for (const auto& known : pgbouncer_settings()) names.emplace_back(known.name);
      return absl::InvalidArgumentError(concat(where, ": unknown setting ", quoted(item.name),
                                               did_you_mean(nearest(item.name, names))));
    }
    if (const auto wrong = what_is_wrong(setting->kind, item.value); !wrong.empty()) {
      return absl::InvalidArgumentError(
          concat(where, ": ", item.name, ": expected ", wrong, ", found ", quoted(item.value)));
    }
    source_.settings.insert_or_assign(item.name, PgBouncerSource::Value{item.value, where});
    return absl::OkStatus();
  }

  absl::Status take_entry(const IniItem& item, const std::string& where,
                          std::span<const PgBouncerParameter> known, std::vector<Entry>& into) {
    const auto refuse = [&](std::string_view what) {
      return absl::InvalidArgumentError(concat(where, ": ", item.name, ": ", what));
    };
    if (section_ == "databases" && item.name == "pgbouncer") {
      return refuse("this name is the console's");
    }
    const auto pairs = parse_pairs(item.value);
    if (!pairs.ok()) return refuse(concat(pairs.status().message()));
    Entry entry{.name = item.name, .where = where};
    for (const Pair& pair : *pairs) {
      const auto* found = std::ranges::find(known.data(), known.data() + known.size(),
                                            std::string_view(pair.key), &PgBouncerParameter::name);
      if (found == known.data() + known.size()) {
        return refuse(concat("unknown parameter ", quoted(pair.key)));
      }
      if (const auto wrong = what_is_wrong(found->kind, pair.value); !wrong.empty()) {
        return refuse(concat(pair.key, ": expected ", wrong, ", found ", quoted(pair.value)));
      }
      const bool unset = pair.value == "-1" && (found->kind == PgBouncerKind::kWhole ||
                                                found->kind == PgBouncerKind::kSecondsOrNone);
      if (unset) {
        entry.parameters.erase(pair.key);
      } else {
        entry.parameters[pair.key] = pair.value;
      }
    }
    const auto [at, is_new] = places_.try_emplace({section_, item.name}, into.size());
    if (!is_new) {
      into[at->second] = std::move(entry);
    } else if (into.size() == kEntriesMax) {
      return refuse(concat("more than ", kEntriesMax, " of them"));
    } else {
      into.push_back(std::move(entry));
    }
    return absl::OkStatus();
  }

  PgBouncerSource source_;
  std::string section_;
  bool main_section_ = false;
  std::size_t bytes_ = 0;
  int files_ = 0;
  std::map<std::pair<std::string, std::string>, std::size_t> places_;  // section, name
};

}  // namespace

bool parse_whole(const std::string& text, long& value) {
  char* end = nullptr;
  errno = 0;
  value = std::strtol(text.c_str(), &end, 0);
  return errno == 0 && end != text.c_str() && *end == '\0' &&
         value >= std::numeric_limits<int>::min() && value <= std::numeric_limits<int>::max();
}

bool parse_seconds(const std::string& text, double& value) {
  char* end = nullptr;
  value = std::strtod(text.c_str(), &end);
  return end != text.c_str() && *end == '\0' && std::isfinite(value) && value >= 0;
}

std::string PgBouncerSource::text(std::string_view setting) const {
  if (const auto found = settings.find(setting); found != settings.end()) return found->second.text;
  return std::string(find_pgbouncer_setting(setting)->default_value);
}

long PgBouncerSource::whole(std::string_view setting) const {
  long value = 0;
  parse_whole(text(setting), value);
  return value;
}

double PgBouncerSource::seconds(std::string_view setting) const {
  double value = 0;
  parse_seconds(text(setting), value);
  return value;
}

std::string PgBouncerSource::word(std::string_view setting) const { return lower(text(setting)); }

const std::string* PgBouncerSource::secret(std::string_view user) const {
  const auto found = std::ranges::find(logins, user, &Login::user);
  return found == logins.end() || found->secret.empty() ? nullptr : &found->secret;
}

absl::StatusOr<PgBouncerSource> read_pgbouncer(const std::string& ini,
                                               const std::string& userlist) {
  SourceReader reader;
  if (auto status = reader.read_ini(ini, 0); !status.ok()) return status;
  if (!reader.has_main_section()) {
    return absl::InvalidArgumentError(concat(ini, ": there is no section [pgbouncer]"));
  }
  if (reader.source().databases.empty()) {
    return absl::InvalidArgumentError(concat(ini, ": there is nothing in [databases]"));
  }
  std::string file = userlist.empty() ? reader.source().text("auth_file") : userlist;
  if (file.empty()) return std::move(reader.source());
  // PgBouncer starts relative names in its working directory, which may not be ours.
  if (userlist.empty() && !readable(file).ok() && readable(resolve(ini, file)).ok()) {
    file = resolve(ini, file);
  }
  if (auto status = reader.read_userlist(file); !status.ok()) {
    if (!userlist.empty() || !absl::IsNotFound(status)) return status;
    return absl::NotFoundError(concat(reader.source().settings.find("auth_file")->second.where,
                                      ": auth_file: ", status.message(),
                                      " (weir import-pgbouncer INI USERLIST names another)"));
  }
  return std::move(reader.source());
}

}  // namespace config
