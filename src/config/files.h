// The few questions that loading a configuration asks of the file system. Internal to config/.
//
// The one place in this otherwise pure folder that touches files: that a configuration which exists
// is valid includes that the files it names are there.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"

namespace config {

// OK, or why a regular file cannot be read: "no such file", "permission denied", ...
absl::Status readable(const std::string& path);

// The whole file, which may be a pipe; an error when it is longer than bytes_max.
absl::StatusOr<std::string> read_file(const std::string& path, std::size_t bytes_max);

// Relative names start in the folder of `source`, the configuration file.
std::string resolve(std::string_view source, std::string_view path);

}  // namespace config
