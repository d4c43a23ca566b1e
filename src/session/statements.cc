#include "session/statements.h"

#include <algorithm>
#include <list>
#include <tuple>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"

namespace session {
namespace {

// The views are into the statement that is the value; they live as long as the entry.
using Content = std::tuple<const void*, std::string_view, std::string_view>;

Content content_of(const PreparedStatement& statement) {
  return {statement.database, statement.query, statement.types};
}

}  // namespace

// Statements may outlive the store, so each holds on to the table it must leave.
struct StatementStore::Impl {
  using Table = absl::flat_hash_map<Content, std::weak_ptr<const PreparedStatement>>;
  std::shared_ptr<Table> table = std::make_shared<Table>();
  std::uint64_t last_id = 0;

  PreparedStatement next(const void* database, const sql::AnalysisPtr& analysis) {
    const std::uint64_t id = ++last_id;
    return {.id = id,
            .server_name = "weir_" + std::to_string(id),
            .database = database,
            .analysis = analysis};
  }
};

StatementStore::StatementStore() : impl_(std::make_unique<Impl>()) {}
StatementStore::~StatementStore() = default;

StatementPtr StatementStore::intern(const void* database, std::string_view query,
                                    protocol::Bytes types, const sql::AnalysisPtr& analysis) {
  Impl::Table& table = *impl_->table;
  if (const auto it = table.find(Content{database, query, protocol::as_text(types)});
      it != table.end()) {
    return it->second.lock();  // never null: the last holder takes the entry away
  }
  auto statement = std::make_unique<PreparedStatement>(impl_->next(database, analysis));
  statement->query = query;
  statement->types = protocol::as_text(types);
  const auto release = [owner = impl_->table](const PreparedStatement* released) {
    owner->erase(content_of(*released));
    delete released;
  };
  StatementPtr shared(statement.release(), release);
  table.emplace(content_of(*shared), shared);
  return shared;
}

std::shared_ptr<PreparedStatement> StatementStore::make(const void* database,
                                                        const sql::AnalysisPtr& analysis) {
  return std::make_shared<PreparedStatement>(impl_->next(database, analysis));
}

std::size_t StatementStore::size() const { return impl_->table->size(); }

struct ClientStatements::Impl {
  using Named = std::pair<std::string, StatementPtr>;
  static constexpr std::size_t kFew = 16;

  // Either all are in `few`, or all in `many`.
  std::vector<Named> few;
  absl::flat_hash_map<std::string, StatementPtr> many;
  std::size_t bytes = 0;

  // Not everywhere is absl::string_view the standard one.
  static absl::string_view key(std::string_view name) { return {name.data(), name.size()}; }
  static std::size_t bytes_of(std::string_view name, const PreparedStatement& statement) {
    return sizeof(Named) + name.size() + statement.query.size() + statement.types.size();
  }
  auto find_few(std::string_view name) {
    return std::find_if(few.begin(), few.end(), [&](const Named& n) { return n.first == name; });
  }
  StatementPtr* find(std::string_view name) {
    if (const auto it = find_few(name); it != few.end()) return &it->second;
    if (many.empty()) return nullptr;
    const auto it = many.find(key(name));
    return it == many.end() ? nullptr : &it->second;
  }
  void add(std::string_view name, StatementPtr statement) {
    if (many.empty() && few.size() < kFew) {
      few.emplace_back(name, std::move(statement));
      return;
    }
    for (Named& named : few) many.insert(std::move(named));
    few = {};
    many.emplace(std::string(name), std::move(statement));
  }
};

ClientStatements::ClientStatements() = default;
ClientStatements::~ClientStatements() = default;

const StatementPtr* ClientStatements::find(std::string_view name) const {
  return impl_ ? impl_->find(name) : nullptr;
}

void ClientStatements::put(std::string_view name, StatementPtr statement) {
  if (!impl_) impl_ = std::make_unique<Impl>();
  impl_->bytes += Impl::bytes_of(name, *statement);
  if (StatementPtr* known = impl_->find(name)) {
    impl_->bytes -= Impl::bytes_of(name, **known);
    *known = std::move(statement);
    return;
  }
  impl_->add(name, std::move(statement));
}

bool ClientStatements::erase(std::string_view name) {
  if (!impl_) return false;
  StatementPtr* known = impl_->find(name);
  if (known == nullptr) return false;
  impl_->bytes -= Impl::bytes_of(name, **known);
  if (const auto it = impl_->find_few(name); it != impl_->few.end()) {
    std::swap(*it, impl_->few.back());
    impl_->few.pop_back();
  } else {
    impl_->many.erase(Impl::key(name));
  }
  if (size() == 0) impl_.reset();
  return true;
}

std::optional<std::string> ClientStatements::renamed(std::string_view message,
                                                     std::string_view likely) const {
  constexpr std::string_view kPrefix = "\"weir_";
  std::string result;
  std::size_t copied = 0;
  for (auto at = message.find(kPrefix); at != std::string_view::npos;
       at = message.find(kPrefix, at + 1)) {
    const auto end = message.find('"', at + 1);
    if (end == std::string_view::npos) break;
    const std::string_view server_name = message.substr(at + 1, end - at - 1);
    const StatementPtr* first = find(likely);
    std::string_view name;
    if (first == nullptr || (*first)->server_name != server_name) name = name_of(server_name);
    if (name.empty()) name = likely;  // also when it has just failed to become one
    if (name.empty()) continue;
    result.append(message.substr(copied, at + 1 - copied)).append(name);
    copied = end;
  }
  if (copied == 0) return std::nullopt;
  return result.append(message.substr(copied));
}

std::string_view ClientStatements::name_of(std::string_view server_name) const {
  if (!impl_) return {};
  for (const auto& [name, statement] : impl_->few) {
    if (statement->server_name == server_name) return name;
  }
  for (const auto& [name, statement] : impl_->many) {
    if (statement->server_name == server_name) return name;
  }
  return {};
}

void ClientStatements::clear() { impl_.reset(); }

std::size_t ClientStatements::size() const {
  return impl_ ? impl_->few.size() + impl_->many.size() : 0;
}

std::size_t ClientStatements::bytes() const { return impl_ ? impl_->bytes : 0; }

struct ServerStatements::Impl {
  using Order = std::list<std::uint64_t>;  // most recently used first

  explicit Impl(std::size_t n) : capacity(std::max<std::size_t>(n, 1)) {}

  std::size_t capacity;
  Order order;
  absl::flat_hash_map<std::uint64_t, Order::iterator> places;
};

ServerStatements::ServerStatements(std::size_t capacity)
    : impl_(std::make_unique<Impl>(capacity)) {}
ServerStatements::~ServerStatements() = default;

bool ServerStatements::touch(std::uint64_t id) {
  const auto it = impl_->places.find(id);
  if (it == impl_->places.end()) return false;
  impl_->order.splice(impl_->order.begin(), impl_->order, it->second);
  return true;
}

std::uint64_t ServerStatements::insert(std::uint64_t id) {
  if (touch(id)) return 0;
  std::uint64_t evicted = 0;
  if (impl_->order.size() == impl_->capacity) {
    // Its node becomes the new one's.
    evicted = impl_->order.back();
    impl_->places.erase(evicted);
    impl_->order.splice(impl_->order.begin(), impl_->order, std::prev(impl_->order.end()));
    impl_->order.front() = id;
  } else {
    impl_->order.push_front(id);
  }
  impl_->places.emplace(id, impl_->order.begin());
  return evicted;
}

void ServerStatements::erase(std::uint64_t id) {
  const auto it = impl_->places.find(id);
  if (it == impl_->places.end()) return;
  impl_->order.erase(it->second);
  impl_->places.erase(it);
}

void ServerStatements::clear() {
  impl_->order.clear();
  impl_->places.clear();
}

std::size_t ServerStatements::size() const { return impl_->places.size(); }

}  // namespace session
