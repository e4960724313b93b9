/* SPDX-License-Identifier: MIT */
#ifndef NET_TLS_CERT_H
#define NET_TLS_CERT_H

/* Certificates made on the spot: weft_tls_self_signed, and what tests need. */
#include <weft/tls.h>

#include <openssl/x509.h>

struct tls_cert_spec {
	const char *common_name;
	const char *const *names;	   /* hosts and addresses, NULL-terminated; NULL: none */
	int64_t not_before_s, not_after_s; /* since 1970 */
	bool is_ca;
	X509 *issuer; /* NULL: it signs itself */
	EVP_PKEY *issuer_key;
};

/* A new key (P-256) and its certificate. Errors: WEFT_ENOMEM, WEFT_ETLS. */
WEFT_MUST_CHECK weft_err tls_cert_make(
	X509 **cert, EVP_PKEY **key, const struct tls_cert_spec *spec);
/* In memory of their own, to be freed by mem_free. NULL: no memory. */
char *tls_cert_pem(X509 *cert);
char *tls_key_pem(EVP_PKEY *key);

#endif
