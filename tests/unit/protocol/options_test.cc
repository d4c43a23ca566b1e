#include <doctest/doctest.h>

#include "protocol/startup.h"

using protocol::parse_options;
using Settings = std::vector<std::pair<std::string, std::string>>;

// What is expected is what postgres(1) says and PostgreSQL's process_postgres_switches() does.
TEST_CASE("options: -c and -- in all their spellings") {
  const Settings expected = {{"work_mem", "1MB"}};
  for (const char* text : {"-c work_mem=1MB", "-cwork_mem=1MB", "--work_mem=1MB", "--work-mem=1MB",
                           "-c work-mem=1MB", "  -c\t work_mem=1MB \n", "-c work_mem=1MB --"}) {
    CAPTURE(text);
    CHECK(parse_options(text) == expected);
  }
  CHECK(parse_options("")->empty());
  CHECK(parse_options(" ")->empty());
  CHECK(parse_options("-c a=1 --b-c=2 -c A.b=") == Settings{{"a", "1"}, {"b_c", "2"}, {"A.b", ""}});
  CHECK(parse_options("-c a=b=c-d") == Settings{{"a", "b=c-d"}});
}

TEST_CASE("options: a backslash takes away the meaning of what follows") {
  CHECK(parse_options("-c search_path=a,\\ b") == Settings{{"search_path", "a, b"}});
  CHECK(parse_options("-c x=a\\\\b") == Settings{{"x", "a\\b"}});
  CHECK(parse_options("-c x=a\\b\\") == Settings{{"x", "ab"}});
  CHECK(parse_options("-c\\ x=1") == Settings{{" x", "1"}});
}

TEST_CASE("options: single letters") {
  CHECK(parse_options("-e") == Settings{{"datestyle", "euro"}});
  CHECK(parse_options("-S 4096 -B100") ==
        Settings{{"work_mem", "4096"}, {"shared_buffers", "100"}});
  CHECK(parse_options("-fs -f h") ==
        Settings{{"enable_seqscan", "false"}, {"enable_hashjoin", "false"}});
  CHECK(parse_options("-tpa -tpl -te -s") == Settings{{"log_parser_stats", "true"},
                                                      {"log_planner_stats", "true"},
                                                      {"log_executor_stats", "true"},
                                                      {"log_statement_stats", "true"}});
  CHECK(parse_options("-d 2") ==
        Settings{{"log_min_messages", "debug2"}, {"log_statement", "all"}});
  CHECK(parse_options("-d0") == Settings{{"log_min_messages", "notice"}});
  CHECK(parse_options("-eOc x=1") ==
        Settings{{"datestyle", "euro"}, {"allow_system_table_mods", "true"}, {"x", "1"}});
}

TEST_CASE("options: letters without effect for a client, with their values") {
  CHECK(parse_options("-E -v 3 -D /tmp -j -r file -n -T -C x -b")->empty());
}

TEST_CASE("options: what PostgreSQL refuses") {
  for (const char* text : {"foo", "-c work_mem", "--work_mem", "-c", "-c x=1 -c", "-Z", "-- x", "-",
                           "-f q", "-f", "-tx", "-c =1", "-c x=1 y", "\\", "-eZ"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_options(text));
  }
}
