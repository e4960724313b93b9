/* SPDX-License-Identifier: MIT */
#ifndef WEFT_TLS_H
#define WEFT_TLS_H

#include <weft/conn.h>

WEFT_BEGIN_DECLS
/*
 * TLS 1.2 (RFC 5246) and 1.3 (RFC 8446) over any weft_conn, by OpenSSL 3.
 *
 * A weft_tls is a configuration, of clients or of servers: certificates, roots, protocols,
 * and a client's cache of sessions. It is made once and used for any number of connections;
 * weft_tls_connect_own and weft_tls_accept_own make a weft_conn of one of these and of a
 * weft_conn that carries the bytes: tcp, a pair in memory, a mux stream, another TLS.
 *
 * Lifetime: shared by reference counts; a conn holds what it needs of its configuration.
 * Threads:  everything from any fiber or plain thread at once.
 * Blocking: connect and accept wait for the peer, until `until`; cancellation points. A
 *           handshake computes in steps of 0.1 to 1 ms. Of all that go on at a worker one
 *           does a step, then other fibers run, then the next one. Create and reload read
 *           files, in the blocking-work pool when a fiber of weft_run calls.
 * Without OpenSSL at build time every function that can fail returns WEFT_ENOSYS.
 */
typedef struct weft_tls weft_tls;

#define WEFT_TLS_CERTS_MAX 64	    /* of a server */
#define WEFT_TLS_ALPN_MAX 32	    /* protocols in a list */
#define WEFT_TLS_SESSIONS_HOST 8    /* kept for one key of the session cache */
#define WEFT_TLS_FINGERPRINT_LEN 71 /* "sha256:" and 64 digits, without the NUL */

typedef enum weft_tls_version {
	WEFT_TLS_VERSION_DEFAULT = 0, /* as a minimum 1.2, as a maximum the newest */
	WEFT_TLS_1_2,
	WEFT_TLS_1_3
} weft_tls_version;

/*
 * A certificate and its private key: by files, or in memory (PEM, NUL-terminated). The
 * certificate comes first, then those of its issuers; the root may be left out. A key has
 * no passphrase. All NULL: none.
 */
typedef struct weft_tls_cert {
	const char *cert_file;
	const char *key_file; /* NULL with cert_file: the key is in that file, too */
	const char *cert_pem; /* instead of cert_file */
	const char *key_pem;  /* instead of key_file; NULL with cert_pem: as above */
} weft_tls_cert;

/* Zero is a good value of each field. Strings are copied. */
typedef struct weft_tls_client_options {
	/* What a server's certificate must come from, in place of the system's roots (which
	 * the environment's SSL_CERT_FILE and SSL_CERT_DIR name, as everywhere): PEM files,
	 * a directory of certificates under their hashes (openssl rehash), PEM in memory. */
	const char *ca_file, *ca_dir, *ca_pem;
	const char *crl_file; /* PEM: revoked certificates; then the issuer of a server's
			       * certificate must have its list there */
	bool insecure;	      /* any certificate will do: whoever is on the way may read all */
	/* "sha256:" and 64 hexadecimal digits (colons between bytes allowed): the server's
	 * certificate must be this one, whatever its issuer, name and dates. */
	const char *fingerprint;
	/* Asked for (SNI) and expected in the certificate, in place of connect's host. */
	const char *server_name;
	const char *const *alpn; /* protocols to offer, the best first; NULL-terminated */
	weft_tls_cert cert;	 /* for servers that ask for one */
	weft_tls_version version_min, version_max;
	/* Secrets of all connections are appended to this file (NSS key log format): whoever
	 * reads it reads the connections. Written in whatever fiber makes the handshake. */
	const char *key_log_file;
	bool key_log_env;    /* the same for the file that SSLKEYLOGFILE in the environment
			   * names, if it is set and key_log_file is not */
	size_t sessions_max; /* of the session cache; 0: 1024; up to 1,000,000 */
	bool sessions_off;   /* each handshake is a full one */
} weft_tls_client_options;

#define WEFT_TLS_CLIENT_OPTIONS_DEFAULT                                                           \
	{                                                                                         \
		NULL, NULL, NULL, NULL, false, NULL, NULL, NULL, { NULL, NULL, NULL, NULL },      \
			WEFT_TLS_VERSION_DEFAULT, WEFT_TLS_VERSION_DEFAULT, NULL, false, 0, false \
	}

typedef enum weft_tls_client_auth {
	WEFT_TLS_CLIENT_NONE = 0, /* clients are not asked for a certificate */
	WEFT_TLS_CLIENT_OPTIONAL, /* asked; one that is given must be good */
	WEFT_TLS_CLIENT_REQUIRED
} weft_tls_client_auth;

/* Zero is a good value of each field but the certificates. Strings are copied. */
typedef struct weft_tls_server_options {
	/* 1..WEFT_TLS_CERTS_MAX. A client that names a host (SNI) gets those that are for it,
	 * one of each kind of key; any other client the first. */
	const weft_tls_cert *certs;
	size_t cert_count;
	/* Protocols, the best first; NULL-terminated. A client that offers only others is
	 * refused, one that offers none is not (RFC 7301). */
	const char *const *alpn;
	weft_tls_client_auth client_auth;
	/* What clients' certificates must come from; one of them with client_auth. */
	const char *client_ca_file, *client_ca_pem;
	const char *crl_file; /* PEM: of client_ca's */
	weft_tls_version version_min, version_max;
	bool tickets_off;	  /* each handshake is a full one; else tickets are good for two
				   * hours, and the keys they are sealed with as new */
	const char *key_log_file; /* as a client's */
	bool key_log_env;
} weft_tls_server_options;

#define WEFT_TLS_SERVER_OPTIONS_DEFAULT                                                          \
	{                                                                                        \
		NULL, 0, NULL, WEFT_TLS_CLIENT_NONE, NULL, NULL, NULL, WEFT_TLS_VERSION_DEFAULT, \
			WEFT_TLS_VERSION_DEFAULT, false, NULL, false                             \
	}

/* options may be NULL. Errors: WEFT_EINVAL (a field's value, or what is in a file or PEM:
 * the detail names the field and says why), WEFT_ENOTFOUND, WEFT_EACCESS, WEFT_EIO (a file),
 * WEFT_ENOMEM, WEFT_ENOSYS. */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_client_create(
	weft_tls **out, const weft_tls_client_options *options);
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_server_create(
	weft_tls **out, const weft_tls_server_options *options);
WEFT_API weft_tls *weft_tls_ref(weft_tls *tls);
/* NULL is allowed. */
WEFT_API void weft_tls_unref(weft_tls *tls);
/*
 * Reads all files again: certificates, keys, roots, lists of revoked ones. Handshakes that
 * begin later use what they hold now; connections and handshakes under way go on. A
 * server's tickets from before are not taken any more, and a client's sessions are dropped:
 * their next handshakes are full ones. On an error everything stays as it was.
 * Errors: as create.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_reload(weft_tls *tls);

/*
 * The client's handshake over conn, which is taken, also on an error. host: a name, or an
 * IP address (brackets allowed); the server's certificate must be for it. It may be NULL
 * when the configuration has server_name, insecure or fingerprint. *out owns conn.
 *
 * Errors:
 *  WEFT_ETLS       the detail says which: the certificate is expired, not yet valid,
 *                  self-signed, of an unknown issuer, for another host, revoked; no common
 *                  protocol or cipher; the peer does not speak TLS; what the peer's alert
 *                  said.
 *  WEFT_EAUTH      the server wants a client certificate that we do not have, or refuses
 *                  ours. In TLS 1.3 a server may say so after the handshake: then a read or
 *                  a write fails so.
 *  WEFT_ERESET     the peer, or the transport, ended within the handshake.
 *  WEFT_ETIMEDOUT, WEFT_ECANCELED, WEFT_ENOMEM, WEFT_ENOSYS, WEFT_EIO; WEFT_EINVAL (tls is
 *  a server's; no host).
 *
 * The conn is a weft_conn in all: one reader and one writer at a time, on any fibers or
 * threads. What is particular:
 *  - The end of the stream is the peer's close_notify (WEFT_ECLOSED). A transport that ends
 *    without it has been cut: WEFT_ERESET.
 *  - weft_conn_shutdown sends close_notify and shuts the transport's writing half down. It
 *    waits up to 10 s for room in the transport; then the conn is broken (WEFT_ETIMEDOUT).
 *    weft_conn_close sends close_notify if that needs no waiting and no write is under way.
 *    A server of TLS 1.3 sends tickets unasked; to a kernel they are bytes that nobody read,
 *    for which a close resets, and drops what it has not sent. So a client that only writes
 *    shuts down and reads to the end before it closes.
 *  - A write that was cut (WEFT_ETIMEDOUT, WEFT_ECANCELED) counts in *written what has
 *    become records; up to 64 KiB of these may be left in the conn and go out before what is
 *    written or shut down next. The conn stays usable.
 *  - A read fails with WEFT_ETLS when the peer sends an alert or a record that is not
 *    authentic; later calls fail the same way.
 *  - Keys are updated when the peer asks for it, and by ourselves after 2^23 records
 *    (RFC 8446, section 5.5). There is no renegotiation and no early data.
 *  - Its names are those of conn, with tls: for tcp:, else with tls+ in front.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_connect_own(
	weft_conn **out, weft_tls *tls, weft_conn *conn, const char *host, weft_deadline until);

typedef struct weft_tls_connect_options {
	const char *host;
	/* Sessions are kept by host and this text: what tells one server from another. NULL:
	 * the port in conn's peer name. */
	const char *session_key;
} weft_tls_connect_options;
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_connect_with_own(weft_conn **out, weft_tls *tls,
	weft_conn *conn, const weft_tls_connect_options *options, weft_deadline until);

/*
 * The server's handshake. As connect; WEFT_EAUTH: the client gave no certificate, or one
 * that is not good; WEFT_EINVAL: tls is a client's. A client that is refused is told, and has a
 * second to end, in which up to 1 MiB of what it sends is dropped: closed at once it would see a
 * reset, and not why.
 */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_accept_own(
	weft_conn **out, weft_tls *tls, weft_conn *conn, weft_deadline until);

/* Strings are never NULL; "" where there is nothing to say. */
typedef struct weft_tls_info {
	const char *version;	      /* "TLSv1.3" */
	const char *cipher;	      /* "TLS_AES_256_GCM_SHA384" */
	const char *alpn;	      /* the protocol both agreed on */
	bool resumed;		      /* the handshake was a short one, by a session of before */
	bool verified;		      /* the peer has a certificate, which was checked */
	const char *peer_subject;     /* of its certificate, as RFC 4514 writes names */
	const char *peer_fingerprint; /* "sha256:" and 64 digits, of its certificate */
	const char *server_name;      /* the host that the client named (SNI) */
} weft_tls_info;

/* Valid until conn is freed. Errors: WEFT_EINVAL (not made here), WEFT_ENOSYS. */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_info_get(const weft_conn *conn, weft_tls_info *out);

typedef struct weft_tls_stats {
	uint64_t handshakes; /* begun */
	uint64_t resumed;    /* of them, short ones that succeeded */
	uint64_t failed;     /* of them */
	uint64_t reloads;    /* that succeeded */
	size_t sessions;     /* in the cache now */
} weft_tls_stats;
WEFT_API void weft_tls_stats_get(const weft_tls *tls, weft_tls_stats *out);

/*
 * For trying things out: a new key (ECDSA, P-256) and a certificate signed with it, good for
 * 30 days, for host (may be NULL), localhost, 127.0.0.1 and ::1. Whoever is to trust it gets
 * the fingerprint, or cert_pem as ca_pem.
 */
typedef struct weft_tls_pem {
	char *cert_pem, *key_pem;
	char fingerprint[WEFT_TLS_FINGERPRINT_LEN + 1];
} weft_tls_pem;
/* Errors: WEFT_EINVAL (host), WEFT_ENOMEM, WEFT_ETLS, WEFT_ENOSYS. */
WEFT_API WEFT_MUST_CHECK weft_err weft_tls_self_signed(weft_tls_pem *out, const char *host);
/* Wipes the key. A zeroed struct is allowed. */
WEFT_API void weft_tls_pem_fini(weft_tls_pem *pem);

WEFT_END_DECLS
#endif
