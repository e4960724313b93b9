/* SPDX-License-Identifier: MIT */
/*
 * The tokens of a text, a block of 64 bytes after the other and without an index: nothing is stored
 * but the masks of the block under way. Which bytes are in strings, and which are escaped, is
 * computed as in Langdale and Lemire, "Parsing gigabytes of JSON per second" (2019).
 *
 * In a block that lies all in one string only escapes and control characters are looked for.
 */
#include "base/hex.h"
#include "proto/jsonrpc/scan.h"

#include <string.h>

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

/* False: behind a 'u' at p is no digit where one must be. The end of the text is told of later. */
static inline bool is_hex4(const char *p, const char *end)
{
	for (int i = 1; i <= 4; i++) {
		if (p + i < end && hex_digit(p[i]) < 0)
			return false;
	}
	return true;
}

/* Escapes that must have digits. */
static inline void check_us(struct json_scan *s, const char *block, uint64_t us)
{
	for (; us; us &= us - 1) {
		const char *p = block + __builtin_ctzll(us);

		if (!is_hex4(p, s->end)) {
			found_string_fault(s, p - 1, "\\u without four hexadecimal digits");
			break;
		}
	}
}

/* Out of line, so that the masks stay in registers: escaped and controls are those in strings. */
static __attribute__((noinline, cold)) void found_wrong(
	struct json_scan *s, const char *block, uint64_t wrong_escapes, uint64_t controls)
{
	/* what fills up the last block is no byte of the text */
	if (wrong_escapes && block + __builtin_ctzll(wrong_escapes) < s->end)
		found_string_fault(s, block + __builtin_ctzll(wrong_escapes) - 1,
			"no such escape in a string");
	if (controls)
		found_string_fault(
			s, block + __builtin_ctzll(controls), "a control character in a string");
}

/* ---- one block ---- */

#define INLINED static inline __attribute__((always_inline))

INLINED void string_bits(enum json_way way, const char *bytes, struct json_string_bits *out)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512) {
		json_string_bits_avx512(bytes, out);
		return;
	}
	if (way == JSON_AVX2) {
		json_string_bits_avx2(bytes, out);
		return;
	}
#endif
#if defined(HAVE_VECTOR16)
	if (way == JSON_VECTOR16) {
		json_string_bits_16(bytes, out);
		return;
	}
#endif
	(void)way;
	json_string_bits_plain(bytes, out);
}

INLINED void token_bits(enum json_way way, const char *bytes, struct json_token_bits *out)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512) {
		json_token_bits_avx512(bytes, out);
		return;
	}
	if (way == JSON_AVX2) {
		json_token_bits_avx2(bytes, out);
		return;
	}
#endif
#if defined(HAVE_VECTOR16)
	if (way == JSON_VECTOR16) {
		json_token_bits_16(bytes, out);
		return;
	}
#endif
	(void)way;
	json_token_bits_plain(bytes, out);
}

INLINED uint64_t right_escapes(enum json_way way, const char *bytes, uint64_t which, uint64_t *us)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512)
		return json_escapes_avx512(bytes, which, us);
	if (way == JSON_AVX2)
		return json_escapes_avx2(bytes, which, us);
#endif
#if defined(HAVE_VECTOR16)
	if (way == JSON_VECTOR16)
		return json_escapes_16(bytes, which, us);
#endif
	(void)way;
	return json_escapes_plain(bytes, which, us);
}

/* From p, in a string, past the whole blocks that change nothing. */
INLINED const char *pass_plain(enum json_way way, const char *p, const char *end, bool *high)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512)
		return json_pass_plain_avx512(p, end, high);
	if (way == JSON_AVX2)
		return json_pass_plain_avx2(p, end, high);
#endif
#if defined(HAVE_VECTOR16)
	if (way == JSON_VECTOR16)
		return json_pass_plain_16(p, end, high);
#endif
	(void)way;
	(void)end;
	(void)high;
	return p;
}

INLINED uint64_t parity_bits(enum json_way way, uint64_t bits)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512)
		return json_parity_bits_avx512(bits);
#endif
	(void)way;
	return json_parity_bits(bits);
}

/* What a block must know of the one before; s keeps it between loads. */
struct carry {
	uint64_t in_string, escaped, in_run, backslashes;
	bool high;
};

/*
 * The tokens of the block at `at`, into out. Of the 64 bytes at bytes the first skip, less than 64,
 * come before it; what is then missing at its end counts as blanks.
 */
INLINED void take_block(enum json_way way, struct json_scan *s, struct carry *carry, const char *at,
	const char *bytes, unsigned skip, struct json_block *out)
{
	struct json_string_bits string;
	struct json_token_bits token;
	uint64_t escaped = 0, quotes, in_string, controls, wrong = 0, run;

	string_bits(way, bytes, &string);
	carry->high |= string.high;
	string.backslashes >>= skip;
	carry->backslashes |= string.backslashes;
	if (string.backslashes | carry->escaped)
		escaped = json_escaped_bits(string.backslashes, &carry->escaped);
	quotes = string.quotes >> skip & ~escaped;
	/* from an opening quote to before the closing one */
	in_string = quotes ? parity_bits(way, quotes) ^ carry->in_string : carry->in_string;
	if (escaped & in_string) {
		uint64_t us, which = (escaped & in_string) << skip;

		wrong = (which & ~right_escapes(way, bytes, which, &us)) >> skip;
		if (us)
			check_us(s, at, us >> skip);
	}
	controls = string.controls >> skip & in_string;
	if (weft_unlikely(wrong | controls))
		found_wrong(s, at, wrong, controls);
	*out = (struct json_block){ at, 0, 0 };
	if (quotes | ~in_string) {
		carry->in_string = 0 - (in_string >> 63);
		token_bits(way, bytes, &token);
		token.structurals >>= skip;
		token.spaces = token.spaces >> skip | ~(UINT64_MAX >> skip);
		run = ~(in_string | token.structurals | token.spaces | quotes);
		out->closings = quotes & ~in_string;
		out->tokens = quotes | (token.structurals & ~in_string) |
			(run & ~(run << 1 | carry->in_run));
		carry->in_run = run >> 63;
	}
	if (weft_unlikely(s->string_fault)) {
		out->tokens &= s->string_fault_at < at
			? 0
			: (UINT64_C(1) << (s->string_fault_at - at)) - 1;
		out->closings &= out->tokens;
	}
}

/* The last bytes, less than a block: of the last 64 of the text; a shorter text is copied. */
INLINED void take_last(enum json_way way, struct json_scan *s, struct carry *carry, const char *at,
	struct json_block *out)
{
	size_t left = (size_t)(s->end - at);
	unsigned skip = (unsigned)(JSON_BLOCK - left);
	char last[JSON_BLOCK];

	s->next = s->end;
	if (weft_likely(s->end - s->begin >= JSON_BLOCK)) {
		take_block(way, s, carry, at, s->end - JSON_BLOCK, skip, out);
		return;
	}
	memset(last, ' ', sizeof(last));
	memcpy(last + skip, at, left);
	take_block(way, s, carry, at, last, skip, out);
}

/* As many blocks as may be; those in vain, without a token, don't count. */
INLINED bool load(enum json_way way, struct json_scan *s)
{
	struct carry carry = { s->in_string, s->escaped, s->in_run, 0, s->high };
	unsigned count = 0;

	while (count < s->load_max) {
		const char *at = s->next;

		if (carry.in_string && !carry.escaped)
			at = pass_plain(way, at, s->end, &carry.high);
		if (s->end - at >= JSON_BLOCK) {
			s->next = at + JSON_BLOCK;
			take_block(way, s, &carry, at, at, 0, &s->ahead[count]);
		} else if (at < s->end) {
			take_last(way, s, &carry, at, &s->ahead[count]);
		} else {
			s->next = at;
			break;
		}
		count += s->ahead[count].tokens != 0;
	}
	s->in_string = carry.in_string;
	s->escaped = carry.escaped;
	s->in_run = carry.in_run;
	s->high = carry.high;
	s->backslashes |= carry.backslashes != 0;
	s->load_max = JSON_AHEAD;
	if (count > 0)
		s->last = &s->ahead[count - 1];
	return count > 0;
}

/* ---- which way ---- */

#if defined(__x86_64__)
JSON_WIDEST static bool load_avx512(struct json_scan *s)
{
	return load(JSON_AVX512, s);
}

JSON_WIDE static bool load_avx2(struct json_scan *s)
{
	return load(JSON_AVX2, s);
}
#endif

static inline bool has_avx2(void)
{
#if defined(__x86_64__)
	return __builtin_cpu_supports("avx2");
#else
	return false;
#endif
}

static inline bool has_avx512(void)
{
#if defined(__x86_64__)
	/* VBMI2 is not used: those that lack it become slower for a while by vectors of 64 bytes */
	return __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("avx512bw") &&
		__builtin_cpu_supports("bmi") && __builtin_cpu_supports("pclmul");
#else
	return false;
#endif
}

bool json_way_is_there(enum json_way way)
{
	switch (way) {
	case JSON_PLAIN:
		return true;
	case JSON_VECTOR16:
#if defined(HAVE_VECTOR16)
		return true;
#else
		break;
#endif
	case JSON_AVX2:
		return has_avx2();
	case JSON_AVX512:
		return has_avx512();
	}
	return false;
}

bool json_load_by(struct json_scan *s, enum json_way way)
{
#if defined(__x86_64__)
	if (way == JSON_AVX512)
		return load_avx512(s);
	if (way == JSON_AVX2)
		return load_avx2(s);
#endif
	return way == JSON_VECTOR16 ? load(JSON_VECTOR16, s) : load(JSON_PLAIN, s);
}

bool json_load(struct json_scan *s)
{
#if defined(__x86_64__)
	if (has_avx512())
		return load_avx512(s);
	if (has_avx2())
		return load_avx2(s);
#endif
	return json_load_by(s, json_way_is_there(JSON_VECTOR16) ? JSON_VECTOR16 : JSON_PLAIN);
}
