// What a database says of its own functions, relations, operators and types: which of them a
// replica must not serve, and why.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "sql/analysis.h"

namespace sql {

// A row of the system catalogs, as proxy/catalog_reader.cc asks the primary for it.
struct CatalogObject {
  enum class Kind : std::uint8_t { kFunction, kRelation, kOperator, kType };
  enum class Trait : std::uint8_t { kNone, kVolatile, kUnlogged, kForeign };

  Kind kind = Kind::kFunction;
  std::uint32_t oid = 0;  // unique within its kind
  std::string schema, name;
  Trait trait = Trait::kNone;
  int args_min = 0, args_max = 0;  // of a function; args_max -1 = any number
  std::string body;                // source of a function in SQL or a procedural language
  // What it uses, by oid: a view's functions and relations, a parent's children, an operator's
  // function, what a row security policy asks. Those that are no objects here are harmless.
  std::vector<std::uint32_t> functions, relations;

  bool operator==(const CatalogObject&) const = default;
};

// What using something may do.
struct Finding {
  Access access = Access::kRead;
  std::uint16_t residue = kNoResidue;
  std::string why;  // for people; "" for a read

  void join(const Finding& other);
};

// Immutable, so that all workers share it.
//
// What uses a volatile function is as volatile: views by their rules, functions by their bodies,
// in which every word is taken for a use of whatever has that name.
class Catalog {
 public:
  explicit Catalog(const std::vector<CatalogObject>& objects);

  std::uint64_t id() const { return id_; }  // unique in the process; never 0

  // A name without a schema stands for every object of the name, whatever the session's
  // search_path: the most demanding one counts. nullopt = there is no function of that name that
  // takes so many arguments.
  std::optional<Finding> function(std::string_view schema, std::string_view name, int args) const;
  // nullptr = nothing to say against it.
  const Finding* relation(std::string_view schema, std::string_view name) const;
  const Finding* oper(std::string_view name) const;
  const Finding* type(std::string_view name) const;

 private:
  struct Entry {
    std::string schema;
    int args_min = 0, args_max = 0;
    Finding finding;
  };
  template <typename Value>
  using ByName = std::map<std::string, Value, std::less<>>;

  void keep(const CatalogObject& object, Finding finding);

  const std::uint64_t id_;
  ByName<std::vector<Entry>> functions_;  // all
  ByName<std::vector<Entry>> relations_;  // those that have something against them
  ByName<Finding> operators_, types_;     // the same
};
using CatalogPtr = std::shared_ptr<const Catalog>;

}  // namespace sql
