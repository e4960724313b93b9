/* SPDX-License-Identifier: MIT */
/* See tls_cert.h. Certificates are as RFC 5280 has them; names are in the SAN only. */
#include "net/tls_cert.h"

#include "base/err.h"
#include "base/mem.h"
#include "net/tls.h"
#include "net/tls_cache.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <string.h>

#define DAYS_GOOD 30
#define DAY_S 86400
#define CLOCK_SKEW_S 3600 /* that another machine's clock may be behind */

static bool name_add(GENERAL_NAMES *names, const char *text)
{
	GENERAL_NAME *name = GENERAL_NAME_new();
	ASN1_OCTET_STRING *ip = a2i_IPADDRESS(text);
	ASN1_IA5STRING *host = ip ? NULL : ASN1_IA5STRING_new();

	if (name && host && ASN1_STRING_set(host, text, -1)) {
		GENERAL_NAME_set0_value(name, GEN_DNS, host);
		host = NULL;
	} else if (name && ip) {
		GENERAL_NAME_set0_value(name, GEN_IPADD, ip);
		ip = NULL;
	} else {
		GENERAL_NAME_free(name);
		name = NULL;
	}
	ASN1_OCTET_STRING_free(ip);
	ASN1_IA5STRING_free(host);
	if (name && sk_GENERAL_NAME_push(names, name))
		return true;
	GENERAL_NAME_free(name);
	return false;
}

static bool names_set(X509 *cert, const char *const *list)
{
	GENERAL_NAMES *names = sk_GENERAL_NAME_new_null();
	bool ok = names != NULL;

	if (!list || !list[0]) {
		GENERAL_NAMES_free(names);
		return true;
	}
	for (size_t i = 0; ok && list[i]; i++)
		ok = name_add(names, list[i]);
	ok = ok && X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, 0) == 1;
	GENERAL_NAMES_free(names);
	return ok;
}

/* Bits of KeyUsage (RFC 5280, section 4.2.1.3). */
enum { DIGITAL_SIGNATURE = 0, KEY_CERT_SIGN = 5, CRL_SIGN = 6 };

static bool usage_set(X509 *cert, bool is_ca)
{
	BASIC_CONSTRAINTS *basic = BASIC_CONSTRAINTS_new();
	ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
	bool ok = basic && usage;

	if (ok)
		basic->ca = is_ca;
	ok = ok && ASN1_BIT_STRING_set_bit(usage, DIGITAL_SIGNATURE, 1);
	if (is_ca)
		ok = ok && ASN1_BIT_STRING_set_bit(usage, KEY_CERT_SIGN, 1) &&
			ASN1_BIT_STRING_set_bit(usage, CRL_SIGN, 1);
	ok = ok && X509_add1_ext_i2d(cert, NID_basic_constraints, basic, 1, 0) == 1 &&
		X509_add1_ext_i2d(cert, NID_key_usage, usage, 1, 0) == 1;
	BASIC_CONSTRAINTS_free(basic);
	ASN1_BIT_STRING_free(usage);
	return ok;
}

static bool serial_set(X509 *cert)
{
	uint64_t serial;

	return RAND_bytes((unsigned char *)&serial, sizeof(serial)) == 1 &&
		ASN1_INTEGER_set_uint64(X509_get_serialNumber(cert), (serial >> 1) | 1);
}

static bool subject_set(X509 *cert, const char *common_name)
{
	return X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		(const unsigned char *)common_name, -1, -1, 0);
}

static bool cert_fill(X509 *cert, EVP_PKEY *key, const struct tls_cert_spec *spec)
{
	X509 *issuer = spec->issuer ? spec->issuer : cert;

	return X509_set_version(cert, X509_VERSION_3) && serial_set(cert) &&
		ASN1_TIME_set(X509_getm_notBefore(cert), spec->not_before_s) &&
		ASN1_TIME_set(X509_getm_notAfter(cert), spec->not_after_s) &&
		subject_set(cert, spec->common_name) &&
		X509_set_issuer_name(cert, X509_get_subject_name(issuer)) &&
		X509_set_pubkey(cert, key) && usage_set(cert, spec->is_ca) &&
		names_set(cert, spec->names) &&
		X509_sign(cert, spec->issuer_key ? spec->issuer_key : key, EVP_sha256());
}

weft_err tls_cert_make(X509 **cert, EVP_PKEY **key, const struct tls_cert_spec *spec)
{
	EVP_PKEY *k;
	X509 *c = NULL;
	char text[TLS_TEXT_MAX];

	ERR_clear_error();
	k = EVP_EC_gen("P-256");
	if (k)
		c = X509_new();
	if (!c || !cert_fill(c, k, spec)) {
		weft_err err = tls_error_plain(WEFT_ETLS, text);

		X509_free(c);
		EVP_PKEY_free(k);
		return err_setf(err, "make a certificate: %s", text);
	}
	*cert = c;
	*key = k;
	return WEFT_OK;
}

/* What was written to bio, which is freed; NULL: it was not, or no memory. */
static char *bio_text(BIO *bio, bool ok)
{
	char *data = NULL, *text = NULL;
	long len = bio ? BIO_get_mem_data(bio, &data) : 0;

	if (ok && len > 0)
		text = mem_strndup(data, (size_t)len);
	if (data && len > 0)
		OPENSSL_cleanse(data, (size_t)len);
	BIO_free(bio);
	return text;
}

char *tls_cert_pem(X509 *cert)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_text(bio, bio && PEM_write_bio_X509(bio, cert));
}

char *tls_key_pem(EVP_PKEY *key)
{
	BIO *bio = BIO_new(BIO_s_mem());

	return bio_text(bio, bio && PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL));
}

static weft_err pem_fill(weft_tls_pem *out, X509 *cert, EVP_PKEY *key)
{
	uint8_t digest[TLS_DIGEST_SIZE];

	out->cert_pem = tls_cert_pem(cert);
	out->key_pem = tls_key_pem(key);
	if (!out->cert_pem || !out->key_pem || !tls_cert_digest(digest, cert))
		return err_set(WEFT_ENOMEM);
	tls_fingerprint_format(out->fingerprint, digest);
	return WEFT_OK;
}

weft_err weft_tls_self_signed(weft_tls_pem *out, const char *host)
{
	const char *names[] = { "localhost", "127.0.0.1", "::1", host, NULL };
	int64_t now = tls_cache_now();
	struct tls_cert_spec spec = { .common_name = "weft, for trying out",
		.names = names,
		.not_before_s = now - CLOCK_SKEW_S,
		.not_after_s = now + (int64_t)DAYS_GOOD * DAY_S };
	weft_tls_pem pem = { .cert_pem = NULL };
	EVP_PKEY *key = NULL;
	X509 *cert = NULL;
	weft_err err;

	if (host && !tls_is_host(host))
		return err_setf(
			WEFT_EINVAL, "self-signed certificate: \"%.64s\" is no host name", host);
	err = tls_cert_make(&cert, &key, &spec);
	if (!err)
		err = pem_fill(&pem, cert, key);
	X509_free(cert);
	EVP_PKEY_free(key);
	if (err)
		weft_tls_pem_fini(&pem);
	else
		*out = pem;
	return err;
}

void weft_tls_pem_fini(weft_tls_pem *pem)
{
	if (pem->key_pem)
		OPENSSL_cleanse(pem->key_pem, strlen(pem->key_pem));
	mem_free(pem->key_pem);
	mem_free(pem->cert_pem);
	*pem = (weft_tls_pem){ .cert_pem = NULL };
}
