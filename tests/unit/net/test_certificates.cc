#include "test_certificates.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>

#include "base/check.h"

namespace net_test {
namespace {

void add_extension(X509* certificate, const X509* issuer, int nid, const char* value) {
  X509V3_CTX context;
  std::memset(&context, 0, sizeof context);
  X509V3_set_ctx(&context, const_cast<X509*>(issuer), certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value);
  CHECK(extension != nullptr);
  CHECK(X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

Key make_key(const std::string& type) {
  return Key(type == "ED25519" ? EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519")
                               : EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", type.c_str()));
}

void write_files(const Identity& identity, const std::string& passphrase) {
  std::FILE* file = std::fopen(identity.cert_file.c_str(), "w");
  CHECK(file != nullptr);
  CHECK(PEM_write_X509(file, identity.certificate.get()) == 1);
  std::fclose(file);
  file = std::fopen(identity.key_file.c_str(), "w");
  CHECK(file != nullptr);
  CHECK(PEM_write_PKCS8PrivateKey(
            file, identity.key.get(), passphrase.empty() ? nullptr : EVP_aes_128_cbc(),
            passphrase.c_str(), static_cast<int>(passphrase.size()), nullptr, nullptr) == 1);
  std::fclose(file);
}

}  // namespace

TemporaryDirectory::TemporaryDirectory() {
  std::string pattern = std::filesystem::temp_directory_path() / "weir-test-XXXXXX";
  CHECK(mkdtemp(pattern.data()) != nullptr);
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() { std::filesystem::remove_all(path_); }

Identity make_identity(const TemporaryDirectory& directory, const Wanted& wanted) {
  static std::atomic<long> serial{1};
  Identity made;
  made.cert_file = directory.path(wanted.file + ".crt");
  made.key_file = directory.path(wanted.file + ".key");
  made.key = make_key(wanted.key_type);
  CHECK(made.key != nullptr);
  made.certificate.reset(X509_new());
  X509* certificate = made.certificate.get();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, made.key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wanted.common_name.c_str()), -1,
                             -1, 0);
  const X509* issuer =
      wanted.issuer != nullptr ? wanted.issuer->certificate.get() : made.certificate.get();
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer));
  if (wanted.issuer == nullptr) {
    add_extension(certificate, issuer, NID_basic_constraints, "critical,CA:TRUE");
  }
  if (!wanted.alt_names.empty()) {
    add_extension(certificate, issuer, NID_subject_alt_name, wanted.alt_names.c_str());
  }
  EVP_PKEY* signer = wanted.issuer != nullptr ? wanted.issuer->key.get() : made.key.get();
  CHECK(X509_sign(certificate, signer, wanted.digest) > 0);
  write_files(made, wanted.passphrase);
  return made;
}

}  // namespace net_test
