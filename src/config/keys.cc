#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "config/load.h"
#include "config/settings.h"

namespace config {
namespace {

struct Keys {
  std::vector<std::string> all, secret;
};

// A visitor that only remembers the keys.
class KeyLister {
 public:
  KeyLister(std::string prefix, Keys& keys) : prefix_(std::move(prefix)), keys_(keys) {}

  void whole(std::string_view key, const auto&, WholeRange) { add(key); }
  void size(std::string_view key, const auto&, SizeRange) { add(key); }
  void duration(std::string_view key, milliseconds, DurationRange) { add(key); }
  void ratio(std::string_view key, double, RatioRange) { add(key); }
  void flag(std::string_view key, bool) { add(key); }
  void word(std::string_view key, const auto&) { add(key); }
  void text(std::string_view key, const std::string&, TextKind) { add(key); }
  void path(std::string_view key, const std::string&) { add(key); }
  void secret(std::string_view key, const std::string&) {
    for (const std::string& one : {std::string(key), std::string(key) + "_file"}) {
      add(one);
      keys_.secret.push_back(prefix_ + one);
    }
  }
  void functions(std::string_view key, const std::vector<std::string>&) { add(key); }
  void list(std::string_view key, const std::vector<std::string>&, ListKind) { add(key); }
  void listeners(std::string_view key, const std::vector<Listener>&) { add(key); }
  void http(std::string_view key, const Admin&) { add(key); }
  void host(std::string_view key, const Host&) { add(key); }
  void hosts(std::string_view key, const std::vector<Host>&) {
    add(key);
    KeyLister inner = below(key);
    const Host host;
    visit_host(inner, host);
  }
  void section(std::string_view key, const auto& visit) {
    KeyLister inner = below(key);
    visit(inner);
  }
  template <class T>
  void named(std::string_view key, const std::vector<T>&, const T& prototype, std::size_t,
             const auto& visit) {
    KeyLister inner = below(std::string(key) + ".NAME");
    visit(inner, prototype);
  }
  template <class T>
  void listed(std::string_view key, const std::vector<T>&, std::size_t, const auto& visit) {
    KeyLister inner = below(key);
    const T element;
    visit(inner, element);
  }
  void pool(std::string_view key, const std::optional<PoolSizes>&, const PoolSizes& base) {
    KeyLister inner = below(key);
    visit_pool(inner, base);
  }

 private:
  KeyLister below(std::string_view key) const {
    return KeyLister(prefix_ + std::string(key) + ".", keys_);
  }
  void add(std::string_view key) { keys_.all.push_back(prefix_ + std::string(key)); }

  std::string prefix_;
  Keys& keys_;
};

const Keys& keys() {
  static const Keys listed = [] {
    Keys found;
    KeyLister lister("", found);
    const Config defaults;
    visit_config(lister, defaults);
    return found;
  }();
  return listed;
}

}  // namespace

const std::vector<std::string>& known_keys() { return keys().all; }
const std::vector<std::string>& secret_keys() { return keys().secret; }

}  // namespace config
