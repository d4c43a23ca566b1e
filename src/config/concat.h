// absl::StrCat and StrAppend that know std::string_view: Debian's Abseil is built with a string
// view of its own. Internal to config/.
#pragma once

#include <string>
#include <string_view>
#include <type_traits>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace config {

template <class T>
auto concat_piece(const T& part) {
  if constexpr (std::is_convertible_v<const T&, std::string_view>) {
    const std::string_view view = part;
    return absl::string_view(view.data(), view.size());
  } else {
    return part;  // numbers, absl::string_view
  }
}

template <class... Parts>
std::string concat(const Parts&... parts) {
  return absl::StrCat(concat_piece(parts)...);
}

template <class... Parts>
void append(std::string& out, const Parts&... parts) {
  absl::StrAppend(&out, concat_piece(parts)...);
}

}  // namespace config
