#include "sql/catalog.h"

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <utility>

#include "sql/functions.h"
#include "sql/lexer.h"

namespace sql {
namespace {

using Kind = CatalogObject::Kind;
using Trait = CatalogObject::Trait;

std::uint64_t next_id() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

// Volatile functions of PostgreSQL's own extensions that change nothing.
constexpr std::array<std::string_view, 6> kHarmlessExtension = {
    "gen_random_bytes", "gen_random_uuid",    "gen_salt",
    "uuid_generate_v1", "uuid_generate_v1mc", "uuid_generate_v4"};

constexpr std::uint32_t kFirstUserOid = 16384;  // FirstNormalObjectId of access/transam.h

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
      return {Access::kWrite, kNoResidue, named + " is unlogged"};
    if (object.trait == Trait::kForeign) return {Access::kWrite, kNoResidue, named + " is foreign"};
    if (object.oid < kFirstUserOid && shows_server(object.name)) {
      return {Access::kWrite, kNoResidue, object.name + " shows the server itself"};
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
  const bool harmless = object.body.empty() && std::ranges::find(kHarmlessExtension, object.name) !=
                                                   kHarmlessExtension.end();
  if (object.trait != Trait::kVolatile || harmless) return {};
  return {Access::kWrite, kOpaque, named + " is volatile"};
}

// Why something that uses it is as demanding.
Finding through(const CatalogObject& user, const Finding& used) {
  Finding finding = used;
  // Whatever its body does, it was not the session's statement that did it.
  if (user.kind == Kind::kFunction) finding.residue |= kOpaque;
  finding.why = kind_name(user) + user.name + ": " + used.why;
  return finding;
}

// The words of a function's source: those that a parenthesis follows, and the others.
class BodyWords {
 public:
  explicit BodyWords(std::string_view body) { read(body, 0); }
  absl::flat_hash_set<std::string> called, named;

 private:
  static constexpr int kDepthMax = 3;  // of SQL in strings

  void read(std::string_view text, int depth) {
    Lexer lexer(text);
    for (Token token = lexer.next(); token.kind != TokenKind::kEnd; token = lexer.next()) {
      if (token.kind == TokenKind::kString && depth < kDepthMax && token.size() > 2) {
        read(inside(lexer.text(token)), depth + 1);
      }
      if (token.kind != TokenKind::kWord && token.kind != TokenKind::kQuotedName) continue;
      std::string word(lexer.text(token));
      if (token.kind == TokenKind::kQuotedName) {
        word = inside(word);
      } else {
        for (char& c : word) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
      }
      (lexer.peek() == '(' ? called : named).insert(std::move(word));
    }
  }

  static std::string_view inside(std::string_view quoted) {
    if (quoted.starts_with('$')) {
      const auto tag = quoted.find('$', 1) + 1;
      return quoted.size() >= 2 * tag ? quoted.substr(tag, quoted.size() - 2 * tag) : quoted;
    }
    const auto open = quoted.find_first_of("'\"");
    if (open == std::string_view::npos || quoted.size() < open + 2) return quoted;
    return quoted.substr(open + 1, quoted.size() - open - 2);
  }
};

// From what each object does by itself to what it does by what it uses.
class Closure {
 public:
  explicit Closure(const std::vector<CatalogObject>& objects)
      : objects_(objects), findings_(objects.size()), users_(objects.size()) {
    for (std::size_t i = 0; i < objects.size(); ++i) {
      const CatalogObject& object = objects[i];
      if (object.kind == Kind::kFunction) function_by_oid_.emplace(object.oid, i);
      if (object.kind == Kind::kRelation) relation_by_oid_.emplace(object.oid, i);
      if (object.kind == Kind::kFunction) functions_by_name_[object.name].push_back(i);
      if (object.kind == Kind::kRelation) relations_by_name_[object.name].push_back(i);
    }
    for (std::size_t i = 0; i < objects.size(); ++i) link(i);
  }

  std::vector<Finding> run() {
    std::vector<std::size_t> pending;
    for (std::size_t i = 0; i < objects_.size(); ++i) {
      findings_[i].join(own_finding(objects_[i]));
      if (findings_[i].access == Access::kWrite) pending.push_back(i);
    }
    while (!pending.empty()) {
      const std::size_t used = pending.back();
      pending.pop_back();
      for (const std::size_t user : users_[used]) {
        if (findings_[user].access == Access::kWrite) continue;
        findings_[user].join(through(objects_[user], findings_[used]));
        pending.push_back(user);
      }
    }
    return std::move(findings_);
  }

 private:
  void link(std::size_t i) {
    const CatalogObject& object = objects_[i];
    for (const auto oid : object.functions) use(i, function_by_oid_, oid);
    for (const auto oid : object.relations) use(i, relation_by_oid_, oid);
    if (object.body.empty()) return;
    const BodyWords words(object.body);
    for (const auto& word : words.called) {
      use_named(i, functions_by_name_, word);
      const auto builtin = builtin_effect(word);
      if (builtin && builtin->access == Access::kWrite && findings_[i].why.empty()) {
        findings_[i] =
            through(object, {builtin->access, builtin->residue, "function " + word + " may write"});
      }
    }
    for (const auto& word : words.named) use_named(i, relations_by_name_, word);
  }

  void use(std::size_t user, const absl::flat_hash_map<std::uint32_t, std::size_t>& by_oid,
           std::uint32_t oid) {
    if (const auto it = by_oid.find(oid); it != by_oid.end()) users_[it->second].push_back(user);
  }
  void use_named(std::size_t user,
                 const absl::flat_hash_map<std::string_view, std::vector<std::size_t>>& by_name,
                 std::string_view name) {
    const auto it = by_name.find(name);
    if (it == by_name.end()) return;
    for (const std::size_t used : it->second) users_[used].push_back(user);
  }

  const std::vector<CatalogObject>& objects_;
  std::vector<Finding> findings_;
  std::vector<std::vector<std::size_t>> users_;  // of each object: those that use it
  absl::flat_hash_map<std::uint32_t, std::size_t> function_by_oid_, relation_by_oid_;
  absl::flat_hash_map<std::string_view, std::vector<std::size_t>> functions_by_name_,
      relations_by_name_;
};

template <typename Map>
const Finding* find_in(const Map& map, std::string_view name) {
  const auto it = map.find(name);
  return it == map.end() ? nullptr : &it->second;
}

}  // namespace

void Finding::join(const Finding& other) {
  if (other.access > access) why = other.why;
  access = std::max(access, other.access);
  residue |= other.residue;
}

Catalog::Catalog(const std::vector<CatalogObject>& objects) : id_(next_id()) {
  std::vector<Finding> findings = Closure(objects).run();
  for (std::size_t i = 0; i < objects.size(); ++i) keep(objects[i], std::move(findings[i]));
}

void Catalog::keep(const CatalogObject& object, Finding finding) {
  if (object.kind == Kind::kFunction) {
    if (object.oid < kFirstUserOid) return;  // functions.cc knows them
    functions_[object.name].push_back(
        {object.schema, object.args_min, object.args_max, std::move(finding)});
    return;
  }
  if (finding.access == Access::kRead) return;
  switch (object.kind) {
    case Kind::kRelation:
      if (object.oid < kFirstUserOid) return;
      relations_[object.name].push_back({object.schema, 0, 0, std::move(finding)});
      return;
    case Kind::kOperator:
      return operators_[object.name].join(finding);
    case Kind::kType:
      return types_[object.name].join(finding);
    case Kind::kFunction:
      return;
  }
}

std::optional<Finding> Catalog::function(std::string_view schema, std::string_view name,
                                         int args) const {
  const auto it = functions_.find(name);
  if (it == functions_.end()) return std::nullopt;
  std::optional<Finding> joined;
  for (const Entry& entry : it->second) {
    if (!schema.empty() && entry.schema != schema) continue;
    if (args < entry.args_min || (entry.args_max >= 0 && args > entry.args_max)) continue;
    if (!joined) joined.emplace();
    joined->join(entry.finding);
  }
  return joined;
}

const Finding* Catalog::relation(std::string_view schema, std::string_view name) const {
  const auto it = relations_.find(name);
  if (it == relations_.end()) return nullptr;
  const auto entry = std::ranges::find_if(it->second, [&](const Entry& candidate) {
    return schema.empty() || candidate.schema == schema;
  });
  return entry == it->second.end() ? nullptr : &entry->finding;
}

const Finding* Catalog::oper(std::string_view name) const { return find_in(operators_, name); }
const Finding* Catalog::type(std::string_view name) const { return find_in(types_, name); }

}  // namespace sql
