/* SPDX-License-Identifier: MIT */
/*
 * The envelope: one pass over the message, in which the members of four objects are looked at (the
 * message, its params or result, their _meta, its error) and everything else is only passed by
 * json_value. What is wrong with the envelope is noted, the first of it, and the scan goes on: that
 * the text is JSON at all comes first, and the id, for the answer, may be anywhere.
 */
#include "base/align.h"
#include "base/err.h"
#include "proto/jsonrpc/scan.h"

#include <weft/jsonrpc.h>

#include <string.h>

struct members;

#define NAME_SIZE 40 /* longer than any */

/* A member that is looked at. */
struct member {
	char name[NAME_SIZE]; /* NULs behind it */
	unsigned char len;
	unsigned char at;	     /* of its span in struct weft_jsonrpc, in spans from text on */
	const struct members *inner; /* when it is an object: its own; or NULL */
};

struct members {
	const struct member *list;
	unsigned count;
	uint64_t lens; /* of their names: a bit for each */
	bool envelope; /* others that differ only in case are refused, elsewhere only told */
};

#define AT(field)                                                                         \
	((unsigned char)((offsetof(weft_jsonrpc, field) - offsetof(weft_jsonrpc, text)) / \
		sizeof(weft_json)))
#define MEMBER(name, field, inner)                         \
	{                                                  \
		name, sizeof(name) - 1, AT(field), (inner) \
	}
#define MEMBERS(list, lens, envelope)                                  \
	{                                                              \
		list, sizeof(list) / sizeof(*(list)), (lens), envelope \
	}
#define LEN(name) (UINT64_C(1) << (sizeof(name) - 1))
#define LEN_OF_MCP(name) LEN("io.modelcontextprotocol/" name)

static const struct member in_meta[] = {
	MEMBER("progressToken", meta_progress_token, NULL),
	MEMBER("io.modelcontextprotocol/protocolVersion", meta_protocol_version, NULL),
	MEMBER("io.modelcontextprotocol/subscriptionId", meta_subscription_id, NULL),
};
static const struct members meta_members = MEMBERS(in_meta,
	LEN("progressToken") | LEN_OF_MCP("protocolVersion") | LEN_OF_MCP("subscriptionId"), false);

static const struct member in_params[] = {
	MEMBER("_meta", meta, &meta_members),
	MEMBER("name", name, NULL),
	MEMBER("uri", uri, NULL),
	MEMBER("progressToken", progress_token, NULL),
	MEMBER("requestId", request_id, NULL),
};
static const struct members params_members = MEMBERS(in_params,
	LEN("_meta") | LEN("name") | LEN("uri") | LEN("progressToken") | LEN("requestId"), false);

static const struct member in_result[] = {
	MEMBER("_meta", meta, &meta_members),
};
static const struct members result_members = MEMBERS(in_result, LEN("_meta"), false);

static const struct member in_error[] = {
	MEMBER("code", error_code, NULL),
	MEMBER("message", error_message, NULL),
	MEMBER("data", error_data, NULL),
};
static const struct members error_members =
	MEMBERS(in_error, LEN("code") | LEN("message") | LEN("data"), false);

static const struct member in_message[] = {
	MEMBER("jsonrpc", text, NULL), /* until classify, which puts the message there */
	MEMBER("id", id, NULL),
	MEMBER("method", method, NULL),
	MEMBER("params", params, &params_members),
	MEMBER("result", result, &result_members),
	MEMBER("error", error, &error_members),
};
static const struct members message_members = MEMBERS(in_message,
	LEN("jsonrpc") | LEN("id") | LEN("method") | LEN("params") | LEN("result") | LEN("error"),
	true);

struct envelope {
	struct json_scan scan;
	weft_jsonrpc *message;
	const char *wrong; /* the first that is wrong with the envelope; NULL: nothing */
	const char *wrong_at;
	bool ids; /* there are several */
};

static void note(struct envelope *e, const char *at, const char *what)
{
	if (e->wrong)
		return;
	e->wrong = what;
	e->wrong_at = at;
}

/* ---- names ---- */

#define FOLDED_MAX (NAME_SIZE + 2) /* longer than any, with what becomes one letter only then */

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
}

/* The name in lower case, as parsers that ignore case read it: for many of them U+017F is an s, and
 * U+212A a k. 0: it is longer than FOLDED_MAX. */
static size_t fold(weft_json name, char out[FOLDED_MAX])
{
	const char *p = name.text + 1, *end = name.text + name.len - 1;
	size_t len = 0;

	while (p < end) {
		char c[4];
		unsigned n = json_string_step(&p, end, c);

		for (unsigned i = 0; i < n; i++) {
			if (len == FOLDED_MAX)
				return 0;
			out[len++] = lower(c[i]);
			if (len >= 2 && !memcmp(out + len - 2, "\xc5\xbf", 2)) {
				len--;
				out[len - 1] = 's';
			} else if (len >= 3 && !memcmp(out + len - 3, "\xe2\x84\xaa", 3)) {
				len -= 2;
				out[len - 1] = 'k';
			}
		}
	}
	return len;
}

static __attribute__((noinline)) const struct member *find_folded(
	const struct members *members, weft_json name)
{
	char folded[FOLDED_MAX];
	size_t len = fold(name, folded);

	for (unsigned i = 0; i < members->count; i++) {
		const struct member *m = &members->list[i];
		size_t same = 0;

		while (same < len && same < m->len && folded[same] == lower(m->name[same]))
			same++;
		if (same == len && len == m->len)
			return m;
	}
	return NULL;
}

/* Of a name that is none of these: which it is but for upper and lower case. */
static __attribute__((noinline)) const struct member *differs_in_case(
	const struct json_scan *s, const struct members *members, weft_json name)
{
	const struct member *m = members->list, *end = m + members->count;

	/* of ASCII, without escapes, it has the same length and begins the same */
	if (weft_likely(!s->high && !s->backslashes)) {
		while (m < end &&
			(m->len != name.len - 2 || ((m->name[0] ^ name.text[1]) & ~0x20) != 0))
			m++;
	}
	return m < end ? find_folded(members, name) : NULL;
}

/* False: it does not, and no call was needed to know. */
static inline bool may_differ_in_case(
	const struct json_scan *s, const struct members *members, weft_json name)
{
	return weft_unlikely((members->lens >> (name.len - 2) % 64 & 1) | s->high | s->backslashes);
}

/* The first eight bytes of a name; NULs behind a shorter one. */
static inline uint64_t head_of(const struct json_scan *s, const char *name, size_t len)
{
	uint64_t head = 0;

	if (weft_unlikely(s->end - name < (ptrdiff_t)sizeof(head))) {
		memcpy(&head, name, len < sizeof(head) ? len : sizeof(head));
		return head;
	}
	memcpy(&head, name, sizeof(head));
	if (len >= sizeof(head))
		return head;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return head & ((UINT64_C(1) << 8 * len) - 1);
#else
	return head & ~(UINT64_MAX >> 8 * len);
#endif
}

static inline const struct member *find(
	const struct json_scan *s, const struct members *members, weft_json name)
{
	size_t len = name.len - 2;
	uint64_t head = head_of(s, name.text + 1, len), other;
	const struct member *m = members->list, *end = m + members->count;

	for (; m < end; m++) {
		memcpy(&other, m->name, sizeof(other));
		if (weft_unlikely(head == other) && len == m->len &&
			(len <= sizeof(head) || !memcmp(name.text + 1, m->name, len)))
			return m;
	}
	if (weft_likely(!s->backslashes) || !memchr(name.text, '\\', name.len))
		return NULL;
	for (m = members->list; m < end; m++) {
		if (json_string_equals(name, m->name, m->len))
			return m;
	}
	return NULL;
}

/* ---- objects ---- */

static void take_member(
	struct envelope *e, const struct member *member, const char *name_at, weft_json value)
{
	weft_json *span = &e->message->text + member->at;

	if (!span->text) {
		*span = value;
		return;
	}
	note(e, name_at, "a second member of that name");
	if (member->at == AT(id))
		e->ids = true;
}

/* odd: what it is taken for */
static __attribute__((noinline, cold)) void found_odd_name(
	struct envelope *e, const struct members *members, const struct member *odd, weft_json name)
{
	weft_jsonrpc *m = e->message;

	if (members->envelope) {
		note(e, name.text, "a member that differs from the message's in case only");
		return;
	}
	if (!m->odd_name.text)
		m->odd_name = name;
	if (!m->odd_member.text && odd->at != AT(name) && odd->at != AT(uri))
		m->odd_member = name;
}

static const char *scan_members(struct envelope *e, const char *p, const struct members *members);

/* A value whose first token is p. Behind it, or NULL. */
static inline const char *scan_value(
	struct envelope *e, struct json_cursor *c, const char *p, const struct members *inner)
{
	if (*p == '"') {
		p = json_cursor_next(c, false);
		return p != json_no_token ? p + 1 : json_fault(c->scan, p, "");
	}
	if (*p != '{' && *p != '[')
		return json_scalar(c->scan, p);
	json_cursor_pause(c);
	if (inner && *p == '{')
		p = scan_members(e, p, inner);
	else
		p = json_container(c->scan, p);
	json_cursor_resume(c);
	return p;
}

/* An object, whose bracket is p. Behind it, or NULL. */
static const char *scan_members(struct envelope *e, const char *p, const struct members *members)
{
	struct json_scan *s = &e->scan;
	struct json_cursor c = json_cursor_of(s);

	if (weft_unlikely(s->depth >= s->depth_max))
		return json_fault(s, p, json_too_deep);
	s->depth++;
	p = json_cursor_next(&c, false);
	for (bool more = *p != '}'; more; p = more ? json_cursor_next(&c, false) : p) {
		const struct member *member, *odd;
		weft_json name = { p, 2 }, value; /* name is set unless NULL comes back */

		value.text = json_name(&c, p, &name);
		if (!value.text)
			return NULL;
		member = find(s, members, name);
		if (!member && may_differ_in_case(s, members, name)) {
			odd = differs_in_case(s, members, name);
			if (odd)
				found_odd_name(e, members, odd, name);
		}
		p = scan_value(e, &c, value.text, member ? member->inner : NULL);
		if (!p)
			return NULL;
		value.len = (size_t)(p - value.text);
		/* a number at the end of the text may go on */
		if (member && (p < s->end || *value.text == '"'))
			take_member(e, member, name.text, value);
		p = json_cursor_next(&c, false);
		more = *p == ',';
		if (weft_unlikely(!more && *p != '}'))
			return json_fault(s, p, "',' or '}' must be here");
	}
	s->depth--;
	json_cursor_pause(&c);
	return p + 1;
}

/* ---- what a message is ---- */

static inline bool is(weft_json value, weft_json_type type)
{
	return value.text && json_type_by(*value.text) == type;
}

static bool is_integer(weft_json value)
{
	for (size_t i = value.len > 0 && value.text[0] == '-'; i < value.len; i++) {
		if (value.text[i] < '0' || value.text[i] > '9')
			return false;
	}
	return is(value, WEFT_JSON_NUMBER);
}

static bool is_version_2(weft_json version)
{
	if (version.len == 5 && !memcmp(version.text, "\"2.0\"", 5)) /* no call */
		return true;
	return weft_json_string_is(version, "2.0");
}

static void check_id(struct envelope *e)
{
	weft_jsonrpc *m = e->message;

	if (m->id.text && !is(m->id, WEFT_JSON_NUMBER) && !is(m->id, WEFT_JSON_STRING) &&
		!is(m->id, WEFT_JSON_NULL)) {
		note(e, m->id.text, "id is neither a number, a string nor null");
		m->id = (weft_json){ NULL, 0 };
	}
	if (e->ids)
		m->id = (weft_json){ NULL, 0 };
}

static weft_jsonrpc_kind classify_call(struct envelope *e)
{
	weft_jsonrpc *m = e->message;

	if (!is(m->method, WEFT_JSON_STRING))
		note(e, m->method.text, "method is no string");
	if (m->params.text && !is(m->params, WEFT_JSON_OBJECT) && !is(m->params, WEFT_JSON_ARRAY))
		note(e, m->params.text, "params is neither an object nor an array");
	if (m->result.text)
		note(e, m->result.text, "result beside method");
	if (m->error.text)
		note(e, m->error.text, "error beside method");
	return m->id.text ? WEFT_JSONRPC_REQUEST : WEFT_JSONRPC_NOTIFICATION;
}

static weft_jsonrpc_kind classify_reply(struct envelope *e, const char *begin)
{
	weft_jsonrpc *m = e->message;

	if (!m->result.text && !m->error.text)
		note(e, begin, "neither method, result nor error");
	if (m->result.text && m->error.text)
		note(e, m->error.text, "both result and error");
	if (m->params.text)
		note(e, m->params.text, "params without method");
	if (m->result.text && !m->id.text)
		note(e, m->result.text, "result without id");
	if (m->result.text)
		return WEFT_JSONRPC_RESPONSE;
	if (m->error.text && !is(m->error, WEFT_JSON_OBJECT))
		note(e, m->error.text, "error is no object");
	else if (m->error.text && !is_integer(m->error_code))
		note(e, m->error.text, "error's code is no integer");
	else if (m->error.text && !is(m->error_message, WEFT_JSON_STRING))
		note(e, m->error.text, "error's message is no string");
	return WEFT_JSONRPC_ERROR;
}

static void set_invalid(
	struct envelope *e, int code, const char *base, const char *at, const char *what)
{
	e->message->kind = WEFT_JSONRPC_INVALID;
	e->message->fault_code = code;
	e->message->fault = what;
	e->message->fault_offset = (size_t)(at - base);
}

/* What text, which is JSON throughout, is as a message. */
static void classify(struct envelope *e, weft_json text)
{
	weft_jsonrpc *m = e->message;
	weft_json version = m->text;
	weft_jsonrpc_kind kind;

	m->text = text;
	check_id(e);
	if (!is(text, WEFT_JSON_OBJECT))
		note(e, text.text, "a message is an object");
	else if (!version.text)
		note(e, text.text, "jsonrpc is missing");
	else if (!is_version_2(version))
		note(e, version.text, "jsonrpc is not \"2.0\"");
	kind = m->method.text ? classify_call(e) : classify_reply(e, text.text);
	if (e->wrong)
		set_invalid(e, WEFT_JSONRPC_INVALID_REQUEST, e->scan.begin, e->wrong_at, e->wrong);
	else
		m->kind = kind;
}

/* A batch, of which the whole text is JSON. */
static void count_batch(struct envelope *e, weft_json text)
{
	e->message->text = text;
	e->message->kind = WEFT_JSONRPC_BATCH;
	if (e->message->batch_count == 0)
		set_invalid(e, WEFT_JSONRPC_INVALID_REQUEST, e->scan.begin, text.text,
			"an empty batch");
}

/* An array, whose bracket is taken. Behind it, or NULL. */
static const char *scan_batch(struct envelope *e)
{
	struct json_scan *s = &e->scan;
	const char *p = json_next(s);

	s->depth++;
	if (*p == ']')
		return p + 1;
	for (;; p = json_next(s)) {
		if (!json_value(s, p))
			return NULL;
		e->message->batch_count++;
		p = json_next(s);
		if (*p == ']')
			return p + 1;
		if (*p != ',')
			return json_fault(s, p, "',' or ']' must be here");
	}
}

/* What begins with p; behind it, or NULL. */
static const char *scan_message(struct envelope *e, const char *p)
{
	if (*p == '{')
		return scan_members(e, p, &message_members);
	return json_value(&e->scan, p);
}

static void begin(struct envelope *e, weft_jsonrpc *message)
{
	size_t size = sizeof(*message);

	/* the compiler must not know the size: what it would make of it is slower than the call */
	__asm__("" : "+r"(size));
	memset(message, 0, size);
	e->message = message;
	e->wrong = NULL;
	e->wrong_at = NULL;
	e->ids = false;
}

static weft_jsonrpc_kind parse_error(struct envelope *e)
{
	weft_jsonrpc *m = e->message;

	m->text = (weft_json){ NULL, 0 };
	check_id(e);
	set_invalid(e, WEFT_JSONRPC_PARSE_ERROR, e->scan.begin, e->scan.fault_at, e->scan.fault);
	return m->kind;
}

weft_jsonrpc_kind weft_jsonrpc_scan(
	weft_jsonrpc *out, const char *text, size_t len, const weft_json_limits *limits)
{
	weft_json_limits l = json_limits(limits);
	struct envelope e;
	const char *first, *p, *rest;
	bool batch;

	if (!text)
		text = "";
	begin(&e, out);
	json_scan_init(&e.scan, text, len < l.size_max ? len : l.size_max, text, true, l.depth_max);
	first = json_next(&e.scan);
	batch = *first == '[';
	p = batch ? scan_batch(&e) : scan_message(&e, first);
	rest = p ? json_next(&e.scan) : json_no_token;
	if (rest != json_no_token)
		json_fault(&e.scan, rest, "something stands behind the message");
	json_scan_utf8(&e.scan, e.scan.end);
	if (weft_unlikely(len > l.size_max))
		json_fault(&e.scan, e.scan.end, json_too_large);
	if (weft_unlikely(e.scan.fault))
		return parse_error(&e);
	if (batch)
		count_batch(&e, (weft_json){ first, (size_t)(p - first) });
	else
		classify(&e, (weft_json){ first, (size_t)(p - first) });
	return out->kind;
}

weft_jsonrpc_kind weft_jsonrpc_batch_next(const weft_jsonrpc *batch, size_t *at,
	weft_jsonrpc *element, const weft_json_limits *limits)
{
	struct envelope e;
	const char *p, *first, *rest;

	begin(&e, element);
	if (batch->kind != WEFT_JSONRPC_BATCH || *at >= batch->text.len)
		return WEFT_JSONRPC_NONE;
	/* past the bracket, or the comma */
	json_scan_init(&e.scan, batch->text.text, batch->text.len, batch->text.text + *at + 1,
		false, json_limits(limits).depth_max);
	e.scan.depth = 1;
	first = json_next(&e.scan);
	p = scan_message(&e, first);
	rest = p ? json_next(&e.scan) : json_no_token;
	*at = *rest == ',' ? (size_t)(rest - e.scan.begin) : batch->text.len;
	if (!p)
		return parse_error(&e);
	classify(&e, (weft_json){ first, (size_t)(p - first) });
	return element->kind;
}

weft_err weft_jsonrpc_check(const weft_jsonrpc *m)
{
	bool limit;

	if (m->kind != WEFT_JSONRPC_INVALID)
		return WEFT_OK;
	limit = m->fault == json_too_deep || m->fault == json_too_large;
	return err_setf(limit ? WEFT_EMSGSIZE : WEFT_EPROTO, "JSON-RPC message: byte %zu: %s",
		m->fault_offset, m->fault);
}
