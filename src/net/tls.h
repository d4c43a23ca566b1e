// TLS: what is agreed with clients and servers, made once from the config and shared by all.
#pragma once

#include <openssl/ssl.h>

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "config/config.h"

namespace net {

// An SSL_CTX with everything loaded that the files of one config::Tls say. Immutable after it was
// made, so any thread may make connections from it; a reload makes a new one, and connections
// that were made from the old one keep it alive. An error about a file begins with its key. TLS 1.2
// or later, no renegotiation, no compression. The ALPN protocol is "postgresql" (PostgreSQL 17,
// "SSL Session Encryption").
class TlsContext {
 public:
  // We are the TLS server. Needs a certificate and its key. A client that offers ALPN protocols
  // must offer ours. With a ca_file a certificate that the client presents must descend from it;
  // verify-ca and verify-full demand one.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> for_clients(const config::Tls& tls);

  // We are the TLS client. A certificate and key are presented when configured. verify-ca and
  // verify-full need a ca_file.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> for_servers(const config::Tls& tls);

  // The caller owns what these return (SSL_free). Null is a failure; tls_error() says which.
  SSL* new_server_side() const;
  // host_name: as the config names the host; sent as SNI unless it is an address. mode, as libpq
  // takes it: verify-full checks the server's chain and name, verify-ca the chain; so does require
  // when there is a ca_file; the others check nothing.
  SSL* new_client_side(const std::string& host_name, config::SslMode mode) const;

 private:
  struct Free {
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  using Handle = std::unique_ptr<SSL_CTX, Free>;

  TlsContext(Handle handle, bool has_ca) : handle_(std::move(handle)), has_ca_(has_ca) {}
  static absl::StatusOr<Handle> make(const SSL_METHOD* method, const config::Tls& tls);

  Handle handle_;
  bool has_ca_;  // a ca_file was loaded
};

// The channel binding "tls-server-end-point" (RFC 5929, section 4.1) after the handshake: the
// digest of the server's certificate. "" when its signature has no digest (Ed25519) or there is
// no certificate: SCRAM-SHA-256-PLUS cannot be offered then.
std::string tls_server_end_point(SSL* ssl, bool we_are_server);

// Whether the handshake agreed on ALPN "postgresql", which a direct TLS connection must.
bool tls_is_postgresql(const SSL* ssl);

std::string tls_description(const SSL* ssl);  // "TLSv1.3/TLS_AES_256_GCM_SHA384"

// This thread's queued OpenSSL errors, oldest first, as text; empties the queue. "" = there were
// none.
std::string tls_error();

}  // namespace net
