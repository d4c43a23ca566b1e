// What an operator orders of a host, on the console.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace proxy {

struct HostOrder {
  enum class What : std::uint8_t {
    kChoosePrimary,
    kChooseByRules,  // takes that back; `host` is ""
    kBan,
    kUnban,
    kWeight,
    kPause,
    kResume,
  };
  What what = What::kBan;
  std::string host;                      // by its name, or as host:port
  std::string cluster;                   // "" = the only one with such a host
  std::optional<std::uint64_t> seconds;  // kBan: it ends by itself
  double weight = 0;                     // kWeight; 0 = as configured
};

// As the console takes it: "BAN main/db2 60".
std::string to_text(const HostOrder& order);

}  // namespace proxy
