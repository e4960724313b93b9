/* SPDX-License-Identifier: MIT */
#ifndef NET_TLS_H
#define NET_TLS_H

/*
 * Inside of TLS: configurations (tls_config.c, tls_load.c), connections (tls_conn.c), what
 * errors are called (tls_error.c), a client's sessions (tls_cache.c), a server's keys for
 * tickets (tls_ticket.c).
 *
 *	weft_tls ----cell----> tls_context (an SSL_CTX and what it refers to; never changes)
 *	   ^                       ^
 *	   +------ tls_conn -------+     one SSL each
 */
#include "base/counter.h"
#include "base/refcount.h"
#include "net/conn.h"
#include "net/tls_ticket.h"
#include "rt/lock.h"

#include <weft/cell.h>
#include <weft/tls.h>

#include <openssl/ssl.h>

#define TLS_NAME_MAX 253 /* bytes of a host name (RFC 1035) */
#define TLS_RECORD_MAX ((size_t)SSL3_RT_MAX_PLAIN_LENGTH)
#define TLS_DIGEST_SIZE 32 /* SHA-256 */
#define TLS_TEXT_MAX 512   /* of what went wrong */

struct tls_cache;

/* ---- configuration ---- */

/* The options, owned. Fixed once made. */
struct tls_settings {
	bool is_server;
	char *ca_file, *ca_dir, *ca_pem, *crl_file;
	char *server_name;
	char *key_log_file;
	bool insecure, sessions_off;
	bool has_fingerprint;
	uint8_t fingerprint[TLS_DIGEST_SIZE];
	uint8_t *alpn; /* as on the wire: each name behind its length */
	size_t alpn_len;
	struct tls_cert_names {
		char *cert_file, *key_file, *cert_pem, *key_pem;
	} * certs;
	size_t cert_count;
	weft_tls_client_auth client_auth;
	int version_min, version_max; /* OpenSSL's numbers; 0: the newest */
	size_t sessions_max;
};

struct tls_pair {
	X509 *cert;
	EVP_PKEY *key;
	STACK_OF(X509) * chain; /* may be NULL */
};

/* Made of files as they were at one moment. Never changes, but for the keys of tickets. */
struct tls_context {
	struct refcount refs;
	uint64_t serial; /* which of its weft_tls it is: sessions are resumed within one */
	struct tls_tickets tickets; /* of a server */
	SSL_CTX *ctx;
	const struct tls_settings *settings; /* of the weft_tls, which outlives it */
	struct tls_pair *pairs;		     /* of a server */
	size_t pair_count;
};

struct weft_tls {
	struct refcount refs;
	struct tls_settings settings;
	weft_cell *context;	 /* of tls_context; NULL while being made */
	struct tls_cache *cache; /* of a client; NULL: none */
	weft_buf_pool *buffers;	 /* of blocks, which come and go with each write */
	int key_log_fd;		 /* -1: none */
	struct counter loads;	 /* of contexts, begun */
	struct counter handshakes, resumed, failed, reloads;
};

/* tls_config.c */
bool tls_is_host(const char *text);
void tls_context_ref(void *context);
void tls_context_unref(void *context);
/* name: "sha256:..."; false: it is none. */
bool tls_fingerprint_parse(uint8_t out[TLS_DIGEST_SIZE], const char *text);
void tls_fingerprint_format(
	char out[WEFT_TLS_FINGERPRINT_LEN + 1], const uint8_t digest[TLS_DIGEST_SIZE]);

/* tls_load.c: reads files. Errors: as weft_tls_client_create. */
WEFT_MUST_CHECK weft_err tls_context_load(struct tls_context **out, const struct weft_tls *tls);
/* The SHA-256 of a certificate; false: no memory. */
bool tls_cert_digest(uint8_t out[TLS_DIGEST_SIZE], X509 *cert);

/* ---- connections ---- */

/* A block of bytes, from its configuration's pool: data[head .. head + len) are there. */
struct tls_block {
	weft_buf memory; /* empty, or cap bytes at data */
	uint8_t *data;
	size_t cap, head, len;
};

/* One at a time does something that may park; another may wait for it. */
struct tls_role {
	bool taken;	     /* lock */
	weft_parker *waiter; /* parked, or about to be; lock */
};

#define TLS_FRESH_MAX 4

struct tls_conn {
	weft_conn base;
	weft_conn *lower;	     /* owned; freed by dispose */
	struct weft_tls *tls;	     /* held */
	struct tls_context *context; /* held */
	SSL *ssl;		     /* lock, once the handshake is over */
	char *name;		     /* that the certificate must be for; may be NULL; owned */
	char *session_key;	     /* NULL: sessions are not kept; owned */
	const SSL_SESSION *offered;  /* the session to be resumed, to compare; the handshake */

	struct rt_lock lock;
	struct tls_role filling; /* reads from lower into `in` */
	struct tls_role sending; /* writes `flight` to lower */
	struct tls_block in;	 /* lock; who fills writes where it points */
	struct tls_block out;	 /* records that SSL made; lock */
	struct tls_block flight; /* who sends; else lock */
	unsigned fills_small;	 /* in a row, of a large `in`; lock */
	bool no_memory;		 /* SSL could not put out what it made; lock */
	bool is_interrupted;	 /* closed here; lock */
	bool is_writing;	 /* a writer is inside, perhaps between two records; lock */
	bool owes_byte;		 /* owed was reported as not written, but is; sender */
	uint8_t owed;		 /* sender */
	uint64_t records;	 /* written since the keys were new; sender */
	bool is_up;		 /* the handshake is over; fixed once handed out */
	weft_err fault;		 /* of SSL; nothing works after it; lock */
	char *fault_text;	 /* may be NULL; owned; lock */
	char *why;		 /* the peer is refused; owned; may be NULL; the handshake */
	bool cert_wanted;	 /* the server asked for a certificate, and there is none; same */
	uint8_t first[8];	 /* that came from the peer, for errors; who fills */
	uint64_t first_len;	 /* all bytes that came, in truth; who fills */

	SSL_SESSION *fresh[TLS_FRESH_MAX]; /* tickets that came; lock */
	unsigned fresh_len;

	weft_tls_info info; /* fixed once handed out; strings owned, but for the static ones */
	char fingerprint[WEFT_TLS_FINGERPRINT_LEN + 1];
	char *peer_subject, *alpn, *server_name; /* owned; may be NULL */
};

enum tls_step {
	TLS_STEP_DONE,
	TLS_STEP_FILL,	/* wants bytes of the peer's */
	TLS_STEP_AGAIN, /* a record that brought nothing: there may be more */
	TLS_STEP_END,	/* close_notify */
	TLS_STEP_FAULT, /* conn->fault is set */
};

/* tls_conn.c */
extern const struct conn_type tls_conn_type;
/* Of a conn that was never handed out, and whose lower conn is gone: all but conn itself. */
void tls_conn_clear(struct tls_conn *conn);

/* tls_move.c: the lock is held, and released while it waits, unless said otherwise. */
void tls_fault_set(struct tls_conn *conn, weft_err err, const char *text);
weft_err tls_fault_get(struct tls_conn *conn, const char *what);
/* Until whoever has the role gives it up. */
weft_err tls_role_await(struct tls_conn *conn, struct tls_role *role, weft_deadline until);
void tls_role_give_up(struct tls_role *role);
/* WEFT_OK: there may be more for SSL to read. */
weft_err tls_fill(struct tls_conn *conn, weft_deadline until);
/* By who has the role: until all is sent. */
weft_err tls_send_all(struct tls_conn *conn, weft_deadline until);
/* By who has the role: what can be sent at once; WEFT_ETIMEDOUT: not all. */
weft_err tls_send_now(struct tls_conn *conn);
/* By who is not the writer: what needs no waiting. */
void tls_send_soon(struct tls_conn *conn);
/* What an idle conn need not keep. */
void tls_blocks_trim(struct tls_conn *conn);
/* When the peer takes no more: if it said why, that becomes the fault. */
void tls_last_words(struct tls_conn *conn);
/* After a call of SSL's that returned that. */
enum tls_step tls_judge(struct tls_conn *conn, int result);
/* Other fibers of the worker run. */
void tls_let_others(struct tls_conn *conn);
/* Tickets that came go to the cache. Without the lock. */
void tls_fresh_keep(struct tls_conn *conn);

/* tls_bio.c: the SSL's ends are conn->in and conn->out. False: no memory. */
bool tls_bio_attach(struct tls_conn *conn);
/* Room for at least size bytes more. False: no memory. */
bool tls_block_reserve(struct tls_conn *c, struct tls_block *block, size_t size);
void tls_block_free(struct tls_block *block);

/* tls_error.c */
/*
 * What the OpenSSL call that failed just now says, in the calling thread's queue, which is
 * emptied. text: TLS_TEXT_MAX bytes.
 */
weft_err tls_error_take(struct tls_conn *conn, char *text);
/* The same for what is no connection: files, keys. WEFT_ENOMEM, or code. */
weft_err tls_error_plain(weft_err code, char *text);
/* SSL's callback for each certificate of the peer's chain. */
int tls_error_verify(int ok, X509_STORE_CTX *store);
/* The name of a certificate's owner, in memory of its own; NULL: no memory. */
char *tls_subject(X509 *cert);

#endif
