#include "protocol/startup.h"

#include <doctest/doctest.h>

#include "feed.h"

using namespace feed;
using namespace protocol;  // NOLINT: every name here is the codec's

namespace {

using Status = StartupResult::Status;

constexpr std::size_t kMax = 10'000;

StartupResult read(std::string_view wire, std::size_t max_bytes = kMax) {
  return read_startup(as_bytes(wire), max_bytes);
}

// A startup packet around a body that begins with the version.
std::string packet(std::string_view body) {
  std::uint8_t length[4];
  store32(length, static_cast<std::uint32_t>(body.size() + 4));
  return join(as_text(length), body);
}

StartupMessage message_of(std::string_view wire) {
  const StartupResult result = read(wire);
  REQUIRE(result.status == Status::kPacket);
  CHECK(result.total == wire.size());
  return std::get<StartupMessage>(result.packet);
}

void check_error(const StartupResult& result, std::string_view code, std::string_view message) {
  REQUIRE(result.status == Status::kError);
  CHECK(result.error.severity == Severity::kFatal);
  CHECK(result.error.code == code);
  CHECK(result.error.message == message);
}

// As written by psql 15: version 3.0, five parameters.
const std::string kPsql = packet(
    "\0\x03\0\0user\0postgres\0database\0db\0application_name\0psql\0client_encoding\0UTF8\0"
    "options\0-c work_mem=1MB\0\0"_wire);

}  // namespace

TEST_CASE("startup: parameters in order") {
  const StartupMessage message = message_of(kPsql);
  CHECK(message.version == kVersion30);
  CHECK(message.spoken() == kVersion30);
  CHECK_FALSE(message.needs_negotiation());
  REQUIRE(message.parameters.size() == 5);
  CHECK(message.parameters[0].first == "user");
  CHECK(message.parameters[4].second == "-c work_mem=1MB");
  CHECK(message.parameter("database") == "db");
  CHECK(message.parameter("absent").empty());
}

TEST_CASE("startup: byte by byte it is needed whole, and what is behind it is not touched") {
  every_prefix(kPsql, [](Bytes in) { CHECK(read_startup(in, kMax).status == Status::kNeedMore); });
  const StartupResult result = read(join(kPsql, "Q\0\0\0"_wire));
  CHECK(result.status == Status::kPacket);
  CHECK(result.total == kPsql.size());
}

TEST_CASE("startup: given twice, the last value counts (PostgreSQL 15 was asked)") {
  const auto message = message_of(packet("\0\x03\0\0user\0nosuch\0user\0trusting\0\0"_wire));
  CHECK(message.parameter("user") == "trusting");
  CHECK(message.parameters.size() == 2);
}

TEST_CASE("startup: versions and protocol options") {
  const auto asked = [](std::string_view version, std::string_view more = "") {
    return message_of(packet(join(join(version, "user\0u\0"_wire), join(more, "\0"_wire))));
  };
  const auto v32 = asked("\0\x03\0\x02"_wire);
  CHECK(v32.spoken() == kVersion32);
  CHECK_FALSE(v32.needs_negotiation());
  // 3.1 was never used: it is answered with 3.0.
  CHECK(asked("\0\x03\0\x01"_wire).spoken() == kVersion30);
  CHECK(asked("\0\x03\0\x01"_wire).needs_negotiation());
  // "Grease" of newer libpq: 3.9999.
  CHECK(asked("\0\x03\x27\x0f"_wire).spoken() == kVersion32);
  CHECK(asked("\0\x03\x27\x0f"_wire).needs_negotiation());
  const auto options = asked("\0\x03\0\0"_wire, "_pq_.x\0y\0_pq_.z\0\0_pq\0v\0"_wire);
  CHECK(options.spoken() == kVersion30);
  CHECK(options.needs_negotiation());
  CHECK(options.protocol_options == std::vector<std::string>{"_pq_.x", "_pq_.z"});
  CHECK(options.parameters.size() == 2);  // user and "_pq", which is no protocol option
}

TEST_CASE("startup: the requests that are not a startup message") {
  const StartupResult ssl = read("\0\0\0\x08\x04\xd2\x16\x2f"_wire);
  REQUIRE(ssl.status == Status::kPacket);
  CHECK(std::holds_alternative<SslRequest>(ssl.packet));
  CHECK(ssl.total == 8);
  const StartupResult gss = read("\0\0\0\x08\x04\xd2\x16\x30"_wire);
  REQUIRE(gss.status == Status::kPacket);
  CHECK(std::holds_alternative<GssRequest>(gss.packet));
  const StartupResult cancel = read("\0\0\0\x10\x04\xd2\x16\x2e\0\0\x2f\x91s\xebkS"_wire);
  REQUIRE(cancel.status == Status::kPacket);
  CHECK(std::get<CancelRequest>(cancel.packet).pid == 0x2f91);
  CHECK(std::get<CancelRequest>(cancel.packet).key == "s\xebkS");
}

TEST_CASE("startup: cancel keys of 4 to 256 bytes") {
  const auto cancel = [](std::size_t key_bytes) {
    return read(packet(join("\x04\xd2\x16\x2e\0\0\0\x01"_wire, std::string(key_bytes, 'k'))));
  };
  CHECK(std::get<CancelRequest>(cancel(32).packet).key.size() == 32);
  CHECK(cancel(256).status == Status::kPacket);
  for (const std::size_t bad : {0, 3, 257}) {
    check_error(cancel(bad), sqlstate::kProtocolViolation,
                "invalid length of cancel key in cancel request packet");
  }
  check_error(read(packet("\x04\xd2\x16\x2e\0\0"_wire)), sqlstate::kProtocolViolation,
              "invalid length of cancel request packet");
}

// The texts below are those of PostgreSQL's ProcessStartupPacket().
TEST_CASE("startup: a bad length is told from the length word") {
  constexpr std::string_view kText = "invalid length of startup packet";
  check_error(read("\0\0\0\0"_wire), "08P01", kText);
  check_error(read("\0\0\0\x07"_wire), "08P01", kText);
  check_error(read("\xff\xff\xff\xff"_wire), "08P01", kText);
  check_error(read("GET / HTTP/1.1"), "08P01", kText);
  check_error(read("\x16\x03\x01\x02"_wire), "08P01", kText);
  check_error(read("\0\0\0\x21"_wire, 32), "08P01", kText);
  CHECK(read("\0\0\0\x20"_wire, 32).status == Status::kNeedMore);
  check_error(read(packet("\x04\xd2\x16\x2fx"_wire)), "08P01", kText);
}

TEST_CASE("startup: versions that nobody speaks") {
  check_error(read(packet("\0\x04\0\0user\0u\0\0"_wire)), "0A000",
              "unsupported frontend protocol 4.0: server supports 3.0 to 3.2");
  check_error(read(packet("\0\x02\0\0"_wire)), "0A000",
              "unsupported frontend protocol 2.0: server supports 3.0 to 3.2");
  check_error(read(packet("\x04\xd2\x16\x31"_wire)), "0A000",
              "unsupported frontend protocol 1234.5681: server supports 3.0 to 3.2");
}

TEST_CASE("startup: no user") {
  constexpr std::string_view kText = "no PostgreSQL user name specified in startup packet";
  check_error(read(packet("\0\x03\0\0\0"_wire)), "28000", kText);
  check_error(read(packet("\0\x03\0\0user\0\0\0"_wire)), "28000", kText);
  check_error(read(packet("\0\x03\0\0database\0d\0\0"_wire)), "28000", kText);
}

TEST_CASE("startup: a body that does not end where it should") {
  constexpr std::string_view kText =
      "invalid startup packet layout: expected terminator as last byte";
  for (const std::string_view body :
       {"\0\x03\0\0"_wire, "\0\x03\0\0user\0u\0"_wire, "\0\x03\0\0user\0u"_wire,
        "\0\x03\0\0user\0u\0\0\0"_wire, "\0\x03\0\0user\0"_wire, "\0\x03\0\0user\0u\0\0x\0"_wire}) {
    check_error(read(packet(body)), "08P01", kText);
  }
}

TEST_CASE("startup: encoders write the documented bytes") {
  Buffer out;
  const std::pair<std::string, std::string> parameters[] = {{"user", "u"}, {"database", "d"}};
  write_startup(out, kVersion30, parameters);
  CHECK(written(out) == "\0\0\0\x1b\0\x03\0\0user\0u\0database\0d\0\0"_wire);
  CHECK(message_of(written(out)).parameter("database") == "d");
  out.clear();
  write_ssl_request(out);
  CHECK(written(out) == "\0\0\0\x08\x04\xd2\x16\x2f"_wire);
  out.clear();
  write_cancel_request(out, 0x2f91, as_bytes("s\xebkS"));
  CHECK(written(out) == "\0\0\0\x10\x04\xd2\x16\x2e\0\0\x2f\x91s\xebkS"_wire);
}

TEST_CASE("negotiation: the bytes of PostgreSQL's answer to _pq_.x and _pq_.z") {
  const std::string_view wire = "v\0\0\0\x1a\0\x03\0\0\0\0\0\x02_pq_.x\0_pq_.z\0"_wire;
  Buffer out;
  write_negotiate_protocol_version(out, kVersion30, std::vector<std::string>{"_pq_.x", "_pq_.z"});
  CHECK(written(out) == wire);
  const auto read = decode_negotiate(body(out));
  REQUIRE(read);
  CHECK(read->spoken == kVersion30);
  CHECK(read->unknown == std::vector<std::string_view>{"_pq_.x", "_pq_.z"});
  every_prefix(wire.substr(5), [](Bytes in) { CHECK_FALSE(decode_negotiate(in)); });
  CHECK_FALSE(decode_negotiate(as_bytes("\0\x03\0\0\xff\xff\xff\xff\0"_wire)));
  CHECK_FALSE(decode_negotiate(as_bytes("\0\x03\0\0\0\0\0\0x"_wire)));
}

TEST_CASE("startup: damaged packets are refused or read, and nothing else") {
  every_mutation(kPsql, 5, [](Bytes in) {
    const StartupResult result = read_startup(in, kMax);
    if (result.status == Status::kPacket) CHECK(result.total <= in.size());
    if (result.status == Status::kError) CHECK_FALSE(result.error.message.empty());
  });
}
