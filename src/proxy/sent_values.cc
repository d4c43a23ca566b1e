#include "proxy/sent_values.h"

#include <algorithm>
#include <utility>

namespace proxy {
namespace {

// Cut between characters, if it is UTF-8.
std::string_view front(std::string_view text, std::size_t most) {
  if (text.size() <= most) return text;
  while (most > 0 && (static_cast<unsigned char>(text[most]) & 0xC0) == 0x80) --most;
  return text.substr(0, most);
}

void add_quoted(std::string& to, std::string_view value) {
  const std::string_view shown = front(value, SentValues::kValueMax);
  to += '\'';
  for (const char c : shown) {
    if (c == '\'') to += '\'';
    to += c;
  }
  to += shown.size() < value.size() ? "...'" : "'";
}

void add_hex(std::string& to, protocol::Bytes value) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  to += "'\\x";
  for (const std::uint8_t byte : value.first(std::min(value.size(), SentValues::kValueMax / 2))) {
    to += kDigits[byte >> 4];
    to += kDigits[byte & 15];
  }
  to += value.size() > SentValues::kValueMax / 2 ? "...'" : "'";
}

}  // namespace

// The oldest one goes: most likely it was answered.
void SentValues::make_room() {
  if (sent_.size() >= kSentMax) sent_.erase(sent_.begin());
}

void SentValues::note_text(Ref what, std::string_view text) {
  make_room();
  if (text.ends_with('\0')) text.remove_suffix(1);
  std::string shown(front(text, kShownMax));
  if (shown.size() < text.size()) shown += "...";
  sent_.push_back({.what = what, .is_text = true, .ended = false, .shown = std::move(shown)});
}

void SentValues::note_parameters(Ref what, protocol::Bytes of_bind) {
  make_room();
  protocol::Reader reader(of_bind);
  std::vector<bool> binary;
  for (int n = reader.i16(); n > 0 && reader.ok(); --n) binary.push_back(reader.i16() == 1);
  const int count = reader.i16();
  std::string shown;
  for (int i = 0; i < count && reader.ok() && shown.size() < kShownMax; ++i) {
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
  sent_.push_back({.what = what, .is_text = false, .ended = false, .shown = std::move(shown)});
}

void SentValues::on_end(Ref what) {
  const auto oldest = std::ranges::find_if(
      sent_, [what](const Sent& sent) { return sent.what == what && !sent.ended; });
  if (oldest != sent_.end()) oldest->ended = true;
}

void SentValues::forget_ended() {
  std::erase_if(sent_, [](const Sent& s) { return s.ended; });
}

const SentValues::Sent* SentValues::only(Ref what) const {
  const auto first = std::ranges::find(sent_, what, &Sent::what);
  if (first == sent_.end()) return nullptr;
  const bool several = std::find_if(first + 1, sent_.end(), [what](const Sent& sent) {
                         return sent.what == what;
                       }) != sent_.end();
  return several ? nullptr : &*first;
}

}  // namespace proxy
