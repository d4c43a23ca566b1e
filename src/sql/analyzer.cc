#include "sql/analyzer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/utf8.h"
#include "sql/bounds.h"
#include "sql/cache.h"
#include "sql/classify.h"
#include "sql/parse_tree.h"
#include "sql/shape.h"
#include "sql/words.h"

namespace sql {
namespace {

constexpr std::size_t kTextKeyMax = 4096;  // longer texts are one-offs: known by shape only

struct Result {
  Analysis analysis;
  bool literals_matter = true;
};

// What nobody can read is a write. It may leave something if its words hint at state, or if there
// is anything that does, to be called or written.
Analysis unreadable(const char* why, bool hints_at_state, const Catalog* catalog) {
  const bool leaves = hints_at_state || catalog == nullptr || catalog->leaves();
  Analysis analysis;
  analysis.why = why;
  analysis.residue = leaves ? kUnreadable : kNoResidue;
  analysis.statements.push_back({.residue = analysis.residue});
  return analysis;
}

bool is_plain(const Analysis& analysis) {
  if (!analysis.parsed || analysis.residue != kNoResidue) return false;
  return std::all_of(analysis.statements.begin(), analysis.statements.end(),
                     [](const Statement& s) {
                       return (s.verb == Verb::kOther || s.verb == Verb::kSelect) && s.sets.empty();
                     });
}

void add_names(std::vector<std::string>& names, std::vector<std::string> more) {
  for (std::string& name : more) {
    if (names.size() == Analysis::kNamesMax) return;
    if (std::ranges::find(names, name) == names.end()) names.push_back(std::move(name));
  }
}

// Whether what stands behind it may mean other objects by the same names.
bool moves_names(const Statement& statement) {
  if (statement.verb == Verb::kResetAll || statement.verb == Verb::kDiscardAll) return true;
  return std::ranges::any_of(statement.sets, [](const SetStatement& set) {
    return set.name == "search_path" || set.name == "role" || set.name == "session_authorization";
  });
}

// The statements of a shape, "$" for literals. Their number is another one where a semicolon is no
// end: within BEGIN ATOMIC.
std::vector<std::string_view> parts_of(std::string_view shape) {
  std::vector<std::string_view> parts;
  while (!shape.empty()) {
    const bool is_empty = shape.starts_with("; ");
    const std::size_t end = is_empty ? 0 : std::min(shape.find(" ; "), shape.size());
    if (!is_empty) parts.push_back(shape.substr(0, end));
    shape.remove_prefix(std::min(end + (is_empty ? 2 : 3), shape.size()));
  }
  return parts;
}

void add_shown(Analysis& analysis, std::string_view shape) {
  if (analysis.residue == kNoResidue) return;
  const auto parts = parts_of(shape);
  const bool matches = parts.size() == analysis.statements.size();
  for (std::size_t i = 0; i < analysis.statements.size(); ++i) {
    Statement& statement = analysis.statements[i];
    if (statement.residue == kNoResidue) continue;
    std::string_view text = matches ? parts[i] : shape;
    if (text.ends_with(' ')) text.remove_suffix(1);
    statement.shown = base::utf8_front(text, Statement::kShownMax);
  }
}

Result parse_and_classify(std::string_view text, const Shape& shape, const Knowledge& knowledge) {
  Result result;
  Analysis& analysis = result.analysis;
  const std::string parsed_text(shape.reduced.empty() ? text : shape.reduced);
  const char* refused = shape.valid ? beyond_bounds(parsed_text) : "unterminated or not SQL";
  if (refused == nullptr) {
    if (const ParseTree tree = parse(parsed_text)) {
      result.literals_matter = false;
      analysis.parsed = true;
      analysis.access = Access::kNone;
      analysis.may_advance = false;
      analysis.statements.reserve(tree->n_stmts);
      for (std::size_t i = 0; i < tree->n_stmts; ++i) {
        Classified each = classify(*tree->stmts[i], parsed_text, knowledge);
        if (each.statement.access > analysis.access || analysis.why.empty())
          analysis.why = std::move(each.why);
        analysis.access = std::max(analysis.access, each.statement.access);
        analysis.residue |= each.statement.residue;
        analysis.may_advance = analysis.may_advance || (each.statement.may_advance &&
                                                        each.statement.access == Access::kWrite);
        result.literals_matter = result.literals_matter || each.literals_matter;
        analysis.primary_only = analysis.primary_only || each.primary_only;
        analysis.unknown_function = analysis.unknown_function || each.unknown_function;
        add_names(analysis.relations, std::move(each.relations));
        add_names(analysis.functions, std::move(each.functions));
        analysis.statements.push_back(std::move(each.statement));
      }
      if (knowledge.names == Names::kDefaultPath && analysis.statements.size() > 1 &&
          std::ranges::any_of(analysis.statements, moves_names)) {
        result = parse_and_classify(text, shape,
                                    {knowledge.harmless, knowledge.catalog, Names::kEverything});
        if (knowledge.catalog) result.analysis.catalog = knowledge.catalog->key(knowledge.names);
        return result;
      }
      analysis.plain = is_plain(analysis);
      add_shown(analysis, shape.text);
    } else {
      refused = "not understood by the parser";
    }
  }
  if (refused != nullptr) analysis = unreadable(refused, mentions_state(text), knowledge.catalog);
  analysis.shape = shape.hash;
  analysis.hints = shape.hints;
  analysis.catalog = knowledge.catalog != nullptr ? knowledge.catalog->key(knowledge.names) : 0;
  // What pins a session must not pin it to a replica.
  constexpr unsigned kUnknown =
      kOpaque | kUnreadable | kUnnamedSetting;  // whoever gives a hint knows better
  if (analysis.hints.route == Hint::kReplica && (analysis.residue & ~kUnknown) != 0) {
    analysis.hints.route = Hint::kNone;
  }
  return result;
}

// A text too long to be parsed: one pass over it, or over as much as a worker has time for.
Analysis scan_only(std::string_view text, Shaper& shaper, const Catalog* catalog) {
  constexpr std::size_t kWork = std::size_t{1} << 20;  // some 5 ms
  const Shape& shape = shaper.shape(text, {.state_words = true, .work_max = kWork});
  Analysis analysis =
      unreadable("too long to be analysed", shape.mentions_state || !shape.complete, catalog);
  analysis.shape = shape.hash;
  analysis.hints = shape.hints;
  return analysis;
}

}  // namespace

struct Analyzer::Cache {
  explicit Cache(std::size_t bytes) : analyses(bytes) {}
  AnalysisCache analyses;
  Shaper shaper;
  std::string shape_key;  // kept for its memory
};

Analyzer::Analyzer(AnalyzerOptions options)
    : cache_(std::make_unique<Cache>(options.cache_bytes)),
      options_(std::move(options)),
      patterns_(options_.patterns) {}

Analyzer::~Analyzer() = default;

AnalysisPtr Analyzer::analyze(std::string_view text, const Catalog* catalog, Names names) {
  using Key = AnalysisCache::Key;
  using Name = AnalysisCache::Name;
  AnalysisCache& cache = cache_->analyses;
  const std::uint64_t by = catalog != nullptr ? catalog->key(names) : 0;
  std::optional<Name> text_name;
  if (text.size() <= kTextKeyMax) {
    text_name.emplace(by, text);
    if (const AnalysisPtr* found = cache.find(Key::kText, *text_name)) {
      ++stats_.text_hits;
      return *found;
    }
  }
  if (text.size() > options_.analyze_bytes) {
    ++stats_.too_large;
    Analysis scanned = scan_only(text, cache_->shaper, catalog);
    scanned.catalog = by;
    scanned.patterns_of = patterns_.id();
    return std::make_shared<const Analysis>(std::move(scanned));
  }

  const Shape& shape = cache_->shaper.shape(text, {});
  // Hints are comments, and so not part of the shape.
  std::string& key = cache_->shape_key;
  key = shape.text;
  if (!key.empty() && shape.hints != Hints{}) {
    const Hints& hints = shape.hints;
    for (const std::uint64_t part :
         {std::uint64_t{static_cast<std::uint8_t>(hints.route)},
          std::uint64_t{static_cast<std::uint8_t>(hints.level)}, hints.min_lsn}) {
      key.append(1, '\0').append(std::to_string(part));
    }
  }
  // Nor does it tell which regexes match.
  const std::uint64_t by_pattern = patterns_.id() == 0 ? 0 : patterns_.by_text(text);
  if (const auto matched = by_pattern & patterns_.with_regex(); !key.empty() && matched != 0) {
    key.append(1, '\0').append(1, 'r').append(std::to_string(matched));
  }
  AnalysisPtr analysis;
  bool by_shape = false;
  const Name shape_name(by, key);
  if (const AnalysisPtr* found = key.empty() ? nullptr : cache.find(Key::kShape, shape_name)) {
    ++stats_.shape_hits;
    analysis = *found;
  } else {
    ++stats_.misses;
    Result result = parse_and_classify(text, shape, {options_.harmless_functions, catalog, names});
    result.analysis.patterns = patterns_.match(result.analysis, by_pattern);
    result.analysis.patterns_of = patterns_.id();
    by_shape = !key.empty() && !result.literals_matter && result.analysis.parsed;
    analysis = std::make_shared<const Analysis>(std::move(result.analysis));
  }
  if (by_shape) cache.put(Key::kShape, shape_name, analysis);
  // Literals that are new each time would only push out what is used.
  if (text_name && cache.seen_before(*text_name)) cache.put(Key::kText, *text_name, analysis);
  stats_.bytes = cache.bytes();
  return analysis;
}

std::string Analyzer::shown(std::string_view text) {
  // A literal that is cut off shows nothing of itself.
  constexpr std::size_t kLookedAt = 4096;
  std::string shown = cache_->shaper.shape(text.substr(0, kLookedAt), {}).text;
  if (shown.ends_with(' ')) shown.pop_back();
  return shown;
}

Analysis analyze_once(std::string_view text, const AnalyzerOptions& options, const Catalog* catalog,
                      Names names) {
  Shaper shaper;
  if (text.size() > options.analyze_bytes) return scan_only(text, shaper, catalog);
  return parse_and_classify(text, shaper.shape(text, {}),
                            {options.harmless_functions, catalog, names})
      .analysis;
}

}  // namespace sql
