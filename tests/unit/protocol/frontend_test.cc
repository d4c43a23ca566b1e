#include "protocol/frontend.h"

#include <doctest/doctest.h>

#include "feed.h"

using namespace feed;
using namespace protocol;  // NOLINT: every name here is the codec's

namespace {

// Bind of documentation's fields: portal "p", statement "s", formats {0}, values "42" and NULL,
// result formats {1, 0}.
const std::string_view kBindRest =
    "\0\x01\0\0"
    "\0\x02\0\0\0\x02"
    "42\xff\xff\xff\xff"
    "\0\x02\0\x01\0\0"_wire;
const std::string kBindBody = join("p\0s\0"_wire, kBindRest);

Bind bind_of(std::string_view rest) { return {"", "", as_bytes(rest)}; }

}  // namespace

TEST_CASE("frontend types are those of the documentation") {
  std::string known;
  for (int c = -128; c < 128; ++c) {
    if (is_frontend_type(static_cast<char>(c))) known.push_back(static_cast<char>(c));
  }
  CHECK(known == "BCDEFHPQSXcdfp");  // in ASCII order
}

TEST_CASE("encoders write the documented bytes") {
  const auto wire = [](auto write) {
    Buffer out;
    write(out);
    return written(out);
  };
  CHECK(wire([](Buffer& out) { write_query(out, "select 1"); }) == "Q\0\0\0\x0dselect 1\0"_wire);
  CHECK(wire([](Buffer& out) {
          write_parse(out, "s1", "select $1", as_bytes("\0\x01\0\0\0\x17"_wire));
        }) == "P\0\0\0\x17s1\0select $1\0\0\x01\0\0\0\x17"_wire);
  CHECK(wire([](Buffer& out) { write_bind(out, "", "s1", as_bytes("\0\0\0\0\0\0"_wire)); }) ==
        "B\0\0\0\x0e\0s1\0\0\0\0\0\0\0"_wire);
  CHECK(wire([](Buffer& out) { write_describe(out, 'P', ""); }) == "D\0\0\0\x06P\0"_wire);
  CHECK(wire([](Buffer& out) { write_close(out, 'S', "s1"); }) == "C\0\0\0\x08Ss1\0"_wire);
  CHECK(wire([](Buffer& out) { write_execute(out, "", 256); }) == "E\0\0\0\x09\0\0\0\x01\0"_wire);
  CHECK(wire([](Buffer& out) { write_sync(out); }) == "S\0\0\0\x04"_wire);
  CHECK(wire([](Buffer& out) { write_terminate(out); }) == "X\0\0\0\x04"_wire);
  CHECK(wire([](Buffer& out) { write_password(out, "md5x"); }) == "p\0\0\0\x09md5x\0"_wire);
}

TEST_CASE("Parse: names, text and types") {
  const std::string_view wire = "s1\0select $1\0\0\x01\0\0\0\x17"_wire;
  const auto parse = decode_parse(as_bytes(wire));
  REQUIRE(parse);
  CHECK(parse->statement == "s1");
  CHECK(parse->query == "select $1");
  CHECK(as_text(parse->types) == "\0\x01\0\0\0\x17"_wire);
  every_prefix(wire, [](Bytes in) { CHECK_FALSE(decode_parse(in)); });
  CHECK_FALSE(decode_parse(as_bytes(join(wire, "x"))));
  CHECK_FALSE(decode_parse(as_bytes("s\0q\0\xff\xff\0\0\0\x17"_wire)));
  CHECK(decode_parse(as_bytes("\0\0\0\0"_wire)));
}

TEST_CASE("Bind: whole, cut anywhere, too long") {
  const auto bind = decode_bind(as_bytes(kBindBody));
  REQUIRE(bind);
  CHECK(bind->portal == "p");
  CHECK(bind->statement == "s");
  CHECK(as_text(bind->rest) == kBindRest);
  const auto is_whole = [](Bytes in) {
    const auto read = decode_bind(in);
    return read && bind_result_formats(*read);
  };
  CHECK(is_whole(as_bytes(kBindBody)));
  every_prefix(kBindBody, [&](Bytes in) { CHECK_FALSE(is_whole(in)); });
  CHECK_FALSE(is_whole(as_bytes(join(kBindBody, "x"))));
}

TEST_CASE("Bind: counts and lengths that promise more than there is") {
  const auto bad = [](std::string_view rest) {
    return !bind_text_parameters(bind_of(rest)) && !bind_result_formats(bind_of(rest));
  };
  CHECK(bad("\xff\xff"_wire));                        // 65535 formats
  CHECK(bad("\0\0\xff\xff\0\0\0\0"_wire));            // 65535 parameters
  CHECK(bad("\0\0\0\x01\x7f\xff\xff\xff\0\0"_wire));  // 2 GiB value
  CHECK(bad("\0\0\0\x01\xff\xff\xff\xfe\0\0"_wire));  // length -2
  CHECK(bad("\0\0\0\x02\0\0\0\0\0\0"_wire));          // the second value is missing
}

TEST_CASE("Bind: more than 32767 parameters, as the server reads counts unsigned") {
  std::string rest(join("\0\0"_wire, "\xff\xff"));
  for (int i = 0; i < 65535; ++i) rest += "\xff\xff\xff\xff";
  rest += "\0\0"_wire;
  CHECK(bind_text_parameters(bind_of(rest))->size() == 65535);
}

TEST_CASE("Bind: text parameters") {
  const auto values = bind_text_parameters(bind_of(kBindRest));
  REQUIRE(values);
  REQUIRE(values->size() == 2);
  CHECK((*values)[0] == "42");
  CHECK_FALSE((*values)[1]);
  CHECK(bind_text_parameters(bind_of("\0\0\0\0\0\0"_wire))->empty());
  // An empty value is not NULL.
  CHECK((*bind_text_parameters(bind_of("\0\0\0\x01\0\0\0\0\0\0"_wire)))[0] == "");
  // Binary, for all or for one.
  CHECK_FALSE(bind_text_parameters(bind_of("\0\x01\0\x01\0\0\0\0"_wire)));
  // Two formats for one value.
  CHECK_FALSE(bind_text_parameters(bind_of("\0\x02\0\0\0\0\0\x01\0\0\0\0\0\0"_wire)));
}

TEST_CASE("Bind: result formats") {
  CHECK(*bind_result_formats(bind_of(kBindRest)) == std::vector<std::int16_t>{1, 0});
  CHECK(bind_result_formats(bind_of("\0\0\0\0\0\0"_wire))->empty());
}

TEST_CASE("Describe and Close: a kind and a name") {
  const auto describe = decode_describe(as_bytes("Sname\0"_wire));
  REQUIRE(describe);
  CHECK(describe->kind == 'S');
  CHECK(describe->name == "name");
  CHECK(decode_describe(as_bytes("P\0"_wire))->kind == 'P');
  CHECK_FALSE(decode_describe(as_bytes("Xname\0"_wire)));
  every_prefix("Sname\0"_wire, [](Bytes in) { CHECK_FALSE(decode_describe(in)); });
  CHECK_FALSE(decode_describe(as_bytes("Sname\0x"_wire)));
}

TEST_CASE("Execute: zero and less mean all rows") {
  const std::string_view wire = "p\0\0\0\0\x05"_wire;
  const auto execute = decode_execute(as_bytes(wire));
  REQUIRE(execute);
  CHECK(execute->portal == "p");
  CHECK(execute->max_rows == 5);
  CHECK(decode_execute(as_bytes("\0\0\0\0\0"_wire))->max_rows == 0);
  CHECK(decode_execute(as_bytes("\0\xff\xff\xff\xff"_wire))->max_rows == 0);
  every_prefix(wire, [](Bytes in) { CHECK_FALSE(decode_execute(in)); });
  CHECK_FALSE(decode_execute(as_bytes(join(wire, "x"))));
}

TEST_CASE("Query: one string and nothing behind it") {
  CHECK(decode_query(as_bytes("select 1\0"_wire)) == "select 1");
  CHECK(decode_query(as_bytes("\0"_wire)) == "");
  CHECK_FALSE(decode_query(as_bytes("select 1")));
  CHECK_FALSE(decode_query(as_bytes("select\0 1\0"_wire)));
  CHECK_FALSE(decode_query({}));
}

TEST_CASE("what the encoders write, the decoders read") {
  Buffer out;
  write_parse(out, "name", "select $1, $2", as_bytes("\0\x02\0\0\0\x17\0\0\0\0"_wire));
  const auto parse = decode_parse(body(out));
  REQUIRE(parse);
  CHECK(parse->statement == "name");
  CHECK(parse->query == "select $1, $2");
  CHECK(parse->types.size() == 10);

  Buffer bound;
  write_bind(bound, "portal", "name", as_bytes(kBindRest));
  const auto bind = decode_bind(body(bound));
  REQUIRE(bind);
  CHECK(bind->portal == "portal");
  CHECK(as_text(bind->rest) == kBindRest);

  Buffer executed;
  write_execute(executed, "portal", 1000);
  CHECK(decode_execute(body(executed))->max_rows == 1000);
}

TEST_CASE("damaged messages are refused or read, and nothing else") {
  every_mutation(kBindBody, 2, [](Bytes in) {
    if (const auto bind = decode_bind(in)) {
      (void)bind_text_parameters(*bind);
      (void)bind_result_formats(*bind);
    }
  });
  every_mutation("s1\0select $1\0\0\x01\0\0\0\x17"_wire, 3,
                 [](Bytes in) { (void)decode_parse(in); });
}
