#include "sql/catalog.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "sql/custom_settings.h"
#include "sql/functions.h"
#include "sql/lexer.h"
#include "sql/words.h"

namespace sql {
namespace {

using Kind = CatalogObject::Kind;
using Trait = CatalogObject::Trait;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return last += kNames;
}

// Volatile functions of PostgreSQL's own extensions that change nothing, and triggers that change
// nothing but rows.
constexpr std::array<std::string_view, 11> kHarmlessExtension = {
    "autoinc",          "gen_random_bytes",   "gen_random_uuid", "gen_salt",
    "insert_username",  "lo_manage",          "moddatetime",     "triggered_change_notification",
    "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4"};

constexpr std::uint32_t kFirstUserOid = 16384;  // FirstNormalObjectId of access/transam.h

bool is_harmless_extension(const CatalogObject& object) {
  return object.body.empty() &&
         std::ranges::find(kHarmlessExtension, object.name) != kHarmlessExtension.end();
}

const char* kind_name(const CatalogObject& object) {
  switch (object.kind) {
    case Kind::kFunction:
      return "function ";
    case Kind::kRelation:
      return object.functions.empty() && object.relations.empty() ? "table " : "relation ";
    case Kind::kOperator:
      return "operator ";
    case Kind::kType:
      return "type ";
  }
  return "";
}

Finding own_finding(const CatalogObject& object) {
  const std::string named = kind_name(object) + object.name;
  if (object.kind == Kind::kRelation) {
    if (object.trait == Trait::kUnlogged)
      return {Access::kWrite, kNoResidue, named + " is unlogged", /*primary_only=*/true};
    if (object.trait == Trait::kSequence) {  // WAL has it up to 32 calls of nextval() ahead
      return {Access::kWrite, kNoResidue, "sequence " + object.name + " is ahead on a replica",
              /*primary_only=*/true};
    }
    if (object.trait == Trait::kForeign) return {Access::kWrite, kNoResidue, named + " is foreign"};
    if (object.trait == Trait::kLocking) return {Access::kWrite, kNoResidue, named + " locks rows"};
    if (object.oid < kFirstUserOid && shows_server(object.name)) {
      return {Access::kWrite, kNoResidue, object.name + " shows the server itself",
              /*primary_only=*/true};
    }
  }
  if (object.kind != Kind::kFunction) return {};
  if (object.oid < kFirstUserOid) {
    const auto known = builtin_effect(object.name);
    const bool is_volatile = known ? known->access == Access::kWrite
                                   : object.trait == Trait::kVolatile;  // of a newer PostgreSQL
    if (!is_volatile) return {};
    return {Access::kWrite, known ? known->residue : std::uint16_t{kOpaque}, named + " may write"};
  }
  if (object.trait != Trait::kVolatile || is_harmless_extension(object)) return {};
  return {Access::kWrite, kOpaque, named + " is volatile"};
}

// Of what an effect leaves, that which outlives its transaction and that a function's caller, who
// has not asked for it, must be kept from handing on. What is not there to be probed is named.
std::uint16_t left_by(const FunctionEffect& effect) {
  constexpr unsigned kLasting = kAdvisoryLock | kRandomSeed | kOpaque;
  const unsigned lasting = effect.residue & kLasting;
  return static_cast<std::uint16_t>(lasting == 0 ? 0 : kOpaque | (lasting & kRandomSeed));
}

// What running a function leaves by itself.
std::uint16_t own_left(const CatalogObject& object) {
  if (object.kind != Kind::kFunction) return kNoResidue;
  const bool may_change = object.trait == Trait::kVolatile || object.trait == Trait::kTrigger;
  if (object.oid < kFirstUserOid) {
    if (const auto known = builtin_effect(object.name)) return left_by(*known);
    return may_change ? kOpaque : kNoResidue;  // of a newer PostgreSQL
  }
  if (object.is_opaque) {
    return may_change && !is_harmless_extension(object) ? kOpaque : kNoResidue;
  }
  if (sets_unnamed(object.body)) return kOpaque | kUnnamedSetting;
  return may_leave(object.body) ? kOpaque : kNoResidue;
}

// Of what is not among the objects of a catalog that is not whole.
const Finding& unread_finding() {
  static const Finding kUnread{Access::kWrite, kOpaque,
                               "not read, the catalog is larger than monitor.catalog_bytes"};
  return kUnread;
}

bool is_of_system(std::string_view schema) {
  return schema == "pg_catalog" || schema == "information_schema";
}

std::size_t index_of(Kind kind) { return static_cast<std::size_t>(kind); }

// Why something that uses it is as demanding.
Finding through(const CatalogObject& user, const Finding& used) {
  Finding finding = used;
  // Whatever its body does, it was not the session's statement that did it.
  if (user.kind == Kind::kFunction) finding.residue |= kOpaque;
  finding.why = kind_name(user) + user.name + ": " + used.why;
  return finding;
}

// The names in a function's source, each with its schema ("" = none): those that a parenthesis
// follows, and the others.
class BodyWords {
 public:
  using Name = std::pair<std::string, std::string>;
  explicit BodyWords(std::string_view body) { read(body, 0); }
  absl::flat_hash_set<Name> called, named;

 private:
  static constexpr int kDepthMax = 3;  // of SQL in strings

  void read(std::string_view text, int depth) {
    Lexer lexer(text);
    std::string before;  // a name that a point follows
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.kind == TokenKind::kString && depth < kDepthMax && token.size() > 2) {
        read(inside_quotes(lexer.text(token)), depth + 1);
      }
      if (token.kind != TokenKind::kWord && token.kind != TokenKind::kQuotedName) {
        if (!lexer.is(token, '.')) before.clear();
        continue;
      }
      std::string word(lexer.text(token));
      if (token.kind == TokenKind::kQuotedName) {
        word = inside_quotes(word);
      } else {
        for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      }
      const char next = lexer.peek();
      (next == '(' ? called : named).emplace(before, word);
      before = next == '.' ? std::move(word) : "";
    }
  }
};

// As routing.harmless_functions has it.
bool is_said(const std::vector<std::string>& harmless, const CatalogObject& object) {
  return object.kind == Kind::kFunction && std::ranges::any_of(harmless, [&](const auto& said) {
           return said == object.name || said == object.schema + "." + object.name;
         });
}

// From what each object does by itself to what it does by what it uses. Each is there twice: alone,
// and as a whole, which is with what comes with it unless one is more exact: the casts of a
// function's arguments, those to a type, the children of a table.
class Closure {
 public:
  struct Findings {
    std::vector<Finding> alone, whole;  // index as the objects
    std::vector<std::uint16_t> left;    // by running, writing ... it as a whole
  };

  Closure(const std::vector<CatalogObject>& objects, Names names, const Catalog::Scope& scope)
      : objects_(objects),
        names_(names),
        scope_(scope),
        unread_(scope.unread),
        findings_(2 * objects.size()),
        left_(2 * objects.size()),
        users_(2 * objects.size()),
        writers_(2 * objects.size()) {
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const CatalogObject& object = objects[i];
      by_oid_.emplace(std::pair(object.kind, object.oid), i);
      if (object.kind == Kind::kFunction && object.trait != Trait::kTrigger) {
        functions_[object.name].push_back(i);
      }
      if (object.kind == Kind::kRelation) relations_[object.name].push_back(i);
    }
    for (std::size_t i = 0; i < objects.size(); ++i) link(i);
  }

  Findings run() {
    std::vector<std::size_t> pending;
    for (std::size_t i = 0; i < objects_.size(); ++i) findings_[i].join(own_finding(objects_[i]));
    for (std::size_t i = 0; i < findings_.size(); ++i) {
      if (findings_[i].access == Access::kWrite) pending.push_back(i);
    }
    while (!pending.empty()) {
      const std::size_t used = pending.back();
      pending.pop_back();
      for (const std::size_t user : users_[used]) {
        if (findings_[user].access == Access::kWrite) continue;
        const bool same = user == whole(used);
        findings_[user].join(same ? findings_[used]
                                  : through(objects_[user % objects_.size()], findings_[used]));
        pending.push_back(user);
      }
    }
    spread_primary_only();
    spread_left();
    const auto count = static_cast<std::ptrdiff_t>(objects_.size());
    const auto middle = findings_.begin() + count;
    return {.alone = {std::move_iterator(findings_.begin()), std::move_iterator(middle)},
            .whole = {std::move_iterator(middle), std::move_iterator(findings_.end())},
            .left = {left_.begin() + count, left_.end()}};
  }

 private:
  using ByName = absl::flat_hash_map<std::string_view, std::vector<std::size_t>>;

  // Index of the whole of it; alone it has its own.
  std::size_t whole(std::size_t i) const { return i + objects_.size(); }

  // Beside the loop above, which stops at the first thing that is found against something.
  void spread_primary_only() {
    std::vector<std::size_t> pending;
    for (std::size_t i = 0; i < findings_.size(); ++i) {
      if (findings_[i].primary_only) pending.push_back(i);
    }
    while (!pending.empty()) {
      const std::size_t used = pending.back();
      pending.pop_back();
      for (const std::size_t user : users_[used]) {
        if (!std::exchange(findings_[user].primary_only, true)) pending.push_back(user);
      }
    }
  }

  // What uses something leaves what that leaves, whether it reads it or writes it.
  void spread_left() {
    std::vector<std::size_t> pending;
    const auto add = [&](std::size_t to, unsigned left) {
      if (is_said(scope_.harmless, objects_[to % objects_.size()])) left = kNoResidue;
      if ((left & ~left_[to]) == 0) return;
      left_[to] = static_cast<std::uint16_t>(left_[to] | left);
      pending.push_back(to);
    };
    for (std::size_t i = 0; i < left_.size(); ++i) {
      const unsigned linked = std::exchange(left_[i], kNoResidue);
      add(i, i < objects_.size() ? linked | own_left(objects_[i]) : linked);
    }
    while (!pending.empty()) {
      const std::size_t used = pending.back();
      pending.pop_back();
      for (const std::size_t user : users_[used]) add(user, left_[used]);
      for (const std::size_t writer : writers_[used]) add(writer, left_[used]);
    }
  }

  void link(std::size_t i) {
    const CatalogObject& object = objects_[i];
    users_[i].push_back(whole(i));
    // In trees casts are calls like others: arguments are what they should be. Not so of operators.
    for (const auto oid : object.functions) {
      use(i, Kind::kFunction, oid,
          object.kind == Kind::kOperator ? Extent::kWhole : Extent::kAlone);
    }
    for (const auto oid : object.casts) use(whole(i), Kind::kFunction, oid, Extent::kAlone);
    const std::size_t reader = object.trait == Trait::kParent ? whole(i) : i;
    for (const auto oid : object.relations) use(reader, Kind::kRelation, oid, Extent::kWhole);
    for (const auto oid : object.types) {
      if (object.kind == Kind::kType) use(i, Kind::kType, oid, Extent::kAlone);
      const bool is_view = object.kind == Kind::kRelation;
      use(is_view ? i : whole(i), Kind::kType, oid, Extent::kWhole);
    }
    for (const auto oid : object.written.functions) writes_by(i, Kind::kFunction, oid);
    for (const auto oid : object.written.relations) writes_by(i, Kind::kRelation, oid);
    for (const auto oid : object.written.types) writes_by(i, Kind::kType, oid);
    if (object.body.empty()) return;
    if (unread_ != 0) {  // whatever its words are
      left_[i] = kOpaque;
      if (object.trait == Trait::kTrigger) return;
      return findings_[i].join(unread_finding());
    }
    const BodyWords words(object.body);
    for (const auto& [schema, word] : words.called) {
      use_named(i, functions_, schema, word);
      use_named(i, relations_, schema, word);  // INSERT INTO word (...)
      if (!schema.empty() && schema != "pg_catalog") continue;
      const auto builtin = builtin_effect(word);
      if (builtin && !builtin->sets_setting) left_[i] |= left_by(*builtin);
      if (builtin && builtin->access == Access::kWrite && findings_[i].why.empty()) {
        findings_[i] = through(object, {builtin->access, builtin->residue,
                                        "function " + word + " may write", builtin->primary_only});
      }
    }
    for (const auto& [schema, word] : words.named) use_named(i, relations_, schema, word);
  }

  void use(std::size_t user, Kind kind, std::uint32_t oid, Extent extent) {
    const auto it = by_oid_.find(std::pair(kind, oid));
    if (it == by_oid_.end()) {
      if (oid >= kFirstUserOid && index_of(kind) < unread_) {
        findings_[user].join(unread_finding());
        left_[user] = kOpaque;
      }
      return;
    }
    users_[extent == Extent::kAlone ? it->second : whole(it->second)].push_back(user);
  }

  // Nothing that a query of it does.
  void writes_by(std::size_t relation, Kind kind, std::uint32_t oid) {
    const auto it = by_oid_.find(std::pair(kind, oid));
    if (it != by_oid_.end()) return writers_[whole(it->second)].push_back(relation);
    if (oid >= kFirstUserOid && index_of(kind) < unread_) left_[relation] = kOpaque;
  }

  void use_named(std::size_t user, const ByName& by_name, std::string_view schema,
                 std::string_view name) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) return;
    for (const std::size_t used : it->second) {
      const CatalogObject& object = objects_[used];
      // The system's functions are judged by name where they are called.
      const bool is_system = object.kind == Kind::kFunction && object.oid < kFirstUserOid;
      if (is_system && builtin_effect(name)) continue;
      const bool meant = !schema.empty()
                             ? object.schema == schema
                             : object.on_default_path || names_ != Names::kDefaultPath ||
                                   objects_[user].has_own_path;
      if (meant) users_[whole(used)].push_back(user);
    }
  }

  const std::vector<CatalogObject>& objects_;
  const Names names_;
  const Catalog::Scope& scope_;
  const std::size_t unread_;                       // kinds
  std::vector<Finding> findings_;                  // of each alone, then of each as a whole
  std::vector<std::uint16_t> left_;                // index likewise, as the next two
  std::vector<std::vector<std::size_t>> users_;    // those that use it
  std::vector<std::vector<std::size_t>> writers_;  // and those that do when they are written
  absl::flat_hash_map<std::pair<Kind, std::uint32_t>, std::size_t> by_oid_;
  ByName functions_, relations_;
};

}  // namespace

void Finding::join(const Finding& other) {
  if (other.access > access) why = other.why;
  access = std::max(access, other.access);
  residue |= other.residue;
  primary_only = primary_only || other.primary_only;
}

Catalog::Catalog(const std::vector<CatalogObject>& objects, Scope scope)
    : id_(next_id()), scope_(std::move(scope)) {
  Closure::Findings by_default = Closure(objects, Names::kDefaultPath, scope_).run();
  Closure::Findings elsewhere = Closure(objects, Names::kAnywhere, scope_).run();
  const auto& left = elsewhere.left;
  leaves_ = !is_whole();
  for (std::size_t i = 0; i < objects.size(); ++i) {
    const CatalogObject& object = objects[i];
    if (object.oid < kFirstUserOid) {  // functions.cc knows what they do
      if (object.kind == Kind::kRelation) system_views_.insert(object.name);
      continue;
    }
    add_custom_settings(object.body, NamedIn::kBody, kCustomSettingsMax, custom_settings_);
    leaves_ = leaves_ || left[i] != kNoResidue;
    has_sequences_ = has_sequences_ || object.trait == Trait::kSequence;
    if (object.trait == Trait::kTrigger) continue;
    for (auto* side : {&by_default, &elsewhere}) {
      // Not by what is used as a read: nobody asks what that leaves.
      if (side->whole[i].access == Access::kWrite) {
        if ((side->left[i] & kUnnamedSetting) != 0) side->whole[i].residue |= kUnnamedSetting;
      }
    }
    const bool is_harmless = elsewhere.whole[i].access == Access::kRead && left[i] == kNoResidue;
    if (object.kind != Kind::kFunction && is_harmless) continue;
    entries_[index_of(object.kind)][object.name].push_back(
        {.schema = object.schema,
         .on_default_path = object.on_default_path,
         .hidden = object.hidden,
         .harmless_alone = elsewhere.alone[i].access == Access::kRead,
         .args_min = object.args_min,
         .args_max = object.args_max,
         .findings = {std::move(by_default.whole[i]), std::move(elsewhere.whole[i])},
         .left = {by_default.left[i], left[i]}});
  }
}

bool Catalog::Entry::is_meant(Names names, std::string_view wanted_schema) const {
  if (!wanted_schema.empty()) return schema == wanted_schema;
  const bool found_first = !hidden || names == Names::kEverything;
  return found_first && (on_default_path || names != Names::kDefaultPath);
}

// Null = it cannot be meant.
const Finding* Catalog::Entry::find(Names names, std::string_view wanted_schema) const {
  return is_meant(names, wanted_schema) ? &findings[side(names)] : nullptr;
}

std::optional<Finding> Catalog::function(Names names, std::string_view schema,
                                         std::string_view name, int args) const {
  if (!scope_.default_path) names = Names::kEverything;
  const ByName& functions = entries_[index_of(Kind::kFunction)];
  const auto it = functions.find(name);
  if (it == functions.end()) return std::nullopt;
  std::optional<Finding> joined;
  for (const Entry& entry : it->second) {
    const Finding* finding = entry.find(names, schema);
    if (finding == nullptr || args < entry.args_min) continue;
    if (entry.args_max >= 0 && args > entry.args_max) continue;
    if (!joined) joined.emplace();
    joined->join(*finding);
  }
  return joined;
}

const Finding* Catalog::most_demanding(Kind kind, Names names, std::string_view schema,
                                       std::string_view name, Extent extent) const {
  if (!scope_.default_path) names = Names::kEverything;
  const ByName& entries = entries_[index_of(kind)];
  if (const auto it = entries.find(name); it != entries.end()) {
    for (const Entry& entry : it->second) {
      const Finding* finding = entry.find(names, schema);
      if (finding == nullptr || finding->access != Access::kWrite) continue;
      if (extent == Extent::kWhole || !entry.harmless_alone) return finding;
    }
  }
  return index_of(kind) < scope_.unread && !is_of_system(schema) ? &unread_finding() : nullptr;
}

std::uint16_t Catalog::left_by_write(Names names, std::string_view schema,
                                     std::string_view name) const {
  if (!scope_.default_path) names = Names::kEverything;
  const bool unread = index_of(Kind::kRelation) < scope_.unread && !is_of_system(schema);
  std::uint16_t left = unread ? kOpaque : kNoResidue;
  const ByName& relations = entries_[index_of(Kind::kRelation)];
  const auto it = relations.find(name);
  if (it == relations.end()) return left;
  for (const Entry& entry : it->second) {
    if (entry.is_meant(names, schema)) left |= entry.left[side(names)];
  }
  return left;
}

const Finding* Catalog::relation(Names names, std::string_view schema, std::string_view name,
                                 Extent extent) const {
  return most_demanding(Kind::kRelation, names, schema, name, extent);
}

const Finding* Catalog::oper(Names names, std::string_view schema, std::string_view name) const {
  return most_demanding(Kind::kOperator, names, schema, name, Extent::kWhole);
}

const Finding* Catalog::type(Names names, std::string_view schema, std::string_view name,
                             Extent extent) const {
  return most_demanding(Kind::kType, names, schema, name, extent);
}

}  // namespace sql
