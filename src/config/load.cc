#include "config/load.h"

#include <charconv>
#include <memory>
#include <optional>
#include <utility>

#include "config/concat.h"
#include "config/document.h"
#include "config/files.h"
#include "config/load_table.h"
#include "config/reader.h"
#include "config/validate.h"

namespace config {
namespace {

const toml::node* child(const toml::node& node, const std::string& segment) {
  if (const toml::table* table = node.as_table()) return table->get(segment);
  const toml::array* list = node.as_array();
  if (list == nullptr || !segment.starts_with('[')) return nullptr;
  std::size_t index = 0;
  std::from_chars(segment.data() + 1, segment.data() + segment.size() - 1, index);
  return list->get(index);
}

// Reports at the setting, or at the nearest table around it that the file has.
void report_at(const toml::table& root, const std::vector<std::string>& path, std::string message,
               Problems& problems) {
  const toml::node* node = &root;
  const toml::node* nearest = nullptr;
  std::string key;
  for (const std::string& segment : path) {
    if (node != nullptr) node = child(*node, segment);
    if (node != nullptr) nearest = node;
    key = segment.starts_with('[') ? key + segment : key_below(key, segment);
  }
  // It could not be read: one complaint is enough.
  if (problems.touches(key) || problems.touches(key + "_file")) return;
  static const toml::source_region nowhere{};
  add_at(problems, nearest == nullptr ? nowhere : nearest->source(), std::move(key),
         std::move(message));
}

LoadResult refused(Problems& problems) { return {nullptr, problems.take()}; }

}  // namespace

LoadResult load_table(toml::table root, std::string source, Problems& problems,
                      const std::vector<std::string>& overrides) {
  for (const std::string& override : overrides) apply_override(root, override, problems);

  auto config = std::make_shared<Config>();
  config->source = std::move(source);
  Reader reader(root, "", problems);
  visit_config(reader, *config);
  reader.finish();

  complete(*config);
  validate(*config, {.add =
                         [&](const std::vector<std::string>& path, std::string message) {
                           report_at(root, path, std::move(message), problems);
                         },
                     .full = [&] { return problems.full(); }});
  LoadResult result{nullptr, problems.take()};
  if (result.problems.empty()) result.config = std::move(config);
  return result;
}

LoadResult load_text(std::string_view text, std::string source_name,
                     const std::vector<std::string>& overrides) {
  Problems problems(source_name);
  std::optional<toml::table> root = parse_document(text, problems);
  if (!root) return refused(problems);
  return load_table(*std::move(root), std::move(source_name), problems, overrides);
}

LoadResult load_file(const std::string& path, const std::vector<std::string>& overrides) {
  absl::StatusOr<std::string> text = read_file(path, kFileBytesMax);
  if (!text.ok()) {
    Problems problems(path);
    problems.add(0, "",
                 concat("expected a readable configuration file: ", text.status().message()));
    return refused(problems);
  }
  LoadResult result = load_text(*text, path, overrides);
  result.text = std::make_shared<const std::string>(*std::move(text));
  return result;
}

}  // namespace config
