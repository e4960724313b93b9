/* SPDX-License-Identifier: MIT */
#ifndef PEERS_PEER_H
#define PEERS_PEER_H

/*
 * What weft_http_server and weft_http_client share: the bytes that bodies are made of, digests
 * of what came, flags, and commands by lines on stdin. README.md says what they do.
 */
#include <weft/tls.h>
#include <weft/weft.h>

#include <openssl/evp.h>
#include <stdio.h>

#define PATTERN_SIZE 65521
#define DIGEST_TEXT_SIZE 65 /* hexadecimal SHA-256, with its NUL */
#define IO_SIZE 65536
#define LINE_SIZE 16384
#define PATIENCE_NS ((int64_t)60 * 1000 * 1000 * 1000)
#define SOON weft_after_ns(PATIENCE_NS)

/* Byte i of a body is peer_pattern[i % PATTERN_SIZE]; filled by peer_begin. */
extern unsigned char peer_pattern[PATTERN_SIZE];

struct tally {
	EVP_MD_CTX *md;
	uint64_t size;
};

/* A flag and where its value goes: one of the three. */
struct flag {
	const char *name; /* "--cert" */
	const char **text;
	int64_t *ms; /* milliseconds to nanoseconds */
	uint64_t *number;
};

_Noreturn void peer_die(const char *what);
/* Ends the program when err is one; its detail is told. */
void peer_must(weft_err err, const char *what);
void peer_begin(int argc, char **argv, const struct flag *flags, size_t count);
/* Runs fn in a runtime of so many workers (0: one a core): the program's exit status. */
int peer_run(weft_fiber_fn fn, unsigned workers);

void tally_begin(struct tally *tally);
void tally_add(struct tally *tally, const void *data, size_t size);
/* Frees, too. */
void tally_end(struct tally *tally, char text[DIGEST_TEXT_SIZE]);
/* Writes the text as a JSON string. */
void peer_json(FILE *out, const char *text, size_t len);

/* What of the pattern comes at byte `at` of a body, up to size bytes; how many. */
size_t pattern_at(uint64_t at, uint64_t size, const void **data);

weft_tls_version peer_tls_version(const char *text);

#endif
