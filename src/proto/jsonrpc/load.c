/* SPDX-License-Identifier: MIT */
/*
 * The tokens of a text, a block of 64 bytes after the other and without an index: nothing is stored
 * but the masks of the block under way. Which bytes are in strings, and which are escaped, is
 * computed as in Langdale and Lemire, "Parsing gigabytes of JSON per second" (2019).
 *
 * In a block that lies all in one string only escapes and control characters are looked for.
 */
#include "proto/jsonrpc/scan.h"

#include <string.h>

enum way { PLAIN, SSE2, AVX2 };

/* ---- what is wrong within strings ---- */

/* The fault that comes first ends the tokens. */
static __attribute__((noinline, cold)) void found_string_fault(
	struct json_scan *s, const char *at, const char *what)
{
	if (s->string_fault && s->string_fault_at <= at)
		return;
	s->string_fault = what;
	s->string_fault_at = at;
	s->next = s->end;
}

static inline bool is_hex(char c)
{
	return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* False: behind a 'u' at p is no digit where one must be. The end of the text is told of later. */
static inline bool is_hex4(const char *p, const char *end)
{
	for (int i = 1; i <= 4; i++) {
		if (p + i < end && !is_hex(p[i]))
			return false;
	}
	return true;
}

/* Escapes that must have digits. */
static inline void check_us(struct json_scan *s, uint64_t us)
{
	for (; us; us &= us - 1) {
		const char *p = s->block + __builtin_ctzll(us);

		if (!is_hex4(p, s->end)) {
			found_string_fault(s, p - 1, "\\u without four hexadecimal digits");
			break;
		}
	}
}

/* Out of line, so that the masks stay in registers: escaped and controls are those in strings. */
static __attribute__((noinline, cold)) void found_wrong(
	struct json_scan *s, uint64_t wrong_escapes, uint64_t controls)
{
	/* what fills up the last block is no byte of the text */
	if (wrong_escapes && s->block + __builtin_ctzll(wrong_escapes) < s->end)
		found_string_fault(s, s->block + __builtin_ctzll(wrong_escapes) - 1,
			"no such escape in a string");
	if (controls)
		found_string_fault(
			s, s->block + __builtin_ctzll(controls), "a control character in a string");
}

/* ---- one block ---- */

#define INLINED static inline __attribute__((always_inline))

INLINED void string_bits(enum way way, const char *bytes, struct json_string_bits *out)
{
#if defined(__x86_64__)
	if (way == AVX2) {
		json_string_bits_avx2(bytes, out);
		return;
	}
#endif
#if defined(__SSE2__)
	if (way == SSE2) {
		json_string_bits_sse2(bytes, out);
		return;
	}
#endif
	(void)way;
	json_string_bits_plain(bytes, out);
}

INLINED void token_bits(enum way way, const char *bytes, struct json_token_bits *out)
{
#if defined(__x86_64__)
	if (way == AVX2) {
		json_token_bits_avx2(bytes, out);
		return;
	}
#endif
#if defined(__SSE2__)
	if (way == SSE2) {
		json_token_bits_sse2(bytes, out);
		return;
	}
#endif
	(void)way;
	json_token_bits_plain(bytes, out);
}

INLINED uint64_t right_escapes(enum way way, const char *bytes, uint64_t which, uint64_t *us)
{
#if defined(__x86_64__)
	if (way == AVX2)
		return json_escapes_avx2(bytes, which, us);
#endif
	(void)way;
	return json_escapes_plain(bytes, which, us);
}

/* From p, in a string, past the whole blocks that change nothing. */
INLINED const char *pass_plain(enum way way, const char *p, const char *end, bool *high)
{
#if defined(__x86_64__)
	if (way == AVX2)
		return json_pass_plain_avx2(p, end, high);
#endif
	(void)way;
	(void)end;
	(void)high;
	return p;
}

/*
 * The tokens of the block at s->block. Of the 64 bytes at bytes the first skip, less than 64, come
 * before it; what is then missing at its end counts as blanks.
 */
INLINED void take_block(enum way way, struct json_scan *s, const char *bytes, unsigned skip)
{
	struct json_string_bits string;
	struct json_token_bits token;
	uint64_t escaped = 0, quotes, in_string, controls, wrong = 0, run;

	string_bits(way, bytes, &string);
	s->high |= string.high;
	string.backslashes >>= skip;
	if (string.backslashes | s->escaped)
		escaped = json_escaped_bits(string.backslashes, &s->escaped);
	quotes = string.quotes >> skip & ~escaped;
	/* from an opening quote to before the closing one */
	in_string = quotes ? json_parity_bits(quotes) ^ s->in_string : s->in_string;
	if (escaped & in_string) {
		uint64_t us, which = (escaped & in_string) << skip;

		wrong = (which & ~right_escapes(way, bytes, which, &us)) >> skip;
		if (us)
			check_us(s, us >> skip);
	}
	controls = string.controls >> skip & in_string;
	if (weft_unlikely(wrong | controls))
		found_wrong(s, wrong, controls);
	s->all = 0;
	if (quotes | ~in_string) {
		s->in_string = 0 - (in_string >> 63);
		token_bits(way, bytes, &token);
		token.structurals >>= skip;
		token.spaces = token.spaces >> skip | ~(UINT64_MAX >> skip);
		run = ~(in_string | token.structurals | token.spaces | quotes);
		s->closings = quotes & ~in_string;
		s->all =
			quotes | (token.structurals & ~in_string) | (run & ~(run << 1 | s->in_run));
		s->in_run = run >> 63;
	}
	if (weft_unlikely(s->string_fault))
		s->all &= s->string_fault_at < s->block
			? 0
			: (UINT64_C(1) << (s->string_fault_at - s->block)) - 1;
	s->tokens = s->all;
}

/* The last bytes, less than a block: of the last 64 of the text; a shorter text is copied. */
INLINED void take_last(enum way way, struct json_scan *s, size_t left)
{
	unsigned skip = (unsigned)(JSON_BLOCK - left);
	char last[JSON_BLOCK];

	s->next = s->end;
	if (weft_likely(s->end - s->begin >= JSON_BLOCK)) {
		take_block(way, s, s->end - JSON_BLOCK, skip);
		return;
	}
	memset(last, ' ', sizeof(last));
	memcpy(last + skip, s->block, left);
	take_block(way, s, last, skip);
}

INLINED bool load(enum way way, struct json_scan *s)
{
	while (!s->tokens) {
		size_t left;

		if (s->in_string && !s->escaped)
			s->next = pass_plain(way, s->next, s->end, &s->high);
		left = (size_t)(s->end - s->next);
		if (left == 0)
			return false;
		s->block = s->next;
		if (weft_unlikely(left < JSON_BLOCK)) {
			take_last(way, s, left);
			continue;
		}
		s->next += JSON_BLOCK;
		take_block(way, s, s->block, 0);
	}
	return true;
}

/* ---- which way ---- */

#if defined(__x86_64__)
JSON_WIDE static bool load_avx2(struct json_scan *s)
{
	return load(AVX2, s);
}
#endif

static bool load_base(struct json_scan *s)
{
#if defined(__SSE2__)
	return load(SSE2, s);
#else
	return load(PLAIN, s);
#endif
}

bool json_load(struct json_scan *s)
{
#if defined(__x86_64__)
	if (weft_likely(__builtin_cpu_supports("avx2")))
		return load_avx2(s);
#endif
	return load_base(s);
}
