#include "protocol/scram.h"

#include <doctest/doctest.h>

#include "feed.h"
#include "protocol/base64.h"

using namespace protocol;  // NOLINT: every name here is SCRAM's

namespace {

// RFC 7677, section 3: password "pencil".
constexpr std::string_view kRfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
constexpr std::string_view kRfcClientFirst = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kRfcServerFirst =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
constexpr std::string_view kRfcClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
constexpr std::string_view kRfcServerFinal = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

ScramServer rfc_server(std::string_view channel_binding = "") {
  const std::string salt = *base64_decode("W22ZaJ0SNY7soEsUEjb6gQ==");
  return {make_scram_verifier("pencil", salt, 4096), kRfcServerNonce, channel_binding};
}

// Recorded logins: the server's side is PostgreSQL 15's, or the client's side is psql 15's. Role
// "postgres" with password "secret".
constexpr std::string_view kVerifier =
    "SCRAM-SHA-256$4096:vVFp+mLh5EOwHYEqrK1kDg==$EoSxn9O6cbPHFg4iN5DxOqzBQhvkVm7Xy6JyzQRZZvs=:"
    "CPgyOMAWJmNDkKx/XGeZvKs14+Z/KFBoFI6Y0RA+6FA=";
constexpr std::string_view kClientNonce = "rOprNGfwEbeRWgbNEkqO";
constexpr std::string_view kServerFirst =
    "r=rOprNGfwEbeRWgbNEkqOzoUdqv3pnm1ZhonyX66d4a5c,s=vVFp+mLh5EOwHYEqrK1kDg==,i=4096";
constexpr std::string_view kClientFinal =
    "c=biws,r=rOprNGfwEbeRWgbNEkqOzoUdqv3pnm1ZhonyX66d4a5c,"
    "p=9OPU8G/xYN3r0EJVzG0uQSZl5ted7rUYOdylO4FSIug=";
constexpr std::string_view kServerFinal = "v=Fa852a80rHiEY4EL+db/HhuOYqSm2yn9/7axgg77tPk=";

// The hash of the certificate of those logins that went over TLS.
const std::string kCertificateHash = *base64_decode("xzJOhq9RR5X6usC6xlwwmuf+FeQvOo7k7R4m+MK46hs=");
// psql 15 with channel_binding=require, against ScramServer.
constexpr std::string_view kPsqlPlusFirst = "p=tls-server-end-point,,n=,r=pgLfafzvlJoBa3JUN83HO+Os";
constexpr std::string_view kPsqlPlusFinal =
    "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsxzJOhq9RR5X6usC6xlwwmuf+FeQvOo7k7R4m+MK46hs=,"
    "r=pgLfafzvlJoBa3JUN83HO+Os%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
    "p=3csDNgqXck12VXxaLmy50FKkifMNWi7APrEHmalyA58=";

// Both roles against each other; true when both are content.
bool login(ScramClient& client, ScramServer& server, std::string_view channel_binding,
           bool possible) {
  const std::string first = client.first(channel_binding, possible);
  const auto server_first = server.first(channel_binding.empty() ? kScram : kScramPlus, first);
  if (!server_first) return false;
  const auto client_final = client.final(*server_first);
  if (!client_final) return false;
  const auto server_final = server.final(*client_final);
  return server_final && client.verify(*server_final);
}

constexpr bool kPossible = true, kImpossible = false;

}  // namespace

TEST_CASE("server: the conversation of RFC 7677") {
  ScramServer server = rfc_server();
  CHECK(server.first(kScram, kRfcClientFirst) == kRfcServerFirst);
  CHECK(server.final(kRfcClientFinal) == kRfcServerFinal);
}

TEST_CASE("client: a login that PostgreSQL 15 accepted") {
  ScramClient client("secret", kClientNonce);
  CHECK(client.first("", kImpossible) == "n,,n=,r=rOprNGfwEbeRWgbNEkqO");
  CHECK(client.final(kServerFirst) == kClientFinal);
  CHECK(client.verify(kServerFinal));
}

TEST_CASE("client: keys may come from who has them already, made of what the server sent") {
  int asked = 0;
  ScramClient client("secret", kClientNonce, [&](auto password, auto salt, auto iterations) {
    ++asked;
    return derive_scram_keys(password, salt, iterations);
  });
  client.first("", kImpossible);
  CHECK(asked == 0);
  CHECK(client.final(kServerFirst) == kClientFinal);
  CHECK(client.verify(kServerFinal));
  CHECK(asked == 1);
  ScramClient wrong("secret", kClientNonce, [](auto, auto, auto) { return ScramKeys{}; });
  wrong.first("", kImpossible);
  CHECK(wrong.final(kServerFirst) != kClientFinal);
  CHECK_FALSE(wrong.verify(kServerFinal));
}

TEST_CASE("client: a login with channel binding that PostgreSQL 15 accepted") {
  ScramClient client("secret", kClientNonce);
  CHECK(client.first(kCertificateHash, kPossible) ==
        "p=tls-server-end-point,,n=,r=rOprNGfwEbeRWgbNEkqO");
  CHECK(client.final("r=rOprNGfwEbeRWgbNEkqOjF4aEiG9h5S3Lviy4+txQyFk,"
                     "s=vVFp+mLh5EOwHYEqrK1kDg==,i=4096") ==
        "c=cD10bHMtc2VydmVyLWVuZC1wb2ludCwsxzJOhq9RR5X6usC6xlwwmuf+FeQvOo7k7R4m+MK46hs=,"
        "r=rOprNGfwEbeRWgbNEkqOjF4aEiG9h5S3Lviy4+txQyFk,"
        "p=QKjAfQ3UJW02S1kEfx3c3fxtia4xf06mn21TIng8LHQ=");
  CHECK(client.verify("v=vXFbYiKjKNQ48HvKKjuY5rGrcYv4ZztbJrkkmPUz+7U="));
}

TEST_CASE("server: psql 15 with channel binding is let in, and not with another certificate") {
  ScramServer server(*parse_scram_verifier(kVerifier), kRfcServerNonce, kCertificateHash);
  REQUIRE(server.first(kScramPlus, kPsqlPlusFirst));
  CHECK(server.final(kPsqlPlusFinal) == "v=LozrFFzrzYKWl+TpOELPKQBr+fWmiKSZc2Vm01NHzJQ=");
  ScramServer other(*parse_scram_verifier(kVerifier), kRfcServerNonce, "another hash");
  REQUIRE(other.first(kScramPlus, kPsqlPlusFirst));
  CHECK_FALSE(other.final(kPsqlPlusFinal));
}

TEST_CASE("both roles agree, with and without binding, and only with the right password") {
  const ScramVerifier verifier = *parse_scram_verifier(kVerifier);
  for (const std::string& binding : {std::string(), kCertificateHash}) {
    ScramClient client("secret", "client");
    ScramServer server(verifier, "server", binding);
    CHECK(login(client, server, binding, kImpossible));
    ScramClient stranger("Secret", "client");
    ScramServer again(verifier, "server", binding);
    CHECK_FALSE(login(stranger, again, binding, kImpossible));
  }
}

TEST_CASE("pass-through: the keys of one login open another with the same verifier") {
  const ScramVerifier verifier = *parse_scram_verifier(kVerifier);
  ScramClient client("secret", "client");
  ScramServer server(verifier, "server", "");
  REQUIRE(login(client, server, "", kImpossible));
  ScramClient passed_on(server.keys(), "other nonce");
  ScramServer behind(verifier, "server 2", "");
  CHECK(login(passed_on, behind, "", kImpossible));
  // Another salt makes another verifier of the same password: the keys don't fit.
  ScramClient again(server.keys(), "other nonce");
  ScramServer salted_otherwise(make_scram_verifier("secret", "salt", 4096), "server 3", "");
  CHECK_FALSE(login(again, salted_otherwise, "", kImpossible));
}

TEST_CASE("a mock verifier lets nobody in, and answers like a real one until then") {
  ScramClient client("secret", "client");
  ScramServer server(mock_scram_verifier("nobody", "seed"), "server", "");
  const auto server_first = server.first(kScram, client.first("", kImpossible));
  REQUIRE(server_first);
  const auto client_final = client.final(*server_first);
  REQUIRE(client_final);
  CHECK_FALSE(server.final(*client_final));
}

TEST_CASE("server: a downgrade shows in the flag") {
  // "I could bind, but you did not offer": true without binding, a lie told for us with it.
  CHECK(rfc_server().first(kScram, "y,,n=,r=abc"));
  CHECK_FALSE(rfc_server("hash").first(kScram, "y,,n=,r=abc"));
  CHECK(rfc_server("hash").first(kScram, "n,,n=,r=abc"));  // does not know how to bind
  // The flag must fit the mechanism.
  CHECK_FALSE(rfc_server("hash").first(kScramPlus, "n,,n=,r=abc"));
  CHECK_FALSE(rfc_server("hash").first(kScramPlus, "y,,n=,r=abc"));
  CHECK_FALSE(rfc_server("hash").first(kScramPlus, "p=tls-unique,,n=,r=abc"));
  CHECK_FALSE(rfc_server("hash").first(kScram, "p=tls-server-end-point,,n=,r=abc"));
  CHECK_FALSE(rfc_server().first(kScramPlus, "p=tls-server-end-point,,n=,r=abc"));  // not offered
  CHECK_FALSE(rfc_server().first("SCRAM-SHA-1", "n,,n=,r=abc"));
}

TEST_CASE("server: a client that said y must repeat it") {
  ScramClient client("pencil", "nonce");
  ScramServer server = rfc_server();
  CHECK(login(client, server, "", kPossible));
  ScramServer again = rfc_server();
  const auto server_first = again.first(kScram, client.first("", kPossible));
  auto client_final = client.final(*server_first);
  REQUIRE(client_final);
  REQUIRE(client_final->starts_with("c=eSws,"));
  client_final->replace(2, 4, "biws");
  CHECK_FALSE(again.final(*client_final));
}

TEST_CASE("server: malformed first messages") {
  for (const char* text :
       {"", "n", "n,", "n,,", "n,,n=", "n,,n=,", "n,,n=,r=", "n,,r=abc", "n,,n=,r=a\x7f",
        "n,,n=,r=a b", "n,a=admin,n=,r=abc", "n,,m=x,n=,r=abc", "x,,n=,r=abc", "n,n=,r=abc",
        "n,,n=,r=abc,x", "n,,n=,r=abc,1=x", "n,,n=,r=abc,=", "N,,n=,r=abc", "n,,n=,r=\xc3\xa4"}) {
    CAPTURE(text);
    CHECK_FALSE(rfc_server().first(kScram, text));
  }
  CHECK_FALSE(rfc_server().first(kScram, std::string_view("n,,n=,r=ab\0c", 12)));
  CHECK(rfc_server().first(kScram, "n,,n=,r=abc,x=extension"));
  CHECK_FALSE(rfc_server().first(kScram, "n,,n=,r=" + std::string(100'000, 'a')));
}

TEST_CASE("server: every change to the final message is refused") {
  const std::string good(kRfcClientFinal);
  for (std::size_t i = 0; i < good.size(); ++i) {
    CAPTURE(i);
    ScramServer server = rfc_server();
    REQUIRE(server.first(kScram, kRfcClientFirst));
    std::string bad = good;
    bad[i] = bad[i] == 'A' ? 'B' : 'A';
    CHECK_FALSE(server.final(bad));
    ScramServer cut = rfc_server();
    REQUIRE(cut.first(kScram, kRfcClientFirst));
    CHECK_FALSE(cut.final(good.substr(0, i)));
  }
  ScramServer server = rfc_server();
  REQUIRE(server.first(kScram, kRfcClientFirst));
  CHECK_FALSE(server.final(good + ",x=y"));  // the proof is the last attribute
}

TEST_CASE("server: out of order, or a second guess") {
  ScramServer server = rfc_server();
  CHECK_FALSE(server.final(kRfcClientFinal));
  REQUIRE(server.first(kScram, kRfcClientFirst));
  std::string wrong(kRfcClientFinal);
  wrong[wrong.size() - 5] = 'A';
  CHECK_FALSE(server.final(wrong));
  CHECK_FALSE(server.final(kRfcClientFinal));
}

TEST_CASE("client: what a hostile server may say") {
  const auto answer = [](const std::string& server_first) {
    ScramClient client("secret", kClientNonce);
    client.first("", kImpossible);
    return client.final(server_first);
  };
  const std::string nonce(kClientNonce);
  CHECK(answer("r=" + nonce + "x,s=c2FsdA==,i=1"));
  CHECK_FALSE(answer("r=" + nonce + ",s=c2FsdA==,i=1"));  // adds nothing
  CHECK_FALSE(answer("r=other,s=c2FsdA==,i=1"));          // not our nonce
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=0"));
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=-1"));
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=1000001"));  // would keep us busy
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=4294967297"));
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i="));
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=1,"));
  CHECK_FALSE(answer("r=" + nonce + "x,s=c2FsdA==,i=1,x=y"));  // as libpq: garbage at the end
  CHECK_FALSE(answer("r=" + nonce + "x,s=,i=1"));
  CHECK_FALSE(answer("r=" + nonce + "x,s=!,i=1"));
  CHECK_FALSE(answer("m=x,r=" + nonce + "x,s=c2FsdA==,i=1"));
  CHECK_FALSE(answer(""));
  CHECK_FALSE(answer("e=other-error"));
  ScramClient early("secret", kClientNonce);
  CHECK_FALSE(early.final("r=" + nonce + "x,s=c2FsdA==,i=1"));
}

TEST_CASE("client: the server must prove that it knew the keys") {
  ScramClient client("secret", kClientNonce);
  const std::string zeros = "v=" + base64_encode(as_bytes(std::string(32, '\0')));
  CHECK_FALSE(client.verify(zeros));  // nothing said yet
  client.first("", kImpossible);
  CHECK_FALSE(client.verify(zeros));
  REQUIRE(client.final(kServerFirst));
  CHECK_FALSE(client.verify(zeros));
  CHECK_FALSE(client.verify(""));
  CHECK_FALSE(client.verify("e=invalid-proof"));
  CHECK_FALSE(client.verify(std::string(kServerFinal) + ",x=y"));
  CHECK(client.verify(kServerFinal));
}

TEST_CASE("nonces: raw bytes travel as base64, printable ones as they are") {
  CHECK(ScramClient("x", std::string_view("\0\xff\x10", 3)).first("", kImpossible) ==
        "n,,n=,r=AP8Q");
  CHECK(ScramClient("x", "a,b").first("", kImpossible) == "n,,n=,r=YSxi");
  CHECK(ScramClient("x", "abc").first("", kImpossible) == "n,,n=,r=abc");
}
