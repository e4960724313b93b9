/* SPDX-License-Identifier: MIT */
#ifndef CERTS_H
#define CERTS_H

/* Certificates for tests, made when they are needed; each is good for one thing. */
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>

#define CERTS_DAY ((int64_t)86400)

struct cert {
	X509 *x509;
	EVP_PKEY *key;
	char *cert_pem, *key_pem;
};

/* names: hosts and addresses, NULL-terminated, may be NULL. It begins and ends so many days
 * from now. issuer NULL: it signs itself. */
void cert_make(struct cert *out, const char *common_name, const char *const *names, int begins,
	int ends, bool is_ca, const struct cert *issuer);
/* A root; and a certificate of it for localhost, 127.0.0.1 and ::1, both good now. */
void cert_root(struct cert *out, const char *common_name);
void cert_leaf(struct cert *out, const char *common_name, const struct cert *issuer);
void cert_free(struct cert *cert);
/* PEM: the list of root's revoked certificates; revoked may be NULL. To be freed by free. */
char *cert_crl(const struct cert *root, const struct cert *revoked);

/* A new file in a folder of the test's own, which is removed at exit; what path is returned is
 * valid until then. */
const char *cert_file(const char *name, const char *text);

#endif
