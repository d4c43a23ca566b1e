#include "admin/access.h"

#include <cstddef>
#include <optional>

#include "admin/text.h"

namespace admin {
namespace {

// An address or localhost, with or without a port.
bool is_address(std::string_view host) {
  if (host.starts_with('[')) return true;  // only an IPv6 address is written so
  host = host.substr(0, host.find(':'));
  if (equal_any_case(host, "localhost")) return true;
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// RFC 6750; nullopt when it is something else: of a proxy in front, which asks for a password.
std::optional<std::string_view> bearer(std::string_view authorization) {
  constexpr std::string_view kScheme = "bearer ";
  if (!equal_any_case(authorization.substr(0, kScheme.size()), kScheme)) return std::nullopt;
  authorization.remove_prefix(kScheme.size());
  while (authorization.starts_with(' ')) authorization.remove_prefix(1);
  return authorization;
}

}  // namespace

bool same_secret(std::string_view given, std::string_view secret) {
  if (secret.empty()) return false;
  unsigned difference = given.size() == secret.size() ? 0 : 1;
  for (std::size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^
                  static_cast<unsigned char>(secret[i % secret.size()]);
    asm volatile("" : "+r"(difference));  // no leaving early, whatever the optimizer thinks
  }
  return difference == 0;
}

Access access_of(const config::Admin& admin, std::string_view authorization,
                 std::string_view host) {
  if (const auto token = bearer(authorization)) {
    const bool may_command = same_secret(*token, admin.token);
    const bool may_look = same_secret(*token, admin.view_token);
    return may_command ? Access::kCommand : may_look ? Access::kLook : Access::kWrong;
  }
  if (admin.view_without_token) return is_address(host) ? Access::kLook : Access::kNameNeeds;
  return admin.token.empty() && admin.view_token.empty() ? Access::kClosed : Access::kNobody;
}

}  // namespace admin
