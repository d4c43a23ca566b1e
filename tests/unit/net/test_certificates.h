// Certificates for tests: a CA and what it signs, as PEM files in a temporary directory.
#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

namespace net_test {

struct FreeKey {
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
};
struct FreeCertificate {
  void operator()(X509* certificate) const { X509_free(certificate); }
};
using Key = std::unique_ptr<EVP_PKEY, FreeKey>;
using Certificate = std::unique_ptr<X509, FreeCertificate>;

class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  std::string path(const std::string& file) const { return path_ + "/" + file; }

 private:
  std::string path_;
};

struct Identity {
  Key key;
  Certificate certificate;
  std::string cert_file, key_file;
};

struct Wanted {
  std::string file;  // base name of the PEM files
  std::string common_name = "x";
  std::string alt_names;                // OpenSSL's syntax: "DNS:db.example.com,IP:127.0.0.1"
  const EVP_MD* digest = EVP_sha256();  // null for Ed25519
  const char* key_type = "P-256";       // or "ED25519"
  const Identity* issuer = nullptr;     // null = signs itself
  std::string passphrase;               // of the key file; "" = none
};
Identity make_identity(const TemporaryDirectory& directory, const Wanted& wanted);

}  // namespace net_test
