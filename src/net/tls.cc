#include "net/tls.h"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>
#include <openssl/x509v3.h>

#include <array>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "net/address.h"

namespace net {
namespace {

using config::SslMode;

// Length-prefixed, as the extension carries it.
constexpr std::array<unsigned char, 11> kAlpn = {10,  'p', 'o', 's', 't', 'g',
                                                 'r', 'e', 's', 'q', 'l'};

bool verifies(SslMode mode) {
  switch (mode) {
    case SslMode::kDisable:
    case SslMode::kAllow:
    case SslMode::kPrefer:
    case SslMode::kRequire:
      return false;
    case SslMode::kVerifyCa:
    case SslMode::kVerifyFull:
      return true;
  }
  return true;
}

absl::Status failure(const char* key, const char* what, const std::string& file) {
  return absl::InvalidArgumentError(
      absl::StrCat(key, ": ", what, " \"", file, "\": ", tls_error()));
}

// The same answers as PostgreSQL's server: ours if offered, else the alert no_application_protocol.
int select_alpn(SSL*, const unsigned char** out, unsigned char* out_size,
                const unsigned char* offered, unsigned int offered_size, void*) {
  unsigned char* chosen = nullptr;
  const int answer =
      SSL_select_next_proto(&chosen, out_size, kAlpn.data(), kAlpn.size(), offered, offered_size);
  *out = chosen;
  return answer == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

absl::Status load_certificate(SSL_CTX* context, const config::Tls& tls) {
  if (SSL_CTX_use_certificate_chain_file(context, tls.cert_file.c_str()) != 1) {
    return failure("cert_file", "could not load certificate file", tls.cert_file);
  }
  if (SSL_CTX_use_PrivateKey_file(context, tls.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
    return failure("key_file", "could not load private key file", tls.key_file);
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return failure("key_file", "the certificate does not belong to private key file", tls.key_file);
  }
  return absl::OkStatus();
}

bool is_address(const std::string& host) { return literal_address(host, 1).has_value(); }

// Demands that the peer's certificate names `host`.
bool expect_name(SSL* ssl, const std::string& host) {
  if (host.empty() || host.front() == '/') {
    // Left alone, OpenSSL would take no name for "any name".
    ERR_raise_data(ERR_LIB_USER, ERR_R_PASSED_INVALID_ARGUMENT,
                   "there is no host name to verify the certificate against");
    return false;
  }
  X509_VERIFY_PARAM* param = SSL_get0_param(ssl);
  if (is_address(host)) return X509_VERIFY_PARAM_set1_ip_asc(param, host.c_str()) == 1;
  X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
  return X509_VERIFY_PARAM_set1_host(param, host.data(), host.size()) == 1;
}

}  // namespace

absl::StatusOr<TlsContext::Handle> TlsContext::make(const SSL_METHOD* method,
                                                    const config::Tls& tls) {
  ERR_clear_error();
  Handle context(SSL_CTX_new(method));
  if (!context) return absl::ResourceExhaustedError(tls_error());
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Moving: a retried write may come from a buffer that was moved or has grown. Release: an idle
  // connection keeps no 16 KiB record buffers.
  SSL_CTX_set_mode(context.get(), SSL_MODE_ENABLE_PARTIAL_WRITE |
                                      SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                      SSL_MODE_RELEASE_BUFFERS);
  // Tickets need no memory here; a cache of sessions would.
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // A key with a passphrase is an error, not a question on the terminal.
  SSL_CTX_set_default_passwd_cb(context.get(), [](char*, int, int, void*) { return 0; });
  if (!tls.ca_file.empty() &&
      SSL_CTX_load_verify_locations(context.get(), tls.ca_file.c_str(), nullptr) != 1) {
    return failure("ca_file", "could not load root certificate file", tls.ca_file);
  }
  if (tls.ca_file.empty() && verifies(tls.mode)) {
    return absl::InvalidArgumentError("verifying certificates needs a root certificate file");
  }
  return context;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::for_clients(const config::Tls& tls) {
  absl::StatusOr<Handle> made = make(TLS_server_method(), tls);
  if (!made.ok()) return made.status();
  SSL_CTX* context = made->get();
  if (auto loaded = load_certificate(context, tls); !loaded.ok()) return loaded;
  SSL_CTX_set_alpn_select_cb(context, select_alpn, nullptr);
  // The order of ciphers is the server's, as in PostgreSQL (ssl_prefer_server_ciphers).
  SSL_CTX_set_options(context, SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_num_tickets(context, 1);  // clients reconnect one connection at a time
  // Resuming a session with a verified client certificate is refused without an id.
  constexpr std::string_view kSessionId = "weir";
  SSL_CTX_set_session_id_context(context, reinterpret_cast<const unsigned char*>(kSessionId.data()),
                                 kSessionId.size());
  if (!tls.ca_file.empty()) {
    STACK_OF(X509_NAME)* names = SSL_load_client_CA_file(tls.ca_file.c_str());
    if (names == nullptr)
      return failure("ca_file", "could not load root certificate file", tls.ca_file);
    SSL_CTX_set_client_CA_list(context, names);  // owns them now
    const int demand = verifies(tls.mode) ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0;
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_CLIENT_ONCE | demand, nullptr);
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(*std::move(made), !tls.ca_file.empty()));
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::for_servers(const config::Tls& tls) {
  absl::StatusOr<Handle> made = make(TLS_client_method(), tls);
  if (!made.ok()) return made.status();
  if (!tls.cert_file.empty()) {
    if (auto loaded = load_certificate(made->get(), tls); !loaded.ok()) return loaded;
  }
  // Unlike OpenSSL's other functions this one answers 0 for success.
  if (SSL_CTX_set_alpn_protos(made->get(), kAlpn.data(), kAlpn.size()) != 0) {
    return absl::ResourceExhaustedError(tls_error());
  }
  return std::shared_ptr<const TlsContext>(new TlsContext(*std::move(made), !tls.ca_file.empty()));
}

SSL* TlsContext::new_server_side() const {
  ERR_clear_error();
  SSL* ssl = SSL_new(handle_.get());
  if (ssl != nullptr) SSL_set_accept_state(ssl);
  return ssl;
}

SSL* TlsContext::new_client_side(const std::string& host_name, SslMode mode) const {
  ERR_clear_error();
  std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(handle_.get()), &SSL_free);
  if (!ssl) return nullptr;
  SSL_set_connect_state(ssl.get());
  const bool verify = verifies(mode) || (mode == SslMode::kRequire && has_ca_);
  SSL_set_verify(ssl.get(), verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, nullptr);
  if (mode == SslMode::kVerifyFull && !expect_name(ssl.get(), host_name)) return nullptr;
  // RFC 6066, section 3: literal addresses are not permitted in SNI. (The macro
  // SSL_set_tlsext_host_name has a C cast in it.)
  if (!host_name.empty() && !is_address(host_name) &&
      SSL_ctrl(ssl.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
               const_cast<char*>(host_name.c_str())) != 1) {
    return nullptr;
  }
  return ssl.release();
}

std::string tls_server_end_point(SSL* ssl, bool we_are_server) {
  std::unique_ptr<X509, decltype(&X509_free)> peer(nullptr, &X509_free);
  const X509* certificate = nullptr;
  if (we_are_server) {
    certificate = SSL_get_certificate(ssl);
  } else {
    peer.reset(SSL_get1_peer_certificate(ssl));
    certificate = peer.get();
  }
  if (certificate == nullptr) return "";
  // X509_get_signature_info, unlike the signature's NID, also knows RSA-PSS's digest.
  int digest_nid = NID_undef;
  if (X509_get_signature_info(const_cast<X509*>(certificate), &digest_nid, nullptr, nullptr,
                              nullptr) != 1 ||
      digest_nid == NID_undef) {
    return "";
  }
  if (digest_nid == NID_md5 || digest_nid == NID_sha1) digest_nid = NID_sha256;
  const EVP_MD* digest = EVP_get_digestbynid(digest_nid);
  std::array<unsigned char, EVP_MAX_MD_SIZE> bytes;
  unsigned int size = 0;
  if (digest == nullptr || X509_digest(certificate, digest, bytes.data(), &size) != 1) return "";
  return std::string(bytes.begin(), bytes.begin() + size);
}

bool tls_is_postgresql(const SSL* ssl) {
  const unsigned char* name = nullptr;
  unsigned int size = 0;
  SSL_get0_alpn_selected(ssl, &name, &size);
  return std::string_view(reinterpret_cast<const char*>(name), size) == "postgresql";
}

std::string tls_description(const SSL* ssl) {
  return absl::StrCat(SSL_get_version(ssl), "/", SSL_get_cipher_name(ssl));
}

std::string tls_error() {
  std::string text;
  const char* data = nullptr;
  int flags = 0;
  while (const unsigned long code = ERR_get_error_all(nullptr, nullptr, nullptr, &data, &flags)) {
    // The system's codes have no reason string of OpenSSL's.
    const char* reason =
        ERR_SYSTEM_ERROR(code) ? strerror(ERR_GET_REASON(code)) : ERR_reason_error_string(code);
    std::array<char, 32> number;
    if (reason == nullptr) {
      std::snprintf(number.data(), number.size(), "error %lx", code);
      reason = number.data();
    }
    absl::StrAppend(&text, text.empty() ? "" : "; ", reason);
    if ((flags & ERR_TXT_STRING) != 0 && *data != '\0') absl::StrAppend(&text, " (", data, ")");
  }
  return text;
}

}  // namespace net
