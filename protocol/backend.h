// The messages a server sends: decoders and encoders. Same rules as frontend.h.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace protocol {

namespace backend {  // message types
inline constexpr char kAuthentication = 'R', kBackendKeyData = 'K', kBindComplete = '2',
                      kCloseComplete = '3', kCommandComplete = 'C', kCopyData = 'd',
                      kCopyDone = 'c', kCopyIn = 'G', kCopyOut = 'H', kCopyBoth = 'W',
                      kDataRow = 'D', kEmptyQuery = 'I', kError = 'E', kFunctionResult = 'V',
                      kNegotiateProtocolVersion = 'v', kNoData = 'n', kNotice = 'N',
                      kNotification = 'A', kParameterDescription = 't', kParameterStatus = 'S',
                      kParseComplete = '1', kPortalSuspended = 's', kReadyForQuery = 'Z',
                      kRowDescription = 'T';
}  // namespace backend

bool is_backend_type(char type);  // one of the above

enum class AuthRequest : std::uint32_t {
  kOk = 0,
  kKerberosV5 = 2,
  kCleartext = 3,
  kMd5 = 5,
  kGss = 7,
  kGssContinue = 8,
  kSspi = 9,
  kSasl = 10,
  kSaslContinue = 11,
  kSaslFinal = 12,
};
struct Authentication {
  AuthRequest request;
  Bytes rest;  // md5: 4 bytes of salt; SASL: mechanism list; continue and final: data
};
struct ParameterStatus {
  std::string_view name, value;
};
struct BackendKeyData {
  std::uint32_t pid;
  Bytes key;  // 4 bytes in 3.0; 4 to 256 in 3.2
};

std::optional<Authentication> decode_authentication(Bytes body);
std::vector<std::string_view> sasl_mechanisms(Bytes rest);  // empty when malformed
std::optional<ParameterStatus> decode_parameter_status(Bytes body);
std::optional<BackendKeyData> decode_backend_key_data(Bytes body);
std::optional<char> decode_ready_for_query(Bytes body);               // 'I', 'T' or 'E'
std::optional<std::string_view> decode_command_complete(Bytes body);  // the tag
// Column values of a DataRow; nullopt element = NULL.
std::optional<std::vector<std::optional<std::string_view>>> decode_data_row(Bytes body);
// The value of a row of one column, "" for NULL, without taking memory. nullopt: it is no such row.
std::optional<std::string_view> decode_only_value(Bytes body);

void write_authentication(Buffer& out, AuthRequest request, Bytes rest = {});
void write_sasl_mechanisms(Buffer& out, std::span<const std::string_view> names);
void write_parameter_status(Buffer& out, std::string_view name, std::string_view value);
void write_backend_key_data(Buffer& out, std::uint32_t pid, Bytes key);
void write_ready_for_query(Buffer& out, char status);
void write_command_complete(Buffer& out, std::string_view tag);
void write_parse_complete(Buffer& out);
void write_bind_complete(Buffer& out);
void write_close_complete(Buffer& out);
void write_no_data(Buffer& out);
void write_empty_query(Buffer& out);
void write_portal_suspended(Buffer& out);

struct Column {
  std::string name;
  std::uint32_t type_oid = 25;  // text
  std::int16_t type_size = -1;
  std::int16_t format = 0;
};
void write_row_description(Buffer& out, std::span<const Column> columns);
void write_data_row(Buffer& out, std::span<const std::optional<std::string>> values);  // text

}  // namespace protocol
