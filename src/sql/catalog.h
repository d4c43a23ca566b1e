// What a database says of its own functions, relations, operators and types: which of them a
// replica must not serve, and why; which tables leave something on their connection when they are
// written.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace sql {

// A row of the system catalogs, as proxy/catalog_reader.cc asks the primary for it.
struct CatalogObject {
  // Read backwards: of a catalog that is too large the first ones are missing.
  enum class Kind : std::uint8_t { kFunction, kRelation, kOperator, kType };
  enum class Trait : std::uint8_t {
    kNone,
    kVolatile,
    kUnlogged,
    kForeign,
    kLocking,
    kSequence,
    kParent,   // a table that others inherit from: `relations` are these
    kTrigger,  // a function that nothing but a trigger can call
  };

  Kind kind = Kind::kFunction;
  std::uint32_t oid = 0;  // unique within its kind
  std::string schema, name;
  Trait trait = Trait::kNone;
  bool on_default_path = false;  // in schema public, or in one that is called as a role
  bool has_own_path = false;     // a function that sets its search_path
  // Of a function: pg_catalog has one of the same name and argument types, which is found first.
  bool hidden = false;
  bool is_opaque = false;          // a function whose source says nothing, as one in C
  int args_min = 0, args_max = 0;  // of a function; args_max -1 = any number
  std::string body;                // source of a function in SQL or a procedural language
  // What it uses, by oid: a view's functions and relations, a parent's children, an operator's
  // function, what a row security policy asks, a function's types of arguments, a domain's type.
  // Those that are no objects here are harmless.
  std::vector<std::uint32_t> functions, relations, types;
  std::vector<std::uint32_t> casts;  // of a type: functions that cast other types to it
  // What a write to a relation uses besides: functions of triggers, defaults, checks, rules,
  // indexes; relations that rules and cascades write; types of its columns.
  struct Uses {
    std::vector<std::uint32_t> functions, relations, types;
    bool operator==(const Uses&) const = default;
  };
  Uses written;

  bool operator==(const CatalogObject&) const = default;
};

// Which names without a schema a session can mean.
enum class Names : std::uint8_t {
  kDefaultPath,  // search_path is "$user", public
  kAnywhere,     // it may be anything, behind pg_catalog
  kEverything,   // and may have pg_catalog behind others
};
inline constexpr std::size_t kNames = 3;

// How much of it is used.
enum class Extent : std::uint8_t {
  kAlone,  // a table without its children (ONLY), a type of what is no value of another one
  kWhole,  // a table with its children, a type with what casts to it
};

// What using something may do.
struct Finding {
  Access access = Access::kRead;
  std::uint16_t residue = kNoResidue;
  std::string why;            // for people; "" for a read
  bool primary_only = false;  // as Analysis has it

  void join(const Finding& other);
};

// Immutable, so that all workers share it.
//
// What uses a volatile function is as volatile: views by their rules, functions by their bodies,
// in which every word is taken for a use of whatever has that name.
class Catalog {
 public:
  struct Scope {
    bool default_path = true;  // that of sessions that have not set it is "$user", public
    // So many kinds of objects, the first ones of Kind, were not read whole: what is not among
    // `objects` counts as a write then, and so does what may use such.
    std::size_t unread = 0;
    std::vector<std::string> harmless;  // functions, as Knowledge has them; they leave nothing
    bool operator==(const Scope&) const = default;
  };
  explicit Catalog(const std::vector<CatalogObject>& objects, Scope scope);
  explicit Catalog(const std::vector<CatalogObject>& objects) : Catalog(objects, Scope()) {}

  bool is_whole() const { return scope_.unread == 0; }

  // Unique in the process for each of the three; never 0.
  std::uint64_t key(Names names) const { return id_ + static_cast<std::uint64_t>(names); }

  // A name without a schema stands for every object of the name that `names` allows: the most
  // demanding one counts. nullopt = there is no function of that name that takes so many arguments.
  std::optional<Finding> function(Names names, std::string_view schema, std::string_view name,
                                  int args) const;
  // nullptr = nothing to say against it.
  const Finding* relation(Names names, std::string_view schema, std::string_view name,
                          Extent extent) const;
  const Finding* oper(Names names, std::string_view schema, std::string_view name) const;
  const Finding* type(Names names, std::string_view schema, std::string_view name,
                      Extent extent) const;
  // What a write to a relation leaves on its connection, by functions that it calls unseen: as
  // Statement::residue.
  std::uint16_t left_by_write(Names names, std::string_view schema, std::string_view name) const;
  // Whether anything of a user's may leave something.
  bool leaves() const { return leaves_; }
  bool may_have_sequences() const { return has_sequences_ || !is_whole(); }  // but temporary ones
  // Customized options that functions may set, as their bodies name them.
  const std::set<std::string, std::less<>>& custom_settings() const { return custom_settings_; }
  static constexpr std::size_t kCustomSettingsMax = 256;
  // Of pg_catalog.
  bool is_system_view(std::string_view name) const { return system_views_.contains(name); }

 private:
  struct Entry {
    std::string schema;
    bool on_default_path = false, hidden = false;
    bool harmless_alone = false;  // wherever names are looked for: only the whole of it is not
    int args_min = 0, args_max = 0;
    // Of the whole: by names of kDefaultPath, and of anywhere.
    std::array<Finding, 2> findings;
    std::array<std::uint16_t, 2> left;
    bool is_meant(Names names, std::string_view wanted_schema) const;
    const Finding* find(Names names, std::string_view wanted_schema) const;
  };
  static std::size_t side(Names names) { return names == Names::kDefaultPath ? 0 : 1; }
  using ByName = std::map<std::string, std::vector<Entry>, std::less<>>;

  const Finding* most_demanding(CatalogObject::Kind kind, Names names, std::string_view schema,
                                std::string_view name, Extent extent) const;

  const std::uint64_t id_;  // a multiple of kNames
  const Scope scope_;
  bool leaves_ = false, has_sequences_ = false;
  // By kind: all functions, and of the others those that have something against them.
  std::array<ByName, 4> entries_;
  std::set<std::string, std::less<>> system_views_, custom_settings_;
};
using CatalogPtr = std::shared_ptr<const Catalog>;

}  // namespace sql
