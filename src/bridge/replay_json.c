/* SPDX-License-Identifier: MIT */
/*
 * When two values of JSON are the same: by a hash that does not depend on the order of members, nor on
 * how strings are escaped. Numbers are compared as they are written, unless they are integers.
 * A level of nesting takes some 200 bytes of stack; values come from lines that were checked, and have
 * at most REPLAY_DEPTH_MAX levels.
 */
#include "base/err.h"
#include "base/mem.h"
#include "bridge/replay.h"

#include <stdio.h>
#include <string.h>

#define NAME_MAX_BYTES 256	     /* of a member that is looked into for a difference */
#define LOOK_MAX ((size_t)256 << 10) /* bytes of values that are */
#define SHOWN_MAX 60		     /* bytes of a value that are shown */
#define LEVELS_MAX 16
#define MEMBERS_MAX 500 /* of an object, each is looked for in the other */

enum salt {
	SALT_STRING = 1,
	SALT_NUMBER,
	SALT_ARRAY,
	SALT_OBJECT,
	SALT_MEMBER,
	SALT_KEY,
	SALT_METHOD
};

static uint64_t mix(const struct hash_seed *seed, uint64_t a, uint64_t b)
{
	return hash_number(seed, hash_number(seed, a) + b);
}

static weft_err hash_string(const struct hash_seed *seed, weft_json value, uint64_t *out)
{
	const char *view;
	char *text;
	size_t len;
	weft_err err;

	if (!weft_json_string_view(value, &view, &len)) {
		*out = mix(seed, SALT_STRING, hash_bytes(seed, view, len));
		return WEFT_OK;
	}
	text = mem_alloc(value.len);
	if (!text)
		return err_set(WEFT_ENOMEM);
	err = weft_json_string_decode(value, text, value.len, &len);
	if (!err)
		*out = mix(seed, SALT_STRING, hash_bytes(seed, text, len));
	mem_free(text);
	return err;
}

static uint64_t hash_scalar(const struct hash_seed *seed, weft_json value)
{
	int64_t number;

	if (weft_json_type_of(value) == WEFT_JSON_NUMBER && !weft_json_integer(value, &number))
		return mix(seed, SALT_NUMBER, (uint64_t)number);
	return hash_bytes(seed, value.text, value.len);
}

/* skip: a member that does not count; may be NULL. */
static weft_err hash_within(
	const struct hash_seed *seed, weft_json value, const char *skip, uint64_t *out)
{
	bool is_array = weft_json_type_of(value) == WEFT_JSON_ARRAY;
	weft_json_iter iter = weft_json_iter_of(value);
	uint64_t sum = is_array ? SALT_ARRAY : SALT_OBJECT, h = 0, n = 0;
	weft_json name, child;
	weft_err err;

	while (!(err = weft_json_next(&iter, &name, &child))) {
		if (skip && weft_json_string_is(name, skip))
			continue;
		err = replay_hash(seed, child, &h);
		if (!err && !is_array)
			err = hash_string(seed, name, &n);
		if (err)
			return err;
		/* members in any order, elements in theirs */
		sum = is_array ? mix(seed, sum, h) : sum + mix(seed, mix(seed, SALT_MEMBER, n), h);
	}
	*out = hash_number(seed, sum);
	return err == WEFT_ENOTFOUND ? WEFT_OK : err;
}

weft_err replay_hash(const struct hash_seed *seed, weft_json value, uint64_t *out)
{
	switch (weft_json_type_of(value)) {
	case WEFT_JSON_STRING:
		return hash_string(seed, value, out);
	case WEFT_JSON_ARRAY:
	case WEFT_JSON_OBJECT:
		return hash_within(seed, value, NULL, out);
	case WEFT_JSON_NONE:
		*out = 0;
		return WEFT_OK;
	case WEFT_JSON_NULL:
	case WEFT_JSON_BOOLEAN:
	case WEFT_JSON_NUMBER:
		break;
	}
	*out = hash_scalar(seed, value);
	return WEFT_OK;
}

weft_err replay_key(const struct hash_seed *seed, weft_json method, weft_json params, uint64_t *out)
{
	uint64_t m = 0, p = 0;
	weft_err err = hash_string(seed, method, &m);

	/* params that are an object without members are as good as none */
	if (!err && weft_json_type_of(params) == WEFT_JSON_ARRAY)
		err = hash_within(seed, params, NULL, &p);
	else if (!err)
		err = hash_within(seed, params.text ? params : (weft_json){ "{}", 2 }, "_meta", &p);
	if (!err)
		*out = mix(seed, mix(seed, SALT_KEY, m), p);
	return err;
}

weft_err replay_method_key(const struct hash_seed *seed, weft_json method, uint64_t *out)
{
	uint64_t m = 0;
	weft_err err = hash_string(seed, method, &m);

	if (!err)
		*out = mix(seed, SALT_METHOD, m);
	return err;
}

/* ---- differences ---- */

static bool is_same(const struct hash_seed *seed, weft_json a, weft_json b)
{
	uint64_t x, y;

	return !replay_hash(seed, a, &x) && !replay_hash(seed, b, &y) && x == y;
}

struct place {
	char path[REPLAY_TEXT_MAX];
	size_t len;
	weft_json a, b; /* b none: it is missing; a none: it is more */
};

static void step_member(struct place *p, const char *name, size_t len)
{
	int room = (int)(sizeof(p->path) - p->len), n;

	n = snprintf(p->path + p->len, (size_t)room, "%s%.*s", p->len ? "." : "", (int)len, name);
	p->len += (size_t)(n < room ? n : room - 1);
}

static void step_element(struct place *p, size_t n)
{
	int room = (int)(sizeof(p->path) - p->len), got;

	got = snprintf(p->path + p->len, (size_t)room, "[%zu]", n);
	p->len += (size_t)(got < room ? got : room - 1);
}

/* The first member of a that b has otherwise, or not. */
static bool member_down(
	const struct hash_seed *seed, struct place *p, weft_json a, weft_json b, bool is_turned)
{
	weft_json_iter iter = weft_json_iter_of(a);
	weft_json name, x, y;
	char text[NAME_MAX_BYTES + 1];
	size_t len;

	for (unsigned n = 0; n < MEMBERS_MAX && !weft_json_next(&iter, &name, &x); n++) {
		if (weft_json_string_decode(name, text, NAME_MAX_BYTES, &len) ||
			memchr(text, '\0', len))
			continue;
		text[len] = '\0';
		if (weft_json_get(&y, b, text))
			y = (weft_json){ NULL, 0 };
		if (y.text && (is_turned || is_same(seed, x, y)))
			continue;
		step_member(p, text, len);
		p->a = is_turned ? y : x;
		p->b = is_turned ? x : y;
		return true;
	}
	return false;
}

static bool element_down(const struct hash_seed *seed, struct place *p)
{
	weft_json_iter i = weft_json_iter_of(p->a), j = weft_json_iter_of(p->b);
	weft_json x, y;

	for (size_t n = 0;; n++) {
		bool has_x = !weft_json_next(&i, NULL, &x), has_y = !weft_json_next(&j, NULL, &y);

		if (!has_x && !has_y)
			return false;
		if (has_x && has_y && is_same(seed, x, y))
			continue;
		step_element(p, n);
		p->a = has_x ? x : (weft_json){ NULL, 0 };
		p->b = has_y ? y : (weft_json){ NULL, 0 };
		return true;
	}
}

/* One level further, where the difference is. False: it can't be said closer. */
static bool down(const struct hash_seed *seed, struct place *p)
{
	weft_json a = p->a, b = p->b;
	weft_json_type type = weft_json_type_of(a);

	if (!a.text || !b.text || type != weft_json_type_of(b) || a.len > LOOK_MAX ||
		b.len > LOOK_MAX)
		return false;
	if (type == WEFT_JSON_ARRAY)
		return element_down(seed, p);
	return type == WEFT_JSON_OBJECT &&
		(member_down(seed, p, a, b, false) || member_down(seed, p, b, a, true));
}

/* Not in the middle of a character. */
static int shown_len(weft_json value)
{
	size_t len = value.len < SHOWN_MAX ? value.len : SHOWN_MAX;

	while (len > 0 && len < value.len && ((unsigned char)value.text[len] & 0xc0) == 0x80)
		len--;
	return (int)len;
}

void replay_differ(
	const struct hash_seed *seed, weft_json recorded, weft_json came, char *to, size_t size)
{
	struct place p = { .a = recorded, .b = came };
	unsigned levels = 0;

	while (levels++ < LEVELS_MAX && down(seed, &p))
		;
	if (!p.a.text || !p.b.text)
		(void)snprintf(to, size, "%s: %s: %.*s%s", p.path,
			p.a.text ? "did not come" : "is not in the recording",
			shown_len(p.a.text ? p.a : p.b), p.a.text ? p.a.text : p.b.text,
			(p.a.text ? p.a : p.b).len > SHOWN_MAX ? "..." : "");
	else
		(void)snprintf(to, size, "%s%srecorded %.*s%s, came %.*s%s", p.path,
			p.len ? ": " : "", shown_len(p.a), p.a.text,
			p.a.len > SHOWN_MAX ? "..." : "", shown_len(p.b), p.b.text,
			p.b.len > SHOWN_MAX ? "..." : "");
}
