/* SPDX-License-Identifier: MIT */
#ifndef NET_TLS_TICKET_H
#define NET_TLS_TICKET_H

/*
 * The keys under which a server seals its tickets: a ticket holds all that is needed to go on
 * with its session, so that whoever learns a key reads what was sealed with it (in TLS 1.2 also
 * what was sent then). Hence they are new every TLS_TICKET_S, without anybody's doing:
 *
 *	made      + TLS_TICKET_S              + 2 TLS_TICKET_S
 *	  | seals, opens |  opens what it sealed  | is wiped
 *
 * A ticket lives for TLS_TICKET_S, so that it can be opened as long as it lives. A key is made,
 * and wiped, by the handshake that finds that it is due.
 * Threads: any, at once. Nothing blocks.
 */
#include "rt/lock.h"

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stdint.h>

#define TLS_TICKET_S INT64_C(7200)

struct tls_ticket_key {
	unsigned char name[16]; /* as OpenSSL has it in front of a ticket */
	unsigned char cipher[32], mac[32];
	int64_t made_ns;
	bool is_there;
};

/* Memory that is zero has none yet. */
struct tls_tickets {
	struct rt_lock lock;
	struct tls_ticket_key keys[2]; /* that which seals, and the one before; lock */
};

void tls_tickets_wipe(struct tls_tickets *tickets);
/* A copy of the key to seal with at now_ns. False: there is no randomness. */
bool tls_tickets_seal(struct tls_tickets *tickets, struct tls_ticket_key *out, int64_t now_ns);
/* A copy of the key of that name; false: there is none any more. *is_old: seal anew. */
bool tls_tickets_open(struct tls_tickets *tickets, struct tls_ticket_key *out,
	const unsigned char name[16], int64_t now_ns, bool *is_old);
/* SSL's callback, of a conn whose context has tickets. */
int tls_ticket_callback(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
	EVP_MAC_CTX *mac, int is_sealing);

#endif
