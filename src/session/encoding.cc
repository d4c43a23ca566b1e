#include "session/encoding.h"

#include <iconv.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

namespace session {
namespace {

using Names = std::pair<std::string_view, std::string_view>;

// Other names of PostgreSQL's, and its own ones.
constexpr auto kAliases = std::to_array<Names>({
    {"abc", "win1258"},      {"alt", "win866"},        {"iso88591", "latin1"},
    {"iso885910", "latin6"}, {"iso885913", "latin7"},  {"iso885914", "latin8"},
    {"iso885915", "latin9"}, {"iso885916", "latin10"}, {"iso88592", "latin2"},
    {"iso88593", "latin3"},  {"iso88594", "latin4"},   {"iso88599", "latin5"},
    {"koi8", "koi8r"},       {"mskanji", "sjis"},      {"shiftjis", "sjis"},
    {"tcvn", "win1258"},     {"tcvn5712", "win1258"},  {"unicode", "utf8"},
    {"vscii", "win1258"},    {"win", "win1251"},       {"win932", "sjis"},
    {"win936", "gbk"},       {"win949", "uhc"},        {"win950", "big5"},
});

// Those whose names iconv does not have.
constexpr auto kOfIconv = std::to_array<Names>({
    {"big5", "CP950"},
    {"euccn", "EUC-CN"},
    {"eucjis2004", "EUC-JISX0213"},
    {"eucjp", "EUC-JP"},
    {"euckr", "EUC-KR"},
    {"euctw", "EUC-TW"},
    {"iso88595", "ISO-8859-5"},
    {"iso88596", "ISO-8859-6"},
    {"iso88597", "ISO-8859-7"},
    {"iso88598", "ISO-8859-8"},
    {"koi8r", "KOI8-R"},
    {"koi8u", "KOI8-U"},
    {"latin7", "ISO-8859-13"},
    {"latin8", "ISO-8859-14"},
    {"latin9", "ISO-8859-15"},
    {"latin10", "ISO-8859-16"},
    {"shiftjis2004", "SHIFT_JISX0213"},
    {"sjis", "CP932"},
    {"utf8", "UTF-8"},
    {"win866", "CP866"},
    {"win874", "CP874"},
    {"win1250", "CP1250"},
    {"win1251", "CP1251"},
    {"win1252", "CP1252"},
    {"win1253", "CP1253"},
    {"win1254", "CP1254"},
    {"win1255", "CP1255"},
    {"win1256", "CP1256"},
    {"win1257", "CP1257"},
    {"win1258", "CP1258"},
});

template <std::size_t count>
std::string_view find(const std::array<Names, count>& names, std::string_view name) {
  const auto it = std::ranges::find(names, name, &Names::first);
  return it == names.end() ? name : it->second;
}

}  // namespace

std::string plain_encoding(std::string_view name) {
  std::string plain;
  for (const unsigned char c : name) {
    if (c >= 'A' && c <= 'Z') plain += static_cast<char>(c + ('a' - 'A'));
    if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) plain += static_cast<char>(c);
  }
  if (plain.starts_with("windows")) plain.erase(3, 4);
  return std::string(find(kAliases, plain));
}

std::string converted(std::string_view text, std::string_view from, std::string_view to) {
  const std::string source(find(kOfIconv, from)), target(find(kOfIconv, to));
  const iconv_t by = iconv_open(target.c_str(), source.c_str());
  if (by == reinterpret_cast<iconv_t>(-1)) return std::string(text);
  std::string result;
  std::string input(text);  // iconv() takes it as what may be changed
  char* in = input.data();
  std::size_t left = input.size();
  for (bool more = true; more;) {
    std::array<char, 256> piece;
    char* out = piece.data();
    std::size_t room = piece.size();
    // Without input: what a stateful encoding still has to write.
    const bool ends = left == 0;
    const std::size_t done =
        ends ? iconv(by, nullptr, nullptr, &out, &room) : iconv(by, &in, &left, &out, &room);
    result.append(piece.data(), piece.size() - room);
    if (!ends && done == static_cast<std::size_t>(-1) && errno != E2BIG) {
      result += '?';
      // The whole character, where its length is known.
      do {
        ++in;
        --left;
      } while (from == "utf8" && left > 0 && (static_cast<unsigned char>(*in) & 0xc0) == 0x80);
    }
    more = !ends;
  }
  iconv_close(by);
  return result;
}

}  // namespace session
