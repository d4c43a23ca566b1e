#include "net/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509.h>

#include <array>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "test_certificates.h"

// Last: base/check.h and doctest both say CHECK, and here doctest's is meant.
#undef CHECK
#include <doctest/doctest.h>

using config::SslMode;
using config::Tls;
using net::TlsContext;
using net_test::Identity;
using net_test::make_identity;
using net_test::TemporaryDirectory;
using ContextPtr = std::shared_ptr<const TlsContext>;

namespace {

struct Connection {
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
  };
  std::unique_ptr<SSL, Free> server, client;
  bool established = false;
  std::string server_error, client_error;

  Connection(SSL* server_side, SSL* client_side) : server(server_side), client(client_side) {
    REQUIRE(server);
    REQUIRE(client);
    BIO *one = nullptr, *other = nullptr;
    REQUIRE(BIO_new_bio_pair(&one, 0, &other, 0) == 1);
    SSL_set_bio(server.get(), one, one);
    SSL_set_bio(client.get(), other, other);
    bool server_done = false, client_done = false;
    for (int i = 0; i < 20 && !(server_done && client_done); ++i) {
      if (!client_done) client_done = step(client.get(), client_error);
      if (!server_done) server_done = step(server.get(), server_error);
    }
    // With TLS 1.3 the client is done before the server has judged its certificate.
    established = server_done && client_done && client_error.empty() && server_error.empty() &&
                  send(client.get(), server.get()) && send(server.get(), client.get());
  }

  static bool step(SSL* ssl, std::string& error) {
    ERR_clear_error();
    const int result = SSL_do_handshake(ssl);
    if (result == 1) return true;
    const int why = SSL_get_error(ssl, result);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) return false;
    error = net::tls_error();
    return true;
  }

  static bool send(SSL* from, SSL* to) {
    std::array<char, 8> buffer;
    return SSL_write(from, "ping", 4) == 4 &&
           SSL_read(to, buffer.data(), static_cast<int>(buffer.size())) == 4;
  }
};

// A CA, a server db.example.com at 127.0.0.1, and a client.
struct World {
  TemporaryDirectory directory;
  Identity ca = make_identity(directory, {.file = "ca", .common_name = "test ca"});
  Identity other_ca = make_identity(directory, {.file = "other", .common_name = "other ca"});
  Identity server = make_identity(directory, {.file = "server",
                                              .common_name = "unused",
                                              .alt_names = "DNS:db.example.com,IP:127.0.0.1",
                                              .issuer = &ca});
  Identity client =
      make_identity(directory, {.file = "client", .common_name = "alice", .issuer = &ca});

  Tls server_tls(SslMode mode = SslMode::kPrefer) const {
    return {.mode = mode, .cert_file = server.cert_file, .key_file = server.key_file};
  }
  Tls client_tls(SslMode mode, const std::string& ca_file = "") const {
    return {.mode = mode, .ca_file = ca_file};
  }
};

ContextPtr for_clients(const Tls& tls) {
  auto made = TlsContext::for_clients(tls);
  REQUIRE_MESSAGE(made.ok(), std::string(made.status().message()));
  return *made;
}

ContextPtr for_servers(const Tls& tls) {
  auto made = TlsContext::for_servers(tls);
  REQUIRE_MESSAGE(made.ok(), std::string(made.status().message()));
  return *made;
}

Connection connect(const ContextPtr& server, const Tls& tls, const std::string& host) {
  return {server->new_server_side(), for_servers(tls)->new_client_side(host, tls.mode)};
}

// The certificate's own bytes, hashed by hand: RFC 5929 leaves nothing else to do.
std::string der(const X509* certificate) {
  std::string bytes(static_cast<std::size_t>(i2d_X509(certificate, nullptr)), '\0');
  auto* out = reinterpret_cast<unsigned char*>(bytes.data());
  i2d_X509(certificate, &out);
  return bytes;
}
std::string sha256(const std::string& bytes) {
  std::string digest(SHA256_DIGEST_LENGTH, '\0');
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}
std::string sha384(const std::string& bytes) {
  std::string digest(SHA384_DIGEST_LENGTH, '\0');
  SHA384(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(),
         reinterpret_cast<unsigned char*>(digest.data()));
  return digest;
}

}  // namespace

TEST_CASE("a handshake: TLS 1.3, ALPN postgresql, a description") {
  World world;
  auto c = connect(for_clients(world.server_tls()), world.client_tls(SslMode::kRequire),
                   "db.example.com");
  REQUIRE(c.established);
  CHECK(net::tls_is_postgresql(c.server.get()));
  CHECK(net::tls_is_postgresql(c.client.get()));
  CHECK(net::tls_description(c.server.get()).starts_with("TLSv1.3/TLS_"));
  CHECK(net::tls_description(c.client.get()) == net::tls_description(c.server.get()));
}

TEST_CASE("the server's name is sent, an address is not") {
  World world;
  const auto server = for_clients(world.server_tls());
  auto named = connect(server, world.client_tls(SslMode::kRequire), "db.example.com");
  REQUIRE(named.established);
  CHECK(std::string(SSL_get_servername(named.server.get(), TLSEXT_NAMETYPE_host_name)) ==
        "db.example.com");
  for (const char* host : {"127.0.0.1", "::1", ""}) {
    auto c = connect(server, world.client_tls(SslMode::kRequire), host);
    CHECK(c.established);
    CHECK(SSL_get_servername(c.server.get(), TLSEXT_NAMETYPE_host_name) == nullptr);
  }
}

TEST_CASE("sslmode decides what is verified") {
  World world;
  const auto server = for_clients(world.server_tls());
  const std::string right = world.ca.cert_file, wrong = world.other_ca.cert_file;
  struct Case {
    SslMode mode;
    std::string ca, host;
    bool accepted;
  };
  const std::vector<Case> cases = {
      {SslMode::kAllow, "", "elsewhere", true},
      {SslMode::kPrefer, "", "elsewhere", true},
      {SslMode::kRequire, "", "elsewhere", true},
      {SslMode::kRequire, right, "elsewhere", true},
      {SslMode::kRequire, wrong, "db.example.com", false},  // as libpq: verify-ca
      {SslMode::kVerifyCa, right, "elsewhere", true},
      {SslMode::kVerifyCa, wrong, "db.example.com", false},
      {SslMode::kVerifyFull, right, "db.example.com", true},
      {SslMode::kVerifyFull, right, "127.0.0.1", true},
      {SslMode::kVerifyFull, right, "127.0.0.2", false},
      {SslMode::kVerifyFull, right, "example.com", false},
      {SslMode::kVerifyFull, right, "db.example.com.evil", false},
      {SslMode::kVerifyFull, right, "unused", false},  // the CN does not count beside a SAN
      {SslMode::kVerifyFull, wrong, "db.example.com", false},
  };
  for (const auto& c : cases) {
    CAPTURE(static_cast<int>(c.mode));
    CAPTURE(c.ca);
    CAPTURE(c.host);
    auto connection = connect(server, world.client_tls(c.mode, c.ca), c.host);
    CHECK(connection.established == c.accepted);
    if (!c.accepted) {
      CHECK(connection.client_error.find("certificate verify failed") != std::string::npos);
    }
  }
}

TEST_CASE("verify-full with a wildcard: one label, whole") {
  World world;
  const Identity wild = make_identity(
      world.directory, {.file = "wild", .alt_names = "DNS:*.example.com", .issuer = &world.ca});
  const auto server = for_clients(
      {.mode = SslMode::kPrefer, .cert_file = wild.cert_file, .key_file = wild.key_file});
  const Tls tls = world.client_tls(SslMode::kVerifyFull, world.ca.cert_file);
  CHECK(connect(server, tls, "a.example.com").established);
  CHECK_FALSE(connect(server, tls, "a.b.example.com").established);
  CHECK_FALSE(connect(server, tls, "example.com").established);
}

TEST_CASE("verify-full without a name is an error, not any name") {
  World world;
  const auto context = for_servers(world.client_tls(SslMode::kVerifyFull, world.ca.cert_file));
  for (const char* host : {"", "/run/postgresql"}) {
    CHECK(context->new_client_side(host, SslMode::kVerifyFull) == nullptr);
    CHECK(net::tls_error().find("host name") != std::string::npos);
  }
  CHECK(net::tls_error() == "");
}

TEST_CASE("client certificates: checked when shown, demanded by verify-ca and verify-full") {
  World world;
  const Identity stranger = make_identity(
      world.directory, {.file = "stranger", .common_name = "alice", .issuer = &world.other_ca});
  Tls with = world.client_tls(SslMode::kRequire);
  with.cert_file = world.client.cert_file;
  with.key_file = world.client.key_file;
  Tls foreign = world.client_tls(SslMode::kRequire);
  foreign.cert_file = stranger.cert_file;
  foreign.key_file = stranger.key_file;
  const Tls without = world.client_tls(SslMode::kRequire);
  for (const SslMode mode : {SslMode::kRequire, SslMode::kVerifyCa, SslMode::kVerifyFull}) {
    CAPTURE(static_cast<int>(mode));
    Tls tls = world.server_tls(mode);
    tls.ca_file = world.ca.cert_file;
    const auto server = for_clients(tls);
    auto known = connect(server, with, "db.example.com");
    CHECK(known.established);
    CHECK(SSL_get0_peer_certificate(known.server.get()) != nullptr);
    CHECK(SSL_get_verify_result(known.server.get()) == X509_V_OK);
    CHECK_FALSE(connect(server, foreign, "db.example.com").established);
    CHECK(connect(server, without, "db.example.com").established == (mode == SslMode::kRequire));
  }
}

TEST_CASE("ALPN: none is fine, another's is refused") {
  World world;
  const auto server = for_clients(world.server_tls());
  const auto offering = [&](const std::string& protocols) {
    SSL* client = for_servers(world.client_tls(SslMode::kRequire))
                      ->new_client_side("db.example.com", SslMode::kRequire);
    SSL_set_alpn_protos(client, reinterpret_cast<const unsigned char*>(protocols.data()),
                        static_cast<unsigned>(protocols.size()));
    return Connection(server->new_server_side(), client);
  };
  auto none = offering("");
  CHECK(none.established);
  CHECK_FALSE(net::tls_is_postgresql(none.server.get()));
  CHECK_FALSE(offering("\x02h2").established);
  auto both = offering("\x02h2\x0apostgresql");
  CHECK(both.established);
  CHECK(net::tls_is_postgresql(both.server.get()));
}

TEST_CASE("TLS 1.1 is refused, TLS 1.2 is spoken") {
  World world;
  const auto server = for_clients(world.server_tls());
  const auto client_of = [&](int version) {
    SSL* client = for_servers(world.client_tls(SslMode::kRequire))
                      ->new_client_side("db.example.com", SslMode::kRequire);
    SSL_set_min_proto_version(client, TLS1_VERSION);
    SSL_set_max_proto_version(client, version);
    SSL_set_security_level(client, 0);
    return client;
  };
  Connection old(server->new_server_side(), client_of(TLS1_1_VERSION));
  CHECK_FALSE(old.established);
  Connection two(server->new_server_side(), client_of(TLS1_2_VERSION));
  CHECK(two.established);
  CHECK(net::tls_description(two.server.get()).starts_with("TLSv1.2/"));
}

TEST_CASE("tls-server-end-point is the digest that RFC 5929 names") {
  World world;
  struct Case {
    const char* file;
    const EVP_MD* digest;
    const char* key_type;
    std::string (*expected)(const std::string&);
  };
  const std::vector<Case> cases = {
      {"sha256", EVP_sha256(), "P-256", sha256},
      {"sha384", EVP_sha384(), "P-384", sha384},
      {"sha1", EVP_sha1(), "P-256", sha256},
      {"ed25519", nullptr, "ED25519", [](const std::string&) { return std::string(); }},
  };
  for (const auto& c : cases) {
    CAPTURE(c.file);
    const Identity identity = make_identity(
        world.directory, {.file = c.file, .digest = c.digest, .key_type = c.key_type});
    const auto server = for_clients(
        {.mode = SslMode::kPrefer, .cert_file = identity.cert_file, .key_file = identity.key_file});
    auto connection = connect(server, world.client_tls(SslMode::kRequire), "db");
    CAPTURE(connection.client_error);
    CAPTURE(connection.server_error);
    REQUIRE(connection.established);
    const std::string expected = c.expected(der(identity.certificate.get()));
    CHECK(net::tls_server_end_point(connection.server.get(), true) == expected);
    CHECK(net::tls_server_end_point(connection.client.get(), false) == expected);
  }
}

TEST_CASE("a client that comes back may resume") {
  World world;
  Tls tls = world.server_tls(SslMode::kVerifyCa);
  tls.ca_file = world.ca.cert_file;  // the case that needs a session id
  const auto server = for_clients(tls);
  Tls mine = world.client_tls(SslMode::kRequire);
  mine.cert_file = world.client.cert_file;
  mine.key_file = world.client.key_file;
  auto first = connect(server, mine, "db.example.com");
  REQUIRE(first.established);
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session(
      SSL_get1_session(first.client.get()), &SSL_SESSION_free);
  REQUIRE(SSL_SESSION_is_resumable(session.get()) == 1);
  SSL* again = for_servers(mine)->new_client_side("db.example.com", SslMode::kRequire);
  SSL_set_session(again, session.get());
  Connection second(server->new_server_side(), again);
  CHECK(second.established);
  CHECK(SSL_session_reused(second.server.get()) == 1);
  CHECK(net::tls_server_end_point(second.server.get(), true) ==
        sha256(der(world.server.certificate.get())));
  CHECK(net::tls_server_end_point(second.client.get(), false) ==
        sha256(der(world.server.certificate.get())));
}

TEST_CASE("what the files get wrong is said with the file's name") {
  World world;
  const auto message = [](const absl::StatusOr<ContextPtr>& made) {
    return made.ok() ? std::string("OK") : std::string(made.status().message());
  };
  Tls tls = world.server_tls();
  tls.cert_file = world.directory.path("absent.crt");
  CHECK(message(TlsContext::for_clients(tls)).find("absent.crt\": No such file") !=
        std::string::npos);
  tls = world.server_tls();
  tls.key_file = world.client.key_file;
  CHECK(message(TlsContext::for_clients(tls)).find("client.key") != std::string::npos);
  tls = world.server_tls();
  tls.ca_file = world.directory.path("garbage.crt");
  std::ofstream(tls.ca_file) << "not a certificate";
  CHECK(message(TlsContext::for_clients(tls)).find("garbage.crt") != std::string::npos);
  CHECK(message(TlsContext::for_servers(world.client_tls(SslMode::kVerifyFull)))
            .find("root certificate") != std::string::npos);
  CHECK_FALSE(TlsContext::for_clients({}).ok());
  CHECK(TlsContext::for_servers({}).ok());
  const Identity locked =
      make_identity(world.directory, {.file = "locked", .passphrase = "secret"});
  tls = {.mode = SslMode::kPrefer, .cert_file = locked.cert_file, .key_file = locked.key_file};
  CHECK(message(TlsContext::for_clients(tls)).find("locked.key") != std::string::npos);
  CHECK(net::tls_error() == "");
}

TEST_CASE("the context may go before its connections") {
  World world;
  auto c = connect(for_clients(world.server_tls()), world.client_tls(SslMode::kRequire), "db");
  CHECK(c.established);
  CHECK(Connection::send(c.client.get(), c.server.get()));
}
