// Joins a call and its callback, which may come before the call returns, or later elsewhere.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <utility>

#include "absl/functional/any_invocable.h"
#include "absl/functional/function_ref.h"

namespace admin {

// Calls begin(callback). When the callback was called before begin returned: answers its value,
// so that the caller goes on in its own frame (a loop, not a recursion) and with no lock of
// begin's held. Else answers nullopt, and the callback, when it comes, calls `later`.
template <class T>
std::optional<T> meet(absl::FunctionRef<void(absl::AnyInvocable<void(T)>)> begin,
                      absl::AnyInvocable<void(T)> later) {
  struct Meeting {
    std::atomic<bool> one_is_here{false};
    std::optional<T> value;
    absl::AnyInvocable<void(T)> later;
  };
  const auto meeting = std::make_shared<Meeting>();
  meeting->later = std::move(later);
  begin([meeting](T value) {
    meeting->value.emplace(std::move(value));
    if (meeting->one_is_here.exchange(true)) meeting->later(*std::move(meeting->value));
  });
  if (meeting->one_is_here.exchange(true)) return std::move(meeting->value);
  return std::nullopt;
}

}  // namespace admin
