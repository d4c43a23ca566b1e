#include "protocol/saslprep.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "protocol/base64.h"
#include "protocol/scram.h"

using protocol::saslprep;

namespace {

struct Sample {
  const char* what;
  const char* password;
  const char* verifier;  // made by PostgreSQL 15 for this password
};
constexpr Sample kSamples[] = {
    {"composed already", "p\xc3\xa4ssw\xc3\xb6rd",
     "SCRAM-SHA-256$4096:E0GyoRjOZndDFkP0hv2clw==$kZjkKNvOmISRmXcKZUP2B/"
     "AzED29NNg5Kc7NZvkG1YI=:vqhkVezejjjPhi/sjaAB4erkBiR+rMKMP4IJmZduBR0="},
    {"combining marks are composed", "pa\xcc\x88sswo\xcc\x88rd",
     "SCRAM-SHA-256$4096:wBahCSmVcJN/mIttS0L8Tg==$fZ//lv/I6z8fHtpO/"
     "oPHS+aShQKzIDSvBtMY9UOaZAc=:tPWeyf5iPs5IBI/wtF4HLyM8sjV5Y7EscgBEldFzHhk="},
    {"full width", "\xef\xbc\xa1\xef\xbc\xa2\xef\xbc\xa3",
     "SCRAM-SHA-256$4096:0ts6co57DsjjcQQy5Ft77A==$vLnnpzsYq5L548b9iAYUxFLu64ZoMd/YgjBmzXmqJ/"
     "o=:SVq5vrC60HGBWTZ6kLj4Uenll9xR+XAc1RZkttWmNqY="},
    {"a space that does not break",
     "a\xc2\xa0"
     "b",
     "SCRAM-SHA-256$4096:kZ1rFBepBHWfL8Lp+alpcQ==$Yj5ocMhC3EZ8pwjv4Wf/"
     "HoA8IWlQL6PENMISpTZ8rGE=:1vWQ6MatjFm8osCoGd5f6wrYCAXxbgqd11dSzSPqKf8="},
    {"a soft hyphen goes away", "I\xc2\xadX",
     "SCRAM-SHA-256$4096:E/BFUsGxV42ykOXh4t6goA==$U8trgXIl2KgZPXtWlaoERlDrrkRqTILohZ/Xc99hQVY=:i3L/"
     "8qn00gS5jXEr6qzAzIEHZnzTmzNtFpMXicaSUhY="},
    {"a Roman numeral", "\xe2\x85\xa8",
     "SCRAM-SHA-256$4096:udXDqXM7sDgKFTzlqgHYeg==$LHNdl285Z3xOouZKWZd5kdCP+z1VA/"
     "zG1DLBP5q+qqo=:4TQKX/1VZi1w3NOa6UhG9CcMW28fw9tUZG1hN/oqyic="},
    {"a feminine ordinal", "\xc2\xaa",
     "SCRAM-SHA-256$4096:mFMjr4T83OhtuAqZpoAp5A==$h8qx6auZ/"
     "XJMlfsC6VI6piIClvQAkr1OedqbhmPxCTU=:8R06AqnONgT4ZFx0g/o8FklBVVJJTLvU2gMFZht2cVo="},
    {"forbidden: a bell", "\xc3\xa4\x07",
     "SCRAM-SHA-256$4096:b0iLv8bcV2wYNG6tNjXK0w==$4sNLJM34hNwY04LAacGRBVL09er6sLOzxVIhfN2eArk=:"
     "AjJORHKs78Mtz4+gOHsKuCGLXqdYXB6tZG7TOVPeQE8="},
    {"right to left",
     "\xd8\xa7"
     "1\xd8\xa8",
     "SCRAM-SHA-256$4096:YJlQXXPMhFO+TsMlZjMbJw==$O96ubk+4DLq7bsOuajFY/"
     "EXaU70SPKOX833r+oeDpGs=:UmuTqvm/5QJBRIVXkIDCPWH4d752EhSbQBEnIrGFCds="},
    {"right to left must be at both ends: left alone",
     "\xd8\xa7"
     "1",
     "SCRAM-SHA-256$4096:4xTjO+4vrHKcjPp//"
     "iizvw==$J2bveweO1prsVpF5eGtAiAy+qElO5WrNqTp7S+TD7dE=:vMpOkJ3eKOGI1K83p+FGaDa+"
     "jZn3l02NrJY7IhzzKCw="},
    {"both directions: left alone",
     "\xd8\xa7"
     "a\xd8\xa8",
     "SCRAM-SHA-256$4096:wNu9fstgYRWlKzWXIX2QHg==$t3x0WVKTIZaQexMn+zZKPtnibSf5JUFDsVNqxLh3rDI=:"
     "xuYe2CXfQ87iO37u0AKf/5yYjweZO2IevPeJsQz19K4="},
    {"younger than Unicode 3.2: left alone", "\xc8\xa1x\xc2\xaa",
     "SCRAM-SHA-256$4096:Unw86alsKb67Elo94m2d/w==$XnZHHPnDjqY5VuEBXws/"
     "sm9C2GO9IS+snp5lzG1QuKA=:S+NibWJAgYnqxyidPCAR3JkVfcxlaxRgkblV1Af0k+k="},
    {"Hangul letters", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab",
     "SCRAM-SHA-256$4096:64OcmW6qok0r/yetSI2tMA==$wlHOm28ITmnghRTBv9OzJlKb/"
     "MXxPXIDuMC281J1hfw=:D1u7bPCB5BXLCKTMs66dEQvKtGZOKNu9d40gGYenrlY="},
    {"younger than Unicode 3.2: left alone", "\xf0\x9f\x98\x80\xc2\xaa",
     "SCRAM-SHA-256$4096:A8WAOrjMDfoORa38/080rQ==$MrY73gyqP/"
     "gHHaomKbRT4xCh9cpxJyrIP9JVGO9Pse0=:k4BJ9ppeRCX46YgGdRgHx5Kbma+OwQ8zwyAJzX7JwrY="},
    {"a ligature", "\xef\xac\x81x",
     "SCRAM-SHA-256$4096:EMbKlnqvUIcZuVz//290BA==$pYoS3zNvEvgShKIDneP2uZCjrvLvU3uIQs3/rKZUoS8=:CIC/"
     "ZEksS8jOgCD4ngse+cfkjkKlghKgmmAmLd+7oQE="},
    {"an Ogham space",
     "a\xe1\x9a\x80"
     "b",
     "SCRAM-SHA-256$4096:BQqD7X7JrjPDz6+siua62w==$uZSPM4BM9Rcd2MpBSxexJ5LbgezXzRJ9ee3ywHZuR/"
     "A=:3wXfFjQxQu5Lg4TGUxLcRP7Uwn00czguhP8gM0uMApQ="},
    {"a joiner goes away",
     "a\xe2\x80\x8c"
     "b\xc3\xa9",
     "SCRAM-SHA-256$4096:L6y9F/"
     "j6IbXNY5JIJh0COw==$JiFHTyHvlRuPFg3IxgAIEo9wZJHgPYsLta9emMTqo00=:"
     "lo9FBFEE6SCrwGjokZbDpwX7m1m1GWgGEVgJy+yRGlo="},
    {"nothing would be left: left alone", "\xc2\xad",
     "SCRAM-SHA-256$4096:DWt/"
     "figGRbkMJyqJgYcReQ==$Ch1n3M1F81z4oYgWGHuo6e+1qKCNhI6gX1X0DfCifMM=:"
     "OFqYCsenqh1pm0DfB8LyaKDfIFiPu3+Lpcvh/NGoxvc="},
    {"private use: forbidden, left alone", "\xee\x80\x80\xc2\xaa",
     "SCRAM-SHA-256$4096:KtqQx5dM1nSBTXNdGf0ruQ==$rgKkc6h2pbZ6Rda3bpXfTY1/"
     "Qcxqutdg5GK7kvU0sNM=:SSOjyl/MDLZRx+RVsG264x6Yaaqag/l9V++e3c/vCsw="},
    {"marks out of order", "q\xcc\xa3\xcc\x87\xcc\x87\xcc\xa3",
     "SCRAM-SHA-256$4096:pbXxEFzWDtC0LQiKcRFIPw==$NvNAL4tJVQybYxZOQvU6dhXTdXQgrhnTAGQTL4UrKM0=:"
     "kr4t3CwZZtDyxaZ6QokuC25lQ1NxLGcNny4z/vMnmOg="},
    {"marks and letters that never compose", "\xcd\x84\xe0\xa5\x98",
     "SCRAM-SHA-256$4096:D6zMHQzCWp7yeDDUVOsFKA==$48/clYvkvcKqX/UNkGAXepL7z75k5/"
     "ZRw1Jz+LYZc8E=:IIDo4AxdyTT8y6jp/8sBJ94lX/pGIkRZj0hiLkz9IHE="},
    {"Greek with marks", "\xe1\xbe\xbc\xcf\x92\xcc\x81",
     "SCRAM-SHA-256$4096:2Scg5mvHWBTVwTUZq7DiXw==$T2eXxOcpWhAr5uc86LG6Xl4nmXKiJBl86svxx31tcSk=:"
     "8tZdV5hGPamOufrVqekb3Edkp6pyNS+7dyp0AJYgTYg="},
};

}  // namespace

TEST_CASE("saslprep: PostgreSQL's verifier comes out, whatever the password is made of") {
  for (const Sample& sample : kSamples) {
    CAPTURE(sample.what);
    const auto verifier = protocol::parse_scram_verifier(sample.verifier);
    REQUIRE(verifier);
    CHECK(format_scram_verifier(protocol::make_scram_verifier(
              sample.password, verifier->salt, verifier->iterations)) == sample.verifier);
  }
}

// RFC 4013, section 3.
TEST_CASE("saslprep: the examples of the RFC") {
  CHECK(saslprep("I\xc2\xadX") == "IX");
  CHECK(saslprep("user") == "user");
  CHECK(saslprep("USER") == "USER");
  CHECK(saslprep("\xc2\xaa") == "a");
  CHECK(saslprep("\xe2\x85\xa8") == "IX");
  // Errors in the RFC. PostgreSQL takes them as they are.
  CHECK(saslprep("\x07") == "\x07");
  CHECK(saslprep("\xd8\xa7\x31") == "\xd8\xa7\x31");
}

TEST_CASE("saslprep: what is not UTF-8 stays as it is") {
  for (const char* text :
       {"\xff\xc2\xaa", "\xc2\xaa\xc2", "\xc0\x80\xc2\xaa", "\xed\xa0\x80\xc2\xaa",
        "\xf4\x90\x80\x80\xc2\xaa", "\xe0\x82\xaa\xc2\xaa", "\x80\xc2\xaa",
        "\xf8\x88\x80\x80\x80\xc2\xaa", "\xc2\x41\xc2\xaa"}) {
    CAPTURE(text);
    CHECK(saslprep(text) == text);
  }
}

TEST_CASE("saslprep: a long run of marks takes no quadratic time") {
  std::string text = "a";
  for (int i = 0; i < 50'000; ++i) text += i % 2 == 0 ? "\xcc\x81" : "\xcc\xa3";
  const std::string prepared = saslprep(text);
  CHECK(prepared.starts_with("\xe1\xba\xa1"));  // a with the dot below, then the other marks
  CHECK(prepared.size() == 3 + 2 * 49'999);
}
