#include "config/units.h"

#include <doctest/doctest.h>

using namespace config;

TEST_CASE("durations") {
  CHECK(parse_duration("0") == milliseconds(0));
  CHECK(parse_duration("1500ms") == milliseconds(1500));
  CHECK(parse_duration("1500") == milliseconds(1500));
  CHECK(parse_duration("10s") == milliseconds(10'000));
  CHECK(parse_duration("5 min") == milliseconds(300'000));
  CHECK(parse_duration("1h") == milliseconds(3'600'000));
  CHECK(parse_duration("2d") == milliseconds(172'800'000));
  for (const char* text :
       {"", "s", "-1s", "+1s", "1.5s", "1 ", "1  s", "1S", "1m", "1 week", "1s1",
        "99999999999999999999s", "9223372036854775807s", "18446744073709551615"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
}

TEST_CASE("sizes") {
  CHECK(parse_size("0") == 0u);
  CHECK(parse_size("512B") == 512u);
  CHECK(parse_size("256kB") == 262'144u);
  CHECK(parse_size("64MB") == 67'108'864u);
  CHECK(parse_size("1 GB") == 1'073'741'824u);
  CHECK(parse_size("2TB") == 2'199'023'255'552u);
  CHECK(parse_size("18446744073709551615") == 18'446'744'073'709'551'615u);
  for (const char* text : {"", "kB", "1kb", "1K", "1MiB", "0x10", "16777216TB", "1.5GB"}) {
    INFO(text);
    CHECK_FALSE(parse_size(text));
  }
}

TEST_CASE("formats: the largest exact unit") {
  CHECK(format_duration(milliseconds(0)) == "0");
  CHECK(format_duration(milliseconds(1500)) == "1500ms");
  CHECK(format_duration(milliseconds(90'000)) == "90s");
  CHECK(format_duration(milliseconds(120'000)) == "2min");
  CHECK(format_duration(milliseconds(86'400'000)) == "1d");
  CHECK(format_size(0) == "0");
  CHECK(format_size(10'000) == "10000B");
  CHECK(format_size(1u << 30) == "1GB");
}
