// Bytes to configuration: the first line is an override, the rest the file. What loads must be
// usable: described, explained, compared, and free of what validation promises to refuse.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/check.h"
#include "config/describe.h"
#include "config/diff.h"
#include "config/load.h"
#include "config/url.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 1u << 16) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const std::size_t end = text.find('\n');
  std::vector<std::string> overrides;
  if (end != std::string_view::npos && end > 0) overrides.emplace_back(text.substr(0, end));
  const std::string_view file = end == std::string_view::npos ? text : text.substr(end);

  const config::LoadResult result = config::load_text(file, "fuzz.toml", overrides);
  CHECK((result.config == nullptr) == !result.problems.empty());
  CHECK(result.problems.size() <= config::kProblemsMax);
  (void)config::to_string(result.problems);
  if (result.config) {
    const config::Config& found = *result.config;
    CHECK(!found.listeners.empty() && !found.clusters.empty() && !found.databases.empty());
    for (const config::Listener& listener : found.listeners) CHECK(listener.port != 0);
    for (const config::Cluster& cluster : found.clusters) {
      CHECK(!cluster.hosts.empty() && !cluster.monitor_user.empty());
    }
    for (const config::Database& database : found.databases) {
      CHECK(config::find_cluster(found, database.cluster) != nullptr);
    }
    (void)config::describe(found);
    CHECK(config::diff(found, found).empty());
    CHECK(*config::load_text(file, "fuzz.toml", overrides).config == found);
  }
  (void)config::parse_url(text);
  return 0;
}
