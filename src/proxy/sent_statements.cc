#include "proxy/sent_statements.h"

#include <algorithm>
#include <ranges>
#include <utility>

#include "base/hex.h"
#include "base/utf8.h"

namespace proxy {
namespace {

void add_quoted(std::string& to, std::string_view value) {
  const std::string_view shown = base::utf8_front(value, SentStatements::kValueMax);
  to += '\'';
  for (const char c : shown) {
    if (c == '\'') to += '\'';
    to += c;
  }
  to += shown.size() < value.size() ? "...'" : "'";
}

void add_hex(std::string& to, protocol::Bytes value) {
  constexpr std::size_t kMost = SentStatements::kValueMax / 2;
  to += "'\\x";
  base::append_hex(to, value.first(std::min(value.size(), kMost)));
  to += value.size() > kMost ? "...'" : "'";
}

}  // namespace

SentStatements::Sent& SentStatements::add(Ref what) {
  if (sent_.size() >= kSentMax) sent_.erase(sent_.begin());  // most likely it was answered
  Sent& sent = sent_.emplace_back();
  sent.what = what;
  return sent;
}

void SentStatements::on_end(Ref what) {
  const auto oldest = std::ranges::find_if(
      sent_, [what](const Sent& sent) { return sent.what == what && !sent.ended; });
  if (oldest != sent_.end()) oldest->ended = true;
}

void SentStatements::on_retry(base::Time now, std::string_view host) {
  std::erase_if(sent_, [](const Sent& sent) { return !sent.ended; });
  if (retries_.size() < kRetriesMax) retries_.push_back({now, std::string(host)});
}

void SentStatements::forget_ended() {
  std::erase_if(sent_, [](const Sent& sent) { return sent.ended; });
  retries_.clear();
}

void SentStatements::clear() {
  sent_.clear();
  retries_.clear();
}

const SentStatements::Sent* SentStatements::ended(Ref what) const {
  for (const Sent& sent : std::views::reverse(sent_)) {
    if (sent.ended) return sent.what == what ? &sent : nullptr;
  }
  return nullptr;
}

bool SentStatements::any_traced() const {
  return std::ranges::any_of(sent_, [](const Sent& sent) { return sent.trace.has_value(); });
}

std::string shown_text(std::string_view text) {
  if (text.ends_with('\0')) text.remove_suffix(1);
  std::string shown(base::utf8_front(text, SentStatements::kShownMax));
  if (shown.size() < text.size()) shown += "...";
  return shown;
}

std::string shown_parameters(protocol::Bytes of_bind) {
  protocol::Reader reader(of_bind);
  std::vector<bool> binary;
  for (int n = reader.i16(); n > 0 && reader.ok(); --n) binary.push_back(reader.i16() == 1);
  const int count = reader.i16();
  std::string shown;
  for (int i = 0; i < count && reader.ok() && shown.size() < SentStatements::kShownMax; ++i) {
    const std::int32_t size = reader.i32();
    const protocol::Bytes value =
        size < 0 ? protocol::Bytes() : reader.bytes(static_cast<std::size_t>(size));
    if (!reader.ok()) break;
    shown.append(i == 0 ? "$" : ", $").append(std::to_string(i + 1)).append(" = ");
    const auto format = static_cast<std::size_t>(i);
    const bool is_binary =
        binary.size() == 1 ? binary[0] : format < binary.size() && binary[format];
    if (size < 0) {
      shown += "NULL";
    } else if (is_binary) {
      add_hex(shown, value);
    } else {
      add_quoted(shown, protocol::as_text(value));
    }
  }
  return shown;
}

}  // namespace proxy
