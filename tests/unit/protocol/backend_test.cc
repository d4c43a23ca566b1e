#include "protocol/backend.h"

#include <doctest/doctest.h>

#include "feed.h"

using namespace feed;
using namespace protocol;  // NOLINT: every name here is the codec's

namespace {

template <class Write>
std::string wire_of(Write write) {
  Buffer out;
  write(out);
  return written(out);
}

}  // namespace

TEST_CASE("backend types are those of the documentation") {
  std::string known;
  for (int c = -128; c < 128; ++c) {
    if (is_backend_type(static_cast<char>(c))) known.push_back(static_cast<char>(c));
  }
  CHECK(known == "123ACDEGHIKNRSTVWZcdnstv");  // in ASCII order
}

// The expected bytes below were sent by PostgreSQL 15, except where the documentation is named.
TEST_CASE("encoders write the bytes that PostgreSQL writes") {
  CHECK(wire_of([](Buffer& out) { write_authentication(out, AuthRequest::kOk); }) ==
        "R\0\0\0\x08\0\0\0\0"_wire);
  CHECK(wire_of([](Buffer& out) {
          write_authentication(out, AuthRequest::kMd5, as_bytes("\xa2\xea}\xf3"));
        }) == "R\0\0\0\x0c\0\0\0\x05\xa2\xea}\xf3"_wire);
  CHECK(wire_of([](Buffer& out) {
          const std::string_view names[] = {"SCRAM-SHA-256"};
          write_sasl_mechanisms(out, names);
        }) == "R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"_wire);
  CHECK(wire_of([](Buffer& out) { write_parameter_status(out, "DateStyle", "ISO, MDY"); }) ==
        "S\0\0\0\x17"
        "DateStyle\0ISO, MDY\0"_wire);
  CHECK(wire_of([](Buffer& out) { write_backend_key_data(out, 0x2f91, as_bytes("s\xebkS")); }) ==
        "K\0\0\0\x0c\0\0\x2f\x91s\xebkS"_wire);
  CHECK(wire_of([](Buffer& out) { write_ready_for_query(out, 'I'); }) == "Z\0\0\0\x05I"_wire);
  CHECK(wire_of([](Buffer& out) { write_command_complete(out, "SELECT 1"); }) ==
        "C\0\0\0\x0dSELECT 1\0"_wire);
  CHECK(wire_of([](Buffer& out) { write_parse_complete(out); }) == "1\0\0\0\x04"_wire);
  CHECK(wire_of([](Buffer& out) { write_bind_complete(out); }) == "2\0\0\0\x04"_wire);
  CHECK(wire_of([](Buffer& out) { write_close_complete(out); }) == "3\0\0\0\x04"_wire);
  CHECK(wire_of([](Buffer& out) { write_empty_query(out); }) == "I\0\0\0\x04"_wire);
  // By the documentation: NoData and PortalSuspended.
  CHECK(wire_of([](Buffer& out) { write_no_data(out); }) == "n\0\0\0\x04"_wire);
  CHECK(wire_of([](Buffer& out) { write_portal_suspended(out); }) == "s\0\0\0\x04"_wire);
}

TEST_CASE("rows: the bytes of PostgreSQL's answer to select 1 as one, null::text as two, 'abc'") {
  const Column columns[] = {
      {.name = "one", .type_oid = 23, .type_size = 4}, {.name = "two"}, {.name = "?column?"}};
  CHECK(wire_of([&](Buffer& out) { write_row_description(out, columns); }) ==
        "T\0\0\0M\0\x03one\0\0\0\0\0\0\0\0\0\0\x17\0\x04\xff\xff\xff\xff\0\0"
        "two\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"
        "?column?\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0"_wire);
  const std::optional<std::string> values[] = {"1", std::nullopt, "abc"};
  const std::string row = wire_of([&](Buffer& out) { write_data_row(out, values); });
  CHECK(row ==
        "D\0\0\0\x16\0\x03\0\0\0\x01"
        "1\xff\xff\xff\xff\0\0\0\x03"
        "abc"_wire);

  const std::string row_body = row.substr(5);
  const auto read = decode_data_row(as_bytes(row_body));
  REQUIRE(read);
  REQUIRE(read->size() == 3);
  CHECK((*read)[0] == "1");
  CHECK_FALSE((*read)[1]);
  CHECK((*read)[2] == "abc");
  every_prefix(row_body, [](Bytes in) { CHECK_FALSE(decode_data_row(in)); });
  CHECK_FALSE(decode_data_row(as_bytes(join(row_body, "x"))));
  every_mutation(row_body, 4, [](Bytes in) { (void)decode_data_row(in); });
}

TEST_CASE("DataRow: counts and lengths that promise more than there is") {
  CHECK_FALSE(decode_data_row(as_bytes("\xff\xff"_wire)));
  CHECK_FALSE(decode_data_row(as_bytes("\0\x01\x7f\xff\xff\xff"_wire)));
  CHECK_FALSE(decode_data_row(as_bytes("\0\x01\xff\xff\xff\xfe"_wire)));
  CHECK(decode_data_row(as_bytes("\0\0"_wire))->empty());
  CHECK((*decode_data_row(as_bytes("\0\x01\0\0\0\0"_wire)))[0] == "");
}

TEST_CASE("a row of one value") {
  const std::string_view row_body =
      "\0\x01\0\0\0\x03"
      "0/1"_wire;
  CHECK(decode_only_value(as_bytes(row_body)) == "0/1");
  CHECK(decode_only_value(as_bytes("\0\x01\xff\xff\xff\xff"_wire)) == "");  // NULL
  every_prefix(row_body, [](Bytes in) { CHECK_FALSE(decode_only_value(in)); });
  every_mutation(row_body, 4, [](Bytes in) { (void)decode_only_value(in); });
  CHECK_FALSE(decode_only_value(as_bytes(join(row_body, "x"))));
  CHECK_FALSE(decode_only_value(as_bytes("\0\0"_wire)));
  CHECK_FALSE(decode_only_value(as_bytes("\0\x02\0\0\0\0\0\0\0\0"_wire)));
  CHECK_FALSE(decode_only_value(as_bytes("\0\x01\xff\xff\xff\xfe"_wire)));
}

TEST_CASE("Authentication: requests and their data") {
  const auto ok = decode_authentication(as_bytes("\0\0\0\0"_wire));
  REQUIRE(ok);
  CHECK(ok->request == AuthRequest::kOk);
  const std::string_view md5 = "\0\0\0\x05salt"_wire;
  REQUIRE(decode_authentication(as_bytes(md5)));
  CHECK(as_text(decode_authentication(as_bytes(md5))->rest) == "salt");
  CHECK_FALSE(decode_authentication(as_bytes("\0\0\0\x05sal"_wire)));
  CHECK_FALSE(decode_authentication(as_bytes("\0\0\0\x05salty"_wire)));
  const std::string_view continued = "\0\0\0\x0br=abc"_wire;
  REQUIRE(decode_authentication(as_bytes(continued)));
  CHECK(decode_authentication(as_bytes(continued))->request == AuthRequest::kSaslContinue);
  CHECK(as_text(decode_authentication(as_bytes(continued))->rest) == "r=abc");
  for (const char* unknown :
       {"\0\0\0\x01", "\0\0\0\x04", "\0\0\0\x06", "\0\0\0\x0d", "\x01\0\0\0"}) {
    CHECK_FALSE(decode_authentication(as_bytes(std::string_view(unknown, 4))));
  }
  CHECK_FALSE(decode_authentication(as_bytes("\0\0\0"_wire)));
}

TEST_CASE("SASL mechanisms: a list that ends with an empty name") {
  // As sent by PostgreSQL 15 over TLS.
  const std::string_view list = "SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"_wire;
  CHECK(sasl_mechanisms(as_bytes(list)) ==
        std::vector<std::string_view>{"SCRAM-SHA-256-PLUS", "SCRAM-SHA-256"});
  every_prefix(list, [](Bytes in) { CHECK(sasl_mechanisms(in).empty()); });
  CHECK(sasl_mechanisms(as_bytes(join(list, "x"))).empty());
}

TEST_CASE("ParameterStatus: a name and a value, either may be empty") {
  const std::string_view wire = "application_name\0\0"_wire;
  const auto status = decode_parameter_status(as_bytes(wire));
  REQUIRE(status);
  CHECK(status->name == "application_name");
  CHECK(status->value.empty());
  every_prefix(wire, [](Bytes in) { CHECK_FALSE(decode_parameter_status(in)); });
  CHECK_FALSE(decode_parameter_status(as_bytes(join(wire, "x"))));
}

TEST_CASE("BackendKeyData: keys of 4 to 256 bytes") {
  std::string wire;
  const auto decoded = [&](std::size_t key_bytes) {
    wire = join("\0\0\0\x07"_wire, std::string(key_bytes, 'k'));
    return decode_backend_key_data(as_bytes(wire));
  };
  CHECK_FALSE(decoded(0));
  CHECK_FALSE(decoded(3));
  REQUIRE(decoded(4));
  CHECK(decoded(4)->pid == 7);
  CHECK(decoded(256));
  CHECK_FALSE(decoded(257));
  CHECK_FALSE(decode_backend_key_data(as_bytes("\0\0\0"_wire)));
}

TEST_CASE("ReadyForQuery: one of three letters") {
  for (const char status : {'I', 'T', 'E'}) {
    CHECK(decode_ready_for_query(as_bytes(std::string_view(&status, 1))) == status);
  }
  CHECK_FALSE(decode_ready_for_query(as_bytes("X")));
  CHECK_FALSE(decode_ready_for_query(as_bytes("II")));
  CHECK_FALSE(decode_ready_for_query({}));
}

TEST_CASE("CommandComplete: the tag") {
  CHECK(decode_command_complete(as_bytes("INSERT 0 5\0"_wire)) == "INSERT 0 5");
  CHECK_FALSE(decode_command_complete(as_bytes("INSERT 0 5")));
  CHECK_FALSE(decode_command_complete(as_bytes("INSERT\0 0 5\0"_wire)));
}
