// The startup parameter "options": the command line switches of postgres(1) that a client may give.
// Follows pg_split_opts() and process_postgres_switches() of PostgreSQL.
#include <algorithm>
#include <cstdlib>

#include "protocol/startup.h"

namespace protocol {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

std::vector<std::string> split_words(std::string_view text) {
  std::vector<std::string> words;
  std::size_t at = 0;
  while (true) {
    while (at < text.size() && is_blank(text[at])) ++at;
    if (at == text.size()) return words;
    std::string word;
    bool escaped = false;
    for (; at < text.size() && (escaped || !is_blank(text[at])); ++at) {
      escaped = !escaped && text[at] == '\\';
      if (!escaped) word.push_back(text[at]);
    }
    words.push_back(std::move(word));
  }
}

// "name=value"; dashes in the name stand for underscores.
bool add_assignment(Settings& settings, std::string_view text) {
  const std::size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return false;
  std::string name(text.substr(0, equals));
  std::replace(name.begin(), name.end(), '-', '_');
  settings.emplace_back(std::move(name), text.substr(equals + 1));
  return true;
}

void add_debug_level(Settings& settings, const std::string& text) {
  const int level = std::clamp(std::atoi(text.c_str()), 0, 1000);
  settings.emplace_back("log_min_messages", level > 0 ? "debug" + std::to_string(level) : "notice");
  if (level >= 2) settings.emplace_back("log_statement", "all");
  if (level >= 3) settings.emplace_back("debug_print_parse", "true");
  if (level >= 4) settings.emplace_back("debug_print_plan", "true");
  if (level >= 5) settings.emplace_back("debug_print_rewritten", "true");
}

bool add_forbidden_plan(Settings& settings, std::string_view text) {
  constexpr std::pair<char, std::string_view> kPlans[] = {
      {'s', "enable_seqscan"},    {'i', "enable_indexscan"}, {'o', "enable_indexonlyscan"},
      {'b', "enable_bitmapscan"}, {'t', "enable_tidscan"},   {'n', "enable_nestloop"},
      {'m', "enable_mergejoin"},  {'h', "enable_hashjoin"}};
  for (const auto& [letter, name] : kPlans) {
    if (!text.empty() && text[0] == letter) {
      settings.emplace_back(name, "false");
      return true;
    }
  }
  return false;
}

bool add_statistics(Settings& settings, std::string_view text) {
  if (text.starts_with("pa")) {
    settings.emplace_back("log_parser_stats", "true");
  } else if (text.starts_with("pl")) {
    settings.emplace_back("log_planner_stats", "true");
  } else if (text.starts_with("e")) {
    settings.emplace_back("log_executor_stats", "true");
  } else {
    return false;
  }
  return true;
}

bool takes_value(char letter) {
  return std::string_view("BCcDdfhkNprStvW-").find(letter) != std::string_view::npos;
}

// False: postgres(1) would refuse the switch.
bool add_switch(Settings& settings, char letter, const std::string& value) {
  switch (letter) {
    case 'c':
    case '-':
      return add_assignment(settings, value);
    case 'd':
      add_debug_level(settings, value);
      return true;
    case 'f':
      return add_forbidden_plan(settings, value);
    case 't':
      return add_statistics(settings, value);
    case 'B':
      settings.emplace_back("shared_buffers", value);
      return true;
    case 'e':
      settings.emplace_back("datestyle", "euro");
      return true;
    case 'F':
      settings.emplace_back("fsync", "false");
      return true;
    case 'h':
      settings.emplace_back("listen_addresses", value);
      return true;
    case 'i':
      settings.emplace_back("listen_addresses", "*");
      return true;
    case 'k':
      settings.emplace_back("unix_socket_directories", value);
      return true;
    case 'l':
      settings.emplace_back("ssl", "true");
      return true;
    case 'N':
      settings.emplace_back("max_connections", value);
      return true;
    case 'O':
      settings.emplace_back("allow_system_table_mods", "true");
      return true;
    case 'P':
      settings.emplace_back("ignore_system_indexes", "true");
      return true;
    case 'p':
      settings.emplace_back("port", value);
      return true;
    case 'S':
      settings.emplace_back("work_mem", value);
      return true;
    case 's':
      settings.emplace_back("log_statement_stats", "true");
      return true;
    case 'W':
      settings.emplace_back("post_auth_delay", value);
      return true;
    // Without effect when a client gives them.
    case 'b':
    case 'C':
    case 'D':
    case 'E':
    case 'j':
    case 'n':
    case 'r':
    case 'T':
    case 'v':
      return true;
    default:
      return false;  // any other byte: not an enumeration
  }
}

}  // namespace

std::optional<Settings> parse_options(std::string_view options) {
  Settings settings;
  const std::vector<std::string> words = split_words(options.substr(0, options.find('\0')));
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "--" && i + 1 == words.size()) break;  // "end of switches", and nothing behind it
    if (word.size() < 2 || word[0] != '-' || word == "--") return std::nullopt;
    // As getopt(): letters may share a word; the first that takes a value has the rest of the
    // word, or else the next word.
    for (std::size_t at = 1; at < word.size(); ++at) {
      std::string value;
      const char letter = word[at];
      if (takes_value(letter)) {
        value = word.substr(at + 1);
        if (value.empty() && ++i == words.size()) return std::nullopt;
        if (value.empty()) value = words[i];
        at = word.size() - 1;
      }
      if (!add_switch(settings, letter, value)) return std::nullopt;
    }
  }
  return settings;
}

}  // namespace protocol
