/* SPDX-License-Identifier: MIT */
#define _GNU_SOURCE
#include "peer.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

unsigned char peer_pattern[PATTERN_SIZE];

_Noreturn void peer_die(const char *what)
{
	fprintf(stderr, "%s\n", what);
	exit(1);
}

void peer_must(weft_err err, const char *what)
{
	if (!err)
		return;
	fprintf(stderr, "%s: %s: %s\n", what, weft_err_name(err), weft_error_detail());
	exit(1);
}

static void flag_set(const struct flag *flag, const char *value)
{
	char *end;
	uint64_t number;

	if (flag->text) {
		*flag->text = value;
		return;
	}
	number = strtoull(value, &end, 10);
	if (*end || end == value)
		peer_die("not a number");
	if (flag->ms)
		*flag->ms = (int64_t)number * 1000 * 1000;
	else
		*flag->number = number;
}

void peer_begin(int argc, char **argv, const struct flag *flags, size_t count)
{
	for (size_t i = 0; i < PATTERN_SIZE; i++)
		peer_pattern[i] = (unsigned char)((uint32_t)i * 2654435761U >> 24);
	for (int arg = 1; arg < argc; arg += 2) {
		size_t i = 0;

		while (i < count && strcmp(flags[i].name, argv[arg]) != 0)
			i++;
		if (i == count || arg + 1 == argc)
			peer_die("usage: FLAG VALUE...");
		flag_set(&flags[i], argv[arg + 1]);
	}
}

int peer_run(weft_fiber_fn fn, unsigned workers)
{
	weft_run_options options = WEFT_RUN_OPTIONS_DEFAULT;
	weft_err err;

	options.workers = workers;
	options.dump_on_sigquit = true;
	err = weft_run(fn, NULL, &options);
	if (err)
		fprintf(stderr, "%s: %s\n", weft_err_name(err), weft_error_detail());
	return err ? 1 : 0;
}

void tally_begin(struct tally *tally)
{
	tally->size = 0;
	tally->md = EVP_MD_CTX_new();
	if (!tally->md || EVP_DigestInit_ex(tally->md, EVP_sha256(), NULL) != 1)
		peer_die("no digest");
}

void tally_add(struct tally *tally, const void *data, size_t size)
{
	tally->size += size;
	EVP_DigestUpdate(tally->md, data, size);
}

void tally_end(struct tally *tally, char text[DIGEST_TEXT_SIZE])
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	EVP_DigestFinal_ex(tally->md, sum, &len);
	EVP_MD_CTX_free(tally->md);
	text[0] = '\0';
	for (unsigned i = 0; i < len && i < 32; i++)
		snprintf(text + (size_t)2 * i, 3, "%02x", sum[i]);
}

void peer_json(FILE *out, const char *text, size_t len)
{
	putc('"', out);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c < 0x20)
			fprintf(out, "\\u%04x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

size_t pattern_at(uint64_t at, uint64_t size, const void **data)
{
	size_t offset = (size_t)(at % PATTERN_SIZE), len = PATTERN_SIZE - offset;

	*data = peer_pattern + offset;
	return size - at < len ? (size_t)(size - at) : len;
}

weft_tls_version peer_tls_version(const char *text)
{
	if (!text)
		return WEFT_TLS_VERSION_DEFAULT;
	if (strcmp(text, "1.2") == 0)
		return WEFT_TLS_1_2;
	if (strcmp(text, "1.3") == 0)
		return WEFT_TLS_1_3;
	peer_die("TLS versions are 1.2 and 1.3");
}
