#include "protocol/error.h"

#include "protocol/backend.h"

namespace protocol {
namespace {

std::string_view severity_name(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "ERROR";
    case Severity::kFatal:
      return "FATAL";
    case Severity::kNotice:
      return "NOTICE";
    case Severity::kWarning:
      return "WARNING";
  }
  return "ERROR";
}

void field(MessageWriter& message, char code, std::string_view value) {
  message.u8(static_cast<std::uint8_t>(code));
  message.cstring(value);
}

void write(Buffer& out, char type, const Error& error) {
  MessageWriter message(out, type);
  const std::string_view severity = severity_name(error.severity);
  field(message, 'S', severity);  // may be translated
  field(message, 'V', severity);  // never is
  field(message, 'C', error.code);
  field(message, 'M', error.message);
  if (!error.detail.empty()) field(message, 'D', error.detail);
  if (!error.hint.empty()) field(message, 'H', error.hint);
  message.u8(0);
}

}  // namespace

void write_error(Buffer& out, const Error& error) { write(out, backend::kError, error); }
void write_notice(Buffer& out, const Error& error) { write(out, backend::kNotice, error); }

std::optional<ErrorView> decode_error(Bytes body) {
  ErrorView view;
  std::string_view translated_severity;
  Reader in(body);
  while (const char code = static_cast<char>(in.u8())) {
    const std::string_view value = in.cstring();
    if (code == 'V') view.severity = value;
    if (code == 'S') translated_severity = value;
    if (code == 'C') view.code = value;
    if (code == 'M') view.message = value;
    if (code == 'D') view.detail = value;
    if (code == 'H') view.hint = value;
    if (code == 'R') view.routine = value;
  }
  if (!in.done()) return std::nullopt;
  if (view.severity.empty()) view.severity = translated_severity;  // before PostgreSQL 9.6
  return view;
}

}  // namespace protocol
