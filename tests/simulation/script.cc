#include "script.h"

#include <array>
#include <string>

namespace simulation {
namespace {

class Writer {
 public:
  Writer(Random& random, Script& script) : random_(random), script_(script) {}

  void group() {
    boundary_ = closed_;
    one_group();
    // Behind an open batch nothing but a Sync brings the server to rest: it may be skipping.
    if (!script_.sent.empty() && script_.sent.back().message.type == 'S') closed_ = true;
  }

  void anything() {
    static constexpr std::string_view kTypes = "PPBBEEDCSSSQQFdcfH";
    const char type = kTypes[random_.below(kTypes.size())];
    switch (type) {
      case 'Q':
        return add(type, random_.one_in(3) ? std::string(copy()) : texts());
      case 'P':
        return add(type, "s=" + std::string(random_.one_in(3) ? copy() : statement()));
      case 'd':
        return add(type, data());
      default:
        return extended(type);
    }
  }

  // Goes on as if there were no COPY, which only works out if that fails at once.
  void impatient_copy() {
    add('P', "c=" + std::string(copy()));
    add('B', "c");
    add('E', "limit 0");
    add('S', "");
    if (random_.one_in(2)) add('c', "");
    for (std::size_t n = random_.below(3); n > 0; --n) {
      add('P', "s=select 1");
      add('B', "s");
      add('E', "limit 0");
      add('S', "");
    }
  }

 private:
  void one_group() {
    switch (random_.below(9)) {
      case 0:
        return add('Q', texts());
      case 1:
        return add('F', "7");
      case 2:
        return stray();
      case 3:
        return simple_copy();
      case 4:
        return batch_copy();
      default:
        return batch();
    }
  }

  void add(char type, std::string text, bool in_batch = false) {
    script_.sent.push_back({{type, std::move(text)}, boundary_, in_batch});
    boundary_ = false;
  }

  std::string_view statement() {
    static constexpr std::array<std::string_view, 14> kTexts = {
        "select 0", "select 1",  "select 3", "insert", "set",    "warn",     "copyout 2",
        "",         "copyout 0", "fail",     "begin",  "commit", "rollback", "deferred"};
    return kTexts[random_.below(script_.transactions ? kTexts.size() : kTexts.size() - 4)];
  }

  std::string_view copy() {
    const bool early = script_.early_failure && random_.one_in(3);
    return early ? "copybefore" : "copyin";
  }

  std::string data() { return random_.one_in(6) ? "x" : "1"; }

  std::string texts() {
    std::string text;
    for (std::size_t n = random_.below(4); n > 0; --n) text.append(statement()).append(";");
    return text;
  }

  void extended(char type) {
    static constexpr std::array<std::string_view, 5> kNames = {"s", "known", "t", "", "missing"};
    switch (type) {
      case 'P': {
        if (random_.one_in(4)) return add(type, "known=select 1", true);
        if (random_.one_in(12)) return add(type, "dup=select 1", true);
        if (random_.one_in(12)) return add(type, "s=bad", true);
        return add(type, (random_.one_in(2) ? "s=" : "t=") + std::string(statement()), true);
      }
      case 'B':
        return add(type, std::string(kNames[random_.one_in(8) ? 4 : random_.below(3)]), true);
      case 'D':
        return add(type,
                   (random_.one_in(2) ? "S" : "P") + std::string(random_.one_in(2) ? "s" : "known"),
                   true);
      case 'C':
        return add(type, random_.one_in(2) ? "Snever" : "Ss", true);
      case 'E':
        return add(type, "limit " + std::to_string(random_.below(3)), true);
      default:
        return add(type, "");
    }
  }

  void batch() {
    static constexpr std::string_view kTypes = "PPBEBEDC";
    if (random_.one_in(2)) {  // as drivers do
      for (const char type : std::string_view("PBDE")) extended(type);
    }
    for (std::size_t n = random_.below(6); n > 0; --n)
      extended(kTypes[random_.below(kTypes.size())]);
    if (random_.one_in(8)) {
      closed_ = false;
    } else {
      add('S', "");
    }
  }

  void copy_rows() {
    for (std::size_t n = random_.below(4); n > 0; --n) add('d', data());
    add(random_.one_in(4) ? 'f' : 'c', "");
  }

  void simple_copy() {
    std::string text = random_.one_in(3) ? texts() : "";
    const bool two = random_.one_in(5);
    text.append(copy()).append(";");
    if (two) text.append(copy()).append(";");
    if (random_.one_in(4)) text.append(texts());
    add('Q', std::move(text));
    if (random_.one_in(4)) add('S', "");
    copy_rows();
    if (two) copy_rows();
  }

  void batch_copy() {
    add('P', "c=" + std::string(copy()));
    add('B', "c");
    if (random_.one_in(2)) add('D', "P");
    add('E', "limit 0");
    if (!random_.one_in(3)) add('S', "");
    if (random_.one_in(8)) add('S', "");
    copy_rows();
    add('S', "");
  }

  void stray() {
    static constexpr std::string_view kTypes = "cdfS";
    add(kTypes[random_.below(kTypes.size())], "1");
  }

  Random& random_;
  Script& script_;
  bool boundary_ = false, closed_ = true;
};

}  // namespace

Script make_script(Random& random) {
  Script script;
  script.chaos = random.one_in(3);
  script.transactions = random.one_in(2);
  script.early_failure = random.one_in(3);
  Writer writer(random, script);
  for (std::size_t n = 1 + random.below(script.chaos ? 40 : 8); n > 0; --n) {
    if (script.chaos && !random.one_in(6)) {
      writer.anything();
    } else if (script.chaos && random.one_in(2)) {
      writer.impatient_copy();
    } else {
      writer.group();
    }
  }
  script.sent.push_back({.message = {'S', ""}});
  return script;
}

}  // namespace simulation
