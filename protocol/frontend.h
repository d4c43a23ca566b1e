// The messages a client sends: decoders (proxy, server side) and encoders (proxy as a client).
// Decoders answer nullopt on a malformed body; their views live as long as the body.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "protocol/buffer.h"
#include "protocol/bytes.h"

namespace protocol {

namespace frontend {  // message types
inline constexpr char kBind = 'B', kClose = 'C', kCopyData = 'd', kCopyDone = 'c', kCopyFail = 'f',
                      kDescribe = 'D', kExecute = 'E', kFlush = 'H', kFunctionCall = 'F',
                      kParse = 'P', kPassword = 'p', kQuery = 'Q', kSync = 'S', kTerminate = 'X';
}  // namespace frontend

bool is_frontend_type(char type);  // one of the above

struct Parse {
  std::string_view statement, query;
  Bytes types;  // as on the wire: int16 count, then int32 OIDs
};
struct Bind {
  std::string_view portal, statement;
  Bytes rest;  // formats, parameters, result formats; not looked at: the server does
};
struct Describe {  // also Close
  char kind;       // 'S' statement, 'P' portal
  std::string_view name;
};
struct Execute {
  std::string_view portal;
  std::uint32_t max_rows;  // 0 = all
};

std::optional<Parse> decode_parse(Bytes body);
std::optional<Bind> decode_bind(Bytes body);
std::optional<Describe> decode_describe(Bytes body);
std::optional<Execute> decode_execute(Bytes body);
std::optional<std::string_view> decode_query(Bytes body);  // one string, nothing behind it

// The text parameter values of a Bind whose formats are all text; nullopt element = NULL.
// For the console. nullopt when malformed or binary.
std::optional<std::vector<std::optional<std::string_view>>> bind_text_parameters(const Bind& bind);
// Result format codes of a Bind (0 text, 1 binary), empty = all text.
std::optional<std::vector<std::int16_t>> bind_result_formats(const Bind& bind);

void write_query(Buffer& out, std::string_view sql);
void write_parse(Buffer& out, std::string_view statement, std::string_view query, Bytes types);
void write_bind(Buffer& out, std::string_view portal, std::string_view statement, Bytes rest);
void write_describe(Buffer& out, char kind, std::string_view name);
void write_close(Buffer& out, char kind, std::string_view name);
void write_execute(Buffer& out, std::string_view portal, std::uint32_t max_rows);
void write_sync(Buffer& out);
void write_terminate(Buffer& out);
void write_password(Buffer& out, std::string_view password);  // cleartext and md5 answers

}  // namespace protocol
