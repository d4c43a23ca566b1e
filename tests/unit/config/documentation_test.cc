// The documentation and the examples name every key, with its default, and no other.
#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "config/describe.h"
#include "testing.h"

using namespace config;

namespace {

std::string read(const std::string& name) {
  std::ifstream file(std::string(SOURCE_ROOT) + "/" + name);
  REQUIRE_MESSAGE(file, name);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

struct DocumentedKey {
  std::string default_value, reload;
};

// Rows "| `key` | default | reload | meaning |" below headings "## [section]".
std::map<std::string, DocumentedKey> documented_keys() {
  static const std::regex heading(R"(^## (?:Top level|\[+([^\]]+)\]+)$)");
  static const std::regex row(R"(^\| `(\w+)` \| (.*?) ?\| (\w+) \| .+ \|$)");
  std::map<std::string, DocumentedKey> keys;
  std::string section;
  for (const std::string& line : lines_of(read("docs/configuration.md"))) {
    std::smatch match;
    if (std::regex_match(line, match, heading)) {
      section = match[1].length() == 0 ? "" : match[1].str() + ".";
    } else if (std::regex_match(line, match, row)) {
      const bool inserted =
          keys.emplace(section + match[1].str(), DocumentedKey{match[2], match[3]}).second;
      CHECK_MESSAGE(inserted, line);
    }
  }
  return keys;
}

// A configuration with one of each, nothing of its own said.
std::map<std::string, ConfigRow> rows_with_names() {
  Config config;
  config.clusters = {{.name = "NAME"}};
  config.databases = {{.name = "NAME"}};
  config.users = {{.name = "NAME"}};
  config.peers = {{.name = "NAME"}};
  std::map<std::string, ConfigRow> rows;
  for (const ConfigRow& row : explain(config)) rows.emplace(row.key, row);
  return rows;
}

// The example with every key that is commented out taken in.
std::string example_with_everything() {
  std::string text;
  for (const std::string& line : lines_of(read("config/weir.toml"))) {
    const bool key = line.size() > 1 && line[0] == '#' && line[1] != ' ';
    text += (key ? line.substr(1) : line) + "\n";
  }
  return text;
}

std::string section_of_example(std::string_view key) {
  std::string text(key);
  for (const auto& [from, to] :
       {std::pair<std::string, std::string>{"clusters.NAME", "clusters.main"},
        {"databases.NAME", "databases.\"*\""},
        {"users.NAME", "users.app"},
        {"peers.NAME", "peers.2"}}) {
    if (text.starts_with(from)) text.replace(0, from.size(), to);
  }
  return text;
}

}  // namespace

TEST_CASE("docs/configuration.md: every key, and no other") {
  const auto documented = documented_keys();
  for (const std::string& key : known_keys()) CHECK_MESSAGE(documented.contains(key), key);
  const std::set<std::string> known(known_keys().begin(), known_keys().end());
  for (const auto& [key, what] : documented) {
    // Hosts have a table of their own for their long form.
    CHECK_MESSAGE(known.contains(key), key);
  }
}

TEST_CASE("docs/configuration.md: the defaults and what a reload does are true") {
  const auto documented = documented_keys();
  int compared = 0;
  for (const auto& [key, row] : rows_with_names()) {
    INFO(key);
    const auto found = documented.find(key);
    REQUIRE(found != documented.end());
    CHECK(found->second.default_value == row.default_value);
    CHECK(found->second.reload == (row.changeable ? "yes" : "restart"));
    ++compared;
  }
  CHECK(compared > 90);
}

TEST_CASE("docs/configuration.md: its examples load") {
  const std::string text = read("docs/configuration.md");
  int examples = 0;
  for (std::size_t at = text.find("```toml\n"); at != std::string::npos;
       at = text.find("```toml\n", at + 1)) {
    const std::size_t start = at + 8;
    config_testing::loaded(text.substr(start, text.find("```", start) - start));
    ++examples;
  }
  CHECK(examples == 4);
}

TEST_CASE("config/weir.minimal.toml: five lines that load") {
  const std::string text = read("config/weir.minimal.toml");
  CHECK(lines_of(text).size() == 5);
  CHECK(config_testing::loaded(text).clusters[0].hosts.size() == 3);
}

TEST_CASE("config/weir.toml: loads as it is, with the defaults") {
  const Config config = config_testing::loaded(read("config/weir.toml"));
  for (const ConfigRow& row : explain(config)) {
    INFO(row.key);
    const bool given = row.key == "clusters.main.hosts" || row.key == "users.app.password" ||
                       row.key == "databases.\"*\".cluster" ||
                       row.key.starts_with("clusters.main.monitor.");
    if (!given) CHECK(row.value == row.default_value);
  }
}

TEST_CASE("config/weir.toml: loads with every line taken in, and they are the defaults") {
  const Config config = config_testing::loaded(example_with_everything());
  CHECK(config.clusters[0].monitor_interval == Cluster{}.monitor_interval);
  for (const ConfigRow& row : explain(config)) {
    INFO(row.key);
    const bool named = row.key.starts_with("clusters.") || row.key.starts_with("databases.") ||
                       row.key.starts_with("users.");
    if (!named || row.key.find("routing") != std::string::npos ||
        row.key.find("pool.") != std::string::npos) {
      CHECK(row.value == row.default_value);
    }
  }
}

TEST_CASE("config/weir.toml: names every key, in its table") {
  // "section." of each line that mentions "key = ".
  static const std::regex table(R"(^#? ?\[+([^\]]+)\]+$)");
  static const std::regex mention(R"((\w+) = )");
  std::set<std::string> mentioned;
  std::string section;
  for (const std::string& line : lines_of(read("config/weir.toml"))) {
    std::smatch match;
    if (std::regex_match(line, match, table)) {
      section = match[1].str() + ".";
      continue;
    }
    const std::size_t inner = line.find("pool = {");
    for (std::sregex_iterator at(line.begin(), line.end(), mention), end; at != end; ++at) {
      const bool in_pool = inner != std::string::npos && (*at)[1] != "pool";
      mentioned.insert(section + (in_pool ? "pool." : "") + (*at)[1].str());
    }
  }
  for (const std::string& key : known_keys()) {
    CHECK_MESSAGE(mentioned.contains(section_of_example(key)), key);
  }
}
