/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "support/certs.h"

#include "base/mem.h"
#include "net/tls_cert.h"
#include "support/t.h"

#include <openssl/pem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void cert_make(struct cert *out, const char *common_name, const char *const *names, int begins,
	int ends, bool is_ca, const struct cert *issuer)
{
	int64_t now = (int64_t)time(NULL);
	struct tls_cert_spec spec = { .common_name = common_name,
		.names = names,
		.not_before_s = now + begins * CERTS_DAY,
		.not_after_s = now + ends * CERTS_DAY,
		.is_ca = is_ca,
		.issuer = issuer ? issuer->x509 : NULL,
		.issuer_key = issuer ? issuer->key : NULL };

	ck_assert_int_eq(tls_cert_make(&out->x509, &out->key, &spec), WEFT_OK);
	out->cert_pem = tls_cert_pem(out->x509);
	out->key_pem = tls_key_pem(out->key);
	ck_assert(out->cert_pem && out->key_pem);
}

void cert_root(struct cert *out, const char *common_name)
{
	cert_make(out, common_name, NULL, -1, 10, true, NULL);
}

void cert_leaf(struct cert *out, const char *common_name, const struct cert *issuer)
{
	static const char *const names[] = { "localhost", "127.0.0.1", "::1", NULL };

	cert_make(out, common_name, names, -1, 10, false, issuer);
}

void cert_free(struct cert *cert)
{
	X509_free(cert->x509);
	EVP_PKEY_free(cert->key);
	mem_free(cert->cert_pem);
	mem_free(cert->key_pem);
	*cert = (struct cert){ .x509 = NULL };
}

char *cert_crl(const struct cert *root, const struct cert *revoked)
{
	X509_CRL *crl = X509_CRL_new();
	ASN1_TIME *now = ASN1_TIME_set(NULL, time(NULL) - CERTS_DAY);
	ASN1_TIME *next = ASN1_TIME_set(NULL, time(NULL) + CERTS_DAY);
	BIO *bio = BIO_new(BIO_s_mem());
	char *data, *text;
	long len;

	ck_assert(crl && now && next && bio);
	ck_assert(X509_CRL_set_version(crl, X509_CRL_VERSION_2) &&
		X509_CRL_set_issuer_name(crl, X509_get_subject_name(root->x509)) &&
		X509_CRL_set1_lastUpdate(crl, now) && X509_CRL_set1_nextUpdate(crl, next));
	if (revoked) {
		X509_REVOKED *entry = X509_REVOKED_new();

		ck_assert(entry &&
			X509_REVOKED_set_serialNumber(entry, X509_get_serialNumber(revoked->x509)));
		ck_assert(X509_REVOKED_set_revocationDate(entry, now));
		ck_assert(X509_CRL_add0_revoked(crl, entry));
	}
	ck_assert(X509_CRL_sign(crl, root->key, EVP_sha256()));
	/* a NUL behind it: strndup looks for one under the sanitizer */
	ck_assert(PEM_write_bio_X509_CRL(bio, crl) && BIO_write(bio, "", 1) == 1);
	len = BIO_get_mem_data(bio, &data);
	text = strndup(data, (size_t)len);
	BIO_free(bio);
	ASN1_TIME_free(now);
	ASN1_TIME_free(next);
	X509_CRL_free(crl);
	return text;
}

/* ---- files ---- */

static char folder[64];
static char *paths[64];
static size_t path_count;

static void folder_remove(void)
{
	for (size_t i = 0; i < path_count; i++) {
		(void)unlink(paths[i]);
		free(paths[i]);
	}
	(void)rmdir(folder);
}

const char *cert_file(const char *name, const char *text)
{
	char path[128];
	FILE *file;

	if (!folder[0]) {
		strcpy(folder, "/tmp/weft-certs-XXXXXX");
		ck_assert_ptr_nonnull(mkdtemp(folder));
		ck_assert_int_eq(atexit(folder_remove), 0);
	}
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "w");
	ck_assert_ptr_nonnull(file);
	ck_assert_int_ge(fputs(text, file), 0);
	ck_assert_int_eq(fclose(file), 0);
	for (size_t i = 0; i < path_count; i++) {
		if (strcmp(paths[i], path) == 0)
			return paths[i];
	}
	ck_assert_uint_lt(path_count, sizeof(paths) / sizeof(paths[0]));
	paths[path_count] = strdup(path);
	return paths[path_count++];
}
