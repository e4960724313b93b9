/* SPDX-License-Identifier: MIT */
/* See tls_ticket.h. The shape of a ticket is that of RFC 5077, section 4: AES-CBC, then HMAC. */
#include "net/tls_ticket.h"

#include "net/tls.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <string.h>

#define LIFE_NS (TLS_TICKET_S * INT64_C(1000000000))

static void key_wipe(struct tls_ticket_key *key)
{
	OPENSSL_cleanse(key, sizeof(*key));
}

void tls_tickets_wipe(struct tls_tickets *tickets)
{
	key_wipe(&tickets->keys[0]);
	key_wipe(&tickets->keys[1]);
}

static bool key_make(struct tls_ticket_key *key, int64_t now_ns)
{
	key->made_ns = now_ns;
	key->is_there = RAND_bytes(key->name, sizeof(key->name)) == 1 &&
		RAND_priv_bytes(key->cipher, sizeof(key->cipher)) == 1 &&
		RAND_priv_bytes(key->mac, sizeof(key->mac)) == 1;
	return key->is_there;
}

/* Lock held. */
static void wipe_old(struct tls_tickets *t, int64_t now_ns)
{
	for (int i = 0; i < 2; i++) {
		if (t->keys[i].is_there && now_ns - t->keys[i].made_ns >= 2 * LIFE_NS)
			key_wipe(&t->keys[i]);
	}
}

/* Lock held. */
static bool renew(struct tls_tickets *t, int64_t now_ns)
{
	struct tls_ticket_key *newest = &t->keys[0];

	if (newest->is_there && now_ns - newest->made_ns < LIFE_NS)
		return true;
	if (newest->is_there)
		t->keys[1] = *newest;
	return key_make(newest, now_ns);
}

bool tls_tickets_seal(struct tls_tickets *tickets, struct tls_ticket_key *out, int64_t now_ns)
{
	bool ok;

	rt_lock_acquire(&tickets->lock);
	wipe_old(tickets, now_ns);
	ok = renew(tickets, now_ns);
	if (ok)
		*out = tickets->keys[0];
	rt_lock_release(&tickets->lock);
	return ok;
}

bool tls_tickets_open(struct tls_tickets *tickets, struct tls_ticket_key *out,
	const unsigned char name[16], int64_t now_ns, bool *is_old)
{
	const struct tls_ticket_key *found = NULL;

	rt_lock_acquire(&tickets->lock);
	wipe_old(tickets, now_ns);
	for (int i = 0; i < 2 && !found; i++) {
		const struct tls_ticket_key *key = &tickets->keys[i];

		if (key->is_there && memcmp(key->name, name, sizeof(key->name)) == 0)
			found = key;
	}
	if (found) {
		*out = *found;
		*is_old = now_ns - found->made_ns >= LIFE_NS;
	}
	rt_lock_release(&tickets->lock);
	return found != NULL;
}

static bool mac_set(EVP_MAC_CTX *mac, struct tls_ticket_key *key)
{
	char digest[] = "SHA256";
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac, sizeof(key->mac)),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
		OSSL_PARAM_construct_end(),
	};

	return EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* What it returns: -1 the handshake fails, 0 the ticket is nobody's, 1 it is good, 2 and the
 * client gets another. In TLS 1.3 it always does, since it uses each once. */
int tls_ticket_callback(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int is_sealing)
{
	const struct tls_conn *c = SSL_get_app_data(ssl);
	struct tls_tickets *tickets = &c->context->tickets;
	struct tls_ticket_key key;
	bool is_old = false, ok;

	if (is_sealing) {
		if (!tls_tickets_seal(tickets, &key, weft_now()) ||
			RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1)
			return -1;
		memcpy(name, key.name, sizeof(key.name));
		ok = EVP_EncryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
	} else {
		if (!tls_tickets_open(tickets, &key, name, weft_now(), &is_old))
			return 0;
		ok = EVP_DecryptInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher, iv) == 1;
	}
	ok = ok && mac_set(mac, &key);
	key_wipe(&key);
	if (!ok)
		return -1;
	return is_old || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}
