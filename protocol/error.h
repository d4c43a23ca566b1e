// Errors and notices in PostgreSQL's own form.
// https://www.postgresql.org/docs/current/protocol-error-fields.html
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace protocol {

namespace sqlstate {  // https://www.postgresql.org/docs/current/errcodes-appendix.html
inline constexpr std::string_view kSuccess = "00000", kProtocolViolation = "08P01",
                                  kConnectionFailure = "08006", kCannotConnect = "08001",
                                  kConnectionRejected = "08004", kOutcomeUnknown = "08007",
                                  kFeatureNotSupported = "0A000", kInvalidParameterValue = "22023",
                                  kReadOnlyTransaction = "25006", kActiveSqlTransaction = "25001",
                                  kNoActiveTransaction = "25P01", kInFailedTransaction = "25P02",
                                  kIdleInTransactionTimeout = "25P03",
                                  kTransactionTimeout = "25P04", kInvalidStatementName = "26000",
                                  kInvalidAuthorization = "28000", kInvalidPassword = "28P01",
                                  kInvalidCatalogName = "3D000", kSerializationFailure = "40001",
                                  kDeadlockDetected = "40P01", kSyntaxError = "42601",
                                  kInsufficientPrivilege = "42501", kUndefinedObject = "42704",
                                  kInvalidName = "42602", kDuplicatePreparedStatement = "42P05",
                                  kUndefinedTable = "42P01", kTooManyConnections = "53300",
                                  kDiskFull = "53100", kOutOfMemory = "53200", kIoError = "58030",
                                  kDataCorrupted = "XX001", kIndexCorrupted = "XX002",
                                  kProgramLimitExceeded = "54000", kStatementTooComplex = "54001",
                                  kObjectNotInState = "55000", kCantChangeNow = "55P02",
                                  kQueryCanceled = "57014", kAdminShutdown = "57P01",
                                  kCrashShutdown = "57P02", kCannotConnectNow = "57P03",
                                  kIdleSessionTimeout = "57P05", kInternalError = "XX000";
}  // namespace sqlstate

enum class Severity : unsigned char { kError, kFatal, kNotice, kWarning };

struct Error {
  Severity severity = Severity::kError;
  std::string_view code;  // SQLSTATE, one of sqlstate::
  std::string message;
  std::string detail, hint;  // "" = absent
};

void write_error(Buffer& out, const Error& error);   // ErrorResponse
void write_notice(Buffer& out, const Error& error);  // NoticeResponse

// Views of the fields of an ErrorResponse or NoticeResponse body; "" = absent.
struct ErrorView {
  std::string_view severity, code, message, detail, hint, routine;
};
std::optional<ErrorView> decode_error(Bytes body);

}  // namespace protocol
