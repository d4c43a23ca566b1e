// Nanoseconds per analysis: a text seen before, a shape seen before, and a first sight.
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <string>
#include <vector>

#include "sql/analyzer.h"

namespace {

using Clock = std::chrono::steady_clock;

const std::vector<std::string> kTexts = {
    "SELECT 1",
    "SELECT abalance FROM pgbench_accounts WHERE aid = 1234;",
    "UPDATE pgbench_accounts SET abalance = abalance + -4021 WHERE aid = 57102;",
    "SELECT u.id, u.name, count(o.id), sum(o.total) FROM users u LEFT JOIN orders o ON o.user_id = "
    "u.id WHERE u.created_at > now() - interval '30 days' AND u.state IN ('a', 'b', 'c') GROUP BY "
    "u.id, u.name HAVING count(o.id) > 3 ORDER BY sum(o.total) DESC LIMIT 20",
    "INSERT INTO events (id, kind, body, at) VALUES (1, 'x', '{}', now()), (2, 'y', '{}', now()), "
    "(3, 'z', '{}', now()) ON CONFLICT (id) DO NOTHING RETURNING id",
};

template <typename Work>
double ns_each(std::size_t count, Work work) {
  const auto begin = Clock::now();
  for (std::size_t i = 0; i < count; ++i) work(i);
  return std::chrono::duration<double, std::nano>(Clock::now() - begin).count() /
         static_cast<double>(count);
}

void measure(const std::string& text) {
  constexpr std::size_t kTextHits = 2'000'000, kShapeHits = 50'000, kMisses = 5'000;
  sql::Analyzer analyzer({});
  std::size_t sink = 0;
  analyzer.analyze(text, nullptr, sql::Names::kAnywhere);
  const double by_text = ns_each(kTextHits, [&](std::size_t) {
    sink += analyzer.analyze(text, nullptr, sql::Names::kAnywhere)->shape;
  });
  // Each text is new, its shape is not; then neither is.
  std::vector<std::string> same_shape, new_shape;
  for (std::size_t i = 0; i < kShapeHits; ++i)
    same_shape.push_back(text.substr(0, 6) + " " + text.substr(6) + " /* " + std::to_string(i) +
                         " */");
  for (std::size_t i = 0; i < kMisses; ++i)
    new_shape.push_back(text + "; SELECT a" + std::to_string(i));
  const double by_shape = ns_each(same_shape.size(), [&](std::size_t i) {
    sink += analyzer.analyze(same_shape[i], nullptr, sql::Names::kAnywhere)->shape;
  });
  const double miss = ns_each(new_shape.size(), [&](std::size_t i) {
    sink += analyzer.analyze(new_shape[i], nullptr, sql::Names::kAnywhere)->shape;
  });
  std::printf("%9.0f %9.0f %9.0f   %.60s%s\n", by_text, by_shape, miss, text.c_str(),
              sink == 0 ? "!" : "");
}

}  // namespace

int main() {
  std::printf("%9s %9s %9s\n", "text ns", "shape ns", "miss ns");
  for (const std::string& text : kTexts) measure(text);
}
