// What the terminal shows, as lines of text: tables that fit, and no byte of a stranger's that a
// terminal would obey.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace top {

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // each as long as `columns`
};

// UTF-8 of which each character takes one cell: control characters, those that change the
// direction of writing, and what is no UTF-8 become "?".
std::string clean(std::string_view text);

// Cells that a clean text takes.
std::size_t width_of(std::string_view text);

// A clean text, cut or filled with spaces to exactly so many cells.
std::string fitted(std::string_view text, std::size_t width);

// By one column, numbers by value and behind texts; equal ones keep their order.
void sort_rows(Table& table, std::size_t column, bool descending);

// A line for the heads, then one for each row from `first` on, at most `height` in all. Columns are
// as wide as their content, numbers to the right; what does not fit into `width` is cut at the
// right end. `sorted`: the column whose head is marked.
std::vector<std::string> lines_of(const Table& table, std::size_t first, std::size_t width,
                                  std::size_t height, std::size_t sorted);

}  // namespace top
